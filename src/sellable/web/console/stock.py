"""What do we sell, and what is held back? Every SKU with what it shows, and filters that live in the address."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from sellable.domain.stock import Priority, normal_sku
from sellable.runtime.database import ReadTx, Row
from sellable.runtime.queries import queries
from sellable.stock.numbers import Number
from sellable.web.console.doors import Page, Visit
from sellable.web.console.freshness import sets_too_old
from sellable.web.console.render import page

sql = queries("sellable.web.console")

ROWS = 50
PATIENCE_SECONDS = 0.1
"""Real seconds that a page waits for its counts; over 100,000 SKUs they take longer, and come while one looks."""
NAMED_MAX = 5000
"""Hits of a word among which the filters look."""
FILTERS = {
    "": ("All", sql.skus_all, "every"),
    "out": ("Out of stock", sql.skus_out, "out"),
    "low": ("Low", sql.skus_low, "low"),
    "held": ("Held back", sql.skus_held, "held"),
    "differing": ("Differing", sql.skus_differing, "differing"),
    "in-flight": ("In flight", sql.skus_in_flight, "in_flight"),
}
"""Name in the address -> what it is called, who is in it, which count of the tally it is."""
EMPTY = {
    "": "No stock entry of the storefront is known yet. Entries are read soon after the start.",
    "out": "Nothing is out of stock.",
    "low": "Nothing is nearly gone.",
    "held": "Nobody holds anything back.",
    "differing": "Every number at the storefront is what it should be.",
    "in-flight": "Every sold unit is held by a sale at the back office.",
}
URGENCY = {
    Priority.STOP_SALE: ("bad", "stop the sale"),
    Priority.ORDER_LOWER: ("warn", "decrease, urgent"),
    Priority.LOWER: ("warn", "decrease"),
    Priority.BACK_IN_STOCK: ("", "back in stock"),
    Priority.RAISE: ("", "increase"),
}
"""Class of a difference -> tone and words."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One number in the table: what the storefront shows, and what it should when that is another."""

    e: int
    target: int
    ats: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """One SKU of the table; `ats` by pool, `shown` by channel."""

    sku: str
    name: str
    ats: Mapping[str, int]
    shown: Mapping[str, Shown]
    in_flight: int
    tone: str
    state: str
    since: Any
    urgency: tuple[str, str]


async def show(visit: Visit) -> Response:
    """The table."""
    asked = visit.request.query_params
    chosen = asked.get("show", "") if asked.get("show", "") in FILTERS else ""
    wanted, after = asked.get("q", "").strip()[:200], asked.get("after", "")
    console = visit.console
    rules = [(channel.key, channel.low_mark) for channel in console.settings.channels]
    tally = await console.memo.get(
        "tally", lambda: console.store.read(_tally, rules, console.clock.now()), patience=PATIENCE_SECONDS
    )
    listed, too_old = await console.store.read(_read, visit, chosen, wanted, after, rules)
    skus = listed[:ROWS]
    computed = await console.numbers(skus) if skus else []
    about = await console.store.read(_about, skus) if skus else _About({}, {}, {})
    return page(
        visit, "stock.html", following=True, headline=headline(tally), tally=tally, filters=FILTERS, chosen=chosen,
        wanted=wanted, after=after, lines=lines_of(skus, computed, about),
        pools=[pool.name for pool in console.settings.pools], empty_words=EMPTY[chosen], too_old=too_old,
        channels=[(channel.key, channel.pool) for channel in console.settings.channels],
        more=skus[-1] if len(listed) > ROWS else None,
    )  # fmt: skip


PAGES = [Page(path="/stock", answer=show, role="viewer")]


def headline(tally: Mapping[str, int] | None) -> str:
    """What is sold and what is held back, as a sentence; None while that is being counted."""
    if tally is None:
        return "Counting what is sold and what is held back"
    if not tally["every"]:
        return "Nothing is sold yet"
    told = [f"{tally['out']:,} out of stock", f"{tally['low']:,} low"]
    told += [f"{tally['held']:,} held back"] if tally["held"] else []
    told += [f"{tally['differing']:,} differing"] if tally["differing"] else []
    return f"{tally['every']:,} SKUs: {', '.join(told[:-1])} and {told[-1]}"


