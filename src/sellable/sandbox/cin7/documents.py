"""A sale as the vendor writes it: document, parts and saleList row. Rule: odd spellings are the vendor's."""

from typing import Any

from sellable.sandbox.cin7 import statuses
from sellable.sandbox.cin7.state import Bill, Fulfilment, Line, Packed, Parcel, Sale, World
from sellable.sandbox.cin7.wire import ZERO, day, stamp

CODES = {
    "Australia": "AU", "Austria": "AT", "Belgium": "BE", "Canada": "CA", "Denmark": "DK", "France": "FR",
    "Germany": "DE", "Ireland": "IE", "Italy": "IT", "Japan": "JP", "Netherlands": "NL", "New Zealand": "NZ",
    "Norway": "NO", "Poland": "PL", "Portugal": "PT", "Spain": "ES", "Sweden": "SE", "Switzerland": "CH",
    "United Kingdom": "GB", "United States": "US",
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}


def sale(world: World, sale: Sale, countries: str = "Regular") -> dict[str, Any]:
    """GET /sale: header, documents and every status; `countries` is CountryFormat."""
    header = sale.header
    return {
        **_common(world, sale),
        "ID": sale.id,
        "Contact": header.get("Contact"),
        "Phone": header.get("Phone"),
        "Email": header.get("Email"),
        "SkipQuote": header["SkipQuote"],
        "BillingAddress": _address(header.get("BillingAddress"), countries),
        "ShippingAddress": _address(header.get("ShippingAddress"), countries),
        "ShippingNotes": header.get("ShippingNotes"),
        "TaxRule": header["TaxRule"] or None,
        # PUT wants TaxInclusive, GET says TaxCalculation (observed).
        "TaxCalculation": "Inclusive" if sale.inclusive else "Exclusive",
        "Terms": header.get("Terms"),
        "PriceTier": header.get("PriceTier"),
        "ShipBy": header.get("ShipBy"),
        "Location": sale.location.name,
        "SaleOrderDate": header.get("SaleOrderDate") or day(sale.created),
        "LastModifiedOn": stamp(sale.updated),
        "Note": header.get("Note"),
        "CurrencyRate": header.get("CurrencyRate", 1),
        "SalesRepresentative": header.get("SalesRepresentative"),
        "Carrier": header.get("Carrier"),
        "AdditionalAttributes": header.get("AdditionalAttributes"),
        "ServiceOnly": bool(sale.lines) and not any(line.needs for line in sale.lines),
        "COGSAmount": ZERO,
        "Quote": {"Status": statuses.quote(sale), "Lines": [], "AdditionalCharges": []},
        "Order": order(sale),
        "Fulfilments": [fulfilment(task, countries, sale) for task in sale.fulfilments],
        "Invoices": [bill(one, "Invoice") for one in sale.invoices],
        "CreditNotes": [bill(one, "CreditNote") for one in sale.credit_notes],
        "ManualJournals": {"Status": "NOT AVAILABLE", "Lines": []},
        "Attachments": [],
        "InventoryMovements": [],
        "Transactions": [],
    }


def _common(world: World, sale: Sale) -> dict[str, Any]:
    return {
        "Customer": sale.customer.name,
        "CustomerID": sale.customer.id,
        "CustomerReference": sale.header.get("CustomerReference"),
        "ExternalID": sale.header.get("ExternalID"),
        "BaseCurrency": world.book.me["Currency"],
        "CustomerCurrency": sale.customer.currency,
        "Type": "Advanced Sale" if sale.advanced else "Simple Sale",
        "SourceChannel": None,
        "Status": statuses.overall(sale),
        "CombinedPickingStatus": statuses.picking(sale),
        "CombinedPackingStatus": statuses.packing(sale),
        "CombinedShippingStatus": statuses.shipping(sale),
        "CombinedInvoiceStatus": statuses.invoice(sale),
        "CombinedPaymentStatus": statuses.payment(sale),
        "CreditNoteStatus": statuses.credit_note(sale),
        "FulFilmentStatus": statuses.fulfilment_of(sale),
        "CombinedTrackingNumbers": ",".join(
            parcel.tracking for task in sale.fulfilments for parcel in task.parcels if parcel.tracking
        ),
    }


