"""What we owe other systems, as rows committed together with the fact that caused them.

Theory: an operation is born as an intent. A claim leases it under a new epoch and counts the send before anything
leaves; whoever claimed writes the outcome under that epoch, once. A send without a written outcome, or with the
outcome Unknown, is resolved by looking, not by sending again.

    intent ──► done | rejected | superseded          (settled: never changes again)
      │  ▲ NotApplied, Later
      ▼  │
    unknown ──► done | rejected | superseded
    intent | unknown ──► held ──► back to where it was

One rule: an outcome counts only under the epoch of the claim it belongs to. Operations of one lane are carried out one
after the other in the order they were owed; a held one stops its lane and no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never

from sellable.runtime.database import ReadTx, Row, Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.queries import queries

CHANNEL = "sellable_work"
SELF = "self"
"""The system that is ourselves: its operations spend no calls, so they have no budget lane."""

sql = queries("sellable.runtime")


@dataclass(frozen=True, kw_only=True)
class Intent:
    """Something to owe. `lane` is what must stay in order, `budget` the lane of the system's budget that pays.

    A smaller `priority` is more urgent. `due_at` None is at once, `id` None a new one; a known id is owed only once.
    `snapshot_seq` is the causal number of what the payload was computed from.
    """

    system: str
    kind: str
    lane: str
    budget: str
    priority: int
    payload: Mapping[str, Any]
    correlation: str | None = None
    due_at: datetime | None = None
    id: str | None = None
    snapshot_seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation as stored. `sends` counts claims that may have sent, the present one included."""

    id: str
    system: str
    kind: str
    lane: str
    budget: str
    priority: int
    payload: dict[str, Any]
    correlation: str | None
    state: str
    held_from: str | None
    sends: int
    outcome_sends: int
    attempts: int
    epoch: int
    owner: str | None
    lease_until: datetime | None
    due_at: datetime
    created_at: datetime
    created_seq: int
    snapshot_seq: int | None
    settled_seq: int | None
    settled_at: datetime | None
    result: dict[str, Any] | None
    cause: str | None

    @property
    def first_send(self) -> bool:
        """Of a claimed operation: no copy can have left before this one."""
        return self.sends == 1

    @property
    def was_unknown(self) -> bool:
        """Of a claimed operation: an earlier copy may have been applied, so resolve it before anything is sent."""
        return self.state == "unknown" or self.sends - 1 > self.outcome_sends


@dataclass(frozen=True)
class Done:
    """Applied, as proved by an answer or by reading back. `result` is what later work needs of it; JSON values."""

    result: Mapping[str, Any]


@dataclass(frozen=True)
class Unknown:
    """Nobody knows whether it was applied; look again after `after_seconds` (the dispatcher backs off). An attempt."""

    cause: str
    after_seconds: float = 0.0


@dataclass(frozen=True)
class NotApplied:
    """Proved not applied, and no copy is on its way: it may be sent again after `after_seconds`. An attempt."""

    cause: str
    after_seconds: float = 0.0


@dataclass(frozen=True)
class Later:
    """Nothing was sent by this claim (limit, budget, vendor down): again after `after_seconds`. Costs no attempt.

    As the answer to a resolve: nothing was learnt yet, look again then.
    """

    after_seconds: float
    cause: str


@dataclass(frozen=True)
class Rejected:
    """Permanently refused, or proved dead: it will not be sent again. `detail` is the evidence; JSON values."""

    cause: str
    detail: Mapping[str, Any] = field(default_factory=dict)


Outcome = Done | Unknown | NotApplied | Later | Rejected


def next_seq(tx: Tx) -> int:
    """The next number of the causal clock."""
    return int(tx.value(sql.next_seq))


