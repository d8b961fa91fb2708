"""Why is this number 4? Every term of a SKU's numbers, now or then, the facts below them, and the way to stop it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from sellable.runtime.database import ReadTx, Row
from sellable.runtime.queries import queries
from sellable.web.console.doors import Page, Visit
from sellable.web.console.forms import go, only, sent
from sellable.web.console.freshness import sets_too_old
from sellable.web.console.render import page, sku_path
from sellable.web.console.stock import clean
from sellable.web.console.terms import Bar, Term, bars, number_rows, pool_rows

sql = queries("sellable.web.console")

CHANGES, BUNDLES, FACTS = 200, 50, 40
REASON_LENGTH_MAX = 200


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that happened to a SKU; `order` and `sku` are what it can be opened by."""

    at: datetime
    seq: int
    what: str
    words: str
    order: str = ""


@dataclass(frozen=True, kw_only=True)
class _Besides:
    """What the page shows that is no term."""

    name: str
    holds: Sequence[Row]
    bundles: Sequence[Row]
    changes: Sequence[Row]
    orders: Mapping[str, str]
    too_old: Sequence[tuple[str, datetime]]


async def show(visit: Visit) -> Response:
    """The page of one SKU."""
    sku = clean(visit.request.path_params["sku"])
    now = visit.console.clock.now()
    at, wrong = instant(visit.request.query_params.get("at", ""), now)
    found = await visit.console.explain(sku, at)
    besides = await visit.console.store.read(_besides, visit, sku, found)
    if not found["numbers"] and not found["known_to_master"] and not besides.changes:
        return page(
            visit, "no_sku.html", status_code=404, sku=sku, twins=found["twins"], asked=sku,
            headline=f"{sku} is no SKU of the storefront or the back office",
        )  # fmt: skip
    return page(
        visit, "sku.html", following=at is None, sku=sku, at=at, wrong=wrong, found=found, besides=besides,
        headline=headline(sku, found, at), numbers=[_number(n) for n in found["numbers"]], facts=facts_of(found),
        slider=slider(besides.changes, at, now), done=visit.request.query_params.get("done", ""),
        stop=visit.request.query_params.get("stop", ""), held=stops_of(besides.holds),
        bundle=bool(found["recipe"]), frozen=visit.standing.frozen,
        own=[n["channel"] or "no channel" for n in found["numbers"] if n["explanation"].get("counted")],
    )  # fmt: skip


async def act(visit: Visit) -> Response:
    """Stop selling, or sell again; then the page, which says what was done and offers the way back."""
    sku = clean(visit.request.path_params["sku"])
    fields = await sent(visit)
    acts, actor = visit.console.acts, visit.person.name
    what, stop = only(fields, "act"), only(fields, "stop")
    if what == "stop":
        reason = clean(only(fields, "reason"))[:REASON_LENGTH_MAX] or "stopped by hand"
        stop = await acts.stop_selling(actor, sku, reason)
        return go(sku_path(sku), done="stopped", stop=stop)
    if what == "resume" and stop:
        ended = await acts.sell_again(actor, sku, clean(stop))
        return go(sku_path(sku), done="resumed" if ended else "over")
    return go(sku_path(sku))


PAGES = [
    Page(path="/stock/{sku:path}", answer=show, role="viewer"),
    Page(path="/stock/{sku:path}", answer=act, role="operator", methods=("POST",)),
]


def headline(sku: str, found: Mapping[str, Any], at: datetime | None) -> str:
    """The numbers of a SKU as a sentence."""
    then = f" on {at:%d %B %Y at %H:%M:%S} UTC" if at else ""
    if not found["numbers"]:
        return f"{sku} had no number{then}" if at else f"{sku} has no entry at the storefront"
    told = [f"{n['explanation']['target']:,} on {n['channel'] or 'no channel'}" for n in found["numbers"]]
    verb = "had to show" if at else "shows"
    if not at and any(n["d"] for n in found["numbers"]):
        verb = "should show"
    return f"{sku} {verb} {' and '.join([', '.join(told[:-1]), told[-1]] if told[1:] else told)}{then}"


def instant(text: str, now: datetime) -> tuple[datetime | None, str]:
    """The instant of ?at=, in ISO 8601 (UTC where no zone is given) or unix seconds, and what is wrong with it."""
    text = text.strip()
    if not text:
        return None, ""
    try:
        at = datetime.fromtimestamp(int(text), UTC) if text.isdigit() else datetime.fromisoformat(text)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None, f"{text[:40]} is no instant; write one like 2026-11-21T12:00:00."
    return (None, "") if at >= now else (at, "")


def slider(changes: Sequence[Row], at: datetime | None, now: datetime) -> Mapping[str, Any] | None:
    """The ends of the time slider, its place, and the changes before and after, in unix seconds, each at the end of the
    second it happened in; None while nothing changed yet."""
    if not changes:
        return None
    times = sorted({int(row.at.timestamp()) + 1 for row in changes})
    here, last = int((at or now).timestamp()), max(int(now.timestamp()), times[0] + 1)
    return {
        "first": times[0], "last": last, "value": here, "ticks": times,
        "before": max((t for t in times if t < here), default=None),
        "after": min((t for t in times if here < t < last), default=None) if at else None,
    }  # fmt: skip


