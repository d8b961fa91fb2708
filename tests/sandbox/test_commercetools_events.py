"""The commercetools simulator over its HTTP API: fulfilment, messages, extensions, GraphQL, control."""

import asyncio
import json
from typing import Any

import pytest
from commercetools_world import World, code, story

# --- fulfilment ------------------------------------------------------------------------------------------------------


def test_deliveries_returns_and_sync_info() -> None:
    async def act(world: World) -> None:
        order = await world.order(await world.cart(("ARMCHAIR", 2)), orderNumber="W1")
        line = order["lineItems"][0]["id"]
        channel = {"typeId": "channel", "key": "erp"}
        order = await world.change(
            order,
            {"action": "addDelivery", "deliveryKey": "SHIP-1", "items": [{"id": line, "quantity": 9}],
             "parcels": [{"key": "P1", "trackingData": {"trackingId": "T1", "carrier": "DHL"}}]},
            {"action": "updateSyncInfo", "channel": channel, "externalId": "SO-1"},
            {"action": "changeShipmentState", "shipmentState": "Shipped"},
            {"action": "addReturnInfo",
             "items": [{"key": "R1", "quantity": 1, "lineItemId": line, "shipmentState": "Returned"}]},
            path="/orders",
        )  # fmt: skip
        (delivery,) = order["shippingInfo"]["deliveries"]
        assert (delivery["key"], delivery["items"][0]["quantity"], delivery["parcels"][0]["key"]) == ("SHIP-1", 9, "P1")
        twice = {"action": "addDelivery", "deliveryKey": "SHIP-1", "items": []}
        assert code(await world.change(order, twice, path="/orders", status=400)) == "DuplicateField"
        web = {"action": "updateSyncInfo", "channel": {"typeId": "channel", "key": "web"}, "externalId": "X"}
        assert code(await world.change(order, web, path="/orders", status=400)) == "InvalidInput"
        found = await world.call("GET", "/orders", where='syncInfo(externalId = "SO-1")')
        assert [o["orderNumber"] for o in found["results"]] == ["W1"]
        back = {"action": "setReturnShipmentState", "returnItemKey": "R1", "shipmentState": "BackInStock"}
        paid = {"action": "setReturnPaymentState", "returnItemKey": "R1", "paymentState": "Refunded"}
        order = await world.change(order, back, paid, path="/orders")
        item = order["returnInfo"][0]["items"][0]
        assert (item["shipmentState"], item["paymentState"]) == ("BackInStock", "Refunded")
        assert code(await world.change(order, back, path="/orders", status=400)) == "InvalidOperation"
        kinds = [m["type"] for m in await world.messages(where=f'resource(id = "{order["id"]}")')]
        assert kinds == ["OrderCreated", "DeliveryAdded", "ParcelAddedToDelivery", "OrderShipmentStateChanged",
                         "ReturnInfoAdded", "OrderReturnShipmentStateChanged"]  # fmt: skip
        assert [row["external_id"] for row in world.journal("sync_info_set")] == ["SO-1"]

    story(act)


def test_line_states_move_by_units() -> None:
    async def act(world: World) -> None:
        order = await world.order(await world.cart(("ARMCHAIR", 5)))
        line = order["lineItems"][0]
        move = {"action": "transitionLineItemState", "lineItemId": line["id"], "quantity": 2,
                "fromState": line["state"][0]["state"], "toState": {"typeId": "state", "key": "cancelled"}}  # fmt: skip
        order = await world.change(order, move, path="/orders")
        assert [part["quantity"] for part in order["lineItems"][0]["state"]] == [3, 2]
        refused = await world.change(order, {**move, "quantity": 4}, path="/orders", status=400)
        assert code(refused) == "InvalidOperation"

    story(act)


