"""Keeping our webhooks registered and awake. One rule: touch only those that point at our own address.

After about 76 minutes without an answer Cin7 turns a webhook off and tells nobody, so it has to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from sellable.config.settings import Webhook
from sellable.connectors.cin7_core.webhooks import TYPES
from sellable.connectors.cin7_core.wire import WebhookRow
from sellable.runtime.feeds import FeedContext, FeedResult, Turn


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do: `action` is create | activate | delete | none."""

    type: str
    action: str
    webhook_id: str = ""


class Webhooks(Protocol):
    """The calls this needs of the client."""

    async def webhooks(self, *, lane: str) -> list[WebhookRow]: ...

    async def put_webhook(self, body: dict[str, Any], *, lane: str) -> None: ...

    async def delete_webhook(self, webhook_id: str, *, lane: str) -> None: ...


def plan(found: Iterable[WebhookRow], url: str, types: Sequence[str] = TYPES) -> list[Step]:
    """What is missing: each type once and active at our `url`; a second one of ours would tell everything twice."""
    steps: list[Step] = []
    ours: dict[str, list[WebhookRow]] = {}
    for row in found:
        if row.external_url == url:
            ours.setdefault(row.type or "", []).append(row)
    for type_ in types:
        rows = sorted(ours.get(type_, []), key=lambda row: not row.is_active)
        if not rows:
            steps.append(Step(type=type_, action="create"))
        for place, row in enumerate(rows):
            action = "delete" if place else "none" if row.is_active else "activate"
            steps.append(Step(type=type_, action=action, webhook_id=row.id or ""))
    return steps


async def apply(client: Webhooks, steps: Iterable[Step], url: str, secret: str, *, lane: str) -> None:
    """Carries a plan out, one call a step. `secret` is sent back to us as a bearer token."""
    for step in steps:
        if step.action == "delete":
            await client.delete_webhook(step.webhook_id, lane=lane)
        elif step.action != "none":
            await client.put_webhook(body(step, url, secret), lane=lane)


async def watch(client: Webhooks, url: str, secret: str, *, lane: str) -> list[str]:
    """One look: puts right what is missing or asleep and returns the types that were, whose events were lost."""
    steps = plan(await client.webhooks(lane=lane), url)
    await apply(client, steps, url, secret, lane=lane)
    return [step.type for step in steps if step.action in ("create", "activate")]


def watchdog(client: Webhooks, hook: Webhook) -> Turn:
    """`watch` as the turn of a feed. Nothing is read again for it: the poll of changed sales overlaps what was lost."""
    url = f"{hook.public_url.rstrip('/')}/webhooks/cin7/{hook.path_token}"

    async def turn(cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        mended = await watch(client, url, hook.secret, lane="repair")
        return FeedResult(arrivals=(), cursor={"mended": mended, "at": context.now.isoformat()})

    return turn


def body(step: Step, url: str, secret: str) -> dict[str, Any]:
    """Body of POST webhooks, or of PUT where it has an id."""
    identity = {"ID": step.webhook_id} if step.webhook_id else {}
    return identity | {
        "Type": step.type,
        "IsActive": True,
        "ExternalURL": url,
        "ExternalAuthorizationType": "bearerauth",
        "ExternalBearerToken": secret,
    }
