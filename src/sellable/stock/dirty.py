"""Names of SKUs whose number may have changed. Level-triggered: asking again may only raise the urgency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sellable.runtime.database import Tx
from sellable.runtime.queries import queries

sql = queries("sellable.stock")
CHANNEL = "sellable_dirty"
"""Name of the database's hint that something became dirty."""


def mark(tx: Tx, skus: Iterable[str], priority: int, reason: str, now: datetime) -> None:
    """Notes that these SKUs (and every kit made of them) must be looked at again. Waits for no other transaction."""
    for sku in skus:
        tx.gather(_write, (sku, int(priority), reason, now))


def _write(tx: Tx, marks: list[tuple[str, int, str, datetime]]) -> None:
    """One mark a SKU and transaction, the most urgent with its reason."""
    best: dict[str, tuple[str, int, str, datetime]] = {}
    for mark in marks:
        if mark[0] not in best or mark[1] < best[mark[0]][1]:
            best[mark[0]] = mark
    skus, priorities, reasons, since = zip(*(best[sku] for sku in sorted(best)), strict=True)
    tx.run(sql.mark_dirty, skus=list(skus), priorities=list(priorities), reasons=list(reasons), since=list(since))
    tx.notify(CHANNEL)


def take(tx: Tx, limit: int) -> list[tuple[str, int, str]]:
    """Claims the most urgent (sku, priority, reason) for this transaction; they are gone when it commits.

    A mark made by a transaction that commits later stays, so that its SKU is looked at again.
    """
    best: dict[str, tuple[str, int, str]] = {}
    for mark in sorted(tx.all(sql.take_dirty, limit=limit), key=lambda r: (r.priority, r.seq)):
        best.setdefault(mark.sku, (mark.sku, mark.priority, mark.reason))
    return list(best.values())


def with_kits(tx: Tx, skus: Sequence[str]) -> list[str]:
    """The SKUs and every kit that contains one of them."""
    return sorted(set(skus) | {r.sku for r in tx.all(sql.kits_of, skus=list(skus))})
