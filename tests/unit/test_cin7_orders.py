"""The bodies that make a sale: exact decimals, nothing cut that matters."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from sellable.connectors.cin7_core import orders, wire
from sellable.connectors.cin7_core.countries import NAMES, name_of
from sellable.connectors.port import Refused, SaleCharge, SaleDraft, SaleLine
from sellable.domain.orders import Address

LINE = SaleLine(
    sku="CRUNCHY-ARMCHAIR",
    name="Armchair",
    quantity=3,
    price=Decimal("3.3333"),
    tax=Decimal("1.90"),
    total=Decimal("10.00"),
    tax_rule="VAT 19",
)
DRAFT = SaleDraft(
    ref="shop:o-1:1",
    order_number="1001",
    customer="Web EUR",
    location="berlin",
    currency="EUR",
    tax_rule="VAT 19",
    tax_included=False,
    placed_on="2026-11-21",
    email="ann@example.com",
    shipping_address=Address(name="Ann", line1="Street 1", city="Berlin", postcode="10115", country="DE"),
    billing_address=Address(),
    carrier="DHL",
    note="N" * 2000,
    lines=(LINE,),
    charges=(
        SaleCharge(
            description="Shipping",
            quantity=1,
            price=Decimal("4.20"),
            tax=Decimal("0.80"),
            total=Decimal("4.20"),
            tax_rule="VAT 19",
        ),
    ),
)


def changed(**changes: Any) -> SaleDraft:
    return msgspec.structs.replace(DRAFT, **changes)


def test_the_header() -> None:
    body = orders.header(DRAFT, "Main Warehouse")
    assert body["ExternalID"] == "shop:o-1:1"
    assert body["CustomerReference"] == "1001"
    assert body["SkipQuote"] is True
    assert body["TaxInclusive"] is False
    assert (body["Location"], body["Customer"], body["Carrier"]) == ("Main Warehouse", "Web EUR", "DHL")
    assert body["SaleOrderDate"] == "2026-11-21T00:00:00"
    assert len(body["Note"]) == 1024
    assert body["ShippingAddress"]["ShipToOther"] is True
    assert body["ShippingAddress"]["Contact"] == "Ann"
    assert body["ShippingAddress"]["Country"] == "Germany"
    assert "BillingAddress" not in body
    assert "CurrencyRate" not in body


def test_the_rate_of_a_foreign_currency() -> None:
    body = orders.header(changed(currency_rate=Decimal("1.1234567")), "L")
    assert body["CurrencyRate"] == Decimal("1.12346")


def test_the_lines_are_exact_numbers() -> None:
    body = wire.encode(orders.order("S-1", DRAFT, authorise=True))
    assert b'"Price":3.3333' in body
    assert b'"Total":10.0000' in body
    document = json.loads(body)
    assert (document["SaleID"], document["Status"]) == ("S-1", "AUTHORISED")
    assert document["Lines"] == [
        {
            "SKU": "CRUNCHY-ARMCHAIR",
            "Name": "Armchair",
            "Quantity": 3,
            "Price": 3.3333,
            "Discount": 0,
            "Tax": 1.9,
            "TaxRule": "VAT 19",
            "Total": 10.0,
        }
    ]
    assert document["AdditionalCharges"][0]["Description"] == "Shipping"
    assert json.loads(wire.encode(orders.order("S-1", DRAFT, authorise=False)))["Status"] == "DRAFT"


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (changed(ref="r" * 257), "ExternalID"),
        (changed(order_number="9" * 257), "CustomerReference"),
        (changed(lines=(msgspec.structs.replace(LINE, sku="S" * 51),)), "SKU"),
        (changed(tax_rule="T" * 51), "TaxRule"),
        (changed(shipping_address=Address(line1="x", postcode="1" * 21)), "Postcode"),
    ],
)
def test_what_is_too_long_is_refused_before_any_sale_exists(draft: SaleDraft, field: str) -> None:
    with pytest.raises(Refused) as refusal:
        orders.header(draft, "Main Warehouse")
    assert refusal.value.code == "too_long"
    assert refusal.value.detail["field"] == field


def test_a_discount_where_no_price_comes_to_the_total() -> None:
    line = msgspec.structs.replace(LINE, quantity=200, price=Decimal("0.0515"), discount=Decimal("2.82"))
    body = wire.encode(orders.order("S-1", changed(lines=(line,)), authorise=False))
    assert b'"Price":0.0515,"Discount":2.82,' in body


def test_countries_are_named() -> None:
    assert len(NAMES) == 250
    assert all(len(code) == 2 and code.isupper() and name.strip() for code, name in NAMES.items())
    assert [name_of(c) for c in ("gb", "Germany", "ZZ", "")] == ["United Kingdom", "Germany", "ZZ", ""]


def test_amounts_finer_than_the_vendor_s_are_refused() -> None:
    line = msgspec.structs.replace(LINE, price=Decimal("3.33333"))
    with pytest.raises(Refused, match="more than 4 decimals"):
        orders.order("S-1", changed(lines=(line,)), authorise=False)
