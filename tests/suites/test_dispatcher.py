"""The dispatcher on a real database: paid first, picked second, outcomes written once, nothing guessed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import psycopg
import pytest
from tests.simulation.mutants import no_epoch

from sellable.runtime.budgets import Budgets, BudgetSpec, Grant
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.dispatcher import Dispatcher, Duty
from sellable.runtime.ids import Ids
from sellable.runtime.operations import (
    SELF,
    Done,
    Intent,
    Later,
    NotApplied,
    Operation,
    Outcome,
    Rejected,
    Unknown,
    claim,
    claim_alike,
    disown,
    find,
    open_in_lane,
    owe,
    release,
)
from sellable.runtime.queries import Query

ERP = "erp"
LANES = {"orders": 0.5, "writes": 0.4}


def query(text: str) -> Query:
    return Query(package="test", name="test", purpose="test", text=text)


EXPIRE = query("UPDATE operation SET lease_until = app_now() - interval '1 s' WHERE owner IS NOT NULL")
DUE = query("UPDATE operation SET due_at = app_now() - interval '1 s'")
NOTES = query("SELECT array_agg(name ORDER BY name) FROM feed")
NOTE = query("INSERT INTO feed (name, due_at) VALUES (%(name)s, %(now)s) ON CONFLICT DO NOTHING")


@pytest.fixture
def fast(migrated_url: str, store: Store) -> Iterator[Store]:
    """A store on a clock sixty times as fast, next to the fixture that empties the tables."""
    origin = time.time()
    fast = Store(migrated_url, Clock(speed=60, origin=origin, start=origin))
    yield fast
    fast.close()


class World:
    """One vendor as a duty sees it: what was asked of it, what it answers, and what we wrote about it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = store.clock
        self.ids = Ids(self.clock)
        self.spec = BudgetSpec(credential=ERP, calls=4000, window_seconds=60, burst=100, lanes=LANES)
        self.budgets = Budgets(store, self.clock, [self.spec])
        self.sent: list[str] = []
        self.resolved: list[str] = []
        self.settled: list[tuple[str, Outcome]] = []
        self.cases: list[tuple[str, str]] = []
        self.answer: Callable[[Operation], Awaitable[Outcome]] = self.done
        self.found: Outcome = NotApplied("not found")
        self.repeatable = False
        self.most = 1
        self.calls: list[list[str]] = []
        self.broken: Exception | None = None

    @staticmethod
    async def done(op: Operation) -> Outcome:
        return Done({"order": op.lane})

    async def send(self, op: Operation) -> Outcome:
        self.sent.append(op.lane)
        return await self.answer(op)

    async def send_together(self, ops: Sequence[Operation]) -> dict[str, Outcome]:
        self.calls.append([op.lane for op in ops])
        return {op.id: await self.answer(op) for op in ops}

    async def resolve(self, op: Operation) -> Outcome:
        self.resolved.append(op.lane)
        return self.found

    def on_settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        tx.run(NOTE, name=f"{op.lane} {type(outcome).__name__}", now=now)
        if self.broken is not None:
            raise self.broken
        self.settled.append((op.lane, outcome))

    def on_poison(self, tx: Tx, op: Operation, cause: str, _now: datetime) -> None:
        self.cases.append((op.lane, cause))

    def dispatcher(self, owner: str = "one", *, max_attempts: int = 8, concurrency: int = 4) -> Dispatcher:
        resolve = None if self.repeatable else self.resolve
        duty = Duty(
            kind="sale.create", send=self.send, resolve=resolve, settled=self.on_settled, max_attempts=max_attempts,
            together=self.send_together if self.most > 1 else None, most=self.most,
        )  # fmt: skip
        return Dispatcher(
            self.store,
            self.clock,
            self.ids,
            self.budgets,
            [duty],
            self.on_poison,
            owner,
            {ERP: concurrency, SELF: concurrency},
            chance=lambda: 0.0,
        )

    def owe(self, *lanes: str, **more: Any) -> list[str]:
        fields: dict[str, Any] = {
            "system": ERP,
            "kind": "sale.create",
            "budget": "orders",
            "priority": 5,
            "payload": {},
        }
        intents = [Intent(lane=lane, **(fields | more)) for lane in lanes]
        return self.store.write_now(owe, intents, self.clock.now(), self.ids)

    def state(self, op_id: str) -> str:
        op = self.store.read_now(find, op_id)
        assert op is not None
        return op.state

    def drain(self, dispatcher: Dispatcher | None = None) -> int:
        return asyncio.run((dispatcher or self.dispatcher()).drain_once())


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def test_what_is_owed_is_sent_once_and_settled_with_its_meaning(world: World) -> None:
    first, second = world.owe("A", "B")
    assert world.drain() == 2
    assert world.sent == ["A", "B"]
    assert world.settled == [("A", Done({"order": "A"})), ("B", Done({"order": "B"}))]
    assert (world.state(first), world.state(second)) == ("done", "done")
    assert world.drain() == 0
    assert world.store.read_now(lambda tx: tx.value(NOTES)) == ["A Done", "B Done"]


