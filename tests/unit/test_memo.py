"""Counts a moment old: who asks first waits no longer than they want to, and nobody counts twice at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from sellable.web.console import memo
from sellable.web.console.memo import Memo


class Count:
    """Answers how often it was asked, once it may."""

    def __init__(self) -> None:
        self.asked, self.may = 0, asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.asked += 1
        await self.may.wait()
        if self.error:
            raise self.error
        return self.asked


def test_a_count_that_takes_long_is_there_for_who_asks_next() -> None:
    async def story() -> None:
        kept, count = Memo(), Count()
        assert [await kept.get("n", count, 0.0) for _ in range(2)] == [None, None]
        assert count.asked == 1, "one count at a time"
        count.may.set()
        assert await kept.get("n", count) == 1
        assert await kept.get("n", count, 0.0) == 1, "fresh enough"

    asyncio.run(story())


def test_an_old_count_is_shown_while_a_new_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        kept, count = Memo(), Count()
        count.may.set()
        assert await kept.get("n", count) == 1
        monkeypatch.setattr(memo, "FRESH_SECONDS", -1.0)
        assert await kept.get("n", count) == 1
        await asyncio.gather(*kept._asking.values())
        assert await kept.get("n", count) == 2

    asyncio.run(story())


def test_a_count_that_fails_is_told_to_who_waits_and_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> Any:
        kept, count = Memo(), Count()
        count.error = OSError("away")
        count.may.set()
        with pytest.raises(OSError, match="away"):
            await kept.get("n", count)
        count.error = None
        return await kept.get("n", count)

    with caplog.at_level(logging.WARNING, logger="sellable.web.console.memo"):
        assert asyncio.run(story()) == 2
    assert "OSError" in caplog.text


def test_what_was_counted_longest_ago_is_forgotten_first() -> None:
    async def story() -> None:
        kept, asked = Memo(), []

        async def ask(name: str) -> str:
            async def count() -> str:
                asked.append(name)
                return name

            found: str = await kept.get(name, count)
            return found

        names = [f"month {n}" for n in range(memo.NAMES_MAX + 1)]
        assert [await ask(name) for name in names] == names
        assert await ask(names[-1]) == names[-1]
        assert asked == names, "remembered"
        assert await ask(names[0]) == names[0]
        assert asked == [*names, names[0]], "forgotten, so counted anew"

    asyncio.run(story())
