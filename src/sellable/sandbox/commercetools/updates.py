"""Update requests: {version, actions}, judged and applied to a copy. Rule: a stale version changes nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sellable.sandbox.commercetools.errors import ApiError, conflict, invalid_input, invalid_json, need
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.store import Collection
from sellable.sandbox.commercetools.wire import Doc, clone

MAX_ACTIONS = 500


@dataclass
class Edit:
    """A copy being changed, and what shall follow once it is stored."""

    project: Project
    collection: Collection
    doc: Doc
    was: Doc
    after: list[Callable[[Doc], None]] = field(default_factory=list)
    finish: Callable[[Doc], None] | None = None

    def emit(self, kind: str, **payload: Any) -> None:
        """A message about the stored document."""
        type_id, log = self.collection.type_id, self.project.messages
        self.after.append(lambda doc: log.emit(type_id, doc, kind, **payload))

    def journal(self, what: str, **facts: Any) -> None:
        """A fact for the oracle once the document is stored."""
        self.after.append(lambda _: self.project.journal.add(what, project=self.project.key, **facts))

    def store(self) -> Doc:
        """Keep the copy; a copy that equals the original keeps its version (guess: so does the live system)."""
        if self.finish is not None:
            self.finish(self.doc)
        if self.doc == self.was:
            return self.was
        doc = self.project.save(self.collection, self.doc)
        for follow in self.after:
            follow(doc)
        return doc


Action = Callable[[Any, Doc], None]


def check_version(doc: Doc, version: Any) -> None:
    """Raises InvalidJsonInput without a version and ConcurrentModification on another one."""
    if isinstance(version, bool) or not isinstance(version, int):
        raise invalid_json("version: a number is expected")
    if version != doc["version"]:
        raise conflict(doc["id"], version, doc["version"])


def update(edit: Edit, body: Any, table: Mapping[str, Action]) -> Doc:
    """Apply an update request to the edit's copy and store it; raises the vendor's errors."""
    check_version(edit.was, body.get("version") if isinstance(body, dict) else None)
    actions = need(body, "actions", list)
    if len(actions) > MAX_ACTIONS:
        raise invalid_input(f"More than {MAX_ACTIONS} update actions are not allowed.")
    for position, action in enumerate(actions):
        try:
            name = need(action, "action", str)
            if name not in table:
                raise invalid_json(f"actions: the update action '{name}' is unknown for {edit.collection.type_id}")
            table[name](edit, action)
        except ApiError:
            if position and not edit.project.switches.actions_atomic:
                edit.store()
            raise
    return edit.store()


def edit_copy(project: Project, collection: Collection, doc: Doc) -> Edit:
    """An edit on a deep copy."""
    return Edit(project, collection, clone(doc), doc)
