"""What is left of an order when units of its lines are cancelled. Pure.

A storefront that cancels units by moving them to a state leaves quantities and amounts as they were ordered. So what is
sourced, exported and compared is the order less those units, at the same unit prices; shipping, custom lines and
discounts on the total stay whole, for what becomes of those is decided by finance and not by arithmetic.

One rule: the amounts that go are named, and what is left adds up by the order's own modes.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sellable.domain.money import TaxCalculation, Taxed, TaxPortion, tax_of
from sellable.domain.orders import Line, Order
from sellable.orders.totals import RECOMPUTED


def remaining(order: Order) -> Order:
    """The order without its cancelled units; the same object when there are none.

    Example: 3 x 3.33 at 19 % by line, one cancelled: 2 x 3.33 = 6.66, taxed 7.93 of the former 11.89.
    """
    if not any(line.cancelled for line in order.lines):
        return order
    lines = tuple(_kept(order, line, line.quantity - line.cancelled) for line in order.lines)
    pairs = list(zip(order.lines, lines, strict=True))
    taxed = order.taxed
    if taxed is not None:
        net = sum(old.taxed.net - new.taxed.net for old, new in pairs if old.taxed and new.taxed)
        gross = sum(old.taxed.gross - new.taxed.gross for old, new in pairs if old.taxed and new.taxed)
        # Tax by rate was stated of the whole order; nobody states it of what is left.
        taxed = Taxed(net=taxed.net - net, gross=taxed.gross - gross)
    total = order.total - sum(old.total - new.total for old, new in pairs)
    return msgspec.structs.replace(order, lines=lines, total=total, taxed=taxed)


def worth(order: Order, units: Mapping[str, int]) -> int:
    """What so many units of lines (by id) come to, in minor units of the order's currency, gross where that is known.

    Taken off one after another, so that all units of a line are worth exactly the line.
    """
    found = 0
    for line in order.lines:
        if gone := min(units.get(line.line_id, 0), line.quantity):
            left = _kept(order, line, line.quantity - gone)
            found += _amount(line) - _amount(left)
    return found


def _amount(line: Line) -> int:
    return line.taxed.gross if line.taxed else line.total


def _kept(order: Order, line: Line, units: int) -> Line:
    """The line with so many units. Where units were priced differently its total is shared evenly, rounded down."""
    if units == line.quantity:
        return msgspec.structs.replace(line, cancelled=0)
    even = line.unit * line.quantity == line.total
    total = line.unit * units if even else line.total * units // line.quantity
    return msgspec.structs.replace(
        line, quantity=units, cancelled=0, total=total, taxed=_taxed(order, line, units, total, even=even)
    )


def _taxed(order: Order, line: Line, units: int, total: int, *, even: bool) -> Taxed | None:
    if line.taxed is None:
        return None
    if line.tax is None or order.tax_mode not in RECOMPUTED:
        net, gross = (amount * units // line.quantity for amount in (line.taxed.net, line.taxed.gross))
    else:
        net, gross = tax_of(
            unit=line.unit,
            quantity=units,
            total=total,
            rate=line.tax.rate,
            included=line.tax.included,
            rounding=order.rounding,
            calculation=order.calculation if even else TaxCalculation.LINE,
        )
    one = line.taxed.portions if len(line.taxed.portions) == 1 else ()
    portions = tuple(TaxPortion(rate=part.rate, name=part.name, amount=gross - net) for part in one)
    return Taxed(net=net, gross=gross, portions=portions)
