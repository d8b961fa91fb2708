"""OrderFlow's documents as our words: counts, times, states, and what is reported instead of guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sellable.config.settings import Location
from sellable.connectors.orderflow import translate, wire
from sellable.connectors.orderflow.translate import Sites
from sellable.connectors.orderflow.wire import Garbled
from sellable.connectors.port import Allocation, Despatch, Imported, InventoryPage, Returns, Sale
from sellable.domain.orders import Parcel, Shipment
from sellable.domain.stock import State

LONDON = ZoneInfo("Europe/London")
LEEDS = Location(name="leeds", master="orderflow", remote="Leeds DC")
YORK = Location(name="york", master="orderflow", remote="York")
SITES = Sites([LEEDS, YORK, Location(name="berlin", master="cin7_core", remote="Berlin")])
ONE_SITE = Sites([LEEDS])
SINCE, UNTIL = datetime(2026, 7, 2, 8, 0, tzinfo=UTC), datetime(2026, 7, 2, 9, 0, tzinfo=UTC)


# --- Inventory -------------------------------------------------------------------------------------------------------


def product(sku: str = "A", site: str = "Leeds DC", **counts: Any) -> str:
    fields = {"total": 10, "allocated": 3, "available": 6, "frozen": 1, "onOrder": 40} | counts
    named = " ".join(f'{name}="{value}"' for name, value in fields.items() if value is not None)
    where = f'site="{site}"' if site else ""
    return f'<product externalReference="{sku}" {where} {named}/>'


def inventory(*products: str, sites: Sites = SITES, asked: Any = None, location: str | None = None) -> InventoryPage:
    root = wire.parse(f"<inventory>{''.join(products)}</inventory>".encode())
    return translate.inventory(root, sites=sites, asked=asked, location=location)


def test_an_inventory_row() -> None:
    page = inventory(product(inspection=2, lastStockChangeId=812, sequenceId="x", available=4))
    (row,) = page.rows
    assert (row.sku, row.location) == ("A", "leeds")
    assert (row.total, row.allocated, row.available, row.frozen, row.on_order) == (10, 3, 4, 1, 40)
    assert (row.inspection, row.damaged, row.quarantined) == (2, None, None)
    assert (row.stock_change, row.requirement_change, row.sequence) == (812, None, None)
    assert (page.received, page.faults, page.warnings) == (1, (), ())


def test_its_rows_of_stock_keep_what_may_not_be_sold_apart() -> None:
    (row,) = inventory(product(damaged=2, available=4)).rows
    assert [(each.part, each.state, each.available) for each in row.stock] == [
        ("", State.AVAILABLE, 4),
        ("frozen", State.QUARANTINE, 1),
        ("damaged", State.DAMAGED, 2),
    ]
    assert (row.stock[0].on_hand, row.stock[0].allocated, row.stock[0].on_order) == (10, 3, 40)
    assert sum(each.available for each in row.stock if each.state is State.AVAILABLE) == 4


@pytest.mark.parametrize(
    "change", [{"available": "4.5"}, {"total": "-1"}, {"allocated": None}, {"available": "true"}, {"damaged": "-3"}]
)
def test_a_row_that_is_not_understood_is_unknown_and_no_zero(change: dict[str, Any]) -> None:
    page = inventory(product(**change), product("B"))
    assert [row.sku for row in page.rows] == ["B"]
    assert page.unreadable == (("A", "leeds"),)
    assert len(page.faults) == 1
    assert page.faults[0].startswith("A at leeds: ")


def test_frozen_may_come_without_a_number() -> None:
    (yes, no, absent) = inventory(product(frozen="true"), product("B", frozen="false"), product("C", frozen=None)).rows
    assert (yes.frozen, no.frozen, absent.frozen) == (None, 0, None)
    assert [row.part for row in yes.stock] == [""]


def test_available_below_zero_is_said_and_never_clipped() -> None:
    page = inventory(product(available=-2))
    assert page.rows[0].available == page.rows[0].stock[0].available == -2
    assert page.warnings == ("A at leeds: available is -2",)


def test_numbers_that_do_not_add_up_are_said_and_not_mended() -> None:
    page = inventory(product(available=9), product("B", available=6), product("C", quarantined=1))
    assert [row.available for row in page.rows] == [9, 6, 6]
    assert page.warnings == (
        "A at leeds: 9 available of 10, with 4 elsewhere",
        "C at leeds: 6 available of 10, with 5 elsewhere",
    )


def test_a_sku_that_is_not_answered_is_unknown() -> None:
    page = inventory(product("A"), product("a"), product("C", available="x"), asked=["A", "B", "B", "C"])
    assert [row.sku for row in page.rows] == ["A"]
    assert page.absent == ("B",)
    assert page.ignored == (("a", "Leeds DC"),)
    assert inventory(product("A")).absent == ()


def test_rows_of_other_places_are_ignored() -> None:
    page = inventory(product("A", "York"), product("A", "Hull"), product("A"), location="leeds")
    assert [(row.sku, row.location) for row in page.rows] == [("A", "leeds")]
    assert page.ignored == (("A", "York"), ("A", "Hull"))


def test_where_a_row_without_a_site_is() -> None:
    assert inventory(product(site=""), sites=ONE_SITE).rows[0].location == "leeds"
    assert inventory(product(site=""), location="york").rows[0].location == "york"
    page = inventory(product(site=""))
    assert (page.rows, page.unreadable) == ((), (("A", ""),))
    assert page.faults == ("A: no site, and there are several",)


def test_a_row_without_a_sku() -> None:
    page = inventory('<product total="1"/>')
    assert (page.faults, page.received) == (("product 1: no externalReference",), 1)


def test_another_document_is_no_inventory() -> None:
    with pytest.raises(Garbled, match="<shipments> where <inventory>"):
        translate.inventory(wire.parse(b"<shipments/>"), sites=SITES, asked=None, location=None)


# --- Orders ----------------------------------------------------------------------------------------------------------


def order(
    *lines: tuple[str, int, str], state: str = "created", shipments: str = "", ref: str = "R", states: Any = None
) -> Sale:
    told = "".join(f'<orderLine product="{s}" quantity="{n}" state="{w}"/>' for s, n, w in lines)
    body = f"""<order externalReference="{ref}" state="{state}">
      <shipments>{shipments}</shipments><orderLines>{told}</orderLines></order>"""
    return translate.order(wire.parse(body.encode()), ref="R", sites=SITES, states=states or {})


@pytest.mark.parametrize(
    ("line", "backorder", "stage"),
    [
        ("created", 5, "waiting"),
        ("out of stock", 5, "waiting"),
        ("allocated", 0, "allocated"),
        ("move pending", 0, "allocated"),
        ("PICKABLE", 0, "allocated"),
        ("picked", 0, "picking"),
        ("packed", 0, "packed"),
        ("despatched", 0, "despatched"),
        ("cancelled", 5, "cancelled"),
        ("on_the_moon", 5, "unknown"),
    ],
)
def test_only_a_lines_state_proves_its_units(line: str, backorder: int, stage: str) -> None:
    sale = order(("A", 5, line), state="validated", shipments='<shipment state="released"/>')
    assert sale.lines == (Allocation(sku="A", quantity=5, backorder=backorder, stage=stage, state=line),)  # type: ignore[arg-type]
    assert (len(sale.faults) == 1) is (stage == "unknown")


def test_a_shipment_that_is_released_proves_nothing_of_a_line_without_a_state() -> None:
    body = """<order externalReference="R" state="created"><shipments><shipment state="released"/></shipments>
      <orderLines><orderLine product="A" quantity="2"/></orderLines></order>"""
    (line,) = translate.order(wire.parse(body.encode()), ref="R", sites=SITES, states={}).lines
    assert (line.backorder, line.stage) == (2, None)


def test_how_far_an_order_is() -> None:
    sale = order(("A", 1, "picked"), ("B", 2, "created"), ("C", 1, "cancelled"))
    assert (sale.status, sale.stage, sale.picked, sale.late) == ("authorised", "waiting", True, False)
    late = order(("A", 1, "picked"), shipments='<shipment state="packed" site="York"/>')
    assert (late.stage, late.picked, late.late, late.location) == ("picking", True, True, "york")
    gone = order(state="cancelled")
    assert (gone.status, gone.stage, gone.raw_status) == ("voided", "cancelled", "cancelled")
    assert (gone.sale_id, gone.number, gone.ref, gone.totals, gone.shipments) == ("R", "R", "R", None, ())


def test_a_state_nobody_mapped_is_reported() -> None:
    sale = order(("A", 1, "allocated"), state="in_dreams")
    assert sale.status == "other"
    assert sale.faults == ("order R: state 'in_dreams' is not mapped",)


def test_the_tenants_states_go_first() -> None:
    mine = {"In Dreams": "waiting", "pickable": "waiting", "boxed": "packed"}
    sale = order(("A", 1, "boxed"), ("B", 1, "Pickable"), state="in_dreams", states=mine)
    assert (sale.status, sale.faults, sale.late) == ("authorised", (), True)
    assert [line.backorder for line in sale.lines] == [0, 1]


def test_lines_may_stand_in_the_shipments() -> None:
    line = '<orderLines><orderLine product="{}" quantity="1" state="created"/></orderLines>'
    boxes = "".join(f'<shipment state="ready">{line.format(sku)}</shipment>' for sku in "AB")
    body = f'<order externalReference="R" state="created"><shipments>{boxes}</shipments></order>'
    sale = translate.order(wire.parse(body.encode()), ref="R", sites=SITES, states={})
    assert [line.sku for line in sale.lines] == ["A", "B"]


def test_a_line_that_is_not_understood_is_a_fault() -> None:
    sale = order(("A", -1, "created"), ("", 2, "allocated"))
    assert sale.faults == ("order line A: quantity is -1", "order line without a product")
    assert [line.quantity for line in sale.lines] == [2]


@pytest.mark.parametrize("ref", ["r", "R2", ""])
def test_another_order_is_no_answer(ref: str) -> None:
    with pytest.raises(Garbled, match="asked for order R"):
        order(ref=ref)


# --- Imports ---------------------------------------------------------------------------------------------------------

ANSWER = b"""<importResult>
  <importSuccesses>
    <import type="order" operation="insert" externalReference="A" queryTime="12" entity="x" item="9"/>
  </importSuccesses>
  <importFailures><import type="order" operation="insert" externalReference="B">
    <failureMessage>Unknown product</failureMessage><failureDetail>SKU-9</failureDetail></import></importFailures>
  <importDuplicates><import type="order" externalReference="C">
    <duplicateMessage>known</duplicateMessage></import></importDuplicates>
