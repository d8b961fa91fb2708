"""Orders: imported in batches with a fate each, looked at, cancelled, split, despatched."""

from typing import Any

import pytest
from orderflow_tenant import ADDRESS, Tenant, imports, order_text, run

HABITS = {"auto": True, "release_seconds": 10, "locate_seconds": 10, "pick_seconds": 10, "pack_seconds": 10}
DONE = 51.0
"""Seconds from an order to its despatch with these habits."""


def test_one_document_ends_in_three_ways() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 2})
        rows = await tenant.send(
            ("order", "insert", "CT-1", order_text({"CHAIR": 2})),
            ("order", "insert", "CT-2", order_text({"UNICORN": 1})),
            ("order", "insert", "CT-3", order_text({"CHAIR": 1, "TABLE": 3})),
            ("order", "insert", "CT-3", order_text({"CHAIR": 1})),
        )
        assert [row["externalReference"] for row in rows["importSuccesses"]] == ["CT-3"]
        [failed] = rows["importFailures"]
        assert (failed["externalReference"], failed["failureMessage"]) == ("CT-2", "Product not found")
        assert "UNICORN" in failed["failureDetail"]
        assert [row["externalReference"] for row in rows["importDuplicates"]] == ["CT-1", "CT-3"]
        assert "already exists" in rows["importDuplicates"][0]["duplicateMessage"]
        [done] = rows["importSuccesses"]
        assert done.keys() == {"type", "operation", "externalReference", "queryTime", "entity", "item"}
        assert await tenant.states("CT-3") == [
            "created",
            ("CT-3", "ready", {"CHAIR": (1, "allocated"), "TABLE": (3, "allocated")}),
        ]

    run(story)


@pytest.mark.parametrize("cdata", [True, False])
def test_text_comes_in_cdata_or_escaped(cdata: bool) -> None:
    async def story(tenant: Tenant) -> None:
        more = ["customerComment=Fish & <chips>[BR]no salt=please", "shipment.orderItem=entity:order"]
        text = order_text({"CHAIR": 1}, *more, "orderLine.1.shipment=entity:shipment")
        document = imports(("order", "insert", "CT-1", text), cdata=cdata)
        root = await tenant.xml("POST", "remoteorder/imports/importitems.xml", document)
        assert len(root.findall("importSuccesses/import")) == 1
        [order] = (await tenant.truth())["orders"]
        assert order["fields"]["customerComment"] == "Fish & <chips>\nno salt=please"
        assert order["fields"]["deliveryContactName"] == "Ann Ähnlich"

    run(story)


def test_the_same_reference_on_another_channel_is_another_order() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.order("CT-1", {"TEDDY": 1}, channel="TOYS")
        rows = await tenant.send(("order", "insert", "CT-2", order_text({"CHAIR": 1})), channel="TOYS")
        assert rows["importFailures"][0]["failureMessage"] == "Product not found"

    run(story)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (order_text({}), "Order has no order lines"),
        (order_text({"CHAIR": 0}), "Property 'quantity' is out of range"),
        (order_text({"CHAIR": -1}), "Property 'quantity' is out of range"),
        (order_text({"CHAIR": "1.5"}), "Property 'quantity' could not be set"),
        (order_text({"DINING-SET": 1}), "Product 'DINING-SET' is not a physical item"),
        (order_text({"GIFT-CARD": 1}), "Product 'GIFT-CARD' is not a physical item"),
        (order_text({"RETIRED": 1}), "Product 'RETIRED' is not activated"),
        (order_text({"CHAIR": 1}, "state=packed"), "Unknown state 'packed'"),
        (order_text({"CHAIR": 1}, "placed=yesterday"), "Property 'placed' could not be set"),
        (order_text({"CHAIR": 1}, "validated=maybe"), "Property 'validated' could not be set"),
        (order_text({"CHAIR": 1}, "totalPriceNet=12,50"), "Property 'totalPriceNet' could not be set"),
        (order_text({"CHAIR": 1}, "orderLine.1.unitPriceNet=NaN"), "Property 'unitPriceNet' could not be set"),
        (order_text({"CHAIR": 1}, "shipment.site=MARS"), "Site not found: 'MARS'"),
        (
            order_text({"CHAIR": 1}, "shipment.orderItem=entity:shipment"),
            "Property 'shipment.orderItem' could not be set",
        ),
        (order_text({"CHAIR": 1}, "customerComment=first\nsecond"), "Import text could not be read"),
        (order_text({"CHAIR": 1}).replace(ADDRESS[0], ""), "Mandatory property missing"),
        (order_text({"": 1}), "Line without product"),
    ],
)
def test_an_order_is_refused_whole(text: str, message: str) -> None:
    async def story(tenant: Tenant) -> None:
        assert await tenant.refusal("order", "insert", "CT-1", text) == message
        assert (await tenant.truth())["orders"] == []
        assert (await tenant.figures("CHAIR"))["available"] == "10"

    run(story)