def test_orders_are_imported_and_edited() -> None:
    async def act(world: World) -> None:
        price = {"value": {"currencyCode": "EUR", "centAmount": 500}}
        line = {"name": {"en": "Table"}, "variant": {"sku": "TABLE"}, "quantity": 2, "price": price}
        draft = {"orderNumber": "POS-1", "totalPrice": {"currencyCode": "EUR", "centAmount": 1000}, "lineItems": [line]}
        order = await world.call("POST", "/orders/import", draft, status=201)
        assert (order["inventoryMode"], order["lineItems"][0]["totalPrice"]["centAmount"]) == ("None", 1000)
        assert (await world.entry("TABLE"))["quantityOnStock"] == 5
        staged = [{"action": "changeLineItemQuantity", "lineItemId": order["lineItems"][0]["id"], "quantity": 1}]
        wish = {"resource": {"typeId": "order", "id": order["id"]}, "stagedActions": staged}
        edit = await world.call("POST", "/orders/edits", wish, status=201)
        versions = {"editVersion": edit["version"], "resourceVersion": order["version"]}
        await world.call("POST", f"/orders/edits/{edit['id']}/apply", versions)
        order = await world.call("GET", f"/orders/{order['id']}")
        assert (order["lineItems"][0]["quantity"], order["totalPrice"]["centAmount"]) == (1, 500)
        kept = await world.order(await world.cart(("TABLE", 1)))
        wish["resource"] = {"typeId": "order", "id": kept["id"]}
        assert code(await world.call("POST", "/orders/edits", wish, status=400)) == "InvalidOperation"
        kinds = [m["type"] for m in await world.messages(where='resource(typeId = "order")')]
        assert kinds == ["OrderImported", "OrderEditApplied", "OrderCreated"]

    story(act)


# --- messages, subscriptions, extensions -----------------------------------------------------------------------------


def test_messages_tell_direct_changes_only() -> None:
    async def act(world: World) -> None:
        order = await world.order(await world.cart(("ARMCHAIR", 3)))
        entry = await world.change(await world.entry(), {"action": "addQuantity", "quantity": 2})
        await world.change(entry, {"action": "changeQuantity", "quantity": 0})
        found = await world.messages()
        assert [m["type"] for m in found] == ["OrderCreated", "InventoryEntryQuantitySet", "InventoryEntryQuantitySet",
                                              "InventoryEntryOutOfStock"]  # fmt: skip
        created, added = found[0], found[1]
        assert (created["order"]["id"], created["order"]["version"], created["sequenceNumber"]) == (order["id"], 1, 1)
        assert (added["oldQuantityOnStock"], added["newQuantityOnStock"], added["sku"]) == (7, 9, "ARMCHAIR")
        assert added["createdBy"]["clientId"] == "ours"
        assert [m["sequenceNumber"] for m in found[1:]] == [1, 2, 3]
        cursor = f'(createdAt > "{created["createdAt"]}" or (createdAt = "{created["createdAt"]}" and id > "zz"))'
        assert await world.messages(where=cursor, withTotal="false") == []
        world.hands.at += 15 * 86_400 + 1
        await world.sign_in()
        assert await world.messages() == []

    story(act)


def test_messages_can_be_off_or_late() -> None:
    async def act(world: World) -> None:
        await world.order(await world.cart(("ARMCHAIR", 1)))
        assert await world.messages() == []
        world.hands.at += 5
        (late,) = await world.messages()
        assert late["createdAt"] == "2025-11-21T08:00:00.000Z"
        project = await world.call("GET", "")
        off = {"action": "changeMessagesEnabled", "messagesEnabled": False}
        await world.call("POST", "", {"version": project["version"], "actions": [off]})
        await world.order(await world.cart(("ARMCHAIR", 1)))
        world.hands.at += 5
        assert len(await world.messages()) == 1

    story(act, message_visible_lag_seconds=5)


