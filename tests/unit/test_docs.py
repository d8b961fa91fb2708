"""The documents say what is there: links, commands, settings, kinds of case, metrics, tables, dependencies."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sellable
from sellable.cli import reference
from sellable.config import settings
from sellable.desk.kinds import KINDS
from sellable.runtime import telemetry
from sellable.runtime.migrate import FOLDER

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = {"settings.md", "cases.md", "commands.md", "http.md"}
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
ROLES = ("ops", "ecommerce", "finance", "integration-engineer")
TASK_PAGES = [*(DOCS / "start").glob("*.md"), *(DOCS / "operating").glob("*.md")]
TASK_PAGES += [DOCS / "howto" / f"{role}.md" for role in ROLES]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMANDS: dict[str, Any] = dict(reference.commands())


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text("utf-8")):
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_path_of_one_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:work|tmp|root|home|Users)/\S*", page.read_text("utf-8")) == []


@pytest.mark.parametrize("page", TASK_PAGES, ids=name_of)
def test_a_task_ends_with_what_to_check(page: Path) -> None:
    paragraphs = page.read_text("utf-8").strip().split("\n\n")
    assert paragraphs[-1].startswith("**Check:**")


def test_the_page_of_commands_is_fresh() -> None:
    told = "run: python -m sellable.cli.reference > docs/reference/commands.md"
    assert read("reference/commands.md") == reference.page(), told


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_explains_itself(command: Any) -> None:
    assert (command.help or "").strip()
    own = [p for p in command.params if p.name != "help"]
    assert [p.name for p in own if not (getattr(p, "help", None) or "").strip()] == []


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_says_what_its_exit_codes_mean(command: Any) -> None:
    assert re.search(r"Exit codes?:? ", command.help or "")


WITHOUT_JSON = {
    "sellable run": "prints one line of JSON when it is ready, and serves",
    "sellable sandbox serve": "serves",
    "sellable sandbox orderflow": "serves",
    "sellable config example": "prints a file",
    "sellable openapi": "prints JSON as it is",
    "sellable config key": "prints a key, to be kept in a file as it is",
}


def test_every_command_with_a_result_prints_it_for_machines() -> None:
    without = {name for name, command in COMMANDS.items() if "json" not in {p.name for p in command.params}}
    assert without == set(WITHOUT_JSON)


def said_commands() -> Iterator[tuple[str, str]]:
    """(page, command) of every `sellable ...` in a code block or between backticks, except on generated pages."""
    for page in PAGES:
        if page.name in GENERATED:
            continue
        text = page.read_text("utf-8")
        lines = re.findall(r"^(?: {4}|\$ ?)?(?:\.venv/bin/)?(sellable [a-z].*)$", text, re.MULTILINE)
        inline = [" ".join(found.split()) for found in re.findall(r"`(sellable [a-z][^`]*)`", text)]
        for command in [*lines, *inline]:
            yield name_of(page), command


def names_a_command(words: list[str]) -> str | None:
    """The command that the words call, or the group that they name; None when there is neither."""
    for length in range(len(words), 1, -1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name
    group = " ".join(words)
    return group if any(name.startswith(f"{group} ") for name in COMMANDS) else None


@pytest.mark.parametrize(("page", "said"), sorted(set(said_commands())))
def test_a_command_that_is_written_down_exists(page: str, said: str) -> None:
    words = shlex.split(said.split(" > ")[0], comments=True)
    name = names_a_command(words)
    assert name is not None, f"{page}: {said}"
    if name in COMMANDS:
        known = {
            option for parameter in COMMANDS[name].params for option in (*parameter.opts, *parameter.secondary_opts)
        } | {"--help"}
        options = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert options <= known, f"{page}: {said}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_make_target_that_is_written_down_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = page.read_text("utf-8")
    said = re.findall(r"^ {4}make ([a-z-]+)", text, re.MULTILINE) + re.findall(r"`make ([a-z-]+)[^`]*`", text)
    assert set(said) <= targets


def test_settings_in_examples_exist() -> None:
    """Sections of examples and sections named in a sentence are sections of the settings."""
    sections = set(settings.Settings.__struct_fields__)
    missing = []
    for page in (page for page in PAGES if page.name not in GENERATED):
        text = page.read_text("utf-8")
        missing += [s for s in re.findall(r"^ {4}\[\[([a-z_]+)\]\]$", text, re.MULTILINE) if s not in sections]
        missing += [s for s in re.findall(r"`\[+([a-z_0-9]+)(?:\.webhook)?\]+`", text) if s not in sections]
    assert missing == []


def test_every_kind_of_case_has_a_reader() -> None:
    """Whoever owns a kind finds it on the page of their job."""
    said = "".join(read(f"howto/{role}.md") for role in ROLES)
    assert [kind for kind in KINDS if f"`{kind}`" not in said] == []


def registered_metrics() -> dict[str, tuple[str, ...]]:
    """Name and labels of every metric of the product, once all of its modules are loaded."""
    for module in pkgutil.walk_packages(sellable.__path__, "sellable."):
        if not module.name.startswith("sellable.sandbox") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {}
    for collector in set(telemetry.REGISTRY._collector_to_names):
        [metric] = collector.describe()
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        found[name] = tuple(getattr(collector, "_labelnames", ()))
    return found


def test_every_metric_is_named_with_its_labels() -> None:
    page = read("reference/metrics.md")
    rows = dict(re.findall(r"^\| `(sellable_\w+)` \| \w+ \| (.*?) \|", page, re.MULTILINE))
    metrics = registered_metrics()
    assert set(rows) == set(metrics)
    assert {name: labels for name, labels in metrics.items() if any(f"`{x}`" not in rows[name] for x in labels)} == {}


def test_metrics_in_alerts_exist() -> None:
    said = set(re.findall(r"\b(sellable_[a-z_]+_(?:total|seconds))\b", read("operating/logs-and-metrics.md")))
    assert said <= set(registered_metrics())


def test_every_table_says_how_long_it_keeps() -> None:
    texts = [file.read_text("utf-8") for file in FOLDER.glob("*.sql")]
    tables = {t for text in texts for t in re.findall(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)", text, re.MULTILINE)}
    gone = {t for text in texts for names in re.findall(r"^DROP TABLE ([\w, ]+);", text, re.MULTILINE)
            for t in names.split(", ")}  # fmt: skip
    rows = re.findall(r"^\| (`.*?) \|", read("operating/retention.md"), re.MULTILINE)
    assert {table for row in rows for table in re.findall(r"`(\w+)`", row)} == tables - gone


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *(x for extra in project["optional-dependencies"].values() for x in extra)]
    names = {re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in wanted}
    reasons = re.findall(r"^\| `([\w-]+)` \| .*\w", read("reference/dependencies.md"), re.MULTILINE)
    assert set(reasons) == names


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_has_its_four_parts(page: Path) -> None:
    parts = re.findall(r"^\*\*(\w+)\.\*\*", page.read_text("utf-8"), re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequences", "Alternatives"]
    assert page.read_text("utf-8").startswith(f"# {int(page.name[:4])}. ")


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(page.name[:4]) for page in (DOCS / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
