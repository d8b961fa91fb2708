"""How old what we show is: said on every page whose numbers follow from it."""

from __future__ import annotations

from datetime import datetime

from sellable.config.settings import Settings
from sellable.runtime.database import ReadTx
from sellable.runtime.queries import queries

sql = queries("sellable.web.console")

TITLES = {"commercetools": "commercetools", "cin7_core": "Cin7 Core", "orderflow": "OrderFlow"}


def title_of(vendor: str) -> str:
    """A vendor's name as people write it."""
    return TITLES.get(vendor, vendor)


def sets_too_old(tx: ReadTx, settings: Settings, now: datetime) -> list[tuple[str, datetime]]:
    """Masters whose numbers were read to their end so long ago that nothing they count rises, and when that was."""
    ages = settings.ages
    return [
        (title_of(row.master), row.at)
        for row in tx.all(sql.newest_sets)
        if row.at and row.master in ages and now - row.at > ages[row.master].limit
    ]
