"""Orders somebody else may have exported: one live sale each, taken over where it is there, and no guess which one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.suites.orders_life import CHAIR, TABLE, Life, play, shipment

from sellable.connectors.port import Refused, SaleRow
from sellable.desk import cases
from sellable.domain.orders import Order, OrderState, SyncInfo
from sellable.orders import adoption, capture
from sellable.runtime.database import Store

YOUNG = {"orders": {"adopt_minutes_after_birth": 10_000_000}}
ID = "0d3c1b5e-5b1f-4d0e-9f6e-1a2b3c4d5e6f"
OTHER_ID = "1d3c1b5e-5b1f-4d0e-9f6e-1a2b3c4d5e6f"


def older(life: Life, *lines: tuple[str, int], **changes: Any) -> Order:
    """An order from before `orders.start_at`."""
    return life.order(*lines, placed_at=life.settings.orders.start_at - timedelta(days=1), **changes)


async def again(life: Life) -> None:
    assert await life.store.write(capture.retry, "o1", life.clock.now(), life.context)
    await life.steps()


def test_a_sale_with_exactly_the_order_s_number_is_adopted_and_followed_to_the_parcel(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, ARMCHAIR__Hamburg=4)
        sale = life.office.add_foreign("N-o1", (CHAIR, 3), location="Hamburg")
        await life.take(life.order((CHAIR, 3)))
        assert await life.shown() == 11, "sold is sold, wherever its sale is"
        assert await life.steps() == ["sale.find"]
        await life.read_sale(sale)
        assert await life.steps() == ["order.note", "sale.visible"]
        assert (life.office.live(), life.shop.sync, await life.stage()) == ([sale], [sale], "exported")
        assert (await life.contained(), await life.cases()) == ({CHAIR: (0, 3)}, set())
        life.office.sales[sale]["shipments"] = [shipment("t1", {CHAIR: 3})]
        await life.read_sale(sale)
        await life.steps()
        assert [d.delivery_key for d in life.shop.deliveries] == ["t1"]

    play(store, story, **YOUNG)


@pytest.mark.parametrize("changes", [{"reference": "N-o10"}, {"reference": "n-o1"}, {"status": "voided"}])
def test_a_sale_that_is_only_like_it_is_not_taken_and_one_is_made(store: Store, changes: dict[str, Any]) -> None:
    """The back office finds parts of words, in any case of letters; a voided sale is none."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        strange = life.office.add_foreign("N-o1", (CHAIR, 3), **changes)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert life.office.calls[:3] == ["search", "find", "create"]
        assert ("sale-2" in life.office.live(), await life.stage()) == (True, "exported")
        assert life.office.sales[strange]["lines"] == [(CHAIR, 3)]

    play(store, story, **YOUNG)


