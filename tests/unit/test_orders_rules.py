"""Demand by component, the boundary check and sourcing, with values a person can check by hand."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from orders_shop import KIT, VAT, line, order, settings

from sellable.config.settings import Cin7Core, CustomerMap, Rate, SkuMap, TaxMap
from sellable.domain.money import Taxed
from sellable.domain.orders import Charge, Line, Tax
from sellable.orders import rules
from sellable.orders.rules import Finding, Unit, findings, source, units_of


def catalogue(*skus: str, **changes: Any) -> Any:
    exact = {sku: SimpleNamespace(name=sku, sellable=True, service=False, kit=False, fault="") for sku in skus}
    return SimpleNamespace(**{"exact": exact, "twins": {}, "anything": True} | changes)


def kinds(found: list[Finding]) -> list[tuple[str, str]]:
    return [(f.kind, f.subject) for f in found]


# --- Demand ----------------------------------------------------------------------------------------------------------


def test_demand_is_on_components_and_says_how_many_make_one_unit() -> None:
    bought = order(line("l1", "TEA-SET", 2, channel="window"), line("l2", "CUP", 4))
    assert units_of(bought, KIT, own_kits=True) == [
        Unit(line_id="l1", sku="CUP", units=4, channel="window", per_line=2),
        Unit(line_id="l1", sku="POT", units=2, channel="window", per_line=1),
        Unit(line_id="l2", sku="CUP", units=4, channel="", per_line=1),
    ]


def test_kits_of_somebody_else_stay_whole() -> None:
    units = units_of(order(line("l1", "TEA-SET", 2)), KIT, own_kits=False)
    assert units == [Unit(line_id="l1", sku="TEA-SET", units=2, channel="", per_line=1)]


def test_lines_without_a_sku_or_units_ask_for_nothing() -> None:
    assert units_of(order(line("l1", None, 3), line("l2", "CUP", 0)), {}, own_kits=True) == []


def test_a_kit_whose_children_are_lines_is_not_exploded_again() -> None:
    bought = order(
        line("l1", "TEA-SET", 2),
        line("l2", "CUP", 4, bundle_parent="l1"),
        line("l3", "POT", 2, bundle_parent="l1"),
    )
    assert [(u.line_id, u.sku, u.units) for u in units_of(bought, KIT, own_kits=True)] == [
        ("l2", "CUP", 4),
        ("l3", "POT", 2),
    ]


def test_a_kit_whose_child_is_an_add_on_is_exploded() -> None:
    """Else its own cups would be sold twice."""
    bought = order(line("l1", "TEA-SET"), line("l2", "WARRANTY", bundle_parent="l1"))
    assert [(u.sku, u.units) for u in units_of(bought, KIT, own_kits=True)] == [
        ("CUP", 2),
        ("POT", 1),
        ("WARRANTY", 1),
    ]


# --- Boundary --------------------------------------------------------------------------------------------------------


def test_a_mapped_sku_is_looked_up_as_the_master_spells_it() -> None:
    mapped = settings(skus=(SkuMap(storefront="MUG", master="CUP"), SkuMap(storefront="JUG", master="GONE")))
    assert findings(order(line("l1", "MUG")), catalogue("CUP"), mapped) == []
    assert kinds(findings(order(line("l1", "JUG")), catalogue("CUP"), mapped)) == [("unknown_sku", "sku:GONE")]


def test_a_mapped_sku_that_the_master_has_too_means_two_things() -> None:
    (found,) = findings(
        order(line("l1", "MUG")), catalogue("CUP", "MUG"), settings(skus=(SkuMap(storefront="MUG", master="CUP"),))
    )
    assert (found.kind, found.actual) == ("sku_ambiguous", {"product of the master": "MUG", "mapped to": "CUP"})


def test_a_clean_order_has_no_findings_whatever_else_it_says() -> None:
    bought = order(line("l1", "CUP"), unknown=("lineItems[0].novelty",), shipping_method="Express")
    assert findings(bought, catalogue("CUP"), settings()) == []


def test_a_foreign_currency_needs_a_rate_and_the_base_none() -> None:
    customers = (CustomerMap(customer="Web EUR", currency="EUR"), CustomerMap(customer="Web CHF", currency="CHF"))
    office = Cin7Core(account_id="", key="", base_currency="EUR")
    shop = settings(customers=customers, cin7_core=office)
    (found,) = findings(order(line("l1", "CUP"), currency="CHF"), catalogue("CUP"), shop)
    assert (found.kind, found.subject) == ("currency_rate_missing", "rate:CHF")
    assert (found.expected["a rate to"], found.actual) == ("EUR", {"currency": "CHF"})
    rated = settings(customers=customers, cin7_core=office, rates=(Rate(currency="CHF", rate="1.06213"),))
    assert findings(order(line("l1", "CUP"), currency="CHF"), catalogue("CUP"), rated) == []
    assert rules.rate_of("CHF", rated) == Decimal("1.06213")
    assert rules.rate_of("EUR", rated) is None
    own = settings(customers=customers, cin7_core=office, rates=(Rate(currency="CHF", rate="own"),))
    assert rules.rate_of("CHF", own) is None
    assert rules.rate_of("EUR", settings()) is None, "the only currency there is is the company's"
    nobody = findings(order(line("l1", "CUP"), currency="USD"), catalogue("CUP"), rated)
    assert kinds(nobody) == [("currency_unmapped", "currency:USD")], "a rate is no use without a customer"


def test_skus_are_compared_byte_for_byte() -> None:
    known = catalogue("CUP", "Pot", twins={"POT": ("Pot",)})
    known.exact["TEA-SET"] = SimpleNamespace(kit=True, fault="empty recipe")
    bought = order(*(line(sku or "none", sku) for sku in ("CUP", "POT", "JUG", None, "TEA-SET")))
    found = findings(bought, known, settings())
    assert kinds(found) == [
        ("sku_ambiguous", "sku:POT"),
        ("unknown_sku", "sku:JUG"),
        ("missing_sku_on_line", "order:o-1"),
        ("bundle_recipe_invalid", "sku:TEA-SET"),
    ]
    assert found[0].actual == {"only differing by case or blanks": ["Pot"]}
    assert found[2].line_id == "none"


def test_without_a_catalogue_nothing_is_unknown_but_the_setup() -> None:
    bought = order(line("l1", "CUP"), line("l2", "JUG"))
    assert kinds(findings(bought, catalogue(anything=False), settings())) == [("setup_incomplete", "catalogue")]


def test_two_lines_with_one_mistake_are_one_finding() -> None:
    bought = order(line("l1", "JUG"), line("l2", "JUG"))
    assert kinds(findings(bought, catalogue(), settings())) == [("unknown_sku", "sku:JUG")]


@pytest.mark.parametrize("channel", ["mars", "window"])
def test_a_channel_must_be_configured_and_ship_from_somewhere(channel: str) -> None:
    found = findings(order(line("l1", "CUP", channel=channel)), catalogue("CUP"), settings())
    assert kinds(found) == [("channel_unmapped", f"channel:{channel}")]
    assert found[0].expected == {"channels that ship": [""]}


def test_places_of_a_channel_keep_the_configured_order_of_their_pool() -> None:
    assert rules.ships_from("", settings()) == ("east", "main")


@pytest.mark.parametrize(
    ("currency", "store", "customer"),
    [("EUR", None, "Web EUR"), ("EUR", "outlet", "Outlet EUR"), ("EUR", "other", "Web EUR"), ("SEK", None, None)],
)
def test_the_customer_follows_currency_and_store(currency: str, store: str | None, customer: str | None) -> None:
    bought = order(line("l1", "CUP"), currency=currency, store=store)
    assert rules.customer_of(bought, settings()) == customer
    expected = [] if customer else [("currency_unmapped", "currency:SEK")]
    assert kinds(findings(bought, catalogue("CUP"), settings())) == expected


@pytest.mark.parametrize(
    ("taxes", "rule"),
    [
        ([], None),
        ([("0.19", "A", "", "")], "A"),
        ([("0.190", "A", "", "")], "A"),
        ([("0.20", "A", "", "")], None),
        ([("0.19", "A", "", "FR")], None),
        ([("0.19", "A", "", ""), ("0.19", "B", "", "DE")], "B"),
        ([("0.19", "A", "VAT", ""), ("0.19", "B", "", "DE")], None),
        ([("0.19", "A", "VAT", ""), ("0.19", "B", "", "DE"), ("0.19", "C", "VAT", "DE")], "C"),
        ([("0.19", "A", "", ""), ("0.19", "B", "", "")], None),
    ],
)
def test_exactly_one_tax_rule_must_fit_best(taxes: list[tuple[str, str, str, str]], rule: str | None) -> None:
    maps = [TaxMap(rate=rate, rule=name, name=tax, country=country) for rate, name, tax, country in taxes]
    assert rules.tax_rule(VAT, maps) == rule


def test_tax_is_checked_on_lines_and_charges() -> None:
    odd = Tax(name="VAT", rate=Decimal("0.25"), included=False, country="SE")
    charge = {"kind": "shipping", "quantity": 1, "name": "Post", "taxed": Taxed(net=500, gross=595)}
    bought = order(
        line("l1", "CUP", tax=None),
        line("l2", "CUP", tax=odd),
        charges=(
            Charge(charge_id="s1", total=500, tax=None, **charge),
            Charge(charge_id="s2", total=500, tax=odd, **charge),
        ),
    )
    found = findings(bought, catalogue("CUP"), settings())
    assert [(f.subject, f.line_id) for f in found] == [("order:o-1", "l1"), ("tax:0.25:SE:VAT", "l2")]


def test_a_free_shipping_and_a_discount_over_several_rates_need_no_rate() -> None:
    bought = order(
        line("l1", "CUP"),
        charges=(
            Charge(kind="shipping", charge_id="s", name="Post", quantity=1, total=0, tax=None, taxed=None),
            Charge(
                kind="discount", charge_id="d", name="-10", quantity=1, total=-10, tax=None,
                taxed=Taxed(net=-10, gross=-12),
            ),
        ),
    )  # fmt: skip
    assert findings(bought, catalogue("CUP"), settings()) == []


def test_carriers_are_asked_for_only_where_some_are_mapped() -> None:
    bought = order(line("l1", "CUP"), shipping_method="Express")
    mapped = settings(carriers={"Standard": "DHL"})
    assert kinds(findings(bought, catalogue("CUP"), mapped)) == [("carrier_unmapped", "carrier:Express")]


# --- Sourcing --------------------------------------------------------------------------------------------------------


def sourced(
    lines: list[Line], stock: dict[tuple[str, str], int], *places: str, kits: dict[str, dict[str, int]] | None = None
) -> dict[str, list[tuple[str, int]]]:
    return source(lines, stock, {line.line_id: places for line in lines}, kits or {})


def test_one_location_ships_everything_although_another_is_first() -> None:
    stock = {("CUP", "main"): 5, ("POT", "main"): 0, ("CUP", "east"): 2, ("POT", "east"): 1}
    found = sourced([line("l1", "CUP", 2), line("l2", "POT")], stock, "main", "east")
    assert found == {"l1": [("east", 2)], "l2": [("east", 1)]}


def test_ties_go_by_configured_order() -> None:
    stock = {("CUP", "main"): 5, ("CUP", "east"): 50}
    assert sourced([line("l1", "CUP", 2)], stock, "main", "east") == {"l1": [("main", 2)]}
    assert sourced([line("l1", "CUP", 2)], stock, "east", "main") == {"l1": [("east", 2)]}


def test_the_fewest_locations_win_over_the_first_ones() -> None:
    """The first location has some of everything, yet the other two are enough without it."""
    stock = {("CUP", "a"): 1, ("POT", "a"): 1, ("JUG", "a"): 1}
    stock |= {("CUP", "b"): 3, ("POT", "b"): 3, ("JUG", "c"): 3}
    found = sourced([line("l1", "CUP", 3), line("l2", "POT", 3), line("l3", "JUG", 3)], stock, "a", "b", "c")
    assert found == {"l1": [("b", 3)], "l2": [("b", 3)], "l3": [("c", 3)]}


def test_a_line_is_split_only_when_no_location_has_enough() -> None:
    found = sourced([line("l1", "CUP", 5)], {("CUP", "a"): 1, ("CUP", "b"): 3, ("CUP", "c"): 2}, "a", "b", "c")
    assert found == {"l1": [("b", 3), ("c", 2)]}


def test_a_single_kit_is_never_made_of_two_locations() -> None:
    stock = {("CUP", "a"): 4, ("POT", "b"): 4, ("CUP", "b"): 2, ("POT", "c"): 1, ("CUP", "c"): 2}
    assert sourced([line("l1", "TEA-SET", 2)], stock, "a", "b", "c", kits=KIT) == {"l1": [("b", 1), ("c", 1)]}


def test_kit_and_component_do_not_sell_one_cup_twice() -> None:
    """Six cups in a: enough for either line, not for both."""
    stock = {("CUP", "a"): 6, ("POT", "a"): 2, ("CUP", "b"): 9}
    found = sourced([line("l1", "CUP", 4), line("l2", "TEA-SET", 2)], stock, "a", "b", kits=KIT)
    assert found == {"l1": [("b", 4)], "l2": [("a", 2)]}


def test_what_nobody_has_is_a_backorder_at_the_first_location() -> None:
    stock = {("CUP", "a"): 0, ("CUP", "b"): 3, ("POT", "a"): -2}
    found = sourced([line("l1", "CUP", 5), line("l2", "POT", 1)], stock, "a", "b")
    assert found == {"l1": [("a", 2), ("b", 3)], "l2": [("a", 1)]}


def test_a_service_goes_where_the_goods_go() -> None:
    stock = {("CUP", "a"): 0, ("CUP", "b"): 3}
    assert sourced([line("l1", "WRAPPING"), line("l2", "CUP")], stock, "a", "b") == {
        "l1": [("b", 1)],
        "l2": [("b", 1)],
    }
    assert sourced([line("l1", "WRAPPING")], stock, "a", "b") == {"l1": [("a", 1)]}


def test_each_line_ships_from_its_own_places() -> None:
    lines = [line("l1", "CUP", 2, channel="eu"), line("l2", "CUP", 2, channel="uk")]
    stock = {("CUP", "main"): 2, ("CUP", "london"): 2, ("CUP", "paris"): 0}
    found = source(lines, stock, {"l1": ("main", "paris"), "l2": ("main", "london")}, {})
    assert found == {"l1": [("main", 2)], "l2": [("london", 2)]}


def test_beyond_twelve_locations_the_search_is_greedy_and_still_complete() -> None:
    places = [f"shop-{number:02}" for number in range(20)]
    stock = {("CUP", place): 1 for place in places} | {("CUP", "shop-17"): 7}
    found = source([line("l1", "CUP", 9)], stock, {"l1": places}, {})
    assert found == {"l1": [("shop-00", 1), ("shop-01", 1), ("shop-17", 7)]}


def test_a_line_without_places_is_an_error_and_not_a_lost_line() -> None:
    with pytest.raises(ValueError, match="ships from nowhere"):
        source([line("l1", "CUP")], {}, {"l1": ()}, {})


def test_lines_without_goods_are_not_sourced() -> None:
    assert source([line("l1", None), line("l2", "CUP", 0)], {}, {"": ("a",)}, {}) == {}
