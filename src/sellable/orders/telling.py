"""What a storefront's order is told: read afresh, changed by one update that its version guards.

One rule: what is told is looked for first, so that telling it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sellable.book import book
from sellable.connectors.port import Conflict, RawOrder, Refused, StorefrontOrders
from sellable.orders.context import Context, shadowed
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import Done, NotApplied, Operation, Outcome, Rejected

LEFT = Done({"shadow": True})
"""Somebody else works this order, and tells it."""

Change = Callable[[RawOrder], Awaitable[dict[str, Any]]]
"""Writes what is missing to an order as it was read; answers what the operation is done with."""


class Telling:
    """What every operation that writes to the storefront's order has in common."""

    def __init__(self, store: Store, storefront: StorefrontOrders, context: Context) -> None:
        self._store = store
        self._storefront = storefront
        self._context = context

    async def _is_left(self, op: Operation) -> bool:
        """Whether the order is left to somebody else; asked before anything is read from outside."""
        return await self._store.read(shadowed, op.payload["order_id"], self._context)

    async def _change(self, op: Operation, change: Change) -> Outcome:
        """Reads the order and changes it; one that changed meanwhile is tried again, a refusal is for good."""
        try:
            return Done(await change(await self._storefront.read_order(op.payload["order_id"], lane="orders")))
        except Conflict as conflict:
            return NotApplied(str(conflict))
        except Refused as refusal:
            return Rejected(str(refusal), {"code": refusal.code, **refusal.detail})

    def _refused(self, tx: Tx, op: Operation, outcome: Rejected, now: datetime, **case: Any) -> None:
        """A case for what the storefront refused; `case` says otherwise of its kind or what was expected."""
        self._context.open_case(
            tx, case.get("kind", "write_refused"), f"order:{op.payload['order_id']}", now,
            expected=case.get("expected", {"step": op.kind}), actual={"cause": outcome.cause, **outcome.detail},
            evidence=[f"operation:{op.id}"],
        )  # fmt: skip

    def _version(self, tx: Tx, op: Operation, outcome: Done) -> None:
        """The order's newest version is one that we made."""
        if version := outcome.result.get("version"):
            tx.run(book.sql.told_version, order_id=op.payload["order_id"], version=version)
