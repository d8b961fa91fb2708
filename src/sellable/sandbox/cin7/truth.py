"""What an oracle may know: stock and sales as they really are. Rule: read only, whole numbers are ints."""

from typing import Any

from sellable.sandbox.cin7 import statuses
from sellable.sandbox.cin7.state import Sale, World
from sellable.sandbox.cin7.stock import spread
from sellable.sandbox.cin7.wire import ZERO, plain, stamp


def truth(world: World) -> dict[str, Any]:
    """{"stock": rows by (sku, location, bin), "levels": by (sku, location), "sales", "transfers"}."""
    stock, levels = [], []
    for level in world.stock.levels.values():
        place = {"sku": level.product.sku, "location": level.location.name}
        on_hand = sum(level.bins.values(), ZERO)
        levels.append(place | _figures(on_hand, level.allocated, level.available))
        for bin_name, there, allocated in spread(level, unbinned=False):
            usable = there if level.location.sellable(bin_name) else ZERO
            stock.append(place | {"bin": bin_name or None} | _figures(there, allocated, usable - allocated))
    return {
        "time": world.clock.time(),
        "stock": stock,
        "levels": levels,
        "sales": [_sale(sale) for sale in world.sales.values()],
        "transfers": [_transfer(document) for document in world.transfers.values()],
    }


def _figures(on_hand: Any, allocated: Any, available: Any) -> dict[str, Any]:
    return {"on_hand": plain(on_hand), "allocated": plain(allocated), "available": plain(available)}


def _transfer(document: dict[str, Any]) -> dict[str, Any]:
    lines = [{"sku": row["SKU"], "quantity": plain(row["TransferQuantity"])} for row in document["Lines"]]
    names = {"number": "Number", "from": "FromLocation", "to": "ToLocation", "status": "Status"}
    return {name: document[field] for name, field in names.items()} | {"lines": lines}


def _sale(sale: Sale) -> dict[str, Any]:
    shipped = sale.shipped_lines()
    return {
        "sale": sale.id,
        "number": sale.number,
        "external_id": sale.external_id,
        "customer_reference": sale.header.get("CustomerReference"),
        "created": stamp(sale.created),
        "location": sale.location.name,
        "status": statuses.overall(sale),
        "order_status": statuses.order(sale),
        "shipping_status": statuses.shipping(sale),
        "total_before_tax": str(sale.totals.before_tax),
        "tax": str(sale.totals.tax),
        "total": str(sale.totals.total),
        "lines": [
            {
                "sku": line.product.sku,
                "quantity": plain(line.quantity),
                "allocated": plain(line.allocated),
                "backordered": plain(sale.backorder(line)),
                "shipped": plain(sum((one.quantity for one in shipped if one.line is line), ZERO)),
                "total": str(line.priced.total),
                "tax": str(line.priced.tax),
            }
            for line in sale.lines
            if line.product
        ],
        "charges": [{"name": charge.name, "total": str(charge.priced.total)} for charge in sale.charges],
    }
