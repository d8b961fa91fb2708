"""commercetools' documents as they come, field for field. One rule: nothing is coerced and nothing passes a float.

Names follow the vendor's API description. Unknown fields are let through and enum words are plain text, so a new one
never stops an order.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw, field

OUR_TYPE = "sellable-stock"
"""Key of the custom type we put on stock entries that have none."""

MARKER = "lastOp"
"""The custom field that names the last of our writes to an entry."""

Localized = dict[str, str]


class _Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Common behaviour: the vendor's camel case outside, ours inside."""


class Reference(_Document, frozen=True, kw_only=True):
    """A pointer to another resource."""

    id: str = ""
    type_id: str = ""
    key: str | None = None


class Results(_Document, frozen=True, kw_only=True):
    """A page of a query; rows stay bytes, so that they are stored as they came and judged one by one."""

    results: list[Raw]


class Versioned(_Document, frozen=True, kw_only=True):
    """What is needed to page by and to update any resource."""

    id: str
    version: int
    created_at: str = ""
    last_modified_at: str = ""


# --- Money and tax ---------------------------------------------------------------------------------------------------


class Money(_Document, frozen=True, kw_only=True):
    """centPrecision, or highPrecision with `precise_amount` in `fraction_digits` and cents already rounded."""

    currency_code: str
    fraction_digits: int = 2
    cent_amount: int | None = None
    precise_amount: int | None = None


class TaxRate(_Document, frozen=True, kw_only=True):
    """A rate as a fraction."""

    amount: Decimal
    included_in_price: bool
    name: str = ""
    country: str = ""


class MethodTaxRate(_Document, frozen=True, kw_only=True):
    """With several shipping methods a line has a rate for each."""

    tax_rate: TaxRate | None = None


class TaxPortion(_Document, frozen=True, kw_only=True):
    """What one rate contributes."""

    rate: Decimal
    amount: Money
    name: str | None = None


class TaxedPrice(_Document, frozen=True, kw_only=True):
    """Net and gross with portions; the same shape for items and orders."""

    total_net: Money
    total_gross: Money
    tax_portions: list[TaxPortion] | None = None


class Amount(_Document, frozen=True, kw_only=True):
    """Something with a money value: a discounted price."""

    value: Money


class Price(_Document, frozen=True, kw_only=True):
    """List price and, where a product discount applies, the price it makes."""

    value: Money
    discounted: Amount | None = None


class PriceForQuantity(_Document, frozen=True, kw_only=True):
    """So many units of a line at this price by cart discounts."""

    quantity: int
    discounted_price: Amount


class DiscountOnTotal(_Document, frozen=True, kw_only=True):
    """A discount on the order as a whole; net and gross only where the order is taxed."""

    discounted_amount: Money
    discounted_net_amount: Money | None = None
    discounted_gross_amount: Money | None = None


# --- Order -----------------------------------------------------------------------------------------------------------


class CustomFields(_Document, frozen=True, kw_only=True):
    """Custom fields of anything."""

    type: Reference = Reference()
    fields: dict[str, Any] = {}


class Variant(_Document, frozen=True, kw_only=True):
    """The product variant of a line; its SKU can be absent. Attributes stay bytes: few orders need any."""

    sku: str | None = None
    attributes: Raw = Raw(b"[]")


class Attribute(_Document, frozen=True, kw_only=True):
    """A value of the product's own kind: text, a number, an enum with its key, a set of these ..."""

    name: str
    value: Any = None


class ShippingTarget(_Document, frozen=True, kw_only=True):
    """Which shipping method carries units of a line."""

    shipping_method_key: str | None = None


class ShippingDetails(_Document, frozen=True, kw_only=True):
    """Where the units of a line go."""

    targets: list[ShippingTarget] | None = None


class ItemState(_Document, frozen=True, kw_only=True):
    """How many units of a line are in a workflow state."""

    quantity: int
    state: Reference


