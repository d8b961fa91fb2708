"""Personal data and secrets stay where they may be: words nobody else would write go in everywhere, and are looked for.

A person's words may be in the tables that the page on retention marks P and at the vendors; a secret nowhere at all.
"""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import psycopg
import pytest
from tests.e2e.test_cli import EVERY, settings_file
from tests.e2e.world import CIN7, COMPANY, CT, SHOP, World
from typer.testing import CliRunner

from sellable.cli import app
from sellable.desk.alerts import Mail
from sellable.runtime import telemetry
from sellable.runtime.database import Store
from sellable.web.server import application

US, RECEIVER = "http://us.test", "http://alerts.test"
RETENTION = Path(__file__).parents[2] / "docs" / "operating" / "retention.md"


def word(name: str) -> str:
    """A canary: a word that stands nowhere else."""
    return f"zq{name.lower()}{len(name)}xj"


FIELDS = (
    *("firstName", "lastName", "streetName", "streetNumber", "additionalStreetInfo", "postalCode", "city", "company"),
    *("department", "building", "apartment", "pOBox", "phone", "mobile", "email"),
)


def address(kind: str) -> dict[str, str]:
    """An address in which every field is a canary."""
    found = {name: word(f"{kind}{name}") for name in FIELDS}
    return {**found, "country": "DE", "email": f"{found['email']}@example.com", "phone": f"+49 30 {found['phone']}"}


SHIPPING, BILLING = address("Ship"), address("Bill")
CARD = "4111zq1111xj1111"
PERSONAL = {
    *(value for given in (SHIPPING, BILLING) for name, value in given.items() if name in FIELDS),
    *(f"{word('customer')}@example.com", word("purchase"), word("anonymous"), word("gift"), word("writer"), CARD),
    *(word("pushed"), word("hooked"), word("refused"), word("poison"), word("echoed")),
}
SECRETS = {
    "client_secret": word("clientsecret"), "key": word("orderskey"), "read_key": word("readskey"),
    "ct_token": word("cttoken"), "ct_secret": word("ctsecret"), "cin7_token": word("cin7token"),
    "cin7_secret": word("cin7secret"), "redaction_key": word("redaction"), "wrong": word("wrongsecret"),
    "smtp": word("smtppassword"), "signing": base64.b64encode(word("signingkeyofalerts").encode()).decode(),
}  # fmt: skip


def spellings(canary: str) -> set[bytes]:
    """A canary as it is, in an address, and inside base64 whatever stands before it."""
    raw = canary.lower().encode()
    exact = canary.encode()
    inside = {base64.b64encode(b"x" * pad + exact)[pad + 2 : -4].lower() for pad in range(3)}
    return {raw, quote(canary, safe="").lower().encode(), *(each for each in inside if len(each) > 8)}


def hits(text: str | bytes, canaries: set[str]) -> set[str]:
    """The canaries a text holds, whatever its case."""
    data = (text.encode("utf-8", "replace") if isinstance(text, str) else text).lower()
    return {canary for canary in canaries if any(each in data for each in spellings(canary))}


# --- The world, with vendors that repeat what they were told ---------------------------------------------------------


