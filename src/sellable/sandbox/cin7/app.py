"""The door: credentials, limits, routes and the many ways of saying no. Rule: the order is key, limit, route, work."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from sellable.sandbox.asgi import Receive, Scope, Send, answer, read_body
from sellable.sandbox.cin7 import allocation, billing, catalogue, fulfilment, sales, stockdocs
from sellable.sandbox.cin7.limits import Limiter
from sellable.sandbox.cin7.outside import Outside
from sellable.sandbox.cin7.paging import VALUE_FAULTS, cut, with_wrong_values
from sellable.sandbox.cin7.salelist import SaleIndex
from sellable.sandbox.cin7.state import World
from sellable.sandbox.cin7.truth import truth
from sellable.sandbox.cin7.warehouse import Warehouse
from sellable.sandbox.cin7.webhooks import Webhooks
from sellable.sandbox.cin7.wire import Listing, Refused, Request, decode, encode, error_model
from sellable.sandbox.clock import Clock
from sellable.sandbox.outbound import Post

BASE = "/externalapi/v2/"
HTML = b"<!DOCTYPE html><html><head><title>Cin7 Core</title></head><body><h1>Page not found</h1></body></html>"
Handler = Callable[[Request], Any]
PAGES_KEPT = 256


class Cin7:
    """One company's API. Vendor effects for the fault menu: error_200 (Error Model with status 200), stale_page (the
    answer the same query had before), shifted_page, missing_row, duplicate_row, fractional_quantity, huge_number,
    sku_case, unknown_enum."""

    def __init__(self, clock: Clock, seed: int, post: Post | None = None) -> None:
        self.world = world = World(clock, seed)
        world.refill = lambda level: allocation.refill(world, level)
        self.webhooks = Webhooks(world, post)
        self.index = SaleIndex(world)
        self.warehouse = Warehouse(world)
        self.limiter = Limiter()
        self._outside = Outside(world, self.warehouse)
        self._keys: dict[str, str] = {}
        self._routes = self._table()
        self._pages: dict[str, bytes] = {}

    def _table(self) -> dict[str, dict[str, Handler]]:
        """Handlers by lower-case path and method."""
        world = self.world

        def bound(work: Callable[[World, Request], Any]) -> Handler:
            return lambda request: work(world, request)

        def both(work: Callable[[World, Request], Any]) -> dict[str, Handler]:
            return {"POST": bound(work), "PUT": bound(work)}

        get_only = {
            "me": catalogue.me,
            "ref/location": catalogue.locations,
            "ref/tax": catalogue.tax_rules,
            "ref/carrier": catalogue.carriers,
            "ref/account": catalogue.accounts,
            "customer": catalogue.customers,
            "product": catalogue.products,
            "stocktransferlist": stockdocs.transfers,
            "stockadjustmentlist": stockdocs.adjustments,
        }
        hooks = self.webhooks
        return {path: {"GET": bound(work)} for path, work in get_only.items()} | {
            "ref/productavailability": {"GET": world.view.listing},
            "salelist": {"GET": self.index.listing},
            "sale": {
                "GET": bound(sales.get),
                "POST": bound(sales.create),
                "PUT": bound(sales.update),
                "DELETE": bound(sales.delete),
            },
            "sale/order": {"GET": bound(sales.get_order), "POST": bound(sales.post_order)},
            "sale/fulfilment": {"GET": bound(fulfilment.get), "POST": bound(fulfilment.post)},
            "sale/fulfilment/pick": both(fulfilment.pick),
            "sale/fulfilment/pack": both(fulfilment.pack),
            "sale/fulfilment/ship": both(fulfilment.ship),
            "sale/invoice": {"GET": bound(billing.get_invoice)} | both(billing.post_invoice),
            "sale/payment": {"GET": bound(billing.get_payment), "POST": bound(billing.post_payment)},
            "sale/creditnote": {"GET": bound(billing.get_creditnote)} | both(billing.post_creditnote),
            "stockadjustment": {"GET": bound(stockdocs.get_adjustment)} | both(stockdocs.post_adjustment),
            "stocktransfer": {
                "GET": bound(stockdocs.get_transfer),
                "POST": bound(stockdocs.post_transfer),
                "PUT": bound(stockdocs.put_transfer),
            },
            "webhooks": {"GET": hooks.listing, "POST": hooks.create, "PUT": hooks.update, "DELETE": hooks.delete},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        self.world.agenda.run_due()
        path, key = _path(scope), self.credential(scope)
        if path is None:
            await self._html(send)
            return
        if self._keys.get(key) is None or self._keys[key] != _header(scope, b"api-auth-accountid").lower():
            await answer(send, 403, error_model(403, "Incorrect credentials!"))
            return
        limited = self.limiter.refuse(key, path, self.world.clock.time(), self.world.switches)
        if limited is not None:
            status, body, headers = limited
            await answer(send, status, body, headers)
            return
        if path not in self._routes:
            await self._html(send)
            return
        handler = self._routes[path].get(scope["method"])
        if handler is None:
            await answer(send, 405, error_model(405, "The requested method is not allowed."))
            return
        status, body = self._work(handler, scope, path, await read_body(receive))
        await answer(send, status, body)

    def _work(self, handler: Handler, scope: Scope, path: str, body: bytes) -> tuple[int, bytes]:
        faults = scope.get("sandbox.faults", {})
        raw = scope["query_string"].decode("latin-1")
        if "error_200" in faults:
            return 200, error_model(400, faults["error_200"].body or "Something went wrong. Please try again.")
        stale = self._pages.get(f"{path}?{raw}") if "stale_page" in faults else None
        if stale is not None:
            return 200, stale
        query = {name.lower(): value for name, value in parse_qsl(raw, keep_blank_values=True)}
        try:
            # Names in the query match in any case; unknown ones are silently ignored (observed).
            request = Request(scope["method"], path, query, decode(body), faults)
            result = self._written(handler(request), request)
        except Refused as refused:
            return refused.status, refused.body()
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            # Mostly an object of a wrong shape; the journal tells a defect of the simulator apart.
            self.world.journal.add("internal_error", call=f"{scope['method']} {path}", error=repr(error))
            return 500, self.error_body(500)
        if scope["method"] == "GET":
            self._pages.pop(f"{path}?{raw}", None)
            self._pages[f"{path}?{raw}"] = result
            if len(self._pages) > PAGES_KEPT:
                del self._pages[next(iter(self._pages))]
        return 200, result

    def _written(self, result: Any, request: Request) -> bytes:
        if isinstance(result, bytes):
            return result
        if isinstance(result, Listing):
            return cut(result, request, self.world.dice)
        wrong = [fault for fault in request.faults if fault in VALUE_FAULTS]
        return encode(with_wrong_values(result, wrong, self.world.dice) if wrong else result)

    async def _html(self, send: Send) -> None:
        status = self.world.switches.wrong_path_status
        await answer(send, status, HTML, [(b"content-type", b"text/html; charset=utf-8")])

    def load(self, seed: dict[str, Any]) -> None:
        """Add a seed: keys, me, locations, tax_rules, customers, carriers, products, stock, switches, warehouse."""
        world = self.world
        for row in seed.get("keys", []):
            self._keys[row["key"].lower()] = row["account"].lower()
        world.book.load(seed, world.clock.time())
        for row in seed.get("stock", []):
            place, bin_name = world.book.place(row["location"], row.get("bin"))
            world.stock.seed(world.book.known(row["sku"]), place, bin_name, decode(encode(row["quantity"])))
        world.view.listing(Request("GET", "", {}))  # writes all rows now, so that no later call pays for it
        # Lags begin after the opening stock, which everybody knows.
        world.switches = world.switches.turned(seed.get("switches", {}))
        if "warehouse" in seed:
            self.warehouse.instruct(seed["warehouse"])
        world.journal.add("loaded", products=len(seed.get("products", [])), stock=len(seed.get("stock", [])))

    def truth(self) -> dict[str, Any]:
        """What is really so, see `sellable.sandbox.cin7.truth`."""
        self.world.agenda.run_due()
        return truth(self.world) | {
            "blocked": dict(self.limiter.blocked),
            "webhooks": list(self.webhooks.hooks.values()),
        }

    async def act(self, action: dict[str, Any]) -> Any:
        """Do something in the world outside, see Outside."""
        self.world.agenda.run_due()
        return self._outside.act(action)

    def credential(self, scope: Scope) -> str:
        """The application key: limits are per key, not per account (measured)."""
        return _header(scope, b"api-auth-applicationkey").lower()

    def route(self, scope: Scope) -> str:
        """The path below the base in lower case; "other" for wrong ones."""
        path = _path(scope)
        return f"/{path}" if path in self._routes else "other"

    def error_body(self, status: int) -> bytes:
        """The Error Model of an injected status."""
        return error_model(status, "An unexpected error occurred.")

    async def start(self) -> None:
        """Begin the background work: staff, webhooks, lags."""
        await self.world.agenda.start()

    async def stop(self) -> None:
        """End it."""
        await self.world.agenda.stop()
        await self.webhooks.stop()


def _path(scope: Scope) -> str | None:
    """The lower-case path below the base, None outside of it."""
    path = scope["path"].lower()
    return path[len(BASE) :].rstrip("/") if path.startswith(BASE) else None


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")
