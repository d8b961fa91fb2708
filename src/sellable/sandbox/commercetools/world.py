"""What only the world outside can do, and what only an oracle may see. Rule: facts leave as plain JSON values."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from sellable.sandbox.commercetools.inventory import place
from sellable.sandbox.commercetools.seed import set_switches
from sellable.sandbox.commercetools.store import KEY
from sellable.sandbox.commercetools.subscriptions import Delivery
from sellable.sandbox.commercetools.wire import Doc

if TYPE_CHECKING:
    from sellable.sandbox.commercetools.shop import Shop

_ORDER_FACTS = ("id", "version", "orderNumber", "orderState", "shipmentState", "paymentState", "createdAt",
                "returnInfo", "totalPrice", "taxedPrice", "custom")  # fmt: skip


def truth_of(shop: "Shop") -> Doc:
    """{"entries": [...], "orders": [...], "deliveries": {...}} of one project."""
    entries = [_entry(shop, doc) for doc in shop.project.inventory.docs.values()]
    orders = [_order(shop, doc) for doc in shop.project.orders.docs.values()]
    return {"entries": entries, "orders": orders, "deliveries": shop.subscriptions.counts}


def _entry(shop: "Shop", doc: Doc) -> Doc:
    counter = shop.inventory.counters[doc["id"]]
    return {
        "sku": doc["sku"],
        "channel": shop.project.channel_key(place(doc)[1]),
        "internal": counter.on_stock,
        "reserved": counter.reserved,
        "pending": counter.pending,
        "visible": doc["quantityOnStock"],
        "available": doc["availableQuantity"],
        "version": doc["version"],
        "id": doc["id"],
    }


def _order(shop: "Shop", doc: Doc) -> Doc:
    lines = [
        {
            "line": line["id"],
            "sku": line["variant"].get("sku"),
            "channel": shop.project.channel_key((line.get("supplyChannel") or {}).get("id")),
            "quantity": line["quantity"],
            "gross": line["taxedPrice"]["totalGross"]["centAmount"] if "taxedPrice" in line else None,
            "mode": line.get("inventoryMode", doc["inventoryMode"]),
            "states": line["state"],
            "in_state": {_state_key(shop, part["state"]["id"]): part["quantity"] for part in line["state"]},
        }
        for line in doc["lineItems"]
    ]
    sync = [
        {"channel": shop.project.channel_key(info["channel"]["id"]), "external_id": info.get("externalId")}
        for info in doc["syncInfo"]
    ]
    facts = {name: doc[name] for name in _ORDER_FACTS if name in doc}
    deliveries = (doc.get("shippingInfo") or {}).get("deliveries", [])
    return {**facts, "lines": lines, "syncInfo": sync, "deliveries": deliveries}


def _state_key(shop: "Shop", state_id: str) -> str:
    """A state's key; its id where it has none."""
    return str(shop.project.others["state"].docs.get(state_id, {}).get("key") or state_id)


def _switch(shop: "Shop", changes: dict[str, Any]) -> Any:
    shop.project.switches = set_switches(shop.project.switches, changes)
    return shop.project.switches


def _deliver(shop: "Shop", delivery: dict[str, Any]) -> Any:
    shop.subscriptions.deliver(msgspec.convert(delivery, Delivery))
    return None


def _set_quantity(shop: "Shop", wish: dict[str, Any]) -> Any:
    """A number is written anew: {"sku", "channel": key or null, "quantity", "client"?}.

    By a program of that API client, or else by a person in the Merchant Center, which is the platform's own client
    (seen in answers of real projects; the field isPlatformClient is described nowhere).
    """
    channels = shop.project.others["channel"].by(KEY, wish.get("channel"))
    doc = shop.inventory.at(wish["sku"], channels[0]["id"] if channels else None)
    if doc is None:
        raise ValueError(f"there is no entry for {wish}")
    shop.project.actor = wish.get("client")
    action = {"action": "changeQuantity", "quantity": wish["quantity"]}
    return shop.inventory.update(doc, {"version": doc["version"], "actions": [action]})["version"]


def _suspend(shop: "Shop", wish: dict[str, Any]) -> Any:
    """A subscription's status: {"subscription_key", "status"}; only Healthy ones deliver, the rest lose messages."""
    (doc,) = shop.project.others["subscription"].by(KEY, wish["subscription_key"])
    return shop.project.save(shop.project.others["subscription"], {**doc, "status": wish["status"]})["status"]


WORLD: dict[str, Callable[["Shop", dict[str, Any]], Any]] = {
    "switch": _switch,
    "deliver": _deliver,
    "set_quantity": _set_quantity,
    "subscription_status": _suspend,
}
