"""Clients of the simulators' public doors: a shopper at the storefront, and the world around the back office.

Rule: what a real shop could not do through these doors is done nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2

from sellable.sandbox.shop import SECRET, SHOPPER_CLIENT, Shop, TaxRate

TRIES = 4
ADDRESSES = {
    "DE": ("Lindenallee 7", "10115", "Berlin"), "FR": ("12 rue des Lilas", "75011", "Paris"),
    "AT": ("Gartenweg 3", "1070", "Wien"), "GB": ("4 Mill Lane", "SW1A 1AA", "London"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BasketLine:
    """A line: gross unit price in cents where it is not the catalogue's."""

    sku: str
    quantity: int
    price_cents: int | None = None


@dataclass(frozen=True, kw_only=True)
class Extra:
    """A custom line: gross unit price in cents, which may be negative for a discount."""

    name: str
    quantity: int
    price_cents: int


@dataclass(frozen=True, kw_only=True)
class Basket:
    """What a shopper is about to order. Lines are kept apart even where they are equal."""

    number: str
    channel: str
    country: str
    lines: tuple[BasketLine, ...]
    extras: tuple[Extra, ...] = ()
    mode: str = "ReserveOnOrder"
    email: str = "shopper@example.com"


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An accepted order; `lines` maps line ids to (sku, quantity)."""

    id: str
    number: str
    channel: str
    lines: dict[str, tuple[str, int]]


class Refused(Exception):
    """The storefront said no; `code` is its word, such as OutOfStock, and `skus` are those it lacked."""

    def __init__(self, code: str, skus: Sequence[str] = ()) -> None:
        super().__init__(code)
        self.code, self.skus = code, tuple(skus)


class Storefront:
    """A shopper's side of the commercetools API. Raises Refused, or httpx2.HTTPError where there was no answer."""

    def __init__(self, http: httpx2.AsyncClient, url: str, shop: Shop) -> None:
        self._http, self._url, self._shop = http, url, shop
        self._token = ""
        self._channels: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._reduced = {item.sku for item in shop.items if item.reduced}

    async def order(self, basket: Basket) -> Placed:
        """Cart, then order; a stock refusal is Refused("OutOfStock")."""
        return await self.check_out(basket, await self.fill(basket))

    async def fill(self, basket: Basket) -> Any:
        """A cart; in mode ReserveOnCart it holds what it could get."""
        return await self._call("POST", "/carts", self._cart(basket))

    async def check_out(self, basket: Basket, cart: Any) -> Placed:
        """Order what is in a cart; a stock refusal is Refused("OutOfStock")."""
        reference = {"typeId": "cart", "id": cart["id"]}
        draft = {"cart": reference, "version": cart["version"], "orderNumber": basket.number}
        order = await self._call("POST", "/orders", draft)
        lines = {line["id"]: (line["variant"]["sku"], line["quantity"]) for line in order["lineItems"]}
        return Placed(id=order["id"], number=basket.number, channel=basket.channel, lines=lines)

    async def read(self, order_id: str) -> Any:
        """The order as it is now."""
        return await self._call("GET", f"/orders/{order_id}")

    async def cancel(self, order_id: str, *, unless_shipped: bool = True) -> bool:
        """Cancel an order; False when it has deliveries already (and `unless_shipped`)."""

        def actions(order: Any) -> list[dict[str, Any]]:
            shipped = bool((order.get("shippingInfo") or {}).get("deliveries"))
            return [] if shipped and unless_shipped else [{"action": "changeOrderState", "orderState": "Cancelled"}]

        return await self._change(order_id, actions)

    async def give_back(self, order_id: str, items: dict[str, int]) -> bool:
        """Announce a return of {line id: units} that has arrived; False when nothing of the order was delivered."""

        def actions(order: Any) -> list[dict[str, Any]]:
            if not (order.get("shippingInfo") or {}).get("deliveries"):
                return []
            back = [{"lineItemId": i, "quantity": n, "shipmentState": "Returned"} for i, n in items.items()]
            return [{"action": "addReturnInfo", "items": back}]

        return await self._change(order_id, actions)

    async def cancel_units(self, order_id: str, line: str, units: int, state: str) -> bool:
        """Move units of a line to a line item state by its key; False when so many are in no other state."""
        if state not in self._states:
            found = await self._call("GET", "/states", params={"where": f'key = "{state}"'})
            self._states[state] = found["results"][0]["id"]

        def actions(order: Any) -> list[dict[str, Any]]:
            parts = next(item["state"] for item in order["lineItems"] if item["id"] == line)
            others = (part for part in parts if part["state"]["id"] != self._states[state])
            found = next((part for part in others if part["quantity"] >= units), None)
            if found is None:
                return []
            target = {"typeId": "state", "key": state}
            return [{"action": "transitionLineItemState", "lineItemId": line, "quantity": units,
                     "fromState": found["state"], "toState": target}]  # fmt: skip

        return await self._change(order_id, actions)

    async def readdress(self, order_id: str, **changes: str) -> bool:
        """Change fields of the shipping address."""

        def actions(order: Any) -> list[dict[str, Any]]:
            return [{"action": "setShippingAddress", "address": order["shippingAddress"] | changes}]

        return await self._change(order_id, actions)

    async def available(self, sku: str, channel: str) -> int:
        """availableQuantity of the entry as shown, 0 without one."""
        if not self._channels:
            found = await self._call("GET", "/channels", params={"limit": "500"})
            self._channels = {row["key"]: row["id"] for row in found["results"]}
        where = f'sku = "{sku}" and supplyChannel(id = "{self._channels[channel]}")'
        rows = (await self._call("GET", "/inventory", params={"where": where}))["results"]
        return int(rows[0]["availableQuantity"]) if rows else 0

    async def _change(self, order_id: str, actions: Any) -> bool:
        """Read, decide and update; a version conflict means to read again."""
        for _ in range(TRIES):
            order = await self.read(order_id)
            wanted = actions(order)
            if not wanted:
                return False
            try:
                await self._call("POST", f"/orders/{order_id}", {"version": order["version"], "actions": wanted})
            except Refused as refused:
                if refused.code != "ConcurrentModification":
                    raise
                continue
            return True
        return False

    async def _call(self, method: str, path: str, body: Any = None, params: dict[str, str] | None = None) -> Any:
        for _ in range(2):
            if not self._token:
                await self._sign_in()
            headers = {"authorization": f"Bearer {self._token}"}
            url = f"{self._url}/{self._shop.project}{path}"
            answer = await self._http.request(method, url, json=body, params=params, headers=headers)
            if answer.status_code != 401:
                break
            self._token = ""
        if answer.is_success:
            return answer.json()
        raise _refusal(answer)

    async def _sign_in(self) -> None:
        form = {"grant_type": "client_credentials"}
        answer = await self._http.post(f"{self._url}/oauth/token", data=form, auth=(SHOPPER_CLIENT, SECRET))
        if not answer.is_success:
            raise _refusal(answer)
        self._token = answer.json()["access_token"]

    # --- the cart ----------------------------------------------------------------------------------------------------

    def _cart(self, basket: Basket) -> dict[str, Any]:
        """Baskets with two rates name them (tax mode External); the rest is taxed by the project's own category."""
        external = any(line.sku in self._reduced for line in basket.lines)
        street, code, city = ADDRESSES.get(basket.country, ("1 Main Street", "1000", "Town"))
        address = {
            "country": basket.country, "firstName": "Sam", "lastName": "Shopper", "streetName": street,
            "postalCode": code, "city": city, "email": basket.email,
        }  # fmt: skip
        standard = self._shop.rate(basket.country, reduced=False)
        cart = {
            "currency": self._shop.currency,
            "country": basket.country,
            "inventoryMode": basket.mode,
            "taxMode": "External" if external else "Platform",
            "customerEmail": basket.email,
            "shippingAddress": address,
            "billingAddress": address,
            "shippingMethod": {"typeId": "shipping-method", "key": "parcel"},
            "lineItems": [self._line(n, line, basket, external) for n, line in enumerate(basket.lines, 1)],
            "customLineItems": [self._extra(n, e, standard, external) for n, e in enumerate(basket.extras, 1)],
        }
        return cart | ({"externalTaxRateForShippingMethod": _external(standard)} if external else {})

    def _line(self, n: int, line: BasketLine, basket: Basket, external: bool) -> dict[str, Any]:
        draft: dict[str, Any] = {
            "key": f"line-{n}",
            "sku": line.sku,
            "quantity": line.quantity,
            "supplyChannel": {"typeId": "channel", "key": basket.channel},
        }
        if line.price_cents is not None:
            draft["externalPrice"] = {"currencyCode": self._shop.currency, "centAmount": line.price_cents}
        if external:
            draft["externalTaxRate"] = _external(self._shop.rate(basket.country, reduced=line.sku in self._reduced))
        return draft

    def _extra(self, n: int, extra: Extra, rate: TaxRate, external: bool) -> dict[str, Any]:
        draft = {
            "name": {"en": extra.name},
            "slug": f"extra-{n}",
            "quantity": extra.quantity,
            "money": {"currencyCode": self._shop.currency, "centAmount": extra.price_cents},
        }
        tax = {"externalTaxRate": _external(rate)} if external else {"taxCategory": {"key": "standard"}}
        return draft | tax


