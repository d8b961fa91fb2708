"""`sellable report`: what the order book holds of a month, to the cent, and what channels show now."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out
from sellable.reconcile import month as months
from sellable.reconcile.month import TABLES, amount


def report(
    month: Annotated[str, typer.Option(help="Month like 2026-11; else the one that goes on.")] = "",
    zone: Annotated[str, typer.Option(help="IANA time zone of its days; else the company's.")] = "",
    csv: Annotated[str, typer.Option(help=f"Print one table as CSV: {', '.join(TABLES)}.")] = "",
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Orders of a month by state with totals for each currency and day, sales that differ, units shown on each channel.

    Days are those of the time zone; amounts are exact. Exit codes: 0 no sale differs that nobody accepted, 1 one does,
    2 there is no such month, zone or table.
    """
    with opened(config) as (settings, store, clock):
        try:
            period = months.period_of(month, zone or settings.cin7_core.time_zone, clock.now())
            found = store.read_now(months.report, period)
            text = months.as_csv(found, csv) if csv else ""
        except ValueError as error:
            raise fail(str(error), 2) from None
    if csv:
        typer.echo(text, nl=False)
    elif json:
        emit(msgspec.to_builtins(found))
    else:
        out.print(f"{period.name} ({period.zone}), then the channels as they are now")
        for name in TABLES:
            out.print(_table(found, name))
    if any(not each.accepted for each in found.differences):
        raise typer.Exit(1)


def _table(found: months.Report, name: str) -> Table:
    """As the CSV has it, the days added up."""
    if name == "days":
        table = Table("currency", "stage", "orders", "ordered", "orders booked", "booked", "difference", box=None)
        rows = [
            (s.currency, s.stage, s.orders, amount(s.ordered, s.digits), s.booked_orders, amount(s.booked, s.digits),
             amount(s.apart, s.digits))
            for s in found.sums()
        ]  # fmt: skip
    else:
        heading, *rows = months.rows(found, name)  # type: ignore[assignment]
        table = Table(*map(str, heading), box=None)
    for row in rows:
        table.add_row(*map(str, row))
    return table