class State(_Document, frozen=True, kw_only=True):
    """A workflow state: its key is what settings use, its id what documents carry. No `transitions`: any is legal."""

    id: str
    key: str = ""
    type: str = ""
    transitions: list[Reference] | None = None


class LineItem(_Document, frozen=True, kw_only=True):
    """A line of goods."""

    id: str
    quantity: int
    price: Price
    total_price: Money
    key: str | None = None
    name: Localized = {}
    variant: Variant = Variant()
    discounted_price_per_quantity: list[PriceForQuantity] | None = None
    taxed_price: TaxedPrice | None = None
    tax_rate: TaxRate | None = None
    per_method_tax_rate: list[MethodTaxRate] | None = None
    supply_channel: Reference | None = None
    inventory_mode: str | None = None
    shipping_details: ShippingDetails | None = None
    custom: CustomFields | None = None
    state: list[ItemState] | None = None


class CustomLineItem(_Document, frozen=True, kw_only=True):
    """A line of money."""

    id: str
    quantity: int
    total_price: Money
    name: Localized = {}
    taxed_price: TaxedPrice | None = None
    tax_rate: TaxRate | None = None
    per_method_tax_rate: list[MethodTaxRate] | None = None


class Parcel(_Document, frozen=True, kw_only=True):
    """A parcel of a delivery."""

    key: str | None = None
    tracking_data: dict[str, Any] | None = None


class Delivery(_Document, frozen=True, kw_only=True):
    """A delivery with its parcels."""

    key: str | None = None
    parcels: list[Parcel] | None = None


class ShippingInfo(_Document, frozen=True, kw_only=True):
    """A shipping method, its price and what it has delivered."""

    price: Money
    shipping_method_name: str = ""
    discounted_price: Amount | None = None
    taxed_price: TaxedPrice | None = None
    tax_rate: TaxRate | None = None
    deliveries: list[Delivery] | None = None


class Shipping(_Document, frozen=True, kw_only=True):
    """One of several shipping methods of an order (shippingMode Multiple)."""

    shipping_key: str
    shipping_info: ShippingInfo | None = None
    shipping_address: Address | None = None


class Address(_Document, frozen=True, kw_only=True):
    """A postal address."""

    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    department: str | None = None
    street_name: str | None = None
    street_number: str | None = None
    additional_street_info: str | None = None
    building: str | None = None
    apartment: str | None = None
    po_box: str | None = field(default=None, name="pOBox")
    postal_code: str | None = None
    city: str | None = None
    region: str | None = None
    state: str | None = None
    country: str | None = None
    phone: str | None = None
    mobile: str | None = None
    email: str | None = None


class SyncInfo(_Document, frozen=True, kw_only=True):
    """What another system calls the order."""

    channel: Reference
    external_id: str | None = None


class ReturnItem(_Document, frozen=True, kw_only=True):
    """Units of a line that came back."""

    quantity: int
    id: str = ""
    key: str | None = None
    shipment_state: str = ""
    payment_state: str = ""
    line_item_id: str | None = None
    comment: str | None = None
    custom: CustomFields | None = None


class ReturnInfo(_Document, frozen=True, kw_only=True):
    """A return with its items."""

    items: list[ReturnItem] | None = None


