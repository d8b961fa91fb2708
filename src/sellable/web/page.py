"""The plain status page: one sentence on top, then numbers. Pure: a dict in, HTML out, readable without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment

_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8885; --soft: #888; --bad: #c33; --warn: #b70; --good: #282; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 16px; }
h1 { font-size: 1.35rem; font-weight: 600; margin: 8px 0 24px; }
h2 { font-size: 1rem; font-weight: 600; margin: 24px 0 8px; }
table { border-collapse: collapse; width: 100%; }
th, td { border-top: 1px solid var(--line); padding: 4px 8px 4px 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 400; }
td.n, th.n { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
td:last-child, th:last-child { padding-right: 0; }
.bad { color: var(--bad); } .warn { color: var(--warn); } .good { color: var(--good); } .soft { color: var(--soft); }
.scroll { overflow-x: auto; }
</style>
<h1>{{ headline }}</h1>
<p class="soft">{{ at }} · <a href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>
{% for section in sections %}
<h2>{{ section.title }}</h2>
{% if section.rows %}
<div class="scroll"><table>
<tr>{% for name, numeric in section.columns %}<th{% if numeric %} class="n"{% endif %}>{{ name }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>
{%- for cell in row.cells %}
<td class="{{ 'n ' if section.columns[loop.index0][1] }}{{ row.tone }}">{{ cell }}</td>{% endfor -%}
</tr>
{% endfor %}</table></div>
{% else %}<p class="soft">{{ section.empty }}</p>{% endif %}
{% endfor %}
</html>
"""

_page = Environment(autoescape=True, trim_blocks=False).from_string(_TEMPLATE)


def status_page(title: str, status: Mapping[str, Any]) -> str:
    """The page for what `app.status.overview` (and the budgets) say."""
    makers = (_orders, _differences, _cases, _budgets, _feeds, _owed)
    return _page.render(
        title=title,
        headline=headline(status),
        at=str(status["at"])[:19].replace("T", " ") + " UTC",
        sections=[make(status) for make in makers],
    )


def headline(status: Mapping[str, Any]) -> str:
    """One sentence with the number in it."""
    d = status["differences"]
    waiting = d["lowers"] + d["raises"] + d["writing"] + d["dirty"]
    settled = max(0, d["keys"] - waiting)
    text = f"{settled:,} of {d['keys']:,} numbers right"
    if waiting:
        oldest = d["oldest_lower_seconds"]
        text += f", {waiting:,} settling" + (f" (oldest decrease {duration(oldest)})" if oldest is not None else "")
    cases = sum(c["open"] for c in status["cases"].values())
    return text + (f"; {cases} open case{'s' if cases != 1 else ''}" if cases else "; no exceptions")


def duration(seconds: float | None) -> str:
    """Seconds in the unit a person would use."""
    if seconds is None:
        return "never"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def _section(title: str, columns: Sequence[tuple[str, bool]], rows: Sequence[Any], empty: str) -> dict[str, Any]:
    return {"title": title, "columns": columns, "rows": rows, "empty": empty}


def _row(*cells: object, tone: str = "") -> dict[str, Any]:
    return {"cells": [f"{c:,}" if isinstance(c, int) else c for c in cells], "tone": tone}


def _orders(status: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        _row(stage, o["count"], duration(o["oldest_seconds"]), tone="warn" if stage == "held" else "")
        for stage, o in status["orders"].items()
    ]
    columns = [("stage", False), ("orders", True), ("oldest", True)]
    return _section("Orders", columns, rows, "No order has arrived yet.")


def _differences(status: Mapping[str, Any]) -> dict[str, Any]:
    d = status["differences"]
    rows = [
        _row("decreases waiting", d["lowers"], duration(d["oldest_lower_seconds"]) if d["lowers"] else ""),
        _row("increases waiting", d["raises"], ""),
        _row("being written", d["writing"], ""),
        _row("to be looked at", d["dirty"], ""),
        _row("increases waiting for proof", d["parked"], ""),
    ]
    return _section("Differences", [("", False), ("numbers", True), ("oldest", True)], rows, "")


def _cases(status: Mapping[str, Any]) -> dict[str, Any]:
    rows = [_row(kind, c["open"], c["count"], tone="warn") for kind, c in status["cases"].items()]
    return _section("Cases", [("kind", False), ("open", True), ("seen", True)], rows, "No exceptions.")


def _budgets(status: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        _row(
            b["credential"],
            b["lane"],
            b["used"],
            f"{b['calls']} / {b['window_seconds']:g} s",
            b["waiting"],
            "cooling down" if b["cooling"] else "",
            tone="bad" if b["cooling"] else "",
        )
        for b in status.get("budgets", [])
    ]
    columns = [("vendor", False), ("lane", False), ("used", True), ("limit", True), ("waiting", True), ("", False)]
    return _section("Budgets", columns, rows, "No call was made yet.")


def _feeds(status: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        _row(
            f["name"],
            duration(f["last_success_seconds"]),
            f["failures"],
            f["last_error"] or "",
            tone="bad" if f["failures"] else "",
        )
        for f in status["feeds"]
    ]
    columns = [("feed", False), ("last read", True), ("failures", True), ("", False)]
    return _section("What we read", columns, rows, "Nothing is read yet.")


def _owed(status: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        _row(o["system"], o["kind"], o["state"], o["count"], duration(o["oldest_seconds"]))
        for o in status["operations"]
    ]
    columns = [("system", False), ("operation", False), ("state", False), ("open", True), ("oldest", True)]
    return _section("What we owe", columns, rows, "Nothing is owed.")
