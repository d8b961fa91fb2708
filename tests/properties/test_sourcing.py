"""Sourcing against a naive search: nothing lost, nothing promised twice, one place if one will do."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sellable.domain.orders import InventoryMode, Line
from sellable.orders.rules import source

PLACES = ("a", "b", "c", "d")
SKUS = ("CUP", "POT", "JUG")
KITS = {"TEA-SET": {"CUP": 2, "POT": 1}, "PAIR": {"CUP": 2}}
PATIENT = settings(deadline=None)
MANY = tuple(f"shop-{n:02}" for n in range(15))

Stock = dict[tuple[str, str], int]
Found = dict[str, list[tuple[str, int]]]


def line(number: int, sku: str, quantity: int) -> Line:
    return Line(
        line_id=f"l{number}", sku=sku, name=sku, quantity=quantity, mode=InventoryMode.TRACK_ONLY, channel=None, unit=1,
        total=quantity, tax=None, taxed=None,
    )  # fmt: skip


def orders(*skus: str) -> st.SearchStrategy[list[Line]]:
    pairs = st.lists(st.tuples(st.sampled_from(skus), st.integers(1, 6)), min_size=1, max_size=4)
    return pairs.map(lambda found: [line(n, sku, units) for n, (sku, units) in enumerate(found)])


def stocks(places: tuple[str, ...] = PLACES) -> st.SearchStrategy[Stock]:
    """Some rows of every (sku, place), as masters leave rows out."""
    rows = {(sku, place): st.integers(-2, 8) for sku, place in product(SKUS, places)}
    return st.fixed_dictionaries({}, optional=rows)


def needs(lines: list[Line], units: Any = lambda line: line.quantity) -> dict[str, int]:
    total: dict[str, int] = {}
    for item in lines:
        for sku, per in KITS.get(item.sku or "", {item.sku or "": 1}).items():
            total[sku] = total.get(sku, 0) + per * units(item)
    return total


def enough(lines: list[Line], stock: Stock, place: str) -> bool:
    return all(stock.get((sku, place), 0) >= units for sku, units in needs(lines).items())


def at(places: Any, lines: list[Line]) -> dict[str, Any]:
    return {item.line_id: places for item in lines}


def used(found: Found) -> set[str]:
    return {place for places in found.values() for place, _ in places}


@PATIENT
@given(orders(*SKUS, *KITS), stocks(), st.permutations(PLACES))
def test_every_unit_is_assigned_exactly_once(lines: list[Line], stock: Stock, places: list[str]) -> None:
    before = dict(stock)
    found = source(lines, stock, at(places, lines), KITS)
    assert stock == before
    assert found == source(lines, dict(reversed(stock.items())), at(places, lines), KITS)
    assert list(found) == [item.line_id for item in lines]
    for item in lines:
        assigned = found[item.line_id]
        assert sum(units for _, units in assigned) == item.quantity
        assert all(units > 0 for _, units in assigned)
        assert [place for place, _ in assigned] == [p for p in places if p in dict(assigned)]


@PATIENT
@given(orders(*SKUS, *KITS), stocks(), st.permutations(PLACES))
def test_the_first_location_that_can_serve_all_does(lines: list[Line], stock: Stock, places: list[str]) -> None:
    able = [place for place in places if enough(lines, stock, place)]
    if able:
        assert used(source(lines, stock, at(places, lines), KITS)) == {able[0]}


@PATIENT
@given(orders(*SKUS, *KITS), stocks(), st.permutations(PLACES))
def test_stock_is_promised_once_and_only_the_first_place_owes(
    lines: list[Line], stock: Stock, places: list[str]
) -> None:
    """Elsewhere than at the first place nothing is assigned that is not there, unless nobody counts it at all."""
    found = source(lines, stock, at(places, lines), KITS)
    counted = [x for x in lines if any((sku, p) in stock for sku in needs([x]) for p in places)]
    for place in places[1:]:
        there = needs(counted, lambda item, place=place: dict(found[item.line_id]).get(place, 0))
        assert all(units <= max(0, stock.get((sku, place), 0)) for sku, units in there.items())


@PATIENT
@given(orders(*SKUS), stocks())
def test_no_fewer_locations_would_do(lines: list[Line], stock: Stock) -> None:
    """Without kits a set of locations is enough exactly when it has enough of each SKU."""
    fewest = next(
        (
            size
            for size in range(1, len(PLACES) + 1)
            for chosen in combinations(PLACES, size)
            if all(sum(max(0, stock.get((s, p), 0)) for p in chosen) >= n for s, n in needs(lines).items())
        ),
        None,
    )
    if fewest is not None:
        assert len(used(source(lines, stock, at(PLACES, lines), {}))) == fewest


@PATIENT
@given(orders(*SKUS), stocks())
def test_what_can_be_served_is_served(lines: list[Line], stock: Stock) -> None:
    found = source(lines, stock, at(PLACES, lines), {})
    for sku, units in needs(lines).items():
        there: dict[str, int] = {}
        for item, place in product(lines, PLACES):
            if item.sku == sku:
                there[place] = there.get(place, 0) + dict(found[item.line_id]).get(place, 0)
        served = sum(min(units_, max(0, stock.get((sku, place), 0))) for place, units_ in there.items())
        assert served == min(units, sum(max(0, stock.get((sku, place), 0)) for place in PLACES))


@PATIENT
@given(orders(*SKUS), stocks(MANY))
def test_many_locations_lose_nothing_either(lines: list[Line], stock: Stock) -> None:
    found = source(lines, stock, at(MANY, lines), {})
    assert {k: sum(u for _, u in v) for k, v in found.items()} == {x.line_id: x.quantity for x in lines}
    able = [place for place in MANY if enough(lines, stock, place)]
    if able:
        assert used(found) == {able[0]}
