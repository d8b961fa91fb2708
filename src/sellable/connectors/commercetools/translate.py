"""commercetools' documents to the words of the trade. One rule: what is not understood is listed, never guessed away.

Amounts are integers of the order's minor unit. An unknown word gets the reading that cannot oversell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import TypeVar

import msgspec

from sellable.connectors.commercetools import wire
from sellable.connectors.kit.decode import decode, lenient
from sellable.connectors.port import EntryReading, RawMessage, RawOrder
from sellable.domain.money import Rounding, TaxCalculation, Taxed, TaxPortion
from sellable.domain.orders import (
    UNITS_MAX,
    Address,
    Charge,
    InventoryMode,
    Line,
    Order,
    OrderState,
    ReturnItem,
    SyncInfo,
    Tax,
)

E = TypeVar("E", bound=StrEnum)

Channels = Mapping[str, str]
"""Channel id to channel key. It must hold every channel we sell from."""

MESSAGES_OF = ("order", "inventory-entry", "product")
"""Resource types whose messages concern us."""

DISCOUNT = "discountOnTotalPrice"
RATE_MAX, RATE_PLACES_MAX = 10, 20
"""No tax is ten times the price, and none has so many decimals."""
MINOR_MAX, DIGITS_MAX = 10**18, 12
"""What fits the database, and more digits than any currency or price of it has."""
QUOTED_MAX = 200
"""Characters of an impossible number that are quoted."""


class Bundles(msgspec.Struct, frozen=True, kw_only=True):
    """How a bundle's children point at their parent line: a custom field, by a convention of each shop.

    `parent_field` is the child's custom field ("parentKey" in the vendor's storefront, "parent" in its bundles
    starter); it names the parent's line key or, where `identity_field` is given, that custom field of the parent.
    """

    parent_field: str
    identity_field: str | None = None


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop means by its own words: ids of line item states that mean cancelled, and the custom field of lines
    and return items that holds a reason ("" for none; a return item's comment is read where it has no such field).
    `attributes` are names of those of a product that lines keep.
    """

    cancelled: frozenset[str] = frozenset()
    reason_field: str = ""
    attributes: tuple[str, ...] = ()


# --- Orders ----------------------------------------------------------------------------------------------------------


def order(
    body: bytes | msgspec.Raw, channels: Channels, bundles: Bundles | None = None, words: Words | None = None
) -> Order:
    """An order document. `unknown` lists words and fields not understood.

    A supply channel that is not in `channels` is given by its id, which is nobody's key: its units are sold, but from
    no entry of ours. Raises ValueError when this is no order.
    """
    found = decode(body, wire.Order)
    unknown = _strange_fields(body)
    digits = found.total_price.fraction_digits
    if not 0 <= digits <= DIGITS_MAX:
        raise ValueError(f"a currency with {digits} fraction digits")
    parents = _parents(found, bundles)
    words = words or Words()
    lines = tuple(
        _line(item, found, digits, channels, parents.get(item.id), words, unknown) for item in found.line_items
    )
    return Order(
        order_id=found.id,
        version=found.version,
        number=found.order_number,
        cart_id=found.cart.id if found.cart else None,
        placed_at=found.created_at,
        modified_at=found.last_modified_at,
        # Any state but Cancelled is demand.
        state=_word(found.order_state, OrderState, OrderState.OPEN, "orderState", unknown),
        payment_state=found.payment_state,
        shipment_state=found.shipment_state,
        store=found.store.key if found.store else None,
        country=found.country,
        currency=found.total_price.currency_code,
        digits=digits,
        lines=lines,
        charges=tuple(_charges(found, digits)),
        total=minor(found.total_price, digits),
        taxed=_taxed(found.taxed_price, digits),
        rounding=_word(found.tax_rounding_mode, Rounding, Rounding.HALF_EVEN, "taxRoundingMode", unknown),
        calculation=_word(
            found.tax_calculation_mode, TaxCalculation, TaxCalculation.LINE, "taxCalculationMode", unknown
        ),
        tax_mode=found.tax_mode,
        customer_email=found.customer_email or "",
        purchase_order=found.purchase_order_number or "",
        shipping_method=next((info.shipping_method_name for _, info in _shippings(found)), ""),
        shipping_address=_address(found.shipping_address or _first_address(found)),
        billing_address=_address(found.billing_address),
        sync=tuple(
            SyncInfo(channel=channels.get(info.channel.id, info.channel.id), external_id=info.external_id or "")
            for info in found.sync_info or ()
        ),
        delivery_keys=tuple(d.key for d in deliveries(found) if d.key),
        parcel_keys=tuple(p.key for d in deliveries(found) for p in d.parcels or () if p.key),
        returns=tuple(_returns(found, words)),
        unknown=tuple(dict.fromkeys(unknown)),
        impossible=tuple(_impossible(found)),
    )


