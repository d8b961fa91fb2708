"""A cart that changes, in twenty currencies, against decimals written from the vendor's description of rounding (R34).

commercetools: tax is rounded once a line (LineItemLevel) or once a unit (UnitPriceLevel), ties to even, up or down;
its own example is 1.08 three times at 19 %: 3.86 by line and 3.87 by unit.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.properties.machines import holds, tried

from sellable.domain import money
from sellable.domain.money import Rounding, TaxCalculation, Taxed, TaxPortion
from sellable.domain.orders import Charge, InventoryMode, Line, Order, OrderState, Tax
from sellable.orders.totals import recompute

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CURRENCIES = [
    *[(code, 2) for code in ("EUR", "USD", "GBP", "SEK", "PLN", "CHF", "AUD")],
    *[(code, 0) for code in ("JPY", "KRW", "CLP", "VND", "ISK", "XAF", "PYG")],
    *[(code, 3) for code in ("KWD", "BHD", "OMR", "JOD", "TND", "IQD")],
]
MODES = {
    (rounding, calculation, currency)
    for rounding in Rounding
    for calculation in TaxCalculation
    for currency in CURRENCIES
}
RATES = ["0", "0.025", "0.05", "0.07", "0.077", "0.19", "0.2", "0.0825", "0.255"]
TIES = {"HalfEven": ROUND_HALF_EVEN, "HalfUp": ROUND_HALF_UP, "HalfDown": ROUND_HALF_DOWN}
WIDE = Context(prec=60)


def documented(price: Decimal, quantity: int, rate: Decimal, included: bool, mode: Any) -> tuple[Decimal, Decimal]:
    """(net, gross) of a line in major units, as the vendor's text says."""
    rounding, calculation, (_, digits) = mode
    smallest = Decimal(1).scaleb(-digits)

    def rounded(amount: Decimal) -> Decimal:
        return amount.quantize(smallest, rounding=TIES[rounding.value], context=WIDE)

    one = WIDE.add(Decimal(1), rate)
    other = (lambda x: rounded(WIDE.divide(x, one))) if included else (lambda x: rounded(WIDE.multiply(x, one)))
    stated = price * quantity
    by_unit = calculation.value == "UnitPriceLevel"
    computed = other(price) * quantity if by_unit else other(stated)
    return (computed, stated) if included else (stated, computed)


