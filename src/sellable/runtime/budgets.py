"""API budgets: how many calls a credential may spend, shared through the database by every process that spends it.

Theory. A credential has a token bucket split into lanes. Each lane fills with its share of the rate up to a small cap;
what overflows a full lane goes to a common pool, from which any lane may borrow. All caps together are `burst`, so in
any window the calls are at most burst + rate * window, which the spec keeps below the vendor's limit; a lane that was
idle always finds its own tokens; a share nobody uses is lent. A breach empties the bucket, stops everybody until the
vendor's Retry-After has passed and halves the rate, which recovers by a tenth with each window's worth of calls.
A vendor that is not available (503) says nothing of our rate: everybody stays away for as long as it asks, else a
second, and twice as long each time it is met so again before it has answered anything. So one that refuses a call now
and then is hardly slowed down, and one that is down is knocked at once a minute.

Rule: no call leaves without a token that was committed as spent before.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import heapq
import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import psycopg

from sellable.runtime.clock import Clock
from sellable.runtime.database import OutcomeUnknown, ReadTx, Row, Store, Tx
from sellable.runtime.queries import queries
from sellable.runtime.schedule import Bell

COMMON = ""
"""Key of the common pool among the lanes; no lane may be called so."""

CHANNEL = "sellable_budget"
PRIORITY = 5
GATHER_SECONDS = 0.025
"""Least pause between two draws of a process: those who ask meanwhile share one transaction."""
SLICE_SECONDS = 0.15
"""Usual pause after a draw that left somebody waiting; a draw asks for no more calls than flow in meanwhile."""
STARVED_SECONDS_MAX = 1.0
AWAY_SECONDS = 1.0
UNAVAILABLE_SECONDS, UNAVAILABLE_SECONDS_MAX = 1.0, 60.0
HOLD_SECONDS_MIN = 1.0
SHRINK_MIN = 1 / 16
RECOVERY_FAST, RECOVERY_SLOW = 1.0, 0.2
"""Part of the calls that went well by which the rate grows: below half of the full rate it doubles in a window."""
_DUST = 1e-9

sql = queries("sellable.runtime")
log = logging.getLogger(__name__)


# --- Arithmetic: values in, values out -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class BudgetSpec:
    """What may be spent: the vendor allows `calls` in any `window_seconds`, of which we use the part `usable`.

    `burst` is how many calls may leave at once; it must leave a token for each lane and one to lend. `lanes` are the
    reserved shares of the rate, together at most 1. Raises ValueError for numbers that cannot hold.
    """

    credential: str
    calls: int
    window_seconds: float
    burst: int
    lanes: Mapping[str, float]
    usable: float = 0.85

    def __post_init__(self) -> None:
        where = f"budget {self.credential!r}"
        if not self.lanes or COMMON in self.lanes or min(self.lanes.values()) <= 0:
            raise ValueError(f"{where}: wants named lanes with shares above 0")
        if sum(self.lanes.values()) > 1 + _DUST:
            raise ValueError(f"{where}: the shares of the lanes are more than 1 together")
        if not 0 < self.usable <= 1 or self.window_seconds <= 0:
            raise ValueError(f"{where}: usable must be in (0, 1] and the window above 0")
        if self.burst < len(self.lanes) + 1:
            raise ValueError(
                f"{where}: burst must be at least {len(self.lanes) + 1}, a call for each lane and one more"
            )
        if self.burst >= self.calls * self.usable:
            raise ValueError(f"{where}: burst {self.burst} leaves nothing of {self.calls * self.usable:g} usable calls")

    @functools.cached_property
    def rate(self) -> float:
        """Calls a second that flow in, all lanes together."""
        return (self.calls * self.usable - self.burst) / self.window_seconds

    @functools.cached_property
    def caps(self) -> dict[str, float]:
        """Most tokens of each lane and of the common pool; together exactly `burst`."""
        spare = self.burst - len(self.lanes) - 1
        caps = {lane: 1 + share * spare / 2 for lane, share in self.lanes.items()}
        return caps | {COMMON: self.burst - sum(caps.values())}

    @functools.cached_property
    def slice_seconds(self) -> float:
        """Pause between draws of the starved: short enough that the common pool does not overflow, and lose, in it."""
        return min(SLICE_SECONDS, max(GATHER_SECONDS, self.caps[COMMON] / self.rate / 2))

    @property
    def hold_seconds(self) -> float:
        """How long a drawn call may be kept: what bunches up then still fits into the part left unused."""
        return max(HOLD_SECONDS_MIN, self.calls * (1 - self.usable) / self.rate)


Level = Mapping[str, float]
"""Tokens by lane, the common pool included."""


def refill(spec: BudgetSpec, level: Level, seconds: float, shrink: float = 1.0) -> dict[str, float]:
    """The level after `seconds` at `shrink` of the full rate; what overflows a lane goes to the common pool."""
    caps = spec.caps
    flow = spec.rate * shrink * max(seconds, 0.0)
    filled = {lane: level.get(lane, 0.0) + flow * share for lane, share in spec.lanes.items()}
    overflow = sum(max(0.0, tokens - caps[lane]) for lane, tokens in filled.items())
    unshared = flow * max(0.0, 1 - sum(spec.lanes.values()))
    capped = {lane: min(tokens, caps[lane]) for lane, tokens in filled.items()}
    return capped | {COMMON: min(level.get(COMMON, 0.0) + overflow + unshared, caps[COMMON])}


def draw(level: Level, asked: Sequence[str]) -> tuple[dict[str, float], list[bool]]:
    """Serve the asked lanes in order, a token each: of the lane's own first, what is missing from the common pool."""
    left = dict(level)
    served = []
    for lane in asked:
        own = min(left[lane], 1.0)
        lent = 1.0 - own
        enough = left[COMMON] + _DUST >= lent
        if enough:
            left[lane] -= own
            left[COMMON] = max(0.0, left[COMMON] - lent)
        served.append(enough)
    return left, served


