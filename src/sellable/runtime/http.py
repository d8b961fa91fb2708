"""The one door to other systems: a request out, an answer in. It never retries and follows no redirect.

Rule: whoever calls learns whether the request can have had an effect. `NotSent` is a proof that it cannot; everything
else that is not an answer is `OutcomeLost`. An answer of any status is an `Answer`, for the connector to judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import email.utils
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec

from sellable.runtime import telemetry, tracing
from sellable.runtime.budgets import Budgets
from sellable.runtime.clock import Clock

BODY_BYTES_MAX = 64 * 1024 * 1024
TIMEOUT_SECONDS = 30.0
CONNECT_PART = 0.5
"""Part of a call's time after which waiting for a connection is given up, while it is still sure nothing was sent."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
NOT_PUBLIC = tuple(
    ipaddress.ip_network(each)
    for each in (
        *("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
        *("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10", "3fff::/20", "5f00::/16"),
    )
)
"""Addresses that the standard library (of Python 3.11) takes for public and that reach this machine, its network or
a cloud's metadata: protocol assignments, relays, translated and retired ranges (IANA special-purpose registries)."""

SECRET_HEADERS = ("authorization", "api-auth-applicationkey", "password")
SECRET_LENGTH_MIN = 8

Params = Mapping[str, str] | Sequence[tuple[str, str]] | None

seconds_by = telemetry.histogram(
    "http_client_seconds", "Seconds from sending to the whole answer.", ["system", "operation", "status"]
)


class HttpError(Exception):
    """No usable answer.

    HttpError
     ├─ NotSent       nothing was written to the connection: surely not applied
     └─ OutcomeLost   something may have been written: applied or not, nobody knows
    """


class NotSent(HttpError):
    """The request did not leave: no connection, no address, or all connections busy."""


class OutcomeLost(HttpError):
    """The request may have been carried out, but no usable answer came back."""


class ForbiddenUrl(NotSent, ValueError):
    """The configuration does not name this address, or it is not one we may call; nothing was sent."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back. `headers` have lower-case names, `date` is the other system's clock, `seconds` are ours."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: datetime
    answered_at: datetime
    date: datetime | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A call as the log of calls may see it: no query, no header. `status` 0 is no answer, `error` says why.

    The bodies are as sent and received; whoever keeps them redacts them first.
    """

    method: str
    host: str
    path: str
    operation: str
    credential: str
    correlation: str | None
    status: int
    error: str | None
    sent_at: datetime
    seconds: float
    request: bytes | None = field(default=None, repr=False)
    answer: bytes | None = field(default=None, repr=False)


_correlation: contextvars.ContextVar[str | None] = contextvars.ContextVar("correlation", default=None)


@contextlib.contextmanager
def correlated(correlation: str | None) -> Iterator[None]:
    """Calls made inside belong to this correlation unless they name their own."""
    token = _correlation.set(correlation)
    try:
        yield
    finally:
        _correlation.reset(token)


class HttpPort:
    """Calls on addresses of the configuration, each paid from a budget.

    Nothing may be called before `allow` has named its base address. Without budgets nothing is paid (for webhooks of
    our own and tests).
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        clock: Clock,
        budgets: Budgets | None,
        audit: Callable[[Exchange], object] | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._budgets = budgets
        self._audit = audit
        self._bases: list[httpx2.URL] = []

    def allow(self, base_url: str, *, insecure: bool = False) -> None:
        """Permit calls below a base address of the configuration.

        Raises ForbiddenUrl unless it is https to a public host; `insecure` permits http and private addresses too.
        """
        url = _parsed(base_url)
        if url.scheme not in ("https", "http") or not url.host or url.userinfo:
            raise ForbiddenUrl(f"not a base address: {_shown(url)}")
        if not insecure:
            if url.scheme != "https":
                raise ForbiddenUrl(f"{_shown(url)}: https is required unless the setting `insecure` is on")
            if _is_private(url.host):
                raise ForbiddenUrl(f"{_shown(url)}: a private address needs the setting `insecure`")
        self._bases.append(url)

    async def call(
        self,
        method: str,
        url: str,
        *,
        lane: str,
        credential: str,
        headers: Mapping[str, str] | None = None,
        params: Params = None,
        content: bytes | None = None,
        json_body: Any = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        correlation: str | None = None,
        operation: str | None = None,
    ) -> Answer:
        """Make one call after waiting for its budget; `timeout_seconds` (of the clock) begin after that wait.

        `operation` names the call in metrics, the method when absent. Raises NotSent (ForbiddenUrl too) or OutcomeLost.
        """
        request = self._request(method, url, headers, params, content, json_body, timeout_seconds)
        if self._budgets is not None:
            await self._budgets.spend(credential, lane)
        sent_at, began = self._clock.now(), self._clock.monotonic()
        status, error, body = 0, None, None
        vendor = credential.partition(":")[0]
        told = {"sellable.vendor": vendor, "sellable.lane": lane, "server.address": request.url.host}
        try:
            with tracing.span(f"{vendor} {operation or method}", "client", told) as span:
                answer = await self._exchange(request, timeout_seconds, sent_at, began)
                status, body = answer.status, answer.body
                span.say({"http.request.method": method, "http.response.status_code": status})
            if status < 500 and self._budgets is not None:
                self._budgets.answered(credential)
        except HttpError as failure:
            error = type(failure).__name__
            raise
        except asyncio.CancelledError:
            error = "cancelled"
            raise
        finally:
            exchange = Exchange(
                method=method,
                host=request.url.host,
                path=request.url.path,
                operation=operation or method,
                credential=credential,
                correlation=correlation or _correlation.get(),
                status=status,
                error=error,
                sent_at=sent_at,
                seconds=self._clock.monotonic() - began,
                request=request.content,
                answer=body,
            )
            self._tell(exchange)
        return answer

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        params: Params,
        content: bytes | None,
        json_body: Any,
        timeout_seconds: float,
    ) -> httpx2.Request:
        target = self._allowed(url)
        sent_headers = dict(headers or {})
        if json_body is not None:
            content = msgspec.json.encode(json_body)
            sent_headers.setdefault("content-type", "application/json")
        whole = self._clock.real_timeout(timeout_seconds)
        timeout = httpx2.Timeout(whole, connect=whole * CONNECT_PART, pool=whole * CONNECT_PART)
        try:
            return self._client.build_request(
                method, target, headers=sent_headers, params=_pairs(params), content=content, timeout=timeout
            )
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise NotSent(f"not a request: {type(error).__name__}") from error

    def _allowed(self, url: str) -> httpx2.URL:
        target = _parsed(url)
        for base in self._bases:
            same_place = (target.scheme, target.host, target.port) == (base.scheme, base.host, base.port)
            if same_place and not target.userinfo and _below(target.path, base.path):
                return target
        raise ForbiddenUrl(f"{_shown(target)} is below no base address of the configuration")

    async def _exchange(
        self, request: httpx2.Request, timeout_seconds: float, sent_at: datetime, began: float
    ) -> Answer:
        """Send, and read the whole answer; errors come out as NotSent or OutcomeLost."""
        try:
            async with asyncio.timeout(self._clock.real_timeout(timeout_seconds)):
                response = await self._client.send(request, stream=True, auth=None, follow_redirects=False)
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
        except HttpError:
            raise
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as error:
            raise NotSent(f"{request.url.host}: {type(error).__name__}") from error
        except (httpx2.HTTPError, httpx2.StreamError, TimeoutError, OSError) as error:
            raise OutcomeLost(f"{request.url.host}: {type(error).__name__}") from error
        return Answer(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=_without_secrets(body, request.headers),
            sent_at=sent_at,
            answered_at=self._clock.now(),
            date=date_of(response.headers.get("date")),
            seconds=self._clock.monotonic() - began,
        )

    def _tell(self, exchange: Exchange) -> None:
        system = exchange.credential.partition(":")[0]
        seconds_by.labels(system, exchange.operation, exchange.error or str(exchange.status)).observe(exchange.seconds)
        if self._audit is not None:
            self._audit(exchange)


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Connects only to addresses that were checked: a name is resolved, all its addresses judged, one of them used.

    So a name cannot be given another address between the check and the connection. Hosts in `private_hosts` may be
    private. The certificate is checked against the name as always.
    """

    def __init__(
        self,
        private_hosts: Sequence[str] = (),
        *,
        resolve: Resolve | None = None,
        make: Callable[[], httpx2.AsyncBaseTransport] = httpx2.AsyncHTTPTransport,
    ) -> None:
        self._private_hosts = frozenset(private_hosts)
        self._resolve = resolve or _resolve
        self._make = make
        # One pool for each name: two names behind one address must not share a connection made for one of them.
        self._pools: dict[str, httpx2.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request to a checked address of its host. Raises httpx2.ConnectError when there is none."""
        host = request.url.host
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            raise httpx2.ConnectError(f"{host} has no address", request=request) from error
        if host not in self._private_hosts and any(_is_private(address) for address in addresses):
            raise httpx2.ConnectError(f"{host} has a private address", request=request)
        if not addresses:
            raise httpx2.ConnectError(f"{host} has no address", request=request)
        if host not in self._pools:
            self._pools[host] = self._make()
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=addresses[0]),
            headers=request.headers,  # Host still carries the name.
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._pools[host].handle_async_request(pinned)

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()


async def _resolve(host: str, port: int) -> Sequence[str]:
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


def date_of(header: str | None) -> datetime | None:
    """The instant of a Date header in UTC; None when it is absent or unreadable."""
    try:
        found = email.utils.parsedate_to_datetime(header or "")
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


async def _read(response: httpx2.Response) -> bytes:
    """The body, decompressed, unless it is larger than anything we ask for."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise OutcomeLost(f"{response.url.host}: the answer is larger than {BODY_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


def _parsed(url: str) -> httpx2.URL:
    try:
        found = httpx2.URL(url)
        _ = found.host  # Read here, as a name that cannot be written out only fails when it is asked for.
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ForbiddenUrl("not an address") from error
    return found


def _without_secrets(body: bytes, sent: Mapping[str, str]) -> bytes:
    """An answer that repeats what we signed in with says it no more: errors are told to people and kept."""
    for name in SECRET_HEADERS:
        for word in sent.get(name, "").split(" "):
            if len(word) >= SECRET_LENGTH_MIN:
                body = body.replace(word.encode(), b"(hidden)")
    return body


def _below(path: str, base: str) -> bool:
    """Whether a path lies under a base path; one that climbs ("..") lies nowhere."""
    folder = base if base.endswith("/") else f"{base}/"
    return ".." not in path.split("/") and (path == base or path.startswith(folder))


def _is_private(host: str) -> bool:
    """Whether a literal address (or a name that means this machine) is not on the public internet."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        name = host.rstrip(".").lower()
        return name == "localhost" or name.endswith(".localhost")
    if isinstance(address, ipaddress.IPv6Address):
        # An IPv4 address in IPv6 clothes is judged as what it reaches.
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return not address.is_global or address.is_multicast or any(address in network for network in NOT_PUBLIC)


def _pairs(params: Params) -> tuple[tuple[str, str], ...] | None:
    if params is None:
        return None
    return tuple(params.items()) if isinstance(params, Mapping) else tuple(params)


def _shown(url: httpx2.URL) -> str:
    """An address without query and password, for messages."""
    return f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}{url.path}"
