"""Versioned documents with unique keys, indexes and queries. Rule: a document is replaced, never edited in place."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sellable.sandbox.commercetools.errors import invalid_input, not_found
from sellable.sandbox.commercetools.predicate import Node, Path, Paths
from sellable.sandbox.commercetools.wire import Doc

Sort = tuple[tuple[Path, bool], ...]
MAX_LIMIT, MAX_OFFSET = 500, 10_000
KEY: Paths = frozenset({("key",)})
ID: Paths = frozenset({("id",)})


def paths(*dotted: str) -> Paths:
    """An index over dotted field names: paths("cart.id")."""
    return frozenset(tuple(name.split(".")) for name in dotted)


class Collection:
    """All documents of one resource type in a project.

    Creation order and order of last change are kept, so cursors over createdAt and lastModifiedAt do not scan.
    """

    def __init__(self, type_id: str, *, indexes: Sequence[Paths] = (), fields: frozenset[str] | None = None) -> None:
        """Each index covers one path, or several whose values may be looked up together; `fields` limits predicates."""
        self.type_id = type_id
        self.docs: dict[str, Doc] = {}
        self._changed: dict[str, None] = {}
        self._created: list[tuple[str, str]] = []
        self._position: dict[str, int] = {}
        self._ids: list[str] = []
        self._sorted = True
        self._fields = fields
        self._indexes: dict[Paths, dict[Any, dict[str, None]]] = {paths: {} for paths in (KEY, *indexes)}

    def add(self, doc: Doc) -> None:
        identity = doc["id"]
        self.docs[identity] = doc
        self._changed[identity] = None
        self._position[identity] = len(self._created)
        self._created.append((doc["createdAt"], identity))
        self._ids.append(identity)
        self._sorted = False
        self._enter(doc)

    def replace(self, doc: Doc, *, touched: bool = True) -> None:
        """Put a new state in place of the one with its id; `touched` when lastModifiedAt moved."""
        identity = doc["id"]
        self._leave(self.docs[identity])
        self.docs[identity] = doc
        self._enter(doc)
        if touched:
            del self._changed[identity]
            self._changed[identity] = None

    def remove(self, identity: str) -> None:
        self._leave(self.docs.pop(identity))
        del self._position[identity]
        del self._changed[identity]
        self._ids.remove(identity)

    def by_id(self, identity: str) -> Doc:
        """The document; raises ResourceNotFound."""
        if identity not in self.docs:
            raise not_found(f"The Resource with ID '{identity}' was not found.")
        return self.docs[identity]

    def by(self, paths: Paths, value: Any) -> list[Doc]:
        """The documents with that value at an indexed path."""
        return self._in_order(self._indexes[paths].get(value, ()))

    def by_key(self, key: str) -> Doc:
        """The document with that key; raises ResourceNotFound."""
        found = self.by(KEY, key)
        if not found:
            raise not_found(f"The Resource with key '{key}' was not found.")
        return found[0]

    def query(
        self, where: Node | None, sort: Sort, limit: int, offset: int, *, with_total: bool = True
    ) -> tuple[list[Doc], int | None]:
        """One page and, if wanted, the number of all matches."""
        self._check(where)
        if not with_total and where is not None and sort and sort[0] == (("createdAt",), True):
            start = where.above(("createdAt",))
            if start is not None:
                return self._walk(where, sort, start, limit, offset), None
        found = self._candidates(where, sort)
        if where is not None:
            found = (doc for doc in found if where.match(doc))
        if sort[:1] == ((("id",), True),) or not sort:
            if not with_total:
                return list(islice(found, offset, offset + limit)), None
            rows = list(found)
        else:
            rows = arrange(found, sort)
        return rows[offset : offset + limit], len(rows) if with_total else None

    def _walk(self, where: Node, sort: Sort, start: str, limit: int, offset: int) -> list[Doc]:
        """A page in creation order from `start` on, reading no further than the page and its last instant."""
        rows: list[Doc] = []
        last = ""
        for at in range(bisect_left(self._created, (start, "")), len(self._created)):
            instant, identity = self._created[at]
            if len(rows) >= offset + limit and instant != last:
                break
            doc = self.docs.get(identity)
            if doc is not None and where.match(doc):
                rows.append(doc)
                last = instant
        return arrange(rows, sort)[offset : offset + limit]

    def _candidates(self, where: Node | None, sort: Sort) -> Iterator[Doc]:
        by_id = sort[:1] == ((("id",), True),)
        if where is not None:
            found = self._looked_up(where)
            if found is not None:
                return iter(sorted(found, key=lambda doc: str(doc["id"])) if by_id else found)
            if not by_id and (start := where.above(("lastModifiedAt",))) is not None:
                return iter(list(self._since(start)))
        if by_id:
            start = where.above(("id",)) if where is not None else None
            return self._from_id(start or "")
        return iter(self.docs.values())

    def _looked_up(self, where: Node) -> list[Doc] | None:
        identities = where.equals(ID)
        if identities is not None:
            return self._in_order(identity for identity in identities if identity in self.docs)
        for where_to, index in self._indexes.items():
            values = where.equals(where_to)
            if values is not None:
                found = {identity for value in values for identity in index.get(value, ())}
                return self._in_order(found)
        return None

    def _in_order(self, identities: Iterable[str]) -> list[Doc]:
        """In order of creation: a set of texts has another order in each process, a run shall not."""
        return [self.docs[identity] for identity in sorted(identities, key=self._position.__getitem__)]

    def _since(self, start: str) -> Iterator[Doc]:
        for identity in reversed(self._changed):
            doc = self.docs[identity]
            if doc["lastModifiedAt"] < start:
                return
            yield doc

    def _from_id(self, start: str) -> Iterator[Doc]:
        if not self._sorted:
            self._ids.sort()
            self._sorted = True
        for at in range(bisect_left(self._ids, start), len(self._ids)):
            yield self.docs[self._ids[at]]

    def _check(self, where: Node | None) -> None:
        if where is not None and self._fields is not None:
            for name in where.fields() - self._fields:
                raise invalid_input(f"Malformed parameter: where: The field '{name}' does not exist.")

    def _enter(self, doc: Doc) -> None:
        for where_to, index in self._indexes.items():
            for value in _values(doc, where_to):
                index.setdefault(value, {})[doc["id"]] = None

    def _leave(self, doc: Doc) -> None:
        for where_to, index in self._indexes.items():
            for value in _values(doc, where_to):
                holders = index[value]
                del holders[doc["id"]]
                if not holders:
                    del index[value]


def arrange(docs: Iterable[Doc], sort: Sort) -> list[Doc]:
    """The documents in that order, absent values last when ascending."""
    rows = list(docs)
    for path, ascending in reversed(sort):
        rows.sort(key=lambda doc: _rank(_at(doc, path)), reverse=not ascending)
    return rows


def parse_sort(texts: Iterable[str]) -> Sort:
    """("createdAt asc, id desc", ...) as paths with directions; raises InvalidInput."""
    order = []
    for text in (part.strip() for joined in texts for part in joined.split(",")):
        words = text.split()
        if not words or len(words) > 2 or words[-1] not in ("asc", "desc", words[0]):
            raise invalid_input(f"Malformed parameter: sort: {text!r}")
        order.append((tuple(words[0].split(".")), words[-1] != "desc"))
    return tuple(order)


def _at(doc: Doc, path: Path) -> Any:
    value: Any = doc
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _values(doc: Doc, paths: Paths) -> set[Any]:
    """The distinct values at the paths, every element of lists on the way included."""
    if len(paths) == 1:
        (path,) = paths
        if len(path) == 1:
            value = doc.get(path[0])
            return set() if value is None else {value}
    found: list[Any] = []
    for path in paths:
        level: list[Any] = [doc]
        for name in path:
            inner = [element.get(name) for element in level if isinstance(element, dict)]
            level = [x for value in inner for x in (value if isinstance(value, list) else [value])]
        found += level
    return {value for value in found if value is not None}


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is None, 0 if value is None else value)
