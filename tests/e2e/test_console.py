"""Overview, Stock, one SKU, Vendors and search in a real browser: keys, both widths, what follows, what axe says.

CONSOLE_PICTURES=folder keeps a picture of every page, light and dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from tests.e2e.browser import (
    PICTURES,
    WIDTHS,
    axe_of,
    chromium,
    complaining,
    faults_of,
    needs_chromium,
    pictured,
    served,
)  # fmt: skip
from tests.suites.console_stage import MARKUP, OPERATION, ORDER, As, Stage, made
from tests.suites.test_explain import KITS, PLAIN

from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.seal import Seal
from sellable.simulation.virtual.play import EMPTY
from sellable.web.server import application

pytestmark = needs_chromium
PAGES = {
    "overview": "/", "stock": "/stock", "stock-differing": "/stock?show=differing", "stock-empty": "/stock?q=nobody",
    "sku": f"/stock/{PLAIN[1]}", "sku-bundle": f"/stock/{KITS[1]}", "vendors": "/vendors",
    "search": "/search?q=CRUNCHY-00", "sku-unknown": "/stock/GHOST", "sku-markup": f"/stock/{quote(MARKUP, safe='')}",
}  # fmt: skip
STEP = made("step", "INSERT INTO order_event (order_id, at, seq, what, detail) VALUES ('id-N-0', app_now(), "
                    "nextval('causal_seq'), %(what)s, '{}')")  # fmt: skip


class Away(Store):
    """A store whose database can be taken away."""

    away = False

    async def read(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        """As the store does, while there is one."""
        if self.away:
            raise psycopg.OperationalError("away")
        return await super().read(fn, *args, **kwargs)

    async def ask(self, query: Any, **params: Any) -> list[Any]:
        """As the store does, while there is one."""
        if self.away:
            raise psycopg.OperationalError("away")
        return await super().ask(query, **params)


@pytest.fixture(scope="module")
def stage(migrated_url: str) -> Iterator[Stage]:
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(EMPTY)
    store = Away(migrated_url, Clock(), seal=Seal(b"the key of every test, 32 bytes "))
    stage = Stage(store)
    stage.guard = As("approver")
    yield stage
    store.close()


@pytest.fixture(scope="module")
def address(stage: Stage) -> Iterator[str]:
    with served(application(stage.face())) as found:
        yield found


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(params=WIDTHS)
def tab(request: pytest.FixtureRequest, browser: Any, address: str) -> Iterator[Any]:
    """A page that complains."""
    size, leave = {"width": request.param, "height": 900}, ["clipboard-read", "clipboard-write"]
    with complaining(browser, address, "404", viewport=size, permissions=leave) as page:
        yield SimpleNamespace(page=page, width=request.param)


@pytest.fixture(scope="module")
def axe(request: pytest.FixtureRequest) -> str:
    return axe_of(request)


def text(page: Any, selector: str) -> str:
    return str(page.inner_text(selector))


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim()"))


def test_nothing_sticks_out_and_axe_finds_nothing_serious(tab: Any, axe: str) -> None:
    """Wide in light, narrow in dark; with pictures asked for, everything in both."""
    for scheme in ["light", "dark"] if PICTURES else ["light" if tab.width == WIDTHS[0] else "dark"]:
        tab.page.emulate_media(color_scheme=scheme)
        assert {name: wrong for name in PAGES if (wrong := seen(tab, name, axe, scheme))} == {}


def seen(tab: Any, name: str, axe: str, scheme: str) -> list[Any]:
    """What is wrong with one page."""
    tab.page.goto(PAGES[name])
    wrong = faults_of(tab.page, tab.width, axe)
    pictured(tab.page, f"{name}-{tab.width}-{scheme}")
    return wrong


def test_pages_still_fit_at_twice_the_size(browser: Any, address: str) -> None:
    """200 % zoom of a window of 1280 is a window of 640."""
    with browser.new_context(
        viewport={"width": 640, "height": 450}, device_scale_factor=2, base_url=address
    ) as context:
        page = context.new_page()
        for name, path in PAGES.items():
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 640, name


def test_a_sku_is_found_and_opened_by_keyboard(tab: Any) -> None:
    page = tab.page
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type(PLAIN[2])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/stock/{PLAIN[2]}")
    page.goto("/stock")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    second = focused(page)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/stock/."))
    assert second in text(page, "h1")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog[open]").is_visible()


def test_an_id_is_copied(tab: Any) -> None:
    page = tab.page
    page.goto(f"/stock/{PLAIN[2]}")
    button = page.locator("button.copy").first
    button.wait_for()  # It is hidden until the script that copies runs.
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("button.copy.done")
    assert page.evaluate("navigator.clipboard.readText()") == PLAIN[2]


def test_the_sale_is_stopped_and_begun_again_by_keyboard(tab: Any) -> None:
    page, sku = tab.page, PLAIN[10]
    page.goto(f"/stock/{sku}")
    page.locator("details.act summary").focus()
    page.keyboard.press("Enter")
    page.locator("input[name=reason]").focus()
    page.keyboard.type("a broken leg")
    pictured(page, f"sku-stopping-{tab.width}-light")
    page.keyboard.press("Enter")
    page.wait_for_url("**done=stopped**")
    assert "0 on web-eu" in text(page, "h1")
    assert "maria stopped the sale" in text(page, "#number")
    pictured(page, f"sku-stopped-{tab.width}-light")
    page.get_by_role("button", name="Undo: sell again").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**done=resumed")
    assert "stopped the sale" not in text(page, "main")


def test_writes_are_frozen_and_resumed_by_keyboard(tab: Any) -> None:
    page = tab.page
    page.goto("/vendors")
    page.locator("details.act summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**done=frozen")
    assert "writes frozen" in text(page, "#standing")
    pictured(page, f"vendors-frozen-{tab.width}-light")
    page.get_by_role("button", name="Undo").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**done=resumed")
    assert "writes frozen" not in text(page, "#standing")


def test_time_goes_back_and_returns(tab: Any) -> None:
    page = tab.page
    page.goto(f"/stock/{PLAIN[1]}")
    page.get_by_role("link", name="Change before").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**?at=*")
    assert "had to show" in text(page, "h1")
    there = page.url
    page.locator("#at").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(lambda url: url != there)
    assert "UTC" in text(page, "h1")
    page.get_by_role("link", name="Now", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/CRUNCHY-001\??$"))


@pytest.mark.alone
def test_a_change_reaches_an_open_page_within_a_second(tab: Any, stage: Stage) -> None:
    page = tab.page
    page.goto("/")
    page.wait_for_timeout(500)
    for n in range(3):
        words = f"seen-{tab.width}-{n}"
        stage.store.write_now(lambda tx, what=words: tx.run(STEP, what=what))
        page.wait_for_selector(f"text={words}", timeout=1000)
        assert words in text(page, "main")


@pytest.mark.alone
def test_a_database_that_is_away_is_told_and_comes_back(tab: Any, stage: Stage) -> None:
    page = tab.page
    page.goto("/stock")
    page.wait_for_timeout(500)
    stage.store.away = True  # type: ignore[attr-defined]
    try:
        page.wait_for_selector("#connection:visible", timeout=5000)
        assert "The database does not answer" in text(page, "#connection")
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/stock-away-{tab.width}-light.png", full_page=True)
    finally:
        stage.store.away = False  # type: ignore[attr-defined]
    page.wait_for_selector("#connection", state="hidden", timeout=8000)


def test_pages_can_be_read_without_scripts(browser: Any, address: str) -> None:
    with browser.new_context(java_script_enabled=False, base_url=address) as context:
        page = context.new_page()
        for name, path in PAGES.items():
            page.goto(path)
            assert text(page, "h1"), name
        page.goto(f"/search?q={OPERATION}")
        assert PLAIN[0] in text(page, "h1")
        page.goto(f"/search?q={ORDER}")
        assert page.url.endswith("/orders/id-N-0")
