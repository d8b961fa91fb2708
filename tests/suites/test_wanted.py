"""Wishes on a real database: one for each key, ended only by a read that began after the last repetition."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from sellable.runtime.budgets import Budgets, BudgetSpec
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.inbox import Arrival
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import Query
from sellable.runtime.wanted import Fetcher, Wanted, failed, got, granted, take, upcoming, want, wished

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = datetime(2126, 3, 2, tzinfo=UTC)


def query(text: str) -> Query:
    return Query(package="test", name="test", purpose="test", text=text)


WISHES = query("SELECT key, priority, attempts, cause, owner FROM wanted ORDER BY key")
STORED = query("SELECT message_id, meta FROM inbox ORDER BY id")


def wish(store: Store, *keys: str, priority: int = 5, now: datetime = NOW) -> None:
    store.write_now(want, "erp", "sale", keys, priority, now)


def taken(store: Store, owner: str = "one", limit: int = 10, now: datetime = NOW) -> list[Wanted]:
    return store.write_now(take, "erp", "sale", limit, owner, 60.0, now)


def keys(store: Store) -> list[str]:
    return [row.key for row in store.read_now(lambda tx: tx.all(WISHES))]


def test_a_wish_repeated_is_one_wish_and_only_gets_more_urgent(store: Store) -> None:
    wish(store, "SO-1", "SO-2", "SO-1")
    wish(store, "SO-2", priority=2)
    wish(store, "SO-2", priority=7)
    wish(store)
    assert [(w.key, w.priority) for w in taken(store)] == [("SO-2", 2), ("SO-1", 5)]
    assert taken(store, "two") == []


def test_a_fulfilled_wish_ends(store: Store) -> None:
    wish(store, "SO-1", "SO-2")
    store.write_now(got, taken(store, limit=1), NOW)
    assert keys(store) == ["SO-2"]


def test_a_wish_repeated_while_it_is_fetched_is_fetched_again(store: Store) -> None:
    wish(store, "SO-1", "SO-2")
    first = taken(store)
    wish(store, "SO-2")
    assert taken(store, "two") == []
    store.write_now(got, first, NOW)
    assert [w.key for w in taken(store, "two")] == ["SO-2"]


def test_a_read_made_for_another_wish_ends_only_those_made_before_it_began(store: Store) -> None:
    wish(store, "SO-1", "SO-2")
    began = store.write_now(next_seq)
    wish(store, "SO-2", "SO-3")
    store.write_now(granted, "erp", "sale", ["SO-1", "SO-2", "SO-3", "SO-4"], began)
    assert store.read_now(wished, "erp", "sale") == ["SO-2", "SO-3"]
    store.write_now(granted, "erp", "order", ["SO-2"], store.write_now(next_seq))
    assert keys(store) == ["SO-2", "SO-3"], "wishes of another kind are another matter"


def test_a_failed_wish_waits(store: Store) -> None:
    wish(store, "SO-1")
    store.write_now(failed, taken(store), 30.0, "vendor down")
    assert taken(store, now=datetime.now(UTC)) == []
    (again,) = taken(store, now=datetime.now(UTC) + timedelta(seconds=31))
    assert again.attempts == 1
    assert store.read_now(lambda tx: tx.all(WISHES))[0].cause == "vendor down"


def test_a_lost_lease_frees_nothing_of_the_heirs(store: Store) -> None:
    wish(store, "SO-1")
    zombie = taken(store, "one")
    store.write_now(lambda tx: tx.run(query("UPDATE wanted SET lease_until = app_now() - interval '1 s'")))
    wish(store, "SO-1")
    heir = taken(store, "two")
    store.write_now(got, zombie, NOW)
    store.write_now(failed, zombie, 30.0, "late")
    (row,) = store.read_now(lambda tx: tx.all(WISHES))
    assert (row.owner, row.attempts) == ("two", 0)
    store.write_now(got, heir, NOW)
    assert keys(store) == []


def test_what_is_next(store: Store) -> None:
    assert asyncio.run(upcoming(store, "erp", "sale", NOW)) is None
    wish(store, "SO-2", now=NOW + timedelta(seconds=3), priority=1)
    wish(store, "SO-1", priority=4)
    wish(store, "SO-0", priority=3)
    ahead = asyncio.run(upcoming(store, "erp", "sale", NOW))
    assert ahead is not None
    assert (ahead.ready_at, ahead.priority) == (NOW, 3)
    store.write_now(got, taken(store), NOW)
    ahead = asyncio.run(upcoming(store, "erp", "sale", NOW))
    assert ahead is not None
    assert ahead.ready_at == NOW + timedelta(seconds=3)


class Vendor:
    """A vendor that can be told to fail for some keys."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.bad: set[str] = set()
        self.done = asyncio.Event()

    async def fetch(self, keys: Sequence[str]) -> list[Arrival]:
        self.asked.append(list(keys))
        if self.bad.intersection(keys):
            raise RuntimeError("400")
        self.done.set()
        return [Arrival(source="erp", message_id=f"{key}@1", kind="sale", lane=key, body=b"{}") for key in keys]


