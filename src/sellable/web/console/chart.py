"""The last hour as three small drawings: orders, writes that waited, the slowest of them, minute by minute.

Each has its own scale, whose top is written beside it; what matters is when they rise together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sellable.web.console.render import latency

WIDTH, HEIGHT = 960, 48
"""In units of a drawing, which is stretched to the room there is."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One of the three: (x, y, height) of its bars, its top, and what it says in words."""

    title: str
    top: str
    said: str
    bars: Sequence[tuple[float, float, float]]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The drawings, the width of a minute, and when they begin; `empty` when nothing happened."""

    bands: Sequence[Band]
    step: float
    since: datetime | None
    empty: bool
    width: int = WIDTH
    height: int = HEIGHT


def chart_of(minutes: Sequence[Any]) -> Chart:
    """`minutes`: rows with until, orders, waiting, slow (milliseconds or None), oldest first."""
    step = WIDTH / max(1, len(minutes))
    orders = [m.orders for m in minutes] or [0]
    waiting = [m.waiting for m in minutes] or [0]
    slow = [m.slow or 0 for m in minutes] or [0]
    bands = [
        Band(title="orders a minute", top=f"{max(orders):,}", said=f"{sum(orders):,} in all", bars=_bars(orders, step)),
        Band(title="writes waiting", top=f"{max(waiting):,}", said=f"now {waiting[-1]:,}", bars=_bars(waiting, step)),
        Band(title="slowest write", top=latency(max(slow)), said=f"now {latency(slow[-1])}", bars=_bars(slow, step)),
    ]  # fmt: skip
    since = minutes[0].until if minutes else None
    return Chart(bands=bands, step=step, since=since, empty=not any([*orders, *waiting, *slow]))


def _bars(values: Sequence[int], step: float) -> list[tuple[float, float, float]]:
    heights = [HEIGHT * value / max(1, *values) for value in values]
    return [(round(n * step, 1), round(HEIGHT - h, 1), round(h, 1)) for n, h in enumerate(heights) if h]
