"""The HTTP face: who is refused, what is answered when storing is impossible, and what monitors read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import httpx2
import psycopg
import pytest

from sellable.config.said import Live
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.web.console.doors import Console, OpenToReaders
from sellable.web.console.overview import headline
from sellable.web.server import BODY_BYTES_MAX, Face, Refused, application

STATUS: dict[str, Any] = {
    "at": "2026-11-21T10:00:00+00:00",
    "orders": {"exported": {"count": 3, "oldest_seconds": 12.0}, "held": {"count": 1, "oldest_seconds": 7300.0}},
    "differences": {
        "keys": 100, "lowers": 1, "raises": 2, "writing": 0, "oldest_lower_seconds": 3.0, "dirty": 0, "parked": 1,
    },
    "inbox": {},
    "operations": [],
    "cases": {"<b>odd</b>": {"open": 2, "count": 5}},
    "feeds": [{"name": "cin7_core.stock", "last_success_seconds": None, "failures": 2, "last_error": "<script>"}],
}  # fmt: skip


class House:
    """A face whose answers a test decides."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.trouble: Exception | None = None
        self.silent: list[str] = []
        self.up = True
        self.metrics_token: str | None = None

    async def accept(self, token: str, headers: Mapping[str, str], body: bytes) -> int:
        if self.trouble is not None:
            raise self.trouble
        if token != "secret" or headers.get("authorization") != "Bearer s":
            raise Refused(401, "not authorised")
        self.stored.append(body)
        return 1

    async def status(self) -> dict[str, Any]:
        if self.trouble is not None:
            raise self.trouble
        return STATUS

    async def ready(self) -> bool:
        return self.up

    def face(self) -> Face:
        return Face(
            webhooks={"erp": self.accept}, status=self.status, ready=self.ready, alive=lambda: self.silent,
            metrics_token=self.metrics_token,
            console=Console(
                store=cast(Store, None), clock=Clock(), live=cast(Live, None), guard=OpenToReaders(),
                record=cast(Any, None), overview=self.status, explain=cast(Any, None), numbers=cast(Any, None),
                offered=cast(Any, None), acts=cast(Any, None), work=cast(Any, None), title="Shop",
            ),
        )  # fmt: skip

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        async def go() -> httpx2.Response:
            transport = httpx2.ASGITransport(application(self.face()))
            async with httpx2.AsyncClient(transport=transport, base_url="http://us.test") as client:
                return await client.request(method, path, **more)

        return asyncio.run(go())


@pytest.fixture
def house() -> House:
    return House()


OURS = {"authorization": "Bearer s"}


def test_what_is_ours_is_stored_and_answered(house: House) -> None:
    answer = house.ask("POST", "/webhooks/erp/secret", content=b"{}", headers=OURS)
    assert (answer.status_code, answer.json(), house.stored) == (200, {"stored": 1}, [b"{}"])


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/webhooks/erp/secret", {}, 401),
        ("/webhooks/erp/wrong", OURS, 401),
        ("/webhooks/erp/secret", {"authorization": "Bearer x"}, 401),
        ("/webhooks/other/secret", OURS, 404),
        ("/webhooks/erp", OURS, 404),
    ],
)
def test_what_is_not_ours_is_refused(house: House, path: str, headers: dict[str, str], status: int) -> None:
    assert house.ask("POST", path, content=b"{}", headers=headers).status_code == status
    assert house.stored == []


def test_too_large_is_refused_also_when_the_length_is_a_lie(house: House) -> None:
    large = b"x" * (BODY_BYTES_MAX + 1)
    assert house.ask("POST", "/webhooks/erp/secret", content=large, headers=OURS).status_code == 413

    async def in_parts() -> AsyncIterator[bytes]:
        for _ in range(2):
            yield large[: BODY_BYTES_MAX // 2 + 1]

    assert house.ask("POST", "/webhooks/erp/secret", content=in_parts(), headers=OURS).status_code == 413
    lie = OURS | {"content-length": "ten"}
    assert house.ask("POST", "/webhooks/erp/secret", content=large, headers=lie).status_code == 413
    assert house.stored == []


def test_what_cannot_be_stored_is_not_accepted(house: House) -> None:
    house.trouble = psycopg.OperationalError("gone")
    assert house.ask("POST", "/webhooks/erp/secret", content=b"{}", headers=OURS).status_code == 503
    assert house.ask("GET", "/status.json").status_code == 503
    assert house.ask("GET", "/").status_code == 503


def test_a_malformed_body_is_refused(house: House) -> None:
    house.trouble = Refused(400, "neither format")
    answer = house.ask("POST", "/webhooks/erp/secret", content=b"<html>", headers=OURS)
    assert (answer.status_code, answer.json()) == (400, {"error": "neither format"})


@pytest.mark.parametrize("path", ["/", "/stock", "/api/v1/orders", "/health"])
def test_an_address_with_bytes_that_are_no_text_is_refused(house: House, path: str) -> None:
    """A client of good will escapes them; the server in front of us hands them on as they are."""
    told: list[Any] = []

    async def go() -> None:
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"q=\xff\xfe", "headers": []}

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            told.append(message)

        await application(house.face())(scope, receive, send)

    asyncio.run(go())
    assert told[0]["status"] == 400


def test_health_ready_and_metrics(house: House) -> None:
    assert house.ask("GET", "/health").json() == {"alive": True, "silent": []}
    house.silent, house.up = ["inbox"], False
    assert house.ask("GET", "/health").status_code == 503
    assert house.ask("GET", "/ready").status_code == 503
    assert "sellable_webhooks_total" in house.ask("GET", "/metrics").text


@pytest.mark.parametrize(
    ("token", "shown", "status"),
    [
        (None, "", 200),
        ("m3trics", "Bearer m3trics", 200),
        ("m3trics", "", 401),
        ("m3trics", "Bearer other", 401),
        ("m3trics", "m3trics", 401),
        ("", "Bearer ", 401),
        ("", "", 401),
    ],
)
def test_metrics_are_closed_unless_open_or_asked_for_with_the_token(
    house: House, token: str | None, shown: str, status: int
) -> None:
    house.metrics_token = token
    answer = house.ask("GET", "/metrics", headers={"authorization": shown} if shown else {})
    assert (answer.status_code, "sellable_" in answer.text) == (status, status == 200)
    assert house.ask("GET", "/health").status_code == 200


def test_the_overview_says_the_number_first() -> None:
    assert headline(STATUS) == "97 of 100 numbers right, 3 settling (oldest decrease 3.0 s); 2 open cases"


def test_a_page_that_cannot_be_read_says_so_and_trusts_nobodys_words(house: House) -> None:
    house.trouble = psycopg.OperationalError("<script>")
    answer = house.ask("GET", "/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "The database does not answer" in answer.text
    assert "<script>" not in answer.text
