"""A history becomes a plan: what each kind of row means, and that the same rows give the same plan."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar

import pytest

from sellable.cli import replay as replay_command
from sellable.config.check import check
from sellable.config.load import read as read_settings
from sellable.sandbox.shopper import Basket, Extra
from sellable.simulation import chaos, history
from sellable.simulation.chaos import Step
from sellable.simulation.history import Back, BadHistory, Cancel, Plan, Shelf

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
LANTERN = "71053,WHITE METAL LANTERN"


def write(path: Path, rows: Sequence[str], header: str = HEADER) -> Path:
    text = "\n".join([header, *rows]) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def row(invoice: str, goods: str = LANTERN, quantity: int = 6, price: str = "3.39", customer: str = "17850",
        country: str = "United Kingdom", day: int = 1) -> str:  # fmt: skip
    return f"{invoice},{goods},{quantity},2010-12-{day:02d} 08:26:00,{price},{customer},{country}"


def planned(tmp_path: Path, *rows: str, rate: float = 2.0, limit: int | None = None) -> Plan:
    return history.plan(history.read(write(tmp_path / "h.csv", rows)), rate=rate, limit=limit)


T = TypeVar("T")


def of_kind(plan: Plan, kind: type[T]) -> list[T]:
    return [event.what for event in plan.events if isinstance(event.what, kind)]


def test_sales_keep_their_order_and_are_packed_to_the_rate(tmp_path: Path) -> None:
    plan = planned(tmp_path, row("1"), row("2", day=9, country="France"), row("3", day=20))
    assert [(b.number, b.channel, b.country) for b in of_kind(plan, Basket)] == [
        ("1", "uk", "GB"), ("2", "row", "FR"), ("3", "uk", "GB"),
    ]  # fmt: skip
    assert [event.minute for event in plan.events if isinstance(event.what, Basket)] == [0.0, 0.5, 1.0]


def test_equal_rows_stay_lines_of_their_own(tmp_path: Path) -> None:
    (basket,) = of_kind(planned(tmp_path, row("1", quantity=6), row("1", quantity=6)), Basket)
    assert [(line.sku, line.quantity, line.price_cents) for line in basket.lines] == [("71053", 6, 339)] * 2


def test_codes_that_are_no_products_become_custom_lines(tmp_path: Path) -> None:
    rows = (
        row("1"),
        row("1", "POST,POSTAGE", 2, "18.00"),
        row("1", "D,Discount", -1, "27.50"),
        row("1", "m,Manual", 1, "0"),
    )
    plan = planned(tmp_path, *rows)
    (basket,) = of_kind(plan, Basket)
    assert [line.sku for line in basket.lines] == ["71053"]
    assert basket.extras == (
        Extra(name="POSTAGE", quantity=2, price_cents=1800),
        Extra(name="Discount", quantity=1, price_cents=-2750),
    )
    assert {item.sku for item in plan.shop.items} == {"71053"}


def test_an_invoice_of_charges_only_is_no_order(tmp_path: Path) -> None:
    plan = planned(tmp_path, row("1", "M,Manual", 1, "100"), row("A2", "B,Adjust bad debt", 1, "-11062.06"), row("3"))
    assert (plan.orders, plan.skipped) == (1, {"invoices without goods": 1, "bad debts": 1})


def test_a_cancellation_of_a_whole_order_cancels_it(tmp_path: Path) -> None:
    plan = planned(tmp_path, row("1"), row("1", "22745,BIRD", 2), row("C2", quantity=-6), row("C2", "22745,BIRD", -2))
    assert of_kind(plan, Cancel) == [Cancel(number="1", lines={"71053": 6, "22745": 2})]
    assert of_kind(plan, Back) == []


def test_a_part_comes_back_to_the_latest_order_that_has_it(tmp_path: Path) -> None:
    plan = planned(tmp_path, row("1", quantity=6), row("2", quantity=6), row("C3", quantity=-4), row("C4", quantity=-4),
                   row("C5", quantity=-4))  # fmt: skip
    assert of_kind(plan, Back) == [
        Back(number="2", lines={"71053": 4}),
        Back(number="1", lines={"71053": 4}),
        Back(number=None, lines={"71053": 4}),
    ]


def test_negative_rows_without_price_are_written_off_and_positive_ones_found(tmp_path: Path) -> None:
    plan = planned(tmp_path, row("1"), row("2", "71053,damaged", -10, "0", ""), row("3", "71053,", 5, "0", ""),
                   row("4", quantity=1, price="0"))  # fmt: skip
    assert [(s.word, s.sku, s.units) for s in of_kind(plan, Shelf)][:2] == [
        ("write_off", "71053", 10), ("receive", "71053", 5),
    ]  # fmt: skip
    assert [b.number for b in of_kind(plan, Basket)] == ["1", "4"]  # a gift to a customer is an order


def test_the_back_office_knows_one_spelling(tmp_path: Path) -> None:
    twin = "85034b,PINK CANDLE"
    rows = (row("1", "85034B,PINK CANDLE"), row("2", "85034B,PINK CANDLE"), row("3", twin), row("3"))
    plan = planned(tmp_path, *rows)
    assert {item.sku: item.known_as for item in plan.shop.items} == {"71053": "", "85034B": "", "85034b": "85034B"}
    last = of_kind(plan, Basket)[-1]
    assert [line.sku for line in last.lines] == ["85034b", "71053"]
    assert "85034b" not in {product["sku"] for product in plan.shop.cin7()["products"]}
    assert "85034b" in {entry["sku"] for entry in plan.shop.commercetools()["inventory"]}
    assert plan.shop.recipes == {"85034b": {"85034B": 1}}
    settings = plan.shop.settings_toml("http://ct", "http://cin7", "/data", "", start_at="2026-01-01T00:00:00Z")
    assert '[[skus]]\nstorefront = "85034b"\nmaster = "85034B"' in settings


def test_things_sell_out_and_most_of_the_rest_is_delivered(tmp_path: Path) -> None:
    plan = planned(tmp_path, *(row(str(n), quantity=10) for n in range(1, 21)))
    opening = sum(units for _, _, _, units in plan.shop.stock)
    delivered = sum(shelf.units for shelf in of_kind(plan, Shelf))
    assert 100 <= opening <= 200
    assert delivered == (200 - opening) * 85 // 100
    assert all(0 < event.minute < plan.minutes for event in plan.events if isinstance(event.what, Shelf))


def test_the_same_rows_give_the_same_plan(tmp_path: Path) -> None:
    rows = [row(str(n), f"{n % 7},THING", n % 5 + 1) for n in range(1, 60)]
    assert planned(tmp_path, *rows) == planned(tmp_path, *rows)


def test_what_goes_to_a_second_back_office_lies_there_and_is_routed_there(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", [row(str(n), f"{n % 40}T,THING", n % 5 + 1) for n in range(1, 200)])
    split = history.Split(lines=30, orders=10)
    plan = history.plan(history.read(path), rate=2, split=split)
    lies = {(sku, place) for sku, place, _, _ in plan.shop.stock}
    kept = {sku for sku, place in lies if place == history.HOUSE}
    assert 5 <= len(kept) <= 20
    assert kept == {item.sku for item in plan.shop.items if split.keeps(item.sku)}
    assert {place for sku, place in lies if sku in kept} <= {history.HOUSE, history.ANNEX}
    whole = [basket for basket in of_kind(plan, Basket) if basket.channel == history.WHOLE]
    assert 10 <= len(whole) <= 30
    assert {sku for sku, place in lies if place == history.ANNEX} == {line.sku for b in whole for line in b.lines}
    settings = tmp_path / "sellable.toml"
    settings.write_text(
        plan.shop.settings_toml("http://ct", "http://cin7", "/data", "", start_at="2026-01-01T00:00:00Z",
                                house_url="http://house")
    )  # fmt: skip
    loaded = read_settings(settings)
    assert check(loaded.settings, loaded.lines) == []
    assert [(rule.name, rule.target) for rule in loaded.settings.routes] == [
        ("whole orders", "orderflow"), ("kept there", "orderflow"), ("the rest", "cin7_core"),
    ]  # fmt: skip
    assert {row["sku"] for row in plan.shop.cin7()["stock"]}.isdisjoint(kept)
    assert {row["sku"] for row in plan.shop.house()["stock"]} == kept | {s for s, p in lies if p == history.ANNEX}
    alone = history.plan(history.read(path), rate=2)
    assert not alone.shop.routes
    assert not any(place.house for place in alone.shop.places)
    assert "[orderflow]" not in alone.shop.settings_toml(
        "http://ct", "http://cin7", "/data", "", start_at="2026-01-01T00:00:00Z"
    )


@pytest.mark.parametrize(("text", "wrong"), [("lines=200", "percentages"), ("lines", "wants"), ("skus=3", "wants")])
def test_shares_that_are_none_are_refused(text: str, wrong: str) -> None:
    with pytest.raises(BadHistory, match=wrong):
        replay_command._split(text)


def test_limit_and_days(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv.gz", [row("1", day=1), row("2", day=2), row("3", day=3), row("4", day=4)])
    rows = history.within(history.read(path), date(2010, 12, 2), date(2010, 12, 4))
    assert [b.number for b in of_kind(history.plan(rows, rate=1, limit=2), Basket)] == ["2", "3"]


def test_other_column_names(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", [row("1")], HEADER.replace("InvoiceNo", "order").replace("StockCode", "sku"))
    assert [r.code for r in history.read(path, {"InvoiceNo": "order", "StockCode": "sku"})] == ["71053"]
    with pytest.raises(BadHistory, match="column InvoiceNo, StockCode is missing"):
        list(history.read(path))
    with pytest.raises(BadHistory, match="unknown column Invoice;"):
        list(history.read(path, {"Invoice": "order"}))


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", [row("1"), row("2").replace(",6,", ",six,")])
    with pytest.raises(BadHistory, match=r"line 3: .*six"):
        list(history.read(path))


def test_a_timetable_of_trouble(tmp_path: Path) -> None:
    path = tmp_path / "chaos.toml"
    path.write_text(
        '[[step]]\nat = 2\ndo = "cin7_down"\nfor = 5\n\n[[step]]\nat = 4.5\ndo = "kill_service"\nworker = 2\n'
    )
    assert chaos.load(path) == [Step(at=2.0, do="cin7_down", minutes=5.0), Step(at=4.5, do="kill_service", worker=2)]
    path = tmp_path / "chaos.json"
    path.write_text('[{"at": 1, "do": "make_tea"}]')
    with pytest.raises(ValueError, match=r"step 1: .*kill_service"):
        chaos.load(path)
