"""Reading the storefront: messages and orders as hints and documents, entries as readings, drift judged in retrospect.

Messages are polled twice: hot and untrailed for speed, and once more behind a trail, because rows can become visible
late. Orders changed since a mark are swept as the net under both. One rule: the marks are the storefront's own stamps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import (
    EntryReading,
    OrderPage,
    RawMessage,
    Readings,
    StorefrontOrders,
    StorefrontStock,
    VendorError,
)
from sellable.desk.opening import OpenCase
from sellable.domain.orders import Order
from sellable.domain.stock import Priority
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.feeds import FeedContext, FeedResult
from sellable.runtime.http import HttpError
from sellable.runtime.inbox import ROUTINE, URGENT, USUAL, Arrival, InboxRow
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import queries
from sellable.runtime.wanted import want
from sellable.stock import entries
from sellable.sync import writer
from sellable.sync.masters import back, newest_of

log = logging.getLogger(__name__)
sql = queries("sellable.sync")
SOURCE = "commercetools"
TRAIL_SECONDS = 60
OVERLAP_SECONDS = 300
JUDGE_MARGIN = timedelta(seconds=15)
"""A reading is judged once the order sweep has passed it by the storefront's lag (10 s) and a margin."""
LOOK_AGAIN = timedelta(minutes=15)
CARTS_AGAIN = timedelta(minutes=2)
"""After this long a key that sells, and one with goods in carts, is read again."""
DRIFT_ALARM = 5
EASY_LOOKS = 5000
ENTRY_SET = "InventoryEntryQuantitySet"
ORDER_NEWS = ("OrderCreated", "OrderImported", "OrderCreatedFromRecurringOrder")


# --- Feeds -----------------------------------------------------------------------------------------------------------


class MessageFeed:
    """Messages after a compound cursor (createdAt, id); `trail` keeps behind the storefront's clock."""

    def __init__(self, port: StorefrontOrders, start: datetime, now: Callable[[], datetime], *, trail: bool) -> None:
        self._port = port
        self._start = stamp(start)
        self._now = now
        self._trail = trail

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One page."""
        at = tuple((cursor or {}).get("at") or (self._start, ""))
        until = stamp(self._now() - timedelta(seconds=TRAIL_SECONDS)) if self._trail else None
        page = await self._port.messages((at[0], at[1]), until=until, lane="orders")
        arrivals = [message_arrival(m) for m in page.messages]
        return FeedResult(arrivals=arrivals, cursor={"at": list(page.cursor or at)}, again=page.full)


class OrderFeed:
    """Orders by lastModifiedAt with an overlap; the mark moves when a walk is complete."""

    def __init__(self, store: Store, port: StorefrontOrders, start: datetime) -> None:
        self._store = store
        self._port = port
        self._start = stamp(start)

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One page; only versions the book has not seen become arrivals."""
        at = dict(cursor or {})
        mark = at.get("mark") or self._start
        since = back(mark, OVERLAP_SECONDS)
        page = await self._port.orders_modified(
            tuple(at["after"]) if at.get("after") else None, since=since, lane="repair"
        )
        began = at.get("began") or page.at.isoformat()
        versions = {o.order_id: o.version for o in page.orders}
        news = set(await self._store.read(book.newer_than_known, versions))
        arrivals = [order_arrival(o.order_id, o.version, o.body) for o in page.orders if o.order_id in news]
        newest = newest_of(at.get("newest") or mark, (o.modified_at for o in page.orders), context.now)
        if page.full:
            cursor = {**at, "mark": mark, "after": list(page.cursor or ()), "newest": newest, "began": began}
            return FeedResult(arrivals=arrivals, cursor=cursor, again=True)
        return FeedResult(arrivals=arrivals, cursor={"mark": newest, "passed": began}, again=False)


