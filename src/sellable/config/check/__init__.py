"""What cannot work although it can be read: one file for each subject. Pure: settings in, problems out.

Rule: refuse at the start what would make the storefront lie later: above all two owners of one number.
"""

from __future__ import annotations

from collections.abc import Collection

from sellable.config.check import counted, orderflow, places, routes, sales, service
from sellable.config.problems import Lines, Problem
from sellable.config.settings import CIN7_CORE, COMMERCETOOLS, ORDERFLOW, Settings

__all__ = ["check"]

MASTERS = (CIN7_CORE, ORDERFLOW, COMMERCETOOLS)
"""Systems that can own the stock of a location."""


def check(
    settings: Settings,
    lines: Lines | None = None,
    *,
    case_kinds: Collection[str] = (),
    masters: Collection[str] = MASTERS,
) -> list[Problem]:
    """Everything that cannot work, in the order of the file. `case_kinds` are the kinds that need an owner."""
    found = [
        *places.locations(settings, masters),
        *places.states(settings),
        *places.pools(settings),
        *places.channels(settings),
        *counted.counted(settings),
        *routes.routes(settings),
        *places.ages(settings),
        *places.buffers(settings),
        *sales.skus(settings),
        *sales.customers_and_taxes(settings),
        *sales.rates(settings),
        *service.owners(settings, case_kinds),
        *service.addresses(settings),
        *service.keys(settings),
        *service.console(settings),
        *sales.reasons(settings),
        *sales.statuses(settings),
        *service.numbers(settings, ""),
        *service.rest(settings),
        *orderflow.orderflow(settings),
    ]
    lines = lines or Lines()
    problems = [Problem(line=lines.of(key), key=key, message=says, mend=mend) for key, says, mend in found]
    return sorted(problems, key=lambda problem: problem.line or 0)
