"""What becomes of orders once they are taken: staff take units off sales, parcels come back, somebody looks at them.

Rule: people act through the vendors' doors and the product's own desk, and what one of them has begun gets done.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2

from sellable.app.replaying import inspect_return
from sellable.runtime.database import Tx
from sellable.runtime.queries import queries
from sellable.sandbox.shop import CANCELLED, INSPECTION, SHELF, dice
from sellable.sandbox.shopper import Refused, Storefront
from sellable.simulation.picture import order_of

if TYPE_CHECKING:
    from sellable.simulation.virtual.world import World

sql = queries("sellable.simulation.virtual")
DESK_SECONDS = 20.0
LATE_SECONDS = (20.0, 120.0)
LOOK_SECONDS = (10.0, 60.0)
"""How long it takes until somebody tells the storefront, and until goods are looked at, or moved."""
AGREED_SECONDS = 300.0
"""After this long somebody cancels at the storefront what the product was to cancel there and did not."""


class AfterSale:
    """The people who deal with orders after the sale. `fates` is, by order and SKU, what the goods that came back were
    found to be, in the storefront's words."""

    def __init__(self, world: World, shopper: Storefront) -> None:
        self._world, self._shopper = world, shopper
        self._die = dice(world.plan.seed, "after the sale")
        self._errands: set[asyncio.Task[None]] = set()
        self._taken: list[tuple[float, str, str]] = []
        self._units: Counter[tuple[str, str]] = Counter()
        self._back: set[tuple[str, str]] = set()
        self.fates: dict[tuple[str, str], str] = {}
        self._verdicts: dict[tuple[str, str], str] = {}

    # --- staff take units off a sale ---------------------------------------------------------------------------------

    def reducible(self) -> dict[str, Any] | None:
        """A sale of which a unit could be taken: authorised, not picked, not being made smaller by its shopper."""
        fresh = [
            (sale, line)
            for sale, order in self._sales()
            if sale["order_status"] == "AUTHORISED" and order not in self._world.traffic.reducing
            and sale["shipping_status"] in ("NOT AVAILABLE", "NOT SHIPPED")
            for line in sale["lines"]
            if len(sale["lines"]) > 1 or line["quantity"] > 1
        ]  # fmt: skip
        if not fresh:
            return None
        sale, line = self._die.choice(fresh)
        kept = self._die.randrange(0 if len(sale["lines"]) > 1 else 1, line["quantity"])
        return {"reduce": sale["sale"], "sku": line["sku"], "to": kept}

    async def reduce(self, wish: dict[str, Any]) -> None:
        """Staff take units off a sale; where that alone cancels nothing, somebody tells the storefront too, later."""
        world = self._world
        sale, order = next((s, o) for s, o in self._sales() if s["sale"] == wish["reduce"])
        units = next(line["quantity"] for line in sale["lines"] if line["sku"] == wish["sku"]) - wish["to"]
        late = AGREED_SECONDS if world.plan.staff_cancels else self._die.uniform(*LATE_SECONDS)
        key = order, wish["sku"]
        # Noted first: when the day ends in the middle of it, it was done nevertheless.
        self._units[key] += units
        self._taken.append((world.loop.time() + late, *key))
        try:
            await world.control.act(staff=wish)
        except (ValueError, httpx2.HTTPError):
            self._units[key] -= units
            raise

    async def agree(self) -> None:
        """What staff took off long enough ago is cancelled at the storefront, unless it is already."""
        for row in self._taken[:]:
            at, order, sku = row
            if await self._cancelled(order, sku, due=at <= self._world.loop.time()):
                self._taken.remove(row)

    async def _cancelled(self, order: str, sku: str, *, due: bool) -> bool:
        """Whether as much of a line is cancelled as staff took off it; where that is `due`, it is done."""
        told = self._told(order)
        line = next(line for line in told["lines"] if self._world.rules.card(line["sku"]) == sku)
        less = self._units[order, sku] - line["in_state"].get(CANCELLED, 0)
        if told["orderState"] == "Cancelled" or less <= 0:
            return True
        if not due:
            return False
        with suppress(Refused, httpx2.HTTPError):
            return await self._shopper.cancel_units(order, line["line"], less, CANCELLED)
        return False

    # --- parcels come back -------------------------------------------------------------------------------------------

    def give_back(self) -> None:
        """Something comes back, whatever becomes of the day."""
        self._errand(self._give_back())

    async def _give_back(self) -> None:
        """Some units of something delivered come back: a credit note, and somebody who looks at them."""
        back = [
            (sale, order, line)
            for sale, order in self._sales()
            for line in sale["lines"]
            if line["shipped"] and (order, line["sku"]) not in self._back
        ]
        if not back:
            return
        sale, order, line = self._die.choice(back)
        units, sku = self._die.randint(1, min(2, line["shipped"])), line["sku"]
        self._back.add((order, sku))
        mine = next(row for row in self._told(order)["lines"] if self._world.rules.card(row["sku"]) == sku)
        if self._die.random() < 0.3:
            with suppress(Refused, httpx2.HTTPError):
                await self._shopper.give_back(order, {mine["line"]: units})
        place, bin_name, fate = self._arrives(sale["location"])
        parts = {c: n * units for c, n in self._world.rules.parts(sku).items()}
        goods = [{"SKU": c, "Quantity": n, "Location": f"{place}: {bin_name}"} for c, n in parts.items()]
        credit = {"credit": sale["sale"], "lines": [{"SKU": sku, "Quantity": units}], "restock": goods if place else []}
        await self._world.control.act(staff=credit)
        self._world.fired["returned"] += 1
        self.fates[order, sku] = {"shelf": "BackInStock", "gone": "Unusable"}.get(fate, "Returned")
        if fate == "inspection":
            await self._inspect(order, sku, place, bin_name, parts)

    def _arrives(self, shipped_from: str) -> tuple[str, str, str]:
        """Where goods are put: to be looked at here or at the returns centre, on the shelf at once, or nowhere."""
        centre = next(p.remote for p in self._world.shop.places if not p.sellable)
        ways = ((shipped_from, INSPECTION, "inspection"), (centre, SHELF, "inspection"), (shipped_from, SHELF, "shelf"),
                ("", "", "gone"))  # fmt: skip
        return self._die.choices(ways, (6, 2, 2, 2))[0]

    async def _inspect(self, order: str, sku: str, place: str, bin_name: str, parts: dict[str, int]) -> None:
        """Goods go on the shelf or in the bin, which the desk hears of sooner or later than the back office."""
        good, desk_first = self._die.random() < 0.6, self._die.random() < 0.5
        self.fates[order, sku] = "BackInStock" if good else "Unusable"
        await asyncio.sleep(self._die.uniform(*LOOK_SECONDS))
        if desk_first:
            self.found(order, sku, good=good)
            await asyncio.sleep(self._die.uniform(*LOOK_SECONDS))
        shelf = next(p.remote for p in self._world.shop.places if p.sellable)
        for component, units in parts.items():
            here = {"sku": component, "quantity": units}
            if good:
                to = place if bin_name == INSPECTION else shelf
                deed = {"transfer": {**here, "from": place, "from_bin": bin_name, "to": to, "to_bin": SHELF}}
            else:
                deed = {"write_off": {**here, "location": place, "bin": bin_name, "reference": "damaged"}}
            await self._world.control.act(**deed)
        self._world.fired["inspected"] += 1
        self.found(order, sku, good=good)

    def found(self, order: str, sku: str, *, good: bool) -> None:
        """Somebody has looked at what came back of a line: the desk may know."""
        self.fates[order, sku] = "BackInStock" if good else "Unusable"
        self._verdicts[order, sku] = "available" if good else "damaged"

    def decide(self) -> None:
        """A person at the desk says of each returned piece what became of it, as far as that is known."""
        world = self._world

        def decide(tx: Tx) -> int:
            rows = [(row, self._verdicts.get((row.order_id, row.sku))) for row in tx.all(sql.pieces_open)]
            return sum(
                inspect_return(
                    tx, world.configured, world.clock, "cli:desk", row.piece_id, fate, "looked at", world.ids
                )
                for row, fate in rows
                if fate is not None
            )

        world.fired["decided by a person"] += world.store.write_now(decide)

    # --- how it goes on ----------------------------------------------------------------------------------------------

    async def at_the_desk(self) -> None:
        """Until cancelled: what people have found out is told, at the storefront and at the desk."""
        while True:
            await asyncio.sleep(DESK_SECONDS)
            await self.agree()
            self.decide()

    async def restless(self) -> bool:
        """Whether goods, or people, are still on their way; what can be told is told. Raises what an errand raised."""
        for task in [task for task in self._errands if task.done()]:
            self._errands.discard(task)
            task.result()
        await self.agree()
        self.decide()
        return bool(self._errands or self._taken or self._open_pieces())

    def _open_pieces(self) -> int:
        return len(self._world.store.read_now(lambda tx: tx.all(sql.pieces_open)))

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        self._errands.add(asyncio.get_running_loop().create_task(work))

    def _sales(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Sales of our orders, with the order's id."""
        for sale in self._world.back_office.vendor.truth()["sales"]:
            order = order_of(sale["external_id"], self._world.shop.project)
            if order is not None:
                yield sale, order

    def _told(self, order: str) -> dict[str, Any]:
        """An order as the storefront has it."""
        found: dict[str, Any] = self._world.storefront.vendor.truth()["projects"][self._world.shop.project]
        return next(row for row in found["orders"] if row["id"] == order)
