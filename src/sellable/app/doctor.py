"""The doctor: what must be true of both vendors and of the settings, looked at one by one, each with its mend.

Reads only, under the budgets that all processes share. What needs a write is an experiment, asked for by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import msgspec

from sellable.app.discovery import is_zone, products_of
from sellable.app.service import Outside
from sellable.config.calls import CIN7_CALLS_PER_MINUTE_MAX
from sellable.config.settings import Settings
from sellable.connectors import cin7_core
from sellable.connectors.commercetools import experiment, setup, survey
from sellable.connectors.commercetools.survey import Survey
from sellable.connectors.port import CatalogueItem, VendorError
from sellable.desk import cases
from sellable.runtime.database import Store
from sellable.runtime.http import HttpError

LANE = "reads"
SKEW_WARN_SECONDS, SKEW_FAIL_SECONDS = 5.0, 60.0
"""A Date header has whole seconds; a minute is what signed webhooks and cursors stop forgiving."""
NEEDED = ("manage_orders", "manage_products", "view_messages", "view_types", "view_states")
"""What running needs, where it is not all of the project (see the guide for integration engineers)."""
NO_SUCH_SALE = "sellable:doctor:no-such-sale"

UNASKED = (
    "which number ReserveOnOrder checks while a decrement does not show (both are safe)",
    "how expired cart reservations behave when less is on stock than is reserved",
    "how many calls a second the project bears (start with calls_per_second as it is)",
    "whether Cin7 Core counts calls for each key or for the account (give each program a key of its own)",
    "whether Cin7 Core caps calls a day, and how it rounds a tax of half a cent (totals are compared for each order)",
    "whether a charge whose description is no service product is refused",
)
"""Facts nobody can test without writing a sale, or without doing harm; the product holds either way."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at. `result` is ok | warn | fail | unknown; `setting` a line for the settings file."""

    name: str
    result: str
    evidence: str
    mend: str = ""
    setting: str = ""


Found = Iterator[Check]


async def examine(settings: Settings, store: Store, outside: Outside) -> AsyncIterator[Check]:
    """Every check that reads only, as they are made."""
    for name, office, look in LOOKS:
        if office in (None, *settings.back_offices):
            async for check in _guarded(name, look(settings, store, outside)):
                yield check
    for fact in UNASKED:
        yield Check(name="not found out", result="unknown", evidence=fact)


async def _guarded(name: str, look: Awaitable[list[Check]]) -> AsyncIterator[Check]:
    try:
        found = await look
    except (VendorError, HttpError) as error:
        mend = "Correct the credential, its rights or the address; until then nothing after this was looked at."
        yield Check(name=name, result="fail", evidence=f"{type(error).__name__}: {error}"[:300], mend=mend)
        return
    for check in found:
        yield check


# --- commercetools ---------------------------------------------------------------------------------------------------


async def _storefront(settings: Settings, store: Store, outside: Outside) -> list[Check]:
    found = await survey.look(outside.storefront)
    steps = await setup.plan(outside.storefront)
    readings = await outside.storefront.walk_entries(None, lane="repair")
    flagged = [entry.sku for entry in readings.entries if entry.backorder]
    return [
        Check(name="commercetools answers", result="ok", evidence=f"project {settings.commercetools.project}"),
        *scopes(found.scopes, settings.commercetools.project),
        skew("commercetools", found.theirs, found.ours),
        *messages(found),
        *set_up(steps),
        *channels(settings, found),
        *modes(found),
        *storefront_taxes(settings, found),
        *carriers(settings, found),
        *line_states(settings, found),
        *backorders(flagged, len(readings.entries)),
    ]


def scopes(granted: tuple[str, ...], project: str) -> Found:
    """Whether the API client may do what running needs, on the whole project."""
    names = {scope.partition(":")[0] for scope in granted if scope.endswith(f":{project}")}
    names |= {name.replace("manage_", "view_", 1) for name in names}
    bound = [scope for scope in granted if scope.count(":") > 1]
    missing = [] if "manage_project" in names else [name for name in NEEDED if name not in names]
    if bound and missing:
        mend = "Make an API client that is bound to no store."
        yield Check(name="scopes", result="fail", evidence=f"bound to a store: {', '.join(bound)}", mend=mend)
    elif missing:
        mend = f"Give the API client {', '.join(missing)}."
        yield Check(name="scopes", result="fail", evidence=f"granted: {' '.join(granted) or 'nothing'}", mend=mend)
    else:
        yield Check(name="scopes", result="ok", evidence=" ".join(granted))


