"""Signing in and out, one-time links, the list of people, and what every answer of the web face says to a browser."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from argon2 import PasswordHasher
from starlette.requests import Request
from tests.e2e.test_canaries import tables
from tests.suites.test_guard import AGE, HERE, House, Keys, Try, as_asked, played

from sellable.runtime import audit
from sellable.runtime.database import Store
from sellable.runtime.queries import Query
from sellable.web.console.render import HEADERS
from sellable.web.people import book, guard, pages
from sellable.web.people.guard import COOKIE, SECURE_COOKIE, local_path
from sellable.web.people.passwords import Passwords, csrf_of, hash_of

OURS = {"origin": HERE, "sec-fetch-site": "same-origin", "accept": "text/html"}
SECRET = "four odd words here"
OLDER = Query(
    package="test", name="test", purpose="test",
    text="UPDATE sign_in_count SET since = since - interval '15 minutes'",
)  # fmt: skip


@pytest.fixture(autouse=True)
def hasher(monkeypatch: pytest.MonkeyPatch) -> Passwords:
    """The same algorithm, cheaper."""
    cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setattr(pages, "passwords", cheap)
    return cheap


async def invited(house: House, name: str, role: str = "viewer") -> str:
    """The path of a new person's one-time link."""
    return "/welcome/" + await house.store.write(lambda tx: house.book.add(tx, "cli:test", name, role))


async def post(house: House, path: str, headers: dict[str, str] | None = None, **fields: str) -> httpx2.Response:
    return await house.client.post(path, data=fields, headers=OURS | (headers or {}))


async def settled(house: House, name: str, role: str = "viewer", password: str = SECRET) -> None:
    """A person with a password, nobody signed in."""
    answer = await post(house, await invited(house, name, role), password=password, again=password)
    assert answer.status_code == 303
    house.client.cookies.clear()


async def sign_in(house: House, name: str, password: str = SECRET, **more: Any) -> httpx2.Response:
    return await post(house, "/sign-in", name=name, password=password, **more)


def word_of(answer: httpx2.Response, name: str = COOKIE) -> str:
    found = re.match(rf"{name}=([\w-]+);", answer.headers["set-cookie"])
    assert found, answer.headers["set-cookie"]
    return found[1]


async def record(house: House) -> list[tuple[str, str, str]]:
    rows = await house.store.read(audit.report, (), 500)
    return [(row.actor, row.action, row.subject) for row in rows if row.action != "seal"][::-1]


# --- The first admin, and one-time links -----------------------------------------------------------------------------


def test_the_first_start_makes_a_link_for_an_admin_who_says_their_name(store: Store) -> None:
    async def scene(house: House) -> None:
        links = [await house.service.first_link(HERE) for _ in range(2)]
        assert all(link and link.startswith(f"{HERE}/welcome/") for link in links)
        first, second = (str(link).removeprefix(HERE) for link in links)
        shown = await house.client.get(first)
        assert "You are the first admin here" in shown.text
        for name, trouble in (("", "1 to 80 characters"), ("cli:root", "no name"), ("System", "no name")):
            answer = await post(house, first, name=name, password=SECRET, again=SECRET)
            assert trouble in answer.text
        answer = await post(house, first, name="Ada", password=SECRET, again=SECRET)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "Ada" in (await house.client.get("/people")).text
        assert await house.service.first_link(HERE) is None
        for used in (first, second):
            assert (await house.client.get(used)).status_code == 410
            assert (await post(house, used, name="Eve", password=SECRET, again=SECRET)).status_code == 410
        acts = [("Ada", act, "person:Ada") for act in ("person.add", "person.password", "person.sign_in")]
        assert [row for row in await record(house) if row[1].startswith("person.")] == acts

    played(store, scene, porch=False)


def test_a_link_opens_once_also_for_two_at_a_time(store: Store) -> None:
    async def scene(house: House) -> None:
        path = await invited(house, "Grace", "operator")
        assert "Welcome, Grace" in (await house.client.get(path)).text
        assert "Welcome, Grace" in (await house.client.get(path)).text, "looking does not use it up"
        both = await asyncio.gather(*(post(house, path, password=SECRET, again=SECRET) for _ in range(4)))
        assert Counter(answer.status_code for answer in both) == {303: 1, 410: 3}
        gone = await house.client.get(path)
        assert "used already, or has expired" in gone.text
        assert "people link" in gone.text

    played(store, scene, porch=False)


