"""`sellable orders`: where each order is, and the whole story of one."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sellable.app import answers
from sellable.app.replaying import accept_totals
from sellable.book import book
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out, who
from sellable.runtime.database import Tx

app = typer.Typer(help="Orders: where each one is, and what happened to it.", no_args_is_help=True)


@app.command("list")
def listing(
    stage: Annotated[
        str | None, typer.Option(help="waiting, held, exporting, exported, shipped, cancelled ...")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 50,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """The newest orders with the stage they are in. Exit code 0, also when there are none."""
    with opened(config) as (_, store, _clock):
        rows = store.read_now(lambda tx: tx.all(book.sql.newest_orders, stage=stage, limit=limit))
    if json:
        return emit([{k: str(v) if hasattr(v, "isoformat") else v for k, v in r._asdict().items()} for r in rows])
    table = Table("order", "stage", "since", "placed", "total", "waits for", box=None)
    for r in rows:
        total = f"{Decimal(r.total).scaleb(-r.digits)} {r.currency}"
        table.add_row(
            r.number or r.order_id, r.stage, f"{r.stage_since:%m-%d %H:%M:%S}", f"{r.placed_at:%m-%d %H:%M:%S}", total,
            r.hold_cause,
        )  # fmt: skip
    out.print(table)
    return None


@app.command()
def show(
    order: Annotated[str, typer.Argument(help="Order number or id.")],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """An order's whole story. Exit code 1 when the book does not know it."""
    with opened(config) as (_, store, _clock):
        found = store.read_now(answers.order_story, order)
    if not found:
        raise fail(f"no order {order!r} in the book")
    if json:
        return emit(found[0] if len(found) == 1 else found)
    for story in found:
        _print(story)
    return None


