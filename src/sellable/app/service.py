"""The service: everything assembled from settings, started, and stopped without losing anything.

One rule: nothing in memory is needed; whatever a process had begun, the next one finds in the database.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx2
import msgspec
import psycopg

from sellable.app import acts, ladder, recovery, status, watching
from sellable.app import said as said_module
from sellable.app.console import console_of
from sellable.app.desk import CaseDesk
from sellable.app.feeds import feeds_of, fetchers_of
from sellable.app.layout import layout_of
from sellable.app.wiring import (
    ALONE,
    CIN7,
    CT,
    FLOW,
    READINGS,
    House,
    duties,
    handlers,
    master_of,
    once_known,
    private_hosts,
    stale,
    take,
)
from sellable.config.said import Live
from sellable.config.settings import Settings
from sellable.connectors import cin7_core, commercetools, orderflow
from sellable.connectors.cin7_core import webhooks as cin7_webhooks
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.commercetools import webhooks as ct_webhooks
from sellable.connectors.commercetools.client import Commercetools
from sellable.connectors.orderflow import OrderFlow
from sellable.connectors.orderflow import webhooks as flow_webhooks
from sellable.connectors.port import VendorError
from sellable.desk import cases, quarantine
from sellable.desk.alerts import Alerts
from sellable.domain.stock import Priority
from sellable.orders import rules, strays
from sellable.orders.context import Context
from sellable.runtime import calls as calls_module
from sellable.runtime import inbox as inbox_module
from sellable.runtime import operations, said, scribe, slots
from sellable.runtime.audit import Audit
from sellable.runtime.budgets import Budgets
from sellable.runtime.calls import CallLog
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.dispatcher import Dispatcher
from sellable.runtime.feeds import Feeds
from sellable.runtime.http import HttpError, HttpPort, PinnedTransport
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import Arrival, Inbox, Letterbox
from sellable.runtime.schedule import CHANCE, Bell, Chance, Loops, backoff, beat
from sellable.runtime.seal import IN_THE_OPEN
from sellable.runtime.wanted import Fetcher
from sellable.stock import catalogue, dirty, observe
from sellable.stock.availability import Layout
from sellable.sync import masters, storefront
from sellable.sync.loop import Syncer
from sellable.sync.storefront import Judge, Shop
from sellable.web.people import book as people
from sellable.web.people.guard import PeopleGuard
from sellable.web.people.pages import link_to
from sellable.web.server import Face, Refused

TAKEOVER_SECONDS = 2.0
FOLLOW_SECONDS = 10.0
"""What is said in the console is looked for so often, also without a hint."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What a process reaches the world by, and what it notes of it: every call under one budget, in one log."""

    client: httpx2.AsyncClient
    budgets: Budgets
    storefront: Commercetools
    back_office: Cin7Core
    warehouse: OrderFlow | None
    calls: CallLog
    audit: Audit


