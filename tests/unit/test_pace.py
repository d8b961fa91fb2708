"""A clock that several processes share and one of them sets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sellable.runtime.clock import Clock
from sellable.sandbox.clock import Clock as SandboxClock
from sellable.simulation.pace import MACHINE_SHARE, PROCESS_SHARE, Pace, fitting, shares


def test_product_and_simulator_follow_the_same_dial(tmp_path: Path) -> None:
    """The pace changes, time does not jump, and the database is told."""
    pace = Pace(tmp_path / "clock", 60.0, start=1_291_190_400.0)
    ours, theirs = Clock.parse(pace.clock.text()), SandboxClock.parse(pace.clock.text())
    pace.set(0.001)
    stood = ours.time()
    assert abs(theirs.time() - stood) < 0.01
    assert 0 <= stood - 1_291_190_400.0 < 60
    assert ours.settings()["sellable.clock_speed"] == "0.001"
    pace.set(3_600_000)
    asyncio.run(ours.sleep(3600))
    assert ours.time() - stood >= 3600


def test_no_wait_outlasts_a_change_of_pace(tmp_path: Path) -> None:
    pace = Pace(tmp_path / "clock", 1.0)
    ours, theirs = Clock.parse(pace.clock.text()), pace.clock
    assert (ours.real(3600), theirs.real(3600)) == (0.25, 0.25)
    assert ours.real(0.1) == theirs.real(0.1) == 0.1


def test_a_vendors_patience_is_not_cut_short_by_the_dial(tmp_path: Path) -> None:
    """A time limit is the vendor's own: two seconds are two seconds at the pace of life, a fifth at ten times it."""
    pace = Pace(tmp_path / "clock", 1.0)
    assert pace.clock.limit(2.0) == 2.0
    pace.set(10.0)
    assert pace.clock.limit(2.0) == 0.2


@pytest.mark.parametrize(("busy", "speed"), [(0.5, 25.0), (2.0, 10.0), (8.0, 10.0), (0.0, 25.0), (0.9, 22.2)])
def test_the_pace_follows_the_load_in_steps(busy: float, speed: float) -> None:
    assert fitting(20.0, 60.0, busy) == pytest.approx(speed, abs=0.1)


def test_the_pace_keeps_its_bounds() -> None:
    assert fitting(1.0, 60.0, 9.0) == 1.0, "never slower than life"
    assert fitting(59.0, 60.0, 0.1) == 60.0, "never faster than asked for"
    assert fitting(0.5, 0.5, 9.0) == 0.5


def test_the_busiest_process_or_the_machine_counts() -> None:
    before = {0: (0.0, 0.0), 7: (1.0, 10.0), 8: (0.0, 10.0), 9: (5.0, 10.0)}
    assert shares(before, {0: (4.0, 10.0), 7: (4.5, 15.0), 8: (0.1, 15.0)}) == pytest.approx(0.7 / PROCESS_SHARE)
    assert shares(before, {0: (8.0, 10.0)}) == pytest.approx(0.8 / MACHINE_SHARE)


def test_a_dial_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        Clock.parse(f"file={tmp_path / 'nowhere'}")
