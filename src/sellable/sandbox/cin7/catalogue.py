"""The reference books as the API shows them. Rule: name filters are prefixes, nested data needs its Include flag."""

from collections.abc import Iterable, Sequence
from typing import Any

from sellable.sandbox.cin7.reference import Customer, Location, Product
from sellable.sandbox.cin7.state import World
from sellable.sandbox.cin7.wire import ZERO, Listing, Refused, Request, moment, stamp


def me(world: World, request: Request) -> dict[str, Any]:
    """GET /me"""
    rule = world.book.tax_rules.get(world.book.me["DefaultSaleTaxRuleName"])
    return {**world.book.me, "DefaultSaleTaxRuleId": rule.id if rule else None}


def locations(world: World, request: Request) -> Listing:
    """GET /ref/location: bins nested in their location and again as rows of their own with ParentID."""
    rows = [row for location in world.book.locations.values() for row in _location(location)]
    return Listing("LocationList", list(_wanted(rows, request)))


def _wanted(rows: Iterable[dict[str, Any]], request: Request) -> Iterable[dict[str, Any]]:
    """Rows by ID exactly and Name by prefix."""
    wanted_id, prefix = request.query.get("id", "").lower(), request.query.get("name", "").lower()
    for row in rows:
        if (not wanted_id or row.get("ID") == wanted_id) and str(row.get("Name", "")).lower().startswith(prefix):
            yield row


def _location(location: Location) -> Iterable[dict[str, Any]]:
    common: dict[str, Any] = {
        "IsDefault": False,
        "IsDeprecated": False,
        "FixedAssetsLocation": False,
        "ReferenceCount": 0,
    }
    common |= {"IsShopfloor": False, "IsCoMan": False, "PickZones": None}
    bins = [
        {"ID": held.id, "Name": held.name, "IsDeprecated": False, "IsStaging": held.staging}
        for held in location.bins.values()
    ]
    yield {"ID": location.id, "Name": location.name, "Bins": bins, "ParentID": None, "ParentName": None,
           "IsStaging": False, **common}  # fmt: skip
    for held in location.bins.values():
        yield {"ID": held.id, "Name": held.name, "Bins": [], "ParentID": location.id, "ParentName": location.name,
               "IsStaging": held.staging, **common}  # fmt: skip


def tax_rules(world: World, request: Request) -> Listing:
    """GET /ref/tax"""
    rows = [
        {
            "ID": rule.id,
            "Name": rule.name,
            "Account": "820",
            "IsActive": rule.active,
            "TaxInclusive": rule.inclusive,
            "TaxPercent": rule.percent,
            "IsTaxForSale": True,
            "IsTaxForPurchase": False,
            "Components": [
                {
                    "Name": rule.name,
                    "Percent": f"{rule.percent:.10f}",
                    "AccountCode": "820",
                    "Compound": "0",
                    "ComponentOrder": "1",
                }
            ],
        }
        for rule in world.book.tax_rules.values()
    ]
    return Listing("TaxRuleList", list(_wanted(rows, request)))


def carriers(world: World, request: Request) -> Listing:
    """GET /ref/carrier"""
    rows = [{"CarrierID": carrier_id, "Description": name} for name, carrier_id in world.book.carriers.items()]
    return Listing("CarrierList", rows)


ACCOUNTS = (
    {"Code": "200", "Name": "Sales", "Type": "REVENUE", "Class": "REVENUE", "Status": "ACTIVE"},
    {"Code": "610", "Name": "Accounts receivable", "Type": "CURRENT", "Class": "ASSET", "Status": "ACTIVE"},
    {"Code": "630", "Name": "Inventory", "Type": "INVENTORY", "Class": "ASSET", "Status": "ACTIVE"},
    {"Code": "635", "Name": "Inventory in transit", "Type": "CURRENT", "Class": "ASSET", "Status": "ACTIVE"},
)


