"""Available to sell, computed from facts and carrying its own explanation. Pure: values in, values out.

    ATS(sku, pool) = sum over the pool's locations of what the master says is available there
                     - units held back there
                     - in flight: sold or held units not certainly contained in those numbers
    T(sku, channel) = max(0, min(ATS - channel buffer - units in the carts of the pool's other entries, cap))

A unit is contained when its effect was confirmed at a causal number smaller than the one taken before the oldest of
the pool's readings of that SKU. Between "not sent" and "certainly contained" it is subtracted once more, knowingly:
the worst case is a brief undersell, never an oversell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec

NOT_ALLOCATED, NOT_YET, DOUBTED = "not_allocated", "not_in_the_number_yet", "not_seen_since_it_rose"
"""Why units are in flight: nobody saw the master take them in, or no number was read since, or the number rose and
nobody has seen since that their sale still holds them."""


class Reading(msgspec.Struct, frozen=True, array_like=True):
    """The newest numbers of one SKU at one location: signed sellable units, and units left out by state."""

    location: str
    available: int
    a0: int
    observed_at: datetime
    left_out: Mapping[str, int]


class Demand(msgspec.Struct, frozen=True, array_like=True):
    """Units of one order line (or of a component of it) at one location, or not yet assigned."""

    order_id: str
    label: str
    location: str | None
    channel: str
    open_units: int
    evidenced_units: int
    evidence_seq: int | None
    doubted: bool = False

    def in_flight(self, a0: int | None) -> int:
        """Units to subtract from numbers read at causal number `a0` (None: there are no numbers)."""
        if self.doubted or self.evidence_seq is None or a0 is None or self.evidence_seq >= a0:
            return self.open_units + self.evidenced_units
        return self.open_units

    def why(self) -> str:
        """Why they are in flight, if they are."""
        return NOT_ALLOCATED if self.open_units else DOUBTED if self.doubted else NOT_YET


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """Units of a pool held back by a person or a checkout."""

    hold_id: str
    pool: str
    units: int
    reason: str


class SkuFacts(msgspec.Struct, frozen=True):
    """All that is known of one SKU."""

    sku: str
    readings: tuple[Reading, ...] = ()
    demand: tuple[Demand, ...] = ()
    holds: tuple[Hold, ...] = ()


class BufferRule(msgspec.Struct, frozen=True):
    """Units held back where all named fields match; '' and None match anything."""

    units: int
    sku: str = ""
    location: str = ""
    channel: str | None = None


class ChannelRule(msgspec.Struct, frozen=True):
    """How one channel sells: from which pool, less which buffer, up to which cap."""

    key: str
    pool: str
    buffer: int = 0
    cap: int | None = None
    low_mark: int = 3
    mode: str = "full"
    counted: bool = False
    """Whether commercetools is the master of its place: then only adjustments are written, and T is compared."""


class Layout(msgspec.Struct, frozen=True):
    """The configured shape of the shop: channels on pools, pools of locations, buffers.

    `masters` says who counts each location, `stale_buffers` how many units are held back of what a master counts while
    its numbers are too old.
    """

    channels: Mapping[str, ChannelRule]
    pools: Mapping[str, tuple[str, ...]]
    buffers: tuple[BufferRule, ...] = ()
    masters: Mapping[str, str] = {}
    stale_buffers: Mapping[str, int] = {}

    def with_buffers(self, rules: Sequence[BufferRule]) -> Layout:
        """The same with these rules; each takes the place of all that name the same SKU, location and channel."""
        if not rules:
            return self
        by_key = {(rule.sku, rule.location, rule.channel): rule for rule in rules}
        kept = (b for b in self.buffers if (b.sku, b.location, b.channel) not in by_key)
        return msgspec.structs.replace(self, buffers=(*kept, *by_key.values()))

    @property
    def counted(self) -> frozenset[str]:
        """Channels whose numbers are commercetools' own."""
        return frozenset(key for key, rule in self.channels.items() if rule.counted)

    def in_mode(self, *modes: str) -> list[str]:
        """Channels in one of these modes, in the order of their keys."""
        return sorted(key for key, rule in self.channels.items() if rule.mode in modes)

    def counted_by(self, masters: Collection[str]) -> list[tuple[str, str]]:
        """(channel, location) wherever a channel's numbers contain what one of these masters counts."""
        return [
            (key, place)
            for key, rule in self.channels.items()
            for place in self.pools[rule.pool]
            if self.masters.get(place) in masters
        ]

    def location_buffer(self, sku: str, location: str) -> int:
        """Units of `sku` held back at `location`."""
        return sum(b.units for b in self.buffers if b.location == location != "" and b.sku in ("", sku))

    def channel_buffer(self, sku: str, channel: str) -> int:
        """Units of `sku` never shown on `channel`, from the channel's own buffer and every matching rule."""
        rules = (b for b in self.buffers if not b.location and b.sku in ("", sku) and b.channel in (None, channel))
        return self.channels[channel].buffer + sum(b.units for b in rules)


