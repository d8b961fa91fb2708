"""Reading a warehouse that answers with all numbers of a place at once, and with what left it by the time of leaving.

One answer is one moment of one place. Where there are several, all but the last are read a second time: what was moved
from one to another meanwhile shows less there than before, and such SKUs prove nothing. One rule: a SKU that is absent
is unknown and not nothing, for products without an inventory record are not told; its last number stays, with a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import msgspec

from sellable.book import book
from sellable.connectors.port import (
    NOT_THERE,
    Despatches,
    DespatchSource,
    InventoryPage,
    InventoryRow,
    InventorySource,
    OrderImport,
    Sale,
    StockPage,
)
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.feeds import FeedContext, FeedResult
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import Arrival, InboxRow
from sellable.runtime.operations import next_seq
from sellable.runtime.wanted import granted, want
from sellable.stock import catalogue, observe
from sellable.sync.masters import ROUTINE, URGENT, Master, arrival_of, believe, rows_of, sql

WINDOW_MAX = timedelta(days=1)
"""Longer windows are read in pieces, so that one answer never holds months."""
UNSEEN_MAX = timedelta(hours=1)
"""An order that nobody has seen for so long since it was planned is not there."""
MISSING = "stock_missing"
PIECE = 200
"""Most despatches of an answer that are taken in at once."""


ClearCases = Callable[[Tx, Sequence[str], str, datetime], None]


class Reading(Protocol):
    """One call for a window of what a warehouse did."""

    async def __call__(self, since: datetime, until: datetime, *, lane: str) -> Any:
        """What it did, as a struct."""


class Warehouse(InventorySource, DespatchSource, OrderImport, Protocol):
    """What is asked of a warehouse here."""


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A reading of all places: an answer each, the causal numbers around it, and SKUs that were torn between them."""

    pages: tuple[InventoryPage, ...]
    seqs: tuple[tuple[int, int], ...]
    torn: tuple[str, ...] = ()

    @property
    def rows(self) -> list[InventoryRow]:
        """All rows."""
        return [row for page in self.pages for row in page.rows]

    @property
    def faults(self) -> list[str]:
        """Why rows could not be read."""
        return [fault for page in self.pages for fault in page.faults]

    @property
    def unreadable(self) -> set[str]:
        """SKUs of rows that could not be read."""
        return {sku for page in self.pages for sku, _ in page.unreadable}


async def read_whole(
    store: Store, port: InventorySource, skus: Sequence[str] | None, places: Sequence[str]
) -> Whole:  # fmt: skip
    """These SKUs, or all, at all places: a call for each, and a second one for all but the last."""
    pages, seqs = [], []
    for place in places:
        a0 = await store.write(next_seq)
        page = await port.inventory(skus, site=place, lane="stock")
        seqs.append((a0, await store.write(next_seq)))
        pages.append(page)
    torn: set[str] = set()
    for place, first in zip(places[:-1], pages, strict=False):
        again = await port.inventory(skus, site=place, lane="stock")
        before, now = _numbers(first), _numbers(again)
        torn |= {sku for sku in before.keys() | now.keys() if before.get(sku) != now.get(sku)}
    return Whole(pages=tuple(pages), seqs=tuple(seqs), torn=tuple(sorted(torn)))


def _numbers(page: InventoryPage) -> dict[str, tuple[int, int]]:
    return {row.sku: (row.total, row.available) for row in page.rows}