def row(world: World, sale: Sale) -> dict[str, Any]:
    """The sale's row in saleList; InvoiceAmount is no order total (0 until an invoice exists)."""
    live = [one for one in sale.invoices if one.status not in ("VOIDED", "DRAFT")]
    invoiced = sum((one.totals.total for one in live), ZERO)
    credited = sum((one.totals.total for one in sale.credit_notes if one.status == "AUTHORISED"), ZERO)
    return {
        "SaleID": sale.id,
        "OrderNumber": sale.number,
        "OrderDate": sale.header.get("SaleOrderDate") or day(sale.created),
        "InvoiceDate": day(live[-1].dated) if live else None,
        "InvoiceNumber": live[-1].number if live else None,
        "InvoiceAmount": invoiced - credited,
        "PaidAmount": statuses.paid(sale),
        "SaleInvoicesTotalAmount": invoiced,
        "InvoiceDueDate": None,
        "ShipBy": sale.header.get("ShipBy"),
        "CreditNoteNumber": sale.credit_notes[-1].number if sale.credit_notes else None,
        "Updated": stamp(sale.updated),
        "QuoteStatus": statuses.quote(sale),
        "OrderStatus": statuses.order(sale),
        "CombinedPaymentTotal": statuses.paid(sale),
        "OrderLocationID": sale.location.id,
        **_common(world, sale),
    }


def order(sale: Sale) -> dict[str, Any]:
    """The order document, also the answer of POST /sale/order: totals and BackorderQuantity are in it."""
    return {
        "SaleID": sale.id,
        "SaleOrderNumber": sale.number,
        "Memo": sale.memo,
        "Status": statuses.order(sale),
        "Lines": [_line(line) | {"BackorderQuantity": sale.backorder(line)} for line in sale.lines],
        "AdditionalCharges": [_charge(charge) for charge in sale.charges],
        "TotalBeforeTax": sale.totals.before_tax,
        "Tax": sale.totals.tax,
        "Total": sale.totals.total,
    }


def bill(one: Bill, kind: str) -> dict[str, Any]:
    return {
        "TaskID": one.task_id,
        f"{kind}Number": one.number,
        "Status": one.status,
        f"{kind}Date": day(one.dated),
        "Lines": [_line(line) for line in one.lines],
        "AdditionalCharges": [_charge(charge) for charge in one.charges],
        "TotalBeforeTax": one.totals.before_tax,
        "Tax": one.totals.tax,
        "Total": one.totals.total,
    } | ({"Restock": one.restock} if kind == "CreditNote" else {})


def _money(line: Line) -> dict[str, Any]:
    return {
        "Quantity": line.quantity,
        "Price": line.price,
        "Discount": line.discount,
        "Tax": line.priced.tax,
        "Total": line.priced.total,
        "TaxRule": line.priced.rule.name,
        "Comment": line.comment,
    }


def _line(line: Line) -> dict[str, Any]:
    return {**_product(line), **_money(line), "DropShip": False, "AverageCost": line.product and line.product.cost}


def _charge(charge: Line) -> dict[str, Any]:
    return {"Description": charge.name, **_money(charge)}


def _product(line: Line) -> dict[str, Any]:
    product = line.product
    return {"ProductID": product and product.id, "SKU": product and product.sku, "Name": line.name}


def fulfilment(task: Fulfilment, countries: str, sale: Sale) -> dict[str, Any]:
    """One fulfilment: pick, pack, ship. Ship lines carry no SKUs; boxes join them to pack lines."""
    left = task.ship_status == "AUTHORISED"
    return {
        "TaskID": task.task_id,
        "FulfillmentNumber": task.number,
        "LinkedInvoiceNumber": "",
        "FulFilmentStatus": "FULFILLED" if left else "PARTIALLY FULFILLED" if task.shipped() else "NOT FULFILLED",
        "Pick": {"Status": task.pick_status, "Lines": [_packed(sale, one) for one in task.picked]},
        "Pack": {
            "Status": task.pack_status,
            "Lines": [_packed(sale, one) | {"Box": one.box} for one in task.packed],
        },
        "Ship": {
            "Status": task.ship_status,
            "RequireBy": sale.header.get("ShipBy"),
            "ShippingAddress": _address(sale.header.get("ShippingAddress"), countries),
            "ShippingNotes": sale.header.get("ShippingNotes"),
            "Lines": [_parcel(parcel) for parcel in task.parcels],
        },
    }


def _packed(sale: Sale, one: Packed) -> dict[str, Any]:
    return {
        **_product(one.line),
        "Location": sale.location.name,
        "LocationID": sale.location.id,
        "Quantity": one.quantity,
        "BatchSN": None,
        "ExpiryDate": None,
        "NonInventory": False,
    }


def _parcel(parcel: Parcel) -> dict[str, Any]:
    return {
        "ID": parcel.id,
        "ShipmentDate": day(parcel.shipped_at),
        "Carrier": parcel.carrier,
        "Boxes": ",".join(parcel.boxes),
        "TrackingNumber": parcel.tracking,
        "TrackingURL": "",
        "IsShipped": parcel.shipped,
    }


def _address(address: dict[str, Any] | None, countries: str) -> dict[str, Any] | None:
    if not address:
        return None
    country = address.get("Country", "")
    table = CODES if countries == "Code2" else NAMES
    return {**address, "Country": table.get(country, country)}
