"""What the parts of a service are made of: which handler hears which arrival, which duty carries out which operation,
what is read how often.

One rule: tables only; nothing here runs by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import httpx2

from sellable.app.desk import CaseDesk
from sellable.app.duties import ATTEMPTS_MAX, Carry, carried, looked
from sellable.app.layout import masters_of
from sellable.config.secrets import key_of
from sellable.config.settings import Settings
from sellable.connectors import cin7_core, commercetools
from sellable.connectors.cin7_core import webhooks as cin7_webhooks
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.commercetools.client import Commercetools
from sellable.domain.orders import Order
from sellable.orders import adoption, cancel, capture, export, fulfilment, strays
from sellable.orders.context import Context
from sellable.runtime import feeds as feeds_module
from sellable.runtime import inbox as inbox_module
from sellable.runtime.audit import Audit
from sellable.runtime.budgets import Budgets
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.dispatcher import Duty, Settled
from sellable.runtime.feeds import Feed, FeedContext, FeedResult
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import InboxRow, NotYet
from sellable.runtime.schedule import Chance
from sellable.runtime.seal import Seal
from sellable.runtime.wanted import Fetcher, want
from sellable.sync import creation, masters, storefront, writer
from sellable.sync.storefront import Shop

T = TypeVar("T")
CIN7 = "cin7_core"
CT = "commercetools"


def private_hosts(settings: Settings) -> list[str]:
    """Hosts that may have private addresses, because their section says `insecure`."""
    shop, office, alerts = settings.commercetools, settings.cin7_core, settings.alerts
    urls = [
        *([shop.api_url, shop.auth_url] if shop.insecure else []),
        *([office.base_url] if office.insecure else []),
        *([alerts.webhook_url] if alerts.insecure else []),
    ]
    return [httpx2.URL(url).host for url in urls if url]


def once_known(translate: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """An order that names a channel nobody has looked up yet waits; it is neither guessed nor a failure."""

    def translated(body: bytes) -> T:
        try:
            return translate(body)
        except commercetools.ChannelUnknown as error:
            raise NotYet(str(error)) from error

    return translated


def take(tx: Tx, order: Order, now: datetime, *, context: Context) -> None:
    """An order that a message carried."""
    capture.take(tx, order, now, context)


def stale(settings: Settings, tx: ReadTx, now: datetime) -> bool:
    """Whether any master's numbers are older than the settings allow: then nothing rises."""
    limit = timedelta(minutes=settings.cin7_core.max_age_minutes)
    return any(masters.stale(tx, name, limit, now) for name in masters_of(settings))


def seal_of(settings: Settings) -> Seal:
    """What stored bodies are closed and opened with. Raises ValueError for settings that the check refuses."""
    written = settings.service.payload_key, settings.service.payload_key_before
    newest, before = (key_of(each) if each else None for each in written)
    if newest is None:
        raise ValueError("service.payload_key is missing")
    return Seal(newest, before)


ALONE = ("order", "sale.read", "entries", "stock.page", "stock.sku", "stock.close", "sales.page", "catalogue.page")
"""Arrivals that lock an order, or rows of many SKUs; messages lock nothing that others want."""
READINGS = ("stock.page", "stock.sku", "stock.close", "sales.page", "catalogue.page")
"""What a master's numbers come in, taken in one after the other: nobody who brings an order may stand behind them."""


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
    searching = adoption.Searching(store, cin7, context)
    noting = export.Noting(store, shop, context)
    delivering = fulfilment.Delivering(store, shop, context)
    voiding = cancel.Voiding(store, cin7, context)
    stray = strays.Voiding(cin7)
    resolver = writer.Resolver(store, clock, shop, layout, desk.raises_stopped)
    creating = creation.Creating(shop, desk.open_case, desk.clear_cases)
    table: list[tuple[str, Carry, Carry | None, Settled]] = [
        ("sale.find", searching.find, None, searching.settled),
        ("sale.create", exporting.create, exporting.search, exporting.created),
        ("sale.lines", exporting.put_lines, None, exporting.lines_settled),
        ("sale.authorise", exporting.authorise, exporting.look, exporting.authorised),
        ("sale.void", voiding.send, voiding.resolve, voiding.settled),
        ("sale.visible", exporting.wait_visible, None, exporting.visible),
        ("stray.void", stray.send, None, stray.settled),
        ("order.note", noting.note, None, noting.noted),
        ("order.deliver", delivering.deliver, None, delivering.told),
        ("order.ready", delivering.ready, None, delivering.told),
        ("entry.create", creating.send, None, creating.settled),
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
            turn=masters.CatalogueFeed(clock, cin7, master, timedelta(hours=back.catalogue_walk_hours)).turn,
        ),
        *_creation_feeds(settings, store, ids, shop, desk),
        *_webhook_feeds(settings, cin7, desk, audit),
    ]


def _creation_feeds(settings: Settings, store: Store, ids: Ids, shop: Commercetools, desk: CaseDesk) -> list[Feed]:
    """Makes missing entries, where a channel asks for it."""
    pools = {pool.name: pool.locations for pool in settings.pools}
    places = {
        channel.key: pools[channel.pool]
        for channel in settings.channels
        if channel.create_entries and channel.mode == "full"
    }
    if not places:
        return []
    feed = creation.CreationFeed(store, ids, shop, places, walk=f"{CT}.entries", frozen=desk.frozen)
    return [Feed(name=f"{CT}.new entries", every_seconds=600.0, turn=feed.turn)]


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
    chance: Chance,
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
        Fetcher(
            store,
            clock,
            system,
            kind,
            batch,
            fetch,
            lane,
            budgets=budgets,
            credential=credential,
            owner=owner,
            chance=chance,
        )
        for system, kind, batch, fetch, lane, credential in table
    ]
