"""Stock documents, the world outside, fulfilment, bills and returns."""

import pytest
from cin7_company import Company, line, run


def test_adjustments_are_absolute_values() -> None:
    async def story(company: Company) -> None:
        await company.order({"CHAIR": 3})
        lines = [{"SKU": "CHAIR", "Location": "Berlin: A1", "Quantity": 5, "UnitCost": 12}]
        draft = await company.post("stockadjustment", Status="DRAFT", UpdateOnHand=True, Lines=lines)
        assert await company.levels("CHAIR") == (10, 3, 7)
        assert draft["ExistingStockLines"][0]["Adjustment"] == -1
        await company.put("stockadjustment", TaskID=draft["TaskID"], Status="COMPLETED", UpdateOnHand=True, Lines=lines)
        assert await company.levels("CHAIR") == (9, 3, 6)
        lines = [{"SKU": "CHAIR", "Location": "Hamburg", "Quantity": 1}]
        await company.order({"CHAIR": 2}, Location="Hamburg")
        await company.post("stockadjustment", Status="COMPLETED", Lines=lines)
        assert await company.levels("CHAIR", "Hamburg") == (3, 2, 1)
        assert (await company.get("stockadjustmentList", Status="COMPLETED"))["Total"] == 2

    run(story)


def test_goods_in_transit_are_usable_nowhere() -> None:
    async def story(company: Company) -> None:
        body = {"From": "Berlin: A2", "To": "Hamburg", "Lines": [{"SKU": "CHAIR", "TransferQuantity": 4}]}
        refused = await company.call("POST", "stockTransfer", body | {"Status": "IN TRANSIT"})
        assert refused.status_code == 400
        draft = await company.post("stockTransfer", **body, Status="DRAFT")
        assert await company.levels("CHAIR") == (10, 0, 10)
        step = {"TaskID": draft["TaskID"], "InTransitAccount": "635", "DepartureDate": "2025-11-21"}
        await company.put("stockTransfer", **step, Status="IN TRANSIT")
        assert await company.levels("CHAIR") == (6, 0, 6)
        assert await company.levels("CHAIR", "Hamburg") == (8, 0, 8)
        rows = (await company.get("stockTransferList", Status="IN TRANSIT"))["StockTransferList"]
        assert [(row["FromLocation"], row["ToLocation"]) for row in rows] == [("Berlin: A2", "Hamburg")]
        await company.put("stockTransfer", TaskID=draft["TaskID"], Status="COMPLETED")
        assert await company.levels("CHAIR", "Hamburg") == (12, 0, 12)
        again = await company.call("PUT", "stockTransfer", {"TaskID": draft["TaskID"], "Status": "COMPLETED"})
        assert again.status_code == 400
        too_many = body | {"Status": "COMPLETED", "From": "Berlin"}
        assert (
            await company.call("POST", "stockTransfer", too_many | {"Lines": [{"SKU": "CHAIR", "TransferQuantity": 7}]})
        ).status_code == 400
        twice = [{"SKU": "CHAIR", "TransferQuantity": 1}] * 2
        assert (await company.call("POST", "stockTransfer", too_many | {"Lines": twice})).status_code == 400
        assert await company.levels("CHAIR") == (6, 0, 6)

    company = run(story)
    causes = [(row["cause"], row["location"], row["delta"]) for row in company.journal("stock")]
    assert causes == [("transfer_out", "Berlin", -4), ("transfer_in", "Hamburg", 4)]


def test_allocated_goods_can_leave_and_available_turns_negative() -> None:
    async def story(company: Company) -> None:
        await company.order({"TABLE": 2})
        moved = await company.act(
            transfer={"sku": "TABLE", "from": "Berlin", "to": "Hamburg", "quantity": 2, "seconds": 600}
        )
        assert moved["number"] == "TR-00001"
        assert await company.levels("TABLE") == (0, 2, -2)
        assert await company.levels("TABLE", "Hamburg") == (0, 0, 0)
        company.pass_time(601)
        assert await company.levels("TABLE", "Hamburg") == (2, 0, 2)

    run(story)