class Parrot(httpx2.AsyncBaseTransport):
    """A vendor that now and then answers with an error, or a page, that repeats the whole request."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, *troubles: tuple[str, str, int, bool]) -> None:
        self._inner = inner
        self._troubles = list(troubles)
        self.tokens: set[str] = set()
        self.heard = b""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        content = await request.aread()
        self.heard += content
        if bearer := re.match("Bearer (.+)", request.headers.get("authorization", "")):
            self.tokens.add(bearer[1])
        for trouble in self._troubles:
            method, path, status, page = trouble
            if request.method == method and re.search(path, request.url.path):
                self._troubles.remove(trouble)
                said = f"{request.url} {dict(request.headers)} {content.decode('utf-8', 'replace')}"
                return httpx2.Response(status, content=self._said(said, page), headers={"date": "x"})
        return await self._inner.handle_async_request(request)

    @staticmethod
    def _said(said: str, page: bool) -> bytes:
        if page:
            return f"<!doctype html><pre>{said}</pre>".encode()
        error = {"ErrorCode": 400, "Exception": f"not good: {said}", "message": f"not good: {said}"}
        return msgspec.json.encode([error] if "api-auth" in said else error | {"errors": [{"code": "X", **error}]})


class Stage(World):
    """The small shop with canaries for secrets, and everything that is told caught."""

    def __init__(self, store: Store) -> None:
        client = {**SHOP["clients"][0], "secret": SECRETS["client_secret"]}
        keys = [{"account": "acc", "key": SECRETS["key"]}, {"account": "acc", "key": SECRETS["read_key"]}]
        super().__init__(store, seeds=({**SHOP, "clients": [client]}, {**COMPANY, "keys": keys}))
        self.alerts: list[bytes] = []
        self.mails: list[str] = []
        self.parrots = {
            CT: Parrot(
                self._mounts[CT], ("POST", "/orders/", 400, False), ("GET", "/messages", 500, True),
                ("GET", "/inventory", 400, False), ("POST", "/graphql", 400, False),
            ),
            CIN7: Parrot(
                self._mounts[CIN7], ("POST", "/sale$", 400, False), ("GET", "/saleList", 200, True),
                ("GET", "/ref/productavailability", 400, False), ("POST", "/sale/order$", 500, True),
            ),
        }  # fmt: skip
        self._mounts = {**self._mounts, **self.parrots, RECEIVER: httpx2.MockTransport(self._receive)}

    def _receive(self, request: httpx2.Request) -> httpx2.Response:
        self.alerts.append(str(request.headers).encode() + request.content)
        return httpx2.Response(200)

    async def sign_in(self) -> None:
        secret = SECRETS["client_secret"]
        answer = await self.http.post(
            f"{CT}/oauth/token", auth=("ours", secret), data={"grant_type": "client_credentials"}
        )
        self.http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"


CHANGES: dict[str, Any] = {
    "console": {"open": True},
    "service": {"redaction_key": SECRETS["redaction_key"]},
    "commercetools": {
        "client_secret": SECRETS["client_secret"],
        "webhook": {"path_token": SECRETS["ct_token"], "secret": SECRETS["ct_secret"]},
    },
    "cin7_core": {
        "key": SECRETS["key"], "read_key": SECRETS["read_key"],
        "webhook": {"path_token": SECRETS["cin7_token"], "secret": SECRETS["cin7_secret"], "public_url": US},
    },
    "alerts": {
        "webhook_url": f"{RECEIVER}/", "webhook_secret": f"whsec_{SECRETS['signing']}", "insecure": True,
        "smtp_url": f"smtp://u:{SECRETS['smtp']}@mail.test", "mail_from": "us@example.com",
    },
    "owners": [{"kind": "*", "owner": "ops", "email": "ops@example.com"}],
}  # fmt: skip


async def push(world: Stage, source: str, body: Any, *, token: str, secret: str) -> int:
    transport = httpx2.ASGITransport(application(world.service.face()), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=US) as client:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"authorization": f"Bearer {secret}", "x-note": word("refused")}
        return (await client.post(f"/webhooks/{source}/{token}", content=content, headers=headers)).status_code


async def seen(world: Stage) -> Iterator[str]:
    """What the web face shows to whoever may only look."""
    transport = httpx2.ASGITransport(application(world.service.face()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answers = [await client.get(path) for path in ("/", "/status.json", "/metrics", "/health")]
    assert [answer.status_code for answer in answers] == [200] * 4
    return iter([answer.text for answer in answers])


def message(**changes: Any) -> dict[str, Any]:
    return {
        "notificationType": "Message", "id": "m-canary", "type": "OrderCreated", "version": 1,
        "createdAt": "2026-11-21T10:00:00.123Z", "resource": {"typeId": "order", "id": "no-order"}, **changes,
    }  # fmt: skip


async def story(world: Stage) -> list[str]:
    """Everything that can go in goes in; returns what was shown on the way."""
    await world.until_shown(ARMCHAIR__web_eu=14)
    given = {
        "shippingAddress": SHIPPING, "billingAddress": BILLING, "customerEmail": f"{word('customer')}@example.com",
        "purchaseOrderNumber": word("purchase"), "anonymousId": word("anonymous"),
    }  # fmt: skip
    refused = await world.buy({"ARMCHAIR": 1}, **given)
    await world.until_stage(refused["id"], "held")
    order = await world.buy({"ARMCHAIR": 2}, **given)
    ghost = await world.buy({"GHOST": 1}, mode="None", **given)
    await world.until_stage(ghost["id"], "held")
    await world.until_stage(order["id"], "exported")

    known = {"token": SECRETS["ct_token"], "secret": SECRETS["ct_secret"]}
    whole = {**(await world.ct("GET", f"/orders/{order['id']}")), "id": "pushed", "orderNumber": "P-[/x]\x1b[2J:100:"}
    line = whole["lineItems"][0]
    endless = {**whole, "id": "endless", "lineItems": [{**line, "quantity": 10**30}]}
    named = {**whole, "shippingAddress": {**SHIPPING, "firstName": f"\x00{word('pushed')}", "lastName": CARD}}
    entry = (await world.ct("GET", "/inventory?limit=1"))["results"][0]
    resource = {"typeId": "inventory-entry", "id": entry["id"]}
    writer = {"clientId": "merchant", "externalUserId": word("writer"), "customer": {"id": word("anonymous")}}
    for body in (
        message(order=named, id="m-1", resource={"typeId": "order", "id": "pushed"}),
        message(order=endless, id="m-2", resource={"typeId": "order", "id": "endless"}),
        message(
            id="m-3", type="InventoryEntryQuantitySet", resource=resource, resourceVersion=999, oldQuantityOnStock=1,
            newQuantityOnStock=2, createdBy=writer, createdAt=world.clock.now().isoformat(),
        ),
        message(id="m-4", type="InventoryEntryQuantitySet", resource=resource, oldQuantityOnStock=word("poison")),
        message(id="m-5", note=word("gift")),
        message(id="m-6", type="InventoryEntryCreated", resource=resource, inventoryEntry=word("poison")),
    ):  # fmt: skip
        assert await push(world, "commercetools", body, **known) == 200
    hook = {
        "EventType": "Sale/Voided",
        "SaleID": "0f0e",
        "Customer": {"Email": SHIPPING["email"], "Name": word("hooked")},
    }
    assert await push(world, "cin7", hook, token=SECRETS["cin7_token"], secret=SECRETS["cin7_secret"]) == 200
    for source in ("commercetools", "cin7"):
        assert await push(world, source, hook, token=SECRETS["wrong"], secret=SECRETS["wrong"]) == 401
    assert await push(world, "commercetools", word("refused").encode(), **known) == 400

    async def settled() -> bool:
        status = await world.service.overview()
        return not status["inbox"].get("new") and len(world.alerts) > 3 and len(world.mails) > 3

    await world.until(settled, "all of it is handled and somebody was told")
    shown = list(await seen(world))
    await world.service.write_up()
    return [*shown, str(await world.service.overview()), str(world.service.settings), repr(world.service.context)]


# --- Looking ---------------------------------------------------------------------------------------------------------


def permitted() -> set[str]:
    """Tables that may hold personal data: those whose row on the page is marked P."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) P \|", RETENTION.read_text("utf-8"), re.MULTILINE)
    return {table for row in rows for table in re.findall(r"`(\w+)`", row)}


