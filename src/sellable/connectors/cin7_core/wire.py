"""Cin7 Core's documents as they come, field for field. One rule: nothing is coerced to zero and nothing passes a float.

Unknown fields and words are let through. Names follow the vendor's blueprint; `null` and absence are alike. A quantity
is kept as the bytes of its JSON number, so that one bad figure spoils one row and not its page.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, field

from sellable.connectors.kit import decode as kit
from sellable.connectors.kit.decode import document

T = TypeVar("T")

TITLE = "Cin7 Core"

UNITS_MAX = 1_000_000_000
"""More units than this in one row are a mistake at the vendor, not stock."""

Text = str | None


class Garbled(ValueError):
    """Not JSON, or JSON of another shape than the blueprint says."""


def _vendor_name(name: str) -> str:
    words = {"id": "ID", "sku": "SKU"}
    return "".join(words.get(word, word.capitalize()) for word in name.split("_"))


class _Document(msgspec.Struct, frozen=True, kw_only=True, rename=_vendor_name):
    """Common behaviour: the vendor's spelling outside, ours inside."""


class StockLine(_Document, frozen=True, kw_only=True):
    """A row of ref/productavailability: product x location x bin x batch x expiry. StockOnHand is money: not read."""

    sku: Text = None
    location: Text = None
    bin: Text = None
    batch: Text = None
    expiry_date: Text = None
    on_hand: Raw = Raw()
    allocated: Raw = Raw()
    available: Raw = Raw()
    on_order: Raw = Raw()


class Component(_Document, frozen=True, kw_only=True):
    """A stocked part of a bill of material."""

    product_code: Text = None
    quantity: Decimal | None = None
    wastage_percent: Decimal | None = None
    wastage_quantity: Decimal | None = None


class Product(_Document, frozen=True, kw_only=True):
    """A row of product, asked for with its bill of material."""

    sku: Text = None
    name: Text = None
    type: Text = None
    status: Text = None
    sellable: bool | None = None
    bill_of_material: bool | None = None
    auto_assembly: bool | None = None
    quantity_to_produce: Decimal | None = None
    bill_of_materials_products: list[Component] | None = None


class OrderLine(_Document, frozen=True, kw_only=True):
    """A line of a sale's order document."""

    sku: Text = None
    quantity: Raw = Raw()
    backorder_quantity: Raw = Raw()


class OrderDocument(_Document, frozen=True, kw_only=True):
    """What POST sale/order answers, and `Order` inside a sale."""

    sale_id: Text = None
    sale_order_number: Text = None
    status: Text = None
    lines: list[OrderLine] | None = None
    total_before_tax: Decimal | None = None
    tax: Decimal | None = None
    total: Decimal | None = None


class GoodsLine(_Document, frozen=True, kw_only=True):
    """A picked or packed line; only packed ones have a box."""

    sku: Text = None
    quantity: Raw = Raw()
    box: Text = None


class Goods(_Document, frozen=True, kw_only=True):
    """The pick or pack part of a fulfilment."""

    status: Text = None
    lines: list[GoodsLine] | None = None


class ShipLine(_Document, frozen=True, kw_only=True):
    """A parcel, or several boxes under one tracking number; `boxes` is a comma list."""

    id: Text = None
    shipment_date: Text = None
    carrier: Text = None
    boxes: Text = None
    tracking_number: Text = None
    tracking_url: Text = field(default=None, name="TrackingURL")
    is_shipped: bool | None = None


class Ship(_Document, frozen=True, kw_only=True):
    """The ship part of a fulfilment."""

    status: Text = None
    lines: list[ShipLine] | None = None


class Fulfilment(_Document, frozen=True, kw_only=True):
    """One fulfilment task. The blueprint spells its status with a capital F inside."""

    task_id: Text = None
    fulfilment_status: Text = field(default=None, name="FulFilmentStatus")
    pick: Goods | None = None
    pack: Goods | None = None
    ship: Ship | None = None


class CreditLine(_Document, frozen=True, kw_only=True):
    """A line of a credit note: goods as they were sold."""

    sku: Text = None
    quantity: Raw = Raw()
    comment: Text = None


class RestockLine(_Document, frozen=True, kw_only=True):
    """Goods of a credit note that go back into stock; `restock_location` is an id or a name, and counts first."""

    sku: Text = None
    quantity: Raw = Raw()
    location: Text = None
    restock_location: Text = None


class CreditNote(_Document, frozen=True, kw_only=True):
    """A credit note: it takes goods back only once it is authorised."""

    task_id: Text = None
    credit_note_number: Text = None
    status: Text = None
    lines: list[CreditLine] | None = None
    restock: list[RestockLine] | None = None


class SaleDocument(_Document, frozen=True, kw_only=True):
    """What GET sale answers."""

    id: Text = None
    status: Text = None
    location: Text = None
    customer_currency: Text = None
    external_id: Text = None
    last_modified_on: Text = None
    combined_picking_status: Text = None
    order: OrderDocument | None = None
    fulfilments: list[Fulfilment] | None = None
    credit_notes: list[CreditNote] | None = None


class SaleListRow(_Document, frozen=True, kw_only=True):
    """A row of saleList."""

    sale_id: Text = None
    order_number: Text = None
    external_id: Text = None
    status: Text = None
    order_status: Text = None
    updated: Text = None
    order_location_id: Text = None
    customer_reference: Text = None
    combined_picking_status: Text = None
    combined_packing_status: Text = None
    combined_shipping_status: Text = None
    combined_invoice_status: Text = None
    combined_payment_status: Text = None
    credit_note_status: Text = None


