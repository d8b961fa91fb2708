"""Returned and cancelled units as update actions of an order. One rule: what the order shows already is left out.

Order edits need the inventory mode None (API description, orders/edits), so that units of a line that was sold from
stock are cancelled by moving them to a line item state of that meaning; quantity and amounts stay as they were ordered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sellable.connectors.commercetools import translate, wire
from sellable.connectors.commercetools.fulfilment import Action, safe_key
from sellable.connectors.port import ReturnDraft
from sellable.domain.states import Machine, may

RETURNED, UNDECIDED = "Returned", "Initial"
"""How an item begins that may still be moved on; one that begins as Advised never is (API, ReturnShipmentState)."""


def return_actions(order: wire.Order, drafts: Sequence[ReturnDraft]) -> tuple[list[Action], list[tuple[str, str, str]]]:
    """(actions, refused): items that are missing, then the moves of each; `refused` as in ReturnsTold.

    That an item may be named by its key in the update that adds it is a guess: actions are applied one after another.
    """
    present = [item for info in order.return_info or () for item in info.items or ()]
    by_id = {item.id: item for item in present}
    by_key = {item.key: item for item in present if item.key}
    added: list[Action] = []
    moves: list[Action] = []
    refused: list[tuple[str, str, str]] = []
    for draft in drafts:
        key = safe_key(draft.key)
        item = by_id.get(draft.item_id) or by_key.get(key)
        if item is None:
            added.append(_item(draft, key))
            item = wire.ReturnItem(quantity=draft.units, key=key, shipment_state=RETURNED, payment_state=UNDECIDED)
        name = {"returnItemId": item.id} if item.id else {"returnItemKey": key}
        for action, field, machine, now, wanted in (
            ("setReturnShipmentState", "shipmentState", Machine.RETURN, item.shipment_state, draft.state),
            ("setReturnPaymentState", "paymentState", Machine.REFUND, item.payment_state, draft.payment),
        ):
            if not wanted or wanted == now:
                continue
            if may(machine, now, wanted):
                moves.append({"action": action, **name, field: wanted})
            else:
                refused.append((draft.key, now, wanted))
    return [*([{"action": "addReturnInfo", "items": added}] if added else []), *moves], refused


def _item(draft: ReturnDraft, key: str) -> Action:
    item: Action = {
        "key": key, "lineItemId": draft.line_id, "quantity": draft.units, "shipmentState": RETURNED,
    }  # fmt: skip
    return item | ({"comment": draft.comment} if draft.comment else {})


def cancel_actions(
    order: wire.Order,
    units: Mapping[str, int],
    target: wire.State,
    counted: frozenset[str],
    states: Mapping[str, wire.State],
) -> list[Action]:
    """Moves to `target` until as many units of each line as are said are in states that count as cancelled.

    Taken from the states that may become `target`, in the line's own order; what no state may give up is left out, and
    who reads the order afterwards sees it.
    """
    return [
        action
        for item in order.line_items
        if item.id in units
        for action in _transitions(item, units[item.id], target, counted, states)
    ]


def _transitions(
    item: wire.LineItem, wanted: int, target: wire.State, counted: frozenset[str], states: Mapping[str, wire.State]
) -> Iterator[Action]:
    missing = wanted - translate.cancelled_units(item, counted)
    for part in item.state or ():
        taken = min(missing, part.quantity)
        if taken <= 0 or part.state.id in counted or not _allowed(states.get(part.state.id), target):
            continue
        missing -= taken
        yield {
            "action": "transitionLineItemState",
            "lineItemId": item.id,
            "quantity": taken,
            "fromState": {"typeId": "state", "id": part.state.id},
            "toState": {"typeId": "state", "id": target.id},
        }


def _allowed(state: wire.State | None, target: wire.State) -> bool:
    """Transitions of a state: absent means any, empty means none (API, State)."""
    if state is None or state.transitions is None:
        return True
    return any(each.id == target.id for each in state.transitions)
