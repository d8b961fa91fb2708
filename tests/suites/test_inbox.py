"""The inbox on a real database: stored once, handled once, in order of its lane, and poison stops only itself."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest

from sellable.runtime import inbox
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.inbox import Arrival, Inbox, InboxRow, Letterbox, NotYet, Poison, put, requeue
from sellable.runtime.queries import Query
from sellable.runtime.seal import Seal, name_of

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def query(text: str) -> Query:
    return Query(package="test", name="test", purpose="test", text=text)


ALL = query("SELECT id, message_id, state, attempts, cause, case_ref, received_seq, due_at FROM inbox ORDER BY id")
NOTE = query("INSERT INTO feed (name, due_at) VALUES (%(name)s, %(now)s)")
NOTED = query("SELECT array_agg(name ORDER BY name) FROM feed")


class Hand:
    """A clock in the hands of the test."""

    def __init__(self) -> None:
        self.seconds = NOW.timestamp()

    def clock(self) -> Clock:
        return Clock(source=lambda: self.seconds)


def order(number: str, lane: str = "", kind: str = "order", source: str = "shop") -> Arrival:
    return Arrival(source=source, message_id=number, kind=kind, lane=lane, body=number.encode(), meta={"a0": 7})


class Handled:
    """Handlers that write down what they handled, refuse what they are told to, and the cases that were opened."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.cases: list[str] = []
        self.broken: dict[str, Exception] = {}

    def handle(self, tx: Tx, row: InboxRow, now: datetime) -> None:
        tx.run(NOTE, name=row.message_id, now=now)
        self.bodies.append(row.body.decode())
        if error := self.broken.get(row.message_id):
            raise error

    def case(self, _tx: Tx, row: InboxRow, error: Exception, _now: datetime) -> str:
        self.cases.append(f"{row.message_id}: {error}")
        return f"C-{row.id}"


@pytest.fixture
def handled() -> Handled:
    return Handled()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def box(store: Store, handled: Handled, hand: Hand) -> Inbox:
    return Inbox(store, hand.clock(), {"order": handled.handle}, handled.case)


def states(store: Store) -> list[tuple[str, str]]:
    return [(row.message_id, row.state) for row in store.read_now(lambda tx: tx.all(ALL))]


def test_a_duplicate_is_stored_once_and_numbers_follow_arrival(store: Store) -> None:
    assert store.write_now(put, [order("B-2"), order("A-1"), order("B-2")], NOW) == 2
    assert store.write_now(put, [order("A-1"), order("A-1", source="erp")], NOW) == 1
    rows = store.read_now(lambda tx: tx.all(ALL))
    assert [row.message_id for row in rows] == ["B-2", "A-1", "A-1"]
    assert sorted(row.received_seq for row in rows) == [row.received_seq for row in rows]
    row = store.read_now(inbox.find, rows[0].id)
    assert row is not None
    assert (row.body, row.meta, row.received_at) == (b"B-2", {"a0": 7}, NOW)
    assert store.write_now(put, [], NOW) == 0


def test_each_row_is_handled_once(store: Store, box: Inbox, handled: Handled) -> None:
    store.write_now(put, [order("A-1"), order("A-2"), order("A-3")], NOW)
    assert asyncio.run(box.work_once(limit=2)) == 2
    assert asyncio.run(box.work_once()) == 1
    assert asyncio.run(box.work_once()) == 0
    assert handled.bodies == ["A-1", "A-2", "A-3"]
    assert {state for _, state in states(store)} == {"done"}


def test_poison_is_quarantined_at_once_and_alone(store: Store, box: Inbox, handled: Handled) -> None:
    handled.broken["A-2"] = Poison("no line has a SKU")
    store.write_now(put, [order("A-1"), order("A-2"), order("A-3"), order("A-4", kind="telegram")], NOW)
    assert asyncio.run(box.work_once()) == 4
    assert states(store) == [("A-1", "done"), ("A-2", "quarantined"), ("A-3", "done"), ("A-4", "quarantined")]
    assert handled.cases == ["A-2: no line has a SKU", "A-4: no handler for kind 'telegram'"]
    assert store.read_now(lambda tx: tx.value(NOTED)) == ["A-1", "A-3"]  # what A-2 wrote is undone
    row = store.read_now(lambda tx: tx.all(ALL))[1]
    assert (row.cause, row.case_ref, row.attempts) == ("Poison: no line has a SKU", f"C-{row.id}", 1)


