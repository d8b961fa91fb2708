"""The door: two ways to sign in, scope, the dialects of a refusal, hostile documents, faults."""

import base64
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest
from orderflow_tenant import BASIC, Tenant, imports, order_text, run
from typer.testing import CliRunner

from sellable.cli import sandbox as commands
from sellable.sandbox.clock import Clock
from sellable.sandbox.orderflow import build
from sellable.sandbox.orderflow.app import OrderFlow
from sellable.sandbox.orderflow.pushes import KINDS
from sellable.sandbox.orderflow.switches import Switches

IMPORT = "remoteorder/imports/importitems.xml"
INVENTORY = "remotewarehouse/inventory.xml"


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_two_ways_to_sign_in() -> None:
    async def story(tenant: Tenant) -> None:
        async def status(headers: dict[str, str]) -> int:
            transport = httpx2.ASGITransport(tenant.sandbox.asgi)
            async with httpx2.AsyncClient(transport=transport, base_url="http://of.test") as stranger:
                url = f"/orderflow/test/{INVENTORY}?channel=HOME&site=LEEDS"
                answer = await stranger.get(url, headers=headers)
            if answer.status_code == 401:
                assert answer.headers["content-type"].startswith("text/html")
            return answer.status_code

        assert await status(BASIC) == 200
        assert await status({"user": "shop", "password": coded("open sesame")}) == 200
        assert await status({"user": "shop", "password": "open sesame"}) == 401
        assert await status({"user": "shop", "password": coded("wrong")}) == 401
        assert await status({"authorization": "Basic " + coded("shop:wrong")}) == 401
        assert await status({"authorization": "Basic %%%"}) == 401
        assert await status({"authorization": f"Bearer {coded('shop:open sesame')}"}) == 401
        assert await status({}) == 401

    run(story)


def test_scope_comes_by_header_or_query() -> None:
    async def story(tenant: Tenant) -> None:
        listed = {
            (row.get("externalReference"), row.get("organisation"))
            for row in await tenant.xml("GET", f"{INVENTORY}?channel=TOYS&site=LEEDS", channel=None, organisation=None)
        }
        assert listed == {("TEDDY", "PLAYFUL")}
        by_owner = await tenant.xml("GET", INVENTORY, channel=None, organisation="PLAYFUL", site="LEEDS")
        assert [row.get("externalReference") for row in by_owner] == ["TEDDY"]
        document = imports(("order", "insert", "CT-1", order_text({"TEDDY": 1})))
        root = await tenant.xml("POST", f"{IMPORT}?channel=TOYS", document, channel=None)
        assert len(root.findall("importSuccesses/import")) == 1

    run(story)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{INVENTORY}?site=LEEDS", "No organisation specified"),
        (f"{INVENTORY}?site=LEEDS&channel=MARS", "No sales channel with reference 'MARS'"),
        (f"{INVENTORY}?site=LEEDS&organisation=MARS", "No organisation with reference 'MARS'"),
        ("remoteorder/shipment/pending.xml", "No sales channel specified"),
    ],
)
def test_a_missing_or_wrong_scope_is_an_error_page_with_status_200(path: str, said: str) -> None:
    async def story(tenant: Tenant) -> None:
        answer = await tenant.call("GET", path, channel=None, organisation=None)
        assert answer.status_code == 200
        page = ElementTree.fromstring(answer.content)
        assert page.findtext("body/h2") == "ERROR"
        assert page.findtext("body/p") == said

    run(story)


def test_a_login_may_be_limited_to_channels() -> None:
    async def story(tenant: Tenant) -> None:
        tenant.http.headers["authorization"] = "Basic " + coded("toys-only:teddy")
        assert (await tenant.call("GET", INVENTORY, channel="TOYS", organisation=None, site="LEEDS")).status_code == 200
        assert (await tenant.call("GET", INVENTORY, channel="HOME", organisation=None, site="LEEDS")).status_code == 403
        assert (await tenant.call("GET", INVENTORY, channel=None, site="LEEDS")).status_code == 403

    run(story)


