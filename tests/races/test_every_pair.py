"""Every pair of transactions of the product, on connections of their own, against the two serial orders.

In the gate: pairs that are known to meet, stopped before every statement that the other one can notice; then as many of
the others as 8 seconds hold, each stopped once. `RACES=all` stops every pair everywhere (hours), `RACES_SECONDS` says
for how long, `RACES_SEED` in which order, `RACES_ONLY="one;other"` takes these alone.
"""

from __future__ import annotations

import ast
import math
import os
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import combinations_with_replacement
from pathlib import Path

import psycopg
import pytest
from tests.e2e.world import settings_of
from tests.races.actions import ACTIONS
from tests.races.stage import NOW, SEAL, Action, Footprint, Outcome, Stage, clock, difference, watch_statements
from tests.races.world import World, build

import sellable
from sellable.app.layout import layout_of
from sellable.runtime.database import Store
from sellable.simulation.virtual.play import EMPTY

ROOT = Path(sellable.__file__).parent
EVERYWHERE = os.environ.get("RACES") == "all"
SECONDS = float(os.environ.get("RACES_SECONDS", "86400" if EVERYWHERE else "8"))
MEETING_SECONDS = math.inf if EVERYWHERE else 24.0
"""Enough for all that meet unless the machine is very busy: then the last of them wait for another run."""
CROWDS = 200 if EVERYWHERE else 3
ONLY = {name for name in os.environ.get("RACES_ONLY", "").split(";") if name}
SEED = os.environ.get("RACES_SEED", "0")
APART = {
    ("strays of no lane stopped", "case replayed"):
        "what a person lets go while strays are being stopped is stopped by the next look, a minute later",
}  # fmt: skip
"""Pairs that are like neither order, and why that does no harm."""
DELETING = {"old things forgotten"}
"""What deletes ended operations and cases, whose names other actions of a crowd still have at hand years later."""
CLOSE = [
    ("plan", "plan"),
    ("plan", "order fresh, swept"),
    ("lowers picked", "lowers picked"),
    ("lowers picked", "order fresh, swept"),
    ("raises picked", "raises picked"),
    ("raises picked", "order fresh, told"),
    ("operation claimed, back office", "operation claimed, back office"),
    ("operation claimed, back office", "cancel unsent"),
    ("inbox worked", "inbox worked, one row"),
    ("inbox worked, one row", "inbox worked, one row"),
    ("webhook stored", "inbox worked"),
    ("webhook stored", "webhook stored"),
    ("order fresh, swept", "order fresh, told"),
    ("fall judged", "order fresh, swept"),
    ("fall judged", "writes confirmed"),
    ("facts of entries folded", "facts of entries folded"),
    ("facts of entries folded", "order fresh, swept"),
    ("facts of entries folded", "writes confirmed"),
    ("entry made anew", "order fresh, swept"),
    ("order fresh, swept", "entry made anew"),
    ("entry made anew", "foreign write"),
    ("foreign write", "entry made anew"),
    ("entry made anew", "facts of entries folded"),
    ("walk closed", "order fresh, swept"),
    ("chair read by itself", "order fresh, swept"),
    ("page of the walk", "part of the chair read by itself"),
    ("cancel planned", "sale created planned"),
    ("cancel compared", "authorised compared"),
    ("cancel live", "sale ships live"),
    ("cancel unseen", "allocation visible unseen"),
    ("sale voided by staff live", "cancel live"),
    ("sale ships unseen", "allocation visible unseen"),
    ("sale voided by staff compared", "authorised compared"),
    ("accept totals of held", "retry held"),
    ("case opened", "case opened"),
]
"""Those who meet at the same row, most of them many times a day."""
ROOMS = ("stock/*", "book/*", "orders/*", "sync/*", "desk/*", "runtime/*", "app/watching", "app/desk", "app/service")


pytestmark = pytest.mark.timeout(0 if EVERYWHERE else 300)


@pytest.fixture(scope="module")
def unlocked() -> set[str]:
    """Names of statements that lock nothing at the moment."""
    return set()


