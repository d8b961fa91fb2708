"""What the warehouse did as update actions; what the order shows already is left out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from test_commercetools_translate import document, line, money

from sellable.connectors.commercetools import fulfilment, wire
from sellable.connectors.port import DeliveryDraft

PARCEL = ("P-1", "DHL", "T1", "https://dhl.test/T1", (("line-1", 2),))


def order(**changes: Any) -> wire.Order:
    return msgspec.json.decode(msgspec.json.encode(document(**changes)), type=wire.Order)


def shipped(*deliveries: Any) -> dict[str, Any]:
    return {"shippingMethodName": "Parcel", "price": money(490), "deliveries": list(deliveries)}


def draft(*parcels: Any, key: str = "SH-1", shipment: str | None = None, state: str | None = None) -> DeliveryDraft:
    return DeliveryDraft(
        order_id="order-1", delivery_key=key, items=(("line-1", 2),), parcels=parcels, shipment_state=shipment,
        order_state=state,
    )  # fmt: skip


def test_sync_info_of_our_channel_once() -> None:
    noted = [{"channel": {"id": "ch-1"}, "externalId": "SO-1"}]
    assert fulfilment.sync_actions(order(syncInfo=noted), "ch-1", "SO-1") == []
    wanted = [{"action": "updateSyncInfo", "channel": {"typeId": "channel", "id": "ch-1"}, "externalId": "SO-2"}]
    assert fulfilment.sync_actions(order(syncInfo=noted), "ch-1", "SO-2") == wanted
    assert len(fulfilment.sync_actions(order(syncInfo=noted), "ch-2", "SO-1")) == 1


def test_a_new_delivery_with_its_parcels_and_states() -> None:
    tracking = {"trackingId": "T1", "carrier": "DHL", "providerTransaction": "https://dhl.test/T1"}
    items = [{"id": "line-1", "quantity": 2}]
    assert fulfilment.delivery_actions(
        order(shippingInfo=shipped()), draft(PARCEL, shipment="Shipped", state="Complete")
    ) == [
        {
            "action": "addDelivery",
            "deliveryKey": "SH-1",
            "items": items,
            "parcels": [{"key": "P-1", "trackingData": tracking, "items": items}],
        },
        {"action": "changeShipmentState", "shipmentState": "Shipped"},
        {"action": "changeOrderState", "orderState": "Complete"},
    ]


def test_a_tracking_number_that_changed_is_told() -> None:
    parcel = {"id": "p", "key": "P-1", "trackingData": {"trackingId": "OLD"}}
    there = order(shippingInfo=shipped({"id": "d", "key": "SH-1", "parcels": [parcel]}))
    (action,) = fulfilment.delivery_actions(there, draft(PARCEL))
    assert (action["action"], action["parcelKey"]) == ("setParcelTrackingData", "P-1")
    assert action["trackingData"]["trackingId"] == "T1"


def test_a_delivery_that_is_there_gets_only_the_parcels_it_lacks() -> None:
    parcel = {"id": "p", "key": "P-1", "trackingData": {"trackingId": "T1"}}
    there = order(shippingInfo=shipped({"id": "d", "key": "SH-1", "parcels": [parcel]}))
    assert fulfilment.delivery_actions(there, draft(PARCEL)) == []
    (action,) = fulfilment.delivery_actions(there, draft(PARCEL, ("P-2", "", "", "", ())))
    assert action == {
        "action": "addParcelToDelivery", "deliveryKey": "SH-1", "parcelKey": "P-2", "trackingData": {}, "items": [],
    }  # fmt: skip


def test_with_several_shipping_methods_the_delivery_names_the_one_of_its_line() -> None:
    ways = [{"shippingKey": key, "shippingInfo": shipped()} for key in ("slow", "fast")]
    target = {"targets": [{"addressKey": "a", "quantity": 2, "shippingMethodKey": "fast"}]}
    multiple = order(shippingMode="Multiple", shipping=ways, lineItems=[line(shippingDetails=target)])
    assert fulfilment.delivery_actions(multiple, draft())[0]["shippingKey"] == "fast"
    plain = order(shippingMode="Multiple", shipping=ways)
    assert fulfilment.delivery_actions(plain, draft())[0]["shippingKey"] == "slow"
    assert "shippingKey" not in fulfilment.delivery_actions(order(shippingInfo=shipped()), draft())[0]


@pytest.mark.parametrize(
    ("now", "wanted", "changes"),
    [
        (None, "Ready", True),
        ("Pending", "Partial", True),
        ("Partial", "Partial", False),
        ("Shipped", "Partial", False),
        ("Delivered", "Shipped", False),
        ("Backorder", "Ready", True),
        ("Delayed", "Shipped", True),
    ],
)
def test_a_shipment_never_goes_back(now: str | None, wanted: str, changes: bool) -> None:
    found = fulfilment.state_actions(order(shipmentState=now), order_state=None, shipment_state=wanted)
    assert bool(found) is changes


@pytest.mark.parametrize(
    ("now", "wanted", "changes"),
    [
        ("Open", "Complete", True),
        ("Complete", "Complete", False),
        ("Cancelled", "Complete", False),
        ("Open", None, False),
    ],
)
def test_a_cancelled_order_stays_cancelled(now: str, wanted: str | None, changes: bool) -> None:
    assert bool(fulfilment.state_actions(order(orderState=now), order_state=wanted, shipment_state=None)) is changes


def test_keys_are_made_acceptable_and_stay_apart() -> None:
    assert fulfilment.safe_key("SH_1-a") == "SH_1-a"
    odd, other = fulfilment.safe_key("SH/1"), fulfilment.safe_key("SH:1")
    assert odd.startswith("SH-1-")
    assert odd != other
    assert odd == fulfilment.safe_key("SH/1")
    assert len(fulfilment.safe_key("ä" * 300)) <= 256
    assert len(fulfilment.safe_key("x")) >= 2
