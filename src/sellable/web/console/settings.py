"""What is configured, and where it comes from; buffers are changed here, looked at before and taken back after.

One rule: a value that the check of the settings file would refuse is refused here, with the same reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
from starlette.responses import Response

from sellable.config import sources
from sellable.config.settings import Buffer, Settings
from sellable.runtime.database import ReadTx, Tx
from sellable.stock import buffers
from sellable.stock.buffers import ALL_CHANNELS, ByHand, NotTheLast, Which
from sellable.stock.numbers import Number
from sellable.web.console.doors import Page, Role, Visit
from sellable.web.console.forms import go, only, said, sent
from sellable.web.console.render import page

SKU_MAX = 200
UNITS_MAX = 1_000_000
LOOKED_AT = 2000
"""Numbers of more SKUs than that are not computed for a preview."""
BATCH = 300
SHOWN = 20
HISTORY = 20
HERE = "/settings"
SAID = {
    "set": ("good", "Set. {n} SKUs are looked at anew, and what differs is written within seconds."),
    "undone": ("good", "Undone. The numbers follow within seconds."),
    "same": ("", "Nothing changed: it is so already."),
    "later": ("bad", "Not undone: that buffer was changed again since."),
    "gone": ("bad", "Not undone: there is no such change."),
    "refused": ("bad", "Not done: look at the change first."),
}


@dataclass(frozen=True, kw_only=True)
class Held:
    """A buffer as it holds now: units, what the file says of the same (None: nothing), and who set it by hand."""

    which: Which
    units: int
    file: int | None
    hand: ByHand | None


async def show(visit: Visit) -> Response:
    """Everything that is configured."""

    def read(tx: ReadTx) -> tuple[list[ByHand], list[buffers.Change]]:
        return buffers.by_hand(tx), buffers.changes(tx, HISTORY)

    by_hand, history = await visit.console.store.read(read)
    settings = visit.console.settings
    rows = held_back(settings, by_hand)
    groups = [
        (name, list(values)) for name, values in groupby(sources.values(settings), lambda v: v.key.partition(".")[0])
    ]
    return page(
        visit, "settings.html", headline=headline(groups, by_hand), buffers=rows, history=history, groups=groups,
        lists=[each for each in sources.lists(settings) if each[0] != "buffers"], said=said(visit, SAID),
        **_choices(settings), may_change=visit.person.may("operator"), may_change_all=visit.person.may("approver"),
    )  # fmt: skip


def headline(groups: Sequence[tuple[str, Sequence[sources.Value]]], by_hand: Sequence[ByHand]) -> str:
    """How much is said by whom."""
    every = [value for _, values in groups for value in values]
    said = sum(value.source != "default" for value in every)
    hand = f"{len(by_hand)} buffer{'s' if len(by_hand) != 1 else ''} set here" if by_hand else "no buffer set here"
    return f"{said} of {len(every)} settings are said by file or environment, the others are defaults; {hand}"


def held_back(settings: Settings, by_hand: Sequence[ByHand]) -> list[Held]:
    """All buffers that hold, those of the file and those set by hand over them."""
    file = from_file(settings)
    hands = {each.which: each for each in by_hand}
    return [
        Held(
            which=which, units=hands[which].units if which in hands else file[which], file=file.get(which),
            hand=hands.get(which),
        )
        for which in sorted({*file, *hands}, key=lambda w: (w.sku, w.location, w.channel or ""))
    ]  # fmt: skip


def from_file(settings: Settings) -> dict[Which, int]:
    """Units that the settings file holds back, added up where several rules are for the same."""
    found: dict[Which, int] = defaultdict(int)
    for rule in settings.buffers:
        found[Which(sku=rule.sku, location=rule.location, channel=rule.channel)] += rule.units
    return dict(found)


# --- Changing a buffer -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A buffer somebody wants: `units` None is what the file says."""

    which: Which
    units: int | None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a wish would change: of `skus` SKUs concerned `looked_at` were computed, and `changes` differ."""

    skus: int
    looked_at: int
    numbers: int
    changes: Sequence[tuple[Number, Number]]

    @property
    def sold_out(self) -> int:
        """Numbers that would fall to nothing."""
        return sum(after.explanation.target == 0 for _, after in self.changes)


async def preview(visit: Visit) -> Response:
    """What a buffer would change; nothing changes yet."""
    asked = {name: [value] for name, value in visit.request.query_params.items()}
    wish, problems = wish_of(asked, visit)
    if wish is None or problems:
        return page(visit, "buffer.html", status_code=422, wish=wish, problems=problems, effect=None, before=None)
    held = from_file(visit.console.settings)
    rule = wish.which.rule(held.get(wish.which, 0) if wish.units is None else wish.units)

    def read(tx: ReadTx) -> tuple[Effect, Held | None]:
        skus = buffers.concerned(tx, wish.which)
        now: list[Number] = []
        then: list[Number] = []
        for start in range(0, min(len(skus), LOOKED_AT), BATCH):
            some = skus[start : min(start + BATCH, LOOKED_AT)]
            now += visit.console.work.suppose(tx, some, [])
            then += visit.console.work.suppose(tx, some, [rule])
        pairs = [(a, b) for a, b in zip(now, then, strict=True) if a.explanation.target != b.explanation.target]
        pairs.sort(key=lambda pair: pair[1].explanation.target - pair[0].explanation.target)
        here = [s for s in held_back(visit.console.settings, buffers.by_hand(tx)) if s.which == wish.which]
        effect = Effect(skus=len(skus), looked_at=min(len(skus), LOOKED_AT), numbers=len(now), changes=pairs)
        return effect, here[0] if here else None

    effect, before = await visit.console.store.read(read)
    return page(
        visit, "buffer.html", wish=wish, problems=[], effect=effect, before=before, file=held.get(wish.which),
        shown=SHOWN,
    )  # fmt: skip


async def apply(visit: Visit) -> Response:
    """Sets the buffer, on the record."""
    wish, problems = wish_of(await sent(visit), visit)
    if wish is None or problems:
        return go(HERE, done="refused")

    def write(tx: Tx) -> tuple[bool, int]:
        before, changed = buffers.put(tx, wish.which, wish.units, visit.person.name, visit.console.clock.now())
        if changed:
            _record(visit, tx, "buffer.set", wish.which, before, wish.units)
        return changed, len(buffers.concerned(tx, wish.which))

    changed, n = await visit.console.store.write(write)
    return go(HERE, done="set" if changed else "same", n=n or "0")


async def undo(visit: Visit) -> Response:
    """Takes the last change of a buffer back, on the record."""
    text = only(await sent(visit), "change")
    change = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0

    def write(tx: Tx) -> str:
        if not visit.person.may(needed(buffers.change(tx, change).which)):
            return "refused"
        which, before, after = buffers.undo(tx, change, visit.person.name, visit.console.clock.now())
        _record(visit, tx, "buffer.undo", which, before, after)
        return "undone"

    try:
        return go(HERE, done=await visit.console.store.write(write))
    except NotTheLast:
        return go(HERE, done="later")
    except LookupError:
        return go(HERE, done="gone")


def wish_of(fields: Mapping[str, list[str]], visit: Visit) -> tuple[Wish | None, list[str]]:
    """What a form asks for, and why it cannot be done."""
    text = only(fields, "units")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) <= UNITS_MAX):
        return None, [f"Units are a whole number from 0 to {UNITS_MAX:,}; empty is what the file says."]
    channel = only(fields, "channel") if "channel" in fields else ALL_CHANNELS
    sku = only(fields, "sku")
    if len(sku) > SKU_MAX or "\x00" in sku:
        return None, [f"A SKU has at most {SKU_MAX} characters."]
    which = Which(sku=sku, location=only(fields, "location"), channel=None if channel == ALL_CHANNELS else channel)
    wish = Wish(which=which, units=int(text) if text else None)
    if not visit.person.may(needed(which)):
        return wish, [f"A buffer of every SKU is for people with the role {needed(which)} or more."]
    return wish, refusals(wish, visit)


def needed(which: Which) -> Role:
    """Who may set it: what concerns every SKU is more than one person's daily work."""
    return "operator" if which.sku else "approver"


