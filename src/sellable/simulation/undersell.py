"""Why numbers were too low, in unit-seconds by cause: the opponents' records beside what the product says it counted.

Rule: explains, never judges. How much was not shown comes from the oracle's picture, only why from the product's terms.

What should be shown is F - P: F units free at the back office's places of the pool, less P units promised and not taken
there yet. What was meant to be shown is C - S: C units counted, less S units subtracted. So of a gap (F - C) + (S - P)
has a cause: units that are free and not counted, and units that are subtracted although they were taken already. What
was meant to be shown and is not yet waits for its write.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psycopg

from sellable.runtime.database import ReadTx
from sellable.runtime.queries import queries
from sellable.simulation.oracle import Verdict
from sellable.simulation.picture import Gap, Key
from sellable.simulation.rules import Declared

sql = queries("sellable.simulation")

JUST_FREE, PROOF, UNSEEN, OLD, DOUBTED, WRITE, OTHER = (
    "just free", "waits for proof", "allocation not seen", "number older than allocation", "sale not seen since a rise",
    "waits for its write", "other",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What the product meant an entry to show from `at` on (unix seconds): `counted` units at the pool's places, less
    those in flight, by why: nobody saw them allocated, allocated after the reading, in doubt."""

    at: float
    target: int
    counted: int
    unseen: int
    old: int
    doubted: int


def causes(
    gaps: Mapping[Key, Sequence[Gap]],
    free: Mapping[Key, Sequence[tuple[float, int]]],
    told: Mapping[Key, Sequence[Told]],
    known_seconds: float,
) -> dict[str, float]:
    """Unit-seconds by cause, together those of the gaps. `free` are an entry's units free at the back office, whenever
    they changed; what came free less than `known_seconds` ago is "just free": nobody need know of it yet.
    """
    found: dict[str, float] = defaultdict(float)
    for key, rows in gaps.items():
        words, freed = told.get(key, ()), free.get(key, ())
        changes = sorted([*(each.at for each in words), *(at + known_seconds for at, _ in freed)])
        for gap in rows:
            for began, ended in _pieces(gap, changes):
                place = bisect_right(words, began, key=lambda each: each.at) - 1
                at_least = _least(freed, began - known_seconds, began)
                for cause, units in _split(gap, words[place] if place >= 0 else None, at_least):
                    found[cause] += (ended - began) * units
    ranked = sorted(found, key=found.__getitem__, reverse=True)
    return {cause: round(found[cause], 1) for cause in ranked if found[cause]}


def _pieces(gap: Gap, changes: Sequence[float]) -> Iterator[tuple[float, float]]:
    """The gap's time, cut where something changed."""
    inside = changes[bisect_right(changes, gap.began) : bisect_right(changes, gap.ended)]
    yield from pairwise([gap.began, *inside, gap.ended])


def _split(gap: Gap, words: Told | None, free_at_least: int) -> Iterator[tuple[str, int]]:
    """Units of the gap by cause; each takes no more than the ones before it have left."""
    left = gap.low - gap.shown
    if words is None:
        yield OTHER, left
        return
    not_counted = max(0, gap.free - words.counted)
    shares = (
        (WRITE, words.target - gap.shown),
        (JUST_FREE, min(not_counted, gap.free - free_at_least)),
        (PROOF, min(not_counted, free_at_least - words.counted)),
        (DOUBTED, words.doubted),
        (OLD, words.old),
        (UNSEEN, words.unseen),
    )
    for cause, most in shares:
        units = max(0, min(left, most))
        left -= units
        yield cause, units
    yield OTHER, left


def _least(free: Sequence[tuple[float, int]], since: float, until: float) -> int:
    """The fewest units free at any moment between two instants."""
    first = max(0, bisect_right(free, since, key=lambda row: row[0]) - 1)
    last = bisect_right(free, until, key=lambda row: row[0])
    return min((units for _, units in free[first:last]), default=0)


def explained(database_url: str, verdict: Verdict, declared: Declared, began: float) -> dict[str, Any]:
    """What the product's own database adds to a verdict: causes of undersell, and writes by its own count."""
    told: dict[Key, list[Told]] = defaultdict(list)
    with psycopg.connect(database_url) as connection:
        tx = ReadTx(connection)
        for row in tx.all(sql.told):
            told[row.sku, row.channel].append(
                Told(row.at, row.target, row.counted, unseen=row.unseen, old=row.old, doubted=row.doubted)
            )
        (writes,) = tx.all(sql.writes, began=began)
    return {
        "undersell_by_cause": causes(verdict.gaps, verdict.freed, told, declared.master),
        "writes_sent": writes.sent,
        "writes_owed": writes.owed,
    }
