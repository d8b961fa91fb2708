"""Budgets on a real database: several processes spend one credential and the vendor never sees too many calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from sellable.runtime.budgets import CHANNEL, Budgets, BudgetSpec, Grant, away_for, prepaid, urgent
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store

ERP = "erp"
MINUTE = BudgetSpec(
    credential=ERP, calls=60, window_seconds=60, burst=6, lanes={"orders": 0.4, "stock": 0.3, "reads": 0.2}
)


@pytest.fixture
def fast(migrated_url: str, store: Store) -> Iterator[Store]:
    """A store on a clock a hundred times as fast, next to the fixture that empties the tables."""
    fast = Store(migrated_url, clock_of(100), threads=6)
    yield fast
    fast.close()


def clock_of(speed: float) -> Clock:
    origin = time.time()
    return Clock(speed=speed, origin=origin, start=origin)


def most_in_a_window(calls: list[float], seconds: float) -> int:
    return max(sum(end - seconds < at <= end for at in calls) for end in calls)


def test_three_processes_never_exceed_the_limit_together(fast: Store) -> None:
    """Greedy callers on three Budgets for three minutes of the clock: at most 60 calls in any minute, and not few."""
    clock, calls = fast.clock, []

    async def spender(budgets: Budgets, lane: str, until: float) -> None:
        while clock.monotonic() < until:
            await budgets.spend(ERP, lane)
            calls.append(clock.monotonic())

    async def scene() -> None:
        until = clock.monotonic() + 180
        processes = [Budgets(fast, clock, [MINUTE]) for _ in range(3)]
        spenders = [
            asyncio.create_task(spender(budgets, lane, until)) for budgets in processes for lane in MINUTE.lanes
        ]
        await asyncio.wait(spenders, timeout=20)
        for task in spenders:
            task.cancel()
        await asyncio.gather(*spenders, return_exceptions=True)

    asyncio.run(scene())
    assert most_in_a_window(calls, 60) <= 60
    assert len(calls) >= 0.8 * MINUTE.rate * 180


def test_a_reserved_share_is_served_at_once_though_others_queue(store: Store) -> None:
    """On the real clock, where those who are starved are looked at once a second only."""
    budgets = Budgets(store, store.clock, [MINUTE])

    async def scene() -> tuple[float, int]:
        hungry = [asyncio.create_task(budgets.acquire(ERP, "stock", 0)) for _ in range(200)]
        await asyncio.wait(hungry, timeout=0.2)
        began = time.monotonic()
        await budgets.acquire(ERP, "orders", 9)
        waited = time.monotonic() - began
        served = sum(task.done() for task in hungry)
        for task in hungry:
            task.cancel()
        await asyncio.gather(*hungry, return_exceptions=True)
        return waited, served

    waited, served = asyncio.run(scene())
    assert waited < 0.4
    assert served == 3  # its own 1.3 tokens and 2.1 lent


def test_an_urgent_waiter_goes_first(fast: Store) -> None:
    budgets = Budgets(fast, fast.clock, [MINUTE])
    served: list[int] = []

    async def ask(priority: int) -> None:
        await budgets.acquire(ERP, "orders", priority)
        served.append(priority)

    async def scene() -> None:
        await budgets.breach(ERP, 10)
        await asyncio.gather(*[ask(priority) for priority in (4, 4, 0, 2, 4, 1)])

    asyncio.run(scene())
    assert served == [0, 1, 2, 4, 4, 4]


def test_an_urgent_spend_goes_before_those_who_came_earlier(fast: Store) -> None:
    """A page that proves many things at once must not wait for ever behind single readings of what it would prove."""
    budgets = Budgets(fast, fast.clock, [MINUTE])
    served: list[str] = []

    async def spend(name: str, priority: int) -> None:
        with urgent(priority):
            await budgets.spend(ERP, "orders")
        served.append(name)

    async def scene() -> None:
        await budgets.breach(ERP, 10)
        singles = [asyncio.create_task(spend("single", 3)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.gather(spend("page", 1), budgets.acquire(ERP, "orders"), *singles)

    asyncio.run(scene())
    assert served == ["page", "single", "single", "single"]


def test_a_breach_stops_every_process_and_halves_the_rate_once(fast: Store) -> None:
    async def scene() -> tuple[float, list[float]]:
        ours, theirs = (Budgets(fast, fast.clock, [MINUTE]) for _ in range(2))
        began = fast.clock.monotonic()
        await asyncio.gather(*[ours.breach(ERP, 50) for _ in range(5)])
        waits = []
        for budgets in (ours, theirs):
            await budgets.spend(ERP, "orders")
            waits.append(fast.clock.monotonic() - began)
        usage = {row.lane: row for row in await ours.usage()}
        return usage["orders"].shrink, waits

    shrink, waits = asyncio.run(scene())
    assert 0.5 < shrink < 0.51
    assert min(waits) >= 50


def knock(store: Store, seconds: float, there: Callable[[int, float], bool], asks: float | None = None) -> list[float]:
    """Moments at which a greedy caller knocked; `there` says by number and moment whether the vendor answers."""
    clock, calls = store.clock, list[float]()

    async def scene() -> None:
        budgets = Budgets(store, clock, [MINUTE])
        began = clock.monotonic()
        while (at := clock.monotonic() - began) < seconds:
            await budgets.spend(ERP, "orders")
            at = clock.monotonic() - began
            calls.append(at)
            if there(len(calls), at):
                budgets.answered(ERP)
            else:
                await budgets.unavailable(ERP, asks)

    asyncio.run(scene())
    return calls


def test_a_vendor_that_refuses_one_call_in_four_is_hardly_slowed_down(fast: Store) -> None:
    calls = knock(fast, 300, lambda number, at: number % 4 != 0)
    assert len(calls) >= 0.6 * MINUTE.rate * 300, "a second for each refusal, and the rate stays"


def test_a_vendor_that_is_down_is_knocked_at_ever_more_rarely_and_is_back_soon(fast: Store) -> None:
    calls = knock(fast, 500, lambda number, at: at > 300)
    down = [at for at in calls if at <= 300]
    assert 9 <= len(down) <= 12
    gaps = [after - before for before, after in pairwise(down)]
    assert all(gap >= least for gap, least in zip(gaps, (1, 2, 4, 8, 16, 32, 60, 60), strict=False))
    back = [at for at in calls if at > 300]
    assert back[0] <= 300 + 65
    assert len(back) >= 0.6 * MINUTE.rate * (500 - back[0]), "at the full rate as soon as it answers"


def test_what_an_unavailable_vendor_asks_for_is_obeyed(fast: Store) -> None:
    calls = knock(fast, 100, lambda number, at: number > 3, asks=20)
    assert all(after - before >= 20 for before, after in pairwise(calls[:4]))


def test_calls_that_left_together_and_met_the_same_refusal_count_once(fast: Store) -> None:
    async def scene() -> list[float]:
        ours, theirs = (Budgets(fast, fast.clock, [MINUTE]) for _ in range(2))
        await asyncio.gather(*[ours.unavailable(ERP, None) for _ in range(5)])
        began, waits = fast.clock.monotonic(), []
        for budgets in (ours, theirs):
            await budgets.spend(ERP, "orders")
            waits.append(fast.clock.monotonic() - began)
        return [*waits, *{row.shrink for row in await ours.usage()}]

    ours, theirs, shrink = asyncio.run(scene())
    assert max(ours, theirs) < 16, "a second's pause, not thirty-two"
    assert shrink == 1


def test_pauses_double_up_to_a_minute() -> None:
    assert [away_for(times) for times in (0, 1, 2, 5, 6, 7, 10**6)] == [1, 2, 4, 32, 60, 60, 60]


def test_what_was_drawn_before_a_breach_is_worth_nothing_in_any_process(store: Store) -> None:
    async def scene() -> list[bool]:
        ours, theirs = (Budgets(store, store.clock, [MINUTE]) for _ in range(2))
        await theirs.listen()
        told = asyncio.Event()
        await store.listen(CHANNEL, lambda breach: told.set() if breach else None)  # called after theirs
        grants = [await budgets.acquire(ERP, "orders") for budgets in (ours, ours, theirs, theirs)]
        before = [grants[0].take(), grants[2].take()]
        await ours.breach(ERP, 50)
        await asyncio.wait_for(told.wait(), 5)
        return [*before, grants[1].take(), grants[3].take()]

    assert asyncio.run(scene()) == [True, True, False, False]


def test_a_prepaid_call_is_used_once_and_the_next_one_pays(fast: Store) -> None:
    async def scene() -> list[int]:
        budgets = Budgets(fast, fast.clock, [MINUTE])
        used = []
        with prepaid(await budgets.acquire(ERP, "orders")):
            for _ in range(3):
                await budgets.spend(ERP, "orders")
                used.append(sum(row.used for row in await budgets.usage()))
        return used

    assert asyncio.run(scene()) == [1, 2, 3]


def test_what_is_given_back_serves_the_next(fast: Store) -> None:
    async def scene() -> tuple[int, bool, bool]:
        budgets = Budgets(fast, fast.clock, [MINUTE])
        with prepaid(await budgets.acquire(ERP, "orders")):
            pass
        second = await budgets.acquire(ERP, "stock")
        second.give_back()
        second.give_back()
        third = await budgets.acquire(ERP, "reads")
        return sum(row.used for row in await budgets.usage()), third.take(), third.take()

    assert asyncio.run(scene()) == (1, True, False)


def test_who_stops_waiting_gives_back_what_came_too_late(fast: Store) -> None:
    async def scene() -> int:
        budgets = Budgets(fast, fast.clock, [MINUTE])
        quitter = asyncio.create_task(budgets.acquire(ERP, "orders"))
        await asyncio.sleep(0)
        quitter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await quitter
        await budgets.acquire(ERP, "orders")
        return sum(row.used for row in await budgets.usage())

    assert asyncio.run(scene()) <= 2


def test_an_old_grant_is_worth_nothing(fast: Store) -> None:
    async def scene() -> Grant:
        budgets = Budgets(fast, fast.clock, [MINUTE])
        grant = await budgets.acquire(ERP, "orders")
        await fast.clock.sleep(MINUTE.hold_seconds + 0.5)
        return grant

    assert not asyncio.run(scene()).take()


def test_high_rates_share_transactions(store: Store) -> None:
    """200 calls a second cost far fewer transactions: those who ask within a moment are served together."""
    spec = BudgetSpec(credential=ERP, calls=1000, window_seconds=1, burst=600, lanes={"a": 0.5, "b": 0.4})
    budgets = Budgets(store, store.clock, [spec])
    transactions = 0
    write = store.write

    async def counted(*args: object, **kwargs: object) -> object:
        nonlocal transactions
        transactions += 1
        return await write(*args, **kwargs)  # type: ignore[arg-type]

    async def caller(number: int) -> None:
        for _ in range(20):
            await budgets.spend(ERP, "a" if number % 2 else "b")

    async def scene() -> float:
        began = time.monotonic()
        await asyncio.gather(*[caller(number) for number in range(20)])
        return time.monotonic() - began

    store.write = counted  # type: ignore[assignment,method-assign]
    seconds = asyncio.run(scene())
    assert transactions <= 60
    assert seconds < 10


def test_unknown_credentials_and_lanes_are_refused(fast: Store) -> None:
    budgets = Budgets(fast, fast.clock, [MINUTE])
    with pytest.raises(ValueError, match="no budget is declared for credential 'shop'"):
        asyncio.run(budgets.spend("shop", "orders"))
    with pytest.raises(ValueError, match="has no lane 'order', only orders, stock, reads"):
        asyncio.run(budgets.spend(ERP, "order"))


def test_usage_tells_each_lane(fast: Store) -> None:
    async def scene() -> None:
        budgets = Budgets(fast, fast.clock, [MINUTE])
        assert await budgets.usage() == []
        await budgets.spend(ERP, "orders")
        rows = {row.lane: row for row in await budgets.usage()}
        assert set(rows) == {"orders", "stock", "reads"}
        orders = rows["orders"]
        assert (orders.used, orders.share, orders.calls, orders.window_seconds) == (1, 0.4, 60, 60)
        assert (orders.waiting, orders.cooldown_until, orders.shrink) == (0, None, 1.0)
        await budgets.breach(ERP, 100)
        waiter = asyncio.create_task(budgets.spend(ERP, "orders"))
        await asyncio.sleep(0)
        cooling = (await budgets.usage())[0]
        assert (cooling.waiting, cooling.shrink, cooling.tokens) == (1, 0.5, 0)
        assert cooling.cooldown_until is not None
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)

    asyncio.run(scene())
