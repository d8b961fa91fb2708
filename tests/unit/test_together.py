"""Questions that meet share a statement; each gets the answer of one that began after it came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
import pytest

from sellable.runtime.together import Together

Fetch = Callable[[Sequence[str]], Awaitable[Sequence[Any]]]


class World:
    """Something that changes; each fetch sees it as it is when the fetch begins, and ends when it is let go on."""

    def __init__(self) -> None:
        self.state = 0
        self.fetches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, questions: Sequence[str]) -> list[tuple[str, int]]:
        self.fetches.append(list(questions))
        seen = self.state
        await self.gate.wait()
        return [(question, seen) for question in questions]


async def turns(n: int = 3) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


def played(scene: Callable[[World], Awaitable[None]]) -> None:
    async def play() -> None:
        await asyncio.wait_for(scene(World()), 10)

    asyncio.run(play())


def test_who_asks_while_a_fetch_runs_goes_into_the_next_and_sees_what_is_newer() -> None:
    async def scene(world: World) -> None:
        together = Together(world.fetch, most=10)
        world.gate.clear()
        first = asyncio.create_task(together.ask("a"))
        await turns()
        later = [asyncio.create_task(together.ask(name)) for name in ("b", "c", "b")]
        await turns()
        world.state = 1
        world.gate.set()
        assert await first == ("a", 0)
        assert await asyncio.gather(*later) == [("b", 1), ("c", 1), ("b", 1)]
        assert world.fetches == [["a"], ["b", "c", "b"]]

    played(scene)


def test_nothing_is_kept_for_who_comes_later() -> None:
    async def scene(world: World) -> None:
        together = Together(world.fetch, most=10)
        assert await together.ask("a") == ("a", 0)
        world.state = 1
        assert await together.ask("a") == ("a", 1)
        assert world.fetches == [["a"], ["a"]]

    played(scene)


def test_no_more_than_so_many_at_a_time() -> None:
    async def scene(world: World) -> None:
        together = Together(world.fetch, most=2)
        await asyncio.gather(*(together.ask(name) for name in "abcde"))
        assert world.fetches == [["a", "b"], ["c", "d"], ["e"]]

    played(scene)


def test_a_question_that_cannot_be_put_is_its_askers_trouble() -> None:
    async def scene(world: World) -> None:
        async def fetch(questions: Sequence[str]) -> list[tuple[str, int]]:
            if "bad" in questions:
                raise psycopg.DataError("no such thing")
            return await world.fetch(questions)

        together = Together(fetch, most=10)
        ends = await asyncio.gather(*(together.ask(name) for name in ("a", "bad", "b")), return_exceptions=True)
        assert (ends[0], ends[2]) == (("a", 0), ("b", 0))
        assert isinstance(ends[1], psycopg.DataError)

    played(scene)


def test_a_fetch_that_fails_is_told_to_all_of_it_and_the_next_is_another() -> None:
    async def scene(world: World) -> None:
        away = [True]

        async def fetch(questions: Sequence[str]) -> list[tuple[str, int]]:
            if away.pop() if away else False:
                raise psycopg.OperationalError("away")
            return await world.fetch(questions)

        together = Together(fetch, most=10)
        ends = await asyncio.gather(together.ask("a"), together.ask("b"), return_exceptions=True)
        assert [type(end) for end in ends] == [psycopg.OperationalError] * 2
        assert await together.ask("a") == ("a", 0)

    played(scene)


def test_an_answer_that_is_missing_is_an_error_and_no_shift() -> None:
    async def scene(world: World) -> None:
        async def fetch(questions: Sequence[str]) -> list[str]:
            return [question for question in questions if question != "b"]

        together = Together(fetch, most=10)
        with pytest.raises(ValueError, match="shorter"):
            await asyncio.gather(together.ask("a"), together.ask("b"), together.ask("c"))

    played(scene)


def test_who_goes_away_leaves_the_others_alone() -> None:
    async def scene(world: World) -> None:
        together = Together(world.fetch, most=10)
        gone, stays = (asyncio.create_task(together.ask(name)) for name in ("gone", "stays"))
        await turns(1)
        gone.cancel()
        assert await stays == ("stays", 0)
        assert await together.ask("after") == ("after", 0)

    played(scene)
