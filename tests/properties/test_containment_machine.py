"""A master, its staff and its pages as a machine: what may be sold is never above the truth (R5, R5b, R8)."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.properties.machines import InTransaction, holds, tried
from tests.properties.test_containment import NAMES, STEPS, World

from sellable.stock import ledger
from sellable.stock.availability import Demand

PICKS = st.integers(0, 11)


class Warehouse(InTransaction):
    """Every step of World is a rule; after each, ATS is measured against an account that never saw our tables."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.tx, f"M{next(NAMES)}")
        self.world.quiet()
        self.tx.finish()

    @rule(steps=st.lists(st.tuples(st.sampled_from(sorted(set(STEPS))), PICKS), min_size=1, max_size=4))
    def step(self, steps: list[tuple[str, int]]) -> None:
        for name, pick in steps:
            getattr(self.world, name)(pick)
            self.tx.finish()
            limit = self.world.truth() + self.world.unseen()
            assert self.world.ats() <= limit, ("above the truth", name, pick, self.world.ats(), limit)

    @rule(pick=PICKS)
    def walk(self, pick: int) -> None:
        """A whole walk, whatever was under way."""
        for _ in range(4):
            self.step([("read", pick), ("handle", pick)])

    @rule(pick=PICKS)
    def sell_and_take_in(self, pick: int) -> None:
        self.step([("sell", pick), ("allocate", pick), ("tell", pick)])

    @rule(pick=PICKS)
    def free_and_look(self, pick: int) -> None:
        """An undo or a void of ours, and a walk after it."""
        self.step([("intend_to_free", pick), ("free_it", pick)])
        self.walk(pick)

    @rule()
    def rest(self) -> None:
        """Nothing happens for long enough: ATS is the truth, and the ledger agrees with itself."""
        self.world.quiet()
        self.tx.finish()
        assert self.world.ats() == self.world.truth()
        assert ledger.balances_that_differ(self.tx) == []
        assert ledger.skus_that_do_not_sum_to_zero(self.tx) == []


@pytest.mark.usefixtures("alone")
def test_never_above_the_truth() -> None:
    holds(Warehouse, 30, 20)


@pytest.mark.usefixtures("alone")
def test_units_contained_when_told_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(self: Demand, a0: int | None) -> int:
        return self.open_units

    monkeypatch.setattr(Demand, "in_flight", told)
    with pytest.raises(AssertionError, match="above the truth"):
        tried(Warehouse, 20)
