"""The guard: nobody gets in who is not known, and nothing is changed that the person's own page did not ask for.

Rule: what is not allowed is refused; a page is let through only by the last line of `admit`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import cast
from urllib.parse import quote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sellable.config.addresses import is_loopback as is_local
from sellable.config.settings import Settings
from sellable.runtime.clock import Clock
from sellable.runtime.database import Row, Store, Tx
from sellable.runtime.together import Together
from sellable.web.console.doors import NOBODY, ROLES, OpenToReaders, Page, Person, Role, form
from sellable.web.console.render import page as rendered
from sellable.web.people import book
from sellable.web.people.passwords import csrf_of, hash_of

COOKIE = "sellable"
SECURE_COOKIE = "__Host-sellable"
"""Browsers take this name only over TLS, for this host alone."""
READING = ("GET", "HEAD")
PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
NOTE_SECONDS = 60.0
"""That something was used is written down no more often."""
PROGRAMS_MAX = 200
"""So many tokens are looked up in one statement."""
BODY_BYTES_MAX = 1024 * 1024
BODY_SECONDS_MAX = 10.0


class PeopleGuard:
    """Knows people by a session's cookie, programs by a bearer token."""

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        self._store, self._clock, self._settings = store, clock, settings
        self._readers = OpenToReaders() if settings.console.open else None
        self._programs: Together[bytes, Person | None] = Together(self._known, most=PROGRAMS_MAX)

    async def admit(self, request: Request, page: Page) -> Person | Response:
        """The person, or what to answer instead."""
        bearer = bearer_of(request)
        if bearer is not None:
            person = await self._programs.ask(hash_of(bearer))
            if person is None:
                return _unknown_token()
        else:
            person = await self._person(request)
        reads, by_form = request.method in READING, bearer is None and request.method not in READING
        if by_form and not same_origin(request, self._settings):
            return refusal(request, person, 403, "This did not come from a page of this console.")
        if page.role is not None:
            if person is None and self._readers and page.role == ROLES[0] and is_loopback(request) and reads:
                return await self._readers.admit(request, page)
            if person is None:
                return _signed_out(request)
            if not person.may(page.role):
                return refusal(request, person, 403, f"This is for the role {page.role}; yours is {person.role}.")
        if not reads and (trouble := await _unread(request, person)):
            return trouble
        if by_form and page.role is not None and not await _proved(request, person):
            return refusal(request, person, 403, "This form is of another session: open its page again, then send it.")
        return person or NOBODY

    async def _person(self, request: Request) -> Person | None:
        word = session_of(request)
        if not word:
            return None
        now = self._clock.now()
        began_after, seen_after = book.ages(self._settings, now)
        rows = await self._store.ask(
            book.sql.session_person, hash=hash_of(word), began_after=began_after, seen_after=seen_after
        )
        if not rows:
            return None
        # A page that looks for news by itself keeps nobody signed in who has left.
        if wants_page(request) and _old(rows[0].seen_at, now):
            await self._store.write(_see_session, hash_of(word), now)
        return Person(rows[0].name, rows[0].role, csrf_of(word))

    async def _known(self, hashes: Sequence[bytes]) -> list[Person | None]:
        """Whose tokens these are now."""
        now = self._clock.now()
        rows = await self._store.ask(book.sql.token_people, hashes=list(dict.fromkeys(hashes)), now=now)
        if used := sorted(row.id for row in rows if _old(row.used_at, now)):
            await self._store.write(_see_tokens, used, now)
        people = {bytes(row.hash): Person(f"{row.name} (token {row.label})", _lesser(row)) for row in rows}
        return [people.get(each) for each in hashes]


def bearer_of(request: Request) -> str | None:
    """The bearer token of a request; None when it shows none."""
    kind, _, word = request.headers.get("authorization", "").partition(" ")
    return word.strip() if kind.lower() == "bearer" else None


def session_of(request: Request) -> str:
    """The word of the session a browser holds; "" without one."""
    plain = request.cookies.get(COOKIE, "") if stays_here(request) else ""
    return request.cookies.get(SECURE_COOKIE, "") or plain


