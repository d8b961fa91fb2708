"""The desk without a database: owners, what an alert says, how it is signed and mailed."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import email
import email.policy
import hashlib
import hmac
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

import sellable
from sellable.config import settings as config
from sellable.config.settings import Owner
from sellable.desk.alerts import Mail, NotTold, Webhook, alert_of, mail_of, sign, signing_key
from sellable.desk.cases import Case
from sellable.desk.kinds import KINDS
from sellable.desk.owners import OwnerMissing, Owners
from sellable.runtime.clock import Clock
from sellable.runtime.http import ForbiddenUrl, HttpPort

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVERYBODY = Owners.from_settings([Owner(kind="*", owner="operations", email="ops@example.com")])
CASE = Case(
    id=7,
    ref="C-000007",
    kind="unknown_sku",
    subject="sku:CRUNCHY-ARMCHAIR",
    owner="operations",
    state="open",
    severity=2,
    count=12,
    first_at=NOON,
    last_at=NOON,
    title="Unknown SKU",
    expected={"sku": "CRUNCHY-ARMCHAIR", "customer": "Ada Lovelace"},
    actual=None,
    evidence=["inbox:3", "order:9"],
    next_step="Create the SKU.",
    resolution=None,
    resolved_at=None,
    resolved_by=None,
    alerted_at=None,
    alerted_count=0,
)


class TestOwners:
    def test_a_named_kind_goes_before_the_star(self) -> None:
        owners = Owners.from_settings([Owner(kind="*", owner="operations"), Owner(kind="drift", owner="stock")])
        assert (owners.of("drift"), owners.of("oversold")) == ("stock", "operations")

    def test_a_kind_without_an_owner_refuses_the_start(self) -> None:
        named = [Owner(kind=kind, owner="somebody") for kind in KINDS if kind not in ("drift", "oversold")]
        with pytest.raises(OwnerMissing, match="nobody owns the cases oversold, drift: add an") as refusal:
            Owners.from_settings(named)
        assert refusal.value.kinds == ("oversold", "drift")

    def test_an_owner_without_a_name_is_none(self) -> None:
        with pytest.raises(OwnerMissing):
            Owners.from_settings([Owner(kind="*", owner=" ")])

    @pytest.mark.parametrize(
        ("owner", "kind", "address"),
        [
            ("stock", "drift", "drift@example.com"),
            ("stock", "oversold", "stock@example.com"),
            ("finance", "drift", "finance@example.com"),
            ("stranger", "drift", ""),
            ("silent", "drift_many", ""),
        ],
    )
    def test_the_address_is_that_of_the_cases_owner(self, owner: str, kind: str, address: str) -> None:
        owners = Owners.from_settings(
            [
                Owner(kind="*", owner="stock", email="stock@example.com"),
                Owner(kind="drift", owner="stock", email="drift@example.com"),
                Owner(kind="totals_differ", owner="finance", email="finance@example.com"),
                Owner(kind="drift_many", owner="silent"),
            ]
        )
        assert owners.email(owner, kind) == address


def test_a_case_is_overdue_after_its_kinds_age_limit() -> None:
    limit = timedelta(hours=KINDS["unknown_sku"].age_hours)
    assert not CASE.overdue(NOON + limit)
    assert CASE.overdue(NOON + limit + timedelta(seconds=1))
    assert not dataclasses.replace(CASE, state="resolved").overdue(NOON + 2 * limit)


def kinds_named_in_the_code() -> set[str]:
    """First text argument of every call of something called open_case."""
    found: set[str] = set()
    for path in Path(sellable.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "open_case":
                texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                found.update(texts[:1])
    return found


def test_the_code_opens_only_kinds_of_the_table() -> None:
    named = kinds_named_in_the_code()
    assert named >= {"poison_payload", "operation_exhausted"}
    assert named - KINDS.keys() == set()


class TestAlert:
    def test_it_carries_record_expected_actual_payload_and_next_step(self) -> None:
        alert = alert_of(CASE, 12, b"key")
        assert alert.id == "C-000007_10"
        assert alert.body["record"] == "sku:CRUNCHY-ARMCHAIR"
        assert alert.body["actual"] is None
        assert alert.body["evidence"] == ["inbox:3", "order:9"]
        assert alert.body["next_step"] == "Create the SKU."
        assert alert.body["owner"] == "operations"

    def test_personal_values_are_hashed(self) -> None:
        expected = alert_of(CASE, 1, b"key").body["expected"]
        assert expected == {
            "sku": "CRUNCHY-ARMCHAIR",
            "customer": "#" + hmac.new(b"key", b"Ada Lovelace", hashlib.sha256).hexdigest()[:16],
        }

    @pytest.mark.parametrize(("count", "step"), [(1, 1), (9, 1), (10, 10), (99, 10), (1000, 1000)])
    def test_a_repeat_of_the_same_telling_has_the_same_id(self, count: int, step: int) -> None:
        assert alert_of(CASE, count, b"").id == f"C-000007_{step}"


class TestWebhook:
    def test_the_example_of_the_standard(self) -> None:
        """Values of the reference implementations of Standard Webhooks 1.0.0."""
        signature = sign(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
        assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    @pytest.mark.parametrize(("secret", "says"), [("whsec_!", "not base64"), ("whsec_c2hvcnQ=", "shorter than 24")])
    def test_a_bad_secret_is_refused_without_being_quoted(self, secret: str, says: str) -> None:
        with pytest.raises(ValueError, match=says) as refusal:
            signing_key(secret)
        assert secret not in str(refusal.value)

    def tell(self, handler: object) -> None:
        async def scenario() -> None:
            async with httpx2.AsyncClient(transport=httpx2.MockTransport(handler)) as client:  # type: ignore[arg-type]
                clock = Clock(source=lambda: 1772366400.9)
                port = HttpPort(client, clock, None)
                port.allow("https://hooks.example/in?tenant=1")
                webhook = Webhook(port, clock, "https://hooks.example/in?tenant=1", SECRET)
                await webhook.tell(alert_of(CASE, 12, b"key"))

        asyncio.run(scenario())

    def test_what_is_posted_verifies(self) -> None:
        seen: list[httpx2.Request] = []

        def receive(request: httpx2.Request) -> httpx2.Response:
            seen.append(request)
            return httpx2.Response(204)

        self.tell(receive)
        (request,) = seen
        assert str(request.url) == "https://hooks.example/in?tenant=1"
        assert request.headers["webhook-id"] == "C-000007_10"
        assert request.headers["webhook-timestamp"] == "1772366400"
        expected = sign(signing_key(SECRET), "C-000007_10", 1772366400, request.content)
        assert request.headers["webhook-signature"] == expected
        assert b'"type":"case.grew"' in request.content
        assert b'"record":"sku:CRUNCHY-ARMCHAIR"' in request.content

    @pytest.mark.parametrize("status", [302, 404, 410, 500])
    def test_only_2xx_is_told(self, status: int) -> None:
        with pytest.raises(NotTold, match=f"webhook: answered {status}"):
            self.tell(lambda request: httpx2.Response(status, headers={"location": "http://169.254.169.254/"}))

    def test_a_lost_connection_is_not_told(self) -> None:
        def refuse(request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("no route", request=request)

        with pytest.raises(NotTold, match="webhook: NotSent"):
            self.tell(refuse)

    @pytest.mark.parametrize("url", ["http://hooks.example/in", "https://127.0.0.1/in", "https://10.0.0.8/in"])
    def test_http_and_private_addresses_are_refused(self, url: str) -> None:
        async def scenario() -> None:
            async with httpx2.AsyncClient() as client:
                HttpPort(client, Clock(), None).allow(url)

        with pytest.raises(ForbiddenUrl):
            asyncio.run(scenario())


class TinySmtp(socketserver.StreamRequestHandler):
    """Just enough of RFC 5321 to take one mail; `refuse` makes it answer every RCPT with 550."""

    mails: list[bytes]
    refuse = False

    def handle(self) -> None:
        self.say("220 test")
        data: list[bytes] | None = None
        for line in self.rfile:
            if data is not None:
                if line == b".\r\n":
                    self.mails.append(b"".join(data))
                    data = None
                    self.say("250 taken")
                else:
                    data.append(line)
            elif line.upper().startswith(b"DATA"):
                data = []
                self.say("354 go on")
            elif line.upper().startswith(b"QUIT"):
                self.say("221 bye")
                return
            elif self.refuse and line.upper().startswith(b"RCPT"):
                self.say("550 nobody here")
            else:
                self.say("250 ok")

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


@pytest.fixture
def smtp() -> Iterator[tuple[str, type[TinySmtp]]]:
    handler = type("Handler", (TinySmtp,), {"mails": [], "refuse": False})
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"smtp://127.0.0.1:{server.server_address[1]}", handler
        server.shutdown()
        thread.join()


class TestMail:
    def test_it_reads_well(self) -> None:
        alert = alert_of(dataclasses.replace(CASE, subject="sku:A\r\nBcc: evil@example.com"), 12, b"key")
        message = mail_of(alert, "sellable@example.com", "ops@example.com", NOON)
        assert message["Subject"] == "[severity 2] Unknown SKU: sku:A Bcc: evil@example.com (C-000007)"
        assert message["Bcc"] is None
        lines = message.get_content().splitlines()
        assert lines[0] == "Unknown SKU, 12 time(s) since 2026-03-01 12:00 UTC."
        assert "Evidence:  inbox:3, order:9" in lines
        assert "Next step: Create the SKU." in lines
        assert "Actual:    -" in lines
        assert "Ada" not in message.get_content()

    def mail(self, url: str, owners: Owners = EVERYBODY, *, insecure: bool = True) -> Mail:
        settings = config.Alerts(smtp_url=url, mail_from="sellable@example.com", insecure=insecure)
        return Mail(Clock(), settings, owners)

    def test_it_reaches_the_owner(self, smtp: tuple[str, type[TinySmtp]]) -> None:
        url, server = smtp
        asyncio.run(self.mail(url).tell(alert_of(CASE, 12, b"key")))
        (raw,) = server.mails
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        assert (mail["To"], mail["From"]) == ("ops@example.com", "sellable@example.com")

    def test_a_refusal_is_not_told(self, smtp: tuple[str, type[TinySmtp]]) -> None:
        url, server = smtp
        server.refuse = True
        with pytest.raises(NotTold, match="mail: SMTPRecipientsRefused"):
            asyncio.run(self.mail(url).tell(alert_of(CASE, 12, b"key")))

    def test_without_encryption_nothing_is_sent_unless_told_so(self, smtp: tuple[str, type[TinySmtp]]) -> None:
        url, server = smtp
        with pytest.raises(NotTold, match="mail: SMTPNotSupportedError"):
            asyncio.run(self.mail(url, insecure=False).tell(alert_of(CASE, 12, b"key")))
        assert server.mails == []

    def test_an_owner_without_an_address_is_not_mailed(self, smtp: tuple[str, type[TinySmtp]]) -> None:
        url, server = smtp
        owners = Owners.from_settings([Owner(kind="*", owner="operations")])
        asyncio.run(self.mail(url, owners).tell(alert_of(CASE, 12, b"key")))
        assert server.mails == []
        # Nobody is even called: at this address nobody would answer.
        asyncio.run(self.mail("smtp://127.0.0.1:1", owners).tell(alert_of(CASE, 12, b"key")))

    @pytest.mark.parametrize("url", ["http://h", "smtp://"])
    def test_a_wrong_address_refuses_the_start(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"alerts\.smtp_url is no smtp:// or smtps:// address"):
            self.mail(url)
