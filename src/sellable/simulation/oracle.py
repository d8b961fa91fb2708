"""Judges a run from both journals and truths: who oversold, what was lost or doubled, which numbers are wrong.

Rule: no word of the product's own is heard, neither its tables nor its code.

An acceptance of n units is oversold by what it exceeds the sellable number just before it, the number *known to
everybody at once*. It is caused by us as far as an ideal publisher would have refused it, whatever it did not know yet:
going back in time from the acceptance, each reduction younger than its own D may be unknown and is given back; the
entry's own orders never are, for the storefront counts those itself. Units the storefront took although its own counter
did not have them (a lagging number, or a mode that does not look) are the platform's. The rest is inherent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sellable.sandbox.shop import CANCELLED
from sellable.simulation.picture import Acceptance, Gap, Key, Picture, Row, assignments, cancelled_by, order_of
from sellable.simulation.rules import MASTER, SALE, Declared, Rules, source_of

LIVE = "AUTHORISED"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Units of one acceptance by class; `fine` are those that were there."""

    acceptance: Acceptance
    fine: int
    ours: int
    inherent: int
    platform: int


@dataclass(frozen=True, kw_only=True)
class Tie:
    """Orders of the storefront against sales of the back office.

    Every list holds order ids but `deliveries_*` and `returns_differ`, which are units by (order id, sku). `reduced`
    are orders of which some units are cancelled; the two lists of cancels that came to nothing name orders of
    `cancelled` or `reduced`. `unbalanced` names lines at the storefront of which more is delivered and cancelled than
    was ordered, or more came back than was delivered; `returns_differ` says how many more units came back to a
    warehouse than the storefront was told.
    """

    captured: int
    exported_once: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    cancelled_but_live: list[str] = field(default_factory=list)
    cancelled_too_late: list[str] = field(default_factory=list)
    totals_differ: list[str] = field(default_factory=list)
    reduced: list[str] = field(default_factory=list)
    deliveries_missing: dict[Key, int] = field(default_factory=dict)
    deliveries_extra: dict[Key, int] = field(default_factory=dict)
    lines: int = 0
    unbalanced: list[str] = field(default_factory=list)
    returns_differ: dict[Key, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WrongKey:
    """An entry that does not show what it should (a range where an order's place is not decided)."""

    sku: str
    channel: str
    counter: int
    visible: int
    should: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Everything found. Seconds are simulated."""

    acceptances: list[Judged]
    tie: Tie
    wrong: list[WrongKey]
    keys: int
    undersell_unit_seconds: float
    late: dict[str, list[float]]
    writes_spent: int
    writes_needed: int
    refused_though_there: int = 0
    gaps: Mapping[Key, Sequence[Gap]] = field(default_factory=dict)
    freed: Mapping[Key, Sequence[tuple[float, int]]] = field(default_factory=dict)

    def oversold(self, kind: str) -> int:
        """Units oversold: kind is ours, inherent or platform."""
        return sum(getattr(judged, kind) for judged in self.acceptances)

    @property
    def oversold_by_us(self) -> list[Judged]:
        return [judged for judged in self.acceptances if judged.ours]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the simulators gave: truths before anything happened and at the end, and the journals of all between.

    `began` and `ended` are simulated unix seconds: when arrivals began, and when all had converged.
    """

    storefront_before: Row
    back_office_before: Row
    storefront_after: Row
    back_office_after: Row
    storefront: Sequence[Row]
    back_office: Sequence[Row]
    began: float
    ended: float
    client: str = ""


def judge(evidence: Evidence, rules: Rules, declared: Declared) -> Verdict:
    """The verdict on one run."""
    picture = picture_of(evidence, rules)
    now_shown = {(e["sku"], e["channel"] or ""): e for e in _project(evidence.storefront_after, rules)["entries"]}
    wrong = [
        WrongKey(sku=key[0], channel=key[1], counter=entry.internal, visible=now_shown[key]["visible"],
                 should=(entry.low, entry.high))
        for key, entry in picture.entries.items()
        if key in now_shown and key[1] in rules.pools
        and not (entry.right and entry.internal == now_shown[key]["visible"] == now_shown[key]["internal"])
    ]  # fmt: skip
    return Verdict(
        acceptances=[classified(a, picture, declared) for a in picture.acceptances],
        tie=tie(
            _project(evidence.storefront_after, rules)["orders"],
            evidence.back_office_after["sales"],
            rules,
            evidence.back_office_after.get("came_back", ()),
        ),
        wrong=wrong,
        keys=len(now_shown),
        undersell_unit_seconds=sum(entry.undersell for entry in picture.entries.values()),
        late=dict(picture.counts.late),
        writes_spent=picture.counts.writes,
        writes_needed=picture.counts.writes - picture.counts.wasted,
        refused_though_there=picture.counts.refused_though_there,
        gaps={key: entry.gaps for key, entry in picture.entries.items() if entry.gaps},
        freed={key: entry.freed for key, entry in picture.entries.items() if entry.gaps},
    )


def picture_of(evidence: Evidence, rules: Rules) -> Picture:
    """The whole run put together, with the knowledge of where each order was taken from in the end."""
    picture = Picture(
        rules,
        evidence.back_office_before["levels"],
        _project(evidence.storefront_before, rules)["entries"],
        start=evidence.back_office_before["time"],
        client=evidence.client,
        assignments=assignments(evidence.back_office, rules),
        keep_gaps=True,
        agreed=cancelled_by(evidence.client, evidence.storefront, rules),
    )
    began = evidence.began
    picture.feed(*([r for r in rows if r["t"] < began] for rows in (evidence.storefront, evidence.back_office)))
    picture.begin(began)
    picture.feed(*([r for r in rows if r["t"] >= began] for rows in (evidence.storefront, evidence.back_office)))
    picture.until(evidence.ended)
    return picture


def _project(truth: Row, rules: Rules) -> Any:
    return truth["projects"][rules.project]


# --- oversell --------------------------------------------------------------------------------------------------------


def classified(a: Acceptance, picture: Picture, declared: Declared) -> Judged:
    """Units of an acceptance by class, for a bundle by its worst component in whole bundles."""
    parts = picture.rules.parts(a.key[0])
    over = max(_short(a.units, pieces, a.numbers[c]) for c, pieces in parts.items())
    if not over:
        return Judged(acceptance=a, fine=a.units, ours=0, inherent=0, platform=0)
    platform = min(over, a.units - min(a.units, max(0, a.internal)))
    asked = a.units - platform
    ours = max(_short(asked, pieces, _most(a, c, picture, declared)) for c, pieces in parts.items())
    ours = min(ours, over - platform)
    return Judged(acceptance=a, fine=a.units - over, ours=ours, inherent=over - platform - ours, platform=platform)


def _short(units: int, pieces: int, number: int) -> int:
    """Of `units` of `pieces` each, how many are not covered by `number`."""
    return units - min(units, max(0, number) // pieces)


def _most(a: Acceptance, component: str, picture: Picture, declared: Declared) -> int:
    """The highest number an ideal publisher may have shown for a component: now, or at any earlier moment from when on
    it need not know what has happened since."""
    since = {source: declared.known_since(source, a.t) for source in (SALE, MASTER)}
    net, promised, until = a.scenes[component]
    net, promised, most = dict(net), dict(promised), a.numbers[component]
    for change in reversed(picture.history[component][:until]):
        if change.t <= min(since.values()):
            break
        own = change.entry == a.key and change.counted
        if change.delta < 0 and (own or change.t <= since[source_of(change.cause)]):
            continue
        if change.place is None:
            promised[change.channel] = promised.get(change.channel, 0) + change.delta
        else:
            net[change.place] = net.get(change.place, 0) - change.delta
        most = max(most, picture.rules.sellable(net, promised, a.key[1]))
    return most


# --- orders ----------------------------------------------------------------------------------------------------------


def tie(orders: Iterable[Row], sales: Iterable[Row], rules: Rules, came_back: Iterable[Row] = ()) -> Tie:
    """Each order against its live sales: one for each part, together the order's lines and its gross total; each of its
    lines against itself; and what came back to warehouses that tell of it against what the storefront was told."""
    by_order: dict[str, list[Row]] = defaultdict(list)
    for sale in sales:
        order = order_of(sale["external_id"], rules.project)
        if order is not None and sale["order_status"] == LIVE:
            by_order[order].append(sale)
    rows = list(orders)
    found = Tie(captured=len(rows), lines=sum(len(row["lines"]) for row in rows))
    for row in rows:
        _tie_one(row, by_order.get(row["id"], []), rules, found)
        _tie_lines(row, found)
    _tie_returns(rows, came_back, rules, found)
    return found


def _tie_one(order: Row, sales: list[Row], rules: Rules, found: Tie) -> None:
    identity = order["id"]
    if order["orderState"] == "Cancelled":
        found.cancelled.append(identity)
        if sales:
            shipped = any(line["shipped"] for sale in sales for line in sale["lines"])
            (found.cancelled_too_late if shipped else found.cancelled_but_live).append(identity)
        return
    cards = {line["line"]: rules.card(line["sku"]) for line in order["lines"]}
    wanted = _units((cards[line["line"]], line["quantity"]) for line in order["lines"])
    given = _units((line["sku"], line["quantity"]) for sale in sales for line in sale["lines"])
    parts = Counter(sale["external_id"] for sale in sales)
    gone = +_units((cards[line["line"]], line.get("in_state", {}).get(CANCELLED, 0)) for line in order["lines"])
    if max(parts.values(), default=0) > 1 or given - wanted:
        found.doubled.append(identity)
    elif wanted - gone - given:
        found.missing.append(identity)
    elif gone:
        found.reduced.append(identity)
        _tie_reduced(order, sales, given - (wanted - gone), found)
    else:
        found.exported_once.append(identity)
        if sales and _cents(sales) != order["taxedPrice"]["totalGross"]["centAmount"]:
            found.totals_differ.append(identity)
    _tie_deliveries(order, cards, sales, found)


def _tie_reduced(order: Row, sales: list[Row], late: Counter[str], found: Tie) -> None:
    """An order with cancelled units. Those its sales still have, `late`, have left, or they should not be there.

    The storefront leaves an order's amounts as they were. What is left comes to its share of each line, to within a
    cent: taxes are rounded anew.
    """
    if late:
        staying = _units((line["sku"], line["quantity"] - line["shipped"]) for sale in sales for line in sale["lines"])
        (found.cancelled_but_live if late & staying else found.cancelled_too_late).append(order["id"])
        return
    shares = [
        line["gross"] * units // line["quantity"]
        for line in order["lines"]
        if (units := line.get("in_state", {}).get(CANCELLED, 0))
    ]
    left = order["taxedPrice"]["totalGross"]["centAmount"] - sum(shares)
    if sales and abs(_cents(sales) - left) > len(shares):
        found.totals_differ.append(order["id"])


def _units(rows: Iterable[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for sku, units in rows:
        found[sku] += int(units)
    return found


def _cents(sales: list[Row]) -> int:
    """What the sales come to. Each is a document of its own, invoiced in whole cents: those are added up."""
    return sum(int(Decimal(sale["total"]).scaleb(2).to_integral_value(ROUND_HALF_UP)) for sale in sales)


def _tie_deliveries(order: Row, cards: Mapping[str, str], sales: list[Row], found: Tie) -> None:
    """What has left the warehouse is told as deliveries, once; `cards` are lines' SKUs as the back office has them."""
    items = [item for delivery in order["deliveries"] for item in delivery["items"]]
    told = _units((cards.get(item["id"], item["id"]), item["quantity"]) for item in items)
    left = _units((line["sku"], line["shipped"]) for sale in sales for line in sale["lines"])
    for sku, units in (left - told).items():
        found.deliveries_missing[order["id"], sku] = units
    for sku, units in (told - left).items():
        found.deliveries_extra[order["id"], sku] = units


def _tie_lines(order: Row, found: Tie) -> None:
    """Of each line no more is delivered and cancelled than was ordered, and no more came back than was delivered.

    Units cancelled when they had left already are both; their orders are named apart.
    """
    too_late = order["id"] in found.cancelled_too_late
    told = _units((item["id"], item["quantity"]) for each in order["deliveries"] for item in each["items"])
    back = _returned(order)
    for line in order["lines"]:
        identity = line["line"]
        gone = line.get("in_state", {}).get(CANCELLED, 0)
        if told[identity] + (0 if too_late else gone) > line["quantity"] or back[identity] > told[identity]:
            found.unbalanced.append(
                f"{order.get('orderNumber') or order['id']} {line['sku']}: ordered {line['quantity']}, delivered "
                f"{told[identity]}, cancelled {gone}, returned {back[identity]}"
            )


def _returned(order: Row) -> Counter[str]:
    """Units that came back by line, as the storefront was told."""
    items = [item for info in order.get("returnInfo", ()) for item in info.get("items", ())]
    return _units((item["lineItemId"], item["quantity"]) for item in items if "lineItemId" in item)


def _tie_returns(orders: Iterable[Row], came_back: Iterable[Row], rules: Rules, found: Tie) -> None:
    """Goods of an order that came back to a warehouse that tells of them are told as returns of it, once."""
    booked: dict[str, Counter[str]] = defaultdict(Counter)
    for each in came_back:
        order = order_of(each["external_id"], rules.project)
        if order is not None:
            booked[order] += _units((line["sku"], line["quantity"]) for line in each["lines"])
    for row in orders:
        if row["id"] not in booked:
            continue
        cards = {line["line"]: rules.card(line["sku"]) for line in row["lines"]}
        told = _units((cards[line], units) for line, units in _returned(row).items())
        for sku, units in booked[row["id"]].items():
            if units != told[sku]:
                found.returns_differ[row["id"], sku] = units - told[sku]


def percentiles(values: Iterable[float], *wanted: int) -> dict[str, float]:
    """{"p50": ...} by nearest rank, 0.0 where there are no values."""
    ordered = sorted(values) or [0.0]
    return {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 3) for p in wanted}


def summary(verdict: Verdict, declared: Declared) -> Mapping[str, Any]:
    """The figures that a demo and a replay print."""
    tie = verdict.tie
    return {
        "orders_captured": tie.captured,
        "orders_exported_once": len(tie.exported_once),
        "orders_doubled": len(tie.doubled),
        "orders_cancelled": len(tie.cancelled),
        "orders_reduced": len(tie.reduced),
        "cancelled_too_late": len(tie.cancelled_too_late),
        "cancelled_but_live": len(tie.cancelled_but_live),
        "totals_differ": len(tie.totals_differ),
        "deliveries_missing": sum(tie.deliveries_missing.values()),
        "deliveries_extra": sum(tie.deliveries_extra.values()),
        "lines": tie.lines,
        "lines_unbalanced": len(tie.unbalanced),
        "returns_differ": sum(map(abs, tie.returns_differ.values())),
        "oversold_by_us": verdict.oversold("ours"),
        "oversold_inherent": verdict.oversold("inherent"),
        "oversold_platform_lag": verdict.oversold("platform"),
        "declared_d": {"sale_seconds": declared.sale, "master_seconds": declared.master},
        "undersell_unit_seconds": round(verdict.undersell_unit_seconds, 1),
        "keys": verdict.keys,
        "keys_wrong_at_end": len(verdict.wrong),
        "refused_though_there": verdict.refused_though_there,
        "writes_spent": verdict.writes_spent,
        "writes_needed": verdict.writes_needed,
    }
