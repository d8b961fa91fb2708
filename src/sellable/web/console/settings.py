"""What is configured, and who says it; what may be said here is looked at before and can be taken back after.

One rule: a value that the check of the settings file would refuse is refused here, with the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
from starlette.responses import Response

from sellable.config import sources
from sellable.config.said import BUFFERS, FIXED, KINDS, Kind, merged
from sellable.config.settings import Buffer, Settings
from sellable.desk.kinds import KINDS as CASES
from sellable.runtime import said as said_module
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.said import Change, Fields, Key, NotTheLast, Said
from sellable.stock import buffers
from sellable.stock.buffers import ALL_CHANNELS
from sellable.web.console.doors import Page, Role, Visit
from sellable.web.console.forms import go, only, said, sent
from sellable.web.console.render import page

WHY_MAX = 200
SHOWN = 20
HISTORY = 20
HERE = "/settings"
SAID = {
    "set": ("good", "Set, for all processes. What follows from it is done within seconds."),
    "let-go": ("good", "Set. {n} held orders go on."),
    "undone": ("good", "Undone. What follows from it is done within seconds."),
    "same": ("", "Nothing changed: it is so already."),
    "later": ("bad", "Not undone: it was changed again since."),
    "gone": ("bad", "Not undone: there is no such change."),
    "refused": ("bad", "Not done: look at the change first."),
    "why": ("bad", "Not done: say why, in up to 200 characters."),
}
EVENTS = ("ready", "partly_shipped", "shipped")
"""What [[statuses]] may be about."""
ALL_KINDS = {BUFFERS.section: BUFFERS, **KINDS}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row as it counts now: what names it, its value, what the file says of it (None: nothing), who said another."""

    kind: Kind
    key: Key
    value: Fields
    file: Fields | None
    hand: Said | None
    fits: bool = True


async def show(visit: Visit) -> Response:
    """Everything that is configured."""

    def read(tx: ReadTx) -> tuple[list[Said], list[Change], Settings, list[Key]]:
        return said_module.values(tx), said_module.changes(tx, HISTORY), *visit.console.work.together(tx)

    hands, history, settings, left_out = await visit.console.store.read(read)
    file = visit.console.live.file
    groups = [(name, list(values)) for name, values in groupby(sources.values(file), lambda v: v.key.partition(".")[0])]
    return page(
        visit, "settings.html", headline=headline(groups, hands), history=history, groups=groups, fixed=FIXED,
        sections=[(kind, lines(kind, file, hands, left_out)) for kind in ALL_KINDS.values()],
        lists=[each for each in sources.lists(file) if each[0] not in ALL_KINDS or each[0] in FIXED],
        said=said(visit, SAID),
        over=said_module.over(hands), kinds=ALL_KINDS, may=lambda key: visit.person.may(needed(key)),
        may_any=visit.person.may("operator"), may_all=visit.person.may("approver"),
        choices=choices(settings), every=ALL_CHANNELS,
    )  # fmt: skip


def headline(groups: Sequence[tuple[str, Sequence[sources.Value]]], hands: Sequence[Said]) -> str:
    """How much is said by whom."""
    every = [value for _, values in groups for value in values]
    by_file = sum(value.source != "default" for value in every)
    here = f"{len(hands)} said here" if hands else "none is said here"
    return f"{by_file} of {len(every)} settings are said by file or environment, the others are defaults; {here}"


def lines(kind: Kind, file: Settings, hands: Sequence[Said], left_out: Sequence[Key]) -> list[Line]:
    """All rows of a kind, those of the file and those said here over them."""
    says = {key: {"units": n} for key, n in buffers.of_file(file).items()} if kind is BUFFERS else kind.of(file)
    hand = {each.key: each for each in hands if each.key[0] == kind.section}
    return [
        Line(
            kind=kind, key=key, value=hand[key].value if key in hand and key not in left_out else says.get(key, {}),
            file=says.get(key), hand=hand.get(key), fits=key not in left_out,
        )
        for key in sorted({*says, *hand})
    ]  # fmt: skip


# --- Saying one ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants said: `value` None is what the file says."""

    kind: Kind
    key: Key
    value: Fields | None
    why: str


async def preview(visit: Visit) -> Response:
    """What a setting would change; nothing changes yet."""
    asked = {name: [value] for name, value in visit.request.query_params.items()}
    wish, problems = await wish_of(asked, visit)
    if wish is None or problems:
        return page(visit, "setting.html", status_code=422, wish=wish, problems=problems)

    def look(tx: Tx) -> tuple[Any, Line | None]:
        here = lines(wish.kind, visit.console.live.file, said_module.values(tx), visit.console.work.together(tx)[1])
        now = next((line for line in here if line.key == wish.key), None)
        return visit.console.work.effect(tx, wish.key, wish.value), now

    effect, before = await visit.console.store.write(look)
    return page(
        visit, "setting.html", wish=wish, problems=[], effect=effect, before=before, shown=SHOWN, every=ALL_CHANNELS,
        why_needed=wish.kind is not BUFFERS, why_max=WHY_MAX,
    )  # fmt: skip


