"""Orders with their shipments, returns, purchase orders, and the world that holds it all. Rule: data only.

An order line is what was ordered; parts of it travel in shipments. For each line, at any time,
quantity = cancelled + units in parts of open shipments + units despatched.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sellable.sandbox.agenda import Agenda
from sellable.sandbox.clock import Clock
from sellable.sandbox.journal import Journal
from sellable.sandbox.orderflow.reference import Book, Channel, Product
from sellable.sandbox.orderflow.stock import Level, Stock
from sellable.sandbox.orderflow.switches import SHIPMENT, Switches

GONE = ("despatched", "cancelled")


@dataclass(slots=True, eq=False)
class Line:
    """An order line. `cancelled` units are no longer wanted."""

    number: int
    product: Product
    quantity: int
    reference: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    cancelled: int = 0


@dataclass(slots=True, eq=False)
class Part:
    """Units of a line in one shipment: allocated ones are on a shelf with its name, picked ones in hand, cancelled ones
    no longer part of `quantity`. `findable` is what a picker will find when staff said so."""

    line: Line
    quantity: int
    cancelled: int = 0
    allocated: int = 0
    picked: int = 0
    findable: int | None = None


@dataclass(slots=True, eq=False)
class Shipment:
    """A shipment; times are unix seconds, `completed` is when it left, `shown` when despatches.xml knows it."""

    order: "Order"
    sequence: int
    reference: str
    site: str
    created: float
    parts: list[Part] = field(default_factory=list)
    state: str = "ready"
    earliest: float | None = None
    courier: str = ""
    carrier: str = ""
    service: str = ""
    despatch_reference: str = ""
    packages: list[str] = field(default_factory=list)
    completed: float | None = None
    shown: float | None = None

    @property
    def open(self) -> bool:
        return self.state not in GONE

    def before(self, state: str) -> bool:
        """Whether the work has not come to that state yet."""
        return SHIPMENT.index(self.state) < SHIPMENT.index(state)


@dataclass(slots=True, eq=False)
class Order:
    """An order; `sequence` is its age, `placed` and `created` are unix seconds, `fields` is what was imported."""

    id: int
    sequence: int
    reference: str
    channel: Channel
    created: float
    placed: float
    validated: bool
    fields: dict[str, str]
    lines: list[Line] = field(default_factory=list)
    shipments: list[Shipment] = field(default_factory=list)
    taking_stock: bool = False
    imported_as: str = ""

    @property
    def state(self) -> str:
        """From its shipments (which word comes when is the tenant's workflow: a guess)."""
        states = [shipment.state for shipment in self.shipments]
        gone = states.count("despatched")
        if gone:
            return "despatched" if all(state in GONE for state in states) else "part_despatched"
        return "cancelled" if all(state == "cancelled" for state in states) else "created"

    def open_parts(self) -> Iterator[tuple[Shipment, Part]]:
        for shipment in self.shipments:
            if shipment.open:
                for part in shipment.parts:
                    yield shipment, part


@dataclass(slots=True, eq=False)
class ReturnLine:
    product: Product
    quantity: int
    reason: str
    condition: str
    note: str = ""


@dataclass(slots=True, eq=False)
class Return:
    """Goods announced (an import) or booked in (by staff). Times are unix seconds, None until then."""

    id: int
    organisation: str
    reference: str
    order_reference: str
    authorisation: str
    authorised: bool
    type: str
    note: str
    site: str
    channel: str = ""
    announced: list[ReturnLine] = field(default_factory=list)
    lines: list[ReturnLine] = field(default_factory=list)
    returned: float | None = None
    completed: float | None = None


@dataclass(slots=True, eq=False)
class PurchaseLine:
    product: Product
    quantity: int
    outstanding: int
    reference: str = ""


@dataclass(slots=True, eq=False)
class PurchaseOrder:
    """Goods on their way; `manually` is set when staff closed it before all had come."""

    id: int
    organisation: str
    reference: str
    supplier: str
    supplier_reference: str
    site: str
    created: float
    expected: str
    lines: list[PurchaseLine] = field(default_factory=list)
    completed: float | None = None
    manually: bool = False

    @property
    def state(self) -> str:
        if self.completed is not None:
            return "completed"
        return "created" if all(line.outstanding == line.quantity for line in self.lines) else "part_received"


class World:
    """One tenant. Modules that change it say `settle()` when done, so that freed stock reaches waiting orders."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock, self.dice = clock, random.Random(seed)
        self.journal = Journal(clock)
        self.agenda = Agenda(clock)
        self.switches = Switches()
        self.book = Book()
        self.stock = Stock(self.journal, clock.time)
        self.orders: list[Order] = []
        self.by_reference: dict[tuple[str, str], Order] = {}
        self.returns: list[Return] = []
        self.purchases: list[PurchaseOrder] = []
        self.references: dict[tuple[str, str, str], Any] = {}
        self.notifications: list[dict[str, Any]] = []
        self.waiting: dict[tuple[int, str], dict[int, Order]] = {}
        self.on_event: list[Callable[[str, Any, dict[str, Any]], None]] = []
        self.on_settled: list[Callable[[], None]] = []
        self.refill: Callable[[Level], None] = lambda level: None
        self._ids = 0

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def level(self, shipment: Shipment, part: Part) -> Level:
        return self.stock.level(part.line.product, shipment.site)

    def enter(self, shipment: Shipment, state: str) -> None:
        """A shipment comes to a state, or falls back to one."""
        shipment.state = state
        facts = {"order": shipment.order.reference, "shipment": shipment.reference}
        self.journal.add("shipment", state=state, **facts)
        self.event(f"shipment_{state}", shipment.order, shipment=shipment)

    def event(self, name: str, about: Any, **facts: Any) -> None:
        """Something a message or the staff may want to know, e.g. "order_cancelled"."""
        for listener in self.on_event:
            listener(name, about, facts)

    def settle(self) -> None:
        """Give freed stock to the orders that wait for it, until nothing moves."""
        while self.stock.risen:
            _, level = self.stock.risen.popitem()
            self.refill(level)
        for listener in self.on_settled:
            listener()
