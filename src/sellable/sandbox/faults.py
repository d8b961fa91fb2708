"""Named, counted, seeded faults on a simulator's calls.

Rule: `before` means the vendor never ran (but for `late`), `after` means it ran and its answer is lost or changed.
"""

import random
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from sellable.sandbox.asgi import App, Message, Receive, Scope, Send, answer, cut_line, read_body, replay
from sellable.sandbox.clock import Clock

CONTROL = "/_sandbox/"
GENERIC = frozenset({"status", "reset", "timeout", "late", "html", "truncate", "slow", "wrong_type"})
HTML = b"<!DOCTYPE html><html><head><title>Oops</title></head><body><h1>Something went wrong</h1></body></html>"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the menu.

    `match` is a regular expression searched in "METHOD /path?query". Effects: `status` (answer `status` with `body`),
    `reset` (no answer), `timeout` (hold `seconds`, then no answer), `late` (hold, then run the vendor, no answer),
    `html` (a page with status 200 unless `status` says otherwise), `truncate` (half the body), `slow` (wait `seconds`),
    `wrong_type` (numbers in the answer become texts); any other word is for the vendor's own code, which finds the
    fault in scope["sandbox.faults"][effect]. `rate` is 0..1, `times` bounds the firings, seconds are simulated.
    """

    name: str
    effect: str
    match: str = ""
    when: Literal["before", "after"] = "before"
    rate: float = 1.0
    times: int | None = None
    status: int | None = None
    retry_after: str | None = None
    seconds: float = 0.0
    body: str | None = None

    def __post_init__(self) -> None:
        re.compile(self.match)
        if not 0 <= self.rate <= 1:
            raise ValueError(f"fault {self.name}: rate {self.rate} is not within 0..1")
        if self.effect in ("truncate", "wrong_type") and self.when == "before":
            raise ValueError(f'fault {self.name}: {self.effect} changes an answer, so it needs "when": "after"')
        if self.effect not in GENERIC and self.when == "after":
            raise ValueError(f"fault {self.name}: the vendor's own effect {self.effect} is decided before it runs")


class FaultMenu:
    """The faults in force, a seeded die for their rates, and how often each fired."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._faults: list[tuple[Fault, re.Pattern[str]]] = []
        self.fired: dict[str, int] = {}

    @property
    def active(self) -> list[Fault]:
        """The faults that can still fire."""
        return [fault for fault, _ in self._faults if self._left(fault)]

    def set(self, faults: Iterable[Fault | dict[str, Any]]) -> None:
        """Replace the menu and its counters; raises msgspec.ValidationError or ValueError on a malformed fault."""
        parsed = [f if isinstance(f, Fault) else msgspec.convert(f, Fault) for f in faults]
        if len({f.name for f in parsed}) != len(parsed):
            raise ValueError("two faults share a name")
        self._faults = [(fault, re.compile(fault.match)) for fault in parsed]
        self.fired = {fault.name: 0 for fault in parsed}

    def clear(self) -> None:
        """No more faults; the counters of those that were are kept."""
        self._faults = []

    def pick(self, line: str, when: str, effects: Iterable[str] | None = None) -> Fault | None:
        """The first fault that matches the line and whose die says so, counted as fired."""
        for fault, pattern in self._faults:
            if fault.when != when or not self._left(fault) or (effects is not None and fault.effect not in effects):
                continue
            if pattern.search(line) and (fault.rate == 1 or self._random.random() < fault.rate):
                self.fired[fault.name] += 1
                return fault
        return None

    def _left(self, fault: Fault) -> bool:
        return fault.times is None or self.fired[fault.name] < fault.times


class Faulty:
    """Pure ASGI middleware that applies a menu to every call but the control routes."""

    def __init__(
        self, app: App, menu: FaultMenu, clock: Clock, *, error_body: Callable[[int], bytes] = lambda _: b"{}"
    ) -> None:
        """`error_body(status)` gives the vendor's own JSON for a `status` fault without a body."""
        self._app, self._menu, self._clock, self._error_body = app, menu, clock, error_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL) or not self._menu.active:
            await self._app(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        line = f"{scope['method']} {scope['path']}" + (f"?{query}" if query else "")
        before = self._menu.pick(line, "before")
        if before is not None and await self._before(before, scope, receive, send):
            return
        after = self._menu.pick(line, "after")
        if after is None:
            await self._app(scope, receive, send)
        else:
            await self._after(after, scope, receive, send)

    async def _before(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> bool:
        """Apply a fault ahead of the vendor; True when the call is over."""
        match fault.effect:
            case "slow":
                await self._clock.sleep(fault.seconds)
                return False
            case "status" | "html":
                await read_body(receive)
                await self._refuse(fault, send)
            case "reset" | "timeout":
                await self._clock.sleep(fault.seconds if fault.effect == "timeout" else 0)
                await cut_line(receive, send)
            case "late":
                body = await read_body(receive)
                await self._clock.sleep(fault.seconds)
                await self._capture(scope, replay(body, receive))
                await cut_line(receive, send)
            case _:
                scope.setdefault("sandbox.faults", {})[fault.effect] = fault
                return False
        return True

    async def _after(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = await self._capture(scope, receive)
        match fault.effect:
            case "reset" | "timeout":
                await self._clock.sleep(fault.seconds if fault.effect == "timeout" else 0)
                await cut_line(receive, send)
            case "status" | "html":
                await self._refuse(fault, send)
            case _:
                if fault.effect == "slow":
                    await self._clock.sleep(fault.seconds)
                elif fault.effect == "truncate":
                    body = body[: len(body) // 2]
                else:
                    body = _wrong_types(body)
                await answer(send, status, body, [h for h in headers if h[0].lower() != b"content-length"])

    async def _refuse(self, fault: Fault, send: Send) -> None:
        headers = [] if fault.retry_after is None else [(b"retry-after", fault.retry_after.encode())]
        status = fault.status or (200 if fault.effect == "html" else 500)
        default = HTML if fault.effect == "html" else self._error_body(status)
        body = default if fault.body is None else fault.body.encode()
        if fault.effect == "html" or body.startswith(b"<"):
            headers.append((b"content-type", b"text/html; charset=utf-8"))
        await answer(send, status, body, headers)

    async def _capture(self, scope: Scope, receive: Receive) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Run the vendor and keep its answer instead of sending it."""
        status, headers, parts = 500, [], []

        async def keep(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], list(message["headers"])
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, keep)
        return status, headers, b"".join(parts)


def _wrong_types(body: bytes) -> bytes:
    try:
        return msgspec.json.encode(_texts(msgspec.json.decode(body)))
    except msgspec.DecodeError:
        return body


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
