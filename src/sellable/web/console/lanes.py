"""Budgets as people see them: a vendor's credentials, each with its calls by lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sellable.web.console.freshness import title_of

NEARLY = 90.0
"""From this share of a budget on it is about to limit us."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Calls of the last window by one lane, and what it is promised of it; what others leave it may borrow."""

    name: str
    used: int
    promised: float
    waiting: int
    percent: float


@dataclass(frozen=True, kw_only=True)
class Credential:
    """One key at a vendor; all in calls a minute."""

    vendor: str
    title: str
    used: int
    calls: int
    used_per_minute: float
    calls_per_minute: float
    waiting: int
    cooling: bool
    lanes: Sequence[Lane]

    @property
    def percent(self) -> float:
        """Share of the budget that is spent."""
        return 100 * self.used / self.calls if self.calls else 0.0

    @property
    def tone(self) -> str:
        """How near its end it is."""
        return "bad" if self.cooling else "warn" if self.percent >= NEARLY else ""


def credentials_of(usage: Sequence[Mapping[str, Any]]) -> list[Credential]:
    """Lanes as `overview` gives them, put together by credential, in their order."""
    names = list(dict.fromkeys(lane["credential"] for lane in usage))
    return [_credential(name, [lane for lane in usage if lane["credential"] == name]) for name in names]


def _credential(name: str, lanes: Sequence[Mapping[str, Any]]) -> Credential:
    vendor, _, key = name.partition(":")
    calls, window = lanes[0]["calls"], lanes[0]["window_seconds"]
    minute = 60 / window
    used = sum(lane["used"] for lane in lanes)
    return Credential(
        vendor=vendor, title=f"{title_of(vendor)}{', ' + key if key else ''}", used=used, calls=calls,
        used_per_minute=used * minute, calls_per_minute=calls * minute,
        waiting=sum(lane["waiting"] for lane in lanes), cooling=any(lane["cooling"] for lane in lanes),
        lanes=[
            Lane(
                name=lane["lane"] or "shared", used=lane["used"], promised=lane.get("share", 0) * calls,
                waiting=lane["waiting"], percent=100 * lane["used"] / calls if calls else 0.0,
            )
            for lane in lanes
        ],
    )  # fmt: skip
