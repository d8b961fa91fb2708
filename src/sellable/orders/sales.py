"""From an order and its sourcing to the sales back offices shall have: one for each location and way out of it. Pure.

One rule: nothing is lost or invented by splitting. Net and tax are split as integers of the minor unit, the remainder
goes to the last location of a line, and the parts add up to the order exactly; if they cannot, there is a finding
and no sale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from decimal import Decimal

import msgspec

from sellable.config.settings import Settings
from sellable.connectors.port import SaleCharge, SaleDraft, SaleLine
from sellable.domain.money import to_major
from sellable.domain.orders import Charge, Line, Order
from sellable.orders.rules import BACK_OFFICE, ONE_CALL, Finding, at_master, customer_of, goods, rate_of, tax_rule
from sellable.orders.totals import Expected, Share, expected

PRICE_DIGITS = 4
"""Fraction digits of a price at Cin7 Core (blueprint, sale/order)."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One sale of an order: `location` by our name, `lines` as (line id, SKU as the master spells it, units), `rules`
    the names of the routes that took them, "" for none."""

    part: int
    target: str
    location: str
    draft: SaleDraft
    expected: Expected
    lines: tuple[tuple[str, str, int], ...]
    rules: tuple[str, ...] = ()


def part_ref(project: str, order_id: str, part: int) -> str:
    """The reference that is unique for ever and by which a sale is found again."""
    return f"{project}:{order_id}:{part}"


def drafts(
    order: Order,
    assignment: Mapping[str, Sequence[tuple[str, int]]],
    settings: Settings,
    *,
    kits: Mapping[str, Mapping[str, int]],
    today_zone: tzinfo = UTC,
    taken: Mapping[str, str] = {},
) -> list[Part | Finding]:
    """The sales of an order, or findings why there can be none; never both.

    `assignment` is line id -> [(location, units)], `taken` line id -> the route that took it. Lines that leave one
    location by different carriers or service levels are parts of their own; parts are numbered in configured order of
    their locations. Kits are sold as their own SKU, or as components where the target knows no kits; a kit whose parts
    are lines of the order is money only (`rules.goods`). Shipping, custom lines, discounts on the total and such kits
    are charges on part 1. Inclusive sales carry gross line totals; where some prices are gross and some net, the sale
    is exclusive. `today_zone` is the company's time zone.

    Raises ValueError when a line's units are not assigned exactly, LookupError for what `rules.findings` reports.
    """
    slices = _slices(goods(order, kits), assignment, settings, taken)
    rank = {place.name: number for number, place in enumerate(settings.locations)}
    ways = sorted({s.way for s in slices}, key=lambda way: (rank[way.location], way))
    charges = _charges(order, slices, settings)
    included = _included(order)
    header = _header(order, settings, included, today_zone)
    parts: list[Part] = []
    findings: list[Finding] = []
    for number, way in enumerate(ways, 1):
        mine = [s for s in slices if s.way == way]
        extra = charges if number == 1 else []
        whole = way.target in ONE_CALL
        lines, trouble = _whole_lines(order, mine, included, kits) if whole else _sale_lines(order, mine, included)
        findings += trouble
        draft = msgspec.structs.replace(
            header,
            ref=part_ref(settings.commercetools.project, order.order_id, number),
            location=way.location,
            tax_rule=mine[0].share.rule,
            carrier=(way.service if whole else "") or way.carrier or header.carrier,
            note=f"{header.note}, part {number} of {len(ways)}" + (f", service {way.service}" if way.service else ""),
            lines=tuple(lines),
            charges=tuple(_sale_charge(charge, included, order.digits) for charge in extra),
        )
        parts.append(
            Part(
                part=number,
                target=way.target,
                location=way.location,
                draft=draft,
                expected=expected([*(s.share for s in mine), *(c.share for c in extra)]),
                lines=tuple((s.line.line_id, s.sku, s.units) for s in mine),
                rules=tuple(taken.get(s.line.line_id, "") for s in mine),
            )
        )
    findings = findings or _incomplete(order, parts)
    return [*findings] if findings else [*parts]


def _included(order: Order) -> bool:
    items: tuple[Line | Charge, ...] = (*order.lines, *order.charges)
    return all(item.tax.included for item in items if item.tax)


def price_of(total: int, quantity: int, digits: int, carry: int = 0) -> tuple[Decimal, Decimal, int] | None:
    """(price, discount %, rest) of a line whose total is exact; None when no price and discount come to it.

    Cin7 Core checks Quantity x Price x (1 - Discount/100) against Total, with 4 decimals for a price and 2 for a
    discount (blueprint, sale/order); whether it then keeps our Total or its own product is not said. So a line's
    product must round to `total` (minor units), and a sale's products must together round to the sum of its totals:

    1. total / quantity where that has 4 decimals: 5 x 2.00;
    2. else the neighbour that keeps the sale's `carry` (products less totals so far, in ten-thousandths) nearest to 0,
       while neither the line nor the carry is half a minor unit off: 3 x 3.3333 is 10.00;
    3. else the smallest discount with which the product is `total` to 4 decimals: 200 x 0.0501 less 0.1 % is 10.01,
       for 200 x 0.0500 is 10.00 and 200 x 0.0501 is 10.02.

    `rest` is what this line adds to the carry.
    """
    if digits > PRICE_DIGITS:
        return None
    minor = 10 ** (PRICE_DIGITS - digits)
    exact = total * minor
    low, remainder = divmod(exact, quantity)
    if not remainder:
        return to_major(low, PRICE_DIGITS), Decimal(0), 0
    rest, price = min(
        ((quantity * price - exact, price) for price in (low, low + 1)), key=lambda pair: abs(carry + pair[0])
    )
    if 2 * abs(rest) < minor and 2 * abs(carry + rest) < minor:
        return to_major(price, PRICE_DIGITS), Decimal(0), rest
    for percent in range(1, 10_000):  # Hundredths of a percent.
        times = quantity * (10_000 - percent)
        price = (2 * exact * 10_000 + times) // (2 * times)
        if 2 * abs(price * times - exact * 10_000) < 10_000:
            return to_major(price, PRICE_DIGITS), to_major(percent, 2), 0
    return None


# --- Splitting -------------------------------------------------------------------------------------------------------


class _Way(msgspec.Struct, frozen=True, order=True):
    """How goods leave; lines that leave alike are one sale."""

    location: str
    target: str
    carrier: str
    service: str


class _Slice(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a line that leave in one way, with their part of the money."""

    line: Line
    sku: str
    way: _Way
    units: int
    share: Share


