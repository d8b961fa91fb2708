"""commercetools as the master of stock, over an OrderFlow warehouse: its numbers are told what happened, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.e2e.test_back_offices import FLOW, SECTION, WORK, Houses, play, told
from tests.e2e.test_main_job import case_kinds, explained, healthy
from tests.e2e.world import COMPANY, CT, NO_BRAKE, SHOP
from tests.suites.orders_life import query

from sellable.app import recovery
from sellable.desk import cases
from sellable.runtime.database import Store

COUNTED: dict[str, Any] = {
    "commercetools": {"restocks_on_cancel": "no", "restocks_on_return": "no", "hot_poll_seconds": 1},
    "cin7_core": None, "orderflow": SECTION, "states": [], "customers": [],
    "locations": [{"name": "Leeds", "master": "commercetools", "remote": "LEEDS", "shipped_by": "orderflow"}],
    "pools": [{"name": "eu", "locations": ["Leeds"]}],
    "channels": [{"key": "web-eu", "pool": "eu", **NO_BRAKE}],
}  # fmt: skip
STOCKED = [{"sku": sku, "channel": "web-eu", "quantity": units} for sku, units in (("ARMCHAIR", 7), ("TABLE", 9))]
SEEDS = ({**SHOP, "inventory": STOCKED}, COMPANY)
DEAF = {"name": "deaf", "effect": "status", "status": 503, "match": ".*cancel.*", "rate": 1}
LOST = {"name": "lost", "effect": "reset", "when": "after", "match": "POST .*(graphql|inventory)", "rate": 0.6}
WRITES = query(
    "SELECT payload ->> 'sku' AS sku, (payload ->> 'd')::int AS d FROM operation WHERE kind = 'stock.write'"
    " AND state = 'done' AND (payload ->> 'd')::int <> 0 ORDER BY created_seq"
)
OWED = query(
    "SELECT coalesce(sum(abs(units)), 0) FROM (SELECT sum(units) AS units FROM adjustment WHERE NOT aside"
    " GROUP BY sku, channel) AS due"
)
ADJUSTED = query("SELECT sku, units FROM adjustment WHERE source = 'order' ORDER BY id")
SEEN = query("SELECT (SELECT count(*) FROM entry) = 2 AND EXISTS (SELECT FROM observed)")


def tell(story: Callable[[Houses], Awaitable[None]], store: Store, **changes: Any) -> None:
    play(story, store, seeds=SEEDS, **{**COUNTED, **changes})


async def writes(world: Houses) -> list[tuple[str, int]]:
    """What was written to numbers, in order."""
    return [(r.sku, r.d) for r in await world.store.read(lambda tx: tx.all(WRITES))]


async def adjusted(world: Houses) -> list[tuple[str, int]]:
    """What was owed to numbers because of orders, in order."""
    return [(r.sku, int(r.units)) for r in await world.store.read(lambda tx: tx.all(ADJUSTED))]


async def nothing_owed(world: Houses) -> None:
    async def paid() -> bool:
        return await world.store.read(lambda tx: int(tx.value(OWED))) == 0

    await world.until(paid, "all that is owed is written")


async def known(world: Houses) -> None:
    """Until entries and the warehouse's inventory were read."""

    async def read() -> bool:
        return bool(await world.store.read(lambda tx: tx.value(SEEN)))

    await world.until(read, "entries and inventory are known")


async def ship(world: Houses, lines: dict[str, int], mode: str = "ReserveOnOrder") -> Any:
    """An order whose goods have left."""
    order = await world.buy(lines, mode=mode)
    await world.until_stage(order["id"], "shipped")
    await told(world, order["id"])
    return order


