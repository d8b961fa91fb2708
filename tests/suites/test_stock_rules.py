"""The rules of stock on a real database, with the worked numbers of the concepts page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from sellable.domain.stock import OUTSIDE, Kind, Movement, State
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import Query
from sellable.stock import demand, entries, ledger, numbers, observe
from sellable.stock.availability import ChannelRule, Layout

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
LAMP = "CRUNCHY-ARMCHAIR"
LAYOUT = Layout(
    channels={"web-eu": ChannelRule("web-eu", "eu"), "web-uk": ChannelRule("web-uk", "uk")},
    pools={"eu": ("WH1", "WH2"), "uk": ("WH1",)},
)
PLACES = ["WH1", "WH2"]
ROWS_OF, LATE_UNITS, UNITS = (
    Query(package="t", name="t", purpose="t", text=text)
    for text in (
        "SELECT count(*) FROM sweep_row WHERE sweep = %(sweep)s",
        "SELECT sum(value)::bigint FROM sweep_row WHERE sweep = 'late'",
        "SELECT sum(value)::bigint FROM observed",
    )
)


def row(units: int, place: str = "WH1", sku: str = LAMP, part: str = "", allocated: int = 0) -> observe.Row:
    return observe.Row(sku=sku, location=place, part=part, state="available", value=units, allocated=allocated)


def sweep(tx: Tx, name: str, rows: list[observe.Row], *, a0: int | None = None, scope: str = "") -> int:
    """A complete set of one page; returns its a0."""
    start = next_seq(tx) if a0 is None else a0
    observe.start(tx, name, "cin7_core", scope, NOW)
    observe.see_page(tx, name, rows, a0=start, a1=next_seq(tx), now=NOW)
    observe.close(tx, name, complete=True, cause="", locations=PLACES, now=NOW)
    observe.apply(tx, name, waiting=[], dropped=[], locations=PLACES, now=NOW)
    return start


def entry(tx: Tx, shown: int, channel: str = "web-eu", sku: str = LAMP) -> None:
    seen = entries.Seen(
        sku=sku, channel=channel, remote_id=f"{sku}/{channel}", version=1, quantity=shown, reserved=0, typed=None,
        backorder=False, last_op=None, at=NOW, seq=next_seq(tx),
    )  # fmt: skip
    entries.see(tx, [seen], NOW)


def sell(
    tx: Tx, order: str, units: int, channel: str = "web-eu", place: str | None = "WH1", *, taken: bool = True
) -> None:
    sold = demand.Sold(order_id=order, line_id="1", sku=LAMP, label=order, channel=channel, units=units, location=place)
    demand.capture(tx, [sold], NOW)
    if taken:
        fact = entries.EntryFact(
            sku=LAMP, channel=channel, kind="taken", quantity=-units, source="order", resource=order, line="1", seq=0,
            remote_at=NOW + timedelta(seconds=1),
        )  # fmt: skip
        entries.record(tx, [fact], NOW, priority=1, reason=order)


def number(tx: Tx, channel: str = "web-eu") -> tuple[int, int]:
    """(T, E) of the lamp."""
    (found,) = [n for n in numbers.compute(tx, [LAMP], LAYOUT, NOW) if n.channel == channel]
    return found.explanation.target, found.e


def healthy(tx: Tx) -> None:
    assert ledger.balances_that_differ(tx) == []
    assert ledger.skus_that_do_not_sum_to_zero(tx) == []
    assert entries.entries_that_differ(tx) == []


def test_worked_example_of_containment(store: Store) -> None:
    """Master 10, order of 3 acked between two readings: 4 for a moment, 7 from the next reading on, never above."""

    def story(tx: Tx) -> list[int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        seen = [number(tx)[0]]
        sell(tx, "A", 3)
        p1 = next_seq(tx)  # page 1 is asked for before the ack
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        sweep(tx, "s1", [row(7)], a0=p1)
        seen.append(number(tx)[0])
        sweep(tx, "s2", [row(7)])
        seen.append(number(tx)[0])
        healthy(tx)
        return seen

    assert store.write_now(story) == [10, 4, 7]


def test_a_page_read_before_the_allocation_shows_the_truth(store: Store) -> None:
    def story(tx: Tx) -> int:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        sell(tx, "A", 3)
        p1 = next_seq(tx)
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        sweep(tx, "s1", [row(10)], a0=p1)
        return number(tx)[0]

    assert store.write_now(story) == 7


def test_partial_allocation_contains_only_what_was_allocated(store: Store) -> None:
    def story(tx: Tx) -> tuple[int, int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(3)])
        sell(tx, "A", 5)
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        sweep(tx, "s1", [row(0)])
        short = numbers.compute(tx, [LAMP], LAYOUT, NOW)[0].explanation.ats
        sweep(tx, "s2", [row(10)])
        return short, number(tx)[0]

    assert store.write_now(story) == (-2, 8)


def test_undo_puts_the_units_back_in_flight_before_the_master_is_asked(store: Store) -> None:
    """Base 10, A of 3 contained, undone by us: the page that says 10 must not show 10 while A lives."""

    def story(tx: Tx) -> list[int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        sell(tx, "A", 3)
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        sweep(tx, "s1", [row(7)])
        seen = [number(tx)[0]]
        demand.revoke(tx, "A", "WH1", "undo", NOW)
        seen.append(number(tx)[0])
        sweep(tx, "s2", [row(10)])
        seen.append(number(tx)[0])
        return seen

    assert store.write_now(story) == [7, 4, 7]


def test_cancel_keeps_subtracting_until_a_page_after_it(store: Store) -> None:
    """Picked goods may go to inspection: after the void ATS stays until a page read later says what came free."""

    def story(tx: Tx) -> list[int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        sell(tx, "A", 3)
        seen = [number(tx)[0]]
        demand.cancelled(tx, "A", "WH1", next_seq(tx), "void", NOW)
        seen.append(number(tx)[0])
        sweep(tx, "s1", [row(7)])  # goods went to inspection
        seen.append(number(tx)[0])
        sweep(tx, "s2", [row(10)])
        seen.append(number(tx)[0])
        return seen

    assert store.write_now(story) == [7, 7, 7, 10]


def test_never_sent_units_are_released_at_once(store: Store) -> None:
    def story(tx: Tx) -> list[int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        sell(tx, "A", 3)
        seen = [number(tx)[0]]
        demand.release(tx, "A", None, "cancelled before sending", NOW)
        return [*seen, number(tx)[0]]

    assert store.write_now(story) == [7, 10]


def test_a_sale_on_one_pool_lowers_every_pool_that_shares_the_location(store: Store) -> None:
    """WH1 = 10 in both pools, a UK order of 6: EU shows 4, not 10."""

    def story(tx: Tx) -> tuple[int, int]:
        entry(tx, 0, "web-eu")
        entry(tx, 0, "web-uk")
        sweep(tx, "s0", [row(10)])
        sell(tx, "B", 6, "web-uk", None)
        return number(tx, "web-eu")[0], number(tx, "web-uk")[0]

    assert store.write_now(story) == (4, 4)


def test_an_order_of_the_entry_itself_needs_no_write(store: Store) -> None:
    """commercetools has lowered its entry: T and E fall together; only the sibling entry is told."""

    def story(tx: Tx) -> dict[str, int]:
        entry(tx, 10, "web-eu")
        entry(tx, 10, "web-uk")
        sweep(tx, "s0", [row(10)])
        sell(tx, "B", 4, "web-uk")
        return {n.channel: n.d for n in numbers.compute(tx, [LAMP], LAYOUT, NOW)}

    assert store.write_now(story) == {"web-eu": -4, "web-uk": 0}


def test_unknown_orders_cancel_out_of_the_difference(store: Store) -> None:
    """Truth 10, commercetools took 4 we have not seen, a delivery of 5: d is +5, then 0 once the order is known."""

    def story(tx: Tx) -> list[int]:
        entry(tx, 10)
        sweep(tx, "s0", [row(10)])
        sweep(tx, "s1", [row(15)])
        target, e = number(tx)
        found = [target - e]
        entries.record(
            tx,
            [
                entries.EntryFact(
                    sku=LAMP, channel="web-eu", kind="delta", quantity=5, source="op", resource="op1", line="", seq=0,
                    remote_at=NOW + timedelta(seconds=5),
                )
            ],
            NOW, priority=4, reason="write",
        )  # fmt: skip
        sell(tx, "B", 4)
        target, e = number(tx)
        return [*found, target, e]

    assert store.write_now(story) == [5, 11, 11]


def test_orders_before_the_baseline_do_not_lower_it_twice(store: Store) -> None:
    def story(tx: Tx) -> tuple[int, int]:
        entry(tx, 6)
        fact = entries.EntryFact(
            sku=LAMP, channel="web-eu", kind="taken", quantity=-4, source="order", resource="old", line="1", seq=0,
            remote_at=NOW - timedelta(seconds=1),
        )  # fmt: skip
        entries.record(tx, [fact], NOW, priority=1, reason="old")
        return number(tx)

    assert store.write_now(story)[1] == 6


def test_lower_counts_at_once_and_raises_wait_for_the_set(store: Store) -> None:
    def story(tx: Tx) -> list[int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10), row(5, "WH2")])
        observe.start(tx, "s1", "cin7_core", "", NOW)
        a0 = next_seq(tx)
        observe.see_page(tx, "s1", [row(4)], a0=a0, a1=next_seq(tx), now=NOW)
        found = [number(tx)[0]]
        a0 = next_seq(tx)
        observe.see_page(tx, "s1", [row(9, "WH2")], a0=a0, a1=next_seq(tx), now=NOW)
        found.append(number(tx)[0])
        observe.close(tx, "s1", complete=False, cause="total moved", locations=PLACES, now=NOW)
        found.append(number(tx)[0])
        healthy(tx)
        return found

    assert store.write_now(story) == [9, 9, 9]


def test_a_lower_seen_in_an_unfinished_set_contains_nothing_yet(store: Store) -> None:
    """The row's causal number moves with the set: until then an acked order is subtracted from the lower number too."""

    def story(tx: Tx) -> list[int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        sell(tx, "A", 3)
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        observe.start(tx, "s1", "cin7_core", "", NOW)
        observe.see_page(tx, "s1", [row(7)], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        found = [number(tx)[0]]
        observe.close(tx, "s1", complete=True, cause="", locations=PLACES, now=NOW)
        observe.apply(tx, "s1", waiting=[], dropped=[], locations=PLACES, now=NOW)
        return [*found, number(tx)[0]]

    assert store.write_now(story) == [4, 7]


def test_units_that_come_free_at_one_place_while_as_many_go_at_another_wait_for_proof(store: Store) -> None:
    """3 of an order's units at WH1 are freed by hand, 3 at WH2 are sold over the counter: the sum stays, WH1 rises."""

    def story(tx: Tx) -> tuple[tuple[str, ...], tuple[str, ...]]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10), row(4, "WH2")])
        sell(tx, "A", 3)
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        sweep(tx, "s1", [row(7), row(4, "WH2")])
        found = []
        for name, first, second in (("s2", 7, 3), ("s3", 10, 1)):
            observe.start(tx, name, "cin7_core", "", NOW)
            rows = [row(first), row(second, "WH2")]
            observe.see_page(tx, name, rows, a0=next_seq(tx), a1=next_seq(tx), now=NOW)
            found.append(observe.close(tx, name, complete=True, cause="", locations=PLACES, now=NOW).raises)
            observe.apply(tx, name, waiting=list(found[-1]), dropped=list(found[-1]), locations=PLACES, now=NOW)
        return found[0], found[1]

    assert store.write_now(story) == ((), (LAMP,))


