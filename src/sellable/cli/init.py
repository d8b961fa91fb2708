"""`sellable init`: asks what nobody else can tell, finds the rest at the vendors, and writes a settings file.

One rule: what was answered is kept after each answer, so that a second start asks only what is left. Secrets are named,
never typed: they stand in the environment or in a file.
"""

from __future__ import annotations

import asyncio
import json as jsons
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sellable.app import compose
from sellable.app.check import checked
from sellable.app.discovery import Discovery, customer_for, discover
from sellable.cli.common import Json, emit, fail, out
from sellable.config import secrets
from sellable.config.problems import ConfigError
from sellable.config.settings import Cin7Core, Commercetools, Orders, Settings
from sellable.connectors.port import VendorError
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpError

FILE, KEPT = "sellable.toml", "init.answers.json"
API, BASE = "https://api.europe-west1.gcp.commercetools.com", "https://inventory.dearsystems.com/ExternalApi/v2/"
Ask = tuple[str, str, str]
"""Key of an answer, what is asked, and what an empty answer means."""

FIRST: tuple[Ask, ...] = (
    ("commercetools.project", "Project key at commercetools", ""),
    ("commercetools.client_id", "Client id of the API client", ""),
    ("commercetools.client_secret", "Its secret, as env:NAME or file:/path", "env:CT_CLIENT_SECRET"),
    ("commercetools.api_url", "API host of its region", API),
    ("cin7_core.account_id", "Account id at Cin7 Core", ""),
    ("cin7_core.key", "Application key for orders, as env:NAME or file:/path", "env:CIN7_KEY"),
    ("cin7_core.read_key", "A second one for reading (- for none)", "env:CIN7_READ_KEY"),
    ("cin7_core.base_url", "Address of its API", BASE),
    ("owner", "Who owns cases (a name or a team)", "operations"),
)
SECRET = ("commercetools.client_secret", "cin7_core.key", "cin7_core.read_key")


class UnansweredError(Exception):
    """Questions that nobody answered."""


class Answers:
    """What was answered so far, kept in a file of the folder."""

    def __init__(self, folder: Path, given: Mapping[str, Any] | None) -> None:
        self._path = folder / KEPT
        self._folder = folder
        self._asks = given is None
        self.all: dict[str, Any] = jsons.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
        for section, value in (given or {}).items():
            self.all[section] = {**self.all.get(section, {}), **value} if isinstance(value, dict) else value
        self.resumed = self._path.exists()

    def get(self, key: str) -> Any:
        """An answer, None where there is none."""
        section, dot, name = key.partition(".")
        found = self.all.get(section)
        if not dot:
            return found
        return found.get(name) if isinstance(found, dict) else None

    def put(self, key: str, value: Any) -> None:
        """Keep an answer, at once."""
        section, dot, name = key.partition(".")
        if dot:
            self.all.setdefault(section, {})[name] = value
        else:
            self.all[section] = value
        self._path.write_text(jsons.dumps(self.all, indent=2, ensure_ascii=False), "utf-8")

    def settle(self, key: str, words: str, default: str, judge: Callable[[str], Any]) -> None:
        """Makes sure there is a good answer: the one that is there, or one that is asked for until it is good."""
        value = self.get(key)
        if value is None and not self._asks:
            if not default:
                raise UnansweredError(f"{key}: {words}")
            value = default
        while True:
            if value is None:
                value = typer.prompt(words, default=default or None, err=True)
            try:
                self.put(key, judge(value) if isinstance(value, str) else value)
            except (ValueError, secrets.SecretMissing) as error:
                mend = f" {error.mend}" if isinstance(error, secrets.SecretMissing) else ""
                if not self._asks:
                    raise UnansweredError(f"{key}: {error}.{mend}") from error
                typer.echo(f"{error}.{mend}", err=True)
                value = None
            else:
                return

    def forget(self) -> None:
        """The file is written; nothing is left to resume."""
        self._path.unlink(missing_ok=True)


def init(
    folder: Annotated[Path, typer.Argument(help="Where sellable.toml and the keys go.")] = Path(),
    answers: Annotated[
        Path | None, typer.Option(help="JSON or TOML file with the answers; nothing is asked then.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a sellable.toml that is there.")] = False,
    json: Json = False,
) -> None:
    """Write a commented sellable.toml: asks for credentials, finds channels, locations, bins, taxes and the rest.

    Every channel begins as a shadow, which writes nothing. Started again after it was left, it asks only what is
    missing. Secrets are named as env:NAME or file:/path and must be there, since both vendors are asked.
    Exit codes: 0 written, 1 a vendor cannot be had, 2 an answer is missing or wrong, or there is a file already.
    """
    target = folder / FILE
    if target.exists() and not force:
        raise fail(f"{target} is there already; --force replaces it", 2)
    folder.mkdir(parents=True, exist_ok=True)
    kept = Answers(folder, _given(answers) if answers else None)
    if kept.resumed:
        typer.echo(f"going on from {folder / KEPT}", err=True)
    clock = Clock.from_environment()
    try:
        for key, words, default in FIRST:
            kept.settle(key, words, default, _judge(key, folder))
        found = asyncio.run(discover(_credentials(kept, folder, clock), clock))
        for key, words, default, judge in _second(found):
            kept.settle(key, words, default, judge)
    except UnansweredError as error:
        raise fail(f"{error}\nwhat was answered is kept in {folder / KEPT}", 2) from error
    except (VendorError, HttpError) as error:
        words = f"{error or type(error).__name__}\nwhat was answered is kept in {folder / KEPT}; correct it there"
        raise fail(words) from error
    _write(target, compose.settings_file(_complete(kept.all), found, clock.now()))
    kept.forget()
    if json:
        return emit({"written": str(target), "found": _counts(found)})
    _tell(target, found)
    return None


