"""What does the book hold of a month? For finance: totals to the cent, what differs, and what channels show now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from starlette.responses import Response

from sellable.reconcile import month
from sellable.reconcile.month import TABLES, Day, Period, Report, period_of
from sellable.web.console.doors import Page, Visit
from sellable.web.console.render import money, page

MONTHS_BACK = 12
"""Months that are offered, the newest first."""


async def show(visit: Visit) -> Response:
    """A month of orders by state, with what differs; units shown on each channel now."""
    try:
        return await _shown(visit, asked(visit))
    except ValueError as error:
        return await _shown(visit, this_month(visit), str(error))


async def _shown(visit: Visit, period: Period, trouble: str = "") -> Response:
    counted_at, found = await _counted(visit, period)
    return page(
        visit, "reports.html", status_code=422 if trouble else 200, report=found, sums=found.sums(),
        headline=headline(found), period=period, months=months(visit, period), trouble=trouble, counted_at=counted_at,
    )  # fmt: skip


async def _counted(visit: Visit, period: Period) -> tuple[datetime, Report]:
    """The month, and when it was counted: every order of it is looked at, so a page may be a minute old."""

    async def count() -> tuple[datetime, Report]:
        return visit.console.clock.now(), await visit.console.store.read(month.report, period)

    found: tuple[datetime, Report] = await visit.console.memo.get(f"month {period.name} {period.zone}", count)
    return found


async def download(visit: Visit) -> Response:
    """One table of a month as CSV, counted anew."""
    table = visit.request.path_params["table"]
    try:
        period = asked(visit)
        if table not in TABLES:
            raise ValueError(f"there is no table called {table}")
    except ValueError as error:
        return await _shown(visit, this_month(visit), str(error))
    found = await visit.console.store.read(month.report, period)
    name = f"sellable-{table}-{period.name}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(month.as_csv(found, table), media_type="text/csv; charset=utf-8", headers=headers)


def asked(visit: Visit) -> Period:
    """The month the address asks for. Raises ValueError."""
    query = visit.request.query_params
    zone = query.get("zone", "").strip() or visit.console.settings.cin7_core.time_zone
    return period_of(query.get("month", "").strip(), zone, visit.console.clock.now())


def this_month(visit: Visit) -> Period:
    """The month that goes on, where the company is."""
    return period_of("", visit.console.settings.cin7_core.time_zone, visit.console.clock.now())


def months(visit: Visit, period: Period) -> list[str]:
    """The newest months, with the one that is shown."""
    now = visit.console.clock.now().astimezone(period.since.tzinfo)
    newest = now.year * 12 + now.month - 1
    found = {f"{n // 12:04}-{n % 12 + 1:02}" for n in range(newest - MONTHS_BACK, newest + 1)}
    return sorted(found | {period.name}, reverse=True)


def headline(found: Report) -> str:
    """Orders and what differs, in a sentence."""
    orders, differing = sum(d.orders for d in found.days), sum(not d.accepted for d in found.differences)
    if not orders:
        return f"{found.period.name}: no order was placed"
    ordered = ", ".join(money(*each) for each in _by_currency(found.days))
    ends = f"{differing:,} sale{'s differ' if differing != 1 else ' differs'}" if differing else "no sale differs"
    return f"{found.period.name}: {orders:,} order{'s' if orders != 1 else ''}, {ordered}; {ends}"


def _by_currency(days: Sequence[Day]) -> list[tuple[int, int, str]]:
    kept = [d for d in days if d.stage not in ("cancelled", "ignored")]
    names = sorted({(d.currency, d.digits) for d in kept})
    return [(sum(d.ordered for d in kept if d.currency == name), digits, name) for name, digits in names]


PAGES = [
    Page(path="/reports", answer=show, role="viewer"),
    Page(path="/reports/{table}.csv", answer=download, role="viewer"),
]