def accounts(world: World, request: Request) -> Listing:
    """GET /ref/account: no match for Code is a 400, not an empty list (observed)."""
    code = request.query.get("code")
    rows = [row for row in ACCOUNTS if not code or row["Code"] == code]
    if not rows:
        raise Refused("Account not found.")
    return Listing("AccountsList", rows)


def customers(world: World, request: Request) -> Listing:
    """GET /customer"""
    rows = (_customer(customer) for customer in world.book.customers.values())
    found = [row for row in _wanted(rows, request) if _modified(row["LastModifiedOn"], request)]
    return Listing("CustomerList", found)


def _customer(customer: Customer) -> dict[str, Any]:
    return {
        "ID": customer.id,
        "Name": customer.name,
        "Status": "Active",
        "Currency": customer.currency,
        "PaymentTerm": "30 days",
        "AccountReceivable": "610",
        "RevenueAccount": "200",
        "TaxRule": customer.tax_rule,
        "CreditLimit": ZERO,
        "IsOnCreditHold": False,
        "Addresses": [],
        "Contacts": [],
        "LastModifiedOn": stamp(customer.modified),
    }


def _modified(shown: str, request: Request) -> bool:
    since = request.query.get("modifiedsince")
    return not since or moment(shown, "LastModifiedOn") >= moment(since, "ModifiedSince")


def products(world: World, request: Request) -> Listing:
    """GET /product: Sku and Name are prefixes, deprecated cards are hidden, the recipe needs IncludeBOM=true."""
    query, include_bom = request.query, request.flag("includebom")
    sku, name, wanted_id = (query.get(field, "").lower() for field in ("sku", "name", "id"))
    since = moment(query["modifiedsince"], "ModifiedSince") if query.get("modifiedsince") else float("-inf")
    found = [
        product
        for product in world.book.products.values()
        if (not product.deprecated or request.flag("includedeprecated"))
        and (not wanted_id or product.id == wanted_id)
        and product.modified >= since
        and product.sku.lower().startswith(sku)
        and product.name.lower().startswith(name)
    ]
    return Listing("Products", Cards(world, found, include_bom))


class Cards(Sequence[dict[str, Any] | bytes]):
    """Product cards written only for the page that is cut from them."""

    def __init__(self, world: World, found: list[Product], include_bom: bool) -> None:
        self._world, self._found, self._include_bom = world, found, include_bom

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, at: Any) -> Any:
        return [_product(self._world, product, self._include_bom) for product in self._found[at]]


def _product(world: World, product: Product, include_bom: bool) -> dict[str, Any]:
    kit = bool(product.bom)
    parts = [(world.book.products[component], pieces) for component, pieces in product.bom.items()]
    rows = [
        {
            "ComponentProductID": part.id,
            "ProductCode": part.sku,
            "Name": part.name,
            "Quantity": pieces,
            "WastagePercent": ZERO,
            "WastageQuantity": ZERO,
            "CostPercentage": ZERO,
        }
        for part, pieces in parts
    ]
    return {
        "ID": product.id,
        "SKU": product.sku,
        "Name": product.name,
        "Category": "Goods",
        "Brand": None,
        "Type": "Service" if product.service else "Stock",
        "CostingMethod": "FIFO",
        "DropShipMode": "No Drop Ship",
        "UOM": "Item",
        "Status": "Deprecated" if product.deprecated else "Active",
        "Barcode": None,
        "PriceTier1": product.price,
        "PriceTiers": {"Tier 1": product.price},
        "AverageCost": product.cost,
        "SaleTaxRule": product.tax_rule or None,
        "Sellable": True,
        "BillOfMaterial": kit,
        "AutoAssembly": kit,
        "AutoDisassembly": False,
        "QuantityToProduce": 1,
        "BOMType": "Assembly" if kit else "None",
        "BillOfMaterialsProducts": rows if include_bom else [],
        "BillOfMaterialsServices": [],
        "Suppliers": [],
        "ReorderLevels": [],
        "Movements": [],
        "Attachments": [],
        "CustomPrices": [],
        "LastModifiedOn": stamp(product.modified),
    }
