"""Orders in, looked at and cancelled. Rule: the warehouse has the last word once picking started."""

from typing import Any

from sellable.sandbox.orderflow import allocation
from sellable.sandbox.orderflow.markup import Element, element
from sellable.sandbox.orderflow.reference import REFERENCE_MAX, Channel
from sellable.sandbox.orderflow.state import Line, Order, Part, Shipment, World
from sellable.sandbox.orderflow.text import Item, flag, product_key, relation, units
from sellable.sandbox.orderflow.wire import ItemRefused, Known, Refused, Request, message, moment, stamp


def imported(world: World, item: Item, channel: Channel) -> Order:
    """An order of an import. Raises Known or ItemRefused: an item comes in whole or not at all."""
    if item.operation != "insert":
        # Whether orders can be updated or merged is UNCONFIRMED; the documented way is to cancel and import anew.
        raise ItemRefused(f"Operation '{item.operation}' is not supported for type 'order'")
    # References are taken by channel (UNCONFIRMED: it could be by organisation, or by tenant).
    if (channel.reference, item.reference) in world.by_reference:
        raise Known(f"Order with external reference '{item.reference}' already exists")
    order = _read(world, item, channel)
    shipment = _shipment(world, item, order)
    order.lines = [_line(world, n, row, channel) for n, row in enumerate(item.children.get("orderLine", []), 1)]
    if not order.lines:
        raise ItemRefused("Order has no order lines")
    shipment.parts = [Part(line, line.quantity) for line in order.lines]
    order.shipments = [shipment]
    world.orders.append(order)
    world.by_reference[channel.reference, order.reference] = order
    _arrived(world, order, shipment)
    return order


def _read(world: World, item: Item, channel: Channel) -> Order:
    missing = [name for name in world.switches.required_fields if not item.fields.get(name, "").strip()]
    if missing:
        raise ItemRefused("Mandatory property missing", ", ".join(missing))
    # Only `created` is seen in clients; what else would be taken is UNCONFIRMED.
    if item.fields.get("state", "created") != "created":
        raise ItemRefused(f"Unknown state '{item.fields['state']}'")
    now, placed = world.clock.time(), _moment(world, item.fields, "placed")
    return Order(
        id=world.next_id(),
        sequence=len(world.orders) + 1,
        reference=item.reference,
        channel=channel,
        created=now,
        placed=now if placed is None else placed,
        # An order that is not validated waits for a person (UNCONFIRMED).
        validated=flag(item.fields, "validated", True),
        fields=item.fields,
        imported_as=item.reference,
    )


def _shipment(world: World, item: Item, order: Order) -> Shipment:
    relation(item.fields, "shipment.orderItem", "order")
    reference = item.fields.get("shipment.externalReference", "").strip() or order.reference
    site = item.fields.get("shipment.site", "").strip() or order.channel.site
    if site not in world.book.sites:
        raise ItemRefused(f"Site not found: '{site}'")
    if len(reference) > REFERENCE_MAX:
        raise ItemRefused("Property 'shipment.externalReference' is too long")
    shipment = Shipment(order, 1, reference, site, order.created)
    shipment.earliest = _moment(world, item.fields, "shipment.earliestShipDate")
    shipment.courier = item.fields.get("shipment.courier", "")
    shipment.service = item.fields.get("shipment.deliverySuggestionCode", "")
    return shipment


def _moment(world: World, fields: dict[str, str], name: str) -> float | None:
    if not fields.get(name, "").strip():
        return None
    try:
        return moment(fields[name], world.switches.zone)
    except ValueError as error:
        raise ItemRefused(f"Property '{name}' could not be set", f"'{fields[name]}' is not a date") from error


def _line(world: World, n: int, row: dict[str, str], channel: Channel) -> Line:
    product = world.book.product(channel.organisation, product_key(row))
    if product.type in world.switches.unshippable_types:
        raise ItemRefused(f"Product '{product.reference}' is not a physical item", f"type {product.type}")
    # What `activated` forbids is UNCONFIRMED.
    if not product.active:
        raise ItemRefused(f"Product '{product.reference}' is not activated")
    relation(row, "shipment", "shipment")
    reference = row.get("thirdPartyReference", "") if world.switches.keeps_line_reference else ""
    return Line(n, product, units(row), reference, row)


def _arrived(world: World, order: Order, shipment: Shipment) -> None:
    world.journal.add(
        "order_imported",
        order=order.reference,
        channel=order.channel.reference,
        shipment=shipment.reference,
        site=shipment.site,
        placed=order.placed,
        total=order.fields.get("totalPriceGross"),
        lines=[{"sku": line.product.reference, "quantity": line.quantity} for line in order.lines],
    )
    for part in shipment.parts:
        world.stock.require(world.level(shipment, part), part.quantity)
    world.event("order_created", order)
    allocation.begin(world, order)


def detail(world: World, request: Request, channel: Channel) -> Element:
    """order/detail.xml"""
    return described(world, _find(world, request, channel))


def described(world: World, order: Order, **more: Any) -> Element:
    """An order with its shipments and their lines, as detail and events show it."""
    name = world.switches.order_states.get(order.state, order.state)
    shipments = [_described(world, shipment) for shipment in order.shipments]
    return element("order", element("shipments", *shipments), externalReference=order.reference, state=name, **more)


