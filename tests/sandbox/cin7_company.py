"""A small company and a caller for the Cin7 simulator's tests. Rule: time moves only when a test says so."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from sellable.sandbox.cin7 import build
from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox

START = 1_763_700_000.0
HEADERS = {"api-auth-accountid": "ACC-1", "api-auth-applicationkey": "KEY-1"}
SEED: dict[str, Any] = {
    "keys": [{"account": "acc-1", "key": "key-1"}, {"account": "acc-1", "key": "key-2"}],
    "me": {"Company": "Crunchy Ltd", "DefaultSaleTaxRuleName": "DE 19%"},
    "locations": [
        {"name": "Berlin", "bins": ["A1", "A2"], "staging": ["DOCK"]},
        {"name": "Hamburg", "bins": []},
    ],
    "tax_rules": [
        {"name": "DE 19%", "percent": 19},
        {"name": "DE 7%", "percent": 7},
        {"name": "DE 19% incl", "percent": 19, "inclusive": True},
    ],
    "customers": [
        {"name": "Web EUR", "currency": "EUR", "tax_rule": "DE 19%"},
        {"name": "Web CHF", "currency": "CHF", "tax_rule": "DE 19%"},
    ],
    "carriers": ["DHL"],
    "products": [
        {"sku": "CHAIR", "name": "Chair", "price": "30.00", "cost": 12},
        {"sku": "CHAIR-RED", "name": "Red chair", "price": "33.00", "cost": 13},
        {"sku": "TABLE", "name": "Table", "price": "100.00", "cost": 50},
        {"sku": "DINING-SET", "name": "Dining set", "price": "200.00", "bom": {"CHAIR": 4, "TABLE": 1}},
        {"sku": "SHIP", "name": "Shipping", "type": "Service"},
    ],
    "stock": [
        {"sku": "CHAIR", "location": "Berlin", "bin": "A1", "quantity": 6},
        {"sku": "CHAIR", "location": "Berlin", "bin": "A2", "quantity": 4},
        {"sku": "CHAIR", "location": "Hamburg", "bin": None, "quantity": 8},
        {"sku": "CHAIR-RED", "location": "Hamburg", "bin": None, "quantity": 2},
        {"sku": "TABLE", "location": "Berlin", "bin": "A1", "quantity": 2},
    ],
    "switches": {"unlimited": True},
}


class Company:
    """The simulator, its hand-moved clock and a client with credentials."""

    def __init__(self, *, post: Any = None, **switches: Any) -> None:
        self.real = START
        self.clock = Clock(start=START, origin=START, source=lambda: self.real)
        self.sandbox: Sandbox = build(self.clock, 7, post=post)
        self.sandbox.load(SEED | {"switches": SEED["switches"] | switches})
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.sandbox.asgi), base_url="http://cin7.test", headers=HEADERS
        )

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> httpx2.Response:
        return await self.http.request(method, f"/ExternalApi/v2/{path}", params=query, json=body)

    async def get(self, path: str, **query: Any) -> Any:
        return self._good(await self.call("GET", path, **query))

    async def post(self, path: str, **body: Any) -> Any:
        return self._good(await self.call("POST", path, body))

    async def put(self, path: str, **body: Any) -> Any:
        return self._good(await self.call("PUT", path, body))

    async def act(self, **action: Any) -> Any:
        answer = await self.http.post("/_sandbox/act", json=action)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    def _good(self, answer: httpx2.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def header(self, **fields: Any) -> str:
        """A new sale's id."""
        draft = {"Customer": "Web EUR", "Location": "Berlin", "SkipQuote": True, "TaxInclusive": False}
        return str((await self.post("sale", **(draft | fields)))["ID"])

    async def order(self, lines: dict[str, int], status: str = "AUTHORISED", **fields: Any) -> Any:
        """Header and order in two calls; the order's answer."""
        sale = await self.header(**fields)
        return await self.post("sale/order", SaleID=sale, Status=status, Lines=[line(s, q) for s, q in lines.items()])

    async def levels(self, sku: str, location: str = "Berlin") -> tuple[float, float, float]:
        """(on hand, allocated, available) over all rows of exactly this SKU at a location."""
        rows = (await self.get("ref/productavailability", Sku=sku, Location=location))["ProductAvailabilityList"]
        mine = [row for row in rows if row["SKU"] == sku]
        return tuple(sum(row[name] for row in mine) for name in ("OnHand", "Allocated", "Available"))

    def pass_time(self, seconds: float) -> None:
        self.real += seconds

    def journal(self, what: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.journal.since(0, 10**6) if row["what"] == what]


def line(sku: str, quantity: float, price: float = 10, **more: Any) -> dict[str, Any]:
    total = round(quantity * price, 4)
    return {"SKU": sku, "Quantity": quantity, "Price": price, "Total": total, "TaxRule": "DE 19%"} | more


def run(story: Callable[[Company], Awaitable[None]], **options: Any) -> Company:
    """Play a story with a fresh company; no call may have met a defect of the simulator."""

    async def play() -> Company:
        company = Company(**options)
        async with company.http:
            await story(company)
        await company.sandbox.vendor.stop()
        return company

    company = asyncio.run(play())
    assert company.journal("internal_error") == []
    return company
