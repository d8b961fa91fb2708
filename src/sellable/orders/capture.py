"""Capture: an order seen at the storefront becomes demand, entry facts and parts, in one transaction.

One rule: whatever else is wrong with an order, its units are sold; they leave ATS before anything is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from sellable.book import book
from sellable.connectors.port import SaleDraft
from sellable.domain.orders import EXPERIMENT, Line, Order, OrderState
from sellable.domain.stock import Priority
from sellable.orders import adjusting, cancel, changes, lines, returns, routing, rules, sales, totals
from sellable.orders.context import Context, lane_of
from sellable.orders.remaining import remaining
from sellable.orders.rules import BACK_OFFICE, Finding
from sellable.runtime import operations
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.inbox import InboxRow
from sellable.runtime.wanted import want
from sellable.stock import catalogue, demand, entries, numbers

BEFORE_START = "placed before orders.start_at"
SHADOWED = "its channel is a shadow"
LOOKED_FOR = "its sale is looked for"
TOLD_BY_OTHERS = ("Shipped", "Delivered", "Partial")
EDITED = 1000
"""Slots of demand below it are the places of a line; what an edit adds has a slot beyond it, by the order's version."""


def on_order(tx: Tx, row: InboxRow, now: datetime, *, context: Context) -> None:
    """Inbox handler: an order document as fetched or swept."""
    take(tx, context.translate(row.body), now, context)


def take(tx: Tx, order: Order, now: datetime, context: Context) -> None:
    """Takes an order at some version: new, newer than known, or known already. Experiments are no orders."""
    if _is_experiment(order):
        return
    row = book.lock(tx, order.order_id)
    if row is None and not book.add(tx, order, "waiting", now):
        row = book.lock(tx, order.order_id)
    if row is None:
        _first(tx, order, now, context)
    elif order.version > row.version:
        _changed(tx, row, order, now, context)
    returns.heard(tx, order, now, context)
    adjusting.follow(tx, order.order_id, now, context)


def _is_experiment(order: Order) -> bool:
    """Whether all of it sells from an experiment's own channel: a number alone could be anybody's, and would lose him
    his order."""
    ours = [(line.channel or "").startswith(EXPERIMENT) for line in order.lines]
    return bool(ours) and all(ours) and (order.number or "").startswith(EXPERIMENT)


def _first(tx: Tx, order: Order, now: datetime, context: Context) -> None:
    if before_start(order, context):
        if followed(order):
            look_for_its_sale(tx, order, now, context)
        else:
            noted = any(s.channel == context.settings.commercetools.export_channel for s in order.sync)
            book.stage(tx, order.order_id, "adopted" if noted else "ignored", now, BEFORE_START)
        return
    took(tx, order, now)
    adjusting.begin(tx, order.order_id, order.lines, context)
    if order.state is OrderState.CANCELLED:
        cancel.give_back(tx, order, now, context)
        tx.run(book.sql.cancel_lines, order_id=order.order_id)
        book.stage(tx, order.order_id, "cancelled", now)
        book.tell(tx, order.order_id, "cancelled before we saw it", now, version=order.version)
        return
    book.tell(tx, order.order_id, "captured", now, version=order.version, lines=len(order.lines), total=order.total)
    lines.heard(tx, order, [], now, context)
    kits = kits_in(tx, order)
    if not proceed(tx, order, kits, now, context, new=True):
        demand.capture(tx, units_in_flight(remaining(order), kits), now)


def before_start(order: Order, context: Context) -> bool:
    """Whether it was placed before we began: without a sale it is ignored, and its units never counted."""
    return order.placed_at < context.settings.orders.start_at


def is_older(order: Order, context: Context) -> bool:
    """Whether somebody else was to export this order: it is adopted or ignored, never created."""
    return before_start(order, context) or context.shadows(order)


def why_not_ours(order: Order, context: Context) -> str:
    """Why an order without a sale is ignored."""
    return BEFORE_START if before_start(order, context) else SHADOWED


