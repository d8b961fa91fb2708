"""`sellable audit`: who did what, what was called outside for it, and whether the record still holds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from sellable.book import book
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out
from sellable.runtime import audit, calls
from sellable.runtime.database import ReadTx

app = typer.Typer(help="The record of every effect outside and every act of a person.", no_args_is_help=True)


@app.command()
def report(
    correlation: Annotated[
        str | None, typer.Option(help="An order (number or id), an operation, a case like C-000123, or a hold.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many records, and so many calls.")] = 100,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """What was done, by whom, before and after, with the calls made for it. Without --correlation the newest records.

    Values that could be personal are shown as "#...": equal ones are equal. Exit code 1 when nothing is on record.
    """
    with opened(config) as (_, store, _clock):
        records, made = store.read_now(_found, correlation, limit)
    if json:
        emit({"records": records, "calls": made})
    else:
        _print(records, made)
    if correlation and not records and not made:
        raise fail(f"nothing is on record about {correlation}")


@app.command()
def verify(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Check every chain of the record. Exit codes: 0 all hold, 1 a row was changed or is missing."""
    with opened(config) as (_, store, _clock):
        breaks = store.read_now(audit.verify)
    if json:
        emit({"ok": not breaks, "breaks": [{"segment": b.segment, "id": b.id, "what": b.what} for b in breaks]})
    else:
        for b in breaks:
            out.print(f"chain {b.segment}, row {b.id or 'at its end'}: {b.what}", style="red")
        out.print("every chain holds" if not breaks else f"{len(breaks)} place(s) where the record does not hold")
    if breaks:
        raise typer.Exit(1)


def _found(tx: ReadTx, correlation: str | None, limit: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Records and calls about a correlation, which may be an order's number."""
    if correlation is None:
        return [_plain(row) for row in reversed(audit.report(tx, [], limit))], []
    keys = [correlation, f"case:{correlation}", f"sku:{correlation}", f"operation:{correlation}"]
    keys += [order.order_id for order in tx.all(book.sql.find_orders, key=correlation)]
    return (
        [_plain(row) for row in audit.report(tx, keys, limit)],
        [_plain(row) for row in calls.calls_of(tx, keys, limit)],
    )


def _print(records: list[dict[str, Any]], made: list[dict[str, Any]]) -> None:
    for r in records:
        out.print(f"{r['at'][:19]}  {r['action']}  {r['actor']}  {r['subject']}", style="bold")
        for side in ("before", "after"):
            if r[side]:
                out.print(f"    {side:<7} {_words(r[side])}")
    if made:
        out.print("\ncalls")
    for c in made:
        answer = c["status"] or c["error"]
        out.print(f"{c['at'][:19]}  {c['system']} {c['operation']} -> {answer}, {c['seconds']:.2f} s")


def _words(values: dict[str, Any]) -> str:
    return "  ".join(f"{name}={value}" for name, value in values.items())


def _plain(row: Any) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row._asdict().items()}
