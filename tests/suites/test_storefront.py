"""The storefront moves under our hands: versions raised by orders, entries that come and go, our own echo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
from tests.e2e.world import World, run

from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import next_seq
from sellable.runtime.queries import Query
from sellable.stock import entries
from sellable.sync import storefront, writer

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
WANTED = Query(package="t", name="t", purpose="t", text="SELECT key FROM wanted WHERE kind = 'entry' ORDER BY key")
WISHES = Query(package="t", name="t", purpose="t", text="SELECT kind, key FROM wanted ORDER BY kind")
RESTORED = Query(
    package="t", name="t", purpose="t",
    text="INSERT INTO remembered (name, value, at) VALUES ('restored', %(value)s, %(at)s)",
)  # fmt: skip
CONFLICTS = Query(
    package="t", name="t", purpose="t",
    text="SELECT count(*) FROM operation WHERE kind = 'stock.write' AND state = 'rejected'",
)  # fmt: skip


def test_an_entry_whose_version_an_order_raised_is_read_and_written_at_once(store: Store) -> None:
    """An order on web-uk raised its version; the counter sale's lower meets one conflict, not one a second."""

    async def story(world: World) -> None:
        await world.until_shown(ARMCHAIR__web_eu=14, ARMCHAIR__web_uk=10)
        order = await world.buy({"ARMCHAIR": 3}, "web-uk")
        await world.until_stage(order["id"], "exported")
        await world.until_shown(ARMCHAIR__web_eu=11, ARMCHAIR__web_uk=7)
        await world.act(sell_at_counter={"sku": "ARMCHAIR", "location": "Berlin", "quantity": 5})
        await world.until_shown(ARMCHAIR__web_eu=6, ARMCHAIR__web_uk=2)
        assert int(await world.store.read(lambda tx: tx.value(CONFLICTS))) <= 3

    settings = {"commercetools": {"entry_walk_hours": 2400.0}}
    run(story, store, ct={"order_bumps_version": True}, settings=settings)


def seen(tx: Tx, quantity: int, *, remote: str = "r1", version: int = 5, at: datetime = NOW) -> None:
    reading = entries.Seen(
        sku="LAMP", channel="web", remote_id=remote, version=version, quantity=quantity, reserved=0, typed=None,
        backorder=False, last_op=None, at=at, seq=next_seq(tx),
    )  # fmt: skip
    entries.see(tx, [reading], NOW)


def row_of(tx: Tx) -> Any:
    (found,) = entries.read(tx, ["LAMP"])
    return found


def test_an_entry_made_anew_starts_from_its_number_and_waits_for_the_master(store: Store) -> None:
    def story(tx: Tx) -> tuple[Any, ...]:
        seen(tx, 10, version=12)
        tx.all(writer.sql.mark_gone, sku=["LAMP"], channel=["web"])
        assert entries.read(tx, ["LAMP"]) == []
        seen(tx, 0, remote="r2", version=1, at=NOW + timedelta(minutes=5))
        found = row_of(tx)
        return found.remote_id, found.version, found.e, found.parked

    assert store.write_now(story) == ("r2", 1, 0, "base")
    assert store.read_now(entries.entries_that_differ) == []


def test_a_reading_older_than_the_entry_we_know_changes_nothing(store: Store) -> None:
    def story(tx: Tx) -> tuple[int, int]:
        seen(tx, 10, version=12)
        seen(tx, 4, version=11)
        found = row_of(tx)
        return found.version, found.q

    assert store.write_now(story) == (12, 10)


def test_the_same_version_with_another_number_is_believed(store: Store) -> None:
    """Where orders do not raise the version, the number still moves."""

    def story(tx: Tx) -> tuple[int, int]:
        seen(tx, 10, version=12)
        seen(tx, 7, version=12)
        found = row_of(tx)
        return found.version, found.q

    assert store.write_now(story) == (12, 7)


def test_a_new_entry_is_read_on_every_channel_of_ours(store: Store) -> None:
    shop = storefront.Shop(
        open_case=lambda *a, **k: "", take_order=lambda *a: None, translate_message=lambda body: None,
        channels=frozenset({"web-eu", "web-uk"}),
    )  # fmt: skip
    body = b'{"inventoryEntry":{"id":"r9","sku":"LAMP","supplyChannel":{"typeId":"channel","id":"c1"}}}'
    row: Any = SimpleNamespace(
        meta={"type": "InventoryEntryCreated", "resource": "r9", "of": "inventory-entry"}, body=body
    )

    store.write_now(storefront.on_message, row, NOW, shop=shop)
    assert [r.key for r in store.read_now(lambda tx: tx.all(WANTED))] == ["web-eu|LAMP", "web-uk|LAMP"]


