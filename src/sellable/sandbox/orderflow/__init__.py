"""The OrderFlow simulator: one tenant of the warehouse system behind its XML API. Rule: a guess says UNCONFIRMED."""

from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox
from sellable.sandbox.faults import FaultMenu
from sellable.sandbox.orderflow.app import OrderFlow
from sellable.sandbox.outbound import Post

__all__ = ["build"]


def build(clock: Clock, seed: int, *, post: Post | None = None) -> Sandbox:
    """A tenant without data; load one. `post` replaces the network that messages are sent over."""
    vendor = OrderFlow(clock, seed, post)
    return Sandbox(vendor, clock, FaultMenu(seed), vendor.world.journal)
