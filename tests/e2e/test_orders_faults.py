"""Orders against both simulators misbehaving: late effects, lost answers, split parcels, staff with second thoughts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.e2e.test_main_job import FIRST, WAREHOUSE, case_kinds, healthy, live_sales
from tests.e2e.world import CIN7, CT, World, run

from sellable.app import answers
from sellable.app.replaying import replay_case
from sellable.book import book
from sellable.desk import cases
from sellable.runtime.database import ReadTx, Store

EAGER = {"cin7_core": {"stray_draft_minutes": 4}}
"""A call is given up after 5 s of the machine (300 s here), so a late effect is later than that."""
HEADER, LINES = "^POST /ExternalApi/v2/sale$", "^POST .*/sale/order"


def cin7(effect: str, match: str, **more: Any) -> dict[str, Any]:
    return {"name": f"{effect} {match}", "match": match, "effect": effect, "times": 1, **more}


async def cancel(world: World, order_id: str) -> None:
    await world.cancel(order_id)


def _part_of(tx: ReadTx, order_id: str) -> list[Any]:
    return tx.all(book.sql.read_parts, order_id=order_id)


async def only(world: World, order_id: str) -> None:
    async def there() -> bool:
        return len(await live_sales(world, order_id)) == 1

    await world.until(there, "one live sale")


def test_a_header_that_takes_effect_after_we_made_another_is_voided(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        await world.faults(CIN7, [cin7("late", HEADER, seconds=450)])
        order = await world.buy({"ARMCHAIR": 1})
        await world.until_stage(order["id"], "exported")

        async def late() -> bool:
            # Whatever became of them meanwhile: a state that is swept away must not be waited for.
            return len([s for s in await world.sales() if order["id"] in (s["external_id"] or "")]) == 2

        await world.until(late, "ours, and the draft that came late")
        await only(world, order["id"])
        (sale,) = await live_sales(world, order["id"])
        assert sale["order_status"] == "AUTHORISED"
        await world.until_shown(ARMCHAIR__web_eu=13)

    run(story, store, settings=EAGER)


def test_a_header_that_takes_effect_after_its_order_was_cancelled_is_voided(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        await world.faults(CIN7, [cin7("late", HEADER, seconds=450)])
        order = await world.buy({"ARMCHAIR": 2})
        await world.until_shown(ARMCHAIR__web_uk=8)
        await cancel(world, order["id"])
        await world.until_stage(order["id"], "cancelled")

        async def late_and_voided() -> bool:
            mine = [s for s in await world.sales() if order["id"] in (s["external_id"] or "")]
            return [s["status"] for s in mine] == ["VOIDED"]

        await world.until(late_and_voided, "the late draft was voided")
        await world.until_shown(ARMCHAIR__web_eu=14, ARMCHAIR__web_uk=10)
        assert await live_sales(world, order["id"]) == []

    run(story, store, settings=EAGER)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_error_after_the_effect_makes_nothing_twice(store: Store, status: int) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        menu = [
            cin7("status", HEADER, when="after", status=status, body="upstream gone"),
            cin7("status", LINES, when="after", status=status, body="upstream gone", times=2),
        ]
        await world.faults(CIN7, menu)
        order = await world.buy({"ARMCHAIR": 1})
        await world.until_stage(order["id"], "exported")
        mine = [s for s in await world.sales() if order["id"] in (s["external_id"] or "")]
        assert [s["order_status"] for s in mine] == ["AUTHORISED"]

    run(story, store)


def test_parcels_that_leave_one_after_the_other_are_each_told_once(store: Store) -> None:
    """Two boxes of one shipment, and the storefront's answers are lost half the time."""

    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        await world.act(warehouse={**WAREHOUSE, "split_rate": 1.0, "ship_after_seconds": 120})
        lost = {"name": "lost", "match": "^POST /shop/orders/", "effect": "reset", "when": "after", "rate": 0.5}
        await world.faults(CT, [lost])
        order = await world.buy({"ARMCHAIR": 3, "TABLE": 2})
        await world.until_stage(order["id"], "shipped")

        async def complete() -> bool:
            return bool((await world.ct("GET", f"/orders/{order['id']}")).get("orderState") == "Complete")

        await world.until(complete, "the storefront knows it all")
        fresh = await world.ct("GET", f"/orders/{order['id']}")
        deliveries = fresh["shippingInfo"]["deliveries"]
        told: dict[str, int] = {}
        for item in (item for d in deliveries for item in d["items"]):
            told[item["id"]] = told.get(item["id"], 0) + item["quantity"]
        assert told == {line["id"]: line["quantity"] for line in fresh["lineItems"]}
        assert len(deliveries) > 1
        parcels = [p["trackingData"]["trackingId"] for d in deliveries for p in d["parcels"]]
        assert len(parcels) == len(set(parcels)) > 1
        assert await case_kinds(world) == set()
        await world.store.read(healthy)
        await world.until_shown(ARMCHAIR__web_eu=11, TABLE__web_eu=4)

    run(story, store)


