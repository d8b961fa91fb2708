"""Carts: lines with prices and taxes, shipping, inventory modes, holds.

Rule: totals are recomputed after every change.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sellable.sandbox.commercetools.custom import custom_fields, set_custom_field, set_custom_type
from sellable.sandbox.commercetools.errors import ApiError, invalid_field, invalid_json, invalid_operation, may, need
from sellable.sandbox.commercetools.inventory import MODES, Demand, Inventory
from sellable.sandbox.commercetools.money import ROUNDINGS, money, parse_money
from sellable.sandbox.commercetools.pricing import external_rate, price_cart
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.updates import Edit, edit_copy, update
from sellable.sandbox.commercetools.wire import Doc, reference, stamp

TAX_MODES = ("Platform", "External", "ExternalAmount", "Disabled")
TAX_LEVELS = ("LineItemLevel", "UnitPriceLevel")
_COPIED = (
    "customerId", "customerEmail", "anonymousId", "country", "locale", "key", "billingAddress", "shippingAddress",
    "purchaseOrderNumber", "deleteDaysAfterLastModification", "origin",
)  # fmt: skip
CartAction = Callable[["Carts", Doc, Doc], None]


def choice(draft: Doc, field: str, allowed: Sequence[str], default: str) -> str:
    """An enum value of a draft; raises InvalidField on any other."""
    value = draft.get(field)
    if value is None:
        return default
    if value not in allowed:
        raise invalid_field(field, value, list(allowed))
    return str(value)


class Carts:
    """Carts of one project."""

    def __init__(self, project: Project, inventory: Inventory) -> None:
        self.project, self.inventory = project, inventory

    def create(self, draft: Any) -> Doc:
        """POST /carts; raises the vendor's refusals."""
        currency = need(draft, "currency", str)
        cart: Doc = {
            "type": "Cart",
            "cartState": "Active",
            "lineItems": [],
            "customLineItems": [],
            "shippingMode": choice(draft, "shippingMode", ("Single",), "Single"),
            "shipping": [],
            "discountCodes": [],
            "directDiscounts": [],
            "refusedGifts": [],
            "inventoryMode": choice(draft, "inventoryMode", MODES, "None"),
            "taxMode": choice(draft, "taxMode", TAX_MODES, "Platform"),
            "taxRoundingMode": choice(draft, "taxRoundingMode", tuple(ROUNDINGS), "HalfEven"),
            "taxCalculationMode": choice(draft, "taxCalculationMode", TAX_LEVELS, "LineItemLevel"),
            "priceRoundingMode": choice(draft, "priceRoundingMode", tuple(ROUNDINGS), "HalfEven"),
            "itemShippingAddresses": [],
            "origin": "Customer",
            "totalPrice": money(0, currency),
        }
        cart.update({name: draft[name] for name in _COPIED if draft.get(name) is not None})
        if draft.get("store"):
            cart["store"] = {"typeId": "store", "key": self.project.resolve(draft["store"], "store")["key"]}
        if (custom := custom_fields(self.project, draft.get("custom"), "order")) is not None:
            cart["custom"] = custom
        for line in draft.get("lineItems") or []:
            self.add_line(cart, line)
        for line in draft.get("customLineItems") or []:
            self.add_custom_line(cart, line)
        if draft.get("shippingMethod"):
            self.set_shipping_method(cart, draft["shippingMethod"], draft.get("externalTaxRateForShippingMethod"))
        price_cart(self.project, cart)
        cart = self.project.create(self.project.carts, cart)
        self._hold(cart, [])
        return cart

    def update(self, doc: Doc, body: Any) -> Doc:
        """POST /carts/{id}."""
        if doc["cartState"] != "Active":
            raise invalid_operation(f"The cart with ID '{doc['id']}' is {doc['cartState']} and cannot be changed.")
        edit = edit_copy(self.project, self.project.carts, doc)

        def finish(cart: Doc) -> None:
            price_cart(self.project, cart)
            self._hold(cart, doc["lineItems"])

        edit.finish = finish
        return update(edit, body, {name: self._bound(act) for name, act in ACTIONS.items()})

    def _bound(self, act: CartAction) -> Callable[[Edit, Doc], None]:
        return lambda edit, action: act(self, edit.doc, action)

    def demands(self, cart: Doc) -> list[Demand]:
        """What the cart's lines want of inventory, lines of mode None left out."""
        found = []
        for line in cart["lineItems"]:
            mode = line.get("inventoryMode", cart["inventoryMode"])
            if mode != "None":
                held = (line.get("reservation") or {}).get("id")
                channel = (line.get("supplyChannel") or {}).get("id")
                found.append(
                    Demand(
                        line_id=line["id"], sku=line["variant"]["sku"], channel_id=channel, mode=mode,
                        quantity=line["quantity"], reservation_id=held,
                    )
                )  # fmt: skip
        return found

    def _hold(self, cart: Doc, before: list[Doc]) -> None:
        """Bring the holds of ReserveOnCart lines in step with the lines; what cannot be held becomes a warning."""
        wanted = {d.line_id: d for d in self.demands(cart) if d.mode == "ReserveOnCart"}
        for line in before:
            if line.get("reservation") and line["id"] not in wanted:
                self.inventory.release(line["reservation"]["id"])
        warnings = []
        for line in cart["lineItems"]:
            demand = wanted.get(line["id"])
            if demand is None:
                line.pop("reservation", None)
                continue
            held = self.inventory.reservations.get(demand.reservation_id or "")
            if held is not None and held.active and held.quantity == demand.quantity:
                continue
            made = self.inventory.reserve(cart["id"], demand)
            if made is not None:
                line["reservation"] = reference("reservation", made.id)
            else:
                warnings.append(self._warning(line, "Update" if held is not None and held.active else "Create"))
        cart.pop("warnings", None)
        if warnings:
            cart["warnings"] = warnings

    def _warning(self, line: Doc, verb: str) -> Doc:
        sku, quantity, channel = line["variant"]["sku"], line["quantity"], (line.get("supplyChannel") or {}).get("id")
        message = f"Failed to {verb.lower()} a reservation for SKU {sku} with quantity {quantity}."
        warning = {"code": f"Cannot{verb}Reservation", "message": message, "productId": line["productId"], "sku": sku}
        return {**warning, **({"supplyChannel": channel} if channel else {}), "quantity": quantity}

    # --- lines ---------------------------------------------------------------------------------------------------

    def add_line(self, cart: Doc, draft: Doc) -> None:
        """A line from {sku | productId + variantId, quantity, channels, prices, ...}; equal lines merge."""
        product, variant = self._variant(draft)
        quantity = 1 if draft.get("quantity") is None else need(draft, "quantity", int)
        if quantity < 1:
            raise invalid_field("quantity", quantity, [])
        now = stamp(self.project.now())
        line: Doc = {
            "id": self.project.new_id(),
            "productId": product["id"],
            "productKey": product.get("key"),
            "name": product["masterData"]["current"]["name"],
            "productType": product["productType"],
            "productSlug": product["masterData"]["current"]["slug"],
            "variant": variant,
            "quantity": quantity,
            "discountedPricePerQuantity": [],
            "perMethodTaxRate": [],
            "taxedPricePortions": [],
            "addedAt": now,
            "lastModifiedAt": now,
            "lineItemMode": "Standard",
            **self._price(cart, variant, draft),
        }
        if draft.get("key"):
            line["key"] = draft["key"]
        if draft.get("supplyChannel"):
            line["supplyChannel"] = self.inventory.supply(draft["supplyChannel"])
        if draft.get("distributionChannel"):
            line["distributionChannel"] = self.project.refer(draft["distributionChannel"], "channel")
        mode = choice(draft, "inventoryMode", MODES, cart["inventoryMode"])
        if mode != cart["inventoryMode"]:
            line["inventoryMode"] = mode
        if draft.get("externalTaxRate"):
            line["taxRate"] = external_rate(draft["externalTaxRate"])
        if (custom := custom_fields(self.project, draft.get("custom"), "line-item")) is not None:
            line["custom"] = custom
        self._join(cart, line)

    def _join(self, cart: Doc, line: Doc) -> None:
        own = ("productId", "variant", "price", "supplyChannel", "distributionChannel", "custom", "key", "priceMode",
               "inventoryMode", "taxRate")  # fmt: skip
        for other in cart["lineItems"]:
            fresh_rate = "taxRate" not in line and cart["taxMode"] == "Platform"
            if all(other.get(name) == line.get(name) for name in own if not (fresh_rate and name == "taxRate")):
                self.set_quantity(cart, other, other["quantity"] + line["quantity"])
                return
        cart["lineItems"].append(line)
        self.set_quantity(cart, line, line["quantity"])

    def set_quantity(self, cart: Doc, line: Doc, quantity: int) -> None:
        """A line's new quantity, 0 removes it; raises LineItemQuantityAboveLimit / BelowLimit of the entry."""
        if quantity == 0:
            cart["lineItems"].remove(line)
            return
        if quantity < 0:
            raise invalid_field("quantity", quantity, [])
        sku = line["variant"]["sku"]
        entry = self.inventory.at(sku, (line.get("supplyChannel") or {}).get("id")) or {}
        low, high = entry.get("minCartQuantity"), entry.get("maxCartQuantity")
        for word, broken, limit in (
            ("Below", low is not None and quantity < low, low),
            ("Above", high is not None and quantity > high, high),
        ):
            if broken:
                message = f"The quantity {quantity} of SKU '{sku}' is {word.lower()} the limit {limit}."
                name = "minCartQuantity" if word == "Below" else "maxCartQuantity"
                facts: Doc = {"quantity": quantity, name: limit, "variantId": line["variant"]["id"]}
                raise ApiError(400, f"LineItemQuantity{word}Limit", message, **facts)
        line["quantity"] = quantity
        line["state"] = [{"quantity": quantity, "state": self.project.initial_state}]
        line["lastModifiedAt"] = stamp(self.project.now())

    def _variant(self, draft: Any) -> tuple[Doc, Doc]:
        if not isinstance(draft, dict):
            raise invalid_json("lineItems: an object is expected")
        products = self.project.others["product"]
        if draft.get("sku") is not None:
            if draft["sku"] not in self.project.skus:
                message = f"The product with SKU '{draft['sku']}' was not found."
                raise ApiError(400, "ReferencedResourceNotFound", message, typeId="product", sku=draft["sku"])
            product_id, number = self.project.skus[draft["sku"]]
        else:
            product_id, number = need(draft, "productId", str), draft.get("variantId", 1)
            self.project.resolve({"id": product_id}, "product")
        product = products.docs[product_id]
        current = product["masterData"]["current"]
        for variant in (current["masterVariant"], *current["variants"]):
            if variant["id"] == number:
                return product, variant
        raise invalid_operation(f"The variant {number} of the product '{product_id}' does not exist.")

    def _price(self, cart: Doc, variant: Doc, draft: Doc) -> Doc:
        if draft.get("externalTotalPrice"):
            total = draft["externalTotalPrice"]
            price, whole = parse_money(need(total, "price", dict)), parse_money(need(total, "totalPrice", dict))
            return {"price": {"id": "external", "value": price}, "priceMode": "ExternalTotal", "totalPrice": whole}
        if draft.get("externalPrice"):
            value = parse_money(draft["externalPrice"])
            return {"price": {"id": "external", "value": value}, "priceMode": "ExternalPrice", "totalPrice": value}
        currency, country = cart["totalPrice"]["currencyCode"], cart.get("country")
        fitting = [
            price
            for price in variant["prices"]
            if price["value"]["currencyCode"] == currency and price.get("country") in (None, country)
        ]
        if not fitting:
            message = f"No price of the variant with SKU '{variant['sku']}' matches {currency} and {country}."
            raise ApiError(400, "MatchingPriceNotFound", message, variantId=variant["id"], currency=currency)
        best = max(fitting, key=lambda price: "country" in price)
        return {"price": best, "priceMode": "Platform", "totalPrice": best["value"]}

    def line(self, cart: Doc, action: Doc) -> Doc:
        """The line that an action names by lineItemId or lineItemKey; raises InvalidOperation."""
        for line in cart["lineItems"]:
            if line["id"] == action.get("lineItemId") or ("key" in line and line["key"] == action.get("lineItemKey")):
                found: Doc = line
                return found
        named = action.get("lineItemId") or action.get("lineItemKey")
        raise invalid_operation(f"The line item with ID '{named}' was not found.")

    def add_custom_line(self, cart: Doc, draft: Doc) -> None:
        """A custom line from {name, slug, money, quantity, taxCategory | externalTaxRate}."""
        quantity = 1 if draft.get("quantity") is None else need(draft, "quantity", int)
        line: Doc = {
            "id": self.project.new_id(),
            "name": need(draft, "name", dict),
            "slug": need(draft, "slug", str),
            "money": parse_money(need(draft, "money", dict)),
            "quantity": quantity,
            "state": [{"quantity": quantity, "state": self.project.initial_state}],
            "discountedPricePerQuantity": [],
            "perMethodTaxRate": [],
            "taxedPricePortions": [],
            "priceMode": choice(draft, "priceMode", ("Standard", "External"), "Standard"),
        }
        if draft.get("key"):
            line["key"] = draft["key"]
        if draft.get("taxCategory"):
            line["taxCategory"] = self.project.refer(draft["taxCategory"], "tax-category")
        if draft.get("externalTaxRate"):
            line["taxRate"] = external_rate(draft["externalTaxRate"])
        cart["customLineItems"].append(line)

    # --- shipping ------------------------------------------------------------------------------------------------

    def set_shipping_method(self, cart: Doc, identifier: Any, rate: Any) -> None:
        """Shipping by a method of the project; its first rate in the cart's currency applies to every zone."""
        method = self.project.resolve(identifier, "shipping-method")
        currency = cart["totalPrice"]["currencyCode"]
        rates = [r for zone in method["zoneRates"] for r in zone["shippingRates"]]
        price = next((r["price"] for r in rates if r["price"]["currencyCode"] == currency), None)
        if price is None:
            raise invalid_operation(f"The shipping method '{method['name']}' has no rate in {currency}.")
        self._ship(cart, method["name"], price, rate)
        cart["shippingInfo"]["shippingMethod"] = reference("shipping-method", method["id"])
        cart["shippingInfo"]["taxCategory"] = method["taxCategory"]

    def set_custom_shipping(self, cart: Doc, action: Doc) -> None:
        """setCustomShippingMethod {shippingMethodName, shippingRate: {price}, taxCategory?, externalTaxRate?}."""
        price = parse_money(need(need(action, "shippingRate", dict), "price", dict))
        self._ship(cart, need(action, "shippingMethodName", str), price, action.get("externalTaxRate"))
        if action.get("taxCategory"):
            cart["shippingInfo"]["taxCategory"] = self.project.refer(action["taxCategory"], "tax-category")

    def _ship(self, cart: Doc, name: str, price: Doc, rate: Any) -> None:
        if "shippingAddress" not in cart:
            raise invalid_operation("The shipping method can only be set when the cart has a shipping address.")
        cart["shippingInfo"] = {
            "shippingMethodName": name,
            "price": price,
            "shippingRate": {"price": price, "tiers": []},
            "deliveries": [],
            "shippingMethodState": "MatchesCart",
        }
        if rate:
            cart["shippingInfo"]["taxRate"] = external_rate(rate)


