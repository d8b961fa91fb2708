"""The audit on a real database: append-only, chained, verifiable, and silent about persons."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from sellable.runtime.audit import Audit, Break, Record, redact, report, verify
from sellable.runtime.calls import CallLog, calls_of
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.http import Exchange
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Done, Intent, owe_claimed, settle
from sellable.runtime.queries import Query
from sellable.runtime.scribe import write_up

NOW = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
KEY = b"a key of the tests"


def query(text: str) -> Query:
    return Query(package="test", name="test", purpose="test", text=text)


ROWS = query("SELECT * FROM audit ORDER BY id")


@pytest.fixture
def audit() -> Audit:
    return Audit("run-1", KEY)


def record(store: Store, audit: Audit, subject: str, **more: Any) -> None:
    store.write_now(lambda tx: audit.record(tx, actor="ana", action="replay", subject=subject, now=NOW, **more))


def tamper(store: Store, text: str) -> None:
    """What somebody with the keys of the database could do."""

    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit DISABLE TRIGGER audit_append_only")
        try:
            connection.execute(text.encode())
        finally:
            connection.execute("ALTER TABLE audit ENABLE TRIGGER audit_append_only")


def test_records_form_a_chain(store: Store, audit: Audit) -> None:
    record(store, audit, "order:1", correlation="web-1", before={"state": "held"}, after={"state": "intent", "d": -3})
    record(store, audit, "order:2")
    record(store, Audit("run-2", KEY), "order:3")
    first, second, third = store.read_now(lambda tx: tx.all(ROWS))
    assert (first.actor, first.action, first.subject, first.correlation) == ("ana", "replay", "order:1", "web-1")
    assert (first.before, first.after, first.at) == ({"state": "held"}, {"state": "intent", "d": -3}, NOW)
    assert (first.prev_hash, second.prev_hash, third.prev_hash) == ("", first.hash, "")
    assert first.seq < second.seq
    assert store.read_now(verify) == []


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'bob'", "DELETE FROM audit"])
def test_the_table_refuses_change(store: Store, audit: Audit, change: str) -> None:
    record(store, audit, "order:1")
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        store.write_now(lambda tx: tx.run(query(change)))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET actor = 'bob' WHERE subject = 'order:2'",
        "UPDATE audit SET after = '{\"state\": \"done\"}' WHERE subject = 'order:2'",
        "UPDATE audit SET at = at + interval '1 s' WHERE subject = 'order:2'",
    ],
)
def test_a_changed_row_is_found(store: Store, audit: Audit, change: str) -> None:
    for number in (1, 2, 3):
        record(store, audit, f"order:{number}", after={"state": "held"})
    tamper(store, change)
    (found,) = store.read_now(verify)
    changed = store.read_now(lambda tx: tx.all(ROWS))[1]
    assert found == Break(segment="run-1", id=changed.id, what="the row was changed")


def test_a_missing_row_is_found(store: Store, audit: Audit) -> None:
    for number in (1, 2, 3):
        record(store, audit, f"order:{number}")
    tamper(store, "DELETE FROM audit WHERE subject = 'order:2'")
    (found,) = store.read_now(verify)
    assert found.what == "a row before it is missing or was changed"


def test_a_chain_cut_short_is_found_by_its_seal(store: Store, audit: Audit) -> None:
    record(store, audit, "order:1")
    store.write_now(audit.seal, NOW)
    record(store, audit, "order:2")
    record(store, audit, "order:3")
    store.write_now(audit.seal, NOW)
    assert store.read_now(verify) == []
    tamper(store, "DELETE FROM audit WHERE subject = 'order:3'")
    assert store.read_now(verify) == [Break(segment="run-1", id=None, what="its sealed end is missing")]


def test_sealing_nothing_writes_nothing(store: Store, audit: Audit) -> None:
    store.write_now(audit.seal, NOW)
    assert store.read_now(lambda tx: tx.all(ROWS)) == []
    with pytest.raises(ValueError, match="chain of seals"):
        Audit("seals", KEY)


def test_writers_of_one_chain_do_not_fork_it(store: Store, audit: Audit) -> None:
    async def race() -> None:
        def one(tx: Any, number: int) -> None:
            audit.record(tx, actor="ana", action="replay", subject=f"order:{number}", now=NOW)

        await asyncio.gather(*[store.write(one, number) for number in range(20)])

    asyncio.run(race())
    assert len(store.read_now(lambda tx: tx.all(ROWS))) == 20
    assert store.read_now(verify) == []


def test_what_no_text_column_can_hold_is_still_recorded(store: Store, audit: Audit) -> None:
    record(store, audit, "order:\x00 \ud800 \\u0000", after={"sku": "A\x00B"})
    (row,) = store.read_now(lambda tx: tx.all(ROWS))
    assert (row.subject, row.after) == ("order:\ufffd ? \\u0000", {"sku": "A\ufffdB"})
    assert store.read_now(verify) == []


def test_only_listed_fields_stay_readable() -> None:
    payload = {
        "sku": "CRUNCHY-ARMCHAIR",
        "quantity": 3,
        "customerEmail": "ana@example.org",
        "shippingAddress": {"country": "DE", "streetName": "Hauptstr.", "phone": 491701234, "lastName": "Bär"},
        "lines": [{"sku": "A", "name": "Gift for Ana"}, "loose words"],
        "ids": [1, 2],
        "held": None,
        "gift": True,
    }
    seen = redact(payload, KEY)
    assert seen["sku"] == "CRUNCHY-ARMCHAIR"
    assert (seen["quantity"], seen["ids"], seen["held"], seen["gift"]) == (3, [1, 2], None, True)
    assert seen["shippingAddress"]["country"] == "DE"
    hidden = [
        seen["customerEmail"],
        *[seen["shippingAddress"][name] for name in ("streetName", "phone", "lastName")],
        seen["lines"][0]["name"],
        seen["lines"][1],
    ]
    assert all(len(value) == 17 and value.startswith("#") for value in hidden)
    assert len(set(hidden)) == len(hidden)
    for canary in ("ana@", "Haupt", "49170", "Bär", "Gift", "loose"):
        assert canary not in str(seen)


def test_equal_values_have_equal_hashes_under_one_key_only() -> None:
    one, again, other = (redact({"email": "ana@example.org"}, key)["email"] for key in (KEY, KEY, b"other"))
    assert one == again != other


# --- What operations did, and what was called for them ---------------------------------------------------------------


def owe_and_settle(store: Store, *, system: str = "erp", result: dict[str, Any] | None = None) -> str:
    def act(tx: Tx) -> str:
        intent = Intent(
            system=system, kind="sale.create", lane="order:1", budget="orders", priority=1, correlation="order-1",
            payload={"sku": "ARMCHAIR", "email": "ada@example.com"},
        )  # fmt: skip
        (op,) = owe_claimed(tx, [intent], NOW, Ids(Clock()), owner="one", lease_seconds=60)
        assert settle(tx, op, Done(result or {"sale_id": "S-1", "customer": "Ada"}), NOW)
        return op.id

    return store.write_now(act)


def test_every_settled_operation_reaches_the_record_once(store: Store, audit: Audit) -> None:
    op_id = owe_and_settle(store)
    owe_and_settle(store, system="self")
    assert store.write_now(write_up, audit, NOW) == 1
    assert store.write_now(write_up, audit, NOW) == 0
    (row,) = store.read_now(report, ["order-1"], 10)
    assert (row.actor, row.action, row.subject) == ("sellable", "sale.create", f"operation:{op_id}")
    assert (row.before["sku"], row.after["state"], row.after["sale_id"]) == ("ARMCHAIR", "done", "S-1")
    assert row.before["email"].startswith("#")
    assert row.after["customer"].startswith("#")
    assert store.read_now(verify) == []


def test_a_batch_of_records_is_one_chain(store: Store, audit: Audit) -> None:
    records = [Record(at=NOW, actor="ana", action="replay", subject=f"order:{n}", after={"d": n}) for n in range(20)]
    store.write_now(audit.record_all, records)
    store.write_now(audit.record_all, records[:1])
    assert store.read_now(verify) == []
    tamper(store, "UPDATE audit SET after = '{\"d\": 5}' WHERE subject = 'order:7'")
    assert [b.what for b in store.read_now(verify)] == ["the row was changed"]


def exchange(**changes: Any) -> Exchange:
    values: dict[str, Any] = {
        "method": "POST", "host": "erp.example", "path": "/sale", "operation": "POST sale", "credential": "erp:orders",
        "correlation": "order-1", "status": 200, "error": None, "sent_at": NOW, "seconds": 0.2,
        "request": b'{"sku": "ARMCHAIR", "email": "ada@example.com"}', "answer": b'{"ID": "x", "total": 5}',
    }  # fmt: skip
    return Exchange(**{**values, **changes})


def test_the_log_of_calls_keeps_writes_and_failures_without_persons_or_secrets(store: Store) -> None:
    log = CallLog(KEY)
    log.note(exchange())
    log.note(exchange(method="GET", operation="GET sale"))
    log.note(exchange(method="GET", operation="GET sale", status=0, error="OutcomeLost", request=b"", answer=None))
    log.note(exchange(operation="POST token", status=401, request=b"grant", answer=b'{"access_token": "CANARY"}'))
    log.note(exchange(answer=b"<html>CANARY</html>"))
    assert store.write_now(log.flush) == 4
    assert store.write_now(log.flush) == 0
    first, lost, token, page = store.read_now(calls_of, ["order-1"], 10)
    assert (first.system, first.operation, first.status, first.request["sku"]) == ("erp", "POST sale", 200, "ARMCHAIR")
    assert first.request["email"].startswith("#")
    assert (lost.status, lost.error) == (0, "OutcomeLost")
    assert (token.request, token.answer, page.answer) == (None, None, {"bytes": 19})
    assert "ada@" not in repr((first, lost, token, page))
