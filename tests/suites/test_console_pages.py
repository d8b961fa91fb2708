"""The console's pages with real rows: every filter, the terms of a number, acts and their undoing, what follows."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from tests.suites.console_stage import MARKUP, OPERATION, ORDER, TRACKING, Stage, made
from tests.suites.test_explain import CHANNELS, KITS, PLAIN

from sellable.app import answers
from sellable.app.console import ALL_UNITS, covering
from sellable.config.settings import Pool
from sellable.runtime.audit import verify
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.seal import Seal
from sellable.simulation.virtual.play import EMPTY
from sellable.web.console import live, terms
from sellable.web.console.doors import Person, Visit
from sellable.web.console.sku import instant
from sellable.web.console.stock import FILTERS, ROWS

HELD = made("held", "SELECT id, units, pool, actor FROM hold WHERE ended_at IS NULL AND id LIKE 'stop%%' ORDER BY id")
OUT = made("out", "SELECT DISTINCT sku FROM desired WHERE t <= 0 ORDER BY sku")
LOW = made("low", "SELECT DISTINCT sku FROM desired WHERE t BETWEEN 1 AND 3 ORDER BY sku")
DIFFERING = made("differing", "SELECT DISTINCT sku FROM desired WHERE d <> 0 ORDER BY sku")
HELD_SKUS = made("held_skus", "SELECT DISTINCT sku FROM hold WHERE ended_at IS NULL ORDER BY sku")
FLYING = made(
    "flying", "SELECT DISTINCT sku FROM demand WHERE NOT settled AND NOT finished AND open_units > 0 ORDER BY sku"
)
EVERY = made("every", "SELECT DISTINCT sku FROM entry WHERE NOT gone ORDER BY sku")
STEP = made("step", "INSERT INTO order_event (order_id, at, seq, what, detail) VALUES ('id-N-0', app_now(), "
                    "nextval('causal_seq'), %(what)s, '{}')")  # fmt: skip
ACTS = made("acts", "SELECT actor, action FROM audit WHERE actor = 'maria' ORDER BY id")
OLD = made("old", "UPDATE sweep SET finished_at = finished_at - interval '2 days' WHERE scope = ''")


@pytest.fixture(scope="module")
def seeded(migrated_url: str) -> Iterator[Stage]:
    """For tests that only look."""
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(EMPTY)
    store = Store(migrated_url, Clock(), seal=Seal(b"the key of every test, 32 bytes "))
    yield Stage(store)
    store.close()


@pytest.fixture
def small(store: Store) -> Stage:
    """For tests that act: numbers, and nothing else."""
    stage = Stage(store, seeded=False)
    stage.trade.open()
    stage.trade.settle_down()
    return stage


def h1(text: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", text, re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip()


def rows_of(text: str) -> list[str]:
    return [html.unescape(sku) for sku in re.findall(r'<tr data-row>\s*<td><a href="/stock/[^"]+">([^<]+)</a>', text)]


def every_page(stage: Stage, path: str) -> list[str]:
    """The SKUs of a listing and of all pages after it."""
    found: list[str] = []
    while True:
        text = stage.get(path)
        found += rows_of(text)
        further = re.search(r'<a rel="next" href="([^"]+)"', text)
        if not further:
            return found
        path = html.unescape(further[1])


# --- Pages that only look: one shop for all of them -------------------------------------------------------------------


def test_the_overview_answers_its_question_first(seeded: Stage) -> None:
    text = seeded.get("/")
    assert re.fullmatch(r"[\d,]+ of 1,121 numbers right, \d+ settling \(oldest decrease .+\); 1 open case", h1(text))
    assert "oversold because of us; 2 inherent" in text
    assert text.count('<svg class="chart"') == 3
    assert "40 in all" in text
    assert "C-000001" in text
    assert f'href="/stock/{PLAIN[0]}"' in text
    assert 'aria-label="90 percent of the budget spent"' in text


@pytest.mark.parametrize(
    ("show", "query"),
    [("", EVERY), ("out", OUT), ("low", LOW), ("held", HELD_SKUS), ("differing", DIFFERING), ("in-flight", FLYING)],
)
def test_each_filter_lists_who_it_names_page_by_page_and_counts_them(seeded: Stage, show: str, query: Any) -> None:
    wanted = [row.sku for row in seeded.store.read_now(lambda tx: tx.all(query))]
    assert wanted
    listed = every_page(seeded, f"/stock?show={show}")
    assert listed == sorted(wanted)
    name = FILTERS[show][0]
    assert f'aria-current="true">{name} <span class="n">{len(wanted):,}</span>' in seeded.get(f"/stock?show={show}")


def test_a_page_of_the_table_is_bounded_and_says_the_number_of_explain(seeded: Stage) -> None:
    text = seeded.get("/stock")
    assert len(rows_of(text)) == ROWS
    said = seeded.store.read_now(answers.explain, seeded.settings, PLAIN[1], None, None, seeded.clock.now())
    row = re.search(rf"{PLAIN[1]}</a>.*?</tr>", text, re.DOTALL)
    assert row
    for number in said["numbers"]:
        shown = number["e"] if not number["d"] else f"{number['e']} → {number['explanation']['target']}"
        assert f'<td class="n">{shown}</td>' in row[0]


def test_words_are_looked_for_in_skus_and_names_and_wild_cards_are_plain_text(seeded: Stage) -> None:
    assert rows_of(seeded.get("/stock?q=crunchy-00")) == PLAIN[:10]
    assert rows_of(seeded.get("/stock?q=set+of"))[:2] == KITS[:2]
    assert rows_of(seeded.get("/stock?q=%25")) == []
    assert "Look in all" in seeded.get("/stock?q=SET-01&show=held")
    assert "That was all" in seeded.get("/stock?after=zzz")
    assert seeded.ask("GET", "/stock?q=%00&after=%00&show=nonsense").status_code == 200


def test_the_waterfall_adds_up_to_what_explain_says_of_every_number(seeded: Stage) -> None:
    for sku in (*PLAIN[:60], *KITS[:20]):
        said = seeded.store.read_now(answers.explain, seeded.settings, sku, None, None, seeded.clock.now())
        for number in said["numbers"]:
            rows = terms.number_rows(number["explanation"])
            assert sum(row.units for row in rows if not row.total) == number["explanation"]["target"] == rows[-1].left
            pools = [c["term"] for c in number["explanation"]["components"]] or [number["explanation"]["term"]]
            for term in pools:
                assert terms.pool_rows(term)[-1].left == term["ats"]
            for row in rows:
                assert not row.parts or row.total or sum(p.units for p in row.parts) in (row.units, *_kits(row))
            assert all(0 <= bar.x <= 100 and 0 <= bar.width <= 100 for bar in terms.bars(rows))


def _kits(row: terms.Term) -> list[int]:
    """What can ship from the places may be more than the pool's sums allow."""
    return [sum(p.units for p in row.parts)] if row.words.startswith("bundles") else []


