"""The parts of a simulation: when nobody could know better, which trouble is in force, who hears what."""

from __future__ import annotations

import asyncio
import random

import httpx2
import pytest
from typer.testing import CliRunner

from sellable.cli import app
from sellable.sandbox.faults import Fault
from sellable.simulation.rules import MASTER, SALE
from sellable.simulation.virtual.blindness import Blindness
from sellable.simulation.virtual.loop import Life, VirtualLoop, run_as
from sellable.simulation.virtual.menu import CIN7, CT, TROUBLES, Weather
from sellable.simulation.virtual.process import HintBoard
from sellable.simulation.virtual.profiles import plan_of
from sellable.simulation.virtual.wire import Trace, Wire

RESET = Fault(name="reset", effect="reset")
MESSAGES = "GET /shop/messages?limit=500"


def test_a_failed_poll_blinds_for_sales_and_each_further_one_for_longer() -> None:
    blindness = Blindness(lambda: 1000.0)
    blindness.strike(CT, MESSAGES, RESET)
    (first,) = blindness.outages()
    assert first.sources == {SALE}
    blindness.strike(CT, MESSAGES, RESET)
    (both,) = blindness.outages()
    assert both.end > first.end


def test_a_call_that_went_well_ends_the_row_of_failures() -> None:
    rows = []
    for well in (False, True):
        blindness = Blindness(lambda: 1000.0)
        for _ in range(5):
            blindness.strike(CT, MESSAGES, RESET)
            if well:
                blindness.strike(CT, MESSAGES, None)
        rows.append(blindness.outages()[0].end)
    assert rows[1] < rows[0]


@pytest.mark.parametrize(
    ("host", "line", "sources"),
    [
        (CT, "POST /shop/graphql", {SALE, MASTER}),
        (CIN7, "GET /ExternalApi/v2/ref/productavailability?Page=1", {MASTER}),
        (CIN7, "POST /ExternalApi/v2/sale", set()),
        (CT, "POST /shop/orders/1", set()),
    ],
)
def test_only_calls_that_tell_or_write_numbers_blind(host: str, line: str, sources: set[str]) -> None:
    blindness = Blindness(lambda: 1000.0)
    blindness.strike(host, line, RESET)
    assert {source for outage in blindness.outages() for source in outage.sources} == sources


def test_weather_can_be_every_trouble_of_the_menu() -> None:
    weather = Weather(1, lambda host, line, fault: None)
    weather.set(dict.fromkeys(TROUBLES, 0.5))
    assert weather.rates.keys() == TROUBLES.keys()


def test_a_hint_is_heard_by_the_living_only() -> None:
    loop = VirtualLoop(random.Random(1))
    board = HintBoard(loop, random.Random(1), lambda: False)
    heard: list[str] = []

    async def listens(name: str) -> None:
        board.listen("stock", lambda payload: heard.append(f"{name} {payload}"))

    async def story() -> None:
        dead, living = Life("dead"), Life("living")
        for life in (dead, living):
            await run_as(loop, life, listens(life.name))
        loop.kill(dead)
        board.tell("stock", "CHAIR")
        board.tell("orders", "42")
        await asyncio.sleep(1)

    loop.run_until_complete(story())
    loop.close()
    assert heard == ["living CHAIR"]


def test_a_vendor_goes_on_when_its_caller_has_gone() -> None:
    loop = VirtualLoop(random.Random(1))
    done: list[str] = []

    async def vendor(scope: object, receive: object, send: object) -> None:
        await asyncio.sleep(5)
        done.append("carried out")
        raise ConnectionResetError

    async def story() -> None:
        wire = Wire(loop, random.Random(1), Trace(), {CT: vendor})  # type: ignore[dict-item]
        client = httpx2.AsyncClient(transport=wire, trust_env=False)
        caller = Life("caller")
        run_as(loop, caller, client.post(f"http://{CT}/sale"))
        await asyncio.sleep(1)
        loop.kill(caller)
        await asyncio.sleep(60)

    loop.run_until_complete(story())
    loop.close()
    assert done == ["carried out"]


def test_the_same_lines_have_the_same_hash() -> None:
    one, other = Trace(), Trace(keep=True)
    for trace in (one, other):
        trace.note(1.5, "p1", "GET ct.test/messages 200")
    assert one.hash == other.hash
    other.note(1.6, "p1", "GET ct.test/messages 200")
    assert one.hash != other.hash
    assert len(other.lines) == 2


def test_half_of_all_seeds_guess_and_the_rest_know_what_cancelling_does() -> None:
    plans = [plan_of(seed, "chaos", 5) for seed in range(60)]
    assert {plan.restocks for plan in plans} == {"unknown", "yes", "no"}
    assert all(plan.restocks in ("unknown", "yes" if plan.ct["restocks_on_cancel"] else "no") for plan in plans)


def test_a_word_that_means_nothing_is_refused() -> None:
    assert CliRunner().invoke(app, ["simulate", "--profile", "sunshine"]).exit_code == 2
    assert CliRunner().invoke(app, ["simulate", "--minutes", "0"]).exit_code == 2
