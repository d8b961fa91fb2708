"""The commercetools simulator over its HTTP API: its door, inventory, carts, orders and money."""

from typing import Any

import pytest
from commercetools_world import World, code, story

# --- door ------------------------------------------------------------------------------------------------------------


def test_tokens_scopes_and_headers() -> None:
    async def act(world: World) -> None:
        wrong = await world.http.post("/oauth/token", auth=("ours", "no"), data={"grant_type": "client_credentials"})
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        body = {"grant_type": "client_credentials", "scope": "manage_orders:shop"}
        refused = await world.http.post("/oauth/token", auth=("reader", "r"), data=body)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
        entry = await world.entry()
        answer = await world.http.get("/shop/inventory", headers={"X-Correlation-ID": "our-trace-1"})
        assert answer.headers["x-correlation-id"] == "our-trace-1"
        assert answer.headers["date"] == "Fri, 21 Nov 2025 08:00:00 GMT"
        await world.sign_in("reader", "r")
        assert (await world.call("GET", "/inventory"))["count"] == 3
        assert code(await world.change(entry, status=403)) == "insufficient_scope"
        assert code(await world.call("GET", "/messages", status=403)) == "insufficient_scope"
        world.hands.at += 172_800
        expired = await world.call("GET", "/inventory", status=401)
        assert expired == {
            "statusCode": 401,
            "message": "invalid_token",
            "errors": [{"code": "invalid_token", "message": "invalid_token"}],
            "error": "invalid_token",
            "error_description": "invalid_token",
        }

    story(act)


def test_the_limit_of_calls_a_second() -> None:
    async def act(world: World) -> None:
        for _ in range(3):
            await world.call("GET", "/inventory")
        assert code(await world.call("GET", "/inventory", status=503)) == "OverCapacity"
        world.hands.at += 1
        await world.call("GET", "/inventory")

    story(act, max_requests_per_second=3)


@pytest.mark.parametrize(
    ("query", "word"),
    [({"limit": "501"}, "limit"), ({"offset": "10001"}, "offset"), ({"where": "nonsense = 1"}, "nonsense"),
     ({"sort": "sku sideways"}, "sort")],
)  # fmt: skip
def test_malformed_queries(query: dict[str, str], word: str) -> None:
    async def act(world: World) -> None:
        refused = await world.call("GET", "/inventory", status=400, **query)
        assert code(refused) == "InvalidInput"
        assert word in refused["message"]

    story(act)


# --- inventory -------------------------------------------------------------------------------------------------------


def test_one_entry_for_each_sku_and_channel() -> None:
    async def act(world: World) -> None:
        draft: Any = {"sku": "ARMCHAIR", "quantityOnStock": 1, "supplyChannel": {"typeId": "channel", "key": "web"}}
        refused = await world.call("POST", "/inventory", draft, status=400)
        assert (code(refused), refused["errors"][0]["field"]) == ("DuplicateField", "sku")
        draft["supplyChannel"]["key"] = "erp"
        assert code(await world.call("POST", "/inventory", draft, status=400)) == "MissingRoleOnChannel"
        draft["supplyChannel"]["key"] = "nowhere"
        assert code(await world.call("POST", "/inventory", draft, status=400)) == "ReferencedResourceNotFound"
        draft["supplyChannel"]["key"] = "store"
        made = await world.call("POST", "/inventory", {**draft, "key": "ARMCHAIR_store"}, status=201)
        assert (await world.call("GET", "/inventory/key=ARMCHAIR_store"))["id"] == made["id"]
        web = {"typeId": "channel", "key": "web"}
        moved = await world.change(made, {"action": "setSupplyChannel", "supplyChannel": web}, status=400)
        assert code(moved) == "DuplicateField"
        assert (await world.call("DELETE", f"/inventory/{made['id']}", version=1))["id"] == made["id"]
        assert code(await world.call("GET", f"/inventory/{made['id']}", status=404)) == "ResourceNotFound"

    story(act)


