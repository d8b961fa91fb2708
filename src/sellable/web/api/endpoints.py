"""What programs may ask and do. Each endpoint is a row: path, verb, role, what it takes, what it answers.

One rule: parse, call one thing, shape the answer; whatever a person could do in the console goes the same way here.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from sellable.book import shelves
from sellable.desk import cases
from sellable.runtime.database import ReadTx
from sellable.web.api import shapes
from sellable.web.api.offered import Offer, Question, sql
from sellable.web.console import exceptions, orders
from sellable.web.console.doors import Role, Visit

ROOT = "/api/v1"
_PLAIN = re.compile(r"[\w.~-]+", re.ASCII).fullmatch


class Refused(Exception):
    """Not done: `status` and why, for the caller."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One thing a program may ask; `answer` gets the visit, what the address asks and the body."""

    path: str
    answer: Callable[[Visit, Any, Any], Awaitable[Any]]
    role: Role
    answers: type[msgspec.Struct]
    asks: type[msgspec.Struct] = shapes.Nothing
    body: type[msgspec.Struct] | None = None
    refuses: Sequence[int] = ()

    @property
    def method(self) -> str:
        """Who sends a body acts."""
        return "GET" if self.body is None else "POST"


# --- Availability ----------------------------------------------------------------------------------------------------


async def availability(visit: Visit, asked: shapes.WhichSkus, _: Any) -> shapes.Availability:
    """What channels may sell of up to 100 SKUs, from what was planned last: milliseconds old."""
    marks = {channel.key: channel.low_mark for channel in visit.console.settings.channels}
    if asked.channel is not None and asked.channel not in marks:
        raise Refused(422, "there is no such channel", f"Channels: {', '.join(map(repr, marks))}.")
    channels = list(marks) if asked.channel is None else [asked.channel]
    skus = list(dict.fromkeys(asked.sku))
    offers = await visit.console.offered(Question(skus, channels))
    places = await _places(visit, skus) if asked.locations else None
    known = {sku for sku, _, _, _ in offers}
    return shapes.Availability(
        at=visit.console.clock.now(),
        numbers=[_number(offer, marks, places) for offer in offers],
        unknown=[sku for sku in skus if sku not in known],
    )


async def _places(visit: Visit, skus: Sequence[str]) -> Mapping[str, tuple[shapes.Place, ...]]:
    found: dict[str, tuple[shapes.Place, ...]] = {}
    for row in await visit.console.store.ask(sql.places, skus=skus):
        place = shapes.Place(location_id=row.location_id, on_hand=row.on_hand, at=row.at)
        found[row.sku] = (*found.get(row.sku, ()), place)
    return found


def _number(
    offer: Offer, marks: Mapping[str, int], places: Mapping[str, tuple[shapes.Place, ...]] | None
) -> shapes.Number:
    sku, channel, t, d = offer
    return shapes.Number(
        sku=sku, channel=channel, available=max(0, t), shown=t - d, status=status_of(t, marks[channel]),
        # Most SKUs need no escape, and finding that out is cheaper than escaping.
        explanation=f"{ROOT}/availability/{sku if _PLAIN(sku) else quote(sku, safe='')}",
        locations=msgspec.UNSET if places is None else places.get(sku, ()),
    )  # fmt: skip


def status_of(available: int, low_mark: int) -> shapes.Status:
    """A number in a word."""
    if available <= 0:
        return "out_of_stock"
    return "low_stock" if available <= low_mark else "in_stock"


async def explanation(visit: Visit, asked: shapes.AtInstant, _: Any) -> shapes.Explained:
    """Why a SKU's numbers are what they are, now or at an instant of the past."""
    if asked.at is not None and asked.at.tzinfo is None:
        raise Refused(422, "at has no zone", "Write it like 2026-11-21T12:00:00Z.")
    found = await visit.console.explain(visit.request.path_params["sku"], asked.at)
    if not found["numbers"]:
        raise Refused(404, "no entry of this SKU is known", "SKUs are exact, to the last letter.")
    return msgspec.convert(found, shapes.Explained)


# --- Orders ----------------------------------------------------------------------------------------------------------


async def list_orders(visit: Visit, asked: shapes.WhichOrders, _: Any) -> shapes.Orders:
    """Orders by what they wait for: the longest waiting first where somebody waits, else the newest."""
    mark = orders.mark_of(asked.after)
    if asked.after and mark is None:
        raise Refused(422, "after is no place in the list", "Take `next` of the page before as it is.")
    found = await visit.console.store.read(shelves.shelf, asked.show, asked.q, mark, asked.limit)
    return shapes.Orders(
        orders=[
            shapes.Order(
                order_id=row.order_id, number=row.number, stage=row.stage, stage_since=row.stage_since,
                placed_at=row.placed_at, total=row.total, currency=row.currency, digits=row.digits,
                waits_for=row.hold_cause or "",
            )
            for row in found.rows
        ],
        next=f"{found.next.at.isoformat()}~{found.next.id}" if found.next else "",
    )  # fmt: skip


async def order(visit: Visit, _: Any, __: Any) -> shapes.Story:
    """One order by id or number, with lines, sales, shipments, operations, calls, cases and its story."""
    found = await visit.console.store.read(visit.console.work.story, visit.request.path_params["order"])
    if not found:
        raise Refused(404, "there is no such order")
    return shapes.Story(orders=found)


# --- Cases -----------------------------------------------------------------------------------------------------------