def test_wrong_paths_and_methods() -> None:
    async def story(tenant: Tenant) -> None:
        assert (await tenant.http.get("/web/remotewarehouse/inventory.xml")).status_code == 404
        missing = await tenant.call("GET", "remotewarehouse/stock.xml")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert (await tenant.call("GET", "remoteorder/order/cancel.xml", externalReference="CT-1")).status_code == 405
        assert (await tenant.call("POST", INVENTORY, b"")).status_code == 405

    run(story)


def test_an_unknown_order_speaks_the_dialect_of_the_tenant() -> None:
    async def story(tenant: Tenant) -> None:
        async def ask() -> tuple[int, ElementTree.Element]:
            answer = await tenant.call("GET", "remoteorder/order/detail.xml", externalReference="CT-9")
            return answer.status_code, ElementTree.fromstring(answer.content)

        status, root = await ask()
        assert (status, root.findtext("exception")) == (200, "No order found with external reference 'CT-9'")
        await tenant.act(switch={"dialects": {"*": "error"}})
        status, root = await ask()
        assert (status, root.tag, root.text) == (200, "error", "No order found with external reference 'CT-9'")
        await tenant.act(switch={"dialects": {"not_found": "status"}})
        status, root = await ask()
        assert (status, root.tag) == (404, "html")
        await tenant.act(switch={"dialects": {}})
        status, root = await ask()
        assert (status, root.findtext("body/h2")) == (200, "ERROR")

    run(story)


@pytest.mark.parametrize("query", [{}, {"from": "soon"}, {"from": "2025-11-21T04:40:00Z"}])
def test_a_window_without_a_good_date_is_refused(query: dict[str, str]) -> None:
    async def story(tenant: Tenant) -> None:
        answer = await tenant.call("GET", "remoteorder/shipment/despatches.xml", **query)
        assert "ERROR" in answer.text

    run(story)


def test_values_may_come_as_a_form() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        headers = {"channel": "HOME"}
        form = {"externalReference": "CT-1", "cancelChangesExternalReference": "false"}
        answer = await tenant.http.post("/orderflow/test/remoteorder/order/detail.xml", data=form, headers=headers)
        assert ElementTree.fromstring(answer.content).get("externalReference") == "CT-1"
        answer = await tenant.http.post("/orderflow/test/remoteorder/order/cancel.xml", data=form, headers=headers)
        assert "successfully cancelled" in answer.text

    run(story)


