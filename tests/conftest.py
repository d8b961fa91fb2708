"""What every test may ask for: a database, and a migrated, empty store in it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

for _name in [name for name in os.environ if name.startswith("SELLABLE_")]:
    # A developer's own settings must not decide a test; done before anything of ours is imported.
    del os.environ[_name]

import psycopg  # noqa: E402
import pytest  # noqa: E402

from sellable.runtime.clock import Clock  # noqa: E402
from sellable.runtime.database import Store  # noqa: E402
from sellable.runtime.migrate import migrate  # noqa: E402
from sellable.runtime.postgres import EmbeddedServer, scratch  # noqa: E402
from sellable.runtime.seal import Seal  # noqa: E402
from sellable.simulation.virtual.play import EMPTY  # noqa: E402

LONG = ("simulation", "e2e", "races", "properties", "suites")
"""Folders whose files take longest, in this order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files begin first: who shares the files would else wait at the end for the one who has the last."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(LONG)))


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """An empty database for this session: on DATABASE_URL's server if set, else on an embedded one, not durable."""
    if given := os.environ.get("DATABASE_URL"):
        with fresh_database(given) as url:
            yield url
        return
    with scratch() as folder, EmbeddedServer(folder, durable=False, die_with_parent=True) as url:
        yield url


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
