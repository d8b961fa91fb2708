"""Settings said in the console: looked at, set, followed by what runs, undone; and what the file says beside them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlencode

import msgspec
import psycopg
import pytest
from tests.conftest import fresh_database
from tests.suites.console_web import Web, book, open_, stocked
from tests.suites.orders_life import CHAIR, Life, play, query

from sellable.app import said
from sellable.app.layout import layout_of
from sellable.app.service import assemble
from sellable.config.load import bare
from sellable.config.said import FIXED, KINDS, merged
from sellable.config.settings import Owner, Settings, StatusMap
from sellable.desk.owners import OwnerMissing, Owners
from sellable.runtime import said as said_store
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.migrate import FOLDER, load, migrate
from sellable.stock import numbers
from sellable.web.console.settings import EVENTS

WHY = "new tax since Monday"
_AGED = query("UPDATE sweep SET finished_at = finished_at - interval '20 minutes'")
_STAGES = query("SELECT order_id, stage FROM orders")


def say(web: Web, section: str, **fields: Any) -> str:
    return web.done(f"/settings/{section}", {"why": WHY, **fields})["done"]


def now_of(web: Web) -> Settings:
    """What counts, as every process reads it."""
    return web.store.read_now(said.together_now, web.settings)[0]


def look(web: Web, section: str, status: int = 200, **fields: Any) -> str:
    return web.get(f"/settings/{section}?{urlencode(fields)}", status)


# --- What each kind does ---------------------------------------------------------------------------------------------


def test_an_order_held_for_its_tax_goes_on_when_the_tax_is_said(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 1)))
        await life.take(life.order((CHAIR, 2), order_id="o2", shipping_method="Pigeon"))

    taxes = [{"rate": "0.07", "rule": "DE 7%"}]
    play(store, story, taxes=taxes)
    web = Web(store, "approver", taxes=taxes)
    assert "1 of 2 go on" in look(web, "taxes", rate="0.19", name="", country="", rule="DE 19%")
    assert "0 of 2 go on" in look(web, "taxes", rate="0.16", name="", country="", rule="DE 16%")
    assert [t.rule for t in now_of(web).taxes] == ["DE 7%"], "looking says nothing"
    assert web.done("/settings/taxes", {"rate": "0.19", "rule": "DE 19%", "why": WHY}) == {"done": "let-go", "n": "1"}
    stages = {row.order_id: row.stage for row in store.read_now(lambda tx: tx.all(_STAGES))}
    assert stages["o2"] == "held", "a carrier is still missing"
    assert stages["o1"] != "held"
    assert web.acts() == [("maria", "setting.set", "taxes")]


def test_a_spelling_moves_a_number_and_back(store: Store) -> None:
    play(store, stocked)
    web = Web(store, "operator")
    html = look(web, "skus", storefront="TABLE", master=CHAIR)
    assert "ARMCHAIR is known" in html
    assert '<td class="n">6</td><td class="n">10' in html
    assert "no product is called NOBODY" in look(web, "skus", storefront="TABLE", master="NOBODY")
    assert shown(store, web)["TABLE"] == 6, "looking changes nothing"
    assert say(web, "skus", storefront="TABLE", master=CHAIR) == "set"
    assert shown(store, web)["TABLE"] == 10
    assert say(web, "skus", storefront="TABLE", master=CHAIR) == "same"
    assert web.done("/settings/undo", {"change": "1"}) == {"done": "undone"}
    assert shown(store, web)["TABLE"] == 6
    assert [a[1:] for a in web.acts()] == [("setting.set", "sku:TABLE"), ("setting.undo", "sku:TABLE")]


def test_thresholds_say_what_they_would_change(store: Store) -> None:
    play(store, stocked)
    book(store, ("i1", "N-1", "waiting", 90))
    web = Web(store)
    assert "0 now, 1 then" in look(web, "orders", held_age_limit_hours="1")
    store.write_now(lambda tx: tx.run(_AGED))
    assert "too old: nothing it counts rises then" in look(web, "cin7_core", max_age_minutes="6")
    assert "none changes" in look(web, "channels", key="web-eu", low_mark="9")
    open_(store, "oversold", "sku:A")
    assert "ops now, Ada then" in look(web, "owners", kind="oversold", owner="Ada")
    for section, fields in (
        ("orders", {"held_age_limit_hours": "1"}), ("cin7_core", {"max_age_minutes": "12.5"}),
        ("channels", {"key": "web-eu", "low_mark": "9"}), ("owners", {"kind": "oversold", "owner": "Ada"}),
        ("customers", {"currency": "EUR", "store": "b2b", "customer": "Trade EUR"}),
        ("carriers", {"shipping method": "Pigeon", "carrier": "Bird"}),
        ("reasons", {"storefront": "DMG", "back_office": "", "code": "damaged"}),
        ("statuses", {"event": "ready", "store": "", "country": "DE", "shipment_state": "keep", "order_state": ""}),
    ):  # fmt: skip
        assert say(web, section, **fields) == "set", section
    counts = now_of(web)
    assert (counts.orders.held_age_limit_hours, counts.cin7_core.max_age_minutes) == (1, 12.5)
    assert [c.low_mark for c in counts.channels] == [9, 3]
    assert Owners.from_settings(counts.owners).of("oversold") == "Ada"
    assert Owners.from_settings(counts.owners).of("write_refused") == "ops"
    assert [c.customer for c in counts.customers] == ["Web EUR", "Trade EUR"]
    assert [(r.storefront, r.code) for r in counts.reasons] == [("DMG", "damaged")]
    assert [(s.event, s.country, s.shipment_state) for s in counts.statuses] == [("ready", "DE", "keep")]
    assert counts.carriers == {"Parcel": "DHL", "Pigeon": "Bird"}
    html = web.get("/settings")
    assert html.count("console: maria") >= 6
    assert "the file says 48" in html
    assert WHY in html


def shown(store: Store, web: Web) -> dict[str, int]:
    layout = layout_of(now_of(web))
    found = store.read_now(numbers.compute, [CHAIR, "TABLE"], layout, datetime.now(UTC))
    return {n.sku: n.explanation.target for n in found if n.channel == "web-uk"}


# --- Who may, and what is refused ------------------------------------------------------------------------------------


def test_one_sku_is_an_operators_and_the_rest_an_approvers(store: Store) -> None:
    operator = Web(store, "operator")
    assert "role approver" in look(operator, "owners", 422, kind="*", owner="Ada")
    assert say(operator, "owners", kind="*", owner="Ada") == "refused"
    assert say(Web(store, "approver"), "owners", kind="*", owner="Ada") == "set"
    assert operator.done("/settings/undo", {"change": "1"}) == {"done": "refused"}
    assert say(operator, "skus", storefront="A", master="B") == "set"
    assert Web(store, "viewer").ask("GET", "/settings/skus?storefront=A&master=B").status_code == 403


@pytest.mark.parametrize(
    ("section", "fields", "why"),
    [
        ("pools", {"name": "eu"}, "stays in the settings file"), ("nothing", {}, "stays in the settings file"),
        ("skus", {"storefront": "", "master": "B"}, "Storefront is missing"),
        ("skus", {"storefront": "A", "master": "A"}, "spelled the same"),
        ("skus", {"storefront": "A", "master": "a\x00"}, "printable"),
        ("taxes", {"rate": "19", "rule": "DE"}, "is no rate"), ("taxes", {"rate": "0.190", "rule": "DE"}, "already"),
        ("owners", {"kind": "nonsense", "owner": "Ada"}, "kind of case"),
        ("owners", {"kind": "oversold", "email": "a@b.example"}, "Owner is missing"),
        ("statuses", {"event": "lost", "shipment_state": "keep"}, "Event is one of"),
        ("statuses", {"event": "ready", "shipment_state": "Gone"}, "shipment"),
        ("reasons", {"storefront": "", "back_office": "", "code": "x"}, "said by no system"),
        ("channels", {"key": "nowhere", "low_mark": "3"}, "no such row"),
        ("channels", {"key": "web-eu", "low_mark": "-1"}, "whole number"),
        ("orders", {"held_age_limit_hours": "0"}, "would never happen"),
        ("cin7_core", {"max_age_minutes": "nan"}, "number"), ("cin7_core", {"max_age_minutes": "inf"}, "number"),
        ("cin7_core", {"max_age_minutes": "soon"}, "number"), ("rates", {"currency": "USD", "rate": "x"}, "exchange"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_reason(
    store: Store, section: str, fields: dict[str, str], why: str
) -> None:
    web = Web(store)
    assert why in look(web, section, 422, **fields)
    assert say(web, section, **fields) == "refused"
    assert store.read_now(said_store.values) == []


def test_it_is_not_said_without_saying_why(store: Store) -> None:
    web, fields = Web(store), {"kind": "*", "owner": "Ada"}
    assert web.done("/settings/owners", fields) == {"done": "why"}
    assert web.done("/settings/owners", {**fields, "why": "x" * 201}) == {"done": "why"}
    assert store.read_now(said_store.values) == []


# --- Beside the file -------------------------------------------------------------------------------------------------


def test_what_fits_a_new_file_no_more_is_left_out_and_told(store: Store) -> None:
    assert say(Web(store), "skus", storefront="A", master="B") == "set"
    assert say(Web(store), "channels", key="web-uk", low_mark="7") == "set"
    web = Web(store, "approver", skus=[{"storefront": "B", "master": "C"}], channels=[{"key": "web-eu", "pool": "eu"}])
    settings, left_out = store.read_now(said.together_now, web.settings)
    assert left_out == [("channels", "web-uk"), ("skus", "A")]
    assert settings == web.settings
    html = web.get("/settings")
    assert html.count("does not fit the file any more") == 2
    assert "0 numbers now, 0 then" in look(web, "channels", key="web-uk"), "it can be taken back"
    assert web.done("/settings/undo", {"change": "1"}) == {"done": "undone"}


def test_taking_it_back_says_what_the_file_says(store: Store) -> None:
    web = Web(store)
    assert say(web, "orders", held_age_limit_hours="5") == "set"
    assert "back to what the file says" in look(web, "orders")
    assert say(web, "orders", held_age_limit_hours="") == "set"
    assert now_of(web) == web.settings


def test_a_running_service_follows_and_so_does_the_next(store: Store) -> None:
    web = Web(store)

    async def life() -> None:
        service = assemble(web.settings, store, Clock(), owner="test")
        await store.write(
            said.put, web.settings, Clock(), ("owners", "oversold"), {"owner": "Ada", "email": ""}, "x", ""
        )
        await store.write(said.put, web.settings, Clock(), ("channels", "web-eu"), {"low_mark": 8}, "x", "")
        await service.follow_said()
        assert service.desk.owners.of("oversold") == "Ada"
        assert service.context.settings.channels[0].low_mark == 8
        assert service.syncer._layout.channels["web-eu"].low_mark == 8
        await store.write(said.undo, web.settings, Clock(), 1, "x")
        await service.follow_said()
        assert service.desk.owners.of("oversold") == "ops"
        await service.outside.client.aclose()

    asyncio.run(life())


def test_owners_stay_when_nobody_would_own_a_kind() -> None:
    owners = Owners.from_settings([Owner(kind="*", owner="ops")])
    with pytest.raises(OwnerMissing):
        owners.become([])
    assert owners.of("oversold") == "ops"


def test_every_section_is_said_here_or_says_why_not() -> None:
    for field in msgspec.structs.fields(Settings):
        assert field.name in KINDS or field.name in FIXED or field.name == "buffers", field.name
    (event,) = (f.type for f in msgspec.structs.fields(StatusMap) if f.name == "event")
    assert get_args(bare(event)) == EVENTS


def test_merging_is_the_files_order_and_leaves_the_file_alone(store: Store) -> None:
    file = Web(store).settings
    settings, left_out = merged(
        file, [(("carriers", "Parcel"), {"carrier": "UPS"}), (("channels", "x"), {"low_mark": 1})]
    )
    assert (settings.carriers, file.carriers) == ({"Parcel": "UPS"}, {"Parcel": "DHL"})
    assert left_out == [("channels", "x")]
    assert all(kind.says(field) for kind in KINDS.values() for field in kind.fields)


def test_buffers_of_before_move_with_their_history(migrated_url: str, tmp_path: Path) -> None:
    for migration in load(FOLDER):
        if migration.name != "said":
            (tmp_path / f"{migration.number:04}_{migration.name}.sql").write_text(migration.text)
    (last,) = (migration for migration in load(FOLDER) if migration.name == "said")
    for file in tmp_path.glob("*.sql"):
        if int(file.name[:4]) > last.number:
            file.unlink()
    with fresh_database(migrated_url, "_said") as url, psycopg.connect(url, autocommit=True) as connection:
        migrate(url, tmp_path)
        connection.execute(
            "INSERT INTO buffer_set VALUES ('A', '', '*', 4, 'maria', now()), ('', 'Berlin', '', 0, 'ada', now());"
            "INSERT INTO buffer_change (at, actor, sku, location, channel, before, after, undoes) VALUES"
            " (now(), 'maria', 'A', '', '*', NULL, 4, NULL), (now(), 'ada', '', 'Berlin', '', NULL, 2, NULL),"
            " (now(), 'ada', '', 'Berlin', '', 2, 0, NULL), (now(), 'ada', 'B', '', '*', NULL, 1, NULL),"
            " (now(), 'ada', 'B', '', '*', 1, NULL, 4)"
        )
        migrate(url)
        other = Store(url, Clock())
        try:
            rows = [(v.key[1:], v.value, v.actor) for v in other.read_now(said_store.values)]
            assert rows == [(("", "Berlin", ""), {"units": 0}, "ada"), (("A", "", "*"), {"units": 4}, "maria")]
            history = other.read_now(said_store.changes, 10)
            assert [(c.id, c.after, c.undoes, c.may_be_undone) for c in history] == [
                (5, None, 4, True), (4, {"units": 1}, None, False), (3, {"units": 0}, None, True),
                (2, {"units": 2}, None, False), (1, {"units": 4}, None, True),
            ]  # fmt: skip
            key = ("buffers", "A", "", "*")
            assert other.write_now(said_store.undo, 1, "maria", datetime.now(UTC)).key == key
            assert other.read_now(said_store.changes, 1)[0].id == 6
        finally:
            other.close()
