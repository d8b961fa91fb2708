"""`sellable writes`: stop all writes of stock to the storefront, and let them go on."""

from __future__ import annotations

import typer

from sellable.app import acts
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, opened, out, who

app = typer.Typer(help="Stop all writes of stock to the storefront, and let them go on.", no_args_is_help=True)


@app.command()
def freeze(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Write no stock from now on, in any process. Orders still travel; what should be written waits.

    Exit code 0, also when they are frozen already.
    """
    _switch(config, frozen=True, json=json)


@app.command()
def resume(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Write again; what has changed meanwhile is one write for each number. Exit code 0, also when none were frozen."""
    _switch(config, frozen=False, json=json)


def _switch(config: Config, *, frozen: bool, json: bool) -> None:
    with opened(config) as (settings, store, clock):
        changed = store.write_now(acts.freeze, settings, clock, who(), frozen)
    if json:
        return emit({"frozen": frozen, "changed": changed})
    state = "frozen" if frozen else "on"
    out.print(f"writes of stock are {state}" if changed else f"writes of stock were {state} already")
    return None
