"""Sales with fewer units: those we make smaller for the storefront, and those staff made smaller at the back office.

Cin7 Core changes no authorised sale: it is undone, written with the lines that remain, compared and authorised anew,
and only while nothing of it is picked. One rule: until the undone units are seen free they stay subtracted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import NOT_THERE, OrderTarget, RawOrder, Refused, Sale
from sellable.domain.orders import Order, OrderState
from sellable.orders import adjusting, cancel, capture, evidence, lines
from sellable.orders.context import STOREFRONT, Context, lane_of, shadowed
from sellable.orders.rules import ONE_CALL
from sellable.orders.telling import LEFT, Telling
from sellable.runtime import operations
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.inbox import InboxRow
from sellable.runtime.operations import Done, Operation, Outcome, Rejected
from sellable.runtime.wanted import want
from sellable.stock import demand

DRAFT = ("created", "compared", "held")
"""States of a part whose sale holds nothing: its lines are written anew without undoing anything."""


class Reducing:
    """Makes the sale of a part smaller."""

    def __init__(self, store: Store, target: OrderTarget, context: Context) -> None:
        self._store = store
        self._target = target
        self._context = context

    async def send(self, op: Operation) -> Outcome:
        """Undoes the recorded sale where it holds stock; picked or shipped is too late, which is an outcome, unless
        staff had made the sale smaller before.

        Where we only shadow, whoever made the sale changes it.
        """
        if await self._store.read(shadowed, op.payload["order_id"], self._context):
            return Done({"shadow": True})
        part = await self._store.read(book.read_part, op.payload["order_id"], op.payload["part"])
        if part is None or part.state in lines.ENDED:
            return Done({"nothing": True})
        if part.state == "shipped":
            return Done({"too_late": True, "cause": "the sale has shipped"})
        if part.sale_id is None or part.state in DRAFT:
            return Done({})
        sale = await self._target.read_sale(part.sale_id, lane="orders")
        if sale.status == "authorised":
            if not op.payload.get("header") and _same(sale, await self._store.read(_wanted, op.payload)):
                return Done({"already": True})
            if sale.picked or sale.shipments:
                return Done({"too_late": True, "cause": "shipped" if sale.shipments else "picked"})
            try:
                await self._target.void_sale(part.sale_id, undo=True, lane="orders")
            except Refused as refusal:
                if not await self._is_draft(part.sale_id):
                    return Done({"too_late": True, "cause": str(refusal), "code": refusal.code})
        return Done({"status": sale.status})

    async def resolve(self, op: Operation) -> Outcome:
        """Asked again, it looks first: what is a draft by now needs no undoing."""
        return await self.send(op)

    async def _is_draft(self, sale_id: str) -> bool:
        return (await self._target.read_sale(sale_id, lane="orders")).status == "draft"

    def settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The part carries fewer units and its sale is written anew; or a case says why it is too late."""
        order_id = op.payload["order_id"]
        head = book.lock(tx, order_id)
        part = tx.one(book.sql.part, order_id=order_id, part=op.payload["part"])
        if head is None or part is None or not isinstance(outcome, Done | Rejected):
            return
        adjusting.follow(tx, order_id, now, self._context)
        if head.state == OrderState.CANCELLED.value:
            return  # The whole order was cancelled meanwhile: its sale is voided by what comes next in the lane.
        result = outcome.result if isinstance(outcome, Done) else {"too_late": True, "cause": outcome.cause}
        if result.get("nothing"):
            return
        if result.get("too_late"):
            self._too_late(tx, part, op, result, now)
            return
        order = book.order_of(head)
        units = take_off(tx, part, op.payload["units"], now, self._context)
        book.tell(
            tx, order_id, "fewer units on the sale", now, part=part.part, units=units, version=op.payload["version"],
            undone=result.get("status") == "authorised",
        )  # fmt: skip
        if part.target in ONE_CALL and result.get("status") == "authorised":
            result = {**result, "status": "voided"}  # What is cancelled there is no draft; it is imported anew.
        if result.get("already") or result.get("shadow"):
            self._goes_on(tx, part, now)
            return
        if not tx.all(book.sql.part_lines, order_id=order_id, part=part.part):
            # One unit after another, until none was left.
            cancel.stop(tx, order, part, now, self._context)
            cancel.conclude(tx, order_id, now, self._context)
            return
        if result.get("status") == "voided":
            tx.run(book.sql.sale_gone, order_id=order_id, part=part.part)
        self._anew(tx, order, part, now)

    def _too_late(self, tx: Tx, part: Any, op: Operation, result: Mapping[str, Any], now: datetime) -> None:
        """Nothing changes: the units stay promised, and what the sale holds is read to be believed again."""
        kind, wanted = "cancel_too_late", {"units taken off": op.payload["units"]}
        if op.payload.get("header"):
            kind, wanted = "change_too_late", {"changed": op.payload["fields"], "in version": op.payload["version"]}
        self._context.open_case(
            tx, kind, f"order:{part.order_id}", now, expected=wanted, actual=dict(result),
            evidence=[f"sale:{part.sale_id}"],
        )  # fmt: skip
        book.tell(
            tx, part.order_id, "cancel of units came too late", now, part=part.part, units=op.payload["units"],
            version=op.payload["version"], **result,
        )  # fmt: skip
        self._goes_on(tx, part, now)

    def _goes_on(self, tx: Tx, part: Any, now: datetime) -> None:
        """The sale was not touched: what it holds counts again once it was read."""
        if part.state == "voiding":
            tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="authorised")
        if part.sale_id is not None:
            want(tx, part.target, "sale", [part.sale_id], 1, now)

    def _anew(self, tx: Tx, order: Order, part: Any, now: datetime) -> None:
        """What the sale shall be now, by the order and the settings of today."""
        parts = tx.all(book.sql.parts_of, order_id=order.order_id)
        found = capture.revised_parts(tx, order, [p for p in parts if p.state not in lines.ENDED], self._context)
        if isinstance(found, list) or part.part not in found:
            tx.run(book.sql.set_part_state, order_id=order.order_id, part=part.part, state="held")
            if isinstance(found, list) and found:
                capture.hold(tx, order, found, now, self._context)
                return
            # Moved or edited by hand before: what is left of its money nobody can tell but a person.
            self._context.open_case(
                tx, "line_changed", f"order:{order.order_id}", now, expected={"part": part.part},
                actual={"location": part.location}, evidence=[f"order:{order.order_id}"],
            )  # fmt: skip
            book.stage(tx, order.order_id, "held", now, "line_changed")
            return
        draft = capture.with_its_header(found[part.part].draft, part)
        state = tx.value(
            book.sql.revise_part, order_id=order.order_id, part=part.part, draft=book.text(draft),
            expected=book.text(found[part.part].expected),
        )  # fmt: skip
        if part.state == "held":
            # It waits for a person as before, whose replay writes the smaller sale.
            tx.run(book.sql.set_part_state, order_id=order.order_id, part=part.part, state="held")
            return
        book.stage(tx, order.order_id, "exporting", now)
        self._supersede(tx, part)
        if state == "planned" or part.target in ONE_CALL:
            self._context.owe_part(tx, order.order_id, part.part, part.target, now, search=True)
        else:
            self._context.owe(tx, order.order_id, part.target, "sale.lines", {"part": part.part}, now)

    def _supersede(self, tx: Tx, part: Any) -> None:
        """Steps that were owed for the sale as it was: authorising those lines would skip the comparison of these."""
        for op in tx.all(book.sql.lock_operations, lane=lane_of(part.order_id)):
            if op.kind in ("sale.lines", "sale.authorise") and op.payload.get("part") == part.part:
                operations.supersede(tx, op.id)


