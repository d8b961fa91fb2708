"""From settings to the shapes the rooms work with. Pure."""

from __future__ import annotations

from sellable.config.settings import Settings
from sellable.stock.availability import BufferRule, ChannelRule, Layout


def layout_of(settings: Settings) -> Layout:
    """Channels on pools of locations, with every buffer."""
    own = settings.counted_channels
    return Layout(
        channels={
            c.key: ChannelRule(
                key=c.key,
                pool=c.pool,
                buffer=c.buffer,
                cap=c.cap,
                low_mark=c.low_mark,
                mode=c.mode,
                counted=c.key in own,
            )
            for c in settings.channels
        },
        pools={p.name: p.locations for p in settings.pools},
        buffers=tuple(
            BufferRule(units=b.units, sku=b.sku, location=b.location, channel=b.channel) for b in settings.buffers
        ),
        masters={place.name: place.master for place in settings.locations},
        stale_buffers={master: age.buffer for master, age in settings.ages.items() if age.buffer},
    )


def masters_of(settings: Settings) -> dict[str, dict[str, str]]:
    """Master -> (its own location name -> our name)."""
    found: dict[str, dict[str, str]] = {}
    for location in settings.locations:
        found.setdefault(location.keeper, {})[location.remote] = location.name
    return found
