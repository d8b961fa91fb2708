"""Import: a part of an order for a back office that takes it whole becomes exactly one order there.

    planned ─ order.import ─► authorised ─ order.note ─► told
                  │                └─ read again and again: what it has set aside becomes evidence
                  ├─ duplicate: the reference was taken before; its content is compared before it counts as done
                  ├─ failure: held behind a case
                  └─ unknown: looked up by our reference, waited for, looked up again, only then sent again

Orders that wait go together in one call, and each has its own answer: one that is refused, taken already or left open
holds none of the others. The reference is ours and the same for ever, so a repeat is a duplicate over there and never a
second order. One rule: the document's own totals are compared with the order's before it is sent, for nobody over there
does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import NOT_THERE, Imported, OrderImport, Refused, Sale, SaleDraft, SaleRow, SaleTotals
from sellable.domain.money import to_minor
from sellable.orders.context import Context
from sellable.orders.evidence import units_on
from sellable.orders.export import refused, sooner_or_later, went_out
from sellable.orders.totals import Expected, compare
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import Done, NotApplied, Operation, Outcome, Rejected, Unknown
from sellable.runtime.wanted import want

OPEN = ("planned", "created")
"""States of a part whose import is still to be made, or to be looked at once more."""


class Importing:
    """The operation that makes an order at a back office which takes it whole."""

    def __init__(self, store: Store, clock: Clock, targets: Mapping[str, OrderImport], context: Context) -> None:
        self._store = store
        self._clock = clock
        self._targets = targets
        self._context = context

    async def prepare(self, op: Operation) -> SaleDraft | Outcome:
        """The document, its totals compared before; where the past is uncertain its reference is looked up first."""
        part = await self._store.read(book.read_part, op.payload["order_id"], op.payload["part"])
        if part is None or part.state not in OPEN:
            return Done({"nothing": True})  # Cancelled meanwhile: what is not there need not be made.
        if differences := differing(part):
            return Done({"differs": [list(each) for each in differences]})
        if (op.payload["search"] or not op.first_send) and (found := await self._there(op, part)) is not None:
            return found
        return msgspec.convert(part.draft, SaleDraft)

    async def call(self, system: str, documents: Sequence[SaleDraft]) -> Sequence[Imported]:
        """One import for all of them."""
        return await self._targets[system].import_orders(documents, lane="orders")

    async def answered(self, op: Operation, answer: Imported) -> Outcome:
        """What became of one document: a duplicate counts as done only when its content is what was meant."""
        match answer.outcome:
            case "success":
                return Done({})
            case "failure":
                return Rejected(answer.message or "refused", {"code": "import", "detail": answer.detail})
            case "duplicate":
                part = await self._store.read(book.read_part, op.payload["order_id"], op.payload["part"])
                found = await self._there(op, part)
                return found or Unknown("the reference is taken, and nothing is found under it")
            case _:
                return Unknown("the answer does not say what became of the order")

    async def resolve(self, op: Operation) -> Outcome:
        """After an unknown outcome: look up, wait until a late order must be found, look up again."""
        part = await self._store.read(book.read_part, op.payload["order_id"], op.payload["part"])
        if part is None:
            return Done({"nothing": True})
        settle_seconds = self._context.office(op.system).search_settle_seconds
        found = await sooner_or_later(partial(self._there, op, part), self._clock, settle_seconds)
        if found is None and part.state not in OPEN:
            return Done({"nothing": True})
        return found or NotApplied("no order under our reference after the settle time")

    async def _there(self, op: Operation, part: Any) -> Outcome | None:
        """What is under our reference, compared with what we meant to send; None when nothing is."""
        sale = await self._targets[op.system].order_detail(part.ref, lane="orders")
        if sale is None:
            return None
        if sale.status == "voided":
            return Rejected("the order was cancelled at the back office", {"code": "voided"})
        asked, has = units_of(part), units_on(sale)
        return Done({} if asked == has else {"other": {"asked": dict(asked), "has": dict(has)}})

    def settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The order is there and counts: the storefront is told, and what it sets aside is asked for."""
        if isinstance(outcome, Rejected):
            return refused(tx, op, outcome, now, self._context)
        if not isinstance(outcome, Done) or outcome.result.get("nothing"):
            return None
        order_id, number = op.payload["order_id"], op.payload["part"]
        part = book.part_of(tx, order_id, number)
        if differs := outcome.result.get("differs"):
            return self._hold(
                tx, op, part, "totals_differ", {field: we for field, we, _ in differs},
                {field: they for field, _, they in differs}, now,
            )  # fmt: skip
        if other := outcome.result.get("other"):
            return self._hold(
                tx, op, part, "import_differs", {"units": other["asked"]}, {"units": other["has"]}, now
            )  # fmt: skip
        tx.run(book.sql.record_sale, order_id=order_id, part=number, sale_id=part.ref, number=part.ref)
        book.tell(tx, order_id, "order imported", now, part=number, at=part.target, ref=part.ref)
        if part.state in OPEN:
            tx.run(book.sql.set_part_state, order_id=order_id, part=number, state="authorised")
            want(tx, part.target, "sale", [part.ref], 2, now)
            went_out(tx, order_id, number, now, self._context)
        return None

    def _hold(
        self,
        tx: Tx,
        op: Operation,
        part: Any,
        kind: str,
        expected: dict[str, Any],
        actual: dict[str, Any],
        now: datetime,
    ) -> None:
        if part.state not in OPEN:
            return
        tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="held")
        self._context.open_case(
            tx, kind, f"order:{part.order_id}", now, expected={"part": part.part, **expected}, actual=actual,
            evidence=[f"order:{part.order_id}", f"operation:{op.id}"],
        )  # fmt: skip
        book.stage(tx, part.order_id, "held", now, kind)
        book.tell(tx, part.order_id, "held", now, causes=kind, part=part.part)