def test_a_skus_page_shows_every_term_and_links_the_orders_in_flight(seeded: Stage) -> None:
    sku = seeded.store.read_now(lambda tx: tx.all(FLYING))[0].sku
    text = seeded.get(f"/stock/{sku}")
    said = seeded.store.read_now(answers.explain, seeded.settings, sku, None, None, seeded.clock.now())
    for number in said["numbers"]:
        assert f"{number['explanation']['target']} on {number['channel']}" in h1(text)
    flights = [f for n in said["numbers"] for f in n["explanation"]["term"]["in_flight"]]
    assert flights
    for flight in flights:
        assert f'<a href="/orders/id-{flight["order"]}">{flight["order"]}</a>' in text
    assert text.count('class="sum"') == 2 * len(CHANNELS)
    assert "Facts, newest first" in text
    times = re.findall(r'<tr(?: data-row)?><td><time datetime="([^"]+)"', text[text.index("Facts, newest first") :])
    assert times == sorted(times, reverse=True)
    assert len(times) > 5


def test_a_component_names_its_bundles_and_a_bundle_its_components(seeded: Stage) -> None:
    kit = KITS[1]
    part = sorted(seeded.trade.recipes[kit])[0]
    assert f'<a href="/stock/{kit}">' in seeded.get(f"/stock/{part}")
    text = seeded.get(f"/stock/{kit}")
    assert f'<a href="/stock/{part}">' in text
    assert "A bundle sells what its components allow" in text or "operator can stop" in text


