"""What will happen later, on the simulated clock. Rule: due work runs before any call is answered."""

import asyncio
import contextlib
import heapq
from collections.abc import Callable

from sellable.sandbox.clock import Clock


class Agenda:
    """Callbacks by due time; equal times keep their order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` once, `seconds` of simulated time from now."""
        self._count += 1
        heapq.heappush(self._due, (self._clock.time() + seconds, self._count, action))
        if self._due[0][1] == self._count:
            self._changed.set()

    def run_due(self) -> None:
        """Run what is due, oldest first."""
        while self._due and self._due[0][0] <= self._clock.time():
            heapq.heappop(self._due)[2]()

    async def start(self) -> None:
        """Run due work in the background, until stopped; calls that arrive between two wake-ups run it themselves."""
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """What is still due waits for another start."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def _run(self) -> None:
        while True:
            self.run_due()
            self._changed.clear()
            wait = self._clock.real(self._due[0][0] - self._clock.time()) if self._due else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue
