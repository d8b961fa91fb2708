"""Supplier purchase orders and what comes of them. Rule: goods on order are no stock until somebody received them."""

from dataclasses import dataclass
from typing import Any

from sellable.sandbox.orderflow import fresh
from sellable.sandbox.orderflow.state import PurchaseLine, PurchaseOrder, World
from sellable.sandbox.orderflow.text import Item, product_key, relation, units
from sellable.sandbox.orderflow.wire import ItemRefused


@dataclass(frozen=True, slots=True)
class Delivery:
    """Goods that were received: (product, units, kind of location) each."""

    id: int
    organisation: str
    site: str
    at: float
    lines: list[tuple[str, int, str]]
    purchase: PurchaseOrder | None = None


def imported(world: World, item: Item, organisation: str) -> PurchaseOrder:
    """A purchase order of an import."""
    key, said = fresh.key_of(world, item, organisation, "Purchase order"), fresh.said(item)
    site = fresh.site_of(world, said)
    lines = [_line(world, row, organisation) for row in item.children.get("purchaseOrderLine", [])]
    if not lines:
        raise ItemRefused("Purchase order has no lines")
    made = PurchaseOrder(
        world.next_id(), organisation, item.reference, said.get("supplier", ""), said.get("supplierReference", ""),
        site, world.clock.time(), said.get("expectedDeliveryDate", ""), lines,
    )  # fmt: skip
    world.references[key] = made
    world.purchases.append(made)
    for line in lines:
        world.stock.expect(world.stock.level(line.product, site), line.quantity)
    world.journal.add("purchase_order", reference=made.reference, site=site, state=made.state)
    return made


def _line(world: World, row: dict[str, str], organisation: str) -> PurchaseLine:
    relation(row, "purchaseOrder", "purchaseOrder")
    quantity = units(row)
    product = world.book.product(organisation, product_key(row))
    return PurchaseLine(product, quantity, quantity, row.get("externalReference", ""))


def receive(world: World, site: str, lines: list[tuple[Any, int, str]], purchase: PurchaseOrder | None) -> Delivery:
    """Book (product, units, kind of location) in; more than was ordered is taken too. Tells the delivery."""
    organisation = lines[0][0].organisation
    told = [(product.reference, quantity, kind) for product, quantity, kind in lines]
    delivery = Delivery(world.next_id(), organisation, site, world.clock.time(), told, purchase)
    for product, quantity, kind in lines:
        level = world.stock.level(product, site)
        world.stock.put(level, quantity, "received", kind=kind, purchase=purchase and purchase.reference)
        for line in purchase.lines if purchase else ():
            if line.product is product:
                came = min(quantity, line.outstanding)
                line.outstanding -= came
                quantity -= came
                world.stock.expect(level, -came)
    if purchase is not None and not any(line.outstanding for line in purchase.lines):
        finish(world, purchase, manually=False)
    world.event("delivery_completed", delivery)
    return delivery


def finish(world: World, purchase: PurchaseOrder, *, manually: bool) -> None:
    """Close it; what never came is not on order any more."""
    for line in purchase.lines:
        world.stock.expect(world.stock.level(line.product, purchase.site), -line.outstanding)
        if manually:
            line.outstanding = 0
    purchase.completed, purchase.manually = world.clock.time(), manually
    world.journal.add("purchase_order", reference=purchase.reference, site=purchase.site, state=purchase.state)
    world.event("purchase_order_completed", purchase)
