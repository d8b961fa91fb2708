"""Messages the vendor sends: what they say, and that they come late, twice, out of order and again until answered."""

import asyncio
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from orderflow_tenant import SEED, Tenant, run

from sellable.sandbox.clock import Clock
from sellable.sandbox.orderflow import build

HOOK = "http://receiver.test/orderflow"


def ids(messages: list[ElementTree.Element]) -> list[int]:
    return [int(root.get("messageId", "")) for root in messages]


def test_inventory_is_sent_when_stock_changes() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"inventory": HOOK})
        await tenant.act(adjust={"sku": "CHAIR", "delta": 1})
        await tenant.order("CT-1", {"CHAIR": 2, "TABLE": 1})
        await tenant.deliver()
        assert [url for url, _ in tenant.inbox] == [HOOK, HOOK]
        first, second = tenant.got("inventory")
        assert ids([first, second]) == [1, 2]
        shown = [
            [(row.get("externalReference"), row.get("available"), row.get("sequenceId")) for row in root]
            for root in (first, second)
        ]
        assert shown == [[("CHAIR", "11", "1")], [("CHAIR", "9", "2"), ("TABLE", "2", "1")]]
        assert first[0].get("site") == "LEEDS"

    run(story)


def test_one_sequence_may_run_over_all_products() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"inventory": HOOK})
        await tenant.order("CT-1", {"CHAIR": 2, "TABLE": 1})
        await tenant.act(adjust={"sku": "TABLE", "delta": 1})
        await tenant.deliver()
        rows = [row for root in tenant.got("inventory") for row in root]
        assert [row.get("sequenceId") for row in rows] == ["1", "2", "3"]

    run(story, sequence="all")


def test_inventory_is_sent_on_schedule() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"inventory": HOOK})
        await tenant.act(adjust={"sku": "CHAIR", "delta": 1})
        await tenant.deliver(95)
        assert tenant.inbox == []
        await tenant.deliver(20)
        [root] = tenant.got("inventory")
        assert [(row.get("externalReference"), row.get("site")) for row in root] == [
            ("CHAIR", "LEEDS"), ("CHAIR", "DERBY"), ("TABLE", "LEEDS"), ("TEDDY", "LEEDS"),
        ]  # fmt: skip
        await tenant.deliver(100)
        assert len(tenant.got("inventory")) == 2

    run(story, inventory_push="schedule", inventory_push_seconds=100)


def test_stock_changes_are_told_one_by_one() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"stock_change": HOOK})
        await tenant.act(adjust={"sku": "CHAIR", "delta": -3, "note": "wet & gone", "user": "ann"})
        await tenant.order("CT-1", {"TABLE": 1})
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        await tenant.deliver()
        first, second = tenant.got("stockChanges")
        assert (first.get("organisation"), first.get("site")) == ("CRUNCHY", "LEEDS")
        [change] = first
        wanted = {
            "type": "adjusted", "product": "CHAIR", "locationType": "good", "previousQuantity": "10",
            "changeQuantity": "-3", "newQuantity": "7", "user": "ann", "timestamp": "2025-11-21 04:40:00",
        }  # fmt: skip
        assert wanted.items() <= change.attrib.items()
        assert change.findtext("note") == "wet & gone"
        assert [(one.get("product"), one.get("changeQuantity")) for one in second] == [("TABLE", "-1")]
        assert int(second[0].get("id", "")) > int(change.get("id", ""))

    run(story)


def test_order_events_are_wrapped() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"*": HOOK, "inventory": "", "stock_change": ""})
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.order("CT-2", {"CHAIR": 2})
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        await tenant.act(cancel_line={"order": "CT-2", "sku": "CHAIR", "quantity": 1, "user": "ann"})
        await tenant.act(cancel_order={"order": "CT-2"})
        await tenant.deliver()
        events = tenant.got("event")
        assert [event.get("eventType") for event in events] == [
            *("shipment_packed", "shipment_despatched", "order_despatched", "order_line_cancelled", "order_cancelled"),
        ]
        cancelled = events[-1]
        assert cancelled.attrib == {
            "messageId": "5", "eventType": "order_cancelled", "userName": "staff", "eventTime": "2025-11-21 04:40:00",
            "entity": "order", "operation": "update", "externalReference": "CT-2", "state": "cancelled",
        }  # fmt: skip
        order = cancelled.find("detail/order")
        assert order is not None
        said = {"externalReference": "CT-2", "state": "cancelled", "channel": "HOME", "organisation": "CRUNCHY"}
        assert order.attrib == said
        line = order.find("shipments/shipment/orderLines/orderLine")
        assert line is not None
        assert line.attrib == {"product": "CHAIR", "quantity": "2", "state": "cancelled"}

    run(story)


