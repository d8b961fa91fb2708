"""One shop in which every transaction of the product has something to do, and all of them meet.

Orders stand at every step of their life, with the operation of that step claimed; a walk of the master is under way,
another waits for proof; entries differ, one is being written, one is to be judged; cases, wishes, feeds and rows of
the inbox wait.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
from tests.races.stage import NOW, OLDER, SlotIds, Stage, query
from tests.suites.orders_life import CHAIR, SET, TABLE, Life

from sellable.app import watching
from sellable.app.desk import CaseDesk
from sellable.app.service import notice_stale
from sellable.app.wiring import handlers
from sellable.book import book
from sellable.connectors.port import StockPage, StockRow
from sellable.desk import alerts
from sellable.domain.orders import Address, GoodsReturn, InventoryMode, Order, OrderState, ReturnedGoods, SyncInfo
from sellable.domain.stock import OUTSIDE, Kind, Movement, State
from sellable.orders.context import STOREFRONT
from sellable.orders.rules import BACK_OFFICE
from sellable.runtime import feeds, inbox, operations, said, wanted
from sellable.runtime.audit import Audit
from sellable.runtime.budgets import BudgetSpec
from sellable.runtime.calls import CallLog
from sellable.runtime.database import Store, Tx
from sellable.runtime.dispatcher import Dispatcher, Duty
from sellable.runtime.inbox import Arrival, InboxRow
from sellable.runtime.operations import Intent, Operation, next_seq
from sellable.runtime.seal import IN_THE_OPEN, KeyAbsent
from sellable.runtime.wanted import want
from sellable.stock import buffers, catalogue, dirty, entries, ledger, numbers, observe
from sellable.sync import creation, masters, storefront, writer
from sellable.sync.loop import Syncer

ORDERS = ("planned", "unsent", "lined", "compared", "unseen", "unnoted", "live", "shipped", "held", "unknown",
          "sought")  # fmt: skip
PLACES = ["Berlin", "Hamburg"]
SHOWN = {
    (CHAIR, "web-eu"): 90, (CHAIR, "web-uk"): 90, (TABLE, "web-eu"): 5, (TABLE, "web-uk"): 60, (SET, "web-eu"): 3,
    (SET, "web-uk"): 30,
}  # fmt: skip
NOTED = (SyncInfo(channel="theirs", external_id="77"),)
LATER = NOW + timedelta(days=1)
SPEC = BudgetSpec(credential="cin7_core", calls=60, window_seconds=60, burst=6, lanes={"orders": 0.3, "reads": 0.3})
CURSOR = query(
    "INSERT INTO feed (name, cursor, due_at) VALUES ('commercetools.orders', %(cursor)s::jsonb, %(at)s)"
    " ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor"
)
CLAIM = query(
    "UPDATE operation SET owner = 'world', lease_until = app_now() + interval '1 hour', epoch = epoch + 1,"
    " sends = sends + 1 WHERE id = (SELECT id FROM operation WHERE correlation = %(order_id)s AND owner IS NULL"
    " AND state IN ('intent', 'unknown') ORDER BY created_seq LIMIT 1) RETURNING id"
)
STORED_AS = query("UPDATE inbox SET body = %(body)s, sealed_with = %(key)s WHERE message_id = %(name)s")
ROW = query("SELECT id FROM inbox WHERE message_id = %(name)s")


@dataclass
class World:
    """Handles on what stands in the tables: claimed operations by name, rows, and what the product is made of."""

    life: Life
    desk: CaseDesk
    ops: dict[str, Operation] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    picked: list[Operation] = field(default_factory=list)
    look: Any = None
    even: Any = None
    taken: list[wanted.Wanted] = field(default_factory=list)
    cases: dict[str, str] = field(default_factory=dict)
    alert: Any = None
    buffer_change: int = 0
    epochs: dict[str, int] = field(default_factory=dict)
    dispatcher: Any = None
    syncer: Any = None
    judge: Any = None
    feeds: Any = None
    fetcher: Any = None
    inbox: Any = None
    shop: Any = None
    master: Any = None
    creation: Any = None
    creating: Any = None
    seq: int = 0
    """The causal number when the world was complete."""

    @property
    def context(self) -> Any:
        return self.life.context

    @property
    def layout(self) -> Any:
        return self.life.context.layout

    @property
    def audit(self) -> Audit:
        return Audit("race", b"key")

    @property
    def calls(self) -> CallLog:
        return CallLog(b"key")

    def row(self, body: bytes, **meta: Any) -> InboxRow:
        """An arrival as a handler gets it, in no table."""
        return InboxRow(
            id=900, source="race", message_id="race-900", kind="race", lane="", priority=1, body=body, meta=meta,
            received_at=NOW, received_seq=self.seq, due_at=NOW, state="new", attempts=0, cause=None, settled_at=None,
            case_ref=None,
        )  # fmt: skip

    def sale(self, order_id: str, **changes: Any) -> Any:
        """The sale of an order's first part as the back office shows it."""
        ref = next(k for k, s in self.life.office.sales.items() if s["ref"] == f"shop:{order_id}:1")
        return msgspec.structs.replace(self.life.office.read(ref), **changes)


