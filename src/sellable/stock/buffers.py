"""Buffers that a person sets while the service runs: which there are, and the numbers they concern.

Said in the console like other settings (`runtime.said`); every number reads them itself, in its own snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sellable.config.settings import Settings
from sellable.domain.stock import Priority
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries
from sellable.runtime.said import Key
from sellable.stock import dirty
from sellable.stock.availability import BufferRule

SECTION = "buffers"
ALL_CHANNELS = "*"

sql = queries("sellable.stock")


@dataclass(frozen=True, kw_only=True)
class Which:
    """What a buffer is for; '' is every SKU or the pool as a whole, None every channel ('' is entries without one)."""

    sku: str = ""
    location: str = ""
    channel: str | None = None

    def rule(self, units: int) -> BufferRule:
        """So many units of it."""
        return BufferRule(units=units, sku=self.sku, location=self.location, channel=self.channel)

    def key(self) -> Key:
        """As it is said."""
        return SECTION, self.sku, self.location, ALL_CHANNELS if self.channel is None else self.channel


def which(key: Key) -> Which:
    """What is said under this key."""
    _, sku, location, channel = key
    return Which(sku=sku, location=location, channel=None if channel == ALL_CHANNELS else channel)


def of_file(settings: Settings) -> dict[Key, int]:
    """Units that the settings file holds back, added up where several rules are for the same."""
    found: dict[Key, int] = defaultdict(int)
    for rule in settings.buffers:
        found[Which(sku=rule.sku, location=rule.location, channel=rule.channel).key()] += rule.units
    return dict(found)


def concerned(tx: ReadTx, each: Which) -> list[str]:
    """SKUs of entries whose number may follow this buffer."""
    return [row.sku for row in tx.all(sql.buffered_skus, sku=each.sku)]


def changed(tx: Tx, each: Which, now: datetime) -> None:
    """It holds another number of units from this transaction on: what it concerns is looked at anew."""
    dirty.mark(tx, concerned(tx, each), Priority.LOWER, "buffer", now)
