"""A warehouse's inventory as a master's numbers: absent is unknown, torn proves nothing, only `available` is sold."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from sellable.connectors.port import Despatch, Despatches, InventoryPage, InventoryRow
from sellable.domain.orders import Shipment
from sellable.domain.stock import State
from sellable.runtime.database import Store, Tx
from sellable.runtime.feeds import FeedContext
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import Arrival
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import Query
from sellable.stock import catalogue, demand, numbers, observe
from sellable.stock.availability import ChannelRule, Layout, pool_term
from sellable.sync import masters, warehouse

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
LAMP, ROPE = "LAMP", "ROPE"
LAYOUT = Layout(channels={"web": ChannelRule("web", "all")}, pools={"all": ("Leeds", "Derby", "Berlin")})
WISHES = Query(package="t", name="t", purpose="t", text="SELECT key FROM wanted WHERE kind = 'sku' ORDER BY key")
STATES = Query(package="t", name="t", purpose="t", text="SELECT part, state, value FROM observed ORDER BY part")
SETTLED = Query(package="t", name="t", purpose="t", text="SELECT settled FROM demand")


async def _no_number() -> int:
    raise AssertionError("nobody asks for one")


TURN = FeedContext(name="x", now=NOW, a0=0, failures=0, next_seq=_no_number)


class Shelves:
    """Inventory by (SKU, location); `during` is done after so many calls, as people move stock while it is read."""

    def __init__(self, **units: int) -> None:
        self.units: dict[tuple[str, str], int] = {}
        for name, count in units.items():
            sku, _, place = name.partition("__")
            self.units[(sku, place or "Leeds")] = count
        self.during: dict[int, Any] = {}
        self.calls = 0

    async def inventory(self, skus: Sequence[str] | None, *, site: str | None, lane: str) -> InventoryPage:
        found = [
            InventoryRow(
                sku=sku, location=place, total=n + 3, allocated=1, available=n, frozen=2, on_order=50, inspection=4,
                damaged=0,
            )
            for (sku, place), n in self.units.items()
            if site in (None, place) and (skus is None or sku in skus)
        ]  # fmt: skip
        self.calls += 1
        if act := self.during.pop(self.calls, None):
            act()
        shown = {row.sku for row in found}
        absent = tuple(sku for sku in skus or () if sku not in shown)
        return InventoryPage(rows=tuple(found), received=len(found), absent=absent)

    async def despatches(self, since: datetime, until: datetime, *, lane: str) -> Despatches:
        return Despatches(despatches=(), received=0, since=since, until=until)


class Row:
    def __init__(self, arrival: Arrival) -> None:
        self.id, self.body, self.meta = 1, arrival.body, arrival.meta


class Reader:
    """A master with two sites, beside another master's Berlin; cases are kept by kind."""

    def __init__(self, store: Store, shelves: Shelves) -> None:
        self.store, self.shelves, self.cases = store, shelves, dict[str, Any]()
        self.master = masters.Master(
            name="orderflow", remotes={"LEEDS": "Leeds", "DERBY": "Derby"}, elsewhere=("Berlin",),
            open_case=self._open,
        )  # fmt: skip
        self.port: Any = shelves

    def _open(self, tx: Tx, kind: str, subject: str, now: datetime, **said: Any) -> str:
        self.cases[kind] = said.get("actual")
        return kind

    def _clear(self, tx: Tx, kinds: Sequence[str], subject: str, now: datetime) -> None:
        for kind in kinds:
            self.cases.pop(kind, None)

    def read(self) -> None:
        feed = warehouse.InventoryFeed(self.store, Ids(self.store.clock), self.port, self.master)
        result = asyncio.run(feed.turn(None, TURN))
        (arrival,) = result.arrivals
        row: Any = Row(arrival)
        self.store.write_now(
            lambda tx: warehouse.on_inventory(tx, row, NOW, master=self.master, clear_cases=self._clear)
        )

    def read_skus(self, *skus: str) -> list[str]:
        fetch = warehouse.Fetches(self.store, self.store.clock, Ids(self.store.clock), self.port, self.master)
        arrivals = asyncio.run(fetch.skus(skus))
        for arrival in arrivals:
            row: Any = Row(arrival)
            handler = masters.on_sku if arrival.kind == "stock.sku" else warehouse.on_absent
            self.store.write_now(lambda tx, row=row, handler=handler: handler(tx, row, NOW, master=self.master))
        return [arrival.kind for arrival in arrivals]

    def shown(self, sku: str = LAMP) -> int:
        def ask(tx: Any) -> int:
            return pool_term(numbers.facts_of(tx, [sku], NOW)[sku], LAYOUT, "all").ats

        return self.store.read_now(ask)


