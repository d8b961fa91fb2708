"""What imports say of an order and of a return. One rule: what could change the order's meaning is never cut.

Text for people loses its line breaks and what XML cannot carry, a name of goods is shortened; a SKU, a reference or an
amount that does not fit is refused before any call. Line totals are the truth, a unit's price is said where it is
exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from decimal import Decimal
from xml.sax.saxutils import escape

import msgspec

from sellable.config.settings import OrderFlow
from sellable.connectors.orderflow import wire
from sellable.connectors.orderflow.translate import clock_time
from sellable.connectors.orderflow.wire import NAME_MAX, Entity, Field, fields_of
from sellable.connectors.port import Refused, ReturnAdvice, ReturnLine, SaleCharge, SaleDraft, SaleLine
from sellable.domain.orders import Address

ORDER, RETURN = "order", "return"
SHIPMENT, ITEM = "entity:shipment", "entity:order"
"""How a line names its shipment, and a shipment its order, inside one import."""
KINDS = ("shipping", "custom", "discount")
LINES_MAX = 6

Item = SaleLine | SaleCharge
Money = tuple[Decimal, Decimal, Decimal]
"""Net, gross and tax in major units."""


def order(draft: SaleDraft, site: str, settings: OrderFlow, zone: tzinfo) -> Entity:
    """The import of an order; `site` is the vendor's name of the draft's location.

    Refused for what cannot be said: a kit (only goods that stand in the warehouse go out; API guide, chapter 2), an
    amount finer than the currency's minor unit, a charge of no known kind, a tax rule without a code.
    """
    ref = _exact("externalReference", draft.ref)
    if not draft.lines:
        raise Refused("an order without lines", code="empty")
    fields = [
        *_header(draft, settings, zone),
        *_address("delivery", draft.shipping_address, draft.email, settings),
        *_address("invoice", draft.billing_address, draft.email, settings),
    ]
    for number, line in enumerate(draft.lines, start=1):
        fields += _line(f"orderLine.{number}.", line, draft, settings)
    fields += _shipment(draft, ref, site, settings)
    return Entity(type=ORDER, operation="insert", ref=ref, fields=tuple(fields))


def _header(draft: SaleDraft, settings: OrderFlow, zone: tzinfo) -> list[Field]:
    for charge in draft.charges:
        if charge.kind not in KINDS:
            raise Refused(
                f"a charge of kind {charge.kind!r}", code="charge_kind", detail={"charge": charge.description}
            )
    shipping: list[Item] = [charge for charge in draft.charges if charge.kind == "shipping"]
    # Custom lines and discounts on the total are no lines here, so they are part of what the goods come to.
    goods: list[Item] = [*draft.lines, *(charge for charge in draft.charges if charge.kind != "shipping")]
    values = {
        "state": settings.order_state or None,
        "validated": _flag(settings.validated),
        "source": settings.source or None,
        "placed": clock_time(draft.placed_at, zone) if draft.placed_at else f"{draft.placed_on} 00:00:00",
        "currency": draft.currency,
        **_totals("totalPrice", "totalTax", [*draft.lines, *draft.charges], draft),
        **_totals("goodsPrice", "goodsTax", goods, draft),
        "goodsTaxCode": _only_code(goods, settings),
        **_totals("shippingPrice", "shippingTax", shipping, draft),
        "shippingTaxCode": _only_code(shipping, settings),
        "promotionCode": draft.promotion or None,
        "partialOrder": _flag(True) if draft.partial else None,
    }
    if settings.order_number_field:
        values[settings.order_number_field] = draft.order_number
    if settings.note_field:
        values[settings.note_field] = draft.note or None
    return fields_of(values)


def _line(prefix: str, line: SaleLine, draft: SaleDraft, settings: OrderFlow) -> list[Field]:
    if line.kit:
        raise Refused(f"{line.sku} is a kit, and only goods go out", code="kit", detail={"sku": line.sku})
    quantity, totals = _units(line), _totals("totalPrice", "totalTax", [line], draft)
    unit_net, unit_gross, unit_tax = (_unit(amount, line.quantity, draft.digits) for amount in _money([line], draft))
    values = {
        "product.externalReference": _exact("product", line.sku),
        "quantity": quantity,
        "description": line.name[:NAME_MAX] or None,
        **totals,
        "totalTaxCode": _code(line.tax_rule, settings),
        "unitPriceNet": unit_net,
        "unitPriceGross": unit_gross,
        "unitTax": unit_tax,
        "shipment": SHIPMENT,
    }
    return fields_of(values, prefix)


def _shipment(draft: SaleDraft, ref: str, site: str, settings: OrderFlow) -> list[Field]:
    values = {
        "externalReference": ref,
        "state": settings.shipment_state or None,
        "site": _exact("site", site),
        "deliverySuggestionCode": draft.carrier or None,
        "deliverySuggestionName": draft.delivery or None,
        "orderItem": ITEM,
    }
    return fields_of(values, "shipment.")


def returned(draft: ReturnAdvice, site: str | None, zone: tzinfo) -> Entity:
    """The import that announces a return; our number of it is also its authorisation, by which reports name it."""
    ref = _exact("externalReference", draft.ref)
    if not draft.lines:
        raise Refused("a return without lines", code="empty")
    values = {
        "orderReference": draft.order_ref or None,
        "authorisation": ref,
        "authorised": _flag(draft.authorised),
        "type": draft.type or None,
        "returnDate": clock_time(draft.returned_at, zone) if draft.returned_at else None,
        "site": site,
        "note": draft.note or None,
    }
    fields = fields_of(values, "return.")
    for number, line in enumerate(draft.lines, start=1):
        words = {
            "product": _exact("product", line.sku),
            "quantity": _units(line),
            "reason": line.reason or None,
            "condition": line.condition or None,
            "returnItem": RETURN,
        }
        fields += fields_of(words, f"returnLine.{number}.")
    return Entity(type=RETURN, operation="insert", ref=ref, fields=tuple(fields))


def personal(draft: SaleDraft | ReturnAdvice) -> set[str]:
    """The words of a draft that tell of a person, as they are and as they were sent, for leaving them out of what is
    said about it.
    """
    words = _personal(draft)
    sent = {wire.clean(word) for word in words}
    return {*words, *sent, *map(escape, sent), *(" ".join(word.split()) for word in words)}


def _personal(draft: SaleDraft | ReturnAdvice) -> set[str]:
    if isinstance(draft, ReturnAdvice):
        return {draft.note}
    words = {draft.email, draft.note}
    for address in (draft.shipping_address, draft.billing_address):
        told = (address.name, address.company, address.line1, address.line2, address.city, address.region)
        words |= {*told, address.postcode, address.email, address.phone}
    return words


def address_lines(address: Address, template: Sequence[str], *, collapse: bool) -> list[str]:
    """The address's lines by a template, at most six; empty ones at the end are left out, with `collapse` all are."""
    values = msgspec.structs.asdict(address)
    found = [" ".join(line.format_map(values).split()) for line in template[:LINES_MAX]]
    if collapse:
        return [line for line in found if line]
    while found and not found[-1]:
        found.pop()
    return found