def test_other_errors_are_tried_three_times_with_pauses(store: Store, box: Inbox, handled: Handled, hand: Hand) -> None:
    handled.broken["A-1"] = RuntimeError("mistake of ours")
    store.write_now(put, [order("A-1")], NOW)
    assert asyncio.run(box.work_once()) == 1
    assert asyncio.run(box.work_once()) == 0  # not due yet
    hand.seconds += 5
    assert asyncio.run(box.work_once()) == 1
    hand.seconds += 60
    assert asyncio.run(box.work_once()) == 1
    assert states(store) == [("A-1", "quarantined")]
    assert len(handled.cases) == 1


def test_what_cannot_be_understood_yet_waits_without_an_attempt(
    store: Store, box: Inbox, handled: Handled, hand: Hand
) -> None:
    handled.broken["A-1"] = NotYet("channel unknown")
    store.write_now(put, [order("A-1")], NOW)
    for _ in range(5):
        assert asyncio.run(box.work_once()) == 1
        assert asyncio.run(box.work_once()) == 0
        hand.seconds += 2
    assert [(row.state, row.attempts) for row in store.read_now(lambda tx: tx.all(ALL))] == [("new", 0)]
    handled.broken.clear()
    asyncio.run(box.work_once())
    assert states(store) == [("A-1", "done")]


def test_a_row_that_waits_holds_back_its_lane_and_no_other(
    store: Store, box: Inbox, handled: Handled, hand: Hand
) -> None:
    handled.broken["A-1"] = RuntimeError("not yet")
    rows = [order("A-1", "order:A"), order("A-2", "order:A"), order("B-1", "order:B"), order("C-1"), order("C-2")]
    store.write_now(put, rows, NOW)
    asyncio.run(box.work_once())
    asyncio.run(box.work_once())
    # The batch begins anew, each row by itself, once one was refused.
    assert handled.bodies == ["A-1", "A-1", "B-1", "C-1", "C-2"]
    handled.broken.clear()
    hand.seconds += 5
    asyncio.run(box.work_once())
    assert handled.bodies[5:] == ["A-1", "A-2"]


def test_a_quarantined_row_does_not_hold_back_its_lane(store: Store, box: Inbox, handled: Handled) -> None:
    handled.broken["A-1"] = Poison("bad")
    store.write_now(put, [order("A-1", "order:A"), order("A-2", "order:A")], NOW)
    asyncio.run(box.work_once())
    assert states(store) == [("A-1", "quarantined"), ("A-2", "done")]


def test_a_replay_is_idempotent(store: Store, box: Inbox, handled: Handled) -> None:
    handled.broken["A-1"] = Poison("bad")
    store.write_now(put, [order("A-1")], NOW)
    asyncio.run(box.work_once())
    (row,) = store.read_now(lambda tx: tx.all(ALL))
    handled.broken.clear()
    assert store.write_now(requeue, row.id)
    assert not store.write_now(requeue, row.id)
    live = Inbox(store, Clock(), {"order": handled.handle}, handled.case)
    assert asyncio.run(live.work_once()) == 1
    assert not store.write_now(requeue, row.id)
    assert states(store) == [("A-1", "done")]
    assert store.read_now(lambda tx: tx.all(ALL))[0].attempts == 0


def test_a_conflict_is_nobodys_poison_and_repeats_the_batch(store: Store, handled: Handled, hand: Hand) -> None:
    conflicts = [psycopg.errors.DeadlockDetected(), psycopg.errors.SerializationFailure()]

    def handle(tx: Tx, row: InboxRow, now: datetime) -> None:
        if row.message_id == "A-2" and conflicts:
            raise conflicts.pop()
        handled.handle(tx, row, now)

    box = Inbox(store, hand.clock(), {"order": handle}, handled.case)
    store.write_now(put, [order("A-1"), order("A-2")], NOW)
    assert asyncio.run(box.work_once()) == 2
    assert handled.bodies == ["A-1", "A-1", "A-1", "A-2"]
    assert store.read_now(lambda tx: tx.value(NOTED)) == ["A-1", "A-2"]
    assert [row.attempts for row in store.read_now(lambda tx: tx.all(ALL))] == [0, 0]


