"""Sold units on their way into the master's number. One rule: what lowers counts at once, raises need evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.domain.stock import Priority
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries
from sellable.stock import dirty

sql = queries("sellable.stock")


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one component of one order line, sold on `channel` ('' for none); `per_line` in one of the line."""

    order_id: str
    line_id: str
    sku: str
    label: str
    channel: str
    units: int
    slot: int = 0
    location: str | None = None
    per_line: int = 1


def capture(tx: Tx, sold: Sequence[Sold], now: datetime) -> None:
    """Counts newly sold units as in flight, with or without a location; lines already counted are left alone."""
    if not sold:
        return
    rows = tx.all(
        sql.insert_demand,
        order_id=[s.order_id for s in sold],
        line_id=[s.line_id for s in sold],
        sku=[s.sku for s in sold],
        slot=[s.slot for s in sold],
        label=[s.label for s in sold],
        channel=[s.channel for s in sold],
        location=[s.location for s in sold],
        units=[s.units for s in sold],
        per_line=[s.per_line for s in sold],
        at=now,
    )
    _log(tx, "captured", rows, now)
    _log(tx, "assigned", [r for r in rows if r.location is not None], now)
    dirty.mark(tx, {r.sku for r in rows}, Priority.ORDER_LOWER, f"order {sold[0].label}", now)


def assign(tx: Tx, order_id: str, slots: Sequence[Sold], now: datetime) -> None:
    """Replaces the slots of an order's lines by ones with locations. Only for units nobody has been told of yet."""
    lines = sorted({(s.line_id, s.sku) for s in slots})
    tx.run(sql.drop_demand, order_id=order_id, line_id=[a for a, _ in lines], sku=[b for _, b in lines])
    rows = tx.all(
        sql.insert_demand,
        order_id=[s.order_id for s in slots],
        line_id=[s.line_id for s in slots],
        sku=[s.sku for s in slots],
        slot=[s.slot for s in slots],
        label=[s.label for s in slots],
        channel=[s.channel for s in slots],
        location=[s.location for s in slots],
        units=[s.units for s in slots],
        per_line=[s.per_line for s in slots],
        at=now,
    )
    _log(tx, "assigned", rows, now)
    dirty.mark(tx, {r.sku for r in rows}, Priority.ORDER_LOWER, f"sourcing of {slots[0].label}", now)


def evidence(
    tx: Tx,
    order_id: str,
    location: str,
    allocated: Mapping[str, int],
    seq: int,
    now: datetime,
    without: Sequence[str] = (),
) -> tuple[int, int]:
    """Records how many units of each SKU the master holds for this order at this location, seen at causal `seq`.

    More than before: the whole row counts as evidenced at the later number (brief undersell, never the reverse).
    Fewer than before: the missing units are in flight again at once. Lines `without` are another sale's, here and
    below. Returns (gained, lost) units.
    """
    rows = tx.all(sql.demand_of_part, order_id=order_id, location=location, without=list(without))
    left = dict(allocated)
    updates: list[tuple[Any, int]] = []
    gained = lost = 0
    for row in rows:
        have = min(row.open_units + row.evidenced_units, left.get(row.sku, 0))
        left[row.sku] = left.get(row.sku, 0) - have
        if have != row.evidenced_units:
            updates.append((row, have))
            gained += max(0, have - row.evidenced_units)
            lost += max(0, row.evidenced_units - have)
    if updates:
        tx.run(
            sql.set_evidence,
            order_id=order_id,
            line_id=[row.line_id for row, _ in updates],
            sku=[row.sku for row, _ in updates],
            slot=[row.slot for row, _ in updates],
            open_units=[row.open_units + row.evidenced_units - have for row, have in updates],
            evidenced_units=[have for _, have in updates],
            evidence_seq=[
                (seq if have > row.evidenced_units else row.evidence_seq) if have else None for row, have in updates
            ],
        )
    for row, have in updates:
        more = have > row.evidenced_units
        kind, units = "evidenced" if more else "revoked", abs(have - row.evidenced_units)
        tx.gather(_write_log, _Event(order_id, row.line_id, row.sku, kind, units, row.location, seq, now))
    if updates:
        dirty.mark(tx, {r.sku for r, _ in updates}, Priority.LOWER, "allocation seen", now)
    return gained, lost


