"""Where is each order, and what happened to one: lists by what orders wait for, and one story over four systems."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from sellable.book import shelves
from sellable.book.shelves import COUNT_BOUND, SHELVES, Mark, Shelf
from sellable.desk.kinds import KINDS
from sellable.runtime.database import ReadTx
from sellable.web.console.doors import Page, Visit
from sellable.web.console.render import address, duration, money, page

ROWS = 50
SHOPFRONT, US, BACK_OFFICE, CARRIER = "commercetools", "us", "back office", "carrier"


# --- The list --------------------------------------------------------------------------------------------------------


async def show_list(visit: Visit) -> Response:
    """A page of orders."""
    asked = visit.request.query_params
    name = asked.get("show", "all")
    name = name if name in SHELVES else "all"
    text = asked.get("q", "").strip()

    def read(tx: ReadTx) -> tuple[Shelf, dict[str, tuple[int, list[str]]], dict[str, Any], bool]:
        found = shelves.shelf(tx, name, text, mark_of(asked.get("after", "")), ROWS)
        parts = {} if name == "orphaned" else shelves.parts_of(tx, [row.order_id for row in found.rows])
        return found, parts, shelves.counts(tx), bool(found.rows) or shelves.any_order(tx)

    found, parts, counts, any_order = await visit.console.store.read(read)
    after = f"{found.next.at.isoformat()}~{found.next.id}" if found.next else ""
    next_page = after and address("/orders", show=name, q=text, after=after)
    return page(
        visit, "orders.html", headline=headline(counts, visit.console.clock.now()) if any_order else FIRST_RUN,
        shelves=list(SHELVES), shown=name, text=text, counts=counts, bound=COUNT_BOUND, rows=found.rows, parts=parts,
        wait_of=wait_of, next_page=next_page, paged="after" in asked, any_order=any_order,
    )  # fmt: skip


FIRST_RUN = "No order has arrived yet"


def mark_of(text: str) -> Mark | None:
    """Where a page begins, from its address; None, the beginning, for what is no such place."""
    at, _, name = text.partition("~")
    try:
        when = datetime.fromisoformat(at)
        return Mark(at=when, id=name) if when.tzinfo and "\x00" not in name else None
    except ValueError:
        return None


def headline(counts: Mapping[str, tuple[int, datetime | None]], now: datetime) -> str:
    """Where orders are, in a sentence that begins with those a person must look at."""
    says = {"held": "held", "waiting": "waiting", "exporting": "on the way to the back office"}
    parts = []
    for stage, words in says.items():
        n, oldest = counts[stage]
        if n:
            parts.append(f"{many(n)} {words}" + (f" (the oldest for {duration(_age(oldest, now))})" if oldest else ""))
    orphans = counts["orphaned"][0]
    if orphans:
        parts.append(f"{many(orphans)} stray sale{'s' if orphans != 1 else ''}")
    return ", ".join(parts) if parts else "Every order is at the back office or done"


def many(n: int) -> str:
    """A count that was not counted to its end says so."""
    return f"{COUNT_BOUND - 1:,}+" if n >= COUNT_BOUND else f"{n:,}"


def _age(at: datetime | None, now: datetime) -> float:
    return max(0.0, (now - at).total_seconds()) if at else 0.0


# --- One order -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request and its answer: `request_id` is what the other side was told it belongs to."""

    at: datetime
    what: str
    status: int
    seconds: float
    request_id: str
    error: str
    request: str
    answer: str

    @property
    def tone(self) -> str:
        """'' when it was answered as hoped."""
        return "" if 200 <= self.status < 400 else "bad"


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that happened, at one of the four sides."""

    at: datetime
    side: str
    title: str
    tone: str = ""
    state: str = ""
    facts: Sequence[tuple[str, str]] = ()
    calls: Sequence[Call] = ()
    link: str = ""


async def show(visit: Visit) -> Response:
    """One order, or the few that share a number."""
    key = visit.request.path_params["order_id"]
    known = [] if "\x00" in key else await visit.console.store.read(visit.console.work.story, key)
    if len(known) != 1:
        return page(visit, "order_which.html", status_code=300 if known else 404, key=key, orders=known)
    order = known[0]
    return page(
        visit, "order.html", order=order, headline=order_headline(order, visit.console.clock.now()),
        steps=timeline(order), totals=totals(order), lines=lines(order), parcels=parcels(order),
        live_cases=[case for case in order["cases"] if case["state"] != "resolved"],
    )  # fmt: skip


def order_headline(order: Mapping[str, Any], now: datetime) -> str:
    """Where it is and for how long, and what it waits for."""
    name = order["number"] or order["order_id"]
    since = duration(_age(datetime.fromisoformat(order["stage_since"]), now))
    waits = f": {wait_of(order['waits_for'])}" if order["waits_for"] else ""
    return f"Order {name} has been {order['stage']} for {since}{waits}"


def wait_of(cause: str) -> str:
    """What an order waits for, in words where it is a kind of case."""
    return ", ".join(KINDS[each].title if each in KINDS else each for each in cause.split(", "))


def lines(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lines with what is still open of each."""
    return [
        line | {"open": max(0, line["ordered"] - line["cancelled"] - line["shipped"])} for line in order["lines"]
    ]  # fmt: skip


