"""Drift, judged in retrospect: every look ends, in a judgement or in another look, and within bounded time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from sellable.connectors.port import OrderPage, RawOrder, Unavailable
from sellable.runtime import inbox
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import Query
from sellable.stock import entries
from sellable.sync import storefront, writer

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
SWEPT = Query(
    package="t", name="t", purpose="t",
    text="""INSERT INTO feed (name, cursor, due_at) VALUES ('commercetools.orders', %(cursor)s::jsonb, %(at)s)
        ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor""",
)  # fmt: skip
LOOKED = Query(package="t", name="t", purpose="t", text="SELECT looked_at, judged_at, parked, last_t FROM entry")
INBOX = Query(package="t", name="t", purpose="t", text="SELECT message_id FROM inbox")


class Orders:
    """Orders that hold the SKU, as the storefront would answer."""

    def __init__(self, *orders: RawOrder) -> None:
        self.orders = orders
        self.asked = 0

    async def orders_with_sku(self, sku: str, *, since: datetime, lane: str) -> OrderPage:
        self.asked += 1
        return OrderPage(orders=self.orders, cursor=None, full=False, at=NOW)


def judge_of(store: Store, orders: Any, cases: list[str] | None = None) -> storefront.Judge:
    """A judge that notes the kinds of the cases it opens."""

    def opened(_tx: Tx, kind: str, *_: Any, **__: Any) -> str:
        if cases is not None:
            cases.append(kind)
        return "C-1"

    shop = storefront.Shop(
        open_case=opened, take_order=lambda *a: None, translate_message=lambda body: None, channels=frozenset({"web"})
    )
    return storefront.Judge(store, orders, shop, lambda body: msgspec.json.decode(body), inbox.put)


def look(store: Store, quantity: int, at: datetime, version: int = 1, reserved: int = 0) -> None:
    def story(tx: Tx) -> None:
        seen = entries.Seen(
            sku="LAMP", channel="web", remote_id="r1", version=version, quantity=quantity, reserved=reserved,
            typed=None, backorder=False, last_op=None, at=at, seq=next_seq(tx),
        )  # fmt: skip
        entries.see(tx, [seen], NOW)

    store.write_now(story)


def fact(store: Store, kind: str, quantity: int, at: datetime, name: str) -> None:
    found = entries.EntryFact(
        sku="LAMP", channel="web", kind=kind, quantity=quantity, source="t", resource=name, line="", seq=0,
        remote_at=at,
    )  # fmt: skip
    store.write_now(entries.record, [found], NOW, priority=2, reason=name)


def swept(store: Store, at: datetime) -> None:
    cursor = msgspec.json.encode({"passed": at.isoformat()}).decode()
    store.write_now(lambda tx: tx.run(SWEPT, cursor=cursor, at=NOW))


def state(store: Store) -> Any:
    return store.read_now(lambda tx: tx.one(LOOKED))


def e(store: Store) -> int:
    return int(store.read_now(entries.read, ["LAMP"])[0].e)


def park(store: Store) -> None:
    store.write_now(lambda tx: tx.run(writer.sql.park_entries, sku=["LAMP"], channel=["web"], parked="judge", seq=None))


def to_look(store: Store, at: datetime) -> list[tuple[str, str]]:
    return store.read_now(storefront._to_look, at)


def test_goods_in_carts_are_looked_at_until_they_are_gone(store: Store) -> None:
    """They hold down the other entries' numbers, and no message tells that a cart was given up."""
    look(store, 10, NOW, reserved=4)
    assert to_look(store, NOW + timedelta(minutes=1)) == []
    assert to_look(store, NOW + timedelta(minutes=3)) == [("LAMP", "web")]
    at = NOW + timedelta(minutes=3)
    look(store, 10, at)
    swept(store, at + timedelta(seconds=30))
    asyncio.run(judge_of(store, Orders()).run_once(at))
    assert state(store).looked_at is None
    assert to_look(store, at + timedelta(minutes=10)) == []


def test_an_even_look_is_judged_and_frees_the_key(store: Store) -> None:
    look(store, 10, NOW)
    at = NOW + timedelta(minutes=1)
    look(store, 10, at)
    swept(store, at + timedelta(seconds=30))
    park(store)
    orders = Orders()
    asyncio.run(judge_of(store, orders).run_once(at))
    assert (state(store).judged_at, state(store).parked, orders.asked) == (at, None, 0)


