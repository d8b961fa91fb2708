"""What we send to Cin7 Core, and what our simulator answers, against the vendor's own API Blueprint.

No registry's package carries it. CIN7_BLUEPRINT names a copy of it; without one the test is skipped by name.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from blueprint import Blueprint
from recorded import Call, Recorder
from test_cin7 import PLACES, Shop, vendor

from sellable.connectors.cin7_core import registration
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort

__all__ = ["vendor"]

BASE = "/ExternalApi/v2"
UNREAD = frozenset({"CreditNoteStatus", "NonInventory", "RequiredByDate", "SaleID", "Tier 1"})
"""What the simulator answers beyond the blueprint, as live accounts were seen to; our connector reads none of it."""
URL = "https://us.example/hooks/described"


@pytest.fixture(scope="module")
def described() -> Blueprint:
    """The vendor's description."""
    path = os.environ.get("CIN7_BLUEPRINT")
    if not path:
        pytest.skip("CIN7_BLUEPRINT: no copy of Cin7 Core's API Blueprint is given")
    return Blueprint(Path(path).read_text())


async def tour(client: Cin7Core, shop: Shop) -> None:
    """Every call the connector can make."""
    await client.me(lane="reads")
    await client.locations(lane="reads")
    await client.tax_rules(lane="reads")
    await client.stock_page(None, 1, lane="stock")
    await client.stock_page("berlin", 1, lane="stock")
    await client.stock_of(shop.sku(), lane="stock")
    await client.catalogue_page(1, since=None, lane="reads")
    await client.catalogue_page(1, since="2020-01-01T00:00:00.000Z", lane="reads")
    shop.control("act", {"transfer": {"sku": shop.sku(), "from": "Main Warehouse", "to": "Shop", "quantity": 4}})
    await client.transfers_touched("", lane="reads")
    await registration.watch(client, URL, "s3cret", lane="repair")
    hook = next(row for row in await client.webhooks(lane="repair") if row.external_url == URL)
    asleep = {"ID": hook.id, "Type": hook.type, "ExternalURL": URL, "IsActive": False}
    await client.put_webhook(asleep, lane="repair")
    await client.delete_webhook(hook.id or "", lane="repair")
    await sales(client, shop)


async def sales(client: Cin7Core, shop: Shop) -> None:
    """One sale that ships, one that is undone and voided; plain tax and tax included."""
    for place, included in enumerate((False, True)):
        draft = shop.draft(("CHAIR", 2, "11.90"), ref=f"shop:{shop.name}:{place}", included=included)
        sale = await client.create_draft(draft, lane="orders")
        await client.put_lines(sale, draft, authorise=False, lane="orders")
        await client.put_header(sale, draft, lane="orders")
        await client.put_lines(sale, draft, authorise=True, lane="orders")
        await client.find_by_ref(draft.ref, lane="orders")
        if included:
            await client.void_sale(sale, undo=True, lane="orders")
            await client.void_sale(sale, undo=False, lane="orders")
            continue
        shop.control(
            "act", {"warehouse": {"auto": True, "pick_after_seconds": 1, "ship_after_seconds": 1, "carrier": "DHL"}}
        )
        async with asyncio.timeout(20):
            while not (await client.read_sale(sale, lane="reads")).shipments:
                await client.me(lane="reads")
        shop.control("act", {"warehouse": {"auto": False}})
    await client.sales_page(1, updated_since="2020-01-01T00:00:00Z", lane="reads")


@pytest.fixture(scope="module")
def calls(vendor: str, described: Blueprint) -> list[Call]:
    """All that can be sent, as sent."""
    shop = Shop(vendor)
    shop.control("load", {"keys": [{"account": shop.account, "key": key} for key in (shop.key, shop.read_key)]})
    shop.load(
        stock=[("CHAIR", "Main Warehouse", None, 10), ("LEG", "Main Warehouse", "A-1", 8)], kits={"STOOL": {"LEG": 3}}
    )
    recorder, used = Recorder(), set()

    async def go() -> None:
        async with httpx2.AsyncClient(transport=recorder) as http:
            client = Cin7Core(HttpPort(http, Clock(), None), None, shop.settings(), PLACES)
            for name in public:
                setattr(client, name, _noted(name, getattr(client, name), used))
            await tour(client, shop)

    public = [n for n, f in inspect.getmembers(Cin7Core, inspect.iscoroutinefunction) if not n.startswith("_")]
    asyncio.run(go())
    assert set(public) == used, "never called"
    return recorder.calls


