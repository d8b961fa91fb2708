"""T, E and their difference for a batch of SKUs. One rule: inputs of T and E come from one statement, never two."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.domain.stock import Priority
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries
from sellable.stock import dirty
from sellable.stock.availability import (
    BufferRule,
    Demand,
    Explanation,
    Hold,
    Layout,
    Reading,
    SkuFacts,
    counted_at_storefront,
    target,
)

sql = queries("sellable.stock")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A storefront entry: E, what was last seen of it (`q` at `q_at`, causal `q_seq`), and what its raises wait for.

    `last_t` is the lowest T since our last write; `terms` names the terms that were kept last.
    """

    sku: str
    channel: str
    remote_id: str
    version: int
    typed: str | None
    e: int
    q: int
    q_reserved: int
    q_at: datetime
    q_seq: int
    last_t: int | None
    parked: str | None
    terms: str


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """One entry with what it should show: T with its explanation."""

    explanation: Explanation
    entry: Entry

    @property
    def sku(self) -> str:
        """Of which SKU."""
        return self.entry.sku

    @property
    def channel(self) -> str:
        """On which channel."""
        return self.entry.channel

    @property
    def e(self) -> int:
        """What the entry shows once the storefront has applied all we know of."""
        return self.entry.e

    @property
    def d(self) -> int:
        """Units to add (or, negative, to remove)."""
        return self.explanation.target - self.entry.e


class Sight(msgspec.Struct, frozen=True, array_like=True):
    """What is known of some SKUs and of their components, from one snapshot; rows begin with their SKU."""

    entries: list[Entry]
    recipe_rows: list[tuple[str, str, int]]
    readings: list[tuple[str, Reading]]
    demand: list[tuple[str, Demand]]
    holds: list[tuple[str, Hold]]
    buffers: list[tuple[int, str, str, str | None]]
    owed: list[tuple[str, str, int]]

    def recipes(self) -> dict[str, dict[str, int]]:
        """Component -> units, for those of the SKUs that are kits."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for sku, component, units in self.recipe_rows:
            found[sku][component] = units
        return dict(found)

    def layout(self, layout: Layout, supposing: Sequence[BufferRule] = ()) -> Layout:
        """The shape of the shop with the buffers that were set by hand, and then those of `supposing`."""
        by_hand = [BufferRule(units=n, sku=sku, location=place, channel=key) for n, sku, place, key in self.buffers]
        return layout.with_buffers([*by_hand, *supposing])

    def facts(self) -> dict[str, SkuFacts]:
        """By SKU, for those anything is known of."""
        readings: dict[str, list[Reading]] = defaultdict(list)
        demand: dict[str, list[Demand]] = defaultdict(list)
        holds: dict[str, list[Hold]] = defaultdict(list)
        for sku, reading in self.readings:
            readings[sku].append(reading)
        for sku, sold in self.demand:
            demand[sku].append(sold)
        for sku, hold in self.holds:
            holds[sku].append(hold)
        return {
            sku: SkuFacts(sku, tuple(readings[sku]), tuple(demand[sku]), tuple(holds[sku]))
            for sku in {*readings, *demand, *holds}
        }


_sight = msgspec.json.Decoder(Sight)


def sight_of(tx: ReadTx, skus: Sequence[str], now: datetime) -> Sight:
    """Everything known of these SKUs."""
    return _sight.decode(tx.value(sql.sight, skus=list(skus), now=now))


def facts_of(tx: ReadTx, skus: Sequence[str], now: datetime) -> dict[str, SkuFacts]:
    """The facts their numbers follow from."""
    return sight_of(tx, skus, now).facts()


def recipes_of(tx: ReadTx, skus: Sequence[str]) -> dict[str, dict[str, int]]:
    """Component -> units for those of the SKUs that are kits."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for r in tx.all(sql.recipes_of, skus=list(skus)):
        found[r.sku][r.component] = r.units
    return dict(found)


def compute(
    tx: ReadTx,
    skus: Sequence[str],
    layout: Layout,
    now: datetime,
    *,
    stale: Collection[str] = (),
    supposing: Sequence[BufferRule] = (),
) -> list[Number]:
    """The numbers of every known entry of these SKUs; T's inputs and E are from one snapshot in any transaction.

    Buffers set by hand are among these inputs, so that all processes use the same; `supposing` are further ones, for
    asking what would be. `stale` are masters whose numbers are too old.
    """
    sight = sight_of(tx, skus, now)
    layout = sight.layout(layout, supposing)
    recipes, facts = sight.recipes(), sight.facts()
    owed = {(sku, channel): units for sku, channel, units in sight.owed}
    by_sku: dict[str, list[Entry]] = defaultdict(list)
    for entry in sight.entries:
        by_sku[entry.sku].append(entry)
    found = []
    for sku, rows in by_sku.items():
        for entry in (row for row in rows if row.channel in layout.channels):
            explanation = target(
                sku, entry.channel, facts, recipes.get(sku), layout,
                in_other_carts=_in_other_carts(entry, rows, layout), stale=stale,
            )  # fmt: skip
            if layout.channels[entry.channel].counted:
                explanation = counted_at_storefront(explanation, entry.e, owed.get((sku, entry.channel), 0))
            found.append(Number(entry=entry, explanation=explanation))
    return found


def _in_other_carts(row: Entry, rows: Sequence[Entry], layout: Layout) -> int:
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
    text = msgspec.json.encode(terms)
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def past(tx: ReadTx, sku: str, channel: str, at: datetime) -> tuple[datetime, Mapping[str, Any]] | None:
    """The terms of a number as they stood at `at`, and since when; None before the first. E is the sum of its facts."""
    row = tx.one(sql.explained_before, sku=sku, channel=channel, at=at)
    if row is None:
        return None
    e = int(tx.value(sql.entry_e_at, sku=sku, channel=channel, at=at))
    return row.at, {**row.terms, "e": e, "d": row.terms["explanation"]["target"] - e}


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
