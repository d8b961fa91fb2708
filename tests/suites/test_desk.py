"""The desk on a real database: counting, history, replay, and alerts that are told at least once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx2
import msgspec
import pytest
import structlog

from sellable.config import settings as config
from sellable.config.settings import Owner
from sellable.desk import cases, quarantine
from sellable.desk.alerts import GATHER_SECONDS, LEASE_SECONDS, Alerts
from sellable.desk.cases import Case, CaseMissing, StillParked
from sellable.desk.kinds import Area
from sellable.desk.owners import Owners
from sellable.desk.quarantine import Replayed
from sellable.runtime import inbox, operations
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.http import HttpPort
from sellable.runtime.ids import Ids
from sellable.runtime.inbox import Arrival, Inbox, InboxRow, Poison
from sellable.runtime.operations import Intent
from sellable.runtime.queries import Query
from sellable.runtime.seal import Seal

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OWNERS = Owners.from_settings([Owner(kind="*", owner="operations"), Owner(kind="totals_differ", owner="finance")])
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hooks.example/in"


def later(**passed: float) -> datetime:
    return NOON + timedelta(**passed)


def opened(store: Store, kind: str, subject: str, now: datetime = NOON, **facts: Any) -> str:
    return store.write_now(cases.open_case, kind, subject, now, owners=OWNERS, **facts)


def found(store: Store, ref: str) -> Case:
    case = store.read_now(cases.find, ref)
    assert case is not None
    return case


class TestCases:
    def test_a_new_case_carries_everything(self, store: Store) -> None:
        ref = opened(
            store, "totals_differ", "order:9", expected={"gross": 1190}, actual={"gross": 1191}, evidence=["inbox:1"]
        )
        assert ref == "C-000001"
        case = found(store, ref)
        assert (case.owner, case.state, case.severity, case.count) == ("finance", "open", 2, 1)
        assert (case.expected, case.actual, case.evidence) == ({"gross": 1190}, {"gross": 1191}, ["inbox:1"])
        assert (case.first_at, case.last_at, case.title) == (NOON, NOON, "Totals differ")
        assert case.next_step.endswith("then replay.")

    def test_a_thousand_equal_errors_are_one_case(self, store: Store) -> None:
        def thousand(tx: Tx) -> set[str]:
            return {
                cases.open_case(
                    tx,
                    "unknown_sku",
                    "sku:CRUNCHY-ARMCHAIR",
                    later(seconds=number),
                    owners=OWNERS,
                    actual={"n": number},
                    evidence=[f"inbox:{number}"],
                )
                for number in range(1, 1001)
            }

        assert store.write_now(thousand) == {"C-000001"}
        (case,) = store.read_now(cases.listing)
        assert case.count == 1000
        assert case.evidence == [f"inbox:{number}" for number in range(981, 1001)]
        assert (case.first_at, case.last_at) == (later(seconds=1), later(seconds=1000))
        assert case.actual == {"n": 1000}
        assert [event.what for event in store.read_now(cases.history, case.ref)] == ["opened"]
        # Counting spends no number: the next case is the second.
        assert opened(store, "unknown_sku", "sku:OTHER") == "C-000002"

    def test_equal_errors_at_the_same_moment_are_one_case(self, store: Store) -> None:
        async def scenario() -> list[str]:
            work = partial(cases.open_case, owners=OWNERS, evidence=["inbox:1"])
            return await asyncio.gather(
                *(store.write(work, "drift", "sku:A", later(seconds=number)) for number in range(40))
            )

        # A try that lost the race has used up a number, so the one case need not be the first.
        (ref,) = set(asyncio.run(scenario()))
        assert found(store, ref).count == 40

    def test_repeated_evidence_is_kept_once_and_newest_last(self, store: Store) -> None:
        for evidence in (["sale:1"], ["sale:2"], ["sale:1"]):
            ref = opened(store, "backordered", "order:1", evidence=evidence)
        assert found(store, ref).evidence == ["sale:2", "sale:1"]

    def test_a_count_without_numbers_keeps_the_last_ones(self, store: Store) -> None:
        opened(store, "drift", "sku:A", expected=5, actual=[4])
        ref = opened(store, "drift", "sku:A", later(seconds=-9))
        case = found(store, ref)
        assert (case.expected, case.actual, case.count, case.last_at) == (5, [4], 2, NOON)

    def test_hostile_text_is_storable(self, store: Store) -> None:
        ref = opened(store, "poison_payload", "arrival:\x00", actual={"cause": "a\x00b"}, evidence=["sale:\x00"])
        assert (found(store, ref).subject, found(store, ref).actual) == ("arrival:\ufffd", {"cause": "a\ufffdb"})
        assert found(store, ref).evidence == ["sale:\ufffd"]

    def test_an_unknown_kind_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError, match="there is no kind of case 'drfit'"):
            opened(store, "drfit", "sku:A")

    def test_the_life_of_a_case(self, store: Store) -> None:
        ref = opened(store, "drift", "sku:A")
        assert store.write_now(cases.acknowledge, ref, "ada", later(minutes=1))
        assert not store.write_now(cases.acknowledge, ref, "bob", later(minutes=2))
        assert store.write_now(cases.assign, ref, "stock", "ada", later(minutes=3))
        assert not store.write_now(cases.assign, ref, "stock", "ada", later(minutes=4))
        assert opened(store, "drift", "sku:A", later(minutes=5)) == ref
        assert store.write_now(cases.resolve, ref, "ada", "import stopped", later(minutes=6))
        assert not store.write_now(cases.resolve, ref, "ada", "again", later(minutes=7))
        case = found(store, ref)
        assert (case.state, case.owner, case.count) == ("resolved", "stock", 2)
        assert (case.resolution, case.resolved_by, case.resolved_at) == ("import stopped", "ada", later(minutes=6))
        history = [(event.actor, event.what, event.detail) for event in store.read_now(cases.history, ref)]
        assert history == [
            ("system", "opened", ""),
            ("ada", "acknowledged", ""),
            ("ada", "assigned", "from operations to stock"),
            ("ada", "resolved", "import stopped"),
        ]
        assert opened(store, "drift", "sku:A", later(minutes=8)) == "C-000002"

    def test_what_may_not_be_done(self, store: Store) -> None:
        ref = opened(store, "drift", "sku:A")
        with pytest.raises(ValueError, match="say what was done"):
            store.write_now(cases.resolve, ref, "ada", " ", NOON)
        with pytest.raises(ValueError, match="name one"):
            store.write_now(cases.assign, ref, "", "ada", NOON)
        with pytest.raises(CaseMissing, match="there is no case C-9"):
            store.write_now(cases.acknowledge, "C-9", "ada", NOON)

    def test_a_trouble_that_ends_closes_its_case(self, store: Store) -> None:
        ref = opened(store, "vendor_down", "vendor:cin7_core")
        store.write_now(cases.clear, ["vendor_down"], "vendor:other", NOON)
        assert found(store, ref).state == "open"
        store.write_now(cases.clear, ["vendor_down"], "vendor:cin7_core", later(minutes=1))
        assert (found(store, ref).state, found(store, ref).resolved_by) == ("resolved", "system")
        store.write_now(cases.clear, ["vendor_down"], "vendor:cin7_core", later(minutes=2))
        assert len(store.read_now(cases.history, ref)) == 2

    def test_the_worst_and_oldest_come_first(self, store: Store) -> None:
        wanted = [
            opened(store, "backordered", "order:1"),  # severity 3
            opened(store, "drift", "sku:A", later(minutes=2)),  # severity 2
            opened(store, "totals_differ", "order:2", later(minutes=1)),  # severity 2
            opened(store, "oversold", "sku:B", later(minutes=3)),  # severity 1
        ]
        listed = partial(store.read_now, cases.listing)
        assert [case.ref for case in listed()] == [wanted[3], wanted[2], wanted[1], wanted[0]]
        assert [case.kind for case in listed(severity=1)] == ["oversold"]
        assert [case.kind for case in listed(area=Area.STOCK)] == ["oversold", "drift"]
        assert [case.kind for case in listed(owner="finance")] == ["totals_differ"]
        assert [case.kind for case in listed(subject="sku:A", kind="drift")] == ["drift"]
        assert listed(kind="drift", area=Area.ORDERS) == []
        assert [case.kind for case in listed(limit=1, offset=1)] == ["totals_differ"]
        assert listed(states=["resolved"]) == []
        assert store.read_now(cases.counts) == {"oversold": 1, "drift": 1, "totals_differ": 1, "backordered": 1}


def arrive(store: Store, count: int) -> None:
    arrivals = [
        Arrival(source="shop", message_id=str(number), kind="message", lane="", body=b"{}") for number in range(count)
    ]
    store.write_now(inbox.put, arrivals, NOON)


def work(store: Store, handle: inbox.Handler) -> None:
    handlers = {"message": handle}
    box = Inbox(store, store.clock, handlers, partial(quarantine.park_arrival, owners=OWNERS))

    async def until_quiet() -> None:
        while await box.work_once():
            pass

    asyncio.run(until_quiet())


def refuse(tx: Tx, row: InboxRow, now: datetime) -> None:
    raise Poison("no price")


def accept(tx: Tx, row: InboxRow, now: datetime) -> None:
    pass


def states_of_arrivals(store: Store, count: int) -> set[str]:
    rows = [store.read_now(inbox.find, number) for number in range(1, count + 1)]
    return {row.state for row in rows if row is not None}


def owe_held(store: Store, orders: Sequence[str]) -> list[str]:
    """Operations that used up their attempts, parked as the dispatcher does it."""
    intents = [
        Intent(system="cin7_core", kind="sale.create", lane=f"order:{order}", budget="orders", priority=1, payload={})
        for order in orders
    ]
    ids = store.write_now(operations.owe, intents, NOON, Ids(store.clock))

    def park(tx: Tx) -> None:
        for op_id in ids:
            operations.hold(tx, op_id, "no such customer")
            op = operations.find(tx, op_id)
            assert op is not None
            quarantine.park_operation(tx, op, "no such customer", NOON, owners=OWNERS)

    store.write_now(park)
    return ids


class TestQuarantine:
    def test_poison_is_parked_behind_one_case_and_replayed_once(self, store: Store) -> None:
        arrive(store, 60)
        work(store, refuse)
        (case,) = store.read_now(cases.listing)
        assert (case.kind, case.subject, case.count) == ("poison_payload", "arrival:shop/message/Poison", 60)
        assert case.actual == {"cause": "Poison: no price", "source": "shop", "kind": "message", "id": "59"}
        assert case.evidence == [f"inbox:{number}" for number in range(41, 61)]
        assert store.read_now(cases.parked, case) == [f"inbox:{number}" for number in range(1, 61)]

        replayed = store.write_now(quarantine.replay, case.ref, "ada", later(minutes=1))
        assert replayed == Replayed(arrivals=60, operations=0, others=0)
        assert store.write_now(quarantine.replay, case.ref, "ada", later(minutes=2)).total == 0
        history = [(event.actor, event.what, event.detail) for event in store.read_now(cases.history, case.ref)]
        assert history[1:] == [("ada", "replayed", "60 arrivals, 0 operations, 0 others")]

        work(store, accept)
        assert states_of_arrivals(store, 60) == {"done"}
        assert store.write_now(quarantine.replay, case.ref, "ada", later(minutes=3)).total == 0
        assert store.write_now(cases.resolve, case.ref, "ada", "price added", later(minutes=4))

    def test_what_lacks_its_key_is_one_case_that_ends_when_the_key_is_back(self, store: Store) -> None:
        arrive(store, 3)
        stranger = Store(store.url, store.clock, seal=Seal(b"another key, just as long as it "))
        work(stranger, accept)
        assert store.seal is not None
        (case,) = store.read_now(cases.listing)
        assert (case.kind, case.subject, case.count) == ("payload_locked", f"key:{store.seal.newest}", 3)
        assert states_of_arrivals(store, 3) == {"quarantined"}
        assert stranger.seal is not None
        assert store.write_now(quarantine.unlock, stranger.seal.names, NOON) == 0
        assert store.read_now(cases.counts) == {"payload_locked": 1}

        assert store.write_now(quarantine.unlock, store.seal.names, NOON) == 3
        assert store.read_now(cases.counts) == {}
        work(store, accept)
        assert states_of_arrivals(store, 3) == {"done"}
        assert store.write_now(quarantine.unlock, store.seal.names, NOON) == 0
        stranger.close()

    def test_what_fails_again_is_counted_on_the_same_case(self, store: Store) -> None:
        arrive(store, 2)
        work(store, refuse)
        store.write_now(quarantine.replay, "C-000001", "ada", NOON)
        work(store, refuse)
        (case,) = store.read_now(cases.listing)
        assert (case.ref, case.count) == ("C-000001", 4)
        assert store.read_now(cases.parked, case) == ["inbox:1", "inbox:2"]

    def test_two_replays_at_once_are_one(self, store: Store) -> None:
        arrive(store, 20)
        work(store, refuse)

        async def scenario() -> list[Replayed]:
            return await asyncio.gather(
                *(store.write(quarantine.replay, "C-000001", actor, NOON) for actor in ("ada", "bob", "eve"))
            )

        assert sorted(replayed.total for replayed in asyncio.run(scenario())) == [0, 0, 20]

    def test_held_operations_go_on(self, store: Store) -> None:
        ids = owe_held(store, [str(number) for number in range(30)])
        (case,) = store.read_now(cases.listing)
        assert (case.kind, case.subject, case.count) == ("operation_exhausted", "operation:cin7_core/sale.create", 30)
        assert store.read_now(cases.parked, case) == [f"operation:{op_id}" for op_id in ids]
        replayed = store.write_now(quarantine.replay, case.ref, "ada", later(minutes=1))
        assert replayed == Replayed(arrivals=0, operations=30, others=0)
        assert store.write_now(quarantine.replay, case.ref, "ada", later(minutes=1)).total == 0
        first = store.read_now(operations.find, ids[0])
        assert first is not None
        assert (first.state, first.attempts) == ("intent", 0)

    def test_a_case_does_not_end_while_something_is_parked(self, store: Store) -> None:
        (op_id,) = owe_held(store, ["9"])
        with pytest.raises(StillParked, match=f"behind C-000001 still wait operation:{op_id}"):
            store.write_now(cases.resolve, "C-000001", "ada", "never mind", NOON)
        store.write_now(cases.clear, ["operation_exhausted"], "operation:cin7_core/sale.create", NOON)
        assert found(store, "C-000001").state == "open"
        assert store.write_now(cases.resolve, "C-000001", "ada", "done by hand", NOON, give_up=True)
        assert found(store, "C-000001").resolution == "done by hand (given up: 1 parked)"

    def test_an_operation_that_ended_otherwise_is_not_parked_any_more(self, store: Store) -> None:
        (op_id,) = owe_held(store, ["9"])
        store.write_now(operations.supersede, op_id)
        assert store.write_now(quarantine.replay, "C-000001", "ada", NOON).total == 0
        assert store.write_now(cases.resolve, "C-000001", "ada", "replaced", NOON)

    def test_other_rooms_say_what_replay_means_for_a_kind(self, store: Store) -> None:
        for number in range(30):
            opened(store, "unknown_sku", "sku:A", evidence=[f"order:{number:02}"])
        seen: list[Case] = []

        def look_again(tx: Tx, case: Case, now: datetime) -> int:
            seen.append(case)
            return len(case.evidence)

        meanings = {"unknown_sku": look_again}
        assert store.write_now(quarantine.replay, "C-000001", "ada", NOON, meanings).others == 30
        assert seen[0].evidence == [f"order:{number:02}" for number in range(30)]
        assert len(found(store, "C-000001").evidence) == 20

    def test_a_case_that_does_not_exist(self, store: Store) -> None:
        with pytest.raises(CaseMissing):
            store.write_now(quarantine.replay, "C-1", "ada", NOON)


class Died(BaseException):
    """The end of a process."""


class Receiver:
    """Takes alerts, or fails while `status` is not 2xx; `dies` ends the sender right after taking one."""

    def __init__(self) -> None:
        self.status = 200
        self.dies = False
        self.heard = asyncio.Event()
        self.told: list[dict[str, Any]] = []
        self.ids: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if self.status == 200:
            self.told.append(msgspec.json.decode(request.content)["data"])
            self.ids.append(request.headers["webhook-id"])
            self.heard.set()
        if self.dies:
            raise Died
        return httpx2.Response(self.status)


class Room:
    """The alerts of a store whose clock is moved by hand."""

    def __init__(self, store: Store, **settings: Any) -> None:
        self.receiver = Receiver()
        self.now = NOON
        self._store = store
        self._clock = Clock(source=lambda: self.now.timestamp())
        self._settings = config.Alerts(webhook_url=URL, webhook_secret=SECRET, **settings)

    def tell_due(self, **passed: float) -> int:
        """Let time pass, then tell what is due."""
        self.now += timedelta(**passed)
        return asyncio.run(self._with(Alerts.tell_due))

    async def _with(self, what: Any) -> Any:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(self.receiver)) as client:
            port = HttpPort(client, self._clock, None)
            return await what(Alerts(self._store, self._clock, self._settings, OWNERS, port, redaction_key=b"key"))


def transports(told: Sequence[cases.Event]) -> list[str]:
    return [event.detail for event in told if event.what == "told"]


class TestAlerts:
    def test_the_worst_is_told_at_once_the_rest_after_a_moment(self, store: Store) -> None:
        room = Room(store)
        opened(store, "drift", "sku:MILD")
        ref = opened(store, "oversold", "sku:BAD", evidence=["order:1"])
        assert room.tell_due() == 2
        assert [alert["record"] for alert in room.receiver.told] == ["sku:BAD"]
        assert transports(store.read_now(cases.history, ref)) == ["log: 1", "webhook: 1"]
        case = found(store, ref)
        assert (case.alerted_at, case.alerted_count) == (NOON, 1)
        assert room.tell_due(seconds=GATHER_SECONDS) == 2
        assert [alert["record"] for alert in room.receiver.told] == ["sku:BAD", "sku:MILD"]
        assert room.tell_due(hours=1) == 0

    def test_what_ends_by_itself_is_not_told(self, store: Store) -> None:
        room = Room(store)
        opened(store, "vendor_down", "vendor:shop")
        store.write_now(cases.clear, ["vendor_down"], "vendor:shop", later(seconds=5))
        assert room.tell_due(seconds=GATHER_SECONDS) == 0

    def test_growth_is_told_at_powers_of_ten(self, store: Store) -> None:
        room = Room(store)
        for number in range(1, 201):
            opened(store, "oversold", "sku:A")
            if number in (1, 2, 9, 10, 99, 100, 200):
                room.tell_due()
        assert [alert["count"] for alert in room.receiver.told] == [1, 10, 100]
        assert room.receiver.ids == ["C-000001_1", "C-000001_10", "C-000001_100"]

    def test_a_dead_receiver_blocks_nobody_and_is_tried_again(self, store: Store) -> None:
        room = Room(store)
        room.receiver.status = 503
        ref = opened(store, "oversold", "sku:A")
        with structlog.testing.capture_logs() as lines:
            room.tell_due()
        assert [line["log_level"] for line in lines if line["event"] == "case"] == ["error"]
        failures = [(line["transport"], line["cause"]) for line in lines if line["event"] == "alert not told"]
        assert set(failures) == {("webhook", "webhook: answered 503")}
        assert found(store, ref).alerted_at is None
        assert transports(store.read_now(cases.history, ref)) == ["log: 1"]
        for _ in range(5):
            room.tell_due(minutes=6)
        room.receiver.status = 200
        room.tell_due(minutes=6)
        assert [alert["ref"] for alert in room.receiver.told] == [ref]
        assert found(store, ref).alerted_at == room.now
        assert transports(store.read_now(cases.history, ref)) == ["log: 1", "webhook: 1"]

    def test_a_case_that_cannot_be_told_does_not_hide_the_next(self, store: Store) -> None:
        room = Room(store)
        room.receiver.status = 500
        opened(store, "oversold", "sku:FIRST")
        room.tell_due()
        room.receiver.status = 200
        opened(store, "oversold", "sku:SECOND")
        room.tell_due()
        assert "sku:SECOND" in [alert["record"] for alert in room.receiver.told]

    def test_a_telling_that_died_is_repeated_under_the_same_id(self, store: Store) -> None:
        """The process dies after the receiver took it and before that was written down."""
        room = Room(store)
        opened(store, "oversold", "sku:A")
        room.receiver.dies = True
        with pytest.raises(Died):
            room.tell_due()
        room.receiver.dies = False
        assert room.tell_due(seconds=LEASE_SECONDS - 1) == 0
        assert room.tell_due(seconds=1) == 1
        assert room.receiver.ids == ["C-000001_1", "C-000001_1"]
        assert found(store, "C-000001").alerted_count == 1

    def test_two_processes_tell_it_once(self, store: Store) -> None:
        room = Room(store)
        opened(store, "oversold", "sku:A")

        async def both(alerts: Alerts) -> None:
            await asyncio.gather(alerts.tell_due(), alerts.tell_due(), alerts.tell_due())

        asyncio.run(room._with(both))
        assert len(room.receiver.told) == 1

    def test_the_loop_tells_when_a_case_is_opened(self, store: Store) -> None:
        room = Room(store)

        async def scenario(alerts: Alerts) -> None:
            stop = asyncio.Event()
            running = asyncio.create_task(alerts.run(stop))
            await store.write(partial(cases.open_case, owners=OWNERS), "oversold", "sku:A", NOON)
            await asyncio.wait_for(room.receiver.heard.wait(), 10)
            stop.set()
            await running

        asyncio.run(room._with(scenario))
        assert room.receiver.told[0]["record"] == "sku:A"

    def test_the_alert_of_a_reassigned_case_names_its_owner(self, store: Store) -> None:
        room = Room(store)
        ref = opened(store, "oversold", "sku:A")
        store.write_now(cases.assign, ref, "stock", "ada", NOON)
        room.tell_due()
        assert room.receiver.told[0]["owner"] == "stock"
        assert dataclasses.asdict(found(store, ref))["owner"] == "stock"


class TestRetention:
    def test_a_resolved_case_goes_with_its_history_once_its_days_are_over(self, store: Store) -> None:
        room = Room(store)
        old = opened(store, "oversold", "sku:OLD", evidence=["order:1"])
        room.tell_due()
        store.write_now(cases.resolve, old, "ada", "counted", NOON)
        kept = opened(store, "oversold", "sku:KEPT", evidence=["order:2"])
        store.write_now(cases.resolve, kept, "ada", "counted", later(days=1))
        living = opened(store, "oversold", "sku:LIVING")
        assert store.write_now(cases.prune, later(days=1)) == 1
        assert store.read_now(cases.find, old) is None
        assert store.read_now(cases.history, old) == []
        assert [r.case_id for r in store.read_now(lambda tx: tx.all(LEFT_BEHIND))] == []
        assert [found(store, ref).state for ref in (kept, living)] == ["resolved", "open"]
        assert transports(store.read_now(cases.history, kept)) == []
        assert len(store.read_now(cases.history, kept)) == 2

    def test_a_case_stays_as_long_as_something_is_parked_behind_it(self, store: Store) -> None:
        """It was given up, so its rows stay for good; what they wait for must be findable too."""
        box = Inbox(store, Clock(), {"odd": _refuse}, partial(quarantine.park_arrival, owners=OWNERS))
        arrival = Arrival(source="erp", message_id="1", kind="odd", lane="", body=b"?")
        store.write_now(inbox.put, [arrival], NOON)
        asyncio.run(box.work_once())
        (case,) = store.read_now(cases.listing)
        store.write_now(cases.resolve, case.ref, "ada", "cannot be read", NOON, give_up=True)
        assert store.write_now(cases.prune, later(days=999)) == 0
        store.write_now(quarantine.replay, case.ref, "ada", NOON)
        assert store.write_now(cases.prune, later(days=999)) == 1


def _refuse(tx: Tx, row: InboxRow, now: datetime) -> None:
    raise Poison("unreadable")


LEFT_BEHIND = Query(
    package="t", name="t", purpose="t",
    text="SELECT case_id FROM (SELECT case_id FROM case_event UNION SELECT case_id FROM case_link"
    " UNION SELECT case_id FROM case_alert) AS x WHERE case_id NOT IN (SELECT id FROM cases)",
)  # fmt: skip
