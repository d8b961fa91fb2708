"""The OrderFlow connector against the simulated tenant, which shares no code with it. Where the two disagree, the
vendor's description decides, and neither is bent to the other.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import msgspec
import pytest
from tests.sandbox.orderflow_tenant import START, Tenant, run

from sellable.config import settings as config
from sellable.connectors.orderflow import OrderFlow, Sites, webhooks
from sellable.connectors.orderflow.webhooks import Hint
from sellable.connectors.port import (
    LimitReached,
    Misconfigured,
    Refused,
    ReturnAdvice,
    ReturnLine,
    Sale,
    SaleCharge,
    SaleDraft,
    SaleLine,
    Unavailable,
    VendorError,
)
from sellable.domain.orders import Address
from sellable.domain.stock import State
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort

LOCATIONS = [
    config.Location(name="leeds", master="orderflow", remote="LEEDS"),
    config.Location(name="derby", master="orderflow", remote="DERBY"),
]
SETTINGS = config.OrderFlow(
    base_url="http://of.test/orderflow/test", user="shop", password="open sesame", channel="HOME",
    organisation="CRUNCHY", time_zone="UTC", insecure=True, tax_codes={"VAT 20 %": "T1"},
    states={"part_despatched": "despatched"},
)  # fmt: skip
Story = Callable[[Tenant, OrderFlow], Awaitable[None]]


def play(story: Story, *, settings: config.OrderFlow = SETTINGS, **switches: Any) -> Tenant:
    async def told(tenant: Tenant) -> None:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(tenant.sandbox.asgi)) as client:
            await story(tenant, OrderFlow(HttpPort(client, Clock(), None), None, settings, Sites(LOCATIONS)))

    return run(told, **switches)


def line(sku: str = "CHAIR", units: int = 2, total: str = "48.00", tax: str = "8.00", **more: Any) -> SaleLine:
    return SaleLine(
        sku=sku, name=f"{sku} & more", quantity=units, price=Decimal(0), tax=Decimal(tax), total=Decimal(total),
        tax_rule="VAT 20 %", **more,
    )  # fmt: skip


def draft(*lines: SaleLine, ref: str = "shop:o-1:1", **changes: Any) -> SaleDraft:
    made = SaleDraft(
        ref=ref, order_number="W-1", customer="", location="leeds", currency="GBP", tax_rule="VAT 20 %",
        tax_included=True, placed_on="2025-11-21", placed_at=datetime(2025, 11, 21, 4, 30, tzinfo=UTC),
        email="ann@customer.example", shipping_address=Address(
            name="Ann Ähnlich", line1="1 High St\nback door", city="Leeds", postcode="ZZ1", country="GB"
        ),
        billing_address=Address(name="Bob", line1="2 Low St", country="GB"), carrier="next_day", delivery="Next day",
        note="Order o-1\nsecond line", lines=lines or (line(),),
        charges=(
            SaleCharge(
                description="Shipping", quantity=1, price=Decimal(6), tax=Decimal("1.00"), total=Decimal("6.00"),
                tax_rule="VAT 20 %", kind="shipping",
            ),
        ),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


async def imported(client: OrderFlow, *drafts: SaleDraft) -> list[str]:
    return [each.outcome for each in await client.import_orders(drafts or [draft()], lane="orders")]


async def detail(client: OrderFlow, ref: str = "shop:o-1:1") -> Sale:
    sale = await client.order_detail(ref, lane="orders")
    assert sale is not None
    return sale


def units(sale: Sale) -> list[tuple[str, int, int, str | None]]:
    return [(each.sku, each.quantity, each.backorder, each.stage) for each in sale.lines]


# --- Orders ----------------------------------------------------------------------------------------------------------


def test_an_order_arrives_as_it_was_meant() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        assert await imported(client) == ["success"]
        (order,) = (await tenant.truth())["orders"]
        assert order["reference"] == "shop:o-1:1"
        wanted = {
            "validated": "true", "currency": "GBP", "placed": "2025-11-21 04:30:00",
            "totalPriceNet": "45.00", "totalPriceGross": "54.00", "totalTax": "9.00",
            "shippingPriceNet": "5.00", "shippingPriceGross": "6.00", "shippingTax": "1.00",
            "goodsPriceNet": "40.00", "goodsPriceGross": "48.00", "goodsTax": "8.00",
            "deliveryContactName": "Ann Ähnlich", "deliveryAddressLine1": "1 High St back door",
            "deliveryAddressLine2": "Leeds", "deliveryPostCode": "ZZ1", "deliveryCountryCode": "GB",
            "userDefined1": "W-1", "userDefined2": "Order o-1\nsecond line",
        }  # fmt: skip
        assert {name: order["fields"].get(name) for name in wanted} == wanted
        assert [(each["sku"], each["ordered"]) for each in order["lines"]] == [("CHAIR", 2)]

    play(story)


def test_a_second_import_is_a_duplicate_whose_content_can_be_compared() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        assert await imported(client) == ["success"]
        assert await imported(client, draft(line(units=3))) == ["duplicate"]
        assert units(await detail(client)) == [("CHAIR", 2, 0, "allocated")]
        assert len((await tenant.truth())["orders"]) == 1

    play(story)


def test_one_import_ends_in_three_ways() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client)
        strange = draft(line("UNICORN"), ref="shop:o-2:1")
        found = await client.import_orders([strange, draft(), draft(line("TABLE"), ref="shop:o-3:1")], lane="orders")
        assert [(each.ref, each.outcome) for each in found] == [
            ("shop:o-2:1", "failure"), ("shop:o-1:1", "duplicate"), ("shop:o-3:1", "success"),
        ]  # fmt: skip
        assert found[0].message == "Product not found"
        assert "UNICORN" in found[0].detail
        bundle = await client.import_orders([draft(line("DINING-SET"), ref="shop:o-4:1")], lane="orders")
        assert bundle[0].outcome == "failure"

    play(story)


def test_an_answer_that_leaves_the_order_out_is_unknown_until_it_is_looked_up() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await tenant.fault("lost_item", times=1)
        assert await imported(client) == ["unknown"]
        assert (await detail(client)).status == "authorised"

    play(story)


def test_what_is_short_is_on_backorder_until_it_is_there() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client, draft(line("CHAIR"), line("TABLE", 5)))
        assert units(await detail(client)) == [("CHAIR", 2, 0, "allocated"), ("TABLE", 5, 5, "waiting")]
        await tenant.act(adjust={"sku": "TABLE", "delta": 2})
        assert [(sku, short) for sku, _, short, _ in units(await detail(client))] == [("CHAIR", 0), ("TABLE", 0)]

    play(story)


def test_a_line_that_is_split_is_told_in_pieces() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client, draft(line("TABLE", 5)))
        assert units(await detail(client)) == [("TABLE", 3, 0, "allocated"), ("TABLE", 2, 2, "waiting")]

    play(story, split="units")


def test_what_the_view_of_an_allocation_proves_is_in_the_number() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        async def available() -> int:
            page = await client.inventory(["CHAIR"], site="leeds", lane="stock")
            return page.rows[0].available

        before = await available()
        await imported(client)
        assert units(await detail(client)) == [("CHAIR", 2, 2, "waiting")]
        assert await available() == before
        tenant.pass_time(60)
        assert units(await detail(client)) == [("CHAIR", 2, 0, "allocated")]
        assert await available() == before - 2

    play(story, allocation_lag_seconds=50)


def test_an_order_goes_its_way() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client)
        seen = []
        for state in ("released", "pickable", "packable", "packed", "despatched"):
            await tenant.act(advance={"order": "shop:o-1:1", "to": state})
            sale = await detail(client)
            seen.append((sale.status, sale.picked, sale.late, sale.faults))
        assert seen == [
            ("authorised", False, False, ()),
            ("authorised", False, False, ()),
            ("authorised", True, False, ()),
            ("authorised", True, True, ()),
            ("authorised", True, True, ()),
        ]

    play(story)


def test_the_tenants_own_names_of_states() -> None:
    names = {
        "shipment_states": {"ready": "Fresh In"},
        "order_states": {"created": "Welcome"},
        "line_states": {"allocated": "ours"},
    }

    async def strange(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client, draft(), draft(ref="shop:o-2:1"))
        sale = await detail(client)
        assert (sale.status, units(sale)) == ("other", [("CHAIR", 2, 2, "unknown")])
        assert len(sale.faults) == 2

    async def mapped(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client)
        assert units(await detail(client)) == [("CHAIR", 2, 0, "allocated")]
        assert (await detail(client)).faults == ()

    own = msgspec.structs.replace(SETTINGS, order_state="", shipment_state="")
    play(strange, settings=own, **names)
    play(
        mapped,
        settings=msgspec.structs.replace(
            own, states={"fresh in": "waiting", "welcome": "waiting", "OURS": "allocated"}
        ),
        **names,
    )


def test_there_is_no_such_order() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        assert await client.order_detail("shop:o-9:1", lane="orders") is None

    for dialect in ("exception", "error", "page", "status"):
        play(story, dialects={"*": "page", "not_found": dialect})


def test_cancelling_keeps_or_frees_the_reference() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        for ref, free in (("shop:o-1:1", False), ("shop:o-2:1", True)):
            await imported(client, draft(ref=ref))
            assert await client.cancel_order(ref, free_reference=free, lane="orders")
        kept = await detail(client)
        assert (kept.status, kept.stage) == ("voided", "cancelled")
        assert not await client.cancel_order("shop:o-1:1", free_reference=False, lane="orders")
        assert await client.order_detail("shop:o-2:1", lane="orders") is None
        assert await imported(client, draft(line(units=1)), draft(line(units=1), ref="shop:o-2:1")) == [
            "duplicate",
            "success",
        ]
        assert units(await detail(client, "shop:o-2:1")) == [("CHAIR", 1, 0, "allocated")]

    play(story)


def test_a_cancellation_that_comes_too_late() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client)
        await tenant.act(advance={"order": "shop:o-1:1", "to": "packed"})
        assert not await client.cancel_order("shop:o-1:1", free_reference=False, lane="orders")
        assert (await detail(client)).late

    play(story)


# --- Stock, despatches, returns --------------------------------------------------------------------------------------


def test_inventory_by_location() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client)
        page = await client.inventory(None, site="leeds", lane="stock")
        told = {row.sku: (row.location, row.total, row.allocated, row.available, row.frozen) for row in page.rows}
        assert told == {"CHAIR": ("leeds", 12, 2, 8, 2), "TABLE": ("leeds", 3, 0, 3, 0)}
        assert (page.received, page.faults, page.warnings) == (2, (), ())
        parts = {row.part: (row.state, row.available) for row in page.rows[0].stock}
        assert parts[""] == (State.AVAILABLE, 8)
        assert parts["frozen"] == (State.QUARANTINE, 2)
        derby = await client.inventory(["CHAIR", "TABLE", "UNICORN"], site="derby", lane="stock")
        assert [(row.sku, row.available) for row in derby.rows] == [("CHAIR", 5)]
        assert derby.absent == ("TABLE", "UNICORN")

    play(story)


def test_inventory_of_several_sites_at_once_where_the_tenant_gives_it() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        page = await client.inventory(["CHAIR"], site=None, lane="stock")
        assert {(row.location, row.available) for row in page.rows} == {("leeds", 10), ("derby", 5)}

    async def refused(tenant: Tenant, client: OrderFlow) -> None:
        with pytest.raises(VendorError):
            await client.inventory(["CHAIR"], site=None, lane="stock")

    play(story, site_missing="all")
    play(refused)


@pytest.mark.parametrize("effect", ["missing_row", "sku_case", "fractional_quantity", "huge_number"])
def test_a_spoilt_row_is_unknown_and_never_a_zero(effect: str) -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await tenant.fault(effect)
        page = await client.inventory(["CHAIR", "TABLE"], site="leeds", lane="stock")
        good = {row.sku for row in page.rows}
        assert len(good) == 1
        lost = {"CHAIR", "TABLE"} - good
        assert lost == set(page.absent) | {sku for sku, _ in page.unreadable}
        assert bool(page.faults) is (effect in ("fractional_quantity", "huge_number"))

    play(story)


def test_frozen_as_a_word() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        page = await client.inventory(None, site="leeds", lane="stock")
        assert {row.sku: (row.available, row.frozen) for row in page.rows} == {"CHAIR": (10, None), "TABLE": (3, 0)}
        assert page.faults == ()

    play(story, frozen_as="bool")


def test_what_left_is_told_once_for_each_shipment_on_the_servers_clock() -> None:
    zone = ZoneInfo("Pacific/Auckland")
    settings = msgspec.structs.replace(SETTINGS, time_zone="Pacific/Auckland")

    async def story(tenant: Tenant, client: OrderFlow) -> None:
        began = datetime.fromtimestamp(START, UTC)
        await imported(client, draft(line("CHAIR"), line("TABLE", 5)))
        await tenant.act(advance={"order": "shop:o-1:1", "to": "despatched"})
        page = await client.despatches(began - timedelta(minutes=1), began + timedelta(minutes=1), lane="reads")
        (despatch,) = page.despatches
        assert (despatch.order_ref, despatch.shipment.items, page.faults) == ("shop:o-1:1", (("CHAIR", 2),), ())
        assert despatch.completed == began
        (parcel,) = despatch.shipment.parcels
        assert (parcel.items, parcel.tracking) == ((("CHAIR", 2),), despatch.tracking)
        assert parcel.tracking
        assert parcel.shipped_on == began.astimezone(zone).date().isoformat()
        sale = await detail(client)
        assert (sale.status, sale.stage, sale.late) == ("authorised", "waiting", True)
        later = await client.despatches(began + timedelta(minutes=1), began + timedelta(minutes=9), lane="reads")
        assert later.despatches == ()
        await tenant.act(adjust={"sku": "TABLE", "delta": 2})
        tenant.pass_time(120)
        await tenant.act(advance={"order": "shop:o-1:1", "to": "despatched"})
        whole = await client.despatches(began - timedelta(minutes=1), began + timedelta(minutes=9), lane="reads")
        assert [(each.order_ref, each.shipment.items) for each in whole.despatches] == [
            ("shop:o-1:1", (("CHAIR", 2),)), ("shop:o-1:1", (("TABLE", 5),)),
        ]  # fmt: skip
        assert len({each.shipment.shipment_id for each in whole.despatches}) == 2

    play(story, settings=settings, split="lines", zone="Pacific/Auckland")


def test_a_return_is_announced_and_reported() -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await imported(client)
        await tenant.act(advance={"order": "shop:o-1:1", "to": "despatched"})
        mine = ReturnAdvice(
            ref="shop:rma-1", order_ref="shop:o-1:1", location="leeds", type="unknown", note="Ann Ähnlich rang",
            lines=(ReturnLine(sku="CHAIR", quantity=1, reason="C - Wrong size", condition="As new"),),
        )  # fmt: skip
        bad = msgspec.structs.replace(mine, ref="shop:rma-2", type="boredom")
        found = await client.import_returns([mine, bad], lane="orders")
        assert [(each.ref, each.outcome) for each in found] == [("shop:rma-1", "success"), ("shop:rma-2", "failure")]
        assert [each.outcome for each in await client.import_returns([mine], lane="orders")] == ["duplicate"]
        began = datetime.fromtimestamp(START, UTC)
        window = began - timedelta(minutes=1), began + timedelta(minutes=1)
        assert (await client.returns(*window, lane="reads")).rows == ()
        await tenant.act(
            book_return={
                "authorisation": "shop:rma-1",
                "lines": [{"sku": "CHAIR", "quantity": 1, "reason": "C - Wrong size", "condition": "As new"}],
            }
        )
        (row,) = (await client.returns(*window, lane="reads")).rows
        assert (row.order_ref, row.sku, row.quantity, row.authorisation) == ("shop:o-1:1", "CHAIR", 1, "shop:rma-1")
        assert (row.authorised, row.condition, row.completed_at) == (True, "As new", began)

    play(story)


# --- The door --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "scope"), [("basic", "header"), ("basic", "query"), ("headers", "header"), ("headers", "query")]
)
def test_the_ways_to_sign_in_and_to_name_the_channel(auth: Any, scope: Any) -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        assert await imported(client) == ["success"]
        assert (await client.inventory(["CHAIR"], site="leeds", lane="stock")).rows

    play(story, settings=msgspec.structs.replace(SETTINGS, auth=auth, scope=scope))


@pytest.mark.parametrize(
    ("change", "family"),
    [
        ({"password": "wrong"}, Misconfigured),
        ({"base_url": "http://of.test/orderflow/elsewhere"}, Misconfigured),
        ({"channel": "MARS", "organisation": "MARS"}, VendorError),
        ({"return_report": "no_such_report"}, VendorError),
    ],
)
def test_settings_that_are_wrong_are_told(change: dict[str, str], family: type[VendorError]) -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        began = datetime.fromtimestamp(START, UTC)
        with pytest.raises(family):
            await client.returns(began, began, lane="reads")

    play(story, settings=msgspec.structs.replace(SETTINGS, **change))


@pytest.mark.parametrize(
    ("fault", "family"),
    [
        ({"effect": "error_page", "body": "Lock wait timeout"}, Unavailable),
        ({"effect": "exception"}, Unavailable),
        ({"effect": "error_root"}, Refused),
        ({"effect": "status", "status": 503}, Unavailable),
        ({"effect": "status", "status": 401}, Misconfigured),
        ({"effect": "status", "status": 429}, LimitReached),
    ],
)
def test_the_vendors_dialects_of_no(fault: dict[str, Any], family: type[VendorError]) -> None:
    async def story(tenant: Tenant, client: OrderFlow) -> None:
        await tenant.fault(**fault)
        with pytest.raises(family) as error:
            await client.inventory(["CHAIR"], site="leeds", lane="stock")
        assert type(error.value) is family
        with pytest.raises(VendorError) as error:
            await client.import_orders([draft()], lane="orders")
        assert "High St" not in str(error.value) + str(error.value.detail)

    play(story)


# --- Pushes ----------------------------------------------------------------------------------------------------------

HOOK = "http://receiver.test/webhooks/orderflow/token"
HOOKED = msgspec.structs.replace(SETTINGS, webhook=config.Webhook(path_token="token", secret="s3cret"))


def test_every_push_is_understood_and_answered() -> None:
    told: dict[str, set[Hint]] = {}

    async def story(tenant: Tenant, client: OrderFlow) -> None:
        async def receive(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
            assert webhooks.verify(url.rpartition("/")[2], headers, HOOKED)
            notice = webhooks.recognise(body)
            told.setdefault(notice.kind, set()).update(notice.hints)
            return 200, notice.reply.encode()

        tenant.sandbox.vendor.pushes.outbound.post = receive
        secret = "Basic " + base64.b64encode(b"of:s3cret").decode()
        await tenant.act(receivers={"*": HOOK, "headers": {"authorization": secret}})
        await imported(client)
        await tenant.act(advance={"order": "shop:o-1:1", "to": "despatched"})
        back = {"sku": "CHAIR", "quantity": 1, "condition": "As new", "reason": "H - Other"}
        await tenant.act(book_return={"order": "shop:o-1:1", "lines": [back]})
        await tenant.act(receive={"lines": [{"sku": "TABLE", "quantity": 2}]})
        await tenant.deliver(30)
        await tenant.deliver(30)
        assert tenant.sandbox.vendor.pushes.waiting == {}

    play(story, push_success="^Success - Message [0-9]+ Received$")
    assert Hint(kind="sku", key="CHAIR") in told["inventory"] & told["stock"]
    assert {Hint(kind="order", key="shop:o-1:1"), Hint(kind="despatches")} <= told["order"]
    assert Hint(kind="returns") in told["return"]
    assert Hint(kind="sku", key="TABLE") in told["delivery"]
