"""Clock, ids, named queries, telemetry and the embedded server's life, without the schema."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import structlog

from sellable.runtime import postgres, telemetry
from sellable.runtime.clock import Clock
from sellable.runtime.ids import Ids
from sellable.runtime.postgres import EmbeddedServer, PostgresUnavailable, discard
from sellable.runtime.queries import Queries, QueryMissing, parse

START_AND_WAIT = """
import sys, time
from pathlib import Path
from sellable.runtime.postgres import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1])).start(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sellable-test-"))
    folder.chmod(0o711)
    yield folder / "data"
    discard(folder)


def test_a_fast_clock_turns_one_real_second_into_sixty() -> None:
    real = [1_000.0]
    clock = Clock(speed=60, origin=1_000.0, start=0.0, source=lambda: real[0], ticks=lambda: real[0])
    tick = clock.monotonic()
    real[0] += 1
    assert clock.now() == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert clock.monotonic() - tick == 60


def test_a_clock_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Clock.from_environment() == Clock()
    assert Clock.from_environment().settings() == {}
    monkeypatch.setenv("SELLABLE_CLOCK", "speed=60,origin=1763710000.5,start=1291190400")
    clock = Clock.from_environment()
    assert clock == Clock.parse(clock.text())
    assert clock.settings() == {
        "sellable.clock_speed": "60.0",
        "sellable.clock_origin": "1763710000.5",
        "sellable.clock_start": "1291190400.0",
    }


@pytest.mark.parametrize("text", ["speed=0", "speed=-1", "speed=nan", "pace=3", "speed"])
def test_a_wrong_clock_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Clock.parse(text)


@pytest.mark.parametrize(("seconds", "real"), [(30.0, 5.0), (2.0, 2.0), (3600.0, 60.0)])
def test_limits_for_io_never_become_impossibly_short(seconds: float, real: float) -> None:
    assert Clock(speed=60).real_timeout(seconds) == real
    assert Clock().real_timeout(seconds) == seconds


def test_sleeping_an_hour_on_a_fast_clock_is_short() -> None:
    clock = Clock(speed=3_600_000)
    before = clock.monotonic()
    asyncio.run(clock.sleep(3600))
    assert clock.monotonic() - before >= 3600


def test_ids_sort_by_birth_within_a_millisecond_and_over_a_step_back() -> None:
    moments = iter([1763710000.0, 1763710000.0, 1763700000.0, 1763710000.001])
    ids = Ids(Clock(source=lambda: next(moments)), entropy=lambda size: b"\x07" * size)
    made = [ids.new("op") for _ in range(4)]
    assert made == sorted(set(made))
    assert made[0] == "op_01KAJMXPW00W3GE1R70W3GE1R7"
    assert made[1] == "op_01KAJMXPW00W3GE1R70W3GE1R8"


QUERIES = """
-- Words before the first block are free.

-- name: find_balance
-- The units of one SKU.
SELECT units FROM balance
WHERE sku = %(sku)s;

-- name: count_all
-- All rows.
SELECT count(*) FROM balance
"""


def test_queries_are_found_by_name() -> None:
    found = Queries("sellable.stock", parse("sellable.stock", QUERIES))
    assert found.find_balance.text == "SELECT units FROM balance\nWHERE sku = %(sku)s"
    assert found.find_balance.purpose == "The units of one SKU."
    assert [query.name for query in found] == ["find_balance", "count_all"]
    with pytest.raises(QueryMissing, match=r"no query 'find_balances' in queries\.sql of sellable\.stock; did you"):
        _ = found.find_balances


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\nSELECT 1\n", "wants one comment line"),
        ("-- name: a\n-- Nothing follows.\n", "wants one comment line"),
        ("-- name: a b\n-- Words.\nSELECT 1\n", "plain identifier"),
        ("-- name:\n-- Words.\nSELECT 1\n", "plain identifier"),
        ("-- name: a\n-- Words.\nSELECT 1\n-- name: a\n-- Words.\nSELECT 1\n", "used twice"),
        ("SELECT 1\n", "before the first query"),
        ("-- name: a\n-- Words.\nSELECT 1\n-- Name b\n-- Words.\nSELECT 2\n", "nearly says"),
    ],
)
def test_a_malformed_query_file_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse("sellable.stock", text)


def test_logs_are_json_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        telemetry.configure("info", "json")
        structlog.get_logger("ours").info("started", url="postgresql://u:CANARY@host/db", access_token="CANARY", n=3)
        logging.getLogger("theirs").warning("from postgresql://u:%s@host/db", "CANARY", extra={"email": "CANARY"})
        logging.getLogger("theirs").debug("too quiet")
    finally:
        root.handlers[:], root.level = before
        structlog.reset_defaults()
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["n"], ours["level"], ours["logger"]) == ("started", 3, "info", "ours")
    assert ours["url"] == "postgresql://u:(hidden)@host/db"
    assert "CANARY" not in json.dumps([ours, theirs])


