"""How often one caller may ask: a bucket for each token or person, one for each address that shows nothing known.

Counted by each process for itself, in memory: a limit on load, no bookkeeping.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

CALLERS_MAX = 10_000
"""Remembered at a time; who was quiet the longest is forgotten first, with a full bucket."""


class Buckets:
    """`calls_per_second()` each, and so many at once. Time comes in as monotonic seconds."""

    def __init__(self, calls_per_second: Callable[[], float]) -> None:
        self._rate = calls_per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> int:
        """Take one call; seconds to wait when there is none left, 0 when it was taken."""
        left = self._room(caller, now)
        taken = left >= 1
        self._left.pop(caller, None)
        self._left[caller] = (left - 1 if taken else left, now)
        if len(self._left) > CALLERS_MAX:
            self._left.popitem(last=False)
        return 0 if taken else self._wait(left)

    def _room(self, caller: str, now: float) -> float:
        left, at = self._left.get(caller, (math.inf, now))
        return min(max(1.0, self._rate()), left + (now - at) * self._rate())

    def _wait(self, left: float) -> int:
        return math.ceil((1 - left) / self._rate())
