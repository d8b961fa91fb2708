"""What channels may sell of SKUs, for all who ask at the same time in one statement.

Rule: nothing is kept from one statement to the next, so a number is never older than the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sellable.runtime.database import Store
from sellable.runtime.queries import queries
from sellable.runtime.together import Together

sql = queries("sellable.web.api")
QUESTIONS_MAX = 32
"""So many are put in one statement: thousands of pairs, which is milliseconds."""


class Question(NamedTuple):
    """SKUs and channels, each with each."""

    skus: Sequence[str]
    channels: Sequence[str]


Offer = tuple[str, str, int, int]
"""(SKU, channel, what may be sold, how far off what is shown is). Plain, as twenty are made for each call."""


class Offered:
    """Answers questions in the order of SKU and channel; a pair without an entry has no offer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._together: Together[Question, list[Offer]] = Together(self._fetch, most=QUESTIONS_MAX)

    async def ask(self, question: Question) -> list[Offer]:
        """What was planned last, as it stands after the question came."""
        return await self._together.ask(question)

    async def _fetch(self, questions: Sequence[Question]) -> list[list[Offer]]:
        skus: list[str] = []
        channels: list[str] = []
        ends = []
        for question in questions:
            names = sorted(question.channels)
            for sku in sorted(question.skus):
                skus += [sku] * len(names)
                channels += names
            ends.append(len(skus))
        (found,) = await self._store.ask(sql.offered, skus=skus, channels=channels)
        rows: list[Offer] = list(zip(skus, channels, found.ts or (), found.ds or (), strict=True))
        return [
            [row for row in rows[begin:end] if row[2] is not None] for begin, end in zip([0, *ends], ends, strict=False)
        ]
