"""Signing in and out, setting a password by a one-time link, and the list of people for admins."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sellable.runtime import telemetry
from sellable.runtime.database import Row, Tx
from sellable.web.console.doors import NOBODY, ROLES, Page, Visit, form
from sellable.web.console.render import page
from sellable.web.people import book, guard
from sellable.web.people.book import SCOPES, Book, Missing, NotDone
from sellable.web.people.passwords import LENGTH_MAX, LENGTH_MIN, Passwords

WRONG = "The name or the password is wrong."
OPEN = "This connection is not encrypted, so a password is not taken over it: use https, or this machine's loopback."
CLIENT_BITS = 64
"""Of an IPv6 address: one customer of a provider has at least as many."""

passwords = Passwords()
sign_ins = telemetry.counter("sign_ins", "Tries to sign in, by how they ended.", ["end"])


# --- Signing in and out ----------------------------------------------------------------------------------------------


async def ask_to_sign_in(visit: Visit) -> Response:
    """The form; whoever is signed in goes on."""
    wanted = guard.local_path(visit.request.query_params.get("next", "/"))
    if visit.person is not NOBODY:
        return RedirectResponse(wanted, status_code=303)
    return _sign_in_form(visit, wanted)


async def sign_in(visit: Visit) -> Response:
    """Name and password against a session. Unknown names take the same time and get the same words."""
    console, fields = visit.console, await form(visit.request)
    name, password = str(fields.get("name", "")), str(fields.get("password", ""))
    wanted, address = guard.local_path(str(fields.get("next", "/"))), address_of(visit.request)
    if not _encrypted(visit.request):
        return _sign_in_form(visit, wanted, status_code=403, trouble=OPEN)
    wait = await console.store.write(book.count_try, console.settings, name, address, console.clock.now())
    if wait:
        sign_ins.labels("too_many").inc()
        answer = _sign_in_form(visit, wanted, status_code=429, trouble=f"Too many tries. Try again in {_spoken(wait)}.")
        answer.headers["retry-after"] = str(wait)
        return answer
    person = await console.store.read(book.by_name, name)
    right = await passwords.right(person.password if person else None, password)
    if not right or person is None or person.disabled_at is not None:
        sign_ins.labels("wrong").inc()
        return _sign_in_form(visit, wanted, status_code=401, trouble=WRONG)
    fresh = await passwords.hashed(password) if passwords.outdated(person.password) else None
    try:
        word = await console.store.write(_begin, _book(visit), person, fresh, visit.request, name, address)
    except Missing:
        return _sign_in_form(visit, wanted, status_code=401, trouble=WRONG)
    sign_ins.labels("signed_in").inc()
    return _with_session(RedirectResponse(wanted, status_code=303), visit.request, word)


async def sign_out(visit: Visit) -> Response:
    """The session ends here and in the database."""
    word = guard.session_of(visit.request)
    await visit.console.store.write(partial(Book.sign_out, _book(visit)), visit.person.name, word)
    answer = RedirectResponse("/sign-in", status_code=303)
    for name in (guard.COOKIE, guard.SECURE_COOKIE):
        answer.delete_cookie(name, secure=name == guard.SECURE_COOKIE, httponly=True, samesite="lax")
    return answer


def _begin(
    tx: Tx, people: Book, person: Row, fresh: str | None, request: Request, name: str, address: str
) -> str:  # fmt: skip
    book.forget_tries(tx, people.settings, name, address)
    return people.sign_in(tx, person, person.password, fresh, guard.session_of(request))


def _sign_in_form(visit: Visit, wanted: str, *, status_code: int = 200, trouble: str = "") -> Response:
    return page(visit, "sign_in.html", status_code=status_code, wanted=wanted, trouble=trouble)


def _with_session(answer: Response, request: Request, word: str) -> Response:
    """The session in a cookie that scripts cannot read and other sites cannot use."""
    secure = not guard.stays_here(request) or request.headers.get("origin", "").startswith("https:")
    answer.set_cookie(
        guard.SECURE_COOKIE if secure else guard.COOKIE, word, httponly=True, secure=secure, samesite="lax", path="/"
    )
    return answer


def _encrypted(request: Request) -> bool:
    """Whether the browser reached us over TLS, as far as it says, or never left its machine."""
    return guard.stays_here(request) or not request.headers.get("origin", "").startswith("http:")


def address_of(request: Request) -> str:
    """Where a request comes from, as tries are counted."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, CLIENT_BITS), strict=False))


