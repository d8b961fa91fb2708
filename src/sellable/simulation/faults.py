"""Named troubles of the vendors, put on running simulators.

Rule: a trouble hits the product's calls only, so that shoppers keep ordering and the storefront can be oversold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from sellable.simulation.rules import MASTER, SALE

CT, CIN7 = "commercetools", "cin7"
# Shoppers use carts, POST orders and GET orders/{id}; the product asks for messages, queries orders and writes stock.
_PRODUCT = r"(GET /[^/]+/messages|GET /[^/]+/orders\?|POST /[^/]+/graphql|POST /[^/]+/inventory)"
_MESSAGES = r"GET /[^/]+/messages"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What `says` happens; faults by simulator; of which sources nothing can be learnt meanwhile."""

    says: str
    faults: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    blinds: frozenset[str] = frozenset()


FAULTS: dict[str, Trouble] = {
    "cin7-down": Trouble(
        says="Cin7 Core answers nothing but 503",
        faults={CIN7: [{"effect": "status", "status": 503}]},
        blinds=frozenset({MASTER}),
    ),
    "webhooks-lost": Trouble(
        says="the storefront's messages cannot be had; orders are found by the sweep only",
        faults={CT: [{"effect": "status", "status": 503, "match": _MESSAGES}]},
        blinds=frozenset({SALE}),
    ),
    "storm-429": Trouble(
        says="both vendors refuse half of the calls with 429",
        faults={
            CT: [{"effect": "status", "status": 429, "match": _PRODUCT, "rate": 0.5}],
            CIN7: [{"effect": "status", "status": 429, "rate": 0.5, "retry_after": "10 Seconds"}],
        },
        blinds=frozenset({SALE, MASTER}),
    ),
    "duplicate-storm": Trouble(
        says="a third of all writes are carried out but their answers get lost",
        faults={
            CT: [{"effect": "reset", "when": "after", "match": r"POST /[^/]+/(graphql|inventory)", "rate": 0.33}],
            CIN7: [{"effect": "reset", "when": "after", "match": "POST .*/sale", "rate": 0.33}],
        },
        blinds=frozenset({SALE}),
    ),
    "flash-sale": Trouble(says="orders come eight times as fast, nearly all on a hundredth of the SKUs"),
}
FLASH_TIMES = 8.0


async def set_trouble(http: httpx2.AsyncClient, addresses: Mapping[str, str], name: str, *, on: bool) -> None:
    """Put a trouble in force or end it; others stay as they are. Raises KeyError on an unknown name."""
    for vendor, faults in FAULTS[name].faults.items():
        url = f"{addresses[vendor]}/_sandbox/faults"
        active = (await http.get(url)).json()["active"]
        kept = [fault for fault in active if not fault["name"].startswith(f"{name}:")]
        mine = [{"name": f"{name}:{n}", **fault} for n, fault in enumerate(faults)] if on else []
        (await http.post(url, json=kept + mine)).raise_for_status()


async def fired(http: httpx2.AsyncClient, addresses: Mapping[str, str]) -> dict[str, int]:
    """How often each trouble in force has struck."""
    counts: dict[str, int] = {}
    for vendor in (CT, CIN7):
        for name, times in (await http.get(f"{addresses[vendor]}/_sandbox/faults")).json()["fired"].items():
            trouble = name.split(":")[0]
            counts[trouble] = counts.get(trouble, 0) + times
    return counts


async def put(run: Mapping[str, Any], name: str, seconds: float) -> None:
    """Put a trouble on a running demo (as its run.json describes it); end it after real seconds, if any."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        await set_trouble(http, run, name, on=True)
        flash(run, on=name == "flash-sale")
        if seconds:
            try:
                await asyncio.sleep(seconds)
            finally:
                flash(run, on=False)
                await set_trouble(http, run, name, on=False)


def flash(run: Mapping[str, Any], *, on: bool) -> None:
    """Begin or end a flash sale, by the file that the demo looks for."""
    if on:
        Path(run["flash"]).touch()
    else:
        Path(run["flash"]).unlink(missing_ok=True)


async def clear(run: Mapping[str, Any]) -> None:
    """End all trouble of a running demo."""
    flash(run, on=False)
    async with httpx2.AsyncClient(trust_env=False) as http:
        for vendor in (CT, CIN7):
            (await http.delete(f"{run[vendor]}/_sandbox/faults")).raise_for_status()
