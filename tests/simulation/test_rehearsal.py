"""A rehearsal with somebody's own settings: what it finds, and which settings it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sellable.app.check import checked
from sellable.cli import app
from sellable.config.problems import ConfigError
from sellable.sandbox.shop import Shop
from sellable.simulation.virtual.database import simulation_database
from sellable.simulation.virtual.rehearsal import rehearsal, told


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with simulation_database() as url:
        yield url


def settings(folder: Path, **changes: str) -> Path:
    """A settings file of a shop with three channels on overlapping pools, with words in it changed."""
    shop = Shop.demo(1, 5, 1)
    text = shop.settings_toml("https://ct.test", "https://cin7.test", "data", "", start_at="2026-01-01T00:00:00Z")
    text += '\n[[buffers]]\nsku = "CHAIR"\nunits = 2\nchannel = "pickup"\n'
    for old, new in changes.items():
        text = text.replace(old, new)
    file = folder / "my.toml"
    file.write_text(text)
    return file


def simulate(file: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["simulate", "--config", str(file), *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.mark.timeout(120)
def test_a_small_budget_is_named_as_what_limits(tmp_path: Path, database: str) -> None:
    file = settings(tmp_path, **{'base_currency = "EUR"': 'base_currency = "EUR"\ncalls_per_minute = 20'})
    words = ["--minutes", "0.5", "--skus", "4", "--orders", "4", "--counter", "store", "--database-url", database]
    code, said = simulate(file, *words, "--json")
    found = json.loads(said)
    assert (code, found["not_exported"], found["unforeseen"]) == (0, 0, [])
    assert found["units_sold"] > 10
    assert found["declared_d_seconds"] == {"sale": 20.0, "master": 348.0}
    waited = {(row["budget"], row["lane"]): row["waited_percent_of_the_time"] for row in found["budgets"]}
    assert waited["cin7:orders", "orders"] > 20
    assert found["export_seconds"]["p99"] > 30
    plan = rehearsal(checked(file), seed=1, minutes=0.5, orders=4, flash=8, skus=4, counter="store")
    lines = "\n".join(told(found, plan))
    assert "cin7:orders, orders: somebody waited" in lines
    assert "to change: [cin7_core] calls_per_minute" in lines


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        simulate(tmp_path / "nowhere.toml")


def test_settings_that_cannot_work_are_refused_with_line_and_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"my.toml:\d+: channels\[0\].pool"):
        simulate(settings(tmp_path, **{'pool = "eu"\nbuffer': 'pool = "nowhere"\nbuffer'}))


@pytest.mark.parametrize(
    ("changes", "words", "says"),
    [
        ({'state = "available"': 'state = "inspection"'}, [], "has nothing to sell"),
        ({}, ["--counter", "shop"], "no location 'shop' at Cin7 Core; there are north, south, store, returns"),
        ({}, ["--minutes", "0"], "a run needs some time"),
    ],
)
def test_settings_that_nothing_could_be_rehearsed_with_say_why(
    tmp_path: Path, changes: dict[str, str], words: list[str], says: str
) -> None:
    code, said = simulate(settings(tmp_path, **changes), *words)
    assert code == 2
    assert says in said.replace("\n", " ")