</importResult>"""


def outcomes(body: bytes, *refs: str) -> list[Imported]:
    return translate.imported(wire.parse(body), refs, type_="order")


def test_one_answer_mixes_outcomes_and_the_asker_keeps_its_order() -> None:
    assert outcomes(ANSWER, "C", "B", "D", "A") == [
        Imported(ref="C", outcome="duplicate", message="known"),
        Imported(ref="B", outcome="failure", message="Unknown product", detail="SKU-9"),
        Imported(ref="D", outcome="unknown", message="not in the answer"),
        Imported(ref="A", outcome="success"),
    ]


def test_an_order_told_in_two_ways_is_unknown() -> None:
    body = b"""<importResult><importSuccesses><import externalReference="A"/></importSuccesses>
      <importFailures><import externalReference="A"/></importFailures></importResult>"""
    assert outcomes(body, "A") == [Imported(ref="A", outcome="unknown", message="told as failure and success")]


def test_the_same_outcome_twice_is_one() -> None:
    entry = b'<import externalReference="A"/>'
    body = b"<importResult><importSuccesses>%s%s</importSuccesses></importResult>" % (entry, entry)
    assert [each.outcome for each in outcomes(body, "A")] == ["success"]


def test_an_outcome_may_stand_in_a_status() -> None:
    body = b"""<importResult><import externalReference="A" status="Duplicate"/>
      <import externalReference="B" status="odd"/></importResult>"""
    assert [each.outcome for each in outcomes(body, "A", "B")] == ["duplicate", "unknown"]


def test_entries_of_another_type_are_not_ours() -> None:
    body = b"""<importResult><importSuccesses>
      <import type="product" externalReference="A"/></importSuccesses></importResult>"""
    assert [each.outcome for each in outcomes(body, "A")] == ["unknown"]


# --- Despatches ------------------------------------------------------------------------------------------------------

SHIPMENT = """<shipment><reference>R_S1</reference><orderReference>R</orderReference>
  <originatingOrderReference>R0</originatingOrderReference><state>despatched</state><courier>dpd</courier>
  <carrier>DPD</carrier><service>next</service><despatchReference>T1</despatchReference>
  <trackingUrl>https://track.example/T1</trackingUrl><completed>2026-07-02 09:30:00</completed>
  <packages>{packages}</packages><orderLines>{lines}</orderLines></shipment>"""
LINE = "<orderLine><productReference>{}</productReference><quantity>{}</quantity><thirdPartyReference/></orderLine>"


def despatches(*shipments: str) -> Any:
    root = wire.parse(f"<shipments>{''.join(shipments)}</shipments>".encode())
    return translate.despatches(root, since=SINCE, until=UNTIL, zone=LONDON)


def shipment(lines: str = LINE.format("A", 2), packages: str = "") -> str:
    return SHIPMENT.format(lines=lines, packages=packages)


def test_a_shipment_that_left() -> None:
    page = despatches(shipment(LINE.format("A", 2) + LINE.format("B", 1) + LINE.format("A", 3) + LINE.format("C", 0)))
    items = (("A", 5), ("B", 1))
    parcel = Parcel(
        parcel_id="R_S1-1", carrier="DPD", tracking="T1", tracking_url="https://track.example/T1",
        shipped_on="2026-07-02", items=items,
    )  # fmt: skip
    assert page.despatches == (
        Despatch(
            order_ref="R", original_ref="R0", shipment=Shipment(shipment_id="R_S1", items=items, parcels=(parcel,)),
            state="despatched", carrier="DPD", courier="dpd", service="next", tracking="T1",
            tracking_url="https://track.example/T1", completed=datetime(2026, 7, 2, 8, 30, tzinfo=UTC),
        ),
    )  # fmt: skip
    assert (page.received, page.since, page.until, page.faults) == (1, SINCE, UNTIL, ())


def test_a_parcel_for_each_package_and_nobody_knows_what_is_in_which() -> None:
    packages = '<package despatchReference="T1"/><package despatchReference="T2"/><package/>'
    (despatch,) = despatches(shipment(packages=packages)).despatches
    assert [(p.parcel_id, p.tracking, p.tracking_url, p.items) for p in despatch.shipment.parcels] == [
        ("R_S1-1", "T1", "https://track.example/T1", ()),
        ("R_S1-2", "T2", "", ()),
        ("R_S1-3", "T1", "https://track.example/T1", ()),
    ]
    assert despatch.shipment.items == (("A", 2),)


@pytest.mark.parametrize(
    ("broken", "fault", "unreadable"),
    [
        (shipment(""), "shipment R_S1: it names no goods", ("R_S1",)),
        (shipment(LINE.format("A", "-1")), "shipment R_S1: quantity is -1", ("R_S1",)),
        (shipment(LINE.format("A", "1.5")), "shipment R_S1: quantity is '1.5', not a whole number", ("R_S1",)),
        (shipment(LINE.format("", 1)), "shipment R_S1: a line without a product", ("R_S1",)),
        (shipment().replace("<reference>R_S1</reference>", ""), "shipment 1: no reference", ()),
        (shipment().replace("<orderReference>R</orderReference>", ""), "shipment R_S1: no orderReference", ("R_S1",)),
        (shipment().replace("2026-07-02 09:30:00", "soon"), "shipment R_S1: 'soon' is no time", ("R_S1",)),
    ],
)
def test_a_shipment_that_is_not_understood_is_named(broken: str, fault: str, unreadable: tuple[str, ...]) -> None:
    page = despatches(broken, shipment().replace("R_S1", "R_S2"))
    assert [each.shipment.shipment_id for each in page.despatches] == ["R_S2"]
    assert (page.faults, page.unreadable, page.received) == ((fault,), unreadable, 2)


# --- Times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-03-02 09:15:00", "2026-03-02T09:15:00+00:00"),
        ("2026-07-02 09:15:00", "2026-07-02T08:15:00+00:00"),
        ("2026-07-02T09:15:00", "2026-07-02T08:15:00+00:00"),
        ("2026-07-02 09:15:00.25", "2026-07-02T08:15:00.250000+00:00"),
        ("2026-07-02T09:15:00Z", "2026-07-02T09:15:00+00:00"),
        ("2026-07-02T09:15:00+02:00", "2026-07-02T07:15:00+00:00"),
        ("2026-10-25 01:30:00", "2026-10-25T00:30:00+00:00"),
        ("2026-07-02", "2026-07-01T23:00:00+00:00"),
    ],
)
def test_times_are_on_the_servers_clock(text: str, at: str) -> None:
    assert translate.instant(text, LONDON) == datetime.fromisoformat(at)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01 00:00:00", "0001-01-01 00:00:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Garbled, match="is no time"):
        translate.instant(text, ZoneInfo("Asia/Tokyo"))


def test_the_last_second_there_is() -> None:
    assert translate.instant("9999-12-31 23:59:59+00:00", LONDON).year == 9999


def test_a_window_on_the_servers_clock() -> None:
    assert translate.window(SINCE, UNTIL, LONDON) == ("2026-07-02 09:00:00", "2026-07-02 10:00:00")
    with pytest.raises(ValueError, match="without a zone"):
        translate.clock_time(datetime(2026, 7, 2), LONDON)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("since", "until", "window"),
    [
        # The clock shows 01:00 to 02:00 twice: 00:00Z to 01:00Z, then 01:00Z to 02:00Z.
        ("00:30", "03:00", ("2026-10-25 00:30:00", "2026-10-25 03:00:00")),
        ("01:30", "03:00", ("2026-10-25 00:30:00", "2026-10-25 03:00:00")),
        ("00:10", "00:50", ("2026-10-25 00:10:00", "2026-10-25 02:50:00")),
        ("00:10", "01:50", ("2026-10-25 00:10:00", "2026-10-25 02:50:00")),
        ("02:00", "03:00", ("2026-10-25 02:00:00", "2026-10-25 03:00:00")),
    ],
)
def test_the_hour_that_comes_twice_is_inside_whichever_is_meant(
    since: str, until: str, window: tuple[str, str]
) -> None:
    start, end = (datetime.fromisoformat(f"2026-10-25T{text}:00+00:00") for text in (since, until))
    assert translate.window(start, end, LONDON) == window


# --- Returns ---------------------------------------------------------------------------------------------------------


def returns(rows: str, root: str = "returns") -> Returns:
    return translate.returns(wire.parse(f"<{root}>{rows}</{root}>".encode()), since=SINCE, until=UNTIL, zone=LONDON)


def test_a_row_of_the_report() -> None:
    page = returns(
        """<return><organisation>acme</organisation><orderReference>R</orderReference><product>A</product>
        <quantity>2</quantity><returnedDate>2026-07-02 09:00:00</returnedDate><completedDate/>
        <authorised>Y</authorised><authorisation>RMA-1</authorisation><type>unknown</type><note>n</note>
        <lineReason>H - Other</lineReason><lineCondition>As new</lineCondition><lineType>t</lineType></return>"""
    )
    (row,) = page.rows
    assert (row.order_ref, row.sku, row.quantity, row.authorisation) == ("R", "A", 2, "RMA-1")
    assert (row.returned_at, row.completed_at) == (datetime(2026, 7, 2, 8, 0, tzinfo=UTC), None)
    assert (row.authorised, row.reason, row.condition) == (True, "H - Other", "As new")
    assert (row.type, row.note, row.line_type, row.line_note) == ("unknown", "n", "t", "")


@pytest.mark.parametrize(
    ("word", "means"), [("true", True), ("No", False), ("0", False), ("perhaps", None), ("", None)]
)
def test_whether_a_return_was_authorised(word: str, means: bool | None) -> None:
    assert returns(f'<row product="A" quantity="1" authorised="{word}"/>', "report").rows[0].authorised is means


def test_rows_that_are_not_understood_are_faults() -> None:
    page = returns('<return product="A" quantity="0.5"/><return quantity="1"/><return product="B" quantity="1"/>')
    assert page.faults == ("row 1: quantity is '0.5', not a whole number", "row 2: no product")
    assert ([row.sku for row in page.rows], page.received) == (["B"], 3)


def test_no_rows_are_none_and_another_document_is_no_report() -> None:
    assert returns("").rows == ()
    for body in (b"<message>No such report</message>", b"<inventory><product total='1'/></inventory>"):
        with pytest.raises(Garbled):
            translate.returns(wire.parse(body), since=SINCE, until=UNTIL, zone=LONDON)
