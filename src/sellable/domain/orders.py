"""An order as every room understands it: what was bought, from which channel's stock, at which exact totals."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from sellable.domain.money import Rounding, TaxCalculation, Taxed
from sellable.domain.stock import State

EXPERIMENT = "sellable-doctor-"
"""Numbers of orders that an experiment makes and deletes begin so, and the key of the channel it made for them."""

UNITS_MAX = 10**9
"""No line has so many units. One that states so many or more counts as this many, which no shelf has, and sums fit."""


class InventoryMode(StrEnum):
    """What the storefront itself does to its stock number when a line is ordered (InventoryMode in its API)."""

    NONE = "None"
    TRACK_ONLY = "TrackOnly"
    RESERVE_ON_ORDER = "ReserveOnOrder"
    RESERVE_ON_CART = "ReserveOnCart"


class OrderState(StrEnum):
    """Open, confirmed and complete orders are demand; a cancelled one is not."""

    OPEN = "Open"
    CONFIRMED = "Confirmed"
    COMPLETE = "Complete"
    CANCELLED = "Cancelled"


class Address(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A postal address. Personal data: stored encrypted at rest by the database's owner, redacted in logs."""

    name: str = ""
    company: str = ""
    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postcode: str = ""
    country: str = ""
    email: str = ""
    phone: str = ""


class Tax(msgspec.Struct, frozen=True, kw_only=True):
    """The rate that was applied: `rate` as a fraction; `included` when prices are gross."""

    name: str
    rate: Decimal
    included: bool
    country: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of goods. `channel` is the supply channel's key, None the channel-less pool.

    `unit` and `total` are minor units after discounts, gross if `tax.included`; `unit` is the undiscounted list
    price only where no discount applies. `cancelled` of the units are in a workflow state that means so: the storefront
    leaves `quantity` and the amounts as they were ordered. `attributes` are those of its product that routes ask for.
    """

    line_id: str
    sku: str | None
    name: str
    quantity: int
    mode: InventoryMode
    channel: str | None
    unit: int
    total: int
    tax: Tax | None
    taxed: Taxed | None
    bundle_parent: str | None = None
    cancelled: int = 0
    reason: str = ""
    attributes: dict[str, str] = {}

    def __post_init__(self) -> None:
        if type(self.quantity) is not int or self.quantity < 0:
            raise ValueError(f"line {self.line_id}: quantity {self.quantity!r} is not a whole number of units")

    @property
    def moves_entry(self) -> bool:
        """Whether the storefront surely lowered its own number by these units.

        By a quantity that is beyond all quantities it may or may not have: an E that does not follow only undersells.
        """
        return bool(self.sku) and 0 < self.quantity < UNITS_MAX and self.mode is not InventoryMode.NONE


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """Shipping, a custom line, or a discount on the total: money that moves no stock. `total` may be negative."""

    kind: str  # "shipping" | "custom" | "discount"
    charge_id: str
    name: str
    quantity: int
    total: int
    tax: Tax | None
    taxed: Taxed | None


class SyncInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a back office is known by on the order: channel key and that system's id."""

    channel: str
    external_id: str


class ReturnItem(msgspec.Struct, frozen=True, kw_only=True):
    """A return as the storefront's order says it: `state` and `payment` in its words, `line_id` "" for a custom line.

    It is what somebody told the storefront, us among them; goods move only by the word of their master.
    """

    item_id: str
    key: str
    line_id: str
    units: int
    state: str
    payment: str
    reason: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A storefront order at one version. Amounts are minor units of `currency` with `digits` fraction digits.

    `impossible` quotes quantities and amounts beyond all there are, which are here as the most there is.
    """

    order_id: str
    version: int
    number: str | None
    cart_id: str | None
    placed_at: datetime
    modified_at: datetime
    state: OrderState
    payment_state: str | None
    shipment_state: str | None
    store: str | None
    country: str | None
    currency: str
    digits: int
    lines: tuple[Line, ...]
    charges: tuple[Charge, ...]
    total: int
    taxed: Taxed | None
    rounding: Rounding
    calculation: TaxCalculation
    tax_mode: str
    customer_email: str = ""
    purchase_order: str = ""
    shipping_method: str = ""
    shipping_address: Address = Address()
    billing_address: Address = Address()
    sync: tuple[SyncInfo, ...] = ()
    delivery_keys: tuple[str, ...] = ()
    parcel_keys: tuple[str, ...] = ()
    returns: tuple[ReturnItem, ...] = ()
    unknown: tuple[str, ...] = ()
    impossible: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for at in (self.placed_at, self.modified_at):
            if at.tzinfo is None:
                raise ValueError(f"order {self.order_id}: a time without a zone: {at!r}")

    @property
    def label(self) -> str:
        """The number people use, or the id where the storefront gave none."""
        return self.number or self.order_id


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """One parcel of a shipment. `items` are (sku, units)."""

    parcel_id: str
    carrier: str
    tracking: str
    tracking_url: str
    shipped_on: str
    items: tuple[tuple[str, int], ...]


class Shipment(msgspec.Struct, frozen=True, kw_only=True):
    """One despatch of one sale at the back office; `items` are (sku, units) over all its parcels."""

    shipment_id: str
    items: tuple[tuple[str, int], ...]
    parcels: tuple[Parcel, ...]


class ReturnedGoods(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a return that came into stock: at our `location` ("" where it is not ours) and in this state."""

    sku: str
    units: int
    location: str
    state: State


class GoodsReturn(msgspec.Struct, frozen=True, kw_only=True):
    """One return at the back office, all of it so far. `items` are (sku as sold, units, reason) taken back or credited;
    `stock` is what came into stock, by component. What is in `items` alone came into no stock.
    """

    return_id: str
    number: str
    items: tuple[tuple[str, int, str], ...]
    stock: tuple[ReturnedGoods, ...]
