"""The inbox: everything that arrives is stored, sealed, before anybody thinks about it, and handled once.

Rule: a handler decides inside the transaction that marks its row done; it does no I/O outside the database. A row that
cannot be handled is quarantined with its cause, never dropped, and stops nothing but itself. So is one whose key is not
here; it is let go on when the key is.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from sellable.runtime import telemetry, tracing
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Row, Store, Tx
from sellable.runtime.queries import queries
from sellable.runtime.schedule import Bell, beat
from sellable.runtime.seal import IN_THE_OPEN, Broken, KeyAbsent, Seal
from sellable.runtime.together import Together

CHANNEL = "sellable_inbox"
IDLE_SECONDS = 1.0
BATCH = 50
URGENT, USUAL, ROUTINE = 0, 1, 2
POSTS_MAX = 200
BY_AGE_EVERY = 4
"""Every so many batches the oldest go first, so that nothing waits for ever."""
ATTEMPTS_MAX = 3
RETRY_SECONDS = (5.0, 60.0)
"""Pauses after the first, second ... failed attempt; the last one repeats."""
NOT_YET_SECONDS = 2.0
NOT_YET_SECONDS_MAX = 900.0
"""So old may a row be that still waits for something to be looked up; then a person is asked."""
CAUSE_CHARACTERS_MAX = 300

sql = queries("sellable.runtime")
log = logging.getLogger(__name__)
handled = telemetry.counter("inbox_rows", "Rows of the inbox by what became of them.", ["kind", "end"])


class Poison(ValueError):
    """This row can never be handled, so trying again is pointless. The message is the cause, in words for a person."""


class NotYet(Exception):
    """What the row needs to be understood is still being looked up. Costs no attempt: the row only waits."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """Something that arrived. Its identity is (source, message_id); a repeat of a stored identity is ignored.

    Rows of one `lane` are handled one after the other in order of arrival; lane "" promises no order. Of what waits,
    the smallest `priority` goes first: URGENT is what lowers a number, ROUTINE what most often changes nothing.
    `meta` is what was known around the body: causal numbers, chosen headers; JSON values.
    """

    source: str
    message_id: str
    kind: str
    lane: str
    body: bytes
    meta: Mapping[str, Any] = field(default_factory=dict)
    priority: int = USUAL


@dataclass(frozen=True, kw_only=True)
class InboxRow:
    """An arrival as stored. `state` is new, done or quarantined; `due_at` delays the next attempt.

    Of a body that does not open, `body` is empty and `unopened` says why.
    """

    id: int
    source: str
    message_id: str
    kind: str
    lane: str
    priority: int
    body: bytes
    meta: dict[str, Any]
    received_at: datetime
    received_seq: int
    due_at: datetime
    state: str
    attempts: int
    cause: str | None
    settled_at: datetime | None
    case_ref: str | None
    unopened: KeyAbsent | Broken | None = None


Known = Callable[[Tx, Sequence[InboxRow]], set[int]]
"""Of many rows, the ids of those that tell nothing new, found out in one go."""
Handler = Callable[[Tx, InboxRow, datetime], None]
OnPoison = Callable[[Tx, InboxRow, Exception, datetime], str | None]
"""Opens the case of a quarantined row in the same transaction; returns the case's reference."""


def put(tx: Tx, arrivals: Sequence[Arrival], now: datetime) -> int:
    """Store what arrived, sealed, and return how many were new. Equal identities are kept once, the first wins."""
    return len(_put(tx, arrivals, now))


