"""Two transactions on connections of their own, one stopped before any of its statements while the other runs.

Rule: what a pair leaves behind must be what one of its two serial orders leaves behind. Numbers of sequences and
identities differ from run to run; what they decide (T, E, which units count) is compared instead.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import psycopg

from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.queries import Query
from sellable.runtime.seal import IN_THE_OPEN, Seal
from sellable.stock import entries, ledger, numbers

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
KEY_BEFORE = b"the key of races before, 32 byte"
OLDER = Seal(KEY_BEFORE)
SEAL = Seal(b"the key of every race, 32 bytes ", KEY_BEFORE)
BLOCKED_AFTER_SECONDS = 0.002
"""So long the second transaction may go on before we look whether it waits for a lock."""
PATIENCE_SECONDS = 20.0
WAITS = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
APPENDED = {"dirty", "order_event", "demand_event", "case_event", "observation", "explained", "entry_pending"}
"""Tables without a rule between rows, so that two who only add to them change nothing for each other."""
HINTS = {"dirty", "wanted", "explained"}
"""What is to be looked at again, and what was said of a number on its way: a transaction that reads later than it
wrote may ask for less than either order, or skip a number that did not last."""
DECIDING = {"observed", "demand", "entry", "entry_fact", "entry_pending", "hold", "recipe", "desired"}
"""Tables that T and E are made of."""
VIEWS = {
    "entry_now": {"entry", "entry_pending", "desired"},
    "look": {"entry", "entry_pending", "entry_fact", "desired"},
    "reading_now": {"observed"},
}
NUMBERS = {"id", "case_id", "last_movement_id", "hash", "prev_hash", "content", "reason"}
"""Columns that only count up, or chain what counts up; those that end in seq go with them."""
COUNTED = {"seq", "a0", "a1", "walk", "last_id", "hash", "changed_seq"}
"""The same inside of JSON."""
_OP = re.compile(r"C-\d{6}")
_ID = re.compile(r"_[AB](?:0\.)?\d+")
"""Ids made by one of the two: which of them made which is no difference."""

_here = threading.local()


class SlotIds(Ids):
    """Ids that name the transaction that asks, so that the same transaction makes the same ones in any order."""

    def new(self, prefix: str) -> str:
        _here.made = getattr(_here, "made", 0) + 1
        return f"{prefix}_{slot()}{_here.made}"


def clock() -> Clock:
    """A clock that stands."""
    return Clock(source=NOW.timestamp, ticks=lambda: 0.0)


@dataclass(frozen=True)
class Action:
    """One transaction of the product. `again` runs when both are done, where one leaves alone what another works on:
    only then all is done that one of them was to do. `order` is the order it is about, `kind` its name without that."""

    name: str
    run: Callable[[Tx, Any], object]
    again: Callable[[Tx, Any], object] | None = None
    kind: str = ""
    order: str = ""


@dataclass
class Footprint:
    """What a transaction does alone: its statements, and the tables they name."""

    statements: int = 0
    writes: set[str] = field(default_factory=set)
    touches: set[str] = field(default_factory=set)
    appends: set[str] = field(default_factory=set)
    each: list[set[str]] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)

    def meets(self, other: Footprint) -> bool:
        """Whether one writes what the other reads or writes; rows that both only add meet nobody."""
        shared = (self.writes & other.touches) | (other.writes & self.touches)
        return bool(shared - (self.appends & other.appends))

    def stops(self, other: Footprint) -> list[int]:
        """Numbers of the statements before which a stop differs from one before a later statement: those that name a
        table of the other's, and those that name none (locks, snapshots)."""
        return [n for n, tables in enumerate(self.each, 1) if not tables or tables & other.touches]


@dataclass(frozen=True)
class Outcome:
    """What a run left behind and left to be looked at, how often each transaction was begun, what escaped the store."""

    state: str
    hints: frozenset[str]
    tries: tuple[int, int]
    errors: tuple[str, ...]


