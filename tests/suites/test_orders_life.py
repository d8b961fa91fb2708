"""An order against what may arrive between any two of its steps: one live sale, or none, and no unit forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.suites.orders_life import _DROP_WISHES, CHAIR, SET, TABLE, Life, play, query, shipment

from sellable.app import answers
from sellable.connectors.port import SaleTotals, Unavailable
from sellable.desk import cases
from sellable.domain.orders import UNITS_MAX, Address, Order, SyncInfo
from sellable.orders import capture
from sellable.runtime import operations
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import next_seq
from sellable.stock import demand, entries

BACK_OFFICE = "cin7_core"


def test_an_order_arrives_once_and_its_number_is_known(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        assert await life.steps() == ["sale.create", "sale.lines", "sale.authorise", "order.note", "sale.visible"]
        assert (await life.stage(), life.shop.sync, await life.shown()) == ("exported", ["sale-1"], 7)
        assert await life.contained() == {CHAIR: (0, 3)}

    play(store, story)


@pytest.mark.parametrize(("channel", "taken"), [("web-eu", True), ("sellable-doctor-1a2b", False)])
def test_only_what_sells_from_its_own_channel_is_an_experiment(store: Store, channel: str, taken: bool) -> None:
    """Whoever numbers an order of his so still gets his goods."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        lines = tuple(msgspec.structs.replace(line, channel=channel) for line in order.lines)
        await life.take(msgspec.structs.replace(order, number="sellable-doctor-1a2b-1", lines=lines))
        assert (await life.shown(), bool(await life.steps())) == ((7, True) if taken else (10, False))

    play(store, story)


# --- Cancelling at every point ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["create", "lines", "authorise"])
@pytest.mark.parametrize("outcome", ["answered", "lost", "differs"])
def test_a_cancel_during_any_call_ends_with_no_live_sale_and_no_case(store: Store, call: str, outcome: str) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        life.office.during[call] = lambda: life.cancel(order)
        if outcome == "lost":
            life.office.lost[call] = [Unavailable("500")]
        if outcome == "differs":
            life.office.surcharge = 1
        await life.steps()
        if outcome == "differs" and call == "authorise":
            return  # it never gets there
        assert life.office.live() == []
        assert (await life.stage(), await life.parts(), await life.cases()) == ("cancelled", {1: "voided"}, set())
        await life.count(ARMCHAIR=10)
        assert await life.shown() == 10
        assert await life.contained() == {}

    play(store, story)


@pytest.mark.parametrize("after", ["sale.create", "sale.lines", "sale.authorise", "order.note", "sale.visible"])
def test_a_cancel_between_any_two_steps_ends_with_no_live_sale(store: Store, after: str) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.until(after)
        await life.cancel(order)
        assert await life.shown() <= 7
        await life.steps()
        assert (life.office.live(), await life.stage(), await life.cases()) == ([], "cancelled", set())
        await life.count(ARMCHAIR=10)
        assert await life.shown() == 10

    play(store, story)


def test_a_cancel_of_a_create_that_made_nothing_makes_no_sale_to_void(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)

        async def lost_before() -> None:
            life.office.sales.clear()
            await life.cancel(order)

        life.office.during["create"], life.office.lost["create"] = lost_before, [Unavailable("500")]
        await life.steps()
        assert (life.office.calls.count("create"), life.office.live(), await life.stage()) == (1, [], "cancelled")

    play(store, story)


def test_a_draft_that_appears_after_its_order_was_cancelled_is_voided(store: Store) -> None:
    """The header's effect comes minutes late: no search can have found it, and nothing recorded it."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)

        async def lost_before() -> None:
            life.office.sales.clear()
            await life.cancel(order)

        life.office.during["create"], life.office.lost["create"] = lost_before, [Unavailable("500")]
        while await life.stage() != "cancelled":
            assert await life.step()
        late = life.office.add("shop:o1:1")
        await life.steps()
        assert life.office.sales[late]["status"] == "voided"

    play(store, story)


def test_a_cancel_does_not_take_back_an_operation_somebody_has_just_claimed(store: Store) -> None:
    """The claim commits while the cancel is on its way: the call goes out, so its sale must be voided."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        real, claimed = operations.supersede, []

        def raced(tx: Tx, op_id: str) -> bool:
            claimed.extend(claim_elsewhere())
            return real(tx, op_id)

        def claim_elsewhere() -> list[operations.Operation]:
            other = Store(store.url, store.clock)
            try:
                import asyncio

                return asyncio.run(
                    other.write(operations.claim, BACK_OFFICE, ["orders"], "other", 60.0, life.clock.now(), 1)
                )
            finally:
                other.close()

        patch = pytest.MonkeyPatch()
        patch.setattr(operations, "supersede", raced)
        try:
            await life.cancel(order)
        finally:
            patch.undo()
        for op in claimed:
            await life.carry(op)
        await life.steps()
        assert (life.office.live(), await life.stage()) == ([], "cancelled")

    play(store, story)