def test_a_look_beside_our_own_write_is_taken_again(store: Store) -> None:
    """A raise is read a moment before it is sent: that look proves nothing and must not stay in the way."""
    look(store, 10, NOW)
    at = NOW + timedelta(minutes=1)
    look(store, 10, at)
    fact(store, "delta", 5, at + timedelta(seconds=1), "op1")
    park(store)
    swept(store, at + timedelta(minutes=1))
    asyncio.run(judge_of(store, Orders()).run_once(at))
    assert state(store).looked_at is None
    assert to_look(store, NOW) == [("LAMP", "web")]


def test_a_key_that_sells_all_the_time_is_judged_within_minutes(store: Store) -> None:
    """An order in the ten seconds before every look: after two minutes one look is judged all the same."""
    look(store, 100, NOW)
    park(store)
    judge = judge_of(store, Orders())
    left = 100
    for tick in range(1, 14):
        at = NOW + timedelta(seconds=15 * tick)
        left -= 1
        fact(store, "taken", -1, at - timedelta(seconds=3), f"order {tick}")
        look(store, left, at, version=1 + tick)
        swept(store, at + timedelta(seconds=20))
        asyncio.run(judge.run_once(at))
        if state(store).parked is None:
            break
        assert state(store).looked_at is None, "an unjudged look stays in the way"
    assert 8 <= tick <= 10
    assert e(store) == left


def test_a_fall_is_adopted_only_after_orders_were_asked_for(store: Store) -> None:
    look(store, 10, NOW)
    at = NOW + timedelta(minutes=1)
    look(store, 7, at)
    swept(store, at + timedelta(seconds=30))
    unknown = RawOrder(order_id="o1", version=1, modified_at=at.isoformat(), body=b"{}")
    finding = Orders(unknown)
    asyncio.run(judge_of(store, finding).run_once(at))
    assert (e(store), finding.asked) == (10, 1)
    assert [r.message_id for r in store.read_now(lambda tx: tx.all(INBOX))] == ["order:o1@1"]
    look(store, 7, at + timedelta(minutes=1), version=2)
    swept(store, at + timedelta(minutes=2))
    asyncio.run(judge_of(store, Orders()).run_once(at))
    assert (e(store), state(store).parked, state(store).last_t) == (7, "base", None)
    assert store.read_now(entries.entries_that_differ) == []


def test_what_happened_after_the_look_stays_counted(store: Store) -> None:
    look(store, 10, NOW)
    at = NOW + timedelta(minutes=1)
    look(store, 12, at)
    fact(store, "taken", -4, at + timedelta(seconds=20), "later")
    swept(store, at + timedelta(seconds=30))
    asyncio.run(judge_of(store, Orders()).run_once(at))
    assert e(store) == 8
    store.write_now(entries.fold)
    assert e(store) == 8
    assert store.read_now(entries.entries_that_differ) == []


def test_an_order_the_number_does_not_show_yet_alarms_nobody(store: Store) -> None:
    """The look counts it as shown, which errs on the low side; the next one takes that back, and both are no news."""
    look(store, 100, NOW)
    park(store)
    at = NOW + timedelta(minutes=3)
    fact(store, "taken", -24, at - timedelta(seconds=3), "order 1")
    look(store, 100, at)
    swept(store, at + timedelta(seconds=30))
    cases: list[str] = []
    asyncio.run(judge_of(store, Orders(), cases).run_once(at))
    assert e(store) == 100, "counted as shown"
    look(store, 76, at + timedelta(minutes=1), version=3)
    swept(store, at + timedelta(minutes=2))
    asyncio.run(judge_of(store, Orders(), cases).run_once(at + timedelta(minutes=2)))
    assert (e(store), cases) == (76, [])


def test_a_number_that_somebody_changed_alarms(store: Store) -> None:
    look(store, 100, NOW)
    at = NOW + timedelta(minutes=3)
    look(store, 124, at)
    swept(store, at + timedelta(seconds=30))
    cases: list[str] = []
    asyncio.run(judge_of(store, Orders(), cases).run_once(at))
    assert cases == ["drift"]


def test_orders_that_cannot_be_asked_for_leave_the_key_as_it_is_and_the_others_judged(store: Store) -> None:
    class Away(Orders):
        async def orders_with_sku(self, sku: str, *, since: datetime, lane: str) -> OrderPage:
            raise Unavailable("away", code="503")

    look(store, 10, NOW)
    at = NOW + timedelta(minutes=1)
    look(store, 7, at)
    swept(store, at + timedelta(seconds=30))
    asyncio.run(judge_of(store, Away()).run_once(at))
    assert (state(store).looked_at, state(store).judged_at) == (at, None)
    asyncio.run(judge_of(store, Orders()).run_once(at))
    assert state(store).judged_at == at
