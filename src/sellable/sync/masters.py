"""Reading a master: pages become observations, complete sets are proved before they may raise anything.

The walk of all pages ends with a look at transfers; SKUs they touched are read again one by one. Raises of SKUs with
open, contained order lines wait until a later walk of changed sales (or a reading of the sale) shows those units still
held. One rule: nothing is raised on the word of a set that could be torn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import EVERY_SKU, CataloguePage, SalePage, SaleRow, StockMaster, StockPage
from sellable.desk.opening import OpenCase
from sellable.domain.stock import Priority, State
from sellable.runtime.budgets import urgent
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.feeds import FeedContext, FeedResult
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import Arrival, InboxRow
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import queries
from sellable.runtime.schedule import Bell, beat, unless
from sellable.runtime.wanted import granted, want, wished
from sellable.stock import catalogue, demand, dirty, observe

sql = queries("sellable.sync")
SUSPECTS_SHARE = 100
SUSPECTS_FLOOR = 20
"""More than one key in a hundred (and more than twenty) absent from one complete set is our bug or theirs."""
REREAD_SECONDS = 30
STAMP_AHEAD_MAX = timedelta(days=2)
"""A vendor's clock may be wrong, but not by more."""
READ_ANEW_MAX = 2
READ_ANEW_SECONDS = 30.0
PROVE_SECONDS = 30.0
GATHER_SECONDS = 2.0
URGENT, SOON, ROUTINE, SPARE = 1, 2, 3, 5
RISERS_MAX, RISERS_OLDEST = 60, 10
"""Most wishes for single readings that wait at a time; so many go to those whose last proof is the longest ago."""
NEAR_ROWS = 600
"""Rows we expect of an answer for several SKUs: well under a page, for there may be more than we know."""


@dataclass(frozen=True, kw_only=True)
class Master:
    """A master as configured: `remotes` maps its own location names to ours. An entry that shows no more than
    `low_mark` is short of stock. `elsewhere` are our locations that other masters count: units that left are forgotten
    only when every reading contains them."""

    name: str
    remotes: Mapping[str, str]
    elsewhere: tuple[str, ...] = ()
    open_case: OpenCase
    low_mark: Callable[[], int] = lambda: 3
    last_report: dict[str, int] = field(default_factory=dict)

    @property
    def locations(self) -> list[str]:
        """Our names of its locations."""
        return sorted(self.remotes.values())


# --- Feeds: one call a turn, the cursor is where the walk stands -----------------------------------------------------


class StockFeed:
    """Walks availability of every configured location, page by page, then closes the set."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, port: StockMaster, master: Master) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._port = port
        self._master = master
        self._walk = master.locations

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One page, or after the last page the transfers and the closing."""
        at = cursor if cursor and cursor.get("sweep") else self._begin(cursor)
        if at["place"] < len(self._walk):
            return await self._page(at)
        touched, mark = await self._port.transfers_touched(at["transfers"], lane="stock")
        fault = at["fault"] or ("too many transfers to tell what they touched" if EVERY_SKU in touched else "")
        meta = {
            "master": self._master.name, "sweep": at["sweep"], "fault": fault, "moved": sorted(touched),
            "rows": at["rows"],
        }  # fmt: skip
        closing = arrival_of(self._master.name, "stock.close", at["sweep"], "close", {}, meta)
        return FeedResult(arrivals=[closing], cursor={"transfers": mark}, again=False)

    def _begin(self, cursor: dict[str, Any] | None) -> dict[str, Any]:
        transfers = (cursor or {}).get("transfers", "")
        sweep = self._ids.new("sw")
        return {
            "sweep": sweep,
            "place": 0,
            "page": 1,
            "received": 0,
            "rows": 0,
            "total": None,
            "again": 0,
            "fault": "",
            "transfers": transfers,
        }

    async def _page(self, at: dict[str, Any]) -> FeedResult:
        a0 = await self._store.write(next_seq)
        place = self._walk[at["place"]]
        page = await self._port.stock_page(place, at["page"], lane="stock")
        now = self._clock.time()
        began = now if at["page"] == 1 else at.get("began", now)
        a1 = await self._store.write(next_seq)
        again = at.get("again", 0)
        meta = {"master": self._master.name, "sweep": at["sweep"], "a0": a0, "a1": a1, "scope": ""}
        if again and at["page"] == 1:
            meta["anew"] = place
        name = f"{at['place']}:{at['page']}" + (f" again {again}" if again else "")
        arrival = arrival_of(self._master.name, "stock.page", at["sweep"], name, page, meta)
        following = _after(at, page, quick=now - began <= READ_ANEW_SECONDS)
        return FeedResult(arrivals=[arrival], cursor={**following, "began": began}, again=True)


