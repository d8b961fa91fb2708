"""Who may open which page: every page names its role, and nobody gets in by a way that names none.

One rule: a page is served only through `routes`, which asks the guard first.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol, get_args
from urllib.parse import parse_qsl

import psycopg
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sellable.config.said import Live
from sellable.config.settings import Settings
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.stock.numbers import Number
from sellable.web.api.offered import Offer, Question
from sellable.web.console.memo import Memo
from sellable.web.console.work import Work

Role = Literal["viewer", "operator", "approver", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""
FIELDS_MAX = 5000
"""Fields of one form: a page of check boxes, several times."""


@dataclass(frozen=True)
class Person:
    """Who asks; `csrf` is what their forms must bring along."""

    name: str
    role: Role
    csrf: str = ""

    def may(self, role: Role) -> bool:
        """Whether this person's role covers `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


NOBODY = Person("", "viewer")
"""Who is not signed in; only pages without a role see them."""


class Guard(Protocol):
    """Decides who gets in. `request.state.visit` is the visit of nobody yet, for a refusal that is a page."""

    async def admit(self, request: Request, page: Page) -> Person | Response:
        """The person, or what to answer instead: the way to sign in, or a refusal."""
        ...


@dataclass(frozen=True)
class Badge:
    """Where one is, in a word: demo, shadow, lowers only, live, writes frozen. `tone` is '' or 'warn' or 'bad'."""

    word: str
    tone: str = ""
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the frame around every page says: badges, and how many cases wait for somebody."""

    badges: tuple[Badge, ...] = ()
    open_cases: int = 0
    frozen: bool = False


async def nothing_special() -> Standing:
    """The frame of a console that is told nothing."""
    return Standing()


class Acts(Protocol):
    """What a person may do to stock from the pages; each is in the audit under their name."""

    async def stop_selling(self, actor: str, sku: str, reason: str) -> str:
        """Hold every unit of a SKU back in all pools; returns the name under which all of it ends."""
        ...

    async def sell_again(self, actor: str, sku: str, stop: str) -> int:
        """End what `stop_selling` began, or one hold by its id; how many holds ended."""
        ...

    async def freeze(self, actor: str, frozen: bool) -> bool:
        """Freeze or resume all writes of stock; False when it is so already."""
        ...


class Record(Protocol):
    """Puts what a person did on the record, in the transaction of the act itself."""

    def __call__(
        self, tx: Tx, actor: str, action: str, subject: str, *,
        before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None, correlation: str | None = None,
    ) -> None:  # fmt: skip
        """`actor` is the person's name, `subject` what it was done to, like "case:C-000123"."""


@dataclass(frozen=True, kw_only=True)
class Console:
    """What the pages may use; the assembly hands it in."""

    store: Store
    clock: Clock
    live: Live
    guard: Guard
    record: Record
    overview: Callable[[], Awaitable[dict[str, Any]]]
    explain: Callable[[str, datetime | None], Awaitable[dict[str, Any]]]
    """(sku, at) -> what `sellable explain` prints as JSON; `at` None is now."""
    numbers: Callable[[Sequence[str]], Awaitable[Sequence[Number]]]
    """SKUs -> the number of each of their entries, as explained."""
    offered: Callable[[Question], Awaitable[Sequence[Offer]]]
    """SKUs and channels -> what each may sell of them, as planned last."""
    acts: Acts
    work: Work
    memo: Memo = field(default_factory=Memo)
    heard: dict[str, datetime] = field(default_factory=dict)
    """Source -> when its newest webhook was stored by this process."""
    standing: Callable[[], Awaitable[Standing]] = nothing_special
    title: str = "sellable"

    @property
    def settings(self) -> Settings:
        """What file and console say now."""
        return self.live()


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request of one person."""

    request: Request
    person: Person
    console: Console
    standing: Standing = field(default_factory=Standing)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A path, the least role that may open it (None: also who is not signed in), and what answers."""

    path: str
    answer: Callable[[Visit], Awaitable[Response]]
    role: Role | None
    methods: Sequence[str] = ("GET",)


class Door(Route):
    """A page as a route; what has none of these around it is not behind the guard."""

    def __init__(self, page: Page, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        super().__init__(page.path, endpoint, methods=list(page.methods))
        # A name may hold a line feed, and what it names is asked for by this path.
        self.path_regex = re.compile(self.path_regex.pattern, re.DOTALL)
        self.page = page


class OpenToReaders:
    """The guard of an installation that everybody may look at: nobody may act."""

    async def admit(self, request: Request, page: Page) -> Person | Response:
        """A nameless reader."""
        reader = Person("anybody", "viewer")
        allowed = page.role is None or reader.may(page.role)
        return reader if allowed and request.method in ("GET", "HEAD") else Response("not allowed", status_code=403)


def routes(console: Console, pages: Sequence[Page], failed: Callable[[Visit, Exception], Response]) -> list[Door]:
    """The pages as routes, each behind the guard; `failed` answers when the database does not."""
    return [Door(page, _guarded(console, page, failed)) for page in pages]


def _guarded(
    console: Console, page: Page, failed: Callable[[Visit, Exception], Response]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        visit = request.state.visit = Visit(request=request, person=NOBODY, console=console)
        try:
            admitted = await console.guard.admit(request, page)
            if isinstance(admitted, Response):
                return admitted
            visit = replace(visit, person=admitted)
            if page.role is not None:
                visit = replace(visit, standing=await console.standing())
            return await page.answer(visit)
        except psycopg.Error as error:
            return failed(visit, error)

    # What the page says of itself is what the reference of HTTP says.
    answer.__doc__ = page.answer.__doc__
    return answer


async def form(request: Request) -> FormData:
    """The fields of a form, which is urlencoded. The guard has read it, within bounds."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return FormData()
    try:
        text = (await request.body()).decode()
        return FormData([*parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)])
    except ValueError:
        return FormData()
