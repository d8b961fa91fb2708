"""What channels may sell of SKUs, for all who ask at the same time in one statement.

Rule: nothing is kept from one statement to the next, so a number is never older than the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sellable.runtime.database import Store
from sellable.runtime.queries import queries
from sellable.runtime.together import Together

sql = queries("sellable.web.api")
QUESTIONS_MAX = 32
"""So many are put in one statement: thousands of pairs, which is milliseconds."""


class Question(NamedTuple):
    """SKUs and channels, each with each; `locations` for what lies where besides."""

    skus: Sequence[str]
    channels: Sequence[str]
    locations: bool


class Offer(NamedTuple):
    """Of one SKU on one channel: what may be sold, how far off what is shown is, what lies where if asked."""

    sku: str
    channel: str
    t: int
    d: int
    places: Sequence[dict[str, Any]]


class Offered:
    """Answers questions in the order of SKU and channel; a pair without an entry has no offer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._together: Together[Question, list[Offer]] = Together(self._fetch, most=QUESTIONS_MAX)

    async def ask(self, question: Question) -> list[Offer]:
        """What was planned last, as it stands after the question came."""
        return await self._together.ask(question)

    async def _fetch(self, questions: Sequence[Question]) -> list[list[Offer]]:
        pairs = [
            (number, sku, channel, question.locations)
            for number, question in enumerate(questions)
            for sku in sorted(question.skus)
            for channel in sorted(question.channels)
        ]
        _, skus, channels, locations = (list(column) for column in zip(*pairs, strict=True)) if pairs else ([],) * 4
        (found,) = await self._store.ask(sql.offered, skus=skus, channels=channels, locations=locations)
        offers: list[list[Offer]] = [[] for _ in questions]
        for n, t, d, places in zip(found.ns, found.ts, found.ds, found.places, strict=True):
            number, sku, channel, _ = pairs[n - 1]
            offers[number].append(Offer(sku, channel, t, d, places or ()))
        return offers
