"""The oracle on hand-made journals: each class of oversell once, ties of orders, numbers at the end."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sellable.simulation import houses
from sellable.simulation.oracle import Evidence, Verdict, judge, percentiles, tie
from sellable.simulation.picture import Picture, assignments
from sellable.simulation.rules import Declared, Outage, Rules

RULES = Rules(
    project="p",
    pools={"web": ("Wh",), "shop": ("Wh", "Store")},
    recipes={"SET": {"CHAIR": 4, "TABLE": 1}},
    buffers={"shop": 1},
    caps={"web": None, "shop": 20},
)
DECLARED = Declared(sale=20.0, master=60.0)


class Story:
    """Both journals, written by hand; amounts are units, `at` seconds."""

    def __init__(self, levels: dict[tuple[str, str], int], entries: dict[tuple[str, str], int]) -> None:
        self.levels, self.shown = levels, dict(entries)
        self.first = dict(entries)
        self.ct: list[dict[str, Any]] = []
        self.cin7: list[dict[str, Any]] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self.sales: list[dict[str, Any]] = []

    def order(
        self, at: float, name: str, *lines: tuple[str, str, int], mode: str = "ReserveOnOrder", lag: float = 0
    ) -> None:
        rows = [
            {"line": f"{name}-{n}", "sku": sku, "channel": channel, "quantity": units, "mode": mode}
            for n, (sku, channel, units) in enumerate(lines)
        ]
        self._ct(at, "order_accepted", order=name, number=name.upper(), lines=rows)
        self.orders[name] = {
            "id": name, "orderState": "Open", "lines": rows, "deliveries": [],
            "taxedPrice": {"totalGross": {"centAmount": 1000}},
        }  # fmt: skip
        for sku, channel, units in lines if mode != "None" else ():
            old = self.shown[sku, channel]
            self.shown[sku, channel] -= units
            facts = {"sku": sku, "channel": channel, "old": old, "new": old - units, "shown_new": None}
            self._ct(at, "entry_written", **facts, cause="order", client="shopper", visible_at=at + lag)

    def write(self, at: float, sku: str, channel: str, to: int) -> None:
        old = self.shown[sku, channel]
        self.shown[sku, channel] = to
        facts = {"sku": sku, "channel": channel, "old": old, "new": to, "shown_new": to, "pending": 0}
        self._ct(at, "entry_written", **facts, cause="direct", client="us")

    def stock(self, at: float, sku: str, place: str, delta: int, cause: str) -> None:
        facts = {"sku": sku, "location": place, "delta": delta, "on_hand_delta": delta, "allocated_delta": 0}
        self._cin7(at, "stock", **facts, cause=cause)

    def sale(
        self, at: float, order: str, place: str, *lines: tuple[str, int],
        part: int = 1, shipped: int = 0, total: str = "10.00",
    ) -> None:  # fmt: skip
        reference = f"p:{order}:{part}"
        facts = {"sale": f"S{len(self.sales)}", "external_id": reference, "location": place}
        rows = [{"sku": sku, "quantity": units} for sku, units in lines]
        self._cin7(at, "sale_authorised", **facts, lines=rows)
        for sku, units in lines:
            for component, pieces in RULES.parts(sku).items():
                taken = {"delta": -units * pieces, "on_hand_delta": 0, "allocated_delta": units * pieces}
                self._cin7(at, "stock", sku=component, **facts, **taken, cause="sale_authorised")
        counted = [{**row, "shipped": shipped} for row in rows]
        self.sales.append({"external_id": reference, "order_status": "AUTHORISED", "lines": counted, "total": total})

    def cancel(self, at: float, order: str) -> None:
        self._ct(at, "order_cancelled", order=order, client="shopper")
        self.orders[order]["orderState"] = "Cancelled"

    def cart(self, at: float, sku: str, channel: str, units: int, cause: str, cart: str = "cart-1") -> None:
        """A hold is made ("reserve", of so many units in all) or ends ("release", "expire")."""
        now = self.shown[sku, channel]
        facts = {"sku": sku, "channel": channel, "old": now, "new": now, "shown_new": now, "client": "shopper"}
        self._ct(at, "entry_written", **facts, cause=cause, cart=cart, quantity=units)

    def take_off(self, at: float, order: str, gone: int) -> None:
        """Staff take units off the only line of an order's last sale: undone, fewer, authorised anew."""
        sale = self.sales[-1]
        (line,) = sale["lines"]
        facts = {"sale": "S", "external_id": sale["external_id"], "location": "Wh"}
        free = {"delta": line["quantity"], "on_hand_delta": 0, "allocated_delta": -line["quantity"]}
        self._cin7(at, "stock", sku=line["sku"], **facts, **free, cause="undo")
        self._cin7(at, "sale_undone", **facts, by="staff")
        left = line["quantity"] - gone
        self._cin7(at, "line_reduced", **facts, sku=line["sku"], quantity=left, gone=gone)
        self.sales.pop()
        self.sale(at, order, "Wh", (line["sku"], left))

    def void(self, at: float) -> None:
        """Staff void the last sale."""
        sale = self.sales.pop()
        facts = {"sale": "S", "external_id": sale["external_id"], "location": "Wh"}
        for line in sale["lines"]:
            free = {"delta": line["quantity"], "on_hand_delta": 0, "allocated_delta": -line["quantity"]}
            self._cin7(at, "stock", sku=line["sku"], **facts, **free, cause="sale_voided")
        self._cin7(at, "sale_voided", **facts, by="staff")

    def cancel_units(self, at: float, order: str, units: int, gross: int = 1000, client: str = "shopper") -> None:
        """Of the order's first line, which came to `gross` cents."""
        line = self.orders[order]["lines"][0]
        facts = {"line": line["line"], "sku": line["sku"], "quantity": units, "client": client}
        self._ct(at, "line_state", order=order, to="Cancelled", **facts)
        line |= {"in_state": {"Cancelled": units, "Initial": line["quantity"] - units}, "gross": gross}

    def _ct(self, at: float, what: str, **facts: Any) -> None:
        self.ct.append({"n": len(self.ct) + 1, "t": at, "what": what, **facts})

    def _cin7(self, at: float, what: str, **facts: Any) -> None:
        self.cin7.append({"n": len(self.cin7) + 1, "t": at, "what": what, **facts})

    def verdict(self, declared: Declared = DECLARED, *, ended: float = 1000.0) -> Verdict:
        evidence = Evidence(
            storefront_before=self._truth(self.first),
            back_office_before={"time": 0.0, "levels": self._levels()},
            storefront_after=self._truth(self.shown),
            back_office_after={"sales": self.sales},
            storefront=self.ct,
            back_office=self.cin7,
            began=0.0,
            ended=ended,
            client="us",
        )
        return judge(evidence, RULES, declared)

    def picture(self) -> Picture:
        """Without knowledge of the future, as a live view sees it."""
        picture = Picture(RULES, self._levels(), self._truth(self.first)["projects"]["p"]["entries"])
        picture.feed(self.ct, self.cin7)
        return picture

    def _levels(self) -> list[dict[str, Any]]:
        return [{"sku": s, "location": p, "available": n} for (s, p), n in self.levels.items()]

    def _truth(self, shown: dict[tuple[str, str], int]) -> dict[str, Any]:
        entries = [{"sku": s, "channel": c, "internal": n, "visible": n, "available": n} for (s, c), n in shown.items()]
        return {"projects": {"p": {"entries": entries, "orders": list(self.orders.values())}}}