class InventoryFeed:
    """Reads all the inventory of all places."""

    def __init__(self, store: Store, ids: Ids, port: InventorySource, master: Master) -> None:
        self._store = store
        self._ids = ids
        self._port = port
        self._master = master

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One whole reading."""
        found = await read_whole(self._store, self._port, None, self._master.locations)
        sweep = self._ids.new("sw")
        meta = {"master": self._master.name, "sweep": sweep}
        arrival = arrival_of(self._master.name, "inventory.page", sweep, "all", found, meta)
        return FeedResult(arrivals=[arrival], cursor=cursor or {}, again=False)


class WindowFeed:
    """Reads what left, or what came back, window after window; each begins some way back in the one before it."""

    def __init__(
        self, store: Store, clock: Clock, read: Reading, what: str, master: str, start: datetime, overlap: timedelta,
        pieces: Callable[[Any], Iterable[Any]] = lambda page: [page],
    ) -> None:  # fmt: skip
        """`what` is despatch or return. An answer is taken in by `pieces`, each for itself."""
        self._store = store
        self._clock = clock
        self._read = read
        self._what = what
        self._master = master
        self._start = start
        self._overlap = overlap
        self._pieces = pieces

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One window, up to now or a day long."""
        mark = datetime.fromisoformat(cursor["mark"]) if cursor else self._start
        now = self._clock.now()
        until = min(now, mark + WINDOW_MAX)
        a0 = await self._store.write(next_seq)
        # Their clock may run ahead of ours: the newest window reaches beyond now, its mark does not.
        page = await self._read(mark - self._overlap, until + self._overlap, lane="reads")
        a1 = await self._store.write(next_seq)
        meta = {"target": self._master, "a0": a0, "a1": a1}
        arrivals = [
            arrival_of(self._master, f"{self._what}.page", f"{self._what}:{a0}", f"page {number}", piece, meta)
            for number, piece in enumerate(self._pieces(page), 1)
        ]
        return FeedResult(arrivals=arrivals, cursor={"mark": until.isoformat()}, again=until < now)


def by_so_many(page: Despatches) -> Iterator[Despatches]:
    """Despatches in pieces: no transaction keeps thousands of orders, and one that cannot be taken in stops few."""
    left = page.despatches
    for start in range(0, max(1, len(left)), PIECE):
        faults = (page.faults, page.unreadable) if start == 0 else ((), ())
        yield msgspec.structs.replace(
            page, despatches=left[start : start + PIECE], faults=faults[0], unreadable=faults[1]
        )


