"""Call sites: every function of the connectors that sends a request, read from the code, and a name for each request.

Rule: the list is generated, so a call that nobody plays a fault for is missed by name.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.simulation.stage import SITE

import sellable.connectors

ROOT = Path(sellable.connectors.__file__).parent
VENDORS = ("commercetools", "cin7_core")
CARRIERS = frozenset(
    {
        *(f"commercetools.session.Session.{name}" for name in ("call", "exchange", "graphql", "_once")),
        "cin7_core.client.Cin7Core._call",
        *(f"orderflow.client.OrderFlow.{name}" for name in ("_answer", "_call", "_import")),
    }
)
"""What carries the requests of sites."""
THROUGH_OTHERS = frozenset(
    {
        "commercetools.client.Commercetools.learn",
        *("cin7_core.registration.watch", "cin7_core.registration.apply"),
    }
)
"""Functions that send nothing but through other sites."""

ELSEWHERE = frozenset({"commercetools.experiment.Experiment.run"})
"""Not in the story: a measurement a person starts, on goods of its own that it deletes again."""


def senders() -> set[str]:
    """Every function of both connectors that somebody calls and that sends a request, by itself or through another."""
    return {name for vendor in VENDORS for name in senders_of(vendor)} - THROUGH_OTHERS - ELSEWHERE


def senders_of(vendor: str) -> set[str]:
    """Every function of one connector that sends a request; of OrderFlow they meet their faults in its client's tests,
    as the story has no such warehouse.
    """
    return _senders_of(vendor) - CARRIERS


def _senders_of(vendor: str) -> set[str]:
    names: dict[str, set[str]] = {}
    direct: set[str] = set()
    for path in sorted((ROOT / vendor).glob("*.py")):
        for name, body in _coroutines(ast.parse(path.read_text()), f"{vendor}.{path.stem}"):
            found = {n for n in ast.walk(body) if isinstance(n, ast.Attribute | ast.Name)}
            names[name] = {n.attr if isinstance(n, ast.Attribute) else n.id for n in found}
            if any(isinstance(n, ast.Attribute) and n.attr == "call" and _is_http(n.value) for n in found):
                direct.add(name)
    sending = set(direct)
    while True:
        known = {name.rsplit(".", 1)[1] for name in sending}
        more = sending | {name for name, named in names.items() if named & known}
        if more == sending:
            return {name for name in sending if name in direct or not name.rsplit(".", 1)[1].startswith("_")}
        sending = more


def _is_http(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "_http"


def _coroutines(tree: ast.Module, prefix: str) -> list[tuple[str, ast.AST]]:
    found: list[tuple[str, ast.AST]] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found += [(f"{prefix}.{node.name}.{f.name}", f) for f in node.body if isinstance(f, ast.AsyncFunctionDef)]
        elif isinstance(node, ast.AsyncFunctionDef):
            found.append((f"{prefix}.{node.name}", node))
    return found


@contextmanager
def named() -> Iterator[None]:
    """While inside, `SITE` names the call site of each request; a request for another one's sake names itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name in senders():
            module, *inner = name.split(".")[1:]
            holder: Any = importlib.import_module(f"sellable.connectors.{name.split('.')[0]}.{module}")
            for part in inner[:-1]:
                holder = getattr(holder, part)
            patch.setattr(holder, inner[-1], _naming(name, getattr(holder, inner[-1])))
        yield


def _naming(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def inside(*args: Any, **kwargs: Any) -> Any:
        token = SITE.set(name)
        try:
            return await function(*args, **kwargs)
        finally:
            SITE.reset(token)

    return inside