def test_what_cannot_be_imported_there_fails_by_item() -> None:
    async def story(tenant: Tenant) -> None:
        text = order_text({"CHAIR": 1})
        assert "not supported" in await tenant.refusal("order", "update", "CT-1", text)
        assert "Unknown operation" in await tenant.refusal("order", "upsert", "CT-1", text)
        assert "missing or too long" in await tenant.refusal("order", "insert", "", text)
        assert "missing or too long" in await tenant.refusal("order", "insert", "C" * 121, text)
        assert "cannot be imported here" in await tenant.refusal("campaign", "insert", "CT-1", text)
        root = await tenant.xml(
            "POST", "remotewarehouse/imports/importitems.xml", imports(("order", "insert", "CT-1", text))
        )
        assert len(root.findall("importFailures/import")) == 1

    run(story)


def test_stock_goes_to_the_oldest_order_first() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"TABLE": 2})
        await tenant.order("CT-2", {"TABLE": 2})
        await tenant.order("CT-3", {"TABLE": 1})
        assert await tenant.states("CT-1") == ["created", ("CT-1", "ready", {"TABLE": (2, "allocated")})]
        assert await tenant.states("CT-2") == ["created", ("CT-2", "ready", {"TABLE": (2, "created")})]
        figures = await tenant.figures("TABLE")
        assert (figures["total"], figures["allocated"], figures["available"]) == ("3", "3", "0")
        await tenant.act(adjust={"sku": "TABLE", "delta": 1})
        assert (await tenant.states("CT-2"))[1][2] == {"TABLE": (2, "allocated")}
        assert (await tenant.states("CT-3"))[1][2] == {"TABLE": (1, "created")}
        assert "successfully cancelled" in await tenant.cancel("CT-1")
        assert (await tenant.states("CT-3"))[1][2] == {"TABLE": (1, "allocated")}
        assert (await tenant.figures("TABLE"))["available"] == "1"

    run(story)


def test_stock_is_assigned_after_the_lag() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 4})
        assert (await tenant.figures("CHAIR"))["available"] == "10"
        tenant.pass_time(60)
        assert (await tenant.figures("CHAIR"))["available"] == "6"

    run(story, allocation_lag_seconds=60)


def test_an_order_may_be_taken_before_it_is_found() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        for path in ("detail", "cancel"):
            answer = await tenant.call("POST", f"remoteorder/order/{path}.xml", externalReference="CT-1")
            assert "No order found" in answer.text
        assert len(await tenant.xml("GET", "remoteorder/shipment/pending.xml")) == 0
        rows = await tenant.send(("order", "insert", "CT-1", order_text({"CHAIR": 1})))
        assert len(rows["importDuplicates"]) == 1
        tenant.pass_time(30)
        assert (await tenant.states("CT-1"))[0] == "created"

    run(story, order_lag_seconds=30)


def test_available_may_lack_all_that_orders_require() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"TABLE": 5})
        figures = await tenant.figures("TABLE")
        assert (figures["allocated"], figures["available"]) == ("0", "0")

    run(story, available_less="required", allocation_lag_seconds=60)


def test_the_way_of_a_shipment() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(warehouse=HABITS | {"despatch_seconds": 10, "parcel_rate": 1.0, "courier": "DPD"})
        await tenant.order("CT-1", {"CHAIR": 2, "TABLE": 1}, "orderLine.1.thirdPartyReference=LINE-A")
        seen = []
        for _ in range(6):
            seen.append((await tenant.states("CT-1"))[1][1])
            tenant.pass_time(10)
        assert seen == ["ready", "released", "pickable", "packable", "packed", "despatched"]
        assert await tenant.states("CT-1") == [
            "despatched",
            ("CT-1", "despatched", {"CHAIR": (2, "despatched"), "TABLE": (1, "despatched")}),
        ]
        [shipment] = await tenant.despatched()
        said = {child.tag: child.text for child in shipment if not len(child)}
        parcels = [parcel.get("despatchReference") for parcel in shipment.iterfind("packages/package")]
        assert len(parcels) == len(set(parcels)) == 2
        assert said["despatchReference"] == parcels[0]
        assert said["trackingUrl"].endswith(parcels[0])
        wanted = {"reference": "CT-1", "orderReference": "CT-1", "state": "despatched", "courier": "DPD"}
        assert wanted.items() <= said.items()
        assert said["completed"] == "2025-11-21 04:40:50"
        lines = [{child.tag: child.text for child in line} for line in shipment.iterfind("orderLines/orderLine")]
        assert lines == [
            {"productReference": "CHAIR", "quantity": "2", "thirdPartyReference": "LINE-A"},
            {"productReference": "TABLE", "quantity": "1"},
        ]
        figures = await tenant.figures("CHAIR")
        assert [figures[name] for name in ("total", "allocated", "available", "frozen")] == ["10", "0", "8", "2"]

    run(story)