def skew(vendor: str, theirs: datetime | None, ours: datetime) -> Check:
    """How far a vendor's clock is from ours."""
    name = f"clock of {vendor}"
    if theirs is None:
        mend = "Find the proxy that removes the Date header: readings could not be compared."
        return Check(name=name, result="fail", evidence="its answer has no Date", mend=mend)
    seconds = (ours - theirs).total_seconds()
    result = "ok"
    if abs(seconds) > SKEW_WARN_SECONDS:
        result = "warn" if abs(seconds) <= SKEW_FAIL_SECONDS else "fail"
    mend = "" if result == "ok" else "Let this machine's clock be set by NTP."
    return Check(name=name, result=result, evidence=f"ours is {seconds:+.0f} s from theirs", mend=mend)


def messages(found: Survey) -> Found:
    """Whether messages can be asked for, for long enough."""
    says = f"enabled: {found.messages_enabled}, kept {found.message_days} days"
    good = found.messages_enabled and found.message_days >= setup.RETENTION_DAYS
    mend = "" if good else "Run `sellable setup commercetools`; without messages orders are seen only by the sweep."
    yield Check(name="messages", result="ok" if good else "warn", evidence=says, mend=mend)


def set_up(steps: list[setup.Step]) -> Found:
    """Whether what we need at the project exists."""
    open_ = [f"{step.resource}: {step.why or step.action}" for step in steps if step.action != "none"]
    blocked = any(step.action == "blocked" for step in steps)
    if open_:
        mend = "Run `sellable setup commercetools`; before that writes carry no marker and nothing is noted on orders."
        yield Check(name="set-up", result="fail" if blocked else "warn", evidence="; ".join(open_), mend=mend)
    else:
        yield Check(name="set-up", result="ok", evidence=f"{len(steps)} resources are there")


def channels(settings: Settings, found: Survey) -> Found:
    """Whether each configured channel supplies stock, and whether any that does is left out."""
    ours = {channel.key for channel in settings.channels}
    for key in sorted(ours - {""}):
        roles = found.channels.get(key)
        if roles is None:
            mend = "Correct the key in [[channels]], or make the channel."
            yield Check(name=f"channel {key}", result="fail", evidence="there is none at commercetools", mend=mend)
        elif "InventorySupply" not in roles:
            mend = "Give the channel the role InventorySupply."
            yield Check(name=f"channel {key}", result="fail", evidence=f"roles {', '.join(roles) or 'none'}", mend=mend)
        else:
            yield Check(name=f"channel {key}", result="ok", evidence=f"roles {', '.join(roles)}")
    left = [key for key in found.supply_channels if key not in ours]
    if found.channelless_entries and "" not in ours:
        left.append("(entries without a channel)")
    if left:
        mend = "Add a [[channels]] section, or be sure that nobody sells from it: an order there is held."
        yield Check(name="channels left out", result="warn", evidence=", ".join(left), mend=mend)


def modes(found: Survey) -> Found:
    """Whether the storefront lowers its own entries: without a mode it never does."""
    if not found.orders:
        mend = "Place an order and look again: carts must say inventoryMode ReserveOnOrder or TrackOnly."
        yield Check(name="inventory modes", result="unknown", evidence="there is no order yet", mend=mend)
        return
    counts: dict[str, int] = {}
    for (_, mode), lines in found.modes.items():
        counts[mode] = counts.get(mode, 0) + lines
    says = f"lines of the last {found.orders} orders: " + ", ".join(f"{n} {mode}" for mode, n in sorted(counts.items()))
    bare = counts.get("None", 0)
    mend = "Have carts set inventoryMode ReserveOnOrder: nothing but our writes lowers these numbers." if bare else ""
    yield Check(name="inventory modes", result="warn" if bare else "ok", evidence=says, mend=mend)


