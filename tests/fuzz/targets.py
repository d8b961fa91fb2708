"""What hostile bytes may reach: one target for each way in, with the errors it is allowed to raise.

A target takes bytes and either returns or raises one of its named errors; anything else is a crash. What it returns is
looked at too: it must be storable (no NUL, only finite numbers) and come back equal from its stored form. Vendors'
answers go in through the real clients, so that the promise under test is the one the rooms rely on.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from tests.e2e.world import settings_of
from tests.fuzz import seeds

from sellable.config import load, said, secrets, settings
from sellable.config.check import check
from sellable.config.problems import ConfigError
from sellable.connectors.cin7_core import answers as cin7_answers
from sellable.connectors.cin7_core import orders, wire
from sellable.connectors.cin7_core import translate as cin7_translate
from sellable.connectors.cin7_core import webhooks as cin7_webhooks
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.commercetools import fulfilment, predicates, session, setup
from sellable.connectors.commercetools import translate as ct_translate
from sellable.connectors.commercetools import webhooks as ct_webhooks
from sellable.connectors.commercetools.client import Commercetools
from sellable.connectors.kit import answers as kit_answers
from sellable.connectors.kit.decode import decode
from sellable.connectors.orderflow import OrderFlow, Sites
from sellable.connectors.orderflow import orders as of_orders
from sellable.connectors.orderflow import webhooks as of_webhooks
from sellable.connectors.orderflow import wire as of_wire
from sellable.connectors.port import (
    DeliveryDraft,
    Imported,
    RawOrder,
    ReturnAdvice,
    ReturnLine,
    SaleDraft,
    SaleLine,
    StockWrite,
    VendorError,
)
from sellable.desk import alerts
from sellable.desk.owners import Owners
from sellable.domain.money import Rounding, to_major, to_minor
from sellable.domain.orders import Address, Order
from sellable.domain.stock import State, normal_sku
from sellable.orders import rules, sales, totals
from sellable.runtime import audit, http
from sellable.runtime.calls import CallLog
from sellable.runtime.clock import Clock, Dial
from sellable.runtime.database import Tx
from sellable.runtime.http import Answer, Exchange, ForbiddenUrl, HttpError, HttpPort
from sellable.runtime.inbox import InboxRow
from sellable.sandbox.commercetools.predicate import matches
from sellable.simulation import chaos, history
from sellable.stock.catalogue import Known
from sellable.sync import masters, storefront
from sellable.web.api import endpoints as api
from sellable.web.api import routes as api_routes
from sellable.web.console import orders as orders_page
from sellable.web.console import sku as sku_page
from sellable.web.people import guard
from sellable.web.people import pages as people_pages

Dial.PATIENCE_SECONDS = 0.01
SCRATCH = Path(tempfile.gettempdir()) / "sellable-fuzz"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Target:
    """`run` may raise `expected` and nothing else; `seeds` are inputs it understands."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    expected: tuple[type[Exception], ...] = ()


class Unfit(AssertionError):
    """A target returned what cannot be stored, or what does not come back."""


def storable(value: Any) -> None:
    """Raises Unfit unless PostgreSQL could hold the value's JSON."""
    text = msgspec.json.encode(value)
    if b"\\u0000" in text.replace(b"\\\\", b""):
        raise Unfit(f"NUL in {text[:200]!r}")
    json.dumps(msgspec.json.decode(text), allow_nan=False)


def returns(value: Any, type_: Any) -> None:
    """Raises Unfit unless the value is storable and equal to what is read back from its stored form."""
    storable(value)
    if msgspec.json.decode(msgspec.json.encode(value), type=type_) != value:
        raise Unfit(f"does not come back: {value!r}"[:500])


def arrives(arrivals: Iterable[Any]) -> None:
    """Raises Unfit unless each could become a row of the inbox."""
    for arrival in arrivals:
        storable([arrival.source, arrival.message_id, arrival.kind, arrival.lane, dict(arrival.meta)])
        if not arrival.message_id:
            raise Unfit("an arrival without an identity")


def awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise Unfit("it waits for something")


# --- Vendors' answers ------------------------------------------------------------------------------------------------

STATUSES = (200, 201, 400, 401, 403, 404, 409, 429, 500, 503, 301, 204)
DATE = "Sat, 21 Nov 2026 12:00:00 GMT"


