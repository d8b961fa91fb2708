"""Adoption: a sale of an order that is there already is taken over, so that none is made a second time.

Asked of orders that somebody else may have exported: those placed before `orders.start_at`, those another system has
noted something on, and all of them while this database is young. Looked for by what is noted on the order, then by our
reference and by the exact customer reference, which is where integrations put the storefront's order number.

One rule: exactly one sale, or a person decides. An order placed before `start_at` is never created.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from sellable.book import book
from sellable.connectors.port import OrderImport, OrderTarget, Refused, SaleRow, StorefrontOrders
from sellable.domain.orders import Order
from sellable.orders import capture, lines, rules, sales
from sellable.orders.context import Context
from sellable.orders.remaining import remaining
from sellable.orders.rules import BACK_OFFICE, Finding
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import Done, Operation, Outcome, Rejected
from sellable.runtime.wanted import want
from sellable.stock import demand

OTHERS_MAY_TAKE, LOOK_AGAIN = timedelta(hours=1), timedelta(minutes=5)
"""So long an order of a channel that only shadows may lack its sale before it is ignored, and how often it is looked
for: whoever exports beside us does so in turns of his own."""

_SALE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class There(msgspec.Struct, frozen=True, kw_only=True):
    """A live sale at a back office. `ref` is what its maker gave it; `location` as in SaleRow; `lines` (SKU, units) are
    known of those that were read whole."""

    sale_id: str
    number: str
    ref: str
    status: str
    location: str
    target: str = BACK_OFFICE
    lines: tuple[tuple[str, int], ...] = ()


class Searching:
    """Looks for a sale of an order; it writes nothing outside, so it may be done again."""

    def __init__(
        self,
        store: Store,
        target: OrderTarget,
        context: Context,
        imports: Mapping[str, OrderImport],
        storefront: StorefrontOrders,
    ) -> None:
        self._store = store
        self._target = target
        self._context = context
        self._imports = imports
        self._storefront = storefront

    async def find(self, op: Operation) -> Outcome:
        """What is noted on the order names its sale; else all sales with exactly its number as customer reference.

        The order is read afresh: a former life may have noted its sales after the version that was captured, and an
        id that is noted is surer than any search, whose index may be old.
        """
        order = await self._store.read(book.read_order, op.payload["order_id"])
        if not order.sync:
            raw = await self._storefront.read_order(order.order_id, lane="orders")
            order = self._context.translate(raw.body)
        return Done({"sales": msgspec.to_builtins(await self.there(order))})

    async def there(self, order: Order) -> list[There]:
        """Its live sales: a call for each that is noted on it, or a call a page of a search; and a call for each
        warehouse, where an integration puts the storefront's order number.

        What we imported ourselves in a former life is not looked for: importing it again finds it under its reference.
        """
        there = await self._at_back_office(order) if BACK_OFFICE in self._context.settings.back_offices else []
        for name, port in self._imports.items():
            sale = await port.order_detail(order.label, lane="orders")
            if sale is not None and sale.status != "voided":
                there.append(
                    There(
                        sale_id=sale.sale_id, number=sale.number, ref=sale.ref, status=sale.status,
                        location=sale.location, target=name,
                    )
                )  # fmt: skip
        return there

    async def _at_back_office(self, order: Order) -> list[There]:
        noted = [await self._noted(sale_id) for sale_id in noted_sales(order)]
        there = [sale for sale in noted if sale is not None]
        if not there:
            rows = await self._target.search_sales(order.label, lane="orders")
            there = with_reference(rows, order.label)
            ours, _ = whose(there, order.order_id, self._context.settings.commercetools.project)
            if len(ours) > 1:
                # Several parts: only the sales themselves tell which goods are whose.
                read = [await self._noted(sale.sale_id) for sale in ours]
                whole = {sale.sale_id: sale for sale in read if sale is not None}
                there = [whole.get(sale.sale_id, sale) for sale in there]
        return there

    async def _noted(self, sale_id: str) -> There | None:
        try:
            sale = await self._target.read_sale(sale_id, lane="orders")
        except Refused as refusal:
            if refusal.code != "not_found":
                raise
            return None
        if sale.status == "voided":
            return None
        return There(
            sale_id=sale.sale_id, number=sale.number, ref=sale.ref, status=sale.status, location=sale.location,
            lines=tuple((line.sku, line.quantity) for line in sale.lines),
        )  # fmt: skip

    def settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """Adopts the one sale there is; goes on without, where there is none; or asks a person."""
        order_id = op.payload["order_id"]
        row = book.lock(tx, order_id)
        if row is None or row.stage != "waiting":
            return
        # Parts whose sale was refused are no beginning: the order is planned anew.
        if capture.begun(tx, order_id, tx.all(book.sql.parts_of, order_id=order_id)):
            return
        order, context = book.order_of(row), self._context
        if isinstance(outcome, Rejected):
            refused = {"cause": outcome.cause, **outcome.detail}
            capture.hold(tx, order, [_finding(order, "order_refused", {"step": op.kind}, refused)], now, context)
        elif isinstance(outcome, Done):
            there = msgspec.convert(outcome.result["sales"], list[There])
            self._decide(tx, order, *whose(there, order_id, context.settings.commercetools.project), now)

    def _decide(self, tx: Tx, order: Order, ours: list[There], others: list[There], now: datetime) -> None:
        context, older = self._context, capture.is_older(order, self._context)
        there = [*ours, *others]
        taken = any(tx.one(book.sql.part_of_sale, sale_id=sale.sale_id) for sale in there)
        what = verdict(ours, others, older=older, taken=taken)
        if what == "ask":
            expected = {"sales": "exactly one, of this order only", "customer reference": order.label}
            found = {"sales": [[sale.number, sale.status, sale.location] for sale in there]}
            capture.hold(tx, order, [_finding(order, "two_sales_one_order", expected, found)], now, context)
            return
        context.clear_cases(tx, ["two_sales_one_order"], f"order:{order.order_id}", now)
        if what == "adopt":
            adopt(tx, order, there[0], now, context, ours=bool(ours))
        elif context.shadows(order) and now - order.placed_at < OTHERS_MAY_TAKE:
            capture.look_for_its_sale(tx, order, now, context, now + LOOK_AGAIN)
        elif older:
            demand.release(tx, order.order_id, None, capture.why_not_ours(order, context), now)
            book.stage(tx, order.order_id, "ignored", now, capture.why_not_ours(order, context))
        else:
            kits = capture.kits_in(tx, order)
            made = [
                rules.Made(
                    ref=sale.ref, location=sale.location, lines=sale.lines, sale_id=sale.sale_id, number=sale.number,
                    status=sale.status,
                )
                for sale in ours
            ]  # fmt: skip
            capture.proceed(tx, order, kits, now, context, searched=True, made=made)


def adopt(tx: Tx, order: Order, sale: There, now: datetime, context: Context, *, ours: bool) -> None:
    """One part for the whole order, served by this sale. What it holds and comes to is learnt by reading it.

    A sale that is not authorised holds nothing. Our own draft is completed; somebody else's waits for a person, whose
    replay completes it.
    """
    lines.heard(tx, order, [], now, context)
    order = remaining(order)
    if found := capture.wrong_with(tx, order, context):
        capture.hold(tx, order, found, now, context)
        return
    kits = capture.kits_in(tx, order)
    goods = rules.goods(order, kits)
    known = {place.name for place in context.settings.locations}
    # A place that is not ours is told as a change by staff when the sale is read.
    places = rules.ships_from(goods[0].channel or "", context.settings) if goods else ()
    there = [place for place in places if context.target_of(place) == sale.target] or [*places, ""]
    place = sale.location if sale.location in known else there[0]
    assignment = {line.line_id: [(place, line.quantity)] for line in goods}
    zone = ZoneInfo(context.settings.cin7_core.time_zone)
    planned = sales.drafts(order, assignment, context.settings, kits=kits, today_zone=zone)
    if trouble := [each for each in planned if isinstance(each, Finding)]:
        capture.hold(tx, order, trouble, now, context)
        return
    (part,) = (each for each in planned if isinstance(each, sales.Part))
    # An earlier plan, whose sale was refused, gives way.
    tx.run(book.sql.drop_planned_parts, order_id=order.order_id)
    demand.assign(tx, order.order_id, capture.slots_of(order, assignment, kits), now)
    # Its header is made already, at a rate of its maker's.
    made = msgspec.structs.replace(part.draft, currency_rate=None)
    capture.write_part(tx, order, msgspec.structs.replace(part, draft=made), now)
    key: dict[str, Any] = {"order_id": order.order_id, "part": part.part}
    tx.run(book.sql.record_sale, **key, sale_id=sale.sale_id, number=sale.number)
    book.tell(
        tx, order.order_id, "sale adopted", now, part=part.part, sale=sale.sale_id, number=sale.number,
        found=sale.status, location=sale.location,
    )  # fmt: skip
    book.stage(tx, order.order_id, "exporting", now, "adopted")
    if ours and sale.status == "draft":
        context.owe(tx, order.order_id, part.target, "sale.lines", {"part": part.part}, now)
        return
    tx.run(book.sql.set_part_state, **key, state="held")
    if sale.status == "authorised":
        want(tx, part.target, "sale", [sale.sale_id], 1, now)
        return
    found_so = {"sale": sale.number, "status": sale.status}
    finding = _finding(order, "sale_changed_by_staff", {"status": "authorised"}, found_so)
    capture.hold(tx, order, [finding], now, context)


def _finding(order: Order, kind: str, expected: dict[str, Any], actual: dict[str, Any]) -> Finding:
    return Finding(kind=kind, subject=f"order:{order.order_id}", expected=expected, actual=actual)


# --- What becomes of an order, and which sales are meant; pure --------------------------------------------------------


def verdict(ours: Sequence[There], others: Sequence[There], *, older: bool, taken: bool) -> str:
    """adopt | create | ignore | ask: exactly one sale, or a person decides; an `older` order is never created.

    `taken`: one of them serves another order already. Several of our own, of a former life, are completed by creating.
    """
    count = len(ours) + len(others)
    if taken or (count > 1 and (others or older)):
        return "ask"
    if count == 1:
        return "adopt"
    return "ignore" if older else "create"


def noted_sales(order: Order) -> list[str]:
    """Sale ids among what systems noted on an order: whoever noted it, an id is an id. Commas join several."""
    words = [word.strip().lower() for note in order.sync for word in note.external_id.split(",")]
    return list(dict.fromkeys(word for word in words if _SALE_ID.fullmatch(word)))


def with_reference(rows: Iterable[SaleRow], reference: str) -> list[There]:
    """Live sales with exactly this customer reference: a search for N-1 also finds N-10 and the customer N-1 Ltd."""
    return [
        There(sale_id=row.sale_id, number=row.number, ref=row.ref, status=row.status, location=row.location)
        for row in rows
        if row.reference == reference and row.status != "voided"
    ]


def whose(there: Iterable[There], order_id: str, project: str) -> tuple[list[There], list[There]]:
    """(sales we made for this order, sales somebody else made); those we made for another order are neither."""
    found = list(there)
    ours = [sale for sale in found if sale.ref.startswith(f"{project}:{order_id}:")]
    return ours, [sale for sale in found if not sale.ref.startswith(f"{project}:")]