def classes(verdict: Verdict) -> tuple[int, int, int, int]:
    """(fine, ours, inherent, platform) units."""
    fine = sum(judged.fine for judged in verdict.acceptances)
    return fine, verdict.oversold("ours"), verdict.oversold("inherent"), verdict.oversold("platform")


def one_chair(units: int, *, web: int, shop: int = 0) -> Story:
    return Story({("CHAIR", "Wh"): units}, {("CHAIR", "web"): web, ("CHAIR", "shop"): shop})


def test_an_order_for_what_is_there_is_fine() -> None:
    story = one_chair(10, web=10)
    story.order(100, "a", ("CHAIR", "web", 4))
    story.order(101, "b", ("CHAIR", "web", 6))
    assert classes(story.verdict()) == (10, 0, 0, 0)


def test_an_absolute_write_that_erases_an_unknown_order_is_ours() -> None:
    """Truth 10; B takes 4; five units arrive; an absolute write of 15 forgets B; then 14 are sold of 11."""
    story = one_chair(10, web=10)
    story.order(100, "b", ("CHAIR", "web", 4))
    story.stock(101, "CHAIR", "Wh", 5, "receive")
    story.write(102, "CHAIR", "web", 15)
    story.order(103, "c", ("CHAIR", "web", 14))
    verdict = story.verdict()
    assert classes(verdict) == (15, 3, 0, 0)
    assert [j.acceptance.number for j in verdict.oversold_by_us] == ["C"]


