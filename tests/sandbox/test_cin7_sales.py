"""Sales: the two- and three-call forms, validation, totals, allocation, backorders, void and undo."""

import pytest
from cin7_company import Company, line, run


def test_a_header_touches_no_stock_and_is_found_by_external_id() -> None:
    async def story(company: Company) -> None:
        sale = await company.header(ExternalID="shop:o-1:0", CustomerReference="1001")
        assert await company.levels("CHAIR") == (10, 0, 10)
        found = (await company.get("saleList", ExternalID="shop:o-1:0"))["SaleList"]
        assert [(row["SaleID"], row["OrderStatus"], row["Status"]) for row in found] == [
            (sale, "NOT AVAILABLE", "DRAFT")
        ]
        assert (await company.get("saleList", ExternalID="shop:o-1"))["Total"] == 0
        assert (await company.get("saleList", Search="100"))["Total"] == 1
        assert (await company.get("saleList", Search="shop:o-1"))["Total"] == 0

    run(story)


def test_two_calls_allocate_at_the_sales_location() -> None:
    async def story(company: Company) -> None:
        order = await company.order({"CHAIR": 3, "TABLE": 1})
        assert order["Status"] == "AUTHORISED"
        assert order["SaleOrderNumber"] == "SO-00001"
        assert [row["BackorderQuantity"] for row in order["Lines"]] == [0, 0]
        assert (order["TotalBeforeTax"], order["Tax"], order["Total"]) == (40, 7.6, 47.6)
        assert await company.levels("CHAIR") == (10, 3, 7)
        assert await company.levels("CHAIR", "Hamburg") == (8, 0, 8)

    company = run(story)
    changes = [(row["sku"], row["delta"], row["cause"]) for row in company.journal("stock")]
    assert changes == [("CHAIR", -3, "sale_authorised"), ("TABLE", -1, "sale_authorised")]


def test_three_calls_draft_can_be_overwritten_until_authorised() -> None:
    async def story(company: Company) -> None:
        order = await company.order({"CHAIR": 3}, status="DRAFT")
        sale = order["SaleID"]
        assert await company.levels("CHAIR") == (10, 0, 10)
        again = await company.post("sale/order", SaleID=sale.upper(), Status="DRAFT", Lines=[line("CHAIR", 2)])
        assert [row["Quantity"] for row in again["Lines"]] == [2]
        await company.post("sale/order", SaleID=sale, Status="AUTHORISED", Lines=[line("CHAIR", 2)])
        assert await company.levels("CHAIR") == (10, 2, 8)
        refused = await company.call(
            "POST", "sale/order", {"SaleID": sale, "Status": "AUTHORISED", "Lines": [line("CHAIR", 2)]}
        )
        assert refused.status_code == 400
        assert refused.json()[0]["ErrorCode"] == 400
        assert await company.levels("CHAIR") == (10, 2, 8)

    run(story)


def test_auth_no_alloc_allocates_nothing() -> None:
    async def story(company: Company) -> None:
        order = await company.order({"CHAIR": 3}, status="AUTH_NO_ALLOC")
        assert order["Status"] == "AUTH_NO_ALLOC"
        assert await company.levels("CHAIR") == (10, 0, 10)

    run(story)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([line("NO-SUCH", 1)], "NO-SUCH"),
        ([line("CHAIR", 1, TaxRule="de 19%")], "Tax rule"),
        ([line("CHAIR", 1), line("CHAIR", 2)], "duplicate SKU"),
        ([line("CHAIR", 3, Total=11.9)], "does not match"),
        ([{"SKU": "CHAIR", "Quantity": 1, "Price": 10, "TaxRule": "DE 19%"}], "Total is required"),
        ([line("CHAIR", 1, price=1.00001)], "decimal places"),
        ([line("CHAIR", 0)], "at least 1"),
        ([], "Lines are required"),
    ],
)
def test_bad_lines_are_refused_whole(lines: list[dict[str, object]], sentence: str) -> None:
    async def story(company: Company) -> None:
        sale = await company.header()
        refused = await company.call(
            "POST",
            "sale/order",
            {"SaleID": sale, "Status": "AUTHORISED", "Lines": [line("TABLE", 1), *lines]}
            if lines
            else {"SaleID": sale, "Lines": []},
        )
        assert refused.status_code == 400
        assert sentence in refused.json()[0]["Exception"]
        assert (await company.get("sale", ID=sale))["Order"]["Status"] == "NOT AVAILABLE"
        assert await company.levels("TABLE") == (2, 0, 2)

    run(story)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"Customer": "Nobody"}, "Customer"),
        ({"Location": ""}, "Location"),
        ({"Location": "Munich"}, "Location"),
        ({"Customer": "Web CHF"}, "CurrencyRate"),
        ({"Carrier": "Pigeon"}, "Carrier"),
        ({"TaxRule": "VAT"}, "Tax rule"),
        ({"ExternalID": "x" * 257}, "ExternalID"),
        ({"ShippingAddress": {"Line1": "Street 1"}}, "Country"),
    ],
)
def test_bad_headers_are_refused(fields: dict[str, object], sentence: str) -> None:
    async def story(company: Company) -> None:
        body = {"Customer": "Web EUR", "Location": "Berlin", "SkipQuote": True} | fields
        refused = await company.call("POST", "sale", body)
        assert refused.status_code == 400
        assert sentence in refused.json()[0]["Exception"]
        assert (await company.get("saleList"))["Total"] == 0

    run(story)


