"""One statement for all who ask while another is on its way.

Rule: an answer is of a statement that began after its question came; nothing is kept for who comes later. A question
that cannot be put is its asker's trouble and nobody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import psycopg

K = TypeVar("K")
V = TypeVar("V")


class Together(Generic[K, V]):
    """`fetch` takes questions and gives the answer of each, in order; at most `most` at a time, one fetch at a time."""

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Sequence[V]]], *, most: int) -> None:
        self._fetch = fetch
        self._most = most
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._carrier: asyncio.Task[None] | None = None

    async def ask(self, question: K) -> V:
        """The answer. Raises what fetching raises."""
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._carrier is None or self._carrier.done():
            self._carrier = asyncio.create_task(self._carry(), name="together")
        return await answer

    async def _carry(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                found = await self._fetch([question for question, _ in asked])
                # One answer too few would be given to the wrong asker.
                ends = list(zip(asked, found, strict=True))
            except psycopg.DataError:
                for question, answer in asked:
                    await self._alone(question, answer)
            except Exception as error:
                for _, answer in asked:
                    _tell(answer, error)
            else:
                for (_, answer), value in ends:
                    _tell(answer, value)

    async def _alone(self, question: K, answer: asyncio.Future[V]) -> None:
        try:
            (found,) = await self._fetch([question])
        except Exception as error:
            _tell(answer, error)
        else:
            _tell(answer, found)


def _tell(answer: asyncio.Future[V], end: V | Exception) -> None:
    """Unless whoever asked has gone away."""
    if answer.done():
        return
    if isinstance(end, Exception):
        answer.set_exception(end)
    else:
        answer.set_result(end)
