"""Filling a project from a seed file. Rule: loading tells nobody, it makes no messages and one journal row."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from sellable.sandbox.commercetools.money import money
from sellable.sandbox.commercetools.project import Switches
from sellable.sandbox.commercetools.store import KEY
from sellable.sandbox.commercetools.wire import Doc, reference

if TYPE_CHECKING:
    from sellable.sandbox.commercetools.shop import Shop

TAX_KEY, SHIPPING_KEY, ZONE_KEY = "standard", "standard", "world"
PRODUCT_TYPE_KEY, BUNDLE_TYPE_KEY = "main", "static-bundle-parent"


def set_switches(switches: Switches, changes: dict[str, Any]) -> Switches:
    """The switches with some changed; raises ValueError or msgspec.ValidationError on an unknown name or value."""
    return msgspec.convert({**msgspec.to_builtins(switches), **changes}, Switches)


def fill(shop: "Shop", seed: dict[str, Any]) -> None:
    """Add a seed: currency, country, switches, channels, taxes, shipping, products, inventory, and drafts of any type.

    `tax_category` is a draft or {"name", "percent", "included", "country"}; `products` carry price_cents in the seed's
    currency; `inventory` rows are {"sku", "channel": key or null, "quantity"} and any other field of an entry;
    `types`, `states`, `stores`, `extensions`, `subscriptions` are lists of the vendor's drafts; `messages_enabled`
    switches the message query on.
    """
    project = shop.project
    project.currency = seed.get("currency", project.currency)
    project.country = seed.get("country", project.country)
    project.switches = set_switches(project.switches, seed.get("switches", {}))
    project.settings["currencies"] = sorted({*project.settings["currencies"], project.currency})
    project.settings["countries"] = sorted({*project.settings["countries"], project.country})
    if "messages_enabled" in seed:
        project.settings["messages"]["enabled"] = bool(seed["messages_enabled"])
    for channel in seed.get("channels", []):
        if not project.others["channel"].by(KEY, channel["key"]):
            name = channel.get("name", channel["key"])
            shop.catalogue.create("channel", {**channel, "name": {"en": name} if isinstance(name, str) else name})
    for name, type_id in (("types", "type"), ("states", "state"), ("stores", "store"), ("extensions", "extension"),
                          ("subscriptions", "subscription")):  # fmt: skip
        for draft in seed.get(name, []):
            shop.catalogue.create(type_id, draft)
    tax = _tax(shop, seed)
    _shipping(shop, seed.get("shipping_method"), tax)
    _products(shop, seed.get("products", []), tax)
    entries = _entries(shop, seed.get("inventory", []))
    project.journal.add("loaded", project=project.key, entries=entries, products=len(seed.get("products", [])))


def _tax(shop: "Shop", seed: dict[str, Any]) -> Doc:
    found = shop.project.others["tax-category"].by(KEY, TAX_KEY)
    if found:
        return reference("tax-category", found[0]["id"])
    draft = seed.get("tax_category") or {"percent": 19, "included": True}
    if "percent" in draft:
        rate = {
            "name": draft.get("name", f"{draft['percent']} %"),
            "amount": Decimal(str(draft["percent"])) / 100,
            "includedInPrice": draft.get("included", True),
            "country": draft.get("country", shop.project.country),
        }
        draft = {"name": draft.get("name", TAX_KEY), "rates": [rate]}
    rates = [
        {"name": TAX_KEY, "country": shop.project.country, **rate, "amount": Decimal(str(rate["amount"]))}
        for rate in draft.get("rates", [])
    ]
    made = shop.catalogue.create("tax-category", {"name": TAX_KEY, **draft, "key": TAX_KEY, "rates": rates})
    return reference("tax-category", made["id"])


def _shipping(shop: "Shop", seed: dict[str, Any] | None, tax: Doc) -> None:
    key = (seed or {}).get("key", SHIPPING_KEY)
    if shop.project.others["shipping-method"].by(KEY, key):
        return
    seed = seed or {}
    price = {"currencyCode": shop.project.currency, "centAmount": seed.get("price_cents", 0)}
    zone = shop.catalogue.create("zone", {"name": ZONE_KEY, "locations": [{"country": shop.project.country}]})
    rates = [{"zone": reference("zone", zone["id"]), "shippingRates": [{"price": price}]}]
    draft = {"key": key, "name": seed.get("name", "Standard"), "taxCategory": tax, "zoneRates": rates}
    shop.catalogue.create("shipping-method", draft)


def _product_type(shop: "Shop", key: str) -> Doc:
    found = shop.project.others["product-type"].by(KEY, key)
    made = found[0] if found else shop.catalogue.create("product-type", {"key": key, "name": key, "description": key})
    return reference("product-type", made["id"])


def _products(shop: "Shop", products: list[dict[str, Any]], tax: Doc) -> None:
    currency = shop.project.currency
    for product in products:
        variants = []
        for variant in product["variants"]:
            attributes = variant.get("attributes", [])
            if isinstance(attributes, dict):
                attributes = [{"name": name, "value": value} for name, value in attributes.items()]
            price = {"value": money(variant["price_cents"], currency)}
            variants.append({"sku": variant["sku"], "prices": [price], "attributes": attributes})
        bundle = product.get("bundle")
        if bundle:
            variants[0]["attributes"] = [*variants[0]["attributes"], {"name": "products", "value": _children(bundle)}]
        name = product.get("name", product["key"])
        name = {"en": name} if isinstance(name, str) else name
        draft = {
            "key": product["key"], "name": name, "slug": {"en": product["key"]}, "taxCategory": tax, "publish": True,
            "productType": _product_type(shop, BUNDLE_TYPE_KEY if bundle else PRODUCT_TYPE_KEY),
            "masterVariant": variants[0], "variants": variants[1:],
        }  # fmt: skip
        shop.catalogue.create("product", draft)


def _children(bundle: dict[str, int]) -> list[list[Doc]]:
    """The nested attribute set of the vendor's static bundle starter: one sku and quantity for each child."""
    return [[{"name": "sku", "value": sku}, {"name": "quantity", "value": units}] for sku, units in bundle.items()]


def _entries(shop: "Shop", rows: list[dict[str, Any]]) -> int:
    channels = {doc["key"]: reference("channel", doc["id"]) for doc in shop.project.others["channel"].docs.values()}
    for row in rows:
        extra = {name: value for name, value in row.items() if name not in ("sku", "channel", "quantity")}
        fields = {"sku": row["sku"], "quantityOnStock": row["quantity"], "availableQuantity": row["quantity"], **extra}
        if row.get("channel") is not None:
            fields["supplyChannel"] = channels[row["channel"]]
        shop.inventory.admit(fields)
    return len(rows)