def build(stage: Stage, store: Store) -> World:
    """The world, written to an empty database; `store` is only used here."""
    return asyncio.run(_build(stage, store))


async def _build(stage: Stage, store: Store) -> World:
    life = Life(store)
    object.__setattr__(life.context, "ids", SlotIds(life.clock))
    await store.write(_born)
    world = World(life=life, desk=CaseDesk(life.settings))
    _assemble(world, store)
    await life.begin(ARMCHAIR=60, ARMCHAIR__Hamburg=20, TABLE=40)
    await store.write(_entries, NOW - timedelta(hours=1), SHOWN)
    await store.write(_entries, NOW - timedelta(minutes=30), SHOWN | {(CHAIR, "web-eu"): 88})
    await _orders(world)
    await store.write(_numbers, world)
    await store.write(_queues, world)
    return world


def _born(tx: Tx) -> None:
    """The database is older than the world, whatever the real time of its migrations was: orders need no search."""
    tx.run(query("UPDATE schema_migration SET applied_at = least(applied_at, %(at)s)"), at=NOW - timedelta(days=1))


def _assemble(world: World, store: Store) -> None:
    life, desk = world.life, world.desk
    world.master = masters.Master(name=BACK_OFFICE, remotes={p: p for p in PLACES}, open_case=desk.open_case)
    take = partial(_take, world)
    world.shop = storefront.Shop(
        open_case=desk.open_case, take_order=take, translate_message=lambda body: world.orders[body.decode()],
        channels=frozenset(life.context.layout.channels),
    )  # fmt: skip
    object.__setattr__(life.context, "translate", lambda body: world.orders[body.decode()])
    table: Any = handlers(life.context, world.shop, world.master, None, lambda: None)
    world.inbox = inbox.Inbox(store, life.clock, table, desk.poison, known=storefront.echoes)
    lanes = {STOREFRONT: ["orders", "writes"], BACK_OFFICE: ["orders", "repair"]}
    budgets: Any = SimpleNamespace(lanes=lambda credential: lanes[credential])
    duties = [Duty(kind=k, send=s, resolve=r, settled=t, max_attempts=3) for k, (s, r, t) in life.duties.items()]
    world.dispatcher = Dispatcher(
        store, life.clock, life.context.ids, budgets, duties, desk.exhausted, "world",
        {STOREFRONT: 1, BACK_OFFICE: 1, "self": 1},
    )  # fmt: skip
    world.judge = storefront.Judge(store, None, world.shop, None, inbox.put)  # type: ignore[arg-type]
    world.syncer = Syncer(
        store,
        life.clock,
        life.context.ids,
        None,
        None,
        life.context.layout,
        world.shop,
        world.judge,  # type: ignore[arg-type]
        owner="world",
        on_refused=desk.write_refused,
        stale_masters=lambda tx, now: frozenset(),
        on_stale=partial(notice_stale, life.context.layout),
        frozen=lambda tx: False,
        stopped=lambda tx: False,
    )
    world.creation = creation.CreationFeed(
        store,
        life.context.ids,
        None,  # type: ignore[arg-type]
        {"web-eu": PLACES},
        walk="due",
        frozen=lambda tx: False,
    )
    world.creating = creation.Creating(None, desk.open_case, desk.clear_cases)  # type: ignore[arg-type]
    world.feeds = feeds.Feeds(
        store, life.clock, [feeds.Feed(name=name, every_seconds=10, turn=_no_turn) for name in ("due", "running")],
        "world", on_failure=desk.feed_failed, on_recovery=desk.feed_recovered, chance=lambda: 0.5,
    )  # fmt: skip
    world.fetcher = wanted.Fetcher(
        store, life.clock, BACK_OFFICE, "sku", 2, _no_fetch, "reads", owner="fetcher", chance=lambda: 0.5
    )


