"""What orders do to numbers that commercetools is the master of, besides what it does to them by itself.

    commercetools takes an order's units off its own number; what becomes of them at the warehouse it does not know

For each line there is one balance: units that are promised or gone, less units that came back fit to be sold, less
what commercetools did by itself. When the balance moves, the difference is owed to the number, once: it does not
matter how often, in what order or in how many readings the warehouse tells what happened. One rule: units go back only
when nobody can ship them any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sellable.book import book
from sellable.domain.orders import Line
from sellable.orders.context import Context
from sellable.runtime.database import Tx
from sellable.stock import adjustments
from sellable.stock.adjustments import Adjustment

_Followed = tuple[str, datetime, Context]


def begin(tx: Tx, order_id: str, lines: Iterable[Line], context: Context) -> None:
    """From here on these new lines of an order are followed, as far as commercetools is the master of what they sell
    from. Lines captured before it was are not: what was done to a number until then is in it. A channel that is a
    shadow is the affair of whoever writes there.
    """
    channels = context.layout.counted.difference(context.layout.in_mode("shadow"))
    followed = [line.line_id for line in lines if line.sku and (line.channel or "") in channels]
    if followed:
        tx.run(book.sql.count_lines, order_id=order_id, line_id=followed)


def follow(tx: Tx, order_id: str, now: datetime, context: Context) -> None:
    """Something happened to an order: before the commit, what it changes of its lines' balances is owed."""
    if context.layout.counted:
        tx.gather(_settle, (order_id, now, context))


def lost(tx: Tx, order_id: str, units: Mapping[str, int], context: Context) -> None:
    """The warehouse itself cancelled units, by line: unless the settings say so they are on no shelf."""
    house = context.settings.orderflow
    if house is not None and house.cancelled_units == "gone":
        tx.run(book.sql.lose_units, order_id=order_id, line_id=list(units), units=list(units.values()))


def cancelling(tx: Tx, order_id: str) -> None:
    """We are about to cancel the whole order at the storefront, which may put its units back by that."""
    tx.run(book.sql.cancel_follows, order_id=order_id)


def _settle(tx: Tx, followed: list[_Followed]) -> None:
    _, now, context = followed[0]
    shop = context.settings.commercetools
    found = tx.all(
        book.sql.balance_lines,
        order_ids=sorted({order_id for order_id, _, _ in followed}),
        on_cancel=shop.restocks_on_cancel != "no",
        on_return=shop.restocks_on_return != "no",
    )
    if not found:
        return
    owed = [
        Adjustment(sku=r.sku, channel=r.channel, units=r.units, order_id=r.order_id, line_id=r.line_id) for r in found
    ]
    for row in adjustments.record(tx, owed, now):
        book.tell(
            tx, row.resource, "number adjusted", now, line=row.line, sku=row.sku, channel=row.channel, units=row.units,
            aside=row.aside,
        )  # fmt: skip
        if row.aside:
            context.open_case(
                tx, "adjustment_unsure", f"sku:{row.sku}", now, expected={"written": "once"},
                actual={"channel": row.channel, "units": row.units}, evidence=[f"order:{row.resource}"],
            )  # fmt: skip
