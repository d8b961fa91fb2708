"""What an order asks of stock, what is wrong with it at the boundary, and where it ships from. Pure.

One rule: the same order, catalogue, stock and settings always give the same answer; ties go by configured order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any, Protocol

import msgspec

from sellable.config.settings import Settings, TaxMap
from sellable.domain.orders import UNITS_MAX, Charge, Line, Order, Tax

EXACT_SEARCH_MAX = 12
"""Up to so many locations every combination is tried (4,095 at most); beyond, locations are added greedily."""


BACK_OFFICE = "cin7_core"
"""Where an order becomes a sale by steps: a draft, its lines, its authorisation (export)."""
WAREHOUSE = "orderflow"
"""Where an order becomes one document (importing)."""
ONE_CALL = frozenset({WAREHOUSE})
"""Back offices that take an order whole, in one call, and kits only as their components."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Why an order cannot go on: `kind` is a kind of case, `subject` what it is about, so that equal ones are one case.

    `expected` and `actual` are what a person compares; both hold JSON values only.
    """

    kind: str
    subject: str
    line_id: str | None = None
    expected: dict[str, Any]
    actual: dict[str, Any]


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Demand of a line for a component: `units` in all, `per_line` for one unit as ordered; `channel` "" for none."""

    line_id: str
    sku: str
    units: int
    channel: str
    per_line: int


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that we made in a former life: what it holds by the master's SKU, nothing while its lines are missing."""

    ref: str
    location: str
    lines: tuple[tuple[str, int], ...] = ()
    sale_id: str = ""
    number: str = ""
    status: str = ""


class Catalogue(Protocol):
    """What the master's catalogue says about the SKUs of an order."""

    @property
    def exact(self) -> Mapping[str, Any]:
        """SKU, byte for byte, to its product (kit, fault)."""

    @property
    def twins(self) -> Mapping[str, tuple[str, ...]]:
        """SKU to the SKUs that differ from it only by case or blanks."""

    @property
    def anything(self) -> bool:
        """False while no catalogue was ever read."""


# --- Demand ----------------------------------------------------------------------------------------------------------


def goods(order: Order, kits: Mapping[str, Mapping[str, int]]) -> list[Line]:
    """The lines that move stock: those with a SKU and units, less kits whose parts are lines of the order themselves.

    A kit counts as carried only when its bundle children bring every component in full; a child that is a mere add-on
    leaves it an ordinary kit, for units too many undersell briefly and units too few oversell.
    """
    moving = [line for line in order.lines if line.sku and line.quantity]
    brought: dict[tuple[str, str | None], int] = {}
    for line in moving:
        if line.bundle_parent:
            key = (line.bundle_parent, line.sku)
            brought[key] = brought.get(key, 0) + line.quantity

    def carried(line: Line) -> bool:
        recipe = kits.get(line.sku or "", {})
        return bool(recipe) and all(
            brought.get((line.line_id, component), 0) >= line.quantity * per for component, per in recipe.items()
        )

    return [line for line in moving if not carried(line)]


def units_of(order: Order, recipes: Mapping[str, Mapping[str, int]], *, own_kits: bool) -> list[Unit]:
    """The order's demand by component. `own_kits` False leaves kits as they were sold: somebody else explodes them.

    Example: 2 of a kit {A: 2, B: 1} and 4 of A are 4 A and 2 B of the first line and 4 A of the second.
    """
    return [
        Unit(line_id=line.line_id, sku=component, units=line.quantity * per, channel=line.channel or "", per_line=per)
        for line in goods(order, recipes)
        for component, per in needs_of(line, recipes if own_kits else {}).items()
    ]


def needs_of(line: Line, kits: Mapping[str, Mapping[str, int]]) -> Mapping[str, int]:
    """Units of each component for one unit of a line."""
    sku = line.sku or ""
    return kits.get(sku) or {sku: 1}


# --- Boundary --------------------------------------------------------------------------------------------------------


def findings(order: Order, catalogue: Catalogue, settings: Settings) -> list[Finding]:
    """Everything that must be mended before the back office may hear of the order; empty when nothing is.

    What the storefront said and we did not understand (`order.unknown`) is no finding as long as the parts below are
    whole. Each (kind, subject) is named once.
    """
    spelled = at_master(settings)
    sold = [line for line in order.lines if line.quantity]
    found = [
        *_impossible(order),
        *_customer(order, settings),
        *carrier_findings(order, settings),
        *(finding for line in sold for finding in _line(order, line, spelled, catalogue, settings)),
        *(finding for charge in order.charges for finding in _tax(order, charge, charge.charge_id, settings)),
    ]
    named: dict[tuple[str, str], Finding] = {}
    for finding in found:
        named.setdefault((finding.kind, finding.subject), finding)
    return list(named.values())


