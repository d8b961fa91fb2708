"""Counts over whole tables, a moment old: nobody waits for them for long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

FRESH_SECONDS, KEPT_SECONDS = 2.0, 60.0
"""Real seconds: until when an answer is as good as new, and until when it is shown while a new one is made."""
NAMES_MAX = 50
"""Answers remembered at a time; the one made longest ago is forgotten first."""

log = logging.getLogger(__name__)


class Memo:
    """Remembers the newest answer to each question."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Any]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def get(self, name: str, ask: Callable[[], Awaitable[Any]], patience: float | None = None) -> Any:
        """The answer. Where none of the last minute is known, one is waited for, at most `patience` real seconds: then
        None, while it is made for who asks next. Raises what `ask` raises meanwhile.
        """
        now = asyncio.get_running_loop().time()
        at, value = self._known.get(name, (float("-inf"), None))
        if now - at <= FRESH_SECONDS:
            return value
        task = self._asking.get(name)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._asking[name] = asyncio.create_task(self._renew(name, ask))
            task.add_done_callback(_tell)
        if now - at <= KEPT_SECONDS:
            return value
        done, _ = await asyncio.wait({task}, timeout=patience)
        if not done:
            return None
        task.result()
        return self._known[name][1]

    async def _renew(self, name: str, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            answer = await ask()
            self._known.pop(name, None)
            self._known[name] = (asyncio.get_running_loop().time(), answer)
            if len(self._known) > NAMES_MAX:
                del self._known[next(iter(self._known))]
        finally:
            self._asking.pop(name, None)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.warning("a count for the console failed: %s", type(error).__name__)
