"""The simulator's door: tokens, limits, headers, error bodies. Rule: every answer carries the simulated Date."""

import asyncio
import random
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sellable.sandbox.asgi import Receive, Scope, Send, answer, read_body
from sellable.sandbox.clock import Clock
from sellable.sandbox.commercetools.auth import Auth
from sellable.sandbox.commercetools.errors import ApiError, AuthError, not_found
from sellable.sandbox.commercetools.http import Call, parse_query, parts_of
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.seed import fill
from sellable.sandbox.commercetools.shop import RESOURCES, Answer, Shop, areas
from sellable.sandbox.commercetools.wire import Doc, encode
from sellable.sandbox.commercetools.world import WORLD, truth_of
from sellable.sandbox.journal import Journal
from sellable.sandbox.outbound import Outbound

CORRELATION = re.compile(r"[A-Za-z0-9_.-]{8,256}")
_CODES = {
    401: "invalid_token", 403: "insufficient_scope", 404: "ResourceNotFound", 409: "ConcurrentModification",
    429: "OverCapacity", 500: "General", 502: "BadGateway", 503: "OverCapacity", 504: "PendingOperation",
}  # fmt: skip


class Commercetools:
    """The vendor: several projects by URL key behind one authorization server."""

    def __init__(self, clock: Clock, journal: Journal, seed: int) -> None:
        self._clock, self._journal = clock, journal
        self._random = random.Random(seed)
        self.auth = Auth()
        self.outbound = Outbound()
        self.shops: dict[str, Shop] = {}
        self._recent: dict[str, deque[float]] = {}
        self._wake = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None

    def shop(self, key: str) -> Shop:
        """The project with that key, made on first use by a seed."""
        if key not in self.shops:
            rng = random.Random(self._random.getrandbits(64))
            self.shops[key] = Shop(Project(key, self._clock, self._journal, rng), self.outbound)
            self.shops[key].project.hurry = self._wake.set
            self._wake.set()
        return self.shops[key]

    # --- what the kit asks for -----------------------------------------------------------------------------------

    def load(self, seed: dict[str, Any]) -> None:
        shop = self.shop(seed.get("project", "shop"))
        for client in seed.get("clients", []):
            self.auth.register(shop.project, client["id"], client["secret"], client.get("scopes", []))
        try:
            with shop.project.messages.muted():
                fill(shop, seed)
        except ApiError as error:
            raise ValueError(f"the seed was refused: {error.errors}") from error

    def truth(self) -> dict[str, Any]:
        for shop in self.shops.values():
            shop.project.advance()
        return {"projects": {key: truth_of(shop) for key, shop in self.shops.items()}}

    async def act(self, action: dict[str, Any]) -> Any:
        wanted = {name: value for name, value in action.items() if name != "project"}
        if len(wanted) != 1 or not WORLD.keys() >= wanted.keys():
            raise ValueError(f"one of {', '.join(sorted(WORLD))} is expected, got {sorted(wanted)}")
        ((name, value),) = wanted.items()
        shop = self.shops[action.get("project", next(iter(self.shops), "shop"))]
        shop.project.advance()
        try:
            return WORLD[name](shop, value)
        except ApiError as error:
            raise ValueError(f"refused: {error.errors}") from error

    def credential(self, scope: Scope) -> str:
        token = self.auth.find(_header(scope, b"authorization"))
        return token.client.id if token else "anonymous"

    def route(self, scope: Scope) -> str:
        parts = parts_of(scope)
        if parts[0] == "oauth" or len(parts) == 1:
            return "/" + "/".join(parts) if parts[0] == "oauth" else "/{project}"
        if parts[1] not in RESOURCES:
            return "/{project}/{other}"
        return "/".join(("", "{project}", parts[1], *(_template(part) for part in parts[2:])))

    def error_body(self, status: int) -> bytes:
        code = _CODES.get(status, "General")
        return encode(ApiError(status, code, f"Injected: {code}.").body())

    async def start(self) -> None:
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
        await self.outbound.close()

    async def _tick(self) -> None:
        """Let lagging stock and expiring holds happen (and be told to subscribers) even when nobody calls."""
        while True:
            self._wake.clear()
            dues = [due for shop in self.shops.values() if (due := shop.project.next_due) is not None]
            wait = self._clock.real(min(dues) - self._clock.time()) if dues else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)
            for shop in self.shops.values():
                shop.project.advance()

    # --- the API -------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        correlation = _header(scope, b"x-correlation-id")
        if not CORRELATION.fullmatch(correlation):
            correlation = f"projects-{self._random.getrandbits(64):016x}"
        try:
            status, value = await self._answer(scope, body)
        except ApiError as error:
            status, value = error.status, error.body()
        content = b"" if scope["method"] == "HEAD" else encode(value)
        await answer(send, status, content, [(b"x-correlation-id", correlation.encode())])

    async def _answer(self, scope: Scope, body: bytes) -> Answer:
        authorization = _header(scope, b"authorization")
        parts = parts_of(scope)
        if parts[0] == "oauth":
            return self._oauth(scope["method"], parts, authorization, body)
        if self.auth.find(authorization) is None:
            raise AuthError(401, "invalid_token", "invalid_token")
        shop = self.shops.get(parts[0])
        if shop is None:
            raise not_found(f"Project with key '{parts[0]}' was not found.")
        project = shop.project
        self._limit(project)
        call = Call(scope["method"], parts[1:], parse_query(scope), body)
        writes = call.method not in ("GET", "HEAD")
        if call.parts[:1] == ("graphql",):
            # A text that contains no such word cannot be a mutation, whatever else it is.
            writes = b"mutation" in body
        token = self.auth.check(authorization, project, areas(call.parts), write=writes)
        project.advance()
        project.actor = token.client.id
        try:
            return await shop.answer(call)
        finally:
            project.actor = None

    def _oauth(self, method: str, parts: tuple[str, ...], authorization: str, body: bytes) -> Answer:
        issuers: dict[str, Callable[[str, bytes], Doc]] = {
            "token": self.auth.issue, "introspect": self.auth.introspect,
        }  # fmt: skip
        if method != "POST" or len(parts) != 2 or parts[1] not in issuers:
            raise not_found()
        return 200, issuers[parts[1]](authorization, body)

    def _limit(self, project: Project) -> None:
        most = project.switches.max_requests_per_second
        if most is None:
            return
        recent, now = self._recent.setdefault(project.key, deque()), self._clock.time()
        while recent and recent[0] <= now - 1.0:
            recent.popleft()
        if len(recent) >= most:
            raise ApiError(503, "OverCapacity", "The service is having trouble handling the load; try again later.")
        recent.append(now)


def _template(part: str) -> str:
    if part in ("import", "edits", "apply"):
        return part
    return f"{part.split('=')[0]}={{}}" if "=" in part else "{id}"


def _header(scope: Scope, name: bytes) -> str:
    for header, value in scope["headers"]:
        if header == name:
            return str(value.decode("latin-1"))
    return ""
