"""Cin7's documents into ours: nothing unreadable becomes a zero, nothing unauthorised becomes an allocation."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from sellable.config.settings import Location, StateRule
from sellable.connectors.cin7_core import translate, wire
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.port import Allocation, SaleTotals, StockPage, Unavailable
from sellable.domain.stock import State

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PLACES = Places(
    [
        Location(name="berlin", master="cin7_core", remote="Main Warehouse"),
        Location(name="elsewhere", master="other", remote="Second"),
    ],
    [
        StateRule(location="berlin", bin="", state=State.AVAILABLE),
        StateRule(location="berlin", bin="A-1", state=State.AVAILABLE),
        StateRule(location="berlin", bin="QC", state=State.INSPECTION),
    ],
)
TODAY = date(2026, 11, 21)


def stock_line(**changes: Any) -> dict[str, Any]:
    return {
        "ID": "6F9619FF",
        "SKU": "CRUNCHY-ARMCHAIR",
        "Location": "Main Warehouse",
        "Bin": None,
        "Batch": None,
        "ExpiryDate": None,
        "OnHand": 12.0,
        "Allocated": 2,
        "Available": 10,
        "OnOrder": 0,
        "StockOnHand": 240.5,
        "Surprise": [1],
    } | changes


def page(*lines: Any, total: int | None = None, sku: str | None = None, location: str | None = None) -> StockPage:
    rows = [msgspec.Raw(json.dumps(line).encode()) for line in lines]
    return translate.stock_page(
        rows,
        total=len(lines) if total is None else total,
        page=1,
        places=PLACES,
        today=TODAY,
        sku=sku,
        location=location,
    )


def test_a_stock_row() -> None:
    (row,) = page(stock_line()).rows
    assert (row.sku, row.location, row.part) == ("CRUNCHY-ARMCHAIR", "berlin", "")
    assert (row.available, row.on_hand, row.allocated, row.on_order) == (10, 12, 2, 0)
    assert row.state is State.AVAILABLE


def test_available_is_signed_and_sku_keeps_its_bytes() -> None:
    (row,) = page(stock_line(SKU=" Crunchy-armchair", Available=-237)).rows
    assert (row.sku, row.available) == (" Crunchy-armchair", -237)


def test_states_come_from_location_and_bin() -> None:
    rows = page(stock_line(Bin="A-1"), stock_line(Bin="QC"), stock_line(Bin="NEW-BIN", Batch="B7")).rows
    assert [(r.part, r.state, r.available) for r in rows] == [
        ("A-1", State.AVAILABLE, 10),
        ("QC", State.INSPECTION, 12),  # what is in a state that is not sold is what is on hand
        ("NEW-BIN|B7", None, 12),
    ]


def test_star_covers_bins_and_unbinned_stock() -> None:
    places = Places(
        [Location(name="l", master="cin7_core", remote="L")],
        [
            StateRule(location="l", bin="*", state=State.AVAILABLE),
            StateRule(location="l", bin="BAD", state=State.DAMAGED),
        ],
    )
    assert [places.state("l", b) for b in ("", "X", "BAD")] == [State.AVAILABLE, State.AVAILABLE, State.DAMAGED]


def test_expired_batches_are_not_sellable() -> None:
    rows = page(
        stock_line(Batch="OLD", ExpiryDate="2026-11-20T00:00:00"), stock_line(Batch="LAST", ExpiryDate="2026-11-21")
    ).rows
    assert [(r.part, r.state) for r in rows] == [
        ("|OLD|2026-11-20", State.QUARANTINE),
        ("|LAST|2026-11-21", State.AVAILABLE),
    ]


def test_parts_cannot_collide() -> None:
    parts = [r.part for r in page(stock_line(Bin="A|B"), stock_line(Bin="A", Batch="B")).rows]
    assert len(set(parts)) == 2


def test_other_locations_are_ignored_but_counted() -> None:
    result = page(stock_line(), stock_line(Location="Second"), stock_line(Location="main warehouse"))
    assert len(result.rows) == 1
    assert result.received == 3
    assert len(result.ignored) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"Available": 2.5}, "Available is 2.5, not a whole number of units"),
        ({"Available": None}, "Available is missing"),
        ({"Available": "many"}, 'Available is "many", not a number'),
        ({"OnHand": 1e30}, "OnHand is 1e+30, not a whole number"),
        ({"Allocated": {}}, "Allocated is {}, not a number"),
        ({"ExpiryDate": "soon"}, "Invalid isoformat"),
    ],
)
def test_unreadable_numbers_are_faults_not_zeros(changes: dict[str, Any], says: str) -> None:
    result = page(stock_line(**changes), stock_line(SKU="FINE"))
    assert [r.sku for r in result.rows] == ["FINE"]
    assert result.received == 2
    assert says in result.faults[0]
    assert result.unreadable[0][:2] == ("CRUNCHY-ARMCHAIR", "berlin")


def test_a_missing_number_is_a_fault() -> None:
    line = stock_line()
    del line["Available"]
    assert "Available is missing" in page(line).faults[0]


def test_rows_without_identity_are_faults() -> None:
    result = page(stock_line(SKU=""), stock_line(Location=None), stock_line(Bin=7), ["what"])
    assert result.rows == ()
    assert len(result.faults) == 4
    assert result.unreadable == ()


def test_numbers_as_text_are_read() -> None:
    assert page(stock_line(Available="10", OnHand="12.0000")).rows[0].available == 10


def test_prefix_matches_are_dropped_and_counted() -> None:
    asked = page(stock_line(SKU="CHAIR"), stock_line(SKU="CHAIR-XL"), stock_line(SKU="chair"), sku="CHAIR")
    joined = translate.joined([asked])
    assert [r.sku for r in joined.rows] == ["CHAIR"]
    assert (joined.received, joined.total) == (3, 3)


def test_a_location_filter_that_was_ignored_does_no_harm() -> None:
    result = page(stock_line(), stock_line(Location="Second"), location="berlin")
    assert [r.location for r in result.rows] == ["berlin"]


def test_a_walk_that_shifted_never_looks_complete() -> None:
    other = page(stock_line(SKU="CHAIR-XL"), total=2, sku="CHAIR")
    whole = translate.joined([page(stock_line(SKU="CHAIR"), total=2, sku="CHAIR"), other])
    assert (whole.received, whole.total) == (2, 2)
    moved = translate.joined([page(stock_line(Bin="A-1"), total=2), page(stock_line(Bin="QC"), total=2)])
    assert moved.received < moved.total, "five units may have moved from bin to bin between the two answers"
    twice = translate.joined([page(stock_line(), total=2), page(stock_line(), total=2)])
    assert twice.received < twice.total
    torn = translate.joined([page(stock_line(Bin="A-1"), total=2), page(stock_line(Bin="QC"), total=1)])
    assert torn.received < torn.total


def test_an_exact_empty_answer_is_complete() -> None:
    empty = translate.joined([page(total=0)])
    assert (empty.rows, empty.received, empty.total) == ((), 0, 0)


# --- Transfers -------------------------------------------------------------------------------------------------------


def transfer(task: str, status: str, at: str | None) -> wire.TransferRow:
    return wire.TransferRow(task_id=task, status=status, last_modified_on=at)


def test_transfers_changed_since_the_mark() -> None:
    old = transfer("T-1", "COMPLETED", "2026-11-20T10:00:00Z")
    drafted = transfer("T-2", "DRAFT", "2026-11-21T10:00:00.12Z")
    changed, mark = translate.transfers_changed([old, drafted], "", NOW)
    assert changed == []
    assert translate.transfers_changed([old, drafted], mark, NOW)[0] == []
    sent = transfer("T-2", "IN TRANSIT", "2026-11-21T10:01:00.1234567Z")
    late = transfer("T-3", "COMPLETED", "2026-11-21T09:55:00Z")
    changed, mark = translate.transfers_changed([old, sent, late], mark, NOW)
    assert changed == ["t-2", "t-3"]
    undone = transfer("T-1", "DRAFT", "2026-11-21T10:05:00Z")
    changed, mark = translate.transfers_changed([undone, sent, late], mark, NOW)
    assert changed == ["t-1"]
    edited = transfer("T-1", "DRAFT", "2026-11-21T10:06:00Z")
    assert translate.transfers_changed([edited, sent, late], mark, NOW)[0] == []


def test_transfers_without_a_change_time_are_compared_by_status() -> None:
    _, mark = translate.transfers_changed([transfer("T-1", "IN TRANSIT", None)], "", NOW)
    assert translate.transfers_changed([transfer("T-1", "IN TRANSIT", None)], mark, NOW)[0] == []
    assert translate.transfers_changed([transfer("T-1", "COMPLETED", None)], mark, NOW)[0] == ["t-1"]


# --- Catalogue -------------------------------------------------------------------------------------------------------


def item(**changes: Any) -> Any:
    product = {
        "SKU": "KIT",
        "Name": "A kit",
        "Type": "Stock",
        "Status": "ACTIVE",
        "Sellable": True,
        "BillOfMaterial": True,
        "AutoAssembly": True,
        "QuantityToProduce": 2.0,
        "BillOfMaterialsProducts": [
            {"ProductCode": "LEG", "Quantity": 8.0},
            {"ProductCode": "SEAT", "Quantity": 2.0, "WastagePercent": 0},
            {"ProductCode": "LEG", "Quantity": 2},
        ],
    } | changes
    return translate.catalogue_item(msgspec.Raw(json.dumps(product).encode()))


def test_a_kit_and_its_recipe_for_one_unit() -> None:
    kit = item()
    assert (kit.kit, kit.recipe, kit.fault) == (True, (("LEG", 5), ("SEAT", 1)), "")
    assert kit.sellable
    assert not kit.service


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"BillOfMaterialsProducts": []}, "empty bill of material"),
        ({"BillOfMaterialsProducts": None}, "empty bill of material"),
        ({"QuantityToProduce": 3}, "not a whole number for one"),
        ({"QuantityToProduce": 0}, "QuantityToProduce is 0"),
        ({"BillOfMaterialsProducts": [{"Quantity": 1}]}, "without a SKU"),
        ({"BillOfMaterialsProducts": [{"ProductCode": "KIT", "Quantity": 2}]}, "its own component"),
        ({"BillOfMaterialsProducts": [{"ProductCode": "A", "Quantity": 2, "WastagePercent": 5}]}, "wastage"),
        ({"SKU": None}, "no SKU"),
    ],
)
def test_kits_that_cannot_be_told(changes: dict[str, Any], says: str) -> None:
    kit = item(**changes)
    assert kit.kit
    assert says in kit.fault
    assert kit.recipe == () or "SKU" in kit.fault


def test_a_manual_assembly_has_stock_of_its_own() -> None:
    assembled = item(AutoAssembly=False, BillOfMaterialsProducts=[])
    assert (assembled.kit, assembled.recipe, assembled.fault) == (False, (), "")


@pytest.mark.parametrize("changes", [{"Status": "Deprecated"}, {"Status": "Setup required"}, {"Sellable": False}])
def test_what_is_not_sellable(changes: dict[str, Any]) -> None:
    assert not item(**changes).sellable


def test_a_product_that_is_no_product() -> None:
    assert "not understood" in translate.catalogue_item(msgspec.Raw(b'{"SKU":["x"]}')).fault


def test_tax_rules() -> None:
    row = wire.decode(b'{"Name":"VAT 19","TaxPercent":19.0000,"IsActive":true,"IsTaxForSale":false}', wire.TaxRuleRow)
    rule = translate.tax_rule(row)
    assert (rule.name, rule.percent, rule.active, rule.included) == ("VAT 19", Decimal(19), False, False)


# --- Sales -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "sale", "ours"),
    [
        ("NOT AVAILABLE", "DRAFT", "draft"),
        ("DRAFT", "ORDERING", "draft"),
        (None, "DRAFT", "draft"),
        ("AUTHORISED", "BACKORDERED", "authorised"),
        ("FULFILLED", "COMPLETED", "authorised"),
        ("CLOSED", "COMPLETED", "authorised"),
        ("AUTHORISED", "VOIDED", "voided"),
        ("VOIDED", "", "voided"),
        ("AUTH_NO_ALLOC", "ORDERED", "other"),
        ("PARTIALLY CONFIRMED", "ORDERED", "other"),
        (None, "ORDERED", "other"),
    ],
)
def test_status(order: str | None, sale: str, ours: str) -> None:
    assert translate.status_of(order, sale) == ours


def document(**changes: Any) -> wire.SaleDocument:
    sale = {
        "ID": "ABCDEF00-0000-0000-0000-000000000001",
        "Status": "ORDERED",
        "Location": "Main Warehouse",
        "CustomerCurrency": "EUR",
        "ExternalID": "shop:o-1:1",
        "LastModifiedOn": "2026-11-21T10:00:00Z",
        "CombinedPickingStatus": "NOT PICKED",
        "Order": {
            "SaleOrderNumber": "SO-881",
            "Status": "AUTHORISED",
            "Lines": [
                {"SKU": "CHAIR", "Quantity": 5.0, "BackorderQuantity": 2.0},
                {"SKU": "TABLE", "Quantity": 1, "BackorderQuantity": 0},
            ],
            "TotalBeforeTax": 9.985,
            "Tax": 1.9,
            "Total": 11.8850,
        },
        "Fulfilments": [],
    } | changes
    return wire.decode(json.dumps(sale).encode(), wire.SaleDocument)


def test_a_sale() -> None:
    sale = translate.sale(document(), PLACES)
    assert (sale.sale_id, sale.number, sale.ref) == (
        "abcdef00-0000-0000-0000-000000000001",
        "SO-881",
        "shop:o-1:1",
    )
    assert (sale.status, sale.location, sale.picked) == ("authorised", "berlin", False)
    assert sale.lines == (
        Allocation(sku="CHAIR", quantity=5, backorder=2),
        Allocation(sku="TABLE", quantity=1, backorder=0),
    )
    assert sale.totals == SaleTotals(net=999, tax=190, gross=1189)  # ties go up
    assert sale.faults == ()


def test_what_is_not_authorised_sets_nothing_aside() -> None:
    order = {"Status": "AUTH_NO_ALLOC", "Lines": [{"SKU": "CHAIR", "Quantity": 5, "BackorderQuantity": 0}]}
    for status in ("AUTH_NO_ALLOC", "DRAFT", "VOIDED", "SOMETHING NEW"):
        sale = translate.sale(document(Order=order | {"Status": status}), PLACES)
        assert sale.lines == (Allocation(sku="CHAIR", quantity=5, backorder=5),)


@pytest.mark.parametrize(
    "line",
    [
        {"SKU": "CHAIR", "Quantity": 2.5, "BackorderQuantity": 0},
        {"SKU": "CHAIR", "Quantity": 2},
        {"SKU": "CHAIR", "Quantity": 2, "BackorderQuantity": 3},
        {"SKU": None, "Quantity": 2, "BackorderQuantity": 0},
    ],
)
def test_lines_that_prove_nothing(line: dict[str, Any]) -> None:
    sale = translate.sale(document(Order={"Status": "AUTHORISED", "Lines": [line]}), PLACES)
    assert sale.lines[0].quantity == sale.lines[0].backorder
    assert len(sale.faults) == 1


def test_torn_totals_are_none() -> None:
    order = {"Status": "AUTHORISED", "Lines": [], "TotalBeforeTax": 10, "Total": 11.9}
    assert translate.sale(document(Order=order), PLACES).totals is None


@pytest.mark.parametrize(("currency", "gross"), [("EUR", 1189), ("JPY", 12), ("KWD", 11885)])
def test_totals_in_the_currency_s_own_minor_units(currency: str, gross: int) -> None:
    totals = translate.sale(document(CustomerCurrency=currency), PLACES).totals
    assert totals is not None
    assert totals.gross == gross


def test_a_fresh_header() -> None:
    sale = translate.sale(document(Order=None, Status="DRAFT", Location="Unknown place"), PLACES)
    assert (sale.status, sale.lines, sale.totals, sale.location) == ("draft", (), None, "Unknown place")


@pytest.mark.parametrize(
    ("combined", "pick", "picked"),
    [("PARTIALLY PICKED", None, True), ("NOT PICKED", "AUTHORISED", True), ("NOT PICKED", "DRAFT", False)],
)
def test_picked(combined: str, pick: str | None, picked: bool) -> None:
    fulfilments = [{"TaskID": "T", "Pick": {"Status": pick, "Lines": []}}]
    sale = translate.sale(document(CombinedPickingStatus=combined, Fulfilments=fulfilments), PLACES)
    assert sale.picked is picked


@pytest.mark.parametrize(
    ("shipping", "shipped"),
    [
        ("NOT SHIPPED", False),
        ("NOT AVAILABLE", False),
        ("VOIDED", False),
        (None, False),
        ("SHIPPED", True),
        ("PARTIALLY SHIPPED", True),
        ("SHIPPING", True),
        ("SENT BY DRONE", True),
    ],
)
def test_rows_worth_reading(shipping: str | None, shipped: bool) -> None:
    listed = wire.SaleListRow(sale_id="AB", order_status="AUTHORISED", combined_shipping_status=shipping)
    row = translate.sale_row(listed, {})
    assert (row.sale_id, row.shipped, row.picked) == ("ab", shipped, False)
    picking = msgspec.structs.replace(listed, combined_picking_status="PARTIALLY PICKED")
    assert translate.sale_row(picking, {}).picked


def test_a_row_names_its_location_by_our_name_also_through_a_bin() -> None:
    """The list has ids only, whose case is not stable, and a bin is a location of its own there."""
    rows = [
        wire.LocationRow(id="AA-1", name="Main Warehouse"),
        wire.LocationRow(id="BB-2", name="A-1", parent_id="aa-1"),
        wire.LocationRow(id="CC-3", name="Not ours", parent_id="00000000-0000-0000-0000-000000000000"),
    ]
    names = translate.location_names(rows, PLACES)
    assert names == {"aa-1": "berlin", "bb-2": "berlin", "cc-3": "Not ours"}
    listed = wire.SaleListRow(sale_id="AB", order_status="AUTHORISED")
    found = [
        translate.sale_row(msgspec.structs.replace(listed, order_location_id=each), names).location
        for each in ("Bb-2", "CC-3", "dd-4", None)
    ]
    assert found == ["berlin", "Not ours", "", ""]


def test_progress_is_told_only_of_an_authorised_sale() -> None:
    listed = wire.SaleListRow(sale_id="AB", order_status="AUTHORISED", combined_picking_status="Picking")
    assert translate.sale_row(listed, {}).progress == "PICKING|||||"
    assert translate.sale_row(msgspec.structs.replace(listed, order_status="DRAFT"), {}).progress == ""


def test_lists_are_found_under_any_spelling() -> None:
    for body in (b'{"total":"1","salelist":[{}]}', b'{"Total":1,"Rows":[{}]}'):
        rows, total = wire.envelope(body, "SaleList")
        assert (len(rows), total) == (1, 1)
    with pytest.raises(wire.Garbled):
        wire.envelope(b'{"Total":1,"A":[],"B":[]}', "SaleList")
    with pytest.raises(Unavailable):
        wire.envelope(b'{"Total":1,"SaleList":[{"ID', "SaleList")
