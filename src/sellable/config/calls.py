"""How many calls settings would cost, against what each vendor allows. Pure: settings in, rows out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sellable.config.settings import CIN7_CORE, ORDERFLOW, OrderFlow, Settings

CIN7_CALLS_PER_MINUTE_MAX = 60
"""Calls in 60 s for each application key (Cin7 Core API documentation, "API limits")."""
CIN7_PAGE_ROWS = 1000
COMMERCETOOLS_PAGE_ROWS = 500
"""Largest `limit` of a query (commercetools documentation, "Limits")."""


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Predicted calls an hour of one flow against one budget; flow "total" sums the budget up."""

    budget: str
    flow: str
    per_hour: int
    budget_per_hour: int

    @property
    def over(self) -> bool:
        """More than may be spent."""
        return self.per_hour > self.budget_per_hour


def predict(
    settings: Settings,
    *,
    orders_per_hour: int,
    catalogue_rows: int,
    stock_rows: int | None = None,
    lines_per_order: int = 3,
    parts_per_order: int = 1,
) -> list[Calls]:
    """Calls an hour of each flow in steady work, rounded up; one row "total" ends each budget.

    `catalogue_rows` are SKUs, `stock_rows` the rows of Cin7's availability list (by default each SKU at each location
    that it counts). Without `read_key` all of Cin7 is paid from one budget. Only back offices that are configured have
    a budget.
    """
    shop, office = settings.commercetools, settings.cin7_core
    counted = sum(location.keeper == CIN7_CORE for location in settings.locations)
    rows = catalogue_rows * counted if stock_rows is None else stock_rows
    parts = orders_per_hour * parts_per_order
    writes = math.ceil(orders_per_hour * lines_per_order * max(len(settings.channels) - 1, 0) / shop.write_batch)
    orders = {
        f"order export ({settings.orders.form})": parts * (3 if settings.orders.form == "three_call" else 2),
    }
    reads = {
        # Each sweep also asks once what was transferred meanwhile.
        "stock sweep": _turns(office.sweep_seconds) * (math.ceil(rows / CIN7_PAGE_ROWS) + 1),
        "changed sales": _turns(office.sales_poll_seconds),
        "sale reads (allocation, shipments)": (3 if office.allocates == "later" else 2) * parts,
        "changed products": _turns(office.catalogue_seconds),
        "all products": math.ceil(math.ceil(catalogue_rows / CIN7_PAGE_ROWS) / office.catalogue_walk_hours),
    }
    storefront = {
        "new messages": _turns(shop.hot_poll_seconds),
        "trailing messages": _turns(shop.trail_poll_seconds),
        "order sweep": _turns(shop.order_sweep_seconds),
        "order reads": orders_per_hour,
        "entry walk": math.ceil(
            math.ceil(catalogue_rows * len(settings.channels) / COMMERCETOOLS_PAGE_ROWS) / shop.entry_walk_hours
        ),
        "stock writes to sibling channels": writes,
        "write-back (sale, delivery, state)": 3 * parts,
    }
    per_key = office.calls_per_minute * 60
    if CIN7_CORE not in settings.back_offices:
        budgets = []
    elif office.read_key and office.read_key != office.key:
        budgets = [("cin7_core key", per_key, orders), ("cin7_core read_key", per_key, reads)]
    else:
        budgets = [("cin7_core key", per_key, orders | reads)]
    if (house := settings.orderflow) is not None:
        budgets.append((ORDERFLOW, house.calls_per_minute * 60, _flows_of(house, settings, parts)))
    budgets.append(("commercetools", shop.calls_per_second * 3600, storefront))
    return [
        Calls(budget=budget, flow=flow, per_hour=calls, budget_per_hour=limit)
        for budget, limit, flows in budgets
        for flow, calls in [*flows.items(), ("total", sum(flows.values()))]
    ]


def _flows_of(house: OrderFlow, settings: Settings, parts: int) -> dict[str, int]:
    """Calls an hour at a warehouse; where lines are routed, all of them might go there."""
    sites = sum(location.keeper == ORDERFLOW for location in settings.locations)
    return {
        # At worst each order goes alone; what waits goes together.
        "order import": parts,
        # Each is read back once for its allocation, beside the looks at orders that are open.
        "order reads": 60 * house.looks_per_minute + parts,
        # All places but the last are read twice, so that nothing moved between them counts twice.
        "inventory": _turns(house.inventory_poll_seconds) * max(1, 2 * sites - 1),
        "shipments that left": _turns(house.despatch_poll_seconds),
        "returns": _turns(house.return_poll_seconds) if house.return_report else 0,
    }


def _turns(seconds: float) -> int:
    return math.ceil(3600 / seconds)
