"""Orders at a warehouse that takes them whole: one document, one order there, whatever is lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.suites.orders_life import CHAIR, SET, TABLE, Life, query, shipment

from sellable.app.duties import alone, together
from sellable.book import book
from sellable.connectors.port import (
    Allocation,
    Despatch,
    Despatches,
    Imported,
    Refused,
    ReturnAdvice,
    ReturnRow,
    Returns,
    Sale,
    SaleDraft,
    Unavailable,
)
from sellable.domain.orders import Order
from sellable.orders import announcing, arrivals, cancel, departures, fulfilment, importing, reducing
from sellable.orders.rules import WAREHOUSE
from sellable.runtime import inbox, operations
from sellable.runtime.database import Store, Tx
from sellable.runtime.http import OutcomeLost
from sellable.runtime.inbox import Arrival
from sellable.runtime.operations import next_seq
from sellable.sync import masters, warehouse

FLOW = {
    "base_url": "http://of.test/web", "user": "u", "password": "p", "channel": "HOME", "organisation": "ORG",
    "time_zone": "UTC", "insecure": True, "visibility_lag_seconds": 0, "search_settle_seconds": 0,
}  # fmt: skip
ALONE: dict[str, Any] = {
    "orderflow": FLOW,
    "locations": [
        {"name": "Berlin", "master": "orderflow", "remote": "BER"},
        {"name": "Hamburg", "master": "orderflow", "remote": "HAM"},
    ],
    "states": [],
}
SPLIT: dict[str, Any] = {
    "orderflow": FLOW,
    "locations": [
        {"name": "Berlin", "master": "cin7_core", "remote": "Berlin"},
        {"name": "Hamburg", "master": "orderflow", "remote": "HAM"},
    ],
    "routes": [
        {"name": "chairs", "target": "orderflow", "skus": [CHAIR]},
        {"name": "tables", "target": "cin7_core", "skus": [TABLE]},
    ],
}


LATE = ("packed", "despatched")


class Depot:
    """A warehouse in memory.

    `lost` are raised after a document was taken, `deaf` before, `unheard` after a cancellation, `blind` instead of a
    look (None: that one is answered); `refuses` is said instead of taking one (or `refused`), `unsayable` are refused
    before any call; `together` is how many came with each call.
    """

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.lost: list[Exception] = []
        self.deaf: list[Exception] = []
        self.unheard: list[Exception] = []
        self.blind: list[Exception | None] = []
        self.cities: list[str] = []
        self.refuses = ""
        self.refused: str | None = None
        self.unsayable: set[str] = set()
        self.together: list[int] = []
        self.announced: dict[str, ReturnAdvice] = {}
        self.refuses_returns = ""

    async def import_orders(self, drafts: Sequence[SaleDraft], *, lane: str) -> list[Imported]:
        self.calls.append("import")
        self.together.append(len(drafts))
        if self.deaf:
            raise self.deaf.pop(0)
        if self.unsayable & {draft.ref for draft in drafts}:
            raise Refused("a kit", code="kit")
        answers = [self._take(draft) for draft in drafts]
        if self.lost:
            raise self.lost.pop(0)
        return answers

    def _take(self, draft: SaleDraft) -> Imported:
        if self.refuses and self.refused in (None, draft.ref):
            return Imported(ref=draft.ref, outcome="failure", message=self.refuses)
        self.cities.append(draft.shipping_address.city)
        outcome = "duplicate" if draft.ref in self.orders else "success"
        units: Counter[str] = Counter()
        for line in draft.lines:
            units[line.sku] += line.quantity
        self.orders.setdefault(draft.ref, {"units": units, "status": "authorised", "stage": "waiting"})
        return msgspec.convert({"ref": draft.ref, "outcome": outcome}, Imported)

    async def import_returns(self, drafts: Sequence[ReturnAdvice], *, lane: str) -> list[Imported]:
        self.calls.append("returns")
        if self.refuses_returns:
            return [Imported(ref=draft.ref, outcome="failure", message=self.refuses_returns) for draft in drafts]
        found = []
        for draft in drafts:
            outcome = "duplicate" if draft.ref in self.announced else "success"
            self.announced.setdefault(draft.ref, draft)
            found.append(msgspec.convert({"ref": draft.ref, "outcome": outcome}, Imported))
        if self.lost:
            raise self.lost.pop(0)
        return found

    async def order_detail(self, ref: str, *, lane: str) -> Sale | None:
        self.calls.append("detail")
        if self.blind and (error := self.blind.pop(0)) is not None:
            raise error
        return self.read(ref)

    async def cancel_order(self, ref: str, *, free_reference: bool, lane: str) -> bool:
        self.calls.append("cancel")
        late = self.orders[ref]["stage"] in LATE
        if free_reference and not late:
            del self.orders[ref]
        elif not late:
            self.orders[ref]["status"] = "voided"
        if self.unheard:
            raise self.unheard.pop(0)
        return not late

    def read(self, ref: str) -> Sale | None:
        found = self.orders.get(ref)
        if found is None:
            return None
        held = found["stage"] != "waiting"
        lines = tuple(Allocation(sku=sku, quantity=n, backorder=0 if held else n) for sku, n in found["units"].items())
        return Sale(
            sale_id=ref, number=ref, ref=ref, status=found["status"], location="", lines=lines, totals=None,
            shipments=(), picked=False, updated="", stage=found["stage"], late=found["stage"] in LATE,
        )  # fmt: skip


def by_system(mine: Any, other: Any) -> Any:
    async def carry(op: Any) -> Any:
        return await (mine if op.system == WAREHOUSE else other)(op)

    return carry


class House(Life):
    """A life of orders with a warehouse in it."""

    def __init__(self, store: Store, **changes: Any) -> None:
        super().__init__(store, **(changes or ALONE))
        self.depot = Depot()
        port: Any = {WAREHOUSE: self.depot}
        made = importing.Importing(store, self.clock, port, self.context)
        self.importing = made
        telling = announcing.Announcing(store, port, self.context)
        self.duties["return.announce"] = (alone(telling), None, telling.settled)
        self.duties["order.import"] = (alone(made), made.resolve, made.settled)
        theirs: Any = importing.Sales(port[WAREHOUSE])
        for kind, duty in (
            ("sale.void", cancel.Voiding(store, theirs, self.context)),
            ("sale.reduce", reducing.Reducing(store, theirs, self.context)),
        ):
            send, resolve, settled = self.duties[kind]
            self.duties[kind] = (by_system(duty.send, send), by_system(duty.resolve, resolve), settled)

    async def bought(self, *lines: tuple[str, int], **changes: Any) -> Order:
        order = self.order(*lines, **changes)
        await self.take(order)
        return order

    async def seen(self, ref: str = "shop:o1:1") -> None:
        """The order as it is at the warehouse now arrives as a reading."""
        sale = self.depot.read(ref)
        assert sale is not None
        await self.reading(sale, await self.store.write(next_seq))

    async def import_together(self, most: int = 20) -> list[str]:
        """What the dispatcher does with imports that wait: one call for those that never left; their outcomes."""
        claimed = await self.store.write(
            operations.claim, WAREHOUSE, ["orders"], "test", 600.0, self.clock.now() + timedelta(days=1), 1
        )
        more = await self.store.write(
            operations.claim_alike, claimed[0], "test", 600.0, self.clock.now() + timedelta(days=1), most - 1
        )
        found = await together(self.importing)([*claimed, *more])
        for op in (*claimed, *more):
            await self.store.write(self._settle, op, found[op.id])
        return [type(found[op.id]).__name__ for op in (*claimed, *more)]

    async def came_back(self, *rows: ReturnRow) -> None:
        """A window of the report with these lines arrives."""
        await self.store.write(self._came_back, rows)

    def _came_back(self, tx: Tx, rows: Sequence[ReturnRow]) -> None:
        now = self.clock.now()
        body = msgspec.json.encode(Returns(rows=tuple(rows), received=len(rows), since=now, until=now))
        row: Any = SimpleNamespace(id=1, body=body, meta={"target": WAREHOUSE, "a0": next_seq(tx)})
        arrivals.on_returns(tx, row, now, context=self.context)

    async def left(self, *despatches: Despatch) -> None:
        """A window with these despatches arrives."""
        await self.store.write(self._left, despatches)

    def _left(self, tx: Tx, despatches: Sequence[Despatch]) -> None:
        now = self.clock.now()
        page = Despatches(despatches=tuple(despatches), received=len(despatches), since=now, until=now)
        name = self.context.ids.new("page")
        meta = {"target": WAREHOUSE, "a0": next_seq(tx), "a1": next_seq(tx)}
        body = msgspec.json.encode(page)
        arrival = Arrival(source=WAREHOUSE, message_id=name, kind="despatch.page", lane="", body=body, meta=meta)
        inbox.put(tx, [arrival], now)
        row = inbox.find(tx, tx.value(_ROW, name=name))
        assert row is not None
        departures.on_despatches(tx, row, now, context=self.context)


_ROW = query("SELECT id FROM inbox WHERE message_id = %(name)s")
_TAMPER = query("UPDATE order_part SET draft = jsonb_set(draft, '{lines,0,total}', '\"999.99\"')")


def despatch(name: str, items: dict[str, int], ref: str = "shop:o1:1", **changes: Any) -> Despatch:
    fields: dict[str, Any] = {
        "order_ref": ref, "shipment": shipment(name, items), "state": "despatched", "carrier": "Royal Mail",
        "courier": "RM", "service": "48", "tracking": "T", "tracking_url": "https://t.example/T", "completed": None,
    }  # fmt: skip
    return Despatch(**fields | changes)


def play(store: Store, story: Any, **changes: Any) -> None:
    import asyncio

    asyncio.run(story(House(store, **changes)))


def test_an_order_is_one_document_and_counts_when_its_lines_are_allocated(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        await life.bought((CHAIR, 3))
        assert await life.steps() == ["order.import", "order.note"]
        assert await life.stage() == "exported"
        assert life.shop.sync == ["shop:o1:1"]
        # Known is not set aside: the units stay in flight until the warehouse shows them allocated.
        await life.seen()
        assert await life.contained() == {CHAIR: (3, 0)}
        life.depot.orders["shop:o1:1"]["stage"] = "allocated"
        await life.seen()
        await life.steps()
        assert await life.contained() == {CHAIR: (0, 3)}
        await life.count(ARMCHAIR=7)
        assert await life.shown() == 7
        assert await life.cases() == set()

    play(store, story)


def test_a_lost_answer_is_looked_up_and_never_doubles(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        life.depot.lost = [OutcomeLost("no answer")]
        await life.bought((CHAIR, 1))
        assert await life.steps() == ["order.import", "order.import", "order.note"]
        assert life.depot.calls == ["import", "detail"]
        assert await life.parts() == {1: "authorised"}

    play(store, story)


def test_what_never_arrived_is_sent_again_after_the_settle_time(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        life.depot.deaf = [OutcomeLost("no answer")]
        await life.bought((CHAIR, 1))
        await life.steps()
        assert life.depot.calls == ["import", "detail", "detail", "detail", "import"]
        assert await life.parts() == {1: "authorised"}

    play(store, story)


def test_a_look_that_fails_undoes_nothing_of_what_is_known(store: Store) -> None:
    """The first look after an import need not be answered, and one before the next import leaves no copy open."""

    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        life.depot.deaf = [OutcomeLost("no answer")]
        life.depot.blind = [Unavailable("500", code="500"), None, OutcomeLost("no answer"), None]
        await life.bought((CHAIR, 1))
        await life.steps()
        assert life.depot.calls == ["import", *["detail"] * 4, "import"]
        assert await life.parts() == {1: "authorised"}

    play(store, story)


@pytest.mark.parametrize(("there", "kinds"), [({CHAIR: 2}, set()), ({CHAIR: 5}, {"import_differs"})])
def test_a_duplicate_counts_only_with_the_same_content(store: Store, there: dict[str, int], kinds: set[str]) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        life.depot.orders["shop:o1:1"] = {"units": Counter(there), "status": "authorised", "stage": "waiting"}
        await life.bought((CHAIR, 2))
        await life.steps()
        assert await life.cases() == kinds
        assert await life.stage() == ("held" if kinds else "exported")
        assert await life.shown() == 8, "the units are sold in any case"

    play(store, story)


def test_a_refused_document_is_held_and_goes_again_when_replayed(store: Store) -> None:
    async def story(life: House) -> None:
        from sellable.orders import capture

        await life.begin(ARMCHAIR=10)
        life.depot.refuses = "unknown product ARMCHAIR"
        await life.bought((CHAIR, 1))
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("held", {"order_refused"})
        life.depot.refuses = ""
        assert await life.store.write(capture.retry, "o1", life.clock.now(), life.context)
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("exported", set())

    play(store, story)


def test_a_document_that_does_not_add_up_to_its_order_is_never_sent(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        await life.bought((CHAIR, 1))
        await life.store.write(lambda tx: tx.run(_TAMPER))
        await life.steps()
        assert life.depot.calls == []
        assert (await life.stage(), await life.cases()) == ("held", {"totals_differ"})

    play(store, story)


def test_a_cancelled_order_is_withdrawn_and_its_units_wait_for_a_reading(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        order = await life.bought((CHAIR, 3))
        await life.steps()
        await life.cancel(order)
        assert "sale.void" in await life.steps()
        assert life.depot.orders["shop:o1:1"]["status"] == "voided"
        assert await life.stage() == "cancelled"
        assert await life.shown() == 7
        await life.count(ARMCHAIR=10)
        assert await life.shown() == 10

    play(store, story)


@pytest.mark.parametrize("unheard", [0, 1])
def test_what_is_packed_cannot_be_withdrawn(store: Store, unheard: int) -> None:
    """Where the answer that says so was lost, the one look that follows says it too, and nothing is asked again."""

    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        order = await life.bought((CHAIR, 3))
        await life.steps()
        life.depot.orders["shop:o1:1"]["stage"] = "packed"
        life.depot.unheard = [OutcomeLost("no answer")] * unheard
        life.depot.calls.clear()
        await life.cancel(order)
        await life.steps()
        assert life.depot.calls == ["cancel", "detail"] + ["detail"] * (1 - unheard)
        assert await life.cases() == {"cancel_too_late"}
        assert await life.parts() == {1: "authorised"}
        assert await life.shown() == 7

    play(store, story)


def test_an_order_that_staff_cancelled_there_is_held_and_in_flight_again(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        await life.bought((CHAIR, 3))
        await life.steps()
        life.depot.orders["shop:o1:1"]["stage"] = "allocated"
        await life.seen()
        await life.steps()
        life.depot.orders["shop:o1:1"]["status"] = "voided"
        await life.seen()
        assert (await life.stage(), await life.cases()) == ("held", {"sale_changed_by_staff"})
        assert await life.contained() == {CHAIR: (3, 0)}

    play(store, story)


def test_an_order_that_is_not_there_any_more_is_nobodys_cancellation(store: Store) -> None:
    """A wrong channel in the settings would show every order so: a person decides, whatever staff may cancel."""

    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        await life.bought((CHAIR, 3))
        await life.steps()
        life.depot.orders["shop:o1:1"]["stage"] = "allocated"
        await life.seen()
        await life.steps()
        del life.depot.orders["shop:o1:1"]
        master = masters.Master(name=WAREHOUSE, remotes={}, open_case=life.context.open_case)
        port: Any = life.depot
        fetch = warehouse.Fetches(store, life.clock, life.context.ids, port, master)
        (arrival,) = await fetch.sales(["shop:o1:1"])
        gone = msgspec.json.decode(arrival.body, type=Sale)
        await store.write(
            lambda tx: [
                take(tx, SimpleNamespace(body=arrival.body, meta=arrival.meta), life.clock.now(), context=life.context)
                for take in (reducing.on_sale, fulfilment.on_sale)
            ]
        )
        assert gone.status == "voided"
        assert (await life.stage(), await life.cases()) == ("held", {"sale_changed_by_staff"})
        assert await life.contained() == {CHAIR: (3, 0)}

    play(store, story, **{**ALONE, "orders": {"staff_cancels": True}})


def test_a_state_that_nobody_mapped_proves_nothing_and_loses_nothing(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        await life.bought((CHAIR, 3))
        await life.steps()
        life.depot.orders["shop:o1:1"]["stage"] = "allocated"
        await life.seen()
        await life.steps()
        sale = life.depot.read("shop:o1:1")
        assert sale is not None
        odd = msgspec.structs.replace(sale, status="other", raw_status="on hold", faults=("state on hold",))
        await life.reading(odd, await life.store.write(next_seq))
        assert (await life.stage(), await life.cases()) == ("exported", {"sale_state_unknown"})
        assert await life.contained() == {CHAIR: (0, 3)}

    play(store, story)


def test_shipments_count_once_in_any_order_and_before_the_acknowledgement(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        await life.bought((CHAIR, 3))
        first, second = despatch("S1", {CHAIR: 1}), despatch("S2", {CHAIR: 2})
        await life.left(second, despatch("X", {CHAIR: 1}, ref="of somebody else"))
        await life.left(second, first)
        await life.left(first, second)
        await life.steps()
        assert await life.stage() == "shipped"
        assert [d.delivery_key for d in life.shop.deliveries] == ["S2", "S1"]
        assert [d.order_state for d in life.shop.deliveries][-1] == "Complete"
        assert await life.cases() == set()
        assert "import" not in life.depot.calls, "it had left, so it was there"

    play(store, story)


def test_what_overlapping_windows_tell_again_is_left_alone_until_it_is_another(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        await life.bought((CHAIR, 3))
        await life.steps()
        looked_at: list[str] = []
        take = fulfilment.take_shipments

        def noted(tx: Tx, part: Any, found: Sequence[Any], *more: Any, **named: Any) -> None:
            looked_at.extend(each.shipment_id for each in found)
            take(tx, part, found, *more, **named)

        monkeypatch.setattr(fulfilment, "take_shipments", noted)

        async def told(*despatches: Despatch) -> list[str]:
            looked_at.clear()
            await life.left(*despatches)
            await life.steps()
            return list(looked_at)

        first, rest = despatch("S1", {CHAIR: 1}), despatch("S2", {CHAIR: 2})
        assert await told(first) == ["S1"]
        assert await told(first) == ["S1"], "the order has not left as a whole"
        assert await told(first, rest) == ["S1", "S2"]
        assert (await told(first, rest), await life.stage()) == ([], "shipped")
        other = despatch("S2", {CHAIR: 1})
        assert await told(first, other) == ["S2"]
        assert await life.cases() == {"fact_conflict"}
        assert (await told(first, rest), await life.cases()) == (["S1", "S2"], set()), "right again, the case is over"
        assert (await told(first, rest), len(life.shop.deliveries)) == ([], 2)

    play(store, story)


def test_a_despatch_of_a_split_order_finds_its_part_by_the_order_it_was_split_from(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        await life.bought((CHAIR, 1))
        await life.steps()
        await life.left(despatch("S1", {CHAIR: 1}, ref="shop:o1:1_2", original_ref="shop:o1:1"))
        assert await life.stage() == "shipped"

    play(store, story)


def test_a_kit_goes_as_components_and_comes_back_as_the_kit(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10, TABLE=5)
        await life.bought((SET, 1))
        await life.steps()
        assert life.depot.orders["shop:o1:1"]["units"] == {CHAIR: 2, TABLE: 1}
        life.depot.orders["shop:o1:1"]["stage"] = "allocated"
        await life.seen()
        await life.steps()
        assert await life.contained() == {CHAIR: (0, 2), TABLE: (0, 1)}
        await life.left(despatch("S1", {CHAIR: 2, TABLE: 1}))
        await life.steps()
        (told,) = life.shop.deliveries
        assert told.items == (("l1", 1),)
        assert (await life.stage(), await life.cases()) == ("shipped", set())

    play(store, story)


def test_an_order_over_two_back_offices_is_exported_when_both_have_it(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10, ARMCHAIR__Hamburg=5, TABLE=5)
        order = await life.bought((CHAIR, 2), (TABLE, 1))
        await life.until("order.import")
        assert await life.stage() == "exporting"
        await life.steps()
        assert await life.stage() == "exported"
        rows = await life.store.read(lambda tx: tx.all(book.sql.read_parts, order_id="o1"))
        assert [(p.part, p.target, p.location, p.state) for p in rows] == [
            (1, "cin7_core", "Berlin", "authorised"), (2, "orderflow", "Hamburg", "authorised"),
        ]  # fmt: skip
        assert life.shop.sync[-1] == f"{life.office.live()[0]},shop:o1:2"
        await life.cancel(order)
        await life.steps()
        assert await life.stage() == "cancelled"
        assert life.depot.orders["shop:o1:2"]["status"] == "voided"
        assert life.office.live() == []

    play(store, story, **SPLIT)


def test_a_line_that_no_rule_takes_holds_the_order_and_its_units(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10, TABLE=5)
        await life.bought((CHAIR, 2), (TABLE, 1))
        assert (await life.stage(), await life.cases()) == ("held", {"route_missing"})
        assert (await life.shown(), await life.shown(TABLE)) == (8, 4)
        assert await life.steps() == []

    play(store, story, **{**SPLIT, "routes": SPLIT["routes"][:1]})


def test_units_are_taken_off_by_cancelling_and_importing_the_rest(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10, TABLE=5)
        order = await life.bought((CHAIR, 3), (TABLE, 1))
        await life.steps()
        life.depot.orders["shop:o1:1"]["stage"] = "allocated"
        await life.seen()
        await life.steps()
        fewer = tuple(msgspec.structs.replace(x, cancelled=2) if x.sku == CHAIR else x for x in order.lines)
        await life.take(msgspec.structs.replace(order, version=2, lines=fewer))
        assert await life.contained() == {CHAIR: (3, 0), TABLE: (1, 0)}, "in flight before the call that may free it"
        await life.until("sale.reduce")
        assert "shop:o1:1" not in life.depot.orders, "cancelled, and its reference is free"
        assert await life.parts() == {1: "planned"}
        await life.steps()
        assert life.depot.orders["shop:o1:1"]["units"] == {CHAIR: 1, TABLE: 1}
        assert (await life.stage(), await life.parts()) == ("exported", {1: "authorised"})
        assert await life.cases() == {"refund_due"}
        life.depot.orders["shop:o1:1"]["stage"] = "allocated"
        await life.seen()
        await life.steps()
        await life.count(ARMCHAIR=9, TABLE=4)
        assert (await life.shown(), await life.shown(TABLE)) == (9, 4)

    play(store, story)


def test_the_rest_is_imported_although_the_answer_to_the_cancellation_was_lost(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        order = await life.bought((CHAIR, 3))
        await life.steps()
        life.depot.unheard = [OutcomeLost("no answer")]
        fewer = tuple(msgspec.structs.replace(x, cancelled=1) for x in order.lines)
        await life.take(msgspec.structs.replace(order, version=2, lines=fewer))
        await life.steps()
        assert life.depot.orders["shop:o1:1"]["units"] == {CHAIR: 2}
        assert await life.parts() == {1: "authorised"}

    play(store, story)


def test_units_of_what_is_packed_are_not_taken_off(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        order = await life.bought((CHAIR, 3))
        await life.steps()
        life.depot.orders["shop:o1:1"]["stage"] = "packed"
        fewer = tuple(msgspec.structs.replace(x, cancelled=1) for x in order.lines)
        await life.take(msgspec.structs.replace(order, version=2, lines=fewer))
        await life.steps()
        assert await life.cases() == {"refund_due", "cancel_too_late"}
        assert life.depot.orders["shop:o1:1"]["units"] == {CHAIR: 3}

    play(store, story)


def test_another_address_is_cancelled_and_imported_anew(store: Store) -> None:
    async def story(life: House) -> None:
        await life.begin(ARMCHAIR=10)
        order = await life.bought((CHAIR, 1))
        await life.steps()
        there = msgspec.structs.replace(order.shipping_address, city="Leeds")
        await life.take(msgspec.structs.replace(order, version=2, shipping_address=there))
        await life.steps()
        assert life.depot.calls[-3:] == ["cancel", "detail", "import"]
        assert life.depot.cities == ["", "Leeds"]
        assert await life.stage() == "exported"

    play(store, story)
