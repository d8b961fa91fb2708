"""A number that commercetools is the master of is told each adjustment once, whatever happens to the calls."""

from __future__ import annotations

import random

import pytest
from tests.suites.orders_life import query
from tests.suites.test_writer import LAMP, LAYOUT, NOW, Desk, Shop

from sellable.app import recovery
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import Done, Rejected
from sellable.stock import adjustments, entries
from sellable.stock.adjustments import Adjustment
from sellable.stock.availability import ChannelRule, Layout

COUNTED = Layout(channels={"web": ChannelRule("web", "all", counted=True)}, pools=LAYOUT.pools)
OWED = query("SELECT coalesce(sum(units), 0)::int FROM adjustment WHERE NOT aside")
OPEN = query("SELECT count(*) FROM operation WHERE settled_at IS NULL")
FATES = ("fine", "lost before", "lost after", "late", "limited")


def desk(store: Store, *, shown: int = 10, base: int = 3, layout: Layout = COUNTED) -> Desk:
    found = Desk(store, Shop(quantity=shown), layout)
    found.see()
    found.base(base, "s0")
    return found


def owe(d: Desk, units: int, order: str = "o1") -> None:
    found = Adjustment(sku=LAMP, channel="web", units=units, order_id=order, line_id="l1")
    d.store.write_now(lambda tx: adjustments.record(tx, [found], NOW))


def owed(d: Desk) -> int:
    return int(d.store.read_now(lambda tx: tx.value(OWED)))


def open_operations(d: Desk) -> int:
    return int(d.store.read_now(lambda tx: tx.value(OPEN)))


def test_the_warehouses_number_is_never_written(store: Store) -> None:
    d = desk(store)
    assert d.plan()[0] == 0
    d.base(50, "s1")
    assert d.plan()[0] == 0
    assert d.shop.seen == []


def test_many_adjustments_are_one_write_and_what_cancels_out_is_none(store: Store) -> None:
    d = desk(store)
    for units in (1, 1, -1, 2):
        owe(d, units)
    d.settle_down()
    assert [w.difference for w in d.shop.seen] == [3]
    owe(d, 4)
    owe(d, -4)
    assert d.plan()[0] == 0
    assert (d.shop.quantity, owed(d)) == (13, 0)


def test_orders_that_nobody_told_us_of_and_counts_are_not_erased(store: Store) -> None:
    d = desk(store)
    d.shop.order(4)
    d.shop.quantity, d.shop.version = d.shop.quantity + 20, d.shop.version + 1  # Somebody receives 20.
    owe(d, 1)
    d.plan()
    d.send(d.pick(raises=True))
    assert (d.shop.quantity, owed(d)) == (27, 0)


def test_a_raise_does_not_wait_for_what_the_entry_shows(store: Store) -> None:
    """More is shown than we know of: to a number of ours nothing would be added, to this one what happened is."""
    d = desk(store)
    d.shop.quantity += 5
    owe(d, 2)
    d.plan()
    d.send(d.pick(raises=True))
    assert d.shop.quantity == 17


@pytest.mark.parametrize("fate", ["lost before", "lost after", "late"])
@pytest.mark.parametrize("units", [3, -3])
def test_a_write_that_nobody_saw_is_neither_lost_nor_doubled(store: Store, fate: str, units: int) -> None:
    d = desk(store)
    owe(d, units)
    d.plan()
    d.shop.fate = [fate]
    d.send(d.pick(raises=units > 0))
    owe(d, 1, "o2")
    d.resolve()
    d.shop.arrive_late()
    d.see()
    d.settle_down()
    assert (d.shop.quantity, owed(d)) == (10 + units + 1, 0)


@pytest.mark.parametrize("units", [3, -3])
def test_without_a_marker_it_is_taken_the_way_that_sells_too_little_and_somebody_is_told(
    store: Store, units: int
) -> None:
    d = desk(store)
    d.shop.typed = "their-type"
    d.see()
    owe(d, units)
    d.plan()
    d.shop.fate = ["lost after"]
    d.send(d.pick(raises=units > 0))
    outcome = d.resolve()
    assert isinstance(outcome, Done if units > 0 else Rejected)
    assert len(d.refused) == 1
    d.see()
    d.settle_down()
    assert d.shop.quantity == (13 if units > 0 else 4), "a lower is written twice, a raise never"