def take_off(tx: Tx, part: Any, units: Mapping[str, int], now: datetime, context: Context) -> dict[str, int]:
    """Takes units off a part's lines, as far as they have not shipped: in the book at once, in stock once seen free."""
    carried = {line.line_id: line for line in tx.all(book.sql.part_lines, order_id=part.order_id, part=part.part)}
    taken = {
        line_id: min(count, carried[line_id].units - carried[line_id].shipped)
        for line_id, count in units.items()
        if line_id in carried
    }
    taken = {line_id: count for line_id, count in taken.items() if count > 0}
    columns = {"line_id": list(taken), "units": list(taken.values())}
    tx.run(book.sql.shrink_part_lines, order_id=part.order_id, part=part.part, **columns)
    tx.run(book.sql.cancel_units, order_id=part.order_id, **columns)
    rows = demand.cancel_units(
        tx, part.order_id, part.location, taken, "fewer units", now, part.beside
    )  # fmt: skip
    if rows:
        visible = {"part": part.part, "location": part.location, "what": "units", "rows": rows}
        context.owe_visible(tx, part.order_id, visible, now)
    return taken


# --- What staff did at the back office --------------------------------------------------------------------------------


def on_sale(tx: Tx, row: InboxRow, now: datetime, *, context: Context) -> None:
    """Inbox handler, before the sale's allocation is followed: units that staff took off an authorised sale, or all of
    them. Only where `orders.staff_cancels` says that this cancels them; else the sale's own handler asks a person.
    """
    if not context.settings.orders.staff_cancels:
        return
    sale = msgspec.json.decode(row.body, type=Sale)
    part = tx.one(book.sql.part_of_sale, sale_id=sale.sale_id)
    if part is None or sale.faults or sale.raw_status == NOT_THERE:
        return
    head = book.lock(tx, part.order_id)
    part = book.part_of(tx, part.order_id, part.part)
    if part.state not in ("authorised", "shipped") or row.meta["a0"] < part.allocation_seq or head is None:
        return
    carried = tx.all(book.sql.part_lines, order_id=part.order_id, part=part.part)
    units = fewer(carried, Counter() if sale.status == "voided" else evidence.units_on(sale))
    if sale.status not in ("authorised", "voided") or not units:
        return
    if sale.status == "authorised" and evidence.taken_apart(part, carried):
        return  # Components do not tell which kits are meant; the sale's own handler asks a person.
    order = book.order_of(head)
    if sale.status == "voided" and not any(line.shipped for line in carried):
        _voided(tx, order, part, units, now, context)
    else:
        # What the sale holds of the rest is told by this very reading, to the handler that comes next.
        take_off(tx, part, units, now, context)
    book.tell(
        tx, order.order_id, "units cancelled at the back office", now, part=part.part, units=units, status=sale.status
    )
    adjusting.lost(tx, order.order_id, units, context)
    adjusting.follow(tx, order.order_id, now, context)
    lines.refund(tx, order, units, now, context)
    _tell(tx, order, now, context)


