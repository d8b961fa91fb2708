"""A small shop and one story in which every call the product makes to a vendor is made at least once, on virtual time.

Rule: nothing in the story is chance; what strikes it, a call's fault or a death, is decided by whoever plays it.
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import httpx2
import msgspec
import psycopg
import pytest

from sellable.app.setup import set_up_commercetools
from sellable.config.settings import Settings, Webhook
from sellable.connectors.cin7_core import registration
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.cin7_core.webhooks import TYPES
from sellable.connectors.commercetools import survey
from sellable.connectors.commercetools.client import Commercetools
from sellable.connectors.port import VendorError
from sellable.runtime import budgets, feeds, wanted
from sellable.runtime.database import Tx
from sellable.runtime.http import HttpError, HttpPort
from sellable.runtime.queries import Query
from sellable.sandbox.cin7.webhooks import FIELDS
from sellable.sandbox.shop import CANCELLED, SHELF, Shop
from sellable.sandbox.shopper import Basket, BasketLine, Placed, Storefront
from sellable.simulation.virtual.checkers import Broken, Checkers
from sellable.simulation.virtual.menu import CT
from sellable.simulation.virtual.play import EMPTY, _patient, declared_for, listening
from sellable.simulation.virtual.profiles import Plan, plan_of
from sellable.simulation.virtual.wire import Trace
from sellable.simulation.virtual.world import STAFF, World
from sellable.simulation.watch import Rest

SETTLED_SECONDS = 35.0
STORY_SECONDS_MAX = 900.0
REST_SECONDS_MAX = 1500.0
OPERATOR_SECONDS = 45.0
TEMPO: dict[str, Any] = {"sweep_seconds": 45.0, "sales_poll_seconds": 15.0, "visibility_lag_seconds": 4.0,
                         "search_settle_seconds": 6.0}  # fmt: skip
HOOK = Webhook(public_url="https://stock.example", path_token="p" * 32, secret="s" * 32)
LOST = "S-LOST"
"""The order whose first draft is made and whose answer gets lost, so that it must be searched for."""
HELD = "S-HELD"
"""The order whose first draft is refused, so that a person has to try it again."""

_CASES_OF = Query(
    package="tests", name="cases_of", purpose="open cases with an owner",
    text="SELECT ref FROM cases WHERE subject = %(subject)s AND state <> 'resolved' AND owner <> ''",
)  # fmt: skip
_WISHES = Query(
    package="tests", name="wishes", purpose="goods still to be read",
    text="SELECT key FROM wanted WHERE system = 'cin7_core' AND kind = 'sku'",
)  # fmt: skip
SITE: contextvars.ContextVar[str] = contextvars.ContextVar("site", default="")
"""From which call site the request that is being carried comes."""


class StoryPlan(Plan):
    """A plan of a shop with two goods and a set of them, forty on every shelf."""

    def shop(self) -> Shop:
        """Enough of everything: nothing is sold out, so a unit that is missing or doubled shows."""
        shop = super().shop()
        names = {item.sku: f"HOME-{n}" for n, item in enumerate(shop.items)}
        items = tuple(
            replace(item, sku=names[item.sku], recipe={names[sku]: n for sku, n in item.recipe.items()})
            for item in shop.items
        )
        goods = [item.sku for item in items if not item.recipe]
        shelves = [place.name for place in shop.places if place.ships]
        stock = tuple((sku, place, SHELF, 40) for sku in goods for place in shelves)
        return replace(shop, items=items, stock=stock, held_back={})


def plan(**changes: Any) -> StoryPlan:
    """Vendors that answer quickly; a cancelled order is assumed to be restocked and is not, which makes a drift."""
    calm = plan_of(1, "quiet", 3.0)
    values = {name: getattr(calm, name) for name in calm.__dataclass_fields__}
    values |= {
        "workers": 1, "skus": 4, "patience": 20.0, "restocks": "yes", "modes": (("ReserveOnOrder", 1.0),),
        "returns": 0.0, "staff_cancels": True,
        "ct": {"order_lag_seconds": 1.0, "order_bumps_version": True, "restocks_on_cancel": False},
        "cin7": {"availability_lag_seconds": 1.0}, "pick_seconds": 40.0,
    }  # fmt: skip
    return StoryPlan(**values | changes)


Send = Callable[[httpx2.Request], Awaitable[httpx2.Response]]
Strike = Callable[[httpx2.Request, Send], Awaitable[httpx2.Response]]


class Struck(httpx2.AsyncBaseTransport):
    """The wire of the product's processes, with whoever strikes before it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, strike: Strike) -> None:
        self._inner, self._strike, self._primed = inner, strike, {LOST, HELD}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Of one draft the answer is always lost and one is refused; all else is the strike's to decide."""
        for number in [n for n in self._primed if request.method == "POST" and n.encode() in request.content]:
            self._primed.remove(number)
            if number == HELD:
                body = b'[{"ErrorCode": 400, "Exception": "Customer is on hold."}]'
                return httpx2.Response(400, content=body, request=request)
            await self._inner.handle_async_request(request)
            raise httpx2.ReadError("lost", request=request)
        return await self._strike(request, self._inner.handle_async_request)


