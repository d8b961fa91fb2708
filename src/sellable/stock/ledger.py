"""The ledger: movements are appended once, balances follow in the same statement. One rule: a fact never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import msgspec

from sellable.domain.stock import Movement
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries

sql = queries("sellable.stock")
IDENTITY = ("source", "resource", "line", "kind", "seq")


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A movement whose identity is known with another content: the source lied or our mapping is wrong.

    What was recorded first counts; `arrived` is for the case that a person gets.
    """

    arrived: Movement
    recorded: Movement


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """How many movements were new, and those that contradict what was recorded."""

    new: int
    conflicts: tuple[Conflict, ...] = ()


def content_of(movement: Movement) -> str:
    """A hash of everything a movement says."""
    return hashlib.sha256(msgspec.json.encode(movement)).hexdigest()[:32]


def post(tx: Tx, movements: Sequence[Movement], now: datetime) -> Posted:
    """Appends the movements not recorded yet; balances change in the same statement.

    Balances are locked in (sku, location, state) order, so that two posts never deadlock. A movement that contradicts
    a recorded one changes nothing and stops no other: the caller opens a case for it.
    """
    if not movements:
        return Posted(new=0)
    columns = {
        "source": [m.source for m in movements],
        "resource": [m.resource for m in movements],
        "line": [m.line for m in movements],
        "kind": [m.kind.value for m in movements],
        "seq": [m.seq for m in movements],
        "sku": [m.sku for m in movements],
        "quantity": [m.quantity for m in movements],
        "from_location": [m.from_location for m in movements],
        "from_state": [m.from_state.value for m in movements],
        "to_location": [m.to_location for m in movements],
        "to_state": [m.to_state.value for m in movements],
        "content": [content_of(m) for m in movements],
    }
    new = int(tx.value(sql.post_movements, **columns, at=now) or 0)
    if new == len(movements):
        return Posted(new=new)
    known = tx.all(sql.movements_known, **{name: columns[name] for name in IDENTITY})
    recorded = {_identity(m): m for m in (msgspec.convert(row._asdict(), Movement) for row in known)}
    pairs = [Conflict(arrived=m, recorded=recorded[_identity(m)]) for m in movements]
    return Posted(new=new, conflicts=tuple(pair for pair in pairs if pair.arrived != pair.recorded))


def _identity(movement: Movement) -> tuple[str, ...]:
    return tuple(str(getattr(movement, name)) for name in IDENTITY)


def balances_that_differ(tx: ReadTx) -> list[tuple[str, str, str, int, int]]:
    """(sku, location, state, balance, sum of movements) wherever the cache is wrong; empty is right."""
    return [tuple(r) for r in tx.all(sql.balances_that_differ)]


def skus_that_do_not_sum_to_zero(tx: ReadTx) -> list[str]:
    """SKUs whose accounts, ours and the outside world's, do not cancel; empty is right."""
    return [r.sku for r in tx.all(sql.skus_not_zero)]
