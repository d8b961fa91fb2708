"""Who gets in: every page by every trick, generated from the router, so that a new page is tried without an edit here.

Rule: what is not let in by name is refused; the guard is asked for every page, and its answer is what counts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from tests.e2e.world import World

from sellable.app import acts
from sellable.app.service import Service
from sellable.runtime.database import Store, Tx
from sellable.runtime.queries import Query
from sellable.web.console.doors import ROLES, Door, Guard, Page, Person, Role
from sellable.web.people import book
from sellable.web.people.book import SCOPES, Book
from sellable.web.people.guard import COOKIE, SECURE_COOKIE
from sellable.web.people.passwords import csrf_of, hash_of, new_word
from sellable.web.server import application

HERE = "http://127.0.0.1:8080"
OPEN = {"/health", "/ready", "/metrics", "/webhooks/{source}/{token}", "/static"}
"""What stands outside the guard, and has tests of its own."""
FOR_ALL = {"/sign-in", "/welcome/{word}"}
"""Pages without a role; what they ask for instead is tried in test_people."""
IN = 299
"""What the porch answers when the guard has let somebody in: no page is reached."""
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
SPOOFS = {
    "x-forwarded-for": "127.0.0.1", "x-forwarded-host": "127.0.0.1:8080", "x-forwarded-proto": "https",
    "forwarded": "for=127.0.0.1;host=127.0.0.1:8080", "x-real-ip": "127.0.0.1", "x-original-url": "/health",
    "x-rewrite-url": "/health", "x-forwarded-prefix": "/static", "x-http-method-override": "GET",
    "x-http-method": "GET", "x-method-override": "GET", "x-remote-user": "ada", "remote-user": "ada",
    "x-forwarded-user": "ada", "authorization": "Basic YWRhOmFkYQ==", "x-csrf-token": "0" * 64,
}  # fmt: skip
AGE = Query(
    package="test", name="test", purpose="test",
    text="UPDATE session SET began_at = began_at - %(began)s, seen_at = seen_at - %(seen)s WHERE hash = %(hash)s",
)  # fmt: skip
EXPIRE = Query(
    package="test",
    name="test",
    purpose="test",
    text="UPDATE api_token SET expires_at = app_now() WHERE hash = %(hash)s",
)


@dataclass(frozen=True, kw_only=True)
class Try:
    """One request."""

    what: str
    verb: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What one person, or nobody any more, can show."""

    session: str
    token: str

    def cookie(self) -> dict[str, str]:
        return {"cookie": f"{COOKIE}={self.session}"}

    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


class Porch:
    """Stands behind the guard: who was let in gets 299 and goes no further."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def admit(self, request: Request, page: Page) -> Person | Response:
        found = await self._guard.admit(request, page)
        return Response(found.name, status_code=IN) if isinstance(found, Person) else found


@dataclass(frozen=True, kw_only=True)
class House:
    """The whole web face in process, with people in it."""

    app: Starlette
    service: Service
    client: httpx2.AsyncClient

    @property
    def store(self) -> Store:
        return self.service.store

    @property
    def book(self) -> Book:
        return Book(
            record=acts.recorder(self.service.settings, self.service.clock), clock=self.service.clock,
            settings=self.service.settings,
        )  # fmt: skip

    @property
    def doors(self) -> list[Door]:
        return [route for route in self.app.routes if isinstance(route, Door)]

    async def ask(self, attempt: Try) -> httpx2.Response:
        more = {"data": attempt.fields} if attempt.fields else {}
        return await self.client.request(attempt.verb, attempt.path, headers=attempt.headers, **more)

    async def keys(self, name: str, role: Role) -> Keys:
        """A new person who is signed in and has a token that may all they may."""
        scope = next(scope for scope, its in SCOPES.items() if its == role)
        return await self.store.write(_person, self.book, name, role, scope)


def _person(tx: Tx, people: Book, name: str, role: Role, scope: str) -> Keys:
    people.add(tx, "test", name, role)
    person = book.by_name(tx, name)
    assert person is not None
    tx.run(book.sql.set_password, id=person.id, password="$argon2id$none")
    session = new_word()
    tx.run(book.sql.put_session, hash=hash_of(session), person=person.id, now=people.clock.now())
    return Keys(session=session, token=people.add_token(tx, "test", name, "ci", scope, 30))


def played(store: Store, scene: Callable[[House], Awaitable[None]], *, porch: bool = True, **changes: Any) -> None:
    """Play a scene against a service that is assembled and not started."""

    async def play() -> None:
        world = World(store)
        service = world.serve(**changes)
        face = replace(service.face(), alive=list)
        if porch:
            face = replace(face, console=replace(face.console, guard=Porch(face.console.guard)))
        app = application(face)
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        try:
            async with httpx2.AsyncClient(transport=transport, base_url=HERE) as client:
                await scene(House(app=app, service=service, client=client))
        finally:
            await service.outside.client.aclose()
            service.store.close()
            world.store.close()
            await world.http.aclose()
            await world.company.vendor.stop()

    asyncio.run(play())


def some(path: str) -> str:
    """A path of this shape."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: "1" if found[2] in (":int", ":float") else "x", path)