def test_returns_deliveries_and_purchase_orders_are_told() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"return": HOOK, "delivery": HOOK, "purchase_order": HOOK})
        line = {"sku": "CHAIR", "quantity": 1, "reason": "C - Wrong size", "condition": "As new"}
        await tenant.act(book_return={"authorisation": "RMA-7", "note": "thanks", "lines": [line]})
        text = "purchaseOrderLine.1.product=TABLE\npurchaseOrderLine.1.quantity=2"
        await tenant.send(("purchaseOrder", "insert", "PO-1", text))
        await tenant.act(receive={"purchase_order": "PO-1", "lines": [{"sku": "TABLE", "quantity": 3}]})
        await tenant.deliver()
        told = {str(event.get("eventType")): event.find("detail/*") for event in tenant.got("event")}
        assert list(told) == ["return_completed", "purchase_order_completed", "delivery_completed"]
        back, ordered, came = (one for one in told.values() if one is not None)
        assert {"authorisation": "RMA-7", "note": "thanks", "type": "unknown", "authorised": "false"}.items() <= (
            back.attrib.items()
        )
        assert back[0].attrib == {
            "product": "CHAIR", "quantity": "1", "reason": "C - Wrong size", "condition": "As new", "refund": "false",
        }  # fmt: skip
        assert (ordered.get("state"), ordered.get("manuallyCompleted")) == ("completed", "false")
        assert [row.get("outstanding") for row in ordered.iterfind("purchaseOrderLines/purchaseOrderLine")] == ["0"]
        assert came.get("state") == "completed"
        assert [row.get("quantity") for row in came.iterfind("deliveryLines/deliveryLine")] == ["3"]

    run(story)


def test_what_is_not_answered_well_comes_again_unchanged() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"inventory": HOOK})
        answers = iter([(503, b"Success"), (200, b"ERROR"), (200, b"Success - Message 1 Received")])
        tenant.reply = lambda root: next(answers)
        await tenant.act(adjust={"sku": "CHAIR", "delta": 1})
        await tenant.deliver()
        assert [(one["id"], one["attempts"]) for one in (await tenant.truth())["messages"]] == [(1, 1)]
        await tenant.deliver(59)
        assert len(tenant.inbox) == 1
        await tenant.deliver(1)
        await tenant.deliver(300)
        await tenant.deliver(9000)
        assert ids(tenant.got("inventory")) == [1, 1, 1]
        assert len({ElementTree.tostring(root) for root in tenant.got("inventory")}) == 1
        assert (await tenant.truth())["messages"] == []

    run(story, push_success="Success")


def test_a_receiver_that_is_away_for_ever_is_given_up() -> None:
    async def story(tenant: Tenant) -> None:
        def away(root: ElementTree.Element) -> Any:
            raise ConnectionRefusedError

        tenant.reply = away
        await tenant.act(receivers={"inventory": HOOK})
        await tenant.act(adjust={"sku": "CHAIR", "delta": 1})
        for _ in range(10):
            await tenant.deliver(60)
        assert ids(tenant.got("inventory")) == [1, 1, 1]
        assert tenant.journal("push_given_up")[0]["id"] == 1

    run(story, push_attempts_max=3, push_retry_seconds=[60])


def test_messages_come_late_and_out_of_order() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"inventory": HOOK})
        for _ in range(8):
            await tenant.act(adjust={"sku": "CHAIR", "delta": 1})
        await tenant.deliver(29)
        assert tenant.inbox == []
        for _ in range(100):
            await tenant.deliver(1)
        got = ids(tenant.got("inventory"))
        assert sorted(got) == list(range(1, 9))
        assert got != sorted(got)
        last = tenant.got("inventory")[-1]
        assert int(last[0].get("available", "")) == 10 + int(last.get("messageId", ""))

    run(story, push_delay_seconds=30, push_jitter_seconds=60)


def test_messages_come_twice() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.act(receivers={"inventory": HOOK})
        await tenant.act(adjust={"sku": "CHAIR", "delta": 1})
        await tenant.deliver()
        for _ in range(10):
            await tenant.deliver(60)
        assert ids(tenant.got("inventory")) == [1, 1]

    run(story, push_twice_rate=1.0)


@pytest.mark.parametrize("status", [199, 201, 302, 400])
def test_only_200_will_do(status: int) -> None:
    async def story(tenant: Tenant) -> None:
        tenant.reply = lambda root: (status, b"Success")
        await tenant.act(receivers={"inventory": HOOK})
        await tenant.act(adjust={"sku": "CHAIR", "delta": 1})
        await tenant.deliver()
        assert len((await tenant.truth())["messages"]) == 1

    run(story)


def test_a_message_travels_over_a_real_line() -> None:
    async def story() -> tuple[str, ElementTree.Element]:
        got: asyncio.Future[tuple[str, bytes]] = asyncio.get_running_loop().create_future()

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(re.search(r"(?i)content-length: (\d+)", head)[1])
            got.set_result((head, await reader.readexactly(length)))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK")
            await writer.drain()
            writer.close()

        box = build(Clock(speed=100), 1)
        box.load(SEED)
        async with await asyncio.start_server(receive, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await box.vendor.start()
            hook = {"stock_change": f"http://127.0.0.1:{port}/hook", "headers": {"x-shop": "crunchy"}}
            await box.vendor.act({"receivers": hook})
            await box.vendor.act({"adjust": {"sku": "CHAIR", "delta": 1}})
            head, body = await asyncio.wait_for(got, 10)
            await box.vendor.stop()
        return head, ElementTree.fromstring(body)

    head, root = asyncio.run(story())
    assert head.startswith("POST /hook ")
    assert "x-shop: crunchy" in head.lower()
    assert (root.tag, root[0].get("newQuantity")) == ("stockChanges", "11")