def test_counter_sales_take_only_what_is_there() -> None:
    async def story(company: Company) -> None:
        await company.order({"CHAIR": 8}, Location="Hamburg")
        sold = await company.act(sell_at_counter={"sku": "CHAIR", "location": "Hamburg", "quantity": 9})
        assert sold == {"quantity": 8}
        assert await company.levels("CHAIR", "Hamburg") == (0, 8, -8)
        await company.act(adjust={"sku": "CHAIR", "location": "Berlin", "bin": "A1", "delta": -1})
        await company.act(**{"return": {"sku": "CHAIR", "location": "Berlin", "bin": "DOCK", "quantity": 2}})
        rows = await company.get("ref/productavailability", Sku="CHAIR", Location="Berlin")
        assert [(row["Bin"], row["OnHand"], row["Available"]) for row in rows["ProductAvailabilityList"]] == [
            ("A1", 5, 5),
            ("A2", 4, 4),
            ("DOCK", 2, 0),
        ]

    company = run(story)
    facts = [(row["cause"], row["delta"], row["on_hand_delta"]) for row in company.journal("stock")]
    assert facts[1:] == [("counter_sale", -8, -8), ("adjust", -1, -1), ("return", 0, 2)]


@pytest.mark.parametrize(
    "action",
    [
        {"dance": {}},
        {"adjust": {"sku": "CHAIR", "location": "Nowhere", "delta": 1}},
        {"adjust": {"sku": "chair", "location": "Berlin", "delta": 1}},
        {"adjust": {"sku": "CHAIR", "location": "Berlin", "delta": 0.5}},
        {"receive": {"sku": "DINING-SET", "location": "Berlin", "quantity": 1}},
        {"switch": {"no_such": 1}},
        {"warehouse": {"no_such": 1}},
    ],
)
def test_impossible_deeds_are_told(action: dict[str, object]) -> None:
    async def story(company: Company) -> None:
        assert (await company.http.post("/_sandbox/act", json=action)).status_code == 400

    run(story)


def test_a_renamed_product_keeps_its_stock() -> None:
    async def story(company: Company) -> None:
        await company.act(product={"sku": "CHAIR", "rename": "STOOL"})
        assert await company.levels("STOOL") == (10, 0, 10)
        assert (await company.get("product", Sku="CHAIR"))["Products"][0]["SKU"] == "CHAIR-RED"
        await company.order({"STOOL": 1})
        assert await company.levels("STOOL") == (10, 1, 9)

    run(story)


def test_open_purchases_show_until_received() -> None:
    async def story(company: Company) -> None:
        await company.act(on_order={"sku": "TABLE", "location": "Hamburg", "quantity": 5, "eta": "2025-12-01T00:00:00"})
        rows = await company.get("ref/productavailability", Sku="TABLE", Location="Hamburg")
        row = rows["ProductAvailabilityList"][0]
        assert (row["OnHand"], row["OnOrder"], row["InTransit"]) == (0, 5, 5)
        assert row["NextDeliveryDate"] == "2025-12-01T00:00:00"
        await company.act(receive={"sku": "TABLE", "location": "Hamburg", "quantity": 5})
        rows = await company.get("ref/productavailability", Sku="TABLE", Location="Hamburg")
        assert [(r["OnHand"], r["OnOrder"]) for r in rows["ProductAvailabilityList"]] == [(5, 0)]

    run(story)