def _set(name: str, field: str) -> CartAction:
    def apply(_: Carts, cart: Doc, action: Doc) -> None:
        if action.get(field) is None:
            cart.pop(name, None)
        else:
            cart[name] = action[field]

    return apply


def _set_choice(name: str, allowed: Sequence[str]) -> CartAction:
    def apply(_: Carts, cart: Doc, action: Doc) -> None:
        cart[name] = choice(action, name, allowed, "")

    return apply


def _set_shipping_address(_: Carts, cart: Doc, action: Doc) -> None:
    if action.get("address") is None:
        cart.pop("shippingAddress", None)
        cart.pop("shippingInfo", None)
    else:
        cart["shippingAddress"] = need(action, "address", dict)


def _change_quantity(carts: Carts, cart: Doc, action: Doc) -> None:
    line = carts.line(cart, action)
    if action.get("externalPrice"):
        line["price"] = {"id": "external", "value": parse_money(action["externalPrice"])}
        line["priceMode"] = "ExternalPrice"
    carts.set_quantity(cart, line, need(action, "quantity", int))


def _remove_line(carts: Carts, cart: Doc, action: Doc) -> None:
    line = carts.line(cart, action)
    fewer = may(action, "quantity", int)
    carts.set_quantity(cart, line, max(line["quantity"] - fewer, 0) if fewer is not None else 0)


