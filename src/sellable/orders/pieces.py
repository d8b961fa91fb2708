"""Returned goods as pieces: units of a line with one fate. Pure.

One rule: what is compared is what a return said before with what it says now, so that a person's decision about a piece
stays although the return at the back office still names the place where the goods arrived.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from sellable.domain.orders import GoodsReturn, ReturnedGoods
from sellable.domain.stock import State

WRITTEN_OFF = "written_off"
"""The fate of what was credited and came into no stock."""

OPEN = ("inspection", "quarantine")
"""Fates that somebody still decides about."""

_FATES = {State.AVAILABLE: "available", State.DAMAGED: "damaged", State.INSPECTION: "inspection"}
_WORST = ("available", "inspection", "quarantine", "damaged", WRITTEN_OFF)
"""A kit is as good as its worst component."""

KEY_MAX = 200
EACH_MAX = 200


class Place(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Where units of a SKU (as sold) of a return are, and what that means for them."""

    sku: str
    location: str
    fate: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a return says now and did not say before: units that are new, that moved, and that it has no more."""

    new: tuple[tuple[Place, int], ...]
    moved: tuple[tuple[Place, Place, int], ...]
    gone: tuple[tuple[Place, int], ...]


class Wanting(msgspec.Struct, frozen=True, kw_only=True):
    """A line that goods may come back of: how many left and how many are back already."""

    line_id: str
    sku: str
    shipped: int
    returned: int


def fate_of(state: State) -> str:
    """What a state of stock means for a returned unit; one that is neither sold nor damaged waits for somebody."""
    return _FATES.get(state, "quarantine")


def places(found: GoodsReturn, recipes: Mapping[str, Mapping[str, int]]) -> Counter[Place]:
    """Units by place. What was credited is looked for in stock, kits by their components; the rest counts too."""
    stock = {_place(goods): goods.units for goods in _summed(found.stock)}
    result: Counter[Place] = Counter()
    for sku, units, _ in found.items:
        left = units
        while left:
            place, alike = _taken(sku, recipes.get(sku) or {sku: 1}, stock, left)
            result[place] += alike
            left -= alike
    kits = {sku for recipe in (recipes.get(sku) for sku, _, _ in found.items) if recipe for sku in recipe}
    for place, units in stock.items():
        # Components beyond whole kits are stock, and no unit of a line.
        if units and place.sku not in kits:
            result[place] += units
    return result


def _taken(sku: str, recipe: Mapping[str, int], stock: dict[Place, int], most: int) -> tuple[Place, int]:
    """Takes the components of a unit out of `stock`, and of as many more, up to `most`, as are made up alike: the best
    first, and a unit is as its worst component. Whoever wrote the numbers may have written any.
    """
    taken: dict[Place, int] = {}
    for component, per in recipe.items():
        left = per
        for place in sorted((place for place, units in stock.items() if place.sku == component and units), key=_rank):
            taken[place] = min(left, stock[place])
            left -= taken[place]
            if not left:
                break
        if left:
            return Place(sku=sku, location="", fate=WRITTEN_OFF), most
    alike = min(most, *(stock[place] // units for place, units in taken.items()))
    for place, units in taken.items():
        stock[place] -= units * alike
    worst = max(taken, key=_rank)
    return Place(sku=sku, location=worst.location, fate=worst.fate), alike


def _rank(place: Place) -> tuple[int, str]:
    return _WORST.index(place.fate), place.location


def _place(goods: ReturnedGoods) -> Place:
    return Place(sku=goods.sku, location=goods.location, fate=fate_of(goods.state))


def _summed(stock: Iterable[ReturnedGoods]) -> list[ReturnedGoods]:
    sums: Counter[tuple[str, str, State]] = Counter()
    for goods in stock:
        sums[(goods.sku, goods.location, goods.state)] += goods.units
    merged: dict[Place, ReturnedGoods] = {}
    for (sku, location, state), units in sums.items():
        goods = ReturnedGoods(sku=sku, units=units, location=location, state=state)
        before = merged.get(_place(goods))
        merged[_place(goods)] = msgspec.structs.replace(goods, units=units + (before.units if before else 0))
    return list(merged.values())


def compare(before: Counter[Place], now: Counter[Place]) -> Change:
    """Per SKU: less at one place and more at another is a move; the rest is new, or gone."""
    moved: list[tuple[Place, Place, int]] = []
    less, more = before - now, now - before
    for source in sorted(less):
        for target in sorted(place for place in more if place.sku == source.sku):
            units = min(less[source], more[target])
            if units:
                moved.append((source, target, units))
                less[source] -= units
                more[target] -= units
    new = tuple((place, units) for place, units in sorted(more.items()) if units)
    gone = tuple((place, units) for place, units in sorted(less.items()) if units)
    return Change(new=new, moved=tuple(moved), gone=gone)


def on_lines(
    arrived: Sequence[tuple[Place, int]], lines: Sequence[Wanting]
) -> tuple[list[tuple[Place, str | None, int]], dict[str, int], dict[str, int]]:
    """(units by place and line id, over, strange): each line up to what it shipped, the excess on the SKU's last line.

    `over` is by SKU what came back beyond what left, `strange` what is on no line; neither is clipped.
    """
    room = {line.line_id: max(0, line.shipped - line.returned) for line in lines}
    last = {line.sku: line.line_id for line in lines}
    found: list[tuple[Place, str | None, int]] = []
    over: Counter[str] = Counter()
    strange: Counter[str] = Counter()
    for place, units in arrived:
        left = units
        for line in (line for line in lines if line.sku == place.sku):
            if taken := min(left, room[line.line_id]):
                found.append((place, line.line_id, taken))
                room[line.line_id] -= taken
                left -= taken
        if left:
            found.append((place, last.get(place.sku), left))
            (over if place.sku in last else strange)[place.sku] += left
    return found, dict(over), dict(strange)


def batches(place: Place, units: int) -> list[int]:
    """How many units each piece has: one where somebody still decides, as the storefront moves an item as a whole.

    Nobody looks at each of more than `EACH_MAX`: these are decided together.
    """
    return [1] * units if place.fate in OPEN and units <= EACH_MAX else [units]


def key_of(return_id: str, number: int) -> str:
    """The key of a piece, fit for a key at the storefront: letters, digits, _ and -, and never too long."""
    text = f"{return_id}-{number}"
    if re.fullmatch(rf"[A-Za-z0-9_-]{{2,{KEY_MAX}}}", text):
        return text
    mark = hashlib.sha256(return_id.encode()).hexdigest()[:16]
    return f"{_plain(return_id)[: KEY_MAX - 40]}-{mark}-{number}"


def is_key_of(key: str, ref: str) -> bool:
    """Whether a return item's key is one that we made of a return whose name holds this reference."""
    return _plain(ref) in key


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", text)


def said(fate: str) -> str:
    """A fate as a return item's shipmentState."""
    if fate == "available":
        return "BackInStock"
    return "Unusable" if fate in ("damaged", WRITTEN_OFF) else "Returned"
