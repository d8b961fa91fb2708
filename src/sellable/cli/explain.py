"""`sellable explain`: why a number is what it is, now or at an instant of the past."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from sellable.app import answers
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out

WHY = {
    "not_allocated": "not allocated yet",
    "not_in_the_number_yet": "allocated, not in the number yet",
    "not_seen_since_it_rose": "allocated, its sale not seen since the number rose",
}


def explain(
    sku: Annotated[str, typer.Argument(help="The SKU, exactly.")],
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    at: Annotated[
        str | None, typer.Option(help="An instant of the past, ISO 8601; UTC where no zone is given.")
    ] = None,
    facts: Annotated[bool, typer.Option("--facts", help="Also list the newest facts behind the number.")] = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Every term of a number: what the master says by location, states left out, units in flight by order, holds,
    buffers, kit limits; what the storefront was last seen and told to show.

    Exit codes: 0 explained, 1 the SKU has no number here.
    """
    moment = _instant(at)
    with opened(config) as (settings, store, clock):
        found = store.read_now(answers.explain, settings, sku, channel, moment, clock.now())
    if json:
        emit(found)
    else:
        show(found, facts=facts)
    if not found["numbers"]:
        raise typer.Exit(1)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise fail(f"--at {text!r} is not an instant in ISO 8601, like 2026-11-21T12:00:00", 2) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def show(found: Mapping[str, Any], *, facts: bool) -> None:
    """Prints the answer for people."""
    if not found["numbers"]:
        known = "the master knows this SKU" if found["known_to_master"] else "the master does not know this SKU"
        twins = f"; it knows {', '.join(found['twins'])}" if found["twins"] else ""
        out.print(f"{found['sku']}: no stock entry on a configured channel; {known}{twins}")
        return
    if found["at_master"] != found["sku"]:
        out.print(f"{found['sku']} is {found['at_master']} at the master")
    for number in found["numbers"]:
        _show_number(found["sku"], number)
    if facts:
        _show_facts(found)


def _show_number(sku: str, number: Mapping[str, Any]) -> None:
    e = number["explanation"]
    channel = e["channel"] or "(no channel)"
    when = f" (as it stood since {number['since'][:19]})" if number["since"] else ""
    out.print(f"\n{sku} on {channel}, pool {e['pool']}: should show {e['target']}{when}", style="bold")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    if e["term"]:
        _add_pool(table, e["term"], "")
    for part in e["components"]:
        table.add_row(
            "", f"component {part['term']['sku']}, {part['per_kit']} each: enough for {part['kits']} in the pool"
        )
        _add_pool(table, part["term"], "    ")
    for place, kits in e["kits_by_location"].items():
        table.add_row("", f"kits that can ship from {place}: {kits}")
    table.add_row(str(e["ats"]), "available to sell")
    _minus(table, e["buffer"], "channel buffer")
    _minus(table, e["in_other_carts"], "in carts of the pool's other entries")
    if e["cap"] is not None:
        table.add_row("", f"cap {e['cap']}")
    if counted := e.get("counted"):
        _add_counted(table, counted)
    table.add_row(f"= {e['target']}", "should be shown")
    table.add_row(str(number["e"]), "will be shown once the storefront has applied what we know (E)")
    table.add_row(
        f"{number['d']:+}", "difference to send" + (f", waits for: {w}" if (w := number.get("raise_waits_for")) else "")
    )
    if number.get("mode", "full") != "full":
        told = {"shadow": "nothing is written", "lowers": "only what lowers is written"}[number["mode"]]
        table.add_row("", f"mode {number['mode']}: {told}")
    seen = number.get("last_seen")
    if seen:
        table.add_row(
            str(seen["quantity"]), f"last seen at the storefront {seen['at'][:19]}, version {seen['version']}"
        )
    out.print(table)


def _add_counted(table: Table, counted: Mapping[str, Any]) -> None:
    table.add_row(str(counted["by_warehouse"]), "by the warehouse's own count: compared, never written")
    table.add_row("", "commercetools is the master here: its own number is the truth")
    table.add_row(f"{counted['owed']:+}", "owed to it for despatches, cancels and returns")


def _add_pool(table: Table, term: Mapping[str, Any], indent: str) -> None:
    for place in term["locations"]:
        left = "".join(f", left out {units} {state}" for state, units in place["left_out"].items())
        seen = f"read {str(place['observed_at'])[:19]} (causal {place['a0']})"
        table.add_row(str(place["available"]), f"{indent}available at {place['location']}, {seen}{left}")
        _minus(table, place["held_back"], f"{indent}held back at {place['location']}")
    for flight in term["in_flight"]:
        where = flight["location"] or "not assigned"
        _minus(table, flight["units"], f"{indent}order {flight['order']}, {where}: {WHY[flight['why']]}")
    for hold_id, units, reason in term["holds"]:
        _minus(table, units, f"{indent}hold {hold_id}: {reason}")
    _minus(table, term["stale_buffer"], f"{indent}held back because the master's numbers are old")


def _minus(table: Table, units: int, words: str) -> None:
    if units:
        table.add_row(f"- {units}", words)


def _show_facts(found: Mapping[str, Any]) -> None:
    for sku, facts in found["facts"].items():
        out.print(f"\nfacts about {sku}, newest first")
        for o in facts["observations"]:
            place = "/".join(x for x in (o["location"], o["part"]) if x)
            out.print(
                f"  {o['at'][:19]}  {place} {o['state'] or 'unknown'}: {o['value_before']} -> {o['value']}  "
                f"sweep {o['sweep']}"
            )
        for d in facts["demand"]:
            out.print(f"  {d['at'][:19]}  order {d['order_id']}: {d['kind']} {d['units']} {d['location'] or ''}")
        for m in facts["movements"]:
            out.print(
                f"  {m['at'][:19]}  {m['kind']} {m['quantity']}: {m['from_location']}/{m['from_state']} -> "
                f"{m['to_location']}/{m['to_state']}  {m['source']} {m['resource']}"
            )
    for channel, rows in found["entry_facts"].items():
        out.print(f"\nfacts of the entry on {channel or '(no channel)'}, newest first")
        for f in rows:
            out.print(f"  {f['at'][:19]}  {f['kind']} {f['quantity']:+}  {f['source']} {f['resource']}")
    for channel, rows in found["adjustments"].items():
        out.print(f"\nadjustments of {channel or '(no channel)'}, newest first")
        for a in rows:
            kept = ", set aside" if a["aside"] else ""
            out.print(f"  {a['at'][:19]}  {a['units']:+}  {a['source']} {a['resource']}{kept}")
