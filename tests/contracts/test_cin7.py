"""The Cin7 Core connector against the simulated vendor, over real HTTP. The simulator shares no code with it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest

from sellable.config import settings as config
from sellable.connectors.cin7_core import registration, webhooks
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.port import (
    LimitReached,
    Misconfigured,
    Refused,
    Sale,
    SaleCharge,
    SaleDraft,
    SaleLine,
    SaleTotals,
    StockRow,
    Unavailable,
)
from sellable.domain.orders import Address
from sellable.domain.stock import State
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort, OutcomeLost

SPEED = 60.0
PLACES = Places(
    [config.Location(name="berlin", master="cin7_core", remote="Main Warehouse")],
    [
        config.StateRule(location="berlin", bin="*", state=State.AVAILABLE),
        config.StateRule(location="berlin", bin="QC", state=State.INSPECTION),
    ],
)
WORLD = {
    "locations": [{"name": "Main Warehouse", "bins": ["A-1", "QC"], "staging": []}, {"name": "Shop", "bins": []}],
    "tax_rules": [
        {"name": "VAT 19", "percent": 19, "inclusive": False},
        {"name": "VAT 19 incl", "percent": 19, "inclusive": True},
    ],
    "customers": [{"name": "Web EUR", "currency": "EUR", "tax_rule": "VAT 19"}],
    "carriers": ["DHL"],
    "products": [{"sku": "Shipping", "name": "Shipping", "price": 0, "type": "Service", "tax_rule": "VAT 19"}],
}


@pytest.fixture(scope="module")
def vendor() -> Iterator[str]:
    """Address of a simulator whose minutes are seconds."""
    clock = Clock(speed=SPEED, origin=time.time(), start=time.time())
    process = subprocess.Popen(
        [sys.executable, "-m", "sellable.sandbox", "cin7"],
        stdout=subprocess.PIPE,
        env=os.environ | {"SELLABLE_CLOCK": clock.text()},
    )
    try:
        assert process.stdout is not None
        address = msgspec.json.decode(process.stdout.readline())["ready"]
        httpx2.post(f"{address}/_sandbox/load", json=WORLD).raise_for_status()
        yield address
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@dataclass
class Shop:
    """One test's account at the vendor: keys of its own, and SKUs nobody else uses."""

    address: str
    account: str = field(default_factory=lambda: str(uuid4()))
    key: str = field(default_factory=lambda: str(uuid4()))
    read_key: str = field(default_factory=lambda: str(uuid4()))
    name: str = field(default_factory=lambda: uuid4().hex[:8].upper())

    def sku(self, name: str = "CHAIR") -> str:
        return f"{self.name}-{name}"

    def control(self, path: str, document: Any) -> Any:
        reply = httpx2.post(f"{self.address}/_sandbox/{path}", json=document)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def load(
        self,
        *,
        stock: Sequence[tuple[str, str, str | None, int]] = (),
        kits: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    ) -> None:
        """Products and stock: (name, location, bin, units), kits by name."""
        names = dict.fromkeys([name for name, *_ in stock])
        self.control(
            "load",
            {
                "products": [self._product(name) for name in names]
                + [
                    self._product(kit) | {"bom": {self.sku(name): units for name, units in recipe.items()}}
                    for kit, recipe in kits.items()
                ],
                "stock": [
                    {"sku": self.sku(name), "location": location, "bin": bin_, "quantity": units}
                    for name, location, bin_, units in stock
                ],
            },
        )

    def _product(self, name: str) -> dict[str, Any]:
        return {"sku": self.sku(name), "name": name, "price": 10, "type": "Stock", "cost": 4, "tax_rule": "VAT 19"}

    def faults(self, *faults: dict[str, Any]) -> None:
        self.control("faults", list(faults))

    def settings(self) -> config.Cin7Core:
        return config.Cin7Core(
            account_id=self.account,
            key=self.key,
            read_key=self.read_key,
            base_url=f"{self.address}/ExternalApi/v2/",
            insecure=True,
        )

    def run(self, do: Callable[[Cin7Core], Awaitable[Any]], **changes: Any) -> Any:
        settings = self.settings()

        async def scenario() -> Any:
            async with httpx2.AsyncClient() as client:
                http = HttpPort(client, Clock(), None)
                return await do(Cin7Core(http, None, msgspec.structs.replace(settings, **changes), PLACES))

        return asyncio.run(scenario())

    def draft(self, *lines: tuple[str, int, str], ref: str = "", included: bool = False) -> SaleDraft:
        """(name, units, unit price) each; tax is 19 %, rounded by line."""
        rule = "VAT 19 incl" if included else "VAT 19"
        made = []
        for name, units, price in lines:
            total = Decimal(price) * units
            tax = total * 19 / 119 if included else total * 19 / 100
            made.append(
                SaleLine(
                    sku=self.sku(name),
                    name=name,
                    quantity=units,
                    price=Decimal(price),
                    tax=tax.quantize(Decimal("0.01")),
                    total=total,
                    tax_rule=rule,
                )
            )
        charge = SaleCharge(
            description="Shipping",
            quantity=1,
            price=Decimal("4.76") if included else Decimal("4.00"),
            tax=Decimal("0.76"),
            total=Decimal("4.76") if included else Decimal("4.00"),
            tax_rule=rule,
        )
        return SaleDraft(
            ref=ref or f"shop:{self.name}:1",
            order_number=self.name,
            customer="Web EUR",
            location="berlin",
            currency="EUR",
            tax_rule=rule,
            tax_included=included,
            placed_on="2026-11-21",
            email="ann@example.com",
            shipping_address=Address(name="Ann", line1="Street 1", city="Berlin", postcode="10115", country="Germany"),
            billing_address=Address(),
            carrier="DHL",
            note="",
            lines=tuple(made),
            charges=(charge,),
        )

    async def available(self, client: Cin7Core, name: str = "CHAIR") -> int:
        """Sum of what berlin can sell."""
        rows: tuple[StockRow, ...] = (await client.stock_of(self.sku(name), lane="stock")).rows
        return sum(row.available for row in rows if row.state is State.AVAILABLE)


