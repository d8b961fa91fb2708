"""Cin7 Core's documents into our words, purely. One rule: what is not understood is a fault, never a zero or a guess.

A number of the vendor becomes ours only when it is a whole number of units. Ids are GUIDs whose case is not stable (the
same sale is upper case in a webhook and lower in REST), so they are kept in lower case; SKUs are kept byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from sellable.config.settings import Location, StateRule
from sellable.connectors.cin7_core import wire
from sellable.connectors.cin7_core.credits import returns_of
from sellable.connectors.cin7_core.shipments import shipments_of
from sellable.connectors.cin7_core.wire import UNITS_MAX, guid, units, word
from sellable.connectors.port import (
    Allocation,
    CatalogueItem,
    Sale,
    SaleDraft,
    SaleRow,
    SaleTotals,
    StockPage,
    StockRow,
    TaxRule,
)
from sellable.domain.money import to_minor
from sellable.domain.stock import State

NAME = "cin7_core"
TRANSFER_OVERLAP = timedelta(minutes=10)
"""Changes this much older than the newest one seen may still appear: slow commits and skew inside the vendor."""

_NO_DIGITS = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split())  # noqa: SIM905
_THREE_DIGITS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})

_ORDER_STATUS = {
    "DRAFT": "draft",
    "NOT AVAILABLE": "draft",
    "AUTHORISED": "authorised",
    "FULFILLED": "authorised",
    "CLOSED": "authorised",
    "VOIDED": "voided",
}
"""Order status to ours. AUTH_NO_ALLOC sets nothing aside, so it must not pass for authorised: it is `other`."""

_NOT_SHIPPED = frozenset({"", "NOT AVAILABLE", "NOT SHIPPED", "VOIDED"})
_NOT_PICKED = frozenset({"", "NOT AVAILABLE", "NOT PICKED", "VOIDED"})


class Places:
    """Which of our locations a Cin7 location is, and which state its bins are in; from the settings.

    A location that is not ours is ignored; a bin nobody mapped has no state and sells nothing.
    """

    def __init__(self, locations: Iterable[Location], states: Iterable[StateRule]) -> None:
        mine = [location for location in locations if location.keeper == NAME]
        self._ours = {location.remote: location.name for location in mine}
        self._remote = {location.name: location.remote for location in mine}
        self._states = {(rule.location, rule.bin): rule.state for rule in states}

    def ours(self, remote: str) -> str | None:
        """Our name of a location, None when it is not ours."""
        return self._ours.get(remote)

    def remote(self, name: str) -> str:
        """The vendor's name of our location. Raises KeyError when it is not one of this master's."""
        return self._remote[name]

    def place(self, text: str) -> tuple[str, State] | None:
        """(our location, state) of a place as documents spell it, a bin after a colon; None where it is not ours.

        A bin nobody mapped sells nothing.
        """
        whole = self.ours(text)
        remote, _, bin_ = (text, "", "") if whole is not None else text.partition(": ")
        name = self.ours(remote)
        return None if name is None else (name, self.state(name, bin_) or State.QUARANTINE)

    def state(self, name: str, bin_: str) -> State | None:
        """State of stock in a bin ("" for unbinned stock) of our location."""
        return self._states.get((name, bin_)) or self._states.get((name, "*"))


def digits_of(currency: str) -> int:
    """Fraction digits of a currency's minor unit, by ISO 4217."""
    code = currency.upper()
    return 0 if code in _NO_DIGITS else 3 if code in _THREE_DIGITS else 2


# --- Stock -----------------------------------------------------------------------------------------------------------


def part_of(line: wire.StockLine) -> str:
    """Bin, batch and expiry in one word that is unique within a SKU's location; "" for none."""
    words = (line.bin, line.batch, (line.expiry_date or "")[:10])
    return "|".join((word or "").replace("|", "\\|") for word in words).rstrip("|")


