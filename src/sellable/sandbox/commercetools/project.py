"""One project: its collections, clock, ids, scheduled happenings and switches. Rule: time only moves in advance()."""

import heapq
import random
import uuid
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from sellable.sandbox.clock import Clock
from sellable.sandbox.commercetools.errors import invalid_json, reference_not_found
from sellable.sandbox.commercetools.messages import MessageLog
from sellable.sandbox.commercetools.store import KEY, Collection, paths
from sellable.sandbox.commercetools.wire import Doc, reference, stamp
from sellable.sandbox.journal import Journal

SKU, ORDER_NUMBER = paths("sku"), paths("orderNumber")
PROJECTION_SKU = paths("masterVariant.sku", "variants.sku")
PRODUCT_SKU = paths("masterData.current.masterVariant.sku", "masterData.current.variants.sku")
BASE_FIELDS = frozenset(
    {"id", "version", "key", "createdAt", "lastModifiedAt", "createdBy", "lastModifiedBy", "custom"}
)
INVENTORY_FIELDS = BASE_FIELDS | {
    "sku", "supplyChannel", "quantityOnStock", "availableQuantity", "minCartQuantity", "maxCartQuantity",
    "restockableInDays", "expectedDelivery", "reservationExpirationInMinutes", "stockLevels",
}  # fmt: skip
ORDER_FIELDS = BASE_FIELDS | {
    "orderNumber", "purchaseOrderNumber", "customerId", "customerEmail", "customerGroup", "anonymousId", "businessUnit",
    "store", "country", "locale", "origin", "inventoryMode", "completedAt", "lineItems", "customLineItems",
    "totalPrice", "taxedPrice", "taxedShippingPrice", "discountCodes", "directDiscounts", "taxMode", "taxRoundingMode",
    "taxCalculationMode", "billingAddress", "shippingAddress", "itemShippingAddresses", "shippingMode", "shippingInfo",
    "shipping", "shippingKey", "paymentInfo", "orderState", "shipmentState", "paymentState", "state", "syncInfo",
    "returnInfo", "cart", "quote", "recurringOrder", "priceRoundingMode", "refusedGifts", "discountOnTotalPrice",
}  # fmt: skip
GENERIC_TYPES = (
    "channel", "store", "shipping-method", "zone", "type", "state", "product", "product-type", "tax-category",
    "subscription", "extension", "customer", "payment", "order-edit", "key-value-document",
)  # fmt: skip


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What nobody could measure on a live project, or what an operator sets. Every default marked guess is one."""

    order_lag_seconds: float = 10.0
    """Longest delay before an order's decrement shows (release note of 19 Jan 2026); each draws 0..this."""
    set_semantics: Literal["absorbs", "not"] = "absorbs"
    """Guess: whether changeQuantity swallows decrements that do not show yet."""
    accept_on: Literal["internal", "lagging"] = "internal"
    """Guess: the number that ReserveOnOrder checks."""
    order_bumps_version: bool = True
    """Guess: whether a decrement that shows raises the entry's version."""
    restocks_on_cancel: bool = False
    """Guess: whether changeOrderState Cancelled puts stock back."""
    restocks_on_delete: bool = False
    """Guess: whether deleting an order puts stock back."""
    restocks_on_return: bool = False
    """Guess: whether setReturnShipmentState BackInStock puts stock back."""
    actions_atomic: bool = True
    """Guess: whether one update request is all or nothing."""
    reservation_expiry_late_seconds: float = 180.0
    """Longest delay of a hold's expiry ("some minutes late"); each draws 0..this."""
    oauth_seconds: float = 172_800.0
    """Guess: life of an access token."""
    retention_days: int = 15
    """Life of a message (API description, MessagesConfiguration)."""
    message_visible_lag_seconds: float = 0.0
    """Longest delay before a message can be queried although its createdAt is earlier; each draws 0..this."""
    max_requests_per_second: int | None = None
    """Calls beyond this in any simulated second get 503 OverCapacity; None has no limit."""


