"""The life of orders without a network: a book, a back office and a storefront in memory, operations one at a time.

Rule: nothing happens between two steps; a test decides what is carried out next and what arrives meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
from tests.e2e.world import settings_of

from sellable.app.desk import CaseDesk
from sellable.app.duties import carried, looked
from sellable.app.layout import layout_of
from sellable.book import book
from sellable.connectors.port import (
    Allocation,
    DeliveryDraft,
    RawOrder,
    Refused,
    ReturnDraft,
    ReturnsTold,
    Sale,
    SaleDraft,
    SaleRow,
    SaleTotals,
)
from sellable.desk import cases
from sellable.domain.money import Rounding, TaxCalculation, Taxed, to_minor
from sellable.domain.orders import InventoryMode, Line, Order, OrderState, Parcel, Shipment, Tax
from sellable.orders import adoption, cancel, capture, export, fulfilment, reducing, returns, strays
from sellable.orders.changes import Changing
from sellable.orders.context import STOREFRONT, Context
from sellable.orders.rules import BACK_OFFICE, WAREHOUSE
from sellable.runtime import inbox, operations
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import Arrival
from sellable.runtime.operations import Done, Operation, Outcome, Rejected, next_seq
from sellable.stock import catalogue, demand, numbers, observe
from sellable.sync import masters

CHAIR, TABLE, SET = "ARMCHAIR", "TABLE", "SET"
VAT = Tax(name="19 %", rate=Decimal("0.19"), included=True, country="DE")
LANES = {BACK_OFFICE: ["orders", "repair"], WAREHOUSE: ["orders", "repair"], STOREFRONT: ["orders"], "self": [""]}
Hook = Callable[[], Awaitable[None]]


class Office:
    """A back office: drafts, lines, totals, allocation without limits unless `short` says so."""

    def __init__(self) -> None:
        self.sales: dict[str, dict[str, Any]] = {}
        self.short: dict[str, int] = {}
        self.surcharge = 0
        self.calls: list[str] = []
        self.during: dict[str, Hook] = {}
        self.lost: dict[str, list[Exception]] = {}

    async def _called(self, what: str) -> None:
        self.calls.append(what)
        if hook := self.during.pop(what, None):
            await hook()
        if self.lost.get(what):
            raise self.lost[what].pop(0)

    def add(self, ref: str, status: str = "draft", location: str = "Berlin", reference: str = "") -> str:
        sale_id = f"sale-{len(self.sales) + 1}"
        self.sales[sale_id] = {
            "ref": ref, "status": status, "lines": [], "location": location, "at": 0, "totals": None,
            "reference": reference,
        }  # fmt: skip
        return sale_id

    def add_foreign(self, reference: str, /, *lines: tuple[str, int], sale_id: str = "", **fields: Any) -> str:
        """A sale of another integration, authorised at 1.19 a unit unless the fields say otherwise."""
        made = self.add("their-ref", "authorised", reference=reference)
        units = sum(count for _, count in lines)
        totals = SaleTotals(net=100 * units, tax=19 * units, gross=119 * units)
        self.sales[made] |= {"lines": list(lines), "totals": totals, **fields}
        self.sales[sale_id or made] = self.sales.pop(made)
        return sale_id or made

    async def create_draft(self, draft: SaleDraft, *, lane: str) -> str:
        sale_id = self.add(draft.ref, location=draft.location, reference=draft.order_number)
        await self._called("create")
        return sale_id

    async def put_lines(self, sale_id: str, draft: SaleDraft, *, authorise: bool, lane: str) -> Sale:
        sale = self.sales[sale_id]
        if sale["status"] != "draft":
            self.calls.append("refused")
            raise Refused("not a draft", code="400")
        sale["lines"] = [(x.sku, x.quantity) for x in draft.lines]
        gross = sum(to_minor(x.total, 2) for x in (*draft.lines, *draft.charges)) + self.surcharge
        tax = sum(to_minor(x.tax, 2) for x in (*draft.lines, *draft.charges))
        sale["totals"] = SaleTotals(net=gross - tax, tax=tax, gross=gross)
        sale["status"] = "authorised" if authorise else "draft"
        await self._called("authorise" if authorise else "lines")
        return self.read(sale_id)

    async def put_header(self, sale_id: str, draft: SaleDraft, *, lane: str) -> None:
        self.sales[sale_id]["header"] = draft
        await self._called("header")

    async def find_by_ref(self, ref: str, *, lane: str) -> list[SaleRow]:
        await self._called("find")
        return [self.row(k) for k, s in self.sales.items() if s["ref"] == ref]

    async def search_sales(self, text: str, *, lane: str) -> list[SaleRow]:
        await self._called("search")
        return [self.row(k) for k, s in self.sales.items() if text in s["reference"]]

    def row(self, sale_id: str) -> SaleRow:
        s = self.sales[sale_id]
        return SaleRow(
            sale_id=sale_id, number=sale_id.upper(), ref=s["ref"], status=s["status"], shipped=False,
            updated=f"2026-01-01T00:00:0{s['at']}Z", location=s["location"], reference=s["reference"],
        )  # fmt: skip

    async def read_sale(self, sale_id: str, *, lane: str) -> Sale:
        await self._called("read")
        if sale_id not in self.sales:
            raise Refused("no such sale", code="not_found")
        return self.read(sale_id)

    async def void_sale(self, sale_id: str, *, undo: bool, lane: str) -> None:
        sale = self.sales[sale_id]
        if sale["status"] == "voided" or sale.get("shipments"):
            self.calls.append("void refused")
            raise Refused("cannot be voided", code="too_late")
        sale["status"] = "draft" if undo else "voided"
        await self._called("void")

    def read(self, sale_id: str, **changes: Any) -> Sale:
        s = self.sales[sale_id]
        holds = s["status"] == "authorised"
        return Sale(
            sale_id=sale_id, number=sale_id.upper(), ref=s["ref"], status=s["status"], location=s["location"],
            lines=tuple(
                Allocation(sku=sku, quantity=n, backorder=min(n, self.short.get(sku, 0)) if holds else n)
                for sku, n in s["lines"]
            ),
            totals=s["totals"], shipments=tuple(s.get("shipments", ())), picked=bool(s.get("picked")),
            updated=f"2026-01-01T00:00:0{s['at']}Z", returns=tuple(s.get("returns", ())), **changes,
        )  # fmt: skip

    def live(self) -> list[str]:
        return [k for k, s in self.sales.items() if s["status"] != "voided"]


class Shopfront:
    """A storefront that remembers what it was told."""

    def __init__(self) -> None:
        self.sync: list[str] = []
        self.deliveries: list[DeliveryDraft] = []
        self.states: list[str] = []
        self.returns: list[ReturnDraft] = []
        self.stubborn: dict[str, str] = {}
        self.cancelled: dict[str, int] = {}
        self.can_cancel = True

    async def cancel_units(self, order: RawOrder, units: Any, *, lane: str) -> RawOrder:
        if not self.can_cancel:
            raise Refused("no state", code="no_state", detail={"keys": []})
        self.cancelled |= units
        return order

    async def tell_returns(self, order: RawOrder, drafts: Any, *, lane: str) -> ReturnsTold:
        """Items whose key is among the stubborn stay as they are."""
        self.returns += drafts
        refused = tuple((d.key, self.stubborn[d.key], d.state) for d in drafts if d.key in self.stubborn)
        return ReturnsTold(order=order, refused=refused)

    async def read_order(self, order_id: str, *, lane: str) -> RawOrder:
        return RawOrder(order_id=order_id, version=1, modified_at="", body=order_id.encode())

    async def set_sync_info(self, order: RawOrder, external_id: str, *, lane: str) -> RawOrder:
        self.sync.append(external_id)
        return order

    async def add_delivery(self, order: RawOrder, draft: DeliveryDraft, *, lane: str) -> RawOrder:
        self.deliveries.append(draft)
        return order

    async def set_states(self, order: RawOrder, *, order_state: Any, shipment_state: Any, lane: str) -> RawOrder:
        self.states.append(shipment_state)
        return order


class Life:
    """Orders, the two vendors, and operations carried out one at a time."""

    def __init__(self, store: Store, **changes: Any) -> None:
        self.store, self.clock = store, store.clock
        self.office, self.shop = Office(), Shopfront()
        self.taken: dict[str, Order] = {}
        start = self.clock.now() - timedelta(hours=1)
        quick = {"visibility_lag_seconds": 0, "search_settle_seconds": 0}
        self.settings = settings_of(start, **{"cin7_core": quick, **changes})
        desk = CaseDesk(self.settings)
        self.context = Context(
            current=lambda: self.settings, layout=layout_of(self.settings), ids=Ids(self.clock),
            translate=lambda body: self.taken[body.decode()], open_case=desk.open_case, clear_cases=desk.clear_cases,
        )  # fmt: skip
        office: Any = self.office
        shop: Any = self.shop
        exporting = export.Exporting(store, self.clock, office, self.context)
        searching = adoption.Searching(store, office, self.context, {}, shop)
        noting = export.Noting(store, shop, self.context)
        delivering = fulfilment.Delivering(store, shop, self.context)
        voiding = cancel.Voiding(store, office, self.context)
        stray = strays.Voiding(office)
        returning = returns.Returning(store, shop, self.context)
        shrinking = reducing.Reducing(store, office, self.context)
        cancelling = reducing.Cancelling(store, shop, self.context)
        changing = Changing(store, office, self.context)
        self.duties: dict[str, tuple[Any, Any, Any]] = {
            "sale.find": (searching.find, None, searching.settled),
            "sale.create": (exporting.create, exporting.search, exporting.created),
            "sale.lines": (exporting.put_lines, None, exporting.lines_settled),
            "sale.authorise": (exporting.authorise, exporting.look, exporting.authorised),
            "sale.void": (voiding.send, voiding.resolve, voiding.settled),
            "sale.visible": (exporting.wait_visible, None, exporting.visible),
            "stray.void": (stray.send, None, stray.settled),
            "order.note": (noting.note, None, noting.noted),
            "order.deliver": (delivering.deliver, None, delivering.told),
            "order.ready": (delivering.ready, None, delivering.told),
            "order.return": (returning.send, None, returning.told),
            "sale.reduce": (shrinking.send, shrinking.resolve, shrinking.settled),
            "sale.header": (changing.send, None, changing.settled),
            "order.cancelled": (cancelling.send, None, cancelling.told),
        }

    async def begin(self, **stock: int) -> None:
        """Stock by SKU at Berlin, or SKU__Hamburg; everything the master knows."""
        await self.store.write(self._begin, stock)

    def _begin(self, tx: Tx, stock: dict[str, int]) -> None:
        now = self.clock.now()
        names = {CHAIR: {}, TABLE: {}, SET: {CHAIR: 2, TABLE: 1}}
        catalogue.put(
            tx,
            [catalogue.Product(sku=s, name=s, sellable=True, service=False, kit=bool(r), recipe=r)
             for s, r in names.items()],
            now,
        )  # fmt: skip
        self.sweep(tx, stock)

    def sweep(self, tx: Tx, stock: dict[str, int]) -> None:
        """A complete set of numbers, believed."""
        name, places, now = self.context.ids.new("sw"), ["Berlin", "Hamburg"], self.clock.now()
        rows = [
            observe.Row(sku=sku, location=place or "Berlin", part="", state="available", value=n, allocated=0)
            for sku, _, place, n in ((*key.partition("__"), n) for key, n in stock.items())
        ]
        observe.start(tx, name, BACK_OFFICE, "", now)
        observe.see_page(tx, name, rows, a0=next_seq(tx), a1=next_seq(tx), now=now)
        observe.close(tx, name, complete=True, cause="", locations=places, now=now)
        observe.apply(tx, name, waiting=[], dropped=[], locations=places, now=now)

    async def count(self, **stock: int) -> None:
        """The master is read again and shows this."""
        await self.store.write(self.sweep, stock)

    def order(self, *lines: tuple[str, int], version: int = 1, order_id: str = "o1", **changes: Any) -> Order:
        """An order of (SKU, units), 1.19 each, from web-eu."""
        now = self.clock.now()
        goods = tuple(
            Line(
                line_id=f"l{n}", sku=sku, name=sku, quantity=units, mode=InventoryMode.RESERVE_ON_ORDER,
                channel="web-eu", unit=119, total=119 * units, tax=VAT, taxed=Taxed(net=100 * units, gross=119 * units),
            )
            for n, (sku, units) in enumerate(lines, 1)
        )  # fmt: skip
        total = sum(line.total for line in goods)
        values: dict[str, Any] = {
            "order_id": order_id, "version": version, "number": f"N-{order_id}", "cart_id": None, "placed_at": now,
            "modified_at": now, "state": OrderState.OPEN, "payment_state": None, "shipment_state": None, "store": None,
            "country": "DE", "currency": "EUR", "digits": 2, "lines": goods, "charges": (), "total": total,
            "taxed": Taxed(net=sum(x.taxed.net for x in goods if x.taxed), gross=total), "rounding": Rounding.HALF_EVEN,
            "calculation": TaxCalculation.LINE, "tax_mode": "Platform",
        }  # fmt: skip
        return Order(**values | changes)

    async def take(self, order: Order) -> None:
        """The order arrives at this version."""
        self.taken[order.order_id] = order
        await self.store.write(capture.take, order, self.clock.now(), self.context)

    async def cancel(self, order: Order) -> None:
        """The storefront cancelled it."""
        version = order.version + 10
        await self.take(msgspec.structs.replace(order, version=version, state=OrderState.CANCELLED))

    async def step(self, *systems: str) -> str | None:
        """Carries out the most urgent operation; its kind, or None when nothing is due."""
        for system in systems or LANES:
            claimed = await self.store.write(
                operations.claim, system, LANES[system], "test", 600.0, self.clock.now() + timedelta(days=1), 1
            )
            if claimed:
                await self.carry(claimed[0])
                return claimed[0].kind
        return None

    async def carry(self, op: Operation) -> Outcome:
        send, resolve, _ = self.duties[op.kind]
        look = looked(resolve)
        act = look if op.was_unknown and look is not None else carried(send)
        outcome = await act(op)
        await self.store.write(self._settle, op, outcome)
        return outcome

    def _settle(self, tx: Tx, op: Operation, outcome: Outcome) -> None:
        now = self.clock.now()
        if operations.settle(tx, op, outcome, now) and isinstance(outcome, Done | Rejected):
            self.duties[op.kind][2](tx, op, outcome, now)

    async def steps(self, limit: int = 60, *systems: str) -> list[str]:
        """Everything that is due, and what that makes due."""
        done: list[str] = []
        while len(done) < limit and (kind := await self.step(*systems)):
            done.append(kind)
        assert len(done) < limit, done
        return done

    async def until(self, kind: str) -> None:
        """Until an operation of this kind was carried out."""
        while (done := await self.step()) != kind:
            assert done, f"{kind} was never due"

    async def read_sale(self, sale_id: str, **changes: Any) -> None:
        """The sale as it is now arrives as a reading."""
        await self.reading(self.office.read(sale_id, **changes), await self.store.write(next_seq))

    async def reading(self, sale: Sale, a0: int) -> None:
        """A reading that began at `a0` arrives."""
        await self.store.write(self._reading, sale, a0)

    def _reading(self, tx: Tx, sale: Sale, a0: int) -> None:
        now = self.clock.now()
        meta = {"a0": a0, "a1": next_seq(tx)}
        name = self.context.ids.new("read")
        body = msgspec.json.encode(sale)
        inbox.put(
            tx, [Arrival(source=BACK_OFFICE, message_id=name, kind="sale.read", lane="", body=body, meta=meta)], now
        )
        row = inbox.find(tx, tx.value(_ROW, name=name))
        assert row is not None
        reducing.on_sale(tx, row, now, context=self.context)
        if fulfilment.on_sale(tx, row, now, context=self.context):
            returns.on_sale(tx, row, now, context=self.context)

    async def listed(self, sale_id: str, **changes: Any) -> list[str]:
        """Which sales are to be read after the list showed this one, authorised and untouched but for the changes."""
        row: dict[str, Any] = {"status": "authorised", "progress": "NOT PICKED", "updated": 1, "shipped": False}
        row |= changes
        stamp = f"2026-02-01T00:00:0{row.pop('updated')}Z"
        rows = [SaleRow(sale_id=sale_id, number=sale_id, ref="", updated=stamp, **row)]
        return await self.store.write(self._listed, rows)

    def _listed(self, tx: Tx, rows: list[SaleRow]) -> list[str]:
        master = masters.Master(name=BACK_OFFICE, remotes={}, open_case=self.context.open_case)
        page: Any = SimpleNamespace(body=msgspec.json.encode(rows), meta={"walk": 0, "last": False})
        masters.on_sales(tx, page, self.clock.now(), master=master)
        tx.finish()
        return [r.key for r in tx.all(_DROP_WISHES)]

    async def stage(self, order_id: str = "o1") -> str:
        rows = await self.store.read(lambda tx: tx.all(book.sql.find_orders, key=order_id))
        return str(rows[0].stage)

    async def parts(self, order_id: str = "o1") -> dict[int, str]:
        return {
            p.part: p.state for p in await self.store.read(lambda tx: tx.all(book.sql.read_parts, order_id=order_id))
        }

    async def cases(self) -> set[str]:
        return {c.kind for c in await self.store.read(cases.listing)}

    async def shown(self, sku: str = CHAIR, channel: str = "web-eu") -> int:
        """ATS of a SKU on a channel's pool."""
        return await self.store.read(self._ats, sku, channel)

    def _ats(self, tx: ReadTx, sku: str, channel: str) -> int:
        layout = self.context.layout
        facts = numbers.facts_of(tx, [sku], self.clock.now())[sku]
        from sellable.stock.availability import pool_term

        return pool_term(facts, layout, layout.channels[channel].pool).ats

    async def contained(self, order_id: str = "o1") -> dict[str, tuple[int, int]]:
        """(open, evidenced) units by SKU of what still counts."""
        rows = await self.store.read(lambda tx: tx.all(_DEMAND, order_id=order_id))
        return {r.sku: (int(r.open_units), int(r.evidenced_units)) for r in rows}

    async def story(self, order_id: str = "o1") -> list[str]:
        return [e.what for e in await self.store.read(lambda tx: tx.all(book.sql.events_of, order_id=order_id))]


