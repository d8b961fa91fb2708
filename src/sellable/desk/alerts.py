"""Telling people of cases: a log line, a signed webhook, a mail to the owner.

Rule: what is told is written down after it was told, so it is told at least once; each way of telling runs by itself,
so that a dead one delays no other. Severity 1 is told at once, the rest after a moment in which it may end by itself,
and every case anew when its count reaches 10, 100, 1000 ...
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import structlog

from sellable.config import settings as config
from sellable.desk import cases
from sellable.desk.cases import SYSTEM, Case, sql
from sellable.desk.owners import Owners
from sellable.runtime import audit
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.http import HttpError, HttpPort
from sellable.runtime.schedule import Bell, backoff, beat

GATHER_SECONDS = 30.0
"""How long a case below severity 1 may still end by itself before anybody is told."""
IDLE_SECONDS = 5.0
LEASE_SECONDS = 120.0
TIMEOUT_SECONDS = 15.0
CLEAR = audit.ALLOWED | {
    *("absent", "backorder", "cause", "change", "channel", "clientid", "examples", "expected", "fault", "handled"),
    *("items", "line", "lines", "of", "places", "restockableindays", "rows", "sale", "sales", "shipment", "shown"),
    *("source", "step", "tax", "rate", "rule", "writer", "sellable", "field", "net", "gross"),
    *("add", "age_minutes", "answers", "error", "failures", "feed", "last_complete_sweep", "since"),
    *("stage", "waits_for", "orders", "taken_elsewhere", "sold_beside", "drifted", "written_by_others", "judged"),
}
"""Fields of expected and actual that an alert shows as they are; every other value is told as a keyed hash."""

log = structlog.get_logger(__name__)


class NotTold(Exception):
    """A way of telling failed; the message is the cause, without secrets."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One telling of a case. `id` is the same for every repeat of this telling; `body` are its facts, redacted."""

    id: str
    case: Case
    body: dict[str, Any]


Tell = Callable[[Alert], Awaitable[None]]


class Alerts:
    """Tells of new and of growing cases over every configured way."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: config.Alerts,
        owners: Owners,
        port: HttpPort,
        *,
        redaction_key: bytes,
    ) -> None:
        """`port` spends no budget. Raises ForbiddenUrl for an address that may not be called, ValueError for a secret
        or a mail server that cannot be used."""
        self._store = store
        self._clock = clock
        self._key = redaction_key
        self._transports: dict[str, Tell] = {"log": tell_log}
        if settings.webhook_url:
            port.allow(settings.webhook_url, insecure=settings.insecure)
            self._transports["webhook"] = Webhook(port, clock, settings.webhook_url, settings.webhook_secret).tell
        if settings.smtp_url:
            self._transports["mail"] = Mail(clock, settings, owners).tell

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until told to stop."""
        bells = {name: Bell(self._clock) for name in self._transports}

        def ring(_payload: str) -> None:
            for bell in bells.values():
                bell.ring()

        await self._store.listen(cases.CHANNEL, ring)
        async with asyncio.TaskGroup() as group:
            for name, bell in bells.items():
                group.create_task(self._keep_telling(name, bell, stop), name=f"alerts {name}")

    async def tell_due(self) -> int:
        """Tell everything that is due now, over every way, and return how many tellings succeeded or failed."""
        count = 0
        for name in self._transports:
            while await self._tell_next(name):
                count += 1
        return count

    async def _keep_telling(self, name: str, bell: Bell, stop: asyncio.Event) -> None:
        while not stop.is_set():
            beat()
            if not await self._tell_next(name):
                await bell.wait(IDLE_SECONDS, stop)

    async def _tell_next(self, name: str) -> bool:
        """Tell one thing over one way; False when nothing is due."""
        now = self._clock.now()
        claimed = await self._store.write(_claim, name, now)
        if claimed is None:
            return False
        case, telling, attempts = claimed
        try:
            await self._transports[name](alert_of(case, telling, self._key))
        except Exception as error:
            # Whatever a way of telling trips over, it must not stop; only NotTold has a text that is safe to show.
            cause = str(error) if isinstance(error, NotTold) else type(error).__name__
            log.warning("alert not told", transport=name, case=case.ref, cause=cause)
            due_at = self._clock.now() + timedelta(seconds=backoff(attempts))
            await self._store.write(_failed, case.id, name, attempts, cause, due_at)
            return True
        await self._store.write(_told, case, telling, name, tuple(self._transports), self._clock.now())
        return True


def alert_of(case: Case, telling: int, key: bytes) -> Alert:
    """What is told of a case when its count is `telling`: record, expected, actual, payload reference, next step."""
    body = {
        "ref": case.ref,
        "kind": case.kind,
        "severity": case.severity,
        "title": case.title,
        "record": case.subject,
        "count": telling,
        "expected": audit.redact(case.expected, key, CLEAR),
        "actual": audit.redact(case.actual, key, CLEAR),
        "evidence": case.evidence,
        "next_step": case.next_step,
        "owner": case.owner,
        "state": case.state,
        "first_at": case.first_at.isoformat(),
        "last_at": case.last_at.isoformat(),
    }
    return Alert(id=f"{case.ref}_{10 ** (len(str(telling)) - 1)}", case=case, body=body)


async def tell_log(alert: Alert) -> None:
    """A line of the log: an error for severity 1, else a warning."""
    say = log.error if alert.case.severity == 1 else log.warning
    say("case", **alert.body)