def seconds_to_token(spec: BudgetSpec, level: Level, lane: str, shrink: float = 1.0) -> float:
    """The least time until `lane` could draw again."""
    missing = 1.0 - level[lane] - level[COMMON]
    # The whole rate at best reaches one lane: when all others overflow.
    return max(0.0, missing) / (spec.rate * shrink)


def recover(spec: BudgetSpec, shrink: float, calls: int) -> float:
    """The shrink factor after `calls` without a breach."""
    part = RECOVERY_FAST if shrink < 0.5 else RECOVERY_SLOW
    return min(1.0, shrink + part * calls / (spec.calls * spec.usable))


def away_for(in_vain: int) -> float:
    """Seconds to stay away from a vendor that was met unavailable so many times in a row before."""
    return min(UNAVAILABLE_SECONDS * 2.0 ** min(in_vain, 10), UNAVAILABLE_SECONDS_MAX)


@dataclass(frozen=True, kw_only=True)
class Use:
    """Calls of a lane in the window numbered `slot` and in the one before it."""

    slot: int = 0
    used: int = 0
    used_before: int = 0

    def add(self, calls: int, at: float, window: float) -> Use:
        """The counts after `calls` more at unix second `at`."""
        slot = math.floor(at / window)
        if slot == self.slot:
            return replace(self, used=self.used + calls)
        return Use(slot=slot, used=calls, used_before=self.used if slot == self.slot + 1 else 0)

    def recent(self, at: float, window: float) -> int:
        """Calls in the window that ends at `at`, the older part as if spread evenly."""
        now = self.add(0, at, window)
        return now.used + round(now.used_before * (1 - (at / window - now.slot)))


# --- The shared account ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """What a transaction took: one flag for each ask, and how long to wait before it makes sense to ask again."""

    served: list[bool]
    wait_seconds: float
    cooling_seconds: float


def _draw(tx: Tx, spec: BudgetSpec, asked: Sequence[str]) -> _Drawn:
    """Fill the account up to now, serve the asks, write it back."""
    state = tx.one(sql.lock_budget, credential=spec.credential)
    if state is None:
        tx.run(sql.open_budget, credential=spec.credential)
        state = tx.one(sql.lock_budget, credential=spec.credential)
        assert state is not None
    now: datetime = state.now
    rows = {row.lane: row for row in tx.all(sql.budget_lanes, credential=spec.credential)}
    if state.cooldown_until is not None and state.cooldown_until > now:
        cooling = (state.cooldown_until - now).total_seconds()
        return _Drawn(served=[False] * len(asked), wait_seconds=cooling, cooling_seconds=cooling)
    # Nothing flows in during a cooldown; a clock that was set back gives nothing for the time it repeats.
    since = max(state.filled_at, state.cooldown_until or state.filled_at)
    # A credential never used starts full, a lane added later starts empty.
    level = {lane: row.tokens for lane, row in rows.items()} if rows else spec.caps
    filled = refill(spec, level, (now - since).total_seconds(), state.shrink)
    left, served = draw(filled, asked)
    shrink = recover(spec, state.shrink, sum(served))
    _write_back(tx, spec, left, rows, asked, served, now, shrink)
    unserved = [lane for lane, ok in zip(asked, served, strict=True) if not ok]
    wait = min((seconds_to_token(spec, left, lane, shrink) for lane in unserved), default=0.0)
    return _Drawn(served=served, wait_seconds=wait, cooling_seconds=0.0)