def revoke(tx: Tx, order_id: str, location: str | None, reason: str, now: datetime, without: Sequence[str] = ()) -> int:
    """Puts an order's evidenced units back in flight, before any call that can free them. Returns units revoked."""
    rows = tx.all(sql.revoke_evidence, order_id=order_id, location=location, without=list(without))
    _log(tx, "revoked", rows, now)
    dirty.mark(tx, {r.sku for r in rows}, Priority.ORDER_LOWER, reason, now)
    return sum(r.units for r in rows)


def revoke_all(tx: Tx, now: datetime) -> int:
    """Puts all evidenced units that have not shipped back in flight: what proved them is of a life that ended."""
    rows = tx.all(sql.revoke_all_evidence)
    _log(tx, "revoked", rows, now)
    return sum(r.units for r in rows)


def release(tx: Tx, order_id: str, units: Mapping[tuple[str, str], int] | None, reason: str, now: datetime) -> None:
    """Drops never-sent units at once: all of the order, or `units` by (line id, component sku)."""
    if units is None:
        rows = tx.all(sql.release_order, order_id=order_id)
    else:
        keys = sorted(units)
        rows = tx.all(
            sql.release_units,
            order_id=order_id,
            line_id=[line for line, _ in keys],
            sku=[sku for _, sku in keys],
            units=[units[k] for k in keys],
        )
    _log(tx, "released", rows, now)
    dirty.mark(tx, {r.sku for r in rows}, Priority.RAISE, reason, now)


def cancelled(
    tx: Tx, order_id: str, location: str, seq: int, reason: str, now: datetime, without: Sequence[str] = ()
) -> None:
    """A cancel was acknowledged: its units stay subtracted until a page read after causal `seq` shows the number."""
    rows = tx.all(sql.cancel_demand, order_id=order_id, location=location, seq=seq, without=list(without))
    _log(tx, "cancelled", rows, now)
    dirty.mark(tx, {r.sku for r in rows}, Priority.RAISE, reason, now)


def cancel_units(
    tx: Tx,
    order_id: str,
    location: str,
    units: Mapping[str, int],
    reason: str,
    now: datetime,
    without: Sequence[str] = (),
) -> list[tuple[str, str, int]]:
    """Some units of lines (line id -> units of the line) at a location are cancelled while the rest goes on.

    They stay subtracted as before, in rows of their own, until `visible` says from when on a page shows them free.
    Returns those rows as (line id, sku, slot).
    """
    left: dict[tuple[str, str], int] = {}
    picked: list[tuple[Any, int]] = []
    for row in tx.all(sql.demand_of_part, order_id=order_id, location=location, without=list(without)):
        key = (row.line_id, row.sku)
        left.setdefault(key, units.get(row.line_id, 0) * row.per_line)
        if taken := min(left[key], row.open_units + row.evidenced_units):
            left[key] -= taken
            picked.append((row, taken))
    if not picked:
        return []
    rows = tx.all(
        sql.split_demand,
        order_id=order_id,
        line_id=[row.line_id for row, _ in picked],
        sku=[row.sku for row, _ in picked],
        slot=[row.slot for row, _ in picked],
        units=[taken for _, taken in picked],
    )
    dirty.mark(tx, {r.sku for r in rows}, Priority.ORDER_LOWER, reason, now)
    return [(r.line_id, r.sku, r.slot) for r in rows]


