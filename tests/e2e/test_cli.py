"""The command line as a person meets it: help, answers for people and machines, and errors that say the mend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import typer.main
from tests.e2e.world import World, run
from tests.suites.orders_life import CHAIR, Life, play
from typer.testing import CliRunner

from sellable.app.service import Service
from sellable.app.setup import set_up_commercetools
from sellable.cli import app, common, main
from sellable.cli import run as running
from sellable.config.load import load
from sellable.config.secrets import key_of
from sellable.desk import cases
from sellable.desk.owners import Owners
from sellable.runtime import audit, said
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.sandbox.shop import SECRET, Shop
from sellable.stock.buffers import Which

START = "2026-01-01T00:00:00+00:00"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def config(tmp_path: Path, store: Store) -> Path:
    return settings_file(tmp_path, store.url)


def settings_file(folder: Path, database_url: str) -> Path:
    text = Shop.demo(1, 10, 1).settings_toml(NOWHERE, NOWHERE, str(folder / "data"), database_url, start_at=START)
    path = folder / "sellable.toml"
    path.write_text(text)
    return path


def ask(config: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def ask_error(config: Path, *words: str, code: int) -> str:
    """What a command says on standard error, its lines as one."""
    result = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert result.exit_code == code, (result.output, result.exception)
    return " ".join(result.stderr.split())


def told(config: Path, *words: str, code: int = 0) -> Any:
    return json.loads(ask(config, *words, "--json", code=code))


def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and standard error of the installed command."""
    monkeypatch.setattr(sys, "argv", ["sellable", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), capsys.readouterr().err


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for name, command in sorted(group.commands.items()):
        here = (*path, name)
        found += commands(command, here) if hasattr(command, "commands") else [(here, command)]
    return found


EVERY = commands(typer.main.get_command(app))


@pytest.mark.parametrize(("path", "command"), EVERY, ids=[" ".join(path) for path, _ in EVERY])
def test_every_command_explains_itself(path: tuple[str, ...], command: Any) -> None:
    assert (command.help or "").strip().endswith((".", "settle.", "`clear`")) or command.help
    for parameter in command.params:
        assert getattr(parameter, "help", ""), f"{' '.join(path)}: {parameter.name} has no sentence"


def test_a_key_is_printed_alone_so_that_it_can_go_into_a_file() -> None:
    keys = [CliRunner().invoke(app, ["config", "key"]).output for _ in range(2)]
    assert keys[0] != keys[1]
    assert [len(key_of(key)) for key in keys] == [32, 32]
    assert all(key.count("\n") == 1 for key in keys)


def test_writes_are_frozen_and_resumed_on_the_record(config: Path) -> None:
    assert told(config, "writes", "freeze") == {"frozen": True, "changed": True}
    assert told(config, "writes", "freeze") == {"frozen": True, "changed": False}
    assert told(config, "writes", "resume") == {"frozen": False, "changed": True}
    records = told(config, "audit", "report", "--correlation", "writes", code=0)["records"]
    assert [r["action"] for r in records] == ["writes.freeze", "writes.resume"]
    assert records[0]["actor"].startswith("cli:")
    assert told(config, "audit", "verify") == {"ok": True, "breaks": []}


def test_people_and_tokens_are_kept_on_the_record(config: Path) -> None:
    assert ask(config, "people", "list").startswith("nobody yet")
    link = told(config, "people", "add", "Ada", "--role", "admin")["link"]
    assert link.startswith("/welcome/"), "the port is not known beforehand"
    config.write_text(config.read_text().replace("127.0.0.1:0", "0.0.0.0:8080").replace("open = true", "open = false"))
    other = ask(config, "people", "link", "ada").splitlines()
    assert other[0].startswith("http://127.0.0.1:8080/welcome/")
    assert other[0] != link
    assert [(row["name"], row["role"], row["state"]) for row in told(config, "people", "list")] == [
        ("Ada", "admin", "invited")
    ]
    assert "is no role" in ask_error(config, "people", "add", "Eve", "--role", "root", code=2)
    assert "already" in ask_error(config, "people", "add", "ADA", code=2)
    assert "nobody called" in ask_error(config, "people", "role", "Eve", "viewer", code=1)
    assert told(config, "people", "role", "Ada", "operator") == {"name": "Ada", "changed": True}
    assert ask(config, "people", "role", "Ada", "operator") == "Ada is operator already\n"
    token = ask(config, "people", "token", "add", "Ada", "till", "--scope", "operate").strip()
    assert token.startswith("sellable_")
    listed = told(config, "people", "token", "list")
    assert [(row["name"], row["label"], row["scope"], row["used_at"]) for row in listed] == [
        ("Ada", "till", "operate", None)
    ]
    assert "till" in ask(config, "people", "token", "list")
    assert told(config, "people", "token", "revoke", str(listed[0]["id"]))["revoked"] is True
    assert "no token" in ask_error(config, "people", "token", "revoke", str(listed[0]["id"]), code=1)
    assert ask(config, "people", "token", "list") == "no tokens\n"
    assert "is no scope" in ask_error(config, "people", "token", "add", "Ada", "x", "--scope", "all", code=2)
    assert told(config, "people", "disable", "Ada") == {"name": "Ada", "changed": True}
    assert "disabled" in ask(config, "people", "list")
    assert "enable them first" in ask_error(config, "people", "link", "Ada", code=2)
    assert ask(config, "people", "enable", "Ada") == "Ada may sign in again\n"
    records = told(config, "audit", "report", "--correlation", "person:Ada")["records"]
    acts = ("person.add", "person.link", "person.role", "token.add", "token.revoke", "person.disable", "person.enable")
    assert [r["action"] for r in records] == list(acts)
    assert all(r["actor"].startswith("cli:") for r in records)
    assert records[2]["after"] == {"role": "operator"}
    assert not any(word.rsplit("/", 1)[-1] in json.dumps(records) for word in (link, other[0], token))


def test_what_all_may_read_listens_on_this_machine_only(config: Path) -> None:
    assert "listen on 127.0.0.1" in ask_error(config, "run", "--listen", "0.0.0.0:0", code=2)


def test_what_setup_changes_at_a_vendor_is_on_the_record_and_a_dry_run_changes_nothing(
    store: Store, config: Path
) -> None:  # fmt: skip
    async def story(world: World) -> None:
        settings = world.service.settings

        async def set_up(on: Store | None) -> list[str]:
            return [done for _, done in await set_up_commercetools(settings, world.http, world.clock, on, "cli:ada")]

        assert await set_up(None) == ["none", "none", "none", *["create"] * 4]
        assert told(config, "audit", "report")["records"] == []
        assert await set_up(store) == ["none", "none", "none", *["create"] * 4]
        records = [r for r in told(config, "audit", "report")["records"] if r["action"] != "seal"]
        assert [(r["action"], r["actor"], r["subject"]) for r in records] == [
            ("setup.create", "cli:ada", f"line item state sellable-{name}")
            for name in ("allocated", "picked", "shipped", "cancelled")
        ]
        assert (records[0]["before"], records[0]["after"]["action"]) == ({"state": "absent"}, "create")
        assert set(await set_up(store)) == {"none"}
        assert told(config, "audit", "verify")["ok"]

    run(story, store, start=False)


def test_a_database_is_backed_up_and_restored_and_that_is_on_the_record(config: Path, store: Store) -> None:
    file = config.with_name("one.backup")
    held = told(config, "stock", "hold", "ARMCHAIR", "3", "--pool", "eu", "--reason", "photo shoot")["id"]
    made = told(config, "backup", str(file))
    assert made["file"] == str(file)
    assert "exists" in ask(config, "backup", str(file), code=1)
    ask(config, "stock", "release", held)
    assert "--force" in ask(config, "restore", str(file), code=1)
    back = told(config, "restore", str(file), "--force")
    assert back == made
    assert told(config, "cases", "list", "--kind", "restored")[0]["subject"] == "database"
    assert told(config, "migrate") == {"applied": []}
    actions = [r["action"] for r in told(config, "audit", "report")["records"]]
    assert "database.restore" in actions
    assert told(config, "audit", "verify")["ok"], "the chains of the backup hold, and so does the one of the restore"
    ask(config, "stock", "release", held)


def test_a_database_of_a_newer_program_is_one_line(
    config: Path, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute("INSERT INTO schema_migration VALUES (9999, 'tomorrow', '', app_now())")
        try:
            code, words = fails(monkeypatch, capsys, "migrate", "--config", str(config))
        finally:
            connection.execute("DELETE FROM schema_migration WHERE number = 9999")
    assert code == 1
    assert "newer than this program" in words


def test_a_shell_completes_commands() -> None:
    line = {"_SELLABLE_COMPLETE": "complete_bash", "COMP_WORDS": "sellable ba", "COMP_CWORD": "1"}
    command = [str(Path(sys.executable).with_name("sellable"))]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **line}, timeout=60)
    assert done.stdout.split() == ["backup"]


