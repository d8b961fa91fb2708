"""What happens by itself: the warehouse staff and the webhooks."""

import asyncio
import base64
import json

import httpx2
from cin7_company import HEADERS, SEED, Company, run

from sellable.sandbox.cin7 import build
from sellable.sandbox.clock import Clock

WAREHOUSE = {"auto": True, "pick_after_seconds": 600, "ship_after_seconds": 900, "carrier": "DHL"}
HOOK = {"Type": "Sale/OrderAuthorised", "ExternalURL": "http://hooks.test/x", "ExternalAuthorizationType": "bearerauth"}


def test_the_staff_pick_pack_and_ship_after_a_while() -> None:
    async def story(company: Company) -> None:
        await company.act(warehouse=WAREHOUSE | {"locations": ["Berlin"]})
        sale = (await company.order({"CHAIR": 2}))["SaleID"]
        elsewhere = (await company.order({"CHAIR": 2}, Location="Hamburg"))["SaleID"]
        company.pass_time(601)
        assert (await company.get("sale", ID=sale))["CombinedPickingStatus"] == "PICKED"
        company.pass_time(901)
        document = await company.get("sale", ID=sale)
        assert document["CombinedShippingStatus"] == "SHIPPED"
        parcel = document["Fulfilments"][0]["Ship"]["Lines"][0]
        assert (parcel["TrackingNumber"], parcel["Carrier"], parcel["IsShipped"]) == ("TRACK0000001", "DHL", True)
        assert await company.levels("CHAIR") == (8, 0, 8)
        assert (await company.get("sale", ID=elsewhere))["CombinedShippingStatus"] == "NOT SHIPPED"

    run(story)


def test_split_sales_leave_in_parts_and_end_complete() -> None:
    async def story(company: Company) -> None:
        await company.act(warehouse=WAREHOUSE | {"split_rate": 1})
        sales = [(await company.order({"CHAIR": 2}))["SaleID"] for _ in range(4)]
        for _ in range(12):
            company.pass_time(901)
            await company.get("me")
        documents = [await company.get("sale", ID=sale) for sale in sales]
        assert {document["CombinedShippingStatus"] for document in documents} == {"SHIPPED"}
        parcels = [[len(task["Ship"]["Lines"]) for task in document["Fulfilments"]] for document in documents]
        assert all(sum(counts) == 2 for counts in parcels)
        assert {len(counts) for counts in parcels} == {1, 2}
        assert await company.levels("CHAIR") == (2, 0, 2)

    run(story)


def test_a_backordered_sale_waits_and_a_voided_one_is_left_alone() -> None:
    async def story(company: Company) -> None:
        await company.act(warehouse=WAREHOUSE)
        waiting = (await company.order({"TABLE": 3}))["SaleID"]
        voided = (await company.order({"CHAIR": 3}))["SaleID"]
        await company.act(staff={"void": voided})
        company.pass_time(5000)
        await company.get("me")
        company.pass_time(5000)
        assert (await company.get("sale", ID=waiting))["CombinedPickingStatus"] == "NOT PICKED"
        await company.act(receive={"sku": "TABLE", "location": "Berlin", "quantity": 1})
        company.pass_time(601)
        await company.get("me")
        company.pass_time(901)
        assert (await company.get("sale", ID=waiting))["CombinedShippingStatus"] == "SHIPPED"
        assert await company.levels("CHAIR") == (10, 0, 10)

    run(story)


def test_a_sale_undone_while_it_is_picked_ships_after_it_is_authorised_again() -> None:
    async def story(company: Company) -> None:
        await company.act(warehouse=WAREHOUSE)
        sale = (await company.order({"CHAIR": 3}))["SaleID"]
        company.pass_time(601)
        await company.act(staff={"relocate": sale, "location": "Hamburg"})
        for _ in range(4):
            company.pass_time(901)
            await company.get("me")
        document = await company.get("sale", ID=sale)
        assert (document["Location"], document["CombinedShippingStatus"]) == ("Hamburg", "SHIPPED")
        assert await company.levels("CHAIR") == (10, 0, 10)
        assert await company.levels("CHAIR", "Hamburg") == (5, 0, 5)

    run(story)


