"""What the rooms may ask of a vendor, as protocols and plain values. A vendor's own shapes never pass this door.

Every method makes at most the calls its docstring names, each through the budgeted HTTP port, and never retries.
Errors: `NotSent` and `OutcomeLost` of `runtime.http` come through; the families below say the rest.

    VendorError
     ├─ LimitReached      not carried out; try after `after_seconds`
     ├─ Conflict          not carried out: the version moved (409)
     ├─ Refused           permanent: the vendor will say no again; `code` is stable, `detail` the evidence
     ├─ Unavailable       5xx and the like: a write may have been carried out, a read was not
     └─ Misconfigured     credentials, scopes, wrong path (HTML with 200): a person must mend it
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, Self

import msgspec

from sellable.domain.orders import Address, GoodsReturn, Shipment
from sellable.domain.stock import State

WORD_LENGTH_MIN = 3
"""Shorter words are left in: they tell nothing of a person and stand everywhere."""


class VendorError(Exception):
    """Something a vendor answered that is not success."""

    def __init__(self, message: str, *, code: str = "", detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail or {}

    def without(self, words: Collection[str]) -> Self:
        """The same error with none of these words in it: vendors repeat what they refuse, and errors are kept."""
        # The longest first: of a name inside an address nothing may be left over.
        ordered = sorted((word for word in words if len(word) >= WORD_LENGTH_MIN), key=len, reverse=True)
        self.args = tuple(_hidden(each, ordered) for each in self.args)
        self.detail = _hidden(self.detail, ordered)
        return self


def _hidden(value: Any, words: Sequence[str]) -> Any:
    match value:
        case str():
            return re.sub("|".join(map(re.escape, words)), "(hidden)", value, flags=re.IGNORECASE) if words else value
        case dict():
            return {name: _hidden(inner, words) for name, inner in value.items()}
        case list():
            return [_hidden(inner, words) for inner in value]
        case _:
            return value


class LimitReached(VendorError):
    """The vendor's limit was reached before anything was done."""

    def __init__(self, message: str, *, after_seconds: float) -> None:
        super().__init__(message, code="limit")
        self.after_seconds = after_seconds


class Conflict(VendorError):
    """The resource is at another version; nothing was written."""


class Refused(VendorError):
    """A permanent no, with the vendor's code."""


class Unavailable(VendorError):
    """The vendor failed; after a write nobody knows whether it was applied."""


class Misconfigured(VendorError):
    """Credentials, permissions or paths are wrong."""


# --- Storefront ------------------------------------------------------------------------------------------------------


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


# --- Back office -----------------------------------------------------------------------------------------------------


class StockRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the master says about one (sku, location, part): units by state. `part` is bin and batch, "" for none."""

    sku: str
    location: str
    part: str
    available: int  # units in `state`: signed where that is available, else what is on hand
    state: State | None  # None: the remote state is unknown, so not sellable
    on_hand: int
    allocated: int
    on_order: int


class StockPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a sweep. `total` is the master's count of rows for the whole walk, for the completeness proof."""

    rows: tuple[StockRow, ...]
    received: int
    total: int
    page: int
    faults: tuple[str, ...] = ()  # rows that could not be read: fraction, no SKU ... (each is a case, none is a zero)
    unreadable: tuple[tuple[str, str, str], ...] = ()  # (sku, location, part) of those faults: unknown, not absent
    ignored: tuple[str, ...] = ()  # identities of rows at places that are not ours, so that a row twice is seen


class SaleLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line to put on a sale; `price` per unit with 4 decimals, `tax` and `total` in major units.

    `discount` is a percentage with 2 decimals, 0 unless no price of 4 decimals comes to `total` (price_of in orders).
    """

    sku: str
    name: str
    quantity: int
    price: Decimal
    tax: Decimal
    total: Decimal
    tax_rule: str
    discount: Decimal = Decimal(0)


class SaleCharge(msgspec.Struct, frozen=True, kw_only=True):
    """Money on a sale that moves no stock; `description` is the name of a service product at the master."""

    description: str
    quantity: int
    price: Decimal
    tax: Decimal
    total: Decimal
    tax_rule: str


class SaleDraft(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an order as the back office shall have it. `ref` is unique for ever: project, order id, part."""

    ref: str
    order_number: str
    customer: str
    location: str
    currency: str
    tax_rule: str
    tax_included: bool
    placed_on: str  # calendar date at the company
    email: str
    shipping_address: Address
    billing_address: Address
    carrier: str
    note: str
    currency_rate: Decimal | None = None  # base units per unit of `currency`; None where it is the base currency
    lines: tuple[SaleLine, ...]
    charges: tuple[SaleCharge, ...]


class SaleTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What the master computed, in minor units of the sale's currency."""

    net: int
    tax: int
    gross: int


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a sale's line (`quantity`), and those of them the master has not set aside (`backorder`).

    A sale that is not authorised has set nothing aside: all of it is backorder.
    """

    sku: str
    quantity: int
    backorder: int


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """A sale as read. `status`: draft | authorised | voided | other; `lines` are those of its order document."""

    sale_id: str
    number: str
    ref: str
    status: str
    location: str
    lines: tuple[Allocation, ...]
    totals: SaleTotals | None
    shipments: tuple[Shipment, ...]
    picked: bool
    updated: str
    raw_status: str = ""
    digits: int = 2
    faults: tuple[str, ...] = ()  # what could not be read: a fraction, goods of no parcel ... (each is a case)
    returns: tuple[GoodsReturn, ...] = ()


class SaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the list of sales: enough to know which to read."""

    sale_id: str
    number: str
    ref: str
    status: str  # as Sale.status
    updated: str
    shipped: bool
    picked: bool = False
    picked_whole: bool = False  # every unit is picked: what it holds cannot be freed unnoticed
    location: str = ""  # our name, the master's own where it is not ours, "" where the list does not tell
    reference: str = ""  # the customer's reference: the storefront's order number
    progress: str = ""  # what the row says of picking, packing, shipping and money; "" while not authorised


class SalePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the list of sales."""

    rows: tuple[SaleRow, ...]
    received: int
    total: int
    page: int
    body: bytes = b""


class CatalogueItem(msgspec.Struct, frozen=True, kw_only=True):
    """A product at the master. `recipe` is component SKU -> units for one kit; `kit` when stock is only of parts."""

    sku: str
    name: str
    sellable: bool
    service: bool
    kit: bool
    recipe: tuple[tuple[str, int], ...]
    fault: str = ""


class CataloguePage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the catalogue."""

    items: tuple[CatalogueItem, ...]
    received: int
    total: int
    page: int


class TaxRule(msgspec.Struct, frozen=True, kw_only=True):
    """A tax rule at the back office: `percent` 19 for 19 %."""

    name: str
    percent: Decimal
    included: bool
    active: bool


EVERY_SKU = "*"
"""Among touched SKUs: more was touched than could be looked into, so no SKU is free of it."""


class StockMaster(Protocol):
    """The system that owns physical stock."""

    async def stock_page(self, location: str | None, page: int, *, lane: str) -> StockPage: ...

    async def stock_of(self, sku: str, *, lane: str) -> StockPage:
        """All rows of exactly this SKU (filtered on our side); one call a page, complete when received == total."""
        ...

    async def stock_like(self, beginning: str, *, lane: str) -> StockPage:
        """One call: rows of SKUs, most likely of all that begin so. Complete when received == total: then of each SKU
        it shows it shows all rows, as of one moment; of a SKU it does not show it says nothing.
        """
        ...

    async def transfers_touched(self, since: str, *, lane: str) -> tuple[frozenset[str], str]:
        """SKUs of stock transfers changed since the mark ("" for none yet), and the new mark.

        Holds EVERY_SKU instead of SKUs when too many changed to look into each.
        """
        ...

    async def catalogue_page(self, page: int, *, since: str | None, lane: str) -> CataloguePage: ...


class OrderTarget(Protocol):
    """Where orders become sales."""

    async def create_draft(self, draft: SaleDraft, *, lane: str) -> str:
        """One call: the header only; returns the sale id. It allocates nothing."""
        ...

    async def put_lines(self, sale_id: str, draft: SaleDraft, *, authorise: bool, lane: str) -> Sale:
        """One call: lines and charges as draft (repeatable) or authorised (allocates); with the master's totals."""
        ...

    async def put_header(self, sale_id: str, draft: SaleDraft, *, lane: str) -> None:
        """One call: addresses, contact, carrier and note of a sale, never its lines; repeatable."""
        ...

    async def find_by_ref(self, ref: str, *, lane: str) -> list[SaleRow]:
        """One call; rows whose reference is exactly `ref`. Absence proves nothing before the search settle time."""
        ...

    async def search_sales(self, text: str, *, lane: str) -> list[SaleRow]:
        """Every sale that has the text somewhere in its number, reference, customer and the like; a call a page.

        A master's search matches parts of words: whoever wants one sale compares exactly.
        """
        ...

    async def read_sale(self, sale_id: str, *, lane: str) -> Sale:
        """One call. Refused(code=not_found) when there is none."""
        ...

    async def void_sale(self, sale_id: str, *, undo: bool, lane: str) -> None:
        """Void for good, or back to draft (undo). Refused(code=too_late) once shipped."""
        ...

    async def sales_page(self, page: int, *, updated_since: str, lane: str) -> SalePage: ...
