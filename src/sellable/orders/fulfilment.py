"""What the back office did with a sale: allocations kept or lost, shipments out, and telling the storefront once.

A sale is read whole whenever something hints that it changed; what it says now is compared with what we know. One
rule: evidence that is gone puts its units back in flight before anything else is decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import (
    DeliveryDraft,
    RawOrder,
    Sale,
)
from sellable.domain.orders import OrderState, Parcel, Shipment
from sellable.domain.states import Machine, may
from sellable.domain.stock import OUTSIDE, Kind, Movement, State
from sellable.orders import adjusting, announcing, despatch, statuses
from sellable.orders.context import STOREFRONT, Context
from sellable.orders.evidence import allocated, asked_of, components_of, demand_of, revoke, units_on
from sellable.orders.export import backordered, differing, went_out
from sellable.orders.rules import ONE_CALL
from sellable.orders.telling import LEFT, Telling
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.inbox import InboxRow
from sellable.runtime.operations import Done, Operation, Outcome, Rejected
from sellable.runtime.wanted import want
from sellable.stock import demand, ledger

WAITS_MAX = timedelta(hours=4)
"""Units that a warehouse has not set aside for so long since their order was planned are somebody's to look at."""
MORE_ON_THE_SALE = "more on the sale than ordered"


def on_sale(tx: Tx, row: InboxRow, now: datetime, *, context: Context) -> bool:
    """Inbox handler: a sale as read, with the causal numbers around the reading in the row's meta.

    False where nothing of it was taken in for now, and it is read again: what came back waits for what left.
    """
    sale = msgspec.json.decode(row.body, type=Sale)
    a0, a1 = row.meta["a0"], row.meta["a1"]
    part = tx.one(book.sql.part_of_sale, sale_id=sale.sale_id)
    if part is None:
        return True
    head = book.lock(tx, part.order_id)
    part = book.part_of(tx, part.order_id, part.part)
    if part.state in ("voided", "dropped", "voiding", "planned", "created"):
        return bool(part.state != "voiding")
    if a0 < part.allocation_seq:
        # It began before the newest thing we know of this sale: it may show what was, so it is read once more.
        want(tx, part.target, "sale", [sale.sale_id], 2, now)
        return False
    if part.target in ONE_CALL and sale.faults:
        context.open_case(
            tx, "sale_state_unknown", f"vendor:{part.target}", now, expected={"states": "mapped"},
            actual={"order": part.order_id, "unreadable": list(sale.faults)},
        )  # fmt: skip
        if sale.status == "other":
            return True  # A word of a warehouse that nobody mapped proves nothing, for better or worse.
    elif sale.faults:
        context.open_case(
            tx, "shipment_unmatched", f"order:{part.order_id}", now, expected={"sale": "readable"},
            actual={"unreadable": list(sale.faults)}, evidence=[f"sale:{part.sale_id}"],
        )  # fmt: skip
    holds = False
    if sale.status == "authorised":
        if part.state == "held":
            # First, for it ends the cases that held the order; what is still another than ours is told anew below.
            _back_again(tx, part, sale, now, context)
        holds = _follow_allocation(tx, part, sale, now, context)
        part = book.part_of(tx, part.order_id, part.part)
    elif part.state in ("authorised", "shipped", "held"):
        _changed_by_staff(tx, part, sale, now, context)
    tx.run(
        book.sql.sale_read,
        order_id=part.order_id,
        part=part.part,
        updated=sale.updated,
        picked=sale.picked,
        holds=holds,
        a0=a0,
    )
    take_shipments(tx, part, sale.shipments, now, context, whole=not sale.faults)
    left = sale.shipments or sale.stage == "despatched" or part.state == "shipped"
    if sale.picked and not part.picked and not left:
        _picked(tx, part, now, context)
    finish(tx, head, part, a1, now)
    return True


