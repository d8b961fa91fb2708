"""The simulators' clock, which may run faster than real time. Rule: a simulator reads no other clock."""

import asyncio
import mmap
import os
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime

VARIABLE = "SELLABLE_CLOCK"
LOOK_SECONDS_MAX = 0.25
"""No wait is longer (real seconds) while somebody else sets the pace."""


class Clock:
    """Simulated time: start + (real - origin) * speed, all in unix seconds; the default is real time."""

    def __init__(
        self,
        *,
        speed: float = 1.0,
        origin: float | None = None,
        start: float | None = None,
        source: Callable[[], float] = time.time,
        dial: str = "",
    ) -> None:
        """Without `origin` time begins now, without `start` at the origin; `source` gives real unix seconds.

        `dial` is a file by which another process sets speed, origin and start: an integer, odd while it is being
        written, and three doubles.
        """
        if speed <= 0:
            raise ValueError(f"clock speed must be above 0, not {speed}")
        self.speed, self._source, self._dial = speed, source, dial
        if dial:
            with open(dial, "rb") as file:
                self._memory = mmap.mmap(file.fileno(), struct.calcsize("<Qddd"), access=mmap.ACCESS_READ)
        self.origin = source() if origin is None else origin
        self.start = self.origin if start is None else start

    @classmethod
    def parse(cls, text: str) -> "Clock":
        """A clock from "speed=60,origin=1763710000.0,start=1291190400.0", or "file=/path" for one with a dial.

        Without origin time begins now; without start it begins at the origin. Raises ValueError on other words.
        """
        if text.startswith("file="):
            return cls(dial=text.removeprefix("file="))
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
        if self._dial:
            return f"file={self._dial}"
        return f"speed={self.speed!r},origin={self.origin!r},start={self.start!r}"

    def time(self) -> float:
        """Simulated unix seconds."""
        speed, origin, start = self._pace()
        return start + (self._source() - origin) * speed

    def now(self) -> datetime:
        """Simulated time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.time(), UTC)

    def real(self, seconds: float) -> float:
        """Real seconds to wait, before looking again, for what is due in `seconds` of simulated time."""
        wait = max(seconds, 0.0) / self._pace()[0]
        return min(wait, LOOK_SECONDS_MAX) if self._dial else wait

    def limit(self, seconds: float) -> float:
        """Real seconds that simulated ones take at the present pace: a time limit, not a wait of ours."""
        return seconds / self._pace()[0]

    async def sleep(self, seconds: float) -> None:
        """Wait for simulated seconds."""
        until = self.time() + seconds
        await asyncio.sleep(self.real(seconds))
        while self._dial and (left := until - self.time()) > 0:  # noqa: ASYNC110 - a dial rings no bell
            await asyncio.sleep(self.real(left))

    def _pace(self) -> tuple[float, float, float]:
        while self._dial:
            written, speed, origin, start = struct.unpack_from("<Qddd", self._memory)
            if written % 2 == 0 and written == struct.unpack_from("<Q", self._memory)[0]:
                return speed, origin, start
        return self.speed, self.origin, self.start
