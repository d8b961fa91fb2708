"""commercetools as storefront: stock entries, messages, orders and what is written back to them.

One rule: a method makes the calls its docstring names and never a second try. Reference data is read besides, when an
answer or a key names a channel or a custom type that was not seen before, and so is a token when there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from sellable.config import settings as config
from sellable.connectors.commercetools import fulfilment, predicates, returning, translate, wire, writes
from sellable.connectors.commercetools.register import Register
from sellable.connectors.commercetools.session import VENDOR, Session, graph_data, made_at, says
from sellable.connectors.commercetools.translate import Bundles
from sellable.connectors.kit import answers
from sellable.connectors.kit.decode import document, written
from sellable.connectors.port import (
    DeliveryDraft,
    EntryReading,
    MessagePage,
    Misconfigured,
    OrderPage,
    RawMessage,
    RawOrder,
    Readings,
    Refused,
    ReturnDraft,
    ReturnsTold,
    StockWrite,
    Unavailable,
    VendorError,
    Written,
)
from sellable.domain.orders import Order
from sellable.runtime.budgets import Budgets
from sellable.runtime.http import Answer, HttpPort, NotSent, OutcomeLost

T = TypeVar("T")

PAGE = 500
"""The most rows a query may ask for (page "Limits")."""

KEYS_MAX = 150
URL_LENGTH_MAX = 6000
"""Longer queries go by GraphQL, whose question is in the body."""

SIGN_IN_PAUSE_SECONDS = 30.0


class ChannelUnknown(LookupError):
    """The order names a supply channel nobody has looked up yet. It is, with the next call; try again then."""


class Commercetools:
    """One project. Raises the families of connectors.port, and NotSent and OutcomeLost of runtime.http."""

    def __init__(
        self,
        http: HttpPort,
        budgets: Budgets | None,
        settings: config.Commercetools,
        *,
        bundles: Bundles | None = None,
    ) -> None:
        """`budgets` hears of breached limits. Raises ForbiddenUrl for a base address that may not be called."""
        self.session = Session(http, budgets, settings)
        self.settings = settings
        self._bundles = bundles
        self._batch = settings.write_batch
        self._channels = Register(self.session, "channels", wire.Channel)
        self._types = Register(self.session, "types", wire.CustomType)
        self._states = Register(self.session, "states", wire.State)
        self._keys: dict[str, str] = {}
        self._wanted: set[str] = set()
        self._messages_size = _Size()
        self._orders_size = _Size()

    # Reference data --------------------------------------------------------------------------------------------------

    async def learn(self, *, lane: str) -> None:
        """A call a page: channels, custom types and workflow states. To be awaited before an order is translated."""
        await self._channel_keys((), lane)
        await self._types.hold((), lane=lane)

    async def _channel_keys(self, names: Sequence[str], lane: str) -> None:
        """Has these channels (ids or keys) looked up, those that orders have named meanwhile, and the states that mean
        cancelled: with these a document can be translated.
        """
        wanted = self._wanted
        self._wanted = set()
        try:
            await self._channels.hold({*names, *wanted}, lane=lane)
        except BaseException:
            self._wanted |= wanted
            raise
        self._keys.update((row.id, row.key) for row in self._channels.by_id.values())
        if self.settings.cancelled_states:
            await self._states.hold(self.settings.cancelled_states, lane=lane)

    @property
    def _words(self) -> translate.Words:
        states = (self._states.by_key.get(key) for key in self.settings.cancelled_states)
        return translate.Words(
            cancelled=frozenset(state.id for state in states if state),
            reason_field=self.settings.reason_field,
            attributes=self.settings.line_attributes,
        )

    def translate_order(self, body: bytes) -> Order:
        """An order document in the words of the trade; no call. Raises ValueError when it is none.

        Raises ChannelUnknown rather than put units on the wrong entry. A channel that does not exist (any more) is
        given by its id.
        """
        order = translate.order(body, self._keys, self._bundles, self._words)
        self._check_channels(order)
        return order

    def translate_message(self, body: bytes) -> Order | None:
        """The order a message carries, None when it carries none; no call. Raises ChannelUnknown."""
        order = translate.order_of_message(body, self._keys, self._bundles, self._words)
        if order is not None:
            self._check_channels(order)
        return order

    def _check_channels(self, order: Order) -> None:
        named = {line.channel for line in order.lines if line.channel is not None}
        strange = {name for name in named - set(self._keys.values()) if not self._channels.is_absent(name)}
        if strange:
            self._wanted |= strange
            raise ChannelUnknown(f"order {order.order_id} names channel {', '.join(sorted(strange))}")

    # Stock: reading --------------------------------------------------------------------------------------------------

    async def read_entries(self, keys: Sequence[tuple[str, str | None]], *, lane: str) -> Readings:
        """One call for at most 150 (sku, channel key) pairs; missing entries are absent from the answer.

        Raises Misconfigured when none of the channels exists.
        """
        if not 0 < len(keys) <= KEYS_MAX:
            raise ValueError(f"1 to {KEYS_MAX} keys in one call, not {len(keys)}")
        await self._channel_keys([channel for _, channel in keys if channel is not None], lane)
        groups: dict[str | None, list[str]] = {}
        for sku, channel in keys:
            if channel is None or channel in self._channels.by_key:
                place = None if channel is None else self._channels.by_key[channel].id
                groups.setdefault(place, []).append(sku)
        if not groups:
            named = sorted({channel for _, channel in keys if channel is not None})
            raise Misconfigured(f"no channel {', '.join(named)} at {VENDOR}", code="channel")
        found, at = await self._entries(lambda bind: predicates.entries(groups, bind), lane)
        wanted = set(keys)
        return Readings(entries=tuple(e for e in found if (e.sku, e.channel) in wanted), at=at)

    async def walk_entries(self, after_id: str | None, *, lane: str) -> Readings:
        """One call: a page (at most 500) of all entries in id order."""
        await self._channel_keys((), lane)
        found, at = await self._entries(lambda bind: f"id > {bind(after_id)}" if after_id else "", lane)
        return Readings(entries=tuple(found), at=at, last_id=found[-1].remote_id if len(found) == PAGE else None)

    async def _entries(self, where: Callable[[predicates.Bind], str], lane: str) -> tuple[list[EntryReading], datetime]:
        """At most 500 entries in id order, by GraphQL where it is on or the question does not fit into an address."""
        bound = predicates.Variables()
        params = [("sort", "id asc"), ("limit", str(PAGE)), ("withTotal", "false"), *predicates.params(where, bound)]
        if self.settings.write_batch > 1 or predicates.url_length(params) > URL_LENGTH_MAX:
            query = (
                'query($where:String,$limit:Int){inventoryEntries(where:$where,sort:["id asc"],limit:$limit)'
                f"{{results{{{wire.ENTRY_FIELDS}}}}}}}"
            )
            text = where(predicates.literal)
            answer = await self.session.graphql(query, {"where": text or None, "limit": PAGE}, lane=lane)
            rows = document(graph_data(answer), wire.GraphEntries, vendor=VENDOR).inventory_entries
            if rows is None:
                raise Unavailable(f"{VENDOR} answered without entries and without an error", code="garbled")
            return [translate.graph_entry(row, self._keys) for row in rows.results], made_at(answer)
        answer = await self.session.call("GET", "inventory", lane=lane, params=params)
        entries = (document(raw, wire.Entry, vendor=VENDOR) for raw in _rows(answer))
        return [translate.entry(entry, self._keys) for entry in entries], made_at(answer)

    # Stock: writing --------------------------------------------------------------------------------------------------

    @property
    def write_batch(self) -> int:
        """How many differences one call may carry; less than configured after the vendor found a call too complex."""
        return self._batch

    async def write(self, writes_: Sequence[StockWrite], *, lane: str) -> list[Written]:
        """One call for up to `write_batch` differences, each of which succeeds or fails alone.

        Never raises for what the vendor or the line does: that is each difference's outcome.
        """
        typed = {write.typed for write in writes_ if write.typed is not None}
        try:
            if typed:
                await self._types.hold(typed, lane=lane)
        except (VendorError, NotSent, OutcomeLost) as error:
            return [writes.unapplied(write, f"nothing was sent: {error}", _patience(error)) for write in writes_]
        marking = {row.id for row in self._types.by_id.values() if row.marks}
        outcomes: list[Written] = []
        size = max(self._batch, 1)
        for start in range(0, len(writes_), size):
            batch = writes_[start : start + size]
            send = self._write_one if len(batch) == 1 else self._write_many
            outcomes += await send(batch, marking, lane)
        return outcomes

    async def _write_one(self, batch: Sequence[StockWrite], marking: set[str], lane: str) -> list[Written]:
        (write,) = batch
        body = {"version": write.version, "actions": writes.rest_actions(write, marking)}
        path = f"inventory/{quote(write.remote_id, safe='')}"

        def call() -> Any:
            return self.session.exchange("POST", path, lane=lane, body=body, correlation=write.op_id)

        return await self._judged(batch, call, lambda answer: [writes.applied(write, answer.body, answer.date)])

    async def _write_many(self, batch: Sequence[StockWrite], marking: set[str], lane: str) -> list[Written]:
        mutation, variables = writes.graph_mutation(batch, marking)

        def call() -> Any:
            return self.session.graphql(mutation, variables, lane=lane, correlation=batch[0].op_id)

        return await self._judged(batch, call, lambda answer: writes.graph_outcomes(batch, answer.body, answer.date))

    async def _judged(
        self, batch: Sequence[StockWrite], call: Callable[[], Any], read: Callable[[Answer], list[Written]]
    ) -> list[Written]:
        """Makes the call and says what became of each write; doubt is always `unknown`."""
        try:
            answer: Answer = await call()
        except (VendorError, NotSent) as error:
            return [writes.unapplied(write, f"nothing was sent: {error}", _patience(error)) for write in batch]
        except OutcomeLost as lost:
            return [writes.unknown(write, str(lost)) for write in batch]
        if 200 <= answer.status < 300 and not writes.is_too_complex(answer.body):
            return read(answer)
        said = says(answer.body)
        if said.code == writes.TOO_COMPLEX:
            self._batch = max(1, len(batch) // 2)
            return [writes.unapplied(write, said.message, 0.0) for write in batch]
        if answer.status == 429:
            pause = answers.pause(answer.headers, answer.date)
            return [writes.unapplied(write, "the limit is reached", pause) for write in batch]
        if answer.status == 401:
            return [writes.unapplied(write, "not signed in", SIGN_IN_PAUSE_SECONDS) for write in batch]
        # A page of a proxy has no code: it says nothing about what the platform did.
        refused = 400 <= answer.status < 500 and bool(said.code or said.detail)
        code, message = said.code or str(answer.status), said.message or f"status {answer.status}"
        return [writes.failed(write, code, message, refused=refused) for write in batch]

    async def sold(self, skus: Sequence[str], *, lane: str) -> frozenset[str]:
        """One call for at most 150 SKUs: those that a product has, in its staged state too.

        The platform takes entries of any SKU, also one that is only a slip of the pen (page "Inventory management").
        """
        if not 0 < len(skus) <= KEYS_MAX:
            raise ValueError(f"1 to {KEYS_MAX} SKUs in one call, not {len(skus)}")
        bound = predicates.Variables()
        names = bound(*skus)
        among = f"= {names}" if len(skus) == 1 else f"in {names}"
        where = f"masterVariant(sku {among}) or variants(sku {among})"
        params = [("staged", "true"), ("limit", str(PAGE)), ("withTotal", "false"), ("where", where), *bound.params]
        answer = await self.session.call("GET", "product-projections", lane=lane, params=params)
        products = [document(raw, wire.Projection, vendor=VENDOR) for raw in _rows(answer)]
        found = {variant.sku for product in products for variant in (product.master_variant, *product.variants)}
        return frozenset(sku for sku in skus if sku in found)

    async def create_entry(self, sku: str, channel: str | None, op_id: str, *, lane: str) -> EntryReading:
        """One call: creates the entry at 0, marked. Refused(code=DuplicateField) when somebody else did."""
        await self._channel_keys((), lane)
        draft: dict[str, Any] = {
            "sku": sku,
            "quantityOnStock": 0,
            "custom": {"type": {"typeId": "type", "key": wire.OUR_TYPE}, "fields": {wire.MARKER: op_id}},
        }
        if channel is not None:
            draft["supplyChannel"] = {"typeId": "channel", "key": channel}
        answer = await self.session.call("POST", "inventory", lane=lane, body=draft, correlation=op_id)
        return translate.entry(written(answer.body, wire.Entry, vendor=VENDOR), self._keys)

    # What happened ---------------------------------------------------------------------------------------------------

    async def messages(self, cursor: tuple[str, str] | None, *, until: str | None, lane: str) -> MessagePage:
        """One call: messages of orders, entries and products after the cursor, created before `until`."""
        await self._channel_keys((), lane)
        resources = ",".join(f'"{each}"' for each in translate.MESSAGES_OF)

        def where(bind: predicates.Bind) -> list[str]:
            news = [f"resource(typeId in ({resources}))", *predicates.after("createdAt", cursor, bind)]
            return news if until is None else [*news, f"createdAt < {bind(until)}"]

        answer, size = await self._page("messages", "createdAt", where, self._messages_size, lane)
        found = [_read(translate.message, raw) for raw in _rows(answer)]
        last: RawMessage | None = found[-1] if found else None
        return MessagePage(
            messages=tuple(found),
            cursor=(last.created_at, last.message_id) if last else None,
            full=len(found) == size,
        )

    async def orders_modified(self, cursor: tuple[str, str] | None, *, since: str, lane: str) -> OrderPage:
        """One call: orders after the cursor, or modified after `since` where there is none."""

        def where(bind: predicates.Bind) -> list[str]:
            if cursor is None:
                return [f"lastModifiedAt > {bind(since)}"]
            return predicates.after("lastModifiedAt", cursor, bind)

        await self._channel_keys((), lane)
        return await self._orders(where, "lastModifiedAt", lane)

    async def orders_open(self, cursor: tuple[str, str] | None, *, lane: str) -> OrderPage:
        """One call: orders that are open or confirmed, after a cursor of (createdAt, id)."""

        def where(bind: predicates.Bind) -> list[str]:
            return [f"orderState in {bind('Open', 'Confirmed')}", *predicates.after("createdAt", cursor, bind)]

        await self._channel_keys((), lane)
        return await self._orders(where, "createdAt", lane)

    async def orders_by_id(self, ids: Sequence[str], *, lane: str) -> OrderPage:
        """One call for at most 150 ids; missing orders are absent from the answer."""
        if not 0 < len(ids) <= KEYS_MAX:
            raise ValueError(f"1 to {KEYS_MAX} ids in one call, not {len(ids)}")
        await self._channel_keys((), lane)
        size = _Size()
        return await self._orders(lambda bind: [f"id in {bind(*ids)}"], "lastModifiedAt", lane, size)

    async def orders_with_sku(self, sku: str, *, since: datetime, lane: str) -> OrderPage:
        """A call a page: all orders created since then that hold the SKU; never `full`, an order missed is oversold."""
        await self._channel_keys((), lane)
        begin = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        cursor: tuple[str, str] | None = (begin, "")
        found: list[RawOrder] = []
        while True:

            def where(bind: predicates.Bind, at: tuple[str, str] | None = cursor) -> list[str]:
                return [f"lineItems(variant(sku = {bind(sku)}))", *predicates.after("createdAt", at, bind)]

            page = await self._orders(where, "createdAt", lane)
            found += page.orders
            cursor = page.cursor
            if not page.full:
                return OrderPage(orders=tuple(found), cursor=None, full=False, at=page.at)

    async def _orders(
        self,
        where: Callable[[predicates.Bind], list[str]],
        stamp: str,
        lane: str,
        size: _Size | None = None,
    ) -> OrderPage:
        answer, limit = await self._page("orders", stamp, where, size or self._orders_size, lane)
        rows = _rows(answer)
        heads = [document(raw, wire.Versioned, vendor=VENDOR) for raw in rows]
        last = heads[-1] if heads else None
        at = (last.created_at if stamp == "createdAt" else last.last_modified_at, last.id) if last else None
        orders = tuple(_read(translate.raw_order, raw) for raw in rows)
        return OrderPage(orders=orders, cursor=at, full=len(rows) == limit, at=made_at(answer))

    async def _page(
        self,
        path: str,
        stamp: str,
        where: Callable[[predicates.Bind], list[str]],
        size: _Size,
        lane: str,
    ) -> tuple[Answer, int]:
        """One call: a page in (stamp, id) order and its limit. A page too heavy to arrive is asked for smaller."""
        limit = size.now
        bound = predicates.Variables()
        params = [("sort", f"{stamp} asc"), ("sort", "id asc"), ("limit", str(limit)), ("withTotal", "false")]
        params += [("where", text) for text in where(bound)] + bound.params
        try:
            answer = await self.session.call("GET", path, lane=lane, params=params)
        except (OutcomeLost, Unavailable):
            size.shrink()
            raise
        size.grow()
        return answer, limit

    # Orders ----------------------------------------------------------------------------------------------------------

    async def read_order(self, order_id: str, *, lane: str) -> RawOrder:
        """One call. Refused(code=ResourceNotFound) when there is none."""
        answer = await self.session.call("GET", f"orders/{quote(order_id, safe='')}", lane=lane)
        return document_order(answer.body)

    async def set_sync_info(self, order: RawOrder, external_id: str, *, lane: str) -> RawOrder:
        """One update guarded by the order's version; none where the same note is present. Raises Conflict."""
        key = self.settings.export_channel
        await self._channel_keys((key,), lane)
        channel = self._channels.by_key.get(key)
        if channel is None:
            raise Misconfigured(f"no channel {key} at {VENDOR}: run setup", code="channel")
        return await self._update(order, fulfilment.sync_actions(_order(order), channel.id, external_id), lane)

    async def add_delivery(self, order: RawOrder, draft: DeliveryDraft, *, lane: str) -> RawOrder:
        """One update at most: delivery and parcels whose keys are not present yet, and the states. Raises Conflict."""
        return await self._update(order, fulfilment.delivery_actions(_order(order), draft), lane)

    async def set_states(
        self, order: RawOrder, *, order_state: str | None, shipment_state: str | None, lane: str
    ) -> RawOrder:
        """One update at most, to the states that are news. Raises Conflict."""
        actions = fulfilment.state_actions(_order(order), order_state=order_state, shipment_state=shipment_state)
        return await self._update(order, actions, lane)

    async def tell_returns(self, order: RawOrder, drafts: Sequence[ReturnDraft], *, lane: str) -> ReturnsTold:
        """One update at most: return items not present yet, and the states that are news. Raises Conflict."""
        actions, refused = returning.return_actions(_order(order), drafts)
        return ReturnsTold(order=await self._update(order, actions, lane), refused=tuple(refused))

    async def cancel_units(self, order: RawOrder, units: Mapping[str, int], *, lane: str) -> RawOrder:
        """One update at most, and a page of states where they are not known yet. Raises Conflict.

        Refused(code=no_state) where no state that means cancelled is configured, or none of that key exists.
        """
        keys = self.settings.cancelled_states
        await self._channel_keys((), lane)
        target = self._states.by_key.get(keys[0]) if keys else None
        if target is None:
            raise Refused("no line item state that means cancelled", code="no_state", detail={"keys": list(keys)})
        counted = self._words.cancelled
        actions = returning.cancel_actions(_order(order), units, target, counted, self._states.by_id)
        return await self._update(order, actions, lane)

    async def _update(self, order: RawOrder, actions: list[dict[str, Any]], lane: str) -> RawOrder:
        if not actions:
            return order
        answer = await self.session.call(
            "POST",
            f"orders/{quote(order.order_id, safe='')}",
            lane=lane,
            body={"version": order.version, "actions": actions},
            correlation=order.order_id,
        )
        head = written(answer.body, wire.Versioned, vendor=VENDOR)
        return RawOrder(order_id=head.id, version=head.version, modified_at=head.last_modified_at, body=answer.body)