def test_names_of_states_are_the_tenants() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        assert await tenant.states("CT-1") == ["completed", ("CT-1", "shipped", {"CHAIR": (1, "gone")})]
        [shipment] = await tenant.despatched()
        assert shipment.findtext("state") == "shipped"

    names = {"shipment_states": {"despatched": "shipped"}, "order_states": {"despatched": "completed"}}
    run(story, **names, line_states={"despatched": "gone"}, keeps_line_reference=False)


def test_a_window_is_read_in_the_servers_zone() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        assert len(await tenant.despatched(**{"from": "2025-11-21 04:00:00", "to": "2025-11-21 05:00:00"})) == 0
        window = {"from": "2025-11-20 23:40:00", "to": "2025-11-20 23:40:00"}
        [shipment] = await tenant.despatched(**window, includeOrderLines="false")
        assert shipment.findtext("completed") == "2025-11-20 23:40:00"
        assert shipment.find("orderLines") is None
        assert len(await tenant.despatched(**{"from": "2025-11-20T23:40:01"})) == 0
        assert len(await tenant.despatched(channel="TOYS", **window)) == 0

    run(story, zone="America/New_York")


def test_a_despatch_is_known_late() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        assert await tenant.despatched() == []
        tenant.pass_time(90)
        assert [one.findtext("completed") for one in await tenant.despatched()] == ["2025-11-21 04:40:00"]

    run(story, despatch_lag_seconds=90)


def test_pending_shows_what_has_not_left() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1}, "shipment.earliestShipDate=2025-11-22 08:00:00")
        await tenant.order("CT-2", {"CHAIR": 1})
        await tenant.order("CT-3", {"CHAIR": 1})
        await tenant.act(advance={"order": "CT-2", "to": "despatched"})
        await tenant.cancel("CT-3")
        [row] = await tenant.xml("GET", "remoteorder/shipment/pending.xml")
        assert {child.tag: child.text for child in row} == {
            "created": "2025-11-21 04:40:00",
            "reference": "CT-1",
            "orderReference": "CT-1",
            "state": "ready",
            "earliestShipDate": "2025-11-22 08:00:00",
        }

    run(story)


def test_nothing_leaves_before_its_earliest_date() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(warehouse=HABITS)
        await tenant.order("CT-1", {"CHAIR": 1}, "shipment.earliestShipDate=2025-11-22 08:00:00")
        tenant.pass_time(86400)
        assert (await tenant.states("CT-1"))[1][1] == "ready"
        tenant.pass_time(86400)
        assert (await tenant.states("CT-1"))[1][1] != "ready"

    run(story)


def test_an_order_without_validation_waits_for_a_person() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1}, "validated=false")
        assert (await tenant.states("CT-1"))[1][2] == {"CHAIR": (1, "created")}
        await tenant.act(validate={"order": "CT-1"})
        assert (await tenant.states("CT-1"))[1][2] == {"CHAIR": (1, "allocated")}

    run(story)


@pytest.mark.parametrize("state", ["packable", "packed", "despatched"])
def test_a_cancel_comes_too_late_once_picking_started(state: str) -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.act(advance={"order": "CT-1", "to": state})
        assert "No cancel operation performed" in await tenant.cancel("CT-1")
        assert (await tenant.states("CT-1"))[1][1] == state

    run(story)


