"""A full comparison of 100,000 SKUs on 20 channels: our own time, and whether memory stays flat.

Twice the same walk: the first time every number's terms are kept, afterwards nothing has changed.
"""

from __future__ import annotations

import os
import resource
import time
from datetime import UTC, datetime

import psycopg

from bench.stage import BACKEND, Bench, Effort, Figure, stock
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.stock.availability import ChannelRule, Layout
from sellable.sync import writer

SKUS, CHANNELS, LOCATIONS, SAMPLE = 100_000, 20, ("north", "south"), 6_000
NAMES = [f"c{n:02d}" for n in range(CHANNELS)]
LAYOUT = Layout(
    channels={name: ChannelRule(name, ("both", *LOCATIONS)[n % 3]) for n, name in enumerate(NAMES)},
    pools={"both": LOCATIONS, "north": ("north",), "south": ("south",)},
)
DIRTY = """INSERT INTO dirty (sku, priority, reason, seq, since)
    SELECT sku, 4, 'bench', next_seq(), app_now() FROM (SELECT DISTINCT sku FROM observed) AS t ORDER BY sku LIMIT %s"""


def measure(bench: Bench) -> list[Figure]:
    """All rows are there; unless BENCH_FULL is set only a sample of the SKUs is planned, and that is said."""
    sample = SKUS if os.environ.get("BENCH_FULL") else SAMPLE
    with bench.database() as url:
        began = time.perf_counter()
        stock(url, [f"SKU-{n:07d}" for n in range(SKUS)], LOCATIONS, NAMES, 10)
        filled = time.perf_counter() - began
        first, grown_first = plan(url, sample)
        again, grown = plan(url, sample)
    scale = SKUS / sample
    said = "measured whole" if sample == SKUS else f"measured on {sample:,} SKUs of the full tables and scaled"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return [
        Figure(
            what="compare 100,000 SKUs x 20 channels", found=_both(again, scale),
            wanted="< 300 s", how=f"nothing changed since the last time; {said}; rows made in {filled:.0f} s",
        ),
        Figure(
            what="the same for the first time", found=_both(first, scale),
            how=f"every number differs and its terms are kept; {said}",
        ),
        Figure(
            what="memory of the comparison", found=f"peak {peak:,.0f} MB, grew {grown_first:.0f} then {grown:.0f} MB",
            wanted="< 500 MB, flat", how="resident memory of the planning process",
        ),
    ]  # fmt: skip


def _both(spent: tuple[float, float], scale: float) -> str:
    wall, busy = (seconds * scale for seconds in spent)
    return f"{busy:,.0f} s of processor time, {wall:,.0f} s by the clock"


def plan(url: str, skus: int) -> tuple[tuple[float, float], float]:
    """What planning so many dirty SKUs took, and MB by which the process grew after the first batch."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DIRTY, [skus])
        connection.execute("ANALYZE dirty")
    store = Store(url, Clock(), threads=1)
    now = datetime.now(UTC)
    effort = Effort(store.read_now(lambda tx: int(tx.value(BACKEND))))
    store.write_now(writer.plan_dirty, LAYOUT, now, stale=False)
    before = _resident()
    while store.write_now(writer.plan_dirty, LAYOUT, now, stale=False):
        pass
    spent = effort.spent()
    store.close()
    return spent, _resident() - before


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
