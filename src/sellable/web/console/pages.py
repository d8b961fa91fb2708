"""All pages of the console, and the files they need."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from sellable.web.console import exceptions, find, live, orders, overview, settings, sku, stock, vendors
from sellable.web.console.doors import Console, routes
from sellable.web.console.render import failed
from sellable.web.people import pages as people

PAGES = [*overview.PAGES, *stock.PAGES, *sku.PAGES, *vendors.PAGES, *find.PAGES]
PAGES += [*orders.PAGES, *exceptions.PAGES, *settings.PAGES, *people.PAGES]
STATIC = Path(__file__).with_name("static")


def routes_of(console: Console) -> list[BaseRoute]:
    """Every page behind the guard; style, script and icons for everybody."""
    return [
        *routes(console, [live.also(page) for page in PAGES], failed),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]