def _set_line_mode(carts: Carts, cart: Doc, action: Doc) -> None:
    line = carts.line(cart, action)
    mode = choice(action, "inventoryMode", MODES, cart["inventoryMode"])
    line.pop("inventoryMode", None)
    if mode != cart["inventoryMode"]:
        line["inventoryMode"] = mode


def _set_line_channel(name: str) -> CartAction:
    def apply(carts: Carts, cart: Doc, action: Doc) -> None:
        line = carts.line(cart, action)
        line.pop(name, None)
        if action.get(name):
            named = action[name]
            supply = name == "supplyChannel"
            line[name] = carts.inventory.supply(named) if supply else carts.project.refer(named, "channel")

    return apply


def _set_line_rate(carts: Carts, cart: Doc, action: Doc) -> None:
    line = carts.line(cart, action)
    line.pop("taxRate", None)
    if action.get("externalTaxRate"):
        line["taxRate"] = external_rate(action["externalTaxRate"])


def _set_shipping_rate(_: Carts, cart: Doc, action: Doc) -> None:
    if "shippingInfo" not in cart:
        raise invalid_operation("The cart has no shipping method.")
    cart["shippingInfo"].pop("taxRate", None)
    if action.get("externalTaxRate"):
        cart["shippingInfo"]["taxRate"] = external_rate(action["externalTaxRate"])


