"""What commands share: finding the settings, opening the database, printing for people or for machines."""

from __future__ import annotations

import getpass
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
import psycopg
import typer
from rich.console import Console
from rich.text import Text

from sellable.app.said import together_now
from sellable.config.load import load
from sellable.config.settings import Settings
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.postgres import EmbeddedServer

Config = Annotated[Path, typer.Option("--config", "-c", help="Settings file.", envvar="SELLABLE_CONFIG")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
DEFAULT_CONFIG = Path("sellable.toml")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Terminal(Console):
    """Prints what vendors and shoppers wrote as it is: a SKU in brackets is no markup, and no word moves the cursor."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as it is, less its control characters."""
        return super().render_str(_CONTROL.sub("\ufffd", text), **{**options, "markup": False, "emoji": False})


out = Terminal(soft_wrap=True, highlight=False)
err = Terminal(stderr=True, soft_wrap=True, highlight=False)


@contextmanager
def opened(config: Path) -> Iterator[tuple[Settings, Store, Clock]]:
    """Settings as file and console say them, a store on the configured database (the embedded one is started if nobody
    runs it), and the clock.
    """
    file = load(config)
    clock = Clock.from_environment()
    # A command says what went wrong in one line of its own; what was tried before is not news.
    logging.getLogger("sellable").setLevel(logging.ERROR)
    with database(file, config) as url:
        store = Store(url, clock, threads=2)
        try:
            yield _together(store, file), store, clock
        finally:
            store.close()


def _together(store: Store, file: Settings) -> Settings:
    # Before the first start nothing can have been said in the console.
    with suppress(psycopg.errors.UndefinedTable):
        return store.read_now(together_now, file)[0]
    return file


@contextmanager
def database(settings: Settings, config: Path) -> Iterator[str]:
    """The URL of the configured database."""
    with embedded(settings, config) or nullcontext(settings.service.database_url) as url:
        yield url


def embedded(settings: Settings, config: Path) -> EmbeddedServer | None:
    """The server of the settings' own database; None where the database is somebody else's."""
    if settings.service.database_url:
        return None
    folder = Path(settings.service.data_dir)
    return EmbeddedServer(folder if folder.is_absolute() else config.parent / folder)


def emit(value: Any) -> None:
    """One JSON object on standard output."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def who() -> str:
    """The person at this terminal, as the record names them."""
    return f"cli:{getpass.getuser()}"


def fail(message: str, code: int = 1) -> typer.Exit:
    """Says on standard error why a command ends with this exit code."""
    err.print(message, style="red")
    return typer.Exit(code)
