"""What the console's pages ask and may do, handed to them by the assembly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sellable.app import acts, answers
from sellable.app.layout import layout_of
from sellable.app.wiring import stale
from sellable.app.work import work_of
from sellable.config.said import Live
from sellable.config.settings import Channel, Pool, Settings
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.queries import queries
from sellable.stock import numbers
from sellable.web.api.offered import Offered
from sellable.web.console.doors import Badge, Console, Guard, Standing

sql = queries("sellable.app")
ALL_UNITS = 1_000_000
"""What a stop holds back: more than any pool has, so that what arrives later is not sold either."""


@dataclass(frozen=True)
class StockActs:
    """Acts of a person on stock, each in one transaction with its row of the audit."""

    store: Store
    settings: Settings
    clock: Clock

    async def stop_selling(self, actor: str, sku: str, reason: str) -> str:
        """Hold every unit of a SKU back in all pools; returns the name under which all of it ends."""
        stop = Ids(self.clock).new("stop")

        def work(tx: Tx) -> None:
            for pool in covering(self.settings.pools):
                acts.hold(
                    tx, self.settings, self.clock, actor,
                    hold_id=f"{stop}:{pool}", sku=sku, pool=pool, units=ALL_UNITS, reason=reason,
                )  # fmt: skip

        await self.store.write(work)
        return stop

    async def sell_again(self, actor: str, sku: str, stop: str) -> int:
        """End what `stop_selling` began, or one hold by its id; how many holds ended."""

        def work(tx: Tx) -> int:
            ids = [r.id for r in tx.all(sql.holds_named, sku=sku, name=stop)]
            return sum(acts.release(tx, self.settings, self.clock, actor, hold_id) for hold_id in ids)

        return await self.store.write(work)

    async def freeze(self, actor: str, frozen: bool) -> bool:
        """Freeze or resume all writes of stock; False when it is so already."""
        return await self.store.write(acts.freeze, self.settings, self.clock, actor, frozen)


def covering(pools: Sequence[Pool]) -> list[str]:
    """Pools to hold units in so that every pool feels it: a hold weighs on all that share a location with its pool."""
    chosen: list[Pool] = []
    for pool in sorted(pools, key=lambda p: -len(p.locations)):
        if not any(set(pool.locations) & set(other.locations) for other in chosen):
            chosen.append(pool)
    return [pool.name for pool in chosen]


def console_of(
    live: Live,
    store: Store,
    clock: Clock,
    guard: Guard,
    overview: Callable[[], Awaitable[dict[str, Any]]],
) -> Console:
    """The console of one process."""

    async def explain(sku: str, at: datetime | None) -> dict[str, Any]:
        found: dict[str, Any] = await store.read(answers.explain, live(), sku, None, at, clock.now())
        return found

    async def computed(skus: Sequence[str]) -> Sequence[numbers.Number]:
        return await store.read(numbers_of, live(), skus, clock.now())

    async def around() -> Standing:
        return await store.read(standing, live())

    return Console(
        store=store, clock=clock, live=live, guard=guard, record=acts.recorder(live.file, clock), overview=overview,
        explain=explain, numbers=computed, offered=Offered(store).ask, acts=StockActs(store, live.file, clock),
        work=work_of(live, clock), standing=around,
    )  # fmt: skip


def numbers_of(tx: ReadTx, settings: Settings, skus: Sequence[str], now: datetime) -> list[numbers.Number]:
    """The numbers of all entries of these SKUs, as `answers.explain` has them."""
    return numbers.compute(tx, skus, layout_of(settings), now, stale=stale(settings, tx, now))


def standing(tx: ReadTx, settings: Settings) -> Standing:
    """Where one is, and how many cases are open."""
    row = tx.one(sql.standing)
    assert row is not None
    badges = [Badge("demo", says="The vendors are simulators.")] if _simulated(settings) else []
    badges += modes_of(settings.channels) or ([] if badges else [Badge("live")])
    if row.frozen:
        badges.append(Badge("writes frozen", "bad", "No number of the storefront is written until a person resumes."))
    return Standing(badges=tuple(badges), open_cases=row.open_cases, frozen=bool(row.frozen))


def modes_of(channels: Sequence[Channel]) -> list[Badge]:
    """A badge for each mode below full; it names its channels where others are further."""
    found = []
    for mode, word, says in (
        ("shadow", "shadow", "Computed and compared, never written."),
        ("lowers", "lowers only", "Only decreases are written."),
    ):
        keys = [channel.key or "no channel" for channel in channels if channel.mode == mode]
        if keys:
            found.append(Badge(word if len(keys) == len(channels) else f"{word}: {', '.join(keys)}", "warn", says))
    return found


def _simulated(settings: Settings) -> bool:
    """Only a simulator is reached without encryption."""
    return settings.commercetools.insecure or settings.cin7_core.insecure