def test_a_full_disk_is_nobodys_poison(store: Store, handled: Handled, hand: Hand) -> None:
    def handle(_tx: Tx, _row: InboxRow, _now: datetime) -> None:
        raise psycopg.errors.DiskFull

    store.write_now(put, [order("A-1")], NOW)
    with pytest.raises(psycopg.errors.DiskFull):
        asyncio.run(Inbox(store, hand.clock(), {"order": handle}, handled.case).work_once())
    assert states(store) == [("A-1", "new")]
    assert handled.cases == []


def test_a_value_the_database_refuses_is_the_rows_own_fault(store: Store, handled: Handled, hand: Hand) -> None:
    def handle(tx: Tx, row: InboxRow, now: datetime) -> None:
        tx.run(NOTE, name="TWICE", now=now)

    box = Inbox(store, hand.clock(), {"order": handle}, handled.case, attempts_max=1)
    store.write_now(put, [order("A-1"), order("A-2")], NOW)
    asyncio.run(box.work_once())
    assert states(store) == [("A-1", "done"), ("A-2", "quarantined")]
    assert store.read_now(lambda tx: tx.all(ALL))[1].cause == "UniqueViolation (23505)"


def test_a_case_that_cannot_be_opened_does_not_stop_the_inbox(store: Store, handled: Handled, hand: Hand) -> None:
    def no_case(_tx: Tx, _row: InboxRow, _error: Exception, _now: datetime) -> str:
        raise KeyError("owner")

    handled.broken["A-1"] = Poison("bad")
    store.write_now(put, [order("A-1"), order("A-2")], NOW)
    asyncio.run(Inbox(store, hand.clock(), {"order": handled.handle}, no_case).work_once())
    assert states(store) == [("A-1", "quarantined"), ("A-2", "done")]


