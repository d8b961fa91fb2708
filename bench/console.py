"""What a page of the console takes, with 100,000 SKUs on two channels behind it and an hour of trade."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx2
import psycopg

from bench.stage import Bench, Figure, spread, stock
from sellable.app import status
from sellable.app.console import console_of
from sellable.config.settings import Settings
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.sandbox.shop import Shop
from sellable.web.console.doors import OpenToReaders
from sellable.web.server import Face, application

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
        try:
            taken = asyncio.run(_timed(_face(store, settings), pages))
        finally:
            store.close()
    return [
        Figure(
            what=f"console: {name}", found=spread(seconds), wanted=f"p99 < {LIMIT_MS} ms",
            how=f"{SKUS:,} SKUs, 20,000 writes and 3,600 orders in the hour; {TIMES} times, one at a time, in process",
        )
        for name, seconds in taken.items()
    ]  # fmt: skip


def _face(store: Store, settings: Settings) -> Face:
    clock = Clock()

    async def overview() -> dict[str, Any]:
        return await store.read(status.overview, clock.now())

    async def ready() -> bool:
        return True

    console = console_of(settings, store, clock, OpenToReaders(), overview)
    return Face(webhooks={}, status=overview, ready=ready, alive=list, console=console)


async def _timed(face: Face, pages: dict[str, str]) -> dict[str, list[float]]:
    transport = httpx2.ASGITransport(application(face))
    async with httpx2.AsyncClient(transport=transport, base_url="http://bench.test") as client:
        found: dict[str, list[float]] = {}
        for name, path in pages.items():
            for tried in range(TIMES + 1):
                began = time.perf_counter()
                answer = await client.get(path)
                if answer.status_code not in (200, 303):
                    raise RuntimeError(f"{path} answered {answer.status_code}")
                if tried:
                    found.setdefault(name, []).append(time.perf_counter() - began)
        return found
