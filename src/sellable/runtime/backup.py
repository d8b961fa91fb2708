"""The whole database in one file, and back. Rule: a file that is not proved whole changes nothing.

A zip archive: tables/NAME is what COPY says of a table, compressed, all of one snapshot; manifest.json comes last, with
the migrations, and of every table its columns, rows and checksum. COPY instead of pg_dump: it speaks to a server of any
version over the connection we have anyway, and the schema is what our own migrations make.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec
import psycopg
from psycopg import sql as compose

from sellable.runtime import migrate, slots
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 1 << 20
CAUSAL_LEAP = 1_000_000_000
"""The former life went on counting after the backup; numbers of the new one are surely later than any of those."""
_MADE = re.compile(r"^CREATE (?:OR REPLACE )?(TABLE|VIEW|FUNCTION|SEQUENCE) (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)

sql = queries("sellable.runtime")


class BackupRefused(Exception):
    """Nothing was changed; the message says why and what to do."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the file: its columns in order, its rows, and the SHA-256 of what COPY said."""

    columns: tuple[str, ...]
    rows: int
    sha256: str


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A migration the data was made under."""

    number: int
    name: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself. `tables` come in an order in which each finds the rows it refers to."""

    format: int
    made_at: datetime
    migrations: tuple[Applied, ...]
    tables: dict[str, Table]
    sequences: dict[str, int]

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(table.rows for table in self.tables.values())


# --- Out -------------------------------------------------------------------------------------------------------------