class EntryFeed:
    """Walks every stock entry: at once the first time, then spread over the configured hours."""

    def __init__(self, store: Store, port: StorefrontStock) -> None:
        self._store = store
        self._port = port

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One page of entries."""
        at = dict(cursor or {})
        seq = await self._store.write(next_seq)
        page = await self._port.walk_entries(at.get("after"), lane="reads" if at.get("round") else "orders")
        arrivals = [readings_arrival(page, seq)] if page.entries else []
        if page.last_id is None:
            return FeedResult(arrivals=arrivals, cursor={"round": at.get("round", 0) + 1}, again=False)
        cursor = {"after": page.last_id, "round": at.get("round", 0)}
        return FeedResult(arrivals=arrivals, cursor=cursor, again=not at.get("round"))


class LookFeed:
    """Reads keys again that wait for a judgement, hot ones that were not judged for long, and those of carts."""

    def __init__(self, store: Store, port: StorefrontStock, now: Callable[[], datetime]) -> None:
        self._store = store
        self._port = port
        self._now = now

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One batch of at most 150 keys."""
        keys = await self._store.read(_to_look, self._now())
        if not keys:
            return FeedResult(arrivals=[], cursor=cursor, again=False)
        seq = await self._store.write(next_seq)
        readings = await self._port.read_entries([(sku, channel or None) for sku, channel in keys], lane="repair")
        return FeedResult(arrivals=[readings_arrival(readings, seq)], cursor=cursor, again=False)


def _to_look(tx: ReadTx, now: datetime) -> list[tuple[str, str]]:
    before, carts_before = now - LOOK_AGAIN, now - CARTS_AGAIN
    return [(r.sku, r.channel) for r in tx.all(sql.to_look, before=before, carts_before=carts_before, limit=150)]


def stamp(at: datetime) -> str:
    """An instant as the storefront writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def message_arrival(message: RawMessage) -> Arrival:
    """A message, however it came: a new order is urgent, news of an entry most often tells of our own write."""
    new = message.type in ORDER_NEWS
    return Arrival(
        source=SOURCE,
        message_id=message.message_id,
        kind="message",
        lane=f"{message.resource_type}:{message.resource_id}",
        body=message.body,
        meta={"type": message.type, "resource": message.resource_id, "of": message.resource_type},
        priority=URGENT if new else ROUTINE if message.type == ENTRY_SET else USUAL,
    )


def order_arrival(order_id: str, version: int, body: bytes) -> Arrival:
    """An order document at one version; the same version again is the same arrival."""
    return Arrival(
        source=SOURCE,
        message_id=f"order:{order_id}@{version}",
        kind="order",
        lane=f"order:{order_id}",
        body=body,
        meta={},
        priority=URGENT,
    )


def readings_arrival(readings: Readings, seq: int) -> Arrival:
    """Entries read in one call, `seq` being the causal number before it."""
    return Arrival(
        source=SOURCE, message_id=f"entries:{seq}", kind="entries", lane="", body=msgspec.json.encode(readings),
        meta={"seq": seq},
    )  # fmt: skip


class Fetches:
    """Reads single orders and entries because something hinted at them."""

    def __init__(self, store: Store, orders: StorefrontOrders, stock: StorefrontStock) -> None:
        self._store = store
        self._orders = orders
        self._stock = stock

    async def orders(self, keys: Sequence[str]) -> list[Arrival]:
        """Orders by id, in one call."""
        page: OrderPage = await self._orders.orders_by_id(list(keys), lane="orders")
        return [order_arrival(o.order_id, o.version, o.body) for o in page.orders]

    async def entries(self, keys: Sequence[str]) -> list[Arrival]:
        """Entries by "channel|sku", in one call."""
        seq = await self._store.write(next_seq)
        pairs = [(key.split("|", 1)[1], key.split("|", 1)[0] or None) for key in keys]
        return [readings_arrival(await self._stock.read_entries(pairs, lane="repair"), seq)]


# --- Handlers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What the handlers need to know."""

    open_case: OpenCase
    take_order: Callable[[Tx, Order, datetime], None]
    translate_message: Callable[[bytes], Any]
    channels: frozenset[str]
    counted: frozenset[str] = frozenset()
    """Channels whose numbers are the storefront's own: what its people write there is what is so."""
    stock_writers: tuple[str, ...] = ()
    """API clients that may write those."""


def on_entries(tx: Tx, row: InboxRow, now: datetime, *, shop: Shop) -> None:
    """Readings of entries: baselines for new ones, looks for the judge."""
    readings = msgspec.json.decode(row.body, type=Readings)
    see(tx, readings.entries, readings.at, row.meta["seq"], now, shop)


