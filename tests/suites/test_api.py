"""The HTTP API as a program meets it: real tokens, real rows, every refusal a problem it can read."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import msgspec
import psycopg
import pytest
from tests.suites.console_web import book, open_, park
from tests.suites.orders_life import query
from tests.suites.test_guard import House, Keys, played

from sellable.runtime.database import Store
from sellable.web.api import openapi, shapes
from sellable.web.api.endpoints import ENDPOINTS, status_of
from sellable.web.api.limits import CALLERS_MAX, Buckets
from sellable.web.api.routes import _pairs
from sellable.web.console.doors import Door
from sellable.web.people.passwords import hash_of

V1 = "/api/v1"
PUT = query(
    "WITH e AS (INSERT INTO entry (sku, channel, remote_id, version, e, q, q_at, q_seq, baseline_at)"
    " SELECT sku, channel, sku || channel, 1, t, t, app_now(), 1, app_now()"
    " FROM unnest(%(skus)s::text[], %(channels)s::text[], %(ts)s::bigint[]) AS r (sku, channel, t))"
    " INSERT INTO desired (sku, channel, t, d, priority, reason, changed_seq, since, due_at)"
    " SELECT sku, channel, t, -1, 3, 'test', 1, app_now(), app_now()"
    " FROM unnest(%(skus)s::text[], %(channels)s::text[], %(ts)s::bigint[]) AS r (sku, channel, t)"
)
PLACE = query(
    "INSERT INTO observed (sku, location, part, master, state, value, proven, allocated, a0, a1, observed_at)"
    " VALUES (%(sku)s, 'Berlin', '', 'cin7_core', 'available', 9, 9, 0, 1, 1, app_now())"
)
SELL = query("UPDATE desired SET t = %(t)s WHERE sku = 'S1'")
GONE = query("UPDATE entry SET gone = channel = ANY (%(channels)s::text[]) WHERE sku = 'S1'")
TOKEN = query("SELECT id FROM api_token WHERE hash = %(hash)s")
AUDIT = query("SELECT actor, action, subject FROM audit WHERE segment <> 'seals' ORDER BY id DESC LIMIT 1")


def stock(store: Store, *rows: tuple[str, str, int]) -> None:
    skus, channels, ts = (list(each) for each in zip(*rows, strict=True))
    store.write_now(lambda tx: tx.run(PUT, skus=skus, channels=channels, ts=ts))


class Program:
    """Somebody with a token."""

    def __init__(self, house: House, keys: Keys) -> None:
        self.client, self.headers = house.client, keys.bearer()

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        return await self._ask("GET", path, status, params=params)

    async def post(self, path: str, status: int = 200, **body: Any) -> Any:
        return await self._ask("POST", path, status, json=body)

    async def _ask(self, verb: str, path: str, status: int, **more: Any) -> Any:
        answer = await self.client.request(verb, V1 + path, headers=self.headers, **more)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert is_problem(answer)
        return answer.json()


def is_problem(answer: httpx2.Response) -> bool:
    said = msgspec.json.decode(answer.content, type=shapes.Problem)
    return answer.headers["content-type"] == "application/problem+json" and said.status == answer.status_code


def as_program(store: Store, role: Any, scene: Callable[[Program], Awaitable[None]], **changes: Any) -> None:
    async def play(house: House) -> None:
        await scene(Program(house, await house.keys("ada", role)))

    played(store, play, porch=False, **changes)


# --- Availability ----------------------------------------------------------------------------------------------------


def test_twenty_skus_on_one_channel_in_one_call(store: Store) -> None:
    stock(store, *((f"S{n:02}", channel, n) for n in range(22) for channel in ("web-eu", "web-uk")))
    store.write_now(lambda tx: tx.run(PLACE, sku="S09"))

    async def scene(program: Program) -> None:
        wanted = [f"S{n:02}" for n in range(20)]
        found = await program.get("/availability", sku=[*wanted, "s01", "NONE"], channel="web-eu")
        assert [n["sku"] for n in found["numbers"]] == wanted
        assert {n["channel"] for n in found["numbers"]} == {"web-eu"}
        assert found["unknown"] == ["s01", "NONE"]
        nine = found["numbers"][9]
        assert nine == {
            "sku": "S09", "channel": "web-eu", "available": 9, "shown": 10, "status": "in_stock",
            "explanation": "/api/v1/availability/S09",
        }  # fmt: skip
        assert [n["status"] for n in found["numbers"][:5]] == [
            "out_of_stock", "low_stock", "low_stock", "low_stock", "in_stock",
        ]  # fmt: skip
        both = await program.get("/availability", sku=["S09", "S09"], locations="true")
        assert [n["channel"] for n in both["numbers"]] == ["web-eu", "web-uk"]
        (place,) = both["numbers"][0]["locations"]
        assert (place["location_id"], place["on_hand"]) == ("Berlin", 9)

    as_program(store, "viewer", scene)


def test_who_asks_at_the_same_moment_shares_statements_and_gets_their_own_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(store, *((f"S{n}", channel, n) for n in range(8) for channel in ("web-eu", "web-uk")))
    store.write_now(lambda tx: tx.run(PLACE, sku="S3"))

    async def scene(house: House) -> None:
        ada, otto = await house.keys("ada", "viewer"), await house.keys("otto", "viewer")
        await house.client.get(f"{V1}/writes", headers=ada.bearer())
        await house.client.get(f"{V1}/writes", headers=otto.bearer())
        asked = _counted(monkeypatch)
        strange = {"authorization": "Bearer sellable_x"}
        path = f"{V1}/availability?sku="
        answers = await asyncio.gather(
            *(house.client.get(f"{path}S{n}&channel=web-eu", headers=who.bearer())
              for n in range(8) for who in (ada, otto)),
            house.client.get(f"{path}S3&sku=GHOST", headers=ada.bearer()),
            house.client.get(f"{path}S3&channel=web-uk&locations=true", headers=otto.bearer()),
            house.client.get(f"{path}S1", headers=strange),
        )  # fmt: skip
        both, placed, refused = answers[-3:]
        for n, answer in enumerate(answers[:-3]):
            (number,) = answer.json()["numbers"]
            assert (number["sku"], number["available"], "locations" in number) == (f"S{n // 2}", n // 2, False)
        assert [(n["sku"], n["channel"]) for n in both.json()["numbers"]] == [("S3", "web-eu"), ("S3", "web-uk")]
        assert both.json()["unknown"] == ["GHOST"]
        assert placed.json()["numbers"][0]["locations"][0]["on_hand"] == 9
        assert refused.status_code == 401
        assert 1 <= asked["token_people"] <= 3, asked
        assert 1 <= asked["offered"] <= 3, asked

    played(store, scene, porch=False)


def test_an_entry_the_storefront_has_no_more_is_unknown_until_it_is_back(store: Store) -> None:
    stock(store, ("S1", "web-eu", 4), ("S1", "web-uk", 4), ("S2", "web-eu", 4))

    async def scene(program: Program) -> None:
        for gone, numbers, unknown in (
            (["web-eu"], [("S1", "web-uk"), ("S2", "web-eu")], []),
            (["web-eu", "web-uk"], [("S2", "web-eu")], ["S1"]),
            ([], [("S1", "web-eu"), ("S1", "web-uk"), ("S2", "web-eu")], []),
        ):
            store.write_now(lambda tx, gone=gone: tx.run(GONE, channels=gone))
            found = await program.get("/availability", sku=["S1", "S2"])
            assert ([(n["sku"], n["channel"]) for n in found["numbers"]], found["unknown"]) == (numbers, unknown)

    as_program(store, "viewer", scene)


def test_a_number_and_a_token_are_as_they_are_when_asked(store: Store) -> None:
    """Nothing is kept from one statement to the next, however many share it."""
    stock(store, ("S1", "web-eu", 5))

    async def scene(house: House) -> None:
        ada, otto = await house.keys("ada", "viewer"), await house.keys("otto", "viewer")

        async def ask(keys: Keys, times: int) -> set[int]:
            path = f"{V1}/availability?sku=S1&channel=web-eu"
            calls = (house.client.get(path, headers=keys.bearer()) for _ in range(times))
            answers = await asyncio.gather(*calls)
            return {a.json()["numbers"][0]["available"] if a.status_code == 200 else -a.status_code for a in answers}

        assert await ask(ada, 10) == {5}
        for left in (4, 3, 0):
            await house.store.write(lambda tx, left=left: tx.run(SELL, t=left))
            assert await ask(ada, 10) == {left}
        under_way = [asyncio.create_task(ask(keys, 5)) for keys in (ada, otto)]
        await asyncio.sleep(0)
        token = await house.store.read(lambda tx: tx.value(TOKEN, hash=hash_of(ada.token)))
        await house.store.write(lambda tx: house.book.revoke_token(tx, "test", token))
        assert await asyncio.gather(ask(ada, 10), ask(otto, 10)) == [{-401}, {0}]
        assert (await under_way[0] <= {0, -401}, await under_way[1]) == (True, {0})

    played(store, scene, porch=False)


def _counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each statement is asked from here on."""
    asked: Counter[str] = Counter()
    plain = Store.ask

    async def ask(self: Store, query: Any, **params: Any) -> Any:
        asked[query.name] += 1
        return await plain(self, query, **params)

    monkeypatch.setattr(Store, "ask", ask)
    return asked