def _given(path: Path) -> Mapping[str, Any]:
    text = path.read_text("utf-8")
    try:
        found: Mapping[str, Any] = tomllib.loads(text) if path.suffix == ".toml" else jsons.loads(text)
    except ValueError as error:
        raise fail(f"{path}: {error}", 2) from error
    return found


def _judge(key: str, folder: Path) -> Callable[[str], str]:
    def judge(value: str) -> str:
        value = value.strip()
        if key == "cin7_core.read_key" and value in ("", "-"):
            return ""
        if key in SECRET:
            if not value.startswith(("env:", "file:")):
                raise ValueError("a secret is named, not typed: env:NAME or file:/path")
            secrets.resolve(value, folder, os.environ)
        if key.endswith("_url") and not value.startswith(("https://", "http://")):
            raise ValueError("an address begins with https://")
        if not value:
            raise ValueError("an answer is needed")
        return value

    return judge


def _complete(answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers with what follows from them."""
    shop = answers["commercetools"]
    auth = shop.get("auth_url") or shop["api_url"].replace("//api.", "//auth.", 1)
    return {**answers, "commercetools": {**shop, "auth_url": auth}}


def _credentials(kept: Answers, folder: Path, clock: Clock) -> Settings:
    """As much of the settings as asking the vendors needs."""
    shop, office = _complete(kept.all)["commercetools"], kept.all["cin7_core"]

    def secret(written: str) -> str:
        return secrets.resolve(written, folder, os.environ) if written else ""

    return Settings(
        orders=Orders(start_at=clock.now()),
        commercetools=Commercetools(
            project=shop["project"], client_id=shop["client_id"], client_secret=secret(shop["client_secret"]),
            api_url=shop["api_url"], auth_url=shop["auth_url"], insecure=shop["api_url"].startswith("http://"),
            restocks_on_cancel="unknown",
        ),
        cin7_core=Cin7Core(
            account_id=office["account_id"], key=secret(office["key"]), read_key=secret(office["read_key"]),
            base_url=office["base_url"], insecure=office["base_url"].startswith("http://"),
        ),
        locations=(), states=(), pools=(), channels=(), customers=(), taxes=(), owners=(),
    )  # fmt: skip


def _second(found: Discovery) -> Iterator[tuple[str, str, str, Callable[[str], Any]]]:
    """What the vendors cannot tell: which channel sells from where, and on which customer its orders are booked."""
    every = [place.remote for place in found.places]
    for key in found.channels:
        name = f"channel {key}" if key else "entries without a channel"
        words = f"Locations that {name} sells from ({', '.join(every)})"
        yield f"pools.{key}", words, ", ".join(found.for_sale), lambda text: _places(text, every)
    names = [name for name, _ in found.customers]
    for currency in found.currencies:
        words = f"Customer at Cin7 Core that web orders in {currency} are booked on"
        guess = customer_for(currency, found.customers)
        yield f"customers.{currency}", words, guess, lambda text: _one_of(text, names)


def _places(text: str, every: list[str]) -> list[str]:
    return [_one_of(word, every) for word in text.split(",")]


def _one_of(text: str, names: list[str]) -> str:
    near = [name for name in names if name.casefold() == text.strip().casefold()]
    if not near:
        raise ValueError(f"there is no {text.strip()!r}; known: {', '.join(names[:20])}")
    return near[0]


def _write(target: Path, text: str) -> None:
    """The keys, then the file: seen complete and found able to work, or not at all."""
    for name in (compose.PAYLOAD_KEY, compose.REDACTION_KEY):
        key = target.parent / name
        if not key.exists():
            key.touch(0o600)
            key.write_text(secrets.new_key() + "\n", "utf-8")
    draft = target.with_suffix(".toml.new")
    draft.write_text(text, "utf-8")
    try:
        checked(draft)
    except ConfigError as error:
        raise fail(f"{error}\nmend {draft}, then rename it to {target.name}", 2) from error
    draft.replace(target)


def _counts(found: Discovery) -> dict[str, Any]:
    return {
        "channels": found.channels, "stores": sorted(found.shop.stores), "locations": [p.remote for p in found.places],
        "taxes": len(found.shop.taxes), "carriers": list(found.carriers), "products": found.products,
        "bundles": len(found.kits), "currencies": found.currencies,
        "inventory_modes": {f"{channel} {mode}".strip(): n for (channel, mode), n in sorted(found.shop.modes.items())},
        "cut_off": list(found.shop.cut_off),
    }  # fmt: skip


def _tell(target: Path, found: Discovery) -> None:
    counts = _counts(found)
    out.print(f"{target} is written, and can work. Found:")
    for name, value in counts.items():
        if value:
            shown = ", ".join(map(str, value)) if isinstance(value, list | dict) else value
            out.print(f"  {name.replace('_', ' ')}: {shown}")
    out.print("Read it once: what is guessed says so. Then:")
    for words in ("doctor", "setup commercetools", "run"):
        out.print(f"  sellable {words} --config {target}")
