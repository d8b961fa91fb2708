"""The network of a simulated world: calls reach the simulators in process, late, and sometimes not at all.

Rule: a vendor goes on with what it has begun, whatever becomes of its caller.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import httpx2

from sellable.sandbox.asgi import App
from sellable.simulation.virtual.loop import VirtualLoop, life_now, run_as

SECONDS = (0.002, 0.06)
SLOW_SECONDS = (0.5, 4.0)
SLOW_RATE = 0.01


@dataclass
class Trace:
    """What happened, in one running hash; the lines themselves when somebody wants to read them."""

    keep: bool = False
    lines: list[str] = field(default_factory=list)
    count: int = 0
    _hash: blake2b = field(default_factory=lambda: blake2b(digest_size=16))

    def note(self, at: float, who: str, what: str) -> None:
        """One line: virtual seconds, who, what."""
        line = f"{at:12.6f} {who:<10} {what}"
        self.count += 1
        self._hash.update(line.encode() + b"\n")
        if self.keep:
            self.lines.append(line)

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()


class Wire(httpx2.AsyncBaseTransport):
    """Carries calls of everybody to the simulators by host name. `refuse(host)` says that no connection can be had."""

    def __init__(
        self,
        loop: VirtualLoop,
        dice: random.Random,
        trace: Trace,
        hosts: Mapping[str, App],
        *,
        seconds: tuple[float, float] = SECONDS,
        refuse: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self._loop, self._dice, self._trace, self._seconds, self._refuse = loop, dice, trace, seconds, refuse
        self._doors = {host: httpx2.ASGITransport(app) for host, app in hosts.items()}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """There, the vendor, and back again."""
        life, host = life_now(), request.url.host
        who = life.name if life else "world"
        if life is not None and self._refuse(host):
            self._trace.note(self._loop.time(), who, f"no connection to {host}")
            raise httpx2.ConnectError("refused", request=request)
        await asyncio.sleep(self._late())
        call = run_as(self._loop, None, self._serve(request, who))
        call.add_done_callback(lambda done: done.cancelled() or done.exception())
        response = await asyncio.shield(call)
        await asyncio.sleep(self._late())
        return response

    def _late(self) -> float:
        slow = self._dice.random() < SLOW_RATE
        return self._dice.uniform(*(SLOW_SECONDS if slow else self._seconds))

    async def _serve(self, request: httpx2.Request, who: str) -> httpx2.Response:
        url, body = request.url, request.content
        print_of_body = blake2b(body, digest_size=6).hexdigest() if body else "-"
        what = f"{request.method} {url.host}{url.raw_path.decode('ascii')} {print_of_body}"
        try:
            response = await self._doors[url.host].handle_async_request(request)
            answer = await response.aread()
        except Exception as error:
            self._trace.note(self._loop.time(), who, f"{what} {type(error).__name__}")
            raise
        print_of_answer = blake2b(answer, digest_size=6).hexdigest()
        self._trace.note(self._loop.time(), who, f"{what} {response.status_code} {print_of_answer}")
        return httpx2.Response(response.status_code, headers=response.headers, content=answer, request=request)
