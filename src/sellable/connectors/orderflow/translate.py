"""OrderFlow's documents into our words, purely. One rule: what is not understood is a fault, never a zero or a guess.

Counts become ours only when they are whole. Times carry no zone: the settings say the server's. States are the tenant's
words, so they are mapped by a table and an unknown one proves nothing. SKUs and references are kept byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from sellable.config.settings import Location
from sellable.connectors.orderflow import wire
from sellable.connectors.orderflow.wire import UNITS_MAX, Garbled, Node, count, optional
from sellable.connectors.port import (
    Allocation,
    Despatch,
    Despatches,
    Imported,
    InventoryPage,
    InventoryRow,
    ReturnRow,
    Returns,
    Sale,
    Stage,
)
from sellable.domain.orders import Parcel, Shipment

NAME = "orderflow"

STAGES: Mapping[str, Stage] = {
    "created": "waiting",
    "validated": "waiting",
    "ready": "waiting",
    "reset": "waiting",
    "out_of_stock": "waiting",
    "released": "allocated",
    "allocated": "allocated",
    "move_pending": "allocated",
    "pickable": "allocated",
    "packable": "picking",
    "picking": "picking",
    "picked": "picking",
    "packed": "packed",
    "despatched": "despatched",
    "completed": "despatched",
    "cancelled": "cancelled",
}
"""The usual states. Lines that are allocated, move pending, pickable or picked are what the vendor's own allocation
counts as taken (Advanced Concepts, "Allocation and Assignment"); the states of shipments are those of its chapter
"Shipments"; the names after packed are the tenant's and a guess."""

_ORDER: tuple[Stage, ...] = ("waiting", "unknown", "allocated", "picking", "packed", "despatched")
"""From the least advanced on; a state nobody mapped proves no more than waiting."""
_TAKEN = frozenset({"allocated", "picking", "packed", "despatched"})
_PICKED = frozenset({"picking", "packed", "despatched"})
_LATE = frozenset({"packed", "despatched"})
_YES, _NO = frozenset({"true", "yes", "y", "1"}), frozenset({"false", "no", "n", "0"})


class Sites:
    """Which of our locations a site of OrderFlow is; from the settings."""

    def __init__(self, locations: Iterable[Location]) -> None:
        mine = [location for location in locations if location.keeper == NAME]
        self._ours = {location.remote: location.name for location in mine}
        self._remote = {location.name: location.remote for location in mine}

    def ours(self, site: str | None) -> str | None:
        """Our name of a site, None when it is not ours; a row that names none is at the only one there is."""
        if not site:
            return next(iter(self._remote)) if len(self._remote) == 1 else None
        return self._ours.get(site)

    def remote(self, name: str) -> str:
        """The vendor's name of our location. Raises KeyError when it is not one of this master's."""
        return self._remote[name]


def stage_of(state: str, states: Mapping[str, Stage]) -> Stage:
    """The stage of a state, by the tenant's table before the usual one; case and blanks do not matter."""
    word, mine = _word(state), {_word(name): stage for name, stage in states.items()}
    return mine.get(word) or STAGES.get(word) or "unknown"


def _word(state: str) -> str:
    return "_".join(state.lower().replace("-", " ").replace("_", " ").split())


def instant(text: str, zone: tzinfo) -> datetime:
    """A time of the vendor as UTC: `YYYY-MM-DD HH:MM:SS` on its own clock, or with an offset. Raises Garbled.

    The hour that a clock repeats in autumn is taken for its first time round.
    """
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Garbled(f"{text[:40]!r} is no time") from None


