"""Cin7 Core's notifications. One rule: they are hints; nothing in them is believed but what to look at again.

They are unsigned, carry no delivery id, spell keys in several ways, and their sample bodies are not always JSON; so the
few keys that matter are looked for in the text, and every document is read again. A dropped one is caught by polling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from sellable.connectors.cin7_core.wire import guid
from sellable.connectors.kit import shown
from sellable.connectors.kit.decode import decode

HINTS_MAX = 200
HEADER = "x-sellable-token"
"""The custom header a webhook may carry the secret in."""

TYPES = (
    "Sale/OrderAuthorised",
    "Sale/Backordered",
    "Sale/Voided",
    "Sale/Undo",
    "Sale/PickAuthorised",
    "Sale/ShipmentAuthorised",
    "Sale/ShipmentTrackingNumberChanged",
    "Sale/CreditNoteAuthorised",
)
"""What is registered. Stock/AvailableStockLevelChanged is understood but not asked for: a call for each would eat the
budget that the sweep of everything needs less of."""

_STOCK = "Stock/AvailableStockLevelChanged"
_KEYS = rb"EventType|SaleID|SaleTaskID|SaleOrderNumber|OrderNumber|SKU"
_PAIR = re.compile(rb'"\s*(' + _KEYS + rb')\s*"\s*:\s*("(?:[^"\\]|\\.)*")', re.I)


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Something to read again: `kind` is sale (its id) | order_number | sku."""

    kind: str
    key: str


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notification: its type in the API's spelling ("" where it says none), and what to look at."""

    type: str
    hints: tuple[Hint, ...]


def verify(headers: Mapping[str, str], secret: str) -> bool:
    """Whether the secret came as bearer token, basic password or in our own header. No secret set: never."""
    if not secret:
        return False
    offers = (shown.header(headers, HEADER), shown.bearer(headers), shown.basic_password(headers).strip())
    return any(shown.compared(*((offer, secret) for offer in offers)))


def read(body: bytes) -> Notice:
    """What a body points at. Never raises: an empty notice leaves the change to the next poll.

    `SaleTaskID` is taken for a sale id, as in a simple sale it is one; the order number goes with it in case it is not.
    """
    found: dict[str, list[str]] = {}
    for match in _PAIR.finditer(body):
        try:
            value = decode(match[2], str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if value:
            found.setdefault(match[1].decode().lower(), []).append(value)
    sales = [guid(value) for key in ("saleid", "saletaskid") for value in found.get(key, ())]
    numbers = [] if "saleid" in found else [*found.get("saleordernumber", ()), *found.get("ordernumber", ())]
    hints = [
        *(Hint(kind="sale", key=key) for key in sales),
        *(Hint(kind="order_number", key=key.strip()) for key in numbers),
        *(Hint(kind="sku", key=key) for key in found.get("sku", ())),
    ]
    types = found.get("eventtype") or ([_STOCK] if body.lstrip().startswith(b"[") and "sku" in found else [""])
    return Notice(type=_spelling(types[0]), hints=tuple(dict.fromkeys(hints))[:HINTS_MAX])


def _spelling(event: str) -> str:
    """The help pages write Authorized where the API writes Authorised."""
    return re.sub("authorized$", "Authorised", event.strip(), flags=re.I)