def _after(at: dict[str, Any], page: StockPage, *, quick: bool = True) -> dict[str, Any]:
    """Where the walk stands after a page: the set is whole when rows equal the total seen on first and last page.

    In a busy shop rows come and go all the time: a location whose total moved is read anew, a few times, before the
    whole set is given up. Not when reading it takes long: then it would only move again.
    """
    received = at["received"] + page.received
    total = page.total if at["total"] is None else at["total"]
    rows = at.get("rows", 0) + len(page.rows)
    over = page.received == 0 or received >= page.total
    fault = ""
    if page.total != total:
        fault = f"total moved from {total} to {page.total} while reading"
    elif over and received != page.total:
        fault = f"{received} row(s) of {page.total}"
    at = {**at, "received": received, "rows": rows, "total": total, "page": at["page"] + 1}
    first = {"page": 1, "received": 0, "total": None}
    if fault and quick and at.get("again", 0) < READ_ANEW_MAX:
        return at | first | {"again": at.get("again", 0) + 1}
    at["fault"] = at["fault"] or fault
    if over:
        at |= first | {"place": at["place"] + 1, "again": 0}
    return at


class SalesFeed:
    """Walks the list of sales changed since the mark; the mark moves only when the walk is complete.

    A page goes before every reading of a single sale: it proves at once what would else take a call for each of them.
    """

    def __init__(self, store: Store, port: Any, master: Master, start: datetime) -> None:
        self._store = store
        self._port = port
        self._master = master
        self._start = start.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One page of changed sales."""
        at = dict(cursor or {})
        if not at.get("walk"):
            walk = await self._store.write(next_seq)
            at |= {"walk": walk, "page": 1, "received": 0, "since": at.get("mark") or self._start}
        with urgent(URGENT):
            page: SalePage = await self._port.sales_page(at["page"], updated_since=back(at["since"], 600), lane="reads")
        newest = newest_of(at.get("newest") or at["since"], (row.updated for row in page.rows), context.now)
        received = at["received"] + page.received
        last = page.received == 0 or received >= page.total
        meta = {"walk": at["walk"], "last": last}
        arrival = arrival_of(self._master.name, "sales.page", f"sales:{at['walk']}", str(at["page"]), page.rows, meta)
        if last:
            return FeedResult(arrivals=[arrival], cursor={"mark": newest}, again=False)
        cursor = {**at, "page": at["page"] + 1, "received": received, "newest": newest}
        return FeedResult(arrivals=[arrival], cursor=cursor, again=True)


class CatalogueFeed:
    """Walks the master's products: those changed since the last walk began, and everything at first and now and then.

    Only a whole walk shows what is not there any more.
    """

    def __init__(self, clock: Clock, port: StockMaster, master: Master, whole_every: timedelta) -> None:
        self._clock = clock
        self._port = port
        self._master = master
        self._whole_every = whole_every

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One page of products."""
        at = dict(cursor or {})
        if not at.get("page"):
            now = self._clock.now()
            whole = not at.get("whole") or now - datetime.fromisoformat(at["whole"]) >= self._whole_every
            at |= {"page": 1, "received": 0, "began": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "all": whole}
        since = None if at.get("all", not at.get("mark")) else back(at["mark"], 3600)
        page: CataloguePage = await self._port.catalogue_page(at["page"], since=since, lane="reads")
        arrival = arrival_of(self._master.name, "catalogue.page", f"cat:{at['began']}", str(at["page"]), page, {})
        received = at["received"] + page.received
        if page.received == 0 or received >= page.total:
            cursor = {"mark": at["began"], "whole": at["began"] if since is None else at.get("whole")}
            return FeedResult(arrivals=[arrival], cursor=cursor, again=False)
        return FeedResult(arrivals=[arrival], cursor={**at, "page": at["page"] + 1, "received": received}, again=True)