def stock_page(
    rows: Sequence[msgspec.Raw],
    *,
    total: int,
    page: int,
    places: Places,
    today: date,
    sku: str | None = None,
    location: str | None = None,
) -> StockPage:
    """A page of availability. Rows of another `sku` or (our) `location` than asked for are ignored, as the vendor's
    own filters match prefixes or are silently not applied; `today` tells which batches have expired.
    """
    read: list[StockRow] = []
    faults: list[str] = []
    unreadable: list[tuple[str, str, str]] = []
    ignored: list[str] = []
    for number, raw in enumerate(rows):
        try:
            line = wire.decode(raw, wire.StockLine)
        except wire.Garbled as error:
            faults.append(f"row {number} of page {page}: {error}")
            continue
        if not line.sku or not line.location:
            faults.append(f"row {number} of page {page}: no {'location' if line.sku else 'SKU'}")
            continue
        name = places.ours(line.location)
        if name is None or sku not in (None, line.sku) or location not in (None, name):
            ignored.append("|".join((line.sku, line.location, part_of(line))))
            continue
        try:
            read.append(_stock_row(line, line.sku, name, places, today))
        except ValueError as error:
            faults.append(f"{line.sku} at {line.location} {part_of(line)}: {error}")
            unreadable.append((line.sku, name, part_of(line)))
    return StockPage(
        rows=tuple(read),
        received=len(rows),
        total=total,
        page=page,
        faults=tuple(faults),
        unreadable=tuple(unreadable),
        ignored=tuple(ignored),
    )


def _stock_row(line: wire.StockLine, sku: str, location: str, places: Places, today: date) -> StockRow:
    on_hand = units(line.on_hand, "OnHand")
    available = units(line.available, "Available")
    state = places.state(location, line.bin or "")
    if state is State.AVAILABLE and line.expiry_date and date.fromisoformat(line.expiry_date[:10]) < today:
        state = State.QUARANTINE
    return StockRow(
        sku=sku,
        location=location,
        part=part_of(line),
        available=available if state is State.AVAILABLE else on_hand,
        state=state,
        on_hand=on_hand,
        allocated=units(line.allocated, "Allocated"),
        on_order=units(line.on_order, "OnOrder"),
    )


def joined(pages: Sequence[StockPage]) -> StockPage:
    """Pages of one filtered walk as one. `received` counts distinct rows, and falls short of `total` when the total
    changed between the pages, or when the rows that matter are on several: what shifted or was moved from one to the
    other meanwhile never looks complete.
    """
    rows = tuple(row for page in pages for row in page.rows)
    faults = tuple(fault for page in pages for fault in page.faults)
    unreadable = tuple(key for page in pages for key in page.unreadable)
    ignored = tuple(key for page in pages for key in page.ignored)
    distinct: set[object] = {(row.sku, row.location, row.part) for row in rows}
    distinct |= {*unreadable, *ignored}
    received = len(distinct) + len(faults) - len(unreadable)
    total = max(page.total for page in pages)
    if any(page.total != total for page in pages) or sum(bool(page.rows) for page in pages) > 1:
        received = min(received, total - 1)
    return StockPage(
        rows=rows, received=received, total=total, page=1, faults=faults, unreadable=unreadable, ignored=ignored
    )


# --- Transfers -------------------------------------------------------------------------------------------------------


def transfers_changed(rows: Sequence[wire.TransferRow], mark: str, now: datetime) -> tuple[list[str], str]:
    """Ids of transfers that changed since `mark`, and the new mark: the newest change seen with the rows near it.

    The first mark ("") only remembers. The list has no change filter, so it is compared row by row; a draft moves no
    stock, but one that was not a draft before does (undo). No mark lies after `now`: a change time of the far future
    would make every later change an old one.
    """
    before: dict[str, Any] = json.loads(mark) if mark else {"until": "", "recent": {}}
    recent: dict[str, str] = before["recent"]
    until = min(_instant(before["until"]), now)
    newest = min(max([until, *(_instant(row.last_modified_on) for row in rows)]), now)
    changed: list[str] = []
    keep: dict[str, str] = {}
    for row in rows:
        task, at = guid(row.task_id), _instant(row.last_modified_on)
        print_ = f"{row.status} {row.last_modified_on}"
        if at > newest - TRANSFER_OVERLAP or not row.last_modified_on:
            keep[task] = print_
        fresh = at > until - TRANSFER_OVERLAP or not row.last_modified_on
        still_draft = row.status == "DRAFT" and recent.get(task, "").startswith("DRAFT ")
        if mark and fresh and recent.get(task) != print_ and not still_draft:
            changed.append(task)
    return changed, json.dumps({"until": newest.isoformat(), "recent": keep}, sort_keys=True)


