"""Stock: figures by site and kind of location, products, purchase orders, returns, tasks, reports."""

from typing import Any

import pytest
from orderflow_tenant import Tenant, order_text, run

INVENTORY = "remotewarehouse/inventory.xml"


def rma(*more: str, sku: str = "CHAIR", units: Any = 1) -> str:
    return "\n".join(
        [*more, f"returnLine.1.product={sku}", f"returnLine.1.quantity={units}", "returnLine.1.returnItem=return"]
    )


def test_figures_of_a_site() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 4})
        figures = await tenant.figures("CHAIR")
        for name in ("inventoryId", "lastStockChangeId", "lastLineRequirementChangeId"):
            assert figures.pop(name).isdigit()
        assert figures == {
            "externalReference": "CHAIR",
            "organisation": "CRUNCHY",
            "site": "LEEDS",
            "total": "12",
            "allocated": "4",
            "available": "6",
            "frozen": "2",
            "onOrder": "0",
            "inspection": "0",
            "damaged": "0",
            "quarantined": "0",
        }
        assert (await tenant.figures("CHAIR", "DERBY"))["available"] == "5"

    run(story)


def test_change_ids_rise_with_what_changed() -> None:
    async def story(tenant: Tenant) -> None:
        before = await tenant.figures("CHAIR")
        await tenant.order("CT-1", {"CHAIR": 1})
        ordered = await tenant.figures("CHAIR")
        await tenant.act(adjust={"sku": "CHAIR", "delta": 1})
        adjusted = await tenant.figures("CHAIR")
        assert int(ordered["lastLineRequirementChangeId"]) > int(before["lastLineRequirementChangeId"])
        assert ordered["lastStockChangeId"] == before["lastStockChangeId"]
        assert int(adjusted["lastStockChangeId"]) > int(ordered["lastStockChangeId"])

    run(story)


def test_what_has_no_record_is_absent() -> None:
    async def story(tenant: Tenant) -> None:
        async def listed(**query: str) -> list[str | None]:
            rows = await tenant.xml("GET", INVENTORY, site="LEEDS", **query)
            return [row.get("externalReference") for row in rows]

        assert await listed() == ["CHAIR", "TABLE"]
        assert await listed(externalReferences="TABLE, LAMP,UNICORN") == ["TABLE"]
        await tenant.order("CT-1", {"LAMP": 1})
        assert await listed(externalReferences="LAMP") == []
        await tenant.act(receive={"lines": [{"sku": "LAMP", "quantity": 3}]})
        assert await listed() == ["CHAIR", "LAMP", "TABLE"]
        assert (await tenant.figures("LAMP"))["available"] == "2"

    run(story)


def test_several_sites_ask_for_one() -> None:
    async def story(tenant: Tenant) -> None:
        assert "parameter 'site' is required" in (await tenant.call("GET", INVENTORY)).text
        assert "No site" in (await tenant.call("GET", INVENTORY, site="MARS")).text
        await tenant.act(switch={"site_missing": "all"})
        rows = await tenant.xml("GET", INVENTORY, externalReferences="CHAIR")
        assert [(row.get("site"), row.get("available")) for row in rows] == [("DERBY", "5"), ("LEEDS", "10")]

    run(story)


def test_frozen_is_a_count_or_a_flag_and_kinds_are_the_tenants() -> None:
    async def story(tenant: Tenant) -> None:
        figures = await tenant.figures("CHAIR")
        assert figures["frozen"] == "true"
        assert "inspection" not in figures
        assert figures["quarantined"] == "0"
        assert (await tenant.figures("TABLE"))["frozen"] == "false"
        move = {"sku": "CHAIR", "quantity": 1, "from": "good", "to": "inspection"}
        assert "no inspection locations" in await tenant.refused_act(move=move)

    run(story, frozen_as="bool", location_types=["quarantined"])