@pytest.mark.parametrize(("age", "expected"), [(19.0, (0, 0, 1, 0)), (21.0, (0, 1, 0, 0))])
def test_a_sale_on_a_sibling_entry_has_its_own_d(age: float, expected: tuple[int, ...]) -> None:
    """The last unit goes on the shop's channel; the web sells it again before, or after, the word can have spread."""
    story = one_chair(1, web=1, shop=1)
    story.order(200 - age, "a", ("CHAIR", "shop", 1))
    story.order(200, "b", ("CHAIR", "web", 1))
    fine, *rest = expected
    assert classes(story.verdict()) == (fine + 1, *rest)


@pytest.mark.parametrize(("age", "expected"), [(30.0, (0, 0, 1, 0)), (59.0, (0, 0, 1, 0)), (61.0, (0, 1, 0, 0))])
def test_a_counter_sale_is_judged_by_the_master_s_d(age: float, expected: tuple[int, ...]) -> None:
    story = one_chair(1, web=1)
    story.stock(200 - age, "CHAIR", "Wh", -1, "counter_sale")
    story.order(200, "a", ("CHAIR", "web", 1))
    assert classes(story.verdict()) == expected


def test_a_slow_source_does_not_hide_a_fast_one() -> None:
    """30 s after a sibling's sale it must be known, though a change at the master of that age need not be."""
    story = one_chair(2, web=2, shop=2)
    story.order(170, "a", ("CHAIR", "shop", 2))
    story.stock(171, "CHAIR", "Wh", 0, "adjust")
    story.order(200, "b", ("CHAIR", "web", 2))
    assert classes(story.verdict()) == (2, 2, 0, 0)


def test_a_raise_does_not_lend_units_to_the_past() -> None:
    """Five leave and other five come: never were ten on the shelf, so an order for eight is three too many for all."""
    story = one_chair(5, web=8)
    story.stock(190, "CHAIR", "Wh", -5, "write_off")
    story.stock(195, "CHAIR", "Wh", 5, "receive")
    story.order(200, "a", ("CHAIR", "web", 8))
    assert classes(story.verdict()) == (5, 3, 0, 0)


def test_the_platform_s_own_lag_is_counted_apart() -> None:
    """Its counter stood at 0, and it sold."""
    story = one_chair(1, web=1)
    story.order(100, "a", ("CHAIR", "web", 1))
    story.order(101, "b", ("CHAIR", "web", 1))
    assert classes(story.verdict()) == (1, 0, 0, 1)


