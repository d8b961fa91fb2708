"""OrderFlow's pushes as hints, who may send them, and what they are answered."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from sellable.config.settings import OrderFlow, Webhook
from sellable.connectors.orderflow import webhooks
from sellable.connectors.orderflow.webhooks import Hint
from sellable.connectors.orderflow.wire import Garbled

HOOK = Webhook(path_token="long-and-random", secret="s3cret")
SETTINGS = OrderFlow(
    base_url="https://of.example/web", user="api", password="p", channel="web", organisation="org",
    time_zone="Europe/London", webhook=HOOK,
)  # fmt: skip


def basic(word: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(word.encode()).decode()}


@pytest.mark.parametrize(
    ("how", "token", "headers", "ok"),
    [
        ("basic", "long-and-random", basic("any:s3cret"), True),
        ("basic", "long-and-random", basic("any:s3creT"), False),
        ("basic", "long-and-randoM", basic("any:s3cret"), False),
        ("basic", "", basic("any:s3cret"), False),
        ("basic", "long-and-random", basic("s3cret"), False),
        ("basic", "long-and-random", {"Authorization": "Basic !!!"}, False),
        ("basic", "long-and-random", {"Authorization": "Bearer s3cret"}, False),
        ("basic", "long-and-random", {"X-Sellable-Token": "s3cret"}, False),
        ("basic", "long-and-random", {}, False),
        ("header", "long-and-random", {"X-Sellable-Token": "s3cret"}, True),
        ("header", "long-and-random", {"x-sellable-token": " s3cret "}, True),
        ("header", "long-and-random", basic("any:s3cret"), False),
        ("header", "ü", {"x-sellable-token": "ü"}, False),
        ("path", "long-and-random", {}, True),
        ("path", "long-and-rando", {}, False),
    ],
)
def test_who_may_send(how: Any, token: str, headers: dict[str, str], ok: bool) -> None:
    assert webhooks.verify(token, headers, msgspec.structs.replace(SETTINGS, push_auth=how)) is ok


@pytest.mark.parametrize("how", ["basic", "header", "path"])
def test_nobody_may_send_where_nothing_is_set(how: Any) -> None:
    for hook in (Webhook(), Webhook(secret="s3cret"), *(() if how == "path" else (Webhook(path_token="t"),))):
        settings = msgspec.structs.replace(SETTINGS, push_auth=how, webhook=hook)
        for headers in ({}, basic("any:"), basic("any:s3cret"), {"x-sellable-token": ""}):
            assert not webhooks.verify(hook.path_token, headers, settings)


def test_a_header_of_the_tenants_choice() -> None:
    settings = msgspec.structs.replace(SETTINGS, push_auth="header", push_header="X-Api-Key")
    assert webhooks.verify("long-and-random", {"x-api-key": "s3cret"}, settings)
    assert not webhooks.verify("long-and-random", {"x-sellable-token": "s3cret"}, settings)


def sku(*keys: str) -> tuple[Hint, ...]:
    return tuple(Hint(kind="sku", key=key) for key in keys)


EVENT = '<event messageId="8" eventType="{}" userName="u" eventTime="2026-01-21 10:29:51"{}><detail>{}</detail></event>'
ORDER = '<order externalReference="R" state="cancelled" channel="web"><shipments/></order>'
RETURN = '<return id="4" authorised="true" orderReference="R"><returnLine product="A" quantity="1"/></return>'
DELIVERY = """<deliveries><delivery id="1"><deliveryLine product="A" quantity="2"/></delivery>
  <delivery><deliveryLine product="B"/></delivery></deliveries>"""
PURCHASE = (
    '<purchaseOrder state="x"><purchaseOrderLines><purchaseOrderLine product="A"/></purchaseOrderLines></purchaseOrder>'
)


@pytest.mark.parametrize(
    ("body", "kind", "message", "hints"),
    [
        (
            '<inventory messageId="15"><product externalReference="A" available="3" sequenceId="453"/>'
            '<product externalReference="B"/><product externalReference="A"/><product/></inventory>',
            "inventory", 15, sku("A", "B"),
        ),
        (
            '<stockChanges messageId="16" site="Leeds"><stockChange id="1" product="A" changeQuantity="-2"/>'
            '<stockChange product="C"><note>x</note></stockChange></stockChanges>',
            "stock", 16, sku("A", "C"),
        ),
        (
            EVENT.format("order_cancelled", "", ORDER), "order", 8,
            (Hint(kind="order", key="R"), Hint(kind="despatches")),
        ),
        (
            EVENT.format("order_packed", ' entity="order" externalReference="R"', ""), "order", 8,
            (Hint(kind="order", key="R"), Hint(kind="despatches")),
        ),
        (EVENT.format("return_created", "", RETURN), "return", 8, (Hint(kind="returns"), *sku("A"))),
        (EVENT.format("delivery", "", DELIVERY), "delivery", 8, sku("A", "B")),
        (EVENT.format("purchase_order", "", PURCHASE), "purchase_order", 8, sku("A")),
        ('<paymentRequest date="x" messageId="9"><order externalReference="R"/></paymentRequest>', "payment", 9, ()),
        (ORDER, "order", None, (Hint(kind="order", key="R"), Hint(kind="despatches"))),
    ],
)  # fmt: skip
def test_what_a_push_points_at(body: str, kind: str, message: int | None, hints: tuple[Hint, ...]) -> None:
    notice = webhooks.recognise(body.encode())
    assert (notice.kind, notice.message, notice.hints) == (kind, message, hints)


def test_a_number_in_a_push_is_not_even_read() -> None:
    one, other = (
        webhooks.recognise(
            f'<inventory messageId="1"><product externalReference="A" available="{n}"/></inventory>'.encode()
        )
        for n in ("3", "nonsense")
    )
    assert one.hints == other.hints == sku("A")
    assert one.identity != other.identity


def test_a_push_that_comes_again_is_the_same() -> None:
    body = b'<inventory messageId="1"><product externalReference="A"/></inventory>'
    assert webhooks.recognise(body).identity == webhooks.recognise(bytes(bytearray(body))).identity


def test_too_many_products_are_all_of_them() -> None:
    many = "".join(f'<product externalReference="S{n}"/>' for n in range(webhooks.HINTS_MAX + 1))
    assert webhooks.recognise(f"<inventory>{many}</inventory>".encode()).hints == (Hint(kind="inventory"),)
    long = f'<inventory><product externalReference="{"x" * 121}"/></inventory>'
    assert webhooks.recognise(long.encode()).hints == (Hint(kind="inventory"),)
    order = f'<order externalReference="{"x" * 121}"/>'
    assert webhooks.recognise(order.encode()).hints == (Hint(kind="despatches"),)


@pytest.mark.parametrize(("number", "said"), [("15", "15"), ("", ""), ("<>", ""), ("9" * 19, ""), ("-1", "")])
def test_the_reply_names_the_message(number: str, said: str) -> None:
    body = f'<inventory messageId="{number.replace("<", "&lt;")}"/>'
    assert webhooks.recognise(body.encode()).reply == f"Success - Message {said} Received"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"<inventory", b"<weather/>", b"<event/>", b"<event><detail/></event>",
        b"<event><detail><weather/></detail></event>", b'<event entity="weather"/>',
        b'<!DOCTYPE inventory [<!ENTITY a "b">]><inventory/>', "<inventory/>".encode("utf-16"),
        b"<inventory>" + b" " * webhooks.BYTES_MAX + b"</inventory>", b"<a>" * 100, b"\xff\xfe<",
        b'<?xml version="1.0" encoding="utf-7"?><inventory/>',
    ],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
def test_what_is_no_push_is_refused(body: bytes) -> None:
    with pytest.raises(Garbled):
        webhooks.recognise(body)