BOMB = b"""<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><imports><import>&b;</import></imports>"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (BOMB, "document type declaration"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><imports/>', "document type declaration"),
        (b"<imports><import>&undefined;</import></imports>", "could not be parsed"),
        (b"<imports><import></imports>", "could not be parsed"),
        (b'<?xml version="1.0" encoding="klingon"?><imports/>', "could not be parsed"),
        (b"\xff\xfe\x00", "could not be parsed"),
        (b"", "could not be parsed"),
        (b"<a>" * 50 + b"</a>" * 50, "too deep"),
        (b"<imports/>", "not an imports document"),
        (b"<orders><import/></orders>", "not an imports document"),
        (b"<imports>" + b"<import/>" * 11 + b"</imports>", "More than 10 imports"),
        (b"<imports>" + b" " * 20_000 + b"</imports>", "too large"),
    ],
)
def test_hostile_documents_are_refused_and_nothing_happens(body: bytes, said: str) -> None:
    async def story(tenant: Tenant) -> None:
        answer = await tenant.call("POST", IMPORT, body)
        assert answer.status_code == (413 if "More" in said or "large" in said else 400)
        assert said in answer.text
        assert (await tenant.truth())["orders"] == []

    run(story, items_max=10, body_bytes_max=20_000)


def test_the_fault_menu_knows_the_vendors_dialects() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.fault("error_page", body="Lock wait timeout")
        page = await tenant.call("POST", "remoteorder/order/cancel.xml", externalReference="CT-1")
        assert (page.status_code, "Lock wait timeout" in page.text) == (200, True)
        await tenant.fault("exception")
        assert (await tenant.xml("GET", INVENTORY, site="LEEDS")).find("exception") is not None
        await tenant.fault("error_root")
        assert (await tenant.xml("GET", INVENTORY, site="LEEDS")).tag == "error"
        await tenant.fault("no_operation", times=1)
        assert "No cancel operation performed" in await tenant.cancel("CT-1")
        assert "successfully cancelled" in await tenant.cancel("CT-1")
        await tenant.fault("status", status=503)
        down = await tenant.call("GET", INVENTORY, site="LEEDS")
        assert (down.status_code, down.headers["content-type"]) == (503, "text/html; charset=utf-8")
        await tenant.fault("lost_item")
        rows = await tenant.send(("order", "insert", "CT-2", order_text({"CHAIR": 1})))
        assert rows == {"importSuccesses": [], "importFailures": [], "importDuplicates": []}
        assert (await tenant.truth())["orders"][-1]["reference"] == "CT-2"

    run(story)


def test_an_import_may_break_off_in_the_middle() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.fault("half_import", times=1)
        items = [("order", "insert", f"CT-{n}", order_text({"CHAIR": 1})) for n in (1, 2, 3)]
        answer = await tenant.call("POST", IMPORT, imports(*items))
        assert ElementTree.fromstring(answer.content).findtext("body/h2") == "ERROR"
        rows = await tenant.send(*items)
        assert [row["externalReference"] for row in rows["importDuplicates"]] == ["CT-1", "CT-2"]
        assert [row["externalReference"] for row in rows["importSuccesses"]] == ["CT-3"]

    run(story)


@pytest.mark.parametrize(
    ("effect", "counted"),
    [("missing_row", 1), ("duplicate_row", 3), ("sku_case", 2), ("fractional_quantity", 2), ("huge_number", 2)],
)
def test_the_fault_menu_spoils_rows(effect: str, counted: int) -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.fault(effect)
        rows = await tenant.xml("GET", INVENTORY, site="LEEDS")
        assert len(rows) == counted
        odd = [row for row in rows if not row.get("available", "").isdigit() or len(row.get("available", "")) > 20]
        assert len(odd) == (1 if effect in ("fractional_quantity", "huge_number") else 0)
        assert any(str(row.get("externalReference")).islower() for row in rows) == (effect == "sku_case")

    run(story)


@pytest.mark.parametrize(("effect", "counted"), [("duplicate_row", 2), ("missing_row", 0), ("unknown_state", 1)])
def test_the_fault_menu_spoils_despatches(effect: str, counted: int) -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.order("CT-1", {"CHAIR": 1})
        await tenant.act(advance={"order": "CT-1", "to": "despatched"})
        await tenant.fault(effect)
        rows = await tenant.despatched()
        assert len(rows) == counted
        assert [row.findtext("state") == "awaiting_moonrise" for row in rows] == [effect == "unknown_state"] * counted

    run(story)


def test_statistics_know_routes_and_logins() -> None:
    async def story(tenant: Tenant) -> None:
        await tenant.call("GET", INVENTORY, site="LEEDS")
        await tenant.call("GET", "nowhere.xml")
        found = (await tenant.http.get("/_sandbox/stats")).json()
        assert found["routes"] == {"GET /remotewarehouse/inventory.xml": 1, "GET other": 1}
        assert found["peaks"] == {"shop": 2}

    run(story)


def test_a_seed_or_a_deed_that_makes_no_sense_is_refused() -> None:
    async def story(tenant: Tenant) -> None:
        for seed in (
            {"stock": [{"sku": "UNICORN", "quantity": 1}]},
            {"stock": [{"sku": "CHAIR", "quantity": -1}]},
            {"channels": [{"reference": "X", "organisation": "Y", "site": "MARS"}]},
            {"switches": {"zone": "Mars/Olympus"}},
            {"switches": {"shipment_states": {"flying": "x"}}},
            {"receivers": {"carrier-pigeon": "http://receiver.test"}},
        ):
            assert (await tenant.http.post("/_sandbox/load", json=seed)).status_code == 400, seed
        assert "known actions" in await tenant.refused_act(juggle={})
        assert "unknown product" in await tenant.refused_act(adjust={"sku": "UNICORN", "delta": 1})
        assert "whole number" in await tenant.refused_act(adjust={"sku": "CHAIR", "delta": 0.5})
        assert "0 orders" in await tenant.refused_act(advance={"order": "CT-9"})

    run(story)


def test_the_page_of_the_simulators_names_every_deed_fault_and_message() -> None:
    page = (Path(__file__).parents[2] / "docs/internals/simulators.md").read_text("utf-8")

    async def story(tenant: Tenant) -> None:
        words = (await tenant.refused_act(juggle={})).partition(": ")[2].partition(": ")[2].split(", ")
        assert [word for word in words if f"| `{word}` |" not in page] == []

    run(story)
    effects = re.findall(r"\b[a-z]+_[a-z]+\b", (OrderFlow.__doc__ or "").replace("200", ""))
    assert [name for name in (*KINDS, *effects) if f"`{name}`" not in page] == []
    assert [name for name in Switches.__struct_fields__ if name not in (Switches.__doc__ or "")] == []


def test_the_command_serves_a_shop_whose_login_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(vendor: str, seed: int, load: dict[str, Any], ready: Callable[[str], None], **where: Any) -> None:
        build(Clock(), seed).load(load)
        assert (vendor, seed, where, len(load["products"])) == ("orderflow", 7, {"host": "127.0.0.1", "port": 8091}, 60)
        ready("http://127.0.0.1:8091")
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "serve_one", serve)
    done = CliRunner().invoke(commands.app, ["orderflow", "--seed", "7", "--skus", "20", "--port", "8091"])
    assert done.exit_code == 0
    assert "http://127.0.0.1:8091" in done.output
    assert "user sellable, password demo-secret" in done.output
    refused = CliRunner().invoke(commands.app, ["orderflow", "--load", "nowhere.json"])
    assert refused.exit_code == 1


@pytest.mark.parametrize("seed", range(2))
def test_no_bytes_break_the_door(seed: int) -> None:
    dice = random.Random(seed)
    kinds = {
        IMPORT: imports(("order", "insert", "CT-1", order_text({"CHAIR": 1}, "placed=2026-03-02 09:15:00"))),
        "remotewarehouse/imports/importitems.xml": imports(
            ("product", "merge", "STOOL", "type=default\nactivated=true"),
            ("return", "insert", "R-1", "return.authorisation=A\nreturnLine.1.product=CHAIR\nreturnLine.1.quantity=1"),
            ("stockMoveTask", "insert", "T-1", "stockMoveLine.1.product=CHAIR\nstockMoveLine.1.quantity=-1"),
        ),
    }

    def spoil(body: bytes) -> bytes:
        for _ in range(dice.randint(1, 4)):
            at, to = sorted(dice.randrange(len(body) + 1) for _ in range(2))
            piece = dice.choice(
                [b"", bytes([dice.randrange(256)]), body[at:to], b"\n", b"&#0;", b"99999999999", b"]]>"]
            )
            body = body[:at] + piece + body[dice.choice([at, min(at + 1, to), to]) :]
        return body

    async def story(tenant: Tenant) -> None:
        for path in [*kinds] * 100:
            answer = await tenant.call("POST", path, spoil(kinds[path]))
            assert answer.status_code in (200, 400, 413), answer.text

    run(story)
