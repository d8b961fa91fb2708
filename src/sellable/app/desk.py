"""The desk as the other rooms see it: what goes wrong becomes one case with an owner, in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sellable.book import book
from sellable.config.settings import Settings
from sellable.connectors.port import LimitReached, Misconfigured
from sellable.desk import cases, quarantine
from sellable.desk.owners import Owners
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.inbox import InboxRow
from sellable.runtime.operations import Operation
from sellable.runtime.queries import queries

sql = queries("sellable.app")
FAILURES_BEFORE_A_CASE = 3


class CaseDesk:
    """Opens, clears and watches cases on behalf of the other rooms."""

    def __init__(self, settings: Settings) -> None:
        self.owners = Owners.from_settings(settings.owners)

    def open_case(
        self,
        tx: Tx,
        kind: str,
        subject: str,
        now: datetime,
        *,
        expected: Any = None,
        actual: Any = None,
        evidence: Sequence[str] = (),
    ) -> str:
        """Opens a case or counts an open one of the same kind and subject up; returns its reference."""
        return cases.open_case(
            tx,
            kind,
            subject,
            now,
            owners=self.owners,
            expected=expected,
            actual=actual,
            evidence=list(evidence),
        )

    def clear_cases(self, tx: Tx, kinds: Sequence[str], subject: str, now: datetime) -> None:
        """The conditions are over: open cases of them are resolved by the system."""
        cases.clear(tx, kinds, subject, now)

    # --- What the durable machine hands over --------------------------------------------------------------------------

    def poison(self, tx: Tx, row: InboxRow, error: Exception, now: datetime) -> str | None:
        """A row of the inbox that no handler could take: parked behind a case, replayable."""
        return quarantine.park_arrival(tx, row, error, now, owners=self.owners)

    def exhausted(self, tx: Tx, op: Operation, cause: str, now: datetime) -> None:
        """An operation that was tried too often is held; its lane waits, nothing else does."""
        quarantine.park_operation(tx, op, cause, now, owners=self.owners)
        if op.correlation:
            book.tell(tx, op.correlation, "given up for now", now, operation=op.id, kind=op.kind, cause=cause[:300])

    def write_refused(self, tx: Tx, op: Operation, cause: str, now: datetime) -> None:
        """The storefront refuses a stock write for good."""
        self.open_case(
            tx,
            "write_refused",
            f"sku:{op.payload['sku']}",
            now,
            expected={"channel": op.payload["channel"], "add": op.payload["d"]},
            actual={"cause": cause},
            evidence=[f"operation:{op.id}"],
        )

    def feed_failed(self, tx: Tx, feed: str, error: Exception, failures: int, now: datetime) -> None:
        """A vendor that cannot be read: at once when a person must mend it, after a few tries otherwise."""
        vendor = feed.split(".", 1)[0]
        actual = {"feed": feed, "error": f"{type(error).__name__}: {error}"[:500], "failures": failures}
        if isinstance(error, Misconfigured):
            self.open_case(tx, "vendor_misconfigured", f"vendor:{vendor}", now, actual=actual)
        elif isinstance(error, LimitReached):
            self.open_case(tx, "budget_exceeded", f"vendor:{vendor}", now, actual=actual)
        elif failures >= FAILURES_BEFORE_A_CASE:
            self.open_case(tx, "vendor_down", f"vendor:{vendor}", now, expected={"answers": True}, actual=actual)

    def feed_recovered(self, tx: Tx, feed: str, now: datetime) -> None:
        """The vendor answers again."""
        vendor = feed.split(".", 1)[0]
        over = ("vendor_down", "vendor_misconfigured", "budget_exceeded")
        self.clear_cases(tx, over, f"vendor:{vendor}", now)

    # --- What is watched ----------------------------------------------------------------------------------------------

    def watch_ages(self, tx: Tx, settings: Settings, clock: Clock) -> None:
        """Orders that wait longer than allowed, and masters whose numbers are too old, get an owner."""
        now = clock.now()
        before = now - timedelta(hours=settings.orders.held_age_limit_hours)
        for row in tx.all(book.sql.waiting_too_long, before=before):
            self.open_case(
                tx,
                "order_waiting_too_long",
                f"order:{row.order_id}",
                now,
                expected={"stage": "exported"},
                actual={"stage": row.stage, "since": row.stage_since.isoformat(), "waits_for": row.hold_cause},
            )
        for master, age in settings.ages.items():
            limit = age.limit
            newest = tx.value(sql.newest_sweep, master=master)
            if newest is not None and now - newest > limit:
                self.open_case(
                    tx, "master_stale", f"vendor:{master}", now, expected={"age_minutes": limit.total_seconds() / 60},
                    actual={"last_complete_sweep": newest.isoformat()},
                )  # fmt: skip
            else:
                self.clear_cases(tx, ["master_stale"], f"vendor:{master}", now)

    def frozen(self, tx: ReadTx) -> bool:
        """Whether a person froze all writes of stock."""
        return bool(tx.value(sql.writes_frozen))

    def raises_stopped(self, tx: ReadTx) -> bool:
        """Whether many numbers differed at once and nobody has found out why: until then nothing rises."""
        return bool(tx.value(sql.raises_stopped))