@dataclass
class Service:
    """One process of the running product."""

    live: Live
    store: Store
    clock: Clock
    ids: Ids
    desk: CaseDesk
    context: Context
    syncer: Syncer
    inbox: Inbox
    readings: Inbox
    letterbox: Letterbox
    provers: Sequence[masters.Prover]
    dispatcher: Dispatcher
    feeds: Feeds
    fetchers: Sequence[Fetcher]
    outside: Outside
    judge: Judge
    alerts: Alerts
    owner: str
    slot: slots.Slot | None = None
    chance: Chance = CHANCE
    loops: Loops = field(init=False)
    _said: Bell = field(init=False)

    def __post_init__(self) -> None:
        self._said = Bell(self.clock)

    @property
    def settings(self) -> Settings:
        """What file and console say now."""
        return self.live()

    async def start(self) -> None:
        """Starts every loop; open operations of a former life are resolved first by whoever claims them."""
        await self.store.write(slots.disown, self.owner)
        await self.reseal([IN_THE_OPEN])
        await self.follow_said()
        await self.store.write(ladder.notice, self.settings, self.desk, self.clock.now())
        await self.store.write(notice_layout, self.context.layout, self.clock.now())
        await self.store.write(catalogue.spell, rules.at_master(self.settings), self.clock.now())
        await self.syncer.listen()
        await self.store.listen(said.CHANNEL, self._said.ring)
        loops = self.loops = Loops(self.clock, chance=self.chance)
        for number in range(2):
            loops.add(f"inbox {number}", self.inbox.run)
        loops.add("readings", self.readings.run)
        for prover in self.provers:
            loops.add("prove" if prover is self.provers[0] else f"prove {prover.name}", prover.run)
        loops.add("dispatcher", self.dispatcher.run)
        loops.add("feeds", self.feeds.run)
        for number, fetcher in enumerate(self.fetchers):
            loops.add(f"fetch {number}", fetcher.run)
        loops.add("said", self._follow)
        loops.add("plan", self.syncer.plan)
        for number in range(4):
            loops.add(f"write lowers {number}", self.syncer.write_lowers)
        loops.add("write raises", self.syncer.write_raises)
        # Much shorter than any lease: what a killed process was doing goes on within seconds. A fast clock must not
        # make it a race, so five times a real second are enough.
        often = 0.2 / self.clock.real(1.0)
        pause = max(TAKEOVER_SECONDS, often)
        loops.every("takeover", pause, partial(self.store.write, slots.Undertaker().look))
        if self.slot is not None:
            loops.every("slot", pause, partial(asyncio.to_thread, self.slot.keep))
        loops.every("judge", 5.0, self.syncer.judge)
        loops.every("suspects", 10.0, self.syncer.lower_overdue)
        loops.every("strays", 60.0, partial(self.store.write, strays.owe_voiding, self.context, self.clock))
        loops.every("recovery", 5.0, partial(self._watch, recovery.look, self.settings))
        loops.every("many", 5.0, partial(self._watch, watching.drift, self.context.layout))
        loops.every("first passes", 5.0, partial(self._watch, ladder.judge, self.settings))
        loops.every("short", 60.0, partial(self._watch, watching.oversold, self.settings))
        if self.context.layout.counted:
            loops.every("counted", 60.0, partial(self._watch, watching.counted, self.context.layout))
        loops.every("catalogues", 60.0, partial(self._watch, watching.catalogues))
        loops.every("ages", 60.0, self.watch_ages)
        loops.every("keys", 60.0, self.keep_sealed)
        loops.every("housekeeping", 600.0, partial(self.store.write, housekeeping, self.settings, self.clock))
        loops.every("audit", max(1.0, often), self.write_up)
        loops.every("seal", 60.0, partial(self.store.write, _seal, self.outside.audit, self.clock))
        loops.add("alerts", self.alerts.run)
        loops.every("learn", 600.0, self._learn)
        loops.start()

    async def stop(self) -> list[str]:
        """Stops claiming, waits for what is on its way, closes; returns loops that had to be cancelled."""
        late = await self.loops.stop()
        with suppress(psycopg.OperationalError):
            await self.write_up()
            await self.store.write(_seal, self.outside.audit, self.clock)
        await self.outside.client.aclose()
        self.store.close()
        if self.slot is not None:
            self.slot.close()
        return late

    async def _watch(self, look: Callable[..., None], *more: Any) -> None:
        """One look for a trouble that nobody reports."""
        await self.store.write(look, self.desk, *more, self.clock.now())

    async def watch_ages(self) -> None:
        """One look for what waits too long."""
        await self.store.write(self.desk.watch_ages, self.settings, self.clock)

    async def _follow(self, stop: asyncio.Event) -> None:
        """Take over what is said in the console, whichever process it is said at."""
        while not stop.is_set():
            await self._said.wait(FOLLOW_SECONDS, stop)
            await self.follow_said()
            beat()

    async def follow_said(self) -> None:
        """What file and console say together counts from here on in this process."""
        settings, _ = await self.store.read(said_module.together_now, self.live.file)
        if self.live.take(settings):
            self.desk.owners.become(settings.owners)
            self.syncer.shape(layout_of(settings))

    async def write_up(self) -> None:
        """Bring the audit and the log of calls up to date."""
        await self.store.write(self.outside.calls.flush)
        while await self.store.write(scribe.write_up, self.outside.audit, self.clock.now()) == scribe.BATCH:
            beat()

    async def keep_sealed(self) -> None:
        """Let go on what waited for a key that is here now, and bring rows under the newest key."""
        seal = self.store.seal
        assert seal is not None
        await self.store.write(quarantine.unlock, seal.names, self.clock.now())
        if seal.older:
            await self.reseal(seal.older)

    async def reseal(self, key_ids: Sequence[str]) -> None:
        """Seal every row stored under these keys with the newest one."""
        after: int | None = 0
        while after is not None:
            after = await self.store.write(inbox_module.reseal, key_ids, after)
            beat()

    async def _learn(self) -> None:
        """Look up what the storefront calls its channels; while it does not answer, try again soon."""
        for tried in itertools.count(1):
            try:
                await self.outside.storefront.learn(lane="orders")
            except (VendorError, HttpError) as error:
                log.warning("the storefront's channels cannot be looked up: %s", type(error).__name__)
                await self.clock.sleep(backoff(tried, self.chance))
            else:
                return

    # --- What the web face asks ---------------------------------------------------------------------------------------

    def face(self) -> Face:
        """Webhooks, status and health of this process."""
        service = self.settings.service
        return Face(
            metrics_token=None if service.metrics_open else service.metrics_token,
            webhooks={
                "commercetools": self._commercetools_hook,
                "cin7": self._cin7_hook,
                **({"orderflow": self._orderflow_hook} if self.settings.orderflow else {}),
            },
            status=self.overview,
            ready=self.ready,
            alive=self.silent,
            console=console_of(
                self.live, self.store, self.clock, PeopleGuard(self.store, self.clock, self.settings), self.overview
            ),
        )  # fmt: skip

    async def first_link(self, base: str) -> str | None:
        """A one-time link that makes the first admin; None when there are people."""
        record = acts.recorder(self.settings, self.clock)
        book = people.Book(record=record, clock=self.clock, settings=self.settings)
        word = await self.store.write(partial(people.first_link, book))
        return link_to(self.settings.console.public_url, base, word) if word else None

    async def overview(self) -> dict[str, Any]:
        """Status of the whole installation, with budgets by lane."""
        found = await self.store.read(status.overview, self.clock.now())
        found["budgets"] = [
            {
                "credential": u.credential, "lane": u.lane, "share": u.share, "used": u.used, "calls": u.calls,
                "window_seconds": u.window_seconds, "waiting": u.waiting, "tokens": round(u.tokens, 2),
                "cooling": u.cooldown_until is not None and u.cooldown_until > self.clock.now(),
            }
            for u in await self.outside.budgets.usage()
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

    async def _orderflow_hook(self, token: str, headers: Mapping[str, str], body: bytes) -> str:
        house = self.settings.orderflow
        if house is None or not flow_webhooks.verify(token, headers, house):
            raise Refused(401, "not authorised")
        try:
            notice = flow_webhooks.recognise(body)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        arrival = Arrival(source=FLOW, message_id=notice.identity, kind="orderflow.hook", lane="", body=body)
        await self.letterbox.post([arrival])
        return notice.reply


def _seal(tx: Tx, audit: Audit, clock: Clock) -> None:
    audit.seal(tx, clock.now())


def _answers(tx: ReadTx) -> bool:
    return bool(tx.value(status.sql.ready))


# --- Assembly --------------------------------------------------------------------------------------------------------


def outside_of(
    settings: Settings, store: Store, clock: Clock, ids: Ids, client: httpx2.AsyncClient | None, owner: str
) -> Outside:
    """The doors of a process, which pays from the budgets that all processes share. `client` replaces the network."""
    key = settings.service.redaction_key.encode()
    house = settings.orderflow
    specs = [
        *commercetools.budgets(settings.commercetools),
        *(cin7_core.budgets(settings.cin7_core) if CIN7 in settings.back_offices else ()),
        *(orderflow.budgets(house) if house else ()),
    ]
    budgets = Budgets(store, clock, specs)
    client = client or httpx2.AsyncClient(transport=PinnedTransport(private_hosts(settings)))
    calls = CallLog(key)
    http = HttpPort(client, clock, budgets, calls.note)
    return Outside(
        client=client, budgets=budgets, calls=calls, audit=Audit(ids.new(owner), key),
        storefront=Commercetools(http, budgets, settings.commercetools),
        back_office=Cin7Core(http, budgets, settings.cin7_core, Places(settings.locations, settings.states)),
        warehouse=orderflow.OrderFlow(http, budgets, house, orderflow.Sites(settings.locations)) if house else None,
    )  # fmt: skip


def assemble(
    settings: Settings,
    store: Store,
    clock: Clock,
    *,
    client: httpx2.AsyncClient | None = None,
    owner: str | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
    chance: Chance = CHANCE,
) -> Service:
    """Builds a service on a migrated database. `client` replaces the network (simulators in process), `entropy` and
    `chance` what ids and pauses are drawn from.

    Without `owner` the process takes a slot and its name, and with it whatever a dead process of that name held.
    """
    slot = None if owner else slots.Slot(store.url)
    owner = owner or (slot.take() if slot else "")
    ids = Ids(clock, entropy)
    live = Live(settings)
    layout = layout_of(settings)
    desk = CaseDesk(settings)
    outside = outside_of(settings, store, clock, ids, client, owner)
    budgets, shop_port, cin7 = outside.budgets, outside.storefront, outside.back_office
    context = Context(
        current=live, layout=layout, ids=ids, translate=once_known(shop_port.translate_order),
        open_case=desk.open_case, clear_cases=desk.clear_cases,
    )  # fmt: skip
    shop = Shop(
        open_case=desk.open_case,
        take_order=partial(take, context=context),
        translate_message=once_known(shop_port.translate_message),
        channels=frozenset(layout.channels),
        counted=layout.counted,
        stock_writers=settings.commercetools.stock_writers,
    )
    master = master_of(live, CIN7, desk.open_case)
    house: House | None = None
    if outside.warehouse is not None and settings.orderflow is not None:
        house = House(
            port=outside.warehouse, master=master_of(live, FLOW, desk.open_case), settings=settings.orderflow
        )  # fmt: skip
    provers = [masters.Prover(store, clock, each) for each in ([master, house.master] if house else [master])]
    judge = Judge(store, shop_port, shop, shop_port.translate_order, inbox_module.put)
    syncer = Syncer(
        store, clock, ids, budgets, shop_port, layout, shop, judge,
        owner=owner,
        on_refused=desk.write_refused,
        stale_masters=lambda tx, now: stale(live(), tx, now),
        on_stale=partial(notice_stale, layout),
        frozen=desk.frozen,
        stopped=desk.raises_stopped,
    )  # fmt: skip
    dispatcher = Dispatcher(
        store, clock, ids, budgets, duties(store, clock, shop_port, cin7, house, context, layout, desk), desk.exhausted,
        owner,
        {CT: settings.commercetools.concurrency, **dict.fromkeys(settings.back_offices, 8), "self": 64},
        credentials={CIN7: cin7_core.ORDERS}, chance=chance,
    )  # fmt: skip
    feeds = Feeds(
        store, clock, feeds_of(settings, store, clock, ids, shop_port, cin7, master, house, desk, outside.audit), owner,
        on_failure=desk.feed_failed, on_recovery=desk.feed_recovered, chance=chance,
    )  # fmt: skip
    table = handlers(context, shop, master, house, partial(_ring, provers))
    boxed = partial(Inbox, store, clock, table, desk.poison, known=storefront.echoes, alone=ALONE, kinds=READINGS)
    alerts = Alerts(
        store, clock, settings.alerts, desk.owners, HttpPort(outside.client, clock, None),
        redaction_key=settings.service.redaction_key.encode(),
    )  # fmt: skip
    return Service(
        live=live, store=store, clock=clock, ids=ids, desk=desk, context=context, syncer=syncer, inbox=boxed(),
        readings=boxed(only=True), letterbox=Letterbox(store, clock), provers=provers, dispatcher=dispatcher,
        feeds=feeds,
        fetchers=fetchers_of(store, clock, ids, budgets, shop_port, cin7, master, house, settings, owner, chance),
        outside=outside,
        judge=judge, alerts=alerts, owner=owner, slot=slot, chance=chance,
    )  # fmt: skip


def _ring(provers: Sequence[masters.Prover]) -> None:
    for prover in provers:
        prover.sale_read()


def notice_layout(tx: Tx, layout: Layout, now: datetime) -> bool:
    """Whether the shop's shape is another than the numbers were computed with; all are then looked at again."""
    value = hashlib.blake2b(msgspec.json.encode(layout, order="deterministic"), digest_size=16).hexdigest()
    if tx.one(status.sql.remember, name="layout", value=value, at=now) is None:
        return False
    dirty.mark(tx, [r.sku for r in tx.all(status.sql.entry_skus)], Priority.LOWER, "settings", now)
    return True


def notice_stale(layout: Layout, tx: Tx, stale: Collection[str], now: datetime) -> None:
    """Numbers of masters became too old, or young again: what is held back because of it may concern every number.

    One transition is one mark, whichever process sees it first; without a `stale_buffer` no number changes by it.
    """
    for master in sorted(set(layout.masters.values())):
        old = master in stale
        fresh = tx.one(status.sql.remember, name=f"stale {master}", value=str(old), at=now) is not None
        if fresh and layout.stale_buffers.get(master):
            priority, reason = (Priority.LOWER, "numbers too old") if old else (Priority.RAISE, "numbers young again")
            dirty.mark(tx, [r.sku for r in tx.all(status.sql.entry_skus)], priority, reason, now)


def housekeeping(tx: Tx, settings: Settings, clock: Clock) -> None:
    """Retention, table by table: raw payloads for the configured days, settled work and explanations for longer."""
    now = clock.now()
    inbox_module.prune(tx, now - timedelta(days=settings.commercetools.payload_days))
    operations.prune(tx, now - timedelta(days=90))
    calls_module.prune(tx, now - timedelta(days=settings.commercetools.payload_days))
    cases.prune(tx, now - timedelta(days=settings.service.case_days))
    people.prune(tx, settings, now)
    tx.run(observe.sql.prune_sweeps, before=now - timedelta(days=1))
    tx.run(observe.sql.prune_explained, before=now - timedelta(days=90))
