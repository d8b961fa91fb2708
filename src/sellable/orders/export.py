"""Export: each part of an order becomes exactly one authorised sale, whatever happens on the way.

    planned ─ sale.create ─► created ─ sale.lines ─► compared ─ sale.authorise ─► authorised ─ order.note ─► told
                  │                        └─ totals differ: held, nothing allocated
                  └─ unknown: search by reference, wait the settle time, search again, only then create

The header is not the effect: lines go only to the one sale id recorded for the part, so a second header that a late
or repeated call leaves behind stays a draft, which a sweep voids. One rule: totals are compared before authorising.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import (
    OrderTarget,
    RawOrder,
    Refused,
    Sale,
    SaleDraft,
    SaleRow,
    SaleTotals,
    Unavailable,
)
from sellable.orders import strays, totals
from sellable.orders.context import SETTLED_BY_EXPORT, STOREFRONT, Context
from sellable.orders.evidence import allocated, asked_of, components_of, revoke
from sellable.orders.telling import LEFT, Telling
from sellable.runtime.budgets import urgent
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.http import OutcomeLost
from sellable.runtime.operations import Done, NotApplied, Operation, Outcome, Rejected, Unknown, next_seq
from sellable.runtime.wanted import want
from sellable.stock import demand

EVIDENCE = 2
"""What a new sale holds is read as soon as what has shipped: until then its units are subtracted twice."""
WRITABLE = ("created", "compared")
"""States of a part whose sale's lines are ours to write."""


