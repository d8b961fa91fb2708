"""Passwords hashed with argon2id, and the random words that open something: only hashes of those are kept.

Rule: hashing a password takes 64 MiB and a good part of a second on purpose, so it never runs on the event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")

LENGTH_MIN = 12
LENGTH_MAX = 256
"""Characters; longer ones would only cost time."""

_THREADS = ThreadPoolExecutor(2, thread_name_prefix="argon2")
"""Two at a time are 128 MiB; who comes third waits."""


class Passwords:
    """Hashes and checks passwords off the event loop."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobodys = ""

    async def hashed(self, password: str) -> str:
        """The hash to keep."""
        return await self._away(partial(self._hasher.hash, password))

    async def right(self, kept: str | None, password: str) -> bool:
        """Whether it is the password of `kept`. Without one the same work is done, so that the time tells nothing."""
        return await self._away(partial(self._right, kept, password[: LENGTH_MAX + 1]))

    def outdated(self, kept: str) -> bool:
        """Whether it was hashed with weaker settings than today's."""
        return self._hasher.check_needs_rehash(kept)

    def _right(self, kept: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(kept or self._nobody(), password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False

    def _nobody(self) -> str:
        self._nobodys = self._nobodys or self._hasher.hash(secrets.token_urlsafe())
        return self._nobodys

    @staticmethod
    async def _away(work: partial[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(_THREADS, work)


def new_word(prefix: str = "") -> str:
    """A word nobody guesses: 32 random bytes behind a prefix by which a leaked one can be found."""
    return prefix + secrets.token_urlsafe(32)


def hash_of(word: str) -> bytes:
    """What is kept of such a word. It has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(word.encode("utf-8", "replace")).digest()


def csrf_of(session: str) -> str:
    """What the forms of a session must bring along: whoever lacks the session's word cannot know it."""
    return hmac.new(session.encode("utf-8", "replace"), b"csrf", "sha256").hexdigest()
