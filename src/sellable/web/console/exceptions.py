"""What must a person do now: cases ranked by harm, one case with everything about it, and the acts on them.

One rule: an act goes through the desk and is on the record with the person's name in one transaction; afterwards the
browser is sent on to a page that can be loaded again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from starlette.responses import Response

from sellable.desk import cases
from sellable.desk.cases import Case
from sellable.desk.kinds import KINDS
from sellable.runtime import operations
from sellable.runtime.database import ReadTx, Tx
from sellable.web.console.doors import Page, Visit
from sellable.web.console.forms import go, number, only, said, sent
from sellable.web.console.render import SEVERITIES, address, duration, page, subject_path

ROWS = 100
BULK_MAX = 200
PAGES_MAX = 1000
State = Literal["live", "open", "acknowledged", "resolved"]
STATES: dict[str, tuple[str, ...]] = {
    "live": cases.LIVE,
    "open": ("open",),
    "acknowledged": ("acknowledged",),
    "resolved": ("resolved",),
}
SAID = {
    "assigned": ("good", "{n} assigned."),
    "acknowledged": ("good", "You have it: others see that somebody works on this."),
    "resolved": ("good", "Resolved. If the trouble comes back, a new case opens."),
    "replayed": ("good", "{n} will be tried again. What fails again is counted here."),
    "nothing": ("", "Nothing was parked behind it any more."),
    "commented": ("good", "Your comment is in the history."),
    "already": ("warn", "Nothing changed: somebody was faster, or it is so already."),
    "parked": ("bad", "Not resolved: something is still parked behind it. Replay it first, or give it up."),
    "words": ("bad", "Not done: say why, in words."),
    "owner": ("bad", "Not done: name somebody."),
    "none": ("bad", "Not done: choose at least one case."),
}
"""What is said after an act, by the code in the address."""


# --- The list --------------------------------------------------------------------------------------------------------


async def show_list(visit: Visit) -> Response:
    """Cases, worst first."""
    asked = visit.request.query_params
    kind = asked.get("kind", "") if asked.get("kind", "") in KINDS else ""
    owner = asked.get("owner", "").replace("\x00", "")
    state = asked.get("state", "live") if asked.get("state", "live") in STATES else "live"
    start = number(visit, "page", PAGES_MAX) * ROWS
    where: dict[str, Any] = {"kind": kind or None, "owner": owner or None, "limit": ROWS + 1, "offset": start}

    def read(tx: ReadTx) -> tuple[list[Case], dict[str, int], dict[str, int], datetime | None]:
        found = cases.resolved(tx, **where) if state == "resolved" else cases.listing(tx, states=STATES[state], **where)
        return found, cases.counts(tx), cases.owners_of_live(tx), cases.last_resolved(tx)

    found, kinds, owners, last = await visit.console.store.read(read)
    now = visit.console.clock.now()
    here = {"kind": kind, "owner": owner, "state": "" if state == "live" else state}
    return page(
        visit, "exceptions.html", headline=headline(kinds, found, last, now), cases=found[:ROWS], kinds=kinds,
        owners=owners, here=here, state=state, states=list(STATES), severities=SEVERITIES, table=KINDS, last=last,
        next_page=address("/exceptions", **here, page=start // ROWS + 1) if len(found) > ROWS else "",
        paged=start > 0, said=said(visit, SAID), bulk=visit.person.may("approver"),
    )  # fmt: skip


def headline(kinds: Mapping[str, int], found: Sequence[Case], last: datetime | None, now: datetime) -> str:
    """How many there are, worst named first; when there is none, since when."""
    total = sum(kinds.values())
    if not total:
        return f"No exceptions: the last one was resolved {duration((now - last).total_seconds())} ago" if last else (
            "No exceptions: there never was one"
        )  # fmt: skip
    urgent = sum(n for kind, n in kinds.items() if kind in KINDS and KINDS[kind].severity == 1)
    late = sum(case.overdue(now) for case in found)
    text = f"{total:,} thing{'s wait' if total != 1 else ' waits'} for a person"
    text += f", {urgent:,} of them at once" if urgent else ""
    return text + (f", {late:,} past the deadline" if late else "")


# --- Many at once ----------------------------------------------------------------------------------------------------


async def ask_many(visit: Visit) -> Response:
    """What would happen to the chosen cases; nothing happens yet."""
    asked = visit.request.query_params
    act, owner = asked.get("act", ""), asked.get("owner", "").strip().replace("\x00", "")
    refs = list(dict.fromkeys(asked.getlist("ref")))[:BULK_MAX]
    if not refs or act not in ("assign", "replay"):
        return go("/exceptions", done="none")
    if act == "assign" and not owner:
        return go("/exceptions", done="owner")

    def read(tx: ReadTx) -> tuple[list[Case], dict[str, int]]:
        found = [case for ref in refs if (case := cases.find(tx, ref)) is not None and case.state in cases.LIVE]
        return found, cases.parked_counts(tx, [case.ref for case in found])

    found, parked = await visit.console.store.read(read)
    if not found:
        return go("/exceptions", done="already")
    return page(
        visit, "exceptions_many.html", act=act, owner=owner, cases=found, parked=parked, total=sum(parked.values())
    )  # fmt: skip


async def do_many(visit: Visit) -> Response:
    """Does it to all of them, or to none."""
    fields = await sent(visit)
    act, owner = only(fields, "act"), only(fields, "owner")
    refs = list(dict.fromkeys(fields.get("ref", [])))[:BULK_MAX]

    def write(tx: Tx) -> int:
        # In one order, so that two people who do the same wait for each other and for nothing else.
        present = [ref for ref in sorted(refs) if cases.find(tx, ref)]
        if act == "assign":
            return sum(_assign(visit, tx, ref, owner) for ref in present)
        return sum(_replay(visit, tx, ref) for ref in present)

    if not refs or act not in ("assign", "replay"):
        return go("/exceptions", done="none")
    if act == "assign" and not owner:
        return go("/exceptions", done="owner")
    n = await visit.console.store.write(write)
    if act == "replay" and not n:
        return go("/exceptions", done="nothing")
    return go("/exceptions", done="assigned" if act == "assign" else "replayed", n=n or "0")


# --- One case --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Tried:
    """An operation a case is about: how often it was sent, and how that ended."""

    id: str
    kind: str
    state: str
    sends: int
    cause: str


async def show(visit: Visit) -> Response:
    """A case, what it is about, what was tried and what can be done."""
    ref = visit.request.path_params["ref"]

    def read(tx: ReadTx) -> tuple[Case | None, Any, Any, Any, Any]:
        case = None if "\x00" in ref else cases.find(tx, ref)
        if case is None:
            return None, [], [], [], []
        tried = [tried for thing in case.evidence if (tried := _tried(tx, thing))]
        same = cases.listing(tx, states=("open", "acknowledged", "resolved"), subject=case.subject, limit=10)
        return case, cases.history(tx, ref), cases.parked(tx, case), tried, [c for c in same if c.ref != ref]

    case, history, parked, tried, same = await visit.console.store.read(read)
    if case is None:
        return page(visit, "case_missing.html", status_code=404, ref=ref)
    return page(
        visit, "case.html", case=case, kind=KINDS.get(case.kind), history=history, parked=parked, tried=tried,
        same=same, expected=sides(case.expected), actual=sides(case.actual), severities=SEVERITIES,
        evidence=[(thing, subject_path(thing)) for thing in case.evidence],
        subject=subject_path(case.subject), said=said(visit, SAID), overdue=case.overdue(visit.console.clock.now()),
    )  # fmt: skip


def sides(value: Any) -> list[tuple[str, str]]:
    """A JSON value as names and values to be put beside another one."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [(str(name), _text(inner)) for name, inner in value.items()]
    return [("", _text(value))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tried(tx: ReadTx, thing: str) -> Tried | None:
    if not thing.startswith(cases.OPERATION):
        return None
    op = operations.find(tx, thing.removeprefix(cases.OPERATION))
    if op is None:
        return None
    return Tried(id=op.id, kind=op.kind, state=op.state, sends=op.sends, cause=op.cause or "")


async def act(visit: Visit) -> Response:
    """One act on one case."""
    ref, fields = visit.request.path_params["ref"], await sent(visit)
    work = ACTS.get(only(fields, "act"))
    if work is None:
        return go(f"/exceptions/{quote(ref, safe='')}")
    try:
        done, n = await visit.console.store.write(lambda tx: work(visit, tx, ref, fields))
    except cases.CaseMissing:
        return page(visit, "case_missing.html", status_code=404, ref=ref)
    except cases.StillParked:
        done, n = "parked", 0
    except ValueError:
        done, n = "owner" if only(fields, "act") == "assign" else "words", 0
    return go(f"/exceptions/{quote(ref, safe='')}", done=done, n=n or "")


Fields = Mapping[str, list[str]]
Done = tuple[str, int]


def _do_assign(visit: Visit, tx: Tx, ref: str, fields: Fields) -> Done:
    return ("assigned", 1) if _assign(visit, tx, ref, only(fields, "owner")) else ("already", 0)


def _do_acknowledge(visit: Visit, tx: Tx, ref: str, fields: Fields) -> Done:
    done = _changed(visit, tx, ref, "case.acknowledge", lambda at: cases.acknowledge(tx, ref, visit.person.name, at))
    return ("acknowledged" if done else "already"), 0


def _do_resolve(visit: Visit, tx: Tx, ref: str, fields: Fields) -> Done:
    why, give_up = only(fields, "why"), only(fields, "give_up") == "yes"

    def end(at: datetime) -> bool:
        return cases.resolve(tx, ref, visit.person.name, why, at, give_up=give_up)

    return ("resolved" if _changed(visit, tx, ref, "case.resolve", end) else "already"), 0


def _do_replay(visit: Visit, tx: Tx, ref: str, fields: Fields) -> Done:
    n = _replay(visit, tx, ref)
    return ("replayed", n) if n else ("nothing", 0)


def _do_comment(visit: Visit, tx: Tx, ref: str, fields: Fields) -> Done:
    cases.comment(tx, ref, visit.person.name, only(fields, "text"), visit.console.clock.now())
    visit.console.record(tx, visit.person.name, "case.comment", f"case:{ref}", correlation=ref)
    return "commented", 0


ACTS: dict[str, Callable[[Visit, Tx, str, Fields], Done]] = {
    "assign": _do_assign,
    "acknowledge": _do_acknowledge,
    "resolve": _do_resolve,
    "replay": _do_replay,
    "comment": _do_comment,
}
"""Name of an act -> what does it, for the pages and the API."""


def _assign(visit: Visit, tx: Tx, ref: str, owner: str) -> bool:
    person = visit.person.name
    return _changed(visit, tx, ref, "case.assign", lambda at: cases.assign(tx, ref, owner, person, at))


def _replay(visit: Visit, tx: Tx, ref: str) -> int:
    cases.lock(tx, ref)
    n = visit.console.work.replay(tx, ref, visit.person.name)
    after = {"case": ref, "count": n}
    visit.console.record(tx, visit.person.name, "case.replay", f"case:{ref}", after=after, correlation=ref)
    return n


def _changed(visit: Visit, tx: Tx, ref: str, action: str, change: Callable[[datetime], bool]) -> bool:
    """Does it and puts it on the record; whether it changed anything."""
    before = cases.lock(tx, ref)
    if not change(visit.console.clock.now()):
        return False
    after = cases.lock(tx, ref)
    visit.console.record(
        tx, visit.person.name, action, f"case:{ref}", correlation=ref,
        before={"owner": before.owner, "state": before.state}, after={"owner": after.owner, "state": after.state},
    )  # fmt: skip
    return True


PAGES = [
    Page(path="/exceptions", answer=show_list, role="viewer"),
    Page(path="/exceptions/many", answer=ask_many, role="approver"),
    Page(path="/exceptions/many", answer=do_many, role="approver", methods=("POST",)),
    Page(path="/exceptions/{ref}", answer=show, role="viewer"),
    Page(path="/exceptions/{ref}", answer=act, role="operator", methods=("POST",)),
]