class Door:
    """Stands where the HTTP port is: the token and the registers are as they should be, the rest is what we are fed."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, feeds: str) -> None:
        self.answer = _answer(status, headers, body)
        self._feeds = feeds

    def allow(self, base_url: str, *, insecure: bool = False) -> None:
        """Any address."""

    async def call(self, method: str, url: str, **_: Any) -> Answer:
        known = {
            "/oauth/token": b'{"access_token":"t","expires_in":172800}',
            "/shop/channels": seeds.CHANNELS,
            "/shop/types": seeds.TYPES,
        }
        for path, body in known.items():
            if url.endswith(path) and path != self._feeds:
                return _answer(200, {"date": DATE}, body)
        return self.answer


def _answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    return Answer(
        status=status, headers=headers, body=body, sent_at=NOW, answered_at=NOW, date=http.date_of(headers.get("date")),
        seconds=0.0,
    )  # fmt: skip


CT_SETTINGS = settings.Commercetools(
    project="shop", client_id="ours", client_secret="s", restocks_on_cancel="no", export_channel="out", write_batch=1
)
CT_BATCHED = msgspec.structs.replace(CT_SETTINGS, write_batch=25)
CIN7_SETTINGS = settings.Cin7Core(account_id="acc", key="write", read_key="read")
PLACES = Places(
    [settings.Location(name="berlin", master="cin7_core", remote="Main Warehouse")],
    [settings.StateRule(location="berlin", bin="*", state=State.AVAILABLE)],
)
DRAFT = SaleDraft(
    ref="shop:o1:1", order_number="W-1", customer="Web EUR", location="berlin", currency="EUR", tax_rule="DE 19%",
    tax_included=True, placed_on="2026-11-21", note="", carrier="", email="", shipping_address=Address(),
    billing_address=Address(), charges=(),
    lines=(
        SaleLine(
            sku="CRUNCHY-ARMCHAIR", name="Armchair", quantity=2, price=Decimal("119.00"), tax=Decimal("38.00"),
            total=Decimal("238.00"), tax_rule="DE 19%",
        ),
    ),
)  # fmt: skip
WRITES = [
    StockWrite(op_id=f"op_{n}", sku="A", channel="web", remote_id=f"e{n}", version=3, difference=-1, typed=None)
    for n in range(2)
]
SHIPMENT = DeliveryDraft(
    order_id="order-1", delivery_key="d1", items=(("line-1", 1),),
    parcels=(("p 1", "DHL", "1Z", "", (("line-1", 1),)),), shipment_state="Shipped", order_state="Complete",
)  # fmt: skip


OF_SETTINGS = settings.OrderFlow(
    base_url="https://of.example/web", user="api", password="a-long-secret-word", channel="web", organisation="acme",
    time_zone="Europe/London",
)  # fmt: skip
SITES = Sites([settings.Location(name="leeds", master="orderflow", remote="Leeds DC")])
OF_DRAFT = msgspec.structs.replace(DRAFT, location="leeds", placed_at=NOW)
OF_RETURN = ReturnAdvice(ref="rma-1", order_ref="shop:o1:1", lines=(ReturnLine(sku="A", quantity=1),), returned_at=NOW)


def fed(data: bytes) -> tuple[int, int, dict[str, str], bytes]:
    """(choice of call, status, headers, body) from bytes: two for the choices, one optional line of headers."""
    choice, status = (data[0], data[1]) if len(data) > 1 else (0, 0)
    head, mark, body = data[2:].partition(b"\n\n")
    headers = {"date": DATE}
    if mark and len(head) < 400:
        for line in head.decode("latin-1").splitlines():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
    else:
        body = data[2:]
    return choice, STATUSES[status % len(STATUSES)], headers, body


def cin7(*calls: Callable[[Cin7Core], Coroutine[Any, Any, Any]]) -> Callable[[bytes], None]:
    """A target that asks one of these of Cin7 Core."""

    def run(data: bytes) -> None:
        choice, status, headers, body = fed(data)
        door = cast(HttpPort, Door(status, headers, body, ""))
        awaited(calls[choice % len(calls)](Cin7Core(door, None, CIN7_SETTINGS, PLACES)))

    return run


def ct(
    *calls: Callable[[Commercetools], Coroutine[Any, Any, Any]], feeds: str = "", batched: bool = False
) -> Callable[[bytes], None]:
    """A target that asks one of these of commercetools; `feeds` is the register whose answer is hostile."""

    def run(data: bytes) -> None:
        choice, status, headers, body = fed(data)
        door = cast(HttpPort, Door(status, headers, body, feeds))
        client = Commercetools(door, None, CT_BATCHED if batched else CT_SETTINGS)
        awaited(calls[choice % len(calls)](client))

    return run


def orderflow(*calls: Callable[[OrderFlow], Coroutine[Any, Any, Any]]) -> Callable[[bytes], None]:
    """A target that asks one of these of OrderFlow."""

    def run(data: bytes) -> None:
        choice, status, headers, body = fed(data)
        door = cast(HttpPort, Door(status, headers, body, ""))
        awaited(calls[choice % len(calls)](OrderFlow(door, None, OF_SETTINGS, SITES)))

    return run


async def _of_inventory(client: OrderFlow) -> None:
    page = await client.inventory(None, site=None, lane="stock")
    returns(page, type(page))
    storable([row.stock for row in page.rows])


async def _of_detail(client: OrderFlow) -> None:
    sale = await client.order_detail("shop:o1:1", lane="orders")
    returns(sale, cin7_translate.Sale | None)


async def _of_despatches(client: OrderFlow) -> None:
    page = await client.despatches(NOW, NOW, lane="reads")
    returns(page, type(page))


async def _of_returns(client: OrderFlow) -> None:
    page = await client.returns(NOW, NOW, lane="reads")
    returns(page, type(page))


async def _of_import(client: OrderFlow) -> None:
    found = await client.import_orders([OF_DRAFT], lane="orders")
    returns(found, list[Imported])


async def _of_import_returns(client: OrderFlow) -> None:
    found = await client.import_returns([OF_RETURN], lane="orders")
    returns(found, list[Imported])


async def _of_cancel(client: OrderFlow) -> None:
    await client.cancel_order("shop:o1:1", free_reference=True, lane="orders")


def orderflow_order(data: bytes) -> None:
    """Whatever stands in an order's texts, the import that is written holds this order and nothing else."""
    text = data.decode("utf-8", "surrogateescape")
    words = Address(name=text, line1=text, city=text[::-1], postcode=text[:9], country=text[:2])
    sold = msgspec.structs.replace(OF_DRAFT.lines[0], name=text, sku=text[:40] or "A", tax_rule=text)
    draft = msgspec.structs.replace(
        OF_DRAFT, note=text, order_number=text, email=text, carrier=text, shipping_address=words, lines=(sold,)
    )
    entity = of_orders.order(draft, "Leeds DC", OF_SETTINGS, UTC)
    (sent,) = of_wire.parse(of_wire.imports([entity])).children
    told = [line.partition("=")[0] for line in sent.text.split("\n") if line]
    if sent.children or told != [key for key, _ in entity.fields]:
        raise Unfit(f"another order than meant: {told}"[:500])


