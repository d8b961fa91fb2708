"""Pages of the console, asked for through the whole application with the database beside it, one at a time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2

from sellable.app.console import console_of
from sellable.config.said import Live
from sellable.config.settings import Settings
from sellable.runtime.database import Store
from sellable.web.console.doors import OpenToReaders
from sellable.web.server import Face, application


async def timed(
    settings: Settings,
    store: Store,
    overview: Callable[[], Awaitable[dict[str, Any]]],
    pages: Mapping[str, str],
    times: int,
    rows: tuple[str, ...] = (),
) -> dict[str, list[float]]:
    """Name -> seconds of each asking of its path, after a first one that counts for nothing.

    Raises RuntimeError for an answer that is none, or a path beginning as one of `rows` that lists nothing.
    """

    async def ready() -> bool:
        return True

    console = console_of(Live(settings), store, store.clock, OpenToReaders(), overview)
    face = Face(webhooks={}, status=overview, ready=ready, alive=list, console=console)
    transport = httpx2.ASGITransport(application(face))
    found: dict[str, list[float]] = {}
    async with httpx2.AsyncClient(transport=transport, base_url="http://bench.test") as client:
        for name, path in pages.items():
            for tried in range(times + 1):
                began = time.perf_counter()
                answer = await client.get(path)
                took = time.perf_counter() - began
                if answer.status_code not in (200, 303):
                    raise RuntimeError(f"{path} answered {answer.status_code}")
                if path.startswith(rows) and "data-row" not in answer.text:
                    raise RuntimeError(f"{path} shows nothing")
                if tried:
                    found.setdefault(name, []).append(took)
    return found
