"""What a push shows of its sender. One rule: all that can be compared is, so that the time taken tells nothing."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping


def header(headers: Mapping[str, str], name: str) -> str:
    """A header's value however its name is spelled, "" where there is none."""
    return next((value.strip() for key, value in headers.items() if key.lower() == name.lower()), "")


def bearer(headers: Mapping[str, str]) -> str:
    """The bearer token, "" where there is none."""
    return _credentials(headers, "bearer")


def basic_password(headers: Mapping[str, str]) -> str:
    """The password of HTTP Basic, whoever the user is; "" where there is none."""
    try:
        return base64.b64decode(_credentials(headers, "basic"), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def compared(*pairs: tuple[str, str]) -> list[bool]:
    """Whether each pair is the same; every one is looked at in full."""
    return [hmac.compare_digest(theirs.encode(), ours.encode()) for theirs, ours in pairs]


def _credentials(headers: Mapping[str, str], scheme: str) -> str:
    given, _, credentials = header(headers, "authorization").partition(" ")
    return credentials.strip() if given.lower() == scheme else ""
