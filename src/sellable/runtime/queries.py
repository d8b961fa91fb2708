"""Named SQL. Rule: every statement a room sends stands in its queries.sql with a name and one line of purpose."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import sellable

FILE = "queries.sql"
_STRAY = re.compile(r"^--\s*name\b", re.MULTILINE | re.IGNORECASE)
_ANEW = re.compile(r"^-- planned anew\n", re.MULTILINE)
_BLOCK = re.compile(r"^-- name:[ \t]*(?P<name>.*?)[ \t]*\n", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Query:
    """One named statement; parameters are written %(name)s in `text`.

    `planned_anew`: the database shall look at the tables as they are at each call, and keep no plan. For joins of a
    table that is now empty and now full: a plan kept from its empty days reads all of it for every row.
    """

    package: str
    name: str
    purpose: str
    text: str
    planned_anew: bool = False


class QueryMissing(AttributeError):
    """A room asked for a query that its queries.sql does not hold."""


class Queries:
    """The statements of one package, as attributes: `sql.find_balance`."""

    def __init__(self, package: str, found: dict[str, Query]) -> None:
        self._package = package
        self._found = found

    def __getattr__(self, name: str) -> Query:
        if name.startswith("_") or name not in self._found:
            near = difflib.get_close_matches(name, self._found, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise QueryMissing(f"no query {name!r} in {FILE} of {self._package}{hint}")
        return self._found[name]

    def __iter__(self) -> Iterator[Query]:
        return iter(self._found.values())


@functools.cache
def queries(package: str) -> Queries:
    """The statements of `package`'s queries.sql, read once. Raises ValueError when the file breaks the form."""
    return Queries(package, parse(package, resources.files(package).joinpath(FILE).read_text("utf-8")))


def every_query() -> list[Query]:
    """All named statements of the product, by package and name."""
    root = Path(sellable.__file__).parent
    folders = sorted(path.parent.relative_to(root.parent) for path in root.rglob(FILE))
    return [query for folder in folders for query in queries(".".join(folder.parts))]


def parse(package: str, text: str) -> dict[str, Query]:
    """Statements by name from "-- name: x", "-- purpose", SQL blocks. Raises ValueError naming the broken block."""
    parts = _BLOCK.split(text)
    if any(line.strip() and not line.startswith("--") for line in parts[0].splitlines()):
        raise ValueError(f"{FILE} of {package}: text before the first query that is no comment")
    found: dict[str, Query] = {}
    for name, block in zip(parts[1::2], parts[2::2], strict=True):
        purpose, _, body = block.partition("\n")
        body = body.strip().removesuffix(";")
        where = f"{FILE} of {package}, query {name!r}"
        if not name.isidentifier() or name.startswith("_"):
            raise ValueError(f"{where}: a name is a plain identifier")
        if name in found:
            raise ValueError(f"{where}: the name is used twice")
        if not purpose.startswith("-- ") or not body:
            raise ValueError(f"{where}: wants one comment line of purpose, then SQL")
        if _STRAY.search(block):
            raise ValueError(f'{where}: holds a line that nearly says "-- name: ..."')
        text, anew = _ANEW.subn("", body)
        found[name] = Query(package=package, name=name, purpose=purpose[3:].strip(), text=text, planned_anew=bool(anew))
    return found
