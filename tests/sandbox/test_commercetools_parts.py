"""The commercetools simulator's pure parts: predicates, money and tax, the GraphQL parser, the store."""

from decimal import Decimal
from typing import Any

import pytest

from sellable.sandbox.commercetools.errors import ApiError
from sellable.sandbox.commercetools.graphql_parser import Field, SyntaxProblem, Variable, parse
from sellable.sandbox.commercetools.money import (
    money,
    parse_money,
    round_cents,
    split,
    sum_taxed,
    taxed_line,
    unit_cents,
)
from sellable.sandbox.commercetools.predicate import compile_predicate, matches
from sellable.sandbox.commercetools.store import Collection, parse_sort, paths

ORDER: dict[str, Any] = {
    "orderNumber": 'N"1',
    "version": 7,
    "ok": True,
    "amount": Decimal("1.5"),
    "createdAt": "2026-11-21T08:00:00.500Z",
    "syncInfo": [
        {"externalId": "SO-1", "channel": {"id": "erp"}},
        {"externalId": "SO-2", "channel": {"id": "wms"}},
    ],
    "roles": ["A", "B"],
    "empty": [],
    "custom": {"fields": {"x-y": 1}},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('orderNumber = "N\\"1"', True),
        ("version > 6 and version <= 7", True),
        ("version != 7 or ok = false", False),
        ("version <> 8", True),
        ("not (version in (1, 2, 7))", False),
        ("version not in (1, 2)", True),
        ("amount >= 1.5", True),
        ('createdAt > "2026-11-21T08:00:00Z"', True),
        ('createdAt < "2026-11-21T09:00:00+01:00"', False),
        ('createdAt = "2026-11-21T09:00:00.5+01:00"', True),
        ('syncInfo(externalId = "SO-2" and channel(id = "wms"))', True),
        ('syncInfo(externalId = "SO-2" and channel(id = "erp"))', False),
        ("supplyChannel is not defined", True),
        ("custom is defined and custom(fields(`x-y` = 1))", True),
        ("empty is empty and syncInfo is not empty", True),
        ('roles contains any ("B", "C")', True),
        ('roles contains all ("B", "C")', False),
        ('missing = "x"', False),
        ('missing != "x"', True),
        ('version > "6"', False),
    ],
)
def test_predicates(text: str, expected: bool) -> None:
    assert matches(ORDER, text) is expected


def test_variables_repeat_and_take_the_type_of_the_field() -> None:
    node = compile_predicate(["orderNumber in :n and version > :v"], {"n": ["x", 'N"1'], "v": ["6"]})
    assert node is not None
    assert node.match(ORDER)
    with pytest.raises(ApiError, match="no value for variable ':n'"):
        compile_predicate(["orderNumber in :n"], {})


@pytest.mark.parametrize("text", ["", "sku =", 'sku = "a" and', "sku ~ 1", '(sku = "a"', 'sku in ("a"', 'sku "a"'])
def test_malformed_predicates_are_refused(text: str) -> None:
    with pytest.raises(ApiError, match="Malformed parameter: where") as refused:
        compile_predicate([text], {})
    assert refused.value.errors[0]["code"] == "InvalidInput"


def test_a_strict_match_fails_on_an_absent_field() -> None:
    with pytest.raises(ApiError, match="compared field 'cart' is not present"):
        matches({}, 'cart = "x"', strict=True)
    assert not matches({}, 'cart is defined and cart = "x"', strict=True)


def rate(amount: str, *, included: bool) -> dict[str, Any]:
    return {"name": "VAT", "amount": Decimal(amount), "includedInPrice": included}


@pytest.mark.parametrize(
    ("unit", "quantity", "amount", "included", "level", "rounding", "expected"),
    [
        (108, 3, "0.19", False, "LineItemLevel", "HalfEven", (324, 386)),
        (108, 3, "0.19", False, "UnitPriceLevel", "HalfEven", (324, 387)),
        (333, 3, "0.19", False, "LineItemLevel", "HalfEven", (999, 1189)),
        (333, 3, "0.19", False, "UnitPriceLevel", "HalfEven", (999, 1188)),
        (50, 1, "0.05", False, "LineItemLevel", "HalfEven", (50, 52)),
        (50, 1, "0.05", False, "LineItemLevel", "HalfUp", (50, 53)),
        (50, 1, "0.05", False, "LineItemLevel", "HalfDown", (50, 52)),
        (1190, 1, "0.19", True, "LineItemLevel", "HalfEven", (1000, 1190)),
        (999, 3, "0.19", True, "LineItemLevel", "HalfEven", (2518, 2997)),
        (999, 3, "0.19", True, "UnitPriceLevel", "HalfEven", (2517, 2997)),
        (150, 1, "0.2", True, "LineItemLevel", "HalfUp", (125, 150)),
    ],
)
def test_tax_of_a_line(
    unit: int, quantity: int, amount: str, included: bool, level: str, rounding: str, expected: tuple[int, int]
) -> None:
    assert split(unit * quantity, quantity, Decimal(unit), rate(amount, included=included), level, rounding) == expected