def followed(order: Order) -> bool:
    """Whether an older order still has something to be followed, and nobody else has told the customer of parcels."""
    open_ = order.state in (OrderState.OPEN, OrderState.CONFIRMED)
    return open_ and order.shipment_state not in TOLD_BY_OTHERS and not order.delivery_keys


def took(tx: Tx, order: Order, now: datetime) -> None:
    """What the storefront has done to its own entries by taking this order: E follows."""
    facts = [_fact(order, line, "taken", -line.quantity, order.placed_at) for line in order.lines if line.moves_entry]
    entries.record(tx, facts, now, priority=Priority.ORDER_LOWER, reason=f"order {order.label}")


def _fact(order: Order, line: Line, kind: str, units: int, at: datetime) -> entries.EntryFact:
    return entries.EntryFact(
        sku=line.sku or "",
        channel=line.channel or "",
        kind=kind,
        quantity=units,
        source="order",
        resource=order.order_id,
        line=line.line_id,
        seq=0,
        remote_at=at,
    )


def kits_in(tx: Tx, order: Order) -> dict[str, dict[str, int]]:
    """Today's recipes (component -> units) of those of the order's SKUs that are kits."""
    return numbers.recipes_of(tx, sorted({line.sku for line in order.lines if line.sku}))


def units_in_flight(order: Order, kits: dict[str, dict[str, int]]) -> list[demand.Sold]:
    """The order's demand by component; kits are exploded."""
    return [
        demand.Sold(
            order_id=order.order_id,
            line_id=unit.line_id,
            sku=unit.sku,
            label=order.label,
            channel=unit.channel,
            units=unit.units,
            per_line=unit.per_line,
        )
        for unit in rules.units_of(order, kits, own_kits=True)
    ]


# --- From captured to exporting --------------------------------------------------------------------------------------


def proceed(
    tx: Tx,
    order: Order,
    kits: dict[str, dict[str, int]],
    now: datetime,
    context: Context,
    *,
    new: bool = False,
    searched: bool = False,
    made: Sequence[rules.Made] = (),
) -> bool:
    """Checks the order at the boundary, sources it and owes its sales; or says what it waits for, or opens cases.

    True when it was sourced: then its units are in flight at their locations, also those of a `new` order. `searched`
    says that nobody else's sale of it is there, `made` which of our own are, from a former life.
    """
    order = remaining(order)
    if not any(line.sku and line.quantity for line in order.lines) and _goods_of(tx, order):
        demand.release(tx, order.order_id, None, f"cancel of {order.label}", now)
        book.stage(tx, order.order_id, "cancelled", now)
        book.tell(tx, order.order_id, "every unit is cancelled", now, version=order.version)
        return True
    older = is_older(order, context)
    waits_for = "" if older else not_triggered(order, context)
    if waits_for:
        book.stage(tx, order.order_id, "waiting", now, waits_for)
        book.tell(tx, order.order_id, "waits", now, cause=waits_for)
        return False
    if older or (not searched and _needs_search(tx, order, now, context)):
        look_for_its_sale(tx, order, now, context)
        return False
    found = wrong_with(tx, order, context)
    if not found:
        found = _plan(tx, order, kits, now, context, new=new, made=made)
    if found:
        hold(tx, order, found, now, context)
    return not found


def _goods_of(tx: ReadTx, order: Order) -> bool:
    """Whether the order ever had goods; one of services alone waits for nobody to cancel it."""
    return any(line.ordered for line in tx.all(book.sql.lines_of, order_id=order.order_id))


def look_for_its_sale(tx: Tx, order: Order, now: datetime, context: Context, due_at: datetime | None = None) -> None:
    """Somebody else, or we in a former life, may have exported it: nothing is created before that is known."""
    book.stage(tx, order.order_id, "waiting", now, LOOKED_FOR)
    context.owe(tx, order.order_id, context.first_office, "sale.find", {}, now, due_at)