def test_a_lane_goes_one_after_the_other_and_the_urgent_first(world: World) -> None:
    world.owe("A", "A", "B")
    world.owe("C", priority=0)
    world.drain()
    assert world.sent == ["C", "A", "A", "B"]


def test_what_waits_goes_together_up_to_a_bound_one_of_each_lane(world: World) -> None:
    world.most = 3
    world.owe("A", "B", "C", "D", "A")
    world.owe("X", kind="telegram")
    assert world.drain() == 3, "two calls, and what nobody knows"
    assert world.calls == [["A", "B", "C"], ["D", "A"]]
    assert world.sent == []
    assert [lane for lane, _ in world.settled] == ["A", "B", "C", "D", "A"]


def test_each_of_a_call_has_its_own_outcome(world: World) -> None:
    world.most = 9
    outcomes: dict[str, Outcome] = {"A": Done({}), "B": Rejected("no", {}), "C": Unknown("not named")}

    async def answer(op: Operation) -> Outcome:
        return outcomes[op.lane]

    world.answer = answer
    world.found = Done({"found": True})
    named = dict(zip("ABC", world.owe("A", "B", "C"), strict=True))
    world.drain()
    assert {lane: world.state(op_id) for lane, op_id in named.items()} == {"A": "done", "B": "rejected", "C": "done"}
    assert world.resolved == ["C"], "what is open of one is found out by itself"


def test_a_call_that_breaks_leaves_each_to_be_resolved_by_itself(world: World) -> None:
    world.most = 9

    async def crash(op: Operation) -> Outcome:
        raise KeyError("half an answer")

    world.answer = crash
    world.found = Done({})
    world.owe("A", "B", "C")
    world.drain()
    assert sorted(world.resolved) == ["A", "B", "C"]
    assert len(world.calls) == 1


def test_what_is_surely_not_there_goes_together_again(world: World) -> None:
    world.most = 9
    answers = [Unknown("timeout")] * 2 + [Done({})] * 2

    async def answer(op: Operation) -> Outcome:
        return answers.pop(0)

    world.answer = answer
    world.owe("A", "B")
    world.drain()
    assert world.calls == [["A", "B"], ["A", "B"]]
    assert sorted(world.resolved) == ["A", "B"]


def test_a_process_that_dies_with_a_call_of_several_leaves_none_behind(world: World) -> None:
    world.most = 9
    world.owe("A", "B", "C")
    (first,) = world.store.write_now(claim, ERP, ["orders"], "dead", 60.0, world.clock.now(), 1)
    more = world.store.write_now(claim_alike, first, "dead", 60.0, world.clock.now(), 8)
    assert [op.lane for op in more] == ["B", "C"]
    world.store.write_now(lambda tx: tx.run(EXPIRE))
    world.found = Done({"adopted": True})
    world.drain()
    assert (world.calls, sorted(world.resolved)) == ([], ["A", "B", "C"])


def test_a_rejection_is_final_and_heard(world: World) -> None:
    async def no(_op: Operation) -> Outcome:
        return Rejected("no such customer", {"code": 400})

    world.answer = no
    (op_id,) = world.owe("A")
    world.drain()
    assert world.state(op_id) == "rejected"
    assert world.settled == [("A", Rejected("no such customer", {"code": 400}))]
    assert world.cases == []