def test_a_new_link_ends_the_one_before_and_an_expired_one_opens_nothing(store: Store) -> None:
    async def scene(house: House) -> None:
        first = await invited(house, "Grace")
        second = "/welcome/" + await house.store.write(lambda tx: house.book.link(tx, "cli:test", "grace"))
        assert [(await house.client.get(path)).status_code for path in (first, second)] == [410, 200]
        hours = timedelta(hours=house.service.settings.console.link_hours)
        with pytest.raises(book.Missing):
            await house.store.read(book.opened, second.removeprefix("/welcome/"), house.service.clock.now() + hours)
        await house.store.write(lambda tx: house.book.disable(tx, "cli:test", "Grace"))
        assert (await house.client.get(second)).status_code == 410

    played(store, scene, porch=False)


@pytest.mark.parametrize(
    ("password", "again", "trouble"),
    [
        ("short", "short", "12 to 256 characters"),
        ("x" * 257, "x" * 257, "12 to 256 characters"),
        ("aaaaaaaaaaaa", "aaaaaaaaaaaa", "too easy"),
        ("Grace Hopper", "Grace Hopper", "too easy"),
        (SECRET, SECRET + "!", "differ"),
    ],
)
def test_a_password_that_will_not_do_is_refused(store: Store, password: str, again: str, trouble: str) -> None:
    async def scene(house: House) -> None:
        path = await invited(house, "grace hopper")
        answer = await post(house, path, password=password, again=again)
        assert (answer.status_code, trouble in answer.text) == (422, True)
        assert password not in answer.text
        assert (await house.client.get(path)).status_code == 200, "the link is still good"

    played(store, scene, porch=False)