def test_a_cancelled_order_keeps_its_reference_unless_asked_otherwise() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 4})
        await tenant.act(advance={"order": "CT-1", "to": "pickable"})
        assert "successfully cancelled" in await tenant.cancel("CT-1", cancelChangesExternalReference="false")
        assert await tenant.states("CT-1") == ["cancelled", ("CT-1", "cancelled", {"CHAIR": (4, "cancelled")})]
        assert (await tenant.figures("CHAIR"))["available"] == "10"
        assert "No cancel operation performed" in await tenant.cancel("CT-1")
        rows = await tenant.send(("order", "insert", "CT-1", order_text({"CHAIR": 1})))
        assert len(rows["importDuplicates"]) == 1
        await tenant.order("CT-2", {"CHAIR": 4})
        assert "successfully cancelled" in await tenant.cancel("CT-2", cancelChangesExternalReference="True")
        answer = await tenant.call("GET", "remoteorder/order/detail.xml", externalReference="CT-2")
        assert "No order found" in answer.text
        await tenant.order("CT-2", {"CHAIR": 3})
        assert (await tenant.states("CT-2"))[1][2] == {"CHAIR": (3, "allocated")}
        assert (await tenant.figures("CHAIR"))["available"] == "7"

    run(story)


def test_the_limit_of_cancelling_is_the_tenants() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.act(advance={"order": "CT-1", "to": "packed"})
        assert "successfully cancelled" in await tenant.cancel("CT-1")
        figures = await tenant.figures("CHAIR")
        assert (figures["allocated"], figures["available"]) == ("0", "10")

    run(story, cancel_refused_from="despatched")


def test_what_is_out_of_stock_travels_later_by_line() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 2, "TABLE": 5}, "shipment.externalReference=CT-1_S1")
        assert await tenant.states("CT-1") == [
            "created",
            ("CT-1_S1", "ready", {"CHAIR": (2, "allocated")}),
            ("CT-1_S2", "ready", {"TABLE": (5, "created")}),
        ]
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        assert (await tenant.states("CT-1"))[0] == "part_despatched"
        assert "cannot go on" in await tenant.refused_act(advance={"order": "CT-1"})
        await tenant.act(adjust={"sku": "TABLE", "delta": 2})
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        assert (await tenant.states("CT-1"))[0] == "despatched"
        references = [one.findtext("reference") for one in await tenant.despatched()]
        assert references == ["CT-1_S1", "CT-1_S2"]

    run(story, split="lines")


def test_what_is_out_of_stock_travels_later_by_unit() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"TABLE": 5})
        assert await tenant.states("CT-1") == [
            "created",
            ("CT-1", "ready", {"TABLE": (3, "allocated")}),
            ("CT-1_S2", "ready", {"TABLE": (2, "created")}),
        ]

    run(story, split="units")


def test_without_splitting_a_shipment_waits_for_all_of_it() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(warehouse=HABITS)
        await tenant.order("CT-1", {"CHAIR": 1, "TABLE": 5})
        tenant.pass_time(1000)
        assert (await tenant.states("CT-1"))[1][1] == "ready"
        await tenant.act(receive={"lines": [{"sku": "TABLE", "quantity": 2}]})
        tenant.pass_time(1000)
        assert (await tenant.states("CT-1"))[0] == "despatched"

    run(story)


@pytest.mark.parametrize(
    ("way", "states"),
    [
        (
            "split",
            [
                "part_despatched",
                ("CT-1", "despatched", {"CHAIR": (1, "despatched"), "TABLE": (2, "despatched")}),
                ("CT-1_S2", "ready", {"TABLE": (1, "created")}),
            ],
        ),
        ("cancel", ["despatched", ("CT-1", "despatched", {"CHAIR": (1, "despatched"), "TABLE": (2, "despatched")})]),
        ("wait", ["created", ("CT-1", "ready", {"CHAIR": (1, "allocated"), "TABLE": (3, "created")})]),
    ],
)
def test_a_short_pick(way: str, states: list[Any]) -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(warehouse=HABITS)
        await tenant.order("CT-1", {"CHAIR": 1, "TABLE": 3})
        await tenant.act(short_pick={"order": "CT-1", "sku": "TABLE", "found": 2})
        tenant.pass_time(1000)
        assert await tenant.states("CT-1") == states
        figures = await tenant.figures("TABLE")
        assert figures["frozen"] == "1"
        assert tenant.journal("short_pick")[0]["missing"] == 1

    run(story, short_pick=way)


def test_nothing_found_at_all_sends_the_shipment_back() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"TABLE": 3})
        await tenant.act(short_pick={"order": "CT-1", "sku": "TABLE", "found": 0})
        done = await tenant.act(advance={"order": "CT-1", "to": "packed"})
        assert done == {"shipment": "CT-1", "state": "ready"}
        figures = await tenant.figures("TABLE")
        assert [figures[name] for name in ("total", "allocated", "available", "frozen")] == ["3", "0", "0", "3"]
        await tenant.act(move={"sku": "TABLE", "quantity": 3, "from": "frozen", "to": "good"})
        assert (await tenant.states("CT-1"))[1][2] == {"TABLE": (3, "allocated")}

    run(story)