def _read(
    tx: ReadTx, visit: Visit, chosen: str, wanted: str, after: str, rules: Sequence[tuple[str, int]]
) -> tuple[list[str], list[tuple[str, Any]]]:
    now = visit.console.clock.now()
    only = _named(tx, clean(wanted)) if clean(wanted) else None
    more: dict[str, Any] = {"after": clean(after), "only": only, "limit": ROWS + 1}
    channels, marks = [key for key, _ in rules], [mark for _, mark in rules]
    if chosen in ("out", "differing", "low"):
        more["channels"] = channels
    if chosen == "low":
        more["marks"] = marks
    if chosen == "held":
        more["now"] = now
    listed = [row.sku for row in tx.all(FILTERS[chosen][1], **more)]
    return listed, sets_too_old(tx, visit.console.settings, now)


def _named(tx: ReadTx, words: str) -> list[str]:
    rows = tx.all(sql.skus_named, normal=like(normal_sku(words)), like=like(words), begins=words, limit=NAMED_MAX)
    return [row.sku for row in rows]


def _tally(tx: ReadTx, rules: Sequence[tuple[str, int]], now: datetime) -> dict[str, int]:
    counted = tx.one(sql.tally, channels=[key for key, _ in rules], marks=[mark for _, mark in rules], now=now)
    assert counted is not None
    return dict(counted._asdict())


@dataclass(frozen=True)
class _About:
    names: Mapping[str, str]
    differences: Mapping[tuple[str, str], Row]
    flights: Mapping[str, int]


def _about(tx: ReadTx, skus: Sequence[str]) -> _About:
    return _About(
        {row.sku: row.name for row in tx.all(sql.names_of, skus=list(skus))},
        {(row.sku, row.channel): row for row in tx.all(sql.differences_of, skus=list(skus))},
        {row.sku: row.units for row in tx.all(sql.flights_of, skus=list(skus))},
    )


def lines_of(skus: Sequence[str], computed: Sequence[Number], about: _About) -> list[Line]:
    """The rows of these SKUs, in their order."""
    by_sku: dict[str, list[Number]] = defaultdict(list)
    for number in computed:
        by_sku[number.sku].append(number)
    return [_line(sku, by_sku[sku], about) for sku in skus]


def _line(sku: str, numbers: Sequence[Number], about: _About) -> Line:
    tone, state, since = state_of(numbers, about.differences)
    pending = [about.differences[key] for n in numbers if (key := (n.sku, n.channel)) in about.differences]
    worst = min((row.priority for row in pending), default=None)
    return Line(
        sku=sku, name=about.names.get(sku, ""), tone=tone, state=state, since=since,
        ats={n.explanation.pool: n.explanation.ats for n in numbers},
        shown={n.channel: Shown(e=n.e, target=n.explanation.target, ats=n.explanation.ats) for n in numbers},
        in_flight=about.flights.get(sku, 0), urgency=URGENCY.get(worst, ("", "")) if worst is not None else ("", ""),
    )  # fmt: skip


def state_of(numbers: Sequence[Number], differences: Mapping[tuple[str, str], Row]) -> tuple[str, str, Any]:
    """Tone, words and since when, of the worst number of a SKU."""
    if not numbers:
        return "", "no entry", None
    differing = [n for n in numbers if n.d]
    if not differing:
        return "good", "right", None
    worst = min(differing, key=lambda n: n.d)
    row = differences.get((worst.sku, worst.channel))
    since = row.since if row else None
    if row and row.writing:
        return "warn" if worst.d < 0 else "", "being written", since
    if worst.d > 0 and worst.entry.parked:
        return "", "waits for proof", since
    return ("warn", "decrease waits", since) if worst.d < 0 else ("", "increase waits", since)


def like(wanted: str) -> str:
    """A pattern for text that holds these words; '' for none."""
    escaped = clean(wanted).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if escaped else ""


def clean(text: str) -> str:
    """Text that PostgreSQL can hold."""
    return text.replace("\x00", "")
