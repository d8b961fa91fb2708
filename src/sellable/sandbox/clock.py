"""The simulators' clock, which may run faster than real time. Rule: a simulator reads no other clock."""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

VARIABLE = "SELLABLE_CLOCK"


class Clock:
    """Simulated time: start + (real - origin) * speed, all in unix seconds; the default is real time."""

    def __init__(
        self,
        *,
        speed: float = 1.0,
        origin: float | None = None,
        start: float | None = None,
        source: Callable[[], float] = time.time,
    ) -> None:
        """Without `origin` time begins now, without `start` at the origin; `source` gives real unix seconds."""
        if speed <= 0:
            raise ValueError(f"clock speed must be above 0, not {speed}")
        self.speed, self._source = speed, source
        self.origin = source() if origin is None else origin
        self.start = self.origin if start is None else start

    @classmethod
    def parse(cls, text: str) -> "Clock":
        """A clock from "speed=60,origin=1763710000.0,start=1291190400.0".

        Without origin time begins now; without start it begins at the origin. Raises ValueError on other words.
        """
        parts = dict(part.split("=", 1) for part in text.split(",") if part.strip())
        values = {name.strip(): float(value) for name, value in parts.items()}
        unknown = values.keys() - {"speed", "origin", "start"}
        if unknown:
            raise ValueError(f"unknown clock setting: {', '.join(sorted(unknown))}")
        return cls(speed=values.get("speed", 1.0), origin=values.get("origin"), start=values.get("start"))

    @classmethod
    def from_environment(cls) -> "Clock":
        """The clock of SELLABLE_CLOCK, or real time when it is absent."""
        text = os.environ.get(VARIABLE, "")
        return cls.parse(text) if text else cls()

    def text(self) -> str:
        """What parse() reads back as the same clock, for handing to another process."""
        return f"speed={self.speed!r},origin={self.origin!r},start={self.start!r}"

    def time(self) -> float:
        """Simulated unix seconds."""
        return self.start + (self._source() - self.origin) * self.speed

    def now(self) -> datetime:
        """Simulated time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.time(), UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait for simulated seconds."""
        await asyncio.sleep(max(seconds, 0.0) / self.speed)
