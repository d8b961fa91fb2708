"""The loops that keep the storefront even: plan what is dirty, write lowers at once, raises in proven batches, judge.

Order decrements never wait behind routine work: lowers and refills have writers of their own, raises are read and
sent in batches by another, and all pay from the same budget by priority.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sellable.connectors.port import Readings, StorefrontStock, VendorError
from sellable.domain.stock import Priority
from sellable.runtime import operations, telemetry
from sellable.runtime.budgets import Budgets, Grant, prepaid
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.http import HttpError
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Operation, Outcome, Rejected, Unknown
from sellable.runtime.queries import queries
from sellable.runtime.schedule import Bell, beat
from sellable.stock import dirty, entries
from sellable.stock.availability import Layout
from sellable.sync import masters, writer
from sellable.sync.storefront import Judge, Shop, missing, see

sql = queries("sellable.sync")
CREDENTIAL = "commercetools"
IDLE_SECONDS = 1.0
RAISE_BATCH = 100
RAISE_EVERY_SECONDS = 2.0

writes = telemetry.counter("stock_writes", "Stock writes by what became of them.", ["outcome"])
lag = telemetry.histogram("stock_write_seconds", "From the first difference to its confirmed write.", ["kind"])


class Syncer:
    """Everything between a dirty name and a storefront that is right."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        budgets: Budgets,
        port: StorefrontStock,
        layout: Layout,
        shop: Shop,
        judge: Judge,
        *,
        owner: str,
        on_refused: writer.OnRefused,
        stale_masters: Callable[[ReadTx, datetime], frozenset[str]],
        on_stale: Callable[[Tx, frozenset[str], datetime], None],
        frozen: Callable[[ReadTx], bool],
        stopped: writer.Stopped,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._budgets = budgets
        self._port = port
        self._layout = layout
        self._shop = shop
        self._judge = judge
        self._owner = owner
        self._on_refused = on_refused
        self._stale_masters = stale_masters
        self._on_stale = on_stale
        self._frozen = frozen
        self._stopped = stopped
        self._stale = frozenset(layout.masters.values())
        self._stale_told: frozenset[str] | None = None
        self._dirty = Bell(clock)
        self._work = Bell(clock)

    def shape(self, layout: Layout) -> None:
        """Plan by this from here on; only marks may differ, never who sells from where or in which mode."""
        self._layout = layout

    async def listen(self) -> None:
        """Lets the database's hints wake the loops."""
        await self._store.listen(dirty.CHANNEL, self._dirty.ring)
        await self._store.listen(writer.WORK, self._work.ring)

    # --- Planning -----------------------------------------------------------------------------------------------------

    async def plan(self, stop: asyncio.Event) -> None:
        """Turns dirty names into desired differences, most urgent first."""
        while not stop.is_set():
            taken = await self.plan_once()
            await self._store.write(entries.fold)
            beat()
            if not taken:
                await self._dirty.wait(IDLE_SECONDS, stop)

    async def plan_once(self) -> int:
        """One batch; returns how many names were taken."""
        now = self._clock.now()
        self._stale = await self._store.read(self._stale_masters, now)
        if self._stale != self._stale_told:
            await self._store.write(self._on_stale, self._stale, now)
            self._stale_told = self._stale
        return await self._store.write(writer.plan_dirty, self._layout, now, stale=self._stale)

    # --- Writing ------------------------------------------------------------------------------------------------------

    async def write_lowers(self, stop: asyncio.Event) -> None:
        """Sends lowers and refills, one batch after the other, as the budget allows."""
        while not stop.is_set():
            sent = await self.write_lowers_once()
            beat()
            if not sent:
                await self._work.wait(IDLE_SECONDS, stop)

    async def write_lowers_once(self) -> int:
        """Budget first, pick second: what is picked is the most dangerous at the moment of the call."""
        (waiting,) = await self._store.ask(sql.any_work, raises=False, **writer.writable(self._layout))
        if not waiting.any_work or await self._store.read(self._frozen):
            return 0
        grant = await self._budgets.acquire(CREDENTIAL, "writes", Priority.STOP_SALE)
        picked = await self._store.write(
            writer.pick, self._layout, self._ids, self._clock.now(),
            owner=self._owner, limit=self._port.write_batch, only=None, stale=self._stale, stopped=self._stopped,
        )  # fmt: skip
        return await self._send(grant, picked)

    async def write_raises(self, stop: asyncio.Event) -> None:
        """Reads entries that should rise and sends what the reading allows, in batches."""
        while not stop.is_set():
            sent = await self.write_raises_once()
            beat()
            if not sent:
                await self._work.wait(RAISE_EVERY_SECONDS, stop)

    async def write_raises_once(self) -> int:
        """One batch of raises; none of what a master counts whose numbers are too old, none while ours are in doubt."""
        if await self._store.read(self._frozen) or await self._store.read(self._stopped):
            return 0
        keys = await self._store.write(_raises, self._layout, self._stale, self._clock.now(), RAISE_BATCH)
        if not keys:
            return 0
        seq = await self._store.write(operations.next_seq)
        try:
            readings = await self._port.read_entries([(sku, channel or None) for sku, channel in keys], lane="reads")
        except (VendorError, HttpError):
            return 0
        await self._store.write(self._see, keys, readings, seq)
        batch = self._port.write_batch
        async with asyncio.TaskGroup() as group:
            for start in range(0, len(keys), batch):
                group.create_task(self._raise(keys[start : start + batch], seq))
        return len(keys)

    async def _raise(self, keys: Sequence[tuple[str, str]], seq: int) -> None:
        """One call's worth of raises that were read a moment ago."""
        grant = await self._budgets.acquire(CREDENTIAL, "writes", Priority.RAISE)
        picked = await self._store.write(
            writer.pick,
            self._layout,
            self._ids,
            self._clock.now(),
            owner=self._owner,
            limit=len(keys),
            only=keys,
            stale=self._stale,
            read_seq=seq,
            stopped=self._stopped,
        )
        await self._send(grant, picked)

    def _see(self, tx: Tx, keys: Sequence[tuple[str, str]], readings: Readings, seq: int) -> None:
        now = self._clock.now()
        see(tx, readings.entries, readings.at, seq, now, self._shop)
        found = {(r.sku, r.channel or "") for r in readings.entries}
        missing(tx, [key for key in keys if key not in found], now, self._shop)

    async def _send(self, grant: Grant, picked: writer.Picked) -> int:
        if not picked.operations:
            grant.give_back()
            return 0
        with prepaid(grant):
            answers = {w.op_id: w for w in await self._port.write(picked.writes, lane="writes")}
        outcomes = [
            (op, writer.outcome_of(answers[op.id], op) if op.id in answers else Unknown("no answer for this write"))
            for op in picked.operations
        ]
        now = self._clock.now()
        await self._store.write(self._settle, outcomes, now)
        await self._read_again([op for op, outcome in outcomes if isinstance(outcome, Rejected)])
        for op, outcome in outcomes:
            writes.labels(type(outcome).__name__).inc()
            lag.labels("lower" if op.payload["d"] < 0 else "raise").observe((now - op.created_at).total_seconds())
        return len(outcomes)

    async def _read_again(self, refused: Sequence[Operation]) -> None:
        """Entries whose version we did not have are read at once, before anything is sent to them again.

        What settled these writes also wished for the readings, in case this process ends here.
        """
        keys = [(op.payload["sku"], op.payload["channel"]) for op in refused]
        if not keys:
            return
        seq = await self._store.write(operations.next_seq)
        with suppress(VendorError, HttpError):
            readings = await self._port.read_entries([(sku, channel or None) for sku, channel in keys], lane="writes")
            await self._store.write(self._see, keys, readings, seq)

    def _settle(self, tx: Tx, outcomes: Sequence[tuple[Operation, Outcome]], now: datetime) -> None:
        writer.settle(tx, outcomes, now, on_refused=self._on_refused)

    # --- Doubting -----------------------------------------------------------------------------------------------------

    async def judge(self) -> None:
        """Judges looks that the order sweep has passed."""
        await self._judge.run_once(self._clock.now())

    async def lower_overdue(self) -> None:
        """Suspects that could not be read in time show nothing."""
        await self._store.write(masters.lower_overdue, self._clock.now())


def _raises(tx: Tx, layout: Layout, stale: Collection[str], now: datetime, limit: int) -> list[tuple[str, str]]:
    """Claims keys that should rise for this process, by moving their due time on."""
    kept = {**writer.counted_by(layout, stale), **writer.writable(layout)}
    rows = tx.all(sql.pick_work, now=now, raises=True, limit=limit, **kept)
    keys = [(r.sku, r.channel) for r in rows]
    if keys:
        later = now + timedelta(seconds=30)
        tx.run(sql.postpone_desired, sku=[s for s, _ in keys], channel=[c for _, c in keys], due_at=later)
    return keys