@pytest.mark.parametrize(
    "text", ["", "sku=A", "sku=A&sku=B&channel=", "sku", "&&sku=A&", "=x", "a=b=c", "sku=A+B", "sku=%C3%9F&x=%2B", "%"]
)
def test_an_address_is_read_as_the_standard_library_reads_it(text: str) -> None:
    assert list(_pairs(text)) == parse_qsl(text, keep_blank_values=True)


def test_a_number_below_zero_is_no_stock_either() -> None:
    assert [status_of(n, 2) for n in (-1, 0, 1, 2, 3)] == ["out_of_stock"] * 2 + ["low_stock"] * 2 + ["in_stock"]


def test_a_sku_of_any_letters_is_explained_or_told_to_be_unknown(store: Store) -> None:
    stock(store, ("A/ß ?#", "web-eu", 4))

    async def scene(program: Program) -> None:
        found = await program.get("/availability", sku="A/ß ?#")
        link = found["numbers"][0]["explanation"].removeprefix(V1)
        why = await program.get(link)
        assert (why["sku"], why["numbers"][0]["channel"]) == ("A/ß ?#", "web-eu")
        await program.get("/availability/GHOST", 404)
        past = await program.get(link, 404, at="2020-01-01T00:00:00Z")
        assert "no entry" in past["title"]

    as_program(store, "viewer", scene)


