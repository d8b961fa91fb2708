"""Returns: goods that came back by the word of their master, told to the storefront item by item.

    the back office's return ─► goods_return, return_piece ─► movements customer ─► inspection ─► available | damaged
                                        │                          (the number itself is only ever the master's)
                                        └─ order.return ─► the storefront's return items, by key

What the storefront says of returns by itself (announced, labelled back in stock) is kept as a note: it moves no goods
and raises nothing. One rule: a return raises a number only when the master's own number has risen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import RawOrder, ReturnDraft, Sale
from sellable.domain.orders import GoodsReturn, InventoryMode, Order
from sellable.domain.states import Machine, may
from sellable.domain.stock import OUTSIDE, Kind, Movement, Priority, State
from sellable.orders import adjusting, announcing, pieces, reasons
from sellable.orders.context import STOREFRONT, Context
from sellable.orders.fulfilment import carried
from sellable.orders.pieces import Place
from sellable.orders.telling import LEFT, Telling
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.inbox import InboxRow
from sellable.runtime.operations import Done, Operation, Outcome, Rejected
from sellable.stock import entries, ledger, observe

NO_SALE = ("planned", "created", "dropped")
_INSPECTED = {"available": Kind.INSPECTED_OK, "damaged": Kind.INSPECTED_DAMAGED}


# --- What the back office took back -----------------------------------------------------------------------------------


def on_sale(tx: Tx, row: InboxRow, now: datetime, *, context: Context) -> None:
    """Inbox handler, after the sale's shipments were taken in: its returns as read from causal number a0 on."""
    sale = msgspec.json.decode(row.body, type=Sale)
    if not sale.returns:
        return
    part = tx.one(book.sql.part_of_sale, sale_id=sale.sale_id)
    if part is not None and part.state not in NO_SALE:
        take(tx, part, sale.returns, row.meta["a0"], now, context)


def take(tx: Tx, part: Any, returned: Sequence[GoodsReturn], a0: int, now: datetime, context: Context) -> None:
    """Returns of a part's goods, each as it is by now, as read from causal number a0 on."""
    head = book.lock(tx, part.order_id)
    order = book.order_of(head)
    known = {r.return_id: r for r in tx.all(book.sql.lock_returns, order_id=part.order_id)}
    taken = [_take(tx, part, found, known.get(found.return_id), a0, now, context) for found in returned]
    if any(taken):
        adjusting.follow(tx, order.order_id, now, context)
        _owe(tx, order, now, context)


def _take(tx: Tx, part: Any, found: GoodsReturn, known: Any, a0: int, now: datetime, context: Context) -> bool:
    """Takes what is new of a return; False when nothing is, or when it contradicts what was recorded."""
    before = msgspec.convert(known.document, GoodsReturn) if known else _nothing(found)
    if known and (a0 <= known.seq or before == found):
        return False
    made = {line.sku: line.recipe for line in carried(tx, part) if line.recipe}
    change = pieces.compare(pieces.places(before, made), pieces.places(found, made))
    if change.gone:
        context.open_case(
            tx, "fact_conflict", f"order:{part.order_id}", now, expected={"return": _told(before)},
            actual={"return": _told(found)}, evidence=[f"sale:{part.sale_id}"],
        )  # fmt: skip
        return False
    tx.run(
        book.sql.put_return, return_id=found.return_id, order_id=part.order_id, part=part.part, number=found.number,
        document=book.text(found), seq=a0, at=now,
    )  # fmt: skip
    _move_goods(tx, before, found, a0, now)
    for source, target, units in change.moved:
        _move_pieces(tx, part.order_id, found.return_id, source, target, units, now)
    _add(tx, part, found, change.new, now, context)
    book.tell(
        tx, part.order_id, "returned", now, part=part.part, number=found.number, **_told(found),
        new=[[place.sku, units, place.fate] for place, units in change.new],
        moved=[[a.sku, units, a.fate, b.fate] for a, b, units in change.moved],
    )  # fmt: skip
    return True


