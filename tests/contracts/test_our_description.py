"""Our own API against its own description: what it says may be sent is sent, and so is what it says may not be.

Examples are the same each time; with PROPERTIES=20 there are twenty times as many, new ones each time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks as said
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.properties.machines import LONG, MORE
from tests.suites.console_web import book, open_, park
from tests.suites.test_api import stock
from tests.suites.test_guard import HERE, House, played

from sellable.runtime.database import Store
from sellable.web.api import openapi
from sellable.web.api.endpoints import ROOT

EXAMPLES = 6
CHECKS = [
    not_a_server_error, said.status_code_conformance, said.content_type_conformance, said.response_schema_conformance,
    said.response_headers_conformance, said.negative_data_rejection,
]  # fmt: skip
"""That everything described is also taken is not among them: whether there is such a channel, no
description knows. Nor is who may ask: tests/suites/test_guard.py tries that on every route."""
PROBES = settings(
    max_examples=EXAMPLES * MORE, derandomize=not LONG, database=None, deadline=None, print_blob=LONG,
    phases=(Phase.generate,), suppress_health_check=list(HealthCheck),
)  # fmt: skip
"""Without making a failure smaller: it is told as it was found."""
DOCUMENT = schemathesis.openapi.from_dict(openapi.document())
OPERATIONS = {found.ok().label: found.ok() for found in DOCUMENT.get_all_operations()}
AVAILABILITY = f"GET {ROOT}/availability"
SKU = "MUG/ß"


def fill(store: Store) -> dict[str, str]:
    """A number, an order and two cases: names by which something is there."""
    stock(store, (SKU, "web-eu", 4), (SKU, "web-uk", 0))
    book(store, ("id-1", "N-1", "waiting", 5), ("id-2", "N-2", "held", 9))
    park(store, "m1")
    return {"sku": SKU, "order": "N-1", "ref": open_(store, "oversold", f"sku:{SKU}", actual={"units": 2})}


def tried(store: Store, label: str, change: Change | None = None) -> int:
    """How many requests of one operation were answered as described. Raises what is wrong with the first other one."""
    operation, there, answered = OPERATIONS[label], fill(store), []
    named = {name: word for name, word in there.items() if f"{{{name}}}" in label}

    async def scene(house: House) -> None:
        keys = await house.keys("ada", "admin")
        app = Lying(house.app, change) if change else house.app
        await asyncio.to_thread(ask, app, keys.bearer())

    def ask(app: ASGIApp, headers: dict[str, str]) -> None:
        for mode in schemathesis.GenerationMode:
            for path in (None, named) if named else (None,):

                @PROBES
                @given(case=operation.as_strategy(generation_mode=mode, path_parameters=path))
                def holds(case: schemathesis.Case) -> None:
                    answer = case.call_and_validate(base_url=HERE, app=app, headers=headers, checks=CHECKS)
                    answered.append(answer.status_code)

                holds()

    played(store, scene, porch=False, console={"api_calls_per_second": 1_000_000})
    print(f"{label}: {dict(Counter(answered))}")
    return len(answered)


@pytest.mark.parametrize("label", OPERATIONS)
def test_an_endpoint_is_as_it_is_described(store: Store, label: str) -> None:
    assert tried(store, label) >= EXAMPLES


# --- And it can fail -------------------------------------------------------------------------------------------------

Change = Callable[[int, dict[str, str], Any], tuple[int, dict[str, str], Any]]
"""(status, headers, body) -> what is answered instead."""


class Lying:
    """The application, whose answers are changed on their way out."""

    def __init__(self, app: ASGIApp, change: Change) -> None:
        self._app, self._change = app, change

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told: list[Message] = []

        async def keep(message: Message) -> None:
            told.append(message)

        await self._app(scope, receive, keep)
        head, body = told[0], b"".join(message.get("body", b"") for message in told[1:])
        headers = {name.decode().lower(): value.decode() for name, value in head["headers"]}
        status, headers, said = self._change(head["status"], headers, msgspec.json.decode(body))
        body = msgspec.json.encode(said)
        headers["content-length"] = str(len(body))
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({**head, "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def on_success(change: Callable[[Any], Any]) -> Change:
    def changed(status: int, headers: dict[str, str], body: Any) -> tuple[int, dict[str, str], Any]:
        return status, headers, change(body) if status == 200 else body

    return changed


EMPTY = {"at": "2026-01-01T00:00:00Z", "numbers": [], "unknown": []}
LIES: dict[str, Change] = {
    "a field of another type": on_success(lambda body: {**body, "unknown": "none"}),
    "a field left out": on_success(lambda body: {name: value for name, value in body.items() if name != "at"}),
    "a status nobody described": lambda _, headers, body: (418, headers, body),
    "another kind of content": lambda status, headers, body: (status, headers | {"content-type": "text/html"}, body),
    "a mistake of ours": lambda _, headers, body: (500, headers, body),
    "success for what cannot be": lambda _, headers, __: (200, headers | {"content-type": "application/json"}, EMPTY),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_not_as_described_is_found(store: Store, lie: str) -> None:
    with pytest.raises(FailureGroup):
        tried(store, AVAILABILITY, LIES[lie])
