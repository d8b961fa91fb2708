"""What is true at every moment, put together from the two simulators' journals.

Rule: a unit is counted once: it lies on a shelf, or is allocated, or is promised and not yet allocated.

For a component at a place, `net` is what the back office calls available, less units of live orders that will be taken
there and are not yet. Units of orders whose place nobody knows are promised by channel; as they may be taken anywhere
in that channel's pool, a number is a range: for `high` they are taken where they hurt least, for `low` each of them
counts in every pool it may be taken from.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sellable.sandbox.shop import CANCELLED
from sellable.simulation.rules import Rules

Row = Mapping[str, Any]
Key = tuple[str, str]
"""An entry: (sku, channel key), "" for an entry without a channel."""
Places = dict[str, int]
EVERYTHING = 1 << 40


@dataclass(frozen=True, slots=True)
class Change:
    """A component's number moved: at a place, or (place None) by promises of a channel. `entry` sold it, if a sale;
    `counted` says that the storefront lowered that entry by itself."""

    t: float
    place: str | None
    channel: str
    delta: int
    cause: str
    entry: Key | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An order line taken by the storefront. `numbers` is, by component, what was sellable just before; where that was
    too little, `scenes` has (net by place, promised by channel, changes of the component until then). `internal` is the
    entry's own counter just before."""

    t: float
    order: str
    number: str
    key: Key
    units: int
    mode: str
    internal: int
    numbers: Mapping[str, int]
    scenes: Mapping[str, tuple[Places, dict[str, int], int]]


@dataclass(frozen=True, slots=True)
class Gap:
    """A time (unix seconds) during which an entry showed less than it should have: at least `low`. `free` are units at
    the places of its pool that the back office called available, sold ones that it had not taken yet included."""

    began: float
    ended: float
    low: int
    shown: int
    free: int


@dataclass(slots=True)
class PictureOrder:
    """An accepted order by component: needed, where it is taken from (as far as known), and taken already. `on_sale` is
    what each of its authorised sales asks for, `by_staff` units by SKU that staff cancelled and the storefront has not
    heard of yet."""

    id: str
    number: str
    t: float
    need: dict[str, int] = field(default_factory=dict)
    channel: dict[str, str] = field(default_factory=dict)
    assigned: dict[str, Places] = field(default_factory=dict)
    taken: dict[str, Places] = field(default_factory=dict)
    on_sale: dict[str, dict[str, int]] = field(default_factory=dict)
    by_staff: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    cancelled: bool = False

    def open(self, component: str) -> tuple[Places, int]:
        """Units not taken yet, by place, and those of unknown place; none of a cancelled order."""
        if self.cancelled:
            return {}, 0
        left, out, taken = self.need.get(component, 0), {}, self.taken.get(component, {})
        for place, units in self.assigned.get(component, {}).items():
            here = min(units, left)
            left -= here
            out[place] = max(0, here - taken.get(place, 0))
        return out, left


