"""Plays a history against the running product, with trouble on the way, and judges it.

Rule: the history decides what is tried; what the storefront refuses was not sold.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from sellable.sandbox.shop import INSPECTION, SHELF
from sellable.sandbox.shopper import Basket, Placed, Refused, Storefront
from sellable.simulation.chaos import Chaos, Step
from sellable.simulation.demo import (
    COMPUTING_SECONDS,
    RESTING_SECONDS_MIN,
    SETTLED_SECONDS,
    WAITING,
    declared_for,
    patience,
    problems,
)
from sellable.simulation.history import ANNEX, HOUSE, WHOLE, Back, Cancel, Plan, Shelf
from sellable.simulation.houses import Both
from sellable.simulation.oracle import Evidence, Verdict, judge, percentiles, summary
from sellable.simulation.processes import Stand, stand, until
from sellable.simulation.rules import Declared, Rules
from sellable.simulation.undersell import explained
from sellable.simulation.watch import Rest, Watch

AT_ONCE = 12
BASELINE_SECONDS_MAX = 300.0
INSPECTION_SECONDS = 600.0
TEMPO: dict[str, Any] = {"sweep_seconds": 60.0, "sales_poll_seconds": 60.0, "catalogue_seconds": 3600.0}
STAFF = {"auto": True, "pick_after_seconds": 120, "ship_after_seconds": 120, "carrier": "DHL"}
HOUSE_STAFF: dict[str, Any] = {
    "auto": True, "release_seconds": 30, "locate_seconds": 30, "pick_seconds": 60, "pack_seconds": 60,
    "despatch_seconds": 60, "parcel_rate": 0.2,
}  # fmt: skip

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """`speed` is the fastest the clock may run, in simulated seconds a real one."""

    folder: Path
    speed: float = 60.0
    seed: int = 1
    workers: int = 1
    computing_seconds: float = COMPUTING_SECONDS
    chaos: Sequence[Step] = ()
    database_url: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The figures to print, what must not be, and the whole verdict."""

    figures: Mapping[str, Any]
    problems: list[str]
    verdict: Verdict


async def replay(plan: Plan, options: Options, say: Progress) -> Result:
    """Start everything, play the plan, wait for rest, judge, end everything. `options.folder` is an empty folder."""
    began = time.monotonic()
    async with stand(
        options.folder, plan.shop, options.speed, seed=options.seed, staff=STAFF, house_staff=HOUSE_STAFF, tempo=TEMPO,
        database_url=options.database_url,
    ) as found:  # fmt: skip
        found.write_settings(found.clock.now().isoformat())
        watch = Watch(found, Rules.of(plan.shop))
        await watch.open()
        await found.start_services(options.workers)
        await _first_numbers(watch, say)
        watch.begin()
        records = watch.back_office_records
        player = Player(plan, found, say, records if isinstance(records, Both) else None)
        chaos = Chaos(found, options.chaos, say)
        async with asyncio.TaskGroup() as group:
            trouble = group.create_task(chaos.run())
            reading = group.create_task(_keep_reading(watch))
            await player.play()
            await trouble
            reading.cancel()
        say(f"arrivals are over: {dict(player.counts)}")
        rest = Rest(watch, SETTLED_SECONDS)
        simulated = patience(watch.unexported())
        resting = await until(rest.reached, RESTING_SECONDS_MIN, 0.5, clock=found.clock, simulated=simulated)
        say("everything has come to rest" if resting else f"not at rest: {rest.what}")
        status, evidence = await found.status(), await watch.close(found.folder / "evidence.json")
        declared = declared_for(options.speed, options.computing_seconds)
        declared = Declared(sale=declared.sale, master=declared.master, outages=chaos.outages)
        traffic = await _traffic(found)
        verdict = judge(evidence, watch.rules, declared)
        figures = _figures(player, verdict, declared, status, evidence)
        figures |= await asyncio.to_thread(explained, found.database_url, verdict, declared, evidence.began)
        figures |= traffic | {
            "at_rest": "yes" if resting else f"no: {rest.what}",
            "peak_memory_mb": found.peak_memory_mb,
            "seconds": round(time.monotonic() - began, 1),
            "faults_fired": dict(chaos.fired),
            "speed": found.pace.figures(),
        }
    return Result(figures=figures, problems=_problems(figures, verdict), verdict=verdict)


