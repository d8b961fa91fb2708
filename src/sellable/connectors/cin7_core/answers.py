"""What an answer of Cin7 Core means. One rule: success is a JSON document that is no Error Model, whatever the status.

The limit has three dialects: 429 with "Retry-After: 60 Seconds", 503 without it (help page "API Status Codes"), and a
plain 400 that only says so in its text (observed on purchases). Errors come as an array, at times with status 200.
"""

from __future__ import annotations

import re

from sellable.connectors.cin7_core import wire
from sellable.connectors.cin7_core.wire import TITLE
from sellable.connectors.kit import answers as kit
from sellable.connectors.port import LimitReached, Misconfigured, Refused, Unavailable, VendorError
from sellable.runtime.http import Answer

PAUSE_SECONDS = 60.0
"""How long to stay away when the vendor does not say: its window."""

# 403 is wrong credentials and what a disallowed verb may get (blueprint); 404 a wrong path, as a record that is missing
# comes as an Error Model.
TABLE: kit.Table = {(404, ""): Misconfigured, (405, ""): Misconfigured}

_LIMIT = re.compile(rb"reached\s+\d+\s+calls", re.I)
_ABSENT = re.compile(r"not found|does not exist", re.I)


def verdict(answer: Answer, *, write: bool) -> VendorError | None:
    """The error an answer is, or None for a document.

    A 503 that does not speak of the limit stops reads like the limit, but of a write nobody knows whether it was done;
    nor does anybody where a page came with success: that is a wrong path, or a proxy in front of the right one.
    """
    errors = wire.errors_of(answer.body)
    if _says_limit(answer, errors) or (answer.status == 503 and not write):
        return LimitReached(f"{TITLE}'s limit of calls is reached", after_seconds=pause(answer))
    if errors:
        return _of_model(answer.status, errors)
    error = kit.verdict(answer, vendor=TITLE, table=TABLE, says=lambda body: kit.Said())
    if write and isinstance(error, Misconfigured) and answer.status < 300:
        return Unavailable(str(error), code=error.code, detail=error.detail)
    return error


def pause(answer: Answer) -> float:
    """Seconds of Retry-After, which comes with a unit ("60 Seconds"); a minute where there is none."""
    return kit.pause(answer.headers, answer.date, PAUSE_SECONDS)


def _says_limit(answer: Answer, errors: list[wire.ErrorModel]) -> bool:
    """Whether it says so: a document may hold the sentence too, for instance in a note."""
    no_document = answer.status >= 400 or bool(errors) or not kit.is_document(answer.body)
    sentence = no_document and _LIMIT.search(answer.body[:4096]) is not None
    return answer.status == 429 or sentence or any(_code(error) == 429 for error in errors)


def _of_model(status: int, errors: list[wire.ErrorModel]) -> VendorError:
    """Where the status pretends success, or is 404 for a record, the model's own code counts."""
    said = "; ".join(error.exception or "" for error in errors)
    code = status if status >= 400 and status != 404 else _code(errors[0])
    absent = code == 404 or (code < 500 and _ABSENT.search(said) is not None)
    family = Refused if absent else kit.family_of(code, "", TABLE)
    return family(
        f"{TITLE} answered {status}: {said}",
        code="not_found" if absent else str(code),
        detail={"status": status, "errors": [f"{error.error_code}: {error.exception}" for error in errors]},
    )


def _code(error: wire.ErrorModel) -> int:
    """The model's own code; 400 where it is no number of three digits."""
    digits = re.sub(r"\D", "", str(error.error_code)[:40])
    return int(digits) if len(digits) == 3 else 400
