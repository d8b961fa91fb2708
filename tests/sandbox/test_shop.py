"""The made-up shop: one value, three tellings that agree; and traffic that really trades."""

from __future__ import annotations

import asyncio
import tomllib
from collections import Counter
from typing import Any

import httpx2
import msgspec
import pytest

from sellable.config.secrets import key_of
from sellable.config.settings import Settings
from sellable.domain.stock import State
from sellable.sandbox import cin7, commercetools, orderflow
from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox
from sellable.sandbox.shop import SHELF, Shop
from sellable.sandbox.shopper import Basket, BasketLine, Control, Extra, Refused, Storefront
from sellable.sandbox.traffic import Tempo, Traffic

SHOP = Shop.demo(seed=3, skus=60, bundles=4)


def test_the_demo_is_a_shop_of_2000_with_bundles_that_share_components() -> None:
    shop = Shop.demo()
    assert len(shop.items) == 2040
    assert len({item.sku.lower() for item in shop.items}) == 2040
    parts = [component for recipe in shop.recipes.values() for component in recipe]
    assert len(shop.recipes) == 40
    assert len(set(parts)) < len(parts)
    assert not {sku for sku, *_ in shop.stock} & set(shop.recipes)
    scarce = sum(1 for sku, _, bin_name, units in shop.stock if bin_name == SHELF and units <= 5)
    assert scarce > len(shop.stock) / 3


def test_everything_follows_from_the_seed() -> None:
    assert Shop.demo(7, 50, 2) == Shop.demo(7, 50, 2)
    assert Shop.demo(7, 50, 2) != Shop.demo(8, 50, 2)


def test_the_settings_file_is_what_the_product_reads() -> None:
    text = SHOP.settings_toml("http://ct", "http://cin7", "data", "", start_at="2026-01-01T00:00:00Z",
                              tempo={"sweep_seconds": 60.0})  # fmt: skip
    settings = msgspec.convert(tomllib.loads(text), Settings)
    assert {c.key: (c.pool, c.buffer, c.cap) for c in settings.channels} == {
        "web-eu": ("eu", 0, None), "web-uk": ("uk", 1, None), "pickup": ("city", 0, 20),
    }  # fmt: skip
    again = SHOP.settings_toml(
        "http://ct", "http://cin7", "data", "", start_at="2026-01-01T00:00:00Z", payload_key="file:k"
    )
    assert len(key_of(settings.service.payload_key)) == 32
    assert msgspec.convert(tomllib.loads(again), Settings).service.payload_key == "file:k"
    states = {(rule.location, rule.bin): rule.state for rule in settings.states}
    assert states["returns", "*"] is State.INSPECTION
    assert (states["north", "*"], states["north", "INSPECTION"]) == (State.AVAILABLE, State.INSPECTION)
    assert settings.cin7_core.key != settings.cin7_core.read_key
    assert settings.cin7_core.sweep_seconds == 60.0
    remotes = {place.name: place.remote for place in settings.locations}
    seed = SHOP.cin7()
    assert set(remotes.values()) == {location["name"] for location in seed["locations"]}
    assert {tax.rule for tax in settings.taxes} == {rule["name"] for rule in seed["tax_rules"]}


class Stage:
    """Both simulators in process, with the storefront filled by hand."""

    def __init__(self) -> None:
        clock = Clock(speed=600)
        self.clock = clock
        self.ct: Sandbox = commercetools.build(clock, 1)
        self.cin7: Sandbox = cin7.build(clock, 1)
        seed = SHOP.commercetools()
        for entry in seed["inventory"]:
            entry["quantity"] = 5
        self.ct.load(seed)
        self.cin7.load(msgspec.json.decode(msgspec.json.encode(SHOP.cin7())))
        mounts = {
            "http://ct": httpx2.ASGITransport(app=self.ct.asgi),
            "http://cin7": httpx2.ASGITransport(app=self.cin7.asgi),
        }
        self.http = httpx2.AsyncClient(mounts=mounts, trust_env=False)
        self.storefront = Storefront(self.http, "http://ct", SHOP)
        self.warehouse = Control(self.http, "http://cin7")

    async def close(self) -> None:
        await self.http.aclose()
        await self.ct.vendor.stop()
        await self.cin7.vendor.stop()

    def rows(self, what: str) -> list[dict[str, Any]]:
        box = self.cin7 if what == "stock" else self.ct
        return [row for row in box.journal.since(0, 10**6) if row["what"] == what]


def on_stage(story: Any) -> None:
    async def play() -> None:
        stage = Stage()
        try:
            await story(stage)
        finally:
            await stage.close()

    asyncio.run(play())


