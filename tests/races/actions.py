"""Every transaction of the product as one that can be raced; all of them work on the one world.

A new function that takes a `tx: Tx` first belongs into one of these, or the suite fails and names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any

import msgspec
from tests.races.stage import NOW, OLDER, Action, query, slot
from tests.races.world import ORDERS, SPEC, World, came_back, fewer, page_of
from tests.suites.orders_life import CHAIR, SET, TABLE, shipment

from sellable.app import service, watching
from sellable.config.settings import Reason
from sellable.connectors.port import (
    Allocation,
    CatalogueItem,
    CataloguePage,
    Despatch,
    Despatches,
    EntryReading,
    InventoryPage,
    InventoryRow,
    Readings,
    ReturnRow,
    Returns,
    SaleRow,
)
from sellable.desk import alerts, cases, quarantine
from sellable.domain.orders import Address, InventoryMode, ReturnItem
from sellable.domain.stock import OUTSIDE, Kind, Movement, State
from sellable.orders import (
    announcing,
    arrivals,
    capture,
    departures,
    export,
    fulfilment,
    importing,
    reducing,
    returns,
    strays,
)
from sellable.orders.context import STOREFRONT
from sellable.orders.rules import BACK_OFFICE
from sellable.runtime import budgets, feeds, inbox, operations, said, scribe, slots, wanted
from sellable.runtime.clock import Clock
from sellable.runtime.database import Tx
from sellable.runtime.feeds import FeedResult
from sellable.runtime.http import Exchange
from sellable.runtime.inbox import Arrival
from sellable.runtime.operations import Done, Intent, Later, NotApplied, Rejected, Unknown, next_seq
from sellable.runtime.seal import IN_THE_OPEN
from sellable.stock import buffers, catalogue, demand, entries, ledger, numbers, observe
from sellable.sync import loop, masters, storefront, warehouse, writer

ACTIONS: list[Action] = []
Run = Callable[[Tx, World], object]


def action(name: str, *, again: bool | Run = False) -> Callable[[Run], Run]:
    """Puts a transaction into the table."""

    def note(run: Run) -> Run:
        order = name.rsplit(" ", 1)[-1]
        about = order if order in (*ORDERS, "fresh", "voided") else ""
        after = run if again is True else again or None
        ACTIONS.append(Action(name, run, after, kind=name, order=about))
        return run

    return note


def each(name: str, values: tuple[str, ...]) -> Callable[[Callable[[Tx, World, str], object]], None]:
    """The same transaction for several orders."""

    def note(run: Callable[[Tx, World, str], object]) -> None:
        for value in values:
            ACTIONS.append(Action(f"{name} {value}", partial(_for, run, value), kind=name, order=value))

    return note


def _for(run: Callable[[Tx, World, str], object], value: str, tx: Tx, w: World) -> None:
    run(tx, w, value)


def settle(tx: Tx, w: World, name: str, outcome: Any) -> None:
    """What the dispatcher writes after it has carried out the operation an order stands at."""
    op = w.ops[name]
    w.dispatcher._write_outcome(tx, w.dispatcher._duties[op.kind], op, outcome, NOW)


# --- Orders arrive and change ----------------------------------------------------------------------------------------


@action("order fresh, swept")
def fresh(tx: Tx, w: World) -> None:
    capture.on_order(tx, w.row(b"fresh"), NOW, context=w.context)


@action("order fresh, told")
def told_fresh(tx: Tx, w: World) -> None:
    row = w.row(b"fresh", type="OrderCreated", resource="fresh", of="order")
    storefront.on_message(tx, row, NOW, shop=w.shop)


@action("order other")
def other(tx: Tx, w: World) -> None:
    capture.on_order(tx, w.row(b"other"), NOW, context=w.context)


@action("order that others noted")
def noted_order(tx: Tx, w: World) -> None:
    capture.on_order(tx, w.row(b"noted"), NOW, context=w.context)


@each("edit", ("planned", "compared", "unseen", "live", "held"))
def edit(tx: Tx, w: World, name: str) -> None:
    capture.take(tx, w.orders[f"{name} more"], NOW, w.context)


@each("cancel", ORDERS)
def cancel(tx: Tx, w: World, name: str) -> None:
    capture.take(tx, w.orders[f"{name} cancelled"], NOW, w.context)


@each("retry", ("held", "unknown"))
def retry(tx: Tx, w: World, name: str) -> None:
    capture.retry(tx, name, NOW, w.context)


@action("accept totals of held")
def accept(tx: Tx, w: World) -> None:
    capture.accept_totals(tx, "held", "ops", "agreed with finance", NOW, w.context)


# --- What the back office answered -----------------------------------------------------------------------------------


@action("sale created planned")
def created(tx: Tx, w: World) -> None:
    settle(tx, w, "planned", Done({"sale_id": "sale-new"}))


@action("sale found twice planned")
def found(tx: Tx, w: World) -> None:
    others = [["sale-twin", "authorised"]]
    result = {"sale_id": "sale-new", "number": "N", "status": "authorised", "others": others}
    settle(tx, w, "planned", Done(result))


@action("create refused planned")
def refused(tx: Tx, w: World) -> None:
    settle(tx, w, "planned", Rejected("no such customer", {"code": "400"}))


def lines_of(w: World, name: str) -> Done:
    sale = w.sale(name)
    totals = msgspec.convert({"net": 300, "tax": 57, "gross": 357}, type(w.sale("live").totals))
    lines = [[line.sku, line.quantity, 0] for line in sale.lines]
    return Done({"number": "N", "totals": msgspec.to_builtins(totals), "lines": lines})


@action("lines put lined")
def lined(tx: Tx, w: World) -> None:
    settle(tx, w, "lined", Done({"number": "N", "totals": {"net": 238, "tax": 0, "gross": 238}, "lines": []}))


@action("authorised compared")
def authorised(tx: Tx, w: World) -> None:
    settle(tx, w, "compared", lines_of(w, "compared"))


@action("authorised in two calls, others, compared")
def authorised_in_two(tx: Tx, w: World) -> None:
    settings = w.context.settings
    settings = msgspec.structs.replace(settings, orders=msgspec.structs.replace(settings.orders, form="two_call"))
    context = replace(w.context, current=lambda: settings)
    outcome = Done({"number": "N", "totals": {"net": 1, "tax": 0, "gross": 1}, "lines": []})
    if operations.settle(tx, w.ops["compared"], outcome, NOW):
        export.Exporting(w.life.store, w.life.clock, w.life.office, context).authorised(  # type: ignore[arg-type]
            tx, w.ops["compared"], outcome, NOW
        )


@action("nothing to void never")
def nothing_voided(tx: Tx, w: World) -> None:
    settle(tx, w, "never", Done({"voided": []}))


@action("allocation visible unseen")
def visible(tx: Tx, w: World) -> None:
    settle(tx, w, "unseen", Done({}))


@action("allocation read unseen")
def read_early(tx: Tx, w: World) -> None:
    read = {"a0": next_seq(tx), "updated": "2026-11-27T09:00:00Z"}
    settle(tx, w, "unseen", Done({"lines": w.ops["unseen"].payload["lines"], "read": read}))


@action("noted unnoted")
def noted(tx: Tx, w: World) -> None:
    settle(tx, w, "unnoted", Done({"version": 9}))


@action("note refused unnoted")
def note_refused(tx: Tx, w: World) -> None:
    settle(tx, w, "unnoted", Rejected("no such order", {"code": "ResourceNotFound"}))


@action("delivery told shipped")
def delivered(tx: Tx, w: World) -> None:
    settle(tx, w, "shipped", Done({"version": 9}))


@action("sale voided voided")
def voided(tx: Tx, w: World) -> None:
    settle(tx, w, "voided", Done({}))


@action("void came late voided")
def too_late(tx: Tx, w: World) -> None:
    settle(tx, w, "voided", Done({"too_late": True}))


@action("stray voided")
def stray_voided(tx: Tx, w: World) -> None:
    settle(tx, w, "stray", Done({"voided": True}))


@action("create given up planned")
def gave_up(tx: Tx, w: World) -> None:
    w.dispatcher._give_up(tx, w.ops["planned"], Later(0.0, "no duty"), NOW)


@action("create failed again planned")
def failed_again(tx: Tx, w: World) -> None:
    settle(tx, w, "planned", NotApplied("not found", 5.0))


@action("strays owed", again=True)
def strays_owed(tx: Tx, w: World) -> None:
    strays.owe_voiding(tx, w.context, w.life.clock)


def found_sales(*sales: tuple[str, str], refs: Sequence[str] = (), places: Sequence[str] = ()) -> Done:
    """Sales by id and status as the search for an order's own finds them; theirs and Berlin's unless said otherwise."""
    found = zip_longest(sales, refs, places)
    return Done(
        {"sales": [{"sale_id": sale, "number": sale.upper(), "ref": ref or "their-ref", "status": status,
                    "location": place or "Berlin"} for (sale, status), ref, place in found]}
    )  # fmt: skip


@action("its sale found sought")
def adopted(tx: Tx, w: World) -> None:
    settle(tx, w, "sought", found_sales(("sale-theirs", "authorised")))


@action("its sale found a draft sought")
def adopted_draft(tx: Tx, w: World) -> None:
    settle(tx, w, "sought", found_sales(("sale-theirs", "draft")))


@action("two sales found sought")
def two_found(tx: Tx, w: World) -> None:
    settle(tx, w, "sought", found_sales(("sale-theirs", "authorised"), ("sale-too", "authorised")))


@action("two sales of ours found sought")
def two_of_ours(tx: Tx, w: World) -> None:
    """What a former life made is taken over, one of them still a draft."""
    sales = (("sale-one", "authorised"), ("sale-two", "draft"))
    refs, places = ("shop:sought:1", "shop:sought:2"), ("Berlin", "Hamburg")
    settle(tx, w, "sought", found_sales(*sales, refs=refs, places=places))


@action("no sale found sought")
def none_found(tx: Tx, w: World) -> None:
    settle(tx, w, "sought", found_sales())


# --- What the back office shows --------------------------------------------------------------------------------------


def on_sale(tx: Tx, w: World, name: str, **changes: Any) -> None:
    row = w.row(msgspec.json.encode(w.sale(name, **changes)), a0=w.seq, a1=w.seq)
    fulfilment.on_sale(tx, row, NOW, context=w.context)


@each("sale ships", ("unseen", "unnoted", "live", "shipped"))
def ships(tx: Tx, w: World, name: str) -> None:
    goods = {line.sku: line.quantity for line in w.sale(name).lines}
    on_sale(tx, w, name, shipments=(shipment(f"{name}-1" if name != "shipped" else "shipped-1", goods),))


@each("sale voided by staff", ("compared", "live", "held"))
def by_staff(tx: Tx, w: World, name: str) -> None:
    on_sale(tx, w, name, status="voided")


@action("sale of held put right by staff")
def put_right(tx: Tx, w: World) -> None:
    totals = type(w.sale("live").totals)(net=100, tax=19, gross=119)
    on_sale(tx, w, "held", status="authorised", totals=totals, lines=(Allocation(sku=CHAIR, quantity=1, backorder=0),))


@action("sale of live moved and reduced")
def moved(tx: Tx, w: World) -> None:
    on_sale(tx, w, "live", location="Hamburg", lines=(Allocation(sku=CHAIR, quantity=2, backorder=1),))


@action("sale of live picked")
def picked(tx: Tx, w: World) -> None:
    on_sale(tx, w, "live", picked=True, faults=("half a chair",))


@action("sale of live backordered")
def short(tx: Tx, w: World) -> None:
    on_sale(tx, w, "live", lines=(Allocation(sku=CHAIR, quantity=4, backorder=3),))


# --- Units cancelled, goods returned, addresses changed --------------------------------------------------------------


def with_settings(w: World) -> Any:
    """The context under other settings: staff cancel, and reasons are mapped."""
    settings = w.context.settings
    orders = msgspec.structs.replace(settings.orders, staff_cancels=True)
    reasons = (Reason(code="size", storefront="size", back_office="S"),)
    other = msgspec.structs.replace(settings, orders=orders, reasons=reasons)
    return replace(w.context, current=lambda: other)


@each("units cancelled", ("planned", "compared", "live", "sought"))
def units_cancelled(tx: Tx, w: World, name: str) -> None:
    capture.take(tx, fewer(w.orders[name], 1), NOW, with_settings(w))


@action("all units cancelled live")
def all_units_cancelled(tx: Tx, w: World) -> None:
    order = w.orders["live"]
    goods = tuple(msgspec.structs.replace(line, cancelled=line.quantity) for line in order.lines)
    capture.take(tx, msgspec.structs.replace(order, version=2, lines=goods), NOW, w.context)


@action("smaller sale undone smaller")
def smaller(tx: Tx, w: World) -> None:
    settle(tx, w, "smaller", Done({"status": "authorised"}))


@action("smaller sale undone and seen smaller")
def smaller_and_seen(tx: Tx, w: World) -> None:
    settle(tx, w, "smaller", Done({"status": "authorised"}))
    demand.visible(tx, "smaller", [("l1", CHAIR, 1)], next_seq(tx), "fewer units confirmed", NOW)


@action("smaller sale came too late smaller")
def smaller_too_late(tx: Tx, w: World) -> None:
    settle(tx, w, "smaller", Done({"too_late": True, "cause": "picked"}))


@action("cancelled units told reduced")
def cancel_told(tx: Tx, w: World) -> None:
    settle(tx, w, "reduced", Done({"version": 9, "units": {"l1": 1}}))


@action("address changed live")
def readdressed(tx: Tx, w: World) -> None:
    address = Address(line1="Gasse 3", country="AT")
    changed = msgspec.structs.replace(
        w.orders["live"], version=2, shipping_address=address, shipping_method="Balloon", payment_state="Paid"
    )
    capture.take(tx, changed, NOW, w.context)


@action("address written moving")
def address_written(tx: Tx, w: World) -> None:
    settle(tx, w, "moving", Done({}))


@action("cancelled order lives again voided")
def revived(tx: Tx, w: World) -> None:
    capture.take(tx, msgspec.structs.replace(w.orders["voided"], version=30), NOW, w.context)


def staff(tx: Tx, w: World, name: str, **changes: Any) -> None:
    row = w.row(msgspec.json.encode(w.sale(name, **changes)), a0=w.seq, a1=w.seq)
    reducing.on_sale(tx, row, NOW, context=with_settings(w))


@action("units taken off by staff live")
def taken_off(tx: Tx, w: World) -> None:
    staff(tx, w, "live", lines=(Allocation(sku=CHAIR, quantity=2, backorder=0),))


@action("sale voided by staff who cancel live")
def voided_by_staff(tx: Tx, w: World) -> None:
    staff(tx, w, "live", status="voided")


@action("more goods came back")
def more_back(tx: Tx, w: World) -> None:
    found = (came_back("r1", 2, State.AVAILABLE), came_back("r2", 3))
    row = w.row(msgspec.json.encode(w.sale("returned", returns=found)), a0=next_seq(tx), a1=w.seq)
    returns.on_sale(tx, row, NOW, context=with_settings(w))


@action("goods inspected")
def inspected(tx: Tx, w: World) -> None:
    returns.decide(tx, "r1-1", "available", "ada", "looked at", NOW, w.context)


@action("money given back")
def paid_back(tx: Tx, w: World) -> None:
    returns.paid_back(tx, "returned", ["r1-1", "r1-2"], "Refunded", "fin", NOW, w.context)


@action("returns told returned")
def returns_told(tx: Tx, w: World) -> None:
    settle(tx, w, "returned", Done({"version": 9, "told": [["r1-1", "Returned"]], "refused": [["r1-2", "a", "b"]]}))


@action("return said by the storefront")
def return_said(tx: Tx, w: World) -> None:
    order = w.orders["returned"]
    items = (
        ReturnItem(item_id="i1", key="", line_id="l1", units=1, state="BackInStock", payment="Initial", reason="late"),
    )
    capture.take(tx, msgspec.structs.replace(order, version=3, returns=items), NOW, with_settings(w))


@action("list of sales")
def listed(tx: Tx, w: World) -> None:
    rows = [
        SaleRow(sale_id=w.sale(n).sale_id, number=n, ref=f"shop:{n}:1", status="authorised",
                updated="2026-01-02T00:00:00Z", shipped=n == "live", picked_whole=n == "shipped")
        for n in ("unseen", "live", "shipped")
    ]  # fmt: skip
    rows.append(SaleRow(sale_id="sale-stray", number="9", ref="shop:live:1", status="draft", updated="", shipped=False))
    masters.on_sales(tx, w.row(msgspec.json.encode(rows), walk=w.seq, last=True), NOW, master=w.master)


# --- A back office that takes orders whole ---------------------------------------------------------------------------


def imported(tx: Tx, w: World, outcome: Done) -> None:
    """The answer to a document of the order `planned`."""
    op = w.ops["planned"]
    if operations.settle(tx, op, outcome, NOW):
        importing.Importing(w.life.store, w.life.clock, {}, w.context).settled(tx, op, outcome, NOW)


@action("imported planned")
def taken_whole(tx: Tx, w: World) -> None:
    imported(tx, w, Done({}))


@action("imported as another planned")
def taken_as_another(tx: Tx, w: World) -> None:
    imported(tx, w, Done({"other": {"asked": {CHAIR: 2}, "has": {CHAIR: 9}}}))


@each("despatch told", ("live", "shipped", "voided", "planned"))
def despatched(tx: Tx, w: World, name: str) -> None:
    left = Despatch(
        order_ref=f"shop:{name}:1", shipment=shipment(f"left {name}", {CHAIR: 1}), state="despatched", carrier="RM",
        courier="RM", service="48", tracking="T", tracking_url="", completed=None,
    )  # fmt: skip
    page = Despatches(despatches=(left,), received=1, since=NOW, until=NOW)
    row = w.row(msgspec.json.encode(page), target=BACK_OFFICE, a0=w.seq, a1=w.seq)
    departures.on_despatches(tx, row, NOW, context=w.context)


@action("returns told shipped")
def returns_listed(tx: Tx, w: World) -> None:
    back = ReturnRow(
        order_ref="shop:shipped:1", sku=CHAIR, quantity=1, returned_at=NOW, completed_at=NOW, authorised=True,
        authorisation="rma", type="", note="", reason="A", condition="As new", line_type="", line_note="",
    )  # fmt: skip
    page = Returns(rows=(back,), received=1, since=NOW, until=NOW)
    arrivals.on_returns(tx, w.row(msgspec.json.encode(page), target=BACK_OFFICE, a0=w.seq), NOW, context=w.context)


# --- Where commercetools is the master of stock ----------------------------------------------------------------------


def counted_context(w: World) -> Any:
    """The context where web-eu sells from a place that commercetools counts."""
    return replace(w.context, layout=counted_layout(w))


def counted_layout(w: World) -> Any:
    rules = {key: msgspec.structs.replace(rule, counted=key == "web-eu") for key, rule in w.layout.channels.items()}
    return msgspec.structs.replace(w.layout, channels=rules)


@action("order without stock keeping, counted there")
def counted_order(tx: Tx, w: World) -> None:
    order = w.orders["other"]
    lines = tuple(msgspec.structs.replace(line, mode=InventoryMode.NONE) for line in order.lines)
    capture.take(tx, msgspec.structs.replace(order, lines=lines), NOW, counted_context(w))


@action("warehouse compared")
def compared(tx: Tx, w: World) -> None:
    name = f"house {slot()}"
    observe.start(tx, name, "orderflow", "", NOW)
    tx.run(observe.sql.touch_sweep, id=name, a0=w.seq, a1=w.seq, rows=0)
    tx.run(observe.sql.set_sweep_state, id=name, state="applied", cause="", at=NOW)
    watching.counted(tx, w.desk, counted_layout(w), NOW)


@action("return announced returned")
def return_announced(tx: Tx, w: World) -> None:
    note = SimpleNamespace(item_id="i9", line_id="l1", reason="")
    room = SimpleNamespace(ref="shop:returned:1", part=1, target=BACK_OFFICE)
    announcing._announce(tx, "returned", note, room, 1, NOW, w.context)


@action("announcement taken returned")
def announcement_taken(tx: Tx, w: World) -> None:
    op: Any = SimpleNamespace(id="op-9", payload={"order_id": "returned", "part": 1, "ref": "shop:returned:1:i9"})
    telling = announcing.Announcing(w.life.store, {}, w.context)
    telling.settled(tx, op, Done({}), NOW)
    telling.settled(tx, op, Rejected("unknown product", {"code": "import"}), NOW)


@action("imports taken together")
def taken_together(tx: Tx, w: World) -> None:
    first: Any = SimpleNamespace(system=BACK_OFFICE, budget="orders", kind="race.import")
    intent = Intent(
        system=BACK_OFFICE, kind="race.import", lane="race", budget="orders", priority=1, payload={}, correlation=None
    )  # fmt: skip
    operations.owe(tx, [intent], NOW, w.context.ids)
    operations.claim_alike(tx, first, "world", 60.0, NOW, 5)


@action("another address live")
def moved_house(tx: Tx, w: World) -> None:
    order = w.orders["live"]
    there = msgspec.structs.replace(order.shipping_address, city="Leeds")
    capture.take(tx, msgspec.structs.replace(order, version=2, shipping_address=there), NOW, w.context)


HOUSE = {"LEEDS": "Leeds"}


def house_of(w: World) -> masters.Master:
    return masters.Master(name="orderflow", remotes=HOUSE, elsewhere=("Berlin", "Hamburg"), open_case=w.desk.open_case)


def inventory_of(w: World, **units: int) -> Any:
    rows = tuple(
        InventoryRow(sku=sku, location="Leeds", total=n, allocated=0, available=n, frozen=0, on_order=0)
        for sku, n in units.items()
    )
    page = InventoryPage(rows=rows, received=len(rows), faults=("half a chair",))
    body = msgspec.json.encode(warehouse.Whole(pages=(page,), seqs=((w.seq, w.seq),)))
    return w.row(body, master="orderflow", sweep=f"house {slot()}")


@action("inventory of a warehouse")
def inventory(tx: Tx, w: World) -> None:
    row = inventory_of(w, **{CHAIR: 5, TABLE: 2})
    warehouse.on_inventory(tx, row, NOW, master=house_of(w), clear_cases=w.desk.clear_cases)


@action("a SKU the warehouse does not tell")
def untold(tx: Tx, w: World) -> None:
    row = w.row(msgspec.json.encode([CHAIR]), master="orderflow", a0=w.seq, unreadable=[])
    warehouse.on_absent(tx, row, NOW, master=house_of(w))


@action("orders at a warehouse asked for")
def looked_for(tx: Tx, w: World) -> None:
    warehouse._ask("orderflow", ["shop:live:1"], tx, NOW)


# --- The master's numbers --------------------------------------------------------------------------------------------


@action("page of the walk")
def page(tx: Tx, w: World) -> None:
    row = w.row(
        page_of({CHAIR: 11, TABLE: 3}, "Hamburg"), sweep="walk", master=BACK_OFFICE, scope="", a0=w.seq, a1=w.seq
    )
    masters.on_page(tx, row, NOW, master=w.master)


@action("page of the walk, read anew")
def page_anew(tx: Tx, w: World) -> None:
    row = w.row(
        page_of({CHAIR: 48, TABLE: 39}, "Berlin"),
        sweep="walk", master=BACK_OFFICE, scope="", a0=w.seq, a1=w.seq, anew="Berlin",
    )  # fmt: skip
    masters.on_page(tx, row, NOW, master=w.master)


@action("walk closed")
def closed(tx: Tx, w: World) -> None:
    masters.on_close(tx, w.row(b"", sweep="walk", rows=1, fault="", moved=[]), NOW, master=w.master)


@action("first page of another walk")
def other_walk(tx: Tx, w: World) -> None:
    body = page_of({CHAIR: 45, TABLE: 38}, "Berlin")
    row = w.row(body, sweep=f"next {slot()}", master=BACK_OFFICE, scope="", a0=w.seq, a1=w.seq)
    masters.on_page(tx, row, NOW, master=w.master)


@action("chair read by itself")
def one_sku(tx: Tx, w: World) -> None:
    row = w.row(
        page_of({CHAIR: 51}, "Berlin"), sweep=f"chair {slot()}", master=BACK_OFFICE, scope=CHAIR, a0=w.seq, a1=w.seq
    )
    masters.on_sku(tx, row, NOW, master=w.master)


@action("chair read by itself, beyond doubt")
def one_sku_doubted(tx: Tx, w: World) -> None:
    row = w.row(
        page_of({CHAIR: 500}, "Berlin"), sweep=f"many {slot()}", master=BACK_OFFICE, scope=CHAIR, a0=w.seq, a1=w.seq
    )
    masters.on_sku(tx, row, NOW, master=w.master)


@action("part of the chair read by itself")
def part_of_sku(tx: Tx, w: World) -> None:
    body = page_of({CHAIR: 40}, "Berlin").replace(b'"total":1', b'"total":2')
    row = w.row(body, sweep=f"part {slot()}", master=BACK_OFFICE, scope=CHAIR, a0=w.seq, a1=w.seq)
    masters.on_sku(tx, row, NOW, master=w.master)


@action("table read by itself")
def suspect_read(tx: Tx, w: World) -> None:
    row = w.row(
        page_of({TABLE: 30}, "Berlin"), sweep=f"table {slot()}", master=BACK_OFFICE, scope=TABLE, a0=w.seq, a1=w.seq
    )
    masters.on_sku(tx, row, NOW, master=w.master)


@action("proof looked for")
def proved(tx: Tx, w: World) -> None:
    masters.prove(tx, w.master, NOW)


@action("suspects lowered")
def overdue(tx: Tx, w: World) -> None:
    masters.lower_overdue(tx, NOW)


@action("catalogue page")
def products(tx: Tx, w: World) -> None:
    item = CatalogueItem(
        sku=SET, name="Set", sellable=True, service=False, kit=True, recipe=((CHAIR, 3), (TABLE, 1)), fault=""
    )
    bad = msgspec.structs.replace(item, sku="BAD", recipe=(), fault="no recipe")
    body = msgspec.json.encode(CataloguePage(items=(item, bad), received=2, total=2, page=1))
    masters.on_catalogue(tx, w.row(body), NOW, master=w.master)


@action("recipe of today")
def recipe(tx: Tx, w: World) -> None:
    kit = catalogue.Product(sku=SET, name="Set", sellable=True, service=False, kit=True, recipe={CHAIR: 1, TABLE: 2})
    catalogue.put(tx, [kit], NOW)


@action("spelling taken over")
def spelled(tx: Tx, w: World) -> None:
    catalogue.spell(tx, {CHAIR: "CHAIR-1", "LAMP": "LAMP-1"}, NOW)


@action("goods adjusted by hand")
def adjusted(tx: Tx, w: World) -> None:
    here, gone = ("Berlin", State.AVAILABLE), (OUTSIDE, State.UNEXPLAINED)
    moves = [
        Movement(
            source="hand", resource="count", line=sku, kind=Kind.ADJUST, sku=sku, quantity=1, from_location=here[0],
            from_state=here[1], to_location=gone[0], to_state=gone[1],
        )
        for sku in (TABLE, CHAIR)
    ]  # fmt: skip
    ledger.post(tx, moves, NOW)


# --- The storefront's entries ----------------------------------------------------------------------------------------


def reading(sku: str, channel: str, quantity: int, version: int, **changes: Any) -> EntryReading:
    values = {
        "remote_id": f"{sku}/{channel}",
        "available": quantity,
        "last_op": None,
        "typed": None,
        "backorder": False,
    }
    return EntryReading(sku=sku, channel=channel, quantity=quantity, version=version, **{**values, **changes})


@action("entries read")
def entries_read(tx: Tx, w: World) -> None:
    found = (
        reading(CHAIR, "web-eu", 60, 7, available=58),
        reading(CHAIR, "web-uk", 80, 7, backorder=True),
        reading(SET, "web-eu", 4, 6),
    )
    body = msgspec.json.encode(Readings(entries=found, at=NOW))
    storefront.on_entries(tx, w.row(body, seq=w.seq), NOW, shop=w.shop)


@action("entry made anew")
def entry_anew(tx: Tx, w: World) -> None:
    found = reading(CHAIR, "web-eu", 0, 1, remote_id="another")
    storefront.see(tx, [found], NOW, w.seq, NOW, w.shop)


@action("entry of a product first seen")
def entry_new(tx: Tx, w: World) -> None:
    storefront.see(tx, [reading("LAMP", "web-eu", 0, 1)], NOW, w.seq, NOW, w.shop)


@action("foreign write")
def foreign(tx: Tx, w: World) -> None:
    body = {
        "oldQuantityOnStock": 90, "newQuantityOnStock": 93, "createdAt": NOW.isoformat(), "resourceVersion": 8,
        "createdBy": {"clientId": "x"},
    }  # fmt: skip
    row = w.row(msgspec.json.encode(body), type="InventoryEntryQuantitySet", resource=f"{CHAIR}/web-eu", of="entry")
    storefront.on_message(tx, row, NOW, shop=w.shop)


@action("our own write told")
def echo(tx: Tx, w: World) -> None:
    op = w.picked[0]
    body = {
        "oldQuantityOnStock": 90, "newQuantityOnStock": 90 + op.payload["d"], "createdAt": NOW.isoformat(),
        "resourceVersion": 6, "createdBy": {"clientId": "ours"},
    }  # fmt: skip
    remote = op.payload["remote_id"]
    row = w.row(msgspec.json.encode(body), type="InventoryEntryQuantitySet", resource=remote, of="entry")
    row = replace(row, kind="message")
    if row.id not in storefront.echoes(tx, [row]):
        storefront.on_message(tx, row, NOW, shop=w.shop)


@action("entry deleted")
def deleted(tx: Tx, w: World) -> None:
    row = w.row(b"", type="InventoryEntryDeleted", resource=f"{SET}/web-uk", of="entry")
    storefront.on_message(tx, row, NOW, shop=w.shop)


@action("entry created, told")
def told_entry(tx: Tx, w: World) -> None:
    body = msgspec.json.encode({"inventoryEntry": {"sku": "LAMP", "id": "new"}})
    row = w.row(body, type="InventoryEntryCreated", resource="new", of="entry")
    storefront.on_message(tx, row, NOW, shop=w.shop)


@action("missing entry owed")
def entry_owed(tx: Tx, w: World) -> None:
    w.creation._owe([("LAMP", "web-eu"), ("BENCH", "web-uk")], tx, NOW)


@action("entry made bench")
def entry_made(tx: Tx, w: World) -> None:
    op = w.ops["bench"]
    outcome = Done({"entry": "bench-1", "version": 1})
    if operations.settle(tx, op, outcome, NOW):
        w.creating.settled(tx, op, outcome, NOW)


@action("entry refused bench")
def entry_refused(tx: Tx, w: World) -> None:
    op = w.ops["bench"]
    outcome = Rejected("no such channel", {"code": "ReferencedResourceNotFound"})
    if operations.settle(tx, op, outcome, NOW):
        w.creating.settled(tx, op, outcome, NOW)


@action("looks that agree judged")
def easy(tx: Tx, w: World) -> None:
    storefront._easy(tx, NOW - timedelta(minutes=2))


@action("fall judged")
def judged(tx: Tx, w: World) -> None:
    w.judge._judge(tx, w.look, NOW - timedelta(minutes=2), NOW, asked=True)


@action("even look judged")
def even(tx: Tx, w: World) -> None:
    w.judge._judge(tx, w.even, NOW - timedelta(minutes=2), NOW, asked=False)


@action("look taken again")
def look_again(tx: Tx, w: World) -> None:
    storefront._look_again(tx, w.look)


@action("facts of entries folded", again=True)
def fold(tx: Tx, w: World) -> None:
    entries.fold(tx)


# --- The writer ------------------------------------------------------------------------------------------------------


@action("plan", again=True)
def plan(tx: Tx, w: World) -> None:
    writer.plan_dirty(tx, w.layout, NOW, stale=())


@action("lowers picked", again=True)
def pick_lowers(tx: Tx, w: World) -> None:
    writer.pick(tx, w.layout, w.context.ids, NOW + timedelta(hours=1), owner="writer", limit=1, only=None, stale=())


@action("raises chosen", again=True)
def raises(tx: Tx, w: World) -> None:
    loop._raises(tx, w.layout, (), NOW + timedelta(hours=1), 5)


@action("raises picked", again=True)
def pick_raises(tx: Tx, w: World) -> None:
    keys = [(TABLE, "web-eu"), (SET, "web-eu")]
    writer.pick(tx, w.layout, w.context.ids, NOW + timedelta(hours=1), owner="writer", limit=5, only=keys, stale=())


def written(op: Any) -> Done:
    return Done({"version": 6, "quantity": 1, "at": NOW.isoformat(), "applied": op.id})


@action("writes confirmed")
def confirmed(tx: Tx, w: World) -> None:
    w.syncer._settle(tx, [(op, written(op)) for op in w.picked], NOW)


@action("writes lost")
def lost(tx: Tx, w: World) -> None:
    outcomes = [Rejected("conflict", {"version_moved": True}), Unknown("timeout")]
    w.syncer._settle(tx, list(zip(w.picked, outcomes, strict=True)), NOW)


@action("write refused")
def write_refused(tx: Tx, w: World) -> None:
    w.syncer._settle(tx, [(w.picked[0], Rejected("no such entry", {}))], NOW)


@action("write not sent")
def unsent(tx: Tx, w: World) -> None:
    w.syncer._settle(tx, [(w.picked[1], writer._unsent("limited", 30.0))], NOW)


@action("write found applied by its copy")
def resolved(tx: Tx, w: World) -> None:
    op = w.picked[0]
    if operations.settle(tx, op, written(op), NOW):
        outcome = Done({**written(op).result, "assumed": True})
        writer.settled(tx, op, outcome, NOW, on_refused=w.desk.write_refused)


@action("write superseded by a copy")
def superseding(tx: Tx, w: World) -> None:
    writer._next_copy(tx, w.picked[0], w.layout, 90, NOW, lambda tx: False)


@action("entries read before a raise")
def read_before(tx: Tx, w: World) -> None:
    readings = Readings(entries=(reading(TABLE, "web-eu", 5, 6),), at=NOW)
    w.syncer._see(tx, [(TABLE, "web-eu"), (SET, "web-eu")], readings, w.seq)


@action("units held")
def hold_units(tx: Tx, w: World) -> None:
    numbers.hold(tx, hold_id="h1", sku=CHAIR, pool="eu", units=5, reason="photo", actor="ops", until=None, now=NOW)


@action("buffer set")
def buffer_set(tx: Tx, w: World) -> None:
    which = buffers.Which(sku=CHAIR, channel="web-eu")
    if said.put(tx, which.key(), {"units": 3}, "ops", "", NOW)[1]:
        buffers.changed(tx, which, NOW)


@action("buffer undone")
def buffer_undone(tx: Tx, w: World) -> None:
    with suppress(said.NotTheLast):
        buffers.changed(tx, buffers.which(said.undo(tx, w.buffer_change, "ops", NOW).key), NOW)


@action("hold released")
def release_units(tx: Tx, w: World) -> None:
    numbers.release_hold(tx, "h1", NOW)


# --- The machine -----------------------------------------------------------------------------------------------------


@action("operation claimed, back office", again=True)
def claim_office(tx: Tx, w: World) -> None:
    operations.claim(tx, BACK_OFFICE, ["orders", "repair"], "worker", 60.0, NOW, 1)


@action("operation claimed, storefront", again=True)
def claim_shop(tx: Tx, w: World) -> None:
    operations.claim(tx, STOREFRONT, ["orders", "writes"], "worker", 60.0, NOW, 1)


@action("leases renewed")
def renew(tx: Tx, w: World) -> None:
    operations.renew(tx, [*w.ops.values(), *w.picked], "world", 600.0)


@action("owner taken over")
def disown(tx: Tx, w: World) -> None:
    slots.disown(tx, "world")


@action("dead looked for")
def undertake(tx: Tx, w: World) -> None:
    tired = slots.Undertaker()
    tired._remember({"process-1"})
    tired.look(tx)


@action("operation released and another superseded")
def release(tx: Tx, w: World) -> None:
    for row in tx.all(query("SELECT id FROM operation WHERE state = 'held' ORDER BY id")):
        operations.release(tx, row.id)
    for row in tx.all(query("SELECT id FROM operation WHERE lane = 'stray:new' ORDER BY id")):
        operations.supersede(tx, row.id)


@action("strays of no lane stopped")
def stop_strays(tx: Tx, w: World) -> None:
    # A copy, because the other transaction may use the same dispatcher at this moment.
    blind = copy(w.dispatcher)
    blind._pumps = [pump for pump in blind._pumps if pump.lane != "repair"]
    blind._stop_strays(tx, NOW)


@action("old things forgotten")
def prune(tx: Tx, w: World) -> None:
    service.housekeeping(tx, w.life.settings, Clock(source=(NOW + timedelta(days=4000)).timestamp, ticks=lambda: 0.0))


@action("webhook stored")
def posted(tx: Tx, w: World) -> None:
    arrival = Arrival(source="ct", message_id="m-fresh", kind="order", lane="order:fresh", body=b"fresh")
    new = Arrival(source="ct", message_id="m-new", kind="order", lane="order:fresh", body=b"fresh")
    inbox._put_all(tx, [[arrival], [new], [new]], NOW)


@action("inbox worked", again=True)
def worked(tx: Tx, w: World) -> None:
    w.inbox._work(tx, 50, False, NOW)


@action("inbox worked, one row", again=worked)
def worked_one(tx: Tx, w: World) -> None:
    w.inbox._work(tx, 1, True, NOW)


@action("bodies sealed anew")
def resealed(tx: Tx, w: World) -> None:
    inbox.reseal(tx, [IN_THE_OPEN, OLDER.newest], 0)


@action("key come back")
def unlocked(tx: Tx, w: World) -> None:
    quarantine.unlock(tx, [OLDER.newest], NOW)


@action("arrival let go")
def requeue(tx: Tx, w: World) -> None:
    for row in tx.all(query("SELECT id FROM inbox WHERE state = 'quarantined' ORDER BY id")):
        inbox.requeue(tx, row.id)


@action("wishes taken", again=True)
def take_wishes(tx: Tx, w: World) -> None:
    w.fetcher._take(tx, NOW)


@action("wish fulfilled")
def fulfilled(tx: Tx, w: World) -> None:
    arrival = Arrival(source=BACK_OFFICE, message_id="read-1", kind="stock.sku", lane="sku", body=b"")
    wanted._store_fetched(tx, [arrival], w.taken, w.seq, NOW)


@action("wish not fulfilled")
def unfulfilled(tx: Tx, w: World) -> None:
    w.fetcher._note_failure(tx, w.taken, RuntimeError("away"), NOW)


@action("wish repeated")
def wished(tx: Tx, w: World) -> None:
    wanted.want(tx, BACK_OFFICE, "sku", [TABLE, CHAIR], 0, NOW)


@action("feeds enrolled")
def enrol(tx: Tx, w: World) -> None:
    w.feeds._enrol(tx, [NOW, NOW])


@action("feed leased", again=True)
def lease(tx: Tx, w: World) -> None:
    w.feeds._lease(tx, w.feeds._feeds["due"], NOW)


@action("feed's turn ended")
def finished(tx: Tx, w: World) -> None:
    result = FeedResult(arrivals=[], cursor={"at": 1}, again=False)
    try:
        w.feeds._finish(tx, w.feeds._feeds["running"], w.epochs["running"], 1, w.seq, result, NOW)
    except feeds._Fenced:
        tx.run(query("SELECT 1"))


@action("feed's turn failed")
def turn_failed(tx: Tx, w: World) -> None:
    w.feeds._fail(tx, w.feeds._feeds["running"], w.epochs["running"], 3, RuntimeError("away"), NOW)


@action("feed poked")
def poked(tx: Tx, w: World) -> None:
    feeds.poke(tx, "running")


@action("budget drawn")
def drawn(tx: Tx, w: World) -> None:
    budgets._draw(tx, SPEC, ["orders", "reads"])


@action("budget cooled")
def cooled(tx: Tx, w: World) -> None:
    budgets._cool(tx, "cin7_core", 30.0)


@action("budget stays away")
def stay_away(tx: Tx, w: World) -> None:
    budgets._stay_away(tx, "cin7_core", 2.0, empty=True)


@action("audit written up", again=True)
def write_up(tx: Tx, w: World) -> None:
    scribe.write_up(tx, w.audit, NOW)


@action("audit sealed")
def sealed(tx: Tx, w: World) -> None:
    w.audit.record(tx, actor="ops", action="freeze", subject="writes", now=NOW)
    service._seal(tx, w.audit, w.life.clock)


@action("calls logged")
def logged(tx: Tx, w: World) -> None:
    log = w.calls
    log.note(
        Exchange(
            method="POST", host="h", path="/x", operation="POST x", credential="cin7_core", correlation="live",
            status=500, error=None, sent_at=NOW, seconds=0.1,
        )
    )  # fmt: skip
    log.flush(tx)


# --- The desk --------------------------------------------------------------------------------------------------------


@action("case opened")
def opened(tx: Tx, w: World) -> None:
    w.desk.open_case(tx, "foreign_writer", f"sku:{CHAIR}", NOW, evidence=["inbox:1", "sale:1"])


@action("case counted")
def counted(tx: Tx, w: World) -> None:
    w.desk.open_case(tx, "totals_differ", "order:held", NOW, actual={"net": 1})


@action("case acknowledged")
def acknowledged(tx: Tx, w: World) -> None:
    cases.acknowledge(tx, w.cases["totals"], "ops", NOW)


@action("case commented")
def commented(tx: Tx, w: World) -> None:
    cases.comment(tx, w.cases["totals"], "ops", "asked the carrier", NOW)


@action("case assigned")
def assigned(tx: Tx, w: World) -> None:
    cases.assign(tx, w.cases["totals"], "finance", "ops", NOW)


@action("case resolved")
def case_resolved(tx: Tx, w: World) -> None:
    cases.resolve(tx, w.cases["totals"], "ops", "talked to them", NOW)


@action("cases cleared")
def cleared(tx: Tx, w: World) -> None:
    w.desk.clear_cases(tx, ["totals_differ", "backordered"], "order:held", NOW)


@action("case replayed")
def replayed(tx: Tx, w: World) -> None:
    for name in ("arrival", "operation"):
        quarantine.replay(tx, w.cases[name], "ops", NOW)


@action("case given up")
def given_up(tx: Tx, w: World) -> None:
    cases.resolve(tx, w.cases["operation"], "ops", "of no use", NOW, give_up=True)


@action("alert claimed")
def alert_claimed(tx: Tx, w: World) -> None:
    alerts._claim(tx, "mail", NOW + timedelta(hours=2))


@action("alert told")
def alert_told(tx: Tx, w: World) -> None:
    case, telling, _ = w.alert
    alerts._told(tx, case, telling, "mail", ("mail",), NOW)


@action("alert failed")
def alert_failed(tx: Tx, w: World) -> None:
    case, _, attempts = w.alert
    alerts._failed(tx, case.id, "mail", attempts, "refused", NOW)


# --- Watching --------------------------------------------------------------------------------------------------------


@action("many differences looked for")
def many(tx: Tx, w: World) -> None:
    watching.drift(tx, w.desk, w.layout, NOW)


@action("lack of units looked for")
def oversold(tx: Tx, w: World) -> None:
    watching.oversold(tx, w.desk, w.life.settings, NOW)


@action("catalogues compared")
def catalogues(tx: Tx, w: World) -> None:
    watching.catalogues(tx, w.desk, NOW)


@action("ages watched")
def ages(tx: Tx, w: World) -> None:
    w.desk.watch_ages(tx, w.life.settings, w.life.clock)


@action("feed failed at the vendor")
def vendor_down(tx: Tx, w: World) -> None:
    w.desk.feed_failed(tx, "cin7_core.stock", RuntimeError("away"), 9, NOW)


@action("feed well again")
def vendor_up(tx: Tx, w: World) -> None:
    w.desk.feed_recovered(tx, "cin7_core.stock", NOW)


@action("settings changed")
def layout_changed(tx: Tx, w: World) -> None:
    service.notice_layout(tx, w.layout, NOW)


@action("numbers too old")
def too_old(tx: Tx, w: World) -> None:
    service.notice_stale(w.layout, tx, {"cin7_core"}, NOW)


@action("numbers young again")
def young(tx: Tx, w: World) -> None:
    service.notice_stale(w.layout, tx, (), NOW)
