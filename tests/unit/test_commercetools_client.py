"""The client against a vendor that is a function: which calls, signed in how often, and what each trouble becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec
import pytest
from scripted_vendor import Reply, ScriptedVendor
from test_commercetools_translate import document, line, message

from sellable.config import settings as config
from sellable.connectors.commercetools import LANES, SPEC, ChannelUnknown, Commercetools, client
from sellable.connectors.port import (
    LimitReached,
    Misconfigured,
    RawOrder,
    Refused,
    StockWrite,
    StorefrontOrders,
    StorefrontStock,
    Unavailable,
)
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort, NotSent, OutcomeLost

DATE = "Sat, 21 Nov 2026 12:00:00 GMT"
AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
CHANNELS = [{"id": "ch-web", "key": "web", "roles": []}, {"id": "ch-out", "key": "out", "roles": ["OrderExport"]}]
HTML = httpx2.Response(200, text="<html></html>", headers={"date": DATE})


def settings(**changes: Any) -> config.Commercetools:
    given: dict[str, Any] = {
        "project": "shop", "client_id": "ours", "client_secret": "s3cret", "restocks_on_cancel": "no",
        "api_url": "https://api.test", "auth_url": "https://auth.test", "write_batch": 1, "export_channel": "out",
    }  # fmt: skip
    return config.Commercetools(**(given | changes))


def ok(document: Any, status: int = 200, **headers: str) -> httpx2.Response:
    named = {"date": DATE} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, content=msgspec.json.encode(document), headers=named)


def error(status: int, code: str, **headers: str) -> httpx2.Response:
    return ok({"statusCode": status, "message": "no", "errors": [{"code": code, "message": "no"}]}, status, **headers)


class Vendor(ScriptedVendor):
    """Gives tokens, channels and types by itself."""

    def __init__(self, *replies: Reply, types: Any = (), expires_in: int = 172800) -> None:
        super().__init__(*replies)
        self.types = list(types)
        self.channels = list(CHANNELS)
        self.expires_in = expires_in
        self.tokens = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/oauth/token":
            self.requests.append(request)
            self.tokens += 1
            return ok({"access_token": f"token-{self.tokens}", "expires_in": self.expires_in, "scope": "todo"})
        if request.url.path in ("/shop/channels", "/shop/types"):
            self.requests.append(request)
            rows = self.channels if request.url.path.endswith("channels") else self.types
            return ok({"results": rows})
        return super().__call__(request)

    def run(self, do: Callable[[Commercetools], Awaitable[Any]], **changes: Any) -> Any:
        return self.meet(lambda http: do(Commercetools(http, self.tills, settings(**changes))))

    @property
    def lines(self) -> list[str]:
        """Calls but those for reference data."""
        aside = ("/oauth/token", "/shop/channels", "/shop/types")
        return [f"{r.method} {r.url.path}" for r in self.requests if r.url.path not in aside]

    def last(self) -> httpx2.Request:
        return self.requests[-1]


def entry(sku: str = "A", quantity: int = 10, **more: Any) -> dict[str, Any]:
    return {
        "id": f"e-{sku}",
        "version": 7,
        "sku": sku,
        "quantityOnStock": quantity,
        "availableQuantity": quantity,
        **more,
    }


def write(sku: str = "A", difference: int = -3, typed: str | None = None) -> StockWrite:
    return StockWrite(
        op_id=f"op_write-{sku}",
        sku=sku,
        channel=None,
        remote_id=f"e-{sku}",
        version=7,
        difference=difference,
        typed=typed,
    )


def walk(port: Commercetools) -> Awaitable[Any]:
    return port.walk_entries(None, lane="reads")


# --- Declaration -----------------------------------------------------------------------------------------------------


def test_the_client_is_what_the_spec_declares() -> None:
    async def story(port: Commercetools) -> None:
        stock: StorefrontStock = port
        orders: StorefrontOrders = port
        assert stock is orders

    Vendor().run(story)
    assert SPEC.capabilities == ("StorefrontStock", "StorefrontOrders")
    assert SPEC.compare_and_set


@pytest.mark.parametrize("calls", [1, 5, 18, 19, 50, 400])
def test_the_budget_keeps_to_the_calls_a_second_of_the_settings(calls: int) -> None:
    (spec,) = SPEC.budgets(settings(calls_per_second=calls))
    assert spec.credential == "commercetools"
    assert set(spec.lanes) == set(LANES) == {"orders", "reads", "writes", "repair"}
    assert spec.burst + spec.rate * spec.window_seconds <= calls * spec.window_seconds + 1e-6


# --- Signing in ------------------------------------------------------------------------------------------------------


def test_one_token_serves_all_who_ask_at_once_and_is_kept() -> None:
    vendor = Vendor(*[ok({"results": []})] * 6)

    async def story(port: Commercetools) -> None:
        await asyncio.gather(*(walk(port) for _ in range(5)))
        await walk(port)

    vendor.run(story, scopes=("manage_orders:shop", "manage_products:shop"))
    assert vendor.tokens == 1
    form = vendor.requests[0].content.decode()
    assert form == "grant_type=client_credentials&scope=manage_orders%3Ashop%20manage_products%3Ashop"
    assert vendor.last().headers["authorization"] == "Bearer token-1"
    assert set(vendor.tills.spent) == {("commercetools", "reads")}


def test_a_token_near_its_end_is_renewed_before() -> None:
    vendor = Vendor(*[ok({"results": []})] * 2, expires_in=0)

    async def story(port: Commercetools) -> None:
        await walk(port)
        await walk(port)

    vendor.run(story)
    assert vendor.tokens > 1


def test_a_401_is_tried_once_more_with_a_fresh_token() -> None:
    vendor = Vendor(error(401, "invalid_token"), ok({"results": [entry()]}))
    assert len(vendor.run(walk).entries) == 1
    assert (vendor.tokens, vendor.last().headers["authorization"]) == (2, "Bearer token-2")


def test_a_second_401_is_for_a_person() -> None:
    vendor = Vendor(error(401, "invalid_token"), error(401, "invalid_token"))
    with pytest.raises(Misconfigured):
        vendor.run(walk)


@pytest.mark.parametrize(
    ("reply", "family"),
    [
        (error(400, "InvalidInput"), Refused),
        (error(400, "QueryTimedOut"), Unavailable),
        (error(403, "insufficient_scope"), Misconfigured),
        (error(404, "ResourceNotFound"), Refused),
        (httpx2.Response(404, text="nothing here"), Misconfigured),
        (error(429, "OverCapacity"), LimitReached),
        (error(500, "General"), Unavailable),
        (error(503, "OverCapacity"), Unavailable),
        (httpx2.Response(502, text="<html>"), Unavailable),
        (HTML, Misconfigured),
        (ok({"results": [{"id": 1}]}), Refused),
        (httpx2.Response(200, text='{"results": [{', headers={"date": DATE}), Unavailable),
        (httpx2.Response(200, json={"results": []}), Unavailable),
        (httpx2.ConnectError("refused"), NotSent),
        (httpx2.ReadError("reset"), OutcomeLost),
    ],
)
def test_troubles_of_a_read_and_no_second_try(reply: Reply, family: type[Exception]) -> None:
    vendor = Vendor(reply)
    with pytest.raises(family):
        vendor.run(walk)
    assert vendor.lines == ["GET /shop/inventory"]


def test_overload_and_limits_are_told_to_the_budget() -> None:
    limit, busy, told = [("commercetools", 9.0)], [("commercetools", None)], [("commercetools", 9.0)]
    for reply, breaches, away in (
        (error(429, "x", retry_after="9"), limit, []),
        (error(503, "OverCapacity"), [], busy),
        (error(503, "OverCapacity", retry_after="9"), [], told),
    ):
        vendor = Vendor(reply)
        with pytest.raises((LimitReached, Unavailable)):
            vendor.run(walk)
        assert (vendor.tills.breaches, vendor.tills.away) == (breaches, away)


# --- Reading stock ---------------------------------------------------------------------------------------------------


def test_entries_are_asked_for_with_variables_and_filtered() -> None:
    rows = [entry(supplyChannel={"id": "ch-web"}), entry("A"), entry("B"), entry("C", supplyChannel={"id": "ch-gone"})]
    vendor = Vendor(ok({"results": rows}))
    found = vendor.run(lambda port: port.read_entries([("A", "web"), ("B", None), ("C", "nowhere")], lane="reads"))
    assert [(e.sku, e.channel) for e in found.entries] == [("A", "web"), ("B", None)]
    assert found.at == AT
    assert dict(vendor.last().url.params) == {
        "sort": "id asc",
        "limit": "500",
        "withTotal": "false",
        "where": "(supplyChannel(id = :v0) and sku = :v1) or (supplyChannel is not defined and sku = :v2)",
        "var.v0": "ch-web",
        "var.v1": "A",
        "var.v2": "B",
    }


def test_by_graphql_where_batches_are_on() -> None:
    row = {**entry(), "supplyChannelRef": {"id": "ch-web"}, "custom": None}
    vendor = Vendor(ok({"data": {"inventoryEntries": {"results": [row]}}}))
    found = vendor.run(lambda port: port.read_entries([("A", "web")], lane="reads"), write_batch=25)
    assert [(e.sku, e.channel, e.typed) for e in found.entries] == [("A", "web", None)]
    asked = json.loads(vendor.last().content)
    assert asked["variables"] == {"where": '(supplyChannel(id = "ch-web") and sku = "A")', "limit": 500}


@pytest.mark.parametrize(
    ("answer", "family"),
    [
        ({"errors": [{"message": "no", "extensions": {"code": "InvalidInput"}}]}, Refused),
        ({"data": None, "errors": [{"message": "busy", "extensions": {"code": "OverCapacity"}}]}, Unavailable),
        ({"data": {"inventoryEntries": None}}, Unavailable),
    ],
)
def test_troubles_of_graphql_reads(answer: Any, family: type[Exception]) -> None:
    with pytest.raises(family):
        Vendor(ok(answer)).run(walk, write_batch=25)


def test_no_known_channel_is_for_a_person_and_too_many_keys_for_a_programmer() -> None:
    with pytest.raises(Misconfigured):
        Vendor().run(lambda port: port.read_entries([("A", "nowhere")], lane="reads"))
    with pytest.raises(ValueError):
        Vendor().run(lambda port: port.read_entries([("A", None)] * 151, lane="reads"))


def test_a_walk_ends_with_a_page_that_is_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    vendor = Vendor(ok({"results": [entry("A"), entry("B")]}), ok({"results": [entry("C")]}))

    async def story(port: Commercetools) -> list[Any]:
        return [await port.walk_entries(None, lane="reads"), await port.walk_entries("e-B", lane="reads")]

    first, second = vendor.run(story)
    assert (first.last_id, second.last_id) == ("e-B", None)
    assert (vendor.last().url.params["where"], vendor.last().url.params["var.v0"]) == ("id > :v0", "e-B")


# --- Writing stock ---------------------------------------------------------------------------------------------------


def send(port: Commercetools) -> Awaitable[Any]:
    return port.write([write()], lane="writes")


@pytest.mark.parametrize(
    ("replies", "status", "after"),
    [
        ([ok(entry() | {"version": 8})], "applied", 0.0),
        ([error(409, "ConcurrentModification")], "conflict", 0.0),
        ([error(400, "InvalidOperation")], "refused", 0.0),
        ([error(400, "NobodyKnowsThisCode")], "refused", 0.0),
        ([error(404, "ResourceNotFound")], "refused", 0.0),
        ([error(403, "insufficient_scope")], "refused", 0.0),
        ([error(429, "OverCapacity", retry_after="4")], "limited", 4.0),
        ([error(401, "invalid_token")] * 2, "limited", 30.0),
        ([httpx2.ConnectError("refused")], "limited", 1.0),
        ([httpx2.ReadError("reset")], "unknown", 0.0),
        ([httpx2.ReadTimeout("slow")], "unknown", 0.0),
        ([error(500, "General")], "unknown", 0.0),
        ([error(503, "OverCapacity")], "unknown", 0.0),
        ([httpx2.Response(504, text="<html>")], "unknown", 0.0),
        ([httpx2.Response(400, text="<html>")], "unknown", 0.0),
        ([httpx2.Response(409, text="")], "unknown", 0.0),
        ([HTML], "unknown", 0.0),
        ([ok({"id": "e-A"})], "unknown", 0.0),
    ],
)
def test_outcomes_of_a_write_and_no_second_try(replies: list[Reply], status: str, after: float) -> None:
    vendor = Vendor(*replies)
    (outcome,) = vendor.run(send)
    assert (outcome.op_id, outcome.status, outcome.after_seconds) == ("op_write-A", status, after)
    assert vendor.lines == ["POST /shop/inventory/e-A"] * len(replies)
    assert vendor.last().headers["x-correlation-id"] == "op_write-A"


def test_applied_says_version_quantity_and_the_vendors_time() -> None:
    (outcome,) = Vendor(ok(entry(quantity=-4) | {"version": 9})).run(send)
    assert (outcome.version, outcome.quantity, outcome.at) == (9, -4, AT)


def test_types_are_looked_up_when_an_entry_has_one_and_then_known() -> None:
    kinds = [
        {"id": "t-ours", "key": "sellable-stock", "resourceTypeIds": ["inventory-entry"],
         "fieldDefinitions": [{"name": "lastOp", "type": {"name": "String"}}]},
        {"id": "t-theirs", "key": "theirs", "resourceTypeIds": ["inventory-entry"], "fieldDefinitions": []},
    ]  # fmt: skip
    vendor = Vendor(*[ok(entry() | {"version": 8})] * 4, types=kinds)

    async def story(port: Commercetools) -> None:
        for typed in (None, "t-ours", "t-theirs", "t-vanished"):
            await port.write([write(typed=typed)], lane="writes")

    vendor.run(story)
    sent = [json.loads(r.content)["actions"] for r in vendor.requests if r.url.path == "/shop/inventory/e-A"]
    assert [[a["action"] for a in actions] for actions in sent] == [
        ["removeQuantity", "setCustomType"],
        ["removeQuantity", "setCustomField"],
        ["removeQuantity"],
        ["removeQuantity"],
    ]
    assert sum(r.url.path == "/shop/types" for r in vendor.requests) == 2


def test_a_batch_too_complex_was_not_executed_and_the_next_is_smaller() -> None:
    too_much = {"errors": [{"message": "too much", "extensions": {"code": "QueryComplexityLimitExceeded"}}]}
    vendor = Vendor(ok(too_much, 400))

    async def story(port: Commercetools) -> Any:
        assert port.write_batch == 25
        outcomes = await port.write([write(sku) for sku in "ABCDE"], lane="writes")
        return outcomes, port.write_batch

    outcomes, batch = vendor.run(story, write_batch=25)
    assert ([o.status for o in outcomes], batch) == (["limited"] * 5, 2)


def test_a_refused_request_refuses_each_of_its_writes() -> None:
    vendor = Vendor(ok({"errors": [{"message": "syntax"}]}, 400))
    outcomes = vendor.run(lambda port: port.write([write("A"), write("B")], lane="writes"), write_batch=25)
    assert [o.status for o in outcomes] == ["refused", "refused"]


def test_without_a_token_nothing_was_sent() -> None:
    def no_token(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError("reset")

    async def story() -> Any:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(no_token)) as http:
            return await send(Commercetools(HttpPort(http, Clock(), None), None, settings()))

    (outcome,) = asyncio.run(story())
    assert outcome.status == "limited"


# --- Feeds -----------------------------------------------------------------------------------------------------------


def test_messages_are_asked_for_after_the_cursor_and_before_the_bound() -> None:
    vendor = Vendor(ok({"results": [message(id="m1"), message(id="m2", order="kept as it is")]}))
    page = vendor.run(lambda port: port.messages(("T", "i"), until="U", lane="orders"))
    assert [m.message_id for m in page.messages] == ["m1", "m2"]
    assert (page.cursor, page.full) == (("2026-11-21T10:00:00.200Z", "m2"), False)
    params = vendor.last().url.params
    assert params.get_list("where") == [
        'resource(typeId in ("order","inventory-entry","product"))',
        "createdAt > :v0 or (createdAt = :v1 and id > :v2)",
        "createdAt < :v3",
    ]
    assert [params[f"var.v{n}"] for n in range(4)] == ["T", "T", "i", "U"]
    assert params.get_list("sort") == ["createdAt asc", "id asc"]
    assert (params["limit"], params["withTotal"]) == ("500", "false")


def test_a_page_too_heavy_to_arrive_is_asked_for_smaller() -> None:
    vendor = Vendor(
        httpx2.ReadTimeout("slow"), error(400, "QueryTimedOut"), *[ok({"results": [message()] * n}) for n in (31, 1)]
    )

    async def story(port: Commercetools) -> list[bool]:
        for _ in range(2):
            with pytest.raises((OutcomeLost, Unavailable)):
                await port.messages(None, until=None, lane="orders")
        return [(await port.messages(None, until=None, lane="orders")).full for _ in range(2)]

    assert vendor.run(story) == [True, False]
    asked = [r.url.params["limit"] for r in vendor.requests if r.url.path == "/shop/messages"]
    assert asked == ["500", "125", "31", "62"]


def test_all_orders_with_a_sku_are_found_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    rows = [document(id=f"order-{n}", createdAt=f"2026-11-21T10:00:0{n}.000Z") for n in range(3)]
    vendor = Vendor(ok({"results": rows[:2]}), ok({"results": rows[2:]}))
    page = vendor.run(lambda port: port.orders_with_sku("A", since=AT, lane="repair"))
    assert [o.order_id for o in page.orders] == ["order-0", "order-1", "order-2"]
    assert (page.full, page.at) == (False, AT)
    wheres = [r.url.params.get_list("where") for r in vendor.requests if r.url.path == "/shop/orders"]
    assert [w[0] for w in wheres] == ["lineItems(variant(sku = :v0))"] * 2
    assert vendor.last().url.params["var.v1"] == "2026-11-21T10:00:01.000Z"


# --- Channels of orders ----------------------------------------------------------------------------------------------


def test_an_order_is_not_translated_before_its_channel_was_looked_up() -> None:
    vendor = Vendor(*[ok({"results": []})] * 2)
    body = msgspec.json.encode(document())
    strange = msgspec.json.encode(document(lineItems=[line(supplyChannel={"typeId": "channel", "id": "ch-late"})]))

    async def story(port: Commercetools) -> list[Any]:
        with pytest.raises(ChannelUnknown):
            port.translate_order(body)
        await port.learn(lane="orders")
        found = [port.translate_order(body).lines[0].channel]
        for key in (None, "late"):
            with pytest.raises(ChannelUnknown) as unknown:
                port.translate_message(msgspec.json.encode(message(order=json.loads(strange))))
            assert not isinstance(unknown.value, ValueError)
            if key:
                vendor.channels.append({"id": "ch-late", "key": key})
        await port.messages(None, until=None, lane="orders")
        return [*found, port.translate_order(strange).lines[0].channel, await walk(port)]

    assert vendor.run(story)[:2] == ["web", "late"]


def test_a_channel_that_does_not_exist_is_given_by_its_id() -> None:
    vendor = Vendor(ok({"results": []}))
    body = msgspec.json.encode(document(lineItems=[line(supplyChannel={"typeId": "channel", "id": "ch-gone"})]))

    async def story(port: Commercetools) -> Any:
        await port.learn(lane="orders")
        with pytest.raises(ChannelUnknown):
            port.translate_order(body)
        await port.messages(None, until=None, lane="orders")
        return port.translate_order(body)

    order = vendor.run(story)
    assert (order.lines[0].channel, order.unknown) == ("ch-gone", ("supplyChannel ch-gone",))


# --- Writing back ----------------------------------------------------------------------------------------------------


def raw() -> RawOrder:
    return RawOrder(order_id="order-00001", version=4, modified_at="", body=msgspec.json.encode(document()))


def test_an_update_carries_the_orders_version_and_returns_the_order_as_it_is_now() -> None:
    vendor = Vendor(ok(document(version=5)))
    after = vendor.run(lambda port: port.set_sync_info(raw(), "SO-1", lane="orders"))
    assert (after.version, after.modified_at) == (5, "2026-11-21T10:00:05.000Z")
    assert (vendor.lines, vendor.last().headers["x-correlation-id"]) == (
        ["POST /shop/orders/order-00001"],
        "order-00001",
    )
    assert json.loads(vendor.last().content) == {
        "version": 4,
        "actions": [
            {"action": "updateSyncInfo", "channel": {"typeId": "channel", "id": "ch-out"}, "externalId": "SO-1"}
        ],
    }


@pytest.mark.parametrize("reply", [httpx2.Response(200, text='{"id":'), error(500, "General")])
def test_an_update_whose_answer_is_unreadable_may_have_been_applied(reply: Reply) -> None:
    with pytest.raises(Unavailable):
        Vendor(reply).run(
            lambda port: port.set_states(raw(), order_state="Complete", shipment_state=None, lane="orders")
        )


def test_without_the_export_channel_setup_is_missing() -> None:
    with pytest.raises(Misconfigured, match="setup"):
        Vendor().run(lambda port: port.set_sync_info(raw(), "SO-1", lane="orders"), export_channel="elsewhere")
