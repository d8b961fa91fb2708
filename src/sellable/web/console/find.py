"""Search: what is meant by one word, whatever it is the name of. One exact hit opens its page at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import RedirectResponse, Response

from sellable.domain.stock import normal_sku
from sellable.runtime.database import ReadTx
from sellable.runtime.queries import queries
from sellable.web.console.doors import Page, Visit
from sellable.web.console.render import order_path, page, sku_path, subject_path
from sellable.web.console.stock import clean, like

sql = queries("sellable.web.console")

HITS, LENGTH_MAX = 20, 200


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Something of that name; `exact` when it is that and no other."""

    kind: str
    name: str
    href: str
    words: str = ""
    at: datetime | None = None
    exact: bool = True


async def show(visit: Visit) -> Response:
    """The page of the one thing meant, or a list of what may be."""
    asked = clean(visit.request.query_params.get("q", "")).strip()[:LENGTH_MAX]
    hits = await visit.console.store.read(hits_of, asked) if asked else []
    places = {hit.href for hit in hits if hit.exact and hit.href}
    if len(places) == 1:
        return RedirectResponse(places.pop(), status_code=303)
    return page(visit, "find.html", headline=headline(asked, hits), asked=asked, hits=hits)


PAGES = [Page(path="/search", answer=show, role="viewer")]


def headline(asked: str, hits: list[Hit]) -> str:
    """How many there are."""
    if not asked:
        return "What are you looking for?"
    return (
        f"{len(hits)} thing{'s' if len(hits) != 1 else ''} named “{asked}”" if hits else f"Nothing is named “{asked}”"
    )


def hits_of(tx: ReadTx, asked: str) -> list[Hit]:
    """Everything that is exactly this; failing that, SKUs that are nearly."""
    found = [Hit(kind="SKU", name=r.sku, href=sku_path(r.sku)) for r in tx.all(sql.find_sku, asked=asked)]
    orders = [
        *tx.all(sql.find_orders, asked=asked, limit=HITS),
        *tx.all(sql.find_orders_of_sale, asked=asked, limit=HITS),
        *tx.all(sql.find_parcels, asked=asked, limit=HITS),
    ]
    found += [
        Hit(kind="order", name=label, href=order_path(order_id), words=stage, at=at)
        for order_id, label, stage, at in dict.fromkeys(tuple(row) for row in orders)
    ]
    found += [
        Hit(kind="case", name=r.ref, href=f"/exceptions/{r.ref}", words=f"{r.title}, {r.state}")
        for r in tx.all(sql.find_cases, asked=asked.upper())
    ]
    found += _correlated(tx, asked)
    return found or _called(tx, asked)


def _called(tx: ReadTx, asked: str) -> list[Hit]:
    """SKUs that begin with it, or whose name holds it: looked for only when nothing is exactly that."""
    begins = like(normal_sku(asked)).removeprefix("%")
    rows = tx.all(sql.find_skus, begins=begins, like=like(asked), limit=HITS)
    return [Hit(kind="SKU", name=r.sku, href=sku_path(r.sku), words=r.name, exact=False) for r in rows]


def _correlated(tx: ReadTx, asked: str) -> list[Hit]:
    """What was done under a correlation id or as an operation; each leads to the order or SKU it was done for."""
    operations = tx.all(sql.find_operations, asked=asked, limit=HITS)
    correlations = [r.correlation for r in operations if r.correlation]
    orders = {r.order_id: r.label for c in correlations for r in tx.all(sql.find_orders, asked=c, limit=1)}
    hits = [
        Hit(
            kind="operation", name=r.id, words=f"{r.kind} at {r.system}, {r.state}", at=r.created_at,
            href=sku_path(r.sku) if r.sku else order_path(r.correlation) if r.correlation in orders else "",
        )
        for r in operations
    ]  # fmt: skip
    records = tx.all(sql.find_records, asked=asked, limit=HITS)
    hits += [
        Hit(kind="record", name=r.action, words=f"{r.actor}: {r.subject}", at=r.at, href=subject_path(r.subject))
        for r in records
        if not r.subject.startswith("operation:")
    ]
    calls = tx.all(sql.find_calls, asked=asked, limit=HITS)
    return hits + [
        Hit(
            kind="call",
            name=f"{r.operation} at {r.system}",
            words=f"answered {r.status or 'nothing'}",
            at=r.at,
            href="",
        )
        for r in calls
    ]