def _set_shipping_method(carts: Carts, cart: Doc, action: Doc) -> None:
    if action.get("shippingMethod") is None:
        cart.pop("shippingInfo", None)
    else:
        carts.set_shipping_method(cart, action["shippingMethod"], action.get("externalTaxRate"))


def _remove_custom_line(_: Carts, cart: Doc, action: Doc) -> None:
    kept = [line for line in cart["customLineItems"] if line["id"] != action.get("customLineItemId")]
    if len(kept) == len(cart["customLineItems"]):
        raise invalid_operation(f"The custom line item '{action.get('customLineItemId')}' was not found.")
    cart["customLineItems"] = kept


ACTIONS: dict[str, CartAction] = {
    "addLineItem": Carts.add_line,
    "changeLineItemQuantity": _change_quantity,
    "removeLineItem": _remove_line,
    "addCustomLineItem": Carts.add_custom_line,
    "removeCustomLineItem": _remove_custom_line,
    "setLineItemInventoryMode": _set_line_mode,
    "setLineItemSupplyChannel": _set_line_channel("supplyChannel"),
    "setLineItemDistributionChannel": _set_line_channel("distributionChannel"),
    "setLineItemTaxRate": _set_line_rate,
    "setLineItemCustomType": lambda carts, cart, action: set_custom_type(
        carts.project, carts.line(cart, action), action, "line-item"
    ),
    "setLineItemCustomField": lambda carts, cart, action: set_custom_field(
        carts.project, carts.line(cart, action), action
    ),
    "setShippingAddress": _set_shipping_address,
    "setBillingAddress": _set("billingAddress", "address"),
    "setCustomerEmail": _set("customerEmail", "email"),
    "setCustomerId": _set("customerId", "customerId"),
    "setCountry": _set("country", "country"),
    "setLocale": _set("locale", "locale"),
    "setKey": _set("key", "key"),
    "setPurchaseOrderNumber": _set("purchaseOrderNumber", "purchaseOrderNumber"),
    "setShippingMethod": _set_shipping_method,
    "setCustomShippingMethod": Carts.set_custom_shipping,
    "setShippingMethodTaxRate": _set_shipping_rate,
    "changeTaxMode": _set_choice("taxMode", TAX_MODES),
    "changeTaxRoundingMode": _set_choice("taxRoundingMode", tuple(ROUNDINGS)),
    "changeTaxCalculationMode": _set_choice("taxCalculationMode", TAX_LEVELS),
    "setCustomType": lambda carts, cart, action: set_custom_type(carts.project, cart, action, "order"),
    "setCustomField": lambda carts, cart, action: set_custom_field(carts.project, cart, action),
    "recalculate": lambda _carts, _cart, _action: None,
}
