"""Routing: the first rule that fits takes a line, every earlier one says why not, and nothing is ever lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.orders_shop import complete, line, order, settings

from sellable.config.check import check
from sellable.config.settings import Channel, Location, OrderFlow, Pool, Route, Settings
from sellable.domain.orders import Address, Order
from sellable.orders import routing, sales
from sellable.orders.routing import Routed

FLOW = OrderFlow(
    base_url="https://of.example/web", user="u", password="p", channel="HOME", organisation="ORG", time_zone="UTC"
)


def shop(*routes: Route, **changes: Any) -> Settings:
    """Two back offices: Berlin and Hamburg are Cin7 Core's, Leeds is OrderFlow's."""
    values: dict[str, Any] = {
        "locations": (
            Location(name="Berlin", master="cin7_core", remote="Berlin"),
            Location(name="Hamburg", master="cin7_core", remote="Hamburg"),
            Location(name="Leeds", master="orderflow", remote="LEEDS"),
        ),
        "pools": (
            Pool(name="all", locations=("Berlin", "Hamburg", "Leeds")),
            Pool(name="north", locations=("Leeds",)),
        ),
        "channels": (Channel(key="", pool="all"), Channel(key="uk", pool="north")),
        "routes": routes,
        "orderflow": FLOW,
    }
    base = settings(**values | changes)
    office = msgspec.structs.replace(base.cin7_core, account_id="acc")
    return msgspec.structs.replace(base, cin7_core=office)


def rule(name: str, target: str = "orderflow", **conditions: Any) -> Route:
    return Route(name=name, target=target, **conditions)


def routed(bought: Order, config: Settings, stock: dict[tuple[str, str], int] | None = None) -> list[Routed]:
    return routing.route(bought, list(bought.lines), config, stock or {}, {})


def took(bought: Order, config: Settings, stock: dict[tuple[str, str], int] | None = None) -> list[str]:
    return [each.rule for each in routed(bought, config, stock)]


REST = rule("rest", "cin7_core")


@pytest.mark.parametrize(
    ("condition", "fits", "why"),
    [
        ({"stores": ("outlet",)}, {"store": "outlet"}, 'store "" is not "outlet"'),
        ({"countries": ("GB", "IE")}, {"country": "IE"}, 'country "DE" is not "GB" or "IE"'),
        ({"currencies": ("GBP",)}, {"currency": "GBP"}, 'currency "EUR" is not "GBP"'),
        ({"ship_to": ("US",)}, {"shipping_address": Address(country="US", region="CA")}, 'ship to "" is not "US"'),
        (
            {"ship_to": ("US-CA",)},
            {"shipping_address": Address(country="US", region="CA")},
            'ship to "" is not "US-CA"',
        ),
        ({"methods": ("Express",)}, {"shipping_method": "Express"}, 'shipping method "" is not "Express"'),
    ],
)
def test_an_order_is_matched_by_what_it_says(condition: dict[str, Any], fits: dict[str, Any], why: str) -> None:
    config = shop(rule("special", **condition), REST)
    plain = order(line("l1", "CUP"))
    assert took(msgspec.structs.replace(plain, **fits), config) == ["special"]
    (other,) = routed(plain, config)
    assert (other.rule, other.target) == ("rest", "cin7_core")
    assert [(each.rule, each.because) for each in other.passed] == [("special", why)]


def test_lines_are_matched_by_channel_sku_and_attribute() -> None:
    config = shop(
        rule("uk", channels=("uk",)), rule("cups", skus=("CUP*",)), rule("acme", attributes={"vendor": ("acme",)}), REST
    )
    lines = [
        line("l1", "POT", channel="uk"), line("l2", "CUP-9"), line("l3", "JUG", attributes={"vendor": "acme"}),
        line("l4", "JUG"),
    ]  # fmt: skip
    found = routed(order(*lines), config)
    assert [each.rule for each in found] == ["uk", "cups", "acme", "rest"]
    assert [each.because for each in found[3].passed] == [
        'channel "" is not "uk"', 'SKU "JUG" is not "CUP*"', 'vendor "" is not "acme"'
    ]  # fmt: skip


def test_a_rule_for_whole_orders_leaves_those_with_a_line_it_does_not_fit() -> None:
    config = shop(rule("cups", skus=("CUP",), lines="all"), REST)
    assert took(order(line("l1", "CUP")), config) == ["cups"]
    found = routed(order(line("l1", "CUP"), line("l2", "POT")), config)
    assert [each.rule for each in found] == ["rest", "rest"]
    assert found[0].passed[0].because == 'it takes orders whole, and for POT: SKU "POT" is not "CUP"'


def test_stock_decides_by_line_or_by_order_and_narrows_the_places() -> None:
    near = rule("near", "cin7_core", stock="line")
    stock = {("CUP", "Hamburg"): 5, ("CUP", "Berlin"): 1, ("POT", "Berlin"): 2}
    cups, pots = line("l1", "CUP", 2), line("l2", "POT", 2)
    found = routed(order(cups, pots), shop(near, rule("far")), stock)
    assert [(each.rule, each.locations) for each in found] == [("near", ("Hamburg",)), ("near", ("Berlin",))]
    together = rule("near", "cin7_core", stock="order")
    found = routed(order(cups, pots), shop(together, rule("far")), stock)
    assert [(each.rule, each.locations) for each in found] == [("far", ("Leeds",)), ("far", ("Leeds",))]
    assert found[0].passed[0].because == "none of Berlin, Hamburg can ship everything it fits"
    assert took(order(cups), shop(together, rule("far")), stock) == ["near"]


def test_two_lines_of_one_sku_do_not_both_count_its_last_units() -> None:
    config = shop(rule("near", "cin7_core", stock="order"), rule("far"))
    stock = {("CUP", "Berlin"): 3}
    assert took(order(line("l1", "CUP", 2), line("l2", "CUP", 2)), config, stock) == ["far", "far"]


def test_a_line_that_no_rule_takes_is_a_finding_with_every_reason() -> None:
    bought = order(line("l1", "CUP"), line("l2", "POT"))
    found = routed(bought, shop(rule("pots", skus=("POT",))))
    (finding,) = routing.unrouted(bought, found)
    assert (finding.kind, finding.subject, finding.line_id) == ("route_missing", "order:o-1", "l1")
    assert finding.actual == {"lines": [{"sku": "CUP", "passed": {"pots": 'SKU "CUP" is not "POT"'}}]}


def test_a_target_that_the_channel_cannot_ship_from_is_passed_over() -> None:
    (found,) = routed(order(line("l1", "CUP", channel="uk")), shop(rule("cin7", "cin7_core"), rule("flow")))
    assert found.rule == "flow"
    assert found.passed[0].because == 'channel "uk" does not ship from a location of cin7_core'


def test_without_rules_a_line_ships_from_every_place_of_its_channel() -> None:
    (found,) = routed(order(line("l1", "CUP")), shop())
    assert (found.rule, found.target, found.locations) == ("", "", ("Berlin", "Hamburg", "Leeds"))


def test_an_order_is_split_by_target_first_and_then_by_location() -> None:
    """Leeds alone could ship all of it, yet cups are Cin7 Core's: Hamburg has both of them."""
    config = shop(rule("cups", "cin7_core", skus=("CUP",)), rule("rest"))
    lines = [line("l1", "CUP", 2), line("l2", "POT")]
    stock = {("CUP", "Leeds"): 9, ("POT", "Leeds"): 9, ("CUP", "Berlin"): 1, ("CUP", "Hamburg"): 2}
    bought = order(*lines)
    assert routing.split(lines, routed(bought, config, stock), stock, {}) == {
        "l1": [("Hamburg", 2)], "l2": [("Leeds", 1)],
    }  # fmt: skip


