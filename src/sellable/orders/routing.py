"""Which back office takes each line of an order, from where and how it goes out. Pure.

One rule: rules are tried in the order of the settings, the first that fits takes the line, and every one that was
passed over says why. Without rules a line may ship from every location of its channel, whoever that belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sellable.config.settings import Route, Settings
from sellable.domain.orders import Line, Order
from sellable.orders.rules import Finding, needs_of, ships_from, source


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that did not take a line, and why not."""

    rule: str
    because: str


class Routed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a line goes. `rule` is the one that took it, "" for none; `locations` may ship it, in configured order.

    `target` is "" where there are no rules: then each location's own master ships. Without a rule that fits there are
    no locations, and the line waits for a person.
    """

    line_id: str
    sku: str
    units: int
    rule: str = ""
    target: str = ""
    locations: tuple[str, ...] = ()
    carrier: str = ""
    service: str = ""
    passed: tuple[Passed, ...] = ()


_Stock = Mapping[tuple[str, str], int]
_Kits = Mapping[str, Mapping[str, int]]


def route(order: Order, lines: Sequence[Line], settings: Settings, stock: _Stock, kits: _Kits) -> list[Routed]:
    """Where each of an order's lines of goods goes.

    `stock` is units by (component SKU, location), only asked by rules with `stock`; `kits` what a SKU is made of.
    """
    if not settings.routes:
        return [_routed(line, locations=ships_from(line.channel or "", settings)) for line in lines]
    tried = [_Tried(order, lines, rule, settings, stock, kits) for rule in settings.routes]
    return [_first(line, tried) for line in lines]


def unrouted(order: Order, routed: Sequence[Routed]) -> list[Finding]:
    """A finding for the lines that no rule took; nothing of the order goes out before a person decided."""
    lost = [line for line in routed if not line.locations]
    if not lost:
        return []
    return [
        Finding(
            kind="route_missing",
            subject=f"order:{order.order_id}",
            line_id=lost[0].line_id,
            expected={"routes": "one that fits each line"},
            actual={"lines": [{"sku": x.sku, "passed": {p.rule: p.because for p in x.passed}} for x in lost]},
        )
    ]


def split(
    lines: Sequence[Line], routed: Sequence[Routed], stock: _Stock, kits: _Kits
) -> dict[str, list[tuple[str, int]]]:
    """Which location ships how many units of each line: by target first, within each from the fewest locations."""
    going = {each.line_id: each for each in routed}
    found: dict[str, list[tuple[str, int]]] = {}
    for target in dict.fromkeys(each.target for each in routed):
        mine = [line for line in lines if going[line.line_id].target == target]
        found |= source(mine, stock, {line.line_id: going[line.line_id].locations for line in mine}, kits)
    return found


def _routed(line: Line, **fields: Any) -> Routed:
    return Routed(line_id=line.line_id, sku=line.sku or "", units=line.quantity, **fields)


def _first(line: Line, tried: Sequence[_Tried]) -> Routed:
    passed: list[Passed] = []
    for each in tried:
        because = each.against(line)
        if not because:
            return _routed(
                line, rule=each.rule.name, target=each.rule.target, locations=each.locations(line),
                carrier=each.rule.carrier, service=each.rule.service, passed=tuple(passed),
            )  # fmt: skip
        passed.append(Passed(rule=each.rule.name, because=because))
    return _routed(line, passed=tuple(passed))


class _Tried:
    """One rule against one order: `against` says why it does not take a line, `locations` what may ship it."""

    def __init__(
        self, order: Order, lines: Sequence[Line], rule: Route, settings: Settings, stock: _Stock, kits: _Kits
    ) -> None:
        self.rule = rule
        self._stock, self._kits = stock, kits
        masters = {place.name: place.keeper for place in settings.locations}
        self._open = {
            line.line_id: tuple(
                place
                for place in ships_from(line.channel or "", settings)
                if (place in rule.locations if rule.locations else masters[place] == rule.target)
            )
            for line in lines
        }
        by_order = _of_order(order, rule)
        self._why = {line.line_id: by_order or _of_line(line, rule) or self._no_place(line) for line in lines}
        fitting = [line for line in lines if not self._why[line.line_id]]
        self._whole = self._able(fitting) if rule.stock == "order" else ()
        for line in fitting:
            self._why[line.line_id] = self._no_stock(line)
        if rule.lines == "all" and (left := next((line for line in lines if self._why[line.line_id]), None)):
            for line in fitting:
                self._why[line.line_id] = f"it takes orders whole, and for {left.sku}: {self._why[left.line_id]}"

    def against(self, line: Line) -> str:
        """Why the rule does not take the line; "" when it does."""
        return self._why[line.line_id]

    def locations(self, line: Line) -> tuple[str, ...]:
        """What may ship a line that the rule takes."""
        places = self._open[line.line_id]
        if self.rule.stock == "order":
            return tuple(place for place in places if place in self._whole)
        if self.rule.stock == "line":
            return tuple(place for place in places if self._ships([line], place))
        return places

    def _no_place(self, line: Line) -> str:
        if self._open[line.line_id]:
            return ""
        where = ", ".join(self.rule.locations) or f"a location of {self.rule.target}"
        return f'channel "{line.channel or ""}" does not ship from {where}'

    def _no_stock(self, line: Line) -> str:
        if self.locations(line):
            return ""
        what = "everything it fits" if self.rule.stock == "order" else f"all {line.quantity}"
        return f"none of {', '.join(self._open[line.line_id])} can ship {what}"

    def _able(self, lines: Sequence[Line]) -> tuple[str, ...]:
        places = dict.fromkeys(place for line in lines for place in self._open[line.line_id])
        return tuple(
            place
            for place in places
            if all(place in self._open[line.line_id] for line in lines) and self._ships(lines, place)
        )

    def _ships(self, lines: Sequence[Line], place: str) -> bool:
        """Whether a place has everything these lines need together."""
        needed: dict[str, int] = {}
        for line in lines:
            for sku, per in needs_of(line, self._kits).items():
                needed[sku] = needed.get(sku, 0) + per * line.quantity
        return all(self._stock.get((sku, place), 0) >= units for sku, units in needed.items())


# --- Conditions ------------------------------------------------------------------------------------------------------


def _of_order(order: Order, rule: Route) -> str:
    """Why a rule does not fit an order as a whole; "" when it does."""
    address = order.shipping_address
    region = f"{address.country}-{address.region}" if address.region else address.country
    asked: tuple[tuple[str, str, tuple[str, ...], bool], ...] = (
        ("store", order.store or "", rule.stores, (order.store or "") in rule.stores),
        ("country", order.country or "", rule.countries, (order.country or "") in rule.countries),
        ("currency", order.currency, rule.currencies, order.currency in rule.currencies),
        ("ship to", region, rule.ship_to, bool({address.country, region} & set(rule.ship_to))),
        ("shipping method", order.shipping_method, rule.methods, order.shipping_method in rule.methods),
    )
    return next((_not(name, is_, wanted) for name, is_, wanted, fits in asked if wanted and not fits), "")


def _of_line(line: Line, rule: Route) -> str:
    channel, sku = line.channel or "", line.sku or ""
    if rule.channels and channel not in rule.channels:
        return _not("channel", channel, rule.channels)
    if rule.skus and not any(matches(sku, pattern) for pattern in rule.skus):
        return _not("SKU", sku, rule.skus)
    return next(
        (
            _not(name, line.attributes.get(name, ""), values)
            for name, values in rule.attributes.items()
            if line.attributes.get(name, "") not in values
        ),
        "",
    )


def matches(sku: str, pattern: str) -> bool:
    """Whether a SKU is what a rule names: exactly, or what begins like a pattern that ends in *."""
    return sku.startswith(pattern[:-1]) if pattern.endswith("*") else sku == pattern


def _not(name: str, is_: str, wanted: Sequence[str]) -> str:
    return f'{name} "{is_}" is not {" or ".join(_quoted(wanted))}'


def _quoted(words: Sequence[str]) -> Iterator[str]:
    return (f'"{word}"' for word in words)
