"""60 calls per rolling 60 seconds and key, and the dialects of a breach. Rule: a refused call is not counted."""

from collections import Counter, deque

from sellable.sandbox.cin7.switches import Switches
from sellable.sandbox.cin7.wire import error_model

WINDOW = 60.0

Answer = tuple[int, bytes, list[tuple[bytes, bytes]]]


class Limiter:
    """Recent calls by key; `blocked` counts refusals."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}
        self.blocked: Counter[str] = Counter()

    def refuse(self, key: str, path: str, now: float, switches: Switches) -> Answer | None:
        """The answer of a breach at simulated time `now`, or None when the call may pass.

        Whether refused calls prolong the block is not documented; the window rolls over allowed calls (guess).
        """
        recent = self._recent.setdefault(key, deque())
        while recent and recent[0] <= now - WINDOW:
            recent.popleft()
        if switches.unlimited or len(recent) < switches.calls_per_minute:
            recent.append(now)
            return None
        self.blocked[key] += 1
        return _breach(switches.breach.get(path, switches.breach.get("*", "429")), switches.calls_per_minute)


def _breach(dialect: str, calls: int) -> Answer:
    message = f"You have reached {calls} calls per 60 seconds API limit."
    if dialect != "429":
        # 503 comes without Retry-After; purchase endpoints answered a plain 400 (both observed).
        return int(dialect), error_model(int(dialect), message), []
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "retry-after": "60 Seconds",
        "x-ratelimit-limit": str(calls),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "60",
    }
    return 429, message.encode(), [(name.encode(), value.encode()) for name, value in headers.items()]
