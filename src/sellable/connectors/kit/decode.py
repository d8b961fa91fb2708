"""Reading documents leniently. One rule: what was not understood keeps its bytes, and is never taken for empty.

Structs ignore unknown fields and hold enum words as text, so that a vendor's next word never stops an order.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from sellable.connectors.port import Refused, Unavailable

T = TypeVar("T")

_ESCAPE = re.compile(rb"\\(u0000|.)", re.DOTALL)


def decode(body: bytes | msgspec.Raw, type_: type[T]) -> T:
    """JSON as a type, for everything a vendor or a stranger wrote. Raises msgspec.DecodeError or UnicodeDecodeError.

    A NUL, which no shop means and PostgreSQL refuses, becomes U+FFFD: one in a shopper's name must not keep the order
    out of the book. What is nested too deeply to be followed is no document.
    """
    text = bytes(body)
    if b"\\u0000" in text:
        text = _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] == b"u0000" else found[0], text)
    try:
        return msgspec.json.decode(text, type=type_)
    except RecursionError:
        raise msgspec.DecodeError("nested too deeply") from None


def document(body: bytes | msgspec.Raw, type_: type[T], *, vendor: str) -> T:
    """The document of an answer to a read.

    Raises Unavailable(garbled) for what is not whole JSON, the next answer may be whole, and Refused(unreadable) for
    JSON of another shape: asking again would not help.
    """
    try:
        return decode(body, type_)
    except msgspec.ValidationError as error:
        raise Refused(f"{vendor}'s document is not understood: {error}", code="unreadable") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"{vendor}'s answer is cut off: {error}", code="garbled") from error


def written(body: bytes, type_: type[T], *, vendor: str) -> T:
    """The document of an answer to a write; Unavailable(garbled) when unreadable: only reading back tells."""
    try:
        return decode(body, type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"{vendor}'s answer to a write is not understood: {error}", code="garbled") from error


def lenient(body: bytes, type_: type[T], otherwise: T) -> T:
    """The document, or `otherwise`; for error bodies and hints, where nothing may hang on the shape."""
    try:
        return decode(body, type_)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return otherwise
