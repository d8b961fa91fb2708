"""The kit around every simulator: clock, journal, faults, control routes, and the process that serves them."""

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

import httpx2
import msgspec
import pytest

from sellable.sandbox.asgi import LineCut, Receive, Scope, Send, answer, read_body
from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox
from sellable.sandbox.faults import Fault, FaultMenu
from sellable.sandbox.journal import Journal


class Counter:
    """A vendor that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        self.calls += 1
        await answer(send, 200, msgspec.json.encode({"calls": self.calls, "ok": True}))

    def load(self, seed: dict[str, Any]) -> None:
        self.calls = seed["calls"]

    def truth(self) -> dict[str, Any]:
        return {"calls": self.calls}

    async def act(self, action: dict[str, Any]) -> Any:
        raise ValueError(f"unknown action {action}")

    def credential(self, scope: Scope) -> str:
        return "CRUNCHY-KEY"

    def route(self, scope: Scope) -> str:
        return "/" + str(scope["path"]).split("/")[1]

    def error_body(self, status: int) -> bytes:
        return b'{"oops":%d}' % status

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Hands:
    """A clock's source that the test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def sandbox(clock: Clock | None = None) -> Sandbox:
    clock = clock or Clock(speed=10_000)
    return Sandbox(Counter(), clock, FaultMenu(7), Journal(clock))


def client(box: Sandbox) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=box.asgi), base_url="http://sandbox")


def test_sim_time_runs_at_its_speed_from_its_start() -> None:
    hands = Hands()
    clock = Clock(speed=60, origin=1000.0, start=1_291_190_400.0, source=hands)
    assert clock.now().isoformat() == "2010-12-01T08:00:00+00:00"
    hands.at += 2
    assert clock.now().isoformat() == "2010-12-01T08:02:00+00:00"


def test_a_clock_travels_as_text() -> None:
    text = "speed=60.0,origin=1763710000.0,start=1291190400.0"
    assert Clock.parse(text).text() == text
    with pytest.raises(ValueError, match="pace"):
        Clock.parse("pace=3")
    with pytest.raises(ValueError, match="above 0"):
        Clock.parse("speed=0")


def test_the_journal_numbers_and_dates_its_rows() -> None:
    hands = Hands()
    journal = Journal(Clock(source=hands))
    journal.add("sold", sku="ARMCHAIR")
    journal.add("sold", sku="TABLE", t=5.0)
    assert journal.since(0) == [
        {"n": 1, "t": 1000.0, "what": "sold", "sku": "ARMCHAIR"},
        {"n": 2, "t": 5.0, "what": "sold", "sku": "TABLE"},
    ]
    assert [row["n"] for row in journal.since(1, 5)] == [2]


def test_a_seeded_menu_fires_alike_and_counts() -> None:
    def run() -> list[bool]:
        menu = FaultMenu(3)
        storm = {"name": "storm", "effect": "status", "status": 429, "match": "^POST /sale", "rate": 0.5, "times": 4}
        menu.set([storm])
        fired = [menu.pick("POST /sale?x=1", "before") is not None for _ in range(30)]
        assert menu.fired == {"storm": 4}
        assert menu.active == []
        assert menu.pick("GET /sale", "before") is None
        return fired

    assert run() == run()
    assert run()[:4] != [True] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x", "effect": "truncate"},
        {"name": "x", "effect": "status", "rate": 2},
        {"name": "x", "effect": "late", "when": "sometime"},
        {"name": "x", "effect": "stale_page", "when": "after"},
    ],
)
def test_malformed_faults_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)):
        FaultMenu(1).set([wrong])


def test_before_spares_the_vendor_and_after_does_not() -> None:
    async def story() -> None:
        box = sandbox()
        async with client(box) as http:
            for when, calls in (("before", 0), ("after", 1)):
                fault = Fault(name="f", effect="status", status=503, when=when, times=1, retry_after="7")  # type: ignore[arg-type]
                box.menu.set([fault])
                refused = await http.post("/sale")
                assert (refused.status_code, refused.json()) == (503, {"oops": 503})
                assert refused.headers["retry-after"] == "7"
                assert box.vendor.truth() == {"calls": calls}

    asyncio.run(story())