async def _stock(client: Cin7Core) -> None:
    page = await client.stock_page("berlin", 1, lane="stock")
    returns(page, type(page))
    masters.rows_of(page)
    masters._after({"received": 0, "total": None, "page": 1, "place": 0, "fault": ""}, page)


async def _stock_of(client: Cin7Core) -> None:
    page = await client.stock_of("CRUNCHY-ARMCHAIR", lane="stock")
    returns(page, type(page))


async def _transfers(client: Cin7Core) -> None:
    touched, mark = await client.transfers_touched("", lane="stock")
    storable([sorted(touched), mark])
    cin7_translate.transfers_changed([], mark, NOW)


async def _catalogue(client: Cin7Core) -> None:
    page = await client.catalogue_page(1, since=None, lane="reads")
    returns(page, type(page))
    for item in page.items:
        normal_sku(item.sku)


async def _sale(client: Cin7Core) -> None:
    sale = await client.read_sale(seeds.SALE_ID, lane="reads")
    returns(sale, type(sale))


async def _sales(client: Cin7Core) -> None:
    page = await client.sales_page(1, updated_since="2026-11-21T00:00:00.000Z", lane="reads")
    returns(page.rows, tuple[cin7_translate.SaleRow, ...])
    # It becomes the mark of the next walk.
    mark = masters.newest_of("2026-11-21T00:00:00.000Z", (row.updated for row in page.rows), NOW)
    masters.back(mark, 600)


async def _found(client: Cin7Core) -> None:
    rows = await client.find_by_ref("shop:o1:1", lane="orders")
    storable(rows)


async def _reference(client: Cin7Core) -> None:
    storable([await client.me(lane="reads")])


async def _locations(client: Cin7Core) -> None:
    storable(await client.locations(lane="reads"))


async def _taxes(client: Cin7Core) -> None:
    storable(await client.tax_rules(lane="reads"))


async def _webhooks(client: Cin7Core) -> None:
    storable(await client.webhooks(lane="reads"))


async def _draft(client: Cin7Core) -> None:
    storable(await client.create_draft(DRAFT, lane="orders"))


async def _lines(client: Cin7Core) -> None:
    sale = await client.put_lines(seeds.SALE_ID, DRAFT, authorise=True, lane="orders")
    returns(sale, type(sale))


async def _void(client: Cin7Core) -> None:
    await client.void_sale(seeds.SALE_ID, undo=False, lane="orders")


async def _entries(client: Commercetools) -> None:
    found = await client.read_entries([("A", "web"), ("B", None)], lane="reads")
    returns(found, type(found))


async def _walk(client: Commercetools) -> None:
    found = await client.walk_entries("e0", lane="reads")
    returns(found, type(found))
    arrives([storefront.readings_arrival(found, 1)])


async def _sold(client: Commercetools) -> None:
    assert await client.sold(["A", "B"], lane="repair") <= {"A", "B"}


async def _created(client: Commercetools) -> None:
    found = await client.create_entry("A", "web", "op_1", lane="stock")
    returns(found, type(found))


async def _messages(client: Commercetools) -> None:
    page = await client.messages(None, until=None, lane="orders")
    arrives([storefront.message_arrival(message) for message in page.messages])
    storable(page.cursor)


