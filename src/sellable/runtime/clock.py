"""The service's clock, which may run faster than real time. Rule: nothing of ours reads time from anywhere else.

The database follows the same clock: a connection carries `Clock.settings()` and SQL asks `app_now()`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

VARIABLE = "SELLABLE_CLOCK"
PATIENCE_SECONDS_MAX = 5.0
"""An answer of a few milliseconds stays possible however fast the clock: see `Clock.real_timeout`."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Time as start + (real - origin) * speed, all in unix seconds; the default is real time."""

    speed: float = 1.0
    origin: float = 0.0
    start: float = 0.0
    source: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"clock speed must be above 0, not {self.speed}")

    @classmethod
    def parse(cls, text: str) -> Clock:
        """A clock from "speed=60,origin=1763710000.0,start=1291190400.0".

        Without origin time begins now; without start it begins at the origin. Raises ValueError on other words.
        """
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        values = {name.strip(): float(value) for name, _, value in pairs}
        if unknown := values.keys() - {"speed", "origin", "start"}:
            raise ValueError(f"unknown setting in {VARIABLE}: {', '.join(sorted(unknown))}")
        origin = values.get("origin", time.time())
        return cls(speed=values.get("speed", 1.0), origin=origin, start=values.get("start", origin))

    @classmethod
    def from_environment(cls) -> Clock:
        """The clock of SELLABLE_CLOCK, or real time when it is absent."""
        text = os.environ.get(VARIABLE, "")
        return cls.parse(text) if text else cls()

    def text(self) -> str:
        """What `parse` reads back as the same clock, for handing to another process."""
        return f"speed={self.speed!r},origin={self.origin!r},start={self.start!r}"

    def time(self) -> float:
        """Unix seconds of this clock."""
        return self.start + (self.source() - self.origin) * self.speed

    def now(self) -> datetime:
        """Aware UTC time of this clock."""
        return datetime.fromtimestamp(self.time(), UTC)

    def monotonic(self) -> float:
        """Seconds of this clock that never step back; only differences mean something."""
        return self.ticks() * self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait for seconds of this clock."""
        await asyncio.sleep(max(seconds, 0.0) / self.speed)

    def real_timeout(self, seconds: float) -> float:
        """Real seconds to allow for I/O that has `seconds` of this clock.

        Sockets and disks do not speed up with the clock, so a short limit is kept as real seconds, up to 5.
        """
        return max(seconds / self.speed, min(seconds, PATIENCE_SECONDS_MAX))

    def settings(self) -> dict[str, str]:
        """PostgreSQL session settings that make `app_now()` tell this clock's time; empty for real time."""
        if self.speed == 1.0 and self.origin == self.start:
            return {}
        return {
            "sellable.clock_speed": repr(self.speed),
            "sellable.clock_origin": repr(self.origin),
            "sellable.clock_start": repr(self.start),
        }
