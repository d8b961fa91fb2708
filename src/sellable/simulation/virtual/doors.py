"""Where vendors' messages come in: the web face of any process that lives.

Rule: a message gets the answer that the process gave, and none from one that died or stands still meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import httpx2

from sellable.app.service import Service
from sellable.sandbox.shop import SECRET
from sellable.simulation.virtual.loop import Life, VirtualLoop, run_as
from sellable.simulation.virtual.process import Process
from sellable.web.server import application

US = "https://us.test"
PATH_TOKEN = "path-of-the-pushes"  # noqa: S105 - it opens nothing but a simulated process
SECONDS = (0.002, 0.06)
PATIENCE_SECONDS = 10.0
HOOK = {"path_token": PATH_TOKEN, "secret": SECRET}
HEADERS = {"authorization": f"Bearer {SECRET}"}
SUBSCRIPTION: dict[str, Any] = {
    "key": "pushes",
    "destination": {"type": "SQS"},
    "messages": [{"resourceTypeId": name, "types": []} for name in ("order", "inventory-entry")],
}
"""Everything the storefront tells of orders and entries."""


def address(source: str) -> str:
    """Of the webhook of a source: commercetools or cin7."""
    return f"{US}/webhooks/{source}/{PATH_TOKEN}"


class Doors:
    """Hands what is posted to a process that the die chooses. Raises ConnectionError where none answers."""

    def __init__(self, loop: VirtualLoop, dice: random.Random, processes: Sequence[Process]) -> None:
        self._loop, self._dice, self._processes = loop, dice, processes
        self._clients: dict[str, httpx2.AsyncClient] = {}

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """(status, answer)."""
        await asyncio.sleep(self._dice.uniform(*SECONDS))
        there = [(p.life, p.service) for p in self._processes if p.life and p.life.state != "dead" and p.service]
        if not there:
            raise ConnectionError("nobody is there")
        life, service = self._dice.choice(there)
        call = run_as(self._loop, life, self._client(life, service).post(url, headers=headers, content=body))
        call.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, _ = await asyncio.wait({call}, timeout=PATIENCE_SECONDS)
        if not done or call.exception() is not None:
            raise ConnectionError("no answer")
        answer = call.result()
        return answer.status_code, answer.content

    def _client(self, life: Life, service: Service) -> httpx2.AsyncClient:
        found = self._clients.get(life.name)
        if found is None:
            transport = httpx2.ASGITransport(application(service.face()))
            found = self._clients[life.name] = httpx2.AsyncClient(transport=transport, trust_env=False)
        return found
