"""The service's clock, which may run faster than real time. Rule: nothing of ours reads time from anywhere else.

The database follows the same clock: a connection carries `Clock.settings()` and SQL asks `app_now()`.
A rehearsal may change its pace while it runs: then all processes read one small file, see `Dial`.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

VARIABLE = "SELLABLE_CLOCK"
PATIENCE_SECONDS_MAX = 5.0
"""An answer of a few milliseconds stays possible however fast the clock: see `Clock.real_timeout`."""


SPEED_MAX = 1e9
LATEST = 32_503_680_000.0
"""The year 3000, in unix seconds: beyond it, and not far, dates end."""


class Dial:
    """The pace of a clock as somebody else sets it: all who know its file have the same time at every moment.

    The file holds an integer, odd while it is being written, and three doubles: speed, origin and start.
    """

    LAYOUT = struct.Struct("<Qddd")
    LOOK_SECONDS_MAX = 0.25
    """No wait is longer (in real seconds), because the pace may have changed by then."""
    PATIENCE_SECONDS = 5.0
    """Real seconds after which whoever writes, which takes a microsecond, is taken for dead."""

    def __init__(self, path: Path) -> None:
        """Raises OSError or ValueError for a file that is no dial."""
        self.path = path
        with path.open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), self.LAYOUT.size, access=mmap.ACCESS_READ)
        _check(*self.read())

    def read(self) -> tuple[float, float, float]:
        """Speed, origin and start that belong together. Raises OSError when whoever was writing them has died."""
        until = 0.0
        while until == 0.0 or time.monotonic() < until:
            written, speed, origin, start = self.LAYOUT.unpack_from(self._memory)
            if written % 2 == 0 and written == self.LAYOUT.unpack_from(self._memory)[0]:
                return speed, origin, start
            until = until or time.monotonic() + self.PATIENCE_SECONDS
            time.sleep(0)
        raise OSError(f"{self.path} is never written to its end")


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Time as start + (real - origin) * speed, all in unix seconds; the default is real time.

    With a `dial` those three are what it says at the moment.
    """

    speed: float = 1.0
    origin: float = 0.0
    start: float = 0.0
    source: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic
    dial: Dial | None = None

    def __post_init__(self) -> None:
        _check(self.speed, self.origin, self.start)

    @classmethod
    def parse(cls, text: str) -> Clock:
        """A clock from "speed=60,origin=1763710000.0,start=1291190400.0", or "file=/path" for one with a dial.

        Without origin time begins now; without start it begins at the origin. Raises ValueError on other words.
        """
        if text.startswith("file="):
            return cls(dial=Dial(Path(text.removeprefix("file="))))
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
        if self.dial:
            return f"file={self.dial.path}"
        return f"speed={self.speed!r},origin={self.origin!r},start={self.start!r}"

    def time(self) -> float:
        """Unix seconds of this clock."""
        speed, origin, start = self._pace()
        return start + (self.source() - origin) * speed

    def now(self) -> datetime:
        """Aware UTC time of this clock."""
        return datetime.fromtimestamp(self.time(), UTC)

    def monotonic(self) -> float:
        """Seconds of this clock that never step back; only differences mean something."""
        return self.time() if self.dial else self.ticks() * self.speed

    def real(self, seconds: float) -> float:
        """Real seconds to wait, before looking again, for what is due in `seconds` of this clock."""
        wait = max(seconds, 0.0) / self._pace()[0]
        return min(wait, Dial.LOOK_SECONDS_MAX) if self.dial else wait

    async def sleep(self, seconds: float) -> None:
        """Wait for seconds of this clock."""
        until = self.monotonic() + seconds
        await asyncio.sleep(self.real(seconds))
        while self.dial and (left := until - self.monotonic()) > 0:  # noqa: ASYNC110 - a dial rings no bell
            await asyncio.sleep(self.real(left))

    def real_timeout(self, seconds: float) -> float:
        """Real seconds to allow for I/O that has `seconds` of this clock.

        Sockets and disks do not speed up with the clock, so a short limit is kept as real seconds, up to 5.
        """
        return max(seconds / self._pace()[0], min(seconds, PATIENCE_SECONDS_MAX))

    def settings(self) -> dict[str, str]:
        """PostgreSQL session settings that make `app_now()` tell this clock's time; empty for real time."""
        speed, origin, start = self._pace()
        if speed == 1.0 and origin == start:
            return {}
        return {
            "sellable.clock_speed": repr(speed),
            "sellable.clock_origin": repr(origin),
            "sellable.clock_start": repr(start),
        }

    def stopped_at(self) -> str | None:
        """The instant at which `app_now()` stands still for one transaction; None where time flows."""
        return None

    def _pace(self) -> tuple[float, float, float]:
        return self.dial.read() if self.dial else (self.speed, self.origin, self.start)


def _check(speed: float, origin: float, start: float) -> None:
    """Raises ValueError for a pace at which no time could be told."""
    if not 0 < speed <= SPEED_MAX:
        raise ValueError(f"clock speed must be above 0, not {speed}")
    if not (0 <= origin <= LATEST and 0 <= start <= LATEST):
        raise ValueError(f"clock origin and start are unix seconds, not {origin} and {start}")
