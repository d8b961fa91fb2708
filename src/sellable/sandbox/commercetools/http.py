"""A call as the routes see it, and the paged answer of a query.

Rule: parameters are checked as the vendor checks them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from sellable.sandbox.asgi import Scope
from sellable.sandbox.commercetools.errors import invalid_input, invalid_json
from sellable.sandbox.commercetools.predicate import Node, compile_predicate
from sellable.sandbox.commercetools.store import MAX_LIMIT, MAX_OFFSET, Sort, parse_sort
from sellable.sandbox.commercetools.wire import Doc, decode

TOTAL_CAP = 10_000
Query = Callable[[Node | None, Sort, int, int, bool], tuple[list[Doc], int | None]]


@dataclass(frozen=True)
class Call:
    """One request: path parts below the project, query parameters, raw body."""

    method: str
    parts: tuple[str, ...]
    query: dict[str, list[str]]
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON body; raises InvalidJsonInput."""
        try:
            body = decode(self.raw)
        except msgspec.DecodeError as error:
            raise invalid_json(str(error)) from error
        if not isinstance(body, dict):
            raise invalid_json("an object is expected")
        return body

    def one(self, name: str) -> str | None:
        """The last value of a query parameter."""
        values = self.query.get(name)
        return values[-1] if values else None

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within limits; raises InvalidInput."""
        text = self.one(name)
        if text is None:
            return default
        if not text.lstrip("-").isdigit() or not low <= int(text) <= high:
            raise invalid_input(f"Malformed parameter: {name}: must be within {low} and {high}, got '{text}'.")
        return int(text)

    def version(self) -> int:
        """The version parameter of a DELETE; raises InvalidInput when it is absent."""
        if self.one("version") is None:
            raise invalid_input("Missing required query parameter: version")
        return self.number("version", 0, 0, 2**63)


def parts_of(scope: Scope) -> tuple[str, ...]:
    """The decoded path parts; a %2F inside a part stays in its part."""
    raw = scope.get("raw_path") or scope["path"].encode()
    return tuple(unquote(part) for part in raw.split(b"?")[0].decode("latin-1").strip("/").split("/"))


def parse_query(scope: Scope) -> dict[str, list[str]]:
    return parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True) if scope["query_string"] else {}


def page(call: Call, query: Query) -> Doc:
    """{limit, offset, count, total?, results}; a predicate caps the total (release note of 12 Oct 2020)."""
    limit, offset = call.number("limit", 20, 0, MAX_LIMIT), call.number("offset", 0, 0, MAX_OFFSET)
    variables = {name[4:]: values for name, values in call.query.items() if name.startswith("var.")}
    where = compile_predicate(call.query.get("where", []), variables)
    with_total = call.one("withTotal") != "false"
    rows, total = query(where, parse_sort(call.query.get("sort", [])), limit, offset, with_total)
    answer: Doc = {"limit": limit, "offset": offset, "count": len(rows)}
    if total is not None:
        answer["total"] = total if where is None else min(total, TOTAL_CAP)
    return {**answer, "results": rows}
