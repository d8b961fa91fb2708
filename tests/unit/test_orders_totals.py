"""The order against its own arithmetic, and the master's totals against the order's: to the minor unit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from orders_shop import VAT, complete, line, order

from sellable.connectors.port import SaleTotals
from sellable.domain.money import Rounding, TaxCalculation, Taxed, TaxPortion
from sellable.domain.orders import Charge, Order, Tax
from sellable.orders.totals import Expected, Share, compare, expected, recompute

GROSS = Tax(name="VAT", rate=Decimal("0.19"), included=True, country="DE")
REDUCED = Tax(name="VAT", rate=Decimal("0.05"), included=False, country="DE")


def cup(net: int, gross: int, **changes: Any) -> Any:
    return line(
        "l1", "CUP", **{"quantity": 3, "unit": 333, "total": 999, "taxed": Taxed(net=net, gross=gross)} | changes
    )


@pytest.mark.parametrize(
    ("calculation", "gross", "other"),
    [(TaxCalculation.LINE, 1189, 1188), (TaxCalculation.UNIT, 1188, 1189)],
)
def test_three_times_three_thirty_three_by_line_and_by_unit(
    calculation: TaxCalculation, gross: int, other: int
) -> None:
    assert recompute(complete(order(cup(999, gross), calculation=calculation))) == []
    [found] = recompute(complete(order(cup(999, other), calculation=calculation)))
    assert (found.kind, found.subject, found.line_id) == ("totals_differ", "order:o-1", "l1")
    assert found.expected == {"line": "l1", "name": "CUP", "net": 999, "gross": gross}
    assert found.actual == {"line": "l1", "name": "CUP", "net": 999, "gross": other}


@pytest.mark.parametrize(("rounding", "tax"), [(Rounding.HALF_EVEN, 2), (Rounding.HALF_UP, 3), (Rounding.HALF_DOWN, 2)])
def test_five_percent_of_fifty_cents_in_three_roundings(rounding: Rounding, tax: int) -> None:
    bought = line("l1", "CUP", 1, unit=50, total=50, tax=REDUCED, taxed=Taxed(net=50, gross=50 + tax))
    assert recompute(complete(order(bought, rounding=rounding))) == []
    wrong = msgspec.structs.replace(bought, taxed=Taxed(net=50, gross=55 - tax))
    assert [f.expected["gross"] for f in recompute(complete(order(wrong, rounding=rounding)))] == [50 + tax]


def test_gross_prices_are_recomputed_downwards() -> None:
    assert recompute(complete(order(cup(839, 999, tax=GROSS)))) == []
    assert [f.expected["net"] for f in recompute(complete(order(cup(840, 999, tax=GROSS))))] == [839]


def test_unevenly_discounted_units_are_bounded_by_half_a_minor_unit_each() -> None:
    """2.33 + 3.33 + 3.33 = 8.99, and 2.77 + 3.96 + 3.96 = 10.69 by unit; by line it would be 10.70."""
    assert recompute(complete(order(cup(899, 1069, total=899), calculation=TaxCalculation.UNIT))) == []
    assert len(recompute(complete(order(cup(899, 1073, total=899), calculation=TaxCalculation.UNIT)))) == 1
    assert len(recompute(complete(order(cup(898, 1069, total=899), calculation=TaxCalculation.UNIT)))) == 1
    assert len(recompute(complete(order(cup(899, 1069, total=899))))) == 1


def test_portions_of_a_line_add_up_to_its_tax() -> None:
    halves = (
        TaxPortion(rate=Decimal("0.1"), name="state", amount=100),
        TaxPortion(rate=Decimal("0.09"), name="city", amount=89),
    )
    [found] = recompute(order(cup(999, 1189, taxed=Taxed(net=999, gross=1189, portions=halves)), total=999))
    assert (found.expected["tax"], found.actual["tax"]) == (190, 189)


def test_the_sums_and_the_tax_by_rate_must_be_the_orders_own() -> None:
    post = Charge(
        kind="shipping", charge_id="s", name="Post", quantity=1, total=500, tax=REDUCED, taxed=Taxed(net=500, gross=525)
    )
    good = complete(order(cup(999, 1189), charges=(post,)))
    assert good.total == 1499
    assert recompute(good) == []
    taxed = Taxed(net=1499, gross=1715, portions=(TaxPortion(rate=VAT.rate, name="VAT", amount=215),))
    found = recompute(msgspec.structs.replace(good, total=1500, taxed=taxed))
    assert [(f.expected, f.actual) for f in found] == [
        ({"total": 1499}, {"total": 1500}),
        ({"net": 1499, "gross": 1714}, {"net": 1499, "gross": 1715}),
        ({"tax by rate": {"0.05 VAT": 25, "0.19 VAT": 190}}, {"tax by rate": {"0.19 VAT": 215}}),
    ]


def test_portions_merge_by_rate_and_name_however_a_rate_is_written() -> None:
    same = Tax(name="VAT", rate=Decimal("0.190"), included=False, country="DE")
    bought = order(
        cup(999, 1189), line("l2", "POT", 3, unit=333, total=999, taxed=Taxed(net=999, gross=1189), tax=same)
    )
    assert recompute(complete(bought)) == []
    assert [p.amount for p in complete(bought).taxed.portions] == [380]


def test_a_discount_on_the_total_is_only_added_up() -> None:
    less = Charge(
        kind="discount", charge_id="d", name="-1", quantity=1, total=-100, tax=None, taxed=Taxed(net=-100, gross=-118)
    )
    assert recompute(complete(order(cup(999, 1189), charges=(less,)))) == []


@pytest.mark.parametrize("mode", ["ExternalAmount", "Disabled"])
def test_amounts_of_somebody_else_are_summed_and_not_recomputed(mode: str) -> None:
    assert recompute(complete(order(cup(999, 1500), tax_mode=mode))) == []
    assert len(recompute(complete(order(cup(999, 1500), tax_mode="External")))) == 1
    assert len(recompute(msgspec.structs.replace(complete(order(cup(999, 1500), tax_mode=mode)), total=1))) == 1


def test_an_order_without_tax_is_only_summed() -> None:
    bought: Order = order(cup(0, 0, tax=None, taxed=None), total=999)
    assert recompute(bought) == []


def test_expected_totals_and_their_comparison() -> None:
    shares = [
        Share(rule="VAT 19", net=999, tax=190),
        Share(rule="VAT 7", net=100, tax=7),
        Share(rule="VAT 19", net=-100, tax=-19),
    ]
    want = expected(shares)
    assert want == Expected(net=999, tax=178, gross=1177, by_rule={"VAT 19": 171, "VAT 7": 7})
    assert compare(want, SaleTotals(net=999, tax=178, gross=1177)) == []
    assert compare(want, SaleTotals(net=999, tax=179, gross=1178)) == [("tax", 178, 179), ("gross", 1177, 1178)]