def back(stamp: str, seconds: int) -> str:
    """A change stamp moved back by an overlap: rows are committed late and clocks disagree."""
    at = datetime.fromisoformat(stamp.replace("Z", "+00:00")) - timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def newest_of(mark: str, stamps: Iterable[str], now: datetime) -> str:
    """The newest of a mark and the stamps of a page, from which the next walk goes on.

    What is no instant, or lies days ahead, does not count: from there on nothing would ever be found again.
    """
    bound = (now + STAMP_AHEAD_MAX).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return max([mark, *(stamp for stamp in stamps if stamp <= bound and _is_instant(stamp))])


def _is_instant(stamp: str) -> bool:
    try:
        datetime.fromisoformat(stamp)
    except ValueError:
        return False
    return stamp[:4] > "1000"


def arrival_of(source: str, kind: str, lane: str, name: str, body: Any, meta: dict[str, Any]) -> Arrival:
    """A reading as it goes into the inbox; `name` tells it from others of its lane."""
    return Arrival(
        source=source, message_id=f"{lane}:{name}", kind=kind, lane=lane, body=msgspec.json.encode(body), meta=meta
    )


# --- Fetchers: one thing that a hint named ---------------------------------------------------------------------------


class Fetches:
    """Reads SKUs and single sales of the master because something hinted at them.

    SKUs that begin alike are read in one answer where several are wished for. An answer is one moment: of every SKU it
    shows it proves all rows, which no walk of pages could tear.
    """

    def __init__(self, store: Store, ids: Ids, port: Any, master: Master) -> None:
        self._store = store
        self._ids = ids
        self._port = port
        self._master = master

    async def skus(self, keys: Sequence[str]) -> list[Arrival]:
        """All rows of each SKU: an exact, complete answer is a set of its own."""
        found = []
        for sku in keys:
            page, a0, a1 = await self._near(sku) or await self._read(self._port.stock_of, sku)
            sweep = self._ids.new("sw")
            meta = {"master": self._master.name, "sweep": sweep, "a0": a0, "a1": a1, "scope": sku}
            found.append(arrival_of(self._master.name, "stock.sku", sweep, sku, page, meta))
        return found

    async def _near(self, sku: str) -> tuple[StockPage, int, int] | None:
        """The SKU among its neighbours, if others are wished for and the answer is whole and shows it."""
        beginning = await self._store.read(_beginning, self._master.name, sku)
        if beginning is None:
            return None
        page, a0, a1 = await self._read(self._port.stock_like, beginning)
        whole = page.received == page.total and not page.faults
        return (page, a0, a1) if whole and any(row.sku == sku for row in page.rows) else None

    async def _read(self, ask: Callable[..., Awaitable[StockPage]], name: str) -> tuple[StockPage, int, int]:
        a0 = await self._store.write(next_seq)
        page = await ask(name, lane="stock")
        return page, a0, await self._store.write(next_seq)

    async def sales(self, keys: Sequence[str]) -> list[Arrival]:
        """Each sale as a whole."""
        found = []
        for sale_id in keys:
            a0 = await self._store.write(next_seq)
            sale = await self._port.read_sale(sale_id, lane="reads")
            a1 = await self._store.write(next_seq)
            found.append(
                arrival_of(self._master.name, "sale.read", f"sale:{sale_id}", str(a0), sale, {"a0": a0, "a1": a1})
            )
        return found


# --- Handlers: what arrived becomes facts ----------------------------------------------------------------------------


