"""Messages the vendor sends by itself. Rule: what was not answered with 200 is sent again, the same message.

Every message has a messageId from one rising sequence. Its content is fixed when it is made; how late, how often and in
what order it arrives is up to the switches and the receiver.
"""

import re
from dataclasses import dataclass
from typing import Any

from sellable.sandbox.orderflow import orders
from sellable.sandbox.orderflow.inventory import View
from sellable.sandbox.orderflow.markup import Element, element, write
from sellable.sandbox.orderflow.purchasing import Delivery
from sellable.sandbox.orderflow.state import Order, PurchaseOrder, Return, World
from sellable.sandbox.orderflow.stock import Change, Level
from sellable.sandbox.orderflow.wire import stamp
from sellable.sandbox.outbound import Outbound, Post

KINDS = ("inventory", "stock_change", "order", "return", "delivery", "purchase_order")
BATCH = 100


@dataclass(slots=True, eq=False)
class Message:
    """A message on its way. `again` is set once it is sent a second time although it was answered well."""

    id: int
    kind: str
    url: str
    body: bytes
    attempts: int = 0
    again: bool = False


class Pushes:
    """Who gets what, and everything under way; the vendor waits 30 simulated seconds for an answer (UNCONFIRMED)."""

    def __init__(self, world: World, view: View, post: Post | None = None) -> None:
        self._world, self._view = world, view
        self.outbound = Outbound(post, patience=lambda: max(world.clock.limit(30), 2.0))
        self.receivers: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.waiting: dict[int, Message] = {}
        self._ids = 0
        self._sequences: dict[int, int] = {}
        self._moved: dict[int, Level] = {}
        self._changes: list[Change] = []
        self._scheduled = False
        world.on_event.append(self._hear)
        world.on_settled.append(self.flush)
        world.stock.on_level.append(self._level_moved)
        world.stock.on_change.append(self._stock_changed)

    def address(self, receivers: dict[str, Any]) -> None:
        """{kind: URL or "", "*": URL, "headers": {...}}: who hears of what from now on; raises ValueError."""
        urls = {name: url for name, url in receivers.items() if name != "headers"}
        if urls.keys() - {*KINDS, "*"}:
            raise ValueError(f"known kinds: {', '.join(KINDS)}, *")
        self.receivers |= urls
        self.headers |= receivers.get("headers", {})
        self.schedule()

    def schedule(self) -> None:
        """Begin or go on sending all figures at intervals."""
        if not self._scheduled and self._world.switches.inventory_push == "schedule" and self._url("inventory"):
            self._scheduled = True
            self._world.agenda.after(self._world.switches.inventory_push_seconds, self._on_schedule)

    def _on_schedule(self) -> None:
        self._scheduled = False
        if self._world.switches.inventory_push == "schedule":
            self.all_inventory()
        self.schedule()

    def all_inventory(self) -> None:
        """Send the figures of every record."""
        self._moved |= {level.id: level for level in self._world.stock.levels.values() if level.recorded}
        self._send_inventory()

    def _url(self, kind: str) -> str:
        return self.receivers.get(kind, self.receivers.get("*", ""))

    def _level_moved(self, level: Level) -> None:
        if self._world.switches.inventory_push == "change" and self._url("inventory"):
            self._moved[level.id] = level

    def _stock_changed(self, change: Change) -> None:
        if self._url("stock_change"):
            self._changes.append(change)

    def flush(self) -> None:
        """The world is settled: what moved meanwhile goes out, at most a batch of records a message."""
        if self._world.switches.inventory_push == "change":
            self._send_inventory()
        grouped: dict[tuple[str, str], list[Change]] = {}
        for change in self._changes:
            grouped.setdefault((change.level.product.organisation, change.level.site), []).append(change)
        self._changes = []
        for (organisation, site), changes in grouped.items():
            rows = [_change(change, self._world.switches.zone) for change in changes]
            self._send("stock_change", element("stockChanges", *rows, organisation=organisation, site=site))

    def _send_inventory(self) -> None:
        levels, self._moved = list(self._moved.values()), {}
        for start in range(0, len(levels), BATCH):
            shown = [(level, self._view.shown(level)) for level in levels[start : start + BATCH]]
            rows = [
                element("product", **figures, sequenceId=self._sequence(level))
                for level, figures in shown
                if figures is not None
            ]
            if rows:
                self._send("inventory", element("inventory", *rows))

    def _sequence(self, level: Level) -> int:
        key = level.product.id if self._world.switches.sequence == "product" else 0
        self._sequences[key] = self._sequences.get(key, 0) + 1
        return self._sequences[key]

    def _hear(self, name: str, about: Any, facts: dict[str, Any]) -> None:
        if isinstance(about, Order):
            if name in self._world.switches.order_events and self._url("order"):
                channel = about.channel
                said = orders.described(
                    self._world, about, channel=channel.reference, organisation=channel.organisation
                )
                known = {"externalReference": about.reference, "state": said.attributes["state"]}
                self._event(name, "order", said, user=str(facts.get("user", "warehouse")), **known)
        elif isinstance(about, Return):
            self._event(name, "return", _return(about))
        elif isinstance(about, Delivery):
            self._event(name, "delivery", _delivery(about, self._world.switches.zone))
        elif isinstance(about, PurchaseOrder):
            self._event(name, "purchase_order", _purchase(about))

    def _event(self, name: str, kind: str, said: Element, user: str = "warehouse", **known: str) -> None:
        """The wrapper of what an event triggers; its entity is the payload's element."""
        now = stamp(self._world.clock.time(), self._world.switches.zone)
        wrapper = element(
            "event", element("detail", said), eventType=name, userName=user, eventTime=now, entity=said.name,
            operation="update" if known else None, **known,
        )  # fmt: skip
        self._send(kind, wrapper)

    def _send(self, kind: str, root: Element) -> None:
        url, switches, dice = self._url(kind), self._world.switches, self._world.dice
        if not url:
            return
        self._ids += 1
        root.attributes = {"messageId": str(self._ids)} | root.attributes
        told = Message(self._ids, kind, url, write(root))
        self.waiting[told.id] = told
        late = dice.random() * switches.push_jitter_seconds if switches.push_jitter_seconds else 0.0
        self._world.agenda.after(switches.push_delay_seconds + late, lambda: self._launch(told))

    def _launch(self, told: Message) -> None:
        self.outbound.spawn(self._try(told))

    async def _try(self, told: Message) -> None:
        told.attempts += 1
        headers = {"Content-Type": "application/xml", **self.headers}
        try:
            status, said = await self.outbound.post(told.url, headers, told.body)
        except OSError:
            status, said = 0, b""
        self._world.journal.add("push", id=told.id, kind=told.kind, attempt=told.attempts, status=status)
        self._judge(told, status, said)

    def _judge(self, told: Message, status: int, said: bytes) -> None:
        switches, agenda = self._world.switches, self._world.agenda
        if status == 200 and re.search(switches.push_success, said.decode("utf-8", "replace")):
            self.waiting.pop(told.id, None)
            twice = switches.push_twice_rate and self._world.dice.random() < switches.push_twice_rate
            if twice and not told.again:
                told.again = True
                agenda.after(switches.push_retry_seconds[0], lambda: self._launch(told))
        elif told.id not in self.waiting:
            return  # a second copy is not sent a third time
        elif told.attempts >= switches.push_attempts_max:
            self.waiting.pop(told.id)
            self._world.journal.add("push_given_up", id=told.id, kind=told.kind)
        else:
            waits = switches.push_retry_seconds
            agenda.after(waits[min(told.attempts, len(waits)) - 1], lambda: self._launch(told))

    async def stop(self) -> None:
        """Drop what is under way and close the network."""
        await self.outbound.close()