def test_only_available_is_sold_and_every_state_is_kept_apart(store: Store) -> None:
    reader = Reader(store, Shelves(LAMP=7))
    reader.read()
    assert reader.shown() == 7
    found = store.read_now(lambda tx: [tuple(r) for r in tx.all(STATES)])
    assert found == [
        ("", "available", 7), ("damaged", "damaged", 0), ("frozen", "quarantine", 2), ("inspection", "inspection", 4),
    ]  # fmt: skip
    assert State.ON_ORDER not in {state for _, state, _ in found}, "what is on order is nowhere"
    assert store.read_now(lambda tx: catalogue.known(tx, [LAMP]).exact)[LAMP].kit is False


def test_a_lower_counts_at_once_and_a_raise_by_the_next_whole_reading(store: Store) -> None:
    reader = Reader(store, Shelves(LAMP=7, LAMP__Derby=2))
    reader.read()
    reader.shelves.units[(LAMP, "Leeds")] = 3
    reader.read()
    assert reader.shown() == 5
    reader.shelves.units[(LAMP, "Derby")] = 9
    reader.read()
    assert reader.shown() == 12


def test_a_sku_that_is_absent_is_unknown_and_not_nothing(store: Store) -> None:
    reader = Reader(store, Shelves(LAMP=7, ROPE=2))
    reader.read()
    del reader.shelves.units[(LAMP, "Leeds")]
    reader.read()
    assert (reader.shown(), reader.shown(ROPE)) == (7, 2)
    assert reader.cases == {"stock_missing": {"count": 1, "skus": [LAMP]}}
    assert reader.read_skus(LAMP) == ["stock.absent"]
    assert reader.shown() == 7
    reader.shelves.units[(LAMP, "Leeds")] = 4
    reader.read()
    assert (reader.shown(), reader.cases) == (4, {})


def test_a_place_that_falls_silent_is_asked_for_by_the_sku(store: Store) -> None:
    """Derby had two and says nothing of lamps any more, while Leeds does: read by itself, it has none there."""
    reader = Reader(store, Shelves(LAMP=7, LAMP__Derby=2))
    reader.read()
    del reader.shelves.units[(LAMP, "Derby")]
    reader.read()
    assert reader.shown() == 9
    assert store.read_now(lambda tx: [r.key for r in tx.all(WISHES)]) == [LAMP]
    assert reader.read_skus(LAMP) == ["stock.sku"]
    assert (reader.shown(), reader.cases) == (7, {})


def test_units_moved_between_sites_while_they_are_read_do_not_count_twice(store: Store) -> None:
    shelves = Shelves(LAMP=5, LAMP__Derby=5)
    reader = Reader(store, shelves)
    reader.read()
    shelves.calls = 0

    def move() -> None:
        # Derby is read first: its five go to Leeds right after.
        shelves.units[(LAMP, "Derby")], shelves.units[(LAMP, "Leeds")] = 0, 10

    shelves.during[1] = move
    reader.read()
    assert reader.shown() == 10, "five and ten were read, and there are ten"
    assert store.read_now(lambda tx: [r.key for r in tx.all(WISHES)]) == [LAMP]
    reader.read()
    assert reader.shown() == 10


