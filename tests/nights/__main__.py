"""`make nights KILLS=200 STOPS=50`: plays each night that was asked for, says what it achieved, and notes it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from tests.nights.night import STRIKES, Achieved, play

from sellable.simulation.virtual.report import commit

HEADING = "| commit | night |"
"""How the table's first row begins on the page."""


def noted(page: str, row: str) -> str:
    """The page with a row at the end of the table of nights. Raises ValueError on a page without one."""
    lines = page.splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if line.startswith(HEADING)), None)
    if start is None:
        raise ValueError("the page has no table of nights")
    end = next((n for n in range(start, len(lines)) if not lines[n].startswith("|")), len(lines))
    return "".join([*lines[:end], row, *lines[end:]])


def row_of(achieved: Achieved) -> str:
    """A line of the table."""
    ready = achieved.ready
    cells = (
        commit(), achieved.name, achieved.strikes, achieved.orders, achieved.lost, achieved.doubled,
        achieved.oversold_by_us, f"{ready['p50']:.1f}, {ready['p99']:.1f}, {ready['p100']:.1f}", achieved.minutes,
        "; ".join(achieved.problems) or "none",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |\n"


def main() -> int:
    """Exit codes: 0 every night held, 1 one did not."""
    words = argparse.ArgumentParser(description=__doc__)
    for name in STRIKES:
        words.add_argument(f"--{name}", type=int, default=0, metavar="TIMES")
    words.add_argument("--minutes", type=float, default=60.0, help="most real minutes of each night's strikes")
    words.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    words.add_argument("--record", type=Path, help="page with the table of nights")
    given = words.parse_args()
    failed = False
    for name in STRIKES:
        if not (strikes := getattr(given, name)):
            continue
        print(f"{name}: up to {strikes}, seed {given.seed} ...", flush=True)
        achieved = asyncio.run(play(name, strikes, given.minutes * 60, given.seed))
        print(f"  {achieved}", flush=True)
        failed = failed or bool(achieved.problems)
        if given.record:
            given.record.write_text(noted(given.record.read_text("utf-8"), row_of(achieved)), "utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
