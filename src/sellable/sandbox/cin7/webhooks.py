"""Webhooks: registered, delivered late, given up in silence. Rule: no signature, no id, no order: only a hint."""

import base64
from datetime import UTC, datetime
from typing import Any

from sellable.sandbox.cin7.reference import Product
from sellable.sandbox.cin7.state import Sale, World
from sellable.sandbox.cin7.stock import Level
from sellable.sandbox.cin7.wire import Refused, Request, decode, encode
from sellable.sandbox.outbound import Outbound, Post

STOCK = "Stock/AvailableStockLevelChanged"
TYPES = frozenset(
    [f"Sale/{word}" for word in (
        "Created", "QuoteAuthorised", "OrderAuthorised", "Backordered", "Voided", "Undo", "PickAuthorised",
        "PackAuthorised", "ShipmentAuthorised", "InvoiceAuthorised", "CreditNoteAuthorised",
        "PartialPaymentReceived", "FullPaymentReceived", "ShipmentTrackingNumberChanged", "AttachmentAdded",
        "AdditionalAttributesChanged",
    )]
    + [f"Purchase/{word}" for word in ("OrderAuthorised", "InvoiceAuthorised", "StockReceivedAuthorised", "Updated")]
    + ["Customer/Updated", "Supplier/Updated", "Product/Updated", STOCK]
)  # fmt: skip
ACTIVE_MAX = 5
# The first attempt about a minute after the event, then after 5, 10, 15, 20 and 25 minutes more (blueprint).
DELAYS = (60.0, 300.0, 600.0, 900.0, 1200.0, 1500.0)
FIELDS = (
    *("Type", "IsActive", "ExternalURL", "ExternalAuthorizationType", "ExternalUserName", "ExternalPassword"),
    *("ExternalBearerToken", "ExternalHeaders"),
)


