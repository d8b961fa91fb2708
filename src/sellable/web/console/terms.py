"""A number as a waterfall: every term that `explain` gives, in order, each with what is left after it.

Rule: nothing is computed here but running sums; the terms and the number are those of the explanation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WHY = {
    "not_allocated": "not allocated yet",
    "not_in_the_number_yet": "allocated, not in the number yet",
    "not_seen_since_it_rose": "allocated, its sale not seen since the number rose",
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a row is made of: an order, a location, a hold."""

    words: str
    units: int
    order: str = ""
    read_at: str = ""


@dataclass(frozen=True, kw_only=True)
class Term:
    """One term: what it adds (`units`) and what is left after it (`left`); a `total` row adds nothing."""

    words: str
    units: int
    left: int
    total: bool = False
    parts: tuple[Part, ...] = ()


@dataclass
class _Fall:
    rows: list[Term] = field(default_factory=list)
    left: int = 0

    def add(self, words: str, units: int, parts: Sequence[Part] = (), *, always: bool = False) -> None:
        if units or parts or always:
            self.left += units
            self.rows.append(Term(words=words, units=units, left=self.left, parts=tuple(parts)))

    def total(self, words: str) -> None:
        self.rows.append(Term(words=words, units=self.left, left=self.left, total=True))


def pool_rows(term: Mapping[str, Any]) -> list[Term]:
    """One SKU in one pool, down to what is available to sell."""
    fall = _Fall()
    _pool(fall, term)
    fall.total("available to sell")
    return fall.rows


def number_rows(explanation: Mapping[str, Any]) -> list[Term]:
    """One entry, down to what should be shown; of a bundle from what its components allow."""
    fall = _Fall()
    if explanation["term"]:
        _pool(fall, explanation["term"])
        fall.total("available to sell")
    else:
        places = [Part(words=f"can ship from {place}", units=n) for place, n in explanation["kits_by_location"].items()]
        fall.add("bundles that the components allow", explanation["ats"], places, always=True)
    fall.add("buffer of the channel", -explanation["buffer"])
    fall.add("in carts of the pool's other entries", -explanation["in_other_carts"])
    cap = explanation["cap"]
    if cap is not None and fall.left > cap:
        fall.add(f"above the cap of {cap}", cap - fall.left)
    if fall.left < 0:
        fall.add("never shown below nothing", -fall.left)
    if counted := explanation.get("counted"):
        fall.total("by the warehouse's own count, which is compared and never written")
        own = explanation["target"] - counted["owed"]
        fall.add("commercetools is the master: its own number instead", own - fall.left, always=True)
        fall.add("owed to it for despatches, cancels and returns", counted["owed"], always=True)
    fall.total("should be shown")
    return fall.rows


def _pool(fall: _Fall, term: Mapping[str, Any]) -> None:
    places = term["locations"]
    left_out: Counter[str] = Counter()
    for place in places:
        left_out.update(place["left_out"])
    counted = sum(place["available"] for place in places) + sum(left_out.values())
    fall.add(
        "on hand, less what the master has allocated", counted,
        [
            Part(
                words=place["location"], units=place["available"] + sum(place["left_out"].values()),
                read_at=str(place["observed_at"]),
            )
            for place in places
        ],
        always=True,
    )  # fmt: skip
    for state, units in sorted(left_out.items()):
        fall.add(
            f"{state}, not for sale", -units,
            [Part(words=p["location"], units=-p["left_out"][state]) for p in places if state in p["left_out"]],
        )  # fmt: skip
    fall.add(
        "buffer of locations", -sum(p["held_back"] for p in places),
        [Part(words=p["location"], units=-p["held_back"]) for p in places if p["held_back"]],
    )  # fmt: skip
    fall.add(
        "in flight: sold, not certainly in those numbers", -sum(f["units"] for f in term["in_flight"]),
        [
            Part(words=f"{f['location'] or 'no location yet'}: {WHY[f['why']]}", units=-f["units"], order=f["order"])
            for f in term["in_flight"]
        ],
    )  # fmt: skip
    fall.add(
        "held back by people", -sum(units for _, units, _ in term["holds"]),
        [Part(words=reason or hold, units=-units) for hold, units, reason in term["holds"]],
    )  # fmt: skip
    fall.add("held back because the master's numbers are old", -term["stale_buffer"])


@dataclass(frozen=True)
class Bar:
    """Where a row's bar stands, in percent of the widest."""

    x: float
    width: float


def bars(rows: Sequence[Term]) -> list[Bar]:
    """A bar for each row: what it takes or adds between the sum before and after it. Below nothing there is no room."""
    widest = max([1, *(row.left for row in rows)])
    found, before = [], 0
    for row in rows:
        start, end = (0, row.left) if row.total else (before, row.left)
        low, high = sorted((min(max(0, start), widest), min(max(0, end), widest)))
        found.append(Bar(round(100 * low / widest, 2), round(100 * (high - low) / widest, 2)))
        before = row.left
    return found