def test_a_new_password_ends_every_session(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada", "admin")
        old = word_of(await sign_in(house, "Ada"))
        house.client.cookies.clear()
        link = "/welcome/" + await house.store.write(lambda tx: house.book.link(tx, "cli:test", "Ada"))
        assert (await post(house, link, password="another odd one", again="another odd one")).status_code == 303
        house.client.cookies.clear()
        answer = await house.client.get("/", headers={"cookie": f"{COOKIE}={old}"})
        assert answer.status_code == 401
        assert (await sign_in(house, "Ada")).status_code == 401
        assert (await sign_in(house, "Ada", "another odd one")).status_code == 303

    played(store, scene, porch=False)


# --- Signing in and out ----------------------------------------------------------------------------------------------


def test_signing_in_makes_a_new_session_and_ends_the_one_brought_along(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada", "admin")
        planted = "planted-by-somebody-else"
        first = word_of(await sign_in(house, "ada", headers={"cookie": f"{COOKIE}={planted}"}))
        assert first != planted
        house.client.cookies.clear()
        second = word_of(await sign_in(house, "ADA", headers={"cookie": f"{COOKIE}={first}"}))
        assert second != first
        house.client.cookies.clear()
        codes = [
            (await house.client.get("/", headers={"cookie": f"{COOKIE}={word}"})).status_code
            for word in (planted, first, second)
        ]
        assert codes == [401, 401, 200]

    played(store, scene, porch=False)


def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada")
        plain = (await sign_in(house, "Ada")).headers["set-cookie"].lower()
        assert plain.startswith(f"{COOKIE}=")
        assert {"httponly", "samesite=lax", "path=/"} <= set(plain.split("; "))
        assert "secure" not in plain
        for base, host in ((HERE, "shop.example"), ("http://10.0.0.5:8080", "10.0.0.5:8080")):
            headers = {"origin": f"https://{host}", "host": host}
            async with httpx2.AsyncClient(transport=house.client._transport, base_url=base) as client:
                answer = await client.post("/sign-in", data={"name": "Ada", "password": SECRET}, headers=OURS | headers)
            assert answer.status_code == 303
            cookie = answer.headers["set-cookie"].lower()
            assert cookie.startswith(f"{SECURE_COOKIE.lower()}=")
            assert {"httponly", "samesite=lax", "path=/", "secure"} <= set(cookie.split("; "))
            assert "domain" not in cookie

    played(store, scene, porch=False)


def test_a_password_is_not_taken_over_a_plain_connection(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada")
        host = {"host": "shop.example", "origin": "http://shop.example"}
        answer = await sign_in(house, "Ada", headers=host)
        assert (answer.status_code, "not encrypted" in answer.text) == (403, True)
        path = await invited(house, "Grace")
        answer = await post(house, path, host, password=SECRET, again=SECRET)
        assert (answer.status_code, "not encrypted" in answer.text) == (403, True)

    played(store, scene, porch=False)


def test_a_port_of_a_container_on_ones_own_machine_is_fine(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada")
        async with httpx2.AsyncClient(transport=house.client._transport, base_url="http://172.17.0.2:8080") as client:
            here = {"host": "localhost:8080", "origin": "http://localhost:8080"}
            answer = await client.post("/sign-in", data={"name": "Ada", "password": SECRET}, headers=OURS | here)
            shown = {"cookie": f"{COOKIE}={word_of(answer)}"}
            assert (await client.get("/", headers=shown | {"host": "localhost:8080"})).status_code == 200
            assert (await client.get("/", headers=shown | {"host": "shop.example"})).status_code == 401

    played(store, scene, porch=False)


def test_unknown_disabled_invited_and_wrong_all_get_the_same_answer_for_the_same_work(
    store: Store, hasher: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    verify = PasswordHasher.verify

    def noted(self: PasswordHasher, kept: str, password: str) -> bool:
        compared.append(threading.current_thread().name)
        return verify(self, kept, password)

    async def scene(house: House) -> None:
        await settled(house, "Ada")
        await settled(house, "Gone")
        await invited(house, "Invited")
        await house.store.write(lambda tx: house.book.disable(tx, "cli:test", "Gone"))
        monkeypatch.setattr(PasswordHasher, "verify", noted)
        answers = []
        for name in ("Nobody", "Ada", "Gone", "Invited", "", "x" * 5000, "\x00", "' OR 1=1 --"):
            password = SECRET if name in ("Gone", "Invited") else "wrong"
            answers.append(await sign_in(house, name, password))
        assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}
        assert pages.WRONG in answers[0].text
        assert len(compared) == len(answers)
        assert {name.rsplit("_", 1)[0] for name in compared} == {"argon2"}, "never on the event loop"

    played(store, scene, porch=False)


def test_too_many_tries_wait_whoever_they_are_for(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada")
        for name in ("Ada", "Nobody"):
            for _ in range(book.TRIES_OF_NAME):
                assert (await sign_in(house, name, "wrong")).status_code == 401
        for name in ("Ada", "aDA", "Nobody"):
            answer = await sign_in(house, name)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 901
            assert re.search(r"Try again in \d+ (minutes|seconds)", answer.text)
        assert (await sign_in(house, "Grace", "wrong")).status_code == 401, "others are not held up"
        await house.store.write(lambda tx: tx.run(OLDER))
        assert (await sign_in(house, "Ada")).status_code == 303

    played(store, scene, porch=False)


def test_an_address_that_tries_many_names_waits_and_who_signs_in_is_forgiven(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada")
        for _ in range(book.TRIES_OF_NAME + 5):
            assert (await sign_in(house, "Ada")).status_code == 303, "signing in often is no guessing"
        codes = Counter([(await sign_in(house, f"name {n}", "wrong")).status_code for n in range(60)])
        assert codes == {401: book.TRIES_OF_ADDRESS, 429: 60 - book.TRIES_OF_ADDRESS}
        spoofed = await sign_in(house, "Ada", headers={"x-forwarded-for": "10.9.8.7", "x-real-ip": "10.9.8.7"})
        assert spoofed.status_code == 429

    played(store, scene, porch=False)


def test_tries_at_the_same_moment_are_all_counted(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada")
        codes = Counter(a.status_code for a in await asyncio.gather(*(sign_in(house, "Ada", "no") for _ in range(30))))
        assert codes == {401: book.TRIES_OF_NAME, 429: 30 - book.TRIES_OF_NAME}

    played(store, scene, porch=False)


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::99", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix", "unix"),
    ],
)
def test_an_address_is_counted_as_one_customer(client: str, counted: str) -> None:
    request = Request({"type": "http", "client": (client, 1), "headers": []})
    assert pages.address_of(request) == counted


def test_signing_out_ends_the_session_here_and_there(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada")
        word = word_of(await sign_in(house, "Ada"))
        answer = await post(house, "/sign-out", csrf=csrf_of(word))
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert COOKIE not in house.client.cookies
        assert (await house.client.get("/", headers={"cookie": f"{COOKIE}={word}"})).status_code == 401
        assert (await record(house))[-1] == ("Ada", "person.sign_out", "person:Ada")

    played(store, scene, porch=False)


def test_a_page_leads_to_signing_in_and_back_but_its_pieces_say_401(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada", "admin")
        browser = {"accept": "text/html,*/*;q=0.8", "sec-fetch-dest": "document"}
        answer = await house.client.get("/people?role=admin&x=%2F", headers=browser)
        assert answer.status_code == 303
        form = await house.client.get(answer.headers["location"], headers=browser)
        found = re.search(r'name="next" value="([^"]*)"', form.text)
        assert found
        wanted = found[1].replace("&amp;", "&")
        assert (await sign_in(house, "Ada", next=wanted)).headers["location"] == "/people?role=admin&x=%2F"
        house.client.cookies.clear()
        for headers in ({"accept": "*/*"}, {"accept": "text/event-stream"}, browser | {"sec-fetch-dest": "empty"}):
            answer = await house.client.get("/", headers=headers)
            assert (answer.status_code, answer.json()) == (401, {"error": "You are not signed in."})
        answer = await post(house, "/people", name="x")
        assert (answer.status_code, "Sign in first" in answer.text) == (401, True)

    played(store, scene, porch=False)


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "\\\\evil.test",
            "https://evil.test",
            "javascript:alert(1)",
            "",
        ),
        *(
            "/\t/evil.test",
            "/\n/evil.test",
            " //evil.test",
            "/ /x",
            "evil.test",
            "/\x00",
            "/é",
            "/sign-in",
            "/sign-out",
        ),
        *("/welcome/x", "/\x7f"),
    ],
)
def test_only_a_path_of_ours_is_gone_to(wanted: str) -> None:
    assert local_path(wanted) == "/"


def test_a_path_of_ours_is_gone_to() -> None:
    for wanted in ("/", "/people", "/orders?state=held&page=2", "/orders/1#x", "/a//b", "/x?next=//evil.test"):
        assert local_path(wanted) == wanted


# --- Sessions and tokens ---------------------------------------------------------------------------------------------


def test_looking_for_news_keeps_nobody_signed_in(store: Store) -> None:
    async def scene(house: House) -> None:
        page = {"accept": "text/html"}
        idle = timedelta(minutes=house.service.settings.console.session_idle_minutes)
        for headers, codes in (({"accept": "text/event-stream"}, [200, 401]), (page, [200, 200])):
            ada = await house.keys(f"Ada {codes}", "viewer")
            seen = []
            for _ in codes:
                await house.store.write(
                    lambda tx, word=ada.session: tx.run(AGE, hash=hash_of(word), began=timedelta(), seen=idle * 0.6)
                )
                attempt = Try(what="", verb="GET", path="/status.json", headers=ada.cookie() | headers)
                seen.append((await house.ask(attempt)).status_code)
            assert [401 if code == 303 else code for code in seen] == codes

    played(store, scene, porch=False)


def test_a_token_reads_the_status_and_says_when_it_was_used(store: Store) -> None:
    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "viewer")
        answer = await house.client.get("/status.json", headers=ada.bearer())
        assert (answer.status_code, answer.json()["orders"]) == (200, {})
        _, tokens = await house.store.read(book.listing)
        assert tokens[0].used_at is not None
        answer = await house.client.get("/status.json", headers={"authorization": "Bearer sellable_no"})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        await house.store.write(lambda tx: house.book.set_role(tx, "test", "Ada", "admin"))
        assert (await house.client.get("/people", headers=ada.bearer())).status_code == 403, "read stays read"

    played(store, scene, porch=False)


def test_a_token_may_never_more_than_its_person(store: Store) -> None:
    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "admin")
        await house.keys("Grace", "admin")
        await house.store.write(lambda tx: house.book.set_role(tx, "test", "Ada", "operator"))
        assert (await house.client.get("/people", headers=ada.bearer())).status_code == 403
        assert (await house.client.get("/people", headers=ada.cookie())).status_code == 403

    played(store, scene, porch=False)


# --- The list of people ----------------------------------------------------------------------------------------------


async def admins_act(house: House, keys: Keys, path: str, **fields: str) -> httpx2.Response:
    return await post(house, path, keys.cookie(), csrf=csrf_of(keys.session), **fields)


def test_an_admin_invites_changes_and_disables_on_the_record(store: Store) -> None:
    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "admin")
        before = len(await record(house))
        answer = await admins_act(house, ada, "/people", name="Grace", role="viewer")
        links = re.findall(rf"{HERE}/welcome/[\w-]+", answer.text)
        assert (answer.status_code, len(set(links))) == (200, 1)
        assert links[0] not in (await house.client.get("/people", headers=ada.cookie())).text, "shown once"
        assert (await post(house, links[0], password=SECRET, again=SECRET)).status_code == 303
        grace = {"cookie": f"{COOKIE}={house.client.cookies[COOKIE]}"}
        house.client.cookies.clear()
        assert (await house.client.get("/people", headers=grace)).status_code == 403
        assert (await admins_act(house, ada, "/people/role", name="grace", role="admin")).status_code == 303
        assert (await house.client.get("/people", headers=grace)).status_code == 200
        answer = await admins_act(house, ada, "/people/token", name="Grace", label="till", scope="read", days="30")
        token = re.findall(r"sellable_[\w-]{43}", answer.text)[0]
        bearer = {"authorization": f"Bearer {token}"}
        assert (await house.client.get("/status.json", headers=bearer)).status_code == 200
        assert (await admins_act(house, ada, "/people/disable", name="Grace")).status_code == 303
        assert (await house.client.get("/people", headers=grace)).status_code == 401
        assert (await house.client.get("/status.json", headers=bearer)).status_code == 401
        assert (await sign_in(house, "Grace")).status_code == 401
        assert (await admins_act(house, ada, "/people/enable", name="Grace")).status_code == 303
        assert (await house.client.get("/status.json", headers=bearer)).status_code == 200
        token_id = (await house.store.read(book.listing))[1][-1].id
        assert (await admins_act(house, ada, "/people/revoke", name="Grace", token=str(token_id))).status_code == 303
        assert (await house.client.get("/status.json", headers=bearer)).status_code == 401
        told = [row for row in (await record(house))[before:] if row[0] == "Ada"]
        acts = ("person.add", "person.role", "token.add", "person.disable", "person.enable", "token.revoke")
        assert told == [("Ada", act, "person:Grace") for act in acts]
        assert await house.store.read(audit.verify) == []

    played(store, scene, porch=False)


