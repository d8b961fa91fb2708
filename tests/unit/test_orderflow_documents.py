"""What OrderFlow is told of an order and of a return: every key, every amount, and what is refused before any call."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from sellable.config.settings import OrderFlow
from sellable.connectors.orderflow import orders
from sellable.connectors.port import Refused, ReturnAdvice, ReturnLine, SaleCharge, SaleDraft, SaleLine
from sellable.domain.orders import Address

LONDON = ZoneInfo("Europe/London")
SETTINGS = OrderFlow(
    base_url="https://of.example/web", user="api", password="word", channel="web-uk", organisation="acme",
    time_zone="Europe/London", tax_codes={"VAT 20 %": "T1", "VAT 0 %": "T0"}, source="commercetools",
)  # fmt: skip
DRAFT = SaleDraft(
    ref="shop:o-1:1", order_number="W-100045", customer="Web", location="leeds", currency="GBP", tax_rule="VAT 20 %",
    tax_included=True, placed_on="2026-07-02", placed_at=datetime(2026, 7, 2, 8, 15, tzinfo=UTC),
    email="a@customer.example",
    shipping_address=Address(
        name="A Customer", company="Acme", line1="1 High St", city="Leeds", postcode="ZZ1 1ZZ", country="GB",
        phone="0113 000",
    ),
    billing_address=Address(name="B Customer", line1="2 Low St", line2="Flat 3", city="York", country="GB"),
    carrier="next_day", delivery="Next day", note="Order o-1, part 1 of 2", promotion="SUMMER", partial=True,
    lines=(
        SaleLine(
            sku="CRUNCHY-ARMCHAIR", name="Armchair", quantity=2, price=Decimal("24.00"), tax=Decimal("8.00"),
            total=Decimal("48.00"), tax_rule="VAT 20 %",
        ),
        SaleLine(
            sku="BOOK", name="Book", quantity=3, price=Decimal("3.3333"), tax=Decimal("0"), total=Decimal("10.00"),
            tax_rule="VAT 0 %",
        ),
    ),
    charges=(
        SaleCharge(
            description="Shipping", quantity=1, price=Decimal("6"), tax=Decimal("1.00"), total=Decimal("6.00"),
            tax_rule="VAT 20 %", kind="shipping",
        ),
        SaleCharge(
            description="Discount", quantity=1, price=Decimal("-1.2"), tax=Decimal("-0.20"), total=Decimal("-1.20"),
            tax_rule="VAT 20 %", kind="discount",
        ),
    ),
)  # fmt: skip


def told(draft: SaleDraft = DRAFT, **settings: Any) -> dict[str, str]:
    entity = orders.order(draft, "Leeds DC", msgspec.structs.replace(SETTINGS, **settings), LONDON)
    assert (entity.type, entity.operation, entity.ref) == ("order", "insert", draft.ref)
    fields = dict(entity.fields)
    assert len(fields) == len(entity.fields)
    return fields


def changed(**changes: Any) -> SaleDraft:
    return msgspec.structs.replace(DRAFT, **changes)


def test_every_key_and_value_of_an_order() -> None:
    assert told() == {
        "state": "created",
        "validated": "true",
        "source": "commercetools",
        "placed": "2026-07-02 09:15:00",
        "currency": "GBP",
        "totalPriceNet": "54.00",
        "totalPriceGross": "62.80",
        "totalTax": "8.80",
        "goodsPriceNet": "49.00",
        "goodsPriceGross": "56.80",
        "goodsTax": "7.80",
        "shippingPriceNet": "5.00",
        "shippingPriceGross": "6.00",
        "shippingTax": "1.00",
        "shippingTaxCode": "T1",
        "promotionCode": "SUMMER",
        "partialOrder": "true",
        "userDefined1": "W-100045",
        "userDefined2": "Order o-1, part 1 of 2",
        "deliveryContactName": "A Customer",
        "deliveryCompanyName": "Acme",
        "deliveryAddressLine1": "1 High St",
        "deliveryAddressLine2": "Leeds",
        "deliveryPostCode": "ZZ1 1ZZ",
        "deliveryCountryCode": "GB",
        "deliveryEmailAddress": "a@customer.example",
        "deliveryDayPhoneNumber": "0113 000",
        "invoiceContactName": "B Customer",
        "invoiceAddressLine1": "2 Low St",
        "invoiceAddressLine2": "Flat 3",
        "invoiceAddressLine3": "York",
        "invoiceCountryCode": "GB",
        "invoiceEmailAddress": "a@customer.example",
        "orderLine.1.product.externalReference": "CRUNCHY-ARMCHAIR",
        "orderLine.1.quantity": "2",
        "orderLine.1.description": "Armchair",
        "orderLine.1.totalPriceNet": "40.00",
        "orderLine.1.totalPriceGross": "48.00",
        "orderLine.1.totalTax": "8.00",
        "orderLine.1.totalTaxCode": "T1",
        "orderLine.1.unitPriceNet": "20.00",
        "orderLine.1.unitPriceGross": "24.00",
        "orderLine.1.unitTax": "4.00",
        "orderLine.1.shipment": "entity:shipment",
        "orderLine.2.product.externalReference": "BOOK",
        "orderLine.2.quantity": "3",
        "orderLine.2.description": "Book",
        "orderLine.2.totalPriceNet": "10.00",
        "orderLine.2.totalPriceGross": "10.00",
        "orderLine.2.totalTax": "0.00",
        "orderLine.2.totalTaxCode": "T0",
        "orderLine.2.unitTax": "0.00",
        "orderLine.2.shipment": "entity:shipment",
        "shipment.externalReference": "shop:o-1:1",
        "shipment.state": "ready",
        "shipment.site": "Leeds DC",
        "shipment.deliverySuggestionCode": "next_day",
        "shipment.deliverySuggestionName": "Next day",
        "shipment.orderItem": "entity:order",
    }


VENDORS_OWN = {
    *("state", "customerComment", "totalPriceNet", "totalPriceGross", "totalPriceTax", "totalTax", "taxCode"),
    *("shippingPriceNet", "shippingPriceGross", "shippingTax", "shippingTaxCode", "goodsPriceNet", "goodsPriceGross"),
    *("goodsTax", "goodsTaxCode", "currency", "currencyUnits", "promotionCode", "promotionDescription", "source"),
    *("paymentGatewayIdentifier", "paymentTransactionInfo"),
    *(
        f"{who}{what}"
        for who in ("delivery", "invoice")
        for what in (
            *(f"AddressLine{n}" for n in range(1, 7)),
            *("CountryCode", "PostCode", "ContactName", "EmailAddress", "DayPhoneNumber", "EveningPhoneNumber"),
            *("MobilePhoneNumber", "FaxNumber", "CompanyName"),
        )
    ),
    *(
        f"orderLine.{what}"
        for what in (
            *("product.externalReference", "quantity", "description", "state", "totalPriceNet", "totalPriceGross"),
            *("totalTax", "totalTaxCode", "unitPriceNet", "unitPriceGross", "unitTax", "unitTaxCode", "shipment"),
        )
    ),
    *(
        f"shipment.{what}"
        for what in (
            *("externalReference", "state", "earliestShipDate", "site", "priority", "courier", "pickingMode"),
            *(
                "deliverySuggestionCode",
                "deliverySuggestionName",
                "despatchComment",
                "deliveryInstruction",
                "orderItem",
            ),
        )
    ),
}
"""Keys that the vendor's own public client writes for an order."""
SEEN_ELSEWHERE = {"validated", "placed", "partialOrder", "userDefined1", "userDefined2"}
"""Keys that only other public clients write."""


