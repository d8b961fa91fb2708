"""Inventory entries: what is shown, and the counter behind it.

Rule: orders move the counter first, the entry follows late.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from sellable.sandbox.commercetools.custom import custom_fields, set_custom_field, set_custom_type
from sellable.sandbox.commercetools.errors import ApiError, duplicate, invalid_input, may, need
from sellable.sandbox.commercetools.project import Project
from sellable.sandbox.commercetools.store import KEY
from sellable.sandbox.commercetools.updates import Edit, check_version, update
from sellable.sandbox.commercetools.wire import Doc, instant, reference, stamp

MODES = ("None", "TrackOnly", "ReserveOnOrder", "ReserveOnCart")
Place = tuple[str, str | None]
_KEY = re.compile("[A-Za-z0-9_-]{2,256}")


@dataclass(slots=True)
class Counter:
    """The internal numbers of one entry, in units; `pending` and `shown_reserved` say how far the entry lags."""

    on_stock: int
    reserved: int = 0
    shown_reserved: int = 0
    pending: int = 0
    era: int = 0


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one order or cart line wants of one entry."""

    line_id: str
    sku: str
    channel_id: str | None
    mode: str
    quantity: int
    reservation_id: str | None = None


@dataclass(kw_only=True)
class Reservation:
    """A cart line's hold; state is Created, Updated, Released, Expired or Committed."""

    id: str
    entry_id: str
    cart_id: str
    quantity: int
    made: float
    state: str = "Created"

    @property
    def active(self) -> bool:
        return self.state in ("Created", "Updated")


