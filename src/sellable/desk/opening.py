"""How other rooms open a case without knowing its owner: one function, handed in by the assembly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sellable.runtime.database import Tx


class OpenCase(Protocol):
    """Opens (or counts up) a case in the caller's transaction."""

    def __call__(
        self, tx: Tx, kind: str, subject: str, now: datetime, *, expected: Any = None, actual: Any = None,
        evidence: Sequence[str] = (),
    ) -> str: ...  # fmt: skip