class Webhooks:
    """The registered hooks and their deliveries; the vendor waits 30 simulated seconds for an answer (guess)."""

    def __init__(self, world: World, post: Post | None = None) -> None:
        self._world = world
        self.outbound = Outbound(post, patience=lambda: max(world.clock.limit(30), 2.0))
        self.hooks: dict[str, dict[str, Any]] = {}
        world.on_event.append(self._sale_event)
        world.on_product.append(self._product_event)
        world.stock.listeners.append(self._stock_event)

    def listing(self, request: Request) -> dict[str, Any]:
        """GET /webhooks: secrets come back in clear (blueprint)."""
        return {"Webhooks": list(self.hooks.values())}

    def create(self, request: Request) -> dict[str, Any]:
        """POST /webhooks"""
        hook: dict[str, Any] = {"ID": self._world.book.new_id(), "Name": ""} | dict.fromkeys(FIELDS)
        return self._save(hook, {"IsActive": True, **request.fields()})

    def update(self, request: Request) -> dict[str, Any]:
        """PUT /webhooks needs ID; omitted fields stay."""
        return self._save(dict(self._hook(request.fields().get("ID"))), request.fields())

    def delete(self, request: Request) -> dict[str, Any]:
        """DELETE /webhooks?ID="""
        del self.hooks[self._hook(request.query.get("id"))["ID"]]
        return {"Webhooks": list(self.hooks.values())}

    def _hook(self, hook_id: Any) -> dict[str, Any]:
        found = self.hooks.get(str(hook_id or "").lower())
        if found is None:
            raise Refused(f"Webhook with ID '{hook_id or ''}' was not found.")
        return found

    def _save(self, hook: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        hook |= {name: fields[name] for name in FIELDS if name in fields}
        if hook["Type"] not in TYPES:
            raise Refused(f"Webhook type '{hook['Type']}' is not supported.")
        if not str(hook["ExternalURL"] or "").startswith(("http://", "https://")):
            raise Refused("ExternalURL is required.")
        alike = [
            h for h in self.hooks.values() if h["Type"] == hook["Type"] and h["IsActive"] and h["ID"] != hook["ID"]
        ]
        if hook["IsActive"] and len(alike) >= ACTIVE_MAX:
            raise Refused(f"No more than {ACTIVE_MAX} active webhooks of the same type are allowed.")
        self.hooks[hook["ID"]] = hook
        return {"Webhooks": [hook]}

    def _wanted(self, kind: str) -> list[dict[str, Any]]:
        return [hook for hook in self.hooks.values() if hook["Type"] == kind and hook["IsActive"]]

    def _sale_event(self, kind: str, sale: Sale, facts: dict[str, Any]) -> None:
        for hook in self._wanted(kind):
            self._plan(hook["ID"], encode(payload(kind, sale, facts)), 0)

    def _product_event(self, product: Product) -> None:
        for hook in self._wanted("Product/Updated"):
            record = {"Event": "Update", "ID": product.id.upper(), "SKU": product.sku, "Name": product.name}
            body = {"EventType": "Product/Updated", "NumberOfProducts": 1, "ProductDetailsList": [record]}
            self._plan(hook["ID"], encode(body), 0)

    def _stock_event(self, level: Level) -> None:
        hooks = self._wanted(STOCK)
        if hooks:
            body = encode([_stock_row(decode(row)) for row in self._world.view.of(level.product)])
            for hook in hooks:
                self._plan(hook["ID"], body, 0)

    def _plan(self, hook_id: str, body: bytes, attempt: int) -> None:
        self._world.agenda.after(DELAYS[attempt], lambda: self._launch(hook_id, body, attempt))

    def _launch(self, hook_id: str, body: bytes, attempt: int) -> None:
        hook = self.hooks.get(hook_id)
        if hook is not None and hook["IsActive"]:
            self.outbound.spawn(self._try(hook_id, hook, body, attempt))

    async def _try(self, hook_id: str, hook: dict[str, Any], body: bytes, attempt: int) -> None:
        try:
            status, _ = await self.outbound.post(hook["ExternalURL"], _headers(hook), body)
        except OSError:
            status = 0
        facts = {"hook": hook_id, "type": hook["Type"], "attempt": attempt + 1, "status": status}
        self._world.journal.add("webhook", **facts)
        if 200 <= status < 300:
            return
        if attempt + 1 < len(DELAYS):
            self._plan(hook_id, body, attempt + 1)
        elif hook_id in self.hooks:
            self.hooks[hook_id]["IsActive"] = False
            self._world.journal.add("webhook_inactive", hook=hook_id, type=hook["Type"])

    async def stop(self) -> None:
        """Drop deliveries under way and close the network."""
        await self.outbound.close()


def _headers(hook: dict[str, Any]) -> dict[str, str]:
    headers = {str(row["Key"]): str(row["Value"]) for row in hook["ExternalHeaders"] or []}
    headers["Content-Type"] = "application/json"
    if hook["ExternalAuthorizationType"] == "bearerauth":
        headers["Authorization"] = f"Bearer {hook['ExternalBearerToken']}"
    elif hook["ExternalAuthorizationType"] == "basicauth":
        pair = f"{hook['ExternalUserName']}:{hook['ExternalPassword']}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers


def payload(kind: str, sale: Sale, facts: dict[str, Any]) -> dict[str, Any]:
    """The body of a sale hook. Keys differ by type, ids come in upper case: observed."""
    contact = {
        "CustomerName": sale.customer.name,
        "CustomerContact": sale.header.get("Contact"),
        "CustomerContactEmail": sale.header.get("Email"),
        "CustomerContactPhone": sale.header.get("Phone"),
    }
    named = {"EventType": kind, "SaleID": sale.id.upper(), "SaleOrderNumber": sale.number}
    task = str(facts.get("task", "")).upper()
    bill = facts.get("bill")
    by_task = {
        "EventType": kind,
        "SaleTaskID": task or sale.id.upper(),
        "TenantID": "SANDBOX",
        "OrderNumber": sale.number,
    }
    match kind.removeprefix("Sale/"):
        case "Created":
            dated = str(sale.header.get("SaleOrderDate") or "")[:10]
            signs = {"TaskTypeSign": "S", "IsServiceOnly": False, "DownloadLink": None, "SaleRepEmail": None}
            return named | contact | {"SaleOrderDate": dated} | signs
        case "PickAuthorised" | "PackAuthorised":
            return named | contact | {"TaskID": task}
        case "ShipmentAuthorised":
            return by_task | contact
        case "InvoiceAuthorised":
            return by_task | {"SaleTaskID": bill and bill.task_id.upper(), "InvoiceNumber": bill and bill.number}
        case "CreditNoteAuthorised":
            # The sample's number has a trailing space.
            return named | {
                "CreditNoteNumber": f"{bill.number} " if bill else "",
                "TaskID": bill and bill.task_id.upper(),
            }
        case "ShipmentTrackingNumberChanged":
            parcels = [parcel for one in sale.fulfilments for parcel in one.parcels]
            shipments = [
                {
                    "ShipmentDate": tenant_day(p.shipped_at),
                    "TrackingNumber": p.tracking,
                    "TrackingUrl": "",
                    "Carrier": p.carrier,
                }
                for p in parcels
            ]
            dates = {
                "SaleOrderDate": tenant_day(sale.created),
                "ShipmentDate": parcels and tenant_day(parcels[-1].shipped_at),
            }
            return named | {"TaskID": task, "Shipments": shipments} | dates
        case "PartialPaymentReceived" | "FullPaymentReceived":
            return {
                "EventType": kind,
                "SaleID": sale.id.upper(),
                "DocumentNumber": bill and bill.number,
                "DocumentType": "Invoice",
                "DocumentDate": tenant_day(bill.dated) if bill else None,
                "AmountPercent": facts.get("percent"),
            }
        case "Voided" | "Undo":
            return named | contact
    return named


def tenant_day(unix: float) -> str:
    """dd/MM/yyyy, as this tenant's settings have it."""
    return datetime.fromtimestamp(unix, UTC).strftime("%d/%m/%Y")


def _stock_row(row: dict[str, Any]) -> dict[str, Any]:
    del row["InTransit"], row["NextDeliveryDate"]
    return row | {"Category": None, "MaxRows": 0}
