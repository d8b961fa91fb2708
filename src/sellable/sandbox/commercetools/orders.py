"""Orders: from carts, imported, edited, deleted.

Rule: stock, order number and cart are checked in the moment of storing.
"""

from typing import Any

from sellable.sandbox.commercetools import order_actions
from sellable.sandbox.commercetools.carts import ACTIONS as CART_ACTIONS
from sellable.sandbox.commercetools.carts import TAX_LEVELS, TAX_MODES, Carts, choice
from sellable.sandbox.commercetools.custom import custom_fields
from sellable.sandbox.commercetools.errors import duplicate, invalid_json, invalid_operation, may, need, required
from sellable.sandbox.commercetools.inventory import MODES, Demand, Inventory
from sellable.sandbox.commercetools.messages import snapshot
from sellable.sandbox.commercetools.money import ROUNDINGS, money, parse_money
from sellable.sandbox.commercetools.order_actions import ORDER_STATES, PAYMENT_STATES, SHIPMENT_STATES, OrderEdit
from sellable.sandbox.commercetools.pricing import price_cart
from sellable.sandbox.commercetools.project import ORDER_NUMBER, Project
from sellable.sandbox.commercetools.updates import check_version, update
from sellable.sandbox.commercetools.wire import Doc, clone, reference

_FROM_CART = (
    "customerId", "customerEmail", "anonymousId", "customerGroup", "country", "locale", "store", "lineItems",
    "customLineItems", "totalPrice", "taxedPrice", "taxedShippingPrice", "discountCodes", "directDiscounts",
    "refusedGifts", "inventoryMode", "taxMode", "taxRoundingMode", "taxCalculationMode", "priceRoundingMode",
    "billingAddress", "shippingAddress", "itemShippingAddresses", "shippingMode", "shipping", "shippingInfo",
    "custom", "origin", "purchaseOrderNumber", "paymentInfo",
)  # fmt: skip
_FROM_IMPORT = (
    "customerId", "customerEmail", "customerGroup", "country", "billingAddress", "shippingAddress", "shippingInfo",
    "taxedPrice", "paymentInfo", "completedAt", "itemShippingAddresses", "purchaseOrderNumber",
)  # fmt: skip


