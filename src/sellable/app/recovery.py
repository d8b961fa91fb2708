"""After a restore: what the backup cannot know is read again before anything rises, and nothing is sent a second time.

Orders, sales and numbers of the time since the backup are still at the vendors. Rule: a restored row may be believed
only where being wrong makes a number too low. So every open operation is of unknown fate, units in the master's number
are in flight again, no entry has a baseline, and orders placed before the restore are searched for before a sale is
made (capture). The case `restored` stops raises; `look` ends it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from sellable.app import acts
from sellable.app.desk import CaseDesk
from sellable.app.layout import masters_of
from sellable.book import book
from sellable.config.settings import Settings
from sellable.domain.stock import Priority
from sellable.orders.context import STOREFRONT
from sellable.orders.rules import BACK_OFFICE, WAREHOUSE
from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import Tx
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import queries
from sellable.runtime.wanted import want
from sellable.stock import adjustments, demand, dirty, entries
from sellable.sync.storefront import JUDGE_MARGIN

sql = queries("sellable.app")
LAG = timedelta(seconds=10) + JUDGE_MARGIN
"""The storefront's lag and a margin: an order that a number shows is in any list of orders read so much later."""
READINGS = (
    "entries", "stock.page", "stock.sku", "stock.close", "sales.page", "catalogue.page", "inventory.page",
    "stock.absent",
)  # fmt: skip
RESTORED, PROGRESS, SUBJECT = "restored", "recovery", "database"


class _Progress(msgspec.Struct, frozen=True):
    """How far the reading is: entries up to this instant of the storefront, then arrivals up to this causal number."""

    walked: datetime | None = None
    upto: int | None = None


def begin(tx: Tx, settings: Settings, clock: Clock, actor: str, made_at: datetime) -> None:
    """Mark a database that was just restored from a backup made at `made_at`; in the restore's own transaction."""
    now = clock.now()
    seq = next_seq(tx)
    tx.run(sql.remember_anew, name=RESTORED, value=str(seq), at=now)
    _note(tx, _Progress(), now)
    tx.run(operations.sql.doubt_operations, now=now)
    tx.run(operations.sql.rewind_feeds, now=now)
    tx.run(operations.sql.drop_all_wanted_leases, now=now)
    tx.run(operations.sql.drop_old_readings, now=now, kinds=list(READINGS))
    tx.run(entries.sql.abandon_all_sweeps, at=now)
    demand.revoke_all(tx, now)
    doubtful = tx.all(book.sql.all_allocations_doubtful)
    for target in sorted({sale.target for sale in doubtful}):
        want(tx, target, "sale", [sale.sale_id for sale in doubtful if sale.target == target], 2, now)
    skus = {r.sku for r in tx.all(entries.sql.forget_baselines, seq=seq, at=now)}
    dirty.mark(tx, skus, Priority.LOWER, "restored", now)
    between = {"backup": made_at.isoformat(), "restored": now.isoformat()}
    desk = CaseDesk(settings)
    _forgive(tx, desk, seq, now)
    desk.open_case(tx, "restored", SUBJECT, now, expected={"read again": "everything"}, actual=between)
    acts.record(tx, settings, clock, actor, "database.restore", SUBJECT, after=between)


def _forgive(tx: Tx, desk: CaseDesk, seq: int, now: datetime) -> None:
    """What was owed to numbers of commercetools' own may have been written since the backup, so nobody writes it."""
    tx.run(sql.disown_adjustments)
    for sku, channel, units in adjustments.forgive(tx, seq, now):
        desk.open_case(
            tx, "adjustment_unsure", f"sku:{sku}", now, expected={"written": "once"},
            actual={"channel": channel, "units": units},
        )  # fmt: skip


def look(tx: Tx, desk: CaseDesk, settings: Settings, now: datetime) -> None:
    """Lets raises go on once entries, then orders, stock and sales were read, and everything read is taken in."""
    if not tx.value(sql.recovery_open):
        return
    mark, row = tx.one(sql.recall, name=RESTORED), tx.one(sql.recall, name=PROGRESS)
    if mark is None or row is None:
        return
    seq, so_far = int(mark.value), msgspec.json.decode(row.value, type=_Progress)
    want(tx, STOREFRONT, "entry", [r.key for r in tx.all(sql.entries_unread, seq=seq)], 2, now)
    if so_far.walked is None:
        if (at := tx.value(sql.entries_walked, seq=seq)) is not None:
            _note(tx, _Progress(walked=at + LAG), now)
    elif so_far.upto is None:
        listed = BACK_OFFICE in settings.back_offices
        masters = sorted(masters_of(settings))
        far = {"walked": so_far.walked, "since": mark.at, "windows": _windows(settings)}
        if tx.value(sql.read_again, seq=seq, masters=masters, listed=listed, **far):
            _note(tx, _Progress(so_far.walked, next_seq(tx)), now)
    elif not tx.value(sql.arrivals_waiting, seq=so_far.upto):
        desk.clear_cases(tx, ["restored"], SUBJECT, now)


def _windows(settings: Settings) -> list[str]:
    house = settings.orderflow
    if house is None:
        return []
    return [f"{WAREHOUSE}.despatches", *([f"{WAREHOUSE}.returns"] if house.return_report else [])]


def _note(tx: Tx, progress: _Progress, now: datetime) -> None:
    tx.run(sql.remember_anew, name=PROGRESS, value=msgspec.json.encode(progress).decode(), at=now)
