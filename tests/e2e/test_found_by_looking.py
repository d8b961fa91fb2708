"""What nobody reports, on the whole way: found, told to an owner, and over when it is over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.test_main_job import FIRST
from tests.e2e.world import CIN7, World, run
from tests.suites.orders_life import query

from sellable.app import watching
from sellable.desk import cases
from sellable.desk.cases import Case
from sellable.runtime.database import Store

DOWN = [{"name": "down", "match": ".", "effect": "status", "when": "before", "status": 500}]


async def live(world: World, kind: str) -> list[Case]:
    return await world.store.read(cases.listing, kind=kind)


async def until_live(world: World, kind: str, count: int = 1) -> list[Case]:
    """Until there are so many live cases of a kind."""

    async def there() -> bool:
        return len(await live(world, kind)) == count

    await world.until(there, f"{count} case(s) of {kind}")
    return await live(world, kind)


SETS = query("SELECT count(*) AS n FROM sweep WHERE scope = '' AND state = 'applied'")


async def more_sets(world: World, count: int) -> None:
    """Until so many more complete sets were believed."""

    async def now() -> int:
        return int((await world.store.ask(SETS))[0].n)

    enough = await now() + count

    async def there() -> bool:
        return await now() >= enough

    await world.until(there, f"{count} more complete sets")


def test_units_a_counter_sold_while_the_back_office_was_away_are_told_until_a_delivery(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        await world.faults(CIN7, DOWN)
        await world.act(sell_at_counter={"sku": "TABLE", "location": "Berlin", "bin": "A1", "quantity": 5})
        order = await world.buy({"TABLE": 3})
        await world.faults(CIN7, [])
        await world.until_stage(order["id"], "exported")
        (case,) = await until_live(world, "oversold")
        assert (case.subject, case.actual["units"]) == ("sku:TABLE", 2)
        assert case.actual["taken_elsewhere"] >= 2
        assert [row[0] for row in case.actual["orders"]] == [order["orderNumber"]]
        await world.act(receive={"sku": "TABLE", "location": "Berlin", "bin": "A1", "quantity": 5})
        await until_live(world, "oversold", 0)

    run(story, store)


def test_orders_in_a_calm_shop_are_no_oversell(store: Store) -> None:
    """Everything is sold out by orders; their units are subtracted twice again and again on the way."""

    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        for units in (4, 4, 2):
            order = await world.buy({"ARMCHAIR": units}, "web-uk")
        await world.until_stage(order["id"], "exported")
        await world.until_shown(ARMCHAIR__web_uk=0, ARMCHAIR__web_eu=4)
        await more_sets(world, 4)
        assert await live(world, "oversold") == []

    run(story, store)


def test_a_spelling_that_only_one_side_has_is_a_case(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        (case,) = await until_live(world, "catalogue_mismatch")
        assert (case.subject, case.actual) == ("catalogue:only_at_storefront", {"count": 1, "examples": ["GHOST"]})

    run(story, store)


def test_many_strange_numbers_stop_raises_until_a_person_says_why(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MANY_FLOOR", 0)

    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        entry = (await world.ct("GET", '/inventory?where=sku="TABLE"'))["results"][0]
        strange: dict[str, Any] = {"action": "addQuantity", "quantity": 20}
        await world.ct("POST", f"/inventory/{entry['id']}", {"version": entry["version"], "actions": [strange]})
        (case,) = await until_live(world, "drift_many")
        await world.until_shown(TABLE__web_eu=6, TABLE__web_uk=6)
        await world.act(receive={"sku": "TABLE", "location": "Berlin", "bin": "A1", "quantity": 5})
        await world.act(sell_at_counter={"sku": "ARMCHAIR", "location": "Hamburg", "quantity": 1})
        await world.until_shown(ARMCHAIR__web_eu=13)
        await more_sets(world, 2)
        assert (await world.shown("TABLE", "web-eu"), await world.shown("TABLE", "web-uk")) == (6, 6)
        await world.store.write(cases.resolve, case.ref, "ada", "an import, stopped", world.clock.now())
        await world.until_shown(TABLE__web_eu=11, TABLE__web_uk=11)

    run(story, store)


def test_a_master_that_grows_old_holds_units_back_everywhere_and_gives_them_back(store: Store) -> None:
    """Nothing about these SKUs happens: no order, no page, no delivery."""

    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        await world.faults(CIN7, DOWN)
        await world.until_shown(
            ARMCHAIR__web_eu=12, ARMCHAIR__web_uk=8, TABLE__web_eu=4, TABLE__web_uk=4, SET__web_eu=4
        )
        await world.faults(CIN7, [])
        await world.until_shown(**FIRST)

    run(story, store, settings={"cin7_core": {"stale_buffer": 2, "max_age_minutes": 3}})
