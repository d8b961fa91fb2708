"""The HTTP face: webhooks are verified, stored and answered; health and metrics; behind its guard, the console.

One rule: nothing that arrives is answered with success before it is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

import msgspec
import psycopg
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from sellable.runtime import telemetry, tracing
from sellable.web.api import routes as api
from sellable.web.console import pages
from sellable.web.console.doors import Console, Page, Visit, routes
from sellable.web.console.render import HEADERS, failed

BODY_BYTES_MAX = 1024 * 1024
"""Larger webhook bodies are refused; the vendors' own limits are far below."""
BODY_SECONDS_MAX = 10.0
"""Who takes longer to send one is not waited for: a vendor's is there at once, a stranger could hold us for ever."""

accepted = telemetry.counter("webhooks", "Webhooks by source and answer.", ["source", "answer"])


class Refused(Exception):
    """A webhook that is not what it says it is: wrong token, missing or wrong secret, or no shape we know."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


Accept = Callable[[str, Mapping[str, str], bytes], Awaitable[int | str]]
"""(path token, lower-case headers, raw body) -> number of new arrivals, or the words the sender waits for, after they
were stored. Raises Refused."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """What the assembly hands in."""

    webhooks: Mapping[str, Accept]
    status: Callable[[], Awaitable[dict[str, Any]]]
    ready: Callable[[], Awaitable[bool]]
    alive: Callable[[], list[str]]
    metrics_token: str | None = None
    """What /metrics asks for as a bearer token; None: nothing; empty: nobody is let in."""
    console: Console


class _Headed(Starlette):
    """What browsers must not do with an answer stands on every one, also where something went wrong."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        status = 0

        async def headed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if not scope.get("query_string", b"").isascii():
            # No browser and no program of good will sends such bytes unescaped, and nobody could read them.
            await PlainTextResponse("an address is ASCII", status_code=400)(scope, receive, headed)
            return
        if not tracing.on():
            await super().__call__(scope, receive, headed)
            return
        with tracing.span("request", "server", {"http.request.method": scope["method"]}) as told:
            try:
                await super().__call__(scope, receive, headed)
            finally:
                # The route and never the path: addresses of webhooks hold a word that opens.
                route = getattr(scope.get("route"), "path", "unknown")
                told.call(f"{scope['method']} {route}")
                told.say({"http.route": route, "http.response.status_code": status})
                if status >= 500:
                    told.fail(str(status))


def application(face: Face) -> Starlette:
    """The ASGI application."""

    async def webhook(request: Request) -> Response:
        """Takes in a webhook: `source` is commercetools, cin7 or orderflow, `token` the path token of its settings, and
        the secret comes in the header that the source sends. 200 once it is stored; 401 with either word wrong, 404
        another source, 400 not understood, 408 slower than 10 s, 413 larger than 1 MiB, 503 when it cannot be stored.
        """
        source = request.path_params["source"]
        accept = face.webhooks.get(source)
        if accept is None:
            return _refuse(source, 404, "no such source")
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                body = await _body(request)
            if body is None:
                return _refuse(source, 413, "too large")
            headers = {k.lower(): v for k, v in request.headers.items()}
            new = await accept(request.path_params["token"], headers, body)
        except Refused as refusal:
            return _refuse(source, refusal.status, str(refusal))
        except TimeoutError:
            return _refuse(source, 408, "too slow", hang_up=True)
        except ClientDisconnect:
            return _refuse(source, 400, "connection lost")
        except psycopg.Error:
            # Not stored is not accepted: the sender tries again.
            return _refuse(source, 503, "cannot store")
        accepted.labels(source, "stored").inc()
        face.console.heard[source] = face.console.clock.now()
        return JSONResponse({"stored": new}) if isinstance(new, int) else PlainTextResponse(new)

    async def health(request: Request) -> Response:
        """Whether every background loop runs; 503 with their names when one does not: restart the process."""
        dead = face.alive()
        return JSONResponse({"alive": not dead, "silent": dead}, status_code=503 if dead else 200)

    async def ready(request: Request) -> Response:
        """Whether the database answers; 503 when not: take the process out of the balancer."""
        ok = await face.ready()
        return JSONResponse({"ready": ok}, status_code=200 if ok else 503)

    async def metrics(request: Request) -> Response:
        """Prometheus' text format, of this process; 401 without the bearer token when `metrics_open` is false."""
        if not _may_read_metrics(request, face.metrics_token):
            return JSONResponse({"error": "not authorised"}, status_code=401, headers={"www-authenticate": "Bearer"})
        return PlainTextResponse(telemetry.exposition(), media_type="text/plain; version=0.0.4")

    async def status(_: Visit) -> Response:
        """What `sellable status --json` says, with budgets, of the whole installation, to viewers and their tokens;
        503 without a database.
        """
        try:
            found = await face.status()
        except psycopg.Error as error:
            return JSONResponse({"error": f"the database does not answer ({type(error).__name__})"}, status_code=503)
        return Response(msgspec.json.encode(found), media_type="application/json")

    app = _Headed(
        routes=[
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", metrics),
            Route("/webhooks/{source}/{token}", webhook, methods=["POST"]),
            *routes(face.console, [Page(path="/status.json", answer=status, role="viewer")], failed),
            *api.routes_of(face.console),
            *pages.routes_of(face.console),
        ],
        exception_handlers={HTTPException: api.unmet},
    )
    # A redirect would repeat an address with its token, on whatever host the caller named.
    app.router.redirect_slashes = False
    return app


async def _body(request: Request) -> bytes | None:
    """The raw body, or None when it is larger than allowed (also when its length was a lie)."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > BODY_BYTES_MAX:
        return None
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _may_read_metrics(request: Request, token: str | None) -> bool:
    if token is None:
        return True
    shown = request.headers.get("authorization", "").encode()
    return compare_digest(shown, f"Bearer {token}".encode()) and bool(token)


def _refuse(source: str, status: int, reason: str, *, hang_up: bool = False) -> Response:
    accepted.labels(source if status != 404 else "unknown", str(status)).inc()
    # Who is too slow is hung up on.
    return JSONResponse({"error": reason}, status_code=status, headers={"connection": "close"} if hang_up else None)
