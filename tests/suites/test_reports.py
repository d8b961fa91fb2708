"""What finance closes a month with: days of a zone, exact sums, sales that differ, units on channels; and as a file."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from tests.suites.console_web import ODD, Web
from tests.suites.orders_life import query

from sellable.reconcile import month
from sellable.reconcile.month import period_of
from sellable.runtime.database import Store

ORDER = query(
    "INSERT INTO orders (order_id, number, version, state, stage, stage_since, placed_at, captured_at, captured_seq,"
    " modified_at, store, country, currency, digits, total, document)"
    " VALUES (%(id)s, %(number)s, 1, 'Open', %(stage)s, %(at)s, %(at)s, %(at)s, nextval('causal_seq'), %(at)s, '',"
    " 'DE', %(currency)s, %(digits)s, %(total)s, '{}')"
)
PART = query(
    "INSERT INTO order_part (order_id, part, location, ref, state, sale_number, draft, expected, actual, accepted, at)"
    " VALUES (%(id)s, %(part)s, 'Berlin', %(id)s || ':' || %(part)s, %(state)s, 'SO-1', '{}',"
    " jsonb_build_object('net', 0, 'tax', 0, 'gross', %(expected)s::bigint),"
    " CASE WHEN %(actual)s::bigint IS NOT NULL THEN"
    " jsonb_build_object('net', 0, 'tax', 0, 'gross', %(actual)s::bigint) END,"
    " CASE WHEN %(accepted)s THEN '{}'::jsonb END, app_now())"
)
UNITS = query(
    "WITH e AS (INSERT INTO entry (sku, channel, remote_id, version, e, q, q_at, q_seq, baseline_at)"
    " SELECT sku, 'web-eu', sku, 1, 0, 0, app_now(), 1, app_now() FROM unnest(%(skus)s::text[]) AS t (sku))"
    " INSERT INTO desired (sku, channel, t, d, priority, reason, changed_seq, since, due_at)"
    " SELECT sku, 'web-eu', t, d, 3, 'test', 1, app_now(), app_now()"
    " FROM unnest(%(skus)s::text[], %(ts)s::bigint[], %(ds)s::bigint[]) AS r (sku, t, d)"
)


def order(
    store: Store, order_id: str, at: str, total: int, *sales: tuple[int, int | None], currency: str = "EUR",
    digits: int = 2, stage: str = "exported", accepted: bool = False, state: str = "authorised",
) -> None:  # fmt: skip
    """An order placed at an instant, with (expected, booked) of each sale."""
    placed = datetime.fromisoformat(at)

    def write(tx: Any) -> None:
        tx.run(
            ORDER, id=order_id, number=f"N-{order_id}", stage=stage, at=placed, currency=currency, digits=digits,
            total=total,
        )  # fmt: skip
        for part, (expected, actual) in enumerate(sales, 1):
            tx.run(
                PART, id=order_id, part=part, state=state, expected=expected, actual=actual, accepted=accepted
            )  # fmt: skip

    store.write_now(write)


def told(store: Store, name: str = "2026-03", zone: str = "Europe/Berlin") -> month.Report:
    return store.read_now(month.report, period_of(name, zone, datetime(2026, 3, 9, tzinfo=UTC)))


def test_a_day_is_a_day_of_the_zone_also_when_the_clock_changes(store: Store) -> None:
    order(store, "a", "2026-02-28T22:59:59+00:00", 1)
    order(store, "b", "2026-02-28T23:00:00+00:00", 2)
    order(store, "c", "2026-03-31T21:59:59+00:00", 4)
    order(store, "d", "2026-03-31T22:00:00+00:00", 8)
    assert [(f"{d.day}", d.ordered) for d in told(store).days] == [("2026-03-01", 2), ("2026-03-31", 4)]
    assert [(f"{d.day}", d.ordered) for d in told(store, zone="UTC").days] == [("2026-03-31", 12)]
    assert period_of("2026-12", "UTC", datetime.now(UTC)).until == datetime(2027, 1, 1, tzinfo=UTC)
    berlin = period_of("2026-03", "Europe/Berlin", datetime.now(UTC))
    assert berlin.until.astimezone(UTC) - berlin.since.astimezone(UTC) == timedelta(days=31, hours=-1)


def test_sums_are_exact_for_each_currency_and_stage(store: Store) -> None:
    order(store, "a", "2026-03-02T10:00:00+00:00", 1010, (1010, 1010))
    order(store, "b", "2026-03-02T11:00:00+00:00", 2, (1, 1), (1, 2))
    order(store, "c", "2026-03-03T11:00:00+00:00", 500, (500, None))
    order(store, "d", "2026-03-03T11:00:00+00:00", 7, currency="JPY", digits=0, stage="held")
    order(store, "e", "2026-03-03T12:00:00+00:00", 9, (9, 8), state="voided")
    found = told(store)
    sums = [(s.currency, s.stage, s.orders, s.ordered, s.booked_orders, s.booked, s.apart) for s in found.sums()]
    assert sums == [("EUR", "exported", 4, 1521, 2, 1013, 1), ("JPY", "held", 1, 7, 0, 0, 0)]
    assert [(d.number, d.part, d.expected, d.actual) for d in found.differences] == [("N-b", 2, 1, 2)]


def test_what_channels_show_is_counted_both_ways(store: Store) -> None:
    store.write_now(lambda tx: tx.run(UNITS, skus=["A", "B", "C"], ts=[5, 0, 9], ds=[0, -2, 3]))
    (found,) = told(store).channels
    assert (found.skus, found.target, found.shown, found.differing) == (3, 14, 13, 2)
    assert (found.too_many, found.too_few) == (2, 3)


@pytest.mark.parametrize("name", ["2026-13", "26-01", "2026-1", "2026-01-01", "٢٠٢٦-٠١", "'", "9999-12"])
def test_what_is_no_month_is_told(name: str) -> None:
    with pytest.raises(ValueError, match="is no month"):
        period_of(name, "UTC", datetime(2026, 3, 9, tzinfo=UTC))


@pytest.mark.parametrize("zone", ["Berlin", "../etc/passwd", "/etc/passwd", "", "x" * 500, "Europe/Ber\x00lin"])
def test_what_is_no_zone_is_told(zone: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        period_of("2026-03", zone, datetime(2026, 3, 9, tzinfo=UTC))


def test_the_page_says_the_month_and_what_differs(store: Store) -> None:
    order(store, "a", "2026-03-02T10:00:00+00:00", 123456, (123456, 123455))
    order(store, "b", "2026-03-02T10:00:00+00:00", 100, (100, 90), accepted=True)
    web = Web(store, "viewer")
    html = web.get("/reports?month=2026-03&zone=Europe/Berlin")
    assert "2026-03: 2 orders, 1,235.56 EUR; 1 sale differs" in html
    assert "by a person" in html
    assert "-0.01 EUR" in html
    assert "No order was placed in 2020-01" in web.get("/reports?month=2020-01")
    for bad in ("month=x", "zone=Nowhere", "month=2026-00&zone=UTC", "zone=%00"):
        assert "is no " in web.get(f"/reports?{bad}", 422)
    assert "<script>alert" not in web.get("/reports?month=<script>alert(1)</script>", 422)


def test_a_page_says_when_it_was_counted_and_a_file_is_counted_anew(store: Store) -> None:
    order(store, "a", "2026-03-02T10:00:00+00:00", 100, (100, 100))
    web = Web(store, "viewer")

    async def scene() -> tuple[str, str, str]:
        path = "month=2026-03&zone=Europe/Berlin"
        first = (await web.asked("GET", f"/reports?{path}")).text
        await asyncio.to_thread(order, store, "b", "2026-03-02T10:00:00+00:00", 100, (100, 90))
        again = (await web.asked("GET", f"/reports?{path}")).text
        return first, again, (await web.asked("GET", f"/reports/differences.csv?{path}")).text

    first, again, file = asyncio.run(scene())
    said = re.findall(r"Counted at \d\d:\d\d:\d\d", first)
    assert len(said) == 1
    assert said[0] in again
    assert "2026-03: 1 order," in again
    assert "N-b" in file


def test_the_sales_that_differ_are_found_without_looking_at_the_others(store: Store) -> None:
    """However many sales there are: the index holds these alone, and in the words of the statement."""
    order(store, "a", "2026-03-02T10:00:00+00:00", 100, (100, 90), (5, 5))
    where = {"since": datetime(2026, 3, 1, tzinfo=UTC), "until": datetime(2026, 4, 1, tzinfo=UTC)}

    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        rows = connection.execute(f"EXPLAIN {month.sql.month_differences.text}".encode(), where).fetchall()
        assert "order_part_differs" in "\n".join(row[0] for row in rows)


def test_each_table_is_a_file_that_a_spreadsheet_takes_as_it_is(store: Store) -> None:
    order(store, '=HYPERLINK("x")', "2026-03-02T10:00:00+00:00", 100, (100, 99))
    order(store, ODD, "2026-03-02T10:00:00+00:00", 3)
    store.write_now(lambda tx: tx.run(query("UPDATE orders SET number = order_id")))
    web = Web(store, "viewer")
    answer = web.ask("GET", "/reports/differences.csv?month=2026-03&zone=Europe/Berlin")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="sellable-differences-2026-03.csv"'
    heading, row = csv.reader(io.StringIO(answer.text, newline=""))
    assert heading[0] == "order"
    assert row == [
        '\'=HYPERLINK("x")', "2026-03-02T11:00:00+01:00", "exported", "SO-1", "EUR", "1.00", "0.99", "-0.01", "no",
    ]  # fmt: skip
    days = list(csv.reader(io.StringIO(web.ask("GET", "/reports/days.csv?month=2026-03").text, newline="")))
    assert days[1][2:] == ["EUR", "exported", "2", "1.03", "1", "0.99", "-0.01"]
    assert len(web.ask("GET", "/reports/channels.csv").text.splitlines()) == 1
    assert web.ask("GET", "/reports/secrets.csv").status_code == 422
    with pytest.raises(ValueError, match="there is no table"):
        month.as_csv(told(store), "secrets")
