"""Real processes on one accelerated clock, killed and restarted under traffic, with the database taken away too.

Rule: judged by the oracle from outside, and never by how long something took: how soon a process was ready again is
printed. The gate is short; KILLS=50 makes a soak of it, KILL_SECONDS ends it early.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import cycle, islice
from pathlib import Path

import pytest
from tests.two_services import trading
from tests.two_services import two_services as at_work

from sellable.sandbox.shop import Shop
from sellable.sandbox.traffic import Traffic
from sellable.simulation.demo import WAITING, declared_for, problems
from sellable.simulation.oracle import Verdict, judge
from sellable.simulation.processes import Process, Stand, until
from sellable.simulation.watch import Rest, Watch

pytestmark = pytest.mark.alone

SPEED = 30.0
SEED = 5
KILLS = int(os.environ.get("KILLS", "2"))
KILL_SECONDS = float(os.environ.get("KILL_SECONDS", "600"))
TAKEOVER_SECONDS = 0.4
"""Real seconds in which what a dead process held is taken over by a living one: looked at twice."""
COMPUTING_SECONDS = 2.0
"""Real seconds a busy machine may take from a poll to the entry; the tests beside this one run on it too."""
REST_SECONDS = 600.0
ORDERS_BETWEEN = 3
"""So many orders come between two kills, however slow the clock."""
DATABASE_AWAY_SECONDS = 3.0
PATIENCE_SECONDS = 420 + KILLS * 10
"""The clock waits for a crowded machine, and so must we."""


def two_services(folder: Path) -> AbstractAsyncContextManager[tuple[Stand, Watch]]:
    """Two services whose first numbers are right."""

    async def within(found: Stand, condition: Callable[[], Awaitable[bool]]) -> bool:
        return await until(condition, 30.0, clock=found.clock, simulated=REST_SECONDS)

    return at_work(folder, Shop.demo(SEED, 20, 2), SPEED, SEED, within)


async def trade(found: Stand, watch: Watch, trouble: Callable[[Traffic], Awaitable[None]], orders: float) -> Verdict:
    """Traffic for as long as the trouble lasts; afterwards everything must come to rest, and nothing be lost."""
    async with trading(found, watch, SEED, orders) as traffic:
        await trouble(traffic)
    rest = Rest(watch, 20.0)
    settled = await until(rest.reached, 30.0 + KILLS * 5, clock=found.clock, simulated=REST_SECONDS)
    status, evidence = await found.status(), await watch.close()
    verdict = judge(evidence, watch.rules, declared_for(SPEED, COMPUTING_SECONDS + TAKEOVER_SECONDS))
    assert settled, f"{rest.what}; {status}"
    assert verdict.tie.captured, traffic.counts
    waiting = sum(status["orders"].get(stage, {}).get("count", 0) for stage in WAITING)
    # What was oversold is judged by who calls: not while nobody was there to know.
    assert [p for p in problems(verdict, waiting) if "oversold" not in p] == []
    return verdict


async def killed(traffic: Traffic, rounds: Sequence[Sequence[Process]]) -> None:
    """Kill -9 the victims of each round together, while orders come, and start them again; says how soon each was
    ready."""
    die = random.Random(SEED)
    ready: list[float] = []
    began = time.monotonic()
    for victims in rounds:
        if time.monotonic() - began > KILL_SECONDS:
            break
        wanted = traffic.counts["orders"] + ORDERS_BETWEEN

        async def ordered(wanted: int = wanted) -> bool:
            return traffic.counts["orders"] >= wanted

        assert await until(ordered, 60.0), f"no orders come: {traffic.counts}"
        # The moment is the dice's; there is no signal to wait for.
        await asyncio.sleep(die.uniform(0.0, 0.9))
        await asyncio.gather(*(service.kill() for service in victims))
        await asyncio.gather(*(service.start() for service in victims))
        ready += [service.seconds_to_ready for service in victims]
    seconds = sorted(ready)
    print(
        f"{len(ready)} kills, ready again after {seconds[0]:.1f} to {seconds[-1]:.1f} s, "
        f"half of them within {seconds[len(seconds) // 2]:.1f} s"
    )


async def work_of(found: Stand, service: Process) -> float:
    """Rows of the inbox that this process has handled since it started."""
    text = (await found.http.get(f"{service.url}/metrics")).text
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("sellable_inbox_rows_total{")]
    return sum(float(count) for _, count in rows)


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
    """SIGTERM ends a service by itself, with 0 and no trace of trouble."""
    for service in found.services:
        assert await service.stop() == 0
        assert "Traceback" not in service.last_words()


@pytest.mark.timeout(PATIENCE_SECONDS)
def test_one_of_two_may_die_at_any_moment_and_nothing_is_oversold(tmp_path: Path) -> None:
    """Under load, one process always alive: 0 lost, 0 doubled, 0 oversold by us, and both do their share."""

    async def story() -> None:
        async with two_services(tmp_path) as (found, watch):
            one, two = found.services
            rounds = [[victim] for victim in islice(cycle([one, two]), KILLS + 1)]

            async def trouble(traffic: Traffic) -> None:
                await killed(traffic, rounds)
                for service in found.services:

                    async def works(service: Process = service) -> bool:
                        return await work_of(found, service) > 0

                    assert await until(works, 60.0), f"{service.name} does nothing: {service.last_words()}"

            verdict = await trade(found, watch, trouble, orders=12.0)
            tie = verdict.tie
            assert (len(tie.missing), len(tie.doubled), verdict.oversold("ours")) == (0, 0, 0)
            assert len(tie.exported_once) + len(tie.cancelled) == tie.captured
            await stopped(found)

    asyncio.run(story())


@pytest.mark.timeout(PATIENCE_SECONDS)
def test_nothing_is_lost_or_doubled_whatever_dies(tmp_path: Path) -> None:
    """One or both at once, and the database too."""

    async def story() -> None:
        async with two_services(tmp_path) as (found, watch):
            one, two = found.services
            some = random.Random(SEED).choices([[one], [two], [one, two]], k=KILLS - 1)

            async def trouble(traffic: Traffic) -> None:
                await killed(traffic, [*some, [one, two]])
                await without_database(found)

            tie = (await trade(found, watch, trouble, orders=8.0)).tie
            assert (tie.missing, tie.doubled) == ([], [])
            assert len(tie.exported_once) + len(tie.cancelled) == tie.captured
            await stopped(found)

    asyncio.run(story())