def test_the_last_admin_stays(store: Store) -> None:
    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "admin")
        await invited(house, "Grace", "admin")
        for path, more in (("/people/disable", {}), ("/people/role", {"role": "viewer"})):
            answer = await admins_act(house, ada, path, name="Ada", **more)
            assert (answer.status_code, "the last admin" in answer.text) == (422, True), "an invitation is no admin yet"
        await house.keys("Lin", "admin")
        both = await asyncio.gather(
            *(admins_act(house, ada, "/people/disable", name=name) for name in ("Lin", "Ada")), return_exceptions=True
        )
        assert len(both) == 2
        people, _ = await house.store.read(book.listing)
        assert any(one.role == "admin" and one.has_password and not one.disabled_at for one in people)

    played(store, scene, porch=False)


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        ("/people", {"name": "ADA", "role": "viewer"}, 422, "There is a ADA already"),
        ("/people", {"name": "Ａｄａ", "role": "viewer"}, 422, "There is a Ada already"),
        ("/people", {"name": "Eve", "role": "owner"}, 422, "is no role"),
        ("/people", {"name": "ada (token x)", "role": "viewer"}, 422, "is no name"),
        ("/people", {"name": "x" * 81, "role": "viewer"}, 422, "1 to 80 characters"),
        ("/people", {"name": "a\u202eb", "role": "viewer"}, 422, "no control characters"),
        ("/people/role", {"name": "Nobody", "role": "viewer"}, 404, "nobody called"),
        ("/people/token", {"name": "Ada", "label": "x", "scope": "all", "days": "1"}, 422, "is no scope"),
        ("/people/token", {"name": "Ada", "label": "x", "scope": "read", "days": "x"}, 422, "1 to 3650 days"),
        ("/people/token", {"name": "Ada", "label": "", "scope": "read", "days": "1"}, 422, "A label has"),
        ("/people/revoke", {"name": "Ada", "token": "9" * 19}, 404, "no token"),
        ("/people/erase", {"name": "Ada"}, 404, "no such act"),
    ],
)
def test_what_cannot_be_done_is_said(store: Store, path: str, fields: dict[str, str], status: int, words: str) -> None:
    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "admin")
        answer = await admins_act(house, ada, path, **fields)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text

    played(store, scene, porch=False)