def _take(world: World, tx: Tx, order: Order, now: Any) -> None:
    from sellable.app.wiring import take

    take(tx, order, now, context=world.context)


async def _no_turn(cursor: Any, context: Any) -> Any:
    raise NotImplementedError


async def _no_fetch(keys: Any) -> Any:
    raise NotImplementedError


def _entries(tx: Tx, at: Any, shown: dict[tuple[str, str], int]) -> None:
    seen = [
        entries.Seen(
            sku=sku, channel=channel, remote_id=f"{sku}/{channel}", version=5, quantity=units, reserved=0, typed=None,
            backorder=False, last_op=None, at=at, seq=next_seq(tx),
        )
        for (sku, channel), units in shown.items()
    ]  # fmt: skip
    entries.see(tx, seen, NOW)


# --- Orders ----------------------------------------------------------------------------------------------------------


async def _orders(world: World) -> None:
    life = world.life

    async def at(name: str, kind: str, *lines: tuple[str, int]) -> None:
        """An order whose next operation is of this kind, and claimed."""
        order = world.orders[name] = life.order(*(lines or [(CHAIR, 2), (SET, 1)]), order_id=name)
        await life.take(order)
        while (op := await _claimed(life, name)).kind != kind:
            await life.carry(op)
        world.ops[name] = op

    await at("planned", "sale.create")
    await at("lined", "sale.lines")
    await at("compared", "sale.authorise")
    await at("unseen", "sale.visible")
    await at("unnoted", "order.note")
    await _sought(world)
    for name in ("live", "shipped", "voided", "edited"):
        order = world.orders[name] = life.order((CHAIR, 4), (SET, 1), order_id=name)
        await life.take(order)
        await _all(life, name)
    sale = world.sale("shipped")
    life.office.sales[sale.sale_id]["shipments"] = [_goods("shipped-1", {CHAIR: 2})]
    await life.read_sale(sale.sale_id)
    world.ops["shipped"] = await _claimed(life, "shipped")
    await life.cancel(world.orders["voided"])
    world.ops["voided"] = await _claimed(life, "voided")
    await _changing(world)
    life.office.surcharge = 1
    world.orders["held"] = life.order((CHAIR, 1), order_id="held")
    await life.take(world.orders["held"])
    await _all(life, "held")
    life.office.surcharge = 0
    world.orders["fresh"] = life.order((CHAIR, 3), (SET, 2), order_id="fresh")
    world.orders["noted"] = life.order((CHAIR, 1), order_id="noted", sync=NOTED)
    world.orders["unsent"] = life.order((CHAIR, 1), order_id="unsent")
    await life.take(world.orders["unsent"])
    await _never_seen(world)
    await _unknown(world)
    none = msgspec.structs.replace(world.orders["fresh"].lines[0], mode=InventoryMode.NONE, line_id="l9", sku=TABLE)
    world.orders["other"] = life.order((CHAIR, 1), order_id="other")
    world.orders["other"] = msgspec.structs.replace(
        world.orders["other"], lines=(*world.orders["other"].lines, none), total=119 + none.total
    )
    for name in ORDERS:
        order = world.orders[name]
        first = msgspec.structs.replace(order.lines[0], quantity=order.lines[0].quantity + 1)
        world.orders[f"{name} more"] = msgspec.structs.replace(order, version=2, lines=(first, *order.lines[1:]))
        world.orders[f"{name} cancelled"] = msgspec.structs.replace(order, version=3, state=OrderState.CANCELLED)