def test_an_outage_stretches_d() -> None:
    """The back office was down from 100 to 300: a counter sale at 90 need not be known at 340 (10 + 40 s)."""
    story = one_chair(1, web=1)
    story.stock(90, "CHAIR", "Wh", -1, "counter_sale")
    story.order(340, "a", ("CHAIR", "web", 1))
    down = Outage(start=100, end=300, sources=frozenset({"master"}))
    assert classes(story.verdict(Declared(sale=20, master=60, outages=[down]))) == (0, 0, 1, 0)
    assert classes(story.verdict()) == (0, 1, 0, 0)
    assert Declared(sale=20, master=60, outages=[down]).known_since("master", 340) == 80
    assert Declared(sale=20, master=60, outages=[down]).known_since("sale", 340) == 320


def test_an_order_s_own_allocation_is_no_second_reduction() -> None:
    story = one_chair(5, web=5, shop=4)
    story.order(100, "a", ("CHAIR", "web", 3))
    story.sale(150, "a", "Wh", ("CHAIR", 3))
    picture = story.picture()
    assert picture.net["CHAIR"]["Wh"] == 2
    assert picture.should(("CHAIR", "web"), high=True) == 2
    assert [(c.delta, c.cause) for c in picture.history["CHAIR"] if c.place is None] == [(-3, "sale"), (3, "sourced")]
    story.order(500, "b", ("CHAIR", "web", 2))
    assert classes(story.verdict()) == (5, 0, 0, 0)


def test_the_place_an_order_is_taken_from_in_the_end_counts_from_the_start() -> None:
    """Shop sells from warehouse and store. Its order is served by the store, so the web never lost the unit."""
    story = Story({("CHAIR", "Wh"): 1, ("CHAIR", "Store"): 1}, {("CHAIR", "web"): 1, ("CHAIR", "shop"): 1})
    story.order(100, "a", ("CHAIR", "shop", 1))
    assert story.picture().number("CHAIR", "web", high=False) == 0
    assert story.picture().number("CHAIR", "web", high=True) == 1
    story.order(400, "b", ("CHAIR", "web", 1))
    story.sale(500, "a", "Store", ("CHAIR", 1))
    story.sale(510, "b", "Wh", ("CHAIR", 1))
    assert assignments(story.cin7, RULES)["a"] == {"CHAIR": {"Store": 1}}
    assert classes(story.verdict()) == (2, 0, 0, 0)


def test_and_had_it_been_taken_from_the_warehouse_the_web_sold_it_twice() -> None:
    story = Story({("CHAIR", "Wh"): 1, ("CHAIR", "Store"): 0}, {("CHAIR", "web"): 1, ("CHAIR", "shop"): 1})
    story.order(100, "a", ("CHAIR", "shop", 1))
    story.order(400, "b", ("CHAIR", "web", 1))
    story.sale(500, "a", "Wh", ("CHAIR", 1))
    assert classes(story.verdict()) == (1, 1, 0, 0)


def test_a_bundle_is_judged_by_its_worst_component_in_whole_bundles() -> None:
    """Eight chairs and one table: one set of two ordered is there."""
    levels = {("CHAIR", "Wh"): 8, ("TABLE", "Wh"): 1}
    story = Story(levels, {("SET", "web"): 2, ("CHAIR", "web"): 8, ("TABLE", "web"): 1})
    assert story.picture().should(("SET", "web"), high=True) == 1
    story.order(100, "a", ("SET", "web", 2))
    assert classes(story.verdict()) == (1, 1, 0, 0)
    assert story.picture().should(("CHAIR", "web"), high=True) == 0


def test_a_bundle_is_assembled_at_one_place() -> None:
    story = Story({("CHAIR", "Wh"): 4, ("TABLE", "Store"): 1}, {("SET", "shop"): 0})
    assert story.picture().should(("SET", "shop"), high=True) == 0


def test_undersell_is_the_area_below_the_truth_by_what_is_visible() -> None:
    """Truth 10, shown 7 for 100 s; then an order of 2 that shows 10 s late. The shop's buffer of 1 is no undersell."""
    story = one_chair(10, web=7, shop=9)
    story.write(100, "CHAIR", "web", 10)
    story.order(200, "a", ("CHAIR", "web", 2), lag=10)
    story.write(205, "CHAIR", "shop", 7)
    story.sale(300, "a", "Wh", ("CHAIR", 2))
    verdict = story.verdict()
    assert verdict.undersell_unit_seconds == 300.0
    assert verdict.late == {"sale": [5.0]}
    assert (verdict.writes_spent, verdict.writes_needed) == (2, 2)


