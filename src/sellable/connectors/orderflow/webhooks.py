"""OrderFlow's pushes. One rule: they are hints; nothing in them is believed but what to look at again.

A push may be an hour old, come twice or come late, and its form is a template of the tenant's: so the references that
matter are looked for, every number is read again, and a push that is lost is caught by polling. What comes is read with
the care of a stranger's file: a document type, depth, size or another encoding refuse it at the door.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from sellable.config.settings import OrderFlow
from sellable.connectors.kit import shown
from sellable.connectors.orderflow import wire
from sellable.connectors.orderflow.translate import optional_id
from sellable.connectors.orderflow.wire import NAME_MAX, Garbled, Node

BYTES_MAX = 1024 * 1024
HINTS_MAX = 500
"""Products of one push that are read again one by one; a push that names more has everything read."""

KINDS: Mapping[str, str] = {
    "inventory": "inventory",
    "stockChanges": "stock",
    "order": "order",
    "return": "return",
    "purchaseOrder": "purchase_order",
    "deliveries": "delivery",
    "delivery": "delivery",
    "deliveryLine": "delivery",
    "paymentRequest": "payment",
}
"""What a push is, by its root or, in an event, by what stands in its detail (API guide, chapter 3)."""


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Something to read again. `kind` is sku or order (with its reference as `key`), inventory (all of it),
    despatches or returns (the feed's next window, now).
    """

    kind: str
    key: str = ""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A push. `message` is the vendor's number of it, None where it shows none: it orders pushes among themselves.

    `identity` is the same for a push that comes again, and for no other.
    """

    kind: str
    message: int | None
    event: str
    identity: str
    hints: tuple[Hint, ...]

    @property
    def reply(self) -> str:
        """What the vendor is answered: the text that its other receivers give, for its pattern of success."""
        return f"Success - Message {'' if self.message is None else self.message} Received"


def verify(token: str, headers: Mapping[str, str], settings: OrderFlow) -> bool:
    """Whether the address is ours and the push shows what the settings say it does. Nothing set: never."""
    hook = settings.webhook
    if not hook.path_token or (settings.push_auth != "path" and not hook.secret):
        return False
    match settings.push_auth:
        case "path":
            pair = ("", "")
        case "header":
            pair = (shown.header(headers, settings.push_header), hook.secret)
        case "basic":
            pair = (shown.basic_password(headers), hook.secret)
    return all(shown.compared((token, hook.path_token), pair))


def recognise(body: bytes) -> Notice:
    """What a push points at; without hints where it is none that changes what we show.

    Raises ValueError for what is no XML, is refused as a document, or is none of the pushes.
    """
    root = wire.parse(body, most=BYTES_MAX)
    subject, event = root, ""
    if root.tag == "event":
        event = (root.get("eventType") or "")[:NAME_MAX]
        detail = root.first("detail") or root
        subject = next((child for child in detail.children if child.tag in KINDS), root)
        if subject is root and (root.get("entity") or "") in KINDS:
            # An event whose template leaves out its payload still says which order it is about.
            subject = Node(root.get("entity") or "", root.attributes, [])
    kind = KINDS.get(subject.tag)
    if kind is None:
        raise Garbled(f"<{subject.tag[:40]}> is no push that is known")
    return Notice(
        kind=kind,
        message=optional_id(root, "messageId"),
        event=event,
        identity=f"{kind}:{hashlib.sha256(body).hexdigest()[:32]}",
        hints=_hints(kind, subject),
    )


def _hints(kind: str, subject: Node) -> tuple[Hint, ...]:
    match kind:
        case "inventory":
            return _skus(product.get("externalReference") for product in subject.all("product"))
        case "stock" | "purchase_order" | "delivery":
            return _skus(node.get("product") for node in subject.walk())
        case "order":
            ref = subject.get("externalReference") or ""
            named = (Hint(kind="order", key=ref),) if 0 < len(ref) <= NAME_MAX else ()
            return (*named, Hint(kind="despatches"))
        case "return":
            return (Hint(kind="returns"), *_skus(node.get("product") for node in subject.walk()))
        case _:
            return ()


def _skus(named: Iterable[str | None]) -> tuple[Hint, ...]:
    """A hint for each SKU; one for everything where there are too many, or one that could be none."""
    skus = list(dict.fromkeys(sku for sku in named if sku))
    if len(skus) > HINTS_MAX or any(len(sku) > NAME_MAX for sku in skus):
        return (Hint(kind="inventory"),)
    return tuple(Hint(kind="sku", key=sku) for sku in skus)
