"""Messages: numbered facts about resources, queryable when the project enables them. Rule: payloads are snapshots."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sellable.sandbox.commercetools.predicate import Both, Node
from sellable.sandbox.commercetools.store import Collection, Sort, paths
from sellable.sandbox.commercetools.wire import Doc, encode, stamp

if TYPE_CHECKING:
    from sellable.sandbox.commercetools.project import Project

DAY = 86_400.0
USER_IDENTIFIERS = {"inventory-entry": ("key", "sku"), "order": ("orderNumber",), "product": ("key", "slug")}


@dataclass(frozen=True)
class Shown(Node):
    """Messages that are not still on their way to the query index and not beyond retention."""

    hidden: frozenset[str]
    oldest: str

    def match(self, doc: Any, strict: bool = False) -> bool:
        return doc["id"] not in self.hidden and doc["createdAt"] >= self.oldest


def snapshot(doc: Doc) -> msgspec.Raw:
    """A document as it is now, encoded once for all its readers."""
    return msgspec.Raw(encode(doc))


class MessageLog:
    """All messages of a project, and those who listen to each as it is made (subscriptions)."""

    def __init__(self, project: "Project") -> None:
        self._project = project
        self._log = Collection("message", indexes=[paths("resource.id")])
        self._sequence: defaultdict[str, int] = defaultdict(int)
        self._hidden: dict[str, float] = {}
        self.listeners: list[Callable[[Doc], None]] = []
        self._muted = False

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Nothing is told meanwhile: a world that is being loaded has no history."""
        self._muted = True
        try:
            yield
        finally:
            self._muted = False

    def emit(self, type_id: str, doc: Doc, kind: str, **payload: Any) -> None:
        """Make a message about a resource in its present version; absent (None) payload fields are left out."""
        if self._muted:
            return
        project = self._project
        self._sequence[doc["id"]] += 1
        now, names = stamp(project.now()), USER_IDENTIFIERS.get(type_id, ("key",))
        message = {
            "id": project.new_id(),
            "version": 1,
            "sequenceNumber": self._sequence[doc["id"]],
            "resource": {"typeId": type_id, "id": doc["id"]},
            "resourceVersion": doc["version"],
            "resourceUserProvidedIdentifiers": {name: doc[name] for name in names if name in doc},
            "type": kind,
            "createdAt": now,
            "lastModifiedAt": now,
            "createdBy": project.by(),
            "lastModifiedBy": project.by(),
            **{name: value for name, value in payload.items() if value is not None},
        }
        if project.settings["messages"]["enabled"]:
            self._keep(message)
        for listener in self.listeners:
            listener(message)

    def _keep(self, message: Doc) -> None:
        self._log.add(message)
        lag = self._project.draw(self._project.switches.message_visible_lag_seconds)
        if lag > 0:
            self._hidden[message["id"]] = self._project.now() + lag

    def query(
        self, where: Node | None, sort: Sort, limit: int, offset: int, *, with_total: bool
    ) -> tuple[list[Doc], int | None]:
        """A page of the messages that can be seen now."""
        shown = self._shown()
        both = shown if where is None else Both((where, shown))
        return self._log.query(both, sort, limit, offset, with_total=with_total)

    def get(self, identity: str) -> Doc | None:
        """A message that can be seen now, or None."""
        doc = self._log.docs.get(identity)
        return doc if doc is not None and self._shown().match(doc) else None

    def _shown(self) -> Shown:
        now = self._project.now()
        self._hidden = {identity: at for identity, at in self._hidden.items() if at > now}
        days = self._project.switches.retention_days
        return Shown(frozenset(self._hidden), stamp(now - days * DAY))
