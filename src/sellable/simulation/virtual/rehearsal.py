"""A rehearsal: somebody's own channels, pools, buffers and budgets, with made-up goods, on the day of a flash sale.

Rule: what is rehearsed are the settings as they are; what had to be another (addresses, secrets, goods, bins, taxes) is
the simulators', and what of it could matter is said.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import psycopg

from sellable.config.settings import Channel, Settings, StateRule
from sellable.domain.stock import State
from sellable.sandbox.shop import SHELF, Item, Place, SalesChannel, Shop, dice
from sellable.sandbox.traffic import Tempo
from sellable.simulation.oracle import Verdict, judge, percentiles
from sellable.simulation.picture import order_of
from sellable.simulation.rules import Declared
from sellable.simulation.virtual.play import EMPTY, listening
from sellable.simulation.virtual.profiles import Plan
from sellable.simulation.virtual.wire import Trace
from sellable.simulation.virtual.world import LOOK_SECONDS, World, sql

MASTER = "cin7_core"
NO_CHANNEL = "no-channel"
"""Key under which entries without a channel are rehearsed."""
STORE_LAG_SECONDS = 18.0
"""Of D after a sale was seen: 8 s to decide and to write, and the storefront's own lag of 10 s."""
WALK_SECONDS = 48.0
"""Of D after a sweep began: its pages, 30 s, and the same."""
READY_SECONDS_MAX = 3600.0
END_SECONDS_MAX = 1800.0
COUNTER_SALES = 4.0
LIMITING_PERCENT = 5
"""A budget for which nobody waited longer than this part of the time limits nothing."""
KEPT_ORDERS = ("form", "held_age_limit_hours", "adopt_minutes_after_birth")
KEPT_STOREFRONT = (
    "restocks_on_cancel", "calls_per_second", "concurrency", "write_batch", "hot_poll_seconds", "trail_poll_seconds",
    "order_sweep_seconds", "entry_walk_hours",
)  # fmt: skip
KEPT_BACK_OFFICE = (
    "calls_per_minute", "sweep_seconds", "sales_poll_seconds", "catalogue_seconds", "catalogue_walk_hours",
    "visibility_lag_seconds", "allocates", "search_settle_seconds", "stray_draft_minutes", "max_age_minutes",
    "stale_buffer",
)  # fmt: skip


class Unsuitable(ValueError):
    """These settings cannot be rehearsed. The message says why and what to change."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal(Plan):
    """A calm day on which everybody wants the same few goods. `counter` is the location (our name) where a shop's
    counter sells the same shelf, "" for none."""

    own: Settings
    counter: str = ""

    def shop(self) -> Shop:
        """The settings' channels and places, filled with made-up goods."""
        return shop_of(self.own, self.seed, self.skus, self.counter)

    def adapt(self, settings: Settings) -> Settings:
        """The simulators' addresses and secrets with everything else as the owner of the settings has it."""
        own = self.own
        office = {name: getattr(own.cin7_core, name) for name in KEPT_BACK_OFFICE}
        if not own.cin7_core.read_key or own.cin7_core.read_key == own.cin7_core.key:
            office["read_key"] = ""
        store = {name: getattr(own.commercetools, name) for name in KEPT_STOREFRONT}
        return msgspec.structs.replace(
            settings,
            orders=msgspec.structs.replace(settings.orders, **{n: getattr(own.orders, n) for n in KEPT_ORDERS}),
            commercetools=msgspec.structs.replace(settings.commercetools, **store),
            cin7_core=msgspec.structs.replace(settings.cin7_core, **office),
            locations=tuple(x for x in own.locations if x.master == MASTER),
            states=_states(own),
            pools=tuple(msgspec.structs.replace(p, locations=_ours(own, p.locations)) for p in own.pools),
            channels=tuple(_channel(channel) for channel in own.channels),
            buffers=tuple(
                msgspec.structs.replace(rule, channel=NO_CHANNEL) if rule.channel == "" else rule
                for rule in own.buffers
                if not rule.location or rule.location in _ours(own, [rule.location])
            ),
            skus=own.skus,
        )

    @property
    def declared(self) -> Declared:
        """Within how many seconds these settings should let a change reach every entry."""
        own = self.own
        return Declared(
            sale=own.commercetools.hot_poll_seconds + STORE_LAG_SECONDS,
            master=own.cin7_core.sweep_seconds + WALK_SECONDS,
        )


