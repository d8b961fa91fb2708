"""Follows a running stand: pulls both journals, keeps the evidence, knows when everything has come to rest.

Rule: each journal row is fetched once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, Protocol

import msgspec

from sellable.sandbox.shop import SERVICE_CLIENT
from sellable.simulation.oracle import Evidence
from sellable.simulation.picture import Picture, order_of
from sellable.simulation.rules import Rules


class Records(Protocol):
    """A simulator's own records."""

    async def get(self, name: str) -> Any:
        """`truth`, as it is now."""

    async def news(self) -> list[dict[str, Any]]:
        """Journal rows since the last time this was asked."""


class Time(Protocol):
    """The clock of the simulated world."""

    def time(self) -> float:
        """Unix seconds."""


class Watched(Protocol):
    """What can be watched: two simulators on one clock, and a product that says what it owes."""

    @property
    def storefront_control(self) -> Records: ...

    @property
    def back_office_control(self) -> Records: ...

    @property
    def clock(self) -> Time: ...

    async def status(self) -> dict[str, Any]:
        """The product's own overview, {} while it does not answer."""


class Watch:
    """What has happened so far. `picture` knows only what can be known at the time.

    `untold` are units that have left the warehouse for our orders and are no delivery at the storefront yet, or came
    back to a warehouse that tells of it and are no return there.
    """

    def __init__(self, stand: Watched, rules: Rules) -> None:
        self.stand, self.rules = stand, rules
        self.storefront: list[dict[str, Any]] = []
        self.back_office: list[dict[str, Any]] = []
        self._ct, self._cin7 = stand.storefront_control, stand.back_office_control
        self._before: tuple[Any, Any] = ({}, {})
        self.began = 0.0
        self.untold = 0
        self._allocated: Counter[str] = Counter()
        self._came_back: set[str] = set()
        self._looking = asyncio.Lock()

    @property
    def back_office_records(self) -> Records:
        """What is read of the back office, all of it."""
        return self._cin7

    async def open(self) -> None:
        """Note the world as it is before anything has happened."""
        self._before = await self._ct.get("truth"), await self._cin7.get("truth")
        entries = self._before[0]["projects"][self.rules.project]["entries"]
        stock, start = self._before[1]["levels"], self._before[1]["time"]
        self.picture = Picture(self.rules, stock, entries, start=start, client=SERVICE_CLIENT)

    def begin(self) -> None:
        """From now on it counts."""
        self.began = self.stand.clock.time()
        self.picture.begin(self.began)

    async def look(self) -> Picture:
        """Catch up with both journals."""
        async with self._looking:
            storefront, back_office = await self._ct.news(), await self._cin7.news()
            self.storefront += storefront
            self.back_office += back_office
            self._count(storefront, back_office)
            self.picture.feed(storefront, back_office)
            self.picture.until(self.stand.clock.time())
        return self.picture

    async def close(self, keep: Path | None = None) -> Evidence:
        """Everything an oracle needs; it can be kept in a file."""
        await self.look()
        after = await self._ct.get("truth"), await self._cin7.get("truth")
        await self.look()
        evidence = Evidence(
            storefront_before=self._before[0],
            back_office_before=self._before[1],
            storefront_after=after[0],
            back_office_after=after[1],
            storefront=self.storefront,
            back_office=self.back_office,
            began=self.began,
            ended=self.stand.clock.time(),
            client=SERVICE_CLIENT,
        )
        if keep is not None:
            keep.write_bytes(msgspec.json.encode(evidence))  # noqa: ASYNC240 - the run is over
        return evidence

    async def wrong_now(self) -> int:
        """Entries whose number is not what it should be at this moment."""
        return len((await self.look()).wrong())

    def _count(self, storefront: list[dict[str, Any]], back_office: list[dict[str, Any]]) -> None:
        for row in back_office:
            order = order_of(row.get("external_id"), self.rules.project)
            if order is None:
                continue
            if row["what"] == "shipped" or row["what"] == "came_back":
                self.untold += sum(line["quantity"] for line in row["lines"])
                self._came_back |= {order} if row["what"] == "came_back" else set()
            elif row["what"] == "stock":
                self._allocated[order] += row["allocated_delta"]
        for row in storefront:
            # What is credited at the back office may be told by an item that a shopper has made: nobody waits for that.
            back = row["what"] == "return_added" and row["client"] == SERVICE_CLIENT and row["order"] in self._came_back
            if row["what"] == "delivery_added" or back:
                self.untold -= sum(item["quantity"] for item in row["items"])

    def to_ship(self) -> int:
        """Allocated units still in the warehouse, of orders that wait for nothing more to be allocated."""
        complete = (o for o in self.picture.orders.values() if not any(any(o.open(c)[0].values()) for c in o.need))
        return sum(self._allocated[order.id] for order in complete)

    def unexported(self) -> int:
        """Live orders with units that no authorised sale takes."""
        orders = self.picture.orders.values()
        return sum(1 for o in orders if any(o.open(component)[1] for component in o.need))


class Rest:
    """Has everything come to rest? It has when nothing is wrong or owed, and stayed so for `seconds` simulated."""

    def __init__(self, watch: Watch, seconds: float) -> None:
        self._watch, self._seconds = watch, seconds
        self._since: float | None = None
        self.what = ""

    async def reached(self) -> bool:
        """Look once more."""
        wrong, orders = await self._watch.wrong_now(), self._watch.unexported()
        status = await self._watch.stand.status()
        owed = sum(row["count"] for row in status.get("operations", []) if row["state"] in ("intent", "unknown"))
        counts = {
            "numbers wrong": wrong,
            "orders not exported": orders,
            "units to ship": self._watch.to_ship(),
            "units not told": self._watch.untold,
            "operations owed": owed,
        }
        self.what = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        now = self._watch.stand.clock.time()
        if any(counts.values()) or not status:
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= self._seconds