class Inventory:
    """Stock of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.counters: dict[str, Counter] = {}
        self.reservations: dict[str, Reservation] = {}
        self.places: dict[Place, str] = {}
        self._effects: dict[str, list[tuple[str, int]]] = {}

    # --- the entry as a resource ---------------------------------------------------------------------------------

    def create(self, draft: Any) -> Doc:
        """POST /inventory; raises DuplicateField, MissingRoleOnChannel, InvalidJsonInput."""
        fields: Doc = {"sku": need(draft, "sku", str), "quantityOnStock": need(draft, "quantityOnStock", int)}
        if draft.get("key") is not None:
            self.check_key(draft["key"])
            fields["key"] = draft["key"]
        if draft.get("supplyChannel") is not None:
            fields["supplyChannel"] = self.supply(draft["supplyChannel"])
        for name in ("minCartQuantity", "maxCartQuantity", "restockableInDays", "reservationExpirationInMinutes"):
            if may(draft, name, int) is not None:
                fields[name] = draft[name]
        if may(draft, "expectedDelivery", str):
            fields["expectedDelivery"] = instant(draft["expectedDelivery"])
        if may(draft, "stockLevels", dict):
            fields["stockLevels"] = dict(draft["stockLevels"])
        if (custom := custom_fields(self.project, draft.get("custom"), "inventory-entry")) is not None:
            fields["custom"] = custom
        self.check_free(place(fields), None)
        fields["availableQuantity"] = fields["quantityOnStock"]
        doc = self.admit(fields)
        self.project.messages.emit("inventory-entry", doc, "InventoryEntryCreated", inventoryEntry=doc)
        self.record(doc, 0, doc["quantityOnStock"], None, doc["quantityOnStock"], "create")
        return doc

    def admit(self, fields: Doc) -> Doc:
        """Store a checked entry with its counter (also for bulk loading, which tells nobody)."""
        doc = self.project.create(self.project.inventory, fields)
        self.counters[doc["id"]] = Counter(doc["quantityOnStock"])
        self.places[place(doc)] = doc["id"]
        return doc

    def at(self, sku: str, channel_id: str | None) -> Doc | None:
        """The matching entry: sku and supply channel, without any fallback between channel and pool."""
        identity = self.places.get((sku, channel_id))
        return None if identity is None else self.project.inventory.docs[identity]

    def update(self, doc: Doc, body: Any) -> Doc:
        """POST /inventory/{id}."""
        # Actions replace nested values instead of editing them, so a shallow copy is independent.
        counter = self.counters[doc["id"]]
        edit = StockEdit(self.project, self.project.inventory, dict(doc), doc, inventory=self, counter=copy(counter))
        return update(edit, body, ACTIONS)

    def delete(self, doc: Doc, version: Any) -> Doc:
        """DELETE /inventory/{id}?version=."""
        check_version(doc, version)
        self.project.inventory.remove(doc["id"])
        counter = self.counters.pop(doc["id"])
        del self.places[place(doc)]
        channel = doc.get("supplyChannel")
        self.project.messages.emit(
            "inventory-entry", doc, "InventoryEntryDeleted", sku=doc["sku"], supplyChannel=channel
        )
        self.record(doc, counter.on_stock, 0, doc["quantityOnStock"], None, "delete")
        return doc

    # --- carts and orders ----------------------------------------------------------------------------------------

    def check(self, demands: Iterable[Demand]) -> None:
        """Refuse an order: raises OutOfStock with every line that cannot be had, and journals the refusal."""
        lacking: list[tuple[Demand, int | None]] = []
        taken: defaultdict[str, int] = defaultdict(int)
        for demand in demands:
            doc = self.at(demand.sku, demand.channel_id)
            if doc is None:
                lacking.append((demand, None))
                continue
            if demand.mode == "TrackOnly":
                continue
            wanted, available = demand.quantity - self._held(demand), self._available(doc) - taken[doc["id"]]
            if wanted > available and doc.get("restockableInDays") is None:
                lacking.append((demand, available))
            taken[doc["id"]] += wanted
        if lacking:
            raise self._out_of_stock(lacking)

    def commit(self, order_id: str, demands: Iterable[Demand]) -> None:
        """Take an accepted order's units from the counters; the entries show it after the lag."""
        effects = self._effects.setdefault(order_id, [])
        for demand in demands:
            doc = self.at(demand.sku, demand.channel_id)
            if doc is None:
                continue
            held = self._held(demand)
            if held:
                self.reservations[str(demand.reservation_id)].state = "Committed"
            self._take(doc["id"], demand.quantity, held, "order", order_id)
            effects.append((doc["id"], demand.quantity))

    def restock(self, order_id: str, cause: str) -> bool:
        """Give an order's units back (at most once); True when there was something to give."""
        effects = self._effects.pop(order_id, [])
        for entry_id, quantity in effects:
            if entry_id in self.counters:
                self._take(entry_id, -quantity, 0, cause, order_id)
        return bool(effects)

    def take_back(self, order_id: str, sku: str, channel_id: str | None, quantity: int) -> bool:
        """Give back units of one line that came back; never more than the order took from that entry."""
        doc = self.at(sku, channel_id)
        effects = self._effects.get(order_id, [])
        for number, (entry_id, taken) in enumerate(effects):
            if doc is not None and entry_id == doc["id"] and taken:
                back = min(quantity, taken)
                effects[number] = (entry_id, taken - back)
                self._take(entry_id, -back, 0, "return", order_id)
                return True
        return False

    def reserve(self, cart_id: str, demand: Demand) -> Reservation | None:
        """Hold a cart line's units, or change its hold; None when they cannot be had (a cart warning, no error)."""
        doc = self.at(demand.sku, demand.channel_id)
        if doc is None:
            return None
        old = self.reservations.get(demand.reservation_id or "")
        held = self._held(demand)
        if demand.quantity - held > self._available(doc) and doc.get("restockableInDays") is None:
            return None
        minutes = doc.get("reservationExpirationInMinutes") or self._minutes()
        self._hold(doc["id"], demand.quantity - held)
        on_stock, shown = self.counters[doc["id"]].on_stock, doc["quantityOnStock"]
        self.record(doc, on_stock, on_stock, shown, shown, "reserve", cart=cart_id, quantity=demand.quantity)
        if old is not None and held:
            old.quantity, old.state = demand.quantity, "Updated"
            return old
        made = Reservation(
            id=self.project.new_id(), entry_id=doc["id"], cart_id=cart_id, quantity=demand.quantity,
            made=self.project.now(),
        )  # fmt: skip
        self.reservations[made.id] = made
        if self.project.settings["inventory"].get("releaseExpiredReservations", True):
            late = self.project.draw(self.project.switches.reservation_expiry_late_seconds)
            self.project.after(minutes * 60.0 + late, lambda: self._end(made, "Expired"))
        return made

    def release(self, reservation_id: str | None) -> None:
        """End a hold because its line went away."""
        reservation = self.reservations.get(reservation_id or "")
        if reservation is not None:
            self._end(reservation, "Released")

    # --- inside --------------------------------------------------------------------------------------------------

    def _available(self, doc: Doc) -> int:
        counter = self.counters[doc["id"]]
        if self.project.switches.accept_on == "internal":
            return counter.on_stock - counter.reserved
        return int(doc["availableQuantity"])

    def _held(self, demand: Demand) -> int:
        reservation = self.reservations.get(demand.reservation_id or "")
        return reservation.quantity if reservation is not None and reservation.active else 0

    def _minutes(self) -> int:
        return int(self.project.settings["inventory"].get("reservationExpirationInMinutes", 240))

    def _hold(self, entry_id: str, quantity: int) -> None:
        """Reserve more (or less) at once; guess: holds show immediately, only order decrements lag."""
        counter = self.counters[entry_id]
        counter.reserved += quantity
        counter.shown_reserved += quantity
        self._show(entry_id, 0)

    def _end(self, reservation: Reservation, state: str) -> None:
        if not reservation.active or reservation.entry_id not in self.counters:
            return
        reservation.state = state
        self._hold(reservation.entry_id, -reservation.quantity)
        doc = self.project.inventory.docs[reservation.entry_id]
        on_stock = self.counters[doc["id"]].on_stock
        shown = doc["quantityOnStock"]
        cause = "expire" if state == "Expired" else "release"
        self.record(doc, on_stock, on_stock, shown, shown, cause, cart=reservation.cart_id)

    def _take(self, entry_id: str, quantity: int, held: int, cause: str, order_id: str) -> None:
        counter = self.counters[entry_id]
        old = counter.on_stock
        counter.on_stock -= quantity
        counter.reserved -= held
        counter.pending += quantity
        era = counter.era
        lag = self.project.draw(self.project.switches.order_lag_seconds)
        doc = self.project.inventory.docs[entry_id]
        shown, due = doc["quantityOnStock"], self.project.now() + lag
        self.record(doc, old, counter.on_stock, shown, None, cause, order=order_id, visible_at=due)
        self.project.after(lag, lambda: self._land(entry_id, quantity, held, era))

    def _land(self, entry_id: str, quantity: int, held: int, era: int) -> None:
        """A decrement reaches the entry, unless the entry is gone or a changeQuantity absorbed it."""
        counter = self.counters.get(entry_id)
        if counter is None:
            return
        if counter.era == era:
            counter.pending -= quantity
        else:
            quantity = 0
        counter.shown_reserved -= held
        if quantity or held:
            self._show(entry_id, quantity)

    def _show(self, entry_id: str, sold: int) -> None:
        """Bring a background change into the entry: `sold` units off quantityOnStock, and the holds as shown."""
        was = self.project.inventory.docs[entry_id]
        counter = self.counters[entry_id]
        doc = dict(was)
        doc["quantityOnStock"] -= sold
        doc["availableQuantity"] = doc["quantityOnStock"] - counter.shown_reserved
        if self.project.switches.order_bumps_version:
            doc["version"] += 1
            doc["lastModifiedAt"] = stamp(self.project.now())
            doc["lastModifiedBy"] = self.project.by()
        self.project.inventory.replace(doc, touched=self.project.switches.order_bumps_version)
        self.warn(was, doc)

    def warn(self, was: Doc, doc: Doc) -> None:
        """Messages of quantityOnStock falling to 0 or through a level."""
        old, new, levels = was["quantityOnStock"], doc["quantityOnStock"], doc.get("stockLevels", {})
        if new >= old:
            return
        emit, channel = self.project.messages.emit, doc.get("supplyChannel")
        if old > 0 >= new:
            emit("inventory-entry", doc, "InventoryEntryOutOfStock", sku=doc["sku"], supplyChannel=channel)
        for level, kind in (("reorderPoint", "ReorderPoint"), ("safetyStock", "SafetyStock")):
            if level in levels and old > levels[level] >= new:
                emit(
                    "inventory-entry", doc, f"InventoryEntry{kind}",
                    sku=doc["sku"], quantityOnStock=new, supplyChannel=channel,
                )  # fmt: skip

    def record(
        self, doc: Doc, old: int, new: int, shown_old: int | None, shown_new: int | None, cause: str, **facts: Any
    ) -> None:
        self.project.journal.add(
            "entry_written", t=self.project.now(), project=self.project.key, entry=doc["id"], sku=doc["sku"],
            channel=self.project.channel_key(place(doc)[1]), old=old, new=new, shown_old=shown_old,
            shown_new=shown_new, client=self.project.actor, cause=cause, version=doc["version"], **facts,
        )  # fmt: skip

    def _out_of_stock(self, lacking: list[tuple[Demand, int | None]]) -> ApiError:
        for demand, available in lacking:
            self.project.journal.add(
                "order_refused", t=self.project.now(), project=self.project.key, reason="OutOfStock", sku=demand.sku,
                channel=self.project.channel_key(demand.channel_id), asked=demand.quantity, available=available,
            )  # fmt: skip
        skus = [demand.sku for demand, _ in lacking]
        message = f"Some line items are out of stock at the time of placing the order: {', '.join(skus)}."
        return ApiError(400, "OutOfStock", message, lineItems=[d.line_id for d, _ in lacking], skus=skus)

    # --- checks --------------------------------------------------------------------------------------------------

    def supply(self, identifier: Any) -> Doc:
        """A reference to a supply channel; raises MissingRoleOnChannel."""
        channel = self.project.resolve(identifier, "channel")
        if "InventorySupply" not in channel["roles"]:
            message = f"The channel with id '{channel['id']}' does not have the role 'InventorySupply'."
            found = reference("channel", channel["id"])
            raise ApiError(400, "MissingRoleOnChannel", message, channel=found, missingRole="InventorySupply")
        return reference("channel", channel["id"])

    def check_key(self, key: Any) -> None:
        """Raises InvalidInput on a malformed key and DuplicateField on a taken one."""
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise invalid_input(f"key: '{key}' does not match {_KEY.pattern}")
        if self.project.inventory.by(KEY, key):
            raise duplicate("key", key)

    def check_free(self, wanted: Place, own_id: str | None) -> None:
        """Raises DuplicateField when another entry has that sku and channel."""
        holder = self.places.get(wanted)
        if holder is not None and holder != own_id:
            raise duplicate("sku", wanted[0], reference("inventory-entry", holder))


