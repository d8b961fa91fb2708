"""The settings as structs. Each field carries its sentence (`Meta(description=...)`): file, docs and errors read it.

One rule: a setting that can make the storefront lie has no default; it must be said.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from sellable.config.secrets import MARK, masked
from sellable.domain.stock import State

OWN_RATE = "own"
CIN7_CORE, ORDERFLOW, COMMERCETOOLS = "cin7_core", "orderflow", "commercetools"
"""The back offices, as locations and rules name them, and the storefront, which may be the master of a location."""

MappedStage = Literal["waiting", "allocated", "picking", "packed", "despatched", "cancelled"]
"""What a warehouse's own state of an order, a line or a shipment may be mapped to; `waiting` has set nothing aside."""


def _says(sentence: str) -> Meta:
    return Meta(description=sentence)


def _hides(sentence: str) -> Meta:
    """Of a secret: it may be given by reference and is never shown."""
    return Meta(description=sentence, extra={MARK: True})


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Common behaviour: immutable, named, a mistyped name is an error, and secrets stay out of every repr."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in masked(self))})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(masked(self))


class Service(_Settings, frozen=True, kw_only=True):
    """The process itself."""

    data_dir: Annotated[
        str, _says("Folder of the embedded database; where it is relative, beside the settings file.")
    ] = ".sellable"
    database_url: Annotated[str, _hides("PostgreSQL to use, or empty for the embedded one.")] = ""
    listen: Annotated[str, _says("Address and port of webhooks, health, metrics and the console.")] = "127.0.0.1:8080"
    log: Annotated[Literal["json", "console"], _says("Format of the log on standard error.")] = "json"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _says("Least severe level that is logged.")] = (
        "info"
    )
    redaction_key: Annotated[str, _hides("Secret that keys the hashes of personal fields in logs and audit.")] = ""
    payload_key: Annotated[
        str, _hides("Key that what arrives is encrypted with in the database; `sellable config key` makes one.")
    ] = ""
    payload_key_before: Annotated[str, _hides("The key before it, while rows may still be encrypted with that.")] = ""
    metrics_open: Annotated[bool, _says("Whether /metrics answers without a token.")] = True
    metrics_token: Annotated[str, _hides("Bearer token that opens /metrics when it is not open to all.")] = ""
    case_days: Annotated[int, _says("Days a resolved case is kept, with its history.")] = 400


class Orders(_Settings, frozen=True, kw_only=True):
    """When an order becomes a sale at the back office."""

    start_at: Annotated[
        datetime,
        _says("Orders placed before this instant are adopted where their sale is found, else ignored; never created."),
    ]
    trigger: Annotated[
        Literal["created", "paid", "confirmed"], _says("What must be true of an order before it is exported.")
    ] = "created"
    form: Annotated[
        Literal["three_call", "two_call"],
        _says("three_call compares totals before authorising; two_call only where the tax pairing proved exact."),
    ] = "three_call"
    staff_cancels: Annotated[
        bool,
        _says(
            "Whether units that staff take off a sale at the back office are cancelled at the storefront too; "
            "else a case asks and they stay promised."
        ),
    ] = False
    held_age_limit_hours: Annotated[int, _says("After this many hours a waiting order becomes a case.")] = 48
    adopt_minutes_after_birth: Annotated[
        int, _says("So long after birth or restore of the database nothing is created without a search.")
    ] = 10


class Channel(_Settings, frozen=True, kw_only=True):
    """A place that sells: one supply channel of the storefront (or none) drawing on one pool."""

    key: Annotated[str, _says("Key of the commercetools supply channel; empty for entries without a channel.")]
    pool: Annotated[str, _says("Pool this channel sells from.")]
    buffer: Annotated[int, _says("Units of every SKU never shown on this channel.")] = 0
    cap: Annotated[int | None, _says("Most units of a SKU shown on this channel.")] = None
    low_mark: Annotated[int, _says("At or below this number a lowering goes ahead of routine differences.")] = 3
    create_entries: Annotated[
        bool, _says("Create missing stock entries, at 0, for what is stocked in the pool and has a product.")
    ] = False
    mode: Annotated[
        Literal["shadow", "lowers", "full"],
        _says(
            "shadow computes and compares and writes nothing, of its orders neither; lowers writes only what makes a "
            "number smaller; full keeps numbers equal."
        ),
    ] = "full"
    brake_keys_percent: Annotated[
        int, _says("The first pass in a mode that would change more of the channel's numbers waits; 100 for no limit.")
    ] = 20
    brake_units_percent: Annotated[
        int, _says("The first pass that would move more units, in percent of those shown, waits; 100 for no limit.")
    ] = 20
    brake_keys_min: Annotated[int, _says("A first pass that changes fewer numbers never waits.")] = 10


