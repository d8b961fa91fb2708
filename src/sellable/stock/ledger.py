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


class FactConflict(Exception):
    """The same identity came with another content: the source lied or our mapping is wrong."""

    def __init__(self, movements: Sequence[Movement]) -> None:
        first = movements[0]
        super().__init__(f"{len(movements)} fact(s) differ from what was recorded, first: {first}")
        self.movements = tuple(movements)


def content_of(movement: Movement) -> str:
    """A hash of everything a movement says."""
    return hashlib.sha256(msgspec.json.encode(movement)).hexdigest()[:32]


def post(tx: Tx, movements: Sequence[Movement], now: datetime) -> int:
    """Appends the movements not recorded yet and returns how many were new; balances change in the same statement.

    Balances are locked in (sku, location, state) order, so that two posts never deadlock.
    Raises FactConflict when an identity is known with another content; nothing of the batch is then kept.
    """
    if not movements:
        return 0
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
    if new < len(movements):
        recorded = {
            (r.source, r.resource, r.line, r.kind, r.seq): r.content
            for r in tx.all(
                sql.movement_contents, **{k: columns[k] for k in ("source", "resource", "line", "kind", "seq")}
            )
        }
        other = [m for m in movements if recorded[(m.source, m.resource, m.line, m.kind.value, m.seq)] != content_of(m)]
        if other:
            raise FactConflict(other)
    return new


def balances_that_differ(tx: ReadTx) -> list[tuple[str, str, str, int, int]]:
    """(sku, location, state, balance, sum of movements) wherever the cache is wrong; empty is right."""
    return [tuple(r) for r in tx.all(sql.balances_that_differ)]


def skus_that_do_not_sum_to_zero(tx: ReadTx) -> list[str]:
    """SKUs whose accounts, ours and the outside world's, do not cancel; empty is right."""
    return [r.sku for r in tx.all(sql.skus_not_zero)]
