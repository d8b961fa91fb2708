"""What the console's pages of orders, cases and settings ask and do, from the rooms that know how."""

from __future__ import annotations

from collections.abc import Sequence

from sellable.app import answers
from sellable.app.layout import layout_of
from sellable.app.replaying import replay_case
from sellable.app.wiring import stale
from sellable.config import check
from sellable.config.settings import Settings
from sellable.desk.kinds import KINDS
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx
from sellable.stock import numbers
from sellable.stock.availability import BufferRule
from sellable.web.console.work import Work


def work_of(settings: Settings, clock: Clock) -> Work:
    """The work of one process."""
    layout = layout_of(settings)

    def suppose(tx: ReadTx, skus: Sequence[str], rules: Sequence[BufferRule]) -> list[numbers.Number]:
        now = clock.now()
        return numbers.compute(tx, skus, layout, now, stale=stale(settings, tx, now), supposing=rules)

    return Work(
        story=answers.order_story,
        replay=lambda tx, ref, actor: replay_case(tx, settings, ref, actor, clock),
        suppose=suppose,
        refusals=lambda changed: [f"{p.key} {p.message}. {p.mend}" for p in check.check(changed, case_kinds=KINDS)],
    )
