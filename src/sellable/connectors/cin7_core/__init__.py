"""Cin7 Core: master of stock, and where orders become sales. This page declares what the engine must know of it."""

from __future__ import annotations

from sellable.config.settings import Cin7Core as Settings
from sellable.connectors.cin7_core.client import ORDERS, READS, Cin7Core
from sellable.connectors.cin7_core.registration import watchdog
from sellable.connectors.cin7_core.translate import NAME, Places
from sellable.connectors.kit.spec import Quirk, Spec
from sellable.runtime.budgets import BudgetSpec

__all__ = ["NAME", "ORDERS", "READS", "SPEC", "Cin7Core", "Places", "budgets", "watchdog"]

CALLS, WINDOW_SECONDS, BURST = 60, 60.0, 5
LANES = {"orders": 0.4, "stock": 0.3, "reads": 0.2, "repair": 0.1}


def budgets(settings: Settings) -> tuple[BudgetSpec, ...]:
    """One for each application key. Without a second key all calls are paid from ORDERS, and READS stays untouched."""
    usable = min(settings.calls_per_minute, CALLS) / CALLS
    return tuple(
        BudgetSpec(
            credential=credential, calls=CALLS, window_seconds=WINDOW_SECONDS, burst=BURST, lanes=LANES, usable=usable
        )
        for credential in (ORDERS, READS)
    )


SPEC = Spec(
    name=NAME,
    title="Cin7 Core",
    capabilities=("StockMaster", "OrderTarget"),
    settings=Settings,
    budgets=budgets,
    # The answer to an authorised order shows BackorderQuantity by line, and so does the sale read later.
    evidence=("ack", "allocation_read"),
    visibility_lag_seconds=lambda settings: settings.visibility_lag_seconds,
    search_settle_seconds=lambda settings: settings.search_settle_seconds,
    compare_and_set=False,
    quirks=(
        Quirk(says="The limit comes as 429, as 503 and as 400 with a sentence.", page="API Status Codes"),
        Quirk(says="Errors come as an array of Error Models, at times with status 200.", page="blueprint, Error Model"),
        Quirk(says="A wrong path answers a web page with status 200.", page="observed"),
        Quirk(says="Filters match prefixes, and unknown ones are silently ignored.", page="observed"),
        Quirk(says="Availability has no change filter, no location id and leaves out rows of zeros.", page="observed"),
        Quirk(says="StockOnHand is money, not units.", page="observed"),
        Quirk(says="Authorising short stock makes a silent backorder.", page="blueprint, sale/order"),
        Quirk(says="AUTH_NO_ALLOC is authorised and sets nothing aside.", page="blueprint, Available Order Statuses"),
        Quirk(says="DELETE with Void=false undoes to a draft, with Void=true voids.", page="blueprint, sale"),
        Quirk(says="Ship lines name boxes, not SKUs.", page="blueprint, sale/fulfilment"),
        Quirk(says="Webhooks turn themselves off after about 76 minutes of failures.", page="blueprint, webhooks"),
        Quirk(says="No idempotency key: a repeated POST makes a second sale.", page="observed"),
    ),
)
