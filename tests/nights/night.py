"""One night: two services on a simulated shop, struck a number of times while orders come, and judged from outside.

Rule: what was achieved is told, never what was aimed at. Only what was started here is struck.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import RawIOBase
from pathlib import Path

import httpx2
import psycopg
from tests.two_services import trading, two_services

from sellable.runtime.postgres import discard
from sellable.sandbox.shop import Shop
from sellable.simulation.demo import WAITING, declared_for, problems
from sellable.simulation.oracle import judge, percentiles
from sellable.simulation.processes import Process, Stand, until
from sellable.simulation.rules import Outage
from sellable.simulation.watch import Rest, Watch

SPEED = 20.0
ORDERS_A_MINUTE = 10.0
ORDERS_BETWEEN, PATIENCE_SECONDS = 3, 20.0
"""So many orders come between two strikes, unless the clock is so slow that it takes longer."""
BETWEEN_SECONDS = (0.2, 3.0)
"""And so many real seconds pass then."""
DOWN_SECONDS = (0.0, 6.0)
RECOVERY_SECONDS = 20.0
"""Simulated seconds after a strike within which nobody can know better yet."""
READY_SECONDS_MAX = 120.0
REST_REAL_SECONDS = 420.0
"""So long everything may take to come to rest; on a crowded machine the clock is slow."""
COMPUTING_SECONDS = 3.0
"""Real seconds that a machine busy with restarts may take from a poll to the entry."""
SLEEPS = (20.0, 90.0, 400.0)
"""Simulated seconds a process stands still; leases end after 60 to 300."""
DISK_BYTES = 224 * 1024 * 1024
FULL_SECONDS = 3.0
LOG_FILES = 8
"""More than a database this small keeps ready."""


def say(words: str) -> None:
    """Progress, for who watches."""
    print(f"  {words}", file=sys.stderr, flush=True)


@dataclass
class Night:
    """What is known of a night while it goes on; `ready` are real seconds until all was ready again after a strike."""

    found: Stand
    die: random.Random
    strikes: int = 0
    ready: list[float] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)

    @contextmanager
    def blind(self) -> Iterator[None]:
        """Nobody can know better meanwhile and a little longer."""
        began = self.found.clock.time()
        yield
        self.outages.append(Outage(start=began, end=self.found.clock.time() + RECOVERY_SECONDS))

    async def all_ready(self) -> None:
        """Until every service says that it is; its time counts."""
        began = time.monotonic()
        for service in self.found.services:
            assert await until(lambda service=service: _ready(self.found, service), READY_SECONDS_MAX), (
                f"{service.name} is not ready again: {service.last_words()}"
            )
        self.ready.append(time.monotonic() - began)


async def _ready(found: Stand, service: Process) -> bool:
    with suppress(httpx2.HTTPError, ValueError):
        answer = await found.http.get(f"{service.url}/ready", timeout=5.0)
        return bool(answer.json()["ready"])
    return False


# --- What strikes ----------------------------------------------------------------------------------------------------


async def kill(night: Night) -> None:
    """kill -9 one of the two, now and then both."""
    services = night.found.services
    victims = services if night.die.random() < 0.25 else [night.die.choice(services)]
    with night.blind():
        began = time.monotonic()
        await asyncio.gather(*(service.kill() for service in victims))
        await asyncio.gather(*(service.start() for service in victims))
        night.ready.append(time.monotonic() - began)


async def stop_database(night: Night) -> None:
    """PostgreSQL is shut down and comes back; the services stay."""
    assert night.found.server is not None
    with night.blind():
        await asyncio.to_thread(night.found.server.stop)
        await asyncio.sleep(night.die.uniform(*DOWN_SECONDS))
        await asyncio.to_thread(night.found.server.start)
        await night.all_ready()


async def cut(night: Night) -> None:
    """All connections of the services break at once, in whatever transaction they are."""
    with night.blind():
        with psycopg.connect(night.found.database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await night.all_ready()


async def sleep(night: Night) -> None:
    """One of the two stands still, longer than its leases at times, and wakes knowing nothing of it."""
    sleeper = night.die.choice(night.found.services)
    with night.blind():
        pid = sleeper.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await night.found.clock.sleep(night.die.choice(SLEEPS))
        finally:
            os.kill(pid, signal.SIGCONT)
        await night.all_ready()


async def power(night: Night) -> None:
    """Everything of ours is gone in the same instant: the services, the server and all its children."""
    server = night.found.server
    assert server is not None
    postmaster = server._process
    assert postmaster is not None
    with night.blind():
        began = time.monotonic()
        # The server has a session of its own, which its children share.
        os.killpg(postmaster.pid, signal.SIGKILL)
        await asyncio.gather(*(service.kill() for service in night.found.services))
        postmaster.wait()
        server.stop()
        await asyncio.to_thread(server.start)
        await asyncio.gather(*(service.start() for service in night.found.services))
        night.ready.append(time.monotonic() - began)


async def fill(night: Night) -> None:
    """The database's disk is full for a while; when there is room again, it goes on by itself or is started."""
    server = night.found.server
    assert server is not None
    ballast = server.data_dir / "ballast"
    with night.blind():
        with ballast.open("wb", buffering=0) as file:
            _write_to_the_last_byte(file)
        await asyncio.to_thread(_ask_for_room, night.found.database_url)
        await asyncio.sleep(FULL_SECONDS + night.die.uniform(*DOWN_SECONDS))
        ballast.unlink()
        if server._process is not None and server._process.poll() is not None:
            server.stop()
            await asyncio.to_thread(server.start)
        await night.all_ready()


