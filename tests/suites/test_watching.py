"""Troubles found by looking: each look opens its case when it must, and stays quiet where an alarm is tempting."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.e2e.world import settings_of
from tests.suites.orders_life import BACK_OFFICE, CHAIR, TABLE, Life, play, query

from sellable.app import watching
from sellable.app.desk import CaseDesk
from sellable.app.service import notice_stale
from sellable.connectors.port import Unavailable
from sellable.desk import cases
from sellable.desk.cases import Case
from sellable.runtime import telemetry
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import next_seq
from sellable.stock import catalogue, dirty, entries, observe
from sellable.stock.availability import Layout

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
DESK = CaseDesk(settings_of(NOW))


def of_kind(store: Store, kind: str) -> dict[str, Case]:
    """Live cases of a kind by subject."""
    return {case.subject: case for case in store.read_now(cases.listing, kind=kind, limit=1000)}


def measured(name: str, **labels: str) -> float:
    return telemetry.REGISTRY.get_sample_value(f"sellable_{name}", labels) or 0.0


# --- Sold more than there is -----------------------------------------------------------------------------------------


async def look(life: Life) -> dict[str, Any]:
    """One look; what is claimed, by SKU."""
    await life.store.write(watching.oversold, DESK, life.settings, life.clock.now())
    found = await life.store.read(cases.listing, kind="oversold")
    return {case.subject: case.actual for case in found}


async def sets(life: Life, count: int = 3, **stock: int) -> dict[str, Any]:
    """So many complete sets that show this, each looked at."""
    found: dict[str, Any] = {}
    for _ in range(count):
        await life.count(**stock)
        found = await look(life)
    return found


async def begin(life: Life, **stock: int) -> None:
    """The shop opened an hour ago with this stock."""
    real = life.clock
    life.clock = SimpleNamespace(now=lambda: real.now() - timedelta(hours=1))  # type: ignore[assignment]
    await life.begin(**stock)
    life.clock = real


def test_units_the_master_cannot_ship_are_claimed_after_two_sets_with_the_orders_that_lack_them(store: Store) -> None:
    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=3)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        life.office.short = {CHAIR: 2}
        order = life.order((CHAIR, 2), order_id="o2")
        await life.take(order)
        await life.steps()
        assert await sets(life, 1, ARMCHAIR=0) == {}, "seen once"
        found = await sets(life, 1, ARMCHAIR=0)
        assert found == {
            "sku:ARMCHAIR": {
                "units": 2, "taken_elsewhere": 0, "sold_beside": 0,
                "orders": [["N-o2", 2, "web-eu", order.placed_at.isoformat()], ["N-o1", 3, "web-eu", *_placed(found)]],
            }
        }  # fmt: skip
        assert measured("oversold_units", cause="unexplained") == 2
        await look(life)
        assert of_kind(store, "oversold")["sku:ARMCHAIR"].count == 1, "a look at the same set is no news"
        life.office.short = {}
        await life.read_sale("sale-2")
        await life.steps()
        assert await look(life) == {}
        assert measured("oversold_units", cause="unexplained") == 0

    def _placed(found: dict[str, Any]) -> list[str]:
        return [found["sku:ARMCHAIR"]["orders"][1][3]]

    play(store, story)


def test_what_another_seller_took_is_told_apart(store: Store) -> None:
    """The counter sells the last three between our reading and the order; nobody could have known."""

    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=3)
        await life.take(life.order((CHAIR, 2)))
        life.office.short = {CHAIR: 2}
        await life.steps()
        found = await sets(life, ARMCHAIR=0)
        assert (found["sku:ARMCHAIR"]["units"], found["sku:ARMCHAIR"]["taken_elsewhere"]) == (2, 2)
        assert measured("oversold_units", cause="inherent") == 2
        assert measured("oversold_units", cause="unexplained") == 0

    play(store, story)


def test_what_another_seller_took_long_before_excuses_no_younger_order(store: Store) -> None:
    """The counter took five a day after an old order that still waits; today's order was accepted all the same."""

    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=6)
        real, life.office.short = life.clock, {CHAIR: 9}
        old = life.order((CHAIR, 1), order_id="old", placed_at=real.now() - timedelta(minutes=50))
        life.settings = msgspec.structs.replace(
            life.settings, orders=msgspec.structs.replace(life.settings.orders, start_at=NOW - timedelta(days=999))
        )
        life.context = dataclasses.replace(life.context, current=lambda: life.settings)
        await life.take(old)
        life.clock = SimpleNamespace(now=lambda: real.now() - timedelta(minutes=30))  # type: ignore[assignment]
        await life.count(ARMCHAIR=0)
        life.clock = real
        await life.take(life.order((CHAIR, 2), order_id="new"))
        await life.steps()
        found = (await sets(life, ARMCHAIR=0))["sku:ARMCHAIR"]
        assert [row[0] for row in found["orders"]] == ["N-new", "N-old"]
        assert (found["units"], found["taken_elsewhere"]) == (3, 1)
        await life.cancel(old)
        found = (await sets(life, 1, ARMCHAIR=0))["sku:ARMCHAIR"]
        assert (found["units"], found["taken_elsewhere"]) == (2, 0)

    play(store, story)