async def _orders(client: Commercetools) -> None:
    page = await client.orders_modified(None, since="2026-11-21T00:00:00.000Z", lane="repair")
    arrives([storefront.order_arrival(o.order_id, o.version, o.body) for o in page.orders])
    storable([page.cursor, [o.modified_at for o in page.orders]])
    # It becomes the mark of the next sweep.
    mark = masters.newest_of("2026-11-21T00:00:00.000Z", (o.modified_at for o in page.orders), NOW)
    masters.back(mark, 300)


async def _orders_of(client: Commercetools) -> None:
    page = await client.orders_with_sku("A", since=NOW, lane="repair")
    storable(page.cursor)


async def _order(client: Commercetools) -> None:
    order = await client.read_order("order-1", lane="orders")
    arrives([storefront.order_arrival(order.order_id, order.version, order.body)])


async def _write(client: Commercetools) -> None:
    storable(await client.write(WRITES, lane="stock"))


async def _learn(client: Commercetools) -> None:
    await client.learn(lane="orders")
    storable(list(client._keys.items()))


async def _plan(client: Commercetools) -> None:
    storable(await setup.plan(client, {"key": "sub"}))


def write_back(data: bytes) -> None:
    """What is told to an order that is itself hostile."""
    client = Commercetools(
        cast(HttpPort, Door(200, {"date": DATE}, b'{"id":"order-1","version":5}', "")), None, CT_SETTINGS
    )
    order = RawOrder(order_id="order-1", version=4, modified_at="", body=data)
    awaited(client.set_sync_info(order, "sale", lane="orders"))
    awaited(client.add_delivery(order, SHIPMENT, lane="orders"))
    awaited(client.set_states(order, order_state="Complete", shipment_state="Shipped", lane="orders"))


def errors(data: bytes) -> None:
    """Whatever a vendor answers means something, and never an endless pause."""
    _, status, headers, body = fed(data)
    answer = _answer(status, headers, body)
    verdicts = [
        cin7_answers.verdict(answer, write=False),
        cin7_answers.verdict(answer, write=True),
        kit_answers.verdict(answer, vendor="commercetools", table=session.TABLE, says=session.says),
    ]
    for verdict in verdicts:
        storable([str(verdict), verdict.code, verdict.detail] if verdict else None)


def waits(data: bytes) -> None:
    """Retry-After and Date, the two headers we believe."""
    text = data.decode("latin-1")
    pause = kit_answers.pause({"retry-after": text}, NOW)
    if not 0 <= pause <= kit_answers.PAUSE_SECONDS_MAX:
        raise Unfit(f"a pause of {pause} s")
    http.date_of(text)


# --- What is pushed to us --------------------------------------------------------------------------------------------

HOOK = settings.Webhook(path_token="path-token", secret="a-long-secret-word")