class Pool(_Settings, frozen=True, kw_only=True):
    """Locations that are sold together."""

    name: Annotated[str, _says("Name of the pool.")]
    locations: Annotated[tuple[str, ...], _says("Locations whose available stock is added up.")]


class Location(_Settings, frozen=True, kw_only=True):
    """A place that holds stock."""

    name: Annotated[str, _says("Our name of the location.")]
    master: Annotated[str, _says("The one system that owns this location's numbers, for example cin7_core.")]
    remote: Annotated[
        str, _says("The location's exact name at its master; where that is commercetools, at who ships from there.")
    ]
    ships: Annotated[bool, _says("Whether web orders may be sourced from here.")] = True
    shipped_by: Annotated[
        str, _says("Where commercetools is the master: the back office that ships from here (orderflow); else empty.")
    ] = ""

    @property
    def counted_at_storefront(self) -> bool:
        """Whether commercetools' own number is the truth of this place."""
        return self.master == COMMERCETOOLS

    @property
    def keeper(self) -> str:
        """The back office whose goods these are to pick: the master, unless that is the storefront."""
        return self.shipped_by if self.counted_at_storefront else self.master


class StateRule(_Settings, frozen=True, kw_only=True):
    """Which state stock in a (location, bin) of the master is in. Unmapped bins are not sellable."""

    location: Annotated[str, _says("Our name of the location.")]
    bin: Annotated[str, _says("Bin name at the master; * for every bin and for stock without one.")]
    state: Annotated[State, _says("available, inspection, damaged, quarantine, receiving ...")]


class Buffer(_Settings, frozen=True, kw_only=True):
    """Units held back, by SKU, location or channel; all that match are added up."""

    units: Annotated[int, _says("Units to hold back.")]
    sku: Annotated[str, _says("Only this SKU; empty for all.")] = ""
    location: Annotated[str, _says("Only stock of this location; empty for the pool as a whole.")] = ""
    channel: Annotated[str | None, _says("Only this channel; absent for all.")] = None


class SkuMap(_Settings, frozen=True, kw_only=True):
    """A SKU that the storefront and the back office spell differently: one of each, and both mean the same goods."""

    storefront: Annotated[str, _says("The SKU as commercetools spells it.")]
    master: Annotated[str, _says("The SKU as its master spells it, byte for byte.")]


class TaxMap(_Settings, frozen=True, kw_only=True):
    """A storefront tax to a tax rule of the back office, one to one."""

    rate: Annotated[str, _says('Rate as a fraction, in quotes: "0.19".')]
    rule: Annotated[str, _says("Exact name of the back office's tax rule.")]
    name: Annotated[str, _says("Storefront's tax name; empty for any.")] = ""
    country: Annotated[str, _says("ISO country; empty for any.")] = ""

    @property
    def fraction(self) -> Decimal:
        """The rate as Decimal."""
        return Decimal(self.rate)


class CustomerMap(_Settings, frozen=True, kw_only=True):
    """The back office's customer that web orders are booked on; its card fixes the currency."""

    customer: Annotated[str, _says("Exact customer name at the back office.")]
    currency: Annotated[str, _says("ISO currency of that customer's card.")]
    store: Annotated[str, _says("Only orders of this storefront store; empty for any.")] = ""