def wrong_with(tx: ReadTx, order: Order, context: Context) -> list[Finding]:
    """What the boundary check finds, by the catalogue and settings of today."""
    sold = {line.sku for line in order.lines if line.sku}
    spelled = rules.at_master(context.settings)
    known = catalogue.known(tx, sorted(sold | {spelled[sku] for sku in sold if sku in spelled}))
    # What is impossible is not here as it was stated, so nothing adds up.
    differing = [] if order.impossible else totals.recompute(order)
    return [*rules.findings(order, known, context.settings), *differing]


def hold(tx: Tx, order: Order, found: Sequence[Finding], now: datetime, context: Context) -> None:
    """The order waits behind a case for each finding; its units stay in flight."""
    context.open_findings(tx, found, order.order_id, now)
    causes = ", ".join(sorted({f.kind for f in found}))
    book.stage(tx, order.order_id, "held", now, causes)
    book.tell(tx, order.order_id, "held", now, causes=causes)


def not_triggered(order: Order, context: Context) -> str:
    """What an order still waits for before it is exported, or nothing."""
    trigger = context.settings.orders.trigger
    if trigger == "paid" and order.payment_state != "Paid":
        return "payment"
    if trigger == "confirmed" and order.state is OrderState.OPEN:
        return "confirmation"
    return ""


def _plan(
    tx: Tx,
    order: Order,
    kits: dict[str, dict[str, int]],
    now: datetime,
    context: Context,
    *,
    new: bool,
    made: Sequence[rules.Made],
) -> list[Finding]:
    goods = rules.goods(order, kits)
    stock = stock_by_location(tx, order.order_id, goods, kits, now)
    routed = routing.route(order, goods, context.settings, stock, kits)
    if lost := routing.unrouted(order, routed):
        return lost
    assignment = routing.split(goods, routed, stock, kits)
    if made:
        # What was sourced once stays so: the shelves are others by now, and the sales would not be these any more.
        mine = [x for x in goods if all(context.target_of(place) == BACK_OFFICE for place, _ in assignment[x.line_id])]
        assignment |= rules.as_made(mine, made, rules.at_master(context.settings)) or {}
    zone = ZoneInfo(context.settings.cin7_core.time_zone)
    taken = {each.line_id: each.rule for each in routed}
    parts = sales.drafts(order, assignment, context.settings, kits=kits, today_zone=zone, taken=taken)
    trouble = [p for p in parts if isinstance(p, Finding)]
    if trouble:
        return trouble
    planned = [p for p in parts if not isinstance(p, Finding)]
    there = sorted((m.ref, m.location) for m in made)
    wanted = sorted((p.draft.ref, p.location) for p in planned if p.target == BACK_OFFICE)
    if there not in ([], wanted):
        # A sale made for other lines than its part has now would leave units of theirs to be sold twice.
        return [
            Finding(
                kind="two_sales_one_order", subject=f"order:{order.order_id}", expected={"sales": wanted},
                actual={"sales": there},
            )
        ]  # fmt: skip
    slots = slots_of(order, assignment, kits)
    if new:
        again = False
        demand.capture(tx, slots, now)
    else:
        # What was refused before may have left something behind, so its next attempt searches.
        again = tx.run(book.sql.drop_planned_parts, order_id=order.order_id) > 0
        demand.assign(tx, order.order_id, slots, now)
    search = again or _needs_search(tx, order, now, context)
    for part in planned:
        write_part(tx, order, part, now)
        known = next((sale for sale in made if sale.sale_id and sale.ref == part.draft.ref), None)
        if known is None:
            context.owe_part(tx, order.order_id, part.part, part.target, now, search=search)
        else:
            _take_over(tx, order.order_id, part, known, now, context)
    book.stage(tx, order.order_id, "exporting", now)
    book.tell(
        tx, order.order_id, "sourced", now, parts=[[p.part, p.location] for p in planned],
        totals=[msgspec.to_builtins(p.expected) for p in planned],
        **({"routes": {x.line_id: [x.rule, x.target] for x in routed}} if context.settings.routes else {}),
    )  # fmt: skip
    return []