def order_of_message(
    body: bytes, channels: Channels, bundles: Bundles | None = None, words: Words | None = None
) -> Order | None:
    """The order a message carries; None when it carries none that can be read, so that it has to be fetched."""
    news = lenient(body, wire.OrderNews, wire.OrderNews())
    if not bytes(news.order):
        return None
    try:
        return order(news.order, channels, bundles, words)
    except ValueError:
        return None


def raw_order(body: bytes | msgspec.Raw) -> RawOrder:
    """An order as stored, with what is needed to page by and update it. Raises ValueError when this is no order."""
    head = decode(body, wire.Versioned)
    return RawOrder(order_id=head.id, version=head.version, modified_at=head.last_modified_at, body=bytes(body))


def deliveries(found: wire.Order) -> list[wire.Delivery]:
    """All deliveries: under shippingInfo, or under each of several shipping methods."""
    return [delivery for _, info in _shippings(found) for delivery in info.deliveries or ()]


def _line(
    item: wire.LineItem,
    found: wire.Order,
    digits: int,
    channels: Channels,
    parent: str | None,
    words: Words,
    unknown: list[str],
) -> Line:
    channel = item.supply_channel.id if item.supply_channel else None
    if channel is not None and channel not in channels:
        unknown.append(f"supplyChannel {channel}")
    return Line(
        line_id=item.id,
        sku=item.variant.sku or None,
        name=_text(item.name, found.locale),
        quantity=min(item.quantity, UNITS_MAX),
        # If we took a mode that does nothing for one that deducts, our own lower would be left out: an oversell.
        mode=_word(
            item.inventory_mode or found.inventory_mode, InventoryMode, InventoryMode.NONE, "inventoryMode", unknown
        ),
        channel=None if channel is None else channels.get(channel, channel),
        unit=_unit(item, digits, unknown),
        total=minor(item.total_price, digits),
        tax=_tax(item.tax_rate, item.per_method_tax_rate),
        taxed=_taxed(item.taxed_price, digits),
        bundle_parent=parent,
        cancelled=cancelled_units(item, words.cancelled),
        reason=_reason(item.custom, words),
        attributes=_attributes(item.variant, words.attributes),
    )


def _impossible(found: wire.Order) -> Iterator[str]:
    """Quantities and totals beyond all there are, as they were stated."""
    for item in (*found.line_items, *(found.custom_line_items or ())):
        if item.quantity >= UNITS_MAX:
            yield f"{item.quantity} units on line {item.id}"[:QUOTED_MAX]
        for money in (item.total_price, *(_prices(item) if isinstance(item, wire.LineItem) else ())):
            if _beyond(money):
                yield f"{money.cent_amount} minor units on line {item.id}"[:QUOTED_MAX]
    if _beyond(found.total_price):
        yield f"{found.total_price.cent_amount} minor units in all"[:QUOTED_MAX]


def _prices(item: wire.LineItem) -> Iterator[wire.Money]:
    yield item.price.value
    if item.price.discounted:
        yield item.price.discounted.value
    yield from (tier.discounted_price.value for tier in item.discounted_price_per_quantity or ())


def _beyond(money: wire.Money) -> bool:
    return money.cent_amount is not None and abs(money.cent_amount) > MINOR_MAX


def _attributes(variant: wire.Variant, names: Collection[str]) -> dict[str, str]:
    """Attributes that say one thing, by name; an enum says its key (API, Attribute and AttributeType)."""
    if not names:
        return {}
    kept: dict[str, str] = {}
    for each in lenient(bytes(variant.attributes), list[wire.Attribute], []):
        value = each.value.get("key") if isinstance(each.value, dict) else each.value
        if each.name in names and isinstance(value, str | int):
            kept[each.name] = str(value).lower() if isinstance(value, bool) else str(value)
    return kept


def _unit(item: wire.LineItem, digits: int, unknown: list[str]) -> int:
    """The price of a unit: by cart discounts, else by a product discount, else the list price."""
    tiers = item.discounted_price_per_quantity or []
    prices = {minor(tier.discounted_price.value, digits) for tier in tiers}
    if len(prices) > 1:
        # No single price: tax by unit cannot be recomputed from the line, tax by line does not need it.
        unknown.append(f"several unit prices on line {item.id}")
    if prices and sum(tier.quantity for tier in tiers) == item.quantity:
        return min(prices)
    return minor(item.price.discounted.value if item.price.discounted else item.price.value, digits)


