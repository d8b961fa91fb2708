"""Reference data of the project that documents name by id: channels, custom types and workflow states, held in memory.

One rule: an id nobody has looked up is not the same as an id that does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from sellable.connectors.commercetools import wire
from sellable.connectors.commercetools.session import VENDOR, Session
from sellable.connectors.kit.decode import document

PAGE = 500
AGAIN = timedelta(seconds=60)
"""What was missing is looked for again no sooner than this."""

R = TypeVar("R", wire.Channel, wire.CustomType, wire.State)


class Register(Generic[R]):
    """All rows of one kind. `by_id` and `by_key` are empty until `hold` has read them once."""

    def __init__(self, session: Session, path: str, type_: type[R]) -> None:
        self._session = session
        self._path = path
        self._type: type[R] = type_
        self._reading = asyncio.Lock()
        self._read_at: datetime | None = None
        self._absent: set[str] = set()
        self.by_id: dict[str, R] = {}
        self.by_key: dict[str, R] = {}

    async def hold(self, names: Collection[str], *, lane: str) -> None:
        """Have these ids or keys looked up: no call when they are known, else one a page of all rows."""
        async with self._reading:
            if self._lacks(names):
                await self._read(lane)
                self._absent.update(name for name in names if not self.has(name))

    def has(self, name: str) -> bool:
        """Whether this id or key exists as far as we have read."""
        return name in self.by_id or name in self.by_key

    def is_absent(self, name: str) -> bool:
        """Whether this id or key was looked up and did not exist."""
        return name in self._absent

    def _lacks(self, names: Collection[str]) -> bool:
        if self._read_at is None:
            return True
        missing = {name for name in names if not self.has(name)}
        if not missing <= self._absent:
            return True
        latest = self._session.latest or self._read_at
        return bool(missing) and latest - self._read_at > AGAIN

    async def _read(self, lane: str) -> None:
        after: str | None = None
        while True:
            params = [("sort", "id asc"), ("limit", str(PAGE)), ("withTotal", "false")]
            if after is not None:
                params += [("where", "id > :after"), ("var.after", after)]
            answer = await self._session.call("GET", self._path, lane=lane, params=params)
            rows = document(answer.body, wire.Results, vendor=VENDOR).results
            for row in (document(raw, self._type, vendor=VENDOR) for raw in rows):
                self.by_id[row.id] = row
                if row.key:
                    self.by_key[row.key] = row
                after = row.id
            if len(rows) < PAGE:
                break
        self._read_at = answer.answered_at
        self._absent = {name for name in self._absent if not self.has(name)}
