"""What cannot work although it can be read, and how many calls it would cost. Pure: settings in, problems or rows out.

Rule: refuse at the start what would make the storefront lie later: above all two owners of one number.
"""

from __future__ import annotations

import ipaddress
import math
import re
import string
from collections.abc import Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from sellable.config.problems import Lines, Problem, child
from sellable.config.secrets import key_of
from sellable.config.settings import OWN_RATE, Cin7Core, OrderFlow, Route, Settings, TaxMap
from sellable.domain.states import TABLES, Machine, known
from sellable.domain.stock import State

ORDERFLOW = "orderflow"
MASTERS = ("cin7_core", ORDERFLOW)
"""Systems that can own the stock of a location."""
OUTSIDE = (State.SUPPLIER, State.CUSTOMER, State.UNEXPLAINED)
CIN7_CALLS_PER_MINUTE_MAX = 60
"""Calls in 60 s for each application key (Cin7 Core API documentation, "API limits")."""
CIN7_PAGE_ROWS = 1000
ORDERFLOW_CALLS_PER_MINUTE_MIN = 10
"""Fewer leave nothing for the four kinds of calls after a burst of five."""
ADDRESS_WORDS = ("line1", "line2", "city", "region", "company", "postcode", "country")
ADDRESS_LINES_MAX = 6
FREE_FIELDS = (*(f"userDefined{number}" for number in range(1, 6)), "customerComment")
"""Fields of an OrderFlow order that mean nothing to it."""
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
RATE_DIGITS = 5
RATE_MAX = 1_000_000
COMMERCETOOLS_PAGE_ROWS = 500
"""Largest `limit` of a query (commercetools documentation, "Limits")."""
MAY_BE_ZERO = {"visibility_lag_seconds", "search_settle_seconds", "adopt_minutes_after_birth"}
ABOVE_ZERO = ("_seconds", "_minutes", "_hours", "_days", "_per_second", "_per_minute", "concurrency", "write_batch")

H = TypeVar("H", bound=Hashable)
Found = Iterator[tuple[str, str, str]]
"""Key, message and mend of a problem."""


def check(
    settings: Settings,
    lines: Lines | None = None,
    *,
    case_kinds: Collection[str] = (),
    masters: Collection[str] = MASTERS,
) -> list[Problem]:
    """Everything that cannot work, in the order of the file. `case_kinds` are the kinds that need an owner."""
    found = [
        *_locations(settings, masters),
        *_states(settings),
        *_pools(settings),
        *_channels(settings),
        *_routes(settings),
        *_buffers(settings),
        *_skus(settings),
        *_customers_and_taxes(settings),
        *_rates(settings),
        *_owners(settings, case_kinds),
        *_addresses(settings),
        *_keys(settings),
        *_console(settings),
        *_reasons(settings),
        *_statuses(settings),
        *_numbers(settings, ""),
        *_rest(settings),
        *_orderflow(settings),
    ]
    lines = lines or Lines()
    problems = [Problem(line=lines.of(key), key=key, message=says, mend=mend) for key, says, mend in found]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _locations(settings: Settings, masters: Collection[str]) -> Found:
    for index, location in enumerate(settings.locations):
        if location.master not in masters:
            yield (
                f"locations[{index}].master",
                f'the location "{location.name}" has no master: "{location.master}" is no system that owns stock',
                f"Name one of {_quoted(masters)}.",
            )
        elif location.master == "cin7_core" and location.master not in settings.back_offices:
            says = f'"{location.name}" is counted by Cin7 Core, and nothing says how that is reached'
            yield f"locations[{index}].master", says, "Add a [cin7_core] section."
    for index, first, name in _twice(location.name for location in settings.locations):
        yield (
            f"locations[{index}].name",
            f'the location "{name}" is declared twice, so its numbers would have two owners '
            f"({settings.locations[first].master} and {settings.locations[index].master})",
            "Keep the declaration of the one system that owns its stock.",
        )
    for index, first, (master, _) in _twice((place.master, _same(place.remote)) for place in settings.locations):
        place, other = settings.locations[index], settings.locations[first]
        if place.name != other.name:
            yield (
                f"locations[{index}].remote",
                f'"{place.remote}" of {master} is already the location "{other.name}": its stock would count twice',
                "Give each location of the master one name here.",
            )