class Rate(_Settings, frozen=True, kw_only=True):
    """The exchange rate of sales in a currency that is not the company's own (CurrencyRate at Cin7 Core)."""

    currency: Annotated[str, _says("ISO currency of the orders.")]
    rate: Annotated[
        str,
        _says(
            'Base currency for one unit of it, up to 5 decimals, in quotes: "1.17265"; "own" sends none, so that the '
            "company's own rate counts where Cin7 Core fills one in."
        ),
    ]

    @property
    def decimal(self) -> Decimal | None:
        """The rate, None for the company's own. Raises decimal.InvalidOperation when it is no number."""
        return None if self.rate == OWN_RATE else Decimal(self.rate)


class Route(_Settings, frozen=True, kw_only=True):
    """Where lines of orders go. Rules are tried in order and the first that fits takes the line; what an empty
    condition asks is always so, several words in one mean any of them."""

    name: Annotated[str, _says("Name of the rule, as orders and cases tell it.")]
    target: Annotated[str, _says("Back office that takes the line: cin7_core or orderflow.")]
    locations: Annotated[
        tuple[str, ...], _says("Locations it may ship from; empty for all the target has in the channel's pool.")
    ] = ()
    carrier: Annotated[str, _says("Carrier as the target names it; empty for what [carriers] says.")] = ""
    service: Annotated[str, _says("Service level as the target names it; empty for none.")] = ""
    lines: Annotated[
        Literal["each", "all"], _says("each takes the lines it fits; all takes an order whole, if it fits every line.")
    ] = "each"
    stock: Annotated[
        Literal["any", "line", "order"],
        _says(
            "any asks nothing; line fits where one of its locations can ship the whole line, order where one can ship "
            "every line the rule fits; then it ships from those."
        ),
    ] = "any"
    stores: Annotated[tuple[str, ...], _says("Storefront stores, by key.")] = ()
    countries: Annotated[tuple[str, ...], _says("ISO countries of the order (its prices).")] = ()
    currencies: Annotated[tuple[str, ...], _says("ISO currencies of the order.")] = ()
    ship_to: Annotated[
        tuple[str, ...], _says('Where it is sent: ISO country, or country and region or state: "US", "US-CA".')
    ] = ()
    methods: Annotated[tuple[str, ...], _says("Shipping methods, by the name on the order.")] = ()
    channels: Annotated[tuple[str, ...], _says("Supply channels of the line, by key; empty text for none.")] = ()
    skus: Annotated[
        tuple[str, ...], _says("SKUs as commercetools spells them; a * at the end stands for the rest.")
    ] = ()
    attributes: Annotated[
        dict[str, tuple[str, ...]],
        _says("Values of the product's attributes, by their names; only those in commercetools.line_attributes."),
    ] = field(default_factory=dict)


class Reason(_Settings, frozen=True, kw_only=True):
    """Why units are cancelled or returned, as each system says it; with no section nobody's reasons are mapped."""

    code: Annotated[str, _says("Our word for it, as orders and cases show it.")]
    storefront: Annotated[str, _says("The code at commercetools; empty where it is never said there.")] = ""
    back_office: Annotated[str, _says("The code at the back office; empty where it is never said there.")] = ""


class StatusMap(_Settings, frozen=True, kw_only=True):
    """What an order's states become at commercetools in a market; the most exact section counts."""

    event: Annotated[
        Literal["ready", "partly_shipped", "shipped"],
        _says("What happened: all is picked, some of it has left, all of it has left."),
    ]
    store: Annotated[str, _says("Only orders of this storefront store; empty for any.")] = ""
    country: Annotated[str, _says("Only orders of this ISO country; empty for any.")] = ""
    shipment_state: Annotated[str, _says('The shipmentState it becomes; "keep" leaves it as it is.')] = ""
    order_state: Annotated[str, _says('The orderState it becomes; "keep" leaves it as it is.')] = ""


class Webhook(_Settings, frozen=True, kw_only=True):
    """An inbound webhook and its secret."""

    path_token: Annotated[str, _hides("Unguessable part of the URL.")] = ""
    secret: Annotated[str, _hides("Bearer secret, or signing secret where the source signs.")] = ""
    public_url: Annotated[str, _says("How the vendor reaches us, for registration; empty to leave webhooks off.")] = ""