def rehearsal(
    own: Settings, *, seed: int, minutes: float, orders: float, flash: float, skus: int, counter: str = ""
) -> Rehearsal:
    """The plan. Raises Unsuitable where the settings have nothing that could be rehearsed."""
    sellable_at = {rule.location for rule in own.states if rule.state is State.AVAILABLE}
    places = [x.name for x in own.locations if x.master == MASTER]
    if not places:
        raise Unsuitable("no location has cin7_core as its master, and no other back office can be rehearsed")
    if counter and counter not in places:
        raise Unsuitable(f"there is no location {counter!r} at Cin7 Core; there are {', '.join(places)}")
    ships = {x.name for x in own.locations if x.ships}
    for channel in own.channels:
        pool = next(p for p in own.pools if p.name == channel.pool)
        if not any(place in sellable_at and place in ships for place in _ours(own, pool.locations)):
            raise Unsuitable(
                f"channel {channel.key!r} has nothing to sell: no location of pool {pool.name!r} is at Cin7 Core,"
                " ships and holds stock that [[states]] calls available"
            )
    if not own.channels:
        raise Unsuitable("no [[channels]] are named")
    tempo = Tempo(
        orders=orders, flash=flash, counter_sales=COUNTER_SALES if counter else 0.0, deliveries=0.0, inspections=0.0,
        transfers=0.0, write_offs=0.0, cancelled=0.02, returned=0.0, sold_out_seconds=2.0,
    )  # fmt: skip
    return Rehearsal(
        seed=seed, profile="rehearsal", minutes=minutes, tempo=tempo, skus=skus, own=own, counter=counter,
        restocks=own.commercetools.restocks_on_cancel, pick_seconds=120.0,
        ct={"order_lag_seconds": 2.0, "restocks_on_cancel": own.commercetools.restocks_on_cancel != "no"},
        cin7={"availability_lag_seconds": min(1.0, own.cin7_core.visibility_lag_seconds)},
    )  # fmt: skip


def shop_of(own: Settings, seed: int, skus: int, counter: str) -> Shop:
    """Goods under the SKUs that the settings name, and others, on the settings' places."""
    available = {rule.location for rule in own.states if rule.state is State.AVAILABLE}
    places = tuple(
        Place(
            name=x.name, remote=x.remote, ships=x.ships, counter=x.name == counter, inspects=False,
            sellable=x.name in available,
        )
        for x in own.locations
        if x.master == MASTER
    )  # fmt: skip
    pools = {pool.name: _ours(own, pool.locations) for pool in own.pools}
    channels = tuple(
        SalesChannel(
            key=channel.key or NO_CHANNEL, name=channel.key or "without a channel", pool=channel.pool,
            places=pools[channel.pool], countries=("DE",),
        )
        for channel in own.channels
    )  # fmt: skip
    items = _items(own, seed, skus)
    base = Shop.demo(seed, 1, 0)
    return replace(
        base, items=items, places=places, channels=channels, taxes=tuple(t for t in base.taxes if t.country == "DE"),
        stock=tuple(_stock(seed, items, [p.name for p in places if p.sellable])), held_back={},
        restocks_on_cancel=own.commercetools.restocks_on_cancel != "no",
    )  # fmt: skip


