"""How urgent a difference is and how much of it may be sent now. Pure: values in, values out."""

from __future__ import annotations

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


def is_refill(*, target: int, last_target: int | None) -> bool:
    """Whether a raise only gives back what the storefront's own orders took since our last write."""
    return last_target is not None and target <= last_target


def raise_now(*, target: int, e: int, read: int) -> int:
    """Units a raise may add when the entry was just read at `read`: never above T even if E is wrong. 0: park it.

    Example: T 10, E 7 after a cancel, somebody else set the entry to 10: min(3, 0) = 0, nothing is sent.
    """
    return max(0, min(target - e, target - read))
