"""`sellable config`: is the settings file one that can work, and what will it cost in calls?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from sellable.app.check import ages, checked, predicted
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, opened, out
from sellable.config import reference, sources
from sellable.config.load import load
from sellable.config.secrets import new_key
from sellable.runtime import said

app = typer.Typer(help="The settings file.", no_args_is_help=True)


@app.command()
def check(
    explain: Annotated[
        bool, typer.Option("--explain", help="Also predict calls per hour, and say whose numbers are too old when.")
    ] = False,
    skus: Annotated[int, typer.Option(help="For the prediction: SKUs at the master.")] = 2000,
    orders_per_hour: Annotated[int, typer.Option(help="For the prediction: orders in a busy hour.")] = 300,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Refuse what cannot work, naming the line and the mend. Exit codes: 0 it can work, 2 it cannot."""
    settings = checked(config)
    rows = predicted(settings, skus=skus, orders_per_hour=orders_per_hour)
    if json:
        return emit({"ok": True, "calls_per_hour": rows, "ages": ages(settings)})
    out.print(f"{config}: can work")
    if explain:
        table = Table("flow", "budget", "calls per hour", "of budget", "", box=None)
        for r in rows:
            share = f"{100 * r['calls_per_hour'] / r['budget_per_hour']:.0f} %"
            over = "over budget" if r["over"] else ""
            table.add_row(r["flow"], r["budget"], f"{r['calls_per_hour']:,.0f}", share, over)
        out.print(table)
        for r in ages(settings):
            held = f"; {r['held_back_then']} of each SKU held back then" if r["held_back_then"] else ""
            out.print(
                f"{r['master']} counts {', '.join(r['locations'])}, read every {r['read_every_seconds']:g} s: "
                f"nothing of that rises on numbers older than {r['too_old_after_minutes']:g} min{held}"
            )
        out.print("what is set in the console counts beside it: `sellable config show` names both")
    return None


@app.command()
def show(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Print every setting, and whether file, environment, default or console says it; secrets stay hidden.

    What was set in the console is in the database, which is asked. Exit codes: 0 shown.
    """
    settings = load(config)
    with opened(config) as (_, store, _clock):
        hands = store.read_now(said.values)
    found = list(sources.values(settings))
    over = said.over(hands)
    sections = [
        (f"{name}[{n}]", dict(zip(columns, row, strict=True)))
        for name, columns, rows in sources.lists(settings)
        for n, row in enumerate(rows)
    ]
    if json:
        return emit({
            "settings": {v.key: _said(v, over) for v in found},
            "lists": dict(sections),
            "console": [
                {"key": h.key, "value": h.value, "by": h.actor, "at": h.at.isoformat(), "why": h.why} for h in hands
            ],
        })  # fmt: skip
    table = Table("setting", "value", "from", box=None)
    for v in found:
        if v.key in over:
            value, hand = over[v.key]
            table.add_row(v.key, f"{value} (the file says {v.value})", _by(hand))
        else:
            table.add_row(v.key, "" if v.value is None else str(v.value), v.source)
    for key, row in sections:
        table.add_row(
            key, ", ".join(f"{name} {value}" for name, value in row.items() if value not in (None, "")), "file"
        )
    for hand in hands:
        if len(hand.key) > 1:
            said_here = ", ".join(f"{name} {value}" for name, value in hand.value.items() if value != "")
            table.add_row(f"{hand.key[0]}[{', '.join(hand.key[1:])}]", said_here, _by(hand))
    out.print(table)
    return None


def _by(hand: said.Said) -> str:
    return f"console: {hand.actor}, {hand.at:%Y-%m-%d %H:%M}"


def _said(value: sources.Value, over: Mapping[str, tuple[Any, said.Said]]) -> dict[str, Any]:
    """A setting as it counts, with who says it; where the console does, with what the file says."""
    if value.key not in over:
        return {"value": value.value, "source": value.source}
    counts, hand = over[value.key]
    return {"value": counts, "source": f"console: {hand.actor}", "file": value.value}


@app.command()
def example() -> None:
    """Print a commented settings file with every setting, its default and its sentence. Exit code 0."""
    typer.echo(reference.example())


@app.command()
def key() -> None:
    """Print a new key for `payload_key`, with which what arrives is encrypted in the database.

    Keep a copy outside this machine: without it, what waits in the database cannot be read any more. Exit code 0.
    """
    typer.echo(new_key())
