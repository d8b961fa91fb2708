"""`sellable explain` accounts for the number: its printed terms, added up by a second and naive arithmetic, make it.

A seeded shop of more than a thousand keys, with everything that moves a number: bundles, buffers, caps, holds, carts,
shared pools, orders on every stage of their way, numbers read at different times, changed recipes, and the past.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from tests.e2e.world import settings_of

from sellable.app import answers
from sellable.app.layout import layout_of
from sellable.app.service import notice_stale
from sellable.config.settings import Settings
from sellable.connectors.port import StockWrite, Written
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.ids import Ids
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import Query
from sellable.stock import catalogue, demand, entries, numbers, observe
from sellable.sync import writer

SEED = 11
NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
PLACES = ("Berlin", "Hamburg", "Lyon")
POOLS = {"eu": ("Berlin", "Hamburg"), "uk": ("Berlin",), "fr": ("Hamburg", "Lyon")}
CHANNELS: dict[str, dict[str, Any]] = {
    "web-eu": {"pool": "eu"},
    "web-uk": {"pool": "uk", "buffer": 1, "cap": 40},
    "web-fr": {"pool": "fr", "cap": 15},
    "outlet": {"pool": "eu", "buffer": 2},
}
PLAIN = [f"CRUNCHY-{n:03}" for n in range(220)]
KITS = [f"SET-{n:02}" for n in range(60)]
KEYS = [(sku, channel) for sku in (*PLAIN, *KITS) for channel in CHANNELS]
DIFFERS = Query(package="t", name="t", purpose="t", text="SELECT sku, channel, d FROM desired WHERE d <> 0")
COLUMN = dict[tuple[str, str], int]


def shop_settings(**cin7: Any) -> Settings:
    return settings_of(
        NOW,
        locations=[{"name": place, "master": "cin7_core", "remote": place} for place in PLACES],
        states=[{"location": place, "bin": "*", "state": "available"} for place in PLACES],
        pools=[{"name": name, "locations": places} for name, places in POOLS.items()],
        channels=[{"key": key, **rule} for key, rule in CHANNELS.items()],
        buffers=[
            {"units": 3, "location": "Berlin"},
            {"units": 2, "sku": PLAIN[1]},
            {"units": 4, "sku": PLAIN[2], "channel": "web-eu"},
            {"units": 5, "sku": PLAIN[3], "location": "Lyon"},
        ],
        cin7_core=cin7,
    )


# --- The second arithmetic: nothing but what was printed --------------------------------------------------------------


def left(term: dict[str, Any], place: str | None = None) -> int:
    """Units of one SKU in a pool, or those a kit may count on at one place."""
    units = 0
    for each in term["locations"]:
        if place in (None, each["location"]):
            units += each["available"] - each["held_back"]
    for flight in term["in_flight"]:
        if place is None or flight["location"] in (None, place):
            units -= flight["units"]
    for _, held, _ in term["holds"]:
        units -= held
    return units - term["stale_buffer"]


def added_up(e: dict[str, Any]) -> int:
    """The number, from its printed terms; every sum printed on the way is right too."""
    if e["term"] is not None:
        assert not e["components"]
        assert e["term"]["ats"] == left(e["term"])
        whole = left(e["term"])
    else:
        assert e["components"]
        places = {each["location"] for part in e["components"] for each in part["term"]["locations"]}
        at_place = {
            place: min(max(0, left(part["term"], place)) // part["per_kit"] for part in e["components"])
            for place in places
        }
        for part in e["components"]:
            assert part["term"]["ats"] == left(part["term"])
            assert part["kits"] == max(0, left(part["term"])) // part["per_kit"]
        assert e["kits_by_location"] == {place: kits for place, kits in at_place.items() if kits}
        whole = min(sum(at_place.values()), *(part["kits"] for part in e["components"]))
    assert e["ats"] == whole
    number = whole - e["buffer"] - e["in_other_carts"]
    if e["cap"] is not None and number > e["cap"]:
        number = e["cap"]
    return number if number > 0 else 0


# --- The shop ---------------------------------------------------------------------------------------------------------


@dataclass
class Trade:
    """A storefront that does what it is told and sells, a master that counts, and our writer between them."""

    store: Store
    settings: Settings
    stale: frozenset[str] = frozenset()
    now: datetime = NOW
    die: random.Random = field(default_factory=lambda: random.Random(SEED))
    shown: COLUMN = field(default_factory=dict)
    versions: COLUMN = field(default_factory=dict)
    carts: COLUMN = field(default_factory=dict)
    recipes: dict[str, dict[str, int]] = field(default_factory=dict)
    orders: list[tuple[str, list[demand.Sold]]] = field(default_factory=list)
    ids: Ids = field(default_factory=lambda: Ids(Clock.parse("speed=1")))

    def pass_time(self, seconds: float = 60.0) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def open(self) -> None:
        """Entries at any number, a catalogue with kits, and a first count of everything."""
        self.shown = {key: self.die.randint(0, 30) for key in KEYS}
        self.versions = dict.fromkeys(KEYS, 1)
        for kit in KITS:
            parts = self.die.sample(PLAIN, self.die.randint(1, 3))
            self.recipes[kit] = {part: self.die.randint(1, 3) for part in parts}
        self.store.write_now(self._catalogue)
        self.see(KEYS)
        self.count("first", PLAIN)

    def _catalogue(self, tx: Tx) -> None:
        rows = [
            catalogue.Product(
                sku=sku, name=sku, sellable=True, service=False, kit=sku in KITS, recipe=self.recipes.get(sku, {})
            )
            for sku in (*PLAIN, *KITS)
        ]
        catalogue.put(tx, rows, self.now)

    def change_recipes(self) -> None:
        for kit in self.die.sample(KITS, 15):
            self.recipes[kit] = {self.die.choice(PLAIN): self.die.randint(1, 4)}
        self.store.write_now(self._catalogue)

    def see(self, keys: Sequence[tuple[str, str]]) -> int:
        """Reads entries; the causal number before the reading."""

        def story(tx: Tx) -> int:
            seq = next_seq(tx)
            seen = [
                entries.Seen(
                    sku=sku, channel=channel, remote_id=f"{channel}|{sku}", version=self.versions[sku, channel],
                    quantity=self.shown[sku, channel], reserved=self.carts.get((sku, channel), 0), typed=None,
                    backorder=False, last_op=None, at=self.now, seq=seq,
                )
                for sku, channel in keys
            ]  # fmt: skip
            entries.see(tx, seen, self.now)
            return seq

        return self.store.write_now(story)

    def count(self, name: str, skus: Sequence[str], *, whole: bool = True) -> None:
        """A walk of the master, a page for each place, so that places are read at different causal numbers.

        One that is not whole ends after two places: what fell there counts, nothing else.
        """

        def story(tx: Tx) -> None:
            observe.start(tx, name, "cin7_core", "", self.now)
            for place in PLACES if whole else PLACES[:2]:
                rows = [
                    observe.Row(sku=sku, location=place, part=part, state=state, value=value, allocated=0)
                    for sku in skus
                    for part, state, value in (
                        ("A1", "available", self.die.randint(-2, 40)),
                        ("QC", self.die.choice(("inspection", "")), self.die.randint(0, 3)),
                    )
                ]
                observe.see_page(tx, name, rows, a0=next_seq(tx), a1=next_seq(tx), now=self.now)
            observe.close(tx, name, complete=whole, cause="" if whole else "given up", locations=PLACES, now=self.now)
            if whole:
                observe.apply(tx, name, waiting=[], dropped=[], locations=PLACES, now=self.now)

        self.store.write_now(story)

    def sell(self, count: int) -> None:
        """Orders of plain goods and kits, some with a place already; the storefront lowers its own entry."""
        for _ in range(count):
            order = f"N-{len(self.orders)}"
            channel = self.die.choice(list(CHANNELS))
            place = self.die.choice((None, *POOLS[CHANNELS[channel]["pool"]]))
            sold, taken = [], []
            for line, sku in enumerate(self.die.sample((*PLAIN, *KITS), self.die.randint(1, 4))):
                units = self.die.randint(1, 3)
                for part, each in (self.recipes.get(sku) or {sku: 1}).items():
                    sold.append(
                        demand.Sold(
                            order_id=order, line_id=str(line), sku=part, label=order, channel=channel,
                            units=units * each, location=place,
                        )
                    )  # fmt: skip
                taken.append(
                    entries.EntryFact(
                        sku=sku, channel=channel, kind="taken", quantity=-units, source="order", resource=order,
                        line=str(line), seq=0, remote_at=self.now,
                    )
                )  # fmt: skip
                self.shown[sku, channel] -= units
            self.store.write_now(self._capture, sold, taken)
            self.orders.append((order, sold))

    def _capture(self, tx: Tx, sold: list[demand.Sold], taken: list[entries.EntryFact]) -> None:
        demand.capture(tx, sold, self.now)
        entries.record(tx, taken, self.now, priority=1, reason="order")

    def allocate(self, share: float, *, whole: bool) -> None:
        """The master takes orders in, some only in part."""
        for order, sold in self.orders:
            place = sold[0].location
            if place is not None and self.die.random() < share:
                units: dict[str, int] = {}
                for each in sold:
                    units[each.sku] = units.get(each.sku, 0) + (each.units if whole else each.units // 2)
                self.store.write_now(
                    lambda tx, o=order, p=place, u=units: demand.evidence(tx, o, p, u, next_seq(tx), self.now)
                )

    def move_on(self) -> None:
        """Some are shipped, some cancelled, some undone by staff."""
        for place, (order, sold) in enumerate(self.orders):
            where = sold[0].location
            if where is None:
                continue
            if place % 5 == 0:
                self.store.write_now(lambda tx, o=order, w=where: demand.shipped(tx, o, w, next_seq(tx), self.now))
            elif place % 5 == 1:
                self.store.write_now(
                    lambda tx, o=order, w=where: demand.cancelled(tx, o, w, next_seq(tx), "cancel", self.now)
                )
            elif place % 5 == 2:
                self.store.write_now(demand.revoke, order, where, "staff", self.now)

    def hold(self, count: int) -> None:
        for n in range(count):
            self.store.write_now(
                numbers.hold, hold_id=f"h-{n}-{self.now:%H%M}", sku=self.die.choice(PLAIN),
                pool=self.die.choice(list(POOLS)), units=self.die.randint(1, 5), reason="photo shoot", actor="maria",
                until=None, now=self.now,
            )  # fmt: skip

    def fill_carts(self, count: int) -> None:
        for key in self.die.sample(KEYS, count):
            self.carts[key] = self.die.randint(1, 6)
        self.see(list(self.carts))

    def plan(self) -> None:
        while self.store.write_now(writer.plan_dirty, layout_of(self.settings), self.now, stale=self.stale):
            pass

    def settle_down(self) -> None:
        """Plans and writes until nothing differs: the storefront has been told everything."""
        for _ in range(12):
            self.plan()
            rows = self.store.read_now(lambda tx: tx.all(DIFFERS))
            if not rows:
                return
            self.pass_time()
            self.write(None)
            if raises := [(r.sku, r.channel) for r in rows if r.d > 0]:
                self.write(raises)
        raise AssertionError("does not settle")

    def write(self, only: list[tuple[str, str]] | None) -> None:
        seq = self.see(only) if only else None
        picked = self.store.write_now(
            writer.pick, layout_of(self.settings), self.ids, self.now, owner="w", limit=2000, only=only,
            stale=self.stale, read_seq=seq,
        )  # fmt: skip
        told = zip(picked.operations, map(self._told, picked.writes), strict=True)
        outcomes = [(op, writer.outcome_of(written, op)) for op, written in told]
        self.store.write_now(writer.settle, outcomes, self.now, on_refused=lambda *a: None)

    def _told(self, write: StockWrite) -> Written:
        key = (write.sku, write.channel or "")
        assert write.version == self.versions[key]
        self.shown[key] += write.difference
        self.versions[key] += 1
        return Written(
            op_id=write.op_id, status="applied", version=self.versions[key], quantity=self.shown[key], at=self.now
        )


@dataclass(frozen=True)
class Moment:
    """An instant, what the storefront showed then, what explain said then, and whether all had been told."""

    at: datetime
    shown: COLUMN
    said: dict[tuple[str, str], dict[str, Any]]
    at_rest: bool


def explained(trade: Trade, at: datetime | None) -> dict[tuple[str, str], dict[str, Any]]:
    """Every number as the command prints it."""
    found = {}
    for sku in (*PLAIN, *KITS):
        said = trade.store.read_now(answers.explain, trade.settings, sku, None, at, trade.now)
        for number in json.loads(msgspec.json.encode(said))["numbers"]:
            found[sku, number["channel"]] = number
    return found


def look(trade: Trade, *, at_rest: bool) -> Moment:
    trade.plan()
    moment = Moment(trade.now, dict(trade.shown), explained(trade, None), at_rest)
    trade.pass_time()
    return moment


def a_days_trade(trade: Trade) -> list[Moment]:
    trade.open()
    trade.settle_down()
    moments = [look(trade, at_rest=True)]
    trade.hold(25)
    trade.sell(90)
    trade.fill_carts(80)
    trade.allocate(0.6, whole=False)
    moments.append(look(trade, at_rest=False))
    trade.settle_down()
    moments.append(look(trade, at_rest=True))
    trade.allocate(0.5, whole=True)
    trade.count("half", trade.die.sample(PLAIN, 110), whole=False)
    trade.count("second", PLAIN)
    trade.sell(60)
    trade.move_on()
    trade.change_recipes()
    moments.append(look(trade, at_rest=False))
    trade.settle_down()
    moments.append(look(trade, at_rest=True))
    return moments


def terms(number: dict[str, Any]) -> Any:
    """The explanation without when and in which order its numbers were read: newer readings that say the same."""
    e = json.loads(json.dumps(number["explanation"]))
    for term in [e["term"], *(part["term"] for part in e["components"])]:
        for each in term["locations"] if term else ():
            del each["a0"], each["observed_at"]
    return e


@pytest.fixture
def trade(store: Store) -> Trade:
    return Trade(store, shop_settings(max_age_minutes=600))


def test_the_printed_terms_make_the_number_that_the_storefront_was_told(trade: Trade) -> None:
    """Of every key at every moment, asked then and asked later with --at."""
    moments = a_days_trade(trade)
    assert len(KEYS) >= 1000
    for moment in moments:
        past = explained(trade, moment.at)
        assert moment.said.keys() == past.keys() == set(KEYS)
        for key, number in moment.said.items():
            target = added_up(number["explanation"])
            assert target == number["explanation"]["target"], (key, number)
            assert number["e"] == moment.shown[key], (key, number)
            assert number["d"] == target - number["e"], (key, number)
            if moment.at_rest:
                assert target == moment.shown[key], (key, number)
            then = past[key]
            assert added_up(then["explanation"]) == target, (key, then)
            assert (then["e"], then["d"]) == (number["e"], number["d"]), (key, then)
            assert terms(then) == terms(number), key
    told = [json.dumps(n["explanation"]) for moment in moments for n in moment.said.values()]
    for word in ("not_allocated", "not_in_the_number_yet", "inspection", "photo shoot", '"cap": 15'):
        assert any(word in text for text in told), f"nothing of {word} was ever part of a number"
    for term in ("in_other_carts", "buffer", "kits_by_location"):
        assert any(n["explanation"][term] for moment in moments for n in moment.said.values()), term


def test_a_number_held_back_because_the_master_is_silent_says_so(store: Store) -> None:
    """The planner holds units back then; what explain prints is the same number, not the one of better days."""
    trade = Trade(store, shop_settings(max_age_minutes=30, stale_buffer=2))
    trade.open()
    trade.settle_down()
    notice = partial(notice_stale, layout_of(trade.settings))
    store.write_now(notice, (), trade.now)
    store.write_now(notice, {"cin7_core"}, trade.pass_time(3600))
    trade.stale = frozenset({"cin7_core"})
    trade.settle_down()
    said = explained(trade, None)
    for key, number in said.items():
        assert added_up(number["explanation"]) == number["explanation"]["target"] == trade.shown[key], (key, number)
    held = {n["explanation"]["term"]["stale_buffer"] for n in said.values() if n["explanation"]["term"]}
    assert held == {2}