def _picked(tx: Tx, part: Any, now: datetime, context: Context) -> None:
    book.tell(tx, part.order_id, "picked", now, part=part.part)
    live = [p for p in tx.all(book.sql.parts_of, order_id=part.order_id) if p.state not in ("voided", "dropped")]
    if all(p.picked for p in live):
        context.owe(tx, part.order_id, STOREFRONT, "order.ready", {"part": part.part}, now)


# --- Allocation ------------------------------------------------------------------------------------------------------


def _follow_allocation(tx: Tx, part: Any, sale: Sale, now: datetime, context: Context) -> bool:
    """Compares what the sale holds with our evidence; losses count at once, gains wait for visibility.

    False when less is held than we had evidence of.
    """
    if sale.location and sale.location != part.location:
        if not _relocated(tx, part, sale, now, context):
            return False
        part = book.part_of(tx, part.order_id, part.part)
    lines = [(line.sku, line.quantity, line.backorder) for line in sale.lines]
    _report_more(tx, part, sale, now, context)
    by_component = components_of(tx, part, allocated(lines))
    have = _evidenced(tx, part)
    kept = {sku: min(units, by_component.get(sku, 0)) for sku, units in have.items()}
    lost = kept != have
    if lost:
        demand.evidence(tx, part.order_id, part.location, kept, 0, now, part.beside)
        holds = {"lines": [list(line) for line in lines]}
        if min(_beyond(tx, part, sale).values(), default=0) >= 0:
            # Nobody took a line away: what was set aside went to others, or never was, whatever the answer said.
            backordered(tx, part, lines, now, context)
            book.tell(tx, part.order_id, "sale holds less", now, part=part.part, **holds)
        else:
            _report(tx, part, holds, now, context)
    gained = any(units > kept.get(sku, 0) for sku, units in by_component.items())
    if lost or gained:
        seq = book.allocation_news(tx, part.order_id, part.part)
        payload = {"part": part.part, "location": part.location, "what": "allocated", "lines": lines, "seq": seq}
        context.owe_visible(tx, part.order_id, payload, now)
    if not any(short for _, _, short in lines):
        context.clear_cases(tx, ["backordered"], f"order:{part.order_id}", now)
    elif part.target in ONE_CALL and now - part.at > WAITS_MAX:
        # Nothing answered at the import whether there is enough: a warehouse allocates in its own time.
        backordered(tx, part, lines, now, context)
    return not lost


def _beyond(tx: Tx, part: Any, sale: Sale) -> Counter[str]:
    """Units by SKU that the sale asks for beyond what its part carries; less than nothing where lines are gone."""
    found = units_on(sale)
    for sku, units in asked_of(tx, part):
        found[sku] -= units
    return found


def _report_more(tx: Tx, part: Any, sale: Sale, now: datetime, context: Context) -> None:
    """Units on the sale that its part does not carry, as when staff merged two sales: said once for the same units."""
    more = {"part": part.part, "units": dict(sorted((+_beyond(tx, part, sale)).items()))}
    said = tx.value(book.sql.last_told, order_id=part.order_id, what=MORE_ON_THE_SALE, part=part.part)
    if said == more or not (said or more["units"]):
        return
    book.tell(tx, part.order_id, MORE_ON_THE_SALE, now, **more)
    if more["units"]:
        context.open_case(
            tx, "sale_changed_by_staff", f"order:{part.order_id}", now, expected={"more than ordered": {}},
            actual={"more than ordered": more["units"]},
            evidence=[f"order:{part.order_id}", f"sale:{part.sale_id}"],
        )  # fmt: skip


