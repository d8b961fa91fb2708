"""The order book as lists: pages of orders by what they wait for, each page beginning where the last one ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sellable.runtime.database import ReadTx
from sellable.runtime.queries import queries

sql = queries("sellable.book")

SHELVES: dict[str, tuple[str, ...] | None] = {
    "all": None,
    "waiting": ("waiting",),
    "held": ("held",),
    "exporting": ("exporting",),
    "exported": ("exported",),
    "shipped": ("shipped",),
    "cancelled": ("cancelling", "cancelled"),
    "split": None,
    "orphaned": None,
}
"""Name of a shelf -> stages of its orders, where stages tell."""
LONGEST_FIRST = ("waiting", "held", "exporting")
"""Whose orders somebody waits for: the one that waits longest comes first."""
COUNTED = ("waiting", "held", "exporting")
COUNT_BOUND = 1001
TEXT_MAX = 100
BEYOND = "\U0010ffff"
"""Sorts after any text that a number can go on with."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Where a page ended: the instant it is sorted by, and the id of its last row."""

    at: datetime
    id: str


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A page of rows, and where the next one begins; None at the end."""

    rows: list[Any]
    next: Mark | None


def shelf(tx: ReadTx, name: str, text: str, after: Mark | None, limit: int) -> Shelf:
    """One page of a shelf. `text` is an order id, the beginning of an order number, or the number of a sale.

    Rows of "orphaned" are stray sales, all others orders. Raises KeyError for a shelf that is not there.
    """
    stages = SHELVES[name]
    text = text.strip()[:TEXT_MAX].replace("\x00", "")
    rising = name == "orphaned" or (name in LONGEST_FIRST and not text)
    begin = after or Mark(at=_FIRST if rising else _LAST, id="" if rising else BEYOND)
    where = {"after_at": begin.at, "after_id": begin.id, "limit": limit + 1}
    if name == "orphaned":
        rows, key = tx.all(sql.list_strays, **where, text=text), ("since", "sale_id")
    elif text:
        more = {"text": text, "beyond": text + BEYOND, "stages": _list(stages), "split": name == "split"}
        rows = tx.all(sql.search_orders, **where, **more)
        key = ("placed_at", "order_id")
    elif name == "split":
        rows, key = tx.all(sql.list_split, **where), ("at", "order_id")
    elif rising:
        rows, key = tx.all(sql.list_longest, **where, stage=name), ("stage_since", "order_id")
    else:
        rows, key = tx.all(sql.list_orders, **where, stages=_list(stages)), ("placed_at", "order_id")
    shown = rows[:limit]
    last = Mark(at=getattr(shown[-1], key[0]), id=getattr(shown[-1], key[1])) if len(rows) > limit else None
    return Shelf(rows=shown, next=last)


def parts_of(tx: ReadTx, order_ids: list[str]) -> dict[str, tuple[int, list[str]]]:
    """How many sales each order is made of, and where from, for those that were planned."""
    return {row.order_id: (row.parts, row.locations) for row in tx.all(sql.parts_of_orders, ids=order_ids)}


def counts(tx: ReadTx) -> dict[str, tuple[int, datetime | None]]:
    """Of shelves that somebody should look at: how many are there (at most COUNT_BOUND), since when the oldest is."""
    rows = tx.all(sql.count_stages, stages=list(COUNTED), bound=COUNT_BOUND)
    found: dict[str, tuple[int, datetime | None]] = {row.stage: (row.n, row.oldest) for row in rows}
    return found | {"orphaned": (int(tx.value(sql.count_strays)), None)}


def any_order(tx: ReadTx) -> bool:
    """Whether an order has ever arrived."""
    return bool(tx.value(sql.any_order))


def _list(stages: tuple[str, ...] | None) -> list[str] | None:
    return None if stages is None else list(stages)


_FIRST = datetime.fromisoformat("0001-01-02T00:00:00+00:00")
_LAST = datetime.fromisoformat("9999-12-30T00:00:00+00:00")
