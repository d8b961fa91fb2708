"""Whatever arrives, whichever way: no word of it can be read in the database, and the handler gets all of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from sellable.runtime.database import Store, Tx
from sellable.runtime.inbox import Arrival, Inbox, InboxRow, Letterbox, Poison, put
from sellable.runtime.queries import Query

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CANARY = b"ada.lovelace@canary.example"
ROWS = Query(package="t", name="t", purpose="t", text="SELECT i::text AS row, body FROM inbox AS i")
EMPTY = Query(package="t", name="t", purpose="t", text="TRUNCATE inbox")

texts = st.binary(max_size=200) | st.integers(1, 400).map(lambda times: b'{"sku": "ARMCHAIR", "units": 3},' * times)
bodies = st.lists(st.tuples(texts, texts).map(lambda around: around[0] + CANARY + around[1]), min_size=1, max_size=5)


def test_no_word_of_a_body_is_stored_and_none_is_lost(store: Store) -> None:
    @options(deadline=None, max_examples=60)
    @given(bodies=bodies, posted=st.booleans(), refused=st.booleans())
    def holds(bodies: list[bytes], posted: bool, refused: bool) -> None:
        seen: list[bytes] = []

        def handle(_tx: Tx, row: InboxRow, _now: datetime) -> None:
            seen.append(row.body)
            if refused:
                raise Poison("not today")

        store.write_now(lambda tx: tx.run(EMPTY))
        arrivals = [
            Arrival(source="shop", message_id=str(n), kind="order", lane="", body=body) for n, body in enumerate(bodies)
        ]
        if posted:
            asyncio.run(Letterbox(store, store.clock).post(arrivals))
        else:
            store.write_now(put, arrivals, NOW)
        for _ in range(2):
            for row in store.read_now(lambda tx: tx.all(ROWS)):
                assert CANARY not in row.body
                assert CANARY.hex() not in row.row
                assert CANARY.decode() not in row.row
            asyncio.run(Inbox(store, store.clock, {"order": handle}, lambda *_: None).work_once())
        assert set(seen) == set(bodies)

    holds()
