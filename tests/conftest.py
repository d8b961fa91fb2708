"""What every test may ask for: a database, and a migrated, empty store in it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

for _name in [name for name in os.environ if name.startswith("SELLABLE_")]:
    # A developer's own settings must not decide a test; done before anything of ours is imported.
    del os.environ[_name]

import psycopg  # noqa: E402
import pytest  # noqa: E402

from sellable.runtime.clock import Clock  # noqa: E402
from sellable.runtime.database import Store  # noqa: E402
from sellable.runtime.migrate import migrate  # noqa: E402
from sellable.runtime.postgres import EmbeddedServer, discard  # noqa: E402
from sellable.runtime.seal import Seal  # noqa: E402
from sellable.simulation.virtual.play import EMPTY  # noqa: E402


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """An empty database for this session: on DATABASE_URL's server if set, else on an embedded one, not durable."""
    if given := os.environ.get("DATABASE_URL"):
        with fresh_database(given) as url:
            yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="sellable-test-"))
    try:
        with EmbeddedServer(folder, durable=False, die_with_parent=True) as url:
            yield url
    finally:
        discard(folder)


@contextlib.contextmanager
def fresh_database(server_url: str, suffix: str = "") -> Iterator[str]:
    """A new database on a server, dropped afterwards; a second one of this process needs a suffix."""
    name = f"sellable_test_{os.getpid()}{suffix}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        try:
            yield psycopg.conninfo.make_conninfo(server_url, dbname=name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_url(database_url: str) -> str:
    """The session's database with the schema in it."""
    migrate(database_url)
    return database_url


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    """A store on real time whose tables are empty and whose sequences start at 1."""
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(EMPTY)
    store = Store(migrated_url, Clock(), seal=Seal(b"the key of every test, 32 bytes "))
    yield store
    store.close()
