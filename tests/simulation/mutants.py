"""Mistakes that the checkers must find: each a small change of ours, and the shortest day that shows it.

Rule: switched on by a test alone; what a mutant does is said in the words of the rule it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sellable.connectors.commercetools import writes
from sellable.orders import totals
from sellable.orders.export import Exporting
from sellable.runtime.operations import Done, Operation, Outcome, Rejected
from sellable.simulation.virtual.profiles import CALM, Plan, plan_of
from sellable.stock import demand, entries, observe
from sellable.stock.availability import Demand
from sellable.sync import masters, writer

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`breaks` is the rule, `seen_by` the invariants of which one must be found broken, `plan` the day."""

    breaks: str
    seen_by: tuple[str, ...]
    switch_on: Callable[[Patch], None]
    plan: Plan
    also: Mapping[str, Any] = field(default_factory=dict)


BUSY = replace(CALM, orders=20.0, counter_sales=0.0, deliveries=4.0, cancelled=0.0, transfers=0.0, sold_out_seconds=2.0)


def day(seed: int = 1, minutes: float = 3.0, **changes: Any) -> Plan:
    """A calm day of one process on which commercetools and Cin7 Core are quick, but for what is changed."""
    calm = replace(
        plan_of(seed, "quiet", minutes), tempo=BUSY, patience=1.0, restocks="no", skus=6,
        modes=(("ReserveOnOrder", 1.0),),
        ct={"order_lag_seconds": 2.0, "accept_on": "internal", "order_bumps_version": True},
        cin7={"availability_lag_seconds": 1.0},
    )  # fmt: skip
    return replace(calm, **changes)


UNDONE: Mapping[str, Any] = {"staff": 900.0, "pick_seconds": 240.0, "tempo": replace(BUSY, deliveries=1.0)}
"""Many sales, none of them picked, and staff who undo them; hardly anything is delivered that would hide it."""
LATE: Mapping[str, Any] = {
    "tempo": replace(BUSY, counter_sales=20.0, deliveries=1.0),
    "cin7": {"availability_lag_seconds": 1.0, "allocation_lag_seconds": 5.0},
}
"""A counter that takes what sales are about to have set aside."""


# --- What is changed -------------------------------------------------------------------------------------------------


def absolute_write(patch: Patch) -> None:
    """R11: T itself is written, which erases orders we do not know yet."""
    targets: dict[str, int] = {}
    write_of, actions = writer.write_of, writes._actions

    def remember(op: Operation) -> Any:
        made = write_of(op)
        targets[made.op_id] = op.payload["t"]
        return made

    def absolute(write: Any, marking: Any) -> Any:
        return [("changeQuantity", {"quantity": targets[write.op_id]}), *actions(write, marking)[1:]]

    patch.setattr(writer, "write_of", remember)
    patch.setattr(writes, "_actions", absolute)


def arrival_containment(patch: Patch) -> None:
    """R5: what the master acknowledged counts as contained in whatever number we have."""
    patch.setattr(Demand, "in_flight", lambda self, a0: self.open_units)


def answer_as_evidence(patch: Patch) -> None:
    """R5: what the answer to an authorised sale does not name as backordered counts as allocated."""

    async def unread(self: Exporting, op: Operation) -> Outcome:
        await self._clock.sleep(self._context.settings.cin7_core.visibility_lag_seconds)
        return Done({})

    patch.setattr(Exporting, "wait_visible", unread)


def sent_containment(patch: Patch) -> None:
    """R5: what is assigned and on its way to the master counts as contained."""
    patch.setattr(Demand, "in_flight", lambda self, a0: 0 if self.location else self.open_units)


def naive_decrement(patch: Patch) -> None:
    """R12: an order lowers T but not E, as if commercetools had not lowered its entry by itself."""
    record = entries.record

    def forgetful(tx: Any, facts: Any, *args: Any, **kwargs: Any) -> Any:
        return record(tx, [fact for fact in facts if fact.kind != "taken"], *args, **kwargs)

    patch.setattr(entries, "record", forgetful)


def raise_without_proof(patch: Patch) -> None:
    """R5b, R8: a higher number is believed at first sight, also where open orders are contained in it."""
    patch.setattr(demand, "contained_and_open", lambda tx, skus: [])


