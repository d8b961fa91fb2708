"""`sellable demo`: the whole thing on one machine, with simulated vendors, in fast motion."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sellable.cli.common import Json, emit, err, fail, out
from sellable.cli.verdict import show_result
from sellable.simulation import demo as demonstration
from sellable.simulation.demo import COMPUTING_SECONDS, Options, Result, Scene
from sellable.simulation.processes import DidNotStart

LINE_SECONDS = 5.0


def demo(
    seconds: Annotated[float, typer.Option("--for", help="Real seconds of trading; 0 until Ctrl-C.")] = 0.0,
    speed: Annotated[
        float, typer.Option(help="Simulated seconds per real second, at most: the clock waits for a slow machine.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Decides shop and traffic.")] = 1,
    rate: Annotated[float, typer.Option(help="Orders per simulated minute.")] = 6.0,
    skus: Annotated[int, typer.Option(help="SKUs of the shop; bundles come on top.")] = 2000,
    workers: Annotated[int, typer.Option(help="Processes of the product.")] = 1,
    computing: Annotated[float, typer.Option(help="Real seconds of computing that D allows for.")] = COMPUTING_SECONDS,
    json: Json = False,
) -> None:
    """Trade a made-up shop against simulated vendors: two warehouses, a shop with a counter, three channels.

    Watch orders travel and numbers converge; make trouble with `sellable sandbox faults`. At the end an oracle that
    reads only the simulators' records judges the run.

    Exit codes: 0 when every order was exported once or waits with its cause, nothing was oversold by us and every
    number is right in the end; 1 otherwise.
    """
    options = Options(
        seconds=seconds, speed=speed, seed=seed, rate=rate, skus=skus, workers=workers, computing_seconds=computing
    )
    screen = _Lines() if json or not out.is_terminal else _Screen()
    try:
        with screen:
            result = asyncio.run(_play(options, screen.show))
    except (demonstration.AlreadyRunning, DidNotStart) as error:
        raise fail(str(error)) from error
    if json:
        emit({**result.figures, "problems": result.problems})
    else:
        show_result(result.figures, result.verdict, result.problems)
    raise typer.Exit(1 if result.problems else 0)


async def _play(options: Options, show: demonstration.Show) -> Result:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await demonstration.play(options, stop, show)


class _Lines:
    """For logs: a line every few seconds on standard error, and one at each new phase."""

    def __enter__(self) -> _Lines:
        self._phase, self._next = "", 0.0
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, scene: Scene) -> None:
        if scene.phase == self._phase and time.monotonic() < self._next:
            return
        self._phase, self._next = scene.phase, time.monotonic() + LINE_SECONDS
        right = f"{scene.keys - len(scene.wrong):,} of {scene.keys:,} numbers right" if scene.keys else ""
        parts = (scene.clock, scene.phase, scene.detail, right, _stages(scene), _owed(scene))
        err.print("  ".join(part for part in parts if part))


class _Screen:
    """For people: one live screen."""

    def __init__(self) -> None:
        self._live = Live(console=out, refresh_per_second=4, transient=True)

    def __enter__(self) -> _Screen:
        self._live.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        self._live.__exit__(None, None, None)

    def show(self, scene: Scene) -> None:
        self._live.update(Group(*_blocks(scene)))


def _blocks(scene: Scene) -> Iterable[Any]:
    yield Text(f"sellable demo · {scene.phase} {scene.detail}", style="bold")
    yield Text(f"{scene.clock} UTC, simulated, {scene.speed:g} times as fast as life · status page {scene.page}\n")
    right = scene.keys - len(scene.wrong)
    yield Text(f"The storefront: {right:,} of {scene.keys:,} numbers are what the warehouses can ship now")
    if scene.wrong:
        yield _wrong(scene)
    yield Text(f"\nOrders: {_stages(scene) or 'none yet'}")
    yield Text("The world: " + ", ".join(f"{count} {what}" for what, count in sorted(scene.traffic.items())))
    yield Text(f"Waiting: {_owed(scene) or 'nothing'}")
    cases = scene.status.get("cases", {})
    yield Text("Cases: " + (", ".join(f"{row['open']} {kind}" for kind, row in cases.items()) or "none"))
    yield _budgets(scene)
    yield Text("Ctrl-C stops the arrivals, waits for what is under way and judges.", style="dim")


def _wrong(scene: Scene) -> Table:
    table = Table("sku", "channel", "shows", "counts", "should show", box=None, header_style="dim")
    for (sku, channel), entry in scene.wrong[:8]:
        should = str(entry.low) if entry.low == entry.high else f"{entry.low} to {entry.high}"
        table.add_row(sku, channel, str(entry.shown), str(entry.internal), should)
    return table


def _budgets(scene: Scene) -> Table:
    table = Table("budget", "lane", "used", "of", "waiting", box=None, header_style="dim")
    for row in scene.status.get("budgets", []):
        cooling = " (cooling down)" if row["cooling"] else ""
        window = f"{row['calls']} in {row['window_seconds']:g} s{cooling}"
        table.add_row(row["credential"], row["lane"], str(row["used"]), window, str(row["waiting"]))
    return table


def _stages(scene: Scene) -> str:
    return ", ".join(f"{row['count']:,} {stage}" for stage, row in scene.status.get("orders", {}).items())


def _owed(scene: Scene) -> str:
    differences = scene.status.get("differences", {})
    waiting = {name: differences.get(name, 0) for name in ("lowers", "raises", "writing", "parked")}
    owed: dict[str, int] = {}
    for row in scene.status.get("operations", []):
        owed[row["kind"]] = owed.get(row["kind"], 0) + row["count"]
    return ", ".join(f"{count:,} {what}" for what, count in {**waiting, **owed}.items() if count)
