"""The tenant's settings and the guesses a run can turn. Rule: each guess says so here, with its default."""

import re
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from sellable.sandbox.orderflow.wire import Dialect

SHIPMENT = ("ready", "released", "pickable", "packable", "packed", "despatched", "cancelled")
"""The simulator's own words for shipment states, in order of the work; what is shown is the tenant's name."""
ORDER = ("created", "part_despatched", "despatched", "cancelled")
LINE = ("created", "allocated", "picked", "despatched", "cancelled")
HELD = ("frozen", "inspection", "damaged", "quarantined")
"""Where goods lie that nobody may sell; all but frozen only if the tenant has such locations."""
REASONS = (
    *("A - Not wanted", "B - Not as described", "C - Wrong size", "D - Wrong product sent"),
    *("E - Quality/Manufacturing fault", "F - Damaged in transit", "G - Late arrival", "H - Other"),
)
CONDITIONS: dict[str, Literal["good", "inspection", "damaged", "quarantined"]] = {
    "As new": "good",
    "Packaging damaged": "inspection",
    "Product damaged (refurbishable)": "quarantined",
    "Product damaged (irreparable)": "damaged",
}


class Switches(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Seconds are simulated. What is called a guess is UNCONFIRMED by any page of the vendor.

    - zone: the server's time zone for every date in and out (guess: UTC).
    - dialects: how a refusal speaks, by situation, "*" for the rest: "status" (HTTP 400 and above), "page" (200 with an
      ERROR heading), "exception", "error". Situations: bad_document, bad_request, missing_scope, not_found, internal
      (which goes with which is a guess).
    - body_bytes_max: larger bodies are refused with 413; items_max: imports with more items are refused (guesses).
    - shipment_states, order_states, line_states: names shown for the simulator's own words (workflow of the tenant).
    - split: what cannot be allocated while something else can: "never" waits, "lines" moves whole lines into a later
      shipment, "units" splits lines too (tenant option; the granularity is a guess).
    - short_pick: units not found are moved to a later shipment ("split"), dropped from the line ("cancel"), or the
      shipment goes back to ready ("wait") (guess). Their shelf is frozen until somebody counts (guess).
    - cancel_refused_from: the first shipment state that cannot be cancelled by the API (guess).
    - order_lag_seconds: how long after its import an order is not found, though its reference is taken (guess: 0).
    - allocation_lag_seconds: how long after its import an order gets stock (guess: 0).
    - available_less: available lacks what is allocated, or what open orders require at once (guess: allocated).
    - inventory_lag_seconds: inventory.xml shows the state of so long ago (guess: 0).
    - despatch_lag_seconds: despatches.xml knows a shipment so long after its `completed` (guess: 0).
    - site_missing: inventory.xml without site, with several sites, is refused ("error"; a client's comment calls the
      site mandatory) or shows all of them ("all").
    - frozen_as: frozen is shown as a count, or as true and false (two clients disagree).
    - location_types: which of inspection, damaged and quarantined the tenant has; others are not shown.
    - required_fields: order fields without which an order is refused (guess).
    - unshippable_types: product types that are bundles or virtual, which must not be sent: refused in imports and on
      order lines (that it refuses them is a guess).
    - keeps_line_reference: orderLine.n.thirdPartyReference is kept and told back (guess).
    - pulls: order and product notifications are followed by a pull (recorded only); else they are no operation.
    - reasons, conditions: lists of the tenant; a condition says where returned goods go ("good" is sellable) (guess).
    - inventory_push: figures are sent when stock changes, every inventory_push_seconds, or never.
    - sequence: sequenceId counts per product, or over all of them (guess).
    - order_events: event types that are sent (names beyond order_cancelled are guesses).
    - push_delay_seconds, push_jitter_seconds: how late a message leaves, the latter by the die: out of order.
    - push_twice_rate: how often a message that arrived is sent again.
    - push_retry_seconds: waits after what was not answered well; the last repeats, push_attempts_max ends it (guess).
    - push_success: a regular expression that the answer's body has to contain; empty asks for status 200 alone.
    """

    zone: str = "UTC"
    dialects: dict[str, Dialect] = msgspec.field(
        default_factory=lambda: {"*": "page", "bad_document": "status", "not_found": "exception"}
    )
    body_bytes_max: int = 10_000_000
    items_max: int = 1000
    shipment_states: dict[str, str] = msgspec.field(default_factory=dict)
    order_states: dict[str, str] = msgspec.field(default_factory=dict)
    line_states: dict[str, str] = msgspec.field(default_factory=dict)
    split: Literal["never", "lines", "units"] = "never"
    short_pick: Literal["split", "cancel", "wait"] = "split"
    cancel_refused_from: Literal["released", "pickable", "packable", "packed", "despatched"] = "packable"
    order_lag_seconds: float = 0.0
    allocation_lag_seconds: float = 0.0
    available_less: Literal["allocated", "required"] = "allocated"
    inventory_lag_seconds: float = 0.0
    despatch_lag_seconds: float = 0.0
    site_missing: Literal["error", "all"] = "error"
    frozen_as: Literal["count", "bool"] = "count"
    location_types: list[Literal["inspection", "damaged", "quarantined"]] = msgspec.field(
        default_factory=lambda: ["inspection", "damaged", "quarantined"]
    )
    required_fields: list[str] = msgspec.field(
        default_factory=lambda: ["deliveryContactName", "deliveryAddressLine1", "deliveryCountryCode"]
    )
    unshippable_types: list[str] = msgspec.field(default_factory=lambda: ["bundle", "virtual"])
    keeps_line_reference: bool = True
    pulls: bool = False
    reasons: list[str] = msgspec.field(default_factory=lambda: list(REASONS))
    conditions: dict[str, Literal["good", "inspection", "damaged", "quarantined"]] = msgspec.field(
        default_factory=CONDITIONS.copy
    )
    inventory_push: Literal["change", "schedule", "off"] = "change"
    inventory_push_seconds: float = 300.0
    sequence: Literal["product", "all"] = "product"
    order_events: list[str] = msgspec.field(
        default_factory=lambda: [
            *("order_cancelled", "order_part_despatched", "order_despatched"),
            *("order_line_cancelled", "shipment_packed", "shipment_despatched"),
        ]
    )
    push_delay_seconds: float = 1.0
    push_jitter_seconds: float = 0.0
    push_twice_rate: float = 0.0
    push_retry_seconds: list[float] = msgspec.field(default_factory=lambda: [60.0, 300.0, 900.0])
    push_attempts_max: int = 20
    push_success: str = ""

    def __post_init__(self) -> None:
        ZoneInfo(self.zone)
        re.compile(self.push_success)
        named = ((self.shipment_states, SHIPMENT), (self.order_states, ORDER), (self.line_states, LINE))
        if any(names.keys() - set(known) for names, known in named):
            raise ValueError(f"known states: {', '.join(dict.fromkeys((*SHIPMENT, *ORDER, *LINE)))}")
        if not self.push_retry_seconds:
            raise ValueError("push_retry_seconds needs at least one wait")
        if self.inventory_push_seconds <= 0:
            raise ValueError("inventory_push_seconds must be above 0")

    def turned(self, changes: dict[str, Any]) -> "Switches":
        """A copy with changes; raises msgspec.ValidationError or ValueError on unknown names or values."""
        return msgspec.convert({**msgspec.to_builtins(self), **changes}, Switches)

    def dialect(self, situation: str) -> Dialect:
        return self.dialects.get(situation, self.dialects.get("*", "page"))