def _evidenced(tx: Tx, part: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in demand_of(tx, part):
        found[row.sku] = found.get(row.sku, 0) + row.evidenced_units
    return found


def _relocated(tx: Tx, part: Any, sale: Sale, now: datetime, context: Context) -> bool:
    """Staff moved the sale: its units weigh on the new location, in flight until seen there.

    False where the book cannot follow: the place is not ours, or another sale of the order is there already, whose
    units would no longer be told from these. Then they stay in flight where they were, until they ship.
    """
    revoke(tx, part, "sale moved by staff", now)
    ours = sale.location in {place.name for place in context.settings.locations}
    others = [p for p in tx.all(book.sql.parts_of, order_id=part.order_id) if p.part != part.part]
    shared = any(p.location == sale.location and p.state not in ("voided", "dropped") for p in others)
    follows = ours and not shared
    if follows:
        demand.relocate(tx, part.order_id, part.location, sale.location, now, part.beside)
        tx.run(book.sql.move_part, order_id=part.order_id, part=part.part, location=sale.location)
    _report(tx, part, {"location": sale.location, "followed": follows}, now, context)
    return follows


def _back_again(tx: Tx, part: Any, sale: Sale, now: datetime, context: Context) -> None:
    """A held part whose sale is authorised after all, by staff or in a former life: right totals let it go on."""
    if sale.totals is None and part.target not in ONE_CALL:
        return
    if sale.totals is not None:
        actual = book.text(sale.totals)
        tx.run(book.sql.record_actual, order_id=part.order_id, part=part.part, actual=actual, number=sale.number)
    # A warehouse tells no totals: those of our document were compared before it was sent.
    differences = differing(part, sale.totals) if sale.totals else []
    if differences:
        context.open_case(
            tx, "totals_differ", f"order:{part.order_id}", now, expected={f: w for f, w, _ in differences},
            actual={f: got for f, _, got in differences}, evidence=[f"order:{part.order_id}", f"sale:{part.sale_id}"],
        )  # fmt: skip
        book.stage(tx, part.order_id, "held", now, "totals_differ")
        return
    tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="authorised")
    book.tell(tx, part.order_id, "sale is authorised", now, part=part.part, sale=part.sale_id, number=sale.number)
    went_out(tx, part.order_id, part.part, now, context)


def _changed_by_staff(tx: Tx, part: Any, sale: Sale, now: datetime, context: Context) -> None:
    """Undone or voided over there: the order lives, so its units go back in flight and a person decides."""
    if sale.status == "voided":
        tx.run(book.sql.sale_gone, order_id=part.order_id, part=part.part)
    # A held part may have been seen to hold units too (adopted, or totals that differ): without this its evidence would
    # stay, no reading could ever prove a raise of its SKUs, and they would never rise again.
    revoke(tx, part, f"sale is {sale.status}", now)
    if part.state == "held":
        return
    tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="held")
    book.stage(tx, part.order_id, "held", now, "sale_changed_by_staff")
    _report(tx, part, {"status": sale.raw_status or sale.status}, now, context)


def _report(tx: Tx, part: Any, actual: dict[str, Any], now: datetime, context: Context) -> None:
    context.open_case(
        tx, "sale_changed_by_staff", f"order:{part.order_id}", now,
        expected={"status": "authorised", "location": part.location}, actual=actual,
        evidence=[f"order:{part.order_id}", f"sale:{part.sale_id}"],
    )  # fmt: skip
    book.tell(tx, part.order_id, "sale changed by staff", now, part=part.part, **actual)


# --- Shipments -------------------------------------------------------------------------------------------------------


def take_shipments(
    tx: Tx, part: Any, shipments: Sequence[Shipment], now: datetime, context: Context, *, whole: bool
) -> None:
    """Takes what left of a part; `whole` says that nothing about these shipments could not be read."""
    found = [_shipped(tx, part, shipment, now, context) for shipment in shipments]
    if found and whole:
        _contradicted(tx, part, [conflict for each in found for conflict in each], now, context)


def _contradicted(
    tx: Tx, part: Any, found: Sequence[tuple[Any, Any]], now: datetime, context: Context
) -> None:  # fmt: skip
    """Shipments that are no longer what was recorded of them, as (recorded, said now): the first one counts."""
    if not found:
        return context.clear_cases(tx, ["fact_conflict"], f"order:{part.order_id}", now)
    stamp = book.part_of(tx, part.order_id, part.part).sale_updated
    if stamp and part.sale_updated and stamp < part.sale_updated:
        return None  # What an older reading shows was so once: it contradicts nothing.
    context.open_case(
        tx, "fact_conflict", f"order:{part.order_id}", now, expected={"shipments": [before for before, _ in found]},
        actual={"shipments": [after for _, after in found]}, evidence=[f"sale:{part.sale_id}"],
    )  # fmt: skip
    return None