def test_two_channels_that_sell_the_same_units_within_seconds_are_told_apart(store: Store) -> None:
    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=3)
        shown = query(
            "INSERT INTO explained (sku, channel, at, causal_seq, terms) VALUES ('ARMCHAIR', 'web-eu',"
            " app_now() - interval '10 minutes', 1, '{\"explanation\": {\"target\": 3}}')"
        )
        await life.store.write(lambda tx: tx.run(shown))
        beside = life.order((CHAIR, 3), order_id="uk")
        lines = tuple(msgspec.structs.replace(line, channel="web-uk") for line in beside.lines)
        await life.take(msgspec.structs.replace(beside, lines=lines))
        await life.steps()
        life.office.short = {CHAIR: 2}
        await life.take(life.order((CHAIR, 2), order_id="eu"))
        await life.steps()
        found = (await sets(life, ARMCHAIR=0))["sku:ARMCHAIR"]
        assert (found["units"], found["sold_beside"], found["taken_elsewhere"]) == (2, 2, 0)
        assert [measured("oversold_units", cause=c) for c in ("inherent", "unexplained")] == [2, 0]

    play(store, story)


def test_units_beyond_what_another_seller_took_stay_unexplained(store: Store) -> None:
    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=1)
        await life.take(life.order((CHAIR, 5)))
        life.office.short = {CHAIR: 5}
        await life.steps()
        found = await sets(life, ARMCHAIR=0)
        assert (found["sku:ARMCHAIR"]["units"], found["sku:ARMCHAIR"]["taken_elsewhere"]) == (5, 1)
        assert [measured("oversold_units", cause=c) for c in ("inherent", "unexplained")] == [1, 4]

    play(store, story)


def test_an_order_nobody_was_told_of_counts_too(store: Store) -> None:
    """Held by us, sold all the same: the master has two, the customer was promised five."""

    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=2)
        life.office.surcharge = 1
        await life.take(life.order((CHAIR, 5)))
        await life.steps()
        assert await life.stage() == "held"
        found = await sets(life, ARMCHAIR=2)
        assert found["sku:ARMCHAIR"]["units"] == 3

    play(store, story)


def test_a_count_below_what_is_allocated_claims_the_units_that_are_missing(store: Store) -> None:
    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        found = await sets(life, ARMCHAIR=-2)
        assert found["sku:ARMCHAIR"]["units"] == 2
        assert await sets(life, 1, ARMCHAIR=0) == {}

    play(store, story)


def test_a_cancelled_order_lacks_nothing(store: Store) -> None:
    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=0)
        life.office.short = {CHAIR: 2}
        order = life.order((CHAIR, 2))
        await life.take(order)
        await life.steps()
        assert list(await sets(life, ARMCHAIR=0)) == ["sku:ARMCHAIR"]
        await life.cancel(order)
        assert await look(life) == {}

    play(store, story)


@pytest.mark.parametrize("when", ["not visible yet", "answer lost"])
def test_units_subtracted_twice_are_no_oversell(store: Store, when: str) -> None:
    """The master has taken all ten in and shows none; until that is evidence the ten count once more, knowingly."""

    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=10)
        await life.take(life.order((CHAIR, 10)))
        if when == "answer lost":
            life.office.lost["authorise"] = [Unavailable("500")]
            life.office.lost["read"] = [Unavailable("500")] * 9
        await life.until("sale.authorise")
        assert await sets(life, ARMCHAIR=0) == {}
        assert await life.shown() == -10, "the false alarm was tempting"

    play(store, story)


def test_units_that_lie_elsewhere_are_no_oversell(store: Store) -> None:
    """Hamburg can ship what Berlin lacks; where the sale is moved to is the matter of its own case."""

    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=2, ARMCHAIR__Hamburg=5)
        life.office.short = {CHAIR: 2}
        await life.take(life.order((CHAIR, 2)))
        await life.steps()
        assert await sets(life, ARMCHAIR=0, ARMCHAIR__Hamburg=5) == {}
        assert await life.cases() == {"backordered"}

    play(store, story)


