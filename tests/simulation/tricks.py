"""What a mutant's day needs besides a plan: a shopper with one order, a list that lacks it, a process that sleeps.

Rule: a trick is played on the network or on a process, never inside the product.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2

from sellable.runtime import wanted
from sellable.sandbox.shop import INSPECTION, SHELF
from sellable.sandbox.shopper import Basket, BasketLine, Storefront
from sellable.simulation.virtual.menu import CT
from sellable.simulation.virtual.world import World

Prepare = Callable[[World], None]
SEEN_SECONDS = 160.0
"""After this long, what happened at the back office is known, even where idle loops are patient."""


async def doors_open(world: World) -> None:
    """Until trade begins."""

    async def open_() -> bool:
        return world.phase == "trading"

    await world.until(open_, 3600.0)


def goods_of(world: World) -> str:
    """A SKU that is no bundle."""
    return next(item.sku for item in world.shop.items if not item.recipe)


async def order(world: World, number: str, sku: str, units: int, mode: str = "ReserveOnOrder") -> None:
    """Somebody orders on web-eu."""
    shopper = Storefront(world.http, f"http://{CT}", world.shop)
    line = BasketLine(sku=sku, quantity=units)
    await shopper.order(Basket(number=number, channel="web-eu", country="DE", lines=(line,), mode=mode))


class Hiding(httpx2.AsyncBaseTransport):
    """The wire on which messages about an order, and its row in the list of changed orders, come `seconds`
    late. Asked for by a SKU or by its id it is there."""

    def __init__(self, world: World, inner: httpx2.AsyncBaseTransport, number: str, seconds: float) -> None:
        self._world, self._inner, self._number, self._seconds = world, inner, number, seconds
        self._until: float | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """All but what is hidden."""
        answer = await self._inner.handle_async_request(request)
        asked = str(request.url)
        if "/messages?" in asked or ("/orders?" in asked and "lastModifiedAt+%3E" in asked):
            page = json.loads(await answer.aread())
            page["results"] = [row for row in page["results"] if not self._hidden(row)]
            page["count"] = len(page["results"])
            headers = [(k, v) for k, v in answer.headers.items() if k.lower() != "content-length"]
            return httpx2.Response(answer.status_code, headers=headers, json=page, request=request)
        return answer

    def _hidden(self, row: dict[str, Any]) -> bool:
        names = row.get("resourceUserProvidedIdentifiers") or row
        if names.get("orderNumber") != self._number:
            return False
        now = self._world.loop.time()
        self._until = now + self._seconds if self._until is None else self._until
        return now < self._until


def unseen_order(number: str, seconds: float, *, mode: str, units: int, looked_at: bool) -> Prepare:
    """An order that lists lack for so long; another follows it. With `looked_at` its entry is read meanwhile."""

    async def story(world: World) -> None:
        await doors_open(world)
        await order(world, number, goods_of(world), units, mode)
        await asyncio.sleep(20.0)
        await order(world, "S-LATER", world.shop.items[1].sku, 1)
        if looked_at:
            now, key = world.clock.now(), f"web-eu|{goods_of(world)}"
            world.store.write_now(lambda tx: wanted.want(tx, "commercetools", "entry", [key], 0, now))

    def prepare(world: World) -> None:
        for process in world.processes:
            process._transport = Hiding(world, process._transport, number, seconds)
        world.loop.create_task(story(world))

    return prepare


def undone_sale(units: int) -> Prepare:
    """Staff undo a sale that every number contains; when that has been seen, somebody orders all that is shown."""

    async def story(world: World) -> None:
        await doors_open(world)
        sku = goods_of(world)
        await order(world, "S-UNDONE", sku, units)
        await asyncio.sleep(140.0)
        (sale,) = world.back_office.vendor.truth()["sales"]
        world.fired["staff undo"] += 1
        await world.control.act(staff={"undo": sale["sale"]})
        await asyncio.sleep(80.0)
        shown = await Storefront(world.http, f"http://{CT}", world.shop).available(sku, "web-eu")
        await order(world, "S-ALL", sku, shown)

    def prepare(world: World) -> None:
        world.loop.create_task(story(world))

    return prepare


def carried_away(units: int) -> Prepare:
    """Between the answer to an authorised sale and its allocation somebody carries away all that lies there; when that
    must have been seen, somebody orders all that is shown. Allocation must take longer than between two looks."""

    async def story(world: World) -> None:
        def authorised() -> list[dict[str, Any]]:
            return [s for s in world.back_office.vendor.truth()["sales"] if s["order_status"] == "AUTHORISED"]

        async def answered() -> bool:
            return bool(authorised())

        await doors_open(world)
        sku = goods_of(world)
        await order(world, "S-LATE", sku, units)
        await world.until(answered, SEEN_SECONDS)
        (sale,) = authorised()
        shelf = {"sku": sku, "location": sale["location"], "bin": SHELF, "quantity": 1_000}
        await world.control.act(sell_at_counter=shelf)
        await asyncio.sleep(SEEN_SECONDS)
        shown = await Storefront(world.http, f"http://{CT}", world.shop).available(sku, "web-eu")
        await order(world, "S-ALL", sku, shown)

    def prepare(world: World) -> None:
        world.loop.create_task(story(world))

    return prepare


def in_a_cart(units: int) -> Prepare:
    """Goods lie in a cart while their entry is read and judged; somebody else buys all that is shown, then the cart is
    ordered."""

    async def story(world: World) -> None:
        await doors_open(world)
        sku, shopper = goods_of(world), Storefront(world.http, f"http://{CT}", world.shop)
        line = BasketLine(sku=sku, quantity=units)
        basket = Basket(number="S-CART", channel="web-eu", country="DE", lines=(line,), mode="ReserveOnCart")
        cart = await shopper.fill(basket)
        now = world.clock.now()
        world.store.write_now(lambda tx: wanted.want(tx, "commercetools", "entry", [f"web-eu|{sku}"], 0, now))
        await asyncio.sleep(SEEN_SECONDS)
        await order(world, "S-ALL", sku, await shopper.available(sku, "web-eu"))
        await asyncio.sleep(10.0)
        await shopper.check_out(basket, cart)

    def prepare(world: World) -> None:
        world.loop.create_task(story(world))

    return prepare


def sent_back(units: int) -> Prepare:
    """Goods that were delivered come back to be inspected; meanwhile somebody orders all that is shown."""

    async def story(world: World) -> None:
        def delivered() -> list[dict[str, Any]]:
            sales = world.back_office.vendor.truth()["sales"]
            return [s for s in sales if all(x["shipped"] == x["quantity"] for x in s["lines"])]

        async def left() -> bool:
            return bool(delivered())

        await doors_open(world)
        sku = goods_of(world)
        await order(world, "S-BACK", sku, units)
        await world.until(left, 300.0)
        (sale,) = delivered()
        place = f"{sale['location']}: {INSPECTION}"
        credit = {"credit": sale["sale"], "lines": [{"SKU": sku, "Quantity": units}],
                  "restock": [{"SKU": sku, "Quantity": units, "Location": place}]}  # fmt: skip
        await world.control.act(staff=credit)
        world.fired["returned"] += 1
        await asyncio.sleep(SEEN_SECONDS)
        await order(
            world, "S-ALL", sku, await Storefront(world.http, f"http://{CT}", world.shop).available(sku, "web-eu")
        )
        goods = {"sku": sku, "location": sale["location"], "bin": INSPECTION, "quantity": units, "reference": "damaged"}
        await world.control.act(write_off=goods)
        world.after_sale.found(sale["external_id"].split(":")[1], sku, good=False)

    def prepare(world: World) -> None:
        world.loop.create_task(story(world))

    return prepare


def lines_taken_off() -> Prepare:
    """Staff take a line off a sale of two, then, when that was seen, a unit of the other."""

    async def story(world: World) -> None:
        def sale() -> dict[str, Any] | None:
            live = (s for s in world.back_office.vendor.truth()["sales"] if s["order_status"] == "AUTHORISED")
            return next(live, None)

        async def sold() -> bool:
            return sale() is not None

        await doors_open(world)
        first, second = (item.sku for item in world.shop.items[:2])
        shopper = Storefront(world.http, f"http://{CT}", world.shop)
        lines = (BasketLine(sku=first, quantity=2), BasketLine(sku=second, quantity=3))
        await shopper.order(Basket(number="S-TWO", channel="web-eu", country="DE", lines=lines))
        await world.until(sold, SEEN_SECONDS)
        await asyncio.sleep(60.0)
        for sku, to in ((first, 0), (second, 2)):
            found = sale()
            assert found is not None
            await world.control.act(staff={"reduce": found["sale"], "sku": sku, "to": to})
            world.fired["staff reduce"] += 1
            await asyncio.sleep(60.0)

    def prepare(world: World) -> None:
        world.loop.create_task(story(world))

    return prepare
