"""Orders that wait for a warehouse go in one call, and each has its own end."""

from __future__ import annotations

import pytest
from tests.suites.orders_life import CHAIR, TABLE, query
from tests.suites.test_importing import House, play

from sellable.connectors.port import Unavailable
from sellable.runtime import operations
from sellable.runtime.database import Store
from sellable.runtime.http import NotSent, OutcomeLost

NAMES = ("o1", "o2", "o3")
TAMPER = query(
    "UPDATE order_part SET draft = jsonb_set(draft, '{lines,0,total}', '\"999.99\"') WHERE order_id = 'o1'"
)  # fmt: skip


async def buy(life: House, *names: str) -> None:
    await life.begin(ARMCHAIR=20, TABLE=20)
    for name in names:
        await life.bought((CHAIR, 1), (TABLE, 2), order_id=name)


async def noted_with(life: House) -> list[str | None]:
    """The order with whose call each went, of those that say one."""
    found = [(await life.store.read(operations.of_order, f"order:{name}", 10))[0] for name in NAMES]
    names = {op.id: name for op, name in zip(found, NAMES, strict=True)}
    return [names[op.result["with"]] if op.result and "with" in op.result else None for op in found]


async def stages(life: House) -> list[str]:
    return [await life.stage(name) for name in NAMES]


def test_what_waits_is_one_call_and_every_order_is_there(store: Store) -> None:
    async def story(life: House) -> None:
        await buy(life, *NAMES)
        assert await life.import_together() == ["Done"] * 3
        assert life.depot.together == [3]
        assert await noted_with(life) == [None, "o1", "o1"]
        assert sorted(life.depot.orders) == [f"shop:{name}:1" for name in NAMES]
        await life.steps()
        assert await stages(life) == ["exported"] * 3
        assert sorted(life.shop.sync) == sorted(life.depot.orders)

    play(store, story)


def test_no_call_carries_more_than_the_bound(store: Store) -> None:
    async def story(life: House) -> None:
        await buy(life, *NAMES)
        assert await life.import_together(most=2) == ["Done"] * 2
        assert await life.import_together(most=2) == ["Done"]
        assert life.depot.together == [2, 1]

    play(store, story)


def test_one_that_is_refused_and_one_that_is_there_already_hold_no_other(store: Store) -> None:
    async def story(life: House) -> None:
        await buy(life, *NAMES)
        life.depot.refuses, life.depot.refused = "unknown product", "shop:o2:1"
        life.depot.orders["shop:o3:1"] = {"units": {CHAIR: 1, TABLE: 2}, "status": "authorised", "stage": "waiting"}
        assert await life.import_together() == ["Done", "Rejected", "Done"]
        assert life.depot.calls == ["import", "detail"], "the duplicate is looked up by its own reference"
        assert await noted_with(life) == [None, "o1", "o1"], "the story of one that was refused shows the call too"
        await life.steps()
        assert await stages(life) == ["exported", "held", "exported"]
        assert await life.cases() == {"order_refused"}

    play(store, story)


def test_a_duplicate_of_other_content_is_held_alone(store: Store) -> None:
    async def story(life: House) -> None:
        await buy(life, *NAMES)
        life.depot.orders["shop:o1:1"] = {"units": {CHAIR: 9}, "status": "authorised", "stage": "waiting"}
        await life.import_together()
        await life.steps()
        assert await stages(life) == ["held", "exported", "exported"]
        assert await life.cases() == {"import_differs"}

    play(store, story)


def test_a_lost_answer_is_looked_up_for_each_by_its_own_reference(store: Store) -> None:
    async def story(life: House) -> None:
        await buy(life, *NAMES)
        life.depot.lost = [OutcomeLost("no answer")]
        assert await life.import_together() == ["Unknown"] * 3
        del life.depot.orders["shop:o2:1"]  # It was not taken after all.
        await life.steps()
        assert life.depot.together == [3, 1], "only what is not there is sent again"
        assert sorted(life.depot.orders) == [f"shop:{name}:1" for name in NAMES]
        assert await stages(life) == ["exported"] * 3

    play(store, story)


@pytest.mark.parametrize(
    ("error", "outcome"), [(NotSent("no way"), "Later"), (Unavailable("garbled", code="garbled"), "Unknown")]
)
def test_what_is_known_of_a_call_is_known_of_each(store: Store, error: Exception, outcome: str) -> None:
    async def story(life: House) -> None:
        await buy(life, *NAMES)
        life.depot.deaf = [error]
        assert await life.import_together() == [outcome] * 3
        await life.steps()
        assert await stages(life) == ["exported"] * 3

    play(store, story)


def test_a_document_that_nobody_can_write_is_found_by_sending_each_alone(store: Store) -> None:
    async def story(life: House) -> None:
        await buy(life, *NAMES)
        life.depot.unsayable = {"shop:o2:1"}
        assert await life.import_together() == ["Done", "Rejected", "Done"]
        assert life.depot.together == [3, 1, 1, 1]
        await life.steps()
        assert await stages(life) == ["exported", "held", "exported"]

    play(store, story)


def test_an_order_that_does_not_add_up_stays_out_of_the_call(store: Store) -> None:
    async def story(life: House) -> None:
        await buy(life, *NAMES)
        await life.store.write(lambda tx: tx.run(TAMPER))
        assert await life.import_together() == ["Done", "Done", "Done"]
        assert life.depot.together == [2]
        assert await noted_with(life) == [None, None, "o2"], "the call is told of one that is in it"
        await life.steps()
        assert await stages(life) == ["held", "exported", "exported"]
        assert await life.cases() == {"totals_differ"}

    play(store, story)