def test_a_fetch_stores_what_came_with_its_causal_numbers(store: Store) -> None:
    vendor = Vendor()
    wish(store, "SO-1", "SO-2", "SO-3")
    before = 3
    fetcher = Fetcher(store, store.clock, "erp", "sale", 2, vendor.fetch, "reads")
    assert [asyncio.run(fetcher.work_once()) for _ in range(3)] == [2, 1, 0]
    assert vendor.asked == [["SO-1", "SO-2"], ["SO-3"]]
    rows = store.read_now(lambda tx: tx.all(STORED))
    assert [row.message_id for row in rows] == ["SO-1@1", "SO-2@1", "SO-3@1"]
    assert before < rows[0].meta["a0"] < rows[0].meta["a1"] < rows[2].meta["a0"]
    assert keys(store) == []


def test_one_bad_key_does_not_keep_failing_its_neighbours(store: Store) -> None:
    """Batches shrink until the bad key stands alone; it is told about at its 8th failure and never given up."""
    vendor, stuck = Vendor(), []

    def on_stuck(_tx: Tx, wish: Wanted, cause: str, _now: datetime) -> None:
        stuck.append((wish.key, cause))

    vendor.bad = {"SO-3"}
    wish(store, *[f"SO-{n}" for n in range(8)])
    fetcher = Fetcher(store, store.clock, "erp", "sale", 8, vendor.fetch, "reads", on_stuck=on_stuck, chance=lambda: 0)

    async def tries() -> None:
        while not stuck:
            assert await fetcher.work_once()

    asyncio.run(tries())
    assert keys(store) == ["SO-3"]
    assert stuck == [("SO-3", "RuntimeError: 400")]
    assert len(vendor.asked) < 20


def test_it_pays_for_each_call_and_runs_on_a_notification(migrated_url: str, store: Store) -> None:
    origin = time.time()
    fast = Store(migrated_url, Clock(speed=60, origin=origin, start=origin), seal=store.seal)
    spec = BudgetSpec(credential="erp", calls=60, window_seconds=60, burst=4, lanes={"reads": 0.5})
    budgets = Budgets(fast, fast.clock, [spec])

    async def scene() -> Vendor:
        vendor, stop = Vendor(), asyncio.Event()
        fetcher = Fetcher(fast, fast.clock, "erp", "sale", 10, vendor.fetch, "reads", budgets=budgets)
        running = asyncio.create_task(fetcher.run(stop))
        await fast.write(want, "erp", "sale", ["SO-1"], 5, fast.clock.now())
        await asyncio.wait_for(vendor.done.wait(), 10)
        stop.set()
        await asyncio.wait_for(running, 10)
        return vendor

    assert asyncio.run(scene()).asked == [["SO-1"]]
    assert [usage.used for usage in asyncio.run(budgets.usage())] == [1]
    assert json.dumps(keys(store)) == "[]"
    fast.close()


def test_a_vendors_pause_is_honoured(store: Store) -> None:
    class Limited(Exception):
        after_seconds = 500.0

    async def fetch(_keys: Sequence[str]) -> list[Arrival]:
        raise Limited

    wish(store, "SO-1")
    fetcher = Fetcher(store, store.clock, "erp", "sale", 2, fetch, "reads", chance=lambda: 0)
    assert asyncio.run(fetcher.work_once()) == 1
    ahead = asyncio.run(upcoming(store, "erp", "sale", NOW))
    assert ahead is not None
    assert ahead.ready_at - datetime.now(UTC) == pytest.approx(timedelta(seconds=500), abs=timedelta(seconds=5))