def on_page(tx: Tx, row: InboxRow, now: datetime, *, master: Master) -> None:
    """A page of a walk: lowers count at once, the rest waits for the set."""
    tx.run(sql.one_reader, master=master.name)
    page = msgspec.json.decode(row.body, type=StockPage)
    meta = row.meta
    if not tx.one(observe.sql.sweep_head, id=meta["sweep"]):
        observe.start(tx, meta["sweep"], meta["master"], meta["scope"], now)
    if "anew" in meta:
        observe.read_anew(tx, meta["sweep"], meta["anew"])
    observe.see_page(tx, meta["sweep"], rows_of(page), a0=meta["a0"], a1=meta["a1"], now=now)
    _report_faults(tx, page, row, master, now)


def on_sku(tx: Tx, row: InboxRow, now: datetime, *, master: Master) -> None:
    """All rows of one SKU, maybe of its neighbours too: a page and the closing of its set in one."""
    on_page(tx, row, now, master=master)
    page = msgspec.json.decode(row.body, type=StockPage)
    granted(tx, master.name, "sku", sorted({r.sku for r in page.rows}), row.meta["a0"])
    whole = page.received >= page.total and not page.faults
    _close(tx, row.meta["sweep"], "" if whole else "incomplete answer", [], master, now)


def on_close(tx: Tx, row: InboxRow, now: datetime, *, master: Master) -> None:
    """The walk is over: prove the set and believe what is proved."""
    tx.run(sql.one_reader, master=master.name)
    head = tx.one(observe.sql.sweep_head, id=row.meta["sweep"])
    taken, read = head.rows_seen if head else 0, row.meta.get("rows", 0)
    # A page that could not be understood is parked behind a case; the set without it proves nothing.
    fault = row.meta["fault"] or ("" if taken == read else f"{taken} row(s) taken of {read} read")
    _close(tx, row.meta["sweep"], fault, row.meta["moved"], master, now)


def on_sales(tx: Tx, row: InboxRow, now: datetime, *, master: Master) -> None:
    """Rows of the list of sales: whatever changed and matters is read whole; a complete walk may prove raises."""
    rows = msgspec.json.decode(row.body, type=tuple[SaleRow, ...])
    listed = {r.sale_id: r for r in rows}
    changed = tx.all(
        book.sql.sales_listed,
        sale_id=list(listed),
        updated=[r.updated for r in listed.values()],
        progress=[r.progress for r in listed.values()],
    )
    by_id = {sale_id.lower(): r for sale_id, r in listed.items()}
    worth = [p for p in changed if p.listed != p.sale_updated and worth_reading(by_id[p.sale_id.lower()], p)]
    # A parcel on its way to a customer goes before what only proves a raise.
    for priority, shipped in ((SOON, True), (ROUTINE, False)):
        keys = [p.sale_id for p in worth if by_id[p.sale_id.lower()].shipped is shipped]
        want(tx, master.name, "sale", keys, priority, now)
    holding = [r.sale_id for r in rows if r.status == "authorised" and r.picked_whole]
    tx.run(book.sql.sales_holding, sale_id=holding, seq=row.meta["walk"])
    strays = [r for r in rows if r.ref and r.status == "draft"]
    note_strays(tx, strays, now)
    if row.meta["last"]:
        tx.run(book.sql.sales_walked, target=master.name, seq=row.meta["walk"])
        prove(tx, master, now)


def worth_reading(row: SaleRow, part: Any) -> bool:
    """A changed row needs the whole sale when it says more than that we authorised it ourselves.

    `part` is as it was before this row. The list shows neither lines nor that a sale was undone and authorised anew: a
    change that none of its words explains, of a sale it showed authorised before, is taken for such a one.
    """
    if row.status != "authorised":
        gone = row.status == "voided" and part.state == "held" and not part.sale_gone
        return gone or part.state in ("authorised", "shipped")
    moved = row.location not in ("", part.location)
    unexplained = part.list_updated not in (None, part.listed) and part.list_progress == row.progress
    # A held part whose sale staff put back goes on by itself once it is read.
    return row.shipped or row.picked != part.picked or moved or unexplained or part.state == "held"


