"""Before and after the day the shop changes hands: what would become of each open order, and what a shadow has seen.

Reads only, from the vendors under the budgets that all processes share and from the database; it decides with the
same rules as the service. One rule: an order is judged as it will be once its channels are no shadow any more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.app.desk import CaseDesk
from sellable.app.layout import layout_of
from sellable.app.service import Outside
from sellable.config.settings import Settings
from sellable.connectors.commercetools import ChannelUnknown
from sellable.domain.orders import Order
from sellable.orders import adoption, capture
from sellable.orders.adoption import There
from sellable.orders.context import Context
from sellable.orders.rules import WAREHOUSE
from sellable.runtime.database import ReadTx, Store
from sellable.runtime.ids import Ids
from sellable.runtime.queries import queries

sql = queries("sellable.app")
LANE = "orders"


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What will become of an order: adopt | export | ignore, or hold where a person must decide first."""

    order: str
    placed_at: datetime
    fate: str
    reason: str
    sale: str = ""


async def foresee(settings: Settings, store: Store, outside: Outside, limit: int | None = None) -> AsyncIterator[Fate]:
    """The fate of every open order, oldest first: a call a page of orders, and a search at the back office for each."""
    live = full(settings)
    desk = CaseDesk(settings)
    context = Context(
        current=lambda: live, layout=layout_of(live), ids=Ids(store.clock),
        translate=outside.storefront.translate_order, open_case=desk.open_case, clear_cases=desk.clear_cases,
    )  # fmt: skip
    imports = {WAREHOUSE: outside.warehouse} if outside.warehouse else {}
    searching = adoption.Searching(store, outside.back_office, context, imports, outside.storefront)
    await outside.storefront.learn(lane=LANE)
    cursor, count = None, 0
    while True:
        page = await outside.storefront.orders_open(cursor, lane=LANE)
        for raw in page.orders:
            if limit is not None and count >= limit:
                return
            count += 1
            try:
                order = outside.storefront.translate_order(raw.body)
            except (ValueError, ChannelUnknown) as error:
                yield Fate(
                    order=raw.order_id, placed_at=page.at, fate="hold", reason=f"cannot be understood: {error}"[:300]
                )  # fmt: skip
                continue
            there = await searching.there(order) if _is_searched(order, context) else []
            yield await store.read(judge, order, there, context)
        if not page.full:
            return
        cursor = page.cursor


def full(settings: Settings) -> Settings:
    """The settings as they are once every channel keeps its numbers equal."""
    channels = tuple(msgspec.structs.replace(channel, mode="full") for channel in settings.channels)
    return msgspec.structs.replace(settings, channels=channels)


def _is_searched(order: Order, context: Context) -> bool:
    return not capture.before_start(order, context) or capture.followed(order)


def judge(tx: ReadTx, order: Order, there: Sequence[There], context: Context) -> Fate:
    """What will become of one order whose live sales at the back office are these."""
    ours, others = adoption.whose(there, order.order_id, context.settings.commercetools.project)
    older = capture.before_start(order, context)
    found = [*ours, *others]
    taken = bool(tx.value(sql.part_of_sales, sales=[sale.sale_id for sale in found], order_id=order.order_id))
    what = adoption.verdict(ours, others, older=older, taken=taken)
    numbers = ", ".join(sale.number or sale.sale_id for sale in found)
    fate, reason = _in_words(tx, order, what, older, taken, numbers, context)
    return Fate(order=order.label, placed_at=order.placed_at, fate=fate, reason=reason, sale=numbers)


def _in_words(
    tx: ReadTx, order: Order, what: str, older: bool, taken: bool, numbers: str, context: Context
) -> tuple[str, str]:
    if what == "ask":
        return "hold", f"{numbers} serves another order" if taken else f"{numbers}: more than one sale of it"
    if what == "ignore":
        how = "no sale of it is there" if capture.followed(order) else "shipped, or told of parcels, by others"
        return "ignore", f"{capture.BEFORE_START}, {how}"
    if what == "create" and (waits := capture.not_triggered(order, context)):
        return "export", f"after {waits}"
    if not tx.value(sql.knows_catalogue):
        trouble = "; whether it can be is not known before the service has read the products"
    elif found := capture.wrong_with(tx, order, context):
        return "hold", ", ".join(sorted({finding.kind for finding in found}))
    else:
        trouble = ""
    if what == "adopt":
        return "adopt", f"its sale {numbers} is there{trouble}"
    return "export", f"placed since orders.start_at, no sale of it is there{trouble}"


# --- What a shadow has seen ------------------------------------------------------------------------------------------


def report(tx: ReadTx, now: datetime) -> list[dict[str, Any]]:
    """For each channel that is or was a shadow: what differed, what it would have prevented, what waits now."""
    return [_channel(tx, row, now) for row in tx.all(sql.rungs) if row.shadow_from is not None]


def _channel(tx: ReadTx, row: Any, now: datetime) -> dict[str, Any]:
    span = {"channel": row.channel, "since": row.shadow_from, "until": row.shadow_until or now}
    seen = tx.one(sql.shadow_numbers, **span)
    assert seen is not None
    lines = tx.all(sql.shadow_oversold, **span)
    return {
        "channel": row.channel,
        "mode": row.mode,
        "since": row.shadow_from.isoformat(),
        "until": row.shadow_until.isoformat() if row.shadow_until else None,
        "numbers": {"seen": seen.keys, "changes": seen.changes, "were_too_high": seen.too_high,
                    "were_too_low": seen.too_low},
        "now": {"too_high": row.lowers, "too_low": row.raises},
        "orders": {r.stage: r.n for r in tx.all(sql.shadow_orders, **span)},
        "prevented": {
            "orders": len({line.label for line in lines}),
            "units": sum(line.ordered - line.offered for line in lines),
            "lines": [
                {"order": line.label, "placed_at": line.placed_at.isoformat(), "sku": line.sku,
                 "ordered": line.ordered, "offered": line.offered}
                for line in lines
            ],
        },
    }  # fmt: skip
