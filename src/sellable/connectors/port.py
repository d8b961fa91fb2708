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
from typing import Any, Literal, Protocol, Self

import msgspec

from sellable.domain.orders import Address, GoodsReturn, Shipment
from sellable.domain.stock import State

WORD_LENGTH_MIN = 3
"""Shorter words are left in: they tell nothing of a person and stand everywhere."""
BEGINNING_LENGTH_MIN = 4
"""A text may have been cut inside a word: so much of its beginning is looked for at the end."""


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
        case str() if words:
            return _uncut(re.sub("|".join(map(re.escape, words)), "(hidden)", value, flags=re.IGNORECASE), words)
        case dict():
            return {name: _hidden(inner, words) for name, inner in value.items()}
        case list():
            return [_hidden(inner, words) for inner in value]
        case _:
            return value


def _uncut(text: str, words: Sequence[str]) -> str:
    """The text without the beginning of a word at its end."""
    tail = text[-max(map(len, words)) :].lower()
    cut = max(
        (n for word in words for n in range(BEGINNING_LENGTH_MIN, len(word)) if tail.endswith(word[:n].lower())),
        default=0,
    )
    return f"{text[:-cut]}(hidden)" if cut else text


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
    `kit` is a line that the target has to take apart itself; one that cannot refuses the draft.
    """

    sku: str
    name: str
    quantity: int
    price: Decimal
    tax: Decimal
    total: Decimal
    tax_rule: str
    discount: Decimal = Decimal(0)
    kit: bool = False


class SaleCharge(msgspec.Struct, frozen=True, kw_only=True):
    """Money on a sale that moves no stock; `description` is the name of a service product at the master.

    `kind` is that of the order's charge: shipping | custom | discount, "" where it was not kept.
    """

    description: str
    quantity: int
    price: Decimal
    tax: Decimal
    total: Decimal
    tax_rule: str
    kind: str = ""


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
    digits: int = 2  # fraction digits of `currency`
    placed_at: datetime | None = None  # the instant of `placed_on`, for a target that wants one
    delivery: str = ""  # the storefront's name of the shipping method, beside the target's own word in `carrier`
    promotion: str = ""  # discount codes, for people: their money is inside the lines already
    partial: bool = False  # other parts of the order are sold elsewhere
    lines: tuple[SaleLine, ...]
    charges: tuple[SaleCharge, ...]


class SaleTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What the master computed, in minor units of the sale's currency."""

    net: int
    tax: int
    gross: int


Stage = Literal["waiting", "allocated", "picking", "packed", "despatched", "cancelled", "unknown"]
"""How far a warehouse is with an order, a line or a shipment: `waiting` has set nothing aside, `unknown` is a word of
its own that nobody mapped, which proves nothing."""


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a sale's line (`quantity`), and those of them the master has not set aside (`backorder`).

    A sale that is not authorised has set nothing aside: all of it is backorder. `stage` is None where the master tells
    no states of lines, `state` its own word.
    """

    sku: str
    quantity: int
    backorder: int
    stage: Stage | None = None
    state: str = ""


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
    stage: Stage | None = None  # how far the least advanced part of it is; None where the master has no such states
    late: bool = False  # part of it is packed or gone: a cancellation has to be a return
    returns: tuple[GoodsReturn, ...] = ()


NOT_THERE = "not there"
"""Raw status of a sale that nothing is found under any more: nobody said that it was cancelled."""


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


# --- A warehouse that takes an order in one call ---------------------------------------------------------------------


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one document of an import. `outcome`: success | duplicate | failure | unknown.

    `duplicate`: the reference was taken before, perhaps by our own lost call, so its content is compared before it
    counts as done. `unknown`: the answer does not name the document, or names it in two ways; only reading back tells.
    """

    ref: str
    outcome: Literal["success", "duplicate", "failure", "unknown"]
    message: str = ""
    detail: str = ""


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
    body: bytes = b""


class InventoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a warehouse says about one (sku, location), in units; None is what it does not tell.

    `total` is all there is, `available` what is neither allocated nor frozen: below zero when more is promised than
    there is, and never clipped. `stock_change` and `requirement_change`
    number the last change it saw, `sequence` a push; they order rows of one product among themselves, proving nothing.
    """

    sku: str
    location: str
    total: int
    allocated: int
    available: int
    frozen: int | None = None
    on_order: int | None = None
    inspection: int | None = None
    damaged: int | None = None
    quarantined: int | None = None
    stock_change: int | None = None
    requirement_change: int | None = None
    sequence: int | None = None

    @property
    def stock(self) -> tuple[StockRow, ...]:
        """The same as rows of stock: the sellable one first, then one for each state that is told."""
        kept = (
            ("frozen", self.frozen, State.QUARANTINE),
            ("inspection", self.inspection, State.INSPECTION),
            ("damaged", self.damaged, State.DAMAGED),
            ("quarantined", self.quarantined, State.QUARANTINE),
        )
        sellable = StockRow(
            sku=self.sku,
            location=self.location,
            part="",
            available=self.available,
            state=State.AVAILABLE,
            on_hand=self.total,
            allocated=self.allocated,
            on_order=self.on_order or 0,
        )
        return sellable, *(
            msgspec.structs.replace(
                sellable, part=part, available=units, state=state, on_hand=units, allocated=0, on_order=0
            )
            for part, units, state in kept
            if units is not None
        )


class InventoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """An inventory reading. `absent` are SKUs that were asked for and not answered: unknown, not zero.

    `unreadable` are (sku, location) of rows that were there and could not be understood, `location` "" where not even
    that was; `ignored` are (sku, site) of rows at sites that are not ours; `warnings` are rows that were read and whose
    numbers do not add up.
    """

    rows: tuple[InventoryRow, ...]
    received: int
    absent: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    body: bytes = b""


class ReturnLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units announced as coming back, with the warehouse's own words for why and in what condition ("" for none)."""

    sku: str
    quantity: int
    reason: str = ""
    condition: str = ""


class ReturnAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """A return to announce. `ref` is our number of it, unique for ever; `location` is ours, "" to leave it to them."""

    ref: str
    order_ref: str
    lines: tuple[ReturnLine, ...]
    authorised: bool = True
    type: str = ""
    location: str = ""
    returned_at: datetime | None = None
    note: str = ""


class ReturnRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a return as the warehouse reports it. `authorisation` is our `ref` where we announced it.

    `authorised` None is a word that was not understood; `completed_at` None is a return still being looked at.
    """

    order_ref: str
    sku: str
    quantity: int
    returned_at: datetime | None
    completed_at: datetime | None
    authorised: bool | None
    authorisation: str
    type: str
    note: str
    reason: str
    condition: str
    line_type: str
    line_note: str


class Returns(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of returns in a window."""

    rows: tuple[ReturnRow, ...]
    received: int
    since: datetime
    until: datetime
    faults: tuple[str, ...] = ()
    body: bytes = b""


class OrderImport(Protocol):
    """A warehouse that takes an order whole: one call, one document, no draft before it."""

    async def import_orders(self, drafts: Sequence[SaleDraft], *, lane: str) -> list[Imported]:
        """One call; an outcome for each draft, in their order. Each succeeds or fails alone.

        A repeat under the same `ref` is a duplicate, never a second order. Refused before any call for a draft that
        cannot be said: a kit, an amount finer than the currency, a word that is too long.
        """
        ...

    async def order_detail(self, ref: str, *, lane: str) -> Sale | None:
        """One call: the order under exactly this reference, None when there is none.

        `status` is authorised for one that is being worked on, voided for a cancelled one, other while a state is not
        mapped. `backorder` of a line is what the warehouse's states do not prove to be set aside. It names no totals
        and no shipments: those of `despatches` are the ones that left.
        """
        ...

    async def cancel_order(self, ref: str, *, free_reference: bool, lane: str) -> bool:
        """One call. True: cancelled; False: "no cancel operation performed", so the order is as it was.

        `free_reference` lets a later import use the reference again; else a later import is a duplicate.
        """
        ...


class DespatchSource(Protocol):
    """Where shipments that left are learnt."""

    async def despatches(self, since: datetime, until: datetime, *, lane: str) -> Despatches:
        """One call: shipments completed in the window. Overlap windows and know a shipment by its reference."""
        ...


class InventorySource(Protocol):
    """Where a warehouse's numbers are read."""

    async def inventory(self, skus: Sequence[str] | None, *, site: str | None, lane: str) -> InventoryPage:
        """One call: of these SKUs or of all that have a record, at one location of ours (`site`) or at all.

        Without `skus` nothing proves that a product that is not there has no stock: absence means unknown.
        """
        ...


class ReturnSource(Protocol):
    """Returns at a warehouse: announced by us, reported by it."""

    async def returns(self, since: datetime, until: datetime, *, lane: str) -> Returns:
        """One call: lines of returns in the window. Overlap windows; a line has no number of its own."""
        ...

    async def import_returns(self, drafts: Sequence[ReturnAdvice], *, lane: str) -> list[Imported]:
        """One call; an outcome for each draft, in their order, as `import_orders`."""
        ...