def test_a_write_that_brings_nothing_nearer_was_not_needed() -> None:
    story = one_chair(10, web=10, shop=9)
    story.write(100, "CHAIR", "web", 12)
    story.write(101, "CHAIR", "web", 10)
    assert (story.verdict().writes_spent, story.verdict().writes_needed) == (2, 1)


def test_numbers_at_the_end_are_compared_with_buffers_and_held_orders_in_mind() -> None:
    """Where a held order of 2 will be taken from is open: the store has one of them at most."""
    levels = {("CHAIR", "Wh"): 10, ("CHAIR", "Store"): 1}
    story = Story(levels, {("CHAIR", "web"): 10, ("CHAIR", "shop"): 9})
    story.order(100, "held", ("CHAIR", "shop", 2))
    wrong = [(w.channel, w.counter, w.should) for w in story.verdict().wrong]
    assert wrong == [("web", 10, (8, 9)), ("shop", 7, (8, 8))]
    story.write(200, "CHAIR", "web", 8)
    story.write(200, "CHAIR", "shop", 8)
    assert story.verdict().wrong == []
    story.write(200, "CHAIR", "web", 9)
    verdict = story.verdict()
    assert (verdict.wrong, verdict.keys) == ([], 2)


def test_a_cancelled_order_gives_its_units_back() -> None:
    story = one_chair(10, web=10, shop=9)
    story.order(100, "a", ("CHAIR", "web", 4))
    story.cancel(200, "a")
    assert story.picture().should(("CHAIR", "web"), high=False) == 10


def test_orders_are_tied_to_sales() -> None:
    story = one_chair(50, web=50)
    for name in ("once", "split", "cents", "lost", "short", "twice", "void", "late", "live"):
        story.order(100, name, ("CHAIR", "web", 2))
    story.sale(200, "once", "Wh", ("CHAIR", 2))
    story.sale(200, "split", "Wh", ("CHAIR", 1), part=1)
    story.sale(200, "split", "Store", ("CHAIR", 1), part=2)
    story.sale(200, "cents", "Wh", ("CHAIR", 1), part=1, total="6.1450")
    story.sale(200, "cents", "Store", ("CHAIR", 1), part=2, total="3.8499")
    story.sale(200, "short", "Wh", ("CHAIR", 1))
    story.sale(200, "twice", "Wh", ("CHAIR", 2))
    story.sale(201, "twice", "Wh", ("CHAIR", 2))
    story.sale(200, "late", "Wh", ("CHAIR", 2), shipped=2)
    story.sale(200, "live", "Wh", ("CHAIR", 2))
    for name in ("void", "late", "live"):
        story.cancel(300, name)
    found = story.verdict().tie
    assert found.captured == 9
    assert found.exported_once == ["once", "split", "cents"]
    assert (found.missing, found.doubled) == (["lost", "short"], ["twice"])
    assert found.cancelled == ["void", "late", "live"]
    assert (found.cancelled_too_late, found.cancelled_but_live) == (["late"], ["live"])
    assert found.totals_differ == ["split"]  # two sales of 10.00 for an order of 10.00; 6.15 and 3.85 are right


def test_cancelled_units_of_a_line_are_given_back() -> None:
    story = one_chair(10, web=10, shop=9)
    story.order(100, "a", ("CHAIR", "web", 4))
    story.cancel_units(200, "a", 3)
    assert story.picture().should(("CHAIR", "web"), high=False) == 9
    story.sale(300, "a", "Wh", ("CHAIR", 1))
    assert story.picture().should(("CHAIR", "web"), high=False) == 9


