"""Who may come in: every route by every trick, over real sockets; generated from the router, so a new route must say.

Rule: without both words of a source nothing is accepted and nothing stored; what is open only reads; a page is behind
the guard (whose tricks are tried in test_guard).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from tests.e2e.world import World

from sellable.runtime.database import Store
from sellable.runtime.queries import Query
from sellable.web import server
from sellable.web.console.doors import Door
from sellable.web.server import BODY_BYTES_MAX, application

TOKENS = {"commercetools": "ct-path-token-1", "cin7": "cin7-path-token-2"}
SECRETS = {"commercetools": "ct-secret-word-1", "cin7": "cin7-secret-word-2"}
HOOKS = {
    "commercetools": {"webhook": {"path_token": TOKENS["commercetools"], "secret": SECRETS["commercetools"]}},
    "cin7_core": {"webhook": {"path_token": TOKENS["cin7"], "secret": SECRETS["cin7"]}},
}
POLICY = {
    "/health": "open", "/ready": "open", "/metrics": "open",
    "/webhooks/{source}/{token}": "both words of the source",
}  # fmt: skip
"""What each route asks for that is no page. Open ones only read, and are for an own network."""
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post")
STORED = Query(package="test", name="test", purpose="test", text="SELECT count(*) AS n FROM inbox")


@dataclass(frozen=True, kw_only=True)
class Try:
    """One request as it goes over the wire."""

    what: str
    verb: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def wire(self) -> bytes:
        sized = {} if "transfer-encoding" in self.headers else {"content-length": str(len(self.body))}
        lines = [f"{name}: {value}" for name, value in ({"host": "us.test"} | sized | self.headers).items()]
        return "\r\n".join([f"{self.verb} {self.path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True, kw_only=True)
class House:
    """A running server, and what it has stored."""

    app: Starlette
    port: int
    store: Store
    first_link: Callable[[str], Awaitable[str | None]]

    async def ask(self, attempt: Try) -> int:
        """The status of the answer; 0 when the connection was closed without one."""
        return (await self.say(attempt.wire()))[0]

    async def say(self, *parts: bytes, hang_up: bool = False) -> tuple[int, bytes]:
        """Status and head of the answer to these bytes; `hang_up` when no more will come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            with contextlib.suppress(ConnectionError):
                # The answer may come, and the connection go, before all was sent.
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                if hang_up:
                    writer.write_eof()
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0, b""
        finally:
            writer.close()
        found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
        return int(found[1]) if found else 0, answer

    async def stored(self) -> int:
        return int(await self.store.read(lambda tx: tx.value(STORED)))


@contextlib.asynccontextmanager
async def running(store: Store, **changes: Any) -> AsyncIterator[House]:
    world = World(store)
    service = world.serve(**changes)
    app = application(replace(service.face(), alive=list))
    face = uvicorn.Server(uvicorn.Config(app, port=0, host="127.0.0.1", log_config=None, lifespan="off"))
    face.install_signal_handlers = lambda: None  # type: ignore[method-assign]
    serving = asyncio.create_task(face.serve())
    while not face.started:  # noqa: ASYNC110 - the server rings no bell
        await asyncio.sleep(0.005)
    try:
        port = face.servers[0].sockets[0].getsockname()[1]
        yield House(app=app, port=port, store=service.store, first_link=service.first_link)
    finally:
        face.should_exit = True
        await serving
        await service.outside.client.aclose()
        service.store.close()
        world.store.close()
        await world.http.aclose()
        await world.company.vendor.stop()


def played(scene: Callable[[House], Awaitable[None]], store: Store, **changes: Any) -> None:
    async def play() -> None:
        async with running(store, **changes) as house:
            await scene(house)

    asyncio.run(play())


def routes(app: Starlette) -> list[Route]:
    """All but the pages, which are behind the guard."""
    return [route for route in app.routes if isinstance(route, Route) and not isinstance(route, Door)]


def a_message(identity: str = "m-1") -> bytes:
    return json.dumps(
        {
            "notificationType": "Message", "id": identity, "type": "OrderCreated", "version": 1,
            "createdAt": "2026-11-21T10:00:00.123Z", "resource": {"typeId": "order", "id": "order-1"},
        }
    ).encode()  # fmt: skip


BODIES = {"commercetools": a_message(), "cin7": b'{"EventType":"Sale/Voided","SaleID":"0f0e"}'}


def right(source: str) -> Try:
    """What the source itself would send."""
    return Try(
        what="right", verb="POST", path=f"/webhooks/{source}/{TOKENS[source]}",
        headers={"authorization": f"Bearer {SECRETS[source]}", "content-type": "application/json"}, body=BODIES[source],
    )  # fmt: skip


# --- Every route by every trick --------------------------------------------------------------------------------------