def test_metrics_are_exposed() -> None:
    boxes = telemetry.counter("test_boxes", "Boxes seen by a test.", ["colour"])
    boxes.labels("red").inc(2)
    assert b'sellable_test_boxes_total{colour="red"} 2.0' in telemetry.exposition()
    # The documents, which may be tested next, name every metric there is.
    telemetry.REGISTRY.unregister(boxes)


def test_a_server_keeps_its_data_and_address_over_a_restart(data_dir: Path) -> None:
    with EmbeddedServer(data_dir, durable=False, die_with_parent=True) as first, psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS units")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(first)
    with EmbeddedServer(data_dir, durable=False, die_with_parent=True) as second, psycopg.connect(second) as connection:
        assert second == first
        assert connection.execute("SELECT units FROM kept").fetchone() == (7,)
    assert oct((data_dir / "url").stat().st_mode & 0o777) == "0o600"
    assert oct((data_dir / "password").stat().st_mode & 0o777) == "0o600"


def test_a_second_user_of_a_directory_shares_the_server_and_leaves_it_running(data_dir: Path) -> None:
    with EmbeddedServer(data_dir, durable=False, die_with_parent=True) as url:
        with EmbeddedServer(data_dir) as shared:
            assert shared == url
        psycopg.connect(url).close()


def kill_server(data_dir: Path) -> None:
    os.kill(int((data_dir / "cluster" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


def revived(server: EmbeddedServer) -> bool:
    """Whether it was started again; a killed one may take a moment to be gone."""
    return any(server.revive() or time.sleep(0.05) for _ in range(200))


def test_a_server_that_was_killed_is_started_again_where_it_was(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, die_with_parent=True)
    with server as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS units")
        assert not server.revive(), "it is alive"
        kill_server(data_dir)
        assert revived(server)
        assert not server.revive()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT units FROM kept").fetchone() == (7,)


def test_whoever_shared_a_server_starts_it_again_when_its_owner_has_stopped_it(data_dir: Path) -> None:
    owner, other = (EmbeddedServer(data_dir, durable=False, die_with_parent=True) for _ in range(2))
    with owner as url:
        assert other.start() == url
        assert not other.revive(), "it belongs to somebody who is alive"
    try:
        assert other.revive()
        psycopg.connect(url).close()
    finally:
        other.stop()


def test_a_server_that_outlived_its_owner_is_started_again_when_it_dies(data_dir: Path) -> None:
    other = EmbeddedServer(data_dir, durable=False, die_with_parent=True)
    command = [sys.executable, "-c", START_AND_WAIT, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert other.start() == url
        owner.kill()
    try:
        assert not other.revive(), "it is alive"
        kill_server(data_dir)
        assert revived(other)
        psycopg.connect(url).close()
    finally:
        other.stop()


def test_a_server_that_cannot_be_started_again_says_so(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, durable=False, die_with_parent=True)
    with server:
        kill_server(data_dir)
        assert server._process is not None
        server._process.wait()
        (data_dir / "cluster" / "global" / "pg_control").unlink()
        with pytest.raises(PostgresUnavailable, match="did not start"):
            server.revive()


def test_what_nobody_keeps_lies_in_memory_and_what_the_dead_left_there_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MEMORY", tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    left, used = (tmp_path / f"sellable-scratch-{pid}-abc" for pid in (dead.pid, os.getpid()))
    left.mkdir()
    used.mkdir()
    with postgres.scratch() as folder:
        assert {*tmp_path.iterdir()} == {used, folder}
    assert not folder.exists()
    monkeypatch.setattr(postgres, "MEMORY_BYTES_MIN", 2**62)
    with postgres.scratch() as folder:
        assert folder.parent != tmp_path, "there is not enough of it"
    monkeypatch.setattr(postgres, "MEMORY", tmp_path / "nowhere")
    with postgres.scratch() as folder:
        assert folder.is_dir(), "not every system has any"


@pytest.mark.parametrize("server_dies_too", [False, True])
def test_a_killed_owner_is_succeeded(data_dir: Path, server_dies_too: bool) -> None:
    command = [sys.executable, "-c", START_AND_WAIT, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS units")
        owner.kill()
    if server_dies_too:
        kill_server(data_dir)
    with EmbeddedServer(data_dir) as again:
        assert again == url
        with psycopg.connect(again) as connection:
            assert connection.execute("SELECT units FROM kept").fetchone() == (7,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