def _nothing(found: GoodsReturn) -> GoodsReturn:
    return msgspec.structs.replace(found, items=(), stock=())


def _told(found: GoodsReturn) -> dict[str, Any]:
    return {
        "return": found.return_id,
        "items": [[sku, units] for sku, units, _ in found.items],
        "stock": [[g.sku, g.units, g.location, g.state.value] for g in found.stock],
    }


def _move_goods(tx: Tx, before: GoodsReturn, found: GoodsReturn, a0: int, now: datetime) -> None:
    """Stock that came in or moved, as movements; balances stay equal to what was counted, whichever is heard first."""
    change = pieces.compare(*(pieces.places(_nothing_credited(each), {}) for each in (before, found)))
    customer = Place(sku="", location=OUTSIDE, fate=State.CUSTOMER.value)
    moves = [(customer, place, units, Kind.RETURN_RECEIVED) for place, units in change.new]
    moves += [(a, b, units, _INSPECTED.get(b.fate, Kind.ADJUST)) for a, b, units in change.moved]
    movements = [
        Movement(
            source="back office",
            resource=found.return_id,
            line=f"{target.sku}/{target.location}/{target.fate}/{source.fate}",
            kind=kind,
            seq=a0,
            sku=target.sku,
            quantity=units,
            from_location=source.location,
            from_state=State(source.fate),
            to_location=target.location,
            to_state=State(target.fate),
        )
        for source, target, units, kind in moves
        if target.location and (source.location or source is customer)
    ]
    _post(tx, movements, found.return_id, now)


def _nothing_credited(found: GoodsReturn) -> GoodsReturn:
    return msgspec.structs.replace(found, items=())


def _post(tx: Tx, movements: Sequence[Movement], cause: str, now: datetime) -> None:
    if not movements:
        return
    skus = sorted({movement.sku for movement in movements})
    # Whoever closes gaps locks all balances of a SKU in this order: to take some of them first invites a deadlock.
    tx.run(observe.sql.lock_balances, skus=skus)
    ledger.post(tx, movements, now)
    observe.ledger_follows(tx, skus, cause, now)


def _move_pieces(
    tx: Tx, order_id: str, return_id: str, source: Place, target: Place, units: int, now: datetime
) -> None:
    """Pieces that are still where the return said they were; what a person decided stays decided."""
    left = units
    mine = [p for p in tx.all(book.sql.pieces_back, order_id=order_id) if p.return_id == return_id]
    for piece in mine:
        if left and (piece.sku, piece.location, piece.fate) == (source.sku, source.location, source.fate):
            if piece.units > left:
                tx.run(book.sql.shrink_piece, piece_id=piece.piece_id, units=left)
                row = (target, piece.line_id, left, piece.reason, "")
                _insert(tx, order_id, return_id, [row], len(mine), now)
                return
            tx.run(book.sql.move_piece, piece_id=piece.piece_id, location=target.location, fate=target.fate)
            left -= piece.units


