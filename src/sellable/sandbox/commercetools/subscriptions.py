"""Deliveries of messages to one URL a subscription, where the live system would use a queue.

Rule: at least once and unordered, with the drops, doubles and delays an experiment asks for.
"""

from typing import Literal

import msgspec

from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.store import KEY
from sellable.sandbox.commercetools.wire import Doc, encode
from sellable.sandbox.outbound import Outbound

TRIES = 6
FIRST_WAIT = 1.0


class Delivery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a subscription's notifications go and how badly: rates 0..1, each one 0..delay_seconds late."""

    subscription_key: str
    url: str
    format: Literal["Platform", "CloudEvents"] = "Platform"
    duplicate_rate: float = 0.0
    drop_rate: float = 0.0
    delay_seconds: float = 0.0
    headers: dict[str, str] = {}


class Subscriptions:
    """Listens to the message log and posts what the subscriptions ask for."""

    def __init__(self, project: Project, outbound: Outbound) -> None:
        self._project, self._outbound = project, outbound
        self._deliveries: dict[str, Delivery] = {}
        self.counts = {"sent": 0, "dropped": 0, "duplicated": 0, "given_up": 0}
        project.messages.listeners.append(self._heard)

    def deliver(self, delivery: Delivery) -> None:
        """Start (or change) real deliveries of a stored subscription; raises ValueError when there is none."""
        if not self._project.others["subscription"].by(KEY, delivery.subscription_key):
            raise ValueError(f"there is no subscription with the key {delivery.subscription_key!r}")
        self._deliveries[delivery.subscription_key] = delivery

    def _heard(self, message: Doc) -> None:
        for delivery in self._deliveries.values():
            found = self._project.others["subscription"].by(KEY, delivery.subscription_key)
            if not found or found[0]["status"] != "Healthy" or not _wanted(found[0], message):
                continue
            rng = self._project.random
            if rng.random() < delivery.drop_rate:
                self.counts["dropped"] += 1
                continue
            copies = 2 if rng.random() < delivery.duplicate_rate else 1
            self.counts["duplicated"] += copies - 1
            body = encode(_payload(self._project.key, message, delivery.format))
            for _ in range(copies):
                self._outbound.spawn(self._send(delivery, body, self._project.draw(delivery.delay_seconds)))

    async def _send(self, delivery: Delivery, body: bytes, delay: float) -> None:
        kind = "application/cloudevents+json" if delivery.format == "CloudEvents" else "application/json"
        wait = FIRST_WAIT
        for _ in range(TRIES):
            await self._project.clock.sleep(delay)
            try:
                status, _ = await self._outbound.post(delivery.url, {"content-type": kind, **delivery.headers}, body)
            except OSError:
                status = 0
            if 200 <= status < 300 or status == 102:
                self.counts["sent"] += 1
                return
            delay, wait = wait, wait * 2
        self.counts["given_up"] += 1


def _wanted(subscription: Doc, message: Doc) -> bool:
    type_id, kind = message["resource"]["typeId"], message["type"]
    return any(
        wish["resourceTypeId"] == type_id and (not wish.get("types") or kind in wish["types"])
        for wish in subscription["messages"]
    )


def _payload(project_key: str, message: Doc, form: str) -> Doc:
    payload = {"notificationType": "Message", "projectKey": project_key, **message}
    if form == "Platform":
        return payload
    resource = message["resource"]
    return {
        "specversion": "1.0",
        "id": message["id"],
        "type": f"com.commercetools.{resource['typeId']}.message.{message['type']}",
        "source": f"/{project_key}/{resource['typeId']}s",
        "subject": resource["id"],
        "time": message["createdAt"],
        "sequence": str(message["sequenceNumber"]),
        "sequencetype": "Integer",
        "dataref": f"/{project_key}/messages/{message['id']}",
        "data": payload,
    }