def _states(settings: Settings) -> Found:
    names = [location.name for location in settings.locations]
    for index, rule in enumerate(settings.states):
        if rule.location not in names:
            yield (f"states[{index}].location", *_unknown("location", rule.location, names))
        if rule.state in OUTSIDE:
            inside = [state for state in State if state not in OUTSIDE]
            says = f'"{rule.state}" is no state that stock on a shelf can be in'
            yield f"states[{index}].state", says, f"Name one of {_quoted(inside)}."
    for index, _, (place, bin_name) in _twice((rule.location, rule.bin) for rule in settings.states):
        says = f'bin "{bin_name}" of "{place}" has two states'
        yield f"states[{index}].bin", says, "Keep one rule for each bin."
    ruled = {rule.location for rule in settings.states}
    for index, location in enumerate(settings.locations):
        # OrderFlow tells each product's states itself.
        if location.name not in ruled and location.master != ORDERFLOW:
            yield (
                f"locations[{index}].name",
                f'no state rule names the location "{location.name}", so nothing there would be sellable',
                f'Add a [[states]] section with location = "{location.name}", bin = "*" and a state.',
            )


def _pools(settings: Settings) -> Found:
    names = [location.name for location in settings.locations]
    places = {location.name: location for location in settings.locations}
    for index, pool in enumerate(settings.pools):
        counted: dict[str, str] = {}
        for place, name in enumerate(pool.locations):
            if (location := places.get(name)) is None:
                continue
            first = counted.setdefault(_same(location.remote), location.master)
            if first != location.master:
                says = (
                    f'"{location.remote}" is counted by {first} and by {location.master}: its stock would count twice'
                )
                mend = "Keep the location of the system that ships from there in the pool."
                yield f"pools[{index}].locations[{place}]", says, mend
        if not pool.locations:
            yield f"pools[{index}].locations", f'the pool "{pool.name}" has no locations', "Name at least one location."
        for place, name in enumerate(pool.locations):
            if name not in names:
                yield (f"pools[{index}].locations[{place}]", *_unknown("location", name, names))
        for place, _, name in _twice(pool.locations):
            says = f'"{name}" is in the pool "{pool.name}" twice, so its stock would count twice'
            yield f"pools[{index}].locations[{place}]", says, "Name it once."
    for index, _, name in _twice(pool.name for pool in settings.pools):
        yield f"pools[{index}].name", f'two pools are called "{name}"', "Give each pool a name of its own."


def _channels(settings: Settings) -> Found:
    pools = {pool.name: pool for pool in settings.pools}
    ships = {location.name for location in settings.locations if location.ships}
    known = {location.name for location in settings.locations}
    if not settings.channels:
        yield "channels", "there is no channel, so nothing would be shown anywhere", "Add a [[channels]] section."
    for index, channel in enumerate(settings.channels):
        if channel.pool not in pools:
            says = f'the channel "{channel.key}" has no pool: there is none called "{channel.pool}"'
            yield f"channels[{index}].pool", says, f"Name one of {_quoted(pools)}."
        elif ships.isdisjoint(places := pools[channel.pool].locations) and known.issuperset(places):
            says = f'no location of the pool "{channel.pool}" ships, so orders of "{channel.key}" could not be sourced'
            yield f"channels[{index}].pool", says, "Set `ships = true` for a location of the pool."
    for index, _, key in _twice(channel.key for channel in settings.channels):
        says = f'two channels have the key "{key}", so its entries would have two owners'
        yield f"channels[{index}].key", says, "Keep one; a channel sells from one pool."


