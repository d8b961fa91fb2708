"""The two bodies that make a sale: header and lines. One rule: what could change the order's meaning is never cut.

Only text for people is shortened to the vendor's lengths; a SKU, a reference or an address that does not fit is refused
before any call.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sellable.connectors.cin7_core.countries import name_of
from sellable.connectors.port import Refused, SaleCharge, SaleDraft, SaleLine
from sellable.domain.orders import Address

NOTE_MAX = 1024
NAME_MAX = 256
_PERSONAL = ("Contact", "Phone", "Email", "Note", "Memo")
DECIMALS = Decimal("0.0001")


def header(draft: SaleDraft, location: str) -> dict[str, Any]:
    """Body of POST sale: a draft that allocates nothing. `location` is the vendor's name of it.

    ShipToOther keeps the address on the sale; without it Cin7 adds it to the customer's card (blueprint, sale).
    """
    shipping, billing = draft.shipping_address, draft.billing_address
    body: dict[str, Any] = {
        "Customer": draft.customer,
        "Contact": (shipping.name or billing.name)[:NAME_MAX],
        "Phone": (shipping.phone or billing.phone)[:50],
        "Email": draft.email[:NAME_MAX],
        "SkipQuote": True,
        "TaxRule": _fits("TaxRule", draft.tax_rule, 50),
        "TaxInclusive": draft.tax_included,
        "Location": location,
        "SaleOrderDate": f"{draft.placed_on}T00:00:00",
        "Note": draft.note[:NOTE_MAX],
        "CustomerReference": _fits("CustomerReference", draft.order_number, 256),
        "ExternalID": _fits("ExternalID", draft.ref, 256),
    }
    if draft.carrier:
        body["Carrier"] = draft.carrier
    if draft.currency_rate is not None:
        body["CurrencyRate"] = draft.currency_rate.quantize(Decimal("0.00001"))
    if billing != Address():
        body["BillingAddress"] = _address(billing)
    if shipping != Address():
        body["ShippingAddress"] = _address(shipping) | {
            "Company": shipping.company[:128],
            "Contact": shipping.name[:512],
            "ShipToOther": True,
        }
    for line in draft.lines:
        # Said now, while there is no sale yet that would have to be voided.
        _fits("SKU", line.sku, 50)
    return body


def order(sale_id: str, draft: SaleDraft, *, authorise: bool) -> dict[str, Any]:
    """Body of POST sale/order. It overwrites the lines while the order is a draft, so it may be sent again.

    A line's Total is without tax on an exclusive sale, and gross with Tax as the part contained on an inclusive one
    (the former measured, the latter a guess until probed per account).
    """
    return {
        "SaleID": sale_id,
        "Memo": (draft.note or draft.order_number)[:NOTE_MAX],
        "Status": "AUTHORISED" if authorise else "DRAFT",
        "Lines": [
            {"SKU": _fits("SKU", line.sku, 50), "Name": line.name[:NAME_MAX], **_money(line)} for line in draft.lines
        ],
        "AdditionalCharges": [
            {"Description": _fits("Description", charge.description, 256), **_money(charge)} for charge in draft.charges
        ],
    }


def personal(body: Mapping[str, Any]) -> set[str]:
    """The words of a body that tell of a person, for leaving them out of what is said about it."""
    words = {str(body.get(name, "")) for name in _PERSONAL}
    for place in ("BillingAddress", "ShippingAddress"):
        words |= {value for name, value in body.get(place, {}).items() if name != "Country" and isinstance(value, str)}
    return words


def _money(line: SaleLine | SaleCharge) -> dict[str, Any]:
    return {
        "Quantity": line.quantity,
        "Price": _exact("Price", line.price),
        "Discount": line.discount if isinstance(line, SaleLine) else 0,
        "Tax": _exact("Tax", line.tax),
        "TaxRule": _fits("TaxRule", line.tax_rule, 50),
        "Total": _exact("Total", line.total),
    }


def _address(address: Address) -> dict[str, Any]:
    return {
        "Line1": _fits("Line1", address.line1, 256),
        "Line2": _fits("Line2", address.line2, 256),
        "City": _fits("City", address.city, 256),
        "State": _fits("State", address.region, 256),
        "Postcode": _fits("Postcode", address.postcode, 20),
        "Country": name_of(address.country),
    }


def _fits(name: str, value: str, most: int) -> str:
    if len(value) > most:
        raise Refused(f"{name} is longer than {most} characters", code="too_long", detail={"field": name, "most": most})
    return value


def _exact(name: str, value: Decimal) -> Decimal:
    """The amount with the vendor's 4 decimals; a finer one would be rounded behind our back."""
    if value != value.quantize(DECIMALS):
        raise Refused(f"{name} {value} has more than 4 decimals", code="too_fine", detail={"field": name})
    return value.quantize(DECIMALS)