async def apply(visit: Visit) -> Response:
    """Says it, on the record."""
    wish, problems = await wish_of(await sent(visit), visit)
    if wish is None or problems:
        return go(HERE, done="refused")
    if len(wish.why) > WHY_MAX or (not wish.why and wish.kind is not BUFFERS):
        return go(HERE, done="why")

    def write(tx: Tx) -> tuple[bool, int]:
        before, changed, let_go = visit.console.work.put(tx, wish.key, wish.value, visit.person.name, wish.why)
        if changed:
            _record(visit, tx, "set", wish.key, before, wish.value, wish.why)
        return changed, let_go

    changed, n = await visit.console.store.write(write)
    return go(HERE, done="let-go" if n else "set" if changed else "same", n=n or "")


async def undo(visit: Visit) -> Response:
    """Takes the last change of a setting back, on the record."""
    text = only(await sent(visit), "change")
    change = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0

    def write(tx: Tx) -> str:
        if not visit.person.may(needed(said_module.change(tx, change).key)):
            return "refused"
        undone = visit.console.work.undo(tx, change, visit.person.name)
        _record(visit, tx, "undo", undone.key, undone.after, undone.before, undone.why)
        return "undone"

    try:
        return go(HERE, done=await visit.console.store.write(write))
    except NotTheLast:
        return go(HERE, done="later")
    except LookupError:
        return go(HERE, done="gone")


async def wish_of(fields: Mapping[str, list[str]], visit: Visit) -> tuple[Wish | None, list[str]]:
    """What a form asks for, and why it cannot be done."""
    kind = ALL_KINDS.get(visit.request.path_params["section"])
    if kind is None:
        return None, ["This stays in the settings file."]
    given = {name: only(fields, name) for name in (*kind.names, *kind.fields)}
    if kind is BUFFERS and "channel" not in fields:
        given["channel"] = ALL_CHANNELS
    try:
        key = (kind.section, *(str(kind.parsed(name, given[name])) for name in kind.names))
        nothing = not any(given[field] for field in kind.fields)
        value = None if nothing else {field: kind.parsed(field, given[field]) for field in kind.fields}
    except ValueError as error:
        return None, [f"{str(error)[:1].upper()}{str(error)[1:]}."]
    wish = Wish(kind=kind, key=key, value=value, why=only(fields, "why"))
    if not visit.person.may(needed(key)):
        return wish, [f"This is for people with the role {needed(key)} or more."]
    return wish, await visit.console.store.read(refusals, wish, visit)


def needed(key: Key) -> Role:
    """Who may say it: what concerns more than one SKU is more than one person's daily work."""
    return "operator" if key[0] in ("buffers", "skus") and key[1] else "approver"


def refusals(tx: ReadTx, wish: Wish, visit: Visit) -> list[str]:
    """What the check of the settings file has against it and did not have before."""
    settings, _ = visit.console.work.together(tx)
    if wish.kind is BUFFERS:
        which = buffers.which(wish.key)
        units = wish.value["units"] if wish.value else 0
        rule = Buffer(units=units, sku=which.sku, location=which.location, channel=which.channel)
        changed, misfits = msgspec.structs.replace(settings, buffers=(*settings.buffers, rule)), False
    elif wish.value is None:
        return []
    else:
        changed, left_out = merged(settings, [(wish.key, wish.value)])
        misfits = bool(left_out)
    before = set(visit.console.work.refusals(settings))
    found = [words for words in visit.console.work.refusals(changed) if words not in before]
    return [f"The file has no such row in [[{wish.kind.section}]]."] if misfits else found


def _record(
    visit: Visit, tx: Tx, action: str, key: Key, before: Fields | None, after: Fields | None, why: str
) -> None:  # fmt: skip
    kind, buffer = ALL_KINDS[key[0]], key[0] == BUFFERS.section
    names = {"section": key[0], **kind.row(key)}

    def told(value: Fields | None) -> dict[str, Any]:
        return {**names, "buffer": value and value["units"]} if buffer else {**names, **(value or {}), "reason": why}

    subject = f"sku:{key[1]}" if key[0] in ("buffers", "skus") and key[1] else key[0]
    visit.console.record(
        tx, visit.person.name, f"{'buffer' if buffer else 'setting'}.{action}", subject, before=told(before),
        after=told(after),
    )  # fmt: skip


def choices(settings: Settings) -> dict[str, list[tuple[str, str]]]:
    """Fields that are one of a few -> (value, word)."""
    channels = [(channel.key, channel.key or "entries without a channel") for channel in settings.channels]
    return {
        "buffers.location": [("", "whole pool"), *((each.name, each.name) for each in settings.locations)],
        "buffers.channel": [(ALL_CHANNELS, "every channel"), *channels],
        "channels.key": channels,
        "statuses.event": [(name, name.replace("_", " ")) for name in EVENTS],
        "owners.kind": [("*", "every kind not named"), *((name, name) for name in CASES)],
    }


PAGES = [
    Page(path="/settings", answer=show, role="viewer"),
    Page(path="/settings/undo", answer=undo, role="operator", methods=("POST",)),
    Page(path="/settings/{section}", answer=preview, role="operator"),
    Page(path="/settings/{section}", answer=apply, role="operator", methods=("POST",)),
]