def test_an_unforeseen_error_is_unknown_and_resolved_not_resent(world: World) -> None:
    async def crash(_op: Operation) -> Outcome:
        raise KeyError("id")

    world.answer = crash
    world.found = Done({"adopted": True})
    (op_id,) = world.owe("A")
    world.drain()
    assert (world.sent, world.resolved) == (["A"], ["A"])
    assert world.state(op_id) == "done"
    assert world.settled == [("A", Done({"adopted": True}))]


def test_proved_not_applied_is_sent_again(world: World) -> None:
    answers: list[Outcome] = [Unknown("timeout"), Done({})]

    async def answer(_op: Operation) -> Outcome:
        return answers.pop(0)

    world.answer = answer
    world.owe("A")
    world.drain()
    assert (world.sent, world.resolved) == (["A", "A"], ["A"])


def test_without_a_resolve_a_doubtful_copy_is_sent_again(world: World) -> None:
    world.repeatable = True
    answers: list[Outcome] = [Unknown("timeout"), Done({})]

    async def answer(_op: Operation) -> Outcome:
        return answers.pop(0)

    world.answer = answer
    world.owe("A")
    world.drain()
    assert (world.sent, world.resolved) == (["A", "A"], [])


def test_a_crash_between_claim_and_outcome_is_resolved_by_the_next(world: World) -> None:
    (op_id,) = world.owe("A")
    world.store.write_now(claim, ERP, ["orders"], "dead", 60.0, world.clock.now(), 1)
    world.store.write_now(lambda tx: tx.run(EXPIRE))
    world.found = Done({"adopted": True})
    world.drain()
    assert (world.sent, world.resolved, world.state(op_id)) == ([], ["A"], "done")


def test_exhausted_attempts_hold_the_lane_and_open_a_case(world: World) -> None:
    async def lost(_op: Operation) -> Outcome:
        return Unknown("timeout")

    world.answer = lost
    world.found = Unknown("read back failed")
    first, second = world.owe("A", "A")
    world.owe("B", kind="sale.create")
    world.drain(world.dispatcher(max_attempts=3))
    assert [world.state(first), world.state(second)] == ["held", "intent"]
    assert world.cases[0] == ("A", "3 attempts, last: read back failed")
    assert world.sent.count("A") == 1
    world.found = Done({})
    world.answer = world.done
    assert world.store.write_now(release, first)
    world.drain()
    assert [world.state(first), world.state(second)] == ["done", "done"]
    assert world.resolved[-1] == "A"


def test_later_costs_no_attempt(world: World) -> None:
    count = 0

    async def limited(_op: Operation) -> Outcome:
        nonlocal count
        count += 1
        return Later(0.0, "limit") if count <= 5 else Done({})

    world.answer = limited
    (op_id,) = world.owe("A")
    world.drain(world.dispatcher(max_attempts=2))
    assert (world.state(op_id), count, world.cases, world.resolved) == ("done", 6, [], [])


def test_an_unknown_kind_is_held_with_a_case(world: World) -> None:
    (op_id,) = world.owe("A", kind="telegram")
    world.drain()
    assert world.state(op_id) == "held"
    assert world.cases == [("A", "no duty for kind 'telegram'")]
    op = world.store.read_now(find, op_id)
    assert op is not None
    assert (op.sends, op.held_from) == (0, "intent")


def test_an_outcome_that_cannot_be_taken_in_is_not_lost(world: World) -> None:
    """The effect happened, our own book-keeping fails: stop with a case, and resolve once it is mended."""
    (op_id,) = world.owe("A")
    world.broken = KeyError("order")
    world.drain()
    assert world.state(op_id) == "held"
    assert world.cases == [("A", "Done: KeyError: 'order'")]
    assert world.store.read_now(lambda tx: tx.value(NOTES)) is None
    world.broken = None
    world.found = Done({"adopted": True})
    world.store.write_now(release, op_id)
    world.drain()
    assert (world.sent, world.resolved, world.state(op_id)) == (["A"], ["A"], "done")


