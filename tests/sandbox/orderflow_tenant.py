"""A small tenant and a caller for the OrderFlow simulator's tests. Rule: time moves only when a test says so."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any
from xml.etree import ElementTree

import httpx2

from sellable.sandbox.clock import Clock
from sellable.sandbox.control import Sandbox
from sellable.sandbox.orderflow import build

START = 1_763_700_000.0  # 2025-11-21 04:40:00 UTC
BASIC = {"authorization": "Basic " + base64.b64encode(b"shop:open sesame").decode()}
SEED: dict[str, Any] = {
    "base": "/orderflow/test",
    "users": [
        {"user": "shop", "password": "open sesame"},
        {"user": "toys-only", "password": "teddy", "channels": ["TOYS"]},
    ],
    "sites": ["LEEDS", "DERBY"],
    "channels": [
        {"reference": "HOME", "organisation": "CRUNCHY", "site": "LEEDS"},
        {"reference": "TOYS", "organisation": "PLAYFUL", "site": "LEEDS"},
    ],
    "products": [
        {"reference": "CHAIR", "organisation": "CRUNCHY"},
        {"reference": "TABLE", "organisation": "CRUNCHY"},
        {"reference": "LAMP", "organisation": "CRUNCHY"},
        {"reference": "RETIRED", "organisation": "CRUNCHY", "active": False},
        {"reference": "DINING-SET", "organisation": "CRUNCHY", "type": "bundle"},
        {"reference": "GIFT-CARD", "organisation": "CRUNCHY", "type": "virtual"},
        {"reference": "TEDDY", "organisation": "PLAYFUL"},
    ],
    "stock": [
        {"sku": "CHAIR", "site": "LEEDS", "quantity": 10},
        {"sku": "CHAIR", "site": "LEEDS", "quantity": 2, "kind": "frozen"},
        {"sku": "CHAIR", "site": "DERBY", "quantity": 5},
        {"sku": "TABLE", "site": "LEEDS", "quantity": 3},
        {"sku": "TEDDY", "organisation": "PLAYFUL", "site": "LEEDS", "quantity": 4},
    ],
}
ADDRESS = ["deliveryContactName=Ann Ähnlich", "deliveryAddressLine1=1 High St", "deliveryCountryCode=GB"]


def order_text(lines: dict[str, int], *more: str) -> str:
    """The text of an order import with its address and lines."""
    rows = [
        f"orderLine.{n}.{name}={value}"
        for n, (sku, units) in enumerate(lines.items(), 1)
        for name, value in (("product.externalReference", sku), ("quantity", units))
    ]
    return "\n".join(["", *ADDRESS, *more, *rows, ""])


def imports(*items: tuple[str, str, str, str], cdata: bool = False) -> bytes:
    """A document of (type, operation, reference, text) items."""
    root = ElementTree.Element("imports")
    for kind, operation, reference, text in items:
        said = {"type": kind, "operation": operation, "externalReference": reference}
        ElementTree.SubElement(root, "import", said).text = "CDATA" if cdata else text
    written = ElementTree.tostring(root, "utf-8", xml_declaration=True)
    for *_, text in items if cdata else ():
        written = written.replace(b">CDATA<", f"><![CDATA[{text}]]><".encode(), 1)
    return written


class Tenant:
    """The simulator, its hand-moved clock and a client with credentials; `inbox` has (url, root) of messages."""

    def __init__(self, **switches: Any) -> None:
        self.real = START
        self.clock = Clock(start=START, origin=START, source=lambda: self.real)
        self.inbox: list[tuple[str, ElementTree.Element]] = []
        self.reply: Callable[[ElementTree.Element], tuple[int, bytes]] = lambda root: (200, b"Success")
        self.sandbox: Sandbox = build(self.clock, 7, post=self._receive)
        self.sandbox.load(SEED | {"switches": {"split": "never"} | switches})
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.sandbox.asgi), base_url="http://of.test", headers=BASIC
        )

    async def _receive(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        root = ElementTree.fromstring(body)
        self.inbox.append((url, root))
        return self.reply(root)

    async def call(self, method: str, path: str, body: bytes | None = None, **query: Any) -> httpx2.Response:
        """One call as channel HOME of organisation CRUNCHY; give either to say otherwise, or None to leave it out."""
        scope = {"channel": "HOME", "organisation": "CRUNCHY"}
        headers = {name: query.pop(name, value) for name, value in scope.items()}
        headers = {name: value for name, value in headers.items() if value is not None}
        if body is not None:
            headers["content-type"] = "application/xml"
        params = query or None  # an empty one would erase what the path has
        return await self.http.request(method, f"/orderflow/test/{path}", params=params, content=body, headers=headers)

    async def xml(self, method: str, path: str, body: bytes | None = None, **query: Any) -> ElementTree.Element:
        answer = await self.call(method, path, body, **query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/xml"), answer.text
        return ElementTree.fromstring(answer.content)

    async def send(self, *items: tuple[str, str, str, str], **query: Any) -> dict[str, list[dict[str, str]]]:
        """Import items; the rows of the answer by list, with their message."""
        place = "remoteorder" if items[0][0] == "order" else "remotewarehouse"
        root = await self.xml("POST", f"{place}/imports/importitems.xml", imports(*items), **query)
        assert root.tag == "importResult"
        rows = {
            each.tag: [dict(one.attrib) | {child.tag: child.text or "" for child in one} for one in each]
            for each in root
        }
        assert list(rows) == ["importSuccesses", "importFailures", "importDuplicates"]
        return rows

    async def order(self, reference: str, lines: dict[str, int], *more: str, **query: Any) -> None:
        """An order that has to be taken."""
        rows = await self.send(("order", "insert", reference, order_text(lines, *more)), **query)
        assert [row["externalReference"] for row in rows["importSuccesses"]] == [reference], rows

    async def refusal(self, *item: str) -> str:
        """The failureMessage of one item."""
        rows = await self.send(item)
        assert len(rows["importFailures"]) == 1, rows
        return rows["importFailures"][0]["failureMessage"]

    async def detail(self, reference: str) -> ElementTree.Element:
        return await self.xml("GET", "remoteorder/order/detail.xml", externalReference=reference)

    async def states(self, reference: str) -> list[Any]:
        """[order state, (shipment reference, state, {sku: (units, state)}), ...] as detail.xml tells it."""
        root = await self.detail(reference)
        return [
            root.get("state"),
            *(
                (
                    shipment.get("externalReference"),
                    shipment.get("state"),
                    {
                        line.get("product"): (int(line.get("quantity", "")), line.get("state"))
                        for line in shipment.iterfind("orderLines/orderLine")
                    },
                )
                for shipment in root.iterfind("shipments/shipment")
            ),
        ]

    async def figures(self, sku: str, site: str = "LEEDS", **query: Any) -> dict[str, str]:
        """The attributes of a SKU in inventory.xml."""
        root = await self.xml("GET", "remotewarehouse/inventory.xml", site=site, externalReferences=sku, **query)
        assert len(root) == 1, sku
        return dict(root[0].attrib)

    async def cancel(self, reference: str, **query: Any) -> str:
        root = await self.xml("POST", "remoteorder/order/cancel.xml", externalReference=reference, **query)
        assert root.tag == "message"
        return root.text or ""

    async def despatched(self, **window: Any) -> list[ElementTree.Element]:
        window = {"from": "2025-11-21 00:00:00", "to": "2025-11-30 00:00:00", "includeOrderLines": "true"} | window
        return list(await self.xml("GET", "remoteorder/shipment/despatches.xml", **window))

    async def act(self, **action: Any) -> Any:
        answer = await self.http.post("/_sandbox/act", json=action)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    async def refused_act(self, **action: Any) -> str:
        answer = await self.http.post("/_sandbox/act", json=action)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error"])

    async def fault(self, effect: str, **more: Any) -> None:
        """Put one fault in force, or none with effect ""."""
        faults = [{"name": effect, "effect": effect} | more] if effect else []
        assert (await self.http.post("/_sandbox/faults", json=faults)).status_code == 200

    async def truth(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get("/_sandbox/truth")).json()
        return found

    def pass_time(self, seconds: float) -> None:
        """In small steps, so that work which follows work happens in its time."""
        end = self.real + seconds
        while self.real < end:
            self.real = min(end, self.real + 10)
            self.sandbox.vendor.world.agenda.run_due()

    async def deliver(self, seconds: float = 1.0) -> None:
        """Time passes and messages that are due arrive."""
        self.pass_time(seconds)
        for _ in range(5):
            await asyncio.sleep(0)

    def got(self, tag: str) -> list[ElementTree.Element]:
        """Messages with that root element, in order of arrival."""
        return [root for _, root in self.inbox if root.tag == tag]

    def journal(self, what: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.journal.since(0, 10**6) if row["what"] == what]


def run(story: Callable[[Tenant], Awaitable[None]], **options: Any) -> Tenant:
    """Play a story with a fresh tenant; no call may have met a defect of the simulator."""

    async def play() -> Tenant:
        tenant = Tenant(**options)
        async with tenant.http:
            await story(tenant)
        await tenant.sandbox.vendor.stop()
        return tenant

    tenant = asyncio.run(play())
    assert tenant.journal("internal_error") == []
    return tenant