def _instant(text: str | None) -> datetime:
    """A change time of the vendor: UTC, with or without Z and with any number of digits."""
    if not text:
        return datetime.min.replace(tzinfo=UTC) + TRANSFER_OVERLAP
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


# --- Catalogue -------------------------------------------------------------------------------------------------------


def catalogue_item(raw: msgspec.Raw) -> CatalogueItem:
    """A product. A kit whose parts cannot be told in whole units carries a fault and no recipe."""
    try:
        product = wire.decode(raw, wire.Product)
    except wire.Garbled as error:
        return CatalogueItem(
            sku="", name="", sellable=False, service=False, kit=False, recipe=(), fault=f"not understood: {error}"
        )
    kit = bool(product.bill_of_material and product.auto_assembly)
    recipe: tuple[tuple[str, int], ...] = ()
    fault = "" if product.sku else "no SKU"
    if kit:
        try:
            recipe = _recipe(product)
        except (ValueError, ArithmeticError) as error:
            fault = fault or str(error) or type(error).__name__
    active = (product.status or "").upper() == "ACTIVE" and product.sellable is not False
    return CatalogueItem(
        sku=product.sku or "",
        name=product.name or "",
        sellable=active,
        service=(product.type or "").upper() == "SERVICE",
        kit=kit,
        recipe=recipe,
        fault=fault,
    )


def _recipe(product: wire.Product) -> tuple[tuple[str, int], ...]:
    """Component need for one unit: Quantity / QuantityToProduce (blueprint, product). Raises ValueError."""
    parts: dict[str, int] = {}
    makes = product.quantity_to_produce if product.quantity_to_produce is not None else Decimal(1)
    if not makes.is_finite() or makes <= 0:
        raise ValueError(f"QuantityToProduce is {makes}")
    for component in product.bill_of_materials_products or ():
        sku = component.product_code
        if not sku or sku == product.sku:
            raise ValueError("a component without a SKU" if not sku else "it is its own component")
        if component.wastage_percent or component.wastage_quantity:
            raise ValueError(f"component {sku} has wastage, so whole units cannot be told")
        need = (component.quantity or Decimal(0)) / makes
        if not need.is_finite() or need <= 0 or need > UNITS_MAX or need != need.to_integral_value():
            raise ValueError(f"component {sku}: {component.quantity} for {makes} is not a whole number for one")
        parts[sku] = parts.get(sku, 0) + int(need)
    if not parts:
        # Real assemblies whose bill is kept elsewhere come with an empty one (observed): not "no components".
        raise ValueError("an assembly with an empty bill of material")
    return tuple(sorted(parts.items()))


def tax_rule(row: wire.TaxRuleRow) -> TaxRule:
    """A tax rule; one that is not for sales counts as inactive. Raises ValueError without a percentage."""
    if row.tax_percent is None:
        raise ValueError(f"tax rule {row.name} has no percentage")
    return TaxRule(
        name=row.name or "",
        percent=row.tax_percent,
        included=bool(row.tax_inclusive),
        active=row.is_active is not False and row.is_tax_for_sale is not False,
    )


# --- Sales -----------------------------------------------------------------------------------------------------------


def status_of(order_status: str | None, sale_status: str | None) -> str:
    """draft | authorised | voided | other. Order status and sale status are independent; a void on either counts."""
    order, sale = word(order_status), word(sale_status)
    if "VOIDED" in (order, sale):
        return "voided"
    if not order and sale == "DRAFT":
        return "draft"
    return _ORDER_STATUS.get(order, "other")


def location_names(rows: Iterable[wire.LocationRow], places: Places) -> dict[str, str]:
    """Location id to our name, or the vendor's where it is not ours; a bin's id stands for the location it is in."""
    by_id = {guid(row.id): row for row in rows}
    whole = {key: by_id.get(guid(row.parent_id), row).name or "" for key, row in by_id.items()}
    return {key: places.ours(name) or name for key, name in whole.items()}