def test_what_commercetools_did_itself_is_not_done_again_and_the_rest_once(store: Store) -> None:
    async def story(world: Houses) -> None:
        await known(world)
        await world.flow(count={"sku": "TABLE", "site": "LEEDS", "found": 9})
        await world.flow(warehouse={"auto": True, **WORK})
        order = await ship(world, {"ARMCHAIR": 2, "TABLE": 1})
        await world.until_shown(ARMCHAIR__web_eu=5, TABLE__web_eu=8)
        assert await writes(world) == [], "it has taken them off by itself"
        await ship(world, {"TABLE": 3}, mode="None")
        await world.until_shown(ARMCHAIR__web_eu=5, TABLE__web_eu=5)
        lines = [
            {"sku": "ARMCHAIR", "quantity": 1, "reason": "A - Not wanted", "condition": "As new"},
            {"sku": "TABLE", "quantity": 1, "reason": "A - Not wanted", "condition": "Product damaged (irreparable)"},
        ]  # fmt: skip
        await world.flow(book_return={"order": f"shop:{order['id']}:1", "lines": lines})
        await world.until_shown(ARMCHAIR__web_eu=6, TABLE__web_eu=5)
        await nothing_owed(world)
        assert await writes(world) == [("TABLE", -3), ("ARMCHAIR", 1)]
        await world.store.read(healthy)

    tell(story, store)


def test_units_that_are_cancelled_come_back_when_the_warehouse_has_let_them_go(store: Store) -> None:
    async def story(world: Houses) -> None:
        await known(world)
        order = await world.buy({"ARMCHAIR": 2})
        await world.until_stage(order["id"], "exported")
        await world.until_shown(ARMCHAIR__web_eu=5)
        await world.faults(FLOW, [DEAF])
        await world.cancel(order["id"])
        await world.until_stage(order["id"], "cancelling")
        assert await adjusted(world) == [], "the warehouse may still ship them"
        assert await world.shown("ARMCHAIR") == 5
        await world.faults(FLOW, [])
        await world.until_stage(order["id"], "cancelled")
        await world.until_shown(ARMCHAIR__web_eu=7)
        await nothing_owed(world)
        assert await writes(world) == [("ARMCHAIR", 2)]

    tell(story, store)


def test_where_it_restocks_by_itself_units_are_held_until_the_warehouse_lets_them_go(store: Store) -> None:
    shop = {**COUNTED["commercetools"], "restocks_on_cancel": "yes"}

    async def story(world: Houses) -> None:
        await world.http.post(f"{CT}/_sandbox/act", json={"switch": {"restocks_on_cancel": True}})
        await known(world)
        order = await world.buy({"ARMCHAIR": 2})
        await world.until_stage(order["id"], "exported")
        await world.faults(FLOW, [DEAF])
        await world.cancel(order["id"])
        await world.until_stage(order["id"], "cancelling")
        await world.until_shown(ARMCHAIR__web_eu=5)
        await world.faults(FLOW, [])
        await world.until_stage(order["id"], "cancelled")
        await world.until_shown(ARMCHAIR__web_eu=7)
        await nothing_owed(world)
        assert await writes(world) == [("ARMCHAIR", -2), ("ARMCHAIR", 2)]

    tell(story, store, commercetools=shop)


def test_a_short_pick_gives_nothing_back(store: Store) -> None:
    async def story(world: Houses) -> None:
        await world.flow(switch={"short_pick": "cancel"})
        await known(world)
        order = await world.buy({"ARMCHAIR": 3})
        await world.until_stage(order["id"], "exported")
        await world.flow(short_pick={"order": f"shop:{order['id']}:1", "sku": "ARMCHAIR", "found": 2})
        await world.flow(warehouse={"auto": True, **WORK})
        await world.until_stage(order["id"], "shipped")
        await world.until_shown(ARMCHAIR__web_eu=4)
        assert await writes(world) == [], "the third unit was not there"

    tell(story, store, orders={"staff_cancels": True})


