"""Two back offices told as one: what a warehouse run with OrderFlow does, in the words of the other's journal.

Rule: only the simulators' own records are read, and each row is told once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx2

from sellable.sandbox.shopper import Control

Row = Mapping[str, Any]
SENT = "despatched"
"""OrderFlow's word for units that leave with a shipment."""


class Both(Control):
    """The records of a back office and of a warehouse as those of one; acts are the back office's.

    `left` says by (order id, sku) which of the warehouse's references units have left under.
    """

    def __init__(self, http: httpx2.AsyncClient, url: str, house: Control) -> None:
        super().__init__(http, url)
        self.house = house
        self.left: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    async def get(self, name: str) -> Any:
        """`truth` of both; anything else is the back office's."""
        found = await super().get(name)
        return together(found, await self.house.get(name)) if name == "truth" else found

    async def news(self, page: int = 5000) -> list[dict[str, Any]]:
        """Rows of both journals since the last time this was asked."""
        told = [told for row in await self.house.news(page) for told in rows_of(row)]
        for row in told:
            if row["what"] == "shipped":
                self._left(row["external_id"], row["lines"])
        return [*await super().news(page), *told]

    def _left(self, reference: str, lines: Iterable[Row]) -> None:
        words = reference.split(":")
        for line in lines:
            self.left[words[1] if len(words) == 3 else "", line["sku"]][reference] += line["quantity"]


def rows_of(row: Row) -> Iterator[dict[str, Any]]:
    """A row of the warehouse's journal as rows of a back office's; none where it moves nothing that is sellable."""
    at = {"n": row["n"], "t": row["t"]}
    if row["what"] == "order_imported":
        sale = {"external_id": row["order"], "location": row["site"], "lines": row["lines"]}
        yield {**at, "what": "sale_authorised", **sale}
    elif row["what"] == "return_booked":
        yield {**at, "what": "came_back", "external_id": row["order"], "lines": row["lines"]}
    elif row["what"] == "stock" and ("allocated_delta" in row or row.get("kind") == "good"):
        yield {**at, **_stock(row)}
        if row["cause"] == SENT and row.get("delta"):
            lines = [{"sku": row["sku"], "quantity": -row["delta"]}]
            yield {**at, "what": "shipped", "external_id": row["order"], "lines": lines}


def _stock(row: Row) -> dict[str, Any]:
    """Units on a shelf, or promised. What leaves a shelf is the order's only where it leaves with a shipment: a picker
    who finds too few has lost them."""
    there, promised = int(row.get("delta", 0)), int(row.get("allocated_delta", 0))
    mine = "allocated_delta" in row or row["cause"] == SENT
    return {
        "what": "stock",
        "sku": row["sku"],
        "location": row["site"],
        "cause": "restock" if row["cause"] == "returned" else row["cause"],
        "delta": there - promised,
        "on_hand_delta": there,
        "allocated_delta": promised,
        "external_id": row.get("order") if mine else None,
    }


def together(office: Row, house: Row) -> dict[str, Any]:
    """Both truths as one."""
    levels = [
        {"sku": x["sku"], "location": x["site"], "on_hand": x["good"], "allocated": x["allocated"],
         "available": x["available"]}
        for x in house["stock"]
    ]  # fmt: skip
    came_back = [
        {"external_id": each["order"], "lines": each["lines"]} for each in house["returns"] if each["completed"]
    ]
    return {
        **office,
        "levels": [*office["levels"], *levels],
        "sales": [*office["sales"], *map(_sale, house["orders"])],
        "came_back": came_back,
    }


def _sale(order: Row) -> dict[str, Any]:
    """An order at the warehouse as a sale; one with nothing left of it is voided."""
    lines = [
        {"sku": line["sku"], "quantity": line["ordered"] - line["cancelled"], "shipped": line["despatched"]}
        for line in order["lines"]
    ]
    return {
        "external_id": order["reference"],
        "order_status": "VOIDED" if order["state"] == "cancelled" else "AUTHORISED",
        "location": order["shipments"][0]["site"],
        "lines": lines,
        "total": order["fields"]["totalPriceGross"],
    }
