"""A commented settings file from answers and a discovery. Pure: values in, text out.

One rule: what is a guess says so in the file, and nothing is left out silently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sellable.app import discovery
from sellable.app.discovery import Discovery
from sellable.domain.stock import State

PAYLOAD_KEY, REDACTION_KEY = "payload.key", "redaction.key"


def settings_file(answers: Mapping[str, Any], found: Discovery, start_at: datetime) -> str:
    """The whole file. `answers` are those of `sellable init`; `start_at` is when orders become ours."""
    parts = (_head(answers, found, start_at), _stock(answers, found), _selling(answers, found), _orders(answers, found))
    return "\n".join(line for part in parts for line in part) + "\n"


def quoted(value: Any) -> str:
    """Text, a number or a list of them as TOML; JSON's forms of these are TOML too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def slug(remote: str) -> str:
    """Our name of a location: plain letters, so that it is easily typed."""
    return re.sub(r"[^a-z0-9]+", "-", remote.casefold()).strip("-") or "location"


def names_of(found: Discovery) -> dict[str, str]:
    """Our name of each location by its name there, each once."""
    names: dict[str, str] = {}
    for place in found.places:
        name, count = slug(place.remote), 1
        while name in names.values():
            count += 1
            name = f"{slug(place.remote)}-{count}"
        names[place.remote] = name
    return names


def _head(answers: Mapping[str, Any], found: Discovery, start_at: datetime) -> Iterator[str]:
    shop, office = answers["commercetools"], answers["cin7_core"]
    company = " ".join(found.company.split()) or "Cin7 Core"
    yield f"# Settings of {quoted(shop['project'])} and {quoted(company)}, as `sellable init` found them."
    yield "# Every setting with its sentence: `sellable config example`. Is it so? `sellable doctor`."
    yield ""
    yield "[service]"
    yield "# The embedded PostgreSQL lives here; for another one set database_url."
    yield 'data_dir = ".sellable"'
    yield "# What arrives is encrypted with this key: keep a copy outside this machine."
    yield f'payload_key = "file:{PAYLOAD_KEY}"'
    yield "# Personal fields in logs and audit are hashed with this one."
    yield f'redaction_key = "file:{REDACTION_KEY}"'
    yield ""
    yield "[orders]"
    yield "# Orders placed before this instant are adopted or ignored, never created. At the cutover: the instant at"
    yield "# which the former integration stops (see `sellable cutover --dry-run`)."
    yield f"start_at = {start_at.isoformat(timespec='seconds')}"
    yield 'trigger = "created"'
    yield ""
    yield "[commercetools]"
    for name in ("project", "client_id", "client_secret", "api_url", "auth_url"):
        yield f"{name} = {quoted(shop[name])}"
    yield from _insecure(shop["api_url"])
    yield "# Whether cancelling an order puts stock back: `sellable doctor --experiment SKU` finds out."
    yield 'restocks_on_cancel = "unknown"'
    yield ""
    yield "[cin7_core]"
    for name in ("account_id", "key", "read_key", "base_url"):
        if office.get(name):
            yield f"{name} = {quoted(office[name])}"
    yield from _insecure(office["base_url"])
    if found.currency:
        yield f"base_currency = {quoted(found.currency)}"
    if discovery.is_zone(found.time_zone):
        yield f"time_zone = {quoted(found.time_zone)}"
    elif found.time_zone:
        yield f"# The company's zone is told as {quoted(found.time_zone)}: write its IANA name."
        yield '# time_zone = "Europe/Berlin"'
    yield from _services(found)
    yield ""


def _insecure(url: str) -> Iterator[str]:
    if url.startswith("http://"):
        yield "# Plain http and private addresses: only for a simulator."
        yield "insecure = true"


def _services(found: Discovery) -> Iterator[str]:
    for setting, name, parts in (
        ("shipping_service", "Shipping", ("shipping", "freight", "delivery")),
        ("custom_service", "Custom charge", ("custom", "charge")),
        ("discount_service", "Discount", ("discount",)),
    ):
        if name in found.services:
            continue
        near = [each for each in found.services if any(part in each.casefold() for part in parts)]
        yield f"# There is no service product {quoted(name)}: make one, or name another."
        yield f"{setting} = {quoted(near[0])}" if near else f"# {setting} = {quoted(name)}"


