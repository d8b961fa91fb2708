"""Orders, exceptions and settings in the console: real rows, every filter and act, and who is refused."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from tests.suites.console_web import ODD, PARTS, Web, book, called, open_, park, stocked
from tests.suites.orders_life import CHAIR, SET, TABLE, Life, play, query, shipment

from sellable.app.layout import layout_of
from sellable.app.service import notice_layout
from sellable.desk import cases
from sellable.runtime import audit, said
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.stock import numbers
from sellable.stock.buffers import Which
from sellable.web.console import exceptions, orders
from sellable.web.console.pages import PAGES

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_STRAY = query("INSERT INTO stray VALUES (%(sale)s, %(order)s, 1, app_now(), false)")
_DESIRED = query("SELECT sku FROM dirty ORDER BY sku")
_UNDIRTY = query("DELETE FROM dirty")


def listed(html: str) -> list[str]:
    """The orders of a list, in its order."""
    return re.findall(r'<td><a href="/orders/([^"]+)"', html)


# --- Orders ----------------------------------------------------------------------------------------------------------


def test_before_the_first_order_the_list_says_so(store: Store) -> None:
    html = Web(store).get("/orders")
    assert "No order has arrived yet" in html
    assert "appear here as soon as" in html


def test_a_healthy_book_says_so_and_an_empty_shelf_too(store: Store) -> None:
    book(store, ("o1", "1001", "shipped", 9))
    web = Web(store)
    assert "Every order is at the back office or done" in web.get("/orders")
    assert "No order is held." in web.get("/orders?show=held")
    assert "No stray sale" in web.get("/orders?show=orphaned")
    assert "No order became more than one sale" in web.get("/orders?show=split")


def test_orders_by_what_they_wait_for(store: Store) -> None:
    rows = [
        ("o1", "1001", "held", 10), ("o2", "1002", "held", 190), ("o3", "1003", "waiting", 5),
        ("o4", "1004", "shipped", 4), ("o5", "1005", "cancelling", 3), ("o6", "1006", "cancelled", 2),
        ("o7", "1007", "exporting", 1),
    ]  # fmt: skip
    book(store, *rows, cause="totals_differ")
    web = Web(store)
    html = web.get("/orders")
    assert listed(html) == ["o7", "o6", "o5", "o4", "o3", "o1", "o2"]
    assert "2 held (the oldest for 3 h), 1 waiting" in html
    assert "Totals differ" in html
    assert "119.00 EUR" in html
    assert listed(web.get("/orders?show=held")) == ["o2", "o1"], "who waits longest is first"
    assert listed(web.get("/orders?show=waiting")) == ["o3"]
    assert listed(web.get("/orders?show=cancelled")) == ["o6", "o5"]
    assert listed(web.get("/orders?show=nonsense")) == listed(html)


def test_split_and_orphaned(store: Store) -> None:
    book(store, ("o1", "1001", "exported", 9), ("o2", "1002", "exported", 8))
    store.write_now(lambda tx: tx.run(PARTS, ids=["o1", "o1", "o2"], parts=[1, 2, 1], sales=["SO-1", "SO-2", "SO-3"]))
    store.write_now(lambda tx: tx.run(_STRAY, sale="sale-9", order="o2"))
    web = Web(store)
    assert listed(web.get("/orders?show=split")) == ["o1"]
    assert listed(web.get("/orders?show=split&q=SO-3")) == []
    orphans = web.get("/orders?show=orphaned")
    assert "sale-9" in orphans
    assert "1 stray sale" in orphans
    assert "sale-9" in web.get("/orders?show=orphaned&q=1002")
    assert "sale-9" not in web.get("/orders?show=orphaned&q=1001")


def test_orders_are_found_by_id_number_and_sale(store: Store) -> None:
    book(store, ("o-id", "W-1001", "exported", 9), ("o2", "W-1002", "held", 8), ("o3", "X%", "held", 7))
    store.write_now(lambda tx: tx.run(PARTS, ids=["o2"], parts=[1], sales=["SO-77"]))
    web = Web(store)
    assert listed(web.get("/orders?q=o-id")) == ["o-id"]
    assert listed(web.get("/orders?q=W-10")) == ["o2", "o-id"]
    assert listed(web.get("/orders?q=W-10&show=held")) == ["o2"]
    assert listed(web.get("/orders?q=SO-77")) == ["o2"]
    assert listed(web.get("/orders?q=%25")) == [], "a wildcard is a letter like any other"
    assert "No order of this kind" in web.get("/orders?q=nothing")


@pytest.mark.parametrize("text", ["%00", "%00%00x", "a" * 5000, "'; DROP TABLE orders; --", "%F0%9F%92%A9"])
def test_hostile_searches_find_nothing(store: Store, text: str) -> None:
    book(store, ("o1", "1001", "held", 1))
    assert Web(store).ask("GET", f"/orders?q={text}&show=held").status_code == 200


def test_pages_follow_each_other_without_gap_or_double(store: Store) -> None:
    book(store, *[(f"o{n:03}", f"{n:03}", "held", 500 - n // 3) for n in range(130)])
    web = Web(store)
    for first in ("/orders", "/orders?show=held", "/orders?q=0"):
        seen: list[str] = []
        path: str | None = first
        while path:
            html = web.get(path)
            seen += listed(html)
            found = re.search(r'<a href="([^"]+)" rel="next"', html)
            path = found[1].replace("&amp;", "&") if found else None
        assert len(seen) == len(set(seen)) == (100 if "q=" in first else 130), first


@pytest.mark.parametrize("after", ["x", "~", "2026-01-01~o1", "2026-13-01T00:00:00+00:00~o", "~~~"])
def test_a_place_that_is_none_is_the_beginning(store: Store, after: str) -> None:
    book(store, ("o1", "1001", "held", 1))
    assert listed(Web(store).get(f"/orders?after={after}")) == ["o1"]
    assert orders.mark_of(after) is None


def test_the_whole_story_of_one_order(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=5, TABLE=5)
        await life.take(life.order((CHAIR, 2), (TABLE, 1)))
        await life.steps()
        sale = next(iter(life.office.sales.values()))
        sale["shipments"] = [shipment("ship-1", {CHAIR: 2})]
        await life.read_sale(next(iter(life.office.sales)))
        await life.steps()

        await asyncio.to_thread(called, store, "o1", 503, 200)
        html = (await Web(store).asked("GET", "/orders/o1")).text
        for words in (
            "Order N-o1 has been", "ARMCHAIR", "3.57 EUR", "agrees", "T-p1", "DHL", "Create the draft of the sale",
            "Captured", "Totals agree", "Parcel handed over", "POST sale", "503", "250 ms", "request id", "attempts",
        ):  # fmt: skip
            assert words in html, words
        assert "ada@example.com" not in html
        assert html.index("Placed") < html.index("Captured") < html.index("Parcel handed over")
        for side in ("commercetools", "us", "back office", "carrier"):
            assert f'<span class="side">{side}</span>' in html
        row = re.search(r"ARMCHAIR</a>.*?</tr>", html, re.DOTALL)
        assert row
        assert re.findall(r'<td class="n">(\d+)</td>', row[0]) == ["2", "0", "2", "0", "0"]
        by_number = await Web(store).asked("GET", "/orders/N-o1")
        assert "Order N-o1 has been" in by_number.text

    play(store, story)


def test_totals_that_differ_are_told_to_the_cent(store: Store) -> None:
    async def story(life: Life) -> None:
        life.office.surcharge = 1
        await life.begin(ARMCHAIR=5)
        await life.take(life.order((CHAIR, 2)))
        await life.steps()
        html = (await Web(store).asked("GET", "/orders/o1")).text
        assert "2.38 EUR" in html
        assert "2.39 EUR" in html
        assert "0.01 EUR" in html
        assert "/exceptions/C-000001" in html
        assert "has been held for" in html

    play(store, story)


def test_calls_stand_under_the_duty_they_were_made_for(store: Store) -> None:
    del store
    op = {
        "id": "op_1", "system": "cin7_core", "kind": "sale.create", "state": "done", "sends": 2, "attempts": 1,
        "cause": None, "created_at": "2026-03-01T12:00:00+00:00", "settled_at": "2026-03-01T12:00:09+00:00",
        "due_at": "2026-03-01T12:00:00+00:00",
    }  # fmt: skip
    later = op | {"id": "op_2", "kind": "sale.lines", "created_at": "2026-03-01T12:00:09+00:00", "settled_at": None}
    call = {
        "at": "2026-03-01T12:00:05+00:00", "correlation": "o1", "system": "cin7_core", "operation": "POST sale",
        "path": "sale", "status": 200, "error": None, "seconds": 0.1, "request": None, "answer": None,
    }  # fmt: skip
    made = [call, call | {"at": "2026-03-01T12:00:20+00:00"}, call | {"system": "commercetools"}]
    order = {
        "placed_at": op["created_at"], "total": 1, "digits": 2, "currency": "EUR", "story": [], "shipments": [],
        "cases": [], "operations": [op, later], "calls": made,
    }  # fmt: skip
    found = {(s.title, s.side): len(s.calls) for s in orders.timeline(order)}
    assert found == {
        ("Placed", "commercetools"): 0,
        ("Create the draft of the sale", "back office"): 1,
        ("Put the lines and compare totals", "back office"): 1,
        ("POST sale sale", "commercetools"): 1,
    }


def test_values_of_a_story_are_said_in_words() -> None:
    euros = {"digits": 2, "currency": "EUR"}
    for name, value, words in (
        ("gross", 119, "1.19 EUR"), ("lines", [["ARMCHAIR", 2, 0]], "ARMCHAIR 2 0"),
        ("parts", [[1, "Berlin"]], "1 Berlin"),
        ("parcels", ["T-1", "T-2"], "T-1, T-2"), ("found", False, ""), ("found", True, "yes"), ("units", 0, "0"),
        ("totals", [{"net": 100, "by_rule": {"DE 19%": 19}}], "net 1.00 EUR, by rule DE 19% 0.19 EUR"),
        (
            "differences", [["net", 100, 101], ["gross", 119, 120]],
            "net 1.00 EUR against 1.01 EUR, gross 1.19 EUR against 1.20 EUR",
        ),
    ):  # fmt: skip
        assert orders._said(name, value, euros) == words, name


def test_an_order_nobody_knows_and_two_of_one_number(store: Store) -> None:
    book(store, ("o1", "same", "held", 2), ("o2", "same", "held", 1))
    web = Web(store)
    assert "No order is called" in web.get("/orders/nobody", 404)
    assert "No order is called" in web.get("/orders/%00", 404)
    assert "2 orders have the number same" in web.get("/orders/same", 300)


def test_markup_in_an_order_is_harmless(store: Store) -> None:
    book(store, ("o1", ODD, "held", 2), cause=ODD)
    for path in ("/orders", "/orders/o1", f"/orders?{urlencode({'q': ODD, 'show': ODD})}"):
        html = Web(store).get(path)
        assert "<script>alert" not in html
    assert "&lt;script&gt;" in html


def test_a_tracking_address_that_is_no_address_is_no_link() -> None:
    assert orders._parcel({"tracking_url": "javascript:alert(1)"})["url"] == ""
    assert orders._parcel({"tracking_url": "https://dhl.example/1"})["url"] == "https://dhl.example/1"


# --- Exceptions ------------------------------------------------------------------------------------------------------


def case_of(store: Store, ref: str) -> cases.Case:
    case = store.read_now(cases.find, ref)
    assert case is not None
    return case


def listed_cases(html: str) -> list[str]:
    return re.findall(r'<td><a href="/exceptions/(C-\d+)"', html)


def test_no_exceptions_says_since_when(store: Store) -> None:
    web = Web(store)
    assert "No exceptions: there never was one" in web.get("/exceptions")
    ref = open_(store, "drift", "sku:A")
    store.write_now(cases.resolve, ref, "maria", "counted", datetime.now(UTC) - timedelta(hours=3))
    assert "No exceptions: the last one was resolved 3 h ago" in web.get("/exceptions")


def test_exceptions_are_ranked_by_harm_and_filtered(store: Store) -> None:
    waits = open_(store, "order_waiting_too_long", "order:1", ago=timedelta(hours=30))
    drift = open_(store, "drift", "sku:A", ago=timedelta(hours=1))
    older = open_(store, "drift", "sku:B", ago=timedelta(hours=2))
    oversold = open_(store, "oversold", "sku:C")
    store.write_now(cases.assign, drift, "Ann & Co", "maria", datetime.now(UTC))
    store.write_now(cases.acknowledge, older, "maria", datetime.now(UTC))
    web = Web(store)
    html = web.get("/exceptions")
    assert listed_cases(html) == [oversold, older, drift, waits]
    assert "4 things wait for a person, 1 of them at once, 1 past the deadline" in html
    assert "overdue" in html
    assert listed_cases(web.get("/exceptions?kind=drift")) == [older, drift]
    assert listed_cases(web.get("/exceptions?owner=Ann+%26+Co")) == [drift]
    assert listed_cases(web.get("/exceptions?state=acknowledged")) == [older]
    assert listed_cases(web.get("/exceptions?state=open&kind=drift")) == [drift]
    assert listed_cases(web.get("/exceptions?owner=nobody")) == []
    assert listed_cases(web.get("/exceptions?kind=nonsense&state=nonsense&page=x")) == listed_cases(html)
    store.write_now(cases.resolve, oversold, "maria", "sent another", datetime.now(UTC))
    assert listed_cases(web.get("/exceptions?state=resolved")) == [oversold]
    assert "Nothing of this kind" in web.get("/exceptions?kind=oversold")


def test_more_exceptions_than_a_page_are_paged(store: Store) -> None:
    for n in range(exceptions.ROWS + 3):
        open_(store, "drift", f"sku:{n}")
    web = Web(store)
    assert len(listed_cases(web.get("/exceptions"))) == exceptions.ROWS
    assert "page=1" in web.get("/exceptions")
    assert len(listed_cases(web.get("/exceptions?page=1"))) == 3


def test_one_case_shows_both_sides_its_evidence_and_its_run_book(store: Store) -> None:
    ref = open_(
        store, "totals_differ", "order:o1", expected={"gross": 1190}, actual={"gross": 1191, "line": ODD},
        evidence=["order:o1", "operation:op_1"],
    )  # fmt: skip
    open_(store, "order_refused", "order:o1")
    html = Web(store).get(f"/exceptions/{ref}")
    for words in ("Totals differ", "1190", "1191", 'href="/orders/o1"', "operation:op_1", "correct tax or price",
                  "Other cases about it", "opened", "deadline", "I have it"):  # fmt: skip
        assert words in html, words
    assert "<script>alert" not in html
    assert Web(store).ask("GET", "/exceptions/C-999999").status_code == 404
    assert Web(store).ask("GET", "/exceptions/%00").status_code == 404


def test_acts_on_a_case_are_done_once_and_on_the_record(store: Store) -> None:
    ref = open_(store, "drift", "sku:A")
    web = Web(store, "operator")
    path = f"/exceptions/{ref}"
    assert web.done(path, {"act": "acknowledge"}) == {"done": "acknowledged"}
    assert web.done(path, {"act": "acknowledge"}) == {"done": "already"}
    assert web.done(path, {"act": "assign", "owner": "Ann"}) == {"done": "assigned", "n": "1"}
    assert web.done(path, {"act": "assign", "owner": "  "}) == {"done": "owner"}
    assert web.done(path, {"act": "comment", "text": ODD}) == {"done": "commented"}
    assert web.done(path, {"act": "comment", "text": ""}) == {"done": "words"}
    assert web.done(path, {"act": "replay"}) == {"done": "nothing"}
    assert web.done(path, {"act": "resolve", "why": ""}) == {"done": "words"}
    assert web.done(path, {"act": "resolve", "why": "counted"}) == {"done": "resolved"}
    assert web.done(path, {"act": "resolve", "why": "counted"}) == {"done": "already"}
    assert web.done(path, {"act": "nonsense"}) == {}
    case = case_of(store, ref)
    assert (case.state, case.owner, case.resolution, case.resolved_by) == ("resolved", "Ann", "counted", "maria")
    assert [a[1] for a in web.acts()] == [
        "case.acknowledge", "case.assign", "case.comment", "case.replay", "case.resolve"
    ]  # fmt: skip
    assert {a[0] for a in web.acts()} == {"maria"}
    assert store.read_now(audit.verify) == []
    html = web.get(path)
    assert "Resolved" in html
    assert "&lt;script&gt;" in html
    assert "Your comment is in the history" in web.get(f"{path}?done=commented")
    assert web.get(f"{path}?done={ODD}").count('role="status"') == 1, "only the connection's own line"


def test_what_is_parked_is_replayed_or_given_up_knowingly(store: Store) -> None:
    ref = park(store, "m1")
    web = Web(store, "operator")
    path = f"/exceptions/{ref}"
    assert "Try 1 again" in web.get(path)
    assert web.done(path, {"act": "resolve", "why": "enough"}) == {"done": "parked"}
    assert web.done(path, {"act": "replay"}) == {"done": "replayed", "n": "1"}
    assert web.done(path, {"act": "replay"}) == {"done": "nothing"}
    again = park(store, "m2")
    assert again == ref
    assert web.done(path, {"act": "resolve", "why": "enough", "give_up": "yes"}) == {"done": "resolved"}
    assert "given up: 1 parked" in (case_of(store, ref).resolution or "")


def test_many_are_looked_at_then_assigned_or_replayed_together(store: Store) -> None:
    one, two = open_(store, "drift", "sku:A"), park(store, "m1")
    web = Web(store, "approver")
    ask = f"/exceptions/many?ref={one}&ref={two}&ref=C-999999"
    asked = web.get(f"{ask}&act=assign&owner=Ann")
    assert "Assign 2 exceptions to Ann?" in asked
    assert "Try 1 thing behind 2 exceptions again?" in web.get(f"{ask}&act=replay")
    assert case_of(store, one).owner == "ops", "looking changes nothing"
    assert web.done("/exceptions/many", {"act": "assign", "owner": "Ann", "ref": [one, two, "C-9"]}) == {
        "done": "assigned", "n": "2"
    }  # fmt: skip
    assert {case_of(store, ref).owner for ref in (one, two)} == {"Ann"}
    assert web.done("/exceptions/many", {"act": "replay", "ref": [one, two]}) == {"done": "replayed", "n": "1"}
    assert web.done("/exceptions/many", {"act": "replay", "ref": [one, two]}) == {"done": "nothing"}
    assert "2 assigned." in web.get("/exceptions?done=assigned&n=2")


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"act": "assign", "owner": "Ann"}, "none"), ({"act": "assign", "ref": "C-1"}, "owner"),
     ({"act": "burn", "ref": "C-1"}, "none")],
)  # fmt: skip
def test_many_of_nothing_is_refused_both_times(store: Store, fields: dict[str, str], code: str) -> None:
    web = Web(store, "approver")
    answer = web.ask("GET", f"/exceptions/many?{urlencode(fields)}")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/exceptions?done={code}")
    assert web.done("/exceptions/many", fields) == {"done": code}


# --- Who may ---------------------------------------------------------------------------------------------------------


def test_who_may_not_is_refused_and_offered_nothing(store: Store) -> None:
    ref = open_(store, "drift", "sku:A")
    viewer, operator = Web(store, "viewer"), Web(store, "operator")
    for path in (f"/exceptions/{ref}", "/exceptions/many", "/settings/buffers", "/settings/undo"):
        assert viewer.post(path, {"act": "acknowledge"}).status_code == 403, path
    assert operator.post("/exceptions/many", {"act": "replay", "ref": ref}).status_code == 403
    assert operator.ask("GET", f"/exceptions/many?act=replay&ref={ref}").status_code == 403
    assert viewer.ask("GET", "/settings/buffers?sku=A&units=1").status_code == 403
    assert operator.post(f"/exceptions/{ref}", {"act": "acknowledge"}, token="other").status_code == 403
    assert case_of(store, ref).state == "open"
    for path in (f"/exceptions/{ref}", "/settings"):
        offered = viewer.get(path).partition("<main")[2].partition("</main>")[0]
        assert 'method="post"' not in offered, path
    assert "need the role operator" in viewer.get(f"/exceptions/{ref}")
    assert 'name="ref"' not in operator.get("/exceptions")


def test_every_page_names_a_role_and_reads_may_be_seen_by_viewers() -> None:
    for page in PAGES:
        if page.path.startswith(("/orders", "/exceptions", "/settings")):
            assert page.role in (("viewer",) if page.methods == ("GET",) and page.path in READ else HIGHER), page.path


READ = {"/orders", "/orders/{order_id}", "/exceptions", "/exceptions/{ref}", "/settings"}
HIGHER = ("operator", "approver")


# --- Settings --------------------------------------------------------------------------------------------------------


def test_settings_are_shown_with_their_sources_and_no_secret(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELLABLE_SERVICE__LOG_LEVEL", "info")
    html = Web(store, "viewer", service={"redaction_key": "very-secret-key", "case_days": 30}).get("/settings")
    for secret in ("s3cret", "key-orders", "key-reads", "very-secret-key"):
        assert secret not in html, secret
    for words in ("service.case_days", "environment", "(hidden)", "web-eu", "Days a resolved case is kept", "ops"):
        assert words in html, words
    row = re.search(r"service\.case_days.*?</tr>", html, re.DOTALL)
    assert row
    assert "<td>30</td><td>file</td>" in row[0]


def shown(store: Store, web: Web) -> dict[tuple[str, str], int]:
    """T of every entry, as another process would compute it."""
    layout = layout_of(web.settings)
    found = store.read_now(numbers.compute, [CHAIR, TABLE, SET], layout, datetime.now(UTC))
    return {(n.sku, n.channel): n.explanation.target for n in found}


def marked(store: Store) -> list[str]:
    """What is to be looked at anew, and forget it."""

    def look(tx: Tx) -> list[str]:
        found = [r.sku for r in tx.all(_DESIRED)]
        tx.run(_UNDIRTY)
        return sorted(set(found))

    return store.write_now(look)


@pytest.fixture
def shop(store: Store) -> Store:
    play(store, stocked)
    marked(store)
    return store


def test_a_buffer_is_looked_at_set_and_undone(shop: Store) -> None:
    web = Web(shop, "operator")
    before = shown(shop, web)
    assert before[(CHAIR, "web-eu")] == 10
    look = web.get(f"/settings/buffers?sku={CHAIR}&location=&channel=web-eu&units=4")
    assert "Hold 4 units back" in look
    assert "<strong>1 of 2 numbers</strong>" not in look, "a kit made of it is concerned, its channel buffer is not"
    assert '<td class="n">10</td><td class="n">6' in look
    assert (shown(shop, web), marked(shop)) == (before, []), "looking changes nothing"
    fields = {"sku": CHAIR, "location": "", "channel": "web-eu", "units": "4"}
    assert web.done("/settings/buffers", fields)["done"] == "set"
    assert web.done("/settings/buffers", fields) == {"done": "same"}
    assert shown(shop, web) == before | {(CHAIR, "web-eu"): 6}
    assert marked(shop) == [CHAIR, SET]
    html = web.get("/settings")
    assert "1 said here" in html
    assert "maria" in html
    assert web.done("/settings/undo", {"change": "1"}) == {"done": "undone"}
    assert shown(shop, web) == before
    assert marked(shop) == [CHAIR, SET]
    assert web.done("/settings/undo", {"change": "1"}) == {"done": "later"}
    assert web.done("/settings/undo", {"change": "2"}) == {"done": "undone"}, "an undo can be undone"
    assert shown(shop, web)[(CHAIR, "web-eu")] == 6
    assert web.done("/settings/undo", {"change": "99"}) == {"done": "gone"}
    assert web.done("/settings/undo", {"change": "x" * 50}) == {"done": "gone"}
    assert web.acts() == [
        ("maria", "buffer.set", f"sku:{CHAIR}"), ("maria", "buffer.undo", f"sku:{CHAIR}"),
        ("maria", "buffer.undo", f"sku:{CHAIR}"),
    ]  # fmt: skip


def test_a_buffer_set_here_takes_the_place_of_the_files(shop: Store) -> None:
    web = Web(shop, "approver", buffers=[{"units": 1}, {"units": 2, "sku": CHAIR}])
    assert shown(shop, web)[(CHAIR, "web-eu")] == 7
    assert web.done("/settings/buffers", {"sku": CHAIR, "location": "", "channel": "*", "units": "5"})["done"] == "set"
    assert shown(shop, web)[(CHAIR, "web-eu")] == 4, "1 of every SKU and 5 of this one"
    assert "the file says 2" in web.get("/settings")
    assert "back to what the file says" in web.get(f"/settings/buffers?sku={CHAIR}&channel=*&units=")
    assert web.done("/settings/buffers", {"sku": CHAIR, "location": "", "channel": "*", "units": ""})["done"] == "set"
    assert shown(shop, web)[(CHAIR, "web-eu")] == 7
    assert web.done("/settings/buffers", {"sku": "", "location": "", "channel": "*", "units": "3"})["done"] == "set"
    assert shown(shop, web)[(TABLE, "web-uk")] == 3
    berlin = {"sku": TABLE, "location": "Berlin", "channel": "*", "units": "6"}
    assert web.done("/settings/buffers", berlin) == {"done": "set"}
    assert shown(shop, web)[(TABLE, "web-uk")] == 0
    assert "sold out" in web.get("/settings/buffers?sku=&channel=*&units=10")


def test_a_buffer_of_every_sku_wants_an_approver(shop: Store) -> None:
    operator = Web(shop, "operator")
    assert "is for people with the role approver" in operator.get("/settings/buffers?sku=&channel=*&units=3", 422)
    every = {"sku": "", "location": "", "channel": "*", "units": "3"}
    assert operator.done("/settings/buffers", every) == {"done": "refused"}
    assert Web(shop, "approver").done("/settings/buffers", every)["done"] == "set"
    assert operator.done("/settings/undo", {"change": "1"}) == {"done": "refused"}
    for units in range(1, 30):
        fields = {"sku": TABLE, "location": "", "channel": "*", "units": str(units)}
        assert operator.done("/settings/buffers", fields)["done"] == "set"
    assert operator.done("/settings/undo", {"change": "1"}) == {"done": "refused"}, "also one that is long ago"
    assert shown(shop, operator)[(CHAIR, "web-eu")] == 7


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"units": "-1"}, "whole number"), ({"units": "1.5"}, "whole number"), ({"units": "9999999"}, "whole number"),
        ({"units": "²"}, "whole number"), ({"units": "1", "location": "Nowhere"}, "there is no location"),
        ({"units": "1", "channel": "nowhere"}, "there is no channel"),
        ({"units": "1", "sku": "x" * 300}, "at most 200"),
        ({"units": "1", "sku": "a\x00"}, "at most 200"),
    ],
)  # fmt: skip
def test_what_the_check_would_refuse_is_refused_with_its_reason(shop: Store, fields: dict[str, str], why: str) -> None:
    web = Web(shop, "approver")
    asked = {"sku": CHAIR, "location": "", "channel": "*", **fields}
    assert why in web.get(f"/settings/buffers?{urlencode(asked)}", 422)
    assert web.done("/settings/buffers", asked) == {"done": "refused"}
    assert shop.read_now(said.values) == []


def test_a_buffer_of_a_sku_nobody_sells_changes_nothing_yet(shop: Store) -> None:
    html = Web(shop).get(f"/settings/buffers?{urlencode({'sku': ODD, 'channel': '*', 'units': '3'})}")
    assert "no entry has this SKU" in html
    assert "<script>alert" not in html


def test_a_buffer_outlives_a_restart_and_other_settings(shop: Store) -> None:
    web = Web(shop, "operator")
    web.done("/settings/buffers", {"sku": CHAIR, "location": "", "channel": "web-uk", "units": "9"})
    layout = layout_of(Web(shop, buffers=[{"units": 1, "sku": CHAIR, "channel": "web-uk"}]).settings)
    assert shop.write_now(notice_layout, layout, datetime.now(UTC))
    other = Store(shop.url, Clock())
    try:
        found = other.read_now(numbers.compute, [CHAIR], layout, datetime.now(UTC))
        assert {n.channel: n.explanation.target for n in found} == {"web-eu": 10, "web-uk": 1}
    finally:
        other.close()


def test_two_who_change_one_buffer_wait_for_each_other(shop: Store) -> None:
    key = Which(sku=CHAIR, channel="web-eu").key()

    async def both() -> list[tuple[said.Fields | None, bool]]:
        stores = [Store(shop.url, Clock()) for _ in range(2)]
        try:
            return await asyncio.gather(
                *(s.write(said.put, key, {"units": n}, "maria", "", NOON) for n, s in enumerate(stores, 1))
            )  # fmt: skip
        finally:
            for each in stores:
                each.close()

    results = asyncio.run(both())
    assert sorted(before["units"] if before else 0 for before, _ in results) in ([0, 1], [0, 2])
    changes = shop.read_now(said.changes, 10)
    assert [(c.before, c.may_be_undone) for c in changes] == [(changes[1].after, True), (None, False)]
    with pytest.raises(said.NotTheLast):
        shop.write_now(said.undo, changes[1].id, "maria", NOON)
