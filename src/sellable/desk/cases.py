"""Cases: what a person must own. Rule: equal troubles are one case; it counts them and keeps the newest evidence.

    open ──► acknowledged ──► resolved
      └────────────────────────┘

A resolved case stays as it is; the same trouble later is a new case.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from sellable.desk.kinds import KINDS, Area, Kind
from sellable.desk.owners import Owners
from sellable.runtime.database import ReadTx, Row, Tx
from sellable.runtime.queries import queries

CHANNEL = "sellable_cases"
EVIDENCE_MAX = 20
ARRIVAL = "inbox:"
OPERATION = "operation:"
"""How evidence refers to what the runtime stores."""
SYSTEM = "system"
"""The actor of what nobody did by hand."""
LIVE = ("open", "acknowledged")

sql = queries("sellable.desk")


class CaseMissing(LookupError):
    """There is no case with this reference."""


class StillParked(ValueError):
    """Something still waits behind the case: replay it, or say that it is given up."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case as stored. `evidence` are references such as "inbox:12", newest last; `count` is how often it happened."""

    id: int
    ref: str
    kind: str
    subject: str
    owner: str
    state: str
    severity: int
    count: int
    first_at: datetime
    last_at: datetime
    title: str
    expected: Any
    actual: Any
    evidence: list[str]
    next_step: str
    resolution: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    alerted_at: datetime | None
    alerted_count: int

    @property
    def deadline(self) -> datetime | None:
        """When a live case is older than its kind allows."""
        kind = KINDS.get(self.kind)
        return self.first_at + timedelta(hours=kind.age_hours) if kind and self.state in LIVE else None

    def overdue(self, now: datetime) -> bool:
        """Whether a live case is older than its kind's age limit."""
        return self.deadline is not None and now > self.deadline


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that was done about a case."""

    at: datetime
    actor: str
    what: str
    detail: str


def open_case(
    tx: Tx,
    kind: str,
    subject: str,
    now: datetime,
    *,
    owners: Owners,
    title: str | None = None,
    expected: Any = None,
    actual: Any = None,
    evidence: Sequence[str] = (),
) -> str:
    """Open a case, or count one more of a live one with this kind and subject; returns its reference.

    `expected` and `actual` are JSON values, or what msgspec makes of structs and decimals. The case shows the newest
    20 of its evidence and remembers all for a replay; held operations among it ("operation:op_...") are parked behind
    the case. Raises ValueError for a kind that is not in the table.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind of case {kind!r}")
    values = {
        "kind": kind,
        "subject": _storable(subject),
        "now": now,
        "expected": _json(expected),
        "actual": _json(actual),
        "evidence": _json(list(evidence)[-EVIDENCE_MAX:]),
    }
    ref = _count(tx, values) or _insert(tx, KINDS[kind], title, owners, values)
    while ref is None:
        # Another transaction opened it between the two statements; now that it has committed, it is counted.
        ref = _count(tx, values) or _insert(tx, KINDS[kind], title, owners, values)
    if linked := [_storable(thing) for thing in evidence if not thing.startswith(ARRIVAL)]:
        tx.run(sql.link_things, ref=ref, things=linked)
    return ref


def acknowledge(tx: Tx, ref: str, actor: str, now: datetime) -> bool:
    """Somebody has seen it and works on it. False when it is not open (any more). Raises CaseMissing."""
    case = lock(tx, ref)
    if case.state != "open":
        return False
    tx.run(sql.set_case_state, id=case.id, state="acknowledged")
    note(tx, ref, actor, "acknowledged", now)
    return True


def assign(tx: Tx, ref: str, owner: str, actor: str, now: datetime) -> bool:
    """Give a live case to another owner. False when it is resolved or theirs already.

    Raises CaseMissing, and ValueError when nobody is named.
    """
    if not owner.strip():
        raise ValueError("a case has an owner: name one")
    case = lock(tx, ref)
    if case.state not in LIVE or case.owner == owner:
        return False
    tx.run(sql.set_case_owner, id=case.id, owner=owner)
    note(tx, ref, actor, "assigned", now, f"from {case.owner} to {owner}")
    return True


def resolve(tx: Tx, ref: str, actor: str, why: str, now: datetime, *, give_up: bool = False) -> bool:
    """End a case, with what was done about it. False when it is resolved already.

    What is parked behind it must be replayed first; with `give_up` it stays parked for good, and the history says so.
    Raises CaseMissing, ValueError without a note, StillParked.
    """
    if not why.strip():
        raise ValueError("say what was done about the case")
    case = lock(tx, ref)
    if case.state not in LIVE:
        return False
    left = parked(tx, case)
    if left and not give_up:
        raise StillParked(f"behind {ref} still wait {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}")
    _end(tx, case, actor, f"{why} (given up: {len(left)} parked)" if left else why, now)
    return True


def clear(tx: Tx, kinds: Collection[str], subject: str, now: datetime) -> None:
    """End the live cases of troubles that are over by themselves, those behind which nothing is parked."""
    for row in tx.all(sql.live_cases, kinds=list(kinds), subject=_storable(subject)):
        if not parked(tx, case := _case(row)):
            _end(tx, case, SYSTEM, "the trouble ended", now)


