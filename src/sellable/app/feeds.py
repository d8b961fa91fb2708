"""What a service reads: again and again, how often, and what it reads because something hinted at it.

One rule: tables only; nothing here runs by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sellable.app.desk import CaseDesk
from sellable.app.wiring import CIN7, CT, FLOW, House
from sellable.config.settings import Settings
from sellable.connectors import cin7_core, orderflow
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.commercetools.client import Commercetools
from sellable.runtime.audit import Audit
from sellable.runtime.budgets import Budgets
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.feeds import Feed, FeedContext, FeedResult
from sellable.runtime.ids import Ids
from sellable.runtime.schedule import Chance
from sellable.runtime.wanted import Fetcher
from sellable.sync import creation, masters, storefront, warehouse

LOOK_SECONDS = 60.0
"""How often orders at a warehouse are read again, `looks_per_minute` of them."""


def feeds_of(
    settings: Settings,
    store: Store,
    clock: Clock,
    ids: Ids,
    shop: Commercetools,
    cin7: Cin7Core,
    master: masters.Master,
    house: House | None,
    desk: CaseDesk,
    audit: Audit,
) -> list[Feed]:
    """What is read again and again, and how often."""
    ct = settings.commercetools
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
        *(_cin7_feeds(settings, store, clock, ids, cin7, master) if CIN7 in settings.back_offices else []),
        *(_house_feeds(settings, store, clock, ids, house) if house else []),
        *_creation_feeds(settings, store, ids, shop, desk),
        *_webhook_feeds(settings, cin7, desk, audit),
    ]


def _cin7_feeds(
    settings: Settings, store: Store, clock: Clock, ids: Ids, cin7: Cin7Core, master: masters.Master
) -> list[Feed]:
    back = settings.cin7_core
    return [
        Feed(
            name=f"{CIN7}.stock",
            every_seconds=back.sweep_seconds,
            turn=masters.StockFeed(store, clock, ids, cin7, master).turn,
        ),
        Feed(
            name=f"{CIN7}.sales",
            every_seconds=back.sales_poll_seconds,
            turn=masters.SalesFeed(store, cin7, master, settings.orders.start_at).turn,
        ),
        Feed(
            name=f"{CIN7}.catalogue",
            every_seconds=back.catalogue_seconds,
            turn=masters.CatalogueFeed(clock, cin7, master, timedelta(hours=back.catalogue_walk_hours)).turn,
        ),
    ]


def _house_feeds(settings: Settings, store: Store, clock: Clock, ids: Ids, house: House) -> list[Feed]:
    theirs, overlap = house.settings, timedelta(minutes=house.settings.overlap_minutes)
    start = settings.orders.start_at
    return [
        Feed(
            name=f"{FLOW}.stock",
            every_seconds=theirs.inventory_poll_seconds,
            turn=warehouse.InventoryFeed(store, ids, house.port, house.master).turn,
        ),
        Feed(
            name=f"{FLOW}.despatches",
            every_seconds=theirs.despatch_poll_seconds,
            turn=warehouse.WindowFeed(
                store, clock, house.port.despatches, "despatch", FLOW, start, overlap, warehouse.by_so_many
            ).turn,
        ),
        *(
            [
                Feed(
                    name=f"{FLOW}.returns",
                    every_seconds=theirs.return_poll_seconds,
                    turn=warehouse.WindowFeed(store, clock, house.port.returns, "return", FLOW, start, overlap).turn,
                )
            ]
            if theirs.return_report
            else []
        ),
        Feed(
            name=f"{FLOW}.looks",
            every_seconds=LOOK_SECONDS,
            turn=warehouse.LookFeed(store, FLOW, theirs.looks_per_minute).turn,
        ),
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
    if not hook.public_url or CIN7 not in settings.back_offices:
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
    house: House | None,
    settings: Settings,
    owner: str,
    chance: Chance,
) -> list[Fetcher]:
    """What is read because something hinted at it."""
    theirs = masters.Fetches(store, ids, cin7, master)
    ours = storefront.Fetches(store, shop, shop)
    table = [
        (CT, "order", 50, ours.orders, "orders", CT),
        (CT, "entry", 100, ours.entries, "repair", CT),
    ]
    if CIN7 in settings.back_offices:
        table += [
            (CIN7, "sku", 1, theirs.skus, "stock", cin7_core.READS),
            (CIN7, "sale", 1, theirs.sales, "reads", cin7_core.READS),
        ]
    if house:
        of_house = warehouse.Fetches(store, clock, ids, house.port, house.master)
        table += [
            (FLOW, "sku", 50, of_house.skus, "stock", orderflow.CREDENTIAL),
            (FLOW, "sale", 1, of_house.sales, "reads", orderflow.CREDENTIAL),
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