def test_versions_and_atomic_actions() -> None:
    async def act(world: World) -> None:
        entry = await world.entry()
        changed = await world.change(entry, {"action": "removeQuantity", "quantity": 12})
        assert (changed["version"], changed["quantityOnStock"], changed["availableQuantity"]) == (2, -2, -2)
        stale = await world.change(entry, {"action": "addQuantity", "quantity": 1}, status=409)
        assert (code(stale), stale["errors"][0]["currentVersion"]) == ("ConcurrentModification", 2)
        bad = [{"action": "addQuantity", "quantity": 9}, {"action": "fly"}]
        assert code(await world.change(changed, *bad, status=400)) == "InvalidJsonInput"
        same = await world.change(changed, {"action": "changeQuantity", "quantity": -2})
        assert (same["version"], same["quantityOnStock"]) == (2, -2)
        limits = {"action": "setInventoryLimits", "minCartQuantity": 2, "maxCartQuantity": 4}
        both = await world.change(same, limits, {"action": "setRestockableInDays", "restockableInDays": 0})
        assert (both["version"], both["minCartQuantity"], both["maxCartQuantity"], both["restockableInDays"]) == (
            3,
            2,
            4,
            0,
        )

    story(act)


def test_actions_can_be_torn_by_switch() -> None:
    async def act(world: World) -> None:
        entry = await world.entry()
        await world.change(entry, {"action": "addQuantity", "quantity": 9}, {"action": "fly"}, status=400)
        assert (await world.entry())["quantityOnStock"] == 19

    story(act, actions_atomic=False)


def test_custom_fields_of_an_entry() -> None:
    async def act(world: World) -> None:
        entry = await world.entry()
        field = {"action": "setCustomField", "name": "lastOp", "value": "op-1"}
        assert code(await world.change(entry, field, status=400)) == "InvalidOperation"
        kind = {"action": "setCustomType", "type": {"typeId": "type", "key": "sync"}, "fields": {"lastOp": "op-0"}}
        entry = await world.change(entry, kind)
        entry = await world.change(entry, {"action": "addQuantity", "quantity": 5}, field)
        assert (entry["quantityOnStock"], entry["custom"]["fields"]) == (15, {"lastOp": "op-1"})
        found = await world.call("GET", "/inventory", where='custom(fields(lastOp = "op-1"))')
        assert [e["id"] for e in found["results"]] == [entry["id"]]
        unknown = {"action": "setCustomField", "name": "colour", "value": "red"}
        assert code(await world.change(entry, unknown, status=400)) == "InvalidOperation"

    story(act)


# --- orders and stock ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "left"), [("None", 10), ("TrackOnly", 7), ("ReserveOnOrder", 7), ("ReserveOnCart", 7)]
)
def test_what_an_order_takes(mode: str, left: int) -> None:
    async def act(world: World) -> None:
        order = await world.order(await world.cart(("ARMCHAIR", 3), mode=mode))
        entry = await world.entry()
        assert (entry["quantityOnStock"], entry["availableQuantity"], order["inventoryMode"]) == (left, left, mode)
        assert (await world.entry(channel=None))["quantityOnStock"] == 3
        (accepted,) = world.journal("order_accepted")
        expected = {"sku": "ARMCHAIR", "channel": "web", "mode": mode, "quantity": 3}
        assert {name: accepted["lines"][0][name] for name in expected} == expected

    story(act)


