"""A shop's day: shoppers at three storefronts, a counter that sells the same shelf, trucks, inspections, returns.

Rule: it acts through public doors and on the simulated clock, and every throw of a die follows from the seed.
"""

import asyncio
import itertools
from bisect import bisect
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from sellable.sandbox.clock import Clock
from sellable.sandbox.shop import CANCELLED, INSPECTION, SHELF, Item, SalesChannel, Shop, dice
from sellable.sandbox.shopper import Basket, BasketLine, Control, Placed, Refused, Storefront

RECENT = 200
SOLD_OUT_SECONDS = 600.0
"""So long (simulated) nobody tries again to order what was sold out: a storefront greys it out."""
AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class Tempo:
    """How lively the day is: events per simulated minute, and the shares of orders that come to be cancelled, made
    smaller (units of a line cancelled, a second time in a third of them) or sent back. `skew` is the exponent of the
    popularity curve; `flash` multiplies orders on a hundredth of the SKUs; `sold_out_seconds` is how long nobody tries
    again to order what was sold out; `abandoned` is the share of carts with goods held in them that nobody orders."""

    orders: float = 6.0
    counter_sales: float = 2.0
    deliveries: float = 1.0
    inspections: float = 0.5
    transfers: float = 0.2
    write_offs: float = 0.1
    cancelled: float = 0.04
    reduced: float = 0.0
    returned: float = 0.03
    skew: float = 0.9
    flash: float = 1.0
    sold_out_seconds: float = SOLD_OUT_SECONDS
    abandoned: float = 0.2


