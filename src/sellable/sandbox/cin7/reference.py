"""The reference books: what documents name. Rule: documents name them by text; ids ignore case."""

import random
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sellable.sandbox.cin7.wire import Refused

BASE_ME: dict[str, Any] = {
    "Company": "Sandbox Trading",
    "Currency": "EUR",
    "TimeZone": "Etc/UTC",
    "DefaultWeightUnits": "kg",
    "DefaultDimensionsUnits": "cm",
    "LockDate": None,
    "OpeningBalanceDate": None,
    "TaxCalculationMethod": "Row Total",
    "DefaultSaleTaxRuleName": "",
    "MaximumDecimalPlacesInQuantity": "N2",
    "ApplyCustomerDiscountsAfterOtherDiscounts": False,
    "DiscountRule": "Discount",
    "AutomaticallyApplyDiscounts": False,
    "RoundingTable": [],
}


@dataclass(slots=True, eq=False)
class Product:
    """A product card; `bom` maps component ids to pieces per unit, for auto-assembly kits only."""

    id: str
    sku: str
    name: str
    price: Decimal
    cost: Decimal
    tax_rule: str
    modified: float
    service: bool = False
    deprecated: bool = False
    bom: dict[str, Decimal] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Bin:
    """A bin of a location; stock in a staging bin is on hand, not available."""

    id: str
    name: str
    staging: bool


@dataclass(slots=True, eq=False)
class Location:
    """A warehouse or shop with its bins by name."""

    id: str
    name: str
    bins: dict[str, Bin]

    def sellable(self, bin_name: str) -> bool:
        found = self.bins.get(bin_name)
        return found is None or not found.staging


@dataclass(slots=True, eq=False)
class TaxRule:
    id: str
    name: str
    percent: Decimal
    inclusive: bool
    active: bool = True


@dataclass(slots=True, eq=False)
class Customer:
    id: str
    name: str
    currency: str
    tax_rule: str
    modified: float


class Book:
    """All reference data of one company, found by id or by name."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.me: dict[str, Any] = dict(BASE_ME)
        self.products: dict[str, Product] = {}
        self.locations: dict[str, Location] = {}
        self.tax_rules: dict[str, TaxRule] = {}
        self.customers: dict[str, Customer] = {}
        self.carriers: dict[str, str] = {}
        self._by_sku: dict[str, Product] = {}
        self.kits_of: dict[str, list[Product]] = {}
        self.services: set[str] = set()

    def new_id(self) -> str:
        """A GUID from the run's seed."""
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    def load(self, seed: dict[str, Any], now: float) -> None:
        """Add reference data of a seed; raises KeyError or ValueError on a bad one."""
        self.me.update(seed.get("me", {}))
        for row in seed.get("locations", []):
            staging = set(row.get("staging", []))
            names = dict.fromkeys([*row.get("bins", []), *row.get("staging", [])])
            bins = {name: Bin(self.new_id(), name, name in staging) for name in names}
            self.locations[row["name"]] = Location(self.new_id(), row["name"], bins)
        for row in seed.get("tax_rules", []):
            rule = TaxRule(self.new_id(), row["name"], Decimal(str(row["percent"])), row.get("inclusive", False))
            self.tax_rules[rule.name] = rule
        for row in seed.get("customers", []):
            currency = row.get("currency", self.me["Currency"])
            self.customers[row["name"]] = Customer(self.new_id(), row["name"], currency, row.get("tax_rule", ""), now)
        for name in seed.get("carriers", []):
            self.carriers[name] = self.new_id()
        self._load_products(seed.get("products", []), now)

    def _load_products(self, rows: list[dict[str, Any]], now: float) -> None:
        for row in rows:
            price, cost = Decimal(str(row.get("price", 0))), Decimal(str(row.get("cost", 0)))
            service, rule = row.get("type", "Stock") == "Service", row.get("tax_rule", "")
            product = Product(self.new_id(), row["sku"], row.get("name", row["sku"]), price, cost, rule, now, service)
            self.products[product.id] = self._by_sku[product.sku.casefold()] = product
            if service:
                self.services.add(product.name)
        for row in rows:
            if row.get("bom"):
                self.set_bom(self.known(row["sku"]), row["bom"])

    def set_bom(self, kit: Product, recipe: dict[str, Any]) -> None:
        """Make a product an auto-assembly kit of {component sku: pieces}."""
        for component in kit.bom:
            self.kits_of[component].remove(kit)
        kit.bom = {self.known(sku).id: Decimal(str(pieces)) for sku, pieces in recipe.items()}
        for component in kit.bom:
            self.kits_of.setdefault(component, []).append(kit)

    def rename(self, product: Product, sku: str) -> None:
        del self._by_sku[product.sku.casefold()]
        product.sku = sku
        self._by_sku[sku.casefold()] = product

    def needs(self, product: Product) -> list[tuple[Product, Decimal]]:
        """What one unit takes from stock: itself, its components, or nothing for a service."""
        if product.service:
            return []
        if product.bom:
            return [(self.products[component], pieces) for component, pieces in product.bom.items()]
        return [(product, Decimal(1))]

    def product(self, row: dict[str, Any], what: str) -> Product:
        """The product a document row names by ProductID or SKU (SKU compared without case: a guess); else Refused."""
        by_id = self.products.get(str(row.get("ProductID") or "").lower())
        found = by_id or self._by_sku.get(str(row.get("SKU") or "").casefold())
        if found is None:
            raise Refused(f"{what}: Product with SKU '{row.get('SKU')}' was not found.")
        return found

    def known(self, sku: str) -> Product:
        """The product with exactly this SKU, for the world outside; raises ValueError."""
        found = self._by_sku.get(sku.casefold())
        if found is None or found.sku != sku:
            raise ValueError(f"unknown SKU {sku}")
        return found

    def place(self, name: str, bin_name: str | None = None) -> tuple[Location, str]:
        """A location and bin ("" = unbinned) for the world outside; raises ValueError."""
        location = self.locations.get(name)
        if location is None or (bin_name and bin_name not in location.bins):
            raise ValueError(f"unknown location or bin {name!r} {bin_name!r}")
        return location, bin_name or ""

    def location(self, value: Any, what: str) -> tuple[Location, str]:
        """The location and bin a document means by id, name or "<Location>: <Bin>"; else Refused."""
        wanted = str(value or "")
        if wanted in self.locations:
            return self.locations[wanted], ""
        for location in self.locations.values():
            if wanted.lower() == location.id:
                return location, ""
            for held in location.bins.values():
                if wanted == f"{location.name}: {held.name}" or wanted.lower() == held.id:
                    return location, held.name
        raise Refused(f"{what} '{wanted}' was not found.")

    def tax_rule(self, name: Any, what: str) -> TaxRule:
        """The active tax rule of exactly this name; else Refused."""
        found = self.tax_rules.get(str(name or ""))
        if found is None or not found.active:
            raise Refused(f"{what}: Tax rule '{name or ''}' was not found.")
        return found

    def customer(self, fields: dict[str, Any]) -> Customer:
        """The customer of a header by CustomerID or Customer; else Refused."""
        wanted_id, wanted = str(fields.get("CustomerID") or "").lower(), fields.get("Customer")
        by_id = next((c for c in self.customers.values() if c.id == wanted_id), None) if wanted_id else None
        found = by_id or self.customers.get(str(wanted))
        if found is None:
            raise Refused(f"Customer '{wanted or wanted_id}' was not found.")
        return found