def test_goods_out_of_reach_are_not_available() -> None:
    async def story(tenant: Tenant) -> None:
        for n, kind in enumerate(("inspection", "damaged", "quarantined", "frozen"), 1):
            await tenant.act(move={"sku": "CHAIR", "quantity": n, "from": "good", "to": kind})
        figures = await tenant.figures("CHAIR")
        shown = [figures[name] for name in ("total", "available", "inspection", "damaged", "quarantined", "frozen")]
        assert shown == ["12", "0", "1", "2", "3", "6"]
        await tenant.act(move={"sku": "CHAIR", "quantity": 9, "from": "quarantined", "to": "good", "to_site": "DERBY"})
        assert (await tenant.figures("CHAIR", "DERBY"))["available"] == "8"

    run(story)


def test_counts_and_adjustments() -> None:
    async def story(tenant: Tenant) -> None:
        assert await tenant.act(count={"sku": "CHAIR", "found": 7}) == {"delta": -3}
        assert await tenant.act(adjust={"sku": "CHAIR", "delta": -100}) == {"delta": -7}
        assert await tenant.act(adjust={"sku": "CHAIR", "delta": 2, "kind": "damaged"}) == {"delta": 2}
        figures = await tenant.figures("CHAIR")
        assert [figures[name] for name in ("total", "available", "damaged")] == ["4", "0", "2"]

    run(story)


def test_figures_are_shown_late() -> None:
    async def story(tenant: Tenant) -> None:
        tenant.pass_time(300)
        await tenant.act(adjust={"sku": "CHAIR", "delta": -4})
        tenant.pass_time(60)
        await tenant.act(adjust={"sku": "CHAIR", "delta": -1})
        assert (await tenant.figures("CHAIR"))["available"] == "10"
        tenant.pass_time(239)
        assert (await tenant.figures("CHAIR"))["available"] == "10"
        tenant.pass_time(1)
        assert (await tenant.figures("CHAIR"))["available"] == "6"
        tenant.pass_time(60)
        assert (await tenant.figures("CHAIR"))["available"] == "5"

    run(story, inventory_lag_seconds=300)


def test_products_are_inserted_updated_and_merged() -> None:
    async def story(tenant: Tenant) -> None:
        rows = await tenant.send(
            ("product", "insert", "SHELF", "type=default\ndescription=Oak shelf"),
            ("product", "insert", "CHAIR", "type=default"),
            ("product", "update", "UNICORN", "description=x"),
            ("product", "update", "CHAIR", "description=Red chair\nactivated=false"),
            ("product", "merge", "STOOL", "type=default"),
            ("product", "merge", "TABLE", "description=Round table"),
            ("product", "insert", "NO-TYPE", "description=x"),
            ("product", "insert", "SET", "type=bundle"),
            ("product", "merge", "LONG", "type=default\ndescription=" + "x" * 121),
        )
        done = [(row["operation"], row["externalReference"]) for row in rows["importSuccesses"]]
        assert done == [("insert", "SHELF"), ("update", "CHAIR"), ("merge", "STOOL"), ("merge", "TABLE")]
        assert [row["externalReference"] for row in rows["importDuplicates"]] == ["CHAIR"]
        assert [(row["externalReference"], row["failureMessage"]) for row in rows["importFailures"]] == [
            ("UNICORN", "Product not found"),
            ("NO-TYPE", "Mandatory property missing"),
            ("SET", "Product 'SET' is not a physical item"),
            ("LONG", "Property 'description' is too long"),
        ]
        await tenant.order("CT-1", {"SHELF": 1})
        assert "not activated" in await tenant.refusal("order", "insert", "CT-2", order_text({"CHAIR": 1}))

    run(story)


