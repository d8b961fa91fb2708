"""Whatever happens to the simulated company, its books stay consistent. Rule: judged from the journal and the truth."""

import random
from collections import Counter
from typing import Any

import pytest
from cin7_company import SEED, Company, line, run

STOCKED = ("CHAIR", "CHAIR-RED", "TABLE")
PLACES = ("Berlin", "Hamburg")
RECIPE = {"DINING-SET": {"CHAIR": 4, "TABLE": 1}}


async def deed(company: Company, dice: random.Random, sales: list[str]) -> None:
    """One random thing that may happen; refusals are part of life."""
    sku, place = dice.choice(STOCKED), dice.choice(PLACES)
    other = PLACES[1 - PLACES.index(place)]
    match dice.randrange(9):
        case 0 | 1 | 2:
            lines = {s: dice.randint(1, 4) for s in dice.sample([*STOCKED, "DINING-SET"], dice.randint(1, 3))}
            sales.append(
                (await company.order(lines, Location=place, SaleType=dice.choice(["Simple", "Advanced"])))["SaleID"]
            )
        case 3:
            await company.act(receive={"sku": sku, "location": place, "quantity": dice.randint(1, 8)})
        case 4:
            await company.act(sell_at_counter={"sku": sku, "location": place, "quantity": dice.randint(1, 3)})
        case 5:
            truck = {"sku": sku, "from": place, "to": other, "quantity": 1, "seconds": dice.choice([0, 700])}
            await company.http.post("/_sandbox/act", json={"transfer": truck})
        case 6 if sales:
            await company.call("DELETE", "sale", ID=dice.choice(sales), Void=dice.choice(["true", "false"]))
        case 7 if sales:
            sale, lines = dice.choice(sales), [line(sku, dice.randint(1, 3))]
            await company.call("POST", "sale/order", {"SaleID": sale, "Status": "AUTHORISED", "Lines": lines})
        case _:
            rows = [{"SKU": sku, "Location": place, "Quantity": dice.randint(0, 12)}]
            await company.call("POST", "stockadjustment", {"Status": "COMPLETED", "UpdateOnHand": True, "Lines": rows})


def allocated_by_sales(truth: dict[str, Any]) -> Counter[tuple[str, str]]:
    held: Counter[tuple[str, str]] = Counter()
    for sale in truth["sales"]:
        for row in sale["lines"]:
            for component, pieces in RECIPE.get(row["sku"], {row["sku"]: 1}).items():
                held[component, sale["location"]] += row["allocated"] * pieces
    return held


@pytest.mark.parametrize("leaves_at", ["ship", "pick"])
@pytest.mark.parametrize("seed", range(4))
def test_books_balance_after_anything(seed: int, leaves_at: str) -> None:
    dice = random.Random(seed)

    async def story(company: Company) -> None:
        sales: list[str] = []
        habits = {"auto": True, "pick_after_seconds": 300, "ship_after_seconds": 400, "split_rate": 0.4}
        await company.act(warehouse=habits)
        for _ in range(150):
            await deed(company, dice, sales)
            company.pass_time(dice.choice([0, 30, 200]))
        truth = company.sandbox.vendor.truth()
        available = {(row["sku"], row["location"]): row["available"] for row in truth["levels"]}
        changes: Counter[tuple[str, str]] = Counter()
        for row in SEED["stock"]:
            changes[row["sku"], row["location"]] += row["quantity"]
        for row in company.journal("stock"):
            changes[row["sku"], row["location"]] += row["delta"]
        assert {key: value for key, value in changes.items() if value} == {k: v for k, v in available.items() if v}
        held = allocated_by_sales(truth)
        assert {k: v for k, v in held.items() if v} == {
            (row["sku"], row["location"]): row["allocated"] for row in truth["levels"] if row["allocated"]
        }
        for sale in truth["sales"]:
            for row in sale["lines"]:
                assert 0 <= row["shipped"] <= row["quantity"]
                assert row["allocated"] >= 0
                assert row["allocated"] + row["shipped"] <= row["quantity"]
        shown = Counter()
        for row in (await company.get("ref/productavailability", Limit=1000))["ProductAvailabilityList"]:
            if row["SKU"] in STOCKED:
                shown[row["SKU"], row["Location"]] += row["Available"]
        assert {k: v for k, v in shown.items() if v} == {k: v for k, v in available.items() if v}
        assert {row["on_hand"] >= 0 for row in truth["stock"]} == {True}
        vendor = company.sandbox.vendor
        assert all(level.held >= 0 for level in vendor.world.stock.levels.values())
        assert any(sale["shipping_status"] == "SHIPPED" for sale in truth["sales"])

    run(story, stock_leaves_at=leaves_at)
