"""How cost grows with the number of keys: planning (SKU x channel) and closing a complete sweep (SKU x location)."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import psycopg

from bench.stage import BACKEND, Bench, Effort, Figure, stock
from bench.sweep import CHANNELS, LOCATIONS, NAMES, plan
from sellable.runtime.clock import Clock
from sellable.runtime.database import STATEMENT_SECONDS, Store, Tx
from sellable.runtime.queries import Query
from sellable.stock import observe

SIZES = (10_000, 100_000, 1_000_000)
LIMIT = f"{STATEMENT_SECONDS:.0f} s for one statement"
PLANNED = 600
"""SKUs planned at each size: what grows is the cost of one of them."""
ROWS = """INSERT INTO sweep_row (sweep, sku, location, part, state, value, allocated, a0, a1)
    SELECT 'grown', sku, location, part, state, value + (hashtext(sku) % 20 = 0)::int, allocated, next_seq(),
        next_seq() FROM observed"""
RUNNING = """INSERT INTO sweep (id, master, scope, state, first_a0, last_a1, rows_seen, started_at)
    SELECT 'grown', 'cin7_core', '', 'running', min(a0), max(a1), count(*), app_now() FROM sweep_row"""


def measure(bench: Bench) -> list[Figure]:
    """Each size in a database of its own; a sweep in which one SKU in twenty rose."""
    longest: dict[str, float] = {}
    with _statements_timed(longest):
        planning, closing = (list(column) for column in zip(*(_at(bench, keys) for keys in SIZES), strict=True))
    whole = [seconds for seconds in closing if seconds is not None]
    ended = "" if len(whole) == len(closing) else f"; at {SIZES[len(whole)]:,} rows the limit of {LIMIT} ended it"
    return [
        Figure(
            what="growth of planning, 10,000 to 1,000,000 keys",
            found=f"exponent {_exponent(planning):.2f}",
            wanted="<= 1.05",
            how=f"{_seconds(planning)} of processor time for all keys, from {PLANNED} SKUs planned at each size",
        ),
        Figure(
            what=f"growth of closing a sweep, 10,000 to {SIZES[len(whole) - 1]:,} rows",
            found=f"exponent {_exponent(whole):.2f}{ended}",
            wanted="<= 1.05",
            how=f"{_seconds(whole)} of processor time; one SKU in twenty rose, no sampling",
        ),
        Figure(
            what=f"longest statement, up to {SIZES[len(whole) - 1]:,} rows",
            found=f"{max(longest.values()):.1f} s by the clock ({max(longest, key=longest.__getitem__)})",
            wanted=f"< {LIMIT}",
            how="of all that planning and closing run; a set is believed in pieces",
        ),
    ]


@contextlib.contextmanager
def _statements_timed(longest: dict[str, float]) -> Iterator[None]:
    """Meanwhile the longest run of each statement is kept, in seconds by its name."""
    with contextlib.ExitStack() as stack:
        for way in ("all", "one", "run", "value"):
            stack.enter_context(mock.patch.object(Tx, way, _timed(getattr(Tx, way), longest)))
        yield


def _timed(ask: Callable[..., Any], longest: dict[str, float]) -> Callable[..., Any]:
    def timed(tx: Tx, query: Query, *args: Any, **parameters: Any) -> Any:
        began = time.perf_counter()
        try:
            return ask(tx, query, *args, **parameters)
        finally:
            longest[query.name] = max(longest.get(query.name, 0.0), time.perf_counter() - began)

    return timed


def _seconds(found: Sequence[float]) -> str:
    return ", ".join(f"{seconds:,.1f} s" for seconds in found)


def _exponent(seconds: Sequence[float]) -> float:
    return math.log(seconds[-1] / seconds[0]) / math.log(SIZES[len(seconds) - 1] / SIZES[0])


def _at(bench: Bench, keys: int) -> tuple[float, float | None]:
    with bench.database() as url:
        stock(url, [f"SKU-{n:07d}" for n in range(keys // CHANNELS)], LOCATIONS, NAMES, 10)
        skus = min(PLANNED, keys // CHANNELS)
        # A first, unmeasured turn keeps the terms, so that sizes are compared on the same kind of work.
        plan(url, skus)
        planning = plan(url, skus)[0][1] * keys / CHANNELS / skus
    with bench.database() as url:
        stock(url, [f"SKU-{n:07d}" for n in range(keys // len(LOCATIONS))], LOCATIONS, [], 10)
        return planning, _close(url)


def _close(url: str) -> float | None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE sweep_row DISABLE TRIGGER ALL")
        connection.execute(ROWS)
        connection.execute("ALTER TABLE sweep_row ENABLE TRIGGER ALL")
        connection.execute(RUNNING)
        connection.execute("ANALYZE")
    store = Store(url, Clock(), threads=1)
    effort = Effort(store.read_now(lambda tx: int(tx.value(BACKEND))))
    try:
        store.write_now(_believe, datetime.now(UTC))
        return effort.spent()[1]
    except psycopg.errors.QueryCanceled:
        return None
    finally:
        store.close()


def _believe(tx: Tx, now: datetime) -> None:
    closing = observe.close(tx, "grown", complete=True, cause="", locations=LOCATIONS, now=now)
    assert closing.complete, closing
    observe.apply(tx, "grown", waiting=[], dropped=[], locations=LOCATIONS, now=now)
