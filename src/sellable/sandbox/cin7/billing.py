"""Invoices, payments and credit notes of a sale. Rule: restocked goods go where the note says."""

from typing import Any

from sellable.sandbox.cin7 import documents, sales, statuses
from sellable.sandbox.cin7.allocation import cause_of
from sellable.sandbox.cin7.state import Bill, Line, Sale, World
from sellable.sandbox.cin7.totals import Priced, totals_of
from sellable.sandbox.cin7.wire import EMPTY_GUID, ZERO, Refused, Request, encode, moment, number, plain, rounded, text

BILLED = ("AUTHORISED", "PAID")


def get_invoice(world: World, request: Request) -> dict[str, Any]:
    """GET /sale/invoice?SaleID="""
    sale = world.sale(request.query.get("saleid"))
    return {"SaleID": sale.id, "Invoices": [documents.bill(bill, "Invoice") for bill in sale.invoices]}


def post_invoice(world: World, request: Request) -> dict[str, Any]:
    """POST/PUT /sale/invoice {SaleID, TaskID, Status, Lines, AdditionalCharges}; no Lines: the order's."""
    fields = request.fields()
    sale = world.sale(fields.get("SaleID"))
    if sale.voided or not sale.authorised:
        raise Refused("Order status must be AUTHORISED.")
    lines, charges = sales.read_lines(world, sale, fields) if "Lines" in fields else (sale.lines, sale.charges)
    bill = _bill(world, sale, fields, sale.invoices, "INV", "InvoiceDate")
    _fill(world, sale, bill, lines, charges)
    if bill.status == "AUTHORISED":
        world.event("Sale/InvoiceAuthorised", sale, bill=bill)
    world.touch(sale)
    return {"SaleID": sale.id, "Invoices": [documents.bill(bill, "Invoice") for bill in sale.invoices]}


def _bill(world: World, sale: Sale, fields: dict[str, Any], held: list[Bill], prefix: str, dated: str) -> Bill:
    """The draft named by TaskID, or a new one for the empty GUID."""
    task, status = str(fields.get("TaskID") or EMPTY_GUID).lower(), fields.get("Status") or "DRAFT"
    if status not in ("DRAFT", "AUTHORISED"):
        raise Refused(f"Status '{status}' is not supported.")
    bill = next((one for one in held if one.task_id == task), None)
    if task != EMPTY_GUID and (bill is None or bill.status != "DRAFT"):
        raise Refused(f"Document with TaskID '{task}' was not found or is not DRAFT.")
    if bill is None and held and not sale.advanced and held[-1].status != "VOIDED":
        raise Refused("A Simple sale has one such document only.")
    at = moment(fields[dated], dated) if fields.get(dated) else world.clock.time()
    if bill is None:
        bill = Bill(world.book.new_id(), world.next_number(prefix), status, at, [], [], sale.totals)
        held.append(bill)
    bill.status, bill.dated = status, at
    return bill


def _fill(world: World, sale: Sale, bill: Bill, lines: list[Line], charges: list[Line]) -> None:
    rows, method = [row.priced for row in lines + charges], world.book.me["TaxCalculationMethod"]
    bill.lines, bill.charges = lines, charges
    bill.totals = totals_of(rows, inclusive=sale.inclusive, method=method, switches=world.switches)


def get_payment(world: World, request: Request) -> bytes:
    """GET /sale/payment?SaleID=: a bare array, Type in title case (observed)."""
    sale = world.sale(request.query.get("saleid"))
    return encode([payment | {"Type": payment["Type"].title()} for payment in sale.payments])


def post_payment(world: World, request: Request) -> dict[str, Any]:
    """POST /sale/payment {TaskID (sale or invoice), Type, Amount, DatePaid, Account, Reference}"""
    fields = request.fields()
    task, kind = str(fields.get("TaskID") or fields.get("SaleID") or "").lower(), fields.get("Type")
    sale = world.sales.get(task) or next(
        (s for s in world.sales.values() for bill in s.invoices + s.credit_notes if bill.task_id == task), None
    )
    if sale is None:
        raise Refused(f"TaskID '{task}' was not found.")
    billed = any(bill.status in BILLED for bill in sale.invoices)
    credited = any(bill.status == "AUTHORISED" for bill in sale.credit_notes)
    allowed = {"PREPAYMENT": not billed, "PAYMENT": billed, "REFUND": credited}
    if not allowed.get(str(kind), False):
        raise Refused(f"Payment of Type '{kind}' is not allowed in the current state of the sale.")
    amount = number(fields.get("Amount"), "Amount", places=2)
    if amount <= 0:
        raise Refused("Amount must be positive.")
    names = ("DatePaid", "Account", "CurrencyRate", "Reference")
    payment = {"ID": world.book.new_id(), "Type": kind, "Amount": amount} | {name: fields.get(name) for name in names}
    sale.payments.append(payment)
    world.touch(sale)
    if kind == "PAYMENT":
        full = statuses.payment(sale) == "PAID"
        share = str(rounded(amount * 100 / sale.totals.total, 0)) if sale.totals.total else "100"
        event = "Sale/FullPaymentReceived" if full else "Sale/PartialPaymentReceived"
        world.event(event, sale, bill=sale.invoices[-1], percent=share)
    return payment