def test_totals_by_row_and_by_document_half_up() -> None:
    lines = [line("CHAIR", 1, price=0.03), line("TABLE", 1, price=0.03), line("CHAIR-RED", 1, price=0.03)]

    async def by_row(company: Company) -> None:
        sale = await company.header()
        order = await company.post("sale/order", SaleID=sale, Lines=lines)
        assert [row["Tax"] for row in order["Lines"]] == [0.01, 0.01, 0.01]
        assert (order["TotalBeforeTax"], order["Tax"], order["Total"]) == (0.09, 0.03, 0.12)

    async def by_document(company: Company) -> None:
        await company.http.post("/_sandbox/load", json={"me": {"TaxCalculationMethod": "Total"}})
        sale = await company.header()
        order = await company.post("sale/order", SaleID=sale, Lines=lines)
        assert (order["TotalBeforeTax"], order["Tax"], order["Total"]) == (0.09, 0.02, 0.11)

    run(by_row, tax_places=2)
    run(by_document, tax_places=2)


def test_inclusive_totals_discounts_and_charges() -> None:
    async def story(company: Company) -> None:
        sale = await company.header(TaxInclusive=True)
        order = await company.post(
            "sale/order",
            SaleID=sale,
            Lines=[line("CHAIR", 2, price=11.9), line("TABLE", 1, price=100, Discount=50, Total=50, TaxRule="DE 7%")],
            AdditionalCharges=[
                {"Description": "Shipping", "Quantity": 1, "Price": 4.9, "Total": 4.9, "TaxRule": "DE 19%"}
            ],
        )
        assert [row["Tax"] for row in order["Lines"]] == [3.8, 3.271]
        assert order["AdditionalCharges"][0]["Tax"] == 0.7824
        assert (order["TotalBeforeTax"], order["Tax"], order["Total"]) == (70.8466, 7.8534, 78.7)
        document = await company.get("sale", ID=sale)
        assert document["TaxCalculation"] == "Inclusive"

    run(story)


def test_unknown_charge_is_refused_and_negative_discount_charge_passes() -> None:
    async def story(company: Company) -> None:
        sale = await company.header()
        charge = {"Description": "Gift wrap", "Quantity": 1, "Price": -2, "Total": -2, "TaxRule": "DE 19%"}
        body = {"SaleID": sale, "Lines": [line("CHAIR", 1)], "AdditionalCharges": [charge]}
        assert (await company.call("POST", "sale/order", body)).status_code == 400
        charge["Description"] = "Shipping"
        order = await company.post("sale/order", **body)
        assert (order["TotalBeforeTax"], order["Tax"], order["Total"]) == (8, 1.52, 9.52)

    run(story)