class Traffic:
    """Everything that happens to the shop from outside. `counts` says how often what happened, `reducing` are the ids
    of orders whose shoppers cancel units of a line, or will."""

    def __init__(
        self, shop: Shop, storefront: Storefront, warehouse: Control, clock: Clock, seed: int, tempo: Tempo
    ) -> None:
        self._shop, self._storefront, self._warehouse, self._clock = shop, storefront, warehouse, clock
        self.tempo = tempo
        self.counts: Counter[str] = Counter()
        self.reducing: set[str] = set()
        self._die = dice(seed, "traffic")
        self._numbers = itertools.count(1)
        self._recent: deque[Placed] = deque(maxlen=RECENT)
        self._under_way: set[asyncio.Task[None]] = set()
        self._sold_out: dict[tuple[str, str], float] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._by_popularity = list(shop.items)
        dice(seed, "popularity").shuffle(self._by_popularity)
        weights = [1 / (rank**tempo.skew) for rank in range(1, len(self._by_popularity) + 1)]
        self._weights = list(itertools.accumulate(weights))
        self._goods = [item for item in self._by_popularity if not item.recipe and not item.known_as]
        self._remote = {place.name: place.remote for place in shop.places}
        self._to_inspect = [
            (sku, name, bin_name, units)
            for sku, name, bin_name, units in shop.stock
            if units and (bin_name == INSPECTION or not self._place(name).sellable)
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; what is under way by then is waited for."""
        tempo = self.tempo
        flows: list[tuple[Callable[[], float], Callable[[], Awaitable[None]]]] = [
            (lambda: self.tempo.orders * self.tempo.flash, self._order),
            (lambda: tempo.counter_sales, self._sell_at_counter),
            (lambda: tempo.deliveries, self._receive),
            (lambda: tempo.inspections, self._inspect),
            (lambda: tempo.transfers, self._transfer),
            (lambda: tempo.write_offs, self._write_off),
        ]
        async with asyncio.TaskGroup() as group:
            for rate, event in flows:
                group.create_task(self._flow(rate, event, stop))
        # What was going to happen later (a cancellation, a return) does not happen any more.
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _flow(self, rate: Callable[[], float], event: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        """Events at random moments, `rate()` a simulated minute; a missed moment is not made up for."""
        while not stop.is_set():
            a_minute = max(rate(), 1e-6)
            pause = min(self._die.expovariate(a_minute) * 60.0, 120.0)
            due = self._clock.time() + pause
            while not stop.is_set() and (left := due - self._clock.time()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._clock.real(left))
            if not stop.is_set() and pause < 120.0:
                async with self._room:
                    await self._attempt(event())

    async def _attempt(self, deed: Awaitable[None]) -> None:
        """Do it; a refusal or a broken line is counted, as the world goes on."""
        try:
            await deed
        except Refused as refused:
            self.counts[f"refused {refused.code}"] += 1
        except ValueError:
            self.counts["impossible"] += 1
        except httpx2.HTTPError:
            self.counts["no answer"] += 1

    def _later(self, seconds: float, deed: Callable[[], Awaitable[None]]) -> None:
        async def wait() -> None:
            await self._clock.sleep(seconds)
            await self._attempt(deed())

        task = asyncio.get_running_loop().create_task(wait())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    # --- shoppers ----------------------------------------------------------------------------------------------------

    async def _order(self) -> None:
        channel = self._die.choices(self._shop.channels, [c.weight for c in self._shop.channels])[0]
        wanted = {self._popular().sku for _ in range(self._die.choice((1, 1, 1, 2, 2, 3, 5)))}
        now = self._clock.time()
        on_sale = sorted(sku for sku in wanted if self._sold_out.get((channel.key, sku), 0.0) < now)
        lines = tuple(BasketLine(sku=sku, quantity=self._units()) for sku in on_sale)
        if not lines:
            return
        basket = Basket(
            number=f"D-{next(self._numbers):06d}",
            channel=channel.key,
            country=self._die.choice(channel.countries),
            lines=lines,
            mode=self._die.choices([m for m, _ in channel.modes], [w for _, w in channel.modes])[0],
        )
        if basket.mode != "ReserveOnOrder" and not await self._shown(basket, channel):
            self.counts["not shown"] += 1
            return
        if basket.mode == "ReserveOnCart":
            cart = await self._storefront.fill(basket)
            self.counts["carts with goods held"] += 1
            if self._die.random() >= self.tempo.abandoned:
                self._later(self._die.uniform(2, 90), lambda: self._check_out(basket, cart))
        else:
            await self._check_out(basket, await self._storefront.fill(basket))

    async def _check_out(self, basket: Basket, cart: Any) -> None:
        try:
            placed = await self._storefront.check_out(basket, cart)
        except Refused as refused:
            until = self._clock.time() + self.tempo.sold_out_seconds
            self._sold_out |= {(basket.channel, sku): until for sku in refused.skus}
            raise
        self.counts["orders"] += 1
        self._recent.append(placed)
        if self._die.random() < self.tempo.cancelled:
            self._later(self._die.uniform(20, 400), lambda: self._cancel(placed))
        elif self.tempo.reduced and self._die.random() < self.tempo.reduced:
            self.reducing.add(placed.id)
            for _ in range(self._die.choice((1, 1, 2))):
                self._later(self._die.uniform(5, 300), lambda: self._reduce(placed))
        elif self._die.random() < self.tempo.returned:
            self._later(self._die.uniform(1500, 3000), lambda: self._return(placed))

    def _units(self) -> int:
        return self._die.choices((1, 2, 3, 6), (75, 15, 7, 3))[0]

    def _popular(self) -> Item:
        if self.tempo.flash > 1 and self._die.random() < 1 - 1 / self.tempo.flash:
            return self._by_popularity[self._die.randrange(max(1, len(self._by_popularity) // 100))]
        at = self._die.random() * self._weights[-1]
        return self._by_popularity[bisect(self._weights, at)]

    async def _shown(self, basket: Basket, channel: SalesChannel) -> bool:
        """A storefront that lets anything be ordered at least looks at the number it shows."""
        for line in basket.lines:
            if await self._storefront.available(line.sku, channel.key) < line.quantity:
                return False
        return True

    async def _cancel(self, placed: Placed) -> None:
        self.counts["cancelled" if await self._storefront.cancel(placed.id) else "too late to cancel"] += 1

    async def _reduce(self, placed: Placed) -> None:
        """Some units of a line are not wanted any more, whether or not they can still be kept back."""
        line, (_, units) = self._die.choice(list(placed.lines.items()))
        fewer = self._die.randint(1, units)
        done = await self._storefront.cancel_units(placed.id, line, fewer, CANCELLED)
        self.counts["units cancelled" if done else "no units left to cancel"] += 1

    async def _return(self, placed: Placed) -> None:
        """One unit of a delivered line comes back to where it is inspected, and is put on the shelf some time later."""
        line, (sku, _) = next(iter(placed.lines.items()))
        if sku in self._shop.recipes or not await self._storefront.give_back(placed.id, {line: 1}):
            return
        self.counts["returns"] += 1
        place = next(p for p in self._shop.places if p.inspects)
        facts = {"sku": sku, "location": place.remote, "bin": INSPECTION, "quantity": 1, "reference": placed.number}
        await self._warehouse.act(**{"return": facts})
        self._to_inspect.append((sku, place.name, INSPECTION, 1))

    # --- the world around the shelves --------------------------------------------------------------------------------

    async def _sell_at_counter(self) -> None:
        """A customer carries goods out of the shop: the web learns of it when the back office is read next."""
        place = next(p for p in self._shop.places if p.counter)
        facts = {"sku": self._some(), "location": place.remote, "bin": SHELF, "quantity": self._units()}
        sold = await self._warehouse.act(sell_at_counter=facts)
        self.counts["counter sales" if sold["quantity"] else "empty-handed"] += 1

    async def _receive(self) -> None:
        place = self._die.choice([p for p in self._shop.places if p.sellable])
        facts = {"sku": self._some(), "location": place.remote, "bin": SHELF, "quantity": self._die.randint(2, 12)}
        await self._warehouse.act(receive=facts)
        self.counts["deliveries"] += 1

    async def _inspect(self) -> None:
        """Goods pass inspection and go on the shelf, from the returns centre to a warehouse."""
        if not self._to_inspect:
            return
        sku, name, bin_name, units = self._to_inspect.pop(self._die.randrange(len(self._to_inspect)))
        place = self._place(name)
        target = place if place.sellable else next(p for p in self._shop.places if p.sellable)
        facts = {"sku": sku, "from": place.remote, "from_bin": bin_name, "to": target.remote, "to_bin": SHELF}
        await self._warehouse.act(transfer={**facts, "quantity": units})
        self.counts["inspections"] += 1

    async def _transfer(self) -> None:
        """A truck between two places: its goods are nowhere for five minutes."""
        origin, target = self._die.sample([p for p in self._shop.places if p.sellable], 2)
        facts = {"sku": self._some(), "from": origin.remote, "from_bin": SHELF, "to": target.remote, "to_bin": SHELF}
        await self._warehouse.act(transfer={**facts, "quantity": self._die.randint(1, 3), "seconds": 300})
        self.counts["transfers"] += 1

    async def _write_off(self) -> None:
        place = self._die.choice([p for p in self._shop.places if p.sellable])
        facts = {"sku": self._some(), "location": place.remote, "bin": SHELF, "quantity": 1, "reference": "damaged"}
        await self._warehouse.act(write_off=facts)
        self.counts["write-offs"] += 1

    def _some(self) -> str:
        """A SKU with a shelf of its own, popular ones more often."""
        top = len(self._goods)
        return self._goods[min(int(self._die.paretovariate(0.6)) - 1, self._die.randrange(top))].sku

    def _place(self, name: str) -> Any:
        return next(place for place in self._shop.places if place.name == name)

    def flash_sale(self, times: float) -> None:
        """Orders come `times` as fast, nearly all of them on a hundredth of the SKUs; 1 ends it."""
        self.tempo = replace(self.tempo, flash=times)