def test_absent_rows_are_suspected_and_only_an_exact_answer_makes_them_zero(store: Store) -> None:
    def story(tx: Tx) -> tuple[tuple[str, ...], int, int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10), row(3, "WH2")])
        observe.start(tx, "s1", "cin7_core", "", NOW)
        observe.see_page(tx, "s1", [row(3, "WH2")], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        closing = observe.close(tx, "s1", complete=True, cause="", locations=PLACES, now=NOW)
        observe.drop(tx, "s1", closing.suspects)
        observe.apply(tx, "s1", waiting=[], dropped=closing.suspects, locations=PLACES, now=NOW)
        before = number(tx)[0]
        sweep(tx, "s2", [row(3, "WH2")], scope=LAMP)
        healthy(tx)
        return closing.suspects, before, number(tx)[0]

    assert store.write_now(story) == ((LAMP,), 13, 3)


def test_an_older_page_never_replaces_a_newer_one(store: Store) -> None:
    def story(tx: Tx) -> int:
        entry(tx, 0)
        old = next_seq(tx)
        sweep(tx, "s1", [row(4)])
        sweep(tx, "s0", [row(10)], a0=old)
        return number(tx)[0]

    assert store.write_now(story) == 4


def test_a_row_that_comes_twice_spoils_the_proof_and_keeps_the_lower(store: Store) -> None:
    def story(tx: Tx) -> tuple[bool, int]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        observe.start(tx, "s1", "cin7_core", "", NOW)
        observe.see_page(tx, "s1", [row(12), row(8)], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        closing = observe.close(tx, "s1", complete=True, cause="", locations=PLACES, now=NOW)
        return closing.complete, number(tx)[0]

    assert store.write_now(story) == (False, 8)


def test_what_the_master_freed_without_us_is_a_raise_that_waits(store: Store) -> None:
    """Staff undo A between its ack and the page: the page says 10 again, which is more than A's evidence allows."""

    def story(tx: Tx) -> tuple[list[str], list[tuple[str, str, str]]]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        sell(tx, "A", 3)
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        observe.start(tx, "s1", "cin7_core", "", NOW)
        observe.see_page(tx, "s1", [row(10)], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        closing = observe.close(tx, "s1", complete=True, cause="", locations=PLACES, now=NOW)
        return list(closing.raises), demand.contained_and_open(tx, closing.raises)

    raises, pairs = store.write_now(story)
    assert raises == [LAMP]
    assert pairs == [(LAMP, "A", "WH1")]


def test_the_ordinary_swap_of_in_flight_and_base_is_no_raise(store: Store) -> None:
    def story(tx: Tx) -> tuple[str, ...]:
        entry(tx, 0)
        sweep(tx, "s0", [row(10)])
        sell(tx, "A", 3)
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        observe.start(tx, "s1", "cin7_core", "", NOW)
        observe.see_page(tx, "s1", [row(7)], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        return observe.close(tx, "s1", complete=True, cause="", locations=PLACES, now=NOW).raises

    assert store.write_now(story) == ()


def test_the_same_fact_twice_changes_nothing_and_another_content_is_told_and_stops_no_other(store: Store) -> None:
    fact = Movement(
        source="cin7_core", resource="T1", line="1", kind=Kind.SHIPPED, sku=LAMP, quantity=2, from_location="WH1",
        from_state=State.ALLOCATED, to_location=OUTSIDE, to_state=State.CUSTOMER,
    )  # fmt: skip
    assert store.write_now(ledger.post, [fact], NOW) == ledger.Posted(new=1)
    assert store.write_now(ledger.post, [fact, fact], NOW) == ledger.Posted(new=0)
    other = Movement(
        source="cin7_core", resource="T1", line="1", kind=Kind.SHIPPED, sku=LAMP, quantity=3, from_location="WH1",
        from_state=State.ALLOCATED, to_location=OUTSIDE, to_state=State.CUSTOMER,
    )  # fmt: skip
    beside = msgspec.structs.replace(fact, line="2")
    posted = store.write_now(ledger.post, [other, beside], NOW)
    assert posted == ledger.Posted(new=1, conflicts=(ledger.Conflict(arrived=other, recorded=fact),))
    store.read_now(healthy)
    balances = store.read_now(lambda tx: tx.all(numbers.sql.balances_of, sku=LAMP))
    assert [(r.state, r.quantity) for r in balances] == [("allocated", -4)]


def test_facts_are_never_changed(store: Store) -> None:
    import psycopg

    def tamper(tx: Tx) -> None:
        sweep(tx, "s0", [row(10)])
        tx.finish()
        tx.run(Query(package="t", name="t", purpose="t", text="UPDATE movement SET quantity = 99"))

    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        store.write_now(tamper)


def test_returned_and_inspected_stock_is_left_out_and_shown_as_left_out(store: Store) -> None:
    def story(tx: Tx) -> tuple[int, dict[str, int]]:
        entry(tx, 0)
        returns = observe.Row(sku=LAMP, location="WH1", part="RETURNS", state="inspection", value=4, allocated=0)
        unknown = observe.Row(sku=LAMP, location="WH1", part="??", state="", value=2, allocated=0)
        sweep(tx, "s0", [row(10), returns, unknown])
        found = numbers.compute(tx, [LAMP], LAYOUT, NOW)[0].explanation
        assert found.term is not None
        return found.target, found.term.locations[0].left_out

    assert store.write_now(story) == (10, {"inspection": 4, "unknown": 2})


OF_SETS = [
    "lower_late", "lower_waiting", "apply_lowers", "sweep_suspects", "sweep_raises", "risers", "seen_again",
    "forget_overtaken_rows", "absent_still_zero", "gone_unsold", "apply_set",
    "forget_other_rows",
]  # fmt: skip


def loops(plan: Mapping[str, Any]) -> float:
    """The most often that any step of a plan was begun."""
    return max([plan["Actual Loops"], *(loops(step) for step in plan.get("Plans", []))])


def test_a_late_page_is_compared_with_its_own_rows_however_many_sets_came_since(store: Store) -> None:
    """A backlog must not make each page of it dearer: in a busy hour a thousand single readings pass one that waits."""

    def story(tx: Tx) -> tuple[float, int]:
        late, skus = next_seq(tx), [f"LAMP-{n:03}" for n in range(50)]
        for n in range(300):
            observe.start(tx, f"w{n}", "cin7_core", skus[n % 50], NOW)
            observe.see_page(tx, f"w{n}", [row(9, sku=skus[n % 50])], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
            observe.close(tx, f"w{n}", complete=False, cause="came to nothing", locations=PLACES, now=NOW)
        observe.start(tx, "late", "cin7_core", "", NOW)
        observe.see_page(tx, "late", [row(10, sku=sku) for sku in skus], a0=late, a1=next_seq(tx), now=NOW)
        query = dataclasses.replace(
            observe.sql.lower_late, text=f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {observe.sql.lower_late.text}"
        )
        steps = loops(tx.value(query, sweep="late", a0=late)[0]["Plan"])
        return steps, tx.value(LATE_UNITS)

    steps, units = store.write_now(story)
    assert units == 50 * 9
    assert steps <= 50 * 6


def test_a_set_that_came_to_nothing_is_remembered_while_older_readings_may_come(store: Store) -> None:
    def abandoned(tx: Tx, name: str) -> None:
        observe.start(tx, name, "cin7_core", "", NOW)
        observe.see_page(tx, name, [row(3)], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        observe.close(tx, name, complete=False, cause="the total moved", locations=PLACES, now=NOW)

    def older(tx: Tx, name: str, a0: int) -> observe.Closing:
        observe.start(tx, name, "cin7_core", LAMP, NOW)
        observe.see_page(tx, name, [row(7)], a0=a0, a1=next_seq(tx), now=NOW)
        return observe.close(tx, name, complete=True, cause="", locations=PLACES, now=NOW)

    def story(tx: Tx) -> list[Any]:
        sweep(tx, "first", [row(2)])
        # Another master's walk that goes on for ever holds up nothing here.
        observe.start(tx, "theirs", "orderflow", "", NOW)
        observe.see_page(tx, "theirs", [row(5, "WH9")], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        waits, late = next_seq(tx), next_seq(tx)
        abandoned(tx, "nothing")
        found: list[Any] = []
        observe.forget(tx, "cin7_core", NOW + observe.MEMORY)
        found.append(tx.value(ROWS_OF, sweep="nothing"))
        assert older(tx, "waits", waits).complete  # it is as low as the newer reading
        observe.forget(tx, "cin7_core", NOW + 2 * observe.MEMORY)
        found.append(tx.value(ROWS_OF, sweep="nothing"))  # the older set still waits to be believed
        observe.apply(tx, "waits", waiting=[], dropped=[], locations=PLACES, now=NOW)
        found.append(tx.value(UNITS))
        observe.start(tx, "next walk", "cin7_core", "", NOW + 2 * observe.MEMORY)
        found.append(tx.value(ROWS_OF, sweep="nothing"))
        found.append(older(tx, "too late", late).complete)
        found.append(older(tx, "new", next_seq(tx)).complete)
        return found

    assert store.write_now(story) == [1, 1, 3, 0, False, True]


def test_the_work_for_a_set_grows_with_its_rows_and_not_with_their_square(store: Store) -> None:
    """The database knows nothing of a set that is new, and plans as if its page had a single row."""
    page, sets = 200, 5

    def story(tx: Tx) -> dict[str, float]:
        late, skus = next_seq(tx), [f"LAMP-{n:03}" for n in range(page)]
        for n in range(sets):
            observe.start(tx, f"w{n}", "cin7_core", "", NOW)
            rows = [row(9, sku=sku) for sku in skus]
            observe.see_page(tx, f"w{n}", rows, a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        tx.run(dataclasses.replace(observe.sql.lower_late, text="ANALYZE sweep, sweep_row"))
        observe.start(tx, "late", "cin7_core", "", NOW)
        observe.see_page(tx, "late", [row(10, sku=sku) for sku in skus], a0=late, a1=next_seq(tx), now=NOW)
        found = {}
        asked = {
            "sweep": "late",
            "a0": late,
            "at": NOW,
            "locations": PLACES,
            "without": [],
            "after": None,
            "until": None,
            "only": None,
        }
        asked |= {"low_mark": 3, "most": 10, "oldest": 10, "suspects": []}
        for name in OF_SETS:
            query = getattr(observe.sql, name)
            told = dataclasses.replace(query, text=f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query.text}")
            found[name] = loops(tx.value(told, **asked)[0]["Plan"])
        return found

    found = store.write_now(story)
    assert max(found.values()) <= page * (sets + 1), found