def test_portions_merge_by_rate_and_name() -> None:
    low, high = rate("0.07", included=False), rate("0.19", included=False)
    parts = [taxed_line(100, 119, high, "EUR"), taxed_line(100, 107, low, "EUR"), taxed_line(200, 238, high, "EUR")]
    total = sum_taxed(parts, "EUR")
    assert [total[name]["centAmount"] for name in ("totalNet", "totalGross", "totalTax")] == [400, 464, 64]
    assert [(str(p["rate"]), p["amount"]["centAmount"]) for p in total["taxPortions"]] == [("0.19", 57), ("0.07", 7)]


def test_amounts() -> None:
    assert money(5, "JPY")["fractionDigits"] == 0
    precise = parse_money({"type": "highPrecision", "currencyCode": "EUR", "preciseAmount": 12345, "fractionDigits": 4})
    assert (precise["centAmount"], unit_cents(precise)) == (123, Decimal("123.45"))
    assert [round_cents(Decimal("2.5"), mode) for mode in ("HalfEven", "HalfUp", "HalfDown")] == [2, 3, 2]


def test_graphql_is_parsed_with_aliases_variables_and_fragments() -> None:
    text = """
      # a comment
      mutation Write($v: Long!, $q: [Int!] = [1]) {
        a0: update(id: "x\\"y", version: $v, actions: [{changeQuantity: {quantity: -5}}], mode: FAST, n: null) { ...F }
      }
      fragment F on Entry { id ... on Entry { version } }
    """
    document = parse(text)
    (operation,) = document.operations
    assert (operation.kind, operation.name, operation.variables["v"].required) == ("mutation", "Write", True)
    assert operation.variables["q"].default == [1]
    (field,) = document.flat(operation.selection)
    assert (field.alias, field.name) == ("a0", "update")
    assert field.arguments["id"] == 'x"y'
    assert field.arguments["version"] == Variable("v")
    assert field.arguments["actions"] == [{"changeQuantity": {"quantity": -5}}]
    assert [inner.name for inner in document.flat(field.selection)] == ["id", "version"]


@pytest.mark.parametrize("text", ["", "{", "{ a(", "{ a { } }", "subscription { a }", "{ a(b: ) }", "{ a ~ }"])
def test_malformed_graphql_is_refused(text: str) -> None:
    with pytest.raises(SyntaxProblem):
        parse(text)


def test_an_unknown_fragment_is_refused() -> None:
    document = parse("{ ...G }")
    with pytest.raises(SyntaxProblem, match="Unknown fragment 'G'"):
        document.flat(document.operations[0].selection)
    assert document.flat((Field("a", "a", {}, ()),))[0].name == "a"


def collection() -> Collection:
    docs = Collection("thing", indexes=[paths("sku")])
    for number in range(40):
        at = f"2026-11-21T08:00:{number // 2:02d}.000Z"
        sku = f"SKU-{number % 4}"
        docs.add({"id": f"{(number * 7) % 40:02d}", "createdAt": at, "lastModifiedAt": at, "sku": sku})
    return docs


@pytest.mark.parametrize(
    "where",
    [
        'sku = "SKU-1"',
        'sku in ("SKU-1", "SKU-2") and id > "10"',
        'id in ("03", "04", "99")',
        'id > "20"',
        'createdAt > "2026-11-21T08:00:10Z" or (createdAt = "2026-11-21T08:00:10Z" and id > "05")',
        'lastModifiedAt >= "2026-11-21T08:00:15Z"',
        'not (sku = "SKU-1")',
        'sku = "SKU-1" or id = "03"',
    ],
)
@pytest.mark.parametrize(
    "sort", ["id asc", "createdAt asc, id asc", "sku desc, id desc", "lastModifiedAt desc, id asc"]
)
def test_every_shortcut_finds_what_a_scan_finds(where: str, sort: str) -> None:
    docs, node, order = collection(), compile_predicate([where], {}), parse_sort([sort])
    assert node is not None
    scan = [doc for doc in docs.docs.values() if node.match(doc)]
    for path, ascending in reversed(order):
        scan.sort(key=lambda doc: str(doc[path[0]]), reverse=not ascending)
    for with_total in (True, False):
        rows, total = docs.query(node, order, 5, 2, with_total=with_total)
        assert [row["id"] for row in rows] == [doc["id"] for doc in scan[2:7]]
        assert total == (len(scan) if with_total else None)


def test_a_replaced_document_moves_in_the_index_and_in_order_of_change() -> None:
    docs = collection()
    doc = {**docs.docs["07"], "sku": "MOVED", "lastModifiedAt": "2026-11-21T09:00:00.000Z"}
    docs.replace(doc)
    assert docs.by(paths("sku"), "MOVED") == [doc]
    node = compile_predicate(['lastModifiedAt > "2026-11-21T08:30:00Z"'], {})
    assert docs.query(node, (), 10, 0)[0] == [doc]
    docs.remove("07")
    assert docs.by(paths("sku"), "MOVED") == []
    assert "07" not in [row["id"] for row in docs.query(None, parse_sort(["id asc"]), 500, 0)[0]]