class _Pause:
    """Stops one transaction before its statement number `at`; past its last one stops it before the commit."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.stopped = threading.Event()
        self.go = threading.Event()

    def reached(self, number: int) -> None:
        if number == self.at:
            self.here()

    def here(self) -> None:
        """Stops, unless it has done so before."""
        if not self.stopped.is_set():
            self.stopped.set()
            assert self.go.wait(PATIENCE_SECONDS)


def watch_statements(monkeypatch: Any, unlocked: Collection[str]) -> None:
    """Every statement of a Tx first asks whether it is to wait here; those named `unlocked` lock nothing."""
    real = ReadTx._execute

    def execute(tx: ReadTx, query: Query, params: Mapping[str, Any]) -> Any:
        _here.count = getattr(_here, "count", 0) + 1
        if (seen := getattr(_here, "seen", None)) is not None:
            seen.append(query)
        if (pause := getattr(_here, "pause", None)) is not None:
            pause.reached(_here.count)
        if query.name in unlocked:
            query = replace(
                query, text=re.sub(r"FOR (KEY SHARE|UPDATE)( OF \w+)?|pg_advisory_xact_lock", "", query.text)
            )
        return real(tx, query, params)

    monkeypatch.setattr(ReadTx, "_execute", execute)


class Stage:
    """A world that is put back as it was before every run, and two stores with one connection each."""

    def __init__(self, url: str, layout: Any) -> None:
        # A frozen time for app_now(), and deadlocks found at once where we may say so.
        options = f"-c sellable.now={NOW.isoformat().replace('+00:00', 'Z')}"
        self.url = psycopg.conninfo.make_conninfo(url, options=options)
        self._layout = layout
        self._watch = psycopg.connect(url, autocommit=True)
        superuser = self._watch.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        self.may_reset = bool(superuser and superuser[0])
        quick = f"{options} -c deadlock_timeout=20ms" if self.may_reset else options
        self.stores = {
            slot: Store(psycopg.conninfo.make_conninfo(url, options=quick), clock(), threads=1, seal=SEAL)
            for slot in "AB"
        }
        self.pids = {
            slot: int(store.write_now(lambda tx: tx.value(query("SELECT pg_backend_pid()"))))
            for slot, store in self.stores.items()
        }
        self._tables: dict[str, str] = {}
        self._changed: set[str] = set()
        self._world: Counter[str] = Counter()
        self._known: dict[str, tuple[set[str], set[str]]] = {}

    def close(self) -> None:
        self._watch.execute("DROP SCHEMA IF EXISTS race CASCADE")
        self._watch.close()
        for store in self.stores.values():
            store.close()

    # --- The world ---------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """The tables as they are now are the world."""
        run = self._watch.execute
        rows = run(
            "SELECT relname, (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
            " WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '')"
            " FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND relname <> 'schema_migration' ORDER BY relname"
        ).fetchall()
        self._tables = dict(rows)
        run("DROP SCHEMA IF EXISTS race CASCADE")
        run("CREATE SCHEMA race")
        for name in self._tables:
            run(f"CREATE TABLE race.{name} AS TABLE public.{name}")
        run("ANALYZE")
        self._changed = set(self._tables)
        self._world = Counter(self._lines())

    def reset(self) -> None:
        """Puts back the tables that the last run wrote to."""
        with self._watch.transaction():
            run = self._watch.execute
            run("SET LOCAL session_replication_role = replica")
            statements = []
            for name in sorted(self._changed):
                columns = self._tables[name]
                statements.append(f"DELETE FROM public.{name}")
                statements.append(
                    f"INSERT INTO public.{name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM race.{name}"
                )
            if statements:
                run("; ".join(statements))
        self._changed = set()

    def _noted(self, seen: Collection[Query]) -> None:
        """These statements were run: what they wrote is put back next time."""
        for each in seen:
            if each.text not in self._known:
                self._known[each.text] = self.tables_of([each])
            self._changed |= self._known[each.text][0]

    def tables_of(self, seen: Collection[Query]) -> tuple[set[str], set[str]]:
        """Tables some statements write and touch, views taken apart."""
        writes: set[str] = set()
        touches: set[str] = set()
        for each in seen:
            words = set(re.findall(r"\w+", re.sub(r"--.*", "", each.text)))
            touches |= words & set(self._tables)
            for view, tables in VIEWS.items():
                touches |= tables if view in words else set()
            found = set(re.findall(r"(?:INSERT INTO|UPDATE|DELETE FROM)\s+(\w+)", each.text)) & set(self._tables)
            found |= touches if "FOR UPDATE" in each.text else set()
            writes |= found
            if "UPDATE operation" in each.text:
                writes.add("audit_due")
            if "DELETE FROM operation " in each.text:
                writes.add("audit_due")
            if "DELETE FROM sweep " in each.text:
                writes.add("sweep_row")
            if "DELETE FROM order_part" in each.text:
                writes.add("part_line")
        return writes, touches | writes

    # --- Running -----------------------------------------------------------------------------------------------------

    def alone(self, action: Action, world: Any) -> Footprint:
        """One run by itself, watched."""
        found, seen = Footprint(), []
        self.reset()

        def work(tx: Tx) -> None:
            action.run(tx, world)
            tx.finish()
            found.statements = _here.count

        def profile(frame: Any, event: str, _: object) -> None:
            if event == "call" and "/sellable/" in frame.f_code.co_filename:
                found.functions.add(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}")

        _here.seen = seen
        sys.setprofile(profile)
        try:
            self._enter("A")
            self.stores["A"].write_now(work)
        finally:
            sys.setprofile(None)
            _here.seen = None
        self._noted(seen)
        found.writes, found.touches = self.tables_of(seen)
        found.each = [self.tables_of([each])[1] for each in seen]
        others = [each for each in seen if not re.search(r"INSERT INTO (\w+)(?! AS)[^;]*$", each.text)]
        found.appends = APPENDED & found.writes - self.tables_of(others)[1]
        return found

    def _enter(self, slot: str, pause: _Pause | None = None) -> None:
        _here.slot, _here.count, _here.made, _here.pause = slot, 0, 0, pause

    def _play(
        self, slot: str, action: Action, world: Any, pause: _Pause | None = None, name: str = ""
    ) -> tuple[int, str]:
        """One transaction through the store; how often it was begun and what escaped. Its ids begin with `name`."""
        tries, seen = 0, []
        _here.seen = seen

        def work(tx: Tx) -> None:
            nonlocal tries
            tries += 1
            self._enter(name or slot, pause)
            action.run(tx, world)
            tx.finish()
            if pause is not None:
                # Whatever its statements were this time: before the commit it stops at the latest.
                pause.here()

        try:
            self.stores[slot].write_now(work)
        except Exception as error:
            return tries, f"{slot} {action.name}: {type(error).__name__}: {error}"
        finally:
            self._noted(seen)
            if pause is not None:
                pause.stopped.set()
        return tries, ""

    def _once_more(self, a: Action, b: Action, world: Any) -> None:
        for slot, action in (("A", a), ("B", b)):
            if action.again:
                self._play(slot, replace(action, run=action.again), world, name=f"{slot}0.")

    def serial(self, a: Action, b: Action, world: Any, order: str) -> Outcome:
        """Both, one after the other; `order` is "AB" or "BA"."""
        self.reset()
        actions = {"A": a, "B": b}
        ends = {slot: self._play(slot, actions[slot], world) for slot in order}
        self._once_more(a, b, world)
        return Outcome(*self.state(), (ends["A"][0], ends["B"][0]), tuple(e for _, e in ends.values() if e))

    def race(self, a: Action, b: Action, world: Any, at: int) -> Outcome:
        """A stops before its statement `at`; B runs until it ends or waits; then A goes on."""
        self.reset()
        pause = _Pause(at)
        ends: dict[str, tuple[int, str]] = {}

        def play(slot: str, action: Action, own: _Pause | None) -> None:
            ends[slot] = self._play(slot, action, world, own)

        first = threading.Thread(target=play, args=("A", a, pause))
        first.start()
        assert pause.stopped.wait(PATIENCE_SECONDS)
        second = threading.Thread(target=play, args=("B", b, None))
        second.start()
        give_up = time.monotonic() + PATIENCE_SECONDS
        second.join(BLOCKED_AFTER_SECONDS)
        while second.is_alive() and first.is_alive() and time.monotonic() < give_up:
            (waits,) = self._watch.execute(WAITS, [self.pids["B"]]).fetchone() or (False,)
            if waits:
                break
            second.join(BLOCKED_AFTER_SECONDS)
        pause.go.set()
        for thread in (first, second):
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), f"{a.name} and {b.name} do not end"
        self._once_more(a, b, world)
        return Outcome(*self.state(), (ends["A"][0], ends["B"][0]), tuple(e for _, e in ends.values() if e))

    def crowd(self, actions: Sequence[Action], world: Any, seed: int, each: int) -> list[str]:
        """Two threads that run any `each` of the actions without a look at the other; what escaped them, and what is
        wrong then."""
        self.reset()
        troubles: list[str] = []

        def run(slot: str) -> None:
            chance = Random(f"{seed} {slot}")
            for number, action in enumerate(chance.choices(actions, k=each)):
                _, trouble = self._play(slot, action, world, name=f"{slot}{number}.")
                troubles.extend([trouble] if trouble else [])

        threads = [threading.Thread(target=run, args=(slot,)) for slot in self.stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        twice = self._watch.execute(
            "SELECT lane FROM operation WHERE state IN ('intent', 'unknown', 'held') AND kind = 'stock.write'"
            " GROUP BY lane HAVING count(*) > 1"
        ).fetchall()
        wrong = [line for line in self._numbers(set(self._tables)) if line.startswith("WRONG")]
        return [*troubles, *wrong, *(f"two open writes in {lane}" for (lane,) in twice)]

    # --- Comparing ---------------------------------------------------------------------------------------------------

    def state(self) -> tuple[str, frozenset[str]]:
        """How the world is another now: rows that came and rows that went, every T and E; and what is to be read or
        looked at again, by name."""
        now, before = Counter(self._lines(self._changed)), self._world
        tables = {line.partition(" ")[0] for line in now} | self._changed
        if self._changed & DECIDING:
            tables.add("number")
        came = [f"+ {line}" for line in (now - before).elements()]
        went = [f"- {line}" for line in (before - now).elements() if line.partition(" ")[0] in tables]
        hints = self._watch.execute(
            "SELECT DISTINCT 'look at ' || sku FROM dirty UNION ALL SELECT 'read ' || key FROM wanted"
        ).fetchall()
        return "\n".join(sorted([*came, *went])), frozenset(line for (line,) in hints)

    def _lines(self, tables: Collection[str] | None = None) -> list[str]:
        names = sorted(set(self._tables if tables is None else tables) - HINTS)
        parts = [
            f"SELECT '{name}', coalesce(json_agg(whole)::text, '[]') FROM public.{name} AS whole" for name in names
        ]
        found = dict(self._watch.execute(" UNION ALL ".join(parts)).fetchall()) if parts else {}
        known = self._watch.execute("SELECT id, ref, kind || ' ' || subject FROM cases").fetchall()
        by_id, refs = {case: about for case, _, about in known}, {ref: about for _, ref, about in known}
        lines = []
        for name in names:
            for row in json.loads(found[name]):
                plain = {k: _plain(v) for k, v in row.items() if not (k in NUMBERS or k.endswith("seq"))}
                if "sealed_with" in row:
                    plain["body"] = _opened(row)
                if "case_id" in row:
                    plain["case"] = by_id.get(row["case_id"])
                text = json.dumps(plain, sort_keys=True)
                lines.append(f"{name} {_ID.sub('_x', _OP.sub(lambda m: refs.get(m[0], m[0]), text))}")
        return [*lines, *self._numbers(set(names))]

    def _numbers(self, changed: set[str]) -> list[str]:
        """Every T and E, and what breaks a rule that always holds."""
        tx = ReadTx(self._watch)
        lines = []
        if changed & DECIDING:
            skus = [r[0] for r in self._watch.execute("SELECT DISTINCT sku FROM entry").fetchall()]
            lines += [
                f"number {n.sku} {n.channel} T={n.explanation.target} E={n.e} parked={n.entry.parked}"
                for n in numbers.compute(tx, skus, self._layout, NOW)
            ]
        if "movement" in changed:
            lines += [f"WRONG balance {row}" for row in ledger.balances_that_differ(tx)]
            lines += [f"WRONG sum {row}" for row in ledger.skus_that_do_not_sum_to_zero(tx)]
        if changed & {"entry", "entry_fact", "entry_pending"}:
            lines += [f"WRONG entry {row}" for row in entries.entries_that_differ(tx)]
        return lines


def _opened(row: dict[str, Any]) -> str:
    """What a stored body says: each sealing of it looks another way."""
    body = bytes.fromhex(row["body"].removeprefix("\\x"))
    key = row["sealed_with"]
    return (body if key == IN_THE_OPEN else SEAL.open(key, row["source"], row["message_id"], body)).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k not in COUNTED}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def slot() -> str:
    """A or B: which of the two asks; "world" while it is built."""
    return getattr(_here, "slot", "world")


def query(text: str) -> Query:
    """A statement of the test's own."""
    return Query(package="test", name="test", purpose="test", text=text)


def difference(found: str, serial: Mapping[str, Outcome]) -> str:
    """Lines that tell a state from each of the serial ones."""
    mine = set(found.splitlines())
    parts = []
    for order, outcome in serial.items():
        theirs = set(outcome.state.splitlines())
        parts += [f"  not as {order}:", *(f"    + {x}" for x in sorted(mine - theirs))]
        parts += [f"    - {x}" for x in sorted(theirs - mine)]
    return "\n".join(parts)
