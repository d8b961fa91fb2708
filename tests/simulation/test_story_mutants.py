"""Mistakes about what was sent, each on the story: a second header of a sale is there, whatever cleans up after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.simulation.deaths import Deaths
from tests.simulation.sites import named
from tests.simulation.stage import Stage, tell

from sellable.orders.export import Exporting
from sellable.runtime.operations import Operation
from sellable.simulation.virtual.database import simulation_database

SENT = "call cin7_core.client.Cin7Core.create_draft"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with simulation_database() as url:
        yield url


def headers_too_many(url: str) -> int:
    """Sales made beyond one an order, in a story in which a process dies right after the first was made."""
    deaths, stages = Deaths(frozenset({SENT})), list[Stage]()

    def prepare(stage: Stage) -> None:
        deaths.prepare(stage)
        stages.append(stage)

    with named(), deaths.watching():
        tell(url, deaths, prepare=prepare)
    assert deaths.killed == {SENT}
    names = [sale["external_id"] for sale in stages[0].back_office.vendor.truth()["sales"]]
    return len(names) - len(set(names))


def blind_create_retry(patch: pytest.MonkeyPatch) -> None:
    """R30: what is already there is not looked for before a create is sent again."""

    async def found(self: Exporting, ref: str) -> None:
        return None

    patch.setattr(Exporting, "_found", found)


def sends_forgotten(patch: pytest.MonkeyPatch) -> None:
    """R19: that a copy was sent is not known to who comes after a death, as if it were noted after the call."""
    patch.setattr(Operation, "was_unknown", False)
    patch.setattr(Operation, "first_send", True)
    # Nor does a young database make anybody careful.
    create = Exporting.create

    async def careless(self: Exporting, op: Operation) -> Any:
        return await create(self, replace(op, payload={**op.payload, "search": False}))

    patch.setattr(Exporting, "create", careless)


def test_no_second_header_is_made(database: str) -> None:
    assert headers_too_many(database) == 0


@pytest.mark.parametrize("mistake", [blind_create_retry, sends_forgotten])
def test_the_mistake_shows(
    mistake: Callable[[pytest.MonkeyPatch], None], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    assert headers_too_many(database) > 0
