"""The door: who calls, for which channel or organisation, and ways of saying no. Rule: login, route, scope, work."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from sellable.sandbox.asgi import Receive, Scope, Send, answer
from sellable.sandbox.clock import Clock
from sellable.sandbox.orderflow import allocation, despatches, imports, orders, products, reports
from sellable.sandbox.orderflow.inventory import View
from sellable.sandbox.orderflow.markup import Element, write
from sellable.sandbox.orderflow.outside import Outside
from sellable.sandbox.orderflow.pushes import Pushes
from sellable.sandbox.orderflow.reference import Channel, User
from sellable.sandbox.orderflow.state import World
from sellable.sandbox.orderflow.stock import KINDS
from sellable.sandbox.orderflow.truth import truth
from sellable.sandbox.orderflow.warehouse import Warehouse
from sellable.sandbox.orderflow.wire import HTML, XML, Dialect, Refused, Request, refusal, web_page
from sellable.sandbox.orderflow.wire import Scope as Named
from sellable.sandbox.outbound import Post

Handler = Callable[[Request, User], Element]
FORM = "application/x-www-form-urlencoded"
REFUSALS: dict[str, Dialect] = {"error_page": "page", "exception": "exception", "error_root": "error"}


class OrderFlow:
    """One tenant's API. Vendor effects for the fault menu: error_page, exception and error_root (a refusal with status
    200 in one of three dialects), no_operation (cancel and notifications do nothing), lost_item (an import's answer
    forgets the first of each list), half_import (the first half is done and no fate is told), and in lists missing_row,
    duplicate_row, fractional_quantity, huge_number, sku_case, unknown_state."""

    def __init__(self, clock: Clock, seed: int, post: Post | None = None) -> None:
        self.world = world = World(clock, seed)
        world.refill = lambda level: allocation.refill(world, level)
        self.view = View(world)
        self.warehouse = Warehouse(world)
        self.pushes = Pushes(world, self.view, post)
        self._outside = Outside(world, self.warehouse, self.pushes)
        self._base = "/web/"
        self._routes = self._table()

    def _table(self) -> dict[str, dict[str, Handler]]:
        """Handlers by path below the base and by method."""
        world, book = self.world, self.world.book

        def channel(work: Callable[[World, Request, Channel], Element]) -> Handler:
            return lambda request, user: work(world, request, book.channel(user, request.scope))

        def owner(work: Callable[[World, Request, str], Element]) -> Handler:
            return lambda request, user: work(world, request, book.owner(user, request.scope))

        def inventory(request: Request, user: User) -> Element:
            return self.view.listing(request, book.owner(user, request.scope, by_channel=True))

        def report(request: Request, user: User) -> Element:
            return reports.report(world, request, user)

        detail = channel(orders.detail)
        return {
            "remoteorder/imports/importitems.xml": {"POST": channel(imports.of_channel)},
            "remoteorder/order/cancel.xml": {"POST": channel(orders.cancel)},
            "remoteorder/order/detail.xml": {"GET": detail, "POST": detail},
            "remoteorder/order/update.xml": {"POST": channel(orders.notified)},
            "remoteorder/shipment/despatches.xml": {"GET": channel(despatches.despatches)},
            "remoteorder/shipment/pending.xml": {"GET": channel(despatches.pending)},
            "remotewarehouse/imports/importitems.xml": {"POST": owner(imports.of_organisation)},
            "remotewarehouse/product/update.xml": {"POST": owner(products.notified)},
            "remotewarehouse/inventory.xml": {"GET": inventory},
            "remote/report.xml": {"GET": report, "POST": report},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        self.world.agenda.run_due()
        body = await _read(receive, self.world.switches.body_bytes_max)
        status, said, headers = self._answer(scope, body)
        await answer(send, status, said, headers)

    def _answer(self, scope: Scope, body: bytes | None) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        path, headers = self._path(scope), _headers(scope)
        user = self.world.book.login(headers)
        if path is None:
            return _page(404, "The requested resource is not available.")
        if user is None:
            status, page, said = _page(401, "Bad credentials")
            return status, page, [*said, (b"www-authenticate", b'Basic realm="OrderFlow"')]
        if path not in self._routes:
            return _page(404, "The requested resource is not available.")
        handler = self._routes[path].get(scope["method"])
        if handler is None:
            return _page(405, f"Request method '{scope['method']}' not supported")
        if body is None:
            return _page(413, "Request entity too large")
        return self._work(handler, _request(scope, path, headers, body), user)

    def _work(self, handler: Handler, request: Request, user: User) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        switches = self.world.switches
        for effect, dialect in REFUSALS.items():
            if effect in request.faults:
                said = request.faults[effect].body or "An unexpected error occurred"
                return refusal(dialect, said)
        try:
            return 200, write(handler(request, user)), XML
        except Refused as refused:
            if refused.status in (403, 413):
                return _page(refused.status, str(refused))
            return refusal(switches.dialect(refused.situation), str(refused), refused.status)
        except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
            # The journal tells a defect of the simulator apart.
            self.world.journal.add("internal_error", call=f"{request.method} {request.path}", error=repr(error))
            return 500, self.error_body(500), HTML

    def _path(self, scope: Scope) -> str | None:
        path = str(scope["path"])
        return path[len(self._base) :] if path.startswith(self._base) else None

    def load(self, seed: dict[str, Any]) -> None:
        """Add a seed: base, users, sites, channels, products, stock, switches, receivers, warehouse."""
        world = self.world
        self._base = f"/{seed['base'].strip('/')}/".replace("//", "/") if "base" in seed else self._base
        world.book.load(seed)
        for row in seed.get("stock", []):
            kind = row.get("kind", "good")
            if kind not in KINDS:
                raise ValueError(f"known kinds of location: {', '.join(KINDS)}")
            product = world.book.known(row["sku"], row.get("organisation"))
            site = world.book.site(row.get("site") or world.book.sites[0])
            world.stock.seed(world.stock.level(product, site), kind, row["quantity"])
        # Lags and messages begin after the opening stock, which everybody knows.
        world.switches = world.switches.turned(seed.get("switches", {}))
        if "receivers" in seed:
            self.pushes.address(seed["receivers"])
        if "warehouse" in seed:
            self.warehouse.instruct(seed["warehouse"])
        world.journal.add("loaded", products=len(seed.get("products", [])), stock=len(seed.get("stock", [])))

    def truth(self) -> dict[str, Any]:
        """What is really so, see `sellable.sandbox.orderflow.truth`, and messages that have not arrived."""
        self.world.agenda.run_due()
        waiting = [{"id": one.id, "kind": one.kind, "attempts": one.attempts} for one in self.pushes.waiting.values()]
        return truth(self.world) | {"messages": waiting}

    async def act(self, action: dict[str, Any]) -> Any:
        """Do something in the world outside, see Outside."""
        self.world.agenda.run_due()
        return self._outside.act(action)

    def credential(self, scope: Scope) -> str:
        """The login's name; no limit of the vendor is known."""
        headers = _headers(scope)
        found = self.world.book.login(headers)
        return next((name for name, user in self.world.book.users.items() if user is found), "nobody")

    def route(self, scope: Scope) -> str:
        """The path below the base; "other" for wrong ones."""
        path = self._path(scope)
        return f"/{path}" if path in self._routes else "other"

    def error_body(self, status: int) -> bytes:
        """The page of an injected status."""
        return web_page(f"HTTP Status {status}", "An unexpected error occurred")

    async def start(self) -> None:
        """Begin the background work: staff, messages, lags."""
        await self.world.agenda.start()

    async def stop(self) -> None:
        """End it."""
        await self.world.agenda.stop()
        await self.pushes.stop()


def _page(status: int, sentence: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    return status, web_page(f"HTTP Status {status}", sentence), HTML


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The body, or None when it is longer than the limit; never more than that is kept."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size, more = size + len(part), message.get("more_body", False)
        if size <= limit:
            parts.append(part)
    return b"".join(parts) if size <= limit else None


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _request(scope: Scope, path: str, headers: dict[str, str], body: bytes) -> Request:
    """Values come from the query or from a form body; a channel or organisation in the query wins over the header
    (UNCONFIRMED: a client sends one or the other)."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    if headers.get("content-type", "").startswith(FORM):
        query |= dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    named = Named(*(query.get(name) or headers.get(name, "") for name in ("channel", "organisation")))
    return Request(scope["method"], path, query, named, body, scope.get("sandbox.faults", {}))