def test_no_key_is_ours_alone() -> None:
    """Element by element: whatever we say of an order, another client of this vendor says under the same key."""
    mine = {".".join(part for part in key.split(".") if not part.isdecimal()) for key in told()}
    assert mine - VENDORS_OWN == SEEN_ELSEWHERE
    assert mine >= {"orderLine.product.externalReference", "orderLine.quantity", "shipment.externalReference"}


def test_the_order_stands_before_its_lines_and_these_before_the_shipment() -> None:
    keys = [key.split(".")[0] for key, _ in orders.order(DRAFT, "Leeds DC", SETTINGS, LONDON).fields]
    assert keys.index("deliveryContactName") < keys.index("invoiceContactName") < keys.index("orderLine")
    assert keys.index("orderLine") < keys.index("shipment") == len(keys) - keys.count("shipment")


def test_prices_without_tax_come_to_the_same() -> None:
    line = msgspec.structs.replace(DRAFT.lines[0], total=Decimal("40.00"), price=Decimal("20"))
    fields = told(changed(tax_included=False, lines=(line,), charges=()))
    assert (fields["totalPriceNet"], fields["totalPriceGross"], fields["totalTax"]) == ("40.00", "48.00", "8.00")
    assert (fields["shippingPriceNet"], fields["shippingTax"]) == ("0.00", "0.00")
    assert fields["goodsTaxCode"] == "T1"
    assert "shippingTaxCode" not in fields


