"""`sellable init`: what is asked, kept and found, and that what it writes can work."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sellable.app import compose, discovery
from sellable.app.check import checked
from sellable.app.discovery import Bin, Discovery, Place
from sellable.cli import app
from sellable.cli import init as init_module
from sellable.config.secrets import key_of
from sellable.connectors.commercetools.survey import Survey, Tax
from sellable.connectors.port import Misconfigured, TaxRule
from sellable.domain.stock import State

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
ANSWERS: dict[str, Any] = {
    "commercetools": {
        "project": "shop",
        "client_id": "ours",
        "client_secret": "env:CT",
        "api_url": "https://api.x.test",
    },
    "cin7_core": {"account_id": "acc", "key": "env:KEY", "read_key": "-", "base_url": "https://cin7.test/v2/"},
    "customers": {"GBP": "Other"},
}


def tax(fraction: str, country: str, name: str = "VAT", included: bool = True) -> Tax:
    return Tax(name=name, fraction=fraction, country=country, included=included)


def rule(name: str, percent: int, included: bool = True) -> TaxRule:
    return TaxRule(name=name, percent=percent, included=included, active=True)  # type: ignore[arg-type]


def found(**changes: Any) -> Discovery:
    shop = Survey(
        scopes=("manage_project:shop",), theirs=NOW, ours=NOW, messages_enabled=True, message_days=15,
        countries=("DE",), currencies=("EUR", "GBP"),
        channels={"web": ("InventorySupply",), "out": ("OrderExport",)}, stores={"uk": ("web",)},
        taxes=(tax("0.19", "DE"), tax("0.2", "GB"), tax("0.07", "DE", 'a "reduced" rate')),
        shipping_methods=("DHL Parcel", "Pickup"), modes={("web", "None"): 3, ("web", "ReserveOnOrder"): 1}, orders=2,
        currencies_ordered=(), channelless_entries=True,
    )  # fmt: skip
    values: dict[str, Any] = {
        "shop": shop, "company": "Crunchy", "currency": "EUR", "time_zone": "Europe/Berlin",
        "places": (
            Place(remote="Main", bins=(Bin(name="A1", staging=False), Bin(name="Dock", staging=True))),
            Place(remote="MAIN!", bins=(Bin(name="Damaged goods", staging=False),)),
            Place(remote="Returns", bins=()),
        ),
        "rules": (rule("DE 19%", 19), rule("AT 20%", 20), rule("UK 20%", 20)), "carriers": ("DHL", "UPS"),
        "customers": (("Web EUR", "EUR"), ("Other", "GBP"), ("Another", "GBP")), "services": ("Freight", "Discount"),
        "products": 3, "kits": ("SET",),
    }  # fmt: skip
    return Discovery(**values | changes)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CT", "s3cret")
    monkeypatch.setenv("KEY", "k3y")

    async def discover(*_: Any) -> Discovery:
        return found()

    monkeypatch.setattr(init_module, "discover", discover)
    return tmp_path / "shop"


def start(folder: Path, *words: str, answers: Any = None, typed: str = "", code: int = 0) -> str:
    if answers is not None:
        file = folder.parent / "answers.json"
        file.write_text(json.dumps(answers))
        words = (*words, "--answers", str(file))
    result = CliRunner().invoke(app, ["init", str(folder), *words], input=typed)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_what_it_writes_can_work_and_names_everything_found(folder: Path) -> None:
    told = json.loads(start(folder, "--json", answers=ANSWERS))
    assert told["found"]["inventory_modes"] == {"web None": 3, "web ReserveOnOrder": 1}
    settings = checked(folder / "sellable.toml")
    assert (settings.commercetools.client_secret, settings.cin7_core.key) == ("s3cret", "k3y")
    assert settings.commercetools.auth_url == "https://auth.x.test"
    assert [(c.key, c.pool, c.mode) for c in settings.channels] == [("", "all", "shadow"), ("web", "all", "shadow")]
    assert [(p.name, p.remote, p.ships) for p in settings.locations] == [
        ("main", "Main", True), ("main-2", "MAIN!", True), ("returns", "Returns", False),
    ]  # fmt: skip
    assert [(s.location, s.bin, s.state) for s in settings.states] == [
        ("main", "*", State.AVAILABLE), ("main", "Dock", State.RECEIVING), ("main-2", "*", State.AVAILABLE),
        ("main-2", "Damaged goods", State.DAMAGED), ("returns", "*", State.INSPECTION),
    ]  # fmt: skip
    assert [(t.rate, t.country, t.rule) for t in settings.taxes] == [("0.19", "DE", "DE 19%"), ("0.2", "GB", "UK 20%")]
    assert [(c.customer, c.currency) for c in settings.customers] == [("Web EUR", "EUR"), ("Other", "GBP")]
    assert [(r.currency, r.rate) for r in settings.rates] == [("GBP", "own")]
    assert settings.carriers == {"DHL Parcel": "DHL"}
    text = (folder / "sellable.toml").read_text()
    assert "# Lines in mode None lower no number" in text
    assert '# "Pickup" = one of "DHL", "UPS"' in text
    assert 'shipping_service = "Freight"' in text
    assert 'No active rule has this percentage; an order with "a \\"reduced\\" rate"' in text
    assert "s3cret" not in text


def test_the_keys_are_new_private_and_kept(folder: Path) -> None:
    start(folder, answers=ANSWERS)
    key = folder / "payload.key"
    assert len(key_of(key.read_text())) == 32
    assert key.stat().st_mode & 0o077 == 0
    before = key.read_text()
    start(folder, "--force", answers=ANSWERS)
    assert key.read_text() == before, "what is encrypted with it stays readable"


def test_a_file_that_is_there_is_not_replaced(folder: Path) -> None:
    folder.mkdir()
    (folder / "sellable.toml").write_text("mine")
    start(folder, answers=ANSWERS, code=2)
    assert (folder / "sellable.toml").read_text() == "mine"


def test_a_start_that_was_left_goes_on_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = "shop\nours\nenv:CT\n\nacc\nenv:KEY\n-\n"
    start(folder, typed=typed, code=1)
    kept = json.loads((folder / "init.answers.json").read_text())
    assert kept["cin7_core"] == {"account_id": "acc", "key": "env:KEY", "read_key": ""}
    assert "s3cret" not in (folder / "init.answers.json").read_text()

    async def refuse(*_: Any) -> Discovery:
        raise Misconfigured("commercetools answered 401")

    with monkeypatch.context() as patch:
        patch.setattr(init_module, "discover", refuse)
        assert "is kept in" in start(folder, typed="\n\n", code=1)
    output = start(folder, typed="\nMain\n\nOther\n")
    assert "going on from" in output
    assert "Project key" not in output
    settings = checked(folder / "sellable.toml")
    assert [(p.name, p.locations) for p in settings.pools] == [("all", ("main", "main-2")), ("web", ("main",))]
    assert {c.pool for c in settings.channels} == {p.name for p in settings.pools}
    assert not (folder / "init.answers.json").exists()


def test_a_wrong_answer_is_asked_again(folder: Path) -> None:
    typed = "shop\nours\nplain-secret\nenv:NOT_SET\nenv:CT\nftp://x\n\nacc\nenv:KEY\n-\n\n\nNowhere\nmain\n\n\nOther\n"
    output = start(folder, typed=typed)
    for words in ("a secret is named, not typed", "NOT_SET is not set", "begins with https", "there is no 'Nowhere'"):
        assert words in output


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"commercetools": {}}, "commercetools.project"),
        ({"commercetools": {**ANSWERS["commercetools"], "client_secret": "typed"}}, "is named, not typed"),
        ({"customers": {}}, "customers.GBP"),
        ({"customers": {"GBP": "Nobody"}}, "there is no 'Nobody'"),
    ],
)
def test_without_a_person_what_is_missing_is_said(folder: Path, changes: Any, says: str) -> None:
    assert says in start(folder, answers={**ANSWERS, **changes}, code=2)
    assert not (folder / "sellable.toml").exists()


def test_which_belongs_to_which() -> None:
    rules = [rule("A", 20, included=False), rule("B", 20), rule("FR 20%", 20)]
    assert discovery.rule_for(tax("0.2", "FR"), rules)[0] == "FR 20%"
    assert discovery.rule_for(tax("0.2", "IT"), rules)[0] == "B", "tax included, as in the storefront"
    assert discovery.rule_for(tax("0.1", "IT"), rules) == ("", [])
    assert discovery.carrier_for("Parcel", ["DHL"]) == "DHL"
    assert discovery.carrier_for("Parcel", ["DHL", "UPS"]) == ""
    assert discovery.customer_for("EUR", [("Shop", "EUR"), ("Web", "EUR")]) == "Web"
    assert discovery.customer_for("EUR", [("A", "EUR"), ("B", "EUR")]) == ""
    assert [discovery.state_of(name) for name in ("A-01", "Returns", "Quarantine", "DAMAGED")] == [
        State.AVAILABLE, State.INSPECTION, State.QUARANTINE, State.DAMAGED,
    ]  # fmt: skip


def test_strange_names_are_still_a_file() -> None:
    odd = found(places=(Place(remote='Läger "Süd"\\', bins=()),), company="A\nB")
    answers = {**ANSWERS, "owner": "ops", "pools": {"": ['Läger "Süd"\\'], "web": ['Läger "Süd"\\']}}
    answers["customers"] = {"EUR": "x", "GBP": "y"}
    answers["commercetools"] = {**ANSWERS["commercetools"], "auth_url": "https://auth.x.test"}
    tree = tomllib.loads(compose.settings_file(answers, odd, NOW))
    assert tree["locations"][0]["remote"] == 'Läger "Süd"\\'
