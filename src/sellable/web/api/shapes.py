"""What the API takes and answers, as structs: decoding, checking and the OpenAPI description all read these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

SKUS_MAX = 100
ROWS_MAX = 200

Text = Annotated[str, Meta(max_length=200)]
Sku = Annotated[str, Meta(min_length=1, max_length=200)]
Status = Literal["in_stock", "low_stock", "out_of_stock"]


class _Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Comes from outside: a name we do not know is a mistake and told as one."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as RFC 9457 says it."""

    title: Annotated[str, Meta(description="What went wrong, in a few words.")]
    status: int
    detail: Annotated[str, Meta(description="What to do about it, or where it is.")] = ""
    type: str = "about:blank"


# --- Availability ----------------------------------------------------------------------------------------------------


class WhichSkus(_Asked, frozen=True, kw_only=True):
    """Of which SKUs, on which channel."""

    sku: Annotated[
        tuple[Sku, ...],
        Meta(min_length=1, max_length=SKUS_MAX, description=f"A SKU, exact; again for each, up to {SKUS_MAX}."),
    ]
    channel: Annotated[Text | None, Meta(description="Key of one channel ('' for entries without); else all.")] = None
    locations: Annotated[bool, Meta(description="Also what lies where.")] = False


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What one location holds of a SKU, as its master said last."""

    location_id: str
    on_hand: Annotated[int, Meta(description="Units in state available.")]
    at: Annotated[datetime, Meta(description="When the master said so.")]


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """What one channel may sell of one SKU."""

    sku: str
    channel: str
    available: Annotated[int, Meta(description="Units that may be sold: what the storefront should show.")]
    shown: Annotated[int, Meta(description="Units the storefront shows once it has applied all we know of.")]
    status: Annotated[Status, Meta(description="low_stock is at or below the channel's low mark.")]
    explanation: Annotated[str, Meta(description="Address of every term of this number.")]
    locations: Annotated[tuple[Place, ...] | msgspec.UnsetType, Meta(description="Only when asked for.")] = (
        msgspec.UNSET
    )


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers in the order of SKU and channel; `unknown` are SKUs that have no entry there."""

    at: datetime
    numbers: list[Number]
    unknown: list[str]


class AtInstant(_Asked, frozen=True, kw_only=True):
    """When."""

    at: Annotated[datetime | None, Meta(description="An instant of the past, with its zone; else now.")] = None


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Every term of a SKU's numbers, as `sellable explain --json` prints them."""

    sku: str
    at: str
    numbers: list[dict[str, Any]]
    facts: dict[str, Any]
    at_master: str = ""
    known_to_master: bool = False
    twins: list[str] = field(default_factory=list)
    recipe: dict[str, int] = field(default_factory=dict)
    entry_facts: dict[str, Any] = field(default_factory=dict)


# --- Orders ----------------------------------------------------------------------------------------------------------


class WhichOrders(_Asked, frozen=True, kw_only=True):
    """A page of orders."""

    show: Annotated[
        Literal["all", "waiting", "held", "exporting", "exported", "shipped", "cancelled", "split"],
        Meta(description="What they wait for."),
    ] = "all"
    q: Annotated[Text, Meta(description="An id, the beginning of a number, or the number of a sale.")] = ""
    after: Annotated[Text, Meta(description="`next` of the page before.")] = ""
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = 50


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order in a list. `total` is in minor units: 1999 with 2 digits is 19.99."""

    order_id: str
    number: str | None
    stage: str
    stage_since: datetime
    placed_at: datetime
    total: int
    currency: str
    digits: int
    waits_for: str


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """A page, and where the next one begins; empty at the end."""

    orders: list[Order]
    next: str


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the orders of an id or number, as `sellable orders show --json` prints it."""

    orders: list[dict[str, Any]]


# --- Cases -----------------------------------------------------------------------------------------------------------


class WhichCases(_Asked, frozen=True, kw_only=True):
    """A page of cases, worst first."""

    state: Annotated[Literal["live", "open", "acknowledged", "resolved"], Meta(description="live is both of them.")] = (
        "live"
    )
    kind: Annotated[Text, Meta(description="Kind of case; empty for every kind.")] = ""
    owner: Annotated[Text, Meta(description="Whose; empty for everybody's.")] = ""
    page: Annotated[int, Meta(ge=0, le=1000)] = 0
    limit: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = 50


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A case: severity 1 is at once, 4 some day."""

    ref: str
    kind: str
    title: str
    subject: str
    owner: str
    state: str
    severity: int
    count: int
    first_at: datetime
    last_at: datetime
    deadline: datetime | None
    next_step: str
    expected: Any = None
    actual: Any = None
    evidence: list[str] = field(default_factory=list)
    resolution: str | None = None


class Cases(msgspec.Struct, frozen=True, kw_only=True):
    """A page; `more` when another follows."""

    cases: list[Case]
    more: bool


class CaseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done about a case."""

    at: datetime
    actor: str
    what: str
    detail: str


class WholeCase(msgspec.Struct, frozen=True, kw_only=True):
    """A case, what was done about it, and what waits behind it."""

    case: Case
    history: list[CaseEvent]
    parked: list[str]


class Nothing(_Asked, frozen=True, kw_only=True):
    """Nothing needs to be said."""


class Assign(_Asked, frozen=True, kw_only=True):
    """To whom."""

    owner: Annotated[str, Meta(min_length=1, max_length=200)]


class Resolve(_Asked, frozen=True, kw_only=True):
    """What was done about it; `give_up` leaves what is parked behind it parked for good."""

    why: Annotated[str, Meta(min_length=1, max_length=2000)]
    give_up: bool = False


class Comment(_Asked, frozen=True, kw_only=True):
    """What is to be in its history."""

    text: Annotated[str, Meta(min_length=1, max_length=2000)]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it changed anything, and how much goes on because of it."""

    changed: bool
    count: int = 0


# --- Writes ----------------------------------------------------------------------------------------------------------


class Writes(msgspec.Struct, frozen=True, kw_only=True):
    """Whether writes of stock are frozen, and whether this call changed that."""

    frozen: bool
    changed: bool = False