def at_master(settings: Settings) -> Mapping[str, str]:
    """Storefront SKU -> the master's spelling, for those the settings map; any other is spelled alike."""
    return {rule.storefront: rule.master for rule in settings.skus}


def customer_of(order: Order, settings: Settings) -> str | None:
    """The back office's customer for the order's currency, the store's own before the general one."""
    stores = {rule.store: rule.customer for rule in settings.customers if rule.currency == order.currency}
    return stores.get(order.store or "", stores.get(""))


def rate_of(currency: str, settings: Settings) -> Decimal | None:
    """Base currency for one unit of an order's currency; None where no rate is sent: the base currency itself, or the
    company's own rate. Raises LookupError for a foreign currency without a rate.
    """
    if currency == settings.base_currency:
        return None
    for rate in settings.rates:
        if rate.currency == currency:
            return rate.decimal
    raise LookupError(f"no rate for {currency}")


def tax_rule(tax: Tax, taxes: Iterable[TaxMap]) -> str | None:
    """The back office's rule for a storefront tax; None unless exactly one fits best (name and country before any)."""
    fits = [
        (bool(rule.name) + bool(rule.country), rule.rule)
        for rule in taxes
        if rule.fraction == tax.rate and rule.name in ("", tax.name) and rule.country in ("", tax.country)
    ]
    best = {name for exactness, name in fits if exactness == max(fits)[0]}
    return best.pop() if len(best) == 1 else None


def _impossible(order: Order) -> Iterator[Finding]:
    if order.impossible:
        expected = {"units of a line below": UNITS_MAX}
        subject, actual = f"order:{order.order_id}", {"stated": list(order.impossible)}
        yield Finding(kind="order_impossible", subject=subject, expected=expected, actual=actual)


def _customer(order: Order, settings: Settings) -> Iterator[Finding]:
    """Who it is booked on, and at which rate where that card is in a foreign currency; only Cin7 Core asks for it."""
    if BACK_OFFICE not in settings.back_offices:
        return
    if customer_of(order, settings) is None:
        known = sorted({rule.currency for rule in settings.customers})
        actual = {"currency": order.currency, "store": order.store}
        yield Finding(
            kind="currency_unmapped",
            subject=f"currency:{order.currency}",
            expected={"currencies with a customer": known},
            actual=actual,
        )
        return
    try:
        rate_of(order.currency, settings)
    except LookupError:
        yield Finding(
            kind="currency_rate_missing",
            subject=f"rate:{order.currency}",
            expected={
                "a rate to": settings.base_currency,
                "currencies with a rate": [r.currency for r in settings.rates],
            },
            actual={"currency": order.currency},
        )


def carrier_findings(order: Order, settings: Settings) -> Iterator[Finding]:
    """A carrier is only asked for where carriers are mapped at all; without a map sales name none."""
    method = order.shipping_method
    if settings.carriers and method and method not in settings.carriers:
        expected = {"shipping methods with a carrier": sorted(settings.carriers)}
        yield Finding(
            kind="carrier_unmapped", subject=f"carrier:{method}", expected=expected, actual={"shipping method": method}
        )


def _line(
    order: Order, line: Line, spelled: Mapping[str, str], catalogue: Catalogue, settings: Settings
) -> Iterator[Finding]:
    if line.sku:
        yield from _product(line, line.sku, spelled.get(line.sku), catalogue)
    else:
        yield Finding(
            kind="missing_sku_on_line",
            subject=f"order:{order.order_id}",
            line_id=line.line_id,
            expected={"sku": "one of the master's catalogue"},
            actual={"line": line.line_id, "name": line.name, "sku": None},
        )
    channel = line.channel or ""
    if not ships_from(channel, settings):
        yield Finding(
            kind="channel_unmapped",
            subject=f"channel:{channel}",
            line_id=line.line_id,
            expected={"channels that ship": [c.key for c in settings.channels if ships_from(c.key, settings)]},
            actual={"channel": channel, "sku": line.sku},
        )
    yield from _tax(order, line, line.line_id, settings)


def ships_from(channel: str, settings: Settings) -> tuple[str, ...]:
    """Locations a channel's orders may ship from, in configured order; empty when it is not configured."""
    pools = {rule.key: rule.pool for rule in settings.channels}
    locations = {pool.name: pool.locations for pool in settings.pools}.get(pools.get(channel, ""), ())
    ships = {place.name for place in settings.locations if place.ships}
    return tuple(name for name in locations if name in ships)


