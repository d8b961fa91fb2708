"""The whole product in one process: both simulators behind the network, a real database, an accelerated clock.

Rule: a test waits for a condition of the simulated world or of the book, never for time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx2
import msgspec

from sellable.app.service import Service, assemble
from sellable.book import book
from sellable.config.settings import Settings
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.queries import Query
from sellable.sandbox import cin7, commercetools
from sellable.sandbox.clock import Clock as SandboxClock

CT, CIN7 = "http://ct.test", "http://cin7.test"
SPEED = 60.0
SWEEPS = Query(package="test", name="sweeps", purpose="test", text="SELECT count(*) FROM sweep")
CHANNELS = {"web-eu": "eu", "web-uk": "uk"}
SHOP: dict[str, Any] = {
    "project": "shop",
    "clients": [{"id": "ours", "secret": "s3cret", "scopes": ["manage_project"]}],
    "currency": "EUR",
    "country": "DE",
    "channels": [
        {"key": "web-eu", "roles": ["InventorySupply", "ProductDistribution"], "name": "EU"},
        {"key": "web-uk", "roles": ["InventorySupply", "ProductDistribution"], "name": "UK"},
        {"key": "sellable-export", "roles": ["OrderExport"], "name": "Back office"},
    ],
    "tax_category": {"rates": [{"name": "19 %", "amount": 0.19, "includedInPrice": True, "country": "DE"}]},
    "products": [
        {"key": "armchair", "name": "Armchair", "variants": [{"sku": "ARMCHAIR", "price_cents": 11900}]},
        {"key": "table", "name": "Table", "variants": [{"sku": "TABLE", "price_cents": 999}]},
        {"key": "set", "name": "Set", "variants": [{"sku": "SET", "price_cents": 20000}]},
        {"key": "ghost", "name": "Ghost", "variants": [{"sku": "GHOST", "price_cents": 500}]},
    ],
    "inventory": [
        {"sku": sku, "channel": channel, "quantity": 0}
        for sku in ("ARMCHAIR", "TABLE", "SET", "GHOST")
        for channel in CHANNELS
    ],
    "types": [
        {
            "key": "sellable-stock",
            "name": {"en": "Stock"},
            "resourceTypeIds": ["inventory-entry"],
            "fieldDefinitions": [{"name": "lastOp", "type": {"name": "String"}, "label": {}, "required": False}],
        }
    ],
    "shipping_method": {"key": "parcel", "name": "Parcel", "price_cents": 490},
    "messages_enabled": True,
    "switches": {"order_lag_seconds": 5, "message_visible_lag_seconds": 1},
}
COMPANY: dict[str, Any] = {
    "keys": [{"account": "acc", "key": "key-orders"}, {"account": "acc", "key": "key-reads"}],
    "me": {"Company": "Crunchy Ltd", "DefaultSaleTaxRuleName": "DE 19%"},
    "locations": [{"name": "Berlin", "bins": ["A1", "RETURNS"]}, {"name": "Hamburg", "bins": []}],
    "tax_rules": [{"name": "DE 19%", "percent": 19, "inclusive": True}],
    "customers": [{"name": "Web EUR", "currency": "EUR", "tax_rule": "DE 19%"}],
    "carriers": ["DHL"],
    "products": [
        {"sku": "ARMCHAIR", "name": "Armchair", "price": "100.00", "cost": 50},
        {"sku": "TABLE", "name": "Table", "price": "8.39", "cost": 5},
        {"sku": "SET", "name": "Set", "price": "168.00", "bom": {"ARMCHAIR": 2, "TABLE": 1}},
        {"sku": "Shipping", "name": "Shipping", "type": "Service"},
        {"sku": "Custom charge", "name": "Custom charge", "type": "Service"},
        {"sku": "Discount", "name": "Discount", "type": "Service"},
    ],
    "stock": [
        {"sku": "ARMCHAIR", "location": "Berlin", "bin": "A1", "quantity": 10},
        {"sku": "ARMCHAIR", "location": "Berlin", "bin": "RETURNS", "quantity": 3},
        {"sku": "ARMCHAIR", "location": "Hamburg", "bin": None, "quantity": 4},
        {"sku": "TABLE", "location": "Berlin", "bin": "A1", "quantity": 6},
    ],
    "switches": {"search_lag_seconds": 3, "availability_lag_seconds": 1, "tax_places": 2},
}


NO_BRAKE = {"brake_keys_percent": 100, "brake_units_percent": 100}


def settings_of(start: datetime, **changes: Any) -> Settings:
    """Settings for the small shop; `changes` replace whole sections."""
    document: dict[str, Any] = {
        "orders": {"start_at": start, "adopt_minutes_after_birth": 0},
        "commercetools": {
            "project": "shop", "client_id": "ours", "client_secret": "s3cret", "restocks_on_cancel": "unknown",
            "api_url": CT, "auth_url": CT, "insecure": True, "order_sweep_seconds": 20, "trail_poll_seconds": 20,
        },
        "cin7_core": {
            "account_id": "acc", "key": "key-orders", "read_key": "key-reads", "insecure": True,
            "base_url": f"{CIN7}/ExternalApi/v2/", "sweep_seconds": 60, "sales_poll_seconds": 30,
            "visibility_lag_seconds": 2, "search_settle_seconds": 5,
        },
        "locations": [
            {"name": "Berlin", "master": "cin7_core", "remote": "Berlin"},
            {"name": "Hamburg", "master": "cin7_core", "remote": "Hamburg"},
        ],
        "states": [
            {"location": "Berlin", "bin": "*", "state": "available"},
            {"location": "Berlin", "bin": "RETURNS", "state": "inspection"},
            {"location": "Hamburg", "bin": "*", "state": "available"},
        ],
        "pools": [{"name": "eu", "locations": ["Berlin", "Hamburg"]}, {"name": "uk", "locations": ["Berlin"]}],
        "channels": [{"key": key, "pool": pool, **NO_BRAKE} for key, pool in CHANNELS.items()],
        "customers": [{"customer": "Web EUR", "currency": "EUR"}],
        "taxes": [{"rate": "0.19", "rule": "DE 19%"}],
        "owners": [{"kind": "*", "owner": "ops"}],
        "carriers": {"Parcel": "DHL"},
    }  # fmt: skip
    for section, change in changes.items():
        if change is None:
            del document[section]
            continue
        document[section] = {**document.get(section, {}), **change} if isinstance(change, dict) else change
    return msgspec.convert(document, Settings)


class Detached(httpx2.ASGITransport):
    """A vendor does not stop what it is doing because the caller stopped waiting."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = asyncio.create_task(super().handle_async_request(request))
        call.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(call)


