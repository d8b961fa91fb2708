"""The reference pages are what the code says today."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sellable.config import reference, settings
from sellable.config.check import check
from sellable.config.load import bare, is_struct, item_of, read, sentence
from sellable.config.secrets import is_secret, new_key
from sellable.desk import kinds
from sellable.desk.kinds import KINDS
from sellable.web import reference as http

DOCS = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize(
    ("name", "module", "text"),
    [
        ("settings.md", "sellable.config.reference", reference.page),
        ("cases.md", "sellable.desk.kinds", kinds.page),
        ("http.md", "sellable.web.reference", http.page),
    ],
)
def test_a_page_is_fresh(name: str, module: str, text: object) -> None:
    assert callable(text)
    written = (DOCS / name).read_text("utf-8")
    assert written == text(), f"run: python -m {module} > docs/reference/{name}"


def test_every_route_says_what_it_answers() -> None:
    """A handler without a docstring would leave its row empty."""
    rows = [line.split(" | ") for line in http.page().splitlines() if line.startswith("| `")]
    assert len(rows) >= 6
    assert [cells[0] for cells in rows if not cells[-1].strip(" |")] == []


def every_field(cls: type[msgspec.Struct]) -> list[tuple[str, msgspec.structs.FieldInfo]]:
    found = []
    for field in msgspec.structs.fields(cls):
        inner = item_of(field.type) or bare(field.type)
        if is_struct(inner):
            found += every_field(inner)
        else:
            found.append((f"{cls.__name__}.{field.name}", field))
    return found


@pytest.mark.parametrize(("name", "field"), every_field(settings.Settings))
def test_every_setting_has_its_sentence(name: str, field: msgspec.structs.FieldInfo) -> None:
    assert sentence(field.type).endswith((".", '".')), name


def test_the_secrets_are_these() -> None:
    assert {name for name, field in every_field(settings.Settings) if is_secret(field.type)} == {
        *("Commercetools.client_secret", "Cin7Core.key", "Cin7Core.read_key", "Webhook.secret", "Webhook.path_token"),
        *("Service.payload_key", "Service.payload_key_before"),
        *("Service.database_url", "Service.redaction_key", "Service.metrics_token"),
        *("Alerts.smtp_url", "Alerts.webhook_secret", "OrderFlow.password", "Traces.headers"),
    }


def test_the_example_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "sellable.toml"
    file.write_text(reference.example(), "utf-8")
    references = {name: f"env:{name}" for name in ("CT_CLIENT_SECRET", "CIN7_KEY", "PAYLOAD_KEY")}
    assert read(file, references).settings == reference.EXAMPLE
    loaded = read(file, {**references, "PAYLOAD_KEY": new_key()})
    assert check(loaded.settings, loaded.lines, case_kinds=KINDS) == []


def test_the_defaults_in_the_example_are_valid_too(tmp_path: Path) -> None:
    """Every line that is commented out can be switched on by removing its "# "."""
    lines = reference.example().splitlines()
    on = [line.removeprefix("# ") if " = " in line and "..." not in line else line for line in lines]
    file = tmp_path / "sellable.toml"
    file.write_text("\n".join(on), "utf-8")
    assert (
        read(file, {"CT_CLIENT_SECRET": "a", "CIN7_KEY": "b", "PAYLOAD_KEY": "c"}).settings.cin7_core.sweep_seconds
        == 300.0
    )


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_says_what_it_means_and_what_to_do(kind: kinds.Kind) -> None:
    assert kind.title
    assert not kind.title.endswith(".")
    assert kind.means.endswith(".")
    assert kind.next_step.endswith(".")
    assert 1 <= kind.severity <= 4
    assert kind.age_hours > 0
    assert f"### `{kind.name}`: {kind.title}\n\n{kind.means} " in kinds.page()