def _stock(answers: Mapping[str, Any], found: Discovery) -> Iterator[str]:
    names = names_of(found)
    yield "# --- where stock lies: the locations of Cin7 Core, spelled as there ---"
    for place in found.places:
        yield ""
        yield "[[locations]]"
        yield f"name = {quoted(names[place.remote])}"
        yield 'master = "cin7_core"'
        yield f"remote = {quoted(place.remote)}"
        yield f"ships = {'true' if discovery.state_of(place.remote) is State.AVAILABLE else 'false'}"
    yield ""
    yield "# --- which of it may be sold: only stock in state available ever is ---"
    for place in found.places:
        here = discovery.state_of(place.remote)
        yield from _state(names[place.remote], "*", here, guessed=here is not State.AVAILABLE)
        for held in place.bins:
            state = discovery.state_of(held.name)
            if held.staging or (state is not State.AVAILABLE and here is State.AVAILABLE):
                state = State.INSPECTION if state is State.AVAILABLE else state
                yield from _state(names[place.remote], held.name, state, guessed=True, staging=held.staging)


def _state(place: str, name: str, state: State, *, guessed: bool, staging: bool = False) -> Iterator[str]:
    yield ""
    if staging:
        yield "# A staging bin, which Cin7 Core itself leaves out of availability."
    elif guessed:
        yield "# Guessed from its name: see that it is so."
    yield "[[states]]"
    yield f"location = {quoted(place)}"
    yield f"bin = {quoted(name)}"
    yield f"state = {quoted(state.value)}"


def _selling(answers: Mapping[str, Any], found: Discovery) -> Iterator[str]:
    names, pools = names_of(found), dict[tuple[str, ...], str]()
    yield ""
    yield "# --- who sells from where: a pool adds its locations up ---"
    for key in found.channels:
        places = tuple(names[remote] for remote in answers["pools"][key])
        if places not in pools:
            everything = [names[remote] for remote in found.for_sale] == list(places)
            pools[places] = "all" if everything else key or "no-channel"
            yield ""
            yield "[[pools]]"
            yield f"name = {quoted(pools[places])}"
            yield f"locations = {quoted(list(places))}"
    for key in found.channels:
        places = tuple(names[remote] for remote in answers["pools"][key])
        yield ""
        yield from _modes(key, found)
        yield "[[channels]]"
        yield f"key = {quoted(key)}"
        yield f"pool = {quoted(pools[places])}"
        yield "# shadow writes nothing; climb to lowers and full when `sellable cutover report` convinces you."
        yield 'mode = "shadow"'


def _modes(key: str, found: Discovery) -> Iterator[str]:
    lines = {mode: count for (channel, mode), count in found.shop.modes.items() if channel == key}
    if lines:
        told = ", ".join(f"{count} {mode}" for mode, count in sorted(lines.items()))
        yield f"# Lines of the last {found.shop.orders} orders: {told}."
    if lines.get("None"):
        yield "# Lines in mode None lower no number at commercetools: have carts set ReserveOnOrder."


def _orders(answers: Mapping[str, Any], found: Discovery) -> Iterator[str]:
    yield ""
    yield "# --- how an order becomes a sale ---"
    for currency in found.currencies:
        yield ""
        yield "[[customers]]"
        yield f"customer = {quoted(answers['customers'][currency])}"
        yield f"currency = {quoted(currency)}"
    for currency in found.currencies:
        if currency != found.currency and found.currency:
            yield ""
            yield "# The company's own rate; write a number where Cin7 Core fills none in."
            yield "[[rates]]"
            yield f"currency = {quoted(currency)}"
            yield 'rate = "own"'
    yield from _taxes(found)
    yield ""
    yield "# Storefront shipping method = the back office's carrier."
    yield "[carriers]"
    for method in found.shop.shipping_methods:
        carrier = discovery.carrier_for(method, found.carriers)
        yield (
            f"{quoted(method)} = {quoted(carrier)}"
            if carrier
            else f"# {quoted(method)} = one of {_listed(found.carriers)}"
        )
    yield ""
    yield "# Every case has an owner; a kind of its own may have another."
    yield "[[owners]]"
    yield 'kind = "*"'
    yield f"owner = {quoted(answers['owner'])}"


def _taxes(found: Discovery) -> Iterator[str]:
    done: set[tuple[str, str]] = set()
    for tax in found.shop.taxes:
        if (tax.fraction, tax.country) in done:
            continue
        done.add((tax.fraction, tax.country))
        rule, others = discovery.rule_for(tax, found.rules)
        yield ""
        if others:
            sure = discovery.names_country(rule, tax.country)
            yield f"# {'Other' if sure else 'Guessed; other'} rules with this percentage: {_listed(others)}."
        mark = "" if rule else "# "
        if not rule:
            yield f"# No active rule has this percentage; an order with {quoted(tax.name)} is held until one is named."
        yield f"{mark}[[taxes]]"
        yield f"{mark}rate = {quoted(tax.fraction)}"
        yield f"{mark}country = {quoted(tax.country)}"
        yield f"{mark}rule = {quoted(rule or '...')}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names) or "none"
