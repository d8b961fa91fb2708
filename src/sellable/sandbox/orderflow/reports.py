"""remote/report.xml: reports by key. Rule: keys and columns are the tenant's; these are two that clients read."""

from sellable.sandbox.orderflow.markup import Element, element, fields
from sellable.sandbox.orderflow.reference import User
from sellable.sandbox.orderflow.state import Return, World
from sellable.sandbox.orderflow.wire import Refused, Request, moment, stamp


def report(world: World, request: Request, user: User) -> Element:
    """GET or POST remote/report.xml?reportKey=&startDate=&endDate="""
    key = request.needed("reportKey")
    since, until = _window(world, request)
    match key:
        case "return_line_api_report":
            # By completion, and of a whole return: which date the window means is UNCONFIRMED.
            found = [one for one in world.returns if one.completed is not None and since <= int(one.completed) <= until]
            scope = request.scope
            if scope.organisation or scope.channel:
                organisation = world.book.owner(user, scope, by_channel=True)
                found = [one for one in found if one.organisation == organisation]
            if scope.channel:
                found = [one for one in found if one.channel == scope.channel]
            return element("returns", *(row for one in found for row in _return_lines(world, one)))
        case "purchase_order_lines_xml":
            organisation = request.needed("organisation_id")
            return _purchases(world, organisation, request.query.get("reference", ""), since, until)
    raise Refused(f"No report found with key '{key}'", "not_found", 404)


def _window(world: World, request: Request) -> tuple[float, float]:
    zone = world.switches.zone
    try:
        start, end = request.query.get("startDate", ""), request.query.get("endDate", "")
        return moment(start, zone) if start else 0.0, moment(end, zone) if end else world.clock.time()
    except ValueError as error:
        raise Refused(f"Unparseable date: {error}") from error


def _return_lines(world: World, one: Return) -> list[Element]:
    zone = world.switches.zone
    head = {
        "organisation": one.organisation,
        "channel": one.channel,
        "orderReference": one.order_reference,
    }
    tail = {
        "returnedDate": one.returned and stamp(one.returned, zone),
        "completedDate": one.completed and stamp(one.completed, zone),
        "authorised": one.authorised,
        "authorisation": one.authorisation,
        "type": one.type,
        "note": one.note,
    }
    return [
        fields(
            "return",
            head
            | {"product": line.product.reference, "quantity": line.quantity}
            | tail
            | {"lineReason": line.reason, "lineCondition": line.condition, "lineType": one.type, "lineNote": line.note},
        )
        for line in one.lines
    ]


def _purchases(world: World, organisation: str, reference: str, since: float, until: float) -> Element:
    """Rows by creation (which date the window means is UNCONFIRMED)."""
    zone, rows = world.switches.zone, []
    for one in world.purchases:
        wanted = one.organisation == organisation and reference in ("", one.reference)
        if not wanted or not since <= int(one.created) <= until:
            continue
        for line in one.lines:
            said = {
                "organisation": one.organisation,
                "reference": one.reference,
                "state": one.state,
                "supplier": one.supplier,
                "supplierReference": one.supplier_reference,
                "date": one.expected,
                "created": stamp(one.created, zone),
                "completed": one.completed and stamp(one.completed, zone),
                "lineQuantity": line.quantity,
                "lineOutstandingQuantity": line.outstanding,
                "lineState": "completed" if not line.outstanding else "created",
                "sku": line.product.reference,
                "productDescription": line.product.fields.get("description", ""),
            }
            rows.append(fields("line", said))
    return element("report", element("lines", *rows))
