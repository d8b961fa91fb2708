"""Durable accept of webhooks against the same server answering without storing."""

from __future__ import annotations

import itertools

import uvloop

from bench import orders_made
from bench.load import Caller, in_turns, post
from bench.stage import SECRET, TOKEN, Bench, Figure, Storefront, spread
from sellable.sandbox.shop import Shop
from sellable.simulation.processes import Process

ROUNDS, SECONDS, CONNECTIONS = 3, 3.0, 32


def measure(bench: Bench) -> list[Figure]:
    """Two real uvicorn processes, loaded in turns so that both meet the same machine."""
    with bench.database() as url:
        return uvloop.run(_measure(bench, url))


async def _measure(bench: Bench, url: str) -> list[Figure]:
    shop = Shop.demo(1, 200)
    bench.settings(shop)
    config = max(bench.folder.glob("settings-*.toml"))
    bodies = await orders_made.patterns(Storefront(shop), shop)
    made = itertools.islice(orders_made.copies(bodies), 40_000)
    path, headers = f"/webhooks/commercetools/{TOKEN}", {"authorization": f"Bearer {SECRET}"}
    ready = [post(path, orders_made.notification(body), headers) for _, _, body in made]
    fresh = itertools.cycle(ready)
    servers = [
        Process(mode, ["-m", "bench.webhook_server", str(config), url, mode], bench.folder / f"{mode}.log", {})
        for mode in ("store", "answer")
    ]
    try:
        store, answer = [await Caller(await server.start()).open(CONNECTIONS * 2) for server in servers]
        await answer.at_most(lambda: next(fresh), 1.0, CONNECTIONS)
        await store.at_most(lambda: next(fresh), 1.0, CONNECTIONS)
        stored, bare, share = await in_turns(
            ROUNDS,
            lambda: store.at_most(lambda: next(fresh), SECONDS, CONNECTIONS),
            lambda: answer.at_most(lambda: next(fresh), SECONDS, CONNECTIONS),
        )
        taken = await store.steadily(lambda: next(fresh), 300, 10)
        failed = store.failed + answer.failed
    finally:
        for server in servers:
            await server.stop()
    size = len(ready[0]) / 1000
    return [
        Figure(
            what="durable webhook accept at 300/s", found=spread(taken), wanted="p99 < 50 ms",
            how=f"order messages of {size:.1f} kB, one commit (fsync) each, 10 s, latency from the due time, "
            f"{failed} refused",
        ),
        Figure(
            what="most accepts a second", found=f"{stored:,.0f}/s stored, {bare:,.0f}/s answered only: {share:.0%}",
            wanted=">= 50 %", how=f"{CONNECTIONS} connections, median of {ROUNDS} turns of {SECONDS:.0f} s each",
        ),
    ]  # fmt: skip
