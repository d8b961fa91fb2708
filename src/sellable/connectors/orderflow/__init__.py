"""OrderFlow: a warehouse that takes orders whole and counts its own stock. This page declares what must be known of it.

What no public page of the vendor says is marked "unconfirmed": it has to be asked, or measured on a test tenant.
"""

from __future__ import annotations

from sellable.config.settings import OrderFlow as Settings
from sellable.connectors.kit.spec import Quirk, Spec
from sellable.connectors.orderflow.client import CREDENTIAL, OrderFlow
from sellable.connectors.orderflow.translate import NAME, Sites
from sellable.runtime.budgets import BudgetSpec

__all__ = ["CREDENTIAL", "NAME", "SPEC", "OrderFlow", "Sites", "budgets"]

WINDOW_SECONDS, BURST = 60.0, 5
LANES = {"orders": 0.4, "stock": 0.3, "reads": 0.2, "repair": 0.1}


def budgets(settings: Settings) -> tuple[BudgetSpec, ...]:
    """One, for the one login. No limit is published (unconfirmed), so all that the settings allow is used."""
    return (
        BudgetSpec(
            credential=CREDENTIAL,
            calls=settings.calls_per_minute,
            window_seconds=WINDOW_SECONDS,
            burst=BURST,
            lanes=LANES,
            usable=1.0,
        ),
    )


SPEC = Spec(
    name=NAME,
    title="OrderFlow",
    capabilities=("OrderImport", "DespatchSource", "InventorySource", "ReturnSource"),
    settings=Settings,
    budgets=budgets,
    # An import only says that the order is known. Lines that the detail shows as allocated are what the vendor's own
    # allocation counts as taken (Advanced Concepts, "Allocation and Assignment").
    evidence=("allocation_read",),
    visibility_lag_seconds=lambda settings: settings.visibility_lag_seconds,
    search_settle_seconds=lambda settings: settings.search_settle_seconds,
    compare_and_set=False,
    quirks=(
        Quirk(says="An import's text is no XML but lines of key=value; a line break is [BR].", page="API guide, 2"),
        Quirk(says="One answer with 200 mixes successes, failures and duplicates.", page="API guide, 2"),
        Quirk(says="A known reference is a duplicate, whatever the content.", page="API guide, 2"),
        Quirk(says="Errors come with 200: a page with ERROR, <exception>, <error>.", page="observed in clients"),
        Quirk(says="Only goods may be sent: no bundles, no virtual products.", page="API guide, 2"),
        Quirk(says="A cancellation that did nothing is a sentence with 200.", page="observed in clients"),
        Quirk(says="Cancelling with cancelChangesExternalReference frees the reference.", page="observed in clients"),
        Quirk(says="Times have no zone; which one is meant is unconfirmed.", page="API guide, 2"),
        Quirk(says="Products without an inventory record are not in the inventory.", page="API guide, 2"),
        Quirk(says="onOrder are units of open purchase orders, none of them here.", page="API guide, 2"),
        Quirk(says="Allocation runs on a schedule, oldest order first.", page="Advanced Concepts, 10"),
        Quirk(says="States and push forms are configured by tenant.", page="Advanced Concepts, 9"),
        Quirk(says="Pushes carry a number that rises, and no signature.", page="API guide, 3"),
        Quirk(says="No limit of calls and no most of an import is published: unconfirmed.", page="API guide"),
    ),
)
