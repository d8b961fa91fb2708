"""Open pages follow the truth: whoever asks a page for an event stream gets its parts again whenever they changed.

A page is asked at its own address, so the guard that lets a person see it is the one that lets them follow it, and
every filter in the address holds. What follows is marked in the template by `live`; nothing else is ever sent. The
page is made anew only when something was committed (`pulse`), and every few seconds for what only time changes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import psycopg
from starlette.responses import Response, StreamingResponse

from sellable.runtime.queries import queries
from sellable.web.console.doors import Page, Visit

sql = queries("sellable.web.console")

KIND = "text/event-stream"
LOOK_SECONDS = 0.3
"""Real seconds between two looks for a change."""
AGAIN_SECONDS = 5.0
"""Made anew after so long, changed or not: ages, and what no commit tells of."""
TICK_SECONDS = 2.0
"""A sign of life, with the time of our clock."""
LIFE_SECONDS = 60.0
"""Then the browser connects again and the guard is asked again: who was signed out sees nothing new for longer."""
SHARE = 3.0
"""Pause after making a page, in times of what that took: many open pages must not hold up orders."""

PART = re.compile(r"<!--live:([a-z][a-z0-9-]*)-->(.*?)<!--/live-->", re.DOTALL)
_AGES = re.compile(r"(<time [^>]*>)[^<]*")

Answer = Callable[[Visit], Awaitable[Response]]


def also(page: Page) -> Page:
    """The same page, which can be followed besides."""
    return page if page.role is None else replace(page, answer=_either(page.answer))


def _either(answer: Answer) -> Answer:
    async def chosen(visit: Visit) -> Response:
        if visit.request.method != "GET" or KIND not in visit.request.headers.get("accept", ""):
            return await answer(visit)
        return StreamingResponse(
            changes(visit, answer), media_type=KIND, headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )

    return chosen


def parts(text: str) -> dict[str, str]:
    """The marked parts of a page by name."""
    return dict(PART.findall(text))


async def changes(visit: Visit, answer: Answer) -> AsyncIterator[bytes]:
    """Events: `part` (one that changed), `away` (the database does not answer), `tick` (all sent; our time)."""
    loop = asyncio.get_running_loop()
    sent: dict[str, str] = {}
    pulse: Any = None
    born = loop.time()
    made = told = float("-inf")
    yield b"retry: 1000\n\n"
    while (now := loop.time()) < born + LIFE_SECONDS and not _closing(visit):
        try:
            seen = await visit.console.store.ask(sql.pulse)
            if seen != pulse or now - made >= AGAIN_SECONDS:
                for name, html in parts(await _made(visit, answer)).items():
                    if sent.get(name) != (still := _AGES.sub(r"\1", html)):
                        sent[name] = still
                        yield _event("part", {"id": name, "html": html})
                pulse, made, told = seen, now, float("-inf")
            if now - told >= TICK_SECONDS:
                yield _event("tick", {"now": visit.console.clock.time()})
                told = now
        except psycopg.Error as error:
            yield _event("away", {"error": type(error).__name__})
            pulse = None
        await asyncio.sleep(min(max(LOOK_SECONDS, SHARE * (loop.time() - now)), TICK_SECONDS))


async def _made(visit: Visit, answer: Answer) -> str:
    visit = replace(visit, standing=await visit.console.standing())
    return bytes((await answer(visit)).body).decode()


def _closing(visit: Visit) -> bool:
    """Whether the process is stopping: it would wait for open streams for ever."""
    return bool(getattr(visit.request.app.state, "closing", False))


def _event(kind: str, data: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
