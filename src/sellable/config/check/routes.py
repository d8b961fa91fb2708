"""Rules of where lines go: one that can take no line, or that would send goods to who does not count them."""

from __future__ import annotations

from collections.abc import Collection

from sellable.config.check.found import Found, twice, unknown
from sellable.config.settings import Route, Settings


def routes(settings: Settings) -> Found:
    """Rules that can take no line, or that would send goods to who does not count them."""
    places = {place.name: place for place in settings.locations}
    keys = [channel.key for channel in settings.channels]
    for index, rule in enumerate(settings.routes):
        if rule.target not in settings.back_offices:
            yield (f"routes[{index}].target", *unknown("back office", rule.target, settings.back_offices))
            continue
        for place, name in enumerate(rule.locations):
            at = f"routes[{index}].locations[{place}]"
            if name not in places:
                yield (at, *unknown("location", name, places))
            elif (master := places[name].keeper) != rule.target:
                says = f'the stock of "{name}" is counted by {master}, so {rule.target} cannot ship it'
                yield at, says, f"Name locations of {rule.target}, or make {master} the target."
            elif not places[name].ships:
                yield at, f'"{name}" does not ship', "Set `ships = true` for it, or leave it out."
        for place, key in enumerate(rule.channels):
            if key not in keys:
                yield (f"routes[{index}].channels[{place}]", *unknown("channel", key, keys))
        for name in rule.attributes.keys() - set(settings.commercetools.line_attributes):
            says = f'orders do not keep the attribute "{name}", so the rule would never fit'
            yield f"routes[{index}].attributes", says, f'Add "{name}" to commercetools.line_attributes.'
        if not _served(rule, settings):
            says = f'"{rule.name}" is never reached: no channel it fits ships from its locations'
            yield f"routes[{index}].name", says, "Add one of them to the pool of such a channel, or leave the rule out."
        elif (first := next((r for r in settings.routes[:index] if _covers(r, rule, settings)), None)) is not None:
            says = f'"{rule.name}" is never reached: "{first.name}" before it takes everything it fits'
            yield f"routes[{index}].name", says, f'Move it before "{first.name}", or leave it out.'
    for index, _, name in twice(rule.name for rule in settings.routes):
        yield f"routes[{index}].name", f'two rules are called "{name}"', "Give each rule a name of its own."


def _served(rule: Route, settings: Settings) -> set[str]:
    """Channels whose lines a rule has a place for."""
    pools = {pool.name: pool.locations for pool in settings.pools}
    own = {place.name for place in settings.locations if place.ships and place.keeper == rule.target}
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
