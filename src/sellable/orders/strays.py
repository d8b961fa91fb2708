"""Drafts at the back office that carry our reference and are not the recorded sale: left by late or repeated calls.

They hold no stock. One rule: looked at minutes later, and still not the recorded one, before they are voided.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sellable.book import book
from sellable.connectors.port import OrderTarget, Refused
from sellable.orders.context import Context
from sellable.orders.rules import BACK_OFFICE
from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import Tx
from sellable.runtime.operations import Done, Intent, Operation, Outcome


def owe_voiding(tx: Tx, context: Context, clock: Clock) -> int:
    """Owes the voiding of strays that stayed; returns how many were looked at."""
    now = clock.now()
    before = now - timedelta(minutes=context.settings.cin7_core.stray_draft_minutes)
    rows = tx.all(book.sql.old_strays, before=before)
    for row in rows:
        tx.run(book.sql.stray_owed, sale_id=row.sale_id)
        part = book.part_of(tx, row.order_id, row.part)
        recorded = (part.sale_id or "").lower()
        if recorded == row.sale_id.lower() or (not recorded and part.state == "planned"):
            continue
        owe(tx, row.order_id, [row.sale_id], now, context)
        book.tell(tx, row.order_id, "stray draft found", now, sale=row.sale_id)
    return len(rows)


def owe(tx: Tx, order_id: str, sales: Sequence[str], now: datetime, context: Context, *, double: bool = False) -> None:
    """Owes the voiding of sales beside the recorded one; `double` ones are authorised too, and go if untouched."""
    intents = [
        Intent(
            system=BACK_OFFICE,
            kind="stray.void",
            lane=f"stray:{sale_id}",
            budget="repair",
            priority=4,
            payload={"sale_id": sale_id, "order_id": order_id, "double": double},
            correlation=order_id,
        )
        for sale_id in sales
    ]
    operations.owe(tx, intents, now, context.ids)


class Voiding:
    """Voids a stray draft, or a second sale that nobody has touched; voiding twice does no harm."""

    def __init__(self, target: OrderTarget) -> None:
        self._target = target

    async def send(self, op: Operation) -> Outcome:
        """Reads it once more: what is picked or shipped is left to people, and so is anything not ours to void."""
        sale = await self._target.read_sale(op.payload["sale_id"], lane="repair")
        untouched = sale.status == "authorised" and not sale.picked and not sale.shipments
        if sale.status != "draft" and not (untouched and op.payload.get("double")):
            return Done({"left": sale.status})
        try:
            await self._target.void_sale(op.payload["sale_id"], undo=False, lane="repair")
        except Refused as refusal:
            return Done({"refused": str(refusal)})
        return Done({"voided": True})

    def settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """Keeps the end in the order's story."""
        if isinstance(outcome, Done):
            what = "second sale dealt with" if op.payload.get("double") else "stray draft dealt with"
            book.tell(tx, op.payload["order_id"], what, now, sale=op.payload["sale_id"], **outcome.result)
