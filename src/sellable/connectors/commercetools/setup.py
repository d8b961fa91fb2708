"""What we need to exist at the project. One rule: look first, touch only what differs, never what a merchant made.

A custom type for the write marker, the channel of our order notes, messages that can be queried, line item states,
and a subscription where a draft is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from sellable.config.settings import Commercetools as Settings
from sellable.connectors.commercetools import wire
from sellable.connectors.commercetools.session import VENDOR, Session
from sellable.connectors.kit.decode import document
from sellable.connectors.port import Misconfigured, Refused

T = TypeVar("T")

LANE = "repair"
RETENTION_DAYS = 15
"""Messages are kept at least so long: the vendor's default, and longer than any outage we mean to survive."""

STATES = {"allocated": "Allocated", "picked": "Picked", "shipped": "Shipped", "cancelled": "Cancelled"}
MARKER_FIELD: dict[str, Any] = {
    "name": wire.MARKER,
    "label": {"en": "Last write of sellable"},
    "required": False,
    "type": {"name": "String"},
    "inputHint": "SingleLine",
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One resource and what becomes of it: `action` is create | update | none | blocked (`why` says by what)."""

    resource: str
    action: str
    path: str = ""
    body: dict[str, Any] = {}
    why: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What exists; None or absent where it does not."""

    type: wire.CustomType | None
    channel: wire.Channel | None
    project: wire.Project
    states: frozenset[str]
    subscription: bool = False


class Port(Protocol):
    """What this needs of the client."""

    @property
    def session(self) -> Session: ...

    @property
    def settings(self) -> Settings: ...


async def plan(port: Port, subscription: dict[str, Any] | None = None) -> list[Step]:
    """One step for each resource we need. Reads only: a call a resource."""
    return steps(await _look(port, subscription), port.settings.export_channel, subscription)


async def apply(port: Port, planned: Iterable[Step], done: Callable[[Step], object] = lambda step: None) -> None:
    """Carries a plan out, one call a step that differs; each that was carried out is told to `done` at once.

    Raises Misconfigured before any call when one is blocked.
    """
    planned = list(planned)
    blocked = [f"{step.resource}: {step.why}" for step in planned if step.action == "blocked"]
    if blocked:
        raise Misconfigured("; ".join(blocked), code="setup")
    for step in planned:
        if step.action == "none":
            continue
        try:
            await port.session.call("POST", step.path, lane=LANE, body=step.body)
        except Refused as refusal:
            # Somebody created it since we looked; the next plan says whether it is right.
            if refusal.code != "DuplicateField":
                raise
        else:
            done(step)


def steps(found: Found, export_channel: str, subscription: dict[str, Any] | None = None) -> list[Step]:
    """What is missing or different, resource by resource; pure."""
    made = [
        _type(found.type),
        _channel(found, export_channel),
        _messages(found.project),
        *(_state(key, name, found.states) for key, name in STATES.items()),
    ]
    if subscription is not None:
        resource = f"subscription {subscription['key']}"
        made.append(_create(resource, "subscriptions", subscription, exists=found.subscription))
    return made


def _type(found: wire.CustomType | None) -> Step:
    resource = f"custom type {wire.OUR_TYPE}"
    if found is None:
        draft = {
            "key": wire.OUR_TYPE,
            "name": {"en": "Stock kept by sellable"},
            "resourceTypeIds": ["inventory-entry"],
            "fieldDefinitions": [MARKER_FIELD],
        }
        return Step(resource=resource, action="create", path="types", body=draft)
    if found.marks:
        return Step(resource=resource, action="none")
    if "inventory-entry" not in found.resource_type_ids:
        # Resource types of a custom type can never be changed (page "Types").
        return Step(resource=resource, action="blocked", why="it exists, but not for inventory entries")
    if any(field.name == wire.MARKER for field in found.field_definitions):
        return Step(resource=resource, action="blocked", why=f"its field {wire.MARKER} is not a String")
    action = {"action": "addFieldDefinition", "fieldDefinition": MARKER_FIELD}
    return _update(resource, f"types/{found.id}", found.version, action)


def _channel(found: Found, key: str) -> Step:
    resource = f"channel {key}"
    if found.channel is None:
        draft = {"key": key, "roles": ["OrderExport"], "name": {"en": "Orders exported by sellable"}}
        return Step(resource=resource, action="create", path="channels", body=draft)
    # Sync info takes either role.
    if {"OrderExport", "OrderImport"} & set(found.channel.roles):
        return Step(resource=resource, action="none")
    action = {"action": "addRoles", "roles": ["OrderExport"]}
    return _update(resource, f"channels/{found.channel.id}", found.channel.version, action)


def _messages(project: wire.Project) -> Step:
    resource = "project messages"
    days = project.messages.delete_days_after_creation or 0
    if project.messages.enabled and days >= RETENTION_DAYS:
        return Step(resource=resource, action="none")
    wanted = {"enabled": True, "deleteDaysAfterCreation": max(days, RETENTION_DAYS)}
    action = {"action": "changeMessagesConfiguration", "messagesConfiguration": wanted}
    return _update(resource, "", project.version, action)


def _state(key: str, name: str, present: frozenset[str]) -> Step:
    # Without `transitions` any move between states is allowed (StateDraft in the API description).
    draft = {"key": _state_key(key), "type": "LineItemState", "name": {"en": name}, "initial": False}
    return _create(f"line item state {_state_key(key)}", "states", draft, exists=_state_key(key) in present)


def _state_key(key: str) -> str:
    return f"sellable-{key}"


def _create(resource: str, path: str, draft: dict[str, Any], *, exists: bool) -> Step:
    if exists:
        return Step(resource=resource, action="none")
    return Step(resource=resource, action="create", path=path, body=draft)


def _update(resource: str, path: str, version: int, action: dict[str, Any]) -> Step:
    return Step(resource=resource, action="update", path=path, body={"version": version, "actions": [action]})


async def _look(port: Port, subscription: dict[str, Any] | None) -> Found:
    session = port.session

    async def by_key(collection: str, key: str, type_: type[T]) -> T | None:
        try:
            answer = await session.call("GET", f"{collection}/key={quote(key, safe='')}", lane=LANE)
        except Refused as refusal:
            if refusal.code == "ResourceNotFound":
                return None
            raise
        return document(answer.body, type_, vendor=VENDOR)

    states = [state for name in STATES if (state := await by_key("states", _state_key(name), wire.Keyed))]
    return Found(
        type=await by_key("types", wire.OUR_TYPE, wire.CustomType),
        channel=await by_key("channels", port.settings.export_channel, wire.Channel),
        project=document((await session.call("GET", "", lane=LANE)).body, wire.Project, vendor=VENDOR),
        states=frozenset(state.key for state in states),
        subscription=subscription is not None
        and await by_key("subscriptions", subscription["key"], wire.Keyed) is not None,
    )
