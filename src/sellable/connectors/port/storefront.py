"""A storefront: its stock entries, its orders, and what it is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class EntryReading(msgspec.Struct, frozen=True, kw_only=True):
    """A storefront stock entry as read: `quantity` is on stock, `available` less cart reservations; units."""

    sku: str
    channel: str | None
    remote_id: str
    version: int
    quantity: int
    available: int
    last_op: str | None
    typed: str | None  # id of the custom type on the entry, None when untyped
    backorder: bool  # restockableInDays is set: the storefront sells without stock


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """Entries read in one call; `at` is the storefront's own clock (Date header), when the answer was made."""

    entries: tuple[EntryReading, ...]
    at: datetime
    last_id: str | None = None  # keyset cursor of a walk; None when nothing is left


class StockWrite(msgspec.Struct, frozen=True, kw_only=True):
    """One difference to send: `difference` units (never 0) guarded by `version`, marked with `op_id`."""

    op_id: str
    sku: str
    channel: str | None
    remote_id: str
    version: int
    difference: int
    typed: str | None  # custom type now on the entry, so that the marker extends and never replaces it


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one write. `status`: applied | conflict | refused | unknown | limited."""

    op_id: str
    status: str
    version: int | None = None
    quantity: int | None = None
    at: datetime | None = None
    cause: str = ""
    after_seconds: float = 0.0


class RawMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the storefront's feed as it came, with what is needed to store and order it."""

    message_id: str
    type: str
    resource_type: str
    resource_id: str
    created_at: str
    body: bytes


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page in (createdAt, id) order; `cursor` is the last row's, `full` when more may wait."""

    messages: tuple[RawMessage, ...]
    cursor: tuple[str, str] | None
    full: bool


class RawOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order document as it came."""

    order_id: str
    version: int
    modified_at: str
    body: bytes


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page in (lastModifiedAt, id) order; `at` is the storefront's clock when it answered."""

    orders: tuple[RawOrder, ...]
    cursor: tuple[str, str] | None
    full: bool
    at: datetime


class DeliveryDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A shipment to tell the storefront: `items` are (line id, units), parcels likewise; keys make it idempotent."""

    order_id: str
    delivery_key: str
    items: tuple[tuple[str, int], ...]
    parcels: tuple[tuple[str, str, str, str, tuple[tuple[str, int], ...]], ...]
    # (parcel key, carrier, tracking id, tracking url, ((line id, units), ...))
    shipment_state: str | None
    order_state: str | None


class ReturnDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Returned units of a line to tell the storefront: `state` Returned | BackInStock | Unusable, `payment` Refunded |
    NotRefunded or "" where nothing is decided. `item_id` names an item that somebody else has put on the order.
    """

    key: str
    line_id: str
    units: int
    state: str
    payment: str = ""
    comment: str = ""
    item_id: str = ""


class ReturnsTold(msgspec.Struct, frozen=True, kw_only=True):
    """The order after it was told. `refused` are (key, what it says, what it should say) that cannot become so."""

    order: RawOrder
    refused: tuple[tuple[str, str, str], ...]


class StorefrontStock(Protocol):
    """Read and write stock entries."""

    async def read_entries(self, keys: Sequence[tuple[str, str | None]], *, lane: str) -> Readings:
        """One call for at most 150 (sku, channel key) pairs; missing entries are absent from the answer."""
        ...

    async def walk_entries(self, after_id: str | None, *, lane: str) -> Readings:
        """One page (at most 500) of all entries in id order."""
        ...

    async def write(self, writes: Sequence[StockWrite], *, lane: str) -> list[Written]:
        """Sends up to `write_batch` differences in one call; each succeeds or fails alone. Never raises VendorError."""
        ...

    async def sold(self, skus: Sequence[str], *, lane: str) -> frozenset[str]:
        """One call for at most 150 SKUs: those that a product of the storefront has, published or not."""
        ...

    async def create_entry(self, sku: str, channel: str | None, op_id: str, *, lane: str) -> EntryReading:
        """Creates the entry at 0. Refused(code=DuplicateField) when somebody else did."""
        ...

    @property
    def write_batch(self) -> int:
        """How many differences one call may carry."""
        ...


class StorefrontOrders(Protocol):
    """Read orders and what happened; write back what the warehouse did."""

    async def messages(self, cursor: tuple[str, str] | None, *, until: str | None, lane: str) -> MessagePage: ...

    async def orders_modified(self, cursor: tuple[str, str] | None, *, since: str, lane: str) -> OrderPage: ...

    async def orders_open(self, cursor: tuple[str, str] | None, *, lane: str) -> OrderPage:
        """One call: orders that are open or confirmed, in (createdAt, id) order."""
        ...

    async def orders_by_id(self, ids: Sequence[str], *, lane: str) -> OrderPage: ...

    async def orders_with_sku(self, sku: str, *, since: datetime, lane: str) -> OrderPage: ...

    async def read_order(self, order_id: str, *, lane: str) -> RawOrder: ...

    async def set_sync_info(self, order: RawOrder, external_id: str, *, lane: str) -> RawOrder:
        """One update guarded by the order's version; a no-op where the same info is present."""
        ...

    async def add_delivery(self, order: RawOrder, draft: DeliveryDraft, *, lane: str) -> RawOrder:
        """Adds delivery and parcels whose keys are not present yet, and the states; one update at most."""
        ...

    async def set_states(
        self, order: RawOrder, *, order_state: str | None, shipment_state: str | None, lane: str
    ) -> RawOrder: ...

    async def tell_returns(self, order: RawOrder, drafts: Sequence[ReturnDraft], *, lane: str) -> ReturnsTold:
        """One update at most: return items not present yet, and the states that are news."""
        ...

    async def cancel_units(self, order: RawOrder, units: Mapping[str, int], *, lane: str) -> RawOrder:
        """One update at most: as many units of each line (by id) as are said count as cancelled, never fewer than do.

        The state is read besides when it was not seen before. Refused(code=no_state) where none is configured.
        """
        ...
