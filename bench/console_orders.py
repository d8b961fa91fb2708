"""The console's pages of orders, exceptions and settings, at a million orders."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import psycopg

from bench.pages import timed
from bench.stage import Bench, Figure, spread
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.sandbox.shop import Shop

ORDERS, CASES, TIMES = 1_000_000, 5_000, 40
LISTS = ("/orders?", "/exceptions?")
ROWS = (
    """INSERT INTO orders (order_id, number, version, state, stage, stage_since, placed_at, captured_at, captured_seq,
        modified_at, store, country, currency, digits, total, document)
    SELECT 'id-' || n, 'W' || n, 1, 'Open', CASE WHEN n %% 500 = 0 THEN 'held' WHEN n %% 701 = 0 THEN 'waiting'
        WHEN n %% 50 = 1 THEN 'cancelled' WHEN n > %(orders)s - 200 THEN 'exporting' ELSE 'shipped' END,
        at, at, at, n, at, '', 'DE', 'EUR', 2, 11900, '{}'
    FROM generate_series(1, %(orders)s) AS n,
        LATERAL (SELECT app_now() - (%(orders)s - n) * interval '20 seconds' AS at) AS t""",
    """INSERT INTO order_line (order_id, line_id, sku, channel, mode, ordered, shipped)
    SELECT 'id-' || n, 'l', 'SKU-' || n %% 10000, 'web-eu', 'ReserveOnOrder', 1, 1
    FROM generate_series(1, %(orders)s) AS n""",
    """INSERT INTO order_part (order_id, part, location, ref, state, sale_number, draft, expected, actual, at)
    SELECT 'id-' || n, p, 'Berlin', 'shop:id-' || n || ':' || p, 'shipped', 'SO-' || n || '-' || p, '{}',
        '{"net": 10000, "tax": 1900, "gross": 11900}',
        jsonb_build_object('net', 10000, 'tax', 1900, 'gross', CASE WHEN n %% 9999 = 0 THEN 11899 ELSE 11900 END),
        app_now() - (%(orders)s - n) * interval '20 seconds'
    FROM generate_series(1, %(orders)s) AS n, generate_series(1, CASE WHEN n %% 25 = 0 THEN 2 ELSE 1 END) AS p""",
    """INSERT INTO operation (id, system, kind, lane, budget, priority, payload, correlation, state, sends,
        outcome_sends, attempts, due_at, created_at, created_seq, settled_at, settled_seq)
    SELECT 'op-' || n, 'cin7_core', 'sale.create', 'order:id-' || n, 'orders', 1, '{}', 'id-' || n, 'done', 1, 1, 1,
        app_now(), app_now(), n, app_now(), n FROM generate_series(1, %(orders)s) AS n""",
    """INSERT INTO call_log (at, correlation, system, operation, path, status, seconds, request, answer)
    SELECT app_now(), 'id-' || n, 'cin7_core', 'POST sale', 'sale', 200, 0.3, '{"Total": 119}', '{}'
    FROM generate_series(1, %(orders)s) AS n""",
    """INSERT INTO cases (kind, subject, owner, severity, first_at, last_at, title, evidence, next_step)
    SELECT 'drift', 'sku:SKU-' || n, 'ops', 2, app_now(), app_now(), 'A number drifted', '[]', ''
    FROM generate_series(1, %(cases)s) AS n""",
)


def measure(bench: Bench) -> list[Figure]:
    """Each page through the whole application, the database beside it, one at a time."""
    settings = bench.settings(Shop.demo(1, 100))
    with bench.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in ROWS:
                connection.execute(statement, {"orders": ORDERS, "cases": CASES})
            connection.execute("VACUUM ANALYZE")
        store = Store(url, Clock(), threads=2)
        pages = _pages(store.clock.now())
        found = asyncio.run(timed(settings, store, _nothing, pages, TIMES, LISTS))
        store.close()
    return [
        Figure(
            what=f"console: {name}", found=spread(seconds), wanted="worst < 200 ms",
            how=f"{pages[name]}, {TIMES} times, {ORDERS:,} orders with a line, a sale, an operation and a call each",
        )
        for name, seconds in found.items()
    ]  # fmt: skip


async def _nothing() -> dict[str, Any]:
    return {}


def _pages(now: datetime) -> dict[str, str]:
    middle = quote(f"{(now - timedelta(seconds=20 * ORDERS / 2)).isoformat()}~id-1")
    return {
        "orders, newest": "/orders?show=all",
        "orders, far back": f"/orders?after={middle}",
        "orders held, longest first": "/orders?show=held",
        "orders cancelled": "/orders?show=cancelled",
        "orders split": "/orders?show=split",
        "orders by number": "/orders?q=W99",
        "order by sale": "/orders?q=SO-777-1",
        "one order": "/orders/id-777777",
        f"{CASES:,} exceptions": "/exceptions?state=live",
        "one exception": "/exceptions/C-000777",
        "a month's report": "/reports",
        "settings": "/settings",
    }
