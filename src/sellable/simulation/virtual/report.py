"""What many runs came to, as one value: for a table, for a machine, for the page of proofs.

Rule: what was achieved is told, never what was aimed at; a trouble of the menu that never struck says so.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sellable.simulation.oracle import percentiles
from sellable.simulation.virtual.menu import TROUBLES
from sellable.simulation.virtual.play import Outcome, declared_for, summed
from sellable.simulation.virtual.profiles import PROFILES

ADDED = (
    "units_sold", "orders", "oversold_by_us", "oversold_inherent", "oversold_platform_lag", "undersell_unit_seconds",
    "writes_spent", "writes_needed",
)  # fmt: skip


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Sums and worst cases over some runs; empty lists and zeros for none."""
    runs = list(outcomes)
    hours = sum(outcome.seconds for outcome in runs) / 3600
    declared = [declared_for(outcome.plan) for outcome in runs]
    return {
        "profile": runs[0].plan.profile if runs else "",
        "seeds": [outcome.plan.seed for outcome in runs],
        "simulated_hours": round(hours, 2),
        "violations": [
            {"seed": outcome.plan.seed, "invariant": b.invariant, "at_seconds": round(b.at, 1), "what": b.what}
            for outcome in runs
            for b in outcome.broken
        ],
        **{name: sum(outcome.figures[name] for outcome in runs) for name in ADDED},
        "declared_d_seconds": {
            "sale": max((d.sale for d in declared), default=0.0),
            "master": max((d.master for d in declared), default=0.0),
        },
        "convergence_seconds": percentiles((outcome.convergence_seconds for outcome in runs), 50, 90, 100),
        "checked": dict(sorted(summed(runs, "checked").items())),
        "faults_fired": dict(summed(runs, "fired").most_common()),
        "faults_never_fired": never_fired(runs),
        "transactions": sum(outcome.transactions for outcome in runs),
        "wall_seconds_per_simulated_hour": round(sum(o.wall_seconds for o in runs) / hours, 1) if hours else 0.0,
        "hashes": {str(outcome.plan.seed): outcome.hash for outcome in runs},
    }


def never_fired(runs: Sequence[Outcome]) -> list[str]:
    """Names of trouble that these runs' profile has and that never struck."""
    if not runs:
        return []
    profile, fired = PROFILES[runs[0].plan.profile], summed(list(runs), "fired")
    wanted = list(TROUBLES) if profile.rate else []
    wanted += ["kill"] * bool(profile.kills) + ["pause"] * bool(profile.pauses)
    wanted += ["restore"] * bool(profile.restores)
    wanted += ["staff undo", "staff void", "staff reduce"] * bool(profile.staff)
    wanted += ["foreign write"] * bool(profile.foreign) + ["returned", "inspected"] * bool(profile.returns)
    wanted += ["push sent", "push dropped", "push duplicated"] * bool(profile.pushes)
    wanted += ["connections cut"] * bool(profile.cuts) + ["hint lost"] * bool(profile.lost_hints)
    return [name for name in wanted if not fired[name]]


def recorded(found: Mapping[str, Any], minutes: float) -> str:
    """The line of a table about some runs: commit, profile, seeds, minutes of trade, and what came of them."""
    seeds, fired = found["seeds"], sum(found["faults_fired"].values())
    cells = (
        commit(), found["profile"], f"{seeds[0]} to {seeds[-1]}", len(seeds), f"{minutes:g}",
        found["simulated_hours"], found["units_sold"], fired, len(found["violations"]), found["oversold_by_us"],
        found["oversold_inherent"], found["wall_seconds_per_simulated_hour"],
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |\n"


def commit() -> str:
    """The commit that runs, "?" where there is none to ask; a "+" after one with changes."""
    git = shutil.which("git")
    if git is None:
        return "?"
    words = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - no word of it is foreign
    return done.stdout.strip() or "?"
