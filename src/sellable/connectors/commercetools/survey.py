"""What a project has that settings must name: asked once, on the first day and by the doctor. Reads only.

One rule: a call a resource, at most `ROWS` rows of it; what is cut off is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Protocol, TypeVar

import msgspec

from sellable.connectors.commercetools import wire
from sellable.connectors.commercetools.session import VENDOR, Session
from sellable.connectors.kit.decode import document

T = TypeVar("T")
LANE = "repair"
ROWS = 500
"""The largest `limit` of a query (page "Limits")."""
ORDERS = 100
"""Orders whose lines tell how carts treat stock."""


class Port(Protocol):
    """What this needs of the client."""

    @property
    def session(self) -> Session: ...


class Tax(msgspec.Struct, frozen=True, kw_only=True):
    """A rate as orders carry it; `fraction` without zeros at its end."""

    name: str
    fraction: str
    country: str
    included: bool


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """A project as found. `modes` counts lines of recent orders by (channel key, inventory mode)."""

    scopes: tuple[str, ...]
    theirs: datetime | None  # the vendor's clock when it answered, in whole seconds
    ours: datetime
    messages_enabled: bool
    message_days: int
    countries: tuple[str, ...]
    currencies: tuple[str, ...]
    channels: Mapping[str, tuple[str, ...]]
    stores: Mapping[str, tuple[str, ...]]
    taxes: tuple[Tax, ...]
    shipping_methods: tuple[str, ...]
    modes: Mapping[tuple[str, str], int]
    orders: int
    currencies_ordered: tuple[str, ...]
    channelless_entries: bool
    cut_off: tuple[str, ...] = ()
    line_states: tuple[str, ...] = ()

    @property
    def supply_channels(self) -> list[str]:
        """Keys of channels that supply stock, in order."""
        return sorted(key for key, roles in self.channels.items() if "InventorySupply" in roles)


async def look(port: Port) -> Survey:
    """Eight calls."""
    session = port.session
    cut: list[str] = []

    async def every(path: str, type_: type[T], *more: tuple[str, str], limit: int = ROWS) -> list[T]:
        params = [("limit", str(limit)), ("withTotal", "false"), *more]
        answer = await session.call("GET", path, lane=LANE, params=params)
        rows = document(answer.body, wire.Results, vendor=VENDOR).results
        if len(rows) == ROWS:
            cut.append(path)
        return [document(raw, type_, vendor=VENDOR) for raw in rows]

    answer = await session.call("GET", "", lane=LANE)
    project = document(answer.body, wire.Project, vendor=VENDOR)
    channels = await every("channels", wire.Channel)
    keys = {channel.id: channel.key for channel in channels}
    stores = await every("stores", wire.Store)
    categories = await every("tax-categories", wire.TaxCategory)
    methods = await every("shipping-methods", wire.ShippingMethod)
    states = await every("states", wire.State)
    orders = await every("orders", wire.Order, ("sort", "createdAt desc"), limit=ORDERS)
    bare = await every("inventory", wire.Entry, ("where", "supplyChannel is not defined"), limit=1)
    rates = {
        Tax(name=rate.name, fraction=plain(rate.amount), country=rate.country, included=rate.included_in_price)
        for category in categories
        for rate in category.rates
    }
    return Survey(
        scopes=session.granted,
        theirs=answer.date,
        ours=answer.answered_at,
        messages_enabled=project.messages.enabled,
        message_days=project.messages.delete_days_after_creation or 0,
        countries=tuple(project.countries),
        currencies=tuple(project.currencies),
        channels={channel.key: tuple(channel.roles) for channel in channels},
        stores={store.key: tuple(keys.get(each.id, each.id) for each in store.supply_channels) for store in stores},
        taxes=tuple(sorted(rates, key=lambda tax: (tax.country, tax.fraction, tax.name))),
        shipping_methods=tuple(sorted({method.name for method in methods})),
        modes=Counter(
            (
                keys.get(line.supply_channel.id, "") if line.supply_channel else "",
                line.inventory_mode or order.inventory_mode,
            )
            for order in orders
            for line in order.line_items
        ),
        orders=len(orders),
        currencies_ordered=tuple(sorted({order.total_price.currency_code for order in orders})),
        channelless_entries=bool(bare),
        cut_off=tuple(cut),
        line_states=tuple(sorted(state.key for state in states if state.type == "LineItemState" and state.key)),
    )  # fmt: skip


def plain(amount: Decimal) -> str:
    """A fraction as people write it: 0.19 for 0.1900, 0 for 0.0."""
    return f"{amount.normalize():f}"


def fraction_of(tax: Tax) -> Decimal:
    """The rate as a number."""
    return Decimal(tax.fraction)