class Webhook:
    """Posts alerts, signed by the Standard Webhooks specification 1.0.0."""

    def __init__(self, port: HttpPort, clock: Clock, url: str, secret: str) -> None:
        self._port = port
        self._clock = clock
        self._url = url
        self._key = signing_key(secret)

    async def tell(self, alert: Alert) -> None:
        """Raises NotTold unless the receiver answers 2xx."""
        at = int(self._clock.time())
        happened = "case.opened" if alert.body["count"] == 1 else "case.grew"
        payload = {"type": happened, "timestamp": self._clock.now().isoformat(), "data": alert.body}
        content = msgspec.json.encode(payload)
        headers = {
            "content-type": "application/json",
            "webhook-id": alert.id,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(self._key, alert.id, at, content),
        }
        try:
            answer = await self._port.call(
                "POST",
                self._url,
                lane="",
                credential="alerts",
                headers=headers,
                content=content,
                timeout_seconds=TIMEOUT_SECONDS,
                correlation=alert.case.ref,
                operation="alert",
            )
        except HttpError as error:
            raise NotTold(f"webhook: {type(error).__name__}") from error
        if not 200 <= answer.status < 300:
            raise NotTold(f"webhook: answered {answer.status}")


def signing_key(secret: str) -> bytes:
    """The bytes of a "whsec_<base64>" secret. Raises ValueError for one that is none or shorter than 24 bytes."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("alerts.webhook_secret is not base64 after whsec_") from None
    if len(key) < 24:
        raise ValueError("alerts.webhook_secret is shorter than 24 bytes")
    return key


def sign(key: bytes, message_id: str, at: int, content: bytes) -> str:
    """The webhook-signature header: "v1," and base64(HMAC-SHA256 over id.timestamp.content)."""
    signed = f"{message_id}.{at}.".encode() + content
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


class Mail:
    """Mails alerts to the owner of the case; an owner without an address is not mailed."""

    def __init__(self, clock: Clock, settings: config.Alerts, owners: Owners) -> None:
        url = urlsplit(settings.smtp_url)
        if url.scheme not in ("smtp", "smtps") or not url.hostname:
            raise ValueError("alerts.smtp_url is no smtp:// or smtps:// address")
        self._encrypted = url.scheme == "smtps"
        self._host, self._port = url.hostname, url.port or (465 if self._encrypted else 587)
        self._user, self._password = unquote(url.username or ""), unquote(url.password or "")
        self._clock = clock
        self._from = settings.mail_from
        self._insecure = settings.insecure
        self._owners = owners

    async def tell(self, alert: Alert) -> None:
        """Raises NotTold when the server does not take it."""
        to = self._owners.email(alert.case.owner, alert.case.kind)
        if not to:
            return
        try:
            # Mail servers speak a blocking dialogue; a thread of its own keeps it away from everything else.
            await asyncio.to_thread(self._send, mail_of(alert, self._from, to, self._clock.now()))
        except (smtplib.SMTPException, OSError) as error:
            raise NotTold(f"mail: {type(error).__name__}") from error

    def _send(self, message: EmailMessage) -> None:
        seconds = self._clock.real_timeout(TIMEOUT_SECONDS)
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if self._encrypted:
            server = smtplib.SMTP_SSL(self._host, self._port, timeout=seconds, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=seconds)
        with server:
            if not self._encrypted and not self._insecure:
                # Refused when the server cannot: an alert names orders, and the password would go in the open.
                server.starttls(context=context)
            if self._user:
                server.login(self._user, self._password)
            server.send_message(message)


def mail_of(alert: Alert, sender: str, to: str, now: datetime) -> EmailMessage:
    """An alert as a mail in plain text."""
    case, body = alert.case, alert.body
    message = EmailMessage()
    # A line break in a header would let a remote system write headers of its own.
    subject = f"[severity {case.severity}] {case.title}: {case.subject} ({case.ref})"
    message["Subject"] = " ".join(subject.split())
    message["From"] = sender
    message["To"] = to
    message["Date"] = now
    message["Message-ID"] = f"<{alert.id}@sellable.invalid>"
    lines = [
        f"{case.title}, {body['count']} time(s) since {case.first_at:%Y-%m-%d %H:%M} UTC.",
        "",
        f"Record:    {case.subject}",
        f"Expected:  {_plain(body['expected'])}",
        f"Actual:    {_plain(body['actual'])}",
        f"Evidence:  {', '.join(case.evidence) or '-'}",
        f"Next step: {case.next_step}",
        "",
        f"Case {case.ref}, kind {case.kind}, owner {case.owner}.",
    ]
    message.set_content("\n".join(lines) + "\n")
    return message


def _plain(value: Any) -> str:
    return "-" if value is None else msgspec.json.encode(value).decode()


def _claim(tx: Tx, transport: str, now: datetime) -> tuple[Case, int, int] | None:
    claimed = tx.one(
        sql.claim_alert,
        transport=transport,
        now=now,
        gathered_before=now - timedelta(seconds=GATHER_SECONDS),
        lease_until=now + timedelta(seconds=LEASE_SECONDS),
    )
    return None if claimed is None else (cases.by_id(tx, claimed.case_id), claimed.telling, claimed.attempts)


def _told(tx: Tx, case: Case, telling: int, transport: str, transports: Sequence[str], now: datetime) -> None:
    tx.run(sql.alert_told, case_id=case.id, transport=transport, telling=telling, now=now)
    tx.run(sql.note_alerted, case_id=case.id, transports=list(transports), now=now)
    cases.note(tx, case.ref, SYSTEM, "told", now, f"{transport}: {telling}")


def _failed(tx: Tx, case_id: int, transport: str, attempts: int, cause: str, due_at: datetime) -> None:
    tx.run(sql.alert_failed, case_id=case_id, transport=transport, attempts=attempts, cause=cause, due_at=due_at)