@pytest.fixture(scope="module")
def stage(migrated_url: str, unlocked: set[str]) -> Iterator[tuple[Stage, World]]:
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(EMPTY)
    with pytest.MonkeyPatch.context() as patch:
        watch_statements(patch, unlocked)
        stage = Stage(migrated_url, layout_of(settings_of(NOW)))
        if not stage.may_reset:
            stage.close()
            pytest.skip("tables that are only added to are put back by a superuser")
        store = Store(stage.url, clock(), threads=1, seal=SEAL)
        world = build(stage, store)
        store.close()
        stage.keep()
        yield stage, world
        stage.close()


@pytest.fixture(scope="module")
def prints(stage: tuple[Stage, World]) -> dict[str, Footprint]:
    """What each action does alone."""
    return {action.name: stage[0].alone(action, stage[1]) for action in ACTIONS}


RUNS_ALONE = {"stock/demand.py:revoke_all", "stock/adjustments.py:forgive"}
"""Parts of a restore, which takes the database for itself before it begins."""


def writing_functions() -> set[str]:
    """file:qualified name of every function of the rooms that takes a Tx first."""
    found = set()
    for path in (p for room in ROOMS for p in ROOT.glob(f"{room}.py")):
        found |= {f"{path}:{name}" for name in _of(ast.parse(path.read_text("utf-8")), "")}
    return found


