"""Level-triggered hints: names of things that should be read again. Carry the name of what changed, never the change.

Rule: a wish ends only with a read that began after it. Wishes for one key are one; asking again may only raise urgency.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sellable.runtime.budgets import PRIORITY, Budgets, Grant, prepaid
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.inbox import Arrival, cause_of, put
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import queries
from sellable.runtime.schedule import CHANCE, Bell, Chance, backoff, beat, unless

CHANNEL = "sellable_wanted"
IDLE_SECONDS = 5.0
LEASE_SECONDS = 300.0
"""Longer than a read can take; after a crash the wishes of the dead are granted by others then."""
STUCK_ATTEMPTS = 8
SPIN_SECONDS = 0.1

sql = queries("sellable.runtime")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A wish that was taken; `seq` is the causal number of its newest repetition, `since` when it was first made."""

    system: str
    kind: str
    key: str
    priority: int
    seq: int
    since: datetime
    attempts: int
    owner: str


@dataclass(frozen=True)
class Next:
    """When a wish may be taken, and how urgent it is."""

    ready_at: datetime
    priority: int


Fetch = Callable[[Sequence[str]], Awaitable[Sequence[Arrival]]]
OnStuck = Callable[[Tx, Wanted, str, datetime], None]
"""Told in the transaction that notes every 8th failure of a wish, with the cause; opens the case."""


def want(tx: Tx, system: str, kind: str, keys: Sequence[str], priority: int, now: datetime) -> None:
    """Ask for keys of a system to be read soon. A smaller `priority` is more urgent."""
    for key in keys:
        tx.gather(_write_wishes, ((system, kind, key), int(priority), now))


def _write_wishes(tx: Tx, wishes: list[tuple[tuple[str, str, str], int, datetime]]) -> None:
    """One row a wish and transaction, locked in the order of the keys; the most urgent counts."""
    best: dict[tuple[str, str, str], tuple[int, datetime]] = {}
    for key, priority, at in wishes:
        best[key] = min(best.get(key, (priority, at)), (priority, at))
    systems, kinds, keys = zip(*sorted(best), strict=True)
    priorities, moments = zip(*(best[key] for key in sorted(best)), strict=True)
    tx.run(
        sql.put_wanted, system=list(systems), kind=list(kinds), key=list(keys), priority=list(priorities),
        at=list(moments),
    )  # fmt: skip
    for system, kind in dict.fromkeys(zip(systems, kinds, strict=True)):
        tx.notify(CHANNEL, f"{system} {kind}")


def take(tx: Tx, system: str, kind: str, limit: int, owner: str, lease: float, now: datetime) -> list[Wanted]:
    """Lease up to `limit` due wishes for `lease` seconds, most urgent first."""
    rows = tx.all(sql.take_wanted, system=system, kind=kind, limit=limit, owner=owner, lease_seconds=lease, now=now)
    return sorted((Wanted(**row._asdict()) for row in rows), key=lambda w: (w.priority, w.seq))


def got(tx: Tx, taken: Sequence[Wanted], now: datetime) -> None:
    """What was taken has been read: end the wishes, except those repeated since, which are due again."""
    for system, kind, part in _by_kind(taken):
        keys = [w.key for w in part]
        tx.run(sql.drop_wanted, system=system, kind=kind, keys=keys, seqs=[w.seq for w in part])
        if tx.run(sql.free_wanted, system=system, kind=kind, keys=keys, owner=part[0].owner):
            tx.notify(CHANNEL)


def wished(tx: ReadTx, system: str, kind: str) -> list[str]:
    """Keys of a kind that wait to be read."""
    return [row.key for row in tx.all(sql.list_wanted, system=system, kind=kind)]


def granted(tx: Tx, system: str, kind: str, keys: Sequence[str], began: int) -> None:
    """A read that began at causal number `began` showed these keys, whoever asked for them: ends earlier wishes."""
    tx.run(sql.grant_wanted, system=system, kind=kind, keys=list(keys), seq=began)


def failed(tx: Tx, taken: Sequence[Wanted], after_seconds: float, cause: str) -> None:
    """What was taken could not be read: try again after so many seconds."""
    for system, kind, part in _by_kind(taken):
        tx.run(
            sql.postpone_wanted,
            system=system,
            kind=kind,
            keys=[w.key for w in part],
            owner=part[0].owner,
            cause=cause,
            after_seconds=after_seconds,
        )


async def upcoming(store: Store, system: str, kind: str, now: datetime) -> Next | None:
    """The most urgent wish that may be taken now, else the next one, or None."""
    rows = await store.ask(sql.next_wanted, system=system, kind=kind, now=now)
    return Next(ready_at=rows[0].ready_at, priority=rows[0].priority) if rows else None