def paths(routes: list[BaseRoute]) -> Iterator[tuple[str, BaseRoute]]:
    for route in routes:
        assert isinstance(route, Route | Mount), f"{route!r} is of a sort that nobody has thought about here"
        yield route.path, route


def as_asked(page: Page, keys: Keys | None, **headers: str) -> Try:
    """The request that this person's own page would make."""
    verb = page.methods[0]
    shown = keys.cookie() if keys else {}
    if verb in ("GET", "HEAD"):
        return Try(what="as asked", verb=verb, path=some(page.path), headers=shown | headers)
    fields = {"csrf": csrf_of(keys.session)} if keys else {"csrf": csrf_of("")}
    own = {"origin": HERE, "sec-fetch-site": "same-origin"}
    return Try(what="as asked", verb=verb, path=some(page.path), headers=shown | own | headers, fields=fields)


def tampered(word: str) -> Iterator[tuple[str, str]]:
    """A session's word, not quite."""
    yield "its last letter", word[:-1] + ("A" if word[-1] != "A" else "B")
    yield "cut short", word[:-1]
    yield "longer", word + "A"
    yield "in capitals", word.upper()
    yield "its hash", hash_of(word).hex()
    yield "a line of SQL", "' OR '1'='1"
    yield "a zero byte", word + "\x00"
    yield "nothing", ""


def without_a_person(page: Page, admin: Keys, gone: dict[str, Keys]) -> Iterator[Try]:
    """Ways to come with nothing that opens, each also with the form's proof."""
    nobody = as_asked(page, None)
    yield replace(nobody, what="no cookie")
    yield replace(nobody, what="another name of the cookie", headers=nobody.headers | {"cookie": f"s={admin.session}"})
    yield replace(nobody, what="session in the query", path=f"{nobody.path}?{COOKIE}={admin.session}")
    yield replace(
        nobody, what="session as a token", headers=nobody.headers | {"authorization": f"Bearer {admin.session}"}
    )
    yield replace(nobody, what="token as a session", headers=nobody.headers | {"cookie": f"{COOKIE}={admin.token}"})
    for how, word in tampered(admin.session):
        for cookie in (COOKIE, SECURE_COOKIE):
            headers = nobody.headers | {"cookie": f"{cookie}={word}"}
            yield replace(nobody, what=f"cookie, {how}", headers=headers, fields=as_asked(page, admin).fields)
        yield replace(nobody, what=f"token, {how}", headers=nobody.headers | {"authorization": f"Bearer {word}"})
    for how, keys in gone.items():
        yield replace(as_asked(page, keys), what=f"session {how}")
        yield replace(nobody, what=f"token {how}", headers=nobody.headers | keys.bearer())
    for name, value in SPOOFS.items():
        yield replace(nobody, what=f"spoofed {name}", headers=nobody.headers | {name: value})
    for verb in VERBS:
        if verb not in page.methods:
            yield replace(nobody, what=f"verb {verb}", verb=verb)
    for name in ("x-http-method-override", "x-method-override", "x-http-method"):
        override = nobody.headers | {name: page.methods[0]}
        yield replace(
            nobody, what=f"verb by {name}", verb="POST" if page.methods[0] == "GET" else "GET", headers=override
        )
    for bent in (
        nobody.path + "/",
        "/" + nobody.path,
        nobody.path + "%00",
        "/static/.." + nobody.path,
        nobody.path + ";x",
    ):
        yield replace(nobody, what=f"path {bent}", path=bent)


