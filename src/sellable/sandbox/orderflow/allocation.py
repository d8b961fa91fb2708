"""Assigning stock to order lines. Rule: oldest order first (documented default), at the shipment's own site.

Oldest is taken as the first that came in, not the first that was placed (UNCONFIRMED).
"""

from sellable.sandbox.orderflow.state import Order, Part, Shipment, World
from sellable.sandbox.orderflow.stock import Level


def begin(world: World, order: Order) -> None:
    """An order came in and is valid: it gets stock now, or after the tenant's lag."""
    lag = world.switches.allocation_lag_seconds
    if lag:
        world.agenda.after(lag, lambda: _begin(world, order))
    else:
        _begin(world, order)


def _begin(world: World, order: Order) -> None:
    if order.validated:
        order.taking_stock = True
        allocate(world, order, "order_allocated")
        world.settle()


def allocate(world: World, order: Order, word: str) -> None:
    """Take what is there; what is not waits. Part of a line may be allocated (UNCONFIRMED)."""
    if not order.taking_stock:
        return
    for shipment, part in list(order.open_parts()):
        missing = part.quantity - part.allocated
        if missing <= 0:
            continue
        level = world.level(shipment, part)
        taken = min(missing, max(0, level.free))
        if taken:
            part.allocated += taken
            world.stock.hold(level, word, allocated=taken, order=order.reference, shipment=shipment.reference)
        if taken < missing:
            world.waiting.setdefault((level.product.id, level.site), {})[order.sequence] = order
    for shipment in list(order.shipments):
        _split(world, order, shipment)
    world.event("allocated", order)


def refill(world: World, level: Level) -> None:
    """Stock rose: serve who waits for it, by age of the order."""
    key = level.product.id, level.site
    waiting = world.waiting.pop(key, {})
    for sequence in sorted(waiting):
        if level.free > 0:
            allocate(world, waiting[sequence], "backorder_allocated")
        else:
            world.waiting.setdefault(key, {})[sequence] = waiting[sequence]


def give_back(world: World, shipment: Shipment, part: Part, units: int, word: str) -> None:
    """Take allocation (and, last, picked units) off a part; what was picked goes back to its shelf."""
    units = max(0, min(units, part.allocated))
    picked = max(0, part.picked - (part.allocated - units))
    if units:
        part.allocated -= units
        part.picked -= picked
        facts = {"order": shipment.order.reference, "shipment": shipment.reference}
        world.stock.hold(world.level(shipment, part), word, allocated=-units, picked=-picked, **facts)


def yield_to(world: World, level: Level, units: int) -> None:
    """Shelves lost so many units that promises must break: the youngest orders lose first (UNCONFIRMED).

    Picked units are never taken; the caller takes no more than is in reach.
    """
    short = units - level.free
    for order in reversed(world.orders):
        for shipment, part in list(order.open_parts()):
            if short > 0 and part.line.product is level.product and shipment.site == level.site:
                taken = min(short, part.allocated - part.picked)
                if taken > 0:
                    give_back(world, shipment, part, taken, "allocation_lost")
                    world.waiting.setdefault((level.product.id, level.site), {})[order.sequence] = order
                    short -= taken
                    if shipment.state in ("released", "pickable"):
                        world.enter(shipment, "ready")


def new_shipment(world: World, order: Order, like: Shipment) -> Shipment:
    """A later shipment of the same order; how its reference is formed is UNCONFIRMED."""
    sequence = len(order.shipments) + 1
    stem = like.reference.rpartition("_S")[0] or like.reference
    found = Shipment(order, sequence, f"{stem}_S{sequence}", like.site, world.clock.time())
    found.earliest, found.courier = like.earliest, like.courier
    found.carrier, found.service = like.carrier, like.service
    order.shipments.append(found)
    world.journal.add("shipment", order=order.reference, shipment=found.reference, state=found.state)
    return found


def move(part: Part, units: int, target: Shipment) -> Part:
    """Move unallocated units of a part to another shipment."""
    part.quantity -= units
    moved = Part(part.line, units)
    target.parts.append(moved)
    return moved


def _split(world: World, order: Order, shipment: Shipment) -> None:
    """Move what is out of stock into a later shipment, as the tenant likes it."""
    how = world.switches.split
    if how == "never" or shipment.state != "ready" or not any(part.allocated for part in shipment.parts):
        return
    short = [part for part in shipment.parts if part.allocated < part.quantity]
    if not short or (how == "lines" and len(short) == len(shipment.parts)):
        return
    target = new_shipment(world, order, shipment)
    for part in short:
        if how == "units" and part.allocated:
            move(part, part.quantity - part.allocated, target)
        else:
            shipment.parts.remove(part)
            target.parts.append(part)
