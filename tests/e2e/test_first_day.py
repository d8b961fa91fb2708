"""The first days of an installation against the simulators: a shadow, the cutover looked at, and the step to full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.e2e.world import CHANNELS, CIN7, CT, NO_BRAKE, World, run, settings_of

from sellable.app import compose, cutover, discovery, doctor, ladder
from sellable.app.check import checked
from sellable.app.service import outside_of
from sellable.config.secrets import new_key
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


async def examined(world: World, **settings: Any) -> dict[str, Any]:
    found = settings_of(world.start, **settings)
    outside = outside_of(found, world.store, world.clock, Ids(world.clock), world.http, "doctor")
    return {check.name: check async for check in doctor.examine(found, world.store, outside)}


def test_the_doctor_finds_the_small_shop_in_order_but_for_its_set_up(store: Store) -> None:
    async def story(world: World) -> None:
        await world.buy({"GHOST": 1}, mode="None")
        found = await examined(world)
        assert {name for name, check in found.items() if check.result == "fail"} == set()
        assert {name for name, check in found.items() if check.result == "warn"} == {"set-up", "inventory modes"}
        assert "commercetools answers" in found
        assert "Cin7 Core answers" in found
        strange = await examined(world, cin7_core={"key": "wrong", "read_key": "wrong"})
        assert strange["Cin7 Core answers"].result == "fail"
        assert "commercetools answers" in strange, "one vendor's refusal hides nothing of the other"

    run(story, store, start=False)


@pytest.mark.parametrize(("switches", "restocks"), [({"restocks_on_cancel": True}, "yes"), ({}, "no")])
def test_an_experiment_answers_and_leaves_nothing_behind(store: Store, switches: dict[str, Any], restocks: str) -> None:
    async def story(world: World) -> None:
        await world.until_shown(ARMCHAIR__web_eu=14)
        settings = settings_of(world.start)
        outside = outside_of(settings, world.store, world.clock, Ids(world.clock), world.http, "doctor")
        before = await counts(world)
        found = {c.name: c for c in await doctor.try_out(settings, world.store, outside, "ARMCHAIR", "t1")}
        assert found["Does cancelling put stock back?"].setting == f'[commercetools] restocks_on_cancel = "{restocks}"'
        assert found["Does an order lower the entry?"].evidence.startswith("yes")
        assert found["Do differences and late decrements add up?"].evidence.startswith("yes")
        assert found["Is one update with several actions all or nothing?"].evidence.startswith("yes")
        assert found["traces"].result == "ok"
        assert await counts(world) == before
        assert await world.shown("ARMCHAIR") == 14
        await world.throughout_sweeps(2, lambda: nothing_happened(world), "the service passes the experiment over")

    run(story, store, ct=switches)


async def counts(world: World) -> dict[str, int]:
    paths = ("orders", "carts", "inventory", "channels")
    return {path: (await world.ct("GET", f"/{path}?limit=1&withTotal=true"))["total"] for path in paths}


async def nothing_happened(world: World) -> bool:
    status = await world.service.overview()
    return not status["orders"] and status["cases"].keys() <= {"catalogue_mismatch"} and await world.sales() == []


def test_what_init_finds_at_both_vendors_makes_settings_that_can_work(store: Store, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        credentials = settings_of(world.start)
        found = await discovery.discover(credentials, world.clock, httpx2.AsyncClient(mounts=world._mounts))
        assert found.channels == ["web-eu", "web-uk"]
        answers = {
            "owner": "ops",
            "commercetools": {
                "project": "shop",
                "client_id": "ours",
                "client_secret": "x",
                "api_url": CT,
                "auth_url": CT,
            },
            "cin7_core": {"account_id": "acc", "key": "x", "read_key": "", "base_url": f"{CIN7}/ExternalApi/v2/"},
            "pools": {"web-eu": ["Berlin", "Hamburg"], "web-uk": ["Berlin"]},
            "customers": {"EUR": "Web EUR"},
        }
        for name in (compose.PAYLOAD_KEY, compose.REDACTION_KEY):
            (tmp_path / name).write_text(new_key())
        file = tmp_path / "sellable.toml"
        file.write_text(compose.settings_file(answers, found, world.start))
        settings = checked(file)
        assert [(rule.bin, rule.state) for rule in settings.states if rule.location == "berlin"] == [
            ("*", "available"), ("RETURNS", "inspection"),
        ]  # fmt: skip
        assert [(tax.rate, tax.rule) for tax in settings.taxes] == [("0.19", "DE 19%")]
        assert settings.carriers == {"Parcel": "DHL"}

    run(story, store, start=False)