def _routes(settings: Settings) -> Found:
    """Rules that can take no line, or that would send goods to who does not count them."""
    places = {place.name: place for place in settings.locations}
    keys = [channel.key for channel in settings.channels]
    for index, rule in enumerate(settings.routes):
        if rule.target not in settings.back_offices:
            yield (f"routes[{index}].target", *_unknown("back office", rule.target, settings.back_offices))
            continue
        for place, name in enumerate(rule.locations):
            at = f"routes[{index}].locations[{place}]"
            if name not in places:
                yield (at, *_unknown("location", name, places))
            elif (master := places[name].master) != rule.target:
                says = f'the stock of "{name}" is counted by {master}, so {rule.target} cannot ship it'
                yield at, says, f"Name locations of {rule.target}, or make {master} the target."
            elif not places[name].ships:
                yield at, f'"{name}" does not ship', "Set `ships = true` for it, or leave it out."
        for place, key in enumerate(rule.channels):
            if key not in keys:
                yield (f"routes[{index}].channels[{place}]", *_unknown("channel", key, keys))
        for name in rule.attributes.keys() - set(settings.commercetools.line_attributes):
            says = f'orders do not keep the attribute "{name}", so the rule would never fit'
            yield f"routes[{index}].attributes", says, f'Add "{name}" to commercetools.line_attributes.'
        if not _served(rule, settings):
            says = f'"{rule.name}" is never reached: no channel it fits ships from its locations'
            yield f"routes[{index}].name", says, "Add one of them to the pool of such a channel, or leave the rule out."
        elif (first := next((r for r in settings.routes[:index] if _covers(r, rule, settings)), None)) is not None:
            says = f'"{rule.name}" is never reached: "{first.name}" before it takes everything it fits'
            yield f"routes[{index}].name", says, f'Move it before "{first.name}", or leave it out.'
    for index, _, name in _twice(rule.name for rule in settings.routes):
        yield f"routes[{index}].name", f'two rules are called "{name}"', "Give each rule a name of its own."


def _served(rule: Route, settings: Settings) -> set[str]:
    """Channels whose lines a rule has a place for."""
    pools = {pool.name: pool.locations for pool in settings.pools}
    own = {place.name for place in settings.locations if place.ships and place.master == rule.target}
    places = own & set(rule.locations) if rule.locations else own
    fits = [channel for channel in settings.channels if not rule.channels or channel.key in rule.channels]
    return {channel.key for channel in fits if places & set(pools.get(channel.pool, ()))}


def _covers(first: Route, later: Route, settings: Settings) -> bool:
    """Whether an earlier rule takes every line that a later one fits."""
    if first.stock != "any" or first.lines != "each" or not _served(later, settings) <= _served(first, settings):
        return False
    words = ("stores", "countries", "currencies", "methods")
    if any((mine := getattr(first, name)) and not _within(getattr(later, name), mine) for name in words):
        return False
    if first.ship_to and not _within([_widest(place, first.ship_to) for place in later.ship_to], first.ship_to):
        return False
    if first.skus and not (later.skus and all(any(_spans(p, sku) for p in first.skus) for sku in later.skus)):
        return False
    return all(_within(later.attributes.get(name, ()), values) for name, values in first.attributes.items())


def _within(words: Collection[str], wanted: Collection[str]) -> bool:
    """Whether a condition asks no more than another; an empty one asks nothing, so it fits more."""
    return bool(words) and set(words) <= set(wanted)


def _widest(place: str, places: Collection[str]) -> str:
    country = place.split("-", 1)[0]
    return country if country in places else place


def _spans(pattern: str, sku: str) -> bool:
    return sku.startswith(pattern[:-1]) if pattern.endswith("*") else sku == pattern


def _buffers(settings: Settings) -> Found:
    names = [location.name for location in settings.locations]
    keys = [channel.key for channel in settings.channels]
    for index, channel in enumerate(settings.channels):
        for name in ("brake_keys_percent", "brake_units_percent"):
            if not 0 <= getattr(channel, name) <= 100:
                yield f"channels[{index}].{name}", "is no percentage", "Write 0 to 100; 100 sets no limit."
    for index, buffer in enumerate(settings.buffers):
        if buffer.location and buffer.location not in names:
            yield (f"buffers[{index}].location", *_unknown("location", buffer.location, names))
        if buffer.channel is not None and buffer.channel not in keys:
            yield (f"buffers[{index}].channel", *_unknown("channel", buffer.channel, keys))
    marks = [
        *((f"buffers[{index}].units", buffer.units) for index, buffer in enumerate(settings.buffers)),
        *((f"channels[{index}].buffer", channel.buffer) for index, channel in enumerate(settings.channels)),
        *((f"channels[{index}].cap", channel.cap or 0) for index, channel in enumerate(settings.channels)),
        *((f"channels[{index}].low_mark", channel.low_mark) for index, channel in enumerate(settings.channels)),
        *((f"channels[{index}].brake_keys_min", each.brake_keys_min) for index, each in enumerate(settings.channels)),
        ("cin7_core.stale_buffer", settings.cin7_core.stale_buffer),
    ]
    for key, units in marks:
        if units < 0:
            yield key, f"{units} units are fewer than none", "Write 0 or more."


