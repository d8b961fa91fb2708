"""What an oracle may know: stock, orders and the rest as they are. Rule: read only, dates are aware UTC texts."""

from typing import Any

from sellable.sandbox.orderflow.orders import line_state
from sellable.sandbox.orderflow.state import Line, Order, PurchaseOrder, Return, ReturnLine, Shipment, World
from sellable.sandbox.orderflow.stock import Level
from sellable.sandbox.orderflow.wire import iso


def truth(world: World) -> dict[str, Any]:
    """{"stock": by (sku, site), "orders" with lines and shipments, "returns", "purchase_orders", "notifications"}."""
    return {
        "time": world.clock.time(),
        "stock": [_level(level) for level in world.stock.levels.values()],
        "orders": [_order(order) for order in world.orders],
        "returns": [_return(one) for one in world.returns],
        "purchase_orders": [_purchase(one) for one in world.purchases],
        "products": [
            {"sku": one.reference, "organisation": one.organisation, "type": one.type, "active": one.active}
            for one in world.book.products.values()
        ],
        "notifications": world.notifications,
    }


def _level(level: Level) -> dict[str, Any]:
    return {
        "sku": level.product.reference,
        "organisation": level.product.organisation,
        "site": level.site,
        "recorded": level.recorded,
        "total": level.total,
        **level.units,
        "allocated": level.allocated,
        "picked": level.picked,
        "required": level.required,
        "available": level.free,
        "on_order": level.on_order,
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "reference": order.reference,
        "imported_as": order.imported_as,
        "channel": order.channel.reference,
        "state": order.state,
        "validated": order.validated,
        "created": iso(order.created),
        "placed": iso(order.placed),
        "fields": order.fields,
        "lines": [_line(order, line) for line in order.lines],
        "shipments": [_shipment(shipment) for shipment in order.shipments],
    }


def _line(order: Order, line: Line) -> dict[str, Any]:
    parts = [(shipment, part) for shipment in order.shipments for part in shipment.parts if part.line is line]
    return {
        "line": line.number,
        "sku": line.product.reference,
        "reference": line.reference,
        "ordered": line.quantity,
        "cancelled": line.cancelled,
        "open": sum(part.quantity for shipment, part in parts if shipment.open),
        "allocated": sum(part.allocated for _, part in parts),
        "picked": sum(part.picked for _, part in parts),
        "despatched": sum(part.quantity for shipment, part in parts if shipment.state == "despatched"),
        "fields": line.fields,
    }


def _shipment(shipment: Shipment) -> dict[str, Any]:
    return {
        "reference": shipment.reference,
        "sequence": shipment.sequence,
        "site": shipment.site,
        "state": shipment.state,
        "completed": shipment.completed and iso(shipment.completed),
        "carrier": shipment.carrier,
        "courier": shipment.courier,
        "tracking": shipment.packages,
        "lines": [
            {
                "line": part.line.number,
                "sku": part.line.product.reference,
                "quantity": part.quantity,
                "allocated": part.allocated,
                "picked": part.picked,
                "state": line_state(shipment, part),
            }
            for part in shipment.parts
        ],
    }


def _return(one: Return) -> dict[str, Any]:
    def rows(lines: list[ReturnLine]) -> list[dict[str, Any]]:
        return [
            {
                "sku": line.product.reference,
                "quantity": line.quantity,
                "reason": line.reason,
                "condition": line.condition,
            }
            for line in lines
        ]

    return {
        "id": one.id,
        "reference": one.reference,
        "order": one.order_reference,
        "authorisation": one.authorisation,
        "type": one.type,
        "site": one.site,
        "announced": rows(one.announced),
        "lines": rows(one.lines),
        "completed": one.completed and iso(one.completed),
    }


def _purchase(one: PurchaseOrder) -> dict[str, Any]:
    return {
        "reference": one.reference,
        "organisation": one.organisation,
        "site": one.site,
        "state": one.state,
        "manually": one.manually,
        "lines": [
            {"sku": line.product.reference, "quantity": line.quantity, "outstanding": line.outstanding}
            for line in one.lines
        ],
    }
