"""Money as integers of the minor unit; Decimal only at the edges and for rates. One rule: a float never gets in."""

from __future__ import annotations

from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from enum import StrEnum

import msgspec


class Rounding(StrEnum):
    """The three rounding modes a commercetools order can carry (RoundingMode in the API description)."""

    HALF_EVEN = "HalfEven"
    HALF_UP = "HalfUp"
    HALF_DOWN = "HalfDown"


class TaxCalculation(StrEnum):
    """Whether tax is rounded once a line or once a unit (TaxCalculationMode in the API description)."""

    LINE = "LineItemLevel"
    UNIT = "UnitPriceLevel"


_ROUNDINGS = {
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
    Rounding.HALF_UP: ROUND_HALF_UP,
    Rounding.HALF_DOWN: ROUND_HALF_DOWN,
}


def round_minor(amount: Decimal, mode: Rounding = Rounding.HALF_UP) -> int:
    """The integer nearest to `amount` (in minor units), ties broken by `mode`."""
    return int(amount.quantize(Decimal(1), rounding=_ROUNDINGS[mode]))


def to_minor(amount: Decimal | str | int, digits: int, mode: Rounding = Rounding.HALF_UP) -> int:
    """Major units ("9.99") to minor units (999) of a currency with `digits` fraction digits.

    Raises TypeError for a float: its cents are already lost.
    """
    if isinstance(amount, float):
        raise TypeError("money never comes as a float")
    return round_minor(Decimal(amount).scaleb(digits), mode)


def to_major(minor: int, digits: int) -> Decimal:
    """Minor units (999) to an exact Decimal of major units (9.99)."""
    return Decimal(minor).scaleb(-digits)


class TaxPortion(msgspec.Struct, frozen=True, kw_only=True):
    """What one rate contributes to a document: `rate` as a fraction (0.19), `amount` in minor units."""

    rate: Decimal
    name: str
    amount: int


class Taxed(msgspec.Struct, frozen=True, kw_only=True):
    """Net, tax and gross of a line, a charge or a document, in minor units of the order's currency."""

    net: int
    gross: int
    portions: tuple[TaxPortion, ...] = ()

    @property
    def tax(self) -> int:
        """Gross less net, in minor units."""
        return self.gross - self.net


def tax_of(
    *,
    unit: int,
    quantity: int,
    total: int,
    rate: Decimal,
    included: bool,
    rounding: Rounding,
    calculation: TaxCalculation,
) -> tuple[int, int]:
    """(net, gross) of a line in minor units, recomputed by the order's own modes.

    `unit` is the discounted unit price and is used only when tax is rounded by unit; `total` is the line total as
    the order states it (gross if `included`, else net). Example: 3 x 3.33 at 19 % exclusive is 999 -> 1189 by line
    and 3 x round(3.9627) = 1188 by unit.
    """
    factor = Decimal(1) + rate
    base, times = (unit, quantity) if calculation is TaxCalculation.UNIT else (total, 1)
    if included:
        return round_minor(Decimal(base) / factor, rounding) * times, total
    return total, round_minor(Decimal(base) * factor, rounding) * times
