"""The client against a vendor that is a function: which calls, with which key, and what each kind of answer becomes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec
import pytest
from scripted_vendor import Reply, ScriptedVendor
from test_cin7_orders import DRAFT
from test_cin7_translate import stock_line

from sellable.config import settings as config
from sellable.connectors.cin7_core import SPEC, Cin7Core, Places
from sellable.connectors.port import (
    EVERY_SKU,
    LimitReached,
    Misconfigured,
    OrderTarget,
    Refused,
    StockMaster,
    Unavailable,
)
from sellable.domain.stock import State
from sellable.runtime.http import ForbiddenUrl, OutcomeLost

SETTINGS = config.Cin7Core(
    account_id="acc", key="write-key", read_key="read-key", base_url="http://cin7.test/ExternalApi/v2/", insecure=True
)
PLACES = Places(
    [config.Location(name="berlin", master="cin7_core", remote="Main Warehouse")],
    [config.StateRule(location="berlin", bin="*", state=State.AVAILABLE)],
)
HTML = httpx2.Response(200, text="<html></html>")


class Vendor(ScriptedVendor):
    root = "/ExternalApi/v2"

    def run(self, do: Callable[[Cin7Core], Awaitable[Any]], settings: config.Cin7Core = SETTINGS) -> Any:
        return self.meet(lambda http: do(Cin7Core(http, self.tills, settings, PLACES)))


def ok(document: Any, status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, content=msgspec.json.encode(document))


def stock(*lines: Any, total: int | None = None) -> httpx2.Response:
    return ok({"Total": len(lines) if total is None else total, "Page": 1, "ProductAvailabilityList": lines})


def sales(*rows: Any, total: int | None = None) -> httpx2.Response:
    return ok({"Total": len(rows) if total is None else total, "Page": 1, "SaleList": rows})


def test_the_declaration() -> None:
    two = SPEC.budgets(msgspec.structs.replace(SETTINGS, calls_per_minute=50))
    assert [b.credential for b in two] == ["cin7:orders", "cin7:reads"]
    for budget in two:
        assert budget.rate * 60 + budget.burst == pytest.approx(50)
        assert budget.calls == 60
        assert budget.lanes == {"orders": 0.4, "stock": 0.3, "reads": 0.2, "repair": 0.1}
    assert SPEC.budgets(msgspec.structs.replace(SETTINGS, calls_per_minute=900))[0].usable == 1
    assert SPEC.evidence == ("ack", "allocation_read")
    assert not SPEC.compare_and_set
    assert SPEC.visibility_lag_seconds(SETTINGS) == SETTINGS.visibility_lag_seconds
    assert SPEC.search_settle_seconds(SETTINGS) == SETTINGS.search_settle_seconds


def test_it_is_what_the_rooms_ask_for() -> None:
    def accepts(master: StockMaster, target: OrderTarget) -> None: ...

    async def look(client: Cin7Core) -> None:
        accepts(client, client)
        asked = [name for port in (StockMaster, OrderTarget) for name in vars(port) if not name.startswith("_")]
        assert asked
        assert [name for name in asked if not callable(getattr(client, name, None))] == []

    Vendor().run(look)


def test_a_page_of_one_location() -> None:
    vendor = Vendor(stock(stock_line(), total=1200))
    page = vendor.run(lambda c: c.stock_page("berlin", 2, lane="stock"))
    assert vendor.query() == {"Page": "2", "Limit": "1000", "Location": "Main Warehouse"}
    assert (page.received, page.total, page.page) == (1, 1200, 2)
    headers = vendor.requests[0].headers
    assert headers["api-auth-accountid"] == "acc"
    assert headers["api-auth-applicationkey"] == "read-key"


def test_one_key_serves_all_where_there_is_no_second() -> None:
    vendor = Vendor(httpx2.Response(429, headers={"Retry-After": "60 Seconds"}, text="You have reached 60 calls"))
    alone = msgspec.structs.replace(SETTINGS, read_key="")
    with pytest.raises(LimitReached):
        vendor.run(lambda c: c.stock_page(None, 1, lane="stock"), alone)
    assert vendor.requests[0].headers["api-auth-applicationkey"] == "write-key"
    assert vendor.tills.breaches == [("cin7:orders", 60)]


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (httpx2.Response(429, headers={"Retry-After": "31 Seconds"}, text="You have reached 60 calls"), 31),
        (ok([{"ErrorCode": 503, "Exception": "You have reached 60 calls per 60 seconds API limit."}], 503), 60),
        (ok([{"ErrorCode": 400, "Exception": "You have reached 60 calls per 60 seconds API limit."}], 400), 60),
    ],
)
def test_a_breach_stops_the_whole_credential(reply: httpx2.Response, seconds: float) -> None:
    vendor = Vendor(reply)
    with pytest.raises(LimitReached) as limit:
        vendor.run(lambda c: c.create_draft(DRAFT, lane="orders"))
    assert limit.value.after_seconds == seconds
    assert vendor.tills.breaches == [("cin7:orders", seconds)]


@pytest.mark.parametrize(("headers", "seconds"), [({}, None), ({"Retry-After": "9"}, 9.0)])
def test_an_unexplained_503_on_a_write_is_unknown_and_still_pauses(headers: dict[str, str], seconds: Any) -> None:
    vendor = Vendor(httpx2.Response(503, headers=headers, text="Service Unavailable"))
    with pytest.raises(Unavailable):
        vendor.run(lambda c: c.create_draft(DRAFT, lane="orders"))
    assert (vendor.tills.breaches, vendor.tills.away) == ([], [("cin7:orders", seconds)])


def test_a_sku_is_read_to_the_end_and_its_neighbours_dropped() -> None:
    first = [stock_line(SKU="CHAIR")] + [stock_line(SKU=f"CHAIR-{n}") for n in range(999)]
    vendor = Vendor(stock(*first, total=1001), stock(stock_line(SKU="CHAIR-XL"), total=1001))
    page = vendor.run(lambda c: c.stock_of("CHAIR", lane="stock"))
    assert [(r.sku, r.part) for r in page.rows] == [("CHAIR", "")]
    assert (page.received, page.total) == (1001, 1001)
    assert [vendor.query(n)["Page"] for n in (0, 1)] == ["1", "2"]
    assert vendor.query()["Sku"] == "CHAIR"


def test_rows_of_a_sku_on_two_pages_prove_nothing_for_units_may_have_moved_between_them() -> None:
    first = [stock_line(SKU="CHAIR")] + [stock_line(SKU=f"CHAIR-{n}") for n in range(999)]
    vendor = Vendor(stock(*first, total=1001), stock(stock_line(SKU="CHAIR", Bin="A-1"), total=1001))
    page = vendor.run(lambda c: c.stock_of("CHAIR", lane="stock"))
    assert [(r.sku, r.part) for r in page.rows] == [("CHAIR", ""), ("CHAIR", "A-1")]
    assert page.received < page.total


def test_skus_that_begin_alike_come_in_one_call() -> None:
    vendor = Vendor(stock(stock_line(SKU="CHAIR"), stock_line(SKU="CHAIN")))
    page = vendor.run(lambda c: c.stock_like("CHAI", lane="stock"))
    assert ([r.sku for r in page.rows], page.received, page.total) == (["CHAIR", "CHAIN"], 2, 2)
    assert (vendor.query()["Sku"], vendor.query()["Page"]) == ("CHAI", "1")


def test_a_sku_without_rows_is_an_exact_empty_answer() -> None:
    page = Vendor(stock()).run(lambda c: c.stock_of("CHAIR", lane="stock"))
    assert (page.rows, page.received, page.total) == ((), 0, 0)


def test_a_page_that_ends_early_is_incomplete() -> None:
    page = Vendor(stock(stock_line(SKU="CHAIR"), total=3), stock(total=3)).run(lambda c: c.stock_of("CHAIR", lane="s"))
    assert page.received < page.total


@pytest.mark.parametrize(
    ("reply", "family"),
    [
        (HTML, Misconfigured),
        (httpx2.Response(403, text="Incorrect credentials"), Misconfigured),
        (httpx2.Response(302, headers={"location": "https://evil.test"}), Misconfigured),
        (httpx2.Response(500, text="boom"), Unavailable),
        (httpx2.Response(200, text='{"Total":1,"ProductAvailabilityList":[{"SKU":'), Unavailable),
        (httpx2.Response(200, text=""), Unavailable),
        (ok({"Page": 1, "ProductAvailabilityList": []}), Refused),
        (ok({"Total": "x", "ProductAvailabilityList": []}), Refused),
        (ok([{"ErrorCode": 400, "Exception": "Page is wrong"}]), Refused),
        (httpx2.ReadTimeout("slow"), OutcomeLost),
    ],
)
def test_a_failed_read_is_never_an_empty_page(reply: Reply, family: type[Exception]) -> None:
    with pytest.raises(family):
        Vendor(reply).run(lambda c: c.stock_page(None, 1, lane="stock"))


def test_a_location_that_is_not_cin7_s() -> None:
    with pytest.raises(Misconfigured):
        Vendor().run(lambda c: c.stock_page("moon", 1, lane="stock"))


def transfers(*rows: Any) -> httpx2.Response:
    return ok({"Total": len(rows), "Page": 1, "StockTransferList": rows})


def moved(task: str, at: str) -> dict[str, Any]:
    return {"TaskID": task, "Status": "COMPLETED", "LastModifiedOn": at, "Number": "TR-1"}


def test_touched_transfers_name_their_skus() -> None:
    before, after = moved("T-1", "2026-11-21T09:00:00Z"), moved("T-2", "2026-11-21T10:00:00Z")
    _, mark = Vendor(transfers(before)).run(lambda c: c.transfers_touched("", lane="reads"))
    detail = ok({"TaskID": "t-2", "Lines": [{"SKU": "CHAIR"}, {"SKU": "TABLE"}]})
    vendor = Vendor(transfers(before, after), detail)
    skus, mark = vendor.run(lambda c: c.transfers_touched(mark, lane="reads"))
    assert skus == {"CHAIR", "TABLE"}
    assert vendor.lines == ["GET /stockTransferList", "GET /stockTransfer"]
    again, _ = Vendor(transfers(before, after)).run(lambda c: c.transfers_touched(mark, lane="reads"))
    assert again == frozenset()


def a_moment_ago() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("ahead", ["9999-12-31T23:59:59.9999999Z", "2126-11-21T09:00:00Z"])
def test_a_transfer_changed_in_the_far_future_hides_no_later_one(ahead: str) -> None:
    strange = moved("T-1", ahead)
    _, mark = Vendor(transfers(strange)).run(lambda c: c.transfers_touched("", lane="reads"))
    detail = ok({"TaskID": "t-2", "Lines": [{"SKU": "CHAIR"}]})
    now = a_moment_ago()
    rows = transfers(strange, moved("T-2", now))
    skus, mark = Vendor(rows, detail).run(lambda c: c.transfers_touched(mark, lane="reads"))
    assert skus == {"CHAIR"}, "the row of the future was known, the one of today is news"
    assert Vendor(rows).run(lambda c: c.transfers_touched(mark, lane="reads"))[0] == frozenset()
    again = transfers({**strange, "Status": "DRAFT"}, moved("T-2", now))
    undone = ok({"TaskID": "t-1", "Lines": [{"SKU": "TABLE"}]})
    assert Vendor(again, undone).run(lambda c: c.transfers_touched(mark, lane="reads"))[0] == {"TABLE"}


def test_a_mark_that_lay_in_the_future_is_brought_back() -> None:
    mark = json.dumps({"until": "2126-11-21T09:00:00+00:00", "recent": {}})
    rows = transfers(moved("T-2", a_moment_ago()))
    detail = ok({"TaskID": "t-2", "Lines": [{"SKU": "CHAIR"}]})
    assert Vendor(rows, detail).run(lambda c: c.transfers_touched(mark, lane="reads"))[0] == {"CHAIR"}


def test_too_many_or_unreadable_transfers_touch_everything() -> None:
    _, mark = Vendor(transfers()).run(lambda c: c.transfers_touched("", lane="reads"))
    many = [moved(f"T-{n}", "2026-11-21T10:00:00Z") for n in range(11)]
    vendor = Vendor(transfers(*many))
    assert vendor.run(lambda c: c.transfers_touched(mark, lane="reads"))[0] == {EVERY_SKU}
    assert len(vendor.requests) == 1
    vendor = Vendor(transfers(many[0]), ok({"TaskID": "T-0", "Lines": [{"ProductID": "x"}]}))
    assert vendor.run(lambda c: c.transfers_touched(mark, lane="reads"))[0] == {EVERY_SKU}


def test_a_torn_list_of_transfers_is_no_answer() -> None:
    torn = [ok({"Total": 2, "StockTransferList": [moved("A", "")]}), ok({"Total": 3, "StockTransferList": []})]
    with pytest.raises(Unavailable, match="changed while it was read"):
        Vendor(*torn).run(lambda c: c.transfers_touched("", lane="reads"))


def test_the_catalogue_is_asked_for_with_bills_and_deprecated_products() -> None:
    vendor = Vendor(ok({"Total": 1, "Page": 1, "Products": [{"SKU": "CHAIR", "Status": "Active", "Type": "Stock"}]}))
    page = vendor.run(lambda c: c.catalogue_page(1, since="2026-11-21T00:00:00Z", lane="reads"))
    assert vendor.query()["IncludeBOM"] == vendor.query()["IncludeDeprecated"] == "true"
    assert vendor.query()["ModifiedSince"] == "2026-11-21T00:00:00Z"
    assert [(i.sku, i.sellable) for i in page.items] == [("CHAIR", True)]


def test_a_draft_then_its_lines() -> None:
    vendor = Vendor(ok({"ID": "AB-1", "Status": "DRAFT"}))
    assert vendor.run(lambda c: c.create_draft(DRAFT, lane="orders")) == "ab-1"
    assert vendor.lines == ["POST /sale"]
    sent = json.loads(vendor.requests[0].content)
    assert (sent["ExternalID"], sent["Location"]) == ("shop:o-1:1", "Main Warehouse")
    assert vendor.requests[0].headers["api-auth-applicationkey"] == "write-key"
    answer = {
        "SaleID": "AB-1",
        "SaleOrderNumber": "SO-1",
        "Status": "AUTHORISED",
        "Lines": [{"SKU": "CRUNCHY-ARMCHAIR", "Quantity": 3, "BackorderQuantity": 1}],
        "TotalBeforeTax": 14.2,
        "Tax": 2.7,
        "Total": 16.9,
    }
    vendor = Vendor(ok(answer))
    sale = vendor.run(lambda c: c.put_lines("ab-1", DRAFT, authorise=True, lane="orders"))
    assert (sale.sale_id, sale.number, sale.status, sale.ref) == ("ab-1", "SO-1", "authorised", "shop:o-1:1")
    assert (sale.lines[0].quantity, sale.lines[0].backorder) == (3, 1)
    assert (sale.totals.net, sale.totals.tax, sale.totals.gross) == (1420, 270, 1690)


@pytest.mark.parametrize(
    "reply",
    [
        ok({"SaleID": "other", "Status": "AUTHORISED", "Lines": [{"SKU": "CRUNCHY-ARMCHAIR"}]}),
        ok({"SaleID": "ab-1", "Status": "AUTHORISED", "Lines": []}),
        ok({"SaleID": "ab-1", "Status": "AUTHORISED", "Lines": "?"}),
        httpx2.Response(200, text='{"SaleID":"ab-1","Lines":[{'),
        httpx2.Response(200, text=""),
    ],
)
def test_an_answer_that_does_not_show_the_lines_leaves_the_write_unknown(reply: httpx2.Response) -> None:
    with pytest.raises(Unavailable):
        Vendor(reply).run(lambda c: c.put_lines("ab-1", DRAFT, authorise=True, lane="orders"))


def test_a_sale_that_does_not_say_its_id_is_unknown() -> None:
    with pytest.raises(Unavailable):
        Vendor(ok({"Status": "DRAFT"})).run(lambda c: c.create_draft(DRAFT, lane="orders"))


def test_a_refusal_keeps_the_vendor_s_sentences() -> None:
    with pytest.raises(Refused) as refusal:
        Vendor(ok([{"ErrorCode": 400, "Exception": "TaxRule is unknown"}], 400)).run(
            lambda c: c.put_lines("ab-1", DRAFT, authorise=True, lane="orders")
        )
    assert refusal.value.code == "400"
    assert refusal.value.detail["errors"] == ["400: TaxRule is unknown"]


def test_nothing_is_sent_for_a_draft_that_cannot_be() -> None:
    vendor = Vendor()
    with pytest.raises(Refused, match="ExternalID is longer"):
        vendor.run(lambda c: c.create_draft(msgspec.structs.replace(DRAFT, ref="r" * 300), lane="orders"))
    assert vendor.requests == []


def row(**changes: Any) -> dict[str, Any]:
    return {"SaleID": "AB-1", "OrderNumber": "SO-1", "ExternalID": "shop:o-1:1", "OrderStatus": "DRAFT"} | changes


def test_a_reference_is_compared_exactly() -> None:
    vendor = Vendor(sales(row(), row(SaleID="CD", ExternalID="shop:o-1:11"), row(SaleID="EF", ExternalID=None)))
    found = vendor.run(lambda c: c.find_by_ref("shop:o-1:1", lane="repair"))
    assert [(r.sale_id, r.status) for r in found] == [("ab-1", "draft")]
    assert vendor.query()["ExternalID"] == "shop:o-1:1"
    assert vendor.requests[0].headers["api-auth-applicationkey"] == "read-key"


def test_a_voided_sale_is_found_as_voided() -> None:
    found = Vendor(sales(row(Status="VOIDED"))).run(lambda c: c.find_by_ref("shop:o-1:1", lane="repair"))
    assert [r.status for r in found] == ["voided"]


def test_a_filter_that_was_ignored_proves_no_absence() -> None:
    with pytest.raises(Misconfigured, match="ignored"):
        Vendor(sales(row(ExternalID="x"), total=5000)).run(lambda c: c.find_by_ref("shop:o-1:1", lane="repair"))
    assert Vendor(sales()).run(lambda c: c.find_by_ref("shop:o-1:1", lane="repair")) == []


def test_a_page_of_changed_sales() -> None:
    vendor = Vendor(
        sales(row(CombinedShippingStatus="PARTIALLY SHIPPED"), row(SaleID="CD", OrderStatus="NEW WORD"), total=7)
    )
    page = vendor.run(lambda c: c.sales_page(1, updated_since="2026-11-21T10:00:00Z", lane="reads"))
    assert vendor.query()["UpdatedSince"] == "2026-11-21T10:00:00Z"
    assert [(r.sale_id, r.status, r.shipped) for r in page.rows] == [("ab-1", "draft", True), ("cd", "other", False)]
    assert (page.received, page.total) == (2, 7)
    assert page.body.startswith(b"{")


def test_locations_of_listed_sales_are_looked_up_once_and_an_unknown_one_not_again() -> None:
    listed = sales(row(OrderLocationID="LL-1"), row(SaleID="CD", OrderLocationID="gone"))
    places = ok({"Total": 1, "LocationList": [{"ID": "ll-1", "Name": "Main Warehouse"}]})
    vendor = Vendor(listed, places, listed)

    async def twice(client: Cin7Core) -> list[str]:
        pages = [await client.sales_page(1, updated_since="2026-11-21T10:00:00Z", lane="reads") for _ in range(2)]
        return [row.location for page in pages for row in page.rows]

    assert vendor.run(twice) == ["berlin", "", "berlin", ""]
    assert vendor.lines == ["GET /saleList", "GET /ref/location", "GET /saleList"]


def test_a_search_is_walked_to_the_end_and_shows_what_to_compare() -> None:
    first = sales(row(CustomerReference="N-1", OrderLocationID="ll-1"), total=2)
    places = ok({"Total": 1, "LocationList": [{"ID": "LL-1", "Name": "Main Warehouse"}]})
    vendor = Vendor(first, sales(row(SaleID="CD", CustomerReference="N-10"), total=2), places)
    found = vendor.run(lambda c: c.search_sales("N-1", lane="orders"))
    assert [(r.sale_id, r.reference, r.location) for r in found] == [("ab-1", "N-1", "berlin"), ("cd", "N-10", "")]
    assert [(vendor.query(n)["Search"], vendor.query(n)["Page"]) for n in (0, 1)] == [("N-1", "1"), ("N-1", "2")]


def test_a_search_whose_list_moved_is_no_answer() -> None:
    torn = [sales(row(), total=2), sales(row(SaleID="CD"), total=3)]
    with pytest.raises(Unavailable):
        Vendor(*torn).run(lambda c: c.search_sales("N-1", lane="orders"))


def test_a_sale_is_read_by_its_id_whatever_its_case() -> None:
    vendor = Vendor(ok({"ID": "AB-1", "Status": "DRAFT", "Order": {"Status": "NOT AVAILABLE"}}))
    assert vendor.run(lambda c: c.read_sale("ab-1", lane="reads")).status == "draft"
    assert vendor.query() == {"ID": "ab-1", "CountryFormat": "Code2"}


def test_another_sale_than_asked_for_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        Vendor(ok({"ID": "CD", "Status": "DRAFT"})).run(lambda c: c.read_sale("ab-1", lane="reads"))
    assert refusal.value.code == "not_found"


def test_voiding_and_undoing() -> None:
    vendor = Vendor(httpx2.Response(204), ok({}))

    async def both(client: Cin7Core) -> None:
        await client.void_sale("ab-1", undo=False, lane="orders")
        await client.void_sale("ab-1", undo=True, lane="orders")

    vendor.run(both)
    assert vendor.lines == ["DELETE /sale", "DELETE /sale"]
    assert [vendor.query(n)["Void"] for n in (0, 1)] == ["true", "false"]


@pytest.mark.parametrize(
    ("says", "code"), [("Sale has shipped lines and cannot be voided", "too_late"), ("Sale not found", "not_found")]
)
def test_a_void_that_is_refused(says: str, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        Vendor(ok([{"ErrorCode": 400, "Exception": says}], 400)).run(
            lambda c: c.void_sale("ab-1", undo=False, lane="orders")
        )
    assert refusal.value.code == code


def test_reference_data() -> None:
    vendor = Vendor(
        ok({"Company": "C", "Currency": "EUR", "TimeZone": "Europe/Berlin", "TaxCalculationMethod": "Row Total"}),
        ok(
            {
                "Total": 2,
                "LocationList": [
                    {"ID": "L1", "Name": "Main Warehouse", "Bins": [{"ID": "B1", "Name": "A-1"}]},
                    {"ID": "B1", "Name": "A-1", "ParentID": "L1"},
                ],
            }
        ),
        ok({"Total": 1, "TaxRuleList": [{"Name": "VAT", "TaxPercent": 19.0, "IsActive": True}]}),
    )

    async def look(client: Cin7Core) -> None:
        me = await client.me(lane="reads")
        assert (me.currency, me.tax_calculation_method) == ("EUR", "Row Total")
        (place,) = await client.locations(lane="reads")
        assert [b.name for b in place.bins or ()] == ["A-1"]
        (rule,) = await client.tax_rules(lane="reads")
        assert (rule.name, str(rule.percent)) == ("VAT", "19.0")

    vendor.run(look)


def test_an_unsafe_base_address_is_refused_at_once() -> None:
    with pytest.raises(ForbiddenUrl):
        Vendor().run(lambda c: c.me(lane="reads"), msgspec.structs.replace(SETTINGS, insecure=False))