class Commercetools(_Settings, frozen=True, kw_only=True):
    """The storefront."""

    project: Annotated[str, _says("Project key.")]
    client_id: Annotated[str, _says("API client id.")]
    client_secret: Annotated[str, _hides("API client secret.")]
    restocks_on_cancel: Annotated[
        Literal["yes", "no", "unknown"], _says("Whether cancelling an order puts stock back; unknown behaves as yes.")
    ]
    api_url: Annotated[str, _says("API host.")] = "https://api.europe-west1.gcp.commercetools.com"
    auth_url: Annotated[str, _says("Authorisation host.")] = "https://auth.europe-west1.gcp.commercetools.com"
    scopes: Annotated[tuple[str, ...], _says("Scopes to ask for; empty for all the client has.")] = ()
    insecure: Annotated[bool, _says("Allow http and private addresses, for a simulator.")] = False
    calls_per_second: Annotated[int, _says("Most calls a second over all processes.")] = 50
    concurrency: Annotated[int, _says("Most calls at once from one process.")] = 16
    write_batch: Annotated[int, _says("Most differences in one GraphQL request; 1 writes one by one over REST.")] = 25
    hot_poll_seconds: Annotated[float, _says("How often new messages are asked for.")] = 2.0
    trail_poll_seconds: Annotated[float, _says("How often the trailing sweep of messages runs.")] = 30.0
    order_sweep_seconds: Annotated[float, _says("How often orders by lastModifiedAt are swept.")] = 60.0
    entry_walk_hours: Annotated[float, _says("In how many hours every stock entry is read once.")] = 24.0
    export_channel: Annotated[str, _says("Channel key (role OrderExport) under which the sale's id is noted.")] = (
        "sellable-export"
    )
    line_attributes: Annotated[
        tuple[str, ...], _says("Attributes of products that orders keep for [[routes]], by name, such as a vendor.")
    ] = ()
    restocks_on_return: Annotated[
        Literal["yes", "no", "unknown"],
        _says("Whether the project's stock rises by itself when a return item is BackInStock; unknown acts as yes."),
    ] = "unknown"
    stock_writers: Annotated[
        tuple[str, ...],
        _says(
            "API clients, by id, that may write numbers where commercetools is the master of stock, beside people in "
            "the Merchant Center; any other is a case."
        ),
    ] = ()
    cancelled_states: Annotated[
        tuple[str, ...],
        _says(
            "Keys of line item states that mean cancelled; units that we cancel are moved to the first. "
            "Empty: lines are cancelled only with their order."
        ),
    ] = ()
    reason_field: Annotated[
        str, _says("Custom field of lines and return items that holds a reason code; empty: the return item's comment.")
    ] = ""
    webhook: Annotated[Webhook, _says("Messages pushed to us by a queue or bus; only a hint.")] = Webhook()
    payload_days: Annotated[int, _says("Days raw payloads are kept.")] = 15


class Cin7Core(_Settings, frozen=True, kw_only=True):
    """The back office: master of stock, and where orders become sales."""

    account_id: Annotated[str, _says("Account id.")]
    key: Annotated[str, _hides("Application key for order writes (and everything else when read_key is empty).")]
    read_key: Annotated[str, _hides("A second application key for sweeps and reads; it has a limit of its own.")] = ""
    base_url: Annotated[str, _says("API address.")] = "https://inventory.dearsystems.com/ExternalApi/v2/"
    insecure: Annotated[bool, _says("Allow http and private addresses, for a simulator.")] = False
    calls_per_minute: Annotated[int, _says("Calls to spend a minute for each key; the vendor's limit is 60.")] = 50
    sweep_seconds: Annotated[float, _says("How often all availability is read.")] = 300.0
    sales_poll_seconds: Annotated[float, _says("How often changed sales are asked for.")] = 60.0
    catalogue_seconds: Annotated[float, _says("How often changed products are asked for.")] = 3600.0
    catalogue_walk_hours: Annotated[
        float, _says("How often all products are read anew and compared, both ways, with the storefront's entries.")
    ] = 24.0
    time_zone: Annotated[str, _says("IANA time zone of the company, for the calendar dates of sales.")] = "UTC"
    base_currency: Annotated[
        str, _says("ISO base currency of the company; required when orders come in more than one currency.")
    ] = ""
    visibility_lag_seconds: Annotated[
        float, _says("So long after an authorised sale its units are set aside, and the availability view shows it.")
    ] = 5.0
    allocates: Annotated[
        Literal["later", "at_once"],
        _says(
            "later reads each authorised sale once more after that time, for what it really holds; at_once believes "
            "the answer, one call less a sale, where your account was seen to allocate before it answers."
        ),
    ] = "later"
    search_settle_seconds: Annotated[
        float, _says("How long after an unknown outcome a search by reference may still miss the sale.")
    ] = 20.0
    stray_draft_minutes: Annotated[float, _says("Age at which an unrecorded draft with our reference is voided.")] = (
        10.0
    )
    max_age_minutes: Annotated[float, _says("Older numbers of Cin7 Core alarm, and nothing rises that it counts.")] = (
        30.0
    )
    stale_buffer: Annotated[
        int, _says("Units of each SKU it counts that are held back in addition while its numbers are too old.")
    ] = 0
    shipping_service: Annotated[str, _says("Service product under which shipping is charged.")] = "Shipping"
    custom_service: Annotated[str, _says("Service product for custom lines.")] = "Custom charge"
    discount_service: Annotated[str, _says("Service product for discounts on the total.")] = "Discount"
    webhook: Annotated[Webhook, _says("Cin7's notifications; only a hint.")] = Webhook()

    @property
    def stock_seconds(self) -> float:
        """How often all its numbers are read."""
        return self.sweep_seconds


