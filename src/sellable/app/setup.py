"""Setting up a vendor outside the running service: calls without a shared budget, one after the other.

Rule: what was changed there is on the record before the next change is made.
"""

from __future__ import annotations

import httpx2

from sellable.app import acts
from sellable.config.settings import Settings
from sellable.connectors.commercetools import setup
from sellable.connectors.commercetools.client import Commercetools
from sellable.connectors.commercetools.setup import Step
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.http import HttpPort


async def set_up_commercetools(
    settings: Settings, client: httpx2.AsyncClient, clock: Clock, store: Store | None, actor: str
) -> list[tuple[str, str]]:
    """(resource, what was done) for everything the connector needs to exist, recorded in `store`.

    Without a store nothing is done: what would be is returned.
    """
    port = Commercetools(HttpPort(client, clock, None), None, settings.commercetools)
    steps = await setup.plan(port)
    if store is not None:
        await setup.apply(port, steps, lambda step: store.write_now(_record, settings, clock, actor, step))
    return [(step.resource, step.action) for step in steps]


def _record(tx: Tx, settings: Settings, clock: Clock, actor: str, step: Step) -> None:
    before = {"state": "absent"} if step.action == "create" else {"state": "there", "version": step.body["version"]}
    after = {"state": "there", "action": step.action, "body": step.body}
    acts.record(tx, settings, clock, actor, f"setup.{step.action}", step.resource, before=before, after=after)
