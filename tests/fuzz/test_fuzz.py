"""Every way in, with some thousand hostile inputs each; the same ones at every run."""

from __future__ import annotations

import ast
import gc
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.fuzz.mutate import mutants
from tests.fuzz.targets import TARGETS, Target, canary

import sellable

ROOT = Path(sellable.__file__).parent
MUTANTS = 1_500
SLOW_SECONDS = 0.1
"""No input of a corpus may take longer; what is slow here is a way to stop us."""

DECODERS = {
    *("decode", "document", "written", "lenient", "envelope", "loads", "convert", "fromisoformat", "unpack_from"),
    *("parsedate_to_datetime", "b64decode", "DictReader", "urlsplit", "unquote", "ip_address", "URL", "Decimal"),
}
"""Calls that make something of text or bytes."""
OURS = {
    **dict.fromkeys(("app/wiring.py:private_hosts",), "addresses of settings that were checked"),
    **dict.fromkeys(("simulation/virtual/world.py:_push",), "what a seed has thrown"),
    **dict.fromkeys(
        (
            *("cli/explain.py:_instant", "cli/orders.py:_print", "cli/orders.py:listing", "cli/init.py:__init__"),
            *("cli/init.py:_given", "runtime/backup.py:_opened", "app/answers.py:order_in", "cli/sandbox.py:orderflow"),
        ),
        "a person's terminal and files",
    ),
    **dict.fromkeys(
        (
            *(f"connectors/commercetools/experiment.py:{name}" for name in ("_call", "_change", "_clear")),
            *(f"connectors/commercetools/experiment.py:{name}" for name in ("_prepare", "_read", "_remove")),
            *(f"connectors/commercetools/survey.py:{name}" for name in ("every", "fraction_of", "look")),
            "connectors/cin7_core/client.py:probe",
        ),
        "asked by `init` and `doctor` at a person's terminal, which say what they cannot read and store none of it",
    ),
    **dict.fromkeys(
        (
            *(f"web/console/orders.py:{name}" for name in ("_call", "_cases", "_duty", "_event", "_made_for")),
            *(f"web/console/orders.py:{name}" for name in ("order_headline", "parcels", "timeline")),
            *("web/console/render.py:instant", "web/console/render.py:money", "web/console/sku.py:_master_facts"),
            *("web/console/sku.py:facts_of", "app/recovery.py:look", "reconcile/month.py:amount"),
            "web/api/endpoints.py:explanation",
        ),
        "what our own answers and tables hold",
    ),
    **dict.fromkeys(
        (
            *("book/book.py:order_of", "stock/numbers.py:sight_of", "sync/storefront.py:_passed"),
            *("orders/export.py:_differs", "orders/export.py:_draft", "orders/export.py:differing"),
            *("orders/fulfilment.py:_shipped", "orders/fulfilment.py:_to_tell", "sync/writer.py:_all_applied"),
            *("sync/writer.py:_applied", "app/watching.py:oversold", "orders/adoption.py:settled"),
            *("orders/capture.py:with_its_header", "stock/ledger.py:post", "sync/masters.py:turn"),
            *(
                "orders/importing.py:differing",
                "orders/importing.py:prepare",
                "app/watching.py:counted",
                "sync/warehouse.py:turn",
            ),
            *("orders/changes.py:heard", "orders/changes.py:send", "orders/returns.py:_take"),
        ),
        "from our own tables, as we wrote it",
    ),
    **dict.fromkeys(
        (
            *("orders/fulfilment.py:on_sale", "sync/masters.py:on_catalogue", "sync/masters.py:on_page"),
            *("sync/masters.py:on_sales", "sync/masters.py:on_sku", "sync/storefront.py:on_entries"),
            *("orders/departures.py:on_despatches", "orders/reducing.py:on_sale", "orders/returns.py:on_sale"),
            *("sync/warehouse.py:on_absent", "sync/warehouse.py:on_inventory", "orders/arrivals.py:on_returns"),
        ),
        "what a client returned; that it comes back from its stored form is looked at where it is returned",
    ),
    **dict.fromkeys(
        (
            *("cli/sandbox.py:_run", "simulation/demo.py:_fresh", "simulation/oracle.py:_cents"),
            *("simulation/pace.py:set", "simulation/processes.py:start", "simulation/virtual/checkers.py:_taxes"),
            *("simulation/virtual/world.py:get", "simulation/virtual/world.py:settings"),
        ),
        "a rehearsal's own processes and files",
    ),
    "runtime/http.py:_resolve": "the address of a resolver; see the tests of forged requests",
}
"""Decoders of what we wrote ourselves, which need no target."""


class Crash(AssertionError):
    """An input that was neither taken nor refused."""


def tried(target: Target, data: bytes) -> bool:
    """Whether the input was taken; False when it was refused by name. Raises Crash otherwise."""
    try:
        target.run(data)
    except target.expected:
        return False
    except Exception as error:
        shown = f"{data[:300]!r}{f' ({len(data)} bytes)' if len(data) > 300 else ''}"
        raise Crash(f"{target.name}: {type(error).__name__}: {str(error)[:300]} from {shown}") from error
    return True


@pytest.fixture
def nothing_old() -> Iterator[None]:
    """What other tests left in memory is not gone through while an input is timed."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("nothing_old")
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_hostile_bytes_are_taken_or_refused_by_name(target: Target) -> None:
    taken = sum(tried(target, seed) for seed in target.seeds)
    assert taken, "no seed is understood: the mutants would test nothing"
    slowest, worst = 0.0, b""
    for data in mutants(target.seeds, MUTANTS, 1):
        began = time.thread_time()
        tried(target, data)
        if (spent := time.thread_time() - began) > slowest:
            slowest, worst = spent, data
    assert slowest < SLOW_SECONDS, f"{slowest:.3f} s for {worst[:200]!r} ({len(worst)} bytes)"


def test_the_fuzzer_can_fail() -> None:
    planted = Target(name="canary", run=canary, seeds=())
    crashed = [data for data in mutants((b"FUx", b"FxZ"), MUTANTS, 1) if not _survives(planted, data)]
    assert crashed
    assert all(data.startswith(b"FUZ") for data in crashed)


def _survives(target: Target, data: bytes) -> bool:
    try:
        return tried(target, data)
    except Crash:
        return False


def decoding_functions() -> Iterator[tuple[str, str]]:
    """(file, function) of every function of the product that calls a decoder on something that is not written there."""
    for path in sorted(ROOT.rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name.startswith("sandbox/"):
            continue
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_decodes, _own(function))):
                yield name, function.name


def _own(function: Any) -> Iterator[ast.AST]:
    """The nodes of a function, those of inner functions left out."""
    waiting = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


def _decodes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not node.args or all(isinstance(each, ast.Constant) for each in node.args):
        return False
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name in DECODERS and not (name == "decode" and isinstance(node.args[0], ast.Constant))


def test_every_decoder_has_a_target() -> None:
    """A decoder is covered when a target reaches it from its seeds, which is looked at and not said."""
    reached: set[tuple[str, str]] = set()

    def seen(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(ROOT)):
            reached.add((str(Path(frame.f_code.co_filename).relative_to(ROOT)), frame.f_code.co_name))

    sys.setprofile(seen)
    try:
        for target in TARGETS.values():
            for seed in target.seeds:
                tried(target, seed)
    finally:
        sys.setprofile(None)
    decoders = set(decoding_functions())
    missed = {f"{file}:{function}" for file, function in decoders - reached}
    assert missed - OURS.keys() == set()
    assert OURS.keys() - missed == set(), "these need no excuse any more"
    assert len(TARGETS) >= 16
