"""Setting up a vendor outside the running service: calls without a shared budget, one after the other."""

from __future__ import annotations

import httpx2

from sellable.config.settings import Settings
from sellable.connectors.commercetools import setup
from sellable.connectors.commercetools.client import Commercetools
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort


async def set_up_commercetools(
    settings: Settings, client: httpx2.AsyncClient, clock: Clock, *, dry_run: bool
) -> list[tuple[str, str]]:
    """(resource, what was or would be done) for everything the connector needs to exist."""
    port = Commercetools(HttpPort(client, clock, None), None, settings.commercetools)
    steps = await setup.plan(port)
    if not dry_run:
        await setup.apply(port, steps)
    return [(step.resource, step.action) for step in steps]
