"""What a vendor answers that is not success. One rule: an error says whether anything may have been carried out.

    VendorError
     ├─ LimitReached      not carried out; try after `after_seconds`
     ├─ Conflict          not carried out: the version moved (409)
     ├─ Refused           permanent: the vendor will say no again; `code` is stable, `detail` the evidence
     ├─ Unavailable       5xx and the like: a write may have been carried out, a read was not
     └─ Misconfigured     credentials, scopes, wrong path (HTML with 200): a person must mend it

`NotSent` and `OutcomeLost` of `runtime.http` stand beside these: of a call that had no answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Self

WORD_LENGTH_MIN = 3
"""Shorter words are left in: they tell nothing of a person and stand everywhere."""
BEGINNING_LENGTH_MIN = 4
"""A text may have been cut inside a word: so much of its beginning is looked for at the end."""


class VendorError(Exception):
    """Something a vendor answered that is not success."""

    def __init__(self, message: str, *, code: str = "", detail: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail or {}

    def without(self, words: Collection[str]) -> Self:
        """The same error with none of these words in it: vendors repeat what they refuse, and errors are kept."""
        # The longest first: of a name inside an address nothing may be left over.
        ordered = sorted((word for word in words if len(word) >= WORD_LENGTH_MIN), key=len, reverse=True)
        self.args = tuple(_hidden(each, ordered) for each in self.args)
        self.detail = _hidden(self.detail, ordered)
        return self


def _hidden(value: Any, words: Sequence[str]) -> Any:
    match value:
        case str() if words:
            return _uncut(re.sub("|".join(map(re.escape, words)), "(hidden)", value, flags=re.IGNORECASE), words)
        case dict():
            return {name: _hidden(inner, words) for name, inner in value.items()}
        case list():
            return [_hidden(inner, words) for inner in value]
        case _:
            return value


def _uncut(text: str, words: Sequence[str]) -> str:
    """The text without the beginning of a word at its end."""
    tail = text[-max(map(len, words)) :].lower()
    cut = max(
        (n for word in words for n in range(BEGINNING_LENGTH_MIN, len(word)) if tail.endswith(word[:n].lower())),
        default=0,
    )
    return f"{text[:-cut]}(hidden)" if cut else text


class LimitReached(VendorError):
    """The vendor's limit was reached before anything was done."""

    def __init__(self, message: str, *, after_seconds: float) -> None:
        super().__init__(message, code="limit")
        self.after_seconds = after_seconds


class Conflict(VendorError):
    """The resource is at another version; nothing was written."""


class Refused(VendorError):
    """A permanent no, with the vendor's code."""


class Unavailable(VendorError):
    """The vendor failed; after a write nobody knows whether it was applied."""


class Misconfigured(VendorError):
    """Credentials, permissions or paths are wrong."""
