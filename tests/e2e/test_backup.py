"""A backup, a life after it, a restore: every order once, every number right, nothing rises before that is known."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.e2e.world import CIN7, World, run, settings_of

from sellable.app import recovery, status
from sellable.app.service import Service
from sellable.desk import cases
from sellable.runtime import backup
from sellable.runtime.database import Store
from sellable.runtime.queries import Query

DEAF = [
    {"name": "deaf", "match": "^POST .*/sale$", "effect": "status", "when": "after", "status": 500},
    {"name": "down", "match": "^GET .*saleList", "effect": "status", "when": "before", "status": 500},
]
"""Sales are made, but nobody is told, and nobody can look."""
WAREHOUSE = {"auto": True, "pick_after_seconds": 20, "ship_after_seconds": 40, "carrier": "DHL"}
OPEN = Query(
    package="test", name="open", purpose="test",
    text="SELECT kind, state, sends, outcome_sends, owner FROM operation WHERE state IN ('intent', 'unknown', 'held')",
)  # fmt: skip
EVIDENCED = Query(
    package="test", name="evidenced", purpose="test",
    text="SELECT coalesce(sum(evidenced_units), 0) FROM demand WHERE NOT finished AND NOT settled",
)  # fmt: skip


async def put_back(world: World, file: Path) -> None:
    settings = settings_of(world.start)

    def begin(tx: Any, made: backup.Manifest) -> None:
        recovery.begin(tx, settings, world.clock, "test", made.made_at)

    await asyncio.to_thread(backup.restore, world.store.url, file, force=True, after=begin)


async def live_sales(world: World) -> list[str]:
    """The storefront's number of every sale that is not voided."""
    return sorted(s["customer_reference"] for s in await world.sales() if s["order_status"] != "VOIDED")


async def restored(world: World) -> list[Any]:
    return await world.store.read(lambda tx: cases.listing(tx, kind="restored"))


def test_what_happened_since_a_backup_is_found_again_and_nothing_is_sent_twice(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "night.backup"

    async def story(world: World) -> None:
        await world.until_shown(ARMCHAIR__web_eu=14, TABLE__web_eu=6)
        before = await world.buy({"ARMCHAIR": 2})
        await world.until_stage(before["id"], "exported")
        # One is on its way in the backup: nobody knows whether its sale was made.
        await world.faults(CIN7, DEAF)
        open_then = await world.buy({"TABLE": 1})

        async def owed() -> bool:
            rows = await world.store.read(lambda tx: tx.all(OPEN))
            return any(r.kind == "sale.create" for r in rows)

        await world.until(owed, "a sale is on its way")
        await asyncio.to_thread(backup.write, world.store.url, file, world.clock.now())
        await world.faults(CIN7, [])
        await world.until_stage(open_then["id"], "exported")
        since = await world.buy({"ARMCHAIR": 3})
        await world.until_stage(since["id"], "exported")
        await world.act(warehouse=WAREHOUSE)
        await world.until_stage(before["id"], "shipped")
        await world.until_shown(ARMCHAIR__web_eu=9, TABLE__web_eu=5)
        await world.service.stop()
        numbers = [o["orderNumber"] for o in (before, open_then, since)]
        assert await live_sales(world) == sorted(numbers)

        await put_back(world, file)
        assert await world.stage(since["id"]) == ""
        assert await world.store.read(lambda tx: tx.value(status.sql.raises_stopped))
        assert await world.store.read(lambda tx: tx.value(EVIDENCED)) == 0
        held = await world.store.read(lambda tx: tx.all(OPEN))
        assert held
        assert {(r.state, r.owner) for r in held} == {("unknown", None)}
        assert all(r.sends > r.outcome_sends for r in held)

        shown = await world.shown("ARMCHAIR")
        service: Service = world.serve()
        await service.start()
        late = await world.buy({"ARMCHAIR": 1})

        async def over() -> bool:
            assert await world.shown("ARMCHAIR") <= shown, "a number rose before everything was read again"
            return not await restored(world)

        await world.until(over, "the restore is over")
        for order in (before, open_then, since, late):
            await world.until(lambda id=order["id"]: done(world, id), f"{order['orderNumber']} is at the back office")
        assert await live_sales(world) == sorted([*numbers, late["orderNumber"]])
        await world.until_shown(ARMCHAIR__web_eu=8, TABLE__web_eu=5)
        fresh = await world.ct("GET", f"/orders/{before['id']}")
        assert sum(i["quantity"] for d in fresh["shippingInfo"]["deliveries"] for i in d["items"]) == 2
        await world.act(receive={"sku": "ARMCHAIR", "location": "Berlin", "bin": "A1", "quantity": 5})
        await world.until_shown(ARMCHAIR__web_eu=13)

    run(story, store)


async def done(world: World, order_id: str) -> bool:
    return await world.stage(order_id) in ("exported", "shipped")
