"""The commercetools simulator: stateful, versioned projects with the vendor's refusals, lags and messages.

Rule: facts come from the vendor's public API description; whatever nobody could confirm is a switch or called a guess.
"""

from sellable.sandbox.clock import Clock
from sellable.sandbox.commercetools.app import Commercetools
from sellable.sandbox.control import Sandbox
from sellable.sandbox.faults import FaultMenu
from sellable.sandbox.journal import Journal

__all__ = ["Commercetools", "build"]


def build(clock: Clock, seed: int) -> Sandbox:
    """A fresh simulator; the seed decides ids, lags and faults."""
    journal = Journal(clock)
    return Sandbox(Commercetools(clock, journal, seed), clock, FaultMenu(seed), journal)
