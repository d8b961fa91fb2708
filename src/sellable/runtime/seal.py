"""Bodies at rest are sealed. Rule: a key is never in the database, only its name; a body opens in its own row only.

AES-256-GCM with a random nonce of 96 bits. The row's identity and how the body was written down are authenticated with
it, so a body that was changed, or moved to another row, does not open. One key is good for 2^32 bodies (NIST SP
800-38D, 8.3).
"""

from __future__ import annotations

import hashlib
import os
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
AS_IT_IS, DEFLATED = b"\x00", b"\x01"
DEFLATE_BYTES_MIN = 16 * 1024
"""Pages of whole lists shrink to a tenth. Of one message, shrinking costs more time than storing all of it."""
IN_THE_OPEN = ""
"""The key's name of rows that an older version stored as they came."""


class KeyAbsent(Exception):
    """A body was sealed with a key that is not here. Nothing is wrong with it: it waits for its key."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"its body was sealed with the key {key_id}, which the settings do not name")
        self.key_id = key_id


class Broken(ValueError):
    """A stored body is not what was sealed for its row: changed, cut off, or moved here from another row."""


class Seal:
    """Two keys of 32 bytes may be alive at a time: the `newest` seals, the `older` one opens what it sealed before."""

    def __init__(self, newest: bytes, before: bytes | None = None) -> None:
        self._keys = {name_of(key): AESGCM(key) for key in (newest, before) if key}
        self.names = list(self._keys)
        self.newest, *self.older = self.names

    def close(self, source: str, message_id: str, body: bytes) -> bytes:
        """The body as it may be stored in the row of this identity, under the key `newest`."""
        form = DEFLATED if len(body) >= DEFLATE_BYTES_MIN else AS_IT_IS
        told = zlib.compress(body, 1) if form == DEFLATED else body
        nonce = os.urandom(NONCE_BYTES)
        return form + nonce + self._keys[self.newest].encrypt(nonce, told, _bound(form, source, message_id))

    def open(self, key_id: str, source: str, message_id: str, stored: bytes) -> bytes:
        """The body of the row of this identity. Raises KeyAbsent and Broken."""
        if key_id == IN_THE_OPEN:
            raise Broken("the stored body was never sealed")
        if key_id not in self._keys:
            raise KeyAbsent(key_id)
        form, nonce, sealed = stored[:1], stored[1 : 1 + NONCE_BYTES], stored[1 + NONCE_BYTES :]
        try:
            told = self._keys[key_id].decrypt(nonce, sealed, _bound(form, source, message_id))
        except (InvalidTag, ValueError) as error:
            raise Broken("the stored body is not what was sealed for this row") from error
        return zlib.decompress(told) if form == DEFLATED else told


def name_of(key: bytes) -> str:
    """What a row says of its key: enough to find it among yours, nothing to guess it from."""
    return hashlib.blake2b(key, digest_size=4, person=b"sellable key").hexdigest()


def _bound(form: bytes, source: str, message_id: str) -> bytes:
    # Neither name can hold a NUL in PostgreSQL, so no two identities read alike.
    return form + source.encode() + b"\x00" + message_id.encode()
