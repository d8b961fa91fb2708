"""What the order book holds of a month, to the cent, and what channels show now: as tables, and as CSV.

One rule: amounts are added in minor units, never across currencies, and a day is a day of the zone that was asked for.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sellable.runtime.database import ReadTx
from sellable.runtime.queries import queries

sql = queries("sellable.reconcile")

TABLES = ("days", "differences", "channels")
_MONTH = re.compile(r"(?P<year>[12]\d{3})-(?P<month>0[1-9]|1[0-2])", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, kw_only=True)
class Period:
    """A month of a time zone: from `since` on, before `until`."""

    name: str
    zone: str
    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Day:
    """Orders of one day, currency and stage. Of `booked_orders` all sales have totals, whose sum is `booked`."""

    day: date
    currency: str
    digits: int
    stage: str
    orders: int
    ordered: int
    booked_orders: int
    ordered_of_booked: int
    booked: int

    @property
    def apart(self) -> int:
        """Booked at the back office, less ordered."""
        return self.booked - self.ordered_of_booked


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A sale whose total is another than expected; `accepted` when a person let it be."""

    order_id: str
    number: str
    currency: str
    digits: int
    placed_at: datetime
    stage: str
    part: int
    sale_number: str
    accepted: bool
    expected: int
    actual: int


@dataclass(frozen=True, kw_only=True)
class ChannelUnits:
    """Units of all SKUs of a channel together: what it should show, what it shows, and both ways they differ."""

    channel: str
    skus: int
    target: int
    shown: int
    differing: int
    too_many: int
    too_few: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """A month, and the channels as they are now."""

    period: Period
    days: Sequence[Day]
    differences: Sequence[Difference]
    channels: Sequence[ChannelUnits]

    def sums(self) -> list[Day]:
        """The month by currency and stage."""
        found: dict[tuple[str, int, str], list[Day]] = {}
        for row in self.days:
            found.setdefault((row.currency, row.digits, row.stage), []).append(row)
        return [
            Day(
                day=self.period.since.date(), currency=currency, digits=digits, stage=stage,
                orders=sum(r.orders for r in rows), ordered=sum(r.ordered for r in rows),
                booked_orders=sum(r.booked_orders for r in rows), booked=sum(r.booked for r in rows),
                ordered_of_booked=sum(r.ordered_of_booked for r in rows),
            )
            for (currency, digits, stage), rows in sorted(found.items())
        ]  # fmt: skip


def period_of(name: str, zone: str, now: datetime) -> Period:
    """The month that is named like 2026-11, "" for the one in which `now` is there.

    Raises ValueError, with the reason, for what is no month or no zone.
    """
    try:
        place = ZoneInfo(zone)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"{zone!r} is no time zone: write its IANA name, like Europe/Berlin") from None
    here = now.astimezone(place)
    found = _MONTH.fullmatch(name or f"{here:%Y-%m}")
    if found is None:
        raise ValueError(f"{name!r} is no month: write it like {here:%Y-%m}")
    year, month = int(found["year"]), int(found["month"])
    after = (year + 1, 1) if month == 12 else (year, month + 1)
    return Period(
        name=found[0], zone=zone, since=datetime(year, month, 1, tzinfo=place), until=datetime(*after, 1, tzinfo=place)
    )


def report(tx: ReadTx, period: Period) -> Report:
    """All of it, from one snapshot."""
    where = {"since": period.since, "until": period.until}
    return Report(
        period=period,
        days=[Day(**row._asdict()) for row in tx.all(sql.month_days, **where, zone=period.zone)],
        differences=[_difference(row) for row in tx.all(sql.month_differences, **where)],
        channels=[ChannelUnits(**row._asdict()) for row in tx.all(sql.units_by_channel)],
    )


def _difference(row: Any) -> Difference:
    values = row._asdict()
    return Difference(**{**values, "expected": row.expected["gross"], "actual": row.actual["gross"]})


# --- As a file -------------------------------------------------------------------------------------------------------


def as_csv(found: Report, table: str) -> str:
    """One of the tables as CSV with a heading; amounts with a point. Raises ValueError for no such table."""
    if table not in TABLES:
        raise ValueError(f"there is no table {table!r}; there are {', '.join(TABLES)}")
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([_harmless(cell) for cell in row] for row in rows(found, table))
    return out.getvalue()


def rows(found: Report, table: str) -> Iterator[tuple[object, ...]]:
    """The table, its heading first."""
    if table == "days":
        yield ("day", "time zone", "currency", "stage", "orders", "ordered", "orders booked", "booked", "difference")
        for d in found.days:
            yield (
                d.day, found.period.zone, d.currency, d.stage, d.orders, amount(d.ordered, d.digits), d.booked_orders,
                amount(d.booked, d.digits), amount(d.apart, d.digits),
            )  # fmt: skip
    elif table == "differences":
        yield ("order", "placed at", "stage", "sale", "currency", "expected", "booked", "difference", "accepted")
        for e in found.differences:
            yield (
                e.number, e.placed_at.astimezone(found.period.since.tzinfo).isoformat(timespec="seconds"), e.stage,
                e.sale_number or f"part {e.part}", e.currency, amount(e.expected, e.digits),
                amount(e.actual, e.digits), amount(e.actual - e.expected, e.digits), "yes" if e.accepted else "no",
            )  # fmt: skip
    else:
        yield ("channel", "SKUs", "units that may be sold", "units shown", "SKUs that differ", "too many", "too few")
        for c in found.channels:
            yield c.channel or "no channel", c.skus, c.target, c.shown, c.differing, c.too_many, c.too_few


def amount(minor: int, digits: int) -> Decimal:
    """Minor units as an amount; exact."""
    return Decimal(minor).scaleb(-digits)


def _harmless(cell: object) -> object:
    """A spreadsheet must not take what somebody called an order for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
