"""What a person or a monitor wants to know at a glance, read in one snapshot."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sellable.app import ladder
from sellable.book import book
from sellable.runtime import feeds
from sellable.runtime.database import ReadTx
from sellable.runtime.queries import queries
from sellable.stock import numbers

sql = queries("sellable.app")


def overview(tx: ReadTx, now: datetime) -> dict[str, Any]:
    """Orders by stage, differences that wait, cases, feeds, inbox and operations; ages in seconds."""

    def age(at: datetime | None) -> float | None:
        return None if at is None else max(0.0, (now - at).total_seconds())

    work = tx.one(sql.work)
    dirty = tx.one(numbers.sql.count_dirty)
    keys = tx.one(sql.keys)
    assert work is not None
    assert dirty is not None
    assert keys is not None
    return {
        "at": now.isoformat(),
        "orders": {r.stage: {"count": r.n, "oldest_seconds": age(r.oldest)} for r in tx.all(book.sql.stage_counts)},
        "channels": ladder.rungs(tx),
        "differences": {
            "keys": keys.n,
            "lowers": work.lowers,
            "raises": work.raises,
            "writing": work.writing,
            "oldest_lower_seconds": age(work.oldest_lower),
            "dirty": dirty.n,
            "parked": keys.parked,
        },
        "inbox": {r.state: r.n for r in tx.all(sql.inbox_counts)},
        "operations": [
            {"system": r.system, "kind": r.kind, "state": r.state, "count": r.n, "oldest_seconds": age(r.oldest)}
            for r in tx.all(sql.operation_counts)
        ],
        "cases": {r.kind: {"open": r.n, "count": r.total} for r in tx.all(sql.case_counts)},
        "feeds": [
            {
                "name": s.name,
                "last_success_seconds": age(s.last_success_at),
                "failures": s.failures,
                "last_error": s.last_error,
            }
            for s in feeds.states(tx)
        ],
    }