def _shipped(
    tx: Tx, part: Any, shipment: Shipment, now: datetime, context: Context
) -> list[tuple[Any, Any]]:  # fmt: skip
    """Takes what is new of a shipment: facts once, a delivery owed to the storefront, cases for what does not fit.

    Returns what contradicts a recorded fact, as (recorded, said now); it changes nothing.
    """
    pieces = tx.all(book.sql.pieces_of, order_id=part.order_id, part=part.part)
    known = [msgspec.convert(p.document, Shipment) for p in pieces if p.root == shipment.shipment_id]
    for old in known:
        _renew(tx, part, old, shipment, now, context)
    conflicts: list[tuple[Any, Any]] = []
    if despatch.taken_back(shipment, known):
        conflicts.append((_told_of(shipment, despatch.summed(known)), _told_of(shipment, dict(shipment.items))))
    piece = despatch.news(shipment, known)
    if piece is None:
        return conflicts
    lines = carried(tx, part)
    so_far = despatch.summed([*(msgspec.convert(p.document, Shipment) for p in pieces), piece])
    placed = despatch.place(lines, so_far)
    items = [(c.line_id, placed.units[c.line_id] - c.shipped) for c in lines if placed.units[c.line_id] > c.shipped]
    if not book.add_shipment(tx, part.order_id, part.part, shipment.shipment_id, piece, items, now):
        first = tx.one(book.sql.shipment, shipment_id=piece.shipment_id)
        assert first is not None
        recorded = {"shipment": piece.shipment_id, "order": first.order_id, "items": first.document["items"]}
        return [*conflicts, (recorded, _told_of(piece, dict(piece.items)))]
    columns = {"line_id": [line for line, _ in items], "units": [units for _, units in items]}
    tx.run(book.sql.ship_part_lines, order_id=part.order_id, part=part.part, **columns)
    tx.all(book.sql.ship_lines, order_id=part.order_id, **columns)
    posted = ledger.post(tx, _movements(part, piece, lines), now)
    conflicts += [(msgspec.to_builtins(c.recorded), msgspec.to_builtins(c.arrived)) for c in posted.conflicts]
    book.tell(
        tx, part.order_id, "shipped", now, part=part.part, shipment=piece.shipment_id,
        items=[list(i) for i in piece.items], parcels=[p.tracking for p in piece.parcels],
    )  # fmt: skip
    for kind, found in (("over_shipped", placed.over), ("shipment_unmatched", placed.strange)):
        if found:
            context.open_case(
                tx, kind, f"order:{part.order_id}", now, expected={"lines": [[c.sku, c.units] for c in lines]},
                actual={"shipment": piece.shipment_id, "items": found}, evidence=[f"sale:{part.sale_id}"],
            )  # fmt: skip
    adjusting.follow(tx, part.order_id, now, context)
    if items:
        _deliver(tx, part, piece, now, context)
        announcing.owe(tx, part.order_id, now, context)
    return conflicts


def _told_of(shipment: Shipment, items: dict[str, int]) -> dict[str, Any]:
    return {"shipment": shipment.shipment_id, "items": items}


def _renew(tx: Tx, part: Any, piece: Shipment, shipment: Shipment, now: datetime, context: Context) -> None:
    """A parcel we know has another tracking number by now."""
    parcels = {p.parcel_id: p for p in shipment.parcels}
    renewed = tuple(
        msgspec.structs.replace(parcels.get(p.parcel_id, p), items=p.items) for p in piece.parcels
    )  # fmt: skip
    if renewed == piece.parcels:
        return
    tx.run(
        book.sql.update_shipment, shipment_id=piece.shipment_id,
        document=book.text(msgspec.structs.replace(piece, parcels=renewed)),
    )  # fmt: skip
    book.tell(
        tx, part.order_id, "tracking changed", now, shipment=piece.shipment_id, parcels=[p.tracking for p in renewed]
    )  # fmt: skip
    _deliver(tx, part, piece, now, context)