def _product(line: Line, sku: str, mapped: str | None, catalogue: Catalogue) -> Iterator[Finding]:
    def finding(kind: str, subject: str, expected: dict[str, Any], actual: dict[str, Any]) -> Finding:
        return Finding(kind=kind, subject=subject, line_id=line.line_id, expected=expected, actual=actual)

    if not catalogue.anything:
        # One case for all orders: until the catalogue was read nobody can tell a right SKU from a wrong one.
        yield finding("setup_incomplete", "catalogue", {"catalogue": "read at least once"}, {"products": 0})
        return
    if mapped is not None and sku in catalogue.exact:
        expected = {"meaning of the SKU": "one"}
        yield finding("sku_ambiguous", f"sku:{sku}", expected, {"product of the master": sku, "mapped to": mapped})
        return
    sku = mapped or sku
    product = catalogue.exact.get(sku)
    twins = catalogue.twins.get(sku, ())
    if product is None and twins:
        yield finding("sku_ambiguous", f"sku:{sku}", {"sku": sku}, {"only differing by case or blanks": list(twins)})
    elif product is None:
        yield finding("unknown_sku", f"sku:{sku}", {"sku": sku}, {"name": line.name, "in catalogue": False})
    elif product.kit and product.fault:
        yield finding("bundle_recipe_invalid", f"sku:{sku}", {"recipe": "whole units"}, {"fault": product.fault})


def _tax(order: Order, item: Line | Charge, item_id: str, settings: Settings) -> Iterator[Finding]:
    """A discount on the total may span several rates and have none of its own; anything else must have one."""
    if isinstance(item, Charge) and not item.total and not (item.taxed and item.taxed.tax):
        return
    spans = isinstance(item, Charge) and item.kind == "discount" and item.tax is None
    if item.taxed is None or (item.tax is None and not spans):
        yield Finding(
            kind="tax_unmapped",
            subject=f"order:{order.order_id}",
            line_id=item_id,
            expected={"tax": "a rate, net and gross amounts"},
            actual={"line": item_id, "name": item.name, "tax mode": order.tax_mode},
        )
    elif item.tax is not None and tax_rule(item.tax, settings.taxes) is None:
        tax = item.tax
        yield Finding(
            kind="tax_unmapped",
            subject=f"tax:{tax.rate}:{tax.country}:{tax.name}",
            line_id=item_id,
            expected={"rule of the back office": "exactly one"},
            actual={"rate": str(tax.rate), "country": tax.country, "name": tax.name},
        )


# --- Sourcing --------------------------------------------------------------------------------------------------------


def source(
    lines: Sequence[Line],
    stock: Mapping[tuple[str, str], int],
    places: Mapping[str, Sequence[str]],
    kits: Mapping[str, Mapping[str, int]],
) -> dict[str, list[tuple[str, int]]]:
    """Which location ships how many units of each line: line id -> [(location, units)], in configured order.

    `stock` is units by (component SKU, location), `places` the locations each line may ship from, by its id. One
    location for all the lines if one can serve them, else the fewest. A line goes whole to one of them where it can,
    and a single kit is never made of two locations' components. What no combination can serve is a backorder at the
    first location of its line; a line nobody counts at all (a service) goes where the order goes anyway.

    Within a combination the lines with the fewest choices are served first. That is exact except where several lines
    want the same scarce component from different, overlapping places (kits, channels): a unit may then come from one
    location more than needed, or be owed. Raises ValueError when a line has no location: the boundary check
    comes first.
    """
    wants = [_Want(line, places[line.line_id], kits, stock) for line in lines if line.sku and line.quantity]
    useful = list(dict.fromkeys(place for want in wants for place, units in want.reach.items() if units))
    most = _fill(wants, {want.line_id: want.quantity for want in wants}, stock, useful)
    servable = {line_id: sum(taken.values()) for line_id, taken in most.items()}
    found = _fewest(wants, servable, stock, useful) or most
    used = {place for taken in found.values() for place in taken}
    for want in wants:
        if rest := want.quantity - sum(found[want.line_id].values()):
            place = want.backorder_at(stock, used)
            found[want.line_id][place] = found[want.line_id].get(place, 0) + rest
    return {w.line_id: [(p, found[w.line_id][p]) for p in w.reach if p in found[w.line_id]] for w in wants}


