"""Fulfilments: pick, pack, ship. Rule: only allocated goods on the shelf can be picked, only boxes ship."""

from decimal import Decimal
from typing import Any

from sellable.sandbox.cin7 import documents
from sellable.sandbox.cin7.allocation import cause_of
from sellable.sandbox.cin7.state import Fulfilment, Line, Packed, Parcel, Sale, World
from sellable.sandbox.cin7.statuses import packed, picked
from sellable.sandbox.cin7.wire import ZERO, Refused, Request, moment, number, plain, text

OPEN = ("NOT AVAILABLE", "DRAFT")


def open_task(world: World, sale: Sale) -> Fulfilment:
    """Begin a fulfilment; a second one turns a Simple sale into an Advanced one (help page, "Advanced Sales")."""
    if sale.fulfilments:
        sale.advanced = True
    task_id = world.book.new_id() if sale.advanced else sale.id
    task = Fulfilment(task_id, len(sale.fulfilments) + 1)
    sale.fulfilments.append(task)
    world.tasks[task_id] = sale
    return task


def _find(world: World, task_id: Any) -> tuple[Sale, Fulfilment]:
    wanted = str(task_id or "").lower()
    sale = world.tasks.get(wanted)
    task = next((task for task in sale.fulfilments if task.task_id == wanted), None) if sale else None
    if sale is None or task is None or sale.voided or not sale.authorised:
        raise Refused(f"Fulfilment with TaskID '{task_id or ''}' was not found or its order is not AUTHORISED.")
    return sale, task


def _answer(sale: Sale) -> dict[str, Any]:
    return {"SaleID": sale.id, "Fulfilments": [documents.fulfilment(f, "Regular", sale) for f in sale.fulfilments]}


def get(world: World, request: Request) -> dict[str, Any]:
    """GET /sale/fulfilment?SaleID="""
    return _answer(world.sale(request.query.get("saleid")))


def post(world: World, request: Request) -> dict[str, Any]:
    """POST /sale/fulfilment {SaleID}: a new task, when the order is AUTHORISED and no task is still to be picked."""
    sale = world.sale(request.fields().get("SaleID"))
    if sale.voided or not sale.authorised:
        raise Refused("Order status must be AUTHORISED.")
    if any(task.pick_status in OPEN for task in sale.fulfilments):
        raise Refused("There is a fulfilment that is not picked yet.")
    open_task(world, sale)
    world.touch(sale)
    return _answer(sale)


def pick(world: World, request: Request) -> dict[str, Any]:
    """POST/PUT /sale/fulfilment/pick {TaskID, Status, Lines | AutoPickMode: AUTOPICK}"""
    fields = request.fields()
    sale, task = _find(world, fields.get("TaskID"))
    if task.pick_status not in OPEN:
        raise Refused("Pick status must be DRAFT or NOT AVAILABLE.")
    if fields.get("AutoPickMode") == "AUTOPICK":
        wanted, status = pickable(world, sale), "AUTHORISED"
        if not wanted:
            raise Refused("There is nothing to pick.")
    else:
        wanted, status = _lines(sale, fields), _status(fields)
    if status == "AUTHORISED":
        authorise_pick(world, sale, task, wanted)
    else:
        task.pick_status, task.picked = "DRAFT", wanted
    world.touch(sale)
    world.settle()
    return documents.fulfilment(task, "Regular", sale)


def _status(fields: dict[str, Any]) -> str:
    status = fields.get("Status") or "DRAFT"
    if status not in ("DRAFT", "AUTHORISED"):
        raise Refused(f"Status '{status}' is not supported.")
    return str(status)


def _lines(sale: Sale, fields: dict[str, Any]) -> list[Packed]:
    by_name = {name: line for line in sale.lines if line.product for name in (line.product.sku, line.product.id)}
    found = []
    for n, row in enumerate(fields.get("Lines") or [], 1):
        line = by_name.get(str(row.get("ProductID") or "").lower()) or by_name.get(row.get("SKU"))
        if line is None:
            raise Refused(f"Line {n}: product is not on the order.")
        quantity = number(row.get("Quantity"), f"Line {n}: Quantity")
        if quantity <= 0:
            raise Refused(f"Line {n}: Quantity must be positive.")
        found.append(Packed(line, quantity, text(row.get("Box"), f"Line {n}: Box", 50)))
    if not found:
        raise Refused("Lines are required.")
    return found


def _to_pick(sale: Sale, line: Line) -> Decimal:
    """Units promised to the sale (allocated or gone) that no pick holds yet."""
    held = sum((one.quantity for task in sale.fulfilments for one in picked(task) if one.line is line), ZERO)
    return line.allocated + line.left - held


