"""Deaths of a process right after each kind of effect it has: a commit, or a call that the vendor has carried out.

Rule: between two effects a process only thinks, so dying anywhere there is the same as dying right after the first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx2
import pytest
from tests.simulation.stage import SITE, Send, Stage

from sellable.runtime.database import Store, Tx
from sellable.runtime.feeds import Feed
from sellable.simulation.virtual.loop import context_of, life_now

DEAD_SECONDS = 1.0


class Deaths:
    """Sees every effect; kills after the `turn`-th of each wanted class and brings the process back a second later."""

    def __init__(self, wanted: frozenset[str] = frozenset(), *, turn: int = 1, again: int = 0) -> None:
        """`again` is after how many effects of the new life it dies once more, 0 for never."""
        self.wanted, self.turn, self.again = wanted, turn, again
        self.seen: Counter[str] = Counter()
        self.killed: set[str] = set()
        self.stage: Stage | None = None
        self.deaths = 0
        self._left = 0

    def prepare(self, stage: Stage) -> None:
        """Whose deaths they are; cases need a cause."""
        self.stage = stage
        stage.fired["kill"] += 1

    def _due(self, effect: str) -> bool:
        """Only while the story is told: the start of a process is played by every death."""
        if self.stage is None or self.stage.phase == "boot":
            return False
        self.seen[effect] += 1
        self._left -= 1
        if self._left == 0:
            return True
        if effect not in self.wanted or effect in self.killed or self.seen[effect] < self.turn:
            return False
        self.killed.add(effect)
        self._left = self.again
        return True

    def _kill(self) -> None:
        assert self.stage is not None
        (process,), loop = self.stage.processes, self.stage.loop
        if process.life is not None and process.life.state == "alive":
            self.deaths += 1
            process.kill()
            loop.call_later(DEAD_SECONDS, process.start, context=context_of(None))

    def _soon(self) -> None:
        """Before the process hears of the effect."""
        assert self.stage is not None
        self.stage.loop.call_soon(self._kill, context=context_of(None))

    async def __call__(self, request: httpx2.Request, send: Send) -> httpx2.Response:
        """A call of the product: the vendor carries it out, and the answer finds nobody."""
        answer = await send(request)
        if life_now() is not None and self._due(f"call {SITE.get()}"):
            self._soon()
            await asyncio.get_running_loop().create_future()
        return answer

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While inside, commits are seen too."""
        write = Store._write

        def seen(store: Store, work: Callable[[Tx], Any], call: Any, alone: bool = False) -> Any:
            result = write(store, work, call, alone)
            function, args = _inside(work)
            person = function.endswith(".replay_all")
            if (life_now() is not None or person) and self._due(f"commit {function}{_about(args, result)}"):
                self._soon()
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "_write", seen)
            yield


def _inside(work: Any) -> tuple[str, list[Any]]:
    """The function a transaction runs, by module and name, and what it is given."""
    cells = {name: cell.cell_contents for name, cell in zip(work.__code__.co_freevars, work.__closure__, strict=True)}
    function, args = cells["fn"], list(cells["args"])
    while isinstance(function, partial):
        args, function = [*function.args, *args], function.func
    module = function.__module__.removeprefix("sellable.")
    return f"{module}.{function.__qualname__}".replace(".<locals>", "").replace(".<lambda>", ""), args


def _about(args: list[Any], result: Any) -> str:
    """Of which kinds of operations, arrivals or feeds it is: what follows a commit depends on that."""
    found = {kind for each in (*args, result, *_each(result)) if (kind := _kind(each))}
    return "".join(f" {kind}" for kind in sorted(found))


def _each(result: Any) -> list[Any]:
    return result if isinstance(result, list) else []


def _kind(value: Any) -> str:
    """An operation's or a row's `kind`, a feed's `name`, the kind that ends in the inbox are told by."""
    if isinstance(value, Feed):
        return value.name
    if isinstance(value, tuple) and len(value) == 2 and value[1] in ("done", "quarantined", "again"):
        return str(value[0])
    kind = getattr(value, "kind", None)
    return kind if isinstance(kind, str) else ""
