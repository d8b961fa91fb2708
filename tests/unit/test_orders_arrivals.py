"""Lines of a warehouse's report of returns, put together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sellable.connectors.port import ReturnRow
from sellable.domain.orders import GoodsReturn
from sellable.domain.stock import State
from sellable.orders.arrivals import CONDITIONS, returned
from sellable.orders.despatch import Carried

AT = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
SET = Carried(line_id="l1", sku="TEA-SET", units=2, shipped=2, recipe={"CUP": 2, "POT": 1})
CUPS = Carried(line_id="l2", sku="CUP", units=1, shipped=1)


def row(sku: str, quantity: int, condition: str = "As new", **changes: Any) -> ReturnRow:
    fields: dict[str, Any] = {
        "order_ref": "shop:o1:1", "returned_at": AT, "completed_at": AT, "authorised": True, "authorisation": "rma-1",
        "type": "", "note": "", "reason": "A", "line_type": "", "line_note": "",
    }  # fmt: skip
    return ReturnRow(sku=sku, quantity=quantity, condition=condition, **fields | changes)


def made(*rows: ReturnRow, **words: State) -> GoodsReturn:
    return returned(rows, [SET, CUPS], "Leeds", {**CONDITIONS, **words})


def test_a_line_of_its_own_comes_first_and_the_rest_makes_whole_kits() -> None:
    found = made(row("CUP", 3), row("POT", 1))
    assert found.items == (("CUP", 1, "A"), ("TEA-SET", 1, "A"))
    assert [(goods.sku, goods.units, goods.location) for goods in found.stock] == [
        ("CUP", 3, "Leeds"),
        ("POT", 1, "Leeds"),
    ]
    assert (found.return_id, found.number) == ("shop:o1:1/rma-1/2026-11-27T09:00:00+00:00", "rma-1")


def test_half_a_kit_and_strangers_are_named_as_they_are() -> None:
    assert made(row("POT", 1), row("JUG", 2)).items == (("JUG", 2, "A"), ("POT", 1, "A"))


def test_a_condition_decides_what_becomes_of_goods_and_an_unknown_one_is_not_sellable() -> None:
    def state(*rows: ReturnRow, **words: State) -> State:
        return made(*rows, **words).stock[0].state

    assert state(row("CUP", 1, "as  NEW")) is State.AVAILABLE
    assert state(row("CUP", 1, "Product damaged (irreparable)")) is State.DAMAGED
    assert state(row("CUP", 1, "smells")) is State.QUARANTINE
    assert state(row("CUP", 1, "smells"), smells=State.DAMAGED) is State.DAMAGED
    assert state(row("CUP", 1, completed_at=None)) is State.INSPECTION
