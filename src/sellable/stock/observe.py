"""What masters say about their numbers, believed in the right order.

A lower number counts at once, page by page. A higher number, or an absence, counts only from a complete set, and the
row's causal number (which decides what it contains) moves only then. An older page never replaces a newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from sellable.domain.stock import OUTSIDE, Kind, Movement, Priority, State
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries
from sellable.stock import demand, dirty, ledger

PIECE_ROWS = 50_000
"""A set is believed in pieces of about so many rows: in one, a million took most of the time a statement may take."""
MEMORY = timedelta(minutes=5)
"""So long a reading may be on its way and still prove something: longer than any call and any usual backlog."""
PATIENCE = timedelta(minutes=10)
"""So long raises of a complete set wait for their proof although newer sets are complete: the proof takes some minutes,
and in a busy shop every newer set would begin to wait anew."""

sql = queries("sellable.stock")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one (sku, location, part) in `state` ('' unknown), signed for available stock."""

    sku: str
    location: str
    part: str
    state: str
    value: int
    allocated: int


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished walk proves: `raises` are SKUs that wait for proof, `suspects` had a number and were absent.

    An incomplete walk proves nothing, but it has suspects too: whoever reads them knows.
    """

    complete: bool
    cause: str
    raises: tuple[str, ...]
    suspects: tuple[str, ...]
    keys: int
    a1: int


def start(tx: Tx, sweep: str, master: str, scope: str, now: datetime) -> None:
    """Opens a sweep; running ones of the same scope are abandoned (their lowers stay). With a whole one begins the time
    to forget what older ones showed that came to nothing.
    """
    tx.run(sql.abandon_sweeps, master=master, scope=scope, at=now)
    if not scope:
        forget(tx, master, now)
    tx.run(sql.start_sweep, id=sweep, master=master, scope=scope, at=now)


def see_page(tx: Tx, sweep: str, rows: Sequence[Row], *, a0: int, a1: int, now: datetime) -> list[str]:
    """Stores a page of the sweep and applies its lowers at once, also to what other sets showed earlier and nobody
    believes yet; what later pages showed lower counts for this one. Returns the SKUs lowered."""
    columns = {
        "sku": [r.sku for r in rows],
        "location": [r.location for r in rows],
        "part": [r.part for r in rows],
        "state": [r.state for r in rows],
        "value": [r.value for r in rows],
        "allocated": [r.allocated for r in rows],
    }
    tx.run(sql.touch_sweep, id=sweep, a0=a0, a1=a1, rows=len(rows))
    tx.run(sql.add_sweep_rows, sweep=sweep, a0=a0, a1=a1, **columns)
    lowered = tx.all(sql.apply_lowers, sweep=sweep, a0=a0, at=now)
    tx.run(sql.lower_waiting, sweep=sweep, a0=a0)
    tx.run(sql.lower_late, sweep=sweep, a0=a0)
    _follow(tx, sweep, lowered, now)
    return sorted({r.sku for r in lowered})


def read_anew(tx: Tx, sweep: str, location: str) -> None:
    """Forgets what a sweep was shown of a location, which is read from the beginning; lowers that count stay."""
    tx.run(sql.forget_location_rows, sweep=sweep, location=location)


def close(tx: Tx, sweep: str, *, complete: bool, cause: str, locations: Sequence[str], now: datetime) -> Closing:
    """Ends a walk. A complete set moves to `proving`; anything else is abandoned and proves nothing more."""
    head = tx.one(sql.sweep_head, id=sweep)
    if head is None or head.state != "running":
        return Closing(complete=False, cause="not running", raises=(), suspects=(), keys=0, a1=0)
    if complete and (twice := tx.value(sql.sweep_duplicates, sweep=sweep)):
        complete, cause = False, f"{twice} row(s) came twice"
    if complete and tx.value(sql.past_memory, sweep=sweep):
        complete, cause = False, "it came later than what newer readings showed is remembered"
    if not complete:
        tx.run(sql.set_sweep_state, id=sweep, state="abandoned", cause=cause, at=now)
        absent = tuple(r.sku for r in tx.all(sql.sweep_suspects, sweep=sweep, locations=list(locations)))
        return Closing(complete=False, cause=cause, raises=(), suspects=absent, keys=0, a1=head.last_a1 or 0)
    tx.run(sql.set_sweep_state, id=sweep, state="proving", cause="", at=now)
    tx.run(sql.give_up_waiting, sweep=sweep, before=now - PATIENCE, at=now)
    tx.run(sql.forget_other_rows, sweep=sweep)
    suspects = tuple(r.sku for r in tx.all(sql.sweep_suspects, sweep=sweep, locations=list(locations)))
    tx.run(sql.seen_again, sweep=sweep, suspects=list(suspects))
    raises = tuple(r.sku for r in tx.all(sql.sweep_raises, sweep=sweep))
    keys = int(tx.value(sql.observed_keys, locations=list(locations)) or 0)
    return Closing(complete=True, cause="", raises=raises, suspects=suspects, keys=keys, a1=head.last_a1 or 0)


def forget(tx: Tx, master: str, now: datetime) -> None:
    """Forgets the rows of a master's sets that came to nothing `MEMORY` ago, unless an older set still waits."""
    tx.run(sql.forget_abandoned_rows, master=master, before=now - MEMORY)