def test_two_sales_with_the_same_number_are_a_case_until_one_is_left(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        first, second = [life.office.add_foreign("N-o1", (CHAIR, 3)) for _ in range(2)]
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert (await life.stage(), await life.cases(), await life.shown()) == ("held", {"two_sales_one_order"}, 7)
        (case,) = await life.store.read(cases.listing)
        assert case.actual == {"sales": [[each.upper(), "authorised", "Berlin"] for each in (first, second)]}
        await again(life)
        assert (await life.stage(), life.office.live()) == ("held", [first, second])
        life.office.sales[second]["status"] = "voided"
        await again(life)
        await life.read_sale(first)
        await life.steps()
        assert (await life.stage(), await life.cases(), life.office.live()) == ("exported", set(), [first])

    play(store, story, **YOUNG)


def test_what_another_system_noted_on_the_order_goes_before_its_number(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.add_foreign("N-o1", (CHAIR, 1))
        life.office.add_foreign("another", (CHAIR, 3), sale_id=ID)
        notes = (SyncInfo(channel="erp", external_id="4711"), SyncInfo(channel="old", external_id=f" {ID.upper()}"))
        await life.take(life.order((CHAIR, 3), sync=notes))
        await life.steps()
        await life.read_sale(ID)
        await life.steps()
        assert (await life.stage(), life.shop.sync, life.office.calls.count("search")) == ("exported", [ID], 0)

    play(store, story)


def test_a_note_that_names_no_sale_any_more_leads_to_the_number(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        sale = life.office.add_foreign("N-o1", (CHAIR, 3))
        life.office.add_foreign("N-o1", (CHAIR, 3), sale_id=ID, status="voided")
        notes = (SyncInfo(channel="old", external_id=f"{ID},{OTHER_ID}"),)
        await life.take(life.order((CHAIR, 3), sync=notes))
        await life.steps()
        assert life.office.calls == ["read", "read", "search"]
        await life.read_sale(sale)
        await life.steps()
        assert (await life.stage(), life.shop.sync) == ("exported", [sale])

    play(store, story)


def test_an_older_order_is_adopted_or_ignored_and_never_made(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        sale = life.office.add_foreign("N-o1", (CHAIR, 3))
        await life.take(older(life, (CHAIR, 3)))
        await life.take(older(life, (CHAIR, 2), order_id="o2"))
        assert await life.shown() == 10, "whoever exported them has their units in the number already"
        await life.steps()
        await life.read_sale(sale)
        await life.steps()
        await life.count(ARMCHAIR=10)
        assert (await life.stage(), await life.stage("o2")) == ("exported", "ignored")
        assert (life.office.live(), await life.shown(), await life.cases()) == ([sale], 10, set())

    play(store, story)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": OrderState.COMPLETE},
        {"state": OrderState.CANCELLED},
        {"shipment_state": "Shipped"},
        {"delivery_keys": ("theirs",)},
    ],
)
def test_an_older_order_whose_customer_was_told_already_is_left_alone(store: Store, changes: dict[str, Any]) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.add_foreign("N-o1", (CHAIR, 3))
        await life.take(older(life, (CHAIR, 3), **changes))
        assert (await life.steps(), await life.stage()) == ([], "ignored")

    play(store, story)


def test_somebody_else_s_draft_waits_for_a_person_whose_replay_completes_it(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        sale = life.office.add_foreign("N-o1", (TABLE, 1), status="draft")
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("held", {"sale_changed_by_staff"})
        assert life.office.sales[sale]["lines"] == [(TABLE, 1)], "nobody's draft is written over unasked"
        await again(life)
        assert (await life.stage(), life.office.live(), await life.cases()) == ("exported", [sale], set())
        assert life.office.sales[sale]["lines"] == [(CHAIR, 3)]

    play(store, story, **YOUNG)


def test_a_sale_at_other_totals_is_held_with_both_sides(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        sale = life.office.add_foreign("N-o1", (CHAIR, 2))
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        await life.read_sale(sale)
        await life.steps()
        assert (await life.stage(), await life.cases(), life.office.live()) == ("held", {"totals_differ"}, [sale])

    play(store, story, **YOUNG)


def test_a_sale_at_a_place_that_is_not_ours_stays_in_flight_with_an_owner(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        sale = life.office.add_foreign("N-o1", (CHAIR, 3), location="Moon")
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        await life.read_sale(sale)
        await life.steps()
        assert (await life.contained(), await life.cases()) == ({CHAIR: (3, 0)}, {"sale_changed_by_staff"})

    play(store, story, **YOUNG)


def test_our_sale_of_a_former_life_serves_the_whole_order_although_we_would_split_it_now(store: Store) -> None:
    """Else its other part would be made once more."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=1, ARMCHAIR__Hamburg=2)
        sale = life.office.add_foreign("N-o1", (CHAIR, 3), ref="shop:o1:1")
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        await life.read_sale(sale)
        await life.steps()
        assert (await life.stage(), life.office.live(), await life.cases()) == ("exported", [sale], set())

    play(store, story, **YOUNG)


@pytest.mark.parametrize("berlin", [1, 2, 9])
def test_two_sales_of_a_former_life_stay_as_they_were_split(store: Store, berlin: int) -> None:
    """Whatever the shelves say by now: their refs tell places apart, not goods."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=berlin, ARMCHAIR__Hamburg=2, TABLE=0, TABLE__Hamburg=9)
        for number, place, line in ((1, "Berlin", (TABLE, 2)), (2, "Hamburg", (CHAIR, 3))):
            life.office.add_foreign("N-o1", line, ref=f"shop:o1:{number}", location=place)
        await life.take(life.order((CHAIR, 3), (TABLE, 2)))
        await life.steps()
        for sale in life.office.live():
            await life.read_sale(sale)
        await life.steps()
        assert (await life.stage(), len(life.office.live()), await life.cases()) == ("exported", 2, set())
        assert await life.contained() == {CHAIR: (0, 3), TABLE: (0, 2)}

    play(store, story, **YOUNG)


@pytest.mark.parametrize(
    ("first", "second"),
    [([(CHAIR, 1)], [(CHAIR, 1)]), ([(CHAIR, 2)], [(CHAIR, 2)]), ([(TABLE, 1)], [(CHAIR, 3)])],
    ids=["too few", "too many", "other goods"],
)
def test_two_sales_of_a_former_life_that_do_not_come_to_the_order_are_a_persons(
    store: Store, first: list[tuple[str, int]], second: list[tuple[str, int]]
) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=1, ARMCHAIR__Hamburg=9)
        for number, place, lines in ((1, "Berlin", first), (2, "Hamburg", second)):
            life.office.add_foreign("N-o1", *lines, ref=f"shop:o1:{number}", location=place)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("held", {"two_sales_one_order"})

    play(store, story, **YOUNG)


def test_of_two_sales_of_a_former_life_one_without_lines_takes_the_rest(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=9, ARMCHAIR__Hamburg=9)
        life.office.add_foreign("N-o1", (CHAIR, 1), ref="shop:o1:1")
        life.office.add("shop:o1:2", location="Hamburg", reference="N-o1")
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        await life.read_sale("sale-1")
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("exported", set())
        assert life.office.sales["sale-2"]["lines"] == [(CHAIR, 2)]

    play(store, story, **YOUNG)


def test_what_was_found_of_a_former_life_is_not_searched_for_again(store: Store) -> None:
    """The list of sales answered a search by reference with what it had been a minute before: nothing."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=1, ARMCHAIR__Hamburg=2)
        for number, (place, units) in enumerate((("Berlin", 1), ("Hamburg", 2)), 1):
            life.office.add_foreign("N-o1", (CHAIR, units), ref=f"shop:o1:{number}", location=place)

        async def behind(ref: str, *, lane: str) -> list[Any]:
            return []

        life.office.find_by_ref = behind  # type: ignore[method-assign]
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        for sale in life.office.live():
            await life.read_sale(sale)
        await life.steps()
        assert (await life.stage(), len(life.office.live()), await life.cases()) == ("exported", 2, set())

    play(store, story, **YOUNG)


def test_a_sale_that_serves_another_order_is_a_case(store: Store) -> None:
    """Both orders carry the same note."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.add_foreign("N-o1", (CHAIR, 3), sale_id=ID)
        notes = (SyncInfo(channel="old", external_id=ID),)
        for order_id in ("o1", "o2"):
            await life.take(life.order((CHAIR, 3), sync=notes, order_id=order_id))
            await life.steps()
        assert (await life.parts("o2"), await life.stage("o2")) == ({}, "held")
        assert await life.cases() == {"two_sales_one_order"}

    play(store, story)


def test_a_cancel_while_its_sale_is_looked_for_makes_and_adopts_nothing(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        life.office.during["search"] = lambda: life.cancel(order)
        await life.steps()
        assert (await life.stage(), life.office.live(), await life.shown()) == ("cancelled", [], 10)

    play(store, story, **YOUNG)


def test_a_newer_version_while_its_sale_is_looked_for_is_what_is_exported(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        life.office.during["search"] = lambda: life.take(life.order((CHAIR, 2), version=2))
        done = await life.steps()
        assert (done.count("sale.find"), done.count("sale.create")) == (1, 1)
        assert (life.office.sales["sale-1"]["lines"], await life.shown()) == ([(CHAIR, 2)], 8)

    play(store, story, **YOUNG)


def test_which_sales_are_meant() -> None:
    def row(sale_id: str, reference: str, ref: str = "", status: str = "authorised") -> SaleRow:
        return SaleRow(
            sale_id=sale_id, number=sale_id, ref=ref, status=status, updated="", shipped=False, reference=reference
        )

    rows = [
        row("a", "N-1"), row("b", "N-10"), row("c", "N-1", "shop:o1:1"), row("d", "N-1", "shop:o2:1"),
        row("e", "N-1", "shop:o11:1"), row("f", "N-1", status="voided"), row("g", ""), row("h", "N-1 "),
    ]  # fmt: skip
    ours, others = adoption.whose(adoption.with_reference(rows, "N-1"), "o1", "shop")
    assert ([s.sale_id for s in ours], [s.sale_id for s in others]) == (["c"], ["a"])


@pytest.mark.parametrize("left", [False, True], ids=["nothing is left", "a draft is left"])
def test_an_order_that_was_refused_goes_on_when_it_is_tried_again_and_looked_for_again(
    store: Store, left: bool
) -> None:  # fmt: skip
    """The parts of the first plan, which never got a sale, are no reason to stop after the search."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.lost["create"] = [Refused("no such customer", code="400")]
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("held", {"order_refused"})
        if not left:
            life.office.sales.clear()
        await again(life)
        assert (await life.stage(), len(life.office.live())) == ("exported", 1)

    play(store, story, **YOUNG)
