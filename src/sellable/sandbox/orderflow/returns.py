"""Returns: announced by import, booked in by staff. Rule: the goods move when they are booked, never before."""

from sellable.sandbox.orderflow import fresh
from sellable.sandbox.orderflow.state import Return, ReturnLine, World
from sellable.sandbox.orderflow.text import Item, flag, product_key, relation, units
from sellable.sandbox.orderflow.wire import ItemRefused

TYPES = ("goods_not_delivered", "goods_damaged", "unknown")


def imported(world: World, item: Item, organisation: str) -> Return:
    """An RMA of an import."""
    key, said = fresh.key_of(world, item, organisation, "Return"), fresh.said(item)
    made = Return(
        id=0,
        organisation=organisation,
        reference=item.reference,
        order_reference=said.get("orderReference", ""),
        authorisation=said.get("authorisation", ""),
        authorised=flag(said, "authorised", False),
        type=said.get("type") or "unknown",
        note=said.get("note", ""),
        site=fresh.site_of(world, said),
    )
    _check(world, made)
    made.announced = [_line(world, row, organisation) for row in item.children.get("returnLine", [])]
    made.id = world.next_id()
    world.references[key] = made
    world.returns.append(made)
    world.journal.add("return_announced", reference=made.reference, authorisation=made.authorisation)
    return made


def _check(world: World, made: Return) -> None:
    if not made.order_reference and not made.authorisation:
        raise ItemRefused("Mandatory property missing", "orderReference or authorisation")
    if made.type not in TYPES:
        # The list is the tenant's; only three of its words are known (UNCONFIRMED).
        raise ItemRefused(f"Unknown return type '{made.type}'")
    if made.order_reference:
        # Whether a return may name an order that nobody imported is UNCONFIRMED.
        made.channel = channel_of(world, made.organisation, made.order_reference)
        if not made.channel:
            raise ItemRefused("Order not found", f"No order with external reference '{made.order_reference}'")


def channel_of(world: World, organisation: str, reference: str) -> str:
    """The channel that has an order of this reference; "" when none has."""
    for channel in world.book.channels.values():
        if channel.organisation == organisation and (channel.reference, reference) in world.by_reference:
            return channel.reference
    return ""


def _line(world: World, row: dict[str, str], organisation: str) -> ReturnLine:
    relation(row, "returnItem", "return")
    reason, condition = row.get("reason", ""), row.get("condition", "")
    if reason and reason not in world.switches.reasons:
        raise ItemRefused(f"Unknown reason '{reason}'")
    if condition and condition not in world.switches.conditions:
        raise ItemRefused(f"Unknown condition '{condition}'")
    return ReturnLine(world.book.product(organisation, product_key(row)), units(row), reason, condition)


def book(world: World, made: Return, lines: list[ReturnLine]) -> None:
    """The parcel is here: each line goes where its condition belongs, and the return is complete.

    More may come back than was sent: nobody at the dock checks (UNCONFIRMED).
    """
    now = world.clock.time()
    made.lines, made.returned, made.completed = lines, now, now
    for line in lines:
        kind = world.switches.conditions[line.condition]
        level = world.stock.level(line.product, made.site)
        facts = {"order": made.order_reference, "authorisation": made.authorisation}
        world.stock.put(level, line.quantity, "returned", kind=kind, **facts)
    world.journal.add(
        "return_booked",
        id=made.id,
        order=made.order_reference,
        authorisation=made.authorisation,
        lines=[
            {"sku": line.product.reference, "quantity": line.quantity, "condition": line.condition} for line in lines
        ],
    )
    world.event("return_completed", made)
