"""Units of one order's lines, cancelled, shipped and sent back in any order, while answers get lost.

The reference is a sheet with a row for each line: how many were ordered, left, came back, and are still on the sale at
the back office. In the end the book says the same, the storefront was told each unit once, and what exceeds the rule of
conservation has its case.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from tests.properties.machines import InLife, holds, tried
from tests.suites.orders_life import CHAIR, TABLE, shipment

from sellable.book import book
from sellable.connectors.port import Unavailable
from sellable.desk import cases
from sellable.domain.orders import GoodsReturn, ReturnedGoods
from sellable.domain.stock import State
from sellable.orders import lines as cancelled_lines
from sellable.orders import pieces

pytestmark = pytest.mark.usefixtures("emptied")
STOCK = 40
ORDERED = {"l1": (CHAIR, 4), "l2": (TABLE, 3)}
LINES = st.sampled_from(sorted(ORDERED))
STATES = st.sampled_from([State.INSPECTION, State.AVAILABLE, State.DAMAGED])
CALLS = st.sampled_from(["void", "lines", "authorise", "read"])


class Lines(InLife):
    def __init__(self) -> None:
        super().__init__(orders={"staff_cancels": True})
        self.order = self.life.order(*ORDERED.values())
        self.gone: Counter[str] = Counter()
        self.shipped: Counter[str] = Counter()
        self.back: Counter[str] = Counter()
        self.version = 1
        self.do(self._begin())

    async def _begin(self) -> None:
        await self.life.begin(ARMCHAIR=STOCK, TABLE=STOCK)
        await self.life.take(self.order)

    @property
    def sale(self) -> dict[str, Any] | None:
        """The order's authorised sale."""
        return next((s for s in self.life.office.sales.values() if s["status"] == "authorised"), None)

    def units(self, line: str) -> int:
        """Units of a line on the sale."""
        return sum(n for sku, n in self.sale["lines"] if sku == ORDERED[line][0]) if self.sale else 0

    # --- What people do ----------------------------------------------------------------------------------------------

    @rule(line=LINES, units=st.integers(1, 2))
    def storefront_cancels(self, line: str, units: int) -> None:
        self.gone[line] = min(ORDERED[line][1], self.gone[line] + units)
        self.version += 1
        self.do(self._told())

    @rule()
    def told_again(self) -> None:
        self.do(self._told())

    async def _told(self) -> None:
        """The order as the storefront has it, with what we told it ourselves."""
        told = self.life.shop.cancelled
        goods = tuple(
            msgspec.structs.replace(x, cancelled=max(self.gone[x.line_id], told.get(x.line_id, 0)))
            for x in self.order.lines
        )
        await self.life.take(msgspec.structs.replace(self.order, version=self.version, lines=goods))

    @precondition(lambda self: self.sale and not self.sale.get("shipments"))
    @rule(line=LINES)
    def staff_take_one_off(self, line: str) -> None:
        if self.sale and self.units(line):
            lines = [(sku, n - (sku == ORDERED[line][0])) for sku, n in self.sale["lines"]]
            self.sale["lines"] = [(sku, n) for sku, n in lines if n]

    @precondition(lambda self: self.sale is not None)
    @rule(line=LINES, units=st.integers(1, 2), more=st.integers(0, 4))
    def ships(self, line: str, units: int, more: int) -> None:
        """Some units leave; now and then one more than the sale has."""
        sale, sku = self.sale, ORDERED[line][0]
        assert sale is not None
        count = min(units, self.units(line) - self.shipped[line]) + (not more)
        if count > 0 and self.units(line):
            self.shipped[line] += count
            name, parcel = f"t{self.shipped.total()}", f"p{line}{self.shipped[line]}"
            sale.setdefault("shipments", []).append(shipment(name, {sku: count}, parcel))

    @precondition(lambda self: self.shipped)
    @rule(line=LINES, units=st.integers(1, 2), state=STATES)
    def sent_back(self, line: str, units: int, state: State) -> None:
        if self.sale is None or not self.units(line):
            return
        sku = ORDERED[line][0]
        self.back[line] += units
        found = self.sale.setdefault("returns", [])
        goods = ReturnedGoods(sku=sku, units=units, location="Berlin", state=state)
        found.append(GoodsReturn(return_id=f"r{len(found)}", number="", items=((sku, units, ""),), stock=(goods,)))

    # --- Our machine -------------------------------------------------------------------------------------------------

    @rule(call=CALLS, lost=st.booleans())
    def step(self, call: str, lost: bool) -> None:
        """The next operation; the answer of the next call of this name may get lost."""
        office = self.life.office
        office.lost = {call: [Unavailable("500")]} if lost else {}
        self.do(self.life.step())
        office.lost = {}

    @rule(steps=st.integers(2, 8))
    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.do(self.life.step())

    @rule()
    def read(self) -> None:
        for sale_id in list(self.life.office.sales):
            self.do(self.life.read_sale(sale_id))

    # --- In the end --------------------------------------------------------------------------------------------------

    async def judged(self) -> None:
        life = self.life
        await self.quiet(4)
        await life.steps(200)
        rows = {r.line_id: r for r in await life.store.read(lambda tx: tx.all(book.sql.lines_of, order_id="o1"))}
        kinds = {c.kind for c in await life.store.read(cases.listing)}
        where = (rows, self.sale, self.gone, self.shipped, self.back, kinds, life.office.calls)
        for line, (_, ordered) in ORDERED.items():
            row = rows[line]
            assert row.shipped == self.shipped[line], ("units that left", *where)
            assert row.returned == self.back[line], ("units that came back", *where)
            assert 0 <= row.cancelled <= ordered, ("cancelled units", *where)
            assert row.cancelled == ordered - self.units(line), ("units that the sale does not have", *where)
            assert row.asked >= self.gone[line], ("units asked to be cancelled", *where)
            if row.cancelled < self.gone[line]:
                assert "cancel_too_late" in kinds, ("a cancel that nothing came of", *where)
        for broken in await life.store.read(book.lines_that_differ):
            assert not broken.over_shipped or kinds & {"over_shipped", "cancel_too_late"}, where
            assert not broken.over_returned or "over_returned" in kinds, where
        self._told_once(where)
        taken = {sku: self.units(line) for line, (sku, _) in ORDERED.items()}
        await life.count(**{sku: STOCK - units for sku, units in taken.items()})
        for sku, units in taken.items():
            assert await life.shown(sku) == STOCK - units, (sku, where)

    def _told_once(self, where: object) -> None:
        delivered: Counter[str] = Counter()
        for delivery in self.life.shop.deliveries:
            delivered.update(dict(delivery.items))
        assert +delivered == +self.shipped, (delivered, where)
        items = {draft.key: (draft.line_id, draft.units) for draft in self.life.shop.returns}
        returned: Counter[str] = Counter()
        for line, units in items.values():
            returned[line] += units
        assert +returned == +self.back, (returned, where)


@pytest.mark.timeout(300)
def test_lines_are_conserved_whatever_happens_in_which_order() -> None:
    holds(Lines, 10, 30)


def test_a_cancel_that_no_sale_follows_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelled_lines, "place", lambda *args: [])
    with pytest.raises(AssertionError, match="a cancel that nothing came of"):
        tried(Lines, 20)


def test_returns_that_are_clipped_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pieces.on_lines

    def clipped(arrived: Any, lines: Any) -> Any:
        placed, over, strange = whole(arrived, lines)
        return placed[:-1], over, strange

    monkeypatch.setattr(pieces, "on_lines", clipped)
    with pytest.raises(AssertionError, match="units that came back"):
        tried(Lines, 40)
