"""What the console's tests in a real browser share: a server, Chromium, a page that complains, and what axe says."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from tests.contracts.commercetools_peers import installed

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
AXE = "axe-core@4.14.1"
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
PICTURES = os.environ.get("CONSOLE_PICTURES", "")
"""A folder that keeps a picture of every page."""
WIDTHS = [1280, 390]
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed")


@contextmanager
def served(web: Starlette) -> Iterator[str]:
    """The address of a console that stops at once, whatever is open."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    server = uvicorn.Server(uvicorn.Config(web, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    web.state.closing = server.should_exit = True
    thread.join(10)
    assert not thread.is_alive(), "open streams keep the process from stopping"


@contextmanager
def chromium() -> Iterator[Any]:
    """To be started after the shop: its driver keeps a loop running in this thread, beside which no other can run."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def complaining(browser: Any, address: str, known: str, **more: Any) -> Iterator[Any]:
    """A page whose errors (but those that say `known`), and requests to others, fail the test."""
    context = browser.new_context(base_url=address, **more)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" and known not in m.text else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith((address, "data:")) else None)
    yield page
    context.close()
    assert wrong == []


def axe_of(request: pytest.FixtureRequest) -> str:
    """The script of axe; skips the test by its name where npm cannot have it."""
    folder = installed(request.config.cache.mkdir("axe-core"), AXE)  # type: ignore[union-attr]
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def faults_of(page: Any, width: int, axe: str) -> list[Any]:
    """What sticks out of the window, and what axe finds serious."""
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    return [*([f"{wide} wide"] if wide > width else []), *grave(found)]


def grave(found: Any) -> list[Any]:
    """What axe found that is serious."""
    return [
        (v["id"], [(n["html"][:120], n["failureSummary"]) for n in v["nodes"][:3]])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]


def pictured(page: Any, name: str) -> None:
    """Keeps a picture where they are wanted."""
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)
