"""Entries the storefront lacks: made at 0 for what is stocked and sold, asked for once, and never in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from sellable.connectors.port import EntryReading, Refused
from sellable.domain.stock import Priority
from sellable.runtime import operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Done, Operation, Outcome, Rejected, next_seq
from sellable.runtime.queries import Query
from sellable.stock import catalogue, entries, observe
from sellable.sync import creation

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
PLACES = {"web": ("WH1", "WH2"), "outlet": ("WH2",)}
CONTEXT: Any = None
"""Creation asks nothing of the feed's context."""


def query(text: str) -> Query:
    return Query(package="t", name="t", purpose="t", text=text)


WALKED = query(
    "INSERT INTO feed (name, cursor, due_at) VALUES ('walk', %(cursor)s::jsonb, app_now())"
    " ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor"
)
OWED = query("SELECT kind, lane, budget, priority, payload FROM operation ORDER BY lane")
WISHES = query("SELECT key FROM wanted ORDER BY key")


class Shop:
    """A storefront with products of these SKUs; `refusal` is what it says to the next entry."""

    def __init__(self, *skus: str) -> None:
        self.skus = frozenset(skus)
        self.asked: list[list[str]] = []
        self.refusal: Refused | None = None

    async def sold(self, skus: Sequence[str], *, lane: str) -> frozenset[str]:
        self.asked.append(list(skus))
        return self.skus & set(skus)

    async def create_entry(self, sku: str, channel: str | None, op_id: str, *, lane: str) -> EntryReading:
        if self.refusal is not None:
            raise self.refusal
        return EntryReading(
            sku=sku, channel=channel, remote_id="r9", version=1, quantity=0, available=0, last_op=op_id, typed=None,
            backorder=False,
        )  # fmt: skip


class Bench:
    """A feed and its duty by hand."""

    def __init__(self, store: Store, shop: Shop, *, frozen: bool = False) -> None:
        self.store, self.shop = store, shop
        port: Any = shop
        self.feed = creation.CreationFeed(
            store, Ids(Clock()), port, PLACES, walk="walk", frozen=lambda tx: frozen
        )  # fmt: skip
        self.cases: list[tuple[str, str]] = []
        self.cleared: list[str] = []
        self.duty = creation.Creating(port, self._opened, lambda tx, kinds, subject, now: self.cleared.append(subject))

    def _opened(self, tx: Tx, kind: str, subject: str, now: datetime, **facts: Any) -> str:
        self.cases.append((kind, subject))
        return "C-1"

    def walked(self, **cursor: Any) -> None:
        self.store.write_now(lambda tx: tx.run(WALKED, cursor=msgspec.json.encode(cursor).decode()))

    def round(self) -> list[tuple[str, str]]:
        """Turns until the feed rests; what it owes then, by SKU and channel."""
        cursor: dict[str, Any] | None = None
        again = True
        while again:
            result = asyncio.run(self.feed.turn(cursor, CONTEXT))
            cursor, again = result.cursor, result.again
            if result.also is not None:
                self.store.write_now(result.also, NOW)
        return [(r.payload["sku"], r.payload["channel"]) for r in self.owed()]

    def owed(self) -> list[Any]:
        return self.store.read_now(lambda tx: tx.all(OWED))

    def carry(self) -> list[Outcome]:
        """Carries everything out."""
        found: list[Outcome] = []
        claimed = self.store.write_now(operations.claim, "commercetools", ["writes"], "me", 60.0, NOW, 100)
        for op in claimed:
            found.append(asyncio.run(self._send(op)))
            self.store.write_now(self._settle, op, found[-1])
        return found

    async def _send(self, op: Operation) -> Outcome:
        try:
            return await self.duty.send(op)
        except Refused as refusal:
            return Rejected(str(refusal), {"code": refusal.code})

    def _settle(self, tx: Tx, op: Operation, outcome: Outcome) -> None:
        operations.settle(tx, op, outcome, NOW)
        self.duty.settled(tx, op, outcome, NOW)


