"""Over several back offices in one process: OrderFlow alone, and beside Cin7 Core with orders routed among them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from tests.e2e.test_main_job import healthy
from tests.e2e.world import COMPANY, SHOP, Detached, World

from sellable.app import answers, doctor, recovery
from sellable.desk import cases
from sellable.runtime.database import Store
from sellable.runtime.queries import Query
from sellable.sandbox import orderflow
from sellable.sandbox.clock import Clock as SandboxClock
from sellable.web.server import Refused

FLOW = "http://of.test"
TENANT: dict[str, Any] = {
    "base": "/orderflow/test",
    "users": [{"user": "shop", "password": "open sesame"}],
    "sites": ["LEEDS"],
    "channels": [{"reference": "HOME", "organisation": "CRUNCHY", "site": "LEEDS"}],
    "products": [{"reference": sku, "organisation": "CRUNCHY"} for sku in ("ARMCHAIR", "TABLE")],
    "stock": [
        {"sku": "ARMCHAIR", "site": "LEEDS", "quantity": 7},
        {"sku": "ARMCHAIR", "site": "LEEDS", "quantity": 2, "kind": "frozen"},
        {"sku": "TABLE", "site": "LEEDS", "quantity": 3},
    ],
    "switches": {"inventory_push": "off"},
}
SECTION: dict[str, Any] = {
    "base_url": f"{FLOW}/orderflow/test", "user": "shop", "password": "open sesame", "channel": "HOME",
    "organisation": "CRUNCHY", "time_zone": "UTC", "insecure": True, "calls_per_minute": 120,
    "inventory_poll_seconds": 40, "despatch_poll_seconds": 40, "return_poll_seconds": 60,
    "overlap_minutes": 5, "visibility_lag_seconds": 2,
    "search_settle_seconds": 5,
}  # fmt: skip
LEEDS = {"name": "Leeds", "master": "orderflow", "remote": "LEEDS"}
ALONE: dict[str, Any] = {
    "cin7_core": None, "orderflow": SECTION, "locations": [LEEDS], "states": [], "customers": [],
    "pools": [{"name": name, "locations": ["Leeds"]} for name in ("eu", "uk")],
}  # fmt: skip
BOTH: dict[str, Any] = {
    "orderflow": SECTION,
    "locations": [
        {"name": "Berlin", "master": "cin7_core", "remote": "Berlin"},
        {"name": "Hamburg", "master": "cin7_core", "remote": "Hamburg"},
        LEEDS,
    ],
    "pools": [{"name": "eu", "locations": ["Berlin", "Leeds"]}, {"name": "uk", "locations": ["Berlin"]}],
    "routes": [
        {"name": "uk stays home", "target": "cin7_core", "channels": ["web-uk"]},
        {"name": "chairs", "target": "orderflow", "skus": ["ARM*"], "service": "next_day"},
        {"name": "tables", "target": "cin7_core", "skus": ["TABLE"], "currencies": ["EUR"]},
    ],
}  # fmt: skip
TOGETHER = Query(
    package="t", name="t", purpose="t",
    text="SELECT correlation FROM operation WHERE kind = 'order.import' AND result ->> 'with' <> id",
)  # fmt: skip
WORK = dict.fromkeys(
    ("release_seconds", "locate_seconds", "pick_seconds", "pack_seconds", "despatch_seconds"), 10
)  # fmt: skip


class Houses(World):
    """A world with a warehouse of OrderFlow in it."""

    def __init__(self, store: Store, **changes: Any) -> None:
        super().__init__(store, **changes)
        self.tenant = orderflow.build(SandboxClock.parse(self.time), 7, post=self._pushed)
        self.tenant.load(TENANT)
        self._mounts[FLOW] = Detached(self.tenant.asgi)
        self.http = httpx2.AsyncClient(mounts=self._mounts)

    async def _pushed(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """What the warehouse sends, at our own door."""
        accept = self.service.face().webhooks["orderflow"]
        try:
            said = await accept(url.rpartition("/")[2], {name.lower(): each for name, each in headers.items()}, body)
        except Refused as refusal:
            return refusal.status, b"refused"
        return 200, str(said).encode()

    async def flow(self, **action: Any) -> Any:
        """Something in the warehouse."""
        answer = await self.http.post(f"{FLOW}/_sandbox/act", json=action)
        assert answer.status_code == 200, answer.text
        return answer.json().get("result")

    async def imported(self) -> list[Any]:
        """Orders at the warehouse, as they are."""
        return list((await self.http.get(f"{FLOW}/_sandbox/truth")).json()["orders"])


def play(
    story: Callable[[Houses], Awaitable[None]],
    store: Store,
    *,
    seeds: tuple[Any, Any] = (SHOP, COMPANY),
    **settings: Any,
) -> None:
    async def whole() -> None:
        world = Houses(store, seeds=seeds)
        service = world.serve(**settings)
        try:
            await world.sign_in()
            await service.start()
            await story(world)
        finally:
            await world.service.stop()
            world.store.close()
            await world.http.aclose()
            await world.company.vendor.stop()
            await world.tenant.vendor.stop()

    asyncio.run(whole())


async def told(world: World, order_id: str) -> Any:
    async def complete() -> Any:
        fresh = await world.ct("GET", f"/orders/{order_id}")
        return fresh if fresh.get("shipmentState") == "Shipped" and fresh.get("orderState") == "Complete" else None

    return await world.until(complete, "the storefront shows the shipment")


def test_a_warehouse_alone_counts_takes_ships_and_cancels(store: Store) -> None:
    async def story(world: Houses) -> None:
        await world.until_shown(ARMCHAIR__web_eu=7, ARMCHAIR__web_uk=7, TABLE__web_eu=3)
        looks = doctor.examine(world.service.settings, world.store, world.service.outside)
        checks = {check.name: check.result async for check in looks}
        assert [checks[name] for name in ("inventory of Leeds", "orders there", "what left there")] == ["ok"] * 3
        assert "Cin7 Core answers" not in checks
        # The answer to the first import is lost after it was taken: there is one order all the same.
        await world.faults(
            FLOW, [{"name": "lost", "effect": "reset", "when": "after", "match": "POST .*importitems", "times": 1}]
        )
        order = await world.buy({"ARMCHAIR": 2, "TABLE": 1})
        await world.until_stage(order["id"], "exported")
        (taken,) = await world.imported()
        assert taken["reference"] == f"shop:{order['id']}:1"
        assert {line["sku"]: line["ordered"] for line in taken["lines"]} == {"ARMCHAIR": 2, "TABLE": 1}
        await world.until_shown(ARMCHAIR__web_eu=5, ARMCHAIR__web_uk=5, TABLE__web_eu=2)

        async def contained() -> bool:
            found = await world.store.read(answers.explain, world.service.settings, "ARMCHAIR", "web-eu", None,
                                           world.clock.now())  # fmt: skip
            return not found["numbers"][0]["explanation"]["term"]["in_flight"]

        await world.until(contained, "the warehouse's own number holds the order")
        await world.flow(warehouse={"auto": True, **WORK})
        await world.until_stage(order["id"], "shipped")
        fresh = await told(world, order["id"])
        (delivery,) = fresh["shippingInfo"]["deliveries"]
        assert {item["quantity"] for item in delivery["items"]} == {2, 1}
        assert [bool(parcel["trackingData"]["trackingId"]) for parcel in delivery["parcels"]] == [True]
        await world.until_shown(ARMCHAIR__web_eu=5, TABLE__web_eu=2)
        lines = [
            {"sku": "ARMCHAIR", "quantity": 1, "reason": "A - Not wanted", "condition": "As new"},
            {"sku": "TABLE", "quantity": 1, "reason": "A - Not wanted", "condition": "Product damaged (irreparable)"},
        ]  # fmt: skip
        await world.flow(book_return={"order": taken["reference"], "lines": lines})

        async def back() -> Any:
            info = (await world.ct("GET", f"/orders/{order['id']}")).get("returnInfo", [])
            return sorted(item["shipmentState"] for each in info for item in each["items"]) == [
                "BackInStock",
                "Unusable",
            ]

        await world.until(back, "the storefront shows what came back")
        await world.until_shown(ARMCHAIR__web_eu=6, ARMCHAIR__web_uk=6, TABLE__web_eu=2)
        await world.flow(warehouse={"auto": False})
        second = await world.buy({"ARMCHAIR": 1})
        await world.until_stage(second["id"], "exported")
        await world.cancel(second["id"])
        await world.until_stage(second["id"], "cancelled")
        assert [each["state"] for each in await world.imported()] == ["despatched", "cancelled"]
        await world.until_shown(ARMCHAIR__web_eu=6, ARMCHAIR__web_uk=6)
        await world.store.read(healthy)

    play(story, store, **ALONE)


def test_a_restored_database_reads_the_warehouse_again_before_anything_rises(store: Store) -> None:
    async def story(world: Houses) -> None:
        await world.until_shown(ARMCHAIR__web_eu=7, TABLE__web_eu=3)
        order = await world.buy({"ARMCHAIR": 2})
        await world.until_stage(order["id"], "exported")
        now = world.clock.now()
        await world.store.write(recovery.begin, world.service.settings, world.clock, "test", now)
        await world.flow(count={"sku": "TABLE", "site": "LEEDS", "found": 8})

        async def over() -> bool:
            return "restored" not in {case.kind for case in await world.store.read(cases.listing)}

        await world.until(over, "everything was read again")
        await world.until_shown(ARMCHAIR__web_eu=5, ARMCHAIR__web_uk=5, TABLE__web_eu=8)
        assert len(await world.imported()) == 1
        await world.store.read(healthy)

    play(story, store, **ALONE)


@pytest.mark.parametrize(("status", "rate"), [(500, 0.2), (503, 0.25)])
def test_every_order_is_there_once_whatever_is_lost_on_the_way(store: Store, status: int, rate: float) -> None:
    async def story(world: Houses) -> None:
        await world.until_shown(ARMCHAIR__web_eu=7, TABLE__web_eu=3)
        await world.faults(FLOW, [
            {"name": "lost answers", "effect": "reset", "when": "after", "rate": 0.35},
            {"name": "errors", "effect": "status", "status": status, "rate": rate},
        ])  # fmt: skip
        bought = [await world.buy({"ARMCHAIR": 1}, channel) for channel in ("web-eu", "web-uk", "web-eu", "web-uk")]
        await world.cancel(bought[1]["id"])
        await world.flow(warehouse={"auto": True, **WORK})

        async def settled() -> bool:
            stages = [await world.stage(order["id"]) for order in bought]
            return stages[1] in ("cancelled", "shipped") and {*stages[:1], *stages[2:]} == {"shipped"}

        await world.until(settled, "every order has its end")
        await world.faults(FLOW, [])
        refs = [each["imported_as"] or each["reference"] for each in await world.imported()]
        assert len(refs) == len(set(refs))
        assert {f"shop:{order['id']}:1" for order in bought[:1] + bought[2:]} <= set(refs)
        gone = sum(line["despatched"] for each in await world.imported() for line in each["lines"])
        await world.until_shown(ARMCHAIR__web_eu=7 - gone, ARMCHAIR__web_uk=7 - gone)
        await world.store.read(healthy)

    play(story, store, **ALONE)


def test_a_warehouse_that_grows_old_stops_only_raises_of_what_it_counts(store: Store) -> None:
    async def story(world: Houses) -> None:
        await world.until_shown(TABLE__web_eu=9, TABLE__web_uk=6, ARMCHAIR__web_eu=17)
        await world.faults(FLOW, [{"name": "down", "effect": "status", "status": 500}])

        async def old() -> bool:
            found = await world.store.read(cases.listing)
            return "vendor:orderflow" in {case.subject for case in found if case.kind == "master_stale"}

        await world.until(old, "its numbers are too old")
        await world.act(receive={"sku": "TABLE", "location": "Berlin", "bin": "A1", "quantity": 5})
        await world.act(receive={"sku": "ARMCHAIR", "location": "Berlin", "bin": "A1", "quantity": 1})
        # Sold from Berlin alone, it rises; where Leeds counts too, what only Leeds may have lost is not sold twice.
        await world.until_shown(TABLE__web_uk=11, ARMCHAIR__web_uk=11)
        assert (await world.shown("TABLE", "web-eu"), await world.shown("ARMCHAIR", "web-eu")) == (9, 17)
        await world.faults(FLOW, [])
        await world.until_shown(TABLE__web_eu=14, ARMCHAIR__web_eu=18)
        await world.store.read(healthy)

    play(story, store, **{**BOTH, "orderflow": SECTION | {"max_age_minutes": 2}})


def test_a_push_is_a_hint_to_look_and_a_stranger_is_refused(store: Store) -> None:
    """The warehouse is read once an hour, yet what it sends is seen at once."""
    hook = {"path_token": "of-token", "secret": "s3cret"}
    slow = SECTION | {"inventory_poll_seconds": 7200, "despatch_poll_seconds": 7200, "webhook": hook}

    async def story(world: Houses) -> None:
        await world.until_shown(ARMCHAIR__web_eu=7, TABLE__web_eu=3)
        shown = {"authorization": "Basic " + b64encode(b"flow:s3cret").decode()}
        await world.flow(
            switch={"inventory_push": "change"},
            receivers={"*": "https://us.test/webhooks/orderflow/of-token", "headers": shown},
        )
        await world.flow(sell_at_counter={"sku": "ARMCHAIR", "quantity": 3})
        await world.until_shown(ARMCHAIR__web_eu=4, ARMCHAIR__web_uk=4)
        order = await world.buy({"TABLE": 1})
        await world.until_stage(order["id"], "exported")
        await world.flow(warehouse={"auto": True, **WORK})
        await world.until_stage(order["id"], "shipped")
        status, _ = await world._pushed("https://us.test/webhooks/orderflow/guessed", shown, b"<inventory/>")
        assert status == 401

    play(story, store, **{**ALONE, "orderflow": slow})


def test_an_order_is_split_over_both_and_keeps_one_timeline(store: Store) -> None:
    async def story(world: Houses) -> None:
        await world.until_shown(ARMCHAIR__web_eu=17, ARMCHAIR__web_uk=10, TABLE__web_eu=9)
        order = await world.buy({"ARMCHAIR": 2, "TABLE": 1})
        await world.until_stage(order["id"], "exported")
        (chairs,) = await world.imported()
        (tables,) = await world.sales()
        assert [line["sku"] for line in chairs["lines"]] == ["ARMCHAIR"]
        assert [line["sku"] for line in tables["lines"] if line["sku"] != "Shipping"] == ["TABLE"]
        await world.act(warehouse={"auto": True, "pick_after_seconds": 10, "ship_after_seconds": 20, "carrier": "DHL"})
        await world.flow(warehouse={"auto": True, **WORK})
        await world.until_stage(order["id"], "shipped")
        fresh = await told(world, order["id"])
        assert len(fresh["shippingInfo"]["deliveries"]) == 2
        (story,) = await world.store.read(answers.order_story, order["id"])
        assert [(part["target"], part["location"], part["state"]) for part in story["parts"]] == [
            ("cin7_core", "Berlin", "shipped"), ("orderflow", "Leeds", "shipped"),
        ]  # fmt: skip
        assert [line["rule"] for part in story["parts"] for line in part["lines"]] == ["tables", "chairs"]
        what = [event["what"] for event in story["story"]]
        assert what.index("sourced") < min(what.index("order imported"), what.index("sale authorised"))
        await world.until_shown(ARMCHAIR__web_eu=15, ARMCHAIR__web_uk=10, TABLE__web_eu=8)
        await world.store.read(healthy)
        assert {case.kind for case in await world.store.read(cases.listing)} <= {"catalogue_mismatch"}

    play(story, store, **BOTH)


def test_orders_that_wait_go_together_and_one_that_is_refused_holds_no_other(store: Store) -> None:
    async def story(world: Houses) -> None:
        await world.until_shown(ARMCHAIR__web_eu=7, TABLE__web_eu=3)
        await world.flow(product={"sku": "TABLE", "active": False})
        await world.service.stop()
        bought = [await world.buy({sku: 1}) for sku in ("ARMCHAIR", "ARMCHAIR", "TABLE", "ARMCHAIR", "ARMCHAIR")]
        refused = bought.pop(2)
        world.serve(**ALONE)
        await world.service.start()
        for order in bought:
            await world.until_stage(order["id"], "exported")
        await world.until_stage(refused["id"], "held")
        refs = [each["reference"] for each in await world.imported()]
        assert sorted(refs) == sorted(f"shop:{order['id']}:1" for order in bought)
        stats = (await world.http.get(f"{FLOW}/_sandbox/stats")).json()["routes"]
        calls = sum(count for route, count in stats.items() if "remoteorder/imports" in route)
        assert 0 < calls < len(refs) + 1, f"{calls} calls for {len(refs) + 1} orders"
        for op in await world.store.read(lambda tx: tx.all(TOGETHER)):

            async def told_of(order_id: str = op.correlation) -> bool:
                (story,) = await world.store.read(answers.order_story, order_id)
                return any("importitems" in call["path"] for call in story["calls"])

            await world.until(told_of, "the call is told of each order")
        assert {case.kind for case in await world.store.read(cases.listing)} >= {"order_refused"}
        await world.store.read(healthy)

    play(story, store, **ALONE)


def test_a_return_made_known_at_the_storefront_is_announced_and_what_comes_back_is_matched(store: Store) -> None:
    reasons = [{"code": "too small", "storefront": "size", "back_office": "C - Wrong size"}]

    async def story(world: Houses) -> None:
        await world.until_shown(ARMCHAIR__web_eu=7, TABLE__web_eu=3)
        await world.flow(warehouse={"auto": True, **WORK})
        order = await world.buy({"ARMCHAIR": 3})
        await world.until_stage(order["id"], "shipped")
        fresh = await told(world, order["id"])
        line = fresh["lineItems"][0]["id"]
        items = [{"quantity": n, "lineItemId": line, "shipmentState": "Advised", "comment": "size"} for n in (2, 1)]
        await world.faults(FLOW, [{"name": "lost", "effect": "reset", "when": "after", "match": ".*warehouse/imports.*",
                                   "times": 1}])  # fmt: skip
        actions = [{"action": "addReturnInfo", "items": items}]
        fresh = await world.ct("POST", f"/orders/{order['id']}", {"version": fresh["version"], "actions": actions})
        (info,) = fresh["returnInfo"]
        refs = [f"shop:{order['id']}:1:{item['id']}" for item in info["items"]]

        async def announced() -> Any:
            truth = (await world.http.get(f"{FLOW}/_sandbox/truth")).json()["returns"]
            return truth if len(truth) == 2 else None

        found = {each["authorisation"]: each for each in await world.until(announced, "both are announced")}
        assert sorted(found) == sorted(refs)
        assert [(x["quantity"], x["reason"]) for x in found[refs[0]]["announced"]] == [(2, "C - Wrong size")]
        lines = [{"sku": "ARMCHAIR", "quantity": 1, "reason": "C - Wrong size", "condition": "As new"}]
        await world.flow(book_return={"authorisation": refs[1], "lines": lines})

        async def matched() -> bool:
            (told,) = await world.store.read(answers.order_story, order["id"])
            back = {note["item_id"]: note["arrived"] for note in told["returns_at_storefront"]}
            return back == {info["items"][0]["id"]: 0, info["items"][1]["id"]: 1}

        await world.until(matched, "what came back is that item's")
        await world.until_shown(ARMCHAIR__web_eu=5)
        assert {case.kind for case in await world.store.read(cases.listing)} == set()

    play(story, store, **{**ALONE, "reasons": reasons})