class Cart(RuleBasedStateMachine):
    """Amounts are kept in major units here and turned into minor ones only for the order under test."""

    @initialize(mode=st.sampled_from(sorted(MODES, key=str)))
    def open(self, mode: Any) -> None:
        self.mode = mode
        self.items: list[tuple[str, Decimal, int, Decimal, bool]] = []

    @rule(
        kind=st.sampled_from(["line", "line", "shipping"]),
        price=st.integers(0, 30_000) | st.integers(0, 99).map(lambda n: n * 50),
        quantity=st.integers(1, 30), rate=st.sampled_from(RATES), included=st.booleans(),
    )  # fmt: skip
    def add(self, kind: str, price: int, quantity: int, rate: str, included: bool) -> None:
        if len(self.items) < 6:
            amount = Decimal(price).scaleb(-self.mode[2][1])
            self.items.append((kind, amount, 1 if kind == "shipping" else quantity, Decimal(rate), included))

    @precondition(lambda self: self.items)
    @rule(place=st.integers(0, 5), quantity=st.integers(1, 400))
    def change(self, place: int, quantity: int) -> None:
        kind, price, _, rate, included = self.items[place % len(self.items)]
        self.items[place % len(self.items)] = (kind, price, quantity, rate, included)

    @precondition(lambda self: self.items)
    @rule(place=st.integers(0, 5))
    def remove(self, place: int) -> None:
        self.items.pop(place % len(self.items))

    # --- The order under test ----------------------------------------------------------------------------------------

    def minor(self, amount: Decimal) -> int:
        return int(amount.scaleb(self.mode[2][1]).to_integral_exact())

    def order(self) -> Order:
        rounding, calculation, (currency, digits) = self.mode
        goods: list[Line] = []
        charges: list[Charge] = []
        for number, (kind, price, quantity, rate, included) in enumerate(self.items):
            net, gross = (self.minor(x) for x in documented(price, quantity, rate, included, self.mode))
            tax = Tax(name=f"T{rate}", rate=rate, included=included)
            taxed = Taxed(net=net, gross=gross, portions=(TaxPortion(rate=rate, name=tax.name, amount=gross - net),))
            total = self.minor(price) * quantity
            common: dict[str, Any] = {"name": kind, "quantity": quantity, "total": total, "tax": tax, "taxed": taxed}
            if kind == "line":
                goods.append(
                    Line(line_id=f"l{number}", sku=f"S{number}", mode=InventoryMode.TRACK_ONLY, channel=None,
                         unit=self.minor(price), **common)
                )  # fmt: skip
            else:
                charges.append(Charge(kind=kind, charge_id=f"c{number}", **common))
        items = [*goods, *charges]
        return Order(
            order_id="o-1", version=1, number=None, cart_id=None, placed_at=NOW, modified_at=NOW, state=OrderState.OPEN,
            payment_state=None, shipment_state=None, store=None, country=None, currency=currency, digits=digits,
            lines=tuple(goods), charges=tuple(charges), total=sum(i.total for i in items),
            taxed=Taxed(
                net=sum(i.taxed.net for i in items if i.taxed), gross=sum(i.taxed.gross for i in items if i.taxed)
            ),
            rounding=rounding, calculation=calculation, tax_mode="Platform",
        )  # fmt: skip

    @invariant()
    def the_order_agrees_with_itself(self) -> None:
        if hasattr(self, "mode"):
            assert recompute(self.order()) == []

    @precondition(lambda self: any(kind == "line" for kind, *_ in getattr(self, "items", [])))
    @rule(place=st.integers(0, 5), side=st.sampled_from(["net", "gross"]), off=st.sampled_from([-1, 1]))
    def one_unit_off_is_found(self, place: int, side: str, off: int) -> None:
        order = self.order()
        line = order.lines[place % len(order.lines)]
        assert line.taxed is not None
        assert order.taxed is not None
        wrong = msgspec.structs.replace(line.taxed, **{side: getattr(line.taxed, side) + off})
        lines = tuple(msgspec.structs.replace(x, taxed=wrong) if x is line else x for x in order.lines)
        # Its sums are wrong by the same, so only the line itself can tell.
        taxed = msgspec.structs.replace(order.taxed, **{side: getattr(order.taxed, side) + off})
        found = recompute(msgspec.structs.replace(order, lines=lines, taxed=taxed))
        assert line.line_id in {finding.line_id for finding in found}


def test_the_vendors_own_example() -> None:
    price, rate, cents = Decimal("1.08"), Decimal("0.19"), ("EUR", 2)
    for calculation, gross in ((TaxCalculation.LINE, "3.86"), (TaxCalculation.UNIT, "3.87")):
        mode = (Rounding.HALF_EVEN, calculation, cents)
        assert documented(price, 3, rate, False, mode) == (Decimal("3.24"), Decimal(gross))


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("calculation", TaxCalculation)
def test_every_mode_in_every_currency(rounding: Rounding, calculation: TaxCalculation) -> None:
    """Prices around every tie, in order; the machine below takes them at random."""
    for currency in CURRENCIES:
        mode = (rounding, calculation, currency)
        for price in (*range(120), 333, 499, 2999, 99_995):
            for rate in RATES:
                for included in (True, False):
                    major = Decimal(price).scaleb(-currency[1])
                    expected = documented(major, 3, Decimal(rate), included, mode)
                    found = money.tax_of(
                        unit=price, quantity=3, total=3 * price, rate=Decimal(rate), included=included,
                        rounding=rounding, calculation=calculation,
                    )  # fmt: skip
                    assert found == tuple(int(x.scaleb(currency[1])) for x in expected)


def test_a_cart_in_any_mode_agrees_with_itself_and_nothing_wrong_does() -> None:
    holds(Cart, 500, 20)


@pytest.mark.parametrize("mistake", ["always half up", "by floats", "always by line"])
def test_mistakes_with_money_are_found_out(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    real, tax_of = money.round_minor, money.tax_of
    if mistake == "always half up":
        monkeypatch.setattr(money, "round_minor", lambda amount, mode=Rounding.HALF_UP: real(amount))
    elif mistake == "by floats":
        monkeypatch.setattr(money, "round_minor", lambda amount, mode=Rounding.HALF_UP: round(float(amount)))
    else:
        monkeypatch.setattr(
            "sellable.orders.totals.tax_of", lambda **v: tax_of(**v | {"calculation": TaxCalculation.LINE})
        )
    with pytest.raises(AssertionError, match="totals_differ"):
        tried(Cart, 15)
