"""Returned pieces, reasons, states of markets, and what is left of an order: values in, values out."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.e2e.world import settings_of

from sellable.config.settings import Settings
from sellable.domain.money import Rounding, TaxCalculation, Taxed, TaxPortion, tax_of
from sellable.domain.orders import Charge, GoodsReturn, InventoryMode, Line, Order, OrderState, ReturnedGoods, Tax
from sellable.domain.states import TABLES, Machine, known, may
from sellable.domain.stock import State
from sellable.orders import pieces, reasons, statuses, totals
from sellable.orders.pieces import Place, Wanting
from sellable.orders.remaining import remaining, worth

NOW = datetime(2026, 11, 1, tzinfo=UTC)
VAT = Tax(name="19 %", rate=Decimal("0.19"), included=False, country="DE")


def place(fate: str = "inspection", sku: str = "CHAIR", location: str = "Berlin") -> Place:
    return Place(sku=sku, location=location, fate=fate)


def back(*stock: tuple[str, int, State], items: tuple[tuple[str, int, str], ...] = ()) -> GoodsReturn:
    goods = tuple(ReturnedGoods(sku=sku, units=n, location="Berlin", state=state) for sku, n, state in stock)
    return GoodsReturn(return_id="r", number="CR-1", items=items, stock=goods)


# --- Pieces ----------------------------------------------------------------------------------------------------------


def test_what_was_credited_is_looked_for_in_stock_and_what_is_missing_there_was_written_off() -> None:
    found = pieces.places(back(("CHAIR", 2, State.AVAILABLE), items=(("CHAIR", 3, ""),)), {})
    assert found == {place("available"): 2, place("written_off", location=""): 1}


def test_a_kit_is_as_good_as_its_worst_component_and_takes_the_best_ones_first() -> None:
    stock = (("CHAIR", 3, State.AVAILABLE), ("CHAIR", 1, State.INSPECTION), ("TABLE", 2, State.AVAILABLE))
    found = pieces.places(back(*stock, items=(("SET", 2, ""),)), {"SET": {"CHAIR": 2, "TABLE": 1}})
    assert found == {place("available", "SET"): 1, place("inspection", "SET"): 1}


def test_any_number_that_a_vendor_writes_is_placed_at_once() -> None:
    """Not unit by unit: a slip of the pen of a trillion would stop everything that comes after it."""
    many = 10**15
    stock = [("CHAIR", 3, State.AVAILABLE), ("LEG", 2 * many + 1, State.DAMAGED), ("SEAT", many, State.AVAILABLE)]
    found = pieces.places(back(*stock, items=(("CHAIR", many, ""), ("SET", many, ""))), {"SET": {"LEG": 2, "SEAT": 1}})
    assert found == Counter(
        {place("available"): 3, place("written_off", location=""): many - 3, place("damaged", "SET"): many}
    )
    assert pieces.batches(place("inspection"), many) == [many]


STATES = (State.AVAILABLE, State.DAMAGED, State.INSPECTION)


@given(
    legs=st.lists(st.integers(0, 7), min_size=3, max_size=3),
    seats=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    sets=st.integers(1, 9),
    single=st.integers(0, 6),
)
def test_many_at_once_are_placed_as_one_after_the_other(
    legs: list[int], seats: list[int], sets: int, single: int
) -> None:
    stock = [("LEG", n, state) for n, state in zip(legs, STATES, strict=True) if n]
    stock += [("SEAT", n, state) for n, state in zip(seats, STATES, strict=True) if n]
    recipes = {"SET": {"LEG": 2, "SEAT": 1}}
    at_once = pieces.places(back(*stock, items=(("SET", sets, ""), ("LEG", single, ""))), recipes)
    one_by_one = back(*stock, items=(*[("SET", 1, "")] * sets, *[("LEG", 1, "")] * single))
    assert +at_once == +pieces.places(one_by_one, recipes)


def test_stock_that_nobody_credited_counts_too() -> None:
    assert pieces.places(back(("CHAIR", 2, State.QUARANTINE)), {}) == {place("quarantine"): 2}


def test_less_here_and_more_there_is_a_move_the_rest_is_new_or_gone() -> None:
    before = Counter({place("inspection"): 3, place("available", "TABLE"): 1})
    now = Counter({place("inspection"): 1, place("available"): 1, place("damaged"): 2})
    change = pieces.compare(before, now)
    assert change.moved == ((place("inspection"), place("available"), 1), (place("inspection"), place("damaged"), 1))
    assert change.new == ((place("damaged"), 1),)
    assert change.gone == ((place("available", "TABLE"), 1),)


PLACES = st.sampled_from([place(fate, sku) for fate in ("inspection", "available", "damaged") for sku in ("A", "B")])
COUNTS = st.dictionaries(PLACES, st.integers(1, 5)).map(Counter)


@given(COUNTS, COUNTS)
def test_a_change_applied_to_what_was_is_what_is(before: Counter[Place], now: Counter[Place]) -> None:
    change = pieces.compare(before, now)
    result = Counter(before)
    for source, target, units in change.moved:
        assert units > 0
        assert source.sku == target.sku
        result[source] -= units
        result[target] += units
    for where, units in change.new:
        result[where] += units
    for where, units in change.gone:
        result[where] -= units
    assert +result == now
    assert not {w.sku for w, _ in change.new} & {w.sku for w, _ in change.gone}


def test_goods_fill_lines_up_to_what_they_shipped_and_the_excess_is_named() -> None:
    lines = [
        Wanting(line_id="l1", sku="CHAIR", shipped=2, returned=1),
        Wanting(line_id="l2", sku="CHAIR", shipped=1, returned=0),
    ]
    found, over, strange = pieces.on_lines([(place(), 4), (place(sku="TABLE"), 1)], lines)
    assert found == [(place(), "l1", 1), (place(), "l2", 1), (place(), "l2", 2), (place(sku="TABLE"), None, 1)]
    assert (over, strange) == ({"CHAIR": 2}, {"TABLE": 1})


def test_undecided_units_are_pieces_of_their_own() -> None:
    assert pieces.batches(place("inspection"), 3) == [1, 1, 1]
    assert pieces.batches(place("available"), 3) == [3]


@pytest.mark.parametrize("name", ["abc", "Ä/1", "x" * 300])
def test_keys_fit_the_storefront_and_stay_different(name: str) -> None:
    keys = {pieces.key_of(name, n) for n in range(1, 20)} | {pieces.key_of(name + "!", 1)}
    assert len(keys) == 20
    assert all(len(key) <= 256 and set(key) <= set(map(chr, range(128))) and "/" not in key for key in keys)


def test_a_fate_is_said_in_the_storefronts_words() -> None:
    said = {fate: pieces.said(fate) for fate in ("inspection", "quarantine", "available", "damaged", "written_off")}
    assert said == {
        "inspection": "Returned", "quarantine": "Returned", "available": "BackInStock", "damaged": "Unusable",
        "written_off": "Unusable",
    }  # fmt: skip


# --- States ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "before", "after", "legal"),
    [
        (Machine.LINE, "open", "cancelled", True),
        (Machine.LINE, "cancelled", "shipped", False),
        (Machine.LINE, "open", "available", False),
        (Machine.LINE, "inspection", "damaged", True),
        (Machine.LINE, "damaged", "available", False),
        (Machine.ORDER, "Cancelled", "Open", False),
        (Machine.ORDER, "Complete", "Cancelled", True),
        (Machine.SHIPMENT, None, "Shipped", True),
        (Machine.SHIPMENT, "Partial", "Ready", False),
        (Machine.SHIPMENT, "Canceled", "Shipped", False),
        (Machine.SHIPMENT, "Teleported", "Shipped", True),
        (Machine.RETURN, "Advised", "BackInStock", False),
        (Machine.RETURN, "Returned", "Unusable", True),
        (Machine.RETURN, "Unusable", "BackInStock", False),
        (Machine.REFUND, "Initial", "Refunded", True),
        (Machine.REFUND, "NonRefundable", "Refunded", False),
    ],
)
def test_what_may_become_what(machine: Machine, before: str | None, after: str, legal: bool) -> None:
    assert may(machine, before, after) is legal


@pytest.mark.parametrize("machine", list(Machine))
def test_every_state_a_table_leads_to_is_in_it_and_may_stay(machine: Machine) -> None:
    table = TABLES[machine]
    assert {state for nexts in table.values() for state in nexts} <= set(table)
    assert all(may(machine, state, state) and known(machine, state) and state not in table[state] for state in table)


# --- Reasons and markets ---------------------------------------------------------------------------------------------


def settings(**changes: Any) -> Settings:
    return settings_of(NOW, **changes)


REASONS = settings(
    reasons=[
        {"code": "too small", "storefront": "size", "back_office": "S1"},
        {"code": "moths", "back_office": "M"},
    ]
)


def test_a_code_becomes_our_word_and_the_others_code() -> None:
    assert reasons.heard(" S1 ", "back_office", REASONS) == "too small"
    assert reasons.said_to("too small", "storefront", REASONS) == "size"
    assert reasons.said_to("moths", "storefront", REASONS) == ""
    assert reasons.heard("", "storefront", REASONS) == ""


def test_an_unknown_code_is_kept_and_names_the_line_to_add() -> None:
    assert reasons.heard("X9", "storefront", REASONS) == "X9"
    finding = reasons.unmapped("X9", "storefront", REASONS, "order 7")
    assert finding is not None
    assert (finding.kind, finding.subject) == ("reason_unmapped", "reason:storefront:X9")
    assert finding.expected == {"codes": ["size"], "add to the settings": '[[reasons]] code = "...", storefront = "X9"'}
    assert finding.actual["on"] == "order 7"


def test_where_no_reason_is_mapped_none_is_looked_at() -> None:
    assert reasons.unmapped("X9", "storefront", settings(), "order 7") is None
    assert reasons.unmapped("size", "storefront", REASONS, "order 7") is None


def test_the_most_exact_section_of_a_market_counts() -> None:
    here = settings(
        statuses=[
            {"event": "shipped", "country": "CH", "shipment_state": "Delivered"},
            {"event": "shipped", "store": "outlet", "order_state": "keep"},
            {"event": "shipped", "order_state": "Confirmed"},
        ]
    )
    assert statuses.told_as("shipped", "", "DE", here) == ("Shipped", "Confirmed")
    assert statuses.told_as("shipped", "", "CH", here) == ("Delivered", "Complete")
    assert statuses.told_as("shipped", "outlet", "CH", here) == ("Shipped", None)
    assert statuses.told_as("ready", "outlet", "CH", here) == ("Ready", None)


# --- What is left ----------------------------------------------------------------------------------------------------


def ordered(*lines: Line, calculation: TaxCalculation = TaxCalculation.LINE, **changes: Any) -> Order:
    shipping = Charge(
        kind="shipping", charge_id="s", name="Parcel", quantity=1, total=490, tax=VAT, taxed=Taxed(net=490, gross=583)
    )
    net = 490 + sum(line.taxed.net for line in lines if line.taxed)
    gross = 583 + sum(line.taxed.gross for line in lines if line.taxed)
    values: dict[str, Any] = {
        "order_id": "o", "version": 1, "number": None, "cart_id": None, "placed_at": NOW, "modified_at": NOW,
        "state": OrderState.OPEN, "payment_state": None, "shipment_state": None, "store": None, "country": "DE",
        "currency": "EUR", "digits": 2, "lines": lines, "charges": (shipping,),
        "total": 490 + sum(line.total for line in lines), "taxed": Taxed(net=net, gross=gross),
        "rounding": Rounding.HALF_EVEN, "calculation": calculation, "tax_mode": "Platform",
    }  # fmt: skip
    return Order(**values | changes)


def line(quantity: int, cancelled: int, calculation: TaxCalculation, unit: int = 333) -> Line:
    total = unit * quantity
    _, gross = tax_of(
        unit=unit, quantity=quantity, total=total, rate=VAT.rate, included=False, rounding=Rounding.HALF_EVEN,
        calculation=calculation,
    )  # fmt: skip
    taxed = Taxed(net=total, gross=gross, portions=(TaxPortion(rate=VAT.rate, name=VAT.name, amount=gross - total),))
    return Line(
        line_id="l", sku="A", name="A", quantity=quantity, mode=InventoryMode.NONE, channel=None, unit=unit,
        total=total, tax=VAT, taxed=taxed, cancelled=cancelled,
    )  # fmt: skip


def test_one_of_three_cancelled_leaves_two_at_the_same_price() -> None:
    left = remaining(ordered(line(3, 1, TaxCalculation.LINE)))
    (kept,) = left.lines
    assert (kept.quantity, kept.cancelled, kept.total) == (2, 0, 666)
    assert kept.taxed == Taxed(net=666, gross=793, portions=(TaxPortion(rate=VAT.rate, name="19 %", amount=127),))
    assert (left.total, left.taxed) == (490 + 666, Taxed(net=490 + 666, gross=583 + 793))
    assert remaining(left) is left


@given(st.integers(1, 9), st.integers(0, 9), st.sampled_from(list(TaxCalculation)), st.integers(1, 99_999))
def test_what_is_left_agrees_with_itself(quantity: int, gone: int, calculation: TaxCalculation, unit: int) -> None:
    gone = min(gone, quantity)
    order = ordered(line(quantity, gone, calculation, unit), calculation=calculation)
    assert totals.recompute(order) == []
    left = remaining(order)
    assert totals.recompute(left) == []
    assert left.lines[0].quantity == quantity - gone
    assert worth(order, {"l": gone}) == (order.taxed.gross - left.taxed.gross if order.taxed and left.taxed else 0)


def test_a_total_that_contradicts_its_lines_still_does() -> None:
    order = ordered(line(3, 1, TaxCalculation.LINE), total=1)
    assert [f.kind for f in totals.recompute(remaining(order))] == ["totals_differ"]


def test_unevenly_priced_units_share_their_total() -> None:
    goods = msgspec.structs.replace(line(3, 1, TaxCalculation.LINE), total=1000, taxed=Taxed(net=1000, gross=1190))
    (kept,) = remaining(ordered(goods)).lines
    assert (kept.total, kept.taxed) == (666, Taxed(net=666, gross=793))
