"""What we send to commercetools, and what our simulator answers, against the vendor's own generated types.

The vendor publishes its API description as TypeScript types, and those of its GraphQL schema. They are installed into
pytest's cache folder; where that cannot be, the test is skipped by name.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from commercetools_peers import Shop, installed, settings_of
from recorded import Call, Recorder
from test_commercetools_contract import CHAIR, draft_of, imported, product, simulator, write_of

from sellable.connectors.commercetools import Commercetools, setup
from sellable.connectors.port import EntryReading, ReturnDraft
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort

__all__ = ["simulator"]

TYPES = (
    "@commercetools/platform-sdk@8.27.0",
    "@commercetools-test-data/graphql-types@10.18.2",
    "graphql@16.15.0",
    "typescript@7.0.2",
)
GENERATOR = Path(__file__).parent / "peer" / "describe.mjs"
LOCAL = {"write_batch", "translate_order", "translate_message"}
"""Public names of the connector that call nothing."""
SUBSCRIPTION = {
    "key": "sellable",
    "destination": {"type": "GoogleCloudPubSub", "projectId": "ours", "topic": "orders"},
    "messages": [{"resourceTypeId": "order", "types": []}],
}


class Spied:
    """The connector, with the names of the methods that were used."""

    def __init__(self, port: Commercetools) -> None:
        self._port = port
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.used.add(name)
        return getattr(self._port, name)


async def tour(port: Commercetools, shop: Shop) -> None:
    """Every call the connector can make, in every form it has."""
    shop.post("/states", {"key": "cancelled", "type": "LineItemState"})
    made = await setup.plan(port, SUBSCRIPTION)
    await setup.apply(port, made)
    await port.learn(lane="orders")
    await stock(port, shop)
    await orders(port, shop)
    await port.messages(None, until="2020-01-01T00:00:00.000Z", lane="orders")
    page = await port.messages(("2020-01-01T00:00:00.000Z", ""), until=None, lane="orders")
    await port.messages(page.cursor, until=None, lane="orders")


async def stock(port: Commercetools, shop: Shop) -> None:
    """Entries read and walked; raised and lowered untyped, with our type, and with a merchant's."""
    shop.channel("web")
    merchant = {"key": "theirs", "name": {"en": "Theirs"}, "resourceTypeIds": ["inventory-entry"]}
    shop.post("/types", {**merchant, "fieldDefinitions": []})
    shop.entry("PLAIN", 10, "web")
    shop.entry("THEIRS", 10, custom={"type": {"typeId": "type", "key": "theirs"}}, restockableInDays=3)
    await port.create_entry("NEW-LAMP", "web", "op_create-lamp", lane="writes")

    async def read() -> Sequence[EntryReading]:
        keys = [("PLAIN", "web"), ("THEIRS", None), ("NEW-LAMP", "web"), ("NO-SUCH", None)]
        return (await port.read_entries(keys, lane="reads")).entries

    for n, difference in enumerate((4, -2)):
        writes = [write_of(entry, difference, f"op_{n}-{entry.sku}") for entry in await read()]
        assert len(writes) == 3
        assert [o.status for o in await port.write(writes, lane="writes")] == ["applied"] * 3
    walked = await port.walk_entries(None, lane="reads")
    await port.walk_entries(walked.entries[0].remote_id, lane="reads")


async def orders(port: Commercetools, shop: Shop) -> None:
    """Orders found in every way, and everything written back to one."""
    product(shop)
    for skus in ([CHAIR], [CHAIR, "NO-SUCH"]):
        assert await port.sold(skus, lane="repair") == {CHAIR}
    document = imported(shop, "W-1")
    line, since = document["lineItems"][0]["id"], datetime.now(UTC) - timedelta(hours=1)
    page = await port.orders_modified(None, since="2020-01-01T00:00:00.000Z", lane="repair")
    await port.orders_modified(page.cursor, since="2020-01-01T00:00:00.000Z", lane="repair")
    opened = await port.orders_open(None, lane="orders")
    await port.orders_open(opened.cursor, lane="orders")
    await port.orders_by_id([document["id"]], lane="orders")
    await port.orders_with_sku(CHAIR, since=since, lane="repair")
    order = await port.read_order(document["id"], lane="orders")
    order = await port.set_sync_info(order, "SO-881", lane="orders")
    order = await port.set_states(order, order_state=None, shipment_state="Ready", lane="orders")
    order = await port.add_delivery(order, draft_of(order, line, "P1"), lane="orders")
    order = await port.add_delivery(order, draft_of(order, line, "P1", "P2"), lane="orders")
    (*parcels, (key, carrier, _, url, items)) = draft_of(order, line, "P1", "P2").parcels
    again = msgspec.structs.replace(
        draft_of(order, line), parcels=(*parcels, (key, carrier, "T-ANEW", url, items)), order_state="Complete"
    )
    order = await port.add_delivery(order, again, lane="orders")
    back = ReturnDraft(key="CR-1-1", line_id=line, units=1, state="Returned", comment="too small")
    order = (await port.tell_returns(order, [back], lane="orders")).order
    moved = [
        msgspec.structs.replace(back, state="Unusable", payment="NotRefunded"),
        msgspec.structs.replace(back, key="CR-1-2", state="BackInStock", payment="Refunded"),
    ]
    told = await port.tell_returns(order, moved, lane="orders")
    assert told.refused == ()
    await port.cancel_units(told.order, {line: 1}, lane="orders")


