"""Words of stock: states, the accounts outside our walls, movements. Only `available` may be sold."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where stock can be. An unknown remote state is not in this list and is therefore never sellable."""

    AVAILABLE = "available"
    ALLOCATED = "allocated"
    INSPECTION = "inspection"
    DAMAGED = "damaged"
    QUARANTINE = "quarantine"
    RECEIVING = "receiving"
    IN_TRANSIT = "in_transit"
    ON_ORDER = "on_order"
    # Accounts of the outside world: they make every movement double entry, so that a SKU sums to zero.
    SUPPLIER = "supplier"
    CUSTOMER = "customer"
    UNEXPLAINED = "unexplained"


OUTSIDE = ""
"""The location of outside accounts."""


class Kind(StrEnum):
    """What a movement says happened. Closed: a new kind is a decision, not a string."""

    ALLOCATED = "allocated"
    DEALLOCATED = "deallocated"
    SHIPPED = "shipped"
    RETURN_RECEIVED = "return_received"
    INSPECTED_OK = "inspected_ok"
    INSPECTED_DAMAGED = "inspected_damaged"
    TRANSFER_OUT = "transfer_out"
    TRANSFER_IN = "transfer_in"
    ADJUST = "adjust"
    OBSERVED_GAP = "observed_gap"


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """A fact: `quantity` units of `sku` went from one (location, state) to another.

    Identity is (source, resource, line, kind, seq); the same identity with the same content is the same fact.
    """

    source: str
    resource: str
    line: str
    kind: Kind
    sku: str
    quantity: int
    from_location: str
    from_state: State
    to_location: str
    to_state: State
    seq: int = 0

    def __post_init__(self) -> None:
        if type(self.quantity) is not int or self.quantity <= 0:
            raise ValueError(f"a movement moves a positive whole number of units, not {self.quantity!r}")


class Priority:
    """Order of work for differences: smaller is more dangerous."""

    STOP_SALE = 0
    ORDER_LOWER = 1
    LOWER = 2
    BACK_IN_STOCK = 3
    RAISE = 4


def normal_sku(sku: str) -> str:
    """The form in which two SKUs that differ only by case or blanks collide; never used as the SKU itself."""
    return " ".join(sku.split()).casefold()
