"""The life of background work: named loops that stop when told, show signs of life, and come back after a crash.

Rule: a loop that dies is logged, counted and restarted with backoff; nothing ends quietly.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import psycopg

from sellable.runtime import telemetry
from sellable.runtime.clock import Clock

T = TypeVar("T")
Chance = Callable[[], float]
"""A number in [0, 1)."""

CHANCE: Chance = secrets.SystemRandom().random
BACKOFF_BASE_SECONDS = 2.0
BACKOFF_CAP_SECONDS = 300.0
DATABASE_AWAY_SECONDS = 5.0
"""When the database is back, no loop may still be waiting for long."""
GRACE_SECONDS = 10.0

log = logging.getLogger(__name__)
crashes = telemetry.counter("loop_crashes", "Crashes of background loops.", ["loop"])

_beating: contextvars.ContextVar[Callable[[], None] | None] = contextvars.ContextVar("beating", default=None)


def backoff(
    attempts: int,
    chance: Chance = CHANCE,
    *,
    base: float = BACKOFF_BASE_SECONDS,
    cap: float = BACKOFF_CAP_SECONDS,
) -> float:
    """Seconds to wait after the n-th failure (n >= 1): anything in [0, min(cap, base * 2**(n - 1))).

    With the usual base and cap the upper bounds are 2, 4, 8 ... 256, 300, 300 seconds. Full jitter, so that many that
    failed together do not come back together.
    """
    return chance() * min(cap, base * 2.0 ** min(attempts - 1, 60))


def beat() -> None:
    """Say that the loop around the caller is alive; nothing happens outside a loop of `Loops`."""
    if sign := _beating.get():
        sign()


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None when `stop` is set first: `work` is then cancelled."""
    if stop.is_set():
        work.close()
        return None
    doing = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, stopping):
            if not task.done():
                task.cancel()
                # Wait for the end of what was cancelled, so that it leaves nothing half done behind our back.
                await asyncio.wait({task})


class Bell:
    """A hint that there may be work. It may be lost or be false, so a wait has an end of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self, _payload: object = None) -> None:
        """Wake whoever waits, or the next who does."""
        self._rung.set()

    async def wait(self, seconds: float, stop: asyncio.Event | None = None) -> None:
        """Return at a ring, when `stop` is set, or after `seconds` of the clock."""
        if stop is not None:
            await unless(stop, self.wait(seconds))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._clock.real(seconds)):
                await self._rung.wait()
        self._rung.clear()


@dataclass(kw_only=True)
class Life:
    """What is known of a loop: `interval_seconds` between beats is a promise (None: none was made)."""

    name: str
    interval_seconds: float | None
    last_beat: datetime | None = None
    crashes: int = 0
    last_error: str | None = None
    running: bool = False


@dataclass
class _Loop:
    life: Life
    body: Callable[[asyncio.Event], Awaitable[object]]
    task: asyncio.Task[None] | None = field(default=None)


class Loops:
    """The background work of a process: `add` and `every`, then `start`, and in the end `stop`."""

    def __init__(self, clock: Clock, *, chance: Chance = CHANCE) -> None:
        self._clock = clock
        self._chance = chance
        self._stop = asyncio.Event()
        self._loops: dict[str, _Loop] = {}

    def add(
        self, name: str, body: Callable[[asyncio.Event], Awaitable[object]], *, interval_seconds: float | None = None
    ) -> None:
        """Run `body(stop)`, which returns only after `stop` is set. Raises ValueError for a name used twice."""
        if name in self._loops:
            raise ValueError(f"two loops are called {name!r}")
        self._loops[name] = _Loop(Life(name=name, interval_seconds=interval_seconds), body)

    def every(self, name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        """Run `work()` again and again with `seconds` of the clock in between, the first time at once."""

        async def body(stop: asyncio.Event) -> None:
            while not stop.is_set():
                await work()
                beat()
                await unless(stop, self._clock.sleep(seconds))

        self.add(name, body, interval_seconds=seconds)

    def start(self) -> None:
        """Start the loops that do not run yet."""
        for loop in self._loops.values():
            if loop.task is None:
                loop.task = asyncio.create_task(self._keep(loop), name=loop.life.name)

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> list[str]:
        """Ask all to stop, wait for them, then cancel; returns the names of those that had to be cancelled."""
        self._stop.set()
        tasks = {loop.task for loop in self._loops.values() if loop.task is not None}
        if not tasks:
            return []
        _, late = await asyncio.wait(tasks, timeout=self._clock.real_timeout(grace_seconds))
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return sorted(task.get_name() for task in late)

    def lives(self) -> list[Life]:
        """The signs of life, by name."""
        return [self._loops[name].life for name in sorted(self._loops)]

    async def _keep(self, loop: _Loop) -> None:
        """Run a loop's body until it is told to stop, through any number of crashes."""
        life = loop.life
        tries = 0
        with self._beats(life):
            while not self._stop.is_set():
                born = self._clock.monotonic()
                try:
                    beat()
                    await loop.body(self._stop)
                    if self._stop.is_set():
                        return
                    raise RuntimeError("the loop ended without being told to")
                except Exception as error:
                    # A long life in between means this crash has nothing to do with the last one.
                    lived = self._clock.monotonic() - born > BACKOFF_CAP_SECONDS
                    tries = 1 if lived else tries + 1
                    life.crashes += 1
                    life.last_error = type(error).__name__
                    crashes.labels(life.name).inc()
                    away = isinstance(error, psycopg.OperationalError)
                    if away:
                        log.warning("loop %s waits for the database: %s", life.name, type(error).__name__)
                    else:
                        log.exception("loop %s crashed, starting it again", life.name)
                cap = DATABASE_AWAY_SECONDS if away else BACKOFF_CAP_SECONDS
                await unless(self._stop, self._clock.sleep(backoff(tries, self._chance, cap=cap)))

    @contextlib.contextmanager
    def _beats(self, life: Life) -> Iterator[None]:
        def sign() -> None:
            life.last_beat = self._clock.now()

        token = _beating.set(sign)
        life.running = True
        try:
            yield
        finally:
            life.running = False
            _beating.reset(token)
