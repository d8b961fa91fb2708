"""Query predicates: a parser, and nodes that judge documents and tell the store which index may help.

Rule: parse once, bind the request's variables, then match. Guess: a comparison with an absent field is false, but for
`!=`, `<>` and `not in`, which are true.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from sellable.sandbox.commercetools.errors import ApiError, invalid_input
from sellable.sandbox.commercetools.wire import Doc, decode, instant

Variables = Mapping[str, Sequence[str]]
Path = tuple[str, ...]
Paths = frozenset[Path]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?(?![\w-]))|(?P<var>:[A-Za-z_][\w-]*)
    |(?P<op><>|!=|<=|>=|=|<|>)|(?P<mark>[(),.])|(?P<name>[A-Za-z_][\w-]*|`[^`]+`))""",
    re.VERBOSE,
)
_ABSENT: Any = object()


class MissingField(ApiError):
    """A strict match met a compared field that the document lacks (extension conditions fail on it)."""


@dataclass(frozen=True)
class Variable:
    name: str


@dataclass(frozen=True)
class Node:
    """One part of a predicate."""

    def match(self, doc: Any, strict: bool = False) -> bool:
        raise NotImplementedError

    def bind(self, variables: Variables) -> "Node":
        return self

    def fields(self) -> set[str]:
        """Names of the document's own fields that are asked."""
        return set()

    def equals(self, paths: Paths) -> Iterable[Any] | None:
        """Values of which every match has at least one, at one of the paths; None when unknown."""
        return None

    def above(self, path: Path) -> Any:
        """A value which `path` of every match reaches or exceeds, or None."""
        return None


@dataclass(frozen=True)
class Both(Node):
    parts: tuple[Node, ...]

    def match(self, doc: Any, strict: bool = False) -> bool:
        return all(part.match(doc, strict) for part in self.parts)

    def bind(self, variables: Variables) -> Node:
        return Both(tuple(part.bind(variables) for part in self.parts))

    def fields(self) -> set[str]:
        return set().union(*(part.fields() for part in self.parts))

    def equals(self, paths: Paths) -> Iterable[Any] | None:
        return next((values for part in self.parts if (values := part.equals(paths)) is not None), None)

    def above(self, path: Path) -> Any:
        return max((bound for part in self.parts if (bound := part.above(path)) is not None), default=None)


@dataclass(frozen=True)
class Either(Both):
    def match(self, doc: Any, strict: bool = False) -> bool:
        return any(part.match(doc, strict) for part in self.parts)

    def bind(self, variables: Variables) -> Node:
        return Either(tuple(part.bind(variables) for part in self.parts))

    def equals(self, paths: Paths) -> Iterable[Any] | None:
        found = [part.equals(paths) for part in self.parts]
        return None if None in found else {value for values in found if values is not None for value in values}

    def above(self, path: Path) -> Any:
        bounds = [part.above(path) for part in self.parts]
        return None if None in bounds else min(bounds)


@dataclass(frozen=True)
class Not(Node):
    part: Node

    def match(self, doc: Any, strict: bool = False) -> bool:
        return not self.part.match(doc, strict)

    def bind(self, variables: Variables) -> Node:
        return Not(self.part.bind(variables))

    def fields(self) -> set[str]:
        return self.part.fields()


@dataclass(frozen=True)
class Nested(Node):
    """field(inner): some element of the field (or the field itself) matches."""

    field: str
    inner: Node

    def match(self, doc: Any, strict: bool = False) -> bool:
        value = _get(doc, self.field, strict)
        if isinstance(value, list):
            return any(self.inner.match(element, strict) for element in value)
        return value is not _ABSENT and self.inner.match(value, strict)

    def bind(self, variables: Variables) -> Node:
        return Nested(self.field, self.inner.bind(variables))

    def fields(self) -> set[str]:
        return {self.field}

    def equals(self, paths: Paths) -> Iterable[Any] | None:
        inner = frozenset(path[1:] for path in paths if path[0] == self.field and len(path) > 1)
        return self.inner.equals(inner) if inner else None


@dataclass(frozen=True)
class Defined(Node):
    field: str
    wanted: bool

    def match(self, doc: Any, strict: bool = False) -> bool:
        return (_get(doc, self.field, False) is not _ABSENT) is self.wanted

    def fields(self) -> set[str]:
        return {self.field}


@dataclass(frozen=True)
class Empty(Node):
    field: str
    wanted: bool

    def match(self, doc: Any, strict: bool = False) -> bool:
        return (_get(doc, self.field, False) in (_ABSENT, [])) is self.wanted

    def fields(self) -> set[str]:
        return {self.field}


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Compare(Node):
    """field operator value; `values` is a set for `in`, `contains any` and equality, one value for the others."""

    field: str
    operator: str
    values: frozenset[Any]

    def match(self, doc: Any, strict: bool = False) -> bool:
        value = _get(doc, self.field, strict)
        if self.operator in ("in", "not in"):
            found = value if isinstance(value, list) else [value]
            return any(_plain(v) and v in self.values for v in found) is (self.operator == "in")
        if self.operator == "contains all":
            return isinstance(value, list) and self.values <= set(value)
        return any(_alike(value, bound) and _COMPARE[self.operator](value, bound) for bound in self.values)

    def bind(self, variables: Variables) -> Node:
        if not any(isinstance(value, Variable) for value in self.values):
            return self
        bound: set[Any] = set()
        for value in self.values:
            bound.update(_lookup(value, variables) if isinstance(value, Variable) else (value,))
        return replace(self, values=frozenset(bound))

    def fields(self) -> set[str]:
        return {self.field}

    def equals(self, paths: Paths) -> Iterable[Any] | None:
        return self.values if (self.field,) in paths and self.operator == "in" else None

    def above(self, path: Path) -> Any:
        if path != (self.field,) or self.operator not in (">", ">=", "in"):
            return None
        return min((value for value in self.values if isinstance(value, str)), default=None)


