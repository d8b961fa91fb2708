"""Reading the settings: every mistake is told with its line, and secrets stay secret."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.pretty import pretty_repr

from sellable.config import reference, secrets
from sellable.config.load import load
from sellable.config.problems import ConfigError, Lines
from sellable.config.settings import Settings

ENVIRON = {"CT_CLIENT_SECRET": "CANARY-SHOP", "CIN7_KEY": "CANARY-OFFICE", "PAYLOAD_KEY": "CANARY-KEY"}
LINES = reference.example().splitlines()


def line_of(start: str, after: str = "") -> int:
    """Number of the first line that starts so, below the first that starts like `after`."""
    begin = next(i for i, line in enumerate(LINES) if line.startswith(after))
    return next(i + 1 for i, line in enumerate(LINES) if i >= begin and line.startswith(start))


def write(folder: Path, text: str) -> Path:
    file = folder / "sellable.toml"
    file.write_text(text, "utf-8")
    return file


def edited(number: int, line: str) -> str:
    return "\n".join([*LINES[: number - 1], line, *LINES[number:]])


def refused(folder: Path, text: str, environ: dict[str, str] = ENVIRON) -> ConfigError:
    with pytest.raises(ConfigError) as refusal:
        load(write(folder, text), environ)
    return refusal.value


def test_a_good_file_is_read(tmp_path: Path) -> None:
    settings = load(write(tmp_path, reference.example()), ENVIRON)
    assert settings.commercetools.client_secret == "CANARY-SHOP"
    assert settings.cin7_core.sweep_seconds == 300.0
    assert [location.name for location in settings.locations] == ["north", "high-street"]
    assert settings.carriers == {"Standard": "DHL"}


@pytest.mark.parametrize(
    ("start", "after", "line", "key", "message", "mend"),
    [
        ("state = ", "[[states]]", 'state = "lost"', "states[0].state", "is none of the known words", 'one of "avail'),
        ("pool = ", "[[channels]]", "pool = 7", "channels[0].pool", "is a whole number", "Write text in quotes."),
        ("start_at = ", "", "start_at = 2026-01-01", "orders.start_at", "is a date or time", "with offset"),
        ("units = ", "", "units = 1.5", "buffers[0].units", "is a number", "Write a whole number. Units to hold"),
        ("rule = ", "[[taxes]]", 'rul = "x"', "taxes[0].rul", "there is no such setting", "Did you mean `rule`?"),
        ("locations = ", "", 'locations = "north"', "pools[0].locations", "is text", "a list of text"),
        ("# sweep_seconds", "", "sweep_seconds = true", "cin7_core.sweep_seconds", "is true or false", "a number."),
        ('"Standard"', "", '"Standard" = 3', "carriers.Standard", "is a whole number", "Write text in quotes."),
    ],
)
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, start: str, after: str, line: str, key: str, message: str, mend: str
) -> None:
    number = line_of(start, after)
    problem = next(p for p in refused(tmp_path, edited(number, line)).problems if p.key == key)
    assert (problem.line, problem.message) == (number, message)
    assert mend in problem.mend


def test_a_missing_setting_is_told_at_its_section(tmp_path: Path) -> None:
    error = refused(tmp_path, edited(line_of("project = "), ""))
    section = line_of("[commercetools]")
    assert str(error) == (
        f"{tmp_path}/sellable.toml:{section}: commercetools.project: is missing. "
        "Add `project = ...`, text in quotes. Project key."
    )


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = edited(line_of("units = "), 'units = "one"').replace('project = "my-shop"', "project = 1")
    text = text.replace("[[owners]]", "[[ownerz]]")
    error = refused(tmp_path, text)
    assert [(problem.key, problem.line) for problem in error.problems] == [
        ("owners", 1),
        ("commercetools.project", line_of("project = ")),
        ("ownerz", line_of("[[owners]]")),
        ("buffers[0].units", line_of("units = ")),
    ]
    assert error.problems[0].mend == "Add at least one [[owners]] section."
    assert error.problems[2].mend == "Did you mean `owners`?"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[orders]\nstart_at 5\n", 2, "is not valid TOML: Expected '=' after a key in a key/value pair"),
        ("[orders]\nform = [\n", 2, "is not valid TOML: Invalid value"),
    ],
)
def test_a_broken_file_is_told_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    (problem,) = refused(tmp_path, text).problems
    assert (problem.line, problem.message) == (line, message)


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "sellable.toml"
    file.write_bytes(b"# one\n# t\xffwo\n")
    with pytest.raises(ConfigError, match=r":2: the file: is not UTF-8 text. Save the file as UTF-8."):
        load(file, {})


def test_a_scalar_where_a_section_belongs(tmp_path: Path) -> None:
    error = refused(tmp_path, "orders = 1\npools = 3\n")
    assert {(p.key, p.line, p.message) for p in error.problems} >= {
        ("orders", 1, "is not a section"),
        ("pools", 2, "is not a list of sections"),
    }


class TestSecrets:
    def test_a_missing_variable(self, tmp_path: Path) -> None:
        (problem,) = refused(tmp_path, reference.example(), {"CIN7_KEY": "x", "PAYLOAD_KEY": "y"}).problems
        assert problem.line == line_of("client_secret = ")
        assert problem.key == "commercetools.client_secret"
        assert problem.message == "the environment variable CT_CLIENT_SECRET is not set"
        assert problem.mend == "Set CT_CLIENT_SECRET before starting."

    def test_a_file_beside_the_settings(self, tmp_path: Path) -> None:
        (tmp_path / "key.txt").write_text("CANARY-FILE\n")
        text = reference.example().replace('"env:CIN7_KEY"', '"file:key.txt"')
        assert load(write(tmp_path, text), ENVIRON).cin7_core.key == "CANARY-FILE"

    @pytest.mark.parametrize(("content", "says"), [(None, "cannot be read (FileNotFoundError)"), ("\n", "is empty")])
    def test_a_file_that_gives_nothing(self, tmp_path: Path, content: str | None, says: str) -> None:
        if content is not None:
            (tmp_path / "key.txt").write_text(content)
        text = reference.example().replace('"env:CIN7_KEY"', '"file:key.txt"')
        (problem,) = refused(tmp_path, text).problems
        assert problem.message == f"the file key.txt {says}"
        assert problem.line == line_of("key = ", "[cin7_core]")

    def test_they_are_never_shown(self, tmp_path: Path) -> None:
        text = reference.example().replace('# database_url = ""', 'database_url = "postgresql://u:CANARY-DB@h/d"')
        settings = load(write(tmp_path, text), {**ENVIRON, "SELLABLE_CIN7_CORE__WEBHOOK__SECRET": "CANARY-HOOK"})
        assert settings.cin7_core.webhook.secret == "CANARY-HOOK"
        shown = secrets.shown(settings)
        for form in (repr(settings), f"{settings}", pretty_repr(settings), str(shown), msgspec.json.encode(shown)):
            assert "CANARY" not in str(form)
        assert shown["cin7_core"]["webhook"]["secret"] == "(hidden)"
        assert shown["cin7_core"]["read_key"] == ""
        assert shown["locations"][0] == {
            "name": "north",
            "master": "cin7_core",
            "remote": "Warehouse North",
            "ships": True,
            "shipped_by": "",
        }

    def test_a_refusal_does_not_quote_them(self, tmp_path: Path) -> None:
        text = edited(line_of("units = "), 'units = "CANARY"').replace('"env:CIN7_KEY"', '["CANARY"]')
        error = refused(tmp_path, text)
        assert len(error.problems) == 2
        assert "CANARY" not in str(error)


class TestEnvironment:
    def test_single_values_are_replaced(self, tmp_path: Path) -> None:
        environ = {
            **ENVIRON,
            "SELLABLE_SERVICE__LISTEN": "0.0.0.0:1",
            "SELLABLE_SERVICE__METRICS_OPEN": "false",
            "SELLABLE_CIN7_CORE__CALLS_PER_MINUTE": "30",
            "SELLABLE_CIN7_CORE__READ_KEY": "env:CIN7_KEY",
            "SELLABLE_ORDERS__START_AT": "2026-02-01T00:00:00Z",
            "SELLABLE_CLOCK": "speed=60",
        }
        settings = load(write(tmp_path, reference.example()), environ)
        assert (settings.service.listen, settings.service.metrics_open) == ("0.0.0.0:1", False)
        assert (settings.cin7_core.calls_per_minute, settings.cin7_core.read_key) == (30, "CANARY-OFFICE")
        assert settings.orders.start_at.isoformat() == "2026-02-01T00:00:00+00:00"

    @pytest.mark.parametrize(
        "name", ["SELLABLE_SERVICE__LISTN", "SELLABLE_POOLS__NAME", "SELLABLE_NO__X", "SELLABLE_COMMERCETOOLS__SCOPES"]
    )
    def test_a_name_that_means_nothing_is_refused(self, tmp_path: Path, name: str) -> None:
        (problem,) = refused(tmp_path, reference.example(), {**ENVIRON, name: "1"}).problems
        assert (problem.line, problem.key, problem.message) == (None, name, "names no setting")

    def test_a_value_that_does_not_fit_names_the_variable(self, tmp_path: Path) -> None:
        environ = {**ENVIRON, "SELLABLE_CIN7_CORE__CALLS_PER_MINUTE": "many"}
        (problem,) = refused(tmp_path, reference.example(), environ).problems
        assert (problem.line, problem.key) == (None, "SELLABLE_CIN7_CORE__CALLS_PER_MINUTE")
        assert problem.message == "is text"


TRICKY = '''\
# a comment with [brackets] and "quotes"
title = "a \\" # no comment"
"quoted key" . inner = 'x = 1'

[a.b]   # trailing
c = """
not = a key
[not.a.table]
ends with two quotes"""""
d = \'\'\'
x = 2\'\'\'
list = [
  1,  # one
  { p = "q", r.s = 2 },
  [ "deep", """
  # text""" ],
]
[[many]]
n = 1
[[many.inner]]
m = 1
[[many.inner]]
m = 2
[[many]]
n = 2
inline = { x = 1, y = { z = [1, 2] } }
[many.sub]
k = 1979-05-27T07:32:00Z
'''


def flat(value: Any, key: str = "") -> set[str]:
    if isinstance(value, dict):
        return {key} | {found for name, each in value.items() for found in flat(each, f"{key}.{name}" if key else name)}
    if isinstance(value, list):
        return {key} | {found for index, each in enumerate(value) for found in flat(each, f"{key}[{index}]")}
    return {key}


class TestLines:
    def test_every_key_of_a_tricky_file_has_a_line(self) -> None:
        lines = Lines.of_toml(TRICKY)
        keys = flat(tomllib.loads(TRICKY)) - {""}
        assert set(lines._found) == keys
        text = TRICKY.splitlines()
        assert {key: text[(lines.of(key) or 0) - 1].strip() for key in keys if "[" not in key} == {
            "title": 'title = "a \\" # no comment"',
            "quoted key": "\"quoted key\" . inner = 'x = 1'",
            "quoted key.inner": "\"quoted key\" . inner = 'x = 1'",
            "a": "[a.b]   # trailing",
            "a.b": "[a.b]   # trailing",
            "a.b.c": 'c = """',
            "a.b.d": "d = '''",
            "a.b.list": "list = [",
            "many": "[[many]]",
        }

    @pytest.mark.parametrize(
        ("key", "line"),
        [
            ("a.b.list[0]", 13),
            ("a.b.list[1].r.s", 14),
            ("a.b.list[2][1]", 15),
            ("many[0].n", 19),
            ("many[0].inner[1].m", 23),
            ("many[1].n", 25),
            ("many[1].inline.y.z[1]", 26),
            ("many[1].sub.k", 28),
            ("many[1].sub.absent", 27),
            ("many[7].x", 18),
            ("nowhere", 1),
            ("odd]", 1),
        ],
    )
    def test_the_line_of_a_key_or_of_what_holds_it(self, key: str, line: int) -> None:
        assert Lines.of_toml(TRICKY).of(key) == line

    def test_without_a_file_there_are_no_lines(self) -> None:
        assert Lines().of("channels[0].pool") is None

    def test_the_lines_of_the_example_agree_with_a_naive_reading(self) -> None:
        lines = Lines.of_toml(reference.example())
        for key in flat(tomllib.loads(reference.example())) - {""}:
            name = re.split(r"[.\[]", key.rstrip("]").rstrip("0123456789"))
            assert name[-1] in LINES[(lines.of(key) or 0) - 1] or key.endswith("]")


def test_a_default_settings_struct_is_the_same_as_a_read_one(tmp_path: Path) -> None:
    settings = load(write(tmp_path, reference.example()), {k: f"env:{k}" for k in ENVIRON})
    assert isinstance(settings, Settings)
    assert settings == reference.EXAMPLE
