"""`sellable replay FILE`: a real order history against simulated vendors, with trouble if wanted, judged at the end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from sellable.cli.common import Json, emit, err, fail
from sellable.cli.verdict import show_result
from sellable.runtime.postgres import discard
from sellable.simulation import chaos as trouble
from sellable.simulation import history
from sellable.simulation.demo import COMPUTING_SECONDS
from sellable.simulation.processes import DidNotStart
from sellable.simulation.replay import Options
from sellable.simulation.replay import replay as play


def replay(
    file: Annotated[Path, typer.Argument(help="CSV (also .gz): one row an order line.", exists=True, dir_okay=False)],
    speed: Annotated[
        float, typer.Option(help="Simulated seconds per real second, at most: the clock waits for a slow machine.")
    ] = 60.0,
    rate: Annotated[float, typer.Option(help="Orders per simulated minute; their order is kept.")] = 12.0,
    since: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day.")] = None,
    until: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many orders.")] = None,
    columns: Annotated[str, typer.Option(help="Other column names, like InvoiceNo=order,StockCode=sku.")] = "",
    chaos: Annotated[Path | None, typer.Option(help="Timetable of trouble, TOML or JSON.", exists=True)] = None,
    routes: Annotated[
        str,
        typer.Option(help="Percent of SKUs and of orders that an OrderFlow warehouse ships: lines=30,orders=10."),
    ] = "",
    workers: Annotated[int, typer.Option(help="Processes of the product.")] = 1,
    computing: Annotated[float, typer.Option(help="Real seconds of computing that D allows for.")] = COMPUTING_SECONDS,
    seed: Annotated[int, typer.Option(help="Seed of the simulators' dice.")] = 1,
    database_url: Annotated[str, typer.Option(help="An empty PostgreSQL database; default is an embedded one.")] = "",
    keep: Annotated[Path | None, typer.Option(help="Folder for logs and settings, which is then kept.")] = None,
    json: Json = False,
) -> None:
    """Replay a history: sales become orders, cancellations and returns follow, shelves empty and are filled again.

    Exit codes: 0 when nothing was lost, doubled, oversold by us or wrong at the end; 1 otherwise; 2 for a file that
    cannot be read.
    """
    try:
        rows = history.within(history.read(file, _columns(columns)), _day(since), _day(until))
        plan = history.plan(rows, rate=rate, limit=limit, split=_split(routes))
        steps = trouble.load(chaos) if chaos else []
    except ValueError as error:
        raise fail(str(error), 2) from error
    if not plan.orders:
        raise fail(f"{file}: no order within the given days", 2)
    began = time.monotonic()

    def say(words: str) -> None:
        err.print(f"{time.monotonic() - began:7.1f} s  {words}")

    events, skus = len(plan.events), len(plan.shop.items)
    say(f"{plan.orders:,} orders, {events:,} events, {skus:,} SKUs, {plan.minutes:.0f} minutes")
    folder = keep or Path(tempfile.mkdtemp(prefix="sellable-replay-"))
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        folder=folder, speed=speed, seed=seed, workers=workers, computing_seconds=computing, chaos=steps,
        database_url=database_url,
    )  # fmt: skip
    try:
        result = asyncio.run(play(plan, options, say))
    except DidNotStart as error:
        raise fail(str(error)) from error
    finally:
        if keep is None:
            discard(folder)
    if json:
        emit({**result.figures, "problems": result.problems})
    else:
        show_result(result.figures, result.verdict, result.problems)
    raise typer.Exit(1 if result.problems else 0)


def _columns(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return {name.strip(): column.strip() for name, _, column in pairs}


def _split(text: str) -> history.Split:
    """Raises BadHistory for what is no such words."""
    said = _columns(text)
    if said.keys() - {"lines", "orders"} or not all(share.isdecimal() for share in said.values()):
        raise history.BadHistory(f"--routes wants percentages, like lines=30,orders=10; got {text}")
    return history.Split(**{name: int(share) for name, share in said.items()})


def _day(at: datetime | None) -> date | None:
    return None if at is None else at.date()
