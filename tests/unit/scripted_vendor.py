"""A vendor that is a function: it answers calls in their order and remembers them. It knows no vendor of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from sellable.runtime.budgets import Budgets
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort

Reply = httpx2.Response | Exception


class Tills(Budgets):
    """Budgets that only remember."""

    def __init__(self) -> None:
        self.breaches: list[tuple[str, float]] = []
        self.away: list[tuple[str, float | None]] = []
        self.spent: list[tuple[str, str]] = []

    async def spend(self, credential: str, lane: str) -> None:
        self.spent.append((credential, lane))

    async def breach(self, credential: str, retry_after_seconds: float) -> None:
        self.breaches.append((credential, retry_after_seconds))

    async def unavailable(self, credential: str, retry_after_seconds: float | None) -> None:
        self.away.append((credential, retry_after_seconds))

    def answered(self, credential: str) -> None:
        pass


class ScriptedVendor:
    """Answers calls in order and remembers them; each reply must be asked for. `root` is left out of `lines`."""

    root = ""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[httpx2.Request] = []
        self.tills = Tills()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def meet(self, do: Callable[[HttpPort], Awaitable[Any]]) -> Any:
        """What somebody who may call this vendor makes of it."""

        async def scenario() -> Any:
            async with httpx2.AsyncClient(transport=httpx2.MockTransport(self)) as client:
                return await do(HttpPort(client, Clock(), self.tills))

        result = asyncio.run(scenario())
        assert self.replies == []
        return result

    @property
    def lines(self) -> list[str]:
        return [f"{r.method} {r.url.path.removeprefix(self.root)}" for r in self.requests]

    def query(self, n: int = 0) -> dict[str, str]:
        return dict(self.requests[n].url.params)