def _items(own: Settings, seed: int, skus: int) -> tuple[Item, ...]:
    """Plain goods have the SKUs that the settings name, as far as there are any; kits are made of others."""
    spelled = {pair.storefront: pair.master for pair in own.skus}
    named = [*(rule.sku for rule in own.buffers if rule.sku), *spelled.values()]
    named = [sku for sku in dict.fromkeys(named) if sku not in spelled]
    kits = max(1, skus // 20)
    made = Shop.demo(seed, max(skus, len(named) + 3 * kits), kits).items
    parts = {sku for item in made for sku in item.recipe}
    renamed = dict(zip((i.sku for i in made if not i.recipe and i.sku not in parts), named, strict=False))
    items = {sku: replace(item, sku=sku) for item in made for sku in [renamed.get(item.sku, item.sku)]}
    others = (replace(items[master], sku=sku, known_as=master) for sku, master in spelled.items())
    return (*items.values(), *others)


def _stock(seed: int, items: Iterable[Item], places: Sequence[str]) -> Iterable[tuple[str, str, str, int]]:
    """Most goods are scarce somewhere; what the rush is for is there, and sold out before it ends."""
    die, popular = dice(seed, "stock"), list(items)
    # As the traffic does it: the first hundredth is what everybody wants.
    dice(seed, "popularity").shuffle(popular)
    hot = {sku for item in popular[: max(1, len(popular) // 100)] for sku in (item.sku, item.known_as, *item.recipe)}
    for item in items:
        if not item.recipe and not item.known_as:
            for place in places:
                ((low, high),) = die.choices(((0, 0), (1, 5), (6, 40), (40, 120)), (1, 3, 4, 2))
                yield item.sku, place, SHELF, die.randint(60, 120) if item.sku in hot else die.randint(low, high)


def _ours(own: Settings, names: Iterable[str]) -> tuple[str, ...]:
    ours = {x.name for x in own.locations if x.master == MASTER}
    return tuple(name for name in names if name in ours)


def _states(own: Settings) -> tuple[StateRule, ...]:
    """One shelf at each place: sellable where any bin of it is."""
    available = {rule.location for rule in own.states if rule.state is State.AVAILABLE}
    return tuple(
        StateRule(location=x.name, bin="*", state=State.AVAILABLE if x.name in available else State.INSPECTION)
        for x in own.locations
        if x.master == MASTER
    )


def _channel(channel: Channel) -> Channel:
    """As it will be when it is live: not held up by what a person must confirm the first time."""
    return msgspec.structs.replace(
        channel, key=channel.key or NO_CHANNEL, mode="full", brake_keys_percent=100, brake_units_percent=100
    )


# --- Playing it ------------------------------------------------------------------------------------------------------


@dataclass
class Waits:
    """Who waited for a call of which budget, looked at every few seconds."""

    looks: int = 0
    waited: Counter[tuple[str, str]] = field(default_factory=Counter)
    most: Counter[tuple[str, str]] = field(default_factory=Counter)
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    may: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)

    async def watch(self, world: World) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.looks += 1
            for service in (p.service for p in world.processes if p.service is not None):
                for u in await service.outside.budgets.usage():
                    key = u.credential, u.lane
                    self.waited[key] += u.waiting > 0
                    self.most[key] = max(self.most[key], u.waiting)
                    self.used[key] = max(self.used[key], u.used)
                    self.may[key] = u.calls, u.window_seconds

    def limiting(self) -> list[dict[str, Any]]:
        """Lanes for which somebody waited, the longest first."""
        return [
            {
                "budget": credential, "lane": lane, "waited_percent_of_the_time": round(100 * n / self.looks),
                "waiting_most": self.most[credential, lane], "calls_most": self.used[credential, lane],
                "calls_allowed": self.may[credential, lane][0], "window_seconds": self.may[credential, lane][1],
            }
            for (credential, lane), n in self.waited.most_common()
            if n * 100 >= self.looks * LIMITING_PERCENT
        ]  # fmt: skip


def rehearse(plan: Rehearsal, url: str) -> dict[str, Any]:
    """Play the day and say what it came to, as plain values."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(EMPTY)
    world = World(plan, url, Trace())
    world.load()
    with listening() as complaints:
        try:
            found = world.loop.run_until_complete(_course(world, plan))
        finally:
            world.close()
    return {**found, "unforeseen": complaints.found}


async def _course(world: World, plan: Rehearsal) -> dict[str, Any]:
    await world.watch.open()
    for process in world.processes:
        process.start()

    async def idle() -> bool:
        """Everything is computed, written and known to be."""
        await world.watch.look()
        rows = world.store.read_now(lambda tx: tx.all(sql.unfinished))
        moving = [row for row in rows if not row.what.endswith((" held", " quarantined"))]
        return not moving and bool(world.store.read_now(lambda tx: tx.all(sql.bases)))

    ready = await world.until(idle, READY_SECONDS_MAX)
    began, waits = world.loop.time(), Waits()
    watching = asyncio.create_task(waits.watch(world))
    await world.trade(lambda: None)
    ended = world.loop.time()

    async def over() -> bool:
        return await idle() and world.watch.unexported() == 0

    rested = await world.until(over, END_SECONDS_MAX)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        # Had it failed, nobody would be seen to have waited.
        await watching
    verdict = judge(await world.watch.close(), world.rules, plan.declared)
    return {
        "seed": plan.seed,
        "minutes": plan.minutes,
        "orders": verdict.tie.captured,
        "units_sold": sum(judged.acceptance.units for judged in verdict.acceptances),
        "traffic": dict(sorted(world.traffic.counts.items())),
        "ready_after_seconds": round(began) if ready else None,
        "caught_up_after_seconds": round(world.loop.time() - ended) if rested else None,
        "declared_d_seconds": {"sale": plan.declared.sale, "master": plan.declared.master},
        "oversold": _oversold(verdict, world.clock.time() - world.loop.time()),
        "late_seconds": {cause: percentiles(seconds, 50, 99, 100) for cause, seconds in sorted(verdict.late.items())},
        "export_seconds": percentiles(_exported(world), 50, 99, 100),
        "not_exported": world.watch.unexported(),
        "stock_writes": verdict.writes_spent,
        "budgets": waits.limiting(),
    }


def _oversold(verdict: Verdict, began: float) -> list[dict[str, Any]]:
    """By SKU and channel: units that were not there, and whose doing that was."""
    rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    first: dict[tuple[str, str], float] = {}
    for judged in verdict.acceptances:
        found = {"by_us": judged.ours, "inherent": judged.inherent, "platform_lag": judged.platform}
        if any(found.values()):
            rows[judged.acceptance.key].update(found, orders=1)
            first.setdefault(judged.acceptance.key, round(judged.acceptance.t - began, 1))
    return [
        {"sku": sku, "channel": channel, **{n: count[n] for n in ("by_us", "inherent", "platform_lag", "orders")},
         "first_after_seconds": first[sku, channel]}
        for (sku, channel), count in sorted(rows.items(), key=lambda row: (-row[1].total(), row[0]))
    ]  # fmt: skip


def _exported(world: World) -> list[float]:
    """Seconds from each order until the first of its sales held its goods."""
    took = {row["order"]: row["t"] for row in world.watch.storefront if row["what"] == "order_accepted"}
    made: dict[str, float] = {}
    for row in world.watch.back_office:
        order = order_of(row.get("external_id"), world.shop.project)
        if row["what"] == "sale_authorised" and order is not None and order in took:
            made.setdefault(order, row["t"] - took[order])
    return sorted(made.values())


# --- Telling it ------------------------------------------------------------------------------------------------------

LIMITS: Mapping[str, str] = {
    "commercetools": "[commercetools] calls_per_second, or a larger write_batch",
    "cin7:orders": '[cin7_core] calls_per_minute, a read_key of its own for reads, or form = "two_call"',
    "cin7:reads": "[cin7_core] calls_per_minute, or a longer sweep_seconds",
}
"""By budget, what a person changes where it limits."""
CAUSES: Mapping[str, str] = {
    "sale": "after a sale on another channel", "counter_sale": "after a sale at the counter",
    "sourced": "once it was known where an order is taken from",
}  # fmt: skip


def told(found: Mapping[str, Any], plan: Rehearsal) -> list[str]:
    """The findings as lines for a person."""
    tempo, ready = plan.tempo, found["ready_after_seconds"]
    lines = [
        f"{plan.minutes:g} minutes, {tempo.orders * tempo.flash:g} orders tried a minute, {found['orders']} taken,"
        f" {found['units_sold']} units sold on {len(plan.own.channels)} channels (seed {plan.seed})",
        "numbers right " + ("never within an hour" if ready is None else f"{ready} s") + " after the start",
        "",
    ]
    lines += _told_oversold(found["oversold"], found["declared_d_seconds"])
    lines += ["", "How long an entry offered more than there was, in seconds (half of them, 99 %, the longest)"]
    lines += [f"  {CAUSES.get(cause, f'after {cause}')}: {_three(row)}" for cause, row in found["late_seconds"].items()]
    lines += ["  never"] * (not found["late_seconds"])
    caught = found["caught_up_after_seconds"]
    lines += [
        f"An order's sale held its goods after {_three(found['export_seconds'])} s;"
        f" {found['not_exported']} never in the time there was",
        f"everything caught up {'never' if caught is None else f'{caught} s'} after the rush",
        "",
        *_told_budgets(found["budgets"]),
        *(f"unforeseen: {words}" for words in found["unforeseen"]),
        "",
        "Rehearsed otherwise than set: channels in mode full without brakes, one shelf at each location, made-up goods,"
        " prices and stock, exported when created, no webhooks.",
    ]
    return lines


def _told_oversold(rows: Sequence[Mapping[str, Any]], declared: Mapping[str, float]) -> list[str]:
    known = f"(D: {declared['sale']:g} s after a sale, {declared['master']:g} s after a change at Cin7 Core)"
    if not rows:
        return [f"Nothing was oversold {known}"]
    sums = {name: sum(row[name] for row in rows) for name in ("by_us", "inherent", "platform_lag")}
    return [
        f"Oversold: {sums['by_us']} units because this service was late, {sums['inherent']} that nobody could have"
        f" prevented, {sums['platform_lag']} that commercetools took on a number it had not updated {known}",
        *(
            f"  {row['sku']} on {row['channel']}: {row['by_us']} + {row['inherent']} + {row['platform_lag']} units in"
            f" {row['orders']} order(s), first after {row['first_after_seconds']:g} s"
            for row in rows[:20]
        ),
        *([f"  and {len(rows) - 20} more; --json has them all"] if len(rows) > 20 else []),
        *(["  a buffer on these channels, or fewer channels on one pool, keeps the last units apart"]
          if sums["inherent"] else []),
    ]  # fmt: skip


def _told_budgets(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ["No budget limited: nobody was seen to wait for a call"]
    return [
        "Budgets that limited, the worst first",
        *(
            f"  {row['budget']}, {row['lane']}: somebody waited {row['waited_percent_of_the_time']} % of the time, at"
            f" most {row['waiting_most']} at once; {row['calls_most']} calls in a window of {row['window_seconds']:g} s"
            f" that allows {row['calls_allowed']} for all lanes"
            for row in rows
        ),
        f"  to change: {LIMITS[rows[0]['budget']]}",
    ]


def _three(found: Mapping[str, float]) -> str:
    return f"{found['p50']:.0f}, {found['p99']:.0f}, {found['p100']:.0f}"
