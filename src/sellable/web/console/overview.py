"""Is the storefront right? One sentence on top, then numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from sellable.web.console.doors import Page, Visit
from sellable.web.console.render import duration, page


async def show(visit: Visit) -> Response:
    """The overview."""
    status = await visit.console.overview()
    makers = (_channels, _orders, _differences, _cases, _budgets, _feeds, _owed)
    return page(visit, "overview.html", headline=headline(status), sections=[make(status) for make in makers])


PAGES = [Page(path="/", answer=show, role="viewer")]


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


def _section(title: str, columns: Sequence[tuple[str, bool]], rows: Sequence[Any], empty: str) -> dict[str, Any]:
    return {"title": title, "columns": columns, "rows": rows, "empty": empty}


def _row(*cells: object, tone: str = "") -> dict[str, Any]:
    return {"cells": [f"{c:,}" if isinstance(c, int) else c for c in cells], "tone": tone}


def _channels(status: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        _row(
            c["channel"] or "(no channel)", c["mode"], "" if c["gate"] == "open" else c["gate"],
            c["lowers"], c["raises"], tone="warn" if c["gate"] == "stopped" else "",
        )
        for c in status.get("channels", [])
    ]  # fmt: skip
    columns = [("channel", False), ("mode", False), ("first pass", False), ("too high", True), ("too low", True)]
    return _section("Channels", columns, rows, "No channel was seen yet.")


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