def write(url: str, path: Path, now: datetime) -> Manifest:
    """Write everything to `path`, readable by its owner only; a service may go on working meanwhile.

    Raises BackupRefused when the file exists or cannot be written, or the database holds nothing of ours.
    """
    if path.exists():
        raise BackupRefused(f"{path} exists; a backup is never written over another")
    partial = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                manifest = _write_all(url, archive, now)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise BackupRefused(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def _write_all(url: str, archive: zipfile.ZipFile, now: datetime) -> Manifest:
    with psycopg.connect(url, application_name="sellable backup") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        tx = ReadTx(connection)
        ours = _ours()
        columns = {row.name: tuple(row.columns) for row in tx.all(sql.tables_to_keep) if row.name in ours}
        if "schema_migration" not in columns:
            raise BackupRefused("the database is empty: there is nothing to back up")
        applied = tuple(
            Applied(number=row.number, name=row.name, sha256=row.sha256) for row in tx.all(sql.migrations_applied)
        )
        order = _parents_first(columns, [(row.child, row.parent) for row in tx.all(sql.table_references)])
        tables = {name: _write_table(connection, archive, name, columns[name]) for name in order}
        # After the rows: a sequence is in no snapshot, and a number too high harms nobody.
        sequences = {row.name: row.value for row in tx.all(sql.sequences_at, tables=sorted(columns))}
    manifest = Manifest(format=FORMAT, made_at=now, migrations=applied, tables=tables, sequences=sequences)
    archive.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return manifest


def _write_table(
    connection: psycopg.Connection, archive: zipfile.ZipFile, name: str, columns: tuple[str, ...]
) -> Table:
    digest = hashlib.sha256()
    statement = compose.SQL("COPY {} ({}) TO STDOUT").format(compose.Identifier(name), _list(columns))
    with archive.open(f"tables/{name}", "w", force_zip64=True) as member:
        cursor = connection.cursor()
        with cursor.copy(statement) as copy:
            for block in copy:
                digest.update(block)
                member.write(block)
    return Table(columns=columns, rows=cursor.rowcount, sha256=digest.hexdigest())


def _parents_first(tables: dict[str, tuple[str, ...]], references: list[tuple[str, str]]) -> list[str]:
    """Names in an order in which what is referred to comes before what refers to it."""
    left, order = sorted(tables), list[str]()
    while left:
        ready = [name for name in left if all(p in order or p == name for child, p in references if child == name)]
        if not ready:
            raise BackupRefused(f"tables that refer to one another in a circle: {', '.join(left)}")
        order += ready
        left = [name for name in left if name not in ready]
    return order


def _list(columns: tuple[str, ...]) -> compose.Composed:
    return compose.SQL(", ").join(map(compose.Identifier, columns))


# --- In --------------------------------------------------------------------------------------------------------------


def verify(path: Path) -> Manifest:
    """What the file holds, once every byte of it was compared with its checksum. Raises BackupRefused."""
    with _proved(path), _opened(path) as (archive, manifest):
        for name, table in manifest.tables.items():
            digest = hashlib.sha256()
            with archive.open(f"tables/{name}") as member:
                for block in _blocks(member):
                    digest.update(block)
            if digest.hexdigest() != table.sha256:
                raise BackupRefused(f"{path}: table {name} does not agree with its checksum; the file is damaged")
    return manifest


def restore(url: str, path: Path, *, force: bool, after: Callable[[Tx, Manifest], None]) -> Manifest:
    """Put a verified file into the database, bring its schema up to date and call `after`: all of it, or nothing.

    Raises BackupRefused for a damaged file or one of a newer program, while a process serves this database, and when
    the database holds rows, unless `force` says that they shall go.
    """
    manifest = verify(path)
    files = _known(path, manifest)
    with psycopg.connect(url, application_name="sellable restore") as connection, _opened(path) as (archive, _):
        migrate.lock(connection)
        tx = Tx(connection)
        _may_replace(connection, tx, force)
        _drop(connection)
        migrate.apply(connection, files[: len(manifest.migrations)])
        connection.execute("DELETE FROM schema_migration")
        for name, table in manifest.tables.items():
            _read_table(connection, archive, name, table)
        for name, value in manifest.sequences.items():
            connection.execute("SELECT setval(%s::regclass, %s)", [name, value + CAUSAL_LEAP * (name == "causal_seq")])
        migrate.apply(connection, files[len(manifest.migrations) :])
        connection.execute("ANALYZE")
        after(tx, manifest)
        tx.finish()
    return manifest


def _known(path: Path, manifest: Manifest) -> list[migrate.Migration]:
    """Our migrations, of which the file's are the first."""
    files = migrate.load()
    if len(manifest.migrations) > len(files):
        newest = manifest.migrations[-1]
        raise BackupRefused(f"{path} was made by a newer program (schema {newest.number:04}_{newest.name})")
    for theirs, ours in zip(manifest.migrations, files, strict=False):
        if (theirs.number, theirs.sha256) != (ours.number, ours.sha256):
            raise BackupRefused(f"{path}: schema {theirs.number:04}_{theirs.name} is not the one this program knows")
    return files


def _may_replace(connection: psycopg.Connection, tx: Tx, force: bool) -> None:
    if tx.value(sql.slots_held, space=slots.SPACE):
        raise BackupRefused("a process serves this database: stop every `sellable run` first")
    ours = _ours().keys() - {"schema_migration"}
    held = [row.name for row in tx.all(sql.tables_to_keep) if row.name in ours and _holds_rows(connection, row.name)]
    if held and not force:
        raise BackupRefused(
            f"the database is not empty ({', '.join(held[:5])} ...): --force drops what it holds, for ever"
        )


def _holds_rows(connection: psycopg.Connection, table: str) -> bool:
    look = compose.SQL("SELECT EXISTS (SELECT FROM {})").format(compose.Identifier(table))
    return connection.execute(look).fetchone() == (True,)


def _ours() -> dict[str, str]:
    """Name -> kind of everything our migrations make; what else lives in the schema is none of our business."""
    made = {name: kind for each in migrate.load() for kind, name in _MADE.findall(each.text)}
    return made | {"schema_migration": "TABLE"}


def _drop(connection: psycopg.Connection) -> None:
    ours = _ours()
    for kind in ("VIEW", "TABLE", "FUNCTION", "SEQUENCE"):
        for name in (name for name, its in ours.items() if its == kind):
            connection.execute(f"DROP {kind} IF EXISTS {name} CASCADE".encode())


def _read_table(connection: psycopg.Connection, archive: zipfile.ZipFile, name: str, table: Table) -> None:
    statement = compose.SQL("COPY {} ({}) FROM STDIN").format(compose.Identifier(name), _list(table.columns))
    cursor = connection.cursor()
    try:
        with archive.open(f"tables/{name}") as member, cursor.copy(statement) as copy:
            for block in _blocks(member):
                copy.write(block)
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError) as error:
        # Without PostgreSQL's words, which quote the row and with it people.
        raise BackupRefused(f"table {name} does not fit ({error.sqlstate}); nothing was changed") from None
    if cursor.rowcount != table.rows:
        raise BackupRefused(f"table {name}: {cursor.rowcount} row(s) of {table.rows}; nothing was changed")


def _blocks(member: IO[bytes]) -> Iterator[bytes]:
    while block := member.read(CHUNK):
        yield block


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    with _proved(path):
        archive = zipfile.ZipFile(path)
        manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
        if manifest.format != FORMAT:
            raise BackupRefused(f"{path}: format {manifest.format} is none this program knows")
    with archive:
        yield archive, manifest


@contextlib.contextmanager
def _proved(path: Path) -> Iterator[None]:
    """Whatever is wrong with the file is said as a refusal; for nothing but reading it."""
    try:
        yield
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, msgspec.DecodeError) as error:
        raise BackupRefused(f"{path} is no whole backup: {error}") from error
    except OSError as error:
        raise BackupRefused(f"{path} cannot be read: {error.strerror}") from error
