"""Cin7's notifications as hints, who may send them, and keeping them registered."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from sellable.config.settings import Webhook
from sellable.connectors.cin7_core import registration, watchdog, webhooks
from sellable.connectors.cin7_core.registration import Step
from sellable.connectors.cin7_core.webhooks import Hint
from sellable.connectors.cin7_core.wire import WebhookRow
from sellable.runtime.feeds import FeedContext

SECRET = "s3cret"
URL = "https://us.example/webhooks/cin7/token"


@pytest.mark.parametrize(
    ("headers", "ok"),
    [
        ({"Authorization": "Bearer s3cret"}, True),
        ({"authorization": "bearer s3cret"}, True),
        ({"Authorization": "Basic " + base64.b64encode(b"any:s3cret").decode()}, True),
        ({"X-Sellable-Token": "s3cret"}, True),
        ({"Authorization": "Bearer s3creT"}, False),
        ({"Authorization": "Basic !!!"}, False),
        ({"Authorization": "Basic " + base64.b64encode(b"s3cret:").decode()}, False),
        ({"Authorization": "s3cret"}, False),
        ({"X-Sellable-Token": "ü"}, False),
        ({}, False),
    ],
)
def test_who_may_send(headers: dict[str, str], ok: bool) -> None:
    assert webhooks.verify(headers, SECRET) is ok


def test_without_a_secret_nobody_may() -> None:
    assert not webhooks.verify({"Authorization": "Bearer "}, "")


def sale(key: str) -> Hint:
    return Hint(kind="sale", key=key)


def number(key: str) -> Hint:
    return Hint(kind="order_number", key=key)


def sku(key: str) -> Hint:
    return Hint(kind="sku", key=key)


@pytest.mark.parametrize(
    ("body", "type_", "hints"),
    [
        (b'{"EventType":"Sale/OrderAuthorised","SaleID":"AB-1","SaleOrderNumber":"SO-1"}', "", (sale("ab-1"),)),
        (b'{"EventType":"Sale/OrderAuthorized","SaleID":"AB-1"}', "Sale/OrderAuthorised", (sale("ab-1"),)),
        (
            b'{"EventType":"Sale/ShipmentAuthorised","SaleTaskID":"CD-2","TenantID":"T","OrderNumber":"SO-2"}',
            "Sale/ShipmentAuthorised",
            (sale("cd-2"), number("SO-2")),
        ),
        (
            b'[{"ID":"x","SKU":"CHAIR","Available":3,},{"SKU":"CHAIR"},{"SKU":"T\\u00e4ble \\"L\\""}]',
            "Stock/AvailableStockLevelChanged",
            (sku("CHAIR"), sku('Täble "L"')),
        ),
        (
            b'{"EventType": "Product/Updated", "ProductDetailsList": [{"Event":"Creation","SKU":"NEW"}], ,}',
            "Product/Updated",
            (sku("NEW"),),
        ),
        (b'{"EventType":"Sale/CreditNoteAuthorised","CreditNoteNumber ":"CR","SaleID ":"EF"}', "", (sale("ef"),)),
        (b'{"EventType":"Lead/Created"}', "Lead/Created", ()),
        (b"not json at all", "", ()),
        (b'{"SaleID":"\\uD800"}', "", ()),
        (b"\xff\xfe", "", ()),
    ],
)
def test_bodies_as_hints(body: bytes, type_: str, hints: tuple[Hint, ...]) -> None:
    notice = webhooks.read(body)
    assert notice.hints == hints
    if type_:
        assert notice.type == type_


def test_a_flood_is_bounded() -> None:
    body = b"[" + b",".join(b'{"SKU":"S%d"}' % n for n in range(1000)) + b"]"
    assert len(webhooks.read(body).hints) == 200


# --- Registration ----------------------------------------------------------------------------------------------------


class Account:
    """Webhooks of an account, as the client shows them."""

    def __init__(self, *rows: WebhookRow) -> None:
        self.rows = {row.id or "": row for row in rows}
        self.calls: list[str] = []

    async def webhooks(self, *, lane: str) -> list[WebhookRow]:
        return list(self.rows.values())

    async def put_webhook(self, body: dict[str, Any], *, lane: str) -> None:
        self.calls.append("PUT" if "ID" in body else "POST")
        key = body.get("ID", f"new-{len(self.rows)}")
        assert body["ExternalAuthorizationType"] == "bearerauth"
        assert body["ExternalBearerToken"] == SECRET
        self.rows[key] = hook(key, body["Type"], url=body["ExternalURL"], active=body["IsActive"])

    async def delete_webhook(self, webhook_id: str, *, lane: str) -> None:
        self.calls.append("DELETE")
        del self.rows[webhook_id]


def hook(id_: str, type_: str, *, url: str = URL, active: bool = True) -> WebhookRow:
    return WebhookRow(id=id_, type=type_, is_active=active, external_url=url)


def test_registering_twice_changes_nothing() -> None:
    account = Account(hook("theirs", "Sale/Voided", url="https://other.example"))

    async def scenario() -> None:
        created = await registration.watch(account, URL, SECRET, lane="repair")
        assert created == list(webhooks.TYPES)
        assert account.calls == ["POST"] * len(webhooks.TYPES)
        assert await registration.watch(account, URL, SECRET, lane="repair") == []
        assert len(account.calls) == len(webhooks.TYPES)

    asyncio.run(scenario())
    assert account.rows["theirs"].external_url == "https://other.example"


def test_the_watchdog_wakes_what_cin7_put_to_sleep() -> None:
    account = Account(*(hook(f"w{n}", type_, active=n != 2) for n, type_ in enumerate(webhooks.TYPES)))
    assert asyncio.run(registration.watch(account, URL, SECRET, lane="repair")) == [webhooks.TYPES[2]]
    assert account.calls == ["PUT"]
    assert account.rows["w2"].is_active


def test_a_second_one_of_ours_is_deleted_and_the_active_one_kept() -> None:
    steps = registration.plan([hook("a", "Sale/Undo", active=False), hook("b", "Sale/Undo")], URL, ["Sale/Undo"])
    assert steps == [
        Step(type="Sale/Undo", action="none", webhook_id="b"),
        Step(type="Sale/Undo", action="delete", webhook_id="a"),
    ]


def test_the_watchdog_is_the_turn_of_a_feed() -> None:
    account = Account()
    hook_ = Webhook(path_token="token", secret=SECRET, public_url="https://us.example/")
    context = FeedContext(
        name="cin7_core.webhooks", now=datetime(2026, 11, 21, tzinfo=UTC), a0=1, failures=0, next_seq=_no_number
    )
    result = asyncio.run(watchdog(account, hook_)(None, context))
    assert {row.external_url for row in account.rows.values()} == {"https://us.example/webhooks/cin7/token"}
    assert result.cursor == {"mended": list(webhooks.TYPES), "at": "2026-11-21T00:00:00+00:00"}
    assert not result.again


async def _no_number() -> int:
    raise AssertionError("no causal number is needed")
