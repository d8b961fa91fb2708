"""Real processes on one accelerated clock, killed and restarted under traffic, with the database taken away too.

Rule: judged by the oracle from outside. The gate is short; KILLS=50 makes a soak of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sellable.sandbox.shop import Shop
from sellable.sandbox.shopper import Storefront
from sellable.sandbox.traffic import Tempo, Traffic
from sellable.simulation.demo import COMPUTING_SECONDS, STAFF, TEMPO, declared_for, problems
from sellable.simulation.oracle import judge
from sellable.simulation.processes import Process, Stand, stand, until
from sellable.simulation.rules import Rules
from sellable.simulation.watch import Rest, Watch

SPEED = 30.0
SEED = 5
KILLS = int(os.environ.get("KILLS", "2"))
READY_SECONDS_MAX = 5.0
STOP_SECONDS_MAX = 8.0
DATABASE_AWAY_SECONDS = 3.0
WAITING = ("waiting", "held", "exporting")
QUIET_STAFF = {**STAFF, "pick_after_seconds": 60, "ship_after_seconds": 60}


@asynccontextmanager
async def two_services(folder: Path) -> AsyncIterator[tuple[Stand, Watch]]:
    """Two services whose first numbers are right."""
    shop = Shop.demo(SEED, 20, 2)
    async with stand(folder, shop, SPEED, seed=SEED, staff=QUIET_STAFF, tempo=TEMPO) as found:
        found.write_settings(found.clock.now().isoformat())
        watch = Watch(found, Rules.of(shop))
        await watch.open()
        await found.start_services(2)

        async def numbered() -> bool:
            return await watch.wrong_now() == 0

        assert await until(numbered, 30.0), f"first numbers: {[s.last_words() for s in found.services]}"
        yield found, watch


async def trade(found: Stand, watch: Watch, trouble: Callable[[], Awaitable[None]]) -> None:
    """Traffic for as long as the trouble lasts; afterwards everything must come to rest and be right."""
    watch.begin()
    storefront = Storefront(found.http, found.storefront.url, found.shop)
    tempo = Tempo(orders=4.0, cancelled=0.1)
    traffic = Traffic(found.shop, storefront, found.back_office_control, found.clock, SEED, tempo)
    stop = asyncio.Event()
    trading = asyncio.create_task(traffic.run(stop))
    try:
        await trouble()
    finally:
        stop.set()
        await trading
    rest = Rest(watch, 20.0)
    settled = await until(rest.reached, 30.0 + KILLS * 5)
    status, evidence = await found.status(), await watch.close()
    verdict = judge(evidence, watch.rules, declared_for(SPEED, COMPUTING_SECONDS))
    waiting = sum(status["orders"].get(stage, {}).get("count", 0) for stage in WAITING)
    assert settled, f"{rest.what}; {status}"
    assert traffic.counts["order"] or verdict.tie.captured
    # What was oversold while nobody was there to know is not judged here; everything else is.
    assert [p for p in problems(verdict, waiting) if "oversold" not in p] == []


async def killed(found: Stand, die: random.Random) -> list[float]:
    """Kill -9 one or both again and again, the last time both; seconds until each was ready again."""
    one, two = found.services
    ready = []
    for victims in [*die.choices([[one], [two], [one, two]], k=KILLS - 1), [one, two]]:
        # The moment is the dice's; there is no signal to wait for.
        await asyncio.sleep(die.uniform(0.3, 1.2))
        await asyncio.gather(*(service.kill() for service in victims))
        await asyncio.gather(*(service.start() for service in victims))
        ready += [service.seconds_to_ready for service in victims]
    return ready


async def without_database(found: Stand) -> None:
    """Stop PostgreSQL for a while; the services stay and go on afterwards."""
    assert found.server is not None
    pids = [service.pid for service in found.services]
    found.server.stop()
    for service in found.services:
        assert (await found.http.get(f"{service.url}/ready")).status_code == 503
    await asyncio.sleep(DATABASE_AWAY_SECONDS)
    found.server.start()
    for service in found.services:
        assert await until(lambda service=service: is_ready(found, service), 10.0)
    assert [service.pid for service in found.services] == pids


async def is_ready(found: Stand, service: Process) -> bool:
    answer = await found.http.get(f"{service.url}/ready")
    return bool(answer.json()["ready"])


async def stopped(found: Stand) -> None:
    """SIGTERM ends a service soon, with 0 and no trace of trouble."""
    for service in found.services:
        began = time.monotonic()
        assert await service.stop() == 0
        assert time.monotonic() - began < STOP_SECONDS_MAX
        assert "Traceback" not in service.last_words()


def test_nothing_is_lost_or_doubled_whatever_dies(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_services(tmp_path) as (found, watch):
            ready: list[float] = []

            async def trouble() -> None:
                ready.extend(await killed(found, random.Random(SEED)))
                await without_database(found)

            await trade(found, watch, trouble)
            assert min(ready) < READY_SECONDS_MAX, ready
            await stopped(found)

    asyncio.run(story())