def _deliver(tx: Tx, part: Any, shipment: Shipment, now: datetime, context: Context) -> None:
    payload = {"part": part.part, "shipment": shipment.shipment_id}
    context.owe(tx, part.order_id, STOREFRONT, "order.deliver", payload, now)


def carried(tx: Tx, part: Any) -> list[despatch.Carried]:
    """The part's lines with what one unit is made of, as counted when the order was taken."""
    made: dict[str, dict[str, int]] = {}
    for row in tx.all(book.sql.recipes_of_part, order_id=part.order_id):
        made.setdefault(row.line_id, {})[row.sku] = row.units
    return [
        despatch.Carried(
            line_id=line.line_id,
            sku=line.sku,
            units=line.units,
            shipped=line.shipped,
            recipe={sku: per for sku, per in made.get(line.line_id, {}).items() if sku != line.sku and per},
        )
        for line in tx.all(book.sql.part_lines, order_id=part.order_id, part=part.part)
    ]


def _movements(part: Any, shipment: Shipment, lines: Sequence[despatch.Carried]) -> list[Movement]:
    """What left, by component: a kit has no stock of its own."""
    recipes = {c.sku: c.recipe for c in lines if c.recipe}
    left: dict[str, int] = {}
    for sku, units in shipment.items:
        for component, per_kit in (recipes.get(sku) or {sku: 1}).items():
            left[component] = left.get(component, 0) + units * per_kit
    return [
        Movement(
            source=part.target,
            resource=shipment.shipment_id,
            line=sku,
            kind=Kind.SHIPPED,
            sku=sku,
            quantity=units,
            from_location=part.location,
            from_state=State.ALLOCATED,
            to_location=OUTSIDE,
            to_state=State.CUSTOMER,
        )
        for sku, units in left.items()
    ]


def finish(tx: Tx, head: Any, part: Any, a1: int, now: datetime) -> None:
    """When everything of a part has left, as read before causal `a1`, its units are contained for good."""
    order_id, number = part.order_id, part.part
    lines = tx.all(book.sql.part_lines, order_id=order_id, part=number)
    if not lines or any(line.shipped < line.units for line in lines):
        return
    part = book.part_of(tx, order_id, number)
    if part.state != "shipped":
        tx.run(book.sql.set_part_state, order_id=order_id, part=number, state="shipped")
        demand.shipped(tx, order_id, part.location, a1, now, part.beside)
    parts = tx.all(book.sql.parts_of, order_id=order_id)
    if head.stage != "shipped" and all(p.state in ("shipped", "dropped", "voided") for p in parts):
        book.stage(tx, order_id, "shipped", now)
        book.tell(tx, order_id, "all shipped", now)


# --- Telling the storefront ------------------------------------------------------------------------------------------