def totals(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Storefront against sale, for each sale and for the order; amounts in words, `agree` None while one is unknown."""
    rows = []
    booked: list[int | None] = []
    for part in order["parts"]:
        theirs = part["actual"] or {}
        if part["state"] not in ("voided", "dropped"):
            booked.append(theirs.get("gross"))
        name = part["sale_number"] or f"part {part['part']}"
        rows += [
            _amounts(order, f"{name}, {kind}", part["expected"].get(kind), theirs.get(kind))
            for kind in ("net", "tax", "gross")
        ]
    known = [amount for amount in booked if amount is not None]
    whole = sum(known) if known and len(known) == len(booked) else None
    return [*rows, _amounts(order, "the whole order", order["total"], whole)]


def _amounts(order: Mapping[str, Any], what: str, ours: int | None, theirs: int | None) -> dict[str, Any]:
    def said(amount: int | None) -> str:
        return "" if amount is None else money(amount, order["digits"], order["currency"])

    known = ours is not None and theirs is not None
    apart = theirs - ours if ours is not None and theirs is not None else 0
    return {
        "what": what, "ours": said(ours), "theirs": said(theirs), "apart": said(apart) if known else "",
        "agree": apart == 0 if known else None,
    }  # fmt: skip


def parcels(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every parcel of every shipment, with whether the storefront knows."""
    return [
        {"shipment": s["shipment_id"], "part": s["part"], "at": datetime.fromisoformat(s["at"]), "told": s["told"],
         "units": sum(units for _, units in s["items"]), **_parcel(parcel)}
        for s in order["shipments"]
        for parcel in s["document"].get("parcels") or [{}]
    ]  # fmt: skip


def _parcel(parcel: Mapping[str, Any]) -> dict[str, str]:
    url = str(parcel.get("tracking_url") or "")
    return {
        "carrier": parcel.get("carrier", ""), "tracking": parcel.get("tracking", ""),
        "url": url if url.startswith("https://") else "", "shipped_on": parcel.get("shipped_on", ""),
    }  # fmt: skip


# --- The story -------------------------------------------------------------------------------------------------------

SIDES = {
    "cancelled at the storefront": SHOPFRONT,
    "cancelled before we saw it": SHOPFRONT,
    "noted at the storefront": SHOPFRONT,
    "lines changed": SHOPFRONT,
    "units cancelled at the storefront": SHOPFRONT,
    "address or shipping changed": SHOPFRONT,
    "payment changed": SHOPFRONT,
    "illegal change of state": SHOPFRONT,
    "return announced": SHOPFRONT,
    "return at the storefront": SHOPFRONT,
    "units cancelled at the back office": BACK_OFFICE,
    "fewer units on the sale": BACK_OFFICE,
    "back office told: sale.header": BACK_OFFICE,
    "returned": BACK_OFFICE,
    "sale created": BACK_OFFICE,
    "sale authorised": BACK_OFFICE,
    "order imported": BACK_OFFICE,
    "sale is authorised": BACK_OFFICE,
    "sale changed by staff": BACK_OFFICE,
    "sale holds less": BACK_OFFICE,
    "sale undone": BACK_OFFICE,
    "sale voided": BACK_OFFICE,
    "refused by the back office": BACK_OFFICE,
    "stray draft found": BACK_OFFICE,
    "late draft voided": BACK_OFFICE,
    "picked": BACK_OFFICE,
    "shipped": BACK_OFFICE,
    "all shipped": BACK_OFFICE,
}
"""Where a step of the story happened; any other is ours."""
TONES = {
    "held": "warn", "waits": "warn", "totals differ": "bad", "refused by the back office": "bad",
    "cancel came too late": "bad", "given up for now": "bad", "sale changed by staff": "warn",
    "sale holds less": "warn",
    "second sale ignored": "warn", "stray draft found": "warn", "cancel of units came too late": "bad",
    "change came too late": "bad", "illegal change of state": "warn",
}  # fmt: skip
TOLD = {
    "storefront told: order.deliver": "storefront told what was shipped",
    "storefront told: order.ready": "storefront told that it is ready",
    "storefront told: order.note": "storefront told of the sale",
    "storefront told: order.return": "storefront told what came back",
    "storefront told: order.cancelled": "storefront told what is cancelled",
}
AMOUNTS = ("net", "tax", "gross", "total")
DUTIES = {
    "sale.find": "Look whether its sale is there already",
    "sale.create": "Create the draft of the sale",
    "sale.lines": "Put the lines and compare totals",
    "sale.authorise": "Authorise the sale",
    "sale.void": "Void the sale",
    "order.import": "Import the order",
    "order.note": "Note the sale at the storefront",
    "order.deliver": "Tell the storefront what was shipped",
    "order.ready": "Tell the storefront that it is ready",
    "order.return": "Tell the storefront what came back",
    "order.cancelled": "Tell the storefront what is cancelled",
    "sale.reduce": "Make the sale smaller",
    "sale.header": "Change the sale's address",
}
STATES = {"rejected": "bad", "held": "bad", "unknown": "warn"}


def timeline(order: Mapping[str, Any]) -> list[Step]:
    """All that is known of an order in the order it happened; calls stand under the duty they were made for."""
    placed = Step(
        at=datetime.fromisoformat(order["placed_at"]), side=SHOPFRONT, title="Placed",
        facts=[("total", money(order["total"], order["digits"], order["currency"]))],
    )  # fmt: skip
    duties, loose = _duties(order["operations"], [(call, _call(call)) for call in order["calls"]])
    told = [_event(event, order) for event in order["story"]]
    steps = [placed, *told, *_despatches(order), *duties, *loose, *_cases(order["cases"])]
    return sorted(steps, key=lambda step: step.at)


def _event(event: Mapping[str, Any], order: Mapping[str, Any]) -> Step:
    what = event["what"]
    words = TOLD.get(what, what)
    facts = [(name.replace("_", " "), _said(name, value, order)) for name, value in event["detail"].items()]
    return Step(
        at=datetime.fromisoformat(event["at"]), title=words[0].upper() + words[1:], tone=TONES.get(what, ""),
        side=SHOPFRONT if what in TOLD else SIDES.get(what, US), facts=[fact for fact in facts if fact[1]],
    )  # fmt: skip


def _despatches(order: Mapping[str, Any]) -> Iterable[Step]:
    for parcel in parcels(order):
        if parcel["carrier"] or parcel["tracking"]:
            said = [
                (name.replace("_", " "), parcel[name]) for name in ("carrier", "tracking", "shipped_on") if parcel[name]
            ]
            yield Step(at=parcel["at"], side=CARRIER, title="Parcel handed over", facts=said, link=parcel["url"])


def _cases(cases: Sequence[Mapping[str, Any]]) -> Iterable[Step]:
    for case in cases:
        yield Step(
            at=datetime.fromisoformat(case["first_at"]), side=US, title=f"Case {case['ref']}: {case['title']}",
            tone="" if case["state"] == "resolved" else "warn", state=case["state"], link=f"/exceptions/{case['ref']}",
        )  # fmt: skip


def _duties(
    owed: Sequence[Mapping[str, Any]], calls: Sequence[tuple[Mapping[str, Any], Call]]
) -> tuple[list[Step], list[Step]]:
    """Duties with their calls, and calls that belong to none: those of a lane follow each other, so time tells."""
    under: dict[str, list[Call]] = {}
    loose = []
    for raw, call in calls:
        of = next((op for op in owed if _made_for(raw, call, op)), None)
        if of is None:
            side = SHOPFRONT if raw["system"] == SHOPFRONT else BACK_OFFICE
            loose.append(Step(at=call.at, side=side, title=call.what, tone=call.tone, calls=[call]))
        else:
            under.setdefault(of["id"], []).append(call)
    return [_duty(op, under.get(op["id"], [])) for op in owed], loose


def _made_for(raw: Mapping[str, Any], call: Call, op: Mapping[str, Any]) -> bool:
    if raw["correlation"] == op["id"]:
        return True
    began, ended = datetime.fromisoformat(op["created_at"]), op["settled_at"]
    return bool(
        raw["system"] == op["system"] and began <= call.at and (not ended or call.at <= datetime.fromisoformat(ended))
    )


def _duty(op: Mapping[str, Any], calls: Sequence[Call]) -> Step:
    began, ended = datetime.fromisoformat(op["created_at"]), op["settled_at"]
    facts = [("attempts", str(op["sends"]))]
    if ended:
        facts.append(("took", duration((datetime.fromisoformat(ended) - began).total_seconds())))
    elif op["state"] == "intent":
        facts.append(("next try", op["due_at"][:19].replace("T", " ") + " UTC"))
    facts += [("cause", op["cause"])] if op["cause"] else []
    return Step(
        at=began, side=SHOPFRONT if op["system"] == SHOPFRONT else BACK_OFFICE if op["system"] != "self" else US,
        title=DUTIES.get(op["kind"], op["kind"]), tone=STATES.get(op["state"], ""),
        state={"intent": "owed", "done": ""}.get(op["state"], op["state"]),
        facts=[*facts, ("operation", op["id"])], calls=calls,
    )  # fmt: skip


def _call(call: Mapping[str, Any]) -> Call:
    return Call(
        at=datetime.fromisoformat(call["at"]), what=f"{call['operation']} {call['path']}", status=call["status"],
        seconds=call["seconds"], request_id=call["correlation"] or "", error=call["error"] or "",
        request=_body(call["request"]), answer=_body(call["answer"]),
    )  # fmt: skip


def _body(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)


def _said(name: str, value: Any, order: Mapping[str, Any]) -> str:
    """A value of the story in words: amounts as money, lists and tables without their brackets."""
    if isinstance(value, Mapping):
        if name == "by_rule":  # A tax rule's name -> its tax.
            return ", ".join(f"{rule} {_said('tax', each, order)}" for rule, each in value.items())
        return ", ".join(f"{inner.replace('_', ' ')} {_said(inner, each, order)}" for inner, each in value.items())
    if name == "differences":  # (which amount, expected, actual) each.
        return ", ".join(
            f"{of} {_said(of, ours, order)} against {_said(of, theirs, order)}" for of, ours, theirs in value
        )
    if isinstance(value, list):
        flat = not any(isinstance(each, list | dict) for each in value)
        return (" " if flat and len(value) > 1 and name == "" else ", ").join(_said("", each, order) for each in value)
    if isinstance(value, int) and not isinstance(value, bool) and name in AMOUNTS:
        return money(value, order["digits"], order["currency"])
    return "" if value is None or value is False else "yes" if value is True else str(value)


PAGES = [
    Page(path="/orders", answer=show_list, role="viewer"),
    Page(path="/orders/{order_id}", answer=show, role="viewer"),
]
