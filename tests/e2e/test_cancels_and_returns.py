"""Cancels of units, changes of address and returns through both simulators, in one process."""

from __future__ import annotations

from typing import Any

from tests.e2e.test_main_job import FIRST, WAREHOUSE, case_kinds, healthy
from tests.e2e.world import COMPANY, SHOP, World, run

from sellable.app.replaying import inspect_return, refund_return
from sellable.book import book
from sellable.runtime.database import Store

STATES = {"states": [{"key": "Cancelled", "type": "LineItemState"}]}
SEEDS = ({**SHOP, **STATES}, COMPANY)
CANCELS = {"commercetools": {"cancelled_states": ["Cancelled"]}}


async def change(world: World, order_id: str, *actions: dict[str, Any]) -> None:
    """Somebody changes the order, which moves on under their hands."""
    for _ in range(20):
        fresh = await world.ct("GET", f"/orders/{order_id}")
        body = {"version": fresh["version"], "actions": list(actions)}
        answer = await world.http.post(f"http://ct.test/shop/orders/{order_id}", json=body)
        if answer.status_code != 409:
            assert answer.is_success, answer.text
            return
    raise AssertionError("the order never stands still")


async def cancel_units(world: World, order_id: str, units: int) -> None:
    (line,) = (await world.ct("GET", f"/orders/{order_id}"))["lineItems"]
    await change(
        world,
        order_id,
        {
            "action": "transitionLineItemState", "lineItemId": line["id"], "quantity": units,
            "fromState": line["state"][0]["state"], "toState": {"typeId": "state", "key": "Cancelled"},
        },
    )  # fmt: skip


async def live(world: World) -> list[Any]:
    return [sale for sale in await world.sales() if sale["order_status"] == "AUTHORISED"]


def test_units_are_cancelled_and_the_address_follows_until_it_is_picked(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        order = await world.buy({"ARMCHAIR": 3}, "web-uk")
        await world.until_stage(order["id"], "exported")
        await cancel_units(world, order["id"], 1)

        async def smaller() -> bool:
            sales = await live(world)
            return [int(line["quantity"]) for sale in sales for line in sale["lines"]] == [2]

        await world.until(smaller, "the sale has two units")
        await world.until_shown(ARMCHAIR__web_uk=8, ARMCHAIR__web_eu=12)
        address = order["shippingAddress"] | {"streetName": "Gasse"}
        await change(world, order["id"], {"action": "setShippingAddress", "address": address})

        async def told() -> bool:
            rows = await world.store.read(lambda tx: tx.all(book.sql.events_of, order_id=order["id"]))
            return "back office told: sale.header" in [row.what for row in rows]

        await world.until(told, "the back office has the address")
        assert await case_kinds(world) == {"refund_due"}
        await world.act(warehouse=WAREHOUSE)
        await world.until_stage(order["id"], "shipped")
        await cancel_units(world, order["id"], 1)
        await change(world, order["id"], {"action": "setShippingAddress", "address": order["shippingAddress"]})

        async def late() -> bool:
            return {"cancel_too_late", "change_too_late"} <= await case_kinds(world)

        await world.until(late, "cases of what came too late")
        await world.until_shown(ARMCHAIR__web_uk=8)
        await world.store.read(healthy)

    run(story, store, seeds=SEEDS, settings=CANCELS)


def test_goods_that_come_back_are_told_inspected_and_sold_again_once(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        await world.act(warehouse=WAREHOUSE)
        order = await world.buy({"ARMCHAIR": 2}, "web-uk")
        await world.until_stage(order["id"], "shipped")
        (sale,) = await live(world)
        credit = [{"SKU": "ARMCHAIR", "Quantity": 2}]
        await world.act(
            staff={"credit": sale["sale"], "lines": credit, "restock": [credit[0] | {"Location": "Berlin: RETURNS"}]}
        )

        async def items() -> list[tuple[str, str]]:
            fresh = await world.ct("GET", f"/orders/{order['id']}")
            return [(i["shipmentState"], i["paymentState"]) for info in fresh["returnInfo"] for i in info["items"]]

        async def returned() -> bool:
            return await items() == [("Returned", "Initial")] * 2

        await world.until(returned, "two items at the storefront")
        await world.until_shown(ARMCHAIR__web_uk=8)
        first, second = await world.store.read(lambda tx: tx.all(book.sql.read_pieces, order_id=order["id"]))
        settings, clock = world.service.settings, world.clock
        for piece, fate in ((first, "available"), (second, "damaged")):
            assert await world.store.write(inspect_return, settings, clock, "ada", piece.piece_id, fate, "looked at")
        await world.act(transfer={"sku": "ARMCHAIR", "from": "Berlin", "from_bin": "RETURNS", "to": "Berlin",
                                  "to_bin": "A1", "quantity": 1})  # fmt: skip
        assert await world.store.write(refund_return, settings, clock, "fin", order["id"], None, refunded=True) == 2

        async def done() -> bool:
            return sorted(await items()) == [("BackInStock", "Refunded"), ("Unusable", "Refunded")]

        await world.until(done, "the storefront says what became of them")
        await world.until_shown(ARMCHAIR__web_uk=9, ARMCHAIR__web_eu=13)
        await world.store.read(healthy)

    run(story, store, ct={"restocks_on_return": True}, settings={"commercetools": {"restocks_on_return": "yes"}})
