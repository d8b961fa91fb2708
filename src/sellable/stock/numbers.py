"""T, E and their difference for a batch of SKUs. One rule: inputs of T and E come from one snapshot, never two."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.domain.stock import Priority
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries
from sellable.stock import dirty
from sellable.stock.availability import Demand, Explanation, Hold, Layout, Reading, SkuFacts, target

sql = queries("sellable.stock")


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: what it should show (T with its explanation), what it shows once settled (E), and its row."""

    sku: str
    channel: str
    explanation: Explanation
    e: int
    entry: Any

    @property
    def d(self) -> int:
        """Units to add (or, negative, to remove)."""
        return self.explanation.target - self.e


def facts_of(tx: ReadTx, skus: Sequence[str], now: datetime) -> dict[str, SkuFacts]:
    """Everything known of these SKUs: three set-based questions."""
    names = list(skus)
    readings: dict[str, list[Reading]] = defaultdict(list)
    demand: dict[str, list[Demand]] = defaultdict(list)
    holds: dict[str, list[Hold]] = defaultdict(list)
    for r in tx.all(sql.readings_of, skus=names):
        readings[r.sku].append(Reading(r.location, r.available, r.a0, r.observed_at, r.left_out))
    for r in tx.all(sql.demand_of, skus=names):
        demand[r.sku].append(
            Demand(r.order_id, r.label, r.location, r.channel, r.open_units, r.evidenced_units, r.evidence_seq)
        )
    for r in tx.all(sql.holds_of, skus=names, now=now):
        holds[r.sku].append(Hold(r.id, r.pool, r.units, r.reason))
    return {
        sku: SkuFacts(sku, tuple(readings[sku]), tuple(demand[sku]), tuple(holds[sku]))
        for sku in {*readings, *demand, *holds}
    }


def recipes_of(tx: ReadTx, skus: Sequence[str]) -> dict[str, dict[str, int]]:
    """Component -> units for those of the SKUs that are kits."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for r in tx.all(sql.recipes_of, skus=list(skus)):
        found[r.sku][r.component] = r.units
    return dict(found)


def compute(tx: ReadTx, skus: Sequence[str], layout: Layout, now: datetime, *, stale: bool = False) -> list[Number]:
    """The numbers of every known entry of these SKUs, from one snapshot or one transaction that holds their locks."""
    recipes = recipes_of(tx, skus)
    components = {c for recipe in recipes.values() for c in recipe}
    facts = facts_of(tx, sorted({*skus, *components}), now)
    by_sku: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(tx.all(sql.entries_of, skus=list(skus)), key=lambda r: (r.sku, r.channel)):
        by_sku[row.sku].append(row)
    numbers = []
    for sku, rows in by_sku.items():
        for row in rows:
            if row.channel not in layout.channels:
                continue
            explanation = target(
                sku,
                row.channel,
                facts,
                recipes.get(sku),
                layout,
                in_other_carts=_in_other_carts(row, rows, layout),
                stale=stale,
            )
            numbers.append(Number(sku=sku, channel=row.channel, explanation=explanation, e=row.e, entry=row))
    return numbers


def _in_other_carts(row: Any, rows: Sequence[Any], layout: Layout) -> int:
    """Units in carts of the other entries that draw on a location of this one's pool."""
    mine = set(layout.pools[layout.channels[row.channel].pool])
    return sum(
        max(0, other.q_reserved)
        for other in rows
        if other.channel != row.channel
        and other.channel in layout.channels
        and mine.intersection(layout.pools[layout.channels[other.channel].pool])
    )


def terms_json(number: Number) -> bytes:
    """All terms of a number, to be kept."""
    return msgspec.json.encode({"explanation": number.explanation, "e": number.e, "d": number.d})


def fingerprint(number: Number) -> str:
    """Short name of a number's terms, the same as long as nothing but the instants of the readings changed."""
    terms = msgspec.to_builtins(number.explanation)
    pools = [terms["term"]] if terms["term"] else [part["term"] for part in terms["components"]]
    for place in (place for pool in pools for place in pool["locations"]):
        del place["a0"], place["observed_at"]
    text = msgspec.json.encode([terms, number.e])
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def past(tx: ReadTx, sku: str, channel: str, at: datetime) -> tuple[datetime, Mapping[str, Any]] | None:
    """The terms of a number as they stood at `at`, and since when; None before the first."""
    row = tx.one(sql.explained_before, sku=sku, channel=channel, at=at)
    return None if row is None else (row.at, row.terms)


def hold(
    tx: Tx,
    *,
    hold_id: str,
    sku: str,
    pool: str,
    units: int,
    reason: str,
    actor: str,
    until: datetime | None,
    now: datetime,
) -> None:
    """Holds units of a pool back until released or expired; the same id again replaces the number."""
    tx.run(
        sql.place_hold,
        id=hold_id,
        sku=sku,
        pool=pool,
        units=units,
        reason=reason,
        actor=actor,
        at=now,
        expires_at=until,
    )
    dirty.mark(tx, [sku], Priority.ORDER_LOWER, f"hold {hold_id}", now)


def release_hold(tx: Tx, hold_id: str, now: datetime) -> bool:
    """Gives held units back; False when there was nothing to give."""
    row = tx.one(sql.end_hold, id=hold_id, at=now)
    if row is None:
        return False
    dirty.mark(tx, [row.sku], Priority.RAISE, f"hold {hold_id} ended", now)
    return True