def test_a_purchase_order_is_no_stock_until_it_is_received() -> None:
    async def story(tenant: Tenant) -> None:
        text = "purchaseOrder.supplier=Oak Ltd\npurchaseOrder.expectedDeliveryDate=2025-12-01 00:00:00\n"
        lines = (
            "purchaseOrderLine.1.product=TABLE\npurchaseOrderLine.1.quantity=6\n"
            "purchaseOrderLine.1.purchaseOrder=purchaseOrder\n"
            "purchaseOrderLine.2.product=LAMP\npurchaseOrderLine.2.quantity=2"
        )
        rows = await tenant.send(
            ("purchaseOrder", "insert", "PO-1", text + lines), ("purchaseOrder", "insert", "PO-1", text + lines)
        )
        assert (len(rows["importSuccesses"]), len(rows["importDuplicates"])) == (1, 1)
        figures = await tenant.figures("TABLE")
        assert [figures[name] for name in ("total", "available", "onOrder")] == ["3", "3", "6"]
        came = [{"sku": "TABLE", "quantity": 2}, {"sku": "TABLE", "quantity": 1, "kind": "inspection"}]
        await tenant.act(receive={"purchase_order": "PO-1", "lines": came})
        figures = await tenant.figures("TABLE")
        shown = [figures[name] for name in ("total", "available", "inspection", "onOrder")]
        assert shown == ["6", "5", "1", "3"]
        query = {"reportKey": "purchase_order_lines_xml", "organisation_id": "CRUNCHY", "reference": "PO-1"}
        report = await tenant.xml("GET", "remote/report.xml", **query)
        assert [
            (line.findtext("sku"), line.findtext("lineQuantity"), line.findtext("lineOutstandingQuantity"))
            for line in report.iterfind("lines/line")
        ] == [("TABLE", "6", "3"), ("LAMP", "2", "2")]
        assert report.findtext("lines/line/state") == "part_received"
        await tenant.act(close_purchase={"purchase_order": "PO-1"})
        assert (await tenant.figures("TABLE"))["onOrder"] == "0"
        assert "no open purchase order" in await tenant.refused_act(close_purchase={"purchase_order": "PO-1"})

    run(story)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("purchaseOrder", "purchaseOrder.supplier=Oak", "Purchase order has no lines"),
        ("purchaseOrder", "purchaseOrder.site=MARS", "Site not found: 'MARS'"),
        ("purchaseOrder", "purchaseOrderLine.1.product=UNICORN\npurchaseOrderLine.1.quantity=1", "Product not found"),
        ("return", rma(), "Mandatory property missing"),
        ("return", rma("return.orderReference=CT-9"), "Order not found"),
        ("return", rma("return.authorisation=RMA-1", "return.type=boredom"), "Unknown return type 'boredom'"),
        ("return", rma("return.authorisation=RMA-1", "returnLine.1.reason=Z - Bored"), "Unknown reason 'Z - Bored'"),
        ("return", rma("return.authorisation=RMA-1", "returnLine.1.condition=Eaten"), "Unknown condition 'Eaten'"),
        ("return", rma("return.authorisation=RMA-1", sku="UNICORN"), "Product not found"),
        ("stockMoveTask", "stockMoveLine.1.product=TABLE\nstockMoveLine.1.quantity=-4", "Not enough stock"),
        ("stockMoveTask", "stockMoveTask.note=x", "Stock move task has no lines"),
    ],
)
def test_warehouse_items_are_refused(kind: str, text: str, message: str) -> None:
    async def story(tenant: Tenant) -> None:
        assert await tenant.refusal(kind, "insert", "X-1", text) == message
        assert "not supported" in await tenant.refusal(kind, "update", "X-1", text)
        assert (await tenant.figures("TABLE"))["total"] == "3"

    run(story)


def test_a_stock_task_moves_all_of_its_lines() -> None:
    async def story(tenant: Tenant) -> None:
        text = "\n".join(
            f"stockMoveLine.{n}.{name}={value}"
            for n, (sku, delta) in enumerate((("CHAIR", -4), ("TABLE", 2)), 1)
            for name, value in (("product", sku), ("quantity", delta), ("stockMoveTask", "stockMoveTask"))
        )
        rows = await tenant.send(("stockMoveTask", "insert", "T-1", text), ("stockMoveTask", "insert", "T-1", text))
        assert (len(rows["importSuccesses"]), len(rows["importDuplicates"])) == (1, 1)
        assert (await tenant.figures("CHAIR"))["available"] == "6"
        assert (await tenant.figures("TABLE"))["available"] == "5"

    run(story)


