"""What an address says of itself. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def only_here(listen: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    return is_loopback(listen.rpartition(":")[0].strip("[]") or "127.0.0.1")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def scheme_and_host(url: str) -> tuple[str, str]:
    """Both of an address, empty where they cannot be read."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or ""
    except ValueError:
        return "", ""