def stops_of(holds: Sequence[Row]) -> list[dict[str, Any]]:
    """What holds units back, a stop of several pools as one: under which name it ends, who began it and why."""
    found: dict[str, dict[str, Any]] = {}
    for row in holds:
        name, _, pool = row.id.partition(":")
        stop = name.startswith("stop_") and bool(pool)
        known = found.setdefault(name if stop else row.id, {
            "id": name if stop else row.id, "stop": stop, "units": row.units, "reason": row.reason, "actor": row.actor,
            "at": row.placed_at, "until": row.expires_at, "pools": [],
        })  # fmt: skip
        known["pools"].append(row.pool)
    return list(found.values())


def facts_of(found: Mapping[str, Any]) -> list[Fact]:
    """The newest facts behind the numbers, newest first."""
    facts = [fact for sku, known in found["facts"].items() for fact in _master_facts(sku, known, found["sku"])]
    for channel, rows in found["entry_facts"].items():
        facts += [
            Fact(
                at=datetime.fromisoformat(f["at"]), seq=f["causal_seq"], what=f"entry on {channel or 'no channel'}",
                words=f"{ENTRY_WORDS.get(f['kind'], f['kind'])} {f['quantity']:+,}", order=_order(f),
            )
            for f in rows
        ]  # fmt: skip
    return sorted(facts, key=lambda fact: (fact.at, fact.seq), reverse=True)[:FACTS]


ENTRY_WORDS = {
    "baseline": "counted from", "delta": "we wrote", "foreign": "somebody else wrote", "restocked": "a cancel put back",
    "drift": "found different by", "taken": "an order took", "held": "a checkout holds",
}  # fmt: skip


def _master_facts(sku: str, known: Mapping[str, Any], asked: str) -> list[Fact]:
    of = "" if sku == asked else f"{sku}: "
    seen = [
        Fact(
            at=datetime.fromisoformat(o["at"]), seq=o["causal_seq"], what="master's number",
            words=f"{of}{'/'.join(x for x in (o['location'], o['part']) if x)} {o['state'] or 'unknown'} "
            f"from {o['value_before']:,} to {o['value']:,}",
        )
        for o in known["observations"]
    ]  # fmt: skip
    sold = [
        Fact(
            at=datetime.fromisoformat(d["at"]), seq=d["causal_seq"], what="units sold", order=d["order_id"],
            words=f"{of}{d['kind']} {d['units']:,}{' at ' + d['location'] if d['location'] else ''}",
        )
        for d in known["demand"]
    ]  # fmt: skip
    moved = [
        Fact(
            at=datetime.fromisoformat(m["at"]), seq=m["causal_seq"], what="ledger",
            words=f"{of}{m['kind'].replace('_', ' ')} {m['quantity']:,}: "
            f"{_account(m['from_location'], m['from_state'])} to {_account(m['to_location'], m['to_state'])}",
        )
        for m in known["movements"]
    ]  # fmt: skip
    return [*seen, *sold, *moved]


def _account(location: str, state: str) -> str:
    """A place in the ledger; accounts of the outside world have no location."""
    return f"{location} {state}" if location else state


def _order(fact: Mapping[str, Any]) -> str:
    return fact["resource"] if fact["source"] == "order" else ""


def _number(number: Mapping[str, Any]) -> dict[str, Any]:
    """A number with its waterfalls: of a bundle one for each component too."""
    explanation = number["explanation"]
    components = [
        {
            "sku": part["term"]["sku"], "per_kit": part["per_kit"], "kits": part["kits"],
            "rows": _drawn(pool_rows(part["term"])),
        }
        for part in explanation["components"]
    ]  # fmt: skip
    return {**number, "rows": _drawn(number_rows(explanation)), "components": components}


def _drawn(rows: Sequence[Term]) -> list[tuple[Term, Bar]]:
    return list(zip(rows, bars(rows), strict=True))


def _besides(tx: ReadTx, visit: Visit, sku: str, found: Mapping[str, Any]) -> _Besides:
    now = visit.console.clock.now()
    labels = {
        flight["order"]
        for number in found["numbers"]
        for term in [number["explanation"]["term"], *(c["term"] for c in number["explanation"]["components"])]
        for flight in (term["in_flight"] if term else ())
    }
    named = tx.all(sql.names_of, skus=[sku])
    return _Besides(
        name=named[0].name if named else "",
        holds=tx.all(sql.holds_on, sku=sku, now=now),
        bundles=tx.all(sql.bundles_of, sku=sku, limit=BUNDLES),
        changes=tx.all(sql.changes_of, sku=sku, limit=CHANGES),
        orders={
            label: r.order_id
            for r in tx.all(sql.orders_named, labels=sorted(labels))
            for label in (r.label, r.order_id)
        },
        too_old=sets_too_old(tx, visit.console.settings, now),
    )