def test_no_secret_is_in_the_database_or_on_the_record(store: Store) -> None:
    secrets: set[str] = set()

    async def scene(house: House) -> None:
        link = await invited(house, "Ada", "admin")
        secrets.add(link.removeprefix("/welcome/"))
        await post(house, await invited(house, "Grace"), password=SECRET, again=SECRET)
        secrets.update({SECRET, house.client.cookies[COOKIE]})
        house.client.cookies.clear()
        await sign_in(house, "typed-secret-as-a-name", "typed-wrong-password")
        keys = await house.keys("Lin", "viewer")
        secrets.update({keys.session, keys.token, "typed-secret-as-a-name", "typed-wrong-password"})

    played(store, scene, porch=False)
    for name, content in tables(store.url).items():
        assert [secret for secret in secrets if secret.encode() in content] == [], name


# --- Installations that everybody on the machine may read -------------------------------------------------------------


def test_open_lets_this_machine_read_and_nobody_act(store: Store) -> None:
    async def scene(house: House) -> None:
        for path, status in (("/", 200), ("/status.json", 200), ("/people", 401)):
            assert (await house.client.get(path)).status_code == status
        assert (await post(house, "/people", name="Eve", role="admin")).status_code == 401
        for host in ("evil.test", "127.0.0.1.evil.test:8080", "10.0.0.5:8080", "[::1"):
            # A page elsewhere may have its own name resolved to this machine.
            answer = await house.client.get("/", headers={"host": host, "accept": "text/html"})
            assert answer.status_code == 303
        for name in guard.PASSED_ON:
            assert (await house.client.get("/", headers={name: "127.0.0.1"})).status_code == 401
        async with httpx2.AsyncClient(transport=house.client._transport, base_url="http://10.0.0.5") as client:
            assert (await client.get("/", headers={"host": "127.0.0.1"})).status_code == 401
        ada = await house.keys("Ada", "admin")
        assert (await house.client.get("/people", headers=ada.cookie())).status_code == 200, "signing in still counts"

    played(store, scene, porch=False, console={"open": True})


