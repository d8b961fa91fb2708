"""What will become of open orders at the cutover, by the rules the service decides by; and what a shadow has seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.e2e.world import NO_BRAKE
from tests.suites.orders_life import CHAIR, Life, play, query

from sellable.app import cutover, ladder
from sellable.app.desk import CaseDesk
from sellable.orders.adoption import There
from sellable.runtime.database import Store

MINE, THEIRS = "shop:o1:1", "their-ref"
BEFORE = timedelta(days=1)


def there(*refs: str) -> list[There]:
    return [
        There(sale_id=f"s{n}", number=f"SO-{n}", ref=ref, status="authorised", location="Berlin")
        for n, ref in enumerate(refs, 1)
    ]


def fate(store: Store, sales: list[There], *, sku: str = CHAIR, age: timedelta = timedelta(), **changes: Any) -> Any:
    """(fate, reason) of an order placed now, or earlier."""
    found: list[Any] = []

    async def story(life: Life) -> None:
        await life.begin(ARMCHAIR=10)
        order = life.order((sku, 1), placed_at=life.clock.now() - age, **changes)
        judged = await life.store.read(cutover.judge, order, sales, life.context)
        found.append((judged.fate, judged.reason))

    play(store, story)
    return found[0]


@pytest.mark.parametrize(
    ("sales", "age", "expected"),
    [
        ([], timedelta(), ("export", "placed since orders.start_at, no sale of it is there")),
        ([THEIRS], timedelta(), ("adopt", "its sale SO-1 is there")),
        ([MINE], timedelta(), ("adopt", "its sale SO-1 is there")),
        ([THEIRS, "another"], timedelta(), ("hold", "SO-1, SO-2: more than one sale of it")),
        ([], BEFORE, ("ignore", "placed before orders.start_at, no sale of it is there")),
        ([THEIRS], BEFORE, ("adopt", "its sale SO-1 is there")),
        ([MINE, "shop:o1:2"], BEFORE, ("hold", "SO-1, SO-2: more than one sale of it")),
        (["shop:o2:1"], timedelta(), ("export", "placed since orders.start_at, no sale of it is there")),
    ],
)
def test_an_open_order_is_adopted_exported_ignored_or_a_person_decides(
    store: Store, sales: list[str], age: timedelta, expected: tuple[str, str]
) -> None:
    assert fate(store, there(*sales), age=age) == expected


def test_what_others_told_the_customer_of_is_ignored(store: Store) -> None:
    reason = "placed before orders.start_at, shipped, or told of parcels, by others"
    assert fate(store, [], age=BEFORE, shipment_state="Shipped") == ("ignore", reason)


def test_an_order_that_would_be_held_says_why(store: Store) -> None:
    assert fate(store, [], sku="NO-SUCH") == ("hold", "unknown_sku")


# --- The report ------------------------------------------------------------------------------------------------------


T0 = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)


def test_a_shadow_reports_what_it_would_have_changed_and_prevented(store: Store) -> None:
    async def story(life: Life) -> None:
        now = life.clock.now()
        hour = timedelta(hours=1)
        await store.write(ladder.notice, life.settings, CaseDesk(life.settings), now - hour)
        terms = query(
            "INSERT INTO explained (sku, channel, at, causal_seq, terms) VALUES (%(sku)s, 'web-eu', %(at)s, 1,"
            " jsonb_build_object('explanation', jsonb_build_object('target', %(t)s::bigint),"
            " 'e', 9, 'd', %(d)s::bigint))"
        )
        for sku, target, d in ((CHAIR, 2, -7), ("TABLE", 12, 3)):
            await store.write(lambda tx, v=(sku, target, d): tx.run(terms, sku=v[0], at=now - hour / 2, t=v[1], d=v[2]))
        await life.begin(ARMCHAIR=10)
        await life.take(life.order((CHAIR, 5)))
        await life.take(life.order((CHAIR, 2), order_id="o2"))
        (found,) = await store.read(cutover.report, life.clock.now())
        assert (found["channel"], found["mode"], found["until"]) == ("web-eu", "shadow", None)
        assert found["numbers"] == {"seen": 2, "changes": 2, "were_too_high": 1, "were_too_low": 1}
        assert found["orders"] == {"waiting": 2}
        assert (found["prevented"]["orders"], found["prevented"]["units"]) == (1, 3)
        (line,) = found["prevented"]["lines"]
        assert (line["order"], line["ordered"], line["offered"]) == ("N-o1", 5, 2)

    play(store, story, channels=[{"key": "web-eu", "pool": "eu", "mode": "shadow", **NO_BRAKE}])


def test_without_a_shadow_there_is_nothing_to_report(store: Store) -> None:
    assert store.read_now(cutover.report, T0) == []