def test_an_order_with_cancelled_units_is_tied_to_what_is_left_of_it() -> None:
    """Three chairs for 10.00, one of them cancelled: two come to 6.67, give or take a cent of tax."""
    story = one_chair(50, web=50)
    sales = {
        "right": (2, 0, "6.66"), "rounded": (2, 0, "6.68"), "dear": (2, 0, "6.70"), "unchanged": (2, 0, "10.00"),
        "gone": (3, 3, "10.00"), "live": (3, 2, "10.00"), "short": (1, 0, "3.33"), "more": (4, 0, "13.33"),
    }  # fmt: skip
    for name, (units, shipped, total) in sales.items():
        story.order(100, name, ("CHAIR", "web", 3))
        story.cancel_units(150, name, 1)
        story.sale(200, name, "Wh", ("CHAIR", units), shipped=shipped, total=total)
    story.order(100, "nothing", ("CHAIR", "web", 3))
    story.cancel_units(150, "nothing", 3)
    found = tie(story.orders.values(), story.sales, RULES)
    assert found.reduced == ["right", "rounded", "dear", "unchanged", "gone", "live", "nothing"]
    assert found.totals_differ == ["dear", "unchanged"]
    assert (found.cancelled_too_late, found.cancelled_but_live) == (["gone"], ["live"])
    assert (found.missing, found.doubled) == (["short"], ["more"])


def test_deliveries_are_told_once() -> None:
    story = one_chair(50, web=50)
    for name in ("told", "untold", "again"):
        story.order(100, name, ("CHAIR", "web", 2))
        story.sale(200, name, "Wh", ("CHAIR", 2), shipped=2)
    parcel = {"items": [{"id": "told-0", "quantity": 2}]}
    story.orders["told"]["deliveries"] = [parcel]
    story.orders["again"]["deliveries"] = [{"items": [{"id": "again-0", "quantity": 2}]}] * 2
    found = tie(story.orders.values(), story.sales, RULES)
    assert found.deliveries_missing == {("untold", "CHAIR"): 2}
    assert found.deliveries_extra == {("again", "CHAIR"): 2}


def test_a_line_spelled_otherwise_is_the_same_goods() -> None:
    """The sale and its parcels name CHAIR where the storefront's lines say CHAIR and chair."""
    story = one_chair(50, web=50)
    story.shown["chair", "web"] = 50
    story.order(100, "both", ("CHAIR", "web", 2), ("chair", "web", 1))
    story.sale(200, "both", "Wh", ("CHAIR", 3), shipped=3)
    items = [{"id": "both-0", "quantity": 2}, {"id": "both-1", "quantity": 1}]
    story.orders["both"]["deliveries"] = [{"items": items}]
    found = tie(story.orders.values(), story.sales, dataclasses.replace(RULES, cards={"chair": "CHAIR"}))
    assert (found.exported_once, found.deliveries_missing, found.deliveries_extra) == (["both"], {}, {})
    assert tie(story.orders.values(), story.sales, RULES).doubled == ["both"]


def test_each_line_adds_up_by_itself() -> None:
    line = {"sku": "CHAIR", "channel": "web", "quantity": 3, "mode": "ReserveOnOrder", "gross": 900}
    order = {
        "id": "a", "orderNumber": "A", "orderState": "Open", "taxedPrice": {"totalGross": {"centAmount": 1000}},
        "lines": [{**line, "line": "l1"}, {**line, "line": "l2", "in_state": {"Cancelled": 1, "Shipped": 2}}],
        "deliveries": [{"items": [{"id": "l1", "quantity": 3}, {"id": "l2", "quantity": 2}]}],
        "returnInfo": [{"items": [{"lineItemId": "l1", "quantity": 3}]}],
    }  # fmt: skip
    sale = {"external_id": "p:a:1", "order_status": "AUTHORISED", "total": "10.00",
            "lines": [{"sku": "CHAIR", "quantity": 5, "shipped": 5}]}  # fmt: skip
    found = tie([order], [sale], RULES)
    assert (found.lines, found.unbalanced) == (2, [])
    order["deliveries"].append({"items": [{"id": "l2", "quantity": 1}]})
    order["returnInfo"].append({"items": [{"lineItemId": "l1", "quantity": 1}]})
    assert tie([order], [sale], RULES).unbalanced == [
        "A CHAIR: ordered 3, delivered 3, cancelled 0, returned 4",
        "A CHAIR: ordered 3, delivered 3, cancelled 1, returned 0",
    ]


