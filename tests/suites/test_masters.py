"""Sets of a master's pages in an unlucky order: what is older never wins, what cannot be proved never raises."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from sellable.connectors.port import CataloguePage, StockPage, StockRow
from sellable.domain.stock import Priority, State
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import Query
from sellable.runtime.wanted import want
from sellable.stock import demand, dirty, entries, ledger, numbers, observe
from sellable.stock.availability import ChannelRule, Layout
from sellable.sync import masters, writer

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
LAMP = "LAMP"
LAYOUT = Layout(channels={"web": ChannelRule("web", "all")}, pools={"all": ("WH1", "WH2")})
PLACES = ["WH1", "WH2"]
VALUES = Query(package="t", name="t", purpose="t", text="SELECT location, value, a0 FROM observed ORDER BY location")
BY_SKU = Query(package="t", name="t", purpose="t", text="SELECT sku, location, value FROM observed")
SUSPECTS = Query(package="t", name="t", purpose="t", text="SELECT sku FROM suspect ORDER BY sku")
WISHES = Query(package="t", name="t", purpose="t", text="SELECT key FROM wanted ORDER BY key")
EVIDENCE = Query(package="t", name="t", purpose="t", text="SELECT settled FROM demand")


def row(units: int, place: str = "WH1", part: str = "", state: str = "available", sku: str = LAMP) -> observe.Row:
    return observe.Row(sku=sku, location=place, part=part, state=state, value=units, allocated=0)


def entry(tx: Tx, sku: str = LAMP, shown: int = 0, channel: str = "web") -> None:
    seen = entries.Seen(
        sku=sku, channel=channel, remote_id=f"{sku}/{channel}", version=1, quantity=shown, reserved=0, typed=None,
        backorder=False, last_op=None, at=NOW, seq=next_seq(tx),
    )  # fmt: skip
    entries.see(tx, [seen], NOW)


def page(tx: Tx, name: str, rows: list[observe.Row], *, scope: str = "", a0: int | None = None) -> int:
    """The first page of a walk that goes on; returns its a0."""
    at = next_seq(tx) if a0 is None else a0
    observe.start(tx, name, "cin7_core", scope, NOW)
    observe.see_page(tx, name, rows, a0=at, a1=next_seq(tx), now=NOW)
    return at


def closed(tx: Tx, name: str) -> observe.Closing:
    return observe.close(tx, name, complete=True, cause="", locations=PLACES, now=NOW)


def believe(tx: Tx, name: str, waiting: tuple[str, ...] = (), dropped: tuple[str, ...] = ()) -> None:
    observe.apply(tx, name, waiting=waiting, dropped=dropped, locations=PLACES, now=NOW)


def whole(tx: Tx, name: str, rows: list[observe.Row], *, scope: str = "", a0: int | None = None) -> None:
    page(tx, name, rows, scope=scope, a0=a0)
    closed(tx, name)
    believe(tx, name)


def shown(tx: Tx) -> int:
    (found,) = numbers.compute(tx, [LAMP], LAYOUT, NOW)
    return found.explanation.target


def test_a_set_proved_late_does_not_undo_a_lower_seen_since(store: Store) -> None:
    """Set 1 says 10 and waits for proof; a page of walk 2 says 4; then set 1 is proved. 4 stays."""

    def story(tx: Tx) -> list[int]:
        entry(tx)
        whole(tx, "s0", [row(7)])
        page(tx, "s1", [row(10)])
        closed(tx, "s1")
        believe(tx, "s1", waiting=(LAMP,), dropped=(LAMP,))
        found = [shown(tx)]
        page(tx, "s2", [row(4)])
        found.append(shown(tx))
        believe(tx, "s1")
        return [*found, shown(tx)]

    assert store.write_now(story) == [7, 4, 4]


def test_an_exact_reading_handled_late_does_not_undo_a_lower_seen_since(store: Store) -> None:
    def story(tx: Tx) -> tuple[int, int]:
        entry(tx)
        whole(tx, "s0", [row(10)])
        early = next_seq(tx)
        page(tx, "s1", [row(4)])
        whole(tx, "sku", [row(10)], scope=LAMP, a0=early)
        late = shown(tx)
        closed(tx, "s1")
        believe(tx, "s1")
        return late, shown(tx)

    assert store.write_now(story) == (4, 4)


def test_an_exact_answer_without_rows_is_no_raise_of_a_negative_number_seen_since(store: Store) -> None:
    """A row fell to -3 after the exact reading was asked for: the reading's nothing is older than that."""

    def story(tx: Tx) -> int:
        entry(tx)
        whole(tx, "s0", [row(5), row(6, "WH2")])
        early = next_seq(tx)
        page(tx, "s1", [row(-3)])
        whole(tx, "sku", [row(6, "WH2")], scope=LAMP, a0=early)
        return shown(tx)

    assert store.write_now(story) == 3


