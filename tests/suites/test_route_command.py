"""`sellable orders route`: the rule of each line, why the earlier ones passed it, and what a file would become."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.suites.orders_life import CHAIR, TABLE
from tests.suites.test_importing import SPLIT, House
from typer.testing import CliRunner

from sellable.cli import orders as command
from sellable.runtime.database import Store


def asked(house: House, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    @contextmanager
    def opened(config: Path) -> Iterator[Any]:
        yield house.settings, house.store, house.clock

    monkeypatch.setattr(command, "opened", opened)
    return CliRunner().invoke(command.app, ["route", *words])


@pytest.fixture
def house(store: Store) -> House:
    made = House(store, **SPLIT)

    async def story() -> None:
        await made.begin(ARMCHAIR=10, ARMCHAIR__Hamburg=5, TABLE=5)
        await made.bought((CHAIR, 2), (TABLE, 1))

    asyncio.run(story())
    return made


def test_an_order_of_the_book_says_where_its_lines_go_and_went(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    found = asked(house, monkeypatch, "N-o1", "--explain")
    assert found.exit_code == 0, found.output
    assert found.output.splitlines() == [
        "Order N-o1",
        "2 ARMCHAIR (l1): chairs to orderflow; 2 from Hamburg",
        "  2 went as part 2 by chairs to orderflow, Hamburg",
        "1 TABLE (l2): tables to cin7_core; 1 from Berlin",
        "  1 went as part 1 by tables to cin7_core, Berlin",
        '  chairs did not take it: SKU "TABLE" is not "ARMCHAIR"',
    ]
    told = json.loads(asked(house, monkeypatch, "o1", "--json").output)
    assert [(x["rule"], x["target"], x["ships"]) for x in told["lines"]] == [
        ("chairs", "orderflow", [["Hamburg", 2]]), ("tables", "cin7_core", [["Berlin", 1]]),
    ]  # fmt: skip
    assert [[went["part"] for went in x["went"]] for x in told["lines"]] == [[2], [1]]


def test_a_line_that_was_split_says_each_place_it_went_to(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = House(store)

    async def story() -> None:
        await made.begin(ARMCHAIR=2, ARMCHAIR__Hamburg=1)
        await made.bought((CHAIR, 3))

    asyncio.run(story())
    assert asked(made, monkeypatch, "N-o1").output.splitlines()[-2:] == [
        "  2 went as part 1 by no rule to orderflow, Berlin", "  1 went as part 2 by no rule to orderflow, Hamburg",
    ]  # fmt: skip


def document(**line: Any) -> dict[str, Any]:
    price = {"type": "centPrecision", "currencyCode": "EUR", "centAmount": 119, "fractionDigits": 2}
    item = {
        "id": "l1", "name": {"en": "Thing"}, "quantity": 1, "totalPrice": price, "price": {"value": price},
        "variant": {"id": 1, "sku": CHAIR}, "supplyChannel": {"typeId": "channel", "id": "x", "key": "web-eu"}, **line,
    }  # fmt: skip
    at = "2026-11-27T09:00:00.000Z"
    return {
        "id": "f1", "version": 1, "createdAt": at, "lastModifiedAt": at, "orderNumber": "F-1", "orderState": "Open",
        "totalPrice": price, "lineItems": [item], "customLineItems": [],
    }  # fmt: skip


def test_a_file_is_routed_as_if_it_were_ordered_now(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "order.json"
    file.write_text(json.dumps(document()))
    found = asked(house, monkeypatch, "--what-if", str(file), "--json")
    assert found.exit_code == 0, found.output
    (line,) = json.loads(found.output)["lines"]
    assert (line["rule"], line["ships"], line["went"]) == ("chairs", [["Hamburg", 1]], [])
    expanded = {"typeId": "channel", "id": "x", "obj": {"key": "web-eu"}}
    file.write_text(json.dumps(document(supplyChannel=expanded)))
    assert asked(house, monkeypatch, "--what-if", str(file)).exit_code == 0


def test_a_line_without_a_place_and_a_wrong_call_end_with_their_codes(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "order.json"
    file.write_text(json.dumps(document(variant={"id": 1, "sku": "SET"})))
    lost = asked(house, monkeypatch, "--what-if", str(file))
    assert (lost.exit_code, "nowhere, the order is held" in lost.output) == (1, True)
    file.write_text("{}")
    assert asked(house, monkeypatch, "--what-if", str(file)).exit_code == 2
    assert asked(house, monkeypatch).exit_code == 2
    assert asked(house, monkeypatch, "N-o1", "--what-if", str(file)).exit_code == 2
    assert asked(house, monkeypatch, "N-other").exit_code == 1
