"""The life of orders at a warehouse run with OrderFlow: imported, despatched, told as parcels.

Real processes in real time first: orders at 30 a second until their imports are accepted, then parcels, by poll and by
push. Then one window of 10,000 despatches, taken in by one process on the durable database.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import uvloop

from bench import orders_made
from bench.stage import MARK, PLENTY, Bench, Figure, Skipped, Storefront, service_of, spread, stock
from sellable.app.service import Service
from sellable.connectors.orderflow import translate, wire
from sellable.orders import capture
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.feeds import FeedContext
from sellable.runtime.inbox import put
from sellable.runtime.queries import Query
from sellable.sandbox.shop import SHELF, Place, Route, Shop
from sellable.sandbox.shopper import Basket, BasketLine, Control
from sellable.sandbox.shopper import Storefront as Shopper
from sellable.simulation.processes import Stand, stand, until
from sellable.sync import warehouse

SKUS, RATE, SECONDS, UNITS = 150, 30, 12.0, 5_000
DESPATCHES, DESPATCH_RATE, POLL_SECONDS = 120, 10, 10.0
WINDOW, BATCH, MADE = 10_000, 50, 500
WAIT_SECONDS_MAX = 120.0
CHANNEL, TOKEN = "web-eu", "bench-token"
FASTER = f"""calls_per_minute = 6000
push_auth = "path"
webhook = {{ path_token = "{TOKEN}" }}"""
COPIES = """INSERT INTO {table}
    SELECT (jsonb_populate_record(t, jsonb_build_object('order_id', order_id || '-' || k{more}))).*
    FROM {table} t CROSS JOIN generate_series(1, %s) AS k"""
COPIED = {
    "orders": "", "order_line": "", "part_line": "", "demand": "",
    "order_part": ", 'ref', replace(ref, order_id, order_id || '-' || k)",
}  # fmt: skip
IMPORTED = Query(
    package="bench", name="imported", purpose="",
    text="UPDATE order_part SET state = 'authorised', sale_id = ref, told = true WHERE state <> 'authorised'",
)  # fmt: skip
SETTLED = Query(package="bench", name="settled", purpose="", text="DELETE FROM operation")
EXPORTED = Query(package="bench", name="exported", purpose="", text="UPDATE orders SET stage = 'exported'")
PARTS = Query(
    package="bench", name="parts", purpose="",
    text="SELECT p.ref, l.sku, l.units FROM order_part p JOIN part_line l USING (order_id, part) ORDER BY 1, l.line_id",
)  # fmt: skip
SHIPPED = Query(
    package="bench", name="shipped", purpose="", text="SELECT count(*) AS n FROM order_part WHERE state = 'shipped'"
)


def measure(bench: Bench) -> list[Figure]:
    """Every order has one line, and the warehouse has all of it."""
    with bench.database() as url:
        found = uvloop.run(_live(bench, url))
    with bench.database() as url:
        return [*found, *uvloop.run(_window(bench, url))]


def _shop() -> Shop:
    """The demo's goods, all of them in a warehouse run with OrderFlow, which ships every line."""
    shop = Shop.demo(1, SKUS, bundles=0)
    channels = tuple(replace(c, places=("house",)) if c.key == CHANNEL else c for c in shop.channels)
    stock = [(item.sku, "house", SHELF, UNITS) for item in shop.items]
    return replace(
        shop, places=(*shop.places, Place(name="house", remote="House Site", house=True)), channels=channels,
        stock=tuple(stock), held_back={}, routes=(Route(name="all", house=True, channels=(CHANNEL,)),
                                                  Route(name="the rest", house=False)),
    )  # fmt: skip


# --- Real processes --------------------------------------------------------------------------------------------------


async def _live(bench: Bench, url: str) -> list[Figure]:
    shop, folder = _shop(), bench.folder / "orderflow"
    folder.mkdir()
    async with stand(folder, shop, 1.0, seed=1, database_url=url) as found:
        assert found.house is not None
        found.write_settings((found.clock.now() - timedelta(seconds=5)).isoformat())
        text = found.config.read_text("utf-8").replace("calls_per_minute = 240", FASTER)
        text = text.replace("despatch_poll_seconds = 60.0", f"despatch_poll_seconds = {POLL_SECONDS}")
        found.config.write_text(text.replace(MARK, f"{MARK}\ncalls_per_second = 200"), "utf-8")
        await found.start_services(1)
        await _raised(found, shop)
        seen, before = Seen(found), _busy(found, url)
        await _order(found, shop)
        await seen.all(round(RATE * SECONDS))
        ours, database = (after - then for after, then in zip(_busy(found, url), before, strict=True))
        imports = [at - seen.accepted[order] for order, at in seen.imported.items() if order in seen.accepted]
        refs = list(seen.refs.values())
        pulled = await _despatch(seen, refs[:DESPATCHES])
        await _push(found)
        pushed = await _despatch(seen, refs[DESPATCHES : 2 * DESPATCHES])
    return [
        Figure(
            what="order placed to import accepted by OrderFlow", found=spread(imports), wanted="p99 < 5 s",
            how=f"{len(imports)} orders of one line at {RATE}/s, heard of by a poll every 2 s, one import an order, "
            f"6,000 calls a minute allowed; processor time of an order: {1000 * ours / len(imports):.0f} ms ours and "
            f"{1000 * database / len(imports):.0f} ms the database's",
        ),
        Figure(
            what="despatch to parcel at commercetools, by poll", found=spread(pulled),
            wanted=f"p99 < {POLL_SECONDS + 5:g} s",
            how=f"{len(pulled)} despatches at {DESPATCH_RATE}/s, asked for every {POLL_SECONDS:g} s",
        ),
        Figure(
            what="despatch to parcel at commercetools, by push", found=spread(pushed), wanted="p99 < 10 s",
            how=f"{len(pushed)} despatches at {DESPATCH_RATE}/s, each told a second later by the simulator",
        ),
    ]  # fmt: skip


