"""Numbered migrations. Rule: an applied file never changes; what has to change is a new file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sellable.runtime.database import Store

FOLDER = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_LOCK = 0x5E11AB1E  # Any constant of our own: one migrating process at a time for each database.

_BOOKKEEPING = """
CREATE TABLE IF NOT EXISTS schema_migration (
    number     int PRIMARY KEY CHECK (number > 0),
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL
)
"""


class MigrationRefused(Exception):
    """The files and the database disagree about the past, so nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One file of the migrations folder."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Checksum of the file's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrate(target: Store | str, folder: Path = FOLDER) -> list[Migration]:
    """Bring the database up to date and return what was applied: all pending files or, on any error, none.

    Processes that start together wait for one another. Raises MigrationRefused.
    """
    files = load(folder)
    with _connect(target) as connection:
        lock(connection)
        connection.execute(_BOOKKEEPING)
        todo = _unapplied(connection, files)
        apply(connection, todo)
    return todo


def lock(connection: psycopg.Connection) -> None:
    """Be the one who changes the schema, until this transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def apply(connection: psycopg.Connection, files: Sequence[Migration]) -> None:
    """Apply these files, in this order, and note each one."""
    connection.execute(_BOOKKEEPING)
    for migration in files:
        connection.execute(migration.text.encode())
        connection.execute(
            "INSERT INTO schema_migration (number, name, sha256, applied_at) VALUES (%s, %s, %s, app_now())",
            [migration.number, migration.name, migration.sha256],
        )


def pending(target: Store | str, folder: Path = FOLDER) -> list[Migration]:
    """What `migrate` would apply; changes nothing. Raises MigrationRefused."""
    files = load(folder)
    with _connect(target) as connection:
        exists = connection.execute("SELECT to_regclass('schema_migration') IS NOT NULL").fetchone()
        return _unapplied(connection, files) if exists == (True,) else files


def load(folder: Path = FOLDER) -> list[Migration]:
    """The files in order. Raises MigrationRefused on a strange name or a number used twice."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        if not (match := _NAME.fullmatch(path.name)):
            raise MigrationRefused(f"{path.name}: a migration is called NNNN_name.sql")
        number = int(match["number"])
        if number in found:
            raise MigrationRefused(f"{path.name}: the number {number:04} is taken by {found[number].name}")
        found[number] = Migration(number=number, name=match["name"], text=path.read_text("utf-8"))
    return list(found.values())


def _unapplied(connection: psycopg.Connection, files: list[Migration]) -> list[Migration]:
    """The files after the applied ones, which must be exactly the first files, unchanged."""
    applied = connection.execute("SELECT number, name, sha256 FROM schema_migration ORDER BY number").fetchall()
    if len(applied) > len(files):
        raise MigrationRefused(f"the database is at {applied[-1][0]:04}, newer than this program")
    for (number, name, sha256), migration in zip(applied, files, strict=False):
        if number != migration.number:
            raise MigrationRefused(f"the database has {number:04}_{name} where the files have {migration.number:04}")
        if sha256 != migration.sha256:
            raise MigrationRefused(f"migration {number:04}_{migration.name} has changed since it was applied")
    return files[len(applied) :]


def _connect(target: Store | str) -> psycopg.Connection:
    url = target if isinstance(target, str) else target.url
    return psycopg.connect(url, application_name="sellable migrate")
