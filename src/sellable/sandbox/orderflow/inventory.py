"""inventory.xml: figures per product and site, as they were some time ago. Rule: what has no record is not listed."""

from collections import deque
from typing import Any

from sellable.sandbox.orderflow.markup import Element, element
from sellable.sandbox.orderflow.state import World
from sellable.sandbox.orderflow.stock import Level
from sellable.sandbox.orderflow.wire import Refused, Request

NUMBERS = ("total", "allocated", "available", "frozen", "onOrder", "inspection", "damaged", "quarantined")


def figures(world: World, level: Level) -> dict[str, Any]:
    """The attributes of a product in the answer and in pushes."""
    switches, units = world.switches, level.units
    promised = level.allocated if switches.available_less == "allocated" else max(level.allocated, level.required)
    frozen = units["frozen"]
    return {
        "inventoryId": level.id,
        "externalReference": level.product.reference,
        "organisation": level.product.organisation,
        "site": level.site,
        "total": level.total,
        "allocated": level.allocated,
        "available": max(0, level.good - promised),
        "frozen": frozen if switches.frozen_as == "count" else frozen > 0,
        "onOrder": level.on_order,
        **{kind: units[kind] for kind in switches.location_types},
        "lastStockChangeId": level.last_stock_change,
        "lastLineRequirementChangeId": level.last_requirement_change,
    }


class View:
    """What inventory.xml knows: the figures of every record, late by the switch."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._past: dict[int, deque[tuple[float, dict[str, Any]]]] = {}
        world.stock.on_level.append(self.heard)

    def heard(self, level: Level) -> None:
        """A record moved."""
        past = self._past.setdefault(level.id, deque())
        past.append((self._world.clock.time(), figures(self._world, level)))
        self._forget(past)

    def shown(self, level: Level) -> dict[str, Any] | None:
        """The figures a reader sees now; None while the record itself is younger than the lag."""
        if not self._world.switches.inventory_lag_seconds:
            return figures(self._world, level)
        past = self._past.get(level.id) or deque()
        self._forget(past)
        return past[0][1] if past and past[0][0] <= self._limit() else None

    def _limit(self) -> float:
        return self._world.clock.time() - self._world.switches.inventory_lag_seconds

    def _forget(self, past: deque[tuple[float, dict[str, Any]]]) -> None:
        while len(past) > 1 and past[1][0] <= self._limit():
            past.popleft()

    def listing(self, request: Request, organisation: str) -> Element:
        """GET inventory.xml"""
        world = self._world
        wanted = [one.strip() for one in request.query.get("externalReferences", "").split(",") if one.strip()]
        levels = world.stock.of(organisation, self._sites(request))
        if wanted:
            levels = [level for level in levels if level.product.reference in wanted]
        rows = [row for level in levels if (row := self.shown(level)) is not None]
        return element("inventory", *(element("product", **row) for row in spoilt(world, request, rows)))

    def _sites(self, request: Request) -> list[str]:
        sites, asked = self._world.book.sites, request.query.get("site", "").strip()
        if asked:
            if asked not in sites:
                raise Refused(f"No site with reference '{asked}'")
            return [asked]
        if len(sites) > 1 and self._world.switches.site_missing == "error":
            raise Refused("Multi-site inventory is enabled: parameter 'site' is required")
        return sites


def spoilt(world: World, request: Request, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as the fault menu wants them: one missing, doubled, or with a value that no reader expects."""
    if not rows:
        return rows
    at = world.dice.randrange(len(rows))
    row = rows[at] = dict(rows[at])
    name = "reference" if "reference" in row else "externalReference"
    numbers = [number for number in NUMBERS if number in row]
    for word in request.faults:
        match word:
            case "sku_case":
                row[name] = str(row[name]).swapcase()
            case "unknown_state" if "state" in row:
                row["state"] = "awaiting_moonrise"
            case "fractional_quantity" if numbers:
                row["available"] = f"{row['available']}.5"
            case "huge_number" if numbers:
                row["available"] = "9" * 30
            case "duplicate_row":
                rows = [*rows, row]
            case "missing_row":
                rows = [other for other in rows if other is not row]
    return rows