class Project:
    """State shared by everything that happens in one project key."""

    def __init__(self, key: str, clock: Clock, journal: Journal, rng: random.Random) -> None:
        self.key, self.clock, self.journal, self.random = key, clock, journal, rng
        self.switches = Switches()
        self.currency, self.country = "EUR", "DE"
        self.actor: str | None = None
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._at: float | None = None
        self._last = 0.0
        self.hurry: Callable[[], None] = lambda: None
        self.inventory = Collection("inventory-entry", indexes=[SKU], fields=INVENTORY_FIELDS)
        self.carts = Collection("cart")
        self.orders = Collection("order", indexes=[ORDER_NUMBER], fields=ORDER_FIELDS)
        self.others = {name: Collection(name) for name in GENERIC_TYPES}
        self.others["product"] = Collection("product", indexes=[PRODUCT_SKU])
        self.projections = Collection("product-projection", indexes=[PROJECTION_SKU])
        self.skus: dict[str, tuple[str, int]] = {}
        self.messages = MessageLog(self)
        self.version, self.created = 1, stamp(clock.time())
        self.settings: Doc = {
            "name": key,
            "countries": [],
            "currencies": [],
            "languages": ["en"],
            "messages": {"enabled": False, "deleteDaysAfterCreation": 15},
            "carts": {"deleteDaysAfterLastModification": 90, "countryTaxRateFallbackEnabled": False},
            "discounts": {"discountCombinationMode": "Stacking"},
            "inventory": {"releaseExpiredReservations": True},
            "productCatalogModel": "Classic",
        }
        self.initial_state = self._built_in_state()

    def collection(self, type_id: str) -> Collection:
        """The collection of a reference's typeId."""
        own = {"inventory-entry": self.inventory, "cart": self.carts, "order": self.orders}
        return own[type_id] if type_id in own else self.others[type_id]

    def now(self) -> float:
        """Simulated unix seconds, the due time while a scheduled happening runs; never goes back."""
        self._last = max(self._last, self.clock.time() if self._at is None else self._at)
        return self._last

    def after(self, seconds: float, happening: Callable[[], None]) -> None:
        """Let something happen later; at once when seconds is 0."""
        if seconds <= 0:
            happening()
            return
        self._scheduled += 1
        heapq.heappush(self._due, (self.now() + seconds, self._scheduled, happening))
        if self._due[0][1] == self._scheduled:
            self.hurry()

    @property
    def next_due(self) -> float | None:
        """When something is to happen next, in simulated unix seconds; `hurry` is called when that moves forward."""
        return self._due[0][0] if self._due else None

    def advance(self) -> None:
        """Let everything happen that is due by now, each at its own time, in nobody's name."""
        now, actor, self.actor = self.clock.time(), self.actor, None
        while self._due and self._due[0][0] <= now:
            self._at, _, happening = heapq.heappop(self._due)
            happening()
        self._at, self.actor = None, actor

    def draw(self, longest: float) -> float:
        """A delay between 0 and `longest` seconds."""
        return self.random.uniform(0, longest) if longest > 0 else 0.0

    def new_id(self) -> str:
        """A random UUID from the seed."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def by(self) -> Doc:
        """createdBy / lastModifiedBy of the caller."""
        return {"isPlatformClient": self.actor is None, **({"clientId": self.actor} if self.actor else {})}

    def create(self, collection: Collection, fields: Doc) -> Doc:
        """Store a new document at version 1."""
        now, by = stamp(self.now()), self.by()
        doc = {"id": self.new_id(), "version": 1, "createdAt": now, "lastModifiedAt": now, "createdBy": by}
        doc = {**doc, "lastModifiedBy": by, **fields}
        collection.add(doc)
        return doc

    def save(self, collection: Collection, doc: Doc) -> Doc:
        """Store a changed copy under the next version."""
        doc["version"] += 1
        doc["lastModifiedAt"] = stamp(self.now())
        doc["lastModifiedBy"] = self.by()
        collection.replace(doc)
        return doc

    def resolve(self, identifier: Any, type_id: str) -> Doc:
        """The document of a resource identifier {typeId, id | key}; raises ReferencedResourceNotFound."""
        if not isinstance(identifier, dict) or not (identifier.get("id") or identifier.get("key")):
            raise invalid_json(f"a resource identifier of type {type_id} is expected, got {identifier!r}")
        if identifier.get("typeId", type_id) != type_id:
            raise invalid_json(f"typeId '{type_id}' is expected, got '{identifier['typeId']}'")
        collection = self.collection(type_id)
        if identifier.get("id"):
            if identifier["id"] not in collection.docs:
                raise reference_not_found(type_id, "id", identifier["id"])
            return collection.docs[identifier["id"]]
        found = collection.by(KEY, identifier["key"])
        if not found:
            raise reference_not_found(type_id, "key", identifier["key"])
        return found[0]

    def refer(self, identifier: Any, type_id: str) -> Doc:
        """The stored reference {typeId, id} of a resource identifier."""
        return reference(type_id, self.resolve(identifier, type_id)["id"])

    def channel_key(self, channel_id: str | None) -> str | None:
        """The key the oracle knows a channel by; None for the channel-less pool."""
        return None if channel_id is None else str(self.others["channel"].docs[channel_id]["key"])

    def _built_in_state(self) -> Doc:
        fields = {"key": "Initial", "type": "LineItemState", "roles": [], "builtIn": True, "initial": True}
        return reference("state", self.create(self.others["state"], fields)["id"])
