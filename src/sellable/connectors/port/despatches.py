"""Shipments that left a warehouse."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from sellable.domain.orders import Shipment


class Despatch(msgspec.Struct, frozen=True, kw_only=True):
    """A shipment that left. `order_ref` is the reference its order was imported under.

    `shipment.shipment_id` is the warehouse's reference, unique for ever; its items are units of SKUs as the warehouse
    spells them, a parcel's only where it is the one parcel.
    """

    order_ref: str
    shipment: Shipment
    state: str
    carrier: str
    courier: str
    service: str
    tracking: str
    tracking_url: str
    completed: datetime | None
    original_ref: str = ""  # the order that this one was split from, "" for none


class Despatches(msgspec.Struct, frozen=True, kw_only=True):
    """Shipments completed in a window. `unreadable` are references of shipments that could not be understood."""

    despatches: tuple[Despatch, ...]
    received: int
    since: datetime
    until: datetime
    faults: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


class DespatchSource(Protocol):
    """Where shipments that left are learnt."""

    async def despatches(self, since: datetime, until: datetime, *, lane: str) -> Despatches:
        """One call: shipments completed in the window. Overlap windows and know a shipment by its reference."""
        ...
