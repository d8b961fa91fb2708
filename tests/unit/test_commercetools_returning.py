"""Returned and cancelled units as update actions, from documents as commercetools sends them."""

from __future__ import annotations

from typing import Any

import msgspec

from sellable.connectors.commercetools import wire
from sellable.connectors.commercetools.returning import cancel_actions, return_actions
from sellable.connectors.port import ReturnDraft

OPEN, PICKED, CANCELLED = "st-open", "st-picked", "st-cancelled"


def order(**fields: Any) -> wire.Order:
    document = {
        "id": "o", "version": 7, "createdAt": "2026-01-01T00:00:00Z", "lastModifiedAt": "2026-01-01T00:00:00Z",
        "totalPrice": {"currencyCode": "EUR", "centAmount": 1}, "orderState": "Open",
        "lineItems": [
            {
                "id": "l1", "quantity": 3, "price": {"value": {"currencyCode": "EUR", "centAmount": 1}},
                "totalPrice": {"currencyCode": "EUR", "centAmount": 3},
                "state": fields.pop("states", [{"quantity": 3, "state": {"typeId": "state", "id": OPEN}}]),
            }
        ],
        **fields,
    }  # fmt: skip
    return msgspec.convert(document, wire.Order)


def item(state: str, **fields: Any) -> dict[str, Any]:
    document = {"id": "i1", "quantity": 2, "lineItemId": "l1", "shipmentState": state, "paymentState": "Initial"}
    return {"items": [document | fields]}


def draft(state: str, **fields: Any) -> ReturnDraft:
    return ReturnDraft(key="cr-1", line_id="l1", units=2, state=state, **fields)


def test_an_item_is_added_as_returned_and_moved_on_by_its_key_in_the_same_update() -> None:
    actions, refused = return_actions(order(), [draft("BackInStock", payment="Refunded", comment="size")])
    assert actions == [
        {
            "action": "addReturnInfo",
            "items": [
                {"key": "cr-1", "lineItemId": "l1", "quantity": 2, "shipmentState": "Returned", "comment": "size"}
            ],
        },
        {"action": "setReturnShipmentState", "returnItemKey": "cr-1", "shipmentState": "BackInStock"},
        {"action": "setReturnPaymentState", "returnItemKey": "cr-1", "paymentState": "Refunded"},
    ]
    assert refused == []


def test_what_the_order_shows_already_is_left_out() -> None:
    there = order(returnInfo=[item("Returned", key="cr-1")])
    assert return_actions(there, [draft("Returned")]) == ([], [])
    moved = [{"action": "setReturnShipmentState", "returnItemId": "i1", "shipmentState": "Unusable"}]
    assert return_actions(there, [draft("Unusable")]) == (moved, [])


def test_somebody_elses_item_is_moved_on_and_none_is_added() -> None:
    there = order(returnInfo=[item("Returned")])
    moved = [{"action": "setReturnShipmentState", "returnItemId": "i1", "shipmentState": "BackInStock"}]
    assert return_actions(there, [draft("BackInStock", item_id="i1")]) == (moved, [])


def test_what_cannot_become_so_is_said_and_not_sent() -> None:
    there = order(returnInfo=[item("Unusable", key="cr-1")])
    assert return_actions(there, [draft("BackInStock")]) == ([], [("cr-1", "Unusable", "BackInStock")])


def states(transitions: list[str] | None = None) -> dict[str, wire.State]:
    to = None if transitions is None else [wire.Reference(id=each, type_id="state") for each in transitions]
    return {
        OPEN: wire.State(id=OPEN, key="open"),
        PICKED: wire.State(id=PICKED, key="picked", transitions=to),
        CANCELLED: wire.State(id=CANCELLED, key="cancelled"),
    }


def moves(found: wire.Order, units: int, transitions: list[str] | None = None) -> list[tuple[str, int]]:
    known = states(transitions)
    actions = cancel_actions(found, {"l1": units}, known[CANCELLED], frozenset({CANCELLED}), known)
    assert all(a["action"] == "transitionLineItemState" and a["toState"]["id"] == CANCELLED for a in actions)
    return [(a["fromState"]["id"], a["quantity"]) for a in actions]


def test_units_are_moved_until_as_many_count_as_cancelled() -> None:
    assert moves(order(), 2) == [(OPEN, 2)]
    part = [
        {"quantity": 1, "state": {"typeId": "state", "id": CANCELLED}},
        {"quantity": 2, "state": {"typeId": "state", "id": PICKED}},
    ]
    assert moves(order(states=part), 2) == [(PICKED, 1)]
    assert moves(order(states=part), 1) == []


def test_a_state_that_may_not_become_cancelled_gives_nothing_up() -> None:
    part = [
        {"quantity": 1, "state": {"typeId": "state", "id": PICKED}},
        {"quantity": 2, "state": {"typeId": "state", "id": OPEN}},
    ]
    assert moves(order(states=part), 3, transitions=[]) == [(OPEN, 2)]
    assert moves(order(states=part), 3, transitions=[CANCELLED]) == [(PICKED, 1), (OPEN, 2)]