def _described(world: World, shipment: Shipment) -> Element:
    switches = world.switches
    lines = [
        element(
            "orderLine",
            product=part.line.product.reference,
            # What a cancelled line still shows is UNCONFIRMED; one without units would be odd.
            quantity=part.quantity or part.cancelled,
            state=switches.line_states.get(word := line_state(shipment, part), word),
        )
        for part in shipment.parts
    ]
    return element(
        "shipment",
        element("orderLines", *lines),
        sequence=shipment.sequence,
        state=switches.shipment_states.get(shipment.state, shipment.state),
        externalReference=shipment.reference,
        earliestShipDate=shipment.earliest and stamp(shipment.earliest, switches.zone),
        courier=shipment.courier or None,
        despatchReference=shipment.despatch_reference or None,
        courierService=shipment.service or None,
    )


def line_state(shipment: Shipment, part: Part) -> str:
    """The simulator's word for a line in a shipment; the vendor shows availability here (the names are UNCONFIRMED)."""
    if not part.quantity:
        return "cancelled"
    if not shipment.open:
        return shipment.state
    if part.picked:
        return "picked"
    return "allocated" if part.allocated == part.quantity else "created"


def _find(world: World, request: Request, channel: Channel) -> Order:
    reference = request.needed("externalReference")
    found = world.by_reference.get((channel.reference, reference))
    if found is None or not known(world, found):
        raise Refused(f"No order found with external reference '{reference}'", "not_found", 404)
    return found


def known(world: World, order: Order) -> bool:
    """Whether those who ask see the order yet."""
    return order.created + world.switches.order_lag_seconds <= world.clock.time()


def cancel(world: World, request: Request, channel: Channel) -> Element:
    """order/cancel.xml: all of it, or `No cancel operation performed`."""
    order = _find(world, request, channel)
    if "no_operation" in request.faults or not cancellable(world, order):
        world.journal.add("cancel_refused", order=order.reference, channel=channel.reference, state=order.state)
        return message(f"No cancel operation performed for order with external reference '{order.reference}'")
    name = order.reference
    cancel_order(world, order, by="api")
    if request.flag("cancelChangesExternalReference"):
        rename(world, order)
    world.settle()
    return message(f"Order with external reference '{name}' successfully cancelled")


def cancellable(world: World, order: Order) -> bool:
    """No shipment has come as far as the tenant's limit, and one is still open."""
    limit = world.switches.cancel_refused_from
    alive = [shipment for shipment in order.shipments if shipment.state != "cancelled"]
    return bool(alive) and all(shipment.before(limit) for shipment in alive)


def cancel_order(world: World, order: Order, by: str) -> None:
    """Cancel every open shipment; what was despatched stays so."""
    for shipment, part in list(order.open_parts()):
        drop(world, shipment, part, part.quantity, "order_cancelled")
    for shipment in order.shipments:
        if shipment.open:
            world.enter(shipment, "cancelled")
    world.journal.add("order_cancelled", order=order.reference, channel=order.channel.reference, by=by)
    tell(world, order, by)


def drop(world: World, shipment: Shipment, part: Part, quantity: int, word: str) -> None:
    """Units of a line are not wanted any more: their stock is free again."""
    allocation.give_back(world, shipment, part, quantity - (part.quantity - part.allocated), word)
    part.line.cancelled += quantity
    part.cancelled += quantity
    part.quantity -= quantity
    world.stock.require(world.level(shipment, part), -quantity)


def cancel_line(world: World, order: Order, line: Line, quantity: int | None, by: str) -> int:
    """What staff do: drop units of a line, unallocated ones first. A shipment left empty is cancelled with it."""
    parts = [(shipment, part) for shipment, part in order.open_parts() if part.line is line]
    open_units = sum(part.quantity for _, part in parts)
    left = dropped = open_units if quantity is None else min(quantity, open_units)
    for shipment, part in sorted(parts, key=lambda pair: pair[1].allocated):
        some = min(left, part.quantity)
        if some:
            drop(world, shipment, part, some, "line_cancelled")
            left -= some
        close_if_empty(world, shipment)
    if not dropped:
        return 0
    facts = {"sku": line.product.reference, "line": line.number, "quantity": dropped, "by": by}
    world.journal.add("line_cancelled", order=order.reference, channel=order.channel.reference, **facts)
    tell(world, order, by)
    return dropped


def tell(world: World, order: Order, by: str) -> None:
    """Somebody cancelled units of it: all there were, or some."""
    world.event("order_cancelled" if order.state == "cancelled" else "order_line_cancelled", order, user=by)


def close_if_empty(world: World, shipment: Shipment) -> None:
    """A shipment without units ends."""
    if shipment.open and not any(part.quantity for part in shipment.parts):
        world.enter(shipment, "cancelled")


def rename(world: World, order: Order) -> None:
    """Free the reference for another import (what it becomes is UNCONFIRMED)."""
    del world.by_reference[order.channel.reference, order.reference]
    order.reference = f"{order.reference}_cancelled_{order.id}"
    world.by_reference[order.channel.reference, order.reference] = order
    for shipment in order.shipments:
        shipment.reference = f"{shipment.reference}_cancelled_{order.id}"


def notified(world: World, request: Request, channel: Channel) -> Element:
    """order/update.xml: "come and fetch it". A tenant that does not pull answers no operation."""
    reference = request.query.get("externalReference") or request.needed("thirdPartyReference")
    return notice(world, request, "order", reference, channel.reference)


def notice(world: World, request: Request, kind: str, reference: str, scope: str) -> Element:
    """Note that a client told of a change; the pull itself is another product's business and is not simulated."""
    event = request.needed("event")
    action = request.query.get("action", "")
    world.notifications.append({"kind": kind, "reference": reference, "event": event, "action": action, "scope": scope})
    sensible = event in {f"{kind}.{word}" for word in ("created", "modified", "cancelled")}
    done = world.switches.pulls and sensible and "no_operation" not in request.faults
    return message(f"Result '{'success' if done else 'no_operation'}' for {kind} '{reference}'")