def drop(tx: Tx, sweep: str, skus: Sequence[str]) -> None:
    """Takes SKUs out of a set: they are read again on their own, so this set proves nothing about them."""
    if skus:
        tx.run(sql.forget_sweep_rows, sweep=sweep, skus=list(skus))


def apply(
    tx: Tx,
    sweep: str,
    *,
    waiting: Sequence[str],
    dropped: Sequence[str],
    locations: Sequence[str],
    now: datetime,
    elsewhere: Sequence[str] = (),
    again: bool = False,
) -> list[str]:
    """Believes a proving set, except for the SKUs `waiting` for proof. Returns SKUs whose rows moved.

    Rows take the set's value and causal number; rows that were zero and stayed absent move theirs too, except for
    SKUs `dropped` from the set (waiting ones included). An exact answer is whole for the SKU that was asked for and for
    every other it shows. The set stays `proving` until nothing waits. Places `elsewhere` are other masters': finished
    units are retired only when their readings contain them too. `again`: only what waited is looked at, the rest of the
    set was believed, or forgotten, before.
    """
    head = tx.one(sql.sweep_head, id=sweep)
    if head is None or head.state != "proving":
        return []
    shown = {r.sku for r in tx.all(sql.sweep_skus, sweep=sweep)} if head.scope or again else set()
    if again and shown and shown <= set(waiting):
        return []
    exact = shown if again else {head.scope, *shown}
    only = sorted(shown - set(waiting)) if again else None
    changed = []
    for after, until in _pieces(tx, sweep, head.rows_seen):
        changed += tx.all(sql.apply_set, sweep=sweep, without=list(waiting), at=now, after=after, until=until)
    if head.scope:
        read = sorted(exact - set(waiting))
        changed += tx.all(sql.zero_absent, sweep=sweep, skus=read, at=now)
        tx.run(sql.clear_suspects, skus=read)
    else:
        absent = {"sweep": sweep, "locations": list(locations), "without": list(dropped), "only": only}
        changed += tx.all(sql.gone_unsold, **absent)
        tx.run(sql.absent_still_zero, **absent)
    _follow(tx, sweep, [r for r in changed if r.value != r.value_before], now)
    moved = sorted({r.sku for r in changed})
    tx.run(sql.forget_applied_rows, sweep=sweep, waiting=list(waiting))
    if not waiting:
        tx.run(sql.set_sweep_state, id=sweep, state="applied", cause="", at=now)
    if moved:
        demand.settle(tx, moved, [*locations, *elsewhere])
        dirty.mark(tx, moved, Priority.RAISE, "master's number", now)
    return moved


def _pieces(tx: Tx, sweep: str, rows: int) -> list[tuple[str | None, str | None]]:
    """Ranges of SKUs, (after, until), that together are a whole set, each far below a statement's time limit."""
    cuts = [r.sku for r in tx.all(sql.sweep_pieces, sweep=sweep, rows=PIECE_ROWS)] if rows > PIECE_ROWS else []
    return list(zip([None, *cuts], [*cuts, None], strict=True))


def lower_to_zero(tx: Tx, skus: Sequence[str], reason: str, now: datetime) -> None:
    """Shows nothing of these SKUs until they are read again: absent from a complete set and not readable in time."""
    rows = tx.all(sql.zero_skus, skus=list(skus), at=now)
    _follow(tx, reason, rows, now)


