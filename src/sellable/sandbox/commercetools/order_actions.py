"""Update actions of orders: states, deliveries, returns, sync info.

Rule: what the live API does not check (such as delivered against ordered quantities), this does not check either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sellable.sandbox.commercetools.custom import custom_fields, set_custom_field, set_custom_type
from sellable.sandbox.commercetools.errors import (
    duplicate,
    invalid_field,
    invalid_input,
    invalid_operation,
    may,
    need,
    reference_not_found,
)  # fmt: skip
from sellable.sandbox.commercetools.inventory import Inventory
from sellable.sandbox.commercetools.project import ORDER_NUMBER
from sellable.sandbox.commercetools.updates import Edit
from sellable.sandbox.commercetools.wire import Doc, instant, reference, stamp

ORDER_STATES = ("Open", "Confirmed", "Complete", "Cancelled")
SHIPMENT_STATES = ("Shipped", "Delivered", "Ready", "Pending", "Delayed", "Partial", "Backorder", "Canceled")
PAYMENT_STATES = ("BalanceDue", "Failed", "Pending", "CreditOwed", "Paid")
_NEXT_RETURN = {"Returned": ("BackInStock", "Unusable")}


@dataclass
class OrderEdit(Edit):
    """An order being edited, with the stock it may give back."""

    inventory: Inventory = field(kw_only=True)

    def note(self, what: str, **facts: Any) -> None:
        """A fact about this order for the oracle."""
        self.journal(what, order=self.doc["id"], number=self.doc.get("orderNumber"), client=self.project.actor, **facts)


OrderAction = Callable[[OrderEdit, Doc], None]


# --- states ----------------------------------------------------------------------------------------------------------


def _change_state(name: str, allowed: Sequence[str], message: str) -> OrderAction:
    old_name = "old" + name[0].upper() + name[1:]

    def apply(edit: OrderEdit, action: Doc) -> None:
        new, old = need(action, name, str), edit.doc.get(name)
        if new not in allowed:
            raise invalid_field(name, new, list(allowed))
        if new == old:
            return
        edit.doc[name] = new
        edit.emit(message, **{name: new, old_name: old})
        if new == "Cancelled":
            edit.after.append(lambda doc: _cancelled(edit))

    return apply


def _cancelled(edit: OrderEdit) -> None:
    restock = edit.project.switches.restocks_on_cancel and edit.inventory.restock(edit.doc["id"], "cancel_order")
    edit.project.journal.add(
        "order_cancelled", t=edit.project.now(), project=edit.project.key, order=edit.doc["id"],
        number=edit.doc.get("orderNumber"), client=edit.project.actor, restocked=restock,
    )  # fmt: skip


def _transition_state(edit: OrderEdit, action: Doc) -> None:
    state = edit.project.resolve(need(action, "state", dict), "state")
    if state["type"] != "OrderState":
        raise invalid_operation(f"The state '{state['key']}' is not of type OrderState.")
    old = edit.doc.get("state")
    if old is not None and not action.get("force"):
        _check_transition(edit, old["id"], state["id"])
    edit.doc["state"] = reference("state", state["id"])
    edit.emit("OrderStateTransition", state=edit.doc["state"], oldState=old, force=bool(action.get("force")))


def _check_transition(edit: OrderEdit, old_id: str, new_id: str) -> None:
    allowed = edit.project.others["state"].docs[old_id].get("transitions")
    if allowed is not None and new_id not in [target["id"] for target in allowed]:
        raise invalid_operation(f"The transition from state '{old_id}' to state '{new_id}' is not allowed.")


def _transition_line_state(edit: OrderEdit, action: Doc) -> None:
    line = _line(edit, action)
    quantity = need(action, "quantity", int)
    old = edit.project.refer(need(action, "fromState", dict), "state")
    new = edit.project.refer(need(action, "toState", dict), "state")
    source = next((part for part in line["state"] if part["state"]["id"] == old["id"]), None)
    if source is None or not 0 < quantity <= source["quantity"]:
        raise invalid_operation(f"The line item '{line['id']}' has no {quantity} units in state '{old['id']}'.")
    _check_transition(edit, old["id"], new["id"])
    source["quantity"] -= quantity
    target = next((part for part in line["state"] if part["state"]["id"] == new["id"]), None)
    if target is None:
        line["state"].append({"quantity": quantity, "state": new})
    else:
        target["quantity"] += quantity
    line["state"] = [part for part in line["state"] if part["quantity"]]
    date = action.get("actualTransitionDate") or stamp(edit.project.now())
    edit.emit(
        "LineItemStateTransition", lineItemId=line["id"], lineItemKey=line.get("key"), transitionDate=instant(date),
        quantity=quantity, fromState=old, toState=new,
    )  # fmt: skip
    key = edit.project.others["state"].docs[new["id"]].get("key")
    edit.note("line_state", line=line["id"], sku=line["variant"].get("sku"), quantity=quantity, to=key)


def _import_line_state(edit: OrderEdit, action: Doc) -> None:
    line = _line(edit, action)
    states = [
        {"quantity": need(part, "quantity", int), "state": edit.project.refer(part["state"], "state")}
        for part in need(action, "state", list)
    ]
    if sum(part["quantity"] for part in states) != line["quantity"]:
        raise invalid_operation("The sum of the quantities of the states must equal the line item's quantity.")
    line["state"] = states


# --- deliveries ------------------------------------------------------------------------------------------------------


def _deliveries(edit: OrderEdit) -> list[Doc]:
    if "shippingInfo" not in edit.doc:
        raise invalid_operation("The order has no shippingInfo, so it cannot have deliveries.")
    found: list[Doc] = edit.doc["shippingInfo"].setdefault("deliveries", [])
    return found


def _items(edit: OrderEdit, draft: Doc) -> list[Doc]:
    known = {line["id"] for line in (*edit.doc["lineItems"], *edit.doc["customLineItems"])}
    items = [{"id": need(i, "id", str), "quantity": need(i, "quantity", int)} for i in draft.get("items") or []]
    for item in items:
        if item["id"] not in known:
            raise reference_not_found("line-item", "id", item["id"])
    return items


def _parcel(edit: OrderEdit, draft: Doc, key_name: str = "key") -> Doc:
    parcel: Doc = {"id": edit.project.new_id(), "createdAt": stamp(edit.project.now()), "items": _items(edit, draft)}
    key = draft.get(key_name)
    if key is not None:
        if any(key == other.get("key") for delivery in _deliveries(edit) for other in delivery["parcels"]):
            raise duplicate("parcelKey", key)
        parcel["key"] = key
    for name in ("measurements", "trackingData"):
        if may(draft, name, dict):
            parcel[name] = draft[name]
    if (custom := custom_fields(edit.project, draft.get("custom"), "order-parcel")) is not None:
        parcel["custom"] = custom
    return parcel


def _add_delivery(edit: OrderEdit, action: Doc) -> None:
    deliveries = _deliveries(edit)
    delivery: Doc = {"id": edit.project.new_id(), "createdAt": stamp(edit.project.now()), "items": _items(edit, action)}
    key = action.get("deliveryKey")
    if key is not None:
        if any(key == other.get("key") for other in deliveries):
            raise duplicate("deliveryKey", key)
        delivery["key"] = key
    delivery["parcels"] = [_parcel(edit, parcel) for parcel in action.get("parcels") or []]
    if may(action, "address", dict):
        delivery["address"] = action["address"]
    if (custom := custom_fields(edit.project, action.get("custom"), "order-delivery")) is not None:
        delivery["custom"] = custom
    deliveries.append(delivery)
    edit.emit("DeliveryAdded", delivery={**delivery, "parcels": []})
    for parcel in delivery["parcels"]:
        edit.emit("ParcelAddedToDelivery", delivery=delivery, parcel=parcel)
    edit.note("delivery_added", delivery=delivery["id"], key=key, items=delivery["items"])


def _delivery(edit: OrderEdit, action: Doc) -> Doc:
    for delivery in _deliveries(edit):
        if _named(delivery, action, "delivery"):
            return delivery
    raise invalid_operation(f"The delivery '{action.get('deliveryId') or action.get('deliveryKey')}' was not found.")


def _parcel_of(edit: OrderEdit, action: Doc) -> tuple[Doc, Doc]:
    for delivery in _deliveries(edit):
        for parcel in delivery["parcels"]:
            if _named(parcel, action, "parcel"):
                return delivery, parcel
    raise invalid_operation(f"The parcel '{action.get('parcelId') or action.get('parcelKey')}' was not found.")


def _named(holder: Doc, action: Doc, what: str) -> bool:
    identity, key = action.get(f"{what}Id"), action.get(f"{what}Key")
    return holder["id"] == identity or (key is not None and holder.get("key") == key)


def _remove_delivery(edit: OrderEdit, action: Doc) -> None:
    delivery = _delivery(edit, action)
    _deliveries(edit).remove(delivery)
    edit.emit("DeliveryRemoved", delivery=delivery)
    edit.note("delivery_removed", delivery=delivery["id"], key=delivery.get("key"))


def _set_delivery_items(edit: OrderEdit, action: Doc) -> None:
    delivery = _delivery(edit, action)
    old, delivery["items"] = delivery["items"], _items(edit, action)
    edit.emit("DeliveryItemsUpdated", deliveryId=delivery["id"], items=delivery["items"], oldItems=old)
    edit.note("delivery_changed", delivery=delivery["id"], key=delivery.get("key"), items=delivery["items"])


def _set_delivery_address(edit: OrderEdit, action: Doc) -> None:
    delivery = _delivery(edit, action)
    old = delivery.pop("address", None)
    if action.get("address"):
        delivery["address"] = action["address"]
    edit.emit("DeliveryAddressSet", deliveryId=delivery["id"], address=delivery.get("address"), oldAddress=old)


def _add_parcel(edit: OrderEdit, action: Doc) -> None:
    delivery, parcel = _delivery(edit, action), _parcel(edit, action, "parcelKey")
    delivery["parcels"].append(parcel)
    edit.emit("ParcelAddedToDelivery", delivery=delivery, parcel=parcel)
    edit.note("parcel_added", delivery=delivery["id"], parcel=parcel["id"], key=parcel.get("key"))


def _remove_parcel(edit: OrderEdit, action: Doc) -> None:
    delivery, parcel = _parcel_of(edit, action)
    delivery["parcels"].remove(parcel)
    edit.emit("ParcelRemovedFromDelivery", deliveryId=delivery["id"], parcel=parcel)


def _set_parcel(name: str, message: str) -> OrderAction:
    def apply(edit: OrderEdit, action: Doc) -> None:
        delivery, parcel = _parcel_of(edit, action)
        parcel.pop(name, None)
        if action.get(name):
            parcel[name] = action[name]
        edit.emit(message, deliveryId=delivery["id"], parcelId=parcel["id"], **{name: parcel.get(name)})

    return apply


def _set_parcel_items(edit: OrderEdit, action: Doc) -> None:
    delivery, parcel = _parcel_of(edit, action)
    old, parcel["items"] = parcel["items"], _items(edit, action)
    edit.emit(
        "ParcelItemsUpdated", deliveryId=delivery["id"], parcelId=parcel["id"], items=parcel["items"], oldItems=old
    )


# --- returns ---------------------------------------------------------------------------------------------------------


def _return_info(edit: OrderEdit, draft: Doc) -> Doc:
    info: Doc = {"items": [_return_item(edit, item) for item in need(draft, "items", list)]}
    for name in ("returnTrackingId", "returnDate"):
        if may(draft, name, str):
            info[name] = instant(draft[name])
    return info


def _return_item(edit: OrderEdit, draft: Doc) -> Doc:
    state = need(draft, "shipmentState", str)
    if state not in ("Advised", "Returned"):
        raise invalid_field("shipmentState", state, ["Advised", "Returned"])
    custom_line = draft.get("customLineItemId")
    name = "customLineItemId" if custom_line else "lineItemId"
    lines = edit.doc["customLineItems" if custom_line else "lineItems"]
    identity = draft.get(name)
    if draft.get("lineItemKey"):
        identity = next((line["id"] for line in lines if line.get("key") == draft["lineItemKey"]), None)
    if identity not in {line["id"] for line in lines}:
        raise reference_not_found("line-item", "id", str(identity))
    now = stamp(edit.project.now())
    item: Doc = {
        "type": "CustomLineItemReturnItem" if custom_line else "LineItemReturnItem",
        "id": edit.project.new_id(),
        "quantity": need(draft, "quantity", int),
        name: identity,
        "shipmentState": state,
        "paymentState": "NonRefundable" if state == "Advised" else "Initial",
        "createdAt": now,
        "lastModifiedAt": now,
    }
    for optional in ("key", "comment"):
        if draft.get(optional) is not None:
            item[optional] = draft[optional]
    if (custom := custom_fields(edit.project, draft.get("custom"), "order-return-item")) is not None:
        item["custom"] = custom
    return item


def _add_return(edit: OrderEdit, action: Doc) -> None:
    info = _return_info(edit, action)
    edit.doc["returnInfo"].append(info)
    edit.emit("ReturnInfoAdded", returnInfo=info)
    edit.note("return_added", items=info["items"])


def _set_return(edit: OrderEdit, action: Doc) -> None:
    edit.doc["returnInfo"] = [_return_info(edit, draft) for draft in action.get("items") or []]
    edit.emit("ReturnInfoSet", returnInfo=edit.doc["returnInfo"])
    edit.note("return_set", returns=edit.doc["returnInfo"])


def _returned(edit: OrderEdit, action: Doc) -> Doc:
    for info in edit.doc["returnInfo"]:
        for item in info["items"]:
            if _named(item, action, "returnItem"):
                found: Doc = item
                return found
    named = action.get("returnItemId") or action.get("returnItemKey")
    raise invalid_operation(f"The return item '{named}' was not found.")


def _set_return_shipment(edit: OrderEdit, action: Doc) -> None:
    item, state = _returned(edit, action), need(action, "shipmentState", str)
    if state not in _NEXT_RETURN.get(item["shipmentState"], ()):
        raise invalid_operation(f"A return item in state '{item['shipmentState']}' cannot become '{state}'.")
    item["shipmentState"], item["lastModifiedAt"] = state, stamp(edit.project.now())
    edit.emit("OrderReturnShipmentStateChanged", returnItemId=item["id"], returnShipmentState=state)
    if state == "BackInStock" and edit.project.switches.restocks_on_return:
        edit.after.append(lambda doc: _restock_line(edit, item))
    edit.note("return_moved", item=item["id"], key=item.get("key"), quantity=item["quantity"], state=state)


def _restock_line(edit: OrderEdit, item: Doc) -> None:
    line = next((line for line in edit.doc["lineItems"] if line["id"] == item.get("lineItemId")), None)
    if line is not None:
        channel = (line.get("supplyChannel") or {}).get("id")
        edit.inventory.take_back(edit.doc["id"], line["variant"]["sku"], channel, item["quantity"])


def _set_return_payment(edit: OrderEdit, action: Doc) -> None:
    item, state = _returned(edit, action), need(action, "paymentState", str)
    if item["paymentState"] != "Initial" or state not in ("Refunded", "NotRefunded"):
        raise invalid_operation(f"A return item in payment state '{item['paymentState']}' cannot become '{state}'.")
    item["paymentState"], item["lastModifiedAt"] = state, stamp(edit.project.now())


# --- the rest --------------------------------------------------------------------------------------------------------


def _update_sync_info(edit: OrderEdit, action: Doc) -> None:
    channel = edit.project.resolve(need(action, "channel", dict), "channel")
    if not {"OrderExport", "OrderImport"} & set(channel["roles"]):
        raise invalid_input(f"The channel '{channel['key']}' has neither the role OrderExport nor OrderImport.")
    info: Doc = {"channel": reference("channel", channel["id"])}
    if may(action, "externalId", str) is not None:
        info["externalId"] = action["externalId"]
    info["syncedAt"] = instant(action.get("syncedAt") or stamp(edit.project.now()))
    others = [old for old in edit.doc["syncInfo"] if old["channel"]["id"] != channel["id"]]
    edit.doc["syncInfo"] = [*others, info]
    edit.note("sync_info_set", channel=channel["key"], external_id=info.get("externalId"))


def _set_order_number(edit: OrderEdit, action: Doc) -> None:
    number = may(action, "orderNumber", str)
    if number == edit.doc.get("orderNumber"):
        return
    if "orderNumber" in edit.doc:
        raise invalid_operation("The order number is already set and cannot be changed.")
    if edit.project.orders.by(ORDER_NUMBER, number):
        raise duplicate("orderNumber", number)
    edit.doc["orderNumber"] = number


def _set(name: str, source: str, message: str | None = None) -> OrderAction:
    def apply(edit: OrderEdit, action: Doc) -> None:
        old = edit.doc.pop(name, None)
        if action.get(source) is not None:
            edit.doc[name] = action[source]
        if message is not None and old != edit.doc.get(name):
            old_name = "old" + source[0].upper() + source[1:]
            edit.emit(message, **{source: edit.doc.get(name), old_name: old})

    return apply


def _line(edit: OrderEdit, action: Doc) -> Doc:
    for line in edit.doc["lineItems"]:
        if _named(line, action, "lineItem"):
            found: Doc = line
            return found
    raise invalid_operation(f"The line item '{action.get('lineItemId') or action.get('lineItemKey')}' was not found.")


def _custom_on(find: Callable[[OrderEdit, Doc], Doc], resource: str) -> tuple[OrderAction, OrderAction]:
    """setXCustomType and setXCustomField for one kind of holder."""
    return (
        lambda edit, action: set_custom_type(edit.project, find(edit, action), action, resource),
        lambda edit, action: set_custom_field(edit.project, find(edit, action), action),
    )


_OWN = _custom_on(lambda edit, _: edit.doc, "order")
_ON_LINE = _custom_on(_line, "line-item")
_ON_DELIVERY = _custom_on(_delivery, "order-delivery")
_ON_PARCEL = _custom_on(lambda edit, action: _parcel_of(edit, action)[1], "order-parcel")
_ON_RETURN = _custom_on(_returned, "order-return-item")

ACTIONS: dict[str, OrderAction] = {
    "changeOrderState": _change_state("orderState", ORDER_STATES, "OrderStateChanged"),
    "changeShipmentState": _change_state("shipmentState", SHIPMENT_STATES, "OrderShipmentStateChanged"),
    "changePaymentState": _change_state("paymentState", PAYMENT_STATES, "OrderPaymentStateChanged"),
    "transitionState": _transition_state,
    "transitionLineItemState": _transition_line_state,
    "importLineItemState": _import_line_state,
    "addDelivery": _add_delivery,
    "removeDelivery": _remove_delivery,
    "setDeliveryItems": _set_delivery_items,
    "setDeliveryAddress": _set_delivery_address,
    "addParcelToDelivery": _add_parcel,
    "removeParcelFromDelivery": _remove_parcel,
    "setParcelTrackingData": _set_parcel("trackingData", "ParcelTrackingDataUpdated"),
    "setParcelMeasurements": _set_parcel("measurements", "ParcelMeasurementsUpdated"),
    "setParcelItems": _set_parcel_items,
    "addReturnInfo": _add_return,
    "setReturnInfo": _set_return,
    "setReturnShipmentState": _set_return_shipment,
    "setReturnPaymentState": _set_return_payment,
    "updateSyncInfo": _update_sync_info,
    "setOrderNumber": _set_order_number,
    "setPurchaseOrderNumber": _set("purchaseOrderNumber", "purchaseOrderNumber"),
    "setCustomerEmail": _set("customerEmail", "email", "OrderCustomerEmailSet"),
    "setCustomerId": _set("customerId", "customerId"),
    "setLocale": _set("locale", "locale"),
    "setShippingAddress": _set("shippingAddress", "address", "OrderShippingAddressSet"),
    "setBillingAddress": _set("billingAddress", "address", "OrderBillingAddressSet"),
    "setCustomType": _OWN[0],
    "setCustomField": _OWN[1],
    "setLineItemCustomType": _ON_LINE[0],
    "setLineItemCustomField": _ON_LINE[1],
    "setDeliveryCustomType": _ON_DELIVERY[0],
    "setDeliveryCustomField": _ON_DELIVERY[1],
    "setParcelCustomType": _ON_PARCEL[0],
    "setParcelCustomField": _ON_PARCEL[1],
    "setReturnItemCustomType": _ON_RETURN[0],
    "setReturnItemCustomField": _ON_RETURN[1],
}
