"""Which order lines a shipment's goods belong to. Pure.

One rule: everything that left a part so far is placed together, so that it does not matter in how many pieces, boxes or
readings it left, nor whether a kit was shipped as itself or as its components.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sellable.domain.orders import Shipment


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a part: units it carries and has shipped so far; `recipe` is what one kit is made of, else empty."""

    line_id: str
    sku: str
    units: int
    shipped: int = 0
    recipe: Mapping[str, int] = {}


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Units by line id (every line is named), and by SKU what exceeds the lines or is on none of them."""

    units: dict[str, int]
    over: dict[str, int]
    strange: dict[str, int]


def summed(shipments: Iterable[Shipment]) -> dict[str, int]:
    """Units by SKU over all of them."""
    total: Counter[str] = Counter()
    for shipment in shipments:
        for sku, units in shipment.items:
            total[sku] += units
    return dict(total)


def news(shipment: Shipment, known: Sequence[Shipment]) -> Shipment | None:
    """What a shipment has that its known pieces have not, as a piece of its own; None when nothing.

    Cin7 Core adds parcels to a shipment as boxes leave, under one TaskID (blueprint, sale/fulfilment).
    """
    before = summed(known)
    parcels = {p.parcel_id for piece in known for p in piece.parcels}
    items = tuple((sku, n - before.get(sku, 0)) for sku, n in shipment.items if n > before.get(sku, 0))
    if not items:
        return None
    return Shipment(
        shipment_id=f"{shipment.shipment_id}-{len(known) + 1}" if known else shipment.shipment_id,
        items=items,
        parcels=tuple(p for p in shipment.parcels if p.parcel_id not in parcels),
    )


def taken_back(shipment: Shipment, known: Sequence[Shipment]) -> dict[str, int]:
    """By SKU, units that the shipment's pieces recorded and that it does not have any more."""
    now = dict(shipment.items)
    return {sku: units - now.get(sku, 0) for sku, units in summed(known).items() if units > now.get(sku, 0)}


def place(lines: Sequence[Carried], shipped: Mapping[str, int]) -> Placed:
    """All units that left, by line. Lines in order, each up to what it carries; then complete sets of kits.

    What exceeds the lines is put on the SKU's last line, as fact, and named; it is never clipped. Components that do
    not make a complete set yet wait for the rest.
    """
    left = dict(shipped)
    units = {line.line_id: 0 for line in lines}
    for line in lines:
        taken = min(line.units, left.get(line.sku, 0))
        units[line.line_id] += taken
        left[line.sku] = left.get(line.sku, 0) - taken
    waiting: set[str] = set()
    for line in (line for line in lines if line.recipe):
        missing = line.units - units[line.line_id]
        sets = min(missing, *(left.get(sku, 0) // per for sku, per in line.recipe.items()))
        units[line.line_id] += sets
        for sku, per in line.recipe.items():
            left[sku] = left.get(sku, 0) - sets * per
        if sets < missing:
            waiting |= line.recipe.keys()
    last = {line.sku: line.line_id for line in lines}
    rest = {sku: n for sku, n in left.items() if n and sku not in waiting}
    over = {sku: n for sku, n in rest.items() if sku in last}
    for sku, n in over.items():
        units[last[sku]] += n
    return Placed(units=units, over=over, strange={sku: n for sku, n in rest.items() if sku not in last})