class World:
    """Both vendors, the database and one running service."""

    def __init__(
        self,
        store: Store,
        *,
        ct: dict[str, Any] | None = None,
        company: dict[str, Any] | None = None,
        seeds: tuple[dict[str, Any], dict[str, Any]] = (SHOP, COMPANY),
    ) -> None:
        origin = time.time()
        self.time = text = f"speed={SPEED},origin={origin},start={origin}"
        self.clock = Clock.parse(text)
        self.start = self.clock.now() - timedelta(seconds=30)
        self.shop = commercetools.build(SandboxClock.parse(text), 7)
        self.company = cin7.build(SandboxClock.parse(text), 7)
        for vendor, seed, changes in ((self.shop, seeds[0], ct), (self.company, seeds[1], company)):
            vendor.load({**seed, "switches": {**seed["switches"], **(changes or {})}})
        self.store = Store(store.url, self.clock, threads=4, seal=store.seal)
        mounts = {
            CT: Detached(self.shop.asgi),
            CIN7: Detached(self.company.asgi),
        }
        self._mounts = mounts
        self.http = httpx2.AsyncClient(mounts=mounts)
        self.service: Service

    def serve(self, **changes: Any) -> Service:
        """A new process, in effect: nothing of a former one is kept but the database."""
        client = httpx2.AsyncClient(mounts=self._mounts)
        store = Store(self.store.url, self.clock, threads=4, seal=self.store.seal)
        self.service = assemble(
            settings_of(self.start, **changes), store, self.clock, client=client, owner=f"test:{time.time_ns()}"
        )
        return self.service

    # --- The shopper ---

    async def sign_in(self) -> None:
        answer = await self.http.post(
            f"{CT}/oauth/token", auth=("ours", "s3cret"), data={"grant_type": "client_credentials"}
        )
        self.http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"

    async def ct(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.http.request(method, f"{CT}/shop{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def buy(
        self, lines: dict[str, int], channel: str = "web-eu", mode: str = "ReserveOnOrder", **cart_fields: Any
    ) -> Any:
        """An order through cart and checkout; raises AssertionError when the storefront refuses."""
        found = await self.ct("GET", f'/channels?where=key="{channel}"')
        supply = {"typeId": "channel", "id": found["results"][0]["id"]}
        address = {"country": "DE", "firstName": "Ada", "lastName": "L", "streetName": "Weg", "streetNumber": "1",
                   "postalCode": "10115", "city": "Berlin", "email": "ada@example.com"}  # fmt: skip
        cart = await self.ct(
            "POST",
            "/carts",
            {
                "currency": "EUR", "country": "DE", "inventoryMode": mode, "customerEmail": "ada@example.com",
                "shippingAddress": address, "billingAddress": address,
                "shippingMethod": {"typeId": "shipping-method", "key": "parcel"},
                "lineItems": [{"sku": sku, "quantity": n, "supplyChannel": supply} for sku, n in lines.items()],
                **cart_fields,
            },
        )  # fmt: skip
        number = f"N-{time.time_ns()}"
        draft = {"cart": {"typeId": "cart", "id": cart["id"]}, "version": cart["version"], "orderNumber": number}
        return await self.ct("POST", "/orders", draft)

    async def cancel(self, order_id: str) -> None:
        """The shopper cancels; the order may move on under their hands, then they look and try again."""
        actions = [{"action": "changeOrderState", "orderState": "Cancelled"}]
        for _ in range(20):
            fresh = await self.ct("GET", f"/orders/{order_id}")
            body = {"version": fresh["version"], "actions": actions}
            answer = await self.http.post(f"{CT}/shop/orders/{order_id}", json=body)
            if answer.status_code != 409:
                assert answer.is_success, answer.text
                return
        raise AssertionError(f"order {order_id} never stands still")

    async def shown(self, sku: str, channel: str = "web-eu") -> int:
        """What the storefront shows now."""
        body = await self.ct("GET", f'/inventory?where=sku="{sku}"&expand=supplyChannel&limit=50')
        channels = {c["id"]: c["key"] for c in (await self.ct("GET", "/channels?limit=50"))["results"]}
        for entry in body["results"]:
            if channels.get(entry.get("supplyChannel", {}).get("id")) == channel:
                return int(entry["quantityOnStock"])
        raise LookupError((sku, channel))

    async def act(self, **action: Any) -> Any:
        """Something in the world outside, at the back office."""
        answer = await self.http.post(f"{CIN7}/_sandbox/act", json=action)
        assert answer.status_code == 200, answer.text
        return answer.json().get("result")

    async def faults(self, base: str, faults: list[dict[str, Any]]) -> None:
        answer = await self.http.post(f"{base}/_sandbox/faults", json=faults)
        assert answer.is_success, answer.text

    async def sales(self) -> list[Any]:
        """Sales at the back office, as they are."""
        return list((await self.http.get(f"{CIN7}/_sandbox/truth")).json()["sales"])

    # --- Waiting ---

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 25.0) -> Any:
        """The condition's first true value, looked at every few milliseconds; fails with what it waited for."""
        end = time.monotonic() + seconds
        last: Any = None
        while time.monotonic() < end:
            last = await condition()
            if last:
                return last
            await asyncio.sleep(0.03)
        raise AssertionError(f"did not happen in {seconds} s: {what}; last {last!r}; {await self.tell()}")

    async def throughout_sweeps(self, sweeps: int, holds: Callable[[], Awaitable[Any]], what: str) -> None:
        """The condition is true at every look while the back office's stock is walked whole this many times."""
        begun = await self.store.read(lambda tx: tx.value(SWEEPS))

        async def walked() -> bool:
            assert await holds(), f"{what}; {await self.tell()}"
            # The one under way began before, and the newest is not whole yet.
            return await self.store.read(lambda tx: tx.value(SWEEPS)) > begun + sweeps

        await self.until(walked, f"{sweeps} more sweeps")

    async def until_shown(self, **numbers: int) -> None:
        """Until the storefront shows these numbers; names are SKU__channel with _ for -."""
        wanted = {tuple(k.split("__")): v for k, v in numbers.items()}

        async def right() -> bool:
            return all([await self.shown(sku, ch.replace("_", "-")) == v for (sku, ch), v in wanted.items()])

        try:
            await self.until(right, f"storefront shows {numbers}")
        except AssertionError as error:
            now = {f"{s}/{c}": await self.shown(s, c.replace("_", "-")) for s, c in wanted}
            raise AssertionError(f"{error}; shows {now}") from None

    async def stage(self, order_id: str) -> str:
        rows = await self.store.read(lambda tx: tx.all(book.sql.find_orders, key=order_id))
        return str(rows[0].stage) if rows else ""

    async def until_stage(self, order_id: str, stage: str) -> None:
        async def there() -> bool:
            return await self.stage(order_id) == stage

        await self.until(there, f"order is {stage}")

    async def tell(self) -> str:
        status = await self.service.overview()
        return str({k: status[k] for k in ("orders", "differences", "operations", "cases", "inbox", "feeds")})


def run(story: Callable[[World], Awaitable[None]], store: Store, *, start: bool = True, **options: Any) -> None:
    """Plays a story against a fresh world; the service is stopped cleanly whatever happens."""
    changes = options.pop("settings", {})

    async def play() -> None:
        world = World(store, **options)
        service = world.serve(**changes)
        try:
            await world.sign_in()
            if start:
                await service.start()
            await story(world)
        finally:
            if hasattr(world.service, "loops"):
                await world.service.stop()
            world.store.close()
            await world.http.aclose()
            await world.company.vendor.stop()

    asyncio.run(play())
