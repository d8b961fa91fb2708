"""The text inside an import element: key=value lines. Rule: one bad value fails its item, never the document."""

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from sellable.sandbox.orderflow.markup import Element
from sellable.sandbox.orderflow.wire import ItemRefused

CHILD = re.compile(r"(\w+)\.([1-9]\d{0,4})\.([\w.]+)")
UNITS_MAX = 1_000_000
MONEY = re.compile(r"(?:total|goods|shipping|unit|price|cost)\w*(?:Net|Gross|Tax)|tax")
LINES_MAX = 5000


@dataclass(slots=True)
class Item:
    """One entity of an import: plain fields by key, and indexed children by their role, in order of the index."""

    type: str
    operation: str
    reference: str
    fields: dict[str, str] = field(default_factory=dict)
    children: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    aliases: list[dict[str, str]] = field(default_factory=list)


def item_of(found: Element) -> Item:
    """An empty item of an `import` element, before its text is read."""
    said = found.attributes
    return Item(said.get("type", ""), said.get("operation", ""), said.get("externalReference", "").strip())


def fill(item: Item, found: Element) -> None:
    """Read the text. Raises ItemRefused: a line without `=` is what a raw line break in a value leaves behind."""
    indexed: dict[str, dict[int, dict[str, str]]] = {}
    for line in found.text.split("\n"):
        if not line.strip():
            continue
        key, equals, value = line.strip().partition("=")
        if not equals:
            raise ItemRefused("Import text could not be read", f"Line '{line.strip()[:60]}' is not key=value")
        value = value.replace("[BR]", "\n")
        child = CHILD.fullmatch(key)
        if child:
            role, number, name = child.groups()
            # A repeated key: the last one counts (UNCONFIRMED).
            indexed.setdefault(role, {}).setdefault(int(number), {})[name] = value
        else:
            item.fields[key] = value
    if sum(map(len, indexed.values())) > LINES_MAX:
        raise ItemRefused("Too many lines")
    item.children = {role: [rows[n] for n in sorted(rows)] for role, rows in indexed.items()}
    item.aliases = [alias.attributes for alias in found.every("productAlias")]
    _check_money(item.fields)
    for rows in item.children.values():
        for row in rows:
            _check_money(row)


def _check_money(values: dict[str, str]) -> None:
    for name, value in values.items():
        if value and MONEY.fullmatch(name):
            try:
                finite = Decimal(value).is_finite()
            except InvalidOperation:
                finite = False
            if not finite:
                raise ItemRefused(f"Property '{name}' could not be set", f"'{value}' is not a decimal number")


def units(values: dict[str, str], name: str = "quantity", *, signed: bool = False) -> int:
    """A whole number of units, above 0 unless signed (then not 0)."""
    said = values.get(name, "").strip()
    if not re.fullmatch(r"-?\d{1,9}", said):
        raise ItemRefused(f"Property '{name}' could not be set", f"'{said}' is not a whole number")
    found = int(said)
    if found == 0 or (found < 0 and not signed) or abs(found) > UNITS_MAX:
        raise ItemRefused(f"Property '{name}' is out of range", f"{found} units")
    return found


def flag(values: dict[str, str], name: str, default: bool) -> bool:
    said = values.get(name, "").strip().lower()
    if said in ("", "true", "false"):
        return default if not said else said == "true"
    raise ItemRefused(f"Property '{name}' could not be set", f"'{said}' is not true or false")


def product_key(row: dict[str, str]) -> str:
    """A line's product: `product.externalReference` or `product`, both are seen in clients."""
    found = (row.get("product.externalReference") or row.get("product") or "").strip()
    if not found:
        raise ItemRefused("Line without product")
    return found


def relation(values: dict[str, str], name: str, *roles: str) -> None:
    """A pointer to another part of the document: `entity:role` or the role itself; absent is fine (UNCONFIRMED)."""
    said = values.get(name, "").strip()
    if said and said.removeprefix("entity:") not in roles:
        raise ItemRefused(f"Property '{name}' could not be set", f"'{said}' names no entity of this import")