def test_the_past_is_what_explain_says_of_it(seeded: Stage) -> None:
    at = seeded.trade.now - timedelta(minutes=1)
    stamp = int(at.timestamp())
    said = seeded.store.read_now(
        answers.explain, seeded.settings, PLAIN[1], None, datetime.fromtimestamp(stamp, UTC), seeded.clock.now()
    )
    text = seeded.get(f"/stock/{PLAIN[1]}?at={stamp}")
    assert "had to show" in h1(text)
    for number in said["numbers"]:
        assert f"{number['explanation']['target']} on {number['channel']}" in h1(text)
    assert "data-follow" not in text
    assert "Stop selling" not in text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", None),
        ("1764244800", datetime(2025, 11, 27, 12, tzinfo=UTC)),
        ("2025-11-27T12:00:00", datetime(2025, 11, 27, 12, tzinfo=UTC)),
        ("2025-11-27T13:00:00+01:00", datetime(2025, 11, 27, 12, tzinfo=UTC)),
        ("2099-01-01", None),
    ],
)
def test_an_instant_is_read_in_both_forms(text: str, found: datetime | None) -> None:
    assert instant(text, datetime(2026, 1, 1, tzinfo=UTC)) == (found, "")


@pytest.mark.parametrize("text", ["yesterday", "9" * 30, "2026-13-01", "²"])
def test_what_is_no_instant_is_said_to_be_none(seeded: Stage, text: str) -> None:
    assert "is no instant" in seeded.get(f"/stock/{PLAIN[1]}?at={quote(text)}")


def test_a_sku_made_of_markup_is_text_everywhere(seeded: Stage) -> None:
    for path in ("/stock", f"/stock/{quote(MARKUP, safe='')}", "/search?q=" + quote(MARKUP + "x")):
        text = seeded.ask("GET", path).text
        assert "<script>alert" not in text, path
        assert html.escape("<script>alert") in text
    assert seeded.ask("GET", f"/stock/{quote(MARKUP, safe='')}").status_code == 200
    assert seeded.ask("GET", "/search?q=" + quote(MARKUP)).headers["location"] == f"/stock/{quote(MARKUP, safe='')}"


def test_a_sku_that_is_none_says_what_is_spelled_like_it(seeded: Stage) -> None:
    answer = seeded.ask("GET", "/stock/crunchy-001")
    assert answer.status_code == 404
    assert f'<a href="/stock/{PLAIN[1]}">' in answer.text


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        (PLAIN[3], f"/stock/{PLAIN[3]}"),
        (ORDER, "/orders/id-N-0"),
        ("id-N-0", "/orders/id-N-0"),
        (TRACKING, "/orders/id-N-0"),
        ("c-000001", "/exceptions/C-000001"),
        (OPERATION, f"/stock/{PLAIN[0]}"),
    ],
)
def test_one_word_opens_the_page_of_what_it_names(seeded: Stage, asked: str, place: str) -> None:
    answer = seeded.ask("GET", f"/search?q={asked}")
    assert (answer.status_code, answer.headers.get("location")) == (303, place)


def test_what_names_many_things_is_listed_and_what_names_none_is_said(seeded: Stage) -> None:
    assert h1(seeded.get("/search?q=Oak")) == "20 things named “Oak”"
    assert h1(seeded.get("/search?q=nobody")) == "Nothing is named “nobody”"
    assert h1(seeded.get("/search?q=+")) == "What are you looking for?"
    assert "Nothing" in seeded.get("/search?q=%25")


def test_vendors_say_who_limits_us_what_waits_and_what_was_refused(seeded: Stage) -> None:
    text = seeded.get("/vendors")
    assert h1(text) == "commercetools nearly limits us; Cin7 Core nearly limits us; 7 calls wait"
    assert "7, does not move" in text
    assert re.search(r"POST sale</th><td>429</td><td class=\"n\">3<", text)
    assert '54 <span class="soft">of 60</span>' in text
    assert "An approver can freeze" in text
    for flow in ("messages", "entries", "sales", "stock"):
        assert f'<th scope="row">{flow}</th>' in text


def test_times_say_the_instant_and_its_zone_on_hover(seeded: Stage) -> None:
    found = re.findall(r'<time datetime="([^"]+)" title="([^"]+)">', seeded.get("/"))
    assert found
    for stamp, title in found:
        assert datetime.fromisoformat(stamp).tzinfo is not None
        assert title.endswith(" UTC")


