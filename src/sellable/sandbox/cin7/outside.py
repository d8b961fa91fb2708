"""The world outside: what shops, trucks and staff do to the company. Rule: it obeys physics, not the API's rules."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sellable.sandbox.cin7 import billing, sales, stockdocs
from sellable.sandbox.cin7.state import World
from sellable.sandbox.cin7.stock import Level
from sellable.sandbox.cin7.warehouse import Warehouse
from sellable.sandbox.cin7.wire import Refused, plain

Facts = dict[str, Any]


class Outside:
    """One method per word of POST /_sandbox/act."""

    def __init__(self, world: World, warehouse: Warehouse) -> None:
        self._world, self._warehouse = world, warehouse
        self._words: dict[str, Callable[[Facts], Any]] = {
            "sell_at_counter": self._sell,
            "adjust": self._adjust,
            "receive": self._receive,
            "return": lambda facts: self._put(facts, "return", facts["quantity"]),
            "write_off": lambda facts: self._remove(facts, "write_off"),
            "transfer": self._transfer,
            "on_order": self._on_order,
            "product": self._product,
            "warehouse": self._warehouse.instruct,
            "staff": self._staff,
            "switch": self._switch,
        }

    def act(self, action: Facts) -> Any:
        """Do {word: facts}; several words are done in order. Raises ValueError on unknown words or impossible deeds."""
        if not action or action.keys() - self._words.keys():
            raise ValueError(f"known actions: {', '.join(sorted(self._words))}")
        try:
            results = [self._words[word](facts) for word, facts in action.items()]
        except Refused as refused:
            raise ValueError(str(refused)) from refused
        self._world.settle()
        return results[0] if len(results) == 1 else results

    def _level(self, facts: Facts) -> tuple[Level, str]:
        product = self._world.book.known(facts["sku"])
        if product.bom or product.service:
            raise ValueError(f"{product.sku} has no stock of its own")
        location, bin_name = self._world.book.place(facts["location"], facts.get("bin"))
        return self._world.stock.level(product, location), bin_name

    def _remove(self, facts: Facts, word: str) -> Facts:
        """Take away what is there of what is asked for; picked goods are out of reach."""
        level, bin_name = self._level(facts)
        asked = _amount(facts["quantity"])
        there = level.bins.get(bin_name, Decimal(0)) if bin_name else level.in_hand
        quantity = max(Decimal(0), min(asked, there, level.in_hand))
        cause = {"cause": word, "asked": plain(asked), "reference": facts.get("reference")}
        if bin_name and quantity:
            self._world.stock.change(level, cause, on_hand=-quantity, bin_name=bin_name)
        elif quantity:
            self._world.stock.take(level, quantity, cause)
        return {"quantity": plain(quantity)}

    def _sell(self, facts: Facts) -> Facts:
        """A shop sale: a customer carries goods away, allocated or not."""
        return self._remove(facts, "counter_sale")

    def _put(self, facts: Facts, word: str, amount: Any) -> Facts:
        level, bin_name = self._level(facts)
        quantity = _amount(amount)
        cause = {"cause": word, "reference": facts.get("reference")}
        self._world.stock.change(level, cause, on_hand=quantity, bin_name=bin_name)
        return {"quantity": plain(quantity)}

    def _adjust(self, facts: Facts) -> Facts:
        """A count found more or less by `delta`; what is not there cannot be missing."""
        delta = _amount(facts["delta"])
        if delta >= 0:
            return self._put(facts, "adjust", facts["delta"])
        return self._remove(facts | {"quantity": -delta}, "adjust")

    def _receive(self, facts: Facts) -> Facts:
        """Goods from a supplier; what was on order shrinks by them."""
        level, _ = self._level(facts)
        level.on_order = max(Decimal(0), level.on_order - _amount(facts["quantity"]))
        return self._put(facts, "receive", facts["quantity"])

    def _on_order(self, facts: Facts) -> None:
        """{sku, location, quantity, eta?}: an open purchase."""
        level, _ = self._level(facts)
        level.on_order, level.next_delivery = _amount(facts["quantity"]), facts.get("eta")
        self._world.stock.announce(level)

    def _transfer(self, facts: Facts) -> Facts:
        """{sku, from, to, from_bin?, to_bin?, quantity, seconds?}: by truck for `seconds`, else at once."""
        world = self._world
        origin = world.book.place(facts["from"], facts.get("from_bin"))
        target = world.book.place(facts["to"], facts.get("to_bin"))
        rows = [(world.book.known(facts["sku"]), _amount(facts["quantity"]))]
        document = stockdocs.new_transfer(world, origin, target, rows, {"Reference": facts.get("reference")})
        seconds = float(facts.get("seconds", 0))
        stockdocs.move(world, document, "IN TRANSIT" if seconds else "COMPLETED")
        if seconds:
            world.agenda.after(seconds, lambda: stockdocs.move(world, document, "COMPLETED"))
        return {"task": document["TaskID"], "number": document["Number"]}

    def _product(self, facts: Facts) -> None:
        """{sku, rename?, deprecated?, price?, bom?}: catalogue work."""
        world = self._world
        product = world.book.known(facts["sku"])
        if "bom" in facts:
            world.book.set_bom(product, facts["bom"])
        product.deprecated = facts.get("deprecated", product.deprecated)
        product.price = Decimal(str(facts.get("price", product.price)))
        if facts.get("rename"):
            world.book.rename(product, facts["rename"])
            world.view.resort()
        product.modified = world.clock.time()
        world.journal.add("product", id=product.id, **facts)
        for listener in world.on_product:
            listener(product)
        for level in list(world.stock.levels.values()):
            if level.product is product or level.product.id in product.bom:
                world.stock.announce(level)

    def _staff(self, facts: Facts) -> Any:
        """{"void"|"undo"|"relocate"|"reduce"|"credit": sale id, ...}: a person in the back office.

        relocate: location; reduce: sku, to (the new quantity); credit: lines, restock as in billing.credit_by_staff.
        """
        world = self._world
        word = next((word for word in ("void", "undo", "relocate", "reduce", "credit") if word in facts), "")
        sale = world.sale(facts.get(word))
        match word:
            case "reduce":
                sales.reduce(world, sale, facts["sku"], _amount(facts["to"]))
            case "credit":
                return billing.credit_by_staff(world, sale, facts["lines"], facts.get("restock") or [])
            case "void":
                sales.void(world, sale, by="staff")
            case "undo":
                sales.undo(world, sale, by="staff")
            case "relocate":
                sales.relocate(world, sale, world.book.place(facts["location"])[0])
        return None

    def _switch(self, changes: Facts) -> None:
        """Change switches; the availability rows follow the new settings."""
        self._world.switches = self._world.switches.turned(changes)
        for level in list(self._world.stock.levels.values()) if "allocation_row" in changes else ():
            self._world.stock.announce(level)


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueError(f"quantity must be a whole number or a decimal text, not {value!r}")
    return Decimal(value)