class Seen:
    """Instants by order id, of the simulators' journals: accepted, imported, despatched, told as a parcel."""

    def __init__(self, found: Stand) -> None:
        assert found.house is not None
        self._shop, self.house = found.storefront_control, Control(found.http, found.house.url)
        self.accepted: dict[str, float] = {}
        self.imported: dict[str, float] = {}
        self.left: dict[str, float] = {}
        self.told: dict[str, float] = {}
        self.refs: dict[str, str] = {}

    async def look(self) -> None:
        """Catch up with both."""
        for row in await self._shop.news():
            if row["what"] == "order_accepted":
                self.accepted[row["order"]] = row["t"]
            elif row["what"] == "delivery_added":
                self.told[row["order"]] = row["t"]
        for row in await self.house.news():
            if row["what"] == "order_imported":
                order = row["order"].split(":")[1]
                self.imported[order], self.refs[order] = row["t"], row["order"]
            elif row["what"] == "shipment" and row["state"] == "despatched":
                self.left[row["order"].split(":")[1]] = row["t"]

    async def all(self, count: int) -> None:
        """Until so many were imported. Raises Skipped."""

        async def done() -> bool:
            await self.look()
            return len(self.imported) >= count

        if not await until(done, WAIT_SECONDS_MAX, every=0.5):
            raise Skipped(f"only {len(self.imported)} of {count} orders were imported in {WAIT_SECONDS_MAX:.0f} s")


async def _raised(found: Stand, shop: Shop) -> None:
    async def shown() -> bool:
        entries = (await found.storefront_control.get("truth"))["projects"][shop.project]["entries"]
        return all(row["visible"] > 0 for row in entries if row["channel"] == CHANNEL)

    if not await until(shown, WAIT_SECONDS_MAX, every=1.0):
        raise Skipped(f"the first numbers were not all shown within {WAIT_SECONDS_MAX:.0f} s")


async def _order(found: Stand, shop: Shop) -> None:
    """Orders at a steady rate."""
    shopper = Shopper(found.http, found.storefront.url, shop)
    skus = itertools.cycle(item.sku for item in shop.items)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for n in range(round(RATE * SECONDS)):
            await asyncio.sleep(max(0.0, began + n / RATE - time.perf_counter()))
            line = BasketLine(sku=next(skus), quantity=1)
            group.create_task(shopper.order(Basket(number=f"F-{n}", channel=CHANNEL, country="DE", lines=(line,))))


async def _push(found: Stand) -> None:
    """The simulator tells of shipments that left at our door, as a tenant would set it up."""
    assert found.house is not None
    address = f"{found.services[0].url}/webhooks/orderflow/{TOKEN}"
    house = Control(found.http, found.house.url)
    await house.act(receivers={"order": address}, switch={"order_events": ["shipment_despatched"]})


async def _despatch(seen: Seen, refs: Sequence[str]) -> list[float]:
    """Shipments that leave at a steady rate; seconds from each until its parcel was told."""
    began = time.perf_counter()
    for n, ref in enumerate(refs):
        await asyncio.sleep(max(0.0, began + n / DESPATCH_RATE - time.perf_counter()))
        await seen.house.act(advance={"order": ref, "to": "despatched"})
    orders = [ref.split(":")[1] for ref in refs]

    async def told() -> bool:
        await seen.look()
        return all(order in seen.told for order in orders)

    if not await until(told, WAIT_SECONDS_MAX, every=0.5):
        missing = sum(order not in seen.told for order in orders)
        raise Skipped(f"{missing} of {len(orders)} parcels were not told within {WAIT_SECONDS_MAX:.0f} s")
    return [seen.told[order] - seen.left[order] for order in orders]