def _take_over(tx: Tx, order_id: str, part: sales.Part, sale: rules.Made, now: datetime, context: Context) -> None:
    """The part's sale of a former life is its sale: no search, whose index may be old, decides whether to make another.

    What an authorised one holds and comes to is learnt by reading it; a draft is completed.
    """
    key: dict[str, Any] = {"order_id": order_id, "part": part.part}
    tx.run(book.sql.record_sale, **key, sale_id=sale.sale_id, number=sale.number)
    book.tell(tx, order_id, "sale adopted", now, part=part.part, sale=sale.sale_id, number=sale.number)
    if sale.status == "authorised":
        tx.run(book.sql.set_part_state, **key, state="held")
        want(tx, part.target, "sale", [sale.sale_id], 1, now)
    else:
        context.owe(tx, order_id, part.target, "sale.lines", {"part": part.part}, now)


def write_part(tx: Tx, order: Order, part: sales.Part, now: datetime) -> None:
    """Writes a part with its lines into the book, planned."""
    tx.run(
        book.sql.insert_part,
        order_id=order.order_id,
        part=part.part,
        target=part.target,
        location=part.location,
        ref=part.draft.ref,
        draft=book.text(part.draft),
        expected=book.text(part.expected),
        at=now,
    )
    tx.run(
        book.sql.insert_part_lines,
        order_id=order.order_id,
        part=part.part,
        line_id=[line for line, _, _ in part.lines],
        sku=[sku for _, sku, _ in part.lines],
        units=[units for _, _, units in part.lines],
        rule=list(part.rules),
    )


def _needs_search(tx: Tx, order: Order, now: datetime, context: Context) -> bool:
    """Creating without a search is allowed only when this database has been awake long enough to know better, when the
    order is younger than any backup it was restored from, and when no other system has noted anything on the order.
    """
    life = tx.one(numbers.sql.birth)
    assert life is not None
    unsure = timedelta(minutes=context.settings.orders.adopt_minutes_after_birth)
    young = life.born is None or now - life.born < unsure
    lost = life.restored is not None and order.placed_at < life.restored + unsure
    return young or lost or bool(order.sync)


def stock_by_location(
    tx: ReadTx, order_id: str, goods: Sequence[Line], kits: dict[str, dict[str, int]], now: datetime
) -> dict[tuple[str, str], int]:
    """What each location could ship of each component, other orders' units in flight subtracted."""
    skus = {c for line in goods for c in kits.get(line.sku or "", {line.sku or "": 1})}
    left: dict[tuple[str, str], int] = {}
    for sku, facts in numbers.facts_of(tx, sorted(skus), now).items():
        for reading in facts.readings:
            promised = sum(
                d.in_flight(reading.a0)
                for d in facts.demand
                if d.location == reading.location and d.order_id != order_id
            )
            left[(sku, reading.location)] = reading.available - promised
    return left


def slots_of(
    order: Order, assignment: Mapping[str, Sequence[tuple[str, int]]], kits: Mapping[str, Mapping[str, int]]
) -> list[demand.Sold]:
    """Demand rows with their location, one slot for each location of a line."""
    by_line = {line.line_id: line for line in order.lines}
    return [
        demand.Sold(
            order_id=order.order_id,
            line_id=line_id,
            sku=component,
            label=order.label,
            channel=by_line[line_id].channel or "",
            units=units * per_kit,
            slot=slot,
            location=location,
            per_line=per_kit,
        )
        for line_id, places in assignment.items()
        for slot, (location, units) in enumerate(places)
        for component, per_kit in kits.get(by_line[line_id].sku or "", {by_line[line_id].sku or "": 1}).items()
        if units
    ]


# --- Changes ---------------------------------------------------------------------------------------------------------


