"""A stock-out while 20,000 routine differences wait for a budget of 50 writes a second.

The storefront is a simulator in its own process; the order takes the last units on
another channel, so that this one must go to 0.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
import uvloop

from bench.stage import Bench, Figure, service_of, stock
from sellable.app.service import Service
from sellable.runtime.database import Tx
from sellable.runtime.schedule import Loops
from sellable.sandbox.shop import Shop
from sellable.sandbox.shopper import Control
from sellable.simulation.processes import Process
from sellable.stock import demand

WAITING, STOCK, TIMES, BACKLOG_SECONDS = 20_000, 5, 10, 3.0
MADE = "UPDATE entry SET e = %s, q = %s, last_t = %s"
REMOTE = """UPDATE entry e SET remote_id = t.id, version = t.version
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS t (sku, channel, id, version)
    WHERE (e.sku, e.channel) = (t.sku, t.channel)"""
DIRTY = """INSERT INTO dirty (sku, priority, reason, seq, since)
    SELECT sku, 4, 'bench', next_seq(), app_now() FROM (SELECT DISTINCT sku FROM entry) AS t"""


def measure(bench: Bench) -> list[Figure]:
    """With one difference a call, as the budget of 50 writes a second says, and with 25 as shipped."""
    return [_figure(bench, batch) for batch in (1, 25)]


def _figure(bench: Bench, batch: int) -> Figure:
    with bench.database() as url:
        taken, left, written, crashed = uvloop.run(_measure(bench, url, batch))
    found = ", ".join(f"{seconds * 1000:,.0f}" for seconds in sorted(taken))
    calls = "one difference a call" if batch == 1 else f"up to {batch} differences a call"
    return Figure(
        what=f"stock-out behind {WAITING:,} routine differences, {calls}",
        found=f"worst {max(taken):.2f} s",
        wanted="< 2 s" if batch == 1 else "",
        how=f"budget 50 calls/s; from the order's commit to the sibling at 0: {found} ms; {left:,} differences still "
        f"waited at the end, {written:,.0f} writes/s meanwhile, {crashed} crashes of loops",
    )


async def _measure(bench: Bench, url: str, batch: int) -> tuple[list[float], int, float, int]:
    process = Process("commercetools", ["-m", "sellable.sandbox", "commercetools"], bench.folder / "ct.log", {})
    address = await process.start()
    shop = Shop.demo(1, 100)
    service = service_of(bench.settings(shop, ct=address, more=f"write_batch = {batch}"), url, None)
    control = Control(service.outside.client, address)
    loops = Loops(service.clock)
    try:
        await _world(url, control, shop)
        await service.syncer.listen()
        # Supervised as in `sellable run`: a loop that crashes is started again.
        sync = service.syncer
        for number, loop in enumerate((sync.plan, sync.write_lowers, sync.write_lowers, sync.write_raises)):
            loops.add(f"loop {number}", loop)
        loops.start()
        await _planned(url)
        began, before = time.perf_counter(), await _writes(control)
        await asyncio.sleep(BACKLOG_SECONDS)
        taken = [await _stock_out(service, control, f"HOT-{n}") for n in range(TIMES)]
        rate = (await _writes(control) - before) / (time.perf_counter() - began)
        left = await _left(url)
        crashed = sum(life.crashes for life in loops.lives())
    finally:
        await loops.stop()
        await service.outside.client.aclose()
        service.store.close()
        await process.stop()
    return taken, left, rate, crashed


async def _world(url: str, control: Control, shop: Shop) -> None:
    """Half of the routine differences are lowers, half are raises; the SKUs that will sell out are even."""
    hot = [f"HOT-{n}" for n in range(TIMES)]
    routine = [f"SKU-{n:05d}" for n in range(WAITING // 2)]
    await asyncio.to_thread(stock, url, routine, ["south", "north"], ["web-uk", "pickup"], 40)
    await asyncio.to_thread(stock, url, hot, ["south"], ["web-uk"], STOCK, swept=False)
    shown = {("web-uk", "SKU"): 60, ("pickup", "SKU"): 0, ("web-uk", "HOT"): STOCK - 1}
    rows = [
        {"sku": sku, "channel": key, "quantity": shown[key, "SKU"]} for sku in routine for key in ("web-uk", "pickup")
    ]
    rows += [{"sku": sku, "channel": "web-uk", "quantity": shown["web-uk", "HOT"]} for sku in hot]
    await control.load({**shop.commercetools(), "inventory": rows})
    truth = (await control.get("truth"))["projects"]["sandbox-home"]["entries"]
    with psycopg.connect(url, autocommit=True) as connection:
        for (channel, kind), units in shown.items():
            connection.execute(f"{MADE} WHERE channel = %s AND sku LIKE %s", [units, units, 0, channel, f"{kind}%"])
        columns = [[row[name] for row in truth] for name in ("sku", "channel", "id", "version")]
        connection.execute(REMOTE, columns)
        connection.execute(DIRTY)
        connection.execute("ANALYZE")


async def _planned(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            cursor = await connection.execute("SELECT count(*) FROM dirty WHERE reason = 'bench'")
            if (await cursor.fetchone() or (0,))[0] == 0:
                return
            await asyncio.sleep(0.1)


async def _stock_out(service: Service, control: Control, sku: str) -> float:
    """Seconds from the commit of an order that takes the last units to the write that shows 0."""
    await control.news()

    def take(tx: Tx, now: datetime) -> None:
        sold = demand.Sold(
            order_id=sku, line_id="1", sku=sku, label=sku, channel="pickup", units=STOCK, location="south"
        )  # fmt: skip
        demand.capture(tx, [sold], now)

    await service.store.write(take, datetime.now(UTC))
    committed = time.time()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if at := _went_to_zero(await control.news(), sku):
            return at - committed
        await asyncio.sleep(0.02)
    raise AssertionError(f"{sku} did not go to 0 within 30 s")


def _went_to_zero(rows: Sequence[dict[str, object]], sku: str) -> float | None:
    return next((float(str(r["t"])) for r in rows if r.get("sku") == sku and r.get("new") == 0), None)


async def _writes(control: Control) -> int:
    await control.news()
    return control._read


async def _left(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute("SELECT count(*) FROM desired WHERE d <> 0")
        return int((await cursor.fetchone() or (0,))[0])
