"""Writes spent against writes needed, over some minutes of a traded shop, judged from outside by the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import re

import httpx2
import psycopg
import uvloop

from bench.stage import Bench, Figure
from sellable.simulation.demo import Options, Scene, play

SECONDS, SPEED, SKUS, RATE = 15.0, 10.0, 200, 20.0
COUNTED = """SELECT sum(sends), count(*) FILTER (WHERE state = 'done' AND payload ->> 'd' <> '0') FROM operation
    WHERE kind = 'stock.write'"""
CALLS = re.compile(r'^sellable_\w+_count\{([^}]*operation="[^"]*"[^}]*)\} ([0-9.]+)', re.MULTILINE)


def measure(bench: Bench) -> list[Figure]:
    """The demo's shop in fast motion; the product runs as its own process on the durable database."""
    with bench.database() as url:
        return uvloop.run(_measure(bench, url))


async def _measure(bench: Bench, url: str) -> list[Figure]:
    options = Options(
        seconds=SECONDS, speed=SPEED, rate=RATE, skus=SKUS, folder=bench.folder / "writes", database_url=url
    )  # fmt: skip
    latest: dict[str, str] = {}
    calls: dict[str, float] = {}

    def show(scene: Scene) -> None:
        latest["page"] = scene.page

    async def follow() -> None:
        async with httpx2.AsyncClient(trust_env=False) as http:
            while True:
                await asyncio.sleep(1.0)
                with contextlib.suppress(httpx2.HTTPError):
                    if latest.get("page"):
                        text = (await http.get(f"{latest['page']}/metrics")).text
                        calls.update({labels: float(count) for labels, count in CALLS.findall(text)})

    following = asyncio.create_task(follow())
    try:
        result = await play(options, asyncio.Event(), show)
    finally:
        following.cancel()
    verdict = result.verdict
    spent, needed, nearer = *await asyncio.to_thread(_counted, url), verdict.writes_needed
    told = ", ".join(f"{count:,.0f} {labels}" for labels, count in sorted(calls.items()) if "graphql" in labels)
    world = f"{SKUS} SKUs on 3 channels, {RATE:.0f} orders a simulated minute, {SPEED:.0f} times as fast as life"
    return [
        Figure(
            what="writes spent / writes needed",
            found=f"{spent / needed:.3f} ({spent:,} / {needed:,})",
            wanted="<= 1.05",
            how=f"copies sent by keys that differed when looked at; {world}; first numbers included",
        ),
        Figure(
            what="writes spent / writes that brought an entry nearer to the truth",
            found=f"{verdict.writes_spent / nearer:.3f} ({verdict.writes_spent:,} / {nearer:,})",
            how="judged from outside, first numbers left out; a unit subtracted twice until the next reading costs two",
        ),
        Figure(
            what="calls that carried them",
            found=told or "unknown",
            how="writes (up to 25 a call) and reads before raises (up to 100 a call) together, by the client",
        ),
    ]


def _counted(url: str) -> tuple[int, int]:
    with psycopg.connect(url) as connection:
        row = connection.execute(COUNTED).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])
