"""Reserving stock for authorised sales. Rule: the sale's own location, oldest sale first, kits whole or not at all."""

from decimal import Decimal
from typing import Any

from sellable.sandbox.cin7.state import ALLOCATING, Line, Sale, World
from sellable.sandbox.cin7.stock import Level
from sellable.sandbox.cin7.wire import ZERO, plain


def cause_of(word: str, sale: Sale, **facts: Any) -> dict[str, Any]:
    """Journal facts of a stock change made by a sale."""
    return {"cause": word, "sale": sale.id, "external_id": sale.external_id, **facts}


def possible(world: World, sale: Sale, line: Line) -> Decimal:
    """Units of a line that could be allocated now; for an auto-assembly kit all that is missing or none (help page)."""
    missing = line.outstanding
    if missing <= 0:
        return ZERO
    free = [(max(ZERO, world.stock.level(product, sale.location).available), pieces) for product, pieces in line.needs]
    if line.product is not None and line.product.bom:
        return missing if all(available >= pieces * missing for available, pieces in free) else ZERO
    return min(missing, *(available / pieces for available, pieces in free))


def allocate(world: World, sale: Sale, word: str) -> None:
    """Reserve what is there; what is not waits in the backlog as backorder."""
    if sale.voided or sale.order_status != ALLOCATING:
        return
    for line in sale.lines:
        units = possible(world, sale, line)
        if units:
            line.allocated += units
            for product, pieces in line.needs:
                level = world.stock.level(product, sale.location)
                world.stock.change(level, cause_of(word, sale), allocated=units * pieces)
        if line.outstanding > 0:
            for product, _ in line.needs:
                world.backlog.setdefault((product.id, sale.location.name), {})[sale.id] = sale
    if sale.backordered and word == "sale_authorised":
        world.event("Sale/Backordered", sale)
    world.event("allocated", sale)


def refill(world: World, level: Level) -> None:
    """Stock rose: serve the sales that wait for it, in the order they were authorised."""
    key = level.product.id, level.location.name
    for sale in list(world.backlog.get(key, {}).values()):
        before = [line.allocated for line in sale.lines]
        allocate(world, sale, "backorder_filled")
        if not any(product is level.product for line in sale.lines if line.outstanding for product, _ in line.needs):
            world.backlog[key].pop(sale.id, None)
        if before != [line.allocated for line in sale.lines]:
            world.journal.add(
                "sale_allocated",
                sale=sale.id,
                external_id=sale.external_id,
                backordered=plain(sum((line.outstanding for line in sale.lines), ZERO)),
            )
            world.touch(sale)


def release(world: World, sale: Sale, word: str) -> None:
    """Give everything back that the sale holds and has not shipped; picked goods return to the unbinned shelf."""
    sale.awaiting_allocation = False
    for line in sale.lines:
        for product, pieces in line.needs:
            world.backlog.get((product.id, sale.location.name), {}).pop(sale.id, None)
            held, gone = line.allocated * pieces, line.left * pieces
            if held or gone:
                level = world.stock.level(product, sale.location)
                world.stock.change(level, cause_of(word, sale), on_hand=gone, allocated=-held)
        line.allocated = line.left = ZERO
