"""docs/reference/http.md, written from the routes themselves. One rule: nothing here is said twice by hand.

`python -m sellable.web.reference > docs/reference/http.md`
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from starlette.routing import Mount, Route

from sellable.web.api.endpoints import ENDPOINTS
from sellable.web.api.openapi import SCOPES
from sellable.web.api.routes import DESCRIPTION
from sellable.web.console import pages
from sellable.web.server import Face, application

HEAD = """\
# HTTP

<!-- Generated: python -m sellable.web.reference > docs/reference/http.md -->

What a running process answers at [`listen`](settings.md). Only `/webhooks/` belongs on a public address. Answers to
programs are JSON but for the metrics.

| path | methods | answers |
|---|---|---|
"""
CONSOLE = """
## The console

Pages for people. The role is the least one that may open a page; each may do what those before it may: viewer,
operator, approver, admin. A dash is open to everybody who reaches the address.

| path | methods | role | shows |
|---|---|---|---|
"""


API = """
## The API

For programs, with a token of at least this scope; [how to call it](api.md).

| path | method | scope | answers |
|---|---|---|---|
"""


def page() -> str:
    """The whole page as Markdown."""
    shown = [f"| `{p.path}` | {', '.join(p.methods)} | {p.role or '–'} | {_said(p.answer)} |\n" for p in pages.PAGES]
    api = [
        f"| `{e.path.replace(':path', '')}` | {e.method} | {SCOPES[e.role]} | {_said(e.answer)} |\n"
        for e in (*ENDPOINTS, DESCRIPTION)
    ]
    return HEAD + "".join(_programs()) + API + "".join(api) + CONSOLE + "".join(sorted(set(shown)))


class _Nobody:
    """Stands for all that the assembly hands in: routes are made of it, and nobody calls them."""

    def __getattr__(self, name: str) -> Any:
        return self


def _programs() -> Iterator[str]:
    people = {p.path for p in pages.PAGES} | {e.path for e in (*ENDPOINTS, DESCRIPTION)}
    for route in application(cast(Face, _Nobody())).routes:
        if isinstance(route, Mount):
            yield f"| `{route.path}/...` | GET, HEAD | Style, script and icons of the console. |\n"
        elif isinstance(route, Route) and route.path not in people:
            yield f"| `{route.path}` | {', '.join(sorted(route.methods or ()))} | {_said(route.endpoint)} |\n"


def _said(handler: Any) -> str:
    return " ".join((handler.__doc__ or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