async def list_cases(visit: Visit, asked: shapes.WhichCases, _: Any) -> shapes.Cases:
    """Cases, worst first; those that are over newest first."""
    where: dict[str, Any] = {
        "kind": asked.kind or None, "owner": asked.owner or None, "limit": asked.limit + 1,
        "offset": asked.page * asked.limit,
    }  # fmt: skip

    def read(tx: ReadTx) -> list[cases.Case]:
        if asked.state == "resolved":
            return cases.resolved(tx, **where)
        return cases.listing(tx, states=exceptions.STATES[asked.state], **where)

    found = await visit.console.store.read(read)
    return shapes.Cases(cases=[_case(case) for case in found[: asked.limit]], more=len(found) > asked.limit)


async def case(visit: Visit, _: Any, __: Any) -> shapes.WholeCase:
    """One case, with what was done about it and what is parked behind it."""
    ref = visit.request.path_params["ref"]

    def read(tx: ReadTx) -> tuple[cases.Case, list[cases.Event], list[str]]:
        found = cases.find(tx, ref)
        if found is None:
            raise Refused(404, "there is no such case")
        return found, cases.history(tx, ref), cases.parked(tx, found)

    found, history, parked = await visit.console.store.read(read)
    events = [shapes.CaseEvent(at=e.at, actor=e.actor, what=e.what, detail=e.detail) for e in history]
    return shapes.WholeCase(case=_case(found), history=events, parked=parked)


def _case(found: cases.Case) -> shapes.Case:
    values = {name: getattr(found, name) for name in shapes.Case.__struct_fields__}
    return shapes.Case(**values)


def _act(name: str, words: str) -> Callable[[Visit, Any, msgspec.Struct], Awaitable[shapes.Done]]:
    async def act(visit: Visit, _: Any, body: msgspec.Struct) -> shapes.Done:
        ref, fields = visit.request.path_params["ref"], _fields(body)
        try:
            done, n = await visit.console.store.write(lambda tx: exceptions.ACTS[name](visit, tx, ref, fields))
        except cases.CaseMissing:
            raise Refused(404, "there is no such case") from None
        except cases.StillParked as error:
            raise Refused(409, "something is still parked behind it", f"{error}: replay it, or give it up.") from None
        except ValueError as error:
            raise Refused(422, "this cannot be done", str(error)) from None
        return shapes.Done(changed=done not in ("already", "nothing"), count=n)

    act.__doc__ = words
    return act


def _fields(body: msgspec.Struct) -> Mapping[str, list[str]]:
    """As the console's form would send it."""
    values = msgspec.structs.asdict(body)
    return {name: ["yes" if value is True else "" if value is False else value] for name, value in values.items()}


# --- Writes ----------------------------------------------------------------------------------------------------------


async def writes(visit: Visit, _: Any, __: Any) -> shapes.Writes:
    """Whether a person froze the writes of stock."""
    return shapes.Writes(frozen=(await visit.console.standing()).frozen)


async def freeze(visit: Visit, _: Any, __: Any) -> shapes.Writes:
    """Freeze all writes of stock, also decreases, for every process, until somebody resumes."""
    return shapes.Writes(frozen=True, changed=await visit.console.acts.freeze(visit.person.name, True))


async def resume(visit: Visit, _: Any, __: Any) -> shapes.Writes:
    """Resume the writes of stock."""
    return shapes.Writes(frozen=False, changed=await visit.console.acts.freeze(visit.person.name, False))


CASE = ROOT + "/cases/{ref}"


def _on_case(name: str, words: str, body: type[msgspec.Struct], *more: int) -> Endpoint:
    return Endpoint(
        path=f"{CASE}/{name}", answer=_act(name, words), role="operator", body=body, answers=shapes.Done,
        refuses=(404, *more),
    )  # fmt: skip


ENDPOINTS = (
    Endpoint(
        path=f"{ROOT}/availability", answer=availability, role="viewer", asks=shapes.WhichSkus,
        answers=shapes.Availability,
    ),
    Endpoint(
        path=f"{ROOT}/availability/{{sku:path}}", answer=explanation, role="viewer", asks=shapes.AtInstant,
        answers=shapes.Explained, refuses=(404,),
    ),
    Endpoint(
        path=f"{ROOT}/orders", answer=list_orders, role="viewer", asks=shapes.WhichOrders, answers=shapes.Orders
    ),
    Endpoint(path=f"{ROOT}/orders/{{order}}", answer=order, role="viewer", answers=shapes.Story, refuses=(404,)),
    Endpoint(path=f"{ROOT}/cases", answer=list_cases, role="viewer", asks=shapes.WhichCases, answers=shapes.Cases),
    Endpoint(path=CASE, answer=case, role="viewer", answers=shapes.WholeCase, refuses=(404,)),
    _on_case("assign", "Give a case to another owner.", shapes.Assign),
    _on_case("acknowledge", "Say that somebody works on it.", shapes.Nothing),
    _on_case("comment", "Add words to its history.", shapes.Comment),
    _on_case("replay", "Let go on whatever stands behind it.", shapes.Nothing),
    _on_case("resolve", "End it, with what was done about it.", shapes.Resolve, 409),
    Endpoint(path=f"{ROOT}/writes", answer=writes, role="viewer", answers=shapes.Writes),
    Endpoint(
        path=f"{ROOT}/writes/freeze", answer=freeze, role="approver", body=shapes.Nothing, answers=shapes.Writes
    ),
    Endpoint(
        path=f"{ROOT}/writes/resume", answer=resume, role="approver", body=shapes.Nothing, answers=shapes.Writes
    ),
)  # fmt: skip