def _write_back(
    tx: Tx,
    spec: BudgetSpec,
    left: Level,
    rows: Mapping[str, Row],
    asked: Sequence[str],
    served: Sequence[bool],
    now: datetime,
    shrink: float,
) -> None:
    paid = [lane for lane, ok in zip(asked, served, strict=True) if ok]
    uses = {lane: _use_of(rows.get(lane)).add(paid.count(lane), now.timestamp(), spec.window_seconds) for lane in left}
    tx.run(
        sql.fill_budget,
        credential=spec.credential,
        filled_at=now,
        shrink=shrink,
        lanes=list(left),
        tokens=list(left.values()),
        slots=[use.slot for use in uses.values()],
        used=[use.used for use in uses.values()],
        used_before=[use.used_before for use in uses.values()],
    )


# --- One process's share of it ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class Grant:
    """One call that may be made. Use it soon or give it back: kept too long it is worth nothing."""

    credential: str
    lane: str
    priority: int
    _till: _Till = field(repr=False)
    drawn_at: float = field(repr=False)
    spent: bool = False

    def take(self) -> bool:
        """Spend it; False when it was spent before, is too old, or came before a breach."""
        ok = not self.spent and self._till.still_good(self.drawn_at)
        self.spent = True
        return ok

    def give_back(self) -> None:
        """Leave it to whoever asks next; nothing happens when it is spent."""
        if not self.spent:
            self.spent = True
            self._till.take_back(self.drawn_at)


_prepaid: contextvars.ContextVar[Grant | None] = contextvars.ContextVar("prepaid", default=None)
_urgency: contextvars.ContextVar[int] = contextvars.ContextVar("urgency", default=PRIORITY)


@contextlib.contextmanager
def urgent(priority: int) -> Iterator[None]:
    """Inside, calls that are not prepaid wait with this priority instead of behind everybody else in their lane."""
    token = _urgency.set(priority)
    try:
        yield
    finally:
        _urgency.reset(token)