def _pushed(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """(path token, headers, body): the first lines are the token and headers as a server would hand them on."""
    head, _, body = data.partition(b"\n\n")
    token, *lines = head.decode("latin-1").splitlines() or [""]
    return token, {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}, body


def ct_webhook(data: bytes) -> None:
    """Verification lets in what knows both words; recognition makes arrivals of it or refuses."""
    token, headers, body = _pushed(data)
    ours = ct_webhooks.verify(token, headers, HOOK)
    if ours and not (HOOK.secret in headers.get("authorization", "") and token == HOOK.path_token):
        raise Unfit("let in without the secret")
    found = ct_webhooks.recognise(body)
    arrives(storefront.message_arrival(message) for message in found)


def cin7_webhook(data: bytes) -> None:
    """The same for the back office, whose bodies are never refused."""
    _, headers, body = _pushed(data)
    if cin7_webhooks.verify(headers, HOOK.secret) and not _knows(headers):
        raise Unfit("let in without the secret")
    notice = cin7_webhooks.read(body)
    storable(notice)
    if len(notice.hints) > cin7_webhooks.HINTS_MAX:
        raise Unfit("more hints than allowed")


OF_HOOKED = msgspec.structs.replace(OF_SETTINGS, webhook=HOOK)


def orderflow_push(data: bytes) -> None:
    """The same for OrderFlow: who shows the secret is let in, and what is no push of its is refused."""
    token, headers, body = _pushed(data)
    for how in ("basic", "header"):
        asked = msgspec.structs.replace(OF_HOOKED, push_auth=how)
        if of_webhooks.verify(token, headers, asked) and not (token == HOOK.path_token and _knows(headers)):
            raise Unfit("let in without the secret")
    notice = of_webhooks.recognise(body)
    storable([notice, notice.reply])
    if len(notice.hints) > of_webhooks.HINTS_MAX + 1 or any(len(hint.key) > 200 for hint in notice.hints):
        raise Unfit("more hints than allowed")


def _knows(headers: Mapping[str, str]) -> bool:
    sent = headers.get("authorization", "") + headers.get(cin7_webhooks.HEADER, "")
    return HOOK.secret in sent or "basic" in sent.lower()


CHANNELS = {"ch-web": "web", "ch-out": "out"}
BUNDLES = ct_translate.Bundles(parent_field="parent")


def ct_order(data: bytes) -> None:
    """An order document, alone and inside a message."""
    message = b'{"id":"m1","createdAt":"2026-11-21T10:00:00.000Z","order":' + data + b"}"
    news = ct_translate.order_of_message(message, CHANNELS, BUNDLES)
    if news is not None:
        returns(news, Order)
    returns(ct_translate.order(data, CHANNELS, BUNDLES), Order)


SHOP = settings_of(datetime(2026, 1, 1, tzinfo=UTC))
CATALOGUE = Known(exact={"CRUNCHY-ARMCHAIR": SimpleNamespace(kit=False, fault="")}, twins={}, anything=True)


def boundary(data: bytes) -> None:
    """Whatever an order says of money, it can be judged, sourced and written down: its units are sold."""
    order = ct_translate.order(data, {"ch-web": "web-eu"})
    findings = [*rules.findings(order, CATALOGUE, SHOP), *([] if order.impossible else totals.recompute(order))]
    storable(findings)
    goods = [line for line in rules.goods(order, {}) if rules.ships_from(line.channel or "", SHOP)]
    places = {line.line_id: rules.ships_from(line.channel or "", SHOP) for line in goods}
    if findings or len(goods) < len(order.lines):
        return
    assignment = rules.source(goods, {("CRUNCHY-ARMCHAIR", "Berlin"): 1}, places, {})
    for part in sales.drafts(order, assignment, SHOP, kits={}, today_zone=UTC):
        returns(part, type(part))
        if isinstance(part, sales.Part):
            with contextlib.suppress(VendorError):
                wire.encode([orders.header(part.draft, "x"), orders.order("s", part.draft, authorise=False)])


class Hearing(Tx):
    """A transaction in which nothing is known and every wish is heard."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def all(self, query: Any, **values: Any) -> list[Any]:
        self.asked.append(values)
        return []

    def one(self, query: Any, **values: Any) -> None:
        self.asked.append(values)

    def gather(self, write: Any, *rows: Any) -> None:
        self.asked.append([str(row) for row in rows])


LISTENER = storefront.Shop(
    open_case=cast(Any, None), take_order=lambda tx, order, now: None, channels=frozenset({"web"}),
    translate_message=lambda body: ct_translate.order_of_message(body, CHANNELS),
)  # fmt: skip


def message_news(data: bytes) -> None:
    """A message of the feed, from its bytes to what it makes us ask for."""
    arrival = storefront.message_arrival(ct_translate.message(data))
    row = cast(InboxRow, SimpleNamespace(
        id=1, source=arrival.source, message_id=arrival.message_id, kind="message", lane=arrival.lane,
        body=arrival.body, meta=dict(arrival.meta),
    ))  # fmt: skip
    tx = Hearing()
    storefront.on_message(tx, row, NOW, shop=LISTENER)
    storefront.echoes(tx, [row])
    storable(tx.asked)


# --- Files and words of people ---------------------------------------------------------------------------------------


def _file(name: str, data: bytes) -> Path:
    SCRATCH.mkdir(exist_ok=True)
    path = SCRATCH / name
    path.write_bytes(data)
    return path


def settings_file(data: bytes) -> None:
    """A settings file, read, judged and shown."""
    loaded = load.read(_file("sellable.toml", data), {"SELLABLE_SERVICE__LISTEN": "127.0.0.1:1"})
    if not check(loaded.settings, loaded.lines, case_kinds=("drift",)):
        assert all(rate.decimal != 0 for rate in loaded.settings.rates)
    secrets.shown(loaded.settings)


def setting_by_environment(data: bytes) -> None:
    """The same by environment: `NAME=value` lines over a good file; a value of the environment is text."""
    pairs = (line.partition("=") for line in data.decode("utf-8", "surrogateescape").splitlines())
    environ = {f"SELLABLE_{name}": value for name, _, value in pairs if name}
    load.read(_file("good.toml", seeds.TOML), environ)


def secret_reference(data: bytes) -> None:
    """A secret by reference."""
    secrets.resolve(data.decode("utf-8", "replace").replace("/", "_"), SCRATCH, {"HOME": "x"})


def replay_history(data: bytes) -> None:
    """A CSV file of orders, read and planned."""
    rows = list(history.read(_file("history.csv", data)))
    history.plan(rows, rate=4.0, limit=50)


def replay_history_packed(data: bytes) -> None:
    """The same, compressed."""
    list(history.read(_file("history.csv.gz", data)))


def timetable(data: bytes) -> None:
    """Trouble by timetable, in both formats."""
    suffix = ".toml" if data.lstrip()[:2] == b"[[" else ".json"
    for step in chaos.load(_file(f"chaos{suffix}", data)):
        if not (math.isfinite(step.at) and math.isfinite(step.minutes)):
            raise Unfit(f"never comes: {step}")


def clock_text(data: bytes) -> None:
    """The clock as another process writes it; a clock that was accepted tells the time."""
    text = data.decode("utf-8", "replace")
    if text.startswith("file="):
        return
    clock = Clock.parse(text)
    clock.real(1.0)
    clock.settings()
    if Clock.parse(clock.text()).speed != clock.speed:
        raise Unfit("does not come back")


def dial_file(data: bytes) -> None:
    """The dial of a rehearsal, as a dead or foreign writer may leave it."""
    clock = Clock.parse(f"file={_file('dial', data)}")
    clock.now()
    clock.real(1.0)
    clock.real_timeout(30.0)


def predicate(data: bytes) -> None:
    """A value stays a value: the simulator's own parser reads exactly it back."""
    value = data.decode("utf-8", "replace")
    text = f"sku = {predicates.literal(value)}"
    if not matches({"sku": value}, text) or matches({"sku": value + "x"}, text):
        raise Unfit(f"another question: {text!r}")
    bound = predicates.Variables()
    where = predicates.params(lambda bind: predicates.entries({value: [value, "B"], None: [value]}, bind), bound)
    if predicates.url_length(where) < 1 or (value in where[0][1].replace("v0", "") and len(value) > 30):
        raise Unfit("a value in the grammar")
    predicates.after("createdAt", (value, value), bound)


def sku(data: bytes) -> None:
    """The form in which SKUs collide: settled by one application, blind to case and blanks."""
    text = data.decode("utf-8", "replace")
    normal = normal_sku(text)
    if normal_sku(normal) != normal or normal_sku(f"  {text}\t") != normal:
        raise Unfit(repr(normal))


def key(data: bytes) -> None:
    """A key the platform accepts, whatever the back office calls its parcels."""
    made = fulfilment.safe_key(data.decode("utf-8", "replace"))
    if not 2 <= len(made) <= 256 or not made.isascii():
        raise Unfit(made)


def money(data: bytes) -> None:
    """Major to minor units and back, for every rounding."""
    text = data.decode("utf-8", "replace")
    digits = text.count("0") % 4
    for mode in Rounding:
        minor = to_minor(text, digits, mode)
        if abs(to_major(minor, digits) - Decimal(text)) > Decimal(1).scaleb(-digits):
            raise Unfit(f"{text} became {minor}")


def stamp(data: bytes) -> None:
    """A change stamp of a vendor, moved back by an overlap."""
    text = data.decode("utf-8", "replace")
    mark = masters.newest_of("2026-11-21T00:00:00.000Z", [text], NOW)
    if not "2026-11-20T23:50" <= masters.back(mark, 600) <= "2026-11-24":
        raise Unfit(f"a mark of {mark}")


def transfer_mark(data: bytes) -> None:
    """Rows of the transfer list against the mark of the last look."""
    rows = [cin7_translate.wire.decode(line, cin7_translate.wire.TransferRow) for line in data.splitlines()]
    _, mark = cin7_translate.transfers_changed(rows, "", NOW)
    storable(mark)
    cin7_translate.transfers_changed(rows, mark, NOW)


def address(data: bytes) -> None:
    """A base address and a call below it."""
    text = data.decode("utf-8", "replace")
    port = HttpPort(cast(Any, None), Clock(), None)
    try:
        port.allow(text)
    finally:
        port.allow("https://api.erp.example/v2/")
        port._allowed(text)


def signing_secret(data: bytes) -> None:
    """The secret that signs alerts, and the mail server's address."""
    text = data.decode("utf-8", "replace")
    if len(alerts.signing_key(text)) < 24:
        raise Unfit("too short to sign")


def mail_server(data: bytes) -> None:
    """The mail server's address."""
    given = settings.Alerts(smtp_url=data.decode("utf-8", "replace"), mail_from="a@b.example")
    alerts.Mail(Clock(), given, OWNERS)


OWNERS = Owners.from_settings((settings.Owner(kind="*", owner="ops"),))


# --- What we keep of calls -------------------------------------------------------------------------------------------


class Rows(Tx):
    """A transaction that only looks whether PostgreSQL would take the rows."""

    def __init__(self) -> None:
        self.count = 0

    def run(self, query: Any, **values: Any) -> int:
        for text in (*values["request"], *values["answer"]):
            if text is not None:
                storable(json.loads(text))
                json.loads(text, parse_constant=_no_number)
            self.count += 1
        return self.count

    def after_commit(self, act: Callable[[], object]) -> None:
        act()


def _no_number(word: str) -> None:
    raise Unfit(f"{word} is no JSON")


def call_log(data: bytes) -> None:
    """Any body may be noted; the log never stops on one, and keeps nothing unredacted."""
    log = CallLog(b"key")
    log.note(
        Exchange(
            method="POST", host="h", path="/x", operation="POST sale", credential="cin7:orders", correlation="o1",
            status=200, error=None, sent_at=NOW, seconds=0.1, request=data, answer=data,
        )
    )  # fmt: skip
    log.flush(Rows())
    if log.flush(Rows()):
        raise Unfit("noted twice")


def redaction(data: bytes) -> None:
    """A remote document on the record: nothing below a field off the list stays readable."""
    value = decode(data, object)
    hidden = audit.storable(audit.redact({"note": value}, b"key", frozenset()))
    storable(hidden)
    if clear := [each for each in _scalars(hidden) if isinstance(each, str) and not each.startswith("#")]:
        raise Unfit(f"in clear: {clear[:3]}")


def _scalars(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        yield value
    else:
        for each in inner:
            yield from _scalars(each)


def canary(data: bytes) -> None:
    """Not a decoder: a mistake planted so that a fuzzer that finds nothing is known to look."""
    if data[:1] == b"F" and data[1:2] == b"U" and data[2:3] == b"Z":
        raise ZeroDivisionError("the canary")


VENDOR = (VendorError, HttpError)
VALUE = (ValueError,)


def console_address(data: bytes) -> object:
    """What stands in an address of the console: an instant of the past, and where a page of a list begins."""
    text = data.decode("utf-8", "replace")
    at, wrong = sku_page.instant(text, datetime(2026, 11, 27, tzinfo=UTC))
    mark = orders_page.mark_of(text)
    return [at and at.isoformat(), "\x00" in wrong and "", mark and [mark.at.isoformat(), mark.id]]


def console_caller(data: bytes) -> object:
    """Where a browser says that it comes from, and whom it spoke to."""
    headers = [(name, data) for name in (b"origin", b"host")]
    caller = data.decode("latin-1")
    request = Request({"type": "http", "method": "POST", "headers": headers, "client": (caller, 1), "path": "/"})
    given = settings_of(datetime(2026, 11, 27, tzinfo=UTC))
    return [guard.same_origin(request, given), guard.stays_here(request), people_pages.address_of(request) == ""]


def api_call(data: bytes) -> None:
    """What a program asks by address (the first line) and sends; what is refused is said as a problem."""
    query, _, body = data.partition(b"\n")
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": headers}
    for endpoint in api.ENDPOINTS:
        with contextlib.suppress(api.Refused):
            storable(api_routes._asked(Request(scope), endpoint.asks))
        if endpoint.body is not None:
            request = Request(scope)
            request._body = body
            with contextlib.suppress(api.Refused):
                storable(awaited(api_routes._body(request, endpoint.body)))
    told = msgspec.json.encode({"error": body.decode("utf-8", "replace")})
    api_routes._refusal(Response(told, status_code=403))


def said_value(data: bytes) -> None:
    """What a person says in the console of a setting: each field takes it, or says why not."""
    text = data.decode("utf-8", "replace")
    for kind in said.KINDS.values():
        for field in kind.fields:
            with contextlib.suppress(ValueError):
                storable(kind.parsed(field, text))


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(name="ct_webhook", run=ct_webhook, seeds=seeds.CT_PUSHED, expected=VALUE),
        Target(name="cin7_webhook", run=cin7_webhook, seeds=seeds.CIN7_PUSHED),
        Target(name="ct_order", run=ct_order, seeds=seeds.ORDERS, expected=VALUE),
        Target(name="boundary", run=boundary, seeds=seeds.PLAIN_ORDERS, expected=VALUE),
        Target(name="message_news", run=message_news, seeds=seeds.MESSAGES, expected=VALUE),
        Target(name="ct_write_back", run=write_back, seeds=seeds.ORDERS, expected=VENDOR),
        Target(
            name="ct_entries", run=ct(_entries, _walk, _created), seeds=seeds.called(0, seeds.ENTRIES), expected=VENDOR
        ),
        Target(
            name="ct_graph",
            run=ct(_entries, _walk, _write, batched=True),
            seeds=seeds.called(0, seeds.GRAPH),
            expected=VENDOR,
        ),
        Target(
            name="ct_feeds",
            run=ct(_messages, _orders, _orders_of, _order),
            seeds=seeds.called(0, seeds.FEEDS),
            expected=VENDOR,
        ),
        Target(name="ct_products", run=ct(_sold), seeds=seeds.called(0, seeds.PRODUCTS), expected=VENDOR),
        Target(name="ct_writes", run=ct(_write), seeds=seeds.called(0, seeds.WRITTEN)),
        Target(
            name="ct_token", run=ct(_learn, feeds="/oauth/token"), seeds=seeds.called(0, seeds.TOKENS), expected=VENDOR
        ),
        Target(
            name="ct_channels",
            run=ct(_learn, feeds="/shop/channels"),
            seeds=seeds.called(0, (seeds.CHANNELS,)),
            expected=VENDOR,
        ),
        Target(
            name="ct_types", run=ct(_learn, feeds="/shop/types"), seeds=seeds.called(0, (seeds.TYPES,)), expected=VENDOR
        ),
        Target(name="ct_setup", run=ct(_plan), seeds=seeds.called(0, seeds.SETUP), expected=VENDOR),
        Target(
            name="cin7_stock",
            run=cin7(_stock, _stock_of, _transfers, _catalogue),
            seeds=seeds.called(0, seeds.STOCK),
            expected=VENDOR,
        ),
        Target(name="cin7_sales", run=cin7(_sale, _sales, _found), seeds=seeds.called(0, seeds.SALES), expected=VENDOR),
        Target(
            name="cin7_reference",
            run=cin7(_reference, _locations, _taxes, _webhooks),
            seeds=seeds.called(0, seeds.REFERENCE),
            expected=VENDOR,
        ),
        Target(
            name="cin7_writes", run=cin7(_draft, _lines, _void), seeds=seeds.called(0, seeds.ORDERED), expected=VENDOR
        ),
        Target(
            name="orderflow_reads",
            run=orderflow(_of_inventory, _of_detail, _of_despatches, _of_returns),
            seeds=seeds.called(0, seeds.OF_DOCUMENTS),
            expected=VENDOR,
        ),
        Target(
            name="orderflow_writes",
            run=orderflow(_of_import, _of_cancel, _of_import_returns),
            seeds=seeds.called(0, seeds.OF_WRITTEN),
            expected=VENDOR,
        ),
        Target(name="orderflow_order", run=orderflow_order, seeds=seeds.OF_WORDS, expected=VENDOR),
        Target(name="orderflow_push", run=orderflow_push, seeds=seeds.OF_PUSHED, expected=VALUE),
        Target(name="errors", run=errors, seeds=seeds.called(0, seeds.ERRORS)),
        Target(name="waits", run=waits, seeds=seeds.WAITS),
        Target(name="settings_file", run=settings_file, seeds=(seeds.TOML, seeds.TOML_ODD), expected=(ConfigError,)),
        Target(
            name="setting_by_environment",
            run=setting_by_environment,
            seeds=seeds.ENVIRONMENT,
            expected=(ConfigError,),
        ),
        Target(
            name="secret_reference",
            run=secret_reference,
            seeds=(b"env:HOME", b"file:sellable.toml", b"plain"),
            expected=(secrets.SecretMissing,),
        ),
        Target(name="replay_history", run=replay_history, seeds=seeds.CSV, expected=(history.BadHistory,)),
        Target(
            name="replay_history_packed",
            run=replay_history_packed,
            seeds=tuple(gzip.compress(each, mtime=0) for each in seeds.CSV),
            expected=(history.BadHistory,),
        ),
        Target(name="timetable", run=timetable, seeds=seeds.TIMETABLE, expected=VALUE),
        Target(name="clock_text", run=clock_text, seeds=seeds.CLOCKS, expected=VALUE),
        Target(name="dial_file", run=dial_file, seeds=seeds.DIALS, expected=(ValueError, OSError)),
        Target(name="predicate", run=predicate, seeds=(b'A"B\\C', b"sku-1", b") or (1 = 1", b":v0")),
        Target(name="sku", run=sku, seeds=("Stra\u00dfe \u0130".encode(), b" a  B\xc2\xa0c ", b"\xef\xbb\xbfX")),
        Target(
            name="api_call",
            run=api_call,
            seeds=(
                b'sku=CHAIR&sku=LAMP&channel=web\n{"act": "resolve", "reason": "found"}',
                b"limit=5&at=2026-11-27T09:00:00Z",
            ),
        ),
        Target(name="said_value", run=said_value, seeds=(b"12", b"0.19", b"ops")),
        Target(name="key", run=key, seeds=(b"parcel 1", b"x", b"ok-key_1")),
        Target(
            name="money",
            run=money,
            seeds=(b"9.99", b"-0.005", b"1E3", b"0.0250"),
            expected=(ValueError, ArithmeticError),
        ),
        Target(
            name="stamp",
            run=stamp,
            seeds=(b"2026-11-21T10:00:00.123Z", b"2026-11-21", b"0001-01-01T00:00:00Z", b"9999-12-31T00:00:00Z"),
        ),
        Target(name="transfer_mark", run=transfer_mark, seeds=seeds.TRANSFERS, expected=VALUE),
        Target(name="address", run=address, seeds=seeds.ADDRESSES, expected=(ForbiddenUrl,)),
        Target(
            name="signing_secret",
            run=signing_secret,
            seeds=(b"whsec_" + b"QUJD" * 10, b"whsec_QUJD"),
            expected=VALUE,
        ),
        Target(
            name="mail_server",
            run=mail_server,
            seeds=(b"smtp://u:p%40@mail.example:587", b"smtps://[::1]:465"),
            expected=VALUE,
        ),
        Target(
            name="console_address",
            run=console_address,
            seeds=(b"2026-11-21T10:00:00Z~o1", b"0001-01-01T00:00:00+14:00", b"1795000000", b"~"),
        ),
        Target(
            name="console_caller",
            run=console_caller,
            seeds=(b"http://127.0.0.1:8080", b"[::1]:80", b"null", b"::ffff:10.0.0.1", b"https://[x"),
        ),
        Target(name="call_log", run=call_log, seeds=(*seeds.ORDERS, b"<html>", b'{"sku":1e308,"total":"x"}')),
        Target(
            name="redaction", run=redaction, seeds=(b'{"name":"CANARY","sku":["A"]}', *seeds.ORDERS), expected=VALUE
        ),
    )
}
