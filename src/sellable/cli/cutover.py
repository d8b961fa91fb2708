"""`sellable cutover`: the day the shop changes hands, looked at before, during and after."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from sellable.app import cutover, ladder
from sellable.app.desk import CaseDesk
from sellable.app.service import outside_of
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out, who
from sellable.config.settings import Settings
from sellable.runtime.database import Store
from sellable.runtime.ids import Ids
from sellable.runtime.migrate import migrate

app = typer.Typer()
EXAMPLES = 20


@app.callback(invoke_without_command=True)
def foresee(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List every open order of the storefront with what will become of it.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Look at so many orders only, the oldest.")] = None,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """What will become of each open order once no channel is a shadow: adopt, export, ignore, or hold for a person.

    Reads only, with the rules the service decides by: a search at the back office for each order, under the same budget
    of calls as everything else. Exit codes: 0 listed, 1 a vendor cannot be had, 2 wrong use.
    """
    if context.invoked_subcommand is not None:
        return None
    if not dry_run:
        raise fail("say --dry-run; to cut over, change `mode` of the channels in the settings and restart", 2)
    with opened(config) as (settings, store, _):
        migrate(store)
        fates = asyncio.run(_foresee(settings, store, limit))
    if json:
        return emit(fates)
    table = Table("order", "placed", "fate", "why", box=None)
    for fate in fates:
        table.add_row(fate.order, f"{fate.placed_at:%Y-%m-%d %H:%M}", fate.fate, fate.reason)
    out.print(table)
    counts = Counter(fate.fate for fate in fates)
    out.print(", ".join(f"{count} {fate}" for fate, count in sorted(counts.items())) or "no order is open")
    return None


async def _foresee(settings: Settings, store: Store, limit: int | None) -> list[cutover.Fate]:
    outside = outside_of(settings, store, store.clock, Ids(store.clock), None, "cutover")
    try:
        return [fate async for fate in cutover.foresee(settings, store, outside, limit)]
    finally:
        await store.write(outside.calls.flush)
        await outside.client.aclose()


@app.command()
def report(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """What each shadow would have changed and prevented since it began, and how many numbers differ now.

    Prevented are units of order lines that the storefront took while we would have offered fewer. Exit code 0.
    """
    with opened(config) as (_, store, clock):
        found = store.read_now(cutover.report, clock.now())
    if json:
        return emit(found)
    if not found:
        out.print('no channel is or was a shadow; set `mode = "shadow"` and let the service run')
    for channel in found:
        _print(channel)
    return None


def _print(c: Mapping[str, Any]) -> None:
    until = c["until"][:19] if c["until"] else "now"
    out.print(f"\n{c['channel'] or '(no channel)'}, a shadow from {c['since'][:19]} to {until}", style="bold")
    n, p = c["numbers"], c["prevented"]
    out.print(
        f"  {n['seen']:,} numbers seen, {n['changes']:,} changes; {n['were_too_high']:,} were too high at some time, "
        f"{n['were_too_low']:,} too low"
    )
    out.print(f"  now {c['now']['too_high']:,} are too high, {c['now']['too_low']:,} too low")
    stages = ", ".join(f"{count:,} {stage}" for stage, count in c["orders"].items())
    out.print(f"  orders meanwhile: {stages or 'none'}")
    out.print(
        f"  would have prevented: {p['units']:,} units of {p['orders']:,} orders sold that we would not have offered"
    )
    for line in p["lines"][:EXAMPLES]:
        out.print(
            f"    {line['placed_at'][:19]}  {line['order']}  {line['sku']}: {line['ordered']} ordered, "
            f"{line['offered']} offered"
        )
    if len(p["lines"]) > EXAMPLES:
        out.print(f"    and {len(p['lines']) - EXAMPLES:,} more with --json")


@app.command()
def proceed(
    channel: Annotated[str, typer.Argument(help='Key of the channel; "" for entries without a channel.')],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Let a first pass that was stopped write. On the record; the case it was stopped with is over.

    Exit codes: 0 it may write, 1 no such channel, or its first pass is still counted.
    """
    with opened(config) as (settings, store, clock):
        was = store.write_now(ladder.proceed, settings, clock, CaseDesk(settings), who(), channel)
    if was is None:
        raise fail(f"the service has not run with a channel {channel!r}")
    if was == "checking":
        raise fail(f"the first pass of {channel!r} is still counted; `sellable status` tells when it is stopped")
    if json:
        return emit({"channel": channel, "was": was, "gate": "open"})
    out.print(f"{channel or '(no channel)'}: " + ("may write now" if was == "stopped" else "was not stopped"))
    return None
