"""From an order to the right number on the sibling channel: real processes, real time, 30 orders a second.

The same service twice: hearing of orders by its poll every 2 s, then by messages pushed to its webhook as well.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg
import uvloop

from bench.stage import HOOK, MARK, SECRET, TOKEN, Bench, Figure, Skipped, quantile, spread
from sellable.sandbox.shop import SHELF, Shop
from sellable.sandbox.shopper import Basket, BasketLine, Storefront
from sellable.simulation.processes import Stand, stand, until

SKUS, RATE, SECONDS, UNITS, SETTLE_SECONDS, CALLS = 150, 30, 12.0, 5_000, 6.0, 200
SOLD_ON, SIBLING = "web-eu", "web-uk"
BASELINE_SECONDS_MAX = 120.0
ARRIVED = """SELECT meta ->> 'resource', min(received_at), min(settled_at) FROM inbox
    WHERE kind = 'message' AND meta ->> 'type' = 'OrderCreated' AND state = 'done' GROUP BY 1"""
INTENDED = """SELECT payload ->> 'sku', created_at FROM operation
    WHERE kind = 'stock.write' AND payload ->> 'channel' = %s ORDER BY created_at"""


@dataclass(frozen=True)
class Way:
    """Instants of one order, unix seconds: accepted by the storefront, stored, taken up, write intended, applied."""

    accepted: float
    stored: float
    taken: float
    intended: float
    applied: float


def measure(bench: Bench) -> list[Figure]:
    """Every order has one line, and all of it ships from a location that the sibling sells too."""
    shop = Shop.demo(1, SKUS, bundles=0)
    goods = [item.sku for item in shop.items if not item.known_as]
    shop = replace(shop, stock=tuple((sku, "south", SHELF, UNITS) for sku in goods))
    with bench.database() as url:
        polled, pushed = uvloop.run(_measure(bench, url, shop))
    return [_figure("by poll", polled), _figure("by webhook", pushed)]


def _figure(how: str, ways: Sequence[Way]) -> Figure:
    hops = {
        "to the inbox": [w.stored - w.accepted for w in ways],
        "waiting there": [w.taken - w.stored for w in ways],
        "capture, plan, budget": [w.intended - w.taken for w in ways],
        "pick, send, apply": [w.applied - w.intended for w in ways],
    }
    parts = "; ".join(f"{name} {_hop(seconds)}" for name, seconds in hops.items())
    poll = " (2 s between polls included)" if how == "by poll" else ""
    return Figure(
        what=f"order to right number on the sibling, {how}",
        found=spread([w.applied - w.accepted for w in ways]),
        wanted="p99 < 100 ms" if how == "by webhook" else "",
        how=f"{len(ways)} orders at {RATE}/s{poll}, budget {CALLS} calls/s, p50/p99 by hop: {parts}",
    )


def _hop(seconds: Sequence[float]) -> str:
    return f"{quantile(seconds, 0.5) * 1000:.0f}/{quantile(seconds, 0.99) * 1000:.0f} ms"


async def _measure(bench: Bench, url: str, shop: Shop) -> tuple[list[Way], list[Way]]:
    folder = bench.folder / "storefront"
    folder.mkdir()
    async with stand(folder, shop, 1.0, seed=1, database_url=url) as found:
        # The database is known by its address; the stand would start one of its own without durability.
        found.write_settings((found.clock.now() - timedelta(seconds=5)).isoformat())
        text = found.config.read_text("utf-8")
        found.config.write_text(text.replace(MARK, "\n".join((MARK, HOOK, f"calls_per_second = {CALLS}"))), "utf-8")
        await found.start_services(1)
        await _raised(found, shop)
        polled = await _trade(found, url, shop, "P")
        await _push(found, shop)
        return polled, await _trade(found, url, shop, "W")


async def _raised(found: Stand, shop: Shop) -> None:
    async def shown() -> bool:
        entries = (await found.storefront_control.get("truth"))["projects"][shop.project]["entries"]
        return all(row["visible"] > 0 for row in entries if row["channel"] in (SOLD_ON, SIBLING))

    if not await until(shown, BASELINE_SECONDS_MAX, every=1.0):
        raise Skipped(f"the first numbers were not all shown within {BASELINE_SECONDS_MAX:.0f} s")


async def _push(found: Stand, shop: Shop) -> None:
    """The simulator posts messages about orders to our webhook, as a merchant's forwarder would."""
    draft = {"key": "bench", "messages": [{"resourceTypeId": "order"}], "destination": {"type": "SQS"}}
    await found.storefront_control.load({"project": shop.project, "currency": shop.currency, "subscriptions": [draft]})
    address = f"{found.services[0].url}/webhooks/commercetools/{TOKEN}"
    delivery = {"subscription_key": "bench", "url": address, "headers": {"authorization": f"Bearer {SECRET}"}}
    await found.storefront_control.act(deliver=delivery)


async def _trade(found: Stand, url: str, shop: Shop, name: str) -> list[Way]:
    """Orders at a steady rate; the way of each once everything was written."""
    control = found.storefront_control
    await control.news()
    shopper = Storefront(found.http, found.storefront.url, shop)
    skus = itertools.cycle(item.sku for item in shop.items if not item.known_as)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for n in range(round(RATE * SECONDS)):
            await asyncio.sleep(max(0.0, began + n / RATE - time.perf_counter()))
            line = BasketLine(sku=next(skus), quantity=1)
            group.create_task(shopper.order(Basket(number=f"{name}-{n}", channel=SOLD_ON, country="DE", lines=(line,))))
    await asyncio.sleep(SETTLE_SECONDS)
    return await asyncio.to_thread(_ways, await control.news(), url)


def _ways(journal: Sequence[dict[str, Any]], url: str) -> list[Way]:
    with psycopg.connect(url) as connection:
        arrived = {order: (stored, taken) for order, stored, taken in connection.execute(ARRIVED)}
        intended: defaultdict[str, list[float]] = defaultdict(list)
        for sku, at in connection.execute(INTENDED, [SIBLING]):
            intended[sku].append(at.timestamp())
    written: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for row in journal:
        if row["what"] == "entry_written" and row["channel"] == SIBLING:
            written[row["sku"]].append((row["t"], row["old"] - row["new"]))
    ways: list[Way] = []
    sold: defaultdict[str, int] = defaultdict(int)
    for row in journal:
        if row["what"] == "order_accepted" and row["order"] in arrived:
            sku = row["lines"][0]["sku"]
            sold[sku] += 1
            applied = _covered(written[sku], sold[sku])
            if applied is not None:
                stored, taken = (at.timestamp() for at in arrived[row["order"]])
                before = max(at for at in intended[sku] if at <= applied)
                ways.append(Way(row["t"], stored, taken, before, applied))
    if len(ways) < RATE * SECONDS * 0.95:
        raise Skipped(f"only {len(ways)} of {RATE * SECONDS:.0f} orders reached the sibling in {SETTLE_SECONDS:.0f} s")
    return ways


def _covered(writes: Sequence[tuple[float, int]], units: int) -> float | None:
    """When the sibling had come down by so many units."""
    lowered = 0
    for at, by in writes:
        lowered += by
        if lowered >= units:
            return at
    return None
