"""The world outside: what staff, suppliers and customers do. Rule: it obeys physics, not the API's rules."""

from collections.abc import Callable
from typing import Any

from sellable.sandbox.orderflow import allocation, orders, purchasing, returns, stocktasks
from sellable.sandbox.orderflow.pushes import Pushes
from sellable.sandbox.orderflow.state import Order, Return, ReturnLine, Shipment, World
from sellable.sandbox.orderflow.stock import KINDS, Level
from sellable.sandbox.orderflow.switches import SHIPMENT
from sellable.sandbox.orderflow.warehouse import Warehouse

Facts = dict[str, Any]


class Outside:
    """One method per word of POST /_sandbox/act. `site` may be left out: the first one is meant."""

    def __init__(self, world: World, warehouse: Warehouse, pushes: Pushes) -> None:
        self._world, self._warehouse, self._pushes = world, warehouse, pushes
        self._words: dict[str, Callable[[Facts], Any]] = {
            "adjust": self._adjust,
            "count": self._count,
            "sell_at_counter": self._sell,
            "move": self._move,
            "receive": self._receive,
            "close_purchase": self._close_purchase,
            "book_return": self._book_return,
            "cancel_order": self._cancel_order,
            "cancel_line": self._cancel_line,
            "short_pick": self._short_pick,
            "validate": self._validate,
            "advance": self._advance,
            "product": self._product,
            "warehouse": warehouse.instruct,
            "switch": self._switch,
            "receivers": pushes.address,
            "push_inventory": lambda facts: pushes.all_inventory(),
        }

    def act(self, action: Facts) -> Any:
        """Do {word: facts}; several words are done in order. Raises ValueError on unknown words or impossible deeds."""
        if not action or action.keys() - self._words.keys():
            raise ValueError(f"known actions: {', '.join(sorted(self._words))}")
        results = []
        for word, facts in action.items():
            results.append(self._words[word](facts))
            self._world.settle()
        return results[0] if len(results) == 1 else results

    def _site(self, facts: Facts) -> str:
        return self._world.book.site(facts.get("site") or self._world.book.sites[0])

    def _level(self, facts: Facts) -> Level:
        product = self._world.book.known(facts["sku"], facts.get("organisation"))
        return self._world.stock.level(product, self._site(facts))

    def _kind(self, word: str) -> str:
        if word not in KINDS:
            raise ValueError(f"known kinds of location: {', '.join(KINDS)}")
        if word not in ("good", "frozen", *self._world.switches.location_types):
            raise ValueError(f"this tenant has no {word} locations")
        return word

    def _adjust(self, facts: Facts) -> Facts:
        """{sku, delta, kind?, site?, note?}: so many more or fewer; what is not in reach cannot be missing."""
        level, kind = self._level(facts), self._kind(facts.get("kind", "good"))
        there = level.in_reach if kind == "good" else level.units[kind]
        delta = max(_whole(facts["delta"]), -there)
        if delta:
            said = {"note": str(facts.get("note", "")), "user": str(facts.get("user", "staff"))}
            stocktasks.shift(self._world, level, delta, facts.get("word", "adjusted"), kind=kind, **said)
        return {"delta": delta}

    def _count(self, facts: Facts) -> Facts:
        """{sku, found, kind?, site?}: somebody counted; picked units are not on the shelf and not counted."""
        level, kind = self._level(facts), self._kind(facts.get("kind", "good"))
        there = level.in_reach if kind == "good" else level.units[kind]
        return self._adjust(facts | {"delta": max(0, _whole(facts["found"])) - there, "word": "counted"})

    def _sell(self, facts: Facts) -> Facts:
        """{sku, quantity, site?}: carried away at a counter, promised to an order or not."""
        done = self._adjust(facts | {"delta": -_amount(facts["quantity"]), "word": "counter_sale", "kind": "good"})
        return {"quantity": -done["delta"]}

    def _move(self, facts: Facts) -> Facts:
        """{sku, quantity, from, to, site?, to_site?}: between kinds of location or sites; good is "good"."""
        origin, taken, given = self._level(facts), self._kind(facts["from"]), self._kind(facts["to"])
        target = self._level(facts | {"site": facts.get("to_site", origin.site)})
        there = origin.in_reach if taken == "good" else origin.units[taken]
        quantity = min(_amount(facts["quantity"]), there)
        if quantity:
            stocktasks.shift(self._world, origin, -quantity, "moved", kind=taken)
            stocktasks.shift(self._world, target, quantity, "moved", kind=given)
        return {"quantity": quantity}

    def _receive(self, facts: Facts) -> Facts:
        """{lines: [{sku, quantity, kind?}], purchase_order?, site?, organisation?}: a lorry."""
        world, purchase = self._world, None
        if facts.get("purchase_order"):
            purchase = self._purchase(facts)
        site = purchase.site if purchase and not facts.get("site") else self._site(facts)
        owner = purchase.organisation if purchase else facts.get("organisation")
        lines = [
            (world.book.known(row["sku"], owner), _amount(row["quantity"]), self._kind(row.get("kind", "good")))
            for row in facts["lines"]
        ]
        if not lines:
            raise ValueError("a delivery needs lines")
        return {"delivery": purchasing.receive(world, site, lines, purchase).id}

    def _purchase(self, facts: Facts) -> Any:
        found = [one for one in self._world.purchases if one.reference == facts["purchase_order"]]
        if not found or found[0].completed is not None:
            raise ValueError(f"no open purchase order {facts['purchase_order']!r}")
        return found[0]

    def _close_purchase(self, facts: Facts) -> None:
        """{purchase_order}: the rest will never come."""
        purchasing.finish(self._world, self._purchase(facts), manually=True)

    def _book_return(self, facts: Facts) -> Facts:
        """{lines: [{sku, quantity, reason, condition, note?}], order?, authorisation?, type?, note?, site?}

        An announced return of that authorisation (or order) that did not come yet is the one; else it is a new one.
        """
        world = self._world
        made = self._announced(facts) or self._unannounced(facts)
        rows = facts["lines"] if facts["lines"] else _raise("a return needs lines")
        lines = [
            ReturnLine(
                world.book.known(row["sku"], made.organisation),
                _amount(row["quantity"]),
                _one_of(row.get("reason", world.switches.reasons[0]), world.switches.reasons),
                _one_of(row["condition"], list(world.switches.conditions)),
                row.get("note", ""),
            )
            for row in rows
        ]
        if made not in world.returns:
            world.returns.append(made)
        returns.book(world, made, lines)
        return {"return": made.id}

    def _announced(self, facts: Facts) -> Return | None:
        for one in self._world.returns:
            if one.completed is None and (
                (facts.get("authorisation") and one.authorisation == facts["authorisation"])
                or (facts.get("order") and one.order_reference == facts["order"])
            ):
                return one
        return None

    def _unannounced(self, facts: Facts) -> Return:
        world = self._world
        organisation, order = world.book.organisation(facts.get("organisation")), facts.get("order", "")
        return Return(
            world.next_id(), organisation, "", order, facts.get("authorisation", ""), False,
            facts.get("type", "unknown"), facts.get("note", ""), self._site(facts),
            returns.channel_of(world, organisation, order),
        )  # fmt: skip

    def _order(self, facts: Facts) -> Order:
        """By reference, and by channel where two have the same."""
        found = [
            order
            for order in self._world.orders
            if order.reference == facts["order"] and facts.get("channel") in (None, order.channel.reference)
        ]
        if len(found) != 1:
            raise ValueError(f"{len(found)} orders {facts['order']!r}")
        return found[0]

    def _cancel_order(self, facts: Facts) -> None:
        """{order}: staff cancel what has not left, packed or not."""
        order = self._order(facts)
        if not any(shipment.open for shipment in order.shipments):
            raise ValueError(f"order {order.reference} is {order.state}")
        orders.cancel_order(self._world, order, by=facts.get("user", "staff"))

    def _cancel_line(self, facts: Facts) -> Facts:
        """{order, sku or line, quantity?}: units that are still in the house; all of them by default."""
        order = self._order(facts)
        lines = [one for one in order.lines if facts.get("line", one.number) == one.number]
        lines = [one for one in lines if facts.get("sku", one.product.reference) == one.product.reference]
        if len(lines) != 1:
            raise ValueError(f"{len(lines)} such lines in order {order.reference}")
        quantity = _amount(facts["quantity"]) if "quantity" in facts else None
        return {"quantity": orders.cancel_line(self._world, order, lines[0], quantity, facts.get("user", "staff"))}

    def _shipment(self, facts: Facts) -> Shipment:
        order = self._order(facts)
        if "shipment" in facts:
            found = [one for one in order.shipments if one.reference == facts["shipment"]]
        else:
            found = [one for one in order.shipments if one.open]
        if not found:
            raise ValueError(f"order {order.reference} has no such open shipment")
        return found[0]

    def _short_pick(self, facts: Facts) -> None:
        """{order, sku, found, shipment?}: whoever picks it will find no more than that."""
        shipment = self._shipment(facts)
        parts = [part for part in shipment.parts if part.line.product.reference == facts["sku"]]
        if not parts or not shipment.before("packable"):
            raise ValueError(f"no {facts['sku']} to be picked in {shipment.reference}")
        parts[0].findable = max(0, _whole(facts["found"]))

    def _validate(self, facts: Facts) -> None:
        """{order}: somebody looked at an order that came in unvalidated."""
        order = self._order(facts)
        order.validated = True
        allocation.begin(self._world, order)

    def _advance(self, facts: Facts) -> Facts:
        """{order, shipment?, to?}: by hand, one step or until a state; a short pick ends it early."""
        shipment, target = self._shipment(facts), facts.get("to")
        if target is not None and target not in SHIPMENT[1:6]:
            raise ValueError(f"known states: {', '.join(SHIPMENT[1:6])}")
        while shipment.open and (target is None or shipment.before(target)):
            before = shipment.state
            self._warehouse.step(shipment)
            if target is None or shipment.before(before) or shipment.state == before:
                break
        return {"shipment": shipment.reference, "state": shipment.state}

    def _product(self, facts: Facts) -> None:
        """{sku, type?, active?}: catalogue work."""
        product = self._world.book.known(facts["sku"], facts.get("organisation"))
        product.type, product.active = facts.get("type", product.type), facts.get("active", product.active)

    def _switch(self, changes: Facts) -> None:
        """Change switches."""
        self._world.switches = self._world.switches.turned(changes)
        self._pushes.schedule()


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"a quantity is a whole number, not {value!r}")
    return value


def _amount(value: Any) -> int:
    found = _whole(value)
    return found if found > 0 else _raise(f"a quantity is above 0, not {found}")


def _one_of(word: str, known: list[str]) -> str:
    return word if word in known else _raise(f"{word!r} is none of {', '.join(known)}")


def _raise(sentence: str) -> Any:
    raise ValueError(sentence)
