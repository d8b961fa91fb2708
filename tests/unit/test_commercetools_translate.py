"""Order, entry and message documents of commercetools, in the words of the trade."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from sellable.connectors.commercetools import translate, wire
from sellable.connectors.commercetools.translate import Bundles
from sellable.domain.money import Rounding, TaxCalculation, Taxed, TaxPortion
from sellable.domain.orders import Charge, InventoryMode, Line, Order, OrderState, ReturnItem, SyncInfo, Tax

CHANNELS = {"ch-web": "web", "ch-export": "sellable-export"}


def money(cents: int, digits: int = 2, currency: str = "EUR") -> dict[str, Any]:
    return {"type": "centPrecision", "currencyCode": currency, "centAmount": cents, "fractionDigits": digits}


RATE = {"id": "r1", "name": "19 %", "amount": 0.19, "includedInPrice": True, "country": "DE", "subRates": []}


def taxed(net: int, gross: int) -> dict[str, Any]:
    portion = {"rate": 0.19, "name": "19 %", "amount": money(gross - net)}
    return {
        "totalNet": money(net),
        "totalGross": money(gross),
        "taxPortions": [portion],
        "totalTax": money(gross - net),
    }


def line(**changes: Any) -> dict[str, Any]:
    return {
        "id": "line-1",
        "productId": "p1",
        "name": {"de": "Sessel", "en": "Armchair"},
        "variant": {"id": 1, "sku": "CRUNCHY-ARMCHAIR", "attributes": []},
        "price": {"id": "pr1", "value": money(11900)},
        "quantity": 2,
        "totalPrice": money(23800),
        "discountedPricePerQuantity": [],
        "taxedPrice": taxed(20000, 23800),
        "taxedPricePortions": [],
        "state": [{"quantity": 2, "state": {"typeId": "state", "id": "s1"}}],
        "taxRate": RATE,
        "perMethodTaxRate": [],
        "supplyChannel": {"typeId": "channel", "id": "ch-web"},
        "priceMode": "Platform",
        "lineItemMode": "Standard",
    } | changes


def document(**changes: Any) -> dict[str, Any]:
    return {
        "type": "Order",
        "id": "order-1",
        "version": 4,
        "createdAt": "2026-11-21T10:00:00.123Z",
        "lastModifiedAt": "2026-11-21T10:00:05.000Z",
        "orderNumber": "W-1",
        "lineItems": [line()],
        "customLineItems": [],
        "totalPrice": money(23800),
        "taxedPrice": taxed(20000, 23800),
        "inventoryMode": "ReserveOnOrder",
        "taxMode": "Platform",
        "taxRoundingMode": "HalfUp",
        "taxCalculationMode": "UnitPriceLevel",
        "orderState": "Open",
        "shippingMode": "Single",
        "shipping": [],
        "syncInfo": [],
        "origin": "Customer",
        "refusedGifts": [],
    } | changes


def order(bundles: Bundles | None = None, **changes: Any) -> Order:
    return translate.order(msgspec.json.encode(document(**changes)), CHANNELS, bundles)


def first(**changes: Any) -> Line:
    return order(lineItems=[line(**changes)]).lines[0]


def test_an_order_whole() -> None:
    found = order(
        country="DE",
        locale="de-AT",
        customerEmail="ann@example.com",
        purchaseOrderNumber="PO-7",
        paymentState="Paid",
        shipmentState="Ready",
        store={"typeId": "store", "key": "berlin"},
        cart={"typeId": "cart", "id": "cart-1"},
        syncInfo=[{"channel": {"typeId": "channel", "id": "ch-export"}, "externalId": "SO-1", "syncedAt": "x"}],
    )
    assert (found.order_id, found.version, found.number, found.cart_id) == ("order-1", 4, "W-1", "cart-1")
    assert found.placed_at == datetime(2026, 11, 21, 10, 0, 0, 123000, tzinfo=UTC)
    assert found.modified_at == datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
    assert (found.state, found.payment_state, found.shipment_state) == (OrderState.OPEN, "Paid", "Ready")
    assert (found.store, found.country, found.currency, found.digits) == ("berlin", "DE", "EUR", 2)
    assert (found.customer_email, found.purchase_order) == ("ann@example.com", "PO-7")
    assert (found.rounding, found.calculation) == (Rounding.HALF_UP, TaxCalculation.UNIT)
    portions = (TaxPortion(rate=Decimal("0.19"), name="19 %", amount=3800),)
    whole = Taxed(net=20000, gross=23800, portions=portions)
    assert (found.total, found.taxed) == (23800, whole)
    assert found.sync == (SyncInfo(channel="sellable-export", external_id="SO-1"),)
    assert found.unknown == ()
    assert found.lines == (
        Line(
            line_id="line-1",
            sku="CRUNCHY-ARMCHAIR",
            name="Sessel",
            quantity=2,
            mode=InventoryMode.RESERVE_ON_ORDER,
            channel="web",
            unit=11900,
            total=23800,
            tax=Tax(name="19 %", rate=Decimal("0.19"), included=True, country="DE"),
            taxed=whole,
        ),
    )


def test_a_lines_own_mode_wins_and_its_absence_falls_back() -> None:
    assert first(inventoryMode="None").mode is InventoryMode.NONE
    assert first(inventoryMode="TrackOnly").mode is InventoryMode.TRACK_ONLY
    assert first().mode is InventoryMode.RESERVE_ON_ORDER
    bare = document()
    del bare["inventoryMode"]
    assert translate.order(msgspec.json.encode(bare), CHANNELS).lines[0].mode is InventoryMode.NONE


def test_channel_less_and_unknown_channels_are_not_the_same() -> None:
    without = line()
    del without["supplyChannel"]
    strange = line(id="line-2", supplyChannel={"typeId": "channel", "id": "ch-mars"})
    found = order(lineItems=[without, strange])
    assert [x.channel for x in found.lines] == [None, "ch-mars"]
    assert found.unknown == ("supplyChannel ch-mars",)


def test_a_missing_sku_is_none() -> None:
    assert first(variant={"id": 1}).sku is None
    assert first(variant={"id": 1, "sku": ""}).sku is None


def test_unknown_words_are_listed_and_read_so_that_nothing_is_oversold() -> None:
    found = order(
        inventoryMode="ReserveOnWish", orderState="Dreaming", taxRoundingMode="Sideways", taxCalculationMode="Never",
        brandNew=1, lineItems=[line(alsoNew=[], lineItemMode="Whatever")],
    )  # fmt: skip
    assert found.state is OrderState.OPEN
    assert found.lines[0].mode is InventoryMode.NONE
    assert (found.rounding, found.calculation) == (Rounding.HALF_EVEN, TaxCalculation.LINE)
    assert found.unknown == (
        "brandNew",
        "lineItems.alsoNew",
        "inventoryMode ReserveOnWish",
        "orderState Dreaming",
        "taxRoundingMode Sideways",
        "taxCalculationMode Never",
    )


def test_unit_prices_by_discount() -> None:
    def tier(quantity: int, cents: int) -> dict[str, Any]:
        return {"quantity": quantity, "discountedPrice": {"value": money(cents), "includedDiscounts": []}}

    assert first(price={"value": money(100), "discounted": {"value": money(80)}}).unit == 80
    assert first(discountedPricePerQuantity=[tier(2, 75)]).unit == 75
    mixed = order(lineItems=[line(discountedPricePerQuantity=[tier(1, 75), tier(1, 70)])])
    assert mixed.lines[0].total == 23800
    assert mixed.unknown == ("several unit prices on line line-1",)


@pytest.mark.parametrize(
    ("price", "cents"),
    [
        ({"type": "highPrecision", "preciseAmount": 123456, "fractionDigits": 5, "centAmount": 123}, 123),
        ({"type": "highPrecision", "preciseAmount": 123500, "fractionDigits": 5}, 124),
        ({"type": "highPrecision", "preciseAmount": 122500, "fractionDigits": 5}, 122),
    ],
)
def test_high_precision_prices_become_cents_of_the_order(price: dict[str, Any], cents: int) -> None:
    assert first(price={"value": {"currencyCode": "EUR", **price}}).unit == cents


def test_currencies_without_and_with_three_digits() -> None:
    yen = order(totalPrice=money(500, 0, "JPY"), taxedPrice=None, lineItems=[])
    dinar = order(totalPrice=money(1234, 3, "KWD"), taxedPrice=None, lineItems=[])
    assert (yen.digits, yen.total, yen.taxed) == (0, 500, None)
    assert (dinar.digits, dinar.total) == (3, 1234)


def test_money_without_an_amount_is_no_order() -> None:
    with pytest.raises(ValueError, match="without an amount"):
        order(totalPrice={"currencyCode": "EUR", "fractionDigits": 2})


def test_charges() -> None:
    shipping = {
        "shippingMethodName": "Parcel", "price": money(490), "shippingRate": {}, "taxRate": RATE,
        "taxedPrice": taxed(412, 490), "shippingMethodState": "MatchesCart",
    }  # fmt: skip
    wrapping = {
        "id": "custom-1", "name": {"en": "Gift wrap"}, "slug": "wrap", "money": money(300), "quantity": 2,
        "totalPrice": money(600), "taxRate": RATE, "taxedPrice": taxed(504, 600), "state": [],
    }  # fmt: skip
    discount = {
        "discountedAmount": money(1000), "discountedNetAmount": money(840), "discountedGrossAmount": money(1000),
        "includedDiscounts": [],
    }  # fmt: skip
    found = order(shippingInfo=shipping, customLineItems=[wrapping], discountOnTotalPrice=discount)
    tax = Tax(name="19 %", rate=Decimal("0.19"), included=True, country="DE")
    portion = TaxPortion(rate=Decimal("0.19"), name="19 %", amount=78)
    assert found.shipping_method == "Parcel"
    assert found.charges[0] == Charge(
        kind="shipping", charge_id="shipping", name="Parcel", quantity=1, total=490, tax=tax,
        taxed=Taxed(net=412, gross=490, portions=(portion,)),
    )  # fmt: skip
    assert [(c.kind, c.charge_id, c.name, c.quantity, c.total) for c in found.charges[1:]] == [
        ("custom", "custom-1", "Gift wrap", 2, 600),
        ("discount", "discountOnTotalPrice", "Discount", 1, -1000),
    ]
    assert found.charges[2].taxed == Taxed(net=-840, gross=-1000)
    reduced = order(shippingInfo=shipping | {"discountedPrice": {"value": money(0), "includedDiscounts": []}})
    assert reduced.charges[0].total == 0


def test_several_shipping_methods() -> None:
    def shipping(key: str, cents: int, *deliveries: Any) -> dict[str, Any]:
        info = {"shippingMethodName": key.title(), "price": money(cents), "deliveries": list(deliveries)}
        return {"shippingKey": key, "shippingInfo": info, "shippingAddress": {"city": key.upper(), "country": "DE"}}

    delivery = {"id": "d1", "key": "SH-1", "items": [], "parcels": [{"id": "p1", "key": "P-1"}, {"id": "p2"}]}
    seven = RATE | {"amount": 0.07}
    lines = [
        line(id="one", taxRate=None, perMethodTaxRate=[{"shippingMethodKey": "fast", "taxRate": RATE}]),
        line(id="two", taxRate=None, perMethodTaxRate=[{"taxRate": RATE}, {"taxRate": seven}]),
    ]
    found = order(
        shippingMode="Multiple", shipping=[shipping("fast", 900), shipping("slow", 100, delivery)], lineItems=lines
    )
    assert [(c.charge_id, c.total) for c in found.charges] == [("fast", 900), ("slow", 100)]
    assert (found.delivery_keys, found.parcel_keys) == (("SH-1",), ("P-1",))
    assert found.shipping_address.city == "FAST"
    assert [x.tax is not None for x in found.lines] == [True, False]


def test_addresses() -> None:
    found = order(
        shippingAddress={
            "firstName": "Ann", "lastName": "Lee", "company": "Acme", "department": "Lab", "streetName": "Main St",
            "streetNumber": "1a", "building": "B", "additionalStreetInfo": "c/o Bo", "postalCode": "10115",
            "city": "Berlin", "state": "BE", "country": "DE", "mobile": "+49", "email": "a@example.com",
        },
        billingAddress={"lastName": "Lee", "pOBox": "Box 7", "country": "DE"},
    )  # fmt: skip
    address = found.shipping_address
    assert (address.name, address.company, address.line1, address.line2) == (
        "Ann Lee",
        "Acme Lab",
        "Main St 1a",
        "B c/o Bo",
    )
    assert (address.postcode, address.region, address.phone) == ("10115", "BE", "+49")
    assert (found.billing_address.line1, found.billing_address.line2) == ("Box 7", "")


@pytest.mark.parametrize(
    ("bundles", "parent", "child"),
    [
        (Bundles(parent_field="parentKey"), {"key": "SET"}, {"parentKey": "SET"}),
        (
            Bundles(parent_field="parent", identity_field="external-id"),
            {"custom": {"type": {"id": "t"}, "fields": {"external-id": "SET"}}},
            {"parent": "SET"},
        ),
    ],
)
def test_bundle_children_name_their_parents_line(bundles: Bundles, parent: Any, child: Any) -> None:
    lines = [
        line(id="mother", **parent),
        line(id="child", custom={"type": {"typeId": "type", "id": "t"}, "fields": child}),
        line(id="orphan", custom={"type": {"typeId": "type", "id": "t"}, "fields": dict.fromkeys(child, "GONE")}),
    ]
    assert [x.bundle_parent for x in order(bundles, lineItems=lines).lines] == [None, "mother", "GONE"]
    assert [x.bundle_parent for x in order(lineItems=lines).lines] == [None, None, None]


def test_return_items_are_told_with_their_states_and_reason() -> None:
    item = {
        "id": "i", "key": "k", "type": "LineItemReturnItem", "lineItemId": "line-1", "quantity": 2,
        "shipmentState": "BackInStock", "paymentState": "Initial", "comment": "too small",
    }  # fmt: skip
    custom = {"id": "j", "customLineItemId": "c", "quantity": 1, "shipmentState": "Advised"}
    first, second = order(returnInfo=[{"items": [item]}, {"items": [custom]}]).returns
    assert first == ReturnItem(
        item_id="i", key="k", line_id="line-1", units=2, state="BackInStock", payment="Initial", reason="too small"
    )
    assert (second.key, second.line_id, second.state, second.reason) == ("", "", "Advised", "")


def test_units_in_a_state_that_means_cancelled_are_counted_and_the_reason_field_is_read() -> None:
    state = [{"quantity": 1, "state": {"typeId": "state", "id": "st-c"}}]
    fields = {"type": {"typeId": "type", "id": "t"}, "fields": {"why": "late"}}
    words = translate.Words(cancelled=frozenset({"st-c"}), reason_field="why")
    plain = document()
    plain["lineItems"][0] |= {"state": state, "custom": fields}
    found = translate.order(msgspec.json.encode(plain), CHANNELS, words=words)
    assert (found.lines[0].cancelled, found.lines[0].reason) == (1, "late")
    assert translate.order(msgspec.json.encode(plain), CHANNELS).lines[0].cancelled == 0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"id":"a"}', b'{"id":"a","version":"1"}'])
def test_what_is_no_order_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        translate.order(body, CHANNELS)


# --- Messages --------------------------------------------------------------------------------------------------------


def message(**changes: Any) -> dict[str, Any]:
    return {
        "id": "m1",
        "version": 1,
        "sequenceNumber": 1,
        "resource": {"typeId": "order", "id": "order-1"},
        "resourceVersion": 1,
        "type": "OrderCreated",
        "createdAt": "2026-11-21T10:00:00.200Z",
        "lastModifiedAt": "2026-11-21T10:00:00.200Z",
        "order": document(),
    } | changes


def test_a_message_is_a_hint_with_its_bytes() -> None:
    body = msgspec.json.encode(message(type="SomethingNew", surprise=True))
    found = translate.message(body)
    assert (found.message_id, found.type, found.created_at) == ("m1", "SomethingNew", "2026-11-21T10:00:00.200Z")
    assert (found.resource_type, found.resource_id, found.body) == ("order", "order-1", body)


def test_the_order_of_a_message_or_none() -> None:
    def carried(**changes: Any) -> Order | None:
        return translate.order_of_message(msgspec.json.encode(message(**changes)), CHANNELS)

    found = carried()
    assert found is not None
    assert found == order()
    assert carried(order={"id": "half"}) is None
    left_out = message()
    del left_out["order"]
    assert translate.order_of_message(msgspec.json.encode(left_out), CHANNELS) is None


# --- Entries ---------------------------------------------------------------------------------------------------------


def test_entries_of_both_apis_read_alike() -> None:
    common = {
        "id": "e1",
        "version": 7,
        "sku": "A",
        "quantityOnStock": -2,
        "availableQuantity": -3,
        "restockableInDays": 0,
    }
    rest = common | {
        "supplyChannel": {"typeId": "channel", "id": "ch-web"},
        "custom": {"type": {"typeId": "type", "id": "t1"}, "fields": {"lastOp": "op_1", "other": {"deep": [1]}}},
    }
    graph = common | {
        "supplyChannelRef": {"id": "ch-web"},
        "custom": {"typeRef": {"id": "t1"}, "customFieldsRaw": [{"name": "lastOp", "value": "op_1"}]},
    }
    found = translate.entry(msgspec.convert(rest, wire.Entry), CHANNELS)
    assert found == translate.graph_entry(msgspec.convert(graph, wire.GraphEntry), CHANNELS)
    assert (found.sku, found.channel, found.quantity, found.available) == ("A", "web", -2, -3)
    assert (found.last_op, found.typed, found.backorder) == ("op_1", "t1", True)


def test_a_marker_that_is_no_text_is_none() -> None:
    graph = {
        "id": "e1", "version": 7, "sku": "A", "quantityOnStock": 1, "availableQuantity": 1,
        "custom": {"typeRef": {"id": "t1"}, "customFieldsRaw": [{"name": "lastOp", "value": 5}]},
    }  # fmt: skip
    found = translate.graph_entry(msgspec.convert(graph, wire.GraphEntry), CHANNELS)
    assert (found.last_op, found.channel, found.backorder) == (None, None, False)
