"""How a problem is said, and what every subject looks for: a name that is there twice, a name nobody knows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

H = TypeVar("H", bound=Hashable)
Found = Iterator[tuple[str, str, str]]
"""Key, message and mend of a problem."""


def twice(values: Iterable[H]) -> Iterator[tuple[int, int, H]]:
    """(index, index of the first, value) of every value that was there before."""
    first: dict[H, int] = {}
    for index, value in enumerate(values):
        if first.setdefault(value, index) != index:
            yield index, first[value], value


def same(name: str) -> str:
    """Names that differ only in case or blanks are one place to the eye, so they may not be two here."""
    return " ".join(name.split()).casefold()


def unknown(what: str, name: str, known: Iterable[str]) -> tuple[str, str]:
    """Message and mend of a name that is declared nowhere."""
    return f'there is no {what} "{name}"', f"Name one of {quoted(known)}."


def quoted(names: Iterable[str]) -> str:
    """Names to choose from."""
    return ", ".join(f'"{name}"' for name in names) or "those you declare"
