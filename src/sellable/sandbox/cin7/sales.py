"""Sales: headers, order lines, authorisation, void and undo. Rule: only an AUTHORISED order holds stock."""

from decimal import Decimal
from typing import Any

from sellable.sandbox.cin7 import allocation, documents, fulfilment
from sellable.sandbox.cin7.reference import Location
from sellable.sandbox.cin7.state import Line, Sale, World
from sellable.sandbox.cin7.statuses import picked
from sellable.sandbox.cin7.totals import HUNDRED, Priced, line_total, tax_of, totals_of
from sellable.sandbox.cin7.wire import ZERO, Refused, Request, number, plain, rounded, text

LIMITS = {
    "Contact": 256,
    "Phone": 64,
    "Email": 256,
    "ShippingNotes": 1024,
    "Terms": 256,
    "PriceTier": 256,
    "Note": 1024,
    "CustomerReference": 256,
    "SalesRepresentative": 256,
    "Carrier": 256,
    "ExternalID": 256,
}
COPIED = (
    *LIMITS,
    "BillingAddress",
    "ShippingAddress",
    "ShipBy",
    "SaleOrderDate",
    "CurrencyRate",
    "AdditionalAttributes",
    "AutoPickPackShipMode",
)
MODES = ("NOPICK", "AUTOPICK", "AUTOPICKPACK", "AUTOPICKPACKSHIP")


def get(world: World, request: Request) -> dict[str, Any]:
    """GET /sale?ID=&CountryFormat=: everything about one sale."""
    sale = world.sale(request.query.get("id"))
    return documents.sale(world, sale, request.query.get("countryformat", "Regular"))


def create(world: World, request: Request) -> dict[str, Any]:
    """POST /sale: a header without lines; it touches no stock. ExternalID need not be unique (observed)."""
    fields = request.fields()
    header, customer, location = _header(world, fields, {})
    kind = fields.get("SaleType") or "Simple"
    if kind not in ("Simple", "Advanced"):
        raise Refused(f"SaleType '{kind}' is not supported.")
    now = world.clock.time()
    rule = world.book.tax_rule(header["TaxRule"], "Sale") if header["TaxRule"] else None
    number_ = world.next_number("SO")
    sale = Sale(world.book.new_id(), number_, now, now, header, customer, location, rule, kind == "Advanced")
    world.sales[sale.id] = sale
    world.journal.add(
        "sale_created", sale=sale.id, number=sale.number, external_id=sale.external_id, location=location.name
    )
    world.touch(sale)
    world.event("Sale/Created", sale)
    return documents.sale(world, sale)


def update(world: World, request: Request) -> dict[str, Any]:
    """PUT /sale: the writable header again (customer and Location are required, observed)."""
    fields = request.fields()
    sale = world.sale(fields.get("ID"))
    if sale.voided:
        raise Refused("Sale is voided.")
    header, customer, location = _header(world, fields, sale.header)
    if sale.authorised and (location is not sale.location or customer is not sale.customer):
        raise Refused("Customer and Location cannot be changed while the order is authorised.")
    sale.header, sale.customer, sale.location = header, customer, location
    sale.tax_rule = world.book.tax_rule(header["TaxRule"], "Sale") if header["TaxRule"] else None
    world.touch(sale)
    return documents.sale(world, sale)


def _header(world: World, fields: dict[str, Any], old: dict[str, Any]) -> tuple[dict[str, Any], Any, Location]:
    book = world.book
    customer = book.customer(fields)
    text(fields.get("Location"), "Location", 256, required=True)
    location, _ = book.location(fields["Location"], "Location")
    for name, limit in LIMITS.items():
        text(fields.get(name), name, limit)
    if fields.get("Carrier") and fields["Carrier"] not in book.carriers:
        raise Refused(f"Carrier '{fields['Carrier']}' was not found.")
    for name in ("BillingAddress", "ShippingAddress"):
        _check_address(fields.get(name), name)
    if customer.currency != book.me["Currency"] or fields.get("CurrencyRate") is not None:
        rate = number(fields.get("CurrencyRate"), "CurrencyRate", places=5)
        if rate <= 0:
            raise Refused("CurrencyRate must be positive.")
    header = {**old, **{name: fields[name] for name in COPIED if name in fields}}
    header["TaxRule"] = fields.get("TaxRule") or customer.tax_rule
    if header["TaxRule"]:
        book.tax_rule(header["TaxRule"], "Sale")
    for name in ("TaxInclusive", "SkipQuote"):
        header[name] = bool(fields.get(name, old.get(name, False)))
    return header, customer, location


