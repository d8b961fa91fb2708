"""Stock as it truly is: units by product, site and kind of location. Rule: every change passes here and is journaled.

`good` lies on shelves; allocated and picked are parts of it until it leaves with a shipment. The other kinds are out of
reach: frozen, inspection, damaged, quarantined. total is all of it, so
total = allocated + available + frozen + inspection + damaged + quarantined holds at any time (the vendor's formula is
UNCONFIRMED).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sellable.sandbox.journal import Journal
from sellable.sandbox.orderflow.reference import Product
from sellable.sandbox.orderflow.switches import HELD

KINDS = ("good", *HELD)


@dataclass(slots=True, eq=False)
class Level:
    """One product at one site. `required` is what open order lines want, allocated or not; `recorded` is set once goods
    were seen or expected: without it the vendor has no inventory record (UNCONFIRMED when it makes one)."""

    id: int
    product: Product
    site: str
    units: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    allocated: int = 0
    picked: int = 0
    required: int = 0
    on_order: int = 0
    last_stock_change: int = 0
    last_requirement_change: int = 0
    recorded: bool = False

    @property
    def good(self) -> int:
        return self.units["good"]

    @property
    def free(self) -> int:
        """What an order could still get."""
        return self.good - self.allocated

    @property
    def in_reach(self) -> int:
        """Good units that somebody could carry away; picked ones are in hand."""
        return self.good - self.picked

    @property
    def total(self) -> int:
        return sum(self.units.values())


@dataclass(frozen=True, slots=True)
class Change:
    """A physical change of one kind of location, as stockChanges tells it. `at` is unix seconds."""

    id: int
    at: float
    level: Level
    kind: str
    before: int
    delta: int
    word: str
    user: str
    note: str


class Stock:
    """Every inventory record; `risen` collects levels with more to give, listeners hear of each level that moved."""

    def __init__(self, journal: Journal, time: Callable[[], float]) -> None:
        self._journal, self._time = journal, time
        self._ids = 0
        self.levels: dict[tuple[int, str], Level] = {}
        self.risen: dict[tuple[int, str], Level] = {}
        self.on_level: list[Callable[[Level], None]] = []
        self.on_change: list[Callable[[Change], None]] = []

    def level(self, product: Product, site: str) -> Level:
        """The level of a product at a site, empty at first."""
        found = self.levels.get((product.id, site))
        if found is None:
            found = self.levels[product.id, site] = Level(len(self.levels) + 1, product, site)
        return found

    def of(self, organisation: str, sites: Iterable[str]) -> list[Level]:
        """Records of an organisation at some sites, by product and site."""
        wanted = set(sites)
        found = (
            level
            for level in self.levels.values()
            if level.recorded and level.product.organisation == organisation and level.site in wanted
        )
        return sorted(found, key=lambda level: (level.product.reference, level.site))

    def seed(self, level: Level, kind: str, quantity: int) -> None:
        """Opening stock: no journal row, the truth shows it."""
        if quantity < 0:
            raise ValueError("opening stock is 0 or more")
        level.units[kind] += quantity
        level.recorded = True
        level.last_stock_change = self._next()
        self._tell(level)

    def put(self, level: Level, delta: int, word: str, *, kind: str = "good", **facts: Any) -> None:
        """Units arrive at or leave a kind of location; the caller knows that enough are there."""
        before = level.units[kind]
        level.units[kind] = before + delta
        level.recorded = True
        assert level.units[kind] >= 0, f"{level.product.reference} would have {level.units[kind]} {kind}"
        level.last_stock_change = self._next()
        self._note(level, word, kind=kind, delta=delta, **facts)
        change = Change(
            level.last_stock_change, self._time(), level, kind, before, delta, word,
            str(facts.get("user", "warehouse")), str(facts.get("note", "")),
        )  # fmt: skip
        for listener in self.on_change:
            listener(change)
        if kind == "good" and delta > 0:
            self.risen[level.product.id, level.site] = level
        self._tell(level)

    def hold(self, level: Level, word: str, *, allocated: int = 0, picked: int = 0, **facts: Any) -> None:
        """Units are promised to, in hand for, or given back by an order line."""
        level.allocated += allocated
        level.picked += picked
        assert 0 <= level.picked <= level.allocated <= level.good, f"{level.product.reference}: {level}"
        self._note(level, word, allocated_delta=allocated, picked_delta=picked, **facts)
        if allocated < 0:
            self.risen[level.product.id, level.site] = level
        self._tell(level)

    def require(self, level: Level, delta: int) -> None:
        """Open order lines want more or fewer units."""
        level.required += delta
        level.last_requirement_change = self._next()
        self._tell(level)

    def expect(self, level: Level, delta: int) -> None:
        """Units on open purchase orders."""
        level.on_order = max(0, level.on_order + delta)
        level.recorded = True
        self._tell(level)

    def _next(self) -> int:
        self._ids += 1
        return self._ids

    def _note(self, level: Level, word: str, **facts: Any) -> None:
        self._journal.add(
            "stock",
            sku=level.product.reference,
            organisation=level.product.organisation,
            site=level.site,
            cause=word,
            total=level.total,
            available=level.free,
            **facts,
        )

    def _tell(self, level: Level) -> None:
        if not level.recorded:
            return
        for listener in self.on_level:
            listener(level)