@contextlib.contextmanager
def prepaid(grant: Grant | None) -> Iterator[None]:
    """Inside, the first `spend` of the grant's credential uses the grant and later ones go before new work.

    A grant that was not needed is given back at the end.
    """
    token = _prepaid.set(grant)
    try:
        yield
    finally:
        _prepaid.reset(token)
        if grant is not None:
            grant.give_back()


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A lane of a budget as people see it; `used` are calls of all processes in the last window, `waiting` ours."""

    credential: str
    lane: str
    share: float
    calls: int
    window_seconds: float
    used: int
    tokens: float
    waiting: int
    cooldown_until: datetime | None
    shrink: float


class Budgets:
    """The accounts of some credentials. Raises ValueError for a credential or lane that no spec names."""

    def __init__(self, store: Store, clock: Clock, specs: Sequence[BudgetSpec]) -> None:
        self._store = store
        self._tills = {spec.credential: _Till(store, clock, spec) for spec in specs}
        self._listening: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Hear at once of breaches that other processes saw. The first `acquire` sees to it, without waiting."""
        await self._ear()

    def lanes(self, credential: str) -> tuple[str, ...]:
        """Names of a credential's lanes."""
        return tuple(self._till(credential).spec.lanes)

    async def acquire(self, credential: str, lane: str, priority: int = PRIORITY) -> Grant:
        """Wait for a call of the lane; smaller priorities are served first, then who came first."""
        till = self._till(credential)
        if lane not in till.spec.lanes:
            raise ValueError(f"budget {credential!r} has no lane {lane!r}, only {', '.join(till.spec.lanes)}")
        self._ear()
        return await till.acquire(lane, priority)

    async def spend(self, credential: str, lane: str) -> None:
        """Pay for one call that is about to be made: with the prepaid grant if there is one, else by waiting."""
        grant, priority = _prepaid.get(), _urgency.get()
        if grant is not None and grant.credential == credential:
            # What has begun is finished before new work of the same urgency begins.
            priority = grant.priority - 1
            if grant.take():
                return
        # A breach may come between the draw and here: then the call waits like all others.
        while not (await self.acquire(credential, lane, priority)).take():
            pass

    async def breach(self, credential: str, retry_after_seconds: float) -> None:
        """The vendor said no: nobody calls for so many seconds, and then at half the rate, recovering slowly."""
        await self._till(credential).breach(retry_after_seconds)

    async def unavailable(self, credential: str, retry_after_seconds: float | None) -> None:
        """The vendor is not there: nobody calls for as long as it asks, or (None) longer each time in a row."""
        await self._till(credential).unavailable(retry_after_seconds)

    def answered(self, credential: str) -> None:
        """The vendor is there: it has answered something."""
        self._till(credential).in_vain = 0

    async def usage(self) -> list[Usage]:
        """Every lane of every credential, as committed; a credential never used is left out."""
        return await self._store.read(self._usage)

    def _ear(self) -> asyncio.Task[None]:
        if self._listening is None:
            self._listening = asyncio.create_task(self._store.listen(CHANNEL, self._hear), name="budget listener")
        return self._listening

    def _hear(self, breach: str) -> None:
        credential, _, seconds = breach.rpartition(" ")
        if credential in self._tills:
            self._tills[credential].cool(float(seconds))

    def _usage(self, tx: ReadTx) -> list[Usage]:
        found = []
        for row in tx.all(sql.budget_overview, credentials=list(self._tills)):
            till = self._tills[row.credential]
            if row.lane in till.spec.lanes:
                found.append(
                    Usage(
                        credential=row.credential,
                        lane=row.lane,
                        share=till.spec.lanes[row.lane],
                        calls=till.spec.calls,
                        window_seconds=till.spec.window_seconds,
                        used=_use_of(row).recent(row.now.timestamp(), till.spec.window_seconds),
                        tokens=row.tokens,
                        waiting=till.waiting(row.lane),
                        cooldown_until=row.cooldown_until,
                        shrink=row.shrink,
                    )
                )
        return found

    def _till(self, credential: str) -> _Till:
        if credential not in self._tills:
            raise ValueError(f"no budget is declared for credential {credential!r}")
        return self._tills[credential]


@dataclass(order=True)
class _Waiter:
    priority: int
    place: int
    lane: str = field(compare=False)
    future: asyncio.Future[Grant] = field(compare=False)