def see(tx: Tx, found: Sequence[EntryReading], at: datetime, seq: int, now: datetime, shop: Shop) -> None:
    """Notes readings of configured channels. `at` is the Date header; the reading was made before its next second."""
    mine = [r for r in found if (r.channel or "") in shop.channels]
    entries.see(
        tx,
        [
            entries.Seen(
                sku=r.sku,
                channel=r.channel or "",
                remote_id=r.remote_id,
                version=r.version,
                quantity=r.quantity,
                reserved=r.quantity - r.available,
                typed=r.typed,
                backorder=r.backorder,
                last_op=r.last_op,
                at=at + timedelta(seconds=1),
                seq=seq,
            )
            for r in {(r.sku, r.channel): r for r in mine}.values()
        ],
        now,
    )
    for reading in mine:
        if reading.backorder:
            shop.open_case(
                tx, "entry_backorder_flag", f"sku:{reading.sku}", now, expected={"restockableInDays": None},
                actual={"channel": reading.channel},
            )  # fmt: skip


def on_message(tx: Tx, row: InboxRow, now: datetime, *, shop: Shop) -> None:
    """A message is a hint; only a new order and a foreign write to an entry carry what is needed.

    One that cannot be read says at least what it is about, which is read instead: an order whole, an entry for the
    judge, who finds what was written to it as a drift.
    """
    kind, resource = row.meta["type"], row.meta["resource"]
    if row.meta["of"] == "order":
        order = _order_in(row, shop) if kind in ORDER_NEWS else None
        if isinstance(order, Order):
            shop.take_order(tx, order, now)
        else:
            want(tx, SOURCE, "order", [resource], 1, now)
    elif kind == ENTRY_SET:
        try:
            _entry_set(tx, row, now, shop)
        except msgspec.MsgspecError as error:
            log.warning("message %s cannot be read, its entry is: %s", row.message_id, error)
            known = tx.one(sql.entry_of_remote, remote_id=resource)
            if known is not None:
                want(tx, SOURCE, "entry", [f"{known.channel}|{known.sku}"], 2, now)
    elif kind == "InventoryEntryCreated":
        _want_entry(tx, msgspec.json.decode(row.body, type=_EntryCreated).inventory_entry, now, shop)
    elif kind == "InventoryEntryDeleted":
        known = tx.one(sql.entry_of_remote, remote_id=resource)
        if known is not None:
            missing(tx, [(known.sku, known.channel)], now, shop)


def _order_in(row: InboxRow, shop: Shop) -> Any:
    try:
        return shop.translate_message(row.body)
    except ValueError as error:
        log.warning("message %s cannot be read, its order is: %s", row.message_id, error)
        return None


def missing(tx: Tx, keys: Sequence[tuple[str, str]], now: datetime, shop: Shop) -> None:
    """The storefront has no entry for these keys (any more): one case each, no further work."""
    for row in tx.all(sql.mark_gone, sku=[s for s, _ in keys], channel=[c for _, c in keys]):
        shop.open_case(tx, "entry_missing", f"sku:{row.sku}", now, actual={"channel": row.channel})


class _NewEntry(msgspec.Struct, frozen=True):
    """What is needed of a new entry."""

    id: str = ""
    sku: str = ""


class _EntryCreated(msgspec.Struct, frozen=True, rename="camel"):
    """What is needed of an InventoryEntryCreated message."""

    inventory_entry: _NewEntry = _NewEntry()


def _want_entry(tx: Tx, entry: _NewEntry, now: datetime, shop: Shop) -> None:
    """A new entry is read on every channel of ours: the message names its channel only by the storefront's id."""
    if entry.sku and tx.one(sql.entry_of_remote, remote_id=entry.id) is None:
        want(tx, SOURCE, "entry", [f"{channel}|{entry.sku}" for channel in sorted(shop.channels)], 2, now)


def echoes(tx: Tx, rows: Sequence[InboxRow]) -> set[int]:
    """Ids of the messages among these rows that tell of our own writes, by one look into the journal."""
    told = [row for row in rows if row.kind == "message" and row.meta["type"] == ENTRY_SET]
    return {change.row_id for change in _changes(tx, told) if change.ours} if told else set()


