"""Writing and asking the order book. One rule: an order moves by its version, never back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.domain.orders import Order, Shipment
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries

sql = queries("sellable.book")


def text(value: object) -> str:
    """A value as JSON text for a jsonb column."""
    return msgspec.json.encode(value).decode()


def order_of(row: Any) -> Order:
    """The order document a row of the book holds."""
    return msgspec.convert(row.document, Order)


def lock(tx: Tx, order_id: str) -> Any | None:
    """The order's row, locked until commit; None when the book has not heard of it."""
    return tx.one(sql.lock_order, order_id=order_id)


def part_of(tx: Tx, order_id: str, number: int) -> Any:
    """One part, locked, with the lines `beside` it. Raises LookupError when the book has no such part."""
    row = tx.one(sql.part, order_id=order_id, part=number)
    if row is None:
        raise LookupError(f"order {order_id} has no part {number}")
    return row


def read_order(tx: ReadTx, order_id: str) -> Order:
    """An order of the book, not locked. Raises LookupError when the book has not heard of it."""
    row = next((row for row in tx.all(sql.find_orders, key=order_id) if row.order_id == order_id), None)
    if row is None:
        raise LookupError(f"no order {order_id}")
    return order_of(row)


def read_part(tx: ReadTx, order_id: str, number: int) -> Any | None:
    """One part, not locked; None when the book has no such part."""
    return next((part for part in tx.all(sql.read_parts, order_id=order_id) if part.part == number), None)


def add(tx: Tx, order: Order, stage: str, now: datetime) -> bool:
    """Writes a new order with its lines; False when it was there already."""
    seq = tx.value(
        sql.insert_order,
        order_id=order.order_id,
        number=order.number,
        version=order.version,
        state=order.state.value,
        stage=stage,
        placed_at=order.placed_at,
        modified_at=order.modified_at,
        store=order.store or "",
        country=order.country or "",
        currency=order.currency,
        digits=order.digits,
        total=order.total,
        cart_id=order.cart_id,
        document=text(order),
        at=now,
    )
    if seq is None:
        return False
    goods = [line for line in order.lines if line.sku]
    tx.run(
        sql.insert_lines,
        order_id=order.order_id,
        line_id=[line.line_id for line in goods],
        sku=[line.sku for line in goods],
        channel=[line.channel or "" for line in goods],
        mode=[line.mode.value for line in goods],
        units=[line.quantity for line in goods],
    )
    return True


def renew(tx: Tx, order: Order) -> bool:
    """Takes a newer version; False when the book has this one or a newer."""
    return (
        tx.run(
            sql.update_order,
            order_id=order.order_id,
            number=order.number,
            version=order.version,
            state=order.state.value,
            modified_at=order.modified_at,
            document=text(order),
        )
        > 0
    )


def stage(tx: Tx, order_id: str, name: str, now: datetime, cause: str = "") -> None:
    """Moves an order to a stage of its life, with the reason where it must wait."""
    tx.run(sql.set_stage, order_id=order_id, stage=name, cause=cause, at=now)


def tell(tx: Tx, order_id: str, what: str, now: datetime, **detail: object) -> None:
    """Adds one step to the order's story."""
    tx.gather(_write_story, (order_id, now, what, text(detail)))


def _write_story(tx: Tx, steps: list[tuple[str, datetime, str, str]]) -> None:
    orders, moments, whats, details = (list(column) for column in zip(*steps, strict=True))
    tx.run(sql.add_events, order_id=orders, at=moments, what=whats, detail=details)


def newer_than_known(tx: ReadTx, versions: Mapping[str, int]) -> list[str]:
    """Ids whose version the book has not seen, neither from the storefront nor from our own write-backs."""
    ids = sorted(versions)
    return [r.order_id for r in tx.all(sql.stale_orders, order_id=ids, version=[versions[i] for i in ids])]


def unverified(
    tx: ReadTx, pairs: Sequence[tuple[str, str]], after: int
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(order id, location) -> (back office, sale id) of parts not seen to hold their units since causal `after`."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in tx.all(
        sql.unverified, order_id=[o for o, _ in pairs], location=[x for _, x in pairs], after=after
    ):  # fmt: skip
        found.setdefault((row.order_id, row.location), []).append((row.target, row.sale_id))
    return found


def sales_of(tx: ReadTx, pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Sale ids of these (order id, location) parts, by the back office they are at."""
    found: dict[str, list[str]] = {}
    for row in tx.all(sql.sales_of_pairs, order_id=[o for o, _ in pairs], location=[x for _, x in pairs]):
        found.setdefault(row.target, []).append(row.sale_id)
    return found


def allocation_news(tx: Tx, order_id: str, part: int) -> int:
    """Whatever was known of what a part's sale holds is out of date from the returned causal number on."""
    return int(tx.value(sql.allocation_news, order_id=order_id, part=part))


def add_shipment(
    tx: Tx, order_id: str, part: int, root: str, shipment: Shipment, items: Sequence[tuple[str, int]], now: datetime
) -> bool:
    """Notes a piece of shipment `root`, `items` being (line id, units); False when its id is taken by another."""
    return bool(
        tx.run(
            sql.insert_shipment,
            shipment_id=shipment.shipment_id,
            order_id=order_id,
            part=part,
            root=root,
            document=text(shipment),
            items=text(list(items)),
            at=now,
        )
    )


def lines_that_differ(tx: ReadTx) -> list[Any]:
    """Lines with more shipped and cancelled than ordered (`over_shipped`), or more back than left (`over_returned`).

    Each is a fact that a case explains; where none does, something was lost or counted twice.
    """
    return list(tx.all(sql.lines_that_differ))
