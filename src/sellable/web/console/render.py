"""Templates into pages: one frame around all, the words and formats that all share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from sellable.web.console.doors import Visit

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""On every answer. With no-referrer browsers would not say either which page a form came from."""

MENU = [("/", "Overview"), ("/people", "People")]

templates = Environment(
    loader=PackageLoader("sellable.web.console", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(visit: Visit, template: str, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A template filled for one person."""
    now = visit.console.clock.now()
    text = templates.get_template(template).render(
        title=visit.console.title, menu=MENU, person=visit.person, path=visit.request.url.path, now=now, **values
    )
    return HTMLResponse(text, status_code=status_code)


def failed(visit: Visit, error: Exception) -> HTMLResponse:
    """The database does not answer: said plainly, tried again by itself."""
    return page(visit, "away.html", status_code=503, error=type(error).__name__)


def duration(seconds: float | None) -> str:
    """Seconds in the unit a person would use."""
    if seconds is None:
        return "never"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def units(number: int) -> str:
    """A quantity with thousands apart."""
    return f"{number:,}"


def absolute(at: datetime) -> str:
    """An instant to the second, with its zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


templates.filters |= {"duration": duration, "units": units, "absolute": absolute}
