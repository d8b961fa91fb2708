"""Totals: the order against its own arithmetic, the master against the order. One rule: tolerance 0, in minor units.

Rounded sums are never compared with sums of rounded: each line is rounded as the order says, then integers add up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from sellable.connectors.port import SaleTotals
from sellable.domain.money import TaxCalculation, Taxed, tax_of
from sellable.domain.orders import Charge, Line, Order, Tax
from sellable.orders.rules import Finding

RECOMPUTED = frozenset({"Platform", "External"})
"""Tax modes in which amounts follow from rates; in ExternalAmount somebody else computed them (API, TaxMode)."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What a line or charge contributes to a part, in minor units, under the back office's tax rule."""

    rule: str
    net: int
    tax: int


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the master must come to for a part, in minor units; `by_rule` is tax by its rule, for people to compare."""

    net: int
    tax: int
    gross: int
    by_rule: dict[str, int]


def expected(shares: Iterable[Share]) -> Expected:
    """The totals of a part from its lines and charges."""
    net = tax = 0
    by_rule: dict[str, int] = defaultdict(int)
    for share in shares:
        net, tax = net + share.net, tax + share.tax
        by_rule[share.rule] += share.tax
    return Expected(net=net, tax=tax, gross=net + tax, by_rule=dict(by_rule))


def compare(expected: Expected, actual: SaleTotals) -> list[tuple[str, int, int]]:
    """(field, expected, actual) of each total that differs; empty when the sale is right to the minor unit."""
    pairs = ((name, getattr(expected, name), getattr(actual, name)) for name in ("net", "tax", "gross"))
    return [(name, want, got) for name, want, got in pairs if want != got]


def recompute(order: Order) -> list[Finding]:
    """Where the order contradicts itself: its lines by their rates and modes, then its sums and tax portions.

    `expected` is what we compute, `actual` what the order states. Example: 3 x 3.33 at 19 % must be taxed 1.90 when
    rounded by line and 1.89 when rounded by unit (9.99 gives 11.89 or 11.88).
    """
    return [*_items(order), *_sums(order)]


def _items(order: Order) -> Iterator[Finding]:
    if order.tax_mode not in RECOMPUTED:
        return
    for line in order.lines:
        if line.tax and line.taxed:
            yield from _item(order, line, line.line_id, line.unit, line.tax, line.taxed)
    for charge in order.charges:
        # Of a discount on the total only the amounts are stated, not how each rate's share was rounded.
        if charge.tax and charge.taxed and charge.kind != "discount":
            unit = charge.total // (charge.quantity or 1)
            yield from _item(order, charge, charge.charge_id, unit, charge.tax, charge.taxed)


def _item(order: Order, item: Line | Charge, item_id: str, unit: int, tax: Tax, taxed: Taxed) -> Iterator[Finding]:
    """Where units were discounted differently, unit prices are not known one by one: then rounding by unit can only be
    bounded, half a minor unit for each, while the side that is the line's own total stays exact.
    """
    by_unit = order.calculation is TaxCalculation.UNIT
    uneven = by_unit and unit * item.quantity != item.total
    net, gross = tax_of(
        unit=unit,
        quantity=item.quantity,
        total=item.total,
        rate=tax.rate,
        included=tax.included,
        rounding=order.rounding,
        calculation=TaxCalculation.LINE if uneven else order.calculation,
    )
    slack = (item.quantity + 1) // 2 if uneven else 0
    own, other = (taxed.gross - gross, taxed.net - net) if tax.included else (taxed.net - net, taxed.gross - gross)
    portions = sum(portion.amount for portion in taxed.portions)
    if own or abs(other) > slack:
        stated = {"net": taxed.net, "gross": taxed.gross}
        yield _differs(order, item_id, {"net": net, "gross": gross}, stated, item.name)
    elif taxed.portions and portions != taxed.tax:
        yield _differs(order, item_id, {"tax": taxed.tax}, {"tax": portions}, item.name)


def _sums(order: Order) -> Iterator[Finding]:
    items: tuple[Line | Charge, ...] = (*order.lines, *order.charges)
    total = sum(item.total for item in items)
    if total != order.total:
        yield _differs(order, None, {"total": total}, {"total": order.total})
    if order.taxed is None or any(item.taxed is None for item in items):
        return  # The boundary check names what has no tax.
    ours = {
        "net": sum(item.taxed.net for item in items if item.taxed),
        "gross": sum(item.taxed.gross for item in items if item.taxed),
    }
    stated = {"net": order.taxed.net, "gross": order.taxed.gross}
    if ours != stated:
        yield _differs(order, None, ours, stated)
    attributed = all(item.tax or item.taxed.portions or not item.taxed.tax for item in items if item.taxed)
    mine = _by_rate((item.taxed, item.tax) for item in items if item.taxed)
    theirs = _by_rate([(order.taxed, None)])
    if attributed and order.taxed.portions and mine != theirs:
        yield _differs(order, None, {"tax by rate": mine}, {"tax by rate": theirs})


def _by_rate(parts: Iterable[tuple[Taxed, Tax | None]]) -> dict[str, int]:
    """Tax by rate and name, zeros left out; a part without portions counts under its own rate."""
    merged: dict[tuple[Decimal, str], int] = defaultdict(int)
    for taxed, tax in parts:
        for portion in taxed.portions:
            merged[(portion.rate, portion.name)] += portion.amount
        if tax and not taxed.portions:
            merged[(tax.rate, tax.name)] += taxed.tax
    return {f"{rate.normalize():f} {name}": amount for (rate, name), amount in sorted(merged.items()) if amount}


def _differs(
    order: Order, item_id: str | None, computed: dict[str, Any], stated: dict[str, Any], name: str = ""
) -> Finding:
    where = {"line": item_id, "name": name} if item_id else {}
    return Finding(
        kind="totals_differ",
        subject=f"order:{order.order_id}",
        line_id=item_id,
        expected=where | computed,
        actual=where | stated,
    )