class TransferRow(_Document, frozen=True, kw_only=True):
    """A row of stockTransferList."""

    task_id: Text = None
    status: Text = None
    last_modified_on: Text = None


class TransferLine(_Document, frozen=True, kw_only=True):
    """A line of a stock transfer."""

    sku: Text = None


class Transfer(_Document, frozen=True, kw_only=True):
    """What GET stockTransfer answers."""

    task_id: Text = None
    lines: list[TransferLine] | None = None


class TaxRuleRow(_Document, frozen=True, kw_only=True):
    """A row of ref/tax."""

    name: Text = None
    tax_percent: Decimal | None = None
    tax_inclusive: bool | None = None
    is_active: bool | None = None
    is_tax_for_sale: bool | None = None


class CarrierRow(_Document, frozen=True, kw_only=True):
    """A row of ref/carrier."""

    description: Text = None


class CustomerRow(_Document, frozen=True, kw_only=True):
    """A row of customer: the card that web orders are booked on."""

    name: Text = None
    status: Text = None
    currency: Text = None


class BinRow(_Document, frozen=True, kw_only=True):
    """A bin inside a location; a staging one is left out of availability by the vendor itself."""

    name: Text = None
    is_deprecated: bool | None = None
    is_staging: bool | None = None


class LocationRow(_Document, frozen=True, kw_only=True):
    """A row of ref/location; bins are listed inside and again as rows with a parent."""

    id: Text = None
    name: Text = None
    parent_id: Text = None
    is_deprecated: bool | None = None
    bins: list[BinRow] | None = None


class Me(_Document, frozen=True, kw_only=True):
    """What GET me answers: the settings of the company that change numbers."""

    company: Text = None
    currency: Text = None
    time_zone: Text = None
    lock_date: Text = None
    tax_calculation_method: Text = None
    automatically_apply_discounts: bool | None = None


class Header(_Document, frozen=True, kw_only=True):
    """The part of a fresh sale that is needed."""

    id: Text = None


class WebhookRow(_Document, frozen=True, kw_only=True):
    """A row of webhooks, without the secrets the vendor gives back in clear."""

    id: Text = None
    type: Text = None
    is_active: bool | None = None
    external_url: Text = field(default=None, name="ExternalURL")


class ErrorModel(_Document, frozen=True, kw_only=True):
    """The vendor's error, alone or as items of an array, and with any HTTP status (blueprint, "Error Model")."""

    error_code: int | str | None = None
    exception: Text = None


_BODY = msgspec.json.Encoder(decimal_format="number")


def encode(document: Any) -> bytes:
    """JSON in which a Decimal is a number with exactly its digits."""
    return _BODY.encode(document)


def decode(data: bytes | Raw, type_: type[T]) -> T:
    """One part of a document, for instance a row. Raises Garbled."""
    try:
        return kit.decode(data, type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Garbled(str(error)) from error


def guid(text: str | None) -> str:
    """A GUID in the form we keep."""
    return (text or "").strip().lower()


def word(text: str | None) -> str:
    """A status as it is compared: the vendor's case and blanks are not stable."""
    return (text or "").strip().upper()


def units(raw: Raw, name: str) -> int:
    """A whole number of units. Raises ValueError that says what came instead."""
    text = bytes(raw).decode(errors="replace")[:40]
    if not text or text == "null":
        raise ValueError(f"{name} is missing")
    try:
        value = decode(raw, Decimal)
    except Garbled:
        raise ValueError(f"{name} is {text}, not a number") from None
    if not value.is_finite() or abs(value) > UNITS_MAX or value != value.to_integral_value():
        raise ValueError(f"{name} is {text}, not a whole number of units")
    return int(value)


def goods(raw: Raw, name: str) -> int:
    """Units of goods, which cannot be fewer than none. Raises ValueError as `units`."""
    count = units(raw, name)
    if count < 0:
        raise ValueError(f"{name} is {count}")
    return count


def envelope(body: bytes, key: str) -> tuple[list[Raw], int | None]:
    """(rows, Total) of a list. The key is read without its case, else the only array is taken.

    Raises Unavailable or Refused where the answer as a whole, ValueError where a part of it is not understood.
    """
    parts = {name.lower(): raw for name, raw in document(body, dict[str, Raw], vendor=TITLE).items()}
    rows = parts.get(key.lower())
    if rows is None:
        arrays = [raw for raw in parts.values() if bytes(raw).lstrip().startswith(b"[")]
        if len(arrays) != 1:
            raise Garbled(f"no {key} in the answer")
        rows = arrays[0]
    found: list[Raw] | None = decode(rows, list[Raw] | None)  # type: ignore[arg-type]
    return found or [], units(parts["total"], "Total") if "total" in parts else None


def errors_of(body: bytes) -> list[ErrorModel]:
    """The Error Models a body consists of; empty when it is a document."""
    if b'"ErrorCode"' not in body[:4096]:
        return []
    try:
        found: Any = kit.decode(body, list[ErrorModel] | ErrorModel)  # type: ignore[arg-type]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    models = found if isinstance(found, list) else [found]
    return [model for model in models if model.error_code is not None]
