"""Orders, exceptions and settings in a real browser: each page's main story by keyboard, wide and narrow.

CONSOLE_PICTURES=folder keeps a picture of every page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from tests.e2e.browser import WIDTHS, axe_of, chromium, complaining, faults_of, needs_chromium, pictured, served
from tests.suites.console_web import PARTS, Web, book, called, open_, park, stocked
from tests.suites.orders_life import CHAIR, TABLE, Life, play, shipment

from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.seal import Seal
from sellable.simulation.virtual.play import EMPTY
from sellable.web.server import application

pytestmark = needs_chromium
REFUSED = " 422 "
"""A page that says why something is refused is no error of the page, but browsers say so."""


async def _day(life: Life) -> None:
    """One order shipped, one held for its totals, one on its way; what they leave behind."""
    await stocked(life)
    await life.take(life.order((CHAIR, 2), (TABLE, 1), number="100123"))
    await life.steps()
    life.office.sales["sale-1"]["shipments"] = [shipment("ship-1", {CHAIR: 2}, track="00340434161094042557")]
    await life.read_sale("sale-1")
    await life.steps()
    life.office.surcharge = 1
    await life.take(life.order((CHAIR, 1), order_id="o2", number="100124"))
    await life.steps()


@pytest.fixture(scope="module")
def shop(migrated_url: str) -> Iterator[Web]:
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(EMPTY)
    store = Store(migrated_url, Clock(), seal=Seal(b"the key of every test, 32 bytes "))
    play(store, _day)
    called(store, "o1", 503, 200)
    book(store, *[(f"more-{n:02}", f"1002{n:02}", "exported", 30 + n) for n in range(12)])
    book(store, ("w1", "100301", "waiting", 200), ("w2", "100302", "waiting", 7), cause="payment")
    store.write_now(lambda tx: tx.run(PARTS, ids=["more-03"] * 2, parts=[1, 2], sales=["SO-1", "SO-2"]))
    hour = timedelta(hours=1)
    open_(store, "oversold", "sku:MUG-BLUE", ago=2 * hour, expected={"units": 0},
          actual={"units": 2, "taken_elsewhere": 1, "sold_beside": 0}, evidence=["order:o1", "order:w1"])  # fmt: skip
    open_(store, "drift", "sku:TEA-POT", ago=hour, expected={"quantity": 7}, actual={"quantity": 9})
    open_(store, "carrier_unmapped", "order:w1", actual={"shipping method": "Bicycle courier"}, evidence=["order:w1"])
    park(store, "m1")
    yield Web(store, "approver", buffers=[{"units": 1, "channel": "web-uk"}])
    store.close()


@pytest.fixture(scope="module")
def address(shop: Web) -> Iterator[str]:
    with served(application(shop.face())) as found:
        yield found


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def axe(request: pytest.FixtureRequest) -> str:
    return axe_of(request)


@pytest.fixture(params=WIDTHS)
def tab(request: pytest.FixtureRequest, browser: Any, address: str, axe: str) -> Iterator[Any]:
    """A page that complains; `keep` looks at it. Wide is light, narrow is dark."""
    width = request.param
    scheme = "light" if width == WIDTHS[0] else "dark"
    size = {"width": width, "height": 900}
    with complaining(browser, address, REFUSED, viewport=size, color_scheme=scheme) as page:
        yield SimpleNamespace(page=page, width=width, keep=lambda name: _keep(page, name, width, axe))


def _keep(page: Any, name: str, width: int, axe: str) -> None:
    assert faults_of(page, width, axe) == [], name
    pictured(page, f"{name}-{width}")


def _focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))


def test_an_order_is_found_and_its_calls_are_read_by_keyboard(tab: Any) -> None:
    page = tab.page
    page.goto("/orders")
    tab.keep("orders")
    page.goto("/orders?show=held")
    page.keyboard.press("j")
    assert _focused(page) == "100124"
    page.keyboard.press("Enter")
    page.wait_for_url("**/orders/o2")
    assert "has been held" in page.inner_text("h1")
    tab.keep("order-held")
    page.goto("/orders/o1")
    call = page.locator("details.call summary").first
    call.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.call[open] pre").first.is_visible()
    assert "ada@example.com" not in page.content()
    tab.keep("order")
    page.goto("/orders?show=split")
    tab.keep("orders-split")


def test_a_case_is_taken_assigned_and_resolved_by_keyboard(tab: Any, shop: Web) -> None:
    page = tab.page
    subject = f"sku:LAMP-{tab.width}"
    open_(shop.store, "drift_many", subject, ago=timedelta(minutes=3), expected={"drifted": 0}, actual={"drifted": 41})
    page.goto("/exceptions?kind=drift_many")
    tab.keep("exceptions-one")
    page.goto("/exceptions")
    tab.keep("exceptions")
    page.goto("/exceptions?kind=drift_many")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/exceptions/C-*")
    tab.keep("case")
    page.get_by_role("button", name="I have it").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**done=acknowledged")
    page.locator("details.act summary", has_text="Assign").focus()
    page.keyboard.press("Enter")
    page.locator("input[name=owner]").fill("Ann")
    page.keyboard.press("Enter")
    page.wait_for_url("**done=assigned*")
    page.locator("details.act summary", has_text="Resolve").focus()
    page.keyboard.press("Enter")
    page.locator("textarea[name=why]").fill("It was the import of Tuesday.")
    tab.keep("case-resolving")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**done=resolved")
    assert "It was the import of Tuesday." in page.inner_text("main")
    tab.keep("case-resolved")


def test_many_cases_are_assigned_and_tried_again_by_keyboard(tab: Any) -> None:
    page = tab.page
    page.goto("/exceptions")
    for box in page.locator("input[name=ref]").all()[:2]:
        box.focus()
        page.keyboard.press("Space")
    page.locator("#new-owner").fill("night shift")
    page.get_by_role("button", name="Assign…").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/exceptions/many*")
    assert re.match("Assign 2 exceptions to night shift", page.inner_text("h1"))
    tab.keep("many")
    page.keyboard.press("Enter")
    page.wait_for_url("**/exceptions?done=*")
    assert "assigned." in page.inner_text(".notice.good")


def test_a_buffer_is_looked_at_set_and_undone_by_keyboard(tab: Any) -> None:
    page = tab.page
    page.goto("/settings")
    tab.keep("settings")
    page.locator("details.section summary").nth(-1).focus()
    page.keyboard.press("Enter")
    page.locator("input[name=sku]").fill(CHAIR)
    page.locator("input[name=units]").fill("3")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings/buffers?*")
    assert "Hold 3 units back of ARMCHAIR" in page.inner_text("h1")
    tab.keep("buffer")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings?done=set*")
    tab.keep("settings-set")
    page.get_by_role("button", name="Undo").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings?done=undone")
    page.goto("/settings/buffers?sku=&location=Nowhere&channel=*&units=3")
    assert "there is no location" in page.inner_text("main")
    tab.keep("setting-refused")


def test_an_owner_is_named_and_taken_back_by_keyboard(tab: Any) -> None:
    page = tab.page
    page.goto("/settings")
    page.locator("#owners summary").focus()
    page.keyboard.press("Enter")
    page.locator("#owners select[name=kind]").select_option("oversold")
    page.locator("#owners input[name=owner]").fill("Ada")
    tab.keep("settings-owners")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings/owners?*")
    assert "1 open one keeps its owner" in page.inner_text("main")
    tab.keep("setting-owner")
    page.keyboard.type("Ada answers these now")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings?done=set")
    assert "console: maria" in page.inner_text("#owners")
    page.locator("#owners").get_by_role("link", name="Take back").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings/owners?kind=oversold")
    page.keyboard.type("she is away")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings?done=set")
    assert "console: maria" not in page.inner_text("#owners")


def test_a_month_is_chosen_by_keyboard(tab: Any) -> None:
    page = tab.page
    page.goto("/reports")
    assert "1 sale differs" in page.inner_text("h1")
    box = page.locator("header nav [aria-current]").bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= tab.width, "the menu shows where one is"
    tab.keep("reports")
    page.locator("input[name=zone]").fill("Asia/Tokyo")
    page.keyboard.press("Enter")
    page.wait_for_url("**/reports?*Tokyo")
    assert "JST" in page.inner_text("main")
    page.goto("/reports?month=2020-02")
    tab.keep("reports-empty")
    page.goto("/reports?month=never")
    assert "is no month" in page.inner_text(".notice.bad")
    tab.keep("reports-refused")
