"""What the service says about itself: structured logs and metrics. Rule: no secret and no personal field in either."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]

REGISTRY = CollectorRegistry()
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
HIDDEN = "(hidden)"
_PRIVATE_KEY = re.compile(
    r"(^|_)(password|secret|token|authorization|cookie|api_?key|credentials?|email|phone|street|address)(_|$)", re.I
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+@")


def configure(level: Level = "info", fmt: Format = "json") -> None:
    """Send our own and every library's log records to stderr, one line each: JSON, or coloured for people."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_trace),
        hide,
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if fmt == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx2", "httpcore2", "uvicorn"):
        # A line for each call, with its address and query, is neither news nor ours to keep.
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def _trace(exc_info: Any) -> str:
    """A traceback in which PostgreSQL's words are left out: they quote the row, and with it people."""
    text = "".join(traceback.format_exception(*exc_info)).rstrip("\n")
    error, told = exc_info[1], set[int]()
    while error is not None and id(error) not in told:
        told.add(id(error))
        if isinstance(error, psycopg.Error) and str(error):
            text = text.replace(str(error), f"({error.sqlstate})")
        error = error.__cause__ or error.__context__
    return text


def hide(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank fields named like secrets or personal data, and passwords inside URLs. A net, not a licence."""
    for key, value in event.items():
        if _PRIVATE_KEY.search(key):
            event[key] = HIDDEN
        elif isinstance(value, str):
            event[key] = _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", value)
    return event


def counter(name: str, sentence: str, labels: Sequence[str] = ()) -> Counter:
    """A number that only grows, exposed as sellable_<name>_total."""
    return Counter(f"sellable_{name}", sentence, labels, registry=REGISTRY)


def gauge(name: str, sentence: str, labels: Sequence[str] = ()) -> Gauge:
    """A number that goes up and down, exposed as sellable_<name>."""
    return Gauge(f"sellable_{name}", sentence, labels, registry=REGISTRY)


def histogram(name: str, sentence: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS) -> Histogram:
    """A distribution, of seconds unless told otherwise, exposed as sellable_<name>."""
    return Histogram(f"sellable_{name}", sentence, labels, buckets=buckets, registry=REGISTRY)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
