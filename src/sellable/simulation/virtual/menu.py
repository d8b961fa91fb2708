"""The menu of trouble for calls: what strikes the product's calls to a vendor, and how often it did.

Rule: it strikes the product's calls only, so that shoppers keep ordering and the storefront can be oversold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sellable.sandbox.asgi import App
from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox
from sellable.sandbox.faults import Fault, FaultMenu, Faulty

CT, CIN7 = "ct.test", "cin7.test"
_WRITES = {CT: r"POST /(?!oauth)", CIN7: r"(POST|PUT|DELETE) "}
_LISTS = r"(productavailability|saleList)"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A line of the menu (`menu` is its number there) at one vendor, as the simulators' fault kit says it.

    `weight` is how often against others; an episodic one may also last for minutes.
    """

    menu: str
    host: str
    fault: Mapping[str, Any]
    weight: float = 1.0
    episodic: bool = False


def _both(name: str, menu: str, weight: float = 1.0, *, episodic: bool = False, writes: bool = False,
          **fault: Any) -> dict[str, Trouble]:  # fmt: skip
    return {
        f"{short}-{name}": Trouble(
            menu=menu, host=host, fault={**fault, **({"match": _WRITES[host]} if writes else {})},
            weight=weight, episodic=episodic,
        )
        for short, host in (("ct", CT), ("cin7", CIN7))
    }  # fmt: skip


TROUBLES: Mapping[str, Trouble] = {
    **_both("429", "F2", 1.0, effect="status", status=429),
    **_both("429-retry-after", "F2", 1.0, episodic=True, effect="status", status=429, retry_after="5"),
    **_both("500", "F2", 1.0, effect="status", status=500),
    **_both("502-after", "F2", 2.0, writes=True, effect="status", status=502, when="after"),
    **_both("503", "F2", 1.0, episodic=True, effect="status", status=503),
    **_both("reset", "F2", 1.0, effect="reset"),
    **_both("reset-after", "F2", 4.0, writes=True, episodic=True, effect="reset", when="after"),
    **_both("timeout", "F2", 0.5, effect="timeout", seconds=40),
    **_both("timeout-after", "F2", 1.0, writes=True, effect="timeout", seconds=40, when="after"),
    **_both("late", "F2", 1.0, writes=True, effect="late", seconds=45),
    **_both("slow", "F2", 1.0, effect="slow", seconds=8),
    **_both("html", "F2", 1.0, effect="html"),
    **_both("truncated", "F2", 1.0, effect="truncate", when="after"),
    **_both("wrong-type", "F8", 0.5, effect="wrong_type", when="after"),
    "ct-409": Trouble(menu="F2", host=CT, fault={"effect": "status", "status": 409, "match": _WRITES[CT]}),
    "cin7-error-200": Trouble(menu="F2", host=CIN7, fault={"effect": "error_200"}),
    "cin7-no-sales-list": Trouble(
        menu="F4", host=CIN7, fault={"effect": "status", "status": 500, "match": "saleList"}, episodic=True
    ),
    "cin7-stale-page": Trouble(menu="F4", host=CIN7, fault={"effect": "stale_page", "match": _LISTS}, weight=8.0),
    "cin7-shifted-page": Trouble(menu="F4", host=CIN7, fault={"effect": "shifted_page", "match": _LISTS}, weight=4.0),
    "cin7-missing-row": Trouble(menu="F4", host=CIN7, fault={"effect": "missing_row", "match": _LISTS}, weight=8.0),
    "cin7-duplicate-row": Trouble(menu="F4", host=CIN7, fault={"effect": "duplicate_row", "match": _LISTS},
                                  weight=4.0),
    "cin7-fractional": Trouble(menu="F8", host=CIN7, fault={"effect": "fractional_quantity", "match": _LISTS}),
    "cin7-huge": Trouble(menu="F8", host=CIN7, fault={"effect": "huge_number", "match": _LISTS}),
    "cin7-sku-case": Trouble(menu="F8", host=CIN7, fault={"effect": "sku_case", "match": _LISTS}),
    "cin7-unknown-enum": Trouble(menu="F8", host=CIN7, fault={"effect": "unknown_enum", "match": _LISTS}),
}  # fmt: skip
ALL = tuple(TROUBLES)
REFUSED = {CT: "ct-no-connection", CIN7: "cin7-no-connection"}


Strike = Callable[[str, str, Fault | None], None]
"""Told of each call's line at a host and of what struck it, None for a call that went well."""


class _Told(FaultMenu):
    """A menu that tells of every call."""

    def __init__(self, seed: int, host: str, strike: Strike) -> None:
        super().__init__(seed)
        self._host, self._strike = host, strike

    def pick(self, line: str, when: str, effects: Iterable[str] | None = None) -> Fault | None:
        fault = super().pick(line, when, effects)
        if fault is not None or when == "after":
            self._strike(self._host, line, fault)
        return fault


@dataclass
class Weather:
    """What is in force now, at both vendors; `fired` counts by name over the whole run."""

    seed: int
    strike: Strike
    fired: Counter[str] = field(default_factory=Counter)
    rates: dict[str, float] = field(default_factory=dict)
    _menus: dict[str, FaultMenu] = field(default_factory=dict)

    def over(self, host: str, sandbox: Sandbox, clock: Clock) -> App:
        """The simulator's door with this weather before it."""
        menu = self._menus[host] = _Told(self.seed, host, self.strike)
        return Faulty(sandbox.asgi, menu, clock, error_body=sandbox.vendor.error_body)

    def set(self, rates: Mapping[str, float]) -> None:
        """Put these troubles in force, and no others."""
        self.count()
        self.rates = {name: min(1.0, rate) for name, rate in rates.items() if rate > 0}
        for host, menu in self._menus.items():
            menu.set(
                {"name": name, "rate": rate, **TROUBLES[name].fault}
                for name, rate in self.rates.items()
                if TROUBLES[name].host == host
            )

    def count(self) -> None:
        """Take note of what has fired."""
        for menu in self._menus.values():
            self.fired.update({name: times for name, times in menu.fired.items() if times})
            menu.fired = dict.fromkeys(menu.fired, 0)
