"""Spans: what is told of what is handled, done at vendors and asked of us, and that nothing is unless asked for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.suites.test_dispatcher import ERP, World
from tests.suites.test_guard import House, played

from sellable.runtime import tracing
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store, Tx
from sellable.runtime.http import HttpPort, OutcomeLost
from sellable.runtime.inbox import Arrival, Inbox, InboxRow, Poison, put
from sellable.runtime.operations import Done, Operation, Outcome

WORD = "canary-word-of-a-shopper"


@pytest.fixture
def told() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.start("", percent=100, owner="test", exporter=exporter)
    yield exporter
    tracing.stop()


def named(told: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in told.get_finished_spans() if span.name == name]


def nothing_leaked(told: InMemorySpanExporter) -> bool:
    return all(WORD not in span.to_json() for span in told.get_finished_spans())


def test_each_row_that_is_handled_is_a_span_and_one_that_fails_says_by_which_error(
    store: Store, told: InMemorySpanExporter
) -> None:
    def handle(_: Tx, row: InboxRow, __: Any) -> None:
        if row.message_id == "B":
            raise Poison(WORD)

    arrivals = [
        Arrival(source="erp", message_id=name, kind="order", lane="", body=WORD.encode(), meta={"who": WORD})
        for name in "AB"
    ]
    store.write_now(put, arrivals, store.clock.now())
    asyncio.run(Inbox(store, store.clock, {"order": handle}, lambda *_: None).work_once())
    spans = named(told, "inbox order")
    assert {span.kind for span in spans} == {SpanKind.CONSUMER}
    assert {(span.attributes or {})["sellable.source"] for span in spans} == {"erp"}
    failed = [span for span in spans if span.status.status_code is StatusCode.ERROR]
    assert {span.status.description for span in failed} == {"Poison"}
    assert (len(spans), len(failed)) == (4, 2), "both together first, and then each by itself"
    assert nothing_leaked(told)


def test_an_operation_names_its_vendor_its_lane_and_its_end_and_its_calls_are_inside(
    store: Store, told: InMemorySpanExporter
) -> None:
    world = World(store)

    def vendor(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(201, content=WORD.encode())

    async def answer(op: Operation) -> Outcome:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(vendor)) as client:
            port = HttpPort(client, Clock(), None)
            port.allow("https://erp.example/")
            await port.call(
                "POST", f"https://erp.example/{WORD}?q={WORD}", lane="orders", credential=f"{ERP}:orders",
                operation="POST sale", content=WORD.encode(), headers={"authorization": WORD},
            )  # fmt: skip
        return Done({"who": WORD})

    world.answer = answer
    (op_id,) = world.owe(f"order:{WORD}", payload={"who": WORD})
    assert world.drain() == 1
    (operation,), (call,) = named(told, f"{ERP} sale.create"), named(told, f"{ERP} POST sale")
    says = operation.attributes or {}
    assert (says["sellable.vendor"], says["sellable.lane"], says["sellable.outcome"]) == (ERP, "orders", "Done")
    assert (says["sellable.operation"], says["sellable.sends"]) == (op_id, 1)
    assert call.parent is not None
    assert call.parent.span_id == operation.context.span_id
    assert call.kind is SpanKind.CLIENT
    assert (call.attributes or {})["http.response.status_code"] == 201
    assert nothing_leaked(told)


def test_a_call_without_an_answer_is_a_failed_span(told: InMemorySpanExporter) -> None:
    def silent(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadError(WORD)

    async def scene() -> None:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(silent)) as client:
            port = HttpPort(client, Clock(), None)
            port.allow("https://erp.example/")
            await port.call("GET", "https://erp.example/sale", lane="reads", credential="erp:orders")

    with pytest.raises(OutcomeLost):
        asyncio.run(scene())
    (span,) = named(told, "erp GET")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "OutcomeLost")
    assert nothing_leaked(told)


def test_a_request_is_named_by_its_route_and_no_word_of_its_address_is_told(
    store: Store, told: InMemorySpanExporter
) -> None:
    async def scene(house: House) -> None:
        keys = await house.keys("ada", "viewer")
        await house.client.get("/health")
        await house.client.get(f"/api/v1/availability/{WORD}", headers=keys.bearer())
        await house.client.post(f"/webhooks/commercetools/{WORD}", content=WORD.encode())
        await house.client.get(f"/{WORD}?{WORD}", headers={"x-word": WORD})
        for span in told.get_finished_spans():
            assert keys.token not in span.to_json()

    played(store, scene, porch=False)
    found = {
        span.name: (span.attributes or {})["http.response.status_code"]
        for span in told.get_finished_spans()
        if span.kind is SpanKind.SERVER
    }
    assert found == {
        "GET /health": 200, "GET /api/v1/availability/{sku:path}": 404, "GET unknown": 404,
        "POST /webhooks/{source}/{token}": 401,
    }  # fmt: skip
    assert nothing_leaked(told)


# --- Where they go ---------------------------------------------------------------------------------------------------


class Collector(HTTPServer):
    """Takes in spans as OTLP/HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: list[tuple[str, str, list[str]]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest.FromString(body)
        names = [s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        assert isinstance(self.server, Collector)
        self.server.taken.append((self.path, self.headers["x-team"], names))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def test_spans_are_sent_as_otlp_and_the_last_ones_before_the_end() -> None:
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        tracing.start(collector.endpoint, percent=100, headers="x-team=stock,x-other=1", owner="one")
        with tracing.span("work", "internal", {}):
            pass
        tracing.stop()
        collector.shutdown()
    assert collector.taken == [("/v1/traces", "stock", ["work"])]
    assert not tracing.on()


def test_a_collector_that_is_away_costs_a_stop_a_few_seconds_at_most() -> None:
    with Collector() as gone:
        endpoint = gone.endpoint
    tracing.start(endpoint, percent=100, owner="one")
    with tracing.span("work", "internal", {}):
        pass
    began = time.monotonic()
    tracing.stop()
    assert time.monotonic() - began < 2 * tracing.STOP_SECONDS


def test_a_share_of_traces_is_told_whole(told: InMemorySpanExporter) -> None:
    tracing.stop()
    some = InMemorySpanExporter()
    tracing.start("", percent=30, owner="test", exporter=some)
    for _ in range(400):
        with tracing.span("outer", "internal", {}), tracing.span("inner", "internal", {}):
            pass
    outer, inner = (len(named(some, name)) for name in ("outer", "inner"))
    assert outer == inner
    assert 60 < outer < 180


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(tracing.ExtraMissing, match=r"pip install 'sellable\[otel\]'"):
        tracing.start("https://spans.example/v1/traces", percent=100)
    assert not tracing.on()


def test_switched_off_nothing_of_it_is_imported() -> None:
    program = (
        "import sys, sellable.cli, sellable.cli.run\n"
        "from sellable.runtime import tracing\n"
        "with tracing.span('x', 'internal', {}) as told: told.say({'a': 1}); told.fail('b'); told.call('c')\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
