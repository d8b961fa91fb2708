"""The store on a real PostgreSQL: commits, retries, snapshots, hooks, hints, migrations, the clock in SQL."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sellable.runtime.clock import Clock
from sellable.runtime.database import ErrorSwallowed, OutcomeUnknown, ReadTx, Store, Tx
from sellable.runtime.migrate import FOLDER, MigrationRefused, load, migrate, pending
from sellable.runtime.queries import Query


def sql(text: str) -> Query:
    return Query(package="tests", name="inline", purpose="Test only.", text=text)


ADD = sql("INSERT INTO box (label, units) VALUES (%(label)s, %(units)s)")
SET = sql("UPDATE box SET units = %(units)s WHERE label = %(label)s")
SUM = sql("SELECT coalesce(sum(units), 0)::int FROM box")
BOXES = sql("SELECT label, units FROM box ORDER BY label")
BOX = sql("SELECT units FROM box WHERE label = %(label)s")
KILL_ME = sql("SELECT pg_terminate_backend(pg_backend_pid())")
KILL_OTHERS = sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %(name)s")
NOW = sql("SELECT app_now()")


@pytest.fixture(autouse=True)
def boxes(store: Store) -> Iterator[None]:
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE box (label text PRIMARY KEY, units int NOT NULL CHECK (units >= 0))")
        yield
        connection.execute("DROP TABLE box")


def add(tx: Tx, label: str, units: int) -> int:
    return tx.run(ADD, label=label, units=units)


def total(tx: ReadTx) -> int:
    return int(tx.value(SUM))


ODD = ["", "A", 'a"b', "a\\b", "NULL", "{A,B}", "a,b", "ß", "\n", '","', "\\N", " A ", None]


@pytest.mark.parametrize(
    "texts", [[], *([each] for each in ODD), ODD, [each for each in ODD if each], ["A"] * 3, ["A", '"'], ['"', '"']]
)
def test_a_list_of_texts_arrives_as_it_is(store: Store, texts: list[str | None]) -> None:
    back = sql(
        "SELECT coalesce(array_agg(t ORDER BY n), '{}') FROM unnest(%(texts)s::text[]) WITH ORDINALITY AS a (t, n)"
    )
    assert store.read_now(lambda tx: tx.value(back, texts=texts)) == texts


@pytest.mark.parametrize("texts", [["A\x00"], ["A", "\x00"], [None, "\x00"]])
def test_a_text_with_a_nul_is_refused_before_it_is_sent(store: Store, texts: list[str | None]) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        store.read_now(lambda tx: tx.value(sql("SELECT %(texts)s::text[]"), texts=texts))


def test_a_write_is_committed_and_read_back_as_named_rows(store: Store) -> None:
    async def story() -> None:
        assert await store.write(add, "CRUNCHY-ARMCHAIR", units=7) == 1
        rows = await store.read(lambda tx: tx.all(BOXES))
        assert [(row.label, row.units) for row in rows] == [("CRUNCHY-ARMCHAIR", 7)]
        assert await store.read(lambda tx: tx.one(BOX, label="NO-SUCH-LAMP")) is None
        assert await store.read(lambda tx: tx.value(BOX, label="NO-SUCH-LAMP")) is None

    asyncio.run(story())


def test_an_error_undoes_everything_and_runs_no_hook(store: Store) -> None:
    calls: list[str] = []

    def broken(tx: Tx) -> None:
        add(tx, "CRUNCHY-ARMCHAIR", 7)
        tx.after_commit(lambda: calls.append("committed"))
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        store.write_now(broken)
    assert store.read_now(total) == 0
    assert calls == []


def test_a_savepoint_undoes_only_its_inside_and_its_hooks(store: Store) -> None:
    calls: list[str] = []

    def in_a_savepoint(tx: Tx) -> None:
        with tx.savepoint():
            tx.after_commit(lambda: calls.append("inner"))
            add(tx, "SILENT-LAMP", 5)
            add(tx, "CRUNCHY-ARMCHAIR", 1)

    def partly(tx: Tx) -> None:
        add(tx, "CRUNCHY-ARMCHAIR", 7)
        tx.after_commit(lambda: calls.append("outer"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            in_a_savepoint(tx)

    store.write_now(partly)
    assert store.read_now(total) == 7
    assert calls == ["outer"]


def test_a_swallowed_database_error_is_never_reported_as_done(store: Store) -> None:
    def swallow(tx: Tx) -> None:
        add(tx, "CRUNCHY-ARMCHAIR", 7)
        with pytest.raises(psycopg.errors.CheckViolation):
            add(tx, "SILENT-LAMP", -1)

    with pytest.raises(ErrorSwallowed):
        store.write_now(swallow)
    assert store.read_now(total) == 0


def test_a_reader_cannot_write_and_sees_one_snapshot(store: Store) -> None:
    def look_twice(tx: ReadTx) -> tuple[int, int]:
        first = total(tx)
        other = threading.Thread(target=store.write_now, args=(add, "SILENT-LAMP", 5))
        other.start()
        other.join()
        return first, total(tx)

    store.write_now(add, "CRUNCHY-ARMCHAIR", 7)
    assert store.read_now(look_twice) == (7, 7)
    assert store.read_now(total) == 12
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        store.read_now(lambda tx: tx.all(ADD, label="LATE-TABLE", units=1))


def test_hooks_run_on_the_event_loop_before_write_returns(store: Store) -> None:
    async def story() -> list[object]:
        seen: list[object] = []

        def work(tx: Tx) -> None:
            add(tx, "CRUNCHY-ARMCHAIR", 7)
            tx.after_commit(lambda: seen.append(threading.current_thread() is threading.main_thread()))

        await store.write(work)
        return seen

    assert asyncio.run(story()) == [True]


def test_deadlocked_writers_are_tried_again_until_both_are_done(store: Store) -> None:
    store.write_now(lambda tx: [tx.run(ADD, label=label, units=0) for label in "AB"])
    meet = threading.Barrier(2)
    tries: list[str] = []

    def crossing(tx: Tx, first: str, second: str) -> None:
        tries.append(first)
        tx.run(SET, label=first, units=len(tries))
        if len(tries) <= 2:
            meet.wait(timeout=10)
        tx.run(SET, label=second, units=len(tries))

    async def story() -> None:
        await asyncio.gather(store.write(crossing, "A", "B"), store.write(crossing, "B", "A"))

    asyncio.run(story())
    assert len(tries) == 3


def test_a_connection_lost_before_commit_is_tried_again(store: Store) -> None:
    tries: list[int] = []

    def unlucky(tx: Tx) -> None:
        add(tx, "CRUNCHY-ARMCHAIR", 7)
        tries.append(1)
        if len(tries) == 1:
            tx.one(KILL_ME)

    store.write_now(unlucky)
    assert len(tries) == 2
    assert store.read_now(total) == 7


def test_a_connection_lost_during_commit_is_an_unknown_outcome(store: Store) -> None:
    tries: list[int] = []

    def cut_off(tx: Tx) -> None:
        tries.append(1)
        add(tx, "CRUNCHY-ARMCHAIR", 7)
        with psycopg.connect(store.url, autocommit=True) as other:
            other.execute(KILL_OTHERS.text, {"name": "sellable"})

    with pytest.raises(OutcomeUnknown):
        store.write_now(cut_off)
    assert len(tries) == 1
    assert store.read_now(total) == 0


def test_a_listener_hears_commits_and_survives_a_lost_connection(store: Store) -> None:
    async def story() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        await store.listen("sellable_test", heard.put_nowait)
        assert await heard.get() == ""
        await store.write(lambda tx: tx.notify("sellable_test", "first"))
        assert await heard.get() == "first"
        await store.read(lambda tx: tx.all(KILL_OTHERS, name="sellable listener"))
        assert await asyncio.wait_for(heard.get(), 10) == ""
        await store.write(lambda tx: tx.notify("sellable_test", "second"))
        assert await heard.get() == "second"

    asyncio.run(story())


def test_two_channels_share_the_listening_connection(store: Store) -> None:
    async def story() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        await store.listen("sellable_one", lambda payload: heard.put_nowait(f"one {payload}"))
        await store.listen("sellable_two", lambda payload: heard.put_nowait(f"two {payload}"))
        while not heard.empty():
            heard.get_nowait()
        await store.write(lambda tx: tx.notify("sellable_one", "x"))
        await store.write(lambda tx: tx.notify("sellable_two", "y"))
        assert [await heard.get(), await heard.get()] == ["one x", "two y"]

    asyncio.run(story())


def test_sql_follows_the_clock_of_the_store(migrated_url: str) -> None:
    start = datetime(2024, 3, 31, 1, 0, tzinfo=UTC)
    clock = Clock(speed=3600.0, origin=datetime.now(UTC).timestamp(), start=start.timestamp())
    fast = Store(migrated_url, clock, threads=1)
    try:
        before, told, after = clock.now(), fast.read_now(lambda tx: tx.value(NOW)), clock.now()
    finally:
        fast.close()
    # The two clocks are read a moment apart, and that moment counts 3600-fold.
    assert before - timedelta(seconds=4) <= told <= after + timedelta(seconds=4)
    assert told.utcoffset() == timedelta(0)


def test_sql_can_be_told_a_moment_that_moves_between_transactions(migrated_url: str) -> None:
    class Virtual(Clock):
        moment = "2024-02-29 12:00:00+00"

        def settings(self) -> dict[str, str]:
            return {"sellable.now": Virtual.moment}

    still = Store(migrated_url, Virtual(), threads=1)
    try:
        assert still.read_now(lambda tx: tx.value(NOW)) == datetime(2024, 2, 29, 12, tzinfo=UTC)
        Virtual.moment = "2024-02-29 12:00:01+00"
        assert still.write_now(lambda tx: tx.value(NOW)) == datetime(2024, 2, 29, 12, 0, 1, tzinfo=UTC)
    finally:
        still.close()


def test_the_causal_sequence_starts_at_one_and_grows(store: Store) -> None:
    step = sql("SELECT next_seq()")
    assert [store.write_now(lambda tx: tx.value(step)) for _ in range(3)] == [1, 2, 3]


def test_migrating_again_does_nothing(migrated_url: str) -> None:
    assert pending(migrated_url) == []
    assert migrate(migrated_url) == []


def test_a_changed_or_missing_or_late_migration_is_refused(migrated_url: str, tmp_path: Path) -> None:
    for migration in load(FOLDER):
        (tmp_path / f"{migration.number:04}_{migration.name}.sql").write_text(migration.text)
    base = tmp_path / "0001_base.sql"
    text = base.read_text()
    base.write_text(text + "-- changed\n")
    with pytest.raises(MigrationRefused, match="0001_base has changed"):
        migrate(migrated_url, tmp_path)
    base.rename(tmp_path / "0000_base.sql")
    with pytest.raises(MigrationRefused, match="0001_base where the files have 0000"):
        pending(migrated_url, tmp_path)
    (tmp_path / "0000_base.sql").unlink()
    with pytest.raises(MigrationRefused, match=r"newer than this program|where the files have"):
        migrate(migrated_url, tmp_path)


def test_a_failing_migration_leaves_nothing(migrated_url: str, tmp_path: Path) -> None:
    files = load(FOLDER)
    for migration in files:
        (tmp_path / f"{migration.number:04}_{migration.name}.sql").write_text(migration.text)
    (tmp_path / "9998_fine.sql").write_text("CREATE TABLE fine (id int);")
    (tmp_path / "9999_broken.sql").write_text("CREATE TABLE broken (id nothing);")
    with pytest.raises(psycopg.errors.UndefinedObject):
        migrate(migrated_url, tmp_path)
    assert [migration.name for migration in pending(migrated_url, tmp_path)] == ["fine", "broken"]
    with psycopg.connect(migrated_url) as connection:
        assert connection.execute("SELECT to_regclass('fine')").fetchone() == (None,)


def test_a_statement_alone_commits_by_itself_and_is_tried_again_when_its_connection_was_lost(store: Store) -> None:
    """Nothing around it can undo it, so only what is harmless twice may be sent so."""
    tries = []

    def note(tx: Tx) -> str:
        if not tries:
            tries.append("lost")
            tx.value(KILL_ME)
        add(tx, "CRUNCHY-ARMCHAIR", 7)
        tx.notify("sellable_one", "x")
        tx.after_commit(lambda: tries.append("hook"))
        return str(tx.value(sql("SELECT pg_current_xact_id_if_assigned()")))

    async def story() -> str:
        heard: asyncio.Queue[str] = asyncio.Queue()
        await store.listen("sellable_one", lambda payload: payload and heard.put_nowait(payload))
        transaction_under_way = await store.write_alone(note)
        assert await asyncio.wait_for(heard.get(), 10) == "x"
        return transaction_under_way

    assert asyncio.run(story()) == "None"
    assert tries == ["lost", "hook"]
    assert store.read_now(total) == 7

    def broken(tx: Tx, label: str) -> None:
        add(tx, label, 1)
        raise ValueError("too late")

    with pytest.raises(ValueError, match="too late"):
        asyncio.run(store.write_alone(broken, "stays"))
    assert store.read_now(total) == 8
    # The connection is an ordinary one again.
    with pytest.raises(ValueError, match="too late"):
        asyncio.run(store.write(broken, "is undone"))
    assert store.read_now(total) == 8


AWKWARD = ["a", "", 'b"c', "d\\e", "{x},y", None, "NULL", "ü\n", "\\x00"]
ECHO = Query(
    package="t", name="t", purpose="t",
    text="SELECT %(texts)s::text[] AS texts, %(bodies)s::bytea[] AS bodies, %(flags)s::bool[] AS flags, "
    "%(numbers)s::bigint[] AS numbers, %(moments)s::timestamptz[] AS moments",
)  # fmt: skip


def test_lists_arrive_as_they_are(store: Store) -> None:
    given: dict[str, list[Any]] = {
        "texts": AWKWARD,
        "bodies": [b'\x00"\\{},', b"", None],
        "flags": [True, False, None],
        "numbers": [0, -(2**62), None],
        "moments": [datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC), None],
    }
    row = store.read_now(lambda tx: tx.one(ECHO, **given))
    assert row is not None
    assert row._asdict() == given
    empty: dict[str, list[Any]] = {name: [] for name in given}
    none = store.read_now(lambda tx: tx.one(ECHO, **empty))
    assert none is not None
    assert none._asdict() == empty


def test_a_text_that_cannot_be_stored_is_refused_in_a_list_too(store: Store) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        store.read_now(lambda tx: tx.all(ECHO, texts=["a\x00b"], bodies=[], flags=[], numbers=[], moments=[]))


def test_small_writes_are_gathered_until_the_commit(store: Store) -> None:
    """Once, with everything, in order, without what a savepoint undid; what is gathered while writing counts too."""
    written: list[list[str]] = []

    def write(tx: Tx, values: list[str]) -> None:
        written.append(values)
        if "b" in values:
            tx.gather(write, "later")

    def story(tx: Tx) -> int:
        tx.gather(write, "a")
        with contextlib.suppress(ValueError), tx.savepoint():
            tx.gather(write, "undone")
            raise ValueError
        tx.gather(write, "b")
        return len(written)

    assert store.write_now(story) == 0
    assert written == [["a", "b"], ["later"]]


def test_one_statement_can_be_asked_without_a_transaction(store: Store) -> None:
    one = Query(package="t", name="t", purpose="t", text="SELECT %(n)s::int AS n, app_now() AS now")
    rows = asyncio.run(store.ask(one, n=3))
    assert [row.n for row in rows] == [3]
    assert abs((rows[0].now - store.clock.now()).total_seconds()) < 5
    asyncio.run(store.write(lambda tx: tx.all(one, n=4)))
