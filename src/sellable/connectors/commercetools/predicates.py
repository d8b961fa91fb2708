"""Query predicates. One rule: a value never becomes part of the predicate's grammar.

Over HTTP values travel as variables (`:v0` with `var.v0=...`); GraphQL knows none, so there they are quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode


class Bind(Protocol):
    """Puts values into a predicate: one value as it stands after `=`, several as they stand after `in`."""

    def __call__(self, *values: str) -> str: ...


class Variables:
    """Binds values as variables; `params` are what the query must carry for them."""

    def __init__(self) -> None:
        self.params: list[tuple[str, str]] = []
        self._count = 0

    def __call__(self, *values: str) -> str:
        name = f"v{self._count}"
        self._count += 1
        self.params += [(f"var.{name}", value) for value in values]
        return f":{name}"


def quoted(value: str) -> str:
    """A text in a predicate."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def params(where: Callable[[Bind], str], bound: Variables) -> list[tuple[str, str]]:
    """A predicate as query parameters, none when it is empty."""
    text = where(bound)
    return [("where", text), *bound.params] if text else []


def url_length(pairs: Sequence[tuple[str, str]]) -> int:
    """Characters these parameters add to an address."""
    return len(urlencode(pairs))


def entries(groups: Mapping[str | None, Sequence[str]], bind: Bind) -> str:
    """Entries of SKUs by supply channel id, None for those without a channel.

    The channel is part of the question, so that the answer has no more rows than were asked for.
    """
    parts = []
    for channel, skus in groups.items():
        place = "supplyChannel is not defined" if channel is None else f"supplyChannel(id = {bind(channel)})"
        wanted = f"sku = {bind(skus[0])}" if len(skus) == 1 else f"sku in {bind(*skus)}"
        parts.append(f"({place} and {wanted})")
    return " or ".join(parts)


def after(stamp: str, cursor: tuple[str, str] | None, bind: Bind) -> list[str]:
    """Rows after a (stamp, id) cursor; from the stamp on where its id is empty; all without a cursor.

    Two conditions joined by `and` would drop rows: those stamped later with a smaller id.
    """
    if cursor is None:
        return []
    at, last = cursor
    if not last:
        return [f"{stamp} >= {bind(at)}"]
    return [f"{stamp} > {bind(at)} or ({stamp} = {bind(at)} and id > {bind(last)})"]


def literal(*values: str) -> str:
    """Binds values as quoted texts: one as it is, several in parentheses."""
    return quoted(values[0]) if len(values) == 1 else f"({','.join(map(quoted, values))})"
