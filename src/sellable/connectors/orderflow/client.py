"""OrderFlow as warehouse: orders in, stock, despatches and returns out. One rule: one method, the calls its docstring
names, no second try.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from sellable.config import settings as config
from sellable.connectors.kit import answers as kit
from sellable.connectors.orderflow import answers, orders, translate, wire
from sellable.connectors.orderflow.translate import Sites
from sellable.connectors.orderflow.wire import TITLE, Entity, Garbled, Node
from sellable.connectors.port import (
    Despatches,
    Imported,
    InventoryPage,
    LimitReached,
    Misconfigured,
    Refused,
    ReturnAdvice,
    Returns,
    Sale,
    SaleDraft,
    Unavailable,
    VendorError,
)
from sellable.runtime.budgets import Budgets
from sellable.runtime.http import Answer, HttpPort

T = TypeVar("T")
P = ParamSpec("P")

CREDENTIAL = "orderflow"
TIMEOUT_SECONDS = 60.0
APART_BYTES = 512 * 1024
"""Larger answers are read in a thread, so that whoever sends a webhook meanwhile is not kept waiting."""
NAMED_MAX = 2000
"""Characters of SKUs in an address; where more are asked for, all are read."""

ORDERS, WAREHOUSE = "remoteorder/imports/importitems.xml", "remotewarehouse/imports/importitems.xml"
DETAIL, CANCEL = "remoteorder/order/detail.xml", "remoteorder/order/cancel.xml"
INVENTORY, DESPATCHES = "remotewarehouse/inventory.xml", "remoteorder/shipment/despatches.xml"
REPORT = "remote/report.xml"

_NOTHING_DONE = re.compile(r"no cancel operation|no_operation", re.I)
_TROUBLE = re.compile(r"\b(?:can ?not|can't|could not|unable|not|fail\w*|error|refused)\b", re.I)
_DONE = re.compile(r"cancel|success", re.I)


class OrderFlow:
    """One channel of a tenant. Raises the families of connectors.port, and NotSent and OutcomeLost of runtime.http."""

    def __init__(self, http: HttpPort, budgets: Budgets | None, settings: config.OrderFlow, sites: Sites) -> None:
        """`budgets` hears of breached limits. Raises ForbiddenUrl for a base address that may not be called."""
        http.allow(settings.base_url, insecure=settings.insecure)
        self._http = http
        self._budgets = budgets
        self._settings = settings
        self._sites = sites
        self._base = settings.base_url.rstrip("/") + "/"
        self._zone = ZoneInfo(settings.time_zone)

    @property
    def import_batch(self) -> int:
        """How many documents one import may carry."""
        return self._settings.import_batch

    # Orders ----------------------------------------------------------------------------------------------------------

    async def import_orders(self, drafts: Sequence[SaleDraft], *, lane: str) -> list[Imported]:
        """One call, none without drafts. Raises ValueError for more than `import_batch`, or a reference twice."""
        entities = [orders.order(each, self._remote(each.location), self._settings, self._zone) for each in drafts]
        return await self._import(ORDERS, entities, drafts, lane)

    async def order_detail(self, ref: str, *, lane: str) -> Sale | None:
        """One call. None where the answer says that there is no such order; a wrong path is Misconfigured."""
        params = {"channel": self._settings.channel, "externalReference": ref}
        try:
            root = await self._call("GET", DETAIL, lane=lane, params=params)
        except VendorError as error:
            if answers.denies(error, ref):
                return None
            raise
        if root.tag == "message" and answers.says_absent(root.words()):
            return None
        return await _read(0, translate.order, root, ref=ref, sites=self._sites, states=self._settings.states)

    async def cancel_order(self, ref: str, *, free_reference: bool, lane: str) -> bool:
        """One call. A sentence that says neither is Unavailable: only the order's detail tells what became of it."""
        params = {"externalReference": ref, "cancelChangesExternalReference": "true" if free_reference else "false"}
        root = await self._call("POST", CANCEL, lane=lane, params=params)
        said = root.words()
        if _NOTHING_DONE.search(said):
            return False
        if root.tag in ("message", "response", "result") and _DONE.search(said) and not _TROUBLE.search(said):
            return True
        raise Unavailable(f"{TITLE} answered a cancellation with: {said[:300]}", code="garbled")

    # Stock, despatches and returns -----------------------------------------------------------------------------------

    async def inventory(self, skus: Sequence[str] | None, *, site: str | None, lane: str) -> InventoryPage:
        """One call, none for no SKUs. SKUs that cannot be named in an address are picked out of all there are."""
        if skus is not None and not skus:
            return InventoryPage(rows=(), received=0)
        params = {"channel": self._settings.channel}
        if site is not None:
            params["site"] = self._remote(site)
        named = ",".join(skus or ())
        if skus and len(named) <= NAMED_MAX and not any("," in sku or sku != sku.strip() for sku in skus):
            params["externalReferences"] = named
        root, size = await self._answer("GET", INVENTORY, lane=lane, params=params)
        return await _read(size, translate.inventory, root, sites=self._sites, asked=skus, location=site)

    async def despatches(self, since: datetime, until: datetime, *, lane: str) -> Despatches:
        """One call."""
        start, end = translate.window(since, until, self._zone)
        params = {"channel": self._settings.channel, "from": start, "to": end, "includeOrderLines": "true"}
        root, size = await self._answer("GET", DESPATCHES, lane=lane, params=params)
        return await _read(size, translate.despatches, root, since=since, until=until, zone=self._zone)

    async def returns(self, since: datetime, until: datetime, *, lane: str) -> Returns:
        """One call: the tenant's report. Misconfigured where the settings name none."""
        if not self._settings.return_report:
            raise Misconfigured("no report of returns is named", code="return_report")
        start, end = translate.window(since, until, self._zone)
        params = {"reportKey": self._settings.return_report, "startDate": start, "endDate": end}
        root, size = await self._answer("GET", REPORT, lane=lane, params=params)
        return await _read(size, translate.returns, root, since=since, until=until, zone=self._zone)

    async def import_returns(self, drafts: Sequence[ReturnAdvice], *, lane: str) -> list[Imported]:
        """One call, none without drafts. Raises ValueError as `import_orders`."""
        entities = [
            orders.returned(each, self._remote(each.location) if each.location else None, self._zone) for each in drafts
        ]
        return await self._import(WAREHOUSE, entities, drafts, lane)

    # Calls -----------------------------------------------------------------------------------------------------------

    def _remote(self, location: str) -> str:
        try:
            return self._sites.remote(location)
        except KeyError:
            raise Misconfigured(f"{location} is no location of {TITLE}", code="location") from None

    async def _import(
        self, path: str, entities: Sequence[Entity], drafts: Sequence[SaleDraft] | Sequence[ReturnAdvice], lane: str
    ) -> list[Imported]:
        refs = [entity.ref for entity in entities]
        if len(set(refs)) < len(refs) or len(refs) > self.import_batch:
            raise ValueError(f"{len(refs)} documents of {len(set(refs))} references, at most {self.import_batch}")
        if not entities:
            return []
        words = {word for draft in drafts for word in orders.personal(draft)}
        try:
            root = await self._call("POST", path, lane=lane, content=wire.imports(entities))
            found = translate.imported(root, refs, type_=entities[0].type)
        except VendorError as error:
            raise error.without(words) from None
        except Garbled as error:
            raise answers.of_shape(error, write=True).without(words) from None
        return [_impersonal(each, words) for each in found]

    async def _call(
        self, method: str, path: str, *, lane: str, params: dict[str, str] | None = None, content: bytes | None = None
    ) -> Node:
        return (await self._answer(method, path, lane=lane, params=params, content=content))[0]

    async def _answer(
        self, method: str, path: str, *, lane: str, params: dict[str, str] | None = None, content: bytes | None = None
    ) -> tuple[Node, int]:
        """The document of one call, and its size in bytes."""
        scope = {"channel": self._settings.channel, "organisation": self._settings.organisation}
        in_query = self._settings.scope == "query"
        answer = await self._http.call(
            method,
            self._base + path,
            lane=lane,
            credential=CREDENTIAL,
            headers={
                **self._credentials(),
                **({} if in_query else scope),
                **({} if content is None else {"content-type": "application/xml; charset=UTF-8"}),
                "accept": "application/xml",
            },
            params=(scope if in_query else {}) | (params or {}),
            content=content,
            timeout_seconds=TIMEOUT_SECONDS,
            operation=f"{method} {path}",
        )
        try:
            root = await _apart(len(answer.body), answers.document, answer, write=method != "GET")
        except VendorError as error:
            await self._heed(error, answer)
            raise
        return root, len(answer.body)

    async def _heed(self, error: VendorError, answer: Answer) -> None:
        """Everybody stays away for a while where the vendor says so, or is not there."""
        if self._budgets is None:
            return
        if isinstance(error, LimitReached):
            await self._budgets.breach(CREDENTIAL, answers.pause(answer))
        elif answer.status == 503:
            await self._budgets.unavailable(CREDENTIAL, kit.asked(answer.headers, answer.date))

    def _credentials(self) -> dict[str, str]:
        """HTTP Basic, or headers of their own (API guide, chapter 5)."""
        user, password = self._settings.user, self._settings.password
        if self._settings.auth == "headers":
            return {"user": user, "password": base64.b64encode(password.encode()).decode()}
        return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _impersonal(imported: Imported, words: set[str]) -> Imported:
    """The same without what tells of a person: vendors repeat what they refuse."""
    told = Refused(imported.message, detail={"detail": imported.detail}).without(words)
    return msgspec.structs.replace(imported, message=str(told), detail=told.detail["detail"])


async def _read(size: int, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What is made of a read's document of `size` bytes, or what a document of another shape is."""
    try:
        return await _apart(size, make, *args, **kwargs)
    except Garbled as error:
        raise answers.of_shape(error, write=False) from error


async def _apart(size: int, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return make(*args, **kwargs) if size < APART_BYTES else await asyncio.to_thread(make, *args, **kwargs)
