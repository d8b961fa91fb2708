"""What every process of an order needs to know, and the small verbs they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sellable.book import book
from sellable.config.settings import Cin7Core, OrderFlow, Settings
from sellable.desk.opening import OpenCase
from sellable.domain.orders import Order
from sellable.orders import reasons
from sellable.orders.rules import BACK_OFFICE, ONE_CALL, WAREHOUSE, Finding
from sellable.runtime import operations
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Intent
from sellable.stock.availability import Layout

STOREFRONT = "commercetools"
ORDER_PRIORITY = 1
SETTLED_BY_CANCEL = (
    "backordered", "import_differs", "line_changed", "missing_sku_on_line", "order_impossible", "order_refused",
    "order_stuck", "order_waiting_too_long", "route_missing", "sale_changed_by_staff", "tax_unmapped", "totals_differ",
)  # fmt: skip
"""Cases of one order that nobody must work on once the order is cancelled."""

SETTLED_BY_EXPORT = (
    "import_differs", "order_impossible", "order_refused", "order_waiting_too_long", "route_missing",
    "sale_changed_by_staff", "totals_differ",
)  # fmt: skip
"""Cases that are over when every part of the order is an authorised sale."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """Settings and functions of other rooms, handed in by the assembly."""

    current: Callable[[], Settings]
    """What file and console say now: no order is decided by what was said before."""
    layout: Layout
    ids: Ids
    translate: Callable[[bytes], Order]
    open_case: OpenCase
    clear_cases: Callable[[Tx, Sequence[str], str, datetime], None]

    @property
    def settings(self) -> Settings:
        """The settings that count now."""
        return self.current()

    def owe(
        self,
        tx: Tx,
        order_id: str,
        system: str,
        kind: str,
        payload: Mapping[str, Any],
        now: datetime,
        due_at: datetime | None = None,
    ) -> str:
        """One more operation at the end of the order's lane."""
        intent = Intent(
            system=system,
            kind=kind,
            lane=lane_of(order_id),
            budget="orders",
            priority=ORDER_PRIORITY,
            payload={"order_id": order_id, **payload},
            correlation=order_id,
            due_at=due_at,
        )
        return operations.owe(tx, [intent], now, self.ids)[0]

    def shadows(self, order: Order) -> bool:
        """Whether somebody else works this order: one of its channels only computes and compares."""
        silent = self.layout.in_mode("shadow")
        return any((line.channel or "") in silent for line in order.lines)

    def settled(self, tx: Tx, order_id: str, now: datetime, kinds: Sequence[str] = SETTLED_BY_CANCEL) -> None:
        """What an order's cases were about is over."""
        self.clear_cases(tx, kinds, f"order:{order_id}", now)

    def office(self, target: str) -> Cin7Core | OrderFlow:
        """The settings of a back office. Raises LookupError for one that no order can go to."""
        found = {BACK_OFFICE: self.settings.cin7_core, WAREHOUSE: self.settings.orderflow}.get(target)
        if found is None:
            raise LookupError(f"no back office {target!r}")
        return found

    @property
    def first_office(self) -> str:
        """The back office asked first, and where nothing says which."""
        return self.settings.back_offices[0]

    def target_of(self, location: str) -> str:
        """The back office that ships from a location: its master."""
        masters = {place.name: place.keeper for place in self.settings.locations}
        return masters.get(location, self.first_office)

    def owe_part(self, tx: Tx, order_id: str, part: int, target: str, now: datetime, *, search: bool) -> None:
        """The first step of a part's sale; `search` where something of an earlier attempt may be there."""
        kind = "order.import" if target in ONE_CALL else "sale.create"
        self.owe(tx, order_id, target, kind, {"part": part, "search": search}, now)

    def owe_visible(self, tx: Tx, order_id: str, payload: Mapping[str, Any], now: datetime) -> None:
        """Evidence counts only after the master's view had time to show it; waited for apart from the order's lane."""
        intent = Intent(
            system="self",
            kind="sale.visible",
            lane=f"visible:{order_id}:{payload['part']}",
            budget="self",
            priority=ORDER_PRIORITY,
            payload={"order_id": order_id, **payload},
            correlation=order_id,
        )
        operations.owe(tx, [intent], now, self.ids)

    def open_findings(self, tx: Tx, found: Iterable[Finding], order_id: str, now: datetime) -> None:
        """A case for each thing that was found about an order."""
        for each in found:
            self.open_case(
                tx, each.kind, each.subject, now, expected=each.expected, actual=each.actual,
                evidence=[f"order:{order_id}"],
            )  # fmt: skip

    def strange_reasons(
        self, tx: Tx, said: Iterable[str], side: reasons.Side, order_id: str, record: str, now: datetime
    ) -> None:
        """A case for each reason code that nobody mapped; `record` is what of the order carried it."""
        codes = dict.fromkeys(said)
        found = (reasons.unmapped(code, side, self.settings, f"order {order_id}, {record}") for code in codes)
        self.open_findings(tx, filter(None, found), order_id, now)


def shadowed(tx: ReadTx, order_id: str, context: Context) -> bool:
    """Whether an order of the book is one that somebody else works (`Context.shadows`)."""
    silent = context.layout.in_mode("shadow")
    return bool(silent) and any(line.channel in silent for line in tx.all(book.sql.lines_of, order_id=order_id))


def lane_of(order_id: str) -> str:
    """The serial lane of one order."""
    return f"order:{order_id}"
