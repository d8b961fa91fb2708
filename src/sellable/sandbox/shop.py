"""One made-up shop told to the simulators and to the product: what it sells, where it lies, who sells from where.

Rule: the tellings come from one value, so they can only disagree where a history makes them disagree.
"""

import base64
import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SHELF, INSPECTION = "SHELF", "INSPECTION"
SHIPPING_METHOD, CARRIER = "Parcel", "DHL"
SERVICES = ("Shipping", "Custom charge", "Discount")
SERVICE_CLIENT, SHOPPER_CLIENT = "sellable", "storefront"
ACCOUNT, ORDER_KEY, READ_KEY = "a0000000-demo", "k0000000-orders", "k0000000-reads"
ORGANISATION = "sandbox-home"
SECRET = "demo-secret"  # noqa: S105 - it opens nothing but a simulator


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something sold. `price_cents` is gross, in the shop's currency; `recipe` is component -> pieces of a bundle.

    `known_as` is how the back office spells it, where that is another way: then both spellings are the same goods.
    """

    sku: str
    name: str
    price_cents: int
    reduced: bool = False
    recipe: Mapping[str, int] = field(default_factory=dict)
    known_as: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A location: `name` is the product's word, `remote` the back office's. Goods are sold off the SHELF bin.

    With `inspects` it has an INSPECTION bin, which the back office excludes itself (a staging bin). A place that is not
    `sellable` holds goods the back office calls available and only our own configuration knows to be unsellable. A
    `house` is run with OrderFlow, all others with the back office.
    """

    name: str
    remote: str
    ships: bool = True
    counter: bool = False
    inspects: bool = True
    sellable: bool = True
    house: bool = False


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where lines go: those of these SKUs, as the storefront spells them, and channels; empty means any."""

    name: str
    house: bool
    skus: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SalesChannel:
    """A supply channel on a pool of places. `modes` are inventory modes with weights, as the storefront sets them."""

    key: str
    name: str
    pool: str
    places: tuple[str, ...]
    countries: tuple[str, ...]
    buffer: int = 0
    cap: int | None = None
    weight: float = 1.0
    modes: tuple[tuple[str, float], ...] = (("ReserveOnOrder", 1.0),)


@dataclass(frozen=True, kw_only=True)
class TaxRate:
    """A tax of a country, `percent` included in prices; `rule` is its name at the back office."""

    country: str
    name: str
    percent: int
    rule: str
    reduced: bool = False

    @property
    def fraction(self) -> str:
        return f"{self.percent / 100:.2f}"


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The shop. `stock` is (sku, place, bin, units); `held_back` is units of a SKU kept off every channel."""

    project: str
    currency: str
    items: tuple[Item, ...]
    places: tuple[Place, ...]
    channels: tuple[SalesChannel, ...]
    taxes: tuple[TaxRate, ...]
    stock: tuple[tuple[str, str, str, int], ...]
    held_back: Mapping[str, int] = field(default_factory=dict)
    shipping_cents: int = 495
    restocks_on_cancel: bool = False
    routes: tuple[Route, ...] = ()

    @classmethod
    def demo(cls, seed: int = 1, skus: int = 2000, bundles: int = 40) -> "Shop":
        """Home ware: two warehouses, a shop with a counter, a returns centre, three channels, many scarce SKUs."""
        from sellable.sandbox.assortment import demo

        return demo(seed, skus, bundles)

    @property
    def recipes(self) -> dict[str, dict[str, int]]:
        """Bundle, or other spelling, -> component -> pieces."""
        return {item.sku: dict(item.recipe) for item in self.items if item.recipe} | {
            item.sku: {item.known_as: 1} for item in self.items if item.known_as
        }

    @property
    def pools(self) -> dict[str, tuple[str, ...]]:
        """Channel -> the back office's names of the places whose stock it may really sell."""
        places = {place.name: place for place in self.places}
        return {
            channel.key: tuple(places[name].remote for name in channel.places if places[name].sellable)
            for channel in self.channels
        }

    def rate(self, country: str, *, reduced: bool) -> TaxRate:
        """The country's rate of this kind, the standard one where it has no reduced one. Raises StopIteration."""
        mine = [tax for tax in self.taxes if tax.country == country]
        return next((tax for tax in mine if tax.reduced == reduced), mine[0])

    # --- the storefront ----------------------------------------------------------------------------------------------

    def commercetools(self) -> dict[str, Any]:
        """The storefront simulator's seed. Every entry starts at 0: raising them is the product's first job.

        It is a project on which `sellable setup` has been run already.
        """
        channels = [
            {"key": c.key, "name": c.name, "roles": ["InventorySupply", "ProductDistribution"]} for c in self.channels
        ]
        clients = [{"id": name, "secret": SECRET, "scopes": ["manage_project"]} for name in
                   (SERVICE_CLIENT, SHOPPER_CLIENT)]  # fmt: skip
        return {
            "project": self.project,
            "clients": clients,
            "currency": self.currency,
            "country": self.taxes[0].country,
            "channels": [*channels, {"key": "sellable-export", "name": "Exports", "roles": ["OrderExport"]}],
            "tax_category": {"rates": [self._rate(tax) for tax in self.taxes if not tax.reduced]},
            "products": [self._product(item) for item in self.items],
            "inventory": [{"sku": i.sku, "channel": c.key, "quantity": 0} for c in self.channels for i in self.items],
            "shipping_method": {"key": "parcel", "name": SHIPPING_METHOD, "price_cents": self.shipping_cents},
            "types": [STOCK_TYPE],
            "states": [{"key": key, "type": "LineItemState"} for key in LINE_STATES],
            "messages_enabled": True,
            "switches": {"restocks_on_cancel": self.restocks_on_cancel},
        }

    @staticmethod
    def _rate(tax: TaxRate) -> dict[str, Any]:
        return {"name": tax.name, "amount": tax.fraction, "includedInPrice": True, "country": tax.country}

    @staticmethod
    def _product(item: Item) -> dict[str, Any]:
        # Keys and slugs allow fewer letters than SKUs, and two spellings of a SKU are two products.
        plain = "".join(c if c.isalnum() else "-" for c in item.sku)
        variant = {"sku": item.sku, "price_cents": item.price_cents}
        product = {"key": f"p-{plain}", "name": item.name, "variants": [variant]}
        return product | ({"bundle": dict(item.recipe)} if item.recipe else {})

    # --- the back office ---------------------------------------------------------------------------------------------

    def cin7(self, *, staff: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The back office simulator's seed; `staff` are the habits of its warehouse."""
        place = {p.name: p for p in self.places if not p.house}
        goods = [self._card(item) for item in self.items if not item.known_as]
        services = [{"sku": f"SERVICE-{n}", "name": name, "type": "Service"} for n, name in enumerate(SERVICES, 1)]
        return {
            "keys": [{"account": ACCOUNT, "key": key} for key in (ORDER_KEY, READ_KEY)],
            "me": {"Company": "Sandbox Home", "Currency": self.currency},
            "locations": [
                {"name": p.remote, "bins": [SHELF], "staging": [INSPECTION] if p.inspects else []}
                for p in place.values()
            ],
            "tax_rules": [{"name": t.rule, "percent": t.percent, "inclusive": True} for t in self.taxes],
            "customers": [
                {"name": f"Web {currency}", "currency": currency, "tax_rule": self.taxes[0].rule}
                for currency in dict.fromkeys((self.currency, "EUR", "GBP"))
            ],
            "carriers": [CARRIER],
            "products": [*goods, *services],
            "stock": [
                {"sku": sku, "location": place[name].remote, "bin": bin_name, "quantity": units}
                for sku, name, bin_name, units in self.stock
                if name in place
            ],
            "warehouse": dict(staff or {"auto": False}),
            # This account keeps each row's tax as posted; one that recomputes it differs by cents on split rows.
            "switches": {"posted_tax": "kept"},
        }

    def _card(self, item: Item) -> dict[str, Any]:
        price = f"{item.price_cents // 100}.{item.price_cents % 100:02d}"
        card = {"sku": item.sku, "name": item.name, "price": price, "tax_rule": self.taxes[0].rule}
        return card | ({"bom": dict(item.recipe)} if item.recipe else {"cost": max(item.price_cents // 250, 1)})

    # --- the warehouse -----------------------------------------------------------------------------------------------

    def orderflow(self, *, staff: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The warehouse simulator's seed: a site for each place, a sales channel for each channel, one organisation.

        Every channel may ship from every site; without a word on it, from the first place of its pool that ships.
        """
        place = {p.name: p for p in self.places}
        first = {c.key: next(place[name].remote for name in c.places if place[name].ships) for c in self.channels}
        return {
            "users": [{"user": SERVICE_CLIENT, "password": SECRET}],
            "sites": [p.remote for p in self.places],
            "channels": [
                {"reference": c.key, "organisation": ORGANISATION, "site": first[c.key]} for c in self.channels
            ],
            "products": [
                {"reference": item.sku, "type": "bundle" if item.recipe else "default"}
                for item in self.items
                if not item.known_as
            ],
            "stock": [
                {
                    "sku": sku,
                    "site": place[name].remote,
                    "kind": "inspection" if bin_name == INSPECTION else "good",
                    "quantity": units,
                }
                for sku, name, bin_name, units in self.stock
            ],
            "warehouse": dict(staff or {"auto": False}),
        }

    def house(self, *, staff: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The warehouse simulator's seed for a warehouse beside the back office: the houses, and what lies there."""
        houses = {p.name: p.remote for p in self.places if p.house}
        mine = {sku for sku, name, _, _ in self.stock if name in houses}
        return {
            "users": [{"user": SERVICE_CLIENT, "password": SECRET}],
            "sites": list(houses.values()),
            "channels": [
                {"reference": self.project, "organisation": ORGANISATION, "site": next(iter(houses.values()))}
            ],
            "products": [{"reference": sku, "type": "default"} for sku in sorted(mine)],
            "stock": [
                {"sku": sku, "site": houses[name], "quantity": units}
                for sku, name, _, units in self.stock
                if name in houses
            ],
            "warehouse": dict(staff or {"auto": False}),
            "switches": {"inventory_push": "off"},
        }

    # --- the product -------------------------------------------------------------------------------------------------

    def settings_toml(
        self,
        ct_url: str,
        cin7_url: str,
        data_dir: str,
        database_url: str,
        *,
        start_at: str,
        listen: str = "127.0.0.1:0",
        tempo: Mapping[str, Any] | None = None,
        payload_key: str = "",
        house_url: str = "",
    ) -> str:
        """A whole sellable.toml. `start_at` is an ISO instant with zone; `tempo` are more [cin7_core] settings.
        `house_url` is needed where a place is run with OrderFlow.

        Without `payload_key` a new one stands in it.
        """
        from sellable.sandbox.settings_file import settings_toml

        payload_key = payload_key or base64.b64encode(os.urandom(32)).decode()
        where = {"ct_url": ct_url, "cin7_url": cin7_url, "data_dir": data_dir, "database_url": database_url}
        where |= {"payload_key": payload_key, "house_url": house_url}
        return settings_toml(self, where, start_at=start_at, listen=listen, tempo=tempo or {})


CANCELLED = "Cancelled"
LINE_STATES = ("Allocated", "Picked", "Shipped", CANCELLED)
STOCK_TYPE = {
    "key": "sellable-stock",
    "name": {"en": "Stock kept by sellable"},
    "resourceTypeIds": ["inventory-entry"],
    "fieldDefinitions": [
        {"name": "lastOp", "type": {"name": "String"}, "label": {"en": "Last operation"}, "required": False}
    ],
}


def toml(value: Any) -> str:
    """A string, number, boolean or list of them as TOML (JSON's forms of these are TOML too)."""
    return json.dumps(value, ensure_ascii=False)


def dice(seed: int, purpose: str) -> random.Random:
    """A die for one purpose, so that more throws for one thing do not change another."""
    return random.Random(f"{seed}/{purpose}")
