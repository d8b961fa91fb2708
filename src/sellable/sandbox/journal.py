"""What really happened inside a simulator, in order, for an oracle to read.

Rule: every change of the vendor's truth goes in, with its cause.
"""

from typing import Any

from sellable.sandbox.clock import Clock


class Journal:
    """Append-only list of {"n": 1.., "t": simulated unix seconds, "what": word, ...facts}."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, what: str, **facts: Any) -> None:
        """Append one fact; give `t` to date it otherwise than now."""
        self._rows.append({"n": len(self._rows) + 1, "t": self._clock.time(), "what": what, **facts})

    def since(self, n: int, limit: int = 1000) -> list[dict[str, Any]]:
        """Up to `limit` rows whose number is above n, oldest first."""
        return self._rows[max(n, 0) : max(n, 0) + limit]