def post_creditnote(world: World, request: Request) -> dict[str, Any]:
    """POST/PUT /sale/creditnote {SaleID, TaskID, CreditNoteInvoiceNumber, Status, Lines, AdditionalCharges, Restock}"""
    fields = request.fields()
    sale = world.sale(fields.get("SaleID"))
    wanted = text(fields.get("CreditNoteInvoiceNumber"), "CreditNoteInvoiceNumber", 50, required=True)
    if not any(bill.number == wanted and bill.status in BILLED for bill in sale.invoices):
        raise Refused(f"Invoice '{wanted}' was not found or is not AUTHORISED.")
    lines, charges = sales.read_lines(world, sale, fields)
    restock = [_restock(world, row, n) for n, row in enumerate(fields.get("Restock") or [], 1)]
    bill = _bill(world, sale, fields, sale.credit_notes, "CR", "CreditNoteDate")
    _fill(world, sale, bill, lines, charges)
    bill.restock = fields.get("Restock") or []
    if bill.status == "AUTHORISED":
        _take_back(world, sale, bill, restock)
    world.touch(sale)
    world.settle()
    return {"SaleID": sale.id, "CreditNotes": [documents.bill(bill, "CreditNote") for bill in sale.credit_notes]}


def _take_back(world: World, sale: Sale, bill: Bill, restock: list[Any]) -> None:
    for level, bin_name, quantity in restock:
        world.stock.change(level, cause_of("restock", sale), on_hand=quantity, bin_name=bin_name)
    world.journal.add(
        "goods_returned", sale=sale.id, number=bill.number, external_id=sale.external_id,
        lines=[{"sku": one.product.sku, "quantity": plain(one.quantity)} for one in bill.lines if one.product],
        restock=[{"sku": level.product.sku, "location": level.location.name, "bin": bin_name, "quantity": plain(units)}
                 for level, bin_name, units in restock],
    )  # fmt: skip
    world.event("Sale/CreditNoteAuthorised", sale, bill=bill)


def credit_by_staff(world: World, sale: Sale, credited: list[dict[str, Any]], restock: list[dict[str, Any]]) -> str:
    """What staff do by hand: an invoice of the whole order where there is none, then an authorised credit note.

    `credited` is [{SKU, Quantity, Comment?}], `restock` as in the API. The price of a unit is the line's; taxes are its
    share. Further notes make the sale an Advanced one, as a further fulfilment does (guess). Answers the note's number.
    """
    now = world.clock.time()
    if not any(bill.status in BILLED for bill in sale.invoices):
        invoice = Bill(world.book.new_id(), world.next_number("INV"), "AUTHORISED", now, [], [], sale.totals)
        _fill(world, sale, invoice, sale.lines, sale.charges)
        sale.invoices.append(invoice)
    sold = {line.product.sku: line for line in sale.lines if line.product}
    lines = []
    for row in credited:
        line = sold.get(row["SKU"])
        if line is None:
            raise Refused(f"'{row['SKU']}' is not on the sale.")
        quantity = number(row["Quantity"], "Quantity")
        total = rounded(line.priced.total * quantity / line.quantity, 4)
        tax = rounded(line.priced.tax * quantity / line.quantity, 4)
        priced = Priced(line.priced.rule, total, tax)
        comment = str(row.get("Comment") or "")
        lines.append(Line(line.product, line.name, quantity, line.price, line.discount, priced, comment))
    goods = [_restock(world, row, n) for n, row in enumerate(restock, 1)]
    sale.advanced = sale.advanced or bool(sale.credit_notes)
    note = Bill(world.book.new_id(), world.next_number("CR"), "AUTHORISED", now, [], [], sale.totals)
    _fill(world, sale, note, lines, [])
    note.restock = restock
    sale.credit_notes.append(note)
    _take_back(world, sale, note, goods)
    world.touch(sale)
    return note.number


def _restock(world: World, row: dict[str, Any], n: int) -> Any:
    """RestockLocation (id) wins over Location (name or "<Location>: <Bin>")."""
    product = world.book.product(row, f"Restock {n}")
    where = row.get("RestockLocation") or row.get("Location")
    location, bin_name = world.book.location(where, f"Restock {n}: Location")
    quantity = number(row.get("Quantity"), f"Restock {n}: Quantity")
    if quantity <= ZERO or product.bom or product.service:
        raise Refused(f"Restock {n}: Quantity must be positive and the product a stocked one.")
    return world.stock.level(product, location), bin_name, quantity


def get_creditnote(world: World, request: Request) -> dict[str, Any]:
    """GET /sale/creditnote?SaleID="""
    sale = world.sale(request.query.get("saleid"))
    return {"SaleID": sale.id, "CreditNotes": [documents.bill(bill, "CreditNote") for bill in sale.credit_notes]}
