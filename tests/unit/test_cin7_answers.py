"""What Cin7's answers mean: three dialects of its limit, errors behind 200, pages for wrong paths."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sellable.connectors.cin7_core import answers
from sellable.connectors.port import LimitReached, Misconfigured, Refused, Unavailable, VendorError
from sellable.runtime.http import Answer

AT = datetime(2026, 11, 21, tzinfo=UTC)
SAYS = b"You have reached 60 calls per 60 seconds API limit."
MODEL = b'[{"ErrorCode":400,"Exception":"You reached 60 calls per minute API limit"}]'
HTML = b"<!DOCTYPE html><html><body>Oops</body></html>"


def verdict(status: int, headers: dict[str, str], body: bytes, *, write: bool) -> VendorError | None:
    answer = Answer(
        status=status,
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
        sent_at=AT,
        answered_at=AT,
        date=AT,
        seconds=0.1,
    )
    return answers.verdict(answer, write=write)


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {"Retry-After": "60 Seconds"}, SAYS, 60),
        (429, {"retry-after": "30 sec"}, b"", 30),
        (503, {}, b'[{"ErrorCode":503,"Exception":"' + SAYS + b'"}]', 60),
        (400, {}, MODEL, 60),
        (200, {}, MODEL, 60),
        (200, {}, SAYS, 60),
        (200, {}, b'[{"ErrorCode":429,"Exception":"slow down"}]', 60),
    ],
)
@pytest.mark.parametrize("write", [True, False])
def test_every_dialect_of_the_limit(
    status: int, headers: dict[str, str], body: bytes, seconds: float, write: bool
) -> None:
    error = verdict(status, headers, body, write=write)
    assert isinstance(error, LimitReached)
    assert error.after_seconds == seconds


def test_a_503_without_a_word_of_the_limit_leaves_a_write_unknown() -> None:
    assert isinstance(verdict(503, {}, b"", write=False), LimitReached)
    assert isinstance(verdict(503, {}, b"Service Unavailable", write=True), Unavailable)


@pytest.mark.parametrize(
    ("status", "body", "family", "code"),
    [
        (200, b'[{"ErrorCode":404,"Exception":"Category not found."}]', Refused, "not_found"),
        (200, b'{"ErrorCode":400,"Exception":"TaxRule is required"}', Refused, "400"),
        (400, b'[{"ErrorCode":400,"Exception":"a"},{"ErrorCode":400,"Exception":"b"}]', Refused, "400"),
        (400, b"malformed", Refused, "400"),
        (200, b'{"ErrorCode":500,"Exception":"internal"}', Unavailable, "500"),
        (500, b"", Unavailable, "500"),
        (502, HTML, Unavailable, "502"),
        (404, HTML, Misconfigured, "404"),
        (403, b"Incorrect credentials", Misconfigured, "403"),
        (405, b"", Misconfigured, "405"),
        (302, b"", Misconfigured, "302"),
    ],
)
def test_failures(status: int, body: bytes, family: type[Exception], code: str) -> None:
    error = verdict(status, {}, body, write=True)
    assert type(error) is family
    assert error.code == code


def test_a_page_with_success_is_a_wrong_path_or_after_a_write_unknown() -> None:
    for write, family in ((False, Misconfigured), (True, Unavailable)):
        error = verdict(200, {}, HTML, write=write)
        assert type(error) is family
        assert error.code == "html"


@pytest.mark.parametrize(
    "body", [b'{"Total":0}', b"[]", b"", b'{"Note":"I have reached 60 calls and saw \\"ErrorCode\\""}']
)
def test_documents_are_no_errors(body: bytes) -> None:
    assert verdict(200, {}, body, write=False) is None


def test_all_sentences_of_a_refusal_are_kept() -> None:
    error = verdict(400, {}, b'[{"ErrorCode":400,"Exception":"a"},{"ErrorCode":400,"Exception":"b"}]', write=True)
    assert isinstance(error, Refused)
    assert error.detail["errors"] == ["400: a", "400: b"]


def test_pause_without_a_number_is_the_window() -> None:
    for headers in ({}, {"Retry-After": "later"}):
        error = verdict(429, headers, b"", write=True)
        assert isinstance(error, LimitReached)
        assert error.after_seconds == 60
