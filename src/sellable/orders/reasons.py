"""Why units are cancelled or returned, from one system's code to our word and on to the other's. Pure.

One rule: a reason never stops units. A code nobody mapped is said as it came, and becomes a case that names the line to
add; where the settings map no reason at all, nobody's reasons are looked at.
"""

from __future__ import annotations

from typing import Literal

from sellable.config.settings import Reason, Settings
from sellable.orders.rules import Finding

Side = Literal["storefront", "back_office"]


def heard(said: str, side: Side, settings: Settings) -> str:
    """Our word for a system's code; the code itself where nobody mapped it, "" where nothing was said."""
    found = _found(said, side, settings)
    return found.code if found else said.strip()


def unmapped(said: str, side: Side, settings: Settings, record: str) -> Finding | None:
    """A finding when the code maps to nothing although reasons are mapped; `record` names what carried it."""
    code = said.strip()
    if not code or not settings.reasons or _found(code, side, settings) is not None:
        return None
    known = sorted({getattr(reason, side) for reason in settings.reasons} - {""})
    line = f'[[reasons]] code = "...", {side} = "{code}"'
    return Finding(
        kind="reason_unmapped",
        subject=f"reason:{side}:{code}",
        expected={"codes": known, "add to the settings": line},
        actual={"code": code, "said by": side, "on": record},
    )


def said_to(word: str, side: Side, settings: Settings) -> str:
    """The code a system knows for our word; "" where it knows none, for a strange code explains nothing there."""
    codes = [getattr(reason, side) for reason in settings.reasons if reason.code == word]
    return next((code for code in codes if code), "")


def _found(said: str, side: Side, settings: Settings) -> Reason | None:
    code = said.strip()
    return next((reason for reason in settings.reasons if code and getattr(reason, side) == code), None)
