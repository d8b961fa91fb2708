"""The doctor's judgements, one by one: what is right, what is wrong, and what to do about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from tests.e2e.world import settings_of

from sellable.app import doctor
from sellable.app.doctor import Check
from sellable.connectors.cin7_core import wire
from sellable.connectors.commercetools.setup import Step
from sellable.connectors.commercetools.survey import Survey, Tax, plain
from sellable.connectors.port import CatalogueItem, TaxRule

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
SETTINGS = settings_of(NOW)


def survey(**changes: Any) -> Survey:
    values: dict[str, Any] = {
        "scopes": ("manage_project:shop",), "theirs": NOW, "ours": NOW, "messages_enabled": True, "message_days": 15,
        "countries": ("DE",), "currencies": ("EUR",),
        "channels": {"web-eu": ("InventorySupply",), "web-uk": ("InventorySupply",)}, "stores": {},
        "taxes": (Tax(name="19 %", fraction="0.19", country="DE", included=True),), "shipping_methods": ("Parcel",),
        "modes": {("web-eu", "ReserveOnOrder"): 4}, "orders": 2, "currencies_ordered": ("EUR",),
        "channelless_entries": False,
    }  # fmt: skip
    return Survey(**values | changes)


def results(found: Any) -> list[tuple[str, str]]:
    return [(check.name, check.result) for check in found]


def only(found: Any) -> Check:
    (check,) = found
    return check


@pytest.mark.parametrize(
    ("granted", "result", "says"),
    [
        (("manage_project:shop",), "ok", ""),
        (tuple(f"{name}:shop" for name in doctor.NEEDED), "ok", ""),
        (
            ("manage_orders:shop", "manage_products:shop", "manage_types:shop", "view_states:shop"),
            "fail",
            "view_messages",
        ),
        (("manage_orders:shop:berlin",), "fail", "bound to no store"),
        (("manage_project:another",), "fail", "manage_orders"),
        ((), "fail", "manage_orders"),
    ],
)
def test_scopes(granted: tuple[str, ...], result: str, says: str) -> None:
    check = only(doctor.scopes(granted, "shop"))
    assert check.result == result
    assert says in check.mend


@pytest.mark.parametrize(("seconds", "result"), [(0, "ok"), (-5, "ok"), (6, "warn"), (-60, "warn"), (61, "fail")])
def test_a_clock_that_is_off(seconds: int, result: str) -> None:
    check = doctor.skew("Cin7 Core", NOW, NOW + timedelta(seconds=seconds))
    assert (check.result, f"{seconds:+d} s" in check.evidence) == (result, True)


def test_an_answer_without_a_date_is_no_answer_to_trust() -> None:
    assert doctor.skew("Cin7 Core", None, NOW).result == "fail"


def test_messages_off_or_kept_too_short() -> None:
    assert only(doctor.messages(survey())).result == "ok"
    assert only(doctor.messages(survey(messages_enabled=False))).result == "warn"
    assert only(doctor.messages(survey(message_days=14))).result == "warn"


def test_set_up() -> None:
    assert only(doctor.set_up([Step(resource="a", action="none")])).result == "ok"
    assert only(doctor.set_up([Step(resource="a", action="create")])).evidence == "a: create"
    assert only(doctor.set_up([Step(resource="a", action="blocked", why="theirs")])).result == "fail"


def test_channels_that_are_missing_have_no_role_or_are_left_out() -> None:
    found = survey(
        channels={"web-eu": ("Primary",), "shop": ("InventorySupply",)}, channelless_entries=True
    )  # fmt: skip
    assert results(doctor.channels(SETTINGS, found)) == [
        ("channel web-eu", "fail"), ("channel web-uk", "fail"), ("channels left out", "warn"),
    ]  # fmt: skip
    assert "shop, (entries without a channel)" in list(doctor.channels(SETTINGS, found))[-1].evidence


def test_carts_without_an_inventory_mode() -> None:
    assert only(doctor.modes(survey())).result == "ok"
    check = only(doctor.modes(survey(modes={("web-eu", "None"): 3, ("web-eu", "TrackOnly"): 1})))
    assert (check.result, check.evidence) == ("warn", "lines of the last 2 orders: 3 None, 1 TrackOnly")
    assert only(doctor.modes(survey(orders=0))).result == "unknown"


def test_a_rate_without_a_rule_is_named() -> None:
    reduced = Tax(name="7 %", fraction="0.07", country="DE", included=True)
    check = only(doctor.storefront_taxes(SETTINGS, survey(taxes=(*survey().taxes, reduced))))
    assert (check.result, check.evidence) == ("warn", "0.07 DE (7 %)")
    assert only(doctor.storefront_taxes(SETTINGS, survey())).result == "ok"
    assert [plain(Decimal(text)) for text in ("0.190", "0", "0.0", "0.055")] == ["0.19", "0", "0", "0.055"]


def test_shipping_methods_and_entries_that_sell_without_stock() -> None:
    assert only(doctor.carriers(SETTINGS, survey(shipping_methods=("Parcel", "Pallet")))).evidence == "Pallet"
    assert only(doctor.backorders(["LAMP"], 3)).result == "warn"
    assert only(doctor.backorders([], 3)).result == "ok"


def test_the_company() -> None:
    me = wire.Me(currency="GBP", time_zone="Europe/London", automatically_apply_discounts=True)
    found = {check.name: check for check in doctor.company(SETTINGS, me)}
    assert (found["base currency"].result, found["base currency"].setting) == (
        "fail", '[cin7_core] base_currency = "GBP"',
    )  # fmt: skip
    assert found["time zone"].setting == '[cin7_core] time_zone = "Europe/London"'
    assert found["automatic discounts"].result == "warn"
    same = {
        check.name: check.result for check in doctor.company(SETTINGS, wire.Me(currency="EUR", time_zone="Etc/UTC"))
    }
    assert same == {"base currency": "ok", "time zone": "ok"}
    odd = {check.name: check.result for check in doctor.company(SETTINGS, wire.Me(time_zone="GMT Standard Time"))}
    assert odd["time zone"] == "warn"


def test_locations() -> None:
    rows = [
        wire.LocationRow(name="BERLIN", bins=[]),
        wire.LocationRow(name="Hamburg", is_deprecated=True),
        wire.LocationRow(name="Attic"),
    ]
    berlin, hamburg, left = doctor.locations(SETTINGS, rows)
    assert (berlin.result, berlin.mend) == ("fail", "It is spelled BERLIN there.")
    assert (hamburg.result, left.evidence) == ("warn", "Attic, BERLIN")
    bare = settings_of(NOW, states=[{"location": "Berlin", "bin": "A1", "state": "available"}])
    held = wire.LocationRow(name="Berlin", bins=[wire.BinRow(name="A1"), wire.BinRow(name="B7")])
    assert [c.evidence for c in doctor.locations(bare, [held]) if c.result == "warn"] == ["bins B7"]


def test_tax_rules_customers_carriers_and_services() -> None:
    def rule(percent: str = "19", active: bool = True) -> dict[str, Any]:
        return {"DE 19%": TaxRule(name="DE 19%", percent=Decimal(percent), included=True, active=active)}

    told = [only(doctor.tax_rules(SETTINGS, each)).result for each in (rule(), {}, rule("7"), rule(active=False))]
    assert told == ["ok", "fail", "fail", "fail"]
    cards = ({"Web EUR": wire.CustomerRow(name="Web EUR", currency=code)} for code in ("EUR", "GBP"))
    assert [only(doctor.customers(SETTINGS, each)).result for each in (*cards, {})] == ["ok", "fail", "fail"]
    assert only(doctor.carriers_of(SETTINGS, {"UPS"})).evidence == "no DHL"
    assert list(doctor.carriers_of(SETTINGS, {"DHL"})) == []
    kit = CatalogueItem(sku="SET", name="Set", sellable=True, service=False, kit=True, recipe=())
    assert results(doctor.services(SETTINGS, [kit])) == [("service products", "fail"), ("bundles", "warn")]


@pytest.mark.parametrize(("status", "result"), [(401, "ok"), (404, "fail"), (200, "fail"), (502, "fail")])
def test_our_own_door_is_known_by_its_refusal(status: int, result: str) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status))
    client = httpx2.AsyncClient(transport=transport)
    check = asyncio.run(doctor.reachable(client, "cin7", "https://shop.example/"))
    assert (check.result, "https://shop.example/webhooks/cin7/doctor" in check.evidence) == (result, True)


def test_a_door_that_is_not_there() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(refuse))
    assert asyncio.run(doctor.reachable(client, "cin7", "https://shop.example")).result == "fail"


def test_states_that_mean_cancelled_are_there_or_named() -> None:
    there = survey(line_states=("cancelled", "picked"))
    assert only(doctor.line_states(SETTINGS, there)).result == "ok"
    wanted = settings_of(NOW, commercetools={"cancelled_states": ["cancelled", "void"]})
    check = only(doctor.line_states(wanted, there))
    assert (check.result, check.evidence) == ("fail", "there is no void")
    named = settings_of(NOW, commercetools={"cancelled_states": ["cancelled"]})
    assert only(doctor.line_states(named, there)).evidence == "cancelled: cancelled"
