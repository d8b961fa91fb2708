"""Feeds on a real database: the cursor moves with what was read, in one commit, and only for who holds the feed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.feeds import Feed, FeedContext, FeedResult, Feeds, FeedState, poke, states
from sellable.runtime.inbox import Arrival
from sellable.runtime.queries import Query
from sellable.runtime.wanted import want

EVERY = 60.0


def query(text: str) -> Query:
    return Query(package="test", name="test", purpose="test", text=text)


EXPIRE = query("UPDATE feed SET lease_until = app_now() - interval '1 s' WHERE owner IS NOT NULL")
STORED = query("SELECT message_id, meta FROM inbox ORDER BY id")
WANTED = query("SELECT count(*) FROM wanted")


class Hand:
    """A clock in the hands of the test, a little ahead of the database's."""

    def __init__(self) -> None:
        self.seconds = time.time() + 1

    def clock(self) -> Clock:
        return Clock(source=lambda: self.seconds)


class Pages:
    """A source with numbered pages, and what the runner told about it."""

    def __init__(self) -> None:
        self.cursors: list[Any] = []
        self.fail: Exception | None = None
        self.again = False
        self.also: Callable[[Tx, datetime], None] | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        self.told: list[object] = []

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        self.cursors.append(cursor)
        page = 1 if cursor is None else cursor["page"] + 1
        self.meanwhile()
        if self.fail is not None:
            raise self.fail
        arrival = Arrival(source="shop", message_id=f"page {page}", kind="page", lane="", body=b"")
        return FeedResult(arrivals=[arrival], cursor={"page": page}, again=self.again, also=self.also)

    def on_failure(self, _tx: Tx, name: str, error: Exception, failures: int, _now: datetime) -> None:
        self.told.append((name, str(error), failures))

    def on_recovery(self, _tx: Tx, name: str, _now: datetime) -> None:
        self.told.append((name, "recovered"))


class Bench:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.hand = Hand()
        self.pages = Pages()
        self.feeds = self.runner("one")
        asyncio.run(self.feeds.enrol())

    def runner(self, owner: str) -> Feeds:
        feed = Feed(name="orders", every_seconds=EVERY, turn=self.pages.turn)
        told = {"on_failure": self.pages.on_failure, "on_recovery": self.pages.on_recovery}
        return Feeds(self.store, self.hand.clock(), [feed], owner, chance=lambda: 0.5, **told)  # type: ignore[arg-type]

    def turn(self, feeds: Feeds | None = None) -> bool:
        return asyncio.run((feeds or self.feeds).turn_once("orders"))

    def state(self) -> FeedState:
        (state,) = self.store.read_now(states)
        return state

    def stored(self) -> list[str]:
        return [row.message_id for row in self.store.read_now(lambda tx: tx.all(STORED))]


@pytest.fixture
def bench(store: Store) -> Bench:
    bench = Bench(store)
    assert not bench.turn()  # new feeds begin at different times
    bench.hand.seconds += 5
    return bench


def test_the_cursor_moves_with_what_was_read(bench: Bench) -> None:
    assert bench.turn()
    assert not bench.turn()
    bench.hand.seconds += EVERY
    assert bench.turn()
    assert bench.pages.cursors == [None, {"page": 1}]
    assert bench.stored() == ["page 1", "page 2"]
    state = bench.state()
    assert (state.cursor, state.failures, state.owner) == ({"page": 2}, 0, None)
    assert state.last_success_at == datetime.fromtimestamp(bench.hand.seconds, UTC)
    assert state.due_at - state.last_success_at == timedelta(seconds=EVERY)
    numbers = [(row.meta["a0"], row.meta["a1"]) for row in bench.store.read_now(lambda tx: tx.all(STORED))]
    assert numbers == sorted(numbers)
    assert all(a0 < a1 for a0, a1 in numbers)


def test_again_means_at_once(bench: Bench) -> None:
    bench.pages.again = True
    assert [bench.turn(), bench.turn()] == [True, True]
    bench.pages.again = False
    assert [bench.turn(), bench.turn()] == [True, False]


def test_what_belongs_to_the_turn_joins_its_commit(bench: Bench) -> None:
    bench.pages.also = lambda tx, now: want(tx, "shop", "order", ["A-1"], 5, now)
    bench.turn()
    assert bench.store.read_now(lambda tx: tx.value(WANTED)) == 1

    def broken(tx: Tx, now: datetime) -> None:
        want(tx, "shop", "order", ["A-2"], 5, now)
        raise KeyError("line")

    bench.pages.also = broken
    bench.hand.seconds += EVERY
    bench.turn()
    assert bench.store.read_now(lambda tx: tx.value(WANTED)) == 1
    assert bench.stored() == ["page 1"]
    assert (bench.state().cursor, bench.state().failures) == ({"page": 1}, 1)