def _slices(
    lines: Iterable[Line],
    assignment: Mapping[str, Sequence[tuple[str, int]]],
    settings: Settings,
    taken: Mapping[str, str],
) -> list[_Slice]:
    found: list[_Slice] = []
    spelled, masters = at_master(settings), {place.name: place.keeper for place in settings.locations}
    routes = {rule.name: rule for rule in settings.routes}
    for line in lines:
        sku = spelled.get(line.sku or "", line.sku or "")
        places = [(place, units) for place, units in assignment.get(line.line_id, ()) if units]
        if sum(units for _, units in places) != line.quantity:
            raise ValueError(f"line {line.line_id}: {places} does not place {line.quantity} units")
        rule = routes.get(taken.get(line.line_id, ""))
        going = (rule.carrier, rule.service) if rule else ("", "")
        targets = [rule.target if rule else masters[place] for place, _ in places]
        whole = _share(line, settings)
        weights = [units for _, units in places]
        nets, taxes = _split(whole.net, weights), _split(whole.tax, weights)
        found += [
            _Slice(
                line=line,
                sku=sku,
                units=units,
                way=_Way(place, target, *going),
                share=Share(rule=whole.rule, net=net, tax=tax),
            )
            for (place, units), target, net, tax in zip(places, targets, nets, taxes, strict=True)
        ]
    return found


