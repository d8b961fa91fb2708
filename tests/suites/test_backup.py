"""A backup's file: what it holds, what is refused, and that a restore is all or nothing."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import fresh_database

from sellable.runtime import backup
from sellable.runtime.backup import CAUSAL_LEAP, BackupRefused, Manifest
from sellable.runtime.database import Store, Tx
from sellable.runtime.slots import Slot

AT = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
FILL = """
INSERT INTO cases (kind, subject, owner, severity, first_at, last_at, title, evidence, next_step)
    VALUES ('oversold', E'sku:A\\tB\\\\N', 'ops', 1, app_now(), app_now(), 'äöü', '[]', 'count');
INSERT INTO case_event (case_id, at, actor, what, detail)
    SELECT id, app_now(), 'ops', 'opened', E'two\\nlines' FROM cases;
INSERT INTO inbox (source, message_id, kind, lane, priority, body, meta, received_at, received_seq, due_at, sealed_with)
    VALUES ('s', 'm', 'message', '', 1, '\\x00ff', '{}', app_now(), next_seq(), app_now(), 'k');
"""


def nothing(tx: Tx, made: Manifest) -> None:
    """A restore that marks nothing."""


def rows(url: str) -> dict[str, list[Any]]:
    """Everything in every table."""
    with psycopg.connect(url) as connection:
        names = [n for (n,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        return {n: sorted(map(repr, connection.execute(f"SELECT * FROM {n}".encode()))) for n in names}


@pytest.fixture
def filled(store: Store) -> str:
    with psycopg.connect(store.url) as connection:
        connection.execute(FILL.encode())
    return store.url


@pytest.fixture
def file(filled: str, tmp_path: Path) -> Path:
    """A backup of the filled database."""
    path = tmp_path / "night.backup"
    backup.write(filled, path, AT)
    return path


def test_everything_comes_back_and_the_causal_clock_leaps(filled: str, file: Path) -> None:
    before = rows(filled)
    with psycopg.connect(filled) as connection:
        connection.execute("DELETE FROM inbox; DELETE FROM case_event")
    made = backup.restore(filled, file, force=True, after=nothing)
    assert rows(filled) == before
    assert made.made_at == AT
    assert made.rows == sum(map(len, before.values()))
    with psycopg.connect(filled) as connection:
        assert connection.execute("SELECT next_seq()").fetchone() > (CAUSAL_LEAP,)
        known = connection.execute("SELECT max(id) FROM cases").fetchone()
        assert known is not None
        connection.execute(FILL.replace("'m'", "'n'").replace("'oversold'", "'drift'").encode())
        assert connection.execute("SELECT max(id) FROM cases").fetchone() > known, "identities go on, none comes twice"


def test_a_backup_is_for_its_owner_only_and_of_one_piece(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in file.parent.iterdir()] == [file.name], "no part of it is left beside it"


def test_a_backup_is_never_written_over_another(filled: str, file: Path) -> None:
    with pytest.raises(BackupRefused, match="exists"):
        backup.write(filled, file, AT)


def test_a_backup_that_cannot_be_written_says_so(filled: str, tmp_path: Path) -> None:
    with pytest.raises(BackupRefused, match="cannot be written: No such file"):
        backup.write(filled, tmp_path / "nowhere" / "night.backup", AT)


def test_an_empty_database_has_no_backup_but_takes_one(database_url: str, file: Path, tmp_path: Path) -> None:
    with fresh_database(database_url, "_empty") as empty:
        with pytest.raises(BackupRefused, match="nothing to back up"):
            backup.write(empty, tmp_path / "none.backup", AT)
        assert not (tmp_path / "none.backup").exists()
        backup.restore(empty, file, force=False, after=nothing)
        assert rows(empty) == rows(database_url)


def test_what_a_database_holds_is_not_replaced_without_force(filled: str, file: Path) -> None:
    before = rows(filled)
    with pytest.raises(BackupRefused, match=r"not empty \(.*cases"):
        backup.restore(filled, file, force=False, after=nothing)
    assert rows(filled) == before


def test_a_database_that_a_process_serves_is_left_alone(filled: str, file: Path) -> None:
    slot = Slot(filled)
    slot.take()
    try:
        with pytest.raises(BackupRefused, match="stop every"):
            backup.restore(filled, file, force=True, after=nothing)
    finally:
        slot.close()


def test_a_restore_that_fails_at_its_end_changed_nothing(filled: str, file: Path) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("DELETE FROM inbox")
    before = rows(filled)

    def fails(tx: Tx, made: Manifest) -> None:
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError):
        backup.restore(filled, file, force=True, after=fails)
    assert rows(filled) == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def manifest_with(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """The same file with another manifest."""

    def spoil(path: Path) -> None:
        with zipfile.ZipFile(path) as old:
            parts = {name: old.read(name) for name in old.namelist()}
        manifest = json.loads(parts["manifest.json"])
        change(manifest)
        parts["manifest.json"] = json.dumps(manifest).encode()
        with zipfile.ZipFile(path, "w") as new:
            for name, content in parts.items():
                new.writestr(name, content)

    return spoil


def newer(manifest: dict[str, Any]) -> None:
    manifest["migrations"].append({"number": 9999, "name": "tomorrow", "sha256": "0" * 64})


def foreign(manifest: dict[str, Any]) -> None:
    manifest["migrations"][0]["sha256"] = "0" * 64


def altered(manifest: dict[str, Any]) -> None:
    manifest["tables"]["inbox"]["sha256"] = "0" * 64


def other_columns(manifest: dict[str, Any]) -> None:
    manifest["tables"]["inbox"]["columns"][0] = "nowhere"


def fewer_rows(manifest: dict[str, Any]) -> None:
    manifest["tables"]["inbox"]["rows"] = 7


def later_format(manifest: dict[str, Any]) -> None:
    manifest["format"] = 2


SPOILT = {
    "cut off": (cut, "no whole backup"),
    "no archive": (lambda path: path.write_bytes(b"PGDMP"), "no whole backup"),
    "of a newer program": (manifest_with(newer), "newer program"),
    "of another schema": (manifest_with(foreign), "not the one this program knows"),
    "altered": (manifest_with(altered), "table inbox does not agree with its checksum"),
    "of other columns": (manifest_with(other_columns), "table inbox does not fit"),
    "of another number of rows": (manifest_with(fewer_rows), r"1 row\(s\) of 7"),
    "gone": (Path.unlink, "cannot be read"),
    "of a later format": (manifest_with(later_format), "format 2"),
}


@pytest.mark.parametrize(("spoil", "why"), SPOILT.values(), ids=SPOILT)
def test_a_file_that_is_not_proved_changes_nothing(
    filled: str, file: Path, spoil: Callable[[Path], Any], why: str
) -> None:
    spoil(file)
    before = rows(filled)
    with pytest.raises(BackupRefused, match=why):
        backup.restore(filled, file, force=True, after=nothing)
    assert rows(filled) == before


def test_what_is_not_ours_in_the_schema_stays(filled: str, file: Path) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("CREATE TABLE somebody_elses (id int); INSERT INTO somebody_elses VALUES (7)")
        try:
            backup.restore(filled, file, force=True, after=nothing)
            assert connection.execute("SELECT id FROM somebody_elses").fetchone() == (7,)
            again = file.with_name("second.backup")
            assert "somebody_elses" not in backup.write(filled, again, AT).tables
        finally:
            connection.execute("DROP TABLE somebody_elses")
