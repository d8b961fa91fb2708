"""The whole product on virtual time: what the gate runs of it, and that a run can be repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sellable.simulation.virtual.database import simulation_database
from sellable.simulation.virtual.play import play
from sellable.simulation.virtual.profiles import PROFILES, plan_of
from sellable.simulation.virtual.report import report

SECONDS = float(os.environ.get("SIMULATION_SECONDS", "60"))
MINUTES = float(os.environ.get("SIMULATION_MINUTES", "5"))
AT_LEAST = 3
PROFILES_OF_THE_GATE = ("chaos", "day", "chaos", "flash", "chaos", "vendor-outage", "chaos", "quiet")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with simulation_database() as url:
        yield url


def first_seed() -> int:
    """Another range with each commit, so that the gate sees something new; the same one for the same commit."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return int(done.stdout[:6] or "1", 16) if done.returncode == 0 else 1


@pytest.mark.timeout(900)
def test_every_invariant_holds_for_as_many_seeds_as_fit(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    began, outcomes = time.monotonic(), []
    seed = first_seed()
    while len(outcomes) < AT_LEAST or time.monotonic() - began < SECONDS:
        profile = PROFILES_OF_THE_GATE[len(outcomes) % len(PROFILES_OF_THE_GATE)]
        outcome = play(plan_of(seed + len(outcomes), profile, MINUTES), database)
        outcomes.append(outcome)
        again = f"sellable simulate --seed {outcome.plan.seed} --profile {profile} --minutes {MINUTES:g}"
        assert not outcome.broken, f"{outcome.broken[0]}\nagain: {again}"
    found = report(outcomes)
    with capsys.disabled():
        print(
            f"\nsimulated {len(outcomes)} seeds from {seed}, {found['simulated_hours']} hours,"
            f" {found['units_sold']} units sold, {sum(found['faults_fired'].values())} faults, 0 violations"
        )


@pytest.mark.timeout(300)
def test_the_same_seed_is_the_same_run_whatever_the_order_of_hashes(tmp_path: Path) -> None:
    """In two processes with different PYTHONHASHSEED."""
    words = ["-m", "sellable", "simulate", "--seed", "7", "--minutes", "1", "--profile", "chaos", "--json"]
    runs = [
        subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for seed in ("1", "4242")
    ]
    hashes = [json.loads(run.communicate(timeout=280)[0])["hashes"]["7"] for run in runs]
    assert hashes[0] == hashes[1]


def test_a_plan_follows_from_its_seed_and_can_be_made_smaller() -> None:
    plan = plan_of(11, "chaos", 15)
    assert plan == plan_of(11, "chaos", 15)
    assert plan != plan_of(12, "chaos", 15)
    for part in plan.parts():
        assert len(plan.without(part).parts()) < len(plan.parts())


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_says_what_it_is(profile: str) -> None:
    assert PROFILES[profile].says
    assert plan_of(1, profile, 5).describe()