def _spoken(seconds: int) -> str:
    return f"{-(-seconds // 60)} minutes" if seconds > 90 else f"{seconds} seconds"


# --- One-time links --------------------------------------------------------------------------------------------------


async def ask_for_password(visit: Visit) -> Response:
    """The form of a one-time link. Looking at it does not use it up."""
    try:
        found = await visit.console.store.read(book.opened, _word(visit), visit.console.clock.now())
    except Missing:
        return page(visit, "link_used.html", status_code=410)
    return _password_form(visit, found)


async def set_password(visit: Visit) -> Response:
    """The password is set, the link used up, the person signed in."""
    console, fields = visit.console, await form(visit.request)
    password, again, name = (str(fields.get(field, "")) for field in ("password", "again", "name"))
    try:
        found = await console.store.read(book.opened, _word(visit), console.clock.now())
        if not _encrypted(visit.request):
            return _password_form(visit, found, status_code=403, trouble=OPEN)
        called = found.name or book.spelled(name)
        if trouble := _weak(password, again, called):
            return _password_form(visit, found, status_code=422, trouble=trouble, name=name)
        hashed = await passwords.hashed(password)
        word = await console.store.write(_accept, _book(visit), _word(visit), hashed, name, visit.request)
    except Missing:
        return page(visit, "link_used.html", status_code=410)
    except NotDone as error:
        return _password_form(visit, found, status_code=422, trouble=_sentence(error), name=name)
    return _with_session(RedirectResponse("/", status_code=303), visit.request, word)


def _accept(tx: Tx, people: Book, link: str, hashed: str, name: str, request: Request) -> str:
    person = people.accept_link(tx, link, hashed, name)
    return people.sign_in(tx, person, hashed, None, guard.session_of(request))


def _password_form(visit: Visit, found: Row, *, status_code: int = 200, trouble: str = "", name: str = "") -> Response:
    return page(
        visit, "password.html", status_code=status_code, first=found.person is None, called=found.name, name=name,
        trouble=trouble, length_min=LENGTH_MIN, length_max=LENGTH_MAX,
    )  # fmt: skip


def _weak(password: str, again: str, name: str) -> str:
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        return f"A password has {LENGTH_MIN} to {LENGTH_MAX} characters."
    if len(set(password)) < 5 or book.key_of(name) == book.key_of(password):
        return "This password is too easy to guess."
    return "" if password == again else "The two passwords differ."


def _word(visit: Visit) -> str:
    return str(visit.request.path_params["word"])


# --- People, for admins ----------------------------------------------------------------------------------------------


async def show(visit: Visit, *, status_code: int = 200, told: Mapping[str, str] | None = None) -> Response:
    """Everybody, with their tokens and what can be done."""
    people, tokens = await visit.console.store.read(book.listing)
    by_person: dict[int, list[Row]] = {}
    for token in tokens:
        by_person.setdefault(token.person, []).append(token)
    shown = {"link": "", "token": "", "about": "", "trouble": "", **(told or {})}
    return page(
        visit, "people.html", status_code=status_code, people=people, tokens=by_person, roles=ROLES, scopes=SCOPES,
        **shown,
    )  # fmt: skip