class Fetches:
    """Reads SKUs and single orders of the warehouse because something hinted at them."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, port: Warehouse, master: Master) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._port = port
        self._master = master

    async def skus(self, keys: Sequence[str]) -> list[Arrival]:
        """These SKUs at all places, in one call; each that is shown is a set of its own, absent ones are told."""
        read = await read_whole(self._store, self._port, list(keys), self._master.locations)
        a0, a1 = read.seqs[0][0], read.seqs[-1][1]
        shown = {row.sku for row in read.rows} - read.unreadable
        found = []
        for sku in sorted(shown):
            sweep = self._ids.new("sw")
            meta = {"master": self._master.name, "sweep": sweep, "a0": a0, "a1": a1, "scope": sku}
            page = stock_page([row for row in read.rows if row.sku == sku])
            if sku in read.torn:
                page = msgspec.structs.replace(page, total=page.total + 1)  # No set; the next turn reads it again.
            found.append(arrival_of(self._master.name, "stock.sku", sweep, sku, page, meta))
        if rest := sorted({*keys} - shown):
            meta = {"master": self._master.name, "a0": a0, "unreadable": sorted(read.unreadable)}
            name = self._ids.new("absent")
            found.append(arrival_of(self._master.name, "stock.absent", name, "skus", rest, meta))
        return found

    async def sales(self, keys: Sequence[str]) -> list[Arrival]:
        """Each order as a whole; one that was there and is there no more reads as voided."""
        found = []
        for ref in keys:
            a0 = await self._store.write(next_seq)
            sale = await self._port.order_detail(ref, lane="reads") or await self._store.read(self._gone, ref)
            a1 = await self._store.write(next_seq)
            if sale is None:
                continue  # It was never seen, and its import is young: it may only not be shown yet.
            meta = {"a0": a0, "a1": a1}
            found.append(arrival_of(self._master.name, "sale.read", f"sale:{ref}", str(a0), sale, meta))
        return found

    def _gone(self, tx: ReadTx, ref: str) -> Sale | None:
        part = tx.one(book.sql.part_of_sale, sale_id=ref)
        if part is None or not (part.verified_seq or self._clock.now() - part.at > UNSEEN_MAX):
            return None
        return Sale(
            sale_id=ref, number=ref, ref=ref, status="voided", location=part.location, lines=(), totals=None,
            shipments=(), picked=False, updated="", raw_status=NOT_THERE,
        )  # fmt: skip


class LookFeed:
    """Asks for orders of the warehouse to be read again: first those whose units nothing proves to be set aside, then
    those not looked at for longest, for people cancel there too."""

    def __init__(self, store: Store, target: str, most: int) -> None:
        self._store = store
        self._target = target
        self._most = most

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """So many wishes; no call."""
        rows = await self._store.ask(sql.sales_to_look_at, target=self._target, most=self._most)
        also = partial(_ask, self._target, [row.sale_id for row in rows])
        return FeedResult(arrivals=[], cursor=cursor or {}, again=False, also=also)


def _ask(target: str, sales: Sequence[str], tx: Tx, now: datetime) -> None:
    want(tx, target, "sale", sales, ROUTINE, now)


def stock_page(rows: Sequence[InventoryRow]) -> StockPage:
    """Inventory rows as rows of stock: the sellable number, and one for each state that is told."""
    found = tuple(stock for row in rows for stock in row.stock)
    return StockPage(rows=found, received=len(found), total=len(found), page=1)


# --- Handlers --------------------------------------------------------------------------------------------------------


def on_inventory(tx: Tx, row: InboxRow, now: datetime, *, master: Master, clear_cases: ClearCases) -> None:
    """A whole reading: lowers count at once, what it shows whole is believed, what it does not show stays unknown."""
    tx.run(sql.one_reader, master=master.name)
    read, sweep = msgspec.json.decode(row.body, type=Whole), row.meta["sweep"]
    known = sorted({each.sku for each in read.rows})
    catalogue.note(tx, known, now)
    observe.start(tx, sweep, master.name, "", now)
    for page, (a0, a1) in zip(read.pages, read.seqs, strict=True):
        observe.see_page(tx, sweep, rows_of(stock_page(page.rows)), a0=a0, a1=a1, now=now)
    _report(tx, read, row, master, now)
    closing = observe.close(tx, sweep, complete=True, cause="", locations=master.locations, now=now)
    if not closing.complete:
        return
    # A place that told a number and is silent now, of a SKU that another tells: that SKU is asked for by itself.
    unsure = {*(set(closing.suspects) & set(known)), *read.torn}
    want(tx, master.name, "sku", sorted(unsure), URGENT, now)
    gone = sorted(set(closing.suspects) - set(known) - read.unreadable)
    _report_missing(tx, gone, master, now)
    if not gone:
        clear_cases(tx, [MISSING], f"vendor:{master.name}", now)
    dropped = sorted({*closing.suspects, *unsure, *read.unreadable})
    observe.drop(tx, sweep, dropped)
    believe(tx, sweep, closing.a1, dropped, master, now)


def on_absent(tx: Tx, row: InboxRow, now: datetime, *, master: Master) -> None:
    """SKUs that were asked for and not answered: unknown, and somebody's to find out."""
    keys = msgspec.json.decode(row.body, type=list[str])
    granted(tx, master.name, "sku", keys, row.meta["a0"])
    _report_missing(tx, [sku for sku in keys if sku not in row.meta["unreadable"]], master, now)


def _report(tx: Tx, read: Whole, row: InboxRow, master: Master, now: datetime) -> None:
    if read.faults:
        master.open_case(
            tx, "stock_row_invalid", f"vendor:{master.name}", now, actual={"rows": read.faults[:20]},
            evidence=[f"inbox:{row.id}"],
        )  # fmt: skip


def _report_missing(tx: Tx, skus: Sequence[str], master: Master, now: datetime) -> None:
    if skus:
        actual = {"count": len(skus), "skus": list(skus[:20])}
        master.open_case(tx, MISSING, f"vendor:{master.name}", now, expected={"absent": 0}, actual=actual)
