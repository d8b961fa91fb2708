"""The door: credentials, the limit's three dialects, wrong paths, paging, faults, the availability view."""

import asyncio

import pytest
from cin7_company import SEED, Company, line, run


def test_credentials_are_a_pair() -> None:
    async def story(company: Company) -> None:
        for account, key in (("ACC-1", "KEY-9"), ("ACC-9", "KEY-1"), ("", "")):
            headers = {"api-auth-accountid": account, "api-auth-applicationkey": key}
            refused = await company.http.get("/externalapi/v2/me", headers=headers)
            assert refused.status_code == 403
        assert (await company.http.get("/EXTERNALAPI/V2/ME")).json()["Company"] == "Crunchy Ltd"

    run(story)


def test_sixty_calls_in_any_sixty_seconds_per_key() -> None:
    async def story(company: Company) -> None:
        for _ in range(60):
            assert (await company.call("GET", "me")).status_code == 200
            company.pass_time(0.5)
        blocked = await company.call("GET", "me")
        assert blocked.status_code == 429
        assert blocked.headers["Retry-After"] == "60 Seconds"
        assert blocked.headers["x-ratelimit-remaining"] == "0"
        assert blocked.headers["content-type"].startswith("text/plain")
        assert blocked.text == "You have reached 60 calls per 60 seconds API limit."
        other = {"api-auth-accountid": "acc-1", "api-auth-applicationkey": "key-2"}
        assert (await company.http.get("/ExternalApi/v2/me", headers=other)).status_code == 200
        company.pass_time(30.5)
        assert (await company.call("GET", "me")).status_code == 200
        assert (await company.call("GET", "me")).status_code == 200
        assert (await company.call("GET", "me")).status_code == 429
        stats = (await company.http.get("/_sandbox/stats")).json()
        assert stats["peaks"] == {"key-1": 62, "key-2": 1}
        assert (await company.http.get("/_sandbox/truth")).json()["blocked"] == {"key-1": 2}

    run(story, unlimited=False)


def test_the_breach_speaks_by_path() -> None:
    async def story(company: Company) -> None:
        assert (await company.call("GET", "me")).status_code == 200
        slow = await company.call("GET", "me")
        assert (slow.status_code, slow.headers.get("Retry-After")) == (503, None)
        assert slow.json() == [{"ErrorCode": 503, "Exception": "You have reached 1 calls per 60 seconds API limit."}]
        bad = await company.call("GET", "purchase")
        assert bad.status_code == 400
        assert "reached" in bad.json()[0]["Exception"]

    run(story, unlimited=False, calls_per_minute=1, breach={"*": "503", "purchase": "400"})


def test_wrong_paths_and_methods_and_bodies() -> None:
    async def story(company: Company) -> None:
        page = await company.call("GET", "sales")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert (await company.call("POST", "me", {})).status_code == 405
        broken = await company.http.post("/ExternalApi/v2/sale", content=b'{"Customer": ')
        assert broken.status_code == 400
        assert broken.json()[0]["ErrorCode"] == 400
        assert (await company.call("GET", "ref/account", Code="999")).status_code == 400
        sale = await company.header()
        odd = await company.call("POST", "sale/order", {"SaleID": sale, "Lines": {"SKU": "CHAIR"}})
        assert odd.status_code == 400

    run(story)


def test_reference_books() -> None:
    async def story(company: Company) -> None:
        places = (await company.get("ref/location"))["LocationList"]
        assert [(row["Name"], row["ParentName"], row["IsStaging"]) for row in places] == [
            ("Berlin", None, False),
            ("A1", "Berlin", False),
            ("A2", "Berlin", False),
            ("DOCK", "Berlin", True),
            ("Hamburg", None, False),
        ]
        assert [held["Name"] for held in places[0]["Bins"]] == ["A1", "A2", "DOCK"]
        rules = (await company.get("ref/tax", limit="2"))["TaxRuleList"]
        assert [(row["Name"], row["TaxPercent"]) for row in rules] == [("DE 19%", 19), ("DE 7%", 7)]
        assert (await company.get("ref/carrier"))["CarrierList"][0]["Description"] == "DHL"
        assert (await company.get("customer", Name="Web C"))["CustomerList"][0]["Currency"] == "CHF"
        me = await company.get("me")
        assert (me["Currency"], me["TaxCalculationMethod"]) == ("EUR", "Row Total")

    run(story)


