"""The availability API, 20 SKUs a call, with 100,000 SKUs on two channels behind it; and the server's bare route."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import psycopg
import uvloop

from bench.console import HOUR
from bench.load import Caller, get, in_turns
from bench.stage import Bench, Figure, spread, stock
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.sandbox.shop import Shop
from sellable.simulation.processes import Process
from sellable.web.people import book
from sellable.web.people.passwords import hash_of, new_word

SKUS, OF_CALL, RATE, SECONDS = 100_000, 20, 300, 10
CALLS = 20_000
ROUNDS, TURN_SECONDS, CONNECTIONS = 3, 3.0, 32
LIMITS = {"SELLABLE_CONSOLE__API_CALLS_PER_SECOND": "1000000"}


def measure(bench: Bench) -> list[Figure]:
    """One real uvicorn process, asked by a token at a steady rate, then in turns with the route that only answers."""
    shop = Shop.demo(1, 200)
    bench.settings(shop)
    skus = [f"SKU-{n:06}" for n in range(SKUS)]
    channels = [c.key for c in shop.channels][:2]
    with bench.database() as url:
        stock(url, skus, [p.name for p in shop.places], channels, 10)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(HOUR[0], {"skus": skus})
            connection.execute("VACUUM ANALYZE")
        return uvloop.run(_measure(bench, url, skus, channels[0], _token(url)))


async def _measure(bench: Bench, url: str, skus: list[str], channel: str, token: str) -> list[Figure]:
    config = max(bench.folder.glob("settings-*.toml"))
    command = ["-m", "bench.webhook_server", str(config), url, "store"]
    server = Process("availability", command, bench.folder / "availability.log", LIMITS)
    # Made beforehand: whoever loads shares the processors, and must not be what is measured.
    asked = itertools.cycle(list(itertools.islice(_calls(skus, channel, token), CALLS)))
    bare_call = get("/health", {})
    try:
        caller = await Caller(await server.start()).open(CONNECTIONS * 2)
        await caller.at_most(lambda: next(asked), 1.0, CONNECTIONS)
        taken = await caller.steadily(lambda: next(asked), RATE, SECONDS)
        full, bare, share = await in_turns(
            ROUNDS,
            lambda: caller.at_most(lambda: next(asked), TURN_SECONDS, CONNECTIONS),
            lambda: caller.at_most(lambda: bare_call, TURN_SECONDS, CONNECTIONS),
        )
        failed = caller.failed
    finally:
        await server.stop()
    return [
        Figure(
            what=f"availability API, {OF_CALL} SKUs at {RATE}/s", found=spread(taken), wanted="p99 < 20 ms",
            how=f"{SKUS:,} SKUs on two channels, one asked with a token, {SECONDS} s, latency from the due time, "
            f"{failed} refused",
        ),
        Figure(
            what="most availability calls a second", found=f"{full:,.0f}/s, {bare:,.0f}/s bare: {share:.0%}",
            wanted=">= 50 %", how=f"{CONNECTIONS} connections, median of {ROUNDS} turns of {TURN_SECONDS:.0f} s each",
        ),
    ]  # fmt: skip


def _calls(skus: list[str], channel: str, token: str) -> Iterator[bytes]:
    die, headers = random.Random(7), {"authorization": f"Bearer {token}"}
    while True:
        query = urlencode([*(("sku", sku) for sku in die.sample(skus, OF_CALL)), ("channel", channel)])
        yield get(f"/api/v1/availability?{query}", headers)


def _token(url: str) -> str:
    store, word = Store(url, Clock()), new_word(book.TOKEN_PREFIX)

    def put(tx: Tx) -> None:
        now = datetime.now(UTC)
        person = tx.value(book.sql.put_person, name="bench", key="bench", role="viewer", now=now)
        tx.value(
            book.sql.put_token, hash=hash_of(word), person=person, label="bench", scope="read", now=now,
            expires_at=now + timedelta(days=1),
        )  # fmt: skip

    try:
        store.write_now(put)
    finally:
        store.close()
    return word
