"""A warehouse run with OrderFlow: how it is reached, what is said to it, what it pushes."""

from __future__ import annotations

import math
import re
import string
from zoneinfo import ZoneInfo

from sellable.config.check.found import Found, quoted
from sellable.config.settings import ORDERFLOW, OrderFlow, Settings

CALLS_PER_MINUTE_MIN = 10
"""Fewer leave nothing for the four kinds of calls after a burst of five."""
ADDRESS_WORDS = ("line1", "line2", "city", "region", "company", "postcode", "country")
ADDRESS_LINES_MAX = 6
FREE_FIELDS = (*(f"userDefined{number}" for number in range(1, 6)), "customerComment")
"""Fields of an OrderFlow order that mean nothing to it."""
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def orderflow(settings: Settings) -> Found:
    house = settings.orderflow
    mine = [index for index, location in enumerate(settings.locations) if location.keeper == ORDERFLOW]
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
    if house.calls_per_minute < CALLS_PER_MINUTE_MIN:
        says = f"{house.calls_per_minute} calls a minute are too few to import orders and read stock"
        yield "orderflow.calls_per_minute", says, f"Write {CALLS_PER_MINUTE_MIN} or more."
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
                f"Name one of {quoted(FREE_FIELDS)}.",
            )
    if house.order_number_field and house.order_number_field == house.note_field:
        yield "orderflow.note_field", "is the field of the order number already", "Name another one, or leave it empty."
    if house.tax_codes and (missing := sorted({tax.rule for tax in settings.taxes} - house.tax_codes.keys())):
        says = f"{quoted(missing)} have no code, so their orders would be held"
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