class _Till:
    """Everybody of this process who waits for one credential, and the one task that draws for them all."""

    def __init__(self, store: Store, clock: Clock, spec: BudgetSpec) -> None:
        self.spec = spec
        self._store = store
        self._clock = clock
        self._waiters: list[_Waiter] = []
        self._places = itertools.count()
        self._spares: list[float] = []
        self._bell = Bell(clock)
        self._task: asyncio.Task[None] | None = None
        self._starved: set[str] = set()
        self._drawn_at = -math.inf
        self._breached_at = -math.inf
        self._cool_until = -math.inf
        self.in_vain = 0

    async def acquire(self, lane: str, priority: int) -> Grant:
        waiter = _Waiter(priority, next(self._places), lane, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiters, waiter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve(), name=f"budget {self.spec.credential}")
        elif lane not in self._starved:
            self._bell.ring()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                waiter.future.result().give_back()
            raise

    def cool(self, seconds: float) -> None:
        """Nothing drawn until now is good any more, and nothing is drawn for so many seconds."""
        now = self._clock.monotonic()
        self._breached_at, self._cool_until = now, max(self._cool_until, now + seconds)
        self._spares.clear()

    async def breach(self, seconds: float) -> None:
        self.cool(seconds)
        await self._store.write(_cool, self.spec.credential, seconds)

    async def unavailable(self, asked_seconds: float | None) -> None:
        if not asked_seconds:
            if self._clock.monotonic() < self._cool_until:
                return  # It left before everybody stopped, and tells nothing new.
            asked_seconds = away_for(self.in_vain)
            self.in_vain += 1
        self.cool(asked_seconds)
        await self._store.write(_stay_away, self.spec.credential, asked_seconds, empty=self.in_vain > 1)

    def waiting(self, lane: str) -> int:
        return sum(waiter.lane == lane and not waiter.future.done() for waiter in list(self._waiters))

    def still_good(self, drawn_at: float) -> bool:
        return drawn_at > self._breached_at and self._clock.monotonic() - drawn_at <= self.spec.hold_seconds

    def take_back(self, drawn_at: float) -> None:
        if self.still_good(drawn_at):
            self._spares.append(drawn_at)
            self._bell.ring()

    async def _serve(self) -> None:
        """Draw until nobody waits; an error that is not the database being away ends everybody's wait with it."""
        try:
            while self._hand_out_spares():
                await self._clock.sleep(self._drawn_at + GATHER_SECONDS - self._clock.monotonic())
                await self._bell.wait(await self._draw_once())
        except Exception as error:
            for waiter in self._waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(error)
            self._waiters.clear()

    def _hand_out_spares(self) -> bool:
        """Give what others gave back to the most urgent; whether somebody still waits."""
        self._waiters = [waiter for waiter in self._waiters if not waiter.future.done()]
        heapq.heapify(self._waiters)
        while self._waiters and self._spares:
            drawn_at = self._spares.pop()
            if self.still_good(drawn_at):
                self._deliver(heapq.heappop(self._waiters), drawn_at)
        return bool(self._waiters)

    async def _draw_once(self) -> float:
        """One transaction for all who wait; returns how long to wait before the next one, unless somebody rings."""
        if (cooling := self._cool_until - self._clock.monotonic()) > 0:
            self._starved = set(self.spec.lanes)
            return cooling
        asking = self._asking()
        # A call counts from the moment it could first have left, which is before its transaction ends.
        began = self._drawn_at = self._clock.monotonic()
        try:
            drawn = await self._store.write(_draw, self.spec, [waiter.lane for waiter in asking])
        except (psycopg.OperationalError, OutcomeUnknown) as error:
            log.warning("budget %s cannot be drawn: %s", self.spec.credential, type(error).__name__)
            return AWAY_SECONDS
        self._starved = {waiter.lane for waiter, ok in zip(asking, drawn.served, strict=True) if not ok}
        if drawn.cooling_seconds:
            self._cool_until = max(self._cool_until, self._clock.monotonic() + drawn.cooling_seconds)
        for waiter, ok in zip(asking, drawn.served, strict=True):
            if ok:
                self._deliver(waiter, began)
        return max(self.spec.slice_seconds, min(drawn.wait_seconds, STARVED_SECONDS_MAX)) if self._starved else 0.0

    def _asking(self) -> list[_Waiter]:
        """The most urgent of each lane, as many as a slice of the rate; every lane asks, for its own tokens wait."""
        most = max(1, math.ceil(self.spec.rate * self.spec.slice_seconds))
        asking: list[_Waiter] = []
        for lane in self.spec.lanes:
            asking += sorted(w for w in self._waiters if w.lane == lane and not w.future.done())[:most]
        return sorted(asking)

    def _deliver(self, waiter: _Waiter, drawn_at: float) -> None:
        grant = Grant(self.spec.credential, waiter.lane, waiter.priority, self, drawn_at)
        if waiter.future.done():
            grant.give_back()
        else:
            waiter.future.set_result(grant)


def _cool(tx: Tx, credential: str, seconds: float) -> None:
    tx.run(sql.open_budget, credential=credential)
    tx.run(sql.cool_budget, credential=credential, seconds=seconds, floor=SHRINK_MIN)
    tx.run(sql.empty_budget, credential=credential)
    tx.notify(CHANNEL, f"{credential} {seconds!r}")


def _stay_away(tx: Tx, credential: str, seconds: float, *, empty: bool) -> None:
    """Its rate stays; where it is met so again and again, what was saved up goes, so that one call asks first."""
    tx.run(sql.open_budget, credential=credential)
    tx.run(sql.close_budget, credential=credential, seconds=seconds)
    if empty:
        tx.run(sql.empty_budget, credential=credential)
    tx.notify(CHANNEL, f"{credential} {seconds!r}")


def _use_of(row: Row | None) -> Use:
    return Use() if row is None else Use(slot=row.slot, used=row.used, used_before=row.used_before)