def _skus(settings: Settings) -> Found:
    mapped = {rule.storefront for rule in settings.skus}
    for index, rule in enumerate(settings.skus):
        if not rule.storefront or not rule.master:
            yield f"skus[{index}].storefront", "a SKU is missing", "Name the storefront's SKU and the master's."
        elif rule.storefront == rule.master:
            says = f'"{rule.master}" is spelled the same on both sides'
            yield f"skus[{index}].master", says, "Leave it out: SKUs that agree need no map."
        elif rule.master in mapped:
            says = f'"{rule.master}" is a storefront spelling of another SKU'
            yield f"skus[{index}].master", says, "Name the SKU as the master itself spells it."
    for index, first, sku in _twice(rule.storefront for rule in settings.skus):
        says = f'"{sku}" is mapped already, to "{settings.skus[first].master}"'
        yield f"skus[{index}].storefront", says, "Keep one map for each SKU of the storefront."


def _customers_and_taxes(settings: Settings) -> Found:
    for index, first, (currency, store) in _twice((c.currency, c.store) for c in settings.customers):
        says = f'orders in {currency} of store "{store}" have two customers, "{settings.customers[first].customer}" too'
        yield f"customers[{index}].customer", says, "Keep one customer for each currency and store."
    for index, tax in enumerate(settings.taxes):
        fraction = _fraction(tax)
        if fraction is None or not 0 <= fraction < 1:
            says = f'"{tax.rate}" is no rate as a fraction'
            yield f"taxes[{index}].rate", says, 'Write 19 % as "0.19", in quotes.'
    for index, first, _ in _twice((_fraction(tax), tax.name, tax.country) for tax in settings.taxes):
        says = f'this tax is mapped already, to the rule "{settings.taxes[first].rule}"'
        yield f"taxes[{index}].rule", says, "Keep one rule for each rate, name and country."


def _rates(settings: Settings) -> Found:
    base = settings.cin7_core.base_currency
    foreign = {rule.currency for rule in settings.customers} | {rate.currency for rate in settings.rates}
    if not base and (len(foreign) > 1 or settings.rates):
        says = f"orders come in {_quoted(sorted(foreign))}, and nobody says which of them is the company's own"
        yield "cin7_core.base_currency", says, "Write the base currency of the Cin7 Core company."
    for index, rate in enumerate(settings.rates):
        if rate.rate != OWN_RATE and not _is_rate(rate.rate):
            says = f'"{rate.rate}" is no exchange rate'
            mend = f'Write a number above 0 with at most {RATE_DIGITS} decimals, in quotes, or "{OWN_RATE}".'
            yield f"rates[{index}].rate", says, mend
        if rate.currency == base:
            says = f"{base} is the company's own currency"
            yield f"rates[{index}].currency", says, "Leave it out: a sale in it has no rate."
    for index, _, currency in _twice(rate.currency for rate in settings.rates):
        yield f"rates[{index}].currency", f"{currency} has two rates", "Keep one."


