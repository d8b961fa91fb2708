"""One entry and its writer against a naive account of both sides (R10 to R14, R19 to R21).

The storefront sells by itself, loses answers and lets writes arrive late; we capture orders late, die and start again.
Nobody else sells, so the shop must never show more than there is, and E must be what a plain sum says.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.properties.machines import InStore, holds, tried
from tests.suites.test_writer import Q_OPEN, Desk, Shop

from sellable.runtime.database import Tx
from sellable.runtime.operations import Done
from sellable.stock import numbers
from sellable.sync import writer

pytestmark = pytest.mark.usefixtures("emptied")
FATES = ["fine", "fine", "fine", "lost before", "lost after", "late", "limited"]
FACTS = "SELECT coalesce(sum(quantity), 0)::bigint FROM entry_fact WHERE kind <> 'baseline'"


class Writer(InStore):
    def __init__(self) -> None:
        super().__init__()
        self.names = count()
        self.supply = self.e = 8
        self.sold = self.known = 0
        self.unseen: list[tuple[str, int]] = []
        self.desk = Desk(self.store, Shop(quantity=8))
        self.desk.see()
        self.desk.base(8, f"s{next(self.names)}")

    @property
    def shop(self) -> Shop:
        return self.desk.shop

    def open(self) -> int:
        return int(self.store.read_now(lambda tx: tx.value(Q_OPEN)))

    # --- The shop ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.shop.quantity > 0)
    @rule(units=st.integers(1, 4), bump=st.booleans())
    def order(self, units: int, bump: bool) -> None:
        units = min(units, self.shop.quantity)
        self.shop.order(units, bump=bump)
        self.sold += units
        self.unseen.append((f"o{next(self.names)}", units))

    @rule()
    def arrive_late(self) -> None:
        self.shop.arrive_late()

    # --- What we learn -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.unseen)
    @rule(twice=st.booleans())
    def capture(self, twice: bool) -> None:
        name, units = self.unseen.pop(0)
        self.known += units
        self.e -= units
        for _ in range(1 + twice):
            self.desk.capture(name, units)

    @rule(units=st.integers(-6, 6))
    def count(self, units: int) -> None:
        """The master has more, or less; but what the shop shows, or will with what is on its way, is still there."""
        on_its_way = sum(max(0, write.difference) for write in self.shop.delayed)
        self.supply = max(self.supply + units, self.sold + self.shop.quantity + on_its_way)
        self.desk.base(self.supply, f"s{next(self.names)}")

    @rule()
    def see(self) -> None:
        self.desk.see()

    # --- What we do --------------------------------------------------------------------------------------------------

    @rule(fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=2))
    def write(self, fates: list[str]) -> None:
        d, _ = self.desk.plan()
        if not d:
            return
        self.shop.fate = list(fates)
        picked = self.desk.pick(raises=d > 0)
        if picked.operations:
            self._settled(self.desk.send(picked), picked.writes[0].difference)
        self.shop.fate = []

    @rule(units=st.integers(1, 6), fate=st.sampled_from(["lost before", "late"]))
    def raise_that_is_taken_back(self, units: int, fate: str) -> None:
        """Goods come in, their raise meets its fate, and the goods are gone again."""
        self.count(units)
        self.write([fate])
        self.count(-units)

    @rule(fate=st.sampled_from(FATES))
    def die_while_writing(self, fate: str) -> None:
        """The write leaves, its answer finds nobody; whoever starts next resolves it."""
        d, _ = self.desk.plan()
        picked = self.desk.pick(raises=d > 0) if d else None
        if picked is not None and picked.operations:
            self.shop.fate = [fate]
            asyncio.run(self.shop.write(picked.writes, lane="writes"))
            self.shop.fate = []

    @precondition(lambda self: self.open() > 0)
    @rule(fate=st.sampled_from(FATES), arrives=st.booleans())
    def resolve(self, fate: str, arrives: bool) -> None:
        self.shop.fate = [fate]
        before = self._facts()
        outcome = self.desk.resolve()
        self.shop.fate = []
        if isinstance(outcome, Done):
            # Which copy won is what the resolver says; that it is right shows in the shop's own number.
            self.e += self._facts() - before
        if arrives:
            self.shop.arrive_late()

    def _facts(self) -> int:
        row = self.watch.execute(FACTS).fetchone()
        assert row is not None
        return int(row[0])

    def _settled(self, outcomes: list[Any], difference: int) -> None:
        if isinstance(outcomes[0], Done):
            self.e += difference

    # --- The rules ---------------------------------------------------------------------------------------------------

    @invariant()
    def never_more_than_there_is(self) -> None:
        where = ("more than there is", self.shop.quantity, self.supply, self.sold)
        assert self.shop.quantity <= self.supply - self.sold, where

    @invariant()
    def one_write_at_a_time(self) -> None:
        assert self.open() <= 1

    @invariant()
    def numbers_are_plain_sums(self) -> None:
        t, e, _ = self.desk.numbers()
        assert t == max(0, self.supply - self.known)
        assert e == self.e

    @invariant()
    def without_unknown_ends_e_is_the_shop_once_all_is_captured(self) -> None:
        if not self.open() and not self.unseen:
            assert self.e == self.shop.quantity

    def teardown(self) -> None:
        """Quiet: everything on its way arrives, everything sold is captured; then all numbers are one."""
        while self.unseen:
            self.capture(False)
        self.shop.arrive_late()
        while self.open():
            self.resolve("fine", False)
        self.desk.see()
        for _ in range(4):
            self.write(["fine"])
        assert self.desk.numbers() == (self.supply - self.sold,) * 3, "in the end all numbers are one"


def test_nothing_is_oversold_and_e_is_a_plain_sum() -> None:
    holds(Writer, 25, 20)


MISTAKES = {
    "absolute writes": "more than there is",
    "no marker": "in the end all numbers are one",
    "the same raise again": "more than there is",
}
"""What is done wrong, and the words in which it is found out."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_of_a_writer_are_found_out(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    def dead(op_id: str, payload: dict[str, Any], seen: Any) -> str:
        return writer.ALIVE if seen.version == payload["version"] else writer.DEAD

    def same(tx: Tx, op: Any, *_: Any) -> Any:
        return replace(op, payload=dict(tx.value(writer.sql.payload_now, id=op.id)))

    def absolute(tx: Any, skus: Any, layout: Any, now: Any, **values: Any) -> Any:
        """As if the shop still showed what it did when it was last read."""
        found = numbers.compute(tx, skus, layout, now, **values)
        return [msgspec.structs.replace(n, entry=msgspec.structs.replace(n.entry, e=n.entry.q)) for n in found]

    if mistake == "no marker":
        monkeypatch.setattr(writer, "judge_copies", dead)
    elif mistake == "the same raise again":
        monkeypatch.setattr(writer, "_next_copy", same)
    else:
        monkeypatch.setattr(writer, "numbers", SimpleNamespace(**vars(numbers) | {"compute": absolute}))
    with pytest.raises(AssertionError, match=MISTAKES[mistake]):
        tried(Writer, 25)