@pytest.fixture
def shop(vendor: str) -> Iterator[Shop]:
    shop = Shop(vendor)
    shop.control("load", {"keys": [{"account": shop.account, "key": key} for key in (shop.key, shop.read_key)]})
    yield shop
    shop.faults()


def test_credentials_and_reference_data(shop: Shop) -> None:
    async def look(client: Cin7Core) -> None:
        assert (await client.me(lane="reads")).tax_calculation_method == "Row Total"
        places = await client.locations(lane="reads")
        assert {p.name for p in places} == {"Main Warehouse", "Shop"}
        rules = await client.tax_rules(lane="reads")
        assert [(r.name, r.percent, r.included, r.active) for r in rules] == [
            ("VAT 19", 19, False, True),
            ("VAT 19 incl", 19, True, True),
        ]

    shop.run(look)
    with pytest.raises(Misconfigured):
        shop.run(lambda c: c.me(lane="reads"), read_key=str(uuid4()))


def test_a_wrong_path_is_a_configuration_error_never_an_empty_list(shop: Shop) -> None:
    with pytest.raises(Misconfigured):
        shop.run(lambda c: c.stock_page(None, 1, lane="stock"), base_url=f"{shop.address}/ExternalApi/v3/")
    shop.faults({"name": "page", "effect": "html", "match": "productavailability"})
    with pytest.raises(Misconfigured):
        shop.run(lambda c: c.stock_page(None, 1, lane="stock"))