def owe(tx: Tx, intents: Sequence[Intent], now: datetime, ids: Ids, *, hint: bool = True) -> list[str]:
    """Commit intents with this transaction and return their ids, in order. An id that is owed already is left alone.

    Without `hint` nobody is woken to carry them out.
    """
    if not intents:
        return []
    named = [intent.id or ids.new("op") for intent in intents]
    lanes = [intent.lane for intent in intents]
    # Without this lock a smaller created_seq could commit after a larger one was claimed: two at once in a lane.
    tx.all(sql.lock_operation_lanes, lanes=lanes)
    tx.run(
        sql.put_operations,
        ids=named,
        systems=[intent.system for intent in intents],
        kinds=[intent.kind for intent in intents],
        lanes=lanes,
        budgets=["" if intent.system == SELF else intent.budget for intent in intents],
        priorities=[intent.priority for intent in intents],
        payloads=[json.dumps(dict(intent.payload)) for intent in intents],
        correlations=[intent.correlation for intent in intents],
        due_ats=[intent.due_at for intent in intents],
        snapshot_seqs=[intent.snapshot_seq for intent in intents],
        now=now,
    )
    if hint:
        _hint(tx, intents)
    return named


def _hint(tx: Tx, intents: Sequence[Intent]) -> None:
    for intent in intents:
        tx.notify(CHANNEL, address(intent.system, intent.budget))


def address(system: str, budget: str) -> str:
    """Whom a hint is for: those who serve this budget lane of a system."""
    return system if system == SELF else f"{system} {budget}"


def owe_claimed(
    tx: Tx, intents: Sequence[Intent], now: datetime, ids: Ids, *, owner: str, lease_seconds: float
) -> list[Operation]:
    """`owe`, and claim at once what may be sent now, for a caller that sends after this commit.

    Returns the claimed operations in the order of the intents. Those that are not first of their lane or not due are
    owed but not returned; the dispatcher carries them out, as it does with claimed ones whose caller dies.
    """
    named = owe(tx, intents, now, ids, hint=False)
    rows = tx.all(sql.claim_named_operations, ids=named, owner=owner, lease_seconds=lease_seconds, now=now)
    if len(rows) < len(named):
        _hint(tx, intents)
    place = {op_id: index for index, op_id in enumerate(named)}
    return sorted(map(_operation, rows), key=lambda op: place[op.id])


def claim(
    tx: Tx,
    system: str,
    budget_lanes: Sequence[str],
    owner: str,
    lease_seconds: float,
    now: datetime,
    limit: int,
) -> list[Operation]:
    """Lease up to `limit` due operations, most urgent first: unknown ones, then by priority, due time and age."""
    rows = tx.all(
        sql.claim_operations,
        system=system,
        budgets=list(budget_lanes),
        owner=owner,
        lease_seconds=lease_seconds,
        now=now,
        limit=limit,
    )
    return sorted(map(_operation, rows), key=lambda op: (not op.was_unknown, op.priority, op.due_at, op.created_seq))


def claim_alike(
    tx: Tx, op: Operation, owner: str, lease_seconds: float, now: datetime, limit: int
) -> list[Operation]:  # fmt: skip
    """Lease up to `limit` more due operations of a claimed one's kind of which no copy is open, most urgent first."""
    rows = tx.all(
        sql.claim_alike, system=op.system, budget=op.budget, kind=op.kind, owner=owner, lease_seconds=lease_seconds,
        now=now, limit=limit,
    )  # fmt: skip
    return sorted(map(_operation, rows), key=lambda found: (found.priority, found.due_at, found.created_seq))