def test_units_that_left_are_forgotten_only_when_the_other_master_was_read_too(store: Store) -> None:
    reader = Reader(store, Shelves(LAMP=7))
    reader.read()

    def berlin(tx: Tx, name: str, units: int) -> None:
        row = observe.Row(sku=LAMP, location="Berlin", part="", state="available", value=units, allocated=0)
        observe.start(tx, name, "cin7_core", "", NOW)
        observe.see_page(tx, name, [row], a0=next_seq(tx), a1=next_seq(tx), now=NOW)
        observe.close(tx, name, complete=True, cause="", locations=["Berlin"], now=NOW)
        observe.apply(
            tx, name, waiting=[], dropped=[], locations=["Berlin"], now=NOW, elsewhere=("Leeds", "Derby")
        )  # fmt: skip

    def ship(tx: Tx) -> None:
        sold = demand.Sold(order_id="A", line_id="1", sku=LAMP, label="A", channel="web", units=3, location="Leeds")
        demand.capture(tx, [sold], NOW)
        demand.shipped(tx, "A", "Leeds", next_seq(tx), NOW)

    store.write_now(berlin, "b1", 4)
    store.write_now(ship)
    assert reader.shown() == 8
    store.write_now(berlin, "b2", 5)
    assert store.read_now(lambda tx: tx.value(SETTLED)) is False, "Leeds was read before they left"
    assert reader.shown() == 9
    reader.shelves.units[(LAMP, "Leeds")] = 4
    reader.read()
    assert store.read_now(lambda tx: tx.value(SETTLED)) is True
    assert reader.shown() == 9


def test_despatches_are_taken_in_by_so_many(store: Store) -> None:
    one = Despatch(
        order_ref="r", shipment=Shipment(shipment_id="S", items=(("LAMP", 1),), parcels=()), state="despatched",
        carrier="", courier="", service="", tracking="", tracking_url="", completed=None,
    )  # fmt: skip
    now = store.clock.now()

    async def read(since: datetime, until: datetime, *, lane: str) -> Despatches:
        many = tuple(msgspec.structs.replace(one, order_ref=f"r{n}") for n in range(2 * warehouse.PIECE + 1))
        return Despatches(despatches=many, received=len(many), since=since, until=until, faults=("one",))

    def turn(read: Any) -> list[Despatches]:
        feed = warehouse.WindowFeed(
            store, store.clock, read, "despatch", "orderflow", now, timedelta(minutes=30), warehouse.by_so_many
        )
        found = asyncio.run(feed.turn(None, TURN)).arrivals
        assert len({(row.lane, row.message_id) for row in found}) == len(found)
        return [msgspec.json.decode(row.body, type=Despatches) for row in found]

    pieces = turn(read)
    assert [len(piece.despatches) for piece in pieces] == [warehouse.PIECE, warehouse.PIECE, 1]
    assert [each.order_ref for piece in pieces for each in piece.despatches] == [
        f"r{n}" for n in range(2 * warehouse.PIECE + 1)
    ]
    assert [piece.faults for piece in pieces] == [("one",), (), ()], "a fault is told once"
    (empty,) = turn(Shelves().despatches)
    assert empty.despatches == ()


def test_windows_of_despatches_overlap_and_long_ones_are_read_in_pieces(store: Store) -> None:
    shelves: Any = Shelves()
    start = store.clock.now() - timedelta(days=2, hours=1)
    feed = warehouse.WindowFeed(
        store, store.clock, shelves.despatches, "despatch", "orderflow", start, timedelta(minutes=30)
    )
    cursor: dict[str, Any] | None = None
    windows = []
    for _ in range(4):
        result = asyncio.run(feed.turn(cursor, TURN))
        cursor = result.cursor
        page = msgspec.json.decode(result.arrivals[0].body, type=Despatches)
        windows.append((page.since, page.until))
        if not result.again:
            break
    assert len(windows) == 3
    assert windows[0][0] == start - timedelta(minutes=30)
    for (_, until), (since, _) in itertools.pairwise(windows):
        assert until - since >= timedelta(minutes=60), "each begins well before the one before it ended"
    assert cursor is not None
    assert datetime.fromisoformat(cursor["mark"]) <= store.clock.now()
