"""When nobody could have known better: for how long a failed call keeps an ideal publisher from learning or telling.

Rule: a window follows from what the vendor did to the call and from the documented bounds of trying again, never from
what the product did afterwards; a wake-up that was lost does not make a window longer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from sellable.sandbox.faults import Fault
from sellable.simulation.rules import MASTER, SALE, Outage
from sellable.simulation.virtual.menu import CIN7

CALL_SECONDS = 30.0
"""A call without an answer is given up after so long."""
NETWORK_SECONDS = 8.0
"""A slow network may take so long there and back again."""
BACKOFF_BASE, BACKOFF_CAP = 2.0, 300.0
POLL = {SALE: 4.0, MASTER: 90.0}
"""The next regular look: two polls of messages, or a sweep and its pages."""
LIMIT_SECONDS = 60.0
"""After a refusal for too many calls without a word how long to wait, a vendor may be left alone so long."""


class Blindness:
    """Hears of every call of the product and keeps the windows; `now` is the clock's unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures: Counter[tuple[str, str]] = Counter()
        self._windows: list[Outage] = []

    def strike(self, host: str, line: str, fault: Fault | None) -> None:
        """A call went well (None) or was struck."""
        sources, route = _concerns(host, line)
        if not sources:
            return
        if fault is None:
            self._failures[host, route] = 0
            return
        n = self._failures[host, route] = self._failures[host, route] + 1
        backoff = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** (n - 1))
        limited = LIMIT_SECONDS if fault.status in (429, 503) else 0.0
        took = CALL_SECONDS if fault.effect in ("timeout", "late") else fault.seconds
        start, end = self._now() - NETWORK_SECONDS, self._now() + took + NETWORK_SECONDS
        for source in sources:
            over = end + max(backoff, limited) + POLL[source]
            self._windows.append(Outage(start=start, end=over, sources=frozenset({source})))

    def outages(self) -> list[Outage]:
        """The windows, those that touch made one."""
        joined: list[Outage] = []
        for source in (SALE, MASTER):
            for window in sorted((w for w in self._windows if source in w.sources), key=lambda w: w.start):
                last = joined[-1] if joined and source in joined[-1].sources else None
                if last is not None and window.start <= last.end:
                    joined[-1] = Outage(start=last.start, end=max(last.end, window.end), sources=last.sources)
                else:
                    joined.append(window)
        return joined


def _concerns(host: str, line: str) -> tuple[tuple[str, ...], str]:
    """Of which sources a call tells or to which numbers it leads, and its route without ids."""
    route = re.sub(r"\?.*", "", line)
    if host == CIN7:
        stock = re.search(r"productavailability|saleList|stockTransferList", route, re.IGNORECASE)
        return ((MASTER,) if stock else (), route)
    if re.search(r"/(messages|orders)$", route):
        return (SALE,), route
    # Stock is read and written through these; without a token nothing works.
    return ((SALE, MASTER) if re.search(r"/(graphql|inventory|token|channels)", route) else ()), route
