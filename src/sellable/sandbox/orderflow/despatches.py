"""despatches.xml and pending.xml: shipments that have left, and those that have not. Rule: both name one channel."""

from typing import Any

from sellable.sandbox.orderflow.inventory import spoilt
from sellable.sandbox.orderflow.markup import Element, element, fields
from sellable.sandbox.orderflow.orders import known
from sellable.sandbox.orderflow.reference import Channel
from sellable.sandbox.orderflow.state import Shipment, World
from sellable.sandbox.orderflow.wire import Refused, Request, moment, stamp


def despatches(world: World, request: Request, channel: Channel) -> Element:
    """GET shipment/despatches.xml?from=&to=: by `completed`, both ends included (UNCONFIRMED), in the server's zone."""
    since, until = _window(world, request)
    found = [
        shipment
        for shipment in _of(world, channel)
        if shipment.completed is not None
        and shipment.shown is not None
        and shipment.shown <= world.clock.time()
        and since <= int(shipment.completed) <= until
    ]
    rows = [_left(world, shipment) for shipment in sorted(found, key=lambda one: (one.completed, one.reference))]
    lines = request.flag("includeOrderLines")
    return element("shipments", *(_written(row, lines=lines) for row in spoilt(world, request, rows)))


def _window(world: World, request: Request) -> tuple[float, float]:
    zone = world.switches.zone
    try:
        until = request.query.get("to", "").strip()
        return moment(request.needed("from"), zone), moment(until, zone) if until else world.clock.time()
    except ValueError as error:
        raise Refused(f"Unparseable date: {error}") from error


def _of(world: World, channel: Channel) -> list[Shipment]:
    mine = (order for order in world.orders if order.channel.reference == channel.reference)
    return [shipment for order in mine for shipment in order.shipments]


def _left(world: World, shipment: Shipment) -> dict[str, Any]:
    tracking = shipment.despatch_reference
    return {
        "reference": shipment.reference,
        "orderReference": shipment.order.reference,
        "originatingOrderReference": shipment.order.imported_as,
        "state": world.switches.shipment_states.get(shipment.state, shipment.state),
        "courier": shipment.courier,
        "carrier": shipment.carrier,
        "service": shipment.service,
        "despatchReference": tracking,
        "trackingUrl": f"https://track.invalid/{tracking}" if tracking else None,
        "completed": stamp(shipment.completed or 0, world.switches.zone),
        "": shipment,
    }


def _written(row: dict[str, Any], *, lines: bool) -> Element:
    shipment: Shipment = row[""]
    said = {name: value for name, value in row.items() if name}
    packages = element("packages", *(element("package", despatchReference=one) for one in shipment.packages))
    sent = [
        fields(
            "orderLine",
            {
                "productReference": part.line.product.reference,
                "quantity": part.quantity,
                "thirdPartyReference": part.line.reference or None,
            },
        )
        for part in shipment.parts
        if part.quantity
    ]
    return fields("shipment", said, [packages, element("orderLines", *sent)] if lines else [packages])


def pending(world: World, request: Request, channel: Channel) -> Element:
    """GET shipment/pending.xml: neither despatched nor cancelled."""
    zone, names = world.switches.zone, world.switches.shipment_states
    rows: list[dict[str, Any]] = [
        {
            "created": stamp(shipment.created, zone),
            "reference": shipment.reference,
            "orderReference": shipment.order.reference,
            "state": names.get(shipment.state, shipment.state),
            "earliestShipDate": shipment.earliest and stamp(shipment.earliest, zone),
        }
        for shipment in _of(world, channel)
        if shipment.open and known(world, shipment.order)
    ]
    return element("shipments", *(fields("shipment", row) for row in spoilt(world, request, rows)))