def test_the_address_holds_filter_words_and_place(seeded: Stage) -> None:
    text = seeded.get("/stock?show=out&q=CRUNCHY")
    assert 'name="show" value="out"' in text
    assert 'value="CRUNCHY"' in text
    further = re.search(r'rel="next" href="([^"]+)"', text)
    assert further is None or {"show=out", "q=CRUNCHY"} <= set(re.split(r"[?&]", html.unescape(further[1])))


def test_a_page_holds_every_part_once(seeded: Stage) -> None:
    for path in ("/", "/stock", f"/stock/{PLAIN[1]}", f"/stock/{KITS[1]}", "/vendors"):
        text = seeded.get(path)
        names = re.findall(r'\sid="([^"]+)"', text)
        assert len(names) == len(set(names)), (path, names)
        assert set(live.parts(text)) <= set(names)
        assert "data-follow" in text


# --- States -----------------------------------------------------------------------------------------------------------


def test_the_first_run_and_empty_pages_are_said(store: Store) -> None:
    stage = Stage(store, seeded=False)
    text = stage.get("/")
    assert h1(text).startswith("No number is known yet")
    assert "No order has arrived yet" in text
    assert "No order and no write in the last hour" in text
    assert h1(stage.get("/stock")) == "Nothing is sold yet"
    for show in FILTERS:
        assert 'class="state"' in stage.get(f"/stock?show={show}")
    assert "was not read yet" in h1(stage.get("/vendors"))


def test_numbers_that_are_too_old_are_said_to_be(small: Stage) -> None:
    small.store.write_now(lambda tx: tx.run(OLD))
    for path in ("/", "/stock", f"/stock/{PLAIN[1]}", "/vendors"):
        assert "Cin7 Core was last read to its end" in small.get(path), path
    assert "was not read to its end for too long" in h1(small.get("/vendors"))


# --- Acts -------------------------------------------------------------------------------------------------------------


def test_a_sale_is_stopped_everywhere_and_begun_again(small: Stage) -> None:
    small.play("operator")
    answer = small.post(f"/stock/{PLAIN[5]}", {"act": "stop", "reason": "a <b>broken</b> leg"})
    place = answer.headers["location"]
    assert answer.status_code == 303
    holds = small.store.read_now(lambda tx: tx.all(HELD))
    assert [(h.units, h.pool, h.actor) for h in holds] == [(ALL_UNITS, "eu", "maria")]
    text = small.get(place)
    assert h1(text) == f"{PLAIN[5]} should show 0 on outlet, 0 on web-eu, 0 on web-fr and 0 on web-uk" or "0 on" in h1(
        text
    )
    assert "maria stopped the sale" in text
    assert "<b>broken</b>" not in text
    small.trade.settle_down()
    assert all(small.trade.shown[PLAIN[5], channel] == 0 for channel in CHANNELS)
    stop = holds[0].id.partition(":")[0]
    assert (
        small.post(f"/stock/{PLAIN[5]}", {"act": "resume", "stop": stop}).headers["location"].endswith("done=resumed")
    )
    assert small.store.read_now(lambda tx: tx.all(HELD)) == []
    assert small.post(f"/stock/{PLAIN[5]}", {"act": "resume", "stop": stop}).headers["location"].endswith("done=over")
    acts = [(r.actor, r.action) for r in small.store.read_now(lambda tx: tx.all(ACTS))]
    assert acts == [("maria", "stock.hold"), ("maria", "stock.release")]
    assert small.store.read_now(verify) == []


def test_a_stop_of_one_sku_cannot_be_ended_under_another(small: Stage) -> None:
    small.play("operator")
    small.post(f"/stock/{PLAIN[5]}", {"act": "stop", "reason": "x"})
    stop = small.store.read_now(lambda tx: tx.all(HELD))[0].id.partition(":")[0]
    assert small.post(f"/stock/{PLAIN[6]}", {"act": "resume", "stop": stop}).headers["location"].endswith("done=over")
    assert (
        small.post(f"/stock/{PLAIN[5]}", {"act": "resume", "stop": "stop_"}).headers["location"].endswith("done=over")
    )
    assert len(small.store.read_now(lambda tx: tx.all(HELD))) == 1


def test_pools_that_share_no_location_are_each_held() -> None:
    pools = [Pool(name=n, locations=places) for n, places in
             {"a": ("1", "2"), "b": ("2",), "c": ("3",), "d": ("3", "4", "5")}.items()]  # fmt: skip
    assert covering(pools) == ["d", "a"]


