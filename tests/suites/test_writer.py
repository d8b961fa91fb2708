"""The writer against a storefront that loses answers: one open operation per key, nothing applied twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from msgspec.structs import replace

from sellable.connectors.port import EntryReading, Readings, StockWrite, Written
from sellable.domain.stock import Priority
from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import Query
from sellable.stock import demand, dirty, entries, numbers, observe
from sellable.stock.availability import ChannelRule, Layout
from sellable.sync import writer

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
LAMP = "LAMP"
LAYOUT = Layout(channels={"web": ChannelRule("web", "all")}, pools={"all": ("WH1",)})


@dataclass
class Shop:
    """One storefront entry with versions; `fate` says what becomes of the next writes."""

    quantity: int = 0
    version: int = 1
    last_op: str | None = None
    typed: str | None = None
    fate: list[str] = field(default_factory=list)
    delayed: list[StockWrite] = field(default_factory=list)
    seen: list[StockWrite] = field(default_factory=list)

    write_batch = 25

    def _apply(self, w: StockWrite) -> bool:
        if w.version != self.version:
            return False
        self.quantity, self.version, self.last_op = self.quantity + w.difference, self.version + 1, w.op_id
        if self.typed is not None:
            self.last_op = None  # A type of the merchant's own has no room for our marker.
        return True

    async def write(self, writes: Sequence[StockWrite], *, lane: str) -> list[Written]:
        found = []
        for w in writes:
            self.seen.append(w)
            fate = self.fate.pop(0) if self.fate else "fine"
            if fate == "limited":
                found.append(Written(op_id=w.op_id, status="limited", cause="429", after_seconds=30))
            elif fate == "lost before":
                found.append(Written(op_id=w.op_id, status="unknown", cause="timeout"))
            elif fate == "late":
                self.delayed.append(w)
                found.append(Written(op_id=w.op_id, status="unknown", cause="timeout"))
            elif not self._apply(w):
                found.append(Written(op_id=w.op_id, status="conflict"))
            elif fate == "lost after":
                found.append(Written(op_id=w.op_id, status="unknown", cause="reset"))
            else:
                found.append(
                    Written(op_id=w.op_id, status="applied", version=self.version, quantity=self.quantity, at=NOW)
                )
        return found

    def arrive_late(self) -> list[bool]:
        """What was on its way arrives now."""
        late, self.delayed = self.delayed, []
        return [self._apply(w) for w in late]

    async def read_entries(self, keys: Sequence[tuple[str, str | None]], *, lane: str) -> Readings:
        return Readings(entries=(self.reading(),), at=NOW)

    def reading(self) -> EntryReading:
        return EntryReading(
            sku=LAMP, channel="web", remote_id="r1", version=self.version, quantity=self.quantity,
            available=self.quantity, last_op=self.last_op, typed=self.typed, backorder=False,
        )  # fmt: skip

    def order(self, units: int, *, bump: bool = True) -> None:
        """The storefront sells: its own decrement, which may or may not raise the version."""
        self.quantity -= units
        self.version += bump

    async def walk_entries(self, after_id: str | None, *, lane: str) -> Readings:
        raise NotImplementedError

    async def create_entry(self, sku: str, channel: str | None, op_id: str, *, lane: str) -> EntryReading:
        raise NotImplementedError


class Desk:
    """A writer by hand: one step at a time."""

    def __init__(self, store: Store, shop: Shop, layout: Layout = LAYOUT) -> None:
        self.store, self.shop, self.layout = store, shop, layout
        self.refused: list[str] = []
        self.ids = Ids(Clock.parse("speed=1"))
        self.stopped = False
        self.resolver = writer.Resolver(store, Clock.parse("speed=1"), shop, layout, lambda tx: self.stopped)

    def base(self, units: int, name: str) -> None:
        def story(tx: Tx) -> None:
            row = observe.Row(sku=LAMP, location="WH1", part="", state="available", value=units, allocated=0)
            observe.start(tx, name, "cin7_core", "", NOW)
            observe.see_page(tx, name, [row], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
            observe.close(tx, name, complete=True, cause="", locations=["WH1"], now=NOW)
            observe.apply(tx, name, waiting=[], dropped=[], locations=["WH1"], now=NOW)

        self.store.write_now(story)

    def see(self) -> None:
        r = self.shop.reading()

        def story(tx: Tx) -> None:
            seen = entries.Seen(
                sku=LAMP, channel="web", remote_id="r1", version=r.version, quantity=r.quantity, reserved=0, typed=None,
                backorder=False, last_op=r.last_op, at=NOW, seq=next_seq(tx),
            )  # fmt: skip
            entries.see(tx, [seen], NOW)

        self.store.write_now(story)

    def capture(self, order: str, units: int) -> None:
        def story(tx: Tx) -> None:
            sold = demand.Sold(
                order_id=order, line_id="1", sku=LAMP, label=order, channel="web", units=units, location="WH1"
            )
            demand.capture(tx, [sold], NOW)
            fact = entries.EntryFact(
                sku=LAMP, channel="web", kind="taken", quantity=-units, source="order", resource=order, line="1", seq=0,
                remote_at=NOW + timedelta(seconds=2),
            )  # fmt: skip
            entries.record(tx, [fact], NOW, priority=1, reason=order)

        self.store.write_now(story)

    def plan(self) -> tuple[int, int]:
        """(d, priority) after looking at what is dirty."""
        self.store.write_now(writer.plan_dirty, self.layout, NOW, stale=())
        row = self.store.read_now(lambda tx: tx.one(Q_DESIRED))
        return (row.d, row.priority) if row else (0, -1)

    def pick(self, *, raises: bool) -> writer.Picked:
        if raises:
            self.see()
        only = [(LAMP, "web")] if raises else None
        return self.store.write_now(
            writer.pick, self.layout, self.ids, NOW + timedelta(seconds=20), owner="w1", limit=25, only=only, stale=(),
            stopped=lambda tx: self.stopped,
        )  # fmt: skip

    def send(self, picked: writer.Picked) -> list[Any]:
        """Sends and settles; the outcomes."""
        answers = asyncio.run(self.shop.write(picked.writes, lane="writes"))
        pairs = [(op, writer.outcome_of(w, op)) for op, w in zip(picked.operations, answers, strict=True)]
        self.store.write_now(writer.settle, pairs, NOW, on_refused=lambda *a: None)
        return [outcome for _, outcome in pairs]

    def resolve(self) -> Any:
        """What the dispatcher does with an operation whose outcome nobody saw."""

        def claim(tx: Tx) -> Any:
            tx.run(Q_EXPIRE)
            return operations.claim(tx, "commercetools", ["writes"], "w2", 60, NOW + timedelta(hours=1), 1)

        (op,) = self.store.write_now(claim)
        assert op.was_unknown
        outcome = asyncio.run(self.resolver.resolve(op))
        self.store.write_now(self._settle, op, outcome)
        return outcome

    def _settle(self, tx: Tx, op: Any, outcome: Any) -> None:
        if operations.settle(tx, op, outcome, NOW):
            writer.settled(tx, op, outcome, NOW, on_refused=lambda tx, op, cause, now: self.refused.append(cause))

    def numbers(self) -> tuple[int, int, int]:
        """(T, E, what the storefront shows)."""

        def ask(tx: ReadTx) -> tuple[int, int]:
            (n,) = numbers.compute(tx, [LAMP], self.layout, NOW)
            assert entries.entries_that_differ(tx) == []
            return n.explanation.target, n.e

        return (*self.store.read_now(ask), self.shop.quantity)

    def settle_down(self) -> None:
        """Plans and writes until nothing differs."""
        for _ in range(6):
            d, _ = self.plan()
            if d == 0:
                return
            self.send(self.pick(raises=d > 0))
        raise AssertionError("does not settle")


Q_DESIRED = Query(package="t", name="t", purpose="t", text="SELECT d, priority FROM desired")
Q_OPEN = Query(package="t", name="t", purpose="t", text="SELECT count(*) FROM operation WHERE settled_at IS NULL")
Q_EXPIRE = Query(
    package="t",
    name="t",
    purpose="t",
    text="UPDATE operation SET owner = NULL, lease_until = NULL WHERE settled_at IS NULL",
)


def desk(store: Store, *, shown: int = 10, base: int = 10) -> Desk:
    found = Desk(store, Shop(quantity=shown))
    found.see()
    found.base(base, "s0")
    return found


def test_a_raise_is_read_first_and_confirmed_as_a_fact(store: Store) -> None:
    d = desk(store, shown=0)
    assert d.plan() == (10, Priority.BACK_IN_STOCK)
    assert d.pick(raises=False).operations == ()
    d.send(d.pick(raises=True))
    assert d.numbers() == (10, 10, 10)
    assert d.plan()[0] == 0


def test_unknown_orders_are_not_erased(store: Store) -> None:
    """commercetools sold 4 that nobody told us of; a delivery of 5 makes 11 there, and 11 is the truth."""
    d = desk(store)
    d.settle_down()
    d.shop.order(4)
    d.base(15, "s1")
    assert d.plan()[0] == 5
    d.send(d.pick(raises=True))
    assert d.shop.quantity == 11
    d.capture("B", 4)
    assert d.plan()[0] == 0
    assert d.numbers() == (11, 11, 11)


def test_our_own_channels_order_costs_no_write(store: Store) -> None:
    d = desk(store)
    d.settle_down()
    before = len(d.shop.seen)
    d.shop.order(3)
    d.capture("A", 3)
    assert d.plan()[0] == 0
    assert (d.numbers(), len(d.shop.seen)) == ((7, 7, 7), before)


def test_answer_lost_after_the_effect_is_found_by_the_marker(store: Store) -> None:
    d = desk(store)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    d.shop.fate = ["lost after"]
    d.send(d.pick(raises=False))
    assert d.numbers()[1:] == (10, 4)
    d.resolve()
    assert d.numbers() == (4, 4, 4)
    assert d.plan()[0] == 0


def test_a_blocked_key_is_not_written_again_meanwhile(store: Store) -> None:
    d = desk(store)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    d.shop.fate = ["lost before"]
    d.send(d.pick(raises=False))
    d.base(2, "s2")
    d.plan()
    assert d.pick(raises=False).operations == ()


def test_lost_before_the_effect_is_superseded_at_the_same_version(store: Store) -> None:
    """The old copy may still be on its way; the new one kills it, and the arithmetic is done anew."""
    d = desk(store)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    d.shop.fate = ["late"]
    d.send(d.pick(raises=False))
    d.base(3, "s2")
    d.resolve()
    assert d.shop.arrive_late() == [False]
    d.settle_down()
    assert d.numbers() == (3, 3, 3)


def test_a_late_copy_that_wins_is_counted_once(store: Store) -> None:
    """The superseding copy is lost too; meanwhile the first arrives. The marker says which one it was."""
    d = desk(store)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    d.shop.fate = ["late", "late"]
    d.send(d.pick(raises=False))
    d.resolve()
    assert sorted(d.shop.arrive_late()) == [False, True]
    d.resolve()
    d.settle_down()
    assert d.numbers() == (4, 4, 4)


def test_an_old_raise_on_its_way_cannot_arrive_after_the_shop_sold_out(store: Store) -> None:
    d = desk(store, base=15)
    d.plan()
    d.shop.fate = ["late"]
    d.send(d.pick(raises=True))
    d.base(0, "sold out")
    d.resolve()
    d.shop.arrive_late()
    d.settle_down()
    assert d.numbers() == (0, 0, 0)


def test_a_raise_the_vendor_had_no_room_for_is_computed_anew_not_kept(store: Store) -> None:
    """By the time there is room the shop may have sold out: the old +5 must be gone for good."""
    d = desk(store, base=15)
    d.plan()
    d.shop.fate = ["limited"]
    d.send(d.pick(raises=True))
    assert store.read_now(lambda tx: operations.open_in_lane(tx, writer.lane_of(LAMP, "web"))) == []
    d.base(0, "sold out")
    d.settle_down()
    assert d.numbers() == (0, 0, 0)
    assert [w.difference for w in d.shop.seen] == [5, -10]


def test_version_moved_by_an_order_means_the_write_is_dead(store: Store) -> None:
    d = desk(store)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    d.shop.fate = ["late"]
    d.send(d.pick(raises=False))
    d.shop.order(1)
    d.resolve()
    d.shop.arrive_late()
    d.capture("A", 1)
    d.see()
    d.settle_down()
    assert d.numbers() == (3, 3, 3)


def test_conflict_on_the_first_send_is_not_applied_and_recomputed(store: Store) -> None:
    d = desk(store)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    picked = d.pick(raises=False)
    d.shop.order(2)
    d.send(picked)
    assert d.numbers()[1] == 10
    d.capture("A", 2)
    d.see()
    d.settle_down()
    assert d.numbers() == (2, 2, 2)


@pytest.mark.parametrize("torn", [False, True], ids=["one snapshot", "T of before the order"])
def test_t_and_e_of_two_snapshots_would_give_back_what_was_just_sold(
    store: Store, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    d = desk(store)
    d.settle_down()
    (before,) = store.read_now(numbers.compute, [LAMP], LAYOUT, NOW)
    d.capture("A", 3)
    d.shop.order(3)
    compute = numbers.compute
    if torn:
        old = {"explanation": before.explanation}
        monkeypatch.setattr(numbers, "compute", lambda *a, **k: [replace(n, **old) for n in compute(*a, **k)])
    if d.plan()[0]:
        d.send(d.pick(raises=True))
    assert d.shop.quantity == (10 if torn else 7)


def test_a_foreign_number_is_never_topped_up_beyond_the_target(store: Store) -> None:
    """E 7 after a cancel, somebody set the entry to 10: T - Q is 0, nothing is sent, the key waits for the judge."""
    d = desk(store)
    d.settle_down()
    d.capture("A", 3)
    d.shop.order(3)

    def freed(tx: Tx) -> None:
        demand.release(tx, "A", None, "cancelled", NOW)

    store.write_now(freed)
    d.shop.quantity, d.shop.version = 10, d.shop.version + 1
    # A refill needs no proof; make it a raise above the last number told.
    d.base(12, "s1")
    d.plan()
    d.shop.quantity, d.shop.version = 12, d.shop.version + 1
    assert d.pick(raises=True).operations == ()
    parked = store.read_now(lambda tx: numbers.compute(tx, [LAMP], LAYOUT, NOW)[0].entry.parked)
    assert parked == "judge"


def test_the_most_dangerous_goes_first(store: Store) -> None:
    """Five hundred raises wait, then one stock-out: it is what is picked next."""
    names = [f"R{n:03}" for n in range(500)]

    def fill(tx: Tx) -> None:
        rows = [
            observe.Row(sku=s, location="WH1", part="", state="available", value=5, allocated=0) for s in [*names, LAMP]
        ]
        observe.start(tx, "s0", "cin7_core", "", NOW)
        observe.see_page(tx, "s0", rows, a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        observe.close(tx, "s0", complete=True, cause="", locations=["WH1"], now=NOW)
        observe.apply(tx, "s0", waiting=[], dropped=[], locations=["WH1"], now=NOW)
        seen = [
            entries.Seen(
                sku=s, channel="web", remote_id=s, version=1, quantity=5 if s == LAMP else 9, reserved=0, typed=None,
                backorder=False, last_op=None, at=NOW, seq=next_seq(tx),
            )
            for s in [*names, LAMP]
        ]  # fmt: skip
        entries.see(tx, seen, NOW)

    store.write_now(fill)
    d = Desk(store, Shop())
    while store.write_now(writer.plan_dirty, LAYOUT, NOW, stale=()):
        pass
    store.write_now(
        demand.capture,
        [demand.Sold(order_id="A", line_id="1", sku=LAMP, label="A", channel="", units=5, location="WH1")],
        NOW,
    )
    assert store.write_now(dirty.take, 1)[0][:2] == (LAMP, Priority.ORDER_LOWER)
    store.write_now(dirty.mark, [LAMP], Priority.ORDER_LOWER, "order", NOW)
    store.write_now(writer.plan_dirty, LAYOUT, NOW, stale=())
    picked = store.write_now(writer.pick, LAYOUT, d.ids, NOW, owner="w1", limit=1, only=None, stale=())
    assert [(w.sku, w.difference) for w in picked.writes] == [(LAMP, -5)]


def test_a_true_raise_is_not_left_with_the_refills(store: Store) -> None:
    """A refill was due and not yet sent when the master rose: the key needs a reading now, and gets one."""
    d = desk(store, base=5, shown=5)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    d.send(d.pick(raises=False))
    d.shop.order(2)
    d.capture("A", 2)
    store.write_now(demand.release, "A", None, "cancelled", NOW)
    d.plan()
    d.base(9, "s2")
    found = d.plan()
    assert found[0] == 7
    assert found[1] >= Priority.BACK_IN_STOCK
    d.send(d.pick(raises=True))
    assert d.numbers() == (9, 9, 9)


def test_a_number_that_fell_and_rose_again_is_no_refill(store: Store) -> None:
    """T 10, an order of 3 makes it 7 without a write of ours, then it is 10 again: a raise, which is read first."""
    d = desk(store, base=12)
    d.settle_down()
    d.base(10, "s1")
    d.plan()
    d.send(d.pick(raises=False))
    d.shop.order(3)
    d.capture("A", 3)
    assert d.plan()[0] == 0
    store.write_now(demand.release, "A", None, "cancelled", NOW)
    d.shop.quantity = 10  # the storefront gave the units back itself, and we do not know yet
    assert d.plan() == (3, Priority.RAISE)
    assert d.pick(raises=False).operations == ()
    assert d.pick(raises=True).operations == ()
    assert d.shop.quantity == 10


def test_nothing_rises_while_our_account_is_in_doubt_and_lowers_go_on(store: Store) -> None:
    d = desk(store, shown=5)
    assert d.plan()[0] == 5
    d.stopped = True
    assert d.pick(raises=True).operations == ()
    d.base(2, "s1")
    assert d.plan()[0] == -3
    d.send(d.pick(raises=False))
    assert d.numbers() == (2, 2, 2)


def test_a_refill_is_a_raise_too_while_our_account_is_in_doubt(store: Store) -> None:
    """E may be what is wrong: a number that only seems to have been taken must not be given back."""
    d = desk(store, base=5, shown=5)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    d.send(d.pick(raises=False))
    d.shop.order(2)
    d.capture("A", 2)
    store.write_now(demand.release, "A", None, "cancelled", NOW)
    assert d.plan() == (2, Priority.LOWER)
    d.stopped = True
    assert d.pick(raises=False).operations == ()
    d.stopped = False
    assert len(d.store.write_now(
        writer.pick, LAYOUT, d.ids, NOW + timedelta(minutes=1), owner="w1", limit=25, only=None, stale=()
    ).operations) == 1  # fmt: skip


def test_a_copy_that_supersedes_a_raise_adds_nothing_while_our_account_is_in_doubt(store: Store) -> None:
    d = desk(store, base=15)
    d.plan()
    d.shop.fate = ["late"]
    d.send(d.pick(raises=True))
    d.stopped = True
    d.resolve()
    assert [w.difference for w in d.shop.seen] == [5, 0]
    assert d.shop.arrive_late() == [False]
    assert d.shop.quantity == 10


def test_a_key_somebody_else_writes_gets_no_second_operation(store: Store) -> None:
    d = desk(store)
    d.settle_down()
    d.base(4, "s1")
    d.plan()
    assert len(d.pick(raises=False).operations) == 1
    assert d.pick(raises=True).operations == ()
    assert store.read_now(lambda tx: tx.value(Q_OPEN)) == 1


def test_a_raise_needs_a_reading_of_its_own(store: Store) -> None:
    """The entry was not in the answer: what was known of it before raises nothing."""
    d = desk(store, shown=0)
    d.plan()
    later = store.write_now(next_seq)
    picked = store.write_now(
        writer.pick, LAYOUT, d.ids, NOW, owner="w1", limit=25, only=[(LAMP, "web")], stale=(), read_seq=later
    )
    assert picked.operations == ()


def test_a_raise_after_a_raise_does_not_wait(store: Store) -> None:
    """The postponement that claimed the key for a writer ends with its write."""
    d = desk(store, shown=0)
    d.plan()
    key = {"sku": [LAMP], "channel": ["web"]}
    store.write_now(lambda tx: tx.run(writer.sql.postpone_desired, **key, due_at=NOW + timedelta(seconds=30)))
    d.send(d.pick(raises=True))
    d.base(15, "s1")
    d.plan()
    rows = store.write_now(
        lambda tx: tx.all(
            writer.sql.pick_work, now=NOW, raises=True, limit=10, **writer.counted_by(LAYOUT, ()),
            **writer.writable(LAYOUT),
        )
    )  # fmt: skip
    assert [r.sku for r in rows] == [LAMP]


def test_raises_of_what_a_stale_master_counts_are_not_picked_and_others_are(store: Store) -> None:
    d = desk(store, shown=0)
    d.plan()

    layout = replace(LAYOUT, masters={"WH1": "erp"})

    def waiting(*stale: str) -> list[str]:
        kept = {**writer.counted_by(layout, stale), **writer.writable(layout)}
        rows = store.write_now(lambda tx: tx.all(writer.sql.pick_work, now=NOW, raises=True, limit=10, **kept))
        return [r.sku for r in rows]

    def picked(*stale: str) -> int:
        d.see()
        only, later = [(LAMP, "web")], NOW + timedelta(seconds=20)
        found = store.write_now(
            writer.pick, layout, d.ids, later, owner="w1", limit=25, only=only, stale=stale, stopped=lambda tx: False
        )
        return len(found.operations)

    assert (waiting(), waiting("wms"), waiting("erp")) == ([LAMP], [LAMP], [])
    assert picked("erp") == 0, "one that was claimed before the master grew old"
    assert picked("wms") == 1, "another master counts nothing of it"


def test_a_raise_noted_as_a_lower_is_planned_anew(store: Store) -> None:
    """A plan that read E before our write of -7 was confirmed is noted after it: it says -5 where +2 is due."""
    d = desk(store, shown=7, base=7)
    d.base(0, "emptied")
    d.plan()
    assert d.send(d.pick(raises=False))
    d.base(2, "found again")
    d.plan()
    stale = Query(package="test", name="stale", purpose="", text="UPDATE desired SET d = -5, priority = 2")
    store.write_now(lambda tx: tx.run(stale))
    assert d.pick(raises=False).operations == ()
    d.settle_down()
    assert d.numbers() == (2, 2, 2)


def test_a_write_confirmed_while_its_key_is_planned_is_in_the_plan(store: Store, monkeypatch: Any) -> None:
    """A plan looks at E, then our write of -7 is confirmed, then the plan is noted: it must not say what was before."""
    d = desk(store, shown=7, base=7)
    d.base(0, "emptied")
    d.plan()
    picked = d.pick(raises=False)
    confirming = Thread(target=lambda: d.send(picked))
    look = numbers.compute

    def looked(*args: Any, **kwargs: Any) -> list[numbers.Number]:
        found = look(*args, **kwargs)
        if confirming.ident is None:
            # A plan that PostgreSQL has tried again looks a second time; the write is confirmed once.
            confirming.start()
        confirming.join(0.5)
        return found

    d.base(2, "found again")
    monkeypatch.setattr(numbers, "compute", looked)
    d.plan()
    monkeypatch.undo()
    confirming.join()
    assert d.numbers()[:2] == (2, 0)
    assert store.read_now(lambda tx: tx.one(Q_DESIRED)).d == 2