def test_short_stock_becomes_silent_backorder_and_is_filled_oldest_first() -> None:
    async def story(company: Company) -> None:
        first = await company.order({"TABLE": 5}, ExternalID="first")
        second = await company.order({"TABLE": 1}, ExternalID="second")
        assert (first["Lines"][0]["BackorderQuantity"], second["Lines"][0]["BackorderQuantity"]) == (3, 1)
        assert await company.levels("TABLE") == (2, 2, 0)
        assert (await company.get("saleList", Status="BACKORDERED"))["Total"] == 2
        await company.act(receive={"sku": "TABLE", "location": "Berlin", "bin": "A2", "quantity": 2})
        assert await company.levels("TABLE") == (4, 4, 0)
        await company.act(receive={"sku": "TABLE", "location": "Berlin", "quantity": 3})
        documents = [await company.get("sale", ID=sale["SaleID"]) for sale in (first, second)]
        assert [d["Order"]["Lines"][0]["BackorderQuantity"] for d in documents] == [0, 0]
        assert [d["Status"] for d in documents] == ["ORDERED", "ORDERED"]
        assert await company.levels("TABLE") == (7, 6, 1)

    company = run(story)
    filled = [(row["external_id"], row["backordered"]) for row in company.journal("sale_allocated")]
    assert filled == [("first", 1), ("first", 0), ("second", 0)]


def test_void_and_undo_free_the_allocation() -> None:
    async def story(company: Company) -> None:
        voided, undone = await company.order({"CHAIR": 3}), await company.order({"CHAIR": 4})
        assert await company.levels("CHAIR") == (10, 7, 3)
        answer = await company.call("DELETE", "sale", ID=voided["SaleID"], Void="true")
        assert answer.json()["Status"] == "VOIDED"
        assert await company.levels("CHAIR") == (10, 4, 6)
        await company.call("DELETE", "sale", ID=undone["SaleID"])
        assert await company.levels("CHAIR") == (10, 0, 10)
        assert (await company.get("sale", ID=undone["SaleID"]))["Order"]["Status"] == "DRAFT"
        await company.post("sale/order", SaleID=undone["SaleID"], Status="AUTHORISED", Lines=[line("CHAIR", 1)])
        assert await company.levels("CHAIR") == (10, 1, 9)
        again = await company.call("DELETE", "sale", ID=voided["SaleID"], Void="true")
        assert again.status_code == 400

    company = run(story)
    raises = [(row["delta"], row["cause"]) for row in company.journal("stock") if row["delta"] > 0]
    assert raises == [(3, "sale_voided"), (4, "undo")]
    assert [row["by"] for row in company.journal("sale_voided")] == ["api"]


def test_staff_undo_void_and_relocate() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"CHAIR": 3}, ExternalID="ref"))["SaleID"]
        await company.act(staff={"relocate": sale, "location": "Hamburg"})
        assert await company.levels("CHAIR") == (10, 0, 10)
        assert await company.levels("CHAIR", "Hamburg") == (8, 3, 5)
        await company.act(staff={"undo": sale})
        assert await company.levels("CHAIR", "Hamburg") == (8, 0, 8)
        await company.act(staff={"void": sale})
        assert (await company.get("saleList", ExternalID="ref"))["SaleList"][0]["OrderStatus"] == "VOIDED"
        bad = await company.http.post("/_sandbox/act", json={"staff": {"void": sale}})
        assert bad.status_code == 400

    run(story)


def test_a_kit_takes_components_at_its_location_whole_or_not_at_all() -> None:
    async def story(company: Company) -> None:
        order = await company.order({"DINING-SET": 2})
        assert order["Lines"][0]["BackorderQuantity"] == 0
        assert await company.levels("CHAIR") == (10, 8, 2)
        assert await company.levels("TABLE") == (2, 2, 0)
        short = await company.order({"DINING-SET": 1})
        assert short["Lines"][0]["BackorderQuantity"] == 1
        assert await company.levels("CHAIR") == (10, 8, 2)
        await company.act(receive={"sku": "TABLE", "location": "Berlin", "quantity": 1})
        assert await company.levels("TABLE") == (3, 2, 1)
        await company.act(receive={"sku": "CHAIR", "location": "Berlin", "quantity": 2})
        assert await company.levels("CHAIR") == (12, 12, 0)
        assert await company.levels("TABLE") == (3, 3, 0)

    run(story)


def test_the_recipe_of_the_order_time_is_given_back() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"DINING-SET": 1}))["SaleID"]
        await company.act(product={"sku": "DINING-SET", "bom": {"CHAIR": 2}})
        await company.call("DELETE", "sale", ID=sale, Void="true")
        assert await company.levels("CHAIR") == (10, 0, 10)
        assert await company.levels("TABLE") == (2, 0, 2)

    run(story)


