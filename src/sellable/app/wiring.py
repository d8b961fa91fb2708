"""What the parts of a service are made of: which handler hears which arrival, which duty carries out which operation.

One rule: tables only; nothing here runs by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import httpx2

from sellable.app.desk import CaseDesk
from sellable.app.duties import ATTEMPTS_MAX, Carry, alone, carried, looked, together
from sellable.app.layout import masters_of
from sellable.config.said import Live
from sellable.config.secrets import key_of
from sellable.config.settings import OrderFlow as OrderFlowSettings
from sellable.config.settings import Settings
from sellable.connectors import commercetools
from sellable.connectors.cin7_core import webhooks as cin7_webhooks
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.commercetools.client import Commercetools
from sellable.connectors.orderflow import OrderFlow
from sellable.connectors.orderflow import webhooks as flow_webhooks
from sellable.desk.opening import OpenCase
from sellable.domain.orders import Order
from sellable.orders import (
    adoption,
    announcing,
    arrivals,
    cancel,
    capture,
    changes,
    departures,
    export,
    fulfilment,
    importing,
    reducing,
    returns,
    strays,
)
from sellable.orders.context import Context
from sellable.runtime import feeds as feeds_module
from sellable.runtime import inbox as inbox_module
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.dispatcher import Duty, Settled
from sellable.runtime.inbox import InboxRow, NotYet
from sellable.runtime.operations import Operation, Outcome
from sellable.runtime.seal import Seal
from sellable.runtime.wanted import want
from sellable.sync import creation, masters, storefront, warehouse, writer
from sellable.sync.storefront import Shop

T = TypeVar("T")
CIN7 = "cin7_core"
CT = "commercetools"
FLOW = "orderflow"


@dataclass(frozen=True, kw_only=True)
class House:
    """A warehouse that takes orders whole, with what is known of it as a master."""

    port: OrderFlow
    master: masters.Master
    settings: OrderFlowSettings


def private_hosts(settings: Settings) -> list[str]:
    """Hosts that may have private addresses, because their section says `insecure`."""
    shop, office, alerts = settings.commercetools, settings.cin7_core, settings.alerts
    house = settings.orderflow
    urls = [
        *([shop.api_url, shop.auth_url] if shop.insecure else []),
        *([office.base_url] if office.insecure else []),
        *([house.base_url] if house is not None and house.insecure else []),
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


def stale(settings: Settings, tx: ReadTx, now: datetime) -> frozenset[str]:
    """Masters whose numbers are older than the settings allow: nothing rises that they count."""
    return frozenset(name for name, age in settings.ages.items() if masters.stale(tx, name, age.limit, now))


def seal_of(settings: Settings) -> Seal:
    """What stored bodies are closed and opened with. Raises ValueError for settings that the check refuses."""
    written = settings.service.payload_key, settings.service.payload_key_before
    newest, before = (key_of(each) if each else None for each in written)
    if newest is None:
        raise ValueError("service.payload_key is missing")
    return Seal(newest, before)


ALONE = (
    "order", "sale.read", "entries", "stock.page", "stock.sku", "stock.close", "sales.page", "catalogue.page",
    "inventory.page", "despatch.page", "return.page",
)  # fmt: skip
"""Arrivals that lock an order, or rows of many SKUs; messages lock nothing that others want."""
READINGS = ("stock.page", "stock.sku", "stock.close", "sales.page", "catalogue.page", "inventory.page")
"""What a master's numbers come in, taken in one after the other: nobody who brings an order may stand behind them."""


def master_of(live: Live, name: str, open_case: OpenCase) -> masters.Master:
    """A master as the settings have it."""
    settings = live()
    return masters.Master(
        name=name,
        remotes=masters_of(settings).get(name, {}),
        elsewhere=tuple(place.name for place in settings.locations if place.keeper != name),
        open_case=open_case,
        low_mark=lambda: max((channel.low_mark for channel in live().channels), default=0),
    )


def handlers(
    context: Context, shop: Shop, master: masters.Master, house: House | None, sale_read: Callable[[], object]
) -> dict[str, inbox_module.Handler]:
    """Kind of arrival -> what decides about it; `sale_read` is called after a reading of a sale has been taken in."""
    by_name = {each.name: each for each in ([master, house.master] if house else [master])}

    def on_sku(tx: Tx, row: InboxRow, now: datetime) -> None:
        masters.on_sku(tx, row, now, master=by_name[row.meta["master"]])

    def on_sale(tx: Tx, row: InboxRow, now: datetime) -> None:
        reducing.on_sale(tx, row, now, context=context)
        if fulfilment.on_sale(tx, row, now, context=context):
            returns.on_sale(tx, row, now, context=context)
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
        "stock.sku": on_sku,
        "stock.close": partial(masters.on_close, master=master),
        "sales.page": partial(masters.on_sales, master=master),
        "sale.read": on_sale,
        "catalogue.page": partial(masters.on_catalogue, master=master),
        "cin7.hook": on_cin7_hook,
        **(_of_house(house, context) if house else {}),
    }


