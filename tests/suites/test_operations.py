"""Operations on a real database: leases, lanes, fencing, and what a crash between claim and outcome leaves behind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import (
    SELF,
    Done,
    Intent,
    Later,
    NotApplied,
    Operation,
    Rejected,
    Unknown,
    claim,
    find,
    hold,
    open_in_lane,
    owe,
    owe_claimed,
    release,
    settle,
    supersede,
)
from sellable.runtime.queries import Query

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
IDS = Ids(Clock())
ERP = "erp"


def query(text: str) -> Query:
    return Query(package="test", name="test", purpose="test", text=text)


EXPIRE = query("UPDATE operation SET lease_until = app_now() - interval '1 s' WHERE owner IS NOT NULL")


def intent(lane: str, *, priority: int = 5, budget: str = "orders", **more: Any) -> Intent:
    fields: dict[str, Any] = {"system": ERP, "kind": "sale.create", "payload": {"order": lane}, **more}
    return Intent(lane=lane, priority=priority, budget=budget, **fields)


def owed(store: Store, *intents: Intent) -> list[str]:
    return store.write_now(owe, list(intents), NOW, IDS)


def claimed(store: Store, owner: str = "one", *, limit: int = 10, now: datetime = NOW) -> list[Operation]:
    return store.write_now(claim, ERP, ["orders", "writes"], owner, 60.0, now, limit)


def state(store: Store, op_id: str) -> Operation:
    op = store.read_now(find, op_id)
    assert op is not None
    return op


def lanes(ops: list[Operation]) -> list[str]:
    return [op.lane for op in ops]


def test_what_is_owed_is_committed_in_order_with_its_number(store: Store) -> None:
    first, second = owed(store, intent("A", correlation="web-1", snapshot_seq=4), intent("B", due_at=NOW))
    op = state(store, first)
    assert (op.state, op.sends, op.epoch, op.owner) == ("intent", 0, 0, None)
    assert (op.payload, op.correlation, op.snapshot_seq, op.due_at) == ({"order": "A"}, "web-1", 4, NOW)
    assert op.created_seq < state(store, second).created_seq
    assert first.startswith("op_")
    assert store.write_now(owe, [], NOW, IDS) == []


def test_a_named_intent_is_owed_once(store: Store) -> None:
    assert owed(store, intent("A", id="op_A", payload={"n": 1})) == ["op_A"]
    assert owed(store, intent("A", id="op_A", payload={"n": 2})) == ["op_A"]
    assert state(store, "op_A").payload == {"n": 1}
    assert len(claimed(store)) == 1


def test_a_claim_counts_the_send_and_takes_the_lease(store: Store) -> None:
    owed(store, intent("A"))
    (op,) = claimed(store)
    assert (op.sends, op.epoch, op.owner, op.first_send, op.was_unknown) == (1, 1, "one", True, False)
    assert op.lease_until is not None
    assert claimed(store, "two") == []


def test_the_most_urgent_goes_first_and_unknown_ones_before_all(store: Store) -> None:
    owed(
        store,
        intent("LATE", due_at=NOW + timedelta(seconds=1)),
        intent("FIVE"),
        intent("ZERO", priority=0, budget="writes"),
        intent("DUE-BEFORE", due_at=NOW - timedelta(seconds=9)),
        intent("OTHER-BUDGET", budget="repair", priority=0),
        intent("OTHER-SYSTEM", system="shop", priority=0),
        intent("DOUBTFUL", priority=9),
    )
    (doubtful,) = [op for op in claimed(store) if op.lane == "DOUBTFUL"]
    store.write_now(settle, doubtful, Unknown("timeout"), NOW)
    store.write_now(lambda tx: tx.run(query("UPDATE operation SET owner = NULL, lease_until = NULL, sends = 0, "
                                            "outcome_sends = 0 WHERE lane <> 'DOUBTFUL'")))  # fmt: skip
    assert lanes(claimed(store, limit=2)) == ["DOUBTFUL", "ZERO"]
    assert lanes(claimed(store)) == ["DUE-BEFORE", "FIVE"]
    assert lanes(claimed(store, now=NOW + timedelta(seconds=1))) == ["LATE"]


def test_a_lane_is_serial_across_systems_and_budgets(store: Store) -> None:
    first, _, _ = owed(store, intent("A", system="shop"), intent("A", priority=0), intent("B"))
    assert lanes(claimed(store)) == ["B"]
    (op,) = store.write_now(claim, "shop", ["orders"], "one", 60.0, NOW, 10)
    assert op.id == first
    assert claimed(store) == []
    assert store.write_now(settle, op, Done({"sale": 1}), NOW)
    assert lanes(claimed(store)) == ["A"]


def test_two_owners_never_claim_the_same(store: Store) -> None:
    owed(store, *[intent(f"L{n % 7}") for n in range(28)])

    async def race() -> list[list[Operation]]:
        claims = [store.write(claim, ERP, ["orders"], owner, 60.0, NOW, 2) for owner in ("one", "two", "three", "four")]
        return await asyncio.gather(*claims)

    taken = [op for ops in asyncio.run(race()) for op in ops]
    assert len({op.id for op in taken}) == len(taken) == 7
    assert sorted(lanes(taken)) == [f"L{n}" for n in range(7)]
    assert claimed(store) == []


def test_a_lane_keeps_its_order_though_a_later_owner_commits_first(store: Store) -> None:
    """Whoever owes in a lane waits for the one who owed before, so numbers and commits have one order."""

    async def race() -> list[str]:
        started, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(tx: Tx) -> str:
            (op_id,) = owe(tx, [intent("A", payload={"n": 1})], NOW, IDS)
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
            return op_id

        first = asyncio.create_task(store.write(slow))
        await started.wait()
        second = asyncio.create_task(store.write(owe, [intent("A", payload={"n": 2})], NOW, IDS))
        await store.write(owe, [intent("B")], NOW, IDS)  # another lane does not wait
        assert not second.done()
        go_on.set()
        return [await first, *(await second)]

    in_order = asyncio.run(race())
    assert [op.id for op in store.read_now(open_in_lane, "A")] == in_order


def test_a_late_outcome_is_fenced(store: Store) -> None:
    owed(store, intent("A"))
    (zombie,) = claimed(store, "one")
    store.write_now(lambda tx: tx.run(EXPIRE))
    (heir,) = claimed(store, "two")
    assert (heir.epoch, heir.owner) == (2, "two")
    assert not store.write_now(settle, zombie, Done({"sale": "SO-1"}), NOW)
    assert state(store, heir.id).state == "intent"
    assert store.write_now(settle, heir, Done({"sale": "SO-2"}), NOW)
    assert state(store, heir.id).result == {"sale": "SO-2"}


def test_a_crash_between_claim_and_outcome_becomes_unknown(store: Store) -> None:
    owed(store, intent("A"))
    claimed(store, "one")
    store.write_now(lambda tx: tx.run(EXPIRE))
    (op,) = claimed(store, "two")
    assert (op.state, op.sends, op.outcome_sends, op.first_send, op.was_unknown) == ("intent", 2, 0, False, True)


def test_a_restarted_owner_drops_the_leases_of_its_former_life(store: Store) -> None:
    owed(store, intent("A"), intent("B"))
    claimed(store, "one", limit=1)
    assert claimed(store, "two", limit=1) != []
    assert store.write_now(operations.disown, "one") == 1
    (op,) = claimed(store, "one")
    assert (op.lane, op.was_unknown) == ("A", True)


def test_a_renewed_lease_is_not_taken(store: Store) -> None:
    owed(store, intent("A"))
    ops = claimed(store, "one")
    store.write_now(lambda tx: tx.run(EXPIRE))
    assert store.write_now(operations.renew, ops, "one", 60.0) == 1
    assert claimed(store, "two") == []
    store.write_now(lambda tx: tx.run(EXPIRE))
    claimed(store, "two")
    assert store.write_now(operations.renew, ops, "one", 60.0) == 0


@pytest.mark.parametrize(
    ("outcome", "state_after", "sends", "attempts", "unknown"),
    [
        (Unknown("timeout"), "unknown", 2, 1, True),
        (NotApplied("409 on the first send"), "intent", 2, 1, False),
        (Later(0, "limit"), "intent", 1, 0, False),
    ],
)
def test_what_an_outcome_means_for_the_next_claim(
    store: Store,
    outcome: Unknown | NotApplied | Later,
    state_after: str,
    sends: int,
    attempts: int,
    unknown: bool,
) -> None:
    owed(store, intent("A"))
    (op,) = claimed(store)
    assert store.write_now(settle, op, outcome, NOW)
    left = state(store, op.id)
    assert (left.state, left.attempts, left.owner, left.cause) == (state_after, attempts, None, outcome.cause)
    (again,) = claimed(store)
    assert (again.sends, again.first_send, again.was_unknown) == (sends, sends == 1, unknown)


def test_later_keeps_the_doubt_of_a_crash(store: Store) -> None:
    owed(store, intent("A"))
    claimed(store)
    for _ in range(3):
        store.write_now(lambda tx: tx.run(EXPIRE))
        (op,) = claimed(store)
        assert op.was_unknown
        assert store.write_now(settle, op, Later(0, "limit"), NOW)
    (op,) = claimed(store)
    assert (op.was_unknown, op.attempts) == (True, 0)


def test_an_outcome_waits_as_long_as_it_says(store: Store) -> None:
    owed(store, intent("A"))
    (op,) = claimed(store)
    store.write_now(settle, op, Later(30, "vendor down"), NOW)
    assert claimed(store, now=NOW + timedelta(seconds=29)) == []
    assert len(claimed(store, now=NOW + timedelta(seconds=30))) == 1


def test_an_outcome_is_written_once(store: Store) -> None:
    owed(store, intent("A"))
    (op,) = claimed(store)
    assert store.write_now(settle, op, Unknown("timeout"), NOW)
    assert not store.write_now(settle, op, Unknown("timeout"), NOW)
    assert state(store, op.id).attempts == 1


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Done({"sale": "SO-881"}), ("done", {"sale": "SO-881"}, None)),
        (Rejected("no such customer", {"code": 400}), ("rejected", {"code": 400}, "no such customer")),
    ],
)
def test_a_settled_operation_never_changes(
    store: Store, outcome: Done | Rejected, expected: tuple[str, dict[str, Any], str | None]
) -> None:
    owed(store, intent("A"))
    (op,) = claimed(store)
    assert store.write_now(settle, op, outcome, NOW)
    row = state(store, op.id)
    assert (row.state, row.result, row.cause) == expected
    assert row.settled_at == NOW
    assert row.settled_seq is not None
    assert row.settled_seq > row.created_seq
    assert not store.write_now(hold, op.id, "late")
    assert not store.write_now(supersede, op.id)
    with pytest.raises(psycopg.errors.RaiseException, match="is settled"):
        store.write_now(lambda tx: tx.run(query("UPDATE operation SET state = 'intent', settled_at = NULL, "
                                                "settled_seq = NULL")))  # fmt: skip


def test_a_held_operation_stops_its_lane_and_no_other(store: Store) -> None:
    first, *_ = owed(store, intent("A"), intent("A"), intent("B"))
    assert store.write_now(hold, first, "totals differ")
    assert not store.write_now(hold, first, "again")
    assert lanes(claimed(store)) == ["B"]
    assert [op.state for op in store.read_now(open_in_lane, "A")] == ["held", "intent"]
    assert store.write_now(release, first)
    assert not store.write_now(release, first)
    assert [op.id for op in claimed(store, now=datetime.now(UTC) + timedelta(minutes=1))] == [first]


def test_what_was_held_in_doubt_is_released_in_doubt(store: Store) -> None:
    owed(store, intent("A"), intent("B"))
    a, b = claimed(store)
    store.write_now(settle, a, Unknown("timeout"), NOW)
    for op in (a, b):  # b is being sent while somebody holds it
        assert store.write_now(hold, op.id, "stop")
    assert not store.write_now(settle, b, Done({}), NOW)
    for op in (a, b):
        assert store.write_now(release, op.id)
    again = claimed(store, now=datetime.now(UTC) + timedelta(minutes=1))
    assert [(op.lane, op.was_unknown) for op in again] == [("A", True), ("B", True)]


def test_superseded_frees_the_lane(store: Store) -> None:
    first, second = owed(store, intent("A"), intent("A"))
    assert store.write_now(supersede, first)
    assert (state(store, first).state, state(store, first).settled_at is None) == ("superseded", False)
    assert [op.id for op in claimed(store)] == [second]


def test_owing_and_claiming_in_one_go(store: Store) -> None:
    owed(store, intent("BUSY"))
    wanted = [intent("A"), intent("BUSY"), intent("B", due_at=NOW + timedelta(hours=1)), intent("C")]
    ops = store.write_now(lambda tx: owe_claimed(tx, wanted, NOW, IDS, owner="writer", lease_seconds=60))
    assert [(op.lane, op.owner, op.first_send) for op in ops] == [("A", "writer", True), ("C", "writer", True)]
    assert lanes(claimed(store)) == ["BUSY"]
    assert all(store.write_now(settle, op, Done({}), NOW) for op in ops)


def test_own_operations_have_no_budget(store: Store) -> None:
    (op_id,) = owed(store, intent("A", system=SELF, budget="orders"))
    assert state(store, op_id).budget == ""


def test_strays_are_found(store: Store) -> None:
    owed(store, intent("A"), intent("B", budget="mistyped"), intent("C", system="not ours"))
    found = store.read_now(operations.strays, [(ERP, "orders"), (ERP, "writes")])
    assert lanes(found) == ["B"]


def test_what_is_next(store: Store) -> None:
    owed(store, intent("A", due_at=NOW + timedelta(seconds=7)), intent("B", priority=3), intent("C", priority=2))
    assert asyncio.run(operations.ahead(store, ERP, "orders", NOW)) == (2, NOW + timedelta(seconds=7))
    assert asyncio.run(operations.ahead(store, ERP, "writes", NOW)) == (None, None)


def test_pruning_forgets_only_what_is_settled(store: Store) -> None:
    owed(store, intent("A"), intent("B"))
    (op,) = claimed(store, limit=1)
    store.write_now(settle, op, Done({}), NOW)
    assert store.write_now(operations.prune, NOW) == 0
    assert store.write_now(operations.prune, NOW + timedelta(seconds=1)) == 1
    assert lanes(claimed(store)) == ["B"]