class Fetcher:
    """Grants the wishes of one kind: waits for one, pays for a call, takes a batch, reads, stores what came.

    `fetch(keys)` makes one call (a second one pays for itself) and returns arrivals, which get the causal numbers "a0"
    (before the read) and "a1" (after it) into their meta unless they carry their own. After a failure batches get
    smaller, so that one bad key does not keep failing its neighbours. An exception's `after_seconds` is honoured.
    Without budgets nothing is paid; `credential` is the system's name unless given.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        system: str,
        kind: str,
        batch: int,
        fetch: Fetch,
        lane: str,
        *,
        budgets: Budgets | None = None,
        credential: str | None = None,
        owner: str = "fetcher",
        on_stuck: OnStuck | None = None,
        lease_seconds: float = LEASE_SECONDS,
        chance: Chance = CHANCE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._what = (system, kind)
        self._batch_max = self._batch = batch
        self._fetch = fetch
        self._lane = lane
        self._budgets = budgets
        self._credential = credential or system
        self._owner = owner
        self._on_stuck = on_stuck
        self._lease_seconds = lease_seconds
        self._chance = chance

    async def run(self, stop: asyncio.Event) -> None:
        """Fetch until told to stop."""
        bell = Bell(self._clock)
        mine = " ".join(self._what)

        def hear(whom: str) -> None:
            if whom in ("", mine):
                bell.ring()

        await self._store.listen(CHANNEL, hear)
        while not stop.is_set():
            beat()
            now = self._clock.now()
            ahead = await upcoming(self._store, *self._what, now)
            if ahead is None or ahead.ready_at > now:
                pause = IDLE_SECONDS if ahead is None else (ahead.ready_at - now).total_seconds()
                await bell.wait(min(pause, IDLE_SECONDS), stop)
                continue
            paid = await unless(stop, self._pay(ahead.priority))
            if paid is not None and not await self._fetch_batch(paid[0]):
                # Somebody else is taking it in this moment.
                await bell.wait(SPIN_SECONDS, stop)

    async def work_once(self) -> int:
        """Fetch one batch if something is due and return how many keys were taken; failures are counted as well."""
        ahead = await upcoming(self._store, *self._what, self._clock.now())
        if ahead is None or ahead.ready_at > self._clock.now():
            return 0
        return await self._fetch_batch((await self._pay(ahead.priority))[0])

    async def _pay(self, priority: int) -> tuple[Grant | None]:
        """A paid call, in a tuple because a free one is None."""
        if self._budgets is None:
            return (None,)
        return (await self._budgets.acquire(self._credential, self._lane, min(priority, PRIORITY)),)

    async def _fetch_batch(self, grant: Grant | None) -> int:
        with prepaid(grant):
            taken, a0 = await self._store.write(self._take, self._clock.now())
            if not taken:
                return 0
            try:
                arrivals = await self._fetch([w.key for w in taken])
            except Exception as error:
                await self._store.write(self._note_failure, taken, error, self._clock.now())
                self._batch = max(1, len(taken) // 2)
            else:
                await self._store.write(_store_fetched, arrivals, taken, a0, self._clock.now())
                self._batch = min(self._batch_max, self._batch * 2)
        return len(taken)

    def _take(self, tx: Tx, now: datetime) -> tuple[list[Wanted], int]:
        taken = take(tx, *self._what, self._batch, self._owner, self._lease_seconds, now)
        return taken, next_seq(tx) if taken else 0

    def _note_failure(self, tx: Tx, taken: Sequence[Wanted], error: Exception, now: datetime) -> None:
        log.warning("fetching %s of %s failed: %s", *reversed(self._what), type(error).__name__)
        least = float(getattr(error, "after_seconds", 0.0))
        cause = cause_of(error)
        for wish in taken:
            pause = max(least, backoff(wish.attempts + 1, self._chance))
            failed(tx, [wish], pause, cause)
            if self._on_stuck is not None and (wish.attempts + 1) % STUCK_ATTEMPTS == 0:
                self._on_stuck(tx, wish, cause, now)


def _store_fetched(tx: Tx, arrivals: Sequence[Arrival], taken: Sequence[Wanted], a0: int, now: datetime) -> None:
    put(tx, with_numbers(arrivals, a0, next_seq(tx)), now)
    got(tx, taken, now)


def with_numbers(arrivals: Sequence[Arrival], a0: int, a1: int) -> list[Arrival]:
    """The arrivals with the causal numbers before and after their read, where they do not carry their own."""
    return [replace(arrival, meta={"a0": a0, "a1": a1, **arrival.meta}) for arrival in arrivals]


def _by_kind(taken: Sequence[Wanted]) -> list[tuple[str, str, list[Wanted]]]:
    """Wishes grouped by system, kind and owner."""
    groups: dict[tuple[str, str, str], list[Wanted]] = {}
    for wish in taken:
        groups.setdefault((wish.system, wish.kind, wish.owner), []).append(wish)
    return [(system, kind, part) for (system, kind, _), part in groups.items()]