class Orders:
    """Orders of one project."""

    def __init__(self, project: Project, inventory: Inventory, carts: Carts) -> None:
        self.project, self.inventory, self.carts = project, inventory, carts

    def prepare(self, draft: Any) -> Doc:
        """The order that a draft {cart, version, orderNumber?, ...} would make, not stored; raises refusals."""
        cart = self.project.resolve(draft.get("cart") or {"id": draft.get("id")}, "cart")
        check_version(cart, draft.get("version"))
        self._check_cart(cart)
        order = clone({name: cart[name] for name in _FROM_CART if name in cart})
        order["id"] = self.project.new_id()
        order["type"] = "Order"
        order["cart"] = reference("cart", cart["id"])
        order["orderState"] = choice(draft, "orderState", ORDER_STATES, "Open")
        order["syncInfo"], order["returnInfo"] = [], []
        for name, allowed in (("shipmentState", SHIPMENT_STATES), ("paymentState", PAYMENT_STATES)):
            if draft.get(name) is not None:
                order[name] = choice(draft, name, allowed, "")
        for name in ("orderNumber", "purchaseOrderNumber"):
            if may(draft, name, str):
                order[name] = draft[name]
        if draft.get("state"):
            order["state"] = self.project.refer(draft["state"], "state")
        if (custom := custom_fields(self.project, draft.get("custom"), "order")) is not None:
            order["custom"] = custom
        self._check_number(order)
        return order

    def place(self, draft: Any, order: Doc) -> Doc:
        """Store a prepared order if cart, number and stock still allow it: POST /orders."""
        cart = self.project.resolve(order["cart"], "cart")
        check_version(cart, draft.get("version"))
        self._check_cart(cart)
        self._check_number(order)
        demands = self.carts.demands(cart)
        self.inventory.check(demands)
        doc = self.project.create(self.project.orders, order)
        self._accept(doc, demands, "OrderCreated")
        self.project.save(self.project.carts, {**cart, "cartState": "Ordered"})
        return doc

    def import_order(self, draft: Any) -> Doc:
        """POST /orders/import: an order as another system tells it; stock moves by its inventoryMode (default None)."""
        if not isinstance(draft, dict) or draft.get("totalPrice") is None:
            raise required("totalPrice")
        total = parse_money(draft["totalPrice"])
        order: Doc = {
            "type": "Order",
            "totalPrice": total,
            "orderState": choice(draft, "orderState", ORDER_STATES, "Open"),
            "inventoryMode": choice(draft, "inventoryMode", MODES, "None"),
            "taxMode": choice(draft, "taxMode", TAX_MODES, "Platform"),
            "taxRoundingMode": choice(draft, "taxRoundingMode", tuple(ROUNDINGS), "HalfEven"),
            "taxCalculationMode": choice(draft, "taxCalculationMode", TAX_LEVELS, "LineItemLevel"),
            "priceRoundingMode": "HalfEven",
            "origin": choice(draft, "origin", ("Customer", "Merchant"), "Customer"),
            "shippingMode": "Single",
            **{name: [] for name in ("shipping", "syncInfo", "returnInfo", "refusedGifts", "discountCodes")},
            "customLineItems": draft.get("customLineItems") or [],
            **{name: draft[name] for name in _FROM_IMPORT if draft.get(name) is not None},
        }
        if "shippingInfo" in order:
            order["shippingInfo"] = {"deliveries": [], "shippingMethodState": "MatchesCart", **order["shippingInfo"]}
        for name, allowed in (("shipmentState", SHIPMENT_STATES), ("paymentState", PAYMENT_STATES)):
            if draft.get(name) is not None:
                order[name] = choice(draft, name, allowed, "")
        if may(draft, "orderNumber", str):
            order["orderNumber"] = draft["orderNumber"]
        if draft.get("store"):
            order["store"] = {"typeId": "store", "key": self.project.resolve(draft["store"], "store")["key"]}
        if (custom := custom_fields(self.project, draft.get("custom"), "order")) is not None:
            order["custom"] = custom
        order["lineItems"] = [self._imported_line(line, order) for line in draft.get("lineItems") or []]
        self._check_number(order)
        demands = self.carts.demands(order)
        self.inventory.check(demands)
        doc = self.project.create(self.project.orders, order)
        self._accept(doc, demands, "OrderImported")
        return doc

    def update(self, doc: Doc, body: Any) -> Doc:
        """POST /orders/{id}."""
        edit = OrderEdit(self.project, self.project.orders, clone(doc), doc, inventory=self.inventory)
        return update(edit, body, order_actions.ACTIONS)

    def delete(self, doc: Doc, version: Any) -> Doc:
        """DELETE /orders/{id}?version=."""
        check_version(doc, version)
        restocked = self.project.switches.restocks_on_delete and self.inventory.restock(doc["id"], "delete_order")
        self.project.orders.remove(doc["id"])
        self.project.messages.emit("order", doc, "OrderDeleted", order=snapshot(doc))
        self._note("order_deleted", doc, restocked=restocked)
        return doc

    def by_number(self, number: str) -> Doc:
        """The order with that number; raises ResourceNotFound."""
        found = self.project.orders.by(ORDER_NUMBER, number)
        return found[0] if found else self.project.orders.by_id(number)

    # --- order edits ---------------------------------------------------------------------------------------------

    def create_edit(self, draft: Any) -> Doc:
        """POST /orders/edits: refused unless the order and all its lines are of mode None."""
        order = self.project.resolve(need(draft, "resource", dict), "order")
        if self.carts.demands(order) or order["inventoryMode"] != "None":
            raise invalid_operation("Order Edits need the inventory mode None on the order and all its line items.")
        staged = draft.get("stagedActions") or []
        self._staged(order, staged)
        fields: Doc = {"resource": reference("order", order["id"]), "stagedActions": staged}
        fields["result"] = {"type": "NotProcessed"}
        for name in ("key", "comment"):
            if draft.get(name) is not None:
                fields[name] = draft[name]
        if draft.get("dryRun"):
            return {"id": self.project.new_id(), "version": 1, **fields}
        return self.project.create(self.project.others["order-edit"], fields)

    def apply_edit(self, edit: Doc, body: Any) -> Doc:
        """POST /orders/edits/{id}/apply {editVersion, resourceVersion}."""
        if edit["result"]["type"] == "Applied":
            raise invalid_operation("The order edit has already been applied.")
        order = self.project.orders.by_id(edit["resource"]["id"])
        check_version(edit, body.get("editVersion"))
        check_version(order, body.get("resourceVersion"))
        changed = self.project.save(self.project.orders, self._staged(order, edit["stagedActions"]))
        result = {"type": "Applied", "appliedAt": changed["lastModifiedAt"], "excerptBeforeEdit": _excerpt(order),
                  "excerptAfterEdit": _excerpt(changed)}  # fmt: skip
        done = self.project.save(self.project.others["order-edit"], {**edit, "result": result})
        edited = reference("order-edit", edit["id"])
        self.project.messages.emit("order", changed, "OrderEditApplied", edit=edited, result=result)
        self._note("order_edited", changed, lines=_lines(changed))
        return done

    def _staged(self, order: Doc, staged: list[Doc]) -> Doc:
        copy = clone(order)
        for action in staged:
            act = CART_ACTIONS.get(need(action, "action", str))
            if act is None:
                raise invalid_json(f"stagedActions: '{action['action']}' is unknown to this simulator")
            act(self.carts, copy, action)
        price_cart(self.project, copy)
        return copy

    # --- inside --------------------------------------------------------------------------------------------------

    def _check_cart(self, cart: Doc) -> None:
        if cart["cartState"] != "Active":
            raise invalid_operation(f"The cart with ID '{cart['id']}' is {cart['cartState']} and cannot be ordered.")
        if not cart["lineItems"] and not cart["customLineItems"]:
            raise invalid_operation("An order cannot be created from an empty cart.")
        # Guess: the documentation asks for tax rates on every part, the exact code of the refusal is not published.
        if cart["taxMode"] != "Disabled" and "taxedPrice" not in cart:
            raise invalid_operation("The cart cannot be ordered: a tax rate is missing (is the shipping address set?).")

    def _check_number(self, order: Doc) -> None:
        number = order.get("orderNumber")
        if number is not None and (found := self.project.orders.by(ORDER_NUMBER, number)):
            raise duplicate("orderNumber", number, reference("order", found[0]["id"]))

    def _imported_line(self, draft: Doc, order: Doc) -> Doc:
        variant, quantity = dict(need(draft, "variant", dict)), need(draft, "quantity", int)
        if variant.get("sku") is None:
            raise invalid_json("lineItems: this simulator imports lines by variant.sku only")
        product_id, number = self.project.skus.get(variant["sku"], (None, 1))
        value = parse_money(need(need(draft, "price", dict), "value", dict))
        total = money(value["centAmount"] * quantity, value["currencyCode"])
        line: Doc = {
            "id": self.project.new_id(),
            "name": need(draft, "name", dict),
            "variant": {"id": number, "prices": [], "attributes": [], **variant},
            "price": {"id": self.project.new_id(), "value": value},
            "quantity": quantity,
            "totalPrice": total,
            "state": draft.get("state") or [{"quantity": quantity, "state": self.project.initial_state}],
            **{name: [] for name in ("discountedPricePerQuantity", "perMethodTaxRate", "taxedPricePortions")},
            "priceMode": "Platform",
            "lineItemMode": "Standard",
        }
        if product_id is not None:
            line |= {"productId": product_id, "productType": self.project.projections.docs[product_id]["productType"]}
        if draft.get("supplyChannel"):
            line["supplyChannel"] = self.inventory.supply(draft["supplyChannel"])
        if draft.get("distributionChannel"):
            line["distributionChannel"] = self.project.refer(draft["distributionChannel"], "channel")
        if draft.get("taxRate"):
            line["taxRate"] = draft["taxRate"]
        mode = choice(draft, "inventoryMode", MODES, order["inventoryMode"])
        if mode != order["inventoryMode"]:
            line["inventoryMode"] = mode
        if (custom := custom_fields(self.project, draft.get("custom"), "line-item")) is not None:
            line["custom"] = custom
        return line

    def _accept(self, order: Doc, demands: list[Demand], message: str) -> None:
        by_line = {demand.line_id: demand for demand in demands}
        lines = _lines(order)
        for line, source in zip(lines, order["lineItems"], strict=True):
            demand = by_line.get(line["line"])
            held = self.inventory.reservations.get(demand.reservation_id or "") if demand else None
            line["channel"] = self.project.channel_key((source.get("supplyChannel") or {}).get("id"))
            line["held_at"] = held.made if held is not None and held.active else None
        self._note("order_accepted", order, lines=lines, cart=(order.get("cart") or {}).get("id"), origin=message)
        self.inventory.commit(order["id"], demands)
        self.project.messages.emit("order", order, message, order=snapshot(order))

    def _note(self, what: str, order: Doc, **facts: Any) -> None:
        self.project.journal.add(
            what, t=self.project.now(), project=self.project.key, order=order["id"], number=order.get("orderNumber"),
            client=self.project.actor, **facts,
        )  # fmt: skip


def _lines(order: Doc) -> list[Doc]:
    lines: list[Doc] = [
        {
            "line": line["id"],
            "sku": line["variant"].get("sku"),
            "mode": line.get("inventoryMode", order["inventoryMode"]),
            "quantity": line["quantity"],
        }
        for line in order["lineItems"]
    ]
    return lines


def _excerpt(order: Doc) -> Doc:
    names = ("totalPrice", "taxedPrice", "version")
    return {name: order[name] for name in names if name in order}
