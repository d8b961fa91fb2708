"""Slots on a real database: names of processes, and what happens to the leases of those that died."""

from __future__ import annotations

from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Intent, find, owe_claimed
from sellable.runtime.slots import Slot, Undertaker


def claim(store: Store, owner: str) -> str:
    clock = Clock()
    intent = Intent(system="erp", kind="sale", lane=f"order:{owner}", budget="orders", priority=1, payload={})
    (op,) = store.write_now(
        owe_claimed, [intent], clock.now(), Ids(clock), owner=owner, lease_seconds=3600
    )  # fmt: skip
    return op.id


def owner_of(store: Store, op_id: str) -> str | None:
    op = store.read_now(find, op_id)
    assert op is not None
    return op.owner


def test_the_lowest_free_slot_is_taken_and_given_back(store: Store) -> None:
    one, two, three = (Slot(store.url) for _ in range(3))
    assert (one.take(), two.take()) == ("process-1", "process-2")
    one.close()
    assert three.take() == "process-1"
    assert not one.keep()
    assert three.keep()
    for slot in (one, two, three):
        slot.close()


def test_leases_of_the_dead_are_dropped_at_the_second_look(store: Store) -> None:
    alive, dead, undertaker = Slot(store.url), Slot(store.url), Undertaker()
    names = alive.take(), dead.take()
    ops = [claim(store, name) for name in (*names, "somebody")]
    dead.close()
    assert store.write_now(undertaker.look) == []
    assert store.write_now(undertaker.look) == [names[1]]
    assert [owner_of(store, op) for op in ops] == [names[0], None, "somebody"]
    assert store.write_now(undertaker.look) == []
    alive.close()


def test_who_comes_back_between_two_looks_keeps_its_leases(store: Store) -> None:
    slot, undertaker = Slot(store.url), Undertaker()
    op = claim(store, slot.take())
    slot.close()
    assert store.write_now(undertaker.look) == []
    assert slot.keep()
    assert store.write_now(undertaker.look) == []
    assert owner_of(store, op) == "process-1"
    slot.close()
