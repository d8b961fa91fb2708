"""XML in and out. Rule: a document with a DTD, an entity of its own or too much of anything is refused unread."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

DEPTH_MAX = 20
ELEMENTS_MAX = 200_000
SPECIAL = re.compile('[&<>"\n\r\t]')
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class BadDocument(ValueError):
    """Not XML that this reader takes; the message says why."""


@dataclass(slots=True)
class Element:
    """One element: attributes by name, children in order, and its own text."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def every(self, name: str) -> Iterator["Element"]:
        """Children of that name."""
        return (child for child in self.children if child.name == name)


def element(name: str, *children: Element | None, text: Any = None, **attributes: Any) -> Element:
    """An element to be written; attributes and children that are None are left out, True is `true`."""
    said = {key: shown(value) for key, value in attributes.items() if value is not None}
    return Element(name, said, [child for child in children if child is not None], shown(text))


def fields(name: str, values: dict[str, Any], children: Iterable[Element] = ()) -> Element:
    """An element whose values are child elements; None is left out."""
    return element(name, *(element(k, text=v) for k, v in values.items() if v is not None), *children)


def shown(value: Any) -> str:
    """A value as the vendor writes it; characters that XML 1.0 forbids become question marks."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else FORBIDDEN.sub("?", str(value))


def write(root: Element) -> bytes:
    """The document in UTF-8."""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    _write(root, parts)
    return "".join(parts).encode("utf-8", "replace")


def _write(one: Element, parts: list[str]) -> None:
    # Quoting is dear, and a list of stock has fifteen attributes a row of which none needs it.
    said = "".join(
        f" {key}={quoteattr(value)}" if SPECIAL.search(value) else f' {key}="{value}"'
        for key, value in one.attributes.items()
    )
    if not one.children and not one.text:
        parts.append(f"<{one.name}{said}/>")
        return
    parts.append(f"<{one.name}{said}>{escape(one.text)}")
    for child in one.children:
        _write(child, parts)
    parts.append(f"</{one.name}>")


def read(body: bytes) -> Element:
    """The root element. Raises BadDocument; declarations that could fetch or multiply anything are never followed."""
    reading = _Reading()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.characters
    parser.StartDoctypeDeclHandler = _refuse("a document type declaration")
    parser.EntityDeclHandler = _refuse("an entity declaration")
    parser.ExternalEntityRefHandler = _refuse("an external entity")
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, UnicodeError) as error:
        raise BadDocument(f"Content could not be parsed: {error}") from error
    if reading.root is None:
        raise BadDocument("Content could not be parsed: no element")
    return reading.root


def _refuse(what: str) -> Any:
    def handler(*_: Any) -> None:
        raise BadDocument(f"Content is not allowed to have {what}")

    return handler


class _Reading:
    """The open elements of a document being parsed."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[tuple[Element, list[str]]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= DEPTH_MAX or self._count > ELEMENTS_MAX:
            raise BadDocument("Content has too many or too deep elements")
        found = Element(name, attributes)
        if self._open:
            self._open[-1][0].children.append(found)
        else:
            self.root = found
        self._open.append((found, []))

    def characters(self, text: str) -> None:
        self._open[-1][1].append(text)

    def end(self, name: str) -> None:
        found, texts = self._open.pop()
        found.text = "".join(texts)