async def _first_numbers(watch: Watch, say: Progress) -> None:
    async def numbered() -> bool:
        return await watch.wrong_now() == 0

    if await until(numbered, BASELINE_SECONDS_MAX, 0.5):
        say(f"{len(watch.picture.entries)} numbers are right, orders begin")
    else:
        say(
            f"{len(watch.picture.wrong())} of {len(watch.picture.entries)} numbers are still wrong, orders begin anyway"
        )


async def _keep_reading(watch: Watch) -> None:
    while True:
        await watch.look()
        await asyncio.sleep(1.0)


class Player:
    """Does what the plan says, in its order and no earlier than it says; `counts` what came of it. `both` are the
    records of a second back office too, where there is one."""

    def __init__(self, plan: Plan, found: Stand, say: Progress, both: Both | None = None) -> None:
        self._plan, self._clock, self._say, self._both = plan, found.clock, say, both
        self._storefront = Storefront(found.http, found.storefront.url, plan.shop)
        self._warehouse = found.back_office_control
        self._remote = {place.name: place.remote for place in plan.shop.places}
        self._houses = {place.name for place in plan.shop.places if place.house}
        self._kept = {sku for sku, place, _, _ in plan.shop.stock if place == HOUSE}
        self._cards = {item.sku: item.known_as for item in plan.shop.items if item.known_as}
        self._orders: dict[str, asyncio.Task[Placed | None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._inspections: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()
        self.behind_seconds = 0.0

    async def play(self) -> None:
        """All of it."""
        start = self._clock.time()
        for number, event in enumerate(self._plan.events, 1):
            wait = start + event.minute * 60 - self._clock.time()
            if wait > 0:
                await self._clock.sleep(wait)
            self.behind_seconds = max(self.behind_seconds, -wait)
            await self._do(event.what)
            if number % 500 == 0:
                self._say(f"{number:,} of {len(self._plan.events):,} events, {dict(self.counts)}")
        await asyncio.gather(*self._orders.values(), *self._inspections)

    async def _do(self, what: Basket | Cancel | Back | Shelf) -> None:
        match what:
            case Basket():
                await self._room.acquire()
                self._orders[what.number] = asyncio.create_task(self._order(what))
            case Cancel():
                await self._cancel(what)
            case Back():
                await self._back(what)
            case Shelf():
                await self._shelf(what)

    async def _order(self, basket: Basket) -> Placed | None:
        """Order; a shopper who is told what is sold out leaves it out and orders the rest."""
        try:
            try:
                placed = await self._storefront.order(basket)
            except Refused as refused:
                rest = tuple(line for line in basket.lines if line.sku not in refused.skus)
                if refused.code != "OutOfStock" or not rest:
                    raise
                self.counts["lines sold out"] += len(basket.lines) - len(rest)
                less = Basket(number=basket.number, channel=basket.channel, country=basket.country, lines=rest,
                              extras=basket.extras)  # fmt: skip
                placed = await self._storefront.order(less)
        except Refused as refused:
            self.counts["refused" if refused.code == "OutOfStock" else f"refused {refused.code}"] += 1
            return None
        except httpx2.HTTPError:
            self.counts["no answer"] += 1
            return None
        finally:
            self._room.release()
        self.counts["orders"] += 1
        return placed

    async def _cancel(self, cancel: Cancel) -> None:
        placed = await self._placed(cancel.number)
        if placed is not None and await self._storefront.cancel(placed.id):
            self.counts["cancelled"] += 1
        elif placed is not None:
            await self._back(Back(number=cancel.number, lines=cancel.lines))

    async def _back(self, back: Back) -> None:
        """Goods come back for inspection; those of an order of this history are announced at the storefront."""
        placed, lines = await self._placed(back.number), back.lines
        if back.number is not None:
            if placed is None:
                return
            if self._both is not None:
                lines = await self._at_the_house(self._both, placed, lines)
                if not lines:
                    return
            items = _items(placed, lines, self._cards)
            if not items or not await self._storefront.give_back(placed.id, items):
                self.counts["returned before delivery"] += 1
                return
        self.counts["returns"] += 1
        for sku, units in lines.items():
            if sku in self._kept and self._both is not None:
                # Of an order before this history, so that nothing there can be told of it.
                await self._both.house.act(**_at_site(Shelf(word="receive", sku=sku, place=HOUSE, units=units),
                                                      self._remote[HOUSE]))  # fmt: skip
                continue
            place = self._remote["main"]
            facts = {"sku": sku, "location": place, "bin": INSPECTION, "quantity": units, "reference": back.number}
            await self._warehouse.act(**{"return": facts})
            task = asyncio.create_task(self._inspect(sku, place, units))
            self._inspections.add(task)
            task.add_done_callback(self._inspections.discard)

    async def _at_the_house(self, both: Both, placed: Placed, lines: Mapping[str, int]) -> dict[str, int]:
        """Of goods that come back, those the second back office sent are booked in there, and told by it alone: the
        storefront hears of them from the product. Answers the others."""
        theirs = {sku: units for sku, units in lines.items() if placed.channel == WHOLE or sku in self._kept}
        booked: dict[str, list[dict[str, Any]]] = {}
        for sku, units in theirs.items():
            left = both.left.get((placed.id, sku), Counter())
            reference = next((name for name, sent in left.items() if sent >= units), None)
            if reference is None:
                self.counts["returned before delivery"] += 1
                continue
            left[reference] -= units
            line = {"sku": sku, "quantity": units, "reason": "A - Not wanted", "condition": "As new"}
            booked.setdefault(reference, []).append(line)
        site = self._remote[ANNEX if placed.channel == WHOLE else HOUSE] if theirs else ""
        for reference, rows in booked.items():
            await both.house.act(book_return={"order": reference, "lines": rows, "site": site})
            self.counts["returns"] += 1
        return {sku: units for sku, units in lines.items() if sku not in theirs}

    async def _inspect(self, sku: str, place: str, units: int) -> None:
        await self._clock.sleep(INSPECTION_SECONDS)
        facts = {"sku": sku, "from": place, "from_bin": INSPECTION, "to": place, "to_bin": SHELF, "quantity": units}
        try:
            await self._warehouse.act(transfer=facts)
        except ValueError:
            # A picker who found the shelf empty has taken them.
            self.counts["not there to inspect"] += 1

    async def _shelf(self, shelf: Shelf) -> None:
        if self._both is not None and shelf.place in self._houses:
            await self._both.house.act(**_at_site(shelf, self._remote[shelf.place]))
        else:
            facts = {"sku": shelf.sku, "location": self._remote[shelf.place], "bin": SHELF, "quantity": shelf.units}
            await self._warehouse.act(**{shelf.word: facts})
        self.counts[shelf.word] += 1

    async def _placed(self, number: str | None) -> Placed | None:
        task = self._orders.get(number or "")
        return await task if task is not None else None


def _at_site(shelf: Shelf, site: str) -> dict[str, Any]:
    """The same in the words of OrderFlow's warehouse."""
    if shelf.word == "receive":
        return {"receive": {"lines": [{"sku": shelf.sku, "quantity": shelf.units}], "site": site}}
    return {"adjust": {"sku": shelf.sku, "delta": -shelf.units, "site": site}}


def _items(placed: Placed, lines: Mapping[str, int], cards: Mapping[str, str]) -> dict[str, int]:
    """Line id -> units that come back, filling lines of the SKU, however spelled, one after the other."""
    left, items = dict(lines), {}
    for line, (spelled, ordered) in placed.lines.items():
        sku = cards.get(spelled, spelled)
        units = min(left.get(sku, 0), ordered)
        if units:
            items[line] = units
            left[sku] -= units
    return items


async def _traffic(found: Stand) -> dict[str, int]:
    """Calls that only read, at both doors, shoppers' few included."""
    stats = [await control.get("stats") for control in (found.storefront_control, found.back_office_control)]
    routes = [item for one in stats for item in one["routes"].items()]
    return {"reads": sum(count for route, count in routes if route.startswith("GET"))}


def _figures(
    player: Player, verdict: Verdict, declared: Declared, status: Mapping[str, Any], evidence: Evidence
) -> dict[str, Any]:
    stages = {stage: status.get("orders", {}).get(stage, {}).get("count", 0) for stage in WAITING}
    missing = len(verdict.tie.missing)
    held = min(missing, stages["held"])
    queued = min(missing - held, stages["waiting"] + stages["exporting"])
    return {
        **summary(verdict, declared),
        "orders_refused": player.counts["refused"],
        "orders_held": held,
        "orders_queued": queued,
        "orders_lost": missing - held - queued,
        "cases": {kind: row["open"] for kind, row in status.get("cases", {}).items()},
        "latency_ms": percentiles((1000 * seconds for seconds in verdict.late.get("sale", ())), 50, 90, 99),
        "events": dict(player.counts),
        "behind_seconds": round(player.behind_seconds, 1),
        "simulated_seconds": round(evidence.ended - evidence.began),
    }


def _problems(figures: Mapping[str, Any], verdict: Verdict) -> list[str]:
    return problems(verdict, figures["orders_held"] + figures["orders_queued"])
