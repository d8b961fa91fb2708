"""Periodic reads with a durable cursor. Rule: what a turn read and the cursor that says so are one commit, made only by
the turn that still holds the feed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sellable.runtime import telemetry
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.inbox import Arrival, cause_of, put
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import queries
from sellable.runtime.schedule import CHANCE, Bell, Chance, backoff, beat
from sellable.runtime.wanted import with_numbers

CHANNEL = "sellable_feed"
IDLE_SECONDS = 30.0
LEASE_SECONDS = 300.0
START_SPREAD_SECONDS = 10.0
"""Feeds that are new begin within this time, not all at once."""

sql = queries("sellable.runtime")
log = logging.getLogger(__name__)
turns = telemetry.counter("feed_turns", "Turns of feeds by how they ended.", ["feed", "end"])


@dataclass(frozen=True, kw_only=True)
class FeedContext:
    """What a turn may know. `a0` was taken before it began; `next_seq()` takes a causal number for a further read."""

    name: str
    now: datetime
    a0: int
    failures: int
    next_seq: Callable[[], Awaitable[int]]


@dataclass(frozen=True, kw_only=True)
class FeedResult:
    """What a turn read. `cursor` is where the next one begins, `again` asks for it at once; `also` joins the commit."""

    arrivals: Sequence[Arrival]
    cursor: dict[str, Any] | None
    again: bool = False
    also: Callable[[Tx, datetime], None] | None = None


Turn = Callable[[dict[str, Any] | None, FeedContext], Awaitable[FeedResult]]


@dataclass(frozen=True, kw_only=True)
class Feed:
    """A read to repeat `every_seconds`. A turn is one page or a few, done well within `lease_seconds`."""

    name: str
    every_seconds: float
    turn: Turn
    lease_seconds: float = LEASE_SECONDS


@dataclass(frozen=True, kw_only=True)
class FeedState:
    """Where a feed stands, for people and for the age of what we know."""

    name: str
    cursor: dict[str, Any] | None
    owner: str | None
    due_at: datetime
    last_success_at: datetime | None
    last_error: str | None
    failures: int


OnFailure = Callable[[Tx, str, Exception, int, datetime], None]
"""Told in the transaction that notes a failed turn: feed, error, failures in a row."""
OnRecovery = Callable[[Tx, str, datetime], None]
"""Told in the transaction of the first good turn after failures."""


class _Fenced(Exception):
    """Another process took the feed meanwhile; what this turn read is theirs to read."""


def poke(tx: Tx, name: str) -> None:
    """Make a feed due now; if a turn is running, another follows at once. A failing feed keeps its backoff."""
    tx.run(sql.poke_feed, name=name)
    tx.notify(CHANNEL, name)


def states(tx: ReadTx) -> list[FeedState]:
    """Every feed ever enrolled, by name."""
    return [FeedState(**row._asdict()) for row in tx.all(sql.list_feeds)]


class Feeds:
    """Runs feeds, each in one process at a time. Failed turns back off (0 to 2, 4 ... 300 s) and keep the cursor.

    Arrivals get "a0" and "a1" into their meta unless they carry their own. An exception's `after_seconds` is honoured.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        feeds: Sequence[Feed],
        owner: str,
        *,
        on_failure: OnFailure | None = None,
        on_recovery: OnRecovery | None = None,
        chance: Chance = CHANCE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._feeds: Mapping[str, Feed] = {feed.name: feed for feed in feeds}
        if len(self._feeds) < len(feeds):
            raise ValueError("two feeds have the same name")
        self._owner = owner
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._chance = chance

    async def run(self, stop: asyncio.Event) -> None:
        """Run all feeds until told to stop; a turn under way is finished."""
        bells = {name: Bell(self._clock) for name in self._feeds}

        def ring(name: str) -> None:
            for bell in [bells[name]] if name in bells else bells.values() if not name else []:
                bell.ring()

        await self.enrol()
        await self._store.listen(CHANNEL, ring)
        async with asyncio.TaskGroup() as group:
            for name, bell in bells.items():
                group.create_task(self._keep(name, bell, stop), name=f"feed {name}")

    async def enrol(self) -> None:
        """Make the feeds known to the database and drop leases of this owner's former life."""
        now = self._clock.now()
        spread = [min(feed.every_seconds, START_SPREAD_SECONDS) * self._chance() for feed in self._feeds.values()]
        await self._store.write(self._enrol, [now + timedelta(seconds=seconds) for seconds in spread])

    async def turn_once(self, name: str) -> bool:
        """Run one turn of a feed if it is due and free; whether one ran. A failure is noted, not raised."""
        feed, now = self._feeds[name], self._clock.now()
        leased = await self._store.write(self._lease, feed, now)
        if leased is None:
            return False
        cursor, epoch, failures, a0 = leased
        context = FeedContext(name=name, now=now, a0=a0, failures=failures, next_seq=self._next_seq)
        try:
            result = await feed.turn(cursor, context)
            await self._store.write(self._finish, feed, epoch, failures, a0, result, self._clock.now())
        except _Fenced:
            turns.labels(name, "fenced").inc()
            log.warning("feed %s was taken over while its turn ran", name)
        except Exception as error:
            turns.labels(name, "failed").inc()
            log.warning("feed %s failed: %s", name, type(error).__name__)
            await self._store.write(self._fail, feed, epoch, failures + 1, error, self._clock.now())
        else:
            turns.labels(name, "done").inc()
        return True

    async def _keep(self, name: str, bell: Bell, stop: asyncio.Event) -> None:
        while not stop.is_set():
            beat()
            if not await self.turn_once(name):
                rows = await self._store.ask(sql.next_feed_due, name=name)
                due: datetime | None = rows[0].due if rows else None
                pause = IDLE_SECONDS if due is None else (due - self._clock.now()).total_seconds()
                await bell.wait(max(0.05, min(pause, IDLE_SECONDS)), stop)

    async def _next_seq(self) -> int:
        return await self._store.write(next_seq)

    def _enrol(self, tx: Tx, due_ats: Sequence[datetime]) -> None:
        tx.run(sql.enrol_feeds, names=list(self._feeds), due_ats=list(due_ats))
        tx.run(sql.drop_feed_leases, owner=self._owner)

    def _lease(self, tx: Tx, feed: Feed, now: datetime) -> tuple[dict[str, Any] | None, int, int, int] | None:
        row = tx.one(sql.lease_feed, name=feed.name, owner=self._owner, lease_seconds=feed.lease_seconds, now=now)
        return None if row is None else (row.cursor, row.epoch, row.failures, next_seq(tx))

    def _finish(
        self, tx: Tx, feed: Feed, epoch: int, failures: int, a0: int, result: FeedResult, now: datetime
    ) -> None:
        cursor = None if result.cursor is None else json.dumps(result.cursor)
        due_at = now if result.again else now + timedelta(seconds=feed.every_seconds)
        # The fence comes first: whoever lost the feed writes nothing at all.
        if not tx.run(sql.finish_feed, name=feed.name, epoch=epoch, cursor=cursor, due_at=due_at, now=now):
            raise _Fenced
        put(tx, with_numbers(result.arrivals, a0, next_seq(tx)), now)
        if result.also is not None:
            result.also(tx, now)
        if failures and self._on_recovery is not None:
            self._on_recovery(tx, feed.name, now)

    def _fail(self, tx: Tx, feed: Feed, epoch: int, failures: int, error: Exception, now: datetime) -> None:
        pause = max(float(getattr(error, "after_seconds", 0.0)), backoff(failures, self._chance))
        due_at = now + timedelta(seconds=pause)
        noted = tx.run(sql.fail_feed, name=feed.name, epoch=epoch, cause=cause_of(error), due_at=due_at)
        if noted and self._on_failure is not None:
            self._on_failure(tx, feed.name, error, failures, now)
