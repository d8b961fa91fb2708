"""What the warehouse did, as update actions of an order. One rule: what the order shows already is left out.

So repeating a write-back, after a conflict or an answer nobody saw, changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from sellable.connectors.commercetools import translate, wire
from sellable.connectors.port import DeliveryDraft
from sellable.domain.states import Machine, may

Action = dict[str, Any]

KEY_LENGTH_MAX = 256


def sync_actions(order: wire.Order, channel_id: str, external_id: str) -> list[Action]:
    """The note of another system's id; the order holds one for each channel."""
    noted = (info.external_id for info in order.sync_info or () if info.channel.id == channel_id)
    if external_id in noted:
        return []
    channel = {"typeId": "channel", "id": channel_id}
    return [{"action": "updateSyncInfo", "channel": channel, "externalId": external_id}]


def delivery_actions(order: wire.Order, draft: DeliveryDraft) -> list[Action]:
    """A delivery with its parcels, or the parcels it lacks and the tracking that changed, and the states."""
    key = safe_key(draft.delivery_key)
    present = next((d for d in translate.deliveries(order) if d.key == key), None)
    known = {p.key: p.tracking_data or {} for p in (present.parcels if present else None) or ()}
    parcels = [_parcel(parcel) for parcel in draft.parcels if safe_key(parcel[0]) not in known]
    states = state_actions(order, order_state=draft.order_state, shipment_state=draft.shipment_state)
    if present is None:
        shipping = _shipping_key(order, draft)
        delivery: Action = {"action": "addDelivery", "deliveryKey": key, "items": _items(draft.items)}
        # The action calls a parcel's key parcelKey, the delivery's own list of parcels calls it key.
        return [delivery | shipping | {"parcels": parcels}, *states]
    added = [
        {"action": "addParcelToDelivery", "deliveryKey": key, "parcelKey": parcel.pop("key"), **parcel}
        for parcel in parcels
    ]
    retracked = [
        {"action": "setParcelTrackingData", "parcelKey": safe_key(p[0]), "trackingData": _parcel(p)["trackingData"]}
        for p in draft.parcels
        if safe_key(p[0]) in known and known[safe_key(p[0])].get("trackingId", "") != p[2]
    ]
    return [*added, *retracked, *states]


def state_actions(order: wire.Order, *, order_state: str | None, shipment_state: str | None) -> list[Action]:
    """The states that are news: a shipment never goes back on its course, a cancelled order stays cancelled."""
    return [
        *_change("changeShipmentState", "shipmentState", shipment_state, Machine.SHIPMENT, order.shipment_state),
        *_change("changeOrderState", "orderState", order_state, Machine.ORDER, order.order_state),
    ]


def _change(action: str, field: str, state: str | None, machine: Machine, now: str | None) -> Iterator[Action]:
    if state is not None and state != now and may(machine, now, state):
        yield {"action": action, field: state}


def _parcel(parcel: tuple[str, str, str, str, tuple[tuple[str, int], ...]]) -> Action:
    """A ParcelDraft. TrackingData has no field for an address, so that goes where the provider's transaction would."""
    key, carrier, tracking, url, items = parcel
    data = {"trackingId": tracking, "carrier": carrier, "providerTransaction": url}
    return {
        "key": safe_key(key),
        "trackingData": {name: value for name, value in data.items() if value},
        "items": _items(items),
    }


def _items(items: tuple[tuple[str, int], ...]) -> list[Action]:
    return [{"id": line, "quantity": units} for line, units in items]


def _shipping_key(order: wire.Order, draft: DeliveryDraft) -> Action:
    """With several shipping methods the delivery must name one: that of its first line, else the order's first."""
    if order.shipping_mode != "Multiple":
        return {}
    lines = {item.id: item for item in order.line_items}
    details = (lines[line].shipping_details for line, _ in draft.items if line in lines)
    targets = (target.shipping_method_key for each in details if each for target in each.targets or ())
    known = {shipping.shipping_key for shipping in order.shipping or ()}
    key = next((target for target in targets if target in known), None)
    first = next((shipping.shipping_key for shipping in order.shipping or ()), None)
    return {"shippingKey": key or first} if key or first else {}


def safe_key(text: str) -> str:
    """A key the platform accepts (letters, digits, _ and -, 2 to 256), equal for equal texts and else different."""
    if re.fullmatch(r"[A-Za-z0-9_-]{2,256}", text):
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', text)[: KEY_LENGTH_MAX - 17]}-{mark}"
