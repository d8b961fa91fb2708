"""Units of lines cancelled at either side, and changes that move no goods, on a real database, one step at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.suites.orders_life import CHAIR, SET, TABLE, Life, play, shipment
from tests.suites.test_returns import lines

from sellable.book import book
from sellable.domain.orders import Address, Order
from sellable.runtime.database import Store


def without(order: Order, units: dict[str, int], *, version: int = 2, **changes: Any) -> Order:
    """The order at a version at which the storefront has cancelled so many units of lines (by id), all told."""
    goods = tuple(msgspec.structs.replace(x, cancelled=units.get(x.line_id, 0)) for x in order.lines)
    return msgspec.structs.replace(order, version=version, lines=goods, **changes)


async def exported(life: Life, *goods: tuple[str, int]) -> Order:
    order = life.order(*goods)
    await life.take(order)
    await life.steps()
    assert await life.stage() == "exported"
    return order


def units_of(life: Life, sale: str = "sale-1") -> dict[str, int]:
    return dict(life.office.sales[sale]["lines"])


async def case_of(life: Life, kind: str) -> Any:
    from sellable.desk import cases

    return next(c for c in await life.store.read(cases.listing) if c.kind == kind)


def test_a_unit_cancelled_before_export_is_released_at_once_and_never_exported(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        assert await life.shown() == 7
        await life.take(without(order, {"l1": 1}, payment_state="Paid"))
        assert (await life.shown(), await lines(life)) == (8, {CHAIR: (3, 0, 1, 0)})
        await life.steps()
        assert units_of(life) == {CHAIR: 2}
        assert life.office.sales["sale-1"]["totals"].gross == 238
        assert (await life.stage(), await life.cases()) == ("exported", {"refund_due"})
        found = await case_of(life, "refund_due")
        assert (found.actual["minor units"], found.actual["lines"]) == (119, [["l1", CHAIR, 1]])

    play(store, story, orders={"trigger": "paid"})


def test_a_unit_cancelled_after_export_stays_subtracted_until_it_is_seen_free(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        await life.count(ARMCHAIR=7)
        assert await life.shown() == 7
        await life.take(without(order, {"l1": 1}))
        assert await life.shown() == 4  # Whatever we do to the sale may free what it holds.
        assert await lines(life) == {CHAIR: (3, 0, 0, 0)}
        await life.steps()
        assert (units_of(life), await life.stage()) == ({CHAIR: 2}, "exported")
        assert await lines(life) == {CHAIR: (3, 0, 1, 0)}
        assert await life.shown() == 4  # The page is older than the sale as it is now.
        await life.count(ARMCHAIR=8)
        assert await life.shown() == 8
        assert life.office.live() == ["sale-1"]
        assert life.office.calls.count("create") == 1

    play(store, story)


def test_a_unit_cancelled_while_the_sale_is_made_is_compared_before_it_is_authorised(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.until("sale.create")
        await life.take(without(order, {"l1": 1}))
        done = [kind for kind in await life.steps() if kind.startswith("sale.") and kind != "sale.visible"]
        assert done == ["sale.lines", "sale.reduce", "sale.lines", "sale.authorise"]
        assert (units_of(life), await life.stage(), await life.cases()) == ({CHAIR: 2}, "exported", {"refund_due"})
        assert life.office.calls.count("authorise") == 1
        await life.count(ARMCHAIR=8)
        assert await life.shown() == 8

    play(store, story)


@pytest.mark.parametrize("how", ["picked", "shipped"])
def test_a_unit_cancelled_too_late_stays_promised_and_is_a_case(store: Store, how: str) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        await life.count(ARMCHAIR=7)
        sale = life.office.sales["sale-1"]
        if how == "picked":
            sale["picked"] = True
        else:
            sale["shipments"] = [shipment("t1", {CHAIR: 3})]
            await life.read_sale("sale-1")
        await life.take(without(order, {"l1": 1}))
        await life.steps()
        await life.read_sale("sale-1")
        await life.steps()
        await life.count(ARMCHAIR=7)
        assert units_of(life) == {CHAIR: 3}
        assert {"cancel_too_late", "refund_due"} <= await life.cases()
        assert await life.shown() == 7
        assert await lines(life) == {CHAIR: (3, 3 if how == "shipped" else 0, 0, 0)}

    play(store, story)


@pytest.mark.parametrize("how", ["picked", "shipped"])
def test_a_unit_that_staff_had_taken_off_before_they_picked_is_not_too_late(store: Store, how: str) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        sale = life.office.sales["sale-1"]
        sale["lines"] = [(CHAIR, 2)]
        if how == "picked":
            sale["picked"] = True
        else:
            sale["shipments"] = [shipment("t1", {CHAIR: 2})]
        await life.read_sale("sale-1")
        await life.steps()
        await life.take(without(order, {"l1": 1}))
        await life.steps()
        await life.read_sale("sale-1")
        await life.steps()
        await life.count(ARMCHAIR=8)
        assert await lines(life) == {CHAIR: (3, 2 if how == "shipped" else 0, 1, 0)}
        assert "cancel_too_late" not in await life.cases()
        assert (await life.shown(), units_of(life)) == (8, {CHAIR: 2})
        assert "void" not in life.office.calls

    play(store, story)


def test_the_last_unit_of_a_sale_voids_it(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        await life.take(without(order, {"l1": 3}))
        await life.steps()
        assert (await life.stage(), life.office.live()) == ("cancelled", [])
        assert await lines(life) == {CHAIR: (3, 0, 3, 0)}
        await life.count(ARMCHAIR=10)
        assert await life.shown() == 10

    play(store, story)


def test_every_unit_cancelled_before_export_ends_the_order(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.take(without(order, {"l1": 3}))
        assert (await life.stage(), await life.shown()) == ("cancelled", 10)
        await life.take(without(order, {"l1": 3}, version=3, payment_state="Paid"))
        assert await life.steps() == []

    play(store, story, orders={"trigger": "paid"})


def test_of_two_sales_only_the_one_that_gives_up_units_is_touched(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=3, ARMCHAIR__Hamburg=4)
        order = await exported(life, (CHAIR, 6))
        before = {n: units_of(life, f"sale-{n}")[CHAIR] for n in (1, 2)}
        await life.take(without(order, {"l1": 1}))
        await life.steps()
        after = {n: units_of(life, f"sale-{n}")[CHAIR] for n in (1, 2)}
        assert after == {1: before[1], 2: before[2] - 1}
        assert (await life.stage(), await life.parts()) == ("exported", {1: "authorised", 2: "authorised"})

    play(store, story)


def test_units_cancelled_one_after_another_before_anything_was_done_void_the_sale_in_the_end(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        for version, units in ((2, 1), (3, 2), (4, 3)):
            await life.take(without(order, {"l1": units}, version=version))
        await life.steps()
        assert (await life.stage(), life.office.live()) == ("cancelled", [])
        await life.count(ARMCHAIR=10)
        assert (await life.shown(), await lines(life)) == (10, {CHAIR: (3, 0, 3, 0)})

    play(store, story)


def test_a_whole_cancel_overtakes_a_smaller_sale(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        await life.take(without(order, {"l1": 1}))
        await life.cancel(order)
        await life.steps()
        assert (await life.stage(), life.office.live()) == ("cancelled", [])
        await life.count(ARMCHAIR=10)
        assert await life.shown() == 10

    play(store, story)


def test_a_sale_read_while_it_is_made_smaller_is_no_deed_of_staff(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))

        async def read() -> None:
            await life.read_sale("sale-1")

        life.office.during["void"] = read
        await life.take(without(order, {"l1": 1}))
        await life.steps()
        assert (units_of(life), await life.stage(), await life.cases()) == ({CHAIR: 2}, "exported", {"refund_due"})

    play(store, story)


def test_a_kit_gives_its_components_back(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        order = await exported(life, (SET, 3))
        await life.take(without(order, {"l1": 1}))
        await life.steps()
        assert units_of(life) == {SET: 2}
        await life.count(ARMCHAIR=6, TABLE=4)
        assert (await life.shown(CHAIR), await life.shown(TABLE)) == (6, 4)
        life.office.sales["sale-1"]["shipments"] = [shipment("t1", {CHAIR: 4, TABLE: 2})]
        await life.read_sale("sale-1")
        await life.steps()
        assert await lines(life) == {SET: (3, 2, 1, 0)}
        assert await life.stage() == "shipped"

    play(store, story)


def test_what_the_storefront_says_again_is_asked_once(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        for version in (2, 3):
            await life.take(without(order, {"l1": 1}, version=version))
        assert (await life.steps()).count("sale.reduce") == 1
        await life.take(without(order, {"l1": 2}, version=4))
        await life.steps()
        assert (units_of(life), await lines(life)) == ({CHAIR: 1}, {CHAIR: (3, 0, 2, 0)})

    play(store, story)


def test_an_undo_nobody_saw_the_answer_of_is_looked_at_and_not_lost(store: Store) -> None:
    from sellable.runtime.http import OutcomeLost

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        life.office.lost["void"] = [OutcomeLost("gone")]
        await life.take(without(order, {"l1": 1}))
        await life.steps()
        assert (units_of(life), await life.stage()) == ({CHAIR: 2}, "exported")
        assert await lines(life) == {CHAIR: (3, 0, 1, 0)}

    play(store, story)


def test_a_restored_hold_goes_on_with_fewer_units(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.surcharge = 1
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.steps()
        await life.take(without(order, {"l1": 1}))
        await life.steps()
        assert (await life.stage(), await life.parts()) == ("held", {1: "held"})
        life.office.surcharge = 0
        from sellable.orders import capture

        assert await life.store.write(capture.retry, "o1", life.clock.now(), life.context)
        await life.steps()
        assert (units_of(life), await life.stage()) == ({CHAIR: 2}, "exported")

    play(store, story)


# --- Staff at the back office ----------------------------------------------------------------------------------------

CANCELS = {"staff_cancels": True}


def test_units_staff_take_off_a_sale_are_cancelled_everywhere_when_the_settings_say_so(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await exported(life, (CHAIR, 3), (TABLE, 1))
        await life.count(ARMCHAIR=7, TABLE=5)
        life.office.sales["sale-1"]["lines"] = [(CHAIR, 2), (TABLE, 1)]
        await life.read_sale("sale-1")
        await life.steps()
        assert life.shop.cancelled == {"l1": 1}
        assert await lines(life) == {CHAIR: (3, 0, 1, 0), TABLE: (1, 0, 0, 0)}
        assert await life.cases() == {"refund_due"}
        await life.count(ARMCHAIR=8, TABLE=5)
        assert (await life.shown(), await life.shown(TABLE)) == (8, 5)
        # What the storefront then says itself is no further cancel.
        await life.take(without(life.order((CHAIR, 3), (TABLE, 1)), {"l1": 1}, version=9))
        assert "sale.reduce" not in await life.steps()

    play(store, story, orders=CANCELS)


def test_a_line_that_staff_took_off_wholly_leaves_the_others_as_they_are(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await exported(life, (CHAIR, 3), (TABLE, 2))
        await life.count(ARMCHAIR=7, TABLE=4)
        for left in ([(TABLE, 2)], [(TABLE, 1)]):
            life.office.sales["sale-1"]["lines"] = left
            await life.read_sale("sale-1")
            await life.steps()
        assert life.shop.cancelled == {"l1": 3, "l2": 1}
        assert await lines(life) == {CHAIR: (3, 0, 3, 0), TABLE: (2, 0, 1, 0)}
        assert await life.cases() == {"refund_due"}
        await life.count(ARMCHAIR=10, TABLE=5)
        assert (await life.shown(), await life.shown(TABLE)) == (10, 5)

    play(store, story, orders=CANCELS)


def test_a_sale_staff_void_cancels_the_order_when_the_settings_say_so(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await exported(life, (CHAIR, 3))
        life.office.sales["sale-1"]["status"] = "voided"
        await life.read_sale("sale-1")
        await life.steps()
        assert (await life.stage(), life.shop.states[-1]) == ("cancelled", "Canceled")
        assert await lines(life) == {CHAIR: (3, 0, 3, 0)}
        await life.count(ARMCHAIR=10)
        assert await life.shown() == 10

    play(store, story, orders=CANCELS)


def test_without_a_state_of_that_meaning_a_person_tells_the_customer(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.shop.can_cancel = False
        await exported(life, (CHAIR, 3))
        life.office.sales["sale-1"]["lines"] = [(CHAIR, 2)]
        await life.read_sale("sale-1")
        await life.steps()
        assert await life.cases() == {"refund_due", "line_cancelled"}
        assert await lines(life) == {CHAIR: (3, 0, 1, 0)}

    play(store, story, orders=CANCELS)


def test_otherwise_a_person_is_asked_and_the_units_stay_promised(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await exported(life, (CHAIR, 3))
        life.office.sales["sale-1"]["lines"] = [(CHAIR, 2)]
        await life.read_sale("sale-1")
        await life.steps()
        assert await life.cases() == {"sale_changed_by_staff"}
        assert await lines(life) == {CHAIR: (3, 0, 0, 0)}
        await life.count(ARMCHAIR=8)
        assert await life.shown() == 7

    play(store, story)


# --- What moves no goods ---------------------------------------------------------------------------------------------

ELSEWHERE = Address(name="Ada L", line1="Gasse 2", city="Wien", postcode="1010", country="AT")


def test_another_address_reaches_the_sale_until_it_is_picked(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        await life.take(msgspec.structs.replace(order, version=2, shipping_address=ELSEWHERE))
        assert await life.steps() == ["sale.header"]
        assert life.office.sales["sale-1"]["header"].shipping_address == ELSEWHERE
        assert await life.cases() == set()
        life.office.sales["sale-1"]["picked"] = True
        await life.take(
            msgspec.structs.replace(order, version=3, shipping_address=Address(line1="Nowhere", country="DE"))
        )
        await life.steps()
        assert life.office.sales["sale-1"]["header"].shipping_address == ELSEWHERE
        found = await case_of(life, "change_too_late")
        assert (found.expected["in version"], found.actual["newest version"]) == (3, 3)

    play(store, story)


def test_an_address_changed_before_the_sale_is_made_is_made_with_it(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.take(msgspec.structs.replace(order, version=2, shipping_address=ELSEWHERE))
        await life.steps()
        (part,) = await life.store.read(lambda tx: tx.all(book.sql.read_parts, order_id="o1"))
        assert part.draft["shipping_address"]["city"] == "Wien"
        assert life.office.sales["sale-1"]["header"].shipping_address == ELSEWHERE

    play(store, story)


def test_payment_that_comes_later_is_told_with_its_version(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await exported(life, (CHAIR, 3))
        await life.take(msgspec.structs.replace(order, version=2, payment_state="Paid"))
        assert await life.steps() == []
        assert "payment changed" in await life.story()

    play(store, story)
