"""Who did what: an append-only record whose rows are chained by hashes, one chain for each run of a process.

Rule: nothing personal and no secret gets in. Of `before` and `after` only fields on the allow-list stay readable; every
other value becomes a keyed hash, by which equal values can still be told to be equal.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sellable.runtime.database import ReadTx, Row, Tx
from sellable.runtime.queries import queries

SEALS = "seals"
"""The segment that notes the ends of all others, so that a chain cut short at its end is seen."""

BORN = ""
"""Previous hash of a chain's first row."""

PAGE = 5000
DEPTH_MAX = 50

ALLOWED = frozenset(
    {
        *("action", "at", "attempts", "case", "code", "correlation", "count", "due_at", "enabled", "epoch", "hash"),
        *("id", "ids", "kind", "lane", "last_id", "level", "limit", "mode", "op", "op_id", "operation", "owner"),
        *("priority", "reason_code", "ref", "role", "scope", "segment", "seq", "state", "status", "system", "type"),
        *("version",),
        *("available", "backorder", "buffer", "channel", "d", "delta", "difference", "e", "expected_version", "held"),
        *("location", "pool", "q", "quantity", "remote_id", "sku", "t", "target", "units"),
        *("amount", "budget", "centamount", "country", "currency", "currencycode", "tax_rule", "total"),
        *("delivery_key", "line_id", "order_id", "order_state", "ordernumber", "part", "parts", "sale_id"),
        *("gross", "net", "sale_number", "sends", "shipment_id", "shipment_state", "tax"),
        *("carrier", "held_age_limit_hours", "low_mark", "master", "max_age_minutes", "rate", "rule", "section"),
        *("storefront",),
    }
)
"""Fields whose values may be read in clear; names are compared in lower case."""

sql = queries("sellable.runtime")


@dataclass(frozen=True, kw_only=True)
class Break:
    """A place where a chain does not hold: `id` is the row, or None when a sealed end is missing."""

    segment: str
    id: int | None
    what: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """What an actor did to a subject; `before` and `after` as they are, not yet redacted."""

    at: datetime
    actor: str
    action: str
    subject: str
    correlation: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


