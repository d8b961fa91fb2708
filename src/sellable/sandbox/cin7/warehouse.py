"""The staff who pick, pack and ship authorised sales. Rule: they do only what the API could do, a while later."""

from typing import Any

import msgspec

from sellable.sandbox.cin7 import fulfilment
from sellable.sandbox.cin7.state import Fulfilment, Packed, Parcel, Sale, World

RETRY_SECONDS = 60.0


class Habits(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How the staff work: delays in simulated seconds, how often they split, and where (no locations = everywhere)."""

    auto: bool = False
    pick_after_seconds: float = 600.0
    ship_after_seconds: float = 600.0
    split_rate: float = 0.0
    carrier: str = ""
    locations: list[str] = msgspec.field(default_factory=list)


class Warehouse:
    """Works on each sale that has something allocated: pick after a delay, then pack and ship after another."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.habits = Habits()
        self._on_it: set[str] = set()
        self._parcels = 0
        world.on_event.append(self._hear)

    def instruct(self, changes: dict[str, Any]) -> None:
        """Change the habits; sales already waiting are taken up. Raises msgspec.ValidationError on unknown words."""
        self.habits = msgspec.convert({**msgspec.to_builtins(self.habits), **changes}, Habits)
        for sale in list(self._world.sales.values()):
            self._take_up(sale)

    def _hear(self, event: str, sale: Sale, facts: dict[str, Any]) -> None:
        if event == "allocated":
            self._take_up(sale)

    def _take_up(self, sale: Sale, *, wait: float | None = None) -> None:
        places = self.habits.locations
        if not self.habits.auto or sale.id in self._on_it or (places and sale.location.name not in places):
            return
        if self._works(sale) and any(line.allocated for line in sale.lines):
            self._on_it.add(sale.id)
            seconds = self.habits.pick_after_seconds if wait is None else wait
            self._world.agenda.after(seconds, lambda: self._pick(sale))

    def _works(self, sale: Sale) -> bool:
        return sale.order_status == "AUTHORISED" and not sale.voided

    def _pick(self, sale: Sale) -> None:
        """Pick what is allocated and there; a backordered sale waits for the rest, unless the die says to split."""
        self._on_it.discard(sale.id)
        world = self._world
        if not self._works(sale) or not self.habits.auto:
            return
        goods = fulfilment.pickable(world, sale)
        split = world.dice.random() < self.habits.split_rate
        if not goods or (sale.backordered and not split):
            if goods or not sale.backordered:
                self._take_up(sale, wait=max(self.habits.pick_after_seconds, RETRY_SECONDS))
            return
        if split and world.dice.random() < 0.5:
            goods = _first_half(goods)
        task = next((f for f in sale.fulfilments if f.pick_status in fulfilment.OPEN), None)
        task = task or fulfilment.open_task(world, sale)
        fulfilment.authorise_pick(world, sale, task, goods)
        world.touch(sale)
        self._on_it.add(sale.id)
        seconds = self.habits.ship_after_seconds
        world.agenda.after(seconds, lambda: self._ship(sale, task, 2 if split else 1))
        world.settle()

    def _ship(self, sale: Sale, task: Fulfilment, boxes: int) -> None:
        """Pack, then send the first parcel; a second one follows after the same delay."""
        self._on_it.discard(sale.id)
        world = self._world
        if not self._works(sale) or task not in sale.fulfilments or task.ship_status == "AUTHORISED":
            self._take_up(sale)  # it may have been undone and authorised anew meanwhile
            return
        if task.pack_status in fulfilment.OPEN:
            fulfilment.authorise_pack(world, sale, task, fulfilment.boxed(task, boxes))
        gone = {box for parcel in task.parcels for box in parcel.boxes}
        waiting = [one.box for one in task.packed if one.box not in gone]
        fulfilment.authorise_ship(world, sale, task, [self._parcel(waiting[0])])
        world.touch(sale)
        if len(set(waiting)) > 1:
            self._on_it.add(sale.id)
            world.agenda.after(self.habits.ship_after_seconds, lambda: self._ship(sale, task, boxes))
        else:
            self._take_up(sale)
        world.settle()

    def _parcel(self, box: str) -> Parcel:
        self._parcels += 1
        world, tracking = self._world, f"TRACK{self._parcels:07d}"
        return Parcel(world.book.new_id(), world.clock.time(), self.habits.carrier, [box], tracking, True)


def _first_half(goods: list[Packed]) -> list[Packed]:
    """Part of a pick: half of the lines, or half of the units of a single line, at least one."""
    if len(goods) > 1:
        return goods[: len(goods) // 2]
    units = goods[0].quantity // 2
    return [Packed(goods[0].line, units)] if units else goods
