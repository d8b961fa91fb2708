"""Real processes on one accelerated clock: a database, two simulators, any number of services.

Rule: what was started here ends here, also when we are killed; nothing is ended that was not started here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx2

from sellable.config.secrets import new_key
from sellable.runtime.postgres import EmbeddedServer
from sellable.sandbox.clock import VARIABLE, Clock
from sellable.sandbox.shop import Shop
from sellable.sandbox.shopper import Control
from sellable.simulation.houses import Both
from sellable.simulation.pace import Pace

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
SAMPLE_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


class DidNotStart(Exception):
    """A process ended or stayed silent instead of saying that it is ready; the message ends with its last words."""


def _die_with_parent() -> None:
    """Runs in the child between fork and exec."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One child that says {"ready": "http://..."} on standard output. Its standard error goes to a file."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name, self._arguments, self.log, self._environment = name, list(arguments), log, dict(environment)
        self.url = ""
        self.peak_bytes = 0
        self.seconds_to_ready = 0.0
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def start(self) -> str:
        """The address, once it is ready. Raises DidNotStart."""
        began = time.monotonic()
        with self._open_log() as log:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, *self._arguments, stdout=asyncio.subprocess.PIPE, stderr=log,
                env={**os.environ, **self._environment}, preexec_fn=_die_with_parent,
                # A session of its own: Ctrl-C is for us, who end the children in order.
                start_new_session=True,
            )  # fmt: skip
        assert self._child.stdout is not None
        try:
            line = await asyncio.wait_for(self._child.stdout.readline(), READY_SECONDS_MAX)
            self.url = json.loads(line)["ready"]
        except (TimeoutError, ValueError, KeyError) as error:
            await self.kill()
            raise DidNotStart(
                f"{self.name} did not say it is ready; {self.log} ends with:\n{self.last_words()}"
            ) from error
        self.seconds_to_ready = time.monotonic() - began
        return self.url

    def _open_log(self) -> IO[bytes]:
        return open(self.log, "ab")

    async def stop(self) -> int | None:
        """Ask it to end, and insist after a while; its exit code."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> int | None:
        """kill -9."""
        return await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> int | None:
        child, self._child = self._child, None
        if child is None:
            return None
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(how)
        try:
            return await asyncio.wait_for(child.wait(), STOP_SECONDS_MAX)
        except TimeoutError:
            child.kill()
            await child.wait()
            return None

    def sample(self) -> None:
        """Take note of the most memory it has had resident."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)

    def last_words(self) -> str:
        """The end of its standard error."""
        with contextlib.suppress(OSError):
            return self.log.read_bytes()[-2000:].decode("utf-8", "replace")
        return ""


@dataclass
class Stand:
    """Everything that runs for one demo or replay, in one folder."""

    folder: Path
    pace: Pace
    shop: Shop
    storefront: Process
    back_office: Process
    http: httpx2.AsyncClient
    database_url: str
    server: EmbeddedServer | None
    house: Process | None = None
    services: list[Process] = field(default_factory=list)
    tempo: Mapping[str, Any] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        """The one clock of all."""
        return self.pace.clock

    @property
    def storefront_control(self) -> Control:
        """A fresh reader of the storefront simulator's control routes."""
        return Control(self.http, self.storefront.url)

    @property
    def back_office_control(self) -> Control:
        """A fresh reader of the back office simulator's control routes; beside a warehouse it reads of both."""
        if self.house is None:
            return Control(self.http, self.back_office.url)
        return Both(self.http, self.back_office.url, Control(self.http, self.house.url))

    @property
    def config(self) -> Path:
        """The product's settings file."""
        return self.folder / "sellable.toml"

    def write_settings(self, start_at: str) -> None:
        """Tell the product about the shop. The key stays the one of the folder, like the database in it."""
        key = self.folder / "payload.key"
        if not key.exists():
            key.write_text(new_key(), encoding="utf-8")
        text = self.shop.settings_toml(
            self.storefront.url, self.back_office.url, str(self.folder / "database"), self.database_url,
            start_at=start_at, tempo=self.tempo, payload_key=f"file:{key.name}",
            house_url=self.house.url if self.house else "",
        )  # fmt: skip
        self.config.write_text(text, encoding="utf-8")

    async def start_services(self, count: int) -> None:
        """`sellable run`, so many times, each as its own process."""
        for number in range(1, count + 1):
            arguments = ["-m", "sellable", "run", "--config", str(self.config), "--listen", "127.0.0.1:0"]
            environment = {VARIABLE: self.clock.text()}
            service = Process(f"sellable {number}", arguments, self.folder / f"service-{number}.log", environment)
            self.services.append(service)
            await service.start()

    async def status(self) -> dict[str, Any]:
        """What the first service that answers says of itself; {} when none does."""
        for service in self.services:
            with contextlib.suppress(httpx2.HTTPError, ValueError):
                if service.pid is not None:
                    answer = await self.http.get(f"{service.url}/status.json", timeout=10.0)
                    if answer.is_success:
                        found: dict[str, Any] = answer.json()
                        return found
        return {}

    @property
    def vendors(self) -> list[Process]:
        """The simulators."""
        return [self.storefront, self.back_office, *([self.house] if self.house else [])]

    def pids(self) -> list[int]:
        """The processes that are alive now, but for the database's many."""
        return [process.pid for process in (*self.vendors, *self.services) if process.pid is not None]

    def restart_database(self) -> None:
        """Stop the embedded server as a crash would and start it again. Raises ValueError on somebody else's server."""
        if self.server is None:
            raise ValueError("the database was given by its URL, so it is not ours to restart")
        self.server.stop()
        self.server.start()

    @property
    def peak_memory_mb(self) -> float:
        """The most memory one service had resident, in MB of 10^6 bytes."""
        return round(max((service.peak_bytes for service in self.services), default=0) / 1e6, 1)