def _check_address(address: Any, name: str) -> None:
    if address is None:
        return
    if not isinstance(address, dict):
        raise Refused(f"{name} must be an object.")
    text(address.get("Line1"), f"{name}.Line1", 256, required=True)
    text(address.get("Country"), f"{name}.Country", 256, required=True)
    text(address.get("Postcode"), f"{name}.Postcode", 20)
    text(address.get("Company"), f"{name}.Company", 128)
    text(address.get("Contact"), f"{name}.Contact", 512)


def get_order(world: World, request: Request) -> dict[str, Any]:
    """GET /sale/order?SaleID="""
    sale = world.sale(request.query.get("saleid"))
    return documents.order(sale)


def post_order(world: World, request: Request) -> dict[str, Any]:
    """POST /sale/order: overwrite the lines while DRAFT; AUTHORISED allocates; a later POST is refused (blueprint)."""
    fields = request.fields()
    sale = world.sale(fields.get("SaleID"))
    status = fields.get("Status") or "DRAFT"
    if status not in ("DRAFT", "AUTHORISED", "AUTH_NO_ALLOC"):
        raise Refused(f"Status '{status}' is not supported.")
    if sale.voided or sale.order_status not in ("NOT AVAILABLE", "DRAFT"):
        raise Refused("Sale order can be changed only while its status is NOT AVAILABLE or DRAFT.")
    if not sale.header["SkipQuote"]:
        raise Refused("Sale quote must be authorised before the order is created.")
    mode = fields.get("AutoPickPackShipMode") or sale.header.get("AutoPickPackShipMode") or "NOPICK"
    if mode not in MODES:
        raise Refused(f"AutoPickPackShipMode '{mode}' is not supported.")
    lines, charges = read_lines(world, sale, fields)
    if not lines:
        raise Refused("Lines are required.")
    sale.lines, sale.charges, sale.memo = lines, charges, text(fields.get("Memo"), "Memo", 1024)
    sale.totals = _totals(world, sale, lines + charges)
    sale.order_status = "DRAFT"
    if status != "DRAFT":
        authorise(world, sale, status, mode)
    world.touch(sale)
    world.settle()
    return documents.order(sale)


def _totals(world: World, sale: Sale, rows: list[Line]) -> Any:
    method = world.book.me["TaxCalculationMethod"]
    return totals_of([row.priced for row in rows], inclusive=sale.inclusive, method=method, switches=world.switches)


def read_lines(world: World, sale: Sale, fields: dict[str, Any]) -> tuple[list[Line], list[Line]]:
    """Lines and AdditionalCharges of a document; Refused with the problems of the first bad row only (observed:
    validation tells some problems per attempt)."""
    lines: list[Line] = []
    seen: set[str] = set()
    for n, row in enumerate(fields.get("Lines") or [], 1):
        product = world.book.product(_row(row, "Line"), f"Line {n}")
        if product.id in seen:
            raise Refused(f"Line {n}: duplicate SKU '{product.sku}'.")
        seen.add(product.id)
        line = _money(world, sale, row, f"Line {n}", product.sku)
        if line.quantity < 1:
            raise Refused(f"Line {n}: Quantity must be at least 1.")
        line.product, line.name, line.needs = product, product.name, world.book.needs(product)
        lines.append(line)
    charges: list[Line] = []
    for n, row in enumerate(fields.get("AdditionalCharges") or [], 1):
        name = text(_row(row, "Charge").get("Description"), f"Charge {n}: Description", 256, required=True)
        # Whether free text is refused is not documented; refusing is the stricter guess.
        if name not in world.book.services:
            raise Refused(f"Charge {n}: Service product '{name}' was not found.")
        charges.append(_money(world, sale, row, f"Charge {n}", name))
    return lines, charges


