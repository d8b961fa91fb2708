"""Unique text ids that sort by birth: a prefix naming the kind, then 26 characters of time and randomness."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from sellable.runtime.clock import Clock

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no I, L, O or U, so that an id survives being read aloud."""
LENGTH = 26
RANDOM_BITS = 80


class Ids:
    """Makes ids such as "op_01KAJ5V2ZC9Q4X7R3T8W6Y1B0D": 48 bits of milliseconds, then 80 random bits.

    Ids of one maker strictly increase, even within a millisecond or when the clock steps back.
    """

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._entropy = entropy
        self._last = 0
        self._lock = threading.Lock()

    def new(self, prefix: str) -> str:
        """A new id that starts with `prefix` and an underscore."""
        fresh = int(self._clock.time() * 1000) << RANDOM_BITS | int.from_bytes(self._entropy(RANDOM_BITS // 8), "big")
        with self._lock:
            same_moment = fresh >> RANDOM_BITS <= self._last >> RANDOM_BITS
            self._last = self._last + 1 if same_moment else fresh
            return f"{prefix}_{_base32(self._last)}"


def _base32(number: int) -> str:
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))