def _charges(found: wire.Order, digits: int) -> Iterator[Charge]:
    for key, info in _shippings(found):
        yield Charge(
            kind="shipping",
            charge_id=key or "shipping",
            name=info.shipping_method_name,
            quantity=1,
            total=minor(info.discounted_price.value if info.discounted_price else info.price, digits),
            tax=_tax(info.tax_rate),
            taxed=_taxed(info.taxed_price, digits),
        )
    for item in found.custom_line_items or ():
        yield Charge(
            kind="custom",
            charge_id=item.id,
            name=_text(item.name, found.locale),
            quantity=min(item.quantity, UNITS_MAX),
            total=minor(item.total_price, digits),
            tax=_tax(item.tax_rate, item.per_method_tax_rate),
            taxed=_taxed(item.taxed_price, digits),
        )
    if discount := found.discount_on_total_price:
        net, gross = discount.discounted_net_amount, discount.discounted_gross_amount
        yield Charge(
            kind="discount",
            charge_id=DISCOUNT,
            name="Discount",
            quantity=1,
            total=-minor(discount.discounted_amount, digits),
            tax=None,
            taxed=Taxed(net=-minor(net, digits), gross=-minor(gross, digits)) if net and gross else None,
        )


def _shippings(found: wire.Order) -> list[tuple[str, wire.ShippingInfo]]:
    """(shipping key, shipping info): one with shippingMode Single, any number with Multiple."""
    single = [(found.shipping_key or "", found.shipping_info)] if found.shipping_info else []
    return single + [(s.shipping_key, s.shipping_info) for s in found.shipping or () if s.shipping_info]


def _first_address(found: wire.Order) -> wire.Address | None:
    return next((s.shipping_address for s in found.shipping or () if s.shipping_address), None)


def _parents(found: wire.Order, bundles: Bundles | None) -> dict[str, str]:
    """Child line id to parent line id; a parent that is not on the order is given by the name the child has for it."""
    if bundles is None:
        return {}

    def fields(item: wire.LineItem) -> Mapping[str, object]:
        return item.custom.fields if item.custom else {}

    identity = bundles.identity_field
    names = {item.key if identity is None else fields(item).get(identity): item.id for item in found.line_items}
    pointing = {item.id: fields(item).get(bundles.parent_field) for item in found.line_items}
    return {child: names.get(name, name) for child, name in pointing.items() if isinstance(name, str)}


def cancelled_units(item: wire.LineItem, states: frozenset[str]) -> int:
    """Units of a line in these states; never more than the line has."""
    return min(item.quantity, UNITS_MAX, sum(part.quantity for part in item.state or () if part.state.id in states))


def _returns(found: wire.Order, words: Words) -> Iterator[ReturnItem]:
    for info in found.return_info or ():
        for item in info.items or ():
            yield ReturnItem(
                item_id=item.id,
                key=item.key or "",
                line_id=item.line_item_id or "",
                units=min(item.quantity, UNITS_MAX),
                state=item.shipment_state,
                payment=item.payment_state,
                reason=_reason(item.custom, words) or item.comment or "",
            )


def _reason(custom: wire.CustomFields | None, words: Words) -> str:
    value = custom.fields.get(words.reason_field) if custom and words.reason_field else None
    return value if isinstance(value, str) else ""


def _strange_fields(body: bytes | msgspec.Raw) -> list[str]:
    names = decode(body, dict[str, msgspec.Raw]).keys()
    lines = decode(body, wire.Skeleton).line_items
    inner = {name for line in lines for name in line} - wire.LINE_FIELDS
    return [*sorted(names - wire.ORDER_FIELDS), *(f"lineItems.{name}" for name in sorted(inner))]


# --- Pieces ----------------------------------------------------------------------------------------------------------


def minor(money: wire.Money, digits: int) -> int:
    """An amount in the order's minor unit. highPrecision comes with its cents already rounded; else half to even.

    One beyond all amounts is the most there is: its order is captured, and held for it.
    """
    amount = money.cent_amount
    if amount is None:
        if money.precise_amount is None:
            raise ValueError("money without an amount")
        if not 0 <= money.fraction_digits <= DIGITS_MAX or abs(money.precise_amount) > MINOR_MAX:
            raise ValueError("money beyond all amounts")
        exact = Decimal(money.precise_amount).scaleb(digits - money.fraction_digits)
        amount = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    return max(-MINOR_MAX, min(amount, MINOR_MAX))