def test_a_return_goes_where_its_condition_says_and_into_the_report() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 4})
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        announced = rma("return.authorisation=RMA-1", "return.authorised=true", "return.orderReference=CT-1", units=2)
        rows = await tenant.send(("return", "insert", "R-1", announced), ("return", "insert", "R-1", announced))
        assert (len(rows["importSuccesses"]), len(rows["importDuplicates"])) == (1, 1)
        assert (await tenant.figures("CHAIR"))["total"] == "8"
        tenant.pass_time(3600)
        lines = [
            {"sku": "CHAIR", "quantity": 1, "reason": "A - Not wanted", "condition": "As new"},
            {"sku": "CHAIR", "quantity": 1, "reason": "F - Damaged in transit", "note": "no legs",
             "condition": "Product damaged (irreparable)"},
        ]  # fmt: skip
        await tenant.act(book_return={"authorisation": "RMA-1", "lines": lines})
        figures = await tenant.figures("CHAIR")
        assert [figures[name] for name in ("total", "available", "damaged")] == ["10", "7", "1"]
        window = {"startDate": "2025-11-21 05:40:00", "endDate": "2025-11-21 05:40:00"}
        report = await tenant.xml("GET", "remote/report.xml", reportKey="return_line_api_report", **window)
        assert report.tag == "returns"
        assert {child.tag: child.text for child in report[1]} == {
            "organisation": "CRUNCHY",
            "channel": "HOME",
            "orderReference": "CT-1",
            "product": "CHAIR",
            "quantity": "1",
            "returnedDate": "2025-11-21 05:40:00",
            "completedDate": "2025-11-21 05:40:00",
            "authorised": "true",
            "authorisation": "RMA-1",
            "type": "unknown",
            "note": None,
            "lineReason": "F - Damaged in transit",
            "lineCondition": "Product damaged (irreparable)",
            "lineType": "unknown",
            "lineNote": "no legs",
        }
        later = await tenant.xml(
            "GET", "remote/report.xml", reportKey="return_line_api_report", startDate="2025-11-21 05:40:01"
        )
        assert len(later) == 0
        [one] = (await tenant.truth())["returns"]
        assert [row["quantity"] for row in one["announced"]] == [2]

    run(story)


def test_a_parcel_nobody_announced_is_booked_too() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        line = {"sku": "CHAIR", "quantity": 3, "condition": "Packaging damaged"}
        await tenant.act(book_return={"order": "CT-1", "lines": [line]})
        assert (await tenant.figures("CHAIR"))["inspection"] == "3"
        assert "none of" in await tenant.refused_act(book_return={"lines": [line | {"condition": "Eaten"}]})
        report = await tenant.xml("GET", "remote/report.xml", reportKey="return_line_api_report", channel="HOME")
        assert [row.findtext("quantity") for row in report] == ["3"]
        other = await tenant.xml("GET", "remote/report.xml", reportKey="return_line_api_report", channel="TOYS")
        assert len(other) == 0

    run(story)


def test_lists_of_reasons_and_conditions_are_the_tenants() -> None:
    async def story(tenant: Tenant) -> None:
        text = rma("return.authorisation=RMA-1", "returnLine.1.reason=Bored", "returnLine.1.condition=Shiny")
        assert len((await tenant.send(("return", "insert", "R-1", text)))["importSuccesses"]) == 1
        line = {"sku": "CHAIR", "quantity": 1, "reason": "Bored", "condition": "Shiny"}
        await tenant.act(book_return={"authorisation": "RMA-1", "lines": [line]})
        assert (await tenant.figures("CHAIR"))["quarantined"] == "1"

    run(story, reasons=["Bored"], conditions={"Shiny": "quarantined"})


def test_an_unknown_report_is_refused() -> None:
    async def story(tenant: Tenant) -> None:
        answer = await tenant.call("GET", "remote/report.xml", reportKey="secrets")
        assert "No report found with key 'secrets'" in answer.text
        assert "'reportKey' is not present" in (await tenant.call("GET", "remote/report.xml")).text

    run(story)
