"""A seeded shop behind the console: what its pages are tried on, in process and in a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from tests.suites.test_explain import PLAIN, Trade, shop_settings

from sellable.app import status
from sellable.app.console import console_of
from sellable.app.desk import CaseDesk
from sellable.config.said import Live
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.queries import Query
from sellable.web.console.doors import Console, Page, Person, Role
from sellable.web.server import Face, application

CSRF = "the stage's own"
MARKUP = '<script>alert("sku")</script>/"\'&'
ORDER, OPERATION, TRACKING = "N-0", "op_stage", "JJD-0042"


def made(name: str, text: str) -> Query:
    return Query(package="t", name=name, purpose="t", text=text)


PUT_ORDERS = made(
    "orders",
    """INSERT INTO orders (order_id, number, version, state, stage, stage_since, placed_at, captured_at, captured_seq,
        modified_at, store, country, currency, digits, total, document)
    SELECT 'id-' || n, n, 1, 'Open', stage, %(at)s, %(at)s, %(at)s::timestamptz - i * interval '70 seconds', i,
        %(at)s, '', 'DE', 'EUR', 2, 1999, '{}'
    FROM unnest(%(numbers)s::text[], %(stages)s::text[]) WITH ORDINALITY AS t (n, stage, i)""",
)
PUT_STEPS = made(
    "steps",
    """INSERT INTO order_event (order_id, at, seq, what, detail)
    SELECT 'id-' || n, %(at)s::timestamptz - i * interval '9 seconds', i, 'captured', '{}'
    FROM unnest(%(numbers)s::text[]) WITH ORDINALITY AS t (n, i)""",
)
PUT_WRITES = made(
    "writes",
    """INSERT INTO operation (id, system, kind, lane, budget, priority, payload, correlation, state, sends,
        outcome_sends, due_at, created_at, created_seq, settled_at, settled_seq, result)
    SELECT CASE i WHEN 1 THEN %(first)s ELSE 'op_' || i END, 'commercetools', 'stock.write', 'stock:' || i, 'writes', 1,
        jsonb_build_object('sku', %(sku)s::text, 'channel', 'web-eu', 'e', 4, 't', 3, 'd', -1), 'id-N-0', 'done', 1, 1,
        at, at, nextval('causal_seq'), at + i * interval '17 milliseconds', nextval('causal_seq'), '{}'
    FROM (SELECT i, %(at)s::timestamptz - i * interval '25 seconds' AS at FROM generate_series(1, 120) AS i) AS t""",
)
PUT_OWED = made(
    "owed",
    """INSERT INTO operation (id, system, kind, lane, budget, priority, payload, state, due_at, created_at, created_seq)
    SELECT 'op_owed_' || i, 'cin7_core', 'sale.create', 'order:' || i, 'orders', 1, '{}', 'intent', %(at)s, %(at)s,
        nextval('causal_seq') FROM generate_series(1, 7) AS i""",
)
PUT_CALLS = made(
    "calls",
    """INSERT INTO call_log (at, correlation, system, operation, path, status, error, seconds)
    SELECT %(at)s, 'id-N-0', 'cin7_core', 'POST sale', '/sale', 429, NULL, 0.2 FROM generate_series(1, 3)""",
)
PUT_FEEDS = made(
    "feeds",
    """INSERT INTO feed (name, due_at, last_success_at, failures, last_error)
    SELECT name, %(at)s, %(at)s::timestamptz - age * interval '1 second', failures, error FROM (VALUES
        ('commercetools.messages', 2, 0, NULL), ('commercetools.entries', 40, 0, NULL),
        ('cin7_core.sales', 30, 0, NULL), ('cin7_core.stock', 95, 0, NULL)) AS t (name, age, failures, error)""",
)
PUT_PARCEL = made(
    "parcel",
    """INSERT INTO shipment (shipment_id, order_id, part, root, document, items, at) VALUES ('s-1', 'id-N-0', 1, 's-1',
        jsonb_build_object('parcels', jsonb_build_array(jsonb_build_object('tracking', %(tracking)s::text))),
        '[]', %(at)s)""",
)
PUT_NAMES = made(
    "names",
    """UPDATE product SET name = CASE WHEN kit THEN 'Set of ' ELSE 'Crunchy ' END || initcap(sku) || ', oak'
    WHERE sku <> %(markup)s""",
)
PUT_MARKUP = made(
    "markup",
    """INSERT INTO entry (sku, channel, remote_id, version, e, q, q_at, q_seq, baseline_at)
    SELECT %(sku)s, 'web-eu', 'r-markup', 1, 0, 0, %(at)s, 1, %(at)s""",
)


class As:
    """A guard that takes everybody for one person; who acts brings the word of the form along."""

    def __init__(self, role: Role = "viewer", name: str = "maria") -> None:
        self.person = Person(name, role, CSRF)

    async def admit(self, request: Request, page: Page) -> Person | Response:
        """Refused below the page's role, and without the word."""
        if page.role is not None and not self.person.may(page.role):
            return Response("not allowed", status_code=403)
        if request.method == "POST" and f"csrf={CSRF.replace(' ', '+').replace(chr(39), '%27')}" not in (
            (await request.body()).decode()
        ):
            return Response("no proof", status_code=403)
        return self.person