def plain_item(*, reduced: bool = False) -> str:
    return next(item.sku for item in SHOP.items if item.reduced == reduced and not item.recipe)


def test_an_order_in_one_rate_and_one_in_two() -> None:
    async def story(stage: Stage) -> None:
        chair, tea = plain_item(), plain_item(reduced=True)
        lines = (BasketLine(sku=chair, quantity=1, price_cents=1190), BasketLine(sku=chair, quantity=2))
        extras = (Extra(name="Gift wrap", quantity=1, price_cents=300),)
        placed = await stage.storefront.order(
            Basket(number="A", channel="web-eu", country="DE", lines=lines, extras=extras)
        )
        assert sorted(placed.lines.values()) == [(chair, 1), (chair, 2)]
        order = await stage.storefront.read(placed.id)
        assert {line["taxRate"]["amount"] for line in order["lineItems"]} == {0.19}
        lines = (BasketLine(sku=chair, quantity=1), BasketLine(sku=tea, quantity=1))
        placed = await stage.storefront.order(Basket(number="B", channel="web-eu", country="DE", lines=lines))
        order = await stage.storefront.read(placed.id)
        assert sorted(line["taxRate"]["amount"] for line in order["lineItems"]) == [0.07, 0.19]
        assert order["taxedPrice"]["totalGross"]["centAmount"] == order["totalPrice"]["centAmount"]

    on_stage(story)


def test_what_is_sold_out_is_named_and_orders_can_be_called_off() -> None:
    async def story(stage: Stage) -> None:
        sku = plain_item()
        assert await stage.storefront.available(sku, "web-eu") == 5
        basket = Basket(number="A", channel="web-eu", country="DE", lines=(BasketLine(sku=sku, quantity=6),))
        with pytest.raises(Refused) as refused:
            await stage.storefront.order(basket)
        assert (refused.value.code, refused.value.skus) == ("OutOfStock", (sku,))
        less = Basket(number="A", channel="web-eu", country="DE", lines=(BasketLine(sku=sku, quantity=1),))
        placed = await stage.storefront.order(less)
        assert not await stage.storefront.give_back(placed.id, dict.fromkeys(placed.lines, 1))
        assert await stage.storefront.cancel(placed.id)
        assert (await stage.storefront.read(placed.id))["orderState"] == "Cancelled"

    on_stage(story)


class Tally(Counter[str]):
    """Counts, and a signal for when each of some things has happened twice."""

    def __init__(self, *wanted: str) -> None:
        super().__init__()
        self.wanted, self.twice_each = wanted, asyncio.Event()

    def __setitem__(self, what: str, times: int) -> None:
        super().__setitem__(what, times)
        if min(self[name] for name in self.wanted) >= 2:
            self.twice_each.set()


def test_a_day_of_traffic_moves_both_worlds() -> None:
    async def story(stage: Stage) -> None:
        tempo = Tempo(
            orders=30, counter_sales=10, deliveries=10, inspections=10, transfers=5, write_offs=5, cancelled=1
        )
        traffic = Traffic(SHOP, stage.storefront, stage.warehouse, stage.clock, 1, tempo)
        stop = asyncio.Event()
        traffic.counts = seen = Tally("orders", "counter sales", "deliveries", "inspections", "transfers", "cancelled")
        trading = asyncio.create_task(traffic.run(stop))
        await asyncio.wait_for(seen.twice_each.wait(), 30)
        stop.set()
        await trading
        assert traffic.counts["no answer"] == 0
        assert len(stage.rows("order_accepted")) == traffic.counts["orders"]
        assert len(stage.rows("order_cancelled")) == traffic.counts["cancelled"]
        causes = {row["cause"] for row in stage.rows("stock")}
        assert causes >= {"counter_sale", "receive", "transfer_out", "transfer_in"}

    on_stage(story)


def test_the_warehouse_system_is_told_the_same_goods() -> None:
    box = orderflow.build(Clock(), 1)
    box.load(SHOP.orderflow())
    truth = box.vendor.truth()
    remote = {place.name: place.remote for place in SHOP.places}
    told = {(row["sku"], row["site"], kind): row[kind] for row in truth["stock"] for kind in ("good", "inspection")}
    wanted = Counter[tuple[str, str, str]]()
    for sku, place, bin_name, units in SHOP.stock:
        wanted[sku, remote[place], "good" if bin_name == SHELF else "inspection"] += units
    assert {key: units for key, units in told.items() if units} == {key: n for key, n in wanted.items() if n}
    assert {row["sku"] for row in truth["products"] if row["type"] == "bundle"} == set(SHOP.recipes)