def test_one_place_makes_a_part_for_each_way_out_and_nothing_is_lost() -> None:
    config = shop(
        rule("fast", "cin7_core", skus=("CUP",), carrier="DHL", service="express"), rule("slow", "cin7_core"),
        carriers={"Standard": "Post"},
    )  # fmt: skip
    bought = complete(order(line("l1", "CUP"), line("l2", "POT"), line("l3", "JUG"), shipping_method="Standard"))
    found = routed(bought, config)
    assignment = {each.line_id: [("Berlin", 1)] for each in found}
    taken = {each.line_id: each.rule for each in found}
    parts = [
        part for part in sales.drafts(bought, assignment, config, kits={}, taken=taken) if isinstance(part, sales.Part)
    ]
    assert [(p.part, p.location, p.draft.carrier, p.rules) for p in parts] == [
        (1, "Berlin", "Post", ("slow", "slow")), (2, "Berlin", "DHL", ("fast",)),
    ]  # fmt: skip
    assert parts[1].draft.note.endswith("part 2 of 2, service express")
    assert sum(p.expected.gross for p in parts) == bought.taxed.gross if bought.taxed else False


def test_a_warehouse_is_sent_the_components_of_a_kit_with_its_money_on_the_first() -> None:
    config = shop(rule("all"), locations=(Location(name="Leeds", master="orderflow", remote="LEEDS"),))
    bought = complete(order(line("l1", "TEA-SET", 2), line("l2", "CUP")))
    assignment = {"l1": [("Leeds", 2)], "l2": [("Leeds", 1)]}
    kits = {"TEA-SET": {"CUP": 2, "POT": 1}}
    (part,) = sales.drafts(bought, assignment, config, kits=kits, taken={"l1": "all", "l2": "all"})
    assert isinstance(part, sales.Part)
    assert part.target == "orderflow"
    assert [(x.sku, x.quantity, str(x.total)) for x in part.draft.lines] == [
        ("CUP", 4, "2.00"), ("POT", 2, "0.00"), ("CUP", 1, "1.00"),
    ]  # fmt: skip
    assert part.lines == (("l1", "TEA-SET", 2), ("l2", "CUP", 1))