def note_strays(tx: Tx, drafts: Sequence[SaleRow], now: datetime) -> None:
    """Drafts with our reference that are not the recorded sale of their part; looked at again before any voiding."""
    for draft in drafts:
        part = tx.one(book.sql.part_of_ref, ref=draft.ref)
        # A part without a sale that is not about to get one (cancelled, refused) owns no draft either.
        if part is not None and part.state != "planned" and (part.sale_id or "").lower() != draft.sale_id.lower():
            tx.run(book.sql.note_stray, sale_id=draft.sale_id, order_id=part.order_id, part=part.part, at=now)


def on_catalogue(tx: Tx, row: InboxRow, now: datetime, *, master: Master) -> None:
    """Products and recipes of the master."""
    page = msgspec.json.decode(row.body, type=CataloguePage)
    catalogue.put(
        tx,
        [
            catalogue.Product(
                sku=x.sku,
                name=x.name,
                sellable=x.sellable,
                service=x.service,
                kit=x.kit,
                recipe=dict(x.recipe) if x.kit else {},
                fault=x.fault,
            )
            for x in page.items
        ],
        now,
    )
    for item in page.items:
        if item.fault:
            master.open_case(
                tx, "bundle_recipe_invalid", f"sku:{item.sku}", now, actual={"fault": item.fault},
                evidence=[f"inbox:{row.id}"],
            )  # fmt: skip


def rows_of(page: StockPage) -> list[observe.Row]:
    """Rows as the ledger counts them: signed free stock where it may be sold, physical stock elsewhere."""
    return [
        observe.Row(
            sku=r.sku,
            location=r.location,
            part=r.part,
            state=r.state.value if r.state else "",
            value=r.available if r.state is State.AVAILABLE else r.on_hand,
            allocated=r.allocated,
        )
        for r in page.rows
    ]


def _report_faults(tx: Tx, page: StockPage, row: InboxRow, master: Master, now: datetime) -> None:
    if page.faults:
        master.open_case(
            tx, "stock_row_invalid", f"vendor:{master.name}", now, actual={"rows": list(page.faults[:20])},
            evidence=[f"inbox:{row.id}"],
        )  # fmt: skip
    unknown = sorted({f"{r.location}/{r.part}" for r in page.rows if r.state is None and r.on_hand})
    if unknown:
        master.open_case(
            tx, "stock_unknown_state", f"vendor:{master.name}", now, actual={"places": unknown[:20]},
            evidence=[f"inbox:{row.id}"],
        )  # fmt: skip


# --- Proof -----------------------------------------------------------------------------------------------------------


