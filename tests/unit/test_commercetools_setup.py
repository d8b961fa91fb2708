"""What setup would do, by what exists."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sellable.connectors.commercetools import setup, wire
from sellable.connectors.commercetools.setup import Found, Step
from sellable.connectors.port import Misconfigured

MARKER = wire.FieldDefinition(name="lastOp", type={"name": "String"})
TYPE = wire.CustomType(
    id="t1", version=3, key="sellable-stock", resource_type_ids=["inventory-entry"], field_definitions=[MARKER]
)
STATES = frozenset(f"sellable-{key}" for key in setup.STATES)


def found(**changes: Any) -> Found:
    complete: dict[str, Any] = {
        "type": TYPE,
        "channel": wire.Channel(id="c1", key="out", version=2, roles=["OrderExport"]),
        "project": wire.Project(
            version=9, messages=wire.MessagesConfiguration(enabled=True, delete_days_after_creation=30)
        ),
        "states": STATES,
    }
    return Found(**(complete | changes))


def step(found: Found, resource: str) -> Step:
    return next(s for s in setup.steps(found, "out", {"key": "push"}) if s.resource.startswith(resource))


def changed_type(**changes: Any) -> wire.CustomType:
    values = {name: getattr(TYPE, name) for name in TYPE.__struct_fields__}
    return wire.CustomType(**(values | changes))


def test_what_is_complete_is_left_alone() -> None:
    assert {s.action for s in setup.steps(found(), "out")} == {"none"}
    imports = wire.Channel(id="c1", key="out", version=2, roles=["OrderImport"])
    assert step(found(channel=imports), "channel").action == "none"


def test_roles_fields_and_retention_are_added_and_nothing_taken_away() -> None:
    channel = step(found(channel=wire.Channel(id="c1", key="out", version=2, roles=["Primary"])), "channel")
    assert (channel.path, channel.body) == (
        "channels/c1", {"version": 2, "actions": [{"action": "addRoles", "roles": ["OrderExport"]}]},
    )  # fmt: skip
    custom = step(found(type=changed_type(field_definitions=[])), "custom type")
    assert (custom.path, custom.body["actions"][0]["action"]) == ("types/t1", "addFieldDefinition")
    for messages, days in (
        (wire.MessagesConfiguration(), 15),
        (wire.MessagesConfiguration(enabled=True, delete_days_after_creation=3), 15),
        (wire.MessagesConfiguration(enabled=False, delete_days_after_creation=60), 60),
    ):
        (action,) = step(found(project=wire.Project(version=9, messages=messages)), "project").body["actions"]
        assert action["messagesConfiguration"] == {"enabled": True, "deleteDaysAfterCreation": days}


def test_subscriptions_only_where_asked_for() -> None:
    assert step(found(), "subscription").action == "create"
    assert step(found(subscription=True), "subscription").action == "none"
    assert not any(s.resource.startswith("subscription") for s in setup.steps(found(), "out"))


@pytest.mark.parametrize(
    "type_",
    [
        changed_type(resource_type_ids=["order"]),
        changed_type(field_definitions=[wire.FieldDefinition(name="lastOp", type={"name": "Number"})]),
    ],
)
def test_a_type_of_the_merchants_in_our_place_blocks_everything(type_: wire.CustomType) -> None:
    blocked = step(found(type=type_), "custom type")
    assert (blocked.action, bool(blocked.why)) == ("blocked", True)
    with pytest.raises(Misconfigured, match="sellable-stock"):
        asyncio.run(setup.apply(None, [step(found(), "subscription"), blocked]))  # type: ignore[arg-type]