# --- What browsers are told ------------------------------------------------------------------------------------------


def test_every_answer_says_what_browsers_must_not_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "admin")
        monkeypatch.setattr(book, "listing", lambda tx: 1 / 0)
        asked = [("POST", path) for path in ("/webhooks/cin7/wrong", "/sign-in", "/people")]
        asked += [("PUT", path) for path in ("/", "/health", "/metrics", "/static/console.css")]
        asked += [("GET", path) for path in ("/", "/people", "/status.json", "/sign-in", "/welcome/none", "/none")]
        asked += [("GET", path) for path in ("/health", "/ready", "/metrics", "/static/console.css", "/static/none")]
        answers = [await house.client.request(verb, path, headers=ada.cookie()) for verb, path in asked]
        assert {200, 303, 403, 404, 405, 410, 401, 500} - {303, 401} <= {answer.status_code for answer in answers}
        for answer in answers:
            assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, answer.request.url
        policy = dict(part.strip().partition(" ")[::2] for part in HEADERS["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert not re.search(r"unsafe|\*|http:|data:", HEADERS["content-security-policy"])
        assert (HEADERS["x-content-type-options"], HEADERS["cache-control"]) == ("nosniff", "no-store")

    played(store, scene, porch=False)


def test_style_and_script_are_kept_by_their_content_and_nothing_else_is(store: Store) -> None:
    async def scene(house: House) -> None:
        links = re.findall(r'"(/static/[^"]+)"', (await house.client.get("/sign-in")).text)
        assert len(links) >= 3
        for link in links:
            answer = await house.client.get(link)
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable", link
            again = await house.client.get(link, headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.headers["cache-control"]) == (304, answer.headers["cache-control"])
            for other in (link.partition("?")[0], f"{link}0", f"{link}&x=1"):
                assert (await house.client.get(other)).headers["cache-control"] == "no-store", other

    played(store, scene, porch=False)


def test_pages_have_nothing_inline_and_every_form_its_proof(store: Store) -> None:
    """Of every page that needs no more than its address, also those that are added later."""

    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "admin")
        house.client.headers["accept"] = "text/html"
        outside = [
            await house.client.get(path) for path in ("/sign-in", await invited(house, "Grace"), "/welcome/none")
        ]
        plain = [
            door.path for door in house.doors if door.page.role and "GET" in door.page.methods and "{" not in door.path
        ]
        inside = [await house.client.get(path, headers=ada.cookie()) for path in plain]
        inside.append(await house.client.post("/people", headers=ada.cookie()))
        assert {"/", "/people"} <= set(plain)
        for answer in (*outside, *inside):
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", answer.text), (
                answer.url
            )
        proof = f'name="csrf" value="{csrf_of(ada.session)}"'
        forms = [
            form for answer in inside for form in re.findall(r'<form method="post".*?</form>', answer.text, re.DOTALL)
        ]
        assert len(forms) > 5
        assert [form for form in forms if proof not in form] == []

    played(store, scene, porch=False)