def test_a_lost_database_does_not_lose_an_outcome(world: World) -> None:
    failures: list[Exception] = [psycopg.errors.LockNotAvailable(), psycopg.errors.LockNotAvailable()]
    (op_id,) = world.owe("A")
    settled = world.on_settled

    def moody(tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        if failures:
            raise failures.pop()
        settled(tx, op, outcome, now)

    world.on_settled = moody  # type: ignore[method-assign]
    world.drain()
    assert (world.sent, world.state(op_id), failures) == (["A"], "done", [])


def test_a_late_outcome_means_nothing(world: World) -> None:
    """While one sends, its lease ends and another resolves: only the heir's outcome is taken in."""

    async def slow(op: Operation) -> Outcome:
        await world.store.write(lambda tx: tx.run(EXPIRE))
        world.found = Done({"by": "heir"})
        await world.dispatcher("two").drain_once()
        return Done({"by": "zombie"})

    world.answer = slow
    world.owe("A")
    world.drain()
    assert world.settled == [("A", Done({"by": "heir"}))]


@pytest.mark.parametrize("mistake", [False, True], ids=["as it is", "without the epoch"])
def test_only_the_newest_claim_may_say_what_became_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, mistake: bool
) -> None:
    """A zombie wakes while its heir is looking: without the epoch its word would end the operation."""
    looking, told = asyncio.Event(), asyncio.Event()
    if mistake:
        no_epoch(monkeypatch)

    async def look(op: Operation) -> Outcome:
        looking.set()
        await told.wait()
        return Done({"by": "heir"})

    monkeypatch.setattr(world, "resolve", look)

    async def story() -> None:
        heirs: list[asyncio.Task[int]] = []

        async def slow(op: Operation) -> Outcome:
            await world.store.write(lambda tx: tx.run(EXPIRE))
            heirs.append(asyncio.create_task(world.dispatcher("two").drain_once()))
            await looking.wait()
            return Done({"by": "zombie"})

        world.answer = slow
        await world.dispatcher().drain_once()
        told.set()
        await heirs[0]

    world.owe("A")
    asyncio.run(story())
    assert world.settled == [("A", Done({"by": "zombie" if mistake else "heir"}))]


def test_a_process_that_slept_may_claim_anew_what_it_still_carries_out(world: World) -> None:
    """Its own lease ended while it stood still: the claim of before is not taken for the one of now."""
    dispatcher = world.dispatcher()

    async def slow(op: Operation) -> Outcome:
        await world.store.write(lambda tx: tx.run(EXPIRE))
        world.found = Done({"by": "the claim of now"})
        await dispatcher.drain_once()
        return Done({"by": "the claim of before"})

    world.answer = slow
    world.owe("A")
    world.drain(dispatcher)
    assert world.settled == [("A", Done({"by": "the claim of now"}))]


def test_own_operations_need_no_budget(world: World) -> None:
    (op_id,) = world.owe("A", system=SELF, budget="")
    world.drain()
    assert world.state(op_id) == "done"
    assert asyncio.run(world.budgets.usage()) == []


def test_an_operation_pays_one_call_when_it_makes_one(world: World) -> None:
    async def one_call(_op: Operation) -> Outcome:
        await world.budgets.spend(ERP, "orders")
        return Done({})

    world.answer = one_call
    world.owe(*"ABC")
    world.drain()
    used = {usage.lane: usage.used for usage in asyncio.run(world.budgets.usage())}
    assert used == {"orders": 3, "writes": 0}


def test_a_system_without_a_budget_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="no budget is declared for credential 'shop'"):
        Dispatcher(world.store, world.clock, world.ids, world.budgets, [], world.on_poison, "one", {"shop": 1})


