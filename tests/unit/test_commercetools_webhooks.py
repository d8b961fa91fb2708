"""Pushed messages: who may push, and both formats of a subscription."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from test_commercetools_translate import message

from sellable.config.settings import Webhook
from sellable.connectors.commercetools import translate, webhooks

HOOK = Webhook(path_token="path-token", secret="s3cret")


@pytest.mark.parametrize(
    ("token", "header", "hook", "ours"),
    [
        ("path-token", "Bearer s3cret", HOOK, True),
        ("path-token", "bearer s3cret", HOOK, True),
        ("path-token", "Bearer s3cre", HOOK, False),
        ("path-token", "Basic s3cret", HOOK, False),
        ("path-token", "", HOOK, False),
        ("other", "Bearer s3cret", HOOK, False),
        ("", "Bearer s3cret", Webhook(secret="s3cret"), False),
        ("path-token", "Bearer ", Webhook(path_token="path-token"), False),
    ],
)
def test_only_our_address_with_our_token(token: str, header: str, hook: Webhook, ours: bool) -> None:
    assert webhooks.verify(token, {"Authorization": header}, hook) is ours


def platform(**changes: Any) -> dict[str, Any]:
    return {"notificationType": "Message", "projectKey": "shop", **message(), **changes}


def test_a_message_is_the_same_by_either_format_and_by_the_feed() -> None:
    plain = msgspec.json.encode(platform())
    event = {
        "specversion": "1.0",
        "id": "x",
        "type": "com.commercetools.order.message.OrderCreated",
        "data": platform(),
    }
    (direct,) = webhooks.recognise(plain)
    (wrapped,) = webhooks.recognise(msgspec.json.encode(event))
    assert direct == wrapped
    fed = translate.message(msgspec.json.encode(message()))
    assert (direct.message_id, direct.type, direct.resource_id) == (fed.message_id, fed.type, fed.resource_id)


def test_several_at_once_and_changes_and_strangers() -> None:
    change = {
        "notificationType": "ResourceUpdated", "resource": {"typeId": "inventory-entry", "id": "e1"}, "version": 8,
        "oldVersion": 7, "modifiedAt": "2026-11-21T10:00:00.000Z",
    }  # fmt: skip
    created = {"notificationType": "ResourceCreated", "resource": {"typeId": "subscription", "id": "s1"}, "version": 1}
    found = webhooks.recognise(msgspec.json.encode([platform(), change, created]))
    assert [(n.message_id, n.type, n.resource_type, n.resource_id) for n in found] == [
        ("m1", "OrderCreated", "order", "order-1"),
        ("ResourceUpdated:inventory-entry:e1@8", "ResourceUpdated", "inventory-entry", "e1"),
    ]


def test_a_message_whose_payload_was_too_large_is_still_a_hint() -> None:
    small = platform(payloadNotIncluded={"reason": "too large", "payloadType": "OrderCreated"})
    del small["order"]
    (found,) = webhooks.recognise(msgspec.json.encode(small))
    assert (found.message_id, found.resource_id) == ("m1", "order-1")
    assert translate.order_of_message(found.body, {}) is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"specversion":"1.0"}', b"[1]", b'{"notificationType":"Message"}']
)
def test_other_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        webhooks.recognise(body)