def test_stock_by_location_bin_and_state(shop: Shop) -> None:
    shop.load(
        stock=[
            ("CHAIR", "Main Warehouse", None, 10),
            ("CHAIR", "Main Warehouse", "A-1", 5),
            ("CHAIR", "Main Warehouse", "QC", 2),
            ("CHAIR", "Shop", None, 3),
            ("CHAIR-XL", "Main Warehouse", None, 7),
        ]
    )

    async def look(client: Cin7Core) -> None:
        one = await client.stock_of(shop.sku(), lane="stock")
        assert {(r.part, r.state, r.available) for r in one.rows} == {
            ("", State.AVAILABLE, 10),
            ("A-1", State.AVAILABLE, 5),
            ("QC", State.INSPECTION, 2),
        }
        assert one.received == one.total == 5  # the shop's row and the longer SKU's were read and ignored
        page = await client.stock_page("berlin", 1, lane="stock")
        assert page.received == page.total
        assert {r.location for r in page.rows} == {"berlin"}
        assert page.faults == ()
        alike = await client.stock_like(shop.sku("CHAI"), lane="stock")
        assert alike.received == alike.total == 5
        assert {r.sku for r in alike.rows} == {shop.sku("CHAIR"), shop.sku("CHAIR-XL")}
        nothing = await client.stock_of(shop.sku("GHOST"), lane="stock")
        assert (nothing.rows, nothing.received, nothing.total) == ((), 0, 0)

    shop.run(look)


def test_a_sale_from_draft_to_authorised_and_back(shop: Shop) -> None:
    shop.load(stock=[("CHAIR", "Main Warehouse", None, 10)])
    draft = shop.draft(("CHAIR", 3, "5.00"))
    totals = SaleTotals(net=1900, tax=361, gross=2261)

    async def live(client: Cin7Core) -> None:
        sale_id = await client.create_draft(draft, lane="orders")
        (row,) = await client.find_by_ref(draft.ref, lane="repair")
        assert (row.sale_id, row.status, row.shipped) == (sale_id, "draft", False)
        for _ in range(2):  # a draft may be sent again
            sale = await client.put_lines(sale_id, draft, authorise=False, lane="orders")
            assert (sale.status, sale.totals, sale.lines[0].backorder) == ("draft", totals, 3)
        assert await shop.available(client) == 10
        sale = await client.put_lines(sale_id, draft, authorise=True, lane="orders")
        assert (sale.status, sale.totals, sale.faults) == ("authorised", totals, ())
        assert [(a.quantity, a.backorder) for a in sale.lines] == [(3, 0)]
        assert await shop.available(client) == 7
        with pytest.raises(Refused):
            await client.put_lines(sale_id, draft, authorise=True, lane="orders")
        read = await client.read_sale(sale_id.upper(), lane="reads")
        assert (read.sale_id, read.ref, read.location, read.status) == (sale_id, draft.ref, "berlin", "authorised")
        assert (read.lines, read.totals, read.shipments, read.picked) == (sale.lines, totals, (), False)
        await client.void_sale(sale_id, undo=True, lane="orders")
        assert await shop.available(client) == 10
        assert (await client.read_sale(sale_id, lane="reads")).status == "draft"
        await client.void_sale(sale_id, undo=False, lane="orders")
        assert [r.status for r in await client.find_by_ref(draft.ref, lane="repair")] == ["voided"]

    shop.run(live)


def test_totals_of_a_sale_with_tax_included(shop: Shop) -> None:
    shop.load(stock=[("CHAIR", "Main Warehouse", None, 10)])
    draft = shop.draft(("CHAIR", 3, "11.90"), included=True)

    async def live(client: Cin7Core) -> Sale:
        sale_id = await client.create_draft(draft, lane="orders")
        return await client.put_lines(sale_id, draft, authorise=False, lane="orders")

    assert shop.run(live).totals == SaleTotals(net=3400, tax=646, gross=4046)


def test_what_is_short_is_backordered_and_said(shop: Shop) -> None:
    shop.load(stock=[("CHAIR", "Main Warehouse", None, 10)])
    draft = shop.draft(("CHAIR", 15, "1.00"))

    async def live(client: Cin7Core) -> None:
        sale_id = await client.create_draft(draft, lane="orders")
        sale = await client.put_lines(sale_id, draft, authorise=True, lane="orders")
        assert [(a.quantity, a.backorder) for a in sale.lines] == [(15, 5)]

    shop.run(live)