def place(doc: Doc) -> Place:
    """(sku, id of the supply channel or None)."""
    return doc["sku"], (doc.get("supplyChannel") or {}).get("id")


@dataclass
class StockEdit(Edit):
    """An entry being edited together with a copy of its counter."""

    inventory: Inventory = field(kw_only=True)
    counter: Counter = field(kw_only=True)

    def store(self) -> Doc:
        """Keep entry and counter together."""
        inventory, old = self.inventory, self.inventory.counters[self.was["id"]]
        if self.doc == self.was and self.counter == old:
            return self.was
        if place(self.was) != place(self.doc):
            del inventory.places[place(self.was)]
            inventory.places[place(self.doc)] = self.doc["id"]
        inventory.counters[self.was["id"]] = self.counter
        doc = self.project.save(self.collection, self.doc)
        for follow in self.after:
            follow(doc)
        inventory.warn(self.was, doc)
        if old.on_stock != self.counter.on_stock or self.was["quantityOnStock"] != doc["quantityOnStock"]:
            shown = self.was["quantityOnStock"], doc["quantityOnStock"]
            inventory.record(doc, old.on_stock, self.counter.on_stock, *shown, "direct", pending=self.counter.pending)
        return doc


def _set_quantity(edit: StockEdit, on_stock: int, shown: int) -> None:
    old, available = edit.doc["quantityOnStock"], edit.doc["availableQuantity"]
    edit.counter.on_stock = on_stock
    edit.doc["quantityOnStock"] = shown
    edit.doc["availableQuantity"] = shown - edit.counter.shown_reserved
    if shown != old:
        edit.emit(
            "InventoryEntryQuantitySet", oldQuantityOnStock=old, newQuantityOnStock=shown,
            oldAvailableQuantity=available, newAvailableQuantity=edit.doc["availableQuantity"],
            sku=edit.doc["sku"], supplyChannel=edit.doc.get("supplyChannel"),
        )  # fmt: skip


