"""The ladder a channel climbs: shadow, lowers, full; and the brake on its first pass in a mode that writes more.

A step is taken by changing `mode` in the settings. The first pass that follows is counted before anything new is
written; one that would change too much waits until a person lets it go, or the settings are mended and the service
restarted. What lowers and was written before the step goes on meanwhile: held up, it would oversell.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.app import acts
from sellable.app.desk import CaseDesk
from sellable.app.layout import masters_of
from sellable.config.settings import Channel, Settings
from sellable.runtime import feeds, telemetry
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries
from sellable.sync import plan
from sellable.sync.writer import WORK

sql = queries("sellable.app")
KIND = "first_pass_stopped"

rung = telemetry.gauge("channel_mode", "0 shadow, 1 lowers, 2 full.", ["channel"])
held = telemetry.gauge("channel_first_pass_held", "1 while a first pass is counted or stopped.", ["channel"])


def brake_of(channel: Channel) -> plan.Brake:
    """How much a channel's first pass may change."""
    return plan.Brake(
        keys_percent=channel.brake_keys_percent, units_percent=channel.brake_units_percent,
        keys_min=channel.brake_keys_min,
    )  # fmt: skip


def notice(tx: Tx, settings: Settings, desk: CaseDesk, now: datetime) -> None:
    """A process starts: channels whose mode is another than before step up or down."""
    for channel in settings.channels:
        row = tx.one(sql.rung_of, channel=channel.key)
        before, was, falls = _standing(tx, channel, row)
        gate = gate_of(channel, before, was)
        if row is None or (row.mode, row.gate) != (channel.mode, gate):
            falls = channel.mode != "shadow" and falls
            tx.run(sql.step_on, channel=channel.key, mode=channel.mode, gate=gate, falls=falls, now=now)
        if gate == "open":
            desk.clear_cases(tx, [KIND], subject(channel.key), now)
        elif row is None or row.gate != "checking":
            # Counted on a list of the master that began after this: the next one need not be waited for.
            for master in masters_of(settings):
                feeds.poke(tx, f"{master}.stock")
    tx.run(sql.drop_rungs, channels=[channel.key for channel in settings.channels])


def _standing(tx: Tx, channel: Channel, row: Any) -> tuple[str | None, str | None, bool]:
    """(mode, gate, whether what lowers was written) of a channel until now. One that was written to before there was a
    ladder wrote everything."""
    if row is not None:
        return row.mode, row.gate, row.falls or (row.gate == "open" and row.mode != "shadow")
    return ("full", "open", True) if tx.value(sql.wrote_before, channel=channel.key) else (None, None, False)


def gate_of(channel: Channel, before: str | None, gate: str | None) -> str:
    """Whether a channel may write at once or its first pass is counted. What was stopped is counted anew: the settings
    may have been mended."""
    if channel.mode == "shadow" or brake_of(channel).off:
        return "open"
    if gate == "open" and not plan.climbs(before, channel.mode):
        return "open"
    return "checking"


def judge(tx: Tx, desk: CaseDesk, settings: Settings, now: datetime) -> None:
    """Lets first passes go that change little, stops the others behind a case."""
    channels = {channel.key: channel for channel in settings.channels}
    for row in tx.all(sql.first_passes, masters=sorted(masters_of(settings))):
        channel = channels.get(row.channel)
        if channel is None or channel.mode != row.mode:
            continue  # Another process with other settings has it.
        found, examples = first_pass(tx, channel)
        reasons = plan.too_much(found, brake_of(channel))
        if reasons:
            desk.open_case(
                tx, KIND, subject(channel.key), now,
                expected={"mode": channel.mode, "brake": msgspec.to_builtins(brake_of(channel))},
                actual={"because": reasons, **msgspec.to_builtins(found), "largest": examples},
            )  # fmt: skip
        else:
            desk.clear_cases(tx, [KIND], subject(channel.key), now)
            tx.notify(WORK)
        gate, kept = ("stopped" if reasons else "open"), msgspec.json.encode(found).decode()
        tx.run(sql.set_gate, channel=channel.key, gate=gate, found=kept)
    for row in rungs(tx):
        rung.labels(row["channel"]).set(plan.RUNGS[row["mode"]])
        held.labels(row["channel"]).set(row["gate"] != "open")


def first_pass(tx: ReadTx, channel: Channel) -> tuple[plan.FirstPass, list[str]]:
    """What a channel's first pass would change in its mode, and the SKUs that differ most."""
    raises = channel.mode == "full"
    row = tx.one(sql.first_pass, channel=channel.key, raises=raises)
    assert row is not None
    found = plan.FirstPass(
        keys=row.keys, units=row.units, changed_keys=row.lowers + (row.raises if raises else 0),
        changed_units=row.lowered + (row.raised if raises else 0),
    )  # fmt: skip
    return found, row.examples or []


def proceed(tx: Tx, settings: Settings, clock: Clock, desk: CaseDesk, actor: str, channel: str) -> str | None:
    """A person lets a stopped first pass go, on the record. Returns what its gate was; None for no such channel."""
    row = tx.one(sql.rung_of, channel=channel)
    if row is None:
        return None
    if row.gate == "stopped":
        tx.run(sql.set_gate, channel=channel, gate="open", found=None)
        desk.clear_cases(tx, [KIND], subject(channel), clock.now())
        before, after = {"state": "stopped", "mode": row.mode}, {"state": "open", "mode": row.mode}
        acts.record(tx, settings, clock, actor, "cutover.proceed", subject(channel), before=before, after=after)
        tx.notify(WORK)
    return str(row.gate)


def rungs(tx: ReadTx) -> Sequence[dict[str, Any]]:
    """Every channel with its mode, since when, whether its first pass is held, and how many numbers differ."""
    return [
        {
            "channel": row.channel, "mode": row.mode, "since": row.since.isoformat(), "gate": row.gate,
            "lowers": row.lowers, "raises": row.raises,
        }
        for row in tx.all(sql.rungs)
    ]  # fmt: skip


def subject(channel: str) -> str:
    """What a case about a channel is about."""
    return f"channel:{channel}"