class Receiver:
    """What the hooks' owner saw: (url, headers, body), answered with `status`."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.seen = status, []

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.seen.append((url, headers, json.loads(body)))
        return self.status, b""


async def settle(company: Company, seconds: float) -> None:
    company.pass_time(seconds)
    await company.get("me")
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_a_hook_comes_a_minute_later_with_its_header() -> None:
    receiver = Receiver()

    async def story(company: Company) -> None:
        await company.post("webhooks", **HOOK, ExternalBearerToken="s3cret")
        sale = (await company.order({"CHAIR": 1}))["SaleID"]
        await settle(company, 59)
        assert receiver.seen == []
        await settle(company, 2)
        url, headers, body = receiver.seen[0]
        assert (url, headers["Authorization"]) == ("http://hooks.test/x", "Bearer s3cret")
        assert body == {
            "EventType": "Sale/OrderAuthorised",
            "SaleID": sale.upper(),
            "SaleOrderNumber": "SO-00001",
        }
        await settle(company, 5000)
        assert len(receiver.seen) == 1

    run(story, post=receiver.post)


def test_a_hook_gives_up_after_six_attempts_without_a_word() -> None:
    receiver = Receiver(status=500)

    async def story(company: Company) -> None:
        hook = (await company.post("webhooks", **HOOK))["Webhooks"][0]["ID"]
        await company.order({"CHAIR": 1})
        for minutes in (1, 5, 10, 15, 20):
            await settle(company, minutes * 60 + 1)
        assert (await company.get("webhooks"))["Webhooks"][0]["IsActive"] is True
        await settle(company, 25 * 60 + 1)
        assert len(receiver.seen) == 6
        assert (await company.get("webhooks"))["Webhooks"][0]["IsActive"] is False
        await company.order({"CHAIR": 1})
        await settle(company, 61)
        assert len(receiver.seen) == 6
        assert (await company.put("webhooks", ID=hook, IsActive=True))["Webhooks"][0]["IsActive"] is True

    company = run(story, post=receiver.post)
    assert [row["attempt"] for row in company.journal("webhook")] == [1, 2, 3, 4, 5, 6]
    assert len(company.journal("webhook_inactive")) == 1


def test_the_payloads_odd_keys() -> None:
    receiver = Receiver()

    async def story(company: Company) -> None:
        for kind in ("Sale/ShipmentAuthorised", "Sale/PickAuthorised", "Stock/AvailableStockLevelChanged"):
            await company.post(
                "webhooks",
                Type=kind,
                ExternalURL="http://hooks.test/x",
                ExternalAuthorizationType="basicauth",
                ExternalUserName="u",
                ExternalPassword="p",
            )
        await company.act(warehouse=WAREHOUSE)
        sale = (await company.order({"CHAIR": 1}))["SaleID"]
        for seconds in (61, 601, 61, 901, 61):
            await settle(company, seconds)
        bodies = [body for _, _, body in receiver.seen]
        stock, pick, shipped_stock, ship = bodies
        assert [(row["SKU"], row["Bin"], row["Available"]) for row in stock] == [
            ("CHAIR", "A1", 5),
            ("CHAIR", "A2", 4),
            ("CHAIR", None, 8),
        ]
        assert [row["OnHand"] for row in shipped_stock] == [5, 4, 8]
        assert "InTransit" not in stock[0]
        assert "MaxRows" in stock[0]
        assert (pick["SaleID"], pick["TaskID"]) == (sale.upper(), sale.upper())
        assert (ship["SaleTaskID"], ship["OrderNumber"]) == (sale.upper(), "SO-00001")
        assert "SaleID" not in ship
        assert receiver.seen[0][1]["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()

    run(story, post=receiver.post)


def test_money_and_catalogue_hooks() -> None:
    receiver = Receiver()

    async def story(company: Company) -> None:
        for kind in ("Sale/InvoiceAuthorised", "Sale/PartialPaymentReceived", "Product/Updated"):
            await company.post("webhooks", **HOOK | {"Type": kind})
        sale = (await company.order({"CHAIR": 2}))["SaleID"]
        invoice = (await company.post("sale/invoice", SaleID=sale, Status="AUTHORISED"))["Invoices"][0]
        await company.post("sale/payment", TaskID=sale, Type="PAYMENT", Amount=11.9)
        await company.act(product={"sku": "CHAIR", "price": "31.00"})
        await settle(company, 61)
        bill, payment, product = (body for _, _, body in receiver.seen)
        assert (bill["SaleTaskID"], bill["InvoiceNumber"]) == (invoice["TaskID"].upper(), "INV-00001")
        assert (payment["DocumentDate"], payment["AmountPercent"]) == ("21/11/2025", "50")
        assert (product["NumberOfProducts"], product["ProductDetailsList"][0]["SKU"]) == (1, "CHAIR")

    run(story, post=receiver.post)


def test_five_active_hooks_of_a_type() -> None:
    async def story(company: Company) -> None:
        hooks = [(await company.post("webhooks", **HOOK))["Webhooks"][0]["ID"] for _ in range(5)]
        assert (await company.call("POST", "webhooks", HOOK)).status_code == 400
        await company.post("webhooks", **HOOK, IsActive=False)
        await company.call("DELETE", "webhooks", ID=hooks[0])
        await company.post("webhooks", **HOOK)
        assert (await company.call("POST", "webhooks", HOOK | {"Type": "Sale/Danced"})).status_code == 400

    run(story)


def test_work_goes_on_without_calls_on_a_fast_clock() -> None:
    delivered = asyncio.Event()

    async def post(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        delivered.set()
        return 200, b""

    async def play() -> None:
        sandbox = build(Clock.parse("speed=6000"), 1, post=post)
        sandbox.load(SEED)
        transport = httpx2.ASGITransport(sandbox.asgi)
        async with httpx2.AsyncClient(transport=transport, base_url="http://cin7.test", headers=HEADERS) as http:
            hook = HOOK | {"Type": "Sale/Created"}
            assert (await http.post("/ExternalApi/v2/webhooks", json=hook)).status_code == 200
            header = {"Customer": "Web EUR", "Location": "Berlin"}
            assert (await http.post("/ExternalApi/v2/sale", json=header)).status_code == 200
            await asyncio.wait_for(delivered.wait(), 5)
        await sandbox.vendor.stop()

    asyncio.run(play())
