"""Printing an oracle's verdict for people, the same for a demo and a replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from sellable.cli.common import out
from sellable.simulation.oracle import Verdict

SHOWN = 10


def show_result(figures: Mapping[str, Any], verdict: Verdict, problems: Sequence[str]) -> None:
    """Figures, the first oversold orders and wrong numbers by name, and what must not be in red."""
    table = Table(box=None, show_header=False)
    for name, value in figures.items():
        if isinstance(value, dict):
            words = ", ".join(f"{k} {v}" for k, v in value.items())
        else:
            words = value if isinstance(value, str) else f"{value:,}"
        table.add_row(name.replace("_", " "), words or "none")
    out.print(table)
    for judged in verdict.oversold_by_us[:SHOWN]:
        a = judged.acceptance
        out.print(f"oversold by us: order {a.number}, {a.units} of {a.key[0]} on {a.key[1]}, {judged.ours} too many")
    for wrong in verdict.wrong[:SHOWN]:
        low, high = wrong.should
        numbers = f"counts {wrong.counter}, shows {wrong.visible}, should be {low} to {high}"
        out.print(f"wrong: {wrong.sku} on {wrong.channel} {numbers}")
    for line in verdict.tie.unbalanced[:SHOWN]:
        out.print(f"does not add up: {line}")
    for problem in problems:
        out.print(problem, style="red")
    if not problems:
        out.print("Every order once, or waiting with its cause; nothing oversold by us; every number right.")