class Audit:
    """Writes the chain of one run of a process. `segment` is new for each run; `key` keys the hidden values' hashes."""

    def __init__(self, segment: str, key: bytes, allowed: frozenset[str] = ALLOWED) -> None:
        if segment == SEALS:
            raise ValueError(f"{SEALS!r} is the name of the chain of seals")
        self._segment = segment
        self._key = key
        self._allowed = allowed

    def record(
        self,
        tx: Tx,
        *,
        actor: str,
        action: str,
        subject: str,
        now: datetime,
        correlation: str | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Append what an actor did to a subject. Writers of one chain wait for each other until they commit."""
        record = Record(
            at=now, actor=actor, action=action, subject=subject, correlation=correlation, before=before, after=after
        )
        self.record_all(tx, [record])

    def record_all(self, tx: Tx, records: Sequence[Record]) -> None:
        """`record` for many, in their order, for the price of a few statements."""
        hidden = [
            replace(
                each,
                before=redact(each.before, self._key, self._allowed),
                after=redact(each.after, self._key, self._allowed),
            )
            for each in records
        ]
        _append(tx, self._segment, hidden)

    def seal(self, tx: Tx, now: datetime) -> None:
        """Note the present end of this chain in the chain of seals; once a minute is enough."""
        end = tx.one(sql.last_audit, segment=self._segment)
        if end is not None:
            after = {"segment": self._segment, "last_id": end.id, "hash": end.hash}
            _append(tx, SEALS, [Record(at=now, actor="system", action="seal", subject=self._segment, after=after)])


def redact(payload: Any, key: bytes, allowed: frozenset[str] = ALLOWED) -> Any:
    """The payload as JSON values in which every scalar below a field not on the list is a keyed hash ("#...").

    Lists take the name of their field; None, true and false stay. Numbers are hashed like texts. What lies deeper than
    50 levels is left out: it says nothing to a person.
    """
    return _redact(payload, key, allowed, DEPTH_MAX, clear=False)


def verify(tx: ReadTx) -> list[Break]:
    """Read every chain and return where one does not hold: a changed or missing row, a missing sealed end."""
    breaks: list[Break] = []
    segment, last_id, expected = "", 0, BORN
    while page := tx.all(sql.audit_page, segment=segment, id=last_id, limit=PAGE):
        for row in page:
            if row.segment != segment:
                segment, expected = row.segment, BORN
            if row.prev_hash != expected:
                breaks.append(Break(segment=segment, id=row.id, what="a row before it is missing or was changed"))
            if row.hash != _hash_of_row(row):
                breaks.append(Break(segment=segment, id=row.id, what="the row was changed"))
            if segment == SEALS and not tx.value(sql.audit_sealed, segment=row.subject, hash=row.after["hash"]):
                breaks.append(Break(segment=row.subject, id=None, what="its sealed end is missing"))
            expected, last_id = row.hash, row.id
    return breaks


def report(tx: ReadTx, keys: Sequence[str], limit: int) -> list[Row]:
    """Records whose correlation or subject is one of these, oldest first; the newest of all without keys."""
    return tx.all(sql.audit_of, keys=list(keys), limit=limit) if keys else tx.all(sql.audit_newest, limit=limit)


def _append(tx: Tx, segment: str, records: Sequence[Record]) -> None:
    """Chain redacted records to the end of a segment."""
    if not records:
        return
    tx.all(sql.lock_audit_segment, segment=segment)
    end = tx.one(sql.last_audit, segment=segment)
    prev_hash = BORN if end is None else end.hash
    seqs = [row.seq for row in tx.all(sql.next_seqs, count=len(records))]
    rows = []
    for record, seq in zip(records, seqs, strict=True):
        names = ("actor", "action", "subject", "correlation", "before", "after")
        clean = storable({name: getattr(record, name) for name in names})
        digest = _hash(prev_hash, {"segment": segment, "at": _instant(record.at), "seq": seq, **clean})
        written = {**clean, "before": _json(clean["before"]), "after": _json(clean["after"])}
        rows.append({"at": record.at, "seq": seq, "prev_hash": prev_hash, "hash": digest, **written})
        prev_hash = digest
    tx.run(sql.put_audit, segment=segment, **{name: [row[name] for row in rows] for name in rows[0]})


def storable(value: Any) -> Any:
    """The JSON value without what PostgreSQL refuses (NUL, half a surrogate pair): any action must be recordable."""
    match value:
        case str():
            return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        case dict():
            return {storable(name): storable(inner) for name, inner in value.items()}
        case list():
            return [storable(inner) for inner in value]
        case _:
            return value


def _hash_of_row(row: Row) -> str:
    names = ("segment", "seq", "actor", "action", "subject", "correlation", "before", "after")
    return _hash(row.prev_hash, {"at": _instant(row.at), **{name: getattr(row, name) for name in names}})


def _hash(prev_hash: str, content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{prev_hash}\n{canonical}".encode()).hexdigest()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _redact(value: Any, key: bytes, allowed: frozenset[str], depth: int, *, clear: bool) -> Any:
    match value:
        case None | bool():
            return value
        case Mapping() | list() | tuple() if not depth:
            return "#"
        case Mapping():
            return {
                str(name): _redact(inner, key, allowed, depth - 1, clear=str(name).lower() in allowed)
                for name, inner in value.items()
            }
        case list() | tuple():
            return [_redact(inner, key, allowed, depth - 1, clear=clear) for inner in value]
        case _ if not clear:
            return "#" + hmac.new(key, str(value).encode("utf-8", "replace"), "sha256").hexdigest()[:16]
        case int() | str():
            return value
        case _:
            return str(value)
