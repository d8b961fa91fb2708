"""The service: everything assembled from settings, started, and stopped without losing anything.

One rule: nothing in memory is needed; whatever a process had begun, the next one finds in the database.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import httpx2
import msgspec
import psycopg

from sellable.app import status
from sellable.app.desk import CaseDesk
from sellable.app.duties import ATTEMPTS_MAX, Carry, carried, looked
from sellable.app.layout import layout_of, masters_of
from sellable.config.settings import Settings
from sellable.connectors import cin7_core, commercetools
from sellable.connectors.cin7_core import webhooks as cin7_webhooks
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.commercetools import webhooks as ct_webhooks
from sellable.connectors.commercetools.client import Commercetools
from sellable.desk.alerts import Alerts
from sellable.domain.orders import Order
from sellable.domain.stock import Priority
from sellable.orders import cancel, capture, export, fulfilment, strays
from sellable.orders.context import Context
from sellable.runtime import calls as calls_module
from sellable.runtime import feeds as feeds_module
from sellable.runtime import inbox as inbox_module
from sellable.runtime import operations, scribe, slots
from sellable.runtime.audit import Audit
from sellable.runtime.budgets import Budgets
from sellable.runtime.calls import CallLog
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.dispatcher import Dispatcher, Duty, Settled
from sellable.runtime.feeds import Feed, FeedContext, FeedResult, Feeds
from sellable.runtime.http import HttpPort, PinnedTransport
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import Arrival, Inbox, InboxRow, Letterbox, NotYet
from sellable.runtime.schedule import Loops, beat
from sellable.runtime.wanted import Fetcher, want
from sellable.stock import dirty, observe
from sellable.stock.availability import Layout
from sellable.sync import masters, storefront, writer
from sellable.sync.loop import Syncer
from sellable.sync.storefront import Judge, Shop
from sellable.web.server import Face, Refused

T = TypeVar("T")
CIN7 = "cin7_core"
CT = "commercetools"
TAKEOVER_SECONDS = 2.0


@dataclass
class Service:
    """One process of the running product."""

    settings: Settings
    store: Store
    clock: Clock
    ids: Ids
    desk: CaseDesk
    context: Context
    syncer: Syncer
    inbox: Inbox
    letterbox: Letterbox
    prover: masters.Prover
    dispatcher: Dispatcher
    feeds: Feeds
    fetchers: Sequence[Fetcher]
    budgets: Budgets
    storefront: Commercetools
    back_office: Cin7Core
    client: httpx2.AsyncClient
    judge: Judge
    alerts: Alerts
    owner: str
    calls: CallLog
    audit: Audit
    slot: slots.Slot | None = None
    loops: Loops = field(init=False)

    async def start(self) -> None:
        """Starts every loop; open operations of a former life are resolved first by whoever claims them."""
        await self.store.write(slots.disown, self.owner)
        await self.store.write(notice_layout, self.context.layout, self.clock.now())
        await self.syncer.listen()
        loops = self.loops = Loops(self.clock)
        for number in range(2):
            loops.add(f"inbox {number}", self.inbox.run)
        loops.add("prove", self.prover.run)
        loops.add("dispatcher", self.dispatcher.run)
        loops.add("feeds", self.feeds.run)
        for number, fetcher in enumerate(self.fetchers):
            loops.add(f"fetch {number}", fetcher.run)
        loops.add("plan", self.syncer.plan)
        for number in range(4):
            loops.add(f"write lowers {number}", self.syncer.write_lowers)
        loops.add("write raises", self.syncer.write_raises)
        # Much shorter than any lease: what a killed process was doing goes on within seconds.
        pause = max(TAKEOVER_SECONDS, 0.2 / self.clock.real(1.0))
        loops.every("takeover", pause, partial(self.store.write, slots.Undertaker().look))
        if self.slot is not None:
            loops.every("slot", pause, partial(asyncio.to_thread, self.slot.keep))
        loops.every("judge", 5.0, self.syncer.judge)
        loops.every("suspects", 10.0, self.syncer.lower_overdue)
        loops.every("strays", 60.0, partial(self.store.write, strays.owe_voiding, self.context, self.clock))
        loops.every("ages", 60.0, partial(self.store.write, self.desk.watch_ages, self.settings, self.clock))
        loops.every("housekeeping", 600.0, partial(self.store.write, housekeeping, self.settings, self.clock))
        loops.every("audit", pause, self.write_up)
        loops.every("seal", 60.0, partial(self.store.write, _seal, self.audit, self.clock))
        loops.add("alerts", self.alerts.run)
        loops.every("learn", 600.0, partial(self.storefront.learn, lane="orders"))
        loops.start()

    async def stop(self) -> list[str]:
        """Stops claiming, waits for what is on its way, closes; returns loops that had to be cancelled."""
        late = await self.loops.stop()
        with suppress(psycopg.OperationalError):
            await self.write_up()
            await self.store.write(_seal, self.audit, self.clock)
        await self.client.aclose()
        self.store.close()
        if self.slot is not None:
            self.slot.close()
        return late

    async def write_up(self) -> None:
        """Bring the audit and the log of calls up to date."""
        await self.store.write(self.calls.flush)
        while await self.store.write(scribe.write_up, self.audit, self.clock.now()) == scribe.BATCH:
            beat()

    # --- What the web face asks ---------------------------------------------------------------------------------------

    def face(self) -> Face:
        """Webhooks, status and health of this process."""
        return Face(
            webhooks={"commercetools": self._commercetools_hook, "cin7": self._cin7_hook},
            status=self.overview,
            ready=self.ready,
            alive=self.silent,
        )

    async def overview(self) -> dict[str, Any]:
        """Status of the whole installation, with budgets by lane."""
        found = await self.store.read(status.overview, self.clock.now())
        found["budgets"] = [
            {
                "credential": u.credential, "lane": u.lane, "used": u.used, "calls": u.calls,
                "window_seconds": u.window_seconds, "waiting": u.waiting, "tokens": round(u.tokens, 2),
                "cooling": u.cooldown_until is not None and u.cooldown_until > self.clock.now(),
            }
            for u in await self.budgets.usage()
        ]  # fmt: skip
        found["process"] = self.owner
        return found

    async def ready(self) -> bool:
        """Whether the database answers."""
        with suppress(Exception):
            return bool(await self.store.read(_answers))
        return False

    def silent(self) -> list[str]:
        """Loops that crashed and are not running."""
        return [life.name for life in self.loops.lives() if not life.running]

    async def _commercetools_hook(self, token: str, headers: Mapping[str, str], body: bytes) -> int:
        hook = self.settings.commercetools.webhook
        if not ct_webhooks.verify(token, headers, hook):
            raise Refused(401, "not authorised")
        try:
            notices = ct_webhooks.recognise(body)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        arrivals = [storefront.message_arrival(notice) for notice in notices]
        return await self.letterbox.post(arrivals)

    async def _cin7_hook(self, token: str, headers: Mapping[str, str], body: bytes) -> int:
        hook = self.settings.cin7_core.webhook
        # Both are compared, so that the time taken does not tell which one was near.
        address_is_ours = hmac.compare_digest(token.encode(), hook.path_token.encode())
        if not cin7_webhooks.verify(headers, hook.secret) or not address_is_ours or not hook.path_token:
            raise Refused(401, "not authorised")
        arrival = Arrival(source=CIN7, message_id=self.ids.new("hook"), kind="cin7.hook", lane="", body=body)
        return await self.letterbox.post([arrival])


def _seal(tx: Tx, audit: Audit, clock: Clock) -> None:
    audit.seal(tx, clock.now())


def _answers(tx: ReadTx) -> bool:
    return bool(tx.value(status.sql.ready))


# --- Assembly --------------------------------------------------------------------------------------------------------


def assemble(
    settings: Settings,
    store: Store,
    clock: Clock,
    *,
    client: httpx2.AsyncClient | None = None,
    owner: str | None = None,
) -> Service:
    """Builds a service on a migrated database. `client` replaces the network (simulators in process).

    Without `owner` the process takes a slot and its name, and with it whatever a dead process of that name held.
    """
    slot = None if owner else slots.Slot(store.url)
    owner = owner or (slot.take() if slot else "")
    ids = Ids(clock)
    layout = layout_of(settings)
    desk = CaseDesk(settings)
    budgets = Budgets(
        store, clock, [*commercetools.budgets(settings.commercetools), *cin7_core.budgets(settings.cin7_core)]
    )
    client = client or httpx2.AsyncClient(transport=PinnedTransport(private_hosts(settings)))
    redaction_key = settings.service.redaction_key.encode()
    calls, audit = CallLog(redaction_key), Audit(ids.new(owner), redaction_key)
    http = HttpPort(client, clock, budgets, calls.note)
    shop_port = Commercetools(http, budgets, settings.commercetools)
    cin7 = Cin7Core(http, budgets, settings.cin7_core, Places(settings.locations, settings.states))
    translate = _once_known(shop_port.translate_order)
    context = Context(
        settings=settings,
        layout=layout,
        ids=ids,
        translate=translate,
        open_case=desk.open_case,
        clear_cases=desk.clear_cases,
    )
    shop = Shop(
        open_case=desk.open_case,
        take_order=partial(_take, context=context),
        translate_message=_once_known(shop_port.translate_message),
        channels=frozenset(layout.channels),
    )
    master = masters.Master(name=CIN7, remotes=masters_of(settings).get(CIN7, {}), open_case=desk.open_case)
    prover = masters.Prover(store, clock, master)
    judge = Judge(store, shop_port, shop, shop_port.translate_order, inbox_module.put)
    syncer = Syncer(
        store, clock, ids, budgets, shop_port, layout, shop, judge,
        owner=owner,
        on_refused=desk.write_refused,
        stale_masters=partial(_stale, settings),
        frozen=desk.frozen,
    )  # fmt: skip
    dispatcher = Dispatcher(
        store, clock, ids, budgets, duties(store, clock, shop_port, cin7, context, layout, desk), desk.exhausted, owner,
        {CT: settings.commercetools.concurrency, CIN7: 8, "self": 64},
        credentials={CIN7: cin7_core.ORDERS},
    )  # fmt: skip
    feeds = Feeds(
        store, clock, feeds_of(settings, store, clock, ids, shop_port, cin7, master, desk, audit), owner,
        on_failure=desk.feed_failed, on_recovery=desk.feed_recovered,
    )  # fmt: skip
    return Service(
        settings=settings,
        store=store,
        clock=clock,
        ids=ids,
        desk=desk,
        context=context,
        syncer=syncer,
        inbox=Inbox(
            store,
            clock,
            handlers(context, shop, master, prover.sale_read),
            desk.poison,
            known=storefront.echoes,
            alone=ALONE,
        ),
        letterbox=Letterbox(store, clock),
        prover=prover,
        dispatcher=dispatcher,
        feeds=feeds,
        fetchers=fetchers_of(store, clock, ids, budgets, shop_port, cin7, master, owner),
        budgets=budgets,
        storefront=shop_port,
        back_office=cin7,
        client=client,
        judge=judge,
        alerts=Alerts(
            store,
            clock,
            settings.alerts,
            desk.owners,
            HttpPort(client, clock, None),
            redaction_key=redaction_key,
        ),
        owner=owner,
        calls=calls,
        audit=audit,
        slot=slot,
    )


def private_hosts(settings: Settings) -> list[str]:
    """Hosts that may have private addresses, because their section says `insecure`."""
    shop, office, alerts = settings.commercetools, settings.cin7_core, settings.alerts
    urls = [
        *([shop.api_url, shop.auth_url] if shop.insecure else []),
        *([office.base_url] if office.insecure else []),
        *([alerts.webhook_url] if alerts.insecure else []),
    ]
    return [httpx2.URL(url).host for url in urls if url]


def _once_known(translate: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """An order that names a channel nobody has looked up yet waits; it is neither guessed nor a failure."""

    def translated(body: bytes) -> T:
        try:
            return translate(body)
        except commercetools.ChannelUnknown as error:
            raise NotYet(str(error)) from error

    return translated


def _take(tx: Tx, order: Order, now: datetime, *, context: Context) -> None:
    capture.take(tx, order, now, context)


def _stale(settings: Settings, tx: ReadTx, now: datetime) -> bool:
    limit = timedelta(minutes=settings.cin7_core.max_age_minutes)
    return any(masters.stale(tx, name, limit, now) for name in masters_of(settings))


ALONE = ("order", "sale.read", "entries", "stock.page", "stock.sku", "stock.close", "sales.page", "catalogue.page")
"""Arrivals that lock an order, or rows of many SKUs; messages lock nothing that others want."""


def handlers(
    context: Context, shop: Shop, master: masters.Master, sale_read: Callable[[], object]
) -> dict[str, inbox_module.Handler]:
    """Kind of arrival -> what decides about it; `sale_read` is called after a reading of a sale has been taken in."""

    def on_sale(tx: Tx, row: InboxRow, now: datetime) -> None:
        fulfilment.on_sale(tx, row, now, context=context)
        tx.after_commit(sale_read)

    def on_cin7_hook(tx: Tx, row: InboxRow, now: datetime) -> None:
        for hint in cin7_webhooks.read(row.body).hints:
            if hint.kind == "order_number":
                feeds_module.poke(tx, "cin7_core.sales")
            else:
                want(tx, CIN7, hint.kind, [hint.key], 2, now)

    return {
        "message": partial(storefront.on_message, shop=shop),
        "order": partial(capture.on_order, context=context),
        "entries": partial(storefront.on_entries, shop=shop),
        "stock.page": partial(masters.on_page, master=master),
        "stock.sku": partial(masters.on_sku, master=master),
        "stock.close": partial(masters.on_close, master=master),
        "sales.page": partial(masters.on_sales, master=master),
        "sale.read": on_sale,
        "catalogue.page": partial(masters.on_catalogue, master=master),
        "cin7.hook": on_cin7_hook,
    }


def duties(
    store: Store, clock: Clock, shop: Commercetools, cin7: Cin7Core, context: Context, layout: Any, desk: CaseDesk
) -> list[Duty]:
    """Kind of operation -> how it is carried out, resolved and settled."""
    exporting = export.Exporting(store, clock, cin7, context)
    noting = export.Noting(store, shop, context)
    delivering = fulfilment.Delivering(store, shop, context)
    voiding = cancel.Voiding(store, cin7, context)
    stray = strays.Voiding(cin7)
    resolver = writer.Resolver(store, clock, shop, layout)
    table: list[tuple[str, Carry, Carry | None, Settled]] = [
        ("sale.create", exporting.create, exporting.search, exporting.created),
        ("sale.lines", exporting.put_lines, None, exporting.lines_settled),
        ("sale.authorise", exporting.authorise, exporting.look, exporting.authorised),
        ("sale.void", voiding.send, voiding.resolve, voiding.settled),
        ("sale.visible", exporting.wait_visible, None, exporting.visible),
        ("stray.void", stray.send, None, stray.settled),
        ("order.note", noting.note, None, noting.noted),
        ("order.deliver", delivering.deliver, None, delivering.told),
        ("order.ready", delivering.ready, None, delivering.told),
        ("stock.write", resolver.send, resolver.resolve, partial(writer.settled, on_refused=desk.write_refused)),
    ]
    return [
        Duty(
            kind=kind,
            send=carried(send),
            resolve=looked(resolve),
            settled=settled,
            max_attempts=ATTEMPTS_MAX,
        )
        for kind, send, resolve, settled in table
    ]


def feeds_of(
    settings: Settings,
    store: Store,
    clock: Clock,
    ids: Ids,
    shop: Commercetools,
    cin7: Cin7Core,
    master: masters.Master,
    desk: CaseDesk,
    audit: Audit,
) -> list[Feed]:
    """What is read again and again, and how often."""
    ct, back = settings.commercetools, settings.cin7_core
    start = settings.orders.start_at
    hot = storefront.MessageFeed(shop, start, clock.now, trail=False)
    trail = storefront.MessageFeed(shop, start, clock.now, trail=True)
    page_seconds = max(5.0, ct.entry_walk_hours * 3600 / 1000)
    return [
        Feed(name=f"{CT}.messages", every_seconds=ct.hot_poll_seconds, turn=hot.turn),
        Feed(name=f"{CT}.messages trailing", every_seconds=ct.trail_poll_seconds, turn=trail.turn),
        Feed(
            name=f"{CT}.orders",
            every_seconds=ct.order_sweep_seconds,
            turn=storefront.OrderFeed(store, shop, start).turn,
        ),
        Feed(name=f"{CT}.entries", every_seconds=page_seconds, turn=storefront.EntryFeed(store, shop).turn),
        Feed(name=f"{CT}.looks", every_seconds=15.0, turn=storefront.LookFeed(store, shop, clock.now).turn),
        Feed(
            name=f"{CIN7}.stock",
            every_seconds=back.sweep_seconds,
            turn=masters.StockFeed(store, clock, ids, cin7, master).turn,
        ),
        Feed(
            name=f"{CIN7}.sales",
            every_seconds=back.sales_poll_seconds,
            turn=masters.SalesFeed(store, cin7, master, start).turn,
        ),
        Feed(
            name=f"{CIN7}.catalogue",
            every_seconds=back.catalogue_seconds,
            turn=masters.CatalogueFeed(clock, cin7, master).turn,
        ),
        *_webhook_feeds(settings, cin7, desk, audit),
    ]


def _webhook_feeds(settings: Settings, cin7: Cin7Core, desk: CaseDesk, audit: Audit) -> list[Feed]:
    """The watchdog that keeps the back office's webhooks registered and awake."""
    hook = settings.cin7_core.webhook
    if not hook.public_url:
        return []
    look = cin7_core.watchdog(cin7, hook)

    async def turn(cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        result = await look(cursor, context)
        mended = (result.cursor or {}).get("mended", [])
        return replace(result, also=partial(_webhooks_mended, desk, audit, mended, registered_before=bool(cursor)))

    return [Feed(name=f"{CIN7}.webhooks", every_seconds=600.0, turn=turn)]


def _webhooks_mended(
    desk: CaseDesk, audit: Audit, mended: Sequence[str], tx: Tx, now: datetime, *, registered_before: bool
) -> None:
    """What was put right is on the record; webhooks that were registered once and had to be woken are a case."""
    subject = f"vendor:{CIN7}"
    if mended:
        audit.record(
            tx, actor="sellable", action="webhook.register", subject=subject, now=now, after={"kind": list(mended)}
        )
    if mended and registered_before:
        desk.open_case(tx, "webhook_inactive", subject, now, expected={"active": True}, actual={"woken": list(mended)})
    elif registered_before:
        desk.clear_cases(tx, ["webhook_inactive"], subject, now)


def fetchers_of(
    store: Store,
    clock: Clock,
    ids: Ids,
    budgets: Budgets,
    shop: Commercetools,
    cin7: Cin7Core,
    master: masters.Master,
    owner: str,
) -> list[Fetcher]:
    """What is read because something hinted at it."""
    theirs = masters.Fetches(store, ids, cin7, master)
    ours = storefront.Fetches(store, shop, shop)
    table = [
        (CT, "order", 50, ours.orders, "orders", CT),
        (CT, "entry", 100, ours.entries, "repair", CT),
        (CIN7, "sku", 1, theirs.skus, "stock", cin7_core.READS),
        (CIN7, "sale", 1, theirs.sales, "reads", cin7_core.READS),
    ]
    return [
        Fetcher(store, clock, system, kind, batch, fetch, lane, budgets=budgets, credential=credential, owner=owner)
        for system, kind, batch, fetch, lane, credential in table
    ]


def notice_layout(tx: Tx, layout: Layout, now: datetime) -> bool:
    """Whether the shop's shape is another than the numbers were computed with; all are then looked at again."""
    value = hashlib.blake2b(msgspec.json.encode(layout, order="deterministic"), digest_size=16).hexdigest()
    if tx.one(status.sql.remember, name="layout", value=value, at=now) is None:
        return False
    dirty.mark(tx, [r.sku for r in tx.all(status.sql.entry_skus)], Priority.LOWER, "settings", now)
    return True


def housekeeping(tx: Tx, settings: Settings, clock: Clock) -> None:
    """Retention, table by table: raw payloads for the configured days, settled work and explanations for longer."""
    now = clock.now()
    inbox_module.prune(tx, now - timedelta(days=settings.commercetools.payload_days))
    operations.prune(tx, now - timedelta(days=90))
    calls_module.prune(tx, now - timedelta(days=settings.commercetools.payload_days))
    tx.run(observe.sql.prune_sweeps, before=now - timedelta(days=1))
    tx.run(observe.sql.prune_explained, before=now - timedelta(days=90))
