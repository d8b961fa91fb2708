"""Cancelling: what was never sent is released at once, what the master may hold stays in flight until proved free."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sellable.book import book
from sellable.connectors.port import OrderTarget, Refused, Sale
from sellable.domain.orders import Order, OrderState
from sellable.domain.stock import Priority
from sellable.orders import adjusting, evidence
from sellable.orders.context import ORDER_PRIORITY, Context, lane_of, shadowed
from sellable.runtime import operations
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import Done, Intent, NotApplied, Operation, Outcome, Rejected
from sellable.runtime.wanted import want
from sellable.stock import demand, entries

NEVER_SENT = 0
"""Causal number of an effect that no reading can miss: there was none."""

ENDED = ("voided", "dropped", "shipped")


def give_back(tx: Tx, order: Order, now: datetime, context: Context) -> None:
    """What the storefront may have put back into its entries by cancelling; assumed yes until measured otherwise.

    An E too high only undersells and is corrected in retrospect; an E too low would oversell.
    """
    if context.settings.commercetools.restocks_on_cancel == "no":
        return
    facts = [
        entries.EntryFact(
            sku=line.sku or "",
            channel=line.channel or "",
            kind="restocked",
            quantity=line.quantity,
            source="order",
            resource=order.order_id,
            line=line.line_id,
            seq=0,
            remote_at=order.modified_at,
        )
        for line in order.lines
        if line.moves_entry
    ]
    entries.record(tx, facts, now, priority=Priority.LOWER, reason=f"cancel of {order.label}")


def begin(tx: Tx, row: Any, order: Order, now: datetime, context: Context) -> None:
    """The storefront cancelled the order: stop what was not sent, owe a void for what was."""
    give_back(tx, order, now, context)
    tx.run(book.sql.cancel_lines, order_id=order.order_id)
    parts = tx.all(book.sql.parts_of, order_id=order.order_id)
    book.tell(tx, order.order_id, "cancelled at the storefront", now, parts=[[p.part, p.state] for p in parts])
    for part in parts:
        stop(tx, order, part, now, context)
    if not parts:
        demand.release(tx, order.order_id, None, f"cancel of {order.label}", now)
    conclude(tx, order.order_id, now, context)


def stop(
    tx: Tx, order: Order, part: Any, now: datetime, context: Context, units: Mapping[str, int] | None = None
) -> None:
    """Ends a part: dropped where nobody was told of it, else a void is owed; too late is a case.

    `units` by line are counted as cancelled once they surely are; none where the whole order was counted already.
    """
    if part.state in ("voided", "dropped"):
        return
    if part.state == "shipped":
        _report_late(tx, part, {"sale": "shipped"}, now, context)
    elif part.sale_id is None and _never_sent(tx, order.order_id, part.part):
        tx.run(book.sql.set_part_state, order_id=order.order_id, part=part.part, state="dropped")
        _count(tx, order.order_id, units)
        why, others = f"cancel of {order.label}", part.beside
        demand.cancelled(tx, order.order_id, part.location, NEVER_SENT, why, now, others)
    else:
        evidence.revoke(tx, part, f"cancel of {order.label}", now)
        tx.run(book.sql.set_part_state, order_id=order.order_id, part=part.part, state="voiding")
        payload = {"part": part.part, "undo": False} | ({"units": dict(units)} if units else {})
        context.owe(tx, order.order_id, part.target, "sale.void", payload, now)


def _count(tx: Tx, order_id: str, units: Mapping[str, int] | None) -> None:
    if units:
        tx.run(book.sql.cancel_units, order_id=order_id, line_id=list(units), units=list(units.values()))


def _never_sent(tx: Tx, order_id: str, part: int) -> bool:
    """Whether nothing of this part ever left the house; if so, its waiting operation is taken back."""
    rows = tx.all(book.sql.lock_operations, lane=lane_of(order_id))
    mine = [op for op in rows if op.payload.get("part") == part]
    if any(op.sends for op in mine):
        return False
    for op in mine:
        operations.supersede(tx, op.id)
    return True


def conclude(tx: Tx, order_id: str, now: datetime, context: Context) -> None:
    """The order is cancelled when every part is; what had left stays shipped. While parts of an order that is not
    cancelled itself go on, it stays in its stage.
    """
    states = [p.state for p in tx.all(book.sql.parts_of, order_id=order_id)]
    head = book.lock(tx, order_id)
    whole = head is not None and head.state == OrderState.CANCELLED.value
    if any(state not in ENDED for state in states):
        if whole:
            book.stage(tx, order_id, "cancelling", now)
    elif "shipped" in states:
        book.stage(tx, order_id, "shipped", now, "cancel_too_late" if whole else "")
    else:
        book.stage(tx, order_id, "cancelled", now)
        context.settled(tx, order_id, now)


def _report_late(tx: Tx, part: Any, actual: dict[str, Any], now: datetime, context: Context) -> None:
    context.open_case(
        tx, "cancel_too_late", f"order:{part.order_id}", now, expected={"sale": "voided"}, actual=actual,
        evidence=[f"sale:{part.sale_id}"],
    )  # fmt: skip
    book.tell(tx, part.order_id, "cancel came too late", now, part=part.part, sale=part.sale_id)


def _is_void(op: Operation, sale: Sale) -> bool:
    return sale.status == "voided" or (op.payload["undo"] and sale.status == "draft")


class Voiding:
    """Voids (or undoes) the sale of a part."""

    def __init__(self, store: Store, target: OrderTarget, context: Context) -> None:
        self._store = store
        self._target = target
        self._context = context

    async def send(self, op: Operation) -> Outcome:
        """Voids the recorded sale, or what carries our reference where none is recorded; too late is an outcome.

        Where we only shadow, whoever made the sale voids it.
        """
        if await self._store.read(shadowed, op.payload["order_id"], self._context):
            return Done({"shadow": True})
        part = await self._store.read(book.read_part, op.payload["order_id"], op.payload["part"])
        if part is None:
            return Done({"nothing": True})
        if part.sale_id is None:
            return await self._void_found(part.ref)
        try:
            await self._target.void_sale(part.sale_id, undo=op.payload["undo"], lane="orders")
        except Refused as refusal:
            if _is_void(op, await self._target.read_sale(part.sale_id, lane="orders")):
                return Done({"already": True})
            return Done({"too_late": True, "cause": str(refusal), "code": refusal.code})
        return Done({})

    async def resolve(self, op: Operation) -> Outcome:
        """Reads the sale: voided (or draft again) is done, packed is too late, anything else may be asked again."""
        part = await self._store.read(book.read_part, op.payload["order_id"], op.payload["part"])
        if part is None or part.sale_id is None:
            return await self.send(op)  # Finding and voiding again does no harm.
        sale = await self._target.read_sale(part.sale_id, lane="orders")
        if _is_void(op, sale):
            return Done({})
        if sale.late:
            return Done({"too_late": True, "cause": sale.stage, "code": "too_late"})
        return NotApplied("the sale is not voided")

    async def _void_found(self, ref: str) -> Outcome:
        found = [row for row in await self._target.find_by_ref(ref, lane="orders") if row.status != "voided"]
        for row in found:
            await self._target.void_sale(row.sale_id, undo=False, lane="orders")
        return Done({"voided": [row.sale_id for row in found]})

    def settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """Keeps subtracting until the master's number, read after this, shows what came free."""
        part = tx.one(book.sql.part, order_id=op.payload["order_id"], part=op.payload["part"])
        if part is None:
            return
        adjusting.follow(tx, part.order_id, now, self._context)
        if op.payload.get("late"):
            if isinstance(outcome, Done) and outcome.result.get("voided"):
                book.tell(tx, part.order_id, "late draft voided", now, sales=outcome.result["voided"])
        elif isinstance(outcome, Rejected) or (isinstance(outcome, Done) and outcome.result.get("too_late")):
            self._too_late(tx, part, outcome, now)
        elif isinstance(outcome, Done):
            self._voided(
                tx, op, part, now, "voiding is left to others" if outcome.result.get("shadow") else "sale voided"
            )

    def _too_late(self, tx: Tx, part: Any, outcome: Outcome, now: datetime) -> None:
        actual = outcome.result if isinstance(outcome, Done) else {"cause": getattr(outcome, "cause", "")}
        _report_late(tx, part, dict(actual), now, self._context)
        tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="authorised")
        if part.sale_id is not None:
            want(tx, part.target, "sale", [part.sale_id], 2, now)

    def _voided(self, tx: Tx, op: Operation, part: Any, now: datetime, what: str) -> None:
        if op.payload["undo"]:
            tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="held")
            book.tell(tx, part.order_id, "sale undone", now, part=part.part, sale=part.sale_id)
            return
        if part.state != "voided":
            _count(tx, part.order_id, op.payload.get("units"))
        tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="voided")
        book.tell(tx, part.order_id, what, now, part=part.part, sale=part.sale_id)
        visible = {"part": part.part, "location": part.location, "what": "cancelled"}
        self._context.owe_visible(tx, part.order_id, visible, now)
        if part.sale_id is None:
            self._look_again(tx, part, now)
        conclude(tx, part.order_id, now, self._context)

    def _look_again(self, tx: Tx, part: Any, now: datetime) -> None:
        """A header was sent and never seen: what it makes minutes later is a draft that nobody would own."""
        intent = Intent(
            system=part.target,
            kind="sale.void",
            lane=f"late:{part.ref}",
            budget="repair",
            priority=ORDER_PRIORITY + 3,
            payload={"order_id": part.order_id, "part": part.part, "undo": False, "late": True},
            correlation=part.order_id,
            due_at=now + timedelta(minutes=self._context.settings.cin7_core.stray_draft_minutes),
        )
        operations.owe(tx, [intent], now, self._context.ids)
