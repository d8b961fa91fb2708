"""Mistakes that the checkers must find: each a small change of ours, and the shortest day that shows it.

Rule: switched on by a test alone; what a mutant does is said in the words of the rule it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from tests.simulation.stage import StoryPlan
from tests.simulation.stage import plan as story_plan
from tests.simulation.tricks import (
    Prepare,
    carried_away,
    in_a_cart,
    lines_taken_off,
    sent_back,
    undone_sale,
    unseen_order,
)

from sellable.config.settings import Settings
from sellable.connectors.commercetools import writes
from sellable.orders import capture, evidence, totals
from sellable.orders.export import Exporting
from sellable.runtime import operations
from sellable.runtime.operations import Done, Operation, Outcome, Rejected
from sellable.sandbox.traffic import Tempo
from sellable.simulation.virtual.profiles import CALM, Deed, Episode, Plan, plan_of
from sellable.stock import availability, demand, entries, observe
from sellable.stock.availability import Demand
from sellable.sync import masters, storefront, writer
from sellable.sync.storefront import Judge

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`breaks` is the rule, `seen_by` the invariants of which one must be found broken, `plan` the day."""

    breaks: str
    seen_by: tuple[str, ...]
    switch_on: Callable[[Patch], None]
    plan: Plan
    prepare: Prepare = lambda world: None


BUSY = replace(
    CALM, orders=20.0, counter_sales=0.0, deliveries=4.0, cancelled=0.0, reduced=0.0, transfers=0.0,
    sold_out_seconds=2.0,
)  # fmt: skip


def day(seed: int = 1, minutes: float = 3.0, **changes: Any) -> Plan:
    """A calm day of one process on which commercetools and Cin7 Core are quick, but for what is changed."""
    calm = replace(
        plan_of(seed, "quiet", minutes), tempo=BUSY, patience=1.0, restocks="no", skus=6, returns=0.0,
        staff_cancels=False, modes=(("ReserveOnOrder", 1.0),),
        ct={"order_lag_seconds": 2.0, "accept_on": "internal", "order_bumps_version": True},
        cin7={"availability_lag_seconds": 1.0},
    )  # fmt: skip
    return replace(calm, **changes)


EMPTY_DAY = Tempo(
    orders=0.0, counter_sales=0.0, deliveries=0.0, inspections=0.0, transfers=0.0, write_offs=0.0, cancelled=0.0,
    returned=0.0,
)  # fmt: skip
"""Nothing happens but what a trick does."""


class SlowList(StoryPlan):
    """A day on which the list of changed sales is read once in ten minutes."""

    def adapt(self, settings: Settings) -> Settings:
        """That often."""
        office = msgspec.structs.replace(settings.cin7_core, sales_poll_seconds=600.0)
        return msgspec.structs.replace(settings, cin7_core=office)


def slow_list(plan: Plan) -> Plan:
    """The same plan on such a day."""
    return SlowList(**{name: getattr(plan, name) for name in plan.__dataclass_fields__})


def bare(minutes: float, **changes: Any) -> Plan:
    """A day with forty of everything on every shelf and nobody in the shop."""
    values: dict[str, Any] = {"minutes": minutes, "tempo": EMPTY_DAY, "patience": 5.0, "restocks": "no"}
    return story_plan(**values | changes)


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

    def stubborn(tx: Any, order_id: str, location: str, allocated: Mapping[str, int], *args: Any) -> Any:
        return keep(tx, order_id, location, dict.fromkeys(allocated, 1_000), *args) if allocated else (0, 0)

    patch.setattr(demand, "evidence", stubborn)
    patch.setattr(demand, "revoke", lambda *args, **kwargs: 0)
    # The product is guarded twice: the proof that a raise of such units needs, or their doubt without it, hides this
    # mistake. Without that proof alone the same day is clean.
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


def overlapping_ignored(patch: Patch) -> None:
    """R4, R22: a unit weighs on the pool of the channel that sold it, and on no other."""
    patch.setattr(
        availability, "_relevant",
        lambda d, layout, pool: d.channel not in layout.channels or layout.channels[d.channel].pool == pool,
    )  # fmt: skip


def missing_is_nothing(patch: Patch) -> None:
    """R8c: what an incomplete reading did not show is taken as gone."""
    close = observe.close

    def sure(tx: Any, sweep: str, **kwargs: Any) -> Any:
        closing = close(tx, sweep, **kwargs)
        if not closing.complete:
            observe.lower_to_zero(tx, closing.suspects, sweep, kwargs["now"])
        return closing

    patch.setattr(observe, "close", sure)


def drift_adopted(patch: Patch) -> None:
    """R14: a fall that nobody explains is adopted without asking for orders that hold the SKU."""

    async def nobody(self: Judge, row: Any, now: Any) -> bool:
        return False

    patch.setattr(Judge, "_find_orders", nobody)


def no_overlap(patch: Patch) -> None:
    """R35: the sweep of orders begins exactly where the last one ended."""
    patch.setattr(storefront, "OVERLAP_SECONDS", 0)