def test_two_workers_never_share_a_lane(store: Store, handled: Handled, hand: Hand) -> None:
    """While one works on the oldest row, the other gets all other lanes, and of that lane nothing."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx, row: InboxRow, now: datetime) -> None:
        handled.handle(tx, row, now)
        entered.set()
        assert go_on.wait(10)

    others = [f"{letter}-1" for letter in "BCDEFGHIJKLM"]
    rows = [order("Z-1", "order:Z"), order("Z-2", "order:Z"), *[order(name, f"order:{name}") for name in others]]
    store.write_now(put, rows, NOW)
    slow_box = Inbox(store, hand.clock(), {"order": slow}, handled.case)
    quick_box = Inbox(store, hand.clock(), {"order": handled.handle}, handled.case)

    async def both() -> None:
        first = asyncio.create_task(slow_box.work_once(limit=1))
        await asyncio.to_thread(entered.wait, 10)
        assert await quick_box.work_once() == len(others)
        go_on.set()
        assert await first == 1
        assert await quick_box.work_once() == 1

    asyncio.run(both())
    assert handled.bodies == ["Z-1", *others, "Z-2"]


def test_two_workers_share_what_has_no_lane(store: Store, handled: Handled, hand: Hand) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx, row: InboxRow, now: datetime) -> None:
        handled.handle(tx, row, now)
        entered.set()
        assert go_on.wait(10)

    store.write_now(put, [order("A-1"), order("A-2")], NOW)
    slow_box = Inbox(store, hand.clock(), {"order": slow}, handled.case)
    quick_box = Inbox(store, hand.clock(), {"order": handled.handle}, handled.case)

    async def both() -> None:
        first = asyncio.create_task(slow_box.work_once(limit=1))
        await asyncio.to_thread(entered.wait, 10)
        assert await quick_box.work_once() == 1
        go_on.set()
        assert await first == 1

    asyncio.run(both())
    assert handled.bodies == ["A-1", "A-2"]


def test_it_runs_on_a_notification_and_stops_when_told(store: Store, handled: Handled) -> None:
    done = asyncio.Event()

    def handle(tx: Tx, row: InboxRow, now: datetime) -> None:
        handled.handle(tx, row, now)
        tx.after_commit(done.set)

    async def scene() -> None:
        stop = asyncio.Event()
        box = Inbox(store, Clock(), {"order": handle}, handled.case)
        running = asyncio.create_task(box.run(stop))
        await store.write(put, [order("A-1")], NOW)
        await asyncio.wait_for(done.wait(), 10)
        stop.set()
        await asyncio.wait_for(running, 10)

    asyncio.run(scene())
    assert states(store) == [("A-1", "done")]


def test_pruning_forgets_what_is_done_and_keeps_what_is_not(store: Store, box: Inbox, handled: Handled) -> None:
    handled.broken["A-2"] = Poison("bad")
    store.write_now(put, [order("A-1"), order("A-2")], NOW)
    asyncio.run(box.work_once())
    store.write_now(put, [order("A-3")], NOW)
    assert store.write_now(inbox.prune, NOW) == 0
    assert store.write_now(inbox.prune, NOW + timedelta(seconds=1)) == 1
    assert [number for number, _ in states(store)] == ["A-2", "A-3"]


def test_what_is_urgent_goes_first_and_what_is_old_is_not_forgotten(store: Store, box: Inbox, handled: Handled) -> None:
    """Every fourth batch goes by age; within a lane the order of arrival counts whatever the priority."""
    routine = [dataclasses.replace(order(f"R-{n}", f"r{n}"), priority=inbox.ROUTINE) for n in range(9)]
    urgent = [dataclasses.replace(order(f"U-{n}", f"u{n}"), priority=inbox.URGENT) for n in range(9)]
    store.write_now(put, [*routine, *urgent], NOW)
    for _ in range(5):
        asyncio.run(box.work_once(limit=1))
    assert handled.bodies == ["U-0", "U-1", "U-2", "R-0", "U-3"]


def test_rows_that_lock_much_have_a_transaction_each(store: Store, handled: Handled, hand: Hand) -> None:
    box = Inbox(
        store, hand.clock(), {"order": handled.handle, "page": handled.handle}, handled.case, alone=["page"]
    )  # fmt: skip
    rows = [order("A-1"), order("A-2"), order("P-1", kind="page"), order("P-2", kind="page"), order("A-3")]
    store.write_now(put, rows, NOW)
    assert [asyncio.run(box.work_once()) for _ in range(5)] == [2, 1, 1, 1, 0]
    assert handled.bodies == ["A-1", "A-2", "P-1", "P-2", "A-3"]


def test_what_is_known_already_is_done_without_its_handler(store: Store, handled: Handled, hand: Hand) -> None:
    def known(_tx: Tx, rows: Sequence[InboxRow]) -> set[int]:
        return {row.id for row in rows if row.message_id.startswith("echo")}

    box = Inbox(store, hand.clock(), {"order": handled.handle}, handled.case, known=known)
    store.write_now(put, [order("echo-1"), order("A-1"), order("echo-2")], NOW)
    assert asyncio.run(box.work_once()) == 3
    assert handled.bodies == ["A-1"]
    assert {state for _, state in states(store)} == {"done"}


def test_a_look_that_fails_leaves_every_row_to_its_handler(store: Store, handled: Handled, hand: Hand) -> None:
    def known(_tx: Tx, rows: Sequence[InboxRow]) -> set[int]:
        raise ValueError("a body that cannot be read")

    box = Inbox(store, hand.clock(), {"order": handled.handle}, handled.case, known=known)
    handled.broken["A-2"] = Poison("bad")
    store.write_now(put, [order("A-1"), order("A-2")], NOW)
    assert asyncio.run(box.work_once()) == 2
    assert states(store) == [("A-1", "done"), ("A-2", "quarantined")]


def test_what_a_handler_leaves_for_the_end_is_its_rows_own(store: Store, handled: Handled, hand: Hand) -> None:
    """A write gathered for the commit that fails is the poison of the row that asked for it, and of no other."""

    def late(_tx: Tx, names: list[str]) -> None:
        if "A-2" in names:
            raise Poison("cannot be written")
        handled.bodies.extend(f"late {name}" for name in names)

    def handle(tx: Tx, row: InboxRow, _now: datetime) -> None:
        tx.gather(late, row.message_id)

    box = Inbox(store, hand.clock(), {"order": handle}, handled.case)
    store.write_now(put, [order("A-1"), order("A-2"), order("A-3")], NOW)
    assert asyncio.run(box.work_once()) == 3
    assert states(store) == [("A-1", "done"), ("A-2", "quarantined"), ("A-3", "done")]
    assert handled.bodies == ["late A-1", "late A-3"]


COMMITS = Query(package="t", name="t", purpose="t", text="SELECT count(DISTINCT xmin::text) FROM inbox")


def test_posts_that_meet_share_a_commit_and_each_hears_its_own_count(store: Store, hand: Hand) -> None:
    box = Letterbox(store, hand.clock())

    async def scenario() -> list[int]:
        posts = [[order("A-1")], [order("A-2"), order("A-3")], [order("A-2")], [], [order("A-1")]]
        return await asyncio.gather(*(box.post(post) for post in posts))

    counts = asyncio.run(scenario())
    assert sum(counts) == 3
    assert counts == [1, 2, 0, 0, 0]
    rows = store.read_now(lambda tx: tx.all(ALL))
    assert [row.message_id for row in rows] == ["A-1", "A-2", "A-3"]
    assert store.read_now(lambda tx: tx.value(COMMITS)) == 1


def test_an_arrival_that_cannot_be_stored_is_its_senders_trouble_only(store: Store, hand: Hand) -> None:
    box = Letterbox(store, hand.clock())

    async def scenario() -> list[Any]:
        posts = [[order("A-1")], [order("bad\x00id")], [order("A-2")]]
        return await asyncio.gather(*(box.post(post) for post in posts), return_exceptions=True)

    first, bad, last = asyncio.run(scenario())
    assert (first, last) == (1, 1)
    assert isinstance(bad, psycopg.DataError)
    assert [name for name, _ in states(store)] == ["A-1", "A-2"]


def test_a_sender_who_went_away_leaves_the_others_alone(store: Store, hand: Hand) -> None:
    box = Letterbox(store, hand.clock())

    async def scenario() -> int:
        gone = asyncio.create_task(box.post([order("A-1")]))
        stays = asyncio.create_task(box.post([order("A-2")]))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(scenario()) == 1


def test_only_what_is_new_rings(store: Store, hand: Hand) -> None:
    async def scenario() -> list[str]:
        rung: list[str] = []
        last = asyncio.Event()
        await store.listen(inbox.CHANNEL, rung.append)
        await store.listen("last", lambda payload: payload and last.set())
        rung.clear()
        box = Letterbox(store, hand.clock())
        for _ in range(3):
            await box.post([order("A-1"), order("A-2")])
        await store.write(put, [order("A-2")], NOW)
        await store.write(lambda tx: tx.notify("last", "now"))
        await asyncio.wait_for(last.wait(), 10)
        return rung

    assert asyncio.run(scenario()) == ["order"]


def test_two_sides_serve_what_is_theirs_and_are_rung_for_nothing_else(
    store: Store, handled: Handled, hand: Hand
) -> None:
    """What takes long on one side keeps nobody of the other waiting."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx, row: InboxRow, now: datetime) -> None:
        entered.set()
        assert go_on.wait(10)

    pages = [Arrival(source="s", message_id=f"page-{n}", kind="page", lane=f"page:{n}", body=b"p") for n in range(3)]
    store.write_now(put, [*pages, order("A-1"), order("A-2")], NOW)
    table = {"order": handled.handle, "page": slow}
    boxes = partial(Inbox, store, hand.clock(), table, handled.case, kinds=("page",))
    others, paging = boxes(), boxes(only=True)

    async def scenario() -> list[int]:
        turning = asyncio.create_task(paging.work_once())
        await asyncio.to_thread(entered.wait, 10)
        done = [await others.work_once(), await others.work_once()]
        go_on.set()
        return [*done, await turning, await paging.work_once()]

    assert asyncio.run(scenario()) == [2, 0, 3, 0]
    assert handled.bodies == ["A-1", "A-2"]
    heard = [[box.concerns(told) for told in ("", "order", "page", "order page")] for box in (others, paging)]
    assert heard == [[True, True, False, True], [True, False, True, True]]