def test_lost_answers_and_late_effects() -> None:
    async def story() -> None:
        box = sandbox()
        async with client(box) as http:
            for effect, when, calls in (("reset", "before", 0), ("timeout", "after", 1), ("late", "before", 2)):
                box.menu.set([{"name": "f", "effect": effect, "when": when, "seconds": 20.0, "times": 1}])
                with pytest.raises(LineCut):
                    await http.post("/sale", content=b"{}")
                assert box.vendor.truth() == {"calls": calls}

    asyncio.run(story())


def test_answers_can_be_changed() -> None:
    async def story() -> None:
        box = sandbox()
        async with client(box) as http:
            box.menu.set([{"name": "f", "effect": "wrong_type", "when": "after", "times": 1}])
            assert (await http.get("/sale")).json() == {"calls": "1", "ok": True}
            box.menu.set([{"name": "f", "effect": "truncate", "when": "after", "times": 1}])
            assert (await http.get("/sale")).text == '{"calls":2'
            box.menu.set([{"name": "f", "effect": "html", "times": 1}])
            page = await http.get("/sale")
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert (await http.get("/sale")).json()["calls"] == 3

    asyncio.run(story())


def test_control_routes() -> None:
    async def story() -> None:
        box = sandbox()
        async with client(box) as http:
            assert (await http.get("/_sandbox/health")).json()["ok"] is True
            assert (await http.post("/_sandbox/load", json={"calls": 40})).json() == {"ok": True}
            await http.get("/sale/1")
            await http.get("/sale/2")
            assert (await http.get("/_sandbox/truth")).json() == {"calls": 42}
            assert (await http.get("/_sandbox/stats")).json() == {
                "routes": {"GET /sale": 2},
                "statuses": {"200": 2},
                "peaks": {"CRUNCHY-KEY": 2},
            }
            fault = {"name": "f", "effect": "reset"}
            assert (await http.post("/_sandbox/faults", json=[fault])).status_code == 200
            assert [f["name"] for f in (await http.get("/_sandbox/faults")).json()["active"]] == ["f"]
            assert (await http.delete("/_sandbox/faults")).json() == {"active": []}
            refused = await http.post("/_sandbox/act", json={"dance": 1})
            assert (refused.status_code, refused.json()["error"]) == (400, "ValueError: unknown action {'dance': 1}")
            assert (await http.get("/_sandbox/nothing")).status_code == 404
            box.journal.add("seen")
            assert [row["what"] for row in (await http.get("/_sandbox/journal?after=0")).json()] == ["seen"]

    asyncio.run(story())


def test_strangers_do_not_reach_the_control_routes() -> None:
    async def story() -> None:
        transport = httpx2.ASGITransport(app=sandbox().asgi, client=("192.0.2.7", 5))
        async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as http:
            assert (await http.get("/_sandbox/health")).status_code == 403
            assert (await http.get("/sale")).status_code == 200

    asyncio.run(story())


def test_a_served_simulator_says_ready_and_cuts_real_lines() -> None:
    command = [sys.executable, "-m", "sellable.sandbox", "commercetools"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["vendor"] == "commercetools"
            with httpx2.Client(base_url=ready["ready"]) as http:
                assert http.get("/_sandbox/health").json()["ok"] is True
                fault = {"name": "cut", "effect": "reset", "match": "GET /shop"}
                assert http.post("/_sandbox/faults", json=[fault]).status_code == 200
                with pytest.raises(httpx2.TransportError):
                    http.get("/shop/inventory")
                assert http.get("/_sandbox/faults").json()["fired"] == {"cut": 1}
        finally:
            process.send_signal(signal.SIGTERM)
            _, complaints = process.communicate(timeout=20)
    assert (process.returncode, complaints) == (-signal.SIGTERM, "")
