"""A simulated process of the product: started, killed between any two of its steps, paused, started again.

Rule: production code, unmodified; only its clock, chance, network and hints are the simulation's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx2
import psycopg

from sellable.app.service import Service, assemble
from sellable.app.wiring import seal_of
from sellable.config.settings import Settings
from sellable.runtime import slots
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.simulation.virtual.loop import Life, VirtualLoop, context_of, life_now, run_as

if TYPE_CHECKING:
    import contextvars

HINT_SECONDS = (0.0005, 0.01)
BORN_AGAIN_SECONDS = 2.0
SERVER_SECONDS_MAX = 10.0

log = logging.getLogger(__name__)


class VirtualClock(Clock):
    """The product's clock on virtual time, which stands still during a transaction."""

    def stopped_at(self) -> str | None:
        """Now."""
        return self.now().isoformat()

    def settings(self) -> dict[str, str]:
        """Nothing that lasts longer than a transaction."""
        return {}


class HintBoard:
    """NOTIFY in process: told after the commit, heard a moment later, sometimes lost."""

    def __init__(self, loop: VirtualLoop, dice: random.Random, lost: Callable[[], bool]) -> None:
        self._loop, self._dice, self._lost = loop, dice, lost
        self._ears: list[tuple[Life | None, contextvars.Context, str, Callable[[str], object]]] = []

    def tell(self, channel: str, payload: str) -> None:
        """Everybody who listens hears it, each at its own moment."""
        for life, context, wanted, callback in self._ears:
            if wanted == channel and (life is None or life.state != "dead") and not self._lost():
                late = self._dice.uniform(*HINT_SECONDS)
                self._loop.call_later(late, callback, payload, context=context)

    def listen(self, channel: str, callback: Callable[[str], object]) -> None:
        """The callback runs as a part of the life that listens."""
        self._ears = [ear for ear in self._ears if ear[0] is None or ear[0].state != "dead"]
        self._ears.append((life_now(), context_of(life_now()), channel, callback))


class Process:
    """One place for a process of the product. `crashed` hears of a start that failed."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        url: str,
        settings: Settings,
        clock: Clock,
        hints: HintBoard,
        transport: httpx2.AsyncBaseTransport,
        dice: random.Random,
    ) -> None:
        self.name, self._loop, self._url, self._settings, self._clock = name, loop, url, settings, clock
        self._hints, self._transport, self._dice = hints, transport, dice
        self.past: list[Life] = []
        self.life: Life | None = None
        self.service: Service | None = None
        self._store: Store | None = None

    def start(self) -> None:
        """Begin a new life; it gets ready in its own time."""
        self.life = Life(f"{self.name}.{len(self.past) + 1}")
        self.past.append(self.life)
        run_as(self._loop, self.life, self._live())

    async def _live(self) -> None:
        while True:
            self._store = Store(self._url, self._clock, threads=1, seal=seal_of(self._settings), hints=self._hints)
            try:
                self.service = assemble(
                    self._settings, self._store, self._clock,
                    client=httpx2.AsyncClient(transport=self._transport, trust_env=False),
                    entropy=self._dice.randbytes, chance=self._dice.random,
                )  # fmt: skip
                await self.service.start()
            except (psycopg.Error, OSError) as error:
                # A process that cannot start ends, and whoever supervises it starts it again.
                log.warning("%s did not start: %s", self.name, type(error).__name__)
                self._let_go()
                await asyncio.sleep(BORN_AGAIN_SECONDS)
            else:
                return

    def kill(self) -> None:
        """All tasks and all memory are gone, the connections break; what was committed stays."""
        if self.life is not None:
            self._loop.kill(self.life)
            self._let_go()

    def _let_go(self) -> None:
        service, self.service = self.service, None
        if self._store is not None:
            self._store.close()
        if service is not None and service.slot is not None:
            service.slot.close()
            self._server_noticed(int(service.owner.removeprefix(slots.PREFIX)))

    def _server_noticed(self, slot: int) -> None:
        """Wait, in real time, until the server has let go of this process's slot: virtual time stands still."""
        deadline = time.monotonic() + SERVER_SECONDS_MAX
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND (classid, objid) = (%s, %s)"
        with psycopg.connect(self._url, autocommit=True) as connection:
            while time.monotonic() < deadline:
                row = connection.execute(query, [slots.SPACE, slot]).fetchone()
                if row == (0,):
                    return
                time.sleep(0.0005)
        raise RuntimeError("the server did not let go of a dead process's slot")

    def pause(self) -> None:
        """The process stands still; its connections and locks stay."""
        if self.life is not None and self.life.state == "alive":
            self.life.state = "paused"

    def resume(self) -> None:
        """It goes on where it stood and knows nothing of the time between."""
        if self.life is not None and self.life.state == "paused":
            self._loop.resume(self.life)