def _changed(tx: Tx, row: Any, order: Order, now: datetime, context: Context) -> None:
    before = book.order_of(row)
    book.renew(tx, order)
    changes.check(tx, before, order, now, context)
    if row.stage in ("ignored", "adopted", "cancelled"):
        return
    if order.state is OrderState.CANCELLED:
        if before.state is not OrderState.CANCELLED:
            cancel.begin(tx, row, order, now, context)
        return
    parts = tx.all(book.sql.parts_of, order_id=order.order_id)
    if _goods(before) != _goods(order):
        _edited(tx, before, order, parts, now, context)
    changes.heard(tx, before, order, parts, now, context)
    if lines.heard(tx, order, parts, now, context) and not parts:
        count_anew(tx, order, now)
    if row.stage in ("waiting", "held") and not begun(tx, order.order_id, parts):
        proceed(tx, order, kits_in(tx, order), now, context)


def begun(tx: Tx, order_id: str, parts: Sequence[Any]) -> bool:
    """Whether any of the order's sales exists, or may be on its way: then nothing is planned anew."""
    if any(p.sale_id is not None for p in parts):
        return True
    open_ = operations.open_in_lane(tx, lane_of(order_id))
    return any(op.kind.startswith("sale.") or op.kind == "order.import" for op in open_)


def _goods(order: Order) -> list[list[Any]]:
    return sorted([line.line_id, line.sku, line.quantity] for line in order.lines)


def _edited(
    tx: Tx, before: Order, order: Order, parts: Sequence[Any], now: datetime, context: Context
) -> None:  # fmt: skip
    """More units are in flight at once; fewer only where nobody was told of them. A person changes the sale."""
    old = {(u.line_id, u.sku): u.units for u in units_in_flight(before, kits_in(tx, before))}
    new = units_in_flight(order, kits_in(tx, order))
    if parts:
        more = [
            msgspec.structs.replace(
                u,
                units=u.units - old.get((u.line_id, u.sku), 0),
                slot=EDITED + order.version,
                location=parts[0].location,
            )
            for u in new
            if u.units > old.get((u.line_id, u.sku), 0)
        ]
        demand.capture(tx, more, now)
        actual = {"lines": _goods(order)}
        context.open_case(
            tx, "line_changed", f"order:{order.order_id}", now, expected={"lines": _goods(before)}, actual=actual
        )
    else:
        count_anew(tx, order, now)
    goods = [line for line in order.lines if line.sku]
    gone = [line for line in before.lines if line.sku and line.line_id not in {x.line_id for x in goods}]
    tx.run(
        book.sql.change_lines,
        order_id=order.order_id,
        line_id=[line.line_id for line in (*goods, *gone)],
        sku=[line.sku for line in (*goods, *gone)],
        channel=[line.channel or "" for line in (*goods, *gone)],
        mode=[line.mode.value for line in (*goods, *gone)],
        units=[line.quantity for line in goods] + [0] * len(gone),
    )
    known = {line.line_id for line in before.lines}
    adjusting.begin(tx, order.order_id, [line for line in goods if line.line_id not in known], context)
    book.tell(tx, order.order_id, "lines changed", now, before=_goods(before), after=_goods(order))


def count_anew(tx: Tx, order: Order, now: datetime) -> None:
    """Other units of an order nobody was told of are in flight; each version of it counts once."""
    left = remaining(order)
    demand.release(tx, order.order_id, None, "lines changed", now)
    units = units_in_flight(left, kits_in(tx, left))
    demand.capture(tx, [msgspec.structs.replace(u, slot=EDITED + order.version) for u in units if u.units], now)


# --- Tried again, by a person ----------------------------------------------------------------------------------------


def retry(tx: Tx, order_id: str, now: datetime, context: Context) -> bool:
    """Lets a waiting or held order go on (a case was replayed); False when it does not wait for that.

    What has no sale is planned anew. Where a draft is recorded its lines are written and compared again, as they
    follow from the order and the settings of today; where staff voided the sale another one is made.
    """
    row = book.lock(tx, order_id)
    if row is None or row.stage not in ("waiting", "held"):
        return False
    order, parts = book.order_of(row), tx.all(book.sql.parts_of, order_id=order_id)
    if not begun(tx, order_id, parts):
        proceed(tx, order, kits_in(tx, order), now, context)
        return True
    held = [p for p in parts if p.state == "held"]
    if not held:
        return False
    revised = revised_parts(tx, order, parts, context)
    if isinstance(revised, list):
        hold(tx, order, revised, now, context)
        return True
    book.stage(tx, order_id, "exporting", now)
    for part in held:
        _again(tx, part, revised.get(part.part), now, context)
    book.tell(tx, order_id, "tried again", now, parts=[p.part for p in held])
    return True


