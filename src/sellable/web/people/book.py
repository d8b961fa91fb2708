"""The book of people: who they are, what they may do, and the words by which they are known.

Rule: whatever a person does to another is on the record, in the transaction of the act itself.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sellable.config.settings import Settings
from sellable.runtime.clock import Clock
from sellable.runtime.database import ReadTx, Row, Tx
from sellable.runtime.queries import queries
from sellable.web.console.doors import ROLES, Record, Role
from sellable.web.people.passwords import hash_of, new_word

NAME_LENGTH_MAX = 80
TOKEN_PREFIX = "sellable_"  # noqa: S105 - by it a leaked token is recognised.
TOKEN_DAYS_KEPT = 90
TRIES_WINDOW = timedelta(minutes=15)
TRIES_OF_NAME = 10
TRIES_OF_ADDRESS = 50
ID_MAX = 2**63 - 1
NOT_NAMES = ("system", "anybody")

Scope = Literal["read", "operate", "approve", "admin"]
SCOPES: dict[str, Role] = dict(zip(get_args(Scope), ROLES, strict=True))
"""What a token of each scope may do at most; never more than its person."""

sql = queries("sellable.web.people")


class NotDone(Exception):
    """What was asked for cannot be done; the message says why, for the person who asked."""


class Missing(NotDone):
    """There is no such person, token or link (any more)."""


@dataclass(frozen=True, kw_only=True)
class Book:
    """Changes of people, on the record."""

    record: Record
    clock: Clock
    settings: Settings

    def add(self, tx: Tx, actor: str, name: str, role: str) -> str:
        """A new person; the word of the one-time link by which they set their password. Raises NotDone."""
        _known(role)
        person = self._put(tx, name, role)
        self.record(tx, actor, "person.add", f"person:{spelled(name)}", after={"role": role})
        return self._link(tx, person)

    def set_role(self, tx: Tx, actor: str, name: str, role: str) -> bool:
        """Whether that changed anything. Raises NotDone for the last admin."""
        _known(role)
        person = self._locked(tx, name)
        if person.role == role:
            return False
        _keeps_an_admin(tx, person)
        tx.run(sql.set_role, id=person.id, role=role)
        self._told(tx, actor, "person.role", person, before={"role": person.role}, after={"role": role})
        return True

    def disable(self, tx: Tx, actor: str, name: str) -> bool:
        """End a person's sessions and links; their tokens open nothing meanwhile. Whether that changed anything.

        Raises NotDone for the last admin.
        """
        person = self._locked(tx, name)
        if person.disabled_at is not None:
            return False
        _keeps_an_admin(tx, person)
        tx.run(sql.set_disabled, id=person.id, at=self.clock.now())
        tx.run(sql.end_sessions, person=person.id)
        tx.run(sql.end_links, person=person.id)
        self._told(tx, actor, "person.disable", person, before={"enabled": True}, after={"enabled": False})
        return True

    def enable(self, tx: Tx, actor: str, name: str) -> bool:
        """Let a person in again, with the password and the tokens they had; whether that changed anything."""
        person = self._locked(tx, name)
        if person.disabled_at is None:
            return False
        tx.run(sql.set_disabled, id=person.id, at=None)
        self._told(tx, actor, "person.enable", person, before={"enabled": False}, after={"enabled": True})
        return True

    def link(self, tx: Tx, actor: str, name: str) -> str:
        """The word of a new one-time link; links made before open nothing any more. Raises NotDone."""
        person = self._locked(tx, name)
        if person.disabled_at is not None:
            raise NotDone(f"{person.name} is disabled; enable them first")
        tx.run(sql.end_links, person=person.id)
        self._told(tx, actor, "person.link", person)
        return self._link(tx, person.id)

    def add_token(self, tx: Tx, actor: str, name: str, label: str, scope: str, days: int) -> str:
        """A new token of a person, shown this once. Raises NotDone."""
        if scope not in SCOPES:
            raise NotDone(f"{scope!r} is no scope; there are {', '.join(SCOPES)}")
        if not 1 <= days <= 3650:
            raise NotDone("a token is good for 1 to 3650 days")
        person, now, label = self._locked(tx, name), self.clock.now(), _line(label, "a label")
        word = new_word(TOKEN_PREFIX)
        token = tx.value(
            sql.put_token, hash=hash_of(word), person=person.id, label=label, scope=scope, now=now,
            expires_at=now + timedelta(days=days),
        )  # fmt: skip
        self._told(tx, actor, "token.add", person, after={"id": token, "scope": scope})
        return word

    def revoke_token(self, tx: Tx, actor: str, token: int) -> Row:
        """Whose token it was. Raises Missing."""
        row = tx.one(sql.revoke_token, id=token, now=self.clock.now()) if 0 < token <= ID_MAX else None
        if row is None:
            raise Missing(f"there is no token {token}")
        self._told(tx, actor, "token.revoke", row, before={"id": token, "scope": row.scope})
        return row

    # --- Passwords and sessions --------------------------------------------------------------------------------------

    def accept_link(self, tx: Tx, word: str, password: str, name: str) -> Row:
        """Use a one-time link: the hashed `password` is the person's from now on, and all their sessions end.

        `name` is what the first admin wants to be called. Raises Missing for a used or expired link, NotDone.
        """
        tx.all(sql.lock_people)
        found = opened(tx, word, self.clock.now())
        who = self._put(tx, name, "admin") if found.person is None else found.person
        person = tx.one(sql.person_by_id, id=who)
        assert person is not None
        if found.person is None:
            self._told(tx, person.name, "person.add", person, after={"role": "admin"})
        tx.run(sql.set_password, id=who, password=password)
        tx.run(sql.end_links, person=found.person)
        tx.run(sql.end_sessions, person=who)
        self._told(tx, person.name, "person.password", person)
        return person

    def sign_in(self, tx: Tx, person: Row, password: str, fresh: str | None, before: str) -> str:
        """Begin a session and end the one the browser brought along: its word. `fresh` is the password hashed anew.

        Raises Missing when the person was disabled, or their password changed, while it was compared.
        """
        now = self.clock.now()
        tx.all(sql.lock_people)
        found = tx.one(sql.person_by_id, id=person.id)
        if found is None or found.disabled_at is not None or found.password != password:
            raise Missing("the name or the password is wrong")
        if fresh is not None:
            tx.run(sql.set_password, id=person.id, password=fresh)
        tx.run(sql.end_session, hash=hash_of(before))
        word = new_word()
        tx.run(sql.put_session, hash=hash_of(word), person=person.id, now=now)
        self._told(tx, found.name, "person.sign_in", found)
        return word

    def sign_out(self, tx: Tx, name: str, word: str) -> None:
        """End one session."""
        if tx.run(sql.end_session, hash=hash_of(word)):
            self.record(tx, name, "person.sign_out", f"person:{name}")

    def _put(self, tx: Tx, name: str, role: str) -> int:
        tx.all(sql.lock_people)
        spelling = spelled(name)
        person = tx.value(sql.put_person, name=spelling, key=key_of(name), role=role, now=self.clock.now())
        if person is None:
            raise NotDone(f"there is a {spelling} already")
        return int(person)

    def _locked(self, tx: Tx, name: str) -> Row:
        tx.all(sql.lock_people)
        person = tx.one(sql.person_by_key, key=key_of(name))
        if person is None:
            raise Missing(f"there is nobody called {name!r}")
        return person

    def _link(self, tx: Tx, person: int | None) -> str:
        word, now = new_word(), self.clock.now()
        hours = timedelta(hours=self.settings.console.link_hours)
        tx.run(sql.put_link, hash=hash_of(word), person=person, now=now, expires_at=now + hours)
        return word

    def _told(self, tx: Tx, actor: str, action: str, person: Row, **more: Any) -> None:
        self.record(tx, actor, action, f"person:{person.name}", **more)


def first_link(book: Book, tx: Tx) -> str | None:
    """The word of a link that makes the first admin; None when there are people already."""
    return None if tx.value(sql.anybody) else book._link(tx, None)


def opened(tx: ReadTx, word: str, now: datetime) -> Row:
    """Whose link this is (`person` is None: it makes the first admin). Raises Missing."""
    row = tx.one(sql.link, hash=hash_of(word), now=now)
    if row is None:
        raise Missing("this link was used already, or has expired")
    return row


def by_name(tx: ReadTx, name: str) -> Row | None:
    """A person, also a disabled one."""
    return tx.one(sql.person_by_key, key=key_of(name))


def listing(tx: ReadTx) -> tuple[list[Row], list[Row]]:
    """Everybody, and all tokens that are not revoked."""
    return tx.all(sql.people), tx.all(sql.tokens)


def count_try(tx: Tx, settings: Settings, name: str, address: str, now: datetime) -> int:
    """Count one try to sign in, before it is known how it ends; seconds to wait when there were too many (0: go on)."""
    keys = _counted(settings, name, address)
    rows = tx.all(sql.count_try, keys=list(keys), now=now, since_after=now - TRIES_WINDOW)
    over = [row.since + TRIES_WINDOW - now for row in rows if row.tries > keys[row.key]]
    return max((int(left.total_seconds()) + 1 for left in over), default=0)


def forget_tries(tx: Tx, settings: Settings, name: str, address: str) -> None:
    """Whoever signed in is no guesser."""
    of_name, of_address = _counted(settings, name, address)
    tx.run(sql.forget_tries, name=of_name, address=of_address)


def prune(tx: Tx, settings: Settings, now: datetime) -> None:
    """Remove what can open nothing any more."""
    began_after, seen_after = ages(settings, now)
    tx.run(sql.prune_sessions, began_after=began_after, seen_after=seen_after)
    tx.run(sql.prune_links, now=now)
    tx.run(sql.prune_tokens, before=now - timedelta(days=TOKEN_DAYS_KEPT))
    tx.run(sql.prune_counts, since_after=now - TRIES_WINDOW)


def ages(settings: Settings, now: datetime) -> tuple[datetime, datetime]:
    """Sessions that began, or were last used, at these instants are over."""
    rules = settings.console
    return now - timedelta(hours=rules.session_hours), now - timedelta(minutes=rules.session_idle_minutes)


def spelled(name: str) -> str:
    """A name as it is shown. Raises NotDone for one that is none, or that the record could take for somebody else."""
    clean = _line(name, "a name")
    if key_of(clean) in NOT_NAMES or any(char in clean for char in ":()"):
        raise NotDone(f"{clean!r} is no name: it would be mistaken for another on the record")
    return clean


def key_of(name: str) -> str:
    """A name as names are compared: case, width and blanks tell nobody apart."""
    folded = unicodedata.normalize("NFKC", " ".join(name[: 2 * NAME_LENGTH_MAX].split())).casefold()
    return folded.replace("\x00", "").encode("utf-8", "replace").decode()


def _line(text: str, what: str) -> str:
    clean = unicodedata.normalize("NFKC", " ".join(text.split()))
    if not 1 <= len(clean) <= NAME_LENGTH_MAX:
        raise NotDone(f"{what} has 1 to {NAME_LENGTH_MAX} characters")
    if not clean.isprintable():
        raise NotDone(f"{what} has no control characters")
    return clean


def _known(role: str) -> None:
    if role not in ROLES:
        raise NotDone(f"{role!r} is no role; there are {', '.join(ROLES)}")


def _keeps_an_admin(tx: Tx, person: Row) -> None:
    if person.role == "admin" and person.password and not tx.value(sql.other_admins, id=person.id):
        raise NotDone(f"{person.name} is the last admin who can sign in; make another one first")


def _counted(settings: Settings, name: str, address: str) -> dict[str, int]:
    """Keys of a name and an address, each with its tries. Hashed: people type passwords where a name belongs."""
    key = settings.service.redaction_key.encode()[:64]

    def hashed(text: str) -> str:
        return hashlib.blake2b(text.encode("utf-8", "replace"), key=key, digest_size=16).hexdigest()

    return {"name:" + hashed(key_of(name)): TRIES_OF_NAME, "address:" + hashed(address): TRIES_OF_ADDRESS}
