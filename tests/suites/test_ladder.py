"""The ladder on a real database: what a channel may write in each mode, and the brake on its first pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.e2e.world import settings_of
from tests.suites.orders_life import CHAIR, Life, play, query, shipment
from tests.suites.test_writer import LAMP, LAYOUT, NOW, desk

from sellable.app import ladder
from sellable.app.desk import CaseDesk
from sellable.app.status import overview
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.stock.availability import ChannelRule, Layout
from sellable.sync import writer

DRAWN = query("SELECT kind, subject, actual FROM cases WHERE kind = 'first_pass_stopped' AND state <> 'resolved'")
RECORDED = query("SELECT actor, action, subject FROM audit WHERE action = 'cutover.proceed'")


def in_mode(mode: str) -> Layout:
    return msgspec.structs.replace(LAYOUT, channels={"web": ChannelRule("web", "all", mode=mode)})


# --- Modes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "lower", "raised"), [("full", [-4], [5]), ("lowers", [-4], []), ("shadow", [], [])])
def test_a_channel_writes_what_its_mode_allows(store: Store, mode: str, lower: list[int], raised: list[int]) -> None:
    d = desk(store, shown=10, base=6)
    d.layout = in_mode(mode)
    assert d.plan()[0] == -4, "computed in every mode"
    assert [w.difference for w in d.pick(raises=False).writes] == lower
    store.write_now(lambda tx: tx.run(query("DELETE FROM operation")))
    store.write_now(lambda tx: tx.run(query("UPDATE desired SET op = NULL")))
    d.base(15, "s1")
    assert d.plan()[0] == 5
    assert [w.difference for w in d.pick(raises=True).writes] == raised


@pytest.mark.parametrize("mode", ["shadow", "lowers"])
def test_a_refill_is_not_written_below_full(store: Store, mode: str) -> None:
    d = desk(store, shown=10, base=10)
    d.plan()
    store.write_now(lambda tx: tx.run(query("UPDATE entry SET last_t = 10")))
    d.shop.order(4)
    d.capture("o1", 4)
    d.base(10, "s1")
    store.write_now(lambda tx: tx.run(query("DELETE FROM demand")))
    d.layout = in_mode(mode)
    assert d.plan()[0] == 4
    assert d.pick(raises=False).writes == ()


@pytest.mark.parametrize(("mode", "sent"), [("full", 4), ("lowers", 0), ("shadow", 0)])
def test_the_copy_that_kills_a_lost_write_obeys_the_mode(store: Store, mode: str, sent: int) -> None:
    """A process that steps down finds a raise on its way: what kills it adds nothing."""
    d = desk(store, shown=10, base=14)
    d.plan()
    d.shop.fate = ["lost before", "fine"]
    d.send(d.pick(raises=True))
    d.resolver = writer.Resolver(store, Clock.parse("speed=1"), d.shop, in_mode(mode))
    d.resolve()
    assert d.shop.seen[-1].difference == sent
    assert d.shop.quantity == 10 + sent


# --- The brake -------------------------------------------------------------------------------------------------------


def braked(**changes: Any) -> Any:
    """Settings of one channel called web on the Berlin stock, with its brake."""
    channel = {"key": "web", "pool": "eu", "brake_keys_min": 1, **changes}
    return settings_of(NOW - timedelta(days=1), channels=[channel])


def started(store: Store, settings: Any) -> CaseDesk:
    found = CaseDesk(settings)
    store.write_now(ladder.notice, settings, found, NOW)
    return found


def seen_all(store: Store) -> None:
    """The entries were walked, a complete set was read and nothing is dirty."""
    for text in (
        """INSERT INTO feed (name, cursor, due_at) VALUES ('commercetools.entries', '{"round": 1}', app_now())
        ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor""",
        "UPDATE sweep SET started_at = started_at + interval '1 minute'",
        "DELETE FROM dirty",
    ):
        store.write_now(lambda tx, text=text: tx.run(query(text)))


def gate(store: Store) -> str:
    (row,) = store.read_now(overview, NOW)["channels"]
    return str(row["gate"])


def test_a_first_pass_that_changes_too_much_waits_for_a_person(store: Store) -> None:
    settings = braked()
    found = started(store, settings)
    d = desk(store, shown=10, base=3)
    d.plan()
    assert d.pick(raises=False).writes == (), "not counted yet"
    store.write_now(ladder.judge, found, settings, NOW)
    assert gate(store) == "checking", "no complete set since it stepped up"
    seen_all(store)
    store.write_now(ladder.judge, found, settings, NOW)
    assert gate(store) == "stopped"
    (case,) = store.read_now(lambda tx: tx.all(DRAWN))
    assert case.subject == "channel:web"
    assert case.actual["because"] == ["1 of 1 numbers would change", "7 units would move where 10 are shown"]
    assert case.actual["largest"] == [LAMP]
    assert d.pick(raises=False).writes == ()

    clock = Clock.parse("speed=1")
    assert store.write_now(ladder.proceed, settings, clock, found, "cli:anna", "web") == "stopped"
    assert [w.difference for w in d.pick(raises=False).writes] == [-7]
    assert store.read_now(lambda tx: tx.all(DRAWN)) == []
    (row,) = store.read_now(lambda tx: tx.all(RECORDED))
    assert tuple(row) == ("cli:anna", "cutover.proceed", "channel:web")
    assert store.write_now(ladder.proceed, settings, clock, found, "cli:anna", "web") == "open"
    assert store.write_now(ladder.proceed, settings, clock, found, "cli:anna", "nowhere") is None


def test_a_first_pass_that_changes_little_goes_on_by_itself(store: Store) -> None:
    settings = braked(brake_keys_percent=100)
    found = started(store, settings)
    d = desk(store, shown=10, base=9)
    d.plan()
    seen_all(store)
    store.write_now(ladder.judge, found, settings, NOW)
    assert gate(store) == "open"
    assert [w.difference for w in d.pick(raises=False).writes] == [-1]
    started(store, settings)
    assert gate(store) == "open", "a restart in the same mode counts nothing"


def test_what_lowers_is_not_held_up_by_a_step_to_full(store: Store) -> None:
    """From lowers to full only the raises are new: a sale elsewhere must reach the storefront at once."""
    found = started(store, braked(mode="lowers", brake_keys_percent=100, brake_units_percent=100))
    d = desk(store, shown=10, base=3)
    d.plan()
    started(store, settings := braked())
    assert gate(store) == "checking"
    assert [w.difference for w in d.pick(raises=False).writes] == [-7]
    d.base(50, "s1")
    store.write_now(lambda tx: tx.run(query("DELETE FROM operation")))
    store.write_now(lambda tx: tx.run(query("UPDATE desired SET op = NULL")))
    d.plan()
    assert d.pick(raises=True).writes == (), "what raises is counted first"
    store.write_now(lambda tx: tx.run(query("UPDATE desired SET d = -1, priority = 0, due_at = app_now()")))
    assert d.pick(raises=False).writes == (), "nor does a raise pass as the decrease it was noted as"
    seen_all(store)
    store.write_now(ladder.judge, found, settings, NOW)
    assert gate(store) == "stopped"


def test_a_shop_that_was_written_to_before_there_was_a_ladder_is_not_held_up(store: Store) -> None:
    d = desk(store, shown=10, base=3)
    store.write_now(lambda tx: tx.run(query("UPDATE entry SET last_t = 10")))
    started(store, braked())
    d.plan()
    assert gate(store) == "open"
    assert [w.difference for w in d.pick(raises=False).writes] == [-7]


def test_raises_do_not_stop_a_channel_that_only_lowers(store: Store) -> None:
    settings = braked(mode="lowers")
    found = started(store, settings)
    d = desk(store, shown=1, base=50)
    d.plan()
    seen_all(store)
    store.write_now(ladder.judge, found, settings, NOW)
    assert gate(store) == "open"


def test_mended_settings_are_counted_anew_and_end_the_case(store: Store) -> None:
    found = started(store, settings := braked())
    d = desk(store, shown=10, base=3)
    d.plan()
    seen_all(store)
    store.write_now(ladder.judge, found, settings, NOW)
    assert gate(store) == "stopped"
    found = started(store, settings)
    assert gate(store) == "checking"
    d.base(10, "s1")
    d.plan()
    seen_all(store)
    store.write_now(ladder.judge, found, settings, NOW)
    assert gate(store) == "open"
    assert store.read_now(lambda tx: tx.all(DRAWN)) == []


def test_a_channel_that_left_the_settings_leaves_the_ladder(store: Store) -> None:
    started(store, braked())
    started(store, braked(key="other", mode="shadow"))
    (row,) = store.read_now(overview, NOW)["channels"]
    assert (row["channel"], row["mode"], row["gate"]) == ("other", "shadow", "open")


# --- Orders of a shadow ----------------------------------------------------------------------------------------------


SHADOW = {"channels": [{"key": "web-eu", "pool": "eu", "mode": "shadow"}]}


def test_an_order_of_a_shadow_is_in_flight_and_left_to_who_exports_it(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3)))
        assert await life.shown() == 7, "sold is sold"
        assert await life.step() == "sale.find"
        assert (await life.stage(), life.office.calls) == ("waiting", ["search"]), "whoever exports it is slower"
        sale = life.office.add_foreign("N-o1", (CHAIR, 3))
        assert await life.step() == "sale.find"
        await life.read_sale(sale)
        await life.steps()
        assert (await life.stage(), life.shop.sync) == ("exported", []), "nothing is noted"
        life.office.sales[sale]["shipments"] = [shipment("t1", {CHAIR: 3})]
        await life.read_sale(sale)
        await life.steps()
        assert life.shop.deliveries == [], "nothing is told"
        assert "create" not in life.office.calls

    play(store, story, **SHADOW)


def test_an_order_of_a_shadow_that_nobody_exports_is_ignored_in_the_end(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 3), placed_at=life.clock.now() - timedelta(minutes=61)))
        assert await life.steps() == ["sale.find"]
        assert await life.stage() == "ignored"
        assert await life.shown() == 10

    play(store, story, **{**SHADOW, "orders": {"start_at": NOW - timedelta(days=9000)}})


def test_a_cancel_of_a_shadow_voids_nothing(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        sale = life.office.add_foreign("N-o1", (CHAIR, 3))
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.step()
        await life.read_sale(sale)
        await life.steps()
        await life.cancel(order)
        await life.steps()
        assert (life.office.live(), await life.stage()) == ([sale], "cancelled")
        assert "voiding is left to others" in await life.story()

    play(store, story, **SHADOW)
