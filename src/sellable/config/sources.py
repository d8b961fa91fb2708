"""Where each setting comes from: the environment, the settings file, or its default. Secrets stay masked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from sellable.config import secrets
from sellable.config.load import PREFIX, bare, is_struct, item_of, sentence
from sellable.config.problems import child
from sellable.config.settings import Settings

Source = Literal["environment", "file", "default"]


@dataclass(frozen=True, kw_only=True)
class Value:
    """A single setting; `value` is masked when it is a secret, `says` is its sentence."""

    key: str
    value: Any
    source: Source
    says: str


def values(settings: Settings, environ: Mapping[str, str] = os.environ) -> Iterator[Value]:
    """Every setting that is a single value, in the order of the file."""
    yield from _section(settings, "", environ)


def lists(settings: Settings) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    """Every list of sections: its name, its columns, its rows."""
    for field in msgspec.structs.fields(type(settings)):
        item = item_of(field.type)
        if item is not None:
            columns = [column.name for column in msgspec.structs.fields(item)]
            rows = [list(secrets.shown(row).values()) for row in getattr(settings, field.name)]
            yield field.name, columns, rows


def _section(section: msgspec.Struct, key: str, environ: Mapping[str, str]) -> Iterator[Value]:
    masked = dict(secrets.masked(section))
    for field in msgspec.structs.fields(type(section)):
        name, value = child(key, field.name), getattr(section, field.name)
        if isinstance(value, msgspec.Struct):
            yield from _section(value, name, environ)
        elif is_struct(bare(field.type)):
            continue  # A section that may be left out, and is.
        elif item_of(field.type) is None:
            yield Value(
                key=name, value=msgspec.to_builtins(masked[field.name]), source=_source(field, name, value, environ),
                says=sentence(field.type),
            )  # fmt: skip


def _source(field: Any, key: str, value: Any, environ: Mapping[str, str]) -> Source:
    if PREFIX + key.upper().replace(".", "__") in environ:
        return "environment"
    if field.required:
        return "file"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return "default" if value == default else "file"