def pickable(world: World, sale: Sale) -> list[Packed]:
    """What the staff could pick now: allocated and really there, kits whole; lines may want the same component."""
    free: dict[str, Decimal] = {}
    found = []
    for line in sale.lines:
        units = _to_pick(sale, line)
        for product, pieces in line.needs:
            there = free.setdefault(product.id, world.stock.level(product, sale.location).in_hand)
            units = min(units, there if pieces == 1 else there // pieces)
        if units > 0 and line.needs:
            found.append(Packed(line, units))
            for product, pieces in line.needs:
                free[product.id] -= units * pieces
    return found


def authorise_pick(world: World, sale: Sale, task: Fulfilment, wanted: list[Packed]) -> None:
    """Refused when more is wanted than is allocated to the sale or lies there."""
    asked: dict[int, Decimal] = {}
    taken: dict[str, Decimal] = {}
    for one in wanted:
        asked[id(one.line)] = asked.get(id(one.line), ZERO) + one.quantity
        short = asked[id(one.line)] > _to_pick(sale, one.line)
        for product, pieces in one.line.needs:
            taken[product.id] = taken.get(product.id, ZERO) + one.quantity * pieces
            short = short or taken[product.id] > world.stock.level(product, sale.location).in_hand
        if short:
            raise Refused(f"Quantity to pick of '{one.line.name}' exceeds the quantity available for this sale.")
    task.pick_status, task.picked = "AUTHORISED", wanted
    if world.switches.stock_leaves_at == "pick":
        _leave(world, sale, wanted, "pick")
    else:
        hold(world, sale, wanted, 1)
    world.event("Sale/PickAuthorised", sale, task=task.task_id)


def pack(world: World, request: Request) -> dict[str, Any]:
    """POST/PUT /sale/fulfilment/pack {TaskID, Status, Lines with Box | AutoPackMode: AUTOPACK}"""
    fields = request.fields()
    sale, task = _find(world, fields.get("TaskID"))
    if task.pick_status != "AUTHORISED" or task.pack_status not in OPEN:
        raise Refused("Pick status must be AUTHORISED and pack status DRAFT or NOT AVAILABLE.")
    automatic = fields.get("AutoPackMode") == "AUTOPACK"
    wanted = boxed(task, 1) if automatic else _lines(sale, fields)
    for line in {id(one.line): one.line for one in wanted}.values():
        asked = sum((one.quantity for one in wanted if one.line is line), ZERO)
        if asked > sum((one.quantity for one in picked(task) if one.line is line), ZERO):
            raise Refused(f"Quantity to pack of '{line.name}' exceeds the picked quantity.")
    if automatic or _status(fields) == "AUTHORISED":
        authorise_pack(world, sale, task, wanted)
    else:
        task.pack_status, task.packed = "DRAFT", wanted
    world.touch(sale)
    return documents.fulfilment(task, "Regular", sale)


def authorise_pack(world: World, sale: Sale, task: Fulfilment, wanted: list[Packed]) -> None:
    task.pack_status, task.packed = "AUTHORISED", wanted
    world.event("Sale/PackAuthorised", sale, task=task.task_id)


def boxed(task: Fulfilment, boxes: int) -> list[Packed]:
    """The picked goods in boxes; with two or more, lines (or the units of a single line) are dealt out in turn."""
    goods = [Packed(one.line, one.quantity, f"Box {n % boxes + 1}") for n, one in enumerate(picked(task))]
    if boxes > 1 and len(goods) == 1 and goods[0].quantity >= 2:
        half = goods[0].quantity // 2
        return [Packed(goods[0].line, half, "Box 1"), Packed(goods[0].line, goods[0].quantity - half, "Box 2")]
    return goods


def ship(world: World, request: Request) -> dict[str, Any]:
    """POST/PUT /sale/fulfilment/ship {TaskID, Status, Lines}; PUT with AddTrackingNumbers edits tracking afterwards."""
    fields = request.fields()
    sale, task = _find(world, fields.get("TaskID"))
    if fields.get("AddTrackingNumbers"):
        _retrack(world, sale, task, fields)
        return documents.fulfilment(task, "Regular", sale)
    if task.pack_status != "AUTHORISED" or task.ship_status == "AUTHORISED":
        raise Refused("Pack status must be AUTHORISED and the shipment not AUTHORISED yet.")
    authorised = _status(fields) == "AUTHORISED"
    parcels = [_parcel(world, task, row, n, authorised) for n, row in enumerate(fields.get("Lines") or [], 1)]
    if not parcels:
        raise Refused("Lines are required.")
    task.parcels = [parcel for parcel in task.parcels if parcel.shipped]
    if authorised:
        authorise_ship(world, sale, task, parcels)
    else:
        task.parcels, task.ship_status = task.parcels + parcels, task.ship_status.replace("NOT AVAILABLE", "DRAFT")
    world.touch(sale)
    world.settle()
    return documents.fulfilment(task, "Regular", sale)


def _parcel(world: World, task: Fulfilment, row: dict[str, Any], n: int, shipped: bool) -> Parcel:
    names = [name.strip() for name in str(row.get("Box") or row.get("Boxes") or "").split(",")]
    known = {one.box for one in packed(task)}
    taken = {box for parcel in task.parcels if parcel.shipped for box in parcel.boxes}
    if any(name not in known or name in taken for name in names):
        raise Refused(f"Line {n}: Box '{', '.join(names)}' is not packed or already shipped.")
    carrier = text(row.get("Carrier"), f"Line {n}: Carrier", 256)
    if carrier and carrier not in world.book.carriers:
        raise Refused(f"Line {n}: Carrier '{carrier}' was not found.")
    at = moment(row["ShipmentDate"], "ShipmentDate") if row.get("ShipmentDate") else world.clock.time()
    tracking = text(row.get("TrackingNumber"), f"Line {n}: TrackingNumber", 256)
    return Parcel(world.book.new_id(), at, carrier, names, tracking, shipped and row.get("IsShipped", True) is True)


def authorise_ship(world: World, sale: Sale, task: Fulfilment, parcels: list[Parcel]) -> None:
    """The parcels leave; the shipment is AUTHORISED when all packed boxes are gone (blueprint)."""
    task.parcels = task.parcels + parcels
    boxes = {box for parcel in parcels if parcel.shipped for box in parcel.boxes}
    gone = [one for one in packed(task) if one.box in boxes]
    if world.switches.stock_leaves_at == "ship":
        hold(world, sale, gone, -1)
        _leave(world, sale, gone, "ship")
    everything = len(task.shipped()) == len(packed(task))
    task.ship_status = "AUTHORISED" if everything else "PARTIALLY AUTHORISED" if task.shipped() else "DRAFT"
    if not gone:
        return
    world.journal.add(
        "shipped",
        sale=sale.id,
        external_id=sale.external_id,
        task=task.task_id,
        location=sale.location.name,
        lines=[{"sku": one.line.product.sku, "quantity": plain(one.quantity)} for one in gone if one.line.product],
        tracking=[parcel.tracking for parcel in parcels],
    )
    world.event("Sale/ShipmentAuthorised", sale, task=task.task_id)


def _retrack(world: World, sale: Sale, task: Fulfilment, fields: dict[str, Any]) -> None:
    by_id = {parcel.id: parcel for parcel in task.parcels}
    for n, row in enumerate(fields.get("Lines") or [], 1):
        parcel = by_id.get(str(row.get("ID") or "").lower())
        if parcel is None:
            raise Refused(f"Line {n}: shipment line '{row.get('ID')}' was not found.")
        parcel.tracking = text(row.get("TrackingNumber"), f"Line {n}: TrackingNumber", 256)
        parcel.carrier = row.get("Carrier") or parcel.carrier
    world.touch(sale)
    world.event("Sale/ShipmentTrackingNumberChanged", sale, task=task.task_id)


def _leave(world: World, sale: Sale, goods: list[Packed], word: str) -> None:
    """Goods go from the shelf, and the allocation with them: available stays as it was."""
    for one in goods:
        one.line.allocated -= one.quantity
        one.line.left += one.quantity
        for product, pieces in one.line.needs:
            level = world.stock.level(product, sale.location)
            units = one.quantity * pieces
            world.stock.take(level, units, cause_of(word, sale), allocated=units)


def hold(world: World, sale: Sale, goods: list[Packed], sign: int) -> None:
    """Goods enter (+1) or leave (-1) the picker's trolley."""
    for one in goods:
        for product, pieces in one.line.needs:
            world.stock.level(product, sale.location).held += sign * one.quantity * pieces


def auto(world: World, sale: Sale, mode: str) -> None:
    """AutoPickPackShipMode of a Simple sale: do the first one, two or three steps of its only fulfilment at once."""
    task = sale.fulfilments[0]
    wanted = pickable(world, sale)
    if not wanted:
        return
    authorise_pick(world, sale, task, wanted)
    if mode != "AUTOPICK":
        authorise_pack(world, sale, task, boxed(task, 1))
    if mode == "AUTOPICKPACKSHIP":
        carrier = sale.header.get("Carrier") or ""
        parcel = Parcel(world.book.new_id(), world.clock.time(), carrier, ["Box 1"], "", True)
        authorise_ship(world, sale, task, [parcel])