@asynccontextmanager
async def stand(
    folder: Path,
    shop: Shop,
    speed: float,
    *,
    seed: int,
    staff: Mapping[str, Any] | None = None,
    house_staff: Mapping[str, Any] | None = None,
    tempo: Mapping[str, Any] | None = None,
    database_url: str | None = "",
    durable: bool = False,
) -> AsyncIterator[Stand]:
    """Simulators that are ready and know the shop, a database, no service yet; all of it ended at the end.

    `folder` exists. `speed` is the fastest the clock may run.
    `database_url` "" starts an embedded database, None leaves databases to others; `durable` keeps what it has said.
    """
    folder = Path(os.path.abspath(folder))  # noqa: ASYNC240 - touches no disk
    pace = Pace(folder / "clock", speed)
    server = EmbeddedServer(folder / "database", durable=durable, die_with_parent=True) if database_url == "" else None
    storefront, back_office = (_simulator(vendor, folder, pace.clock, seed) for vendor in ("commercetools", "cin7"))
    beside = any(place.house for place in shop.places)
    house = _simulator("orderflow", folder, pace.clock, seed) if beside else None
    async with httpx2.AsyncClient(timeout=30.0, trust_env=False) as http:
        found = Stand(
            folder, pace, shop, storefront, back_office, http, database_url or "", server, house, tempo=tempo or {}
        )  # fmt: skip
        try:
            if server is not None:
                found.database_url = server.start()
            await asyncio.gather(*(vendor.start() for vendor in found.vendors))
            await found.storefront_control.load(shop.commercetools())
            await found.back_office_control.load(shop.cin7(staff=staff))
            if house is not None:
                await Control(http, house.url).load(shop.house(staff=house_staff))
            tasks = [asyncio.create_task(_sample(found)), asyncio.create_task(pace.keep(found.pids))]
            try:
                yield found
            finally:
                for task in tasks:
                    task.cancel()
        finally:
            await asyncio.gather(*(service.stop() for service in found.services))
            await asyncio.gather(*(vendor.stop() for vendor in found.vendors))
            if server is not None:
                server.stop()


def _simulator(vendor: str, folder: Path, clock: Clock, seed: int) -> Process:
    arguments = ["-m", "sellable.sandbox", vendor, "--seed", str(seed)]
    return Process(vendor, arguments, folder / f"{vendor}.log", {VARIABLE: clock.text()})


async def _sample(found: Stand) -> None:
    while True:
        for service in found.services:
            service.sample()
        await asyncio.sleep(SAMPLE_SECONDS)


async def until(
    condition: Callable[[], Awaitable[bool]],
    seconds: float,
    every: float = 0.25,
    *,
    clock: Clock | None = None,
    simulated: float = 0.0,
) -> bool:
    """Whether a condition came true before real `seconds`, and `simulated` ones of the clock, had both passed."""
    deadline, late = time.monotonic() + seconds, (clock.time() if clock else 0.0) + simulated
    while not await condition():
        if time.monotonic() > deadline and (clock is None or clock.time() > late):
            return False
        await asyncio.sleep(every)
    return True
