"""The log of calls: what may have had an effect outside, and what failed, with redacted bodies.

Rule: it is gathered in memory and written in batches, so it may lose the last second before a kill; what an operation
did is known from the operation itself.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.runtime.audit import redact, storable
from sellable.runtime.database import ReadTx, Row, Tx
from sellable.runtime.http import Exchange
from sellable.runtime.queries import queries

WAITING_MAX = 5000
BODY_BYTES_MAX = 32 * 1024
"""Longer bodies are noted by their size alone."""
_HARMLESS = ("GET", "HEAD")
_SECRET = ("POST token",)
"""Their bodies are credentials and nothing else."""

sql = queries("sellable.runtime")


class CallLog:
    """Takes note of exchanges; `flush` writes them. `key` keys the hashes of hidden values."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._waiting: deque[Exchange] = deque(maxlen=WAITING_MAX)

    def note(self, exchange: Exchange) -> None:
        """Keep an exchange that wrote something or went wrong."""
        reads = exchange.method in _HARMLESS or (exchange.correlation is None and exchange.operation == "POST graphql")
        if (not reads and exchange.operation not in _SECRET) or not 200 <= exchange.status < 400:
            self._waiting.append(exchange)

    def flush(self, tx: Tx) -> int:
        """Store what was noted and return how much; what is noted meanwhile waits for the next time."""
        taken = list(self._waiting)
        if taken:
            rows = [self._row(each) for each in taken]
            tx.run(sql.put_calls, **{name: [row[name] for row in rows] for name in rows[0]})
            tx.after_commit(lambda: self._forget(taken))
        return len(taken)

    def _forget(self, stored: Sequence[Exchange]) -> None:
        for each in stored:
            if self._waiting and self._waiting[0] is each:
                self._waiting.popleft()

    def _row(self, call: Exchange) -> dict[str, Any]:
        secret = call.operation in _SECRET
        return {
            "at": call.sent_at,
            "correlation": call.correlation,
            "system": call.credential.partition(":")[0],
            "operation": call.operation,
            "path": call.path[:500],
            "status": call.status,
            "error": call.error,
            "seconds": call.seconds,
            "request": None if secret else self._shown(call.request),
            "answer": None if secret else self._shown(call.answer),
        }

    def _shown(self, body: bytes | None) -> str | None:
        """A body as JSON text without anything personal; what is not JSON, or long, by its size."""
        if not body:
            return None
        try:
            value = msgspec.json.decode(body) if len(body) <= BODY_BYTES_MAX else None
            if value is not None:
                return json.dumps(storable(redact(value, self._key)), allow_nan=False)
        except (ValueError, RecursionError):
            # No JSON, nested without end, a number beyond numbers: the row must be writable whatever was sent.
            pass
        return json.dumps({"bytes": len(body)})


def calls_of(tx: ReadTx, correlations: Sequence[str], limit: int) -> list[Row]:
    """The calls of these correlations, oldest first."""
    return tx.all(sql.calls_of, keys=list(correlations), limit=limit)


def prune(tx: Tx, before: datetime) -> int:
    """Delete calls made before a moment and return how many."""
    return tx.run(sql.prune_calls, before=before)