def test_an_older_lower_does_not_replace_a_newer_one(store: Store) -> None:
    def story(tx: Tx) -> int:
        entry(tx)
        whole(tx, "s0", [row(10)])
        early = next_seq(tx)
        page(tx, "s1", [row(4)])
        page(tx, "old", [row(2)], scope=LAMP, a0=early)
        return shown(tx)

    assert store.write_now(story) == 4


def test_a_suspect_that_a_later_set_shows_again_is_not_zeroed_for_ever(store: Store) -> None:
    """Absent once, not readable in time, back in the next set: it keeps the set's number."""

    def story(tx: Tx) -> tuple[list[str], int]:
        entry(tx)
        whole(tx, "s0", [row(10)])
        page(tx, "s1", [])
        suspects = closed(tx, "s1").suspects
        observe.suspect(tx, suspects, "s1", now=NOW, deadline=NOW + timedelta(seconds=30))
        observe.drop(tx, "s1", suspects)
        believe(tx, "s1", dropped=suspects)
        observe.lower_to_zero(tx, suspects, "suspect", NOW)
        whole(tx, "s2", [row(10)])
        return [r.sku for r in tx.all(SUSPECTS)], shown(tx)

    assert store.write_now(story) == ([], 10)


def test_a_location_no_longer_read_does_not_keep_sold_units_for_ever(store: Store) -> None:
    """WH9 left the configuration: its last reading is old for ever, and nothing of ours may wait for a newer one."""

    def story(tx: Tx) -> tuple[bool, str | None]:
        entry(tx)
        whole(tx, "s0", [row(10), row(0, "WH9")])
        demand.capture(
            tx,
            [demand.Sold(order_id="A", line_id="1", sku=LAMP, label="A", channel="web", units=3, location="WH1")],
            NOW,
        )
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        demand.shipped(tx, "A", "WH1", next_seq(tx), NOW)
        tx.run(writer.sql.park_entries, sku=[LAMP], channel=["web"], parked="base", seq=next_seq(tx))
        whole(tx, "s1", [row(7)])
        return tx.value(EVIDENCE), None

    def parked() -> str | None:
        return store.read_now(lambda tx: entries.read(tx, [LAMP])[0].parked)

    assert store.write_now(story)[0] is True
    assert parked() == "base"
    while store.write_now(writer.plan_dirty, LAYOUT, NOW, stale=()):
        pass
    assert parked() is None


def test_goods_gone_from_inspection_leave_the_ledger_too(store: Store) -> None:
    def story(tx: Tx) -> list[tuple[str, str, int]]:
        entry(tx)
        whole(tx, "s0", [row(10), row(4, part="RETURNS", state="inspection")])
        whole(tx, "s1", [row(10)])
        tx.finish()
        assert ledger.skus_that_do_not_sum_to_zero(tx) == []
        return [(r.location, r.state, r.quantity) for r in tx.all(numbers.sql.balances_of, sku=LAMP)]

    assert store.write_now(story) == [("WH1", "available", 10)]


