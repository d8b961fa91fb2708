"""Locations, the states of what lies there, pools, channels and buffers: nothing may count twice or be nobody's."""

from __future__ import annotations

import math
from collections.abc import Collection

from sellable.config.check.found import Found, quoted, same, twice, unknown
from sellable.config.settings import CIN7_CORE, ORDERFLOW, Settings
from sellable.domain.stock import State

OUTSIDE = (State.SUPPLIER, State.CUSTOMER, State.UNEXPLAINED)


def locations(settings: Settings, masters: Collection[str]) -> Found:
    for index, location in enumerate(settings.locations):
        if location.master not in masters:
            yield (
                f"locations[{index}].master",
                f'the location "{location.name}" has no master: "{location.master}" is no system that owns stock',
                f"Name one of {quoted(masters)}.",
            )
        elif location.master == CIN7_CORE and location.master not in settings.back_offices:
            says = f'"{location.name}" is counted by Cin7 Core, and nothing says how that is reached'
            yield f"locations[{index}].master", says, "Add a [cin7_core] section."
    for index, first, name in twice(location.name for location in settings.locations):
        yield (
            f"locations[{index}].name",
            f'the location "{name}" is declared twice, so its numbers would have two owners '
            f"({settings.locations[first].master} and {settings.locations[index].master})",
            "Keep the declaration of the one system that owns its stock.",
        )
    for index, first, (master, _) in twice((place.keeper, same(place.remote)) for place in settings.locations):
        place, other = settings.locations[index], settings.locations[first]
        if place.name != other.name:
            yield (
                f"locations[{index}].remote",
                f'"{place.remote}" of {master} is already the location "{other.name}": its stock would count twice',
                "Give each location of the master one name here.",
            )


def states(settings: Settings) -> Found:
    names = [location.name for location in settings.locations]
    for index, rule in enumerate(settings.states):
        if rule.location not in names:
            yield (f"states[{index}].location", *unknown("location", rule.location, names))
        if rule.state in OUTSIDE:
            inside = [state for state in State if state not in OUTSIDE]
            says = f'"{rule.state}" is no state that stock on a shelf can be in'
            yield f"states[{index}].state", says, f"Name one of {quoted(inside)}."
    for index, _, (place, bin_name) in twice((rule.location, rule.bin) for rule in settings.states):
        says = f'bin "{bin_name}" of "{place}" has two states'
        yield f"states[{index}].bin", says, "Keep one rule for each bin."
    ruled = {rule.location for rule in settings.states}
    for index, location in enumerate(settings.locations):
        # OrderFlow tells each product's states itself.
        if location.name not in ruled and location.keeper != ORDERFLOW:
            yield (
                f"locations[{index}].name",
                f'no state rule names the location "{location.name}", so nothing there would be sellable',
                f'Add a [[states]] section with location = "{location.name}", bin = "*" and a state.',
            )


def pools(settings: Settings) -> Found:
    places = {location.name: location for location in settings.locations}
    for index, pool in enumerate(settings.pools):
        if not pool.locations:
            yield f"pools[{index}].locations", f'the pool "{pool.name}" has no locations', "Name at least one location."
        counted: dict[str, str] = {}
        for place, name in enumerate(pool.locations):
            at = f"pools[{index}].locations[{place}]"
            if (location := places.get(name)) is None:
                yield (at, *unknown("location", name, places))
            elif (first := counted.setdefault(same(location.remote), location.keeper)) != location.keeper:
                yield (
                    at,
                    f'"{location.remote}" is counted by {first} and by {location.keeper}: its stock would count twice',
                    "Keep the location of the system that ships from there in the pool.",
                )
        for place, _, name in twice(pool.locations):
            says = f'"{name}" is in the pool "{pool.name}" twice, so its stock would count twice'
            yield f"pools[{index}].locations[{place}]", says, "Name it once."
    for index, _, name in twice(pool.name for pool in settings.pools):
        yield f"pools[{index}].name", f'two pools are called "{name}"', "Give each pool a name of its own."


def channels(settings: Settings) -> Found:
    pools = {pool.name: pool for pool in settings.pools}
    ships = {location.name for location in settings.locations if location.ships}
    known = {location.name for location in settings.locations}
    if not settings.channels:
        yield "channels", "there is no channel, so nothing would be shown anywhere", "Add a [[channels]] section."
    for index, channel in enumerate(settings.channels):
        if channel.pool not in pools:
            says = f'the channel "{channel.key}" has no pool: there is none called "{channel.pool}"'
            yield f"channels[{index}].pool", says, f"Name one of {quoted(pools)}."
        elif ships.isdisjoint(places := pools[channel.pool].locations) and known.issuperset(places):
            says = f'no location of the pool "{channel.pool}" ships, so orders of "{channel.key}" could not be sourced'
            yield f"channels[{index}].pool", says, "Set `ships = true` for a location of the pool."
    for index, _, key in twice(channel.key for channel in settings.channels):
        says = f'two channels have the key "{key}", so its entries would have two owners'
        yield f"channels[{index}].key", says, "Keep one; a channel sells from one pool."


def ages(settings: Settings) -> Found:
    for master, age in settings.ages.items():
        if 0 < age.limit_seconds <= age.read_every_seconds:
            says = f"read every {age.read_every_seconds:g} s, its numbers would be too old most of the time"
            least = math.ceil(2 * age.read_every_seconds / 60)
            yield f"{master}.max_age_minutes", says, f"Write {least} or more."


def buffers(settings: Settings) -> Found:
    names = [location.name for location in settings.locations]
    keys = [channel.key for channel in settings.channels]
    for index, channel in enumerate(settings.channels):
        for name in ("brake_keys_percent", "brake_units_percent"):
            if not 0 <= getattr(channel, name) <= 100:
                yield f"channels[{index}].{name}", "is no percentage", "Write 0 to 100; 100 sets no limit."
    for index, buffer in enumerate(settings.buffers):
        if buffer.location and buffer.location not in names:
            yield (f"buffers[{index}].location", *unknown("location", buffer.location, names))
        if buffer.channel is not None and buffer.channel not in keys:
            yield (f"buffers[{index}].channel", *unknown("channel", buffer.channel, keys))
    marks = [
        *((f"buffers[{index}].units", buffer.units) for index, buffer in enumerate(settings.buffers)),
        *((f"channels[{index}].buffer", channel.buffer) for index, channel in enumerate(settings.channels)),
        *((f"channels[{index}].cap", channel.cap or 0) for index, channel in enumerate(settings.channels)),
        *((f"channels[{index}].low_mark", channel.low_mark) for index, channel in enumerate(settings.channels)),
        *((f"channels[{index}].brake_keys_min", each.brake_keys_min) for index, each in enumerate(settings.channels)),
        ("cin7_core.stale_buffer", settings.cin7_core.stale_buffer),
        ("orderflow.stale_buffer", settings.orderflow.stale_buffer if settings.orderflow else 0),
    ]
    for key, units in marks:
        if units < 0:
            yield key, f"{units} units are fewer than none", "Write 0 or more."
