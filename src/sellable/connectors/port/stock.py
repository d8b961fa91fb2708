"""Who counts goods: a master that is swept, or a warehouse whose inventory is read. One rule: unknown is not zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from sellable.domain.stock import State


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


class InventorySource(Protocol):
    """Where a warehouse's numbers are read."""

    async def inventory(self, skus: Sequence[str] | None, *, site: str | None, lane: str) -> InventoryPage:
        """One call: of these SKUs or of all that have a record, at one location of ours (`site`) or at all.

        Without `skus` nothing proves that a product that is not there has no stock: absence means unknown.
        """
        ...
