"""Reading documents leniently. One rule: what was not understood keeps its bytes, and is never taken for empty.

Structs ignore unknown fields and hold enum words as text, so that a vendor's next word never stops an order.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sellable.connectors.port import Refused, Unavailable

T = TypeVar("T")


def document(body: bytes | msgspec.Raw, type_: type[T], *, vendor: str) -> T:
    """The document of an answer to a read.

    Raises Unavailable(garbled) for what is not whole JSON, the next answer may be whole, and Refused(unreadable) for
    JSON of another shape: asking again would not help.
    """
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        raise Refused(f"{vendor}'s document is not understood: {error}", code="unreadable") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"{vendor}'s answer is cut off: {error}", code="garbled") from error


def written(body: bytes, type_: type[T], *, vendor: str) -> T:
    """The document of an answer to a write; Unavailable(garbled) when unreadable: only reading back tells."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"{vendor}'s answer to a write is not understood: {error}", code="garbled") from error


def lenient(body: bytes, type_: type[T], otherwise: T) -> T:
    """The document, or `otherwise`; for error bodies and hints, where nothing may hang on the shape."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return otherwise