def _of(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            if not any(isinstance(b, ast.Name) and b.id == "Protocol" for b in child.bases):
                yield from _of(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            first = [a for a in child.args.args if a.arg != "self"][:1]
            if first and isinstance(first[0].annotation, ast.Name) and first[0].annotation.id == "Tx":
                yield f"{prefix}{child.name}"
            yield from _of(child, f"{prefix}{child.name}.<locals>.")


def test_every_function_that_writes_is_raced(prints: dict[str, Footprint]) -> None:
    run = {name for each in prints.values() for name in each.functions}
    missing = sorted({name.removeprefix(f"{ROOT}/") for name in writing_functions() - run} - RUNS_ALONE)
    assert not missing, f"no action in tests/races/actions.py runs these: {', '.join(missing)}"


def test_every_action_does_something(prints: dict[str, Footprint]) -> None:
    assert [name for name, each in prints.items() if not each.touches] == []


def test_pairs_that_meet(
    stage: tuple[Stage, World], prints: dict[str, Footprint], capsys: pytest.CaptureFixture[str]
) -> None:
    named = {action.name: action for action in ACTIONS}
    chosen = [(named[a], named[b]) for a, b in CLOSE if not ONLY]
    assert race(stage, prints, chosen, capsys, "pairs that meet", everywhere=True, seconds=MEETING_SECONDS) == []


def test_every_pair(
    stage: tuple[Stage, World], prints: dict[str, Footprint], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen, strangers = pairs(prints)
    title = f"pairs that share a table ({strangers} share none)"
    assert race(stage, prints, chosen, capsys, title, everywhere=EVERYWHERE, seconds=SECONDS) == []


@pytest.mark.parametrize("seed", range(CROWDS))
def test_a_crowd_leaves_nothing_wrong(stage: tuple[Stage, World], seed: int) -> None:
    on, world = stage
    lasting = [action for action in ACTIONS if action.name not in DELETING]
    assert on.crowd(lasting, world, seed, 60) == []


@pytest.mark.parametrize(
    ("lock", "a", "b"),
    [
        ("one_reader", "walk closed", "chair read by itself"),
        ("one_reader lock_balances", "page of the walk", "part of the chair read by itself"),
        ("record_entry_facts", "entry made anew", "order fresh, swept"),
        ("lock_order", "cancel live", "edit live"),
        ("live_cases", "cases cleared", "case resolved"),
    ],
)
def test_a_missing_lock_is_found(
    stage: tuple[Stage, World], prints: dict[str, Footprint], unlocked: set[str], lock: str, a: str, b: str
) -> None:
    named = {action.name: action for action in ACTIONS}
    unlocked.update(lock.split())
    try:
        found = [*strange(stage, prints, named[a], named[b], True), *strange(stage, prints, named[b], named[a], True)]
    finally:
        unlocked.clear()
    assert found, f"nobody notices that {lock} locks nothing"


def race(
    stage: tuple[Stage, World],
    prints: dict[str, Footprint],
    chosen: list[tuple[Action, Action]],
    capsys: pytest.CaptureFixture[str],
    title: str,
    *,
    everywhere: bool,
    seconds: float = math.inf,
) -> list[str]:
    """Runs the pairs for so long and says how many there were; answers those that are like neither order."""
    bad: list[str] = []
    begun, done, runs, retried = time.monotonic(), 0, 0, 0
    for a, b in chosen:
        if time.monotonic() - begun > seconds:
            break
        done += 1
        counts = Counter[str]()
        bad += strange(stage, prints, a, b, everywhere, counts)
        runs, retried = runs + counts["runs"], retried + counts["retried"]
    with capsys.disabled():
        print(
            f"\n{done} of {len(chosen)} {title}: {runs} interleavings, {retried} with a retry, {len(bad)} like neither"
            f" order, {time.monotonic() - begun:.0f} s"
        )
    return bad[:5]


def strange(
    stage: tuple[Stage, World],
    prints: dict[str, Footprint],
    a: Action,
    b: Action,
    everywhere: bool,
    counts: Counter[str] | None = None,
) -> list[str]:
    """Where A may stop for B so that what they leave is like neither order."""
    on, world = stage
    counts = Counter() if counts is None else counts
    serial: dict[str, Outcome] = {}
    bad = []
    last = prints[a.name].statements + 1
    once = 1 + zlib.crc32(f"{SEED}{a.name}|{b.name}".encode()) % last
    for at in sorted({*prints[a.name].stops(prints[b.name]), last}) if everywhere else [once]:
        found = on.race(a, b, world, at)
        counts.update(runs=1, retried=sum(found.tries) > 2)
        if trouble := found.errors or unlike(found, serials(on, a, b, world, serial)):
            where = f"{a.name}, stopped before its statement {at} of {last}, and {b.name}"
            bad.append(f"{where}: {', '.join(trouble)}\n" + difference(found.state, serial))
    return bad


def unlike(found: Outcome, serial: Iterator[Outcome]) -> tuple[str, ...]:
    """Why a race is like neither serial order; nothing when it is like one."""
    orders = []
    for each in serial:
        orders.append(each)
        if found.state == each.state and found.hints == each.hints:
            return ()
    if found.state not in [each.state for each in orders]:
        return ("another state",)
    # What both orders leave to be looked at must not be lost; what neither asks for is nobody's wish.
    lost = frozenset.intersection(*(each.hints for each in orders)) - found.hints
    strange = found.hints - frozenset.union(*(each.hints for each in orders))
    return tuple(sorted([f"lost: {x}" for x in lost] + [f"strange: {x}" for x in strange]))


def serials(on: Stage, a: Action, b: Action, world: World, known: dict[str, Outcome]) -> Iterator[Outcome]:
    """The two serial orders, run when first asked for."""
    for order in ("AB", "BA"):
        if order not in known:
            known[order] = on.serial(a, b, world, order)
            assert not known[order].errors, known[order].errors
        yield known[order]


def pairs(prints: dict[str, Footprint]) -> tuple[list[tuple[Action, Action]], int]:
    """Which pairs to run, in an order that the seed decides, and how many share nothing.

    Of two kinds of transaction one pair is enough, about the same order where there is one; the long form takes all.
    """
    found: dict[tuple[str, str], tuple[Action, Action]] = {}
    strangers = 0
    for a, b in combinations_with_replacement(ACTIONS, 2):
        if (ONLY and not {a.name, b.name} <= ONLY) or (a.name, b.name) in APART:
            continue
        if not prints[a.name].meets(prints[b.name]):
            strangers += 1
            continue
        key = (a.name, b.name) if EVERYWHERE else (a.kind, b.kind)
        if key not in found or (a.order == b.order and found[key][0].order != found[key][1].order):
            # Who stops and who runs changes from pair to pair.
            found[key] = (a, b) if zlib.crc32(f"{SEED}{a.name}{b.name}".encode()) % 2 else (b, a)
    keys = sorted(found, key=lambda key: zlib.crc32(f"{SEED}{key}".encode()))
    return [
        pair for key in keys for pair in ((found[key], found[key][::-1]) if EVERYWHERE else (found[key],))
    ], strangers
