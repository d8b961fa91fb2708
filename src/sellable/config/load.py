"""Reads `sellable.toml` into settings. Rule: all that is wrong is told at once, each with line, key and mend."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from sellable.config import secrets
from sellable.config.problems import ConfigError, Lines, Problem, child
from sellable.config.settings import Settings

PREFIX = "SELLABLE_"
SCALARS: dict[Any, str] = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    datetime: "a date and time with offset, such as 2026-01-31T00:00:00Z",
    types.NoneType: "nothing",
}
_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)|\s*\(at end of document\)")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Settings and where each of them is written."""

    settings: Settings
    lines: Lines


def load(path: str | Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a file. Raises ConfigError with every problem, FileNotFoundError and other OSErrors."""
    return read(path, environ).settings


def read(path: str | Path, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Like `load`, with the lines that `check` needs.

    SELLABLE_<SECTION>__<FIELD> in the environment replaces a single value of a section; secrets written as "env:NAME"
    or "file:/path" are resolved.
    """
    path = Path(path)
    text = _text_of(path)
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Besides its own errors tomllib lets those of endless numbers and endless nesting through.
        raise ConfigError(str(path), [_syntax(error, text)]) from None
    reader = _Reader(Lines.of_toml(text), path.parent, environ)
    reader.override(tree)
    settings = reader.table(Settings, tree, "")
    if settings is None or reader.problems:
        raise ConfigError(str(path), sorted(reader.problems, key=lambda problem: problem.line or 0))
    return Loaded(settings=settings, lines=reader.lines)


def bare(field_type: Any) -> Any:
    """A field's type without its annotations; of a section that may be absent, the section."""
    plain = get_args(field_type)[0] if get_origin(field_type) is Annotated else field_type
    either = get_args(plain) if get_origin(plain) in (Union, types.UnionType) else ()
    return next(filter(is_struct, either), plain)


def sentence(field_type: Any) -> str:
    """What a field's annotation says about it."""
    metas = [meta for meta in get_args(field_type)[1:] if isinstance(meta, msgspec.Meta)]
    return next((meta.description for meta in metas if meta.description), "")


def item_of(field_type: Any) -> type[msgspec.Struct] | None:
    """The struct whose list a field is ([[...]] in the file), or None."""
    plain = bare(field_type)
    item = get_args(plain)[0] if get_origin(plain) is tuple else None
    return item if is_struct(item) else None


def is_struct(plain: Any) -> bool:
    """Whether a type is a section of its own."""
    return isinstance(plain, type) and issubclass(plain, msgspec.Struct)


def words(field_type: Any) -> str:
    """A field's type as a person would say it."""
    plain = bare(field_type)
    if plain in SCALARS:
        return SCALARS[plain]
    origin, args = get_origin(plain), get_args(plain)
    if origin is Literal:
        return _one_of(args)
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return _one_of(plain)
    if origin in (Union, types.UnionType):
        return " or ".join(words(arg) for arg in args if arg is not types.NoneType)
    if origin is tuple:
        return f"a list of {words(args[0])}"
    return f"a table of {words(args[1])}"


def _one_of(values: Iterable[str]) -> str:
    return "one of " + ", ".join(f'"{value}"' for value in values)


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem(line=line, key="", message="is not UTF-8 text", mend="Save the file as UTF-8.")
        raise ConfigError(str(path), [problem]) from None


def _syntax(error: Exception, text: str) -> Problem:
    found = _AT_LINE.search(str(error))
    line = int(found[1]) if found and found[1] else text.rstrip("\n").count("\n") + 1
    message = f"is not valid TOML: {_AT_LINE.sub('', str(error))}"
    return Problem(line=line, key="", message=message, mend="Correct this line; https://toml.io shows the form.")


class _Reader:
    """Converts the tree of a file field by field, and goes on after a problem to find the next."""

    def __init__(self, lines: Lines, folder: Path, environ: Mapping[str, str]) -> None:
        self.lines = lines
        self.problems: list[Problem] = []
        self._folder = folder
        self._environ = environ
        self._variables: dict[str, str] = {}

    def override(self, tree: dict[str, Any]) -> None:
        """Put what the environment says in place of what the file says."""
        for variable in sorted(self._environ):
            # One underscore pair marks ours: SELLABLE_CLOCK and the like are no settings.
            if variable.startswith(PREFIX) and "__" in variable:
                self._override(tree, variable)

    def table(self, cls: type[Any], raw: Any, key: str) -> Any | None:
        """A struct from a table, or None when something in it is wrong."""
        if not isinstance(raw, dict):
            self._say(key, "is not a section", f"Write it as [{key}] with a setting on each line.")
            return None
        before = len(self.problems)
        fields = {field.name: field for field in msgspec.structs.fields(cls)}
        for name in raw.keys() - fields.keys():
            self._unknown(child(key, name), name, fields)
        values = {}
        for name, field in fields.items():
            if name in raw:
                values[name] = self._value(field.type, raw[name], child(key, name))
            elif field.required:
                self._missing(field.type, child(key, name))
        return cls(**values) if len(self.problems) == before else None

    def _value(self, field_type: Any, raw: Any, key: str) -> Any:
        plain = bare(field_type)
        if is_struct(plain):
            return self.table(plain, raw, key)
        if item := item_of(field_type):
            if not isinstance(raw, list):
                self._say(key, "is not a list of sections", f"Write each one as [[{key}]].")
                return ()
            return tuple(self.table(item, each, f"{key}[{index}]") for index, each in enumerate(raw))
        if get_origin(plain) is dict and isinstance(raw, dict):
            return {name: self._value(get_args(plain)[1], each, child(key, name)) for name, each in raw.items()}
        return self._scalar(field_type, raw, key)

    def _scalar(self, field_type: Any, raw: Any, key: str) -> Any:
        try:
            value = msgspec.convert(raw, bare(field_type), strict=key not in self._variables)
            if secrets.is_secret(field_type):
                value = secrets.resolve(value, self._folder, self._environ)
        except (msgspec.ValidationError, UnicodeError):
            # The value itself is not told: a secret may stand in the wrong place.
            message = "is none of the known words" if _is_closed(field_type) and isinstance(raw, str) else _kind_of(raw)
            self._say(key, message, f"Write {words(field_type)}. {sentence(field_type)}".strip())
            return None
        except secrets.SecretMissing as error:
            self._say(key, str(error), error.mend)
            return None
        return value

    def _override(self, tree: dict[str, Any], variable: str) -> None:
        names = variable.removeprefix(PREFIX).lower().split("__")
        key, cls, table = "", Settings, tree
        for name in names[:-1]:
            section = _type_in(cls, name)
            if not is_struct(section):
                return self._no_such(variable)
            key, cls, table = child(key, name), section, table.setdefault(name, {})
            if not isinstance(table, dict):
                return None  # The file's own mistake is told when the section is read.
        plain = _type_in(cls, names[-1])
        if plain is None or is_struct(plain) or get_origin(plain) in (tuple, dict):
            return self._no_such(variable)
        table[names[-1]] = self._environ[variable]
        self._variables[child(key, names[-1])] = variable
        return None

    def _no_such(self, variable: str) -> None:
        mend = f"Unset it, or name a single value of a section: {PREFIX}SERVICE__LISTEN sets `listen` in [service]."
        self.problems.append(Problem(line=None, key=variable, message="names no setting", mend=mend))

    def _unknown(self, key: str, name: str, fields: Mapping[str, Any]) -> None:
        near = difflib.get_close_matches(name, fields, n=1)
        mend = f"Did you mean `{near[0]}`?" if near else f"Remove it; known here: {', '.join(fields)}."
        self._say(key, "there is no such setting", mend)

    def _missing(self, field_type: Any, key: str) -> None:
        name = key.rpartition(".")[2]
        if item_of(field_type):
            mend = f"Add at least one [[{key}]] section."
        elif is_struct(bare(field_type)):
            mend = f"Add a [{key}] section."
        else:
            mend = f"Add `{name} = ...`, {words(field_type)}. {sentence(field_type)}"
        self._say(key, "is missing", mend)

    def _say(self, key: str, message: str, mend: str) -> None:
        variable = self._variables.get(key)
        line = None if variable else self.lines.of(key)
        self.problems.append(Problem(line=line, key=variable or key, message=message, mend=mend))


def _type_in(cls: type[Any], name: str) -> Any:
    return next((bare(field.type) for field in msgspec.structs.fields(cls) if field.name == name), None)


def _is_closed(field_type: Any) -> bool:
    return words(field_type).startswith("one of ")


def _kind_of(raw: Any) -> str:
    kinds = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}
    return f"is {kinds.get(type(raw), 'a section' if isinstance(raw, dict) else 'a date or time')}"
