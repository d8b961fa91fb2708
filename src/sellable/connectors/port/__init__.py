"""What the rooms may ask of a vendor, as protocols and plain values. A vendor's own shapes never pass this door.

One file for each thing that a vendor may do for us, one for its errors; all of it is imported from here.

Every method makes at most the calls its docstring names, each through the budgeted HTTP port, and never retries. It
raises `NotSent` and `OutcomeLost` of `runtime.http`, and the families of `errors`.
"""

from __future__ import annotations

from sellable.connectors.port.despatches import Despatch, Despatches, DespatchSource
from sellable.connectors.port.errors import Conflict, LimitReached, Misconfigured, Refused, Unavailable, VendorError
from sellable.connectors.port.returns import ReturnAdvice, ReturnLine, ReturnRow, Returns, ReturnSource
from sellable.connectors.port.sales import (
    NOT_THERE,
    Allocation,
    Imported,
    OrderImport,
    OrderTarget,
    Sale,
    SaleCharge,
    SaleDraft,
    SaleLine,
    SalePage,
    SaleRow,
    SaleTotals,
    Stage,
    TaxRule,
)
from sellable.connectors.port.stock import (
    EVERY_SKU,
    CatalogueItem,
    CataloguePage,
    InventoryPage,
    InventoryRow,
    InventorySource,
    StockMaster,
    StockPage,
    StockRow,
)
from sellable.connectors.port.storefront import (
    DeliveryDraft,
    EntryReading,
    MessagePage,
    OrderPage,
    RawMessage,
    RawOrder,
    Readings,
    ReturnDraft,
    ReturnsTold,
    StockWrite,
    StorefrontOrders,
    StorefrontStock,
    Written,
)

__all__ = [
    "EVERY_SKU",
    "NOT_THERE",
    "Allocation",
    "CatalogueItem",
    "CataloguePage",
    "Conflict",
    "DeliveryDraft",
    "Despatch",
    "DespatchSource",
    "Despatches",
    "EntryReading",
    "Imported",
    "InventoryPage",
    "InventoryRow",
    "InventorySource",
    "LimitReached",
    "MessagePage",
    "Misconfigured",
    "OrderImport",
    "OrderPage",
    "OrderTarget",
    "RawMessage",
    "RawOrder",
    "Readings",
    "Refused",
    "ReturnAdvice",
    "ReturnDraft",
    "ReturnLine",
    "ReturnRow",
    "ReturnSource",
    "Returns",
    "ReturnsTold",
    "Sale",
    "SaleCharge",
    "SaleDraft",
    "SaleLine",
    "SalePage",
    "SaleRow",
    "SaleTotals",
    "Stage",
    "StockMaster",
    "StockPage",
    "StockRow",
    "StockWrite",
    "StorefrontOrders",
    "StorefrontStock",
    "TaxRule",
    "Unavailable",
    "VendorError",
    "Written",
]
