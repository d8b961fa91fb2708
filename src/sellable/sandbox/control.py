"""A simulator made complete: control routes, statistics and faults around a vendor.

Rule: /_sandbox/ answers loopback callers only.
"""

import gc
from collections import Counter, deque
from email.utils import format_datetime
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec

from sellable.sandbox.asgi import App, Message, Receive, Scope, Send, answer, read_body
from sellable.sandbox.clock import Clock
from sellable.sandbox.faults import CONTROL, FaultMenu, Faulty
from sellable.sandbox.journal import Journal

LOOPBACK = frozenset({"127.0.0.1", "::1", "testclient"})
WINDOW = 60.0


class Vendor(Protocol):
    """What a simulator gives the kit."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The vendor's own HTTP API."""

    def load(self, seed: dict[str, Any]) -> None:
        """Add a seed to the world; raises ValueError with a sentence on a bad one."""

    def truth(self) -> dict[str, Any]:
        """Everything an oracle may ask, as JSON values."""

    async def act(self, action: dict[str, Any]) -> Any:
        """Do something only the world outside could; raises ValueError on an unknown action."""

    def credential(self, scope: Scope) -> str:
        """Who calls, as the vendor's limits see it."""

    def route(self, scope: Scope) -> str:
        """The route's template, so that statistics do not grow with ids."""

    def error_body(self, status: int) -> bytes:
        """The vendor's own body for an injected status."""

    async def start(self) -> None:
        """Begin background work (also called lazily before the first call when no lifespan ran)."""

    async def stop(self) -> None:
        """End background work."""


class Stats:
    """Calls by route, status and credential, as the vendor's door saw them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._routes: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._recent: dict[str, deque[float]] = {}
        self._peaks: Counter[str] = Counter()

    def arrived(self, route: str, credential: str) -> None:
        now = self._clock.time()
        self._routes[route] += 1
        recent = self._recent.setdefault(credential, deque())
        recent.append(now)
        while recent[0] <= now - WINDOW:
            recent.popleft()
        self._peaks[credential] = max(self._peaks[credential], len(recent))

    def answered(self, status: int) -> None:
        self._statuses[str(status)] += 1

    def report(self) -> dict[str, Any]:
        """{"routes": {"METHOD /route": n}, "statuses": {"200": n}, "peaks": {credential: most calls in any 60 s}}."""
        return {"routes": dict(self._routes), "statuses": dict(self._statuses), "peaks": dict(self._peaks)}


class Sandbox:
    """One vendor behind its faults: `.asgi` serves it, `.load` seeds it; journal, menu and stats are open to tests."""

    def __init__(self, vendor: Vendor, clock: Clock, menu: FaultMenu, journal: Journal) -> None:
        self.vendor, self.clock, self.menu, self.journal = vendor, clock, menu, journal
        self.stats = Stats(clock)
        self._door: App = Faulty(vendor, menu, clock, error_body=vendor.error_body)
        self._started = False

    def load(self, seed: dict[str, Any]) -> None:
        """Hand a seed to the vendor; its objects are kept out of later garbage collections, which would stall calls."""
        self.vendor.load(seed)
        gc.collect()
        gc.freeze()

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI callable."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["path"].startswith(CONTROL):
            await self._control(scope, receive, send)
            return
        await self._start()
        self.stats.arrived(f"{scope['method']} {self.vendor.route(scope)}", self.vendor.credential(scope))
        await self._door(scope, receive, _Counted(send, self.stats, self.clock))

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            await self.vendor.start()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.vendor.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is not None and client[0] not in LOOPBACK:
            await answer(send, 403, b'{"error":"the control routes answer loopback callers only"}')
            return
        await self._start()
        body = await read_body(receive)
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
        try:
            payload = msgspec.json.decode(body) if body else None
            result = await self._do(scope["method"], scope["path"][len(CONTROL) :], query, payload)
        except (ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
            await answer(send, 400, msgspec.json.encode({"error": f"{type(error).__name__}: {error}"}))
            return
        if result is None:
            await answer(send, 404, b'{"error":"no such control route"}')
        else:
            await answer(send, 200, msgspec.json.encode(result))

    async def _do(self, method: str, name: str, query: dict[str, str], payload: Any) -> Any:
        match method, name:
            case "GET", "health":
                return {"ok": True, "time": self.clock.time(), "clock": self.clock.text()}
            case "GET", "faults":
                return {"active": self.menu.active, "fired": self.menu.fired}
            case "POST", "faults":
                self.menu.set(payload or [])
                return {"active": self.menu.active}
            case "DELETE", "faults":
                self.menu.clear()
                return {"active": []}
            case "GET", "journal":
                return self.journal.since(int(query.get("after", "0")), int(query.get("limit", "1000")))
            case "POST", "load":
                self.load(payload)
                return {"ok": True}
            case "GET", "truth":
                return self.vendor.truth()
            case "POST", "act":
                return {"ok": True, "result": await self.vendor.act(payload)}
            case "GET", "stats":
                return self.stats.report()
        return None


class _Counted:
    """A send that counts the status and dates the answer by the simulated clock (RFC 7231, whole seconds).

    It shows the server's transport so that a fault can cut the line.
    """

    def __init__(self, send: Send, stats: Stats, clock: Clock) -> None:
        self._send, self._stats, self._clock = send, stats, clock
        # uvicorn hands over a bound method; its owner holds the transport, and nothing public does.
        self.transport = getattr(getattr(send, "__self__", None), "transport", None)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._stats.answered(message["status"])
            date = format_datetime(self._clock.now(), usegmt=True).encode()
            message["headers"] = [*message["headers"], (b"date", date)]
        await self._send(message)
