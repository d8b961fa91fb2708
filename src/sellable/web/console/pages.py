"""All pages of the console, and the files they need."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from sellable.web.console import exceptions, find, live, orders, overview, reports, settings, sku, stock, vendors
from sellable.web.console.doors import Console, routes
from sellable.web.console.render import STATIC, failed, static_address
from sellable.web.people import pages as people

PAGES = [*overview.PAGES, *stock.PAGES, *sku.PAGES, *vendors.PAGES, *find.PAGES]
PAGES += [*orders.PAGES, *exceptions.PAGES, *reports.PAGES, *settings.PAGES, *people.PAGES]


class Files(StaticFiles):
    """Style, script and icons. A page asks for each by its content, so what was got that way never has to be again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file; kept for ever where the address names its content, else not at all."""
        answer = await super().get_response(path, scope)
        asked = f"/static/{path}?{scope['query_string'].decode('latin-1')}"
        if answer.status_code in (200, 304) and asked == static_address(path):
            answer.headers["cache-control"] = "public, max-age=31536000, immutable"
        return answer


def routes_of(console: Console) -> list[BaseRoute]:
    """Every page behind the guard; style, script and icons for everybody."""
    return [
        *routes(console, [live.also(page) for page in PAGES], failed),
        Mount("/static", Files(directory=STATIC), name="static"),
    ]
