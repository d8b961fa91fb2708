"""Tax and totals of a sale's lines. Rule: Decimal only, half up; which rounding the vendor uses is a marked guess."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from sellable.sandbox.cin7.reference import TaxRule
from sellable.sandbox.cin7.switches import Switches
from sellable.sandbox.cin7.wire import ZERO, rounded

HUNDRED = Decimal(100)


@dataclass(slots=True)
class Priced:
    """One line or charge as money: `total` is without tax on exclusive sales, gross on inclusive ones (guess)."""

    rule: TaxRule
    total: Decimal
    tax: Decimal


@dataclass(slots=True, frozen=True)
class Totals:
    before_tax: Decimal = ZERO
    tax: Decimal = ZERO
    total: Decimal = ZERO


def line_total(quantity: Decimal, price: Decimal, discount: Decimal) -> Decimal:
    """Quantity x Price x (1 - Discount/100), four places (blueprint, sale/order)."""
    return rounded(quantity * price * (HUNDRED - discount) / HUNDRED, 4)


def tax_of(total: Decimal, rule: TaxRule, *, inclusive: bool, places: int) -> Decimal:
    """The tax on a net total, or the part of a gross total that is tax."""
    base = HUNDRED + rule.percent if inclusive else HUNDRED
    return rounded(total * rule.percent / base, places)


def totals_of(rows: list[Priced], *, inclusive: bool, method: str, switches: Switches) -> Totals:
    """Document totals by /me TaxCalculationMethod: "Row Total" adds the rows' taxes, "Total" taxes each rule's sum."""
    if method == "Total":
        sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for row in rows:
            sums[row.rule.name] += row.total
        rules = {row.rule.name: row.rule for row in rows}
        parts = (tax_of(s, rules[n], inclusive=inclusive, places=switches.tax_places) for n, s in sums.items())
        tax = sum(parts, ZERO)
    else:
        tax = sum((row.tax for row in rows), ZERO)
    amount = sum((row.total for row in rows), ZERO)
    before = amount - tax if inclusive else amount
    return Totals(before, tax, before + tax)
