"""What the console's pages of orders, cases and settings ask and do, from the rooms that know how."""

from __future__ import annotations

from sellable.app import answers, said, supposing
from sellable.app.replaying import replay_case
from sellable.config.said import Live
from sellable.runtime.clock import Clock
from sellable.web.console.work import Work


def work_of(live: Live, clock: Clock) -> Work:
    """The work of one process."""
    return Work(
        story=answers.order_story,
        replay=lambda tx, ref, actor: replay_case(tx, live(), ref, actor, clock),
        refusals=said.refusals,
        together=lambda tx: said.together_now(tx, live.file),
        put=lambda tx, key, value, actor, why: said.put(tx, live.file, clock, key, value, actor, why),
        undo=lambda tx, change, actor: said.undo(tx, live.file, clock, change, actor),
        effect=lambda tx, key, value: supposing.effect(tx, live.file, clock, key, value),
    )
