"""Goods that come back to a warehouse: announced by us, reported by it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from sellable.connectors.port.sales import Imported


class ReturnLine(msgspec.Struct, frozen=True, kw_only=True):
    """Units announced as coming back, with the warehouse's own words for why and in what condition ("" for none)."""

    sku: str
    quantity: int
    reason: str = ""
    condition: str = ""


class ReturnAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """A return to announce. `ref` is our number of it, unique for ever; `location` is ours, "" to leave it to them."""

    ref: str
    order_ref: str
    lines: tuple[ReturnLine, ...]
    authorised: bool = True
    type: str = ""
    location: str = ""
    returned_at: datetime | None = None
    note: str = ""


class ReturnRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a return as the warehouse reports it. `authorisation` is our `ref` where we announced it.

    `authorised` None is a word that was not understood; `completed_at` None is a return still being looked at.
    """

    order_ref: str
    sku: str
    quantity: int
    returned_at: datetime | None
    completed_at: datetime | None
    authorised: bool | None
    authorisation: str
    type: str
    note: str
    reason: str
    condition: str
    line_type: str
    line_note: str


class Returns(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of returns in a window."""

    rows: tuple[ReturnRow, ...]
    received: int
    since: datetime
    until: datetime
    faults: tuple[str, ...] = ()


class ReturnSource(Protocol):
    """Returns at a warehouse: announced by us, reported by it."""

    async def returns(self, since: datetime, until: datetime, *, lane: str) -> Returns:
        """One call: lines of returns in the window. Overlap windows; a line has no number of its own."""
        ...

    async def import_returns(self, drafts: Sequence[ReturnAdvice], *, lane: str) -> list[Imported]:
        """One call; an outcome for each draft, in their order, as `import_orders`."""
        ...
