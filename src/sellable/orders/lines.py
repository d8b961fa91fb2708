"""Units of lines that the storefront cancels while their order lives: from its line item states to work that is owed.

What counts is how many units of a line are cancelled by now, not the message that said so. Units nobody was told of are
released at once; a sale that carries them is made smaller, or voided when nothing of it is left.

    storefront: units in a cancelled state ─► asked ─ sale.reduce ─► undone ─► written anew, compared, authorised
                                                          └─ picked or shipped: a case, and the units stay promised
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.book import book
from sellable.domain.orders import Order
from sellable.domain.stock import Priority
from sellable.orders import cancel, evidence
from sellable.orders.context import Context
from sellable.orders.remaining import worth
from sellable.runtime.database import ReadTx, Tx
from sellable.stock import entries

ENDED = ("voided", "dropped")


def heard(tx: Tx, order: Order, parts: Sequence[Any], now: datetime, context: Context) -> bool:
    """Owes what makes the order's sales smaller; True when units are cancelled that were not so before.

    Where the order has no parts yet nothing is owed: whoever plans it plans what remains.
    """
    rows = {row.line_id: row for row in tx.all(book.sql.lines_of, order_id=order.order_id)}
    more = {
        line.line_id: line.cancelled - rows[line.line_id].asked
        for line in order.lines
        if line.sku and line.line_id in rows and line.cancelled > rows[line.line_id].asked
    }
    if not more:
        return False
    asked = {line: rows[line].asked + units for line, units in more.items()}
    tx.run(book.sql.ask_lines, order_id=order.order_id, line_id=list(asked), asked=list(asked.values()))
    _give_back(tx, order, {line: rows[line].asked for line in more}, more, now, context)
    for line in (line for line in order.lines if line.line_id in more):
        context.strange_reasons(tx, [line.reason], "storefront", order.order_id, f"line {line.line_id}", now)
    said = [[line, rows[line].sku, units] for line, units in sorted(more.items())]
    book.tell(tx, order.order_id, "units cancelled at the storefront", now, lines=said, version=order.version)
    refund(tx, order, more, now, context)
    if not parts:
        columns = {"line_id": list(more), "units": list(more.values())}
        tx.run(book.sql.cancel_units, order_id=order.order_id, **columns)
        return True
    for part, units in place(tx, order.order_id, parts, more):
        reduce(tx, order, part, units, now, context)
    return True


def as_booked(tx: ReadTx, order: Order) -> Order:
    """The order with those units cancelled that its parts do not carry any more: what is asked may be under way."""
    surely = {row.line_id: row.cancelled for row in tx.all(book.sql.lines_of, order_id=order.order_id)}
    goods = (msgspec.structs.replace(line, cancelled=surely.get(line.line_id, 0)) for line in order.lines)
    return msgspec.structs.replace(order, lines=tuple(goods))


def place(
    tx: Tx, order_id: str, parts: Sequence[Any], units: Mapping[str, int]
) -> list[tuple[Any, dict[str, int]]]:  # fmt: skip
    """Which part gives up how many units of which line: the last part first, none beyond what it has not shipped.

    What no part can give up has left already; it stays with the first part that carries the line, which says so.
    """
    left = Counter(units)
    found: dict[int, dict[str, int]] = {}
    carriers: dict[str, int] = {}
    for part in sorted((p for p in parts if p.state not in ENDED), key=lambda p: -p.part):
        for line in tx.all(book.sql.part_lines, order_id=order_id, part=part.part):
            carriers[line.line_id] = part.part
            if taken := min(left[line.line_id], max(0, line.units - line.shipped)):
                found.setdefault(part.part, {})[line.line_id] = taken
                left[line.line_id] -= taken
    for line_id, rest in left.items():
        if rest and line_id in carriers:
            mine = found.setdefault(carriers[line_id], {})
            mine[line_id] = mine.get(line_id, 0) + rest
    return [(part, found[part.part]) for part in parts if part.part in found]


def reduce(tx: Tx, order: Order, part: Any, units: Mapping[str, int], now: datetime, context: Context) -> None:
    """Owes a smaller sale, or voids the one of which nothing is left. Its units are in flight from now on: whatever we
    do to the sale may free what it holds (R5b of the internals).
    """
    lines = tx.all(book.sql.part_lines, order_id=order.order_id, part=part.part)
    if all(line.units - units.get(line.line_id, 0) <= 0 and not line.shipped for line in lines):
        cancel.stop(tx, order, part, now, context, units={line.line_id: line.units for line in lines})
        cancel.conclude(tx, order.order_id, now, context)
        return
    if part.state == "authorised":
        evidence.revoke(tx, part, f"fewer units of {order.label}", now)
        # What we do to the sale now is not the deed of staff, whoever reads it meanwhile.
        tx.run(book.sql.set_part_state, order_id=order.order_id, part=part.part, state="voiding")
    payload = {"part": part.part, "units": dict(units), "version": order.version}
    context.owe(tx, order.order_id, part.target, "sale.reduce", payload, now)


def refund(tx: Tx, order: Order, units: Mapping[str, int], now: datetime, context: Context) -> None:
    """Tells finance what the cancelled units were worth; nobody else changes an amount."""
    skus = {line.line_id: line.sku for line in order.lines}
    context.open_case(
        tx, "refund_due", f"order:{order.order_id}", now, expected={"order's payment": order.payment_state},
        actual={
            "lines": [[line, skus.get(line), count] for line, count in sorted(units.items())],
            "minor units": worth(order, units), "currency": order.currency,
        },
        evidence=[f"order:{order.order_id}"],
    )  # fmt: skip


def _give_back(
    tx: Tx, order: Order, before: Mapping[str, int], more: Mapping[str, int], now: datetime, context: Context
) -> None:
    """What the storefront may put back into its entries by that; assumed yes until measured, as for a whole cancel.

    A whole cancel that follows is expected to put back everything once more: an E too high only undersells.
    """
    if context.settings.commercetools.restocks_on_cancel == "no":
        return
    facts = [
        entries.EntryFact(
            sku=line.sku or "",
            channel=line.channel or "",
            kind="restocked",
            quantity=more[line.line_id],
            source="order",
            resource=order.order_id,
            line=f"{line.line_id}/cancelled",
            seq=before[line.line_id] + 1,
            remote_at=order.modified_at,
        )
        for line in order.lines
        if line.line_id in more and line.moves_entry
    ]
    entries.record(tx, facts, now, priority=Priority.LOWER, reason=f"units of {order.label} cancelled")
