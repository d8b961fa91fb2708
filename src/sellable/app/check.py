"""Whether settings can work, with everything the rooms know, and what they cost in calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sellable.config.calls import predict
from sellable.config.check import check
from sellable.config.load import read
from sellable.config.problems import ConfigError
from sellable.config.settings import Settings
from sellable.desk.kinds import KINDS


def checked(config: Path) -> Settings:
    """The settings of a file that can work. Raises ConfigError naming every problem with its line and mend."""
    loaded = read(config)
    problems = check(loaded.settings, case_kinds=set(KINDS), lines=loaded.lines)
    if problems:
        raise ConfigError(str(config), problems)
    return loaded.settings


def ages(settings: Settings) -> list[dict[str, Any]]:
    """For each master: where it counts, how often it is read, and when what it counts stops rising."""
    return [
        {
            "master": master,
            "locations": [place.name for place in settings.locations if place.master == master],
            "read_every_seconds": age.read_every_seconds,
            "too_old_after_minutes": age.limit_seconds / 60,
            "held_back_then": age.buffer,
        }
        for master, age in settings.ages.items()
    ]


def predicted(settings: Settings, *, skus: int, orders_per_hour: int) -> list[dict[str, Any]]:
    """Calls an hour of each flow against its budget."""
    return [
        {
            "flow": row.flow,
            "budget": row.budget,
            "calls_per_hour": row.per_hour,
            "budget_per_hour": row.budget_per_hour,
            "over": row.over,
        }
        for row in predict(settings, orders_per_hour=orders_per_hour, catalogue_rows=skus)
    ]
