"""The availability view: rows per product, location and bin, as old as the lag. Rule: all-zero rows do not exist."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from sellable.sandbox.cin7.reference import Book, Location, Product
from sellable.sandbox.cin7.stock import Level, spread
from sellable.sandbox.cin7.switches import Switches
from sellable.sandbox.cin7.wire import ZERO, Listing, Request, encode, rounded
from sellable.sandbox.clock import Clock

_Key = tuple[str, str]


@dataclass(slots=True, eq=False)
class _Shown:
    """What the view knows of one level, and its ready rows (None = to be written again)."""

    level: Level
    rows: list[bytes] | None = None


class AvailabilityView:
    """Follows the stock's changes, immediately or late, and answers GET /ref/productavailability."""

    def __init__(self, clock: Clock, book: Book, switches: Callable[[], Switches]) -> None:
        self._clock, self._book, self._switches = clock, book, switches
        self._shown: dict[_Key, _Shown] = {}
        self._sorted: list[_Key] | None = None
        self._flat: list[bytes] | None = None
        self._late: deque[tuple[float, _Key, Level]] = deque()

    def heard(self, level: Level) -> None:
        """A level changed: show it now, or remember its copy until the lag has passed."""
        lag = self._switches().availability_lag_seconds
        copy = replace(level, bins=dict(level.bins))
        self._late.append((self._clock.time() + lag, (level.product.id, level.location.name), copy))
        if not lag:
            self._catch_up()

    def listing(self, request: Request) -> Listing:
        """Rows by SKU, location, bin (order undocumented: a guess). Filters: ID, Sku and Name by prefix (Sku observed),
        Location exactly."""
        self._catch_up()
        wanted = {name: request.query.get(name, "") for name in ("id", "sku", "name", "location")}
        if not any(wanted.values()):
            if self._flat is None:
                self._flat = [row for key in self._order() for row in self._rows(key)]
            return Listing("ProductAvailabilityList", self._flat)
        product_id, sku, name = (wanted[field].lower() for field in ("id", "sku", "name"))
        rows: list[bytes] = []
        for key in self._order():
            product = self._shown[key].level.product
            if wanted["location"] and key[1] != wanted["location"]:
                continue
            if product_id and product.id != product_id:
                continue
            if product.sku.lower().startswith(sku) and product.name.lower().startswith(name):
                rows += self._rows(key)
        return Listing("ProductAvailabilityList", rows)

    def resort(self) -> None:
        """SKUs were renamed: the order of rows is another."""
        self._sorted = self._flat = None

    def of(self, product: Product) -> list[bytes]:
        """All rows of one product, as the stock webhook carries them."""
        self._catch_up()
        return [row for key in self._shown if key[0] == product.id for row in self._rows(key)]

    def _catch_up(self) -> None:
        now = self._clock.time()
        # A lag that was just lowered must not let an older copy overtake: entries leave strictly in order.
        while self._late and self._late[0][0] <= now:
            _, key, copy = self._late.popleft()
            self._show(key, copy)
            for kit in self._book.kits_of.get(key[0], ()):
                self._show((kit.id, key[1]), Level(kit, copy.location))

    def _show(self, key: _Key, copy: Level) -> None:
        if key not in self._shown:
            self._sorted = None
        self._shown[key] = _Shown(copy)
        self._flat = None

    def _order(self) -> list[_Key]:
        if self._sorted is None:
            self._sorted = sorted(self._shown, key=lambda key: (self._shown[key].level.product.sku.lower(), key[1]))
        return self._sorted

    def _rows(self, key: _Key) -> list[bytes]:
        shown = self._shown[key]
        if shown.rows is None:
            level = shown.level
            shown.rows = self._kit_rows(level) if level.product.bom else self._stock_rows(level)
        return shown.rows

    def _stock_rows(self, level: Level) -> list[bytes]:
        rows = []
        unbinned = self._switches().allocation_row == "unbinned"
        on_order = level.on_order
        for bin_name, on_hand, allocated in spread(level, unbinned=unbinned):
            available = (on_hand if level.location.sellable(bin_name) else ZERO) - allocated
            if on_hand or allocated or on_order:
                rows.append(_row(level, bin_name, on_hand, allocated, available, on_order))
            on_order = ZERO
        return rows

    def _kit_rows(self, level: Level) -> list[bytes]:
        """A kit's row is computed from its components at that location; it never shows a negative figure (guess)."""
        units = min(
            self._available(component, level.location) // pieces for component, pieces in level.product.bom.items()
        )
        return [_row(level, "", ZERO, ZERO, units, ZERO)] if units > 0 else []

    def _available(self, component: str, location: Location) -> Decimal:
        shown = self._shown.get((component, location.name))
        return shown.level.available if shown else ZERO


def _row(
    level: Level, bin_name: str, on_hand: Decimal, allocated: Decimal, available: Decimal, on_order: Decimal
) -> bytes:
    product = level.product
    return encode(
        {
            "ID": product.id,
            "SKU": product.sku,
            "Name": product.name,
            "Barcode": None,
            "Location": level.location.name,
            "Bin": bin_name or None,
            "Batch": None,
            "ExpiryDate": None,
            "OnHand": on_hand,
            "Allocated": allocated,
            "Available": available,
            "OnOrder": on_order,
            # Money, not a count: on hand valued at cost (observed).
            "StockOnHand": rounded(on_hand * product.cost, 4),
            # Equal to OnOrder and nothing to do with transfers (observed).
            "InTransit": on_order,
            "NextDeliveryDate": level.next_delivery if on_order else None,
        }
    )