class Stage:
    """The shop, its console, and somebody who looks at it."""

    def __init__(self, store: Store, *, seeded: bool = True) -> None:
        self.store = store
        self.trade = Trade(store, shop_settings(max_age_minutes=600), now=datetime.now(UTC) - timedelta(minutes=20))
        self.settings = self.trade.settings
        self.clock = Clock()
        self.guard = As()
        if seeded:
            self.seed()

    def seed(self) -> None:
        """Numbers, orders, holds, writes, cases: something of everything."""
        trade = self.trade
        trade.open()
        trade.settle_down()
        trade.hold(6)
        trade.sell(40)
        trade.allocate(0.5, whole=False)
        trade.settle_down()
        trade.count("later", trade.die.sample(PLAIN, 110), whole=False)
        trade.plan()
        self.store.write_now(self._rows, datetime.now(UTC) - timedelta(seconds=8))

    def _rows(self, tx: Tx, at: datetime) -> None:
        numbers = [f"N-{n}" for n in range(40)]
        stages = ["exported" if n % 4 else "held" if n % 8 else "shipped" for n in range(40)]
        tx.run(PUT_ORDERS, at=at, numbers=numbers, stages=stages)
        tx.run(PUT_STEPS, at=at, numbers=numbers[:9])
        tx.run(PUT_WRITES, at=at, first=OPERATION, sku=PLAIN[0])
        tx.run(PUT_OWED, at=at)
        tx.run(PUT_CALLS, at=at)
        tx.run(PUT_FEEDS, at=at)
        tx.run(PUT_PARCEL, at=at, tracking=TRACKING)
        tx.run(PUT_NAMES, markup=MARKUP)
        tx.run(PUT_MARKUP, sku=MARKUP, at=at)
        desk = CaseDesk(self.settings)
        actual = {"units": 3, "taken_elsewhere": 1, "sold_beside": 1, "orders": []}
        desk.open_case(tx, "oversold", f"sku:{PLAIN[4]}", at, expected={"units": 0}, actual=actual, evidence=[])

    async def overview(self) -> dict[str, Any]:
        """As the service answers it, with budgets that a test can know."""
        found = await self.store.read(status.overview, self.clock.now())
        lanes = {"commercetools": ("orders", "writes"), "cin7_core:orders": ("orders", "stock")}
        found["budgets"] = [
            {
                "credential": credential, "lane": lane, "share": 0.5, "used": 14 if lane == "orders" else 40,
                "calls": 60, "window_seconds": 60.0, "waiting": 0, "tokens": 1.0, "cooling": False,
            }
            for credential, names in lanes.items()
            for lane in names
        ]  # fmt: skip
        return found

    def console(self) -> Console:
        """What the pages are handed."""
        return console_of(Live(self.settings), self.store, self.clock, self.guard, self.overview)

    def face(self) -> Face:
        """The web face around it."""

        async def ready() -> bool:
            return True

        return Face(webhooks={}, status=self.overview, ready=ready, alive=list, console=self.console())

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """One request, answered in process."""

        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(application(self.face()))
            async with httpx2.AsyncClient(transport=transport, base_url="http://us.test") as client:
                return await client.request(method, path, **more)

        return asyncio.run(go())

    def get(self, path: str) -> str:
        """The text of a page that must be there."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, (answer.status_code, answer.text[-2000:])
        return answer.text

    def post(self, path: str, fields: Mapping[str, str]) -> httpx2.Response:
        """A form sent by the person of the guard."""
        return self.ask("POST", path, data={"csrf": CSRF, **fields})

    def play(self, role: Role) -> None:
        """Somebody of another role looks from here on."""
        self.guard = As(role)
