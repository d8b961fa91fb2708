"""What "try it again" means for each thing that can be parked behind a case."""

from __future__ import annotations

from datetime import datetime

from sellable.app.desk import CaseDesk
from sellable.app.layout import layout_of
from sellable.config.settings import Settings
from sellable.desk import quarantine
from sellable.desk.cases import Case
from sellable.desk.kinds import KINDS
from sellable.desk.quarantine import Meaning
from sellable.domain.orders import Order
from sellable.orders import capture
from sellable.orders.context import BACK_OFFICE, Context
from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Intent
from sellable.runtime.wanted import want

TOLD_AGAIN = ("order.note", "order.deliver", "order.ready")
"""Operations that tell the storefront something and drop what it has already."""


def replay_case(tx: Tx, settings: Settings, ref: str, actor: str, clock: Clock, ids: Ids | None = None) -> int:
    """Lets go on whatever stands behind a case and returns how much; idempotent, noted in the case's history."""
    return quarantine.replay(tx, ref, actor, clock.now(), meanings(settings, ids or Ids(clock))).total


def meanings(settings: Settings, ids: Ids) -> dict[str, Meaning]:
    """Kind of case -> what trying it again means beyond what the desk parked itself."""
    desk = CaseDesk(settings)
    context = Context(
        settings=settings,
        layout=layout_of(settings),
        ids=ids,
        translate=_untranslated,
        open_case=desk.open_case,
        clear_cases=desk.clear_cases,
    )

    def again(tx: Tx, case: Case, now: datetime) -> int:
        count = 0
        for reference in case.evidence:
            what, _, key = reference.partition(":")
            if what == "order":
                count += capture.retry(tx, key, now, context)
            elif what == "sale":
                want(tx, BACK_OFFICE, "sale", [key], 1, now)
                count += 1
            elif what == "operation":
                count += _tell_again(tx, key, now, ids)
        return count

    return dict.fromkeys(KINDS, again)


def _tell_again(tx: Tx, op_id: str, now: datetime, ids: Ids) -> int:
    """What the storefront refused to be told is owed once more; each of these looks first whether it is there."""
    op = operations.find(tx, op_id)
    if op is None or op.state != "rejected" or op.kind not in TOLD_AGAIN:
        return 0
    if any((o.kind, o.payload) == (op.kind, op.payload) for o in operations.open_in_lane(tx, op.lane)):
        return 0
    fresh = Intent(
        system=op.system, kind=op.kind, lane=op.lane, budget=op.budget, priority=op.priority, payload=op.payload,
        correlation=op.correlation,
    )  # fmt: skip
    operations.owe(tx, [fresh], now, ids)
    return 1


def _untranslated(body: bytes) -> Order:
    raise NotImplementedError("a replay works on orders that are in the book")