def _is_rate(text: str) -> bool:
    """Cin7 Core keeps five decimals (blueprint, sale: CurrencyRate); a finer one would be rounded behind our back."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return False
    return value.is_finite() and 0 < value < RATE_MAX and value == value.quantize(Decimal(1).scaleb(-RATE_DIGITS))


def _reasons(settings: Settings) -> Found:
    """One code of a system means one thing, and one of our words is said in one way to each system."""
    for side in ("storefront", "back_office"):
        for index, first, code in _twice(getattr(reason, side) for reason in settings.reasons):
            if code:
                yield (
                    f"reasons[{index}].{side}",
                    f'the code "{code}" is mapped twice, to "{settings.reasons[first].code}" and '
                    f'"{settings.reasons[index].code}"',
                    "Keep the one it means.",
                )
    for index, reason in enumerate(settings.reasons):
        if not (reason.storefront or reason.back_office):
            yield (
                f"reasons[{index}].code",
                f'the reason "{reason.code}" is said by no system',
                "Give it a code, or none.",
            )


def _statuses(settings: Settings) -> Found:
    """A market has one word for an event, and only words the storefront knows."""
    for index, _, (event, store, country) in _twice((s.event, s.store, s.country) for s in settings.statuses):
        where = f'store "{store}", country "{country}"'
        yield (f"statuses[{index}].event", f'"{event}" is named twice for {where}', "Keep the section that is meant.")
    for index, rule in enumerate(settings.statuses):
        for name, machine in (("shipment_state", Machine.SHIPMENT), ("order_state", Machine.ORDER)):
            word = getattr(rule, name)
            if word and word != "keep" and not known(machine, word):
                yield (f"statuses[{index}].{name}", *_unknown(machine.value, word, TABLES[machine]))


def _owners(settings: Settings, case_kinds: Collection[str]) -> Found:
    owned = {owner.kind for owner in settings.owners if owner.owner.strip()}
    if "*" not in owned and (missing := [kind for kind in case_kinds if kind not in owned]):
        says = f"nobody owns the cases {', '.join(missing)}"
        yield "owners", says, 'Add an [[owners]] section with kind = "*" for every kind not named.'
    for index, owner in enumerate(settings.owners):
        if not owner.owner.strip():
            yield f"owners[{index}].owner", f'the owner of "{owner.kind}" has no name', "Name a person or a team."
        if case_kinds and owner.kind != "*" and owner.kind not in case_kinds:
            yield (f"owners[{index}].kind", *_unknown("kind of case", owner.kind, case_kinds))
    for index, _, kind in _twice(owner.kind for owner in settings.owners):
        yield f"owners[{index}].kind", f'cases of kind "{kind}" have two owners', "Keep the one who acts."


def _addresses(settings: Settings) -> Found:
    shop, office, alerts = settings.commercetools, settings.cin7_core, settings.alerts
    for key, url, insecure in (
        ("commercetools.api_url", shop.api_url, shop.insecure),
        ("commercetools.auth_url", shop.auth_url, shop.insecure),
        ("commercetools.webhook.public_url", shop.webhook.public_url, shop.insecure),
        ("cin7_core.base_url", office.base_url, office.insecure),
        ("cin7_core.webhook.public_url", office.webhook.public_url, office.insecure),
        ("alerts.webhook_url", alerts.webhook_url, alerts.insecure),
        *(
            ()
            if (house := settings.orderflow) is None
            else (
                ("orderflow.base_url", house.base_url, house.insecure),
                ("orderflow.webhook.public_url", house.webhook.public_url, house.insecure),
            )
        ),
    ):
        optional = key.endswith(("public_url", "webhook_url"))
        if not url and optional:
            continue
        scheme, host = _scheme_and_host(url)
        if scheme not in ("http", "https") or not host:
            yield key, "is no address", "Write https://, the host and the path."
        elif scheme == "http" and not insecure:
            section = key.split(".")[0]
            mend = f"Write https://, or set `insecure = true` in [{section}] for a simulator."
            yield key, "http would carry secrets and orders in the open", mend


def _keys(settings: Settings) -> Found:
    service = settings.service
    if not service.payload_key:
        mend = (
            "Run `sellable config key`, keep what it prints in a safe place too, and name it in [service]: "
            'payload_key = "env:PAYLOAD_KEY" or "file:/path".'
        )
        yield "service.payload_key", "is missing, and what arrives is stored only encrypted", mend
    for name, written in (("payload_key", service.payload_key), ("payload_key_before", service.payload_key_before)):
        try:
            if written:
                key_of(written)
        except ValueError as error:
            yield f"service.{name}", f"is no key: it {error}", "Write it as `sellable config key` printed it."


def _console(settings: Settings) -> Found:
    console, scheme_and_host = settings.console, _scheme_and_host(settings.console.public_url)
    if console.open and not only_here(settings.service.listen):
        says = f"everybody who reaches {settings.service.listen} could read without signing in"
        mend = "Leave `open` out, or listen on 127.0.0.1; `sellable people add` lets people sign in."
        yield "console.open", says, mend
    if console.open and (console.public_url or console.proxies):
        says = "everybody behind the proxy could read without signing in"
        yield "console.open", says, "Leave `open` out, or `public_url` and `proxies`."
    if console.public_url and (scheme_and_host[0] not in ("http", "https") or not scheme_and_host[1]):
        yield "console.public_url", "is no address", "Write https://, the host and the path."
    elif scheme_and_host[0] == "http" and not is_loopback(scheme_and_host[1]):
        mend = "Write https://; your proxy ends the encryption."
        yield "console.public_url", "http would carry passwords in the open", mend
    for index, proxy in enumerate(console.proxies):
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            says, mend = f'"{proxy}" is no address', "Write the IP address or network of the proxy itself."
            yield f"console.proxies[{index}]", says, mend


def only_here(listen: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    return is_loopback(listen.rpartition(":")[0].strip("[]") or "127.0.0.1")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _numbers(section: msgspec.Struct, key: str) -> Found:
    """Intervals and limits, wherever they stand."""
    for field in msgspec.structs.fields(section):
        name, value = child(key, field.name), getattr(section, field.name)
        if isinstance(value, msgspec.Struct):
            yield from _numbers(value, name)
        elif field.name in MAY_BE_ZERO and not 0 <= value < math.inf:
            yield name, f"{value} is no time to wait", "Write 0 or more."
        elif field.name not in MAY_BE_ZERO and field.name.endswith(ABOVE_ZERO) and not 0 < value < math.inf:
            yield name, f"with {value} this would never happen", "Write a number above 0."


def _rest(settings: Settings) -> Found:
    if settings.orderflow is None and settings.cin7_core == Cin7Core(account_id="", key=""):
        yield "cin7_core", "there is no back office, so no order could go anywhere", "Add a [cin7_core] section."
    if settings.cin7_core.calls_per_minute > CIN7_CALLS_PER_MINUTE_MAX:
        says = f"the vendor allows {CIN7_CALLS_PER_MINUTE_MAX} calls a minute for each key"
        yield "cin7_core.calls_per_minute", says, f"Write {CIN7_CALLS_PER_MINUTE_MAX} or less; 50 leaves room."
    if settings.orders.start_at.tzinfo is None:
        mend = "Add the offset, as in 2026-01-31T00:00:00Z."
        yield "orders.start_at", "is a local time, which means another instant on another machine", mend
    host, _, port = settings.service.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        yield "service.listen", "is no address with a port", 'Write for example "127.0.0.1:8080".'
    alerts = settings.alerts
    if alerts.webhook_url and not alerts.webhook_secret:
        mend = "Set `webhook_secret`, so that the receiver can tell them from forged ones."
        yield "alerts.webhook_url", "alerts would be sent unsigned", mend
    if alerts.smtp_url and not alerts.mail_from:
        yield "alerts.smtp_url", "alert mails have no sender", "Set `mail_from`."


def _orderflow(settings: Settings) -> Found:
    house = settings.orderflow
    mine = [index for index, location in enumerate(settings.locations) if location.master == ORDERFLOW]
    if house is None:
        for index in mine:
            says = f'"{settings.locations[index].name}" is run with OrderFlow, and nothing says how it is reached'
            yield f"locations[{index}].master", says, "Add an [orderflow] section."
        return
    if not mine:
        mend = 'Add a [[locations]] section with master = "orderflow" and its site as remote, or leave [orderflow] out.'
        yield "orderflow", "no location is run with it, so nothing would ever go there", mend
    for index, rule in enumerate(settings.states):
        if rule.location in {settings.locations[each].name for each in mine}:
            says = f'OrderFlow itself tells the states of stock at "{rule.location}"'
            yield f"states[{index}].location", says, "Leave the rule out."
    yield from _reached(house)
    yield from _said(house, settings)
    yield from _pushed(house)


def _reached(house: OrderFlow) -> Found:
    try:
        ZoneInfo(house.time_zone)
    except (OSError, ValueError, LookupError):
        yield "orderflow.time_zone", f'"{house.time_zone}" is no time zone', 'Write for example "Europe/London".'
    for name in ("user", "channel", "organisation"):
        word = getattr(house, name)
        if not word or word != word.strip() or not word.isascii() or not word.isprintable():
            yield f"orderflow.{name}", "is empty or no plain text", "Write it as OrderFlow shows it."
    if house.calls_per_minute < ORDERFLOW_CALLS_PER_MINUTE_MIN:
        says = f"{house.calls_per_minute} calls a minute are too few to import orders and read stock"
        yield "orderflow.calls_per_minute", says, f"Write {ORDERFLOW_CALLS_PER_MINUTE_MIN} or more."
    if house.import_batch < 1:
        yield "orderflow.import_batch", "no order would ever be imported", "Write 1 or more."
    slowest = max(house.despatch_poll_seconds, house.return_poll_seconds if house.return_report else 0)
    if house.overlap_minutes * 60 < 2 * slowest:
        says = f"windows that overlap by less than two polls of {slowest:g} s miss what is completed late"
        yield "orderflow.overlap_minutes", says, f"Write {math.ceil(2 * slowest / 60)} or more."


def _said(house: OrderFlow, settings: Settings) -> Found:
    if len(house.address_lines) > ADDRESS_LINES_MAX:
        says = f"an address has {ADDRESS_LINES_MAX} lines"
        yield "orderflow.address_lines", says, 'Put two words on one line, as in "{city} {region}".'
    for line in house.address_lines:
        if not _is_template(line):
            mend = f"Use only {', '.join(f'{{{word}}}' for word in ADDRESS_WORDS)}."
            yield "orderflow.address_lines", f'"{line}" is no address line', mend
    for name in ("order_number_field", "note_field"):
        if getattr(house, name) not in ("", *FREE_FIELDS):
            yield (
                f"orderflow.{name}",
                "is a field that OrderFlow gives a meaning",
                f"Name one of {_quoted(FREE_FIELDS)}.",
            )
    if house.order_number_field and house.order_number_field == house.note_field:
        yield "orderflow.note_field", "is the field of the order number already", "Name another one, or leave it empty."
    if house.tax_codes and (missing := sorted({tax.rule for tax in settings.taxes} - house.tax_codes.keys())):
        says = f"{_quoted(missing)} have no code, so their orders would be held"
        yield "orderflow.tax_codes", says, "Add a code for each rule of [[taxes]], or leave the table out."


def _pushed(house: OrderFlow) -> Found:
    hook = house.webhook
    if not _HEADER.fullmatch(house.push_header):
        yield "orderflow.push_header", "is no name of a header", 'Write for example "x-sellable-token".'
    if hook.path_token and house.push_auth != "path" and not hook.secret:
        mend = 'Set `secret` in [orderflow.webhook], or push_auth = "path" where OrderFlow can show nothing else.'
        yield "orderflow.webhook.secret", "is missing, so every push would be refused", mend
    if hook.public_url and not hook.path_token:
        yield "orderflow.webhook.path_token", "is missing, so every push would be refused", "Set a long random word."


def _is_template(line: str) -> bool:
    try:
        parts = list(string.Formatter().parse(line))
    except ValueError:
        return False
    return all(name is None or (name in ADDRESS_WORDS and not spec and not turn) for _, name, spec, turn in parts)


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Predicted calls an hour of one flow against one budget; flow "total" sums the budget up."""

    budget: str
    flow: str
    per_hour: int
    budget_per_hour: int

    @property
    def over(self) -> bool:
        """More than may be spent."""
        return self.per_hour > self.budget_per_hour