def storefront_taxes(settings: Settings, found: Survey) -> Found:
    """Whether each rate orders may carry has a rule of the back office."""
    ruled = [(rule.fraction, rule.name, rule.country) for rule in settings.taxes]
    bare = [
        f"{tax.fraction} {tax.country} ({tax.name})"
        for tax in found.taxes
        if not any(
            rate == survey.fraction_of(tax) and name in ("", tax.name) and country in ("", tax.country)
            for rate, name, country in ruled
        )
    ]
    if bare:
        mend = "Add [[taxes]] sections: an order with such a rate is held (`tax_unmapped`)."
        yield Check(name="taxes of the storefront", result="warn", evidence="; ".join(bare[:20]), mend=mend)
    else:
        yield Check(name="taxes of the storefront", result="ok", evidence=f"{len(found.taxes)} rates have their rule")


def carriers(settings: Settings, found: Survey) -> Found:
    """Whether each shipping method has a carrier of the back office."""
    bare = [name for name in found.shipping_methods if name not in settings.carriers]
    mend = "Name their carriers in [carriers]; without, the sale has none." if bare else ""
    says = ", ".join(bare) if bare else f"{len(found.shipping_methods)} shipping methods have their carrier"
    yield Check(name="carriers", result="warn" if bare else "ok", evidence=says, mend=mend)


def line_states(settings: Settings, found: Survey) -> Found:
    """Whether the states that mean cancelled are there: units in a state nobody has are never seen as cancelled."""
    wanted, name = settings.commercetools.cancelled_states, "line item states"
    missing = [key for key in wanted if key not in found.line_states]
    if missing:
        mend = "Make them at commercetools with type LineItemState, or correct commercetools.cancelled_states."
        yield Check(name=name, result="fail", evidence=f"there is no {', '.join(missing)}", mend=mend)
    else:
        says = f"cancelled: {', '.join(wanted)}" if wanted else "none means cancelled: lines go only with their order"
        yield Check(name=name, result="ok", evidence=says)


def backorders(flagged: list[str], seen: int) -> Found:
    """Whether entries sell without stock."""
    if flagged:
        says = f"{len(flagged)} of {seen} entries have restockableInDays: {', '.join(flagged[:5])}"
        mend = "Remove restockableInDays unless these may be sold without limit."
        yield Check(name="entries that sell without stock", result="warn", evidence=says, mend=mend)
    else:
        yield Check(name="entries that sell without stock", result="ok", evidence=f"none among {seen}")


# --- Cin7 Core -------------------------------------------------------------------------------------------------------


async def _back_office(settings: Settings, store: Store, outside: Outside) -> list[Check]:
    office = outside.back_office
    me, answer = await office.probe(lane=LANE)
    places = await office.locations(lane=LANE)
    rules = {rule.name: rule for rule in await office.tax_rules(lane=LANE)}
    carriers_there = {row.description for row in await office.carriers(lane=LANE)}
    cards = {row.name: row for rule in settings.customers for row in await office.customers(rule.customer, lane=LANE)}
    products = await products_of(office)
    await office.find_by_ref(NO_SUCH_SALE, lane=LANE)
    return [
        Check(name="Cin7 Core answers", result="ok", evidence=f"company {me.company}"),
        Check(name="search by reference", result="ok", evidence="a reference nobody has finds nothing"),
        skew("Cin7 Core", answer.date, answer.answered_at),
        *company(settings, me),
        *locations(settings, places),
        *tax_rules(settings, rules),
        *customers(settings, cards),
        *carriers_of(settings, carriers_there),
        *services(settings, products),
        *second_key(settings, answer.headers.get("x-ratelimit-remaining")),
    ]


