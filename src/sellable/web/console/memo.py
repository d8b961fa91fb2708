"""Counts over whole tables, a moment old: nobody waits for them but who asks first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import psycopg

FRESH_SECONDS, KEPT_SECONDS = 2.0, 60.0
"""Real seconds: until when an answer is as good as new, and until when it is shown while a new one is made."""


class Memo:
    """Remembers the newest answer to each question."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Any]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def get(self, name: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """The answer. Raises what `ask` raises where no answer of the last minute is known."""
        now = asyncio.get_running_loop().time()
        at, value = self._known.get(name, (float("-inf"), None))
        if now - at > KEPT_SECONDS:
            value = await ask()
            self._known[name] = (asyncio.get_running_loop().time(), value)
        elif now - at > FRESH_SECONDS and name not in self._asking:
            self._asking[name] = asyncio.create_task(self._renew(name, ask))
        return value

    async def _renew(self, name: str, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            with suppress(psycopg.Error):
                self._known[name] = (asyncio.get_running_loop().time(), await ask())
        finally:
            del self._asking[name]
