"""What a warehouse says has come back: lines of a report, put together to returns of the orders they belong to.

A line has no number of its own: what came back of one order under one authorisation at one time is one return, and the
report shows it whole. One rule: a word for a condition that nobody mapped is not sellable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from sellable.book import book
from sellable.connectors.port import ReturnRow, Returns
from sellable.domain.orders import GoodsReturn, ReturnedGoods
from sellable.domain.stock import State
from sellable.orders import despatch, fulfilment, returns
from sellable.orders.context import Context
from sellable.orders.departures import part_of
from sellable.runtime.database import Tx
from sellable.runtime.inbox import InboxRow

CONDITIONS: Mapping[str, State] = {
    "as new": State.AVAILABLE,
    "packaging damaged": State.INSPECTION,
    "product damaged (refurbishable)": State.QUARANTINE,
    "product damaged (irreparable)": State.DAMAGED,
}
"""The usual list of conditions (API guide, returns), and what becomes of goods in one."""


def on_returns(tx: Tx, row: InboxRow, now: datetime, *, context: Context) -> None:
    """Inbox handler: a window of the report of returns as read, from causal number a0 on."""
    page = msgspec.json.decode(row.body, type=Returns)
    target = row.meta["target"]
    if page.faults:
        context.open_case(
            tx, "return_unmatched", f"vendor:{target}", now, expected={"returns": "readable"},
            actual={"why": list(page.faults[:20])}, evidence=[f"inbox:{row.id}"],
        )  # fmt: skip
    house = context.settings.orderflow
    words = {**CONDITIONS, **{name.casefold(): State(to) for name, to in (house.conditions if house else {}).items()}}
    for ref, lines in sorted(_by_order(tx, page.rows).items()):
        part = part_of(tx, target, [ref])
        if part is None:
            continue  # Not of ours: others sell from this warehouse too.
        book.lock(tx, part.order_id)
        carried = fulfilment.carried(tx, part)
        found = [returned(rows, carried, part.location, words) for rows in _by_return(lines)]
        returns.take(tx, part, found, row.meta["a0"], now, context)


def _by_order(tx: Tx, rows: Sequence[ReturnRow]) -> dict[str, list[ReturnRow]]:
    """Rows by their order; one that names none is of the order whose return was announced under its number."""
    found: dict[str, list[ReturnRow]] = {}
    unnamed = sorted({row.authorisation for row in rows if not row.order_ref and row.authorisation})
    ours = {r.ref: r.part_ref for r in tx.all(book.sql.announced_parts, refs=unnamed)} if unnamed else {}
    for row in rows:
        if ref := row.order_ref or ours.get(row.authorisation, ""):
            found.setdefault(ref, []).append(row)
    return found


def _by_return(rows: Sequence[ReturnRow]) -> list[list[ReturnRow]]:
    found: dict[str, list[ReturnRow]] = {}
    for row in rows:
        found.setdefault(_name(row), []).append(row)
    return [found[name] for name in sorted(found)]


def _name(row: ReturnRow) -> str:
    at = row.returned_at or row.completed_at
    return f"{row.order_ref}/{row.authorisation}/{at.isoformat() if at else ''}"


def returned(
    rows: Sequence[ReturnRow], lines: Sequence[despatch.Carried], location: str, words: Mapping[str, State]
) -> GoodsReturn:
    """One return out of its lines. What is on a line by itself is that line's; the rest makes whole kits."""
    left: Counter[str] = Counter()
    for row in rows:
        left[row.sku] += row.quantity
    reasons = {row.sku: row.reason for row in rows}
    items: list[tuple[str, int, str]] = []
    for line in (line for line in lines if not line.recipe):
        if units := min(line.shipped, left[line.sku]):
            items.append((line.sku, units, reasons[line.sku]))
            left[line.sku] -= units
    for line in (line for line in lines if line.recipe):
        if sets := min(line.shipped, *(left[sku] // per for sku, per in line.recipe.items())):
            items.append((line.sku, sets, reasons.get(next(iter(line.recipe)), "")))
            left.subtract({sku: sets * per for sku, per in line.recipe.items()})
    items += [(sku, units, reasons[sku]) for sku, units in sorted(left.items()) if units > 0]
    return GoodsReturn(
        return_id=_name(rows[0]),
        number=rows[0].authorisation or rows[0].order_ref,
        items=tuple(items),
        stock=tuple(
            ReturnedGoods(sku=row.sku, units=row.quantity, location=location, state=_state(row, words))
            for row in rows
            if row.quantity
        ),
    )


def _state(row: ReturnRow, words: Mapping[str, State]) -> State:
    """What became of a line's goods; what is still looked at waits, whatever is said of it."""
    if row.completed_at is None:
        return State.INSPECTION
    return words.get(" ".join(row.condition.split()).casefold(), State.QUARANTINE)
