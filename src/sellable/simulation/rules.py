"""What an oracle must know of a shop to judge: pools, recipes, buffers, and how late knowledge may be.

Rule: words of the opponents only; nothing here comes from the product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sellable.sandbox.shop import Shop

SALE, MASTER = "sale", "master"
"""The two sources of knowledge: orders at the storefront, and everything read at the back office."""

_SALE_CAUSES = frozenset({"sale", "cancelled"})


def source_of(cause: str) -> str:
    """Which source tells of a change with this cause (a word of a journal)."""
    return SALE if cause in _SALE_CAUSES else MASTER


@dataclass(frozen=True, kw_only=True)
class Rules:
    """`pools`: channel -> the back office's names of the places it may sell; buffers and caps in units; `cards`:
    the storefront's SKU -> the back office's, where they are spelled differently."""

    project: str
    pools: Mapping[str, tuple[str, ...]]
    recipes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    buffers: Mapping[str, int] = field(default_factory=dict)
    caps: Mapping[str, int | None] = field(default_factory=dict)
    held_back: Mapping[str, int] = field(default_factory=dict)
    cards: Mapping[str, str] = field(default_factory=dict)
    _unions: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, shop: Shop) -> Rules:
        """The shop's own rules."""
        return cls(
            project=shop.project,
            pools=shop.pools,
            recipes=shop.recipes,
            buffers={c.key: c.buffer for c in shop.channels},
            caps={c.key: c.cap for c in shop.channels},
            held_back=shop.held_back,
            cards={item.sku: item.known_as for item in shop.items if item.known_as},
        )

    def parts(self, sku: str) -> Mapping[str, int]:
        """Component -> pieces per unit; the SKU itself when it is no bundle."""
        return self.recipes.get(sku) or {sku: 1}

    def card(self, sku: str) -> str:
        """The back office's spelling."""
        return self.cards.get(sku, sku)

    def inside(self, channel: str, pool: tuple[str, ...]) -> bool:
        """Whether a channel can be served from this pool only."""
        places = self.pools.get(channel, ())
        return bool(places) and all(place in pool for place in places)

    def unions(self, channel: str) -> tuple[tuple[str, ...], ...]:
        """The channel's pool, and its unions with other channels' pools."""
        if channel not in self._unions:
            found = {frozenset(self.pools.get(channel, ()))}
            for places in self.pools.values():
                found |= {places_so_far | frozenset(places) for places_so_far in found}
            self._unions[channel] = tuple(tuple(sorted(places)) for places in found)
        return self._unions[channel]

    def sellable(self, net: Mapping[str, int], promised: Mapping[str, int], channel: str) -> int:
        """The most units the channel could still sell, wherever the promised units of unknown place are taken from.

        By Hall's theorem: for each set of places around the pool, what lies there less what is promised to channels
        that can be served from nowhere else. What is missing at a place outside of the pool cannot be had from it.
        """
        pool = self.pools.get(channel, ())
        return min(
            sum(net.get(place, 0) if place in pool else max(0, net.get(place, 0)) for place in places)
            - sum(units for other, units in promised.items() if units and self.inside(other, places))
            for places in self.unions(channel)
        )

    def touches(self, channel: str, pool: tuple[str, ...]) -> bool:
        """Whether a channel shares a place with this pool."""
        return any(place in pool for place in self.pools.get(channel, ()))

    def shown(self, sku: str, channel: str, sellable: int) -> int:
        """What an entry shows when so many units are sellable."""
        rest = sellable - self.buffers.get(channel, 0) - self.held_back.get(sku, 0)
        cap = self.caps.get(channel)
        return max(0, rest if cap is None else min(rest, cap))


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A time (unix seconds, simulated) during which an ideal publisher could learn nothing from these sources."""

    start: float
    end: float
    sources: frozenset[str] = frozenset({SALE, MASTER})


@dataclass(frozen=True, kw_only=True)
class Declared:
    """D: within how many seconds a change must have reached the entries, by source; outages stop that clock."""

    sale: float
    master: float
    outages: Sequence[Outage] = ()

    def known_since(self, source: str, at: float) -> float:
        """Changes of this source before the returned time must be known at `at`."""
        left = self.sale if source == SALE else self.master
        since = at
        for outage in sorted(self._of(source), key=lambda o: o.end, reverse=True):
            if outage.start >= since:
                continue
            up = since - min(outage.end, since)
            if up >= left:
                break
            left -= up
            since = outage.start
        return since - left

    def _of(self, source: str) -> list[Outage]:
        return [outage for outage in self.outages if source in outage.sources]