def test_units_are_held_and_given_back(config: Path) -> None:
    held = told(config, "stock", "hold", "ARMCHAIR", "3", "--pool", "eu", "--reason", "photo shoot", code=0)
    assert told(config, "stock", "release", held["id"]) == {"released": held["id"]}
    ask(config, "stock", "release", held["id"], code=1)
    ask(config, "stock", "hold", "ARMCHAIR", "3", "--pool", "moon", "--reason", "x", code=2)
    records = told(config, "audit", "report", "--correlation", held["id"])["records"]
    assert [(r["action"], (r["after"] or {}).get("units")) for r in records] == [
        ("stock.hold", 3),
        ("stock.release", None),
    ]


def test_a_case_is_assigned_resolved_and_on_the_record(config: Path, store: Store) -> None:
    owners = Owners.from_settings(load(config).owners)
    ref = store.write_now(cases.open_case, "vendor_down", "vendor:erp", Clock().now(), owners=owners)
    assert told(config, "cases", "assign", ref, "maria") == {"case": ref, "changed": True}
    ask(config, "cases", "assign", ref, " ", code=2)
    ask(config, "cases", "resolve", ref, code=2)
    assert told(config, "cases", "resolve", ref, "--note", "called them") == {"case": ref, "changed": True}
    assert told(config, "cases", "replay", ref) == {"case": ref, "tried_again": 0}
    ask(config, "cases", "show", "C-999999", code=1)
    actions = [r["action"] for r in told(config, "audit", "report", "--correlation", ref)["records"]]
    assert actions == ["case.assign", "case.resolve", "case.replay"]