def test_products_match_by_prefix_and_hide_recipes_and_deprecated_cards() -> None:
    async def story(company: Company) -> None:
        found = await company.get("product", Sku="chair", Search="ignored")
        assert [row["SKU"] for row in found["Products"]] == ["CHAIR", "CHAIR-RED"]
        plain = (await company.get("product", Sku="DINING"))["Products"][0]
        assert (plain["AutoAssembly"], plain["BillOfMaterialsProducts"]) == (True, [])
        full = (await company.get("product", Sku="DINING", IncludeBOM="true"))["Products"][0]
        parts = [(row["ProductCode"], row["Quantity"]) for row in full["BillOfMaterialsProducts"]]
        assert parts == [("CHAIR", 4), ("TABLE", 1)]
        company.pass_time(60)
        await company.act(product={"sku": "CHAIR-RED", "deprecated": True})
        assert (await company.get("product", Sku="chair"))["Total"] == 1
        assert (await company.get("product", Sku="chair", IncludeDeprecated="true"))["Total"] == 2
        changed = await company.get("product", ModifiedSince="2025-11-21T04:40:30Z", IncludeDeprecated="true")
        assert [row["SKU"] for row in changed["Products"]] == ["CHAIR-RED"]

    run(story)


def test_availability_rows_per_bin_without_zero_rows() -> None:
    async def story(company: Company) -> None:
        rows = (await company.get("ref/productavailability", Sku="chair"))["ProductAvailabilityList"]
        seen = [(row["SKU"], row["Location"], row["Bin"], row["OnHand"], row["Available"]) for row in rows]
        assert seen == [
            ("CHAIR", "Berlin", "A1", 6, 6),
            ("CHAIR", "Berlin", "A2", 4, 4),
            ("CHAIR", "Hamburg", None, 8, 8),
            ("CHAIR-RED", "Hamburg", None, 2, 2),
        ]
        assert rows[0]["StockOnHand"] == 72
        assert "InTransit" in rows[0]
        await company.order({"CHAIR": 7})
        rows = await company.get("ref/productavailability", Sku="CHAIR", Location="Berlin")
        assert [(row["Bin"], row["Allocated"], row["Available"]) for row in rows["ProductAvailabilityList"]] == [
            ("A1", 6, 0),
            ("A2", 1, 3),
        ]
        assert (await company.get("ref/productavailability", Location="berlin"))["Total"] == 0
        await company.act(write_off={"sku": "CHAIR-RED", "location": "Hamburg", "quantity": 2})
        assert (await company.get("ref/productavailability", Sku="CHAIR-RED"))["ProductAvailabilityList"] == []

    run(story)


def test_allocation_may_sit_on_the_unbinned_row() -> None:
    async def story(company: Company) -> None:
        await company.order({"CHAIR": 7})
        rows = await company.get("ref/productavailability", Sku="CHAIR", Location="Berlin")
        assert [(row["Bin"], row["OnHand"], row["Available"]) for row in rows["ProductAvailabilityList"]] == [
            (None, 0, -7),
            ("A1", 6, 6),
            ("A2", 4, 4),
        ]

    run(story, allocation_row="unbinned")


def test_kit_rows_are_computed_per_location() -> None:
    async def story(company: Company) -> None:
        rows = (await company.get("ref/productavailability", Sku="DINING"))["ProductAvailabilityList"]
        assert [(row["Location"], row["OnHand"], row["Available"]) for row in rows] == [("Berlin", 0, 2)]
        await company.order({"CHAIR": 3})
        rows = (await company.get("ref/productavailability", Sku="DINING"))["ProductAvailabilityList"]
        assert [row["Available"] for row in rows] == [1]
        await company.act(sell_at_counter={"sku": "TABLE", "location": "Berlin", "quantity": 2})
        assert (await company.get("ref/productavailability", Sku="DINING"))["Total"] == 0

    run(story)


def test_pages_shift_while_they_are_walked() -> None:
    async def story(company: Company) -> None:
        first = await company.get("ref/productavailability", page=1, limit=2)
        assert (first["Total"], first["Page"], len(first["ProductAvailabilityList"])) == (6, 1, 2)
        await company.act(write_off={"sku": "CHAIR", "location": "Berlin", "bin": "A1", "quantity": 6})
        second = await company.get("ref/productavailability", Page=2, Limit=2)
        assert second["Total"] == 5
        assert [row["SKU"] for row in second["ProductAvailabilityList"]] == ["CHAIR-RED", "DINING-SET"]

    run(story)


def test_the_view_is_as_old_as_its_lag() -> None:
    async def story(company: Company) -> None:
        await company.order({"CHAIR": 3})
        assert await company.levels("CHAIR") == (10, 0, 10)
        company.pass_time(4.9)
        await company.act(sell_at_counter={"sku": "CHAIR", "location": "Berlin", "quantity": 1})
        company.pass_time(0.2)
        assert await company.levels("CHAIR") == (10, 3, 7)
        company.pass_time(5)
        assert await company.levels("CHAIR") == (9, 3, 6)

    run(story, availability_lag_seconds=5)


