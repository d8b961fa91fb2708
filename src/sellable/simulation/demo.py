"""The demo: a made-up shop traded in fast motion, watched, and judged at the end.

Rule: it is judged by the oracle on the opponents' own records; the product is asked only why an order still waits.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sellable.runtime.postgres import discard
from sellable.sandbox.shop import Shop
from sellable.sandbox.shopper import Storefront
from sellable.sandbox.traffic import Tempo, Traffic
from sellable.simulation.faults import CIN7, CT, FLASH_TIMES
from sellable.simulation.oracle import Verdict, judge, percentiles, summary
from sellable.simulation.picture import Entry, Key
from sellable.simulation.processes import Stand, stand, until
from sellable.simulation.rules import Declared, Rules
from sellable.simulation.watch import Rest, Watch

FOLDER = Path(".sellable/demo")
BASELINE_SECONDS_MAX = 240.0
LOOK_SECONDS = 0.5
SETTLED_SECONDS = 30.0
"""So long (simulated) nothing may be wrong or owed for a run to count as come to rest."""

TEMPO: dict[str, Any] = {"sweep_seconds": 60.0, "sales_poll_seconds": 30.0, "catalogue_seconds": 600.0}
STAFF = {"auto": True, "pick_after_seconds": 60, "ship_after_seconds": 60, "split_rate": 0.1, "carrier": "DHL"}
RESTING_SECONDS_MIN = 20.0
"""Real seconds that coming to rest is given at least: some of it is computing."""
SHIPPING_SECONDS = 240.0
"""The staff's work on the last order, and some."""
COMPUTING_SECONDS = 0.5
"""Real seconds a quiet machine with two cores may take from a poll to the entry, in the middle of everything else."""

WAITING = ("waiting", "held", "exporting")
"""Stages in which the product says that an order is not exported yet, and why."""


def declared_for(speed: float, computing_seconds: float) -> Declared:
    """D in simulated seconds: how late a change may reach the entries.

    A sale elsewhere: message poll 2 s, decision and write queue 8 s, the storefront's own lag 10 s. A change at the
    back office: sweep every 60 s, walking its pages under the budget 30 s, then the same. Computing takes real seconds,
    which are the more simulated ones the faster the clock runs; a busy machine needs more of them.
    """
    computing = computing_seconds * speed
    return Declared(sale=2 + 8 + 10 + computing, master=60 + 30 + 8 + 10 + computing)


@dataclass(frozen=True, kw_only=True)
class Options:
    """`seconds` are real, 0 goes on until stopped; `speed` is the fastest the clock may run; `rate` is orders per
    simulated minute."""

    seconds: float = 0.0
    speed: float = 10.0
    seed: int = 1
    rate: float = 6.0
    skus: int = 2000
    workers: int = 1
    computing_seconds: float = COMPUTING_SECONDS
    folder: Path = FOLDER
    database_url: str = ""


@dataclass(kw_only=True)
class Scene:
    """What a viewer sees at one moment; `wrong` are entries that differ from what they should show, worst first."""

    phase: str = "starting"
    detail: str = ""
    clock: str = ""
    speed: float = 1.0
    page: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)
    keys: int = 0
    wrong: list[tuple[Key, Entry]] = field(default_factory=list)
    traffic: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """How it went; `problems` are sentences, none of them is success."""

    figures: Mapping[str, Any]
    problems: list[str]
    verdict: Verdict


Show = Callable[[Scene], None]


class AlreadyRunning(Exception):
    """Another demo is running in this folder."""


async def play(options: Options, stop: asyncio.Event, show: Show) -> Result:
    """Start everything, trade until time is up or `stop`, drain, judge, end everything."""
    folder = _fresh(options.folder)
    shop = Shop.demo(options.seed, options.skus)
    scene = Scene(speed=options.speed)
    show(scene)
    async with stand(
        folder, shop, options.speed, seed=options.seed, staff=STAFF, tempo=TEMPO, database_url=options.database_url
    ) as found:
        found.write_settings(found.clock.now().isoformat())
        watch = Watch(found, Rules.of(shop))
        await watch.open()
        await found.start_services(options.workers)
        run_file = folder / "run.json"
        run_file.write_text(json.dumps(_run(found, folder)))
        try:
            return await _trade(options, found, watch, scene, stop, show)
        finally:
            run_file.unlink(missing_ok=True)


async def _trade(options: Options, found: Stand, watch: Watch, scene: Scene, stop: asyncio.Event, show: Show) -> Result:
    viewing = asyncio.create_task(_view(found, watch, scene, show))
    try:
        scene.phase, scene.page = "first numbers", found.services[0].url

        async def numbered() -> bool:
            return stop.is_set() or await watch.wrong_now() == 0

        if not await until(numbered, BASELINE_SECONDS_MAX):
            scene.detail = f"{len(watch.picture.wrong())} numbers still wrong"
        watch.begin()
        storefront = Storefront(found.http, found.storefront.url, found.shop)
        tempo = Tempo(orders=options.rate)
        traffic = Traffic(found.shop, storefront, found.back_office_control, found.clock, options.seed, tempo)
        scene.phase, scene.traffic = "trading", traffic.counts
        await _open_doors(traffic, stop, options.seconds, (found.folder / "flash").exists)
        scene.phase = "draining"
        rest = Rest(watch, SETTLED_SECONDS)

        async def drained() -> bool:
            reached = await rest.reached()
            scene.detail = rest.what
            return reached

        resting = await until(
            drained, RESTING_SECONDS_MIN, LOOK_SECONDS, clock=found.clock, simulated=patience(watch.unexported())
        )
        scene.phase = "judging"
        return await _judged(options, found, watch, traffic, "yes" if resting else f"no: {rest.what}")
    finally:
        viewing.cancel()


