"""`sellable people`: who may sign in at the console, what they may do, and tokens for programs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from sellable.app import acts
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, emit, fail, opened, out, who
from sellable.config.load import load
from sellable.runtime.database import Tx
from sellable.web.people import book
from sellable.web.people.book import Book, Missing, NotDone
from sellable.web.people.pages import link_to

T = TypeVar("T")
ANY_ADDRESS = ("", "0.0.0.0", "[::]")  # noqa: S104 - nothing listens by it.

app = typer.Typer(help="People who may sign in at the console, and tokens for programs.", no_args_is_help=True)
tokens = typer.Typer(help="Tokens that programs show instead of a password.", no_args_is_help=True)
app.add_typer(tokens, name="token")

Name = Annotated[str, typer.Argument(help="The person's name; capitals do not matter.")]
Role = Annotated[str, typer.Argument(help="viewer, operator, approver or admin; each may do what those before may.")]


@app.command("list")
def listing(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Everybody, with their role, state and when they were last at the console. Exit code 0, also when nobody is."""
    with opened(config) as (_, store, _clock):
        rows, _ = store.read_now(book.listing)
    if json:
        return emit([{**_plain(row), "state": _state(row)} for row in rows])
    if not rows:
        return out.print("nobody yet: `sellable people add NAME --role admin`")
    table = Table("name", "role", "state", "last here", box=None)
    for row in rows:
        table.add_row(row.name, row.role, _state(row), f"{row.seen_at:%Y-%m-%d %H:%M}" if row.seen_at else "never")
    return out.print(table)


@app.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option(help="viewer, operator, approver or admin.")] = "viewer",
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """A new person; prints the one-time link by which they set their password.

    Exit codes: 0 done, 2 the name is taken or no name, or there is no such role.
    """
    _show_link(config, name, lambda people, tx: people.add(tx, who(), name, role), json=json)


@app.command()
def link(name: Name, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Print a new one-time link, for who never used theirs or forgot the password. Links made before end.

    Exit codes: 0 done, 1 there is no such person, 2 they are disabled.
    """
    _show_link(config, name, lambda people, tx: people.link(tx, who(), name), json=json)


@app.command()
def role(name: Name, new: Role, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Change what a person may do; it counts from their next page on.

    Exit codes: 0 done (or so already), 1 there is no such person, 2 no such role, or the last admin would go.
    """
    changed = _act(config, lambda people, tx: people.set_role(tx, who(), name, new))
    _tell(name, changed, f"{name} is {new} now", f"{name} is {new} already", json=json)


@app.command()
def disable(name: Name, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """End a person's sessions and links at once; their tokens open nothing any more. `enable` undoes it.

    Exit codes: 0 done (or so already), 1 there is no such person, 2 the last admin would go.
    """
    changed = _act(config, lambda people, tx: people.disable(tx, who(), name))
    _tell(name, changed, f"{name} is disabled", f"{name} is disabled already", json=json)


@app.command()
def enable(name: Name, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Let a disabled person sign in again, with the password and the tokens they had. Exit codes: 0 done, 1 nobody."""
    changed = _act(config, lambda people, tx: people.enable(tx, who(), name))
    _tell(name, changed, f"{name} may sign in again", f"{name} was not disabled", json=json)


@tokens.command("add")
def add_token(
    name: Name,
    label: Annotated[str, typer.Argument(help="What it is for; shown in lists and on the record.")],
    scope: Annotated[str, typer.Option(help="read, operate, approve or admin; never more than the person may.")] = (
        "read"
    ),
    days: Annotated[int, typer.Option(help="Days until it expires, 1 to 3650.")] = 365,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Print a new token, this once. A program shows it as `Authorization: Bearer ...`.

    Exit codes: 0 done, 1 there is no such person, 2 no such scope, or a label or days that cannot be.
    """
    word = _act(config, lambda people, tx: people.add_token(tx, who(), name, label, scope, days))
    if json:
        return emit({"name": name, "label": label, "scope": scope, "token": word})
    return out.print(word)


@tokens.command("list")
def list_tokens(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Tokens that are not revoked: whose, what for, until when, last used. Exit code 0, also when there are none."""
    with opened(config) as (_, store, _clock):
        _, rows = store.read_now(book.listing)
    if json:
        return emit([_plain(row) for row in rows])
    if not rows:
        return out.print("no tokens")
    table = Table("id", "person", "label", "scope", "expires", "last used", box=None)
    for r in rows:
        used = f"{r.used_at:%Y-%m-%d %H:%M}" if r.used_at else "never"
        table.add_row(str(r.id), r.name, r.label, r.scope, f"{r.expires_at:%Y-%m-%d}", used)
    return out.print(table)


@tokens.command("revoke")
def revoke_token(
    token: Annotated[int, typer.Argument(help="Its id, as `sellable people token list` shows it.")],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """A token opens nothing any more; it cannot be undone. Exit codes: 0 done, 1 there is no such token."""
    row = _act(config, lambda people, tx: people.revoke_token(tx, who(), token))
    if json:
        return emit({"id": token, "name": row.name, "label": row.label, "revoked": True})
    return out.print(f"token {token} ({row.label} of {row.name}) is revoked")


def _show_link(config: Any, name: str, doing: Callable[[Book, Tx], str], *, json: bool) -> None:
    settings = load(config)
    address = link_to(settings.console.public_url, _here(settings.service.listen), _act(config, doing))
    hours = settings.console.link_hours
    if json:
        return emit({"name": name, "link": address, "hours": hours})
    return out.print(f"{address}\nfor {name}, once, within {hours:g} hours")


def _here(listen: str) -> str:
    """The address of a console that listens there, from this machine; "" for a port nobody knows beforehand."""
    host, _, port = listen.rpartition(":")
    return "" if port == "0" else f"http://{host if host not in ANY_ADDRESS else '127.0.0.1'}:{port}"


def _act(config: Any, doing: Callable[[Book, Tx], T]) -> T:
    with opened(config) as (settings, store, clock):
        people = Book(record=acts.recorder(settings, clock), clock=clock, settings=settings)
        try:
            return store.write_now(lambda tx: doing(people, tx))
        except NotDone as error:
            raise fail(str(error), 1 if isinstance(error, Missing) else 2) from error


def _tell(name: str, changed: bool, done: str, already: str, *, json: bool) -> None:
    if json:
        return emit({"name": name, "changed": changed})
    return out.print(done if changed else already)


def _state(row: Any) -> str:
    if row.disabled_at is not None:
        return "disabled"
    return "active" if row.has_password else "invited"


def _plain(row: Any) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row._asdict().items()}
