"""What would a setting change, were it said in the console? Asked by the same rules, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from sellable.app import said
from sellable.app.layout import layout_of
from sellable.app.wiring import stale
from sellable.book import book
from sellable.config.said import Key
from sellable.config.settings import Settings
from sellable.desk.owners import EVERY
from sellable.orders import rules
from sellable.runtime.clock import Clock
from sellable.runtime.database import Tx
from sellable.runtime.queries import queries
from sellable.runtime.said import Fields
from sellable.stock import buffers, catalogue, numbers
from sellable.stock.availability import BufferRule
from sellable.stock.numbers import Number
from sellable.web.console.work import Effect

LOOKED_AT = 2000
"""Numbers of more SKUs than that are not computed for one look."""
BATCH = 300

sql = queries("sellable.app")


class _TakenBack(Exception):
    """What was only supposed is undone."""


def effect(tx: Tx, file: Settings, clock: Clock, key: Key, value: Fields | None) -> Effect:
    """What saying it would change; None is what the file says."""
    now, (settings, _) = clock.now(), said.together_now(tx, file)
    if key[0] == buffers.SECTION:
        which = buffers.which(key)
        units = value["units"] if value else buffers.of_file(file).get(key, 0)
        return _of_buffer(tx, settings, which, which.rule(units), now)
    then = said.together_then(tx, file, key, value)
    if key[0] == "skus":
        return _of_spelling(tx, settings, then, key[1], clock)
    if key[0] in said.ORDERS:
        return Effect(facts=_orders(tx, settings, then, clock))
    return Effect(facts=_OTHERS[key[0]](tx, settings, then, key, now))


def _of_buffer(tx: Tx, settings: Settings, which: buffers.Which, rule: BufferRule, now: datetime) -> Effect:
    skus, layout, old = buffers.concerned(tx, which), layout_of(settings), stale(settings, tx, now)
    before: list[Number] = []
    after: list[Number] = []
    for start in range(0, min(len(skus), LOOKED_AT), BATCH):
        some = skus[start : min(start + BATCH, LOOKED_AT)]
        before += numbers.compute(tx, some, layout, now, stale=old)
        after += numbers.compute(tx, some, layout, now, stale=old, supposing=[rule])
    return _of_numbers(before, after, skus=len(skus))


def _of_numbers(
    before: Sequence[Number], after: Sequence[Number], *, skus: int, facts: Sequence[tuple[str, str]] = ()
) -> Effect:
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.explanation.target != b.explanation.target]
    pairs.sort(key=lambda pair: pair[1].explanation.target - pair[0].explanation.target)
    return Effect(skus=skus, looked_at=min(skus, LOOKED_AT), numbers=len(before), changes=pairs, facts=facts)


def _of_spelling(tx: Tx, settings: Settings, then: Settings, sku: str, clock: Clock) -> Effect:
    """The same path as saying it, taken back."""
    now, layout = clock.now(), layout_of(settings)
    old = stale(settings, tx, now)
    before, after = numbers.compute(tx, [sku], layout, now, stale=old), list[Number]()
    name = rules.at_master(then).get(sku, sku)
    known = catalogue.known(tx, [name]).exact
    with suppress(_TakenBack), tx.savepoint():
        catalogue.spell(tx, rules.at_master(then), now)
        after = numbers.compute(tx, [sku], layout, now, stale=old)
        raise _TakenBack
    facts = [("at the master", f"{name} is known" if known else f"no product is called {name}")]
    facts += _orders(tx, settings, then, clock)
    return _of_numbers(before, after, skus=len({n.sku for n in before}), facts=facts)


def _orders(tx: Tx, settings: Settings, then: Settings, clock: Clock) -> list[tuple[str, str]]:
    before, after = said.held(tx, settings, clock), said.held(tx, then, clock)
    go_on, worse = said.freed(before, after), said.freed(after, before)
    found = [("held orders", f"{len(go_on):,} of {len(before):,} go on" if before else "none waits")]
    return found + ([("then held for more", f"{len(worse):,}")] if worse else [])


def _owners(tx: Tx, settings: Settings, then: Settings, key: Key, now: datetime) -> list[tuple[str, str]]:
    kind = None if key[1] == EVERY else key[1]
    count = tx.value(sql.open_of_kind, kind=kind)
    before, after = (_owner(each, key[1]) for each in (settings, then))
    stay = f"{count:,} open one{'s keep their owners' if count != 1 else ' keeps its owner'}"
    return [("new cases go to", f"{before} now, {after} then"), ("open cases", stay)]


def _owner(settings: Settings, kind: str) -> str:
    named = {each.kind: each.owner for each in settings.owners}
    return named.get(kind) or named.get(EVERY, "nobody")


def _told(tx: Tx, settings: Settings, then: Settings, key: Key, now: datetime) -> list[tuple[str, str]]:
    return [("from then on", "what is told already is not told again")]


def _reasons(tx: Tx, settings: Settings, then: Settings, key: Key, now: datetime) -> list[tuple[str, str]]:
    count = tx.value(sql.open_of_kind, kind="reason_unmapped")
    return [("unknown reason codes", f"{count:,} open case{'s' if count != 1 else ''}; their units moved all the same")]


def _low_mark(tx: Tx, settings: Settings, then: Settings, key: Key, now: datetime) -> list[tuple[str, str]]:
    (before, after) = (
        tx.value(sql.low_on, channel=key[1], mark=next((c.low_mark for c in each.channels if c.key == key[1]), 0))
        for each in (settings, then)
    )
    counts = f"{before:,} numbers now, {after:,} then"
    return [("nearly gone", counts), ("numbers", "none changes: only what goes first")]


def _waiting(tx: Tx, settings: Settings, then: Settings, key: Key, now: datetime) -> list[tuple[str, str]]:
    (before, after) = (
        len(tx.all(book.sql.waiting_too_long, before=now - timedelta(hours=each.orders.held_age_limit_hours)))
        for each in (settings, then)
    )
    return [("orders past the limit", f"{before:,} now, {after:,} then; each becomes a case within a minute")]


def _freshness(tx: Tx, settings: Settings, then: Settings, key: Key, now: datetime) -> list[tuple[str, str]]:
    before, after = (key[0] in stale(each, tx, now) for each in (settings, then))
    words = {False: "young enough", True: "too old: nothing it counts rises"}
    return [("the master's numbers", f"{words[before]} now, {words[after]} then")]


_OTHERS: dict[str, Callable[[Tx, Settings, Settings, Key, datetime], list[tuple[str, str]]]] = {
    "owners": _owners,
    "reasons": _reasons,
    "statuses": _told,
    "channels": _low_mark,
    "orders": _waiting,
    "cin7_core": _freshness,
    "orderflow": _freshness,
}