@pytest.mark.parametrize(
    ("digits", "total", "text"),
    [(0, "1200", "1200"), (2, "1200", "1200.00"), (3, "1.005", "1.005"), (2, "0", "0.00"), (0, "1E+3", "1000")],
)
def test_amounts_have_the_currencys_digits(digits: int, total: str, text: str) -> None:
    line = msgspec.structs.replace(DRAFT.lines[0], total=Decimal(total), tax=Decimal("-0"), quantity=1)
    fields = told(changed(digits=digits, lines=(line,), charges=()))
    assert fields["orderLine.1.totalPriceGross"] == fields["totalPriceGross"] == text
    assert fields["totalTax"] == ("0" if digits == 0 else f"0.{'0' * digits}")


@pytest.mark.parametrize("amount", ["0.001", "NaN", "Infinity", "1E+40"])
def test_an_amount_that_would_be_rounded_is_refused(amount: str) -> None:
    line = msgspec.structs.replace(DRAFT.lines[0], total=Decimal(amount))
    with pytest.raises(Refused) as refused:
        told(changed(lines=(line,)))
    assert refused.value.code == "too_fine"


def test_what_is_empty_is_not_said() -> None:
    bare = changed(
        shipping_address=Address(name="A"), billing_address=Address(), carrier="", delivery="", note="", promotion="",
        partial=False, placed_at=None, email="",
    )  # fmt: skip
    fields = told(bare, order_state="", shipment_state="", source="", order_number_field="", tax_codes={})
    assert [key for key in fields if key.startswith(("delivery", "invoice"))] == ["deliveryContactName"]
    assert fields["placed"] == "2026-07-02 00:00:00"
    gone = {"state", "source", "userDefined1", "userDefined2", "promotionCode", "partialOrder", "shippingTaxCode"}
    assert not gone & fields.keys()
    assert "shipment.state" not in fields
    assert "orderLine.1.totalTaxCode" not in fields
    assert told(validated=False)["validated"] == "false"


def test_addresses_follow_the_template() -> None:
    template = ("{company}", "{line1}", "{line2}", "{postcode} {city}", "{region}", "")
    address = Address(line1="1 High\nSt", city="Leeds", postcode="ZZ1 1ZZ", company="{line2}")
    assert orders.address_lines(address, template, collapse=True) == ["{line2}", "1 High St", "ZZ1 1ZZ Leeds"]
    assert orders.address_lines(address, template, collapse=False) == ["{line2}", "1 High St", "", "ZZ1 1ZZ Leeds"]
    assert orders.address_lines(Address(), template, collapse=False) == []
    assert orders.address_lines(Address(line1="a"), ("{line1}",) * 9, collapse=True) == ["a"] * 6