def company(settings: Settings, me: Any) -> Found:
    """Currency, time zone and switches of the company that change numbers."""
    ours, theirs = settings.base_currency, me.currency or ""
    if ours and theirs and ours != theirs:
        line = f'[cin7_core] base_currency = "{theirs}"'
        mend = "Correct base_currency: rates of exchange would be wrong."
        yield Check(
            name="base currency", result="fail", evidence=f"theirs {theirs}, ours {ours}", mend=mend, setting=line
        )  # fmt: skip
    else:
        yield Check(name="base currency", result="ok", evidence=theirs or "not told")
    zone, line = me.time_zone or "", f'[cin7_core] time_zone = "{me.time_zone}"'
    if not is_zone(zone):
        says = f"told as {zone or 'nothing'}, which is no IANA name; ours is {settings.cin7_core.time_zone}"
        yield Check(
            name="time zone", result="warn", evidence=says, mend="See that time_zone means the same: dates of sales."
        )  # fmt: skip
    elif _offsets(zone) != _offsets(settings.cin7_core.time_zone):
        says = f"theirs {zone}, ours {settings.cin7_core.time_zone}"
        mend = "Set time_zone, or sales near midnight get another date."
        yield Check(name="time zone", result="warn", evidence=says, mend=mend, setting=line)
    else:
        yield Check(name="time zone", result="ok", evidence=zone)
    if me.automatically_apply_discounts:
        mend = "Switch automatic discounts off: they change totals, and each such order is held."
        yield Check(name="automatic discounts", result="warn", evidence="on", mend=mend)