def test_what_came_back_to_a_warehouse_that_tells_of_it_is_told_once() -> None:
    story = one_chair(9, web=9)
    story.order(100, "a", ("CHAIR", "web", 4))
    story.order(101, "b", ("CHAIR", "web", 1))
    for name, units in (("a", 2), ("b", 0)):
        items = [{"lineItemId": f"{name}-0", "quantity": units}] if units else []
        story.orders[name]["returnInfo"] = [{"items": items}]
    back = [{"external_id": f"p:{name}:2", "lines": [{"sku": "CHAIR", "quantity": 1}]} for name in ("a", "a", "b")]
    stranger = {"external_id": "", "lines": [{"sku": "CHAIR", "quantity": 7}]}
    found = tie(story.orders.values(), [], RULES, [*back, stranger])
    assert found.returns_differ == {("b", "CHAIR"): 1}


HOUSE_ROWS: list[dict[str, Any]] = [
    {"what": "order_imported", "order": "p:a:1", "site": "Leeds", "lines": [{"sku": "CHAIR", "quantity": 3}]},
    {"what": "stock", "sku": "CHAIR", "site": "Leeds", "cause": "allocated", "order": "p:a:1", "allocated_delta": 3,
     "picked_delta": 0},
    {"what": "stock", "sku": "CHAIR", "site": "Leeds", "cause": "short_pick", "order": "p:a:1", "kind": "good",
     "delta": -1},
    {"what": "stock", "sku": "CHAIR", "site": "Leeds", "cause": "short_pick", "order": "p:a:1", "kind": "frozen",
     "delta": 1},
    {"what": "stock", "sku": "CHAIR", "site": "Leeds", "cause": "despatched", "order": "p:a:1", "allocated_delta": -2,
     "picked_delta": -2},
    {"what": "stock", "sku": "CHAIR", "site": "Leeds", "cause": "despatched", "order": "p:a:1", "kind": "good",
     "delta": -2},
    {"what": "stock", "sku": "CHAIR", "site": "Leeds", "cause": "returned", "order": "p:a:1", "kind": "good",
     "delta": 1},
    {"what": "return_booked", "order": "p:a:1", "lines": [{"sku": "CHAIR", "quantity": 1}]},
    {"what": "shipment", "order": "p:a:1", "state": "packed"},
]  # fmt: skip


def test_a_warehouse_s_journal_in_the_words_of_a_back_office() -> None:
    told = [each for n, row in enumerate(HOUSE_ROWS) for each in houses.rows_of({"n": n, "t": 100.0 + n, **row})]
    assert [row["what"] for row in told] == [
        "sale_authorised", "stock", "stock", "stock", "stock", "shipped", "stock", "came_back",
    ]  # fmt: skip
    moved = [(row["delta"], row["on_hand_delta"], row["allocated_delta"], row["external_id"])
             for row in told if row["what"] == "stock"]  # fmt: skip
    assert moved == [
        (-3, 0, 3, "p:a:1"), (-1, -1, 0, None), (2, 0, -2, "p:a:1"), (-2, -2, 0, "p:a:1"), (1, 1, 0, None),
    ]  # fmt: skip


def test_an_order_taken_by_a_warehouse_is_counted_once_until_it_has_left() -> None:
    story = Story({("CHAIR", "Wh"): 10}, {("CHAIR", "web"): 10})
    story.order(50, "a", ("CHAIR", "web", 3))
    picture = story.picture()
    seen = [picture.number("CHAIR", "web", high=True)]
    for n, row in enumerate(HOUSE_ROWS):
        picture.feed([], houses.rows_of({"n": n, "t": 100.0 + n, **row, "site": "Wh"}))
        seen.append(picture.number("CHAIR", "web", high=True))
    # One is lost to a picker at the third step, and one comes back at the end.
    assert seen == [7, 7, 7, 6, 6, 6, 6, 7, 7, 7]


