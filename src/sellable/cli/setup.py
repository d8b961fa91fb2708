"""`sellable setup`: what we need to exist at a vendor, created once and only where it is missing."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import httpx2
import typer

from sellable.app.check import checked
from sellable.app.setup import set_up_commercetools
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, opened, out, who
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.migrate import migrate

app = typer.Typer(help="Create what we need at a vendor.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Create what we need at a vendor."""


@app.command()
def commercetools(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Custom type for the write marker, export channel, message settings, line item states, subscription.

    Idempotent: what is there and right is left alone. What is changed is on the record (`sellable audit report`), so
    the database must be there; a dry run needs none. Exit code 0 when all of it is there (or would be).
    """
    settings = checked(config)

    async def go(store: Store | None) -> list[Any]:
        async with httpx2.AsyncClient() as client:
            return await set_up_commercetools(settings, client, Clock.from_environment(), store, who())

    if dry_run:
        steps = asyncio.run(go(None))
    else:
        with opened(config) as (_, store, _clock):
            migrate(store)
            steps = asyncio.run(go(store))
    if json:
        return emit([{"resource": resource, "action": action} for resource, action in steps])
    for resource, action in steps:
        out.print(f"{action:<10} {resource}")
    return None
