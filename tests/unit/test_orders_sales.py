"""The sales an order becomes: prices that are exact, money that is split without loss, documents as Cin7 wants them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from orders_shop import KIT, VAT, complete, line, order, settings

from sellable.config.settings import SkuMap
from sellable.connectors.port import SaleCharge, SaleLine
from sellable.domain.money import Taxed
from sellable.domain.orders import Charge, Order, Tax
from sellable.orders.rules import Finding
from sellable.orders.sales import Part, drafts, part_ref, price_of
from sellable.orders.totals import Expected

SEVEN = Tax(name="VAT", rate=Decimal("0.07"), included=False, country="DE")
GROSS = Tax(name="VAT", rate=Decimal("0.19"), included=True, country="DE")


def charge(kind: str, net: int, gross: int, tax: Tax | None = VAT, quantity: int = 1) -> Charge:
    total = gross if tax and tax.included else net
    return Charge(
        kind=kind, charge_id=kind, name=kind, quantity=quantity, total=total, tax=tax, taxed=Taxed(net=net, gross=gross)
    )


def parts_of(bought: Order, assignment: Any = None, **options: Any) -> list[Part]:
    assignment = assignment or {x.line_id: [("main", x.quantity)] for x in bought.lines}
    found = drafts(bought, assignment, settings(), **{"kits": {}} | options)
    assert not [f for f in found if isinstance(f, Finding)]
    return [part for part in found if isinstance(part, Part)]


# --- Prices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "quantity", "digits", "carry", "price", "discount", "rest"),
    [
        (1000, 5, 2, 0, "2.0000", "0", 0),
        (1000, 3, 2, 0, "3.3333", "0", -1),
        (1000, 3, 2, -1, "3.3334", "0", 2),
        (1001, 200, 2, 0, "0.0501", "0.10", 0),
        (1000, 3, 0, 0, "333.3333", "0", -1),
        (9999, 12, 3, 0, "0.8335", "0.03", 0),
        (9999, 8, 3, 0, "1.2499", "0", 2),
        (0, 7, 2, 30, "0", "0", 0),
        (999, 99, 2, 49, "0.1009", "0", -9),
    ],
)
def test_prices_come_to_the_total(
    total: int, quantity: int, digits: int, carry: int, price: str, discount: str, rest: int
) -> None:
    assert price_of(total, quantity, digits, carry) == (Decimal(price), Decimal(discount), rest)


@pytest.mark.parametrize(("digits", "half"), [(0, "0.5"), (2, "0.005"), (3, "0.0005")])
def test_every_ordinary_total_has_a_price(digits: int, half: str) -> None:
    carry = 0
    for quantity in (*range(1, 30), 99, 100, 144, 365, 999, 2500):
        for total in (1, quantity - 1, quantity + 1, 7 * quantity + 3, 12_345, 1_999_999):
            found = price_of(total, quantity, digits, carry)
            assert found is not None
            price, discount, rest = found
            product = quantity * price * (1 - discount / 100)
            assert abs(product - Decimal(total).scaleb(-digits)) < Decimal(half)
            assert price == price.quantize(Decimal("0.0001"))
            carry += rest
            assert abs(Decimal(carry).scaleb(-4)) < Decimal(half)


@pytest.mark.parametrize(("total", "quantity", "digits"), [(1, 10**9, 2), (1, 1, 5)])
def test_what_no_price_comes_to_is_said(total: int, quantity: int, digits: int) -> None:
    assert price_of(total, quantity, digits) is None
    assert drafts(
        complete(order(line("l1", "CUP", quantity, total=total, taxed=Taxed(net=total, gross=total)), digits=digits)),
        {"l1": [("main", quantity)]},
        settings(),
        kits={},
    ) == [
        Finding(
            kind="totals_differ",
            subject="order:o-1",
            line_id="l1",
            expected={"sku": "CUP", "quantity": quantity, "total": total},
            actual={"tax rules": ["VAT 19"], "price": None},
        )
    ]


# --- One sale --------------------------------------------------------------------------------------------------------


def test_a_sale_as_the_back_office_wants_it() -> None:
    bought = complete(
        order(
            line("l1", "CUP", 3, total=1000, taxed=Taxed(net=1000, gross=1190)),
            charges=(charge("shipping", 500, 595), charge("custom", 600, 714, quantity=2)),
            purchase_order="PO 7",
            customer_email="ada@example.org",
            shipping_method="Standard",
        )
    )
    [part] = parts_of(bought, today_zone=ZoneInfo("Europe/Berlin"))
    assert part.expected == Expected(net=2100, tax=399, gross=2499, by_rule={"VAT 19": 399})
    assert part.lines == (("l1", "CUP", 3),)
    draft = part.draft
    assert (draft.ref, draft.order_number, draft.customer) == ("shop:o-1:1", "W-1001", "Web EUR")
    assert (draft.location, draft.currency, draft.tax_rule, draft.tax_included) == ("main", "EUR", "VAT 19", False)
    assert (draft.placed_on, draft.note) == ("2026-03-02", "Order o-1, purchase order PO 7, part 1 of 1")
    assert draft.lines == (
        SaleLine(
            sku="CUP", name="CUP", quantity=3, price=Decimal("3.3333"), tax=Decimal("1.90"), total=Decimal("10.00"),
            tax_rule="VAT 19",
        ),
    )  # fmt: skip
    assert draft.charges == (
        SaleCharge(
            description="Shipping", quantity=1, price=Decimal(5), tax=Decimal("0.95"), total=Decimal(5),
            tax_rule="VAT 19", kind="shipping",
        ),
        SaleCharge(
            description="Custom charge", quantity=2, price=Decimal(3), tax=Decimal("1.14"), total=Decimal(6),
            tax_rule="VAT 19", kind="custom",
        ),
    )  # fmt: skip


def test_gross_prices_make_an_inclusive_sale() -> None:
    bought = complete(order(line("l1", "CUP", 3, tax=GROSS, total=999, taxed=Taxed(net=839, gross=999))))
    [part] = parts_of(bought)
    assert part.draft.tax_included
    [sold] = part.draft.lines
    assert (sold.price, sold.total, sold.tax) == (Decimal("3.33"), Decimal("9.99"), Decimal("1.60"))
    assert part.expected == Expected(net=839, tax=160, gross=999, by_rule={"VAT 19": 160})


def test_gross_and_net_prices_together_make_an_exclusive_sale() -> None:
    bought = complete(
        order(
            line("l1", "CUP", 1, tax=GROSS, total=119, taxed=Taxed(net=100, gross=119)),
            line("l2", "POT", 1, total=200, taxed=Taxed(net=200, gross=238)),
        )
    )
    [part] = parts_of(bought)
    assert not part.draft.tax_included
    assert [x.total for x in part.draft.lines] == [Decimal(1), Decimal(2)]
    assert (part.expected.net, part.expected.gross) == (300, 357)


def test_equal_skus_are_one_line_as_a_second_is_refused() -> None:
    bought = complete(
        order(
            line("l1", "CUP", 2, total=200, taxed=Taxed(net=200, gross=238)),
            line("l2", "POT"),
            line("gift", "CUP", 1, total=0, taxed=Taxed(net=0, gross=0)),
        )
    )
    [part] = parts_of(bought)
    assert [(x.sku, x.quantity, x.price, x.total) for x in part.draft.lines] == [
        ("CUP", 3, Decimal("0.6667"), Decimal(2)),
        ("POT", 1, Decimal(1), Decimal(1)),
    ]
    assert part.lines == (("l1", "CUP", 2), ("l2", "POT", 1), ("gift", "CUP", 1))


def test_equal_skus_under_two_tax_rules_cannot_be_one_line() -> None:
    bought = complete(order(line("l1", "CUP"), line("l2", "CUP", tax=SEVEN, taxed=Taxed(net=100, gross=107))))
    [found] = drafts(bought, {"l1": [("main", 1)], "l2": [("main", 1)]}, settings(), kits={})
    assert isinstance(found, Finding)
    assert (found.kind, found.actual["tax rules"]) == ("totals_differ", ["VAT 19", "VAT 7"])


def test_inexact_prices_of_one_sale_do_not_add_up_to_a_cent() -> None:
    """Twelve lines of 60 x 0.1667 would each be 0.2 cents too much, 2.4 cents in all."""
    lines = [line(f"l{n}", f"CUP-{n}", 60, total=1000, taxed=Taxed(net=1000, gross=1190)) for n in range(12)]
    [part] = parts_of(complete(order(*lines)))
    products = [x.quantity * x.price * (1 - x.discount / 100) for x in part.draft.lines]
    assert all(p.quantize(Decimal("0.01"), ROUND_HALF_UP) == 10 for p in products)
    assert sum(products).quantize(Decimal("0.01"), ROUND_HALF_UP) == 120
    assert {x.price for x in part.draft.lines} == {Decimal("0.1667"), Decimal("0.1666")}


def test_a_discount_on_the_total_lowers_each_rate() -> None:
    bought = complete(
        order(
            line("l1", "CUP", 1, total=10000, taxed=Taxed(net=10000, gross=11900)),
            line("l2", "BOOK", 1, tax=SEVEN, total=5000, taxed=Taxed(net=5000, gross=5350)),
            charges=(charge("discount", -1501, -1726, None),),
        )
    )
    [part] = parts_of(bought)
    assert [(x.description, x.tax_rule, x.total, x.tax) for x in part.draft.charges] == [
        ("Discount", "VAT 19", Decimal(-10), Decimal("-1.90")),
        ("Discount", "VAT 7", Decimal("-5.01"), Decimal("-0.35")),
    ]
    assert (part.expected.net, part.expected.tax) == (13499, 2025)


def test_money_without_value_is_no_charge() -> None:
    free = Charge(
        kind="shipping", charge_id="s", name="Post", quantity=1, total=0, tax=None, taxed=Taxed(net=0, gross=0)
    )
    [part] = parts_of(complete(order(line("l1", "CUP"), charges=(free,))))
    assert part.draft.charges == ()


# --- Several sales ---------------------------------------------------------------------------------------------------


def test_money_is_split_by_units_and_charged_once() -> None:
    bought = complete(
        order(
            line("l1", "CUP", 3, total=1000, taxed=Taxed(net=1000, gross=1190)),
            line("l2", "POT", 1),
            charges=(charge("shipping", 500, 595),),
        )
    )
    east, main = sorted(
        parts_of(bought, {"l1": [("east", 2), ("main", 1)], "l2": [("east", 1)]}), key=lambda p: p.location
    )
    assert (main.part, main.draft.ref, east.part, east.draft.ref) == (1, "shop:o-1:1", 2, "shop:o-1:2")
    assert (main.lines, east.lines) == ((("l1", "CUP", 1),), (("l1", "CUP", 2), ("l2", "POT", 1)))
    assert [x.total for x in east.draft.lines] == [Decimal("6.66"), Decimal(1)]
    assert [x.total for x in main.draft.lines] == [Decimal("3.34")]
    assert (east.draft.charges, len(main.draft.charges)) == ((), 1)
    assert (east.expected.net, east.expected.tax) == (766, 145)
    assert (main.expected.net, main.expected.tax) == (834, 159)
    assert main.draft.note == "Order o-1, part 1 of 2"


def test_parts_are_numbered_by_the_configured_locations_not_by_the_sourcing() -> None:
    bought = complete(order(line("l1", "CUP"), line("l2", "POT")))
    found = parts_of(bought, {"l2": [("east", 1)], "l1": [("main", 1)]})
    assert [(p.part, p.location) for p in found] == [(1, "main"), (2, "east")]


def test_a_kit_is_sold_as_itself() -> None:
    [part] = parts_of(complete(order(line("l1", "TEA-SET", 2))), kits=KIT)
    assert part.lines == (("l1", "TEA-SET", 2),)
    assert [(x.sku, x.quantity) for x in part.draft.lines] == [("TEA-SET", 2)]


def test_a_kit_whose_parts_are_lines_is_money_only() -> None:
    """Selling the kit beside its parts would allocate every cup twice."""
    free = {"total": 0, "taxed": Taxed(net=0, gross=0), "bundle_parent": "l1"}
    bought = complete(order(line("l1", "TEA-SET"), line("l2", "CUP", 2, **free), line("l3", "POT", 1, **free)))
    [part] = parts_of(bought, kits=KIT)
    assert part.lines == (("l2", "CUP", 2), ("l3", "POT", 1))
    assert [(x.description, x.total) for x in part.draft.charges] == [("Custom charge", Decimal(1))]
    assert part.expected == Expected(net=100, tax=19, gross=119, by_rule={"VAT 19": 19})


# --- What cannot be --------------------------------------------------------------------------------------------------


def test_an_order_without_goods_makes_no_sale() -> None:
    bought = complete(order(charges=(charge("custom", 100, 119),)))
    [found] = drafts(bought, {}, settings(), kits={})
    assert isinstance(found, Finding)
    assert (found.kind, found.expected, found.actual) == (
        "totals_differ",
        {"net": 100, "gross": 119},
        {"net": 0, "gross": 0, "parts": 0},
    )


def test_an_order_whose_total_is_more_than_its_lines_makes_no_sale() -> None:
    bought = msgspec.structs.replace(complete(order(line("l1", "CUP"))), taxed=Taxed(net=101, gross=120))
    [found] = drafts(bought, {"l1": [("main", 1)]}, settings(), kits={})
    assert isinstance(found, Finding)
    assert found.actual == {"net": 100, "gross": 119, "parts": 1}


@pytest.mark.parametrize("places", [[], [("main", 1)], [("main", 2), ("east", 1)]])
def test_units_must_be_assigned_exactly(places: list[tuple[str, int]]) -> None:
    with pytest.raises(ValueError, match="does not place 2 units"):
        drafts(complete(order(line("l1", "CUP", 2))), {"l1": places}, settings(), kits={})


def test_lines_without_units_are_left_out() -> None:
    empty = line("l2", "POT", 0, total=0, taxed=Taxed(net=0, gross=0))
    [part] = parts_of(complete(order(line("l1", "CUP"), empty)))
    assert part.lines == (("l1", "CUP", 1),)


def test_what_the_boundary_check_reports_is_not_guessed_here() -> None:
    sek = complete(order(line("l1", "CUP"), currency="SEK"))
    odd = complete(order(line("l1", "CUP", tax=Tax(name="", rate=Decimal("0.25"), included=False))))
    for bought in (sek, odd):
        with pytest.raises(LookupError):
            drafts(bought, {"l1": [("main", 1)]}, settings(), kits={})


def test_the_reference_names_project_order_and_part() -> None:
    assert part_ref("shop", "o-1", 2) == "shop:o-1:2"


def test_two_spellings_of_one_sku_are_one_line_of_the_sale() -> None:
    """The back office refuses the same SKU twice, and the part remembers which line of the order is which."""
    bought = complete(order(line("l1", "CUP", 2), line("l2", "cup", 1)))
    mapped = settings(skus=(SkuMap(storefront="cup", master="CUP"),))
    (part,) = drafts(bought, {"l1": [("main", 2)], "l2": [("main", 1)]}, mapped, kits={"cup": {"CUP": 1}})
    assert isinstance(part, Part)
    assert [(x.sku, x.quantity) for x in part.draft.lines] == [("CUP", 3)]
    assert part.lines == (("l1", "CUP", 2), ("l2", "CUP", 1))
