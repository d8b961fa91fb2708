"""What connectors share: which family an answer belongs to, and what an unreadable document becomes."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from sellable.connectors import port
from sellable.connectors.kit import answers, decode
from sellable.connectors.kit.answers import Said, Table
from sellable.connectors.kit.spec import Spec
from sellable.connectors.port import Conflict, LimitReached, Misconfigured, Refused, Unavailable, VendorError
from sellable.runtime.budgets import BudgetSpec
from sellable.runtime.http import Answer

AT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
TABLE: Table = {(409, ""): Conflict, (0, "Busy"): Unavailable, (400, "Busy"): LimitReached, (404, ""): Misconfigured}


def answer(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=named, body=body, sent_at=AT, answered_at=AT, date=AT, seconds=0.1)


def says(body: bytes) -> Said:
    return decode.lenient(body, Said, Said())


def verdict(status: int, body: bytes = b"{}", **headers: str) -> VendorError | None:
    return answers.verdict(answer(status, body, **headers), vendor="Acme", table=TABLE, says=says)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"", b' \n{"a":', b"\n[1]"])
def test_documents_with_2xx_are_success_even_cut_off(body: bytes) -> None:
    assert verdict(200, body) is None
    assert verdict(204, body) is None


@pytest.mark.parametrize(
    ("status", "body", "family", "code"),
    [
        (200, b"<html>sign in</html>", Misconfigured, "html"),
        (302, b"", Misconfigured, "302"),
        (400, b'{"code":"Odd"}', Refused, "Odd"),
        (400, b'{"code":"Busy"}', LimitReached, "limit"),
        (500, b'{"code":"Busy"}', Unavailable, "Busy"),
        (422, b'{"code":"Busy"}', Unavailable, "Busy"),
        (401, b"", Misconfigured, "401"),
        (403, b"", Misconfigured, "403"),
        (404, b"", Misconfigured, "404"),
        (409, b'{"code":"Moved"}', Conflict, "Moved"),
        (418, b"<html>", Refused, "418"),
        (429, b"", LimitReached, "limit"),
        (429, b'{"code":"Busy"}', LimitReached, "limit"),
        (500, b"<html>", Unavailable, "500"),
        (504, b"", Unavailable, "504"),
    ],
)
def test_the_table_decides(status: int, body: bytes, family: type[VendorError], code: str) -> None:
    error = verdict(status, body)
    assert type(error) is family
    assert error.code == code


def test_an_error_carries_its_evidence() -> None:
    error = verdict(400, b'{"code":"Odd","message":"no such thing","detail":{"field":"sku"}}')
    assert str(error) == "Acme answered 400 Odd: no such thing"
    assert error is not None
    assert error.detail == {"status": 400, "field": "sku"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("60 Seconds", 60.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", 1.0),
        ("", 1.0),
    ],
)
def test_retry_after_is_a_number_or_a_date_on_the_vendors_clock(value: str, seconds: float) -> None:
    error = verdict(429, retry_after=value)
    assert isinstance(error, LimitReached)
    assert error.after_seconds == seconds


def test_a_date_without_a_vendors_clock_is_no_pause() -> None:
    assert answers.pause({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, None, 5.0) == 5.0
    assert answers.pause({"retry-after": "Sat, 21 Nov 2026 12:00:30"}, AT + timedelta(0), 5.0) == 5.0


def test_documents_cut_off_and_misshapen_are_different_troubles() -> None:
    assert decode.document(b'{"code":"a","new":1}', Said, vendor="Acme").code == "a"
    with pytest.raises(Unavailable) as cut:
        decode.document(b'{"code":"a', Said, vendor="Acme")
    with pytest.raises(Refused) as misshapen:
        decode.document(b'{"code":7}', Said, vendor="Acme")
    assert (cut.value.code, misshapen.value.code) == ("garbled", "unreadable")


@pytest.mark.parametrize("body", [b'{"code":"a', b'{"code":7}', b"\xff", b"<html>", b""])
def test_an_unreadable_answer_to_a_write_proves_nothing(body: bytes) -> None:
    with pytest.raises(Unavailable):
        decode.written(body, Said, vendor="Acme")
    assert decode.lenient(body, Said, Said(code="none")).code == "none"


def test_a_spec_is_data() -> None:
    def budgets(settings: Any) -> tuple[BudgetSpec, ...]:
        return ()

    spec = Spec(
        name="acme",
        title="Acme",
        capabilities=("StockMaster",),
        settings=msgspec.Struct,
        budgets=budgets,
        compare_and_set=False,
        visibility_lag_seconds=lambda settings: 5.0,
    )
    settings = msgspec.Struct()
    assert (spec.visibility_lag_seconds(settings), spec.search_settle_seconds(settings)) == (5.0, 0.0)
    assert (spec.evidence, spec.quirks) == ((), ())


def test_all_that_the_files_of_the_port_declare_is_imported_from_the_port() -> None:
    files = [importlib.import_module(each.name) for each in pkgutil.iter_modules(port.__path__, f"{port.__name__}.")]
    declared = {
        name
        for file in files
        for name, kind in inspect.getmembers(file, inspect.isclass)
        if kind.__module__ == file.__name__
    }
    assert len(files) >= 6
    assert set(port.__all__) == declared | {"EVERY_SKU", "NOT_THERE", "Stage"}