def _add(
    tx: Tx, part: Any, found: GoodsReturn, new: Sequence[tuple[Place, int]], now: datetime, context: Context
) -> None:
    if not new:
        return
    wanting = [
        pieces.Wanting(line_id=r.line_id, sku=r.sku, shipped=r.shipped, returned=r.returned)
        for r in tx.all(book.sql.returned_of_part, order_id=part.order_id, part=part.part)
    ]
    placed, over, strange = pieces.on_lines(new, wanting)
    said = {sku: reason for sku, _, reason in found.items if reason}
    context.strange_reasons(tx, said.values(), "back_office", part.order_id, f"return {found.number}", now)
    notes = [n for n in tx.all(book.sql.notes_of, order_id=part.order_id) if n.arrived < n.units]
    announced = tx.one(book.sql.announcement, ref=found.number)
    rows = []
    for place, line_id, units in placed:
        word = reasons.heard(said.get(place.sku, ""), "back_office", context.settings)
        for count in pieces.batches(place, units):
            note = _awaited(notes, line_id, count, announced.item_id if announced else "")
            if note is not None:
                notes.remove(note)
                tx.run(book.sql.note_arrived, order_id=part.order_id, item_id=note.item_id, units=count)
                if announced is not None and announced.item_id == note.item_id:
                    tx.run(book.sql.announcement_arrived, ref=announced.ref, units=count)
            # An item that was announced cannot be moved on, so that its goods get one of their own.
            theirs = note.item_id if note is not None and note.state != "Advised" and note.units == count else ""
            rows.append((place, line_id, count, word or (note.reason if note else ""), theirs))
    before = sum(1 for p in tx.all(book.sql.pieces_back, order_id=part.order_id) if p.return_id == found.return_id)
    _insert(tx, part.order_id, found.return_id, rows, before, now)
    back = Counter[str]()
    for _, line_id, units in placed:
        if line_id is not None:
            back[line_id] += units
    tx.run(book.sql.return_lines, order_id=part.order_id, line_id=list(back), units=list(back.values()))
    for kind, units_by_sku in (("over_returned", over), ("return_unmatched", strange)):
        if units_by_sku:
            context.open_case(
                tx, kind, f"order:{part.order_id}", now,
                expected={"lines": [[w.line_id, w.sku, w.shipped - w.returned] for w in wanting]},
                actual={"return": found.number or found.return_id, "items": units_by_sku},
                evidence=[f"sale:{part.sale_id}"],
            )  # fmt: skip


def _awaited(notes: Sequence[Any], line_id: str | None, units: int, announced: str) -> Any | None:
    """The note these units are of: the one whose announcement they came under, else one of exactly so many, else the
    oldest that still waits for so many."""
    mine = [n for n in notes if n.line_id == line_id and n.units - n.arrived >= units]
    return min(
        mine, key=lambda n: (n.item_id != announced, n.units != units, n.state == "Advised"), default=None
    )  # fmt: skip


def _insert(
    tx: Tx,
    order_id: str,
    return_id: str,
    rows: Sequence[tuple[Place, str | None, int, str, str]],
    before: int,
    now: datetime,
) -> None:
    """Writes pieces of (place, line id, units, reason, their item), numbered on from `before`."""
    tx.run(
        book.sql.add_pieces,
        return_id=return_id,
        order_id=order_id,
        piece_id=[pieces.key_of(return_id, n) for n in range(before + 1, before + 1 + len(rows))],
        line_id=[line for _, line, _, _, _ in rows],
        sku=[place.sku for place, _, _, _, _ in rows],
        units=[units for _, _, units, _, _ in rows],
        location=[place.location for place, _, _, _, _ in rows],
        fate=[place.fate for place, _, _, _, _ in rows],
        reason=[reason for _, _, _, reason, _ in rows],
        item_id=[item for _, _, _, _, item in rows],
        at=now,
    )


# --- What a person decides --------------------------------------------------------------------------------------------


def decide(tx: Tx, piece_id: str, fate: str, actor: str, reason: str, now: datetime, context: Context) -> bool:
    """A person says what became of a returned piece; False when there is none of this key, or it cannot become that.

    The storefront is told. The number rises only when the master's does.
    """
    piece = tx.one(book.sql.find_piece, piece_id=piece_id)
    if piece is None or piece.fate == fate or not may(Machine.LINE, piece.fate, fate):
        return False
    head = book.lock(tx, piece.order_id)
    tx.run(book.sql.move_piece, piece_id=piece_id, location=piece.location, fate=fate)
    recipes = {row.line_id for row in tx.all(book.sql.recipes_of_part, order_id=piece.order_id) if row.sku != piece.sku}
    if piece.location and piece.fate in pieces.OPEN and fate in _INSPECTED and piece.line_id not in recipes:
        movement = Movement(
            source="person",
            resource=piece_id,
            line="",
            kind=_INSPECTED[fate],
            sku=piece.sku,
            quantity=piece.units,
            from_location=piece.location,
            from_state=State(piece.fate),
            to_location=piece.location,
            to_state=State(fate),
        )
        _post(tx, [movement], piece_id, now)
    book.tell(
        tx, piece.order_id, "returned goods inspected", now, piece=piece_id, sku=piece.sku, units=piece.units,
        before=piece.fate, after=fate, actor=actor, reason=reason,
    )  # fmt: skip
    adjusting.follow(tx, piece.order_id, now, context)
    _owe(tx, book.order_of(head), now, context)
    return True


