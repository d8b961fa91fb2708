"""Plays one plan and judges it; makes a failure short.

Rule: the same plan gives the same trace hash, in any process.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import structlog

from sellable.app import service
from sellable.runtime import dispatcher, inbox, wanted
from sellable.simulation.rules import Declared, Outage
from sellable.simulation.virtual.checkers import Broken, Checkers
from sellable.simulation.virtual.profiles import Plan
from sellable.simulation.virtual.wire import Trace
from sellable.simulation.virtual.world import World
from sellable.sync import loop as sync_loop

QUIET_SECONDS = 45.0
IDLE = (
    (inbox, "IDLE_SECONDS"), (sync_loop, "IDLE_SECONDS"), (sync_loop, "RAISE_EVERY_SECONDS"),
    (dispatcher, "IDLE_SECONDS"), (wanted, "IDLE_SECONDS"), (service, "TAKEOVER_SECONDS"),
)  # fmt: skip
"""How long idle loops wait for a hint before they look by themselves."""
IDLE_STAGES_SECONDS = 3.0
"""What a lost hint may cost in the inbox, the planner and the writer together."""
SALE_SECONDS, MASTER_SECONDS = 20.0, 108.0
"""D in fair weather. A sale on a sibling entry: poll 2 s, decision and write queue 8 s, the storefront's own lag 10 s.
A change at the back office: a sweep every 60 s, walking its pages 30 s, then the same without the poll."""

EMPTY = """
DO $$
DECLARE
    name regclass;
    filled text;
    has_rows bool;
BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND relname <> 'schema_migration' ORDER BY relname LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO has_rows;
        IF has_rows THEN
            filled := concat_ws(', ', filled, name::text);
        END IF;
    END LOOP;
    IF filled IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || filled || ' CASCADE';
    END IF;
    -- Only those that were used, and not by RESTART: that makes a file of each, which took longer than all the rest.
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
        FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL;
END $$
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run went. Seconds are virtual unless they say wall."""

    plan: Plan
    hash: str
    broken: list[Broken]
    fired: Mapping[str, int]
    checked: Mapping[str, int]
    figures: Mapping[str, Any]
    seconds: float
    wall_seconds: float
    cpu_seconds: float
    convergence_seconds: float
    transactions: int
    lines: list[str] = field(default_factory=list)


class _Complaints(logging.Handler):
    """Errors with a trace: something of ours that we did not foresee."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            at = traceback.extract_tb(error.__traceback__)[-1]
            self.found.append(f"{record.getMessage()}: {type(error).__name__}: {error} ({at.filename}:{at.lineno})")


