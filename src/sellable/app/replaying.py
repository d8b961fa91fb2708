"""What a person lets go on: what is parked behind a case, and totals that differ."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sellable.app import acts
from sellable.app.desk import CaseDesk
from sellable.app.layout import layout_of
from sellable.book import book
from sellable.config.settings import Settings
from sellable.desk import quarantine
from sellable.desk.cases import Case
from sellable.desk.kinds import KINDS
from sellable.desk.quarantine import Meaning
from sellable.domain.orders import Order
from sellable.orders import capture, returns
from sellable.orders.context import Context
from sellable.orders.rules import BACK_OFFICE
from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Intent
from sellable.runtime.wanted import want

TOLD_AGAIN = ("order.note", "order.deliver", "order.ready", "order.return", "order.cancelled")
"""Operations that tell the storefront something and drop what it has already."""


def replay_case(tx: Tx, settings: Settings, ref: str, actor: str, clock: Clock, ids: Ids | None = None) -> int:
    """Lets go on whatever stands behind a case and returns how much; idempotent, noted in the case's history."""
    return quarantine.replay(tx, ref, actor, clock.now(), meanings(settings, ids or Ids(clock))).total


def accept_totals(
    tx: Tx, settings: Settings, clock: Clock, actor: str, order_id: str, reason: str
) -> list[int]:  # fmt: skip
    """A person lets a held order's sales be posted at the back office's totals; returns the parts let go."""
    parts = capture.accept_totals(tx, order_id, actor, reason, clock.now(), context_of(settings, Ids(clock)))
    for part in parts:
        acts.record(
            tx, settings, clock, actor, "totals.accept", f"order:{order_id}", correlation=order_id,
            before={"state": "held", "part": part.part, **_sides(part.expected)},
            after={"state": "accepted", "part": part.part, **_sides(part.actual), "reason": reason},
        )  # fmt: skip
    return [part.part for part in parts]


def inspect_return(
    tx: Tx, settings: Settings, clock: Clock, actor: str, piece: str, fate: str, reason: str, ids: Ids | None = None
) -> bool:
    """A person says what the inspection of a returned piece found; False when it cannot become that."""
    before = tx.one(book.sql.find_piece, piece_id=piece)
    context = context_of(settings, ids or Ids(clock))
    if before is None or not returns.decide(tx, piece, fate, actor, reason, clock.now(), context):
        return False
    acts.record(
        tx, settings, clock, actor, "returns.inspect", f"order:{before.order_id}", correlation=before.order_id,
        before={"state": before.fate, "piece": piece}, after={"state": fate, "piece": piece, "reason": reason},
    )  # fmt: skip
    return True


def refund_return(
    tx: Tx, settings: Settings, clock: Clock, actor: str, order: str, piece: str | None, *, refunded: bool
) -> int | None:
    """A person says whether the money of an order's returned pieces went back: how many, None for several orders."""
    found = tx.all(book.sql.find_orders, key=order)
    if len(found) != 1:
        return None if found else 0
    order_id, payment = found[0].order_id, "Refunded" if refunded else "NotRefunded"
    rows = tx.all(book.sql.read_pieces, order_id=order_id)
    mine = [p.piece_id for p in rows if p.payment == "" and piece in (None, p.piece_id)]
    count = returns.paid_back(tx, order_id, mine, payment, actor, clock.now(), context_of(settings, Ids(clock)))
    if count:
        acts.record(
            tx, settings, clock, actor, "returns.refund", f"order:{order_id}", correlation=order_id,
            after={"state": payment, "kind": mine},
        )  # fmt: skip
    return count


def _sides(totals: Mapping[str, Any]) -> dict[str, Any]:
    return {name: totals.get(name) for name in ("net", "tax", "gross")}


def context_of(settings: Settings, ids: Ids) -> Context:
    """What deciding about orders of the book needs to know; nothing here comes from outside."""
    desk = CaseDesk(settings)
    return Context(
        current=lambda: settings,
        layout=layout_of(settings),
        ids=ids,
        translate=_untranslated,
        open_case=desk.open_case,
        clear_cases=desk.clear_cases,
    )


def meanings(settings: Settings, ids: Ids) -> dict[str, Meaning]:
    """Kind of case -> what trying it again means beyond what the desk parked itself."""
    context = context_of(settings, ids)

    def again(tx: Tx, case: Case, now: datetime) -> int:
        count = 0
        for reference in case.evidence:
            what, _, key = reference.partition(":")
            if what == "order":
                count += capture.retry(tx, key, now, context)
            elif what == "sale":
                part = tx.one(book.sql.part_of_sale, sale_id=key)
                want(tx, part.target if part else BACK_OFFICE, "sale", [key], 1, now)
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
