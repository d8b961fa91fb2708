"""Which states an order gets at the storefront for what happened, by market. Pure."""

from __future__ import annotations

from typing import Literal

from sellable.config.settings import Settings, StatusMap

Event = Literal["ready", "partly_shipped", "shipped"]

KEEP = "keep"
USUAL: dict[Event, tuple[str | None, str | None]] = {
    "ready": ("Ready", None),
    "partly_shipped": ("Partial", None),
    "shipped": ("Shipped", "Complete"),
}
"""(shipmentState, orderState) where no section says otherwise; None leaves a state as it is."""


def told_as(event: Event, store: str, country: str, settings: Settings) -> tuple[str | None, str | None]:
    """(shipmentState, orderState) of an order of this store and country; "" for none.

    Of the sections that fit the most exact one counts, a store before a country; what it leaves empty is as usual.
    """
    fits = [
        rule
        for rule in settings.statuses
        if rule.event == event and rule.store in ("", store) and rule.country in ("", country)
    ]
    rule = max(fits, key=_exactness, default=None)
    shipment, order = USUAL[event]
    if rule is None:
        return shipment, order
    return _word(rule.shipment_state, shipment), _word(rule.order_state, order)


def _exactness(rule: StatusMap) -> tuple[bool, bool]:
    return bool(rule.store), bool(rule.country)


def _word(said: str, usual: str | None) -> str | None:
    return usual if not said else None if said == KEEP else said