def _address(prefix: str, address: Address, email: str, settings: OrderFlow) -> list[Field]:
    if address == Address():
        return []
    lines = address_lines(address, settings.address_lines, collapse=settings.address_collapse)
    values = {
        "ContactName": address.name or None,
        "CompanyName": address.company or None,
        **{f"AddressLine{number}": line for number, line in enumerate(lines, start=1)},
        "PostCode": address.postcode or None,
        "CountryCode": address.country or None,
        "EmailAddress": address.email or email or None,
        "DayPhoneNumber": address.phone or None,
    }
    return fields_of(values, prefix)


# --- Money -----------------------------------------------------------------------------------------------------------


def _money(items: Sequence[Item], draft: SaleDraft) -> Money:
    """Net, gross and tax of items; a total holds its tax or not as the draft says."""
    total, tax = sum((item.total for item in items), Decimal(0)), sum((item.tax for item in items), Decimal(0))
    return (total - tax, total, tax) if draft.tax_included else (total, total + tax, tax)


def _totals(price: str, tax_name: str, items: Sequence[Item], draft: SaleDraft) -> dict[str, str | None]:
    net, gross, tax = _money(items, draft)
    return {f"{price}Net": _text(net, draft), f"{price}Gross": _text(gross, draft), tax_name: _text(tax, draft)}


def _text(amount: Decimal, draft: SaleDraft) -> str:
    """An amount with exactly the currency's digits, a zero too; a finer one would be rounded behind our back."""
    try:
        exact = amount.quantize(Decimal(1).scaleb(-draft.digits))
    except ArithmeticError:
        exact = Decimal("NaN")
    if exact != amount:
        raise Refused(f"{amount} {draft.currency} is no amount of whole minor units", code="too_fine")
    return f"{abs(exact) if exact == 0 else exact:f}"


def _unit(amount: Decimal, quantity: int, digits: int) -> str | None:
    """A unit's share, where it is whole minor units."""
    minor, rest = divmod(int(amount.scaleb(digits)), quantity)
    return None if rest else f"{Decimal(minor).scaleb(-digits):f}"


def _code(rule: str, settings: OrderFlow) -> str | None:
    """The tax code of a rule; None where the tenant sends no codes."""
    if not settings.tax_codes:
        return None
    if rule not in settings.tax_codes:
        raise Refused(f"the tax rule {rule!r} has no code", code="tax_code", detail={"rule": rule})
    return settings.tax_codes[rule]


def _only_code(items: Sequence[Item], settings: OrderFlow) -> str | None:
    """The code all items share; None when they are several or none: one code would be a lie."""
    codes = {_code(item.tax_rule, settings) for item in items}
    return codes.pop() if len(codes) == 1 else None


def _units(line: SaleLine | ReturnLine) -> str:
    """The units of a line, whole and at least one."""
    if type(line.quantity) is not int or line.quantity <= 0:
        raise Refused(f"{line.quantity} units of {line.sku}", code="quantity", detail={"sku": line.sku})
    return str(line.quantity)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _exact(name: str, value: str) -> str:
    """A word that must arrive as it is."""
    if not value or len(value) > NAME_MAX or wire.clean(value) != value or value != value.strip():
        raise Refused(
            f"{name} is empty, longer than {NAME_MAX}, or not one line of plain characters",
            code="too_long" if len(value) > NAME_MAX else "unwritable",
            detail={"field": name, "value": value[:NAME_MAX]},
        )
    return value
