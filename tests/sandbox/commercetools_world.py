"""A loaded commercetools simulator with a clock that only the test moves, and short words for its calls."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

from sellable.sandbox.clock import Clock
from sellable.sandbox.commercetools import Commercetools, build
from sellable.sandbox.control import Sandbox

SEED: dict[str, Any] = {
    "project": "shop",
    "clients": [
        {"id": "ours", "secret": "s3cret", "scopes": ["manage_project"]},
        {"id": "reader", "secret": "r", "scopes": ["view_products", "view_orders"]},
    ],
    "currency": "EUR",
    "country": "DE",
    "channels": [
        {"key": "web", "roles": ["InventorySupply", "ProductDistribution"], "name": "Web"},
        {"key": "store", "roles": ["InventorySupply"], "name": "Store"},
        {"key": "erp", "roles": ["OrderExport"], "name": "ERP"},
    ],
    "tax_category": {"rates": [{"name": "19 %", "amount": 0.19, "includedInPrice": True, "country": "DE"}]},
    "products": [
        {"key": "armchair", "name": "Armchair", "variants": [{"sku": "ARMCHAIR", "price_cents": 11900}]},
        {"key": "table", "name": "Table", "variants": [{"sku": "TABLE", "price_cents": 999}]},
        {"key": "set", "name": "Set", "variants": [{"sku": "SET", "price_cents": 20000}],
         "bundle": {"ARMCHAIR": 2, "TABLE": 1}},
    ],
    "inventory": [
        {"sku": "ARMCHAIR", "channel": "web", "quantity": 10},
        {"sku": "ARMCHAIR", "channel": None, "quantity": 3},
        {"sku": "TABLE", "channel": "web", "quantity": 5},
    ],
    "shipping_method": {"key": "parcel", "name": "Parcel", "price_cents": 490},
    "types": [
        {"key": "sync", "name": {"en": "Sync"}, "resourceTypeIds": ["inventory-entry", "order"],
         "fieldDefinitions": [{"name": "lastOp", "type": {"name": "String"}, "label": {}, "required": False}]},
    ],
    "states": [{"key": "cancelled", "type": "LineItemState"}, {"key": "picked", "type": "OrderState"}],
    "messages_enabled": True,
    "switches": {"order_lag_seconds": 0, "reservation_expiry_late_seconds": 0},
}  # fmt: skip


class Hands:
    """Real seconds that only the test moves."""

    def __init__(self) -> None:
        self.at = 1_763_712_000.0

    def __call__(self) -> float:
        return self.at


class World:
    """A loaded simulator, a client with a token, and its clock."""

    def __init__(self, **switches: Any) -> None:
        self.hands = Hands()
        self.box: Sandbox = build(Clock(source=self.hands), 5)
        self.box.load({**SEED, "switches": {**SEED["switches"], **switches}})
        assert isinstance(self.box.vendor, Commercetools)
        self.vendor = self.box.vendor
        transport = httpx2.ASGITransport(app=self.box.asgi)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://ct")

    async def sign_in(self, identity: str = "ours", secret: str = "s3cret") -> None:
        form = {"grant_type": "client_credentials"}
        answer = await self.http.post("/oauth/token", auth=(identity, secret), data=form)
        self.http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 0, **query: Any) -> Any:
        answer = await self.http.request(method, f"/shop{path}", json=body, params=query or None)
        assert answer.status_code == status if status else answer.is_success, answer.text
        return answer.json()

    async def entry(self, sku: str = "ARMCHAIR", channel: str | None = "web") -> Any:
        found = await self.call("GET", "/inventory", where=f'sku = "{sku}"')
        wanted = None if channel is None else self.channel(channel)
        return next(e for e in found["results"] if e.get("supplyChannel", {}).get("id") == wanted)

    def channel(self, key: str) -> str:
        return str(self.vendor.shops["shop"].project.others["channel"].by_key(key)["id"])

    async def change(self, doc: Any, *actions: Any, path: str = "/inventory", status: int = 200) -> Any:
        return await self.call(
            "POST", f"{path}/{doc['id']}", {"version": doc["version"], "actions": list(actions)}, status=status
        )

    async def cart(
        self, *lines: tuple[str, int], mode: str = "ReserveOnOrder", channel: str = "web", **more: Any
    ) -> Any:
        supply = {"typeId": "channel", "key": channel}
        items = [{"sku": sku, "quantity": quantity, "supplyChannel": supply} for sku, quantity in lines]
        draft = {"currency": "EUR", "country": "DE", "inventoryMode": mode, "shippingAddress": {"country": "DE"},
                 "shippingMethod": {"key": "parcel"}, "lineItems": items, **more}  # fmt: skip
        return await self.call("POST", "/carts", draft, status=201)

    async def order(self, cart: Any, *, status: int = 201, **more: Any) -> Any:
        reference = {"typeId": "cart", "id": cart["id"]}
        return await self.call(
            "POST", "/orders", {"cart": reference, "version": cart["version"], **more}, status=status
        )

    def journal(self, what: str) -> list[dict[str, Any]]:
        return [row for row in self.box.journal.since(0, 10_000) if row["what"] == what]

    async def messages(self, **query: Any) -> list[Any]:
        found: list[Any] = (await self.call("GET", "/messages", sort="createdAt asc", limit=500, **query))["results"]
        return found


def story(act: Callable[[World], Awaitable[None]], **switches: Any) -> None:
    async def run() -> None:
        world = World(**switches)
        async with world.http:
            await world.sign_in()
            await act(world)
        await world.vendor.stop()

    asyncio.run(run())


def code(body: Any) -> str:
    return str(body["errors"][0]["code"])
