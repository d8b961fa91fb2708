"""`python -m bench [name ...]`: measures, prints, and with --table FILE keeps the table as a page."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path

from bench.stage import Bench, Figure, Skipped, bench, machine

NAMES = ("webhook", "orders", "storefront", "stockout", "writes", "sweep", "growth", "kills", "numbers", "console")
NAMES += ("console_orders", "availability", "orderflow")
PAGE = """# Figures of one machine

Made by `{command}` on {day}; nothing of it is asserted in a test. `bench/` says how each is measured.

| | |
|---|---|
{machine}

| what | found | to hold | how |
|---|---|---|---|
{rows}

Check with `make bench` on the machine you mean to use; `BENCH=name` runs one of: {names}.
"""


def main() -> int:
    """Exit code 0 when everything that can be measured here was."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Figures of this machine.")
    parser.add_argument("names", nargs="*", help=f"any of: {', '.join(NAMES)}; all without")
    parser.add_argument("--table", type=Path, help="write the page of figures here")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
    about = machine()
    for name, text in about:
        print(f"{name:<12} {text}", flush=True)
    broken, began = False, time.monotonic()
    rows: list[Figure] = []
    with bench() as stage:
        for name in arguments.names or NAMES:
            try:
                rows += _measured(name, stage)
            except Exception:
                broken = True
                traceback.print_exc()
    print(f"\nall of it took {time.monotonic() - began:.0f} s", flush=True)
    if arguments.table and not broken:
        arguments.table.write_text(_page(about, rows), "utf-8")
    return int(broken)


def _measured(name: str, stage: Bench) -> list[Figure]:
    began = time.monotonic()
    print(f"\n{name}", flush=True)
    try:
        rows: list[Figure] = importlib.import_module(f"bench.{name}").measure(stage)
    except Skipped as skipped:
        rows = [Figure(what=name, found="not measured", how=str(skipped))]
    for row in rows:
        print(f"  {row.what}: {row.found}{f'  [{row.wanted}]' if row.wanted else ''}\n      {row.how}", flush=True)
    print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    return rows


def _page(about: list[tuple[str, str]], rows: list[Figure]) -> str:
    return PAGE.format(
        command="python -m bench " + " ".join(sys.argv[1:]),
        day=time.strftime("%Y-%m-%d"),
        machine="\n".join(f"| {name} | {text} |" for name, text in about),
        rows="\n".join(f"| {r.what} | {r.found} | {r.wanted} | {r.how} |" for r in rows),
        names=", ".join(NAMES),
    )


if __name__ == "__main__":
    sys.exit(main())
