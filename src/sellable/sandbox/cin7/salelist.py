"""GET /saleList over an index that may lag. Rule: it shows rows as last indexed, never the sales themselves."""

from collections.abc import Callable, Iterator
from typing import Any

from sellable.sandbox.cin7 import documents
from sellable.sandbox.cin7.state import Sale, World
from sellable.sandbox.cin7.wire import Listing, Request, moment

SEARCHED = ("OrderNumber", "Status", "Customer", "InvoiceNumber", "CustomerReference", "CreditNoteNumber")
# Filter names differ from field names (blueprint).
EXACT = {
    "quotestatus": "QuoteStatus",
    "orderstatus": "OrderStatus",
    "combinedpickstatus": "CombinedPickingStatus",
    "combinedpackstatus": "CombinedPackingStatus",
    "combinedshippingstatus": "CombinedShippingStatus",
    "combinedinvoicestatus": "CombinedInvoiceStatus",
    "creditnotestatus": "CreditNoteStatus",
    "status": "Status",
    "orderlocationid": "OrderLocationID",
    "shipby": "ShipBy",
}


class SaleIndex:
    """Rows of saleList by sale id, in the order of their last change, and by ExternalID."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: dict[str, tuple[Sale, float, dict[str, Any]]] = {}
        self._by_external: dict[str, dict[str, None]] = {}
        self._lag_max = 0.0
        world.on_touch.append(self.heard)

    def heard(self, sale: Sale) -> None:
        """A sale changed; the index learns of it now or after the lag."""
        lag = self._world.switches.search_lag_seconds
        self._lag_max = max(self._lag_max, lag)
        if lag:
            self._world.agenda.after(lag, lambda: self._put(sale))
        else:
            self._put(sale)

    def _put(self, sale: Sale) -> None:
        old = self._rows.pop(sale.id, None)
        if old is not None:
            self._by_external.get(str(old[2]["ExternalID"] or ""), {}).pop(sale.id, None)
        row = documents.row(self._world, sale)
        self._rows[sale.id] = sale, sale.updated, row
        self._by_external.setdefault(str(row["ExternalID"] or ""), {})[sale.id] = None

    def listing(self, request: Request) -> Listing:
        """Newest order number first (order undocumented: a guess, so rows shift while pages are walked)."""
        query = request.query
        tests = list(_tests(query))
        found = [pair for pair in self._candidates(query) if all(test(*pair) for test in tests)]
        found.sort(key=lambda pair: (len(pair[0].number), pair[0].number), reverse=True)
        return Listing("SaleList", [row for _, row in found])

    def _candidates(self, query: dict[str, str]) -> list[tuple[Sale, dict[str, Any]]]:
        """ExternalID is exact; UpdatedSince and UpdatedUntil are UTC and inclusive (guess)."""
        if query.get("externalid"):
            held = self._by_external.get(query["externalid"], {})
            return [(self._rows[sale_id][0], self._rows[sale_id][2]) for sale_id in held]
        since = moment(query["updatedsince"], "UpdatedSince") if query.get("updatedsince") else float("-inf")
        until = moment(query["updateduntil"], "UpdatedUntil") if query.get("updateduntil") else float("inf")
        found = []
        for sale, updated, row in reversed(self._rows.values()):
            if updated + self._lag_max < since:
                break  # rows lie in order of indexing, at most a lag after their change: no newer one further back
            if since <= updated <= until:
                found.append((sale, row))
        return found


Test = Callable[[Sale, dict[str, Any]], bool]


def _tests(query: dict[str, str]) -> Iterator[Test]:
    """One test per filter that the query names."""
    if query.get("createdsince"):
        since = moment(query["createdsince"], "CreatedSince")
        yield lambda sale, row: sale.created >= since
    for name, field in EXACT.items():
        if query.get(name):
            yield _equals(field, query[name].lower())
    if query.get("readyforshipping"):
        wanted_ready = query["readyforshipping"].lower() == "true"
        yield lambda sale, row: _ready(row) == wanted_ready
    needle = query.get("search", "").lower()
    if needle:
        yield lambda sale, row: any(needle in str(row[field] or "").lower() for field in SEARCHED)


def _equals(field: str, wanted: str) -> Test:
    return lambda sale, row: str(row[field] or "").lower() == wanted


def _ready(row: dict[str, Any]) -> bool:
    return bool(row["CombinedPackingStatus"] == "PACKED" and row["CombinedShippingStatus"] == "NOT SHIPPED")
