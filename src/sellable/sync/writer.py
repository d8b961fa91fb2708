"""The writer: level-triggered, conflating, one open operation per key, most dangerous difference first.

A difference is computed and its operation committed in one snapshot, then sent with the entry's version as guard and
the operation's id as marker. An outcome nobody saw is resolved by reading back, never by sending the same again: the
old copy is superseded at the same version, which kills it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from sellable.connectors.port import EntryReading, StockWrite, StorefrontStock, VendorError, Written
from sellable.domain.stock import Priority
from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.http import NotSent, OutcomeLost
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Done, Intent, Operation, Outcome, Rejected, Unknown
from sellable.runtime.queries import queries
from sellable.runtime.wanted import want
from sellable.stock import adjustments, dirty, entries, numbers
from sellable.stock.availability import NOT_YET, Layout
from sellable.sync import plan

sql = queries("sellable.sync")
SYSTEM = "commercetools"
KIND = "stock.write"
LEASE_SECONDS = 60.0
PATIENCE = timedelta(seconds=30)
"""So long a lower that is most likely no news waits for the rest of its set."""
WORK = "sellable_work_stock"
"""Hint that differences wait."""

OnRefused = Callable[[Tx, Operation, str, datetime], None]
Stopped = Callable[[ReadTx], bool]
"""Whether no number may rise, refills included: our account of the storefront itself is in doubt."""


def lane_of(sku: str, channel: str) -> str:
    """The serial lane of one entry."""
    return f"stock:{channel}:{sku}"


# --- Planning: dirty names become desired differences ----------------------------------------------------------------


def plan_dirty(tx: Tx, layout: Layout, now: datetime, *, stale: Collection[str], limit: int = 300) -> int:
    """Looks at the most urgent dirty SKUs and notes what differs. Returns how many names were taken.

    None while another process plans: what is dirty is its work. What becomes dirty after the marks were taken stays so.
    """
    if not tx.value(sql.sole_planner):
        return 0
    taken = dirty.take(tx, limit)
    if not taken:
        return 0
    cause = {sku: priority for sku, priority, _ in taken}
    reason = {sku: why for sku, _, why in taken}
    skus = dirty.with_kits(tx, list(cause))
    free = tx.all(sql.unpark_ready, skus=skus, locations=sorted({p for pool in layout.pools.values() for p in pool}))
    # Whoever confirms a write corrects the plan by what it added, so no confirmation may fall between look and note.
    tx.all(sql.lock_plans, skus=skus)
    if free:
        tx.run(sql.hasten_desired, sku=[r.sku for r in free], channel=[r.channel for r in free], at=now)
    found = numbers.compute(tx, skus, layout, now, stale=stale)
    if not found:
        return len(taken)
    prints = [numbers.fingerprint(n) for n in found]
    worst = min(cause.values())
    tx.run(
        sql.put_desired,
        sku=[n.sku for n in found],
        channel=[n.channel for n in found],
        t=[n.explanation.target for n in found],
        d=[n.d for n in found],
        priority=[
            plan.priority_of(
                target=n.explanation.target,
                e=n.e,
                low_mark=layout.channels[n.channel].low_mark,
                last_target=n.entry.last_t,
                cause=cause.get(n.sku, worst),
            )
            for n in found
        ],
        reason=[reason.get(n.sku, "component") for n in found],
        terms=prints,
        due_at=[now + PATIENCE if _may_wait(n, layout, cause.get(n.sku, worst)) else now for n in found],
        at=now,
    )
    if fresh := [n for n, name in zip(found, prints, strict=True) if n.entry.terms != name]:
        keys = {"sku": [n.sku for n in fresh], "channel": [n.channel for n in fresh]}
        tx.run(numbers.sql.log_explained, **keys, terms=[numbers.terms_json(n).decode() for n in fresh], at=now)
    if any(n.d for n in found):
        tx.notify(WORK)
    return len(taken)


def _may_wait(number: numbers.Number, layout: Layout, cause: int) -> bool:
    if number.explanation.counted:
        return False
    term = number.explanation.term
    ours = sum(f.units for f in term.in_flight if f.why == NOT_YET) if term else 0
    return plan.may_wait(
        target=number.explanation.target, e=number.e, low_mark=layout.channels[number.channel].low_mark, cause=cause,
        not_in_the_number_yet=ours,
    )  # fmt: skip


# --- Picking: the most urgent differences become operations ----------------------------------------------------------


class Picked(msgspec.Struct, frozen=True):
    """Work for one call: claimed operations with their writes, and keys that must be read before they may rise."""

    operations: tuple[Operation, ...]
    writes: tuple[StockWrite, ...]


def pick(
    tx: Tx,
    layout: Layout,
    ids: Ids,
    now: datetime,
    *,
    owner: str,
    limit: int,
    only: Sequence[tuple[str, str]] | None,
    stale: Collection[str],
    read_seq: int | None = None,
    stopped: Stopped = lambda tx: False,
) -> Picked:
    """Claims up to `limit` keys and commits the intent of each.

    Without `only`: lowers and refills, most dangerous first. With `only`: raises of exactly these keys, which were
    read a moment ago (not before causal `read_seq`); each sends at most what the reading allows, and parks the rest.
    """
    if only is None:
        rows = tx.all(sql.pick_work, now=now, raises=False, limit=limit, **counted_by(layout, ()), **writable(layout))
    else:
        # Somebody else's open operation keeps its key: at most one at a time.
        rows = tx.all(sql.lock_desired, sku=[s for s, _ in only], channel=[c for _, c in only])
    if not rows:
        return Picked((), ())
    gated = {(r.sku, r.channel) for r in rows if r.gated}
    keys = {(r.sku, r.channel): int(Priority.RAISE) if only else r.priority for r in rows}
    found = {
        (n.sku, n.channel): n
        for n in numbers.compute(tx, sorted({s for s, _ in keys}), layout, now, stale=stale)
        if (n.sku, n.channel) in keys
    }
    amounts: dict[tuple[str, str], int] = {}
    parked: list[tuple[str, str]] = []
    halted = any(number.d > 0 for number in found.values()) and stopped(tx)
    for key, number in found.items():
        amount = plan.allowed(number.d, "lowers" if key in gated else layout.channels[key[1]].mode)
        if amount > 0 and (halted or number.entry.parked is not None):
            amount = 0
        elif amount > 0 and not plan.is_refill(target=number.explanation.target, last_target=number.entry.last_t):
            unread = only is None or (read_seq is not None and number.entry.q_seq < read_seq)
            amount = 0 if unread else _raise_amount(number, parked)
        if amount:
            amounts[key] = amount
    even = [k for k, n in found.items() if n.d == 0]
    if even:
        tx.run(sql.even_desired, sku=[s for s, _ in even], channel=[c for _, c in even])
    if parked:
        tx.run(sql.park_entries, sku=[s for s, _ in parked], channel=[c for _, c in parked], parked="judge", seq=None)
    idle = [k for k in keys if k not in amounts and k not in even]
    if idle:
        later = now + timedelta(seconds=15)
        tx.run(sql.postpone_desired, sku=[s for s, _ in idle], channel=[c for _, c in idle], due_at=later)
        # A plan made before our last write was confirmed may have been noted after it. Left as it is, a raise noted
        # as a lower would be nobody's work for ever.
        noted = {(r.sku, r.channel): r.d for r in rows}
        old = {key[0] for key in idle if key in found and found[key].d != noted[key]}
        dirty.mark(tx, old, Priority.RAISE, "planned before the last write", now)
    return _intend(tx, found, amounts, keys, ids, owner, now)


def writable(layout: Layout) -> dict[str, list[str]]:
    """Channels that write nothing, and channels that write only what lowers, as the queries of work want them."""
    return {"silent": layout.in_mode("shadow"), "falling": layout.in_mode("lowers")}


def counted_by(layout: Layout, stale: Collection[str]) -> dict[str, list[str]]:
    """Where channels sell what these masters count, as the query of raises wants it."""
    places = layout.counted_by(stale)
    return {"old_channel": [channel for channel, _ in places], "old_location": [place for _, place in places]}


def _raise_amount(number: numbers.Number, parked: list[tuple[str, str]]) -> int:
    """What a just-read entry may rise by; a difference the reading does not allow waits for the judge."""
    if number.explanation.too_old:
        return 0
    if number.explanation.counted:
        return number.d  # What is owed to a number of commercetools' own is right whatever it shows.
    amount = plan.raise_now(target=number.explanation.target, e=number.e, read=number.entry.q)
    if amount < number.d:
        parked.append((number.sku, number.channel))
    return amount


def _intend(
    tx: Tx,
    found: dict[tuple[str, str], numbers.Number],
    amounts: dict[tuple[str, str], int],
    priorities: dict[tuple[str, str], int],
    ids: Ids,
    owner: str,
    now: datetime,
) -> Picked:
    intents = [
        Intent(
            system=SYSTEM,
            kind=KIND,
            lane=lane_of(*key),
            budget="writes",
            priority=priorities[key],
            correlation=None,
            payload=_payload(found[key], amount),
            snapshot_seq=None,
        )
        for key, amount in amounts.items()
    ]
    if not intents:
        return Picked((), ())
    claimed = operations.owe_claimed(tx, intents, now, ids, owner=owner, lease_seconds=LEASE_SECONDS)
    tx.run(
        sql.set_desired_op,
        sku=[op.payload["sku"] for op in claimed],
        channel=[op.payload["channel"] for op in claimed],
        op=[op.id for op in claimed],
    )
    return Picked(tuple(claimed), tuple(write_of(op) for op in claimed))


def _payload(number: numbers.Number, amount: int) -> dict[str, Any]:
    row = number.entry
    return {
        "sku": number.sku,
        "channel": number.channel,
        "remote_id": row.remote_id,
        "version": row.version,
        "typed": row.typed,
        "d": amount,
        "t": number.explanation.target,
        "e": number.e,
        "marker": None,
        "chain": [],
        "adjusts": number.explanation.counted is not None,
    }


def marker_of(op: Operation) -> str:
    """What the newest copy of this operation writes into the entry; unique for every copy ever sent."""
    return str(op.payload["marker"] or op.id)


def write_of(op: Operation) -> StockWrite:
    """The request an operation stands for."""
    p = op.payload
    return StockWrite(
        op_id=marker_of(op),
        sku=p["sku"],
        channel=p["channel"] or None,
        remote_id=p["remote_id"],
        version=p["version"],
        difference=p["d"],
        typed=p["typed"],
    )


def outcome_of(written: Written, op: Operation) -> Outcome:
    """What an answer means: a conflict proves that nothing was applied only on the first copy ever sent."""
    if written.status == "applied":
        at = written.at.isoformat() if written.at else None
        return Done({"version": written.version, "quantity": written.quantity, "at": at, "applied": marker_of(op)})
    if written.status == "limited":
        return _unsent(written.cause, written.after_seconds) if op.first_send else Unknown(written.cause)
    if written.status == "conflict":
        if op.first_send and not op.payload["chain"]:
            return Rejected("conflict", {"version_moved": True})
        return Unknown("conflict on a resend: an earlier copy may have won")
    if written.status == "refused":
        return Rejected(written.cause, {})
    return Unknown(written.cause)


def _unsent(cause: str, after_seconds: float = 0.0) -> Rejected:
    """Surely never applied. It is not kept for later: by then the difference would be an old one, and an old raise
    sent after the shop sold out oversells; the key is computed anew instead."""
    return Rejected(cause, {"unsent": True, "after_seconds": after_seconds})


# --- Outcomes --------------------------------------------------------------------------------------------------------


def settle(tx: Tx, outcomes: Sequence[tuple[Operation, Outcome]], now: datetime, *, on_refused: OnRefused) -> None:
    """Writes the outcomes of one call: what was applied in a few statements for all, the rest one by one."""
    done = [(op, outcome) for op, outcome in outcomes if isinstance(outcome, Done)]
    count = operations.settle_done(tx, done, now)
    _all_applied(tx, [(op, outcome.result) for op, outcome in done if op.id in count], now)
    for op, outcome in outcomes:
        if not isinstance(outcome, Done) and operations.settle(tx, op, outcome, now):
            settled(tx, op, outcome, now, on_refused=on_refused)


def _all_applied(tx: Tx, applied: Sequence[tuple[Operation, Mapping[str, Any]]], now: datetime) -> None:
    """Moves E with the writes of one call, none of which was ever superseded, and frees their keys."""
    if not applied:
        return
    at = [datetime.fromisoformat(result["at"]) if result.get("at") else now for _, result in applied]
    keys = {"sku": [op.payload["sku"] for op, _ in applied], "channel": [op.payload["channel"] for op, _ in applied]}
    facts = [
        entries.EntryFact(
            sku=op.payload["sku"], channel=op.payload["channel"], kind="delta", quantity=op.payload["d"], source="op",
            resource=op.id, line="", seq=0, remote_at=when,
        )
        for (op, _), when in zip(applied, at, strict=True)
    ]  # fmt: skip
    entries.record(tx, facts, now, priority=None, reason="our write")
    paid = [
        (op.payload["sku"], op.payload["channel"], op.payload["d"], op.id)
        for op, _ in applied
        if op.payload.get("adjusts")
    ]
    adjustments.written(tx, paid, now)
    tx.run(
        sql.entries_written,
        **keys,
        version=[result.get("version") for _, result in applied],
        q=[result.get("quantity") for _, result in applied],
        t=[op.payload["t"] for op, _ in applied],
        op=[op.id for op, _ in applied],
        at=at,
    )
    deltas = [op.payload["d"] for op, _ in applied]
    left = tx.all(sql.free_all_desired, **keys, op=[op.id for op, _ in applied], delta=deltas, at=now)
    # The number moved while the write was on its way.
    dirty.mark(tx, {r.sku for r in left if r.d}, Priority.LOWER, "more to write", now)


def settled(tx: Tx, op: Operation, outcome: Outcome, now: datetime, *, on_refused: OnRefused) -> None:
    """Moves E with what was really applied and frees the key to be looked at again."""
    p = op.payload
    key = {"sku": p["sku"], "channel": p["channel"]}
    if isinstance(outcome, Done):
        _applied(tx, op, outcome.result, now)
        if outcome.result.get("assumed") and p.get("adjusts"):
            on_refused(tx, op, "no marker on this entry: a raise is taken as applied", now)
    elif not isinstance(outcome, Rejected):
        return
    tx.run(sql.free_desired, **key, op=op.id, at=now, written=isinstance(outcome, Done))
    if isinstance(outcome, Rejected) and outcome.detail.get("unsent"):
        later = now + timedelta(seconds=outcome.detail["after_seconds"])
        tx.run(sql.postpone_desired, sku=[p["sku"]], channel=[p["channel"]], due_at=later)
    elif isinstance(outcome, Rejected) and not outcome.detail.get("version_moved"):
        on_refused(tx, op, outcome.cause, now)
        later = now + timedelta(minutes=5)
        tx.run(sql.postpone_desired, sku=[p["sku"]], channel=[p["channel"]], due_at=later)
    elif isinstance(outcome, Rejected):
        if outcome.detail.get("unmarked") and p.get("adjusts"):
            on_refused(tx, op, outcome.cause, now)
        # The version we hold is old: without a reading the next write would meet the same conflict.
        want(tx, SYSTEM, "entry", [f"{p['channel']}|{p['sku']}"], Priority.STOP_SALE, now)
    dirty.mark(tx, [p["sku"]], Priority.ORDER_LOWER if p["d"] < 0 else Priority.RAISE, "write settled", now)


def _applied(tx: Tx, op: Operation, result: Mapping[str, Any], now: datetime) -> None:
    p = tx.value(sql.payload_now, id=op.id)
    winner = result["applied"]
    sizes = {copy["marker"]: copy["d"] for copy in p["chain"]} | {p["marker"] or op.id: p["d"]}
    at = datetime.fromisoformat(result["at"]) if result.get("at") else now
    if sizes[winner]:
        fact = entries.EntryFact(
            sku=p["sku"], channel=p["channel"], kind="delta", quantity=sizes[winner], source="op", resource=winner,
            line="", seq=0, remote_at=at,
        )  # fmt: skip
        entries.record(tx, [fact], now, priority=Priority.RAISE, reason="our write")
        if p.get("adjusts"):
            adjustments.written(tx, [(p["sku"], p["channel"], sizes[winner], winner)], now)
    newest = winner == (p["marker"] or op.id)
    tx.run(
        sql.entry_written,
        sku=p["sku"],
        channel=p["channel"],
        version=result.get("version"),
        q=result.get("quantity"),
        t=p["t"] if newest else None,
        op=winner,
        at=at,
    )
    if result.get("assumed"):
        tx.run(sql.park_entries, sku=[p["sku"]], channel=[p["channel"]], parked="judge", seq=None)


def _next_copy(tx: Tx, op: Operation, layout: Layout, read: int, now: datetime, stopped: Stopped) -> Operation:
    """Commits the copy that shall supersede the earlier ones: a new marker, a difference computed anew."""
    p = dict(tx.value(sql.payload_now, id=op.id))
    found = [n for n in numbers.compute(tx, [p["sku"]], layout, now) if n.channel == p["channel"]]
    amount, target = (found[0].d, found[0].explanation.target) if found else (0, p["t"])
    amount = plan.allowed(amount, layout.channels[p["channel"]].mode if found else "shadow")
    if found and bool(p.get("adjusts")) is not (found[0].explanation.counted is not None):
        amount = 0  # It began as what it is no more: it is only ended, and what is to be written begins anew.
    if amount > 0:
        most = amount if found[0].explanation.counted else target - read
        amount = 0 if found[0].entry.parked or stopped(tx) else max(0, min(amount, most))
    p["chain"] = [*p["chain"], {"marker": p["marker"] or op.id, "d": p["d"]}]
    p |= {"marker": f"{op.id}.{len(p['chain'])}", "d": amount, "t": target}
    tx.run(sql.set_payload, id=op.id, payload=msgspec.json.encode(p).decode())
    return replace(op, payload=p)


class Resolver:
    """Carries out one stock operation alone: what the dispatcher does with those a process left behind."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        storefront: StorefrontStock,
        layout: Layout,
        stopped: Stopped = lambda tx: False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._storefront = storefront
        self._layout = layout
        self._stopped = stopped

    async def send(self, op: Operation) -> Outcome:
        """An intent that was surely never sent is given up: its difference is of another time."""
        return _unsent("given up unsent by the process that made it")

    async def resolve(self, op: Operation) -> Outcome:
        """Reads the entry back and decides what became of the write and of the copies it superseded."""
        p = await self._store.read(_payload_now, op.id)
        try:
            readings = await self._storefront.read_entries([(p["sku"], p["channel"] or None)], lane="writes")
        except (VendorError, NotSent, OutcomeLost) as error:
            return Unknown(f"reading back failed: {error}")
        seen = next(iter(readings.entries), None)
        if seen is None:
            return Rejected("the entry is gone", {"version_moved": True})
        verdict = judge_copies(op.id, p, seen)
        if verdict == ALIVE:
            return await self._supersede(op, seen)
        if verdict == DEAD:
            return Rejected("version moved, not applied", {"version_moved": True})
        result = {"version": seen.version, "quantity": seen.quantity, "at": readings.at.isoformat()}
        if verdict == UNMARKED:
            if p["d"] < 0:
                cause = "no marker on this entry: a lower is taken as not applied"
                return Rejected(cause, {"version_moved": True, "unmarked": True})
            return Done({**result, "applied": p["marker"] or op.id, "assumed": True})
        return Done({**result, "applied": verdict})

    async def _supersede(self, op: Operation, seen: EntryReading) -> Outcome:
        """The old copy may still be on its way: a new difference at the same version kills it or is killed by it."""
        copy = await self._store.write(
            _next_copy, op, self._layout, seen.quantity, self._clock.now(), self._stopped
        )  # fmt: skip
        (written,) = await self._storefront.write([write_of(copy)], lane="writes")
        if written.status != "applied":
            return Unknown(f"superseding copy: {written.status} {written.cause}")
        at = written.at.isoformat() if written.at else None
        return Done({"version": written.version, "quantity": written.quantity, "at": at, "applied": marker_of(copy)})


