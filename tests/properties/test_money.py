"""Money against naive fractions, and orders against the sum of their sales: exact for every mode and currency."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from sellable.config.settings import (
    Channel,
    Cin7Core,
    Commercetools,
    CustomerMap,
    Location,
    Orders,
    Pool,
    Rate,
    Settings,
    TaxMap,
)
from sellable.domain.money import Rounding, TaxCalculation, Taxed, TaxPortion, tax_of, to_major, to_minor
from sellable.domain.orders import Charge, InventoryMode, Line, Order, OrderState, Tax
from sellable.orders.sales import Part, drafts, price_of
from sellable.orders.totals import recompute

RATES = ("0", "0.05", "0.07", "0.19", "0.2", "0.0825")
PLACES = ("main", "east", "west")
PATIENT = options(deadline=None)
NOW = datetime(2026, 3, 1, tzinfo=UTC)

roundings = st.sampled_from(Rounding)
calculations = st.sampled_from(TaxCalculation)
rates = st.sampled_from([Decimal(rate) for rate in RATES])
prices = st.integers(0, 2_000_000) | st.integers(0, 999).map(lambda cents: cents * 50)


def settings() -> Settings:
    return Settings(
        orders=Orders(start_at=NOW),
        commercetools=Commercetools(project="shop", client_id="", client_secret="", restocks_on_cancel="unknown"),
        cin7_core=Cin7Core(account_id="", key="", base_currency="EUR"),
        locations=tuple(Location(name=name, master="cin7_core", remote=name) for name in PLACES),
        states=(),
        pools=(Pool(name="web", locations=PLACES),),
        channels=(Channel(key="", pool="web"),),
        customers=tuple(CustomerMap(customer=c, currency=c) for c in ("EUR", "JPY", "KWD")),
        rates=(Rate(currency="JPY", rate="0.00613"), Rate(currency="KWD", rate="2.81")),
        taxes=tuple(TaxMap(rate=rate, rule=f"Rule {rate}") for rate in RATES),
        owners=(),
    )


SETTINGS = settings()


# --- One line --------------------------------------------------------------------------------------------------------


def nearest(amount: Fraction, mode: Rounding) -> int:
    """The naive reference: floor, then look at what is left."""
    low = amount.numerator // amount.denominator
    left = amount - low
    if left == Fraction(1, 2):
        up = {Rounding.HALF_UP: True, Rounding.HALF_DOWN: False, Rounding.HALF_EVEN: low % 2 == 1}[mode]
        return low + up
    return low + (left > Fraction(1, 2))


@PATIENT
@given(prices, st.integers(1, 500), rates, st.booleans(), roundings, calculations)
def test_tax_is_what_fractions_say(
    unit: int, quantity: int, rate: Decimal, included: bool, rounding: Rounding, calculation: TaxCalculation
) -> None:
    by_unit = calculation is TaxCalculation.UNIT
    base, times = (unit, quantity) if by_unit else (unit * quantity, 1)
    factor = 1 + Fraction(str(rate))
    other = nearest(base / factor if included else base * factor, rounding) * times
    stated = unit * quantity
    assert tax_of(
        unit=unit, quantity=quantity, total=stated, rate=rate, included=included, rounding=rounding,
        calculation=calculation,
    ) == ((other, stated) if included else (stated, other))  # fmt: skip


@PATIENT
@given(st.integers(-(10**12), 10**12), st.sampled_from([0, 2, 3]))
def test_minor_and_major_units_are_the_same_money(minor: int, digits: int) -> None:
    assert to_minor(to_major(minor, digits), digits) == minor
    assert to_major(minor, digits) * 10**digits == minor


def test_a_float_is_no_money() -> None:
    with pytest.raises(TypeError):
        to_minor(9.99, 2)  # type: ignore[arg-type]


@PATIENT
@given(prices, st.integers(1, 2_000), st.sampled_from([0, 2, 3]), st.integers(-49, 49))
def test_a_price_comes_to_its_total(total: int, quantity: int, digits: int, carry: int) -> None:
    half = Fraction(10 ** (4 - digits), 2)
    start = carry if abs(carry) < half else 0
    found = price_of(total, quantity, digits, start)
    assert found is not None
    price, discount, rest = found
    product = quantity * Fraction(price) * (1 - Fraction(discount) / 100) * 10**4
    exact = total * 10 ** (4 - digits)
    assert abs(product - exact) < half
    assert abs(start + rest) < half
    assert price == price.quantize(Decimal("0.0001"))
    assert discount == discount.quantize(Decimal("0.01"))
    assert nearest(product, Rounding.HALF_UP) == exact + rest


# --- Whole orders ----------------------------------------------------------------------------------------------------


@st.composite
def bought(draw: st.DrawFn) -> Order:
    """An order as a storefront computes it, in any mode; discounts of lines are in their totals."""
    currency, digits = draw(st.sampled_from([("EUR", 2), ("JPY", 0), ("KWD", 3)]))
    rounding, calculation = draw(roundings), draw(calculations)
    included = draw(st.sampled_from([True, False, None]))

    def priced(name: str, item: type[Line] | type[Charge], **values: Any) -> Any:
        quantity, unit = draw(st.integers(1, 40)), draw(prices)
        even = draw(st.booleans()) or calculation is TaxCalculation.UNIT
        total = unit * quantity - (0 if even else draw(st.integers(0, unit * quantity)))
        gross = draw(st.booleans()) if included is None else included
        rate = draw(rates)
        net, whole = tax_of(
            unit=unit, quantity=quantity, total=total, rate=rate, included=gross, rounding=rounding,
            calculation=calculation,
        )  # fmt: skip
        tax = Tax(name=f"T{rate}", rate=rate, included=gross)
        portion = TaxPortion(rate=rate, name=tax.name, amount=whole - net)
        taxed = Taxed(net=net, gross=whole, portions=(portion,))
        return item(name=name, quantity=quantity, total=total, tax=tax, taxed=taxed, **values)

    lines = [
        priced(f"Line {n}", Line, line_id=f"l{n}", sku=f"SKU-{n}", mode=InventoryMode.TRACK_ONLY, channel=None, unit=0)
        for n in range(draw(st.integers(1, 5)))
    ]
    lines = [msgspec.structs.replace(x, unit=x.total // x.quantity) for x in lines]
    charges = [
        priced(kind, Charge, kind=kind, charge_id=kind)
        for kind in draw(st.sets(st.sampled_from(["shipping", "custom"])))
    ]
    order = Order(
        order_id="o-1", version=1, number=None, cart_id=None, placed_at=NOW, modified_at=NOW, state=OrderState.OPEN,
        payment_state=None, shipment_state=None, store=None, country=None, currency=currency, digits=digits,
        lines=tuple(lines), charges=tuple(charges), total=0, taxed=None, rounding=rounding, calculation=calculation,
        tax_mode="Platform",
    )  # fmt: skip
    return discounted(order, draw(st.integers(0, 100)))


def discounted(order: Order, percent: int) -> Order:
    """The order with its sums, and so much taken off the total."""
    items: list[Line | Charge] = [*order.lines, *order.charges]
    net, gross = sum(i.taxed.net for i in items if i.taxed), sum(i.taxed.gross for i in items if i.taxed)
    total = sum(item.total for item in items)
    if net and 0 < percent < 100:
        less = Taxed(net=-(net * percent // 100), gross=-(gross * percent // 100))
        total_less = -(total * percent // 100)
        charge = Charge(
            kind="discount", charge_id="d", name="Discount", quantity=1, total=total_less, tax=None, taxed=less
        )
        order = msgspec.structs.replace(order, charges=(*order.charges, charge))
        net, gross, total = net + less.net, gross + less.gross, total + total_less
    return msgspec.structs.replace(order, total=total, taxed=Taxed(net=net, gross=gross))


def spread(draw: st.DrawFn, order: Order) -> dict[str, list[tuple[str, int]]]:
    """Any assignment of every unit."""
    assignment = {}
    for line in order.lines:
        left, places = line.quantity, []
        for place in PLACES[:-1]:
            units = draw(st.integers(0, left))
            left -= units
            places.append((place, units))
        assignment[line.line_id] = [*places, (PLACES[-1], left)]
    return assignment


def total_of(part: Part, name: str) -> Decimal:
    return sum((getattr(item, name) for item in (*part.draft.lines, *part.draft.charges)), Decimal(0))


@PATIENT
@given(st.data())
def test_the_sales_of_an_order_are_the_order(data: st.DataObject) -> None:
    order = data.draw(bought())
    assert recompute(order) == []
    assert order.taxed is not None
    assignment = spread(data.draw, order)
    parts = drafts(order, assignment, SETTINGS, kits={})
    assert all(isinstance(part, Part) for part in parts), parts
    assert sum(p.expected.net for p in parts) == order.taxed.net
    assert sum(p.expected.tax for p in parts) == order.taxed.tax
    assert sum(p.expected.gross for p in parts) == order.taxed.gross
    assert [p.part for p in parts] == list(range(1, len(parts) + 1))
    placed = sorted((line_id, p.location, units) for p in parts for line_id, _, units in p.lines)
    assert placed == sorted((line_id, place, units) for line_id, a in assignment.items() for place, units in a if units)
    for part in parts:
        # What the master adds up from the document is what we expect of it.
        tax = to_minor(total_of(part, "tax"), order.digits)
        amount = to_minor(total_of(part, "total"), order.digits)
        assert tax == part.expected.tax == sum(part.expected.by_rule.values())
        assert amount == (part.expected.gross if part.draft.tax_included else part.expected.net)
        products = sum(x.quantity * x.price * (1 - x.discount / 100) for x in part.draft.lines)
        goods = sum(x.total for x in part.draft.lines)
        assert to_minor(products, order.digits) == to_minor(goods, order.digits)


@PATIENT
@given(st.data())
def test_a_minor_unit_too_much_anywhere_is_found(data: st.DataObject) -> None:
    order = data.draw(bought())
    line = data.draw(st.sampled_from(order.lines))
    assert line.taxed is not None
    wrong = msgspec.structs.replace(line, taxed=msgspec.structs.replace(line.taxed, gross=line.taxed.gross + 1))
    lines = tuple(wrong if x is line else x for x in order.lines)
    assert any(finding.line_id == line.line_id for finding in recompute(msgspec.structs.replace(order, lines=lines)))
    assert recompute(msgspec.structs.replace(order, total=order.total + 1)) != []
