"""What a person did, on the record: a row of the audit, sealed, in the transaction of the act itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sellable.config.settings import Settings
from sellable.runtime.audit import Audit
from sellable.runtime.clock import Clock
from sellable.runtime.database import Tx
from sellable.runtime.ids import Ids
from sellable.runtime.queries import queries
from sellable.stock import numbers

sql = queries("sellable.app")
FROZEN = "writes_frozen"


def record(
    tx: Tx,
    settings: Settings,
    clock: Clock,
    actor: str,
    action: str,
    subject: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    correlation: str | None = None,
) -> None:
    """Append the act to a chain of its own and seal it."""
    audit = Audit(Ids(clock).new("act"), settings.service.redaction_key.encode())
    now = clock.now()
    audit.record(
        tx, actor=actor, action=action, subject=subject, now=now, correlation=correlation, before=before, after=after
    )
    audit.seal(tx, now)


def recorder(settings: Settings, clock: Clock) -> Callable[..., None]:
    """`record` for those who are handed the settings and the clock beforehand: (tx, actor, action, subject, ...)."""

    def put(tx: Tx, actor: str, action: str, subject: str, **more: Any) -> None:
        record(tx, settings, clock, actor, action, subject, **more)

    return put


def freeze(tx: Tx, settings: Settings, clock: Clock, actor: str, frozen: bool) -> bool:
    """Stop or resume all writes of stock, for every process; False when it is so already."""
    before = bool(tx.value(sql.writes_frozen))
    if before == frozen:
        return False
    tx.run(sql.set_switch, name=FROZEN, value=frozen, actor=actor, now=clock.now())
    action = "writes.freeze" if frozen else "writes.resume"
    record(tx, settings, clock, actor, action, "writes", before={"enabled": not before}, after={"enabled": not frozen})
    return True


def hold(
    tx: Tx, settings: Settings, clock: Clock, actor: str, *, hold_id: str, sku: str, pool: str, units: int, reason: str
) -> None:
    """Hold units of a pool back until they are released; the same id again replaces the number."""
    now = clock.now()
    numbers.hold(tx, hold_id=hold_id, sku=sku, pool=pool, units=units, reason=reason, actor=actor, until=None, now=now)
    after = {"id": hold_id, "sku": sku, "pool": pool, "units": units, "reason": reason}
    record(tx, settings, clock, actor, "stock.hold", f"sku:{sku}", after=after, correlation=hold_id)


def release(tx: Tx, settings: Settings, clock: Clock, actor: str, hold_id: str) -> bool:
    """End a hold; False when there is none of this id (any more)."""
    if not numbers.release_hold(tx, hold_id, clock.now()):
        return False
    record(tx, settings, clock, actor, "stock.release", f"hold:{hold_id}", correlation=hold_id)
    return True
