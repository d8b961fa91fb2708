"""The last hour as one drawing: orders, writes that waited, the slowest of them, minute by minute.

Each has its own scale, whose top is written beside it; what matters is when they rise together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sellable.web.console.render import latency

WIDTH, BAND, GAP = 960, 56, 24
"""In units of the drawing."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """One of the three: its marks, its top, what it says."""

    title: str
    top: str
    said: str
    y: float
    bars: Sequence[tuple[float, float, float]] = ()
    """(x, y, height) of bars of one minute's width."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The drawing, and the same as a table for who cannot see it."""

    bands: Sequence[Band]
    minutes: Sequence[Any]
    step: float
    height: float
    empty: bool


def chart_of(minutes: Sequence[Any]) -> Chart:
    """`minutes`: rows with until, orders, waiting, slow (milliseconds or None), oldest first."""
    step = WIDTH / max(1, len(minutes))
    orders = [m.orders for m in minutes]
    waiting = [m.waiting for m in minutes] or [0]
    slow = [m.slow or 0 for m in minutes] or [0]
    bands = [
        _band("orders a minute", orders, f"{max(orders, default=0):,}", f"{sum(orders):,} in the hour", 0, step),
        _band("writes waiting", waiting, f"{max(waiting):,}", f"now {waiting[-1]:,}", 1, step),
        _band("slowest write", slow, latency(max(slow)), f"now {latency(slow[-1])}", 2, step),
    ]  # fmt: skip
    return Chart(
        bands=bands, minutes=minutes, step=step, height=3 * (BAND + GAP), empty=not any([*orders, *waiting, *slow])
    )


def _band(title: str, values: Sequence[int], top: str, said: str, place: int, step: float) -> Band:
    base = place * (BAND + GAP) + GAP
    highest = max([1, *values])
    heights = [round(BAND * value / highest, 1) for value in values]
    return Band(
        title=title, top=top, said=said, y=base + BAND,
        bars=[(round(n * step, 1), round(base + BAND - h, 1), h) for n, h in enumerate(heights) if h],
    )  # fmt: skip