# --- What the check refuses ------------------------------------------------------------------------------------------


def refused(*routes: Route, **changes: Any) -> list[tuple[str, str]]:
    found = check(shop(*routes, **changes))
    return [(each.key, each.message) for each in found if each.key.startswith("routes")]


@pytest.mark.parametrize(
    ("routes", "key", "message"),
    [
        ((rule("x", "netsuite"),), "routes[0].target", 'there is no back office "netsuite"'),
        ((rule("x", locations=("Rome",)),), "routes[0].locations[0]", 'there is no location "Rome"'),
        (
            (rule("x", locations=("Berlin", "Leeds")),), "routes[0].locations[0]",
            'the stock of "Berlin" is counted by cin7_core, so orderflow cannot ship it',
        ),
        ((rule("x", channels=("fr",)),), "routes[0].channels[0]", 'there is no channel "fr"'),
        (
            (rule("x", "cin7_core", channels=("uk",)),), "routes[0].name",
            '"x" is never reached: no channel it fits ships from its locations',
        ),
        (
            (rule("x", attributes={"vendor": ("acme",)}),), "routes[0].attributes",
            'orders do not keep the attribute "vendor", so the rule would never fit',
        ),
        (
            (rule("all"), rule("x", countries=("GB",))), "routes[1].name",
            '"x" is never reached: "all" before it takes everything it fits',
        ),
        (
            (rule("us", ship_to=("US",)), rule("x", ship_to=("US-CA",))), "routes[1].name",
            '"x" is never reached: "us" before it takes everything it fits',
        ),
        (
            (rule("cups", skus=("CUP*",)), rule("x", skus=("CUP-9",), stores=("outlet",))), "routes[1].name",
            '"x" is never reached: "cups" before it takes everything it fits',
        ),
        ((rule("x", skus=("A",)), rule("x", skus=("B",))), "routes[1].name", 'two rules are called "x"'),
    ],
)  # fmt: skip
def test_the_check_refuses(routes: tuple[Route, ...], key: str, message: str) -> None:
    assert (key, message) in refused(*routes)


def test_one_place_that_two_systems_count_is_not_added_up() -> None:
    places = (
        Location(name="Leeds", master="orderflow", remote="LEEDS"),
        Location(name="Leeds at Cin7", master="cin7_core", remote="Leeds"),
    )
    pools = (Pool(name="all", locations=("Leeds", "Leeds at Cin7")), Pool(name="north", locations=("Leeds",)))
    found = [problem for problem in check(shop(locations=places, pools=pools)) if problem.key.startswith("pools")]
    assert [(problem.key, problem.message) for problem in found] == [
        ("pools[0].locations[1]", '"Leeds" is counted by orderflow and by cin7_core: its stock would count twice')
    ]


@pytest.mark.parametrize(
    "routes",
    [
        (rule("narrow", countries=("GB",)), rule("all")),
        (rule("first", "cin7_core", stock="line"), rule("all")),
        (rule("whole", "cin7_core", lines="all"), rule("same", "cin7_core")),
        # The first has no place on the channel uk, so the second is reached there.
        (rule("home", "cin7_core"), rule("all")),
        (rule("gb", countries=("GB",), currencies=("GBP",)), rule("gb too", countries=("GB",))),
    ],
)
def test_the_check_lets_rules_that_can_be_reached(routes: tuple[Route, ...]) -> None:
    assert refused(*routes) == []