def paid_back(
    tx: Tx, order_id: str, piece_ids: Sequence[str], payment: str, actor: str, now: datetime, context: Context
) -> int:
    """A person says whether the money of some pieces went back (Refunded | NotRefunded); how many were undecided."""
    head = book.lock(tx, order_id)
    if head is None:
        return 0
    count = tx.run(book.sql.pay_pieces, piece_id=list(piece_ids), payment=payment)
    if count:
        book.tell(tx, order_id, "refund decided", now, pieces=list(piece_ids), payment=payment, actor=actor)
        _owe(tx, book.order_of(head), now, context)
    return count


# --- What the storefront says -----------------------------------------------------------------------------------------


def heard(tx: Tx, order: Order, now: datetime, context: Context) -> None:
    """The return items of an order at the version it was taken at: notes of those that are not ours, E for all."""
    items = [item for item in order.returns if item.line_id]
    if not items:
        return
    ours = {p.piece_id: p.item_id for p in tx.all(book.sql.read_pieces, order_id=order.order_id)}
    named = {item_id: piece_id for piece_id, item_id in ours.items() if item_id}
    restocked = [
        (named.get(item.item_id, item.key or item.item_id), item.line_id, item.units)
        for item in items
        if item.state == "BackInStock"
    ]
    _give_back(tx, order, restocked, order.modified_at, now, context)
    theirs = [item for item in items if item.key not in ours and item.item_id not in named]
    if not theirs:
        return
    # What a warehouse took back in a life that a restored database knows nothing of is no news to it.
    own = f"{context.settings.commercetools.project}:{order.order_id}:"
    noted = tx.all(
        book.sql.put_notes,
        order_id=order.order_id,
        item_id=[item.item_id for item in theirs],
        line_id=[item.line_id for item in theirs],
        units=[item.units for item in theirs],
        state=[item.state for item in theirs],
        payment=[item.payment for item in theirs],
        reason=[reasons.heard(item.reason, "storefront", context.settings) for item in theirs],
        untold=[0 if pieces.is_key_of(item.key, own) else item.units for item in theirs],
        at=now,
    )
    fresh = {note.item_id for note in noted if note.new}
    for item in (item for item in theirs if item.item_id in fresh):
        what = "return announced" if item.state == "Advised" else "return at the storefront"
        book.tell(
            tx, order.order_id, what, now, line=item.line_id, units=item.units, state=item.state, version=order.version
        )
        context.strange_reasons(tx, [item.reason], "storefront", order.order_id, f"return of {item.line_id}", now)
    announcing.owe(tx, order.order_id, now, context)


def _give_back(
    tx: Tx, order: Order, items: Sequence[tuple[str, str, int]], at: datetime, now: datetime, context: Context
) -> None:
    """What the storefront may put back into its entries because an item is labelled so: once for each item, whoever
    labels it. `items` are (name of the item, line id, units), `at` when it happens on the storefront's clock. Assumed
    yes until measured, as for a cancel.
    """
    if context.settings.commercetools.restocks_on_return == "no":
        return
    lines = {line.line_id: line for line in order.lines}
    facts = [
        entries.EntryFact(
            sku=line.sku or "",
            channel=line.channel or "",
            kind="restocked",
            quantity=units,
            source="order",
            resource=order.order_id,
            line=_fact_line(line_id, name),
            seq=0,
            remote_at=at,
        )
        for name, line_id, units in items
        if (line := lines.get(line_id)) is not None and line.sku and line.mode is not InventoryMode.NONE
    ]
    entries.record(tx, facts, now, priority=Priority.LOWER, reason=f"return of {order.label}")


