"""The commercetools connector against two vendors of different authors, over real HTTP.

What both know is asked of both; orders that move stock, messages, GraphQL and raises only of the simulator.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from commercetools_peers import Shop, installed_mock, serve

from sellable.connectors.commercetools import Commercetools, client, setup
from sellable.connectors.port import (
    Conflict,
    DeliveryDraft,
    EntryReading,
    Misconfigured,
    RawOrder,
    Refused,
    StockWrite,
    Written,
)
from sellable.domain.orders import InventoryMode, OrderState, SyncInfo

CHAIR = "CRUNCHY-ARMCHAIR"


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """Address of our simulator."""
    yield from serve([sys.executable, "-m", "sellable.sandbox", "commercetools"])


@pytest.fixture(scope="session")
def mock(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of the independent mock, installed once into pytest's cache folder."""
    assert request.config.cache is not None
    yield from serve(installed_mock(request.config.cache.mkdir("commercetools-mock-4.4.0")))


@pytest.fixture(params=["simulator", "mock"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A fresh project at each peer."""
    shop = Shop(request.getfixturevalue(request.param), simulated=request.param == "simulator")
    with shop.client:
        yield shop


@pytest.fixture
def simulated(simulator: str) -> Iterator[Shop]:
    """A fresh project at our simulator, for what the mock does not have."""
    shop = Shop(simulator, simulated=True)
    with shop.client:
        yield shop


async def ready(port: Commercetools) -> Commercetools:
    """The connector after its own setup."""
    await setup.apply(port, await setup.plan(port))
    return port


def write_of(entry: EntryReading, difference: int, op_id: str) -> StockWrite:
    return StockWrite(
        op_id=op_id, sku=entry.sku, channel=entry.channel, remote_id=entry.remote_id, version=entry.version,
        difference=difference, typed=entry.typed,
    )  # fmt: skip


async def read_one(port: Commercetools, sku: str = CHAIR, channel: str | None = "web") -> EntryReading:
    (entry,) = (await port.read_entries([(sku, channel)], lane="reads")).entries
    return entry


async def write_one(port: Commercetools, write: StockWrite) -> Written:
    (outcome,) = await port.write([write], lane="writes")
    return outcome


# --- Setup -----------------------------------------------------------------------------------------------------------


def test_setup_makes_what_is_missing_and_then_finds_nothing_to_do(simulated: Shop) -> None:
    async def story(port: Commercetools) -> list[Any]:
        first = await setup.plan(port)
        await setup.apply(port, first)
        return [first, await setup.plan(port)]

    first, second = simulated.run(story)
    assert [(s.resource, s.action) for s in first] == [
        ("custom type sellable-stock", "create"),
        ("channel sellable-export", "create"),
        ("project messages", "update"),
        ("line item state sellable-allocated", "create"),
        ("line item state sellable-picked", "create"),
        ("line item state sellable-shipped", "create"),
        ("line item state sellable-cancelled", "create"),
    ]
    assert {s.action for s in second} == {"none"}


def test_setup_mends_what_differs(simulated: Shop) -> None:
    simulated.channel("sellable-export", "InventorySupply")
    draft = {"key": "sellable-stock", "name": {"en": "x"}, "resourceTypeIds": ["inventory-entry"]}
    simulated.post("/types", draft)

    async def story(port: Commercetools) -> list[Any]:
        first = await setup.plan(port)
        await setup.apply(port, first)
        return [first, await setup.plan(port)]

    first, second = simulated.run(story)
    assert [s.action for s in first[:3]] == ["update", "update", "update"]
    assert {s.action for s in second} == {"none"}


# --- Stock -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """A project with a channel, the marker's type, and 10 armchairs on the channel and 3 beside it."""
    shop.channel("web")
    shop.post(
        "/types",
        {
            "key": "sellable-stock",
            "name": {"en": "Stock"},
            "resourceTypeIds": ["inventory-entry"],
            "fieldDefinitions": [setup.MARKER_FIELD],
        },
    )
    shop.entry(CHAIR, 10, "web")
    shop.entry(CHAIR, 3)
    shop.entry("QUIET-TABLE", 7, "web")
    return shop


def test_entries_are_read_by_sku_and_channel(stocked: Shop) -> None:
    async def story(port: Commercetools) -> Any:
        keys = [(CHAIR, "web"), (CHAIR, None), ("NO-SUCH", "web"), ("QUIET-TABLE", None), ("QUIET-TABLE", "mars")]
        return await port.read_entries(keys, lane="reads")

    found = stocked.run(story)
    assert {(e.sku, e.channel): e.quantity for e in found.entries} == {(CHAIR, "web"): 10, (CHAIR, None): 3}
    assert abs(found.at - datetime.now(UTC)) < timedelta(minutes=1)
    assert {(e.typed, e.last_op, e.backorder) for e in found.entries} == {(None, None, False)}


def test_backorder_flag_is_seen_even_at_zero_days(stocked: Shop) -> None:
    stocked.entry("PATIENT-SOFA", 1, "web", restockableInDays=0)
    assert stocked.run(lambda port: read_one(port, "PATIENT-SOFA")).backorder


def test_all_entries_are_walked_in_pages(stocked: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)

    async def story(port: Commercetools) -> list[Any]:
        first = await port.walk_entries(None, lane="reads")
        return [first, await port.walk_entries(first.last_id, lane="reads")]

    first, second = stocked.run(story)
    assert (len(first.entries), len(second.entries), second.last_id) == (2, 1, None)
    assert len({e.remote_id for e in (*first.entries, *second.entries)}) == 3


def test_a_lower_is_applied_and_marked(stocked: Shop) -> None:
    async def story(port: Commercetools) -> Any:
        first = await write_one(port, write_of(await read_one(port), -3, "op_first-one"))
        between = await read_one(port)
        second = await write_one(port, write_of(between, -2, "op_second-one"))
        return first, between, second, await read_one(port)

    first, between, second, after = stocked.run(story)
    assert (first.status, first.quantity, first.version) == ("applied", 7, between.version)
    assert abs(first.at - datetime.now(UTC)) < timedelta(minutes=1)
    assert (between.quantity, between.last_op) == (7, "op_first-one")
    assert between.typed is not None
    assert (second.status, second.quantity) == ("applied", 5)
    assert (after.quantity, after.last_op, after.typed) == (5, "op_second-one", between.typed)


def test_of_many_writers_at_one_version_exactly_one_wins(stocked: Shop) -> None:
    async def story(port: Commercetools) -> Any:
        entry = await read_one(port)
        writes = [write_of(entry, -1, f"op_writer-{n}") for n in range(6)]
        outcomes = await asyncio.gather(*(write_one(port, write) for write in writes))
        return outcomes, await read_one(port)

    outcomes, after = stocked.run(story)
    assert sorted(o.status for o in outcomes) == ["applied", *["conflict"] * 5]
    winner = next(o for o in outcomes if o.status == "applied")
    assert (after.quantity, after.last_op) == (9, winner.op_id)


@pytest.mark.parametrize(("drop", "quantity"), [("before", 10), ("after", 7)])
def test_a_lost_answer_is_unknown_and_the_marker_tells(stocked: Shop, drop: str, quantity: int) -> None:
    async def story(port: Commercetools) -> Any:
        entry = await read_one(port)
        stocked.fault("/inventory/", drop=drop)
        return await write_one(port, write_of(entry, -3, "op_lost-answer")), await read_one(port)

    outcome, after = stocked.run(story)
    assert outcome.status == "unknown"
    assert (after.quantity, after.last_op) == (quantity, "op_lost-answer" if drop == "after" else None)


def test_a_limit_is_not_applied_and_says_how_long(stocked: Shop) -> None:
    async def story(port: Commercetools) -> Any:
        entry = await read_one(port)
        stocked.fault("/inventory/", status=429, retry_after=7)
        return await write_one(port, write_of(entry, -3, "op_limited-one")), await read_one(port)

    outcome, after = stocked.run(story)
    assert (outcome.status, outcome.after_seconds, after.quantity) == ("limited", 7.0, 10)


def test_an_overload_leaves_the_outcome_unknown(stocked: Shop) -> None:
    async def story(port: Commercetools) -> Any:
        entry = await read_one(port)
        stocked.fault("/inventory/", status=503)
        return await write_one(port, write_of(entry, -3, "op_overload-one"))

    assert stocked.run(story).status == "unknown"


def test_an_entry_that_is_gone_refuses(stocked: Shop) -> None:
    async def story(port: Commercetools) -> Any:
        entry = await read_one(port)
        path = f"/inventory/{entry.remote_id}"
        assert stocked.client.delete(path, params={"version": entry.version}).status_code == 200
        return await write_one(port, write_of(entry, -3, "op_gone-entry"))

    outcome = stocked.run(story)
    assert outcome.status == "refused"
    assert "ResourceNotFound" in outcome.cause


def test_an_entry_is_created_at_zero_and_marked(stocked: Shop) -> None:
    async def story(port: Commercetools) -> Any:
        created = await port.create_entry("NEW-LAMP", "web", "op_create-lamp", lane="writes")
        return created, await read_one(port, "NEW-LAMP")

    created, after = stocked.run(story)
    assert created == after
    assert (after.quantity, after.channel, after.last_op) == (0, "web", "op_create-lamp")


def test_a_second_entry_of_the_same_key_is_refused(simulated: Shop) -> None:
    async def story(port: Commercetools) -> None:
        await ready(port)
        simulated.channel("web")
        await port.create_entry(CHAIR, "web", "op_create-1", lane="writes")
        await port.create_entry(CHAIR, "web", "op_create-2", lane="writes")

    with pytest.raises(Refused) as refusal:
        simulated.run(story)
    assert refusal.value.code == "DuplicateField"


def test_which_skus_a_product_has(simulated: Shop) -> None:
    """An entry says nothing about that: the platform takes one of any SKU."""
    product(simulated, CHAIR, variants=[{"sku": 'LAMP "L"'}, {}])
    simulated.entry("ORPHAN", 3)

    async def story(port: Commercetools) -> Any:
        several = await port.sold([CHAIR, 'LAMP "L"', "ORPHAN", CHAIR.lower()], lane="repair")
        return several, await port.sold(["ORPHAN"], lane="repair")

    assert simulated.run(story) == ({CHAIR, 'LAMP "L"'}, frozenset())


# --- Stock over GraphQL ----------------------------------------------------------------------------------------------


def test_a_batch_fails_alias_by_alias(simulated: Shop) -> None:
    simulated.channel("web")
    merchant = {"key": "theirs", "name": {"en": "Theirs"}, "resourceTypeIds": ["inventory-entry"]}
    simulated.post("/types", {**merchant, "fieldDefinitions": []})
    extended = {**merchant, "key": "extended", "fieldDefinitions": [setup.MARKER_FIELD]}
    simulated.post("/types", extended)
    simulated.entry("PLAIN", 10, "web")
    simulated.entry('TRICKY "quoted\\sku"', 10, "web")
    simulated.entry("THEIRS", 10, "web", custom={"type": {"typeId": "type", "key": "theirs"}})
    simulated.entry("EXTENDED", 10, custom={"type": {"typeId": "type", "key": "extended"}})
    keys = [("PLAIN", "web"), ('TRICKY "quoted\\sku"', "web"), ("THEIRS", "web"), ("EXTENDED", None)]

    async def story(port: Commercetools) -> Any:
        await ready(port)
        entries = {e.sku: e for e in (await port.read_entries(keys, lane="reads")).entries}
        writes = [write_of(entries[sku], -2, f"op_batch-{n}") for n, (sku, _) in enumerate(keys)]
        stale = StockWrite(**{f: getattr(writes[1], f) for f in writes[1].__struct_fields__} | {"version": 99})
        outcomes = await port.write([writes[0], stale, writes[2], writes[3]], lane="writes")
        raised = await port.write([write_of(await read_one(port, "PLAIN"), 5, "op_raise-it")], lane="writes")
        after = (await port.walk_entries(None, lane="reads")).entries
        return outcomes, raised, {e.sku: (e.quantity, e.last_op) for e in after}

    outcomes, raised, after = simulated.run(story, write_batch=25)
    assert [o.status for o in outcomes] == ["applied", "conflict", "applied", "applied"]
    assert [o.quantity for o in outcomes] == [8, None, 8, 8]
    assert all(o.at is not None for o in outcomes if o.status == "applied")
    assert [r.quantity for r in raised] == [13]
    # A merchant's type keeps its entry unmarked, unless the merchant gave it our field.
    assert after == {
        "PLAIN": (13, "op_raise-it"),
        'TRICKY "quoted\\sku"': (10, None),
        "THEIRS": (8, None),
        "EXTENDED": (8, "op_batch-3"),
    }


@pytest.mark.parametrize(("drop", "quantity"), [("before", 10), ("after", 8)])
def test_a_lost_batch_is_unknown_throughout(simulated: Shop, drop: str, quantity: int) -> None:
    simulated.entry("A", 10)
    simulated.entry("B", 10)

    async def story(port: Commercetools) -> Any:
        await ready(port)
        entries = (await port.walk_entries(None, lane="reads")).entries
        simulated.fault("graphql", drop=drop)
        outcomes = await port.write([write_of(e, -2, f"op_lost-{e.sku}") for e in entries], lane="writes")
        return outcomes, (await port.walk_entries(None, lane="reads")).entries

    outcomes, after = simulated.run(story, write_batch=25)
    assert [o.status for o in outcomes] == ["unknown", "unknown"]
    assert [e.quantity for e in after] == [quantity, quantity]


def test_150_long_skus_are_one_question(simulated: Shop) -> None:
    skus = [f"{'X' * 60}-{n:03}" for n in range(150)]
    for sku in skus[:3]:
        simulated.entry(sku, 1)

    async def story(port: Commercetools) -> Any:
        return await port.read_entries([(sku, None) for sku in skus], lane="reads")

    assert [e.sku for e in sorted(simulated.run(story).entries, key=lambda e: e.sku)] == skus[:3]


# --- Orders ----------------------------------------------------------------------------------------------------------


def money(cents: int) -> dict[str, Any]:
    return {"type": "centPrecision", "currencyCode": "EUR", "centAmount": cents, "fractionDigits": 2}


def imported(shop: Shop, number: str, sku: str = CHAIR) -> Any:
    """An order of 2 at 119.00, shipped for 4.90."""
    rate = {"name": "19 %", "amount": 0.19, "includedInPrice": True, "country": "DE"}
    line = {"name": {"en": "Armchair"}, "variant": {"sku": sku}, "quantity": 2, "price": {"value": money(11900)}}
    shipping = {
        "shippingMethodName": "Parcel", "price": money(490), "shippingRate": {"price": money(490), "tiers": []},
    }  # fmt: skip
    draft = {"orderNumber": number, "lineItems": [{**line, "taxRate": rate}], "totalPrice": money(24290),
             "shippingAddress": {"country": "DE", "city": "Berlin"}, "shippingInfo": shipping}  # fmt: skip
    return shop.post("/orders/import", draft)


def product(shop: Shop, sku: str = CHAIR, **more: Any) -> None:
    kind = shop.post("/product-types", {"key": "main", "name": "Main", "description": "Main"})
    shop.post(
        "/products",
        {
            "key": sku.lower(),
            "productType": {"typeId": "product-type", "id": kind["id"]},
            "name": {"en": sku},
            "slug": {"en": sku.lower()},
            "masterVariant": {"sku": sku},
            "publish": True,
            **more,
        },
    )


def test_orders_are_read_swept_and_translated(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    product(shop)
    documents = [imported(shop, f"W-{n}") for n in range(3)]

    async def story(port: Commercetools) -> Any:
        await port.learn(lane="orders")
        one = await port.read_order(documents[0]["id"], lane="orders")
        some = await port.orders_by_id([documents[0]["id"], documents[2]["id"]], lane="orders")
        first = await port.orders_modified(None, since="2020-01-01T00:00:00.000Z", lane="repair")
        second = await port.orders_modified(first.cursor, since="2020-01-01T00:00:00.000Z", lane="repair")
        since = datetime.now(UTC) - timedelta(hours=1)
        with_sku = await port.orders_with_sku(CHAIR, since=since, lane="repair")
        without = await port.orders_with_sku("NO-SUCH", since=since, lane="repair")
        return port.translate_order(one.body), some, first, second, with_sku, without

    order, some, first, second, with_sku, without = shop.run(story)
    assert (order.number, order.state, order.currency, order.digits) == ("W-0", OrderState.OPEN, "EUR", 2)
    assert [(x.sku, x.quantity, x.mode, x.unit) for x in order.lines] == [(CHAIR, 2, InventoryMode.NONE, 11900)]
    # The mock leaves the shipping of an imported order out.
    assert [(c.kind, c.name, c.total) for c in order.charges] == [("shipping", "Parcel", 490)] * shop.simulated
    ids = [d["id"] for d in documents]
    assert sorted(o.order_id for o in some.orders) == sorted([ids[0], ids[2]])
    assert (first.full, second.full) == (True, False)
    assert sorted(o.order_id for o in (*first.orders, *second.orders)) == sorted(ids)
    assert sorted(o.order_id for o in with_sku.orders) == sorted(ids)
    assert without.orders == ()


def bought(shop: Shop, sku: str = CHAIR) -> Any:
    """An order of 2 through a cart, to be shipped."""
    rate = {"name": "19 %", "amount": 0.19, "includedInPrice": True, "country": "DE"}
    tax = {"typeId": "tax-category", "id": shop.post("/tax-categories", {"name": "VAT", "rates": [rate]})["id"]}
    product(shop, sku, taxCategory=tax, masterVariant={"sku": sku, "prices": [{"value": money(11900)}]})
    zone = shop.post("/zones", {"name": "DE", "locations": [{"country": "DE"}]})
    zone_rates = [{"zone": {"typeId": "zone", "id": zone["id"]}, "shippingRates": [{"price": money(490)}]}]
    method = {"name": "Parcel", "taxCategory": tax, "zoneRates": zone_rates, "isDefault": False}
    shipping = {"typeId": "shipping-method", "id": shop.post("/shipping-methods", method)["id"]}
    draft = {"currency": "EUR", "country": "DE", "lineItems": [{"sku": sku, "quantity": 2}],
             "shippingAddress": {"country": "DE"}, "shippingMethod": shipping}  # fmt: skip
    cart = shop.post("/carts", draft)
    return shop.post("/orders", {"cart": {"typeId": "cart", "id": cart["id"]}, "version": cart["version"]})


def test_an_order_that_is_not_there(shop: Shop) -> None:
    product(shop)
    imported(shop, "W-1")
    missing = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(Refused) as refusal:
        shop.run(lambda port: port.read_order(missing, lane="orders"))
    assert refusal.value.code == "ResourceNotFound"


def test_sync_info_is_noted_once_and_guarded(shop: Shop) -> None:
    product(shop)
    shop.channel("sellable-export", "OrderExport")
    document = imported(shop, "W-1")

    async def story(port: Commercetools) -> Any:
        before = await port.read_order(document["id"], lane="orders")
        after = await port.set_sync_info(before, "SO-881", lane="orders")
        again = await port.set_sync_info(after, "SO-881", lane="orders")
        with pytest.raises(Conflict):
            await port.set_sync_info(before, "SO-882", lane="orders")
        return before, after, again, port.translate_order(again.body)

    before, after, again, order = shop.run(story)
    assert after.version > before.version
    assert again is after
    assert order.sync == (SyncInfo(channel="sellable-export", external_id="SO-881"),)


def test_states_are_set_and_never_go_back(shop: Shop) -> None:
    product(shop)
    document = imported(shop, "W-1")

    async def story(port: Commercetools) -> Any:
        order = await port.read_order(document["id"], lane="orders")
        order = await port.set_states(order, order_state="Complete", shipment_state="Shipped", lane="orders")
        same = await port.set_states(order, order_state="Complete", shipment_state="Ready", lane="orders")
        return order, same, port.translate_order(order.body)

    order, same, translated = shop.run(story)
    assert same is order
    assert (translated.state, translated.shipment_state) == (OrderState.COMPLETE, "Shipped")


def draft_of(order: RawOrder, line: str, *parcels: str) -> DeliveryDraft:
    return DeliveryDraft(
        order_id=order.order_id, delivery_key="SH/1", items=((line, 2),),
        parcels=tuple((p, "DHL", f"T-{p}", f"https://dhl.test/{p}", ((line, 1),)) for p in parcels),
        shipment_state="Shipped", order_state=None,
    )  # fmt: skip


def test_a_delivery_is_added_once_and_parcels_that_came_later_join_it(simulated: Shop) -> None:
    product(simulated)
    document = imported(simulated, "W-1")
    line = document["lineItems"][0]["id"]

    async def story(port: Commercetools) -> Any:
        order = await port.read_order(document["id"], lane="orders")
        order = await port.add_delivery(order, draft_of(order, line, "P1"), lane="orders")
        same = await port.add_delivery(order, draft_of(order, line, "P1"), lane="orders")
        more = await port.add_delivery(order, draft_of(order, line, "P1", "P2"), lane="orders")
        return order, same, port.translate_order(more.body)

    order, same, translated = simulated.run(story)
    assert same is order
    assert len(translated.delivery_keys) == 1
    assert translated.delivery_keys[0].startswith("SH-1-")
    assert translated.parcel_keys == ("P1", "P2")
    assert translated.shipment_state == "Shipped"


def test_a_delivery_reaches_the_order(shop: Shop) -> None:
    document = bought(shop)
    line = document["lineItems"][0]["id"]

    async def story(port: Commercetools) -> Any:
        order = await port.read_order(document["id"], lane="orders")
        return await port.add_delivery(order, draft_of(order, line, "P1"), lane="orders")

    shop.run(story)
    (delivery,) = shop.client.get(f"/orders/{document['id']}").json()["shippingInfo"]["deliveries"]
    assert delivery["items"] == [{"id": line, "quantity": 2}]
    (parcel,) = delivery["parcels"]
    assert (parcel["trackingData"]["trackingId"], parcel["trackingData"]["carrier"]) == ("T-P1", "DHL")


# --- Messages --------------------------------------------------------------------------------------------------------


def test_messages_come_in_order_with_a_compound_cursor(simulated: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)

    async def story(port: Commercetools) -> Any:
        await ready(port)
        simulated.channel("web")
        product(simulated)
        imported(simulated, "W-1")
        for n in range(3):
            simulated.entry(f"SKU-{n}", n, "web")
        cursor: tuple[str, str] | None = ("2020-01-01T00:00:00.000Z", "")
        found: list[Any] = []
        while True:
            page = await port.messages(cursor, until=None, lane="orders")
            found += page.messages
            if not page.full:
                break
            cursor = page.cursor
        nothing = await port.messages(None, until="2020-01-01T00:00:00.000Z", lane="orders")
        orders = [port.translate_message(m.body) for m in found if m.type == "OrderImported"]
        return found, nothing, orders

    found, nothing, orders = simulated.run(story)
    kinds = [m.type for m in found]
    assert kinds.count("OrderImported") == 1
    assert kinds.count("InventoryEntryCreated") == 3
    assert {m.resource_type for m in found} <= {"order", "inventory-entry", "product"}
    assert len({m.message_id for m in found}) == len(found)
    assert [m.created_at for m in found] == sorted(m.created_at for m in found)
    assert nothing.messages == ()
    assert nothing.cursor is None
    assert [o.number for o in orders] == ["W-1"]


# --- Signing in ------------------------------------------------------------------------------------------------------


def test_a_wrong_secret_is_for_a_person_to_mend(simulated: Shop) -> None:
    with pytest.raises(Misconfigured):
        simulated.run(lambda port: port.walk_entries(None, lane="reads"), client_secret="wrong")


def test_a_token_that_ended_early_is_renewed_once(shop: Shop) -> None:
    shop.entry(CHAIR, 10)

    async def story(port: Commercetools) -> Any:
        await port.walk_entries(None, lane="reads")
        token, until = port.session._token or ("", datetime.now(UTC))
        port.session._token = (f"{token}-revoked", until)
        return (await port.walk_entries(None, lane="reads")).entries

    assert [e.quantity for e in shop.run(story)] == [10]
