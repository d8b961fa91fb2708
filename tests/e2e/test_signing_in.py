"""Signing in as a browser does it: its cookies, what it says about where a form came from, and what it refuses to load.

Skipped where there is no Chromium.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright
from tests.e2e.browser import PICTURES, RULES, WIDTHS, axe_of, grave
from tests.e2e.test_ways_in import House, running

from sellable.runtime import audit
from sellable.runtime.database import Store
from sellable.web.people.guard import COOKIE

CHROMIUM = shutil.which("chromium")
SECRET = "four odd words here"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to sign in with")


def browsed(store: Store, story: Callable[[House, BrowserContext, str], Awaitable[None]]) -> None:
    async def play() -> None:
        async with running(store) as house, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            try:
                await story(house, await browser.new_context(), f"http://127.0.0.1:{house.port}")
            finally:
                await browser.close()

    asyncio.run(play())


async def fill(page: Page, **fields: str) -> None:
    """Fill the form and send it, by keyboard."""
    for name, value in fields.items():
        await page.locator(f"form.fields [name={name}]").fill(value)
    await page.keyboard.press("Enter")


async def look(page: Page, name: str, axe: str) -> None:
    """Wide in light, narrow in dark: nothing sticks out, and axe finds nothing serious in what it sees last."""
    for width, scheme in zip(WIDTHS, ("light", "dark"), strict=True):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        if PICTURES:
            await page.screenshot(path=f"{PICTURES}/people-{name}-{width}.png", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, name
    await page.evaluate(axe)
    found = await page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert grave(found) == [], name


def test_from_the_first_link_to_a_colleague_who_may_less(
    store: Store, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    axe = axe_of(request)
    asked: list[str] = []
    trouble: list[str] = []

    async def story(house: House, context: BrowserContext, here: str) -> None:
        page = await context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: trouble.append(said.text) if "policy" in said.text.lower() else None)
        await page.goto(str(await house.first_link(here)))
        await look(page, "first-link", axe)
        await fill(page, name="Ada", password=SECRET, again="another few words")
        await page.get_by_role("alert").wait_for()
        await look(page, "first-link-refused", axe)
        await fill(page, name="Ada", password=SECRET, again=SECRET)
        await page.wait_for_url(f"{here}/")
        cookie = next(each for each in await context.cookies() if each.get("name") == COOKIE)
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Lax")

        await page.goto(f"{here}/people")
        await page.locator("summary").first.focus()
        await page.keyboard.press("Enter")
        await look(page, "people", axe)
        await page.locator("[name=label]").fill("shop")
        await page.keyboard.press("Enter")
        await page.locator(".once code").last.wait_for()
        await look(page, "token", axe)
        await fill(page, name="Grace")
        await page.get_by_text("One-time link for").wait_for()
        await look(page, "invited", axe)
        link = await page.locator(".once code").inner_text()
        await page.get_by_role("button", name="Sign out", exact=True).click()
        await page.wait_for_url(f"{here}/sign-in")
        await page.goto(link)
        await look(page, "welcome", axe)
        await fill(page, password=SECRET, again=SECRET)
        await page.wait_for_url(f"{here}/")
        await page.goto(link)
        await look(page, "link-used", axe)
        await page.goto(f"{here}/people")
        assert "This is for the role admin; yours is viewer." in await page.locator("main").inner_text()
        await look(page, "not-allowed", axe)

        evil = tmp_path / "evil.html"
        evil.write_text(f'<form method="post" action="{here}/sign-out"><button>Free shoes</button></form>')
        await page.goto(evil.as_uri())
        await page.get_by_role("button").click()
        await page.wait_for_url(f"{here}/sign-out")
        assert "did not come from a page of this console" in await page.locator("main").inner_text()
        await page.goto(f"{here}/")
        assert page.url == f"{here}/", "still signed in"

        await page.get_by_role("button", name="Sign out", exact=True).click()
        await page.goto(f"{here}/people?x=1")
        assert page.url == f"{here}/sign-in?next=/people%3Fx%3D1"
        await look(page, "sign-in", axe)
        await fill(page, name="ada", password="wrong")
        await page.get_by_text("The name or the password is wrong.").wait_for()
        await look(page, "sign-in-wrong", axe)
        await fill(page, name="ada", password=SECRET)
        await page.wait_for_url(f"{here}/people?x=1")
        acts = [row.action for row in await house.store.read(audit.report, ("person:Grace",), 100)]
        assert acts == ["person.add", "person.password", "person.sign_in", "person.sign_out"]
        assert {url.split("/")[2] for url in asked if not url.startswith("file:")} == {here.removeprefix("http://")}

    browsed(store, story)
    assert trouble == []