def _change(change: Change, zone: str) -> Element:
    """`location` is a made-up shelf name; type is our cause word (UNCONFIRMED)."""
    return element(
        "stockChange",
        element("note", text=change.note),
        id=change.id,
        type=change.word,
        timestamp=stamp(change.at, zone),
        product=change.level.product.reference,
        location=f"{change.kind.upper()}-01",
        locationType=change.kind,
        previousQuantity=change.before,
        changeQuantity=change.delta,
        newQuantity=change.before + change.delta,
        user=change.user,
    )


def _return(one: Return) -> Element:
    lines = [
        element(
            "returnLine",
            product=line.product.reference,
            quantity=line.quantity,
            reason=line.reason,
            condition=line.condition,
            # What this attribute says is UNCONFIRMED; a warehouse decides no refund.
            refund=False,
        )
        for line in one.lines
    ]
    return element(
        "return", *lines, id=one.id, authorised=one.authorised, type=one.type, site=one.site,
        authorisation=one.authorisation, orderReference=one.order_reference, note=one.note,
        organisation=one.organisation,
    )  # fmt: skip


def _delivery(one: Delivery, zone: str) -> Element:
    lines = [
        element("deliveryLine", id=n, product=product, quantity=quantity, state="completed")
        for n, (product, quantity, _) in enumerate(one.lines, 1)
    ]
    when = stamp(one.at, zone)
    return element(
        "delivery", _purchase_head(one.purchase) if one.purchase else None, element("deliveryLines", *lines), id=one.id,
        type="purchase_order" if one.purchase else "other", state="completed", site=one.site,
        organisation=one.organisation, deliveryDate=when, created=when, completed=when,
    )  # fmt: skip


def _purchase_head(one: PurchaseOrder, *children: Element) -> Element:
    return element(
        "purchaseOrder", *children, id=one.id, externalReference=one.reference, state=one.state,
        organisation=one.organisation, site=one.site, supplierReference=one.supplier_reference,
        manuallyCompleted=one.manually,
    )  # fmt: skip


def _purchase(one: PurchaseOrder) -> Element:
    lines = [
        element(
            "purchaseOrderLine", id=n, product=line.product.reference, quantity=line.quantity,
            outstanding=line.outstanding, externalReference=line.reference or None,
            state="created" if line.outstanding else "completed",
        )
        for n, line in enumerate(one.lines, 1)
    ]  # fmt: skip
    return _purchase_head(one, element("purchaseOrderLines", *lines))