def patience(orders: int) -> float:
    """Simulated seconds to wait for everything to come to rest: the staff's work, twice the longest poll, settle time
    and backoff together, and three calls for each waiting order under the back office's budget."""
    return SHIPPING_SECONDS + 2 * (60 + 20 + 60) + SETTLED_SECONDS + orders * 3 * 60 / 20


async def _open_doors(traffic: Traffic, stop: asyncio.Event, seconds: float, flash: Callable[[], bool]) -> None:
    """Trade for real seconds (0: until stopped), with a flash sale on while `flash()` says so."""
    trading = asyncio.create_task(traffic.run(stop))
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds if seconds else float("inf")
    while not stop.is_set() and loop.time() < ends and not trading.done():
        traffic.flash_sale(FLASH_TIMES if flash() else 1.0)
        await asyncio.wait({trading}, timeout=min(LOOK_SECONDS, max(ends - loop.time(), 0.0)))
    stop.set()
    await trading


async def _view(found: Stand, watch: Watch, scene: Scene, show: Show) -> None:
    while True:
        picture = await watch.look()
        scene.speed = found.pace.speed
        scene.clock = found.clock.now().strftime("%Y-%m-%d %H:%M:%S")
        scene.status, scene.keys = await found.status(), len(picture.entries)
        scene.wrong = sorted(picture.wrong(), key=lambda row: row[1].high - row[1].internal)
        show(scene)
        await asyncio.sleep(LOOK_SECONDS)


async def _judged(options: Options, found: Stand, watch: Watch, traffic: Traffic, at_rest: str) -> Result:
    status, evidence = await found.status(), await watch.close(found.folder / "evidence.json")
    declared = declared_for(options.speed, options.computing_seconds)
    verdict = judge(evidence, watch.rules, declared)
    waiting = {stage: status.get("orders", {}).get(stage, {}).get("count", 0) for stage in WAITING}
    figures = {
        **summary(verdict, declared),
        "orders_waiting": {stage: count for stage, count in waiting.items() if count},
        "cases": {kind: row["open"] for kind, row in status.get("cases", {}).items()},
        "latency_ms": percentiles((1000 * s for s in verdict.late.get("sale", ())), 50, 90, 99),
        "traffic": dict(traffic.counts),
        "at_rest": at_rest,
        "peak_memory_mb": found.peak_memory_mb,
        "simulated_seconds": round(evidence.ended - evidence.began),
        "speed": found.pace.figures(),
    }
    return Result(figures=figures, problems=problems(verdict, sum(waiting.values())), verdict=verdict)


def problems(verdict: Verdict, waiting: int) -> list[str]:
    """What must not be. Orders that miss at the back office are fine as far as the product says that they wait."""
    tie = verdict.tie
    found = {
        f"{len(tie.missing) - waiting} orders were lost": len(tie.missing) > waiting,
        f"{len(tie.doubled)} orders were exported twice": tie.doubled,
        f"{len(tie.cancelled_but_live)} cancelled orders are live at the back office": tie.cancelled_but_live,
        f"{len(tie.totals_differ)} orders have other totals at the back office": tie.totals_differ,
        f"{verdict.oversold('ours')} units were oversold by us": verdict.oversold("ours"),
        f"{len(verdict.wrong)} numbers are wrong at the end": verdict.wrong,
        f"{sum(tie.deliveries_missing.values())} units left the warehouse untold": tie.deliveries_missing,
        f"{sum(tie.deliveries_extra.values())} units were told as delivered twice": tie.deliveries_extra,
        f"{len(tie.unbalanced)} lines do not add up": tie.unbalanced,
        f"{len(tie.returns_differ)} returns are told otherwise than they came back": tie.returns_differ,
    }
    return [sentence for sentence, true in found.items() if true]


def _run(found: Stand, folder: Path) -> dict[str, Any]:
    return {
        CT: found.storefront.url,
        CIN7: found.back_office.url,
        "status": found.services[0].url,
        "flash": str((folder / "flash").absolute()),
        "pid": os.getpid(),
        "clock": found.clock.text(),
    }


def _fresh(folder: Path) -> Path:
    """An empty folder; what an earlier demo left goes. Raises AlreadyRunning."""
    try:
        pid = json.loads((folder / "run.json").read_text())["pid"]
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError):
        discard(folder)
        folder.mkdir(parents=True)
        return folder
    raise AlreadyRunning(f"a demo is running in {folder} already (process {pid})")
