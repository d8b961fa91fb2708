"""Secrets by reference. Rule: a secret is written as "env:NAME" or "file:/path", read once, and never shown again."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec

MARK = "secret"
"""Key in the `extra` of a field's Meta that marks it as a secret."""
HIDDEN = "(hidden)"


class SecretMissing(Exception):
    """A reference leads to nothing. The message names the reference, `mend` what to do about it."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.mend = mend


def is_secret(field_type: Any) -> bool:
    """Whether a field's annotation marks it as a secret."""
    if get_origin(field_type) is not Annotated:
        return False
    metas = (meta for meta in get_args(field_type)[1:] if isinstance(meta, msgspec.Meta))
    return any((meta.extra or {}).get(MARK, False) for meta in metas)


def resolve(written: str, folder: Path, environ: Mapping[str, str]) -> str:
    """The secret a setting refers to; what is no reference is the secret itself. Raises SecretMissing.

    A relative path starts at `folder`. The line end of a file's text is no part of the secret.
    """
    scheme, _, name = written.partition(":")
    match scheme:
        case "env":
            if found := environ.get(name):
                return found
            raise SecretMissing(f"the environment variable {name} is not set", f"Set {name} before starting.")
        case "file":
            try:
                found = (folder / name).read_text("utf-8").strip("\r\n")
            except (OSError, ValueError) as error:
                mend = "Put the secret, as text, into that file and let this user read it."
                raise SecretMissing(f"the file {name} cannot be read ({type(error).__name__})", mend) from None
            if found:
                return found
            raise SecretMissing(f"the file {name} is empty", "Put the secret into that file.")
        case _:
            return written


KEY_BYTES = 32


def new_key() -> str:
    """A new encryption key as it stands in a settings file or a file of its own: 32 random bytes in base64."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def key_of(written: str) -> bytes:
    """The 32 bytes of an encryption key. Raises ValueError without telling what was written."""
    try:
        key = base64.b64decode(written.strip(), validate=True)
    except ValueError:
        raise ValueError("is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"holds {len(key)} bytes where a key has {KEY_BYTES}")
    return key


def masked(settings: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """Fields and values of a struct, with (hidden) for each secret that is set."""
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        yield field.name, HIDDEN if value and is_secret(field.type) else value


def shown(settings: msgspec.Struct) -> dict[str, Any]:
    """A struct as plain values for dumps and the status page, all secrets masked at every depth."""
    return {name: _plain(value) for name, value in masked(settings)}


def _plain(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            return shown(value)
        case tuple():
            return [_plain(item) for item in value]
        case _:
            return msgspec.to_builtins(value)