class _Size:
    """How many rows to ask for: fewer after a page that did not arrive, soon more again.

    500 orders can be hundreds of megabytes, and a page that can never arrive would stop a feed for ever.
    """

    def __init__(self) -> None:
        self.now = PAGE

    def shrink(self) -> None:
        self.now = max(1, self.now // 4)

    def grow(self) -> None:
        self.now = min(PAGE, self.now * 2)


def document_order(body: bytes) -> RawOrder:
    """An order as answered. Raises Unavailable when it is cut off, Refused when it is no order."""
    document(body, wire.Versioned, vendor=VENDOR)
    return translate.raw_order(body)


def _order(order: RawOrder) -> wire.Order:
    return document(order.body, wire.Order, vendor=VENDOR)


def _rows(answer: Answer) -> list[Any]:
    return list(document(answer.body, wire.Results, vendor=VENDOR).results)


def _read(make: Callable[[Any], T], raw: Any) -> T:
    try:
        return make(raw)
    except ValueError as error:
        raise Refused(f"{VENDOR}'s row is not understood: {error}", code="unreadable") from error


def _patience(error: Exception) -> float:
    """How long to wait after a call that surely was not sent."""
    after = getattr(error, "after_seconds", None)
    if isinstance(after, float):
        return after
    return SIGN_IN_PAUSE_SECONDS if isinstance(error, Misconfigured) else 1.0