def with_a_person(page: Page, keys: Keys) -> Iterator[Try]:
    """Forms that the person's own page did not send."""
    good = as_asked(page, keys)
    if page.methods[0] in ("GET", "HEAD"):
        return
    yield replace(good, what="no proof", fields={"other": "x"})
    yield replace(good, what="no form", fields={})
    yield replace(good, what="an empty proof", fields={"csrf": ""})
    yield replace(good, what="another session's proof", fields={"csrf": csrf_of("another")})
    yield replace(
        good, what="the proof in the query", path=f"{good.path}?csrf={good.fields['csrf']}", fields={"x": "y"}
    )
    for origin in (
        "http://evil.test",
        "null",
        "https://127.0.0.1:8080.evil.test",
        "http://127.0.0.1:8081",
        "ftp://127.0.0.1:8080",
        "",
    ):
        yield replace(good, what=f"origin {origin}", headers=good.headers | {"origin": origin})
    for site in ("cross-site", "same-site", "none", ""):
        yield replace(good, what=f"site {site}", headers=good.headers | {"sec-fetch-site": site})
    silent = {name: value for name, value in good.headers.items() if name not in ("origin", "sec-fetch-site")}
    yield replace(good, what="no word of where it is from", headers=silent)
    yield replace(good, what="only a referer", headers=silent | {"referer": HERE})


def is_refusal(answer: httpx2.Response) -> bool:
    if answer.status_code == 303:
        return answer.headers["location"].startswith("/sign-in")
    return 400 <= answer.status_code < 500


def test_every_route_is_behind_the_guard_or_named_here(store: Store) -> None:
    async def scene(house: House) -> None:
        for path, route in paths(house.app.routes):
            if not isinstance(route, Door):
                assert path in OPEN, f"{path} is not behind the guard: make it a Page"
            elif route.page.role is None:
                assert path in FOR_ALL, f"{path} has no role: nobody would be asked for"
        assert {"/", "/status.json", "/people"} <= {door.page.path for door in house.doors}

    played(store, scene)


def test_nobody_gets_around_the_guard(store: Store) -> None:
    async def scene(house: House) -> None:
        admin = await house.keys("ada", "admin")
        gone = {how: await house.keys(how, "admin") for how in ("expired", "idle", "disabled", "revoked")}
        await house.store.write(_end, house.book, gone)
        letting, tried = [], 0
        for page in [door.page for door in house.doors if door.page.role is not None]:
            for attempt in (*without_a_person(page, admin, gone), *with_a_person(page, admin)):
                answer = await house.ask(attempt)
                tried += 1
                if not is_refusal(answer):
                    letting.append((answer.status_code, attempt.what, attempt.verb, attempt.path))
        assert letting == []
        print(f"{tried} attempts on {len(house.doors)} pages: let in 0")

    played(store, scene)


def test_a_role_that_is_too_low_is_refused_and_the_right_one_let_in(store: Store) -> None:
    """The second half is what makes the test above prove anything."""

    async def scene(house: House) -> None:
        everybody = {role: await house.keys(role, role) for role in ROLES}
        for page in [door.page for door in house.doors if door.page.role is not None]:
            for role, keys in everybody.items():
                expected = IN if ROLES.index(role) >= ROLES.index(page.role) else 403
                asked = as_asked(page, keys)
                by_token = Try(what="token", verb=asked.verb, path=asked.path, headers=keys.bearer())
                by_header = replace(
                    asked, headers=asked.headers | {"x-csrf-token": csrf_of(keys.session)}, fields={"a": "b"}
                )
                for attempt in (asked, by_token, by_header):
                    answer = await house.ask(attempt)
                    assert answer.status_code == expected, (page.path, role, attempt)

    played(store, scene)


def _end(tx: Tx, people: Book, gone: dict[str, Keys]) -> None:
    """End what each of them has, in the way they are named for."""
    rules = people.settings.console
    hours, minutes = timedelta(hours=rules.session_hours), timedelta(minutes=rules.session_idle_minutes)
    for how, began, seen in (("expired", hours, timedelta()), ("idle", timedelta(), minutes)):
        tx.run(AGE, hash=hash_of(gone[how].session), began=began, seen=seen)
        tx.run(EXPIRE, hash=hash_of(gone[how].token))
    people.disable(tx, "test", "disabled")
    tx.run(book.sql.end_session, hash=hash_of(gone["revoked"].session))
    people.revoke_token(tx, "test", next(row.id for row in book.listing(tx)[1] if row.name == "revoked"))
