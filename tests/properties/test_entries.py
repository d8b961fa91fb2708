"""Any history of orders, captures, deliveries, lost, late and doubled writes on one storefront entry:

with no other seller nothing is ever oversold, and in the end T, E and what the storefront shows are one number.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.suites.test_writer import Q_OPEN, Desk, Shop

from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import next_seq
from sellable.simulation.virtual.play import EMPTY
from sellable.stock import entries

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
STEPS = ["order", "order", "capture", "capture", "deliver", "write", "write", "read", "late", "resolve"]
FATES = ["fine", "fine", "lost before", "lost after", "late"]


def emptied(store: Store) -> None:
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute(EMPTY)


def open_operations(desk: Desk) -> int:
    return int(desk.store.read_now(lambda tx: tx.value(Q_OPEN)))


def write(desk: Desk, fate: str) -> None:
    d, _ = desk.plan()
    if d:
        desk.shop.fate = [fate]
        picked = desk.pick(raises=d > 0)
        if picked.operations:
            desk.send(picked)
        desk.shop.fate = []


@settings(QUIET, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 4), st.sampled_from(FATES)), min_size=4, max_size=25),
    st.booleans(),
)
def test_nothing_is_oversold_and_all_numbers_meet(
    store: Store, history: list[tuple[str, int, str]], bump: bool
) -> None:
    emptied(store)
    desk = Desk(store, Shop(quantity=8))
    desk.see()
    supply, sold, unknown, sets = 8, 0, [], count()
    desk.base(supply, f"s{next(sets)}")
    for number, (step, units, fate) in enumerate(history):
        if step == "order" and desk.shop.quantity >= units:
            desk.shop.order(units, bump=bump)
            sold += units
            unknown.append((f"o{number}", units))
        elif step == "capture" and unknown:
            desk.capture(*unknown.pop(0))
        elif step == "deliver":
            supply += units
            desk.base(supply, f"s{next(sets)}")
        elif step == "write":
            write(desk, fate)
        elif step == "read":
            desk.see()
        elif step == "late":
            desk.shop.arrive_late()
        elif step == "resolve" and open_operations(desk):
            desk.resolve()
        assert desk.shop.quantity <= supply - sold, (number, step, units, fate)
        assert open_operations(desk) <= 1
    for order in unknown:
        desk.capture(*order)
    desk.shop.arrive_late()
    while open_operations(desk):
        desk.resolve()
    desk.see()
    for _ in range(4):
        write(desk, "fine")
    assert desk.numbers() == (supply - sold, supply - sold, supply - sold)


@settings(QUIET, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(-5, 5)), min_size=1, max_size=12, unique_by=lambda f: f[0]),
    st.integers(0, 2**16),
)
def test_facts_in_any_order_and_any_number_of_times_make_the_same_number(
    store: Store, found: list[tuple[int, int]], seed: int
) -> None:
    emptied(store)

    def story(tx: Tx) -> int:
        seen = entries.Seen(
            sku="LAMP", channel="web", remote_id="r1", version=1, quantity=10, reserved=0, typed=None, backorder=False,
            last_op=None, at=NOW, seq=next_seq(tx),
        )  # fmt: skip
        entries.see(tx, [seen], NOW)
        shuffled = [*found, *found]
        Random(seed).shuffle(shuffled)
        for name, units in shuffled:
            fact = entries.EntryFact(
                sku="LAMP", channel="web", kind="taken", quantity=units, source="order", resource=f"o{name}", line="1",
                seq=0, remote_at=NOW + timedelta(seconds=1),
            )  # fmt: skip
            entries.record(tx, [fact], NOW, priority=1, reason="order")
            if units > 2:
                entries.fold(tx)
        assert entries.entries_that_differ(tx) == []
        return int(entries.read(tx, ["LAMP"])[0].e)

    assert store.write_now(story) == 10 + sum(units for _, units in found)
