"""Spans for OpenTelemetry, where somebody wants them. Rule: switched off, nothing of it is imported or made.

A span says what is done in words of ours and never in those that came from outside: no path or query, no body, nobody's
name. Traces begin here: who calls us is not asked for theirs, and vendors are not told ours.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

Kind = Literal["internal", "server", "client", "consumer"]
Value = str | int | bool
"""What an attribute may be."""
STOP_SECONDS = 5.0
"""A collector that does not answer is waited for so long, while working and at the end."""


class ExtraMissing(Exception):
    """Spans are wanted, and what makes them is not installed: pip install 'sellable[otel]'."""

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


class Span:
    """Something that takes time. This one is of nobody: it hears and forgets."""

    def say(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes: ours as sellable.<name>, those with a name in OpenTelemetry's conventions by that."""

    def fail(self, what: str) -> None:
        """It did not go as it should; `what` is the name of an error."""

    def call(self, name: str) -> None:
        """Name it anew, once it is known what it is."""


class _Told(Span):
    """A span that is told."""

    def __init__(self, span: Any) -> None:
        self._span = span

    def say(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(attributes)

    def fail(self, what: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_status(StatusCode.ERROR, what)

    def call(self, name: str) -> None:
        self._span.update_name(name)


_NOBODYS = Span()
_tracer: Tracer | None = None
_provider: TracerProvider | None = None


def on() -> bool:
    """Whether spans are told."""
    return _tracer is not None


@contextlib.contextmanager
def span(name: str, kind: Kind, attributes: Mapping[str, Value]) -> Iterator[Span]:
    """A span around what is done inside; an exception that leaves it marks it failed, by its name alone."""
    if _tracer is None:
        yield _NOBODYS
        return
    from opentelemetry.trace import SpanKind

    with _tracer.start_as_current_span(
        name, kind=SpanKind[kind.upper()], attributes=attributes,
        # The words of an exception may quote a row or a body.
        record_exception=False, set_status_on_exception=False,
    ) as current:  # fmt: skip
        told = _Told(current)
        try:
            yield told
        except BaseException as error:
            told.fail(type(error).__name__)
            raise


def start(
    endpoint: str, *, percent: float, headers: str = "", owner: str = "", exporter: SpanExporter | None = None
) -> None:
    """Tell spans from now on, that many of a hundred traces, to an OTLP/HTTP address (or to `exporter` at once).

    `headers` are name=value,name=value for whoever takes them in. Raises ExtraMissing.
    """
    global _tracer, _provider
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise ExtraMissing from error
    resource = Resource.create({"service.name": "sellable", "service.instance.id": owner})
    _provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(percent / 100)), resource=resource, shutdown_on_exit=False
    )
    if exporter is not None:
        _provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        sent = dict(pair.partition("=")[::2] for pair in headers.split(",") if pair)
        _provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, headers=sent, timeout=STOP_SECONDS))
        )
    _tracer = _provider.get_tracer("sellable")


def stop() -> None:
    """Send what is left, for a few seconds at most, and tell nothing any more."""
    global _tracer, _provider
    _tracer, provider, _provider = None, _provider, None
    if provider is not None:
        # Its own limit is half a minute, longer than a stop may take.
        last = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(STOP_SECONDS)