def _row(row: Any, what: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise Refused(f"{what} is not an object.")
    return row


def _money(world: World, sale: Sale, row: dict[str, Any], what: str, name: str) -> Line:
    """Quantity, Price, Total and TaxRule are demanded (observed); Total must be what they multiply to."""
    switches = world.switches
    quantity = number(row.get("Quantity"), f"{what}: Quantity")
    price = number(row.get("Price"), f"{what}: Price")
    discount = number(row.get("Discount"), f"{what}: Discount", default=ZERO, places=2)
    if not ZERO <= discount <= HUNDRED:
        raise Refused(f"{what}: Discount must be within 0 and 100.")
    posted = number(row.get("Total"), f"{what}: Total")
    rule = world.book.tax_rule(row.get("TaxRule"), what)
    total = line_total(quantity, price, discount)
    if abs(posted - total) > switches.line_total_tolerance:
        raise Refused(f"{what}: Total {posted} does not match the calculated total {total}.")
    tax = tax_of(total, rule, inclusive=sale.inclusive, places=switches.tax_places)
    if switches.posted_tax == "kept":
        tax = number(row.get("Tax"), f"{what}: Tax", default=tax)
    comment = text(row.get("Comment"), f"{what}: Comment", 256)
    return Line(None, name, quantity, price, discount, Priced(rule, total, tax), comment)


def authorise(world: World, sale: Sale, status: str = "AUTHORISED", mode: str = "NOPICK") -> None:
    """DRAFT to AUTHORISED (stock is allocated) or AUTH_NO_ALLOC (it is not)."""
    sale.order_status = status
    world.journal.add(
        "sale_authorised",
        sale=sale.id,
        number=sale.number,
        external_id=sale.external_id,
        status=status,
        location=sale.location.name,
        lines=[{"sku": line.product.sku, "quantity": plain(line.quantity)} for line in sale.lines if line.product],
        total=str(sale.totals.total),
    )
    if not sale.advanced:
        fulfilment.open_task(world, sale)
    world.event("Sale/OrderAuthorised", sale)
    if status == "AUTHORISED":
        lag = world.switches.allocation_lag_seconds
        if lag:
            sale.awaiting_allocation = True
            world.agenda.after(lag, lambda: _allocate_late(world, sale))
        else:
            allocation.allocate(world, sale, "sale_authorised")
    if mode != "NOPICK" and not sale.advanced and not sale.backordered:
        fulfilment.auto(world, sale, mode)


def _allocate_late(world: World, sale: Sale) -> None:
    if sale.awaiting_allocation:
        sale.awaiting_allocation = False
        allocation.allocate(world, sale, "sale_authorised")
        world.touch(sale)
        world.settle()


def delete(world: World, request: Request) -> dict[str, Any]:
    """DELETE /sale?ID=&Void=: true voids, false (default) undoes to draft; both free the allocation."""
    sale = world.sale(request.query.get("id"))
    if request.flag("void"):
        void(world, sale)
    else:
        undo(world, sale)
    world.settle()
    return documents.sale(world, sale)


def void(world: World, sale: Sale, by: str = "api") -> None:
    """Void a sale; Refused once something was shipped, or when it is void already."""
    _refuse_late(sale, "voided")
    _give_back(world, sale, "sale_voided")
    sale.voided = True
    for bill in sale.invoices:
        bill.status = "VOIDED"
    _report(world, sale, "sale_voided", "Sale/Voided", by)


def undo(world: World, sale: Sale, by: str = "api") -> None:
    """Bring an authorised order back to DRAFT; lines stay, picks are dropped."""
    _refuse_late(sale, "undone")
    if not sale.authorised:
        raise Refused("Nothing to undo: the order is not authorised.")
    _give_back(world, sale, "undo")
    sale.order_status, sale.fulfilments = "DRAFT", []
    _report(world, sale, "sale_undone", "Sale/Undo", by)


def _give_back(world: World, sale: Sale, word: str) -> None:
    if world.switches.stock_leaves_at == "ship":
        for task in sale.fulfilments:
            fulfilment.hold(world, sale, picked(task), -1)
    allocation.release(world, sale, word)


def _refuse_late(sale: Sale, what: str) -> None:
    if sale.voided:
        raise Refused("Sale is already voided.")
    if sale.shipped_lines():
        raise Refused(f"Sale cannot be {what}: it has authorised shipments.")


def _report(world: World, sale: Sale, what: str, event: str, by: str) -> None:
    world.journal.add(what, sale=sale.id, number=sale.number, external_id=sale.external_id, by=by)
    world.touch(sale)
    world.event(event, sale)


def reduce(world: World, sale: Sale, sku: str, quantity: Decimal) -> None:
    """What staff do by hand: undo, fewer units of a line (none: without the line), authorise again."""
    line = next((line for line in sale.lines if line.product and line.product.sku == sku), None)
    if line is None or not ZERO <= quantity < line.quantity:
        raise Refused(f"'{sku}' cannot be reduced to {quantity}.")
    undo(world, sale, by="staff")
    kept, gone = quantity / line.quantity, line.quantity - quantity
    line.priced = Priced(line.priced.rule, rounded(line.priced.total * kept, 4), rounded(line.priced.tax * kept, 4))
    line.quantity = quantity
    sale.lines = [one for one in sale.lines if one.quantity]
    rows, method = [one.priced for one in sale.lines + sale.charges], world.book.me["TaxCalculationMethod"]
    sale.totals = totals_of(rows, inclusive=sale.inclusive, method=method, switches=world.switches)
    world.journal.add(
        "line_reduced", sale=sale.id, external_id=sale.external_id, sku=sku, quantity=plain(quantity), gone=plain(gone)
    )
    authorise(world, sale)
    world.touch(sale)


def relocate(world: World, sale: Sale, location: Location) -> None:
    """What staff do by hand: undo, another location, authorise again."""
    undo(world, sale, by="staff")
    sale.location = location
    authorise(world, sale)
    world.touch(sale)
