"""A load generator: plain HTTP/1.1 on kept connections. Rule: late is late, latency counts from when a call was due."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import urlsplit

Request = Callable[[], bytes]


class Caller:
    """Connections to one server."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self.host, self.port = where.hostname or "127.0.0.1", where.port or 80
        self._free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()
        self.failed = 0

    async def open(self, connections: int) -> Caller:
        """Connect so many times."""
        for _ in range(connections):
            self._free.put_nowait(await asyncio.open_connection(self.host, self.port))
        return self

    async def call(self, request: bytes) -> int:
        """Send one request on a free connection; the status."""
        reader, writer = await self._free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line[15:]))
        self._free.put_nowait((reader, writer))
        status = int(head[9:12])
        self.failed += status >= 300
        return status

    async def at_most(self, request: Request, seconds: float, connections: int) -> float:
        """Calls a second with every connection busy all the time."""
        end, done = time.perf_counter() + seconds, 0

        async def worker() -> None:
            nonlocal done
            while time.perf_counter() < end:
                await self.call(request())
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(connections)))
        return done / (time.perf_counter() - began)

    async def steadily(self, request: Request, rate: float, seconds: float) -> list[float]:
        """Seconds from when each call was due to its answer, `rate` calls a second whatever becomes of them."""
        taken: list[float] = []

        async def one(due: float) -> None:
            await self.call(request())
            taken.append(time.perf_counter() - due)

        async with asyncio.TaskGroup() as group:
            for due in _dues(rate, seconds):
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(due))
        return taken

    def close(self) -> None:
        """Hang up."""
        while not self._free.empty():
            self._free.get_nowait()[1].close()


async def in_turns(
    rounds: int, whole: Callable[[], Awaitable[float]], bare: Callable[[], Awaitable[float]]
) -> tuple[float, float, float]:
    """(whole, bare, whole / bare): medians of two rates, measured by turns so that both meet the same machine."""
    rates: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        less = await bare()
        more = await whole()
        rates.append((more, less, more / less))
    first, second, share = (statistics.median(column) for column in zip(*rates, strict=True))
    return first, second, share


def _dues(rate: float, seconds: float) -> Iterator[float]:
    began = time.perf_counter()
    for n in range(round(rate * seconds)):
        yield began + n / rate


def get(path: str, headers: dict[str, str]) -> bytes:
    """A GET request."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {"host": "127.0.0.1", **headers}.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST request."""
    lines = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body
