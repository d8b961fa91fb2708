"""Totals and taxes of a cart or of lines like a cart's. Rule: taxedPrice exists only when every part has a tax rate."""

from decimal import Decimal
from typing import Any

from sellable.sandbox.commercetools.errors import ApiError, invalid_json, need
from sellable.sandbox.commercetools.money import (
    money,
    round_cents,
    split,
    sum_taxed,
    taxed_line,
    unit_cents,
)  # fmt: skip
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.wire import Doc

_TAXED = ("taxedPrice", "taxedShippingPrice")


def external_rate(draft: Any) -> Doc:
    """An externalTaxRate draft {name, amount 0..1, country, includedInPrice?, subRates?} as a taxRate."""
    amount = Decimal(need(draft, "amount", (int, Decimal)))
    if not 0 <= amount <= 1:
        raise invalid_json(f"amount: {amount} is not within 0..1")
    rate = {"name": need(draft, "name", str), "amount": amount, "includedInPrice": bool(draft.get("includedInPrice"))}
    return {**rate, "country": need(draft, "country", str), "subRates": draft.get("subRates") or []}


def price_cart(project: Project, cart: Doc) -> None:
    """Recompute every total of a cart in place; raises MissingTaxRateForCountry in tax mode Platform."""
    currency = cart["totalPrice"]["currencyCode"]
    total = 0
    parts: list[Doc] = []
    for line in cart["lineItems"]:
        if line["priceMode"] != "ExternalTotal":
            line["totalPrice"] = money(_times(line["price"]["value"], line["quantity"], cart), currency)
        parts.append(line)
    for line in cart["customLineItems"]:
        line["totalPrice"] = money(_times(line["money"], line["quantity"], cart), currency)
        parts.append(line)
    total = sum(line["totalPrice"]["centAmount"] for line in parts)
    if "shippingInfo" in cart:
        parts.append(cart["shippingInfo"])
        total += cart["shippingInfo"]["price"]["centAmount"]
    cart["totalPrice"] = money(total, currency)
    cart["totalLineItemQuantity"] = sum(line["quantity"] for line in cart["lineItems"])
    if not cart["totalLineItemQuantity"]:
        del cart["totalLineItemQuantity"]
    _tax(project, cart, parts, currency)


def _times(price: Doc, quantity: int, cart: Doc) -> int:
    return round_cents(unit_cents(price) * quantity, cart["priceRoundingMode"])


def _tax(project: Project, cart: Doc, parts: list[Doc], currency: str) -> None:
    for name in _TAXED:
        cart.pop(name, None)
    for part in parts:
        part.pop("taxedPrice", None)
        if cart["taxMode"] == "Platform":
            part.pop("taxRate", None)
            if "shippingAddress" in cart and (rate := _platform_rate(project, part, cart)) is not None:
                part["taxRate"] = rate
        elif cart["taxMode"] == "Disabled":
            part.pop("taxRate", None)
        if "taxRate" in part:
            part["taxedPrice"] = tax_part(part, cart, currency)
    if parts and all("taxedPrice" in part for part in parts):
        cart["taxedPrice"] = sum_taxed((part["taxedPrice"] for part in parts), currency)
    if "shippingInfo" in cart and "taxedPrice" in cart["shippingInfo"]:
        cart["taxedShippingPrice"] = cart["shippingInfo"]["taxedPrice"]


def tax_part(part: Doc, cart: Doc, currency: str) -> Doc:
    """The taxedPrice of a line, custom line or shippingInfo under its own taxRate and the cart's modes."""
    rate, rounding = part["taxRate"], cart["taxRoundingMode"]
    if "shippingRate" in part:
        cents = part["price"]["centAmount"]
        net, gross = split(cents, 1, Decimal(cents), rate, "LineItemLevel", rounding)
    else:
        unit = part["money"] if "money" in part else part["price"]["value"]
        external = part.get("priceMode") == "ExternalTotal"
        level = "LineItemLevel" if external else cart["taxCalculationMode"]
        net, gross = split(part["totalPrice"]["centAmount"], part["quantity"], unit_cents(unit), rate, level, rounding)
    return taxed_line(net, gross, rate, currency)


def _platform_rate(project: Project, part: Doc, cart: Doc) -> Doc | None:
    category = _category(project, part)
    if category is None:
        return None
    country, state = cart["shippingAddress"].get("country"), cart["shippingAddress"].get("state")
    fitting = [r for r in category["rates"] if r["country"] == country and r.get("state") in (None, state)]
    if not fitting:
        message = f"Tax category '{category['id']}' is missing a tax rate for country '{country}'."
        raise ApiError(
            400, "MissingTaxRateForCountry", message, taxCategoryId=category["id"], country=country
        )  # fmt: skip
    rate: Doc = max(fitting, key=lambda rate: "state" in rate)
    return rate


def _category(project: Project, part: Doc) -> Doc | None:
    if "productId" in part:
        reference = project.others["product"].docs[part["productId"]].get("taxCategory")
    else:
        reference = part.get("taxCategory")
    return None if reference is None else project.others["tax-category"].docs[reference["id"]]
