"""Background loops: backoff, bells, crashes that are counted, and an end that comes."""

from __future__ import annotations

import asyncio
import time

import pytest

from sellable.runtime.clock import Clock
from sellable.runtime.schedule import Bell, Loops, backoff, beat, unless


def fast() -> Clock:
    origin = time.time()
    return Clock(speed=600, origin=origin, start=origin)


def test_backoff_grows_to_a_cap_with_full_jitter() -> None:
    assert [backoff(n, lambda: 1.0) for n in (1, 2, 3, 8, 9, 1000)] == [2, 4, 8, 256, 300, 300]
    assert backoff(5, lambda: 0.0) == 0
    assert backoff(3, lambda: 0.25, base=1, cap=3) == 0.75


def test_unless_gives_the_result_or_stops_the_work() -> None:
    async def scene() -> None:
        stop, ended = asyncio.Event(), asyncio.Event()

        async def forever() -> int:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return 1

        async def quick() -> int:
            return 7

        assert await unless(stop, quick()) == 7
        waiting = asyncio.create_task(unless(stop, forever()))
        await asyncio.sleep(0)
        stop.set()
        assert await waiting is None
        assert ended.is_set()
        assert await unless(stop, forever()) is None

    asyncio.run(scene())


def test_unless_passes_errors_on() -> None:
    async def broken() -> None:
        raise KeyError("x")

    async def scene() -> None:
        with pytest.raises(KeyError):
            await unless(asyncio.Event(), broken())

    asyncio.run(scene())


def test_a_bell_ends_a_wait_even_if_rung_before() -> None:
    async def scene() -> None:
        bell, stop = Bell(Clock()), asyncio.Event()
        bell.ring("payload")
        await asyncio.wait_for(bell.wait(60), 5)
        waiting = asyncio.create_task(bell.wait(60))
        await asyncio.sleep(0)
        bell.ring()
        await asyncio.wait_for(waiting, 5)
        stop.set()
        await asyncio.wait_for(bell.wait(60, stop), 5)
        assert stop.is_set()
        await asyncio.wait_for(Bell(fast()).wait(60), 5)  # a minute of a fast clock
        assert waiting.done()

    asyncio.run(scene())


def test_a_crashed_loop_is_counted_and_comes_back() -> None:
    async def scene() -> None:
        tries, back = 0, asyncio.Event()

        async def body(stop: asyncio.Event) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise KeyError("secret words")
            if tries == 2:
                return  # ending without being told to is a crash as well
            back.set()
            await stop.wait()

        loops = Loops(fast(), chance=lambda: 0.5)
        loops.add("orders", body)
        loops.start()
        loops.start()
        await asyncio.wait_for(back.wait(), 5)
        (life,) = loops.lives()
        assert (life.name, life.crashes, life.last_error, life.running) == ("orders", 2, "RuntimeError", True)
        assert life.last_beat is not None
        assert await loops.stop() == []
        assert not life.running

    asyncio.run(scene())


def test_every_works_again_and_again_and_beats() -> None:
    async def scene() -> None:
        count, third = 0, asyncio.Event()

        async def work() -> None:
            nonlocal count
            count += 1
            if count == 3:
                third.set()

        loops = Loops(fast())
        loops.every("sweep", 5.0, work)
        with pytest.raises(ValueError, match="two loops"):
            loops.every("sweep", 5.0, work)
        loops.start()
        await asyncio.wait_for(third.wait(), 5)
        await loops.stop()
        (life,) = loops.lives()
        assert (life.interval_seconds, life.crashes) == (5.0, 0)

    asyncio.run(scene())


def test_a_loop_that_does_not_stop_is_cancelled_and_named() -> None:
    async def deaf(_stop: asyncio.Event) -> None:
        beat()
        await asyncio.Event().wait()

    async def scene() -> list[str]:
        loops = Loops(fast())
        loops.add("deaf", deaf)
        assert await Loops(fast()).stop() == []
        loops.start()
        await asyncio.sleep(0)
        return await loops.stop(grace_seconds=0.01)

    assert asyncio.run(scene()) == ["deaf"]
    beat()  # outside a loop nothing happens