def stocked(store: Store, *rows: tuple[str, str, int], kits: dict[str, dict[str, int]] | None = None) -> None:
    """Units of SKUs at places, all of them sellable products of the master."""
    recipes = {sku: {} for sku, _, _ in rows} | (kits or {})

    def story(tx: Tx) -> None:
        products = [
            catalogue.Product(sku=sku, name=sku, sellable=True, service=False, kit=bool(recipe), recipe=recipe)
            for sku, recipe in recipes.items()
        ]
        catalogue.put(tx, products, NOW)
        seen = [
            observe.Row(sku=sku, location=place, part="", state="available", value=units, allocated=0)
            for sku, place, units in rows
        ]
        observe.start(tx, "s1", "cin7_core", "", NOW)
        observe.see_page(tx, "s1", seen, a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        observe.close(tx, "s1", complete=True, cause="", locations=["WH1", "WH2"], now=NOW)
        observe.apply(tx, "s1", waiting=[], dropped=[], locations=["WH1", "WH2"], now=NOW)

    store.write_now(story)


def shown(store: Store, sku: str, channel: str) -> None:
    def story(tx: Tx) -> None:
        seen = entries.Seen(
            sku=sku, channel=channel, remote_id=f"{sku}/{channel}", version=1, quantity=0, reserved=0, typed=None,
            backorder=False, last_op=None, at=NOW, seq=next_seq(tx),
        )  # fmt: skip
        entries.see(tx, [seen], NOW)

    store.write_now(story)


def test_what_is_stocked_and_sold_gets_its_entry_and_nothing_else_does(store: Store) -> None:
    stocked(store, ("LAMP", "WH1", 3), ("VASE", "WH2", 1), ("BARE", "WH1", 9), ("EMPTY", "WH1", 0), ("HERE", "WH1", 2))
    shown(store, "HERE", "web")
    bench = Bench(store, Shop("LAMP", "VASE", "EMPTY", "HERE"))
    bench.walked(round=1)
    assert bench.round() == [("VASE", "outlet"), ("LAMP", "web"), ("VASE", "web")]
    assert bench.shop.asked == [["BARE", "LAMP", "VASE"]]
    first = bench.owed()[0]
    assert (first.kind, first.lane, first.budget, first.priority) == (
        "entry.create", "stock:outlet:VASE", "writes", Priority.RAISE,
    )  # fmt: skip
    assert len(bench.round()) == 3, "what is owed is not owed again"
    assert bench.carry() == [Done({"entry": "r9", "version": 1})] * 3
    assert [r.key for r in store.read_now(lambda tx: tx.all(WISHES))] == ["outlet|VASE", "web|LAMP", "web|VASE"]
    assert sorted(bench.cleared) == ["sku:LAMP", "sku:VASE", "sku:VASE"]


def test_a_kit_needs_every_component_at_a_place_of_the_channel(store: Store) -> None:
    kits = {"BOTH": {"LAMP": 1, "VASE": 2}, "LAMPS": {"LAMP": 6}}
    stocked(store, ("LAMP", "WH1", 3), ("VASE", "WH2", 1), kits=kits)
    bench = Bench(store, Shop("BOTH", "LAMPS"))
    bench.walked(round=2)
    assert bench.round() == [("BOTH", "web"), ("LAMPS", "web")]


@pytest.mark.parametrize("cursor", [None, {"after": "x", "round": 0}])
def test_nothing_is_missing_before_every_entry_was_read_once(store: Store, cursor: dict[str, Any] | None) -> None:
    stocked(store, ("LAMP", "WH1", 3))
    bench = Bench(store, Shop("LAMP"))
    if cursor is not None:
        bench.walked(**cursor)
    assert (bench.round(), bench.shop.asked) == ([], [])


def test_nothing_is_made_while_writes_are_frozen(store: Store) -> None:
    stocked(store, ("LAMP", "WH1", 3))
    bench = Bench(store, Shop("LAMP"), frozen=True)
    bench.walked(round=1)
    assert bench.round() == []


def test_an_entry_that_was_taken_away_is_made_again(store: Store) -> None:
    stocked(store, ("LAMP", "WH1", 3))
    shown(store, "LAMP", "web")
    store.write_now(lambda tx: tx.all(creation.sql.mark_gone, sku=["LAMP"], channel=["web"]))
    bench = Bench(store, Shop("LAMP"))
    bench.walked(round=1)
    assert bench.round() == [("LAMP", "web")]


def test_one_that_somebody_else_made_meanwhile_is_as_good(store: Store) -> None:
    stocked(store, ("LAMP", "WH1", 3))
    bench = Bench(store, Shop("LAMP"))
    bench.walked(round=1)
    bench.round()
    bench.shop.refusal = Refused("there is one", code="DuplicateField")
    assert bench.carry() == [Done({"there": "already"})]
    assert ([r.key for r in store.read_now(lambda tx: tx.all(WISHES))], bench.cases) == (["web|LAMP"], [])


@pytest.mark.parametrize(
    ("code", "subject"), [("InvalidField", "sku:LAMP"), ("MissingRoleOnChannel", "channel:web")]
)  # fmt: skip
def test_a_refusal_is_one_case_of_whatever_it_speaks_of(store: Store, code: str, subject: str) -> None:
    stocked(store, ("LAMP", "WH1", 3))
    bench = Bench(store, Shop("LAMP"))
    bench.walked(round=1)
    bench.round()
    bench.shop.refusal = Refused("no", code=code)
    bench.carry()
    assert bench.cases == [("write_refused", subject)]


@pytest.mark.parametrize("subject", ["sku:LAMP", "channel:web"])
def test_what_a_person_has_to_mend_first_is_not_tried_again(store: Store, subject: str) -> None:
    opened = query(
        "INSERT INTO cases (kind, subject, owner, severity, first_at, last_at, title, evidence, next_step)"
        " VALUES ('write_refused', %(subject)s, 'ops', 2, app_now(), app_now(), 't', '[]', 'n')"
    )
    stocked(store, ("LAMP", "WH1", 3))
    store.write_now(lambda tx: tx.run(opened, subject=subject))
    bench = Bench(store, Shop("LAMP"))
    bench.walked(round=1)
    assert bench.round() == []


def test_many_are_looked_at_batch_by_batch_and_none_is_left_out(store: Store) -> None:
    names = [f"LAMP-{number:03}" for number in range(120)]
    stocked(store, *((name, "WH2", 1) for name in names))
    bench = Bench(store, Shop(*names))
    bench.walked(round=1)
    assert sorted(bench.round()) == sorted((name, channel) for name in names for channel in PLACES)
    assert all(len(asked) <= creation.BATCH for asked in bench.shop.asked)