def test_a_held_order_goes_on_with_its_draft_when_the_case_is_replayed(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        order = await world.buy({"SET": 2, "TABLE": 1})
        await world.until_stage(order["id"], "held")
        await world.act(switch={"tax_places": 2})
        (case,) = [c for c in await world.store.read(cases.listing) if c.kind == "totals_differ"]
        await world.store.write(replay_case, world.service.settings, case.ref, "test", world.clock)
        await world.until_stage(order["id"], "exported")
        (sale,) = [s for s in await world.sales() if order["id"] in (s["external_id"] or "")]
        assert sale["order_status"] == "AUTHORISED"
        assert "totals_differ" not in await case_kinds(world)

    run(story, store, company={"tax_places": 4})


def test_a_voided_sale_is_made_anew_when_the_case_is_replayed_and_cancelled_for_good(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        order = await world.buy({"ARMCHAIR": 3})
        await world.until_stage(order["id"], "exported")
        (sale,) = await live_sales(world, order["id"])
        await world.act(staff={"void": sale["sale"]})
        await world.until_stage(order["id"], "held")
        (case,) = [c for c in await world.store.read(cases.listing) if c.kind == "sale_changed_by_staff"]
        await world.store.write(replay_case, world.service.settings, case.ref, "test", world.clock)
        await world.until_stage(order["id"], "exported")
        (again,) = await live_sales(world, order["id"])
        assert again["sale"] != sale["sale"]
        await world.until_shown(ARMCHAIR__web_eu=11, ARMCHAIR__web_uk=7)
        await world.act(staff={"void": again["sale"]})
        await cancel(world, order["id"])
        await world.until_stage(order["id"], "cancelled")
        assert await case_kinds(world) == set()
        await world.until_shown(ARMCHAIR__web_eu=14, ARMCHAIR__web_uk=10)

    run(story, store)


def test_a_backorder_that_is_filled_later_leaves_no_unit_in_flight(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        order = await world.buy({"TABLE": 8}, "web-uk", mode="TrackOnly")
        await world.until_stage(order["id"], "exported")
        await world.until_shown(TABLE__web_eu=0)
        assert "backordered" in await case_kinds(world)
        await world.act(receive={"sku": "TABLE", "location": "Berlin", "bin": "A1", "quantity": 5})
        await world.until_shown(TABLE__web_eu=3, SET__web_eu=3)
        assert "backordered" not in await case_kinds(world)

    run(story, store)


def test_a_sale_moved_to_another_location_weighs_there(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        order = await world.buy({"ARMCHAIR": 3})
        await world.until_stage(order["id"], "exported")
        await world.until_shown(ARMCHAIR__web_eu=11, ARMCHAIR__web_uk=7)
        (sale,) = await live_sales(world, order["id"])
        await world.act(staff={"relocate": sale["sale"], "location": "Hamburg"})
        most = 0

        async def followed() -> bool:
            nonlocal most
            most = max(most, await world.shown("ARMCHAIR"))
            (told,) = await world.store.read(answers.order_story, order["id"])
            return bool(told["parts"][0]["location"] == "Hamburg")

        await world.until(followed, "the book says where the sale is")
        assert "sale_changed_by_staff" in await case_kinds(world)
        await world.until_shown(ARMCHAIR__web_eu=11, ARMCHAIR__web_uk=10)
        assert most <= 11, "never more than there is"
        (kept,) = await live_sales(world, order["id"])
        assert kept["sale"] == sale["sale"], "the same sale, at another place"
        await world.store.read(healthy)

    run(story, store)


def test_two_sales_that_staff_merge_are_noticed_and_free_nothing(store: Store) -> None:
    """Undone, written anew with the other's units, authorised; the other is voided: one of two orders has no sale."""

    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        first, second = [await world.buy({"ARMCHAIR": units}, "web-uk") for units in (3, 2)]
        for order in (first, second):
            await world.until_stage(order["id"], "exported")
        await world.until_shown(ARMCHAIR__web_eu=9, ARMCHAIR__web_uk=5)
        (kept,), (gone,) = [await live_sales(world, order["id"]) for order in (first, second)]

        async def listed() -> bool:
            return all(part.list_progress for part in await world.store.read(_part_of, first["id"]))

        await world.until(listed, "the list of sales has shown it as we made it")
        staff = {"api-auth-accountid": "acc", "api-auth-applicationkey": "key-reads"}
        base = f"{CIN7}/ExternalApi/v2/sale"
        (line,) = (await world.http.get(f"{base}/order", params={"SaleID": kept["sale"]}, headers=staff)).json()[
            "Lines"
        ]
        lines = [line | {"Quantity": 5, "Total": line["Price"] * 5, "Tax": line["Tax"] * 5 / 3}]
        merged = {"SaleID": kept["sale"], "Status": "AUTHORISED", "Memo": "", "Lines": lines}
        for method, url, params, body in (
            ("DELETE", base, {"ID": gone["sale"], "Void": "true"}, None),
            ("DELETE", base, {"ID": kept["sale"], "Void": "false"}, None),
            ("POST", f"{base}/order", {}, merged),
        ):
            answer = await world.http.request(method, url, params=params, headers=staff, json=body)
            assert answer.status_code == 200, answer.text
        await world.until_stage(second["id"], "held")

        async def both_told() -> bool:
            found = [c for c in await world.store.read(cases.listing) if c.kind == "sale_changed_by_staff"]
            return {c.subject for c in found} == {f"order:{first['id']}", f"order:{second['id']}"}

        await world.until(both_told, "a case for each of the two orders")
        await world.until_shown(ARMCHAIR__web_eu=7, ARMCHAIR__web_uk=3)

    run(story, store)


def test_taxes_from_outside_and_custom_lines_go_the_whole_way(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        rate = {"name": "19 %", "amount": 0.19, "includedInPrice": True, "country": "DE"}
        wrapping = {"name": {"en": "Gift wrapping"}, "slug": "wrap", "quantity": 3, "externalTaxRate": rate,
                    "money": {"currencyCode": "EUR", "centAmount": 199}}  # fmt: skip
        found = await world.ct("GET", '/channels?where=key="web-eu"')
        goods = {"sku": "ARMCHAIR", "quantity": 2, "externalTaxRate": rate,
                 "supplyChannel": {"typeId": "channel", "id": found["results"][0]["id"]}}  # fmt: skip
        order = await world.buy(
            {}, taxMode="External", customLineItems=[wrapping], lineItems=[goods], externalTaxRateForShippingMethod=rate
        )
        await world.until_stage(order["id"], "exported")
        (sale,) = await live_sales(world, order["id"])
        assert Decimal(sale["total"]) * 100 == order["totalPrice"]["centAmount"]

    run(story, store)


def test_a_sale_of_the_former_integration_is_adopted_and_its_neighbours_are_not(store: Store) -> None:
    """Its order number is contained in a neighbour's, and the search finds both."""
    keys = {"api-auth-accountid": "acc", "api-auth-applicationkey": "key-reads"}
    url = f"{CIN7}/ExternalApi/v2/sale"

    async def exported(world: World, number: str, units: int) -> str:
        """What the former integration did: header and lines, without our reference."""
        header = {"Customer": "Web EUR", "Location": "Hamburg", "SkipQuote": True, "TaxRule": "DE 19%",
                  "TaxInclusive": True, "CustomerReference": number}  # fmt: skip
        made = (await world.http.post(url, json=header, headers=keys)).json()
        goods = {"SKU": "ARMCHAIR", "Name": "Armchair", "Quantity": units, "Price": 119, "Tax": 19 * units,
                 "Total": 119 * units, "TaxRule": "DE 19%"}  # fmt: skip
        shipping = {"Description": "Shipping", "Quantity": 1, "Price": 4.9, "Tax": 0.78, "Total": 4.9,
                    "TaxRule": "DE 19%"}  # fmt: skip
        order = {"SaleID": made["ID"], "Status": "AUTHORISED", "Lines": [goods], "AdditionalCharges": [shipping]}
        answer = await world.http.post(f"{url}/order", json=order, headers=keys)
        assert answer.status_code == 200, answer.text
        return str(made["ID"])

    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        await world.service.stop()
        mine, nobodys = await world.buy({"ARMCHAIR": 2}), await world.buy({"ARMCHAIR": 1})
        sale = await exported(world, mine["orderNumber"], 2)
        for number in (f"{mine['orderNumber']}0", f"X{nobodys['orderNumber']}"):
            await exported(world, number, 1)
        world.serve(orders={"adopt_minutes_after_birth": 10_000_000})
        await world.service.start()
        for order in (mine, nobodys):
            await world.until_stage(order["id"], "exported")
        assert await live_sales(world, mine["id"]) == []
        assert len(await live_sales(world, nobodys["id"])) == 1
        (told,) = await world.store.read(answers.order_story, mine["id"])
        assert [(part["sale_id"], part["location"]) for part in told["parts"]] == [(sale, "Hamburg")]
        await world.until_shown(ARMCHAIR__web_eu=9, ARMCHAIR__web_uk=9)
        await world.act(warehouse=WAREHOUSE)
        await world.until_stage(mine["id"], "shipped")
        assert await case_kinds(world) == set()
        await world.store.read(healthy)

    run(story, store)


def test_an_order_in_another_currency_waits_for_its_rate_and_is_booked_at_it(store: Store) -> None:
    customers = [{"customer": f"Web {currency}", "currency": currency} for currency in ("EUR", "CHF")]

    def shop(rate: str) -> dict[str, Any]:
        rates = [{"currency": "CHF", "rate": rate}] if rate else []
        return {"customers": customers, "rates": rates, "cin7_core": {"base_currency": "EUR"}}

    async def again(world: World, kind: str, rate: str) -> None:
        await world.service.stop()
        world.serve(**shop(rate))
        await world.service.start()
        (case,) = [c for c in await world.store.read(cases.listing) if c.kind == kind]
        await world.store.write(replay_case, world.service.settings, case.ref, "test", world.clock)

    async def story(world: World) -> None:
        world.company.load({"customers": [{"name": "Web CHF", "currency": "CHF", "tax_rule": "DE 19%"}]})
        await world.until_shown(**FIRST)
        found = await world.ct("GET", '/channels?where=key="web-eu"')
        rate = {"name": "19 %", "amount": 0.19, "includedInPrice": True, "country": "DE"}
        goods = {"sku": "ARMCHAIR", "quantity": 2, "externalTaxRate": rate,
                 "externalPrice": {"currencyCode": "CHF", "centAmount": 11900},
                 "supplyChannel": {"typeId": "channel", "id": found["results"][0]["id"]}}  # fmt: skip
        order = await world.buy({}, currency="CHF", taxMode="External", shippingMethod=None, lineItems=[goods])
        await world.until_stage(order["id"], "held")
        opened = await world.store.read(cases.listing)  # A slow day may open others, about feeds and numbers.
        found = [(c.kind, c.subject, c.actual) for c in opened if c.subject.startswith(("order:", "rate:"))]
        assert found == [("currency_rate_missing", "rate:CHF", {"currency": "CHF"})]
        await world.until_shown(ARMCHAIR__web_eu=12)

        await again(world, "currency_rate_missing", "own")

        async def refused() -> bool:
            return "order_refused" in await case_kinds(world)

        await world.until(refused, "this back office fills in no rate of its own")
        await again(world, "order_refused", "1.06213")
        await world.until_stage(order["id"], "exported")
        (sale,) = await live_sales(world, order["id"])
        keys = {"api-auth-accountid": "acc", "api-auth-applicationkey": "key-reads"}
        answer = await world.http.get(f"{CIN7}/ExternalApi/v2/sale", params={"ID": sale["sale"]}, headers=keys)
        assert (answer.json()["CustomerCurrency"], answer.json()["CurrencyRate"]) == ("CHF", 1.06213)
        (told,) = await world.store.read(answers.order_story, order["id"])
        assert [part["currency_rate"] for part in told["parts"]] == ["1.06213"]

    run(story, store, settings=shop(""))


def test_staff_undo_that_the_list_of_sales_shows_late_raises_nothing(store: Store) -> None:
    """The freed units appear in the stock numbers well before the list knows that the sale was undone."""

    async def story(world: World) -> None:
        await world.until_shown(**FIRST)
        order = await world.buy({"ARMCHAIR": 3})
        await world.until_stage(order["id"], "exported")
        await world.until_shown(ARMCHAIR__web_eu=11, ARMCHAIR__web_uk=7)
        await world.act(receive={"sku": "ARMCHAIR", "location": "Berlin", "bin": "A1", "quantity": 1})
        await world.until_shown(ARMCHAIR__web_eu=12, ARMCHAIR__web_uk=8)
        (sale,) = await live_sales(world, order["id"])
        await world.act(switch={"search_lag_seconds": 110})
        await world.faults(CIN7, [cin7("status", r"^GET .*/sale\?", status=500, times=None)])
        await world.act(staff={"undo": sale["sale"]})

        async def not_raised() -> bool:
            return await world.shown("ARMCHAIR") <= 12

        await world.throughout_sweeps(5, not_raised, "units of a sale that was undone are offered again")

    run(story, store)
