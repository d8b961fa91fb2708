"""Writes the audit of operations: every settled one becomes a row of the chain, many in one transaction.

Rule: settling and owing the row are one commit, so an effect is never without its row for longer than a scribe is away.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sellable.runtime.audit import Audit, Record
from sellable.runtime.database import Row, Tx
from sellable.runtime.queries import queries

BATCH = 500

sql = queries("sellable.runtime")


def write_up(tx: Tx, audit: Audit, now: datetime) -> int:
    """Record settled operations and return how many; fewer than 500 means nothing more is owed."""
    rows = tx.all(sql.take_audit_due, limit=BATCH)
    audit.record_all(tx, [_record(row, now) for row in rows])
    return len(rows)


def _record(op: Row, now: datetime) -> Record:
    before: dict[str, Any] = {"kind": op.kind, "system": op.system, **op.payload}
    after = {"state": op.state, "sends": op.sends, "attempts": op.attempts, **(op.result or {})}
    return Record(
        at=op.settled_at or now,
        actor="sellable",
        action=op.kind,
        subject=f"operation:{op.id}",
        correlation=op.correlation or op.id,
        before=before,
        after=after | ({"cause": op.cause} if op.cause else {}),
    )
