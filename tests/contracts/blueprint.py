"""A reader of the API Blueprint that Cin7 publishes for Core: addresses, query arguments, fields and kinds of values.

It is a text for people and leaves much open. One rule: only what it does not say in as many words is objected to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from recorded import Call

_RESOURCE = re.compile(r"^##? (?!#).*$", re.MULTILINE)
_ADDRESS = re.compile(r"\[(/[\w/-]+)\]")
_ACTION = re.compile(r"^### .*\[(GET|POST|PUT|DELETE)(?: [^?\]]*(?:\?([^\]]*))?)?\]", re.MULTILINE)
_ROW = re.compile(r"^\s*\|\s*`?([A-Za-z]\w*)`?\s*\|(.*)$", re.MULTILINE)
_LINK = re.compile(r'href="#(\w+)"')
_EXAMPLE = re.compile(r"^\s*[\"“](\w+)[\"”]\s*:\s*(.?)", re.MULTILINE)
_MODEL = re.compile(r'^### .*?<a name="?(\w+)"?\s*/?>', re.MULTILINE)
_QUOTED = re.compile(r'"([A-Z]\w+)" property in body')


@dataclass
class Resource:
    """What is said of one address: query arguments by method, and the kinds each field's examples show."""

    queries: dict[str, set[str]] = field(default_factory=dict)
    fields: dict[str, set[str]] = field(default_factory=dict)


class Blueprint:
    """The description, by address."""

    def __init__(self, text: str) -> None:
        self._models = {m[1]: part for m, part in _parts(_MODEL, text)}
        self.resources: dict[str, Resource] = {}
        for heading, part in _parts(_RESOURCE, text):
            if address := _ADDRESS.search(heading[0]):
                self._read(self.resources.setdefault(address[1].lower(), Resource()), part)

    def _read(self, resource: Resource, text: str) -> None:
        for action in _ACTION.finditer(text):
            names = re.findall(r"(\w+)=\{", action[2] or "")
            resource.queries.setdefault(action[1], set()).update(names)
        for name, kind in _EXAMPLE.findall(text):
            # An example of null says nothing of the kind.
            resource.fields.setdefault(name, set()).update({_kind_of_text(kind)} - {"nothing"})
        for name in _QUOTED.findall(text):
            resource.fields.setdefault(name, set())
        self._tables(resource, text, set())

    def _tables(self, resource: Resource, text: str, seen: set[str]) -> None:
        for name, rest in _ROW.findall(text):
            kinds = resource.fields.setdefault(name, set())
            if kinds and rest.strip().startswith("Bool"):
                kinds.add("flag")  # Some examples write true and false as texts.
            for model in _LINK.findall(rest):
                if model in self._models and model not in seen:
                    seen.add(model)
                    self._tables(resource, self._models[model], seen)

    def objections(self, call: Call, base: str, unread: frozenset[str] = frozenset()) -> list[str]:
        """What of a call the blueprint does not know; nothing when it knows all of it. `unread` answers are let be."""
        path = call.path.removeprefix(base)
        resource = self.resources.get(path.lower())
        if resource is None or call.method not in resource.queries:
            return [f"{call.method} {path} is not described"]
        where = f"{call.method} {path}"
        strange = {name for name, _ in call.query} - resource.queries[call.method]
        found = [f"{where}: query argument {name} is not described" for name in sorted(strange)]
        answer = call.answer if call.status == 200 else None
        for which, document in (("request", call.body), ("answer", answer)):
            for name, value in _fields(document):
                kinds = resource.fields.get(name)
                if kinds is None and not (which == "answer" and name in unread):
                    found.append(f"{where}: {which} field {name} is not described")
                elif kinds and value is not None and _kind(value) not in kinds:
                    found.append(f"{where}: {which} field {name} is {_kind(value)}, described as {sorted(kinds)}")
        return sorted(set(found))


def _parts(heading: re.Pattern[str], text: str) -> Iterator[tuple[re.Match[str], str]]:
    found = list(heading.finditer(text))
    for place, match in enumerate(found):
        end = found[place + 1].start() if place + 1 < len(found) else len(text)
        yield match, text[match.end() : end]


def _fields(document: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(document, list):
        for each in document:
            yield from _fields(each)
    elif isinstance(document, dict):
        for name, value in document.items():
            yield name, value
            yield from _fields(value)


def _kind(value: Any) -> str:
    return _kind_of_text(json.dumps(value)[0])


def _kind_of_text(start: str) -> str:
    names = {'"': "text", "[": "list", "{": "object", "t": "flag", "f": "flag", "n": "nothing"}
    return names.get(start, "number")