def test_a_number_that_waits_for_proof_claims_nothing(store: Store) -> None:
    """Goods arrived, and the set that shows them waits for a look at the sales: not short, only not believed yet."""

    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=0)
        life.office.short = {CHAIR: 2}
        await life.take(life.order((CHAIR, 2)))
        await life.steps()
        await sets(life, 1, ARMCHAIR=0)

        def arrived(tx: Tx) -> None:
            name, now = life.context.ids.new("sw"), life.clock.now()
            row = observe.Row(sku=CHAIR, location="Berlin", part="", state="available", value=5, allocated=0)
            observe.start(tx, name, BACK_OFFICE, "", now)
            observe.see_page(tx, name, [row], a0=next_seq(tx), a1=next_seq(tx), now=now)
            observe.close(tx, name, complete=True, cause="", locations=["Berlin", "Hamburg"], now=now)
            observe.apply(tx, name, waiting=[CHAIR], dropped=[CHAIR], locations=["Berlin", "Hamburg"], now=now)

        for _ in range(2):
            await life.store.write(arrived)
            assert await look(life) == {}

    play(store, story)


def test_a_thing_without_stock_is_never_short(store: Store) -> None:
    """A gift card is sold and never allocated; nobody keeps stock of it."""

    async def story(life: Life) -> None:
        await begin(life, ARMCHAIR=9)
        gift = catalogue.Product(sku=TABLE, name="Gift", sellable=True, service=True, kit=False, recipe={})
        await life.store.write(catalogue.put, [gift], life.clock.now())
        life.office.short = {TABLE: 1}
        await life.take(life.order((TABLE, 1)))
        await life.steps()
        assert await sets(life, ARMCHAIR=9) == {}

    play(store, story)


# --- Many numbers differ at once -------------------------------------------------------------------------------------

JUDGED = query("UPDATE entry SET judged_at = %(at)s")


def shop_of(store: Store, count: int, judged: datetime | None = NOW) -> list[str]:
    """Entries that show 10, all judged at an instant."""
    skus = [f"CHAIR-{n:04}" for n in range(count)]

    def story(tx: Tx) -> None:
        seen = [
            entries.Seen(
                sku=sku, channel="web", remote_id=sku, version=1, quantity=10, reserved=0, typed=None, backorder=False,
                last_op=None, at=NOW - timedelta(hours=2), seq=next_seq(tx),
            ) for sku in skus
        ]  # fmt: skip
        entries.see(tx, seen, NOW - timedelta(hours=2))
        tx.run(JUDGED, at=judged)

    store.write_now(story)
    return skus


def changed(store: Store, skus: list[str], kind: str, units: int, at: datetime = NOW, name: str = "x") -> None:
    facts = [
        entries.EntryFact(
            sku=sku, channel="web", kind=kind, quantity=units, source="t", resource=name, line="", seq=0, remote_at=at
        ) for sku in skus
    ]  # fmt: skip
    store.write_now(entries.record, facts, at, priority=None, reason=kind)


def many(store: Store, now: datetime = NOW) -> dict[str, Any] | None:
    store.write_now(watching.drift, DESK, Layout(channels={}, pools={}), now + timedelta(seconds=5))
    case = of_kind(store, "drift_many").get("storefront")
    return case.actual if case else None


def stopped(store: Store) -> bool:
    return store.read_now(DESK.raises_stopped)


def test_what_was_written_before_the_number_an_entry_begins_with_stops_nothing(store: Store) -> None:
    """Of the time between a backup and its restore, told by a clock ahead of ours, and then contained in a reading."""
    skus = shop_of(store, 2000)
    ahead = NOW + timedelta(minutes=2)
    changed(store, skus[:100], "foreign", 3, ahead)
    store.write_now(lambda tx: tx.run(query("UPDATE entry SET baseline_at = %(at)s"), at=ahead))
    assert many(store) is None
    changed(store, skus[:25], "foreign", 3, ahead + timedelta(seconds=1), "since")
    assert (many(store) or {})["written_by_others"] == 25


def test_more_than_one_in_a_hundred_that_drift_stop_raises_until_a_person_resolves_the_case(store: Store) -> None:
    skus = shop_of(store, 2000)
    changed(store, skus[:21], "drift", 3)
    assert many(store) == {"drifted": 21, "written_by_others": 0, "judged": 2000, "of": 2000, "examples": skus[:20]}
    assert stopped(store)
    case = of_kind(store, "drift_many")["storefront"]
    store.write_now(cases.acknowledge, case.ref, "ada", NOW)
    assert stopped(store)
    store.write_now(cases.resolve, case.ref, "ada", "an import, stopped", NOW + timedelta(seconds=10))
    assert not stopped(store)
    assert many(store, NOW + timedelta(seconds=10)) is None, "what was resolved is no news"
    later = NOW + timedelta(minutes=1)
    changed(store, skus[:25], "drift", 3, later, "again")
    assert (many(store, later) or {})["drifted"] == 25


