"""The closed table of kinds of case. Rule: a kind says what it means and what a person does next, or it is no kind.

`python -m sellable.desk.kinds` prints the page docs/reference/cases.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby


class Area(StrEnum):
    """Where on the desk a case lies."""

    STOCK = "stock"
    ORDERS = "orders"
    STOREFRONT = "storefront"
    CATALOGUE = "catalogue"
    FINANCE = "finance"
    SYSTEM = "system"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What all cases of a kind share. `severity` 1 is worst of 4; after `age_hours` an open case is overdue."""

    name: str
    area: Area
    severity: int
    age_hours: int
    title: str
    means: str
    next_step: str


def _kind(name: str, area: Area, severity: int, age_hours: int, title: str, means: str, next_step: str) -> Kind:
    return Kind(
        name=name, area=area, severity=severity, age_hours=age_hours, title=title, means=means, next_step=next_step
    )


_TABLE = (
    # Stock: the storefront may promise what is not there, or hide what is.
    _kind(
        "oversold",
        Area.STOCK,
        1,
        1,
        "Sold more than there is",
        "Two complete lists of the master lacked units of orders that were accepted.",
        "Decide which of the orders under actual wait and which are cancelled, tell those customers, count the SKU.",
    ),
    _kind(
        "drift_many",
        Area.STOCK,
        1,
        1,
        "Many numbers differ at once",
        "In 15 minutes more than 1 % of the numbers, and more than 20, were changed by nobody we know; none rises.",
        "Look for a bulk import at the storefront or a mistake in a setting; resolve the case, and raises go on.",
    ),
    _kind(
        "restored",
        Area.STOCK,
        1,
        4,
        "The database was restored",
        "What happened since the backup is being read again; until that is done numbers may fall and none rises.",
        "Wait: it ends by itself after one whole walk of entries, orders, stock and sales; look at `sellable status`.",
    ),
    _kind(
        "first_pass_stopped",
        Area.STOCK,
        2,
        4,
        "First pass would change too much",
        "A channel's first pass in its new mode would change more numbers, or more units, than its brake allows; "
        "nothing new of the channel is written; decreases go on where they were written before.",
        "Explain some of the largest under actual: if they are right, `sellable cutover proceed CHANNEL`; if not, mend "
        "the settings and restart.",
    ),
    _kind(
        "sweep_suspicious",
        Area.STOCK,
        1,
        2,
        "A stock list misses too much",
        "A complete list of the master lacks more than 1 % of the keys it had; they are kept as unknown.",
        "Check at the master whether locations, bins or products were removed; correct them or the settings.",
    ),
    _kind(
        "master_stale",
        Area.STOCK,
        2,
        2,
        "The master's numbers are too old",
        "No usable stock numbers of it arrived for longer than its age limit; what it counts does not rise.",
        "Check that the master answers and that its key is valid; numbers go on by themselves when it does.",
    ),
    _kind(
        "foreign_writer",
        Area.STOCK,
        2,
        8,
        "Someone else writes stock",
        "A stock entry was changed at the storefront by a person or program other than its one owner.",
        "Find the client named under actual and stop it from writing stock, or, where commercetools is the master, "
        "name it in commercetools.stock_writers; the number itself is repaired, or there stays as it was written.",
    ),
    _kind(
        "drift",
        Area.STOCK,
        2,
        8,
        "A number drifted",
        "The storefront showed another number than all known orders and writes add up to; it was corrected.",
        "Compare the time with changes made by hand and with imports; tell the owner of the program that made them.",
    ),
    _kind(
        "adjustment_unsure",
        Area.STOCK,
        2,
        8,
        "An adjustment may have been written before",
        "Units owed to a number of commercetools' own may have been written between a backup and its restore; they are "
        "not written again.",
        "Compare both numbers (`sellable explain SKU`), count, and correct commercetools' in the Merchant Center.",
    ),
    _kind(
        "stock_differs",
        Area.STOCK,
        3,
        24,
        "The warehouse counts otherwise",
        "Where commercetools is the master of stock: two complete readings of the warehouse differ from its numbers.",
        "Count the SKUs named under actual, and correct the system that is wrong; neither is written by us.",
    ),
    _kind(
        "stock_row_invalid",
        Area.STOCK,
        2,
        8,
        "Unusable stock row",
        "The master sent a quantity that is missing, fractional or no number; the old number is kept.",
        "Correct the quantity or the unit of the SKUs named under actual at the master.",
    ),
    _kind(
        "stock_unknown_state",
        Area.STOCK,
        3,
        24,
        "Stock in an unmapped place",
        "Stock lies in a bin or state that no rule names, so it is not offered.",
        "Add a [[states]] rule for the places named under actual and restart, or move the stock.",
    ),
    _kind(
        "stock_missing",
        Area.STOCK,
        2,
        8,
        "A warehouse tells nothing of a SKU any more",
        "SKUs that a warehouse had numbers for are absent from its inventory; the last number is kept and never rises.",
        "Find out at the warehouse whether the products named under actual were archived; take them off sale if so.",
    ),
    _kind(
        "fact_conflict",
        Area.STOCK,
        2,
        8,
        "One fact, two contents",
        "A shipment or movement came again under the same identity with different content; the first one counts.",
        "Compare both contents at the source; correct the stock there, which arrives as a new fact.",
    ),
    # Orders: a customer waits for something.
    _kind(
        "two_sales_one_order",
        Area.ORDERS,
        1,
        2,
        "Two sales for one order",
        "The back office holds more than one live sale with the reference of one order.",
        "Void the sale that is not picked yet at the back office; if both are picked, stop one shipment first.",
    ),
    _kind(
        "cancel_too_late",
        Area.ORDERS,
        1,
        2,
        "Cancelled too late",
        "The order was cancelled at the storefront when its sale was already picked or shipped.",
        "Ask the warehouse to stop the parcel; else refund and expect it back as a return.",
    ),
    _kind(
        "over_shipped",
        Area.ORDERS,
        2,
        8,
        "Shipped more than ordered",
        "A shipment holds more units of a line than the order still wanted.",
        "Ask the warehouse what left; correct the shipment or agree with the customer on keeping or returning it.",
    ),
    _kind(
        "shipment_unmatched",
        Area.ORDERS,
        2,
        8,
        "Shipment fits no line",
        "A shipment at the back office holds a SKU that the order's sale does not have.",
        "Compare the sale with the order and correct the shipment, or add the line at both sides.",
    ),
    _kind(
        "over_returned",
        Area.ORDERS,
        2,
        24,
        "Returned more than shipped",
        "A return holds more units of a line than had left for the customer; all of them are recorded.",
        "Ask the warehouse whose goods these are; correct the credit note, or agree with the customer on the excess.",
    ),
    _kind(
        "return_unmatched",
        Area.ORDERS,
        2,
        24,
        "Returned goods fit no line",
        "A return at the back office holds a SKU that the order's sale does not have; the storefront is not told.",
        "Find the order that the goods belong to and move the credit note there, or correct its lines.",
    ),
    _kind(
        "return_not_announced",
        Area.ORDERS,
        3,
        24,
        "A warehouse takes no announcement of a return",
        "The warehouse refused to be told of goods that come back; they are taken in all the same when they arrive.",
        "Read its words under actual; mend the reason or the product there and tell the warehouse by hand.",
    ),
    _kind(
        "status_conflict",
        Area.ORDERS,
        3,
        24,
        "States contradict each other",
        "What an order shows at the storefront cannot become what happened, by the tables of legal states.",
        "Compare expected, actual and both versions; put the order right at the storefront, or tell who changed it.",
    ),
    _kind(
        "line_cancelled",
        Area.ORDERS,
        2,
        8,
        "Units cancelled by the back office",
        "Staff took units off a sale; the storefront cannot show it, as no state of that meaning is set.",
        "Tell the customer; set commercetools.cancelled_states so that the next time the order shows it.",
    ),
    _kind(
        "change_too_late",
        Area.ORDERS,
        2,
        4,
        "Changed too late",
        "Address or shipping method changed at the storefront when the sale was picked, shipped or not ours to change.",
        "Ask the warehouse to change or stop the parcel; else tell the customer where it goes.",
    ),
    _kind(
        "reason_unmapped",
        Area.ORDERS,
        3,
        48,
        "Unknown reason code",
        "A cancel or return gives a reason that the settings do not map; its units moved all the same.",
        "Add the line named under expected, under Settings or in [[reasons]], or correct the code where it is chosen.",
    ),
    _kind(
        "sale_changed_by_staff",
        Area.ORDERS,
        2,
        8,
        "Sale changed by hand",
        "The sale was voided, undone, moved or edited at the back office while its order lives.",
        "Ask who changed it and why; put the sale back, or cancel the order at the storefront.",
    ),
    _kind(
        "order_refused",
        Area.ORDERS,
        2,
        4,
        "Back office refuses an order",
        "The back office answered that it will not take this order; the order is held.",
        "Read the refusal under actual, correct what it names at the back office or in the settings, then replay.",
    ),
    _kind(
        "order_impossible",
        Area.ORDERS,
        2,
        4,
        "Order that cannot be true",
        "An order states quantities or amounts beyond all there are; it is held and counts as the most there is, so "
        "what it names is sold out.",
        "Look at the order at the storefront: cancelled there, its units are free again; corrected there, it goes on.",
    ),
    _kind(
        "route_missing",
        Area.ORDERS,
        2,
        4,
        "No route for a line",
        "No rule of [[routes]] takes a line of the order, so nobody knows which back office ships it; it is held.",
        "See why each rule passed it (`sellable orders route ORDER --explain`), add or widen a rule, then replay.",
    ),
    _kind(
        "import_differs",
        Area.ORDERS,
        2,
        4,
        "Reference taken by another content",
        "A back office has an order under our reference whose units are not those of ours; the order is held.",
        "Compare both; cancel the one there so that its reference is free, or correct it there, then replay.",
    ),
    _kind(
        "sale_state_unknown",
        Area.ORDERS,
        3,
        24,
        "Unknown state at a warehouse",
        "A warehouse tells a state of an order that nobody mapped; it proves nothing, so the units stay subtracted.",
        "Ask what the state under actual means and add it to [orderflow] states, then restart.",
    ),
    _kind(
        "order_stuck",
        Area.ORDERS,
        2,
        4,
        "Order does not move",
        "An export or write-back of the order has been under way for too long.",
        "Check whether the other system answers; then replay the case or settle the order by hand.",
    ),
    _kind(
        "order_waiting_too_long",
        Area.ORDERS,
        3,
        24,
        "Order waits too long",
        "An order waits for payment, confirmation or a person longer than the age limit; its units are held.",
        "Release it, or cancel it at the storefront so that others can buy the units.",
    ),
    _kind(
        "backordered",
        Area.ORDERS,
        3,
        24,
        "Order waits for stock",
        "The back office could not allocate every unit of the order.",
        "Check the expected delivery of the lines under actual; tell the customer, move the sale or cancel the line.",
    ),
    _kind(
        "line_changed",
        Area.ORDERS,
        2,
        8,
        "Lines changed after capture",
        "The order's lines at the storefront are no longer those that were captured.",
        "Compare expected and actual; change the sale to match, or cancel it and let the customer order anew.",
    ),
    _kind(
        "missing_sku_on_line",
        Area.ORDERS,
        2,
        4,
        "Line without a SKU",
        "An order line names no SKU, so nobody knows what to ship; the order is held.",
        "Give the product variant its SKU at the storefront, then replay; or cancel the order.",
    ),
    _kind(
        "channel_unmapped",
        Area.ORDERS,
        2,
        4,
        "Unknown channel on a line",
        "An order line sells from a supply channel that the settings do not name; the order is held.",
        "Add a [[channels]] section for it, or correct the channel at the storefront, then replay.",
    ),
    _kind(
        "carrier_unmapped",
        Area.ORDERS,
        3,
        8,
        "Unknown shipping method",
        "The order's shipping method has no carrier in the settings.",
        "Add it under Settings or to [carriers], with the exact name of the back office, then replay.",
    ),
    # Finance: the books would differ.
    _kind(
        "totals_differ",
        Area.FINANCE,
        2,
        4,
        "Totals differ",
        "The amounts of the order and of its sale, or of its own lines, do not agree to the cent; the order is held.",
        "Find the line named under actual; correct tax or price where it is wrong, then replay.",
    ),
    _kind(
        "refund_due",
        Area.FINANCE,
        3,
        24,
        "Money to give back",
        "Units of an order were cancelled or came back; the storefront leaves the order's amounts as they were.",
        "Refund what actual names where it was paid; for returned goods then `sellable returns refund`.",
    ),
    _kind(
        "tax_unmapped",
        Area.FINANCE,
        2,
        4,
        "Tax without a rule",
        "An order carries a tax that maps to no rule, or to several; the order is held.",
        "Add or correct this rate, name and country under Settings or in [[taxes]], then replay.",
    ),
    _kind(
        "currency_unmapped",
        Area.FINANCE,
        2,
        4,
        "No customer for a currency",
        "No back office customer is set for the order's currency and store; the order is held.",
        "Add a customer whose card has this currency, under Settings or in [[customers]], then replay.",
    ),
    _kind(
        "currency_rate_missing",
        Area.FINANCE,
        2,
        4,
        "No exchange rate",
        "The order's currency is not the company's own and has no exchange rate in the settings; the order is held.",
        "Add the currency named under actual under Settings, or in [[rates]] and restart, then replay.",
    ),
    # Storefront: a number cannot be shown.
    _kind(
        "entry_backorder_flag",
        Area.STOREFRONT,
        1,
        4,
        "Entry sells without stock",
        "The stock entry has restockableInDays set, so the storefront accepts orders without stock.",
        "Remove restockableInDays at the storefront unless this SKU may be sold without limit.",
    ),
    _kind(
        "write_refused",
        Area.STOREFRONT,
        2,
        4,
        "A write is refused",
        "The other system permanently refused a write; it was not applied.",
        "Read the refusal under actual, correct what it names (often a right or a missing type), then replay.",
    ),
    _kind(
        "entry_missing",
        Area.STOREFRONT,
        3,
        24,
        "No stock entry",
        "The storefront has no stock entry for a SKU and channel that should be shown.",
        "Create the entry, set create_entries on the channel, or take the SKU out of the pool.",
    ),
    # Catalogue: the systems do not mean the same thing.
    _kind(
        "unknown_sku",
        Area.CATALOGUE,
        2,
        4,
        "Unknown SKU",
        "An order or a stock number names a SKU that the master of the catalogue does not have.",
        "Create it at the back office, correct it at the storefront or name the pair under Settings or in [[skus]], "
        "then replay.",
    ),
    _kind(
        "sku_ambiguous",
        Area.CATALOGUE,
        2,
        4,
        "SKUs differ only in spelling",
        "A SKU is not known exactly, but others differ from it only in case or blanks.",
        "Make both spell it alike, or name the pair under Settings or in [[skus]], then replay; nothing is guessed.",
    ),
    _kind(
        "bundle_recipe_invalid",
        Area.CATALOGUE,
        2,
        8,
        "Unusable bundle recipe",
        "A bundle's recipe is empty, fractional or names unknown components, so the bundle is not offered.",
        "Correct the recipe at the master.",
    ),
    _kind(
        "catalogue_mismatch",
        Area.CATALOGUE,
        3,
        48,
        "Catalogues differ",
        "The comparison of both catalogues found SKUs that only one side has, twins, or bundles without a recipe.",
        "Create, retire or respell the SKUs named under actual at the side that is wrong.",
    ),
    # System: the machinery itself needs a hand.
    _kind(
        "vendor_misconfigured",
        Area.SYSTEM,
        1,
        2,
        "Wrong key, address or right",
        "A system refuses our credential or answers from a wrong address; nothing can be written there.",
        "Correct the key, its rights or the address in the settings and restart.",
    ),
    _kind(
        "vendor_down",
        Area.SYSTEM,
        2,
        2,
        "A system does not answer",
        "A system has been unreachable for longer than a short pause; work for it waits in order.",
        "Look at the vendor's status page; work goes on by itself when it is back.",
    ),
    _kind(
        "webhook_inactive",
        Area.SYSTEM,
        3,
        8,
        "Notifications stopped",
        "A system stopped sending notifications, so changes are seen only by the slower sweeps.",
        "Check that the public address is reachable, then activate the webhook or subscription again.",
    ),
    _kind(
        "budget_exceeded",
        Area.SYSTEM,
        2,
        4,
        "Too many calls",
        "A system says that its call limit is reached, although our own count stayed below it.",
        "Find who else uses this key and give it one of its own, or lower the calls in the settings.",
    ),
    _kind(
        "poison_payload",
        Area.SYSTEM,
        2,
        4,
        "Something that arrived cannot be handled",
        "A message or record could not be understood, again and again; it is parked unharmed.",
        "Read the cause under actual, correct the record at its source or update this service, then replay.",
    ),
    _kind(
        "payload_locked",
        Area.SYSTEM,
        1,
        2,
        "The key of what arrived is not here",
        "Something that arrived is encrypted with a key that the settings do not name; it is parked unharmed.",
        "Put the key of the subject back as payload_key_before and restart: what is parked goes on by itself then.",
    ),
    _kind(
        "operation_exhausted",
        Area.SYSTEM,
        2,
        4,
        "A task failed too often",
        "A write to another system used up its attempts; it and what follows in its lane wait.",
        "Read the cause under actual, mend it, then replay: what may have been applied is looked up first.",
    ),
    _kind(
        "setup_incomplete",
        Area.SYSTEM,
        2,
        8,
        "Set-up is incomplete",
        "Something that the service needs at another system is missing, such as a type, a channel or a right.",
        "Run `sellable config check` and `sellable setup commercetools --dry-run`, and do what they list.",
    ),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}
"""Every kind by its name."""

INTRODUCTION = """\
# Kinds of case

<!-- Generated: python -m sellable.desk.kinds > docs/reference/cases.md -->

A case is what a person must own. Equal troubles (same kind, same subject) are one case with a count, however many
there are. Severity 1 is worst and is told at once; cases are ranked by severity, then by age. A case that is open
longer than its age limit is overdue. Each kind needs an owner in `[[owners]]`; `kind = "*"` owns every kind not named.
"""


def page() -> str:
    """The reference of kinds in Markdown, by area."""
    return "\n".join([INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    areas = list(Area)
    for area, kinds in groupby(sorted(_TABLE, key=lambda kind: areas.index(kind.area)), key=lambda kind: kind.area):
        yield f"## {area.value.capitalize()}\n"
        for kind in sorted(kinds, key=lambda kind: (kind.severity, kind.name)):
            facts = f"Severity {kind.severity}, age limit {kind.age_hours} h."
            yield f"### `{kind.name}`: {kind.title}\n\n{kind.means} {facts}\n\n**Next step:** {kind.next_step}\n"


if __name__ == "__main__":
    print(page(), end="")
