"""The first days of an installation against the simulators: a shadow, the cutover looked at, and the step to full."""

from __future__ import annotations

from typing import Any

from tests.e2e.world import CHANNELS, NO_BRAKE, World, run, settings_of

from sellable.app import cutover, ladder
from sellable.app.service import outside_of
from sellable.runtime.database import Store
from sellable.runtime.ids import Ids

SHADOW = [{"key": key, "pool": pool, "mode": "shadow", **NO_BRAKE} for key, pool in CHANNELS.items()]
BRAKED = [{"key": key, "pool": pool, "brake_keys_min": 1} for key, pool in CHANNELS.items()]


async def fates(world: World, **settings: Any) -> list[Any]:
    found = settings_of(world.start, **settings)
    outside = outside_of(found, world.store, world.clock, Ids(world.clock), world.http, "cutover")
    return [fate async for fate in cutover.foresee(found, world.store, outside)]


def test_a_shadow_computes_everything_and_writes_nothing_and_full_waits_at_its_brake(store: Store) -> None:
    async def story(world: World) -> None:
        async def differing() -> bool:
            differ = {r["channel"]: r["raises"] for r in await world.store.read(ladder.rungs)}
            return differ == {"web-eu": 3, "web-uk": 3}

        await world.until(differing, "both channels know what they would raise")
        assert [await world.shown(sku) for sku in ("ARMCHAIR", "TABLE", "SET")] == [0, 0, 0]
        assert await world.sales() == []
        (report, _) = await world.store.read(cutover.report, world.clock.now())
        assert report["now"] == {"too_high": 0, "too_low": 3}
        await world.service.stop()

        service = world.serve(channels=BRAKED)
        await service.start()

        async def stopped() -> bool:
            return {r["gate"] for r in await world.store.read(ladder.rungs)} == {"stopped"}

        await world.until(stopped, "the first pass in full is stopped")
        assert await world.shown("ARMCHAIR") == 0
        for channel in CHANNELS:
            await world.store.write(ladder.proceed, service.settings, world.clock, service.desk, "cli:anna", channel)
        await world.until_shown(ARMCHAIR__web_eu=14, TABLE__web_eu=6, ARMCHAIR__web_uk=10)

    run(story, store, settings={"channels": SHADOW})


def test_the_dry_run_of_a_cutover_tells_every_open_order(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(ARMCHAIR__web_eu=14)
        order = await world.buy({"ARMCHAIR": 2})
        await world.until_stage(order["id"], "exported")
        (fate,) = await fates(world)
        assert (fate.order, fate.fate) == (order["orderNumber"], "adopt")
        assert fate.reason.startswith("its sale SO-")

    run(story, store)
