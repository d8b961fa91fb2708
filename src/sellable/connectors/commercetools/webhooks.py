"""Messages pushed to us by a queue or bus. One rule: what a subscription delivers is what the feed would have shown.

The platform delivers to queues, never to a plain address, so something of the merchant's forwards to us: the Platform
format as it is, or wrapped in CloudEvents, one or several at once (page "Subscriptions"). The same message has the same
id in the feed, so it does not matter which comes first, or that both come.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sellable.config.settings import Webhook
from sellable.connectors.commercetools import translate, wire
from sellable.connectors.kit import shown
from sellable.connectors.kit.decode import decode
from sellable.connectors.port import RawMessage


def verify(token: str, headers: Mapping[str, str], hook: Webhook) -> bool:
    """Whether the address and the bearer token are ours. Where either is not configured: never."""
    if not hook.path_token or not hook.secret:
        return False
    return all(shown.compared((token, hook.path_token), (shown.bearer(headers), hook.secret)))


def recognise(body: bytes) -> list[RawMessage]:
    """The messages in a body; other resources' and test notifications are left out.

    A change ("ResourceUpdated") is given as a message of that type whose id names the resource and its version.
    Raises ValueError for a body that is neither format.
    """
    whole = decode(body, msgspec.Raw)
    parts = decode(body, list[msgspec.Raw]) if bytes(whole).lstrip()[:1] == b"[" else [whole]
    found = [_one(part) for part in parts]
    return [each for each in found if each.resource_type in translate.MESSAGES_OF]


def _one(raw: msgspec.Raw) -> RawMessage:
    event = decode(raw, wire.CloudEvent)
    inner = event.data if event.specversion and bytes(event.data) else raw
    note = decode(inner, wire.Notification)
    if not note.notification_type:
        raise ValueError("neither a Platform notification nor a CloudEvent")
    if note.notification_type == "Message":
        return translate.message(inner)
    resource = note.resource
    return RawMessage(
        message_id=f"{note.notification_type}:{resource.type_id}:{resource.id}@{note.version}",
        type=note.notification_type,
        resource_type=resource.type_id,
        resource_id=resource.id,
        created_at=note.modified_at or note.created_at,
        body=bytes(inner),
    )
