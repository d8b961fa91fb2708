"""A simulated world: both vendors, shoppers, staff, one or two processes of the product, and what befalls them.

Rule: whoever judges reads the vendors' own records and the database, never the product's memory.
"""

from __future__ import annotations

import asyncio
import tempfile
import tomllib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psycopg

from sellable.app import recovery, status
from sellable.app.replaying import replay_case
from sellable.app.wiring import seal_of
from sellable.config.settings import Settings
from sellable.runtime import backup
from sellable.runtime.database import Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.queries import queries
from sellable.sandbox import cin7, commercetools
from sellable.sandbox.cin7 import fulfilment
from sellable.sandbox.clock import Clock as SandboxClock
from sellable.sandbox.commercetools.subscriptions import Delivery
from sellable.sandbox.control import Sandbox
from sellable.sandbox.shop import CANCELLED, dice
from sellable.sandbox.shopper import Control, Storefront
from sellable.sandbox.traffic import Traffic
from sellable.simulation.rules import Outage, Rules
from sellable.simulation.virtual.aftersale import AfterSale
from sellable.simulation.virtual.blindness import Blindness
from sellable.simulation.virtual.doors import HEADERS, HOOK, SUBSCRIPTION, US, Doors, address
from sellable.simulation.virtual.loop import Stuck, VirtualLoop
from sellable.simulation.virtual.menu import CIN7, CT, TROUBLES, Weather
from sellable.simulation.virtual.process import HintBoard, Process, VirtualClock
from sellable.simulation.virtual.profiles import CART_MINUTES, Plan
from sellable.simulation.virtual.wire import Trace, Wire
from sellable.simulation.watch import Rest, Watch

sql = queries("sellable.simulation.virtual")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
START_AT = START - timedelta(minutes=10)
"""Orders count from here on: by the storefront's clock, which may be behind."""
TEMPO: dict[str, Any] = {
    "sweep_seconds": 60.0, "sales_poll_seconds": 30.0, "catalogue_seconds": 600.0, "visibility_lag_seconds": 10.0,
    "search_settle_seconds": 20.0,
}  # fmt: skip
STAFF = {"auto": True, "ship_after_seconds": 30, "split_rate": 0.1, "carrier": "DHL"}
LIMITS: tuple[dict[str, Any], ...] = (
    {}, {"maxCartQuantity": 20}, {"stockLevels": {"reorderPoint": 3}}, {"expectedDelivery": "2026-04-01T00:00:00.000Z"},
)  # fmt: skip
"""Fields of an entry that belong to others, for some entries."""
INSTANTS = ("t", "time", "visible_at")
"""Fields of records that are unix seconds."""
LOOK_SECONDS = 5.0
SCAN_SECONDS = 300.0
BASELINE_SECONDS_MAX = 600.0
SETTLED_SECONDS = 75.0
"""Longer than a sweep of the back office and its pages: what happened last has been learnt by then."""
CONVERGE_SECONDS_MAX = 2 * (60 + 20 + 300) + 240
"""2 x (longest poll + settle + backoff cap), and the staff's work on the last order."""
OPERATOR_SECONDS = 45.0
RESTORE_SECONDS = 5.0
READ_AGAIN_SECONDS = 30.0
"""After a restore every entry is read once more before anything is known of it."""
RECOVERY_SECONDS = 10.0
"""After a process has come back it may take so long until everything it had begun is resolved."""


class Records:
    """A simulator's own records, read in process, with our clock's instants; its own is `skew` seconds ahead."""

    def __init__(self, sandbox: Sandbox, skew: float) -> None:
        self._sandbox, self._skew, self._read = sandbox, skew, 0

    async def get(self, name: str) -> Any:
        """`truth` or `stats`, as plain JSON values."""
        found = self._sandbox.vendor.truth() if name == "truth" else self._sandbox.stats.report()
        return self._ours(msgspec.json.decode(msgspec.json.encode(found)))

    async def news(self) -> list[dict[str, Any]]:
        """Journal rows since the last time."""
        rows = self._sandbox.journal.since(self._read, 1_000_000)
        self._read += len(rows)
        return [self._ours(row) for row in rows]

    def _ours(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, **{name: row[name] - self._skew for name in INSTANTS if name in row}} if self._skew else row