def test_pick_pack_ship_of_a_simple_sale() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"CHAIR": 3, "TABLE": 1}, ExternalID="ref"))["SaleID"]
        tasks = (await company.get("sale/fulfilment", SaleID=sale))["Fulfilments"]
        assert [task["TaskID"] for task in tasks] == [sale]
        await company.post("sale/fulfilment/pick", TaskID=sale, AutoPickMode="AUTOPICK")
        assert (await company.get("sale", ID=sale))["Status"] == "PICKED"
        boxes = [{"SKU": "CHAIR", "Quantity": 3, "Box": "B1"}, {"SKU": "TABLE", "Quantity": 1, "Box": "B2"}]
        await company.post("sale/fulfilment/pack", TaskID=sale, Status="AUTHORISED", Lines=boxes)
        parcel = {"Carrier": "DHL", "Box": "B1", "TrackingNumber": "T1", "IsShipped": True}
        task = await company.post("sale/fulfilment/ship", TaskID=sale, Status="AUTHORISED", Lines=[parcel])
        assert task["Ship"]["Status"] == "PARTIALLY AUTHORISED"
        assert await company.levels("CHAIR") == (7, 0, 7)
        assert await company.levels("TABLE") == (2, 1, 1)
        refused = await company.call("DELETE", "sale", ID=sale, Void="true")
        assert refused.status_code == 400
        parcel = {"Carrier": "DHL", "Box": "B2", "TrackingNumber": ""}
        task = await company.post("sale/fulfilment/ship", TaskID=sale, Status="AUTHORISED", Lines=[parcel])
        assert (task["Ship"]["Status"], task["FulFilmentStatus"]) == ("AUTHORISED", "FULFILLED")
        changed = [{"ID": task["Ship"]["Lines"][1]["ID"], "TrackingNumber": "T2"}]
        await company.put("sale/fulfilment/ship", TaskID=sale, AddTrackingNumbers=True, Lines=changed)
        document = await company.get("sale", ID=sale)
        assert document["CombinedShippingStatus"] == "SHIPPED"
        assert document["CombinedTrackingNumbers"] == "T1,T2"
        assert document["Status"] == "SHIPPING"
        assert "SKU" not in task["Ship"]["Lines"][0]

    company = run(story)
    shipped = [(row["external_id"], row["lines"]) for row in company.journal("shipped")]
    assert shipped == [
        ("ref", [{"sku": "CHAIR", "quantity": 3}]),
        ("ref", [{"sku": "TABLE", "quantity": 1}]),
    ]
    assert [row["delta"] for row in company.journal("stock") if row["cause"] == "ship"] == [0, 0]


def test_several_fulfilments_of_an_advanced_sale() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"CHAIR": 5}, SaleType="Advanced"))["SaleID"]
        first = (await company.post("sale/fulfilment", SaleID=sale))["Fulfilments"][0]["TaskID"]
        assert first != sale
        assert (await company.call("POST", "sale/fulfilment", {"SaleID": sale})).status_code == 400
        too_many = {"TaskID": first, "Status": "AUTHORISED", "Lines": [{"SKU": "CHAIR", "Quantity": 6}]}
        assert (await company.call("POST", "sale/fulfilment/pick", too_many)).status_code == 400
        await company.post(
            "sale/fulfilment/pick", TaskID=first, Status="AUTHORISED", Lines=[{"SKU": "CHAIR", "Quantity": 2}]
        )
        await company.post("sale/fulfilment/pack", TaskID=first, AutoPackMode="AUTOPACK")
        await company.post("sale/fulfilment/ship", TaskID=first, Status="AUTHORISED", Lines=[{"Box": "Box 1"}])
        rows = (await company.get("saleList", CombinedShippingStatus="PARTIALLY SHIPPED"))["SaleList"]
        assert [(row["SaleID"], row["Status"]) for row in rows] == [(sale, "ORDERED")]
        second = (await company.post("sale/fulfilment", SaleID=sale))["Fulfilments"][1]["TaskID"]
        task = await company.post("sale/fulfilment/pick", TaskID=second, AutoPickMode="AUTOPICK")
        assert [row["Quantity"] for row in task["Pick"]["Lines"]] == [3]

    run(story)