@dataclass(slots=True)
class Entry:
    """An entry: the storefront's counter, what it shows, and the range it should show. `landings` are decrements that
    do not show yet, `coming` orders told of whose own row of the entry follows in the same instant, `held` units that
    carts hold."""

    internal: int = 0
    shown: int = 0
    low: int = 0
    high: int = 0
    landings: int = 0
    coming: int = 0
    held: dict[str, int] = field(default_factory=dict)
    t: float = 0.0
    above_since: float | None = None
    above_cause: str = ""
    undersell: float = 0.0
    free: int = 0
    freed: list[tuple[float, int]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return self.low <= self.internal <= self.high


@dataclass(slots=True)
class Counts:
    """Sums over the run. `late` is how long an entry stayed above its number, by the cause that put it there."""

    writes: int = 0
    wasted: int = 0
    late: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refusals: int = 0
    refused_though_there: int = 0


class Picture:
    """Feed it both journals in order of time; read numbers, acceptances and entries at any moment.

    `assignments` (order id -> component -> places) is knowledge of the future: with it, an order's units weigh on the
    place they will be taken from as soon as it is accepted. Without, they do once the sale is authorised. So is
    `agreed` (order id -> SKU -> units): what the storefront will hear to be cancelled because staff took it off a
    sale. It is wanted by nobody from the deed of staff on; without, once the storefront has heard it.
    """

    def __init__(
        self,
        rules: Rules,
        stock: Iterable[Row],
        entries: Iterable[Row],
        *,
        start: float = 0.0,
        client: str = "",
        assignments: Mapping[str, Mapping[str, Places]] | None = None,
        keep_gaps: bool = False,
        agreed: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        """`stock` are levels (sku, location, available) and `entries` (sku, channel, internal, visible) at `start`
        (unix seconds, simulated); `client` is whose direct writes are counted, "" for anybody's. With `keep_gaps` each
        entry keeps when it showed too little, and its free units whenever they changed (`freed`)."""
        self.rules, self._client, self._future, self._keep_gaps = rules, client, assignments, keep_gaps
        self._agreed = {order: dict(units) for order, units in (agreed or {}).items()}
        self.net: dict[str, Places] = defaultdict(lambda: defaultdict(int))
        self._free: dict[str, Places] = defaultdict(lambda: defaultdict(int))
        self.promised: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.history: dict[str, list[Change]] = defaultdict(list)
        self.orders: dict[str, PictureOrder] = {}
        self.acceptances: list[Acceptance] = []
        self.entries: dict[Key, Entry] = {}
        self.counts = Counts()
        self.t = start
        self._landing: list[tuple[float, int, Key, int]] = []
        self._landed = 0
        self._carts: dict[str, set[Key]] = defaultdict(set)
        self._made_of: dict[str, set[str]] = defaultdict(set)
        for kit, recipe in rules.recipes.items():
            for component in recipe:
                self._made_of[component].add(kit)
        for row in stock:
            self.net[row["sku"]][row["location"]] += int(row["available"])
            self._free[row["sku"]][row["location"]] += int(row["available"])
        for row in entries:
            self._admit((row["sku"], row["channel"] or ""), int(row["internal"]), int(row["visible"]))

    # --- numbers -----------------------------------------------------------------------------------------------------

    def number(self, component: str, channel: str, *, high: bool) -> int:
        """Units of a component sellable on a channel's pool."""
        net, promised_to = self.net[component], self.promised[component]
        if high:
            return self.rules.sellable(net, promised_to, channel)
        pool = self.rules.pools.get(channel, ())
        promised = sum(units for other, units in promised_to.items() if self.rules.touches(other, pool))
        return sum(net[place] for place in pool) - promised

    def should(self, key: Key, *, high: bool) -> int:
        """What an entry should show. A bundle is assembled at one place, and never more than the pool's sums allow.

        Who knows what carts hold on the other entries of the pool shows less by that; nobody tells of it, so that who
        does not know it is right too.
        """
        sku, channel = key
        recipe = self.rules.recipes.get(sku)
        held = 0 if high else self._held_elsewhere(key)
        if not recipe:
            return self.rules.shown(sku, channel, self.number(sku, channel, high=high) - held)
        by_pool = min(max(0, self.number(c, channel, high=high)) // k for c, k in recipe.items())
        by_place = sum(
            min(max(0, self._at(c, place, channel, high=high)) // k for c, k in recipe.items())
            for place in self.rules.pools.get(channel, ())
        )
        return self.rules.shown(sku, channel, min(by_pool, by_place) - held)

    def _held_elsewhere(self, key: Key) -> int:
        pool = self.rules.pools.get(key[1], ())
        others = (c for c in self.rules.pools if c != key[1] and self.rules.touches(c, pool))
        return sum(sum(entry.held.values()) for c in others if (entry := self.entries.get((key[0], c))))

    def _at(self, component: str, place: str, channel: str, *, high: bool) -> int:
        pool = self.rules.pools[channel]
        promised = self.promised[component].items()
        unplaced = 0 if high else sum(units for other, units in promised if self.rules.touches(other, pool))
        return self.net[component][place] - unplaced

    def wrong(self) -> list[tuple[Key, Entry]]:
        """Entries whose counter is outside its range now."""
        return [(key, entry) for key, entry in self.entries.items() if not entry.right]

    # --- feeding -----------------------------------------------------------------------------------------------------

    def feed(self, storefront: Iterable[Row], back_office: Iterable[Row]) -> None:
        """Take in rows of both journals; they are merged by their times."""
        for row in merged(storefront, back_office):
            self._land(row["t"])
            self.t = max(self.t, row["t"])
            handler = _HANDLERS.get(row["what"])
            if handler is not None:
                handler(self, row)

    def until(self, t: float) -> None:
        """Let time pass without news, up to `t`."""
        self._land(t)
        self.t = max(self.t, t)
        for entry in self.entries.values():
            self._integrate(entry)

    def begin(self, t: float) -> None:
        """Forget what was measured before `t`: how long numbers were too low or too high, and what was written."""
        self.until(t)
        self.counts = Counts()
        for entry in self.entries.values():
            entry.undersell = 0.0
            entry.gaps.clear()

    def _admit(self, key: Key, internal: int, shown: int) -> Entry:
        entry = self.entries[key] = Entry(internal, shown, t=self.t)
        entry.low, entry.high = self.should(key, high=False), self.should(key, high=True)
        self._note_free(key, entry)
        return entry

    def _note_free(self, key: Key, entry: Entry) -> None:
        """Of a bundle whatever its first component has."""
        if self._keep_gaps:
            places = self._free[next(iter(self.rules.parts(key[0])))]
            free = sum(places[place] for place in self.rules.pools.get(key[1], ()))
            if not entry.freed or free != entry.free:
                entry.freed.append((self.t, free))
            entry.free = free

    def _accepted(self, row: Row) -> None:
        order = PictureOrder(row["order"], row.get("number") or row["order"], row["t"])
        self.orders[order.id] = order
        self._let_go(row.get("cart"), row["t"])
        if self._future is not None:
            order.assigned = {c: dict(places) for c, places in self._future.get(order.id, {}).items()}
        before: dict[Key, int] = defaultdict(int)
        for line in row["lines"]:
            if line["sku"] and line["quantity"]:
                key = (line["sku"], line.get("channel") or "")
                self._sold(order, row["t"], key, line, before[key])
                before[key] += line["quantity"] if line["mode"] != "None" else 0

    def _sold(self, order: PictureOrder, t: float, key: Key, line: Row, before_units: int) -> None:
        """One line; `before_units` of the same entry went with earlier lines of this order."""
        parts = self.rules.parts(key[0])
        entry = self.entries.get(key)
        if entry is not None and key[1] in self.rules.pools:
            units, internal = line["quantity"], entry.internal - before_units
            numbers = {c: self.number(c, key[1], high=True) for c in parts}
            scenes = {
                c: (dict(self.net[c]), dict(self.promised[c]), len(self.history[c]))
                for c in parts
                if any(n < parts[p] * units for p, n in numbers.items())
            }
            taken = Acceptance(t, order.id, order.number, key, units, line["mode"], internal, numbers, scenes)
            self.acceptances.append(taken)
        counted = line["mode"] != "None"
        if entry is not None and counted:
            entry.coming += 1
        for component, pieces in parts.items():
            order.channel.setdefault(component, key[1])
            before = order.open(component)
            order.need[component] = order.need.get(component, 0) + pieces * line["quantity"]
            self._shift(order, component, before, t, "sale", key, counted)
        self._refresh(parts, t, "sale")

    def _shift(
        self, order: PictureOrder, component: str, before: tuple[Places, int], t: float, cause: str,
        entry: Key | None = None, counted: bool = False,
    ) -> None:  # fmt: skip
        """An order's open units of a component changed from `before` to what they are now."""
        (old, old_unplaced), (new, new_unplaced) = before, order.open(component)
        channel = order.channel.get(component, "")
        for place in {**old, **new}:
            self._move(component, place, channel, old.get(place, 0) - new.get(place, 0), t, cause, entry, counted)
        self._move(component, None, channel, old_unplaced - new_unplaced, t, cause, entry, counted)

    def _move(
        self, component: str, place: str | None, channel: str, delta: int, t: float, cause: str,
        entry: Key | None = None, counted: bool = False,
    ) -> None:  # fmt: skip
        if not delta:
            return
        if place is None:
            self.promised[component][channel] -= delta
        else:
            self.net[component][place] += delta
        self.history[component].append(Change(t, place, channel, delta, cause, entry, counted))

    def _cancelled(self, row: Row) -> None:
        order = self.orders.get(row["order"])
        if order is None or order.cancelled:
            return
        before = {component: order.open(component) for component in order.need}
        order.cancelled = True
        for component, was in before.items():
            self._shift(order, component, was, row["t"], "cancelled")
        self._refresh(before, row["t"], "cancelled")

    def _line_state(self, row: Row) -> None:
        """Units of a line in a state that means cancelled are wanted by nobody any more."""
        order = self.orders.get(row["order"])
        if order is None or order.cancelled or row["to"] != CANCELLED or row["sku"] is None:
            return
        card = self.rules.card(row["sku"])
        known = min(order.by_staff[card], row["quantity"])
        order.by_staff[card] -= known
        self._wanted_less(order, row["sku"], row["quantity"] - known, row["t"])

    def _wanted_less(self, order: PictureOrder, sku: str, units: int, t: float, cause: str = "cancelled") -> None:
        parts = self.rules.parts(sku)
        before = {component: order.open(component) for component in parts}
        for component, pieces in parts.items():
            order.need[component] = max(0, order.need.get(component, 0) - pieces * units)
        for component, was in before.items():
            self._shift(order, component, was, t, cause)
        self._refresh(before, t, cause)

    def _reduced(self, row: Row) -> None:
        """Staff took units of a line off a sale."""
        order = self._order_of(row)
        if order is not None:
            # The sale is authorised anew right after, with what is left.
            self._by_staff(order, row["sku"], int(row["gone"]), row["t"])

    def _undone(self, row: Row) -> None:
        """A sale asks for nothing any more; what staff voided is cancelled if it was agreed to be."""
        order = self._order_of(row)
        lines = order.on_sale.pop(row["external_id"], {}) if order is not None else {}
        if order is not None and row["what"] == "sale_voided" and row["by"] == "staff":
            for sku, units in lines.items():
                self._by_staff(order, sku, units, row["t"])

    def _by_staff(self, order: PictureOrder, sku: str, units: int, t: float) -> None:
        agreed = self._agreed.get(order.id, {})
        units = 0 if order.cancelled else min(units, agreed.get(sku, 0))
        if units:
            agreed[sku] -= units
            order.by_staff[sku] += units
            self._wanted_less(order, sku, units, t, "cancelled by staff")

    def _order_of(self, row: Row) -> PictureOrder | None:
        return self.orders.get(order_of(row.get("external_id"), self.rules.project) or "")

    def _stock(self, row: Row) -> None:
        component, place, t = row["sku"], row["location"], row["t"]
        self._free[component][place] += int(row["delta"])
        order = self._order_of(row)
        if order is None or row["cause"] == "restock":
            # Goods that come back are not less taken: they were, and lie there again.
            self._move(component, place, "", int(row["delta"]), t, row["cause"])
        else:
            was = order.open(component)[0].get(place, 0)
            taken = order.taken.setdefault(component, {})
            # Goods that leave take their allocation with them: still taken, by nobody else.
            more = int(row["allocated_delta"]) - int(row["on_hand_delta"])
            taken[place] = taken.get(place, 0) + more
            still = order.open(component)[0].get(place, 0)
            self._move(component, place, "", int(row["delta"]) + was - still, t, row["cause"])
        self._refresh((component,), t, row["cause"])

    def _authorised(self, row: Row) -> None:
        """Where an order is taken from becomes known, unless it was known from the future."""
        order = self._order_of(row)
        if order is None:
            return
        order.on_sale[row["external_id"]] = {line["sku"]: int(line["quantity"]) for line in row["lines"]}
        if self._future is not None:
            return
        for component, units in exploded(row["lines"], self.rules).items():
            before = order.open(component)
            places = order.assigned.setdefault(component, {})
            places[row["location"]] = places.get(row["location"], 0) + units
            self._shift(order, component, before, row["t"], "sourced")
            self._refresh((component,), row["t"], "sourced")

    # --- entries -----------------------------------------------------------------------------------------------------

    def _written(self, row: Row) -> None:
        key = (row["sku"], row["channel"] or "")
        entry = self.entries.get(key) or self._admit(key, 0, 0)
        if row["cause"] in ("reserve", "release", "expire"):
            # The hold of a cart's only line of this SKU, as it is now; no number moves.
            self._hold(key, row["cart"], int(row["quantity"]) if row["cause"] == "reserve" else 0, row["t"])
            return
        self._integrate(entry)
        old = entry.internal
        entry.internal = int(row["new"])
        if row["shown_new"] is not None:
            entry.shown = int(row["shown_new"])
            if row.get("pending") == 0 and entry.landings:
                # An absolute write swallowed what had not landed yet.
                self._landing = [landing for landing in self._landing if landing[2] != key]
                heapq.heapify(self._landing)
                entry.landings = 0
        elif "visible_at" in row:
            entry.coming -= row["cause"] == "order"
            self._landed += 1
            entry.landings += 1
            heapq.heappush(self._landing, (row["visible_at"], self._landed, key, int(row["new"]) - int(row["old"])))
        if row["cause"] in ("direct", "create") and self._client in ("", row.get("client")):
            self.counts.writes += 1
            self.counts.wasted += _distance(entry, entry.internal) >= _distance(entry, old)
        self._look(entry, row["t"], row["cause"])

    def _hold(self, key: Key, cart: str, units: int, t: float) -> None:
        held = self.entries[key].held
        held.pop(cart, None)
        if units:
            held[cart] = units
            self._carts[cart].add(key)
        self._refresh(self.rules.parts(key[0]), t, "cart")

    def _let_go(self, cart: str | None, t: float) -> None:
        """A cart became an order: what it held is sold."""
        for key in sorted(self._carts.pop(cart or "", set())):
            self._hold(key, cart or "", 0, t)

    def _land(self, t: float) -> None:
        while self._landing and self._landing[0][0] <= t:
            due, _, key, delta = heapq.heappop(self._landing)
            self.t = max(self.t, due)
            entry = self.entries[key]
            self._integrate(entry)
            entry.shown += delta
            entry.landings -= 1

    def _refresh(self, components: Iterable[str], t: float, cause: str) -> None:
        """Recompute what the entries of these components, and of bundles with them, should show."""
        skus = {sku for component in components for sku in (component, *self._made_of.get(component, ()))}
        for sku in skus:
            for channel in self.rules.pools:
                entry = self.entries.get((sku, channel))
                if entry is not None:
                    self._integrate(entry)
                    entry.low = self.should((sku, channel), high=False)
                    entry.high = self.should((sku, channel), high=True)
                    self._note_free((sku, channel), entry)
                    self._look(entry, t, cause)

    def _integrate(self, entry: Entry) -> None:
        if self.t > entry.t and entry.low > entry.shown:
            entry.undersell += (self.t - entry.t) * (entry.low - entry.shown)
            if self._keep_gaps:
                entry.gaps.append(Gap(entry.t, self.t, entry.low, entry.shown, entry.free))
        entry.t = self.t

    def _look(self, entry: Entry, t: float, cause: str) -> None:
        """Note when an entry begins and ceases to offer more than there is."""
        above = entry.internal > entry.high
        if above and entry.above_since is None and not entry.coming:
            entry.above_since, entry.above_cause = t, cause
        elif not above and entry.above_since is not None:
            self.counts.late[entry.above_cause].append(t - entry.above_since)
            entry.above_since = None

    def _refused(self, row: Row) -> None:
        self.counts.refusals += 1
        entry = self.entries.get((row["sku"], row.get("channel") or ""))
        self.counts.refused_though_there += entry is not None and entry.low >= row["asked"]


_HANDLERS = {
    "order_accepted": Picture._accepted,
    "order_cancelled": Picture._cancelled,
    "order_deleted": Picture._cancelled,
    "line_state": Picture._line_state,
    "order_refused": Picture._refused,
    "entry_written": Picture._written,
    "stock": Picture._stock,
    "sale_authorised": Picture._authorised,
    "line_reduced": Picture._reduced,
    "sale_undone": Picture._undone,
    "sale_voided": Picture._undone,
}


def _distance(entry: Entry, value: int) -> int:
    return max(entry.low - value, value - entry.high, 0)


def merged(storefront: Iterable[Row], back_office: Iterable[Row]) -> Iterator[Row]:
    """Rows of both journals by time; each journal is in order already, but for rows dated back by an instant."""
    return heapq.merge(_straight(storefront), _straight(back_office), key=lambda row: row["t"])


def _straight(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["t"], row["n"]))


def order_of(reference: str | None, project: str) -> str | None:
    """The order id in a sale's reference "<project>:<order id>:<part>", None when it is not one of ours."""
    words = (reference or "").split(":")
    return words[1] if len(words) == 3 and words[0] == project else None


def exploded(lines: Iterable[Row], rules: Rules) -> dict[str, int]:
    """Lines {sku, quantity} by component."""
    found: dict[str, int] = defaultdict(int)
    for line in lines:
        for component, pieces in rules.parts(line["sku"]).items():
            found[component] += pieces * int(line["quantity"])
    return dict(found)


def assignments(back_office: Iterable[Row], rules: Rules) -> dict[str, dict[str, Places]]:
    """Where each order is taken from in the end: the place of the last authorised sale of each part, and the most it
    ever asked for there."""
    parts: dict[str, dict[str, tuple[str, dict[str, int]]]] = defaultdict(dict)
    for row in back_office:
        if row["what"] == "sale_authorised":
            order = order_of(row.get("external_id"), rules.project)
            if order is not None:
                place, most = parts[order].get(row["external_id"], ("", {}))
                asked = exploded(row["lines"], rules)
                if place == row["location"]:
                    asked |= {c: max(units, asked.get(c, 0)) for c, units in most.items()}
                parts[order][row["external_id"]] = row["location"], asked
    found: dict[str, dict[str, Places]] = {}
    for order, sales in parts.items():
        mine: dict[str, Places] = defaultdict(dict)
        for place, asked in sales.values():
            for component, units in asked.items():
                mine[component][place] = mine[component].get(place, 0) + units
        found[order] = dict(mine)
    return found


def cancelled_by(client: str, storefront: Iterable[Row], rules: Rules) -> dict[str, dict[str, int]]:
    """Units by order and SKU (the back office's spelling) that a client of the storefront cancels, whole orders too."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    lines: dict[str, list[Row]] = {}
    for row in storefront:
        if row["what"] == "order_accepted":
            lines[row["order"]] = row["lines"]
        elif row["what"] == "line_state" and row["to"] == CANCELLED and row["client"] == client and row["sku"]:
            found[row["order"]][rules.card(row["sku"])] += row["quantity"]
        elif row["what"] == "order_cancelled" and row["client"] == client:
            for line in lines.get(row["order"], ()):
                found[row["order"]][rules.card(line["sku"])] = EVERYTHING
    return {order: dict(units) for order, units in found.items()}