def test_a_message_that_cannot_be_read_has_what_it_is_about_read(store: Store) -> None:
    """Its numbers had become texts on the way, and no replay of the stored body would make them numbers again."""

    def garbled(body: bytes) -> Any:
        raise ValueError("Expected `int`, got `str`")

    shop = storefront.Shop(
        open_case=lambda *a, **k: "", take_order=lambda *a: None, translate_message=garbled, channels=frozenset({"web"})
    )  # fmt: skip
    body = b'{"oldQuantityOnStock":"5","newQuantityOnStock":"4","createdAt":"2026-11-27T09:00:00Z"}'
    told = {"inventory-entry": (storefront.ENTRY_SET, "r1"), "order": ("OrderCreated", "o1")}
    rows: list[Any] = [
        SimpleNamespace(meta={"type": kind, "resource": name, "of": of}, body=body, message_id=kind)
        for of, (kind, name) in told.items()
    ]
    store.write_now(seen, 5)
    for row in rows:
        store.write_now(storefront.on_message, row, NOW, shop=shop)
    assert [(r.kind, r.key) for r in store.read_now(lambda tx: tx.all(WISHES))] == [
        ("entry", "web|LAMP"),
        ("order", "o1"),
    ]


def test_writes_since_a_backup_have_no_writer_until_the_entry_was_read_again(store: Store) -> None:
    """They may be ours, of the life that the restored database does not know; a clock ahead of ours dates them late.
    Their units count all the same, and the first reading puts right what is not so."""
    opened: list[str] = []

    def case(tx: Tx, kind: str, subject: str, now: datetime, **_: Any) -> str:
        opened.append(kind)
        return ""

    shop = storefront.Shop(
        open_case=case, take_order=lambda *a: None, translate_message=lambda body: None, channels=frozenset({"web"})
    )  # fmt: skip

    def told(tx: Tx, before: int, after: int, minutes: int) -> int:
        at = (NOW + timedelta(minutes=minutes)).isoformat()
        body = msgspec.json.encode({
            "oldQuantityOnStock": before, "newQuantityOnStock": after, "createdAt": at, "resourceVersion": 6 + minutes,
        })  # fmt: skip
        row: Any = SimpleNamespace(
            id=minutes, meta={"type": storefront.ENTRY_SET, "resource": "r1", "of": "inventory-entry"}, body=body,
            message_id=f"m{minutes}",
        )  # fmt: skip
        storefront.on_message(tx, row, NOW, shop=shop)
        return int(row_of(tx).e)

    def story(tx: Tx) -> tuple[int, int, int]:
        seen(tx, 10)
        tx.run(RESTORED, value=str(next_seq(tx)), at=NOW)
        written = told(tx, 10, 7, 1)
        seen(tx, 8, version=9, at=NOW + timedelta(minutes=3))
        assert opened == []
        return written, int(row_of(tx).e), told(tx, 8, 6, 5)

    assert store.write_now(story) == (7, 8, 6)
    assert opened == ["foreign_writer"]


def operation(state: str, result: dict[str, Any] | None = None, **payload: Any) -> Any:
    document = {"version": 12, "d": -6, "marker": None, "chain": [], **payload}
    return SimpleNamespace(id="op1", state=state, payload=document, result=result)


def test_our_write_is_recognised_though_an_order_raised_the_version_before_it_was_confirmed() -> None:
    """Made version 13, read back at 14 because an order followed: the message of version 13 is ours."""
    done = operation("done", {"version": 14, "applied": "op1"})
    assert writer.explains(done, change=-6, version=13)
    assert not writer.explains(done, change=-6, version=12)
    assert not writer.explains(done, change=-6, version=15)
    assert not writer.explains(done, change=+6, version=13)


def test_a_superseded_copy_that_won_is_recognised_before_and_after_it_is_settled() -> None:
    """Copies of -6 and -4: the first one won. Until that is known either explains a message."""
    copies = {"marker": "op1.1", "d": -4, "chain": [{"marker": "op1", "d": -6}]}
    assert writer.explains(operation("unknown", **copies), change=-6, version=13)
    done = operation("done", {"version": 14, "applied": "op1"}, **copies)
    assert writer.explains(done, change=-6, version=13)
    assert not writer.explains(done, change=-4, version=13)


def test_a_foreign_write_told_late_does_not_count_twice(store: Store) -> None:
    """A judged look has shown it already; its message comes hours later."""

    def fact(line: str, at: datetime) -> entries.EntryFact:
        return entries.EntryFact(
            sku="LAMP", channel="web", kind="foreign", quantity=5, source="message", resource=line, line="", seq=1,
            remote_at=at,
        )  # fmt: skip

    def story(tx: Tx) -> tuple[int, int]:
        seen(tx, 10)
        tx.run(storefront.sql.judged, sku="LAMP", channel="web", at=NOW + timedelta(minutes=10))
        entries.record(tx, [fact("late", NOW + timedelta(minutes=5))], NOW, priority=2, reason="foreign")
        before = row_of(tx).e
        entries.record(tx, [fact("fresh", NOW + timedelta(minutes=15))], NOW, priority=2, reason="foreign")
        return before, row_of(tx).e

    assert store.write_now(story) == (10, 15)