class Exporting:
    """The operations that make a sale: create, lines, authorise, and the wait for visibility."""

    def __init__(self, store: Store, clock: Clock, target: OrderTarget, context: Context) -> None:
        self._store = store
        self._clock = clock
        self._target = target
        self._context = context

    # --- The header ---------------------------------------------------------------------------------------------------

    async def create(self, op: Operation) -> Outcome:
        """First attempt after a clean intent creates; where the past is uncertain it searches first."""
        part = await self._part(op)
        if op.payload["search"] or not op.first_send:
            found = await self._found(part.ref)
            if found is not None:
                return found
        if part.state != "planned":
            return Done({"nothing": True})  # Cancelled meanwhile: what is not there need not be made.
        try:
            sale_id = await self._target.create_draft(_draft(part), lane="orders")
        except Refused as refusal:
            return Rejected(str(refusal), {"code": refusal.code, **refusal.detail})
        return Done({"sale_id": sale_id})

    async def search(self, op: Operation) -> Outcome:
        """After an unknown outcome: search, wait until a late sale must be findable, search again."""
        part = await self._part(op)
        settle_seconds = self._context.office(part.target).search_settle_seconds
        found = await sooner_or_later(partial(self._found, part.ref), self._clock, settle_seconds)
        if found is None and part.state != "planned":
            return Done({"nothing": True})
        return found or NotApplied("no sale with our reference after the settle time")

    async def _found(self, ref: str) -> Outcome | None:
        rows = [row for row in await self._target.find_by_ref(ref, lane="orders") if row.status != "voided"]
        if not rows:
            return None
        keep = choose(rows)
        others = [[row.sale_id, row.status] for row in rows if row.sale_id != keep.sale_id]
        return Done({"sale_id": keep.sale_id, "number": keep.number, "status": keep.status, "others": others})

    def created(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """Records the one sale of the part and owes its lines."""
        if isinstance(outcome, Rejected):
            return refused(tx, op, outcome, now, self._context)
        if not isinstance(outcome, Done) or outcome.result.get("nothing"):
            return None
        order_id, number = op.payload["order_id"], op.payload["part"]
        part = book.part_of(tx, order_id, number)
        sale_id, sale_number = outcome.result["sale_id"], outcome.result.get("number", "")
        if not tx.run(book.sql.record_sale, order_id=order_id, part=number, sale_id=sale_id, number=sale_number):
            book.tell(tx, order_id, "second sale ignored", now, part=number, sale=sale_id, kept=part.sale_id)
            return None
        adopted = outcome.result.get("status", "")
        book.tell(tx, order_id, "sale created", now, part=number, sale=sale_id, found=adopted, number=sale_number)
        self._others(tx, part, outcome, now)
        if part.state != "planned":
            return None
        if adopted == "authorised":
            # What it holds and what it comes to is learnt by reading it, as if a person had authorised it.
            tx.run(book.sql.set_part_state, order_id=order_id, part=number, state="held")
            book.stage(tx, order_id, "exporting", now, "adopted")
            return want(tx, part.target, "sale", [sale_id], 1, now)
        kind = "sale.authorise" if self._two_call else "sale.lines"
        self._context.owe(tx, order_id, part.target, kind, {"part": number}, now)
        return None

    def _others(self, tx: Tx, part: Any, outcome: Done, now: datetime) -> None:
        """Of two authorised sales the oldest is kept; the newer is voided if nobody has touched it, by a case if so."""
        doubles = [sale_id for sale_id, status in outcome.result.get("others", []) if status == "authorised"]
        if not doubles:
            return
        self._context.open_case(
            tx, "two_sales_one_order", f"order:{part.order_id}", now, expected={"sales": 1},
            actual=dict(outcome.result), evidence=[f"sale:{sale_id}" for sale_id in doubles],
        )  # fmt: skip
        strays.owe(tx, part.order_id, doubles, now, self._context, double=True)

    @property
    def _two_call(self) -> bool:
        return self._context.settings.orders.form == "two_call"

    # --- Lines, totals, authorising -----------------------------------------------------------------------------------

    async def put_lines(self, op: Operation) -> Outcome:
        """Lines as draft; repeating it overwrites, so nothing can double."""
        return await self._put(op, authorise=False)

    async def authorise(self, op: Operation) -> Outcome:
        """The step that allocates. A second one is refused by the back office, so a resend is looked at first."""
        if not op.first_send:
            known = await self.look(op)
            if isinstance(known, Done | Rejected):
                return known
        return await self._put(op, authorise=True)

    async def _put(self, op: Operation, *, authorise: bool) -> Outcome:
        part = await self._part(op)
        if part.state not in WRITABLE:
            return Done({"skipped": True})
        try:
            sale = await self._target.put_lines(part.sale_id, _draft(part), authorise=authorise, lane="orders")
        except Refused as refusal:
            known = await self.look(op)
            if isinstance(known, Done | Rejected):
                return known
            return Rejected(str(refusal), {"code": refusal.code, **refusal.detail})
        return _told(sale)

    async def look(self, op: Operation) -> Outcome:
        """Reads the recorded sale: authorised is done, a draft may be written again."""
        part = await self._part(op)
        if part.state not in WRITABLE:
            return Done({"skipped": True})
        sale = await self._target.read_sale(part.sale_id, lane="orders")
        if sale.status == "authorised":
            return _told(sale)
        if sale.status == "voided":
            return Rejected("the sale was voided at the back office", {"code": "voided"})
        return NotApplied(f"the sale is {sale.raw_status or sale.status}")

    def lines_settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """Compares the master's totals with the order's to the cent; only equal ones are authorised."""
        if isinstance(outcome, Rejected):
            return refused(tx, op, outcome, now, self._context)
        part = self._writable(tx, op)
        if part is None or not isinstance(outcome, Done) or outcome.result.get("skipped"):
            return None
        if self._differs(tx, op, part, outcome, now):
            tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="held")
            return None
        tx.run(book.sql.set_part_state, order_id=part.order_id, part=part.part, state="compared")
        self._context.owe(tx, part.order_id, part.target, "sale.authorise", {"part": part.part}, now)
        return None

    def authorised(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The sale holds stock: evidence follows once visible, the storefront is told, backorders get an owner."""
        if isinstance(outcome, Rejected):
            return refused(tx, op, outcome, now, self._context)
        part = self._writable(tx, op)
        if part is None or not isinstance(outcome, Done) or outcome.result.get("skipped"):
            return None
        order_id, number, lines = part.order_id, part.part, outcome.result["lines"]
        if self._two_call and self._differs(tx, op, part, outcome, now):
            revoke(tx, part, "totals differ, sale is undone", now)
            tx.run(book.sql.set_part_state, order_id=order_id, part=number, state="voiding")
            self._context.owe(tx, order_id, part.target, "sale.void", {"part": number, "undo": True}, now)
            return None
        tx.run(book.sql.set_part_state, order_id=order_id, part=number, state="authorised")
        book.tell(tx, order_id, "sale authorised", now, part=number, sale=part.sale_id, lines=lines)
        backordered(tx, part, lines, now, self._context)
        seq = book.allocation_news(tx, order_id, number)
        visible = {"part": number, "location": part.location, "what": "authorised", "lines": lines, "seq": seq}
        self._context.owe_visible(tx, order_id, visible, now)
        went_out(tx, order_id, number, now, self._context)
        return None

    def _writable(self, tx: Tx, op: Operation) -> Any | None:
        """The operation's part, locked; None when it is cancelled or held by now, so its answer is only history."""
        part = book.part_of(tx, op.payload["order_id"], op.payload["part"])
        return part if part.state in WRITABLE else None

    def _differs(self, tx: Tx, op: Operation, part: Any, outcome: Done, now: datetime) -> bool:
        actual = msgspec.convert(outcome.result["totals"], SaleTotals)
        number = outcome.result.get("number", "")
        tx.run(
            book.sql.record_actual, order_id=part.order_id, part=part.part, actual=book.text(actual), number=number
        )  # fmt: skip
        said = msgspec.to_builtins(actual)
        differences = differing(part, actual)
        if not differences:
            book.tell(tx, part.order_id, "totals agree", now, part=part.part, number=number, **said)
            return False
        self._context.open_case(
            tx,
            "totals_differ",
            f"order:{part.order_id}",
            now,
            expected={field: want_ for field, want_, _ in differences},
            actual={field: got for field, _, got in differences},
            evidence=[f"order:{part.order_id}", f"sale:{part.sale_id}", f"operation:{op.id}"],
        )
        book.stage(tx, part.order_id, "held", now, "totals_differ")
        book.tell(
            tx, part.order_id, "totals differ", now, part=part.part, number=number,
            differences=[list(d) for d in differences],
        )  # fmt: skip
        return True

    # --- Visibility ---------------------------------------------------------------------------------------------------

    async def wait_visible(self, op: Operation) -> Outcome:
        """Waits the master's declared lag by this process's own clock; after a restart it is waited anew.

        The answer to an authorised sale may have come before the master set its units aside: what the sale holds is
        read from it when the wait is over, unless the settings vouch for the answer.
        """
        office = self._context.office(self._context.target_of(op.payload["location"]))
        await self._clock.sleep(office.visibility_lag_seconds)
        if op.payload["what"] != "authorised" or self._context.settings.cin7_core.allocates == "at_once":
            return Done({})
        part = await self._part(op)
        if part.allocation_seq != op.payload["seq"]:
            return Done({})
        a0 = await self._store.write(next_seq)
        with urgent(EVIDENCE):
            sale = await self._target.read_sale(part.sale_id, lane="reads")
        if sale.status != "authorised":
            return Done({"changed": part.sale_id})
        moved = sale.location not in ("", part.location)
        plain = not (moved or sale.picked or sale.shipments or sale.returns or sale.faults)
        read = {"read": {"a0": a0, "updated": sale.updated}} if plain else {}
        return Done({"lines": _lines(sale), **read})

    def visible(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """From this causal number on, a reading contains the effect."""
        if not isinstance(outcome, Done):
            return
        p = op.payload
        seq = next_seq(tx)
        if p["what"] == "cancelled":
            part = tx.one(book.sql.part, order_id=p["order_id"], part=p["part"])
            others = part.beside if part else ()
            demand.cancelled(tx, p["order_id"], p["location"], seq, "void confirmed", now, others)
            return
        if p["what"] == "units":
            demand.visible(tx, p["order_id"], [tuple(row) for row in p["rows"]], seq, "fewer units confirmed", now)
            return
        part = book.part_of(tx, p["order_id"], p["part"])
        if part.allocation_seq != p["seq"]:
            return  # Undone, voided or read anew while we waited: what was allocated then proves nothing now.
        if changed := outcome.result.get("changed"):
            want(tx, part.target, "sale", [changed], 1, now)
            return
        lines = outcome.result.get("lines", p["lines"])
        if lines != p["lines"]:
            backordered(tx, part, lines, now, self._context)
        by_component = components_of(tx, part, allocated(lines))
        demand.evidence(tx, part.order_id, part.location, by_component, seq, now, part.beside)
        read = outcome.result.get("read")
        if read and part.sale_updated is None and sorted((sku, units) for sku, units, _ in lines) == _asked(tx, part):
            # All of the sale is as it was made: it was read whole, and need not be again until it changes.
            tx.run(
                book.sql.sale_read, order_id=part.order_id, part=part.part, updated=read["updated"], picked=False,
                holds=True, a0=read["a0"],
            )  # fmt: skip

    async def _part(self, op: Operation) -> Any:
        part = await self._store.read(book.read_part, op.payload["order_id"], op.payload["part"])
        assert part is not None  # What is owed for a part is owed once it is written.
        return part


class Noting(Telling):
    """Notes the sale's id on the storefront's order."""

    async def note(self, op: Operation) -> Outcome:
        """Reads the order fresh and adds what is missing, guarded by its version."""
        if await self._is_left(op):
            return LEFT
        sales = await self._store.read(_sales_of, op.payload["order_id"])
        if not sales:
            return Done({})

        async def note(order: RawOrder) -> dict[str, Any]:
            return {"version": (await self._storefront.set_sync_info(order, ",".join(sales), lane="orders")).version}

        return await self._change(op, note)

    def noted(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The storefront knows the sale; its new version is ours."""
        order_id, number = op.payload["order_id"], op.payload["part"]
        if isinstance(outcome, Rejected):
            self._refused(tx, op, outcome, now, expected={"sync info": "noted"})
        elif isinstance(outcome, Done):
            tx.run(book.sql.set_told, order_id=order_id, part=number)
            self._version(tx, op, outcome)
            done = "noting is left to others" if outcome.result.get("shadow") else "noted at the storefront"
            book.tell(tx, order_id, done, now, part=number)


def backordered(tx: Tx, part: Any, lines: Sequence[Sequence[Any]], now: datetime, context: Context) -> None:
    """A case for the lines (SKU, units, units on backorder) of a part's sale that wait for stock; none for none."""
    if short := [list(line) for line in lines if line[2]]:
        context.open_case(
            tx, "backordered", f"order:{part.order_id}", now, expected={"backorder": 0}, actual={"lines": short},
            evidence=[f"sale:{part.sale_id}"],
        )  # fmt: skip


def refused(tx: Tx, op: Operation, outcome: Rejected, now: datetime, context: Context) -> None:
    """A step towards a part's sale was refused for good: it is held behind a case, unless it is cancelled by now."""
    order_id, number = op.payload["order_id"], op.payload["part"]
    part = book.part_of(tx, order_id, number)
    book.tell(tx, order_id, "refused by the back office", now, part=number, step=op.kind, cause=outcome.cause[:300])
    if part.state not in ("planned", *WRITABLE):
        return
    if outcome.detail.get("code") == "voided":
        tx.run(book.sql.sale_gone, order_id=order_id, part=number)
    tx.run(book.sql.set_part_state, order_id=order_id, part=number, state="held")
    context.open_case(
        tx,
        "order_refused",
        f"order:{order_id}",
        now,
        expected={"step": op.kind},
        actual={"cause": outcome.cause, **outcome.detail},
        evidence=[f"operation:{op.id}", f"order:{order_id}"],
    )
    book.stage(tx, order_id, "held", now, "order_refused")


def choose(rows: Sequence[SaleRow]) -> SaleRow:
    """Which of several sales with our reference is the one: authorised before draft, then the oldest by its number."""
    return min(rows, key=lambda row: (row.status != "authorised", len(row.number), row.number, row.sale_id))


def differing(part: Any, actual: SaleTotals) -> list[tuple[str, int, int]]:
    """(field, expected, actual) of totals of a part's sale that are not right and that nobody accepted as they are."""
    if part.accepted == msgspec.to_builtins(actual):
        return []
    return totals.compare(msgspec.convert(part.expected, totals.Expected), actual)


def went_out(tx: Tx, order_id: str, number: int, now: datetime, context: Context) -> None:
    """A part's sale holds what it should: the storefront is told, and the order is exported when this was the last."""
    context.owe(tx, order_id, STOREFRONT, "order.note", {"part": number}, now)
    parts = tx.all(book.sql.parts_of, order_id=order_id)
    if all(p.state in ("authorised", "shipped", "dropped", "voided") for p in parts):
        book.stage(tx, order_id, "exported", now)
        context.settled(tx, order_id, now, SETTLED_BY_EXPORT)


def _draft(part: Any) -> SaleDraft:
    return msgspec.convert(part.draft, SaleDraft)


def _told(sale: Sale) -> Outcome:
    """What the back office says it has; without totals there is nothing to compare, so nothing is believed."""
    if sale.totals is None:
        return Unknown("the back office's answer shows no totals")
    return Done(
        {
            "number": sale.number,
            "totals": msgspec.to_builtins(sale.totals),
            "lines": _lines(sale),
        }
    )


async def sooner_or_later(
    look: Callable[[], Awaitable[Outcome | None]], clock: Clock, settle_seconds: float
) -> Outcome | None:
    """What is found at once, else once something late must be findable. Only the second look proves that nothing is
    there, so that only it must be answered.
    """
    with contextlib.suppress(Unavailable, OutcomeLost):
        if (found := await look()) is not None:
            return found
    await clock.sleep(settle_seconds)
    return await look()


def _asked(tx: ReadTx, part: Any) -> list[tuple[str, int]]:
    units: Counter[str] = Counter()
    for sku, wanted in asked_of(tx, part):
        units[sku] += wanted
    return sorted(units.items())


def _lines(sale: Sale) -> list[list[Any]]:
    return [[line.sku, line.quantity, line.backorder] for line in sale.lines]


def _sales_of(tx: ReadTx, order_id: str) -> list[str]:
    return [p.sale_id for p in tx.all(book.sql.read_parts, order_id=order_id) if p.sale_id and p.state != "voided"]
