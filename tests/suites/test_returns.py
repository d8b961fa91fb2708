"""Returns between the back office and the storefront, on a real database, one step at a time."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.suites.orders_life import CHAIR, SET, TABLE, Life, play, query, shipment

from sellable.book import book
from sellable.domain.orders import GoodsReturn, Order, ReturnedGoods, ReturnItem
from sellable.domain.stock import State
from sellable.orders import returns
from sellable.runtime.database import Store
from sellable.stock import ledger

BALANCES = query("SELECT state, quantity FROM balance WHERE sku = %(sku)s AND quantity <> 0 ORDER BY state")
RESTOCKED = query("SELECT line, quantity FROM entry_fact WHERE kind = 'restocked' ORDER BY line")
ENTRY = query(
    "INSERT INTO entry (sku, channel, remote_id, version, e, q, q_at, q_seq, baseline_at)"
    " VALUES ('ARMCHAIR', 'web-eu', 'r', 1, 10, 10, now(), 1, now() - interval '1 day')"
)


def goods(sku: str, units: int, state: State = State.INSPECTION, location: str = "Berlin") -> ReturnedGoods:
    return ReturnedGoods(sku=sku, units=units, location=location, state=state)


def back(*stock: ReturnedGoods, items: tuple[tuple[str, int, str], ...] = (), name: str = "cr1") -> GoodsReturn:
    """A return of what came into stock, or of what the items say was credited."""
    found = items or tuple((g.sku, g.units, "") for g in stock)
    return GoodsReturn(return_id=name, number=name.upper(), items=found, stock=stock)


async def shipped(life: Life, *lines: tuple[str, int], units: dict[str, int] | None = None) -> Order:
    """An order whose goods have left."""
    order = life.order(*lines)
    await life.take(order)
    await life.steps()
    life.office.sales["sale-1"]["shipments"] = [shipment("t1", units or dict(lines))]
    await life.read_sale("sale-1")
    await life.steps()
    assert await life.stage() == "shipped"
    return order


async def comes_back(life: Life, *found: GoodsReturn) -> list[str]:
    """The sale is read with these returns; what is carried out then."""
    life.office.sales["sale-1"]["returns"] = list(found)
    await life.read_sale("sale-1")
    return await life.steps()


async def lines(life: Life) -> dict[str, tuple[int, int, int, int]]:
    """(ordered, shipped, cancelled, returned) by SKU."""
    rows = await life.store.read(lambda tx: tx.all(book.sql.lines_of, order_id="o1"))
    return {r.sku: (r.ordered, r.shipped, r.cancelled, r.returned) for r in rows}


async def pieces(life: Life) -> list[tuple[str, int, str]]:
    rows = await life.store.read(lambda tx: tx.all(book.sql.read_pieces, order_id="o1"))
    return [(r.piece_id, r.units, r.fate) for r in rows]


async def balances(life: Life, sku: str = CHAIR) -> dict[str, int]:
    assert await life.store.read(ledger.skus_that_do_not_sum_to_zero) == []
    return {r.state: int(r.quantity) for r in await life.store.read(lambda tx: tx.all(BALANCES, sku=sku))}


def told(life: Life) -> list[tuple[str, int, str, str]]:
    return [(d.line_id, d.units, d.state, d.payment) for d in life.shop.returns]


def test_goods_in_inspection_are_told_unit_by_unit_and_raise_nothing(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3))
        await life.count(ARMCHAIR=7)
        assert await comes_back(life, back(goods(CHAIR, 2))) == ["order.return"]
        assert await lines(life) == {CHAIR: (3, 3, 0, 2)}
        assert told(life) == [("l1", 1, "Returned", ""), ("l1", 1, "Returned", "")]
        assert await pieces(life) == [("cr1-1", 1, "inspection"), ("cr1-2", 1, "inspection")]
        assert (await balances(life))["customer"] == 1  # of 3 that left 2 are back
        assert await life.shown() == 7
        assert await life.cases() == set()

    play(store, story)


def test_goods_that_left_and_came_back_while_a_cancel_was_on_its_way_are_no_more_than_left(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=5)
        order = life.order((CHAIR, 2), (TABLE, 1))
        await life.take(order)
        await life.steps()
        gone = [msgspec.structs.replace(line, cancelled=int(line.sku == TABLE)) for line in order.lines]
        await life.take(msgspec.structs.replace(order, version=2, lines=tuple(gone)))
        sale = life.office.sales["sale-1"]
        sale["shipments"], sale["returns"] = [shipment("t1", {CHAIR: 2, TABLE: 1})], [back(goods(CHAIR, 1))]
        await life.read_sale("sale-1")
        assert await life.cases() == {"refund_due"}
        await life.steps()
        await life.read_sale("sale-1")
        await life.steps()
        assert await lines(life) == {CHAIR: (2, 2, 0, 1), TABLE: (1, 1, 0, 0)}
        assert await life.cases() == {"refund_due", "cancel_too_late"}
        assert told(life) == [("l1", 1, "Returned", "")]

    play(store, story)


def test_the_number_rises_only_with_the_masters_own(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3))
        await life.count(ARMCHAIR=7)
        await comes_back(life, back(goods(CHAIR, 1, State.AVAILABLE)))
        assert told(life) == [("l1", 1, "BackInStock", "")]
        assert await life.shown() == 7
        await life.count(ARMCHAIR=8)
        assert await life.shown() == 8
        assert (await balances(life))["available"] == 8

    play(store, story)


def test_a_reading_that_comes_twice_or_late_changes_nothing(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3))
        await comes_back(life, back(goods(CHAIR, 2)))
        before = (await lines(life), await balances(life), await pieces(life))
        assert await comes_back(life, back(goods(CHAIR, 2))) == []
        life.office.sales["sale-1"]["returns"] = [back(goods(CHAIR, 1))]
        await life.reading(life.office.read("sale-1"), 1)
        await life.steps()
        assert (await lines(life), await balances(life), await pieces(life)) == before
        assert await life.cases() == set()

    play(store, story)


def test_what_passes_and_what_is_damaged_is_told_for_each_unit(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3))
        await comes_back(life, back(goods(CHAIR, 2)))
        life.shop.returns.clear()
        now = await comes_back(life, back(goods(CHAIR, 1, State.AVAILABLE), goods(CHAIR, 1, State.DAMAGED)))
        assert now == ["order.return"]
        assert sorted(told(life)) == [("l1", 1, "BackInStock", ""), ("l1", 1, "Unusable", "")]
        assert {fate for _, _, fate in await pieces(life)} == {"available", "damaged"}
        found = await balances(life)
        assert "inspection" not in found or found["inspection"] == 0
        assert await lines(life) == {CHAIR: (3, 3, 0, 2)}

    play(store, story)


def test_a_person_says_what_the_inspection_found(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3))
        await comes_back(life, back(goods(CHAIR, 2)))
        life.shop.returns.clear()
        for piece, fate, taken in (
            ("cr1-1", "available", True),
            ("cr1-2", "damaged", True),
            ("cr1-2", "available", False),
        ):
            now = life.clock.now()
            assert await life.store.write(returns.decide, piece, fate, "ada", "seen", now, life.context) is taken
        await life.steps()
        assert sorted(told(life)) == [("l1", 1, "BackInStock", ""), ("l1", 1, "Unusable", "")]
        # The return still names the place where the goods arrived: that takes no decision back.
        await comes_back(life, back(goods(CHAIR, 2), goods(TABLE, 1)))
        assert [fate for _, _, fate in (await pieces(life))[:2]] == ["available", "damaged"]

    play(store, story)


def test_more_back_than_left_is_recorded_and_a_case(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3), units={CHAIR: 2})
        await comes_back(life, back(goods(CHAIR, 3), goods(TABLE, 1)))
        assert await lines(life) == {CHAIR: (3, 2, 0, 3)}
        assert await life.cases() == {"over_returned", "return_unmatched"}
        assert [line for line, _, _, _ in told(life)] == ["l1", "l1", "l1"]

    async def partly(life: Life) -> None:
        original = life.stage

        async def any_stage(order_id: str = "o1") -> str:
            found = await original(order_id)
            return "shipped" if found == "exported" else found

        life.stage = any_stage  # type: ignore[method-assign]
        await story(life)

    play(store, partly)


def test_credited_goods_that_came_into_no_stock_are_unusable(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3))
        await comes_back(life, back(items=((CHAIR, 2, ""),)))
        assert told(life) == [("l1", 2, "Unusable", "")]
        assert (await balances(life))["customer"] == 3

    play(store, story)


def test_a_kit_comes_back_as_its_components_and_is_as_good_as_the_worst(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await shipped(life, (SET, 2))
        found = back(
            goods(CHAIR, 4, State.AVAILABLE),
            goods(TABLE, 1, State.AVAILABLE),
            goods(TABLE, 1, State.DAMAGED),
            items=((SET, 2, ""),),
        )
        await comes_back(life, found)
        assert sorted(told(life)) == [("l1", 1, "BackInStock", ""), ("l1", 1, "Unusable", "")]
        assert await lines(life) == {SET: (2, 2, 0, 2)}
        assert "customer" not in await balances(life)

    play(store, story)


def test_what_contradicts_a_recorded_return_is_a_case_and_changes_nothing(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3))
        await comes_back(life, back(goods(CHAIR, 2)))
        await comes_back(life, back(goods(CHAIR, 1)))
        assert await lines(life) == {CHAIR: (3, 3, 0, 2)}
        assert await life.cases() == {"fact_conflict"}

    play(store, story)


def item(state: str, units: int = 1, item_id: str = "i1", **fields: Any) -> ReturnItem:
    return ReturnItem(
        item_id=item_id, key=fields.pop("key", ""), line_id="l1", units=units, state=state, payment="Initial", **fields
    )


def test_an_announced_return_stays_in_the_book_and_gets_an_item_of_its_own_when_it_arrives(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await shipped(life, (CHAIR, 3))
        await life.take(msgspec.structs.replace(order, version=9, returns=(item("Advised"),)))
        assert await lines(life) == {CHAIR: (3, 3, 0, 0)}
        await comes_back(life, back(goods(CHAIR, 1)))
        (draft,) = life.shop.returns
        assert (draft.item_id, draft.key, draft.state) == ("", "cr1-1", "Returned")
        (note,) = await life.store.read(lambda tx: tx.all(book.sql.notes_of, order_id="o1"))
        assert (note.state, note.arrived) == ("Advised", 1)

    play(store, story)


def test_an_item_the_storefront_made_is_moved_on_and_not_added_again(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = await shipped(life, (CHAIR, 3))
        await life.take(msgspec.structs.replace(order, version=9, returns=(item("Returned", 2),)))
        await comes_back(life, back(goods(CHAIR, 2, State.AVAILABLE)))
        (draft,) = life.shop.returns
        assert (draft.item_id, draft.units, draft.state) == ("i1", 2, "BackInStock")

    play(store, story)


def test_what_the_storefront_may_restock_by_itself_counts_once_whoever_labels_it(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.store.write(lambda tx: tx.run(ENTRY))
        order = await shipped(life, (CHAIR, 3))
        await comes_back(life, back(goods(CHAIR, 2, State.AVAILABLE)))
        ours = item("BackInStock", 2, item_id="i7", key="cr1-1")
        await life.take(msgspec.structs.replace(order, version=9, returns=(ours,)))
        await life.take(msgspec.structs.replace(order, version=10, returns=(ours, item("BackInStock", 1, "i8"))))
        facts = await life.store.read(lambda tx: tx.all(RESTOCKED))
        assert [(f.line, f.quantity) for f in facts] == [("l1/return/cr1-1", 2), ("l1/return/i8", 1)]

    play(store, story)


def test_nothing_is_expected_of_a_storefront_that_is_known_not_to_restock(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await life.store.write(lambda tx: tx.run(ENTRY))
        await shipped(life, (CHAIR, 3))
        await comes_back(life, back(goods(CHAIR, 2, State.AVAILABLE)))
        assert await life.store.read(lambda tx: tx.all(RESTOCKED)) == []

    play(store, story, commercetools={"restocks_on_return": "no"})


def test_a_refund_is_told_and_an_item_that_cannot_become_what_it_is_is_a_case(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        await shipped(life, (CHAIR, 3))
        await comes_back(life, back(goods(CHAIR, 1, State.AVAILABLE)))
        now = life.clock.now()
        assert await life.store.write(returns.paid_back, "o1", ["cr1-1"], "Refunded", "ada", now, life.context) == 1
        assert await life.store.write(returns.paid_back, "o1", ["cr1-1"], "NotRefunded", "ada", now, life.context) == 0
        life.shop.stubborn["cr1-1"] = "Unusable"
        await life.steps()
        assert told(life)[-1] == ("l1", 1, "BackInStock", "Refunded")
        assert await life.cases() == {"status_conflict"}

    play(store, story)


REASONS = [{"code": "too small", "storefront": "size", "back_office": "SIZE-S"}]


def test_reasons_are_mapped_and_an_unknown_one_is_a_case_that_stops_nothing(store: Store) -> None:
    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10, TABLE=6)
        await shipped(life, (CHAIR, 3), (TABLE, 2))
        await comes_back(life, back(goods(CHAIR, 1), items=((CHAIR, 1, "SIZE-S"),)))
        assert life.shop.returns[0].comment == "size"
        assert await life.cases() == set()
        await comes_back(life, back(goods(CHAIR, 1)), back(goods(TABLE, 1), items=((TABLE, 1, "MOTHS"),), name="cr2"))
        assert life.shop.returns[-1].comment == ""
        assert await life.cases() == {"reason_unmapped"}
        assert await lines(life) == {CHAIR: (3, 3, 0, 1), TABLE: (2, 2, 0, 1)}

    play(store, story, reasons=REASONS)
