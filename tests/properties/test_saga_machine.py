"""Orders on their way into a back office that loses answers, keeps late drafts and has staff of its own (R30 to R33).

The reference is what a person with a sheet of paper would know: which orders live, what each wants, and what staff or
a parcel did to its sale. Never two live sales for an order; in the end exactly one, or none if it was cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.properties.machines import InLife, holds, tried
from tests.suites.orders_life import CHAIR, LANES, Office, shipment

from sellable.app.duties import carried, looked
from sellable.connectors.port import Unavailable
from sellable.domain.orders import Order
from sellable.orders import cancel, export
from sellable.runtime import operations
from sellable.runtime.http import NotSent

pytestmark = pytest.mark.usefixtures("emptied")
STOCK = 40
CALLS = ["create", "lines", "authorise", "find", "read", "void"]
FATES = ["fine", "fine", "lost after", "lost before", "not sent"]


@dataclass
class Sheet:
    """What the person knows of one order."""

    order: Order
    units: int
    cancelled: bool = False
    shipped: bool = False
    undone_by_staff: bool = False


class Saga(InLife):
    def __init__(self) -> None:
        super().__init__()
        self.sheets: list[Sheet] = []
        self.do(self.life.begin(ARMCHAIR=STOCK))

    def some(self, data: st.DataObject, **wanted: bool) -> Sheet | None:
        found = [s for s in self.sheets if all(getattr(s, k) is v for k, v in wanted.items())]
        return data.draw(st.sampled_from(found)) if found else None

    def sale_of(self, sheet: Sheet) -> str | None:
        """The order's authorised sale."""
        ref = f"shop:{sheet.order.order_id}:1"
        sales = self.life.office.sales
        return next((k for k, s in sales.items() if s["ref"] == ref and s["status"] == "authorised"), None)

    # --- The storefront ----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.sheets) < 3)
    @rule(units=st.integers(1, 3))
    def order(self, units: int) -> None:
        order = self.life.order((CHAIR, units), order_id=f"o{len(self.sheets)}")
        self.sheets.append(Sheet(order, units))
        self.do(self.life.take(order))

    @rule(data=st.data())
    def told_again(self, data: st.DataObject) -> None:
        if sheet := self.some(data):
            self.do(self.life.take(sheet.order))

    @rule(data=st.data())
    def cancelled(self, data: st.DataObject) -> None:
        if sheet := self.some(data, cancelled=False):
            sheet.cancelled = True
            self.do(self.life.cancel(sheet.order))

    # --- Our machine -------------------------------------------------------------------------------------------------

    @rule(call=st.sampled_from(CALLS), fate=st.sampled_from(FATES))
    def step(self, call: str, fate: str) -> None:
        """The next operation; the next call of this name meets its fate."""
        office = self.life.office
        office.during, office.lost = {}, {}
        before = {k: dict(s) for k, s in office.sales.items()}

        async def undo() -> None:
            office.sales.clear()
            office.sales.update(before)

        if fate == "lost before":
            office.during[call] = undo
        if fate.startswith("lost"):
            office.lost[call] = [Unavailable("500")]
        elif fate == "not sent":
            office.during[call], office.lost[call] = undo, [NotSent("no connection")]
        self.do(self.life.step())
        office.during, office.lost = {}, {}

    @rule(steps=st.integers(1, 6))
    def go_on(self, steps: int) -> None:
        """Some operations without trouble."""
        for _ in range(steps):
            self.step("", "fine")

    @rule(units=st.integers(1, 3), steps=st.integers(2, 6))
    def order_and_go_on(self, units: int, steps: int) -> None:
        if len(self.sheets) < 3:
            self.order(units)
        self.go_on(steps)

    @rule(data=st.data(), sends=st.booleans())
    def die(self, data: st.DataObject, sends: bool) -> None:
        """A process claims, perhaps sends, and ends; the next one finds its leases."""
        self.do(self._die(data.draw(st.sampled_from(sorted(LANES))), sends))

    async def _die(self, system: str, sends: bool) -> None:
        life = self.life
        day = life.clock.now() + timedelta(days=1)
        claimed = await life.store.write(operations.claim, system, LANES[system], "dead", 600.0, day, 1)
        if claimed and sends:
            send, resolve, _ = life.duties[claimed[0].kind]
            look = looked(resolve)
            await (look if claimed[0].was_unknown and look else carried(send))(claimed[0])
        await life.store.write(operations.disown, "dead")

    # --- The back office ---------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def late_draft(self, data: st.DataObject) -> None:
        """A header whose answer was given up long ago takes effect."""
        if sheet := self.some(data):
            self.life.office.add(f"shop:{sheet.order.order_id}:1")

    @rule(data=st.data(), void=st.booleans())
    def staff_undo(self, data: st.DataObject, void: bool) -> None:
        sheet = self.some(data, cancelled=False, shipped=False)
        if sheet and (sale := self.sale_of(sheet)):
            sheet.undone_by_staff = True
            self.life.office.sales[sale]["status"] = "voided" if void else "draft"

    @rule(data=st.data())
    def ships(self, data: st.DataObject) -> None:
        sheet = self.some(data, shipped=False)
        if sheet and (sale := self.sale_of(sheet)):
            sheet.shipped = True
            self.life.office.sales[sale]["shipments"] = [shipment(f"{sale}-1", {CHAIR: sheet.units})]

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        sheet = self.some(data)
        if sheet and (sale := self.sale_of(sheet)):
            self.do(self.life.read_sale(sale))

    # --- The rules ---------------------------------------------------------------------------------------------------

    @invariant()
    def never_two_sales(self) -> None:
        refs = [s["ref"] for s in self.life.office.sales.values() if s["status"] == "authorised"]
        assert len(refs) == len(set(refs)), ("two sales of one order", refs)

    async def judged(self) -> None:
        life = self.life
        await self.quiet(3)
        taken = sum(units for s in life.office.sales.values() if s["status"] == "authorised" for _, units in s["lines"])
        await life.count(ARMCHAIR=STOCK - taken)
        sold = 0
        for sheet in self.sheets:
            sale = self.sale_of(sheet)
            stage = await life.stage(sheet.order.order_id)
            where = (sheet, stage, life.office.sales, life.office.calls)
            if sheet.cancelled and not sheet.shipped:
                assert (sale, stage) == (None, "cancelled"), ("a cancelled order", *where)
                continue
            sold += sheet.units
            if sheet.undone_by_staff and sale is None:
                assert stage in ("held", "exporting", "exported"), where
                continue
            assert sale is not None, ("an order without a sale", *where)
            assert life.office.sales[sale]["lines"] == [(CHAIR, sheet.units)], ("another sale than the order", *where)
            assert stage == ("shipped" if sheet.shipped else "exported"), ("an order that stays behind", *where)
        assert await life.shown() <= STOCK - sold