@pytest.mark.parametrize(
    ("effect", "total", "skus"),
    [
        ("missing_row", 6, 5),
        ("duplicate_row", 6, 6),
        ("shifted_page", 6, 5),
    ],
)
def test_pages_lie_under_faults(effect: str, total: int, skus: int) -> None:
    async def story(company: Company) -> None:
        company.sandbox.menu.set([{"name": "lie", "effect": effect, "match": "productavailability", "times": 1}])
        page = await company.get("ref/productavailability")
        rows = page["ProductAvailabilityList"]
        assert (page["Total"], len(rows)) == (total, skus)
        keys = {(row["SKU"], row["Location"], row["Bin"]) for row in rows}
        assert len(keys) == 5
        whole = (await company.get("ref/productavailability"))["ProductAvailabilityList"]
        assert len(whole) == 6

    run(story)


def test_values_lie_under_faults() -> None:
    async def story(company: Company) -> None:
        async def skewed(effect: str, path: str, key: str) -> list[dict[str, object]]:
            company.sandbox.menu.set([{"name": effect, "effect": effect, "times": 1}])
            return list((await company.get(path))[key])

        path, key = "ref/productavailability", "ProductAvailabilityList"
        rows = await skewed("fractional_quantity", path, key)
        assert sum(row["OnHand"] != int(str(row["OnHand"]).split(".")[0]) for row in rows) == 1
        rows = await skewed("huge_number", path, key)
        assert [row["OnHand"] for row in rows].count(10**24) == 1
        known = {product["sku"] for product in SEED["products"]}
        rows = await skewed("sku_case", path, key)
        assert sum(row["SKU"] not in known for row in rows) == 1
        await company.header()
        rows = await skewed("unknown_enum", "saleList", "SaleList")
        assert rows[0]["OrderStatus"] == "ON THE MOON"

    run(story)


def test_stale_pages_and_errors_with_200() -> None:
    async def story(company: Company) -> None:
        before = await company.get("ref/productavailability", Sku="CHAIR")
        await company.order({"CHAIR": 3})
        company.sandbox.menu.set([{"name": "old", "effect": "stale_page", "times": 1}])
        assert await company.get("ref/productavailability", Sku="CHAIR") == before
        assert await company.get("ref/productavailability", Sku="CHAIR") != before
        company.sandbox.menu.set([{"name": "odd", "effect": "error_200", "match": "POST .*sale$", "times": 1}])
        odd = await company.call("POST", "sale", {"Customer": "Web EUR", "Location": "Berlin"})
        assert odd.status_code == 200
        assert odd.json()[0]["ErrorCode"] == 400
        assert (await company.get("saleList"))["Total"] == 1

    run(story)


def test_an_answer_lost_after_the_effect_leaves_a_sale() -> None:
    async def story(company: Company) -> None:
        company.sandbox.menu.set(
            [{"name": "lost", "effect": "reset", "when": "after", "match": "POST .*sale$", "times": 1}]
        )
        with pytest.raises(ConnectionResetError):
            await company.header(ExternalID="ref")
        assert (await company.get("saleList", ExternalID="ref"))["Total"] == 1

    run(story)


def test_a_late_post_takes_effect_after_our_timeout() -> None:
    async def story(company: Company) -> None:
        company.sandbox.menu.set([{"name": "late", "effect": "late", "seconds": 0.05, "match": "POST .*sale$"}])
        pending = asyncio.create_task(company.header(ExternalID="ref"))
        await asyncio.sleep(0)
        assert (await company.get("saleList", ExternalID="ref"))["Total"] == 0
        with pytest.raises(ConnectionResetError):
            await pending
        assert (await company.get("saleList", ExternalID="ref"))["Total"] == 1

    run(story)


def test_truth_tells_stock_by_bin_and_sales_by_line() -> None:
    async def story(company: Company) -> None:
        await company.order({"TABLE": 3}, ExternalID="ref")
        truth = (await company.http.get("/_sandbox/truth")).json()
        assert {"sku": "TABLE", "location": "Berlin", "on_hand": 2, "allocated": 2, "available": 0} in truth["levels"]
        row = {"sku": "TABLE", "location": "Berlin", "bin": "A1", "on_hand": 2, "allocated": 2, "available": 0}
        assert row in truth["stock"]
        sale = truth["sales"][0]
        assert (sale["external_id"], sale["status"], sale["total"]) == ("ref", "BACKORDERED", "35.7000")
        assert sale["lines"][0]["backordered"] == 1

    run(story)


def test_the_same_seed_gives_the_same_ids() -> None:
    seen: list[str] = []

    async def story(company: Company) -> None:
        seen.append((await company.order({"CHAIR": 1}))["SaleID"])

    run(story)
    run(story)
    assert seen[0] == seen[1]


def test_fractions_stay_decimal() -> None:
    async def story(company: Company) -> None:
        sale = await company.header()
        await company.post("sale/order", SaleID=sale, Status="AUTHORISED", Lines=[line("CHAIR", 1.1)])
        text = (await company.call("GET", "ref/productavailability", Sku="CHAIR", Location="Berlin")).text
        assert '"Allocated":1.1,"Available":4.9' in text

    run(story)
