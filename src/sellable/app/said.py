"""What follows from a setting that is said in the console, in the transaction in which it is said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sellable.app.replaying import context_of
from sellable.book import book
from sellable.config.check import check
from sellable.config.said import Key, together
from sellable.config.settings import Settings
from sellable.desk.kinds import KINDS
from sellable.orders import capture, rules
from sellable.runtime import said
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.said import Fields
from sellable.stock import buffers, catalogue

ORDERS = ("skus", "customers", "taxes", "rates", "carriers")
"""Sections that decide whether an order can be exported."""
HELD_MAX = 200
"""Held orders that are looked at for one change; the others are tried again from their case."""


def refusals(settings: Settings) -> list[str]:
    """What cannot work in settings, in sentences."""
    return [f"{p.key} {p.message}. {p.mend}" for p in check(settings, case_kinds=KINDS)]


def together_now(tx: ReadTx, file: Settings) -> tuple[Settings, list[Key]]:
    """What file and console say together now, and what of the console's fits the file no more."""
    return together(file, [(each.key, each.value) for each in said.values(tx)], refusals)


def together_then(tx: ReadTx, file: Settings, key: Key, value: Fields | None) -> Settings:
    """What they would say together, were this said too; None is what the file says."""
    rows = {each.key: each.value for each in said.values(tx)} | {key: value}
    return together(file, [(name, fields) for name, fields in rows.items() if fields is not None], refusals)[0]


def put(
    tx: Tx, file: Settings, clock: Clock, key: Key, value: Fields | None, actor: str, why: str
) -> tuple[Fields | None, bool, int]:  # fmt: skip
    """Say it (None: what the file says); what was said before, whether that differs, and how much goes on now."""
    was, _ = together_now(tx, file)
    before, changed = said.put(tx, key, value, actor, why, clock.now())
    return before, changed, _follow(tx, file, was, clock, key) if changed else 0


def undo(tx: Tx, file: Settings, clock: Clock, change_id: int, actor: str) -> said.Change:
    """Take one change back. Raises LookupError for no such change, NotTheLast."""
    was, _ = together_now(tx, file)
    change = said.undo(tx, change_id, actor, clock.now())
    _follow(tx, file, was, clock, change.key)
    return change


def held(tx: ReadTx, settings: Settings, clock: Clock) -> dict[str, tuple[str, ...]]:
    """Held order -> what the boundary check finds by these settings, for the oldest 200."""
    context = context_of(settings, Ids(clock))
    rows = tx.all(book.sql.held_orders, limit=HELD_MAX)
    return {
        row.order_id: tuple(sorted({f.kind for f in capture.wrong_with(tx, book.order_of(row), context)}))
        for row in rows
    }


def freed(now: Mapping[str, tuple[str, ...]], then: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Orders that are held for something now and for nothing then."""
    return [order for order, found in now.items() if found and not then.get(order, found)]


def _follow(tx: Tx, file: Settings, was: Settings, clock: Clock, key: Key) -> int:
    section, now = key[0], clock.now()
    if section == buffers.SECTION:
        buffers.changed(tx, buffers.which(key), now)
        return 0
    settings, _ = together_now(tx, file)
    if section == "skus":
        catalogue.spell(tx, rules.at_master(settings), now)
    return _let_go(tx, was, settings, clock, now) if section in ORDERS else 0


def _let_go(tx: Tx, was: Settings, settings: Settings, clock: Clock, now: datetime) -> int:
    """Orders that were held for what is said now are tried again."""
    context = context_of(settings, Ids(clock))
    orders = freed(held(tx, was, clock), held(tx, settings, clock))
    return sum(capture.retry(tx, order_id, now, context) for order_id in orders)