def settle(tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> bool:
    """Write the outcome of a claim. False when it does not count: claimed anew since, held, settled, or told before."""
    match outcome:
        case Done(result=result):
            written = _settle(tx, op, now, state="done", final=True, result=result)
        case Rejected(cause=cause, detail=detail):
            written = _settle(tx, op, now, state="rejected", final=True, result=detail, cause=cause)
        case Unknown(cause=cause, after_seconds=after):
            written = _settle(tx, op, now, state="unknown", attempt=1, cause=cause, after=after)
        case NotApplied(cause=cause, after_seconds=after):
            written = _settle(tx, op, now, state="intent", attempt=1, cause=cause, after=after)
        case Later(cause=cause, after_seconds=after):
            written = _settle(tx, op, now, state=op.state, unsent=1, cause=cause, after=after)
        case _:
            assert_never(outcome)
    return written


def settle_done(tx: Tx, done: Sequence[tuple[Operation, Done]], now: datetime) -> set[str]:
    """`settle` for many that were applied, in one statement; ids of those that count."""
    rows = tx.all(
        sql.settle_done,
        ids=[op.id for op, _ in done],
        epochs=[op.epoch for op, _ in done],
        results=[json.dumps(dict(outcome.result)) for _, outcome in done],
        now=now,
    )
    _wake(tx, rows)
    return {row.id for row in rows}


def hold(tx: Tx, op_id: str, cause: str) -> bool:
    """Stop an open operation and its lane until `release`. An outcome still on its way then does not count any more."""
    return tx.run(sql.hold_operation, id=op_id, cause=cause) == 1


def release(tx: Tx, op_id: str) -> bool:
    """Let a held operation go on, with fresh attempts: an unknown one is resolved first. False if it is not held."""
    return _told(tx, tx.run(sql.release_operation, id=op_id))


def supersede(tx: Tx, op_id: str) -> bool:
    """End an open or held operation because another replaces it; only for who knows that no copy can win any more."""
    return _told(tx, tx.run(sql.supersede_operation, id=op_id))


def renew(tx: Tx, running: Sequence[Operation], owner: str, lease_seconds: float) -> int:
    """Prolong the leases of claimed operations that are still being carried out; returns how many are still ours."""
    return tx.run(
        sql.renew_leases,
        ids=[op.id for op in running],
        epochs=[op.epoch for op in running],
        owner=owner,
        lease_seconds=lease_seconds,
    )


def disown(tx: Tx, owner: str) -> int:
    """Drop an owner's leases at its start, so that what its former life left is resolved at once."""
    return tx.run(sql.drop_leases, owner=owner)


def find(tx: ReadTx, op_id: str) -> Operation | None:
    """An operation by id."""
    row = tx.one(sql.find_operation, id=op_id)
    return None if row is None else _operation(row)


def open_in_lane(tx: ReadTx, lane: str) -> list[Operation]:
    """What is not settled in a lane, held ones included, in its order."""
    return [_operation(row) for row in tx.all(sql.operations_open_in_lane, lane=lane)]


def of_order(tx: ReadTx, lane: str, limit: int) -> list[Row]:
    """Rows of an order's lane, settled ones included, in its order."""
    return tx.all(sql.operations_of_order, lane=lane, limit=limit)


def strays(tx: ReadTx, served: Sequence[tuple[str, str]]) -> list[Operation]:
    """Open operations of the served systems that name a budget lane which is not, so would wait for ever."""
    systems, budgets = [system for system, _ in served], [budget for _, budget in served]
    return [_operation(row) for row in tx.all(sql.stray_operations, systems=systems, budgets=budgets)]


async def ahead(store: Store, system: str, budget_lane: str, now: datetime) -> tuple[int | None, datetime | None]:
    """Priority of the most urgent operation of a budget lane that may be claimed now, and when the next comes due."""
    (row,) = await store.ask(sql.operations_ahead, system=system, budget=budget_lane, now=now)
    return row.priority, row.due_at


def prune(tx: Tx, before: datetime) -> int:
    """Delete operations settled before a moment and return how many."""
    return tx.run(sql.prune_operations, before=before)


def _settle(
    tx: Tx,
    op: Operation,
    now: datetime,
    *,
    state: str,
    final: bool = False,
    attempt: int = 0,
    unsent: int = 0,
    result: Mapping[str, Any] | None = None,
    cause: str | None = None,
    after: float = 0.0,
) -> bool:
    rows = tx.all(
        sql.settle_operation,
        id=op.id,
        epoch=op.epoch,
        state=state,
        final=final,
        attempt=attempt,
        unsent=unsent,
        result=None if result is None else json.dumps(dict(result)),
        cause=cause,
        due_at=now + timedelta(seconds=after),
        now=now,
    )
    _wake(tx, rows)
    return bool(rows)


def _wake(tx: Tx, rows: Sequence[Row]) -> None:
    """Hints for those who serve the first open operations of these lanes."""
    for row in rows:
        if row.first_system is not None:
            tx.notify(CHANNEL, address(row.first_system, row.first_budget))


def _told(tx: Tx, rows: int) -> bool:
    if rows:
        tx.notify(CHANNEL)
    return rows == 1


def _operation(row: Row) -> Operation:
    return Operation(**row._asdict())
