"""An event loop whose time is virtual: when nothing is ready it jumps to the next timer, and no thread ever runs.

Rule: everything that happens has a place in one order that the seed decides. Simulated processes share the loop; each
of their callbacks knows its `Life`, so a process can be killed or paused between any two of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import math
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
DATABASE_SECONDS = (0.0003, 0.004)
"""How long a transaction is on its way to the database, and its answer back: what lets others come in between."""

TICKS = 1_000_000
"""Virtual time has whole microseconds, so that a wait never ends a rounding error too soon and begins again."""


class Stuck(RuntimeError):
    """Nothing is ready and no timer is set: the simulated world would wait for ever."""


class Life:
    """One life of a simulated process. Its callbacks run while it is `alive`, wait while `paused`, and never come when
    it is `dead`; its tasks are then kept in memory, for an end that is collected as garbage would still clean up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "alive"
        self.parked: list[asyncio.Handle] = []
        self.kept: list[asyncio.Task[Any]] = []


_life: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)


def life_now() -> Life | None:
    """Whose callback is running; None is the world outside."""
    return _life.get()


def context_of(life: Life | None) -> contextvars.Context:
    """A context in which whatever is started belongs to this life."""
    context = contextvars.copy_context()
    context.run(_life.set, life)
    return context


class _Owned(asyncio.Handle):
    __slots__ = ("life",)
    life: Life

    def _run(self) -> None:
        if self.life.state == "alive":
            super()._run()
        else:
            self.life.parked.append(self)


class _OwnedTimer(asyncio.TimerHandle):
    __slots__ = ("life",)
    life: Life

    def _run(self) -> None:
        if self.life.state == "alive":
            super()._run()
        else:
            self.life.parked.append(self)


class _Future(asyncio.Future[T]):
    """Sets of futures and tasks are walked in the order of birth, not of memory addresses."""

    __slots__ = ("born",)
    born: int

    def __hash__(self) -> int:
        return self.born


class _Task(asyncio.Task[T]):
    __slots__ = ("born", "life")
    born: int
    life: Life | None

    def __hash__(self) -> int:
        return self.born


class _NoSockets(selectors.SelectSelector):
    """Waits for nothing outside; where a real loop would sleep, virtual time passes."""

    def __init__(self, sleep: Callable[[float | None], None]) -> None:
        super().__init__()
        self._sleep = sleep

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._sleep(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Seconds since the start of the run, whole microseconds, and no threads: executors run inline after a moment."""

    def __init__(self, dice: random.Random) -> None:
        self._elapsed = 0.0
        self._dice = dice
        self._births = itertools.count(1)
        self.transactions = 0
        super().__init__(_NoSockets(self._pass))

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._elapsed

    def _pass(self, seconds: float | None) -> None:
        if seconds is None:
            raise Stuck("nothing is ready and nothing is due")
        self._elapsed = round((self._elapsed + seconds) * TICKS) / TICKS

    # --- Who runs ----------------------------------------------------------------------------------------------------

    def _call_soon(
        self, callback: Callable[..., object], args: Any, context: contextvars.Context | None
    ) -> asyncio.Handle:
        context = context or contextvars.copy_context()
        life = context.get(_life)
        if life is None:
            handle = asyncio.Handle(callback, args, self, context)
        else:
            handle = _Owned(callback, args, self, context)
            handle.life = life
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As always, but on a whole microsecond, never sooner, and the timer belongs to the life that sets it."""
        ticks = math.ceil(when * TICKS)
        # The product above is rounded too: without this a wait for a rounding error would end at once, for ever.
        when = ticks / TICKS if ticks / TICKS >= when else (ticks + 1) / TICKS
        context = context or contextvars.copy_context()
        life = context.get(_life)
        if life is None:
            return super().call_at(when, callback, *args, context=context)
        timer = _OwnedTimer(when, callback, args, self, context)
        timer.life = life
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """There is one thread."""
        return self.call_soon(callback, *args, context=context)

    def kill(self, life: Life) -> None:
        """No callback of this life runs any more, not even to clean up."""
        life.state = "dead"
        life.kept = [task for task in asyncio.all_tasks(self) if isinstance(task, _Task) and task.life is life]

    def resume(self, life: Life) -> None:
        """Let a paused life go on: first what came due meanwhile, in its order."""
        life.state = "alive"
        parked, life.parked = life.parked, []
        self._ready.extend(parked)  # type: ignore[attr-defined]

    # --- Futures, tasks, executors -----------------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        """A future that knows its order of birth."""
        future: _Future[Any] = _Future.__new__(_Future)
        future.born = next(self._births)
        future.__init__(loop=self)  # type: ignore[misc]
        return future

    def create_task(  # type: ignore[override]
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        """A task that knows its order of birth."""
        # Its constructor asks for its hash already.
        task: _Task[Any] = _Task.__new__(_Task)
        task.born = next(self._births)
        task.life = (context or contextvars.copy_context()).get(_life)
        task.__init__(coro, loop=self, name=name, context=context)  # type: ignore[misc]
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Run `func` on this thread a moment later and tell its end another moment later."""
        future: asyncio.Future[T] = self.create_future()
        self.call_later(self._dice.uniform(*DATABASE_SECONDS), self._inline, future, func, args)
        return future

    def _inline(self, future: asyncio.Future[T], func: Callable[..., T], args: tuple[Any, ...]) -> None:
        if future.cancelled():
            return
        self.transactions += 1
        try:
            end: Callable[[], None]
            result = func(*args)
        except Exception as error:
            failure = error
            end = lambda: None if future.done() else future.set_exception(failure)  # noqa: E731
        else:
            end = lambda: None if future.done() else future.set_result(result)  # noqa: E731
        self.call_later(self._dice.uniform(*DATABASE_SECONDS), end)


def run_as(loop: asyncio.AbstractEventLoop, life: Life | None, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start something as a part of this life."""
    return loop.create_task(work, context=context_of(life))