def test_auto_modes_do_it_at_once() -> None:
    async def story(company: Company) -> None:
        sale = await company.header()
        await company.post(
            "sale/order",
            SaleID=sale,
            Status="AUTHORISED",
            AutoPickPackShipMode="AUTOPICKPACKSHIP",
            Lines=[line("DINING-SET", 1)],
        )
        assert (await company.get("sale", ID=sale))["CombinedShippingStatus"] == "SHIPPED"
        assert await company.levels("CHAIR") == (6, 0, 6)
        assert await company.levels("TABLE") == (1, 0, 1)

    run(story)


def test_a_short_shelf_gives_whole_kits_only_and_each_component_once() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"DINING-SET": 2, "CHAIR": 2}))["SaleID"]
        assert await company.levels("CHAIR") == (10, 10, 0)
        await company.act(sell_at_counter={"sku": "CHAIR", "location": "Berlin", "quantity": 5})
        task = await company.post("sale/fulfilment/pick", TaskID=sale, AutoPickMode="AUTOPICK")
        picked = {row["SKU"]: row["Quantity"] for row in task["Pick"]["Lines"]}
        assert picked == {"DINING-SET": 1, "CHAIR": 1}

    run(story)


def test_stock_may_leave_at_the_pick_and_come_back_by_undo() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"CHAIR": 3}))["SaleID"]
        await company.post("sale/fulfilment/pick", TaskID=sale, AutoPickMode="AUTOPICK")
        assert await company.levels("CHAIR") == (7, 0, 7)
        await company.call("DELETE", "sale", ID=sale)
        assert await company.levels("CHAIR") == (10, 0, 10)

    run(story, stock_leaves_at="pick")


def test_picked_goods_are_out_of_reach() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"TABLE": 2}))["SaleID"]
        await company.post("sale/fulfilment/pick", TaskID=sale, AutoPickMode="AUTOPICK")
        sold = await company.act(sell_at_counter={"sku": "TABLE", "location": "Berlin", "quantity": 1})
        assert sold == {"quantity": 0}
        await company.call("DELETE", "sale", ID=sale, Void="true")
        sold = await company.act(sell_at_counter={"sku": "TABLE", "location": "Berlin", "quantity": 1})
        assert sold == {"quantity": 1}

    run(story)


def test_invoice_payment_and_credit_note_with_restock() -> None:
    async def story(company: Company) -> None:
        sale = await company.header()
        await company.post(
            "sale/order",
            SaleID=sale,
            Status="AUTHORISED",
            AutoPickPackShipMode="AUTOPICKPACKSHIP",
            Lines=[line("CHAIR", 2)],
        )
        early = await company.call("POST", "sale/payment", {"TaskID": sale, "Type": "PAYMENT", "Amount": 23.8})
        assert early.status_code == 400
        bills = await company.post("sale/invoice", SaleID=sale, Status="AUTHORISED")
        assert [(bill["InvoiceNumber"], bill["Total"]) for bill in bills["Invoices"]] == [("INV-00001", 23.8)]
        await company.post("sale/payment", TaskID=sale, Type="PAYMENT", Amount=23.8, Reference="PSP")
        assert (await company.get("sale/payment", SaleID=sale))[0]["Type"] == "Payment"
        row = (await company.get("saleList"))["SaleList"][0]
        assert (row["Status"], row["InvoiceAmount"], row["CombinedPaymentStatus"]) == ("COMPLETED", 23.8, "PAID")
        note = await company.post(
            "sale/creditnote",
            SaleID=sale,
            CreditNoteInvoiceNumber="INV-00001",
            Status="AUTHORISED",
            Lines=[line("CHAIR", 1)],
            Restock=[{"SKU": "CHAIR", "Location": "Berlin: DOCK", "Quantity": 1}],
        )
        assert note["CreditNotes"][0]["Total"] == 11.9
        assert await company.levels("CHAIR") == (9, 0, 8)
        assert (await company.get("saleList"))["SaleList"][0]["InvoiceAmount"] == 11.9

    company = run(story)
    assert [(row["cause"], row["delta"]) for row in company.journal("stock")][-1] == ("restock", 0)