ALIVE, DEAD, UNMARKED = "alive", "dead", "unmarked"


def explains(op: Any, *, change: int, version: int) -> bool:
    """Whether a write of ours (row with state, payload, result) made an entry's change to this version (0: not told).

    Every copy of an operation is guarded by the same old version, so only one can have won; which one is known once
    the operation is done. A reading that confirmed it may show a later version than the write made.
    """
    p = op.payload
    if version and version <= p["version"]:
        return False
    sizes = {copy["marker"]: copy["d"] for copy in p["chain"]} | {p["marker"] or op.id: p["d"]}
    if op.state != "done":
        return change in sizes.values()
    latest = op.result.get("version")
    return sizes.get(op.result.get("applied")) == change and (not version or latest is None or version <= latest)


def judge_copies(op_id: str, payload: dict[str, Any], seen: EntryReading) -> str:
    """Which copy was applied: a marker, or ALIVE (none yet, one may be on its way), DEAD (none, ever), UNMARKED.

    Never assumes that an update raises the version by one: only the marker proves that a copy won.
    """
    copies = {payload["marker"] or op_id, *(c["marker"] for c in payload["chain"])}
    if seen.last_op is not None and seen.last_op in copies:
        return seen.last_op
    if seen.version == payload["version"]:
        return ALIVE
    return UNMARKED if seen.typed is not None and seen.last_op is None else DEAD


def _payload_now(tx: ReadTx, op_id: str) -> dict[str, Any]:
    return dict(tx.value(sql.payload_now, id=op_id))