def test_late_allocation() -> None:
    async def story(company: Company) -> None:
        order = await company.order({"TABLE": 3})
        assert order["Lines"][0]["BackorderQuantity"] == 0
        assert await company.levels("TABLE") == (2, 0, 2)
        company.pass_time(30)
        assert await company.levels("TABLE") == (2, 2, 0)
        document = await company.get("sale", ID=order["SaleID"])
        assert document["Order"]["Lines"][0]["BackorderQuantity"] == 1

    run(story, allocation_lag_seconds=30)


def test_search_lags_and_updated_since_is_utc() -> None:
    async def story(company: Company) -> None:
        await company.header(ExternalID="ref")
        assert (await company.get("saleList", ExternalID="ref"))["Total"] == 0
        company.pass_time(20)
        rows = (await company.get("saleList", ExternalID="ref"))["SaleList"]
        updated = rows[0]["Updated"]
        assert (await company.get("saleList", UpdatedSince=updated))["Total"] == 1
        assert (await company.get("saleList", UpdatedSince="2025-11-21T04:40:00.001Z"))["Total"] == 0
        assert updated == "2025-11-21T04:40:00Z"

    run(story, search_lag_seconds=20)


def test_one_reference_can_be_used_twice_and_the_header_changes_by_put() -> None:
    async def story(company: Company) -> None:
        first, second = await company.header(ExternalID="ref"), await company.header(ExternalID="ref")
        rows = (await company.get("saleList", ExternalID="ref"))["SaleList"]
        assert [row["SaleID"] for row in rows] == [second, first]
        body = {"ID": first, "Customer": "Web EUR", "Location": "Hamburg", "SkipQuote": True, "Note": "n"}
        changed = await company.put("sale", **body)
        assert (changed["Location"], changed["Note"], changed["ExternalID"]) == ("Hamburg", "n", "ref")

    run(story)


def test_countries_come_as_names_or_codes() -> None:
    async def story(company: Company) -> None:
        sale = await company.header(ShippingAddress={"Line1": "S 1", "Country": "Germany", "ShipToOther": True})
        assert (await company.get("sale", ID=sale))["ShippingAddress"]["Country"] == "Germany"
        coded = await company.get("sale", ID=sale, CountryFormat="Code2")
        assert coded["ShippingAddress"]["Country"] == "DE"

    run(story)


def test_staff_take_units_off_a_sale_by_undoing_it() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"CHAIR": 3, "TABLE": 1}))["SaleID"]
        await company.act(staff={"reduce": sale, "sku": "CHAIR", "to": 1})
        found = (await company.get("sale", ID=sale))["Order"]
        assert (found["Status"], [row["Quantity"] for row in found["Lines"]]) == ("AUTHORISED", [1, 1])
        assert await company.levels("CHAIR") == (10, 1, 9)
        await company.act(staff={"reduce": sale, "sku": "TABLE", "to": 0})
        assert [row["SKU"] for row in (await company.get("sale", ID=sale))["Order"]["Lines"]] == ["CHAIR"]
        assert await company.levels("TABLE") == (2, 0, 2)

    run(story)


def test_staff_credit_goods_and_put_them_where_they_say() -> None:
    async def story(company: Company) -> None:
        sale = (await company.order({"CHAIR": 3}))["SaleID"]
        await company.post("sale/fulfilment/pick", TaskID=sale, AutoPickMode="AUTOPICK")
        credit = {"SKU": "CHAIR", "Quantity": 2, "Comment": "SIZE"}
        for note, shelf in ((1, "Berlin: DOCK"), (2, "Hamburg")):
            await company.act(
                staff={
                    "credit": sale,
                    "lines": [credit],
                    "restock": [{"SKU": "CHAIR", "Quantity": 2, "Location": shelf}],
                }
            )
            notes = (await company.get("sale", ID=sale))["CreditNotes"]
            assert len(notes) == note
            assert (notes[-1]["Status"], notes[-1]["Lines"][0]["Comment"]) == ("AUTHORISED", "SIZE")
            assert notes[-1]["Restock"][0]["Location"] == shelf
        assert await company.levels("CHAIR", "Hamburg") == (10, 0, 10)

    company = run(story)
    assert [row["restock"][0]["bin"] for row in company.journal("goods_returned")] == ["DOCK", ""]
