"""Two services of real processes on a made-up shop, and shoppers while something troubles them.

Rule: how long anything may take is decided by who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sellable.sandbox.shop import Shop
from sellable.sandbox.shopper import Storefront
from sellable.sandbox.traffic import Tempo, Traffic
from sellable.simulation.demo import STAFF, TEMPO
from sellable.simulation.processes import Stand, stand
from sellable.simulation.rules import Rules
from sellable.simulation.watch import Watch

QUICK_STAFF = {**STAFF, "pick_after_seconds": 20, "ship_after_seconds": 20}
Within = Callable[[Stand, Callable[[], Awaitable[bool]]], Awaitable[bool]]
"""Whether a condition came true in the time there is."""


@asynccontextmanager
async def two_services(
    folder: Path, shop: Shop, speed: float, seed: int, within: Within, *, durable: bool = False
) -> AsyncIterator[tuple[Stand, Watch]]:
    """Two services whose first numbers are right."""
    async with stand(folder, shop, speed, seed=seed, staff=QUICK_STAFF, tempo=TEMPO, durable=durable) as found:
        found.write_settings(found.clock.now().isoformat())
        watch = Watch(found, Rules.of(shop))
        await watch.open()
        await found.start_services(2)

        async def numbered() -> bool:
            return await watch.wrong_now() == 0

        assert await within(found, numbered), f"first numbers: {[s.last_words() for s in found.services]}"
        yield found, watch


@asynccontextmanager
async def trading(found: Stand, watch: Watch, seed: int, orders: float) -> AsyncIterator[Traffic]:
    """Shoppers come, so many a minute, and now and then one cancels."""
    watch.begin()
    shoppers = Storefront(found.http, found.storefront.url, found.shop)
    tempo = Tempo(orders=orders, cancelled=0.1)
    traffic = Traffic(found.shop, shoppers, found.back_office_control, found.clock, seed, tempo)
    stop = asyncio.Event()
    running = asyncio.create_task(traffic.run(stop))
    try:
        yield traffic
    finally:
        stop.set()
        await running
