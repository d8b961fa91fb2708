"""Whatever happens to the simulated warehouse, its books stay consistent. Rule: judged from answers, journal, truth."""

import random
from collections import Counter
from typing import Any

import pytest
from orderflow_tenant import SEED, Tenant, order_text, run

SKUS = ("CHAIR", "TABLE", "LAMP")
SITES = ("LEEDS", "DERBY")
KINDS = ("good", "frozen", "inspection", "damaged", "quarantined")
NUMBERS = ("allocated", "available", "frozen", "inspection", "damaged", "quarantined")
HABITS = {
    "auto": True, "release_seconds": 20, "locate_seconds": 20, "pick_seconds": 60, "pack_seconds": 60,
    "despatch_seconds": 60, "short_rate": 0.2, "parcel_rate": 0.3,
}  # fmt: skip


async def deed(tenant: Tenant, dice: random.Random, orders: list[str]) -> None:
    """One random thing that may happen; refusals are part of life."""

    async def act(**action: Any) -> None:
        answer = await tenant.http.post("/_sandbox/act", json=action)
        assert answer.status_code in (200, 400), answer.text

    sku, site, order = dice.choice(SKUS), dice.choice(SITES), dice.choice(orders or ["CT-0"])
    match dice.randrange(12):
        case 0 | 1 | 2 | 3:
            lines = {s: dice.randint(1, 4) for s in dice.sample(SKUS, dice.randint(1, 3))}
            orders.append(f"CT-{len(orders) + 1}")
            await tenant.send(("order", "insert", orders[-1], order_text(lines, f"shipment.site={site}")))
        case 4:
            goods = {"sku": sku, "quantity": dice.randint(1, 8), "kind": dice.choice(KINDS)}
            await act(receive={"site": site, "lines": [goods]})
        case 5:
            await act(sell_at_counter={"sku": sku, "site": site, "quantity": dice.randint(1, 4)})
        case 6:
            await act(count={"sku": sku, "site": site, "found": dice.randint(0, 9)})
        case 7:
            way = {"from": dice.choice(KINDS), "to": dice.choice(KINDS), "to_site": dice.choice(SITES)}
            await act(move={"sku": sku, "site": site, "quantity": dice.randint(1, 4)} | way)
        case 8:
            query = {"externalReference": order, "cancelChangesExternalReference": dice.choice(["true", "false"])}
            await tenant.call("POST", "remoteorder/order/cancel.xml", **query)
        case 9:
            await act(cancel_line={"order": order, "sku": sku, "quantity": dice.randint(1, 3)})
        case 10:
            await act(short_pick={"order": order, "sku": sku, "found": dice.randint(0, 2)})
        case 11:
            line = {"sku": sku, "quantity": 1, "condition": dice.choice(["As new", "Packaging damaged"])}
            await act(book_return={"order": order, "site": site, "lines": [line]})


def check_lines(truth: dict[str, Any]) -> None:
    for order in truth["orders"]:
        for line in order["lines"]:
            assert line["ordered"] == line["open"] + line["despatched"] + line["cancelled"], (order, line)
            assert 0 <= line["picked"] <= line["allocated"] <= line["open"]


def check_stock(truth: dict[str, Any]) -> None:
    promised: Counter[tuple[str, str]] = Counter()
    wanted: Counter[tuple[str, str]] = Counter()
    for order in truth["orders"]:
        for shipment in order["shipments"]:
            for part in shipment["lines"]:
                promised[part["sku"], shipment["site"]] += part["allocated"]
                if shipment["state"] not in ("despatched", "cancelled"):
                    wanted[part["sku"], shipment["site"]] += part["quantity"]
    for level in truth["stock"]:
        key = level["sku"], level["site"]
        assert (level["allocated"], level["required"]) == (promised[key], wanted[key]), key
        assert all(level[kind] >= 0 for kind in KINDS)
        assert 0 <= level["picked"] <= level["allocated"] <= level["good"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("split", "short"), [("never", "wait"), ("lines", "split"), ("units", "cancel")])
def test_books_balance_after_anything(seed: int, split: str, short: str) -> None:
    dice = random.Random(seed)

    async def story(tenant: Tenant) -> None:
        orders: list[str] = []
        await tenant.act(warehouse=HABITS)
        for _ in range(150):
            await deed(tenant, dice, orders)
            tenant.pass_time(dice.choice([0, 30, 200]))
            truth = tenant.sandbox.vendor.truth()
            check_lines(truth)
            check_stock(truth)
        units: Counter[tuple[str, str]] = Counter()
        for row in SEED["stock"]:
            units[row["sku"], row["site"]] += row["quantity"]
        for row in tenant.journal("stock"):
            units[row["sku"], row["site"]] += row.get("delta", 0)
        assert +units == +Counter({(one["sku"], one["site"]): one["total"] for one in truth["stock"]})
        for site in SITES:
            for row in await tenant.xml("GET", "remotewarehouse/inventory.xml", site=site):
                assert sum(int(row.get(name, "")) for name in NUMBERS) == int(row.get("total", "")), row.attrib
        sent = Counter()
        for shipment in await tenant.despatched():
            for line in shipment.iterfind("orderLines/orderLine"):
                sent[line.findtext("productReference")] += int(line.findtext("quantity", ""))
        gone = Counter()
        for row in tenant.journal("stock"):
            if row["cause"] == "despatched":
                gone[row["sku"]] -= row.get("delta", 0)
        assert sent == +gone
        assert sent

    run(story, split=split, short_pick=short)