def clock_time(at: datetime, zone: tzinfo) -> str:
    """An instant as the vendor writes it. Raises ValueError for one without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {at!r}")
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def window(since: datetime, until: datetime, zone: tzinfo) -> tuple[str, str]:
    """A window as the vendor writes it. One that ends in an hour that its clock shows twice is wider by that hour, so
    that it holds the instants meant whichever of the two the vendor reads.
    """
    hour = timedelta(hours=1)
    while _twofold(since, zone):
        since -= hour
    while _twofold(until, zone):
        until += hour
    return clock_time(since, zone), clock_time(until, zone)


def _twofold(at: datetime, zone: tzinfo) -> bool:
    local = at.astimezone(zone)
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


# --- Inventory -------------------------------------------------------------------------------------------------------


def inventory(root: Node, *, sites: Sites, asked: Sequence[str] | None, location: str | None) -> InventoryPage:
    """A reading of inventory. Rows of other SKUs or places than asked for are ignored, as a filter may be too.

    A count below zero is trouble; only `available` may be, is said and is never clipped. Raises Garbled for another
    document.
    """
    products = wire.rooted(root, "inventory").all("product")
    wanted = None if asked is None else frozenset(asked)
    rows: list[InventoryRow] = []
    faults: list[str] = []
    warnings: list[str] = []
    unreadable: list[tuple[str, str]] = []
    ignored: list[tuple[str, str]] = []
    for number, product in enumerate(products, start=1):
        sku, site = product.get("externalReference") or "", product.get("site") or ""
        ours = sites.ours(site) if site or location is None else location
        if not sku:
            faults.append(f"product {number}: no externalReference")
        elif not site and ours is None:
            faults.append(f"{sku}: no site, and there are several")
            unreadable.append((sku, ""))
        elif ours is None or location not in (None, ours) or (wanted is not None and sku not in wanted):
            ignored.append((sku, site))
        else:
            try:
                row = _inventory_row(product, sku, ours)
            except Garbled as error:
                faults.append(f"{sku} at {ours}: {error}")
                unreadable.append((sku, ours))
                continue
            rows.append(row)
            warnings += _doubts(row)
    answered = {row.sku for row in rows} | {sku for sku, _ in unreadable}
    return InventoryPage(
        rows=tuple(rows),
        received=len(products),
        absent=tuple(sku for sku in dict.fromkeys(asked or ()) if sku not in answered),
        faults=tuple(faults),
        unreadable=tuple(unreadable),
        ignored=tuple(ignored),
        warnings=tuple(warnings),
    )


def _inventory_row(product: Node, sku: str, location: str) -> InventoryRow:
    return InventoryRow(
        sku=sku,
        location=location,
        total=count(product, "total"),
        allocated=count(product, "allocated"),
        available=count(product, "available", least=-UNITS_MAX),
        # One client of the vendor declares it true or false: then some are frozen, and nobody says how many.
        frozen=None if (product.get("frozen") or "").lower() == "true" else optional(product, "frozen"),
        on_order=optional(product, "onOrder"),
        inspection=optional(product, "inspection"),
        damaged=optional(product, "damaged"),
        quarantined=optional(product, "quarantined"),
        stock_change=optional_id(product, "lastStockChangeId"),
        requirement_change=optional_id(product, "lastLineRequirementChangeId"),
        sequence=optional_id(product, "sequenceId"),
    )


def optional_id(node: Node, name: str) -> int | None:
    """A number that only orders things; None when it is none, as nothing hangs on it."""
    text = node.get(name) or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _doubts(row: InventoryRow) -> list[str]:
    """What does not add up. The vendor's own formula is not published, so it is said and not mended."""
    elsewhere = row.allocated + sum(filter(None, (row.frozen, row.inspection, row.damaged, row.quarantined)))
    found = []
    if row.available < 0:
        found.append(f"{row.sku} at {row.location}: available is {row.available}")
    if row.available > max(row.total - elsewhere, 0):
        found.append(
            f"{row.sku} at {row.location}: {row.available} available of {row.total}, with {elsewhere} elsewhere"
        )
    return found


# --- Orders ----------------------------------------------------------------------------------------------------------


def order(root: Node, *, ref: str, sites: Sites, states: Mapping[str, Stage]) -> Sale:
    """An order's detail. Raises Garbled for another document, or another order's."""
    node = wire.rooted(root, "order")
    found = node.get("externalReference") or ""
    if found != ref:
        raise Garbled(f"asked for order {ref}, got {found[:200] or 'one without a reference'}")
    state = node.get("state") or ""
    stage = stage_of(state, states)
    faults = [f"order {ref}: state {state[:80]!r} is not mapped"] if stage == "unknown" else []
    shipments = node.all("shipments", "shipment")
    shipped = [stage_of(each.get("state") or "", states) for each in shipments]
    lines, more = _lines(node, shipments, states)
    # An order is as far as its least advanced live line; where lines tell nothing, as far as it says itself.
    live: list[Stage] = [each.stage or stage for each in lines if each.stage != "cancelled"] or [stage]
    least: Stage = min(live, key=_rank)
    reached = {*live, *shipped, stage}
    site = next((each.get("site") or "" for each in shipments if each.get("site")), "")
    return Sale(
        sale_id=ref,
        number=ref,
        ref=ref,
        status={"cancelled": "voided", "unknown": "other"}.get(stage, "authorised"),
        location=(sites.ours(site) or site) if site else "",
        lines=lines,
        totals=None,
        shipments=(),
        picked=not _PICKED.isdisjoint(reached),
        updated="",
        raw_status=state,
        faults=(*faults, *more),
        stage="cancelled" if stage == "cancelled" else least,
        late=not _LATE.isdisjoint(reached),
    )


