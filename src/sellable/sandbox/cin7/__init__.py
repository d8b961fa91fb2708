"""The Cin7 Core simulator: one company behind its External API v2. Rule: where it guesses, it says so."""

from sellable.sandbox.cin7.app import Cin7
from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox
from sellable.sandbox.faults import FaultMenu
from sellable.sandbox.outbound import Post

__all__ = ["build"]


def build(clock: Clock, seed: int, *, post: Post | None = None) -> Sandbox:
    """A company without data; load one. `post` replaces the network that webhooks are delivered over."""
    vendor = Cin7(clock, seed, post)
    return Sandbox(vendor, clock, FaultMenu(seed), vendor.world.journal)
