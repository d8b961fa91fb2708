"""What really left the warehouse, from the fulfilments of a sale. One rule: goods are counted once or reported.

A ship line names boxes but no SKUs; what is in it are the packed lines of those boxes (blueprint, sale/fulfilment).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sellable.connectors.cin7_core import wire
from sellable.connectors.cin7_core.wire import guid, word
from sellable.domain.orders import Parcel, Shipment

_SHIPPING = frozenset({"PARTIALLY AUTHORISED", "AUTHORISED"})
_GONE = frozenset({"VOIDED", "NOT AVAILABLE"})


def shipments_of(fulfilments: Iterable[wire.Fulfilment]) -> tuple[tuple[Shipment, ...], tuple[str, ...]]:
    """(shipments with at least one shipped parcel, faults). Voided tasks and parts are passed over."""
    shipments: list[Shipment] = []
    faults: list[str] = []
    for task in fulfilments:
        if word(task.fulfilment_status) == "VOIDED" or task.ship is None or word(task.ship.status) not in _SHIPPING:
            continue
        try:
            shipment = _shipment(task, task.ship)
        except ValueError as error:
            faults.append(f"fulfilment {guid(task.task_id)}: {error}")
            continue
        if shipment is not None:
            shipments.append(shipment)
    return tuple(shipments), tuple(faults)


def _shipment(task: wire.Fulfilment, ship: wire.Ship) -> Shipment | None:
    lines = ship.lines or []
    shipped = [line for line in lines if line.is_shipped]
    if not shipped:
        return None
    if not guid(task.task_id):
        raise ValueError("no TaskID")
    all_gone = len(shipped) == len(lines) and word(ship.status) == "AUTHORISED"
    contents, rest = _contents(_goods(task), shipped)
    if rest and not all_gone:
        # Goods of no shipped box stay in the warehouse, but only where boxes tell the two apart.
        if not any(contents):
            raise ValueError("partly shipped, and nothing tells which goods")
        rest = []
    if len(shipped) == 1:
        contents, rest = [contents[0] + rest], []
    parcels = tuple(
        Parcel(
            parcel_id=guid(line.id) or f"{guid(task.task_id)}-{number}",
            carrier=line.carrier or "",
            tracking=line.tracking_number or "",
            tracking_url=line.tracking_url or "",
            shipped_on=(line.shipment_date or "")[:10],
            items=_summed(content),
        )
        for number, (line, content) in enumerate(zip(shipped, contents, strict=True), start=1)
    )
    return Shipment(
        shipment_id=guid(task.task_id),
        items=_summed([item for content in (*contents, rest) for item in content]),
        parcels=parcels,
    )


def _goods(task: wire.Fulfilment) -> Sequence[wire.GoodsLine]:
    """Packed lines, or the picked ones where nothing was packed."""
    for part in (task.pack, task.pick):
        if part is not None and part.lines and word(part.status) not in _GONE:
            return part.lines
    raise ValueError("shipped, but neither packed nor picked lines")


def _contents(
    goods: Sequence[wire.GoodsLine], shipped: Sequence[wire.ShipLine]
) -> tuple[list[list[tuple[str, int]]], list[tuple[str, int]]]:
    """(items of each shipped line, items of no shipped box). A box named twice belongs to the first that names it."""
    owner: dict[str, int] = {}
    for number, line in enumerate(shipped):
        for box in (line.boxes or "").split(","):
            if word(box):
                owner.setdefault(word(box), number)
    contents: list[list[tuple[str, int]]] = [[] for _ in shipped]
    rest: list[tuple[str, int]] = []
    for line_ in goods:
        if not line_.sku:
            raise ValueError("a packed line without a SKU")
        quantity = wire.goods(line_.quantity, f"Quantity of {line_.sku}")
        at = owner.get(word(line_.box))
        (rest if at is None else contents[at]).append((line_.sku, quantity))
    return contents, rest


def _summed(items: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Units by SKU, in order of first sight, without zeros."""
    sums: dict[str, int] = {}
    for sku, quantity in items:
        sums[sku] = sums.get(sku, 0) + quantity
    return tuple((sku, quantity) for sku, quantity in sums.items() if quantity)
