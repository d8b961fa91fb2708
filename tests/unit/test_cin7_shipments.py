"""What left the warehouse: goods of shipped boxes, each counted once, or a fault."""

from __future__ import annotations

import json
from typing import Any

from sellable.connectors.cin7_core import wire
from sellable.connectors.cin7_core.shipments import shipments_of
from sellable.domain.orders import Shipment


def task(ship: list[dict[str, Any]], **changes: Any) -> wire.Fulfilment:
    document = {
        "TaskID": "AA-1",
        "FulFilmentStatus": "FULFILLED",
        "Pick": {"Status": "AUTHORISED", "Lines": [{"SKU": "CHAIR", "Quantity": 3}, {"SKU": "TABLE", "Quantity": 1}]},
        "Pack": {
            "Status": "AUTHORISED",
            "Lines": [
                {"SKU": "CHAIR", "Quantity": 2.0, "Box": "Box 1"},
                {"SKU": "CHAIR", "Quantity": 1, "Box": "Box 2"},
                {"SKU": "TABLE", "Quantity": 1, "Box": "Box 3"},
            ],
        },
        "Ship": {"Status": "AUTHORISED", "Lines": ship},
    } | changes
    return wire.decode(json.dumps(document).encode(), wire.Fulfilment)


def parcel(id_: str, boxes: str | None, *, shipped: bool = True) -> dict[str, Any]:
    return {
        "ID": id_,
        "ShipmentDate": "2026-11-21T00:00:00",
        "Carrier": "DHL",
        "Boxes": boxes,
        "TrackingNumber": f"TN-{id_}",
        "TrackingURL": "https://track/x",
        "IsShipped": shipped,
    }


def only(fulfilment: wire.Fulfilment) -> Shipment:
    shipments, faults = shipments_of([fulfilment])
    assert faults == ()
    (shipment,) = shipments
    return shipment


def test_parcels_hold_the_packed_lines_of_their_boxes() -> None:
    shipment = only(task([parcel("P1", "box 1, Box 2"), parcel("P2", "Box 3")]))
    assert shipment.shipment_id == "aa-1"
    assert shipment.items == (("CHAIR", 3), ("TABLE", 1))
    assert [(p.parcel_id, p.items) for p in shipment.parcels] == [("p1", (("CHAIR", 3),)), ("p2", (("TABLE", 1),))]
    first = shipment.parcels[0]
    assert (first.carrier, first.tracking, first.tracking_url) == ("DHL", "TN-P1", "https://track/x")
    assert first.shipped_on == "2026-11-21"


def test_only_shipped_parcels_count() -> None:
    ship = {"Status": "PARTIALLY AUTHORISED", "Lines": [parcel("P1", "Box 1"), parcel("P2", "Box 2,3", shipped=False)]}
    shipment = only(task([], Ship=ship))
    assert shipment.items == (("CHAIR", 2),)
    assert len(shipment.parcels) == 1


def test_picked_lines_where_nothing_was_packed() -> None:
    for pack in (None, {"Status": "NOT AVAILABLE", "Lines": []}, {"Status": "VOIDED", "Lines": [{"SKU": "X"}]}):
        shipment = only(task([parcel("P1", "Box 1")], Pack=pack))
        assert shipment.parcels[0].items == (("CHAIR", 3), ("TABLE", 1))


def test_everything_gone_without_boxes_is_known_in_sum_only() -> None:
    shipment = only(task([parcel("P1", None), parcel("P2", "")], Pack=None))
    assert shipment.items == (("CHAIR", 3), ("TABLE", 1))
    assert [p.items for p in shipment.parcels] == [(), ()]


def test_partly_gone_without_boxes_is_a_fault() -> None:
    ship = {"Status": "PARTIALLY AUTHORISED", "Lines": [parcel("P1", None), parcel("P2", None, shipped=False)]}
    assert shipments_of([task([], Ship=ship, Pack=None)]) == (
        (),
        ("fulfilment aa-1: partly shipped, and nothing tells which goods",),
    )


def test_a_box_named_twice_is_counted_once() -> None:
    shipment = only(task([parcel("P1", "Box 1,Box 2,Box 3"), parcel("P2", "Box 1")]))
    assert shipment.items == (("CHAIR", 3), ("TABLE", 1))
    assert shipment.parcels[1].items == ()


def test_nothing_shipped_is_nothing() -> None:
    assert shipments_of([task([parcel("P1", "Box 1", shipped=False)])]) == ((), ())
    assert shipments_of([task([parcel("P1", "Box 1")], Ship={"Status": "DRAFT", "Lines": []})]) == ((), ())
    assert shipments_of([task([parcel("P1", "Box 1")], Ship=None)]) == ((), ())


def test_voided_tasks_stay_in_the_array_and_are_passed_over() -> None:
    assert shipments_of([task([parcel("P1", "Box 1")], FulFilmentStatus="VOIDED")]) == ((), ())
    voided = {"Status": "VOIDED", "Lines": [parcel("P1", "Box 1")]}
    assert shipments_of([task([], Ship=voided)]) == ((), ())


def test_fractions_are_faults() -> None:
    pack = {"Status": "AUTHORISED", "Lines": [{"SKU": "CHAIR", "Quantity": 0.5, "Box": "Box 1"}]}
    shipments, faults = shipments_of([task([parcel("P1", "Box 1")], Pack=pack)])
    assert shipments == ()
    assert "Quantity of CHAIR is 0.5" in faults[0]


def test_a_ship_line_without_an_id_gets_a_stable_one() -> None:
    line = parcel("P1", "Box 1,Box 2,Box 3") | {"ID": None}
    assert only(task([line])).parcels[0].parcel_id == "aa-1-1"
