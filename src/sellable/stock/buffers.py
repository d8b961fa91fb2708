"""Buffers that a person sets while the service runs: over the settings file, for all processes at once, to be undone.

One rule: a change, its place in the history and the marks on the numbers it concerns are one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sellable.domain.stock import Priority
from sellable.runtime.database import ReadTx, Row, Tx
from sellable.runtime.queries import queries
from sellable.stock import dirty
from sellable.stock.availability import BufferRule

ALL_CHANNELS = "*"

sql = queries("sellable.stock")


class NotTheLast(ValueError):
    """A change cannot be undone: its buffer was changed again since, be it by undoing it."""


@dataclass(frozen=True, kw_only=True)
class Which:
    """What a buffer is for; '' is every SKU or the pool as a whole, None every channel ('' is entries without one)."""

    sku: str = ""
    location: str = ""
    channel: str | None = None

    def rule(self, units: int) -> BufferRule:
        """So many units of it."""
        return BufferRule(units=units, sku=self.sku, location=self.location, channel=self.channel)

    def key(self) -> dict[str, str]:
        """As the tables name it."""
        channel = ALL_CHANNELS if self.channel is None else self.channel
        return {"sku": self.sku, "location": self.location, "channel": channel}


@dataclass(frozen=True, kw_only=True)
class ByHand:
    """A buffer as somebody set it."""

    which: Which
    units: int
    actor: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Change:
    """One step of the history; None is what the settings file says."""

    id: int
    at: datetime
    actor: str
    which: Which
    before: int | None
    after: int | None
    undoes: int | None
    may_be_undone: bool


def by_hand(tx: ReadTx) -> list[ByHand]:
    """Every buffer that is set by hand now."""
    return [
        ByHand(which=_which(row.sku, row.location, row.channel), units=row.units, actor=row.actor, at=row.at)
        for row in tx.all(sql.buffer_sets)
    ]


def changes(tx: ReadTx, limit: int) -> list[Change]:
    """The newest changes, newest first."""
    return [_change(row) for row in tx.all(sql.buffer_changes, id=None, limit=limit)]


def change(tx: ReadTx, change_id: int) -> Change:
    """One change, however old. Raises LookupError."""
    row = tx.one(sql.buffer_changes, id=change_id, limit=1)
    if row is None:
        raise LookupError(f"there is no change {change_id}")
    return _change(row)


def concerned(tx: ReadTx, which: Which) -> list[str]:
    """SKUs of entries whose number may follow this buffer."""
    return [row.sku for row in tx.all(sql.buffered_skus, sku=which.sku)]


def put(tx: Tx, which: Which, units: int | None, actor: str, now: datetime) -> tuple[int | None, bool]:
    """Hold so many units back, None: what the settings file says; returns what was before, and whether that differs."""
    tx.run(sql.lock_buffers)
    return _put(tx, which, units, actor, now, undoes=None)


def undo(tx: Tx, change_id: int, actor: str, now: datetime) -> tuple[Which, int | None, int | None]:
    """Take one change back; returns (which, before, now). Raises LookupError for no such change, NotTheLast."""
    tx.run(sql.lock_buffers)
    last = change(tx, change_id)
    if not last.may_be_undone:
        raise NotTheLast(f"the buffer of change {change_id} was changed again since")
    _put(tx, last.which, last.before, actor, now, undoes=change_id)
    return last.which, last.after, last.before


def _put(
    tx: Tx, which: Which, units: int | None, actor: str, now: datetime, *, undoes: int | None
) -> tuple[int | None, bool]:
    key = which.key()
    before: int | None = tx.value(sql.buffer_now, **key)
    if before == units:
        return before, False
    if units is None:
        tx.run(sql.drop_buffer, **key)
    else:
        tx.run(sql.put_buffer, **key, units=units, actor=actor, at=now)
    tx.value(sql.note_buffer_change, **key, at=now, actor=actor, before=before, after=units, undoes=undoes)
    dirty.mark(tx, concerned(tx, which), Priority.LOWER, "buffer", now)
    return before, True


def _change(row: Row) -> Change:
    return Change(
        id=row.id, at=row.at, actor=row.actor, which=_which(row.sku, row.location, row.channel), before=row.before,
        after=row.after, undoes=row.undoes, may_be_undone=row.newest,
    )  # fmt: skip


def _which(sku: str, location: str, channel: str) -> Which:
    return Which(sku=sku, location=location, channel=None if channel == ALL_CHANNELS else channel)