def sale_row(row: wire.SaleListRow, locations: Mapping[str, str]) -> SaleRow:
    """A row of the list; `shipped` and `picked` unless known not to be, so that it is looked at.

    `locations` are names by location id, as the list has no names (blueprint, saleList).
    """
    status = status_of(row.order_status, row.status)
    progress = (
        row.combined_picking_status, row.combined_packing_status, row.combined_shipping_status,
        row.combined_invoice_status, row.combined_payment_status, row.credit_note_status,
    )  # fmt: skip
    return SaleRow(
        sale_id=guid(row.sale_id),
        number=row.order_number or "",
        ref=row.external_id or "",
        status=status,
        updated=row.updated or "",
        shipped=word(row.combined_shipping_status) not in _NOT_SHIPPED,
        picked=word(row.combined_picking_status) not in _NOT_PICKED,
        picked_whole=word(row.combined_picking_status) == "PICKED",
        location=locations.get(guid(row.order_location_id), ""),
        reference=row.customer_reference or "",
        progress="|".join(map(word, progress)) if status == "authorised" else "",
    )


def ordered(document: wire.OrderDocument, draft: SaleDraft) -> Sale:
    """The answer to lines put on a sale: what is set aside, and the totals as the vendor has them."""
    status = status_of(document.status, None)
    digits = digits_of(draft.currency)
    lines, faults = _allocations(document, status)
    return Sale(
        sale_id=guid(document.sale_id),
        number=document.sale_order_number or "",
        ref=draft.ref,
        status=status,
        location=draft.location,
        lines=lines,
        totals=_totals(document, digits),
        shipments=(),
        picked=False,
        updated="",
        raw_status=document.status or "",
        digits=digits,
        faults=faults,
    )


def sale(document: wire.SaleDocument, places: Places) -> Sale:
    """A whole sale. A location that is not ours keeps the vendor's name; voided fulfilments are not looked at."""
    order = document.order or wire.OrderDocument()
    status = status_of(order.status, document.status)
    digits = digits_of(document.customer_currency or "")
    lines, faults = _allocations(order, status)
    shipments, more = shipments_of(document.fulfilments or ())
    returns, torn = returns_of(document.credit_notes or (), places.place)
    remote = document.location or ""
    picks = [f.pick for f in document.fulfilments or () if f.pick and word(f.fulfilment_status) != "VOIDED"]
    return Sale(
        sale_id=guid(document.id),
        number=order.sale_order_number or "",
        ref=document.external_id or "",
        status=status,
        location=places.ours(remote) or remote,
        lines=lines,
        totals=_totals(order, digits),
        shipments=shipments,
        picked=word(document.combined_picking_status) not in _NOT_PICKED
        or any(word(pick.status) == "AUTHORISED" for pick in picks),
        updated=document.last_modified_on or "",
        raw_status=f"{document.status or ''}/{order.status or ''}",
        digits=digits,
        faults=(*faults, *more, *torn),
        returns=returns,
    )


def _allocations(order: wire.OrderDocument, status: str) -> tuple[tuple[Allocation, ...], tuple[str, ...]]:
    """Units by line. What is not certainly set aside is on backorder: an unread BackorderQuantity is all of it."""
    lines: list[Allocation] = []
    faults: list[str] = []
    for line in order.lines or ():
        sku, asked = line.sku or "", 0
        try:
            asked = units(line.quantity, "Quantity")
            short = units(line.backorder_quantity, "BackorderQuantity") if status == "authorised" else asked
            if not sku or not 0 <= short <= asked:
                raise ValueError(f"{short} of {asked} on backorder" if sku else "no SKU")
        except ValueError as error:
            faults.append(f"order line {sku}: {error}")
            asked = short = max(asked, 0)
        lines.append(Allocation(sku=sku, quantity=asked, backorder=short))
    return tuple(lines), tuple(faults)


def _totals(order: wire.OrderDocument, digits: int) -> SaleTotals | None:
    """Totals come with 4 decimals; ties go up. None when one is missing: a torn answer proves nothing."""
    if order.total_before_tax is None or order.tax is None or order.total is None:
        return None
    return SaleTotals(
        net=to_minor(order.total_before_tax, digits),
        tax=to_minor(order.tax, digits),
        gross=to_minor(order.total, digits),
    )