def _noted(name: str, method: Callable[..., Any], used: set[str]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        used.add(name)
        return method(*args, **kwargs)

    return call


def objections(described: Blueprint, calls: Sequence[Call]) -> list[str]:
    return sorted({each for call in calls for each in described.objections(call, BASE, UNREAD)})


def test_every_request_and_answer_is_what_the_vendor_describes(described: Blueprint, calls: list[Call]) -> None:
    assert len(calls) > 20
    found = objections(described, calls)
    assert found == [], "\n".join(found)


CANARIES: dict[str, tuple[tuple[str, str], Callable[[Any], None]]] = {
    "address": (("GET", "/saleList"), lambda c: c.update(path=f"{BASE}/salesList")),
    "method": (("POST", "/sale/order"), lambda c: c.update(method="PUT")),
    "query argument": (("GET", "/saleList"), lambda c: c["query"].append(("ExternalRef", "1"))),
    "field": (("POST", "/sale/order"), lambda c: c["body"]["Lines"][0].update(Units=1)),
    "kind of a value": (("POST", "/sale/order"), lambda c: c["body"]["Lines"][0].update(Quantity="2")),
    "answer": (("GET", "/ref/productavailability"), lambda c: c["answer"]["ProductAvailabilityList"][0].update(Free=1)),
}
"""One mistake each that must be refused, so that the check is known to see it."""


@pytest.mark.parametrize("what", CANARIES)
def test_a_mistake_is_refused(what: str, described: Blueprint, calls: list[Call]) -> None:
    (method, path), change = CANARIES[what]
    call = next(c for c in calls if c.method == method and c.path == BASE + path)
    copy = msgspec.json.decode(msgspec.json.encode(dataclasses.asdict(call)))
    change(copy)
    assert described.objections(call, BASE, UNREAD) == []
    assert described.objections(Call(**copy), BASE, UNREAD) != []


SMALL = """
# Group Boxes
## Box [/box]
| Property | Type | Required |
|:---|---|---|
| `Wide` | Boolean | |
| `Lid` | <a href="#LidModel"><b>Lid</b></a> | |
### GET [GET /box?ID={ID}&Page={Page}]
### POST [POST]
+ POST method can accept "Paint" property in body.
            {"ID": "1",
            "Units": 2,
            "Note": null,
            "Wide": "true"}
### Lid <a name="LidModel" />
| Property | Type | Required |
| `Colour` | String | |
## Shelf [/shelf]
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"path": "/v2/BOX"}, []),
        ({"path": "/v2/shelf"}, ["POST /shelf is not described"]),
        ({"method": "DELETE"}, ["DELETE /box is not described"]),
        ({"method": "GET", "query": [("ID", "1"), ("Id", "1")]}, ["GET /box: query argument Id is not described"]),
        ({"body": {"Lid": {"Colour": "red", "Color": "red"}}}, ["POST /box: request field Color is not described"]),
        ({"body": {"Units": "2"}}, ["POST /box: request field Units is text, described as ['number']"]),
        ({"answer": [{"Units": 1, "Weight": 2}]}, ["POST /box: answer field Weight is not described"]),
    ],
)
def test_a_blueprint_is_read_to_the_letter(change: dict[str, Any], said: list[str]) -> None:
    body = {"Units": 2, "Note": 7, "Wide": True, "Paint": "x", "Lid": None}
    plain: dict[str, Any] = {"method": "POST", "path": "/v2/box", "query": [], "status": 200, "answer": None}
    assert Blueprint(SMALL).objections(Call(**{**plain, "body": body, **change}), "/v2") == said