class Stage(World):
    """The world of the story. `strike` carries each call of the product, or does not."""

    def __init__(self, plan: Plan, url: str, strike: Strike) -> None:
        super().__init__(plan, url, Trace())
        self.missing = next(item.sku for item in self.shop.items if not item.recipe)
        self.struck = Struck(self.wire, strike)
        for process in self.processes:
            process._transport = self.struck
        self._shopper = Storefront(self.http, f"http://{CT}", self.shop)

    def settings(self) -> Settings:
        """One channel whose missing entries are made."""
        found = super().settings()
        channels = [msgspec.structs.replace(c, create_entries=c.key == "pickup") for c in found.channels]
        return msgspec.structs.replace(
            found,
            channels=type(found.channels)(channels),
            cin7_core=msgspec.structs.replace(found.cin7_core, **TEMPO),
            commercetools=msgspec.structs.replace(found.commercetools, restocks_on_return="unknown"),
        )

    def load(self) -> None:
        """One entry is missing at the storefront; Cin7 Core has a webhook of ours twice."""
        seed = self.shop.commercetools()
        first = next(item.sku for item in self.shop.items if not item.recipe)
        there = [row for row in seed["inventory"] if (row["sku"], row["channel"]) != (first, "pickup")]
        self.storefront.load({**seed, "inventory": there, "switches": {**seed["switches"], **self.plan.ct}})
        seed = self.shop.cin7(
            staff={**STAFF, "split_rate": 0.0, "ship_after_seconds": 60, "pick_after_seconds": self.plan.pick_seconds}
        )
        self.back_office.load({**seed, "switches": {**seed["switches"], **self.plan.cin7}})
        self._known = len(there)

    def fields(self, names: Any) -> list[dict[str, Any]]:
        """Of those that were there from the beginning."""
        return super().fields(names)[: self._known]

    # --- the story ---------------------------------------------------------------------------------------------------

    async def story(self) -> list[str]:
        """Everything that happens, side by side; what did not come about within its time."""
        async with asyncio.TaskGroup() as group:
            deeds = [
                group.create_task(deed)
                for deed in (
                    *(self._delivered(), self._authorised(LOST), self._authorised(HELD), self._cancelled()),
                    *(self._truck(), self._new_entry(), self._hints(), self._registered(), self._set_up()),
                    *(self._asked(), self._fewer(), self._fewer_by_staff(), self._sent_back()),
                )
            ]  # fmt: skip
        return [words for task in deeds if (words := task.result())]

    async def _order(self, number: str, channel: str, *lines: tuple[int, int]) -> Placed:
        goods = [item.sku for item in self.shop.items]
        basket = Basket(
            number=number, channel=channel, country="GB" if channel == "web-uk" else "DE",
            lines=tuple(BasketLine(sku=goods[n], quantity=units) for n, units in lines),
        )  # fmt: skip
        return await self._shopper.order(basket)

    async def _seen(self, what: str, look: Callable[[], bool]) -> str:
        async def looked() -> bool:
            return look()

        return "" if await self.until(looked, STORY_SECONDS_MAX) else f"never came: {what}"

    def sales_of(self, order: Placed) -> list[dict[str, Any]]:
        """The order's sales at the back office."""
        return [s for s in self.back_office.vendor.truth()["sales"] if order.id in (s["external_id"] or "")]

    def told(self, order: Placed) -> dict[str, Any]:
        """The order at the storefront."""
        orders = self.storefront.vendor.truth()["projects"][self.shop.project]["orders"]
        return next(row for row in orders if row["id"] == order.id)

    async def _delivered(self) -> str:
        order = await self._order("S-1", "web-eu", (1, 2), (2, 1))
        return await self._seen("a delivery of the first order", lambda: bool(self.told(order)["deliveries"]))

    async def _authorised(self, number: str) -> str:
        order = await self._order(number, "web-uk", (1, 1))
        return await self._seen(
            f"a sale of {number}", lambda: any(s["order_status"] == "AUTHORISED" for s in self.sales_of(order))
        )

    async def _cancelled(self) -> str:
        order = await self._order("S-3", "web-eu", (3, 1))
        words = await self._seen(
            "the sale of an order to cancel",
            lambda: any(s["order_status"] == "AUTHORISED" for s in self.sales_of(order)),
        )
        if words or not await self._shopper.cancel(order.id):
            return words or "the order was delivered before it was cancelled"
        return await self._seen(
            "the end of a cancelled sale, or its case",
            lambda: not any(s["order_status"] == "AUTHORISED" for s in self.sales_of(order)) or self._owned(order),
        )

    async def _fewer(self) -> str:
        """A unit of a line is cancelled while its sale waits to be picked, and the parcel goes somewhere else."""
        order = await self._order("S-5", "web-eu", (2, 3))
        if words := await self._seen("the sale of an order to make smaller", lambda: self._sold(order) == 3):
            return words
        line = self.told(order)["lines"][0]["line"]
        if not await self._shopper.cancel_units(order.id, line, 1, CANCELLED):
            return "the unit could not be cancelled"
        await self._shopper.readdress(order.id, streetNumber="2")
        return await self._seen("a smaller sale, or its case", lambda: self._sold(order) == 2 or self._owned(order))

    async def _fewer_by_staff(self) -> str:
        """Staff take a unit off a sale."""
        order = await self._order("S-6", "web-uk", (2, 3))
        if words := await self._seen("the sale that staff make smaller", lambda: self._sold(order) == 3):
            return words
        (sale,) = self.sales_of(order)
        sku = sale["lines"][0]["sku"]
        await self.control.act(staff={"reduce": sale["sale"], "sku": sku, "to": 2})

        def shown() -> bool:
            (line,) = self.told(order)["lines"]
            return line["in_state"].get(CANCELLED) == 1 or self._owned(order)

        return await self._seen("a unit shown as cancelled, or its case", shown)

    async def _sent_back(self) -> str:
        """A parcel that was delivered comes back, and is put where goods are looked at."""
        order = await self._order("S-7", "web-eu", (1, 2))
        words = await self._seen("a delivery to be sent back", lambda: bool(self.told(order)["deliveries"]))
        if words:
            return words
        sale = self.sales_of(order)[0]
        sku = sale["lines"][0]["sku"]
        credit = {"SKU": sku, "Quantity": 1}
        shelf = credit | {"Location": f"{sale['location']}: {SHELF}"}
        await self.control.act(staff={"credit": sale["sale"], "lines": [credit], "restock": [shelf]})

        def told() -> bool:
            items = [item for info in self.told(order).get("returnInfo", []) for item in info["items"]]
            return [item["shipmentState"] for item in items] == ["BackInStock"]

        return await self._seen("a return at the storefront", told)

    def _sold(self, order: Placed) -> int:
        """Units on the order's authorised sale."""
        live = [s for s in self.sales_of(order) if s["order_status"] == "AUTHORISED"]
        return sum(int(line["quantity"]) for sale in live for line in sale["lines"])

    def _owned(self, order: Placed) -> bool:
        return bool(self._rows(_CASES_OF, subject=f"order:{order.id}"))

    async def _truck(self) -> str:
        goods = [item.sku for item in self.shop.items if not item.recipe]
        facts = {"sku": goods[-1], "from": "Hamburg Warehouse", "from_bin": SHELF, "to": "Munich Warehouse",
                 "to_bin": SHELF, "quantity": 2, "seconds": 20}  # fmt: skip
        await self.control.act(transfer=facts)
        return ""

    async def _new_entry(self) -> str:
        def there() -> bool:
            docs = self.storefront.vendor.shop(self.shop.project).project.inventory.docs  # type: ignore[attr-defined]
            if len(docs) > self._known:
                return True
            self._tell(lambda tx: feeds.poke(tx, "commercetools.new entries"))
            return False

        return await self._seen("the missing entry", there)

    async def _hints(self) -> str:
        """What webhooks would say: goods that begin alike, then one alone, an entry, an order."""
        goods, now = [item.sku for item in self.shop.items if not item.recipe], self.clock.now()
        await asyncio.sleep(5.0)
        orders = self.storefront.vendor.truth()["projects"][self.shop.project]["orders"]
        self._tell(lambda tx: wanted.want(tx, "commercetools", "order", [orders[0]["id"]], 0, now))
        self._tell(lambda tx: wanted.want(tx, "commercetools", "entry", [f"web-eu|{goods[0]}"], 0, now))
        for skus in (goods, goods[:1]):
            self._tell(lambda tx, skus=skus: wanted.want(tx, "cin7_core", "sku", skus, 0, now))
            if words := await self._seen("goods that were hinted at", lambda: not self._rows(_WISHES)):
                return words
        return ""

    def _rows(self, query: Query, **params: Any) -> list[Any]:
        return self.store.read_now(lambda tx: tx.all(query, **params))

    def _tell(self, work: Callable[[Tx], Any]) -> None:
        self.store.write_now(work)

    # --- errands: what a person or a watchdog asks of a vendor, again until it is answered ---------------------------

    def _back_office_client(self) -> Cin7Core:
        settings, http = self.configured, HttpPort(self._client(), self.clock, None)
        return Cin7Core(http, None, settings.cin7_core, Places(settings.locations, settings.states))

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=self.struck, trust_env=False)

    async def _again(self, what: str, deed: Callable[[], Awaitable[Any]]) -> str:
        words = ""
        for _ in range(12):
            try:
                await deed()
            except (VendorError, HttpError) as error:
                words = f"{what}: {type(error).__name__}: {error}"
                await asyncio.sleep(10.0)
            else:
                return ""
        return words

    async def _registered(self) -> str:
        """Each hint's address once and awake, although two were there for one of them."""
        url = f"{HOOK.public_url}/webhooks/cin7/{HOOK.path_token}"
        hooks = self.back_office.vendor.webhooks  # type: ignore[attr-defined]
        hooks.outbound.post = _nobody_listens
        for number in range(2):
            hook = {"ID": str(uuid.UUID(int=number + 1)), "Name": "", **dict.fromkeys(FIELDS)}
            hooks.hooks[hook["ID"]] = hook | {"Type": TYPES[0], "IsActive": True, "ExternalURL": url}
        turn = registration.watchdog(self._back_office_client(), HOOK)
        context = feeds.FeedContext(name="", now=self.clock.now(), a0=0, failures=0, next_seq=_no_number)
        for _ in range(3):
            if words := await self._again("webhooks", lambda: turn(None, context)):
                return words
        found = sorted(hook["Type"] for hook in hooks.hooks.values() if hook["ExternalURL"] == url)
        return "" if found == sorted(TYPES) else f"registered: {found}"

    async def _set_up(self) -> str:
        """What setup needs is there; it is made once."""
        words = await self._again(
            "setup", lambda: set_up_commercetools(self.configured, self._client(), self.clock, self.store, "cli:test")
        )
        steps = words or await set_up_commercetools(self.configured, self._client(), self.clock, None, "cli:test")
        return words or ("" if {action for _, action in steps} == {"none"} else f"setup still wants {steps}")

    async def _asked(self) -> str:
        """What a first day and a doctor only read."""
        cin7 = self._back_office_client()
        ct = Commercetools(HttpPort(self._client(), self.clock, None), None, self.configured.commercetools)
        asks: dict[str, Callable[[], Awaitable[Any]]] = {
            "me": partial(cin7.me, lane="repair"), "locations": partial(cin7.locations, lane="repair"),
            "tax rules": partial(cin7.tax_rules, lane="repair"), "a probe": partial(cin7.probe, lane="repair"),
            "carriers": partial(cin7.carriers, lane="repair"),
            "customers": partial(cin7.customers, "Web", lane="repair"),
            "open orders": partial(ct.orders_open, None, lane="repair"), "a survey": partial(survey.look, ct),
        }  # fmt: skip
        found = [await self._again(name, ask) for name, ask in asks.items()]
        return "; ".join(words for words in found if words)

    # --- its course --------------------------------------------------------------------------------------------------

    async def course(self, checkers: Checkers) -> None:
        """From an empty storefront until everything has come to rest, and what is broken then."""
        if not await self.boot():
            checkers.say("convergence", "the numbers were never right before the story")
        self.phase = "trading"
        self.watch.begin()
        desk = asyncio.create_task(self._people())
        for words in await self.story():
            checkers.say("story", words)
        self.phase = "converging"
        rest = Rest(self.watch, SETTLED_SECONDS)
        at_rest = await self.until(rest.reached, REST_SECONDS_MAX)
        desk.cancel()
        await checkers.finish(declared_for(self.plan, self.all_outages()), at_rest, rest.what)

    async def _people(self) -> None:
        """Somebody tries every case again, now and then."""
        while True:
            await asyncio.sleep(OPERATOR_SECONDS)
            self._operate()


async def _nobody_listens(url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    return 200, b""


async def _no_number() -> int:
    raise NotImplementedError


def tell(url: str, strike: Strike, *, plan_: Plan | None = None, prepare: Callable[[Stage], None] = lambda s: None,
         ) -> tuple[Stage, list[Broken]]:  # fmt: skip
    """Play the story on an empty database; the stage as it was at the end, closed, and what is broken."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(EMPTY)
    stage = Stage(plan_ or plan(), url, strike)
    stage.load()
    prepare(stage)
    checkers = Checkers(stage)
    with listening() as complaints, _patient(stage.plan.patience), _forgiving():
        try:
            stage.loop.run_until_complete(stage.course(checkers))
            for words in complaints.found:
                checkers.say("unforeseen", words)
        finally:
            stage.close()
    return stage, checkers.broken


@contextmanager
def _forgiving() -> Iterator[None]:
    """However many refusals strike at once, a budget keeps half its rate: a story must not take an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budgets, "SHRINK_MIN", 0.5)
        yield
