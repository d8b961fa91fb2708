"""What a page of the console takes, with 100,000 SKUs on two channels behind it and an hour of trade."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from bench.pages import timed
from bench.stage import Bench, Figure, spread, stock
from sellable.app import status
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.sandbox.shop import Shop

SKUS, TIMES, LIMIT_MS = 100_000, 20, 200
HOUR = (
    """INSERT INTO desired (sku, channel, t, low_t, d, priority, reason, changed_seq, since, due_at)
    SELECT sku, channel, n %% 40, n %% 40, CASE WHEN n %% 500 = 0 THEN -1 ELSE 0 END, 2, 'bench', 1,
        app_now(), app_now()
    FROM (SELECT sku, channel, row_number() OVER (ORDER BY sku) AS n FROM entry) AS e
    WHERE %(skus)s::text[] IS NOT NULL""",
    """INSERT INTO demand (order_id, line_id, sku, slot, label, channel, location, quantity, open_units, at)
    SELECT 'o' || n, 'l', sku, 0, 'N' || n, 'web-eu', NULL, 1, 1, app_now()
    FROM unnest((%(skus)s::text[])[:2000]) WITH ORDINALITY AS t (sku, n)""",
    """INSERT INTO operation (id, system, kind, lane, budget, priority, payload, state, sends, outcome_sends, due_at,
        created_at, created_seq, settled_at, settled_seq, result)
    SELECT 'op' || n, 'commercetools', 'stock.write', 'l' || n, 'writes', 1,
        jsonb_build_object('sku', sku, 'channel', 'web-eu', 'e', 4, 't', 3), 'done', 1, 1, at, at, next_seq(),
        at + interval '0.4 seconds', next_seq(), '{}'
    FROM (SELECT sku, n, app_now() - n * interval '0.18 seconds' AS at
        FROM unnest((%(skus)s::text[])[:20000]) WITH ORDINALITY AS t (sku, n)) AS w""",
    """INSERT INTO orders (order_id, number, version, state, stage, stage_since, placed_at, captured_at, captured_seq,
        modified_at, store, country, currency, digits, total, document)
    SELECT 'o' || n, 'N' || n, 1, 'Open', 'exported', at, at, at, n, at, '', 'DE', 'EUR', 2, 1, '{}'
    FROM (SELECT n, app_now() - n * interval '1 second' AS at FROM generate_series(1, 50000) AS n) AS o
    WHERE %(skus)s::text[] IS NOT NULL""",
    """INSERT INTO order_event (order_id, at, seq, what, detail)
    SELECT order_id, captured_at, captured_seq, 'captured', '{}' FROM orders WHERE %(skus)s::text[] IS NOT NULL""",
)


def measure(bench: Bench) -> list[Figure]:
    """Each page asked for in process, one at a time: the database, the numbers, the page."""
    shop = Shop.demo(1, 200)
    settings = bench.settings(shop)
    skus = [f"SKU-{n:06}" for n in range(SKUS)]
    pages = {
        "overview": "/", "stock": "/stock", "stock, deep in the list": f"/stock?after={skus[SKUS - 1000]}",
        "stock, out of stock": "/stock?show=out", "stock, low": "/stock?show=low",
        "stock, held back": "/stock?show=held",
        "stock, differing": "/stock?show=differing", "stock, in flight": "/stock?show=in-flight",
        "stock, a word nobody has": "/stock?q=nobody", "one SKU": f"/stock/{skus[7]}", "vendors": "/vendors",
        "search, exact": f"/search?q={skus[99]}", "search, nothing": "/search?q=nobody",
    }  # fmt: skip
    with bench.database() as url:
        stock(url, skus, [p.name for p in shop.places], [c.key for c in shop.channels][:2], 10)
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in HOUR:
                connection.execute(statement, {"skus": skus})
            connection.execute("VACUUM ANALYZE")
        store = Store(url, Clock())

        async def overview() -> dict[str, Any]:
            return await store.read(status.overview, store.clock.now())

        try:
            taken = asyncio.run(timed(settings, store, overview, pages, TIMES))
        finally:
            store.close()
    return [
        Figure(
            what=f"console: {name}", found=spread(seconds), wanted=f"p99 < {LIMIT_MS} ms",
            how=f"{SKUS:,} SKUs, 20,000 writes and 3,600 orders in the hour; {TIMES} times, one at a time, in process",
        )
        for name, seconds in taken.items()
    ]  # fmt: skip