def _of_house(house: House, context: Context) -> dict[str, inbox_module.Handler]:
    """What a warehouse adds: its inventory, what left it, and its pushes, which are hints to look."""
    feeds = {"despatches": f"{FLOW}.despatches", "inventory": f"{FLOW}.stock", "returns": f"{FLOW}.returns"}

    def on_hook(tx: Tx, row: InboxRow, now: datetime) -> None:
        for hint in flow_webhooks.recognise(row.body).hints:
            if hint.kind in feeds:
                feeds_module.poke(tx, feeds[hint.kind])
            else:
                want(tx, FLOW, "sale" if hint.kind == "order" else hint.kind, [hint.key], 2, now)

    return {
        "inventory.page": partial(warehouse.on_inventory, master=house.master, clear_cases=context.clear_cases),
        "stock.absent": partial(warehouse.on_absent, master=house.master),
        "despatch.page": partial(departures.on_despatches, context=context),
        "return.page": partial(arrivals.on_returns, context=context),
        "orderflow.hook": on_hook,
    }


def duties(
    store: Store,
    clock: Clock,
    shop: Commercetools,
    cin7: Cin7Core,
    house: House | None,
    context: Context,
    layout: Any,
    desk: CaseDesk,
) -> list[Duty]:
    """Kind of operation -> how it is carried out, resolved and settled."""
    exporting = export.Exporting(store, clock, cin7, context)
    imports = {FLOW: house.port} if house else {}
    importing_ = importing.Importing(store, clock, imports, context)
    announcing_ = announcing.Announcing(store, imports, context)
    searching = adoption.Searching(store, cin7, context, imports, shop)
    noting = export.Noting(store, shop, context)
    delivering = fulfilment.Delivering(store, shop, context)
    returning = returns.Returning(store, shop, context)
    shrinking = reducing.Reducing(store, cin7, context)
    cancelling = reducing.Cancelling(store, shop, context)
    changing = changes.Changing(store, cin7, context)
    voiding = cancel.Voiding(store, cin7, context)
    if house:
        theirs: Any = importing.Sales(house.port)
        withdrawing = cancel.Voiding(store, theirs, context)
        shortening = reducing.Reducing(store, theirs, context)
    else:
        withdrawing, shortening = voiding, shrinking
    stray = strays.Voiding(cin7)
    resolver = writer.Resolver(store, clock, shop, layout, desk.raises_stopped)
    creating = creation.Creating(shop, desk.open_case, desk.clear_cases)
    table: list[tuple[str, Carry, Carry | None, Settled]] = [
        ("sale.find", searching.find, None, searching.settled),
        ("sale.create", exporting.create, exporting.search, exporting.created),
        ("sale.lines", exporting.put_lines, None, exporting.lines_settled),
        ("sale.authorise", exporting.authorise, exporting.look, exporting.authorised),
        ("order.import", alone(importing_), importing_.resolve, importing_.settled),
        (
            "sale.void",
            _by_office(voiding.send, withdrawing.send),
            _by_office(voiding.resolve, withdrawing.resolve),
            voiding.settled,
        ),
        (
            "sale.reduce",
            _by_office(shrinking.send, shortening.send),
            _by_office(shrinking.resolve, shortening.resolve),
            shrinking.settled,
        ),
        ("sale.header", changing.send, None, changing.settled),
        ("sale.visible", exporting.wait_visible, None, exporting.visible),
        ("stray.void", stray.send, None, stray.settled),
        ("order.note", noting.note, None, noting.noted),
        ("order.deliver", delivering.deliver, None, delivering.told),
        ("order.ready", delivering.ready, None, delivering.told),
        ("order.return", returning.send, None, returning.told),
        ("return.announce", alone(announcing_), None, announcing_.settled),
        ("order.cancelled", cancelling.send, None, cancelling.told),
        ("entry.create", creating.send, None, creating.settled),
        ("stock.write", resolver.send, resolver.resolve, partial(writer.settled, on_refused=desk.write_refused)),
    ]
    grouped = {"order.import": together(importing_), "return.announce": together(announcing_)}
    return [
        Duty(
            kind=kind,
            send=carried(send),
            resolve=looked(resolve),
            settled=settled,
            max_attempts=ATTEMPTS_MAX,
            together=grouped.get(kind),
            most=house.settings.import_batch if house else 1,
        )
        for kind, send, resolve, settled in table
    ]


def _by_office(stepwise: Carry, whole: Carry) -> Carry:
    """One kind of operation, carried out as its back office takes orders."""

    async def carry(op: Operation) -> Outcome:
        return await (whole if op.system == FLOW else stepwise)(op)

    return carry
