"""Who limits or fails us? Each vendor's health, budget, backlog and refusals, and the switch that stops all writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from sellable.runtime.database import ReadTx, Row
from sellable.runtime.queries import queries
from sellable.web.console.doors import Page, Visit
from sellable.web.console.forms import go, only, sent
from sellable.web.console.freshness import sets_too_old, title_of
from sellable.web.console.lanes import Credential, credentials_of
from sellable.web.console.render import duration, page

sql = queries("sellable.web.console")

HOOKS = {"commercetools": "commercetools", "cin7_core": "cin7", "orderflow": "orderflow"}
"""Vendor -> the source of its webhooks."""
PACE_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """One vendor as people see it."""

    name: str
    title: str
    tone: str
    health: str
    credentials: Sequence[Credential]
    feeds: Sequence[Mapping[str, Any]]
    owed: Sequence[Row]
    waiting: int
    drain: str
    refusals: Sequence[Row]
    hook_at: datetime | None


async def show(visit: Visit) -> Response:
    """All vendors."""
    status = await visit.console.overview()
    owed, refusals, switch, too_old = await visit.console.store.read(_read, visit)
    vendors = [
        vendor_of(name, status, owed, refusals, visit.console.heard.get(HOOKS[name]), dict(too_old))
        for name in ("commercetools", *visit.console.settings.back_offices)
    ]
    return page(
        visit, "vendors.html", following=True, headline=headline(vendors), vendors=vendors, switch=switch,
        frozen=bool(switch and switch.value), too_old=too_old, done=visit.request.query_params.get("done", ""),
        differences=status["differences"],
    )  # fmt: skip


async def act(visit: Visit) -> Response:
    """Freeze or resume the writes of stock."""
    what = only(await sent(visit), "act")
    if what not in ("freeze", "resume"):
        return go("/vendors")
    freeze = what == "freeze"
    changed = await visit.console.acts.freeze(visit.person.name, freeze)
    done = ("frozen" if freeze else "resumed") if changed else "already"
    return go("/vendors", done=done)


PAGES = [
    Page(path="/vendors", answer=show, role="viewer"),
    Page(path="/vendors", answer=act, role="approver", methods=("POST",)),
]


def headline(vendors: Sequence[Vendor]) -> str:
    """Who limits or fails us, as a sentence."""
    bad = [f"{v.title} {v.health}" for v in vendors if v.tone]
    waiting = sum(v.waiting for v in vendors)
    owing = f"{waiting:,} call{'s' if waiting != 1 else ''} wait" + ("s" if waiting == 1 else "") if waiting else ""
    if not bad:
        return f"No vendor limits or fails us{'; ' + owing if owing else ''}"
    return "; ".join([*bad, *([owing] if owing else [])])


def vendor_of(
    name: str,
    status: Mapping[str, Any],
    owed: Sequence[Row],
    refusals: Sequence[Row],
    hook_at: datetime | None,
    too_old: Mapping[str, datetime],
) -> Vendor:
    """What is known of one vendor, put together."""
    credentials = [c for c in credentials_of(status.get("budgets", [])) if c.vendor == name]
    feeds = [f for f in status["feeds"] if f["name"].partition(".")[0] == name]
    mine = [row for row in owed if row.system == name]
    tone, health = health_of(credentials, feeds, title_of(name) in too_old)
    return Vendor(
        name=name, title=title_of(name), tone=tone, health=health, credentials=credentials,
        feeds=[{**f, "flow": f["name"].partition(".")[2]} for f in feeds], owed=mine,
        waiting=sum(row.waiting for row in mine), drain=drain_of(mine),
        refusals=[row for row in refusals if row.system == name], hook_at=hook_at,
    )  # fmt: skip


def health_of(credentials: Sequence[Credential], feeds: Sequence[Mapping[str, Any]], too_old: bool) -> tuple[str, str]:
    """Tone and words; the worst first."""
    failing = [f for f in feeds if f["failures"]]
    if failing:
        return "bad", f"fails us: {len(failing)} flow{'s' if len(failing) != 1 else ''} failing"
    if too_old:
        return "bad", "was not read to its end for too long"
    if any(c.cooling for c in credentials):
        return "bad", "has told us to wait"
    if not any(f["last_success_seconds"] is not None for f in feeds):
        return "warn", "was not read yet"
    if any(c.tone for c in credentials):
        return "warn", "nearly limits us"
    return "", "is well"


def drain_of(owed: Sequence[Row]) -> str:
    """How long the backlog lasts at the pace of the last five minutes."""
    waiting, settled = sum(row.waiting for row in owed), sum(row.settled for row in owed)
    if not waiting:
        return "nothing waits"
    return f"done in {duration(waiting * PACE_SECONDS / settled)} at the present pace" if settled else "does not move"


def _read(tx: ReadTx, visit: Visit) -> tuple[list[Row], list[Row], Row | None, list[tuple[str, datetime]]]:
    now = visit.console.clock.now()
    return (
        tx.all(sql.owed, now=now),
        tx.all(sql.refusals, now=now),
        tx.one(sql.frozen_by),
        sets_too_old(tx, visit.console.settings, now),
    )
