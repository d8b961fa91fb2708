"""Differences as requests, and what each kind of answer proves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from sellable.connectors.commercetools import predicates, writes
from sellable.connectors.port import StockWrite, Written

AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def write(n: int = 0, difference: int = -3, typed: str | None = None) -> StockWrite:
    return StockWrite(
        op_id=f"op_{n}", sku="A", channel=None, remote_id=f"e{n}", version=7, difference=difference, typed=typed
    )


def shown(n: int = 0, version: int = 8, quantity: int = 4) -> dict[str, Any]:
    return {"id": f"e{n}", "version": version, "quantityOnStock": quantity}


def problem(alias: str | None, code: str) -> dict[str, Any]:
    path = {} if alias is None else {"path": [alias]}
    return {"message": f"about {code}", "extensions": {"code": code}, **path}


def outcomes(answer: Any, *found: StockWrite) -> list[str]:
    body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    return [o.status for o in writes.graph_outcomes(found or (write(0), write(1)), body, AT)]


def test_an_untyped_entry_gets_our_type_with_the_marker() -> None:
    assert writes.rest_actions(write(), {"ours"}) == [
        {"action": "removeQuantity", "quantity": 3},
        {
            "action": "setCustomType",
            "type": {"typeId": "type", "key": "sellable-stock"},
            "fields": {"lastOp": "op_0"},
        },
    ]


def test_a_type_with_our_field_is_marked_and_a_merchants_is_left_alone() -> None:
    marked = writes.rest_actions(write(difference=5, typed="ours"), {"ours"})
    assert marked == [
        {"action": "addQuantity", "quantity": 5},
        {"action": "setCustomField", "name": "lastOp", "value": "op_0"},
    ]
    assert writes.rest_actions(write(typed="theirs"), {"ours"}) == [{"action": "removeQuantity", "quantity": 3}]


def test_a_batch_is_one_mutation_with_variables_and_escaped_markers() -> None:
    mutation, variables = writes.graph_mutation([write(0), write(1, 2, "ours"), write(2, 1, "theirs")], {"ours"})
    assert mutation.startswith("mutation($i0:String!,$v0:Long!,$a0:[InventoryEntryUpdateAction!]!,$i1:")
    assert mutation.count("updateInventoryEntry(") == 3
    assert "w2:updateInventoryEntry(id:$i2,version:$v2,actions:$a2){id version quantityOnStock}" in mutation
    assert (variables["i1"], variables["v1"]) == ("e1", 7)
    assert variables["a0"] == [
        {"removeQuantity": {"quantity": 3}},
        {"setCustomType": {"typeKey": "sellable-stock", "fields": [{"name": "lastOp", "value": '"op_0"'}]}},
    ]
    assert variables["a1"] == [
        {"addQuantity": {"quantity": 2}},
        {"setCustomField": {"name": "lastOp", "value": '"op_1"'}},
    ]
    assert variables["a2"] == [{"addQuantity": {"quantity": 1}}]


def test_an_entry_at_a_new_version_is_applied() -> None:
    body = msgspec.json.encode({"data": {"w0": shown(), "w1": shown(1, 12, -5)}})
    assert writes.graph_outcomes([write(0), write(1)], body, AT) == [
        Written(op_id="op_0", status="applied", version=8, quantity=4, at=AT),
        Written(op_id="op_1", status="applied", version=12, quantity=-5, at=AT),
    ]


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        (
            {"data": {"w0": shown(), "w1": None}, "errors": [problem("w1", "ConcurrentModification")]},
            "applied conflict",
        ),
        ({"data": {"w0": None, "w1": shown(1)}, "errors": [problem("w0", "InvalidOperation")]}, "refused applied"),
        ({"data": {"w0": None, "w1": shown(1)}, "errors": [problem("w0", "General")]}, "unknown applied"),
        ({"data": {"w0": None, "w1": shown(1)}, "errors": [problem("w0", "BrandNewCode")]}, "unknown applied"),
        ({"data": {"w0": None, "w1": shown(1)}, "errors": [problem(None, "InvalidInput")]}, "unknown applied"),
        ({"data": {"w1": shown(1)}}, "unknown applied"),
        ({"data": {"w0": shown(9), "w1": shown(1)}}, "unknown applied"),
        ({"data": {"w0": shown(0, version=7), "w1": shown(1)}}, "unknown applied"),
        ({"data": {"w0": {"id": "e0", "version": "8"}, "w1": shown(1)}}, "unknown applied"),
        ({"data": None, "errors": [problem("w0", "ConcurrentModification")]}, "conflict unknown"),
        ({"data": None}, "unknown unknown"),
        ({"data": []}, "unknown unknown"),
        ({"errors": [problem(None, "InvalidInput")]}, "refused refused"),
        ({"errors": [problem(None, "OverCapacity")]}, "unknown unknown"),
        ({}, "unknown unknown"),
        (b'{"data":{"w0":{"id":"e0"', "unknown unknown"),
        (b"<html>", "unknown unknown"),
        (b"", "unknown unknown"),
    ],
)
def test_what_is_not_proved_is_unknown(answer: Any, statuses: str) -> None:
    assert outcomes(answer) == statuses.split()


def test_too_much_at_once_is_told_from_refusals_of_single_writes() -> None:
    too_much = msgspec.json.encode({"errors": [problem(None, writes.TOO_COMPLEX)]})
    single = msgspec.json.encode({"data": {"w0": None}, "errors": [problem("w0", writes.TOO_COMPLEX)]})
    assert [writes.is_too_complex(body) for body in (too_much, single, b"<html>")] == [True, False, False]


# --- Predicates ------------------------------------------------------------------------------------------------------


def test_values_travel_as_variables_or_quoted() -> None:
    groups: dict[str | None, list[str]] = {"ch-1": ['a"b\\', "c"], None: ["d"]}
    bound = predicates.Variables()
    assert predicates.params(lambda bind: predicates.entries(groups, bind), bound) == [
        ("where", "(supplyChannel(id = :v0) and sku in :v1) or (supplyChannel is not defined and sku = :v2)"),
        ("var.v0", "ch-1"),
        ("var.v1", 'a"b\\'),
        ("var.v1", "c"),
        ("var.v2", "d"),
    ]
    assert predicates.entries(groups, predicates.literal) == (
        '(supplyChannel(id = "ch-1") and sku in ("a\\"b\\\\","c")) or (supplyChannel is not defined and sku = "d")'
    )


@pytest.mark.parametrize(
    ("cursor", "where"),
    [
        (None, []),
        (("T", ""), ['createdAt >= "T"']),
        (("T", "i"), ['createdAt > "T" or (createdAt = "T" and id > "i")']),
    ],
)
def test_cursors_drop_no_row(cursor: tuple[str, str] | None, where: list[str]) -> None:
    assert predicates.after("createdAt", cursor, predicates.literal) == where