def _change_quantity(edit: StockEdit, action: Doc) -> None:
    quantity = need(action, "quantity", int)
    counter = edit.counter
    if edit.project.switches.set_semantics == "absorbs" and counter.pending:
        counter.era += 1
        counter.pending = 0
    _set_quantity(edit, quantity - counter.pending, quantity)


def _add_quantity(edit: StockEdit, action: Doc) -> None:
    _add(edit, need(action, "quantity", int))


def _remove_quantity(edit: StockEdit, action: Doc) -> None:
    _add(edit, -need(action, "quantity", int))


def _add(edit: StockEdit, quantity: int) -> None:
    _set_quantity(edit, edit.counter.on_stock + quantity, edit.doc["quantityOnStock"] + quantity)


def _set_optional(name: str, kind: type) -> Callable[[StockEdit, Doc], None]:
    def apply(edit: StockEdit, action: Doc) -> None:
        value = may(action, name, kind)
        if value is None:
            edit.doc.pop(name, None)
        else:
            edit.doc[name] = instant(value) if isinstance(value, str) else value

    return apply


def _set_limits(edit: StockEdit, action: Doc) -> None:
    low, high = may(action, "minCartQuantity", int), may(action, "maxCartQuantity", int)
    if (low is not None and low < 1) or (high is not None and high < (low or 1)):
        raise invalid_input(f"cart limits {low}..{high} are not a range above 0")
    for name in ("minCartQuantity", "maxCartQuantity"):
        _set_optional(name, int)(edit, action)


