"""Templates into pages: one frame around all, the words and formats that all share."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
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

MENU = [
    ("/", "Overview"), ("/stock", "Stock"), ("/orders", "Orders"), ("/exceptions", "Exceptions"),
    ("/vendors", "Vendors"), ("/reports", "Reports"), ("/settings", "Settings"), ("/people", "People"),
]  # fmt: skip

SEVERITIES = {1: ("bad", "now"), 2: ("warn", "today"), 3: ("", "this week"), 4: ("", "some day")}
"""Severity of a case -> tone and word: how soon somebody must look."""

STATIC = Path(__file__).with_name("static")

templates = Environment(
    loader=PackageLoader("sellable.web.console", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@cache
def static_address(name: str) -> str:
    """The address of a file of style, script or icons: another one as soon as its content is."""
    file = STATIC / name
    if not file.is_file():
        return f"/static/{name}"
    return f"/static/{name}?v={hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()}"


def page(visit: Visit, template: str, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A template filled for one person."""
    now = visit.console.clock.now()
    text = templates.get_template(template).render(
        title=visit.console.title, menu=MENU, person=visit.person, standing=visit.standing,
        path=visit.request.url.path, now=now, **values,
    )  # fmt: skip
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


def latency(milliseconds: int) -> str:
    """Milliseconds in the unit a person would use."""
    return f"{milliseconds} ms" if milliseconds < 1000 else duration(milliseconds / 1000)


def money(amount: int, digits: int, currency: str) -> str:
    """Minor units as people write them, with the currency; never through a float."""
    return f"{Decimal(amount).scaleb(-digits):,.{digits}f} {currency}"


def units(number: int) -> str:
    """A quantity with thousands apart, and a real minus."""
    return f"{number:,}".replace("-", "\u2212")


def absolute(at: datetime) -> str:
    """An instant to the second, with its zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


@pass_context
def ago(context: Context, at: datetime) -> Markup:
    """An instant as people say it, with the exact one and its zone on hover."""
    seconds = (context["now"] - at).total_seconds()
    words = f"in {duration(-seconds)}" if seconds < -1 else f"{duration(abs(seconds))} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), absolute(at), words)


@pass_context
def seconds_ago(context: Context, seconds: float) -> datetime:
    """The instant so long before the page."""
    at: datetime = context["now"] - timedelta(seconds=seconds)
    return at.replace(microsecond=0)


def instant(text: str) -> datetime:
    """An instant that came as text."""
    return datetime.fromisoformat(text)


def signed(number: int) -> str:
    """A difference, with a real minus."""
    return f"+{number:,}" if number > 0 else f"\u2212{-number:,}" if number < 0 else "0"


def sku_path(sku: str) -> str:
    """Where a SKU's page is; a SKU may be any text."""
    return "/stock/" + quote(sku, safe="")


def order_path(order_id: str) -> str:
    """Where an order's page is."""
    return "/orders/" + quote(order_id, safe="")


def subject_path(subject: str) -> str:
    """Where the page of a subject like sku:ABC or order:123 is; '' for what has none."""
    kind, _, name = subject.partition(":")
    return {"sku": sku_path(name), "order": order_path(name), "case": f"/exceptions/{name}"}.get(kind, "")


def address(path: str, **query: object) -> str:
    """A path with those of its values that say something."""
    said = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(said)}" if said else path


templates.globals |= {"address": address, "static": static_address, "seconds_ago": seconds_ago}
templates.filters |= {
    "duration": duration, "units": units, "absolute": absolute, "ago": ago, "signed": signed,
    "sku_path": sku_path, "instant": instant, "latency": latency, "order_path": order_path, "money": money,
    "subject_path": subject_path,
}  # fmt: skip