def _write_to_the_last_byte(file: RawIOBase) -> None:
    """Not as much as there is room for: the database writes too meanwhile."""
    try:
        while file.write(bytes(65_536)):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _ask_for_room(url: str) -> None:
    """Its log has pages in hand for a while; it is to need a new file now."""
    with suppress(psycopg.Error), psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        for _ in range(LOG_FILES):
            connection.execute("SELECT pg_logical_emit_message(true, 'night', ''), pg_switch_wal()")


STRIKES: dict[str, Callable[[Night], Awaitable[None]]] = {
    "kills": kill, "stops": stop_database, "cuts": cut, "sleeps": sleep, "power": power, "full": fill,
}  # fmt: skip
DURABLE = ("power", "full")
"""Nights whose server keeps what it has acknowledged, whatever happens."""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for the database, which can be full. Raises RuntimeError where none may be mounted."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "sellable-night", str(folder)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        raise RuntimeError("a small file system cannot be mounted here: this night needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


# --- A whole night ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Achieved:
    """What a night came to; `problems` are sentences, none of them is success."""

    name: str
    strikes: int
    orders: int
    lost: int
    doubled: int
    oversold_by_us: int
    ready: dict[str, float]
    minutes: float
    problems: list[str]


async def play(name: str, strikes: int, seconds: float, seed: int) -> Achieved:
    """Up to so many strikes, in up to so many real seconds."""
    folder = Path(tempfile.mkdtemp(prefix="sellable-night-"))
    os.chmod(folder, 0o711)  # So that the account which the database runs as can pass through.
    began = time.monotonic()
    try:
        if name == "full":
            with small_disk(folder / "database"):
                return await _play(name, strikes, seconds, seed, folder, began)
        return await _play(name, strikes, seconds, seed, folder, began)
    finally:
        discard(folder)


async def _play(name: str, strikes: int, seconds: float, seed: int, folder: Path, began: float) -> Achieved:
    shop = Shop.demo(seed, 30, 3)
    async with two_services(folder, shop, SPEED, seed, _within, durable=name in DURABLE) as (found, watch):
        night = Night(found, random.Random(seed))
        await _trade(night, watch, STRIKES[name], strikes, began + seconds, seed)
        rest = Rest(watch, 20.0)
        say(f"{night.strikes} strikes, clock at {found.pace.figures()}, coming to rest ...")
        rested = await _within(found, rest.reached)
        status, evidence = await found.status(), await watch.close()
        declared = replace(declared_for(SPEED, COMPUTING_SECONDS), outages=night.outages)
        verdict = judge(evidence, watch.rules, declared)
        waiting = sum(status["orders"].get(stage, {}).get("count", 0) for stage in WAITING)
        found_wrong = problems(verdict, waiting) + ([] if rested else [f"not at rest: {rest.what}"])
        return Achieved(
            name=name, strikes=night.strikes, orders=verdict.tie.captured,
            lost=max(0, len(verdict.tie.missing) - waiting), doubled=len(verdict.tie.doubled),
            oversold_by_us=verdict.oversold("ours"), ready=percentiles(night.ready, 50, 99, 100),
            minutes=round((time.monotonic() - began) / 60, 1), problems=found_wrong,
        )  # fmt: skip


async def _within(found: Stand, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Whether it came true before the real time allowed was over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_REAL_SECONDS):
            return await until(condition, REST_REAL_SECONDS)
    return False


async def _trade(
    night: Night, watch: Watch, strike: Callable[[Night], Awaitable[None]], strikes: int, until_: float, seed: int
) -> None:
    async with trading(night.found, watch, seed, ORDERS_A_MINUTE) as traffic:
        while night.strikes < strikes and time.monotonic() < until_:
            wanted = traffic.counts["orders"] + ORDERS_BETWEEN

            async def ordered(wanted: int = wanted) -> bool:
                return traffic.counts["orders"] >= wanted

            await until(ordered, PATIENCE_SECONDS)
            await asyncio.sleep(night.die.uniform(*BETWEEN_SECONDS))
            await strike(night)
            night.strikes += 1
            say(f"strike {night.strikes}, {traffic.counts['orders']} orders, ready after {night.ready[-1]:.1f} s")
            await watch.look()
