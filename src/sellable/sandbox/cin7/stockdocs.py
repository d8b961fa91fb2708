"""Stock adjustments and transfers. Rule: adjustments say absolute values; goods in transit are usable nowhere."""

from decimal import Decimal
from typing import Any

from sellable.sandbox.cin7.reference import Location, Product
from sellable.sandbox.cin7.state import World
from sellable.sandbox.cin7.stock import Level
from sellable.sandbox.cin7.wire import ZERO, Listing, Refused, Request, day, number, stamp, text


def post_adjustment(world: World, request: Request) -> dict[str, Any]:
    """POST/PUT /stockadjustment: Lines' Quantity is the new value, of on hand or (UpdateOnHand false) of available."""
    fields = request.fields()
    status = fields.get("Status") or "DRAFT"
    if status not in ("DRAFT", "COMPLETED"):
        raise Refused(f"Status '{status}' is not supported.")
    old = world.adjustments.get(str(fields.get("TaskID") or "").lower())
    if fields.get("TaskID") and (old is None or old["Status"] != "DRAFT"):
        raise Refused(f"Stock adjustment '{fields['TaskID']}' was not found or is not DRAFT.")
    lines = [_adjusted(world, row, n) for n, row in enumerate(fields.get("Lines") or [], 1)]
    on_hand = bool(fields.get("UpdateOnHand"))
    if not lines:
        raise Refused("Lines are required.")
    for level, bin_name, quantity in lines:
        # Goods that lie in a pick cannot be counted away (guess).
        if level.in_hand + _delta(level, bin_name, quantity, on_hand) < 0:
            raise Refused(f"Quantity of '{level.product.sku}' is less than what is picked.")
    task = old["TaskID"] if old else world.book.new_id()
    document: dict[str, Any] = {
        "TaskID": task,
        "StocktakeNumber": old["StocktakeNumber"] if old else world.next_number("SA"),
        "EffectiveDate": fields.get("EffectiveDate") or day(world.clock.time()),
        "Status": status,
        "Account": fields.get("Account"),
        "Reference": text(fields.get("Reference"), "Reference", 256),
        "UpdateOnHand": on_hand,
        "ExistingStockLines": [],
        "NewStockLines": [],
    }
    for level, bin_name, quantity in lines:
        document["ExistingStockLines"].append(_apply(world, document, level, bin_name, quantity))
    world.adjustments[task] = document
    world.settle()
    return document


def _adjusted(world: World, row: dict[str, Any], n: int) -> tuple[Level, str, Decimal]:
    product = _stocked(world, row, n)
    location, bin_name = world.book.location(row.get("LocationID") or row.get("Location"), f"Line {n}: Location")
    quantity = number(row.get("Quantity"), f"Line {n}: Quantity")
    if quantity < 0:
        raise Refused(f"Line {n}: Quantity must not be negative.")
    return world.stock.level(product, location), bin_name, quantity


def _stocked(world: World, row: dict[str, Any], n: int) -> Product:
    product = world.book.product(row, f"Line {n}")
    if product.service or product.bom:
        raise Refused(f"Line {n}: '{product.sku}' has no stock of its own.")
    return product


def _apply(world: World, document: dict[str, Any], level: Level, bin_name: str, quantity: Decimal) -> dict[str, Any]:
    held = level.bins.get(bin_name, ZERO)
    delta = _delta(level, bin_name, quantity, document["UpdateOnHand"])
    if document["Status"] == "COMPLETED" and delta:
        cause = {"cause": "adjust", "document": document["StocktakeNumber"]}
        world.stock.change(level, cause, on_hand=delta, bin_name=bin_name)
    return {
        "ProductID": level.product.id,
        "SKU": level.product.sku,
        "Location": level.location.name,
        "Bin": bin_name or None,
        "QuantityOnHand": held,
        "Available": held - level.allocated,
        "Adjustment": delta,
        "Quantity": quantity,
    }


def _delta(level: Level, bin_name: str, quantity: Decimal, on_hand: bool) -> Decimal:
    """From an absolute value; as "available" it leaves the location's whole allocation on top (guess: how bins share
    that is not documented)."""
    return quantity - level.bins.get(bin_name, ZERO) + (ZERO if on_hand else level.allocated)


def get_adjustment(world: World, request: Request) -> dict[str, Any]:
    """GET /stockadjustment?TaskID="""
    return _known(world.adjustments, request.query.get("taskid"), "Stock adjustment")


def _known(held: dict[str, dict[str, Any]], task: Any, what: str) -> dict[str, Any]:
    found = held.get(str(task or "").lower())
    if found is None:
        raise Refused(f"{what} with TaskID '{task or ''}' was not found.")
    return found


def adjustments(world: World, request: Request) -> Listing:
    """GET /stockadjustmentList?Status="""
    names = ("TaskID", "StocktakeNumber", "EffectiveDate", "Status", "Account", "Reference")
    return _filtered("StockAdjustmentList", world.adjustments, names, request)


def transfers(world: World, request: Request) -> Listing:
    """GET /stockTransferList?Status="""
    names = (
        *("TaskID", "FromLocation", "From", "ToLocation", "To", "Status", "Number", "Reference"),
        *("DepartureDate", "CompletionDate", "RequiredByDate", "LastModifiedOn"),
    )
    return _filtered("StockTransferList", world.transfers, names, request)