def test_totals_are_accepted_by_a_person_with_a_reason_on_the_record(
    config: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    async def story(life: Life) -> None:
        there = msgspec.structs.replace(life.settings.service, database_url=store.url)
        monkeypatch.setattr(common, "load", lambda _: msgspec.structs.replace(life.settings, service=there))
        await life.begin(ARMCHAIR=10)
        life.office.surcharge = 1
        await life.take(life.order((CHAIR, 3)))
        await life.steps()
        assert await life.stage() == "held"
        ask(config, "orders", "accept-totals", "N-o1", "--reason", " ", code=2)
        ask(config, "orders", "accept-totals", "N-none", "--reason", "x", code=1)
        accepted = told(config, "orders", "accept-totals", "N-o1", "--reason", "rounding of the shop, agreed")
        assert accepted == {"order": "N-o1", "parts": [1]}
        ask(config, "orders", "accept-totals", "N-o1", "--reason", "again", code=1)
        await life.steps()
        assert (await life.stage(), await life.cases()) == ("exported", set())
        records = told(config, "audit", "report", "--correlation", "N-o1")["records"]
        (act,) = [r for r in records if r["action"] == "totals.accept"]
        assert act["actor"].startswith("cli:")
        assert (act["before"]["gross"], act["after"]["gross"]) == (357, 358)
        said = [e for e in told(config, "orders", "show", "N-o1")["story"] if e["what"] == "totals accepted"]
        assert said[0]["detail"]["reason"] == "rounding of the shop, agreed"

    play(store, story)


def test_questions_about_what_is_unknown_end_with_1(config: Path) -> None:
    assert told(config, "status")["orders"] == {}
    assert told(config, "orders", "list") == []
    assert told(config, "cases", "list") == []
    ask(config, "orders", "show", "N-1", code=1)
    assert told(config, "explain", "GHOST", code=1)["numbers"] == []
    ask(config, "audit", "report", "--correlation", "N-1", code=1)


def test_a_database_that_is_away_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings_file(tmp_path, "postgresql://nobody:CANARY@127.0.0.1:9/none")
    code, words = fails(monkeypatch, capsys, "status", "--config", str(config))
    assert code == 1
    assert words.startswith("the database cannot be had: ")
    assert len(words.strip().splitlines()) == 1
    assert "CANARY" not in words


def test_who_says_ready_needs_the_database_for_no_more_of_its_start(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that goes away just then must find a service that outlives it."""

    async def away(*_: object) -> None:
        raise psycopg.OperationalError("the server went away")

    monkeypatch.setattr(Service, "first_link", away)
    # What a process changes of itself for good must not reach the tests after this one.
    monkeypatch.setattr(running.telemetry, "configure", lambda *_: None)
    monkeypatch.setattr(running, "long_lived", lambda: None)
    monkeypatch.setattr(sys, "argv", ["sellable", "run", "--config", str(config), "--listen", "127.0.0.1:0"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "ready" not in capsys.readouterr().out


def test_settings_that_cannot_work_name_line_and_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings_file(tmp_path, "postgresql://x@127.0.0.1:9/none")
    lines = config.read_text().splitlines()
    place = next(n for n, line in enumerate(lines, 1) if line.startswith("pool ="))
    lines[place - 1] = 'pool = "moon"'
    config.write_text("\n".join(lines))
    code, words = fails(monkeypatch, capsys, "run", "--config", str(config))
    assert code == 2
    assert f":{place}" in words or f"line {place}" in words
    assert "moon" in words
    code, words = fails(monkeypatch, capsys, "status", "--config", str(tmp_path / "none.toml"))
    assert code == 2
    assert "none.toml" in words
    assert "Traceback" not in words


def test_a_story_is_told_by_the_command_line(store: Store, config: Path) -> None:
    """Asked about a running world: the order's story, its number, and every effect on the record."""

    async def story(world: World) -> None:
        await world.until_shown(ARMCHAIR__web_eu=14)
        order = await world.buy({"ARMCHAIR": 3}, "web-uk")
        await world.until_stage(order["id"], "exported")
        await world.until_shown(ARMCHAIR__web_eu=11, ARMCHAIR__web_uk=7)
        wanted = {"sale.create", "sale.lines", "sale.authorise"}

        async def written_up() -> bool:
            # The service's own scribe may hold what is owed while this one finds nothing to do.
            await world.service.write_up()
            return wanted <= {r.action for r in await world.store.read(audit.report, [order["id"]], 100)}

        await world.until(written_up, "the order's effects are on the record")
        shown = told(config, "orders", "show", order["orderNumber"])
        assert (shown["stage"], shown["parts"][0]["state"]) == ("exported", "authorised")
        on_record = told(config, "audit", "report", "--correlation", order["orderNumber"])
        assert wanted <= {r["action"] for r in on_record["records"]}
        assert {"POST sale", "POST sale/order"} <= {c["operation"] for c in on_record["calls"]}
        assert all(c["correlation"] == order["id"] for c in on_record["calls"])
        assert "ada" not in json.dumps(on_record).lower()
        assert told(config, "audit", "verify")["ok"]

    run(story, store)


def test_the_installed_command_answers() -> None:
    done = subprocess.run([sys.executable, "-m", "sellable", "--help"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "commercetools" in done.stdout


def test_settings_are_shown_with_who_says_them(config: Path, store: Store) -> None:
    now = datetime.now(UTC)
    store.write_now(said.put, Which(sku="MUG", channel="").key(), {"units": 3}, "maria", "", now)
    store.write_now(said.put, ("cin7_core",), {"max_age_minutes": 45.0}, "maria", "sale", now)
    found = told(config, "config", "show")
    assert found["settings"]["service.log_level"]["source"] == "default"
    assert found["settings"]["cin7_core.key"] == {"value": "(hidden)", "source": "file"}
    age = found["settings"]["cin7_core.max_age_minutes"]
    assert age == {"value": 45.0, "source": "console: maria", "file": 30.0}
    hand = found["console"][0]
    assert (hand["key"], hand["value"], hand["by"]) == (["buffers", "MUG", "", ""], {"units": 3}, "maria")
    text = ask(config, "config", "show")
    assert "console: maria" in text
    assert SECRET not in text