def predict(
    settings: Settings,
    *,
    orders_per_hour: int,
    catalogue_rows: int,
    stock_rows: int | None = None,
    lines_per_order: int = 3,
    parts_per_order: int = 1,
) -> list[Calls]:
    """Calls an hour of each flow in steady work, rounded up; one row "total" ends each budget.

    `catalogue_rows` are SKUs, `stock_rows` the rows of Cin7's availability list (by default each SKU at each location
    that it counts). Without `read_key` all of Cin7 is paid from one budget. Only back offices that are configured have
    a budget.
    """
    shop, office = settings.commercetools, settings.cin7_core
    counted = sum(location.master == "cin7_core" for location in settings.locations)
    rows = catalogue_rows * counted if stock_rows is None else stock_rows
    parts = orders_per_hour * parts_per_order
    writes = math.ceil(orders_per_hour * lines_per_order * max(len(settings.channels) - 1, 0) / shop.write_batch)
    orders = {
        f"order export ({settings.orders.form})": parts * (3 if settings.orders.form == "three_call" else 2),
    }
    reads = {
        # Each sweep also asks once what was transferred meanwhile.
        "stock sweep": _turns(office.sweep_seconds) * (math.ceil(rows / CIN7_PAGE_ROWS) + 1),
        "changed sales": _turns(office.sales_poll_seconds),
        "sale reads (allocation, shipments)": (3 if office.allocates == "later" else 2) * parts,
        "changed products": _turns(office.catalogue_seconds),
        "all products": math.ceil(math.ceil(catalogue_rows / CIN7_PAGE_ROWS) / office.catalogue_walk_hours),
    }
    storefront = {
        "new messages": _turns(shop.hot_poll_seconds),
        "trailing messages": _turns(shop.trail_poll_seconds),
        "order sweep": _turns(shop.order_sweep_seconds),
        "order reads": orders_per_hour,
        "entry walk": math.ceil(
            math.ceil(catalogue_rows * len(settings.channels) / COMMERCETOOLS_PAGE_ROWS) / shop.entry_walk_hours
        ),
        "stock writes to sibling channels": writes,
        "write-back (sale, delivery, state)": 3 * parts,
    }
    per_key = office.calls_per_minute * 60
    if "cin7_core" not in settings.back_offices:
        budgets = []
    elif office.read_key and office.read_key != office.key:
        budgets = [("cin7_core key", per_key, orders), ("cin7_core read_key", per_key, reads)]
    else:
        budgets = [("cin7_core key", per_key, orders | reads)]
    if (house := settings.orderflow) is not None:
        budgets.append((ORDERFLOW, house.calls_per_minute * 60, _flows_of(house, settings, parts)))
    budgets.append(("commercetools", shop.calls_per_second * 3600, storefront))
    return [
        Calls(budget=budget, flow=flow, per_hour=calls, budget_per_hour=limit)
        for budget, limit, flows in budgets
        for flow, calls in [*flows.items(), ("total", sum(flows.values()))]
    ]