def line(**changes: Any) -> dict[str, Any]:
    return {"lines": (msgspec.structs.replace(DRAFT.lines[0], **changes),)}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (line(kit=True), "kit"),
        (line(quantity=0), "quantity"),
        (line(quantity=-2), "quantity"),
        (line(quantity=True), "quantity"),
        (line(sku=""), "unwritable"),
        (line(sku="A\nB"), "unwritable"),
        (line(sku=" A"), "unwritable"),
        (line(sku="A\x00"), "unwritable"),
        (line(sku="A" * 121), "too_long"),
        (line(tax_rule="VAT 5 %"), "tax_code"),
        ({"ref": "r" * 121}, "too_long"),
        ({"ref": ""}, "unwritable"),
        ({"lines": ()}, "empty"),
        ({"charges": (msgspec.structs.replace(DRAFT.charges[0], kind=""),)}, "charge_kind"),
    ],
)
def test_what_cannot_be_said_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        told(changed(**changes))
    assert refused.value.code == code


def test_a_long_name_is_shortened_as_it_is_only_for_people() -> None:
    assert told(changed(**line(name="x" * 500)))["orderLine.1.description"] == "x" * 120


RETURN = ReturnAdvice(
    ref="shop:return:9",
    order_ref="shop:o-1:1",
    lines=(
        ReturnLine(sku="CRUNCHY-ARMCHAIR", quantity=1, reason="C - Wrong size", condition="As new"),
        ReturnLine(sku="BOOK", quantity=2),
    ),
    authorised=False,
    type="unknown",
    returned_at=datetime(2026, 12, 2, 8, 15, tzinfo=UTC),
    note="left\nat the door",
)


def test_every_key_and_value_of_a_return() -> None:
    entity = orders.returned(RETURN, "Leeds DC", LONDON)
    assert (entity.type, entity.operation, entity.ref) == ("return", "insert", "shop:return:9")
    assert dict(entity.fields) == {
        "return.orderReference": "shop:o-1:1",
        "return.authorisation": "shop:return:9",
        "return.authorised": "false",
        "return.type": "unknown",
        "return.returnDate": "2026-12-02 08:15:00",
        "return.site": "Leeds DC",
        "return.note": "left\nat the door",
        "returnLine.1.product": "CRUNCHY-ARMCHAIR",
        "returnLine.1.quantity": "1",
        "returnLine.1.reason": "C - Wrong size",
        "returnLine.1.condition": "As new",
        "returnLine.1.returnItem": "return",
        "returnLine.2.product": "BOOK",
        "returnLine.2.quantity": "2",
        "returnLine.2.returnItem": "return",
    }


def test_a_return_says_only_what_it_knows() -> None:
    bare = ReturnAdvice(ref="r", order_ref="", lines=(ReturnLine(sku="A", quantity=1),))
    fields = dict(orders.returned(bare, None, LONDON).fields)
    assert fields.keys() == {
        *("return.authorisation", "return.authorised"),
        *("returnLine.1.product", "returnLine.1.quantity", "returnLine.1.returnItem"),
    }
    for lines in ((), (ReturnLine(sku="A", quantity=0),)):
        with pytest.raises(Refused):
            orders.returned(msgspec.structs.replace(bare, lines=lines), None, LONDON)


def test_the_words_of_a_person() -> None:
    words = orders.personal(DRAFT)
    assert words >= {"A Customer", "1 High St", "ZZ1 1ZZ", "a@customer.example", "0113 000", "B Customer", "2 Low St"}
    assert "CRUNCHY-ARMCHAIR" not in words
    assert orders.personal(RETURN) == {"left\nat the door", "left[BR]at the door", "left at the door"}