@pytest.mark.parametrize("form", ["Platform", "CloudEvents"])
def test_subscriptions_deliver_at_least_once(form: str) -> None:
    async def act(world: World) -> None:
        got: list[Any] = []

        async def post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
            got.append((url, json.loads(body)))
            return 200, b""

        world.vendor.outbound.post = post
        draft = {
            "key": "orders",
            "destination": {"type": "SQS"},
            "messages": [{"resourceTypeId": "order", "types": []}],
        }
        await world.call("POST", "/subscriptions", draft, status=201)
        wish = {"subscription_key": "orders", "url": "http://us/hook", "format": form, "duplicate_rate": 1.0}
        answer = await world.http.post("/_sandbox/act", json={"deliver": wish})
        assert answer.status_code == 200, answer.text
        order = await world.order(await world.cart(("ARMCHAIR", 1)))
        await world.change(await world.entry(), {"action": "addQuantity", "quantity": 2})
        await world.vendor.outbound.quiet()
        assert len(got) == 2
        assert got[0] == got[1]
        url, payload = got[0]
        data = payload if form == "Platform" else payload["data"]
        assert (url, data["type"], data["resource"]["id"]) == ("http://us/hook", "OrderCreated", order["id"])
        assert data["notificationType"] == "Message"
        if form == "CloudEvents":
            assert payload["type"] == "com.commercetools.order.message.OrderCreated"

    story(act)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"", (201, "")),
        (200, b'{"actions":[{"action":"setPurchaseOrderNumber","purchaseOrderNumber":"PO-9"}]}', (201, "PO-9")),
        (400, b'{"errors":[{"code":"InvalidInput","message":"held elsewhere"}]}', (400, "InvalidInput")),
        (500, b"oops", (502, "ExtensionBadResponse")),
        (200, b"<html>", (502, "ExtensionBadResponse")),
        (200, b'{"actions":[{"action":"fly"}]}', (400, "ExtensionUpdateActionsFailed")),
        (0, b"", (504, "ExtensionNoResponse")),
    ],
)
def test_an_extension_is_asked_before_the_order_exists(status: int, body: bytes, expected: tuple[int, str]) -> None:
    async def act(world: World) -> None:
        asked: list[Any] = []

        async def post(url: str, headers: dict[str, str], sent: bytes) -> tuple[int, bytes]:
            asked.append((json.loads(sent), headers["authorization"]))
            if status == 0:
                await asyncio.Event().wait()
            return status, body

        world.vendor.outbound.post = post
        login = {"type": "AuthorizationHeader", "headerValue": "Secret x"}
        draft = {"key": "guard", "destination": {"type": "HTTP", "url": "http://us/guard", "authentication": login},
                 "triggers": [{"resourceTypeId": "order", "actions": ["Create"]}], "timeoutInMs": 20}  # fmt: skip
        await world.call("POST", "/extensions", draft, status=201)
        answer = await world.order(await world.cart(("ARMCHAIR", 3)), status=expected[0])
        ((sent, authorization),) = asked
        assert (sent["action"], sent["resource"]["obj"]["lineItems"][0]["quantity"]) == ("Create", 3)
        assert authorization == "Secret x"
        if expected[0] == 201:
            assert (answer.get("purchaseOrderNumber", ""), answer["id"]) == (expected[1], sent["resource"]["id"])
        else:
            assert code(answer) == expected[1]
        assert (await world.entry())["quantityOnStock"] == (7 if expected[0] == 201 else 10)

    story(act)


# --- graphql, catalogue, control -------------------------------------------------------------------------------------


def test_graphql_reads_and_writes() -> None:
    async def act(world: World) -> None:
        query = """query Q($where: String!) { inventoryEntries(where: $where, sort: ["id asc"], limit: 5) {
            total results { id version sku quantityOnStock supplyChannelRef { id }
                            custom { customFieldsRaw { name value } } } } }"""
        variables = {"where": 'sku in ("ARMCHAIR") and supplyChannel is defined'}
        found = await world.call("POST", "/graphql", {"query": query, "variables": variables})
        (row,) = found["data"]["inventoryEntries"]["results"]
        assert (row["quantityOnStock"], row["supplyChannelRef"]["id"], row["custom"]) == (
            10,
            world.channel("web"),
            None,
        )
        write = """mutation($v: Long!, $f: [CustomFieldInput!]) {
            bad: updateInventoryEntry(id: "ID", version: 99, actions: [{addQuantity: {quantity: 1}}]) { version }
            good: updateInventoryEntry(id: "ID", version: $v, actions: [
              {addQuantity: {quantity: 5}}, {setCustomType: {typeKey: "sync", fields: $f}}
            ]) { version quantityOnStock custom { customFieldsRaw { name value } } }
            again: createInventoryEntry(draft: {sku: "ARMCHAIR", quantityOnStock: 1}) { id }
        }""".replace("ID", row["id"])
        fields = [{"name": "lastOp", "value": '"op-7"'}]
        done = await world.call("POST", "/graphql", {"query": write, "variables": {"v": 1, "f": fields}})
        raw = [{"name": "lastOp", "value": "op-7"}]
        assert done["data"] == {
            "bad": None,
            "good": {"version": 2, "quantityOnStock": 15, "custom": {"customFieldsRaw": raw}},
            "again": None,
        }
        assert [(e["path"], e["extensions"]["code"]) for e in done["errors"]] == [
            (["bad"], "ConcurrentModification"), (["again"], "DuplicateField"),
        ]  # fmt: skip
        wrong = await world.call(
            "POST", "/graphql", {"query": "{ inventoryEntries { results { color } } }"}, status=400
        )
        assert wrong["errors"][0]["message"] == "Cannot query field 'color' on type 'InventoryEntry'."
        await world.sign_in("reader", "r")
        await world.call("POST", "/graphql", {"query": query, "variables": variables}, status=200)
        await world.call("POST", "/graphql", {"query": write, "variables": {"v": 2}}, status=403)

    story(act)


