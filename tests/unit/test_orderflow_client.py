"""The client against a vendor that is a function: which calls, how signed in, and what each kind of answer becomes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import httpx2
import msgspec
import pytest
from scripted_vendor import Reply, ScriptedVendor
from test_orderflow_documents import DRAFT, RETURN
from tests.simulation.sites import senders_of

from sellable.config import settings as config
from sellable.connectors.orderflow import SPEC, OrderFlow, Sites, wire
from sellable.connectors.port import (
    DespatchSource,
    InventorySource,
    LimitReached,
    Misconfigured,
    OrderImport,
    Refused,
    ReturnSource,
    Unavailable,
    VendorError,
)
from sellable.domain.orders import Address
from sellable.runtime.http import ForbiddenUrl, NotSent, OutcomeLost

SETTINGS = config.OrderFlow(
    base_url="http://of.test/web/", user="api", password="pass-word", channel="web-uk", organisation="acme",
    time_zone="Europe/London", insecure=True, import_batch=3,
)  # fmt: skip
SITES = Sites([config.Location(name="leeds", master="orderflow", remote="Leeds DC")])
SINCE, UNTIL = datetime(2026, 7, 2, 8, 0, tzinfo=UTC), datetime(2026, 7, 2, 9, 0, tzinfo=UTC)
Ask = Callable[[OrderFlow], Awaitable[Any]]


class Vendor(ScriptedVendor):
    root = "/web/"

    def __init__(self, *replies: Reply | str) -> None:
        super().__init__(*(xml(reply) if isinstance(reply, str) else reply for reply in replies))

    def run(self, do: Ask, settings: config.OrderFlow = SETTINGS) -> Any:
        return self.meet(lambda http: do(OrderFlow(http, self.tills, settings, SITES)))


def xml(body: str, status: int = 200, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, content=f'<?xml version="1.0" encoding="UTF-8"?>{body}', headers=headers)


def importing(client: OrderFlow) -> Awaitable[Any]:
    return client.import_orders([DRAFT], lane="orders")


def detail(client: OrderFlow) -> Awaitable[Any]:
    return client.order_detail(DRAFT.ref, lane="orders")


def cancelling(client: OrderFlow) -> Awaitable[Any]:
    return client.cancel_order(DRAFT.ref, free_reference=True, lane="orders")


def inventory(client: OrderFlow) -> Awaitable[Any]:
    return client.inventory(["A", "B"], site="leeds", lane="stock")


def despatches(client: OrderFlow) -> Awaitable[Any]:
    return client.despatches(SINCE, UNTIL, lane="reads")


def returns(client: OrderFlow) -> Awaitable[Any]:
    return client.returns(SINCE, UNTIL, lane="reads")


def returning(client: OrderFlow) -> Awaitable[Any]:
    return client.import_returns([RETURN], lane="orders")


DONE = '<importResult><importSuccesses><import type="{}" externalReference="{}"/></importSuccesses></importResult>'
CALLS: dict[str, tuple[Ask, str]] = {
    "import_orders": (importing, DONE.format("order", DRAFT.ref)),
    "order_detail": (detail, f'<order externalReference="{DRAFT.ref}" state="created"/>'),
    "cancel_order": (cancelling, "<message>Order cancelled</message>"),
    "inventory": (inventory, "<inventory/>"),
    "despatches": (despatches, "<shipments/>"),
    "returns": (returns, "<returns/>"),
    "import_returns": (returning, DONE.format("return", RETURN.ref)),
}
"""Every call of the connector, and an answer that is success."""
WRITES = {"import_orders", "import_returns", "cancel_order"}


def test_the_declaration() -> None:
    (budget,) = SPEC.budgets(msgspec.structs.replace(SETTINGS, calls_per_minute=90))
    assert budget.credential == "orderflow"
    assert budget.rate * 60 + budget.burst == pytest.approx(90)
    assert budget.lanes == {"orders": 0.4, "stock": 0.3, "reads": 0.2, "repair": 0.1}
    assert SPEC.evidence == ("allocation_read",)
    assert not SPEC.compare_and_set
    assert SPEC.visibility_lag_seconds(SETTINGS) == SETTINGS.visibility_lag_seconds
    assert SPEC.search_settle_seconds(SETTINGS) == SETTINGS.search_settle_seconds


def test_it_is_what_the_rooms_ask_for() -> None:
    def accepts(a: OrderImport, b: DespatchSource, c: InventorySource, d: ReturnSource) -> None: ...

    async def look(client: OrderFlow) -> None:
        accepts(client, client, client, client)
        ports = (OrderImport, DespatchSource, InventorySource, ReturnSource)
        assert SPEC.capabilities == tuple(port.__name__ for port in ports)
        asked = {name for port in ports for name in vars(port) if not name.startswith("_")}
        assert asked == CALLS.keys()

    Vendor().run(look)


# --- What is sent ----------------------------------------------------------------------------------------------------


def test_every_call_as_it_leaves() -> None:
    channel = {"channel": "web-uk"}
    window = ("2026-07-02 09:00:00", "2026-07-02 10:00:00")
    expected = {
        "import_orders": ("POST remoteorder/imports/importitems.xml", {}),
        "order_detail": ("GET remoteorder/order/detail.xml", channel | {"externalReference": DRAFT.ref}),
        "cancel_order": (
            "POST remoteorder/order/cancel.xml",
            {"externalReference": DRAFT.ref, "cancelChangesExternalReference": "true"},
        ),
        "inventory": (
            "GET remotewarehouse/inventory.xml",
            channel | {"site": "Leeds DC", "externalReferences": "A,B"},
        ),
        "despatches": (
            "GET remoteorder/shipment/despatches.xml",
            channel | {"from": window[0], "to": window[1], "includeOrderLines": "true"},
        ),
        "returns": (
            "GET remote/report.xml",
            {"reportKey": "return_line_api_report", "startDate": window[0], "endDate": window[1]},
        ),
        "import_returns": ("POST remotewarehouse/imports/importitems.xml", {}),
    }
    for name, (ask, success) in CALLS.items():
        vendor = Vendor(success)
        vendor.run(ask)
        assert (vendor.lines, vendor.query()) == ([expected[name][0]], expected[name][1])
        (request,) = vendor.requests
        assert (request.headers["channel"], request.headers["organisation"]) == ("web-uk", "acme")
        assert request.headers["authorization"] == "Basic " + base64.b64encode(b"api:pass-word").decode()
        assert ("content-type" in request.headers) is bool(request.content)
        assert bool(request.content) is (name in ("import_orders", "import_returns"))


def test_signing_in_and_scope_by_other_ways() -> None:
    settings = msgspec.structs.replace(SETTINGS, auth="headers", scope="query", base_url="http://of.test/web")
    vendor = Vendor(CALLS["import_orders"][1])
    vendor.run(importing, settings)
    headers = vendor.requests[0].headers
    assert (headers["user"], headers["password"]) == ("api", base64.b64encode(b"pass-word").decode())
    assert not {"authorization", "channel", "organisation"} & set(headers)
    assert vendor.query() == {"channel": "web-uk", "organisation": "acme"}
    assert headers["content-type"] == "application/xml; charset=UTF-8"


def test_a_word_of_ours_that_is_sent_back_is_hidden() -> None:
    shown = base64.b64encode(b"pass-word").decode()
    settings = msgspec.structs.replace(SETTINGS, auth="headers")
    with pytest.raises(Misconfigured) as error:
        Vendor(httpx2.Response(401, text=f"no {shown} here")).run(detail, settings)
    assert shown not in str(error.value) + str(error.value.detail)


def test_an_import_is_the_document_of_its_drafts() -> None:
    other = msgspec.structs.replace(DRAFT, ref="shop:o-2:1")
    answer = """<importResult><importSuccesses><import externalReference="shop:o-2:1"/></importSuccesses>
      <importDuplicates><import externalReference="shop:o-1:1"/></importDuplicates></importResult>"""
    vendor = Vendor(answer)
    found = vendor.run(lambda c: c.import_orders([DRAFT, other], lane="orders"))
    assert [(each.ref, each.outcome) for each in found] == [("shop:o-1:1", "duplicate"), ("shop:o-2:1", "success")]
    sent = wire.parse(vendor.requests[0].content)
    assert [each.get("externalReference") for each in sent.all("import")] == ["shop:o-1:1", "shop:o-2:1"]
    assert "shipment.site=Leeds DC\n" in sent.all("import")[0].text


def test_nothing_to_import_or_to_ask_for_is_no_call() -> None:
    vendor = Vendor()
    assert vendor.run(lambda c: c.import_orders([], lane="orders")) == []
    assert vendor.run(lambda c: c.import_returns([], lane="orders")) == []
    page = vendor.run(lambda c: c.inventory([], site=None, lane="stock"))
    assert (page.rows, page.absent) == ((), ())
    assert vendor.requests == []


def test_what_is_refused_before_any_call() -> None:
    vendor = Vendor()
    kit = msgspec.structs.replace(DRAFT, lines=(msgspec.structs.replace(DRAFT.lines[0], kit=True),))
    with pytest.raises(Refused, match="is a kit"):
        vendor.run(lambda c: c.import_orders([DRAFT, kit], lane="orders"))
    for several in ([DRAFT, DRAFT], [msgspec.structs.replace(DRAFT, ref=f"r{n}") for n in range(4)]):
        with pytest.raises(ValueError, match="at most 3"):
            vendor.run(lambda c, several=several: c.import_orders(several, lane="orders"))
    elsewhere = msgspec.structs.replace(DRAFT, location="berlin")
    with pytest.raises(Misconfigured, match="berlin is no location"):
        vendor.run(lambda c: c.import_orders([elsewhere], lane="orders"))
    with pytest.raises(Misconfigured, match="no report of returns"):
        vendor.run(returns, msgspec.structs.replace(SETTINGS, return_report=""))
    assert vendor.requests == []


@pytest.mark.parametrize("skus", [["A,B", "C"], [" A"], [f"SKU-{n:05}" for n in range(400)]])
def test_skus_that_cannot_be_named_are_picked_out_of_all(skus: list[str]) -> None:
    counts = 'total="1" allocated="0" available="1" frozen="0"'
    vendor = Vendor(f'<inventory><product externalReference="{skus[0].strip()}" {counts}/></inventory>')
    page = vendor.run(lambda c: c.inventory(skus, site=None, lane="stock"))
    assert "externalReferences" not in vendor.query()
    assert set(page.absent) | {row.sku for row in page.rows} == set(skus)


def test_a_large_inventory_is_read_apart() -> None:
    row = '<product externalReference="SKU-{}" total="2" allocated="0" available="2" frozen="0"/>'
    vendor = Vendor(f"<inventory>{''.join(row.format(n) for n in range(8000))}</inventory>")

    async def look(client: OrderFlow) -> tuple[int, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        other = asyncio.create_task(tick())
        page = await client.inventory(None, site="leeds", lane="stock")
        other.cancel()
        return len(page.rows), ticks

    rows, ticks = vendor.run(look)
    assert rows == 8000
    assert ticks > 10, "other work went on"


def test_an_address_that_may_not_be_called() -> None:
    with pytest.raises(ForbiddenUrl):
        Vendor().run(detail, msgspec.structs.replace(SETTINGS, insecure=False))


# --- Orders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "absent",
    [
        xml("<error>Order not found: R</error>"),
        xml("<error>No such order</error>", 404),
        xml("<response><exception>Order R does not exist</exception></response>"),
        xml("<message>No order with reference R was found</message>"),
    ],
)
def test_an_order_that_is_not_there(absent: httpx2.Response) -> None:
    assert Vendor(absent).run(detail) is None


@pytest.mark.parametrize(
    ("answer", "family"),
    [
        (httpx2.Response(404, text="<html><h1>HTTP Status 404 - not found</h1></html>"), Misconfigured),
        (httpx2.Response(404, text="not found"), Misconfigured),
        (xml('<order externalReference="other" state="created"/>'), Refused),
        (xml("<order/>"), Refused),
        (xml("<message>Come back later</message>"), Refused),
    ],
)
def test_what_does_not_prove_that_an_order_is_not_there(answer: httpx2.Response, family: type[VendorError]) -> None:
    with pytest.raises(family) as error:
        Vendor(answer).run(detail)
    assert error.value.code != "not_found"


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        ("<message>Order R has been cancelled</message>", True),
        ("<message>Success</message>", True),
        ("<response><message>Cancel operation performed</message></response>", True),
        ("<message>No cancel operation performed for order R</message>", False),
        ("<message>Result 'no_operation' for order R</message>", False),
    ],
)
def test_a_cancellation(answer: str, done: bool) -> None:
    assert Vendor(answer).run(cancelling) is done


@pytest.mark.parametrize(
    "answer",
    [
        "<message/>",
        "<message>Order R is packed</message>",
        "<message>Order R could not be cancelled</message>",
        "<message>Cancel failed</message>",
        '<order externalReference="R" state="cancelled"/>',
    ],
)
def test_a_cancellation_that_says_neither_is_unknown(answer: str) -> None:
    with pytest.raises(Unavailable):
        Vendor(answer).run(cancelling)


def test_a_reference_is_kept_taken() -> None:
    vendor = Vendor("<message>Order cancelled</message>")
    vendor.run(lambda c: c.cancel_order("R", free_reference=False, lane="orders"))
    assert vendor.query()["cancelChangesExternalReference"] == "false"


def test_what_a_failure_repeats_of_a_person_is_hidden() -> None:
    answer = f"""<importResult><importFailures><import externalReference="{DRAFT.ref}">
      <failureMessage>Bad address: 1 High St, ZZ1 1ZZ</failureMessage>
      <failureDetail>A Customer (a@customer.example)</failureDetail></import></importFailures></importResult>"""
    (failed,) = Vendor(answer).run(importing)
    assert (failed.outcome, failed.message) == ("failure", "Bad address: (hidden), (hidden)")
    assert failed.detail == "(hidden) ((hidden))"
    with pytest.raises(Refused) as error:
        Vendor(xml("<error>1 High St is no street</error>", 400)).run(importing)
    assert "High St" not in str(error.value) + str(error.value.detail)


ECHOES = ("{}", "<html><p>{}</p></html>", "<error>{}</error>", "<r><exception>{}</exception></r>")


@pytest.mark.parametrize("status", [200, 400, 404, 500])
@pytest.mark.parametrize("echo", [*ECHOES, "<html><body><h2>ERROR</h2><p>{}</p></body></html>"])
def test_a_vendor_that_repeats_everything_betrays_nobody(echo: str, status: int) -> None:
    people = Address(
        name="Tom & Jerry <CANARY-A>", line1="CANARY-B\nStreet", city="CANARY-C", email="CANARY-D@x.example"
    )
    told = msgspec.structs.replace(
        DRAFT, shipping_address=people, billing_address=Address(), note="CANARY-E", email="CANARY-F", charges=()
    )

    def repeated(sent: str, before: int) -> httpx2.Response:
        said = "-" * before + sent[sent.index("delivery") :]
        return httpx2.Response(status, text=echo.format(escape(said) if "<" in echo else said))

    class Parrot(Vendor):
        def __call__(self, request: httpx2.Request) -> httpx2.Response:
            return repeated(request.content.decode(), before)

    for before in range(0, 300, 3):  # Wherever the sentence is cut, no word is left over.
        with pytest.raises(VendorError) as error:
            Parrot().run(lambda c: c.import_orders([told], lane="orders"))
        said = str(error.value) + str(error.value.detail)
        assert "ContactName" in said or before > 250
        assert not any(word in said for word in ("CANARY", "Jerry", "pass-word")), said


# --- Every call site x every fault -----------------------------------------------------------------------------------

PAGE_ERROR = "<html><head><title>Oops</title></head><body><h2>ERROR</h2><p>{}</p></body></html>"
FAULTS: dict[str, tuple[Reply, type[Exception], type[Exception]]] = {
    # (answer, what a read of it is, what a write of it is)
    "not sent": (httpx2.ConnectError("no"), NotSent, NotSent),
    "lost": (httpx2.ReadTimeout("no"), OutcomeLost, OutcomeLost),
    "401": (httpx2.Response(401, text="who?"), Misconfigured, Misconfigured),
    "403": (httpx2.Response(403, text="<html>no</html>"), Misconfigured, Misconfigured),
    "404": (httpx2.Response(404, text="<html>no</html>"), Misconfigured, Misconfigured),
    "302": (httpx2.Response(302, headers={"location": "/login"}), Misconfigured, Misconfigured),
    "400": (httpx2.Response(400, text="bad channel"), Refused, Refused),
    "429": (httpx2.Response(429, headers={"retry-after": "7"}), LimitReached, LimitReached),
    "500": (httpx2.Response(500, text="<html>oh</html>"), Unavailable, Unavailable),
    "503": (httpx2.Response(503, text="later"), Unavailable, Unavailable),
    "page": (httpx2.Response(200, text="<html><body>Sign in</body></html>"), Misconfigured, Unavailable),
    "doctype page": (httpx2.Response(200, text="<!DOCTYPE html><html></html>"), Misconfigured, Unavailable),
    "text": (httpx2.Response(200, text="all is well"), Misconfigured, Unavailable),
    "error page": (httpx2.Response(200, text=PAGE_ERROR.format("It broke")), Unavailable, Unavailable),
    "error page that denies": (
        httpx2.Response(200, text=PAGE_ERROR.format("Access is denied")), Misconfigured, Misconfigured,
    ),
    "error page with a status": (httpx2.Response(200, text=PAGE_ERROR.format("HTTP Status 400")), Refused, Refused),
    "exception": (xml("<response><exception>NullPointer</exception></response>"), Unavailable, Unavailable),
    "exception as root": (xml("<exception>NullPointer</exception>"), Unavailable, Unavailable),
    "error": (xml("<error>Channel web-uk is unknown</error>"), Refused, Refused),
    "empty": (httpx2.Response(200), Unavailable, Unavailable),
    "cut off": (httpx2.Response(200, text="<importResult><importSucc"), Unavailable, Unavailable),
    "another document": (xml("<weather/>"), Refused, Unavailable),
    "entities": (
        xml('<!DOCTYPE x [<!ENTITY a "b">]><order externalReference="&a;"/>'), Refused, Unavailable,
    ),
}  # fmt: skip


def test_every_call_site_meets_the_faults() -> None:
    assert {name.rpartition(".")[2] for name in senders_of("orderflow")} == CALLS.keys()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLS)
def test_call_sites_and_faults(name: str, fault: str) -> None:
    reply, of_read, of_write = FAULTS[fault]
    expected = of_write if name in WRITES else of_read
    if (name, fault) == ("returns", "another document"):
        return  # A report's root is the tenant's; test_orderflow_translate shows what is none.
    vendor = Vendor(reply if isinstance(reply, Exception) else httpx2.Response(
        reply.status_code, content=reply.content, headers=reply.headers
    ))  # fmt: skip
    with pytest.raises(expected) as error:
        vendor.run(CALLS[name][0])
    assert type(error.value) is expected
    assert len(vendor.requests) == 1, "never a second try"
    assert vendor.tills.breaches == ([("orderflow", 7.0)] if fault == "429" else [])
    assert vendor.tills.away == ([("orderflow", None)] if fault == "503" else []), "no limit, and no word of how long"
