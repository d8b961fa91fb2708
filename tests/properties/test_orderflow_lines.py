"""Whatever people write into an order arrives as the same keys with the same words, by a reader that is not ours.

The reader here is the standard library's tree and a split at the first "=", as the vendor's description of the format.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from sellable.config.settings import OrderFlow
from sellable.connectors.orderflow import orders, wire
from sellable.connectors.orderflow.wire import Entity
from sellable.connectors.port import SaleCharge, SaleDraft, SaleLine
from sellable.domain.money import to_major
from sellable.domain.orders import Address

LONDON = ZoneInfo("Europe/London")
SETTINGS = OrderFlow(
    base_url="https://of.example/web", user="u", password="p", channel="web", organisation="org",
    time_zone="Europe/London", tax_codes={"20%": "T1", "0%": "T0"},
)  # fmt: skip
KEYS = st.text("abcXYZ.123", min_size=1, max_size=12)
ANYTHING = st.text(max_size=60)
BREAK = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")


def read(body: bytes) -> list[tuple[dict[str, str], dict[str, str]]]:
    """(attributes, fields) of each import of a body."""
    found = []
    for entity in ET.fromstring(body):
        text = (entity.text or "").removeprefix("\n")
        pairs = [line.split("=", 1) for line in text.split("\n") if line]
        assert all(len(pair) == 2 for pair in pairs), text
        fields = dict(pairs)
        assert len(fields) == len(pairs), "a key twice"
        found.append((dict(entity.attrib), fields))
    return found


def expected(value: str) -> str:
    """A value as it may arrive: on one line, without what XML cannot carry."""
    one_line = BREAK.sub("[BR]", value)
    carried = (
        " " if (ord(c) < 32 and c != "\t") or 0xD800 <= ord(c) < 0xE000 or ord(c) in (0xFFFE, 0xFFFF) else c
        for c in one_line
    )
    return "".join(carried)


@given(st.lists(st.dictionaries(KEYS, ANYTHING, max_size=8), max_size=4))
def test_what_is_written_is_what_is_read(entities: list[dict[str, str]]) -> None:
    body = wire.imports(
        Entity(type="order", operation="insert", ref=f"R-{n}", fields=tuple(fields.items()))
        for n, fields in enumerate(entities)
    )
    assert read(body) == [
        (
            {"type": "order", "operation": "insert", "externalReference": f"R-{n}"},
            {key: expected(value) for key, value in fields.items()},
        )
        for n, fields in enumerate(entities)
    ]


MINOR = st.integers(0, 10**9)
TAXES = st.sampled_from(["20%", "0%"])


@st.composite
def drafts(draw: st.DrawFn) -> SaleDraft:
    digits = draw(st.sampled_from([0, 2, 3]))
    included = draw(st.booleans())

    def money() -> dict[str, Decimal]:
        net, tax = draw(MINOR), draw(MINOR)
        return {"tax": to_major(tax, digits), "total": to_major(net + (tax if included else 0), digits)}

    lines = tuple(
        SaleLine(
            sku=f"SKU-{n}", name=draw(ANYTHING), quantity=draw(st.integers(1, 999)), price=Decimal(0),
            tax_rule=draw(TAXES), **money(),
        )
        for n in range(draw(st.integers(1, 4)))
    )  # fmt: skip
    charges = tuple(
        SaleCharge(
            description="x", quantity=1, price=Decimal(0), tax_rule=draw(TAXES),
            kind=draw(st.sampled_from(orders.KINDS)), **money(),
        )
        for _ in range(draw(st.integers(0, 3)))
    )  # fmt: skip
    words = st.builds(Address, name=ANYTHING, line1=ANYTHING, city=ANYTHING, postcode=ANYTHING, email=ANYTHING)
    return SaleDraft(
        ref="shop:o-1:1", order_number=draw(ANYTHING), customer="", location="leeds", currency="XXX", tax_rule="",
        tax_included=included, placed_on="2026-03-02", email=draw(ANYTHING), shipping_address=draw(words),
        billing_address=draw(words), carrier=draw(ANYTHING), note=draw(ANYTHING), digits=digits,
        placed_at=datetime(2026, 7, 2, 9, 15, tzinfo=UTC), lines=lines, charges=charges,
    )  # fmt: skip


@given(drafts())
def test_totals_tie_out_to_the_minor_unit_in_text(draft: SaleDraft) -> None:
    ((_, fields),) = read(wire.imports([orders.order(draft, "Leeds", SETTINGS, LONDON)]))

    def amount(key: str) -> int:
        text = fields[key]
        assert re.fullmatch(r"-?\d+" + (rf"\.\d{{{draft.digits}}}" if draft.digits else ""), text), text
        return int(text.replace(".", ""))

    for what in ("Net", "Gross"):
        lines = sum(amount(f"orderLine.{n}.totalPrice{what}") for n, _ in enumerate(draft.lines, 1))
        others = sum(
            int((c.total + (0 if draft.tax_included else c.tax) - (c.tax if what == "Net" else 0)).scaleb(draft.digits))
            for c in draft.charges
            if c.kind != "shipping"
        )
        assert amount(f"goodsPrice{what}") == lines + others
        assert amount(f"totalPrice{what}") == amount(f"goodsPrice{what}") + amount(f"shippingPrice{what}")
    for price, tax in (("totalPrice", "totalTax"), ("goodsPrice", "goodsTax"), ("shippingPrice", "shippingTax")):
        assert amount(f"{price}Gross") - amount(f"{price}Net") == amount(tax)
    for n, line in enumerate(draft.lines, 1):
        assert int(fields[f"orderLine.{n}.quantity"]) == line.quantity
        if f"orderLine.{n}.unitPriceNet" in fields:
            assert amount(f"orderLine.{n}.unitPriceNet") * line.quantity == amount(f"orderLine.{n}.totalPriceNet")