async def _sought(world: World) -> None:
    """An order that another system has noted something on: whether its sale is there is being asked."""
    life = world.life
    noted = life.order((CHAIR, 2), (SET, 1), order_id="sought", sync=NOTED)
    world.orders["sought"] = noted
    await life.take(noted)
    world.ops["sought"] = await _claimed(life, "sought")
    assert world.ops["sought"].kind == "sale.find"


async def _changing(world: World) -> None:
    """Orders whose sale is made smaller, whose address changes, whose goods came back, whose cancel is being told."""
    life = world.life
    for name in ("smaller", "moving", "returned", "reduced"):
        order = world.orders[name] = life.order((CHAIR, 4), (TABLE, 1), order_id=name)
        await life.take(order)
        await _all(life, name)
    await life.take(fewer(world.orders["smaller"], 1))
    address = Address(line1="Gasse 2", country="AT")
    await life.take(msgspec.structs.replace(world.orders["moving"], version=2, shipping_address=address))
    sale = life.office.sales[world.sale("returned").sale_id]
    sale["shipments"] = [_goods("returned-1", {CHAIR: 4, TABLE: 1})]
    await life.read_sale(world.sale("returned").sale_id)
    await _all(life, "returned")
    sale["returns"] = [came_back("r1", 2)]
    await life.read_sale(world.sale("returned").sale_id)
    await life.store.write(_owe_cancelled, world)
    for name in ("smaller", "moving", "returned", "reduced"):
        world.ops[name] = await _claimed(life, name)


def fewer(order: Order, units: int, **changes: Any) -> Order:
    """The order after the storefront has cancelled units of its first line."""
    first = msgspec.structs.replace(order.lines[0], cancelled=units, reason="late")
    return msgspec.structs.replace(order, **{"version": 2, "lines": (first, *order.lines[1:]), **changes})


def came_back(name: str, units: int, state: State = State.INSPECTION) -> GoodsReturn:
    """Chairs that are back at Berlin."""
    goods = ReturnedGoods(sku=CHAIR, units=units, location="Berlin", state=state)
    return GoodsReturn(return_id=name, number=name, items=((CHAIR, units, "late"),), stock=(goods,))


def _owe_cancelled(tx: Tx, world: World) -> None:
    world.context.owe(tx, "reduced", STOREFRONT, "order.cancelled", {"part": 0, "whole": False}, NOW)


async def _never_seen(world: World) -> None:
    """An order cancelled while its sale was being created: the create made nothing, its void is claimed."""
    life = world.life
    order = life.order((CHAIR, 1), order_id="never")
    await life.take(order)
    create = await _claimed(life, "never")
    await life.cancel(order)
    await life.carry(create)
    world.ops["never"] = await _claimed(life, "never")


async def _unknown(world: World) -> None:
    """An order that was held for a product the catalogue has by now."""
    life = world.life
    world.orders["unknown"] = life.order(("BENCH", 2), (CHAIR, 1), order_id="unknown")
    await life.take(world.orders["unknown"])
    bench = catalogue.Product(sku="BENCH", name="Bench", sellable=True, service=False, kit=False, recipe={})
    await life.store.write(catalogue.put, [bench], NOW)


async def _claimed(life: Life, order_id: str) -> Operation:
    """The next operation of an order, claimed."""
    found = await life.store.write(_claim_of, order_id)
    assert found is not None, order_id
    return found


def _claim_of(tx: Tx, order_id: str) -> Operation | None:
    op_id = tx.value(CLAIM, order_id=order_id)
    return operations.find(tx, op_id) if op_id else None


