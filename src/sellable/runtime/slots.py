"""Names of processes: slot n is a process's name for as long as it holds the lock of that number in the database.

Rule: a name whose lock nobody holds belongs to the dead, so its leases are dropped long before they end. One dropped
by mistake (its process lost the database for a moment) costs work, never correctness: outcomes count by epoch.
"""

from __future__ import annotations

import contextlib
import logging

import psycopg

from sellable.runtime import feeds, operations, wanted
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries

SPACE = 731_845_012
"""First key of the advisory locks; the second one is the slot's number."""
SLOTS_MAX = 64
PREFIX = "process-"
_SERVER_SETTINGS = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
"""So that the database lets go of a slot whose machine is gone within about ten seconds."""

sql = queries("sellable.runtime")
log = logging.getLogger(__name__)


class Slot:
    """The slot this process holds, on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._number = 0
        self._connection: psycopg.Connection | None = None

    def take(self) -> str:
        """Take the lowest free slot and return the name that goes with it. Raises RuntimeError when all are taken."""
        for number in range(1, SLOTS_MAX + 1):
            if self._try(number):
                self._number = number
                return f"{PREFIX}{number}"
        raise RuntimeError(f"{SLOTS_MAX} processes share this database already")

    def keep(self) -> bool:
        """Whether the slot is still ours; taken again when only the connection was lost. Blocks for a round trip."""
        try:
            held = self._connection is not None and bool(ReadTx(self._connection).value(sql.slot_holds))
        except psycopg.OperationalError:
            held = False
        if held:
            return True
        self.close()
        with contextlib.suppress(psycopg.OperationalError):
            if self._try(self._number):
                return True
            log.warning("slot %s was taken by another process while the database was away", self._number)
        return False

    def close(self) -> None:
        """Give the slot back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _try(self, number: int) -> bool:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=10, application_name="sellable slot",
                options=_SERVER_SETTINGS,
            )  # fmt: skip
        return bool(ReadTx(self._connection).value(sql.try_slot, space=SPACE, number=number))


class Undertaker:
    """Drops the leases of the dead. A name must be found dead twice in a row: a live process may be reconnecting."""

    def __init__(self) -> None:
        self._suspected: set[str] = set()

    def look(self, tx: Tx) -> list[str]:
        """One look; returns the names whose leases were dropped."""
        found = {row.owner for row in tx.all(sql.dead_owners, space=SPACE, prefix=PREFIX)}
        dead = sorted(found & self._suspected)
        # After the commit, because a transaction may run again.
        tx.after_commit(lambda: self._remember(found))
        if dead:
            log.warning("leases of dead processes are taken over: %s", ", ".join(dead))
            for name in dead:
                disown(tx, name)
        return dead

    def _remember(self, found: set[str]) -> None:
        self._suspected = found


def disown(tx: Tx, owner: str) -> None:
    """Drop every lease of an owner: operations, fetches and feeds. What it had sent is resolved by whoever is next."""
    operations.disown(tx, owner)
    tx.run(sql.drop_wanted_leases, owner=owner)
    tx.run(sql.drop_feed_leases, owner=owner)
    for channel in (operations.CHANNEL, wanted.CHANNEL, feeds.CHANNEL):
        tx.notify(channel)