class LocationTerm(msgspec.Struct, frozen=True, kw_only=True):
    """What one location adds: `available` as read, `held_back` by its buffer, `left_out` in other states."""

    location: str
    available: int
    held_back: int
    left_out: dict[str, int]
    a0: int
    observed_at: datetime


class FlightTerm(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one order still subtracted, and why: NOT_ALLOCATED, NOT_YET or DOUBTED."""

    order: str
    units: int
    location: str | None
    why: str


class PoolTerm(msgspec.Struct, frozen=True, kw_only=True):
    """ATS of one SKU in one pool with everything that made it; `too_old` are masters it may not rise on the word of."""

    sku: str
    pool: str
    locations: tuple[LocationTerm, ...]
    in_flight: tuple[FlightTerm, ...]
    holds: tuple[tuple[str, int, str], ...]
    stale_buffer: int
    ats: int
    too_old: tuple[str, ...] = ()


class ComponentTerm(msgspec.Struct, frozen=True, kw_only=True):
    """A component's share of a kit: `per_kit` units each, enough for `kits` kits out of the pool."""

    per_kit: int
    kits: int
    term: PoolTerm


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Of a number that commercetools is the master of: units owed to it, and what it would be by the warehouse."""

    owed: int
    by_warehouse: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """T of one (sku, channel) and every term of it; `components` is empty unless it is a kit.

    Where commercetools is the master the terms say what the warehouse could ship, which is compared and never written;
    T is then commercetools' own number with what is owed to it.
    """

    sku: str
    channel: str
    pool: str
    ats: int
    buffer: int
    in_other_carts: int
    cap: int | None
    target: int
    term: PoolTerm | None
    components: tuple[ComponentTerm, ...] = ()
    kits_by_location: dict[str, int] = {}
    counted: Counted | None = None

    @property
    def too_old(self) -> bool:
        """Whether any master that counts some of it has told no whole set for too long: then it may not rise.

        What commercetools is the master of waits for no warehouse.
        """
        if self.counted is not None:
            return False
        terms = [self.term] if self.term else [part.term for part in self.components]
        return any(term.too_old for term in terms)


def counted_at_storefront(found: Explanation, e: int, owed: int) -> Explanation:
    """The same of a number that commercetools is the master of and that will show `e`: T is that and what is owed.

    Example: the entry shows 7, one unit that came back is owed, the warehouse could ship 6: T is 8, and 6 is compared.
    """
    counted = Counted(owed=owed, by_warehouse=found.target)
    return msgspec.structs.replace(found, target=e + owed, counted=counted)


def _relevant(demand: Demand, layout: Layout, pool: str) -> bool:
    """Whether a unit weighs on this pool: assigned to one of its locations, or unassigned and sold from a pool
    that shares a location with it."""
    locations = layout.pools[pool]
    if demand.location is not None:
        return demand.location in locations
    channel = layout.channels.get(demand.channel)
    return channel is None or any(place in locations for place in layout.pools[channel.pool])


def _shares_location(layout: Layout, one: str, other: str) -> bool:
    return any(place in layout.pools[other] for place in layout.pools[one])


def pool_term(facts: SkuFacts, layout: Layout, pool: str, *, stale: Collection[str] = ()) -> PoolTerm:
    """ATS of a SKU in a pool (may be negative) with its terms; `stale` are masters whose numbers are too old."""
    inside = [r for r in facts.readings if r.location in layout.pools[pool]]
    a0 = min((r.a0 for r in inside), default=None)
    locations = tuple(
        LocationTerm(
            location=r.location,
            available=r.available,
            held_back=max(0, min(r.available, layout.location_buffer(facts.sku, r.location))),
            left_out=dict(r.left_out),
            a0=r.a0,
            observed_at=r.observed_at,
        )
        for r in inside
    )
    flights = tuple(
        FlightTerm(
            order=d.label,
            units=units,
            location=d.location,
            why=d.why(),
        )
        for d in facts.demand
        if _relevant(d, layout, pool) and (units := d.in_flight(a0)) > 0
    )
    holds = tuple(
        (h.hold_id, h.units, h.reason)
        for h in facts.holds
        if h.pool == pool or (h.pool in layout.pools and _shares_location(layout, h.pool, pool))
    )
    counted = {layout.masters.get(r.location, "") for r in inside}
    too_old = tuple(sorted(counted.intersection(stale)))
    held = sum(layout.stale_buffers.get(master, 0) for master in too_old)
    ats = (
        sum(t.available - t.held_back for t in locations)
        - sum(f.units for f in flights)
        - sum(units for _, units, _ in holds)
        - held
    )
    return PoolTerm(
        sku=facts.sku, pool=pool, locations=locations, in_flight=flights, holds=holds, stale_buffer=held, ats=ats,
        too_old=too_old,
    )  # fmt: skip


def _left_at(term: PoolTerm, location: str) -> int:
    """Units a kit may count on at one location: assigned flights count there, unassigned ones count everywhere."""
    here = sum(t.available - t.held_back for t in term.locations if t.location == location)
    flights = sum(f.units for f in term.in_flight if f.location in (location, None))
    return here - flights - sum(units for _, units, _ in term.holds) - term.stale_buffer


def _kits(parts: Sequence[tuple[int, PoolTerm]], locations: Sequence[str]) -> tuple[int, dict[str, int]]:
    """How many kits can ship: assembled from one location only, and never more than the pool's sums allow."""
    by_pool = min(max(0, term.ats) // per_kit for per_kit, term in parts)
    by_location = {
        place: min(max(0, _left_at(term, place)) // per_kit for per_kit, term in parts) for place in locations
    }
    return min(by_pool, sum(by_location.values())), {k: v for k, v in by_location.items() if v}


def target(
    sku: str,
    channel: str,
    facts: Mapping[str, SkuFacts],
    recipe: Mapping[str, int] | None,
    layout: Layout,
    *,
    in_other_carts: int = 0,
    stale: Collection[str] = (),
) -> Explanation:
    """What the entry (sku, channel) should show, in units, with every term.

    `facts` maps the SKU (or, for a kit, each component) to what is known of it; `recipe` is component -> units of a
    kit, None for an ordinary SKU; `in_other_carts` are units in carts of the pool's other entries; `stale` are masters
    whose numbers are too old.
    Example: components A=7, B=4 and a kit of 2 A + 1 B at one location give min(3, 4) = 3.
    """
    rule = layout.channels[channel]
    if recipe:
        parts = [
            (per_kit, pool_term(facts.get(c, SkuFacts(c)), layout, rule.pool, stale=stale))
            for c, per_kit in sorted(recipe.items())
        ]
        ats, by_location = _kits(parts, layout.pools[rule.pool])
        term, components = None, tuple(ComponentTerm(per_kit=n, kits=max(0, t.ats) // n, term=t) for n, t in parts)
    else:
        term = pool_term(facts.get(sku, SkuFacts(sku)), layout, rule.pool, stale=stale)
        ats, components, by_location = term.ats, (), {}
    buffer = layout.channel_buffer(sku, channel)
    shown = ats - buffer - in_other_carts
    if rule.cap is not None:
        shown = min(shown, rule.cap)
    return Explanation(
        sku=sku,
        channel=channel,
        pool=rule.pool,
        ats=ats,
        buffer=buffer,
        in_other_carts=in_other_carts,
        cap=rule.cap,
        target=max(0, shown),
        term=term,
        components=components,
        kits_by_location=by_location,
    )
