"""The people who pick, pack and send. Rule: a shipment takes one step at a time, each a while after the one before."""

from functools import partial
from itertools import pairwise
from typing import Any

import msgspec

from sellable.sandbox.orderflow import allocation, orders
from sellable.sandbox.orderflow.state import Order, Part, Shipment, World
from sellable.sandbox.orderflow.switches import SHIPMENT

NEXT = dict(pairwise(SHIPMENT[:6]))


class Habits(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How the staff work. Waits are simulated seconds before each step; rates are 0..1; no sites means every site.

    - auto: shipments are worked on by themselves; paused: nobody works until it is turned off again.
    - short_rate: how often a picker finds one unit too few; parcel_rate: how often there are two parcels.
    - courier, carrier, service: of a shipment whose order suggests none.
    """

    auto: bool = False
    paused: bool = False
    release_seconds: float = 60.0
    locate_seconds: float = 60.0
    pick_seconds: float = 600.0
    pack_seconds: float = 300.0
    despatch_seconds: float = 300.0
    short_rate: float = 0.0
    parcel_rate: float = 0.0
    courier: str = "ROYALMAIL"
    carrier: str = "Royal Mail"
    service: str = "tracked_48"
    sites: list[str] = msgspec.field(default_factory=list)

    def wait(self, state: str) -> float:
        """Seconds a shipment stays in a state before the next."""
        waits = self.release_seconds, self.locate_seconds, self.pick_seconds, self.pack_seconds, self.despatch_seconds
        return dict(zip(SHIPMENT, waits, strict=False))[state]


class Warehouse:
    """Takes every open shipment from ready to despatched."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.habits = Habits()
        self._on_it: set[Shipment] = set()
        self._parcels = 0
        world.on_event.append(self._hear)

    def instruct(self, changes: dict[str, Any]) -> None:
        """Change the habits; shipments that wait are taken up. Raises msgspec.ValidationError on unknown words."""
        self.habits = msgspec.convert({**msgspec.to_builtins(self.habits), **changes}, Habits)
        for order in self._world.orders:
            self._take_up(order)

    def _hear(self, event: str, about: Any, facts: dict[str, Any]) -> None:
        if event == "allocated":
            self._take_up(about)

    def _take_up(self, order: Order) -> None:
        for shipment in order.shipments:
            if self._works(shipment) and shipment not in self._on_it and self.possible(shipment):
                self._on_it.add(shipment)
                now, wait = self._world.clock.time(), self.habits.wait(shipment.state)
                if shipment.state == "ready" and shipment.earliest is not None:
                    wait = max(wait, shipment.earliest - now)
                self._world.agenda.after(wait, partial(self._turn, shipment))

    def _works(self, shipment: Shipment) -> bool:
        sites = self.habits.sites
        return self.habits.auto and not self.habits.paused and shipment.open and (not sites or shipment.site in sites)

    def possible(self, shipment: Shipment) -> bool:
        """Whether the next step can be taken: released needs all lines in stock (documented)."""
        return shipment.order.taking_stock and all(part.allocated == part.quantity for part in shipment.parts)

    def _turn(self, shipment: Shipment) -> None:
        if self._works(shipment) and self.possible(shipment):
            self.step(shipment)
            self._world.settle()
        self._on_it.discard(shipment)
        self._take_up(shipment.order)

    def step(self, shipment: Shipment) -> None:
        """One step on. Raises ValueError when it is not possible."""
        if not shipment.open or not self.possible(shipment):
            raise ValueError(f"shipment {shipment.reference} is {shipment.state} and cannot go on")
        following = NEXT[shipment.state]
        if following == "packable" and not self._pick(shipment):
            return
        if following == "packed":
            self._pack(shipment)
        if following == "despatched":
            self._despatch(shipment)
        self._world.enter(shipment, following)
        if following == "despatched":
            self._world.event(f"order_{shipment.order.state}", shipment.order)

    def _pick(self, shipment: Shipment) -> bool:
        """Take the goods off the shelves; False when the shipment does not go on (nothing found, or it has to wait)."""
        world = self._world
        for part in list(shipment.parts):
            found = self._found(part)
            facts: dict[str, Any] = {"order": shipment.order.reference, "shipment": shipment.reference}
            world.stock.hold(world.level(shipment, part), "picked", picked=found, **facts)
            part.picked = found
            if found < part.quantity:
                self._short(shipment, part, part.quantity - found)
            part.findable = None
        if shipment.open and all(part.picked == part.quantity for part in shipment.parts):
            return True
        if shipment.open:
            for part in shipment.parts:
                world.stock.hold(world.level(shipment, part), "put_back", picked=-part.picked)
                part.picked = 0
            world.enter(shipment, "ready")
        return False

    def _found(self, part: Part) -> int:
        if part.findable is not None:
            return min(part.findable, part.quantity)
        missing = 1 if self._world.dice.random() < self.habits.short_rate else 0
        return part.quantity - min(missing, part.quantity)

    def _short(self, shipment: Shipment, part: Part, missing: int) -> None:
        """Units were not where they should be: they count as frozen, and the tenant's way is followed."""
        world, order = self._world, shipment.order
        level = world.level(shipment, part)
        facts = {"order": order.reference, "shipment": shipment.reference}
        allocation.give_back(world, shipment, part, missing, "short_pick")
        world.stock.put(level, -missing, "short_pick", **facts)
        world.stock.put(level, missing, "short_pick", kind="frozen", **facts)
        world.journal.add("short_pick", sku=level.product.reference, missing=missing, **facts)
        match world.switches.short_pick:
            case "split":
                whole = len(shipment.parts) == 1 and not part.picked
                if not whole:
                    later = allocation.new_shipment(world, order, shipment)
                    allocation.move(part, missing, later)
                    if not part.quantity:
                        shipment.parts.remove(part)
            case "cancel":
                orders.drop(world, shipment, part, missing, "short_pick")
                orders.close_if_empty(world, shipment)
                orders.tell(world, order, "warehouse")
        allocation.allocate(world, order, "reallocated")

    def _pack(self, shipment: Shipment) -> None:
        habits, boxes = self.habits, 1
        if sum(part.quantity for part in shipment.parts) > 1 and self._world.dice.random() < habits.parcel_rate:
            boxes = 2
        shipment.packages = [self._tracking() for _ in range(boxes)]
        shipment.despatch_reference = shipment.packages[0]
        shipment.courier = shipment.courier or habits.courier
        shipment.carrier = shipment.carrier or habits.carrier
        shipment.service = shipment.service or habits.service

    def _tracking(self) -> str:
        self._parcels += 1
        return f"OF{self._parcels:09d}GB"

    def _despatch(self, shipment: Shipment) -> None:
        world = self._world
        for part in shipment.parts:
            level = world.level(shipment, part)
            facts: dict[str, Any] = {"order": shipment.order.reference, "shipment": shipment.reference}
            world.stock.hold(level, "despatched", allocated=-part.quantity, picked=-part.quantity, **facts)
            world.stock.put(level, -part.quantity, "despatched", **facts)
            world.stock.require(level, -part.quantity)
            part.allocated = part.picked = 0
        shipment.completed = world.clock.time()
        shipment.shown = shipment.completed + world.switches.despatch_lag_seconds
