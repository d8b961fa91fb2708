"""What people say in the console beside the settings file: values under a key, each with its history, to be undone.

One rule: a change and its place in the history are one transaction, with whatever follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sellable.runtime.database import ReadTx, Row, Tx
from sellable.runtime.queries import queries

CHANNEL = "said"
"""Rings when something was said."""

Key = tuple[str, ...]
"""The section, and what names its row."""
Fields = Mapping[str, Any]

sql = queries("sellable.runtime")


class NotTheLast(ValueError):
    """A change cannot be undone: its value was changed again since, be it by undoing it."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """A value as somebody said it."""

    key: Key
    value: Fields
    actor: str
    at: datetime
    why: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """One step of the history; None is what the settings file says."""

    id: int
    at: datetime
    actor: str
    key: Key
    before: Fields | None
    after: Fields | None
    why: str
    undoes: int | None
    may_be_undone: bool


def values(tx: ReadTx) -> list[Said]:
    """Everything that is said now, by key."""
    return [
        Said(key=tuple(row.key), value=row.value, actor=row.actor, at=row.at, why=row.why)
        for row in tx.all(sql.said_values)
    ]


def over(hands: Iterable[Said]) -> dict[str, tuple[Any, Said]]:
    """Settings that are single values -> what is said of them."""
    return {
        f"{each.key[0]}.{field}": (value, each)
        for each in hands if len(each.key) == 1
        for field, value in each.value.items()
    }  # fmt: skip


def changes(tx: ReadTx, limit: int) -> list[Change]:
    """The newest changes, newest first."""
    return [_change(row) for row in tx.all(sql.said_changes, id=None, limit=limit)]


def change(tx: ReadTx, change_id: int) -> Change:
    """One change, however old. Raises LookupError."""
    row = tx.one(sql.said_changes, id=change_id, limit=1)
    if row is None:
        raise LookupError(f"there is no change {change_id}")
    return _change(row)


def put(
    tx: Tx, key: Key, value: Fields | None, actor: str, why: str, now: datetime
) -> tuple[Fields | None, bool]:  # fmt: skip
    """Say it, None: what the settings file says; returns what was said before, and whether that differs."""
    tx.run(sql.lock_said)
    return _put(tx, key, value, actor, why, now, undoes=None)


def undo(tx: Tx, change_id: int, actor: str, now: datetime) -> Change:
    """Take one change back and return it. Raises LookupError for no such change, NotTheLast."""
    tx.run(sql.lock_said)
    last = change(tx, change_id)
    if not last.may_be_undone:
        raise NotTheLast(f"what change {change_id} said was changed again since")
    _put(tx, last.key, last.before, actor, "", now, undoes=change_id)
    return last


def _put(
    tx: Tx, key: Key, value: Fields | None, actor: str, why: str, now: datetime, *, undoes: int | None
) -> tuple[Fields | None, bool]:
    before: Fields | None = tx.value(sql.said_now, key=list(key))
    if before == value:
        return before, False
    if value is None:
        tx.run(sql.drop_said, key=list(key))
    else:
        tx.run(sql.put_said, key=list(key), value=json.dumps(dict(value)), actor=actor, at=now, why=why)
    tx.run(
        sql.note_said, at=now, actor=actor, key=list(key), before=_text(before), after=_text(value),
        why=why, undoes=undoes,
    )  # fmt: skip
    tx.notify(CHANNEL)
    return before, True


def _text(value: Fields | None) -> str | None:
    return None if value is None else json.dumps(dict(value))


def _change(row: Row) -> Change:
    return Change(
        id=row.id, at=row.at, actor=row.actor, key=tuple(row.key), before=row.before, after=row.after, why=row.why,
        undoes=row.undoes, may_be_undone=row.newest,
    )  # fmt: skip