def test_it_runs_until_told_to_stop_and_hands_over_what_is_left(fast: Store) -> None:
    world = World(fast)
    entered, release_send = asyncio.Event(), asyncio.Event()

    async def answer(op: Operation) -> Outcome:
        if op.lane == "SLOW":
            entered.set()
            await release_send.wait()
        return Done({})

    async def scene() -> None:
        world.answer = answer
        all_done = asyncio.Event()
        settle = world.on_settled

        def on_settled(tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
            settle(tx, op, outcome, now)
            if len(world.settled) == 6:
                tx.after_commit(all_done.set)

        world.on_settled = on_settled  # type: ignore[method-assign]
        stop = asyncio.Event()
        running = asyncio.create_task(world.dispatcher().run(stop, grace_seconds=0.1))
        await asyncio.to_thread(world.owe, "SLOW")
        await asyncio.wait_for(entered.wait(), 10)
        await asyncio.to_thread(world.owe, *"ABCDAA")
        await asyncio.wait_for(all_done.wait(), 10)
        stop.set()
        await asyncio.wait_for(running, 10)

    asyncio.run(scene())
    assert sorted(lane for lane, _ in world.settled) == ["A", "A", "A", "B", "C", "D"]
    (left,) = fast.read_now(open_in_lane, "SLOW")
    assert (left.owner, left.sends, left.outcome_sends) == ("one", 1, 0)

    async def after_restart() -> None:
        stop = asyncio.Event()
        seen = asyncio.Event()

        async def resolve(op: Operation) -> Outcome:
            world.resolved.append(op.lane)
            seen.set()
            return Done({})

        world.resolve = resolve  # type: ignore[method-assign]
        await fast.write(disown, "one")
        running = asyncio.create_task(world.dispatcher().run(stop))
        await asyncio.wait_for(seen.wait(), 10)
        stop.set()
        await asyncio.wait_for(running, 10)

    asyncio.run(after_restart())
    assert world.sent.count("SLOW") == 1
    assert world.resolved == ["SLOW"]
    assert fast.read_now(open_in_lane, "SLOW") == []


def test_a_lease_outlives_a_long_send(fast: Store) -> None:
    """Renewed while it runs: two leases later it is still ours and its outcome counts."""
    world = World(fast)

    async def long(_op: Operation) -> Outcome:
        await world.clock.sleep(130)
        return Done({})

    async def scene() -> None:
        world.answer = long
        stop, settled = asyncio.Event(), asyncio.Event()
        settle = world.on_settled

        def on_settled(tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
            settle(tx, op, outcome, now)
            tx.after_commit(settled.set)

        world.on_settled = on_settled  # type: ignore[method-assign]
        runners = [asyncio.create_task(world.dispatcher(owner).run(stop)) for owner in ("one", "two")]
        await asyncio.to_thread(world.owe, "A")
        await asyncio.wait_for(settled.wait(), 20)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*runners), 20)

    asyncio.run(scene())
    assert (world.sent, world.resolved) == (["A"], [])


def test_a_mistyped_budget_lane_becomes_a_case(fast: Store) -> None:
    world = World(fast)
    (op_id,) = world.owe("A", budget="ordres")

    async def scene() -> None:
        stop, told = asyncio.Event(), asyncio.Event()

        def on_poison(tx: Tx, op: Operation, cause: str, _now: datetime) -> None:
            world.cases.append((op.lane, cause))
            tx.after_commit(told.set)

        world.on_poison = on_poison  # type: ignore[method-assign]
        running = asyncio.create_task(world.dispatcher().run(stop))
        await asyncio.wait_for(told.wait(), 10)
        stop.set()
        await asyncio.wait_for(running, 10)

    asyncio.run(scene())
    assert world.state(op_id) == "held"
    assert world.cases == [("A", "system 'erp' has no budget lane 'ordres'")]


def test_the_most_urgent_of_the_moment_gets_the_paid_call(fast: Store) -> None:
    """Budget first, pick second: what arrives while we wait for a call overtakes what we waited for."""
    world = World(fast)
    waiting, third, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Watched(Budgets):
        async def acquire(self, credential: str, lane: str, priority: int = 5) -> Grant:
            waiting.set()
            return await super().acquire(credential, lane, priority)

    world.budgets = Watched(fast, fast.clock, [world.spec])

    async def paid(op: Operation) -> Outcome:
        await world.budgets.spend(ERP, "orders")
        if len(world.sent) == 3:
            third.set()
        return Done({})

    async def scene() -> None:
        world.answer = paid
        await world.budgets.breach(ERP, 60.0)
        await asyncio.to_thread(world.owe, "ROUTINE-1", "ROUTINE-2", priority=4)
        running = asyncio.create_task(world.dispatcher(concurrency=1).run(stop))
        await asyncio.wait_for(waiting.wait(), 10)
        await asyncio.to_thread(world.owe, "STOCK-OUT", priority=0)
        await asyncio.wait_for(third.wait(), 20)
        stop.set()
        await asyncio.wait_for(running, 20)

    asyncio.run(scene())
    assert world.sent == ["STOCK-OUT", "ROUTINE-1", "ROUTINE-2"]
