"""stockMoveTask imports, seen in one client only. Rule: all of its field names are UNCONFIRMED."""

from dataclasses import dataclass

from sellable.sandbox.orderflow import allocation, fresh
from sellable.sandbox.orderflow.state import World
from sellable.sandbox.orderflow.stock import Level
from sellable.sandbox.orderflow.text import Item, product_key, relation, units
from sellable.sandbox.orderflow.wire import ItemRefused


@dataclass(frozen=True, slots=True)
class StockTask:
    id: int


def imported(world: World, item: Item, organisation: str) -> StockTask:
    """Signed quantities of good stock at one site. All lines or none: a shelf cannot give what it has not."""
    key, said = fresh.key_of(world, item, organisation, "Stock move task"), fresh.said(item)
    site = fresh.site_of(world, said)
    deltas: dict[Level, int] = {}
    for row in item.children.get("stockMoveLine", []):
        relation(row, "stockMoveTask", "stockMoveTask")
        level = world.stock.level(world.book.product(organisation, product_key(row)), site)
        deltas[level] = deltas.get(level, 0) + units(row, signed=True)
    if not deltas:
        raise ItemRefused("Stock move task has no lines")
    for level, delta in deltas.items():
        if level.in_reach + delta < 0:
            raise ItemRefused("Not enough stock", f"{level.in_reach} of '{level.product.reference}' at {site}")
    for level, delta in deltas.items():
        shift(world, level, delta, "stock_task", note=said.get("note", ""))
    made = world.references[key] = StockTask(world.next_id())
    return made


def shift(world: World, level: Level, delta: int, word: str, *, kind: str = "good", **facts: object) -> None:
    """Units appear or vanish; promises that break are taken back first. The caller keeps it within reach."""
    if kind == "good" and delta < 0:
        allocation.yield_to(world, level, -delta)
    world.stock.put(level, delta, word, kind=kind, **facts)
