"""From what a sale says it holds, by SKU, to units of demand, by component. One rule: what is lost is lost at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sellable.book import book
from sellable.runtime.database import Tx
from sellable.stock import demand


def allocated(lines: Iterable[tuple[str, int, int]]) -> dict[str, int]:
    """Units by SKU that a sale's lines (SKU, units, units on backorder) hold; a SKU may come in several lines."""
    held: dict[str, int] = defaultdict(int)
    for sku, units, short in lines:
        held[sku] += units - short
    return dict(held)


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


def recipes_of(tx: Tx, part: Any) -> dict[str, dict[str, int]]:
    """By line of a part, units of each component in one unit of it."""
    made: dict[str, dict[str, int]] = {}
    rows = tx.all(book.sql.recipes_of_part, order_id=part.order_id, part=part.part, location=part.location)
    for row in rows:
        made.setdefault(row.line_id, {})[row.sku] = row.units
    return made


def components_of(tx: Tx, part: Any, units_by_sku: Mapping[str, int]) -> dict[str, int]:
    """Units by SKU as the sale holds them, translated to units by component, each line up to its demand at the part's
    location: units ordered later count only where the sale holds them too.
    """
    wanted: dict[tuple[str, str], int] = defaultdict(int)
    for row in tx.all(demand.sql.demand_of_part, order_id=part.order_id, location=part.location):
        wanted[row.line_id, row.sku] += row.open_units + row.evidenced_units
    recipes = recipes_of(tx, part)
    most = {line: min(wanted[line, sku] // per for sku, per in recipe.items()) for line, recipe in recipes.items()}
    lines = tx.all(book.sql.part_lines, order_id=part.order_id, part=part.part)
    found: dict[str, int] = defaultdict(int)
    for line_id, units in spread(lines, most, units_by_sku).items():
        for sku, per in recipes[line_id].items():
            found[sku] += units * per
    return dict(found)


def revoke(tx: Tx, part: Any, reason: str, now: datetime) -> None:
    """The part's units are in flight again, and evidence that is on its way counts no more."""
    demand.revoke(tx, part.order_id, part.location, reason, now)
    book.allocation_news(tx, part.order_id, part.part)
