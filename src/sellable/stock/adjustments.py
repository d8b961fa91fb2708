"""Numbers that commercetools is the master of: what is owed to them besides what it does to them by itself.

One rule: what is owed is a sum of facts, of what happened less what was written, so that it is written once however
often it is looked at. A fact is never an absolute number.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.domain.stock import Priority
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries
from sellable.stock import dirty

sql = queries("sellable.stock")


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """Units to add to a number (below nothing: to take off) because of a line of an order."""

    sku: str
    channel: str
    units: int
    order_id: str
    line_id: str


def record(tx: Tx, found: Sequence[Adjustment], now: datetime) -> list[Any]:
    """Owes these; returns rows (sku, channel, units, resource, line, aside). What is `aside` is kept and not owed."""
    rows: list[Any] = tx.all(
        sql.record_adjustments,
        sku=[a.sku for a in found],
        channel=[a.channel for a in found],
        units=[a.units for a in found],
        resource=[a.order_id for a in found],
        line=[a.line_id for a in found],
        at=now,
    )
    for row in rows:
        dirty.mark(tx, [row.sku], Priority.ORDER_LOWER if row.units < 0 else Priority.RAISE, "adjustment", now)
    return rows


def written(tx: Tx, writes: Sequence[tuple[str, str, int, str]], now: datetime) -> None:
    """Writes, as (sku, channel, units added, marker), that paid what was owed; a marker counts once."""
    if writes:
        skus, channels, units, markers = (list(column) for column in zip(*writes, strict=True))
        tx.run(sql.adjustments_written, sku=skus, channel=channels, units=units, resource=markers, at=now)


def forgive(tx: Tx, seq: int, now: datetime) -> list[tuple[str, str, int]]:
    """Nothing is owed any more, by the restore of this causal number; returns what was, as (sku, channel, units)."""
    return [(r.sku, r.channel, r.units) for r in tx.all(sql.forgive_adjustments, seq=seq, at=now)]


def of(tx: ReadTx, sku: str, channel: str, at: datetime, limit: int) -> list[Any]:
    """The newest adjustments of a number up to an instant."""
    return tx.all(sql.adjustments_of, sku=sku, channel=channel, at=at, limit=limit)