def test_a_name_with_a_line_feed_is_explained_and_an_address_that_is_none_is_a_problem(store: Store) -> None:
    stock(store, ("A\nB", "web-eu", 4), ("C\n", "web-eu", 4))

    async def scene(house: House) -> None:
        shown = (await house.keys("ada", "viewer")).bearer()
        for sku in ("A%0AB", "C%0A"):
            assert (await house.client.get(f"{V1}/availability/{sku}", headers=shown)).status_code == 200
        for status, verb, path in (
            (404, "GET", f"{V1}/nothing"), (404, "GET", f"{V1}/orders/a/b"), (405, "POST", f"{V1}/writes"),
            (405, "DELETE", f"{V1}/orders"),
        ):  # fmt: skip
            answer = await house.client.request(verb, path, headers=shown)
            assert (answer.status_code, is_problem(answer)) == (status, True), path
            assert ("GET" in answer.headers.get("allow", "")) == (status == 405)
        assert (await house.client.get("/nothing")).text == "Not Found"

    played(store, scene, porch=False)


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("/availability", {}, "sku"), ("/availability", {"sku": ["x"] * 101}, "length"),
        ("/availability", {"sku": ""}, "length"), ("/availability", {"sku": "x" * 201}, "length"),
        ("/availability", {"sku": "A", "channel": "nowhere"}, "web-eu"),
        ("/availability", {"sku": "A", "chanel": "web-eu"}, "chanel"), ("/availability", {"sku": "A\x00"}, ""),
        ("/availability/A", {"at": "yesterday"}, ""), ("/availability/A", {"at": "2026-01-01T00:00:00"}, "Write it"),
        ("/orders", {"show": "all of them"}, "show"), ("/orders", {"limit": "0"}, "limit"),
        ("/orders", {"after": "x"}, "next"), ("/cases", {"page": "-1"}, "page"), ("/cases", {"state": "sad"}, "state"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told(store: Store, path: str, params: dict[str, Any], said: str) -> None:
    async def scene(program: Program) -> None:
        found = await program.get(path, 422, **params)
        assert said in found["detail"], found

    as_program(store, "viewer", scene)


# --- Orders and cases ------------------------------------------------------------------------------------------------


def test_orders_are_listed_page_by_page_and_told_whole(store: Store) -> None:
    book(store, *((f"i{n}", f"N-{n}", "waiting", n) for n in range(5)))

    async def scene(program: Program) -> None:
        first = await program.get("/orders", limit=3)
        rest = await program.get("/orders", limit=3, after=first["next"])
        numbers = [order["number"] for page in (first, rest) for order in page["orders"]]
        assert numbers == ["N-0", "N-1", "N-2", "N-3", "N-4"]
        assert rest["next"] == ""
        assert (first["orders"][0]["total"], first["orders"][0]["digits"]) == (11900, 2)
        assert [o["number"] for o in (await program.get("/orders", show="waiting", limit=1))["orders"]] == ["N-4"]
        assert [o["order_id"] for o in (await program.get("/orders/N-2"))["orders"]] == ["i2"]
        await program.get("/orders/N-9", 404)

    as_program(store, "viewer", scene)


def test_a_case_is_worked_on_and_each_act_is_on_the_record(store: Store) -> None:
    ref, parked = open_(store, "oversold", "sku:A", actual={"units": 2}), park(store, "m1")

    async def scene(program: Program) -> None:
        listed = await program.get("/cases", limit=1)
        assert (len(listed["cases"]), listed["more"]) == (1, True)
        assert [c["ref"] for c in (await program.get("/cases", kind="oversold"))["cases"]] == [ref]
        assert await program.post(f"/cases/{ref}/assign", owner="Maria") == {"changed": True, "count": 1}
        assert (await program.post(f"/cases/{ref}/assign", owner="Maria"))["changed"] is False
        assert (await program.post(f"/cases/{ref}/acknowledge"))["changed"] is True
        assert (await program.post(f"/cases/{ref}/comment", text="looked"))["changed"] is True
        assert (await program.post(f"/cases/{ref}/resolve", why="counted"))["changed"] is True
        whole = await program.get(f"/cases/{ref}")
        assert [e["what"] for e in whole["history"]] == ["opened", "assigned", "acknowledged", "commented", "resolved"]
        assert {e["actor"] for e in whole["history"][1:]} == {"ada (token ci)"}
        assert "replay it" in (await program.post(f"/cases/{parked}/resolve", 409, why="done"))["detail"]
        assert await program.post(f"/cases/{parked}/replay") == {"changed": True, "count": 1}
        await program.get("/cases/C-999999", 404)
        await program.post("/cases/C-999999/acknowledge", 404)
        await program.post(f"/cases/{ref}/assign", 422, owner="  ")
        await program.post(f"/cases/{ref}/assign", 422, owner="x\x00")
        await program.post(f"/cases/{ref}/assign", 422)
        await program.post(f"/cases/{ref}/acknowledge", 422, surprise=1)

    as_program(store, "operator", scene)
    row = store.read_now(lambda tx: tx.one(AUDIT))
    assert (row.actor, row.action, row.subject) == ("ada (token ci)", "case.replay", f"case:{parked}")


def test_writes_are_frozen_and_resumed(store: Store) -> None:
    async def scene(program: Program) -> None:
        assert await program.get("/writes") == {"frozen": False, "changed": False}
        assert await program.post("/writes/freeze") == {"frozen": True, "changed": True}
        assert await program.post("/writes/freeze") == {"frozen": True, "changed": False}
        assert (await program.get("/writes"))["frozen"] is True
        assert await program.post("/writes/resume") == {"frozen": False, "changed": True}

    as_program(store, "approver", scene)


# --- Who may, how often, and in what shape ---------------------------------------------------------------------------


def test_every_refusal_is_a_problem(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(house: House) -> None:
        viewer = await house.keys("vera", "viewer")
        operator = (await house.keys("otto", "operator")).bearer()
        freeze, orders = f"{V1}/writes/freeze", f"{V1}/orders"
        ask = house.client.request
        json = {"content-type": "application/json"}
        for status, verb, path, more in (
            (401, "GET", orders, {}), (401, "GET", orders, {"headers": {"authorization": "Bearer sellable_x"}}),
            (401, "GET", orders, {"headers": {"accept": "text/html"}}),
            (403, "POST", freeze, {"headers": operator, "json": {}}),
            (403, "POST", freeze, {"headers": viewer.cookie(), "json": {}}),
            (404, "GET", f"{V1}/orders/x", {"headers": viewer.bearer()}),
            (411, "POST", f"{V1}/cases/C-1/comment", {"headers": operator, "content": _slowly()}),
            (415, "POST", f"{V1}/cases/C-1/comment", {"headers": operator, "data": {"text": "x"}}),
            (400, "POST", f"{V1}/cases/C-1/comment", {"headers": operator | json, "content": b"{"}),
            (400, "POST", f"{V1}/cases/C-1/comment", {"headers": operator | json, "content": b'{"text": "\xff"}'}),
            (413, "POST", f"{V1}/cases/C-1/comment", {"headers": operator | json, "content": b"x" * (1 << 20 | 1)}),
        ):  # fmt: skip
            answer = await ask(verb, path, **more)
            assert answer.status_code == status, (status, path, answer.text)
            assert is_problem(answer), path
            assert ("www-authenticate" in answer.headers) == (status == 401)
        monkeypatch.setattr(Store, "ask", _away)
        answer = await ask("GET", f"{V1}/availability?sku=A", headers=viewer.bearer())
        assert (answer.status_code, is_problem(answer)) == (503, True)

    played(store, scene, porch=False)


async def _slowly() -> Any:
    yield b"{}"


async def _away(*_: Any, **__: Any) -> Any:
    raise psycopg.OperationalError("away")


def test_one_token_is_limited_and_others_are_not(store: Store) -> None:
    async def scene(house: House) -> None:
        ada, otto = await house.keys("ada", "viewer"), await house.keys("otto", "viewer")
        answers = [await house.client.get(f"{V1}/writes", headers=ada.bearer()) for _ in range(4)]
        assert 429 in {a.status_code for a in answers}
        (limited, *_) = [a for a in answers if a.status_code == 429]
        assert is_problem(limited)
        assert int(limited.headers["retry-after"]) >= 1
        assert (await house.client.get(f"{V1}/writes", headers=otto.bearer())).status_code == 200
        unknown = {"authorization": "Bearer sellable_x"}
        refused = [(await house.client.get(f"{V1}/writes", headers=unknown)).status_code for _ in range(5)]
        assert refused[0] == 401
        assert refused[-1] == 429
        assert (await house.client.get(f"{V1}/writes", headers=otto.bearer())).status_code == 200, "same address"

    played(store, scene, porch=False, console={"api_calls_per_second": 2})


def test_a_bucket_fills_again_and_the_quietest_is_forgotten() -> None:
    buckets = Buckets(lambda: 2)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0, 0, 1]
    assert [buckets.take("a", at) for at in (0.4, 0.5)] == [1, 0]
    assert buckets.take("nobody", 0.5) == 0
    for n in range(CALLERS_MAX):
        buckets.take(f"c{n}", 1.0)
    assert buckets.take("a", 1.0) == 0


def test_the_description_is_of_what_is_served(store: Store) -> None:
    async def scene(house: House) -> None:
        served = {
            (re.sub(r":\w+}", "}", door.page.path), door.page.methods[0].lower())
            for door in house.doors
            if isinstance(door, Door) and door.page.path.startswith(V1)
        }
        keys = await house.keys("ada", "viewer")
        answer = await house.client.get(f"{V1}/openapi.json", headers=keys.bearer())
        document = answer.json()
        described = {(path, verb) for path, verbs in document["paths"].items() for verb in verbs}
        assert described == served - {(f"{V1}/openapi.json", "get")}
        assert document == msgspec.json.decode(msgspec.json.encode(openapi.document()))

    played(store, scene, porch=False)


def test_the_description_holds_together() -> None:
    document = openapi.document()
    text = msgspec.json.encode(document).decode()
    schemas = document["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= set(schemas)
    operations = [operation for verbs in document["paths"].values() for operation in verbs.values()]
    assert len({operation["operationId"] for operation in operations}) == len(ENDPOINTS)
    assert all(
        operation["summary"] and {"200", "401", "403", "422"} <= set(operation["responses"]) for operation in operations
    )
    (sku, *_) = document["paths"][f"{V1}/availability"]["get"]["parameters"]
    assert (sku["name"], sku["required"], sku["schema"]["maxItems"]) == ("sku", True, 100)