async def _all(life: Life, order_id: str) -> None:
    while (op := await life.store.write(_claim_of, order_id)) is not None:
        await life.carry(op)


def _goods(name: str, items: dict[str, int]) -> Any:
    from tests.suites.orders_life import shipment

    return shipment(name, items)


# --- Numbers ---------------------------------------------------------------------------------------------------------


def _numbers(tx: Tx, world: World) -> None:
    """A set that waits for proof, a walk under way, differences planned, two being written, looks to be judged."""
    for sweep, units in (("proof", {CHAIR: 70, TABLE: 40}), ("walk", {CHAIR: 50})):
        body = page_of(units, "Berlin")
        row = world.row(body, sweep=sweep, master=BACK_OFFICE, scope="", a0=next_seq(tx), a1=next_seq(tx))
        masters.on_page(tx, row, NOW, master=world.master)
        if sweep == "proof":
            row = world.row(page_of({CHAIR: 22}, "Hamburg"), **row.meta | {"a0": next_seq(tx), "a1": next_seq(tx)})
            masters.on_page(tx, row, NOW, master=world.master)
            closing = world.row(b"", sweep=sweep, rows=3, fault="", moved=[])
            masters.on_close(tx, closing, NOW, master=world.master)
    observe.suspect(tx, [TABLE], "walk", now=NOW - timedelta(minutes=1), deadline=NOW - timedelta(seconds=1))
    tx.finish()
    writer.plan_dirty(tx, world.layout, NOW, stale=())
    keys = [(CHAIR, "web-uk"), (TABLE, "web-uk")]
    picked = writer.pick(tx, world.layout, world.context.ids, LATER, owner="world", limit=9, only=keys, stale=())
    world.picked = list(picked.operations)
    cursor = msgspec.json.encode({"passed": (NOW - timedelta(minutes=1)).isoformat()}).decode()
    tx.run(CURSOR, cursor=cursor, at=LATER)
    (world.look,) = tx.all(
        storefront.sql.to_judge, before=NOW - timedelta(minutes=2), sku=CHAIR, channel="web-eu", limit=1
    )
    tx.run(writer.sql.park_entries, sku=[SET], channel=["web-uk"], parked="judge", seq=None)
    (world.even,) = tx.all(
        storefront.sql.to_judge, before=NOW - timedelta(minutes=2), sku=SET, channel="web-uk", limit=1
    )
    dirty.mark(tx, [CHAIR, TABLE], 3, "world", NOW)


def page_of(units: dict[str, int], place: str) -> bytes:
    """A page of the master's list with these units at one place."""
    rows = tuple(
        StockRow(
            sku=sku, location=place, part="", available=n, state=State.AVAILABLE, on_hand=n, allocated=0, on_order=0
        )
        for sku, n in units.items()
    )
    return msgspec.json.encode(StockPage(rows=rows, received=len(rows), total=len(rows), page=1))


# --- Queues ----------------------------------------------------------------------------------------------------------