def accept_totals(tx: Tx, order_id: str, actor: str, reason: str, now: datetime, context: Context) -> list[Any]:
    """A person takes the sales of a held order at the totals the back office has; returns the parts let go.

    Each with (part, expected, actual). Only an order that is held because of its totals, and only these very totals:
    if the next comparison shows others, the order is held again.
    """
    row = book.lock(tx, order_id)
    if row is None or row.stage != "held" or "totals_differ" not in row.hold_cause:
        return []
    parts = tx.all(book.sql.accept_totals, order_id=order_id)
    for part in parts:
        book.tell(
            tx, order_id, "totals accepted", now, part=part.part, actor=actor, reason=reason, expected=part.expected,
            accepted=part.actual,
        )  # fmt: skip
    if parts:
        retry(tx, order_id, now, context)
    return parts


def revised_parts(
    tx: Tx, order: Order, parts: Sequence[Any], context: Context
) -> dict[int, sales.Part] | list[Finding]:  # fmt: skip
    """What the parts' sales shall be by today's settings, by number; or why there can be none."""
    order = remaining(lines.as_booked(tx, order))
    if found := wrong_with(tx, order, context):
        return found
    kits = kits_in(tx, order)
    assignment: dict[str, list[tuple[str, int]]] = {}
    taken: dict[str, str] = {}
    carried: dict[Any, int] = {}
    for part in parts:
        load = tx.all(book.sql.part_lines, order_id=order.order_id, part=part.part)
        carried[_carries(part.location, [(line.line_id, line.units) for line in load])] = part.part
        for line in load:
            assignment.setdefault(line.line_id, []).append((part.location, line.units))
            taken[line.line_id] = line.rule
    if any(
        sum(units for _, units in assignment.get(line.line_id, ())) != line.quantity
        for line in rules.goods(order, kits)
    ):
        return {}  # Edited by hand: the sales stay as they were planned.
    zone = ZoneInfo(context.settings.cin7_core.time_zone)
    planned = sales.drafts(order, assignment, context.settings, kits=kits, today_zone=zone, taken=taken)
    if trouble := [p for p in planned if isinstance(p, Finding)]:
        return trouble
    again = {
        p.part: p
        for p in planned
        if isinstance(p, sales.Part)
        and carried.get(_carries(p.location, [(line, units) for line, _, units in p.lines])) == p.part
    }
    # Moved by hand, or its lines leave by other ways now: all stay as planned, for charges stand on one part only.
    return again if len(again) == len(parts) else {}


def _carries(location: str, lines: Iterable[tuple[str, int]]) -> tuple[str, tuple[tuple[str, int], ...]]:
    return location, tuple(sorted(lines))


def with_its_header(draft: SaleDraft, part: Any) -> SaleDraft:
    """A draft computed anew; a sale that is there already keeps the reference and the rate its header was made with."""
    draft = msgspec.structs.replace(draft, ref=part.ref)
    if part.sale_id is None or part.sale_gone:
        return draft
    return msgspec.structs.replace(draft, currency_rate=msgspec.convert(part.draft, SaleDraft).currency_rate)


def _again(tx: Tx, part: Any, revised: sales.Part | None, now: datetime, context: Context) -> None:
    draft = book.text(with_its_header(revised.draft, part) if revised else part.draft)
    expected = book.text(revised.expected if revised else part.expected)
    state = tx.value(
        book.sql.revise_part, order_id=part.order_id, part=part.part, draft=draft, expected=expected
    )  # fmt: skip
    if state == "planned" or part.target in rules.ONE_CALL:
        context.owe_part(tx, part.order_id, part.part, part.target, now, search=True)
    else:
        context.owe(tx, part.order_id, part.target, "sale.lines", {"part": part.part}, now)