@pytest.mark.parametrize(
    ("mode", "backorder", "channel", "accepted"),
    [("None", False, "web", True), ("TrackOnly", False, "web", True), ("ReserveOnOrder", False, "web", False),
     ("ReserveOnOrder", True, "web", True), ("TrackOnly", False, "store", False),
     ("ReserveOnCart", False, "web", False)],
)  # fmt: skip
def test_what_an_order_beyond_stock_meets(mode: str, backorder: bool, channel: str, accepted: bool) -> None:
    async def act(world: World) -> None:
        if backorder:
            await world.change(await world.entry(), {"action": "setRestockableInDays", "restockableInDays": 0})
        cart = await world.cart(("ARMCHAIR", 11), mode=mode, channel=channel)
        answer = await world.order(cart, status=201 if accepted else 400)
        if accepted:
            return
        assert code(answer) == "OutOfStock"
        assert answer["errors"][0]["skus"] == ["ARMCHAIR"]
        assert answer["errors"][0]["lineItems"] == [cart["lineItems"][0]["id"]]
        (refused,) = world.journal("order_refused")
        available = None if channel == "store" else 10
        assert (refused["sku"], refused["channel"], refused["asked"], refused["available"]) == (
            "ARMCHAIR", channel, 11, available,
        )  # fmt: skip
        assert (await world.entry())["quantityOnStock"] == 10

    story(act)


def test_a_line_has_its_own_mode() -> None:
    async def act(world: World) -> None:
        cart = await world.cart(("ARMCHAIR", 3), ("TABLE", 2))
        action = {
            "action": "setLineItemInventoryMode",
            "lineItemId": cart["lineItems"][0]["id"],
            "inventoryMode": "None",
        }
        await world.order(await world.change(cart, action, path="/carts"))
        assert (await world.entry())["quantityOnStock"] == 10
        assert (await world.entry("TABLE"))["quantityOnStock"] == 3

    story(act)


def test_a_decrement_shows_late_and_raises_the_version() -> None:
    async def act(world: World) -> None:
        await world.order(await world.cart(("ARMCHAIR", 3)))
        entry = await world.entry()
        assert (entry["quantityOnStock"], entry["version"]) == (10, 1)
        assert world.vendor.truth()["projects"]["shop"]["entries"][0]["internal"] == 7
        (written,) = world.journal("entry_written")
        assert (written["cause"], written["old"], written["new"], written["channel"]) == ("order", 10, 7, "web")
        assert 0 < written["visible_at"] - world.hands.at <= 10
        assert code(await world.order(await world.cart(("ARMCHAIR", 8)), status=400)) == "OutOfStock"
        world.hands.at += 10
        entry = await world.entry()
        assert (entry["quantityOnStock"], entry["availableQuantity"], entry["version"]) == (7, 7, 2)

    story(act, order_lag_seconds=10)


@pytest.mark.parametrize(("semantics", "shown", "internal"), [("absorbs", 20, 20), ("not", 17, 17)])
def test_whether_a_set_absorbs_a_lagging_decrement(semantics: str, shown: int, internal: int) -> None:
    async def act(world: World) -> None:
        await world.order(await world.cart(("ARMCHAIR", 3)))
        entry = await world.change(await world.entry(), {"action": "changeQuantity", "quantity": 20})
        assert entry["quantityOnStock"] == 20
        world.hands.at += 10
        assert (await world.entry())["quantityOnStock"] == shown
        assert world.vendor.truth()["projects"]["shop"]["entries"][0]["internal"] == internal

    story(act, order_lag_seconds=10, set_semantics=semantics)


def test_a_relative_write_keeps_a_lagging_decrement() -> None:
    async def act(world: World) -> None:
        await world.order(await world.cart(("ARMCHAIR", 3)))
        assert (await world.change(await world.entry(), {"action": "addQuantity", "quantity": 5}))[
            "quantityOnStock"
        ] == 15
        world.hands.at += 10
        assert (await world.entry())["quantityOnStock"] == 12

    story(act, order_lag_seconds=10)


def test_acceptance_on_the_lagging_number_oversells() -> None:
    async def act(world: World) -> None:
        await world.order(await world.cart(("ARMCHAIR", 8)))
        await world.order(await world.cart(("ARMCHAIR", 8)))
        world.hands.at += 10
        entry = await world.entry()
        assert (entry["quantityOnStock"], entry["version"]) == (-6, 1)

    story(act, order_lag_seconds=10, accept_on="lagging", order_bumps_version=False)