def _plain(value: Any) -> bool:
    return not isinstance(value, dict)


def _alike(value: Any, bound: Any) -> bool:
    return (isinstance(value, str) and isinstance(bound, str)) or (_number(value) and _number(bound))


def _number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _get(doc: Any, field: str, strict: bool) -> Any:
    value = doc.get(field) if isinstance(doc, dict) else None
    if value is None:
        if strict:
            message = f"The compared field '{field}' is not present"
            raise MissingField(400, "ExtensionPredicateEvaluationFailed", message)
        return _ABSENT
    return decode(value) if isinstance(value, msgspec.Raw) else value


def _lookup(variable: Variable, variables: Variables) -> Iterable[Any]:
    """The texts of a variable and the number or truth each could mean: its type follows the compared field."""
    if variable.name not in variables:
        raise invalid_input(f"Malformed parameter: where: no value for variable ':{variable.name}'")
    for text in variables[variable.name]:
        yield instant(text)
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            yield Decimal(text)
        if text in ("true", "false"):
            yield text == "true"


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._at = text, _tokens(text), 0

    def whole(self) -> Node:
        node = self._either()
        if self._at < len(self._tokens):
            raise self._malformed()
        return node

    def _either(self) -> Node:
        parts = [self._both()]
        while self._word("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Node:
        parts = [self._one()]
        while self._word("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self) -> Node:
        if self._word("not"):
            return Not(self._one())
        if self._mark("("):
            return self._closed(self._either())
        kind, field = self._next()
        if kind != "name":
            raise self._malformed()
        if self._mark("("):
            return Nested(field, self._closed(self._either()))
        return self._condition(field)

    def _condition(self, field: str) -> Node:
        if self._word("is"):
            wanted = not self._word("not")
            if self._word("defined"):
                return Defined(field, wanted)
            self._expect("empty")
            return Empty(field, wanted)
        if self._word("in"):
            return Compare(field, "in", self._values())
        if self._word("not"):
            self._expect("in")
            return Compare(field, "not in", self._values())
        if self._word("contains"):
            if self._word("all"):
                return Compare(field, "contains all", self._values())
            self._expect("any")
            return Compare(field, "in", self._values())
        kind, operator = self._next()
        if kind != "op":
            raise self._malformed()
        equality = {"=": "in", "!=": "not in", "<>": "not in"}
        return Compare(field, equality.get(operator, operator), frozenset({self._value()}))

    def _values(self) -> frozenset[Any]:
        if not self._mark("("):
            return frozenset({self._value()})
        values = {self._value()}
        while self._mark(","):
            values.add(self._value())
        if not self._mark(")"):
            raise self._malformed()
        return frozenset(values)

    def _value(self) -> Any:
        kind, text = self._next()
        if kind == "string":
            return instant(re.sub(r"\\(.)", r"\1", text[1:-1]))
        if kind == "number":
            return Decimal(text)
        if kind == "var":
            return Variable(text[1:])
        if kind == "name" and text in ("true", "false"):
            return text == "true"
        raise self._malformed()

    def _closed(self, node: Node) -> Node:
        if not self._mark(")"):
            raise self._malformed()
        return node

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._malformed()
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, kind: str, text: str) -> bool:
        hit = self._at < len(self._tokens) and self._tokens[self._at] == (kind, text)
        self._at += hit
        return hit

    def _word(self, word: str) -> bool:
        return self._take("name", word)

    def _mark(self, mark: str) -> bool:
        return self._take("mark", mark)

    def _expect(self, word: str) -> None:
        if not self._word(word):
            raise self._malformed()

    def _malformed(self) -> ApiError:
        near = self._tokens[self._at][1] if self._at < len(self._tokens) else "the end"
        return invalid_input(f"Malformed parameter: where: Syntax error near '{near}' in {self._text!r}")


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        hit = _TOKEN.match(text, at)
        if hit is None or hit.lastgroup is None:
            raise invalid_input(f"Malformed parameter: where: Syntax error at {text[at : at + 20]!r}")
        found.append((hit.lastgroup, hit.group(hit.lastgroup).strip("`")))
        at = hit.end()
    return found


@lru_cache(maxsize=2048)
def _parsed(text: str) -> Node:
    return _Parser(text).whole()


def compile_predicate(where: Sequence[str], variables: Variables) -> Node | None:
    """One bound node for the given where texts (joined by and), or None; raises InvalidInput when malformed."""
    if not where:
        return None
    nodes = tuple(_parsed(text).bind(variables) for text in where)
    return nodes[0] if len(nodes) == 1 else Both(nodes)


def matches(doc: Doc, text: str, *, strict: bool = False) -> bool:
    """Whether a document meets a predicate text; strict raises MissingField on an absent compared field."""
    return _parsed(text).match(doc, strict)