class Order(_Document, frozen=True, kw_only=True):
    """An order at one version."""

    id: str
    version: int
    created_at: datetime
    last_modified_at: datetime
    total_price: Money
    line_items: list[LineItem]
    order_state: str
    order_number: str | None = None
    purchase_order_number: str | None = None
    customer_email: str | None = None
    store: Reference | None = None
    custom_line_items: list[CustomLineItem] | None = None
    taxed_price: TaxedPrice | None = None
    discount_on_total_price: DiscountOnTotal | None = None
    tax_mode: str = "Platform"
    tax_rounding_mode: str = "HalfEven"
    tax_calculation_mode: str = "LineItemLevel"
    inventory_mode: str = "None"
    billing_address: Address | None = None
    shipping_address: Address | None = None
    shipping_mode: str = "Single"
    shipping_key: str | None = None
    shipping_info: ShippingInfo | None = None
    shipping: list[Shipping] | None = None
    country: str | None = None
    locale: str | None = None
    cart: Reference | None = None
    shipment_state: str | None = None
    payment_state: str | None = None
    sync_info: list[SyncInfo] | None = None
    return_info: list[ReturnInfo] | None = None


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ORDER_FIELDS = _names(
    """anonymousId billingAddress businessUnit cart completedAt country createdAt createdBy custom customLineItems
    customerEmail customerGroup customerId directDiscounts discountCodes discountOnTotalPrice discountTypeCombination id
    inventoryMode itemShippingAddresses lastMessageSequenceNumber lastModifiedAt lastModifiedBy lineItems locale
    orderNumber orderState origin paymentInfo paymentState priceRoundingMode purchaseOrderNumber quote recurringOrder
    refusedGifts returnInfo shipmentState shipping shippingAddress shippingCustomFields shippingInfo shippingKey
    shippingMode shippingRateInput state store syncInfo taxCalculationMode taxMode taxRoundingMode taxedPrice
    taxedShippingPrice totalPrice type version"""
)
"""Fields of an order in the API description; one that is not among them may mean money or stock."""

LINE_FIELDS = _names(
    """addedAt custom discountedPricePerQuantity distributionChannel id inventoryMode key lastModifiedAt lineItemMode
    name perMethodTaxRate price priceMode productId productKey productSlug productType quantity recurrenceInfo
    reservation shippingDetails state supplyChannel taxRate taxedPrice taxedPricePortions totalPrice variant"""
)


class Skeleton(_Document, frozen=True, kw_only=True):
    """The names of a document's fields, for spotting new ones."""

    line_items: list[dict[str, Raw]] = []


# --- Stock -----------------------------------------------------------------------------------------------------------


class Entry(_Document, frozen=True, kw_only=True):
    """A stock entry of the HTTP API."""

    id: str
    version: int
    sku: str
    quantity_on_stock: int
    available_quantity: int
    supply_channel: Reference | None = None
    restockable_in_days: int | None = None
    custom: CustomFields | None = None


class RawField(_Document, frozen=True, kw_only=True):
    """A custom field as GraphQL gives it."""

    name: str
    value: Any = None


class GraphCustom(_Document, frozen=True, kw_only=True):
    """Custom fields as GraphQL gives them."""

    type_ref: Reference = Reference()
    custom_fields_raw: list[RawField] | None = None


class GraphEntry(_Document, frozen=True, kw_only=True):
    """A stock entry of GraphQL: as much as ENTRY_FIELDS asks for."""

    id: str
    version: int
    sku: str
    quantity_on_stock: int
    available_quantity: int
    supply_channel_ref: Reference | None = None
    restockable_in_days: int | None = None
    custom: GraphCustom | None = None


ENTRY_FIELDS = (
    "id version sku quantityOnStock availableQuantity restockableInDays supplyChannelRef{id} "
    f'custom{{typeRef{{id}} customFieldsRaw(includeNames:["{MARKER}"]){{name value}}}}'
)


class GraphRows(_Document, frozen=True, kw_only=True):
    """The result of a GraphQL query."""

    results: list[GraphEntry]


class GraphEntries(_Document, frozen=True, kw_only=True):
    """The data of our query for entries."""

    inventory_entries: GraphRows | None = None


class GraphProblem(_Document, frozen=True, kw_only=True):
    """An error of GraphQL; `path` begins with the alias it belongs to."""

    message: str = ""
    path: list[str | int] | None = None
    extensions: dict[str, Any] | None = None

    @property
    def code(self) -> str:
        """The vendor's code, which stands among the extensions."""
        return str((self.extensions or {}).get("code") or "")


