"""Trouble by timetable: what befalls the vendors, the database and the product itself during a replay.

Rule: every trouble ends by itself, and says from when to when nobody could know better.
"""

from __future__ import annotations

import asyncio
import json
import math
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sellable.simulation.faults import CIN7, CT, FAULTS, fired, set_trouble
from sellable.simulation.processes import Stand
from sellable.simulation.rules import Outage

KILL, RESTART = "kill_service", "restart_database"
VENDOR_TROUBLE = {
    "cin7_down": "cin7-down",
    "commercetools_429": "storm-429",
    "drop_webhooks": "webhooks-lost",
    "lost_answers": "duplicate-storm",
}
DEEDS = (*VENDOR_TROUBLE, KILL, RESTART)


@dataclass(frozen=True, kw_only=True)
class Step:
    """`do` something `at` so many simulated minutes after the start, `minutes` long; `worker` counts from 1."""

    at: float
    do: str
    minutes: float = 0.0
    worker: int = 1


def load(path: Path) -> list[Step]:
    """The steps of a TOML ([[step]] tables) or JSON (a list) file. Raises ValueError that names the step."""
    text = path.read_text(encoding="utf-8")
    try:
        rows = tomllib.loads(text).get("step", []) if path.suffix == ".toml" else json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("a list of steps is needed")
    return [_step(row, number) for number, row in enumerate(rows, 1)]


def _step(row: dict[str, Any], number: int) -> Step:
    unknown = row.keys() - {"at", "do", "for", "worker"}
    if unknown or row.get("do") not in DEEDS or "at" not in row:
        raise ValueError(f"step {number}: at = minutes and do = one of {', '.join(DEEDS)} are needed; got {row}")
    try:
        step = Step(
            at=float(row["at"]), do=row["do"], minutes=float(row.get("for", 0)), worker=int(row.get("worker", 1))
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"step {number}: {error}") from error
    if not (math.isfinite(step.at) and math.isfinite(step.minutes)):
        raise ValueError(f"step {number}: at and for are minutes; got {row}")
    return step


class Chaos:
    """Plays the steps; `outages` for the oracle, `fired` how often what struck."""

    def __init__(self, stand: Stand, steps: Sequence[Step], say: Callable[[str], None]) -> None:
        self._stand, self._steps, self._say = stand, steps, say
        self.outages: list[Outage] = []
        self.fired: Counter[str] = Counter()

    async def run(self) -> None:
        """Until the last step has ended."""
        start = self._stand.clock.time()
        async with asyncio.TaskGroup() as group:
            for step in self._steps:
                group.create_task(self._play(step, start))

    async def _play(self, step: Step, start: float) -> None:
        clock = self._stand.clock
        await clock.sleep(start + step.at * 60 - clock.time())
        self._say(f"trouble: {step.do}")
        began = clock.time()
        if step.do == KILL:
            await self._kill(step)
        elif step.do == RESTART:
            await asyncio.to_thread(self._stand.restart_database)
            self.fired[step.do] += 1
        else:
            await self._vendor(step)
        sources = (
            FAULTS[VENDOR_TROUBLE[step.do]].blinds if step.do in VENDOR_TROUBLE else Outage(start=0, end=0).sources
        )
        if sources:
            self.outages.append(Outage(start=began, end=clock.time(), sources=sources))
        self._say(f"trouble over: {step.do}")

    async def _kill(self, step: Step) -> None:
        """kill -9, then a new start `minutes` later."""
        service = self._stand.services[step.worker - 1]
        await service.kill()
        self.fired[step.do] += 1
        await self._stand.clock.sleep(step.minutes * 60)
        await service.start()

    async def _vendor(self, step: Step) -> None:
        name, http = VENDOR_TROUBLE[step.do], self._stand.http
        addresses = {CT: self._stand.storefront.url, CIN7: self._stand.back_office.url}
        await set_trouble(http, addresses, name, on=True)
        await self._stand.clock.sleep(max(step.minutes, 0.1) * 60)
        self.fired[step.do] += (await fired(http, addresses)).get(name, 0)
        await set_trouble(http, addresses, name, on=False)
