"""A recursive-descent parser for the executable part of GraphQL: operations, variables, aliases, fragments, values."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

_TOKEN = re.compile(
    r'[\s,\ufeff]+|#[^\n\r]*|(?P<block>"""(?:[^"\\]|\\.|"(?!""))*""")|(?P<string>"(?:[^"\\\n]|\\.)*")'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\.\.\.|[!$()\[\]{}:=@|])"
)


class SyntaxProblem(Exception):
    """The text is not GraphQL, or names what does not exist."""


@dataclass(frozen=True)
class Variable:
    name: str


@dataclass(frozen=True)
class Enum:
    name: str


@dataclass(frozen=True)
class Spread:
    fragment: str


@dataclass(frozen=True)
class Field:
    name: str
    alias: str
    arguments: dict[str, Any]
    selection: tuple["Field | Spread", ...]


@dataclass(frozen=True)
class VariableDefinition:
    type: str
    required: bool
    default: Any


@dataclass(frozen=True)
class Operation:
    kind: str
    name: str | None
    variables: dict[str, VariableDefinition]
    selection: tuple[Field | Spread, ...]


@dataclass(frozen=True)
class Document:
    operations: list[Operation] = field(default_factory=list)
    fragments: dict[str, tuple[Field | Spread, ...]] = field(default_factory=dict)

    def flat(self, selection: tuple[Field | Spread, ...], depth: int = 0) -> list[Field]:
        """The fields of a selection with its fragments put in; raises SyntaxProblem on an unknown or endless one."""
        if depth > 20:
            raise SyntaxProblem("Fragments spread one another without end.")
        found: list[Field] = []
        for part in selection:
            if isinstance(part, Field):
                found.append(part)
            elif part.fragment in self.fragments:
                found += self.flat(self.fragments[part.fragment], depth + 1)
            else:
                raise SyntaxProblem(f"Unknown fragment '{part.fragment}'.")
        return found


def parse(text: str) -> Document:
    """The document of a query text; raises SyntaxProblem."""
    return _Parser(text).document()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._inline = 0

    def document(self) -> Document:
        document = Document()
        self._fragments = document.fragments
        while self._at < len(self._tokens):
            if self._take("fragment"):
                name = self._name()
                self._expect("on")
                self._name()
                document.fragments[name] = self._selection()
            else:
                document.operations.append(self._operation())
        if not document.operations:
            raise SyntaxProblem("The document has no operation.")
        return document

    def _operation(self) -> Operation:
        if self._peek() == "{":
            return Operation("query", None, {}, self._selection())
        kind = self._name()
        if kind not in ("query", "mutation"):
            raise SyntaxProblem(f"'{kind}' is not an operation this endpoint knows.")
        name = None if self._peek() in ("(", "{") else self._name()
        variables: dict[str, VariableDefinition] = {}
        if self._take("("):
            while not self._take(")"):
                self._expect("$")
                variable = self._name()
                self._expect(":")
                variables[variable] = self._definition()
        return Operation(kind, name, variables, self._selection())

    def _definition(self) -> VariableDefinition:
        text = self._type()
        default = self._value() if self._take("=") else None
        return VariableDefinition(text, text.endswith("!") and default is None, default)

    def _type(self) -> str:
        if self._take("["):
            text = f"[{self._type()}]"
            self._expect("]")
        else:
            text = self._name()
        return text + ("!" if self._take("!") else "")

    def _selection(self) -> tuple[Field | Spread, ...]:
        self._expect("{")
        parts: list[Field | Spread] = []
        while not self._take("}"):
            parts.append(self._spread() if self._take("...") else self._field())
        if not parts:
            raise SyntaxProblem("A selection may not be empty.")
        return tuple(parts)

    def _spread(self) -> Spread:
        if self._take("on"):
            self._name()
        elif self._peek() != "{":
            return Spread(self._name())
        self._inline += 1
        name = f"inline {self._inline}"
        self._fragments[name] = self._selection()
        return Spread(name)

    def _field(self) -> Field:
        alias = name = self._name()
        if self._take(":"):
            name = self._name()
        arguments: dict[str, Any] = {}
        if self._take("("):
            while not self._take(")"):
                argument = self._name()
                self._expect(":")
                arguments[argument] = self._value()
        return Field(name, alias, arguments, self._selection() if self._peek() == "{" else ())

    def _value(self) -> Any:
        kind, text = self._next()
        if kind == "string":
            return msgspec.json.decode(text)
        if kind == "block":
            return text[3:-3].replace('\\"""', '"""').strip()
        if kind == "number":
            return int(text) if text.lstrip("-").isdigit() else Decimal(text)
        if kind == "name":
            return {"true": True, "false": False, "null": None}.get(text, Enum(text))
        if text == "$":
            return Variable(self._name())
        if text == "[":
            values = []
            while not self._take("]"):
                values.append(self._value())
            return values
        if text == "{":
            members: dict[str, Any] = {}
            while not self._take("}"):
                name = self._name()
                self._expect(":")
                members[name] = self._value()
            return members
        raise SyntaxProblem(f"A value is expected, found '{text}'.")

    def _peek(self) -> str | None:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise SyntaxProblem("Unexpected end of the query.")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, text: str) -> bool:
        hit = self._at < len(self._tokens) and self._tokens[self._at][1] == text
        self._at += hit
        return hit

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise SyntaxProblem(f"Syntax error: '{text}' is expected, found '{self._peek()}'.")

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "name":
            raise SyntaxProblem(f"Syntax error: a name is expected, found '{text}'.")
        return text


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        hit = _TOKEN.match(text, at)
        if hit is None:
            raise SyntaxProblem(f"Syntax error at {text[at : at + 20]!r}.")
        if hit.lastgroup is not None:
            found.append((hit.lastgroup, hit.group()))
        at = hit.end()
    return found
