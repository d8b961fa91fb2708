"""The PostgreSQL of a simulation: embedded, not durable, and without anything that acts by itself.

Rule: whatever works in the background of a server (vacuum, parallel workers) is off, so that a plan of a statement
depends on nothing but what the run has written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sellable.runtime.migrate import migrate
from sellable.runtime.postgres import EmbeddedServer, scratch

SETTINGS = {
    "autovacuum": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "synchronous_commit": "off",
    "track_activities": "on",
    "track_counts": "off",
}


@contextmanager
def simulation_database(url: str = "") -> Iterator[str]:
    """The URL of a migrated database: `url`, or a new server's that ends with the block."""
    if url:
        migrate(url)
        yield url
        return
    with (
        scratch() as folder,
        EmbeddedServer(folder, durable=False, die_with_parent=True, settings=SETTINGS) as found,
    ):
        migrate(found)
        yield found
