"""Product import and notifications. Rule: a product has no inventory record until goods of it were seen at a site."""

from sellable.sandbox.orderflow import orders
from sellable.sandbox.orderflow.markup import Element
from sellable.sandbox.orderflow.reference import LIMITS, Product
from sellable.sandbox.orderflow.state import World
from sellable.sandbox.orderflow.text import Item, flag
from sellable.sandbox.orderflow.wire import ItemRefused, Known, Request


def imported(world: World, item: Item, organisation: str) -> Product:
    """insert a new one, update a known one, or merge: whichever it is."""
    found = world.book.products.get((organisation, item.reference))
    if item.operation == "insert" and found is not None:
        raise Known(f"Product with external reference '{item.reference}' already exists")
    if item.operation == "update" and found is None:
        raise ItemRefused("Product not found", f"No product with external reference '{item.reference}'")
    _check(world, item, found)
    active = flag(item.fields, "activated", found is None or found.active)
    product = found or world.book.new_product(item.reference, organisation)
    product.type = item.fields.get("type") or product.type
    product.active = active
    product.fields |= item.fields
    product.barcodes += [row.get("value", "") for row in item.aliases if row.get("type") == "barcode"]
    world.journal.add("product_imported", sku=product.reference, organisation=organisation, operation=item.operation)
    return product


def _check(world: World, item: Item, found: Product | None) -> None:
    if found is None and not item.fields.get("type"):
        raise ItemRefused("Mandatory property missing", "type")
    if item.fields.get("type") in world.switches.unshippable_types:
        raise ItemRefused(f"Product '{item.reference}' is not a physical item", f"type {item.fields['type']}")
    for name, limit in LIMITS.items():
        if len(item.fields.get(name, "")) > limit:
            raise ItemRefused(f"Property '{name}' is too long", f"at most {limit} characters")


def notified(world: World, request: Request, organisation: str) -> Element:
    """product/update.xml: "come and fetch it"."""
    reference = request.query.get("externalReference") or request.needed("thirdPartyReference")
    return orders.notice(world, request, "product", reference, organisation)