def _external(rate: TaxRate) -> dict[str, Any]:
    amount = float(Decimal(rate.fraction))
    return {"name": rate.name, "amount": amount, "country": rate.country, "includedInPrice": True}


def _refusal(answer: httpx2.Response) -> Refused:
    try:
        first = answer.json()["errors"][0]
        return Refused(str(first["code"]), first.get("skus", ()))
    except (ValueError, KeyError, IndexError, TypeError):
        return Refused(f"HTTP {answer.status_code}")


class Control:
    """A simulator's control routes: acts of the world outside, faults, journal and truth."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http, self.url = http, url
        self._read = 0

    async def act(self, **words: Any) -> Any:
        """One or more acts; raises ValueError with the simulator's sentence when one is impossible."""
        return (await self._post("act", words))["result"]

    async def load(self, seed: dict[str, Any]) -> None:
        """Add a seed to the world."""
        await self._post("load", seed)

    async def faults(self, faults: list[dict[str, Any]]) -> None:
        """Put these faults in force, and no others."""
        await self._post("faults", faults)

    async def get(self, name: str) -> Any:
        """`truth`, `stats`, `faults` or `health`."""
        answer = await self._http.get(f"{self.url}/_sandbox/{name}", timeout=60.0)
        answer.raise_for_status()
        return answer.json()

    async def news(self, page: int = 5000) -> list[dict[str, Any]]:
        """Journal rows since the last time this was asked."""
        found: list[dict[str, Any]] = []
        while True:
            rows = await self.get(f"journal?after={self._read}&limit={page}")
            self._read += len(rows)
            found += rows
            if len(rows) < page:
                return found

    async def _post(self, name: str, body: Any) -> Any:
        answer = await self._http.post(f"{self.url}/_sandbox/{name}", json=body, timeout=60.0)
        if answer.status_code == 400:
            raise ValueError(answer.json()["error"])
        answer.raise_for_status()
        return answer.json()
