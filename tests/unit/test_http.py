"""The HTTP port: whoever calls learns whether the request can have had an effect."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import httpx2
import pytest

from sellable.runtime import http
from sellable.runtime.budgets import Budgets
from sellable.runtime.clock import Clock
from sellable.runtime.http import Answer, Exchange, ForbiddenUrl, HttpPort, NotSent, OutcomeLost, PinnedTransport

BASE = "https://api.erp.example/v2/"
CALL: dict[str, Any] = {"lane": "reads", "credential": "erp:orders"}


class Purse:
    """Budgets that only note who pays and who answers."""

    def __init__(self) -> None:
        self.paid: list[tuple[str, str]] = []
        self.heard: list[str] = []

    async def spend(self, credential: str, lane: str) -> None:
        self.paid.append((credential, lane))

    def answered(self, credential: str) -> None:
        self.heard.append(credential)


def asked(
    answer: Callable[[httpx2.Request], httpx2.Response],
    *calls: dict[str, Any],
    purse: Purse | None = None,
    audit: Callable[[Exchange], object] | None = None,
) -> list[Answer]:
    """Make calls through a port whose other side is a function."""

    async def scene() -> list[Answer]:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
            port = HttpPort(client, Clock(), cast(Budgets, purse), audit)
            port.allow(BASE)
            return [await port.call(**{"method": "GET", "url": f"{BASE}sale", **CALL, **call}) for call in calls]

    return asyncio.run(scene())


def test_a_call_pays_and_returns_what_came() -> None:
    purse = Purse()
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        headers = {"Date": "Mon, 02 Mar 2026 09:00:00 GMT", "X-Left": "59"}
        return httpx2.Response(207, headers=headers, content=b'{"id":1}')

    (got,) = asked(
        answer,
        {"method": "POST", "params": {"page": "2"}, "headers": {"api-key": "k"}, "json_body": {"qty": 3}},
        purse=purse,
    )
    assert (got.status, got.body, got.headers["x-left"]) == (207, b'{"id":1}', "59")
    assert got.date == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert got.sent_at <= got.answered_at
    assert got.seconds >= 0
    assert str(seen[0].url) == f"{BASE}sale?page=2"
    assert json.loads(seen[0].content) == {"qty": 3}
    assert (seen[0].headers["content-type"], seen[0].headers["api-key"]) == ("application/json", "k")
    assert purse.paid == [("erp:orders", "reads")]
    assert purse.heard == ["erp:orders"]


@pytest.mark.parametrize(("status", "heard"), [(200, 1), (404, 1), (429, 1), (500, 0), (503, 0)])
def test_an_error_of_the_vendors_own_is_no_sign_that_it_is_there(status: int, heard: int) -> None:
    purse = Purse()
    asked(lambda _: httpx2.Response(status), {}, purse=purse)
    assert (len(purse.paid), len(purse.heard)) == (1, heard)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_answers_not_followed(status: int) -> None:
    count = 0

    def answer(_request: httpx2.Request) -> httpx2.Response:
        nonlocal count
        count += 1
        return httpx2.Response(status, headers={"location": "http://169.254.169.254/"})

    (got,) = asked(answer, {})
    assert (got.status, count) == (status, 1)


@pytest.mark.parametrize(
    ("raised", "family"),
    [
        (httpx2.ConnectError("refused"), NotSent),
        (httpx2.ConnectTimeout("no answer"), NotSent),
        (httpx2.PoolTimeout("busy"), NotSent),
        (httpx2.ReadTimeout("slow"), OutcomeLost),
        (httpx2.WriteTimeout("slow"), OutcomeLost),
        (httpx2.ReadError("reset"), OutcomeLost),
        (httpx2.WriteError("reset"), OutcomeLost),
        (httpx2.CloseError("reset"), OutcomeLost),
        (httpx2.RemoteProtocolError("garbage"), OutcomeLost),
        (httpx2.LocalProtocolError("our garbage"), OutcomeLost),
        (httpx2.DecodingError("bad gzip"), OutcomeLost),
        (httpx2.ProxyError("proxy"), OutcomeLost),
        (TimeoutError(), OutcomeLost),
        (ConnectionResetError(), OutcomeLost),
    ],
)
def test_every_lower_error_is_mapped_and_never_retried(raised: Exception, family: type[Exception]) -> None:
    count = 0

    def answer(_request: httpx2.Request) -> httpx2.Response:
        nonlocal count
        count += 1
        raise raised

    with pytest.raises(family, match=r"api\.erp\.example") as caught:
        asked(answer, {})
    assert count == 1
    assert caught.value.__cause__ is raised


def test_a_body_above_the_cap_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_BYTES_MAX", 1000)
    packed = gzip.compress(b"0" * 1001)

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("bomb"):
            return httpx2.Response(200, headers={"content-encoding": "gzip"}, content=packed)
        return httpx2.Response(200, content=b"0" * 1000)

    (fits,) = asked(answer, {})
    assert len(fits.body) == 1000
    with pytest.raises(OutcomeLost, match="larger than 1000 bytes"):
        asked(answer, {"url": f"{BASE}bomb"})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://elsewhere.example/v2/sale", "below no base address"),
        ("http://api.erp.example/v2/sale", "below no base address"),
        ("https://api.erp.example:8443/v2/sale", "below no base address"),
        ("https://api.erp.example/v2x/sale", "below no base address"),
        ("https://api.erp.example/v2/../admin", "below no base address"),
        ("https://api.erp.example/v2/%2e%2e/admin", "below no base address"),
        ("https://user:pw@api.erp.example/v2/sale", "below no base address"),
        ("https://api.erp.example@evil.example/v2/sale", "below no base address"),
        ("file:///etc/passwd", "below no base address"),
    ],
)
def test_only_addresses_of_the_configuration_are_called(url: str, words: str) -> None:
    purse = Purse()

    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise AssertionError("called")

    with pytest.raises(ForbiddenUrl, match=words) as caught:
        asked(answer, {"url": url}, purse=purse)
    assert isinstance(caught.value, NotSent)
    assert "pw" not in str(caught.value)
    assert purse.paid == []


def port() -> HttpPort:
    return HttpPort(httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(200))), Clock(), None)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.erp.example/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://192.168.0.1/",
        "https://169.254.169.254/latest/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[fe80::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
    ],
)
def test_a_base_address_is_https_and_public_unless_flagged(url: str) -> None:
    with pytest.raises(ForbiddenUrl):
        port().allow(url)
    port().allow(url, insecure=True)


@pytest.mark.parametrize("url", ["ftp://api.erp.example/", "https:///", "https://user:pw@api.erp.example/"])
def test_what_is_no_base_address_is_refused_even_if_flagged(url: str) -> None:
    with pytest.raises(ForbiddenUrl) as caught:
        port().allow(url, insecure=True)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://api.erp.example", "https://8.8.8.8/", "https://[2606:4700::1]/"])
def test_public_base_addresses_are_allowed(url: str) -> None:
    refused = None
    try:
        port().allow(url)
    except ForbiddenUrl as error:
        refused = error
    assert refused is None


@pytest.mark.parametrize(
    ("header", "moment"),
    [
        ("Mon, 02 Mar 2026 09:00:00 GMT", datetime(2026, 3, 2, 9, 0, tzinfo=UTC)),
        ("Mon, 02 Mar 2026 10:00:00 +0100", datetime(2026, 3, 2, 9, 0, tzinfo=UTC)),
        ("Mon, 02 Mar 2026 09:00:00 -0000", datetime(2026, 3, 2, 9, 0, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_the_other_systems_clock(header: str | None, moment: datetime | None) -> None:
    assert http.date_of(header) == moment


def test_the_audit_sees_every_call_without_its_secrets() -> None:
    seen: list[Exchange] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("lost"):
            raise httpx2.ReadTimeout("slow")
        return httpx2.Response(201)

    call = {"headers": {"api-key": "CANARY"}, "params": {"email": "CANARY"}, "json_body": "CANARY", "method": "PUT"}
    asked(answer, {**call, "correlation": "op_1", "operation": "put_lines"}, audit=seen.append)
    with pytest.raises(OutcomeLost):
        asked(answer, {"url": f"{BASE}lost"}, audit=seen.append)
    assert [(e.method, e.host, e.path, e.status, e.error) for e in seen] == [
        ("PUT", "api.erp.example", "/v2/sale", 201, None),
        ("GET", "api.erp.example", "/v2/lost", 0, "OutcomeLost"),
    ]
    assert (seen[0].correlation, seen[0].operation, seen[1].operation) == ("op_1", "put_lines", "GET")
    assert "CANARY" not in repr(seen)


# --- Real sockets ----------------------------------------------------------------------------------------------------

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"


def really_asked(serve: Serve, clock: Clock | None = None, timeout_seconds: float = 5.0) -> Answer:
    async def scene() -> Answer:
        async with server(serve) as url, httpx2.AsyncClient() as client:
            port = HttpPort(client, clock or Clock(), None)
            port.allow(url, insecure=True)
            return await port.call("GET", f"{url}sale", timeout_seconds=timeout_seconds, **CALL)

    return asyncio.run(scene())


def test_an_answer_over_a_socket() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()

    assert really_asked(serve).body == b"ok"


async def drop(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Close without a word."""


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    cast(socket.socket, writer.get_extra_info("socket")).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def truncate(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    await writer.drain()


async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("serve", [drop, reset, truncate, babble])
def test_a_broken_answer_is_a_lost_outcome(serve: Serve) -> None:
    with pytest.raises(OutcomeLost):
        really_asked(serve)


def test_a_body_that_drips_for_ever_ends_at_the_limit_of_the_whole_call() -> None:
    """Each byte comes in time, the whole does not; the limit follows the clock, but stays humanly long for sockets."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.01)

    began = time.monotonic()
    with pytest.raises(OutcomeLost, match="TimeoutError"):
        really_asked(drip, timeout_seconds=0.3)
    assert time.monotonic() - began < 5


def test_nobody_listening_is_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"

    async def scene() -> None:
        async with httpx2.AsyncClient() as client:
            port = HttpPort(client, Clock(), None)
            port.allow(url, insecure=True)
            await port.call("GET", url, **CALL)

    with pytest.raises(NotSent, match="ConnectError"):
        asyncio.run(scene())


def test_a_full_pool_is_not_sent() -> None:
    """While the only connection is busy, a second call gives up before it has written anything."""
    calls = 0

    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await reader.read(1)

    async def scene() -> list[BaseException | Answer]:
        limits = httpx2.Limits(max_connections=1)
        async with server(hang) as url, httpx2.AsyncClient(limits=limits) as client:
            port = HttpPort(client, Clock(), None)
            port.allow(url, insecure=True)
            first = asyncio.create_task(port.call("GET", url, timeout_seconds=1.0, **CALL))
            second = asyncio.create_task(port.call("GET", url, timeout_seconds=0.4, **CALL))
            return list(await asyncio.gather(first, second, return_exceptions=True))

    first, second = asyncio.run(scene())
    assert isinstance(first, OutcomeLost)
    assert isinstance(second, NotSent)
    assert calls == 1


# --- Pinned addresses ------------------------------------------------------------------------------------------------


def pinned(addresses: Sequence[str], *private: str) -> tuple[PinnedTransport, list[httpx2.Request]]:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        if not addresses:
            raise socket.gaierror
        return addresses

    return PinnedTransport(private, resolve=resolve, make=lambda: httpx2.MockTransport(answer)), seen


def through(transport: PinnedTransport, url: str) -> None:
    async def scene() -> None:
        async with httpx2.AsyncClient(transport=transport) as client:
            port = HttpPort(client, Clock(), None)
            port.allow(url, insecure=True)
            await port.call("GET", url, **CALL)

    asyncio.run(scene())


def test_the_checked_address_is_the_one_connected_to() -> None:
    transport, seen = pinned(["203.0.113.9", "203.0.113.10"], "erp.example")
    through(transport, "https://erp.example/sale")
    assert seen[0].url.host == "203.0.113.9"
    assert seen[0].headers["host"] == "erp.example"
    assert seen[0].extensions["sni_hostname"] == "erp.example"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["169.254.169.254"], ["::1"], []])
def test_a_name_with_a_private_address_or_none_is_not_connected_to(addresses: list[str]) -> None:
    transport, seen = pinned(addresses)
    with pytest.raises(NotSent):
        through(transport, "https://erp.example/sale")
    assert seen == []


def test_a_flagged_name_may_be_private() -> None:
    transport, seen = pinned(["127.0.0.1"], "erp.example")
    through(transport, "http://erp.example:8000/sale")
    assert str(seen[0].url) == "http://127.0.0.1:8000/sale"
    assert seen[0].headers["host"] == "erp.example:8000"