async def mending(port: Commercetools, shop: Shop) -> None:
    """Setup where things exist and are not right."""
    shop.channel("sellable-export", "InventorySupply")
    shop.post("/types", {"key": "sellable-stock", "name": {"en": "x"}, "resourceTypeIds": ["inventory-entry"]})
    await setup.apply(port, await setup.plan(port))


def recorded(shop: Shop, story: Callable[[Any], Awaitable[None]], **changes: Any) -> tuple[list[Call], set[str]]:
    """What passed between our connector and the simulator during a story, and the connector's methods it used."""

    async def go() -> tuple[list[Call], set[str]]:
        recorder = Recorder()
        async with httpx2.AsyncClient(transport=recorder) as http:
            spied = Spied(Commercetools(HttpPort(http, Clock(), None), None, settings_of(shop, **changes)))
            await story(spied)
        return recorder.calls, spied.used

    return asyncio.run(go())


@pytest.fixture(scope="module")
def calls(simulator: str) -> list[Call]:
    """All that can be sent, one by one over REST and in batches over GraphQL."""
    found: list[Call] = []
    used: set[str] = set()
    batches = [{"write_batch": size, "cancelled_states": ("cancelled",)} for size in (1, 25)]
    stories: list[tuple[Any, dict[str, Any]]] = [*((tour, changes) for changes in batches), (mending, {})]
    for story, changes in stories:
        shop = Shop(simulator, simulated=True)
        with shop.client:
            made, names = recorded(shop, lambda port, go=story, shop=shop: go(port, shop), **changes)
        found, used = found + made, used | names
    public = {name for name, _ in inspect.getmembers(Commercetools) if not name.startswith("_")} - LOCAL
    assert public <= used, f"never called: {public - used}"
    return found


@pytest.fixture(scope="module")
def workshop(request: pytest.FixtureRequest) -> Path:
    """A folder with the vendor's types and a compiler."""
    assert request.config.cache is not None
    folder = installed(request.config.cache.mkdir("commercetools-types"), *TYPES)
    shutil.copy(GENERATOR, folder)
    return folder


def refusals(workshop: Path, name: str, calls: Sequence[Call]) -> list[str]:
    """What the compiler says against these calls; nothing when the vendor's types know all of it."""
    source, program = workshop / f"{name}.json", workshop / f"{name}.ts"
    source.write_bytes(msgspec.json.encode([dataclasses.asdict(call) for call in calls]))
    subprocess.run(["node", GENERATOR.name, source.name, program.name], cwd=workshop, check=True, timeout=60)
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]
    done = subprocess.run(
        ["node_modules/.bin/tsc", *options, program.name], cwd=workshop, capture_output=True, text=True, timeout=240
    )
    found = [line for line in done.stdout.splitlines() if "error TS" in line]
    assert found or done.returncode == 0, done.stdout + done.stderr
    return found


def test_every_request_and_answer_is_what_the_vendor_describes(calls: list[Call], workshop: Path) -> None:
    assert len(calls) > 50
    assert refusals(workshop, "calls", calls) == []


def spoilt(call: Call, change: Callable[[Any], None]) -> Call:
    """The same call with something in it that the vendor does not know."""
    copy = msgspec.json.decode(msgspec.json.encode(dataclasses.asdict(call)))
    change(copy)
    return Call(**copy)


def first(calls: Sequence[Call], method: str, path: str, says: str = "") -> Call:
    return next(c for c in calls if c.method == method and path in c.path and says in str(c.body))


CANARIES: dict[str, tuple[tuple[str, str, str], Callable[[Any], None]]] = {
    "address": (("GET", "/inventory", ""), lambda c: c.update(path="/shop/inventories")),
    "query argument": (("GET", "/inventory", ""), lambda c: c["query"].append(("limits", "5"))),
    "field of an action": (
        ("POST", "/inventory/", "addQuantity"),
        lambda c: c["body"]["actions"][0].update(quantities=1),
    ),
    "kind of a value": (("POST", "/inventory/", "addQuantity"), lambda c: c["body"].update(version="7")),
    "name of an action": (
        ("POST", "/orders/", "updateSyncInfo"),
        lambda c: c["body"]["actions"][0].update(action="setSync"),
    ),
    "state": (
        ("POST", "/orders/", "changeShipmentState"),
        lambda c: c["body"].update(actions=[{"action": "changeShipmentState", "shipmentState": "Gone"}]),
    ),
    "draft": (("POST", "/types", "sellable-stock"), lambda c: c["body"].pop("key")),
    "answer": (("GET", "/inventory", ""), lambda c: c["answer"]["results"][0].pop("quantityOnStock")),
    "GraphQL action": (
        ("POST", "/graphql", "removeQuantity"),
        lambda c: c["body"]["variables"]["a0"][0].update(takeQuantity={"quantity": 1}),
    ),
    "GraphQL field": (
        ("POST", "/graphql", "inventoryEntries"),
        lambda c: c["body"].update(query=c["body"]["query"].replace("availableQuantity", "availableQuantities")),
    ),
    "GraphQL argument": (
        ("POST", "/graphql", "inventoryEntries"),
        lambda c: c["body"].update(query=c["body"]["query"].replace("limit:$limit", "size:$limit")),
    ),
}
"""One mistake each that must be refused, so that the check is known to see it."""


@pytest.mark.parametrize("what", CANARIES)
def test_a_mistake_is_refused(what: str, calls: list[Call], workshop: Path) -> None:
    which, change = CANARIES[what]
    assert refusals(workshop, "mistake", [spoilt(first(calls, *which), change)]) != []
