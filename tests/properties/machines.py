"""How state machines are run: bounded, the same every time, and proved able to fail.

`PROPERTIES=200` takes two hundred times as many examples, new ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from sellable.runtime.database import Store, Tx, _connect

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


def found_out(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> BaseException:
    """With a mistake put in, some example shows it: by what. Nothing is made smaller, nobody reads it."""
    bounds = settings(QUIET, max_examples=examples, stateful_step_count=steps, phases=[Phase.generate])
    with pytest.raises((AssertionError, ValueError, LookupError, psycopg.Error, Unseen)) as caught:
        run_state_machine_as_test(machine, settings=bounds)  # type: ignore[no-untyped-call]
    return caught.value


class Unseen(Exception):
    """What a naive model could not account for."""


class InTransaction(RuleBasedStateMachine):
    """A machine whose every example is one transaction that is taken back: no example sees another."""

    link: psycopg.Connection[Any]

    def __init__(self) -> None:
        super().__init__()
        self.tx = Tx(self.link)

    def teardown(self) -> None:
        self.link.rollback()


@pytest.fixture
def alone(store: Store) -> Iterator[None]:
    """An empty database for machines that work in a transaction of their own."""
    with _connect(store.url) as InTransaction.link:
        yield
        InTransaction.link.rollback()
