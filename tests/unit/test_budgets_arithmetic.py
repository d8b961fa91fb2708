"""The arithmetic of budgets: never above the vendor's limit, a reserved share always there, an unused share lent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sellable.runtime.budgets import COMMON, BudgetSpec, Use, draw, recover, refill, seconds_to_token

MINUTE = BudgetSpec(
    credential="cin7:orders",
    calls=60,
    window_seconds=60,
    burst=6,
    lanes={"orders": 0.4, "stock": 0.3, "reads": 0.2, "repair": 0.1},
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lanes": {}}, "named lanes"),
        ({"lanes": {"": 0.5}}, "named lanes"),
        ({"lanes": {"a": 0.7, "b": 0.4}}, "more than 1"),
        ({"burst": 1}, "burst must be at least 2"),
        ({"burst": 51}, "leaves nothing of 51"),
        ({"usable": 1.2}, "usable"),
        ({"window_seconds": 0}, "window"),
    ],
)
def test_a_spec_that_cannot_hold_is_refused(change: dict[str, object], words: str) -> None:
    fields: dict[str, object] = {"credential": "c", "calls": 60, "window_seconds": 60, "burst": 6, "lanes": {"a": 1}}
    with pytest.raises(ValueError, match=words):
        BudgetSpec(**(fields | change))  # type: ignore[arg-type]


def test_the_numbers_of_a_spec() -> None:
    assert MINUTE.rate == pytest.approx(0.75)  # (60 * 0.85 - 6) / 60
    assert MINUTE.caps == pytest.approx({"orders": 1.2, "stock": 1.15, "reads": 1.1, "repair": 1.05, COMMON: 1.5})
    assert sum(MINUTE.caps.values()) == pytest.approx(6)


def test_the_starved_come_back_before_a_fast_budget_overflows() -> None:
    fast = BudgetSpec(credential="shop", calls=50, window_seconds=1, burst=10, lanes={"a": 0.6, "b": 0.4}, usable=1)
    assert MINUTE.slice_seconds == 0.15
    assert fast.slice_seconds == pytest.approx(fast.caps[COMMON] / 40 / 2) == pytest.approx(0.05625)


def test_a_lane_fills_by_its_share_and_overflows_into_the_common_pool() -> None:
    empty = dict.fromkeys([*MINUTE.lanes, COMMON], 0.0)
    after_4 = refill(MINUTE, empty, 4)
    assert after_4 == pytest.approx({"orders": 1.2, "stock": 0.9, "reads": 0.6, "repair": 0.3, COMMON: 0})
    assert refill(MINUTE, after_4, 2)[COMMON] == pytest.approx(0.6 + 0.2)  # all of orders, 0.2 of stock
    assert refill(MINUTE, empty, 3600) == pytest.approx(MINUTE.caps)
    assert refill(MINUTE, empty, 4, shrink=0.5)["stock"] == pytest.approx(0.45)
    assert refill(MINUTE, after_4, -5) == pytest.approx(after_4)


def test_a_draw_uses_the_lanes_own_tokens_before_it_borrows() -> None:
    level = {"orders": 1.2, "stock": 0.4, COMMON: 0.9}
    left, served = draw(level, ["stock", "orders", "orders", "stock"])
    assert served == [True, True, False, False]
    assert left == pytest.approx({"orders": 0.2, "stock": 0, COMMON: 0.3})


def test_the_least_wait_for_a_token() -> None:
    level = {"orders": 0.1, "stock": 0, "reads": 0, "repair": 0, COMMON: 0.15}
    assert seconds_to_token(MINUTE, level, "orders") == pytest.approx(1.0)
    assert seconds_to_token(MINUTE, level, "orders", shrink=0.5) == pytest.approx(2.0)


def test_a_shrunk_budget_recovers_with_calls_that_went_well() -> None:
    assert recover(MINUTE, 0.5, 51) == pytest.approx(0.7)
    assert recover(MINUTE, 0.99, 51) == 1.0


def test_after_an_outage_the_full_rate_is_back_within_minutes() -> None:
    """From the floor, with every call the rate allows: doubled each minute while below a half, then more slowly."""
    shrink, minutes = 1 / 16, 0
    while shrink < 1:
        shrink = recover(MINUTE, shrink, round(51 * shrink))
        minutes += 1
    assert minutes == 5


def test_use_counts_the_window_that_ends_now() -> None:
    use = Use().add(3, 600.0, 60).add(2, 659.0, 60)
    assert use.recent(659.0, 60) == 5
    assert use.add(1, 690.0, 60).recent(690.0, 60) == 1 + 2  # half of the five before
    assert use.recent(800.0, 60) == 0


@st.composite
def specs(draw_from: st.DrawFn) -> BudgetSpec:
    weights = draw_from(st.lists(st.integers(1, 10), min_size=1, max_size=5))
    spare = draw_from(st.integers(0, 3))
    calls = draw_from(st.integers(30, 500))
    return BudgetSpec(
        credential="c",
        calls=calls,
        window_seconds=draw_from(st.sampled_from([1.0, 10.0, 60.0])),
        burst=draw_from(st.integers(len(weights) + 1, int(calls * 0.6))),
        lanes={f"lane{i}": weight / (sum(weights) + spare) for i, weight in enumerate(weights)},
        usable=draw_from(st.sampled_from([0.7, 0.85, 1.0])),
    )


@settings(max_examples=150, deadline=None)
@given(spec=specs(), data=st.data())
def test_no_window_ever_sees_more_calls_than_the_limit(spec: BudgetSpec, data: st.DataObject) -> None:
    pauses = data.draw(st.lists(st.floats(0, spec.window_seconds / 3), min_size=1, max_size=60))
    level: dict[str, float] = spec.caps
    now, calls = 0.0, []
    for pause in pauses:
        now += pause
        asked = data.draw(st.lists(st.sampled_from(sorted(spec.lanes)), max_size=spec.burst + 5))
        level, served = draw(refill(spec, level, pause), asked)
        assert all(0 <= level[lane] <= cap + 1e-6 for lane, cap in spec.caps.items())
        calls += [now] * sum(served)
    for end in calls:
        inside = sum(end - spec.window_seconds < at <= end for at in calls)
        assert inside <= math.floor(spec.calls * spec.usable + 1e-6) <= spec.calls


@settings(max_examples=150, deadline=None)
@given(spec=specs(), steps=st.integers(1, 40), data=st.data())
def test_a_reserved_share_is_there_however_greedy_the_others_are(
    spec: BudgetSpec, steps: int, data: st.DataObject
) -> None:
    """A lane that asks no faster than its share is served each time, whatever all others ask before it."""
    lane = data.draw(st.sampled_from(sorted(spec.lanes)))
    others = [other for other in spec.lanes if other != lane] * (spec.burst + 2)
    level: dict[str, float] = spec.caps
    for _ in range(steps):
        level, served = draw(refill(spec, level, 1.000001 / (spec.rate * spec.lanes[lane])), [*others, lane])
        assert served[-1]


@settings(max_examples=50, deadline=None)
@given(spec=specs())
def test_an_unused_share_is_lent(spec: BudgetSpec) -> None:
    """One busy lane alone gets the whole rate, not only its share; a step may lose what overflows within it."""
    lane = min(spec.lanes, key=lambda name: spec.lanes[name])
    tokens_a_step, steps, calls = 0.04, 1000, 0
    level: dict[str, float] = spec.caps
    for _ in range(steps):
        level, served = draw(refill(spec, level, tokens_a_step / spec.rate), [lane, lane])
        calls += sum(served)
    assert calls >= tokens_a_step * steps / (1 + tokens_a_step)