def _set_level(name: str) -> Callable[[StockEdit, Doc], None]:
    def apply(edit: StockEdit, action: Doc) -> None:
        levels = {**edit.doc.get("stockLevels", {}), name: may(action, "quantity", int)}
        edit.doc["stockLevels"] = {level: value for level, value in levels.items() if value is not None}
        if not edit.doc["stockLevels"]:
            del edit.doc["stockLevels"]

    return apply


def _set_supply_channel(edit: StockEdit, action: Doc) -> None:
    edit.doc.pop("supplyChannel", None)
    if action.get("supplyChannel") is not None:
        edit.doc["supplyChannel"] = edit.inventory.supply(action["supplyChannel"])
    edit.inventory.check_free(place(edit.doc), edit.doc["id"])


def _set_key(edit: StockEdit, action: Doc) -> None:
    if action.get("key") is None:
        edit.doc.pop("key", None)
    elif action["key"] != edit.was.get("key"):
        edit.inventory.check_key(action["key"])
        edit.doc["key"] = action["key"]


ACTIONS: dict[str, Callable[[StockEdit, Doc], None]] = {
    "changeQuantity": _change_quantity,
    "addQuantity": _add_quantity,
    "removeQuantity": _remove_quantity,
    "setExpectedDelivery": _set_optional("expectedDelivery", str),
    "setRestockableInDays": _set_optional("restockableInDays", int),
    "setReservationExpirationInMinutes": _set_optional("reservationExpirationInMinutes", int),
    "setSupplyChannel": _set_supply_channel,
    "setKey": _set_key,
    "setInventoryLimits": _set_limits,
    "setReorderPoint": _set_level("reorderPoint"),
    "setSafetyStock": _set_level("safetyStock"),
    "setCustomType": lambda edit, action: set_custom_type(edit.project, edit.doc, action, "inventory-entry"),
    "setCustomField": lambda edit, action: set_custom_field(edit.project, edit.doc, action),
}
