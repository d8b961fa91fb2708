"""The many statuses a sale shows, derived from its parts. Rule: nothing stores a status that can be computed."""

from decimal import Decimal

from sellable.sandbox.cin7.state import Fulfilment, Packed, Sale
from sellable.sandbox.cin7.wire import ZERO


def ordered(sale: Sale) -> Decimal:
    """Units that must be shipped."""
    return sum((line.quantity for line in sale.lines if line.needs), ZERO)


def picked(fulfilment: Fulfilment) -> list[Packed]:
    return fulfilment.picked if fulfilment.pick_status == "AUTHORISED" else []


def packed(fulfilment: Fulfilment) -> list[Packed]:
    return fulfilment.packed if fulfilment.pack_status == "AUTHORISED" else []


def _units(rows: list[Packed]) -> Decimal:
    return sum((row.quantity for row in rows), ZERO)


def _combined(sale: Sale, done: Decimal, drafted: bool, word: str) -> str:
    """One of VOIDED, NOT AVAILABLE, NOT PICKED, PICKING, PARTIALLY PICKED, PICKED, and alike for packing, shipping."""
    past, doing = {"PICK": ("PICKED", "PICKING"), "PACK": ("PACKED", "PACKING"), "SHIP": ("SHIPPED", "SHIPPING")}[word]
    if sale.voided:
        return "VOIDED"
    if not sale.authorised or not ordered(sale):
        return "NOT AVAILABLE"
    if done >= ordered(sale):
        return past
    if done > 0:
        return f"PARTIALLY {past}"
    return doing if drafted else f"NOT {past}"


def picking(sale: Sale) -> str:
    done = sum((_units(picked(f)) for f in sale.fulfilments), ZERO)
    return _combined(sale, done, any(f.pick_status == "DRAFT" for f in sale.fulfilments), "PICK")


def packing(sale: Sale) -> str:
    done = sum((_units(packed(f)) for f in sale.fulfilments), ZERO)
    return _combined(sale, done, any(f.pack_status == "DRAFT" for f in sale.fulfilments), "PACK")


def shipping(sale: Sale) -> str:
    done = _units(sale.shipped_lines())
    return _combined(sale, done, any(f.parcels for f in sale.fulfilments), "SHIP")


def fulfilment_of(sale: Sale) -> str:
    """FulFilmentStatus of the whole sale."""
    word = shipping(sale)
    plain = {"VOIDED": "VOIDED", "NOT AVAILABLE": "NOT AVAILABLE", "SHIPPED": "FULFILLED"}
    return plain.get(word, "PARTIALLY FULFILLED" if word == "PARTIALLY SHIPPED" else "NOT FULFILLED")


def invoice(sale: Sale) -> str:
    """CombinedInvoiceStatus, in the words seen live rather than the documented ones."""
    live = [bill for bill in sale.invoices if bill.status not in ("VOIDED", "DRAFT")]
    if sale.voided:
        return "VOIDED"
    if not live:
        return "NOT INVOICED" if sale.authorised else "NOT AVAILABLE"
    billed = sum((bill.totals.total for bill in live), ZERO)
    return "INVOICED" if billed >= sale.totals.total else "PARTIALLY INVOICED"


def paid(sale: Sale) -> Decimal:
    signs = {"REFUND": -1}
    return sum((payment["Amount"] * signs.get(payment["Type"].upper(), 1) for payment in sale.payments), ZERO)


def payment(sale: Sale) -> str:
    if sale.voided:
        return "VOIDED"
    amount = paid(sale)
    if not any(bill.status in ("AUTHORISED", "PAID") for bill in sale.invoices):
        return "PREPAID" if amount else "UNPAID"
    if not amount:
        return "UNPAID"
    return "PAID" if amount >= sale.totals.total else "PARTIALLY PAID"


def credit_note(sale: Sale) -> str:
    return sale.credit_notes[-1].status if sale.credit_notes else "NOT AVAILABLE"


def quote(sale: Sale) -> str:
    return "VOIDED" if sale.voided else "NOT AVAILABLE"


def order(sale: Sale) -> str:
    return "VOIDED" if sale.voided else sale.order_status


def overall(sale: Sale) -> str:
    """Status. There is no SHIPPED (blueprint): a Simple sale stays SHIPPING until invoiced (guess), an Advanced one
    ORDERED or BACKORDERED until COMPLETED."""
    if sale.voided:
        return "VOIDED"
    if sale.order_status == "NOT AVAILABLE":
        return "DRAFT"
    if sale.order_status == "DRAFT":
        return "ORDERING"
    shipped, billed = shipping(sale), invoice(sale)
    if credit_note(sale) == "AUTHORISED":
        return "CREDITED"
    if shipped in ("SHIPPED", "NOT AVAILABLE") and billed == "INVOICED" and payment(sale) == "PAID":
        return "COMPLETED"
    if sale.backordered:
        return "BACKORDERED"
    if sale.advanced:
        return "ORDERED"
    if billed == "INVOICED":
        return "INVOICED"
    if shipped in ("SHIPPED", "PARTIALLY SHIPPED", "SHIPPING"):
        return "SHIPPING"
    for word, ready in ((packing(sale), "PACK"), (picking(sale), "PICK")):
        if word == f"{ready}ED":
            return word
        if word in (f"{ready}ING", f"PARTIALLY {ready}ED"):
            return f"{ready}ING"
    return "ORDERED"