def test_a_failure_keeps_the_cursor_backs_off_and_is_counted(bench: Bench) -> None:
    bench.turn()
    bench.hand.seconds += EVERY
    bench.pages.fail = RuntimeError("503")
    for failures, upper in enumerate([2, 4, 8, 16], start=1):
        assert bench.turn()
        assert not bench.turn()
        state = bench.state()
        pause = state.due_at.timestamp() - bench.hand.seconds
        assert (state.failures, state.cursor, state.last_error) == (failures, {"page": 1}, "RuntimeError: 503")
        assert pause == pytest.approx(upper / 2, abs=1e-5)
        bench.hand.seconds = state.due_at.timestamp()
    bench.pages.fail = None
    assert bench.turn()
    assert (bench.state().failures, bench.state().last_error, bench.state().cursor) == (0, None, {"page": 2})
    assert bench.pages.told == [("orders", "503", n) for n in (1, 2, 3, 4)] + [("orders", "recovered")]


def test_one_process_at_a_time(bench: Bench) -> None:
    other = bench.runner("two")
    ran: list[bool] = []

    async def scene() -> None:
        entered, go_on = asyncio.Event(), asyncio.Event()
        turn = bench.pages.turn

        async def slow(cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
            entered.set()
            await go_on.wait()
            return await turn(cursor, context)

        feeds = Feeds(bench.store, bench.hand.clock(), [Feed(name="orders", every_seconds=1, turn=slow)], "one")
        first = asyncio.create_task(feeds.turn_once("orders"))
        await entered.wait()
        ran.append(await other.turn_once("orders"))
        go_on.set()
        ran.append(await first)

    asyncio.run(scene())
    assert ran == [False, True]


def test_who_lost_the_feed_writes_nothing(bench: Bench) -> None:
    """A turn that outlives its lease: the heir reads the same page, and only the heir's commit counts."""

    async def scene() -> bool:
        turn = bench.pages.turn

        async def outlived(cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
            result = await turn(cursor, context)
            await bench.store.write(lambda tx: tx.run(EXPIRE))
            bench.pages.again = True
            heir = bench.runner("two")
            assert await heir.turn_once("orders")
            assert await heir.turn_once("orders")
            return result

        feeds = Feeds(bench.store, bench.hand.clock(), [Feed(name="orders", every_seconds=1, turn=outlived)], "one")
        return await feeds.turn_once("orders")

    assert asyncio.run(scene())
    assert bench.stored() == ["page 1", "page 2"]
    assert bench.state().cursor == {"page": 2}


def test_a_poke_makes_it_due_and_is_not_lost_while_a_turn_runs(bench: Bench) -> None:
    bench.turn()
    assert not bench.turn()
    bench.store.write_now(poke, "orders")
    bench.hand.seconds += 1
    bench.pages.meanwhile = lambda: bench.store.write_now(poke, "orders")
    assert bench.turn()
    bench.pages.meanwhile = lambda: None
    assert [bench.turn(), bench.turn()] == [True, False]


def test_a_poke_does_not_hurry_a_failing_feed(bench: Bench) -> None:
    bench.pages.fail = RuntimeError("503")
    bench.turn()
    bench.store.write_now(poke, "orders")
    assert not bench.turn()


def test_a_restart_takes_over_its_own_feed_at_once(bench: Bench) -> None:
    async def die(_cursor: dict[str, Any] | None, _context: FeedContext) -> FeedResult:
        raise asyncio.CancelledError

    dying = Feeds(bench.store, bench.hand.clock(), [Feed(name="orders", every_seconds=1, turn=die)], "one")
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(dying.turn_once("orders"))
    assert not bench.turn()
    asyncio.run(bench.feeds.enrol())
    assert bench.turn()


def test_two_feeds_of_one_name_are_refused(store: Store) -> None:
    feed = Feed(name="orders", every_seconds=1, turn=Pages().turn)
    with pytest.raises(ValueError, match="same name"):
        Feeds(store, store.clock, [feed, feed], "one")


def test_it_runs_by_the_clock_and_on_a_poke(migrated_url: str, store: Store) -> None:
    origin = time.time()
    fast = Store(migrated_url, Clock(speed=60, origin=origin, start=origin), seal=store.seal)

    async def scene() -> int:
        stop, third, fourth = asyncio.Event(), asyncio.Event(), asyncio.Event()
        count = 0

        async def turn(_cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
            nonlocal count
            count += 1
            if count == 3:
                third.set()
            if count == 4:
                fourth.set()
            return FeedResult(arrivals=[], cursor={"seq": await context.next_seq()}, again=count < 3)

        running = asyncio.create_task(
            Feeds(fast, fast.clock, [Feed(name="messages", every_seconds=9999, turn=turn)], "one").run(stop)
        )
        await asyncio.wait_for(third.wait(), 10)
        await fast.write(poke, "messages")
        await asyncio.wait_for(fourth.wait(), 10)
        stop.set()
        await asyncio.wait_for(running, 10)
        return count

    assert asyncio.run(scene()) == 4
    fast.close()
