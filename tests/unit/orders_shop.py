"""A small shop for tests of orders: two places that ship, one that does not, two tax rules."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from sellable.config.settings import (
    Channel,
    Cin7Core,
    Commercetools,
    CustomerMap,
    Location,
    Orders,
    Pool,
    Settings,
    TaxMap,
)
from sellable.domain.money import Rounding, TaxCalculation, Taxed, TaxPortion
from sellable.domain.orders import InventoryMode, Line, Order, OrderState, Tax

VAT = Tax(name="VAT", rate=Decimal("0.19"), included=False, country="DE")
KIT = {"TEA-SET": {"CUP": 2, "POT": 1}}


def line(line_id: str, sku: str | None, quantity: int = 1, **changes: Any) -> Line:
    values: dict[str, Any] = {
        "line_id": line_id, "sku": sku, "name": sku or "nameless", "quantity": quantity, "channel": None, "tax": VAT,
        "mode": InventoryMode.RESERVE_ON_ORDER, "unit": 100, "total": 100 * quantity,
        "taxed": Taxed(net=100 * quantity, gross=119 * quantity),
    }  # fmt: skip
    return Line(**values | changes)


def order(*lines: Line, **changes: Any) -> Order:
    at = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    values: dict[str, Any] = {
        "order_id": "o-1", "version": 4, "number": "W-1001", "cart_id": None, "placed_at": at, "modified_at": at,
        "state": OrderState.OPEN, "payment_state": None, "shipment_state": None, "store": None, "country": "DE",
        "currency": "EUR", "digits": 2, "lines": lines, "charges": (), "total": 0, "taxed": None,
        "rounding": Rounding.HALF_EVEN, "calculation": TaxCalculation.LINE, "tax_mode": "Platform",
    }  # fmt: skip
    return Order(**values | changes)


def settings(**changes: Any) -> Settings:
    """Two places, and a shop that does not ship."""
    values: dict[str, Any] = {
        "orders": Orders(start_at=datetime(2026, 1, 1, tzinfo=UTC)), "states": (),
        "commercetools": Commercetools(project="shop", client_id="", client_secret="", restocks_on_cancel="unknown"),
        "cin7_core": Cin7Core(account_id="", key=""),
        "owners": (),
        "locations": tuple(
            Location(name=name, master="cin7_core", remote=f"{name} at Cin7", ships=name != "shop")
            for name in ("main", "east", "shop")
        ),
        "pools": (
            Pool(name="web", locations=("east", "shop", "main")),
            Pool(name="window", locations=("shop",)),
        ),
        "channels": (Channel(key="", pool="web"), Channel(key="window", pool="window")),
        "customers": (
            CustomerMap(customer="Web EUR", currency="EUR"),
            CustomerMap(customer="Outlet EUR", currency="EUR", store="outlet"),
        ),
        "taxes": (TaxMap(rate="0.19", rule="VAT 19"), TaxMap(rate="0.07", rule="VAT 7", country="DE")),
    }  # fmt: skip
    return Settings(**values | changes)


def complete(order_: Order) -> Order:
    """The order with the total and the taxed price that its lines and charges add up to."""
    items: list[Any] = [*order_.lines, *order_.charges]
    portions: dict[tuple[Decimal, str], int] = {}
    for item in items:
        if item.tax:
            key = (item.tax.rate, item.tax.name)
            portions[key] = portions.get(key, 0) + item.taxed.tax
    return msgspec.structs.replace(
        order_,
        total=sum(item.total for item in items),
        taxed=Taxed(
            net=sum(item.taxed.net for item in items),
            gross=sum(item.taxed.gross for item in items),
            portions=tuple(TaxPortion(rate=rate, name=name, amount=tax) for (rate, name), tax in portions.items()),
        ),
    )