class GraphAnswer(_Document, frozen=True, kw_only=True):
    """A GraphQL answer: data by alias, and what failed. `data` is UNSET when nothing was executed."""

    data: Raw | msgspec.UnsetType = msgspec.UNSET
    errors: list[GraphProblem] | None = None


class WrittenEntry(_Document, frozen=True, kw_only=True):
    """What a write answers with, over either API."""

    id: str
    version: int
    quantity_on_stock: int


# --- Messages, errors, reference data --------------------------------------------------------------------------------


class Message(_Document, frozen=True, kw_only=True):
    """The envelope of a message; `order` stays bytes."""

    id: str
    created_at: str
    type: str = ""
    resource: Reference = Reference()


class OrderNews(_Document, frozen=True, kw_only=True):
    """A message that carries the order."""

    order: Raw = Raw()


class Notification(_Document, frozen=True, kw_only=True):
    """What a subscription delivers in the Platform format: a message, or that a resource changed."""

    notification_type: str = ""
    id: str = ""
    type: str = ""
    resource: Reference = Reference()
    version: int = 0
    created_at: str = ""
    modified_at: str = ""


class CloudEvent(_Document, frozen=True, kw_only=True):
    """The CloudEvents wrapper; `data` is what the Platform format would have delivered."""

    specversion: str = ""
    data: Raw = Raw()


class Problems(_Document, frozen=True, kw_only=True):
    """An error body; each error has a code, a message and its evidence. Auth errors say `error` besides."""

    message: str = ""
    error: str = ""
    errors: list[dict[str, Any]] = []


class Token(_Document, frozen=True, kw_only=True, rename=None):
    """An access token, its life in seconds and what it opens, separated by blanks."""

    access_token: str
    expires_in: int
    scope: str = ""


class ProjectedVariant(_Document, frozen=True, kw_only=True):
    """A variant of a product; it may have no SKU."""

    sku: str | None = None


class Projection(_Document, frozen=True, kw_only=True):
    """The SKUs of a product projection."""

    master_variant: ProjectedVariant = ProjectedVariant()
    variants: list[ProjectedVariant] = []


class Channel(_Document, frozen=True, kw_only=True):
    """A channel: its key is what settings and people use, its id what documents carry."""

    id: str
    key: str
    version: int = 0
    roles: list[str] = []


class Keyed(_Document, frozen=True, kw_only=True):
    """Any resource with a key."""

    key: str


class FieldDefinition(_Document, frozen=True, kw_only=True):
    """A field of a custom type; `type` says its kind under "name"."""

    name: str
    type: dict[str, Any] = {}


class CustomType(_Document, frozen=True, kw_only=True):
    """A custom type."""

    id: str
    version: int = 0
    key: str = ""
    resource_type_ids: list[str] = []
    field_definitions: list[FieldDefinition] = []

    @property
    def marks(self) -> bool:
        """Whether entries of this type can carry our marker."""
        texts = (f.name for f in self.field_definitions if f.type.get("name") == "String")
        return "inventory-entry" in self.resource_type_ids and MARKER in texts


class MessagesConfiguration(_Document, frozen=True, kw_only=True):
    """Whether messages can be queried, and for how many days."""

    enabled: bool = False
    delete_days_after_creation: int | None = None


class Project(_Document, frozen=True, kw_only=True):
    """The project's settings."""

    version: int
    messages: MessagesConfiguration = MessagesConfiguration()
    countries: list[str] = []
    currencies: list[str] = []


class Store(_Document, frozen=True, kw_only=True):
    """A store and the supply channels its carts may use."""

    key: str
    supply_channels: list[Reference] = []


class CategoryRate(_Document, frozen=True, kw_only=True):
    """A rate of a tax category; `amount` is a fraction."""

    name: str
    amount: Decimal
    included_in_price: bool
    country: str


class TaxCategory(_Document, frozen=True, kw_only=True):
    """A tax category with its rates."""

    rates: list[CategoryRate] = []


class ShippingMethod(_Document, frozen=True, kw_only=True):
    """A shipping method."""

    name: str
