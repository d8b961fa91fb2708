"""The ledger against a dictionary: facts once, balances the sum of facts, a lie changes nothing (R1 to R3, I1, I2)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.properties.machines import InTransaction, holds, tried

from sellable.domain.stock import OUTSIDE, Kind, Movement, State
from sellable.runtime.queries import Query
from sellable.stock import ledger

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
BALANCES = Query(package="t", name="t", purpose="t", text="SELECT sku, location, state, quantity FROM balance")
COUNT = Query(package="t", name="t", purpose="t", text="SELECT count(*) FROM movement")
ACCOUNTS = [
    ("WH1", State.AVAILABLE), ("WH1", State.ALLOCATED), ("WH2", State.AVAILABLE), ("WH2", State.DAMAGED),
    (OUTSIDE, State.SUPPLIER), (OUTSIDE, State.CUSTOMER),
]  # fmt: skip


@st.composite
def movements(draw: st.DrawFn) -> Movement:
    """Facts with so few identities that they meet again, mostly with another content."""
    one, other = draw(st.sampled_from([(a, b) for a in ACCOUNTS for b in ACCOUNTS if a != b]))
    return Movement(
        source=draw(st.sampled_from(["c7", "ct"])), resource=draw(st.sampled_from(["r1", "r2", "r3"])),
        line=draw(st.sampled_from(["1", "2"])), kind=draw(st.sampled_from([Kind.SHIPPED, Kind.ADJUST])),
        sku=draw(st.sampled_from(["LAMP", "SOFA"])), quantity=draw(st.integers(1, 5)), from_location=one[0],
        from_state=one[1], to_location=other[0], to_state=other[1], seq=draw(st.integers(0, 3)),
    )  # fmt: skip


def identity(m: Movement) -> tuple[Any, ...]:
    return (m.source, m.resource, m.line, m.kind, m.seq)


class Ledger(InTransaction):
    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[tuple[Any, ...], Movement] = {}

    @rule(batch=st.lists(movements(), min_size=1, max_size=4))
    def post(self, batch: list[Movement]) -> None:
        after = dict(self.facts)
        lies = []
        for fact in batch:
            recorded = after.setdefault(identity(fact), fact)
            if fact != recorded:
                lies.append(ledger.Conflict(arrived=fact, recorded=recorded))
        posted = ledger.post(self.tx, batch, NOW)
        assert list(posted.conflicts) == lies, "every lie is told of, beside what was recorded, and nothing else is"
        assert posted.new == len(after) - len(self.facts)
        self.facts = after

    @rule(data=st.data())
    def say_again(self, data: st.DataObject) -> None:
        """Everything known, in any order and twice: nothing changes."""
        if self.facts:
            again = data.draw(st.permutations([*self.facts.values()]))
            assert ledger.post(self.tx, [*again, *again], NOW) == ledger.Posted(new=0)

    @rule(data=st.data())
    def lie(self, data: st.DataObject) -> None:
        """One known fact with one more unit, among true and new ones."""
        if self.facts:
            known = data.draw(st.sampled_from([*self.facts.values()]))
            self.post([*self.facts.values(), msgspec.structs.replace(known, quantity=known.quantity + 1)])

    @invariant()
    def balances_are_sums(self) -> None:
        sums: Counter[tuple[str, str, str]] = Counter()
        for m in self.facts.values():
            sums[m.sku, m.from_location, m.from_state.value] -= m.quantity
            sums[m.sku, m.to_location, m.to_state.value] += m.quantity
        found = {(r.sku, r.location, r.state): r.quantity for r in self.tx.all(BALANCES) if r.quantity}
        assert found == {key: units for key, units in sums.items() if units}
        assert self.tx.value(COUNT) == len(self.facts)
        assert ledger.balances_that_differ(self.tx) == []
        assert ledger.skus_that_do_not_sum_to_zero(self.tx) == []


@pytest.mark.usefixtures("alone")
def test_facts_are_kept_once_and_balances_are_their_sum() -> None:
    holds(Ledger, 60, 25)


@pytest.mark.usefixtures("alone")
def test_a_ledger_that_tells_of_no_lie_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    post = ledger.post

    def believing(*args: Any) -> ledger.Posted:
        return ledger.Posted(new=post(*args).new)

    monkeypatch.setattr(ledger, "post", believing)
    with pytest.raises(AssertionError, match="every lie is told of"):
        tried(Ledger, 25)
