"""The dispatcher: carries out what we owe, within each vendor's budget, and never guesses an outcome.

Rule: the budget first, the work second: a call is paid before the most urgent operation of that moment is picked.
An operation whose last copy has no known outcome is resolved by its duty, never sent again blindly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg

from sellable.runtime import operations, telemetry, tracing
from sellable.runtime.budgets import PRIORITY, Budgets, Grant, prepaid
from sellable.runtime.clock import Clock
from sellable.runtime.database import OutcomeUnknown, Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import cause_of
from sellable.runtime.operations import CHANNEL, SELF, Done, Later, NotApplied, Operation, Outcome, Rejected, Unknown
from sellable.runtime.schedule import CHANCE, Bell, Chance, backoff, beat, unless

LEASE_SECONDS = 60.0
RENEW_SECONDS = 15.0
"""A lease is renewed while its operation runs, so it ends only with the process (or a pause of it)."""
IDLE_SECONDS = 5.0
STRAYS_SECONDS = 60.0
SPIN_SECONDS = 0.1
AWAY_SECONDS = 1.0
GRACE_SECONDS = 20.0
ATTEMPTS_MAX = 8
WRITE_TRIES = 10

log = logging.getLogger(__name__)
outcomes = telemetry.counter("operations", "Operations by what a claim of them led to.", ["system", "kind", "outcome"])

Carry = Callable[[Operation], Awaitable[Outcome]]
CarryTogether = Callable[[Sequence[Operation]], Awaitable[Mapping[str, Outcome]]]
"""Carries out several operations of a kind in one call; an outcome for each, by its id."""
Settled = Callable[[Tx, Operation, Outcome, datetime], None]
OnPoison = Callable[[Tx, Operation, str, datetime], None]
"""Opens the case of an operation that is held, in the same transaction; the text is the cause."""


@dataclass(frozen=True, kw_only=True)
class Duty:
    """How operations of one kind are carried out.

    `send` does it; `resolve` finds out what became of an earlier copy (None: sending twice does no harm, so send).
    `settled` hears Done and Rejected, in the transaction that writes them, and decides what they mean. After
    `max_attempts` outcomes that were neither, the operation is held and becomes a case.
    Where `together` is given, up to `most` operations of which no copy is open go in one call of it; what that leaves
    open of each is found out by itself.
    """

    kind: str
    send: Carry
    resolve: Carry | None
    settled: Settled
    max_attempts: int = ATTEMPTS_MAX
    together: CarryTogether | None = None
    most: int = 1


class Dispatcher:
    """Pumps, one for each (system, budget lane), that claim and carry out operations.

    `concurrency` says how many operations of a system may run at once here; only its systems are served.
    Whoever starts the process calls `operations.disown(owner)` first, before anything of that owner claims.
    `credentials` says which budget pays for a system, by default the one of its name; "self" needs none.
    Failed attempts back off (0 to 2, 4 ... 256, 300 s; see schedule.backoff) unless the outcome asks for longer.
    Raises ValueError when a system has no budget.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        budgets: Budgets,
        duties: Sequence[Duty],
        on_poison: OnPoison,
        owner: str,
        concurrency: Mapping[str, int],
        *,
        credentials: Mapping[str, str] | None = None,
        chance: Chance = CHANCE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._budgets = budgets
        self._duties = {duty.kind: duty for duty in duties}
        self._on_poison = on_poison
        self._owner = owner
        self._chance = chance
        given = credentials or {}
        self._pumps = [
            _Pump(system, lane, given.get(system, system))
            for system in concurrency
            for lane in ([""] if system == SELF else budgets.lanes(given.get(system, system)))
        ]
        self._slots = {system: asyncio.Semaphore(limit) for system, limit in concurrency.items()}
        self._running: dict[tuple[str, int], Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Work until told to stop; then claim nothing more and give what runs `grace_seconds` to end.

        What runs longer is left as it is: its next owner resolves it.
        """
        await self._store.listen(CHANNEL, self._ring)
        keeper = asyncio.create_task(self._every(RENEW_SECONDS, self._renew), name="operation leases")
        strays = asyncio.create_task(self._every(STRAYS_SECONDS, self._hold_strays), name="stray operations")
        try:
            async with asyncio.TaskGroup() as group:
                for pump in self._pumps:
                    group.create_task(self._serve(pump, stop), name=f"operations {pump.system} {pump.lane}".strip())
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._clock.real_timeout(grace_seconds))
        finally:
            left = [keeper, strays, *self._tasks]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def drain_once(self) -> int:
        """Carry out, one after the other, everything due now and whatever that makes due at once; returns how many."""
        count = 0
        busy = True
        while busy:
            busy = False
            for pump in self._pumps:
                while (priority := (await self._look(pump)).priority) is not None:
                    (grant,) = await self._pay(pump, priority)
                    if (op := await self._claim(pump)) is None:
                        if grant is not None:
                            grant.give_back()
                        break
                    await self._carry_out(op, grant)
                    count, busy = count + 1, True
        return count

    # --- Pumps -------------------------------------------------------------------------------------------------------

    async def _serve(self, pump: _Pump, stop: asyncio.Event) -> None:
        pump.bell = Bell(self._clock)
        while not stop.is_set():
            beat()
            try:
                await self._turn(pump, stop)
            except (psycopg.OperationalError, OutcomeUnknown) as error:
                log.warning("operations of %s wait for the database: %s", pump.system, type(error).__name__)
                await unless(stop, self._clock.sleep(AWAY_SECONDS))

    async def _turn(self, pump: _Pump, stop: asyncio.Event) -> None:
        """Wait for work, for a free slot and for a paid call, in this order; then start the most urgent operation."""
        assert pump.bell is not None
        ahead = await self._look(pump)
        if ahead.priority is None:
            await pump.bell.wait(ahead.wait_seconds, stop)
            return
        slots = self._slots[pump.system]
        if not await unless(stop, slots.acquire()):
            return
        started = False
        try:
            paid = await unless(stop, self._pay(pump, ahead.priority))
            if paid is None:
                return
            (grant,) = paid
            try:
                op = await self._claim(pump)
                if op is not None:
                    self._start(op, grant, slots)
                    started = True
            finally:
                if not started and grant is not None:
                    grant.give_back()
        finally:
            if not started:
                slots.release()
        if not started:
            # Another process took it, or is taking it at this moment.
            await pump.bell.wait(SPIN_SECONDS, stop)

    def _start(self, op: Operation, grant: Grant | None, slots: asyncio.Semaphore) -> None:
        task = asyncio.create_task(self._carry_out(op, grant), name=f"operation {op.id}")
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            slots.release()

        task.add_done_callback(ended)

    async def _look(self, pump: _Pump) -> _Ahead:
        now = self._clock.now()
        priority, due = await operations.ahead(self._store, pump.system, pump.lane, now)
        if priority is not None or due is None:
            return _Ahead(priority, IDLE_SECONDS)
        return _Ahead(None, min((due - now).total_seconds(), IDLE_SECONDS))

    async def _pay(self, pump: _Pump, priority: int) -> tuple[Grant | None]:
        """A paid call, in a tuple because a free one is None."""
        if pump.system == SELF:
            return (None,)
        return (await self._budgets.acquire(pump.credential, pump.lane, min(priority, PRIORITY)),)

    async def _claim(self, pump: _Pump) -> Operation | None:
        claimed = await self._store.write(
            operations.claim, pump.system, [pump.lane], self._owner, LEASE_SECONDS, self._clock.now(), 1
        )
        return claimed[0] if claimed else None

    def _ring(self, whom: str) -> None:
        """Wake who serves `whom` (see `operations.address`), everybody for ""."""
        for pump in self._pumps:
            if pump.bell is not None and whom in ("", operations.address(pump.system, pump.lane)):
                pump.bell.ring()

    # --- One operation -----------------------------------------------------------------------------------------------

    async def _carry_out(self, op: Operation, grant: Grant | None) -> None:
        self._hold_lease(op)
        taken = [op]
        try:
            duty = self._duties.get(op.kind)
            if duty is None:
                if grant is not None:
                    grant.give_back()
                await self._persist(self._give_up, op, Later(0.0, f"no duty for kind {op.kind!r}"))
                return
            taken += await self._more(duty, op)
            with tracing.span(f"{op.system} {op.kind}", "internal", _told(op)) as told:
                found = await self._attempt(duty, taken, grant)
                told.say({"sellable.outcome": ",".join(sorted({type(outcome).__name__ for _, outcome in found}))})
                for each, outcome in found:
                    await self._note(duty, each, outcome)
        except Exception:
            log.exception("operation %s could not be carried out", op.id)
        finally:
            for each in taken:
                del self._running[each.id, each.epoch]

    async def _note(self, duty: Duty, op: Operation, outcome: Outcome) -> None:
        try:
            await self._record(duty, op, outcome)
        except Exception:
            # The lease ends by itself, and the next owner finds out what became of it.
            log.exception("the outcome of operation %s could not be written", op.id)

    def _hold_lease(self, op: Operation) -> None:
        # By claim: a process that stood still longer than its leases may claim anew what it is still carrying out.
        self._running[op.id, op.epoch] = op

    async def _more(self, duty: Duty, op: Operation) -> list[Operation]:
        """Operations that go in the same call, unless something of this one is open."""
        if duty.together is None or duty.most < 2 or op.was_unknown:
            return []
        now, most = self._clock.now(), duty.most - 1
        try:
            more = await self._store.write(operations.claim_alike, op, self._owner, LEASE_SECONDS, now, most)
        except (psycopg.OperationalError, OutcomeUnknown):
            return []  # What was claimed all the same is found by whoever takes over its lease.
        for each in more:
            self._hold_lease(each)
        return more

    async def _attempt(
        self, duty: Duty, taken: Sequence[Operation], grant: Grant | None
    ) -> list[tuple[Operation, Outcome]]:  # fmt: skip
        """Send, or resolve what an earlier copy left open; whatever goes wrong in an unforeseen way is Unknown."""
        op = taken[0]
        carry = duty.resolve if op.was_unknown and duty.resolve is not None else duty.send
        found: Mapping[str, Outcome]
        with prepaid(grant):
            try:
                if len(taken) > 1 and duty.together is not None:
                    found = await duty.together(taken)
                else:
                    found = {op.id: await carry(op)}
            except Exception as error:
                log.warning("operation %s (%s) raised %s", op.id, op.kind, type(error).__name__)
                found = {each.id: Unknown(cause_of(error)) for each in taken}
        return [(each, self._paced(each, found.get(each.id, Unknown("no outcome was told")))) for each in taken]

    def _paced(self, op: Operation, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Unknown | NotApplied):
            pause = max(outcome.after_seconds, backoff(op.attempts + 1, self._chance))
            return replace(outcome, after_seconds=pause)
        return outcome

    async def _record(self, duty: Duty, op: Operation, outcome: Outcome) -> None:
        try:
            counted = await self._persist(self._write_outcome, duty, op, outcome)
        except (psycopg.OperationalError, OutcomeUnknown):
            raise
        except Exception as error:
            # Something of ours cannot take in what happened outside. The effect stands, so the operation stops here,
            # with its case, and is resolved once more when somebody releases it.
            log.exception("what became of operation %s (%s) could not be taken in", op.id, op.kind)
            counted = await self._persist(self._give_up, op, Unknown(f"{type(outcome).__name__}: {cause_of(error)}"))
        outcomes.labels(op.system, op.kind, type(outcome).__name__ if counted else "Fenced").inc()

    def _write_outcome(self, tx: Tx, duty: Duty, op: Operation, outcome: Outcome, now: datetime) -> bool:
        if not operations.settle(tx, op, outcome, now):
            log.warning("an outcome of operation %s came too late to count", op.id)
            return False
        if isinstance(outcome, Done | Rejected):
            duty.settled(tx, op, outcome, now)
        elif isinstance(outcome, Unknown | NotApplied) and op.attempts + 1 >= duty.max_attempts:
            self._hold(tx, op, f"{op.attempts + 1} attempts, last: {outcome.cause}", now)
        return True

    def _give_up(self, tx: Tx, op: Operation, outcome: Unknown | Later, now: datetime) -> bool:
        if not operations.settle(tx, op, outcome, now):
            return False
        self._hold(tx, op, outcome.cause, now)
        return True

    def _hold(self, tx: Tx, op: Operation, cause: str, now: datetime) -> None:
        if not operations.hold(tx, op.id, cause):
            return
        try:
            with tx.savepoint():
                self._on_poison(tx, op, cause, now)
        except psycopg.OperationalError:
            raise
        except Exception:
            # A case that cannot be opened must not lose the outcome; the row is still found by its state.
            log.exception("no case could be opened for operation %s", op.id)

    async def _persist(self, write: Callable[..., bool], *args: object) -> bool:
        """Write what became of an operation, through any short absence of the database: memory is all that knows it."""
        for tried in range(1, WRITE_TRIES):
            try:
                return await self._store.write(write, *args, self._clock.now())
            except (psycopg.OperationalError, OutcomeUnknown) as error:
                log.warning("an outcome waits for the database: %s", type(error).__name__)
                await self._clock.sleep(backoff(tried, self._chance, cap=15.0))
        return await self._store.write(write, *args, self._clock.now())

    # --- Housekeeping ------------------------------------------------------------------------------------------------

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:
                log.warning("housekeeping of operations failed: %s", type(error).__name__)
            await self._clock.sleep(seconds)

    async def _renew(self) -> None:
        if running := list(self._running.values()):
            await self._store.write(operations.renew, running, self._owner, LEASE_SECONDS)

    async def _hold_strays(self) -> None:
        await self._store.write(self._stop_strays, self._clock.now())

    def _stop_strays(self, tx: Tx, now: datetime) -> None:
        for op in operations.strays(tx, [(pump.system, pump.lane) for pump in self._pumps]):
            self._hold(tx, op, f"system {op.system!r} has no budget lane {op.budget!r}", now)


def _told(op: Operation) -> dict[str, tracing.Value]:
    """What a span says of an operation."""
    return {
        "sellable.vendor": op.system, "sellable.lane": op.budget, "sellable.priority": op.priority,
        "sellable.operation": op.id, "sellable.sends": op.sends,
    }  # fmt: skip


@dataclass
class _Pump:
    """One (system, budget lane) that is served; the bell exists while it runs."""

    system: str
    lane: str
    credential: str
    bell: Bell | None = None


@dataclass(frozen=True)
class _Ahead:
    """Priority of what may be claimed now, or how long to wait for a hint."""

    priority: int | None
    wait_seconds: float = 0.0