def _share(item: Line | Charge, settings: Settings) -> Share:
    rule = tax_rule(item.tax, settings.taxes) if item.tax else None
    if rule is None or item.taxed is None:
        raise LookupError(f"{item.name}: no tax rule for {item.tax}")
    return Share(rule=rule, net=item.taxed.net, tax=item.taxed.tax)


def _split(amount: int, weights: Sequence[int]) -> list[int]:
    """The amount pro rata in whole minor units, towards zero, with the remainder on the last."""
    sign, size, total = (-1 if amount < 0 else 1), abs(amount), sum(weights)
    shares = [sign * (size * weight // total) for weight in weights[:-1]]
    return [*shares, amount - sum(shares)]


# --- The lines and charges of a sale ---------------------------------------------------------------------------------


def _sale_lines(order: Order, slices: Sequence[_Slice], included: bool) -> tuple[list[SaleLine], list[Finding]]:
    """Lines with equal SKUs merged, as the back office refuses the same SKU twice."""
    by_sku: dict[str, list[_Slice]] = {}
    for piece in slices:
        by_sku.setdefault(piece.sku, []).append(piece)
    lines: list[SaleLine] = []
    findings: list[Finding] = []
    carry = 0
    for sku, same in by_sku.items():
        quantity, tax = sum(s.units for s in same), sum(s.share.tax for s in same)
        total = sum(s.share.net for s in same) + (tax if included else 0)
        rules = sorted({s.share.rule for s in same})
        priced = price_of(total, quantity, order.digits, carry)
        if priced is None or len(rules) > 1:
            wanted = {"sku": sku, "quantity": quantity, "total": total}
            findings.append(_impossible(order, wanted, {"tax rules": rules, "price": None}, same[0].line.line_id))
            continue
        price, discount, rest = priced
        carry += rest
        lines.append(
            SaleLine(
                sku=sku,
                name=same[0].line.name,
                quantity=quantity,
                price=price,
                discount=discount,
                tax=to_major(tax, order.digits),
                total=to_major(total, order.digits),
                tax_rule=rules[0],
            )
        )
    return lines, findings


def _whole_lines(
    order: Order, slices: Sequence[_Slice], included: bool, kits: Mapping[str, Mapping[str, int]]
) -> tuple[list[SaleLine], list[Finding]]:
    """Lines for a target that knows no kits: a kit is its components, the first of which carries its money.

    The totals of lines are the truth there; a unit's price is told to people, rounded to 4 decimals.
    """
    lines = []
    for piece in slices:
        made = kits.get(piece.line.sku or "") or {piece.sku: 1}
        for number, (sku, per) in enumerate(sorted(made.items())):
            quantity = piece.units * per
            net, tax = (piece.share.net, piece.share.tax) if number == 0 else (0, 0)
            total = net + (tax if included else 0)
            lines.append(
                SaleLine(
                    sku=sku,
                    name=piece.line.name,
                    quantity=quantity,
                    price=(to_major(total, order.digits) / quantity).quantize(Decimal(1).scaleb(-PRICE_DIGITS)),
                    tax=to_major(tax, order.digits),
                    total=to_major(total, order.digits),
                    tax_rule=piece.share.rule,
                )
            )
    return lines, []


class _Extra(msgspec.Struct, frozen=True, kw_only=True):
    """Money that moves no stock, under the service product it is charged as; `kind` as the order's charge."""

    kind: str
    service: str
    quantity: int
    share: Share


def _charges(order: Order, slices: Sequence[_Slice], settings: Settings) -> list[_Extra]:
    """Charges worth anything. A discount without a rate of its own is spread over the rules it lowers."""
    cin7 = settings.cin7_core
    services = {"shipping": cin7.shipping_service, "custom": cin7.custom_service, "discount": cin7.discount_service}
    sold = {s.line.line_id for s in slices}
    found = [
        _Extra(kind="custom", service=cin7.custom_service, quantity=line.quantity, share=_share(line, settings))
        for line in order.lines
        if line.line_id not in sold and line.total
    ]
    worth = [charge for charge in order.charges if charge.total or (charge.taxed and charge.taxed.tax)]
    for charge in worth:
        if charge.tax:
            share = _share(charge, settings)
            extra = _Extra(
                kind=charge.kind, service=services[charge.kind], quantity=charge.quantity, share=share
            )  # fmt: skip
            found.append(extra)
    for charge in worth:
        if not charge.tax:
            shares = _spread(charge, [*(s.share for s in slices), *(c.share for c in found)])
            found += [
                _Extra(kind=charge.kind, service=services[charge.kind], quantity=1, share=share) for share in shares
            ]
    return found


def _spread(charge: Charge, over: Sequence[Share]) -> list[Share]:
    """A discount on the total by tax rule: net by their nets, tax by their taxes, the remainder on the last rule."""
    whole = expected(over)
    nets = {rule: sum(share.net for share in over if share.rule == rule) for rule in sorted(whole.by_rule)}
    if charge.taxed is None or whole.net <= 0:
        raise LookupError(f"{charge.name}: nothing to spread a discount over")
    taxed = [rule for rule in nets if whole.by_rule[rule]] or list(nets)
    tax = dict(zip(taxed, _split(charge.taxed.tax, [whole.by_rule[r] or 1 for r in taxed]), strict=True))
    net = zip(nets, _split(charge.taxed.net, list(nets.values())), strict=True)
    return [Share(rule=rule, net=amount, tax=tax.get(rule, 0)) for rule, amount in net]


def _sale_charge(extra: _Extra, included: bool, digits: int) -> SaleCharge:
    """A charge with its own quantity where the price is whole minor units, else as one piece."""
    total = extra.share.net + (extra.share.tax if included else 0)
    quantity = extra.quantity if extra.quantity and total % extra.quantity == 0 else 1
    return SaleCharge(
        description=extra.service,
        kind=extra.kind,
        quantity=quantity,
        price=to_major(total // quantity, digits),
        tax=to_major(extra.share.tax, digits),
        total=to_major(total, digits),
        tax_rule=extra.share.rule,
    )


# --- The document ----------------------------------------------------------------------------------------------------


def _header(order: Order, settings: Settings, included: bool, zone: tzinfo) -> SaleDraft:
    """What all parts have in common."""
    booked = BACK_OFFICE in settings.back_offices
    customer = customer_of(order, settings)
    if customer is None and booked:
        raise LookupError(f"no customer for {order.currency}")
    bought = f", purchase order {order.purchase_order}" if order.purchase_order else ""
    return SaleDraft(
        ref="",
        order_number=order.label,
        customer=customer or "",
        location="",
        currency=order.currency,
        currency_rate=rate_of(order.currency, settings) if booked else None,
        tax_rule="",
        tax_included=included,
        placed_on=order.placed_at.astimezone(zone).date().isoformat(),
        placed_at=order.placed_at,
        digits=order.digits,
        delivery=order.shipping_method,
        email=order.customer_email,
        shipping_address=order.shipping_address,
        billing_address=order.billing_address,
        carrier=settings.carriers.get(order.shipping_method, ""),
        note=f"Order {order.order_id}{bought}",
        lines=(),
        charges=(),
    )


def _incomplete(order: Order, parts: Sequence[Part]) -> list[Finding]:
    """A finding when the parts do not add up to the order, or when there is nothing to make a sale of."""
    net, gross = sum(p.expected.net for p in parts), sum(p.expected.gross for p in parts)
    if parts and order.taxed and (order.taxed.net, order.taxed.gross) == (net, gross):
        return []
    stated = {"net": order.taxed.net, "gross": order.taxed.gross} if order.taxed else {"total": order.total}
    return [_impossible(order, stated, {"net": net, "gross": gross, "parts": len(parts)})]


def _impossible(
    order: Order, wanted: Mapping[str, object], actual: Mapping[str, object], line_id: str | None = None
) -> Finding:
    return Finding(
        kind="totals_differ",
        subject=f"order:{order.order_id}",
        line_id=line_id,
        expected=dict(wanted),
        actual=dict(actual),
    )