class OrderFlow(_Settings, frozen=True, kw_only=True):
    """A warehouse run with OrderFlow: it takes orders in one call, counts its own stock and tells what left."""

    base_url: Annotated[str, _says("Address up to and with the context path, such as https://you.example/web.")]
    user: Annotated[str, _says("Login of the API user.")]
    password: Annotated[str, _hides("Its password.")]
    channel: Annotated[str, _says("Reference of the sales channel that orders are imported into.")]
    organisation: Annotated[str, _says("Reference of the organisation that owns the products.")]
    time_zone: Annotated[
        str, _says("IANA time zone of the server's clock, as its times carry none: ask the vendor, a wrong one shifts.")
    ]
    auth: Annotated[
        Literal["basic", "headers"], _says("basic is HTTP Basic; headers are `user` and `password` of their own.")
    ] = "basic"
    scope: Annotated[
        Literal["header", "query"], _says("Where channel and organisation are named; both work in the field.")
    ] = "header"
    insecure: Annotated[bool, _says("Allow http and private addresses, for a simulator.")] = False
    calls_per_minute: Annotated[
        int, _says("Calls to spend a minute. The vendor publishes no limit: agree on one with whoever runs the server.")
    ] = 60
    import_batch: Annotated[int, _says("Most orders or returns in one import; no most is published.")] = 20
    inventory_poll_seconds: Annotated[float, _says("How often the whole inventory is read.")] = 300.0
    despatch_poll_seconds: Annotated[float, _says("How often shipments that left are asked for.")] = 60.0
    return_poll_seconds: Annotated[float, _says("How often the report of returns is asked for.")] = 900.0
    overlap_minutes: Annotated[
        float, _says("How far each window of shipments and returns reaches back into the one before it.")
    ] = 30.0
    max_age_minutes: Annotated[
        float, _says("Older numbers of the warehouse alarm, and nothing rises that it counts.")
    ] = 30.0
    stale_buffer: Annotated[
        int, _says("Units of each SKU it counts that are held back in addition while its numbers are too old.")
    ] = 0
    visibility_lag_seconds: Annotated[
        float, _says("How long after an import or a cancellation the inventory may still show the old number.")
    ] = 60.0
    search_settle_seconds: Annotated[
        float, _says("How long after an unknown outcome the order's detail may still say that there is none.")
    ] = 60.0
    return_report: Annotated[str, _says("Key of the report of returns; empty where the tenant has none.")] = (
        "return_line_api_report"
    )
    announce_returns: Annotated[
        bool, _says("Whether returns made known at commercetools are announced here, once their goods have left.")
    ] = True
    return_type: Annotated[
        str, _says("The tenant's word for the type of announced returns; empty leaves it to the import.")
    ] = ""
    conditions: Annotated[
        dict[str, Literal["available", "inspection", "quarantine", "damaged"]],
        _says(
            "Your conditions of returned goods to what becomes of them; these go before the usual ones, an unknown one "
            "is quarantine. The number itself rises only with the warehouse's own."
        ),
    ] = field(default_factory=dict)
    cancelled_units: Annotated[
        Literal["gone", "back"],
        _says(
            "Where commercetools is the master of stock: whether units that the warehouse itself cancels were not "
            "found (gone) or are on the shelf again (back); gone gives nothing back."
        ),
    ] = "gone"
    order_state: Annotated[str, _says("State that imported orders are given; empty to leave it to the import.")] = (
        "created"
    )
    shipment_state: Annotated[str, _says("State that their shipments are given; empty to leave it.")] = "ready"
    validated: Annotated[bool, _says("Whether orders arrive as validated, so that nobody has to release them.")] = True
    source: Annotated[str, _says("What is written as the order's source; empty for nothing.")] = ""
    order_number_field: Annotated[
        str, _says("Field that carries the storefront's order number, for people; empty for none.")
    ] = "userDefined1"
    note_field: Annotated[
        str, _says("Field that carries our note: order id, purchase order, part; empty for none.")
    ] = "userDefined2"
    address_lines: Annotated[
        tuple[str, ...],
        _says(
            "Address lines 1 to 6, of {line1} {line2} {city} {region} {company}; where the city stands is the tenant's "
            "convention."
        ),
    ] = ("{line1}", "{line2}", "{city}", "{region}")
    address_collapse: Annotated[bool, _says("Whether lines move up where one before them is empty.")] = True
    states: Annotated[
        dict[str, MappedStage],
        _says(
            "Your states of orders, lines and shipments: waiting, allocated, picking, packed, despatched or cancelled; "
            "these go before the usual ones. `allocated` of a line proves its units taken, so be sure."
        ),
    ] = field(default_factory=dict)
    tax_codes: Annotated[
        dict[str, str], _says("Rules of [[taxes]] to OrderFlow's tax codes, such as T1; empty sends no codes.")
    ] = field(default_factory=dict)
    push_auth: Annotated[
        Literal["basic", "header", "path"],
        _says("What pushes show besides the path token: a basic password, a header of their own, or nothing."),
    ] = "basic"
    push_header: Annotated[str, _says("Name of that header, where push_auth is header.")] = "x-sellable-token"
    webhook: Annotated[Webhook, _says("OrderFlow's pushes; only a hint.")] = Webhook()

    @property
    def stock_seconds(self) -> float:
        """How often all its numbers are read."""
        return self.inventory_poll_seconds

    @property
    def looks_per_minute(self) -> int:
        """How many open orders are read again in a minute: a tenth of its calls."""
        return max(1, self.calls_per_minute // 10)


class Age(msgspec.Struct, frozen=True, kw_only=True):
    """From which age on a master's numbers are too old, and how often all of them are read.

    `buffer` is held back meanwhile, in units of each SKU that it counts.
    """

    limit_seconds: float
    read_every_seconds: float
    buffer: int

    @property
    def limit(self) -> timedelta:
        """The age."""
        return timedelta(seconds=self.limit_seconds)


class Alerts(_Settings, frozen=True, kw_only=True):
    """Where a new or worse case is told."""

    webhook_url: Annotated[str, _says("HTTPS address for signed alerts; empty for none.")] = ""
    webhook_secret: Annotated[str, _hides("Standard Webhooks secret (whsec_...) that signs them.")] = ""
    smtp_url: Annotated[str, _hides("smtp:// or smtps://user:password@host:port; empty for none.")] = ""
    mail_from: Annotated[str, _says("Sender of alert mails.")] = ""
    insecure: Annotated[bool, _says("Allow http and private addresses, for a simulator.")] = False


class Traces(_Settings, frozen=True, kw_only=True):
    """Spans for OpenTelemetry: what is handled, done at vendors and asked of us; needs the extra `sellable[otel]`."""

    endpoint: Annotated[str, _says("OTLP/HTTP address that takes them (https://.../v1/traces); empty for none.")] = ""
    headers: Annotated[str, _hides("Headers it wants, as name=value,name=value; empty for none.")] = ""
    percent: Annotated[float, _says("Traces told of a hundred.")] = 100.0
    insecure: Annotated[bool, _says("Allow http to another machine, inside a network of your own.")] = False


class Console(_Settings, frozen=True, kw_only=True):
    """Signing in at the console and its API."""

    public_url: Annotated[
        str, _says("Address at which people reach the console (https://...), for one-time links; empty for `listen`.")
    ] = ""
    open: Annotated[
        bool, _says("Whether everybody on this machine may read without signing in; only where `listen` is loopback.")
    ] = False
    proxies: Annotated[
        tuple[str, ...], _says("Addresses of your own proxies, whose X-Forwarded-For is believed; empty for none.")
    ] = ()
    session_idle_minutes: Annotated[float, _says("After so long without a page opened, one must sign in again.")] = 60.0
    session_hours: Annotated[float, _says("After so long one must sign in again in any case.")] = 12.0
    link_hours: Annotated[float, _says("How long a one-time link can be used.")] = 24.0
    api_calls_per_second: Annotated[
        int, _says("Calls of the API that each token or person may make, of each process; so many also at once.")
    ] = 100


class Owner(_Settings, frozen=True, kw_only=True):
    """Who owns a kind of case."""

    kind: Annotated[str, _says("Kind of case; * for every kind not named.")]
    owner: Annotated[str, _says("Name or team.")]
    email: Annotated[str, _says("Where alerts of this kind are mailed.")] = ""


class Settings(_Settings, frozen=True, kw_only=True):
    """Everything. The order here is the order in the generated file."""

    orders: Orders
    commercetools: Commercetools
    cin7_core: Cin7Core = Cin7Core(account_id="", key="")
    locations: tuple[Location, ...]
    states: tuple[StateRule, ...]
    pools: tuple[Pool, ...]
    channels: tuple[Channel, ...]
    customers: tuple[CustomerMap, ...]
    taxes: tuple[TaxMap, ...]
    owners: tuple[Owner, ...]
    service: Service = Service()
    buffers: tuple[Buffer, ...] = ()
    skus: tuple[SkuMap, ...] = ()
    orderflow: OrderFlow | None = None
    rates: tuple[Rate, ...] = ()
    routes: tuple[Route, ...] = ()
    reasons: tuple[Reason, ...] = ()
    statuses: tuple[StatusMap, ...] = ()
    alerts: Alerts = Alerts()
    traces: Traces = Traces()
    console: Console = Console()
    carriers: Annotated[dict[str, str], _says("Storefront shipping method to the back office's carrier.")] = field(
        default_factory=dict
    )

    @property
    def back_offices(self) -> tuple[str, ...]:
        """The systems that orders may go to: those that have a section."""
        offices = []
        if self.cin7_core.account_id or self.orderflow is None:
            offices.append(CIN7_CORE)
        if self.orderflow is not None:
            offices.append(ORDERFLOW)
        return tuple(offices)

    @property
    def ages(self) -> dict[str, Age]:
        """How old the numbers of each master of a location may be. One without a section is reached by nobody."""
        found: dict[str, Cin7Core | OrderFlow] = {CIN7_CORE: self.cin7_core}
        if self.orderflow is not None:
            found[ORDERFLOW] = self.orderflow
        masters = {location.master for location in self.locations}
        return {
            master: Age(
                limit_seconds=section.max_age_minutes * 60,
                read_every_seconds=section.stock_seconds,
                buffer=section.stale_buffer,
            )
            for master, section in found.items()
            if master in masters
        }

    @property
    def counted_channels(self) -> frozenset[str]:
        """Channels whose numbers are commercetools' own: those that sell from a place it is the master of."""
        own = {place.name for place in self.locations if place.counted_at_storefront}
        pools = {pool.name for pool in self.pools if own.intersection(pool.locations)}
        return frozenset(channel.key for channel in self.channels if channel.pool in pools)

    @property
    def base_currency(self) -> str:
        """The company's currency; where it is not said, the only one there is."""
        return self.cin7_core.base_currency or next((rule.currency for rule in self.customers), "")
