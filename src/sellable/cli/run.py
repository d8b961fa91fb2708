"""`sellable run`, `migrate` and `status`: the service itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from contextlib import nullcontext, suppress
from typing import Annotated, Any

import msgspec
import typer
import uvicorn
import uvloop

from sellable.app.check import checked
from sellable.app.service import Service, assemble
from sellable.app.status import overview
from sellable.app.wiring import seal_of
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, database, embedded, emit, fail, opened, out
from sellable.config.addresses import only_here
from sellable.config.load import load
from sellable.config.settings import Settings, Traces
from sellable.runtime import migrate as migrations
from sellable.runtime import telemetry, tracing
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.postgres import EmbeddedServer
from sellable.web.console.overview import headline
from sellable.web.server import application

GARBAGE_OBJECTS = 10_000
"""So many new objects are looked through at a time; a busy moment has more than the usual 700 alive."""

LOOK_SECONDS = 1.0
"""So often is looked whether our own database's server is alive."""

log = logging.getLogger(__name__)


def run(
    config: Config = DEFAULT_CONFIG,
    listen: Annotated[str, typer.Option(help="Overrides [service] listen; port 0 takes a free one.")] = "",
) -> None:
    """Do the job until stopped. Any number of these processes against one database share the work.

    Stops cleanly on SIGTERM and SIGINT: nothing new is claimed, what is on its way is waited for.
    Exit codes: 0 stopped as asked, 1 the database or port cannot be had, 2 the settings cannot work.
    """
    settings = checked(config)
    if settings.console.open and listen and not only_here(listen):
        raise fail(f"[console] open lets everybody read who reaches {listen}: leave it out, or listen on 127.0.0.1", 2)
    telemetry.configure(settings.service.log_level, settings.service.log)
    server = embedded(settings, config)
    with server or nullcontext(settings.service.database_url) as url:
        migrations.migrate(url)
        uvloop.run(_serve(settings, url, listen or settings.service.listen, server))


async def _serve(settings: Settings, url: str, listen: str, database_server: EmbeddedServer | None) -> None:
    clock = Clock.from_environment()
    store = Store(url, clock, threads=6, seal=seal_of(settings))
    service = assemble(settings, store, clock)
    _trace(settings.traces, service.owner)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bound = _bind(listen)
    web = application(service.face())
    server = _Server(
        uvicorn.Config(
            web, log_config=None, access_log=False, lifespan="off",
            proxy_headers=bool(settings.console.proxies), forwarded_allow_ips=list(settings.console.proxies),
        )
    )  # fmt: skip
    await service.start()
    try:
        long_lived()
        host, port = bound.getsockname()[:2]
        # The last that a start needs the database for: whoever is ready outlives its absence.
        link = await service.first_link(f"http://{host}:{port}")
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        typer.echo(msgspec.json.encode({"ready": f"http://{host}:{port}"}).decode())
        if link:
            # On standard output alone: whoever reads the log later must not become the first admin.
            typer.echo(msgspec.json.encode({"first_admin": link}).decode())
        await _stopped(stop, database_server)
        web.state.closing = server.should_exit = True
        await serving
    finally:
        bound.close()
        await _drain(service)
        await asyncio.to_thread(tracing.stop)


async def _stopped(stop: asyncio.Event, server: EmbeddedServer | None) -> None:
    """Until we shall stop. Our own database is started again when it has ended, by whatever killed it or a full disk.

    Raises PostgresUnavailable when it cannot be: then whoever watches over this process starts all of it anew.
    """
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_SECONDS if server else None)
        if server and not stop.is_set() and await asyncio.to_thread(server.revive):
            log.warning("the database's server had ended, and was started again")


def long_lived() -> None:
    """Tell the collector that what is here by now stays: looking at it again took a sixth of the time of a webhook.

    Young objects die by their counts; cycles among them may wait for a few thousand more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: stopping is ours."""

    def install_signal_handlers(self) -> None:
        """Leaves signals alone."""


async def _drain(service: Service) -> None:
    late = await service.stop()
    if late:
        log.warning("loops had to be cancelled: %s", ", ".join(late))


def _trace(traces: Traces, owner: str) -> None:
    if not traces.endpoint:
        return
    try:
        tracing.start(traces.endpoint, percent=traces.percent, headers=traces.headers, owner=owner)
    except tracing.ExtraMissing as error:
        raise fail(f"[traces] endpoint: {error}", 2) from error


def _bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]") or "127.0.0.1", int(port)))
        # Who reads that we are ready may call at once, before the server has its first turn.
        bound.listen()
    except OSError as error:
        raise fail(f"cannot listen on {listen}: {error.strerror}") from error
    return bound


def migrate(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Bring the database up to date: every pending step or, on any error, none. Done at each start of `run` too.

    Exit codes: 0 up to date, 1 refused: the database is newer than this program, or an applied step was changed.
    """
    settings = load(config)
    with database(settings, config) as url:
        done = migrations.migrate(url)
    if json:
        return emit({"applied": [f"{each.number:04}_{each.name}" for each in done]})
    out.print(f"{len(done)} migration(s) applied" if done else "nothing to do")
    return None


def status(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """What the service is doing: numbers right and settling, orders by stage, cases, feeds, what is owed.

    Exit code 0 whatever it says: /health and /ready are for monitors.
    """
    with opened(config) as (_, store, clock):
        found: dict[str, Any] = store.read_now(overview, clock.now())
    if json:
        return emit(found)
    out.print(headline(found))
    for c in found["channels"]:
        waits = "" if c["gate"] == "open" else f", first pass {c['gate']}"
        name = c["channel"] or "(no channel)"
        out.print(f"  channel {name:<20} {c['mode']}{waits}, {c['lowers']:,} too high, {c['raises']:,} too low")
    for stage, o in found["orders"].items():
        out.print(f"  orders {stage:<12} {o['count']:>8,}")
    for kind, c in found["cases"].items():
        out.print(f"  case   {kind:<24} open {c['open']:,} seen {c['count']:,}")
    return None