def test_writes_are_frozen_and_resumed_on_the_record(small: Stage) -> None:
    small.play("approver")
    assert small.post("/vendors", {"act": "freeze"}).headers["location"] == "/vendors?done=frozen"
    assert small.post("/vendors", {"act": "freeze"}).headers["location"] == "/vendors?done=already"
    text = small.get("/")
    assert "writes frozen" in text
    assert "Writes are frozen" in text
    assert "maria froze all writes of stock" in small.get("/vendors")
    assert small.post("/vendors", {"act": "resume"}).headers["location"] == "/vendors?done=resumed"
    assert "writes frozen" not in small.get("/")
    actions = [r.action for r in small.store.read_now(lambda tx: tx.all(ACTS))]
    assert actions == ["writes.freeze", "writes.resume"]


@pytest.mark.parametrize(
    ("role", "path", "fields"),
    [
        ("viewer", f"/stock/{PLAIN[5]}", {"act": "stop", "reason": "x"}),
        ("viewer", "/vendors", {"act": "freeze"}),
        ("operator", "/vendors", {"act": "freeze"}),
    ],
)
def test_who_may_not_act_is_refused_and_sees_no_button(
    small: Stage, role: Any, path: str, fields: dict[str, str]
) -> None:
    small.play(role)
    assert small.post(path, fields).status_code == 403
    assert f'value="{fields["act"]}"' not in small.get(path)
    assert small.store.read_now(lambda tx: tx.all(ACTS)) == []


# --- What follows -----------------------------------------------------------------------------------------------------


class Reader:
    """Reads the stream of a page, event by event."""

    def __init__(self, stage: Stage, path: str) -> None:
        from sellable.web.console.pages import PAGES
        from sellable.web.server import application

        app = application(stage.face())
        scope = {
            "type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "app": app,
            "path_params": {},
        }  # fmt: skip
        page = next(page for page in PAGES if page.path == path)
        visit = Visit(request=_request(scope), person=Person("maria", "viewer"), console=stage.console())
        self.app, self.events = app, live.changes(visit, page.answer)

    async def until(self, kind: str) -> list[str]:
        """The events up to the next of a kind, that one included."""
        found: list[str] = []
        while True:
            event = (await asyncio.wait_for(anext(self.events), 10)).decode()
            found.append(event)
            if event.startswith(f"event: {kind}\n"):
                return found


def _request(scope: dict[str, Any]) -> Any:
    from starlette.requests import Request

    return Request(scope)


def test_only_parts_that_changed_are_sent_again(small: Stage) -> None:
    async def story() -> None:
        reader = Reader(small, "/")
        first = await reader.until("tick")
        assert {name for event in first for name in re.findall(r'"id":"([a-z-]+)"', event)} == {
            "standing", "top", "chart", "budgets", "orders", "news",
        }  # fmt: skip
        await small.store.write(lambda tx: tx.run(STEP, what="seen at once"))
        began = asyncio.get_running_loop().time()
        second = await reader.until("part")
        assert '"id":"news"' in second[-1]
        assert "seen at once" in second[-1]
        assert asyncio.get_running_loop().time() - began < 5
        assert '"id"' not in "".join(await reader.until("tick"))

    asyncio.run(story())


def test_a_database_that_is_away_is_told_and_all_goes_on(small: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        reader = Reader(small, "/vendors")
        await reader.until("tick")

        async def gone(*args: Any, **kwargs: Any) -> Any:
            raise psycopg.OperationalError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(Store, "ask", gone)
            assert "OperationalError" in (await reader.until("away"))[-1]
        await reader.until("tick")

    asyncio.run(story())


def test_streams_end_when_the_process_stops(small: Stage) -> None:
    async def story() -> None:
        reader = Reader(small, "/vendors")
        await reader.until("tick")
        reader.app.state.closing = True
        assert [event async for event in reader.events] == []

    asyncio.run(story())


def test_who_may_not_see_a_page_may_not_follow_it(small: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.responses import Response

    async def refused(*args: Any) -> Response:
        return Response("no", status_code=403)

    monkeypatch.setattr(small.guard, "admit", refused)
    assert small.ask("GET", "/", headers={"accept": "text/event-stream"}).status_code == 403
