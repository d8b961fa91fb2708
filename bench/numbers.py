"""What one number costs: computed, asked for by twenty, explained."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from bench.stage import Bench, Figure, spread, stock
from sellable.app import answers
from sellable.app.layout import layout_of
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.sandbox.shop import Shop, dice
from sellable.stock import numbers
from sellable.stock.availability import Layout, target

SKUS, BATCH, TIMES = 10_000, 20, 300
DEMAND = """INSERT INTO demand (order_id, line_id, sku, slot, label, channel, location, quantity, open_units, at)
    SELECT 'o' || n, 'l', sku, 0, 'N' || n, %(channel)s, %(location)s, 1, 1, app_now()
    FROM unnest(%(skus)s::text[]) AS t (sku), generate_series(1, 3) AS n"""


def measure(bench: Bench) -> list[Figure]:
    """10,000 SKUs on three channels, three orders in flight on each."""
    shop = Shop.demo(1, SKUS)
    settings = bench.settings(shop)
    layout = layout_of(settings)
    skus = [item.sku for item in shop.items if not item.recipe and not item.known_as]
    die = dice(1, "numbers")
    with bench.database() as url:
        stock(url, skus, [p.name for p in shop.places], [c.key for c in shop.channels], 10)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(DEMAND, {"skus": skus, "channel": "web-eu", "location": shop.places[0].name})
            connection.execute("ANALYZE demand")
        store, now = Store(url, Clock(), threads=1), datetime.now(UTC)
        twenty = _timed(lambda: store.read_now(numbers.compute, die.sample(skus, BATCH), layout, now))
        explained = _timed(lambda: store.read_now(answers.explain, settings, die.choice(skus), None, None, now))
        facts = store.read_now(numbers.facts_of, skus[:500], now)
        store.close()
    pure = _pure(layout, facts)
    return [
        Figure(
            what="one number, pure",
            found=f"{pure * 1e6:,.0f} µs",
            how="target() with its explanation, 3 orders in flight",
        ),
        Figure(
            what=f"numbers of {BATCH} SKUs on 3 channels", found=spread(twenty), wanted="p99 < 20 ms",
            how=f"one read transaction from {SKUS:,} SKUs, {TIMES} times, one at a time",
        ),
        Figure(
            what="explain a SKU", found=spread(explained), how=f"every term and the newest facts, {TIMES} times",
        ),
    ]  # fmt: skip


def _timed(call: Callable[[], object]) -> list[float]:
    call()
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return taken


def _pure(layout: Layout, facts: dict[str, numbers.SkuFacts]) -> float:
    began, count = time.perf_counter(), 0
    for _ in range(10):
        for sku in facts:
            for channel in layout.channels:
                target(sku, channel, facts, None, layout)
                count += 1
    return (time.perf_counter() - began) / count