# --- One window ------------------------------------------------------------------------------------------------------


async def _window(bench: Bench, url: str) -> list[Figure]:
    """Orders that were imported, and one answer that says that all of them have left."""
    shop = _shop()
    storefront = Storefront(shop)
    stock(url, [item.sku for item in shop.items], ["house"], [CHANNEL], PLENTY)
    service = service_of(bench.settings(shop), url, storefront.client)
    await service.outside.storefront.learn(lane="orders")
    fresh = orders_made.copies(await orders_made.patterns(storefront, shop))
    for _ in range(MADE // BATCH):
        bodies = [body for _, _, body in itertools.islice(fresh, BATCH)]
        await service.store.write(_take, service, bodies)
    with psycopg.connect(url) as connection:
        for table in ("orders", "order_line", "order_part", "part_line", "demand"):
            connection.execute(COPIES.format(table=table, more=COPIED[table]), [WINDOW // MADE - 1])
    await service.store.write(lambda tx: [tx.run(each) for each in (IMPORTED, EXPORTED, SETTLED)])
    document = await service.store.read(_answer)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    before, began, effort = _memory("VmRSS"), time.perf_counter(), time.process_time()
    feed = warehouse.WindowFeed(
        service.store, service.clock, _answering(document), "despatch", "orderflow", service.clock.now(), timedelta(0)
    )
    context = FeedContext(name="bench", now=service.clock.now(), a0=0, failures=0, next_seq=_no_seq)
    turn = await feed.turn(None, context)
    read = time.perf_counter() - began
    await service.store.write(put, turn.arrivals, service.clock.now())
    while await service.inbox.work_once():
        pass
    took, busy = time.perf_counter() - began, time.process_time() - effort
    (shipped,) = await service.store.ask(SHIPPED)
    grown = _memory("VmHWM") - before
    service.store.close()
    if shipped.n != WINDOW:
        raise Skipped(f"only {shipped.n} of {WINDOW} orders were taken as shipped")
    return [
        Figure(
            what=f"{WINDOW:,} despatches in one window, until the book has them and their parcels are owed",
            found=f"{took:.0f} s", wanted="< 120 s",
            how=f"one answer of {len(document) / 1e6:.1f} MB, read in {read:.1f} s; orders of 3 lines, {MADE} of them "
            f"captured and the rest copied; {busy:.0f} s of our processor time beside the database's",
        ),
        Figure(
            what="memory of taking them in", found=f"grew by {grown:.0f} MB at the most", wanted="flat",
            how=f"resident size before {before:.0f} MB; the answer alone is {len(document) / 1e6:.1f} MB",
        ),
    ]  # fmt: skip


def _take(tx: Tx, service: Service, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        message = msgspec.json.decode(body)
        order = service.context.translate(msgspec.json.encode(message["order"]))
        capture.take(tx, order, service.clock.now(), service.context)


def _answer(tx: ReadTx) -> bytes:
    """What despatches.xml says when every one of these orders left at once."""
    left = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    shipments = []
    for ref, lines in itertools.groupby(tx.all(PARTS), key=lambda row: row.ref):
        goods = "".join(
            f"<orderLine><productReference>{line.sku}</productReference><quantity>{line.units}</quantity></orderLine>"
            for line in lines
        )
        shipments.append(
            f"<shipment><reference>{ref}</reference><orderReference>{ref}</orderReference><state>despatched</state>"
            f"<carrier>Royal Mail</carrier><despatchReference>OF{len(shipments):09d}GB</despatchReference>"
            f"<completed>{left}</completed><orderLines>{goods}</orderLines></shipment>"
        )
    return f"<shipments>{''.join(shipments)}</shipments>".encode()


def _answering(document: bytes) -> Callable[..., Any]:
    """A warehouse that answers so."""

    async def read(since: datetime, until: datetime, *, lane: str) -> Any:
        return translate.despatches(wire.parse(document), since=since, until=until, zone=UTC)

    return read


async def _no_seq() -> int:
    return 0


def _busy(found: Stand, url: str) -> tuple[float, float]:
    """Seconds of processor time so far: of the service, and of the database with all that it has started."""
    with psycopg.connect(url) as connection:
        backend = int(connection.execute("SELECT pg_backend_pid()").fetchone()[0])  # type: ignore[index]
    pid = found.services[0].pid
    return _seconds(str(pid)), sum(_seconds(each) for each in _family(_stat(str(backend))[1]))


def _family(parent: str) -> list[str]:
    """A process and its children; what ended already is in the parent's own account."""
    running = [path.name for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [parent, *(pid for pid in running if _stat(pid)[1] == parent)]


def _stat(pid: str) -> list[str]:
    """Fields of a process's status from its state on; the second is its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["", ""]


def _seconds(pid: str) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if len(fields) > 15 else 0.0


def _memory(name: str) -> float:
    """A line of this process's status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000
