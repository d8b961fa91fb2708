"""OrderFlow's documents: XML in, XML with lines of key=value out. One rule: XML is read without believing it.

A document type, an entity, an encoding of its own, endless depth or size are refused before anything is built of them;
attributes and elements we do not know are kept and ignored, as tenants template what they send. A field may come as an
attribute or as an element: the pushes and the pulls of one thing differ in that (API guide, chapters 2 and 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import msgspec

TITLE = "OrderFlow"
BYTES_MAX = 48 * 1024 * 1024
"""A site's inventory of 100,000 products is about half of it."""
DEPTH_MAX = 32
ELEMENTS_MAX = 500_000
UNITS_MAX = 10**9
"""No warehouse holds more of one product; beyond it a number is a slip of somebody's keyboard."""
NAME_MAX = 120
"""Length of references, product codes and descriptions (API guide, chapter 4: VARCHAR(120))."""
LINE_BREAK = "[BR]"
"""How a line break inside a value is written (API guide, chapter 2)."""

_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1"})
_BREAKS = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COUNT = re.compile(r"([+-]?\d{1,12})(?:\.0*)?", re.ASCII)


class Garbled(ValueError):
    """Not a document we can take: XML that is refused, or of another shape. The message says which."""


class Cut(Garbled):
    """No whole XML: cut off, or never meant to be. The next answer may be whole."""


class Node(msgspec.Struct):
    """An element: `tag` without its prefix, attributes and children in order, `text` all of its own text."""

    tag: str
    attributes: dict[str, str]
    children: list[Node]
    text: str = ""

    def all(self, *path: str) -> list[Node]:
        """All elements down this path, in order."""
        nodes = [self]
        for tag in path:
            nodes = [child for node in nodes for child in node.children if child.tag == tag]
        return nodes

    def first(self, *path: str) -> Node | None:
        """The first element down this path, None when there is none."""
        node: Node | None = self
        for tag in path:
            node = next((child for child in node.children if child.tag == tag), None) if node else None
        return node

    def walk(self) -> Iterator[Node]:
        """Itself and everything below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)

    def get(self, name: str) -> str | None:
        """A field: the attribute of this name, else the text of the child; None when there is neither."""
        if name in self.attributes:
            return self.attributes[name].strip()
        child = self.first(name)
        return None if child is None else child.text.strip()

    def words(self) -> str:
        """All text of it and below, as one line."""
        return " ".join(" ".join(node.text for node in self.walk()).split())


# --- Reading ---------------------------------------------------------------------------------------------------------


def parse(body: bytes, *, most: int = BYTES_MAX) -> Node:
    """The root of a document. Raises Garbled, whatever the bytes are."""
    if len(body) > most:
        raise Garbled(f"larger than {most} bytes")
    if b"\x00" in body[:4]:
        raise Garbled("in an encoding of two bytes")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.XmlDeclHandler = reader.declared
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.ExternalEntityRefHandler = reader.refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise Cut(f"no XML: {error}") from None
    except (UnicodeDecodeError, LookupError, ValueError) as error:
        if isinstance(error, Garbled):
            raise
        raise Cut(f"no XML: {type(error).__name__}") from None
    assert reader.root is not None
    return reader.root


class _Reader:
    """Builds nodes from the parser's calls, within bounds."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._texts: list[list[str]] = []
        self._elements = 0

    def declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding and encoding.lower() not in _ENCODINGS:
            raise Garbled(f"in the encoding {encoding[:40]}")

    def refuse(self, *_: object) -> int:
        raise Garbled("it declares a document type or entities, which no document of OrderFlow has")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._open) >= DEPTH_MAX:
            raise Garbled(f"nested deeper than {DEPTH_MAX}")
        if self._elements > ELEMENTS_MAX:
            raise Garbled(f"more than {ELEMENTS_MAX} elements")
        named = {_local(name): value for name, value in attributes.items() if not name.startswith("xmlns")}
        node = Node(_local(tag), named, [])
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)
        self._texts.append([])

    def end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def text(self, text: str) -> None:
        self._texts[-1].append(text)


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def rooted(root: Node, tag: str) -> Node:
    """The root, which must have this name. Raises Garbled."""
    if root.tag != tag:
        raise Garbled(f"<{root.tag[:40]}> where <{tag}> was expected")
    return root


def is_xml(body: bytes) -> bool:
    """Whether a body means to be XML, be it cut off later."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def count(node: Node, name: str, *, least: int = 0) -> int:
    """A field that counts units; "false" is none. Raises Garbled for an absent one, a fraction, fewer than `least`, or
    no number.
    """
    number = optional(node, name, least=least)
    if number is None:
        raise Garbled(f"no {name}")
    return number


def optional(node: Node, name: str, *, least: int = 0) -> int | None:
    """A count that need not be there; None when it is not. Raises Garbled as `count`."""
    text = node.get(name)
    if text is None or not text:
        return None
    if text.lower() == "false":
        return 0
    found = _COUNT.fullmatch(text)
    if found is None:
        raise Garbled(f"{name} is {text[:40]!r}, not a whole number")
    number = int(found[1])
    if not max(least, -UNITS_MAX) <= number <= UNITS_MAX:
        raise Garbled(f"{name} is {number}")
    return number


# --- Writing ---------------------------------------------------------------------------------------------------------

Field = tuple[str, str]
"""A key and its value; "" is said like any other value, what is not to be said is not in the list."""


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """One document of an import."""

    type: str
    operation: str
    ref: str
    fields: tuple[Field, ...]


def imports(entities: Iterable[Entity]) -> bytes:
    """The body of an import: an element for each entity, whose text are lines of key=value."""
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<imports>\n']
    for each in entities:
        attributes = {"type": each.type, "operation": each.operation, "externalReference": each.ref}
        named = " ".join(f"{name}={quoteattr(clean(value))}" for name, value in attributes.items())
        # Escaping ">" too leaves no "]]>", which XML forbids in text.
        parts.append(f"<import {named}>\n{escape(lines(each.fields))}</import>\n")
    return "".join([*parts, "</imports>\n"]).encode()


def lines(fields: Sequence[Field]) -> str:
    """Lines of key=value, each ended."""
    return "".join(f"{key}={clean(value)}\n" for key, value in fields)


def clean(value: str) -> str:
    """A value on one line: breaks become [BR], characters that XML cannot carry become a space."""
    return _NOT_XML.sub(" ", _BREAKS.sub(LINE_BREAK, value))


def fields_of(values: Mapping[str, str | None], prefix: str = "") -> list[Field]:
    """Fields in order, without those that are None: a zero and an empty text are said, an absent one is not."""
    return [(prefix + key, value) for key, value in values.items() if value is not None]
