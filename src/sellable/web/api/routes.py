"""Endpoints as routes: the guard that pages ask, a limit for each caller, and every refusal as problem+json (RFC 9457).

One rule: an endpoint is served only through `routes_of`, which asks the guard first.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from typing import Any, get_origin
from urllib.parse import parse_qsl

import msgspec
import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sellable.config.load import bare
from sellable.web.api import openapi
from sellable.web.api.endpoints import ENDPOINTS, ROOT, Endpoint, Refused
from sellable.web.api.limits import Buckets
from sellable.web.api.shapes import Nothing, Problem
from sellable.web.console.doors import NOBODY, Console, Door, Page, Visit

PROBLEM = "application/problem+json"
JSON = "application/json"


def routes_of(console: Console) -> list[Door]:
    """Every endpoint, and the description of them all."""
    buckets = Buckets(lambda: console.live.file.console.api_calls_per_second)
    return [_door(console, endpoint, buckets) for endpoint in (*ENDPOINTS, DESCRIPTION)]


async def _described(_: Visit, __: Any, ___: Any) -> Any:
    """The description of this API, in OpenAPI 3.1."""
    return openapi.document()


DESCRIPTION = Endpoint(path=f"{ROOT}/openapi.json", answer=_described, role="viewer", answers=Nothing)


def _door(console: Console, endpoint: Endpoint, buckets: Buckets) -> Door:
    page = Page(path=endpoint.path, answer=_as_page(endpoint), role=endpoint.role, methods=(endpoint.method,))
    return Door(page, _guarded(console, page, buckets))


def _as_page(endpoint: Endpoint) -> Callable[[Visit], Awaitable[Response]]:
    async def answer(visit: Visit) -> Response:
        asked = _asked(visit.request, endpoint.asks)
        body = await _body(visit.request, endpoint.body) if endpoint.body is not None else None
        return Response(msgspec.json.encode(await endpoint.answer(visit, asked, body)), media_type=JSON)

    # What the endpoint says of itself is what the reference of HTTP says.
    answer.__doc__ = endpoint.answer.__doc__
    return answer


def _guarded(console: Console, page: Page, buckets: Buckets) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        request.state.visit = Visit(request=request, person=NOBODY, console=console)
        now = asyncio.get_running_loop().time()
        try:
            admitted = await console.guard.admit(request, page)
            if isinstance(admitted, Response):
                # Whoever shows nothing we know shares what their address has left, and takes nothing from who does.
                stranger = f"address:{request.client.host if request.client else ''}"
                refused = _refusal(admitted)
                wait = buckets.take(stranger, now) if refused.status_code == 401 else 0
                return _limited(wait) if wait else refused
            if wait := buckets.take(admitted.name, now):
                return _limited(wait)
            return await page.answer(Visit(request=request, person=admitted, console=console))
        except Refused as refused:
            return problem(refused.status, refused.title, refused.detail)
        except psycopg.Error as error:
            return problem(503, "the database does not answer", type(error).__name__)

    answer.__doc__ = page.answer.__doc__
    return answer


async def unmet(request: Request, error: Exception) -> Response:
    """No such address, or not by this verb: a problem below the API, a line of text elsewhere."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if request.scope["path"].startswith(f"{ROOT}/"):
        return problem(error.status_code, error.detail, **headers)
    return PlainTextResponse(error.detail, status_code=error.status_code, headers=headers)


def problem(status: int, title: str, detail: str = "", **headers: str) -> Response:
    """An error as a program reads it."""
    body = msgspec.json.encode(Problem(title=title, status=status, detail=detail))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(body, status_code=status, media_type=PROBLEM, headers=named)


def _limited(wait: int) -> Response:
    return problem(429, "too many calls", f"Try again in {wait} s.", retry_after=str(wait))


def _refusal(answer: Response) -> Response:
    """What the guard says, in the words of this API; what it leads to sign in is not signed in."""
    status = 401 if answer.status_code == 303 else answer.status_code
    if status < 400:
        return answer
    try:
        reason = msgspec.json.decode(answer.body)["error"]
    except (msgspec.DecodeError, KeyError, TypeError):
        reason = "" if status == 401 else bytes(answer.body).decode("utf-8", "replace")[:200]
    found = problem(status, http.HTTPStatus(status).phrase, reason)
    if status == 401:
        found.headers["www-authenticate"] = answer.headers.get("www-authenticate", "Bearer")
    return found


# --- What comes in ---------------------------------------------------------------------------------------------------


def _asked(request: Request, wanted: type[msgspec.Struct]) -> Any:
    """What the address asks for. Raises Refused."""
    text: str = request.scope["query_string"].decode("latin-1")
    if "\x00" in request.scope["path"] or "\x00" in text or "%00" in text:
        raise Refused(422, "a name holds a NUL")
    found: dict[str, Any] = {}
    several = _lists(wanted)
    for name, value in _pairs(text):
        if name in several:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    try:
        return msgspec.convert(found, wanted, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        raise Refused(422, "the address asks for what cannot be", str(error)) from None


def _pairs(text: str) -> Iterable[tuple[str, ...]]:
    """Names and values of an address, as `parse_qsl` reads them; where nothing is escaped at a sixth of its cost."""
    if "%" in text or "+" in text:
        return parse_qsl(text, keep_blank_values=True)
    return [pair.partition("=")[::2] for pair in text.split("&") if pair]


@cache
def _lists(wanted: type[msgspec.Struct]) -> frozenset[str]:
    """Fields of which an address may name several; looking at annotations costs more than the rest of a call."""
    return frozenset(f.name for f in msgspec.structs.fields(wanted) if get_origin(bare(f.type)) is tuple)


async def _body(request: Request, wanted: type[msgspec.Struct]) -> Any:
    """What was sent, which the guard has read within bounds. Raises Refused."""
    raw = await request.body()
    if raw and request.headers.get("content-type", "").partition(";")[0].strip() != JSON:
        raise Refused(415, "send JSON", f"content-type: {JSON}")
    try:
        found = msgspec.json.decode(raw or b"{}", type=wanted)
    except msgspec.ValidationError as error:
        raise Refused(422, "what was sent cannot be done", str(error)) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refused(400, "this is no JSON", str(error)[:200]) from None
    if any(isinstance(value, str) and "\x00" in value for value in msgspec.structs.asdict(found).values()):
        raise Refused(422, "a text holds a NUL")
    return found
