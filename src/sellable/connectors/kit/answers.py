"""What an answer means, by a vendor's table of status and code. One rule: only a JSON document with 2xx is success.

A web page with 200 is a wrong path or a proxy's sign-in: nobody has to be tried again, somebody has to mend it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from sellable.connectors.port import LimitReached, Misconfigured, Refused, Unavailable, VendorError
from sellable.runtime.http import Answer

Family = type[VendorError]
Table = Mapping[tuple[int, str], Family]
"""(status, code) to family; code "" is any code of that status, status 0 any status with that code."""

DEFAULTS: Table = {(401, ""): Misconfigured, (403, ""): Misconfigured}
PAUSE_SECONDS = 1.0
"""How long to stay away when a limit was reached and the vendor does not say."""
PAUSE_SECONDS_MAX = 3600.0
"""Nobody stays away longer on one word: a proxy's slip must not stop the shop for years."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an error body says: a stable code ("" for none), a sentence, and the evidence."""

    code: str = ""
    message: str = ""
    detail: dict[str, Any] = {}


def verdict(answer: Answer, *, vendor: str, table: Table, says: Callable[[bytes], Said]) -> VendorError | None:
    """The error an answer is, or None for a document.

    Looked up in the vendor's table, then in DEFAULTS: exact, by code, by status; but 429 is a limit whatever its code.
    Otherwise 5xx is Unavailable, 3xx Misconfigured (we follow no redirects) and everything else Refused.
    """
    status = answer.status
    if 200 <= status < 300:
        if is_document(answer.body):
            return None
        return Misconfigured(f"{vendor} answered with a page: wrong path", code="html", detail={"text": _text(answer)})
    said = says(answer.body)
    family = family_of(status, said.code, table)
    code, sentence = said.code or str(status), said.message or _text(answer)
    message = f"{vendor} answered {status} {said.code}: {sentence}"
    if family is LimitReached:
        return LimitReached(message, after_seconds=pause(answer.headers, answer.date))
    return family(message, code=code, detail={"status": status, **said.detail})


def family_of(status: int, code: str, table: Table) -> Family:
    """The family of a status with a code."""
    if status == 429 and (status, code) not in table:
        return LimitReached
    for rows in (table, DEFAULTS):
        for key in ((status, code), (0, code), (status, "")):
            if key != (0, "") and key in rows:
                return rows[key]
    if status >= 500:
        return Unavailable
    return Misconfigured if 300 <= status < 400 else Refused


def is_document(body: bytes) -> bool:
    """Whether a body means to be JSON, be it cut off later, or is empty as after a deletion: no web page, no text."""
    return body.lstrip()[:1] in (b"{", b"[", b"")


def pause(headers: Mapping[str, str], now: datetime | None, otherwise: float = PAUSE_SECONDS) -> float:
    """Seconds of Retry-After, `otherwise` where it says none."""
    seconds = asked(headers, now)
    return otherwise if seconds is None else seconds


def asked(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Seconds of Retry-After, an hour at most: a number (its first integer, units ignored) or a date on their clock.

    None where it says none.
    """
    value = headers.get("retry-after", "")
    if number := re.match(r"\s*(\d+)", value):
        return min(float(number[1]), PAUSE_SECONDS_MAX)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if now is None or until.tzinfo is None:
        return None
    return min(max(0.0, (until - now).total_seconds()), PAUSE_SECONDS_MAX)


def _text(answer: Answer) -> str:
    return _CONTROL.sub(" ", answer.body[:300].decode(errors="replace"))
