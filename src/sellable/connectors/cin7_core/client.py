"""Cin7 Core as stock master and order target. One rule: one method, the calls its docstring names, no second try.

Order writes are spent from one key and everything else from the other, so that a sweep never delays an order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from msgspec import Raw

from sellable.config import settings as config
from sellable.connectors.cin7_core import answers, orders, translate, wire
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.cin7_core.wire import TITLE, Garbled, guid
from sellable.connectors.kit import answers as kit
from sellable.connectors.kit.decode import document, written
from sellable.connectors.port import (
    EVERY_SKU,
    CatalogueItem,
    CataloguePage,
    LimitReached,
    Misconfigured,
    Refused,
    Sale,
    SaleDraft,
    SalePage,
    SaleRow,
    StockPage,
    TaxRule,
    Unavailable,
)
from sellable.runtime.budgets import Budgets
from sellable.runtime.http import Answer, HttpPort

T = TypeVar("T")
P = ParamSpec("P")

ORDERS, READS = "cin7:orders", "cin7:reads"
PAGE = 1000
PAGES_MAX = 20
"""Pages a walk inside one method may take before it gives up as incomplete."""

TRANSFER_DETAILS_MAX = 10
TIMEOUT_SECONDS = 60.0


class Cin7Core:
    """One account. Raises the families of connectors.port, and NotSent and OutcomeLost of runtime.http."""

    def __init__(self, http: HttpPort, budgets: Budgets | None, settings: config.Cin7Core, places: Places) -> None:
        """`budgets` hears of breached limits. Raises ForbiddenUrl for a base address that may not be called."""
        http.allow(settings.base_url, insecure=settings.insecure)
        self._http = http
        self._budgets = budgets
        self._settings = settings
        self._places = places
        self._base = settings.base_url.rstrip("/") + "/"
        self._locations: dict[str, str] = {}

    # Stock -----------------------------------------------------------------------------------------------------------

    async def stock_page(self, location: str | None, page: int, *, lane: str) -> StockPage:
        """One call: a page of availability of everything, or of one of our locations."""
        params = {"Page": page, "Limit": PAGE} | ({"Location": self._remote(location)} if location else {})
        return await self._stock(params, page, lane, location=location)

    async def stock_of(self, sku: str, *, lane: str) -> StockPage:
        """All rows of exactly this SKU. The vendor's filter matches prefixes, so neighbours are paged through too."""
        pages: list[StockPage] = []
        for number in range(1, PAGES_MAX + 1):
            page = await self._stock({"Sku": sku, "Page": number, "Limit": PAGE}, number, lane, sku=sku)
            pages.append(page)
            if not page.received or sum(each.received for each in pages) >= page.total:
                break
        return translate.joined(pages)

    async def stock_like(self, beginning: str, *, lane: str) -> StockPage:
        """One call: rows of SKUs that begin so (observed; the documents say exactly so), up to a page of them."""
        return await self._stock({"Sku": beginning, "Page": 1, "Limit": PAGE}, 1, lane)

    async def _stock(
        self, params: dict[str, Any], page: int, lane: str, *, sku: str | None = None, location: str | None = None
    ) -> StockPage:
        answer = await self._read("ref/productavailability", params, lane)
        rows, total = _understood(_paged, answer.body, "ProductAvailabilityList")
        # The company's calendar may be a day off; for us a batch expires by UTC.
        today = answer.answered_at.date()
        return translate.stock_page(
            rows, total=total, page=page, places=self._places, today=today, sku=sku, location=location
        )

    async def transfers_touched(self, since: str, *, lane: str) -> tuple[frozenset[str], str]:
        """Walks the transfer list (a call a page), then one call for each changed transfer; EVERY_SKU above ten."""
        rows, now = await self._walked("stockTransferList", "StockTransferList", wire.TransferRow, lane)
        changed, mark = _understood(translate.transfers_changed, rows, since, now)
        if len(changed) > TRANSFER_DETAILS_MAX:
            return frozenset({EVERY_SKU}), mark
        skus: set[str] = set()
        for task in changed:
            answer = await self._read("stockTransfer", {"TaskID": task}, lane)
            transfer = document(answer.body, wire.Transfer, vendor=TITLE)
            if guid(transfer.task_id) != task:
                raise Unavailable(f"asked for transfer {task}, got {transfer.task_id}", code="garbled")
            found = {line.sku for line in transfer.lines or () if line.sku}
            skus |= found or {EVERY_SKU}
        return frozenset(skus), mark

    async def catalogue_page(self, page: int, *, since: str | None, lane: str) -> CataloguePage:
        """One call: a page of products with their bills of material, deprecated ones included."""
        params: dict[str, Any] = {"Page": page, "Limit": PAGE, "IncludeBOM": "true", "IncludeDeprecated": "true"}
        if since:
            params["ModifiedSince"] = since
        answer = await self._read("product", params, lane)
        rows, total = _understood(_paged, answer.body, "Products")
        items: tuple[CatalogueItem, ...] = tuple(translate.catalogue_item(raw) for raw in rows)
        return CataloguePage(items=items, received=len(rows), total=total, page=page)

    # Sales -----------------------------------------------------------------------------------------------------------

    async def create_draft(self, draft: SaleDraft, *, lane: str) -> str:
        """One call: POST sale. It allocates nothing."""
        body = orders.header(draft, self._remote(draft.location))
        answer = await self._post("sale", body, lane)
        sale_id = guid(written(answer.body, wire.Header, vendor=TITLE).id)
        if not sale_id:
            raise Unavailable("Cin7 Core made a sale and did not say which", code="garbled")
        return sale_id

    async def put_lines(self, sale_id: str, draft: SaleDraft, *, authorise: bool, lane: str) -> Sale:
        """One call: POST sale/order. Only an answer that shows the lines of this sale counts as done."""
        answer = await self._post("sale/order", orders.order(sale_id, draft, authorise=authorise), lane)
        order = written(answer.body, wire.OrderDocument, vendor=TITLE)
        if guid(order.sale_id) != guid(sale_id) or (draft.lines and not order.lines):
            raise Unavailable("Cin7 Core's answer does not show the order's lines", code="garbled")
        try:
            return translate.ordered(order, draft)
        except (ValueError, ArithmeticError) as error:
            raise Unavailable(f"{TITLE}'s answer is not understood: {error}", code="garbled") from error

    async def put_header(self, sale_id: str, draft: SaleDraft, *, lane: str) -> None:
        """One call: PUT sale with its whole writable header, as the vendor wants it (observed)."""
        body = {"ID": sale_id, **orders.header(draft, self._remote(draft.location))}
        await self._call("PUT", "sale", lane=lane, credential=ORDERS, body=body)

    async def find_by_ref(self, ref: str, *, lane: str) -> list[SaleRow]:
        """One call: saleList by ExternalID, compared exactly. Voided sales are among the rows, marked so.

        Misconfigured when the filter was evidently not applied: absence among strangers' sales proves nothing.
        """
        answer = await self._read("saleList", {"ExternalID": ref, "Page": 1, "Limit": PAGE}, lane)
        rows, total = _understood(_paged, answer.body, "SaleList")
        found = [row for row in self._sale_rows(_understood(_all, rows, wire.SaleListRow)) if row.ref == ref]
        if not found and len(rows) < total:
            raise Misconfigured(f"saleList ignored the filter ExternalID={ref}", code="filter_ignored")
        return found

    async def search_sales(self, text: str, *, lane: str) -> list[SaleRow]:
        """A call a page: saleList by Search, which looks into number, status, customer and references (blueprint).

        The locations are read besides when a row names one by an id that was not seen before.
        """
        rows = await self._walk("saleList", "SaleList", wire.SaleListRow, lane, {"Search": text})
        await self._learn_locations(rows, lane)
        return list(self._sale_rows(rows))

    async def read_sale(self, sale_id: str, *, lane: str) -> Sale:
        """One call: GET sale."""
        answer = await self._read("sale", {"ID": sale_id, "CountryFormat": "Code2"}, lane)
        found = document(answer.body, wire.SaleDocument, vendor=TITLE)
        if guid(found.id) != guid(sale_id):
            raise Refused(f"asked for sale {sale_id}, got {found.id}", code="not_found")
        return _understood(translate.sale, found, self._places)

    async def void_sale(self, sale_id: str, *, undo: bool, lane: str) -> None:
        """One call: DELETE sale. Refused(code=too_late) when Cin7 will not: goods have shipped, or the books closed."""
        params = {"ID": sale_id, "Void": "false" if undo else "true"}
        try:
            await self._call("DELETE", "sale", lane=lane, credential=ORDERS, params=params)
        except Refused as refusal:
            if refusal.code == "not_found":
                raise
            raise Refused(str(refusal), code="too_late", detail=refusal.detail) from refusal

    async def sales_page(self, page: int, *, updated_since: str, lane: str) -> SalePage:
        """One call: a page of saleList. `updated_since` is UTC; local time would miss or repeat changes.

        The locations are read besides, a call a page, when a row names one by an id that was not seen before.
        """
        params = {"UpdatedSince": updated_since, "Page": page, "Limit": PAGE}
        answer = await self._read("saleList", params, lane)
        raw, total = _understood(_paged, answer.body, "SaleList")
        rows = _understood(_all, raw, wire.SaleListRow)
        await self._learn_locations(rows, lane)
        return SalePage(rows=self._sale_rows(rows), received=len(raw), total=total, page=page, body=answer.body)

    async def _learn_locations(self, rows: Sequence[wire.SaleListRow], lane: str) -> None:
        """Has the ids of locations that are new looked up; one that is in no list is not asked for again."""
        named = {guid(row.order_location_id) for row in rows}
        strange = {each for each in named - self._locations.keys() if each.strip("0-")}
        if strange:
            found = await self._walk("ref/location", "LocationList", wire.LocationRow, lane)
            self._locations |= dict.fromkeys(strange, "") | translate.location_names(found, self._places)

    def _sale_rows(self, rows: Iterable[wire.SaleListRow]) -> tuple[SaleRow, ...]:
        return tuple(translate.sale_row(row, self._locations) for row in rows)

    # Reference data and webhooks -------------------------------------------------------------------------------------

    async def me(self, *, lane: str) -> wire.Me:
        """One call: the company's settings, and the probe of the credentials."""
        answer = await self._read("me", {}, lane)
        return document(answer.body, wire.Me, vendor=TITLE)

    async def probe(self, *, lane: str) -> tuple[wire.Me, Answer]:
        """One call: what `me` answers with its whole answer, for the vendor's clock and its word on the limit."""
        answer = await self._read("me", {}, lane)
        return document(answer.body, wire.Me, vendor=TITLE), answer

    async def carriers(self, *, lane: str) -> list[wire.CarrierRow]:
        """A call a page: carriers that sales may name."""
        return await self._walk("ref/carrier", "CarrierList", wire.CarrierRow, lane)

    async def customers(self, name: str, *, lane: str) -> list[wire.CustomerRow]:
        """A call a page: cards of customers whose name begins so (the filter matches prefixes; observed)."""
        return await self._walk("customer", "CustomerList", wire.CustomerRow, lane, {"Name": name})

    async def locations(self, *, lane: str) -> list[wire.LocationRow]:
        """A call a page: locations with their bins (which come again as rows with a parent, left out here)."""
        rows = await self._walk("ref/location", "LocationList", wire.LocationRow, lane)
        return [row for row in rows if not guid(row.parent_id).strip("0-")]

    async def tax_rules(self, *, lane: str) -> list[TaxRule]:
        """A call a page: the tax rules sales may name."""
        rows = await self._walk("ref/tax", "TaxRuleList", wire.TaxRuleRow, lane)
        return [_understood(translate.tax_rule, row) for row in rows]

    async def webhooks(self, *, lane: str) -> list[wire.WebhookRow]:
        """One call: what is registered, without the secrets Cin7 gives back in clear."""
        answer = await self._read("webhooks", {}, lane)
        rows, _ = _understood(wire.envelope, answer.body, "Webhooks")
        return _understood(_all, rows, wire.WebhookRow)

    async def put_webhook(self, body: dict[str, Any], *, lane: str) -> None:
        """One call: registers a webhook, or changes the one with the body's ID."""
        await self._call("PUT" if "ID" in body else "POST", "webhooks", lane=lane, credential=READS, body=body)

    async def delete_webhook(self, webhook_id: str, *, lane: str) -> None:
        """One call."""
        await self._call("DELETE", "webhooks", lane=lane, credential=READS, params={"ID": webhook_id})

    # Calls -----------------------------------------------------------------------------------------------------------

    def _remote(self, location: str) -> str:
        try:
            return self._places.remote(location)
        except KeyError:
            raise Misconfigured(f"{location} is no location of Cin7 Core", code="location") from None

    async def _walk(
        self, path: str, key: str, type_: type[T], lane: str, params: dict[str, Any] | None = None
    ) -> list[T]:
        """Every row of a list. Raises Unavailable when it changed its length meanwhile or does not end."""
        return (await self._walked(path, key, type_, lane, params))[0]

    async def _walked(
        self, path: str, key: str, type_: type[T], lane: str, params: dict[str, Any] | None = None
    ) -> tuple[list[T], datetime]:
        """`_walk` with the instant of its last answer."""
        found: list[T] = []
        first: int | None = None
        for page in range(1, PAGES_MAX + 1):
            answer = await self._read(path, {**(params or {}), "Page": page, "Limit": PAGE}, lane)
            rows, total = _understood(_paged, answer.body, key)
            found += _understood(_all, rows, type_)
            first = total if first is None else first
            if total != first:
                break
            if len(found) >= total:
                return found, answer.answered_at
            if not rows:
                break
        raise Unavailable(f"{path} changed while it was read: {len(found)} of {first} rows", code="torn")

    async def _read(self, path: str, params: dict[str, Any], lane: str) -> Answer:
        return await self._call("GET", path, lane=lane, credential=READS, params=params)

    async def _post(self, path: str, body: dict[str, Any], lane: str) -> Answer:
        return await self._call("POST", path, lane=lane, credential=ORDERS, body=body)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        lane: str,
        credential: str,
        params: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> Answer:
        if not self._settings.read_key:
            credential = ORDERS
        answer = await self._http.call(
            method,
            self._base + path,
            lane=lane,
            credential=credential,
            headers={
                "api-auth-accountid": self._settings.account_id,
                "api-auth-applicationkey": self._settings.key if credential == ORDERS else self._settings.read_key,
                "content-type": "application/json",
            },
            params={name: str(value) for name, value in (params or {}).items()},
            content=None if body is None else wire.encode(body),
            timeout_seconds=TIMEOUT_SECONDS,
            operation=f"{method} {path}",
        )
        error = answers.verdict(answer, write=method != "GET")
        if error is None:
            return answer
        if self._budgets is not None and isinstance(error, LimitReached):
            await self._budgets.breach(credential, answers.pause(answer))
        elif self._budgets is not None and answer.status == 503:
            await self._budgets.unavailable(credential, kit.asked(answer.headers, answer.date))
        raise error.without(orders.personal(body or {}))


def _paged(body: bytes, key: str) -> tuple[list[Raw], int]:
    rows, total = wire.envelope(body, key)
    if total is None:
        raise Garbled(f"{key} without a Total: nothing would tell whether it is complete")
    return rows, total


def _all(rows: list[Raw], type_: type[T]) -> list[T]:
    return [wire.decode(raw, type_) for raw in rows]


def _understood(make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """A read's document, or Refused(unreadable): reading it again would not help, a person has to look."""
    try:
        return make(*args, **kwargs)
    except (ValueError, ArithmeticError) as error:
        raise Refused(f"Cin7 Core's document is not understood: {error}", code="unreadable") from error