def _offsets(zone: str) -> list[Any]:
    """How far from UTC a zone is, month by month: Etc/UTC and UTC are the same."""
    return [datetime(2026, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() for month in range(1, 13)]


def locations(settings: Settings, rows: list[Any]) -> Found:
    """Whether each configured location exists, and which bins have no rule of their own."""
    there = {row.name: row for row in rows}
    for place in settings.locations:
        row = there.get(place.remote)
        if row is None:
            near = [name for name in there if name and name.casefold() == place.remote.casefold()]
            mend = (
                f"It is spelled {near[0]} there." if near else f"Name one of {', '.join(sorted(filter(None, there)))}."
            )
            yield Check(name=f"location {place.name}", result="fail", evidence=f"no {place.remote} there", mend=mend)
            continue
        ruled = {rule.bin for rule in settings.states if rule.location == place.name}
        bare = [held.name for held in row.bins or () if held.name and not held.is_deprecated and held.name not in ruled]
        if row.is_deprecated:
            mend = "Take it out, or make it active there."
            yield Check(name=f"location {place.name}", result="warn", evidence="deprecated there", mend=mend)
        elif bare and "*" not in ruled:
            mend = "Add [[states]] rules: stock in a bin without one is not sellable."
            yield Check(name=f"location {place.name}", result="warn", evidence=f"bins {', '.join(bare)}", mend=mend)
        else:
            yield Check(name=f"location {place.name}", result="ok", evidence=f"{len(row.bins or ())} bins, all ruled")
    unknown = sorted({name for name in there if name} - {place.remote for place in settings.locations})
    if unknown:
        mend = "Leave it so, or add [[locations]] sections."
        yield Check(name="locations left out", result="ok", evidence=", ".join(unknown), mend=mend)


def tax_rules(settings: Settings, rules: dict[str, Any]) -> Found:
    """Whether each rule of [[taxes]] exists, is active and has the storefront's rate."""
    for tax in settings.taxes:
        name, rule = f"tax rule {tax.rule}", rules.get(tax.rule)
        if rule is None:
            mend = f"Name one of {', '.join(sorted(rules))}."
            yield Check(name=name, result="fail", evidence="there is none", mend=mend)
        elif not rule.active:
            yield Check(
                name=name, result="fail", evidence="not active for sales", mend="Make it active, or name another."
            )
        elif rule.percent != tax.fraction * 100:
            mend = "Correct the rate or the rule: totals would differ on every order."
            yield Check(name=name, result="fail", evidence=f"{rule.percent} % where {tax.rate} is said", mend=mend)
        else:
            yield Check(name=name, result="ok", evidence=f"{rule.percent.normalize():f} %")


def customers(settings: Settings, cards: dict[Any, Any]) -> Found:
    """Whether each customer that web orders are booked on exists, in its currency."""
    for rule in settings.customers:
        name, card = f"customer {rule.customer}", cards.get(rule.customer)
        if card is None:
            mend = "Make the customer, or correct its name in [[customers]]."
            yield Check(name=name, result="fail", evidence="there is none of exactly this name", mend=mend)
        elif card.currency != rule.currency:
            mend = "Name a customer whose card has the orders' currency."
            yield Check(name=name, result="fail", evidence=f"{card.currency}, not {rule.currency}", mend=mend)
        else:
            yield Check(name=name, result="ok", evidence=f"{card.currency}, {card.status or 'status not told'}")


def carriers_of(settings: Settings, there: set[Any]) -> Found:
    """Whether each carrier exists."""
    missing = sorted({carrier for carrier in settings.carriers.values() if carrier not in there})
    if missing:
        mend = "Make them, or name others in [carriers]: a sale with an unknown carrier is refused."
        yield Check(name="carriers of Cin7 Core", result="fail", evidence=f"no {', '.join(missing)}", mend=mend)


def services(settings: Settings, products: list[CatalogueItem]) -> Found:
    """Whether shipping, custom lines and discounts have their service product, and bundles their recipe."""
    office = settings.cin7_core
    there = {item.name for item in products if item.service}
    wanted = (office.shipping_service, office.custom_service, office.discount_service)
    missing = [name for name in wanted if name not in there]
    if missing:
        mend = "Make service products of these names, or name others in [cin7_core]."
        yield Check(name="service products", result="fail", evidence=f"no {', '.join(missing)}", mend=mend)
    else:
        yield Check(name="service products", result="ok", evidence=", ".join(wanted))
    kits = [item for item in products if item.kit]
    broken = [item.sku for item in kits if item.fault or not item.recipe]
    mend = "Correct their recipes: a bundle without one is not offered." if broken else ""
    says = f"{len(kits)} among {len(products)} products" + (f", unusable: {', '.join(broken[:10])}" if broken else "")
    yield Check(name="bundles", result="warn" if broken else "ok", evidence=says, mend=mend)


def second_key(settings: Settings, remaining: str | None) -> Found:
    """Whether reading has a key of its own."""
    if not settings.cin7_core.read_key:
        mend = "Make a second API application there and name its key as read_key: reading then never holds up orders."
        yield Check(name="second key", result="warn", evidence="one key pays for everything", mend=mend)
    if remaining is not None:
        yield Check(name="calls left as told", result="ok", evidence=f"{remaining} of {CIN7_CALLS_PER_MINUTE_MAX}")


# --- Around ----------------------------------------------------------------------------------------------------------


async def _company_of_the_key(settings: Settings, store: Store, outside: Outside) -> list[Check]:
    """Whether somebody else spends calls of our Cin7 Core keys. Its answers tell what is left only when nothing is."""
    usage = [each for each in await outside.budgets.usage() if each.credential in (cin7_core.ORDERS, cin7_core.READS)]
    spent = sum(each.used for each in usage)
    open_ = [case for case in await store.read(cases.listing, kind="budget_exceeded") if "cin7" in case.subject]
    cooling = [each for each in usage if each.cooldown_until is not None and each.cooldown_until > store.clock.now()]
    says = f"{spent} calls of ours in the last minute"
    if open_ or cooling:
        mend = "Find who else uses this key and give it one of its own, or lower calls_per_minute."
        says += "; the limit was reached all the same"
        return [Check(name="others on the Cin7 Core key", result="warn", evidence=says, mend=mend)]
    return [Check(name="others on the Cin7 Core key", result="ok", evidence=f"{says}, and no refusal")]


async def _warehouse(settings: Settings, store: Store, outside: Outside) -> list[Check]:
    """Whether OrderFlow tells what is asked of it again and again: numbers by place, orders, what left."""
    port = outside.warehouse
    assert port is not None
    found = []
    for place in (location for location in settings.locations if location.keeper == "orderflow"):
        page = await port.inventory(None, site=place.name, lane=LANE)
        doubts = [*page.faults, *page.warnings]
        mend = "Ask the warehouse about these products; what cannot be read proves nothing." if doubts else ""
        says = f"{len(page.rows)} products" + (f", {len(doubts)} in doubt: {doubts[0]}" if doubts else "")
        result = "warn" if doubts or not page.rows else "ok"
        found.append(Check(name=f"inventory of {place.name}", result=result, evidence=says, mend=mend))
    if await port.order_detail(NO_SUCH_SALE, lane=LANE) is None:
        found.append(Check(name="orders there", result="ok", evidence="a reference nobody has finds nothing"))
    now = store.clock.now()
    left = await port.despatches(now - timedelta(days=1), now, lane=LANE)
    says = f"{left.received} shipments left in a day" + (f"; unreadable: {left.faults[0]}" if left.faults else "")
    found.append(Check(name="what left there", result="warn" if left.faults else "ok", evidence=says))
    return found


async def _webhooks(settings: Settings, store: Store, outside: Outside) -> list[Check]:
    hook = settings.cin7_core.webhook
    if not hook.public_url:
        return [Check(name="webhooks", result="ok", evidence="off; polling alone is complete")]
    found = [await reachable(outside.client, "cin7", hook.public_url)]
    rows = [row for row in await outside.back_office.webhooks(lane=LANE) if hook.public_url in (row.external_url or "")]
    asleep = [row.type or "" for row in rows if not row.is_active]
    if not rows:
        says, mend = "none leads to us", "Start `sellable run`: it registers them within ten minutes."
        found.append(Check(name="webhooks registered", result="warn", evidence=says, mend=mend))
    elif asleep:
        mend = "Mend the address; `sellable run` wakes them."
        found.append(Check(name="webhooks registered", result="warn", evidence=f"asleep: {asleep}", mend=mend))
    else:
        found.append(Check(name="webhooks registered", result="ok", evidence=f"{len(rows)} lead to us"))
    return found


async def reachable(client: httpx2.AsyncClient, source: str, public_url: str) -> Check:
    """Whether our own door answers at its public address: a wrong token is refused by us and by nobody else."""
    url = f"{public_url.rstrip('/')}/webhooks/{source}/doctor"
    mend = "Let the proxy pass /webhooks/ on to `sellable run`, and see that it runs."
    try:
        answer = await client.post(url, content=b"{}", timeout=10.0)
    except httpx2.HTTPError as error:
        says = f"{type(error).__name__} at {url}"
        return Check(name="webhook address", result="fail", evidence=says, mend=mend)
    if answer.status_code == 401:
        return Check(name="webhook address", result="ok", evidence=f"{url} refuses a wrong token")
    return Check(name="webhook address", result="fail", evidence=f"{answer.status_code} at {url}", mend=mend)


LOOKS: tuple[tuple[str, str | None, Callable[[Settings, Store, Outside], Awaitable[list[Check]]]], ...] = (
    ("commercetools answers", None, _storefront),
    ("Cin7 Core answers", "cin7_core", _back_office),
    ("webhooks answer", "cin7_core", _webhooks),
    ("calls answer", "cin7_core", _company_of_the_key),
    ("OrderFlow answers", "orderflow", _warehouse),
)
"""What is said to fail, the back office without which it is not asked, and the look."""


# --- Experiments -----------------------------------------------------------------------------------------------------


async def try_out(settings: Settings, store: Store, outside: Outside, sku: str, name: str) -> list[Check]:
    """What only writes can tell, on an entry of its own that is deleted again."""
    run = experiment.Experiment(outside.storefront, sku, name, store.clock.sleep)
    answers = await run.run()
    found = [
        Check(
            name=answer.question, result="unknown" if answer.answer == "unknown" else "ok",
            evidence=f"{answer.answer}: {answer.evidence}", setting=answer.setting,
        )
        for answer in answers
    ]  # fmt: skip
    if run.left:
        mend = "Delete them by hand at commercetools."
        found.append(Check(name="traces", result="fail", evidence="; ".join(run.left), mend=mend))
    else:
        found.append(Check(name="traces", result="ok", evidence="all that was made is deleted"))
    return [_to_set(check, settings.commercetools.restocks_on_cancel) for check in found]


def _to_set(check: Check, told: str) -> Check:
    """An answer that the settings do not have yet is a line to set."""
    if not check.setting or check.setting.endswith(f'"{told}"'):
        return check
    return msgspec.structs.replace(check, mend=f"It is {told} now. Set the line and restart.", result="warn")