def test_staff_cancel_lines_and_orders() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 4, "TABLE": 1})
        assert await tenant.act(cancel_line={"order": "CT-1", "sku": "CHAIR", "quantity": 3}) == {"quantity": 3}
        assert (await tenant.states("CT-1"))[1][2] == {"CHAIR": (1, "allocated"), "TABLE": (1, "allocated")}
        await tenant.act(cancel_line={"order": "CT-1", "line": 2})
        assert (await tenant.states("CT-1"))[1][2]["TABLE"] == (1, "cancelled")
        await tenant.act(advance={"order": "CT-1", "to": "packed"})
        await tenant.act(cancel_order={"order": "CT-1"})
        assert (await tenant.states("CT-1"))[0] == "cancelled"
        figures = await tenant.figures("CHAIR")
        assert (figures["total"], figures["available"]) == ("12", "10")
        assert "is cancelled" in await tenant.refused_act(cancel_order={"order": "CT-1"})
        [order] = (await tenant.truth())["orders"]
        assert [(line["ordered"], line["cancelled"], line["open"]) for line in order["lines"]] == [(4, 4, 0), (1, 1, 0)]

    run(story)


def test_goods_carried_away_break_the_youngest_promise() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"TABLE": 1})
        await tenant.order("CT-2", {"TABLE": 2})
        await tenant.act(advance={"order": "CT-2", "to": "released"})
        assert await tenant.act(sell_at_counter={"sku": "TABLE", "quantity": 2}) == {"quantity": 2}
        assert (await tenant.states("CT-1"))[1][2] == {"TABLE": (1, "allocated")}
        assert await tenant.states("CT-2") == ["created", ("CT-2", "ready", {"TABLE": (2, "created")})]
        await tenant.act(advance={"order": "CT-1", "to": "packed"})
        assert await tenant.act(sell_at_counter={"sku": "TABLE", "quantity": 2}) == {"quantity": 0}

    run(story)


def test_a_notification_is_no_operation_unless_the_tenant_pulls() -> None:
    async def story(tenant: Tenant) -> None:
        async def notify(event: str) -> str:
            query = {"thirdPartyReference": "CT-1", "event": event, "action": "created"}
            return (await tenant.xml("POST", "remoteorder/order/update.xml", **query)).text or ""

        assert await notify("order.created") == "Result 'no_operation' for order 'CT-1'"
        await tenant.act(switch={"pulls": True})
        assert await notify("order.created") == "Result 'success' for order 'CT-1'"
        assert await notify("order.juggled") == "Result 'no_operation' for order 'CT-1'"
        query = {"thirdPartyReference": "CHAIR", "event": "product.modified", "action": "modified"}
        root = await tenant.xml("POST", "remotewarehouse/product/update.xml", **query)
        assert root.text == "Result 'success' for product 'CHAIR'"
        assert [row["event"] for row in (await tenant.truth())["notifications"]][-1] == "product.modified"

    run(story)


def test_a_pause_stops_everybody() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(warehouse=HABITS)
        await tenant.order("CT-1", {"CHAIR": 1})
        tenant.pass_time(10)
        assert (await tenant.states("CT-1"))[1][1] == "released"
        await tenant.act(warehouse={"paused": True})
        tenant.pass_time(1000)
        assert (await tenant.states("CT-1"))[1][1] == "released"
        await tenant.act(warehouse={"paused": False, "despatch_seconds": 10})
        tenant.pass_time(DONE)
        assert (await tenant.states("CT-1"))[1][1] == "despatched"

    run(story)


def test_a_short_pick_may_leave_nothing_to_send() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"order": "http://receiver.test"})
        await tenant.order("CT-1", {"TABLE": 2})
        await tenant.act(short_pick={"order": "CT-1", "sku": "TABLE", "found": 0})
        await tenant.act(advance={"order": "CT-1", "to": "packed"})
        assert await tenant.states("CT-1") == ["cancelled", ("CT-1", "cancelled", {"TABLE": (2, "cancelled")})]
        await tenant.deliver()
        assert [event.get("eventType") for event in tenant.got("event")] == ["order_cancelled"]
        assert await tenant.despatched() == []

    run(story, short_pick="cancel")


@pytest.mark.parametrize("placed", ["2026-03-02 09:15:00", "2026-03-02T09:15:00"])
def test_dates_come_with_a_blank_or_a_t(placed: str) -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1}, f"placed={placed}")
        assert (await tenant.truth())["orders"][0]["placed"] == "2026-03-02T09:15:00+00:00"

    run(story)
