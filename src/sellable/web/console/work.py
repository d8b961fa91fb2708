"""What the pages of orders, cases and settings are handed by the assembly; it works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sellable.config.settings import Settings
from sellable.runtime.database import ReadTx, Tx
from sellable.stock.availability import BufferRule
from sellable.stock.numbers import Number


@dataclass(frozen=True, kw_only=True)
class Work:
    """What these pages may ask and do."""

    story: Callable[[ReadTx, str], list[dict[str, Any]]]
    """Everything about the orders of an id or number; empty when there is none."""
    replay: Callable[[Tx, str, str], int]
    """(case, actor) -> how much of what stood behind the case goes on."""
    suppose: Callable[[ReadTx, Sequence[str], Sequence[BufferRule]], list[Number]]
    """(SKUs, further buffers) -> their numbers if these were set."""
    refusals: Callable[[Settings], list[str]]
    """What cannot work in settings, in sentences."""
