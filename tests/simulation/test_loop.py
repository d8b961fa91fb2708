"""The virtual event loop: time jumps, nothing is left to memory addresses, a process dies between two steps."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator

import pytest

from sellable.simulation.virtual.loop import Life, Stuck, VirtualLoop, life_now, run_as


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop(random.Random(1))
    yield made
    made.close()


def test_a_day_passes_in_no_time(loop: VirtualLoop) -> None:
    loop.run_until_complete(asyncio.sleep(86_400))
    assert loop.time() == 86_400


def test_a_wait_never_ends_too_soon(loop: VirtualLoop) -> None:
    async def waits() -> None:
        for _ in range(200):
            until = loop.time() + 0.1 / 3
            await asyncio.sleep(until - loop.time())
            assert loop.time() >= until

    loop.run_until_complete(waits())


def test_a_world_that_waits_for_nothing_says_so(loop: VirtualLoop) -> None:
    with pytest.raises(Stuck):
        loop.run_until_complete(asyncio.Event().wait())


def test_an_executor_runs_inline_a_moment_later(loop: VirtualLoop) -> None:
    async def asks() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 7), loop.time()

    answer, at = loop.run_until_complete(asks())
    assert answer == 7
    assert at > 0
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(loop.run_in_executor(None, lambda: 1 / 0))


def test_the_dead_take_no_further_step(loop: VirtualLoop) -> None:
    steps: list[str] = []

    async def lives() -> None:
        try:
            while True:
                life = life_now()
                assert life is not None
                steps.append(life.name)
                await asyncio.sleep(1)
        finally:
            steps.append("cleaned up")

    async def story() -> None:
        life = Life("first")
        task = run_as(loop, life, lives())
        await asyncio.sleep(2.5)
        loop.kill(life)
        await asyncio.sleep(10)
        assert not task.done()

    loop.run_until_complete(story())
    assert steps == ["first", "first", "first"]


def test_a_paused_life_goes_on_where_it_stood(loop: VirtualLoop) -> None:
    heard: list[float] = []

    async def lives() -> None:
        while True:
            await asyncio.sleep(1)
            heard.append(loop.time())

    async def story() -> None:
        life = Life("sleeper")
        task = run_as(loop, life, lives())
        await asyncio.sleep(1.5)
        life.state = "paused"
        await asyncio.sleep(60)
        loop.resume(life)
        await asyncio.sleep(0.5)
        task.cancel()

    loop.run_until_complete(story())
    assert heard == [1.0, 61.5]


def test_a_wait_for_less_than_a_clock_tells_ends_later_than_it_began(loop: VirtualLoop) -> None:
    async def waits() -> bool:
        await asyncio.sleep(1.991008)
        until = math.nextafter(loop.time(), math.inf)
        await asyncio.sleep(until - loop.time())
        return loop.time() >= until

    assert loop.run_until_complete(waits())
