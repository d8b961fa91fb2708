"""A backup, a life after it, a restore: every order once, every number right, nothing rises before that is known."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.e2e.world import CIN7, CT, World, run, settings_of

from sellable.app import recovery, status
from sellable.app.service import Service
from sellable.desk import cases
from sellable.runtime import backup
from sellable.runtime.database import Store
from sellable.runtime.queries import Query
from sellable.stock import entries

DEAF = [
    {"name": "deaf", "match": "^POST .*/sale$", "effect": "status", "when": "after", "status": 500},
    {"name": "down", "match": "^GET .*saleList", "effect": "status", "when": "before", "status": 500},
]
"""Sales are made, but nobody is told, and nobody can look."""
UNHEARD = [
    {"name": "unheard", "match": "^POST /shop/graphql", "effect": "reset", "when": "after"},
    {"name": "unseen", "match": "^GET /shop/inventory", "effect": "status", "when": "before", "status": 500},
]
"""Writes are made, but nobody is told, and nobody can look."""
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


def test_a_write_that_was_on_its_way_in_the_backup_is_looked_up_and_its_units_count_once(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "night.backup"

    async def story(world: World) -> None:
        await world.until_shown(ARMCHAIR__web_eu=14, ARMCHAIR__web_uk=10, TABLE__web_eu=6)
        # An order of one channel lowers the other: that write is made, and nobody is told.
        await world.faults(CT, UNHEARD)
        first = await world.buy({"ARMCHAIR": 2})

        async def unheard() -> bool:
            rows = await world.store.read(lambda tx: tx.all(OPEN))
            return any(r.kind == "stock.write" for r in rows)

        await world.until(unheard, "a write is on its way")
        await asyncio.to_thread(backup.write, world.store.url, file, world.clock.now())
        await world.faults(CT, [])
        await world.until_shown(ARMCHAIR__web_eu=12, ARMCHAIR__web_uk=8)
        # The former life goes on: sells on the other channel, gives a cancelled order's units back, writes more.
        second = await world.buy({"ARMCHAIR": 3}, channel="web-uk")
        await world.until_stage(second["id"], "exported")
        await world.until_shown(ARMCHAIR__web_eu=9, ARMCHAIR__web_uk=5)
        await world.until_stage(first["id"], "exported")
        await world.cancel(first["id"])
        await world.until_stage(first["id"], "cancelled")
        await world.service.stop()
        # And while nobody listens the shop goes on as well.
        third = await world.buy({"ARMCHAIR": 1})

        await put_back(world, file)
        await world.serve().start()

        async def over() -> bool:
            return not await restored(world)

        await world.until(over, "the restore is over")
        await world.until_stage(first["id"], "cancelled")
        await world.until_stage(second["id"], "exported")
        await world.until_stage(third["id"], "exported")
        assert await live_sales(world) == sorted([second["orderNumber"], third["orderNumber"]])
        await world.until_shown(ARMCHAIR__web_eu=10, ARMCHAIR__web_uk=6, TABLE__web_eu=6)
        assert await world.store.read(lambda tx: cases.listing(tx, kind="foreign_writer")) == []
        assert await world.store.read(entries.entries_that_differ) == []

    run(story, store)


async def done(world: World, order_id: str) -> bool:
    return await world.stage(order_id) in ("exported", "shipped")
