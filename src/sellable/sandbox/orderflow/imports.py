"""importitems.xml: many items, one answer. Rule: the call is 200 once the document is read; each item has its fate."""

from collections.abc import Callable
from typing import Any

from sellable.sandbox.orderflow import orders, products, purchasing, returns, stocktasks
from sellable.sandbox.orderflow.markup import BadDocument, Element, element, read
from sellable.sandbox.orderflow.reference import REFERENCE_MAX, Channel
from sellable.sandbox.orderflow.state import World
from sellable.sandbox.orderflow.text import Item, fill, item_of
from sellable.sandbox.orderflow.wire import ItemRefused, Known, Refused, Request

Work = Callable[[Item], Any]


def of_channel(world: World, request: Request, channel: Channel) -> Element:
    """remoteorder/imports/importitems.xml"""
    return _all(world, request, {"order": lambda item: orders.imported(world, item, channel)})


def of_organisation(world: World, request: Request, organisation: str) -> Element:
    """remotewarehouse/imports/importitems.xml; campaigns are not simulated."""
    works: dict[str, Work] = {
        "product": lambda item: products.imported(world, item, organisation),
        "return": lambda item: returns.imported(world, item, organisation),
        "purchaseOrder": lambda item: purchasing.imported(world, item, organisation),
        "stockMoveTask": lambda item: stocktasks.imported(world, item, organisation),
    }
    return _all(world, request, works)


def _all(world: World, request: Request, works: dict[str, Work]) -> Element:
    items = _items(world, request.body)
    half = "half_import" in request.faults
    if half:
        items = items[: (len(items) + 1) // 2]
    # All three lists are always there (UNCONFIRMED): the vendor's own client walks them without looking.
    fates = {name: element(name) for name in ("importSuccesses", "importFailures", "importDuplicates")}
    for found in items:
        fate, said = _one(world, found, works)
        fates[fate].children.append(said)
    world.settle()
    if half:
        raise Refused("Could not commit: connection is closed", "internal", 500)
    if "lost_item" in request.faults:
        for said in fates.values():
            del said.children[:1]
    return element("importResult", *fates.values())


def _items(world: World, body: bytes) -> list[Element]:
    try:
        root = read(body)
    except BadDocument as error:
        raise Refused(str(error), "bad_document") from error
    items = list(root.every("import"))
    if root.name != "imports" or not items:
        raise Refused("Content is not an imports document", "bad_document")
    if len(items) > world.switches.items_max:
        raise Refused(f"More than {world.switches.items_max} imports in one document", "bad_document", 413)
    return items


def _one(world: World, found: Element, works: dict[str, Work]) -> tuple[str, Element]:
    item = item_of(found)
    said: dict[str, Any] = {"type": item.type, "operation": item.operation, "externalReference": item.reference}
    said["queryTime"] = world.dice.randint(3, 60)
    try:
        made = _worked(item, found, works)
    except Known as known:
        world.journal.add("import_duplicate", type=item.type, reference=item.reference)
        return "importDuplicates", _told("duplicate", str(known), str(known), said)
    except ItemRefused as refused:
        world.journal.add("import_failed", type=item.type, reference=item.reference, error=str(refused))
        return "importFailures", _told("failure", str(refused), refused.detail, said)
    return "importSuccesses", element("import", **said, entity=item.type, item=made.id)


def _worked(item: Item, found: Element, works: dict[str, Work]) -> Any:
    if item.type not in works:
        raise ItemRefused(f"Type '{item.type}' cannot be imported here")
    if item.operation not in ("insert", "update", "merge"):
        raise ItemRefused(f"Unknown operation '{item.operation}'")
    if not item.reference or len(item.reference) > REFERENCE_MAX:
        raise ItemRefused("External reference is missing or too long")
    fill(item, found)
    return works[item.type](item)


def _told(word: str, text: str, detail: str, said: dict[str, Any]) -> Element:
    return element("import", element(f"{word}Message", text=text), element(f"{word}Detail", text=detail), **said)