def same_origin(request: Request, settings: Settings) -> bool:
    """Whether a page of ours made the browser send this. A browser says so itself; who says nothing is none."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin"):
        return False
    if origin is None:
        return site is not None
    ours = urlsplit(settings.console.public_url)
    with suppress(ValueError):
        theirs = urlsplit(origin)
        if theirs.scheme in ("http", "https") and theirs.netloc:
            return theirs.netloc == request.headers.get("host") or theirs[:2] == ours[:2]
    return False


def stays_here(request: Request) -> bool:
    """Whether the browser spoke to its own machine (a container's or tunnel's port on it too): nobody listens in."""
    with suppress(ValueError):
        return is_local(urlsplit(f"//{request.headers.get('host', '')}").hostname or "")
    return False


def is_loopback(request: Request) -> bool:
    """Whether this came over our own loopback, to a name of it: a page elsewhere may not have its name lead here.

    What says that it was passed on comes from elsewhere.
    """
    server, passed_on = request.scope.get("server"), any(name in request.headers for name in PASSED_ON)
    return server is not None and is_local(server[0]) and stays_here(request) and not passed_on


def wants_page(request: Request) -> bool:
    """Whether a person opens a page, rather than a page of ours a piece of itself."""
    accepts = "text/html" in request.headers.get("accept", "")
    return accepts and request.headers.get("sec-fetch-dest", "document") == "document"


def local_path(wanted: str) -> str:
    """Where to go after signing in: a path of ours, whatever was asked for."""
    plain = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted
    if not plain or not wanted.isascii() or any(ord(char) <= 32 or ord(char) == 127 for char in wanted):
        return "/"
    return "/" if wanted.startswith(("/sign-", "/welcome/")) else wanted


def refusal(request: Request, person: Person | None, status: int, reason: str) -> Response:
    """A refusal as a page for a person, as JSON for a program."""
    if not wants_page(request):
        headers = {"www-authenticate": "Bearer"} if status == 401 else None
        return JSONResponse({"error": reason}, status_code=status, headers=headers)
    visit = replace(request.state.visit, person=person or NOBODY)
    return rendered(visit, "refused.html", status_code=status, reason=reason, status=status)


def _signed_out(request: Request) -> Response:
    if request.method not in READING or not wants_page(request):
        return refusal(request, None, 401, "You are not signed in.")
    wanted = local_path(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
    return RedirectResponse("/sign-in" + (f"?next={quote(wanted, safe='/')}" if wanted != "/" else ""), status_code=303)


async def _unread(request: Request, person: Person | None) -> Response | None:
    """Read the body, so that it is at hand; what to answer to one that is too large or too slow for that."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or len(length) > 9:
        return refusal(request, person, 411, "What is sent here says how long it is.")
    if int(length) > BODY_BYTES_MAX:
        return refusal(request, person, 413, "This is too large.")
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            await request.body()
    except (TimeoutError, ClientDisconnect):
        return refusal(request, person, 408, "This took too long to arrive.")
    return None


async def _proved(request: Request, person: Person | None) -> bool:
    """Whether a form brings along what only a page of this session could know."""
    shown = request.headers.get("x-csrf-token") or (await form(request)).get("csrf")
    proof = person.csrf if person else ""
    return isinstance(shown, str) and bool(proof) and compare_digest(shown.encode(), proof.encode())


def _unknown_token() -> Response:
    reason = {"error": "this token is not known, has expired or was revoked"}
    return JSONResponse(reason, status_code=401, headers={"www-authenticate": 'Bearer error="invalid_token"'})


def _lesser(row: Row) -> Role:
    """What a token may do: what its scope says, and no more than its person."""
    both: Sequence[Role] = (book.SCOPES[row.scope], cast("Role", row.role))
    return min(both, key=ROLES.index)


def _old(at: datetime | None, now: datetime) -> bool:
    return at is None or now - at >= timedelta(seconds=NOTE_SECONDS)


def _see_session(tx: Tx, hashed: bytes, now: datetime) -> None:
    tx.run(book.sql.see_session, hash=hashed, now=now)


def _see_tokens(tx: Tx, tokens: Sequence[int], now: datetime) -> None:
    # In order, so that two processes which note the same ones do not wait for each other.
    for token in tokens:
        tx.run(book.sql.see_token, id=token, now=now)
