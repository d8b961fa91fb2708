"""Returns made known at the storefront are announced to the warehouse once, and what comes back is matched to them."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.suites.orders_life import CHAIR, SET, TABLE
from tests.suites.test_importing import ALONE, FLOW, House, despatch, play

from sellable.book import book
from sellable.connectors.port import ReturnRow
from sellable.domain.orders import Order, ReturnItem
from sellable.orders import pieces
from sellable.runtime.database import Store
from sellable.runtime.http import OutcomeLost

REASONS = [{"code": "wrong size", "storefront": "size", "back_office": "C - Wrong size"}]
REF = "shop:o1:1:r1"


def item(units: int = 1, name: str = "r1", state: str = "Advised") -> ReturnItem:
    return ReturnItem(item_id=name, key="", line_id="l1", units=units, state=state, payment="Initial", reason="size")


async def knows(life: House, order: Order, *items: ReturnItem, version: int = 5) -> None:
    """The storefront's order has these return items."""
    await life.take(msgspec.structs.replace(order, version=version, returns=items))


async def shipped(life: House, *lines: tuple[str, int]) -> Order:
    await life.begin(ARMCHAIR=20, TABLE=20)
    order = await life.bought(*lines)
    await life.steps()
    await life.left(despatch("S1", dict(lines)))
    await life.steps()
    return order


def back(life: House, units: int, ref: str = REF, **changes: Any) -> ReturnRow:
    at = life.clock.now()
    fields: dict[str, Any] = {
        "order_ref": "shop:o1:1", "sku": CHAIR, "quantity": units, "returned_at": at, "completed_at": at,
        "authorised": True, "authorisation": ref, "type": "unknown", "note": "", "reason": "", "condition": "As new",
        "line_type": "", "line_note": "",
    }  # fmt: skip
    return ReturnRow(**fields | changes)


async def notes(life: House) -> dict[str, int]:
    rows = await life.store.read(lambda tx: tx.all(book.sql.notes_of, order_id="o1"))
    return {row.item_id: int(row.arrived) for row in rows}


def test_a_return_is_announced_once_with_its_reason(store: Store) -> None:
    async def story(life: House) -> None:
        order = await shipped(life, (CHAIR, 3))
        await knows(life, order, item(2))
        await knows(life, order, item(2), version=6)
        assert "return.announce" in await life.steps()
        (advice,) = life.depot.announced.values()
        assert (advice.ref, advice.order_ref, advice.location, advice.authorised) == (REF, "shop:o1:1", "Berlin", True)
        assert [(x.sku, x.quantity, x.reason) for x in advice.lines] == [(CHAIR, 2, "C - Wrong size")]
        assert "return announced to the warehouse" in await life.story()
        assert await life.cases() == set()

    play(store, story, **ALONE, reasons=REASONS)


def test_what_comes_back_is_matched_by_the_number_it_was_announced_under(store: Store) -> None:
    async def story(life: House) -> None:
        order = await shipped(life, (CHAIR, 3))
        await knows(life, order, item(1), item(1, "r2"))
        await life.steps()
        row = back(life, 1, "shop:o1:1:r2", order_ref="")
        await life.came_back(row)
        assert await notes(life) == {"r1": 0, "r2": 1}
        await life.came_back(row)
        assert await notes(life) == {"r1": 0, "r2": 1}
        told = await life.store.read(lambda tx: tx.all(book.sql.announcements_of, order_id="o1"))
        assert [(a.item_id, a.arrived, a.told) for a in told] == [("r1", 0, True), ("r2", 1, True)]

    play(store, story, **ALONE, reasons=REASONS)


def test_an_answer_that_is_lost_announces_nothing_twice(store: Store) -> None:
    async def story(life: House) -> None:
        order = await shipped(life, (CHAIR, 3))
        life.depot.lost = [OutcomeLost("no answer")]
        await knows(life, order, item())
        await life.steps()
        assert life.depot.calls.count("returns") == 2
        assert list(life.depot.announced) == [REF]

    play(store, story)


def test_goods_that_have_not_left_are_announced_when_they_have(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=20)
        order = await life.bought((CHAIR, 3))
        await life.steps()
        await knows(life, order, item(2))
        await life.steps()
        assert life.depot.announced == {}
        await life.left(despatch("S1", {CHAIR: 1}))
        await life.steps()
        assert life.depot.announced == {}, "the second unit of it is still here"
        await life.left(despatch("S2", {CHAIR: 2}))
        await life.steps()
        assert [x.quantity for x in life.depot.announced[REF].lines] == [2]

    play(store, story)


def test_what_is_back_already_or_finished_is_not_announced(store: Store) -> None:
    async def story(life: House) -> None:
        order = await shipped(life, (CHAIR, 1))
        await life.came_back(back(life, 1, ""))
        await knows(life, order, item(1))
        await life.steps()
        assert life.depot.announced == {}
        await knows(life, order, item(1), item(1, "r2", state="BackInStock"), version=7)
        await life.steps()
        assert life.depot.announced == {}

    play(store, story)


def test_an_item_of_our_own_that_a_restored_database_does_not_know_is_not_announced(store: Store) -> None:
    async def story(life: House) -> None:
        order = await shipped(life, (CHAIR, 3))
        key = pieces.key_of("shop:o1:1/rma-7/2026-11-27T09:00:00+00:00", 1)
        await knows(life, order, msgspec.structs.replace(item(1, state="Returned"), key=key))
        await life.steps()
        assert life.depot.announced == {}
        await knows(life, order, msgspec.structs.replace(item(1, "r2"), key="portal-4711"), version=7)
        await life.steps()
        assert list(life.depot.announced) == ["shop:o1:1:r2"]

    play(store, story)


def test_a_kit_is_announced_as_the_goods_it_is_made_of(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=20, TABLE=20)
        order = await life.bought((SET, 2))
        await life.steps()
        await life.left(despatch("S1", {CHAIR: 4, TABLE: 2}))
        await life.steps()
        await knows(life, order, item(1))
        await life.steps()
        assert {x.sku: x.quantity for x in life.depot.announced[REF].lines} == {CHAIR: 2, TABLE: 1}

    play(store, story)


def test_a_warehouse_that_refuses_is_a_case_and_the_order_goes_on(store: Store) -> None:
    async def story(life: House) -> None:
        order = await shipped(life, (CHAIR, 2))
        life.depot.refuses_returns = "Unknown reason"
        await knows(life, order, item(1))
        await life.steps()
        assert await life.cases() == {"return_not_announced"}
        await life.came_back(back(life, 1))
        assert "order.return" in await life.steps()

    play(store, story)


def test_nothing_is_announced_where_the_settings_say_so(store: Store) -> None:
    async def story(life: House) -> None:
        order = await shipped(life, (CHAIR, 2))
        await knows(life, order, item(1))
        await life.steps()
        assert life.depot.announced == {}

    play(store, story, **{**ALONE, "orderflow": {**FLOW, "announce_returns": False}})
