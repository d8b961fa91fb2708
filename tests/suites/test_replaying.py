"""Trying again what stands behind a case."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.e2e.world import settings_of

from sellable.app.desk import CaseDesk
from sellable.app.replaying import replay_case
from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Intent, Rejected

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SETTINGS = settings_of(NOW)


def refuse_a_delivery(tx: Tx, ids: Ids) -> str:
    """A parcel the storefront could not be told of, and its case."""
    delivery = Intent(
        system="commercetools", kind="order.deliver", lane="order:ARMCHAIRS", budget="orders", priority=2,
        payload={"order_id": "ARMCHAIRS", "part": 1, "shipment": "parcel"},
    )  # fmt: skip
    operations.owe(tx, [delivery], NOW, ids)
    (op,) = operations.claim(tx, "commercetools", ["orders"], "test", 60.0, NOW, 1)
    operations.settle(tx, op, Rejected("its answer was not understood"), NOW)
    return CaseDesk(SETTINGS).open_case(tx, "write_refused", "order:ARMCHAIRS", NOW, evidence=[f"operation:{op.id}"])


def test_a_delivery_that_was_refused_is_owed_again_once(store: Store) -> None:
    """Otherwise the customer never hears of the parcel, whatever a person mends and presses."""
    clock, ids = Clock(), Ids(Clock())
    ref = store.write_now(refuse_a_delivery, ids)
    assert store.write_now(replay_case, SETTINGS, ref, "cli:ada", clock) == 1
    (owed,) = store.read_now(operations.open_in_lane, "order:ARMCHAIRS")
    assert (owed.kind, owed.payload["shipment"], owed.state) == ("order.deliver", "parcel", "intent")
    assert store.write_now(replay_case, SETTINGS, ref, "cli:ada", clock) == 0