SWAP = query(
    "UPDATE inbox AS i SET body = o.body FROM inbox AS o"
    " WHERE (i.message_id, o.message_id) IN (('A-1', 'A-2'), ('A-2', 'A-1'))"
)
OPENED = query("UPDATE inbox SET sealed_with = '', body = convert_to(message_id, 'UTF8') WHERE message_id = %(name)s")
SEALED = query("SELECT message_id, sealed_with FROM inbox ORDER BY id")


def test_bodies_that_changed_places_are_poison_and_nothing_else_is(store: Store, box: Inbox, handled: Handled) -> None:
    store.write_now(put, [order("A-1"), order("A-2"), order("A-3")], NOW)
    store.write_now(lambda tx: tx.run(SWAP))
    assert asyncio.run(box.work_once()) == 3
    assert states(store) == [("A-1", "quarantined"), ("A-2", "quarantined"), ("A-3", "done")]
    assert handled.bodies == ["A-3"]
    assert handled.cases[0] == "A-1: the stored body is not what was sealed for this row"


def test_without_its_key_a_row_waits_and_its_neighbours_go_on(store: Store, handled: Handled, hand: Hand) -> None:
    old, new = b"o" * 32, b"n" * 32
    before, only_new, both = (Store(store.url, hand.clock(), seal=s) for s in (Seal(old), Seal(new), Seal(new, old)))
    before.write_now(put, [order("A-1", lane="shop"), order("B-1")], NOW)
    only_new.write_now(put, [order("A-2", lane="shop"), order("C-1", source="erp")], NOW)

    def work(on: Store) -> None:
        asyncio.run(Inbox(on, hand.clock(), {"order": handled.handle}, handled.case).work_once())

    work(only_new)
    assert states(store) == [("A-1", "quarantined"), ("B-1", "quarantined"), ("A-2", "done"), ("C-1", "done")]
    assert handled.cases[0] == f"A-1: its body was sealed with the key {name_of(old)}, which the settings do not name"
    assert [store.write_now(requeue, row_id) for row_id in (1, 2)] == [True, True]
    hand.seconds = datetime.now(UTC).timestamp() + 60  # A row that is let go on is due by the database's clock.
    work(both)
    assert {state for _, state in states(store)} == {"done"}
    assert sorted(handled.bodies[-2:]) == ["A-1", "B-1"]
    for each in (before, only_new, both):
        each.close()