def test_one_sale_an_order_whatever_happens() -> None:
    holds(Saga, 25, 25)


MISTAKES = {
    "void forgotten": "a cancelled order|an order that stays behind",
    "cancel forgotten": "a cancelled order",
    "header that allocates, sent again blindly": "another sale than the order|two sales of one order",
}
"""What is done wrong, and the words in which it is found out."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_with_sales_are_found_out(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    async def nothing(self: Any, op: Any) -> Any:
        return operations.Done({})

    async def unseen(self: Any, op: Any) -> Any:
        return operations.NotApplied("nobody looked")

    async def none(self: Any, ref: str) -> None:
        return None

    async def at_once(self: Office, draft: Any, *, lane: str) -> str:
        sale_id = self.add(draft.ref, "authorised", draft.location)
        await self._called("create")
        return sale_id

    if mistake == "void forgotten":
        monkeypatch.setattr(cancel.Voiding, "send", nothing)
    elif mistake == "cancel forgotten":
        monkeypatch.setattr(cancel, "begin", lambda *a: None)
    else:
        monkeypatch.setattr(Office, "create_draft", at_once)
        monkeypatch.setattr(export.Exporting, "search", unseen)
        monkeypatch.setattr(export.Exporting, "_found", none)
    with pytest.raises(AssertionError, match=MISTAKES[mistake]):
        tried(Saga, 30)
