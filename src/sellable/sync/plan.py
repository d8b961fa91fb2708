"""How urgent a difference is and how much of it may be sent now. Pure: values in, values out."""

from __future__ import annotations

import msgspec

from sellable.domain.stock import Priority


def priority_of(*, target: int, e: int, low_mark: int, last_target: int | None, cause: int) -> int:
    """The class of a difference T - E: smaller goes first.

    `cause` is the class of what made the key dirty; a lower caused by an order or a hold is P1 whatever its size.
    A refill (T did not rise since the last write, the storefront's own orders lowered E) needs no proof and is P2.
    """
    if target < e:
        if target <= 0:
            return Priority.STOP_SALE
        return Priority.ORDER_LOWER if target <= low_mark or cause <= Priority.ORDER_LOWER else Priority.LOWER
    if last_target is not None and target <= last_target:
        return Priority.LOWER
    return Priority.BACK_IN_STOCK if e <= 0 else Priority.RAISE


def may_wait(*, target: int, e: int, low_mark: int, cause: int, not_in_the_number_yet: int) -> bool:
    """Whether a lower is most likely our own orders, met in a page whose set is not complete yet.

    Until it is, units the master has taken in are subtracted from the lower number once more, knowingly. A lower that
    those units explain to the last one is written only if it lasts; not when it nears nothing, and never an order's.
    Example: E 10, three units allocated, a page says 7: T is 4 until the set is complete, then 7 again.
    """
    return e - target <= not_in_the_number_yet and target > low_mark and cause > Priority.ORDER_LOWER and target < e


def allowed(d: int, mode: str) -> int:
    """The part of a difference that a channel in this mode may write: all, what lowers, or nothing.

    A mode nobody knows writes nothing. A refill raises, so "lowers" leaves it to whoever writes beside us.
    """
    match mode:
        case "full":
            return d
        case "lowers":
            return min(d, 0)
        case _:
            return 0


RUNGS = {"shadow": 0, "lowers": 1, "full": 2}


def climbs(before: str | None, mode: str) -> bool:
    """Whether a channel may write more than before, so that its first pass is looked at. Nothing before: it begins."""
    return RUNGS[mode] > RUNGS.get(before or "shadow", 0)


class Brake(msgspec.Struct, frozen=True, kw_only=True):
    """How much the first pass in a mode may change; percentages of the channel, 100 for no limit."""

    keys_percent: int
    units_percent: int
    keys_min: int

    @property
    def off(self) -> bool:
        """Whether nothing can stop a first pass."""
        return self.keys_percent >= 100 and self.units_percent >= 100


class FirstPass(msgspec.Struct, frozen=True, kw_only=True):
    """What the first pass in a mode would do on a channel of `keys` numbers that show `units`: change so many of them,
    by so many units in all."""

    keys: int
    units: int
    changed_keys: int
    changed_units: int


def too_much(found: FirstPass, brake: Brake) -> list[str]:
    """Why a first pass must wait for a person; empty when it may go on.

    Example: 100 numbers that show 1,000 units; 21 of them, or 201 units in all, are too much at 20 percent.
    """
    if found.changed_keys < max(brake.keys_min, 1):
        return []
    reasons = []
    if brake.keys_percent < 100 and found.changed_keys * 100 > found.keys * brake.keys_percent:
        reasons.append(f"{found.changed_keys} of {found.keys} numbers would change")
    if brake.units_percent < 100 and found.changed_units * 100 > found.units * brake.units_percent:
        reasons.append(f"{found.changed_units} units would move where {found.units} are shown")
    return reasons


def is_refill(*, target: int, last_target: int | None) -> bool:
    """Whether a raise only gives back what the storefront's own orders took since our last write."""
    return last_target is not None and target <= last_target


def raise_now(*, target: int, e: int, read: int) -> int:
    """Units a raise may add when the entry was just read at `read`: never above T even if E is wrong. 0: park it.

    Example: T 10, E 7 after a cancel, somebody else set the entry to 10: min(3, 0) = 0, nothing is sent.
    """
    return max(0, min(target - e, target - read))