def tables(url: str) -> dict[str, bytes]:
    """Every table as bytes: all rows as text, and what is stored as bytes as it is."""
    found = {}
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        for (name,) in names.fetchall():
            text = connection.execute(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM \"{name}\" t".encode())  # type: ignore[arg-type]
            found[name] = str(text.fetchone()[0]).encode()  # type: ignore[index]
        bodies = connection.execute("SELECT body FROM inbox").fetchall()
        found["inbox"] += b"".join(bytes(body) for (body,) in bodies)
    return found


def asked(folder: Path, store: Store, orders: list[str], cases: list[str]) -> Iterator[tuple[str, str]]:
    """(command, output) of every command that only reads, for people and for machines."""
    config = settings_file(folder, store.url)
    words = [["status"], ["orders", "list"], ["cases", "list"], ["cases", "list", "--state", "resolved"]]
    words += [["orders", "show", order] for order in orders] + [["cases", "show", ref] for ref in cases]
    words += [["audit", "report", "--limit", "5000"], ["audit", "verify"], ["explain", "ARMCHAIR", "--facts"]]
    words += [["audit", "report", "--correlation", key, "--limit", "5000"] for key in (*orders, *cases)]
    words += [["explain", "GHOST"], ["config", "check"], ["report"]]
    words += [["orders", "route", order, "--explain"] for order in orders]
    for command in words:
        for form in ([], ["--json"]):
            result = CliRunner().invoke(app, [*command, *form, "--config", str(config)])
            assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.exception)
            assert "\x1b" not in result.output, f"{command} moves the cursor"
            yield " ".join(command), result.output + str(result.exception or "")