def test_facts_of_two_processes_never_wait_for_each_other(store: Store) -> None:
    """Two batches take the same SKUs in opposite order; neither waits, so neither can be a deadlock's victim."""
    other = Store(store.url, Clock())

    def fill(tx: Tx) -> None:
        for sku in ("A", "B"):
            entry(tx, sku, 10)

    store.write_now(fill)
    halfway = threading.Barrier(2, timeout=10)
    tries: list[str] = []

    def batch(name: str, skus: list[str]) -> None:
        def take(tx: Tx) -> None:
            tries.append(name)
            for number, sku in enumerate(skus):
                fact = entries.EntryFact(
                    sku=sku, channel="web", kind="taken", quantity=-1, source="order", resource=name, line=sku, seq=0,
                    remote_at=NOW + timedelta(seconds=1),
                )  # fmt: skip
                entries.record(tx, [fact], NOW, priority=Priority.ORDER_LOWER, reason=name)
                if number == 0 and tries.count(name) == 1:
                    halfway.wait()

        (store if name == "one" else other).write_now(take)

    try:
        threads = [
            threading.Thread(target=batch, args=("one", ["A", "B"])),
            threading.Thread(target=batch, args=("two", ["B", "A"])),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(tries) == ["one", "two"]
        found = {n.sku: n.e for n in store.read_now(numbers.compute, ["A", "B"], LAYOUT, NOW)}
        assert found == {"A": 8, "B": 8}
        assert {name for name, _, _ in store.write_now(dirty.take, 10)} == {"A", "B"}
        store.write_now(entries.fold)
        assert store.read_now(entries.entries_that_differ) == []
        assert {r.e for r in store.read_now(entries.read, ["A", "B"])} == {8}
    finally:
        other.close()


def test_a_number_marked_while_it_is_looked_at_is_looked_at_again(store: Store) -> None:
    """A planner that took the name before a sale committed leaves the later mark; the sale is seen next."""
    other = Store(store.url, Clock())
    try:
        store.write_now(entry, LAMP, 10)

        def story(tx: Tx) -> None:
            dirty.take(tx, 10)
            other.write_now(dirty.mark, [LAMP], Priority.ORDER_LOWER, "order", NOW)

        store.write_now(story)
        assert [name for name, _, _ in store.write_now(dirty.take, 10)] == [LAMP]
    finally:
        other.close()


def test_a_set_with_a_page_that_was_never_taken_proves_nothing(store: Store) -> None:
    """Two pages were read, one of them lies in quarantine: its rows are neither absent nor still zero."""
    master = masters.Master(name="cin7_core", remotes={"W": "WH1"}, open_case=lambda *a, **k: "")

    def closing(rows: int, sweep: str) -> Any:
        meta = {"master": "cin7_core", "sweep": sweep, "fault": "", "moved": [], "rows": rows}
        return SimpleNamespace(meta=meta, id=1)

    def story(tx: Tx) -> tuple[int, list[str], int]:
        entry(tx)
        whole(tx, "s0", [row(5), row(3, part="B")])
        page(tx, "s1", [row(9)])
        masters.on_close(tx, closing(2, "s1"), NOW, master=master)
        lost = shown(tx)
        suspects = [r.sku for r in tx.all(SUSPECTS)]
        page(tx, "s2", [row(9), row(3, part="B")])
        masters.on_close(tx, closing(2, "s2"), NOW, master=master)
        return lost, suspects, shown(tx)

    assert store.write_now(story) == (8, [], 12)


def walked(*totals: int) -> dict[str, Any]:
    """Where a walk of two pages a location stands after pages that told these totals, three rows each."""
    at: dict[str, Any] = {
        "sweep": "s", "place": 0, "page": 1, "received": 0, "rows": 0, "total": None, "again": 0, "fault": "",
        "transfers": "",
    }  # fmt: skip
    for total in totals:
        at = masters._after(at, StockPage(rows=(), received=3, total=total, page=at["page"]))
    return at


def test_products_are_walked_whole_at_first_and_once_in_the_configured_time(store: Store) -> None:
    """Only a whole walk shows what the master dropped; in between what changed is enough."""

    class Office:
        def __init__(self) -> None:
            self.since: list[str | None] = []

        async def catalogue_page(self, page: int, *, since: str | None, lane: str) -> CataloguePage:
            self.since.append(since)
            return CataloguePage(items=(), received=1, total=2, page=page)

    office: Any = Office()
    clock = SimpleNamespace(now=lambda: now)
    master = masters.Master(name="cin7_core", remotes={}, open_case=lambda *a, **k: "")
    feed = masters.CatalogueFeed(clock, office, master, timedelta(hours=24))  # type: ignore[arg-type]
    context: Any = None
    cursor: dict[str, Any] | None = {"mark": "2026-11-27T08:00:00.000Z"}  # of a process that knew no whole walks
    whole = []
    for hours in (0, 1, 23, 24, 25):
        now = NOW + timedelta(hours=hours)
        half = asyncio.run(feed.turn(cursor, context))
        assert half.again
        cursor = asyncio.run(feed.turn(half.cursor, context)).cursor
        assert cursor is not None
        whole.append(cursor["whole"][11:16])
    assert whole == ["09:00", "09:00", "09:00", "09:00", "09:00"]
    assert cursor["whole"].startswith("2026-11-28")
    assert [since and since[8:13] for since in office.since[::2]] == [None, "27T08", "27T09", None, "28T08"]
    assert office.since[::2] == office.since[1::2], "all pages of a walk ask for the same"


def test_a_location_whose_total_moved_is_read_anew_before_the_set_is_given_up() -> None:
    steady = walked(6, 6)
    assert (steady["place"], steady["fault"]) == (1, "")
    once = walked(6, 7)
    assert (once["place"], once["page"], once["again"], once["fault"]) == (0, 1, 1, "")
    mended = walked(6, 7, 6, 6)
    assert (mended["place"], mended["again"], mended["fault"]) == (1, 0, "")
    hopeless = walked(6, 7, 6, 7, 6, 7)
    assert (hopeless["page"], hopeless["fault"]) == (3, "total moved from 6 to 7 while reading")
    slow = masters._after(walked(6), StockPage(rows=(), received=3, total=7, page=2), quick=False)
    assert (slow["again"], slow["fault"]) == (0, "total moved from 6 to 7 while reading")


def test_a_location_read_anew_forgets_what_it_showed_first(store: Store) -> None:
    """Rows of the first reading are neither kept nor taken for rows that came twice; a lower seen in it stays."""

    def story(tx: Tx) -> tuple[bool, int, int]:
        entry(tx)
        whole(tx, "s0", [row(10), row(5, "WH2")])
        page(tx, "s1", [row(8)])
        observe.read_anew(tx, "s1", "WH1")
        observe.see_page(tx, "s1", [row(9)], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        lower = shown(tx)
        observe.see_page(tx, "s1", [row(5, "WH2")], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        closing = closed(tx, "s1")
        believe(tx, "s1")
        return closing.complete, lower, shown(tx)

    assert store.write_now(story) == (True, 13, 14)


def test_what_an_incomplete_walk_did_not_show_is_unknown_and_read_by_itself(store: Store) -> None:
    """A busy shop's totals move in every walk: a shelf that was emptied meanwhile must not wait for a quiet one."""
    master = masters.Master(name="cin7_core", remotes={"Main": "WH1", "Second": "WH2"}, open_case=lambda *a, **k: "")

    def story(tx: Tx) -> tuple[int, list[str]]:
        entry(tx)
        whole(tx, "s0", [row(10), row(5, sku="VASE")])
        page(tx, "s1", [row(5, sku="VASE")])
        masters._close(tx, "s1", "total moved", [], master, NOW)
        return shown(tx), [r.sku for r in tx.all(SUSPECTS)]

    assert store.write_now(story) == (10, [])
    assert [r.key for r in store.read_now(lambda tx: tx.all(WISHES))] == [LAMP]


# --- Raises: what proves them, and what they need not wait for -------------------------------------------------------

MASTER = masters.Master(name="cin7_core", remotes={"Main": "WH1", "Second": "WH2"}, open_case=lambda *a, **k: "")
ORDER = Query(
    package="t", name="t", purpose="t",
    text="""WITH o AS (INSERT INTO orders (order_id, version, state, stage, stage_since, placed_at, captured_at,
            captured_seq, modified_at, store, country, currency, digits, total, document)
        VALUES (%(id)s, 1, 'Open', 'exported', %(at)s, %(at)s, %(at)s, 1, %(at)s, '', 'GB', 'GBP', 2, 0, '{}'))
    INSERT INTO order_part (order_id, part, location, ref, state, sale_id, draft, expected, at)
    VALUES (%(id)s, 1, 'WH1', %(id)s, 'authorised', 'sale of ' || %(id)s, '{}', '{}', %(at)s)""",
)  # fmt: skip
AT_WH2 = Query(
    package="t", name="t", purpose="t",
    text="WITH d AS (UPDATE demand SET location = 'WH2') UPDATE order_part SET location = 'WH2'",
)  # fmt: skip
SEEN = Query(package="t", name="t", purpose="t", text="UPDATE order_part SET verified_seq = next_seq()")
ASKED = Query(package="t", name="t", purpose="t", text="SELECT kind, key, priority FROM wanted ORDER BY kind, key")


def sold(tx: Tx, order: str = "A", units: int = 3) -> None:
    """An order whose sale at WH1 holds its units, as far as we know."""
    demand.capture(
        tx,
        [demand.Sold(order_id=order, line_id="1", sku=LAMP, label=order, channel="web", units=units, location="WH1")],
        NOW,
    )
    tx.run(ORDER, id=order, at=NOW)
    demand.evidence(tx, order, "WH1", {LAMP: units}, next_seq(tx), NOW)


def close(tx: Tx, name: str, fault: str = "") -> None:
    """The walk is over: whatever it proves is believed."""
    masters._close(tx, name, fault, [], MASTER, NOW)


def risen(tx: Tx, units: int) -> None:
    """Of 10, A takes 3; the set after the one of 7 shows so many, and nobody has looked at A's sale since."""
    entry(tx)
    whole(tx, "s0", [row(10)])
    sold(tx)
    whole(tx, "s1", [row(7)])
    page(tx, "s2", [row(units)])
    close(tx, "s2")


def test_a_page_that_shows_less_than_what_waits_lowers_what_waits(store: Store) -> None:
    """7 counts and 10 waits for proof; a newer page says 8, no lower than what counts. Proved late, 10 is 8."""

    def story(tx: Tx) -> tuple[int, int]:
        entry(tx)
        whole(tx, "s0", [row(7)])
        page(tx, "s1", [row(10)])
        closed(tx, "s1")
        believe(tx, "s1", waiting=(LAMP,), dropped=(LAMP,))
        page(tx, "s2", [row(8)])
        waits = shown(tx)
        believe(tx, "s1")
        return waits, shown(tx)

    assert store.write_now(story) == (7, 8)


def test_a_delivery_larger_than_the_unseen_sales_counts_at_once_without_their_units(store: Store) -> None:
    """7 besides A's 3; 40 arrive. Should staff have undone A, 3 of the 47 are A's: 44 may be sold, then 47."""

    def story(tx: Tx) -> list[int]:
        entry(tx)
        whole(tx, "s0", [row(10)])
        sold(tx)
        whole(tx, "s1", [row(7)])
        found = [shown(tx)]
        page(tx, "s2", [row(47)])
        close(tx, "s2")
        found.append(shown(tx))
        masters.prove(tx, MASTER, NOW)
        found.append(shown(tx))
        tx.run(SEEN)
        masters.prove(tx, MASTER, NOW)
        return [*found, shown(tx)]

    assert store.write_now(story) == [7, 44, 44, 47]
    assert ("sale", "sale of A", masters.SPARE) in [tuple(r) for r in store.read_now(lambda tx: tx.all(ASKED))]


def test_a_sale_undone_before_its_units_were_seen_again_stays_in_flight(store: Store) -> None:
    """The 47 were 44 and A's 3: the reading of A's sale takes its evidence, and the doubt with it."""

    def story(tx: Tx) -> list[int]:
        risen(tx, 47)
        demand.evidence(tx, "A", "WH1", {}, next_seq(tx), NOW)
        found = [shown(tx)]
        demand.evidence(tx, "A", "WH1", {LAMP: 3}, next_seq(tx), NOW)
        found.append(shown(tx))
        whole(tx, "s3", [row(44)])
        return [*found, shown(tx)]

    assert store.write_now(story) == [44, 44, 44]


def test_a_raise_no_larger_than_the_unseen_sales_waits_for_them(store: Store) -> None:
    """Two more where staff may have undone three: nothing rises, and nothing falls either."""

    def story(tx: Tx) -> list[int]:
        risen(tx, 9)
        found = [shown(tx)]
        tx.run(SEEN)
        masters.prove(tx, MASTER, NOW)
        return [*found, shown(tx)]

    assert store.write_now(story) == [7, 9]


def test_a_raise_that_waits_is_proved_although_newer_sets_are_complete(store: Store) -> None:
    """In a busy shop a set is complete every minute and its proof takes three: each newer set would wait anew."""

    def story(tx: Tx) -> list[int]:
        risen(tx, 9)
        tx.run(SEEN)
        for name in ("s3", "s4"):
            page(tx, name, [row(9)])
            close(tx, name)
        found = [shown(tx)]
        masters.prove(tx, MASTER, NOW)
        return [*found, shown(tx)]

    assert store.write_now(story) == [7, 9]


def test_a_raise_that_was_not_proved_for_long_begins_anew_with_the_newest_set(store: Store) -> None:
    def story(tx: Tx) -> list[int]:
        risen(tx, 9)
        tx.run(SEEN)
        page(tx, "s3", [row(9)])
        masters._close(tx, "s3", "", [], MASTER, NOW + observe.PATIENCE + timedelta(seconds=1))
        masters.prove(tx, MASTER, NOW)
        return [shown(tx)]

    assert store.write_now(story) == [7]


@pytest.mark.parametrize("scope", ["", LAMP])
@pytest.mark.parametrize(
    "now",
    [
        pytest.param([row(6, "WH2")], id="a place without a row any more may hold nothing"),
        pytest.param([row(5), row(5, "WH2"), row(-4, part="B2")], id="a new row may be below nothing"),
    ],
)
def test_a_raise_that_waits_counts_no_more_where_a_newer_set_shows_other_rows(
    store: Store, now: list[observe.Row], scope: str
) -> None:
    """WH1 had nothing and 2 arrive, which waits for A's sale at WH2; whatever the newer set shows waits as well."""

    def story(tx: Tx) -> list[int]:
        entry(tx)
        whole(tx, "s0", [row(0), row(8, "WH2")])
        sold(tx)
        tx.run(AT_WH2)
        whole(tx, "s1", [row(0), row(5, "WH2")])
        page(tx, "s2", [row(2), row(5, "WH2")])
        close(tx, "s2")
        tx.run(SEEN)
        page(tx, "s3", now, scope=scope)
        close(tx, "s3")
        masters.prove(tx, MASTER, NOW)
        return [shown(tx)]

    assert store.write_now(story) == [5]


def test_another_rise_needs_another_look_at_the_sale(store: Store) -> None:
    """A was seen after the first delivery and undone before the second: its units are in doubt anew."""

    def story(tx: Tx) -> list[int]:
        risen(tx, 47)
        tx.run(SEEN)
        page(tx, "s3", [row(100)])
        close(tx, "s3")
        masters.prove(tx, MASTER, NOW)
        return [shown(tx)]

    assert store.write_now(story) == [97]


def test_units_in_doubt_that_are_shipped_count_until_a_reading_after_the_shipment(store: Store) -> None:
    """Undone and allocated again it may have been before it left: only a later number surely lacks it."""

    def story(tx: Tx) -> list[int]:
        risen(tx, 47)
        demand.shipped(tx, "A", "WH1", next_seq(tx), NOW)
        found = [shown(tx)]
        whole(tx, "s3", [row(47)])
        return [*found, shown(tx)]

    assert store.write_now(story) == [44, 47]


def test_what_a_walk_given_up_would_let_rise_is_asked_for_the_scarce_first_and_a_bounded_number(store: Store) -> None:
    names = [f"S{n:03}" for n in range(masters.RISERS_MAX + 20)]

    def begin(tx: Tx) -> None:
        for name in [LAMP, *names]:
            entry(tx, name)
        whole(tx, "s0", [row(1), *(row(50, sku=name) for name in names)])

    def story(tx: Tx) -> int:
        page(tx, "s1", [row(2), *(row(60 + n, sku=name) for n, name in enumerate(names))])
        close(tx, "s1", "total moved")
        return shown(tx)

    store.write_now(begin)
    while store.write_now(writer.plan_dirty, LAYOUT, NOW, stale=()):
        pass
    assert store.write_now(story) == 1
    asked = {r.key: r.priority for r in store.read_now(lambda tx: tx.all(ASKED))}
    assert masters.RISERS_MAX - masters.RISERS_OLDEST <= len(asked) <= masters.RISERS_MAX
    assert asked.pop(LAMP) == masters.ROUTINE
    assert set(asked.values()) == {masters.SPARE}
    assert names[-1] in asked, "the largest difference"
    assert names[0] in asked, "it waits as long as any other: its turn comes"


class Shelves:
    """A master that shows rows of SKUs that begin as asked, up to `limit` of them."""

    def __init__(self, rows: list[StockRow], limit: int = 1000) -> None:
        self.rows, self.limit, self.asked = rows, limit, list[str]()

    async def stock_like(self, beginning: str, *, lane: str) -> StockPage:
        self.asked.append(f"{beginning}*")
        found = [r for r in self.rows if r.sku.startswith(beginning)]
        shown = tuple(found[: self.limit])
        return StockPage(rows=shown, received=len(shown), total=len(found), page=1)

    async def stock_of(self, sku: str, *, lane: str) -> StockPage:
        self.asked.append(sku)
        found = tuple(r for r in self.rows if r.sku == sku)
        return StockPage(rows=found, received=len(found), total=len(found), page=1)


def on_shelf(sku: str, units: int) -> StockRow:
    return StockRow(
        sku=sku, location="WH1", part="", available=units, state=State.AVAILABLE, on_hand=units, allocated=0, on_order=0
    )


def read(store: Store, shelves: Shelves, sku: str) -> Any:
    """The wish for a SKU is granted: what was read is handled."""
    (arrival,) = asyncio.run(masters.Fetches(store, Ids(Clock()), shelves, MASTER).skus([sku]))
    store.write_now(masters.on_sku, SimpleNamespace(body=arrival.body, meta=arrival.meta, id=1), NOW, master=MASTER)
    return arrival


def filled(store: Store) -> None:
    """Three SKUs of 5 units; two are wished for."""

    def fill(tx: Tx) -> None:
        for name in ("LAMP", "LAMP-XL", "LANTERN", "VASE"):
            entry(tx, name)
        whole(tx, "s0", [row(5, sku=name) for name in ("LAMP", "LAMP-XL", "LANTERN", "VASE")])
        want(tx, "cin7_core", "sku", ["LAMP", "LAMP-XL"], masters.SPARE, NOW)

    store.write_now(fill)


def numbers_of(store: Store) -> dict[str, int]:
    found = store.read_now(numbers.compute, ["LAMP", "LAMP-XL", "LANTERN", "VASE"], LAYOUT, NOW)
    return {n.sku: n.explanation.target for n in found}


def test_skus_that_begin_alike_are_proved_by_one_answer(store: Store) -> None:
    """Both wishes end with one call; what else it showed is proved too, and what it did not show stays as it was."""
    filled(store)
    shelves = Shelves([on_shelf("LAMP", 9), on_shelf("LAMP-XL", 8), on_shelf("LANTERN", 7)])
    read(store, shelves, "LAMP")
    assert shelves.asked == ["LAMP*"]
    assert numbers_of(store) == {"LAMP": 9, "LAMP-XL": 8, "LANTERN": 5, "VASE": 5}
    assert store.read_now(lambda tx: tx.all(WISHES)) == []


def test_a_sku_alone_in_its_wish_is_asked_for_alone(store: Store) -> None:
    filled(store)
    shelves = Shelves([on_shelf("VASE", 9)])
    read(store, shelves, "VASE")
    assert shelves.asked == ["VASE"]
    assert numbers_of(store)["VASE"] == 9


def test_neighbours_that_do_not_fit_or_do_not_come_prove_nothing(store: Store) -> None:
    """Cut off after one row, or a vendor that matches exactly as its documents say: each SKU is then read by itself."""
    filled(store)
    cut = Shelves([on_shelf("LAMP", 9), on_shelf("LAMP-XL", 8)], limit=1)
    read(store, cut, "LAMP")
    assert cut.asked == ["LAMP*", "LAMP"]
    assert numbers_of(store) == {"LAMP": 9, "LAMP-XL": 5, "LANTERN": 5, "VASE": 5}


def test_a_sku_missing_among_its_neighbours_is_read_by_itself_before_it_is_nothing(store: Store) -> None:
    filled(store)
    shelves = Shelves([on_shelf("LAMP-XL", 8)])
    read(store, shelves, "LAMP")
    assert shelves.asked == ["LAMP*", "LAMP"]
    assert numbers_of(store) == {"LAMP": 0, "LAMP-XL": 5, "LANTERN": 5, "VASE": 5}


def test_an_answer_handled_late_does_not_undo_what_was_read_since(store: Store) -> None:
    """A neighbour was read again, lower, before the first answer was handled."""
    filled(store)
    fetches = masters.Fetches(store, Ids(Clock()), Shelves([on_shelf("LAMP", 9), on_shelf("LAMP-XL", 8)]), MASTER)
    (late,) = asyncio.run(fetches.skus(["LAMP"]))
    store.write_now(page, "s1", [row(6, sku="LAMP-XL")])
    store.write_now(masters.on_sku, SimpleNamespace(body=late.body, meta=late.meta, id=1), NOW, master=MASTER)
    assert numbers_of(store)["LAMP-XL"] == 6


def test_a_large_set_is_believed_in_pieces_and_wholly(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts fall between SKUs, whatever a SKU's rows; what waits for proof stays out of its piece."""
    monkeypatch.setattr(observe, "PIECE_ROWS", 3)
    skus = [f"SKU-{n:02}" for n in range(20)]

    def seen(units: int) -> list[observe.Row]:
        return [row(units + n, place, sku=sku) for n, sku in enumerate(skus) for place in PLACES]

    def story(tx: Tx) -> None:
        whole(tx, "first", seen(1))
        page(tx, "second", seen(5))
        closed(tx, "second")
        believe(tx, "second", waiting=(skus[7],), dropped=(skus[7],))

    store.write_now(story)
    found = store.read_now(lambda tx: tx.all(BY_SKU))
    waiting = {skus[7]}
    assert {(r.sku, r.location): r.value for r in found} == {
        (sku, place): n + (1 if sku in waiting else 5) for n, sku in enumerate(skus) for place in PLACES
    }
    assert store.read_now(ledger.balances_that_differ) == []
