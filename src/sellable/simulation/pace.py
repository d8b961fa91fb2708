"""How fast a rehearsal's clock runs: as fast as asked for, slower while the machine cannot keep up.

Rule: computing takes real seconds, which an accelerated clock turns into many simulated ones; a run whose machine is
the bottleneck would judge the machine. The vendors, the product and the shoppers share the clock, so all slow down
together. What it came to is told with the result.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sellable.runtime.clock import Dial
from sellable.sandbox.clock import Clock

LOOK_SECONDS = 0.5
PROCESS_SHARE = 0.7
"""So much of a core one process may use: it has one that counts, and bursts need room."""
MACHINE_SHARE = 0.8
FASTER_MAX, SLOWER_MAX = 1.25, 0.5
SLOWEST = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Pace:
    """The dial of a shared clock. `clock` is to be used by this process, its `text()` by the others."""

    def __init__(self, path: Path, top: float, start: float | None = None) -> None:
        """`top` is the fastest (simulated seconds a real one); `start` is unix seconds, default now."""
        if not top > 0:
            raise ValueError(f"clock speed must be above 0, not {top}")
        now = time.time()
        path.write_bytes(Dial.LAYOUT.pack(0, top, now, now if start is None else start))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), Dial.LAYOUT.size)
        self.top = self.slowest = self.speed = top
        self.clock = Clock.parse(f"file={path}")
        self._began = now, self.clock.time()

    def set(self, speed: float) -> None:
        """Another speed from now on; time itself does not jump."""
        written, old, origin, start = Dial.LAYOUT.unpack_from(self._memory)
        now = time.time()
        struct.pack_into("<Q", self._memory, 0, written + 1)
        struct.pack_into("<ddd", self._memory, 8, speed, now, start + (now - origin) * old)
        struct.pack_into("<Q", self._memory, 0, written + 2)
        self.speed, self.slowest = speed, min(self.slowest, speed)

    async def keep(self, processes: Callable[[], Iterable[int]]) -> None:
        """For ever: fit the speed to how busy these processes (by pid), ourselves and the machine are."""
        before = _used([*processes(), os.getpid()])
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = _used([*processes(), os.getpid()])
            self.set(fitting(self.speed, self.top, shares(before, now)))
            before = now

    def figures(self) -> dict[str, float]:
        """What the clock did: simulated seconds a real one, as asked for, on average and at worst."""
        real, simulated = time.time() - self._began[0], self.clock.time() - self._began[1]
        return {
            "asked": self.top,
            "mean": round(simulated / real, 1) if real else self.top,
            "slowest": round(self.slowest, 1),
        }


def fitting(speed: float, top: float, busy: float) -> float:
    """The next speed, when `busy` is the share of what may be used (1: just right) at this one."""
    factor = 1 / busy if busy > 0 else FASTER_MAX
    return min(top, max(min(SLOWEST, top), speed * min(FASTER_MAX, max(SLOWER_MAX, factor))))


def shares(before: dict[int, tuple[float, float]], now: dict[int, tuple[float, float]]) -> float:
    """How busy the busiest process, or the machine (key 0), was between two readings of (used, passed) seconds."""
    found = [0.0]
    for pid in before.keys() & now.keys():
        used, passed = (after - earlier for after, earlier in zip(now[pid], before[pid], strict=True))
        if passed > 0:
            found.append(used / passed / (PROCESS_SHARE if pid else MACHINE_SHARE))
    return max(found)


def _used(pids: Iterable[int]) -> dict[int, tuple[float, float]]:
    """Processor seconds used and seconds passed, by pid; 0 is the machine, whose seconds are those of all its cores."""
    found: dict[int, tuple[float, float]] = {}
    for pid in pids:
        try:
            # The name (second field) may hold blanks; what follows its parenthesis does not.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[pid] = (int(fields[11]) + int(fields[12])) / _TICKS, time.monotonic()
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    numbers = [int(word) / _TICKS for word in words]
    found[0] = sum(numbers) - numbers[3] - numbers[4], sum(numbers)
    return found