def visible(
    tx: Tx, order_id: str, rows: Sequence[tuple[str, str, int]], seq: int, reason: str, now: datetime
) -> None:  # fmt: skip
    """Cancelled units of these rows stay subtracted until a page read after causal `seq` shows the number."""
    if not rows:
        return
    lines, skus, slots = (list(column) for column in zip(*rows, strict=True))
    freed = tx.all(sql.units_visible, order_id=order_id, line_id=lines, sku=skus, slot=slots, seq=seq)
    _log(tx, "cancelled", freed, now)
    dirty.mark(tx, {r.sku for r in freed}, Priority.RAISE, reason, now)


def shipped(tx: Tx, order_id: str, location: str, seq: int, now: datetime, without: Sequence[str] = ()) -> None:
    """The part has left the building: what it took is gone from the master's number as seen at causal `seq`."""
    rows = tx.all(sql.ship_demand, order_id=order_id, location=location, seq=seq, without=list(without))
    _log(tx, "shipped", rows, now)
    dirty.mark(tx, {r.sku for r in rows}, Priority.LOWER, "shipped", now)


def relocate(tx: Tx, order_id: str, before: str, after: str, now: datetime, without: Sequence[str] = ()) -> None:
    """The units of an order at one location are now served from another."""
    rows = tx.all(sql.relocate_demand, order_id=order_id, before=before, after=after, without=list(without))
    _log(tx, "assigned", rows, now)
    dirty.mark(tx, {r.sku for r in rows}, Priority.ORDER_LOWER, "sale moved by staff", now)


def settle(tx: Tx, skus: Sequence[str], locations: Sequence[str]) -> int:
    """Retires finished rows that every reading of their SKU at these locations contains; returns how many."""
    return tx.run(sql.settle_demand, skus=list(skus), locations=list(locations))


def contained_and_open(tx: ReadTx, skus: Sequence[str]) -> list[tuple[str, str, str]]:
    """(sku, order id, location) of unfinished units that count as contained: a raise of these needs proof."""
    return [(r.sku, r.order_id, r.location) for r in tx.all(sql.contained_and_open, skus=list(skus))]


def doubt(tx: Tx, sweep: str, pairs: Sequence[tuple[str, str, str]], seq: int) -> set[str]:
    """Where a set shows no less even without the units of these sales (sku, order id, location), which stand in the way
    of a raise, they count as in flight until a sale is seen to hold them after causal `seq`. Returns those SKUs.
    """
    columns = {name: [pair[n] for pair in pairs] for n, name in enumerate(("sku", "order_id", "location"))}
    worth = {r.sku for r in tx.all(sql.worth_doubting, sweep=sweep, **columns)} if pairs else set()
    mine = [pair for pair in pairs if pair[0] in worth]
    if mine:
        tx.run(
            sql.doubt, sku=[s for s, _, _ in mine], order_id=[o for _, o, _ in mine], location=[x for _, _, x in mine],
            seq=seq,
        )  # fmt: skip
    return worth


def waiting_for_allocation(tx: ReadTx, skus: Sequence[str]) -> list[tuple[str, str]]:
    """(order id, location) with units the master had not allocated when last seen, for the given SKUs."""
    return [(r.order_id, r.location) for r in tx.all(sql.waiting_for_allocation, skus=list(skus))]


def _log(tx: Tx, kind: str, rows: Sequence[Any], now: datetime) -> None:
    for r in rows:
        tx.gather(_write_log, _Event(r.order_id, r.line_id, r.sku, kind, r.units, r.location, r.evidence_seq, now))


class _Event(msgspec.Struct, frozen=True):
    order_id: str
    line_id: str
    sku: str
    kind: str
    units: int
    location: str | None
    evidence_seq: int | None
    at: datetime


def _write_log(tx: Tx, events: list[_Event]) -> None:
    columns = {name: [getattr(event, name) for event in events] for name in _Event.__struct_fields__}
    tx.run(sql.log_demand, **columns)