def test_a_mode_that_only_lowers_keeps_raises_for_later(store: Store) -> None:
    lowers = Layout(channels={"web": ChannelRule("web", "all", counted=True, mode="lowers")}, pools=LAYOUT.pools)
    d = desk(store, layout=lowers)
    owe(d, 2)
    d.plan()
    assert d.pick(raises=True).operations == ()
    d.layout = COUNTED
    d.plan()
    d.send(d.pick(raises=True))
    assert (d.shop.quantity, owed(d)) == (12, 0)


def test_what_a_restore_forgives_is_written_by_nobody(store: Store) -> None:
    d = desk(store)
    owe(d, 2)
    d.plan()
    assert d.store.write_now(adjustments.forgive, 1, NOW) == [(LAMP, "web", 2)]
    assert d.store.write_now(adjustments.forgive, 2, NOW) == []
    d.store.write_now(_look_again)
    assert d.plan()[0] == 0
    assert (d.shop.quantity, owed(d)) == (10, 0)


@pytest.mark.parametrize(("fate", "shown"), [("late", 10), ("lost after", 12)])
def test_a_write_that_was_open_in_a_backup_pays_nothing(store: Store, fate: str, shown: int) -> None:
    d = desk(store)
    owe(d, 2)
    d.plan()
    d.shop.fate = [fate]
    d.send(d.pick(raises=True))
    d.store.write_now(lambda tx: tx.run(recovery.sql.disown_adjustments))
    d.store.write_now(adjustments.forgive, 1, NOW)
    d.resolve()
    assert d.shop.arrive_late() == ([False] if fate == "late" else [])
    d.see()
    d.store.write_now(_look_again)
    d.settle_down()
    assert (d.shop.quantity, owed(d)) == (shown, 0)


def test_a_write_of_before_is_ended_where_commercetools_becomes_the_master(store: Store) -> None:
    d = desk(store, shown=10, base=4, layout=LAYOUT)
    d.plan()
    d.shop.fate = ["late"]
    d.send(d.pick(raises=False))
    changed = Desk(store, d.shop, COUNTED)
    owe(changed, -1)
    changed.resolve()
    assert d.shop.arrive_late() == [False]
    changed.see()
    changed.settle_down()
    assert (d.shop.quantity, owed(d)) == (9, 0)


def _look_again(tx: Tx) -> None:
    entries.nudge(tx, LAMP, NOW)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_calls_do_the_number_ends_where_the_facts_say(store: Store, seed: int) -> None:
    """Adjustments, orders known and unknown, counts, and calls of every fate, in any order."""
    die = random.Random(seed)
    d = desk(store)
    expected = d.shop.quantity
    for step in range(25):
        match die.choice(("owe", "order", "count", "write", "write", "resolve", "late")):
            case "owe":
                units = die.choice((-3, -1, 1, 2))
                owe(d, units, f"o{step}")
                expected += units
            case "order":
                units = die.randint(1, 3)
                d.shop.order(units, bump=die.random() < 0.5)
                expected -= units
                if die.random() < 0.5:
                    d.capture(f"c{step}", units)
            case "count":
                d.shop.quantity, d.shop.version = d.shop.quantity + 5, d.shop.version + 1
                expected += 5
            case "write":
                if not open_operations(d) and (found := d.plan()[0]):
                    d.shop.fate = [die.choice(FATES)]
                    d.send(d.pick(raises=found > 0))
            case "resolve":
                if open_operations(d):
                    d.resolve()
            case "late":
                d.shop.arrive_late()
    for _ in range(20):
        d.shop.arrive_late()
        d.shop.fate = []
        if open_operations(d):
            d.resolve()
            continue
        d.see()
        if (found := d.plan()[0]) == 0 and owed(d) == 0:
            break
        d.send(d.pick(raises=found > 0))
    assert (d.shop.quantity, owed(d)) == (expected, 0), f"seed {seed}"
