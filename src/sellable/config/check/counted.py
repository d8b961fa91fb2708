"""Places whose numbers are commercetools' own: one entry each, and nobody else who could be their owner."""

from __future__ import annotations

from sellable.config.check.found import Found
from sellable.config.settings import COMMERCETOOLS, ORDERFLOW, Channel, Settings


def counted(settings: Settings) -> Found:
    """What would give such a number a second owner, or would leave it wrong for ever."""
    for index, place in enumerate(settings.locations):
        if place.shipped_by and not place.counted_at_storefront:
            says = f'"{place.name}" is counted by {place.master}, which ships from it too'
            mend = f'Leave it out; or write master = "{COMMERCETOOLS}", if its own number is the truth there.'
            yield f"locations[{index}].shipped_by", says, mend
        elif place.counted_at_storefront and place.shipped_by != ORDERFLOW:
            says = f'commercetools is the master of "{place.name}", and ships nothing itself'
            yield f"locations[{index}].shipped_by", says, f'Write shipped_by = "{ORDERFLOW}".'
    own = {place.name for place in settings.locations if place.counted_at_storefront}
    if not own:
        if settings.commercetools.stock_writers:
            says = "commercetools is the master of no place, so nobody but us may write a number"
            yield "commercetools.stock_writers", says, "Leave it out."
        return
    yield from _one_entry(settings, own)
    for index, channel in enumerate(settings.channels):
        if channel.key in settings.counted_channels:
            yield from _nothing_held_back(index, channel, settings, own)
    for name in ("restocks_on_cancel", "restocks_on_return"):
        if getattr(settings.commercetools, name) == "unknown":
            says = "must be known where commercetools is the master of stock: units would be put back twice, or never"
            yield f"commercetools.{name}", says, 'Measure it on a testing project, and write "yes" or "no".'


def _one_entry(settings: Settings, own: set[str]) -> Found:
    """An entry is the number of one place, and a place has one entry: else two numbers would be one, or one two."""
    first: dict[str, str] = {}
    for index, pool in enumerate(settings.pools):
        mine = [name for name in pool.locations if name in own]
        if mine and len(pool.locations) > 1:
            says = f'"{mine[0]}" is counted by commercetools, so an entry that adds other places has two owners'
            yield f"pools[{index}].locations", says, "Give it a pool of its own."
        for name in mine:
            if (other := first.setdefault(name, pool.name)) != pool.name:
                says = f'"{name}" is in the pool "{other}" already, so it would have two numbers'
                yield f"pools[{index}].locations", says, "Keep one pool, sold by one channel."
    sellers: dict[str, str] = {}
    for index, channel in enumerate(settings.channels):
        if channel.key not in settings.counted_channels:
            continue
        if (other := sellers.setdefault(channel.pool, channel.key)) != channel.key:
            says = f'"{other}" sells from the pool "{channel.pool}" already, so its place would have two numbers'
            yield f"channels[{index}].pool", says, "Where commercetools is the master a place has one channel."


def _nothing_held_back(index: int, channel: Channel, settings: Settings, own: set[str]) -> Found:
    """Its number is not ours to make: what would hold units back there is written nowhere."""
    says = f'commercetools\' own number is what "{channel.key}" shows; we only tell it what the warehouse did'
    for name in ("buffer", "cap", "create_entries"):
        if getattr(channel, name):
            yield f"channels[{index}].{name}", says, "Leave it out, and hold units back at commercetools."
    for place, buffer in enumerate(settings.buffers):
        if buffer.channel == channel.key or buffer.location in own:
            yield f"buffers[{place}].units", says, "Leave it out, and hold units back at commercetools."