def test_a_kit_and_its_recipe(shop: Shop) -> None:
    shop.load(stock=[("LEG", "Main Warehouse", None, 9)], kits={"STOOL": {"LEG": 4}})

    async def look(client: Cin7Core) -> None:
        page = await client.catalogue_page(1, since=None, lane="reads")
        assert page.received == page.total
        items = {item.sku: item for item in page.items}
        stool = items[shop.sku("STOOL")]
        assert (stool.kit, stool.recipe, stool.sellable, stool.fault) == (True, ((shop.sku("LEG"), 4),), True, "")
        assert items["Shipping"].service
        draft = shop.draft(("STOOL", 1, "20.00"))
        sale_id = await client.create_draft(draft, lane="orders")
        sale = await client.put_lines(sale_id, draft, authorise=True, lane="orders")
        assert [(a.sku, a.quantity) for a in sale.lines] == [(shop.sku("STOOL"), 1)]
        assert await shop.available(client, "LEG") == 5

    shop.run(look)


@pytest.mark.parametrize("split", [0.0, 1.0])
def test_what_the_warehouse_ships_comes_as_parcels(shop: Shop, split: float) -> None:
    shop.load(stock=[("CHAIR", "Main Warehouse", None, 10), ("TABLE", "Main Warehouse", None, 10)])
    draft = shop.draft(("CHAIR", 3, "1.00"), ("TABLE", 1, "5.00"))
    shop.control(
        "act",
        {
            "warehouse": {
                "auto": True,
                "pick_after_seconds": 2,
                "ship_after_seconds": 2,
                "split_rate": split,
                "carrier": "DHL",
            }
        },
    )

    async def live(client: Cin7Core) -> None:
        sale_id = await client.create_draft(draft, lane="orders")
        await client.put_lines(sale_id, draft, authorise=True, lane="orders")
        wanted = {shop.sku("CHAIR"): 3, shop.sku("TABLE"): 1}
        shipped: dict[str, int] = {}
        async with asyncio.timeout(20):
            while shipped != wanted:
                await asyncio.sleep(0.2)
                sale = await client.read_sale(sale_id, lane="reads")
                shipped = {}
                for shipment in sale.shipments:
                    for sku, units in shipment.items:
                        shipped[sku] = shipped.get(sku, 0) + units
        assert sale.faults == ()
        parcels = [parcel for shipment in sale.shipments for parcel in shipment.parcels]
        assert all(p.carrier == "DHL" and p.tracking and p.items for p in parcels)
        assert sum(units for p in parcels for _, units in p.items) == 4
        assert sale.picked
        (row,) = await client.find_by_ref(draft.ref, lane="repair")
        assert row.shipped
        with pytest.raises(Refused) as refusal:
            await client.void_sale(sale_id, undo=False, lane="orders")
        assert refusal.value.code == "too_late"

    try:
        shop.run(live)
    finally:
        shop.control("act", {"warehouse": {"auto": False}})


def test_refusals_say_what_is_wrong(shop: Shop) -> None:
    shop.load(stock=[("CHAIR", "Main Warehouse", None, 10)])
    draft = shop.draft(("GHOST", 1, "1.00"))

    async def live(client: Cin7Core) -> None:
        sale_id = await client.create_draft(draft, lane="orders")
        with pytest.raises(Refused) as refusal:
            await client.put_lines(sale_id, draft, authorise=True, lane="orders")
        assert refusal.value.detail["errors"]
        with pytest.raises(Refused):
            await client.read_sale(str(uuid4()), lane="reads")

    shop.run(live)


@pytest.mark.parametrize(
    ("fault", "family"),
    [
        ({"effect": "reset", "when": "after"}, OutcomeLost),
        ({"effect": "truncate", "when": "after"}, Unavailable),
        ({"effect": "html", "when": "after"}, Unavailable),
        ({"effect": "status", "when": "after", "status": 500}, Unavailable),
    ],
)
def test_a_lost_answer_leaves_one_sale_to_be_found(shop: Shop, fault: dict[str, Any], family: type[Exception]) -> None:
    shop.load(stock=[("CHAIR", "Main Warehouse", None, 10)])
    draft = shop.draft(("CHAIR", 1, "1.00"))
    shop.faults(fault | {"name": "lost", "match": "^POST .*/sale$"})

    async def live(client: Cin7Core) -> None:
        with pytest.raises(family):
            await client.create_draft(draft, lane="orders")
        assert len(await client.find_by_ref(draft.ref, lane="repair")) == 1

    shop.run(live)


