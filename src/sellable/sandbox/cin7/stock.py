"""Stock as it truly is: on hand by bin, allocated by location. Rule: every change passes `change` and is journaled."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sellable.sandbox.cin7.reference import Location, Product
from sellable.sandbox.cin7.wire import ZERO, plain
from sellable.sandbox.journal import Journal


@dataclass(slots=True, eq=False)
class Level:
    """One product at one location. `bins` maps bin name ("" = unbinned) to on hand; `usable` leaves staging bins out;
    `held` lies in picks: still on hand, but nobody else can take it."""

    product: Product
    location: Location
    bins: dict[str, Decimal] = field(default_factory=dict)
    usable: Decimal = ZERO
    allocated: Decimal = ZERO
    held: Decimal = ZERO
    on_order: Decimal = ZERO
    next_delivery: str | None = None

    @property
    def available(self) -> Decimal:
        """May be negative when goods went that sales had allocated."""
        return self.usable - self.allocated

    @property
    def in_hand(self) -> Decimal:
        """What somebody standing there could take."""
        return sum(self.bins.values(), ZERO) - self.held


def spread(level: Level, *, unbinned: bool) -> Iterator[tuple[str, Decimal, Decimal]]:
    """(bin, on hand, allocated) per row; what no row can carry stays on the first one.

    The vendor allocates by location; how its bin rows share that is not documented. Guess: rows fill up in order, or
    everything sits on the unbinned row.
    """
    names = [""] if unbinned or not level.bins else []
    names += [name for name in level.bins if name not in names]
    left = level.allocated
    shares = dict.fromkeys(names, ZERO)
    if not unbinned:
        for name in names:
            if level.location.sellable(name):
                shares[name] = max(ZERO, min(left, level.bins.get(name, ZERO)))
                left -= shares[name]
    shares[names[0]] += left
    for name in names:
        yield name, level.bins.get(name, ZERO), shares[name]


class Stock:
    """Every level; `listeners` hear of each change, `risen` collects levels whose available went up."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.levels: dict[tuple[str, str], Level] = {}
        self.listeners: list[Callable[[Level], None]] = []
        self.risen: dict[tuple[str, str], Level] = {}

    def level(self, product: Product, location: Location) -> Level:
        key = product.id, location.name
        found = self.levels.get(key)
        if found is None:
            found = self.levels[key] = Level(product, location)
        return found

    def seed(self, product: Product, location: Location, bin_name: str, quantity: Decimal) -> None:
        """Opening stock: no journal row, the truth shows it."""
        level = self.level(product, location)
        self._put(level, bin_name, quantity)
        self._tell(level)

    def change(
        self,
        level: Level,
        cause: dict[str, Any],
        *,
        on_hand: Decimal = ZERO,
        bin_name: str = "",
        allocated: Decimal = ZERO,
    ) -> None:
        """Move a level; cause is {"cause": word, ...facts} and goes into the journal with the new figures."""
        before = level.available
        if on_hand:
            self._put(level, bin_name, on_hand)
        level.allocated += allocated
        after = level.available
        self._journal.add(
            "stock",
            sku=level.product.sku,
            location=level.location.name,
            bin=bin_name or None,
            delta=plain(after - before),
            on_hand_delta=plain(on_hand),
            allocated_delta=plain(allocated),
            available=plain(after),
            **cause,
        )
        if after > before:
            self.risen[level.product.id, level.location.name] = level
        self._tell(level)

    def take(self, level: Level, quantity: Decimal, cause: dict[str, Any], *, allocated: Decimal = ZERO) -> None:
        """Take goods off the shelves, unbinned first, staging last; the caller knows that there are enough."""
        left = quantity
        names = sorted(level.bins, key=lambda name: not level.location.sellable(name))
        for name in names:
            part = min(left, level.bins.get(name, ZERO))
            if part > 0:
                self.change(level, cause, on_hand=-part, bin_name=name, allocated=-min(part, allocated))
                left, allocated = left - part, allocated - min(part, allocated)
        if left or allocated:
            self.change(level, cause, on_hand=-left, allocated=-allocated)

    def announce(self, level: Level) -> None:
        """Tell the listeners of a change that is none of quantity (a renamed product, an expected delivery)."""
        self._tell(level)

    def _put(self, level: Level, bin_name: str, quantity: Decimal) -> None:
        level.bins[bin_name] = level.bins.get(bin_name, ZERO) + quantity
        if level.location.sellable(bin_name):
            level.usable += quantity

    def _tell(self, level: Level) -> None:
        for listener in self.listeners:
            listener(level)