def test_percentiles() -> None:
    assert percentiles(range(1, 101), 50, 99) == {"p50": 51, "p99": 100}
    assert percentiles([], 50) == {"p50": 0.0}


# --- units that staff take off a sale --------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "ours"), [("us", 0), ("shopper", 2)])
def test_what_staff_take_off_is_free_at_once_where_we_cancel_it_for_them(who: str, ours: int) -> None:
    story = Story({("CHAIR", "Wh"): 5}, {("CHAIR", "web"): 5})
    story.order(10, "a", ("CHAIR", "web", 3))
    story.sale(20, "a", "Wh", ("CHAIR", 3))
    story.take_off(50, "a", 2)
    story.write(70, "CHAIR", "web", 4)
    # Two of these are those that staff took off, before the storefront has heard of it.
    story.order(80, "b", ("CHAIR", "web", 4))
    story.cancel_units(100, "a", 2, client=who)
    verdict = story.verdict()
    assert verdict.oversold("ours") == ours
    assert verdict.oversold("inherent") == 0


def test_a_sale_that_staff_void_frees_its_units_where_we_cancel_them() -> None:
    found = []
    for client in ("us", "shopper"):
        story = Story({("CHAIR", "Wh"): 3}, {("CHAIR", "web"): 3})
        story.order(10, "a", ("CHAIR", "web", 3))
        story.sale(20, "a", "Wh", ("CHAIR", 3))
        story.void(50)
        story.write(60, "CHAIR", "web", 3)
        story.order(80, "b", ("CHAIR", "web", 3))
        story.cancel_units(100, "a", 3, client=client)
        found.append(story.verdict().oversold("ours"))
    assert found == [0, 3]


def test_what_was_cancelled_twice_is_counted_once() -> None:
    story = Story({("CHAIR", "Wh"): 5}, {("CHAIR", "web"): 5})
    story.order(10, "a", ("CHAIR", "web", 3))
    story.sale(20, "a", "Wh", ("CHAIR", 3))
    story.take_off(50, "a", 2)
    story.cancel_units(100, "a", 2, client="us")
    story.write(120, "CHAIR", "web", 4)
    verdict = story.verdict()
    assert verdict.wrong == []
    assert verdict.tie.reduced == ["a"]


# --- goods in carts --------------------------------------------------------------------------------------------------


def test_goods_in_a_cart_may_be_left_out_of_the_other_channels_number_and_no_longer_once_they_are_sold() -> None:
    story = Story({("CHAIR", "Wh"): 10}, {("CHAIR", "web"): 10, ("CHAIR", "shop"): 9})
    story.cart(10, "CHAIR", "web", 4, "reserve")
    entries = story.picture().entries
    assert (entries["CHAIR", "web"].low, entries["CHAIR", "web"].high) == (10, 10)
    assert (entries["CHAIR", "shop"].low, entries["CHAIR", "shop"].high) == (5, 9)
    story._ct(20, "order_accepted", order="a", number="A", cart="cart-1", lines=[])
    sold = story.picture().entries["CHAIR", "shop"]
    assert (sold.low, sold.high, sold.held) == (9, 9, {})


def test_a_cart_that_let_go_holds_nothing() -> None:
    story = Story({("CHAIR", "Wh"): 10}, {("CHAIR", "web"): 10, ("CHAIR", "shop"): 9})
    story.cart(10, "CHAIR", "web", 4, "reserve")
    story.cart(20, "CHAIR", "web", 2, "reserve")
    assert story.picture().entries["CHAIR", "shop"].low == 7
    story.cart(30, "CHAIR", "web", 0, "expire")
    assert story.picture().entries["CHAIR", "shop"].low == 9
