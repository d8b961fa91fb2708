"""Order of work and the size of what may be sent."""

from __future__ import annotations

import pytest

from sellable.connectors.port import EntryReading
from sellable.domain.stock import Priority
from sellable.sync import plan
from sellable.sync.writer import ALIVE, DEAD, UNMARKED, judge_copies


@pytest.mark.parametrize(
    ("target", "e", "last", "cause", "expected"),
    [
        (0, 5, 5, Priority.LOWER, Priority.STOP_SALE),
        (2, 5, 5, Priority.LOWER, Priority.ORDER_LOWER),
        (40, 50, 50, Priority.ORDER_LOWER, Priority.ORDER_LOWER),
        (40, 50, 50, Priority.LOWER, Priority.LOWER),
        (5, 2, 5, Priority.ORDER_LOWER, Priority.LOWER),
        (5, 0, 2, Priority.RAISE, Priority.BACK_IN_STOCK),
        (5, -1, None, Priority.RAISE, Priority.BACK_IN_STOCK),
        (50, 40, 40, Priority.RAISE, Priority.RAISE),
    ],
)
def test_priorities(target: int, e: int, last: int | None, cause: int, expected: int) -> None:
    found = plan.priority_of(target=target, e=e, low_mark=3, last_target=last, cause=cause)
    assert found == expected


def test_a_refill_is_what_did_not_rise_since_our_last_write() -> None:
    """Capped channel: cap 5, plenty in stock, its own order of 3 lowered E to 2."""
    assert plan.is_refill(target=5, last_target=5)
    assert not plan.is_refill(target=6, last_target=5)
    assert not plan.is_refill(target=5, last_target=None)


@pytest.mark.parametrize(
    ("target", "e", "read", "units"),
    [(10, 7, 7, 3), (10, 7, 10, 0), (10, 7, 9, 1), (10, 7, 2, 3), (10, 12, 4, 0)],
)
def test_a_raise_never_goes_above_the_target_even_if_e_is_wrong(target: int, e: int, read: int, units: int) -> None:
    assert plan.raise_now(target=target, e=e, read=read) == units


def entry(version: int, last_op: str | None, typed: str | None = "t") -> EntryReading:
    return EntryReading(
        sku="LAMP", channel="web", remote_id="r", version=version, quantity=5, available=5, last_op=last_op,
        typed=typed,
        backorder=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (entry(13, "op_1"), "op_1"),
        (entry(14, "op_1.1"), "op_1.1"),
        (entry(12, "older"), ALIVE),
        (entry(13, "older"), DEAD),
        (entry(13, None, None), DEAD),
        (entry(13, None, "merchants-own"), UNMARKED),
        (entry(12, None, "merchants-own"), ALIVE),
    ],
)
def test_only_the_marker_proves_which_copy_was_applied(seen: EntryReading, verdict: str) -> None:
    payload = {"marker": "op_1.1", "chain": [{"marker": "op_1", "d": -3}], "version": 12}
    assert judge_copies("op_1", payload, seen) == verdict


@pytest.mark.parametrize(
    ("target", "e", "cause", "ours", "waits"),
    [
        (4, 10, Priority.LOWER, 6, True),
        (4, 10, Priority.LOWER, 5, False),  # one unit is news
        (3, 9, Priority.LOWER, 6, False),  # too near to nothing
        (4, 10, Priority.ORDER_LOWER, 6, False),  # an order's lower goes at once
        (10, 4, Priority.LOWER, 6, False),  # no lower at all
        (10, 10, Priority.LOWER, 6, False),
    ],
)
def test_only_a_lower_that_our_own_orders_explain_waits(
    target: int, e: int, cause: Priority, ours: int, waits: bool
) -> None:
    assert plan.may_wait(target=target, e=e, low_mark=3, cause=cause, not_in_the_number_yet=ours) is waits
