"""Which change of a state is legal: of our lines, and of what commercetools' order carries. Pure; tables only.

A unit of an order line is in one place of its life at a time:

    open ─► cancelled            nobody wants it any more
      │
      └───► shipped ─► inspection ─► available        it came back, and the master says that it may be sold
                           │
                           ├──────► damaged           it came back, and is never sold
                           └──────► written_off       it was credited and came into no stock

What a warehouse did is a fact whether the table likes it or not: a cancelled unit that ships, or a unit that comes back
and never shipped, is recorded and becomes a case. The table says what is asked for and what is only told.

commercetools does not enforce orderState, shipmentState and paymentState as machines (API description, Order), so that
whoever writes them must. Return items it does enforce: Returned becomes BackInStock or Unusable, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

Table = Mapping[str, frozenset[str]]
"""State to the states it may become; a state that becomes nothing is an end."""


class Machine(StrEnum):
    """What a table is about, as cases and stories name it."""

    LINE = "line"
    ORDER = "orderState"
    SHIPMENT = "shipmentState"
    PAYMENT = "paymentState"
    RETURN = "returnShipmentState"
    REFUND = "returnPaymentState"


def _table(**rows: str) -> Table:
    return {state: frozenset(nexts.split()) for state, nexts in rows.items()}


TABLES: Mapping[Machine, Table] = {
    Machine.LINE: _table(
        open="cancelled shipped",
        cancelled="",
        shipped="inspection available damaged written_off",
        inspection="available damaged written_off",
        available="damaged",
        damaged="",
        written_off="inspection available damaged",
    ),
    # Staff confirm, complete and cancel; a cancelled order is not revived, another one is placed.
    Machine.ORDER: _table(
        Open="Confirmed Complete Cancelled",
        Confirmed="Open Complete Cancelled",
        Complete="Open Confirmed Cancelled",
        Cancelled="",
    ),
    # Delayed and Backorder are waits and may come again; a parcel that left never comes un-left.
    Machine.SHIPMENT: _table(
        Pending="Ready Delayed Backorder Partial Shipped Delivered Canceled",
        Ready="Delayed Backorder Partial Shipped Delivered Canceled",
        Delayed="Pending Ready Backorder Partial Shipped Delivered Canceled",
        Backorder="Pending Ready Delayed Partial Shipped Delivered Canceled",
        Partial="Delayed Backorder Shipped Delivered",
        Shipped="Delivered",
        Delivered="",
        Canceled="",
    ),
    Machine.PAYMENT: _table(
        BalanceDue="Failed Pending Paid CreditOwed",
        Failed="BalanceDue Pending Paid",
        Pending="BalanceDue Failed Paid CreditOwed",
        CreditOwed="Paid BalanceDue",
        Paid="CreditOwed BalanceDue",
    ),
    # An item announced (Advised) cannot be moved on by setReturnShipmentState: it stays as it was announced.
    Machine.RETURN: _table(Advised="", Returned="BackInStock Unusable", BackInStock="", Unusable=""),
    Machine.REFUND: _table(NonRefundable="", Initial="Refunded NotRefunded", Refunded="", NotRefunded=""),
}


def may(machine: Machine, before: str | None, after: str) -> bool:
    """Whether a state may become another; to stay is legal, and so is any known state where there was none.

    A state in no table is another shop's word or a newer one: it is never refused, only never asked for.
    """
    table = TABLES[machine]
    if before is None or before == after or before not in table:
        return True
    return after in table[before]


def known(machine: Machine, state: str) -> bool:
    """Whether the table has the state at all."""
    return state in TABLES[machine]