class _Watch(Watch):
    """Goods that a customer carried away although a sale held them can never be shipped, so nobody waits for them."""

    stand: World

    def to_ship(self) -> int:
        """Allocated units that are there; none where a kit lacks one of its goods, so that nobody can pick it."""
        levels = self.stand.back_office.vendor.truth()["levels"]
        missing: int = sum(max(0, level["allocated"] - level["on_hand"]) for level in levels)
        left = max(0, super().to_ship() - missing)
        return left if left and self._staff_can_work() else 0

    def _staff_can_work(self) -> bool:
        world: Any = self.stand.back_office.vendor.world  # type: ignore[attr-defined]
        live = [sale for sale in world.sales.values() if sale.order_status == "AUTHORISED" and not sale.voided]
        on_the_way = any(
            task.pick_status == "AUTHORISED" != task.ship_status for sale in live for task in sale.fulfilments
        )
        return on_the_way or any(not sale.backordered and fulfilment.pickable(world, sale) for sale in live)


class World:
    """Everything of one run. `step` is called at each look and each scan by whoever judges."""

    def __init__(self, plan: Plan, url: str, trace: Trace) -> None:
        self.plan, self.trace, self._url = plan, trace, url
        seed = plan.seed
        self.loop = VirtualLoop(dice(seed, "database"))
        start = START.timestamp()
        self.clock = VirtualClock(source=lambda: start + self.loop.time(), ticks=self.loop.time)
        self.outside_clock = SandboxClock(source=lambda: start + self.loop.time())
        self.shop = plan.shop()
        self.rules = Rules.of(self.shop)
        self.storefront = commercetools.build(self._clock_of(CT), seed)
        self.back_office = cin7.build(self._clock_of(CIN7), seed)
        self.blindness = Blindness(self.clock.time)
        self.weather = Weather(seed, self.blindness.strike)
        self.fired: Counter[str] = Counter()
        self.outages: list[Outage] = []
        self.phase = "boot"
        self._die = dice(seed, "deeds")
        self.configured = self.settings()
        self.ids = Ids(self.clock, dice(seed, "operator").randbytes)
        self._tasks: list[asyncio.Task[None]] = []
        self.hints = HintBoard(self.loop, dice(seed, "hints"), self._hint_lost)
        sandboxes = {CT: self.storefront, CIN7: self.back_office}
        outside = Wire(self.loop, dice(seed, "shoppers' network"), trace, {h: s.asgi for h, s in sandboxes.items()})
        doors = {host: self.weather.over(host, sandbox, self.outside_clock) for host, sandbox in sandboxes.items()}
        self.wire = Wire(self.loop, dice(seed, "network"), trace, doors)
        self.http = httpx2.AsyncClient(transport=outside, trust_env=False)
        self.control = Control(self.http, f"http://{CIN7}")
        self.storefront_control = Records(self.storefront, plan.skew.get(CT, 0.0))
        self.back_office_control = Records(self.back_office, plan.skew.get(CIN7, 0.0))
        self.processes = [
            Process(
                f"p{n + 1}", self.loop, url, self.configured, self.clock, self.hints, self.wire, dice(seed, f"p{n}")
            )
            for n in range(plan.workers)
        ]
        self.store = self._open_store()
        self.restored = 0
        self.watch = _Watch(self, self.rules)
        shoppers = Storefront(self.http, f"http://{CT}", self.shop)
        self.traffic = Traffic(self.shop, shoppers, self.control, self.outside_clock, seed, plan.tempo)
        self.after_sale = AfterSale(self, shoppers)
        self.doors = Doors(self.loop, dice(seed, "doors"), self.processes)

    def _clock_of(self, host: str) -> SandboxClock:
        """A vendor's clock, which may be wrong."""
        start = START.timestamp() + self.plan.skew.get(host, 0.0)
        return SandboxClock(source=lambda: start + self.loop.time())

    # --- what a watch asks -------------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """The overview as the database has it."""
        return self.store.read_now(status.overview, self.clock.now())

    # --- making it ---------------------------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The product's settings for this shop."""
        text = self.shop.settings_toml(
            f"http://{CT}", f"http://{CIN7}", "nowhere", self._url, start_at=START_AT.isoformat(), tempo=TEMPO
        )
        document = tomllib.loads(text)
        measured = "yes" if self.plan.ct.get("restocks_on_return") else "no"
        document["commercetools"] |= {
            "restocks_on_cancel": self.plan.restocks, "cancelled_states": [CANCELLED],
            "restocks_on_return": measured if self.plan.restocks != "unknown" else "unknown",
        }  # fmt: skip
        document["orders"]["staff_cancels"] = self.plan.staff_cancels
        if self.plan.pushes:
            document["commercetools"]["webhook"] = HOOK
            document["cin7_core"]["webhook"] = HOOK | {"public_url": US}
        return self.plan.adapt(msgspec.convert(document, Settings))

    def load(self) -> None:
        """Fill both vendors."""
        seed = self.shop.commercetools()
        holds = {"reservationExpirationInMinutes": CART_MINUTES} if "ReserveOnCart" in dict(self.plan.modes) else {}
        limited = [{**entry, **LIMITS[n % len(LIMITS)], **holds} for n, entry in enumerate(seed["inventory"])]
        switches = {**seed["switches"], **self.plan.ct}
        subscriptions = {"subscriptions": [SUBSCRIPTION]} if self.plan.pushes else {}
        self.storefront.load({**seed, **subscriptions, "inventory": limited, "switches": switches})
        seed = self.shop.cin7(staff={**STAFF, "pick_after_seconds": self.plan.pick_seconds})
        self.back_office.load({**seed, "switches": {**seed["switches"], **self.plan.cin7}})
        if self.plan.pushes:
            self._push()

    def _push(self) -> None:
        """Both vendors push what happened, too."""
        shop: Any = self.storefront.vendor.shop(self.shop.project)  # type: ignore[attr-defined]
        wish = {"subscription_key": SUBSCRIPTION["key"], "url": address("commercetools"), "headers": HEADERS}
        shop.subscriptions.deliver(msgspec.convert({**wish, **self.plan.pushes}, Delivery))
        self.storefront.vendor.outbound.post = self.doors.post  # type: ignore[attr-defined]
        self.back_office.vendor.webhooks.outbound.post = self.doors.post  # type: ignore[attr-defined]

    def fields(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Of every entry the fields of these names, in an order that lasts."""
        docs = self.storefront.vendor.shop(self.shop.project).project.inventory.docs.values()  # type: ignore[attr-defined]
        return [{"sku": doc["sku"], **{n: doc[n] for n in names if n in doc}} for doc in docs]

    # --- its course --------------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Whether the condition came true within virtual seconds."""
        end = self.loop.time() + seconds
        while not await condition():
            if self.loop.time() >= end:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    async def boot(self) -> bool:
        """Start the product on an empty storefront; whether every number was right in time."""
        await self.watch.open()
        for process in self.processes:
            process.start()

        async def numbered() -> bool:
            return await self.watch.wrong_now() == 0

        return await self.until(numbered, BASELINE_SECONDS_MAX)

    async def trade(self, step: Callable[[], None]) -> None:
        """Doors open, trouble and all; `step` is called every few seconds."""
        self.phase = "trading"
        self.watch.begin()
        stop = asyncio.Event()
        trading = asyncio.create_task(self.traffic.run(stop))
        for work in (self._play_deeds(), self._play_weather(), self._staff(), self._foreign(), self._cuts(),
                     self._returns(), self.after_sale.at_the_desk()):  # fmt: skip
            self._tasks.append(asyncio.create_task(work))
        end = self.loop.time() + self.plan.minutes * 60
        while self.loop.time() < end:
            await asyncio.sleep(min(LOOK_SECONDS, end - self.loop.time()))
            await self.watch.look()
            step()
        stop.set()
        await trading

    async def converge(self, step: Callable[[], None]) -> tuple[bool, str]:
        """All trouble ends; whether everything came to rest in time, else what did not."""
        self.phase = "converging"
        await self._end_trouble()
        rest = Rest(self.watch, SETTLED_SECONDS)
        again = self.loop.time() + OPERATOR_SECONDS

        async def reached() -> bool:
            nonlocal again
            restless = await self.after_sale.restless() or self._on_the_road() or self._in_carts()
            done = await rest.reached() and not restless
            step()
            if not done and self.loop.time() >= again:
                again = self.loop.time() + OPERATOR_SECONDS
                self._operate()
            return done

        return await self.until(reached, CONVERGE_SECONDS_MAX + 2 * self.plan.pick_seconds), rest.what

    def _on_the_road(self) -> bool:
        """Whether a truck still brings goods."""
        return any(transfer["status"] == "IN TRANSIT" for transfer in self.back_office.vendor.truth()["transfers"])

    def _in_carts(self) -> bool:
        """Whether a cart that nobody orders still holds goods."""
        return any(entry.held for entry in self.watch.picture.entries.values())

    def _operate(self) -> None:
        """A person at the desk tries everything again that stands behind a case."""

        def replay_all(tx: Tx) -> int:
            refs = [row.ref for row in tx.all(sql.parked_cases)]
            return sum(replay_case(tx, self.configured, ref, "cli:operator", self.clock, self.ids) for ref in refs)

        self.fired["replayed by a person"] += self.store.write_now(replay_all)

    async def _end_trouble(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.weather.set({})
        for process in self.processes:
            process.resume()
            if process.life is None or process.life.state == "dead":
                process.start()

    # --- trouble -----------------------------------------------------------------------------------------------------

    def _hint_lost(self) -> bool:
        lost = self.phase == "trading" and self._die.random() < self.plan.lost_hints
        self.fired["hint lost"] += lost
        return lost

    async def _play_weather(self) -> None:
        """What is in force changes when an episode begins or ends."""
        base = self.loop.time()
        background = {name: rate * TROUBLES[name].weight for name, rate in self.plan.rates.items()}
        moments = sorted({0.0, *(e.at for e in self.plan.episodes), *(e.at + e.seconds for e in self.plan.episodes)})
        for at in moments:
            await asyncio.sleep(max(0.0, base + at - self.loop.time()))
            now = {e.trouble: e.rate for e in self.plan.episodes if e.at <= at < e.at + e.seconds}
            self.weather.set(background | now)
            self.trace.note(self.loop.time(), "weather", ", ".join(f"{n} {r:g}" for n, r in now.items()) or "fair")
        if not moments:
            self.weather.set(background)

    async def _play_deeds(self) -> None:
        base = self.loop.time()
        async with asyncio.TaskGroup() as group:
            for deed in self.plan.deeds:
                group.create_task(self._do(base + deed.at, deed.what, self.processes[deed.worker], deed.seconds))

    async def _put_back(self, at: float, seconds: float) -> None:
        """The database is lost, and what it was `seconds` before is all there is."""
        await asyncio.sleep(max(0.0, at - seconds - self.loop.time()))
        with tempfile.TemporaryDirectory(prefix="sellable-backup-") as folder:
            file = Path(folder) / "backup"
            backup.write(self._url, file, self.clock.now())
            await asyncio.sleep(max(0.0, at - self.loop.time()))
            began = self.clock.time()
            self.fired["restore"] += 1
            self.trace.note(self.loop.time(), "world", f"restore of {seconds:.1f} s ago")
            end = began + RESTORE_SECONDS + READ_AGAIN_SECONDS
            self.outages.append(Outage(start=began, end=end))
            for process in self.processes:
                process.kill()
            await asyncio.sleep(RESTORE_SECONDS)
            self.store.close()
            backup.restore(self._url, file, force=True, after=self._begin_anew)
            self.store = self._open_store()
        self.restored += 1
        for process in self.processes:
            process.start()

    def _begin_anew(self, tx: Tx, made: backup.Manifest) -> None:
        recovery.begin(tx, self.configured, self.clock, "cli:operator", made.made_at)

    def _open_store(self) -> Store:
        return Store(self._url, self.clock, threads=1, seal=seal_of(self.configured), hints=self.hints)

    async def _do(self, at: float, what: str, process: Process, seconds: float) -> None:
        if what == "restore":
            return await self._put_back(at, seconds)
        await asyncio.sleep(max(0.0, at - self.loop.time()))
        if process.life is None or process.life.state != "alive":
            return None
        began = self.clock.time()
        self.fired[what] += 1
        self.trace.note(self.loop.time(), process.name, what)
        outage = len(self.outages)
        self.outages.append(Outage(start=began, end=began + seconds + RECOVERY_SECONDS))
        if what == "kill":
            process.kill()
            await asyncio.sleep(seconds)
            process.start()
        else:
            process.pause()
            await asyncio.sleep(seconds)
            process.resume()
        self.outages[outage] = Outage(start=began, end=self.clock.time() + RECOVERY_SECONDS)
        return None

    async def _staff(self) -> None:
        """People at the back office undo and void sales that are not picked yet, and take units off them."""
        while await self._pause_for(self.plan.staff):
            if self._die.random() < 0.4:
                wish = self.after_sale.reducible()
                if wish is not None:
                    await self._act("reduce", self.after_sale.reduce(wish))
                continue
            sales = [s for s in self.back_office.vendor.truth()["sales"] if s["order_status"] == "AUTHORISED"]
            fresh = [s["sale"] for s in sales if s["shipping_status"] in ("NOT AVAILABLE", "NOT SHIPPED")]
            if fresh:
                word = "undo" if self._die.random() < 0.7 else "void"
                await self._act(word, self.control.act(staff={word: self._die.choice(fresh)}))

    async def _returns(self) -> None:
        """Customers send things back."""
        while await self._pause_for(self.plan.returns):
            self.after_sale.give_back()

    async def _foreign(self) -> None:
        """Somebody in the Merchant Center types another number."""
        while await self._pause_for(self.plan.foreign):
            entry = self._die.choice(self.storefront.vendor.truth()["projects"][self.shop.project]["entries"])
            wish = {"sku": entry["sku"], "channel": entry["channel"], "quantity": max(0, entry["visible"] - 1)}
            await self._act("foreign write", Control(self.http, f"http://{CT}").act(set_quantity=wish))

    async def _cuts(self) -> None:
        """The database breaks all connections of the product between two transactions."""
        while await self._pause_for(self.plan.cuts):
            self.fired["connections cut"] += 1
            with psycopg.connect(self._url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name = 'sellable' AND datname = current_database() AND pid <> pg_backend_pid()"
                )

    async def _pause_for(self, times_an_hour: float) -> bool:
        if not times_an_hour:
            return False
        await asyncio.sleep(self._die.expovariate(times_an_hour / 3600))
        return True

    async def _act(self, what: str, deed: Awaitable[Any]) -> None:
        name = f"staff {what}" if what in ("undo", "void", "reduce") else what
        # Counted first: when the day ends in the middle of it, it was done nevertheless.
        self.fired[name] += 1
        try:
            await deed
        except (ValueError, httpx2.HTTPError):
            self.fired[name] -= 1

    def all_fired(self) -> Counter[str]:
        """How often each trouble struck."""
        self.weather.count()
        return self.fired + self.weather.fired + self._pushes()

    def _pushes(self) -> Counter[str]:
        """What became of what the storefront pushed."""
        if not self.plan.pushes:
            return Counter()
        counts = self.storefront.vendor.truth()["projects"][self.shop.project]["deliveries"]
        return Counter({f"push {name}": times for name, times in counts.items()})

    def all_outages(self) -> list[Outage]:
        """When nobody could have known better."""
        return [*self.outages, *self.blindness.outages()]

    async def rest(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)
        await self.watch.look()

    async def all_told(self) -> None:
        """Stop at a moment when nothing is on its way to be told, or later than anything may take to be.

        Staff go on while everything rests: what they ship of a sale that waits for the rest of its goods can be learnt
        only when the list of sales is read again.
        """

        async def told() -> bool:
            await self.watch.look()
            return self.watch.untold == 0

        await self.until(told, SETTLED_SECONDS)

    # --- its end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Drop everything; what still runs is cancelled with the database already out of reach."""
        for process in self.processes:
            process.kill()
        self.store.close()
        loop = self.loop
        for life in [life for process in self.processes for life in process.past]:
            loop.resume(life)
        with suppress(Stuck):
            for _ in range(20):
                left = [task for task in asyncio.all_tasks(loop) if not task.done()]
                if not left:
                    break
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(left, timeout=1.0))
        loop.close()