def _rank(stage: Stage) -> int:
    return _ORDER.index(stage) if stage in _ORDER else 0


def _lines(
    node: Node, shipments: Sequence[Node], states: Mapping[str, Stage]
) -> tuple[tuple[Allocation, ...], tuple[str, ...]]:
    """The order's own lines, or those of its shipments where it has none. Only a line's state proves units taken."""
    holders = node.all("orderLines") or [box for each in shipments for box in each.all("orderLines")]
    lines: list[Allocation] = []
    faults: list[str] = []
    for line in (each for holder in holders for each in holder.all("orderLine")):
        sku, state = line.get("product") or line.get("productReference") or "", line.get("state") or ""
        stage = stage_of(state, states) if state else None
        try:
            quantity = count(line, "quantity")
        except Garbled as error:
            faults.append(f"order line {sku}: {error}")
            continue
        if not sku:
            faults.append("order line without a product")
        if stage == "unknown":
            faults.append(f"order line {sku}: state {state[:80]!r} is not mapped")
        short = 0 if stage in _TAKEN else quantity
        lines.append(Allocation(sku=sku, quantity=quantity, backorder=short, stage=stage, state=state))
    return tuple(lines), tuple(faults)


_LISTS = (
    ("importSuccesses", "success"),
    ("importFailures", "failure"),
    ("importDuplicates", "duplicate"),
)
_OUTCOMES = frozenset(outcome for _, outcome in _LISTS)


def imported(root: Node, refs: Sequence[str], *, type_: str) -> list[Imported]:
    """What became of each document, in the order of `refs`. Raises Garbled for another document.

    An outcome is told by the list an entry stands in, or by a `status` of its own (seen with one client). A reference
    that is not named, or in two ways, is unknown.
    """
    found: dict[str, dict[str, Imported]] = {}
    for entry in _entries(wire.rooted(root, "importResult"), type_):
        found.setdefault(entry.ref, {})[entry.outcome] = entry
    return [_single(ref, list(found.get(ref, {}).values())) for ref in refs]


def _entries(root: Node, type_: str) -> Iterable[Imported]:
    for holder in [root, *root.children]:
        listed = next((outcome for tag, outcome in _LISTS if tag == holder.tag), None)
        for entry in holder.all("import"):
            said = (entry.get("status") or "").lower()
            outcome = listed or (said if said in _OUTCOMES else None)
            if entry.get("type") in (None, "", type_) and outcome is not None:
                yield Imported(
                    ref=entry.get("externalReference") or "",
                    outcome=outcome,  # type: ignore[arg-type]
                    message=_text(entry, "failureMessage", "duplicateMessage", "message"),
                    detail=_text(entry, "failureDetail", "duplicateDetail", "detail"),
                )


def _single(ref: str, entries: Sequence[Imported]) -> Imported:
    if len(entries) == 1:
        return entries[0]
    told = " and ".join(sorted(entry.outcome for entry in entries))
    return Imported(ref=ref, outcome="unknown", message=f"told as {told}" if told else "not in the answer")


def _text(node: Node, *names: str) -> str:
    return next((text for name in names if (text := node.get(name))), "")


# --- Despatches and returns ------------------------------------------------------------------------------------------


