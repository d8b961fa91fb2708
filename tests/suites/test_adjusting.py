"""Where commercetools is the master of stock: what orders owe its numbers, step by step, on a real database."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.suites.orders_life import CHAIR, TABLE, query
from tests.suites.test_announcing import back
from tests.suites.test_importing import FLOW, House, despatch, play

from sellable.app import status
from sellable.domain.orders import InventoryMode, Order, OrderState
from sellable.orders import returns
from sellable.runtime.database import Store
from sellable.stock import numbers

REF = "shop:o1:1"
OWED = query("SELECT sku, sum(units)::int AS units FROM adjustment WHERE NOT aside GROUP BY sku HAVING sum(units) <> 0")
MADE = query("SELECT units::int AS units FROM adjustment WHERE source = 'order' ORDER BY id")
ENTRY = query(
    "INSERT INTO entry (sku, channel, remote_id, version, e, q, q_at, q_seq, baseline_at)"
    " VALUES ('ARMCHAIR', 'web-eu', 'r', 1, 7, 7, app_now(), 1, app_now() - interval '1 day')"
)


def counted(**changes: Any) -> dict[str, Any]:
    shop = {"restocks_on_cancel": "no", "restocks_on_return": "no", **changes.pop("shop", {})}
    return {
        "commercetools": shop, "orderflow": {**FLOW, **changes.pop("flow", {})}, "states": [],
        "locations": [{"name": "Berlin", "master": "commercetools", "shipped_by": "orderflow", "remote": "BER"}],
        "pools": [{"name": "eu", "locations": ["Berlin"]}],
        "channels": [{"key": "web-eu", "pool": "eu", **changes.pop("channel", {})}],
        **changes,
    }  # fmt: skip


async def owed(life: House) -> dict[str, int]:
    return {r.sku: r.units for r in await life.store.read(lambda tx: tx.all(OWED))}


async def made(life: House) -> list[int]:
    return [r.units for r in await life.store.read(lambda tx: tx.all(MADE))]


def without_stock_keeping(order: Order) -> Order:
    lines = tuple(msgspec.structs.replace(line, mode=InventoryMode.NONE) for line in order.lines)
    return msgspec.structs.replace(order, lines=lines)


async def bought(life: House, *lines: tuple[str, int], none: bool = False) -> Order:
    await life.begin(ARMCHAIR=20, TABLE=20)
    order = life.order(*lines)
    order = without_stock_keeping(order) if none else order
    await life.take(order)
    await life.steps()
    return order


async def staff_leave(life: House, units: dict[str, int]) -> None:
    """Staff at the warehouse cancel down to these units, and the order is read."""
    life.depot.orders[REF] |= {"units": units, "stage": "allocated"}
    await life.seen(REF)
    await life.steps()


def test_what_ships_as_ordered_owes_nothing(store: Store) -> None:
    async def story(life: House) -> None:
        await bought(life, (CHAIR, 3))
        await life.left(despatch("S1", {CHAIR: 1}))
        await life.left(despatch("S1", {CHAIR: 1}), despatch("S2", {CHAIR: 2}))
        assert (await owed(life), await made(life)) == ({}, [])

    play(store, story, **counted())


def test_units_beyond_the_order_are_taken_off_once(store: Store) -> None:
    async def story(life: House) -> None:
        await bought(life, (CHAIR, 3))
        for _ in range(3):
            await life.left(despatch("S1", {CHAIR: 5}))
        assert await made(life) == [-2]
        assert await life.cases() == {"over_shipped"}

    play(store, story, **counted())


def test_what_commercetools_does_not_keep_is_taken_off_at_once_and_given_back_when_cancelled(store: Store) -> None:
    async def story(life: House) -> None:
        order = await bought(life, (CHAIR, 3), none=True)
        assert await made(life) == [-3]
        await life.cancel(order)
        assert await made(life) == [-3], "the warehouse may still ship them"
        await life.steps()
        assert await made(life) == [-3, 3]

    play(store, story, **counted())


def test_a_cancel_that_comes_too_late_leaves_the_units_out(store: Store) -> None:
    async def story(life: House) -> None:
        order = await bought(life, (CHAIR, 3))
        life.depot.orders[REF]["stage"] = "packed"
        await life.cancel(order)
        # commercetools puts them back by itself, and they are still at the packing table.
        assert await owed(life) == {CHAIR: -3}
        await life.steps()
        assert await life.cases() == {"cancel_too_late"}
        await life.left(despatch("S1", {CHAIR: 3}))
        assert (await owed(life), await made(life)) == ({CHAIR: -3}, [-3])

    play(store, story, **counted(shop={"restocks_on_cancel": "yes"}))


def test_an_order_that_nobody_was_told_of_is_given_back_at_once(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=20)
        order = life.order((CHAIR, 3))
        await life.take(order)
        await life.cancel(order)
        assert await made(life) == [3]
        await life.take(msgspec.structs.replace(order, order_id="o2", version=2, state=OrderState.CANCELLED))
        assert await made(life) == [3, 3], "cancelled before it was seen"

    play(store, story, **counted())


@pytest.mark.parametrize(("word", "expected"), [("gone", []), ("back", [1])])
def test_units_that_the_warehouse_cancels_are_gone_unless_it_says_otherwise(
    store: Store, word: str, expected: list[int]
) -> None:
    async def story(life: House) -> None:
        await bought(life, (CHAIR, 3))
        await staff_leave(life, {CHAIR: 2})
        assert await made(life) == expected
        await life.left(despatch("S1", {CHAIR: 2}))
        assert await made(life) == expected

    play(store, story, **counted(flow={"cancelled_units": word}, orders={"staff_cancels": True}))


def test_an_order_that_the_warehouse_cancels_whole_is_lowered_before_commercetools_puts_it_back(store: Store) -> None:
    async def story(life: House) -> None:
        order = await bought(life, (CHAIR, 3))
        life.depot.orders[REF] |= {"status": "voided"}
        await life.seen(REF)
        assert await owed(life) == {CHAIR: -3}
        await life.steps()
        await life.take(msgspec.structs.replace(order, version=9, state=OrderState.CANCELLED))
        assert (await owed(life), await made(life)) == ({CHAIR: -3}, [-3])

    play(store, story, **counted(shop={"restocks_on_cancel": "yes"}, orders={"staff_cancels": True}))


def test_units_moved_to_a_cancelled_state_come_back_when_the_order_is_shorter(store: Store) -> None:
    async def story(life: House) -> None:
        order = await bought(life, (CHAIR, 3))
        fewer = (msgspec.structs.replace(order.lines[0], cancelled=1),)
        await life.take(msgspec.structs.replace(order, version=5, lines=fewer))
        assert await made(life) == []
        await life.steps()
        assert life.depot.orders[REF]["units"] == {CHAIR: 2}
        assert await made(life) == [1]

    shop = {"restocks_on_cancel": "yes", "cancelled_states": ["cancelled"]}
    play(store, story, **counted(shop=shop))


def test_what_came_back_fit_to_be_sold_is_added_once_and_taken_off_when_it_is_not(store: Store) -> None:
    async def story(life: House) -> None:
        await bought(life, (CHAIR, 3))
        await life.left(despatch("S1", {CHAIR: 3}))
        good, bad = back(life, 2, ""), back(life, 1, "", condition="Product damaged (irreparable)")
        await life.came_back(good, bad)
        await life.came_back(good, bad)
        assert await made(life) == [2]
        piece = await _piece(life)
        assert await life.store.write(returns.decide, piece, "damaged", "Ada", "torn", life.clock.now(), life.context)
        assert await made(life) == [2, -2]

    play(store, story, **counted())


async def _piece(life: House) -> str:
    rows = await life.store.read(
        lambda tx: tx.all(query("SELECT piece_id FROM return_piece WHERE fate = 'available' ORDER BY piece_id"))
    )
    return str(rows[0].piece_id)


def test_where_the_label_puts_units_back_nothing_is_added(store: Store) -> None:
    async def story(life: House) -> None:
        await bought(life, (CHAIR, 3))
        await life.left(despatch("S1", {CHAIR: 3}))
        await life.came_back(back(life, 1, ""))
        await life.steps()
        assert await made(life) == []
        piece = await _piece(life)
        await life.store.write(returns.decide, piece, "damaged", "Ada", "torn", life.clock.now(), life.context)
        assert await made(life) == [-1], "it has been labelled, and is none after all"

    play(store, story, **counted(shop={"restocks_on_return": "yes"}))


def test_a_line_that_is_added_later_is_followed_and_old_ones_are_not(store: Store) -> None:
    async def story(life: House) -> None:
        order = await bought(life, (CHAIR, 1), none=True)
        await life.store.write(lambda tx: tx.run(query("DELETE FROM counted_line")))
        more = without_stock_keeping(life.order((CHAIR, 1), (TABLE, 2), version=4))
        await life.take(msgspec.structs.replace(more, placed_at=order.placed_at))
        assert await owed(life) == {CHAIR: -1, TABLE: -2}

    play(store, story, **counted())


def test_orders_of_a_shadow_are_left_to_who_writes_there(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=20)
        await life.take(without_stock_keeping(life.order((CHAIR, 3))))
        assert await made(life) == []

    play(store, story, **counted(channel={"mode": "shadow"}))


def test_what_is_owed_is_the_difference_and_the_warehouse_is_only_compared(store: Store) -> None:
    async def story(life: House) -> None:
        await bought(life, (CHAIR, 3), none=True)
        await life.store.write(lambda tx: tx.run(ENTRY))
        (number,) = await life.store.read(numbers.compute, [CHAIR], life.context.layout, life.clock.now())
        assert (number.e, number.d, number.explanation.target) == (7, -3, 4)
        assert number.explanation.counted is not None
        assert number.explanation.counted.by_warehouse == 17

    play(store, story, **counted())


def test_units_of_an_order_that_has_no_place_yet_are_no_difference(store: Store) -> None:
    """commercetools has taken them off already, however long the order waits for a person."""

    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=7)
        await life.store.write(lambda tx: tx.run(ENTRY))
        places = {"channel": ["web-eu"], "location": ["Berlin"]}

        async def differing() -> list[tuple[str, int]]:
            rows = await life.store.read(lambda tx: tx.all(status.sql.stock_that_differs, **places))
            return [(row.sku, row.units) for row in rows]

        assert await differing() == []
        await life.take(life.order((CHAIR, 2), total=1))
        await life.steps()
        assert await life.stage() == "held"
        assert await differing() == []
        await life.count(ARMCHAIR=6)
        assert await differing() == [(CHAIR, 1)]

    play(store, story, **counted())