def fewer(carried: Sequence[Any], on_sale: Mapping[str, int]) -> dict[str, int]:
    """Units by line that a sale lacks of what its part carries; what has shipped is never among them. Of lines with one
    SKU the last lacks first.
    """
    there = dict(on_sale)
    found: dict[str, int] = {}
    for line in carried:
        kept = max(min(line.units, there.get(line.sku, 0)), min(line.shipped, line.units))
        there[line.sku] = max(0, there.get(line.sku, 0) - kept)
        if kept < line.units:
            found[line.line_id] = line.units - kept
    return found


def _voided(tx: Tx, order: Order, part: Any, units: Mapping[str, int], now: datetime, context: Context) -> None:
    """The whole sale is gone: its part ends, and its units count until they are seen free."""
    columns = {"line_id": list(units), "units": list(units.values())}
    tx.run(book.sql.cancel_units, order_id=order.order_id, **columns)
    evidence.revoke(tx, part, "sale voided by staff", now)
    tx.run(book.sql.set_part_state, order_id=order.order_id, part=part.part, state="voided")
    visible = {"part": part.part, "location": part.location, "what": "cancelled"}
    context.owe_visible(tx, order.order_id, visible, now)
    cancel.conclude(tx, order.order_id, now, context)


def _tell(tx: Tx, order: Order, now: datetime, context: Context) -> None:
    """Owes the storefront what is cancelled by now; where that is everything, the order itself."""
    rows = tx.all(book.sql.lines_of, order_id=order.order_id)
    whole = bool(rows) and all(row.cancelled >= row.ordered and not row.shipped for row in rows)
    if whole:
        # What it may restock by that is expected before it is told, once, whoever cancels the order.
        cancel.give_back(tx, order, now, context)
        adjusting.cancelling(tx, order.order_id)
    context.owe(tx, order.order_id, STOREFRONT, "order.cancelled", {"part": 0, "whole": whole}, now)


class Cancelling(Telling):
    """Writes to the storefront's order which units are cancelled."""

    async def send(self, op: Operation) -> Outcome:
        """As many units of each line as are cancelled by now; repeating it changes nothing."""
        if await self._is_left(op):
            return LEFT
        units: dict[str, int] = await self._store.read(_cancelled, op.payload["order_id"])

        async def cancel_them(order: RawOrder) -> dict[str, Any]:
            if op.payload["whole"]:
                after = await self._storefront.set_states(
                    order, order_state="Cancelled", shipment_state="Canceled", lane="orders"
                )
            else:
                after = await self._storefront.cancel_units(order, units, lane="orders")
            return {"version": after.version, "units": units}

        return await self._change(op, cancel_them)

    def told(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The storefront shows it, or a case says that somebody must tell the customer."""
        order_id = op.payload["order_id"]
        if isinstance(outcome, Rejected):
            kind = "line_cancelled" if outcome.detail.get("code") == "no_state" else "write_refused"
            self._refused(tx, op, outcome, now, kind=kind, expected={"cancelled": _cancelled(tx, order_id)})
        elif isinstance(outcome, Done):
            # The version is not noted as ours: the order is read again, so that the book knows it as it is now.
            who = "left to others" if outcome.result.get("shadow") else "storefront told"
            book.tell(tx, order_id, f"{who}: {op.kind}", now, units=outcome.result.get("units", {}))


def _cancelled(tx: ReadTx, order_id: str) -> dict[str, int]:
    rows = tx.all(book.sql.lines_of, order_id=order_id)
    return {row.line_id: max(row.cancelled, row.asked) for row in rows if row.cancelled or row.asked}


def _wanted(tx: ReadTx, payload: Mapping[str, Any]) -> Counter[str]:
    """Units by SKU that the sale shall have."""
    found: Counter[str] = Counter()
    for line in tx.all(book.sql.part_lines, order_id=payload["order_id"], part=payload["part"]):
        found[line.sku] += max(line.shipped, line.units - payload["units"].get(line.line_id, 0))
    return found


def _same(sale: Sale, wanted: Counter[str]) -> bool:
    """Whether the sale has these units already: staff were asked by somebody else, and were faster."""
    return +evidence.units_on(sale) == +wanted
