"""From what a sale says it holds, by SKU, to units of demand, by component. One rule: what is lost is lost at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sellable.book import book
from sellable.connectors.port import Sale
from sellable.runtime.database import ReadTx, Tx
from sellable.stock import demand


def allocated(lines: Iterable[tuple[str, int, int]]) -> dict[str, int]:
    """Units by SKU that a sale's lines (SKU, units, units on backorder) hold; a SKU may come in several lines."""
    held: dict[str, int] = defaultdict(int)
    for sku, units, short in lines:
        held[sku] += units - short
    return dict(held)


def units_on(sale: Sale) -> Counter[str]:
    """Units by SKU that a sale asks for, held or not."""
    found: Counter[str] = Counter()
    for line in sale.lines:
        found[line.sku] += line.quantity
    return found


def spread(lines: Sequence[Any], most: Mapping[str, int], units_by_sku: Mapping[str, int]) -> dict[str, int]:
    """Units by SKU spread over a part's lines in order, each up to its `most`; the excess is left out."""
    left = dict(units_by_sku)
    found: dict[str, int] = {}
    for line in lines:
        units = min(most.get(line.line_id, 0), left.get(line.sku, 0))
        if units:
            left[line.sku] -= units
            found[line.line_id] = units
    return found


def components_of(tx: Tx, part: Any, units_by_sku: Mapping[str, int]) -> dict[str, int]:
    """Units by SKU as the sale holds them, translated to units by component, each line up to its demand at the part's
    location: units ordered later count only where the sale holds them too.
    """
    wanted: dict[tuple[str, str], int] = defaultdict(int)
    per: dict[tuple[str, str], int] = {}
    for row in demand_of(tx, part):
        wanted[row.line_id, row.sku] += row.open_units + row.evidenced_units
        per[row.line_id, row.sku] = row.per_line
    lines = tx.all(book.sql.part_lines, order_id=part.order_id, part=part.part)
    if taken_apart(part, lines):
        return {sku: units_by_sku[sku] for _, sku in wanted if sku in units_by_sku}
    most = {
        line.line_id: min((wanted[key] // per[key] for key in wanted if key[0] == line.line_id), default=0)
        for line in lines
    }
    by_line = spread(lines, most, units_by_sku)
    found: dict[str, int] = defaultdict(int)
    for line_id, sku in wanted:
        found[sku] += by_line.get(line_id, 0) * per[line_id, sku]
    return dict(found)


def asked_of(tx: ReadTx, part: Any) -> list[tuple[str, int]]:
    """(SKU, units) of what the part's sale was asked for, as the back office has it."""
    lines = tx.all(book.sql.part_lines, order_id=part.order_id, part=part.part)
    if taken_apart(part, lines):
        return [(line["sku"], line["quantity"]) for line in part.draft["lines"]]
    return [(line.sku, line.units) for line in lines]


def taken_apart(part: Any, lines: Sequence[Any]) -> bool:
    """Whether the back office knows no kits, so that all lines of the sale are components.

    A line that is gone since the sale was written says nothing about the others.
    """
    asked = {line["sku"] for line in part.draft.get("lines", ())}
    return bool(asked) and not asked >= {line.sku for line in lines}


def demand_of(tx: Tx, part: Any) -> list[Any]:
    """The part's unfinished units of demand, locked."""
    return tx.all(demand.sql.demand_of_part, order_id=part.order_id, location=part.location, without=part.beside)


def revoke(tx: Tx, part: Any, reason: str, now: datetime) -> None:
    """The part's units are in flight again, and evidence that is on its way counts no more."""
    demand.revoke(tx, part.order_id, part.location, reason, now, part.beside)
    book.allocation_news(tx, part.order_id, part.part)
