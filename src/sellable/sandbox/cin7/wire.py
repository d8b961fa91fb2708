"""Reading and writing the vendor's JSON: decimals, dates, ids, refusals. Rule: no binary float ever holds a number."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

ZERO = Decimal(0)
EMPTY_GUID = "00000000-0000-0000-0000-000000000000"
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)

encode = _ENCODER.encode


class Refused(Exception):
    """The vendor says no: an HTTP status and the sentences of its Error Model."""

    def __init__(self, *sentences: str, status: int = 400, code: int | None = None) -> None:
        super().__init__("; ".join(sentences))
        self.status, self.code, self.sentences = status, code or status, sentences

    def body(self) -> bytes:
        """The Error Model, in an array (blueprint, "Error Model")."""
        return error_model(self.code, *self.sentences)


@dataclass(frozen=True, slots=True)
class Request:
    """One call: lower-case path below the base, query by lower-case name, decoded body, injected vendor faults."""

    method: str
    path: str
    query: dict[str, str]
    body: Any = None
    faults: dict[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The body as an object; Refused when it is none."""
        if not isinstance(self.body, dict):
            raise Refused("Request body is not a valid object.")
        return self.body

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").strip().lower() in ("true", "1")


@dataclass(frozen=True, slots=True)
class Listing:
    """All rows a list call would walk, in order; the door cuts the page. Rows are objects or ready JSON."""

    key: str
    rows: Sequence[dict[str, Any] | bytes]


def decode(body: bytes) -> Any:
    """JSON with Decimal for fractions; Refused(400) when it is not JSON."""
    try:
        return _DECODER.decode(body) if body else None
    except msgspec.DecodeError as error:
        raise Refused(f"Request body could not be parsed: {error}") from error


def error_model(code: int, *sentences: str) -> bytes:
    return encode([{"ErrorCode": code, "Exception": sentence} for sentence in sentences])


def number(value: Any, name: str, *, default: Decimal | None = None, places: int = 4) -> Decimal:
    """A JSON number with at most `places` fraction digits; Refused when absent without default, or no such number."""
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Refused(f"{name} is required." if value is None else f"{name} is not a number.")
    found = Decimal(value)
    if -int(found.normalize().as_tuple().exponent) > places:
        raise Refused(f"{name} has more than {places} decimal places.")
    return found


def text(value: Any, name: str, limit: int, *, required: bool = False) -> str:
    """A JSON string of at most `limit` characters, "" when absent."""
    if value is None or value == "":
        if required:
            raise Refused(f"{name} is required.")
        return ""
    if not isinstance(value, str) or len(value) > limit:
        raise Refused(f"{name} must be a text of at most {limit} characters.")
    return value


def rounded(value: Decimal, places: int) -> Decimal:
    """Half up, away from zero on ties (the vendor's mode is not documented: a guess)."""
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def plain(value: Decimal) -> int | Decimal:
    """A quantity for the journal and the truth: an int when whole, else a Decimal (a text in JSON)."""
    return int(value) if value == value.to_integral_value() else value.normalize()


def stamp(unix: float) -> str:
    """A UTC time with Z and variable fraction digits, as LastModifiedOn and Updated come (observed)."""
    moment = datetime.fromtimestamp(unix, UTC)
    fraction = f"{moment.microsecond // 1000:03d}".rstrip("0")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}Z" if fraction else "Z")


def day(unix: float) -> str:
    """A business date: midnight without zone (the sandbox company lives in UTC)."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT00:00:00")


def moment(value: str, name: str) -> float:
    """Unix seconds of an ISO 8601 text; one without zone is UTC, as the blueprint documents."""
    try:
        parsed = datetime.fromisoformat(value.strip().replace(" ", "+"))
    except ValueError as error:
        raise Refused(f"{name} is not a valid date.") from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