def _queues(tx: Tx, world: World) -> None:
    """Rows of the inbox, wishes, feeds, cases and alerts."""
    desk = world.desk
    sale = msgspec.json.encode(world.sale("live"))
    inbox.put(
        tx,
        [
            Arrival(source="ct", message_id="m-fresh", kind="order", lane="order:fresh", body=b"fresh"),
            Arrival(source="ct", message_id="m-other", kind="order", lane="order:other", body=b"other"),
            Arrival(source="ct", message_id="m-live", kind="order", lane="order:live", body=b"live more"),
            Arrival(
                source="c7", message_id="m-sale", kind="sale.read", lane="sale:live", body=sale,
                meta={"a0": next_seq(tx), "a1": next_seq(tx)},
            ),
            Arrival(source="ct", message_id="m-strange", kind="strange", lane="strange", body=b""),
            Arrival(source="ct", message_id="m-bad", kind="order", lane="order:bad", body=b"nobody"),
        ],
        NOW,
    )  # fmt: skip
    inbox.put(tx, [Arrival(source="ct", message_id="m-parked", kind="strange", lane="", body=b"")], NOW)
    inbox.put(tx, [Arrival(source="ct", message_id="m-locked", kind="order", lane="", body=b"live more")], NOW)
    locked = inbox.find(tx, tx.value(ROW, name="m-locked"))
    assert locked is not None
    world.inbox._quarantine(tx, locked, KeyAbsent(OLDER.newest), NOW)
    tx.run(STORED_AS, name="m-locked", body=OLDER.close("ct", "m-locked", locked.body), key=OLDER.newest)
    parked = inbox.find(tx, tx.value(ROW, name="m-parked"))
    assert parked is not None
    world.inbox._quarantine(tx, parked, inbox.Poison("strange"), NOW)
    tx.run(STORED_AS, name="m-parked", body=b"in the open", key=IN_THE_OPEN)
    intents = [
        Intent(system=BACK_OFFICE, kind="stray.void", lane=f"stray:{n}", budget="repair", priority=4,
               payload={"sale_id": f"sale-{n}", "order_id": "live", "double": False}, correlation="live")
        for n in ("held", "old", "new")
    ]  # fmt: skip
    held, _old, _new = operations.owe(tx, intents, NOW, world.context.ids)
    operations.hold(tx, held, "tried too often")
    found = operations.find(tx, held)
    assert found is not None
    desk.exhausted(tx, found, "tried too often", NOW)
    world.cases["arrival"] = str(tx.value(query("SELECT ref FROM cases WHERE kind = 'poison_payload'")))
    world.cases["operation"] = str(tx.value(query("SELECT ref FROM cases WHERE kind = 'operation_exhausted'")))
    said.put(tx, buffers.Which(sku=CHAIR, channel="web-eu").key(), {"units": 1}, "ops", "", NOW)
    world.buffer_change = int(tx.value(query("SELECT max(id) FROM said_change")))
    world.cases["totals"] = str(tx.value(query("SELECT ref FROM cases WHERE kind = 'totals_differ'")))
    claimed = operations.claim(tx, BACK_OFFICE, ["repair"], "world", 600.0, NOW, 1)
    (world.ops["stray"],) = claimed
    world.creation._owe([("BENCH", "web-eu")], tx, NOW)
    tx.finish()
    (world.ops["bench"],) = operations.claim(tx, STOREFRONT, ["writes"], "world", 600.0, NOW, 1)
    want(tx, BACK_OFFICE, "sku", [CHAIR, TABLE], 1, NOW)
    tx.finish()
    world.taken = wanted.take(tx, BACK_OFFICE, "sku", 1, "fetcher", 300.0, NOW)
    world.feeds._enrol(tx, [NOW, NOW])
    lease = world.feeds._lease(tx, world.feeds._feeds["running"], NOW)
    assert lease is not None
    world.epochs["running"] = lease[1]
    world.alert = alerts._claim(tx, "mail", NOW + timedelta(hours=1))
    stray = tx.value(query("SELECT sale_id FROM order_part WHERE order_id = 'live'"))
    tx.run(book.sql.note_stray, sale_id=f"{stray}-b", order_id="live", part=1, at=NOW - timedelta(days=1))
    lacking = {"sweep": "the one before", "short": {"BENCH": 2}}
    tx.run(watching.sql.remember, name="oversold", value=msgspec.json.encode(lacking).decode(), at=NOW)
    numbers.hold(tx, hold_id="h1", sku=CHAIR, pool="eu", units=2, reason="photo", actor="ops", until=None, now=NOW)
    # The ledger says one less than the master: whoever looks at the chair next closes the gap.
    count = Movement(
        source="hand", resource="before", line=CHAIR, kind=Kind.ADJUST, sku=CHAIR, quantity=1, from_location="Berlin",
        from_state=State.AVAILABLE, to_location=OUTSIDE, to_state=State.UNEXPLAINED,
    )  # fmt: skip
    ledger.post(tx, [count], NOW)
    world.seq = next_seq(tx)
