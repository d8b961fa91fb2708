"""Orders of three lines accepted, decided and committed, beside Node-RED forwarding the same orders."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench import node_red, orders_made
from bench.load import Caller, post
from bench.stage import PLENTY, Bench, Figure, Skipped, Storefront, service_of, stock
from sellable.app.service import Service
from sellable.runtime import inbox
from sellable.runtime.database import ReadTx
from sellable.runtime.queries import Query
from sellable.sandbox.shop import Shop
from sellable.simulation.processes import Process

ROUNDS, ORDERS, PUTTERS, SECONDS, CONNECTIONS = 3, 400, 8, 3.0, 32
STAGES = Query(package="bench", name="stages", purpose="", text="SELECT stage, count(*) FROM orders GROUP BY stage")


def measure(bench: Bench) -> list[Figure]:
    """Turns of ours and theirs, one after the other."""
    with bench.database() as url:
        return uvloop.run(_measure(bench, url))


async def _measure(bench: Bench, url: str) -> list[Figure]:
    shop = Shop.demo(1, 500)
    storefront = Storefront(shop)
    skus = [item.sku for item in shop.items if not item.known_as]
    stock(url, skus, [p.name for p in shop.places if p.sellable], [c.key for c in shop.channels], PLENTY)
    service = service_of(bench.settings(shop), url, storefront.client)
    await service.outside.storefront.learn(lane="orders")
    fresh = orders_made.copies(await orders_made.patterns(storefront, shop))
    await _ours(service, list(itertools.islice(fresh, 50)))
    ours: list[float] = []
    theirs: list[float] = []
    note = ""
    try:
        home = node_red.installed()
    except Skipped as skipped:
        home, note = None, str(skipped)
    for _ in range(ROUNDS):
        ours.append(await _ours(service, list(itertools.islice(fresh, ORDERS))))
        if home is not None:
            theirs.append(await _theirs(bench, home, [body for _, _, body in itertools.islice(fresh, 200)]))
    stages = {row.stage: row.count for row in await service.store.read(_stages)}
    service.store.close()
    rate = statistics.median(ours)
    found = [
        Figure(
            what="orders accepted, decided and committed",
            found=f"{rate:,.0f} orders/s",
            how=f"3 lines, one commit to accept, batches of {inbox.BATCH} to decide, one process, {PUTTERS} at once; "
            f"median of {ROUNDS} turns of {ORDERS} orders; they ended as {stages}",
        )
    ]
    if not theirs or home is None:
        return [*found, Figure(what="beside Node-RED", found="not measured", how=note)]
    forwarded = statistics.median(theirs)
    return [
        *found,
        Figure(
            what="beside Node-RED, not durable, forwarding",
            found=f"{forwarded:,.0f} orders/s: ours is {rate / forwarded:.2f} times that",
            wanted=">= 10 times",
            how=f"Node-RED {node_red.version(home)}, http in, function, http request, http response; "
            f"{CONNECTIONS} connections, turns between ours",
        ),
    ]


async def _ours(service: Service, made: Sequence[tuple[str, str, bytes]]) -> float:
    """Orders a second from the first accepted to the last decided."""
    left = iter(made)
    arriving = True

    async def accept() -> None:
        for message, order, body in left:
            arrival = inbox.Arrival(
                source="commercetools", message_id=message, kind="message", lane=f"order:{order}", body=body,
                meta={"type": "OrderCreated", "resource": order, "of": "order"},
            )  # fmt: skip
            await service.store.write(inbox.put, [arrival], service.clock.now())

    async def decide() -> None:
        while arriving or await service.inbox.work_once():
            if arriving and not await service.inbox.work_once():
                await asyncio.sleep(0.002)

    began = time.perf_counter()
    deciding = asyncio.create_task(decide())
    await asyncio.gather(*(accept() for _ in range(PUTTERS)))
    arriving = False
    await deciding
    return len(made) / (time.perf_counter() - began)


async def _theirs(bench: Bench, home: Path, bodies: Sequence[bytes]) -> float:
    folder = bench.folder / f"turn-{time.time_ns()}"
    folder.mkdir()
    sink = Process("sink", ["-m", "bench.sink"], folder / "sink.log", {})
    try:
        async with node_red.running(home, folder, await sink.start()) as address:
            requests = itertools.cycle([post("/orders", body, {}) for body in bodies])
            caller = await Caller(address).open(CONNECTIONS)
            await caller.at_most(lambda: next(requests), 1.0, CONNECTIONS)
            rate = await caller.at_most(lambda: next(requests), SECONDS, CONNECTIONS)
            caller.close()
            if caller.failed:
                raise Skipped(f"Node-RED refused {caller.failed} orders")
            return rate
    finally:
        await sink.stop()


def _stages(tx: ReadTx) -> list[Any]:
    return tx.all(STAGES)