def as_made(
    lines: Sequence[Line], made: Sequence[Made], spelled: Mapping[str, str]
) -> dict[str, list[tuple[str, int]]] | None:  # fmt: skip
    """The assignment (as of `source`) that sales of a former life were made by; None where they do not come to it.

    A single sale without lines takes what no other has. `spelled` is the master's spelling of SKUs.
    """
    left = {line.line_id: line.quantity for line in lines}
    found: dict[str, list[tuple[str, int]]] = {line.line_id: [] for line in lines}
    for sale in made:
        for sku, held in sale.lines:
            units = held
            for line in lines:
                if spelled.get(line.sku or "", line.sku) == sku and (here := min(units, left[line.line_id])):
                    found[line.line_id].append((sale.location, here))
                    left[line.line_id] -= here
                    units -= here
            if units:
                return None
    empty = [sale.location for sale in made if not sale.lines]
    if any(left.values()) and len(empty) != 1:
        return None
    for line_id, units in left.items():
        if units:
            found[line_id].append((empty[0], units))
    return found


_Stock = Mapping[tuple[str, str], int]
_Taken = dict[str, dict[str, int]]
"""Units by line id and location."""


class _Want:
    """A line to be sourced. `reach`: what each of its places could make of it if it were alone, in configured order."""

    def __init__(self, line: Line, places: Sequence[str], kits: Mapping[str, Mapping[str, int]], stock: _Stock) -> None:
        if not places:
            raise ValueError(f"line {line.line_id} ships from nowhere")
        self.line_id, self.quantity = line.line_id, line.quantity
        self.needs = needs_of(line, kits)
        self.reach = {place: self.fits(stock, place) for place in places}

    def fits(self, stock: _Stock, place: str) -> int:
        """Units of the line this stock makes at a place."""
        return max(0, min(stock.get((sku, place), 0) // per for sku, per in self.needs.items()))

    def backorder_at(self, stock: _Stock, used: set[str]) -> str:
        """The first place, or for what is counted nowhere the first one that is used anyway."""
        counted = any((sku, place) in stock for sku in self.needs for place in self.reach)
        return next((place for place in self.reach if counted or place in used), next(iter(self.reach)))


def _fewest(
    wants: Sequence[_Want], quantities: Mapping[str, int], stock: _Stock, useful: Sequence[str]
) -> _Taken | None:
    """The first smallest set of locations that serves these quantities in full; None when none does."""
    if len(useful) > EXACT_SEARCH_MAX:
        return _greedily(wants, quantities, stock, useful)
    for size in range(len(useful) + 1):
        for chosen in combinations(useful, size):
            # Cheap and right: what a line cannot get with the places to itself it will not get beside others.
            if all(sum(w.reach.get(p, 0) for p in chosen) >= quantities[w.line_id] for w in wants):
                taken = _fill(wants, quantities, stock, chosen)
                if _units(taken) == sum(quantities.values()):
                    return taken
    return None


def _greedily(
    wants: Sequence[_Want], quantities: Mapping[str, int], stock: _Stock, useful: Sequence[str]
) -> _Taken | None:
    """Takes the location that serves most of what is left until all is served."""
    rest, places = dict(quantities), list(useful)
    at = {place: [want for want in wants if want.reach.get(place)] for place in places}
    taken: _Taken = {want.line_id: {} for want in wants}
    while places and any(rest.values()):
        offers = {place: _fill(at[place], rest, stock, [place]) for place in places}
        best = max(places, key=lambda place: _units(offers[place]))
        places.remove(best)
        for line_id, served in offers[best].items():
            taken[line_id] |= served
            rest[line_id] -= sum(served.values())
    return None if any(rest.values()) else taken


def _units(taken: _Taken) -> int:
    return sum(units for by_place in taken.values() for units in by_place.values())


def _fill(wants: Sequence[_Want], quantities: Mapping[str, int], stock: _Stock, chosen: Sequence[str]) -> _Taken:
    """Serves what the chosen locations can, lines with the fewest choices first, each from the place with most."""
    left = dict(stock)
    taken: _Taken = {want.line_id: {} for want in wants}
    for want in sorted(wants, key=lambda w: sum(1 for p in chosen if w.reach.get(p))):
        rest = quantities[want.line_id]
        offers = {place: min(rest, want.fits(left, place)) for place in want.reach if place in chosen}
        for place in sorted(offers, key=lambda p: -offers[p]):
            if units := min(rest, offers[place]):
                rest -= units
                taken[want.line_id][place] = units
                for sku, per in want.needs.items():
                    left[(sku, place)] -= per * units
    return taken
