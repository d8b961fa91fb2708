"""The command line: one file for each group of commands. `main` is what the installed `sellable` runs."""

from __future__ import annotations

import sys

import psycopg
import typer

from sellable.cli import (
    audit,
    backup,
    cases,
    config,
    cutover,
    demo,
    doctor,
    explain,
    init,
    openapi,
    orders,
    people,
    replay,
    report,
    returns,
    run,
    sandbox,
    setup,
    simulate,
    stock,
    writes,
)
from sellable.config.problems import ConfigError
from sellable.connectors.port import VendorError
from sellable.runtime.http import HttpError
from sellable.runtime.migrate import MigrationRefused
from sellable.runtime.postgres import PostgresUnavailable

app = typer.Typer(
    name="sellable",
    help="Keeps what a commercetools storefront offers equal to what warehouses and shops can really ship.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("init")(init.init)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("migrate")(run.migrate)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("status")(run.status)
app.command("doctor")(doctor.examine)
app.command("explain")(explain.explain)
app.command("openapi")(openapi.openapi)
app.command("report")(report.report)
app.command("replay")(replay.replay)
app.command("simulate")(simulate.simulate)
app.add_typer(config.app, name="config")
app.add_typer(setup.app, name="setup")
app.add_typer(orders.app, name="orders")
app.add_typer(returns.app, name="returns")
app.add_typer(cases.app, name="cases")
app.add_typer(stock.app, name="stock")
app.add_typer(cutover.app, name="cutover")
app.add_typer(writes.app, name="writes")
app.add_typer(people.app, name="people")
app.add_typer(audit.app, name="audit")
app.add_typer(sandbox.app, name="sandbox")


def main() -> None:
    """Runs the command line; what a person can mend ends with one line that says how, and no trace.

    Exit codes besides a command's own: 2 the settings cannot work, 1 the database or a vendor cannot be had.
    """
    try:
        app()
    except ConfigError as error:
        _end(str(error), 2)
    except FileNotFoundError as error:
        _end(f"{error.filename}: there is no such file; `sellable config example` prints one to start from", 2)
    except psycopg.errors.UndefinedTable:
        _end("the database is empty: `sellable migrate` sets it up (`sellable run` does so too)", 1)
    except MigrationRefused as error:
        _end(f"the database is not one for this program: {error}", 1)
    except (psycopg.OperationalError, PostgresUnavailable) as error:
        _end(f"the database cannot be had: {_first_line(error)}", 1)
    except (VendorError, HttpError) as error:
        _end(f"the vendor cannot be had: {_first_line(error)}", 1)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _end(words: str, code: int) -> None:
    typer.echo(words, err=True)
    sys.exit(code)
