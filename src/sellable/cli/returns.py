"""`sellable returns`: what became of goods that came back, said by the person who looked at them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from sellable.app.replaying import inspect_return, refund_return
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out, who
from sellable.runtime.database import Tx

app = typer.Typer(help="Returns: what became of goods that came back.", no_args_is_help=True)


@app.command()
def inspect(
    piece: Annotated[str, typer.Argument(help="Key of the returned piece, as `sellable orders show` prints it.")],
    result: Annotated[Literal["available", "damaged", "written_off"], typer.Option(help="What the inspection found.")],
    reason: Annotated[str, typer.Option(help="What was seen; kept on the record.")],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Say what the inspection of a returned piece found; the storefront's order is told.

    A number rises only when the master's does: goods that passed must be moved to where they sell at the back office.
    Exit codes: 0 taken, 1 no such piece or it cannot become that any more, 2 no reason.
    """
    if not reason.strip():
        raise fail("say what was seen: --reason", 2)
    with opened(config) as (settings, store, clock):

        def write(tx: Tx) -> bool:
            return inspect_return(tx, settings, clock, who(), piece, result, reason)

        taken = store.write_now(write)
    if not taken:
        raise fail(f"no returned piece {piece}, or it cannot become {result} any more")
    if json:
        return emit({"piece": piece, "fate": result})
    out.print(f"{piece} is {result}; the storefront is told")
    return None


@app.command()
def refund(
    order: Annotated[str, typer.Argument(help="Number or id of the order.")],
    result: Annotated[Literal["refunded", "kept"], typer.Option(help="Whether the money went back.")],
    piece: Annotated[str | None, typer.Option(help="Only this piece; absent for all that are undecided.")] = None,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Say whether the money of returned goods went back; the storefront's order is told.

    Exit codes: 0 taken, 1 no such order or nothing undecided, 2 two orders of this number.
    """
    with opened(config) as (settings, store, clock):

        def write(tx: Tx) -> int:
            found = refund_return(tx, settings, clock, who(), order, piece, refunded=result == "refunded")
            if found is None:
                raise fail(f"several orders have the number {order}: say the id", 2)
            return found

        count = store.write_now(write)
    if not count:
        raise fail(f"nothing of {order} that came back is undecided")
    if json:
        return emit({"order": order, "pieces": count})
    what = "refunded" if result == "refunded" else "not refunded"
    out.print(f"{order}: {count} piece(s) {what}; the storefront is told")
    return None