def containment_kept(patch: Patch) -> None:
    """R5b: units stay contained although the master let them go."""
    keep = demand.evidence

    def stubborn(tx: Any, order_id: str, location: str, allocated: Mapping[str, int], seq: int, now: Any) -> Any:
        return keep(tx, order_id, location, dict.fromkeys(allocated, 1_000), seq, now) if allocated else (0, 0)

    patch.setattr(demand, "evidence", stubborn)
    patch.setattr(demand, "revoke", lambda *args, **kwargs: 0)
    # The proof that a raise of such units needs would hide it.
    raise_without_proof(patch)


def missing_is_unchanged(patch: Patch) -> None:
    """R8c: a row that a complete reading did not show keeps its number."""
    patch.setattr(observe, "suspect", lambda *args, **kwargs: None)
    patch.setattr(masters, "want", lambda *args, **kwargs: None)


def resend_conflict_is_no(patch: Patch) -> None:
    """R19: a conflict on a later copy is taken as a proof that no copy was applied."""
    outcome_of = writer.outcome_of

    def sure(written: Any, op: Operation) -> Outcome:
        if written.status in ("conflict", "unknown"):
            return Rejected("conflict", {"version_moved": True})
        return outcome_of(written, op)

    patch.setattr(writer, "outcome_of", sure)


def no_last_op(patch: Patch) -> None:
    """R19: writes carry no marker, so a write that was applied and not answered is taken as not applied."""
    actions = writes._actions
    patch.setattr(writes, "_actions", lambda write, marking: actions(write, marking)[:1])
    patch.setattr(writer, "judge_copies", lambda op_id, payload, seen: writer.DEAD)


def float_totals(patch: Patch) -> None:
    """R34: totals that differ by cents are taken as equal."""
    patch.setattr(totals, "compare", lambda expected, actual: [])


def restockable_written(patch: Patch) -> None:
    """R15: with restockableInDays the storefront accepts orders without stock."""
    actions = writes._actions
    patch.setattr(
        writes, "_actions",
        lambda write, marking: [*actions(write, marking), ("setRestockableInDays", {"restockableInDays": 2})],
    )  # fmt: skip


def nothing(patch: Patch) -> None:
    """No mutant."""


MUTANTS = {
    "absolute write": Mutant(breaks="R11", seen_by=("I4", "cases"), switch_on=absolute_write, plan=day()),
    "arrival containment": Mutant(breaks="R5", seen_by=("I4",), switch_on=arrival_containment, plan=day()),
    "answer as evidence": Mutant(
        breaks="R5", seen_by=("I4", "cases", "convergence"), switch_on=answer_as_evidence,
        plan=day(minutes=4.0, **LATE),
    ),
    "sent containment": Mutant(breaks="R5", seen_by=("I4",), switch_on=sent_containment, plan=day()),
    "naive decrement": Mutant(breaks="R12", seen_by=("cases", "convergence"), switch_on=naive_decrement, plan=day()),
    "restockableInDays written": Mutant(
        breaks="R15", seen_by=("I23",), switch_on=restockable_written, plan=day(minutes=1.0)
    ),
    "missing after a complete read = unchanged": Mutant(
        breaks="R8", seen_by=("convergence",), switch_on=missing_is_unchanged,
        plan=day(tempo=replace(BUSY, counter_sales=20.0, orders=2.0, deliveries=0.0)),
    ),
    "no lastOp": Mutant(
        breaks="R19", seen_by=("I4", "I8", "cases"), switch_on=no_last_op,
        plan=day(minutes=4.0, rates={"ct-reset-after": 0.05}),
    ),
    "409 on a resend taken as not applied": Mutant(
        breaks="R19", seen_by=("I4", "I8", "cases"), switch_on=resend_conflict_is_no,
        plan=day(minutes=4.0, rates={"ct-reset-after": 0.05}),
    ),
    "restock assumed no": Mutant(
        breaks="R13", seen_by=("I4", "cases"), switch_on=nothing,
        plan=day(
            minutes=5.0, restocks="no", tempo=replace(BUSY, cancelled=0.5, deliveries=1.0), pick_seconds=400.0,
            ct={"order_lag_seconds": 2.0, "restocks_on_cancel": True},
        ),
    ),
    "containment kept after an undo": Mutant(
        breaks="R5b", seen_by=("I4",), switch_on=containment_kept, plan=day(minutes=4.0, **UNDONE)
    ),
    "float totals": Mutant(
        breaks="R34", seen_by=("I16",), switch_on=float_totals,
        # A day with an order whose tax comes out a cent apart, line by line and in total.
        plan=day(3, cin7={"posted_tax": "recomputed", "tax_places": 2}),
    ),
}  # fmt: skip