class Delivering(Telling):
    """Writes deliveries, parcels and states to the storefront's order."""

    async def deliver(self, op: Operation) -> Outcome:
        """Adds the delivery and its parcels unless their keys are there; repeating it changes nothing."""
        if await self._is_left(op):
            return LEFT
        shipment, lines, done = await self._store.read(_to_tell, op.payload)
        states = await self._states(op, "shipped" if done else "partly_shipped")
        draft = delivery_of(op.payload["order_id"], shipment, lines, states=states)

        async def deliver(order: RawOrder) -> dict[str, Any]:
            return {"version": (await self._storefront.add_delivery(order, draft, lane="orders")).version}

        return await self._change(op, deliver)

    async def ready(self, op: Operation) -> Outcome:
        """Everything is picked and nothing has left yet."""
        if await self._is_left(op):
            return LEFT
        shipment_state, order_state = await self._states(op, "ready")

        async def get_ready(order: RawOrder) -> dict[str, Any]:
            after = await self._storefront.set_states(
                order, order_state=order_state, shipment_state=shipment_state, lane="orders"
            )
            return {"version": after.version}

        return await self._change(op, get_ready)

    async def _states(self, op: Operation, event: statuses.Event) -> tuple[str | None, str | None]:
        """What this market calls it."""
        order = await self._store.read(book.read_order, op.payload["order_id"])
        return statuses.told_as(event, order.store or "", order.country or "", self._context.settings)

    def told(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The storefront shows the shipment, or a case says why not."""
        order_id = op.payload["order_id"]
        if isinstance(outcome, Rejected):
            self._refused(tx, op, outcome, now)
        elif isinstance(outcome, Done):
            if op.kind == "order.deliver":
                tx.run(book.sql.shipment_told, shipment_id=op.payload["shipment"])
            self._version(tx, op, outcome)
            self._conflict(tx, op, outcome, now)
            who = "left to others" if outcome.result.get("shadow") else "storefront told"
            book.tell(tx, order_id, f"{who}: {op.kind}", now, part=op.payload["part"])

    def _conflict(self, tx: Tx, op: Operation, outcome: Done, now: datetime) -> None:
        """A shipment's state cannot follow the one we know: it was left as it is, and somebody must see that.

        A cancelled order whose goods left has its case already.
        """
        head = book.lock(tx, op.payload["order_id"])
        if head is None or op.kind != "order.deliver" or outcome.result.get("shadow"):
            return
        order = book.order_of(head)
        if order.state is OrderState.CANCELLED or may(Machine.SHIPMENT, order.shipment_state, "Shipped"):
            return
        self._context.open_case(
            tx, "status_conflict", f"order:{order.order_id}", now, expected={Machine.SHIPMENT.value: "Shipped"},
            actual={
                Machine.SHIPMENT.value: order.shipment_state, "in version": order.version,
                "storefront's version": outcome.result.get("version"),
            },
            evidence=[f"operation:{op.id}"],
        )  # fmt: skip


def delivery_of(
    order_id: str, shipment: Shipment, lines: Sequence[tuple[str, str, int]], *, states: tuple[str | None, str | None]
) -> DeliveryDraft:
    """A shipment as a delivery; `lines` are (line id, sku, units of this shipment), `states` as in statuses.told_as."""
    return DeliveryDraft(
        order_id=order_id,
        delivery_key=shipment.shipment_id,
        items=tuple((line, units) for line, _, units in lines),
        parcels=tuple(
            (p.parcel_id, p.carrier, p.tracking, p.tracking_url, _parcel_items(p, lines)) for p in shipment.parcels
        ),
        shipment_state=states[0],
        order_state=states[1],
    )


def _parcel_items(parcel: Parcel, lines: Sequence[tuple[str, str, int]]) -> tuple[tuple[str, int], ...]:
    left = dict(parcel.items)
    found = []
    for line, sku, units in lines:
        count = min(units, left.get(sku, 0))
        if count:
            left[sku] -= count
            found.append((line, count))
    return tuple(found)


def _to_tell(tx: ReadTx, payload: dict[str, Any]) -> tuple[Shipment, list[tuple[str, str, int]], bool]:
    row = tx.one(book.sql.shipment, shipment_id=payload["shipment"])
    if row is None:
        raise LookupError(f"shipment {payload['shipment']} is not in the book")
    skus = {line.line_id: line.sku for line in tx.all(book.sql.lines_of, order_id=payload["order_id"])}
    lines = [(line, skus[line], units) for line, units in row.items]
    others = tx.value(book.sql.others_to_tell, order_id=payload["order_id"], shipment_id=payload["shipment"])
    complete = not others and not tx.value(book.sql.units_to_ship, order_id=payload["order_id"])
    return msgspec.convert(row.document, Shipment), lines, complete