def play(
    plan: Plan, url: str, *, keep: bool = False, prepare: Callable[[World], None] = lambda world: None
) -> Outcome:  # fmt: skip
    """One run on an empty database (it is emptied first). `prepare` is what else is to be true of its world."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(EMPTY)
    began, cpu = time.monotonic(), time.process_time()
    trace = Trace(keep=keep)
    world = World(plan, url, trace)
    world.load()
    prepare(world)
    checkers = Checkers(world)
    with listening() as complaints, _patient(plan.patience):
        try:
            figures, converged = world.loop.run_until_complete(_course(world, checkers))
            for words in complaints.found:
                checkers.say("unforeseen", words)
        finally:
            world.close()
    for row in world.storefront.journal.since(0, 1_000_000_000) + world.back_office.journal.since(0, 1_000_000_000):
        trace.note(row["t"], "journal", str(sorted(row.items())))
    return Outcome(
        plan=plan, hash=trace.hash, broken=sorted(checkers.broken, key=lambda b: b.at), fired=world.all_fired(),
        checked=dict(checkers.checked), figures=figures, seconds=world.loop.time(),
        wall_seconds=time.monotonic() - began, cpu_seconds=time.process_time() - cpu, convergence_seconds=converged,
        transactions=world.loop.transactions, lines=trace.lines,
    )  # fmt: skip


def declared_for(plan: Plan, outages: Sequence[Outage] = ()) -> Declared:
    """D of a run; longer where idle loops are more patient, because a hint may be lost in each of three places."""
    longer = IDLE_STAGES_SECONDS * (plan.patience - 1)
    return Declared(sale=SALE_SECONDS + longer, master=MASTER_SECONDS + longer, outages=outages)


async def _course(world: World, checkers: Checkers) -> tuple[dict[str, Any], float]:
    if not await world.boot():
        checkers.say("convergence", f"{len(world.watch.picture.wrong())} numbers wrong ten minutes after the start")
    await world.trade(checkers.step)
    stopped = world.loop.time()
    at_rest, what = await world.converge(checkers.step)
    converged = world.loop.time() - stopped
    before = checkers.writes()
    await world.rest(QUIET_SECONDS)
    if at_rest:
        checkers.quiet(before, checkers.writes())
        await world.all_told()
    verdict = await checkers.finish(declared_for(world.plan, world.all_outages()), at_rest, what)
    sold = sum(judged.acceptance.units for judged in verdict.acceptances)
    return {
        "units_sold": sold,
        "oversold_by_us": verdict.oversold("ours"),
        "oversold_inherent": verdict.oversold("inherent"),
        "oversold_platform_lag": verdict.oversold("platform"),
        "undersell_unit_seconds": round(verdict.undersell_unit_seconds),
        "orders": verdict.tie.captured,
        "writes_spent": verdict.writes_spent,
        "writes_needed": verdict.writes_needed,
        "traffic": dict(world.traffic.counts),
    }, converged


@contextmanager
def _patient(times: float) -> Iterator[None]:
    """Idle loops wait so many times as long."""
    before = [getattr(module, name) for module, name in IDLE]
    for (module, name), seconds in zip(IDLE, before, strict=True):
        setattr(module, name, seconds * times)
    try:
        yield
    finally:
        for (module, name), seconds in zip(IDLE, before, strict=True):
            setattr(module, name, seconds)


@contextmanager
def listening() -> Iterator[_Complaints]:
    """Our own log goes nowhere meanwhile but to who counts unforeseen errors."""
    complaints, root = _Complaints(), logging.getLogger("sellable")
    handlers, level, spread, structured = root.handlers[:], root.level, root.propagate, structlog.get_config()
    structlog.configure(processors=[_drop])
    root.handlers[:] = [complaints]
    root.setLevel(logging.ERROR)
    root.propagate = False
    try:
        yield complaints
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        root.propagate = spread
        structlog.configure(**structured)


def _drop(logger: Any, name: str, event: Any) -> Any:
    raise structlog.DropEvent


def shrink(outcome: Outcome, url: str, *, tries: int = 20, say: Callable[[str], None] = lambda words: None) -> Outcome:
    """A smaller plan that breaks the same invariant: ended sooner, and without the trouble it does not need."""
    wanted = outcome.broken[0].invariant
    best = outcome

    def attempt(plan: Plan) -> bool:
        nonlocal best, tries
        if tries <= 0 or plan == best.plan:
            return False
        tries -= 1
        found = play(plan, url, keep=True)
        if not any(broken.invariant == wanted for broken in found.broken):
            return False
        best = found
        return True

    minutes = best.plan.minutes
    while minutes > 2 and attempt(replace(best.plan, minutes=minutes / 2)):
        minutes /= 2
        say(f"still broken after {minutes:g} minutes")
    if best.plan.rates and attempt(replace(best.plan, rates={})):
        say("still broken without faults of single calls")
    for part in best.plan.parts():
        if part in best.plan.parts() and attempt(best.plan.without(part)):
            say(f"still broken without {part}")
    return best


def summed(outcomes: list[Outcome], name: str) -> Counter[str]:
    """`fired` or `checked` of many runs."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        total.update(getattr(outcome, name))
    return total
