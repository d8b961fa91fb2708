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


async def fill(page: Page, button: str, **fields: str) -> None:
    for name, value in fields.items():
        await page.locator(f"form.fields [name={name}]").fill(value)
    await page.get_by_role("button", name=button, exact=True).click()


def test_from_the_first_link_to_a_colleague_who_may_less(store: Store, tmp_path: Path) -> None:
    asked: list[str] = []
    trouble: list[str] = []

    async def story(house: House, context: BrowserContext, here: str) -> None:
        page = await context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: trouble.append(said.text) if "policy" in said.text.lower() else None)
        await page.goto(str(await house.first_link(here)))
        await fill(page, "Set password and sign in", name="Ada", password=SECRET, again=SECRET)
        await page.wait_for_url(f"{here}/")
        cookie = next(each for each in await context.cookies() if each.get("name") == COOKIE)
        assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Lax")

        await page.goto(f"{here}/people")
        await fill(page, "Invite by a one-time link", name="Grace")
        link = await page.locator(".once code").inner_text()
        await page.get_by_role("button", name="Sign out", exact=True).click()
        await page.wait_for_url(f"{here}/sign-in")
        await page.goto(link)
        await fill(page, "Set password and sign in", password=SECRET, again=SECRET)
        await page.wait_for_url(f"{here}/")
        await page.goto(f"{here}/people")
        assert "This is for the role admin; yours is viewer." in await page.locator("main").inner_text()

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
        await fill(page, "Sign in", name="ada", password="wrong")
        assert "The name or the password is wrong." in await page.locator("main").inner_text()
        await fill(page, "Sign in", name="ada", password=SECRET)
        await page.wait_for_url(f"{here}/people?x=1")
        acts = [row.action for row in await house.store.read(audit.report, ("person:Grace",), 100)]
        assert acts == ["person.add", "person.password", "person.sign_in", "person.sign_out"]
        assert {url.split("/")[2] for url in asked if not url.startswith("file:")} == {here.removeprefix("http://")}

    browsed(store, story)
    assert trouble == []