def suspect(tx: Tx, skus: Sequence[str], sweep: str, *, now: datetime, deadline: datetime) -> None:
    """Notes SKUs that must be read again before their absence is believed."""
    if skus:
        tx.run(sql.add_suspects, skus=list(skus), sweep=sweep, at=now, deadline=deadline)


def overdue_suspects(tx: ReadTx, now: datetime) -> list[str]:
    """Suspects whose re-reading did not succeed within the time allowed."""
    return [r.sku for r in tx.all(sql.overdue_suspects, now=now)]


def last_applied(tx: ReadTx, master: str) -> Any:
    """The newest complete sweep of everything of a master (id, finished_at, last_a1), or None."""
    return tx.one(sql.last_applied, master=master)


def proving(tx: ReadTx, master: str) -> list[Any]:
    """Complete sets whose raises still wait for proof: (id, scope, last_a1)."""
    return tx.all(sql.proving_sweeps, master=master)


def risers(tx: ReadTx, sweep: str, *, low_mark: int, most: int, oldest: int) -> list[tuple[str, bool]]:
    """SKUs that rows of a set without proof would let rise, the most valuable first, and whether an entry of theirs
    shows no more than `low_mark`: `most` by value, and the `oldest` whose last proof is the longest ago.
    """
    return [
        (r.sku, bool(r.scarce)) for r in tx.all(sql.risers, sweep=sweep, low_mark=low_mark, most=most, oldest=oldest)
    ]


def near(tx: ReadTx, sku: str, wished: Sequence[str], rows: int) -> str | None:
    """The beginning to ask for so that one answer of at most about `rows` rows shows this SKU and most of `wished`;
    None when no other of them would be shown.
    """
    found = tx.one(sql.near, sku=sku, wished=list(wished), rows=rows)
    return found.beginning if found else None


def waiting_raises(tx: Tx, sweep: str) -> list[str]:
    """SKUs of a proving set that would rise, newer readings apart."""
    tx.run(sql.forget_overtaken_rows, sweep=sweep)
    return [r.sku for r in tx.all(sql.sweep_raises, sweep=sweep)]


def _follow(tx: Tx, sweep: str, rows: Sequence[Any], now: datetime) -> None:
    """Keeps the history of changed numbers and lets the ledger follow in the observation's own transaction."""
    if not rows:
        return
    tx.run(
        sql.log_observations,
        sku=[r.sku for r in rows],
        location=[r.location for r in rows],
        part=[r.part for r in rows],
        state=[r.state for r in rows],
        value_before=[r.value_before for r in rows],
        value=[r.value for r in rows],
        a0=[r.a0 for r in rows],
        a1=[r.a1 for r in rows],
        sweep=sweep,
        at=now,
    )
    for sku in sorted({r.sku for r in rows}):
        # All balances at once and after all units of orders, as whoever takes in a shipment locks them.
        tx.gather(_follow_ledger, (sku, sweep, now), early=True)
    lowered = {r.sku for r in rows if r.value < r.value_before}
    dirty.mark(tx, lowered, Priority.LOWER, "master's number fell", now)


def _follow_ledger(tx: Tx, moved: list[tuple[str, str, datetime]]) -> None:
    ledger_follows(tx, sorted({sku for sku, _, _ in moved}), moved[-1][1], moved[-1][2])


def ledger_follows(tx: Tx, skus: Sequence[str], sweep: str, now: datetime) -> None:
    """Posts the unexplained gap between balances and what is observed, so that the ledger never lies about a count."""
    tx.run(sql.lock_balances, skus=list(skus))
    posted = ledger.post(tx, [_gap(r, sweep) for r in tx.all(sql.ledger_gaps, skus=list(skus))], now)
    assert not posted.conflicts, "the causal number makes each gap a fact of its own"


def _gap(row: Any, sweep: str) -> Movement:
    inside = (row.location, State(row.state))
    outside = (OUTSIDE, State.UNEXPLAINED)
    source, sink = (outside, inside) if row.gap > 0 else (inside, outside)
    return Movement(
        source="observation",
        resource=sweep,
        line=f"{row.location}/{row.state}/{row.sku}",
        kind=Kind.OBSERVED_GAP,
        seq=row.seq,
        sku=row.sku,
        quantity=abs(row.gap),
        from_location=source[0],
        from_state=source[1],
        to_location=sink[0],
        to_state=sink[1],
    )
