"""Stock entries that the storefront lacks, made where a channel asks for them (`create_entries`).

Looked for round after round, never remembered: a SKU the master has units of in the channel's pool and that a product
of the storefront has, without an entry there. One rule: it is made at 0, then raised like any other, after it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sellable.connectors.port import Refused, StorefrontStock
from sellable.desk.opening import OpenCase
from sellable.domain.stock import Priority
from sellable.runtime import operations
from sellable.runtime.database import ReadTx, Store, Tx
from sellable.runtime.feeds import FeedContext, FeedResult
from sellable.runtime.ids import Ids
from sellable.runtime.operations import Done, Intent, Operation, Outcome, Rejected
from sellable.runtime.queries import queries
from sellable.runtime.wanted import want
from sellable.sync import writer

sql = queries("sellable.sync")
KIND = "entry.create"
BATCH = 50
OF_THE_SKU = ("InvalidField", "InvalidInput", "InvalidOperation", "RequiredField")
"""Refusals that speak of this entry; any other would be said of every entry of the channel."""

Key = tuple[str, str]
"""SKU and channel."""


class CreationFeed:
    """A turn looks at some missing entries, asks which of their SKUs are sold, and owes those.

    `places` are the locations of each channel that wants entries. Nothing is owed before every entry was read once (the
    feed `walk`): what was not read yet only seems to be missing.
    """

    def __init__(
        self,
        store: Store,
        ids: Ids,
        port: StorefrontStock,
        places: Mapping[str, Sequence[str]],
        *,
        walk: str,
        frozen: Callable[[ReadTx], bool],
    ) -> None:
        self._store = store
        self._ids = ids
        self._port = port
        self._pairs = [(channel, place) for channel, names in places.items() for place in names]
        self._walk = walk
        self._frozen = frozen

    async def turn(self, cursor: dict[str, Any] | None, context: FeedContext) -> FeedResult:
        """One batch; over when no entry after the last one is missing."""
        keys = await self._store.read(self._missing, (cursor or {}).get("after", ""))
        if not keys:
            return FeedResult(arrivals=[], cursor={"after": ""}, again=False)
        skus = list(dict.fromkeys(sku for sku, _ in keys))
        sold = await self._port.sold(skus, lane="repair")
        # The last SKU of a full batch may lack more entries than the batch had room for.
        last = skus[-2] if len(keys) == BATCH and len(skus) > 1 else skus[-1]
        owed = [key for key in keys if key[0] in sold]
        return FeedResult(arrivals=[], cursor={"after": last}, again=True, also=partial(self._owe, owed))

    def _missing(self, tx: ReadTx, after: str) -> list[Key]:
        walked = tx.value(sql.feed_cursor, name=self._walk) or {}
        if not walked.get("round") or self._frozen(tx):
            return []
        columns = {"channel": [channel for channel, _ in self._pairs], "location": [place for _, place in self._pairs]}
        return [(r.sku, r.channel) for r in tx.all(sql.entries_to_create, **columns, after=after, limit=BATCH)]

    def _owe(self, keys: Sequence[Key], tx: Tx, now: datetime) -> None:
        intents = [
            Intent(
                system=writer.SYSTEM,
                kind=KIND,
                lane=writer.lane_of(sku, channel),
                budget="writes",
                priority=Priority.RAISE,
                payload={"sku": sku, "channel": channel},
            )
            for sku, channel in keys
        ]
        operations.owe(tx, intents, now, self._ids)


class Creating:
    """Makes one entry. Sending twice does no harm: the platform keeps one entry for each SKU and channel."""

    def __init__(
        self,
        port: StorefrontStock,
        open_case: OpenCase,
        clear_cases: Callable[[Tx, Sequence[str], str, datetime], None],
    ) -> None:
        self._port = port
        self._open_case = open_case
        self._clear_cases = clear_cases

    async def send(self, op: Operation) -> Outcome:
        """At 0, marked with the operation. One that is there already is as good: it is read."""
        try:
            made = await self._port.create_entry(op.payload["sku"], op.payload["channel"] or None, op.id, lane="writes")
        except Refused as refusal:
            if refusal.code != "DuplicateField":
                raise
            return Done({"there": "already"})
        return Done({"entry": made.remote_id, "version": made.version})

    def settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The entry is read, and its number planned like any other's; or a person is told why there is none."""
        sku, channel = op.payload["sku"], op.payload["channel"]
        if isinstance(outcome, Done):
            want(tx, writer.SYSTEM, "entry", [f"{channel}|{sku}"], 2, now)
            self._clear_cases(tx, ["entry_missing"], f"sku:{sku}", now)
        elif isinstance(outcome, Rejected):
            whose = f"sku:{sku}" if outcome.detail.get("code") in OF_THE_SKU else f"channel:{channel}"
            self._open_case(
                tx, "write_refused", whose, now, expected={"sku": sku, "channel": channel, "create entry at": 0},
                actual={"cause": outcome.cause}, evidence=[f"operation:{op.id}"],
            )  # fmt: skip
