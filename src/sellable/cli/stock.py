"""`sellable stock`: hold units back from sale, and give them back."""

from __future__ import annotations

from typing import Annotated

import typer

from sellable.app import acts
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out, who
from sellable.runtime.ids import Ids

app = typer.Typer(help="Hold units back from sale, and give them back.", no_args_is_help=True)


@app.command()
def hold(
    sku: Annotated[str, typer.Argument(help="The SKU, exactly; hold the components of a kit.")],
    units: Annotated[int, typer.Argument(min=1, help="How many.")],
    pool: Annotated[str, typer.Option(help="Pool of locations, as in the settings.")],
    reason: Annotated[str, typer.Option(help="Why; shown wherever the number is explained.")],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Offer so many units less on every channel of a pool, at once and until released.

    Exit code 2: no such pool, or one whose numbers commercetools is the master of.
    """
    with opened(config) as (settings, store, clock):
        known = [p.name for p in settings.pools]
        if pool not in known:
            raise fail(f"there is no pool {pool!r}; the settings know {', '.join(known)}", 2)
        if any(channel.pool == pool for channel in settings.channels if channel.key in settings.counted_channels):
            raise fail(f"commercetools is the master of what {pool!r} sells: set its number there", 2)
        hold_id = Ids(clock).new("hold")
        store.write_now(
            acts.hold, settings, clock, who(), hold_id=hold_id, sku=sku, pool=pool, units=units, reason=reason
        )
    if json:
        return emit({"id": hold_id, "sku": sku, "pool": pool, "units": units})
    out.print(f"{units} of {sku} held back in {pool}; give back with: sellable stock release {hold_id}")
    return None


@app.command()
def release(
    hold_id: Annotated[str, typer.Argument(metavar="HOLD", help="Id of the hold.")],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Give held units back. Exit code 1 when there is no such hold (any more)."""
    with opened(config) as (settings, store, clock):
        done = store.write_now(acts.release, settings, clock, who(), hold_id)
    if not done:
        raise fail(f"no hold {hold_id} is in force")
    if json:
        return emit({"released": hold_id})
    out.print(f"{hold_id} is given back")
    return None
