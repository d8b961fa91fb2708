"""`sellable cases`: what a person must own, and what they can do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from sellable.app import acts
from sellable.app.replaying import replay_case
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out, who
from sellable.desk import cases
from sellable.desk.kinds import KINDS
from sellable.runtime.database import Tx

app = typer.Typer(help="Cases: what is wrong, who owns it, and what to do next.", no_args_is_help=True)
Ref = Annotated[str, typer.Argument(help="Reference of the case, like C-000123.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the case's history.")]


@app.command("list")
def listing(
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner.")] = None,
    state: Annotated[str, typer.Option(help="live (open or acknowledged), or resolved.")] = "live",
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Cases ranked by harm, then age. Exit code 0, also when there are none."""
    with opened(config) as (_, store, clock):
        states = cases.LIVE if state == "live" else (state,)
        rows = store.read_now(cases.listing, kind=kind, owner=owner, states=states)
        now = clock.now()
    if json:
        return emit([_plain(row) for row in rows])
    if not rows:
        return out.print("no exceptions")
    table = Table("case", "kind", "subject", "owner", "state", "seen", "age", box=None)
    for r in rows:
        age = int((now - r.first_at).total_seconds() // 60)
        table.add_row(r.ref, r.kind, r.subject, r.owner, r.state, f"{r.count:,}", f"{age:,} min")
    return out.print(table)


@app.command()
def show(ref: Ref, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """One case: expected, actual, evidence, history, next step. Exit code 1 when there is none."""
    with opened(config) as (_, store, _clock):
        case = store.read_now(cases.find, ref)
        history = store.read_now(cases.history, ref) if case else []
    if case is None:
        raise fail(f"no case {ref}")
    if json:
        return emit({**_plain(case), "history": [_plain(h) for h in history]})
    kind = KINDS[case.kind]
    out.print(f"{case.ref} {kind.title}: {case.subject}", style="bold")
    out.print(
        f"{case.state}, owner {case.owner}, seen {case.count:,} time(s), "
        f"{case.first_at:%Y-%m-%d %H:%M} to {case.last_at:%Y-%m-%d %H:%M}"
    )
    out.print(
        f"expected  {case.expected}\nactual    {case.actual}\nevidence  {case.evidence}\nnext step {case.next_step}"
    )
    for h in history:
        out.print(f"  {h.at:%Y-%m-%d %H:%M:%S}  {h.actor}: {h.what} {h.detail or ''}")
    return None


@app.command()
def assign(
    ref: Ref,
    owner: Annotated[str, typer.Argument(help="New owner.")],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Give a case to somebody. Exit codes: 0 done (or theirs already), 1 no such case, 2 nobody named."""

    def act(tx: Tx, actor: str, now: datetime) -> bool:
        return cases.assign(tx, ref, owner, actor, now)

    changed = _act(config, ref, "case.assign", act)
    _tell(ref, changed, f"{ref} is now {owner}'s", f"{ref} is resolved or {owner}'s already", json=json)


@app.command()
def resolve(
    ref: Ref,
    note: Note = "",
    give_up: Annotated[bool, typer.Option("--give-up", help="Leave what is parked behind it parked for good.")] = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Close a case because it is dealt with; if the condition comes back, a new one opens.

    Exit codes: 0 done, 1 no such case, 2 no --note, or something is still parked behind it (replay it first).
    """

    def act(tx: Tx, actor: str, now: datetime) -> bool:
        return cases.resolve(tx, ref, actor, note, now, give_up=give_up)

    changed = _act(config, ref, "case.resolve", act)
    _tell(ref, changed, f"{ref} is resolved", f"{ref} was resolved already", json=json)


@app.command()
def replay(ref: Ref, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Try again everything parked behind a case. Doing it twice does nothing more; it is kept in the history.

    Exit codes: 0 done, or nothing is parked; 1 no such case.
    """
    counts = []

    with opened(config) as (settings, store, clock):

        def write(tx: Tx) -> int:
            count = replay_case(tx, settings, ref, who(), clock)
            after = {"case": ref, "count": count}
            acts.record(tx, settings, clock, who(), "case.replay", f"case:{ref}", after=after, correlation=ref)
            return count

        if store.read_now(cases.find, ref) is None:
            raise fail(f"no case {ref}")
        counts.append(store.write_now(write))
    if json:
        return emit({"case": ref, "tried_again": counts[0]})
    out.print(f"{counts[0]} thing(s) of {ref} will be tried again" if counts[0] else f"nothing is parked behind {ref}")
    return None


def _act(config: Any, ref: str, action: str, act: Callable[[Tx, str, datetime], bool]) -> bool:
    """Does it and puts it on the record; whether it changed anything."""
    with opened(config) as (settings, store, clock):

        def write(tx: Tx) -> bool:
            before = cases.lock(tx, ref)
            if not act(tx, who(), clock.now()):
                return False
            after = cases.lock(tx, ref)
            acts.record(
                tx, settings, clock, who(), action, f"case:{ref}", correlation=ref,
                before={"owner": before.owner, "state": before.state},
                after={"owner": after.owner, "state": after.state},
            )  # fmt: skip
            return True

        try:
            return store.write_now(write)
        except cases.CaseMissing as error:
            raise fail(str(error)) from error
        except ValueError as error:
            raise fail(str(error), 2) from error


def _tell(ref: str, changed: bool, done: str, already: str, *, json: bool) -> None:
    if json:
        return emit({"case": ref, "changed": changed})
    out.print(done if changed else already)
    return None


def _plain(row: Any) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(row).items()}
