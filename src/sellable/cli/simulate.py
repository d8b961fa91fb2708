"""`sellable simulate`: the whole product on virtual time, seed after seed, with trouble, judged from outside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sellable.app.check import checked
from sellable.cli.common import Json, emit, err, fail, out
from sellable.simulation.virtual.database import simulation_database
from sellable.simulation.virtual.play import Outcome, play, shrink
from sellable.simulation.virtual.profiles import PROFILES, plan_of
from sellable.simulation.virtual.rehearsal import Unsuitable, rehearsal, rehearse, told
from sellable.simulation.virtual.report import recorded, report

TRACE_LINES = 60


def simulate(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 20,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="This one only.")] = None,
    hours: Annotated[float | None, typer.Option(help="Simulated hours of trade for each seed.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Simulated minutes of trade for each seed.")] = None,
    profile: Annotated[str, typer.Option(help=f"How bad the day is: {', '.join(PROFILES)}.")] = "day",
    trace: Annotated[bool, typer.Option("--trace", help="Print every call and every fact of the run.")] = False,
    database_url: Annotated[str, typer.Option(help="An empty PostgreSQL database; default is an embedded one.")] = "",
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Rehearse a flash sale with these settings instead.")
    ] = None,
    orders: Annotated[float, typer.Option(min=0.1, help="Rehearsal: orders a minute before the rush.")] = 10.0,
    flash: Annotated[float, typer.Option(min=1.0, help="Rehearsal: so many times as many in it.")] = 8.0,
    skus: Annotated[int, typer.Option(min=1, max=2000, help="Rehearsal: made-up SKUs.")] = 40,
    counter: Annotated[str, typer.Option(help="Rehearsal: location where a shop's counter sells too.")] = "",
    record: Annotated[Path | None, typer.Option(help="Append one line about what was achieved to this page.")] = None,
    json: Json = False,
) -> None:
    """Simulate a small shop with everything that can go wrong, faster than life, and judge what happened.

    The same seed and version give the same trace hash; Ctrl-C ends with what was achieved until then.

    With --config your own channels, pools, buffers and budgets trade made-up goods in a flash sale: what would be
    oversold, how late numbers would be, and which budget would limit. Nothing of yours is called or changed.

    Exit codes: 0 every invariant held, 1 one was broken (the seed, what broke first and the shortest run that still
    breaks it are printed) or, of a rehearsal, something was oversold by this service; 2 for a word that means nothing
    and for settings that cannot work.
    """
    if config is not None:
        raise typer.Exit(
            _rehearse(
                config, database_url, json, seed=1 if seed is None else seed, orders=orders, flash=flash, skus=skus,
                minutes=10.0 if hours is None and minutes is None else (hours or 0.0) * 60 + (minutes or 0.0),
                counter=counter,
            )
        )  # fmt: skip
    if profile not in PROFILES:
        raise fail(f"there is no profile {profile!r}; there are {', '.join(PROFILES)}", 2)
    length = 15.0 if hours is None and minutes is None else (hours or 0.0) * 60 + (minutes or 0.0)
    if length <= 0:
        raise fail("a run needs some time", 2)
    chosen = range(first_seed, first_seed + seeds) if seed is None else [seed]
    outcomes: list[Outcome] = []
    with simulation_database(database_url) as url:
        _play_all(chosen, profile, length, url, outcomes, keep=trace)
        if not outcomes:
            raise typer.Exit(1)
        short = outcomes[-1]
        if short.broken and not trace:
            err.print("making it short ...")
            short = shrink(short, url, say=lambda words: err.print(f"  {words}"))
    if record is not None:
        with record.open("a", encoding="utf-8") as page:
            page.write(recorded(report(outcomes), length))
    if trace:
        out.print("\n".join(outcomes[-1].lines), markup=False)
    if json:
        emit(report(outcomes))
    else:
        _table(report(outcomes))
        if short.broken:
            _failure(short)
    raise typer.Exit(1 if any(outcome.broken for outcome in outcomes) else 0)


def _rehearse(config: Path, database_url: str, json: bool, **wishes: Any) -> int:
    """The exit code of a rehearsal."""
    if wishes["minutes"] <= 0:
        raise fail("a run needs some time", 2)
    try:
        plan = rehearsal(checked(config), **wishes)
    except Unsuitable as error:
        raise fail(f"{config}: {error}", 2) from None
    with simulation_database(database_url) as url:
        found = rehearse(plan, url)
    if json:
        emit(found)
    else:
        out.print("\n".join(told(found, plan)))
    return 1 if any(row["by_us"] for row in found["oversold"]) or found["unforeseen"] else 0


def _play_all(
    seeds: Sequence[int], profile: str, minutes: float, url: str, outcomes: list[Outcome], *, keep: bool
) -> None:
    """Until one breaks or somebody has seen enough (Ctrl-C): what was achieved by then counts."""
    with suppress(KeyboardInterrupt):
        for number in seeds:
            outcomes.append(play(plan_of(number, profile, minutes), url, keep=keep))
            _progress(outcomes[-1], len(outcomes), len(seeds))
            if outcomes[-1].broken:
                return


def _progress(outcome: Outcome, number: int, of: int) -> None:
    figures, plan = outcome.figures, outcome.plan
    err.print(
        f"{number}/{of} seed {plan.seed}: {figures['units_sold']} units, {sum(outcome.fired.values())} faults, "
        f"{outcome.seconds / 60:.0f} minutes in {outcome.wall_seconds:.1f} s, {outcome.hash}"
        + (f", {len(outcome.broken)} BROKEN" if outcome.broken else "")
    )


def _table(found: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False)
    for name, value in found.items():
        if name in ("hashes", "violations"):
            continue
        if name == "seeds":
            value = f"{value[0]} to {value[-1]} ({len(value)})"
        elif isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items()) or "none"
        elif isinstance(value, list):
            value = ", ".join(map(str, value)) or "none"
        table.add_row(name.replace("_", " "), value if isinstance(value, str) else f"{value:,}")
    out.print(table)


def _failure(short: Outcome) -> None:
    first = short.broken[0]
    out.print(f"seed {short.plan.seed}: {first}", style="red", markup=False)
    for other in short.broken[1:10]:
        out.print(f"  also {other}", markup=False)
    out.print("the shortest run that still breaks it:")
    for line in short.plan.describe():
        out.print(f"  {line}", markup=False)
    before = [line for line in short.lines if _seconds(line) <= first.at][-TRACE_LINES:]
    for line in before:
        out.print(f"  {line[:180]}", markup=False)


def _seconds(line: str) -> float:
    return float(line.split()[0])
