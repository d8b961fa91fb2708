"""What may be said in the console beside the settings file, and what file and console say together. Pure.

One rule: what is said there takes the place of the file's value, and says so; nothing else of the file can be touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from sellable.config.load import bare, item_of, sentence, words
from sellable.config.settings import Settings

Key = tuple[str, ...]
Fields = Mapping[str, Any]
TEXT_MAX = 200
NUMBER_MAX = 1_000_000
CARRIERS = {"shipping method": "Shipping method of the storefront.", "carrier": "Exact name at the back office."}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A section of which `fields` may be said in the console, row by row; `names` are the fields that name a row.

    `new` is whether a row may be said that the file does not have; `needed` are fields that may not be empty.
    """

    section: str
    title: str
    names: tuple[str, ...]
    fields: tuple[str, ...]
    new: bool = True
    needed: tuple[str, ...] = ()

    def row(self, key: Key) -> dict[str, str]:
        """The names in a key."""
        return dict(zip(self.names, key[1:], strict=True))

    def says(self, field: str) -> str:
        """The sentence of a field."""
        found = {each.name: sentence(each.type) for each in msgspec.structs.fields(self._struct())} | CARRIERS
        return found[field]

    def parsed(self, field: str, text: str) -> Any:
        """A value from a form. Raises ValueError with the reason."""
        if len(text) > TEXT_MAX or not text.isprintable():
            raise ValueError(f"{field} has at most {TEXT_MAX} characters, all of them printable")
        if field in self.needed and not text:
            raise ValueError(f"{field} is missing")
        wanted = str if self.section == "carriers" else self._type(field)
        if wanted is int and not (text.isascii() and text.isdecimal()):
            raise ValueError(f"{field} is a whole number from 0 to {NUMBER_MAX:,}")
        try:
            value = msgspec.convert(text, wanted, strict=False)
        except msgspec.ValidationError:
            raise ValueError(f"{field} is {words(wanted)}") from None
        if isinstance(value, int | float) and not (math.isfinite(value) and 0 <= value <= NUMBER_MAX):
            raise ValueError(f"{field} is a {'whole ' if wanted is int else ''}number from 0 to {NUMBER_MAX:,}")
        return value

    def of(self, settings: Settings) -> dict[Key, dict[str, Any]]:
        """What settings say of it, by key."""
        section = getattr(settings, self.section)
        if isinstance(section, Mapping):
            return {(self.section, method): {"carrier": carrier} for method, carrier in section.items()}
        rows = section if isinstance(section, tuple) else (section,) if section is not None else ()
        return {
            (self.section, *(getattr(row, name) for name in self.names)): {f: getattr(row, f) for f in self.fields}
            for row in rows
        }

    def with_row(self, settings: Settings, key: Key, value: Fields) -> Settings:
        """The settings with this in the place of what they say. Raises ValueError when it has no place there."""
        names, section = self.row(key), getattr(settings, self.section)
        said = {field: value[field] for field in self.fields}
        changed: Any
        if isinstance(section, Mapping):
            changed = {**section, key[1]: value["carrier"]}
        elif isinstance(section, tuple):
            at = [n for n, row in enumerate(section) if all(getattr(row, f) == v for f, v in names.items())]
            if not at and not self.new:
                raise ValueError(f"there is no such row in [[{self.section}]]")
            row = msgspec.structs.replace(section[at[0]], **said) if at else self._struct()(**names, **said)
            changed = (*section[: at[0]], row, *section[at[0] + 1 :]) if at else (*section, row)
        elif section is None:
            raise ValueError(f"there is no [{self.section}]")
        else:
            changed = msgspec.structs.replace(section, **said)
        return msgspec.structs.replace(settings, **{self.section: changed})

    def _struct(self) -> Any:
        (field,) = (each for each in msgspec.structs.fields(Settings) if each.name == self.section)
        return item_of(field.type) or (bare(field.type) if self.section != "carriers" else Settings)

    def _type(self, field: str) -> Any:
        (found,) = (each for each in msgspec.structs.fields(self._struct()) if each.name == field)
        return bare(found.type)


