"""The shadow E: what a storefront entry must show once the storefront has applied exactly what we know.

E is an account with facts of its own (baseline, delta, foreign, restocked, drift, taken, held). A difference d = T - E
is what gets sent, never an absolute number: orders the storefront took and we have not seen are in neither T nor E, so
they cancel out. One rule: E changes only together with a fact. Facts are appended, and folded into the entry's row
later, so that orders which share entries never wait for each other.
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


class EntryFact(msgspec.Struct, frozen=True, kw_only=True):
    """One change of E in units; identity is (source, resource, line, kind, seq) on the entry."""

    sku: str
    channel: str
    kind: str
    quantity: int
    source: str
    resource: str
    line: str
    seq: int
    remote_at: datetime


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as read: number, units in carts, version, its custom type and marker; `at` is the storefront's clock."""

    sku: str
    channel: str
    remote_id: str
    version: int
    quantity: int
    reserved: int
    typed: str | None
    backorder: bool
    last_op: str | None
    at: datetime
    seq: int


def record(tx: Tx, facts: Sequence[EntryFact], now: datetime, *, priority: int | None, reason: str) -> int:
    """Appends the facts not known yet and moves E with them; returns how many were new.

    With `priority` None nobody looks at the SKUs again because of them.
    """
    if not facts:
        return 0
    rows = tx.all(
        sql.record_entry_facts,
        sku=[f.sku for f in facts],
        channel=[f.channel for f in facts],
        kind=[f.kind for f in facts],
        quantity=[f.quantity for f in facts],
        source=[f.source for f in facts],
        resource=[f.resource for f in facts],
        line=[f.line for f in facts],
        seq=[f.seq for f in facts],
        remote_at=[f.remote_at for f in facts],
        at=now,
    )
    if rows and priority is not None:
        dirty.mark(tx, {r.sku for r in rows}, priority, reason, now)
    return len(rows)


def expect_again(tx: Tx, resource: str, lines: Sequence[str], now: datetime) -> None:
    """What a resource was expected to put back before it did so, of entries that were judged in between: the judgement
    has taken the expectation for a drift, so it is expected once more, now that it has happened.
    """
    rows = tx.all(sql.expected_too_early, resource=resource, line=list(lines)) if lines else []
    facts = [
        EntryFact(
            sku=row.sku, channel=row.channel, kind="restocked", quantity=row.quantity, source="order",
            resource=resource, line=row.line, seq=1, remote_at=now,
        )
        for row in rows
    ]  # fmt: skip
    record(tx, facts, now, priority=Priority.LOWER, reason="put back after it was judged")


def see(tx: Tx, seen: Sequence[Seen], now: datetime) -> list[str]:
    """Notes what entries showed. An entry met for the first time gets its baseline: E = the number seen.

    An entry that was deleted and made anew starts again from its number, and no raise counts until the master was
    read after that: orders of the old one may still be unknown. So does one that is read for the first time since the
    database was restored from a backup. Returns the SKUs met for the first time.
    """
    if not seen:
        return []
    rows = tx.all(
        sql.see_entries,
        sku=[s.sku for s in seen],
        channel=[s.channel for s in seen],
        remote_id=[s.remote_id for s in seen],
        version=[s.version for s in seen],
        quantity=[s.quantity for s in seen],
        reserved=[s.reserved for s in seen],
        typed=[s.typed for s in seen],
        backorder=[s.backorder for s in seen],
        last_op=[s.last_op for s in seen],
        at=[s.at for s in seen],
        seq=[s.seq for s in seen],
    )
    new = {(r.sku, r.channel) for r in rows if r.new}
    carts = {r.sku for r in rows if r.carts_changed}
    if carts:
        dirty.mark(tx, carts, Priority.LOWER, "units in carts changed", now)
    baselines = [
        EntryFact(
            sku=s.sku,
            channel=s.channel,
            kind="baseline",
            quantity=s.quantity,
            source="storefront",
            resource=s.remote_id,
            line="",
            seq=0,
            remote_at=s.at,
        )
        for s in seen
        if (s.sku, s.channel) in new
    ]
    record(tx, baselines, now, priority=Priority.LOWER, reason="entry first seen")
    _begin_anew(tx, [r for r in rows if r.reborn or r.restored], now)
    return sorted({sku for sku, _ in new})


def _begin_anew(tx: Tx, rows: Sequence[Any], now: datetime) -> None:
    """An order that commits meanwhile is waited for and counted, or waits and finds that the new number has it."""
    for r in sorted(rows, key=lambda r: (r.sku, r.channel)):
        tx.run(sql.lock_entry, sku=r.sku, channel=r.channel)
        # A statement of its own: it sees what was committed while the lock was waited for.
        expected = int(tx.value(sql.expected_at, sku=r.sku, channel=r.channel, at=r.q_at))
        # What a backup did not know is no drift, of which many together stop raises.
        kind = "baseline" if r.restored else "drift"
        fact = EntryFact(
            sku=r.sku, channel=r.channel, kind=kind, quantity=r.q - expected, source="storefront",
            resource=r.remote_id, line="", seq=r.q_seq, remote_at=r.q_at,
        )  # fmt: skip
        record(tx, [fact], now, priority=Priority.LOWER, reason="entry made anew")
        tx.run(sql.begin_anew, sku=r.sku, channel=r.channel, at=r.q_at)


def fold(tx: Tx, limit: int = 5000) -> int:
    """Moves recorded quantities into their entries' rows, which changes no E; returns how many entries were touched."""
    return tx.run(sql.fold_entries, limit=limit)


def nudge(tx: Tx, sku: str, now: datetime) -> None:
    """Looks at a SKU again because nothing stands in the way of its raise any more."""
    dirty.mark(tx, [sku], Priority.RAISE, "judged", now)


def read(tx: ReadTx, skus: Sequence[str]) -> list[Any]:
    """Entry rows (sku, channel, e, q, version, ...) of the SKUs."""
    return tx.all(sql.entries_of, skus=list(skus))


def entries_that_differ(tx: ReadTx) -> list[tuple[str, str, int, int]]:
    """(sku, channel, E, sum of facts) wherever the account is wrong; empty is right."""
    return [tuple(r) for r in tx.all(sql.entries_that_differ)]
