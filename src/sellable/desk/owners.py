"""Who owns what. Rule: no case without an owner, so a kind that nobody owns refuses the start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sellable.config.settings import Owner
from sellable.desk.kinds import KINDS

EVERY = "*"


class OwnerMissing(ValueError):
    """Kinds of case that nobody owns; `kinds` names them."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        super().__init__(f"nobody owns the cases {', '.join(kinds)}: add an [[owners]] section, or one for every kind")


class Owners:
    """The owner of each kind of case, and where owners are mailed."""

    def __init__(self, by_kind: dict[str, Owner], everybody: Sequence[Owner]) -> None:
        self._by_kind = by_kind
        self._everybody = tuple(everybody)

    @classmethod
    def from_settings(cls, owners: Sequence[Owner], kinds: Iterable[str] = KINDS) -> Owners:
        """The owners as configured; an owner of "*" owns every kind not named. Raises OwnerMissing."""
        named = {owner.kind: owner for owner in owners if owner.owner.strip()}
        by_kind = {kind: named.get(kind) or named.get(EVERY) for kind in kinds}
        if missing := [kind for kind, owner in by_kind.items() if owner is None]:
            raise OwnerMissing(missing)
        return cls({kind: owner for kind, owner in by_kind.items() if owner is not None}, owners)

    def become(self, owners: Sequence[Owner]) -> None:
        """From here on these are the owners, for everybody who holds this. Raises OwnerMissing."""
        fresh = Owners.from_settings(owners, self._by_kind)
        self._by_kind, self._everybody = fresh._by_kind, fresh._everybody

    def of(self, kind: str) -> str:
        """Name of the kind's owner. Raises KeyError for a kind that is not in the table."""
        return self._by_kind[kind].owner

    def email(self, owner: str, kind: str) -> str:
        """Where to mail the owner of a case: the address given for this kind, else any of that owner's, else ""."""
        candidates = [self._by_kind[kind]] if kind in self._by_kind else []
        candidates += self._everybody
        return next((each.email for each in candidates if each.owner == owner and each.email), "")