def test_a_bulk_import_by_another_program_stops_raises(store: Store) -> None:
    skus = shop_of(store, 3000, judged=None)
    changed(store, skus[:31], "foreign", 40)
    assert (many(store) or {})["written_by_others"] == 31


@pytest.mark.parametrize(
    ("keys", "drifted", "written", "alarm"),
    [(100, 20, 0, False), (100, 21, 0, True), (9000, 90, 0, False), (9000, 91, 0, True), (9000, 40, 50, False)],
)
def test_few_are_no_alarm(store: Store, keys: int, drifted: int, written: int, alarm: bool) -> None:
    skus = shop_of(store, keys)
    changed(store, skus[:drifted], "drift", 1)
    changed(store, skus[drifted : drifted + written], "foreign", 1, name="y")
    assert (many(store) is not None) is alarm


def test_orders_of_the_last_seconds_in_a_rush_are_no_alarm(store: Store) -> None:
    """Every look had an order just before it, counted as shown; the next judgement takes that back."""
    skus = shop_of(store, 100)
    changed(store, skus, "taken", -2, NOW - timedelta(seconds=4))
    changed(store, skus, "drift", 2)
    assert many(store) is None
    minute = NOW + timedelta(minutes=1)
    changed(store, skus, "drift", -2, minute, "taken back")
    assert many(store, minute) is None


def test_cancels_that_put_nothing_back_are_no_alarm(store: Store) -> None:
    """A cancel is assumed to restock until that is measured; that it did not is found as a drift, one for each line."""
    skus = shop_of(store, 100, judged=None)
    changed(store, skus, "restocked", 2, NOW - timedelta(minutes=5))
    store.write_now(lambda tx: tx.run(JUDGED, at=NOW))
    changed(store, skus, "drift", -2)
    assert many(store) is None
    changed(store, skus, "drift", -1, NOW, "beyond that")
    assert many(store) is not None


def test_what_is_long_over_is_no_alarm(store: Store) -> None:
    skus = shop_of(store, 100)
    changed(store, skus, "drift", 2, NOW - timedelta(minutes=16))
    assert many(store) is None


# --- Catalogues differ -----------------------------------------------------------------------------------------------

FEED = query(
    "INSERT INTO feed (name, cursor, due_at) VALUES (%(name)s, %(cursor)s::jsonb, app_now())"
    " ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor"
)
PENDING = query(
    "INSERT INTO inbox (source, message_id, kind, lane, priority, body, sealed_with, meta, received_at, received_seq,"
    " due_at) VALUES ('cin7_core', %(id)s, 'catalogue.page', '', 1, '', '', '{}', app_now(), 1, app_now())"
)
TAKEN_IN = query("DELETE FROM inbox")


def walked(store: Store, at: datetime, *products: str, kits: tuple[str, ...] = (), rounds: int = 1) -> None:
    """A whole walk of the master's products that began at an instant, and so many of the storefront's entries."""

    def story(tx: Tx) -> None:
        rows = [
            catalogue.Product(sku=sku, name=sku, sellable=True, service=False, kit=sku in kits, recipe={})
            for sku in (*products, *kits)
        ]
        catalogue.put(tx, rows, at)
        tx.run(FEED, name="cin7_core.catalogue", cursor=f'{{"whole": "{at.isoformat()}"}}')
        tx.run(FEED, name="commercetools.entries", cursor=f'{{"round": {rounds}}}')

    store.write_now(story)


def compared(store: Store, now: datetime) -> dict[str, Any]:
    store.write_now(watching.catalogues, DESK, now)
    return {subject.partition(":")[2]: case.actual for subject, case in of_kind(store, "catalogue_mismatch").items()}


