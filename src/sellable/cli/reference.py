"""docs/reference/commands.md, written from the commands themselves. One rule: nothing here is said twice by hand.

`python -m sellable.cli.reference > docs/reference/commands.md`
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from sellable.cli import app

HEAD = """\
# Commands

<!-- Generated: python -m sellable.cli.reference > docs/reference/commands.md -->

Every command says `--help`. Exit codes: 0 done, 1 not done or not found (also: the database or a vendor cannot be had),
2 wrong settings or wrong use; what a command means by them besides, it says. `SELLABLE_CONFIG` names the settings file
where `--config` is not given. What `--json` prints is one JSON value on standard output; words about failures go to
standard error.

Completion for bash, zsh, fish and PowerShell, of commands and options: once `sellable --install-completion`, then a new
shell; `sellable --show-completion` prints it for you to put where you like.
"""


def page() -> str:
    """The whole page as Markdown."""
    return HEAD + "".join(f"\n{_section(name, command)}" for name, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """(full name, command) of everything that can be run, in the order of the help."""
    yield from _walk("sellable", typer.main.get_command(app))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    if command.invoke_without_command:
        yield name, command
    for word, child in below.items():
        yield from _walk(f"{name} {word}", child)


def _section(name: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if parameter.name != "help"]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    usage = " ".join([name, *(_title(parameter) for parameter in arguments)])
    rows = "".join(f"| {_name(parameter)} | {_default(parameter)} | {_help(parameter)} |\n" for parameter in shown)
    table = f"\n| argument or option | default | meaning |\n|---|---|---|\n{rows}" if rows else ""
    return f"## `{usage}`\n\n{_words(command.help)}\n{table}"


def _words(text: str | None) -> str:
    paragraphs = (text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _title(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name).upper()


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_title(parameter)}`"
    return ", ".join(f"`{word}`" for word in parameter.opts)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "**required**"
    value = parameter.default
    return "" if value in (None, "", False) or callable(value) else f"`{value}`"


def _help(parameter: Any) -> str:
    return " ".join((getattr(parameter, "help", None) or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