def test_canaries_are_found_only_where_they_may_be(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(PERSONAL) + len(SECRETS) >= 50
    lines = io.StringIO()
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    monkeypatch.setattr("sys.stderr", lines)
    telemetry.configure("debug", "json")
    sent: list[str] = []

    def caught(_self: Mail, mail: EmailMessage) -> None:
        sent.append(mail.as_string() + mail.get_content())

    monkeypatch.setattr(Mail, "_send", caught)
    shown: list[str] = []
    told: list[bytes] = []
    tokens: set[str] = set()

    async def play() -> None:
        world = Stage(store)
        world.mails = sent
        service = world.serve(**CHANGES)
        try:
            await world.sign_in()
            await service.start()
            shown.extend(await story(world))
            # They did travel: the back office was told whom to send it to.
            assert {SHIPPING["streetName"], BILLING["city"]} <= hits(world.parrots[CIN7].heard, PERSONAL)
        finally:
            await world.service.stop()
            world.store.close()
            await world.http.aclose()
            await world.company.vendor.stop()
            told.extend(world.alerts)
            tokens.update(*(parrot.tokens for parrot in world.parrots.values()))

    try:
        asyncio.run(play())
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]

    stored = tables(store.url)
    with psycopg.connect(store.url) as connection:
        opened = dict(connection.execute("SELECT ref, kind FROM cases").fetchall())
        cases, kinds = list(opened), set(opened.values())
        orders = [key for (key,) in connection.execute("SELECT order_id FROM orders").fetchall()]
    places = {
        **{f"table {name}": content for name, content in stored.items()},
        **{f"command {name} {n}": out.encode() for n, (name, out) in enumerate(asked(tmp_path, store, orders, cases))},
        **{f"page {n}": text.encode() for n, text in enumerate(shown)},
        **{f"mail {n}": text.encode() for n, text in enumerate(sent)},
        **{f"alert {n}": content for n, content in enumerate(told)},
        "log": lines.getvalue().encode(),
    }
    secrets = set(SECRETS.values()) | tokens
    found = {place: hits(content, secrets) for place, content in places.items()}
    assert not any(found.values()), _told(places, found)
    allowed = {f"table {name}" for name in permitted()}
    found = {place: hits(content, PERSONAL) for place, content in places.items() if place not in allowed}
    assert not any(found.values()), _told(places, found)
    assert tokens
    assert cases
    assert {"orders", "inbox"} <= permitted()
    assert set(hits(b"".join(stored[name] for name in permitted()), PERSONAL)), "nothing was looked for"
    assert any(b"P-[/x]\xef\xbf\xbd[2J:100:" in content for place, content in places.items() if "orders show" in place)
    assert {"foreign_writer", "poison_payload", "order_impossible", "order_refused", "write_refused"} <= kinds
    print(
        f"{len(PERSONAL)} personal and {len(secrets)} secret canaries in {len(places)} places: 0 where they may not be"
    )


def _told(places: dict[str, bytes], found: dict[str, set[str]]) -> str:
    """Where which canary sits, with what stands around it."""
    lines = []
    for place, words in found.items():
        for canary in sorted(words):
            at = places[place].lower().find(canary.lower().encode())
            around = places[place][max(0, at - 90) : at + 60].decode("utf-8", "replace").replace("\n", " ")
            lines.append(f"{canary} in {place}: ...{around}...")
    return "\n".join(lines)


def test_every_command_that_reads_is_asked(tmp_path: Path) -> None:
    """A new command has to be put among those that are looked at, or among those that show nothing stored."""
    looked_at = {"status", "orders list", "orders show", "cases list", "cases show", "audit report", "audit verify"}
    looked_at |= {"explain", "config check", "report", "orders route"}
    silent = {
        "demo",
        "run",
        "migrate",
        "replay",
        "simulate",
        "config key",
        "orders accept-totals",
        "returns inspect",
        "returns refund",
        "config example",
        "openapi",
        "setup",
        "writes freeze",
        "writes resume",
        # Channels, settings and the vendors' set-up; people of ours, no shopper.
        "config show",
        "cutover report",
        "cutover proceed",
        "doctor",
        "init",
        # The whole database, sealed bodies and all: a file of mode 0600.
        "backup",
        "restore",
    }
    names = {" ".join(path) for path, _ in EVERY}
    rest = {
        name
        for name in names - looked_at - silent
        if name.split()[0] not in ("sandbox", "setup", "stock", "cases", "people", "returns")
    }
    assert rest == set()