def test_the_catalogue_shows_availability_and_bundles() -> None:
    async def act(world: World) -> None:
        where = 'masterVariant(sku in ("ARMCHAIR", "SET")) or variants(sku in ("ARMCHAIR", "SET"))'
        found = await world.call("GET", "/product-projections", where=where, sort="key asc")
        armchair, bundle = found["results"]
        availability = armchair["masterVariant"]["availability"]
        assert (
            availability["availableQuantity"],
            availability["channels"][world.channel("web")]["availableQuantity"],
        ) == (3, 10)
        (products,) = bundle["masterVariant"]["attributes"]
        assert products["value"][0] == [{"name": "sku", "value": "ARMCHAIR"}, {"name": "quantity", "value": 2}]

    story(act)


def test_custom_objects_compare_and_set() -> None:
    async def act(world: World) -> None:
        draft = {"container": "c", "key": "k", "value": {"at": 1}}
        made = await world.call("POST", "/custom-objects", draft)
        changed = await world.call("POST", "/custom-objects", {**draft, "value": {"at": 2}, "version": made["version"]})
        assert (changed["version"], changed["value"]) == (2, {"at": 2})
        assert (
            code(await world.call("POST", "/custom-objects", {**draft, "version": 1}, status=409))
            == "ConcurrentModification"
        )

    story(act)


def test_a_person_in_the_merchant_center_and_the_switches() -> None:
    async def act(world: World) -> None:
        wish = {"set_quantity": {"sku": "ARMCHAIR", "channel": "web", "quantity": 4}}
        assert (await world.http.post("/_sandbox/act", json=wish)).json()["result"] == 2
        (told,) = await world.messages()
        assert (told["createdBy"], told["newQuantityOnStock"]) == ({"isPlatformClient": True}, 4)
        await world.http.post("/_sandbox/act", json={"switch": {"order_lag_seconds": 7}})
        assert world.vendor.shops["shop"].project.switches.order_lag_seconds == 7
        assert (await world.http.post("/_sandbox/act", json={"switch": {"gravity": 0}})).status_code == 400
        stats = (await world.http.get("/_sandbox/stats")).json()
        assert stats["routes"] == {"POST /oauth/token": 1, "GET /{project}/messages": 1}

    story(act)


def test_the_same_seed_makes_the_same_world() -> None:
    async def act(world: World) -> None:
        await world.order(await world.cart(("ARMCHAIR", 3), ("TABLE", 1)))
        world.hands.at += 5
        traces.append(json.dumps([world.vendor.truth(), world.box.journal.since(0)], default=str))

    traces: list[str] = []
    story(act, order_lag_seconds=10)
    story(act, order_lag_seconds=10)
    assert traces[0] == traces[1]


def test_50_000_entries_load_and_answer_without_scans() -> None:
    async def act(world: World) -> None:
        rows = [{"sku": f"SKU-{number}", "channel": "web", "quantity": number} for number in range(50_000)]
        world.box.load({"project": "shop", "inventory": rows})
        skus = [f"SKU-{number}" for number in range(0, 50_000, 400)]
        found = await world.http.get("/shop/inventory", params={"where": "sku in :s", "var.s": skus, "limit": "500"})
        assert [e["quantityOnStock"] for e in found.json()["results"]] == list(range(0, 50_000, 400))
        seen, last = 0, ""
        while True:
            page = await world.call(
                "GET", "/inventory", where=f'id > "{last}"', sort="id asc", limit=500, withTotal="false"
            )
            seen += page["count"]
            if not page["results"]:
                break
            last = page["results"][-1]["id"]
        assert seen == 50_003

    story(act)