def refusals(wish: Wish, visit: Visit) -> list[str]:
    """What the check of the settings file has against it and did not have before."""
    settings, which = visit.console.settings, wish.which
    rule = Buffer(units=wish.units or 0, sku=which.sku, location=which.location, channel=which.channel)
    changed = msgspec.structs.replace(settings, buffers=(*settings.buffers, rule))
    before = set(visit.console.work.refusals(settings))
    return [words for words in visit.console.work.refusals(changed) if words not in before]


def _record(visit: Visit, tx: Tx, action: str, which: Which, before: int | None, after: int | None) -> None:
    named = {"sku": which.sku, "location": which.location, "channel": which.key()["channel"]}
    visit.console.record(
        tx, visit.person.name, action, f"sku:{which.sku}" if which.sku else "buffers",
        before={**named, "buffer": before}, after={**named, "buffer": after},
    )  # fmt: skip


def _choices(settings: Settings) -> dict[str, Any]:
    return {
        "locations": [location.name for location in settings.locations],
        "channels": [channel.key for channel in settings.channels],
        "every": ALL_CHANNELS,
    }


PAGES = [
    Page(path="/settings", answer=show, role="viewer"),
    Page(path="/settings/buffer", answer=preview, role="operator"),
    Page(path="/settings/buffer", answer=apply, role="operator", methods=("POST",)),
    Page(path="/settings/buffer/undo", answer=undo, role="operator", methods=("POST",)),
]
