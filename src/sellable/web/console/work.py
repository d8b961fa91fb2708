"""What the pages of orders, cases and settings are handed by the assembly; it works in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sellable.config.settings import Settings
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.said import Change, Fields, Key
from sellable.stock.numbers import Number


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a setting would change: `facts` in words, and of `skus` SKUs concerned `looked_at` with `numbers` numbers
    were computed, of which `changes` differ (now, then)."""

    facts: Sequence[tuple[str, str]] = ()
    skus: int = 0
    looked_at: int = 0
    numbers: int = 0
    changes: Sequence[tuple[Number, Number]] = ()

    @property
    def sold_out(self) -> int:
        """Numbers that would fall to nothing."""
        return sum(after.explanation.target == 0 for _, after in self.changes)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What these pages may ask and do."""

    story: Callable[[ReadTx, str], list[dict[str, Any]]]
    """Everything about the orders of an id or number; empty when there is none."""
    replay: Callable[[Tx, str, str], int]
    """(case, actor) -> how much of what stood behind the case goes on."""
    refusals: Callable[[Settings], list[str]]
    """What cannot work in settings, in sentences."""
    together: Callable[[ReadTx], tuple[Settings, list[Key]]]
    """What file and console say together, and what of the console's fits the file no more."""
    effect: Callable[[Tx, Key, Fields | None], Effect]
    """(key, value or None for the file's) -> what saying it would change. Nothing is changed."""
    put: Callable[[Tx, Key, Fields | None, str, str], tuple[Fields | None, bool, int]]
    """(key, value, actor, why) -> what was said before, whether that differs, how many held orders go on."""
    undo: Callable[[Tx, int, str], Change]
    """(change, actor) -> the change that is taken back. Raises LookupError, NotTheLast."""