def test_answers_that_are_lost_and_a_process_that_ends_write_nothing_twice(store: Store) -> None:
    async def story(world: Houses) -> None:
        await known(world)
        await world.flow(warehouse={"auto": True, **WORK})
        await world.faults(CT, [LOST])
        bought = [await ship(world, {"TABLE": 1}, mode="None") for _ in range(3)]
        await world.service.stop()
        world.serve(**COUNTED)
        await world.service.start()
        lines = [{"sku": "TABLE", "quantity": 1, "reason": "A - Not wanted", "condition": "As new"}]
        for order in bought[:2]:
            await world.flow(book_return={"order": f"shop:{order['id']}:1", "lines": lines})
        await nothing_owed(world)

        async def returned() -> bool:
            return sum(units for _, units in await adjusted(world)) == -1

        await world.until(returned, "the returns are known")
        await nothing_owed(world)
        await world.faults(CT, [])
        await world.until_shown(TABLE__web_eu=8)
        assert sorted(await adjusted(world)) == [("TABLE", -1)] * 3 + [("TABLE", 1)] * 2
        await world.store.read(healthy)

    tell(story, store)


def test_the_warehouse_count_is_shown_and_never_written(store: Store) -> None:
    async def story(world: Houses) -> None:
        await known(world)
        await world.flow(count={"sku": "ARMCHAIR", "site": "LEEDS", "found": 2})

        async def compared() -> Any:
            kinds = {case.kind: case for case in await world.store.read(cases.listing)}
            differs = kinds.get("stock_differs")
            return differs and sorted(differs.actual["commercetools has more by"]) == [["ARMCHAIR", 5], ["TABLE", 6]]

        await world.until(compared, "the difference is a case")
        found = await explained(world, "ARMCHAIR", "web-eu")
        assert (found["target"], found["counted"]) == (7, {"owed": 0, "by_warehouse": 2})
        assert await writes(world) == []
        await world.until_shown(ARMCHAIR__web_eu=7, TABLE__web_eu=9)

    tell(story, store)


def test_its_own_people_may_write_a_number_and_another_program_is_a_case(store: Store) -> None:
    async def story(world: Houses) -> None:
        await known(world)

        async def typed(quantity: int, **by: str) -> None:
            wish = {"sku": "ARMCHAIR", "channel": "web-eu", "quantity": quantity, **by}
            await world.http.post(f"{CT}/_sandbox/act", json={"set_quantity": wish})

            async def learnt() -> bool:
                return bool((await explained(world, "ARMCHAIR", "web-eu"))["target"] == quantity)

            await world.until(learnt, f"{quantity} is known")

        await typed(20)
        await typed(25, client="erp")
        assert "foreign_writer" not in await case_kinds(world)
        await typed(3, client="somebody")
        (case,) = [c for c in await world.store.read(cases.listing) if c.kind == "foreign_writer"]
        assert (case.subject, case.actual["by"]["clientId"]) == ("sku:ARMCHAIR", "somebody")
        await world.until_shown(ARMCHAIR__web_eu=3)
        assert await writes(world) == [], "nobody writes it back"

    tell(story, store, commercetools={**COUNTED["commercetools"], "stock_writers": ["erp"]})


def test_after_a_restore_nothing_that_may_have_been_written_is_written_again(store: Store) -> None:
    async def story(world: Houses) -> None:
        await known(world)
        await world.flow(warehouse={"auto": True, **WORK})
        order = await ship(world, {"ARMCHAIR": 2})
        lines = [{"sku": "ARMCHAIR", "quantity": 1, "reason": "A - Not wanted", "condition": "As new"}]
        await world.flow(book_return={"order": f"shop:{order['id']}:1", "lines": lines})
        # As far as this database knows; the life that made its backup may have seen the return and written it.
        await world.store.write(recovery.begin, world.service.settings, world.clock, "test", world.clock.now())

        async def over() -> bool:
            kinds = {case.kind for case in await world.store.read(cases.listing)}
            return "restored" not in kinds and "adjustment_unsure" in kinds

        await world.until(over, "everything was read again")
        assert await adjusted(world) == [("ARMCHAIR", 1)]
        await world.until_shown(ARMCHAIR__web_eu=5)
        assert await writes(world) == []

    tell(story, store, orderflow={**SECTION, "return_poll_seconds": 7200})