def test_holds_of_carts() -> None:
    async def act(world: World) -> None:
        cart = await world.cart(("ARMCHAIR", 6), mode="ReserveOnCart")
        entry = await world.entry()
        assert (entry["quantityOnStock"], entry["availableQuantity"]) == (10, 4)
        assert cart["lineItems"][0]["reservation"]["typeId"] == "reservation"
        other = await world.cart(("ARMCHAIR", 5), mode="ReserveOnCart")
        assert [warning["code"] for warning in other["warnings"]] == ["CannotCreateReservation"]
        assert code(await world.order(other, status=400)) == "OutOfStock"
        fewer = {"action": "changeLineItemQuantity", "lineItemId": cart["lineItems"][0]["id"], "quantity": 5}
        cart = await world.change(cart, fewer, path="/carts")
        assert (await world.entry())["availableQuantity"] == 5
        await world.order(cart)
        entry = await world.entry()
        assert (entry["quantityOnStock"], entry["availableQuantity"]) == (5, 5)
        left = await world.cart(("ARMCHAIR", 2), mode="ReserveOnCart")
        assert (await world.entry())["availableQuantity"] == 3
        world.hands.at += 240 * 60
        assert (await world.entry())["availableQuantity"] == 5
        await world.change(left, {"action": "removeLineItem", "lineItemId": left["lineItems"][0]["id"]}, path="/carts")
        assert (await world.entry())["availableQuantity"] == 5

    story(act)


@pytest.mark.parametrize(("restocks", "left"), [(True, 10), (False, 7)])
def test_cancelling_restocks_by_switch_and_once(restocks: bool, left: int) -> None:
    async def act(world: World) -> None:
        order = await world.order(await world.cart(("ARMCHAIR", 3)))
        cancel = {"action": "changeOrderState", "orderState": "Cancelled"}
        order = await world.change(order, cancel, path="/orders")
        assert (await world.entry())["quantityOnStock"] == left
        order = await world.change(order, {"action": "changeOrderState", "orderState": "Open"}, path="/orders")
        order = await world.change(order, cancel, path="/orders")
        await world.call("DELETE", f"/orders/{order['id']}", version=order["version"])
        assert (await world.entry())["quantityOnStock"] == left
        assert [row["restocked"] for row in world.journal("order_cancelled")] == [restocks, False]

    story(act, restocks_on_cancel=restocks, restocks_on_delete=restocks)


def test_order_numbers_and_carts_are_used_once() -> None:
    async def act(world: World) -> None:
        cart = await world.cart(("TABLE", 1))
        assert code(await world.order({**cart, "version": 99}, status=409)) == "ConcurrentModification"
        order = await world.order(cart, orderNumber="W/1")
        assert (await world.call("GET", "/orders/order-number=W%2F1"))["id"] == order["id"]
        again = await world.call("GET", f"/carts/{cart['id']}")
        assert again["cartState"] == "Ordered"
        assert code(await world.order(again, status=400)) == "InvalidOperation"
        other = await world.cart(("TABLE", 1))
        refused = await world.order(other, status=400, orderNumber="W/1")
        assert (code(refused), refused["errors"][0]["field"]) == ("DuplicateField", "orderNumber")
        assert (await world.entry("TABLE"))["quantityOnStock"] == 4

    story(act)


def test_cart_limits_of_an_entry() -> None:
    async def act(world: World) -> None:
        await world.change(
            await world.entry(), {"action": "setInventoryLimits", "minCartQuantity": 2, "maxCartQuantity": 3}
        )
        cart = await world.cart(("ARMCHAIR", 2))
        action = {"action": "changeLineItemQuantity", "lineItemId": cart["lineItems"][0]["id"]}
        above = await world.change(cart, {**action, "quantity": 4}, path="/carts", status=400)
        below = await world.change(cart, {**action, "quantity": 1}, path="/carts", status=400)
        assert (code(above), code(below)) == ("LineItemQuantityAboveLimit", "LineItemQuantityBelowLimit")

    story(act)