async def add(visit: Visit) -> Response:
    """Invite somebody: their one-time link is shown this once."""
    fields = await form(visit.request)
    name, role = str(fields.get("name", "")), str(fields.get("role", ""))
    return await _done(visit, name, lambda tx, people: {"link": people.add(tx, visit.person.name, name, role)})


async def act(visit: Visit) -> Response:
    """What an admin does to one person."""
    fields = await form(visit.request)
    name, doing = str(fields.get("name", "")), ACTS.get(visit.request.path_params["act"])
    if doing is None:
        return await show(visit, status_code=404, told={"trouble": "There is no such act."})
    return await _done(visit, name, partial(doing, actor=visit.person.name, name=name, fields=fields))


def _set_role(tx: Tx, people: Book, *, actor: str, name: str, fields: Any) -> dict[str, str]:
    people.set_role(tx, actor, name, str(fields.get("role", "")))
    return {}


def _disable(tx: Tx, people: Book, *, actor: str, name: str, fields: Any) -> dict[str, str]:
    people.disable(tx, actor, name)
    return {}


def _enable(tx: Tx, people: Book, *, actor: str, name: str, fields: Any) -> dict[str, str]:
    people.enable(tx, actor, name)
    return {}


def _link(tx: Tx, people: Book, *, actor: str, name: str, fields: Any) -> dict[str, str]:
    return {"link": people.link(tx, actor, name)}


def _add_token(tx: Tx, people: Book, *, actor: str, name: str, fields: Any) -> dict[str, str]:
    label, scope, days = (str(fields.get(field, "")) for field in ("label", "scope", "days"))
    return {"token": people.add_token(tx, actor, name, label, scope, _number(days))}


def _revoke_token(tx: Tx, people: Book, *, actor: str, name: str, fields: Any) -> dict[str, str]:
    people.revoke_token(tx, actor, _number(str(fields.get("token", ""))))
    return {}


ACTS: dict[str, Callable[..., dict[str, str]]] = {
    "role": _set_role, "disable": _disable, "enable": _enable, "link": _link, "token": _add_token,
    "revoke": _revoke_token,
}  # fmt: skip


async def _done(visit: Visit, name: str, doing: Callable[[Tx, Book], dict[str, str]]) -> Response:
    """Do it; then the list anew, or the list with what is shown only once."""
    try:
        told = await visit.console.store.write(doing, _book(visit))
    except NotDone as error:
        status = 404 if isinstance(error, Missing) else 422
        return await show(visit, status_code=status, told={"trouble": _sentence(error)})
    if not told:
        return RedirectResponse("/people", status_code=303)
    if "link" in told:
        # Where a proxy ends the encryption only the browser knows the address it used.
        base = visit.request.headers.get("origin") or str(visit.request.base_url)
        told["link"] = link_to(visit.console.settings.console.public_url, base, told["link"])
    return await show(visit, told={**told, "about": name})


def link_to(public_url: str, base: str, word: str) -> str:
    """A one-time link as it is handed to somebody."""
    return f"{(public_url or base).rstrip('/')}/welcome/{word}"


def _book(visit: Visit) -> Book:
    return Book(record=visit.console.record, clock=visit.console.clock, settings=visit.console.settings)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= 19 else 0


def _sentence(error: Exception) -> str:
    return f"{str(error)[:1].upper()}{str(error)[1:]}."


PAGES = [
    Page(path="/sign-in", answer=ask_to_sign_in, role=None),
    Page(path="/sign-in", answer=sign_in, role=None, methods=("POST",)),
    Page(path="/sign-out", answer=sign_out, role="viewer", methods=("POST",)),
    Page(path="/welcome/{word}", answer=ask_for_password, role=None),
    Page(path="/welcome/{word}", answer=set_password, role=None, methods=("POST",)),
    Page(path="/people", answer=show, role="admin"),
    Page(path="/people", answer=add, role="admin", methods=("POST",)),
    Page(path="/people/{act}", answer=act, role="admin", methods=("POST",)),
]