def _filtered(key: str, held: dict[str, dict[str, Any]], names: tuple[str, ...], request: Request) -> Listing:
    status, search = request.query.get("status", "").upper(), request.query.get("search", "").lower()
    rows = [{name: document[name] for name in names} for document in held.values()]
    searched = ("Number", "StocktakeNumber", "Reference")
    found = [row for row in rows if any(search in str(row.get(name) or "").lower() for name in searched)]
    return Listing(key, [row for row in found if not status or row["Status"] == status])


def get_transfer(world: World, request: Request) -> dict[str, Any]:
    """GET /stockTransfer?TaskID="""
    return _known(world.transfers, request.query.get("taskid"), "Stock transfer")


def post_transfer(world: World, request: Request) -> dict[str, Any]:
    """POST /stockTransfer: DRAFT, IN TRANSIT (needs InTransitAccount and DepartureDate) or COMPLETED at once."""
    fields = request.fields()
    _check_status(fields)
    origin = world.book.location(fields.get("From") or fields.get("FromLocation"), "From")
    target = world.book.location(fields.get("To") or fields.get("ToLocation"), "To")
    rows: dict[str, tuple[Product, Decimal]] = {}
    for n, row in enumerate(fields.get("Lines") or [], 1):
        product = _stocked(world, row, n)
        quantity = number(row.get("TransferQuantity"), f"Line {n}: TransferQuantity")
        if product.id in rows or quantity <= 0:
            raise Refused(f"Line {n}: duplicate SKU or quantity not positive.")
        rows[product.id] = product, quantity
    if not rows:
        raise Refused("Lines are required.")
    document = new_transfer(world, origin, target, list(rows.values()), fields)
    move(world, document, fields["Status"])
    return document


def put_transfer(world: World, request: Request) -> dict[str, Any]:
    """PUT /stockTransfer {TaskID, Status}: on to IN TRANSIT or COMPLETED."""
    fields = request.fields()
    document = _known(world.transfers, fields.get("TaskID"), "Stock transfer")
    _check_status(fields)
    if document["Status"] == "COMPLETED" or (document["Status"] == "IN TRANSIT" and fields["Status"] == "DRAFT"):
        raise Refused(f"Stock transfer is {document['Status']}.")
    move(world, document, fields["Status"])
    return document


def _check_status(fields: dict[str, Any]) -> None:
    status = fields.setdefault("Status", "DRAFT")
    if status not in ("DRAFT", "IN TRANSIT", "COMPLETED"):
        raise Refused(f"Status '{status}' is not supported.")
    if status == "IN TRANSIT" and not (fields.get("InTransitAccount") and fields.get("DepartureDate")):
        raise Refused("InTransitAccount and DepartureDate are required for status IN TRANSIT.")


def new_transfer(
    world: World,
    origin: tuple[Location, str],
    target: tuple[Location, str],
    rows: list[tuple[Product, Decimal]],
    fields: dict[str, Any],
) -> dict[str, Any]:
    """A DRAFT document between two places (location, bin)."""
    names = [f"{place.name}: {bin_name}" if bin_name else place.name for place, bin_name in (origin, target)]
    document: dict[str, Any] = {
        "TaskID": world.book.new_id(),
        "From": origin[0].id,
        "FromLocation": names[0],
        "To": target[0].id,
        "ToLocation": names[1],
        "Status": "DRAFT",
        "Number": world.next_number("TR"),
        "DepartureDate": fields.get("DepartureDate"),
        "CompletionDate": fields.get("CompletionDate"),
        "RequiredByDate": fields.get("RequiredByDate"),
        "Reference": fields.get("Reference"),
        "LastModifiedOn": stamp(world.clock.time()),
        "Lines": [{"ProductID": p.id, "SKU": p.sku, "Name": p.name, "TransferQuantity": q} for p, q in rows],
    }
    world.transfers[document["TaskID"]] = document
    return document


def move(world: World, document: dict[str, Any], status: str) -> None:
    """Take the document on: leaving takes goods off the origin, COMPLETED puts them down. Allocated goods that are not
    picked may leave (help page), so available can turn negative."""
    before, book = document["Status"], world.book
    origin, target = (book.location(document[f"{end}Location"], end) for end in ("From", "To"))
    lines = [(book.products[row["ProductID"]], row["TransferQuantity"]) for row in document["Lines"]]
    cause = {"document": document["Number"]}
    if before == "DRAFT" and status != "DRAFT":
        for product, quantity in lines:
            if _there(world.stock.level(product, origin[0]), origin[1]) < quantity:
                raise Refused(f"Not enough stock of '{product.sku}' to transfer.")
        for product, quantity in lines:
            _leave(
                world, world.stock.level(product, origin[0]), origin[1], quantity, {**cause, "cause": "transfer_out"}
            )
    if status == "COMPLETED":
        for product, quantity in lines:
            level = world.stock.level(product, target[0])
            world.stock.change(level, {**cause, "cause": "transfer_in"}, on_hand=quantity, bin_name=target[1])
        document["CompletionDate"] = document["CompletionDate"] or day(world.clock.time())
    document["Status"], document["LastModifiedOn"] = status, stamp(world.clock.time())
    if status != before:
        world.journal.add("transfer", task=document["TaskID"], number=document["Number"], status=status)
    world.settle()


def _there(level: Level, bin_name: str) -> Decimal:
    return min(level.bins.get(bin_name, ZERO), level.in_hand) if bin_name else level.in_hand


def _leave(world: World, level: Level, bin_name: str, quantity: Decimal, cause: dict[str, Any]) -> None:
    if bin_name:
        world.stock.change(level, cause, on_hand=-quantity, bin_name=bin_name)
    else:
        world.stock.take(level, quantity, cause)
