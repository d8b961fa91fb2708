"""Where orders become sales: in steps, as a draft first, or whole, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

import msgspec

from sellable.domain.orders import Address, GoodsReturn, Shipment


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


class TaxRule(msgspec.Struct, frozen=True, kw_only=True):
    """A tax rule at the back office: `percent` 19 for 19 %."""

    name: str
    percent: Decimal
    included: bool
    active: bool


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


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one document of an import. `outcome`: success | duplicate | failure | unknown.

    `duplicate`: the reference was taken before, perhaps by our own lost call, so its content is compared before it
    counts as done. `unknown`: the answer does not name the document, or names it in two ways; only reading back tells.
    """

    ref: str
    outcome: Literal["success", "duplicate", "failure", "unknown"]
    message: str = ""
    detail: str = ""


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