def shipment(name: str, items: dict[str, int], *parcels: str, track: str = "T") -> Shipment:
    """A despatch with all goods in its last parcel."""
    boxes = parcels or ("p1",)
    return Shipment(
        shipment_id=name,
        items=tuple(items.items()),
        parcels=tuple(
            Parcel(parcel_id=p, carrier="DHL", tracking=f"{track}-{p}", tracking_url="", shipped_on="2026-01-01",
                   items=tuple(items.items()) if p == boxes[-1] else ())
            for p in boxes
        ),
    )  # fmt: skip


def play(store: Store, story: Callable[[Life], Awaitable[None]], **changes: Any) -> None:
    """Runs a story in a fresh life."""
    asyncio.run(_play(store, story, changes))


async def _play(store: Store, story: Callable[[Life], Awaitable[None]], changes: dict[str, Any]) -> None:
    await story(Life(store, **changes))


def query(text: str) -> Any:
    from sellable.runtime.queries import Query

    return Query(package="test", name="test", purpose="test", text=text)


_ROW = query("SELECT id FROM inbox WHERE message_id = %(name)s")
_DROP_WISHES = query("DELETE FROM wanted WHERE kind = 'sale' RETURNING key")
_DEMAND = query(
    "SELECT sku, sum(open_units) AS open_units, sum(evidenced_units) AS evidenced_units FROM demand"
    " WHERE order_id = %(order_id)s AND NOT settled GROUP BY sku"
)
_ = datetime, demand
