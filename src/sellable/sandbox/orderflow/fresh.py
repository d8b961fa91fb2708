"""What the imports of returns, purchase orders and stock move tasks have in common. Rule: a reference is used once."""

from sellable.sandbox.orderflow.state import World
from sellable.sandbox.orderflow.text import Item
from sellable.sandbox.orderflow.wire import ItemRefused, Known

Key = tuple[str, str, str]


def key_of(world: World, item: Item, organisation: str, called: str) -> Key:
    """Where `world.references` will hold it: insert only (others are UNCONFIRMED). Raises Known or ItemRefused."""
    if item.operation != "insert":
        raise ItemRefused(f"Operation '{item.operation}' is not supported for type '{item.type}'")
    key = item.type, organisation, item.reference
    if key in world.references:
        raise Known(f"{called} with external reference '{item.reference}' already exists")
    return key


def said(item: Item) -> dict[str, str]:
    """Its fields without the name of the type in front."""
    return {name.removeprefix(f"{item.type}."): value for name, value in item.fields.items()}


def site_of(world: World, fields: dict[str, str]) -> str:
    """The site it names, else the first one (UNCONFIRMED). Raises ItemRefused."""
    site = fields.get("site") or world.book.sites[0]
    if site not in world.book.sites:
        raise ItemRefused(f"Site not found: '{site}'")
    return site
