"""What a customer sent back, from the credit notes of a sale. One rule: goods are counted once or reported.

A credit note's lines say what was credited, as it was sold; its restock says what of it came back into stock, and where
(blueprint, sale/creditnote). Only an authorised one has done so; a voided one stays in the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sellable.connectors.cin7_core import wire
from sellable.connectors.cin7_core.wire import guid, word
from sellable.domain.orders import GoodsReturn, ReturnedGoods
from sellable.domain.stock import State

Place = Callable[[str], tuple[str, State] | None]


def returns_of(notes: Iterable[wire.CreditNote], place: Place) -> tuple[tuple[GoodsReturn, ...], tuple[str, ...]]:
    """(returns, faults). `place` gives (our location, state) for a place as the vendor spells it."""
    found: list[GoodsReturn] = []
    faults: list[str] = []
    for note in notes:
        if word(note.status) != "AUTHORISED":
            continue
        try:
            found.append(_return(note, place))
        except ValueError as error:
            faults.append(f"credit note {note.credit_note_number or guid(note.task_id)}: {error}")
    return tuple(one for one in found if one.items or one.stock), tuple(faults)


def _return(note: wire.CreditNote, place: Place) -> GoodsReturn:
    if not guid(note.task_id):
        raise ValueError("no TaskID")
    return GoodsReturn(
        return_id=guid(note.task_id),
        number=note.credit_note_number or "",
        # Vendors say nothing of reasons; a line's comment holds the code where staff put one there (our convention).
        items=tuple(
            (line.sku, count, (line.comment or "").strip())
            for line in note.lines or ()
            if line.sku and (count := wire.goods(line.quantity, f"Quantity of {line.sku}"))
        ),
        stock=tuple(
            _goods(row.sku, count, _where(row, place))
            for row in note.restock or ()
            if row.sku and (count := wire.goods(row.quantity, f"Quantity of {row.sku}"))
        ),
    )


def _goods(sku: str, count: int, where: tuple[str, State]) -> ReturnedGoods:
    return ReturnedGoods(sku=sku, units=count, location=where[0], state=where[1])


def _where(row: wire.RestockLine, place: Place) -> tuple[str, State]:
    """The restock location, else the location; a place that is not ours, or named by an id, sells nothing of ours."""
    for text in (row.restock_location, row.location):
        if text and (where := place(text)) is not None:
            return where
    return "", State.QUARANTINE
