"""What a mode may write, and when a first pass must wait."""

from __future__ import annotations

import pytest

from sellable.app.ladder import gate_of
from sellable.config.settings import Channel
from sellable.sync import plan

BRAKE = plan.Brake(keys_percent=20, units_percent=20, keys_min=10)


@pytest.mark.parametrize(
    ("mode", "lower", "raise_"), [("full", -3, 4), ("lowers", -3, 0), ("shadow", 0, 0), ("nobody knows", 0, 0)]
)
def test_a_mode_writes_all_or_what_lowers_or_nothing(mode: str, lower: int, raise_: int) -> None:
    assert (plan.allowed(-3, mode), plan.allowed(4, mode), plan.allowed(0, mode)) == (lower, raise_, 0)


@pytest.mark.parametrize(
    ("changed", "moved", "reasons"),
    [
        (20, 200, []),
        (21, 200, ["21 of 100 numbers would change"]),
        (20, 201, ["201 units would move where 1000 are shown"]),
        (50, 900, ["50 of 100 numbers would change", "900 units would move where 1000 are shown"]),
        (9, 900, []),
        (0, 0, []),
    ],
)
def test_a_first_pass_waits_when_it_changes_too_much(changed: int, moved: int, reasons: list[str]) -> None:
    found = plan.FirstPass(keys=100, units=1000, changed_keys=changed, changed_units=moved)
    assert plan.too_much(found, BRAKE) == reasons


def test_a_shop_that_shows_nothing_may_not_be_filled_unseen() -> None:
    found = plan.FirstPass(keys=1000, units=0, changed_keys=10, changed_units=10)
    assert plan.too_much(found, BRAKE) == ["10 units would move where 0 are shown"]
    assert plan.too_much(found, plan.Brake(keys_percent=100, units_percent=100, keys_min=0)) == []


@pytest.mark.parametrize(
    ("mode", "before", "gate", "then"),
    [
        ("shadow", None, None, "open"),
        ("full", None, None, "checking"),
        ("lowers", "shadow", "open", "checking"),
        ("full", "lowers", "open", "checking"),
        ("full", "full", "open", "open"),
        ("lowers", "full", "open", "open"),
        ("lowers", "full", "stopped", "checking"),
        ("full", "full", "stopped", "checking"),
        ("shadow", "full", "stopped", "open"),
    ],
)
def test_only_a_step_up_is_counted_and_a_stop_is_counted_anew(
    mode: str, before: str | None, gate: str | None, then: str
) -> None:
    channel = Channel(key="web", pool="p", mode=mode)  # type: ignore[arg-type]
    assert gate_of(channel, before, gate) == then


def test_without_a_brake_nothing_is_waited_for() -> None:
    channel = Channel(key="web", pool="p", brake_keys_percent=100, brake_units_percent=100)
    assert gate_of(channel, None, None) == "open"
