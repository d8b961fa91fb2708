"""How state machines are run: bounded, the same every time, and proved able to fail; and what their worlds share.

`PROPERTIES=200` takes two hundred times as many examples, new ones each time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from tests.suites.orders_life import Life

from sellable.runtime.database import Store, Tx
from sellable.simulation.virtual.play import EMPTY

MORE = int(os.environ.get("PROPERTIES", "1"))
LONG = MORE > 1
QUIET = settings(
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


def holds(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    """The rule holds in every example; in the long form there are more, of at least fifty steps each."""
    bounds = settings(QUIET, max_examples=examples * MORE, stateful_step_count=max(steps, 50) if LONG else steps)
    run_state_machine_as_test(machine, settings=bounds)  # type: ignore[no-untyped-call]


def tried(machine: type[RuleBasedStateMachine], steps: int) -> None:
    """With a mistake put in: until an example fails. Nothing is made smaller, nobody reads it.

    How many examples that takes changes with every line of the machine, which is the seed. In 88 tries
    under other seeds none took more than 112.
    """
    bounds = settings(QUIET, max_examples=250, stateful_step_count=steps, phases=[Phase.generate])
    run_state_machine_as_test(machine, settings=bounds)  # type: ignore[no-untyped-call]


class InTransaction(RuleBasedStateMachine):
    """A machine whose every example is one transaction that is taken back: no example sees another."""

    link: psycopg.Connection[Any]

    def __init__(self) -> None:
        super().__init__()
        self.tx = Tx(self.link)

    def teardown(self) -> None:
        self.link.rollback()


class InStore(RuleBasedStateMachine):
    """A machine whose every example begins with empty tables."""

    store: Store
    watch: psycopg.Connection[Any]

    def __init__(self) -> None:
        super().__init__()
        self.watch.execute(EMPTY)


class InLife(InStore):
    """A machine whose every example is a life of orders, which is judged when nothing is left to do."""

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.life = Life(self.store, **changes)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        try:
            self.do(self.judged())
        finally:
            self.loop.close()

    async def judged(self) -> None:
        """The books say what the sheet says."""
        raise NotImplementedError

    async def quiet(self, rounds: int) -> None:
        """Everything due is done and every sale is read, so many times."""
        for _ in range(rounds):
            await self.life.steps(200)
            for sale_id in list(self.life.office.sales):
                await self.life.read_sale(sale_id)