class _Author(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Which program wrote; the shopper or employee behind it is nothing for a case."""

    client_id: str = ""
    is_platform_client: bool = False


class _EntrySet(msgspec.Struct, rename="camel"):
    """What is needed of an InventoryEntryQuantitySet message."""

    old_quantity_on_stock: int
    new_quantity_on_stock: int
    created_at: datetime
    resource_version: int = 0
    created_by: _Author | None = None


@dataclass(frozen=True)
class _Change:
    """A direct write to an entry of ours: by how much, when, by whom, and whether our journal explains it.

    `unread`: it may be ours all the same, for the entry was not read since the database was restored.
    """

    row_id: int
    sku: str
    channel: str
    body: _EntrySet
    ours: bool
    unread: bool

    @property
    def units(self) -> int:
        return self.body.new_quantity_on_stock - self.body.old_quantity_on_stock


def _changes(tx: Tx, rows: Sequence[InboxRow]) -> list[_Change]:
    """What the rows tell; those about entries we do not know are left out."""
    bodies = [msgspec.json.decode(row.body, type=_EntrySet) for row in rows]
    journal: dict[int, list[Any]] = {}
    remotes, versions = [row.meta["resource"] for row in rows], [body.resource_version for body in bodies]
    for write in tx.all(sql.our_writes, remote_id=remotes, version=versions):
        journal.setdefault(write.place - 1, []).append(write)
    found = []
    for place, writes in sorted(journal.items()):
        body, version = bodies[place], versions[place]
        change = body.new_quantity_on_stock - body.old_quantity_on_stock
        ours = change == 0 or any(w.id and writer.explains(w, change=change, version=version) for w in writes)
        found.append(_Change(rows[place].id, writes[0].sku, writes[0].channel, body, ours, writes[0].unread))
    return found


def _entry_set(tx: Tx, row: InboxRow, now: datetime, shop: Shop) -> None:
    """A direct write to an entry: ours if our journal has it, else a foreign fact that E must follow."""
    for change in _changes(tx, [row]):
        if change.ours:
            return
        fact = entries.EntryFact(
            sku=change.sku, channel=change.channel, kind="foreign", quantity=change.units, source="message",
            resource=row.message_id, line="", seq=change.body.resource_version, remote_at=change.body.created_at,
        )  # fmt: skip
        known = entries.record(tx, [fact], now, priority=Priority.LOWER, reason="foreign write")
        if known and not change.unread and not _may_write(change, shop):
            shop.open_case(
                tx, "foreign_writer", f"sku:{change.sku}", now, expected={"writer": "sellable"},
                actual={"channel": change.channel, "change": change.units, "by": change.body.created_by},
                evidence=[f"inbox:{row.id}"],
            )  # fmt: skip


def _may_write(change: _Change, shop: Shop) -> bool:
    """Whether this is the number's owner: people in the Merchant Center, or a client that the settings name."""
    by = change.body.created_by
    return change.channel in shop.counted and by is not None and (
        by.is_platform_client or by.client_id in shop.stock_writers
    )  # fmt: skip


# --- Judging drift ---------------------------------------------------------------------------------------------------


class Judge:
    """Compares looks with what E was at that instant, once the order sweep has passed it; adopts what remains.

    An uncaptured order looks exactly like a drift downwards: before one is adopted, orders that hold the SKU since the
    last agreement are asked for; one that is found is captured instead, and the key is looked at again.
    """

    def __init__(
        self, store: Store, port: StorefrontOrders, shop: Shop, translate: Callable[[bytes], Order],
        put: Callable[[Tx, Sequence[Arrival], datetime], int],
    ) -> None:  # fmt: skip
        self._store = store
        self._port = port
        self._shop = shop
        self._translate = translate
        self._put = put

    async def run_once(self, now: datetime, limit: int = 100) -> int:
        """Judges what can be judged now; returns how many keys."""
        passed = await self._store.read(_passed)
        if passed is None:
            return 0
        before = passed - JUDGE_MARGIN
        await self._store.write(_easy, before)
        rows = await self._store.read(_judgeable, before, limit, None)
        for row in rows:
            if await self._store.write(self._judge, row, before, now, asked=False):
                continue
            try:
                found = await self._find_orders(row, now)
            except (VendorError, HttpError) as error:
                # Nothing is adopted on no answer; the key is judged next time, and the others now.
                log.warning("orders of a SKU that fell cannot be asked for: %s", type(error).__name__)
                continue
            if found:
                await self._store.write(_look_again, row)
            else:
                await self._store.write(self._judge, row, before, now, asked=True)
        return len(rows)

    def _judge(self, tx: Tx, row: Any, before: datetime, now: datetime, *, asked: bool) -> bool:
        """Judges one look; False when orders must be asked for before a fall is adopted.

        No fact of the entry comes between the judgement and what is adopted. A write that was settled, or begun, since
        the look was chosen leaves nothing to judge.
        """
        tx.run(entries.sql.lock_entry, sku=row.sku, channel=row.channel)
        fresh = [r for r in _judgeable(tx, before, 1, row) if r.looked_at == row.looked_at]
        if not fresh:
            return True
        if fresh[0].drift < 0 and not asked:
            return False
        self._adopt(tx, row, fresh[0].drift, now)
        return True

    async def _find_orders(self, row: Any, now: datetime) -> bool:
        since = (row.judged_at or row.baseline_at) - timedelta(seconds=OVERLAP_SECONDS)
        page = await self._port.orders_with_sku(row.sku, since=since, lane="repair")
        versions = {o.order_id: o.version for o in page.orders}
        known = set(await self._store.read(_known, sorted(versions)))
        fresh = [o for o in page.orders if o.order_id not in known]
        if fresh:
            await self._store.write(self._put, [order_arrival(o.order_id, o.version, o.body) for o in fresh], now)
        return bool(fresh)

    def _adopt(self, tx: Tx, row: Any, drift: int, now: datetime) -> None:
        key = {"sku": row.sku, "channel": row.channel}
        tx.run(sql.judged, **key, at=row.looked_at)
        tx.run(sql.hasten_desired, sku=[row.sku], channel=[row.channel], at=now)
        if drift:
            seq = next_seq(tx)
            fact = entries.EntryFact(
                **key, kind="drift", quantity=drift, source="judge", resource=stamp(row.looked_at), line="", seq=seq,
                remote_at=row.looked_at,
            )  # fmt: skip
            entries.record(tx, [fact], now, priority=Priority.LOWER, reason="drift")
            tx.run(sql.forget_last_target, **key)
            if row.channel in self._shop.counted:
                return  # It is the storefront's own number: only our account of it was behind.
            if drift < 0:
                tx.run(sql.park_entries, sku=[row.sku], channel=[row.channel], parked="base", seq=seq)
            (doubt,) = tx.all(sql.drift_doubt, **key, at=row.looked_at)
            # Orders of the last seconds may not have been in the number: the next judgement takes that back.
            if abs(doubt.net) >= DRIFT_ALARM and not 0 < drift <= doubt.lagging:
                self._shop.open_case(
                    tx, "drift", f"sku:{row.sku}", now, expected={"shown": row.looked_q - drift},
                    actual={"shown": row.looked_q, "channel": row.channel},
                )  # fmt: skip
        elif row.parked == "judge":
            entries.nudge(tx, row.sku, now)


def _passed(tx: ReadTx) -> datetime | None:
    cursor = tx.value(sql.feed_cursor, name="commercetools.orders")
    return datetime.fromisoformat(cursor["passed"]) if cursor and cursor.get("passed") else None


def _judgeable(tx: ReadTx, before: datetime, limit: int, only: Any) -> list[Any]:
    sku, channel = (only.sku, only.channel) if only else (None, None)
    return tx.all(sql.to_judge, before=before, limit=limit, sku=sku, channel=channel)


def _easy(tx: Tx, before: datetime) -> None:
    """Most looks agree, and some can never be judged: both are done with at once."""
    tx.run(sql.drop_spoiled_looks, before=before, limit=EASY_LOOKS)
    tx.run(sql.judge_even, before=before, limit=EASY_LOOKS)


def _known(tx: ReadTx, ids: Sequence[str]) -> list[str]:
    return [r.order_id for r in tx.all(book.sql.known_orders, ids=list(ids))]


def _look_again(tx: Tx, row: Any) -> None:
    tx.run(sql.drop_look, sku=row.sku, channel=row.channel)
