"""What came back, from credit notes: goods that were restocked where, and those that came into no stock."""

from __future__ import annotations

import json
from typing import Any

from sellable.config.settings import Location, StateRule
from sellable.connectors.cin7_core import wire
from sellable.connectors.cin7_core.credits import returns_of
from sellable.connectors.cin7_core.translate import Places
from sellable.domain.orders import GoodsReturn, ReturnedGoods
from sellable.domain.stock import State

PLACES = Places(
    [Location(name="berlin", master="cin7_core", remote="Berlin HQ")],
    [
        StateRule(location="berlin", bin="*", state=State.AVAILABLE),
        StateRule(location="berlin", bin="RETURNS", state=State.INSPECTION),
    ],
)


def note(**changes: Any) -> wire.CreditNote:
    document = {
        "TaskID": "AA-1",
        "CreditNoteNumber": "CR-00001",
        "Status": "AUTHORISED",
        "Lines": [{"SKU": "CHAIR", "Quantity": 2.0, "Comment": " SIZE "}, {"SKU": "TABLE", "Quantity": 1}],
        "Restock": [{"SKU": "CHAIR", "Quantity": 2, "Location": "Berlin HQ", "RestockLocation": "Berlin HQ: RETURNS"}],
    } | changes
    return wire.decode(json.dumps(document).encode(), wire.CreditNote)


def one(found: wire.CreditNote) -> GoodsReturn:
    (only,), faults = returns_of([found], PLACES.place)
    assert faults == ()
    return only


def goods(units: int, location: str, state: State) -> tuple[ReturnedGoods, ...]:
    return (ReturnedGoods(sku="CHAIR", units=units, location=location, state=state),)


def test_credited_goods_and_where_they_went() -> None:
    assert one(note()) == GoodsReturn(
        return_id="aa-1", number="CR-00001", items=(("CHAIR", 2, "SIZE"), ("TABLE", 1, "")),
        stock=goods(2, "berlin", State.INSPECTION),
    )  # fmt: skip


def test_only_authorised_notes_take_goods_back() -> None:
    assert returns_of([note(Status="DRAFT"), note(Status="VOIDED"), note(Lines=[], Restock=None)], PLACES.place) == (
        (),
        (),
    )


def test_a_place_that_is_not_ours_or_named_by_an_id_sells_nothing() -> None:
    for where in ("Paris", "3f2b8a1e-0000-4000-8000-000000000000", None):
        row = {"SKU": "CHAIR", "Quantity": 1, "RestockLocation": where}
        assert one(note(Restock=[row])).stock == goods(1, "", State.QUARANTINE)


def test_an_id_beside_a_name_leaves_the_name() -> None:
    row = {"SKU": "CHAIR", "Quantity": 1, "Location": "Berlin HQ", "RestockLocation": "3f2b8a1e-0000-4000-8000-0"}
    assert one(note(Restock=[row])).stock == goods(1, "berlin", State.AVAILABLE)


def test_what_cannot_be_counted_is_a_fault_and_no_zero() -> None:
    for quantity in (1.5, -1, "x", None):
        found, faults = returns_of([note(Lines=[{"SKU": "CHAIR", "Quantity": quantity}])], PLACES.place)
        assert found == ()
        assert len(faults) == 1
        assert faults[0].startswith("credit note CR-00001: ")
