"""Every call the product makes to a vendor x every fault it can meet: nothing doubled, nothing lost, no number wrong.

One story holds all call sites; in one playing of it each site's first call meets the fault (`FAULT_MATRIX=1` plays
every site alone, `FAULT_MATRIX_TIMES=3` lets the fault last for three tries of each site).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator

import httpx2
import pytest
from tests.simulation.sites import named, senders
from tests.simulation.stage import SITE, Send, Stage, tell

from sellable.sandbox.faults import HTML, _wrong_types
from sellable.simulation.virtual.database import simulation_database
from sellable.simulation.virtual.menu import CIN7, CT

ALONE = bool(os.environ.get("FAULT_MATRIX"))
TIMES = tuple(int(n) for n in os.environ.get("FAULT_MATRIX_TIMES", "1").split(","))
NO_ANSWER_SECONDS = 90.0
"""Longer than any call of ours waits."""
STATUS = {"409": 409, "429": 429, "429 with Retry-After": 429, "500": 500, "502": 502, "503": 503}
FAULTS = (
    *STATUS, "reset", "timeout before the effect", "timeout after the effect", "truncated body", "wrong type",
    "HTML with 200",
)  # fmt: skip
AFTER = frozenset({"timeout after the effect", "truncated body", "wrong type"})
"""The vendor has done what was asked; the others happen before it heard of it (every second one of several after)."""
AMBIGUOUS = frozenset({"500", "502", "503", "reset", "HTML with 200"})
SITES = tuple(sorted(senders()))


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with simulation_database() as url:
        yield url


class Fault:
    """One fault for the first `times` calls of some sites; `struck` counts them."""

    def __init__(self, name: str, sites: frozenset[str], times: int) -> None:
        self.name, self.sites, self.times = name, sites, times
        self.struck: Counter[str] = Counter()
        self.bodies: dict[str, bytes] = {}

    def learn(self, stage: Stage) -> None:
        """How each vendor words this refusal."""
        if self.name in STATUS:
            for host, sandbox in ((CT, stage.storefront), (CIN7, stage.back_office)):
                self.bodies[host] = sandbox.vendor.error_body(STATUS[self.name])
        stage.fired[self.name] += 1

    async def __call__(self, request: httpx2.Request, send: Send) -> httpx2.Response:
        """Strike, or let pass."""
        site = SITE.get()
        if site not in self.sites or self.struck[site] >= self.times:
            return await send(request)
        self.struck[site] += 1
        done = self.name in AFTER or (self.name in AMBIGUOUS and self.struck[site] % 2 == 0)
        answer = await send(request) if done else None
        return await self._spoil(request, answer)

    async def _spoil(self, request: httpx2.Request, answer: httpx2.Response | None) -> httpx2.Response:
        if self.name in STATUS:
            headers = {"retry-after": "5"} if self.name.endswith("Retry-After") else {}
            return httpx2.Response(
                STATUS[self.name], headers=headers, content=self.bodies[request.url.host], request=request
            )
        if self.name == "HTML with 200":
            return httpx2.Response(200, headers={"content-type": "text/html"}, content=HTML, request=request)
        if answer is not None and self.name in ("truncated body", "wrong type"):
            body = answer.content
            body = body[: len(body) // 2] if self.name == "truncated body" else _wrong_types(body)
            kept = {name: value for name, value in answer.headers.items() if name != "content-length"}
            return httpx2.Response(answer.status_code, headers=kept, content=body, request=request)
        if self.name != "reset":
            await asyncio.sleep(NO_ANSWER_SECONDS)
        raise httpx2.ReadError("no answer", request=request)


def check(name: str, sites: frozenset[str], times: int, url: str) -> None:
    """Play it; everything must be right at the end, and every site must have been struck.

    A fault here may make a call there needless, so what was spared is played once more without the rest.
    """
    for _ in range(2):
        fault = Fault(name, sites, times)
        with named():
            _, broken = tell(url, fault, prepare=fault.learn)
        assert not broken, f"{name}: " + "; ".join(str(each) for each in broken[:5])
        sites = sites - set(fault.struck)
        if not sites:
            return
    raise AssertionError(f"the story makes no call at {sorted(sites)}: give it one")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("name", FAULTS)
def test_each_call_site_survives(name: str, times: int, database: str) -> None:
    check(name, frozenset(SITES), times, database)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("site", "name", "times"), [(s, n, t) for s in SITES for n in FAULTS for t in (1, 3)] if ALONE else []
)
def test_one_call_site_alone(site: str, name: str, times: int, database: str) -> None:
    check(name, frozenset({site}), times, database)