@pytest.mark.parametrize("effect", ["truncate", "wrong_type"])
def test_a_damaged_page_is_never_a_shorter_one(shop: Shop, effect: str) -> None:
    shop.load(stock=[("CHAIR", "Main Warehouse", None, 10)])
    shop.faults({"name": "damage", "effect": effect, "when": "after", "match": "productavailability"})
    try:
        page = shop.run(lambda c: c.stock_of(shop.sku(), lane="stock"))
    except (Unavailable, Refused):
        assert effect == "truncate"
    else:
        assert [r.available for r in page.rows] == [10]


def test_the_limit_is_met_and_named(shop: Shop) -> None:
    async def hurry(client: Cin7Core) -> None:
        for _ in range(70):
            await client.me(lane="reads")

    with pytest.raises(LimitReached) as limit:
        shop.run(hurry)
    assert limit.value.after_seconds == 60


def test_transfers_that_moved_stock(shop: Shop) -> None:
    shop.load(stock=[("CHAIR", "Main Warehouse", None, 10)])

    async def look(client: Cin7Core) -> None:
        _, mark = await client.transfers_touched("", lane="reads")
        assert (await client.transfers_touched(mark, lane="reads"))[0] == frozenset()
        shop.control("act", {"transfer": {"sku": shop.sku(), "from": "Main Warehouse", "to": "Shop", "quantity": 4}})
        skus, mark = await client.transfers_touched(mark, lane="reads")
        assert skus == {shop.sku()}
        assert (await client.transfers_touched(mark, lane="reads"))[0] == frozenset()

    shop.run(look)


def test_changed_sales_since_an_instant(shop: Shop) -> None:
    draft = shop.draft(ref=f"shop:{shop.name}:2")

    async def look(client: Cin7Core) -> None:
        sale_id = await client.create_draft(draft, lane="orders")
        page = await client.sales_page(1, updated_since="2020-01-01T00:00:00Z", lane="reads")
        (row,) = [r for r in page.rows if r.sale_id == sale_id]
        assert (row.ref, row.reference, row.location) == (draft.ref, draft.order_number, "berlin")
        assert row.updated.endswith("Z")
        later = await client.sales_page(1, updated_since="2100-01-01T00:00:00Z", lane="reads")
        assert (later.rows, later.total) == ((), 0)

    shop.run(look)


def test_a_search_finds_parts_of_words_so_references_are_compared_by_whoever_asks(shop: Shop) -> None:
    numbers = [f"{shop.name}-1", f"{shop.name}-10", f"x{shop.name}-1", f"{shop.name}-1".lower()]

    async def look(client: Cin7Core) -> None:
        for place, number in enumerate(numbers):
            draft = msgspec.structs.replace(shop.draft(ref=f"shop:{shop.name}:{place}"), order_number=number)
            await client.create_draft(draft, lane="orders")
        found = await client.search_sales(numbers[0], lane="reads")
        assert sorted(row.reference for row in found) == sorted(numbers)

    shop.run(look)


def test_webhooks_are_kept_registered_and_awake(shop: Shop) -> None:
    url = f"https://us.example/hooks/{shop.name}"

    async def live(client: Cin7Core) -> None:
        assert await registration.watch(client, url, "s3cret", lane="repair") == list(webhooks.TYPES)
        assert await registration.watch(client, url, "s3cret", lane="repair") == []
        mine = [row for row in await client.webhooks(lane="repair") if row.external_url == url]
        asleep = {"ID": mine[0].id, "Type": mine[0].type, "ExternalURL": url, "IsActive": False}
        await client.put_webhook(asleep, lane="repair")
        assert await registration.watch(client, url, "s3cret", lane="repair") == [mine[0].type]
        for row in mine:
            await client.delete_webhook(row.id or "", lane="repair")

    shop.run(live)
