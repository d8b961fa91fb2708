"""Returns that are made known at the storefront, announced to the warehouse that the goods left.

    a return item, Advised or Returned ─► return_note ─ all of its units have left ─► announcement ─ return.announce ─►
    the warehouse's report names our number of it ─► its units are those of that item

An item's line and units never change at the storefront, and our number of its announcement is made of its own: so the
same number is always the same announcement, and a repeat is a duplicate over there. One rule: nothing comes back that
did not leave; an announcement waits for the shipment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sellable.book import book
from sellable.connectors.port import Imported, ReturnAdvice, ReturnLine, ReturnSource
from sellable.orders import reasons
from sellable.orders.context import ORDER_PRIORITY, Context, shadowed
from sellable.orders.rules import ONE_CALL
from sellable.runtime import operations
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.operations import Done, Intent, Operation, Outcome, Rejected, Unknown


def owe(tx: Tx, order_id: str, now: datetime, context: Context) -> None:
    """Owes an announcement of every return that can be announced by now; the caller has locked the order."""
    house = context.settings.orderflow
    if house is None or not house.announce_returns:
        return
    for note in tx.all(book.sql.notes_to_announce, order_id=order_id):
        rooms = tx.all(book.sql.still_out, order_id=order_id, line_id=note.line_id, targets=sorted(ONE_CALL))
        if sum(room.units for room in rooms) < note.units and not note.complete:
            continue  # More of the line is to leave: it will be known then which part it is of.
        left = note.units
        for room in rooms:
            if units := min(left, room.units):
                left -= units
                _announce(tx, order_id, note, room, units, now, context)
        tx.run(book.sql.note_told, order_id=order_id, item_id=note.item_id)


def _announce(
    tx: Tx, order_id: str, note: Any, room: Any, units: int, now: datetime, context: Context
) -> None:  # fmt: skip
    ref = f"{room.ref}:{note.item_id}"
    key = {"ref": ref, "order_id": order_id, "part": room.part, "item_id": note.item_id, "line_id": note.line_id}
    if tx.run(book.sql.announce, **key, units=units, at=now):
        intent = Intent(
            system=room.target,
            kind="return.announce",
            # A lane of its own: whatever a warehouse says to it, the order goes on.
            lane=f"announce:{ref}",
            budget="orders",
            priority=ORDER_PRIORITY + 1,
            payload={"order_id": order_id, "part": room.part, "ref": ref, "reason": note.reason},
            correlation=order_id,
        )
        operations.owe(tx, [intent], now, context.ids)


class Announcing:
    """The operation that tells a warehouse what will come back."""

    def __init__(self, store: Store, targets: Mapping[str, ReturnSource], context: Context) -> None:
        self._store = store
        self._targets = targets
        self._context = context

    async def prepare(self, op: Operation) -> ReturnAdvice | Outcome:
        """The announcement; nothing where the goods are back already, or somebody else works the order."""
        if await self._store.read(shadowed, op.payload["order_id"], self._context):
            return Done({"shadow": True})
        advice = await self._store.read(self._advice, op.payload)
        return advice or Done({"nothing": True})

    def _advice(self, tx: ReadTx, payload: Mapping[str, Any]) -> ReturnAdvice | None:
        found = tx.one(book.sql.announcement, ref=payload["ref"])
        if found is None or found.arrived:
            return None
        part = next(p for p in tx.all(book.sql.read_parts, order_id=found.order_id) if p.part == found.part)
        why = reasons.said_to(payload["reason"], "back_office", self._context.settings)
        lines = [
            ReturnLine(sku=sku, quantity=found.units * per, reason=why)
            for sku, per in self._goods(tx, part, found.line_id).items()
        ]
        return ReturnAdvice(
            ref=found.ref, order_ref=part.sale_id or part.ref, lines=tuple(lines), location=part.location,
            type=self._type(),
        )  # fmt: skip

    def _goods(self, tx: ReadTx, part: Any, line_id: str) -> dict[str, int]:
        """What one unit of a line is made of at the warehouse, which knows no kits."""
        rows = tx.all(book.sql.recipes_of_part, order_id=part.order_id)
        if recipe := {row.sku: int(row.units) for row in rows if row.line_id == line_id}:
            return recipe
        lines = tx.all(book.sql.part_lines, order_id=part.order_id, part=part.part)
        return {line.sku: 1 for line in lines if line.line_id == line_id}

    def _type(self) -> str:
        house = self._context.settings.orderflow
        return house.return_type if house else ""

    async def call(self, system: str, documents: Sequence[ReturnAdvice]) -> Sequence[Imported]:
        """One import for all of them."""
        return await self._targets[system].import_returns(documents, lane="orders")

    async def answered(self, op: Operation, answer: Imported) -> Outcome:
        """What became of one: a number that is taken is taken by this very announcement."""
        match answer.outcome:
            case "success":
                return Done({})
            case "duplicate":
                return Done({"duplicate": True})
            case "failure":
                return Rejected(answer.message or "refused", {"code": "import", "detail": answer.detail})
            case _:
                return Unknown("the answer does not say what became of the announcement")

    def settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The warehouse expects the goods, or a case says why not."""
        order_id, ref = op.payload["order_id"], op.payload["ref"]
        if isinstance(outcome, Rejected):
            self._context.open_case(
                tx, "return_not_announced", f"order:{order_id}", now, expected={"announced": ref},
                actual={"cause": outcome.cause, **outcome.detail}, evidence=[f"operation:{op.id}"],
            )  # fmt: skip
        elif isinstance(outcome, Done) and not outcome.result.get("nothing"):
            tx.run(book.sql.announcement_told, ref=ref)
            who = "left to others" if outcome.result.get("shadow") else "return announced to the warehouse"
            book.tell(tx, order_id, who, now, part=op.payload["part"], ref=ref)