KINDS = {
    kind.section: kind
    for kind in (
        Kind(
            section="skus", title="SKU spellings", names=("storefront",), fields=("master",),
            needed=("storefront", "master"),
        ),
        Kind(
            section="customers", title="Customers", names=("currency", "store"), fields=("customer",),
            needed=("currency", "customer"),
        ),
        Kind(
            section="taxes", title="Taxes", names=("rate", "name", "country"), fields=("rule",),
            needed=("rate", "rule"),
        ),
        Kind(
            section="rates", title="Exchange rates", names=("currency",), fields=("rate",),
            needed=("currency", "rate"),
        ),
        Kind(
            section="carriers", title="Carriers", names=("shipping method",), fields=("carrier",),
            needed=("shipping method", "carrier"),
        ),
        Kind(
            section="owners", title="Owners of cases", names=("kind",), fields=("owner", "email"),
            needed=("kind", "owner"),
        ),
        Kind(section="reasons", title="Reason codes", names=("storefront", "back_office"), fields=("code",)),
        Kind(
            section="statuses", title="States in a market", names=("event", "store", "country"),
            fields=("shipment_state", "order_state"),
        ),
        Kind(section="channels", title="Low marks", names=("key",), fields=("low_mark",), new=False),
        Kind(section="orders", title="Orders that wait", names=(), fields=("held_age_limit_hours",)),
        Kind(section="cin7_core", title="Age of Cin7 Core's numbers", names=(), fields=("max_age_minutes",)),
        Kind(section="orderflow", title="Age of OrderFlow's numbers", names=(), fields=("max_age_minutes",)),
    )
}  # fmt: skip
"""Section -> what may be said of it. Buffers are said too, but each number reads those in its own snapshot."""

BUFFERS = Kind(section="buffers", title="Buffers", names=("sku", "location", "channel"), fields=("units",))
"""Said like the others; `*` is every channel."""

FIXED = {
    "orders": "Whether an order becomes a sale is written down where it has a history, not clicked.",
    "commercetools": "Keys, addresses and paces are taken at the start of a process.",
    "cin7_core": "Keys, addresses and paces are taken at the start of a process.",
    "orderflow": "Keys, addresses and paces are taken at the start of a process.",
    "routes": "Rules are tried in order and one may make the next useless: they are read as a whole, in the file.",
    "locations": "Every fact about stock is kept under these names: another name or master is another place.",
    "states": "What may be sold is decided while stock is read: a change counts from a start, then for all of it.",
    "pools": "Each process plans by the shape it started with: two shapes at once would write against each other.",
    "channels": "Each process plans by the shape it started with, and the first pass of a new mode is braked.",
    "service": "The process itself: taken at its start.",
    "alerts": "Addresses and secrets are taken at the start of a process.",
    "traces": "Addresses and secrets are taken at the start of a process.",
    "console": "Who may sign in for how long is not changed by who is signed in.",
}
"""Section -> why what is not said in the console stays in the file."""


def merged(file: Settings, said: Iterable[tuple[Key, Fields]]) -> tuple[Settings, list[Key]]:
    """What both say together, and the keys that fit the file no more."""
    settings, left_out = file, []
    for key, value in said:
        kind = KINDS.get(key[0])
        if kind is None:
            continue
        try:
            settings = kind.with_row(settings, key, value)
        except (ValueError, KeyError):
            left_out.append(key)
    return settings, left_out


def together(
    file: Settings, said: Iterable[tuple[Key, Fields]], refused: Callable[[Settings], Iterable[str]]
) -> tuple[Settings, list[Key]]:
    """`merged`, without what the check refuses beside this file: the file may have changed since it was said."""
    rows = list(said)
    settings, left_out = merged(file, rows)
    if settings is file:
        return file, left_out
    before = set(refused(file))
    if not set(refused(settings)) - before:
        return settings, left_out
    settings, left_out = file, []
    for row in rows:
        tried, bad = merged(settings, [row])
        if bad or set(refused(tried)) - before:
            left_out.append(row[0])
        else:
            settings = tried
    return settings, left_out


class Live:
    """The settings as file and console say them now; `file` is what the file alone says."""

    def __init__(self, file: Settings) -> None:
        self.file = file
        self._now = file

    def __call__(self) -> Settings:
        """What counts now."""
        return self._now

    def take(self, settings: Settings) -> bool:
        """From here on these count; whether they are others."""
        changed, self._now = settings != self._now, settings
        return changed