def _fact_line(line_id: str, name: str) -> str:
    return f"{line_id}/return/{name}"


# --- Telling the storefront -------------------------------------------------------------------------------------------


def _owe(tx: Tx, order: Order, now: datetime, context: Context) -> None:
    """Owes what the storefront does not know yet. What it may restock by that is expected before it is told."""
    untold = _untold(tx, order.order_id)
    if not untold:
        return
    labelled = [(p.piece_id, p.line_id, p.units) for p in untold if pieces.said(p.fate) == "BackInStock"]
    _give_back(tx, order, labelled, now, now, context)
    context.owe(tx, order.order_id, STOREFRONT, "order.return", {"part": 0}, now)


def _wanted(piece: Any) -> str:
    return f"{pieces.said(piece.fate)} {piece.payment}".strip()


class Returning(Telling):
    """Writes return items and their states to the storefront's order."""

    async def send(self, op: Operation) -> Outcome:
        """Adds the items that are missing and moves those that changed; repeating it changes nothing."""
        if await self._is_left(op):
            return LEFT
        untold: list[Any] = await self._store.read(_untold, op.payload["order_id"])
        if not untold:
            return Done({"nothing": True})
        drafts = [self._draft(piece) for piece in untold]

        async def tell(order: RawOrder) -> dict[str, Any]:
            done = await self._storefront.tell_returns(order, drafts, lane="orders")
            return {
                "version": done.order.version,
                "told": [[piece.piece_id, _wanted(piece)] for piece in untold],
                "refused": [list(each) for each in done.refused],
            }

        return await self._change(op, tell)

    def _draft(self, piece: Any) -> ReturnDraft:
        return ReturnDraft(
            key=piece.piece_id,
            line_id=piece.line_id,
            units=piece.units,
            state=pieces.said(piece.fate),
            payment=piece.payment,
            comment=reasons.said_to(piece.reason, "storefront", self._context.settings),
            item_id=piece.item_id,
        )

    def told(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The storefront shows the return, or a case says why not."""
        if isinstance(outcome, Rejected):
            self._refused(tx, op, outcome, now)
        elif isinstance(outcome, Done) and not outcome.result.get("nothing"):
            self._noted(tx, op, outcome, now)

    def _noted(self, tx: Tx, op: Operation, outcome: Done, now: datetime) -> None:
        order_id, result = op.payload["order_id"], outcome.result
        pairs = result.get("told", [])
        tx.run(book.sql.pieces_told, piece_id=[key for key, _ in pairs], told=[state for _, state in pairs])
        self._version(tx, op, outcome)
        told = {piece.piece_id: piece for piece in tx.all(book.sql.read_pieces, order_id=order_id)}
        facts = [_fact_line(told[key].line_id, key) for key, _ in pairs if key in told]
        entries.expect_again(tx, order_id, facts, now)
        who = "left to others" if result.get("shadow") else "storefront told"
        book.tell(tx, order_id, f"{who}: {op.kind}", now, pieces=[list(pair) for pair in pairs])
        if refused := result.get("refused"):
            head = book.lock(tx, order_id)
            self._context.open_case(
                tx, "status_conflict", f"order:{order_id}", now,
                expected={"return items": [[key, wanted] for key, _, wanted in refused]},
                actual={
                    "return items": [[key, found] for key, found, _ in refused],
                    "storefront's version": result.get("version"), "our version": head.version if head else None,
                },
                evidence=[f"operation:{op.id}"],
            )  # fmt: skip


def _untold(tx: ReadTx, order_id: str) -> list[Any]:
    rows = tx.all(book.sql.read_pieces, order_id=order_id)
    return [piece for piece in rows if piece.line_id and piece.told != _wanted(piece)]