def _close(tx: Tx, sweep: str, fault: str, moved: Sequence[str], master: Master, now: datetime) -> None:
    closing = observe.close(tx, sweep, complete=not fault, cause=fault, locations=master.locations, now=now)
    if not closing.complete:
        # Absent from an incomplete set is unknown, not nothing: an exact reading of the SKU tells.
        if len(closing.suspects) <= SUSPECTS_FLOOR:
            want(tx, master.name, "sku", closing.suspects, URGENT, now)
        _ask_for_risers(tx, sweep, master, now)
        return
    suspects = closing.suspects
    if len(suspects) > max(SUSPECTS_FLOOR, closing.keys // SUSPECTS_SHARE):
        master.open_case(
            tx, "sweep_suspicious", f"vendor:{master.name}", now, expected={"absent": 0},
            actual={"absent": len(suspects), "of": closing.keys, "examples": list(suspects[:20])},
        )  # fmt: skip
    else:
        observe.suspect(tx, suspects, sweep, now=now, deadline=now + timedelta(seconds=REREAD_SECONDS))
        want(tx, master.name, "sku", suspects, URGENT, now)
    transferred = sorted(set(moved) & set(closing.raises))
    want(tx, master.name, "sku", transferred, ROUTINE, now)
    dropped = sorted({*suspects, *transferred})
    observe.drop(tx, sweep, dropped)
    believe(tx, sweep, closing.a1, dropped, master, now)


def _ask_for_risers(tx: Tx, sweep: str, master: Master, now: datetime) -> None:
    """What a set without proof would let rise is read by itself: a bounded number, the most valuable first.

    Those not short of stock ask no sooner than the next walk's pages do.
    """
    room = RISERS_MAX - len(wished(tx, master.name, "sku"))
    if room <= 0:
        return
    oldest = min(room, RISERS_OLDEST)
    found = observe.risers(tx, sweep, low_mark=master.low_mark(), most=room - oldest, oldest=oldest)
    for scarce, priority in ((True, ROUTINE), (False, SPARE)):
        want(tx, master.name, "sku", [sku for sku, short in found if short is scarce], priority, now)


def _beginning(tx: ReadTx, master: str, sku: str) -> str | None:
    return observe.near(tx, sku, wished(tx, master, "sku"), NEAR_ROWS)


def believe(
    tx: Tx, sweep: str, a1: int, dropped: Sequence[str], master: Master, now: datetime, *, again: bool = False
) -> None:
    """Applies what of a set needs no more proof; asks (not `again`) for the sales that stand in the way of the rest.

    They are read with what calls are to spare, for the next walk of changed sales proves most of them in one.

    A number that rises by more than all of these sales could have given back rises at once, less their units.
    """
    open_ = demand.contained_and_open(tx, observe.waiting_raises(tx, sweep))
    # What other masters hold stands in the way of no raise of this one's numbers.
    pairs = [(sku, order, place) for sku, order, place in open_ if place not in master.elsewhere]
    missing = book.unverified(tx, sorted({(order, place) for _, order, place in pairs}), a1)
    unseen = [(sku, order, place) for sku, order, place in pairs if (order, place) in missing]
    waiting = sorted({sku for sku, _, _ in unseen} - demand.doubt(tx, sweep, unseen, a1))
    if missing and not again:
        for target, sale in sorted({sale for sales in missing.values() for sale in sales}):
            want(tx, target, "sale", [sale], SPARE, now)
    moved = observe.apply(
        tx, sweep, waiting=waiting, dropped=[*dropped, *waiting], locations=master.locations, now=now,
        elsewhere=master.elsewhere, again=again,
    )  # fmt: skip
    # A raise that waits for a newer base has it now, whether or not the number moved.
    dirty.mark(tx, [r.sku for r in tx.all(sql.waits_for_base)], Priority.RAISE, "newer base", now)
    backordered = [pair for pair in demand.waiting_for_allocation(tx, moved) if pair[1] not in master.elsewhere]
    for target, sales in book.sales_of(tx, backordered).items():
        want(tx, target, "sale", sales, ROUTINE, now)


def prove(tx: Tx, master: Master, now: datetime) -> None:
    """Looks again at what waits for sales to be seen: units in doubt, and complete sets whose raises wait."""
    tx.run(sql.one_reader, master=master.name)
    held = {r.sku for r in tx.all(sql.end_doubts)}
    dirty.mark(tx, held, Priority.RAISE, "sales hold their units", now)
    for sweep in observe.proving(tx, master.name):
        believe(tx, sweep.id, sweep.last_a1, [], master, now, again=True)


class Prover:
    """Looks for proof of waiting raises whenever sales were read, once for however many."""

    def __init__(self, store: Store, clock: Clock, master: Master) -> None:
        self._store = store
        self._clock = clock
        self._master = master
        self._bell = Bell(clock)
        self.name = master.name
        self.sale_read = self._bell.ring

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; also now and then unasked, in case whoever read the sale is gone."""
        while not stop.is_set():
            await self._store.write(prove, self._master, self._clock.now())
            beat()
            await self._bell.wait(PROVE_SECONDS, stop)
            # Sales are read in bursts, and what waits is a raise.
            await unless(stop, self._clock.sleep(GATHER_SECONDS))


def lower_overdue(tx: Tx, now: datetime) -> list[str]:
    """Suspects that could not be read again in time show nothing until they are."""
    skus = observe.overdue_suspects(tx, now)
    if skus:
        observe.lower_to_zero(tx, skus, "suspect", now)
    return skus


def stale(tx: ReadTx, master: str, limit: timedelta, now: datetime) -> bool:
    """Whether the newest complete set of a master is too old to raise anything on."""
    newest = observe.last_applied(tx, master)
    return newest is None or now - newest.finished_at > limit