# --- Bodies ----------------------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_or_of_no_length_or_too_slow_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "admin")
        people = next(door.page for door in house.doors if door.path == "/people" and door.methods == {"POST"})
        asked = as_asked(people, ada)

        async def parts() -> Any:
            yield b"csrf=x"

        async def slow() -> Any:
            yield b"csrf="
            await asyncio.sleep(30)

        form = {"content-type": "application/x-www-form-urlencoded"}
        for path in ("/people", "/sign-in"):
            large = {"data": {"csrf": "x" * guard.BODY_BYTES_MAX}, "headers": asked.headers}
            assert (await house.client.post(path, **large)).status_code == 413
            answer = await house.client.post(path, content=parts(), headers=asked.headers | form)
            assert answer.status_code == 411
            monkeypatch.setattr(guard, "BODY_SECONDS_MAX", 0.05)
            lagging = asked.headers | form | {"content-length": "1000"}
            assert (await house.client.post(path, content=slow(), headers=lagging)).status_code == 408
            monkeypatch.setattr(guard, "BODY_SECONDS_MAX", 10.0)

    played(store, scene, porch=False)


def test_a_database_that_is_away_lets_nobody_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: Any, **__: Any) -> Any:
        raise psycopg.OperationalError("gone")

    async def scene(house: House) -> None:
        ada = await house.keys("Ada", "admin")
        for method in ("ask", "read", "write"):
            monkeypatch.setattr(house.store, method, gone)
        for headers in (ada.cookie(), ada.bearer()):
            answer = await house.client.get("/", headers=headers)
            assert (answer.status_code, "does not answer" in answer.text) == (503, True)

    played(store, scene, porch=False)


def test_what_has_ended_is_removed(store: Store) -> None:
    async def scene(house: House) -> None:
        await settled(house, "Ada", "admin")
        await sign_in(house, "Ada")
        await invited(house, "Grace")
        later = house.service.clock.now() + timedelta(days=500)
        await house.store.write(book.prune, house.service.settings, later)

    played(store, scene, porch=False)
    left = tables(store.url)
    assert {name: left[name] for name in ("session", "one_time_link", "sign_in_count")} == dict.fromkeys(
        ("session", "one_time_link", "sign_in_count"), b""
    )
    assert left["person"].count(b"\n") == 1