def despatches(root: Node, *, since: datetime, until: datetime, zone: tzinfo) -> Despatches:
    """Shipments that left. One that cannot be understood is named and left out. Raises Garbled for another document."""
    nodes = wire.rooted(root, "shipments").all("shipment")
    found: list[Despatch] = []
    faults: list[str] = []
    unreadable: list[str] = []
    for number, node in enumerate(nodes, start=1):
        reference = node.get("reference") or node.get("externalReference") or ""
        try:
            found.append(_despatch(node, reference, zone))
        except Garbled as error:
            faults.append(f"shipment {reference or number}: {error}")
            if reference:
                unreadable.append(reference)
    return Despatches(
        despatches=tuple(found),
        received=len(nodes),
        since=since,
        until=until,
        faults=tuple(faults),
        unreadable=tuple(unreadable),
    )


def _despatch(node: Node, reference: str, zone: tzinfo) -> Despatch:
    """Raises Garbled where nothing tells which goods left, or of which order."""
    order_ref = node.get("orderReference") or ""
    if not reference or not order_ref:
        raise Garbled("no reference" if not reference else "no orderReference")
    completed = _when(node, "completed", zone)
    items = _items(node)
    if not items:
        raise Garbled("it names no goods")
    tracking = node.get("despatchReference") or ""
    tracking_url, carrier = node.get("trackingUrl") or "", node.get("carrier") or node.get("courier") or ""
    packages = node.all("packages", "package")
    references = [each.get("despatchReference") or tracking for each in packages] or [tracking]
    day = completed.astimezone(zone).date().isoformat() if completed else ""
    parcels = tuple(
        Parcel(
            parcel_id=f"{reference}-{number}",
            carrier=carrier,
            tracking=each,
            # The one address is that of the shipment's own number.
            tracking_url=tracking_url if each == tracking else "",
            shipped_on=day,
            items=items if len(references) == 1 else (),
        )
        for number, each in enumerate(references, start=1)
    )
    return Despatch(
        order_ref=order_ref,
        original_ref=node.get("originatingOrderReference") or "",
        shipment=Shipment(shipment_id=reference, items=items, parcels=parcels),
        state=node.get("state") or "",
        carrier=node.get("carrier") or "",
        courier=node.get("courier") or "",
        service=node.get("service") or node.get("courierService") or "",
        tracking=tracking,
        tracking_url=tracking_url,
        completed=completed,
    )


def _items(node: Node) -> tuple[tuple[str, int], ...]:
    """Units by SKU, in order of first sight, without zeros."""
    sums: dict[str, int] = {}
    for line in node.all("orderLines", "orderLine"):
        sku = line.get("productReference") or line.get("product") or ""
        if not sku:
            raise Garbled("a line without a product")
        sums[sku] = sums.get(sku, 0) + count(line, "quantity")
    return tuple((sku, units) for sku, units in sums.items() if units)


def returns(root: Node, *, since: datetime, until: datetime, zone: tzinfo) -> Returns:
    """Lines of returns, whatever the report calls its rows. Raises Garbled where it is evidently no such report."""
    if not root.children and root.text.strip():
        raise Garbled(f"<{root.tag[:40]}> holds a text and no rows")
    rows: list[ReturnRow] = []
    faults: list[str] = []
    for number, node in enumerate(root.children, start=1):
        try:
            rows.append(_return_row(node, zone))
        except Garbled as error:
            faults.append(f"row {number}: {error}")
    if faults and not rows and all(node.get("product") is None for node in root.children):
        raise Garbled(f"<{root.tag[:40]}> is no report of returns")
    return Returns(rows=tuple(rows), received=len(root.children), since=since, until=until, faults=tuple(faults))


def _return_row(node: Node, zone: tzinfo) -> ReturnRow:
    sku = node.get("product") or ""
    if not sku:
        raise Garbled("no product")
    authorised = (node.get("authorised") or "").lower()
    return ReturnRow(
        order_ref=node.get("orderReference") or "",
        sku=sku,
        quantity=count(node, "quantity"),
        returned_at=_when(node, "returnedDate", zone),
        completed_at=_when(node, "completedDate", zone),
        authorised=True if authorised in _YES else False if authorised in _NO else None,
        authorisation=node.get("authorisation") or "",
        type=node.get("type") or "",
        note=node.get("note") or "",
        reason=node.get("lineReason") or "",
        condition=node.get("lineCondition") or "",
        line_type=node.get("lineType") or "",
        line_note=node.get("lineNote") or "",
    )


def _when(node: Node, name: str, zone: tzinfo) -> datetime | None:
    text = node.get(name)
    return instant(text, zone) if text else None
