"""What is parked behind a case, and how it gets another chance.

Rule: whether something is parked is read from the thing itself (a quarantined row, a held operation), so replaying
twice is replaying once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sellable.desk import cases
from sellable.desk.cases import Case
from sellable.desk.owners import Owners
from sellable.runtime import inbox, operations
from sellable.runtime.database import Tx
from sellable.runtime.inbox import InboxRow, cause_of
from sellable.runtime.operations import Operation
from sellable.runtime.seal import KeyAbsent

KEY = "key:"
"""How a case refers to a key."""

Meaning = Callable[[Tx, Case, datetime], int]
"""What replay means besides for a kind of case, such as looking at held orders again; returns how many it let go.

It gets the case with all its evidence (but arrivals), not only the newest.
"""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay let go on."""

    arrivals: int
    operations: int
    others: int

    @property
    def total(self) -> int:
        """All of it; 0 means that nothing waited."""
        return self.arrivals + self.operations + self.others


def park_arrival(tx: Tx, row: InboxRow, error: Exception, now: datetime, *, owners: Owners) -> str:
    """The inbox's on_poison: a case for all rows of one source and kind that fail with one class of error.

    All rows that want one key are a case of their own, which `unlock` ends.
    """
    if isinstance(error, KeyAbsent):
        return cases.open_case(
            tx, "payload_locked", f"{KEY}{error.key_id}", now, owners=owners,
            expected={"key": error.key_id}, actual={"cause": cause_of(error)}, evidence=[f"{cases.ARRIVAL}{row.id}"],
        )  # fmt: skip
    return cases.open_case(
        tx,
        "poison_payload",
        f"arrival:{row.source}/{row.kind}/{type(error).__name__}",
        now,
        owners=owners,
        expected={"handled": row.kind},
        actual={"cause": cause_of(error), "source": row.source, "kind": row.kind, "id": row.message_id},
        evidence=[f"{cases.ARRIVAL}{row.id}"],
    )


def unlock(tx: Tx, key_ids: Sequence[str], now: datetime) -> int:
    """What was parked for want of keys that are here goes on, and its cases end; returns how many rows went on."""
    freed = 0
    for key_id in key_ids:
        subject = f"{KEY}{key_id}"
        for case in cases.listing(tx, kind="payload_locked", subject=subject):
            freed += replay(tx, case.ref, cases.SYSTEM, now).arrivals
        cases.clear(tx, ["payload_locked"], subject, now)
    return freed


def park_operation(tx: Tx, op: Operation, cause: str, now: datetime, *, owners: Owners) -> None:
    """The dispatcher's on_poison: a case for all operations of one system and kind that are held."""
    cases.open_case(
        tx,
        "operation_exhausted",
        f"operation:{op.system}/{op.kind}",
        now,
        owners=owners,
        expected={"state": "done"},
        actual={"cause": cause, "system": op.system, "kind": op.kind, "lane": op.lane, "attempts": op.attempts},
        evidence=[f"{cases.OPERATION}{op.id}"],
    )


def replay(tx: Tx, ref: str, actor: str, now: datetime, meanings: Mapping[str, Meaning] | None = None) -> Replayed:
    """Let everything parked behind a case go on, with fresh attempts; what nobody parked any more is left alone.

    The case stays until somebody resolves it: what fails again is counted on it. Raises CaseMissing.
    """
    case = cases.lock(tx, ref)
    arrivals = [row.id for row in tx.all(cases.sql.parked_arrivals, ref=ref)]
    held = [row.id for row in tx.all(cases.sql.parked_operations, id=case.id)]
    meaning = (meanings or {}).get(case.kind)
    done = Replayed(
        arrivals=sum(inbox.requeue(tx, inbox_id) for inbox_id in arrivals),
        operations=sum(operations.release(tx, op_id) for op_id in held),
        others=meaning(tx, replace(case, evidence=cases.things(tx, case)), now) if meaning else 0,
    )
    if done.total:
        detail = f"{done.arrivals} arrivals, {done.operations} operations, {done.others} others"
        cases.note(tx, ref, actor, "replayed", now, detail)
    return done