def carts_added_back(patch: Patch) -> None:
    """R10: what an entry has is taken to be what it still shows, so that goods in carts are put there twice."""
    see = storefront.see

    def less(tx: Any, found: Any, *args: Any) -> Any:
        return see(tx, [msgspec.structs.replace(r, quantity=r.available) for r in found], *args)

    patch.setattr(storefront, "see", less)


def inspected_unseen(patch: Patch) -> None:
    """R25: what the back office took back counts as sellable, wherever it was put."""
    rows_of = masters.rows_of

    def as_good(page: Any) -> Any:
        return [msgspec.structs.replace(r, state="available") if r.state == "inspection" else r for r in rows_of(page)]

    patch.setattr(masters, "rows_of", as_good)


def gone_is_taken_apart(patch: Patch) -> None:
    """R27: a sale that lacks a line has components on it, so that nobody follows what staff take off it."""

    def differs(part: Any, lines: Any) -> bool:
        asked = {line["sku"] for line in part.draft.get("lines", ())}
        return bool(asked) and asked != {line.sku for line in lines}

    patch.setattr(evidence, "taken_apart", differs)


def no_search_after_restore(patch: Patch) -> None:
    """R30b: an order that this database does not know is made without looking for its sale."""
    patch.setattr(capture, "_needs_search", lambda *args: False)


def no_epoch(patch: Patch) -> None:
    """R20: an outcome counts whoever claims the operation by now."""
    settle, settle_done = operations.settle, operations.settle_done

    def newest(tx: Any, op: Operation) -> Operation:
        return operations.find(tx, op.id) or op

    def late(tx: Any, op: Operation, outcome: Outcome, now: Any) -> bool:
        return settle(tx, replace(op, epoch=newest(tx, op).epoch), outcome, now)

    def late_done(tx: Any, done: Any, now: Any) -> set[str]:
        return settle_done(tx, [(replace(op, epoch=newest(tx, op).epoch), outcome) for op, outcome in done], now)

    patch.setattr(operations, "settle", late)
    patch.setattr(operations, "settle_done", late_done)


def nothing(patch: Patch) -> None:
    """No mutant."""


MUTANTS = {
    "absolute write": Mutant(breaks="R11", seen_by=("I4", "cases"), switch_on=absolute_write, plan=day()),
    "arrival containment": Mutant(breaks="R5", seen_by=("I4",), switch_on=arrival_containment, plan=day()),
    "answer as evidence": Mutant(
        breaks="R5", seen_by=("I4",), switch_on=answer_as_evidence,
        plan=bare(4.0, cin7={"availability_lag_seconds": 1.0, "allocation_lag_seconds": 8.0}),
        prepare=carried_away(6),
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
        breaks="R5b", seen_by=("I4",), switch_on=containment_kept, plan=bare(5.0, pick_seconds=300.0),
        prepare=undone_sale(6),
    ),
    "float totals": Mutant(
        breaks="R34", seen_by=("I16",), switch_on=float_totals,
        # A day with an order whose tax comes out a cent apart, line by line and in total.
        plan=day(3, cin7={"posted_tax": "recomputed", "tax_places": 2}),
    ),
    "overlapping pool ignored": Mutant(breaks="R4", seen_by=("I4",), switch_on=overlapping_ignored, plan=day()),
    "raise without proof": Mutant(
        breaks="R5b", seen_by=("I4",), switch_on=raise_without_proof, plan=slow_list(bare(5.0, pick_seconds=600.0)),
        prepare=undone_sale(6),
    ),
    "missing after an incomplete read = 0": Mutant(
        breaks="R8", seen_by=("caution",), switch_on=missing_is_nothing,
        plan=bare(2.0, episodes=(Episode(at=0.0, seconds=120.0, trouble="cin7-missing-row", rate=1.0),)),
    ),
    "drift adopted over an uncaptured order": Mutant(
        breaks="R14", seen_by=("cases",), switch_on=drift_adopted, plan=bare(4.0),
        prepare=unseen_order("S-UNSEEN", 300.0, mode="ReserveOnOrder", units=6, looked_at=True),
    ),
    "no sweep overlap": Mutant(
        breaks="R35", seen_by=("I5",), switch_on=no_overlap, plan=bare(3.0),
        prepare=unseen_order("S-UNSEEN", 160.0, mode="None", units=2, looked_at=False),
    ),
    "what came back counts as sellable": Mutant(
        breaks="R25", seen_by=("I4",), switch_on=inspected_unseen, plan=bare(6.0, patience=20.0), prepare=sent_back(6)
    ),
    "a line that staff took off makes the others components": Mutant(
        breaks="R27", seen_by=("I5",), switch_on=gone_is_taken_apart,
        plan=bare(4.0, pick_seconds=600.0, patience=20.0), prepare=lines_taken_off(),
    ),
    "cart reservations added back": Mutant(
        breaks="R10", seen_by=("I4", "cases"), switch_on=carts_added_back, plan=bare(4.0, patience=20.0),
        prepare=in_a_cart(6),
    ),
    "create without search after a restore": Mutant(
        breaks="R30b", seen_by=("I5",), switch_on=no_search_after_restore,
        plan=day(
            tempo=replace(BUSY, orders=12.0), deeds=(Deed(at=150.0, what="restore", worker=0, seconds=120.0),)
        ),
    ),
}  # fmt: skip