class Sales:
    """A warehouse's orders asked for as if they were sales: what cancels and shortens them is the same for both.

    Nothing there is a draft and nothing is changed: undoing cancels the order and frees its reference, so that the rest
    can be imported under it; voiding leaves the reference taken, so that no late copy makes a second order.
    """

    def __init__(self, port: OrderImport) -> None:
        self._port = port

    async def read_sale(self, sale_id: str, *, lane: str) -> Sale:
        """One call; an order that is not there reads as voided."""
        return await self._port.order_detail(sale_id, lane=lane) or _gone(sale_id)

    async def find_by_ref(self, ref: str, *, lane: str) -> list[SaleRow]:
        """One call: the order under this reference, if there is one."""
        sale = await self._port.order_detail(ref, lane=lane)
        if sale is None:
            return []
        return [SaleRow(sale_id=ref, number=ref, ref=ref, status=sale.status, updated="", shipped=False)]

    async def void_sale(self, sale_id: str, *, undo: bool, lane: str) -> None:
        """One call, two where nothing was cancelled. Refused(code=too_late) for what is being packed or has left."""
        if await self._port.cancel_order(sale_id, free_reference=undo, lane=lane):
            return
        sale = await self.read_sale(sale_id, lane=lane)
        if sale.status != "voided":
            raise Refused("no cancel operation performed", code="too_late", detail={"stage": sale.stage})


def _gone(ref: str) -> Sale:
    return Sale(
        sale_id=ref, number=ref, ref=ref, status="voided", location="", lines=(), totals=None, shipments=(),
        picked=False, updated="", raw_status=NOT_THERE,
    )  # fmt: skip


# --- What was meant and what is there; pure --------------------------------------------------------------------------


def differing(part: Any) -> list[tuple[str, int, int]]:
    """(field, of the order, of the document) of totals of a part's own document that are not the order's."""
    draft = msgspec.convert(part.draft, SaleDraft)
    return compare(msgspec.convert(part.expected, Expected), totals_of(draft))


def totals_of(draft: SaleDraft) -> SaleTotals:
    """What a document comes to, in minor units: lines and charges added up as they will be written."""
    items: Sequence[Any] = (*draft.lines, *draft.charges)
    total = sum(to_minor(each.total, draft.digits) for each in items)
    tax = sum(to_minor(each.tax, draft.digits) for each in items)
    gross = total if draft.tax_included else total + tax
    return SaleTotals(net=gross - tax, tax=tax, gross=gross)


def units_of(part: Any) -> Counter[str]:
    """Units by SKU that a part's document asks for, as the back office knows them."""
    found: Counter[str] = Counter()
    for line in part.draft["lines"]:
        found[line["sku"]] += line["quantity"]
    return found