def _put(tx: Tx, arrivals: Sequence[Arrival], now: datetime) -> set[tuple[str, str]]:
    """Identities of those that were new."""
    if not arrivals:
        return set()
    rows = tx.all(
        sql.put_arrivals,
        sources=[a.source for a in arrivals],
        message_ids=[a.message_id for a in arrivals],
        kinds=[a.kind for a in arrivals],
        lanes=[a.lane for a in arrivals],
        priorities=[a.priority for a in arrivals],
        bodies=[tx.seal.close(a.source, a.message_id, a.body) for a in arrivals],
        sealed_with=tx.seal.newest,
        metas=[json.dumps(dict(a.meta)) for a in arrivals],
        channel=CHANNEL,
        told=" ".join(sorted({a.kind for a in arrivals})),
        now=now,
    )
    if rows:
        tx.notified(CHANNEL)
    return {(row.source, row.message_id) for row in rows}


class Letterbox:
    """Stores what is posted, with one commit for all who post while another is on its way.

    Rule: whoever posts hears of it only after the commit that holds it. An arrival that cannot be stored is its
    sender's trouble and nobody else's.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._posts: Together[Sequence[Arrival], int] = Together(self._store_all, most=POSTS_MAX)

    async def post(self, arrivals: Sequence[Arrival]) -> int:
        """Store these and return how many were new. Raises what storing raises."""
        return await self._posts.ask(arrivals)

    async def _store_all(self, posts: Sequence[Sequence[Arrival]]) -> list[int]:
        return await self._store.write_alone(_put_all, posts, self._clock.now())


def _put_all(tx: Tx, posts: Sequence[Sequence[Arrival]], now: datetime) -> list[int]:
    """How many were new, post by post."""
    new = _put(tx, [arrival for arrivals in posts for arrival in arrivals], now)
    counts = []
    for arrivals in posts:
        mine = {(arrival.source, arrival.message_id) for arrival in arrivals} & new
        new -= mine
        counts.append(len(mine))
    return counts


def requeue(tx: Tx, inbox_id: int) -> bool:
    """Let a quarantined row be handled again, with fresh attempts. False when it is not quarantined (any more)."""
    done = tx.run(sql.requeue_arrival, id=inbox_id) == 1
    if done:
        tx.notify(CHANNEL)
    return done


def prune(tx: Tx, before: datetime) -> int:
    """Delete rows done before a moment and return how many. Quarantined rows stay until somebody decides."""
    return tx.run(sql.prune_inbox, before=before)


def find(tx: ReadTx, inbox_id: int) -> InboxRow | None:
    """A stored arrival by id."""
    row = tx.one(sql.find_arrival, id=inbox_id)
    return None if row is None else _row(tx.seal, row)


def reseal(tx: Tx, key_ids: Collection[str], after: int, limit: int = BATCH) -> int | None:
    """Seal the next rows that are stored under any of these keys with the newest one.

    Returns after which id to go on, or None at the end. What does not open is left for whoever handles it.
    """
    rows = tx.all(sql.sealed_before, key_ids=list(key_ids), after=after, limit=limit)
    bodies: dict[int, bytes] = {}
    for row in rows:
        with suppress(KeyAbsent, Broken):
            in_the_open = row.sealed_with == IN_THE_OPEN
            body = row.body if in_the_open else tx.seal.open(row.sealed_with, row.source, row.message_id, row.body)
            bodies[row.id] = tx.seal.close(row.source, row.message_id, body)
    if bodies:
        tx.run(sql.put_bodies, ids=list(bodies), bodies=list(bodies.values()), sealed_with=tx.seal.newest)
    return rows[-1].id if rows else None


class Inbox:
    """Hands stored arrivals to the handler of their kind, a batch in one transaction.

    If a handler raises, the batch begins anew with a savepoint for each row: an exception then undoes its row only.
    After `attempts_max` of them, or at once for any ValueError, the row is quarantined. Until then a row that waits for
    its next attempt holds back its lane; a quarantined one does not. Rows of the kinds `alone` lock what others want:
    each has a transaction to itself, so that nobody waits for a whole batch and no two batches wait for each other.

    With `only` it serves the kinds named by `kinds`, without it all others: so that what waits for a lock of its own
    keeps nobody else waiting. Rows of one lane must be served by one side.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        handlers: Mapping[str, Handler],
        on_poison: OnPoison,
        *,
        known: Known | None = None,
        alone: Collection[str] = (),
        kinds: Collection[str] = (),
        only: bool = False,
        attempts_max: int = ATTEMPTS_MAX,
    ) -> None:
        self._store = store
        self._clock = clock
        self._handlers = handlers
        self._on_poison = on_poison
        self._attempts_max = attempts_max
        self._known = known
        self._alone = frozenset(alone)
        self._kinds = sorted(kinds)
        self._only = only
        self._batch = BATCH
        self._batches = itertools.count()

    async def work_once(self, limit: int = BATCH) -> int:
        """Handle up to `limit` due rows and return how many were tried; 0 means nothing was due and free."""
        tries = itertools.count(1)
        first, now = min(limit, self._batch), self._clock.now()
        by_age = next(self._batches) % BY_AGE_EVERY == BY_AGE_EVERY - 1
        # Batches of two processes may want the same rows in opposite order; one row after the other cannot.
        ends = await self._store.write(lambda tx: self._work(tx, first if next(tries) <= 3 else 1, by_age, now))
        self._batch = min(BATCH, 2 * self._batch) if next(tries) <= 4 else 1
        for kind, end in ends:
            handled.labels(kind, end).inc()
        return len(ends)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop: at each notification, and every second of the clock in case one was lost."""
        bell = Bell(self._clock)
        await self._store.listen(CHANNEL, lambda told: bell.ring() if self.concerns(told) else None)
        while not stop.is_set():
            beat()
            if not await self.work_once():
                await bell.wait(IDLE_SECONDS, stop)

    def concerns(self, told: str) -> bool:
        """Whether a hint names a kind that is served here, or none."""
        return not told or any((kind in self._kinds) is self._only for kind in told.split())

    def _work(self, tx: Tx, limit: int, by_age: bool, now: datetime) -> list[tuple[str, str]]:
        # Two statements: only what is read after the lanes are locked is sure to be the lanes' present state.
        mine = {"kinds": self._kinds, "only": self._only, "now": now, "limit": limit}
        lanes = [row.lane for row in tx.all(sql.lock_inbox_lanes, by_age=by_age, **mine)]
        if not lanes:
            return []
        stalled: set[str] = set()
        done: list[int] = []
        ends: list[tuple[str, str]] = []
        rows = self._together([_row(tx.seal, row) for row in tx.all(sql.claim_arrivals, lanes=lanes, **mine)])
        if self._all_well(tx, rows, now):
            tx.run(sql.arrivals_done, ids=[row.id for row in rows], now=now)
            return [(row.kind, "done") for row in rows]
        for row in rows:
            if row.lane in stalled:
                continue
            error = self._handle(tx, row, now)
            if error is None:
                done.append(row.id)
                ends.append((row.kind, "done"))
            elif self._give_up(row, error, now):
                self._quarantine(tx, row, error, now)
                ends.append((row.kind, "quarantined"))
            else:
                self._postpone(tx, row, error, now)
                ends.append((row.kind, "postponed"))
                stalled |= {row.lane} - {""}
        if done:
            tx.run(sql.arrivals_done, ids=done, now=now)
        return ends

    def _together(self, rows: list[InboxRow]) -> list[InboxRow]:
        """The first rows that may share a transaction; those that must not have one each."""
        if rows and rows[0].kind in self._alone:
            return rows[:1]
        return list(itertools.takewhile(lambda row: row.kind not in self._alone, rows))

    def _all_well(self, tx: Tx, rows: Sequence[InboxRow], now: datetime) -> bool:
        """Whether every row could be handled, in one savepoint; if not, nothing was done: each must get its own."""
        if any(row.unopened for row in rows):
            return False
        try:
            with tx.savepoint():
                known = self._known(tx, rows) if self._known else set()
                for row in rows:
                    if row.id in known:
                        continue
                    self._hand_over(tx, row, now)
                tx.finish()
        except Exception as error:
            if isinstance(error, psycopg.Error) and not _blames_the_row(error):
                raise
            return False
        return True

    def _handle(self, tx: Tx, row: InboxRow, now: datetime) -> Exception | None:
        """What went wrong with the row, if anything. Troubles of the database itself are nobody's poison: they rise."""
        tx.finish()
        try:
            with tx.savepoint():
                if row.unopened:
                    raise row.unopened
                if row.kind not in self._handlers:
                    raise Poison(f"no handler for kind {row.kind!r}")
                self._hand_over(tx, row, now)
                # What the handler left for later belongs to its row too.
                tx.finish()
        except Exception as error:
            if isinstance(error, psycopg.Error) and not _blames_the_row(error):
                raise
            # A value that does not fit is told by its cause; anything else is a mistake of ours and needs its trace.
            trace = None if isinstance(error, (ValueError, NotYet, KeyAbsent)) else error
            log.warning("inbox row %s (%s) failed: %s", row.id, row.kind, type(error).__name__, exc_info=trace)
            return error
        return None

    def _hand_over(self, tx: Tx, row: InboxRow, now: datetime) -> None:
        told: dict[str, tracing.Value] = {
            "sellable.source": row.source, "sellable.inbox_id": row.id, "sellable.attempts": row.attempts,
        }  # fmt: skip
        with tracing.span(f"inbox {row.kind}", "consumer", told):
            self._handlers[row.kind](tx, row, now)

    def _give_up(self, row: InboxRow, error: Exception, now: datetime) -> bool:
        if isinstance(error, NotYet):
            return (now - row.received_at).total_seconds() > NOT_YET_SECONDS_MAX
        return isinstance(error, (ValueError, KeyAbsent)) or row.attempts + 1 >= self._attempts_max

    def _quarantine(self, tx: Tx, row: InboxRow, error: Exception, now: datetime) -> None:
        case_ref = None
        try:
            with tx.savepoint():
                case_ref = self._on_poison(tx, row, error, now)
        except Exception as failure:
            if isinstance(failure, psycopg.Error) and not _blames_the_row(failure):
                raise
            # A case that cannot be opened must not stop the inbox; the row is still found by its state.
            log.exception("no case could be opened for inbox row %s", row.id)
        tx.run(sql.quarantine_arrival, id=row.id, cause=cause_of(error), case_ref=case_ref, now=now)

    def _postpone(self, tx: Tx, row: InboxRow, error: Exception, now: datetime) -> None:
        counted = 0 if isinstance(error, NotYet) else 1
        pause = RETRY_SECONDS[min(row.attempts, len(RETRY_SECONDS) - 1)] if counted else NOT_YET_SECONDS
        due_at = now + timedelta(seconds=pause)
        tx.run(sql.postpone_arrival, id=row.id, cause=cause_of(error), counted=counted, due_at=due_at)


def cause_of(error: Exception) -> str:
    """An exception as a short cause; PostgreSQL's own words are left out because they quote the data."""
    if isinstance(error, psycopg.Error):
        return f"{type(error).__name__} ({error.sqlstate})"
    return f"{type(error).__name__}: {error}"[:CAUSE_CHARACTERS_MAX].replace("\x00", "")


def _blames_the_row(error: psycopg.Error) -> bool:
    """Whether a database error comes from what the row says (bad value, broken constraint, endless statement).

    The others (conflict, lock, lost connection, full disk, read-only server) would hit any row: the batch is repeated.
    """
    data = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.errors.RaiseException)
    return isinstance(error, (*data, psycopg.errors.QueryCanceled))


def _row(seal: Seal, row: Row) -> InboxRow:
    stored = row._asdict()
    key_id, body = stored.pop("sealed_with"), stored.pop("body")
    try:
        return InboxRow(**stored, body=seal.open(key_id, row.source, row.message_id, body))
    except (KeyAbsent, Broken) as error:
        return InboxRow(**stored, body=b"", unopened=error)