def _flows_of(house: OrderFlow, settings: Settings, parts: int) -> dict[str, int]:
    """Calls an hour at a warehouse; where lines are routed, all of them might go there."""
    sites = sum(location.master == ORDERFLOW for location in settings.locations)
    return {
        # At worst each order goes alone.
        "order import": parts,
        # Each is read back once for its allocation, beside the looks at orders that are open.
        "order reads": 60 * max(1, house.calls_per_minute // 10) + parts,
        # All places but the last are read twice, so that nothing moved between them counts twice.
        "inventory": _turns(house.inventory_poll_seconds) * max(1, 2 * sites - 1),
        "shipments that left": _turns(house.despatch_poll_seconds),
        "returns": _turns(house.return_poll_seconds) if house.return_report else 0,
    }


def _turns(seconds: float) -> int:
    return math.ceil(3600 / seconds)


def _twice(values: Iterable[H]) -> Iterator[tuple[int, int, H]]:
    """(index, index of the first, value) of every value that was there before."""
    first: dict[H, int] = {}
    for index, value in enumerate(values):
        if first.setdefault(value, index) != index:
            yield index, first[value], value


def _same(name: str) -> str:
    """Names that differ only in case or blanks are one place to the eye, so they may not be two here."""
    return " ".join(name.split()).casefold()


def _fraction(tax: TaxMap) -> Decimal | None:
    try:
        return tax.fraction if tax.fraction.is_finite() else None
    except InvalidOperation:
        return None


def _scheme_and_host(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or ""
    except ValueError:
        return "", ""


def _unknown(what: str, name: str, known: Iterable[str]) -> tuple[str, str]:
    return f'there is no {what} "{name}"', f"Name one of {_quoted(known)}."


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "those you declare"
