"""Calls, refusals and their dialects, dates. Rule: a refusal names its situation, the tenant's switch its dialect."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sellable.sandbox.orderflow.markup import Element, element, write

Dialect = Literal["status", "page", "exception", "error"]
HTML = [(b"content-type", b"text/html; charset=utf-8")]
XML = [(b"content-type", b"application/xml; charset=utf-8")]


class Refused(Exception):
    """The vendor says no to a whole call. `situation` picks the dialect, see Switches.dialects."""

    def __init__(self, sentence: str, situation: str = "bad_request", status: int = 400) -> None:
        super().__init__(sentence)
        self.situation, self.status = situation, status


class ItemRefused(Exception):
    """The vendor says no to one item of an import: the failureMessage, and its failureDetail."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail or message


class Known(Exception):
    """The item's reference is taken: reported as a duplicate."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which channel or organisation a call names; empty when it names none."""

    channel: str = ""
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One call: path below the base, query and form values by name, scope, body, injected vendor faults."""

    method: str
    path: str
    query: dict[str, str]
    scope: Scope
    body: bytes = b""
    faults: dict[str, Any] = field(default_factory=dict)

    def needed(self, name: str) -> str:
        """A value that must be there."""
        found = self.query.get(name, "").strip()
        if not found:
            raise Refused(f"Required parameter '{name}' is not present")
        return found

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").strip().lower() == "true"


def refusal(dialect: Dialect, sentence: str, status: int = 400) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """The four ways of saying no that clients know; which one comes when is nowhere said (UNCONFIRMED)."""
    match dialect:
        case "status":
            return status, web_page(f"HTTP Status {status}", sentence), HTML
        case "page":
            # Well-formed, with the heading that the vendor's own client looks for.
            return 200, web_page("OrderFlow", sentence, heading="ERROR"), HTML
        case "exception":
            return 200, write(element("response", element("exception", text=sentence))), XML
        case "error":
            return 200, write(element("error", text=sentence)), XML


def web_page(title: str, sentence: str, heading: str = "") -> bytes:
    head, said = escape(title, quote=False), escape(sentence, quote=False)
    body = f"<h2>{heading or head}</h2><p>{said}</p>"
    return f"<html><head><title>{head}</title></head><body>{body}</body></html>".encode("utf-8", "replace")


def message(text: str) -> Element:
    """What cancel and notifications answer."""
    return element("message", text=text)


def stamp(unix: float, zone: str) -> str:
    """`YYYY-MM-DD HH:MM:SS` on the server's wall clock: without zone, so an hour of every autumn comes twice."""
    return datetime.fromtimestamp(int(unix), ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


def moment(text: str, zone: str) -> float:
    """Unix seconds of such a text, also with a T in the middle or a date alone. Raises ValueError."""
    parsed = datetime.fromisoformat(text.strip())
    if parsed.tzinfo is not None:
        raise ValueError(f"'{text}' has a zone")
    try:
        return parsed.replace(tzinfo=ZoneInfo(zone)).timestamp()
    except OverflowError as error:
        raise ValueError(f"'{text}' is too far away") from error


def iso(unix: float) -> str:
    """For the truth: an aware UTC text."""
    return datetime.fromtimestamp(unix, UTC).isoformat()
