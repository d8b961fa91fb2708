"""commercetools: the storefront. This page declares what the engine must know of it."""

from __future__ import annotations

from sellable.config.settings import Commercetools as Settings
from sellable.connectors.commercetools.client import ChannelUnknown, Commercetools
from sellable.connectors.commercetools.session import CREDENTIAL
from sellable.connectors.commercetools.translate import Bundles
from sellable.connectors.kit.spec import Quirk, Spec
from sellable.runtime.budgets import BudgetSpec

__all__ = ["CREDENTIAL", "LANES", "NAME", "SPEC", "Bundles", "ChannelUnknown", "Commercetools", "budgets"]

NAME = "commercetools"
LANES = {"orders": 0.3, "reads": 0.15, "writes": 0.45, "repair": 0.1}
BURST_MIN = 6
"""A call for each lane, one to lend and one to spare."""


def budgets(settings: Settings) -> tuple[BudgetSpec, ...]:
    """The vendor publishes no limit, so the setting is the limit: in any second, or in any ten where it is small."""
    window = 1 if settings.calls_per_second > BURST_MIN * 3 else 10
    calls = settings.calls_per_second * window
    burst = max(BURST_MIN, calls // 5)
    return (
        BudgetSpec(
            credential=CREDENTIAL, calls=calls, window_seconds=float(window), burst=burst, lanes=LANES, usable=1.0
        ),
    )


SPEC = Spec(
    name=NAME,
    title="commercetools",
    capabilities=("StorefrontStock", "StorefrontOrders"),
    settings=Settings,
    budgets=budgets,
    compare_and_set=True,
    quirks=(
        Quirk(says="Orders lower stock entries by themselves, up to 10 s late.", page="release note 2026-01-19"),
        Quirk(says="restockableInDays, even 0, lets ReserveOnOrder sell without stock.", page="API, InventoryMode"),
        Quirk(
            says="addQuantity and removeQuantity are not idempotent; the version guards them.", page="API, Inventory"
        ),
        Quirk(says="No bulk write over HTTP; GraphQL aliases fail one by one.", page="GraphQL"),
        Quirk(says="An entry has one custom type; a merchant's is never replaced.", page="API, InventoryEntry"),
        Quirk(says="Messages are off until enabled, and can become visible late.", page="Messages Query"),
        Quirk(says="Subscriptions deliver at least once, unordered, never to a plain URL.", page="Subscriptions"),
        Quirk(says="The platform does not cap the units of all deliveries together.", page="API, OrderAddDelivery"),
        Quirk(says="After a 500 the write may have been applied.", page="API, Orders"),
    ),
)
