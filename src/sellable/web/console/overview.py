"""Is the storefront right? One sentence on top, then the numbers that could make it wrong, each a link to its why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from sellable.desk import cases
from sellable.runtime.database import ReadTx, Row
from sellable.runtime.queries import queries
from sellable.web.console.chart import Chart, chart_of
from sellable.web.console.doors import Page, Visit
from sellable.web.console.freshness import sets_too_old
from sellable.web.console.lanes import credentials_of
from sellable.web.console.render import SEVERITIES, duration, order_path, page, sku_path, subject_path

sql = queries("sellable.web.console")

NEWS = 12
DECREASE_SECONDS = 30.0
"""An unsynced decrease that is older than this is a warning."""


@dataclass(frozen=True, kw_only=True)
class News:
    """Something that just happened, and where more is said of it."""

    at: datetime
    what: str
    name: str
    href: str
    words: str
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class _Read:
    severities: Sequence[tuple[str, str, int, datetime]]
    last_resolved: datetime | None
    oversold: int
    inherent: int
    latency: Row
    chart: Chart
    too_old: Sequence[tuple[str, datetime]]
    news: Sequence[News]


async def show(visit: Visit) -> Response:
    """The overview."""
    status = await visit.console.overview()
    read = await visit.console.store.read(_read, visit)
    differences, feeds = status["differences"], status["feeds"]
    return page(
        visit, "overview.html", following=True, headline=headline(status), differences=differences, read=read,
        credentials=credentials_of(status.get("budgets", [])), feeds=[f for f in feeds if f["failures"]],
        orders=status["orders"],
        channels=[c for c in status.get("channels", []) if (c["mode"], c["gate"]) != ("full", "open")],
        first_run=not differences["keys"], decrease_seconds=DECREASE_SECONDS,
        nothing_read=not any(f["last_success_seconds"] is not None for f in feeds),
    )  # fmt: skip


PAGES = [Page(path="/", answer=show, role="viewer")]


def headline(status: Mapping[str, Any]) -> str:
    """One sentence with the number in it."""
    d = status["differences"]
    if not d["keys"]:
        return "No number is known yet: the storefront's entries are being read"
    waiting = d["lowers"] + d["raises"] + d["writing"] + d["dirty"]
    settled = max(0, d["keys"] - waiting)
    text = f"{settled:,} of {d['keys']:,} numbers right"
    if waiting:
        oldest = d["oldest_lower_seconds"]
        text += f", {waiting:,} settling" + (f" (oldest decrease {duration(oldest)})" if oldest is not None else "")
    waits = sum(c["open"] for c in status["cases"].values())
    return text + (f"; {waits} open case{'s' if waits != 1 else ''}" if waits else "; no exceptions")


def _read(tx: ReadTx, visit: Visit) -> _Read:
    now = visit.console.clock.now()
    oversold, latency = tx.one(sql.oversold), tx.one(sql.latency, now=now)
    assert oversold is not None
    return _Read(
        severities=[(*SEVERITIES[row.severity], row.n, row.oldest) for row in tx.all(sql.severities)],
        last_resolved=cases.last_resolved(tx),
        oversold=max(0, oversold.units - oversold.inherent), inherent=oversold.inherent, latency=latency,
        chart=chart_of(tx.all(sql.minutes, now=now)), too_old=sets_too_old(tx, visit.console.settings, now),
        news=news_of(tx, now),
    )  # fmt: skip


def news_of(tx: ReadTx, now: datetime) -> list[News]:
    """The newest of all that happened, newest first."""
    orders = [
        News(at=r.at, what="order", name=r.number or r.order_id, href=order_path(r.order_id), words=r.what)
        for r in tx.all(sql.news_of_orders, limit=NEWS)
    ]
    numbers = [
        News(
            at=r.at, what="number", name=r.sku, href=sku_path(r.sku),
            words=f"from {r.before:,} to {r.after:,} on {r.channel or 'no channel'}",
        )
        for r in tx.all(sql.news_of_numbers, now=now, limit=NEWS)
    ]  # fmt: skip
    desk = [
        News(
            at=r.at, what="case", name=r.ref, href=f"/exceptions/{r.ref}", words=f"{r.what}: {r.title}",
            tone=SEVERITIES[r.severity][0] if r.what == "opened" else "",
        )
        for r in tx.all(sql.news_of_cases, limit=NEWS)
    ]  # fmt: skip
    people = [
        News(at=r.at, what="person", name=r.actor, href=subject_path(r.subject), words=f"{r.action} {r.subject}")
        for r in tx.all(sql.news_of_people, limit=NEWS)
    ]
    return sorted([*orders, *numbers, *desk, *people], key=lambda one: one.at, reverse=True)[:NEWS]
