"""The same examples every time, so that a red gate is red again; in the long form many more, new each time."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from tests.properties.machines import LONG, MORE, InStore, InTransaction

from sellable.runtime.database import Store, _connect

settings.register_profile(
    "house",
    derandomize=not LONG,
    database=None,
    deadline=None,
    max_examples=100 * MORE,
    suppress_health_check=list(HealthCheck),
    print_blob=LONG,
)
settings.load_profile("house")


@pytest.fixture
def alone(store: Store) -> Iterator[None]:
    """An empty database for machines that work in a transaction of their own."""
    with _connect(store.url) as InTransaction.link:
        yield
        InTransaction.link.rollback()


@pytest.fixture
def emptied(store: Store) -> Iterator[None]:
    """The database that machines empty themselves, and a connection to look into it."""
    InStore.store = store
    with psycopg.connect(store.url, autocommit=True) as InStore.watch:
        yield