# --- money -----------------------------------------------------------------------------------------------------------


def amounts(order: Any) -> tuple[int, int, int, int]:
    taxed = order["taxedPrice"]
    return (order["totalPrice"]["centAmount"],
            *(taxed[name]["centAmount"] for name in ("totalNet", "totalTax", "totalGross")))  # fmt: skip


def test_totals_with_platform_taxes_included() -> None:
    async def act(world: World) -> None:
        order = await world.order(await world.cart(("ARMCHAIR", 1), ("TABLE", 3)))
        assert amounts(order) == (11900 + 2997 + 490, 10000 + 2518 + 412, 1900 + 479 + 78, 15387)
        assert order["taxedShippingPrice"]["totalNet"]["centAmount"] == 412
        (portion,) = order["taxedPrice"]["taxPortions"]
        assert (portion["rate"], portion["name"], portion["amount"]["centAmount"]) == (0.19, "19 %", 2457)

    story(act)


@pytest.mark.parametrize(("level", "gross"), [("LineItemLevel", 386), ("UnitPriceLevel", 387)])
def test_totals_with_external_prices_and_taxes(level: str, gross: int) -> None:
    async def act(world: World) -> None:
        rate = {"name": "VAT", "amount": 0.19, "country": "DE", "includedInPrice": False}
        line = {"sku": "TABLE", "quantity": 3, "externalPrice": {"currencyCode": "EUR", "centAmount": 108}}
        draft = {"currency": "EUR", "taxMode": "External", "taxCalculationMode": level,
                 "shippingAddress": {"country": "DE"},
                 "lineItems": [{**line, "externalTaxRate": rate}]}  # fmt: skip
        cart = await world.call("POST", "/carts", draft, status=201)
        assert amounts(cart) == (324, 324, gross - 324, gross)
        shipping = {"action": "setCustomShippingMethod", "shippingMethodName": "Van",
                    "shippingRate": {"price": {"currencyCode": "EUR", "centAmount": 1000}}}  # fmt: skip
        cart = await world.change(cart, shipping, path="/carts")
        assert "taxedPrice" not in cart
        assert code(await world.order(cart, status=400)) == "InvalidOperation"
        cart = await world.change(cart, {"action": "setShippingMethodTaxRate", "externalTaxRate": rate}, path="/carts")
        assert amounts(cart) == (1324, 1324, gross - 324 + 190, gross + 1190)

    story(act)


def test_a_country_without_a_rate_is_refused() -> None:
    async def act(world: World) -> None:
        cart = await world.cart(("TABLE", 1))
        moved = {"action": "setShippingAddress", "address": {"country": "FR"}}
        assert code(await world.change(cart, moved, path="/carts", status=400)) == "MissingTaxRateForCountry"

    story(act)


@pytest.mark.parametrize(("restocks", "left"), [(True, 9), (False, 7)])
def test_a_return_restocks_by_switch_and_once(restocks: bool, left: int) -> None:
    async def act(world: World) -> None:
        order = await world.order(await world.cart(("ARMCHAIR", 3)))
        item = {
            "key": "r1", "lineItemId": order["lineItems"][0]["id"], "quantity": 2, "shipmentState": "Returned",
        }  # fmt: skip
        order = await world.change(order, {"action": "addReturnInfo", "items": [item]}, path="/orders")
        assert (await world.entry())["quantityOnStock"] == 7
        moved = {"action": "setReturnShipmentState", "returnItemKey": "r1", "shipmentState": "BackInStock"}
        await world.change(order, moved, path="/orders")
        assert (await world.entry())["quantityOnStock"] == left
        assert [row["state"] for row in world.journal("return_moved")] == ["BackInStock"]

    story(act, restocks_on_return=restocks)
