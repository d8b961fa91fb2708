"""House rules that a reader would otherwise have to remember: purity, one clock in SQL, statements that still fit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import sellable
from sellable.runtime.migrate import FOLDER, load
from sellable.runtime.queries import Query, every_query

ROOT = Path(sellable.__file__).parent
PURE_NAMES = {
    *("rules", "routing", "plan", "calculate", "compare", "translate", "availability"),
    *("states", "statuses", "reasons", "pieces", "remaining"),
}
NO_EFFECTS = {
    *("asyncio", "concurrent", "contextvars", "glob", "http", "httpx2", "io", "logging", "multiprocessing", "os"),
    *("pathlib", "prometheus_client", "psycopg", "queue", "random", "secrets", "select", "shutil", "signal", "socket"),
    *("sqlite3", "ssl", "starlette", "structlog", "subprocess", "sys", "tempfile", "threading", "time", "urllib"),
    *("uuid", "uvicorn", "uvloop", "sellable.runtime"),
}
"""Modules with I/O, clocks, randomness or logging; urllib.parse is the pure exception."""
CLOCK_CALLS = {"now", "utcnow", "today"}


def pure_files() -> list[Path]:
    """Pure modules of the product; the sandbox has files of the same names with a life of their own."""
    found = (path for path in ROOT.rglob("*.py") if path.stem in PURE_NAMES)
    return sorted(path for path in found if "sandbox" not in path.relative_to(ROOT).parts)


def imported(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def effects(source: str) -> set[str]:
    """What a module imports or calls that a pure one may not."""
    tree = ast.parse(source)
    bad = {
        name
        for name in imported(tree)
        if any(name == root or name.startswith(f"{root}.") for root in NO_EFFECTS)
        and not name.startswith("urllib.parse")
    }
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    bad |= {func.attr for func in calls if isinstance(func, ast.Attribute) and func.attr in CLOCK_CALLS}
    return bad


@pytest.mark.parametrize("path", pure_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_files_have_no_effects(path: Path) -> None:
    assert effects(path.read_text("utf-8")) == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time", {"time"}),
        ("from os import path", {"os.path"}),
        ("from urllib.request import urlopen", {"urllib.request.urlopen"}),
        ("from sellable.runtime.clock import Clock", {"sellable.runtime.clock.Clock"}),
        ("from datetime import datetime\nx = datetime.now(UTC)", {"now"}),
        ("from urllib.parse import quote\nfrom datetime import timedelta\nimport timeit", set()),
    ],
)
def test_the_purity_check_sees(source: str, found: set[str]) -> None:
    assert effects(source) == found


FORBIDDEN_SQL = re.compile(
    r"\b(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|random_normal"
    r"|gen_random_uuid|uuidv4|uuidv7|uuid_generate_v\d\w*)\s*\("
    r"|\b(?:current_timestamp|current_date|current_time|localtimestamp|localtime)\b"
    r"|'(?:now|today|tomorrow|yesterday)'",
    re.IGNORECASE,
)
"""Second sources of time and chance: with them a simulated run could not be repeated."""
APP_NOW = re.compile(r"CREATE FUNCTION app_now\(\).*?\n\$\$;", re.DOTALL)


def strange_sources(sql: str) -> list[str]:
    """Forbidden words of a SQL text, comments and the body of app_now() left out."""
    return FORBIDDEN_SQL.findall(re.sub(r"--[^\n]*", "", APP_NOW.sub("", sql)))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.sql")), ids=lambda path: str(path.relative_to(ROOT)))
def test_sql_asks_only_app_now_for_the_time_and_nothing_for_chance(path: Path) -> None:
    assert strange_sources(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("SELECT now()", 1),
        ("a timestamptz DEFAULT CURRENT_TIMESTAMP", 1),
        ("SELECT clock_timestamp(), random ()", 2),
        ("id uuid DEFAULT gen_random_uuid()", 1),
        ("SELECT 'now'::timestamptz", 1),
        ("SELECT app_now(), known(1) -- not now()", 0),
    ],
)
def test_the_sql_check_sees(text: str, count: int) -> None:
    assert len(strange_sources(text)) == count


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in load(FOLDER)] == list(range(1, len(load(FOLDER)) + 1))


def as_prepared(query: Query) -> str:
    """The statement as psycopg sends it: %(name)s becomes $1, $2 ... in order of first use, %% becomes %."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)[sbt]", query.text)))
    text = re.sub(r"%\((\w+)\)[sbt]", lambda match: f"${names.index(match[1]) + 1}", query.text)
    return text.replace("%%", "%")


@pytest.fixture(scope="session")
def planner(migrated_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("query", every_query(), ids=lambda query: f"{query.package}.{query.name}")
def test_every_named_query_fits_the_schema(planner: psycopg.Connection, query: Query) -> None:
    """PostgreSQL plans it without parameter values, so every type must be clear from the text."""
    statement = as_prepared(query)
    if re.match(r"SET|LOCK", statement):  # Cannot be planned, only tried.
        with planner.transaction(force_rollback=True):
            planner.execute(statement.encode())
    elif planner.info.server_version >= 160000:
        assert planner.execute(f"EXPLAIN (GENERIC_PLAN) {statement}".encode()).fetchall()
    else:
        planner.execute(f"PREPARE checked AS {statement}".encode())
        planner.execute("DEALLOCATE checked")


def test_every_query_is_called() -> None:
    """A statement nobody calls is dead code that this page would keep alive."""
    code = "\n".join(path.read_text("utf-8") for path in ROOT.rglob("*.py"))
    assert [f"{q.package}.{q.name}" for q in every_query() if not re.search(rf"\.{q.name}\b", code)] == []
