"""The console as a test sees it: somebody of a role, on a real database, with rows as the product makes them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from tests.e2e.world import settings_of
from tests.suites.orders_life import CHAIR, SET, TABLE, Life, query

from sellable.app.console import console_of
from sellable.config.said import Live
from sellable.config.settings import Settings
from sellable.desk import cases
from sellable.desk.owners import Owners
from sellable.runtime import calls
from sellable.runtime import inbox as inbox_module
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.http import Exchange
from sellable.runtime.inbox import Arrival
from sellable.web.console.doors import Page, Person, Role
from sellable.web.server import Face, application

ODD = "<script>alert('x')</script>\"'&"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class As:
    """A guard that lets one person in, as far as their role goes."""

    def __init__(self, role: Role) -> None:
        self.person = Person("maria", role, csrf="the-token")

    async def admit(self, request: Request, page: Page) -> Person | Response:
        if page.role is not None and not self.person.may(page.role):
            return Response("not allowed", status_code=403)
        if request.method == "POST" and parse_qs((await request.body()).decode()).get("csrf") != [self.person.csrf]:
            return Response("no token", status_code=403)
        return self.person


async def nothing() -> dict[str, Any]:
    return {}


class Web:
    """The console on a store, as somebody of a role."""

    def __init__(self, store: Store, role: Role = "approver", **changes: Any) -> None:
        self.store = store
        self.settings: Settings = settings_of(datetime.now(UTC) - timedelta(hours=1), **changes)
        self.console = console_of(Live(self.settings), store, Clock(), As(role), nothing)

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return asyncio.run(self.asked(method, path, **more))

    async def asked(self, method: str, path: str, **more: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(application(self.face()))
        async with httpx2.AsyncClient(transport=transport, base_url="http://us.test") as client:
            return await client.request(method, path, **more)

    def get(self, path: str, status: int = 200) -> str:
        answer = self.ask("GET", path)
        assert answer.status_code == status, answer.text
        return answer.text

    def face(self) -> Face:
        """What the server serves."""

        async def ready() -> bool:
            return True

        return Face(webhooks={}, status=nothing, ready=ready, alive=list, console=self.console)

    def post(self, path: str, fields: dict[str, Any], token: str = "the-token") -> httpx2.Response:
        body = urlencode({"csrf": token, **fields}, doseq=True)
        return self.ask("POST", path, content=body, headers={"content-type": "application/x-www-form-urlencoded"})

    def done(self, path: str, fields: dict[str, Any]) -> dict[str, str]:
        """What the address says that the act leads to."""
        answer = self.post(path, fields)
        assert answer.status_code == 303, answer.text
        return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}

    def acts(self) -> list[tuple[str, str, str]]:
        """(actor, action, subject) of everything on the record."""
        return [(r.actor, r.action, r.subject) for r in self.store.read_now(lambda tx: tx.all(_AUDIT))]


_AUDIT = query("SELECT actor, action, subject FROM audit WHERE segment <> 'seals' ORDER BY id")
_ORDERS = query(
    "INSERT INTO orders (order_id, number, version, state, stage, stage_since, placed_at, captured_at, captured_seq,"
    " modified_at, store, country, currency, digits, total, document, hold_cause)"
    " SELECT id, number, 1, 'Open', stage, at, at, at, nextval('causal_seq'), at, '', 'DE', 'EUR', 2, 11900, '{}',"
    " cause"
    " FROM unnest(%(ids)s::text[], %(numbers)s::text[], %(stages)s::text[], %(ats)s::timestamptz[], %(causes)s::text[])"
    " AS t (id, number, stage, at, cause)"
)
PARTS = query(
    "INSERT INTO order_part (order_id, part, location, ref, state, sale_number, draft, expected, at)"
    " SELECT id, part, 'Berlin', id || ':' || part, 'authorised', sale, '{}', '{}', app_now()"
    " FROM unnest(%(ids)s::text[], %(parts)s::int[], %(sales)s::text[]) AS t (id, part, sale)"
)


def book(store: Store, *rows: tuple[str, str, str, int], cause: str = "") -> None:
    """(id, number, stage, minutes ago) of orders."""
    now = datetime.now(UTC)
    ids, names, stages, ago = zip(*rows, strict=True)
    ats = [now - timedelta(minutes=m) for m in ago]
    values = {"ids": ids, "numbers": names, "stages": stages, "ats": ats, "causes": [cause] * len(rows)}
    store.write_now(lambda tx: tx.run(_ORDERS, **{name: list(value) for name, value in values.items()}))


OWNERS = Owners.from_settings(settings_of(NOON).owners)


def open_(store: Store, kind: str, subject: str, *, ago: timedelta = timedelta(minutes=5), **facts: Any) -> str:
    now = datetime.now(UTC) - ago
    return store.write_now(cases.open_case, kind, subject, now, owners=OWNERS, **facts)


def park(store: Store, name: str) -> str:
    """An arrival that nobody could take, behind its case."""

    def write(tx: Tx) -> str:
        now = datetime.now(UTC)
        inbox_module.put(tx, [Arrival(source="erp", message_id=name, kind="order", lane="", body=b"{}", meta={})], now)
        row_id = tx.value(query("SELECT id FROM inbox WHERE message_id = %(name)s"), name=name)
        ref = cases.open_case(
            tx, "poison_payload", "arrival:erp/order/ValueError", now, owners=OWNERS, evidence=[f"inbox:{row_id}"]
        )
        tx.run(
            query(
                "UPDATE inbox SET state = 'quarantined', cause = 'x', settled_at = app_now(), case_ref = %(ref)s"
                " WHERE id = %(id)s"
            ),
            ref=ref, id=row_id,
        )  # fmt: skip
        return ref

    return store.write_now(write)


async def stocked(life: Life) -> None:
    """Ten chairs in Berlin and their entries, which show ten."""
    await life.begin(ARMCHAIR=10, TABLE=6)
    await life.store.write(
        lambda tx: tx.run(
            query(
                "INSERT INTO entry (sku, channel, remote_id, version, typed, e, q, q_at, q_seq, baseline_at)"
                " SELECT sku, channel, channel || '/' || sku, 1, NULL, 0, 0, app_now(), 0, app_now()"
                " FROM unnest(%(skus)s::text[]) AS t (sku), unnest(%(channels)s::text[]) AS c (channel)"
            ),
            skus=[CHAIR, TABLE, SET], channels=["web-eu", "web-uk"],
        )
    )  # fmt: skip


def called(store: Store, order_id: str, *statuses: int) -> None:
    """Calls that made the draft of an order's sale, with a shopper's mail in them, as the log of calls keeps them."""

    def note(tx: Tx) -> None:
        began = tx.value(_BEGAN, lane=f"order:{order_id}")
        for status in statuses:
            noted.note(
                Exchange(
                    credential="cin7_core:orders", operation="POST sale", method="POST", host="cin7.test",
                    path="ExternalApi/v2/sale", status=status, seconds=0.25, sent_at=began, error=None,
                    request=b'{"CustomerReference": "N-o1", "Email": "ada@example.com", "Total": 357}',
                    answer=b'{"ID": "sale-1"}', correlation=order_id,
                )
            )  # fmt: skip

    noted = calls.CallLog(b"key")
    store.write_now(note)
    store.write_now(noted.flush)


_BEGAN = query("SELECT created_at FROM operation WHERE kind = 'sale.create' AND lane = %(lane)s")