def comment(tx: Tx, ref: str, actor: str, text: str, now: datetime) -> None:
    """Say something about a case, resolved or not. Raises CaseMissing, ValueError without a word."""
    if not text.strip():
        raise ValueError("a comment has words")
    lock(tx, ref)
    note(tx, ref, actor, "commented", now, text.strip())


def prune(tx: Tx, before: datetime) -> int:
    """Removes cases resolved before a moment, with their history; the facts they were about stay. Returns how many."""
    return tx.run(sql.prune_cases, before=before)


def find(tx: ReadTx, ref: str) -> Case | None:
    """A case by its reference."""
    row = tx.one(sql.find_case, ref=ref)
    return None if row is None else _case(row)


def by_id(tx: ReadTx, case_id: int) -> Case:
    """A case by its number, which must exist."""
    return _case(tx.one(sql.case_by_id, id=case_id))


def lock(tx: Tx, ref: str) -> Case:
    """A case, locked until commit. Raises CaseMissing."""
    row = tx.one(sql.lock_case, ref=ref)
    if row is None:
        raise CaseMissing(f"there is no case {ref}")
    return _case(row)


def listing(
    tx: ReadTx,
    *,
    states: Collection[str] = LIVE,
    kind: str | None = None,
    area: Area | None = None,
    owner: str | None = None,
    subject: str | None = None,
    severity: int = 4,
    limit: int = 100,
    offset: int = 0,
) -> list[Case]:
    """Cases worst first, then oldest first. `severity` is the mildest to list."""
    kinds = [each.name for each in KINDS.values() if kind in (None, each.name) and area in (None, each.area)]
    rows = tx.all(
        sql.list_cases,
        states=list(states),
        kinds=None if kind is None and area is None else kinds,
        owner=owner,
        subject=subject,
        severity=severity,
        limit=limit,
        offset=offset,
    )
    return [_case(row) for row in rows]


def resolved(
    tx: ReadTx, *, kind: str | None = None, owner: str | None = None, limit: int = 100, offset: int = 0
) -> list[Case]:
    """Cases that are over, newest first."""
    return [_case(row) for row in tx.all(sql.resolved_cases, kind=kind, owner=owner, limit=limit, offset=offset)]


def last_resolved(tx: ReadTx) -> datetime | None:
    """When a case was last resolved; None when none ever was."""
    at: datetime | None = tx.value(sql.last_resolved)
    return at


def owners_of_live(tx: ReadTx) -> dict[str, int]:
    """Who owns live cases, and how many."""
    return {row.owner: row.cases for row in tx.all(sql.live_owners)}


def parked_counts(tx: ReadTx, refs: Collection[str]) -> dict[str, int]:
    """How much is parked behind each of these cases; missing references are left out."""
    return {row.ref: row.n for row in tx.all(sql.parked_counts, refs=list(refs))}


def counts(tx: ReadTx) -> dict[str, int]:
    """How many live cases there are of each kind, worst kinds first."""
    return {row.kind: row.cases for row in tx.all(sql.count_live)}


def history(tx: ReadTx, ref: str) -> list[Event]:
    """What was done about a case, in order."""
    return [Event(**row._asdict()) for row in tx.all(sql.events_of, ref=ref)]


def note(tx: Tx, ref: str, actor: str, what: str, now: datetime, detail: str = "") -> None:
    """Add to the history of a case."""
    tx.run(sql.add_event, ref=ref, actor=actor, what=what, now=now, detail=_storable(detail))


def things(tx: ReadTx, case: Case) -> list[str]:
    """All evidence a case was ever given but arrivals, as references in a fixed order."""
    return [row.thing for row in tx.all(sql.things_of, id=case.id)]


def parked(tx: ReadTx, case: Case) -> list[str]:
    """What still waits behind a case, as references: quarantined inbox rows, then held operations."""
    arrivals = [f"{ARRIVAL}{row.id}" for row in tx.all(sql.parked_arrivals, ref=case.ref)]
    return arrivals + [f"{OPERATION}{row.id}" for row in tx.all(sql.parked_operations, id=case.id)]


def _count(tx: Tx, values: dict[str, Any]) -> str | None:
    known = tx.one(sql.count_case, bound=EVIDENCE_MAX, **values)
    if known is not None and known.tell:
        tx.notify(CHANNEL)
    return None if known is None else str(known.ref)


def _insert(tx: Tx, kind: Kind, title: str | None, owners: Owners, values: dict[str, Any]) -> str | None:
    ref: str | None = tx.value(
        sql.insert_case,
        **values,
        title=_storable(title or kind.title),
        next_step=kind.next_step,
        severity=kind.severity,
        owner=owners.of(kind.name),
    )
    if ref is not None:
        note(tx, ref, SYSTEM, "opened", values["now"])
        tx.notify(CHANNEL)
    return ref


def _end(tx: Tx, case: Case, actor: str, why: str, now: datetime) -> None:
    tx.run(sql.resolve_case, id=case.id, actor=actor, note=_storable(why), now=now)
    note(tx, case.ref, actor, "resolved", now, why)


def _case(row: Row) -> Case:
    return Case(**row._asdict())


def _storable(text: str) -> str:
    """Without what PostgreSQL refuses: whatever a remote system sent, its case must be recordable."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _json(value: Any) -> str | None:
    # An escaped NUL is valid JSON, but jsonb has no place for it.
    return None if value is None else msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")
