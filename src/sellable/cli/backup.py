"""`sellable backup` and `restore`: everything the database knows in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sellable.app import recovery
from sellable.cli.common import DEFAULT_CONFIG, Config, Json, database, emit, fail, out, who
from sellable.config.load import load
from sellable.runtime import backup as files
from sellable.runtime.clock import Clock
from sellable.runtime.database import Tx

File = Annotated[Path, typer.Argument(help="The backup's file.", metavar="FILE")]


def backup(file: File, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Write the whole database to a new file, as it is at this moment; the service may go on.

    The file holds orders with names and addresses, and is readable by its owner only. What arrived from outside stays
    encrypted in it: keep `payload_key` too, at another place. Exit codes: 0 written, 1 not: the file exists, or the
    database is empty or cannot be had.
    """
    settings = load(config)
    with database(settings, config) as url:
        try:
            made = files.write(url, file, Clock.from_environment().now())
        except files.BackupRefused as refusal:
            raise fail(str(refusal)) from refusal
    _say(made, file, "written to", json=json)


def restore(
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Drop what the database holds now, for ever.")] = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Put a backup into the database, all of it or nothing, and bring its schema up to date.

    Every `sellable run` must be stopped. When the service starts again, what happened since the backup is read from the
    vendors before any number rises, what was on its way then is looked up and not sent again, and the case `restored`
    says when that is over. Exit codes: 0 restored, 1 nothing was changed: the file is damaged or of a newer version,
    the database is not empty, or a process serves it.
    """
    settings, clock = load(config), Clock.from_environment()

    def begin(tx: Tx, made: files.Manifest) -> None:
        recovery.begin(tx, settings, clock, who(), made.made_at)

    with database(settings, config) as url:
        try:
            made = files.restore(url, file, force=force, after=begin)
        except files.BackupRefused as refusal:
            raise fail(str(refusal)) from refusal
    _say(made, file, "restored from", json=json)


def _say(made: files.Manifest, file: Path, done: str, *, json: bool) -> None:
    schema = made.migrations[-1].number
    if json:
        return emit({"file": str(file), "made_at": made.made_at, "schema": schema, "rows": made.rows})
    out.print(f"{made.rows:,} rows of {made.made_at:%Y-%m-%d %H:%M:%S} UTC, schema {schema:04}, {done} {file}")
    return None
