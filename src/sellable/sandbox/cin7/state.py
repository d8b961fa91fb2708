"""Sales with their parts, and the world that holds everything. Rule: data only, decisions live elsewhere."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sellable.sandbox.agenda import Agenda
from sellable.sandbox.cin7.availability import AvailabilityView
from sellable.sandbox.cin7.reference import Book, Customer, Location, Product, TaxRule
from sellable.sandbox.cin7.stock import Level, Stock
from sellable.sandbox.cin7.switches import Switches
from sellable.sandbox.cin7.totals import Priced, Totals
from sellable.sandbox.cin7.wire import ZERO, Refused
from sellable.sandbox.clock import Clock
from sellable.sandbox.journal import Journal

ALLOCATING = "AUTHORISED"
AUTHORISED = frozenset({"AUTHORISED", "AUTH_NO_ALLOC"})


@dataclass(slots=True, eq=False)
class Line:
    """An order line or an additional charge. Units: allocated now, and left (gone from stock). `needs` is the recipe
    at the time of the order."""

    product: Product | None
    name: str
    quantity: Decimal
    price: Decimal
    discount: Decimal
    priced: Priced
    comment: str
    needs: list[tuple[Product, Decimal]] = field(default_factory=list)
    allocated: Decimal = ZERO
    left: Decimal = ZERO

    @property
    def outstanding(self) -> Decimal:
        """Units neither allocated nor gone; none for what has no stock."""
        return self.quantity - self.allocated - self.left if self.needs else ZERO


@dataclass(slots=True, eq=False)
class Parcel:
    """A ship line: boxes that travel together. Times are unix seconds."""

    id: str
    shipped_at: float
    carrier: str
    boxes: list[str]
    tracking: str
    shipped: bool


@dataclass(slots=True, eq=False)
class Packed:
    """Units of a product picked, and the box they lie in once packed."""

    line: Line
    quantity: Decimal
    box: str = ""


@dataclass(slots=True, eq=False)
class Fulfilment:
    task_id: str
    number: int
    pick_status: str = "NOT AVAILABLE"
    pack_status: str = "NOT AVAILABLE"
    ship_status: str = "NOT AVAILABLE"
    picked: list[Packed] = field(default_factory=list)
    packed: list[Packed] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)

    def shipped(self) -> list[Packed]:
        """What has left in boxes."""
        gone = {box for parcel in self.parcels if parcel.shipped for box in parcel.boxes}
        return [packed for packed in self.packed if packed.box in gone]


@dataclass(slots=True, eq=False)
class Bill:
    """An invoice or a credit note with its totals."""

    task_id: str
    number: str
    status: str
    dated: float
    lines: list[Line]
    charges: list[Line]
    totals: Totals
    restock: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Sale:
    """A sale: `header` holds the writable header as posted; times are unix seconds; order_status is the vendor's."""

    id: str
    number: str
    created: float
    updated: float
    header: dict[str, Any]
    customer: Customer
    location: Location
    tax_rule: TaxRule | None
    advanced: bool
    order_status: str = "NOT AVAILABLE"
    voided: bool = False
    awaiting_allocation: bool = False
    memo: str = ""
    lines: list[Line] = field(default_factory=list)
    charges: list[Line] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    fulfilments: list[Fulfilment] = field(default_factory=list)
    invoices: list[Bill] = field(default_factory=list)
    credit_notes: list[Bill] = field(default_factory=list)
    payments: list[dict[str, Any]] = field(default_factory=list)

    @property
    def external_id(self) -> str:
        return str(self.header.get("ExternalID") or "")

    @property
    def inclusive(self) -> bool:
        return bool(self.header.get("TaxInclusive"))

    @property
    def authorised(self) -> bool:
        return self.order_status in AUTHORISED

    def backorder(self, line: Line) -> Decimal:
        """Units a line waits for; the vendor shows none while it still allocates."""
        return line.outstanding if self.order_status == ALLOCATING and not self.awaiting_allocation else ZERO

    @property
    def backordered(self) -> bool:
        return any(self.backorder(line) > 0 for line in self.lines)

    def shipped_lines(self) -> list[Packed]:
        return [packed for fulfilment in self.fulfilments for packed in fulfilment.shipped()]


class World:
    """One company. Modules that change it say `settle()` when done, so that risen stock reaches backorders."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock, self.dice = clock, random.Random(seed)
        self.journal = Journal(clock)
        self.agenda = Agenda(clock)
        self.switches = Switches()
        self.book = Book(self.dice)
        self.stock = Stock(self.journal)
        self.view = AvailabilityView(clock, self.book, lambda: self.switches)
        self.stock.listeners.append(self.view.heard)
        self.sales: dict[str, Sale] = {}
        self.tasks: dict[str, Sale] = {}
        self.transfers: dict[str, dict[str, Any]] = {}
        self.adjustments: dict[str, dict[str, Any]] = {}
        self.backlog: dict[tuple[str, str], dict[str, Sale]] = {}
        self.on_event: list[Callable[[str, Sale, dict[str, Any]], None]] = []
        self.on_product: list[Callable[[Product], None]] = []
        self.on_touch: list[Callable[[Sale], None]] = []
        self.refill: Callable[[Level], None] = lambda level: None
        self._numbers: dict[str, int] = {}

    def next_number(self, prefix: str) -> str:
        """ "SO-00001" and so on."""
        self._numbers[prefix] = self._numbers.get(prefix, 0) + 1
        return f"{prefix}-{self._numbers[prefix]:05d}"

    def sale(self, sale_id: Any) -> Sale:
        """A sale by id in any case; else Refused."""
        found = self.sales.get(str(sale_id or "").lower())
        if found is None:
            raise Refused(f"Sale with ID '{sale_id or ''}' was not found.")
        return found

    def touch(self, sale: Sale) -> None:
        """The sale changed: its Updated moves and the index hears of it."""
        # Whole milliseconds, as it is shown: a filter must not miss what it was just told.
        sale.updated = int(self.clock.time() * 1000) / 1000
        for listener in self.on_touch:
            listener(sale)

    def event(self, name: str, sale: Sale, **facts: Any) -> None:
        """Something a webhook or the staff may want to know, e.g. "Sale/OrderAuthorised"."""
        for listener in self.on_event:
            listener(name, sale, facts)

    def settle(self) -> None:
        """Give risen stock to the sales that wait for it, until nothing moves."""
        while self.stock.risen:
            _, level = self.stock.risen.popitem()
            self.refill(level)