SPOOFS = {
    "x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "forwarded": "for=127.0.0.1", "x-original-url": "/health",
    "x-rewrite-url": "/health", "x-http-method-override": "POST", "x-method-override": "POST",
    "x-forwarded-user": "admin", "x-remote-user": "admin", "cookie": "session=admin", "x-forwarded-host": "127.0.0.1", 
    "x-api-key": "admin",
    "proxy-authorization": "Bearer ct-secret-word-1",
}  # fmt: skip


def tampered(word: str) -> Iterator[str]:
    """Words near the right one."""
    yield from ("", word[:-1], word + "x", word.upper(), word[::-1], f"{word},{word}", word.replace("-", "\u00ad"))
    yield from (f"{word}%00", f'"{word}"', "null", "true", "*", "%", "' OR 1=1 --", "\xff\xfe", "=" * 4000)


def bent(path: str) -> Iterator[str]:
    """Other spellings of a path."""
    first, _, rest = path[1:].partition("/")
    yield from (f"/{path}", f"{path}/", f"{path}//", f"/./{path[1:]}", f"/x/..{path}", f"/%2e{path}", f"/%2e%2e{path}")
    yield from (
        path.replace("/", "//"),
        path.replace("/", "/./"),
        path.upper(),
        path.title(),
        f"{path};x=1",
        f"{path}%00",
    )
    yield from (f"{path}%20", f"{path}.json", f"{path}?token=x", f"{path}#x", path.replace("/", "%2f"), f"{path}\\..\\")
    yield from (f"http://127.0.0.1{path}", f"/{first}/../{first}/{rest}", path.replace("o", "%6f"), f"{path}%0d%0ax: y")


def hook_tries(source: str) -> Iterator[Try]:
    """Everything but the right request."""
    good = right(source)
    other = next(name for name in TOKENS if name != source)
    yield replace(good, what="no secret", headers={})
    for word in tampered(SECRETS[source]):
        yield replace(good, what=f"secret {word[:20]!r}", headers={"authorization": f"Bearer {word}"})
        yield replace(good, what=f"bare secret {word[:20]!r}", headers={"authorization": word})
        basic = {"authorization": f"Basic {word}"}
        yield replace(good, what=f"basic {word[:20]!r}", headers=basic)
        if word != SECRETS[source] and word.isprintable() and word.isascii() and word:
            path = f"/webhooks/{source}/{word.replace(' ', '%20').replace('%', '%25')}"
            yield replace(good, what=f"token {word[:20]!r}", path=path)
    yield replace(good, what="other's secret", headers={"authorization": f"Bearer {SECRETS[other]}"})
    yield replace(good, what="other's token", path=f"/webhooks/{source}/{TOKENS[other]}")
    yield replace(good, what="words swapped", path=f"/webhooks/{source}/{SECRETS[source]}")
    yield replace(good, what="at the other's door", path=f"/webhooks/{other}/{TOKENS[source]}")
    yield replace(good, what="an unknown door", path=f"/webhooks/shopify/{TOKENS[source]}")
    yield replace(
        good, what="secret in the query", path=f"{good.path}?authorization=Bearer%20{SECRETS[source]}", headers={}
    )
    for verb in VERBS:
        if verb != "POST":
            yield replace(good, what=f"verb {verb}", verb=verb)
    for name, value in SPOOFS.items():
        yield replace(good, what=f"spoofed {name}", headers={name: value})
        yield replace(good, what=f"spoofed {name}, GET", verb="GET", headers={name: value})
    for path in bent(good.path):
        yield replace(good, what=f"path {path}", path=path, headers={})


def open_tries(path: str) -> Iterator[Try]:
    """What could make an open route do more than read."""
    for verb in VERBS:
        if verb not in ("GET", "HEAD"):
            yield Try(what=f"verb {verb}", verb=verb, path=path, body=BODIES["commercetools"])
    for name, value in SPOOFS.items():
        yield Try(
            what=f"spoofed {name}, POST", verb="POST", path=path, headers={name: value}, body=BODIES["commercetools"]
        )
    for bend in bent(path):
        yield Try(what=f"path {bend}", verb="POST", path=bend, body=BODIES["commercetools"])


def test_every_route_has_a_policy(store: Store) -> None:
    async def scene(house: House) -> None:
        found = {route.path: route.methods or set() for route in routes(house.app)}
        assert set(found) == set(POLICY), "make a new route a Page, or say in POLICY what it asks for and try it"
        for path, policy in POLICY.items():
            assert found[path] == ({"GET", "HEAD"} if policy == "open" else {"POST"})
        rest = [route for route in house.app.routes if not isinstance(route, Door) and route not in routes(house.app)]
        assert [getattr(route, "path", route) for route in rest] == ["/static"], "what is mounted would not be tried"

    played(scene, store)