def test_catalogues_are_compared_both_ways_with_one_case_for_a_class(store: Store) -> None:
    shop_of(store, 30)
    walked(store, NOW, "chair-0001", "Chair-0002", "LAMP", kits=("CHAIR-0000",))
    examples = [f"CHAIR-{n:04}" for n in range(3, 23)]
    assert compared(store, NOW) == {
        "only_at_storefront": {"count": 27, "examples": examples},
        "only_at_master": {"count": 1, "examples": ["LAMP"]},
        "twins": {"count": 2, "examples": [["CHAIR-0001", "chair-0001"], ["CHAIR-0002", "Chair-0002"]]},
        "bundle_without_recipe": {"count": 1, "examples": ["CHAIR-0000"]},
    }
    store.write_now(catalogue.spell, {"CHAIR-0001": "chair-0001", "CHAIR-0003": "LAMP"}, NOW)
    assert {kind: found["count"] for kind, found in compared(store, NOW + timedelta(hours=2)).items()} == {
        "only_at_storefront": 26,
        "twins": 1,
        "bundle_without_recipe": 1,
    }, "mapped SKUs are no mismatch"
    store.write_now(catalogue.spell, {}, NOW)
    compared(store, NOW + timedelta(hours=4))
    counts = {case.count for case in of_kind(store, "catalogue_mismatch").values()}
    compared(store, NOW + timedelta(hours=4, minutes=1))
    assert {case.count for case in of_kind(store, "catalogue_mismatch").values()} == counts, "compared once"
    assert measured("catalogue_mismatches", kind="only_at_storefront") == 27


def test_what_was_mended_ends_within_the_hour_and_what_the_master_dropped_is_seen_by_the_next_walk(
    store: Store,
) -> None:
    skus = shop_of(store, 2)
    walked(store, NOW, skus[0])
    assert list(compared(store, NOW)) == ["only_at_storefront"]
    store.write_now(
        catalogue.put,
        [catalogue.Product(sku=skus[1], name="", sellable=True, service=False, kit=False, recipe={})],
        NOW + timedelta(minutes=5),
    )
    assert list(compared(store, NOW + timedelta(minutes=59))) == ["only_at_storefront"]
    assert compared(store, NOW + timedelta(minutes=61)) == {}
    assert compared(store, NOW + timedelta(hours=23)) == {}
    tomorrow = NOW + timedelta(days=1)
    walked(store, tomorrow, skus[1])
    assert compared(store, tomorrow) == {"only_at_storefront": {"count": 1, "examples": [skus[0]]}}


def test_nothing_is_compared_with_a_list_that_was_not_read_to_its_end(store: Store) -> None:
    shop_of(store, 30)
    assert compared(store, NOW) == {}
    walked(store, NOW, "CHAIR-0000", rounds=0)
    assert compared(store, NOW) == {}, "entries are still being read"
    walked(store, NOW, "CHAIR-0000")
    store.write_now(lambda tx: tx.run(PENDING, id="page 2"))
    assert compared(store, NOW) == {}, "a page is not taken in"
    store.write_now(lambda tx: tx.run(TAKEN_IN))
    assert list(compared(store, NOW)) == ["only_at_storefront"]


def test_components_and_services_need_no_entry(store: Store) -> None:
    skus = shop_of(store, 1)

    def story(tx: Tx) -> None:
        rows = [
            catalogue.Product(sku=skus[0], name="", sellable=True, service=False, kit=True, recipe={"LEG": 4}),
            catalogue.Product(sku="LEG", name="", sellable=True, service=False, kit=False, recipe={}),
            catalogue.Product(sku="Shipping", name="", sellable=True, service=True, kit=False, recipe={}),
            catalogue.Product(sku="RETIRED", name="", sellable=False, service=False, kit=False, recipe={}),
        ]
        catalogue.put(tx, rows, NOW)

    walked(store, NOW)
    store.write_now(story)
    assert compared(store, NOW) == {}


# --- Numbers that became too old -------------------------------------------------------------------------------------


def test_one_transition_is_one_look_at_every_number(store: Store) -> None:
    skus = shop_of(store, 3)
    masters = {"Berlin": "cin7_core", "Leeds": "orderflow"}
    layout = Layout(channels={}, pools={}, masters=masters, stale_buffers={"cin7_core": 2})

    def marked(*stale: str, layout: Layout = layout) -> list[tuple[str, str]]:
        store.write_now(dirty.take, 1000)
        for _ in range(2):  # Another process sees the same.
            store.write_now(lambda tx: notice_stale(layout, tx, stale, NOW))
        return sorted((sku, reason) for sku, _, reason in store.write_now(dirty.take, 1000))

    assert marked("cin7_core") == [(sku, "numbers too old") for sku in skus]
    assert marked("cin7_core", "orderflow") == [], "nothing is held back of what that one counts"
    assert marked("orderflow") == [(sku, "numbers young again") for sku in skus]
    assert marked("cin7_core", layout=Layout(channels={}, pools={}, masters=masters)) == [], "no number changes by it"