def _tax(rate: wire.TaxRate | None, by_method: list[wire.MethodTaxRate] | None = None) -> Tax | None:
    """The one rate; several shipping methods may give one line several, and then there is none."""
    rates = [rate] if rate else [each.tax_rate for each in by_method or () if each.tax_rate]
    if not rates or any(each != rates[0] for each in rates) or not _is_rate(rates[0].amount):
        return None
    return Tax(name=rates[0].name, rate=rates[0].amount, included=rates[0].included_in_price, country=rates[0].country)


def _is_rate(rate: Decimal) -> bool:
    """Whether it can be computed with: what is no rate is left out, so that its order is captured, and held for it."""
    return rate.is_finite() and 0 <= rate < RATE_MAX and -int(rate.as_tuple().exponent) <= RATE_PLACES_MAX


def _taxed(price: wire.TaxedPrice | None, digits: int) -> Taxed | None:
    if price is None:
        return None
    portions = tuple(
        TaxPortion(rate=each.rate, name=each.name or "", amount=minor(each.amount, digits))
        for each in price.tax_portions or ()
        if _is_rate(each.rate)
    )
    return Taxed(net=minor(price.total_net, digits), gross=minor(price.total_gross, digits), portions=portions)


def _address(found: wire.Address | None) -> Address:
    if found is None:
        return Address()

    def joined(*parts: str | None) -> str:
        return " ".join(part for part in parts if part)

    return Address(
        name=joined(found.first_name, found.last_name),
        company=joined(found.company, found.department),
        line1=joined(found.street_name, found.street_number) or found.po_box or "",
        line2=joined(
            found.building, found.apartment, found.additional_street_info, found.po_box if found.street_name else None
        ),
        city=found.city or "",
        region=found.region or found.state or "",
        postcode=found.postal_code or "",
        country=found.country or "",
        email=found.email or "",
        phone=found.phone or found.mobile or "",
    )


def _text(name: wire.Localized, locale: str | None) -> str:
    """A localized text in the order's language, else its base language, else English, else any."""
    for wanted in (locale or "", (locale or "").partition("-")[0], "en"):
        if wanted in name:
            return name[wanted]
    return next(iter(name.values()), "")


def _word(text: str, words: type[E], otherwise: E, field: str, unknown: list[str]) -> E:
    try:
        return words(text)
    except ValueError:
        unknown.append(f"{field} {text}")
        return otherwise


# --- Stock -----------------------------------------------------------------------------------------------------------


def entry(found: wire.Entry, channels: Channels) -> EntryReading:
    """A stock entry of the HTTP API; a channel we do not know is given by its id."""
    custom = found.custom
    return _reading(
        found, found.supply_channel, channels, custom.type.id if custom else None,
        custom.fields.get(wire.MARKER) if custom else None,
    )  # fmt: skip


def graph_entry(found: wire.GraphEntry, channels: Channels) -> EntryReading:
    """A stock entry of GraphQL."""
    custom = found.custom
    marks = [each.value for each in (custom.custom_fields_raw if custom else None) or () if each.name == wire.MARKER]
    return _reading(
        found, found.supply_channel_ref, channels, custom.type_ref.id if custom else None, marks[0] if marks else None
    )


def _reading(
    found: wire.Entry | wire.GraphEntry,
    channel: wire.Reference | None,
    channels: Channels,
    typed: str | None,
    marker: object,
) -> EntryReading:
    return EntryReading(
        sku=found.sku,
        channel=channels.get(channel.id, channel.id) if channel else None,
        remote_id=found.id,
        version=found.version,
        quantity=found.quantity_on_stock,
        available=found.available_quantity,
        last_op=marker if isinstance(marker, str) else None,
        typed=typed,
        # Even 0 days count as set: ReserveOnOrder then accepts without stock (API, InventoryMode).
        backorder=found.restockable_in_days is not None,
    )


# --- Messages --------------------------------------------------------------------------------------------------------


def message(body: bytes | msgspec.Raw) -> RawMessage:
    """A message of the feed: its envelope is the hint, its bytes are kept. Raises ValueError without id or time."""
    found = decode(body, wire.Message)
    return RawMessage(
        message_id=found.id,
        type=found.type,
        resource_type=found.resource.type_id,
        resource_id=found.resource.id,
        created_at=found.created_at,
        body=bytes(body),
    )