def test_nobody_gets_around_a_policy(store: Store) -> None:
    tries = [each for source in TOKENS for each in hook_tries(source)]
    tries += [each for path, policy in POLICY.items() if policy == "open" for each in open_tries(path)]

    async def scene(house: House) -> None:
        answers = [(await house.ask(each), each.what, each.verb, each.path[:80]) for each in tries]
        assert [answer for answer in answers if not 400 <= answer[0] < 500] == []
        assert await house.stored() == 0
        print(f"{len(tries)} attempts on {len(POLICY)} routes: accepted 0, stored 0")

    assert len(tries) > 250
    played(scene, store, **HOOKS)


def test_the_right_request_is_let_in(store: Store) -> None:
    """Or else the test above would prove nothing."""

    async def scene(house: House) -> None:
        for source in TOKENS:
            assert await house.ask(right(source)) == 200
        assert await house.stored() == 2
        for path, policy in POLICY.items():
            if policy == "open":
                assert await house.ask(Try(what="open", verb="GET", path=path)) in (200, 503)

    played(scene, store, **HOOKS)


def test_a_source_that_is_not_set_up_lets_nobody_in(store: Store) -> None:
    """No word to be known is not the same as an empty one."""

    async def scene(house: House) -> None:
        for source in TOKENS:
            for word in ("", " ", "None", "null"):
                for path in (f"/webhooks/{source}/", f"/webhooks/{source}/%20", f"/webhooks/{source}/x"):
                    tried = replace(right(source), path=path, headers={"authorization": f"Bearer {word}"})
                    assert 400 <= await house.ask(tried) < 500
        assert await house.stored() == 0

    played(scene, store)


# --- Bodies of those who know the words ------------------------------------------------------------------------------

DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("too large by a byte", b" " * (BODY_BYTES_MAX + 1), 413),
        ("nested without end", DEEP, 400),
        ("a message nested without end", a_message()[:-1] + b',"order":' + DEEP + b"}", 400),
        ("a web page", b"<!doctype html>", 400),
        ("a form", b"notificationType=Message&id=m-1", 400),
        ("nothing", b"", 400),
        ("bytes", b"\x00\xff\xfe", 400),
        ("another shape", b'{"notificationType":["Message"]}', 400),
        ("a number", b"1e999", 400),
    ],
)
def test_a_body_that_is_no_message_is_refused(store: Store, what: str, body: bytes, status: int) -> None:
    async def scene(house: House) -> None:
        assert await house.ask(replace(right("commercetools"), body=body)) == status, what
        assert await house.stored() == 0
        assert await house.ask(right("commercetools")) == 200, "and the next one is heard"

    played(scene, store, **HOOKS)


def test_too_large_is_refused_however_its_size_is_told(store: Store) -> None:
    async def scene(house: House) -> None:
        for source in TOKENS:
            good = right(source)
            head = replace(good, headers=good.headers | {"transfer-encoding": "chunked"}, body=b"").wire()
            piece = b"40000\r\n" + b" " * 0x40000 + b"\r\n"
            assert (await house.say(head, *[piece] * 5, b"0\r\n\r\n"))[0] == 413
            for length in ("-1", "1e9", "9" * 5000, "0x10", "1, 2"):
                lie = replace(good, headers=good.headers | {"content-length": length}).wire()
                status, _ = await house.say(lie)
                assert status in (0, 400, 413), length
        assert await house.stored() == 0

    played(scene, store, **HOOKS)


def test_the_same_message_is_stored_once_however_it_is_written(store: Store) -> None:
    async def scene(house: House) -> None:
        good = right("commercetools")
        again = json.dumps(json.loads(good.body), indent=2, sort_keys=True).encode()
        for body in (good.body, good.body, again, b"[" + good.body + b"," + again + b"]"):
            assert await house.ask(replace(good, body=body)) == 200
        assert await house.stored() == 1
        await asyncio.gather(*(house.ask(replace(good, body=a_message("m-2"))) for _ in range(10)))
        assert await house.stored() == 2

    played(scene, store, **HOOKS)


def test_a_slow_body_is_not_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_SECONDS_MAX", 0.2)

    async def scene(house: House) -> None:
        for source in TOKENS:
            good = right(source)
            for headers in (good.headers, {}):
                head = replace(good, headers=headers | {"content-length": "1000"}).wire()[: -len(good.body)]
                reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
                writer.write(head + b"{")
                answer = await asyncio.wait_for(reader.read(), timeout=20)
                writer.close()
                assert answer.startswith(b"HTTP/1.1 408")
        assert await house.stored() == 0

    played(scene, store, **HOOKS)


def test_a_body_that_is_cut_off_is_not_stored(store: Store) -> None:
    async def scene(house: House) -> None:
        good = right("commercetools")
        whole = replace(good, headers=good.headers | {"content-length": str(len(good.body) + 10)}).wire()
        await house.say(whole, hang_up=True)
        assert await house.ask(Try(what="still there", verb="GET", path="/health")) in (200, 503)
        assert await house.stored() == 0

    played(scene, store, **HOOKS)
