"""Forms and addresses: what was sent, where to go next, and which of a few sentences to say there."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import RedirectResponse

from sellable.web.console.doors import Visit, form
from sellable.web.console.render import address

COUNT_MAX = 10_000_000


async def sent(visit: Visit) -> dict[str, list[str]]:
    """The fields of a form, each with all its values; none when it is no form."""
    fields = await form(visit.request)
    return {name: [str(value) for value in fields.getlist(name)] for name in fields}


def only(fields: Mapping[str, list[str]], name: str) -> str:
    """The last value of a field, without blanks around it; '' when it was not sent."""
    return fields.get(name, [""])[-1].strip()


def go(path: str, **parameters: object) -> RedirectResponse:
    """After a form: on to a page that can be loaded again without doing it twice."""
    return RedirectResponse(address(path, **parameters), status_code=303, headers={"cache-control": "no-store"})


Said = Mapping[str, tuple[str, str]]
"""Code in the address -> tone and words; {n} in them is how many."""


def said(visit: Visit, words: Said) -> tuple[str, str] | None:
    """What is to be said about the act before, if any."""
    found = words.get(visit.request.query_params.get("done", ""))
    return found and (found[0], found[1].format(n=f"{number(visit, 'n', COUNT_MAX):,}"))


def number(visit: Visit, name: str, most: int) -> int:
    """A count from the address, 0 for anything else."""
    text = visit.request.query_params.get(name, "")
    return min(int(text[:9]), most) if text.isascii() and text.isdecimal() else 0
