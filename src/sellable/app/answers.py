"""Answers to "why is this number what it is" and "what happened to this order", from the facts alone."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import msgspec

from sellable.app.layout import layout_of
from sellable.app.wiring import stale
from sellable.book import book
from sellable.config.settings import Settings
from sellable.connectors.commercetools import translate
from sellable.domain.orders import Order
from sellable.orders import capture, routing, rules
from sellable.runtime import calls, operations
from sellable.runtime.database import ReadTx
from sellable.runtime.queries import queries
from sellable.stock import adjustments, catalogue, entries, numbers

sql = queries("sellable.app")
FACTS = 20
STEPS_MAX = 500
"""Calls and operations of one order beyond these are left out of its story."""


def explain(tx: ReadTx, settings: Settings, sku: str, channel: str | None, at: datetime | None, now: datetime) -> Any:
    """Every term of a SKU's number on each of its channels, now or at an instant of the past, with the facts behind.

    Returns a dict ready for JSON; `numbers` is empty when no entry of the SKU is known.
    """
    name = rules.at_master(settings).get(sku, sku)
    known = catalogue.known(tx, [name])
    found = _past(tx, settings, sku, at) if at else _present(tx, settings, sku, now)
    moment = at or now
    shown = [n for n in found if channel in (None, n["channel"])]
    recipe = numbers.recipes_of(tx, [sku]).get(sku, {})
    return {
        "sku": sku,
        "at": moment.isoformat(),
        "at_master": name,
        "known_to_master": name in known.exact,
        "twins": list(known.twins.get(name, ())),
        "recipe": recipe,
        "numbers": shown,
        "facts": {name: _facts(tx, name, moment) for name in [sku, *sorted(recipe)]},
        "entry_facts": {
            n["channel"]: _rows(
                tx.all(entries.sql.entry_facts_of, sku=sku, channel=n["channel"], at=moment, limit=FACTS)
            )
            for n in shown
        },
        "adjustments": {
            n["channel"]: _rows(adjustments.of(tx, sku, n["channel"], moment, FACTS))
            for n in shown
            if n["explanation"].get("counted")
        },
    }


def _present(tx: ReadTx, settings: Settings, sku: str, now: datetime) -> list[dict[str, Any]]:
    layout = layout_of(settings)
    return [
        {
            "channel": n.channel,
            "mode": layout.channels[n.channel].mode,
            "explanation": msgspec.to_builtins(n.explanation),
            "e": n.e,
            "d": n.d,
            "last_seen": {"quantity": n.entry.q, "at": n.entry.q_at.isoformat(), "version": n.entry.version},
            "told_to_show": n.entry.last_t,
            "raise_waits_for": n.entry.parked,
            "since": None,
        }
        for n in numbers.compute(tx, [sku], layout, now, stale=stale(settings, tx, now))
    ]


def _past(tx: ReadTx, settings: Settings, sku: str, at: datetime) -> list[dict[str, Any]]:
    found = []
    for channel in settings.channels:
        row = numbers.past(tx, sku, channel.key, at)
        if row is not None:
            since, terms = row
            found.append({"channel": channel.key, **terms, "since": since.isoformat()})
    return found


def _facts(tx: ReadTx, sku: str, at: datetime) -> dict[str, Any]:
    return {
        "observations": _rows(tx.all(entries.sql.observations_of, sku=sku, at=at, limit=FACTS)),
        "demand": _rows(tx.all(entries.sql.demand_events_of, sku=sku, at=at, limit=FACTS)),
        "movements": _rows(tx.all(entries.sql.movements_of, sku=sku, at=at, limit=FACTS)),
        "balances": _rows(tx.all(entries.sql.balances_of, sku=sku)),
    }


def routes(tx: ReadTx, settings: Settings, order: Order, now: datetime) -> dict[str, Any]:
    """Which rule takes each line of an order by the settings and numbers of now, why the earlier ones do not, and what
    would ship from where; beside it where the order went, if the book has sourced it.
    """
    kits = numbers.recipes_of(tx, sorted({line.sku for line in order.lines if line.sku}))
    goods = rules.goods(order, kits)
    stock = capture.stock_by_location(tx, order.order_id, goods, kits, now)
    routed = routing.route(order, goods, settings, stock, kits)
    lost = routing.unrouted(order, routed)
    places = {} if lost else routing.split(goods, routed, stock, kits)
    went: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for part in tx.all(book.sql.read_parts, order_id=order.order_id):
        told = {"part": part.part, "target": part.target, "location": part.location}
        for line in tx.all(book.sql.part_lines, order_id=order.order_id, part=part.part):
            went[line.line_id].append({**told, "units": line.units, "rule": line.rule})
    lines = [
        {**msgspec.to_builtins(line), "ships": places.get(line.line_id, []), "went": went[line.line_id]}
        for line in routed
    ]
    return {
        "order_id": order.order_id, "number": order.number, "rules": [rule.name for rule in settings.routes],
        "held": bool(lost), "lines": lines,
    }  # fmt: skip


def order_in(body: bytes, settings: Settings) -> Order:
    """An order document of the storefront out of a file. Supply channels are known by the key that stands beside their
    id, as in an expanded reference. Raises ValueError when it is no order.
    """
    document = msgspec.json.decode(body, type=dict[str, Any])
    channels = {}
    for line in document.get("lineItems", ()):
        supply = line.get("supplyChannel") or {}
        if key := supply.get("key") or (supply.get("obj") or {}).get("key"):
            supply["id"] = key
            channels[key] = key
    words = translate.Words(attributes=settings.commercetools.line_attributes)
    return translate.order(msgspec.json.encode(document), channels, words=words)


def order_story(tx: ReadTx, key: str) -> list[dict[str, Any]]:
    """Every order of this id or number with its lines, parts, shipments, operations and story; empty when unknown."""
    return [_story(tx, row) for row in tx.all(book.sql.find_orders, key=key)]


def _story(tx: ReadTx, row: Any) -> dict[str, Any]:
    parts = [
        {
            "part": p.part, "target": p.target, "location": p.location, "state": p.state, "ref": p.ref,
            "sale_id": p.sale_id, "sale_number": p.sale_number, "currency_rate": p.draft.get("currency_rate"),
            "expected": p.expected, "actual": p.actual, "told": p.told,
            "lines": _rows(tx.all(book.sql.part_lines, order_id=row.order_id, part=p.part)),
        }
        for p in tx.all(book.sql.read_parts, order_id=row.order_id)
    ]  # fmt: skip
    owed = operations.of_order(tx, f"order:{row.order_id}", STEPS_MAX)
    shared = (op.result["with"] for op in owed if op.result and "with" in op.result)
    made = calls.calls_of(tx, [row.order_id, *dict.fromkeys([*(op.id for op in owed), *shared])], STEPS_MAX)
    return {
        "order_id": row.order_id,
        "number": row.number,
        "stage": row.stage,
        "stage_since": row.stage_since.isoformat(),
        "waits_for": row.hold_cause,
        "placed_at": row.placed_at.isoformat(),
        "captured_at": row.captured_at.isoformat(),
        "version": row.version,
        "state": row.state,
        "currency": row.currency,
        "digits": row.digits,
        "total": row.total,
        "lines": _rows(tx.all(book.sql.lines_of, order_id=row.order_id)),
        "parts": parts,
        "shipments": _rows(tx.all(book.sql.shipments_of, order_id=row.order_id)),
        "returns": _rows(tx.all(book.sql.read_pieces, order_id=row.order_id)),
        "returns_at_storefront": _rows(tx.all(book.sql.notes_of, order_id=row.order_id)),
        "returns_announced": _rows(tx.all(book.sql.announcements_of, order_id=row.order_id)),
        "operations": _operations(owed),
        "calls": [{**call, "seconds": round(call["seconds"], 3)} for call in _rows(made)],
        "cases": _rows(tx.all(sql.cases_of_order, subject=f"order:{row.order_id}")),
        "story": _rows(tx.all(book.sql.events_of, order_id=row.order_id)),
        "units": _rows(tx.all(entries.sql.demand_events_of_order, order_id=row.order_id)),
    }


def _operations(owed: list[Any]) -> list[dict[str, Any]]:
    """All that was owed for an order, settled or not; what it carried is left out, since that may be personal."""
    names = ("id", "system", "kind", "state", "sends", "attempts", "cause", "created_at", "settled_at", "due_at")
    return [{name: row[name] for name in names} for row in _rows(owed)]


def _rows(rows: list[Any]) -> list[dict[str, Any]]:
    return [{k: (v.isoformat() if isinstance(v, datetime) else v) for k, v in row._asdict().items()} for row in rows]
