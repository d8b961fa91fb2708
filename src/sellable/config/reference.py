"""The settings as a page and as a commented file, both from the structs. Rule: nothing is said here by hand.

`python -m sellable.config.reference` prints the page docs/reference/settings.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from inspect import getdoc
from typing import Any

import msgspec

from sellable.config import settings as s
from sellable.config.load import bare, is_struct, item_of, sentence, words
from sellable.config.secrets import is_secret
from sellable.domain.stock import State

INTRODUCTION = """\
# Settings

<!-- Generated: python -m sellable.config.reference > docs/reference/settings.md -->

Settings stand in one file, `sellable.toml`. A mistake in it refuses the start with its line and its mend;
`sellable config check` tells the same without starting.

- **Secrets** are best written by reference: `"env:NAME"` reads an environment variable, `"file:/path"` a file (a
  relative path starts at the folder of `sellable.toml`). They are never logged or printed.
- **Environment:** `SELLABLE_<SECTION>__<FIELD>` replaces a single value of a `[section]`, for example
  `SELLABLE_SERVICE__LISTEN=0.0.0.0:8080` or `SELLABLE_CIN7_CORE__WEBHOOK__SECRET=...`.
- A section in double brackets may be repeated.
"""

EXAMPLE = s.Settings(
    orders=s.Orders(start_at=datetime(2026, 1, 1, tzinfo=UTC)),
    commercetools=s.Commercetools(
        project="my-shop",
        client_id="the-id-of-your-api-client",
        client_secret="env:CT_CLIENT_SECRET",  # noqa: S106 - a reference, no secret.
        restocks_on_cancel="unknown",
    ),
    cin7_core=s.Cin7Core(account_id="00000000-0000-0000-0000-000000000000", key="env:CIN7_KEY"),
    locations=(
        s.Location(name="north", master="cin7_core", remote="Warehouse North"),
        s.Location(name="high-street", master="cin7_core", remote="Shop High Street"),
    ),
    states=(
        s.StateRule(location="north", bin="*", state=State.AVAILABLE),
        s.StateRule(location="north", bin="Returns", state=State.INSPECTION),
        s.StateRule(location="high-street", bin="*", state=State.AVAILABLE),
    ),
    pools=(s.Pool(name="europe", locations=("north", "high-street")),),
    channels=(s.Channel(key="web-eu", pool="europe"),),
    customers=(s.CustomerMap(customer="Web orders EUR", currency="EUR"),),
    taxes=(s.TaxMap(rate="0.19", rule="VAT 19 %"), s.TaxMap(rate="0.07", rule="VAT 7 %")),
    owners=(s.Owner(kind="*", owner="operations", email="operations@example.com"),),
    service=s.Service(payload_key="env:PAYLOAD_KEY"),
    buffers=(s.Buffer(units=1, location="high-street"),),
    skus=(s.SkuMap(storefront="mug-blue", master="MUG-BLUE"),),
    reasons=(s.Reason(code="too small", storefront="size", back_office="SIZE-S"),),
    statuses=(s.StatusMap(event="shipped", country="CH", order_state="keep"),),
    carriers={"Standard": "DHL"},
)
"""Two locations, one pool, one channel: the smallest shop in which everything has a place."""


def page() -> str:
    """The settings reference in Markdown, with the commented example at its end."""
    parts = [INTRODUCTION]
    for field in msgspec.structs.fields(s.Settings):
        parts.extend(_tables(field.name, field.type))
    parts.append(f"## A file to start from\n\n```toml\n{example()}```\n")
    return "\n".join(parts)


def example(settings: s.Settings = EXAMPLE) -> str:
    """Settings as a commented file; what has its default stands there as a comment. Secrets are written as they are."""
    blocks = ["# Settings of sellable. Lines that are commented out show the defaults."]
    for field in msgspec.structs.fields(s.Settings):
        value = getattr(settings, field.name)
        if value is None:
            continue
        if isinstance(value, msgspec.Struct):
            blocks.extend(_sections(field.name, value))
        elif item := item_of(field.type):
            for index, each in enumerate(value):
                about = f"# {getdoc(item)}\n" if index == 0 else ""
                blocks.append(f"{about}[[{field.name}]]\n" + "\n".join(_settings(each, explain=index == 0)))
        else:
            entries = (f"{_toml(name)} = {_toml(to)}" for name, to in value.items())
            blocks.append(f"# {sentence(field.type)}\n[{field.name}]\n" + "\n".join(entries))
    return "\n\n".join(blocks) + "\n"


def _tables(name: str, field_type: Any) -> Iterator[str]:
    plain = bare(field_type)
    cls = item_of(field_type) or plain
    if not is_struct(cls):
        yield f"## `[{name}]`\n\n{sentence(field_type)}\n"
        return
    title = f"[[{name}]]" if item_of(field_type) else f"[{name}]"
    fields = msgspec.structs.fields(cls)
    rows = [_row(field) for field in fields if not is_struct(bare(field.type))]
    head = "| name | type | default | meaning |\n|---|---|---|---|"
    yield "\n".join([f"## `{title}`\n\n{getdoc(cls)}\n", head, *rows, ""])
    for field in fields:
        if is_struct(bare(field.type)):
            yield from _tables(f"{name}.{field.name}", field.type)


def _row(field: msgspec.structs.FieldInfo) -> str:
    kind = words(field.type) + (", **secret**" if is_secret(field.type) else "")
    cells = (f"`{field.name}`", kind, _default(field), sentence(field.type))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "**required**"
    default = _default_of(field)
    return "absent" if default is None else f"`{_toml(default)}`"


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def _sections(name: str, struct: msgspec.Struct) -> Iterator[str]:
    yield f"# {getdoc(type(struct))}\n[{name}]\n" + "\n".join(_settings(struct, explain=True))
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if isinstance(value, msgspec.Struct):
            yield from _sections(f"{name}.{field.name}", value)


def _settings(struct: msgspec.Struct, *, explain: bool) -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if isinstance(value, msgspec.Struct):
            continue
        if explain:
            yield f"# {sentence(field.type)}"
        if field.required or value != _default_of(field):
            yield f"{field.name} = {_toml(value)}"
        elif explain:
            yield f"# {field.name} = {'...' if value is None else _toml(value)}"


def _toml(value: Any) -> str:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{_toml(name)} = {_toml(to)}' for name, to in value.items())}}}"
        case _:
            return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    print(page(), end="")
