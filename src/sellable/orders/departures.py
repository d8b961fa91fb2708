"""What a warehouse says has left: shipments of a window, taken into the orders they belong to.

Windows overlap and a shipment may be told before its import was acknowledged. One rule: a shipment is known by the
warehouse's reference of it, so it counts once, however often and in whatever order it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import Despatch, Despatches
from sellable.orders import fulfilment
from sellable.orders.context import Context
from sellable.orders.export import went_out
from sellable.runtime.database import Tx
from sellable.runtime.inbox import InboxRow

GONE = ("voided", "dropped", "voiding")


def on_despatches(tx: Tx, row: InboxRow, now: datetime, *, context: Context) -> None:
    """Inbox handler: a window of despatches as read, with the causal numbers around the reading in the row's meta."""
    page = msgspec.json.decode(row.body, type=Despatches)
    target = row.meta["target"]
    if page.faults:
        context.open_case(
            tx, "shipment_unmatched", f"vendor:{target}", now, expected={"shipments": "readable"},
            actual={"unreadable": list(page.unreadable[:20]), "why": list(page.faults[:20])},
            evidence=[f"inbox:{row.id}"],
        )  # fmt: skip
    found: dict[str, tuple[Any, list[Despatch]]] = {}
    known = _known(tx, target, page.despatches)
    for despatch in (each for each in page.despatches if each.shipment.shipment_id not in known):
        part = part_of(tx, target, [despatch.order_ref, despatch.original_ref])
        if part is not None:  # Else it is not of ours: others sell from this warehouse too.
            found.setdefault(part.ref, (part, []))[1].append(despatch)
    for ref in sorted(found):
        part, left = found[ref]
        _take(tx, part, left, row.meta["a1"], now, context)


def _known(tx: Tx, target: str, despatches: Sequence[Despatch]) -> set[str]:
    """Shipments the book has just so, of orders it has wholly shipped: windows overlap, so most are told many times."""
    told = {each.shipment.shipment_id: book.text(each.shipment) for each in despatches}
    rows = tx.all(book.sql.shipped_just_so, target=target, shipment_id=list(told), document=list(told.values()))
    return {row.shipment_id for row in rows}


def part_of(tx: Tx, target: str, refs: Sequence[str]) -> Any | None:
    """The part at a back office that an order's reference names: its own, or the one it was split from over there."""
    for ref in filter(None, refs):
        part = tx.one(book.sql.part_of_ref, ref=ref) or tx.one(book.sql.part_of_sale, sale_id=ref)
        if part is not None and part.target == target:
            return part
    return None


def _take(tx: Tx, part: Any, left: Sequence[Despatch], a1: int, now: datetime, context: Context) -> None:
    ref, head = part.ref, book.lock(tx, part.order_id)
    part = book.part_of(tx, part.order_id, part.part)
    if part.state in GONE and _all_told(tx, left):
        return
    if part.sale_id is None:
        # It left before we heard that it was taken: then it was.
        tx.run(book.sql.record_sale, order_id=part.order_id, part=part.part, sale_id=ref, number=ref)
    if part.state in GONE:
        context.open_case(
            tx, "cancel_too_late", f"order:{part.order_id}", now, expected={"part": "cancelled"},
            actual={"shipments": [each.shipment.shipment_id for each in left]}, evidence=[f"sale:{ref}"],
        )  # fmt: skip
    if part.state in ("planned", "created", "held"):
        tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="authorised")
        went_out(tx, part.order_id, part.part, now, context)
        part = book.part_of(tx, part.order_id, part.part)
    fulfilment.take_shipments(tx, part, [each.shipment for each in left], now, context, whole=True)
    if part.state not in GONE:
        fulfilment.finish(tx, head, part, a1, now)


def _all_told(tx: Tx, left: Sequence[Despatch]) -> bool:
    return all(tx.one(book.sql.shipment, shipment_id=each.shipment.shipment_id) for each in left)
