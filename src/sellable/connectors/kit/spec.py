"""A connector's declaration. One rule: what the engine must know of a vendor stands here and not in its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from sellable.runtime.budgets import BudgetSpec

S = TypeVar("S")

Evidence = Literal["ack", "allocation_read", "shipment"]
"""What proves that an order line is contained in the master's number: its acknowledgement of a create that allocates,
an allocation read back, or only the shipment (masters whose number is not net of allocations)."""


@dataclass(frozen=True, kw_only=True)
class Quirk:
    """A way in which the vendor surprises; `page` is its documentation page, or "observed"."""

    says: str
    page: str


def _none(settings: object) -> float:
    return 0.0


@dataclass(frozen=True, kw_only=True)
class Spec(Generic[S]):
    """One vendor. `capabilities` are names of protocols of connectors.port; `settings` is the vendor's struct.

    `budgets` gives what its credentials may spend under these settings. `visibility_lag_seconds` is how long after an
    acknowledgement the vendor's numbers may still be old, `search_settle_seconds` how long after an unknown outcome a
    search may still miss what was created. `compare_and_set`: a write names the version it was decided on.
    """

    name: str
    title: str
    capabilities: tuple[str, ...]
    settings: type[S]
    budgets: Callable[[S], tuple[BudgetSpec, ...]]
    compare_and_set: bool
    evidence: tuple[Evidence, ...] = ()
    visibility_lag_seconds: Callable[[S], float] = _none
    search_settle_seconds: Callable[[S], float] = _none
    quirks: tuple[Quirk, ...] = ()
