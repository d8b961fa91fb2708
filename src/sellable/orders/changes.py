"""Changes of an order that move no goods: address, shipping method, payment. Each is said of the version that made it.

The sale's header is written as the order says it at its newest version, by one operation after another in the order's
lane, so that what was meant last is what stays. One rule: nothing of a sale is changed once it is picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.book import book
from sellable.connectors.port import OrderTarget, Refused, SaleDraft
from sellable.domain.orders import Order
from sellable.domain.states import Machine, may
from sellable.orders import evidence, lines, rules
from sellable.orders.context import Context, shadowed
from sellable.runtime.database import Store, Tx
from sellable.runtime.operations import Done, Operation, Outcome, Rejected

HEADER = ("shipping_address", "billing_address", "shipping_method", "customer_email")


def heard(tx: Tx, before: Order, order: Order, parts: Sequence[Any], now: datetime, context: Context) -> None:
    """Takes a newer version's address, shipping method and payment; owes the headers of the sales that carry them."""
    if before.payment_state != order.payment_state:
        book.tell(
            tx, order.order_id, "payment changed", now, before=before.payment_state, after=order.payment_state,
            version=order.version,
        )  # fmt: skip
    changed = [name for name in HEADER if getattr(before, name) != getattr(order, name)]
    if not changed or not parts:
        return
    book.tell(tx, order.order_id, "address or shipping changed", now, fields=changed, version=order.version)
    for part in (part for part in parts if part.state not in lines.ENDED):
        draft = _with(msgspec.convert(part.draft, SaleDraft), order, context)
        if _routed(tx, part, context):
            draft = msgspec.structs.replace(draft, carrier=part.draft["carrier"])
        tx.run(book.sql.redraft, order_id=order.order_id, part=part.part, draft=book.text(draft))
        payload: dict[str, Any] = {"part": part.part, "version": order.version, "fields": changed}
        if part.target in rules.ONE_CALL:
            # Nothing there is changed: it is cancelled and imported anew, with the units it has.
            if part.state == "authorised":
                evidence.revoke(tx, part, f"another address of {order.label}", now)
                tx.run(book.sql.set_part_state, order_id=order.order_id, part=part.part, state="voiding")
            payload |= {"units": {}, "header": True}
            context.owe(tx, order.order_id, part.target, "sale.reduce", payload, now)
        else:
            context.owe(tx, order.order_id, part.target, "sale.header", payload, now)


def _routed(tx: Tx, part: Any, context: Context) -> bool:
    """Whether a route says how the part leaves, whatever the shipping method."""
    names = {line.rule for line in tx.all(book.sql.part_lines, order_id=part.order_id, part=part.part)}
    return any(rule.name in names and (rule.carrier or rule.service) for rule in context.settings.routes)


def _with(draft: SaleDraft, order: Order, context: Context) -> SaleDraft:
    carriers = context.settings.carriers
    return msgspec.structs.replace(
        draft,
        email=order.customer_email or draft.email,
        shipping_address=order.shipping_address,
        billing_address=order.billing_address,
        # A method that maps to no carrier keeps the old one; the case says which.
        carrier=carriers.get(order.shipping_method, draft.carrier),
    )


def check(tx: Tx, before: Order, order: Order, now: datetime, context: Context) -> None:
    """Notes what at the storefront became what it cannot become; a cancelled order that lives again is a case, for its
    units were let go.
    """
    for machine, old, new in (
        (Machine.ORDER, before.state.value, order.state.value),
        (Machine.SHIPMENT, before.shipment_state, order.shipment_state),
        (Machine.PAYMENT, before.payment_state, order.payment_state),
    ):
        if new is None or may(machine, old, new):
            continue
        versions = {"version": order.version, "version before": before.version}
        book.tell(
            tx, order.order_id, "illegal change of state", now, machine=machine.value, before=old, after=new, **versions
        )
        if machine is Machine.ORDER:
            context.open_case(
                tx, "status_conflict", f"order:{order.order_id}", now, expected={machine.value: old},
                actual={machine.value: new, **versions}, evidence=[f"order:{order.order_id}"],
            )  # fmt: skip


class Changing:
    """Writes the header of a part's sale."""

    def __init__(self, store: Store, target: OrderTarget, context: Context) -> None:
        self._store = store
        self._target = target
        self._context = context

    async def send(self, op: Operation) -> Outcome:
        """Reads the sale and writes its header unless somebody works on it; repeating it does no harm."""
        if await self._store.read(shadowed, op.payload["order_id"], self._context):
            return Done({"shadow": True})
        part = await self._store.read(book.read_part, op.payload["order_id"], op.payload["part"])
        if part is None or part.sale_id is None or part.state in lines.ENDED:
            return Done({"nothing": True})
        sale = await self._target.read_sale(part.sale_id, lane="orders")
        if sale.shipments or sale.picked or sale.status == "voided":
            found = "shipped" if sale.shipments else "picked" if sale.picked else sale.status
            return Done({"too_late": True, "sale": found})
        try:
            await self._target.put_header(part.sale_id, msgspec.convert(part.draft, SaleDraft), lane="orders")
        except Refused as refusal:
            return Rejected(str(refusal), {"code": refusal.code, **refusal.detail})
        return Done({})

    def settled(self, tx: Tx, op: Operation, outcome: Outcome, now: datetime) -> None:
        """The sale says what the order says, or a case says that it is too late, with both versions."""
        order_id, version = op.payload["order_id"], op.payload["version"]
        head = book.lock(tx, order_id)
        part = tx.one(book.sql.part, order_id=order_id, part=op.payload["part"])
        if head is None or part is None:
            return
        late = outcome.result if isinstance(outcome, Done) and outcome.result.get("too_late") else None
        if isinstance(outcome, Rejected) or late:
            cause = {"cause": outcome.cause, **outcome.detail} if isinstance(outcome, Rejected) else late or {}
            self._context.open_case(
                tx, "change_too_late", f"order:{order_id}", now,
                expected={"changed": op.payload["fields"], "in version": version},
                actual={**cause, "newest version": head.version}, evidence=[f"sale:{part.sale_id}"],
            )  # fmt: skip
            book.tell(tx, order_id, "change came too late", now, part=part.part, version=version)
        elif isinstance(outcome, Done) and not outcome.result.get("nothing"):
            who = "left to others" if outcome.result.get("shadow") else "back office told"
            book.tell(tx, order_id, f"{who}: {op.kind}", now, part=part.part, version=version)
            if not outcome.result.get("shadow"):
                findings = rules.carrier_findings(book.order_of(head), self._context.settings)
                self._context.open_findings(tx, findings, order_id, now)