@app.command("accept-totals")
def accept(
    order: Annotated[str, typer.Argument(help="Number or id of a held order.")],
    reason: Annotated[str, typer.Option(help="Why the difference is right; kept on the record.")],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Let an order that is held because of its totals be posted at those the back office has.

    Only these very totals are accepted: if the sale comes to others, the order is held again.
    Exit codes: 0 let go, 1 no such order, or its sales do not wait for this, 2 no reason, or two orders of this number.
    """
    if not reason.strip():
        raise fail("say why the totals are right: --reason", 2)
    with opened(config) as (settings, store, clock):

        def write(tx: Tx) -> list[int]:
            found = tx.all(book.sql.find_orders, key=order)
            if len(found) > 1:
                raise fail(f"{len(found)} orders have the number {order}: say the id", 2)
            return accept_totals(tx, settings, clock, who(), found[0].order_id, reason) if found else []

        parts = store.write_now(write)
    if not parts:
        raise fail(f"no sale of {order} is held because of its totals")
    if json:
        return emit({"order": order, "parts": parts})
    out.print(f"{order}: {len(parts)} sale(s) will be posted at the back office's totals")
    return None


@app.command()
def route(
    order: Annotated[str | None, typer.Argument(help="Order number or id.")] = None,
    what_if: Annotated[
        Path | None, typer.Option(help="An order of commercetools as JSON, in place of one of the book.")
    ] = None,
    explain: Annotated[bool, typer.Option(help="Show why each rule before did not take the line.")] = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Which rule of [[routes]] takes each line of an order, by today's settings and stock. Only looks.

    Exit codes: 0 every line has a place, 1 a line has none, or no such order, 2 neither an order nor a file, or a file
    is no order.
    """
    if (order is None) is (what_if is None):
        raise fail("name an order, or a file with --what-if", 2)
    with opened(config) as (settings, store, clock):
        if what_if is not None:
            try:
                asked = [answers.order_in(what_if.read_bytes(), settings)]
            except (OSError, ValueError) as error:
                raise fail(f"{what_if} is no order: {error}", 2) from error
        else:
            rows = store.read_now(lambda tx: tx.all(book.sql.find_orders, key=order))
            asked = [book.order_of(row) for row in rows]
        found = [store.read_now(answers.routes, settings, each, clock.now()) for each in asked]
    if not found:
        raise fail(f"no order {order!r} in the book")
    if json:
        emit(found[0] if len(found) == 1 else found)
    else:
        for each in found:
            _print_routes(each, explain)
    if any(each["held"] for each in found):
        raise typer.Exit(1)


def _print_routes(found: Mapping[str, Any], explain: bool) -> None:
    out.print(f"Order {found['number'] or found['order_id']}", style="bold")
    if not found["rules"]:
        out.print("there are no [[routes]]: a line ships from any location of its channel, by that location's master")
    for x in found["lines"]:
        ships = ", ".join(f"{units} from {place}" for place, units in x["ships"]) or "nowhere, the order is held"
        rule = f"{x['rule']} to {x['target']}" if x["rule"] else "no rule"
        out.print(f"{x['units']} {x['sku']} ({x['line_id']}): {rule}; {ships}", end="")
        ways = [f"{name} {x[name]}" for name in ("carrier", "service") if x[name]]
        out.print(f"; {', '.join(ways)}" if ways else "")
        for went in x["went"]:
            rule = went["rule"] or "no rule"
            out.print(
                f"  {went['units']} went as part {went['part']} by {rule} to {went['target']}, {went['location']}"
            )
        for passed in x["passed"] if explain else ():
            out.print(f"  {passed['rule']} did not take it: {passed['because']}")


def _print(o: Mapping[str, Any]) -> None:
    total = Decimal(o["total"]).scaleb(-o["digits"])
    out.print(f"Order {o['number'] or o['order_id']}  {o['stage']} since {o['stage_since'][:19]}", style="bold", end="")
    out.print(f", waits for: {o['waits_for']}" if o["waits_for"] else "")
    out.print(
        f"placed {o['placed_at'][:19]}, captured {o['captured_at'][:19]}, {total} {o['currency']}, id {o['order_id']}"
    )
    lines = Table("line", "sku", "channel", "mode", "ordered", "shipped", "cancelled", "returned", box=None)
    for x in o["lines"]:
        lines.add_row(
            *(str(x[k]) for k in ("line_id", "sku", "channel", "mode", "ordered", "shipped", "cancelled", "returned"))
        )
    out.print(lines)
    for p in o["parts"]:
        out.print(
            f"part {p['part']} from {p['location']} ({p['target']}): {p['state']}, "
            f"sale {p['sale_number'] or p['sale_id'] or '-'} ({p['ref']})"
            + (f", booked at {p['currency_rate']}" if p["currency_rate"] else "")
        )
        if p["actual"]:
            sides = ", ".join(f"{k} {p['expected'].get(k)} / {p['actual'].get(k)}" for k in ("net", "tax", "gross"))
            out.print(f"  totals in minor units, ours / theirs: {sides}")
    for s in o["shipments"]:
        out.print(
            f"shipment {s['shipment_id']} of part {s['part']}: {s['items']}, {'told' if s['told'] else 'not told yet'}"
        )
    for r in o["returns"]:
        paid, why = (f", {r['payment']}" if r["payment"] else ""), (f", reason {r['reason']}" if r["reason"] else "")
        out.print(
            f"return {r['piece_id']} ({r['number'] or '-'}): {r['units']} of {r['sku']}, {r['fate']}"
            f"{' at ' + r['location'] if r['location'] else ''}{paid}{why}, "
            f"{'told as ' + r['told'] if r['told'] else 'not told yet' if r['line_id'] else 'on no line'}"
        )
    for n in o["returns_at_storefront"]:
        out.print(
            f"return at the storefront {n['item_id']}: {n['units']} of line {n['line_id']}, {n['state']}, "
            f"{n['arrived']} back at the back office"
        )
    for a in o["returns_announced"]:
        told = "the warehouse knows" if a["told"] else "not told yet"
        out.print(f"announced as {a['ref']}: {a['units']} of line {a['line_id']}, {a['arrived']} came back; {told}")
    for c in o["cases"]:
        out.print(f"case {c['ref']} {c['kind']}: {c['state']}, {c['owner']}, seen {c['count']}")
    for step in o["operations"]:
        if step["settled_at"] is None:
            out.print(f"owed: {step['kind']} {step['state']}, sent {step['sends']} time(s) {step['cause'] or ''}")
    for event in o["story"]:
        detail = "  ".join(f"{k}={v}" for k, v in event["detail"].items())
        out.print(f"  {event['at'][:19]}  {event['what']}  {detail}")