def test_rows_come_under_the_newest_key_whatever_their_state(store: Store, handled: Handled, hand: Hand) -> None:
    old, new = b"o" * 32, b"n" * 32
    before, rotated, both = (Store(store.url, hand.clock(), seal=s) for s in (Seal(old), Seal(new), Seal(new, old)))
    handled.broken["A-2"] = Poison("no line has a SKU")
    names = ["A-1", "A-2", "A-3", "A-4", "A-5"]
    before.write_now(put, [order(name) for name in names], NOW)
    asyncio.run(Inbox(before, hand.clock(), {"order": handled.handle}, handled.case).work_once(limit=3))
    store.write_now(lambda tx: tx.run(OPENED, name="A-4"))
    store.write_now(lambda tx: tx.run(query("UPDATE inbox SET body = 'x' WHERE message_id = 'A-5'")))
    assert both.seal is not None
    after: int | None = 0
    while after is not None:
        after = both.write_now(inbox.reseal, ["", *both.seal.older], after, 2)
    found = dict(store.read_now(lambda tx: tx.all(SEALED)))
    # What does not open is left as it is, for its handler to refuse.
    assert found == dict.fromkeys(names[:4], both.seal.newest) | {"A-5": name_of(old)}
    for number, name in enumerate(names[:4], 1):
        row = rotated.read_now(inbox.find, number)
        assert row is not None
        assert (row.body.decode(), row.unopened) == (name, None)
    assert [state for _, state in states(store)] == ["done", "quarantined", "done", "new", "new"]
    assert both.write_now(inbox.reseal, [], 0) is None
    for each in (before, rotated, both):
        each.close()


def test_a_body_put_there_in_the_open_is_refused(store: Store, box: Inbox, handled: Handled) -> None:
    store.write_now(put, [order("A-1"), order("A-2")], NOW)
    store.write_now(lambda tx: tx.run(OPENED, name="A-1"))
    assert asyncio.run(box.work_once()) == 2
    assert states(store) == [("A-1", "quarantined"), ("A-2", "done")]
    assert handled.cases == ["A-1: the stored body was never sealed"]


def test_a_store_without_a_key_stores_and_reads_nothing(store: Store, hand: Hand) -> None:
    keyless = Store(store.url, hand.clock())
    store.write_now(put, [order("A-1")], NOW)
    with pytest.raises(RuntimeError, match="without one"):
        keyless.write_now(put, [order("A-2")], NOW)
    with pytest.raises(RuntimeError, match="without one"):
        keyless.read_now(inbox.find, 1)
    assert [name for name, _ in states(store)] == ["A-1"]
    keyless.close()
