"""`sellable doctor`: is everything outside as it must be, and what do the vendors leave undocumented?"""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated

import typer

from sellable.app import acts, doctor
from sellable.app.check import checked
from sellable.app.service import outside_of
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out, who
from sellable.config.settings import Settings
from sellable.runtime.database import Store
from sellable.runtime.ids import Ids
from sellable.runtime.migrate import migrate

STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "cyan"}


def examine(
    experiment: Annotated[
        str, typer.Option(help="SKU of a published product to try writes with; makes and deletes orders of it.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Consent to the experiment without being asked.")] = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Look at credentials, scopes, clocks, messages, channels, taxes, locations, webhooks and more, each with its mend.

    Reads only, a few dozen calls under the shared budget. With `--experiment SKU` also finds out what only writes tell
    (does a cancel put stock back?): on a supply channel and an entry made for it, with orders numbered
    sellable-doctor-..., all deleted afterwards. Programs that export every order at once may see these orders.
    Exit codes: 0 nothing failed, 1 something did, 2 no consent.
    """
    settings = checked(config)
    if experiment and not yes:
        words = f"Make and delete orders of {experiment} at {settings.commercetools.project}?"
        if json or not typer.confirm(words, default=False):
            raise fail("no consent, so nothing was written; say --yes", 2)
    with opened(config) as (settings, store, _clock):
        migrate(store)
        found = asyncio.run(_examine(settings, store, experiment, quiet=json))
    counts = {word: sum(check.result == word for check in found) for word in STYLES}
    if json:
        emit({"counts": counts, "checks": found, "settings": [check.setting for check in found if check.setting]})
    else:
        out.print(", ".join(f"{count} {word}" for word, count in counts.items()))
        if lines := [check.setting for check in found if check.setting]:
            out.print("\nlines to set:", style="bold")
            for line in lines:
                out.print(f"  {line}")
    if counts["fail"]:
        raise typer.Exit(1)


async def _examine(settings: Settings, store: Store, sku: str, *, quiet: bool) -> list[doctor.Check]:
    outside = outside_of(settings, store, store.clock, Ids(store.clock), None, "doctor")
    found: list[doctor.Check] = []
    try:
        async for check in doctor.examine(settings, store, outside):
            found.append(check)
            if not quiet:
                show(check)
        if sku:
            name = secrets.token_hex(4)
            await store.write(acts.record, settings, store.clock, who(), "doctor.experiment", f"sku:{sku}")
            tried = await doctor.try_out(settings, store, outside, sku, name)
            found += tried
            for check in () if quiet else tried:
                show(check)
    finally:
        await store.write(outside.calls.flush)
        await outside.client.aclose()
    return found


def show(check: doctor.Check) -> None:
    """Prints one check."""
    out.print(f"{check.result:<8}", style=STYLES[check.result], end="")
    out.print(f"{check.name}: {check.evidence}")
    if check.mend:
        out.print(f"        {check.mend}")