def test_a_cancel_of_a_split_order_releases_the_part_that_was_never_sent(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=3, ARMCHAIR__Hamburg=4)
        order = life.order((CHAIR, 7))
        await life.take(order)
        assert len(await life.parts()) == 2
        await life.until("sale.create")
        await life.cancel(order)
        await life.steps()
        assert (life.office.live(), await life.stage()) == ([], "cancelled")
        await life.count(ARMCHAIR=3, ARMCHAIR__Hamburg=4)
        assert await life.shown() == 7
        assert await life.contained() == {}

    play(store, story)


def test_cancelling_an_order_whose_sale_staff_had_voided_is_no_late_cancel(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.steps()
        life.office.sales["sale-1"]["status"] = "voided"
        await life.read_sale("sale-1")
        assert (await life.stage(), await life.cases()) == ("held", {"sale_changed_by_staff"})
        await life.cancel(order)
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("cancelled", set())
        await life.count(ARMCHAIR=10)
        assert await life.shown() == 10

    play(store, story)


def test_a_cancel_after_the_goods_left_is_a_case_and_the_order_stays_shipped(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.steps()
        life.office.sales["sale-1"]["shipments"] = [shipment("t1", {CHAIR: 3})]
        await life.read_sale("sale-1")
        await life.steps()
        await life.cancel(order)
        await life.steps()
        assert (await life.stage(), await life.parts(), await life.cases()) == (
            "shipped",
            {1: "shipped"},
            {"cancel_too_late"},
        )
        assert len(life.shop.deliveries) == 1

    play(store, story)


# --- Held, changed, tried again --------------------------------------------------------------------------------------


def test_a_new_version_of_a_held_order_makes_no_second_sale(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        life.office.surcharge = 1
        await life.take(order)
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("held", {"totals_differ"})
        await life.take(life.order((CHAIR, 3), version=2, payment_state="Paid"))
        assert await life.steps() == []
        assert (await life.stage(), life.office.live()) == ("held", ["sale-1"])

    play(store, story)


def test_replaying_differing_totals_goes_on_with_the_recorded_draft(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.surcharge = 1
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert await life.store.write(capture.retry, "o1", life.clock.now(), life.context)
        assert not await life.store.write(capture.retry, "o1", life.clock.now(), life.context)  # already on its way
        await life.steps()
        assert (await life.stage(), life.office.live()) == ("held", ["sale-1"])
        life.office.surcharge = 0
        assert await life.store.write(capture.retry, "o1", life.clock.now(), life.context)
        await life.steps()
        assert (await life.stage(), await life.cases(), life.office.live()) == ("exported", set(), ["sale-1"])
        assert life.office.calls.count("create") == 1

    play(store, story)


def test_replaying_after_staff_voided_the_sale_makes_a_new_one(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        life.office.sales["sale-1"]["status"] = "voided"
        await life.read_sale("sale-1")
        assert await life.store.write(capture.retry, "o1", life.clock.now(), life.context)
        await life.steps()
        assert (await life.stage(), life.office.live(), await life.cases()) == ("exported", ["sale-2"], set())
        assert await life.contained() == {CHAIR: (0, 3)}

    play(store, story)


def test_staff_put_an_undone_sale_back_and_the_order_goes_on(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        life.office.sales["sale-1"]["status"] = "draft"
        await life.read_sale("sale-1")
        assert (await life.stage(), await life.contained()) == ("held", {CHAIR: (3, 0)})
        life.office.sales["sale-1"]["status"] = "authorised"
        await life.read_sale("sale-1")
        await life.steps()
        assert (await life.stage(), await life.parts(), await life.cases()) == ("exported", {1: "authorised"}, set())
        assert await life.contained() == {CHAIR: (0, 3)}

    play(store, story)


def test_a_released_create_searches_before_it_creates(store: Store) -> None:
    """Exhausted, held and released: its attempts start anew, but an earlier copy may still have made a sale."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        life.office.lost["create"] = [Unavailable("500")]
        life.office.during["create"] = _nothing(life)
        await life.step()
        await life.step()  # searched, nothing found
        (op,) = await life.store.read(operations.open_in_lane, "order:o1")
        await life.store.write(operations.hold, op.id, "40 attempts")
        life.office.add("shop:o1:1")
        await life.store.write(operations.release, op.id)
        await life.steps()
        assert len(life.office.live()) == 1

    play(store, story)


def _nothing(life: Life):  # type: ignore[no-untyped-def]
    async def vanish() -> None:
        life.office.sales.clear()

    return vanish


_ENTRY_FACTS = query("SELECT count(*) AS n FROM entry_fact WHERE kind IN ('taken', 'restocked')")


def impossible(order: Order) -> Order:
    """As an order of 10^19 chairs is translated: the most there is, and what was stated."""
    return msgspec.structs.replace(order, impossible=("10000000000000000000 units on line l1",))


def test_an_order_beyond_all_quantities_is_in_flight_and_held_with_an_owner_until_it_is_cancelled(
    store: Store,
) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=5)
        at = life.clock.now() - timedelta(hours=1)
        shown = [
            entries.Seen(
                sku=sku, channel="web-eu", remote_id=sku, version=1, quantity=units, reserved=0, typed=None,
                backorder=False, last_op=None, at=at, seq=1,
            )
            for sku, units in ((CHAIR, 10), (TABLE, 5))
        ]  # fmt: skip
        await life.store.write(entries.see, shown, at)
        strange = impossible(life.order((CHAIR, UNITS_MAX), (TABLE, 1)))
        await life.take(strange)
        await life.take(impossible(life.order((CHAIR, UNITS_MAX), order_id="o2")))
        assert (await life.stage(), await life.cases(), await life.steps()) == ("held", {"order_impossible"}, [])
        assert await life.shown() == 10 - 2 * UNITS_MAX, "sold is sold, and two of them still add up"
        assert await life.shown(TABLE) == 4
        (case, _) = await life.store.read(cases.listing)
        assert (case.owner, case.actual) == ("ops", {"stated": ["10000000000000000000 units on line l1"]})
        ((facts,),) = await life.store.read(lambda tx: tx.all(_ENTRY_FACTS))
        assert facts == 1, "the storefront surely took the table; what it made of the chairs nobody knows"
        for order_id in ("o1", "o2"):
            await life.cancel(life.taken[order_id])
        assert (await life.stage(), await life.cases(), await life.shown()) == ("cancelled", set(), 10)
        ((facts,),) = await life.store.read(lambda tx: tx.all(_ENTRY_FACTS))
        assert facts == 2

    play(store, story)


def test_an_order_that_was_corrected_at_the_storefront_goes_on(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(impossible(life.order((CHAIR, UNITS_MAX))))
        await life.take(life.order((CHAIR, 3), version=2))
        assert await life.steps() == ["sale.create", "sale.lines", "sale.authorise", "order.note", "sale.visible"]
        assert (await life.stage(), await life.shown(), await life.cases()) == ("exported", 7, set())

    play(store, story)


# --- Readings of sales -----------------------------------------------------------------------------------------------


def test_a_reading_from_before_the_authorising_is_no_change_by_staff(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.until("sale.lines")
        from sellable.runtime.operations import next_seq

        a0 = await life.store.write(next_seq)
        old = life.office.read("sale-1")
        await life.steps()
        await life.reading(old, a0)
        assert (await life.stage(), await life.cases()) == ("exported", set())

    play(store, story)


def test_evidence_on_its_way_does_not_outlive_its_revocation(store: Store) -> None:
    """Staff undo the sale while we wait for the view's lag: what was allocated then is allocated no more."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.until("sale.authorise")
        life.office.sales["sale-1"]["status"] = "draft"
        await life.read_sale("sale-1")
        await life.steps()
        assert await life.contained() == {CHAIR: (3, 0)}
        await life.count(ARMCHAIR=10)
        assert await life.shown() == 7

    play(store, story)


def test_backordered_units_become_evidence_when_a_later_reading_shows_them(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=2)
        life.office.short = {CHAIR: 3}
        await life.take(life.order((CHAIR, 5)))
        await life.steps()
        assert (await life.contained(), await life.cases()) == ({CHAIR: (3, 2)}, {"backordered"})
        life.office.short = {}
        await life.read_sale("sale-1")
        await life.steps()
        assert (await life.contained(), await life.cases()) == ({CHAIR: (0, 5)}, set())

    play(store, story)


def test_a_moved_sale_counts_at_its_new_location_in_the_same_reading(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, ARMCHAIR__Hamburg=4)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        life.office.sales["sale-1"]["location"] = "Hamburg"
        await life.read_sale("sale-1")
        assert await life.contained() == {CHAIR: (3, 0)}
        await life.steps()
        assert await life.contained() == {CHAIR: (0, 3)}
        await life.count(ARMCHAIR=10, ARMCHAIR__Hamburg=1)
        assert (await life.shown(), await life.shown(channel="web-uk")) == (11, 10)

    play(store, story)


def test_a_sale_that_turns_out_to_hold_less_waits_for_stock_and_nobody_is_accused(store: Store) -> None:
    """The answer said that all was set aside; the sale, read later, has them on backorder and still asks for all."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=9)
        await life.take(life.order((CHAIR, 5)))
        await life.steps()
        assert await life.contained() == {CHAIR: (0, 5)}
        life.office.short = {CHAIR: 2}
        await life.read_sale("sale-1")
        await life.steps()
        assert (await life.contained(), await life.cases()) == ({CHAIR: (2, 3)}, {"backordered"})
        life.office.short = {}
        await life.read_sale("sale-1")
        await life.steps()
        assert (await life.contained(), await life.cases()) == ({CHAIR: (0, 5)}, set())

    play(store, story)


def test_a_sale_moved_to_where_another_sale_of_its_order_is_stays_in_flight_with_an_owner(store: Store) -> None:
    """Two sales of one order at one place could not be told apart: the book keeps them apart and undersells."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=2, ARMCHAIR__Hamburg=4)
        await life.take(life.order((CHAIR, 5)))
        await life.steps()
        await life.count(ARMCHAIR=1, ARMCHAIR__Hamburg=0)
        assert (await life.parts(), await life.shown()) == ({1: "authorised", 2: "authorised"}, 1)
        life.office.sales["sale-1"]["location"] = "Hamburg"
        await life.read_sale("sale-1")
        await life.read_sale("sale-2")
        await life.steps()
        await life.count(ARMCHAIR=2, ARMCHAIR__Hamburg=-1)
        assert (await life.contained(), await life.cases()) == ({CHAIR: (1, 4)}, {"sale_changed_by_staff"})
        assert await life.shown() == 0, "one fewer than there are"

    play(store, story)


def test_two_sales_that_staff_merge_are_a_case_and_nothing_is_freed(store: Store) -> None:
    """One is voided, its units are on the other now: of the storefront's two orders one has no sale any more."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.take(life.order((CHAIR, 2), order_id="o2"))
        await life.steps()
        life.office.sales["sale-1"]["lines"] = [(CHAIR, 5)]
        life.office.sales["sale-2"]["status"] = "voided"
        for _ in range(2):
            await life.read_sale("sale-1")
            await life.read_sale("sale-2")
            await life.steps()
        assert (await life.stage(), await life.stage("o2")) == ("exported", "held")
        found = [c for c in await life.store.read(cases.listing) if c.kind == "sale_changed_by_staff"]
        assert [(c.subject, c.count) for c in found] == [("order:o1", 1), ("order:o2", 1)]
        assert found[0].actual == {"more than ordered": {CHAIR: 2}}
        await life.count(ARMCHAIR=5)
        assert await life.shown() == 3

    play(store, story)


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({}, {}, False),
        ({"location": "Berlin"}, {"location": "Berlin", "picked": False}, False),
        ({}, {"location": "Hamburg"}, True),
        ({}, {"location": "Elsewhere"}, True),
        ({}, {"updated": 2, "progress": "NOT PICKED"}, True),
        ({}, {"updated": 2, "progress": "NOT PICKED|PAID"}, False),
        ({}, {"updated": 2, "picked": True, "progress": "PICKED"}, True),
        ({}, {"updated": 2, "status": "draft", "progress": ""}, True),
        ({}, {"updated": 2, "status": "voided", "progress": ""}, True),
    ],
)
def test_a_sale_is_read_whole_when_its_row_says_more_than_that_we_authorised_it(
    store: Store, before: dict[str, Any], after: dict[str, Any], wanted: bool
) -> None:
    """The first row after authorising is ours; a later change that no word of the row explains is staff's."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, ARMCHAIR__Hamburg=4)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert await life.listed("sale-1", **before) == []
        assert await life.listed("sale-1", **before) == [], "an unchanged row is listed for minutes"
        assert await life.listed("sale-1", **{**before, **after}) == (["sale-1"] if wanted else [])

    play(store, story)


def test_a_sale_undone_first_and_voided_later_is_known_to_be_gone(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        life.office.sales["sale-1"]["status"] = "draft"
        await life.read_sale("sale-1")
        life.office.sales["sale-1"]["status"] = "voided"
        assert await life.listed("sale-1", updated=2, status="voided", progress="") == ["sale-1"]
        await life.read_sale("sale-1")
        assert await life.listed("sale-1", updated=3, status="voided", progress="") == []
        assert await life.store.write(capture.retry, "o1", life.clock.now(), life.context)
        await life.steps()
        assert (life.office.live(), await life.stage()) == (["sale-2"], "exported")

    play(store, story)


def test_a_line_staff_reduced_and_one_they_added_in_the_same_reading(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=1)
        life.office.short = {TABLE: 1}
        await life.take(life.order((CHAIR, 3), (TABLE, 2)))
        await life.steps()
        life.office.short = {}
        life.office.sales["sale-1"]["lines"] = [(CHAIR, 1), (CHAIR, 1), (TABLE, 2)]
        await life.read_sale("sale-1")
        await life.steps()
        assert await life.contained() == {CHAIR: (1, 2), TABLE: (0, 2)}

    play(store, story)


def test_a_kit_beside_its_component(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await life.take(life.order(("SET", 2), (TABLE, 1), (TABLE, 2)))
        await life.steps()
        assert life.office.sales["sale-1"]["lines"] == [("SET", 2), (TABLE, 3)]
        assert await life.contained() == {CHAIR: (0, 4), TABLE: (0, 5)}

    play(store, story)


# --- Shipments -------------------------------------------------------------------------------------------------------


def test_a_shipment_that_grows_is_told_and_the_order_completes(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await life.take(life.order((CHAIR, 2), (TABLE, 1)))
        await life.steps()
        sale = life.office.sales["sale-1"]
        sale["shipments"] = [shipment("t1", {CHAIR: 2})]
        for _ in range(2):
            await life.read_sale("sale-1")
        await life.steps()
        assert await life.stage() == "exported"
        grown = shipment("t1", {CHAIR: 2, TABLE: 1}, "p1", "p2")
        first = shipment("t1", {CHAIR: 2}).parcels[0]
        second = type(grown.parcels[1])(
            parcel_id="p2", carrier="DHL", tracking="T-p2", tracking_url="", shipped_on="", items=((TABLE, 1),)
        )
        sale["shipments"] = [type(grown)(shipment_id="t1", items=grown.items, parcels=(first, second))]
        for _ in range(2):
            await life.read_sale("sale-1")
        await life.steps()
        told = [item for delivery in life.shop.deliveries for item in delivery.items]
        assert sorted(told) == [("l1", 2), ("l2", 1)]
        assert [p[0] for d in life.shop.deliveries for p in d.parcels] == ["p1", "p2"]
        assert [d.shipment_state for d in life.shop.deliveries] == ["Partial", "Shipped"]
        assert (await life.stage(), await life.cases()) == ("shipped", set())

    play(store, story)


def test_a_kit_that_ships_as_components_is_told_when_sets_are_complete(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await life.take(life.order(("SET", 2), (TABLE, 1)))
        await life.steps()
        sale = life.office.sales["sale-1"]
        sale["shipments"] = [shipment("t1", {CHAIR: 3, TABLE: 2})]
        await life.read_sale("sale-1")
        await life.steps()
        assert [d.items for d in life.shop.deliveries] == [(("l1", 1), ("l2", 1))]
        assert await life.cases() == set()
        sale["shipments"] = [*sale["shipments"], shipment("t2", {CHAIR: 1, TABLE: 1}, "p9")]
        await life.read_sale("sale-1")
        await life.steps()
        assert life.shop.deliveries[1].items == (("l1", 1),)
        assert (await life.stage(), await life.cases()) == ("shipped", set())

    play(store, story)


def test_over_shipped_and_strange_goods_are_facts_with_a_case(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await life.take(life.order((CHAIR, 2)))
        await life.steps()
        life.office.sales["sale-1"]["shipments"] = [shipment("t1", {CHAIR: 3, TABLE: 1})]
        await life.read_sale("sale-1")
        await life.steps()
        assert [d.items for d in life.shop.deliveries] == [(("l1", 3),)]
        assert await life.cases() == {"over_shipped", "shipment_unmatched"}
        assert await life.stage() == "shipped"

    play(store, story)


def test_ready_is_told_only_when_every_part_is_picked(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=3, ARMCHAIR__Hamburg=4)
        await life.take(life.order((CHAIR, 7)))
        await life.steps()
        for number in (1, 2):
            life.office.sales[f"sale-{number}"]["picked"] = True
            await life.read_sale(f"sale-{number}")
            await life.steps()
            assert life.shop.states == ["Ready"] * (number - 1)

    play(store, story)


def test_what_cannot_be_read_of_a_sale_is_a_case(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=3)
        await life.take(life.order((CHAIR, 1)))
        await life.steps()
        await life.read_sale("sale-1", faults=("fulfilment t1: partly shipped",))
        assert await life.cases() == {"shipment_unmatched"}

    play(store, story)


# --- People, former lives and edits ----------------------------------------------------------------------------------


async def accepted(life: Life) -> list[int]:
    """Parts that a person takes at the back office's totals."""
    now = life.clock.now()
    return [
        p.part for p in await life.store.write(capture.accept_totals, "o1", "grace", "agreed", now, life.context)
    ]  # fmt: skip


def test_a_person_accepts_these_totals_and_no_others(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.surcharge = 1
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        life.office.surcharge = 2
        assert await accepted(life) == [1]
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("held", {"totals_differ"})
        assert await accepted(life) == [1]
        await life.steps()
        assert (await life.stage(), await life.cases(), life.office.live()) == ("exported", set(), ["sale-1"])
        assert "totals accepted" in await life.story()

    play(store, story)


def test_accepting_is_nothing_for_an_order_that_is_not_held(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert await accepted(life) == []

    play(store, story)


def test_totals_are_not_accepted_of_an_order_that_is_held_for_another_reason(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        life.office.sales["sale-1"]["status"] = "draft"
        await life.read_sale("sale-1")
        assert (await life.stage(), await accepted(life)) == ("held", [])

    play(store, story)


def test_a_held_part_whose_sale_staff_undid_holds_no_units(store: Store) -> None:
    """Its evidence must not outlive the sale: the raise that the undo makes, and all later ones, would wait always."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.add("shop:o1:1")
        life.office.sales["sale-1"] |= {"status": "authorised", "lines": [(CHAIR, 3)]}
        life.office.sales["sale-1"]["totals"] = SaleTotals(net=300, tax=57, gross=999)
        await life.take(life.order((CHAIR, 3), sync=(SyncInfo(channel="sellable-export", external_id="sale-1"),)))
        await life.steps()
        await life.read_sale("sale-1")
        await life.steps()
        assert (await life.parts(), await life.contained()) == ({1: "held"}, {CHAIR: (0, 3)})
        life.office.sales["sale-1"]["status"] = "draft"
        await life.read_sale("sale-1")
        assert (await life.parts(), await life.contained()) == ({1: "held"}, {CHAIR: (3, 0)})
        await life.count(ARMCHAIR=10)
        assert (await life.shown(), await life.store.read(demand.contained_and_open, [CHAIR])) == (7, [])

    play(store, story)


def test_evidence_on_its_way_does_not_outlive_a_held_part_whose_sale_staff_undid(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        life.office.add("shop:o1:1")
        life.office.sales["sale-1"] |= {"status": "authorised", "lines": [(CHAIR, 3)]}
        life.office.sales["sale-1"]["totals"] = SaleTotals(net=300, tax=57, gross=999)
        await life.take(life.order((CHAIR, 3), sync=(SyncInfo(channel="sellable-export", external_id="sale-1"),)))
        await life.steps()
        await life.read_sale("sale-1")
        life.office.sales["sale-1"]["status"] = "draft"
        await life.read_sale("sale-1")
        assert await life.steps() == ["sale.visible"]
        assert await life.contained() == {CHAIR: (3, 0)}

    play(store, story)


def test_a_shipment_that_is_no_longer_what_was_recorded_is_a_case_and_the_first_one_counts(store: Store) -> None:
    """Staff correct a shipment downwards: the recorded fact stays, the rest of the reading is taken in all the same."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=5)
        await life.take(life.order((CHAIR, 3), (TABLE, 2)))
        await life.steps()
        sale = life.office.sales["sale-1"]
        sale["shipments"] = [shipment("t1", {CHAIR: 2})]
        await life.read_sale("sale-1")
        sale["at"] = 1
        sale["shipments"] = [shipment("t1", {CHAIR: 1}), shipment("t2", {TABLE: 2}, "p2")]
        await life.read_sale("sale-1")
        (case,) = await life.store.read(cases.listing)
        assert (case.kind, case.subject, case.evidence) == ("fact_conflict", "order:o1", ["sale:sale-1"])
        assert case.expected == {"shipments": [{"shipment": "t1", "items": {CHAIR: 2}}]}
        assert case.actual == {"shipments": [{"shipment": "t1", "items": {CHAIR: 1}}]}
        await life.steps()
        assert [d.delivery_key for d in life.shop.deliveries] == ["t1", "t2"]
        (told,) = await life.store.read(answers.order_story, "o1")
        assert {line["sku"]: line["shipped"] for line in told["lines"]} == {CHAIR: 2, TABLE: 2}
        sale["shipments"][0] = shipment("t1", {CHAIR: 3})
        await life.read_sale("sale-1")
        assert (await life.cases(), await life.stage()) == (set(), "shipped")

    play(store, story)


def test_a_reading_that_is_older_than_the_last_contradicts_nothing(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        sale = life.office.sales["sale-1"]
        sale["at"], sale["shipments"] = 1, [shipment("t1", {CHAIR: 1})]
        early = life.office.read("sale-1")
        sale["at"], sale["shipments"] = 2, [shipment("t1", {CHAIR: 2})]
        await life.read_sale("sale-1")
        await life.reading(early, await life.store.write(next_seq))
        assert await life.cases() == set()

    play(store, story)


def test_a_shipment_under_the_id_of_another_orders_stays_where_it_was_first(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        for number in ("o1", "o2"):
            await life.take(life.order((CHAIR, 2), order_id=number))
        await life.steps()
        for number, units in (("sale-1", 2), ("sale-2", 1)):
            life.office.sales[number]["shipments"] = [shipment("t1", {CHAIR: units})]
            await life.read_sale(number)
        (case,) = await life.store.read(cases.listing)
        assert (case.kind, case.subject) == ("fact_conflict", "order:o2")
        assert case.expected == {"shipments": [{"shipment": "t1", "order": "o1", "items": [[CHAIR, 2]]}]}
        assert (await life.stage("o1"), await life.stage("o2")) == ("shipped", "exported")
        assert await life.contained("o2") == {CHAIR: (0, 2)}

    play(store, story)


def test_of_two_authorised_sales_the_older_stays_and_an_untouched_newer_one_is_voided(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.until("sale.create")
        await life.steps()
        await life.take(life.order((CHAIR, 2), order_id="o2"))
        draft = life.office.sales["sale-1"]
        for _ in range(2):
            twin = life.office.add("shop:o2:1")
            life.office.sales[twin] |= {"status": "authorised", "lines": [(CHAIR, 2)], "totals": draft["totals"]}
            life.office.sales[twin]["totals"] = type(draft["totals"])(net=200, tax=38, gross=238)
        (op,) = await life.store.read(operations.open_in_lane, "order:o2")
        await life.store.write(_search_first, op.id)
        await life.step()
        await life.read_sale("sale-2")
        await life.steps()
        assert life.office.live() == ["sale-1", "sale-2"]
        assert (await life.stage("o2"), await life.cases()) == ("exported", {"two_sales_one_order"})
        assert await life.contained("o2") == {CHAIR: (0, 2)}

    play(store, story)


def _search_first(tx: Tx, op_id: str) -> None:
    tx.run(query("UPDATE operation SET payload = payload || '{\"search\": true}' WHERE id = %(id)s"), id=op_id)


def test_a_sale_found_authorised_at_other_totals_is_held_with_both_sides(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        found = life.office.add("shop:o1:1")
        (op,) = await life.store.read(operations.open_in_lane, "order:o1")
        await life.store.write(_search_first, op.id)
        other = SaleTotals(net=1, tax=0, gross=1)
        life.office.sales[found] |= {"status": "authorised", "lines": [(CHAIR, 3)], "totals": other}
        await life.step()
        await life.read_sale(found)
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("held", {"totals_differ"})
        assert await life.contained() == {CHAIR: (0, 3)}  # it does hold the goods

    play(store, story)


def test_staff_authorise_our_draft_by_hand_while_we_write_its_lines(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.until("sale.lines")
        life.office.sales["sale-1"]["status"] = "authorised"
        await life.steps()
        assert (await life.stage(), await life.cases(), await life.contained()) == ("exported", set(), {CHAIR: (0, 3)})

    play(store, story)


def test_units_added_to_an_exported_order_are_sold_at_once_and_a_person_is_told(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        await life.count(ARMCHAIR=7, TABLE=6)
        assert (await life.shown(), await life.shown(TABLE)) == (7, 6)
        await life.take(life.order((CHAIR, 4), (TABLE, 2), version=2))
        assert (await life.shown(), await life.shown(TABLE), await life.cases()) == (6, 4, {"line_changed"})
        await life.take(life.order((CHAIR, 4), (TABLE, 2), version=3))
        assert (await life.shown(), await life.shown(TABLE)) == (6, 4)
        assert await life.steps() == []

    play(store, story)


def test_units_added_later_are_contained_only_where_the_sale_has_them_too(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        await life.take(life.order((CHAIR, 5), version=2))
        await life.read_sale("sale-1")
        await life.steps()
        assert await life.contained() == {CHAIR: (2, 3)}, "the sale holds three"
        life.office.sales["sale-1"]["lines"] = [(CHAIR, 5)]
        await life.read_sale("sale-1")
        await life.steps()
        assert await life.contained() == {CHAIR: (0, 5)}

    play(store, story)


def test_units_added_to_a_line_of_several_places_are_in_flight_beside_them(store: Store) -> None:
    """The version of an edit is as small a number as that of a place: one must not be taken for the other."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=2, ARMCHAIR__Hamburg=4)
        await life.take(life.order((CHAIR, 5), version=0))
        assert await life.parts() == {1: "planned", 2: "planned"}
        await life.take(life.order((CHAIR, 6), version=1))
        assert await life.contained() == {CHAIR: (6, 0)}

    play(store, story)


@pytest.mark.parametrize("goods", [{CHAIR: 6, TABLE: 3}, {SET: 3}], ids=["as components", "as itself"])
def test_a_kit_cut_down_before_its_export_is_still_made_of_the_same(store: Store, goods: dict[str, int]) -> None:
    """Of five kits two were taken off: what left is three kits of two chairs, not of six fifths of one."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=20, TABLE=10)
        await life.take(life.order((SET, 5)))
        await life.take(life.order((SET, 3), version=2))
        await life.take(life.order((SET, 3), version=3, payment_state="Paid"))
        await life.steps()
        life.office.sales["sale-1"]["shipments"] = [shipment("t1", goods)]
        await life.read_sale("sale-1")
        await life.steps()
        assert ([d.items for d in life.shop.deliveries], await life.cases()) == ([(("l1", 3),)], set())
        moved = await life.store.read(lambda tx: tx.all(_MOVED))
        assert {row.sku: row.quantity for row in moved} == {CHAIR: 6, TABLE: 3}

    play(store, story, orders={"trigger": "paid"})


_MOVED = query("SELECT sku, sum(quantity)::bigint AS quantity FROM movement WHERE kind = 'shipped' GROUP BY sku")


def test_what_a_sale_holds_is_read_when_its_units_must_have_been_set_aside(store: Store) -> None:
    """The answer came before the back office looked for the goods, and two of five were not there."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 5)))
        await life.until("sale.authorise")
        assert await life.cases() == set()
        life.office.short[CHAIR] = 2
        await life.steps()
        assert (await life.contained(), await life.cases()) == ({CHAIR: (2, 3)}, {"backordered"})

    play(store, story)


_READ = query("SELECT sale_updated IS NOT NULL AS known, verified_seq > 0 AS held FROM order_part")


@pytest.mark.parametrize(
    ("short", "more", "read_whole"),
    [
        pytest.param(0, {}, True, id="as it was made"),
        pytest.param(2, {}, True, id="on backorder, which is known by now"),
        pytest.param(0, {"picked": True}, False, id="picked, which is still to be told"),
        pytest.param(0, {"location": "Hamburg"}, False, id="moved by staff"),
    ],
)
def test_reading_what_a_sale_holds_spares_reading_it_once_more(
    store: Store, short: int, more: dict[str, Any], read_whole: bool
) -> None:
    """Only a sale that says nothing else: what else it says is for whoever takes in a whole sale."""

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 5)))
        await life.until("sale.authorise")
        life.office.short[CHAIR] = short
        read = life.office.read_sale

        async def changed(sale_id: str, *, lane: str) -> Any:
            return msgspec.structs.replace(await read(sale_id, lane=lane), **more)

        life.office.read_sale = changed  # type: ignore[method-assign]
        await life.steps()
        assert [tuple(r) for r in await store.read(lambda tx: tx.all(_READ))] == [(read_whole, read_whole)]

    play(store, story)


def test_the_answer_is_believed_where_the_settings_vouch_for_it(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 5)))
        await life.steps()
        assert (await life.contained(), life.office.calls) == ({CHAIR: (0, 5)}, ["create", "lines", "authorise"])

    play(store, story, cin7_core={"allocates": "at_once", "visibility_lag_seconds": 0})


@pytest.mark.parametrize("status", ["draft", "voided"])
def test_a_sale_that_staff_undid_before_its_units_were_seen_proves_nothing(store: Store, status: str) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 5)))
        await life.until("sale.authorise")
        life.office.sales["sale-1"]["status"] = status
        await life.steps()
        assert await life.contained() == {CHAIR: (5, 0)}
        assert [r.key for r in await life.store.write(lambda tx: tx.all(_DROP_WISHES))] == ["sale-1"]

    play(store, story)


def test_lines_edited_before_the_export_are_exported_as_edited(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await life.take(life.order((CHAIR, 3), (TABLE, 1)))
        assert (await life.shown(), await life.stage()) == (7, "waiting")
        await life.take(life.order((CHAIR, 1), version=2))
        assert (await life.shown(), await life.shown(TABLE)) == (9, 6)
        await life.take(life.order((CHAIR, 1), version=3, payment_state="Paid"))
        await life.steps()
        assert (await life.stage(), life.office.sales["sale-1"]["lines"]) == ("exported", [(CHAIR, 1)])
        assert await life.contained() == {CHAIR: (0, 1)}

    play(store, story, orders={"trigger": "paid"})


@pytest.mark.parametrize("version", [2, 3])
def test_a_waiting_order_that_is_cancelled_gives_its_units_back(store: Store, version: int) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.cancel(order)
        assert (await life.stage(), await life.shown(), await life.contained()) == ("cancelled", 10, {})
        await life.take(life.order((CHAIR, 3), version=version, payment_state="Paid"))  # an older version, late
        assert (await life.stage(), await life.steps()) == ("cancelled", [])

    play(store, story, orders={"trigger": "paid"})


def test_a_tracking_number_that_changes_is_told_again(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 2)))
        await life.steps()
        for track in ("T1", "T1", "T2"):
            life.office.sales["sale-1"]["shipments"] = [shipment("t1", {CHAIR: 2}, track=track)]
            await life.read_sale("sale-1")
            await life.steps()
        assert [d.parcels[0][2] for d in life.shop.deliveries] == ["T1-p1", "T2-p1"]
        assert {d.delivery_key for d in life.shop.deliveries} == {"t1"}

    play(store, story)


def test_a_story_names_no_person_and_every_step(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        ada = Address(name="Ada Lovelace", line1="Weg 1", city="Berlin", country="DE", email="ada@example.com")
        changes = {"customer_email": "ada@example.com", "shipping_address": ada, "billing_address": ada}
        await life.take(life.order((CHAIR, 2), **changes))
        await life.steps()
        life.office.sales["sale-1"]["shipments"] = [shipment("t1", {CHAIR: 2})]
        await life.read_sale("sale-1")
        await life.steps()
        (told,) = await life.store.read(answers.order_story, "o1")
        assert [step["what"] for step in told["story"]] == [
            "captured", "sourced", "sale created", "totals agree", "sale authorised", "noted at the storefront",
            "shipped", "all shipped", "storefront told: order.deliver",
        ]  # fmt: skip
        assert not [word for word in ("Ada", "Lovelace", "Weg", "example.com") if word in str(told)]

    play(store, story)
